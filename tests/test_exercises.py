"""The rules that every exercise of the book keeps, whoever adds it.

One test per rule, over the registry and the chapters' notebooks. Each rule is seen to fail on
planted faults at the end.
"""

import ast
import contextlib
import functools
import importlib
import itertools
import json
import re
import textwrap
import types
from dataclasses import replace

import numpy as np
import pytest
from made_up import BY_HAND, EXERCISE, SENTENCES, cases, weights

import attnlib
from attnlib.exercises import ch06_multihead, core, exercises, get, judging
from attnlib.exercises.core import Case, Exercise, Mistake, switched, ways
from attnlib.exercises.notebook import assess, assess_seed
from attnlib.running import plain, watching
from proofs.exercises import tried_again
from proofs.students import answers, tricks

EXERCISES = exercises()
SEEDS = (0, 1, 20261)
DISTINCT = 100  # tolerances between a mistake and everything else
SQUARE = {"weights", "mask", "bias", "scores"}  # arguments that may have a row per column

each = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
each_code = pytest.mark.parametrize(
    "exercise", [e for e in EXERCISES if e.kind in core.CODE_KINDS], ids=lambda e: e.id)
# Rules that `python -m proofs.exercises` holds on twenty draws; a stale row of it fails the tests.
ANEW = tried_again()
each_anew = pytest.mark.parametrize("exercise", ANEW, ids=lambda exercise: exercise.id)
each_code_anew = pytest.mark.parametrize(
    "exercise", [e for e in ANEW if e.kind in core.CODE_KINDS], ids=lambda e: e.id)


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


@each
def test_its_task_says_what_it_forbids(exercise, book=answers.BOOK):
    bans = re.search(r"not\s+allowed(\s+here)?[.;]|Allowed:", _task(exercise, book))
    assert bool(bans) == bool(exercise.forbidden), (
        f"{exercise.id}: forbids {exercise.forbidden}, so its task has to say \"... is not allowed "
        "here.\"" if exercise.forbidden else
        f"{exercise.id}: its task says {bans[0]!r}, and nothing is forbidden")


@each
def test_its_solution_says_why_in_words(exercise, book=answers.BOOK):
    cells = _cells(book)
    start = next(i for i, cell in enumerate(cells) if _is_task(cell, exercise))
    own = itertools.takewhile(lambda cell: cell["cell_type"] == "code" or "solution" in
                              cell["metadata"].get("tags", []), cells[start + 1:])
    assert any(cell["cell_type"] == "markdown" for cell in own), (
        f"{exercise.id}: its solution is code alone: say in a cell above it why it is right")


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


@each_anew
def test_variants_pass(exercise):
    if exercise.kind in core.CODE_KINDS:
        assert exercise.variants, f"{exercise.id}: add other right answers (loops, einsum, torch)"
    here = [v for v in exercise.variants if answers.TORCH or not answers.needs_torch(exercise, v)]
    for variant, seed in itertools.product(here, SEEDS):
        _assert_passes(exercise, variant, seed, f"the variant {_name(variant)}")


@each_code_anew
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_answers_pass_in_either_precision(exercise, dtype, book=answers.BOOK):
    for answer in (answers.answer(exercise, "solution", book), *exercise.variants):
        if not answers.needs_torch(exercise, answer):
            _assert_passes(exercise, answers.in_dtype(answer, dtype), SEEDS[1],
                           f"{_name(answer)} computed in {dtype}")


@each_code_anew
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

@each_anew
def test_every_mistake_gets_its_own_sentence(exercise, seed=SEEDS[0]):
    for mistake in (way for known in exercise.mistakes for way in ways(known)):
        result = answers.judged(exercise, mistake.answer, seed)
        alike = answers.alike(exercise, mistake)
        assert result.status == "known_mistake", (
            f"{exercise.id}, seed {seed}: the mistake {mistake.name} is {result}: "
            f"{result.sentence} Add a case that shows it, or a mistake of this name")
        assert result.mistake in alike, (
            f"{exercise.id}, seed {seed}: {mistake.name} is taken for {result.mistake}: add a "
            "case that tells them apart, or list the two as equivalent")
        assert result.sentence in [alike[result.mistake].sentence], f"{exercise.id}: {result}"


