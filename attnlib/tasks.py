"""The small tasks and the real data that the book's experiments learn from."""

import importlib.util

import numpy as np

FEATURES = ("person", "thing", "action", "quality", "points", "links")
_SENTENCE = {  # word: how much of each feature it has
    "anna":    (1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "poured":  (0.0, 0.0, 1.0, 0.0, 0.0, 0.0),
    "the":     (0.0, 0.0, 0.0, 0.0, 0.5, 1.0),
    "tea":     (0.0, 1.0, 0.0, 0.5, 0.0, 0.0),
    "because": (0.0, 0.0, 0.0, 0.0, 0.0, 1.5),
    "she":     (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "was":     (0.0, 0.0, 0.5, 0.0, 0.0, 0.5),
    "cold":    (0.0, 0.0, 0.0, 1.0, 0.0, 0.0),
}


def sentence():
    """The running example of the book, "anna poured the tea because she was cold".

    Its features are chosen by hand, so that they can be read: person, thing, action, quality,
    points (stands for something said elsewhere) and links (holds other words together).

    Returns:
        words: list of 8 strings.
        embeddings: float64 numpy array ``(8, 6)``, a row per word, a column per name in
            ``FEATURES``, without a unit.

    >>> words, embeddings = sentence()
    >>> words[5], embeddings[5]
    ('she', array([1., 0., 0., 0., 1., 0.]))
    """
    return list(_SENTENCE), np.array(list(_SENTENCE.values()))


def repeatable(seed=0):
    """Make what follows the same on every run: seed it, and let torch use one thread.

    Args:
        seed: whole number; another seed gives another run.

    Returns:
        A ``numpy.random.Generator`` that starts from ``seed``. If torch is installed, its own
        generator is seeded too.

    >>> float(repeatable(3).random()) == float(repeatable(3).random())
    True
    """
    if importlib.util.find_spec("torch") is not None:
        import torch
        torch.set_num_threads(1)
        torch.manual_seed(seed)
    return np.random.default_rng(seed)
