"""The exercise engine on small made-up exercises: every status, every trick, every rule."""

import _thread
import fractions
import functools
import json
import math
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from made_up import BY_HAND, EXERCISE, OPEN, SENTENCES, cases, in_torch, weights

import attnlib
from attnlib.exercises import core, judging, notebook, registry, showing, shrinking
from attnlib.exercises.core import Case, Mistake, broken_law, switched
from attnlib.running import outcome, plain, runner, watching
from attnlib.running.outcome import Outcome
from proofs.students import answers


def said(answer, exercise=EXERCISE, seed=0):
    return notebook.assess_seed(exercise, answer, seed)[0]


# Right answers in other clothes.

def loops(query, key):
    if query.ndim == 3:
        return [loops(*pair) for pair in zip(query, key)]
    rows = []
    for q in query:
        scores = [sum(a * b for a, b in zip(q, k)) / len(q) ** 0.5 for k in key]
        parts = [math.exp(score - max(scores)) for score in scores]
        rows.append([part / sum(parts) for part in parts])
    return rows


class Callable:
    def __call__(self, query, key):
        return weights(query, key)


@pytest.mark.parametrize("answer", [
    weights, loops, Callable(), lambda q, k: weights(q, k),
    lambda query, key: weights(query.astype(np.float32), key.astype(np.float32)),
    lambda query, key: weights(query, key).astype(np.float16),
    lambda query, key: np.asfortranarray(weights(query, key)),
    lambda query, key: tuple(map(tuple, weights(query, key))),
    functools.partial(weights, faults=frozenset()),
], ids=lambda answer: getattr(answer, "__name__", type(answer).__name__))
def test_other_right_answers_pass(answer):
    result = said(answer)
    assert result, (result, result.sentence, result.witness)
    assert result.sentence == "4 inputs, 2 hard ones" and result.credit == 1.0


def test_bfloat16_passes_within_its_own_tolerance():
    torch = pytest.importorskip("torch")
    assert said(lambda q, k: in_torch(q, k).to(torch.bfloat16))
    assert not said(lambda q, k: in_torch(q, k).to(torch.bfloat16).to(torch.float32))
    assert not said(lambda q, k: (in_torch(q, k) + 0.03).to(torch.bfloat16))


def test_an_answer_that_needs_torch_is_called_with_torch():
    torch = pytest.importorskip("torch")
    kinds = []

    def answer(query, key):
        kinds.append(type(query))
        return in_torch(query, key)

    outcomes = runner.run(answer, cases(0))
    assert {outcome.kind for outcome in outcomes} == {"torch"}
    assert kinds[0] is np.ndarray and set(kinds[1:]) == {torch.Tensor}


def test_torch_exercises_take_numpy_answers():
    pytest.importorskip("torch")
    exercise = replace(EXERCISE, takes="torch", reference=in_torch, mistakes=())
    assert said(in_torch, exercise) and said(lambda q, k: np.einsum("...->...", weights(q, k)),
                                             replace(exercise, forbidden=()))


@pytest.mark.parametrize("answer", [
    lambda: {"weights": (0.25, 0.75), "half": 0.5, "word": "Same "},
    lambda: {"word": "same", "half": fractions.Fraction(1, 2), "weights": np.array([0.25, 0.75])},
    lambda: {"weights": [fractions.Fraction(1, 4), np.float32(0.75)], "half": np.array([0.5]),
             "word": np.str_("same")},
    lambda: {"weights": [[0.25], [0.75]][0] + [0.75], "half": 1 / 2, "word": "same"},
])
def test_numbers_are_welcome_in_any_form(answer):
    assert said(answer, BY_HAND)


def test_torch_numbers_are_welcome():
    torch = pytest.importorskip("torch")
    assert said(lambda: {"weights": torch.tensor([0.25, 0.75]), "half": torch.tensor(0.5),
                         "word": "same"}, BY_HAND)


# Every status, in the order in which they are judged.

def stub(query, key):
    """Return the weights.

    >>> stub(1, 2)
    """
    ...


def commented(query, key):
    # not yet
    pass


@pytest.mark.parametrize("answer, sentence", [
    (stub, "Replace the `...`"), (commented, "Replace the `...`"),
    (lambda query, key: None, "Replace the `...`"),
    (lambda query, key: print(query), "`return`"),
])
def test_not_attempted(answer, sentence):
    result = said(answer)
    assert result.status == "not_attempted" and sentence in result.sentence
    assert result.credit == 0 and not result


def from_package(query, key):
    return attnlib.attention_weights(query, key)


def imported_inside(query, key):
    from attnlib.attention import attention_weights as innocent
    return innocent(query, key)


def through_getattr(query, key):
    module = sys.modules["attnlib.attention"]
    return getattr(module, "soft" + "max")(query @ np.swapaxes(key, -1, -2))


def in_a_thread(query, key):
    found = []
    thread = threading.Thread(target=lambda: found.append(attnlib.attention_weights(query, key)))
    thread.start()
    thread.join()
    return found[0]


def with_the_watch_off(query, key):
    sys.setprofile(None)
    return attnlib.attention_weights(query, key)


@pytest.mark.parametrize("answer, name", [
    (from_package, "attnlib.attention_weights"), (imported_inside, "attnlib.attention_weights"),
    (through_getattr, "attnlib.attention.softmax"), (in_a_thread, "attnlib.attention_weights"),
    (with_the_watch_off, "sys.setprofile"),
    (lambda q, k: np.einsum("...ij->...ij", weights(q, k)), "numpy.einsum"),
], ids=lambda x: getattr(x, "__name__", x))
def test_forbidden_calls_are_seen(answer, name):
    result = said(answer)
    assert result.status == "forbidden_call" and f"`{name}`" in result.sentence
    assert sys.getprofile() is None


