"""Chapter 2, "Scaling": what its exercises ask, and what people answer."""

import itertools
import math

import numpy as np

from ..attention import attention_weights
from .core import READY_MADE, Case, Exercise, switched, with_numbers


def _shares(scores, axis=-1, overflow=False):
    with np.errstate(over="ignore", invalid="ignore"):
        parts = np.exp(scores - (0 if overflow else scores.max(axis=axis, keepdims=True)))
        return parts / parts.sum(axis=axis, keepdims=True)


# 2.1  How large is this score?

def _spread(*, width=32, of_query=2, of_key=1 / 4, faults=frozenset()):
    variance = (width * (of_query + of_key) if "added" in faults
                else width * math.sqrt(of_query * of_key) if "roots" in faults
                else of_query * of_key if "one-term" in faults
                else width if "of-one" in faults
                else width * (of_query * of_key) ** 2 if "variances-squared" in faults
                else width ** 2 * of_query * of_key if "width-squared" in faults
                else width * of_query * of_key)
    spread = (variance if "no-root" in faults else variance / 2 if "half-for-root" in faults
              else math.sqrt(variance))
    scale = (1 / math.sqrt(width) if "usual-scale" in faults
             else spread if "upside-down" in faults
             else 1 / variance if "by-variance" in faults else 1 / spread)
    return {"variance": variance, "spread": spread, "scale": scale}


def _vary_spread(rng):
    """Other widths and variances whose spread is whole."""
    spread, a, ratio = (int(x) for x in rng.integers((3, 2, 2), (12, 6, 5)))
    b, width = a * ratio, spread ** 2 * ratio
    return with_numbers(_SPREAD, dict(width=width, of_query=a, of_key=1 / b), {
        "32": str(width), "variance 2": f"variance {a}", "$1/4$": f"$1/{b}$"})


_SPREAD = Exercise(
    id="2.1", kind="by hand", points=2, minutes=8, version=1,
    hints=(
        "Take one of the 32 products first. What is its variance, if both factors have mean 0?",
        "Variances of independent terms add up. The spread is the root of a variance.",
        "The scale multiplies the scores, and multiplies their spread too. "
        "Its inverse is a whole number here.",
    ),
    cases=lambda seed: [Case()],
    reference=_spread,
    mistakes=switched(_spread, {
        "added": "You added the two variances for each term. A dot product multiplies a feature "
                 "of the query with one of the key.",
        "roots": "You multiplied the spreads of query and key, not their variances. "
                 "Variances are what adds up over the terms.",
        "one-term": "That is the variance of one product. How many of them are there in the sum?",
        "of-one": "You took both variances to be 1, as the text does. Here they are not.",
        "width-squared": "You multiplied by the width twice. Independent terms add their "
                         "variances, and there is one term per feature.",
        "variances-squared": "You squared the two variances. They are squares of spreads already.",
        "half-for-root": "Your spread is half of the variance. It is the root of it.",
        "no-root": "Your spread is the variance. One more step leads from one to the other.",
        "usual-scale": "Your scale is the one of equation (2.1). It makes the spread 1 only when "
                       "queries and keys have variance 1.",
        "by-variance": "Your scale is one over the variance. It is the spread that should become "
                       "1: what does a factor do to a variance?",
        "upside-down": "Your scale makes large scores larger. It multiplies the scores.",
    }, pairs=[(a, b) for a in ("added", "roots", "one-term", "of-one", "width-squared")
              for b in ("no-root", "usual-scale", "upside-down")
              if (a, b) != ("of-one", "usual-scale")]),
    variants=(lambda: {"variance": 16, "spread": 4, "scale": 1 / 4},
              lambda: {"scale": np.float64(0.25), "spread": 4.0, "variance": 16}),
    vary=_vary_spread,
)


# 2.2  Right with one head

def _heads(x, w_query, w_key, heads, *, faults=frozenset()):
    n, dim = x.shape
    width = w_query.shape[1]

    def split(rows):
        if "sliced-rows" in faults:
            return rows.reshape(heads, n, -1)
        if "every-other" in faults:
            return rows.reshape(n, -1, heads).transpose(2, 0, 1)
        return rows.reshape(n, heads, -1).swapaxes(0, 1)

    query, key = split(x @ w_query), split(x @ w_key)  # (heads, n, d_k)
    d_k = width // heads
    divisor = {"by-root-dim": math.sqrt(dim), "by-root-width": math.sqrt(width),
               "by-root-heads": math.sqrt(heads), "by-root-share": math.sqrt(dim / heads),
               "by-root-n": math.sqrt(n), "by-d_k": d_k, "no-scale": 1.0,
               "multiplied": 1 / math.sqrt(d_k)}
    chosen = next((divisor[name] for name in divisor if name in faults), math.sqrt(d_k))
    scores = query @ key.swapaxes(-1, -2) / chosen
    if "scores" in faults:
        return scores
    weights = _shares(scores, axis=-2 if "over-queries" in faults else 0 if "over-heads" in faults
                      else -1, overflow="overflow" in faults)
    return weights.mean(0) if "heads-averaged" in faults else weights


