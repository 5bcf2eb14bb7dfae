"""How a wrong answer departs from the right one is said where it holds, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest
from made_up import BY_HAND, EXERCISE

from attnlib.exercises import core, exercises, judging, relating
from attnlib.exercises.core import Case
from attnlib.running import runner


def cases(seed):
    rng = np.random.default_rng(seed)
    return [Case((rng.normal(size=(3, 4)) + 3,)), Case((rng.normal(size=(2, 5, 3)) + 3,)),
            Case((rng.normal(size=(4, 5)) + 2,)),
            Case((rng.normal(size=(3, 6)) * 40,), hard="large"),
            Case((rng.normal(size=(1, 4)) + 1,), hard="a single row")]


def right(x):
    return x / 7


def made(reference=right, draws=cases, **changes):
    return replace(EXERCISE, reference=reference, cases=draws, mistakes=(), forbidden=(),
                   variants=(), **changes)


def said(answer, exercise=None):
    exercise = exercise or made()
    inputs = exercise.cases(0)
    with np.errstate(all="ignore"):
        return judging.judge(exercise, inputs, runner.run(answer, inputs, takes="numpy"))


RELATIONS = {
    "times 2.5": lambda x: 2.5 * right(x),
    "turned sign": lambda x: -right(x),
    "times a factor": lambda x: right(x) * x.shape[-1],
    "1 too much": lambda x: right(x) + 1,
    "0.5 too little": lambda x: right(x) - 0.5,
    "exponentials taken": lambda x: np.exp(right(x)),
    "squares taken": lambda x: right(x) ** 2,
    "rest of 1": lambda x: 1 - right(x),
    "axes exchanged": lambda x: np.swapaxes(right(x), -1, -2),
    "another shape": lambda x: right(x)[None],
    "another order along axis -1": lambda x: right(x)[..., ::-1],
    "rows in another order": lambda x: np.sort(right(x), axis=-1),
    "times a factor by row": lambda x: right(x) / x.sum(-1, keepdims=True),
    "times a factor by column": lambda x: right(x) / x.sum(-2, keepdims=True),
    "shifted by row": lambda x: right(x) - x.sum(-1, keepdims=True),
    "missing along axis -1": lambda x: right(x)[..., 1:],
    "too many along axis -2": lambda x: np.concatenate([right(x), 0 * x[..., :1, :]], -2),
    "more than asked for": lambda x: (x, right(x)),
    "first wrong along axis -1": lambda x: np.where(np.arange(x.shape[-1]) > 0, right(x), 9),
    "last right along axis -1": lambda x: np.where(
        np.arange(x.shape[-1]) < x.shape[-1] - 1, x ** 3, right(x)),
    "zeros given": lambda x: right(x) * (x > 3),
    "nearly right": lambda x: right(x) * (1 + 0.004 * np.sin(x)),
    "an empty list": lambda x: [],
    "with large": lambda x: np.minimum(right(x), 3),
    "3 axes": lambda x: right(x) if x.ndim == 2 else right(x) + x ** 2,
}


@pytest.mark.parametrize("name", RELATIONS)
def test_a_relation_is_named(name):
    result = said(RELATIONS[name])
    assert result.mistake == name, result.sentence
    assert not result and result.status in ("differs", "wrong_kind")


@pytest.mark.parametrize("answer", [
    lambda x: x ** 3, lambda x: np.sin(5 * x), lambda x: np.cumsum(x, -1) + 1,
    lambda x: right(x) * 2 if x.shape[-1] == 4 else right(x) + 1,  # another one on each input
    lambda x: np.zeros((7, 7)), lambda x: 1 / 0, lambda x: {"x": 1},
    lambda x: "word" if x.ndim == 2 else right(x) ** 3,
])
def test_what_has_no_relation_gets_no_name(answer):
    assert said(answer).mistake == ""


def test_a_few_numbers_prove_no_relation():
    few = made(draws=lambda seed: [Case((np.array([[1.0, 2.0]]),)), Case((np.array([[3.0]]),))])
    for answer in (lambda x: 2 * right(x), lambda x: right(x) + 1, lambda x: -right(x)):
        assert said(answer, few).mistake == ""


def test_a_hard_input_on_which_a_relation_does_not_hold_is_said():
    result = said(lambda x: 2 * right(x) if abs(x).max() < 20 else np.ones_like(x))
    assert result.mistake == "times 2"
    assert result.sentence.endswith("what it should be. (Something else happens with large.)")


def test_booleans():
    exercise = made(reference=lambda x: x > 3)
    for name, answer in {"True for False": lambda x: x <= 3, "too much True": lambda x: x > 2.5,
                         "too little True": lambda x: x > 3.5,
                         "numbers for True": lambda x: (x > 3) * 1}.items():
        assert said(answer, exercise).mistake == name


def test_parts():
    exercise = made(reference=lambda x: (x / 7, x.sum(-1)))
    assert said(lambda x: (x.sum(-1), x / 7), exercise).mistake == "parts in another order"
    assert said(lambda x: x / 7, exercise).mistake == "less than asked for"
    result = said(lambda x: (x / 7, 3 * x.sum(-1)), exercise)
    assert result.mistake == "times 3"


def test_tables():
    exercise = made(reference=lambda x: x.reshape(-1, x.shape[-1]))
    assert said(lambda x: exercise.reference(x)[1::2], exercise).mistake == "rows missing"
    assert said(lambda x: np.repeat(np.concatenate([exercise.reference(x), x[:1].reshape(
        -1, x.shape[-1]) + 1]), 2, 0)[::-1], exercise).mistake == "too many rows"


def test_where_an_answer_stops_is_said():
    def answer(x):
        if x.ndim == 3:
            raise ValueError("no")
        return right(x)

    result = said(answer)
    assert (result.status, result.mistake) == ("raised", "3 axes")


@pytest.mark.parametrize("changes, name", [
    (dict(half=-0.5), "turned sign"), (dict(weights=[25, 75]), "percent"),
    (dict(third=0.33), "rounded numbers"), (dict(half=1 / 3, third=0.5), "changed places"),
    (dict(weights=[0.25]), ""), (dict(half=7), "")])
def test_by_hand(changes, name):
    right = {"weights": [0.25, 0.75], "half": 0.5, "third": 1 / 3}
    exercise = replace(BY_HAND, reference=lambda: right)
    assert said(lambda: right | changes, exercise).mistake == name


def test_an_error_that_comes_everywhere_is_known_by_its_words():
    raises = core.Mistake("viewed", "You merged by a view of what was transposed.",
                          lambda x: np.broadcast_to(x, (3,)))
    exercise = replace(made(), mistakes=(raises,))
    assert said(lambda x: np.broadcast_to(x, (3,)), exercise).mistake == "viewed"
    assert said(lambda x: np.stack([x, x[0]]), exercise).mistake == ""


def test_an_error_wherever_it_is_wrong_is_known_by_its_words():
    def stops(how, single=right):
        return lambda x: single(x) if len(x) == 1 else how(x)

    def broadcast(x):
        return np.broadcast_to(x, (3,))

    def known(answer):
        raises = core.Mistake("viewed", "You viewed what was transposed.", stops(broadcast, np.exp))
        return said(answer, replace(made(), mistakes=(raises,))).mistake == "viewed"

    assert known(stops(lambda x: np.broadcast_to(x, (2,))))
    assert not known(stops(lambda x: np.stack([x, x[0]])))


def test_a_mistake_that_errs_elsewhere_is_not_named():
    def over(x):
        return np.minimum(right(x), 3)

    def errs(x):  # wrong with both hard inputs, and explains one
        return over(x) + (len(x) == 1)

    exercise = replace(made(), mistakes=(core.Mistake("both", "A sentence that is untrue.", errs),))
    assert said(over, exercise).mistake == "with large"
    assert said(errs, exercise).mistake == "both"


def test_what_is_noticed_is_called_as_no_known_mistake_is():
    known = {mistake.name for exercise in exercises() for mistake in exercise.mistakes}
    assert not known & {*RELATIONS, *relating.MAPS, "True for False", "rounded numbers"}
