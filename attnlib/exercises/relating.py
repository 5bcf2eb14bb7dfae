"""How a wrong answer departs from the right one, whoever wrote it: by a sign, a factor, an axis.

Where no known mistake explains an answer, what it gave often still has a simple relation to what
is right. A relation is said only if it holds on every ordinary input on which the answer is
wrong; the hard ones on which it does not hold are named. Else it is said on which inputs the
answer departs, if these have something in common. Relations come before places, and the most
certain ones first.
"""

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from .comparing import aligned, errors, leaves, misfit
from .core import argument_names

TOLERANCE = 1e-4  # by hand
ENTRIES = 6  # numbers that a relation must hold for, at least, before it is no chance
NEAR = 0.02  # so much of its size may a number be off that is called near
MAPS = {  # {name: (what was done, function)}
    "logarithms taken": ("the logarithms of those asked for", np.log),
    "exponentials taken": ("the exponentials of those asked for", np.exp),
    "squares taken": ("the squares of those asked for", np.square),
    "roots taken": ("the roots of those asked for", np.sqrt),
    "reciprocals taken": ("1 divided by those asked for", lambda x: 1 / x),
    "absolute values": ("those asked for without their minus signs", np.abs),
    "cut at 0": ("those asked for, with 0 in place of what is below 0", lambda x: np.maximum(x, 0)),
    "rest of 1": ("1 minus those asked for", lambda x: 1 - x),
}


@dataclass(frozen=True)
class Pair:
    """What was given and what is right, arrays or text, and how far apart is still the same."""

    got: object
    wanted: object
    tolerance: float


def departure(exercise, cases, outcomes, expected, wrong, tolerance) -> tuple[str, str]:
    """What can be said of a wrong answer that no known mistake explains.

    Args:
        exercise: `Exercise` with a reference.
        cases: what the answer was called with, list of `Case`.
        outcomes, expected: what the answer and the reference did, lists of `Outcome`.
        wrong: set of the indices of the cases on which the answer is wrong.
        tolerance: ``tolerance(*outcomes)``, how far apart is still the same.

    Returns:
        name: of what is noticed; empty if nothing is.
        sentence: to be added to what is said of any wrong answer.
    """
    ran = [i for i in sorted(wrong) if not outcomes[i].raised and not outcomes[i].timed_out]
    if all(cases[i].hard for i in wrong) and 2 * len(wrong) <= len(cases):
        return _hard(cases, wrong)
    if len(ran) == len(wrong):
        order = _another_order([(*aligned(exercise, outcomes[i], expected[i]),
                                 tolerance(outcomes[i], expected[i])) for i in ran])
        if order:
            return "parts in another order", (
                f"The right things, in another order: yours are numbers {order} of those that "
                "were asked for.")
        pairs = {i: _pairs(exercise, outcomes[i], expected[i], tolerance) for i in ran}
        for relation in RELATIONS:
            name, sentence = _holds(relation, pairs, cases)
            if name:
                return name, sentence
    return _common(exercise, cases, outcomes, wrong)


def _pairs(exercise, outcome, other, tolerance):
    """The parts of a value that are wrong; the whole values, if they have other parts."""
    got, wanted = aligned(exercise, outcome, other)
    close = tolerance(outcome, other)
    ours, theirs = ([*leaves(x)] for x in (got, wanted))
    if [place for place, _ in ours] != [place for place, _ in theirs]:
        return [Pair(got, wanted, close)]
    pairs = [Pair(x, y, close) for (_, x), (_, y) in zip(ours, theirs)]
    return [pair for pair in pairs if not _close(pair.got, pair.wanted, close)
            or misfit(pair.got, pair.wanted, False)]


def _another_order(values):
    """In which order the parts of all values are the right ones; empty if in none."""
    if not values or not all(isinstance(x, tuple) and isinstance(y, tuple) and len(x) == len(y)
                             for x, y, _ in values):
        return ""
    length = len(values[0][1])
    for order in itertools.permutations(range(length)) if length < 6 else ():
        if all(_close(x[i], y[j], close) for x, y, close in values for i, j in enumerate(order)):
            return ", ".join(str(i + 1) for i in order)
    return ""


