"""What the inputs of an exercise leave out: a lint that needs no wrong answer to find a hole.

A mistake hides where the one coincidence is missing that tells: two lengths that are never equal,
a row of zeros that never comes, a comparison that always says the same. `missing` names each; what
cannot be, an exercise says itself (`Exercise.spared`), with the reason.

alike, apart  two lengths, or two entries of whole numbers, are ever equal, and ever different
              (lengths that are always equal in all inputs are one length; within one array
              tests/test_exercises.py forbids them)
one, empty    each length is ever 1, and some length 0
zeros         some row is ever all zeros, or all False
large, small  some number is ever large, some row small
sides         each comparison and branch of every right answer goes both ways
"""

import ast
import functools
import inspect
import itertools
import textwrap

import numpy as np

from attnlib.exercises import core
from attnlib.running import runner

from .students import answers

SEEDS = range(3)
LARGE, SMALL = 100.0, 0.01
KINDS = ("alike", "apart", "one", "empty", "zeros", "large", "small", "sides")


def missing(exercise, seeds=SEEDS):
    """``{kind: what no input has}``, of `KINDS`, without what the exercise spares: a whole kind,
    or "kind: what", one thing that cannot be.

    Args:
        exercise: `attnlib.exercises.core.Exercise`.
        seeds: an input must be there on every one of them.
    """
    found = {}
    if exercise.kind in core.CODE_KINDS:
        for seed in seeds:
            for kind, what in [*inputs(exercise, seed), *sides(exercise, seed)]:
                if not {kind, f"{kind}: {what}"} & exercise.spared.keys():
                    found.setdefault(kind, {})[what] = seed
    return {kind: "; ".join(found[kind]) for kind in KINDS if kind in found}


# What the inputs are like.


def inputs(exercise, seed):
    """``(kind, what)``: what none of the inputs of a seed has."""
    names = core.argument_names(exercise)
    cases = [dict(zip(names, case.args)) | case.kwargs for case in exercise.cases(seed)]
    lengths = symbols(names, cases)
    for one, other in itertools.combinations(lengths, 2):
        pairs = [(a, b) for a, b in zip(lengths[one], lengths[other]) if a is not None and b]
        if pairs and not any(a == b > 1 for a, b in pairs):
            yield "alike", f"{one} and {other} are never of one length"
    for name, values in lengths.items():
        if 1 not in values:
            yield "one", f"{name} is never of length 1"
    if lengths and not any(0 in values for values in lengths.values()):
        yield "empty", "nothing is ever empty"
    given = {name: [case[name] for case in cases if name in case] for name in names}
    held = {name: numbers(x) for name, x in given.items()}
    held = {name: rows for name, rows in held.items() if rows}
    if held:
        if not any((row == 0).all() for rows in held.values() for row in rows):
            yield "zeros", "no row is ever all zeros, or False"
        sizes = {name: [size(row) for row in rows] for name, rows in held.items()}
        floating = {name: s for name, s in sizes.items() if held[name][0].dtype.kind == "f"}
        if floating and max(map(max, floating.values())) < LARGE:
            yield "large", f"no number is {LARGE:.0f} or more"
        if floating and not any(0 < x <= SMALL for s in floating.values() for x in s):
            yield "small", f"no row stays below {SMALL}"
    for name, values in given.items():
        rows = [row.tolist() for row in held.get(name, ())
                if row.dtype.kind in "iu" and row.size > 1]
        if rows and all(len(set(row)) == len(row) for row in rows):
            yield "alike", f"no two entries of {name} are equal"
        if rows and all(len(set(row)) == 1 for row in rows):
            yield "apart", f"the entries of {name} are always equal"
        if values and all(type(x) is bool for x in values) and len(set(values)) == 1:
            yield "sides", f"{name} is always {values[0]}"


def symbols(names, cases):
    """``{"argument's axis": length in each case}``, one name for axes that are always alike."""
    found = {}
    for name in names:
        arrays = [case.get(name) for case in cases]
        deepest = max([x.ndim for x in arrays if isinstance(x, np.ndarray)], default=0)
        for axis in range(-1, -deepest - 1, -1):
            found[f"axis {axis} of {name}"] = tuple(
                x.shape[axis] if isinstance(x, np.ndarray) and x.ndim >= -axis else None
                for x in arrays)
    first = {}
    for name, values in found.items():
        first.setdefault(values, name)
    return {name: values for values, name in first.items()}


def numbers(given):
    """The rows of arrays, numbers as rows of one; empty for what is neither."""
    arrays = [np.asarray(x) for x in given if isinstance(x, (np.ndarray, bool, int, float))]
    return [row for x in arrays if x.size for row in x.reshape(-1, x.shape[-1] if x.ndim else 1)]


def size(row):
    """The largest magnitude in a row, infinities left out."""
    return np.abs(np.where(np.isfinite(row), row, 0)).max()


# What the right answers do with them.


def sides(exercise, seed):
    """``("sides", what)``: comparisons and branches of right answers that always go one way."""
    for name, watched, seen in watched_answers(exercise):
        runner.run_own(watched, exercise.cases(seed), takes=exercise.takes)
        for text, found in seen.items():
            if len(found) == 1:
                yield "sides", f"`{text}` of {name} is always {next(iter(found))}"


def watched_answers(exercise):
    """Name, function and what it notes, of the solution, the reference and the variants."""
    seen = {}
    scope = answers.scope(answers.chapter(exercise)) | {"_side": functools.partial(note, seen)}
    sources = [instrumented(answers.python(text)) for text in answers.cells(exercise, "solution")]
    (_, solution), = answers.handed_over(sources, scope, "the solution")
    yield "the solution", solution, seen
    for function in (exercise.reference, *exercise.variants):
        if inspect.isfunction(function) and function.__module__.startswith("attnlib.exercises.ch"):
            seen = {}
            source = textwrap.dedent(inspect.getsource(function))
            if source.startswith("def "):
                scope = dict(function.__globals__, _side=functools.partial(note, seen))
                exec(instrumented(source), scope)
                yield function.__name__, scope[function.__name__], seen


def instrumented(source):
    """A program that notes which ways its comparisons and tests go."""
    return ast.unparse(ast.fix_missing_locations(Sides().visit(ast.parse(source))))


def note(seen, text, value):
    """Note which ways a comparison went, and hand its value on."""
    found = seen.setdefault(text, set())
    found.update(np.unique(np.asarray(value).astype(bool)).tolist())
    return value


class Sides(ast.NodeTransformer):
    """Wraps every comparison and every test, but for those that switch a fault on."""

    def wrapped(self, node):
        text = ast.unparse(node)
        if "faults" in text or isinstance(node, ast.Constant):
            return node
        return ast.Call(ast.Name("_side", ast.Load()), [ast.Constant(text), node], [])

    def visit_Compare(self, node):
        self.generic_visit(node)
        return self.wrapped(node)

    def visit_If(self, node):
        plain = not isinstance(node.test, (ast.Compare, ast.BoolOp))
        self.generic_visit(node)
        if plain:
            node.test = self.wrapped(node.test)
        return node

    visit_IfExp = visit_While = visit_If
