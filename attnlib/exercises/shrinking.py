"""Makes the input on which an answer fails so small that it can be read whole.

As hypothesis shrinks an example: whatever is smaller and still fails is taken, until nothing is.
What is taken away are positions of an axis, in all arguments whose axis has that length at once,
since in an exercise's inputs equal lengths mean the same; then digits.
"""

import time
from dataclasses import dataclass, replace

import numpy as np

from ..running.outcome import Case
from ..running.runner import run
from .core import Result, argument_names
from .judging import ENTRIES_SHOWN, expect, judge, size

SECONDS = 2.0  # of processor time for all of it; what was found by then is shown
FAILS = ("raised", "wrong_kind", "not_finite", "differs", "changed_input")


@dataclass(frozen=True)
class Failure:
    """An input, what was said of the answer on it alone, and the kind of array it was given."""

    case: Case
    result: Result
    kind: str


def smallest_failure(exercise, answer, cases):
    """The smallest input found on which an answer fails by itself.

    Args:
        exercise: `Exercise`; only one with a reference can be tried on one input alone.
        answer: what the student wrote.
        cases: the inputs it was checked on, list of `Case`.

    Returns:
        `Failure`, or None where the answer fails on no single input, or takes none.
    """
    if exercise.reference is None or not any(case.args for case in cases):
        return None
    alone = replace(exercise, mistakes=())
    ends = time.process_time() + SECONDS
    late = time.monotonic() + 10 * SECONDS  # an answer that sleeps takes no processor time

    def fails(case):
        if time.process_time() > ends or time.monotonic() > late:
            return None
        expected = expect(alone, [case])
        if expected[0].raised:
            return None
        (outcome,) = run(answer, [case], takes=exercise.takes, names=argument_names(exercise),
                         seconds=SECONDS)
        result = judge(alone, [case], [outcome], expected)
        return Failure(case, result, outcome.kind) if result.status in FAILS else None

    failure = next(filter(None, map(fails, sorted(cases, key=size))), None)
    while failure is not None:
        smaller = next(filter(None, map(fails, _smaller(failure.case))), None)
        if smaller is None or smaller.result.status != failure.result.status:
            return failure
        failure = smaller
    return None


def _smaller(case):
    """Inputs that are smaller or rounder than this one, the smallest first."""
    arrays = [x for x in case.args if isinstance(x, np.ndarray)]
    lengths = sorted({length for x in arrays for length in x.shape if length > 1}, reverse=True)
    for length in lengths:
        for kept in sorted({1, 2, length // 2, length - 1} - {0, length}):
            for part in (slice(kept), slice(length - kept, None)):
                yield Case(tuple(_cut(x, length, part) for x in case.args))
    if size(case) <= ENTRIES_SHOWN:
        for digits in (0, 1, 2):
            rounder = tuple(_rounded(x, digits) for x in case.args)
            if not all(map(np.array_equal, rounder, case.args)):
                yield Case(rounder)


def _cut(x, length, part):
    if not isinstance(x, np.ndarray):
        return x
    return x[tuple(part if n == length else slice(None) for n in x.shape)]


def _rounded(x, digits):
    floating = isinstance(x, np.ndarray) and x.dtype.kind == "f"
    return np.round(x, digits) if floating else x
