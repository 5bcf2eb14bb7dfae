"""The rules that every exercise of the book keeps, whoever adds it.

One test per rule, over the registry and the chapters' notebooks. Each rule is seen to fail on
planted faults in test_engine.py.
"""

import ast
import contextlib
import functools
import importlib.util
import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from attnlib.exercises import core, exercises, judging, plain, runner, watching
from attnlib.exercises.notebook import assess, assess_seed

BOOK = Path(__file__).parent.parent / "book"
EXERCISES = exercises()
SEEDS = (0, 1, 20261)
DISTINCT = 100  # tolerances between a mistake and everything else
BEHAVIOUR = judging.behaviour
TORCH = importlib.util.find_spec("torch") is not None
SQUARE = {"weights", "mask", "bias", "scores"}  # arguments that may have a row per column

each = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
each_code = pytest.mark.parametrize(
    "exercise", [e for e in EXERCISES if e.kind in core.CODE_KINDS], ids=lambda e: e.id)


# What is written down.

def test_notebooks_and_registry_have_the_same_exercises(ids=None, book=BOOK):
    ids = [exercise.id for exercise in EXERCISES] if ids is None else ids
    in_book = [id for path in sorted(book.glob("*.ipynb")) for id in _answers(path)]
    assert sorted(set(ids)) == sorted(ids), f"ids occur twice in the registry: {ids}"
    assert in_book == ids, (
        f"book/*.ipynb has the exercises {in_book}, attnlib/exercises has {ids}: add what is "
        "missing (a stub cell starts with `# answer N.M`), or put them in one order")


@each
def test_its_fields_are_sound(exercise):
    assert exercise.kind in core.KINDS, f"{exercise.id}: kind must be one of {core.KINDS}"
    assert re.fullmatch(r"\d+\.\d+", exercise.id), f"{exercise.id}: an id is chapter.number"
    assert exercise.takes in ("numpy", "torch"), f"{exercise.id}: takes is numpy or torch"
    for name in ("points", "minutes", "version"):
        number = getattr(exercise, name)
        assert isinstance(number, int) and number > 0, (
            f"{exercise.id}: {name} must be a whole number above 0, got {number!r}")
    assert exercise.reference or exercise.judge, (
        f"{exercise.id}: needs a reference or a judge, or nothing could be wrong")


@each
def test_it_has_two_or_three_hints(exercise):
    assert len(exercise.hints) in (2, 3) and all(map(str.strip, exercise.hints)), (
        f"{exercise.id}: write two or three hints, each giving a little more")
    assert len(set(exercise.hints)) == len(exercise.hints), f"{exercise.id}: a hint occurs twice"


@each
def test_hints_do_not_give_the_solution(exercise, book=BOOK):
    hints = _squeezed(" ".join(exercise.hints))
    lines = [_squeezed(line) for line in _solution_lines(exercise, book)]
    given = [line for line in lines if line in hints]
    assert 2 * len(given) <= len(lines), (
        f"{exercise.id}: the hints hold {len(given)} of the solution's {len(lines)} lines "
        f"({given}): leave the last step to the reader")


@each
def test_its_mistakes_have_names_and_sentences(exercise):
    names = [mistake.name for mistake in exercise.mistakes]
    sentences = [mistake.sentence for mistake in exercise.mistakes]
    assert len(set(names)) == len(names), f"{exercise.id}: a mistake's name occurs twice: {names}"
    assert len(set(sentences)) == len(sentences), f"{exercise.id}: two mistakes share a sentence"
    for mistake in exercise.mistakes:
        longest = 240 * (1 + mistake.name.count("+"))
        assert 20 <= len(mistake.sentence) <= longest, (
            f"{exercise.id}, {mistake.name}: a sentence has one or two lines (20 to 240 "
            f"characters), this one has {len(mistake.sentence)}")
        assert 0 <= mistake.credit < 1, f"{exercise.id}, {mistake.name}: credit is below 1"
    unknown = [name for pair in exercise.equivalent for name in pair if name not in names]
    assert not unknown, f"{exercise.id}: `equivalent` names mistakes that do not exist: {unknown}"
    assert all(map(str.strip, exercise.equivalent.values())), f"{exercise.id}: equivalent, but why?"