def _holds(relation, pairs, cases):
    """A relation's name and sentence, and on which hard inputs it does not hold."""
    flat = [pair for found in pairs.values() for pair in found]
    name, sentence = relation(flat) if flat else ("", "")
    if name:
        return name, sentence
    plain = [i for i in pairs if not cases[i].hard]
    start = [pair for i in plain for pair in pairs[i]]
    name, sentence = relation(start) if start else ("", "")
    if not name:
        return "", ""
    left = [i for i in pairs if i not in plain and relation(start + pairs[i])[0] != name]
    if 2 * len(left) > len(pairs):
        return "", ""
    where = " and ".join(dict.fromkeys(cases[i].hard for i in left))
    return name, f"{sentence} (Something else happens with {where}.)"


# Relations: each takes the pairs and gives a name and a sentence, empty if it does not hold.


def _of_numbers(like):
    """For a relation between arrays of numbers: it takes the pairs, and both sides as two lists.

    It is not asked where there is something else, or too little.

    Args:
        like: whether the two sides must have the same shapes, and be no booleans.
    """
    def told(relation):
        @functools.wraps(relation)
        def asked(pairs):
            arrays = _numbers(pairs, like)
            return ("", "") if arrays is None else relation(pairs, *arrays)
        return asked
    return told


def _numbers(pairs, like):
    """Arrays of numbers alone, as two lists; None if there is something else, or too little."""
    arrays = [pair for pair in pairs if isinstance(pair.got, np.ndarray)
              and isinstance(pair.wanted, np.ndarray)]
    if len(arrays) < len(pairs) or like and any(p.got.shape != p.wanted.shape for p in arrays):
        return None
    if any("b" in (p.got.dtype.kind, p.wanted.dtype.kind) for p in arrays) and like:
        return None
    if sum(p.wanted.size for p in arrays) < ENTRIES or len(_values(pairs)) < (3 if like else 2):
        return None
    return [p.got for p in arrays], [p.wanted for p in arrays]


def _values(pairs):
    """The different numbers that were wanted, to three digits."""
    return {f"{x:.3g}" for pair in pairs for x in np.asarray(pair.wanted, float).ravel()}


def _close(got, wanted, tolerance):
    if not isinstance(got, np.ndarray) or not isinstance(wanted, np.ndarray):
        return not isinstance(got, np.ndarray | tuple) and type(got) is type(wanted) and (
            got == wanted)
    if got.shape != wanted.shape:
        return False
    return bool(_alike(got, wanted, tolerance).all())


def _alike(got, wanted, tolerance):
    """Where two arrays are the same; NaN is NaN."""
    with np.errstate(all="ignore"):
        return np.isclose(got, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)


def _all_close(gots, wanteds, pairs):
    return all(_close(got, wanted, pair.tolerance)
               for got, wanted, pair in zip(gots, wanteds, pairs))


def _one_factor(got, wanted):
    """What one array is the other times; NaN if there is no such number."""
    fine = np.isfinite(got) & np.isfinite(wanted)
    below = float((wanted[fine] ** 2).sum())
    return float((got[fine] * wanted[fine]).sum()) / below if below > 0 else np.nan


def _said(number):
    return f"{number:.4g}"


@_of_numbers(like=True)
def _factor(pairs, gots, wanteds):
    largest = int(np.argmax([wanted.size for wanted in wanteds]))
    factor = _one_factor(gots[largest], wanteds[largest])
    if np.isfinite(factor) and abs(factor) > 1e-3 and _all_close(
            [got / factor for got in gots], wanteds, pairs):
        if abs(factor + 1) < 1e-3:
            return "turned sign", "Every number has the wrong sign, and is right but for that."
        return f"times {_said(factor)}", (
            f"Every number is {_said(factor)} times what it should be.")
    factors = [_one_factor(got, wanted) for got, wanted in zip(gots, wanteds)]
    if sum(wanted.size > 2 for wanted in wanteds) > 1 and all(
            np.isfinite(f) and abs(f) > 1e-3 for f in factors):
        if _all_close([got / f for got, f in zip(gots, factors)], wanteds, pairs):
            return "times a factor", (
                "On each input all of your numbers are off by one factor, but not by the same on "
                f"every input: {_said(min(factors))} to {_said(max(factors))}. What, in the "
                "input, does your scale depend on?")
    return "", ""