def _heads_loops(x, w_query, w_key, heads):
    d_k = w_query.shape[1] // heads
    weights = []
    for h in range(heads):
        columns = slice(h * d_k, (h + 1) * d_k)
        query, key = x @ w_query[:, columns], x @ w_key[:, columns]
        weights.append(_shares(query @ key.T / d_k ** 0.5))
    return np.array(weights)


def _heads_einsum(x, w_query, w_key, heads):
    query, key = ((x @ w).reshape(len(x), heads, -1) for w in (w_query, w_key))
    return _shares(np.einsum("ihc,jhc->hij", query, key) / query.shape[-1] ** 0.5)


def _heads_torch(x, w_query, w_key, heads):
    import torch
    query, key = ((x @ w).unflatten(-1, (heads, -1)).transpose(0, 1) for w in (w_query, w_key))
    return torch.softmax(query @ key.mT / key.size(-1) ** 0.5, dim=-1)


def _heads_cases(seed):
    rng = np.random.default_rng([seed, 22])

    def case(n, dim, heads, d_k, size=1.0, hard=""):
        w_query, w_key = rng.normal(size=(2, dim, heads * d_k)) * 1.3 / math.sqrt(dim)
        return Case((size * rng.normal(size=(n, dim)), w_query, w_key, heads), hard=hard)

    alike = case(4, 4, 2, 2, hard="all lengths alike")
    alike.args[0][0] = 0
    alike.args[0][1] *= 1e-3
    return [case(5, 7, 2, 3), case(4, 10, 3, 5), case(7, 5, 4, 2), alike,
            case(1, 1, 1, 1, hard="all lengths 1"),
            case(6, 9, 1, 4, hard="one head"), case(3, 8, 2, 5, size=90.0, hard="large scores"),
            case(1, 6, 3, 4, hard="a single word")]


_HEADS = Exercise(
    id="2.2", kind="find the bug", points=3, minutes=10, version=1,
    hints=(
        "Write the shape of `query` beside its line. Which vectors are multiplied in one score, "
        "and how long are they?",
        "With one head and a square matrix, three different lengths are the same number. "
        "Choose two heads and print all lengths that occur.",
        "The scale belongs to the last axis of `query` after the split.",
    ),
    cases=_heads_cases,
    spared={"empty": "what attention over nothing gives is chapter 3's question"},
    reference=_heads,
    mistakes=switched(_heads, {
        "by-root-dim": "Still the published bug: you divide by the root of the width of `x`. "
                       "Which vectors meet in a dot product here?",
        "by-root-width": "You divide by the root of the width of all heads together. "
                         "One head sees only its part of it.",
        "by-root-share": "You divide by the root of a head's share of `dim`. That is the width of "
                         "a head only where `width` and `dim` are the same.",
        "heads-averaged": "You return the mean of the heads' weights. Each head has its own.",
        "by-root-heads": "You divide by the root of the number of heads. "
                         "The variance of a sum depends on how many terms it has.",
        "by-root-n": "You divide by the root of the number of words. A longer sentence does not "
                     "make a dot product longer.",
        "by-d_k": "You found the right width, and divide by it. Equation (2.3) gives a variance.",
        "no-scale": "Your scores are not scaled at all. Compare with equation (2.1).",
        "multiplied": "You multiply by the root. Look at the direction in equation (2.1).",
        "sliced-rows": "You cut the rows into heads, so a head mixes features of different words. "
                       "The split was right: it makes two axes out of the last one.",
        "every-other": "Your heads take every so many features instead of neighbouring ones. "
                       "The split was right before.",
        "over-queries": "Your weights sum to one over the queries. "
                        "Look at the axis of the softmax.",
        "over-heads": "Your weights sum to one over the heads. Each head shares out its own whole.",
        "overflow": "Right for small scores. For large ones `exp` overflows. "
                    "`attnlib.softmax` does not.",
        "scores": "You returned scores. Asked for are the weights.",
    }, pairs=[*((a, b) for a in ("by-root-dim", "by-root-width", "by-root-share", "no-scale",
                                 "by-d_k")
                for b in ("sliced-rows", "over-queries", "every-other")),
              ("by-root-dim", "scores"), ("by-root-width", "scores"), ("no-scale", "scores"),
              ("by-root-heads", "over-queries"), ("by-root-heads", "sliced-rows")]),
    forbidden=READY_MADE,
    variants=(_heads_loops, _heads_einsum, _heads_torch),
)


# 2.3  How the weights follow the query