def test_predictions_are_words():
    """Any wrong word may stand for another; a wrong number may not."""
    assert all(isinstance(word, str) for exercise in EXERCISES if exercise.kind == "predict"
               for word in exercise.reference().values())


@pytest.mark.parametrize("id, names", [("1.3", ("overflow", "one-top")),
                                       ("3.2", ("mean", "smallest", "global-top", "overflow"))])
@pytest.mark.parametrize("seeds", [
    range(25), pytest.param(range(25, 100), marks=pytest.mark.whole)], ids=["few", "many"])
def test_no_draw_of_large_scores_hides_what_they_are_for(id, names, seeds):
    """A class draws its variants from any seed: what large scores tell must not hang on luck."""
    mistakes = {mistake.name: mistake.answer for mistake in get(id).mistakes}
    assert {(name, answers.judged(get(id), mistakes[name], seed).mistake)
            for name in names for seed in seeds} == {(name, name) for name in names}


@each
def test_mistakes_differ_widely(exercise, seed=SEEDS[0]):
    did = {mistake.name + i * "'": answers.behaviour(exercise, way.answer, seed)
           for mistake in exercise.mistakes for i, way in enumerate(ways(mistake))}
    right = {"the reference": answers.behaviour(exercise, exercise.reference, seed)
             } if exercise.reference else {}
    for a, b in itertools.combinations([*right, *did], 2):
        if frozenset({a, b}) not in exercise.equivalent:
            first, second = right.get(a) or did[a], did[b]
            assert not judging.same(exercise, first, second, slack=DISTINCT), (
                f"{exercise.id}, seed {seed}: {a} and {b} differ by less than {DISTINCT} "
                "tolerances on every input: add a case that tells them apart, or list them as "
                "equivalent with the reason")


@each_anew
def test_answers_without_thought_are_refused(exercise):
    for what, answer in tricks.without_thought(exercise).items():
        _assert_refused(exercise, answer, f"an answer that returns {what}")


@each_anew
def test_answers_of_the_right_form_alone_are_refused(exercise):
    right = exercise.reference or exercise.variants[0]
    for what, answer in tricks.of_the_right_form(exercise, right).items():
        _assert_refused(exercise, answer, f"an answer with {what}")


@each_anew
def test_tricks_are_refused(exercise):
    right = exercise.reference or exercise.variants[0]
    allowed = replace(exercise, forbidden=())
    for what, answer in tricks.tricks(exercise, right).items():
        _assert_refused(allowed, answer, f"an answer that {what}")


@each_anew
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
    inputs = {**dict(zip(core.argument_names(exercise), case.args)), **case.kwargs}
    return {(name, axis - x.ndim): length for name, x in inputs.items()
            if isinstance(x, np.ndarray) and x.ndim > 1 for axis, length in enumerate(x.shape)}


def _task(exercise, book):
    """The text of its task in the chapter."""
    task, = ("".join(cell["source"]) for cell in _cells(book) if _is_task(cell, exercise))
    return task


def _cells(book):
    return [cell for path in sorted(book.glob("*.ipynb"))
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]


def _is_task(cell, exercise):
    return "".join(cell["source"]).startswith(f"### Exercise {exercise.id} ")


def _solution_lines(exercise, book):
    """The values that the solution's statements compute and return."""
    trees = [ast.parse(answers.python(source))
             for source in answers.cells(exercise, "solution", book)]
    return [ast.unparse(node.value) for tree in trees for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef) for node in ast.walk(function)
            if isinstance(node, (ast.Assign, ast.AugAssign, ast.Return)) and node.value]


def _squeezed(text):
    return re.sub(r"[\s`'\"]", "", text)


# The rules, each with a planted fault.

TASK = "### Exercise 9.1 ★ · Weights\n\nReady-made weights are not\nallowed here.\n"
STUB = '# answer 9.1\ndef weights(query, key):\n    """Return the weights."""\n    ...\n'
CHECK = 'check("9.1", weights)\n'
SOLUTION = '''
def weights(query, key):
    scores = query @ np.swapaxes(key, -1, -2) / query.shape[-1] ** 0.5
    parts = np.exp(scores - scores.max(-1, keepdims=True))
    return parts / parts.sum(-1, keepdims=True)
'''


