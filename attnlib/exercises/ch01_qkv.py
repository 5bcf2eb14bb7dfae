"""Chapter 1, "Queries, keys and values": what its exercises ask, and what people answer."""

import math

import numpy as np

from ..attention import additive_scores, attention, attention_weights, softmax
from .core import (
    READY_MADE,
    Case,
    Exercise,
    Result,
    another_form,
    broken_law,
    finite_array,
    flipped,
    switched,
    with_numbers,
)


def _exponentials(scores, axis, overflow=False):
    """The numerators of a softmax; without the shift that keeps them finite, if asked."""
    with np.errstate(over="ignore"):
        return np.exp(scores - (0 if overflow else scores.max(axis=axis, keepdims=True)))


def _shares(scores, axis, overflow=False):
    parts = _exponentials(scores, axis, overflow)
    with np.errstate(invalid="ignore"):
        return parts / parts.sum(axis=axis, keepdims=True)


# 1.1  Attention on paper

_PAPER_QUERY = np.array([2.0, 0.0, 1.0, 1.0])


def _paper(*, second=3, third=4, values=((8, 0), (0, 16), (4, 4)), faults=frozenset()):
    b, c, values = math.log(second), math.log(third), np.array(values)
    scores = np.array([[0, 5, 0, 0], [b, 1, 0, 0], [0, -2, c, c]]) @ _PAPER_QUERY
    d_k = len(_PAPER_QUERY)
    scores = (scores if "no-scale" in faults else scores / d_k if "by-d_k" in faults
              else scores * math.sqrt(d_k) if "multiplied" in faults
              else scores / math.sqrt(len(scores)) if "by-root-keys" in faults
              else scores / math.sqrt(d_k))
    weights = _shares(scores, 0)
    if "shares-of-scores" in faults:
        weights = scores / scores.sum()
    if "scores-shown" in faults:
        weights = scores
    if "largest-only" in faults:
        weights = np.eye(3)[scores.argmax()]
    if "not-normalised" in faults:
        weights = np.exp(scores)
    if "uniform" in faults:
        weights = np.full(3, 1 / 3)
    output = weights @ values
    if "plain-mean" in faults:
        output = values.mean(0)
    if "plain-sum" in faults:
        output = values.sum(0)
    if "percent" in faults:
        weights = 100 * weights
    return {"weights": weights.tolist(), "output": output.tolist()}


def _vary_paper(rng):
    """Other exponentials, and values whose mean is whole."""
    b, c = (int(x) for x in rng.permutation(np.arange(2, 7))[:2])
    whole = 1 + b + c
    u, v, x, y = (int(n) for n in rng.integers((0, 0, 1, 1), (6, 6, 3, 3)))
    values = (u + whole * x, v), (u, v + whole * y), (u, v)  # their mean is (u + x, v + b * y)
    matrix = r"V = \begin{pmatrix} 8 & 0 \\ 0 & 16 \\ 4 & 4 \end{pmatrix}"
    rows = r" \\ ".join(f"{x} & {y}" for x, y in values)
    return with_numbers(_PAPER, dict(second=b, third=c, values=values), {
        matrix: rf"V = \begin{{pmatrix}} {rows} \end{{pmatrix}}", r"\ln 3": rf"\ln {b}",
        r"\ln 4": rf"\ln {c}", "1, 3 and 4": f"1, {b} and {c}", "of 8": f"of {whole}"})


_PAPER = Exercise(
    id="1.1", kind="by hand", points=2, minutes=10, version=1,
    hints=(
        "Three dot products first. Then divide each by the square root of the query's width.",
        "The scaled scores are logarithms of whole numbers, so their exponentials are those "
        "whole numbers. Divide each by the sum of all three.",
        "The exponentials are 1, 3 and 4. The output is a mean of the three values with these "
        "shares of 8.",
    ),
    cases=lambda seed: [Case()],
    reference=_paper,
    mistakes=switched(_paper, {
        "no-scale": "You took the exponentials of the dot products as they are. "
                    "Something is done to a score before its exponential is taken.",
        "by-d_k": "You divided the dot products by the width itself. Look again at what "
                  "stands under the fraction in equation (1.6).",
        "multiplied": "You made the dot products larger by the root of the width. "
                      "Look at the direction in which equation (1.6) goes.",
        "shares-of-scores": "Your weights are the scores, divided by their sum. "
                            "A softmax does something to each score before it divides.",
        "scores-shown": "Your weights are the scores themselves. A softmax stands between the two.",
        "largest-only": "You gave everything to the best key. That is a hard look-up: "
                        "in a soft one, the other keys keep a share.",
        "not-normalised": "Your weights are exponentials that do not sum to one. "
                          "One step of the softmax is still missing.",
        "uniform": "All three of your weights are alike. The query meets the three keys with "
                   "different dot products: start there.",
        "plain-mean": "Your weights are right, but your output is the plain mean of the values. "
                      "Let each value count by its weight.",
        "plain-sum": "Your output is the plain sum of the values. Let each value count by its "
                     "weight.",
        "percent": "Your weights are percentages. Weights are shares of 1.",
        "by-root-keys": "You divided by the root of the number of keys. Look again at what stands "
                        "under the root in equation (1.6).",
    }, pairs=[("no-scale", "not-normalised"), ("no-scale", "plain-mean"),
              ("by-d_k", "not-normalised"), ("by-d_k", "plain-mean")]),
    variants=(
        lambda: {"weights": [1 / 8, 3 / 8, 4 / 8], "output": [3, 8]},
        lambda: {"output": np.array([3.0, 8.0]), "weights": (0.125, 0.375, 0.5)},
    ),
    vary=_vary_paper,
)


# 1.2  Right for one sentence, wrong for two

def _batch(query, key, value, *, faults=frozenset()):
    if "in-place" in faults:
        query /= math.sqrt(key.shape[-1])
    scores = query @ (key.T if "reversed-axes" in faults else np.swapaxes(key, -1, -2))
    if "in-place" not in faults and "no-scale" not in faults:
        width = (key.shape[1] if "scale-left" in faults
                 else value.shape[-1] if "by-root-d_v" in faults else key.shape[-1])
        scores = scores / (width if "by-d_k" in faults else math.sqrt(width))
    axis = (1 if "axis-left" in faults else 2 if "axis-two" in faults
            else -2 if "over-queries" in faults else -1)
    if "no-keepdims" in faults:
        parts = _exponentials(scores, -1)
        return parts / parts.sum(axis=-1) @ value
    if "over-everything" in faults:
        return np.exp(scores) / np.exp(scores).sum() @ value
    return _shares(scores, axis) @ value