def _follow(query, key, scale, *, faults=frozenset()):
    if "own-scale" in faults:
        scale = 1 / math.sqrt(len(query))
    scores = (1 if "weights-unscaled" in faults else scale) * (key @ query)
    w = _shares(scores, overflow="overflow" in faults)
    own, others = np.diag(w), np.outer(w, w)
    jacobian = (own if "own-only" in faults else -others if "others-only" in faults
                else own + others if "plus" in faults else np.diag(w * (1 - w))
                if "diagonal" in faults else others - own if "sign" in faults else own - others)
    if "by-scores" in faults:
        return jacobian
    factor = (1 if "no-scale" in faults else scale ** 2 if "scale-twice" in faults
              else 1 / scale if "scale-turned" in faults else scale)
    by_query = factor * jacobian @ key
    if "plain-mean" in faults:
        by_query = factor * w[:, None] * (key - key.mean(0))
    if "by-the-key" in faults:
        by_query = factor * jacobian @ np.tile(query, (len(key), 1))
    return by_query.T if "transposed" in faults else by_query


def _follow_reference(query, key, scale):
    w = attention_weights(query[None], key, scale=scale)[0]
    return scale * (np.diag(w) - np.outer(w, w)) @ key


def _follow_mean(query, key, scale):
    w = _shares(scale * key @ query)
    return scale * w[:, None] * (key - w @ key)


def _follow_loops(query, key, scale):
    w = _shares(scale * key @ query)
    result = np.zeros(key.shape)
    for j in range(len(key)):
        for m in range(len(key)):
            result[j] += scale * w[j] * ((j == m) - w[m]) * key[m]
    return result


def _follow_torch(query, key, scale):
    import torch
    return torch.autograd.functional.jacobian(lambda q: torch.softmax(scale * key @ q, -1), query)


def _follow_cases(seed):
    rng = np.random.default_rng([seed, 23])

    def case(n_k, d_k, scale, size=1.0, hard=""):
        return Case((size * rng.normal(size=d_k), rng.normal(size=(n_k, d_k)), scale), hard=hard)

    large = case(4, 7, 0.5, size=3000.0, hard="scores far above 700")
    large.args[1][2] = large.args[0] / np.linalg.norm(large.args[0])
    alike = case(3, 3, 0.6, hard="as many keys as features")
    alike.args[1][0] = 0
    alike.args[1][1] *= 1e-3
    return [case(4, 3, 0.7), case(3, 6, 0.4), case(5, 2, 1.6), case(6, 9, 1 / 3), large, alike,
            case(3, 1, 0.9, hard="a single feature"),
            case(5, 4, 0.05, hard="a very small scale"), case(1, 3, 0.8, hard="a single key")]


_FOLLOW = Exercise(
    id="2.3", kind="write", points=5, minutes=20, version=1,
    hints=(
        "Two steps: the weights themselves, with the scale; then the matrix of equation (2.4).",
        "`np.diag(w)` puts a vector on the diagonal, `np.outer(w, w)` makes all products of two "
        "weights.",
        "Equation (2.5) multiplies that matrix with the keys. "
        "What else stands between a query and its scores?",
    ),
    cases=_follow_cases,
    spared={"empty": "what attention over nothing gives is chapter 3's question"},
    reference=_follow_reference,
    mistakes=switched(_follow, {
        "no-scale": "The scale occurs in your weights, and is missing in the chain rule. "
                    "How far does a score move when the query moves?",
        "weights-unscaled": "Your weights are computed without the scale. "
                            "Equation (2.5) has it in two places, one of them hidden in J.",
        "scale-twice": "You multiplied by the scale twice on the way from scores to query.",
        "own-scale": "You used the root of the width. Here the scale is given.",
        "own-only": "Your matrix has the weights on its diagonal and nothing else. When one score "
                    "rises, the other weights must fall.",
        "others-only": "The part of (2.4) that stands on the diagonal alone is missing.",
        "plus": "The two parts of (2.4) are added. Each column of it must sum to 0.",
        "diagonal": "You kept the diagonal of (2.4) only, as if each weight followed its own "
                    "score. The softmax ties them together.",
        "sign": "Every sign is turned: your weight falls when its own score rises.",
        "by-scores": "You stopped at the derivative by the scores. The scores are made from the "
                     "query.",
        "transposed": "Your result has a row per feature. A row belongs to a key.",
        "overflow": "Right for small scores. For large ones `exp` overflows. "
                    "`attnlib.softmax` does not.",
        "scale-turned": "You divide by the scale. The chain rule multiplies by it: how far does a "
                        "score move when the query moves?",
        "plain-mean": "You subtract the plain mean of the keys. In (2.5) each key counts by its "
                      "weight.",
        "by-the-key": "You multiplied with the query, as if the keys moved. Asked is how the "
                      "weights follow the query.",
    }, pairs=[*((a, b) for a in ("no-scale", "weights-unscaled", "own-scale")
                for b in ("own-only", "diagonal", "plus", "transposed", "sign")),
              ("own-only", "transposed"), ("diagonal", "transposed"), ("sign", "transposed"),
              ("own-only", "by-scores"), ("diagonal", "by-scores"), ("sign", "by-scores"),
              ("own-scale", "by-scores"), ("weights-unscaled", "by-scores")]),
    forbidden=READY_MADE,
    variants=(_follow_mean, _follow_loops, _follow_torch),
)


