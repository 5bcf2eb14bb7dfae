"""The projects of chapter 9: what is handed in is text or numbers, and a judge holds it between a
floor, what one has without the work, and a goal.

What a project trains is trained by whoever does it; a judge needs less than half a second.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import tasks
from .core import Result, broken_law, finite_array
from .showing import OPEN, PASSED, WRONG, Message, show

SCORED = 1600  # characters of project A
SAMPLES, LENGTH = 10, 120  # of project B, at least
EXAMPLES = 300  # of project C, at most
FIRST = 4000  # where the text of project A begins, counted in the last tenth


class Measure(NamedTuple):
    """One number that a project is judged by."""

    name: str
    found: float
    floor: float
    goal: float

    @property
    def reached(self) -> bool:
        """Whether it is at the goal or beyond; a goal below the floor is an upper limit.

        >>> Measure("right", 0.5, floor=0.2, goal=0.8).reached
        False
        """
        if self.goal < self.floor:
            return self.found <= self.goal
        return self.found >= self.goal


def project(name, *answer) -> Result:
    """Judge what a project came to, and show it beside its floor and its goal.

    Args:
        name: "A", "B" or "C".
        answer: what the project hands in: A takes the shares of each next character, an array
            ``(1600, characters)``; B takes texts, a list of at least ten strings of 120
            characters or more; C takes at most 300 numbers that were learned from, and what the
            model says of all numbers from 0 to 9999, ``(10000, 6)``.

    Returns:
        `Result`: true if every goal is reached. A floor is what the models of the chapter have;
        for repeats it is what they say at temperature 0, for what is copied the text itself.

    >>> bool(project("B", ["the end"]))
    ○ Project B. At least 10 texts of 120 characters or more are asked for, got 0.
    False
    """
    judges: dict[str, Callable] = {"A": _shares, "B": _texts, "C": _translations}
    if name not in judges:
        result = broken_law(f'There is no project {name!r}: say "A", "B" or "C".')
        show(Message(OPEN, "Nothing was judged.", result.sentence))
        return result
    try:
        found, complaint = judges[name](*answer), ""
    except TypeError as error:
        found, complaint = [], f"It could not be read: {error}."
    complaint = found if isinstance(found, str) else complaint
    if complaint:
        show(Message(OPEN, f"Project {name}.", complaint))
        return broken_law(complaint)
    lines = "\n".join(f"{m.name}: {m.found:.2f} (floor {m.floor:.2f}, goal {m.goal:.2f}"
                      f"{', reached' if m.reached else ''})" for m in found)
    if all(m.reached for m in found):
        show(Message(PASSED, f"Project {name}: reached.", "", lines))
        return Result("passed", lines, credit=1.0)
    show(Message(WRONG, f"Project {name}: not reached yet.", "", lines))
    return broken_law("Not every goal is reached.", lines)


# A: the next character.


def passage() -> tuple[str, str, str]:
    """What project A learns from, and the characters it is asked for, with those before them.

    Returns:
        learned: the first nine tenths of `tasks.english`.
        before: what stands directly before the characters that are asked for, 64 of them.
        asked: the 1600 characters; for each, the shares of all characters are handed in.

    >>> [len(part) for part in passage()]
    [268416, 64, 1600]
    """
    return _passage(tasks.english())


def _passage(text):
    start = len(text) * 9 // 10 + FIRST
    return (text[:len(text) * 9 // 10], text[start - 64:start], text[start:start + SCORED])


def _shares(shares):
    text = tasks.english()
    _, _, asked = _passage(text)
    alphabet = sorted(set(text))
    shares = finite_array(shares)
    if shares is None or shares.shape != (SCORED, len(alphabet)):
        return (f"Shares of {len(alphabet)} characters at {SCORED} places are asked for, in the "
                f"order of sorted(set(tasks.english())): an array ({SCORED}, {len(alphabet)}).")
    if (shares < 0).any() or not np.allclose(shares.sum(1), 1, atol=1e-6):
        return "At some place the shares do not sum to one, or one is below 0."
    right = shares[np.arange(SCORED), [alphabet.index(character) for character in asked]]
    if (right == 0).any():
        return "A character that came had the share 0: that is an infinite surprise."
    return [Measure("nats per character", float(-np.log(right).mean()), floor=1.88, goal=1.65)]


# B: samples.


def _texts(texts):
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        return "A list of strings is asked for."
    many = sum(len(text) >= LENGTH for text in texts)
    if many < SAMPLES:
        return (f"At least {SAMPLES} texts of {LENGTH} characters or more are asked for, "
                f"got {many}.")
    learned, _, _ = passage()
    words = set(re.findall(r"[A-Za-z]+", learned))
    said = [word for text in texts for word in re.findall(r"[A-Za-z]{3,}", text)]
    if not said:
        return "There is no word of three letters in it."
    runs = [[text[i:i + 10] for i in range(len(text) - 9)] for text in texts]
    repeats = np.mean([1 - len(set(some)) / len(some) for some in runs])
    pieces = [text[i:i + 30] for text in texts for i in range(0, len(text) - 29, 10)]
    return [Measure("words of the training text", np.mean([word in words for word in said]),
                    floor=0.37, goal=0.85),
            Measure("repeats of ten characters", float(repeats), floor=0.50, goal=0.05),
            Measure("runs of 30 copied", np.mean([piece in learned for piece in pieces]),
                    floor=1.0, goal=0.05)]


# C: translations.


def _translations(examples, said):
    task = tasks.translation(np.random.default_rng(0), examples=1)
    examples, said = finite_array(examples), finite_array(said)
    if examples is None or examples.ndim != 1 or said is None or said.shape != task.target.shape:
        return (f"The numbers that were learned from, at most {EXAMPLES} of them, and what the "
                f"model says of all numbers, an array {task.target.shape}, are asked for.")
    learned = np.unique(examples).astype(int)
    if len(learned) > EXAMPLES or len(learned) == 0 or not 0 <= learned[0] <= learned[-1] <= 9999:
        return f"1 to {EXAMPLES} numbers from 0 to 9999 may be learned from, got {len(learned)}."
    right = ((said == task.target) | (task.target == 0)).all(1)
    unseen = ~np.isin(np.arange(10000), learned)
    short = np.arange(10000) < 1000
    kinds = [right[unseen & kind].mean() for kind in (short, ~short)]
    return [Measure("exact, the worse of short numbers and numbers of four digits",
                    float(min(kinds)), floor=0.21, goal=0.70)]
