"""Each known mistake written a second time, from its sentence alone and another way than the bank.

A second writing shares the fault and nothing else: loops for a product, a mask made otherwise, the
division at another place, a list for an array. tests/test_retold.py holds that each gets the
bank's name; ``python -m proofs.retold`` lists the mistakes that have been written once only.
"""

from pathlib import Path

import yaml

from attnlib.exercises import exercises

from ..students.answers import alike

TOLD = Path(__file__).parents[1] / "strangers" / "told.yml"
AGAIN: list = []  # (exercise id, the mistake's name, answer)


def again(id, name):
    """Note the function below, or the one called with, as a second writing of a known mistake."""
    def note(answer):
        AGAIN.append((id, name, answer))
        return answer
    return note


def once_only():
    """``[(exercise id, mistake)]`` of the single ones that nobody has written a second time.

    A joined mistake has its parts' names, and one that cannot be told from another has no name of
    its own.
    """
    told = yaml.safe_load(TOLD.read_text(encoding="utf-8"))
    twice = {(id, name) for id, names in told.items() for name in names.values()}
    twice.update((id, name) for id, name, _ in AGAIN)
    return [(exercise.id, mistake) for exercise in exercises() for mistake in exercise.mistakes
            if "+" not in mistake.name and len(alike(exercise, mistake)) == 1
            and (exercise.id, mistake.name) not in twice]


from . import chapters_1_to_3, chapters_4_to_6, chapters_7_to_9  # noqa: E402, F401