def _batch_einsum(query, key, value):
    scores = np.einsum("...ik,...jk->...ij", query, key) / key.shape[-1] ** 0.5
    return np.einsum("...ij,...jv->...iv", _shares(scores, -1), value)


def _batch_torch(query, key, value):
    import torch
    scores = torch.matmul(query, key.transpose(-2, -1)) / query.size(-1) ** 0.5
    return torch.matmul(torch.softmax(scores, dim=-1), value)


def _batch_loops(query, key, value):
    if query.ndim > 2:
        return np.stack([_batch_loops(*one) for one in zip(query, key, value)])
    rows = []
    for one in query:
        scores = np.array([one @ other for other in key]) / math.sqrt(len(one))
        rows.append(sum(share * v for share, v in zip(_shares(scores, 0), value)))
    return np.array(rows)


def _batch_cases(seed):
    rng = np.random.default_rng([seed, 12])

    def case(*leading, n_q, n_k, d_k, d_v, size=1.0, hard=""):
        shapes = (n_q, d_k), (n_k, d_k), (n_k, d_v)
        query, key, value = (rng.normal(size=(*leading, *shape)) for shape in shapes)
        return Case((size * 1.3 * query, 1.3 * key, value), hard=hard)

    alike = case(2, 2, n_q=2, n_k=2, d_k=2, d_v=2, hard="all lengths alike")
    query, key, value = alike.args
    query[..., 0, :] = 0
    key[..., 0, :] *= 1e-3
    value *= 200
    return [case(n_q=5, n_k=4, d_k=3, d_v=2), case(6, n_q=3, n_k=5, d_k=2, d_v=4), alike,
            case(1, 1, n_q=1, n_k=1, d_k=1, d_v=1, hard="all lengths 1"),
            case(2, n_q=4, n_k=7, d_k=5, d_v=3),
            case(2, 3, n_q=4, n_k=6, d_k=5, d_v=7, hard="two leading axes"),
            case(3, n_q=1, n_k=6, d_k=4, d_v=2, hard="a single query"),
            case(5, n_q=4, n_k=1, d_k=3, d_v=2, hard="a single key")]


_BATCH = Exercise(
    id="1.2", kind="find the bug", points=4, minutes=10, version=2,
    hints=(
        "Write the shape of `scores` beside its line, once for one sentence and once for a "
        "batch. Which axis is number 1 in each?",
        "Axes can be counted from the end. The keys are always the last axis of the scores, "
        "whatever stands in front.",
        "The same slip was made more than once: a number of an axis occurs in two lines.",
    ),
    cases=_batch_cases,
    spared={"empty": "what attention over nothing gives is chapter 3's question"},
    reference=attention,
    mistakes=switched(_batch, {
        "axis-left": "Print the sum of one row of your weights in a batch: "
                     "the softmax goes along the wrong axis.",
        "scale-left": "Your scale changes with the length of the sentence: "
                      "what does `key.shape[1]` mean in a batch?",
        "axis-two": "Your axis is right for a batch, but for one sentence it is missing, "
                    "and with two leading axes it is another one. Count it from the other end.",
        "over-queries": "Your weights sum to one over the queries. "
                        "Which axis of the scores holds the keys?",
        "reversed-axes": "`.T` turns all axes round, so a batch no longer fits. "
                         "Only the last two may change places.",
        "no-scale": "The scale is gone. It was not wrong to have one: "
                    "it was taken from the wrong axis.",
        "no-keepdims": "You divide the exponentials by sums that have lost their last axis, so "
                       "the shapes no longer fit. Look at `keepdims`.",
        "by-root-d_v": "You took the width of the values. Which vectors are multiplied in a score?",
        "by-d_k": "You found the right width, and divided by it. The root was not the bug.",
        "in-place": "Right numbers, but you changed the caller's query: "
                    "look for an operator that writes into its left side.",
        "over-everything": "You divide by the sum of the whole array. Each query shares out one "
                           "whole.",
    }, pairs=[("axis-left", "scale-left"), ("no-scale", "axis-left"), ("no-scale", "axis-two"),
              ("axis-two", "scale-left"), ("by-d_k", "axis-left"), ("no-scale", "over-queries"),
              ("over-queries", "scale-left")]),
    forbidden=READY_MADE,
    variants=(_batch_einsum, _batch_torch, _batch_loops),
)


# 1.3  Self-attention, whole

def _self_attention(x, w_query, w_key, w_value, *, faults=frozenset()):
    if "swapped" in faults:
        w_query, w_key = w_key, w_query
    if "weights-turned" in faults:
        w_query, w_key, w_value = w_query.T, w_key.T, w_value.T
    query, key, value = x @ w_query, x @ w_key, x @ w_value
    if faults & {"no-projection", "width-without-projection"}:
        query, key = x, x
    if "inputs-averaged" in faults:
        value = x
    if "keys-averaged" in faults:
        value = key
    d_k = w_key.shape[-1] if "width-without-projection" in faults else query.shape[-1]
    scores = query @ (key.T if "reversed-axes" in faults else np.swapaxes(key, -1, -2))
    scale = (1 if "no-scale" in faults else 1 / d_k if "by-d_k" in faults
             else math.sqrt(d_k) if "multiplied" in faults
             else 1 / math.sqrt(x.shape[-1]) if "by-root-d" in faults
             else 1 / math.sqrt(x.shape[-2]) if "by-root-n" in faults
             else 1 / math.sqrt(value.shape[-1]) if "by-root-d_v" in faults
             else 1 / math.sqrt(8) if "by-root-8" in faults else 1 / math.sqrt(d_k))
    scores = scores * scale
    if "causal" in faults:
        scores = np.where(np.tri(x.shape[-2], dtype=bool), scores, -np.inf)
    if "rectified" in faults:
        scores = np.maximum(scores, 0)
    axis = (-2 if "over-queries" in faults else (-2, -1) if "over-everything" in faults else -1)
    weights = _shares(scores, axis, overflow="overflow" in faults)
    if "no-keepdims" in faults:
        parts = _exponentials(scores, -1)
        weights = parts / parts.sum(-1)
    if "one-top" in faults:
        parts = np.exp(scores - scores.max())
        with np.errstate(invalid="ignore"):
            weights = parts / parts.sum(-1, keepdims=True)
    if "no-softmax" in faults:
        weights = scores
    if "plain-mean" in faults:
        weights = np.full_like(scores, 1 / x.shape[-2])
    if "largest-only" in faults:
        weights = np.eye(x.shape[-2])[scores.argmax(-1)]
    if "transposed" in faults:
        weights = np.swapaxes(weights, -1, -2)
    if "output-shared" in faults:
        return _shares(weights @ value, -1)
    if "value-added" in faults:
        return weights @ value + value
    return weights if "weights" in faults else weights @ value


