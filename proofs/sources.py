"""Binds a stored row to the sources that it proves: once they are others, the row is stale.

A row of a stored table keeps, under "sources", the digest of what it was made from; `stale` says
which rows were made from something else::

    now = {path.stem: sources.of_chapter(path) for path in chapter_paths()}
    for chapter in sources.stale(rows, now):
        rows[chapter] = measured(chapter) | {"sources": now[chapter]}

Comments, docstrings and layout are no source: changing them makes no row stale. A digest is the
same on every version of Python.
"""

import ast
import functools
import hashlib
import importlib
import json
from pathlib import Path

from press.chapters import marker

ROOT = Path(__file__).parent.parent
ENGINE = (  # what every exercise is judged by
    *(f"attnlib/exercises/{name}.py" for name in ("comparing", "core", "judging", "relating")),
    *(f"attnlib/running/{name}.py" for name in ("outcome", "plain", "runner", "watching")),
)
ANSWERS = {"stub", "check", "solution"}
NO_SOURCE = {"ctx", "kind", "returns"}  # of a syntax tree: it says nothing of what runs
NOT_PROVED = {"hints", "points", "minutes"}  # of an exercise: no check depends on them
OTHERWISE = {"new": "was never made", "changed": "was made from other sources",
             "gone": "is of something that is gone"}


def stale(rows, now):
    """What is to be made again.

    Args:
        rows: ``{name: row}``, a row a dict with a digest under "sources".
        now: ``{name: digest}`` of today, one for each row that there should be.

    Returns:
        ``{name: "new", "changed" or "gone"}``, of rows as they stand in ``now``, then of rows
        that should no longer be there; `OTHERWISE` has the words for them.

    >>> stale({"a": {"sources": "1"}, "b": {"sources": "1"}}, {"a": "1", "b": "2", "c": "3"})
    {'b': 'changed', 'c': 'new'}
    """
    found = {name: "changed" if name in rows else "new" for name, digest in now.items()
             if rows.get(name, {}).get("sources") != digest}
    return found | {name: "gone" for name in rows if name not in now}


# What a row can be made from.


@functools.cache
def of_files(*names):
    """The digest of Python files.

    Args:
        names: their paths, relative to the checkout's root.

    Returns:
        16 hexadecimal digits.
    """
    return digest([shape(parsed(ROOT / name)) for name in names])


def of_chapter(path, left_out=ANSWERS):
    """The digest of what a chapter computes: its code cells and what they printed.

    It is one program: where a cell ends does not count. Its exercises are left out, since nothing
    in a chapter depends on them; so are pictures, and what cells printed that are tagged
    ``nbval-ignore-output``. nbval proves what they printed against today's library: a change of
    the library that moves no output makes no row stale.

    Args:
        path: of the notebook.
        left_out: tags of the cells that do not count.

    Returns:
        16 hexadecimal digits.
    """
    code, said = [], []
    for cell in cells(path):
        tags = set(cell["metadata"].get("tags", ()))
        if cell["cell_type"] == "code" and not tags & set(left_out):
            code.append(python(cell))
            if "nbval-ignore-output" not in tags:
                said += map(printed, cell["outputs"])
    return digest([shape(ast.parse("\n".join(code))), "".join(said)])


def of_exercise(exercise):
    """The digest of an exercise: itself and all that it uses in its module, its stub and solution
    in the chapter, and the engine that judges it.

    Args:
        exercise: `attnlib.exercises.core.Exercise`, as it stands in the registry.

    Returns:
        16 hexadecimal digits.
    """
    number = int(exercise.id.partition(".")[0])
    path, = (ROOT / "attnlib" / "exercises").glob(f"ch{number:02d}_*.py")
    module = importlib.import_module(f"attnlib.exercises.{path.stem}")
    name, = (name for name, thing in vars(module).items() if thing is exercise)
    chapter, = (ROOT / "book").glob(f"{number:02d}_*.ipynb")
    return digest([definitions(path, name), answers(chapter, exercise.id), of_files(*ENGINE)])


def definitions(path, name):
    """What a module's name stands for, with all the module's names that this leads to."""
    known = {target: node for node in parsed(path).body for target in targets(node)}
    found, left = {}, [name]
    while left:
        name = left.pop()
        if name in known and name not in found:
            found[name] = shape(known[name])
            left += [node.id for node in ast.walk(known[name]) if isinstance(node, ast.Name)]
    return sorted(found.items())


def targets(node):
    """The names that a statement defines."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    found = getattr(node, "targets", [getattr(node, "target", None)])
    return [name.id for target in filter(None, found) for name in ast.walk(target)
            if isinstance(name, ast.Name)]


def answers(path, id):
    """The code cells of an exercise in its chapter."""
    parts, mine = [], False
    for cell in cells(path):
        tags, text = set(cell["metadata"].get("tags", ())), "".join(cell["source"])
        if "stub" in tags:
            mine = text.startswith(f"{marker(id)}\n")
        if mine and cell["cell_type"] == "code" and tags & ANSWERS:
            parts.append(shape(ast.parse(python(cell))))
    return parts


# How it is read.


def digest(parts):
    """16 hexadecimal digits for lists, texts and numbers."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def shape(node):
    """A syntax tree as lists, without docstrings and what says nothing of the program."""
    if isinstance(node, list):
        return list(map(shape, node))
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = {name: value for name, value in ast.iter_fields(node)
             if name not in NO_SOURCE and value is not None and value != []}
    if isinstance(node, ast.arg):
        parts.pop("annotation", None)
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Exercise":
        parts["keywords"] = [word for word in node.keywords if word.arg not in NOT_PROVED]
    if "body" in parts and is_docstring(parts["body"]):
        parts["body"] = parts["body"][1:]
    return [type(node).__name__, *([name, shape(value)] for name, value in parts.items())]


def is_docstring(body):
    first = body[0] if isinstance(body, list) else None
    return isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str)


def printed(output):
    """What an output says in plain text."""
    text = output.get("text", output.get("data", {}).get("text/plain", ""))
    return "".join(text)


def python(cell):
    """A code cell without the notebook's own commands."""
    lines = "".join(cell["source"]).splitlines()
    return "\n".join("" if line.startswith(("%", "!")) else line for line in lines)


@functools.cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]