@_of_numbers(like=True)
def _by_row(pairs, gots, wanteds):
    """Rows off by a factor or a shift of their own."""
    if any(wanted.ndim < 2 for wanted in wanteds):
        return "", ""
    for axis, word in ((-1, "row"), (-2, "column")):
        widths = [(wanted.shape[axis] - 1) * (wanted.size // wanted.shape[axis])
                  for wanted in wanteds if wanted.size]
        if sum(widths) < ENTRIES:
            continue
        with np.errstate(all="ignore"):
            below = [(wanted ** 2).sum(axis, keepdims=True) for wanted in wanteds]
            factors = [(got * wanted).sum(axis, keepdims=True) / np.where(b > 0, b, 1)
                       for got, wanted, b in zip(gots, wanteds, below)]
            fits = all(np.isfinite(f).all() for f in factors) and _all_close(
                gots, [wanted * f for wanted, f in zip(wanteds, factors)], pairs)
        if fits and all((np.abs(f)[b > 0] > 1e-3).all() for f, b in zip(factors, below)):
            return f"times a factor by {word}", (
                f"Within each {word} (along axis {axis}) your numbers are off by one factor, but "
                f"each {word} by another: look at what a whole {word} is multiplied with or "
                "divided by.")
        shifts = [(got - wanted).mean(axis, keepdims=True) for got, wanted in zip(gots, wanteds)]
        if _all_close(gots, [w + s for w, s in zip(wanteds, shifts)], pairs):
            return f"shifted by {word}", (
                f"Within each {word} (along axis {axis}) all of your numbers are off by the same "
                f"amount, but each {word} by another.")
    return "", ""


@_of_numbers(like=True)
def _shift(pairs, gots, wanteds):
    with np.errstate(all="ignore"):
        shift = float(np.mean(gots[0] - wanteds[0]))
    if np.isfinite(shift) and _all_close([got - shift for got in gots], wanteds, pairs):
        more = "more" if shift > 0 else "less"
        return f"{_said(abs(shift))} too {'much' if shift > 0 else 'little'}", (
            f"Every number is {_said(abs(shift))} {more} than it should be.")
    return "", ""


@_of_numbers(like=True)
def _mapped(pairs, gots, wanteds):
    for name, (what, function) in MAPS.items():
        with np.errstate(all="ignore"):
            if _all_close(gots, [function(wanted) for wanted in wanteds], pairs):
                return name, f"Your numbers are {what}."
    return "", ""


def _opposite(pairs):
    """Booleans: exchanged, too many or too few, or numbers in their place."""
    if all(isinstance(p.got, np.ndarray) and isinstance(p.wanted, np.ndarray)
           and p.wanted.dtype == bool and p.got.shape == p.wanted.shape
           and p.got.dtype.kind in "iuf" and ((p.got != 0) == p.wanted).all() for p in pairs):
        return "numbers for True", ("You give numbers, which are 0 exactly where False is asked "
                                    "for. Asked for are True and False.")
    if not all(isinstance(x, np.ndarray) and x.dtype == bool for p in pairs
               for x in (p.got, p.wanted)) or any(p.got.shape != p.wanted.shape for p in pairs):
        return "", ""
    if all((p.got != p.wanted).all() for p in pairs):
        return "True for False", "True and False are exchanged everywhere."
    if sum(p.wanted.size for p in pairs) < ENTRIES:
        return "", ""
    if all((p.got | ~p.wanted).all() for p in pairs):
        return "too much True", ("Whatever should be True is, but more than that is: you let too "
                                 "much through.")
    if all((p.wanted | ~p.got).all() for p in pairs):
        return "too little True", ("Whatever should be False is, but more than that is: you let "
                                   "too little through.")
    return "", ""


@_of_numbers(like=False)
def _axes(pairs, gots, wanteds):
    """Axes exchanged, or the right numbers in another shape."""
    deepest = max(wanted.ndim for wanted in wanteds)
    for order in itertools.permutations(range(-deepest, 0)) if deepest < 6 else ():
        moved = [order[i] for i in range(deepest) if order[i] != i - deepest]
        if moved and all(wanted.ndim >= -min(moved) for wanted in wanteds):
            turned = [wanted.transpose([*range(wanted.ndim - deepest), *(
                axis + wanted.ndim for axis in order if axis >= -wanted.ndim)])
                for wanted in wanteds]
            if _all_close(gots, turned, pairs):
                axes = " and ".join(str(axis) for axis in sorted(moved))
                return "axes exchanged", f"The right numbers, but axes {axes} are exchanged."
    if all(got.size == wanted.size for got, wanted in zip(gots, wanteds)) and _all_close(
            [got.ravel() for got in gots], [wanted.ravel() for wanted in wanteds], pairs):
        if any(got.shape != wanted.shape for got, wanted in zip(gots, wanteds)):
            return "another shape", "The right numbers, in another shape."
        return "another type", "The right values, of another type."
    return "", ""


@_of_numbers(like=True)
def _reordered(pairs, gots, wanteds):
    """The right slices along an axis, in another order."""
    for axis in range(-1, -1 - min(wanted.ndim for wanted in wanteds), -1):
        if all(_same_slices(pair, axis) for pair in pairs):
            return f"another order along axis {axis}", (
                f"The right numbers, in another order along axis {axis}.")
    return "", ""


@_of_numbers(like=True)
def _sorted(pairs, gots, wanteds):
    """In each row the right numbers, in an order that differs from row to row."""
    if not any(x.ndim and x.shape[-1] > 2 for x in wanteds):
        return "", ""
    if all(x.ndim for x in wanteds) and _all_close(
            *([np.sort(x, axis=-1) for x in xs] for xs in (gots, wanteds)), pairs):
        return "rows in another order", "In each row the right numbers, in another order."
    return "", ""


def _same_slices(pair, axis):
    got, wanted = (np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1) if x.size else x
                   for x in (pair.got, pair.wanted))
    if not 1 < len(wanted) <= 100 or got.shape != wanted.shape:
        return False
    fits = _alike(got[:, None], wanted, pair.tolerance).all(-1)
    return bool(fits.any(0).all() and fits.any(1).all()
                and (fits.sum(0) == fits.sum(0)[fits.argmax(1)]).all())