# 2.4  Normalised

def _normalised(query, key, g, *, faults=frozenset()):
    def unit(x, whose):
        if "none" in faults or f"not-the-{whose}" in faults:
            return x
        if "centred" in faults:
            x = x - x.mean(axis=-1, keepdims=True)
        if "standardised" in faults:
            centred = x - x.mean(axis=-1, keepdims=True)
            spread = centred.std(axis=-1, keepdims=True)
            return centred / np.where(spread == 0, 1, spread)
        axis = (-2 if "over-positions" in faults else (-2, -1) if "one-length" in faults
                else None if "length-of-all" in faults else -1)
        square = np.sum(np.abs(x) if "absolute" in faults else x * x, axis=axis, keepdims=True)
        length = square if {"squared", "absolute"} & faults else np.sqrt(square)
        if "root-mean-square" in faults:
            length = length / math.sqrt(x.shape[-1])
        if "epsilon" in faults:
            length = length + 0.01
        if "zeros" not in faults and f"zero-{whose}" not in faults:
            length = np.where(length == 0, 1, length)
        with np.errstate(invalid="ignore"):
            return x / length

    query, key = unit(query, "query"), unit(key, "key")
    scores = query @ (key.T if "reversed-axes" in faults else np.swapaxes(key, -1, -2))
    if "and-root" in faults:
        scores = scores / math.sqrt(key.shape[-1])
    scores = scores if "no-g" in faults else scores / g if "divided-by-g" in faults else g * scores
    if "g-twice" in faults:
        scores = g * scores
    if "scores" in faults:
        return scores
    return _shares(scores, -2 if "over-queries" in faults else -1, overflow="overflow" in faults)


def _normalised_loops(query, key, g):
    if query.ndim > 2:
        return np.stack([_normalised_loops(q, k, g) for q, k in zip(query, key)])
    scores = np.zeros((len(query), len(key)))
    for i, q in enumerate(query):
        for j, k in enumerate(key):
            lengths = math.sqrt((q @ q) * (k @ k))
            scores[i, j] = g * (q @ k) / lengths if lengths else 0
    return _shares(scores)


def _normalised_after(query, key, g):
    lengths = (np.linalg.norm(query, axis=-1)[..., :, None]
               * np.linalg.norm(key, axis=-1)[..., None, :])
    scores = np.einsum("...ic,...jc->...ij", query, key) / np.maximum(lengths, 1e-12)
    return _shares(g * scores)


def _normalised_torch(query, key, g):
    import torch
    query, key = (torch.nn.functional.normalize(x, dim=-1) for x in (query, key))
    return torch.softmax(g * query @ key.mT, dim=-1)


def _normalised_cases(seed):
    rng = np.random.default_rng([seed, 24])

    def case(*leading, n_q, n_k, d_k, g, size=1.0, hard=""):
        query, key = rng.normal(size=(*leading, n_q, d_k)), rng.normal(size=(*leading, n_k, d_k))
        return Case((size * query, size * key, g), hard=hard)

    empty = case(n_q=4, n_k=5, d_k=3, g=3.0, hard="a key of zeros")
    empty.args[1][2] = 0
    silent = case(n_q=5, n_k=4, d_k=6, g=2.0, hard="a query of zeros")
    silent.args[0][3] = 0
    alike = case(3, n_q=3, n_k=3, d_k=3, g=3.5, hard="all lengths alike")
    alike.args[0][..., 1, :] *= 1e-3
    return [case(n_q=3, n_k=5, d_k=2, g=2.5), case(n_q=4, n_k=3, d_k=6, g=6.0), alike,
            case(1, n_q=1, n_k=1, d_k=1, g=1.0, hard="all lengths 1"),
            case(2, n_q=3, n_k=4, d_k=5, g=4.0), case(3, n_q=5, n_k=2, d_k=4, g=9.0),
            empty, silent, case(n_q=3, n_k=4, d_k=5, g=5.0, size=300.0, hard="long vectors"),
            case(n_q=4, n_k=6, d_k=3, g=2000.0, hard="a very large g"),
            case(n_q=1, n_k=4, d_k=3, g=1.5, hard="a single query")]


