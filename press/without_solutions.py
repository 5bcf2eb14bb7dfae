"""Without solutions: the student notebook that Colab, Binder and the download button give; the
book and the site for a course.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import yaml

from .address import branch, repository, site
from .chapters import ROOT, Chapter, chapter_paths, settings, tags, toc_files
from .set_up import set_up

STUDENT = ROOT / "student"
COURSE = ROOT / "_build" / "course"
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
AT_HOME = "../book/"  # the book, seen from a student notebook in its checkout


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
            cell.source = absolute_links(cell.source, AT_HOME)
        cells.append(cell)
    hidden = {"tags": ["set-up"], "cellView": "form", "jupyter": {"source_hidden": True}}
    cells.insert(0, nbformat.v4.new_code_cell(set_up(), id="set-up", metadata=hidden))
    metadata = {"kernelspec": chapter.notebook.metadata.kernelspec,
                "language_info": {"name": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def absolute_links(source, at_home=None):
    """Markdown whose links work anywhere: pages lead to the site, files to the repository.

    Args:
        source: Markdown of a chapter.
        at_home: while the book has no address, links lead into this folder of the checkout;
            without one, their words stay and the links go.
    """
    def absolute(match):
        before, target, after = match.groups()
        path, hash_, anchor = target.partition("#")
        stem, _, suffix = path.rpartition(".")
        if not path or re.match(r"[a-z]+:", target):
            return match[0]
        page = suffix in ("ipynb", "md") and f"book/{stem}" in toc_files()
        if repository() is None:
            if at_home is None:
                return before.removeprefix("!").removeprefix("[").removesuffix("](")
            return f"{before}{'' if suffix == 'ipynb' else at_home}{target}{after}"
        if page:
            return f"{before}{site()}/book/{stem}.html{hash_}{anchor}{after}"
        return f"{before}{repository()}/raw/{branch()}/book/{target}{after}"

    return LINK.sub(absolute, source)


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
    shutil.copytree(ROOT / "proofs" / "star", folder / "proofs" / "star")
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