@each_code
def test_code_has_at_least_five_mistakes(exercise):
    single = [mistake.name for mistake in exercise.mistakes if "+" not in mistake.name]
    assert len(single) >= 5, f"{exercise.id}: add known mistakes until there are 5, not {single}"


@each
def test_what_it_forbids_exists(exercise):
    for name in exercise.forbidden:
        if name.startswith("torch."):
            pytest.importorskip("torch")
        try:
            functions = watching.functions_named(name)
        except (ImportError, AttributeError):
            functions = []
        assert functions, f"{exercise.id}: forbids {name}, but there is no such function"


# What it is tried on.

@each
def test_a_seed_gives_the_same_cases_again(exercise):
    once, again, other = (
        plain.plain([(case.args, case.kwargs) for case in exercise.cases(seed)])
        for seed in (3, 3, 4))
    assert once, f"{exercise.id}: cases(seed) is empty; by hand it is [Case()]"
    assert plain.identical(once, again), (
        f"{exercise.id}: cases(3) differs from cases(3): draw from np.random.default_rng(seed)")
    if any(args or kwargs for args, kwargs in once):
        assert not plain.identical(once, other), (
            f"{exercise.id}: cases(4) equals cases(3): an answer could be learned by heart")


@each
def test_lengths_are_distinct(exercise):
    shapes = [_lengths(exercise, case) for case in exercise.cases(0)]
    shared = set.intersection(*map(set, shapes)) if shapes else set()
    linked = {pair for pair in itertools.combinations(sorted(shared), 2)
              if all(shape[pair[0]] == shape[pair[1]] for shape in shapes)}
    square = [pair for pair in linked if pair[0][0] == pair[1][0] and pair[0][0] not in SQUARE]
    assert not square, (
        f"{exercise.id}: two axes of one array have equal lengths in every case: {square}; an "
        "answer that confuses them would pass")
    clashes = [[(a, b) for a, b in itertools.combinations(sorted(shape), 2)
                if shape[a] == shape[b] > 1 and (a, b) not in linked] for shape in shapes]
    assert not all(clashes), (
        f"{exercise.id}: no case has all of its independent lengths different (batch, heads, n_q, "
        f"n_k, d_k, d_v); the best one has {min(clashes, key=len)} alike")


# What is right.

@each
def test_the_stub_is_not_attempted(exercise, book=BOOK):
    result, _ = assess(exercise, _answer(exercise, "stub", book))
    assert result.status == "not_attempted", (
        f"{exercise.id}: the stub must be a signature, a docstring and `...`; it is {result}: "
        f"{result.sentence}")


@each
def test_the_solution_passes(exercise, book=BOOK):
    solution = _answer(exercise, "solution", book)
    for seed in SEEDS:
        _assert_passes(exercise, solution, seed, "the solution in the notebook")


@each
def test_the_reference_passes(exercise):
    if exercise.reference:
        allowed = replace(exercise, forbidden=())
        for seed in SEEDS:
            _assert_passes(allowed, exercise.reference, seed, "the reference")


@each
def test_variants_pass(exercise):
    if exercise.kind in core.CODE_KINDS:
        assert exercise.variants, f"{exercise.id}: add other right answers (loops, einsum, torch)"
    here = [v for v in exercise.variants if TORCH or not _needs_torch(exercise, v)]
    for variant, seed in itertools.product(here, SEEDS):
        _assert_passes(exercise, variant, seed, f"the variant {_name(variant)}")


@each_code
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_answers_pass_in_either_precision(exercise, dtype, book=BOOK):
    for answer in (_answer(exercise, "solution", book), *exercise.variants):
        if not _needs_torch(exercise, answer):
            _assert_passes(exercise, _in_dtype(answer, dtype), SEEDS[1],
                           f"{_name(answer)} computed in {dtype}")