def _self_attention_reference(x, w_query, w_key, w_value):
    return attention(x @ w_query, x @ w_key, x @ w_value)


def _self_attention_loops(x, w_query, w_key, w_value):
    if x.ndim == 3:
        return np.stack([_self_attention_loops(one, w_query, w_key, w_value) for one in x])
    output = np.zeros((len(x), w_value.shape[1]))
    for i, word in enumerate(x):
        query = word @ w_query
        scores = np.array([query @ (other @ w_key) for other in x]) / math.sqrt(len(query))
        parts = np.exp(scores - scores.max())
        for part, other in zip(parts / parts.sum(), x):
            output[i] += part * (other @ w_value)
    return output


def _self_attention_einsum(x, w_query, w_key, w_value):
    x = x.astype(np.float32)
    scores = np.einsum("...id,dk,ek,...je->...ij", x, w_query, w_key, x)
    return np.einsum("...ij,...jd,dv->...iv", _shares(scores / w_key.shape[1] ** 0.5, -1),
                     x, w_value)


def _self_attention_torch(x, w_query, w_key, w_value):
    import torch
    query, key, value = x @ w_query, x @ w_key, x @ w_value
    return torch.softmax(query @ key.transpose(-1, -2) / key.shape[-1] ** 0.5, dim=-1) @ value


def _self_attention_cases(seed):
    rng = np.random.default_rng([seed, 13])

    def case(*leading, n, d, d_k, d_v, size=1.0, hard=""):
        w_query, w_key, w_value = (rng.normal(size=(d, width)) for width in (d_k, d_k, d_v))
        strength = math.sqrt(size) / math.sqrt(d)
        return Case((rng.normal(size=(*leading, n, d)), strength * w_query * 1.3,
                     strength * w_key * 1.3, w_value), hard=hard)

    def large():
        """Every row's scores overflow, and the rows' largest ones lie far apart."""
        while True:
            found = case(n=4, d=7, d_k=3, d_v=5, size=2000.0, hard="scores far above 700")
            x, w_query, w_key, _ = found.args
            tops = ((x @ w_query) @ (x @ w_key).T / math.sqrt(3)).max(-1)
            if tops.min() > 1000 and np.ptp(tops) > 1000:
                return found

    alike = case(3, n=3, d=3, d_k=3, d_v=3, hard="all lengths alike")
    x, _, _, w_value = alike.args
    x[..., 0, :] = 0
    x[..., 1, :] *= 1e-3
    w_value *= 200
    return [case(n=5, d=4, d_k=3, d_v=2), case(n=3, d=6, d_k=2, d_v=4), alike,
            case(1, n=1, d=1, d_k=1, d_v=1, hard="all lengths 1"),
            case(7, n=4, d=5, d_k=6, d_v=3), case(2, n=6, d=3, d_k=5, d_v=4), large(),
            case(n=1, d=3, d_k=2, d_v=4, hard="a sentence of one word")]


