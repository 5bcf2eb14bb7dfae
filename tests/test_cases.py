"""The lint over cases: what the inputs leave out is named, or spared with a reason."""

from dataclasses import replace

import numpy as np
import pytest
from made_up import EXERCISE, weights

from attnlib.exercises import exercises
from attnlib.exercises.core import Case
from proofs import cases
from proofs.exercises import tried_again

each = pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.id)


@pytest.mark.parametrize("exercise", tried_again(), ids=lambda exercise: exercise.id)
def test_its_inputs_leave_nothing_out(exercise):
    left = cases.missing(exercise)
    assert not left, (f"{exercise.id}: {left}. Add an input that has it, or say in `spared` why "
                      "there can be none")


@each
def test_what_is_spared_has_a_reason(exercise):
    assert {spared.partition(":")[0] for spared in exercise.spared} <= set(cases.KINDS)
    assert all(len(why) > 20 for why in exercise.spared.values())


def whole(seed):
    """Inputs that leave nothing out."""
    rng = np.random.default_rng(seed)

    def case(*leading, n_q, n_k, d_k):
        query, key = rng.normal(size=(*leading, n_q, d_k)), rng.normal(size=(*leading, n_k, d_k))
        return Case((query, key))

    alike = case(3, n_q=3, n_k=3, d_k=3)
    alike.args[0][0, 0] = 0
    alike.args[0][0, 1] *= 1e-3
    alike.args[1][0] *= 100
    return [case(n_q=2, n_k=4, d_k=3), case(2, n_q=5, n_k=3, d_k=4), alike,
            case(1, n_q=1, n_k=1, d_k=1), case(2, n_q=0, n_k=1, d_k=1)]


@pytest.fixture
def sides_pass(monkeypatch):
    monkeypatch.setattr(cases, "sides", lambda exercise, seed: ())


def without(change):
    return replace(EXERCISE, cases=lambda seed: [case for case in whole(seed) if change(case)])


@pytest.mark.parametrize("kind, keeps, words", [
    ("alike", lambda case: case.args[0].shape != (3, 3, 3), "never of one length"),
    ("one", lambda case: 1 not in case.args[0].shape, "never of length 1"),
    ("empty", lambda case: case.args[0].size, "nothing is ever empty"),
    ("zeros", lambda case: np.all(case.args[0]), "no row is ever all zeros"),
    ("large", lambda case: not case.args[1].size or abs(case.args[1]).max() < 50, "100 or more"),
    ("small", lambda case: case.args[0].shape != (3, 3, 3), "no row stays below"),
])
def test_what_is_missing_is_named(sides_pass, kind, keeps, words):
    assert not cases.missing(without(lambda case: True))
    left = cases.missing(without(keeps))
    assert words in left[kind]
    assert kind not in cases.missing(replace(without(keeps), spared={kind: "it cannot be"}))
    each = {f"{kind}: {what}": "it cannot be" for what in left[kind].split("; ")}
    assert kind not in cases.missing(replace(without(keeps), spared=each))
    if len(each) > 1:
        each.popitem()
        assert kind in cases.missing(replace(without(keeps), spared=each))


@pytest.mark.parametrize("lengths, kind", [([[1, 2], [3, 4, 5]], "alike"),
                                           ([[2, 2], [3, 3, 3]], "apart"), ([[1, 1, 2]], None)])
def test_whole_numbers_are_equal_and_different(sides_pass, lengths, kind):
    exercise = replace(EXERCISE, cases=lambda seed: [Case((np.array(x),)) for x in lengths])
    assert {"alike", "apart"} & set(cases.missing(exercise)) == ({kind} if kind else set())


def test_a_comparison_that_always_says_the_same_is_named(monkeypatch):
    seen = {}
    scope = {"_side": lambda text, value: cases.note(seen, text, value), "np": np}
    source = ("def answer(x):\n    y = np.where(x > 0, x, 0)\n    return y if len(x) < 9 else x\n")
    exec(cases.instrumented(source), scope)
    scope["answer"](np.array([1.0, 2.0]))
    assert seen == {"x > 0": {True}, "len(x) < 9": {True}}
    scope["answer"](np.array([-1.0, *range(9)]))
    assert seen == {"x > 0": {True, False}, "len(x) < 9": {True, False}}
    monkeypatch.setattr(cases, "watched_answers", lambda exercise: [("it", weights, seen)])
    seen["x > 0"] = {False}
    assert dict(cases.sides(EXERCISE, 0)) == {"sides": "`x > 0` of it is always False"}