@each_code
def test_answers_pass_with_the_other_kind_of_array(exercise, book=BOOK):
    pytest.importorskip("torch")
    other = replace(exercise, takes="torch" if exercise.takes == "numpy" else "numpy")
    passed = 0
    for answer in (_answer(exercise, "solution", book), *exercise.variants):
        outcomes = runner.run_own(answer, other.cases(0), takes=other.takes)
        if outcomes[0].kind == other.takes and not any(o.raised for o in outcomes):
            _assert_passes(other, answer, 0, f"{_name(answer)} called with {other.takes}")
            passed += 1
    assert passed, (f"{exercise.id}: neither the solution nor any variant is written for "
                    f"{other.takes}: add such a variant")


@each
def test_a_faulty_reference_without_faults_is_right(exercise):
    functions = {mistake.answer.func for mistake in exercise.mistakes
                 if isinstance(mistake.answer, functools.partial)}
    for function, seed in itertools.product(functions, SEEDS):
        _assert_passes(replace(exercise, forbidden=()), function, seed,
                       f"{function.__name__} with no faults switched on")


# What is wrong.

@each
@pytest.mark.parametrize("seed", SEEDS)
def test_every_mistake_gets_its_own_sentence(exercise, seed):
    for mistake in exercise.mistakes:
        result = _judged(exercise, mistake.answer, seed)
        alike = _alike(exercise, mistake)
        assert result.status == "known_mistake", (
            f"{exercise.id}, seed {seed}: the mistake {mistake.name} is {result}: "
            f"{result.sentence} Add a case that shows it, or a mistake of this name")
        assert result.mistake in alike, (
            f"{exercise.id}, seed {seed}: {mistake.name} is taken for {result.mistake}: add a "
            "case that tells them apart, or list the two as equivalent")
        assert result.sentence in [alike[result.mistake].sentence], f"{exercise.id}: {result}"


@each
@pytest.mark.parametrize("seed", SEEDS)
def test_mistakes_differ_widely(exercise, seed):
    did = {mistake.name: _behaviour(exercise, mistake.answer, seed)
           for mistake in exercise.mistakes}
    right = {"the reference": _behaviour(exercise, exercise.reference, seed)
             } if exercise.reference else {}
    for a, b in itertools.combinations([*right, *did], 2):
        if frozenset({a, b}) not in exercise.equivalent:
            first, second = right.get(a) or did[a], did[b]
            assert not judging.same(exercise, first, second, slack=DISTINCT), (
                f"{exercise.id}, seed {seed}: {a} and {b} differ by less than {DISTINCT} "
                "tolerances on every input: add a case that tells them apart, or list them as "
                "equivalent with the reason")


@each
def test_answers_without_thought_are_refused(exercise):
    thoughtless = {
        "the number 0": lambda *a, **k: 0,
        "the number 1": lambda *a, **k: 1.0,
        "a word": lambda *a, **k: "right",
        "an empty list": lambda *a, **k: [],
        "an empty dict": lambda *a, **k: {},
        "an empty array": lambda *a, **k: np.zeros(0),
        "a function": lambda *a, **k: print,
        "an exception": lambda *a, **k: 1 / 0,
    }
    if exercise.cases(0)[0].args:
        thoughtless["its first argument"] = lambda x, *a, **k: x
        thoughtless["its last argument"] = lambda *a, **k: a[-1]
    for what, answer in thoughtless.items():
        _assert_refused(exercise, answer, f"an answer that returns {what}")


@each
def test_answers_of_the_right_form_alone_are_refused(exercise):
    right = exercise.reference or exercise.variants[0]
    changes = {
        "zeros": lambda x: 0 * x, "ones": lambda x: 0 * x + 1, "NaN": lambda x: x * np.nan,
        "an array that equals everything": lambda x: (0 * x).view(AlwaysEqual),
    }
    if exercise.reference:
        changes |= {"all signs turned": lambda x: -x, "everything doubled": lambda x: 2 * x}
    for what, change in changes.items():
        _assert_refused(exercise, _changed_after(right, change), f"an answer with {what}",
                        unless_same_as=right)


