"""The set-up cell: what it takes, what it installs from a repository on loopback, what it says."""

import http.server
import io
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile

import pytest

import attnlib
from press import address, set_up
from press.chapters import ROOT

OWN = attnlib.__version__
SERIES = OWN.rpartition(".")[0]
NEWER, NEXT, OLDER = f"{SERIES}.99", "99.0.0", "0.0.1"
BACKEND = """\
import zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name, info = "attnlib-{version}-py3-none-any.whl", "attnlib-{version}.dist-info/"
    files = {{"attnlib/__init__.py": "__version__ = '{version}'\\n",
              info + "METADATA": "Metadata-Version: 2.1\\nName: attnlib\\nVersion: {version}\\n",
              info + "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"}}
    record = "".join(file + ",,\\n" for file in [*files, info + "RECORD"])
    with zipfile.ZipFile(folder + "/" + name, "w") as archive:
        for file, text in (files | {{info + "RECORD": record}}).items():
            archive.writestr(file, text)
    return name
"""


def archive(version):
    """A repository with an attnlib of this version, as GitHub packs it; built without a network."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as folder:
        folder.writestr("book-1/backend.py", BACKEND.format(version=version))
        folder.writestr("book-1/pyproject.toml", '[build-system]\nrequires = []\n'
                        'build-backend = "backend"\nbackend-path = ["."]\n')
    return packed.getvalue()


@pytest.fixture
def repository(monkeypatch):
    """A repository on loopback: (files, asked), by the path after its address."""
    files, asked = {}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path.removeprefix("/us/book/archive/"))
            words = files.get(asked[-1])
            self.send_response(404 if words is None else 200)
            self.send_header("Content-Type", "application/zip")
            self.send_header("Content-Length", str(len(words or b"")))
            self.end_headers()
            self.wfile.write(words or b"")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(set_up, "repository",
                        lambda: f"http://127.0.0.1:{server.server_port}/us/book")
    yield files, asked
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A Python of its own with a pip; its site-packages."""
    folder = tmp_path_factory.mktemp("machine")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    found, = (folder / "venv").glob("[Ll]ib/**/site-packages")
    return folder / "venv", found


def plant(packages, name, version):
    """Something that importlib.metadata takes for an installed package."""
    for old in packages.glob(f"{name}-*.dist-info"):
        shutil.rmtree(old)
    if version:
        info = packages / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        files = (f"{name}/__init__.py", f"{info.name}/METADATA", f"{info.name}/RECORD")
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))


