"""Who may import whom: one way, no circle, and nothing of ours beside a student's code."""

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY = {  # folder: which other folders of ours its modules may import
    "attnlib": set(),
    "attnlib/running": set(),
    "attnlib/exercises": {"attnlib", "attnlib/running"},
    "attnlib/play": {"attnlib"},
    "press": {"attnlib", "attnlib/exercises", "attnlib/play"},
    "classroom": {"attnlib", "attnlib/exercises", "attnlib/running", "classroom/sandbox", "press"},
    "classroom/sandbox": {"attnlib", "attnlib/running"},
    "proofs/students": {"attnlib/exercises", "attnlib/running", "classroom"},
    "proofs": {"attnlib", "attnlib/exercises", "attnlib/running", "benchmarks", "press",
               "proofs/students"},
    "benchmarks": {"attnlib", "classroom", "proofs", "proofs/students"},
}


@cache
def modules():
    """``{dotted name: file}`` of all modules of these folders."""
    names = {}
    for folder in MAY:
        for path in (ROOT / folder).glob("*.py"):
            name = ".".join((*folder.split("/"), path.stem)).removesuffix(".__init__")
            names[name] = path
    return names


@cache
def imports(name):
    """Modules of ours that a module imports, at its top or within a function.

    What a module's ``__getattr__`` only passes on is not imported by it.
    """
    path = modules()[name]
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    tree, found = ast.parse(path.read_text(encoding="utf-8")), set()
    tree.body = [node for node in tree.body if getattr(node, "name", "") != "__getattr__"]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[:len(package.split(".")) - node.level + 1]
            base = ".".join([*(parents if node.level else ()), *filter(None, [node.module])])
            inside = {f"{base}.{alias.name}" for alias in node.names} & modules().keys()
            found |= inside or {base}
    return found & modules().keys() - {name}


def folder(name):
    return modules()[name].parent.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("name", modules())
def test_imports_point_one_way(name):
    others = {folder(other) for other in imports(name)} - {folder(name)}
    assert others <= MAY[folder(name)]


def test_there_is_no_circle():
    """Lazy imports within functions count too; a package's own front door does not."""
    graph = {name: {other for other in imports(name) if modules()[other].stem != "__init__"}
             for name in modules() if modules()[name].stem != "__init__"}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_a_test_file_imports_no_other():
    for path in (ROOT / "tests").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(import|from) test_", text, re.MULTILINE), path.name


def test_nobody_bends_the_path_that_modules_are_found_on():
    bent = [name for name, path in modules().items()
            if "sys.path.insert" in path.read_text(encoding="utf-8")]
    assert bent == ["press.set_up"]  # a line of the cell that sets a notebook up


@pytest.mark.parametrize("name", [name for name in modules() if not name.startswith("classroom")])
def test_only_what_shows_knows_ipython(name):
    tree = ast.parse(modules()[name].read_text(encoding="utf-8"))
    said = {alias.name.partition(".")[0] for node in ast.walk(tree)
            if isinstance(node, ast.Import) for alias in node.names}
    said |= {str(node.module).partition(".")[0] for node in ast.walk(tree)
             if isinstance(node, ast.ImportFrom) and not node.level}
    assert "IPython" not in said or folder(name) == "attnlib/exercises" or name in (
        "attnlib.claims",)