def _nothing(pairs):
    """An empty list where an array is asked for."""
    if all(isinstance(p.wanted, np.ndarray) and p.got == () for p in pairs
           if not isinstance(p.got, np.ndarray)) and not any(
            isinstance(p.got, np.ndarray) for p in pairs):
        return "an empty list", "You return an empty list."
    return "", ""


def _parts(pairs):
    """More things than asked for, or fewer."""
    if all(not isinstance(p.wanted, tuple) and (isinstance(p.got, tuple) or isinstance(
            p.got, np.ndarray) and p.got.ndim == np.ndim(p.wanted) + 1) and len(p.got) > 1
           for p in pairs):
        for at in range(min(len(p.got) for p in pairs)):
            if all(_close(p.got[at], p.wanted, p.tolerance) for p in pairs):
                return "more than asked for", (
                    f"You return several things; what is asked for is number {at + 1} of them "
                    "alone.")
    if all(isinstance(p.wanted, tuple) for p in pairs):
        for at in range(min(len(p.wanted) for p in pairs)):
            if all(_close(p.got, p.wanted[at], p.tolerance) for p in pairs):
                return "less than asked for", (
                    f"You return number {at + 1} of what is asked for. The rest is missing.")
    return "", ""


@_of_numbers(like=False)
def _cut(pairs, gots, wanteds):
    """The right numbers, with something missing at an end of an axis, or too much there."""
    if any(got.ndim != wanted.ndim for got, wanted in zip(gots, wanteds)):
        return "", ""
    if all(got.shape == wanted.shape for got, wanted in zip(gots, wanteds)):
        return "", ""
    for (whole, part), word in (((wanteds, gots), "missing"), ((gots, wanteds), "too many")):
        for axis in range(-1, -1 - min(x.ndim for x in whole), -1):
            for end in ("last", "first"):
                if all(_is_end(a, b, axis, end, p.tolerance)
                       for a, b, p in zip(whole, part, pairs)):
                    return f"{word} along axis {axis}", (
                        f"The right numbers, but along axis {axis} the {end} of "
                        f"{'those asked for are' if word == 'missing' else 'yours are'} {word}.")
    return "", ""