@each
def test_tricks_are_refused(exercise):
    right = exercise.reference or exercise.variants[0]
    allowed = replace(exercise, forbidden=())
    if any(case.args for case in exercise.cases(0)):
        _assert_refused(allowed, _learned_by_heart(exercise, right), "an answer learned by heart")
    if any(isinstance(x, np.ndarray) for x in exercise.cases(0)[0].args):
        _assert_refused(allowed, _changes_its_input(right), "an answer that changes its arguments")
    _assert_refused(allowed, _wrong_on_the_last_call(exercise, right),
                    "an answer that is right on all inputs but one")


class AlwaysEqual(np.ndarray):
    """An array that says yes to every comparison."""

    def __eq__(self, other):
        return True

    def __array_function__(self, *_):
        return True

    def __array_ufunc__(self, *_, **__):
        return True


# Answers that are made here.

def _in_dtype(answer, dtype):
    """The answer, computed and returned in this dtype."""
    def cast(x):
        if isinstance(x, np.ndarray) and x.dtype.kind == "f":
            return x.astype(dtype)
        if type(x).__module__ == "torch" and x.is_floating_point():
            import torch
            return x.to(getattr(torch, dtype))
        return type(x)(map(cast, x)) if isinstance(x, (list, tuple)) else x

    return lambda *args, **kwargs: cast(answer(*map(cast, args), **kwargs))


def _changed_after(answer, change):
    """The answer with a change made to every array and number in what it returns."""
    def changed(x):
        if isinstance(x, dict):
            return {name: changed(item) for name, item in x.items()}
        if isinstance(x, (list, tuple)):
            return type(x)(map(changed, x))
        return "" if isinstance(x, str) else change(np.asarray(x))

    return lambda *args, **kwargs: changed(plain.plain(answer(*args, **kwargs)))


def _learned_by_heart(exercise, answer):
    """Right on the public seed, whatever it is given."""
    seen = [runner.run_own(answer, [case], takes=exercise.takes)[0].value
            for case in exercise.cases(0)]
    inputs = [plain.plain([case.args, case.kwargs]) for case in exercise.cases(0)]

    def by_heart(*args, **kwargs):
        given = plain.plain([args, kwargs])
        return next((value for known, value in zip(inputs, seen)
                     if plain.identical(known, given)), seen[0])

    return by_heart


def _changes_its_input(answer):
    def changes(*args, **kwargs):
        value = plain.plain(answer(*args, **kwargs))
        for x in args:
            if hasattr(x, "dtype"):
                x[...] = x == 0
        return value

    return changes


def _wrong_on_the_last_call(exercise, answer):
    last = plain.plain(exercise.cases(0)[-1].args)

    def wrong(*args, **kwargs):
        value = answer(*args, **kwargs)
        return "wrong" if plain.identical(plain.plain(args), last) else value

    return wrong


def _assert_passes(exercise, answer, seed, what):
    result, _ = assess_seed(exercise, answer, seed)
    assert result, (f"{exercise.id}, seed {seed}: {what} should pass, but is {result}: "
                    f"{result.sentence}\n{result.witness}")


def _assert_refused(exercise, answer, what, unless_same_as=None):
    if unless_same_as is not None:
        cases = exercise.cases(0)
        did = [runner.run_own(f, cases, takes=exercise.takes) for f in (answer, unless_same_as)]
        if all(plain.identical(x.value, y.value) for x, y in zip(*did)):
            return  # there is nothing in it to change
    result = _judged(exercise, answer, 0)
    if result:  # then the fresh seed decides
        result, _ = assess(exercise, answer)
    assert not result, f"{exercise.id}: {what} passes: add cases, or mend the judge"


@functools.lru_cache(maxsize=64)
def _behaviour(exercise, answer, seed):
    return BEHAVIOUR(exercise, answer, exercise.cases(seed))


