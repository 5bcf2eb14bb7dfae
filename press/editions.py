"""Editions: the student notebook that Colab, Binder and the download button give; the book and
the site without solutions.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import yaml

from .chapters import ROOT, Chapter, chapter_paths, settings, tags, toc_files

STUDENT = ROOT / "student"
COURSE = ROOT / "_build" / "course"
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
SET_UP = '''\
# @title Set-up: run this cell first
# It uses the attnlib that is here, else the checkout above this notebook, else it installs
# attnlib from its repository. numpy and torch stay as they are.
import importlib, pathlib, subprocess, sys

def ready():
    importlib.invalidate_caches()
    try:
        return importlib.import_module("attnlib").__version__ == "{version}"
    except ImportError:
        return False

def forget():
    for name in [name for name in sys.modules if name.split(".")[0] == "attnlib"]:
        del sys.modules[name]

if not ready():
    forget()
    sys.path.insert(0, str(pathlib.Path("..").resolve()))
    if not ready():
        forget()
        sys.path.pop(0)
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps",
                        {needs},
                        "{url}/archive/{branch}.zip"])
assert ready(), "attnlib {version} is missing: check your connection, restart the kernel, run this again"\
'''
NEEDS = ("array-api-compat", "platformdirs")  # what attnlib needs beside numpy and matplotlib


def student_edition(chapter):
    """The chapter as students get it: no solutions, no outputs, a set-up cell first.

    Args:
        chapter: a `Chapter`; it is not changed.

    Returns:
        A notebook whose cells keep their ids, so that versions can be compared.
    """
    cells = []
    for cell in chapter.cells:
        if "solution" in tags(cell):
            continue
        cell = nbformat.from_dict(cell)
        cell.metadata = {"tags": tags(cell)} if tags(cell) else {}
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        else:
            cell.source = absolute_links(cell.source)
        cells.append(cell)
    hidden = {"tags": ["set-up"], "cellView": "form", "jupyter": {"source_hidden": True}}
    cells.insert(0, nbformat.v4.new_code_cell(set_up(), id="set-up", metadata=hidden))
    metadata = {"kernelspec": chapter.notebook.metadata.kernelspec,
                "language_info": {"name": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def set_up():
    """The source of the set-up cell, from the one place where the address is written."""
    import attnlib

    repository = settings()["repository"]
    return SET_UP.format(version=attnlib.__version__, **repository,
                         needs=", ".join(f'"{name}"' for name in NEEDS))


def site_url():
    """Where the site is published: GitHub Pages of the repository's address."""
    owner, name = settings()["repository"]["url"].rstrip("/").split("/")[-2:]
    return f"https://{owner.lower()}.github.io/{name}"


def absolute_links(source):
    """Markdown whose links work anywhere: pages lead to the site, files to the repository."""
    return LINK.sub(_absolute, source)


def _absolute(match):
    before, target, after = match.groups()
    path, hash_, anchor = target.partition("#")
    stem, _, suffix = path.rpartition(".")
    if suffix in ("ipynb", "md") and f"book/{stem}" in toc_files():
        target = f"{site_url()}/book/{stem}.html{hash_}{anchor}"
    elif path and not re.match(r"[a-z]+:", target):
        repository = settings()["repository"]
        target = f"{repository['url']}/raw/{repository['branch']}/book/{target}"
    return before + target + after


def text(notebook):
    """A notebook as the text that is committed."""
    return nbformat.writes(notebook) + "\n"


def print_students(folder=STUDENT):
    """Write every student notebook; return the paths whose text changed."""
    folder.mkdir(exist_ok=True)
    wanted = {path.name: text(student_edition(Chapter(path))) for path in chapter_paths()}
    changed = [old for old in folder.glob("*.ipynb") if old.name not in wanted]
    for old in changed:
        old.unlink()
    for name, words in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != words:
            path.write_text(words, encoding="utf-8")
            changed.append(path)
    return changed


def stale(folder=STUDENT):
    """One line for each student notebook that is not what `make student` prints."""
    wanted = {path.name: text(student_edition(Chapter(path))) for path in chapter_paths()}
    names = wanted.keys() | {path.name for path in folder.glob("*.ipynb")}
    return [f"student/{name} is stale: run `make student` and commit it" for name in sorted(names)
            if not (folder / name).exists()
            or wanted.get(name) != (folder / name).read_text(encoding="utf-8")]


# The edition without solutions.


def print_book_without_solutions(folder):
    """Copy what the site is built from, the solutions left out.

    Hints stay: every notebook shows them when asked. The buttons that lead to the repository,
    where the solutions are, do not.

    Args:
        folder: where to; it does not exist yet.
    """
    nothing = shutil.ignore_patterns("__pycache__", ".*")
    for part in ("press", "student", "book"):
        shutil.copytree(ROOT / part, folder / part, ignore=nothing)
    for name in toc_files():
        for path in ROOT.glob(f"{name}.*"):
            (folder / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / path.relative_to(ROOT))
    for name in ("_toc.yml", "proofs/unsettled.txt"):
        shutil.copy(ROOT / name, folder / name)
    config = settings()
    config["html"].update(use_repository_button=False, use_issues_button=False)
    words = yaml.safe_dump(config, allow_unicode=True, sort_keys=False)
    (folder / "_config.yml").write_text(words, encoding="utf-8")
    for path in sorted((folder / "book").glob("*.ipynb")):
        notebook = Chapter(path).notebook
        notebook.cells = [cell for cell in notebook.cells if "solution" not in tags(cell)]
        path.write_text(text(notebook), encoding="utf-8")


def build_course(out=COURSE):
    """Build the site without solutions, from sources without solutions.

    Args:
        out: the site's folder; what was there is taken away first.

    Raises:
        subprocess.CalledProcessError: if the build fails.
    """
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch).resolve() / "book"
        print_book_without_solutions(tree)
        subprocess.run([Path(sys.executable).with_name("jupyter-book"), "build", tree, "--quiet"],
                       check=True)
        out.parent.mkdir(exist_ok=True)
        shutil.move(tree / "_build" / "html", out)