_SELF_ATTENTION = Exercise(
    id="1.3", kind="write", points=5, minutes=15, version=1,
    hints=(
        "Five steps, in order: three projections, scores, scale, softmax, mix. "
        "After each, print the shape and say what a row and a column of it are.",
        "A batch puts an axis in front. `key.T` turns all axes round; "
        "`np.swapaxes(key, -1, -2)` only the last two. The softmax goes along the last axis.",
        "Large scores overflow `np.exp`. `attnlib.softmax` does not; or subtract each row's "
        "largest score first, with `keepdims=True` so that the shapes still fit.",
    ),
    cases=_self_attention_cases,
    spared={"empty": "what attention over nothing gives is chapter 3's question"},
    reference=_self_attention_reference,
    mistakes=switched(_self_attention, {
        "no-scale": "The dot products go into the softmax as they are. "
                    "Compare your scores with equation (1.6).",
        "multiplied": "You multiplied by the root of the width where equation (1.6) divides.",
        "by-d_k": "You divided by the width, not by its root. "
                  "Your weights are too even: compare with equation (1.6).",
        "by-root-d": "You divided by the root of the wrong width: that of the embeddings. "
                     "Which vectors are multiplied in a score, and how long are they?",
        "by-root-n": "You divided by the root of the number of words. "
                     "The scale belongs to the width of the vectors in the dot product.",
        "by-root-d_v": "You divided by the root of the width of the values. A score is a dot "
                       "product of a query and a key: how long are these?",
        "by-root-8": "You divided by the root of 8, the width of one published example. "
                     "Here the width is that of the queries and keys you are given.",
        "plain-mean": "You mixed the values evenly, whatever the scores say.",
        "over-queries": "Your weights sum to one down each column: every key shares itself out "
                        "among the queries. Look at the axis of your softmax.",
        "over-everything": "Your softmax sums over all scores of a sentence at once. "
                           "Each query must have one whole to share out.",
        "no-softmax": "You mixed the values with the raw scores. Your weights may be negative "
                      "and do not sum to one: a step is missing.",
        "largest-only": "Each query takes the value of its best key only. That is a hard look-up; "
                        "the soft one leaves every key a share.",
        "no-keepdims": "For one sentence, each key's column is divided by the sum of another row; "
                       "for a batch the shapes do not fit. Print the shape of your sums.",
        "one-top": "Right for small scores. For large ones you subtract the largest score of all "
                   "rows, and in other rows every exponential rounds to 0: then 0/0.",
        "overflow": "Right for small scores. For large ones `exp` overflows, and the result is "
                    "not a number. `attnlib.softmax` minds that.",
        "swapped": "Queries and keys are swapped: your scores are the transpose of the right "
                   "ones. Who asks, the row or the column?",
        "no-projection": "You compared the embeddings themselves. "
                         "What a word asks for and what it offers come from two of the matrices.",
        "width-without-projection": "You compared the embeddings themselves, over the root of a "
                                    "width that is not theirs. Two of the matrices make what a "
                                    "word asks for and what it offers.",
        "inputs-averaged": "You mixed the embeddings. "
                           "A word hands over something that is made with the third matrix.",
        "keys-averaged": "You mixed the keys. A key says how to be found; what is handed over is "
                         "something else.",
        "weights-turned": "You turned the matrices round: `x @ w.T`. A Linear of torch keeps its "
                          "weight that way; the matrices here are meant for `x @ w`.",
        "transposed": "You used the weights the wrong way round: row i of the weights belongs to "
                      "query i. No transpose is needed before the mix.",
        "weights": "You returned the weights, a number for each pair of words. "
                   "One product is still missing.",
        "reversed-axes": "Right for one sentence, an error for a batch: `.T` turns all axes "
                         "round. Only the last two may change places.",
        "causal": "Your words do not see the words after them. Nothing was said of a mask.",
        "rectified": "Your scores are never below 0: something cut the negative ones off. A softmax"
                     " needs no help with them.",
        "output-shared": "You took a second softmax, of the outputs. Outputs are mixtures of "
                         "values, not shares.",
        "value-added": "You added the values to the mixtures. Equation (1.6) ends with the "
                       "mixture.",
    }, pairs=[("no-scale", "over-queries"), ("no-scale", "keys-averaged"),
              ("no-scale", "inputs-averaged"), ("no-scale", "no-projection"),
              ("no-scale", "no-softmax"), ("no-scale", "weights"),
              ("over-queries", "keys-averaged"), ("over-queries", "inputs-averaged"),
              ("by-root-d", "over-queries"), ("by-d_k", "over-queries"),
              ("by-root-d", "inputs-averaged"), ("no-projection", "inputs-averaged")]),
    forbidden=READY_MADE,
    variants=(_self_attention_loops, _self_attention_einsum, _self_attention_torch),
)


# 1.4  A dictionary that answers between its keys

def _regression(queries, keys, values, width, *, faults=frozenset()):
    if "in-place" in faults:
        keys /= width
        queries = queries / width
        width = 1.0
    distance = queries[:, None] - keys[None, :]  # (n_q, n_k)
    square = np.abs(distance) if "not-squared" in faults else distance ** 2
    below = width if "width-not-squared" in faults else width ** 2
    scores = square / below if "no-half" in faults else square / (2 * below)
    if "distance-by-width" in faults:
        scores = np.abs(distance) / width
    scores = scores if "farthest" in faults else -scores
    if "multiplied" in faults:
        scores = queries[:, None] * keys / width
    weights = _shares(scores, 0 if "over-queries" in faults else 1)
    if "nearest" in faults:
        weights = np.eye(len(keys))[scores.argmax(1)]
    if "not-normalised" in faults:
        weights = np.exp(scores)
    if faults & {"underflow", "nothing-far"}:
        weights = np.exp(scores)
        with np.errstate(invalid="ignore"):
            weights = weights / weights.sum(1, keepdims=True)
        if "nothing-far" in faults:
            weights = np.nan_to_num(weights)
    return weights if "weights" in faults else weights @ values


def _regression_reference(queries, keys, values, width):
    scores = -(queries[:, None] - keys[None, :]) ** 2 / (2 * width ** 2)
    return softmax(scores) @ values


def _regression_loops(queries, keys, values, width):
    outputs = []
    for query in queries:
        scores = [-(query - key) ** 2 / (2 * width ** 2) for key in keys]
        top = max(scores)
        parts = [math.exp(score - top) for score in scores]
        outputs.append(sum(p * v for p, v in zip(parts, values)) / sum(parts))
    return np.array(outputs)


def _regression_torch(queries, keys, values, width):
    import torch
    scores = -torch.cdist(queries[:, None], keys[:, None]) ** 2 / (2 * width ** 2)
    return torch.softmax(scores, dim=-1) @ values


def _regression_cases(seed):
    rng = np.random.default_rng([seed, 14])

    def case(n_q, n_k, width, *, shift=0.0, hard=""):
        keys = rng.permutation(n_k) * 1.5 + rng.uniform(-0.4, 0.4, n_k)
        queries = rng.uniform(0, 1.5 * n_k, n_q) + shift
        return Case((queries, keys, rng.normal(0, 3, n_k), width), hard=hard)

    return [case(4, 7, 0.8), case(5, 3, 2.5), case(6, 8, 1.7),
            case(3, 5, 0.3, shift=40.0, hard="a query far from every key"),
            case(1, 6, 0.6, hard="a single query"), case(5, 1, 0.7, hard="a single key"),
            case(4, 4, 0.005, hard="a very small width"),
            case(3, 3, 500.0, hard="a very large width")]