def _judged(exercise, answer, seed):
    """What is said of an answer on one seed; the mistakes are run once for all answers."""
    cases = exercise.cases(seed)
    expected = exercise.reference and _behaviour(exercise, exercise.reference, seed)
    outcomes = runner.run(answer, cases, takes=exercise.takes, forbidden=exercise.forbidden,
                          names=judging.argument_names(exercise))
    with mock.patch.object(judging, "behaviour", lambda e, f, cases: _behaviour(e, f, seed)):
        return judging.judge(exercise, cases, outcomes, expected)


def _needs_torch(exercise, answer):
    outcome, = runner.run_own(answer, exercise.cases(0)[:1], takes=exercise.takes)
    return outcome.kind == "torch" or outcome.raised == "ModuleNotFoundError"


def _alike(exercise, mistake):
    """The mistakes that cannot be told from this one, itself among them."""
    names = {mistake.name}.union(*(pair for pair in exercise.equivalent if mistake.name in pair))
    return {other.name: other for other in exercise.mistakes if other.name in names}


def _name(answer):
    return getattr(answer, "__name__", "the answer")


def _lengths(exercise, case):
    """``{(argument, axis): length}`` of a case's arrays of two axes or more."""
    inputs = {**dict(zip(judging.argument_names(exercise), case.args)), **case.kwargs}
    return {(name, axis - x.ndim): length for name, x in inputs.items()
            if isinstance(x, np.ndarray) and x.ndim > 1 for axis, length in enumerate(x.shape)}


# What the notebooks hold.

@functools.cache
def _answers(path):
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


def _scope(path):
    """What a chapter imports and defines outside its exercises; nothing that it computes."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"
               and not {"stub", "check", "solution"} & set(cell["metadata"].get("tags", []))]
    nodes = [node for source in sources for node in ast.parse(_python(source)).body
             if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef))]
    scope = {"__name__": "chapter"}
    for node in nodes:
        with contextlib.suppress(ModuleNotFoundError, NameError):  # no torch; a computed default
            exec(compile(ast.Module([node], []), f"<{path.name}>", "exec"), scope)
    return scope


def _python(source):
    return "\n".join("" if line.startswith(("%", "!")) else line for line in source.splitlines())


def _chapter(exercise, book):
    number = int(exercise.id.partition(".")[0])
    path, = book.glob(f"{number:02d}_*.ipynb")
    return path


def _cells(exercise, which, book):
    answers = _answers(_chapter(exercise, book))
    assert answers.get(exercise.id, {}).get(which), (
        f"{exercise.id}: its {which} is not in {_chapter(exercise, book).name}")
    return answers[exercise.id][which]


def _answer(exercise, which, book):
    """What the notebook hands to ``check``, for the stub or the solution."""
    given = []
    path = _chapter(exercise, book)
    scope = _scope(path)
    scope["check"] = lambda id, answer: given.append((id, answer))
    for source in _cells(exercise, which, book) + (
            _cells(exercise, "check", book) if which == "stub" else []):
        try:
            exec(compile(_python(source), f"{path.name}, {which} {exercise.id}", "exec"), scope)
        except ModuleNotFoundError:
            if TORCH:
                raise
            pytest.skip("this solution needs torch")
    assert [id for id, _ in given] == [exercise.id], (
        f"{path.name}: the {which} of {exercise.id} must be checked once, with its own id; it "
        f"checks {[id for id, _ in given]}")
    return given[0][1]


def _solution_lines(exercise, book):
    """The values that the solution's statements compute and return."""
    trees = [ast.parse(_python(source)) for source in _cells(exercise, "solution", book)]
    return [ast.unparse(node.value) for tree in trees for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef) for node in ast.walk(function)
            if isinstance(node, (ast.Assign, ast.AugAssign, ast.Return)) and node.value]


def _squeezed(text):
    return re.sub(r"[\s`'\"]", "", text)
