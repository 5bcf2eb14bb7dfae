"""The book in other versions: oldest, pinned, newest, Colab's; and where the pins can be had.

``python -m proofs.versions`` makes an environment of each set under ``_build/versions`` (of what
Binder installs and nothing more), runs every student notebook in it, then the tests of the
mathematics, and stores what came of it. ``python -m proofs.versions Colab 03`` takes one set and
one chapter and stores nothing. Where this machine has not the Python, the row says "not run".
"""

import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from . import tables

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "_build" / "versions"
UV = Path(sys.executable).with_name("uv")
COLAB = {"numpy": "2.1.3", "torch": "2.11.0", "matplotlib": "3.10.0", "ipython": "7.34.0",
         "ipykernel": "6.17.1"}
PYTHONS = {"oldest": "3.11", "pinned": "3.11", "newest": "3.13", "Colab": "3.13"}
TOOLS = ("pytest", "hypothesis", "nbformat", "PyYAML")  # of those tests alone
TESTS = ("attention", "masks", "heads", "positions", "diagnostics", "layers", "multilevel", "plots")
RESOLVED = [(python, system) for python in ("3.11.2", "3.12", "3.13", "3.14") for system in (
    "x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "aarch64-apple-darwin",
    "x86_64-apple-darwin", "x86_64-pc-windows-msvc")]


def wanted(name):
    """What a set installs, as pip's arguments."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = [*project["dependencies"], *project["optional-dependencies"]["notebooks"]]
    if name == "oldest":
        return [need.replace(">=", "==") for need in bounds]
    if name == "pinned":
        lines = (ROOT / "binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
        return [line for line in lines if "==" in line]
    if name == "newest":
        return ["--upgrade", *(need.partition(">")[0] for need in bounds)]
    exact = [f"{package}=={version}" for package, version in COLAB.items()]
    return [*exact, *(need for need in bounds if need.partition(">")[0] not in COLAB), "setuptools"]


def made(name):
    """The Python of a set's environment; None where this machine has no such Python."""
    folder = BUILT / name
    python, listed = folder / "bin" / "python", folder / "wanted"
    if listed.exists() and listed.read_text(encoding="utf-8") == str(wanted(name)):
        return python
    if subprocess.run([UV, "venv", "--quiet", "--seed", "--clear", "--no-python-downloads",
                       "--python", PYTHONS[name], folder], capture_output=True).returncode:
        return None
    index = (["--extra-index-url", "https://download.pytorch.org/whl/cpu"]
             if os.environ.get("TORCH") == "cpu" else [])
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-compile",
                    "--disable-pip-version-check", *index, *wanted(name)], check=True)
    listed.write_text(str(wanted(name)), encoding="utf-8")
    return python


def run_notebook(path, python):
    """Why a student notebook does not run in a Python, in a line; empty if it does."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as scratch:
        kernel = Path(scratch) / "kernels" / "set"
        kernel.mkdir(parents=True)
        (kernel / "kernel.json").write_text(json.dumps({
            "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": "set", "language": "python"}))
        os.environ["JUPYTER_PATH"] = scratch
        try:
            NotebookClient(notebook, timeout=1800, kernel_name="set",
                           resources={"metadata": {"path": str(path.parent)}}).execute()
        except CellExecutionError as error:
            return f"{error.ename}: {error.evalue.splitlines()[0] if error.evalue else ''}"
    told = [cell for cell in notebook.cells if "check" in cell.metadata.get("tags", ())]
    silent = [cell.source for cell in told if "not attempted" not in str(cell.outputs)]
    return f"{silent[0]} does not say that it was not attempted" if silent else ""


def run_tests(python):
    """What pytest's last line says of the mathematics in a Python, which stays as it is."""
    tools = python.parent.parent / "tools"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-compile", "--upgrade",
                    "--disable-pip-version-check", "--target", tools, *TOOLS], check=True)
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--doctest-modules", "attnlib",
         *(f"tests/test_{name}.py" for name in TESTS), "--ignore=attnlib/play",
         "-W", "ignore::DeprecationWarning"],  # of old packages beside new ones: not ours to mend
        cwd=ROOT, text=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(tools)})
    print((done.stdout + done.stderr)[-4000:] if done.returncode else "")
    return re.sub(r"^=+ | in [\d.]+s.*", "", done.stdout.strip().rpartition("\n")[2])


