"""Other numbers, shapes and names for each student, drawn from the kit's secret seed."""

import hashlib
import itertools

from attnlib.exercises import get
from attnlib.exercises.judging import expect, same
from attnlib.exercises.registry import drawn

TRIES = 50  # draws for one variant before there are held to be no more different ones
CASES_SEED = 0


def digits(*parts):
    """Hexadecimal digits that follow from these parts and tell nothing of them."""
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()


def draws(seed, id, variants):
    """What the variants of an exercise are drawn with, as many different ones as there are.

    Args:
        seed: the kit's secret seed.
        id: the exercise.
        variants: how many are wanted.

    Returns:
        Tuple of hexadecimal digits, one for each variant. The first ones all have different right
        answers; when no more can be found, they come again in the same order. Empty if the
        exercise does not vary.
    """
    exercise = get(id)
    if not variants or exercise.vary is None:
        return ()
    found, answers = [], [expect(exercise, exercise.cases(CASES_SEED))]  # never the book's own
    for number in range(1, variants + 1):
        for attempt in range(TRIES):
            draw = digits(seed, "variant", id, number, attempt)[:8]
            answer = expect(drawn(exercise, draw)[0], exercise.cases(CASES_SEED))
            if not any(same(exercise, answer, other) for other in answers):
                break
        else:
            break
        found.append(draw)
        answers.append(answer)
    return tuple(itertools.islice(itertools.cycle(found), variants))
