"""The rules that every exercise of the book keeps, whoever adds it.

One test per rule, over the registry and the chapters' notebooks. Each rule is seen to fail on
planted faults in test_engine.py.
"""

import ast
import contextlib
import functools
import importlib
import itertools
import re
from dataclasses import replace

import answers
import numpy as np
import pytest
import tricks

from attnlib.exercises import core, exercises, judging
from attnlib.exercises.notebook import assess, assess_seed
from attnlib.running import plain, watching

EXERCISES = exercises()
SEEDS = (0, 1, 20261)
DISTINCT = 100  # tolerances between a mistake and everything else
SQUARE = {"weights", "mask", "bias", "scores"}  # arguments that may have a row per column

each = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
each_code = pytest.mark.parametrize(
    "exercise", [e for e in EXERCISES if e.kind in core.CODE_KINDS], ids=lambda e: e.id)


# What is written down.

def test_notebooks_and_registry_have_the_same_exercises(ids=None, book=answers.BOOK):
    ids = [exercise.id for exercise in EXERCISES] if ids is None else ids
    in_book = [id for path in sorted(book.glob("*.ipynb")) for id in answers.in_notebook(path)]
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
def test_hints_do_not_give_the_solution(exercise, book=answers.BOOK):
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
        if name.startswith(("torch.", "attnlib.multilevel.", "attnlib.layers.")):
            pytest.importorskip("torch")
        with contextlib.suppress(ImportError):  # the owner is a class
            importlib.import_module(name.rpartition(".")[0])
        try:
            functions = watching.functions_named(name)
        except (ImportError, AttributeError):
            functions = []
        assert functions, f"{exercise.id}: forbids {name}, but there is no such function"


# What it is tried on.

@each
def test_a_seed_gives_the_same_cases_again(exercise):
    once, again, *others = (
        plain.plain([(case.args, case.kwargs) for case in exercise.cases(seed)])
        for seed in (0, *range(40)))
    assert once, f"{exercise.id}: cases(seed) is empty; by hand it is [Case()]"
    assert plain.identical(once, again), (
        f"{exercise.id}: cases(0) differs from cases(0): draw from np.random.default_rng(seed)")
    if any(args or kwargs for args, kwargs in once):
        for seed, other in enumerate(others, 1):
            assert not plain.identical(once, other), (
                f"{exercise.id}: cases({seed}) equals cases(0): an answer could be learned by "
                "heart; draw from more numbers")


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
def test_the_stub_is_not_attempted(exercise, book=answers.BOOK):
    result, _ = assess(exercise, answers.answer(exercise, "stub", book))
    assert result.status == "not_attempted", (
        f"{exercise.id}: the stub must be a signature, a docstring and `...`; it is {result}: "
        f"{result.sentence}")


@each
def test_the_solution_passes(exercise, book=answers.BOOK):
    solution = answers.answer(exercise, "solution", book)
    if not answers.TORCH and answers.needs_torch(exercise, solution):
        pytest.skip("this solution needs torch")
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
    here = [v for v in exercise.variants if answers.TORCH or not answers.needs_torch(exercise, v)]
    for variant, seed in itertools.product(here, SEEDS):
        _assert_passes(exercise, variant, seed, f"the variant {_name(variant)}")


@each_code
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_answers_pass_in_either_precision(exercise, dtype, book=answers.BOOK):
    for answer in (answers.answer(exercise, "solution", book), *exercise.variants):
        if not answers.needs_torch(exercise, answer):
            _assert_passes(exercise, answers.in_dtype(answer, dtype), SEEDS[1],
                           f"{_name(answer)} computed in {dtype}")


@each_code
def test_answers_pass_with_the_other_kind_of_array(exercise, book=answers.BOOK):
    pytest.importorskip("torch")
    other = replace(exercise, takes="torch" if exercise.takes == "numpy" else "numpy")
    passed = 0
    for answer in (answers.answer(exercise, "solution", book), *exercise.variants):
        if answers.works_with(exercise, answer, other.takes):
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
        result = answers.judged(exercise, mistake.answer, seed)
        alike = answers.alike(exercise, mistake)
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
    did = {mistake.name: answers.behaviour(exercise, mistake.answer, seed)
           for mistake in exercise.mistakes}
    right = {"the reference": answers.behaviour(exercise, exercise.reference, seed)
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
    for what, answer in tricks.without_thought(exercise).items():
        _assert_refused(exercise, answer, f"an answer that returns {what}")


@each
def test_answers_of_the_right_form_alone_are_refused(exercise):
    right = exercise.reference or exercise.variants[0]
    for what, answer in tricks.of_the_right_form(exercise, right).items():
        _assert_refused(exercise, answer, f"an answer with {what}")


@each
def test_tricks_are_refused(exercise):
    right = exercise.reference or exercise.variants[0]
    allowed = replace(exercise, forbidden=())
    for what, answer in tricks.tricks(exercise, right).items():
        _assert_refused(allowed, answer, f"an answer that {what}")


@each
def test_what_is_forbidden_is_seen(exercise):
    right = exercise.reference or exercise.variants[0]
    for what, answer in tricks.forbidden(exercise, right).items():
        with tricks.libraries_restored():
            result = answers.judged(exercise, answer, 0)
        assert result.status == "forbidden_call", (
            f"{exercise.id}: an answer that {what} is {result}: {result.sentence}")


def _assert_passes(exercise, answer, seed, what):
    result, _ = assess_seed(exercise, answer, seed)
    assert result, (f"{exercise.id}, seed {seed}: {what} should pass, but is {result}: "
                    f"{result.sentence}\n{result.witness}")


def _assert_refused(exercise, answer, what):
    result = answers.judged(exercise, answer, 0)
    if result:  # then the fresh seed decides
        result, _ = assess(exercise, answer)
    assert not result, f"{exercise.id}: {what} passes: add cases, or mend the judge"


def _name(answer):
    return getattr(answer, "__name__", "the answer")


def _lengths(exercise, case):
    """``{(argument, axis): length}`` of a case's arrays of two axes or more."""
    inputs = {**dict(zip(judging.argument_names(exercise), case.args)), **case.kwargs}
    return {(name, axis - x.ndim): length for name, x in inputs.items()
            if isinstance(x, np.ndarray) and x.ndim > 1 for axis, length in enumerate(x.shape)}


def _solution_lines(exercise, book):
    """The values that the solution's statements compute and return."""
    trees = [ast.parse(answers.python(source))
             for source in answers.cells(exercise, "solution", book)]
    return [ast.unparse(node.value) for tree in trees for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef) for node in ast.walk(function)
            if isinstance(node, (ast.Assign, ast.AugAssign, ast.Return)) and node.value]


def _squeezed(text):
    return re.sub(r"[\s`'\"]", "", text)