def test_forbidden_torch_functions_are_seen():
    torch = pytest.importorskip("torch")
    from torch.nn.functional import scaled_dot_product_attention as sdpa
    for answer, name in [
        (lambda q, k: torch.softmax(q @ k.mT, -1), "torch.softmax"),
        (lambda q, k: (q @ k.mT).softmax(-1), "torch.Tensor.softmax"),
        (lambda q, k: sdpa(q, k, torch.eye(k.shape[-2], dtype=k.dtype)),
         "torch.nn.functional.scaled_dot_product_attention"),
    ]:
        result = said(answer)
        assert result.status == "forbidden_call" and f"`{name}`" in result.sentence


def test_a_forbidden_call_belongs_to_the_input_it_was_made_on():
    def answer(query, key):
        return attnlib.attention_weights(query, key) if query.ndim == 3 else weights(query, key)

    outcomes = runner.run(answer, cases(0), forbidden=EXERCISE.forbidden)
    assert [bool(outcome.forbidden) for outcome in outcomes] == [False, True, False, False]


def test_a_class_or_module_forbids_all_of_its_functions():
    names = {f.__name__ for f in watching.functions_named("attnlib.masks")}
    assert {"visible", "causal_mask"} <= names
    assert watching.functions_named("nobody.has.this") == []
    with pytest.raises(AttributeError):
        watching.functions_named("attnlib.no_such_function")


LATE = """
import sys
from attnlib.exercises import core
from attnlib.running import runner

def answer(x):
    import torch
    import attnlib
    x = torch.as_tensor(x)
    return attnlib.local_attention(x, x, x, window=9).numpy()

import numpy as np
assert "attnlib.multilevel" not in sys.modules
outcome, = runner.run(answer, [core.Case((np.ones((4, 3)),))], forbidden=core.READY_MADE,
                      seconds=60)
print(outcome.forbidden)
"""


def test_what_an_answer_imports_itself_is_watched_too():
    pytest.importorskip("torch")
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=True)
    assert "attnlib.multilevel.local_attention" in done.stdout


def test_what_is_allowed_is_not_called_forbidden():
    exercise = replace(EXERCISE, forbidden=("attnlib.attention.softmax",))
    assert said(lambda q, k: attnlib.attention_weights(q, k), exercise)


@pytest.mark.parametrize("name", [*SENTENCES, "no-scale+axis"])
@pytest.mark.parametrize("seed", [0, 7])
def test_known_mistakes_get_their_own_sentence(name, seed):
    mistake = next(m for m in EXERCISE.mistakes if m.name == name)
    result = said(lambda query, key: mistake.answer(query, key), seed=seed)
    assert (result.status, result.mistake, result.sentence) == (
        "known_mistake", name, mistake.sentence)
    assert all(SENTENCES[part] in result.sentence for part in name.split("+"))


def test_a_known_mistake_in_torch_is_known():
    torch = pytest.importorskip("torch")
    assert said(lambda q, k: torch.exp(torch.log_softmax(q @ k.mT, -1))).mistake == "no-scale"
    assert said(lambda q, k: torch.matmul(q, torch.permute(k, (1, 0)))).mistake == ""
    # numpy raises ValueError, torch RuntimeError: the same mistake
    numpy, torch_ = ([Outcome(raised=name)] for name in ("ValueError", "RuntimeError"))
    assert judging.same(EXERCISE, numpy, torch_)
    assert not judging.same(EXERCISE, numpy, [Outcome(raised="IndexError")])
    # an axis that is not there: numpy raises AxisError, torch IndexError, attnlib ValueError
    assert all(judging.same(EXERCISE, [Outcome(raised="AxisError")], [Outcome(raised=name)])
               for name in ("AxisError", "IndexError", "ValueError"))
    assert not judging.same(EXERCISE, numpy, [Outcome()])


def test_a_known_mistake_that_also_changes_its_input_is_known():
    def answer(query, key):
        value = weights(query, key, faults={"axis"})
        query += 1
        return value

    result = said(answer)
    assert result.mistake == "axis" and "`query`" in result.witness


def test_a_mistake_may_earn_credit():
    half = Mistake("half", "Half of it is right, look at the rest.", lambda q, k: 2 * weights(q, k),
                   credit=0.5)
    assert said(lambda q, k: 2 * weights(q, k), replace(EXERCISE, mistakes=(half,))).credit == 0.5


def test_a_mistake_on_one_input_only_is_said_to_be_there_alone():
    def answer(query, key):
        return weights(query, key, faults={"no-scale"} if query.ndim == 3 else frozenset())

    result = said(answer)
    assert result.mistake == "no-scale"
    assert result.sentence.endswith("(On 1 of 4 inputs; the others are right.)")


def test_another_mistake_on_each_ordinary_input_is_none_of_them():
    def answer(query, key):
        return weights(query, key, faults={"no-scale"} if query.ndim == 3 else {"axis"})

    assert not said(answer).mistake


def test_two_mistakes_that_hard_inputs_show_are_named_together():
    def answer(query, key):
        if len(query) == 1:
            return weights(query, key, faults={"no-scale"})
        return weights(query, key, faults={"naive"})

    alone = switched(weights, SENTENCES)
    once = Mistake("once", "Right, but a single query is not scaled.", lambda query, key: weights(
        query, key, faults={"no-scale"} if len(query) == 1 else frozenset()))
    result = said(answer, replace(EXERCISE, mistakes=(*alone, once)))
    assert result.mistake == "naive+once"
    assert result.sentence.endswith("(2) A single query is not scaled.")