_REGRESSION = Exercise(
    id="1.4", kind="write", points=3, minutes=12, version=2,
    hints=(
        "Make the scores a matrix with a row per query and a column per key: "
        "`queries[:, None] - keys[None, :]` holds every distance.",
        "The score is equation (1.2). The softmax of equation (1.1) goes along one row, "
        "so that each query's weights sum to one; then `weights @ values`.",
        "Far from every key all exponentials round to 0, and 0/0 is not a number. "
        "`attnlib.softmax` subtracts the largest score of each row first.",
    ),
    cases=_regression_cases,
    spared={"empty": "what attention over nothing gives is chapter 3's question",
            "zeros": "a table whose values are all 0 answers 0, whatever the weights"},
    reference=_regression_reference,
    mistakes=switched(_regression, {
        "not-squared": "Your scores fall with the distance itself. Equation (1.2) has a square.",
        "no-half": "Your scores are twice as steep as equation (1.2) says. "
                   "Look at what the squared distance is divided by.",
        "width-not-squared": "You divided by twice the width. Check the units: minutes squared "
                             "over minutes are not a number without a unit.",
        "farthest": "The farthest key gets the largest weight. Look at the sign of your scores.",
        "over-queries": "Your weights sum to one over the queries, for each key. "
                        "Each query must share out one whole among the keys.",
        "nearest": "Your answer jumps: each query takes one value only. "
                   "Let every key have a say.",
        "not-normalised": "You added up values times kernels, but never divided by the sum of "
                          "the kernels. Look at what a query far from all keys gets.",
        "underflow": "Right near the keys. Far from all keys every kernel rounds to 0, and 0/0 is "
                     "not a number. `attnlib.softmax` minds that.",
        "weights": "You returned the weights, a number per query and key. "
                   "One more step turns them into one answer per query.",
        "in-place": "Right numbers, but you changed the caller's keys on the way: "
                    "look for an operator that writes into its left side.",
        "distance-by-width": "Your scores fall with the distance itself, in widths. Equation (1.2) "
                             "has a square, and a 2.",
        "multiplied": "Your scores are products of queries and keys. Equation (1.2) goes by their "
                      "distance.",
        "nothing-far": "Far from every key you answer 0: something was added to the sum, or NaN "
                       "replaced. The nearest key still fits best there; `attnlib.softmax` knows.",
    }, pairs=[("not-squared", "no-half"), ("no-half", "over-queries"), ("no-half", "weights"),
              ("over-queries", "weights"), ("not-squared", "over-queries"),
              ("width-not-squared", "over-queries"), ("no-half", "underflow")]),
    variants=(_regression_loops, _regression_torch),
)


# 1.5  Additive scores

def _additive(query, key, w_query, w_key, v, *, faults=frozenset()):
    asked, offered = query @ w_query, key @ w_key  # (n_q, d_a), (n_k, d_a)
    if "transposed" in faults:
        asked, offered = offered, asked
    if "no-axes" in faults:
        return np.tanh(asked + offered) @ v
    asked, offered = asked[:, None, :], offered[None, :, :]
    if "v-inside" in faults:
        return np.tanh((asked + offered) * v).sum(-1)
    hidden = (asked * offered if "multiplied" in faults
              else asked - offered if "subtracted" in faults else asked + offered)
    if "tanh-before" in faults:
        hidden = np.tanh(asked) + np.tanh(offered)
    elif "no-tanh" not in faults and "tanh-last" not in faults:
        hidden = (1 / (1 + np.exp(-hidden)) if "sigmoid" in faults
                  else np.maximum(hidden, 0) if "relu" in faults else np.tanh(hidden))
    scores = hidden.sum(-1) if "no-v" in faults else hidden @ v
    if "tanh-last" in faults:
        scores = np.tanh(scores)
    if "scaled" in faults:
        scores = scores / math.sqrt(len(v))
    return _shares(scores, -1) if "softmaxed" in faults else scores


def _additive_loops(query, key, w_query, w_key, v):
    return [[sum(v_a * math.tanh(a + o) for v_a, a, o in zip(v, q @ w_query, k @ w_key))
             for k in key] for q in query]


def _additive_einsum(query, key, w_query, w_key, v):
    hidden = np.add.outer(query @ w_query, np.zeros(len(key)))  # (n_q, d_a, n_k)
    return np.einsum("iaj,a->ij", np.tanh(hidden + (key @ w_key).T), v)


def _additive_torch(query, key, w_query, w_key, v):
    import torch
    return torch.tanh((query @ w_query).unsqueeze(1) + (key @ w_key).unsqueeze(0)).matmul(v)


def _additive_cases(seed):
    rng = np.random.default_rng([seed, 15])

    def case(n_q, n_k, d_q, d_k, d_a, size=1.0, hard=""):
        shapes = (n_q, d_q), (n_k, d_k), (d_q, d_a), (d_k, d_a), (d_a,)
        query, key, w_query, w_key, v = (rng.normal(size=shape) for shape in shapes)
        return Case((size * query, size * key, w_query / math.sqrt(d_q), w_key / math.sqrt(d_k), v),
                    hard=hard)

    alike = case(3, 3, 3, 3, 3, hard="all lengths alike")
    alike.args[0][0] = 0
    alike.args[1][1] *= 1e-3
    return [case(4, 5, 3, 2, 6), case(6, 2, 4, 5, 3), case(3, 7, 2, 6, 4), alike,
            case(1, 1, 1, 1, 1, hard="all lengths 1"),
            case(5, 4, 3, 6, 2, size=200.0, hard="inputs in the hundreds"),
            case(1, 6, 4, 3, 5, hard="a single query"), case(5, 1, 2, 4, 3, hard="a single key")]


_ADDITIVE = Exercise(
    id="1.5", kind="write", points=4, minutes=15, version=1,
    hints=(
        "Project queries and keys first: `(n_q, d_a)` and `(n_k, d_a)`. "
        "Then you need every query beside every key.",
        "Broadcasting pairs them: `(n_q, 1, d_a)` plus `(1, n_k, d_a)` is `(n_q, n_k, d_a)`. "
        "`None` in an index makes an axis of length 1.",
        "`tanh` goes over that whole array; the last step is a product with `v` that uses up "
        "the axis `d_a`.",
    ),
    cases=_additive_cases,
    spared={"empty": "what attention over nothing gives is chapter 3's question"},
    reference=additive_scores,
    mistakes=switched(_additive, {
        "no-tanh": "There is no `tanh`: your score is a part from the query plus a part from the "
                   "key, so all queries would rank the keys alike.",
        "tanh-before": "You took `tanh` of query and key one by one, then added. "
                       "Look at what stands inside the bracket of equation (1.7).",
        "tanh-last": "You took `tanh` of the finished score. "
                     "It belongs before the product with `v`.",
        "multiplied": "You multiplied the projected query with the projected key. "
                      "Why is this score called additive?",
        "subtracted": "You subtracted the projected key. Look at the sign in equation (1.7).",
        "sigmoid": "Your bend goes from 0 to 1. The one in equation (1.7) goes from -1 to 1.",
        "relu": "You cut off what is negative. Equation (1.7) bends in another way.",
        "no-axes": "You added queries and keys row by row, which fits only where there are as many "
                   "of both, or one. Every query has to meet every key.",
        "v-inside": "You multiplied by `v` inside the `tanh`. It stands in front of it.",
        "no-v": "You added up the hidden units as they are. Each has its own weight.",
        "scaled": "You divided by a root. That belongs to the dot product; "
                  "equation (1.7) has no scale.",
        "softmaxed": "You returned weights. Asked for are the scores, before the softmax.",
        "transposed": "Your scores have a row per key. A row belongs to a query.",
    }, pairs=[("no-v", "transposed"), ("multiplied", "scaled"), ("tanh-last", "no-v"),
              ("tanh-before", "transposed"), ("scaled", "softmaxed"), ("tanh-last", "transposed"),
              ("no-tanh", "transposed"), ("no-tanh", "no-v"), ("multiplied", "no-v")]),
    forbidden=("attnlib.additive_scores",),
    variants=(_additive_loops, _additive_einsum, _additive_torch),
)


