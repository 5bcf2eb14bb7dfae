"""Values side by side: whether they are of one form, and where they differ.

The values are plain ones. Here they are made canonical: numbers are arrays, sequences tuples, text
is even; and where one has an array, a list of numbers in the other becomes one.
"""

from fractions import Fraction

import numpy as np

from ..running.outcome import Other

BY_HAND = ("by hand", "predict")


def aligned(exercise, outcome, other) -> tuple:
    """Two outcomes' values in one form; a list of numbers is an array where the other has one."""
    by_hand = exercise.kind in BY_HAND
    wanted = _canonical(other.value, stack=(list, tuple) if by_hand else list)
    return _like(_canonical(outcome.value), wanted, by_hand), wanted


def _canonical(x, stack=()):
    """Numbers as arrays, sequences as tuples (of these types, as one array), text made even."""
    if isinstance(x, (bool, int, float)):
        return _number(x)
    if isinstance(x, str):
        return " ".join(x.split()).casefold().strip(" .,;:!?'\"`")
    if isinstance(x, dict):
        return {name: _canonical(item, stack) for name, item in x.items()}
    if isinstance(x, (list, tuple)):
        items = tuple(_canonical(item, stack) for item in x)
        return _stacked(items) if isinstance(x, stack) else items
    return x


def _number(x):
    try:
        return np.asarray(float(x) if type(x) is int and abs(x) >= 2**63 else x)
    except OverflowError:
        return np.asarray(np.inf if x > 0 else -np.inf)


def _like(got, wanted, by_hand=False):
    """A canonical value with its sequences of numbers made arrays where one is wanted.

    By hand, a number may be written as text: "1/8", "12.5 %".
    """
    if by_hand and isinstance(got, str) and isinstance(wanted, np.ndarray):
        return _read(got)
    if isinstance(wanted, np.ndarray) and isinstance(got, tuple):
        got = _stacked(tuple(_like(item, wanted, by_hand) for item in got))
        whole = isinstance(got, np.ndarray) and got.dtype.kind in "iu" and wanted.dtype.kind == "f"
        return got.astype(np.float64) if whole else got
    if isinstance(wanted, tuple) and isinstance(got, tuple) and len(got) == len(wanted):
        return tuple(_like(x, y, by_hand) for x, y in zip(got, wanted, strict=True))
    if isinstance(wanted, dict) and isinstance(got, dict):
        names = wanted if set(wanted) == set(got) else got
        return {name: _like(got[name], wanted.get(name), by_hand) for name in names}
    return got


def _read(text):
    """A number that was written as text, as an array; the text itself if it is none."""
    number, percent, rest = text.replace("\N{MINUS SIGN}", "-").partition("%")
    try:
        value = float(Fraction(number.replace(" ", "")))
    except (ValueError, ZeroDivisionError):
        return text
    return text if rest else np.asarray(value / 100 if percent else value)


def _stacked(items):
    """One array, if the items are arrays of one shape."""
    if items and all(isinstance(x, np.ndarray) and x.shape == items[0].shape for x in items):
        return np.stack(items)
    return items


def misfit(got, wanted, by_hand, place="") -> str:
    """What is wrong with the kind of a canonical value, in a sentence; empty if nothing is."""
    place_words = f" in {place}" if place else ""
    wrong = (f"Expected {described(wanted, by_hand)}{place_words}, "
             f"got {described(got, by_hand)}.")
    if isinstance(wanted, np.ndarray):
        if not isinstance(got, np.ndarray):
            return wrong
        shapes_fit = got.shape == wanted.shape or by_hand and got.size == wanted.size == 1
        return "" if shapes_fit and _dtypes_fit(got, wanted, by_hand) else wrong
    if type(got) is not type(wanted):
        return wrong
    if isinstance(wanted, (tuple, dict)):
        if len(got) != len(wanted) or isinstance(wanted, dict) and set(got) != set(wanted):
            return wrong
        names = wanted if isinstance(wanted, dict) else range(len(wanted))
        return next(filter(None, (misfit(got[name], wanted[name], by_hand, f"{place}[{name!r}]")
                                  for name in names)), "")
    return wrong if isinstance(wanted, Other) and got != wanted else ""


def _dtypes_fit(got, wanted, by_hand):
    if wanted.dtype.kind == "b" or got.dtype.kind == "b":
        return got.dtype.kind == wanted.dtype.kind
    if by_hand or wanted.ndim == 0:
        return got.dtype.kind in "iuf" or wanted.dtype.kind == "c"
    return _dtype_word(got) == _dtype_word(wanted)


def _dtype_word(array):
    return {"b": "boolean", "i": "whole-number", "u": "whole-number", "f": "floating",
            "c": "complex"}[array.dtype.kind]


def described(x, by_hand=False) -> str:
    if isinstance(x, np.ndarray):
        if by_hand and x.ndim == 1:
            return f"{len(x)} numbers"
        if x.ndim == 0:
            return {"b": "True or False", "c": "a complex number"}.get(x.dtype.kind, "a number")
        return f"a {_dtype_word(x)} array of shape {x.shape}"
    if isinstance(x, (tuple, list)):
        return f"a sequence of {len(x)}"
    if isinstance(x, dict):
        return f"a dict with the keys {', '.join(map(repr, x))}" if x else "an empty dict"
    if isinstance(x, Other):
        return f"an object of type {x.type_name}"
    return {str: "text", type(None): "None"}.get(type(x), "a number")


def leaves(x, place=""):
    """The arrays and texts of a canonical value, each with its place."""
    if isinstance(x, dict):
        for name in x:
            yield from leaves(x[name], f"{place}[{name!r}]")
    elif isinstance(x, tuple):
        for i, item in enumerate(x):
            yield from leaves(item, f"{place}[{i}]")
    else:
        yield place, x


def errors(got, wanted, tolerance) -> np.ndarray:
    """Boolean array: where two leaves of one kind differ by more than the tolerance."""
    if not isinstance(wanted, np.ndarray):
        return np.asarray(got != wanted)
    got = got.reshape(wanted.shape)
    if "c" not in (got.dtype.kind, wanted.dtype.kind):
        got, wanted = got.astype(np.float64), wanted.astype(np.float64)
    return ~np.isclose(got, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)


def lost(got, wanted) -> np.ndarray:
    """Boolean array: where an ordinary number was wanted and NaN or an infinity came."""
    if not isinstance(wanted, np.ndarray):
        return np.asarray(False)
    return ~np.isfinite(got.reshape(wanted.shape)) & np.isfinite(wanted)


def where(exercise, got, wanted, compare) -> list:
    """For each leaf of a value, where ``compare`` finds fault."""
    return [compare(x, y) for (_, x), (_, y) in zip(*map(leaves, aligned(exercise, got, wanted)))]