@pytest.fixture
def run(machine, tmp_path):
    """run(attnlib, numpy, checkout): the cell, run where these versions are; (said, complaint)."""
    venv, packages = machine

    def run(here=None, numpy="2.1.3", checkout=None, source=None):
        shutil.rmtree(packages / "attnlib", ignore_errors=True)
        for name, version in {"attnlib": here, "numpy": numpy, "matplotlib": "3.10.0",
                              "array_api_compat": "1.12", "platformdirs": "4.2"}.items():
            plant(packages, name, version)
        student = tmp_path / "student"
        student.mkdir(exist_ok=True)
        for folder, version in ((packages, here), (tmp_path, checkout)):
            if version:
                (folder / "attnlib").mkdir(exist_ok=True)
                (folder / "attnlib" / "__init__.py").write_text(f"__version__ = {version!r}\n")
        cell = student / "cell.py"
        cell.write_text((source or set_up.set_up())
                        + "\nimport attnlib; print(attnlib.__version__, attnlib.__file__)\n")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        done = subprocess.run([venv / "bin" / "python", cell], cwd=student, text=True,
                              capture_output=True, env=kept | {
                                  "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0",
                                  "PIP_NO_CACHE_DIR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                                  "PIP_INDEX_URL": (set_up.repository() or "none") + "/index"})
        complaint = done.stderr.rpartition("RuntimeError: ")[2].strip() if done.returncode else ""
        return done.stdout.strip(), complaint
    return run


TAG = f"refs/tags/v{OWN}.zip"


@pytest.mark.parametrize("here", [OWN, NEWER])
def test_what_is_there_is_taken_if_it_is_compatible(run, repository, here):
    said, complaint = run(here=here)
    assert said.startswith(f"{here} ") and not complaint and not repository[1]


@pytest.mark.parametrize("here", [None, OLDER, NEXT])
def test_the_checkout_above_the_notebook_comes_next(run, repository, tmp_path, here):
    said, complaint = run(here=here, checkout=OWN)
    assert said == f"{OWN} {tmp_path / 'attnlib' / '__init__.py'}"
    assert not complaint and not repository[1]


@pytest.mark.parametrize("here", [None, OLDER, NEXT])
def test_the_tag_of_its_own_version_is_installed(run, repository, here):
    files, asked = repository
    files |= {TAG: archive(OWN), "main.zip": archive(NEXT)}
    said, complaint = run(here=here)
    assert said.startswith(f"{OWN} ") and not complaint and asked == [TAG]


@pytest.mark.parametrize("main", [OWN, NEWER])
def test_without_a_tag_the_branch_is_installed_if_it_is_compatible(run, repository, main):
    repository[0]["main.zip"] = archive(main)
    said, complaint = run(checkout=OLDER)
    assert said.startswith(f"{main} ") and not complaint and repository[1] == [TAG, "main.zip"]


@pytest.mark.parametrize("main", [OLDER, NEXT])
def test_a_branch_that_is_not_compatible_is_not_installed(run, repository, machine, main):
    repository[0]["main.zip"] = archive(main)
    said, complaint = run()
    assert not said and complaint.startswith(
        f"attnlib {OWN} is missing, and could not be installed: ")
    assert complaint.endswith(
        "The book has moved on since this notebook was printed: take the new notebook.")
    assert "connection" not in complaint and not (machine[1] / "attnlib").exists()


def test_a_repository_without_the_book_says_what_pip_said(run, repository):
    said, complaint = run()
    assert not said and "404" in complaint and "connection" not in complaint


def test_a_broken_archive_says_what_pip_said(run, repository):
    repository[0].update({TAG: b"no archive", "main.zip": b"no archive"})
    said, complaint = run()
    assert not said and "ERROR" in complaint and "connection" not in complaint
    assert "zip" in complaint.lower()


def test_without_a_network_it_says_so(run, monkeypatch):
    monkeypatch.setattr(set_up, "repository", lambda: "http://127.0.0.1:9/us/book")
    said, complaint = run()
    assert not said and complaint.endswith("Check your connection, then run this cell again.")


def test_without_an_address_nothing_is_asked_and_it_says_so(run, monkeypatch):
    monkeypatch.setattr(set_up, "repository", lambda: None)
    assert run() == ("", f"attnlib {OWN} is missing, and could not be installed: this copy of the "
                         "book does not say where its repository is.")
    assert run(checkout=OWN)[0].startswith(OWN)


@pytest.mark.parametrize("numpy, here", [("1.26.4", "1.26.4"), (None, "none")])
def test_an_old_numpy_is_told_in_one_sentence_before_anything_else(run, repository, numpy, here):
    assert run(here=OWN, numpy=numpy) == ("", (
        f"numpy 2.0 or newer is needed, and here is {here}: %pip install --upgrade numpy, restart "
        "the kernel, then run this cell again"))


def test_an_old_python_is_told_in_one_sentence(run, repository):
    source = set_up.set_up().replace('need("Python", "3.11"', 'need("Python", "9.9"')
    here = ".".join(map(str, sys.version_info[:3]))
    assert run(here=OWN, source=source) == ("", (
        f"Python 9.9 or newer is needed, and here is {here}: choose a newer kernel, then run this "
        "cell again"))


def test_the_cell_asks_for_what_pyproject_lists_and_leaves_the_large_ones_alone(repository):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cell = set_up.set_up()
    asked = re.search(r"VERSION}\",\s*(.*?)\)\n", cell)[1]
    for need in project["dependencies"]:
        name = re.match(r"[\w-]+", need)[0]
        assert (f'"{need}"' in asked) == (name not in set_up.GIVEN)
    for name in (*set_up.GIVEN, "torch"):
        assert name not in asked
    assert f'VERSION, REPOSITORY = "{OWN}", "{set_up.repository()}"' in cell


# The address.


@pytest.mark.parametrize("url, wanted", [
    ("https://github.com/us/book.git", "https://github.com/us/book"),
    ("git@github.com:us/book.git", "https://github.com/us/book"),
    ("ssh://git@host.example/us/book", "https://host.example/us/book"),
    ("/home/us/book", None), ("", None)])
def test_the_advice_names_the_remote_of_the_checkout(tmp_path, monkeypatch, url, wanted):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    if url:
        subprocess.run(["git", "-C", tmp_path, "remote", "add", "origin", url], check=True)
    monkeypatch.setattr(address, "ROOT", tmp_path)
    assert address.remote() == wanted
    for given, told in (("https://github.com/OWNER/book", True), ("https://github.com/a/b", False)):
        monkeypatch.setattr(address, "settings", lambda given=given: {"repository": {"url": given}})
        assert ("Change `url` in _config.yml" in address.advice()) is told
        assert not told or (f" to {wanted}," in address.advice()) is bool(wanted)
        assert address.site() == (None if told else "https://a.github.io/b")


def test_the_paragraph_about_the_address_is_where_the_links_lead():
    page, heading = address.HOW
    words = (ROOT / f"{page}.md").read_text(encoding="utf-8")
    assert heading in {re.sub(r"[^\w-]", "", line.lower().replace(" ", "-"))
                       for line in re.findall(r"^## (.+)", words, re.M)}