def test_by_hand_a_mistake_is_known_by_the_numbers_that_it_makes_wrong():
    def answer(**changes):
        return lambda: {"weights": [0.25, 0.75], "half": 0.5, "word": "same"} | changes

    exercise = replace(BY_HAND, mistakes=(
        Mistake("turned", "You turned them.", answer(weights=[0.75, 0.25], half=2)),
        Mistake("other", "It is another word.", answer(word="other")),
        Mistake("doubled", "You doubled it.", answer(half=1.0))))
    for changes, name in [(dict(half=2), "turned"), (dict(half=1, word="other"), "other+doubled"),
                          (dict(weights=[0.75, 0.25], word="other"), "turned+other")]:
        assert said(answer(**changes), exercise).mistake == name
    result = said(answer(weights=[0.75, 0.25], word="other", half=7), exercise)
    assert result.mistake == "turned+other"
    assert result.sentence.endswith('(And something else is wrong in "half".)')
    for changes in (dict(half=7), dict(word="other", half=7)):  # not more than half is explained
        assert said(answer(**changes), exercise).status == "differs"


def deep(query):
    return np.zeros(3) @ np.zeros(4)


def test_raised_shows_their_own_lines_alone():
    def answer(query, key):
        return deep(query)

    result = said(answer, replace(EXERCISE, mistakes=()))
    assert result.status == "raised" and "On 4 of 4 inputs" in result.sentence
    assert "ValueError" in result.sentence
    here = deep.__code__.co_firstlineno + 1
    assert f"line {here}, in deep: return np.zeros(3) @ np.zeros(4)" in result.witness
    assert "attnlib" not in result.witness and "numpy/" not in result.witness
    assert "query = [" in result.witness  # the smallest input


def ping(n):
    return 1 / n if n < 1 else pong(n)


def pong(n):
    return ping(n - 1)


def test_raised_shows_each_line_once_and_the_last_one_last():
    result = said(lambda query, key: ping(3), replace(EXERCISE, mistakes=()))
    shown = [line.split(":")[0] for line in result.witness.splitlines() if line.startswith("line")]
    assert [line.split("in ")[1] for line in shown] == ["<lambda>", "pong", "ping"]


def test_raised_in_the_call_itself_says_how_it_is_called():
    result = said(lambda x: x)
    assert result.status == "raised" and "It is called with (query, key)." in result.sentence


def recursion(query, key):
    return recursion(query, key)


def leaves(query, key):
    raise SystemExit(2)