_NORMALISED = Exercise(
    id="2.4", kind="write", points=4, minutes=15, version=1,
    hints=(
        "The length of a vector is the root of the sum of its squares, and each row has its own: "
        "`keepdims=True` keeps the shapes fitting.",
        "Bring queries and keys to length 1 first. Then a score is a dot product times `g`.",
        "A row of zeros has length 0. Replace that length by any other number before you divide.",
    ),
    cases=_normalised_cases,
    spared={"empty": "what attention over nothing gives is chapter 3's question"},
    reference=_normalised,
    mistakes=switched(_normalised, {
        "none": "Your scores still grow when a query gets longer. Neither queries nor keys have "
                "length 1.",
        "not-the-query": "Your keys have length 1, your queries do not.",
        "not-the-key": "Your queries have length 1, your keys do not.",
        "squared": "You divided by the squared length. A vector of length 2 then gets length 1/2.",
        "absolute": "You divided by the sum of absolute values. The length in (2.10) is the "
                    "root of a sum of squares.",
        "over-positions": "You took lengths down the columns. Each row, one vector, has its own.",
        "one-length": "You divided all vectors by one common length. Each has its own.",
        "length-of-all": "You divided the vectors of all sentences by one length, that of the "
                         "whole array. Each vector has its own.",
        "epsilon": "You add something to every length, so that no vector comes out with length 1. "
                   "Only a length of 0 needs help.",
        "standardised": "You subtracted means and divided by spreads. "
                        "Equation (2.10) only changes the length of a vector.",
        "and-root": "You divided by the root of the width as well. "
                    "In (2.10), what stands in its place?",
        "no-g": "Your scores lie between -1 and 1. One number of (2.10) is missing.",
        "divided-by-g": "You divided by g. Look at where it stands in (2.10).",
        "zeros": "Right, but for a vector of zeros: 0/0 is not a number. "
                 "It should simply score 0 with everything.",
        "zero-query": "A query of zeros gives 0/0. A key of zeros you have thought of.",
        "zero-key": "A key of zeros gives 0/0. A query of zeros you have thought of.",
        "over-queries": "Your weights sum to one over the queries. "
                        "Look at the axis of the softmax.",
        "reversed-axes": "Right without a batch, an error with one: `.T` turns all axes round.",
        "overflow": "Right for small scores. For a large `g`, `exp` overflows. "
                    "`attnlib.softmax` does not.",
        "scores": "You returned scores. Asked for are the weights.",
        "centred": "You took the mean away before bringing vectors to length 1. That is a layer "
                   "norm's way; (2.10) keeps it.",
        "root-mean-square": "Your root of the mean square is 1, as in (2.11). In (2.10) it is the "
                            "length that is 1.",
        "g-twice": "Your scores have g twice: each of the two vectors was multiplied by it.",
    }, pairs=[*((a, b) for a in ("no-g", "and-root", "divided-by-g")
                for b in ("not-the-query", "not-the-key", "squared", "zeros", "over-positions",
                          "scores")),
              ("squared", "zeros"), ("zeros", "over-queries"), ("zeros", "scores"),
              ("zeros", "reversed-axes"), ("none", "no-g"), ("none", "divided-by-g"),
              ("and-root", "over-queries"), ("no-g", "over-queries")]),
    forbidden=READY_MADE,
    variants=(_normalised_loops, _normalised_after, _normalised_torch),
)


# 2.5  Sharper, flatter, or the same?

_TURNS = {"a": "same", "b": "flatter", "c": "sharper", "d": "same", "e": "flatter", "f": "sharper"}
_LOOK = {
    "a": "write the score with both matrices in it and count the factors.",
    "b": "zeros add nothing to a dot product. What else changes with the width?",
    "c": "the dot product and its divisor both grow. By which factor each?",
    "d": "by which factor is the score multiplied in all?",
    "e": "how large is the score of two random vectors of length 1? And then it is divided.",
    "f": "which of the two divisors is the smaller one, and what does that do to the scores?",
}


def _turns(*, faults=frozenset()):
    return _TURNS | dict(fault.split(": ") for fault in faults)


_PREDICTION = Exercise(
    id="2.5", kind="predict", points=3, minutes=10, version=1,
    hints=(
        "Everything here multiplies all scores by one number. Find the number for each case.",
        "More than 1 makes the weights sharper, less than 1 flatter. "
        "Remember that the divisor of equation (2.1) depends on the width as well.",
    ),
    cases=lambda seed: [Case()],
    reference=_turns,
    mistakes=switched(_turns, {
        f"{letter}: {word}": f"Case {letter}: not {word}; {_LOOK[letter]}"
        for letter, right in _TURNS.items() for word in ("same", "flatter", "sharper")
        if word != right
    }, pairs=[("b: same", "c: same"), ("b: sharper", "c: same"), ("a: sharper", "d: flatter"),
              ("b: same", "e: same"), ("c: same", "e: same"), ("b: same", "f: flatter"),
              ("c: same", "f: flatter"), ("a: flatter", "b: same"), ("a: sharper", "c: same"),
              ("e: same", "f: flatter"), ("b: same", "d: flatter"), ("c: same", "d: flatter")]),
    variants=(lambda: dict(zip("abcdef", "same flatter sharper same flatter sharper".split())),),
)