def _is_end(whole, part, axis, end, tolerance):
    extra = whole.shape[axis] - part.shape[axis]
    if extra < 0:
        return False
    kept = slice(0, whole.shape[axis] - extra) if end == "last" else slice(extra, None)
    return _close(np.moveaxis(whole, axis, 0)[kept], np.moveaxis(part, axis, 0), tolerance)


def _rows(pairs):
    """Tables with some of the right rows, or with more than these."""
    if not all(isinstance(x, np.ndarray) and x.ndim == 2 and x.dtype.kind in "iuf"
               for p in pairs for x in (p.got, p.wanted)):
        return "", ""
    if any(p.got.shape[1] != p.wanted.shape[1] or not p.got.size for p in pairs) or sum(
            p.wanted.size for p in pairs) < ENTRIES:
        return "", ""
    found = [np.isclose(p.got[:, None], p.wanted, rtol=p.tolerance, atol=p.tolerance).all(-1)
             for p in pairs]
    if all(same.any(1).all() and not same.any(0).all() for same in found):
        return "rows missing", "Each of your rows is right, but some are missing."
    if all(same.any(0).all() and not same.any(1).all() for same in found):
        return "too many rows", "What is asked for is there, and rows that were not asked for."
    return "", ""


@_of_numbers(like=True)
def _at_an_end(pairs, gots, wanteds):
    """Wrong in the first or the last along an axis alone, or right there alone."""
    masks = [~_alike(got, wanted, p.tolerance) for got, wanted, p in zip(gots, wanteds, pairs)]
    for axis in range(-1, -1 - min(mask.ndim for mask in masks), -1):
        lines = [np.moveaxis(mask, axis, 0).reshape(mask.shape[axis], -1).any(1)
                 for mask in masks if mask.shape[axis] > 2]
        for place, word in ((0, "first"), (-1, "last")):
            alone = [np.arange(len(line)) == place % len(line) for line in lines]
            if len(lines) < len(masks) or not lines:
                continue
            if all((line == one).all() for line, one in zip(lines, alone)):
                return f"{word} wrong along axis {axis}", (
                    f"Along axis {axis} all is right but the {word}.")
            if all((line != one).all() for line, one in zip(lines, alone)):
                return f"{word} right along axis {axis}", (
                    f"Along axis {axis} the {word} is right, and nothing else is.")
        places = {tuple(np.flatnonzero(line).tolist()) for line in lines}
        if len(lines) == len(masks) and len({len(line) for line in lines}) == len(places) == 1:
            (wrong,) = places
            if 2 * len(wrong) <= len(lines[0]):
                at = " and ".join(map(str, wrong))
                return f"wrong at {at} along axis {axis}", (
                    f"Along axis {axis} all is right but what stands at {at}.")
    return "", ""


@_of_numbers(like=True)
def _zeros(pairs, gots, wanteds):
    """0 where there should be something, or something where there should be 0."""
    masks = [~_alike(got, wanted, p.tolerance) for got, wanted, p in zip(gots, wanteds, pairs)]
    if all((got[mask] == 0).all() for got, mask in zip(gots, masks)):
        return "zeros given", "You give 0 where there should be something; all the rest is right."
    if all((wanted[mask] == 0).all() for wanted, mask in zip(wanteds, masks)):
        return "zeros missing", "You give something where there should be 0; all the rest is right."
    return "", ""


