"""Answers that nobody tuned for: written from the statements alone, before their bank was read.

Wrong ones as people make them, each with what is wrong about it, and right ones in unusual dress.
What each is told stands in told.yml; tests/test_strangers.py holds it there.
"""

import numpy as np

WRONG: list = []  # (exercise id, what is wrong, answer)
RIGHT: list = []  # (exercise id, what is unusual, answer)


def w(id, what, answer):
    """Note a wrong answer."""
    WRONG.append((id, what, answer))


def r(id, what, answer):
    """Note a right one."""
    RIGHT.append((id, what, answer))


def W(id, what):
    """Note the function below as a wrong answer."""
    return lambda answer: w(id, what, answer)


def R(id, what):
    """Note the function below as a right one."""
    return lambda answer: r(id, what, answer)


def T(x):
    """The last two axes exchanged."""
    return np.swapaxes(x, -1, -2)


def sm(scores, axis=-1):
    """A softmax that gives NaN where nothing is allowed."""
    parts = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return parts / parts.sum(axis=axis, keepdims=True)


from . import chapters_1_to_3, chapters_4_to_6, chapters_7_to_9  # noqa: E402, F401