# 2.6  As sharp as it can be

def _sharpest(*, keys=10, best=3, wanted=0.9, faults=frozenset()):
    others = keys if "counts-itself" in faults else 1 if "one-other" in faults else keys - 1
    rest = 1.0 if "right-angles" in faults else 1 / best
    weight = best / (others * rest + (0 if "no-sum" in faults else best))
    odds = others * (1 if "even" in faults else wanted if "no-sum" in faults
                     else wanted / (1 - wanted))
    g = math.log10(odds) if "base-ten" in faults else math.log(odds)
    return {"weight": weight,
            "g": g if {"right-angles", "no-half"} & faults else g / 2}


def _vary_sharpest(rng):
    keys, best = int(rng.integers(6, 13)), int(rng.integers(2, 6))
    tenths = int(rng.integers(6, 10))
    return with_numbers(_SHARPEST, dict(keys=keys, best=best, wanted=tenths / 10), {
        "ten keys": f"{keys} keys", "nine others": f"{keys - 1} others", "ln 3": f"ln {best}",
        "are 3 and 1/3": f"are {best} and 1/{best}", "0.9": f"{tenths / 10}",
        "0.1": f"{1 - tenths / 10:.1f}"})


_SHARPEST = Exercise(
    id="2.6", kind="by hand", points=3, minutes=12, version=1,
    hints=(
        "The largest score is g. What is the smallest that the nine others can have?",
        "With scores g and -g, write the weight as a fraction of exponentials. "
        "For g = ln 3 the exponentials are 3 and 1/3.",
        "For the second question divide the weight 0.9 by the 0.1 that is left for the nine others "
        "together, and solve for g.",
    ),
    cases=lambda seed: [Case()],
    reference=_sharpest,
    mistakes=switched(_sharpest, {
        "right-angles": "You let the other keys stand at right angles to the query, with a score "
                        "of 0. They can score lower than that.",
        "counts-itself": "You counted one other too many. The best key is one of those that the "
                         "query meets.",
        "one-other": "You let the best key meet one other. There are more of them below the "
                     "fraction line.",
        "no-sum": "A weight is divided by the sum of all exponentials, its own included.",
        "no-half": "Your weight is right. For g, remember that the scores of best and worst key "
                   "are 2g apart.",
        "base-ten": "Your g comes from a logarithm to base 10. The softmax has e.",
        "even": "Your weight is right. Your g makes it 1/2; asked for is more.",
    }, pairs=[("counts-itself", "no-half"), ("one-other", "no-half"), ("no-sum", "no-half"),
              ("counts-itself", "even"), ("no-sum", "even"),
              ("counts-itself", "right-angles"), ("right-angles", "one-other")]),
    variants=(lambda: {"weight": 1 / 2, "g": math.log(9)},
              lambda: {"g": 2.1972, "weight": 0.5}),
    vary=_vary_sharpest,
)

# 2.7  Referee: at which width?