class Rude(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def rude(query, key):
    raise Rude


@pytest.mark.parametrize("answer, name", [(recursion, "RecursionError"), (leaves, "SystemExit"),
                                          (rude, "Rude")])
def test_no_exception_gets_out(answer, name):
    result = said(answer)
    assert result.status == "raised" and name in result.sentence
    assert len(result.witness.splitlines()) < 12


def endless(query, key):
    while True:
        pass


def wait_until(end):
    while time.time() < end:
        pass


def stubborn(query, key):
    end = time.time() + 0.8
    while time.time() < end:
        try:
            wait_until(end)
        except BaseException:
            pass
    return weights(query, key)


def test_an_endless_loop_is_stopped():
    before = time.perf_counter()
    outcomes = runner.run(endless, cases(0), seconds=0.2)
    assert time.perf_counter() - before < 20  # it takes 0.2
    assert [outcome.timed_out for outcome in outcomes] == [True] * 4
    result = judging.judge(EXERCISE, cases(0), outcomes)
    assert result.status == "timed_out" and "at input 1 of 4" in result.sentence


def test_an_endless_loop_is_no_known_mistake():
    nothing = Mistake("nothing", "You give back nothing at all.", lambda q, k: None)
    outcomes = runner.run(endless, cases(0), seconds=0.1)
    exercise = replace(EXERCISE, mistakes=(nothing,))
    assert judging.judge(exercise, cases(0), outcomes).status == "timed_out"


def test_a_sleep_is_stopped():
    before = time.perf_counter()
    outcomes = runner.run(lambda q, k: time.sleep(60), cases(0), seconds=0.1)
    assert time.perf_counter() - before < 20 and all(outcome.timed_out for outcome in outcomes)


def test_a_loop_on_one_input_is_stopped_there():
    def answer(query, key):
        return weights(query, key) if query.ndim == 2 else endless(query, key)

    outcomes = runner.run(answer, cases(0), seconds=1.0)
    assert [outcome.timed_out for outcome in outcomes] == [False, True, True, True]


def test_an_answer_that_swallows_the_interrupt_is_told_of(monkeypatch, capsys):
    monkeypatch.setattr(watching, "GRACE", 0.1)
    outcomes = runner.run(stubborn, cases(0), seconds=0.1)
    assert all(outcome.timed_out for outcome in outcomes)
    assert "Interrupt" in capsys.readouterr().err


def test_the_users_own_interrupt_passes_through():
    def answer(query, key):
        _thread.interrupt_main()
        time.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        runner.run(answer, cases(0), seconds=5)
    assert sys.stdout is not None and sys.getprofile() is None


def test_outside_the_main_thread_there_is_no_limit():
    found = []
    thread = threading.Thread(target=lambda: found.extend(runner.run(weights, cases(0))))
    thread.start()
    thread.join()
    assert len(found) == 4 and not any(outcome.raised for outcome in found)


@pytest.mark.parametrize("change, name", [
    (lambda query, key: query.fill(0), "query"), (lambda query, key: key.sort(), "key"),
    (lambda query, key: setattr(key, "shape", (key.size, 1)), "key"),
])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_changed_input(change, name):
    def answer(query, key):
        value = weights(query, key)
        change(query, key)
        return value

    result = said(answer, replace(EXERCISE, mistakes=()))
    assert result.status == "changed_input" and f"`{name}`" in result.sentence


def test_changed_lists_keywords_and_nan_inputs():
    def answer(rows, *, scale):
        rows[0].append(1)
        scale["x"] = 2

    outcome, = runner.run(answer, [Case(([[1]],), {"scale": {"x": 1}})], names=("rows",))
    assert outcome.changed == ("rows", "scale")
    outcome, = runner.run(lambda x: x.copy(), [Case((np.array([np.nan]),))])
    assert outcome.changed == ()


def test_two_calls_do_not_share_their_inputs():
    case = Case((np.zeros(2),))
    runner.run(lambda x: x.fill(1), [case])
    assert (case.args[0] == 0).all()


@pytest.mark.parametrize("answer, words", [
    (lambda q, k: q, "a floating array of shape (1, 3), got a floating array of shape (1, 2)"),
    (lambda q, k: "weights", "got text"), (lambda q, k: (weights(q, k), q), "got a sequence of 2"),
    (lambda q, k: weights, "got an object of type function"), (lambda q, k: 3, "got a number"),
    (lambda q, k: weights(q, k) > 0, "got a boolean array"),
    (lambda q, k: weights(q, k).astype(int), "got a whole-number array"),
    (lambda q, k: weights(q, k) + 0j, "got a complex array"),
    (lambda q, k: (row for row in weights(q, k)), "type generator"),
    (lambda q, k: {"weights": weights(q, k)}, "a dict with the keys 'weights'"),
    (lambda q, k: [[1.0], [2.0, 3.0]], "a sequence of 2"),
    (lambda q, k: np.array(["a"]), "a sequence of 1"),
    (lambda q, k: None if q.ndim == 3 else weights(q, k), "got None"),
])
def test_wrong_kind(answer, words):
    result = said(answer, replace(EXERCISE, mistakes=()))
    assert result.status == "wrong_kind" and words in result.sentence, result.sentence
    assert "Expected a floating array of shape" in result.sentence


def test_not_finite():
    result = said(lambda q, k: weights(q, k) * np.where(q.shape[-1] == 2, np.nan, 1))
    assert result.status == "not_finite" and "3 entries are NaN" in result.sentence
    assert "expected: " in result.witness and "nan" in result.witness


def test_an_infinity_that_belongs_there_is_not_the_fault():
    exercise = replace(EXERCISE, reference=lambda q, k: np.array([-np.inf, 1.0]), mistakes=())
    assert said(lambda q, k: np.array([-np.inf, 1.0]), exercise)
    assert said(lambda q, k: np.array([-np.inf, 2.0]), exercise).status == "differs"
    assert said(lambda q, k: np.array([0.0, 1.0]), exercise).status == "differs"


def test_broken_law_with_its_witness():
    result = said(lambda x: x, OPEN)
    assert (result.status, result.sentence) == ("broken_law", "It does not sum to one.")
    assert result.witness.startswith("sum: ")
    assert said(lambda x: abs(x) / abs(x).sum(), OPEN)


def test_a_law_that_cannot_read_the_answer_says_so():
    assert said(lambda x: "text", OPEN).status == "wrong_kind"
    assert said(lambda x: len, OPEN).status == "wrong_kind"


def test_a_law_is_asked_before_the_reference():
    exercise = replace(EXERCISE, mistakes=(), judge=lambda cases, outcomes: broken_law("No."))
    assert said(lambda q, k: 2 * weights(q, k), exercise).status == "broken_law"
    assert said(weights, replace(exercise, judge=lambda *_: None))


def test_not_repeatable():
    rng = np.random.default_rng(0)
    result = said(lambda q, k: weights(q, k) + rng.random())
    assert result.status == "not_repeatable"
    calls = []

    def second_call_fails(query, key):
        calls.append(1)
        return weights(query, key) * (1 / (len(calls) <= 4))

    assert said(second_call_fails).status == "not_repeatable"


def test_differs_shows_the_smallest_witness():
    def answer(query, key):
        value = weights(query, key)
        value[..., 0, 1] += 0.25
        return value

    result = said(answer)
    assert result.status == "differs" and "4 of 4 inputs" in result.sentence
    query, key = cases(0)[3].args  # the smallest input
    right = weights(query, key)
    assert "input (one):" in result.witness
    assert f"expected: {np.round(right, 4)}" in result.witness
    assert "where:    result[0, 1] of shape (1, 3)" in result.witness
    assert "largest error: 0.25" in result.witness


def test_by_hand_does_not_show_the_answer():
    result = said(lambda: {"weights": [0.25, 0.7], "half": 0.5, "word": "other"}, BY_HAND)
    assert result.status == "differs"
    assert result.witness == "not right: ['weights'][1] = 0.7\nnot right: ['word'] = 'other'"
    assert "0.75" not in notebook.message(BY_HAND, result)._repr_html_()


@pytest.mark.parametrize("error, right", [(0.5e-4, True), (1.5e-4, False)])
def test_right_is_within_1e_4(error, right):
    exercise = replace(BY_HAND, reference=lambda: 0.0)
    assert bool(said(lambda: error, exercise)) is right
    exercise = replace(BY_HAND, reference=lambda: 1e6)
    assert bool(said(lambda: 1e6 * (1 + error), exercise)) is right


def test_lists_in_a_reference_are_arrays_too():
    exercise = replace(EXERCISE, reference=loops, mistakes=())
    assert said(weights, exercise) and said(loops, exercise)
    ones = replace(EXERCISE, reference=lambda q, k: q * 0 + 1, mistakes=())
    assert said(lambda q, k: [[[1] * q.shape[-1]] * q.shape[-2]] * len(q) if q.ndim == 3
                else [[1] * q.shape[-1]] * len(q), ones)


def test_huge_numbers_are_numbers():
    assert said(lambda: 10 ** 400, replace(BY_HAND, reference=lambda: 1.0)).status == "not_finite"
    assert said(lambda: 2 ** 70, replace(BY_HAND, reference=lambda: 2.0 ** 70))


# Tricks.

def test_learned_by_heart_is_refused_by_another_seed():
    seen = {query.tobytes(): weights(query, key) for query, key in (c.args for c in cases(0))}

    def answer(query, key):
        return seen.get(query.tobytes(), weights(query, key) * 0.5)

    assert said(answer)
    result, _ = notebook.assess(EXERCISE, answer)
    assert result.status == "differs" and "not on fresh ones" in result.sentence


def test_replaced_functions_are_noticed(monkeypatch):
    def answer(query, key):
        monkeypatch.setattr(np, "exp", lambda x: x * 0 + 1)
        monkeypatch.setattr(np, "isclose", lambda *a, **k: np.array(True))
        monkeypatch.setattr(np, "allclose", lambda *a, **k: True)
        return query[..., :1] * 0 + key[..., 0][..., None, :] * 0

    result = said(answer)
    assert result.status == "forbidden_call" and "`numpy.allclose`" in result.sentence
    assert said(weights).status == "forbidden_call"  # still replaced
    monkeypatch.undo()
    assert said(weights)


def test_nothing_runs_on_replaced_functions(monkeypatch):
    def drawn(seed):
        return [Case((np.sqrt(np.ones(3)),))]

    monkeypatch.setattr(np, "sqrt", lambda x: 1 / 0)
    assert said(lambda x: x, replace(EXERCISE, cases=drawn)).status == "forbidden_call"


def test_replaced_torch_functions_are_noticed(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "softmax", lambda x, dim: x)
    assert said(weights).status == "forbidden_call"
    monkeypatch.undo()
    monkeypatch.setattr(torch.Tensor, "sum", lambda self: 1)
    assert "torch.Tensor.sum" in said(weights).sentence


def test_replaced_attnlib_functions_are_noticed(monkeypatch):
    monkeypatch.setattr(sys.modules["attnlib.attention"], "_exponentials", lambda *a: 1 / 0)
    assert "attnlib.attention._exponentials" in said(weights).sentence


def test_hostile_objects_become_plain():
    class Liar(np.ndarray):
        __eq__ = __array_function__ = __array_ufunc__ = lambda *a, **k: True
        shape = dtype = property(lambda self: 1 / 0)

    class Bomb:
        def __getattribute__(self, name):
            raise SystemExit

    class Sly(list):
        def __iter__(self):
            return iter([1.0])

    array = np.arange(3.0).view(Liar)
    assert type(plain.plain(array)) is np.ndarray and plain.plain(array).tolist() == [0, 1, 2]
    assert plain.plain(Bomb()) == outcome.Other("Bomb")
    assert plain.plain(Sly([2, 3])) == [2, 3] and type(plain.plain(Sly())) is list
    endless = []
    endless += [endless] * 10
    before = time.process_time()
    plain.plain(endless)
    assert time.process_time() - before < 10
    assert type(plain.plain(type("Word", (str,), {})("x"))) is str


def test_hostile_tensors_become_plain():
    torch = pytest.importorskip("torch")

    class Liar(torch.Tensor):
        @classmethod
        def __torch_function__(cls, *a, **k):
            return True

    tensor = torch.arange(3.0).as_subclass(Liar)
    assert plain.plain(tensor).tolist() == [0, 1, 2]
    assert plain.plain(torch.tensor([1.5], requires_grad=True)).tolist() == [1.5]
    assert plain.plain(torch.ones(2).to_sparse()) == outcome.Other("Tensor")


def test_printing_is_kept_short(capsys):
    def chatty(query, key):
        for i in range(10_000):
            print("line", i)
        print("to stderr", file=sys.stderr)
        return query

    notebook_message = notebook.message(EXERCISE, *notebook.assess(EXERCISE, chatty))
    assert capsys.readouterr() == ("", "")
    assert "line 4" in repr(notebook_message) and "line 5" not in repr(notebook_message)
    assert "... and 9996 more lines" in repr(notebook_message)


def test_a_print_storm_takes_no_room():
    printed = watching.FirstLines()
    for _ in range(3):
        printed.write("x" * 10_000)
    assert printed.text() == printed.kept == "x" * watching.CHARACTERS_SHOWN


def test_outcomes_cross_a_process():
    def answer(query, key):
        query *= 2
        return {"a": (weights(query, key), [1, 2.5, None, True, "text"]), "b": answer, 3: np.nan}

    def fails(query, key):
        return 1 / 0

    for one in (answer, fails, stub):
        outcomes = runner.run(one, cases(0), forbidden=("attnlib.softmax",))
        text, arrays = plain.pack(outcomes)
        json.loads(text)
        assert all(type(array) is np.ndarray and array.dtype != object for array in arrays)
        back = plain.unpack(text, arrays)
        for old, new in zip(outcomes, back, strict=True):
            assert plain.identical(old.value, new.value) and plain.identical(old.again, new.again)
            assert replace(old, value=0, again=()) == replace(new, value=0, again=())


@pytest.mark.parametrize("spoil", [
    lambda record: record.update(raised=3), lambda record: record.update(value={"array": 99}),
    lambda record: record.update(value={"what": 1}), lambda record: record.update(more=1),
    lambda record: record.pop("value"), lambda record: record.update(frames=[[1]]),
    lambda record: record.update(half="no"), lambda record: record.update(again={"just": 1}),
])
def test_what_is_no_outcome_does_not_come_in(spoil):
    text, arrays = plain.pack([Outcome(value=1.0)])
    records = json.loads(text)
    spoil(records[0])
    with pytest.raises((ValueError, TypeError, KeyError, IndexError, AttributeError)):
        plain.unpack(json.dumps(records), arrays)


def test_judging_is_pure():
    outcomes = runner.run(lambda q, k: weights(q, k, faults={"axis"}), cases(0))
    once, twice = (judging.judge(EXERCISE, cases(0), outcomes) for _ in range(2))
    assert once.witness == twice.witness and once.mistake == twice.mistake == "axis"


def test_a_check_is_quick():
    for answer, most in ((weights, 0.05), (lambda q, k: 2 * weights(q, k), 0.3)):
        seconds = []
        for _ in range(5):
            start = time.process_time()
            notebook.assess(EXERCISE, answer)
            seconds.append(time.process_time() - start)
        assert sorted(seconds)[0] < most


# What is shown.

@pytest.fixture
def registered(monkeypatch):
    by_id = {exercise.id: exercise for exercise in (EXERCISE, BY_HAND, OPEN)}
    monkeypatch.setattr(registry, "exercises", lambda: tuple(by_id.values()))
    monkeypatch.setattr(registry, "_chapters", lambda: {"9": "ch09"})
    monkeypatch.setattr(registry, "_of_chapter", lambda chapter: tuple(by_id.values()))
    monkeypatch.setattr(notebook, "_hints_shown", {})


def test_check_prints_once_and_returns_a_quiet_result(registered, capsys):
    result = notebook.check("9.1", weights)
    assert capsys.readouterr().out == "✓ Exercise 9.1 passed: 4 inputs, 2 hard ones.\n"
    assert result and repr(result) == "<9.1: passed>" and result._ipython_display_() is None
    assert capsys.readouterr().out == ""


def test_check_by_hand_in_one_line(registered, capsys):
    assert notebook.check("9.2", BY_HAND.reference)
    assert capsys.readouterr().out == "✓ Exercise 9.2 passed.\n"


def test_the_stub_is_not_attempted_yet(registered, capsys):
    assert notebook.check("9.1", stub).status == "not_attempted"
    assert capsys.readouterr().out == (
        "○ Exercise 9.1 is not attempted yet. Replace the `...` by your own lines, then run this\n"
        'again.\nNext: hint("9.1")\n')


def test_a_wrong_answer_is_told_what_is_wrong_and_what_is_next(registered, capsys):
    notebook.check("9.1", weights and (lambda q, k: weights(q, k, faults={"no-scale"})))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ("✗ Exercise 9.1 is not right yet. Your scores are not scaled: look at the "
                        "equation once")
    assert lines[-1] == 'Next: hint("9.1")'
    assert any(line.startswith("    got: ") for line in lines)


def test_hints_come_one_by_one(registered, capsys):
    for _ in range(4):
        notebook.hint("9.1")
    first, second, third, fourth = capsys.readouterr().out.split("○ ")[1:]
    assert first == ("Hint 1 of 2 for exercise 9.1. Five steps: begin with `scores`.\n"
                     'Next: hint("9.1")\n')
    assert second == "Hint 2 of 2 for exercise 9.1. Subtract the row's largest score.\n"
    assert third == fourth and "once more:\n1. Five" in third and "\n2. Subtract" in third
    notebook.check("9.1", stub)
    assert "Next" not in capsys.readouterr().out


def test_html_is_escaped_and_needs_no_colour(registered):
    shown = showing.Message(showing.WRONG, "Exercise <b>.", "Look *once* at `a<b` & more.",
                            "<script>")
    text = shown._repr_html_()
    assert "<script>" not in text and "&lt;script&gt;" in text and "<code>a&lt;b</code>" in text
    assert "<em>once</em>" in text and "✗ Exercise &lt;b&gt;." in text and "color: inherit" in text


@pytest.mark.parametrize("call, words", [
    (lambda: notebook.check("9.11", weights), 'Did you mean "9.1"?'),
    (lambda: notebook.check("banana", weights), "There is no exercise 'banana'."),
    (lambda: notebook.check(weights, "9.1"), 'check("9.1", your_function)'),
    (lambda: notebook.check(9.1, weights), 'in quotes: check("9.1", your_function)'),
    (lambda: notebook.check("9.1", weights(*cases(0)[0].args)), "itself, got ndarray"),
    (lambda: notebook.check("9.1", None), "itself, got NoneType"),
    (lambda: notebook.check("9.1", notebook.check), "Give it another one"),
    (lambda: notebook.hint("9.11"), "There is no exercise '9.11'"),
])
def test_misuse_is_explained(registered, capsys, call, words):
    assert not call()
    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith(("○ Nothing was checked.", "○ No hint.")) and words in out


def test_a_terminal_without_the_signs(registered, monkeypatch):
    class Narrow:
        encoding, said = "ascii", ""

        def write(self, text):
            self.said += text.encode("ascii").decode()

        def flush(self):
            pass

    narrow = Narrow()
    monkeypatch.setattr(sys, "stdout", narrow)
    notebook.check("9.2", BY_HAND.reference)
    assert narrow.said.strip() == "? Exercise 9.2 passed."


def test_messages_repeat(registered, capsys):
    texts = set()
    for _ in range(3):
        notebook.check("9.1", lambda q, k: weights(q, k) + object().__hash__() * 0 + 0.1)
        texts.add(capsys.readouterr().out)
    assert len(texts) == 1


def test_addresses_are_left_out():
    def answer(query, key):
        raise ValueError(object())

    assert "0x..." in said(answer).sentence


NOTEBOOK = '''
from attnlib.exercises import check, hint
from attnlib.running import runner
runner.run.__kwdefaults__["seconds"] = 0.5
passed = check("1.1", lambda: {"weights": [1 / 8, 3 / 8, 1 / 2], "output": [3, 8]})
passed
# cell
def answer():
    """What to do."""
    ...
check("1.1", answer)
# cell
def answer():
    while True:
        pass
check("1.1", answer)
# cell
def answer():
    raise SystemExit
check("1.1", answer)
# cell
def check(): pass
# cell
print(bool(check("1.1", lambda: [print("x" * 50) for _ in range(10**5)])))
# cell
from attnlib.exercises import get
check("1.1", get("1.1").mistakes[0].answer)
'''


def test_in_a_real_notebook():
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    cells = [nbformat.v4.new_code_cell(source) for source in NOTEBOOK.split("# cell\n")]
    book = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(book, timeout=600, kernel_name="python3").execute()
    outputs = [cell.outputs for cell in book.cells]
    for output in outputs[:5]:
        assert len(output) == 1 and output[0].output_type == "display_data", output
    texts = [output[0].data["text/plain"] for output in outputs[:5]]
    assert texts[0] == "✓ Exercise 1.1 passed." and "text/html" in outputs[0][0].data
    assert "not attempted yet" in texts[1] and "time limit" in texts[2]
    assert "SystemExit" in texts[3] and "`check` was redefined" in texts[4]
    assert "False" in outputs[5][-1].text
    last = book.cells[6].outputs[0].data["text/plain"]
    assert last.startswith("✗ Exercise 1.1 is not right yet.")


def test_without_torch_and_without_ipython():
    program = textwrap.dedent("""
        import sys
        class Missing:
            def find_spec(self, name, *rest):
                if name.partition(".")[0] in ("torch", "IPython"):
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Missing())
        from attnlib.exercises import check, get
        exercise = get("1.3")
        print(bool(check("1.3", exercise.variants[0])))
        print(check("1.3", exercise.mistakes[0].answer).mistake == exercise.mistakes[0].name)
        from dataclasses import replace
        from attnlib.exercises import registry
        registry.get = lambda id: replace(exercise, takes="torch")
        check("1.3", exercise.reference)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          encoding="utf-8", env={"PYTHONUTF8": "1", "PYTHONPATH": str(
                              answers.BOOK.parent)})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1] == "True" and lines[-2] == "True"
    assert lines[-1].endswith("Exercise 1.3 needs torch, which is not installed here.")


def test_the_registry_finds_what_is_there():
    assert registry.get("1.1").id == "1.1"
    ids = [exercise.id for exercise in registry.exercises()]
    assert ids == sorted(ids, key=lambda id: [*map(int, id.split("."))])
    for id in ("1.1x", "1.", "1", ""):
        with pytest.raises(KeyError, match='Did you mean "'):
            registry.get(id)


# The smallest input.


def forgets_the_largest(scores, axis=-1):
    """Right, but for an overflow that it does not expect."""
    with np.errstate(all="ignore"):
        parts = np.exp(scores)
    return parts / parts.sum(axis, keepdims=True)


def test_what_fails_is_shown_on_an_input_that_can_be_read_whole():
    exercise = registry.get("3.2")
    failure = shrinking.smallest_failure(exercise, forgets_the_largest, exercise.cases(0))
    assert judging.size(failure.case) <= judging.ENTRIES_SHOWN
    (outcome,) = runner.run(forgets_the_largest, [failure.case])
    alone = replace(exercise, mistakes=())
    assert judging.judge(alone, [failure.case], [outcome]).status == failure.result.status
    assert "scores = " in failure.result.witness and "(3" not in failure.result.witness


def test_a_right_answer_and_one_that_takes_nothing_have_no_failure():
    exercise, by_hand = registry.get("3.2"), registry.get("3.1")
    assert shrinking.smallest_failure(exercise, exercise.reference, exercise.cases(0)) is None
    assert shrinking.smallest_failure(by_hand, lambda: 0, by_hand.cases(0)) is None


def test_the_input_that_failed_can_be_had(capsys):
    assert notebook.case("3.2") == () and "No input." in capsys.readouterr().out
    assert not notebook.check("3.2", forgets_the_largest)
    scores, axis = notebook.case("3.2")
    with np.errstate(all="ignore"):
        assert not np.isfinite(forgets_the_largest(scores, axis)).all()
    assert notebook.check("3.2", registry.get("3.2").variants[0])
    assert notebook.case("3.2") == ()


# Names for what is nearly a known mistake, and words for what is nearly right.

def make(**fields):
    """A small exercise."""
    return replace(EXERCISE, **dict(mistakes=(), forbidden=(), variants=(), judge=None) | fields)


def judged(exercise, answer):
    return said(answer, exercise)



def test_a_mistake_is_named_though_it_departs_on_a_hard_input():
    exercise = make(cases=lambda seed: [Case((np.array([1.0, 2.0]),)),
                                        Case((np.array([0.0, 3.0]),), hard="a zero")],
                    reference=lambda x: x + 1,
                    mistakes=(Mistake("off", "One was taken away, not added.", lambda x: x - 1),
                              Mistake("same", "Nothing was done to what came in.", lambda x: x)))
    result = judged(exercise, lambda x: x - 1 if x.all() else x * 7)
    assert result.mistake == "off"
    assert result.sentence == ("One was taken away, not added. (And something else happens with "
                               "a zero.)")
    assert judged(exercise, lambda x: x + 1 if x.all() else x).status == "differs"


def test_a_near_miss_is_told_where_it_is_wrong():
    exercise = make(cases=lambda seed: [Case((np.array([1.0]),)),
                                        Case((np.array([0.0]),), hard="a zero")],
                    reference=lambda x: x + 1)
    near = judged(exercise, lambda x: np.where(x == 0, 9.0, x + 1))
    assert near.sentence == "Right on 1 of 2 inputs; wrong with a zero."
    far = judged(exercise, lambda x: x + 2)
    assert far.sentence == "It runs, but the numbers are not right (on 2 of 2 inputs)."


@pytest.mark.parametrize("given, right", [
    (0.125, True), ("1/8", True), ("0.125", True), ("12.5 %", True), (" 1 / 8 ", True),
    ("1/0", False), ("an eighth", False), ("1/4", False)])
def test_a_number_may_be_written_as_text(given, right):
    exercise = make(kind="by hand", cases=lambda seed: [Case()], reference=lambda: 0.125)
    assert bool(judged(exercise, lambda: given)) == right


@pytest.mark.parametrize("given", ["same", "Same.", " same ", "'SAME'", "same!"])
def test_a_word_may_have_signs_around_it(given):
    exercise = make(kind="predict", cases=lambda seed: [Case()], reference=lambda: "same")
    assert judged(exercise, lambda: given)


def test_a_rounded_number_is_told_so():
    exercise = make(kind="by hand", cases=lambda seed: [Case()], reference=lambda: 0.33391)
    assert "It looks rounded" in judged(exercise, lambda: 0.33).sentence
    assert "rounded" not in judged(exercise, lambda: 0.44).sentence


def test_a_check_says_what_is_missing(capsys):
    assert not notebook.check("1.1")
    assert 'Write check("1.1", your_function)' in capsys.readouterr().out.replace("\n", " ")
    assert not notebook.check("1.11", print)
    said = capsys.readouterr().out
    assert 'Did you mean "1.1"?' in said and len(said) < 120
    notebook.hint(1.1)
    assert 'hint("1.1")' in capsys.readouterr().out


def test_every_argument_has_a_name():
    for exercise in registry.exercises():
        if any(case.args for case in exercise.cases(0)) and exercise.reference:
            longest = max(len(case.args) for case in exercise.cases(0))
            assert len(core.argument_names(exercise)) >= longest, exercise.id


def test_how_much_an_answer_holds_at_once_is_watched():
    def case(room):
        return Case((np.ones((40, 3)),), room=room)

    exercise = replace(OPEN, judge=None, mistakes=(), reference=lambda x: x.sum(0),
                       cases=lambda seed: [case(0), case(20_000)])
    assert said(lambda x: x.sum(0), exercise)
    result = said(lambda x: np.add.outer(x.ravel(), x.ravel())[0] @ np.tile(np.eye(3), (40, 1))
                  - 120, exercise)
    assert result.status == "differs"  # what is wrong is said first
    result = said(lambda x: (np.add.outer(x.ravel(), x.ravel()), x.sum(0))[1], exercise)
    assert result.status == "broken_law", result.sentence
    torch = pytest.importorskip("torch")
    result = said(lambda x: (torch.ones(120, 120), x.sum(0))[1], exercise)
    assert result.status == "broken_law" and "57,600 bytes" in result.sentence, result.sentence


def test_a_prediction_is_told_its_words():
    exercise = replace(BY_HAND, kind="predict", reference=lambda: {"a": "same", "b": "same"},
                       mistakes=(Mistake("a", "Case a.", lambda: {"a": "other", "b": "same"}),))
    for wrong in ({"a": "yes", "b": "same"}, {"a": True, "b": "same"}):
        assert 'one of these words: "other", "same".' in said(lambda wrong=wrong: wrong,
                                                                 exercise).sentence
    assert "these words" not in said(lambda: {"a": "same", "b": "other"}, exercise).sentence


def test_a_prediction_is_known_by_its_case_whichever_wrong_word_it_is():
    def answer(**changes):
        return lambda: {"a": "same", "b": "more", "c": "fewer"} | changes

    exercise = replace(BY_HAND, kind="predict", reference=answer(), mistakes=(
        Mistake("a", "Case a.", answer(a="more")), Mistake("b", "Case b.", answer(b="same")),
        Mistake("b-fewer", "Case b, fewer.", answer(b="fewer"))))
    for changes, name in [(dict(a="fewer"), "a"), (dict(b="fewer"), "b-fewer"),
                          (dict(a="fewer", b="same"), "a+b")]:
        assert said(answer(**changes), exercise).mistake == name
    assert "these words" in said(answer(c="nothing"), exercise).sentence


def test_a_terminal_writes_nothing_before_a_result():
    source = "from attnlib.exercises import check\ncheck('1.1', lambda: 1)\n3\n"
    done = subprocess.run([sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner"],
                          input=source, capture_output=True, text=True)
    assert "is not right yet" in done.stdout, done.stderr
    assert "Out[2]" not in done.stdout and "Out[3]: 3" in done.stdout