# 1.6  What changes the weights?

_CHANGES = {"a": "different", "b": "same", "c": "different", "d": "same", "e": "same", "f": "same"}


def _prediction(*, faults=frozenset()):
    return flipped(_CHANGES, faults)


_PREDICTION = Exercise(
    id="1.6", kind="predict", points=3, minutes=10, version=1,
    hints=(
        "Write the score as a dot product and put the change in. "
        "Which part is the same for all keys of one query?",
        "A softmax sees differences between the scores of one row, nothing else.",
        "For e and f write the output as a fraction: a sum over keys above, a sum over keys below.",
    ),
    cases=lambda seed: [Case()],
    reference=_prediction,
    mistakes=switched(_prediction, {
        "a": "Case a: the softmax divides by a sum, but exponentials of doubled scores do not "
             "simply double. Try scores 0 and 1, then 0 and 2.",
        "b": "Case b: by how much does the score change for the first key, and for the second? "
             "Then remember what a softmax does not see.",
        "c": "Case c looks like b with roles exchanged, but a softmax treats queries and keys "
             "differently. By how much does each score of one row change?",
        "d": "Case d: follow the values through equation (1.6) and see where they first occur.",
        "e": "Case e: the output is a sum over the keys. "
             "Does a sum know in which order it was taken?",
        "f": "Case f: the weights do change. Now look at the output: "
             "what happens above and below the fraction line?",
    }, pairs=[("a", "b"), ("a", "c"), ("a", "e"), ("a", "f"), ("b", "c"), ("b", "d"), ("b", "e"),
              ("b", "f"), ("c", "f"), ("d", "f"), ("e", "f"), ("c", "d"), ("c", "e")]),
    variants=(lambda: dict(a="different", b="same", c="different", d="same", e="same", f="same"),),
)


# 1.7  Ask for a share

def _ask_cases(seed):
    rng = np.random.default_rng([seed, 17])

    def case(n_k, d_k, index, share, size=1.0, hard=""):
        return Case((size * rng.normal(size=(n_k, d_k)), index, share), hard=hard)

    keys = rng.normal(size=(4, 6))
    keys[2] = 3 * keys[1] + 0.5 * keys[2]
    return [case(3, 5, 1, 0.9), case(5, 7, 4, 0.75), case(4, 9, 0, 0.6), case(6, 8, 2, 0.99),
            case(4, 6, 2, 0.05, hard="a share below one in four"), case(2, 3, 1, 0.5),
            Case((keys, 1, 0.8), hard="a longer key in nearly the same direction"),
            case(4, 5, 3, 0.9, size=0.02, hard="very short keys")]


def _ask(keys, index, share, *, faults=frozenset()):
    n_k, d_k = keys.shape
    if "the-key" in faults:
        return keys[index].copy()
    if "counted-from-one" in faults:
        index -= 1
    others = 1 if "one-other" in faults else n_k if "itself-too" in faults else n_k - 1
    gap = math.log(share if "log-share" in faults else others * share / (1 - share))
    gap = share if "share-as-score" in faults else abs(gap) if "positive" in faults else gap
    if "never-below" in faults:
        gap = max(gap, 0.0)
    scale = (1 if "scale-forgotten" in faults else 1 / math.sqrt(d_k) if "scale-turned" in faults
             else math.sqrt(d_k))
    wanted = gap * np.eye(n_k)[index] * scale
    if "scores" in faults:
        return wanted
    if "along-the-key" in faults:
        return keys[index] * wanted[index] / (keys[index] @ keys[index])
    if "transposed" in faults:
        return keys.T @ wanted
    return np.linalg.pinv(keys) @ wanted


def _ask_unevenly(keys, index, share):
    """The other keys get different shares: any will do."""
    scores = np.linspace(-1, 1, len(keys))
    others = np.exp(np.delete(scores, index)).sum()
    scores[index] = math.log(others * share / (1 - share))
    return np.linalg.lstsq(keys, scores * keys.shape[1] ** 0.5, rcond=None)[0].tolist()


def _are_scores(query, index, share):
    """Whether numbers, one per key, are scores that would give a key its share."""
    return any(abs(_shares(scores, 0)[index] - share) <= 0.005
               for scores in (query, query / math.sqrt(query.size)))


def _ask_judge(cases, outcomes):
    for case, outcome in zip(cases, outcomes):
        keys, index, share = case.args
        query = finite_array(outcome.value)
        if query is not None and query.shape == keys.shape[:1] and any(
                abs(_shares(scores, 0)[index] - share) <= 0.005
                for scores in (query, query / math.sqrt(keys.shape[1]))):
            scores = next(m for m in _ASK.mistakes if m.name == "scores")
            return Result("known_mistake", scores.sentence, mistake=scores.name)
        if query is None or query.shape != keys.shape[1:]:
            got = "no vector of finite numbers" if query is None else f"of shape {query.shape}"
            return another_form(f"A query is one vector, as wide as a key: {keys.shape[1:]}. "
                                f"Yours is {got}.")
        scores = keys @ query / math.sqrt(query.size)
        weights = _shares(scores, 0)
        if abs(weights[index] - share) > 0.005:
            size = np.linalg.norm(query) * np.linalg.norm(keys[index])
            if abs(query @ keys[index]) > 0.999999 * size > 0:
                return broken_law(
                    f"Your query points along key {index} itself. What the other keys make of it "
                    "is left to chance, and so is the share.", name="along the key")
            return broken_law(
                f"Your query gives key {index} the weight {weights[index]:.3f}; {share} was asked "
                "for.", f"keys {keys.shape}, index {index}{', ' if case.hard else ''}{case.hard}\n"
                f"scores  {np.round(scores, 2)}\nweights {np.round(weights, 3)}")
    return None