def _middle(sizes):
    """What stands in the middle of a list that nobody sorted."""
    return sizes[len(sizes) // 2]


def _fair(runs, *, faults=frozenset()):
    found = []
    for scaled, plain in itertools.permutations(runs, 2):
        fair = (not plain["scaled"], scaled["scaled"],
                scaled["keys"] == plain["keys"] or "any-keys" in faults,
                scaled["d_k"] == plain["d_k"] or "any-width" in faults)
        if "narrowest" in faults:  # every width beside the narrowest, both without the scale
            narrow = min(run["d_k"] for run in runs)
            fair = (not scaled["scaled"], not plain["scaled"], scaled["d_k"] == narrow,
                    plain["d_k"] > narrow, scaled["keys"] == plain["keys"])
        if not all(fair):
            continue
        typical = (np.mean if "mean" in faults else min if "smallest" in faults
                   else max if "largest" in faults else _middle if "as-listed" in faults
                   else np.median)
        below, above = float(typical(scaled["sizes"])), float(typical(plain["sizes"]))
        ratio = (below / above if "turned" in faults else above - below if "difference" in faults
                 else above / below)
        if "ratio-first" in faults:
            ratio = float(np.median(np.divide(plain["sizes"], scaled["sizes"])))
        found.append([plain["keys"], plain["d_k"], ratio])
    found.sort()
    if "by-ratio" in faults:
        found.sort(key=lambda row: row[2])
    if "as-they-come" in faults:
        order = [(run["keys"], run["d_k"]) for run in runs]
        found.sort(key=lambda row: order.index((row[0], row[1])))
    if "widest-alone" in faults:
        found = [row for row in found if row[1] == max(width for _, width, _ in found)]
    if "vanishing-alone" in faults:
        found = [row for row in found if row[2] < 1]
    if "width-first" in faults:
        found = sorted([width, keys, ratio] for keys, width, ratio in found)
    return found


def _fair_by_key(runs):
    typical = {(run["keys"], run["d_k"], run["scaled"]): np.median(run["sizes"]) for run in runs}
    return [(keys, d_k, float(typical[keys, d_k, False] / typical[keys, d_k, True]))
            for keys, d_k, scaled in sorted(typical)
            if scaled and (keys, d_k, False) in typical]


def _fair_loops(runs):
    found = []
    for one in runs:
        for other in runs:
            if (one["keys"] == other["keys"] and one["d_k"] == other["d_k"]
                    and one["scaled"] and not other["scaled"]):
                middle = [sorted(run["sizes"])[len(run["sizes"]) // 2] for run in (other, one)]
                found.append([one["keys"], one["d_k"], middle[0] / middle[1]])
    return sorted(found)


def _fair_cases(seed):
    rng = np.random.default_rng([seed, 27])

    def case(keys, widths, missing=(), hard=""):
        runs = [dict(d_k=d_k, keys=n, scaled=scaled, sizes=(
                    rng.uniform(0.2, 0.4) * rng.uniform(0.5, 3, 5) ** 2
                    * (1 if scaled else rng.uniform(2, 4) * 0.97 ** min(d_k, 200))).tolist())
                for n in keys for d_k in widths for scaled in (True, False)]
        runs = [run for i, run in enumerate(runs) if i not in missing]
        return Case(([runs[i] for i in rng.permutation(len(runs))],), hard=hard)

    return [case((16,), (2, 64, 2048)), case((1024, 16), (128, 8, 512)),
            case((7, 40), (64, 256, 1024)),
            case((16, 128), (32, 64, 256), missing=(1, 6), hard="two runs are missing"),
            case((12, 100), (64, 1024), missing=(0, 3, 4), hard="three runs are missing")]


_FAIR = Exercise(
    id="2.7", kind="write", points=4, minutes=15, version=1,
    hints=(
        "A comparison is fair if the two runs differ in what the claim is about, and in nothing "
        "else. Which of the three settings is the claim about?",
        "Go through all pairs of runs. Keep those with the same `d_k` and the same `keys`, one "
        "with the scale and one without.",
    ),
    cases=_fair_cases,
    reference=_fair,
    mistakes=switched(_fair, {
        "narrowest": "You compare wide vectors with narrow ones, both without the scale: the flaw "
                     "of the report itself. Would the scale have changed it?",
        "any-width": "Some of your pairs differ in the scale and in the width. "
                     "One thing at a time.",
        "any-keys": "Some of your pairs differ in the scale and in the number of keys. "
                    "One thing at a time.",
        "turned": "Your ratios are turned. Asked for is the size without the scale, over that "
                  "with it.",
        "difference": "You subtract. Asked for is how many times as large.",
        "mean": "Your typical size is the mean, which a few queries carry. "
                "Take the one in the middle.",
        "smallest": "You compare the smallest gradients. Take the one in the middle.",
        "widest-alone": "You keep the widest vectors alone. Heads are not so wide: "
                        "list every fair comparison.",
        "vanishing-alone": "You keep what vanishes alone. List every fair comparison, also those "
                           "that speak against the report.",
        "as-they-come": "Right comparisons, but they are not in rising order of `keys`, then "
                        "`d_k`.",
        "width-first": "Your rows begin with the width. The number of keys comes first.",
        "largest": "You compare the largest sizes. Typical is the median.",
        "as-listed": "You took what stands in the middle of the list. A median is the middle of the"
                     " *sorted* list.",
        "ratio-first": "You divided size by size and took the median then. Queries of different "
                       "runs are no pairs: take each run's median first.",
        "by-ratio": "Right comparisons, but they are sorted by the ratio. Asked is the order of "
                    "`keys`, then `d_k`.",
    }, pairs=[("any-width", "turned"), ("any-keys", "turned"), ("as-they-come", "turned"),
              ("mean", "turned"), ("mean", "any-keys"), ("mean", "as-they-come"),
              ("narrowest", "mean"), ("difference", "mean")]),
    variants=(_fair_by_key, _fair_loops),
)


# 2.8  The scale, taken out

def _taken_out(w_query, w_key, rate, optimiser, *, faults=frozenset()):
    d_k = w_query.shape[0 if "by-dim" in faults else 1]
    factor = (d_k ** -0.5 if "whole-scale" in faults else d_k ** 0.25 if "grown" in faults
              else d_k ** -0.25)
    power = 1 if optimiser == "adam" or "adam-for-both" in faults else 2
    if "sgd-for-both" in faults:
        power = 2
    if "sgd-turned" in faults and optimiser == "sgd":
        power = -1
    if "sgd-divided" in faults and optimiser == "sgd":
        power = -2
    if "adam-kept" in faults and optimiser == "adam":
        power = 0
    if "exchanged" in faults:
        power = 2 if optimiser == "adam" else 1
    if "fourth-power" in faults and optimiser == "sgd":
        power = 4
    rate = rate if "rate-kept" in faults else rate * factor ** power
    if "query-whole" in faults:
        return w_query * factor ** 2, w_key, rate * factor ** power
    if "in-place" in faults:
        w_query *= factor
        w_key *= factor
        return w_query, w_key, rate
    if "query-alone" in faults:
        return w_query * factor ** 2, w_key, rate
    if "start-kept" in faults:
        return w_query, w_key, rate
    return w_query * factor, w_key * factor, rate


def _taken_out_in_torch(w_query, w_key, rate, optimiser):
    root = w_key.size(1) ** 0.5
    return (w_query / root ** 0.5, w_key / root ** 0.5,
            rate / (root ** 0.5 if optimiser == "adam" else root))


def _taken_out_by_logarithm(w_query, w_key, rate, optimiser):
    small = math.exp(-math.log(w_query.shape[-1]) / 4)
    rates = {"adam": small, "sgd": small ** 2}
    return [small * w_query, small * w_key, rate * rates[optimiser]]


def _taken_out_cases(seed):
    rng = np.random.default_rng([seed, 28])

    def case(dim, d_k, rate, optimiser, hard=""):
        w_query, w_key = rng.normal(size=(2, dim, d_k))
        return Case((w_query, w_key, rate, optimiser), hard=hard)

    alike = case(4, 4, 0.6, "sgd", hard="as wide as it is deep")
    alike.args[0][0] = 0
    alike.args[0][1] *= 1e-3
    alike.args[1][:] *= 200
    return [alike, case(1, 9, 0.4, "adam", hard="a single feature in front"),
            case(5, 16, 0.3, "adam"), case(7, 9, 0.5, "sgd"), case(6, 30, 0.9, "adam"),
            case(12, 4, 2.0, "sgd"), case(3, 25, 1.5, "sgd"),
            case(4, 1, 0.7, "adam", hard="a width of 1")]


_TAKEN_OUT = Exercise(
    id="2.8", kind="write", points=4, minutes=15, version=1,
    hints=(
        "Equation (2.8) says how large the two projections must be, so that the scores are the "
        "same at the start. The two share the scale evenly.",
        "Write the new matrix as a factor times the old one. It must move by that factor times "
        "what the old one moves by. Adam moves a matrix by about the rate, whatever the gradient.",
        "Gradient descent moves by rate times gradient. If a matrix is smaller by a factor and "
        "the scores are the same, its gradient is larger: by how much?",
    ),
    cases=_taken_out_cases,
    spared={"empty": "a projection onto nothing has no scale"},
    reference=_taken_out,
    mistakes=switched(_taken_out, {
        "whole-scale": "Each of your matrices takes the whole scale. A score contains both of "
                       "them.",
        "grown": "Your matrices grow. Without the scale the scores would be larger already.",
        "query-alone": "Your scores are right at the start. But one rate must do for both "
                       "matrices, and yours have different sizes.",
        "start-kept": "You left the matrices as they are: the scores begin too large.",
        "rate-kept": "Your start is right. But a step of the same size moves a smaller matrix "
                     "further, in proportion.",
        "adam-for-both": "Right for Adam. Under gradient descent the size of the gradient counts "
                         "as well, and it has changed.",
        "sgd-for-both": "Right for gradient descent. Adam's steps do not follow the size of the "
                        "gradient.",
        "sgd-turned": "Under gradient descent your rate grows. The gradient by a smaller matrix "
                      "is larger already.",
        "sgd-divided": "Under gradient descent you divide the rate by the factor, twice. The "
                       "gradient by a smaller matrix is larger already: which way must the rate "
                       "go?",
        "by-dim": "You took the width of the inputs. The scale belongs to the width of queries "
                  "and keys.",
        "in-place": "Right numbers, but you changed the caller's matrices on the way.",
        "adam-kept": "The rate for Adam is as it was. Its steps do not know how large a matrix is: "
                     "what is such a step to a smaller one?",
        "exchanged": "Your rates for Adam and for gradient descent are exchanged. Which of the two "
                     "sees the size of the gradient?",
        "fourth-power": "For gradient descent your rate shrinks too much: that is what one matrix "
                        "would need that held the whole scale.",
        "query-whole": "You put the whole scale into the query's matrix. One rate serves both "
                       "matrices, so both must shrink alike.",
    }, pairs=[("whole-scale", "rate-kept"), ("whole-scale", "adam-for-both"),
              ("by-dim", "adam-for-both"), ("by-dim", "rate-kept"), ("query-alone", "rate-kept"),
              ("query-alone", "adam-for-both"), ("start-kept", "adam-for-both"),
              ("by-dim", "whole-scale")]),
    variants=(_taken_out_in_torch, _taken_out_by_logarithm),
)


EXERCISES = (_SPREAD, _HEADS, _FOLLOW, _NORMALISED, _PREDICTION, _SHARPEST, _FAIR, _TAKEN_OUT)