WORDS = "A row's largest score is taken away first, so that no exponential overflows.\n"


def book_with(folder, task=TASK, stub=STUB, check=CHECK, solution=SOLUTION, words=WORDS,
              name="09_made_up.ipynb"):
    """A folder with one chapter in it."""
    cells = [([], "%matplotlib inline\nimport numpy as np\nx = 1 / 0\n"), (["exercise"], task),
             (["stub"], stub), (["check"], check), (["solution"], words),
             (["solution"], solution + (check if solution else ""))]
    (folder / name).write_text(json.dumps({"cells": [
        {"cell_type": "markdown" if source in (task, words) else "code", "metadata": {"tags": tags},
         "source": source.splitlines(True)}
        for tags, source in cells if source]}), encoding="utf-8")
    return folder


def test_the_made_up_exercise_keeps_every_rule(tmp_path):
    book = book_with(tmp_path)
    test_notebooks_and_registry_have_the_same_exercises(["9.1"], book)
    for name, rule in list(globals().items()):
        if isinstance(rule, types.FunctionType) and name.startswith("test_"):
            arguments = rule.__code__.co_varnames[:rule.__code__.co_argcount]
            if "torch" in name or arguments[:1] != ("exercise",):
                continue
            for extra in {"seed": SEEDS[:1], "dtype": ["float32"]}.get(
                    next((a for a in arguments if a in ("seed", "dtype")), ""), [None]):
                given = {"seed": extra, "dtype": extra, "book": book}
                rule(EXERCISE, **{a: given[a] for a in arguments if a in given})


def fails(match, rule, exercise, **given):
    with pytest.raises(AssertionError, match=match):
        rule(exercise, **given)


def spoilt(**changes):
    return replace(EXERCISE, **changes)


def mistakes_with(name, sentence, answer):
    return (*EXERCISE.mistakes, Mistake(name, sentence, answer))


def test_rule_ids(tmp_path):
    book = book_with(tmp_path)
    rule = test_notebooks_and_registry_have_the_same_exercises
    for ids in (["9.1", "9.2"], [], ["9.1", "9.1"]):
        with pytest.raises(AssertionError):
            rule(ids, book)


@pytest.mark.parametrize("changes, match", [
    (dict(kind="guess"), "kind must be"), (dict(id="nine"), "chapter.number"),
    (dict(points=0), "points"), (dict(minutes=2.5), "minutes"), (dict(takes="jax"), "takes"),
    (dict(reference=None), "reference or a judge"),
])
def test_rule_fields(changes, match):
    fails(match, test_its_fields_are_sound, spoilt(**changes))


def test_rule_hints(tmp_path):
    for hints in (("one",), ("a", "b", "c", "d"), ("a", " "), ("a", "a")):
        fails("hint", test_it_has_two_or_three_hints, spoilt(hints=hints))
    lines = [line.strip() for line in SOLUTION.strip().splitlines()[1:]]
    telling = spoilt(hints=("First: " + lines[0], f"Then `{lines[1]}`."))
    fails("the hints hold 2 of the solution's 3", test_hints_do_not_give_the_solution,
          telling, book=book_with(tmp_path))


def test_rule_words(tmp_path):
    fails("code alone", test_its_solution_says_why_in_words, EXERCISE,
          book=book_with(tmp_path, words=""))


@pytest.mark.parametrize("mistakes, match", [
    (mistakes_with("axis", "Another sentence for the same name.", weights), "occurs twice"),
    (mistakes_with("new", SENTENCES["axis"], weights), "share a sentence"),
    (mistakes_with("new", "Short.", weights), "one or two lines"),
    (mistakes_with("new", "Long. " * 50, weights), "one or two lines"),
])
def test_rule_names_and_sentences(mistakes, match):
    fails(match, test_its_mistakes_have_names_and_sentences, spoilt(mistakes=mistakes))


def test_rule_equivalents_exist():
    fails("do not exist", test_its_mistakes_have_names_and_sentences,
          spoilt(equivalent={frozenset({"axis", "no-such"}): "why"}))


def test_rule_five_mistakes():
    fails("until there are 5", test_code_has_at_least_five_mistakes,
          spoilt(mistakes=switched(weights, dict([*SENTENCES.items()][:4]), [("axis", "shape")])))


