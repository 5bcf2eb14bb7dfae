"""Answers to the book's exercises, and what is said of them; for the tests and `make proofs`.

From the notebooks come each exercise's stub and solution; the rest is made here: right answers in
other clothes.
"""

import ast
import contextlib
import functools
import importlib.util
import json
import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from attnlib.exercises import core, judging
from attnlib.running import plain, runner

BOOK = Path(__file__).parents[2] / "book"
TORCH = importlib.util.find_spec("torch") is not None
BEHAVIOUR = judging.behaviour


# What is said of an answer.

@functools.lru_cache(maxsize=256)
def behaviour(exercise, answer, seed):
    """What one of our own functions does on the cases of a seed."""
    return BEHAVIOUR(exercise, answer, exercise.cases(seed))


def judged(exercise, answer, seed, seconds=runner.SECONDS):
    """What is said of an answer on one seed; the mistakes are run once for all answers."""
    cases = exercise.cases(seed)
    expected = exercise.reference and behaviour(exercise, exercise.reference, seed)
    outcomes = runner.run(answer, cases, takes=exercise.takes, forbidden=exercise.forbidden,
                          names=core.argument_names(exercise), seconds=seconds)
    number = len(cases)

    def known(exercise, answer, cases):
        whole = len(cases) == number
        return behaviour(exercise, answer, seed) if whole else BEHAVIOUR(exercise, answer, cases)

    with mock.patch.object(judging, "behaviour", known):
        return judging.judge(exercise, cases, outcomes, expected)


def alike(exercise, mistake):
    """The mistakes that cannot be told from this one, itself among them."""
    names = {mistake.name}.union(*(pair for pair in exercise.equivalent if mistake.name in pair))
    return {other.name: other for other in exercise.mistakes if other.name in names}


# Right answers in other clothes.

def in_dtype(answer, dtype):
    """The answer, computed and returned in this dtype."""
    def cast(x):
        if isinstance(x, np.ndarray) and x.dtype.kind == "f":
            return x.astype(dtype)
        if type(x).__module__ == "torch" and x.is_floating_point():
            import torch
            return x.to(getattr(torch, dtype))
        return type(x)(map(cast, x)) if isinstance(x, (list, tuple)) else x

    return lambda *args, **kwargs: cast(answer(*map(cast, args), **kwargs))


def in_lists(answer):
    """The answer, with lists of numbers in place of arrays."""
    def listed(x):
        if isinstance(x, dict):
            return {name: listed(item) for name, item in x.items()}
        if isinstance(x, (list, tuple)):
            return type(x)(map(listed, x))
        return x.tolist() if isinstance(x, np.ndarray) else x

    return lambda *args, **kwargs: listed(plain.plain(answer(*args, **kwargs)))


def changed_after(answer, change):
    """The answer with a change made to every array and number in what it returns."""
    def changed(x):
        if isinstance(x, dict):
            return {name: changed(item) for name, item in x.items()}
        if isinstance(x, (list, tuple)):
            return type(x)(map(changed, x))
        return "" if isinstance(x, str) else change(np.asarray(x))

    return lambda *args, **kwargs: changed(plain.plain(answer(*args, **kwargs)))


class Answering:
    """An object that is called like a function."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, *args, **kwargs):
        return self.answer(*args, **kwargs)


def needs_torch(exercise, answer):
    """Whether a right answer is called with tensors in the end, or would be if torch were here."""
    outcome, = runner.run_own(answer, exercise.cases(0)[:1], takes=exercise.takes)
    return outcome.kind == "torch" or bool(outcome.raised)


def works_with(exercise, answer, kind):
    """Whether an answer takes arrays of this kind, "numpy" or "torch"."""
    outcomes = runner.run_own(answer, exercise.cases(0), takes=kind)
    return all(outcome.kind == kind and not outcome.raised for outcome in outcomes)


# What the notebooks hold.

@functools.cache
def in_notebook(path):
    """``{id: {"stub": [source], "check": [source], "solution": [source, ...]}}`` of a notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    found, id = {}, None
    for cell in cells:
        tags, source = cell["metadata"].get("tags", []), "".join(cell["source"])
        if "stub" in tags:
            marker = re.match(r"# answer (\d+\.\d+)\b", source)
            assert marker, f"{path.name}: a stub cell must start with `# answer N.M`:\n{source}"
            id = marker[1]
            found[id] = {"stub": [], "check": [], "solution": []}
        for tag in ("stub", "check", "solution"):
            if tag in tags and cell["cell_type"] == "code":
                assert id, f"{path.name}: a {tag} cell stands before the first stub"
                found[id][tag].append(source)
    return found


def scope(path):
    """What a chapter imports and defines outside its exercises; nothing that it computes."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"
               and not {"stub", "check", "solution"} & set(cell["metadata"].get("tags", []))]
    nodes = [node for source in sources for node in ast.parse(python(source)).body
             if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef))]
    scope = {"__name__": "chapter"}
    for node in nodes:
        with contextlib.suppress(ModuleNotFoundError, NameError):  # no torch; a computed default
            exec(compile(ast.Module([node], []), f"<{path.name}>", "exec"), scope)
    return scope


def python(source):
    """A cell's source without the notebook's own commands."""
    return "\n".join("" if line.startswith(("%", "!")) else line for line in source.splitlines())


def chapter(exercise, book=BOOK):
    """The notebook that an exercise stands in."""
    number = int(exercise.id.partition(".")[0])
    path, = book.glob(f"{number:02d}_*.ipynb")
    return path


def cells(exercise, which, book=BOOK):
    """The sources of an exercise's code cells with this tag."""
    path = chapter(exercise, book)
    found = in_notebook(path)
    assert found.get(exercise.id, {}).get(which), (
        f"{exercise.id}: its {which} is not in {path.name}")
    return found[exercise.id][which]


def answer(exercise, which, book=BOOK):
    """What the notebook hands to ``check``, for the stub or the solution."""
    sources = cells(exercise, which, book) + (
        cells(exercise, "check", book) if which == "stub" else [])
    path = chapter(exercise, book)
    given = handed_over(sources, scope(path), f"{path.name}, {which} {exercise.id}")
    assert [id for id, _ in given] == [exercise.id], (
        f"{path.name}: the {which} of {exercise.id} must be checked once, with its own id; it "
        f"checks {[id for id, _ in given]}")
    return given[0][1]


def handed_over(sources, scope, where):
    """Run cells: ``[(id, answer)]`` as they gave them to ``check``."""
    given = []
    scope["check"] = lambda id, answer: given.append((id, answer))
    for source in sources:
        try:
            exec(compile(python(source), where, "exec"), scope)
        except (ModuleNotFoundError, NameError):  # of the module, where its import was passed over
            if TORCH:
                raise
            pytest.skip("this solution needs torch")
    return given
