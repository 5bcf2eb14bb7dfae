"""The book in other versions: oldest, pinned, newest, Colab's; and where the pins can be had.

``python -m proofs.versions`` makes an environment of each set under ``_build/versions`` (of what
Binder installs and nothing more), runs in it every student notebook that has changed since it was
last run there, or ran with other versions, then the tests of the mathematics, and stores each row
as it comes: stop it and start it again as you like. ``python -m proofs.versions Colab 03 tests``
runs, changed or not, one chapter and the tests in one set. What fails or could not be run is said
at the end.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from press.chapters import ROOT
from press.environment import CPU_TORCH
from press.without_solutions import STUDENT

from . import machines
from .repeat import children_seconds
from .sets import PYTHONS, wanted

BUILT = ROOT / "_build" / "versions"
UV = Path(sys.executable).with_name("uv")
WARNINGS = (  # errors, but for pyparsing's of what matplotlib 3.10 calls in it
    "error", r"ignore:'\w+' deprecated - use '\w+':DeprecationWarning")
TOOLS = ("pytest", "hypothesis", "nbformat", "PyYAML")  # of those tests alone
RESOLVED = [(python, system) for python in ("3.11.2", "3.12", "3.13", "3.14") for system in (
    "x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "aarch64-apple-darwin",
    "x86_64-apple-darwin", "x86_64-pc-windows-msvc")]


def made(name):
    """The Python of a set's environment, its newest releases new; None where this machine has no
    such Python.
    """
    folder = BUILT / name
    python, listed = folder / "bin" / "python", folder / "wanted"
    if not listed.exists() or listed.read_text(encoding="utf-8") != str(wanted(name)):
        if subprocess.run([UV, "venv", "--quiet", "--seed", "--clear", "--no-python-downloads",
                           "--python", PYTHONS[name], folder], capture_output=True).returncode:
            return None
    index = (["--extra-index-url", CPU_TORCH, "--index-strategy", "unsafe-best-match"]
             if os.environ.get("TORCH") == "cpu" else [])
    subprocess.run([UV, "pip", "install", "--quiet", "--python", python, *index, *wanted(name)],
                   check=True)
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
            NotebookClient(notebook, timeout=None, kernel_name="set",
                           resources={"metadata": {"path": str(path.parent)}}).execute()
        except CellExecutionError as error:
            return f"{error.ename}: {error.evalue.splitlines()[0] if error.evalue else ''}"
    told = [cell for cell in notebook.cells if "check" in cell.metadata.get("tags", ())]
    silent = [cell.source for cell in told if "not attempted" not in str(cell.outputs)]
    return f"{silent[0]} does not say that it was not attempted" if silent else ""


def run_tests(python):
    """What pytest says of the mathematics in a Python, which stays as it is: a row's words."""
    tools = python.parent.parent / "tools"
    subprocess.run([UV, "pip", "install", "--quiet", "--python", python, "--target", tools, *TOOLS],
                   check=True)
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--doctest-modules", "attnlib",
         *(f"tests/test_{name}.py" for name in machines.TESTS), "--ignore=attnlib/play",
         "-o", "filterwarnings=" + "\n".join(WARNINGS)],
        cwd=ROOT, text=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(tools)})
    print((done.stdout + done.stderr)[-4000:] if done.returncode else "")
    said = re.sub(r"^=+ | in [\d.]+s.*", "", done.stdout.strip().rpartition("\n")[2])
    return {"fails": said if done.returncode else "", "passed": said}


def versions(python):
    """The versions in a Python, as one line."""
    names = ("numpy", "torch", "matplotlib", "scikit-learn", "ipykernel", "array-api-compat")
    return subprocess.run(
        [python, "-c", "import platform, sys; from importlib.metadata import version as v; "
         "print(', '.join([f'Python {platform.python_version()}', "
         "*(f'{n} {v(n)}' for n in sys.argv[1:])]))",
         *names], text=True, capture_output=True, check=True).stdout.strip()


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


def run(what, python):
    """The row of a chapter, or of the tests, in a Python."""
    before = children_seconds()
    if what == "tests":
        row = run_tests(python)
    else:
        row = {"fails": run_notebook(STUDENT / f"{what}.ipynb", python)}
    return row | {"versions": versions(python), "seconds": round(children_seconds() - before)}


def main(arguments):
    """Run what is stale, or the sets and the chapters that are named, and store what came of it."""
    sets = [name for name in PYTHONS if name in arguments] or list(PYTHONS)
    asked = tuple(word for word in arguments if word not in PYTHONS)
    told = []
    for name in sets:
        python = made(name)
        if python is None:
            told.append(f"{name}: not run, since Python {PYTHONS[name]} is not on this machine")
            continue
        rows = [row for row in machines.digests() if machines.split(row)[1] == name]
        for row in rows:
            what, _ = machines.split(row)
            if what.startswith(asked) if asked else arguments or not fresh(row, python):
                print(name, what, flush=True)
                machines.store(row, run(what, python))
        stored = machines.TABLE.read()["rows"]
        told += [f"{row}: {stored[row]['fails']}" for row in rows
                 if stored.get(row, {}).get("fails")]
    if not arguments:
        found = {f"{python}, {system}": resolves(python, system) for python, system in RESOLVED}
        machines.TABLE.write(machines.TABLE.read() | {"resolved": found})
        told += [f"{place}: {what} can be installed" for place, what in found.items()
                 if what != "everything" and "x86_64-apple" not in place or what == "nothing"]
    print(machines.TABLE.printed())
    sys.exit("\n".join(told) or None)


def fresh(row, python):
    """Whether a row was made from today's sources in the versions that this Python has."""
    stored = machines.TABLE.read().get("rows", {}).get(row, {})
    return row not in machines.TABLE.stale() and stored["versions"] == versions(python)


if __name__ == "__main__":
    main(sys.argv[1:])