_ASK = Exercise(
    id="1.7", kind="open-ended", points=4, minutes=20, version=2,
    hints=(
        "Choose the scores first, not the query. If all the other keys have the score 0, which "
        "score gives one key this share? Solve equation (1.1) for it.",
        "You want `keys @ query` to be a vector that you choose: linear equations, solvable since "
        "the keys are independent. `np.linalg.lstsq` or `np.linalg.pinv` solves them.",
        "Two things are easily lost: there are `n_k - 1` other keys, and the scores are divided "
        "by a root before the softmax.",
    ),
    cases=_ask_cases,
    reference=None,
    mistakes=switched(_ask, {
        "the-key": "You ask with the key itself. What the other keys make of that query is left "
                   "to chance, and so is the share.",
        "along-the-key": "The wanted key gets the right score. But your query points along that "
                         "key, and other keys meet it too: their scores are not 0.",
        "scores": "You returned the scores that you want, a number per key. "
                  "Which query gives these scores?",
        "transposed": "You mixed the keys by their wanted scores. "
                      "Then each key's score depends on how it meets the others.",
        "share-as-score": "You made the share itself the score. "
                          "A softmax stands between the two: undo it.",
        "log-share": "The logarithm of the share is its score only if the exponentials already "
                     "sum to one. What do the other keys add?",
        "one-other": "Your score would be right if there were one other key. Count them.",
        "positive": "Your score is never below 0. A share smaller than an even one needs a score "
                    "below the others'.",
        "scale-forgotten": "Your scores are right, but attention divides them by the root of "
                           "the width. After that they are too small.",
        "itself-too": "You count the wanted key among the others. How many are they?",
        "scale-turned": "You divided by the root of the width. Attention divides by it too: what "
                        "must you do beforehand?",
        "counted-from-one": "Your query asks for the key before the wanted one: `index` counts from"
                            " 0.",
        "never-below": "Your query never gives a key less than its even share. For a share below "
                       "1/n_k, the score must lie below those of the others.",
    }, pairs=[("log-share", "scale-forgotten"), ("one-other", "scale-forgotten"),
              ("share-as-score", "scale-forgotten"), ("scale-forgotten", "scores"),
              ("along-the-key", "scale-forgotten"), ("one-other", "along-the-key")]),
    judge=_ask_judge,
    variants=(_ask, _ask_unevenly),
)


# 1.8  A test that can fail

_WRONG_VERSIONS = {
    "no scale": lambda q, k, v: _shares(q @ k.T, 1) @ v,
    "multiplied by the root": lambda q, k, v: _shares(q @ k.T * math.sqrt(k.shape[1]), 1) @ v,
    "divided by the width": lambda q, k, v: _shares(q @ k.T / k.shape[1], 1) @ v,
    "softmax over the queries": lambda q, k, v: _shares(q @ k.T / math.sqrt(k.shape[1]), 0) @ v,
    "best key only": lambda q, k, v: v[(q @ k.T).argmax(1)],
    "plain mean": lambda q, k, v: np.broadcast_to(v.mean(0), (len(q), v.shape[1])),
}


_TELLING_WHY = {
    "saturated": "Your scores are so far apart that the best key gets everything, whatever "
                 "the scale. This is the mistake of the published test.",
    "zeros": "All of your scores are 0, so every key gets the same weight under any scale.",
    "one-key": "With a single key its weight is 1, whatever was done to its score.",
    "equal-keys": "Your keys are all alike, so every key gets the same weight under any scale.",
    "one-wide": "With one feature the root of the width is 1: "
                "no mistake in the scale can show.",
    "equal-values": "All of your values are alike, so every mix of them is the same.",
}


def _telling(*, faults=frozenset()):
    query = np.array([[1, 0], [0, 1], [1, 1]])
    key = np.array([[2, 0], [0, 1], [1, -1], [0, 0]])
    value = np.array([[1], [2], [9], [0]])
    if "zeros" in faults:
        query = 0 * query
    if "one-key" in faults:
        key, value = key[:1], value[:1]
    if "one-wide" in faults:
        query, key = query[:, :1], key[:, :1]
    if "equal-values" in faults:
        value = 0 * value + 5
    if "equal-keys" in faults:
        key = np.ones_like(key)
    if "saturated" in faults:
        query, key, value = np.full((3, 16), 2), np.eye(2, 16), value[:2]
        key[0] = 2
    return query, key, value


def _telling_judge(cases, outcomes):
    value = outcomes[0].value
    if not isinstance(value, (tuple, list)) or len(value) != 3:
        return another_form("Return three arrays: `return query, key, value`.")
    query, key, value = parts = [finite_array(part) for part in value]
    if any(part is None for part in parts):
        return another_form("Query, key and value must be arrays of finite numbers.")
    shapes = f"query {query.shape}, key {key.shape}, value {value.shape}"
    if not (query.ndim == key.ndim == value.ndim == 2 and query.shape[1] == key.shape[1]
            and len(key) == len(value) and min(query.size, key.size, value.size) > 0):
        return another_form("The shapes must be (n_q, d_k), (n_k, d_k) and (n_k, d_v), none "
                            "empty.", shapes)
    for name, part, low, high in (("query", query, -2, 2), ("key", key, -2, 2),
                                  ("value", value, 0, 9)):
        if not np.isin(part, np.arange(low, high + 1)).all():
            return another_form(f"The {name} must hold whole numbers from {low} to {high} only, "
                                "so that a person can check the test by hand.")
    return _slipped_through(query, key, value, shapes)