def versions(python):
    """The versions in a Python, as one line."""
    names = ("numpy", "torch", "matplotlib", "scikit-learn", "ipykernel", "array-api-compat")
    said = subprocess.run(
        [python, "-c", "import platform, sys; from importlib.metadata import version as v; "
         "print('Python', platform.python_version(), *(f'· {n} {v(n)}' for n in sys.argv[1:]))",
         *names], text=True, capture_output=True, check=True).stdout
    return said.strip().replace(" ·", " ·")


def resolves(python, system):
    """What of the lock can be installed there, from ready-made packages alone."""
    for file, what in (("requirements.txt", "everything"),
                       ("press/requirements.txt", "the site, without torch")):
        done = subprocess.run(
            [UV, "pip", "compile", "--quiet", "--no-header", "--python-version", python,
             "--python-platform", system, "--only-binary", ":all:", file],
            cwd=ROOT, text=True, capture_output=True,
            env=os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0"})
        if not done.returncode:
            return what
    return "nothing"


def student_notebooks():
    return sorted((ROOT / "student").glob("[0-9]*.ipynb"))


def row(name, chapters, before):
    """What came of one set, beside what is stored of the same versions."""
    python = made(name)
    row = {"date": str(datetime.date.today())}
    if python is None:
        return row | {"versions": f"Python {PYTHONS[name]}: it is not on this machine"}
    row["versions"] = versions(python)
    same = before.get("versions") == row["versions"]
    row["chapters"] = dict(before["chapters"]) if same else {}
    for path in chapters:
        row["chapters"][path.stem] = run_notebook(path, python)
        print(name, path.stem, row["chapters"][path.stem] or "runs", flush=True)
    return row | {"tests": run_tests(python)}


def text(stored, _):
    """The page."""
    chapters = [path.stem for path in student_notebooks()]
    lines = [[name, row["versions"],
              *(row.get("chapters", {}).get(chapter, "not run") or "runs" for chapter in chapters),
              row.get("tests", "not run"), tables.day(row["date"])]
             for name, row in stored["sets"].items()]
    pythons, can = (dict.fromkeys(key.split(", ")[i] for key in stored["resolved"]) for i in (0, 1))
    grid = [[system, *(stored["resolved"][f"{p}, {system}"] for p in pythons)]
            for system in can]
    return "\n\n".join([
        "# Other versions", "Every student notebook, run in an environment of exactly what Binder "
        "installs, in the versions of each row; then the tests of the mathematics. "
        "`make test-versions` does it again.",
        tables.markdown(["set", "versions", *(c[:2] for c in chapters), "tests", "when"], lines),
        "## Where the pinned versions can be installed", "Resolved for each system and Python, "
        "from ready-made packages alone; only Linux on x86-64 was run.",
        tables.markdown(["system", *pythons], grid)]) + "\n"


TABLE = tables.Table(ROOT / "proofs" / "versions.json", ROOT / "proofs" / "versions.md",
                     rows=lambda stored: {}, now=dict, text=text)


def main(arguments):
    """Run the sets, or those named, and store what came of it."""
    names = [name for name in PYTHONS if name in arguments] or list(PYTHONS)
    numbers = [argument for argument in arguments if argument.isdigit()]
    chapters = [path for path in student_notebooks() if not numbers or path.stem[:2] in numbers]
    stored = TABLE.read() or {"sets": {}}
    for name in names:
        stored["sets"][name] = row(name, chapters, stored["sets"].get(name, {}))
    stored["sets"] = {name: stored["sets"][name] for name in PYTHONS if name in stored["sets"]}
    stored["resolved"] = {f"{python}, {system}": resolves(python, system)
                          for python, system in RESOLVED}
    failed = [f"{name}: {why}" for name, row in stored["sets"].items()
              for why in [*row.get("chapters", {}).values(), row.get("tests", "")]
              if why and not re.fullmatch(r"\d+ passed(, \d+ (skipped|warnings?))*", why)]
    failed += [f"{place}: {what} can be installed" for place, what in stored["resolved"].items()
               if what != "everything" and "x86_64-apple" not in place or what == "nothing"]
    TABLE.write(stored)
    print(text(stored, None))
    sys.exit("\n".join(failed) or None)


if __name__ == "__main__":
    main(sys.argv[1:])