def test_rule_forbidden_names_exist():
    fails("no such function", test_what_it_forbids_exists,
          spoilt(forbidden=("attnlib.attentoin",)))


def test_rule_bans_are_said(tmp_path):
    rule = test_its_task_says_what_it_forbids
    fails("has to say", rule, EXERCISE,
          book=book_with(tmp_path, task="### Exercise 9.1 ★ · Weights\n\nWrite them.\n"))
    fails("nothing is forbidden", rule, spoilt(forbidden=()), book=book_with(tmp_path))


def test_rule_seeds():
    rng = np.random.default_rng(0)
    fails("differs from", test_a_seed_gives_the_same_cases_again,
          spoilt(cases=lambda seed: [Case((rng.normal(size=3),))]))
    fails("by heart", test_a_seed_gives_the_same_cases_again,
          spoilt(cases=lambda seed: cases(1)))
    fails("is empty", test_a_seed_gives_the_same_cases_again, spoilt(cases=lambda seed: []))


def test_rule_distinct_lengths():
    def alike(seed):  # n_q and d_k differ nowhere, n_q and n_k in one case only
        return [Case((np.zeros((n, n)), np.zeros((m, n)))) for n, m in ((3, 4), (2, 2))]

    def coincident(seed):  # every case has some coincidence
        return [Case((np.zeros(a), np.zeros(b))) for a, b in (
            ((3, 2), (3, 2)), ((4, 3), (3, 3)), ((2, 5), (7, 5)))[:2]]

    fails("two axes of one array", test_lengths_are_distinct, spoilt(cases=alike))
    fails("no case has all", test_lengths_are_distinct, spoilt(cases=coincident))


def test_rule_stub(tmp_path):
    fails("the stub must be", test_the_stub_is_not_attempted, EXERCISE,
          book=book_with(tmp_path, stub=STUB.replace("...", "return query")))


@pytest.mark.parametrize("changes, match", [
    (dict(solution=SOLUTION.replace("/ query.shape[-1] ** 0.5", "")), "should pass"),
    (dict(solution=SOLUTION.replace("scores.max", "x.max")), "should pass"),
    (dict(solution=""), "is not in"), (dict(stub="def weights(): ...", solution=""), "must start"),
])
def test_rule_solution(tmp_path, changes, match):
    fails(match, test_the_solution_passes, EXERCISE, book=book_with(tmp_path, **changes))


def test_rule_solution_is_checked_with_its_own_id(tmp_path):
    fails("with its own id", test_the_solution_passes, EXERCISE,
          book=book_with(tmp_path, check='check("9.2", weights)\n'))


def test_rule_reference():
    rng = np.random.default_rng(0)
    fails("the reference should pass", test_the_reference_passes,
          spoilt(reference=lambda query, key: weights(query, key) + rng.random()))


def test_rule_variants():
    fails("add other right answers", test_variants_pass, spoilt(variants=()))
    fails("should pass", test_variants_pass,
          spoilt(variants=(lambda q, k: 2 * weights(q, k),)))


def test_rule_precision(tmp_path):
    def needs_double(query, key):
        assert query.dtype == np.float64
        return weights(query, key)

    def sensitive(seed):
        return [Case((1e6 * query, key)) for query, key in (case.args for case in cases(seed))]

    rule = test_answers_pass_in_either_precision
    book = book_with(tmp_path)
    fails("float32", rule, spoilt(variants=(needs_double,)), dtype="float32", book=book)
    rule(spoilt(variants=(needs_double,)), dtype="float64", book=book)


def test_rule_other_kind(tmp_path):
    pytest.importorskip("torch")
    book = book_with(tmp_path)
    rule = test_answers_pass_with_the_other_kind_of_array
    rule(EXERCISE, book=book)
    fails("add such a variant", rule, spoilt(variants=(weights,)), book=book)


def test_rule_no_faults():
    def faulty(query, key, *, faults=frozenset()):
        return weights(query, key, faults=faults) * 1.01

    fails("no faults switched on", test_a_faulty_reference_without_faults_is_right,
          spoilt(mistakes=switched(faulty, SENTENCES)))


