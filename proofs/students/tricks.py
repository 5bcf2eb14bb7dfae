"""Answers that are wrong on purpose: without thought, of the right form alone, or by trickery."""

import contextlib
import inspect
import sys
from types import FunctionType

import numpy as np

from attnlib.running import plain, runner, watching

from .answers import changed_after


class AlwaysEqual(np.ndarray):
    """An array that says yes to every comparison."""

    def __eq__(self, other):
        return True

    def __array_function__(self, *_):
        return True

    def __array_ufunc__(self, *_, **__):
        return True


def without_thought(exercise):
    """``{what it returns: answer}``."""
    found = {
        "the number 0": lambda *a, **k: 0,
        "the number 1": lambda *a, **k: 1.0,
        "a word": lambda *a, **k: "right",
        "an empty list": lambda *a, **k: [],
        "an empty dict": lambda *a, **k: {},
        "an empty array": lambda *a, **k: np.zeros(0),
        "a function": lambda *a, **k: print,
        "nothing, but prints": lambda *a, **k: print(a),
        "an exception": lambda *a, **k: 1 / 0,
        "a way out": lambda *a, **k: sys.exit(),
    }
    if exercise.cases(0)[0].args:
        found["its first argument"] = lambda x, *a, **k: x
        found["its last argument"] = lambda *a, **k: a[-1]
    return found


def of_the_right_form(exercise, right):
    """``{what is in it: answer}``."""
    changes = {
        "zeros": np.zeros_like, "ones": np.ones_like, "NaN": lambda x: x * np.nan,
        "an array that equals everything": lambda x: np.zeros_like(x).view(AlwaysEqual),
    }
    if exercise.reference:
        changes |= {"everything turned round": lambda x: ~x if x.dtype == bool else -x,
                    "everything doubled": lambda x: x + x}
    return _unlike(exercise, right, exercise.cases(0), lambda: {
        what: changed_after(right, change) for what, change in changes.items()})


def tricks(exercise, right, seed=0):
    """``{what it does: answer}``: each is right on some inputs of this seed, or looks so."""
    cases = exercise.cases(seed)
    hard = [case for case in cases if case.hard]

    def build():
        zeros = changed_after(right, np.zeros_like)
        found = {"is right on all inputs but one": _else(right, zeros, cases[-1:]),
                 "is right the first time only": _right_once(right, zeros),
                 "is different on every call": _never_the_same(right)}
        if 0 < len(hard) < len(cases):
            found["is right on easy inputs only"] = _else(right, zeros, hard)
        if any(case.args for case in cases):
            found["knows one shape"] = _of_one_shape(exercise, right, cases[0])
        if any(isinstance(x, np.ndarray) for x in cases[0].args):
            found["changes its arguments"] = _changes_its_input(right)
        return found

    found = _unlike(exercise, right, cases, build)
    if any(case.args for case in cases):
        found["was learned by heart"] = _learned_by_heart(exercise, right, cases)
    return found


def forbidden(exercise, right):
    """``{what it does: answer}``: right answers that call what they must not."""
    found = {f"replaces functions of {module.__name__}": _replaces(module, right)
             for module in _libraries()}
    for name in exercise.forbidden:
        functions = watching.functions_named(name)
        if functions:
            found[f"calls {name}"] = _calls(name, functions[0], right)
    return found


@contextlib.contextmanager
def libraries_restored():
    """Whatever is replaced in numpy, math or torch meanwhile is put back."""
    kept = [(module, dict(vars(module))) for module in _libraries()]
    try:
        yield
    finally:
        for module, names in kept:
            vars(module).update(names)


def _libraries():
    return [sys.modules[name] for name in ("numpy", "math", "torch") if name in sys.modules]


def _unlike(exercise, right, cases, build):
    """Those of ``build()`` that do something else than the right answer."""
    unchanged = changed_after(right, lambda x: x)
    did = runner.run_own(unchanged, cases, takes=exercise.takes)

    def differs(answer):
        outcomes = runner.run_own(answer, cases, takes=exercise.takes)
        return any(y.changed or not plain.identical((x.value, x.again), (y.value, y.again))
                   for x, y in zip(did, outcomes))

    tried = {what for what, answer in build().items() if differs(answer)}
    return {what: answer for what, answer in build().items() if what in tried}


def _key(args, kwargs):
    return repr(plain.plain([args, kwargs]))


def _else(right, other, cases):
    """The right answer, but another one on these cases."""
    known = {_key(case.args, case.kwargs) for case in cases}

    def answer(*args, **kwargs):
        return (other if _key(args, kwargs) in known else right)(*args, **kwargs)

    return answer


def _right_once(right, other):
    seen = set()

    def answer(*args, **kwargs):
        key = _key(args, kwargs)
        chosen = other if key in seen else right
        seen.add(key)
        return chosen(*args, **kwargs)

    return answer


def _never_the_same(right):
    calls = []

    def change(x):
        calls.append(1)
        return x + 0.01 * len(calls)

    return changed_after(right, change)


def _learned_by_heart(exercise, right, cases):
    """Right on the cases it has seen; on others it gives the first one's answer."""
    outcomes = runner.run_own(right, cases, takes=exercise.takes)
    seen = {_key(case.args, case.kwargs): outcome.value for case, outcome in zip(cases, outcomes)}
    return lambda *args, **kwargs: seen.get(_key(args, kwargs), outcomes[0].value)


def _of_one_shape(exercise, right, case):
    """The right numbers, always in the shape that the first case wants."""
    outcome, = runner.run_own(right, [case], takes=exercise.takes)
    shape = np.shape(outcome.value) if isinstance(outcome.value, np.ndarray) else ()
    return changed_after(right, lambda x: np.resize(x, shape) if shape else x)


def _changes_its_input(right):
    def answer(*args, **kwargs):
        value = plain.plain(right(*args, **kwargs))
        for x in args:
            if hasattr(x, "dtype"):
                x[...] = x == 0
        return value

    return answer


def _calls(name, function, right):
    """Calls the function, in earnest or in vain, then gives the right answer."""
    if isinstance(function, FunctionType):
        parameters = [p for p in inspect.signature(function).parameters.values()
                      if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        needed = [None for p in parameters if p.kind != p.KEYWORD_ONLY]
        named = {p.name: None for p in parameters if p.kind == p.KEYWORD_ONLY}
    else:
        library = np if name.startswith("numpy") else sys.modules["torch"]
        needed, named = [library.ones((2, 2))], {}

    def answer(*args, **kwargs):
        with contextlib.suppress(Exception):
            function(*needed, **named)
        return right(*args, **kwargs)

    return answer


def _replaces(module, right):
    """Replaces what a check might compare with, then gives something wrong."""
    name = {"numpy": "isclose", "math": "isfinite", "torch": "allclose"}[module.__name__]
    zeros = changed_after(right, np.zeros_like)

    def answer(*args, **kwargs):
        setattr(module, name, lambda *a, **k: np.asarray(True))
        return zeros(*args, **kwargs)

    return answer