def _slipped_through(query, key, value, shapes):
    right = attention(query, key, value)
    gaps = {name: float(np.abs(wrong(query, key, value) - right).max())
            for name, wrong in _WRONG_VERSIONS.items()}
    missed = [name for name, gap in gaps.items() if gap < 0.1]
    if not missed:
        return None
    second = np.sort(attention_weights(query, key), 1)[:, -2:-1]  # empty where there is one key
    why = next((name for name, so in {
        "one-key": len(key) == 1, "equal-values": not np.ptp(value, axis=0).any(),
        "zeros": not (query @ key.T).any(), "equal-keys": not np.ptp(key, axis=0).any(),
        "one-wide": key.shape[1] == 1, "saturated": (second < 0.01).all()}.items() if so), None)
    lines = [f"{name:26}{gap:9.3f}{'  <- passes' if name in missed else ''}"
             for name, gap in gaps.items()]
    if why:
        return Result("known_mistake", _TELLING_WHY[why], "\n".join([shapes, *lines]), mistake=why)
    return broken_law(f"{len(missed)} of {len(gaps)} wrong versions pass your test: "
                      f"{', '.join(missed)}.",
                      "\n".join([shapes, "largest difference from the right output:", *lines]))


_TELLING = Exercise(
    id="1.8", kind="open-ended", points=4, minutes=15, version=1,
    hints=(
        "When do two scales give the same weights? Think of very large scores, and of scores "
        "that are all alike.",
        "Scores around 1 to 3, more than one feature, more than one key, a number of queries "
        "that is not the number of keys, and values that are far apart.",
    ),
    cases=lambda seed: [Case()],
    reference=None,
    mistakes=switched(_telling, _TELLING_WHY),
    judge=_telling_judge,
    variants=(
        _telling,
        lambda: [[[2, 0, 1]], [[1, 1, 0], [0, 2, 1]], [[0, 9], [5, 0]]],
    ),
)


# 1.9  Prove or refute: any share can be asked for

_REFUTED_WHY = {
    "same-keys": "Two of your keys are the same. The statement speaks of keys that differ.",
    "too-many": "You have as many keys as features, or more. The statement speaks of fewer.",
    "negative": "A number of your certificate is negative. Then the key lies outside the others, "
                "and a query can put it ahead of them.",
    "counts-itself": "Your certificate uses the key itself. The others must mix to it alone.",
    "sum": "The numbers of your certificate do not sum to 1, so the mix is no mean of the others.",
    "another-key": "The certificate mixes the others to something, but not to the key of your "
                   "index.",
    "independent": "Your keys are linearly independent, and then every share can be reached: "
                   "exercise 1.7 finds the query.",
}


def _refuted(*, faults=frozenset()):
    keys = np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0.5, 0.5, 0, 0]])
    index, certificate = 2, np.array([0.5, 0.5, 0.0])
    if "same-keys" in faults:
        keys, certificate = keys[[0, 1, 1]], np.array([0, 1.0, 0])
    if "too-many" in faults:
        keys = keys[:, :2]
    if "negative" in faults:
        keys[2], certificate = 2 * keys[0] - keys[1], np.array([2.0, -1.0, 0])
    if "counts-itself" in faults:
        certificate = np.array([0.25, 0.25, 0.5])
    if "sum" in faults:
        keys[2], certificate = keys[0] + keys[1], np.array([1.0, 1.0, 0])
    if "another-key" in faults:
        index, certificate = 0, np.array([0, 0.5, 0.5])
    if "independent" in faults:
        keys[2] = [0, 0, 1, 0]
    return keys, index, certificate


def _refuted_judge(cases, outcomes):
    value = outcomes[0].value
    if not isinstance(value, tuple | list) or len(value) != 3:
        return another_form("Return three things: `return keys, index, certificate`.")
    keys, index, certificate = (finite_array(part) for part in value)
    if any(part is None for part in (keys, index, certificate)):
        return another_form("Keys and certificate must be arrays of finite numbers, the index "
                            "one whole number.")
    shapes = f"keys {keys.shape}, index {index.shape}, certificate {certificate.shape}"
    if keys.ndim != 2 or index.size != 1 or certificate.shape != (len(keys),) or len(keys) < 2:
        return another_form("Keys have shape (n_k, d_k), two or more of them; the certificate has "
                            "a number for each key, and the index is one number.", shapes)
    index = float(index.ravel()[0])
    if index not in range(len(keys)):
        return another_form(f"The index counts the keys from 0 to {len(keys) - 1}.",
                            f"index {index}")
    index = int(index)
    apart = np.abs(keys[:, None] - keys).max(-1) + np.eye(len(keys))
    mixed = certificate @ keys
    close = np.allclose(mixed, keys[index], atol=1e-6)
    why = next((name for name, so in {
        "same-keys": apart.min() < 1e-6, "too-many": len(keys) >= keys.shape[1],
        "independent": np.linalg.matrix_rank(keys) == len(keys),
        "negative": certificate.min() < -1e-9, "counts-itself": abs(certificate[index]) > 1e-9,
        "sum": abs(certificate.sum() - 1) > 1e-6, "another-key": not close}.items() if so), None)
    if why is None:
        return None
    return Result("known_mistake", _REFUTED_WHY[why], mistake=why, witness=(
        f"{shapes}\nkey {index}: {keys[index].round(3)}\nmix of the others: {mixed.round(3)}"))


_REFUTED = Exercise(
    id="1.9", kind="open-ended", points=3, minutes=15, version=1,
    hints=(
        "Think of keys as points. Which point can never be the one furthest out, in whatever "
        "direction you look?",
        "A score is linear in the key. If a key lies halfway between two others, what is its "
        "score, given theirs?",
        "Three keys are enough, one of them a mean of the two others; features that nobody uses "
        "may be 0.",
    ),
    cases=lambda seed: [Case()],
    reference=None,
    mistakes=switched(_refuted, _REFUTED_WHY),
    judge=_refuted_judge,
    variants=(
        _refuted,
        lambda: ([[0, 0, 0, 0, 3], [1, 2, 3, 4, 5], [0.25, 0.5, 0.75, 1, 3.5]], 2,
                 [0.75, 0.25, 0]),
    ),
)

EXERCISES = (_PAPER, _BATCH, _SELF_ATTENTION, _REGRESSION, _ADDITIVE, _PREDICTION, _ASK, _TELLING,
             _REFUTED)