@_of_numbers(like=True)
def _near(pairs, gots, wanteds):
    with np.errstate(all="ignore"):
        off = [np.abs(got - wanted) / np.maximum(np.abs(wanted), 1e-2 * np.abs(wanted).max())
               for got, wanted in zip(gots, wanteds) if wanted.size]
    most = max(float(np.max(x)) for x in off)
    if most <= NEAR:
        bound = next(x for x in (0.0001, 0.001, 0.01, NEAR) if most <= x)
        return "nearly right", (
            f"None of your numbers is off by more than {100 * bound:g} %: what is small in your "
            "answer, something added, a rounding, a step too few?")
    return "", ""


RELATIONS = (_parts, _nothing, _near, _factor, _shift, _mapped, _opposite, _axes, _reordered,
             _sorted, _cut, _rows, _by_row, _zeros, _at_an_end)


# By hand.


def by_hand(exercise, outcome, other) -> tuple[str, str]:
    """What can be said of wrong numbers or words that were found by hand.

    Args:
        exercise: `Exercise`, done by hand.
        outcome, other: what was answered, and the right answer.

    Returns:
        name, sentence: as of `departure`.
    """
    got, wanted = aligned(exercise, outcome, other)
    if misfit(got, wanted, True):
        return "", ""
    parts = [(place, x, y) for (place, x), (_, y) in zip(leaves(got), leaves(wanted))
             if errors(x, y, TOLERANCE).any()]
    if not all(isinstance(y, np.ndarray) for _, _, y in parts):
        return "", ""
    pairs = [(place, x.reshape(y.shape), y) for place, x, y in parts]
    if all(_rounded(x, y) for _, x, y in pairs):
        return "rounded numbers", "It looks rounded: give four digits, or the sum that makes it."
    if all(_close(x, np.asarray(-y), TOLERANCE) for _, x, y in pairs):
        return "turned sign", "The size is right and the sign is not."
    if all(_close(x, np.asarray(100 * y), TOLERANCE) for _, x, y in pairs):
        return "percent", "These are percentages. Asked for are shares of 1."
    if len(pairs) == 2:
        (one, first, right), (two, second, other) = pairs
        if _close(first, other, TOLERANCE) and _close(second, right, TOLERANCE):
            return "changed places", f"Two of your answers have changed places: {one} and {two}."
    return "", ""


def _rounded(got, wanted):
    """Whether it is the right number, rounded to three digits or fewer."""
    return any(_close(got, np.asarray(np.round(wanted, digits)), 1e-9) for digits in (1, 2, 3))


# What the inputs have in common on which it departs.


def _hard(cases, wrong):
    """On which hard inputs an answer departs that is right on every ordinary one."""
    hard = list(dict.fromkeys(cases[i].hard for i in sorted(wrong)))
    listed = " and ".join(filter(None, [", ".join(hard[:-1]), hard[-1]]))
    right = len(cases) - len(wrong)
    return f"with {hard[0]}" + " and more" * (len(hard) > 1), (
        f"Right on {right} of {len(cases)} inputs; wrong with {listed}.")


def _common(exercise, cases, outcomes, wrong):
    """What is common to the inputs on which an answer is wrong, and to no other one."""
    right = [i for i in range(len(cases)) if i not in wrong]
    if not right:
        return "", ""
    stops = all(outcomes[i].raised for i in wrong)
    for at, name in enumerate(argument_names(exercise)):
        axes = [np.ndim(case.args[at]) if at < len(case.args) and isinstance(
            case.args[at], np.ndarray) else None for case in cases]
        bad, good = ({axes[i] for i in part} for part in (wrong, right))
        if not bad & good and None not in bad | good and max(len(right), len(wrong)) > 2:
            does = "stops" if stops else "goes wrong"
            return f"{_listed(bad)} axes", (
                f"It {does} where `{name}` has {_listed(bad)} axes, and is right where it has "
                f"{_listed(good)}.")
    return "", ""


def _listed(numbers):
    return " or ".join(str(number) for number in sorted(numbers))
