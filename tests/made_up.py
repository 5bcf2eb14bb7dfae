"""Exercises made up for the tests: in code, by hand, and judged by a law alone."""

import math

import numpy as np

from attnlib.exercises.core import Case, Exercise, broken_law, switched

HARD = "large scores"


def cases(seed):
    rng = np.random.default_rng([seed, 99])

    def case(*leading, n_q, n_k, d_k, size=1.0, hard=""):
        shapes = (*leading, n_q, d_k), (*leading, n_k, d_k)
        query, key = (size * rng.normal(size=shape) for shape in shapes)
        return Case((query, key), hard=hard)

    return [case(n_q=3, n_k=4, d_k=2), case(2, n_q=5, n_k=3, d_k=4),
            case(n_q=2, n_k=5, d_k=3, size=40.0, hard=HARD), case(n_q=1, n_k=3, d_k=2, hard="one")]


def weights(query, key, *, faults=frozenset()):
    if "in-place" in faults:
        query /= math.sqrt(query.shape[-1])
    scores = query @ (key.T if "raises" in faults else np.swapaxes(key, -1, -2))
    if not {"no-scale", "in-place"} & faults:
        scores = scores / math.sqrt(query.shape[-1])
    if "naive" not in faults:
        scores = scores - scores.max(-1, keepdims=True)
    parts = np.exp(scores)
    shares = parts / parts.sum(-2 if "axis" in faults else -1, keepdims=True)
    return np.swapaxes(shares, -1, -2) if "shape" in faults else shares


SENTENCES = {
    "no-scale": "Your scores are not scaled: look at the equation once more.",
    "axis": "Your softmax runs along the wrong axis of the scores.",
    "shape": "Your weights are turned: they have a row per key, not per query.",
    "raises": "It works for one sentence only; look at how the key is turned.",
    "naive": "Large scores overflow: what can be subtracted before?",
    "in-place": "Right numbers, but the caller's query is not what it was.",
}


def in_torch(query, key):
    import torch
    return torch.exp(torch.log_softmax(query @ key.mT / query.shape[-1] ** 0.5, -1))


EXERCISE = Exercise(
    id="9.1", kind="write", points=2, minutes=5, version=1,
    hints=("Five steps: begin with `scores`.", "Subtract the row's largest score."),
    cases=cases, reference=weights,
    mistakes=switched(weights, SENTENCES, pairs=[("no-scale", "axis")]),
    forbidden=("attnlib.attention_weights", "attnlib.attention.softmax", "numpy.einsum",
               "torch.softmax", "torch.Tensor.softmax",
               "torch.nn.functional.scaled_dot_product_attention"),
    variants=(in_torch,),
)
BY_HAND = Exercise(
    id="9.2", kind="by hand", points=1, minutes=5, version=1, hints=("Add.", "Divide."),
    cases=lambda seed: [Case()],
    reference=lambda: {"weights": [0.25, 0.75], "half": 0.5, "word": "same"},
)
OPEN = Exercise(
    id="9.3", kind="open-ended", points=1, minutes=5, version=1, hints=("Sum.", "Divide."),
    cases=lambda seed: [Case((np.random.default_rng(seed).normal(size=(3, 4)),))], reference=None,
    judge=lambda cases, outcomes: (
        None if abs(outcomes[0].value.sum() - 1) < 1e-6
        else broken_law("It does not sum to one.", f"sum: {outcomes[0].value.sum():.2f}")),
    variants=(lambda x: abs(x) / abs(x).sum(),),
)