def test_rule_own_sentence():
    rule = functools.partial(test_every_mistake_gets_its_own_sentence, seed=0)
    harmless = mistakes_with("harmless", "This changes nothing at all.", weights)
    fails("harmless is <9.1: passed>", rule, spoilt(mistakes=harmless))
    again = mistakes_with("again", "The same mistake in other words.",
                          functools.partial(weights, faults={"axis"}))
    fails("again is taken for axis", rule, spoilt(mistakes=again))
    rule(spoilt(mistakes=again, equivalent={frozenset({"again", "axis"}): "planted"}))


def test_rule_wide_difference():
    rule = functools.partial(test_mistakes_differ_widely, seed=0)
    near = mistakes_with("near", "Hardly different from the reference.",
                         lambda q, k: weights(q, k) * 1.002)
    fails("the reference and near", rule, spoilt(mistakes=near))
    twin = mistakes_with("twin", "Hardly different from another one.",
                         lambda q, k: weights(q, k, faults={"axis"}) + 0.002)
    fails("axis and twin", rule, spoilt(mistakes=twin))


def test_rule_thoughtless():
    rule = test_answers_without_thought_are_refused
    fails("a function passes|a word passes|0 passes", rule,
          spoilt(reference=None, judge=lambda *_: None))
    fails("its last argument", rule, spoilt(reference=lambda query, key: key))


def test_rule_right_form():
    rule = test_answers_of_the_right_form_alone_are_refused
    fails("with zeros", rule, spoilt(reference=lambda query, key: np.full(3, 3e-5)))
    fails("with zeros", rule, spoilt(reference=None, judge=lambda *_: None, variants=(weights,)))


def test_rule_tricks(monkeypatch):
    rule = test_tricks_are_refused
    fails("learned by heart", rule, spoilt(cases=lambda seed: cases(0)))
    fails("all inputs but one", rule, replace(
        BY_HAND, reference=None, judge=lambda *_: None, variants=(lambda: 1.0,)))
    monkeypatch.setattr(judging, "_changed", lambda *_: None)
    fails("changes its arguments", rule, spoilt(mistakes=()))


def test_the_example_in_contributing_works():
    text = (answers.BOOK.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    source = textwrap.dedent(text.split("```python\n")[1].split("```")[0])
    scope = {"np": np, "Case": Case, "Exercise": Exercise, "switched": switched,
             "softmax": attnlib.softmax, "_shares_in_torch": None, "_shares_in_loops": None}
    exec(source.replace("Exercise(\n", "exercise = Exercise(\n"), scope)
    exercise = replace(scope["exercise"], variants=())
    for rule in (test_every_mistake_gets_its_own_sentence, test_mistakes_differ_widely):
        rule(exercise, seed=0)
    for rule in (test_lengths_are_distinct, test_tricks_are_refused,
                 test_a_faulty_reference_without_faults_is_right,
                 test_its_mistakes_have_names_and_sentences):
        rule(exercise)


@pytest.mark.parametrize("fault", ["exchanged", "one-ear", "other-ear", "deaf", "both-ears",
                                   "mixed", "halved", "doubled", "first-label", "second-label",
                                   "avoids"])
def test_what_heads_by_hand_get_wrong_is_named_at_any_firmness(fault):
    def answer(keys, labels):
        w_query, w_key, w_value, w_out = ch06_multihead._by_hand(keys, labels, faults={fault})
        return 3 * w_query, 2 * w_key, w_value / 2, 2 * w_out

    result = answers.judged(get("6.6"), answer, 0)
    assert (result.status, result.mistake) == ("known_mistake", fault), result.sentence


@pytest.mark.parametrize("more", [(), ("exchanged",), ("one-ear",), ("both-ears",), ("mixed",),
                                  ("halved",), ("first-label",), ("avoids",)])
def test_heads_by_hand_that_are_too_even_are_named_however_even_they_are(more):
    def answer(keys, labels):
        w_query, *others = ch06_multihead._by_hand(keys, labels, faults={"too-even", *more})
        return 2.5 * w_query, *others

    result = answers.judged(get("6.6"), answer, 0)
    assert (result.status, result.mistake) == ("known_mistake", "+".join(("too-even", *more)))
