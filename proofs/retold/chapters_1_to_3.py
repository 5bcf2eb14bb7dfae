"""Chapters 1 to 3: known mistakes, written again from their sentences."""

import math

import numpy as np
import torch

import attnlib

from . import again


def shares(row):
    """The softmax of one row, number by number; 0 where nothing is allowed."""
    top = max(row)
    if top == -math.inf:
        return [0.0 for _ in row]
    parts = [math.exp(s - top) for s in row]
    return [part / sum(parts) for part in parts]


def by_sentence(function):
    """Matrices one sentence at a time, whatever number of axes stands in front."""
    def looped(*arrays):
        if arrays[0].ndim == 2:
            return np.asarray(function(*arrays))
        return np.stack([looped(*parts) for parts in zip(*arrays)])
    return looped


# 1.1: the scores are 0, ln 3 and ln 4

@again("1.1", "uniform")
def _():
    return {"weights": ["1/3", "1/3", "1/3"], "output": [12 / 3, 20 / 3]}


@again("1.1", "shares-of-scores")
def _():
    whole = math.log(12)
    return {"weights": [0, math.log(3) / whole, math.log(4) / whole],
            "output": [math.log(4) * 4 / whole, (math.log(3) * 16 + math.log(4) * 4) / whole]}


@again("1.1", "multiplied")
def _():
    return {"weights": ["1/338", "81/338", "128/169"],
            "output": [8 / 338 + 4 * 256 / 338, (16 * 81 + 4 * 256) / 338]}


# 1.2

@again("1.2", "axis-two")
def _(query, key, value):
    scores = np.einsum("...id,...jd->...ij", query, key) * query.shape[-1] ** -0.5
    return attnlib.softmax(scores, axis=2) @ value


@again("1.2", "reversed-axes")
def _(query, key, value):
    weights = torch.softmax(torch.tensor(query @ key.T / math.sqrt(query.shape[-1])), dim=-1)
    return weights.numpy() @ value


@again("1.2", "by-d_k")
def _(query, key, value):
    width = query.shape[-1]
    scores = (query / width) @ np.moveaxis(key, -2, -1)
    return attnlib.softmax(scores) @ value


@again("1.2", "in-place")
def _(query, key, value):
    np.divide(query, math.sqrt(query.shape[-1]), out=query)
    return attnlib.softmax(np.matmul(query, np.swapaxes(key, -2, -1))) @ value


# 1.3

def rows_of(x, w_query, w_key, w_value):
    query, key, value = (np.einsum("nd,dk->nk", x, w) for w in (w_query, w_key, w_value))
    return query, key, value, [[sum(q * k) for k in key] for q in query]


def self_attention(weigh, mixed="value"):
    """Attention of one sentence after another, its scores turned to weights by ``weigh``."""
    def attend(x, w_query, w_key, w_value):
        matrices = [w_query, w_key, w_value]

        def one(sentence):
            query, key, value, dots = rows_of(sentence, *matrices)
            weights = np.asarray(weigh(np.array(dots), query.shape[-1]))
            return weights @ (value if mixed == "value" else key)
        return by_sentence(one)(x)
    return attend


again("1.3", "no-scale")(self_attention(lambda dots, d_k: [shares(row) for row in dots]))
again("1.3", "multiplied")(self_attention(
    lambda dots, d_k: [shares(row) for row in dots * math.sqrt(d_k)]))
again("1.3", "by-d_k")(self_attention(lambda dots, d_k: [shares(row) for row in dots / d_k]))
again("1.3", "over-queries")(self_attention(
    lambda dots, d_k: np.array([shares(column) for column in (dots / d_k**0.5).T]).T))
again("1.3", "over-everything")(self_attention(
    lambda dots, d_k: np.reshape(shares((dots / d_k**0.5).ravel()), dots.shape)))
again("1.3", "no-softmax")(self_attention(lambda dots, d_k: dots / d_k**0.5))
again("1.3", "largest-only")(self_attention(
    lambda dots, d_k: dots == dots.max(axis=1, keepdims=True)))
again("1.3", "transposed")(self_attention(
    lambda dots, d_k: np.array([shares(row) for row in dots / d_k**0.5]).T))
again("1.3", "keys-averaged")(self_attention(
    lambda dots, d_k: [shares(row) for row in dots / d_k**0.5], mixed="key"))


@again("1.3", "no-keepdims")
def _(x, w_query, w_key, w_value):
    query, key = x @ w_query, x @ w_key
    scores = np.einsum("...id,...jd->...ij", query, key) / math.sqrt(w_key.shape[1])
    parts = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.true_divide(parts, np.sum(parts, axis=-1)) @ (x @ w_value)


@again("1.3", "no-projection")
def _(x, w_query, w_key, w_value):
    scores = np.einsum("...id,...jd->...ij", x, x / math.sqrt(x.shape[-1]))
    return attnlib.softmax(scores) @ x @ w_value


@again("1.3", "weights-turned")
def _(x, w_query, w_key, w_value):
    query, key = np.inner(x, w_query), np.inner(x, w_key)
    scores = np.einsum("...id,...jd->...ij", query, key) / math.sqrt(query.shape[-1])
    return attnlib.softmax(scores) @ np.inner(x, w_value)


@again("1.3", "width-without-projection")
def _(x, w_query, w_key, w_value):
    @by_sentence
    def one(words):
        return [np.array(shares(words @ word / math.sqrt(w_key.shape[1]))) @ words @ w_value
                for word in words]
    return one(x)


@again("1.3", "weights")
def _(x, w_query, w_key, w_value):
    both = w_query @ w_key.T / np.sqrt(w_key.shape[1])
    return attnlib.softmax(x @ both @ np.swapaxes(x, -1, -2))


# 1.4

@again("1.4", "weights")
def _(queries, keys, values, width):
    return [shares([-(q - k) ** 2 / 2 / width**2 for k in keys]) for q in queries]


@again("1.4", "in-place")
def _(queries, keys, values, width):
    keys /= width
    distances = np.subtract.outer(queries / width, keys)
    return attnlib.softmax(-distances**2 / 2) @ values


# 1.5

@again("1.5", "sigmoid")
def _(query, key, w_query, w_key, v):
    asks, offers = query @ w_query, key @ w_key
    return [[sum(v / (1 + np.exp(-(a + b)))) for b in offers] for a in asks]


# 1.7

@again("1.7", "the-key")
def _(keys, index, share):
    return [float(feature) for feature in keys[index]]


@again("1.7", "scores")
def _(keys, index, share):
    rest = (1 - share) / (len(keys) - 1)
    return [math.log(share if i == index else rest) for i in range(len(keys))]


@again("1.7", "transposed")
def _(keys, index, share):
    wanted = np.zeros(len(keys))
    wanted[index] = math.log(share * (len(keys) - 1) / (1 - share))
    return math.sqrt(keys.shape[1]) * sum(s * key for s, key in zip(wanted, keys))


# 2.1

@again("2.1", "roots")
def _():
    variance = 32 * math.sqrt(2) * math.sqrt(1 / 4)
    return {"variance": variance, "spread": variance**0.5, "scale": variance**-0.5}


@again("2.1", "of-one")
def _():
    return {"variance": "32", "spread": math.sqrt(32), "scale": 1 / math.sqrt(32)}


@again("2.1", "no-root")
def _():
    return {"variance": "16", "spread": "16", "scale": "1/16"}


# 2.2

def one_head_at_a_time(x, w_query, w_key, heads):
    """The dot products of each head, ``(heads, n, n)``, and the width of a head."""
    width = w_query.shape[1] // heads
    return np.stack([
        (x @ w_query[:, h * width:(h + 1) * width]) @ (x @ w_key[:, h * width:(h + 1) * width]).T
        for h in range(heads)]), width


@again("2.2", "by-root-dim")
def _(x, w_query, w_key, heads):
    dots, width = one_head_at_a_time(x, w_query, w_key, heads)
    return np.array([[shares(row) for row in head] for head in dots / len(w_query) ** 0.5])


@again("2.2", "over-heads")
def _(x, w_query, w_key, heads):
    dots, width = one_head_at_a_time(x, w_query, w_key, heads)
    return torch.from_numpy(dots / math.sqrt(width)).softmax(dim=0)


@again("2.2", "overflow")
def _(x, w_query, w_key, heads):
    dots, width = one_head_at_a_time(x, w_query, w_key, heads)
    parts = np.exp(dots / math.sqrt(width))
    return np.einsum("hij,hi->hij", parts, 1 / np.einsum("hij->hi", parts))


@again("2.2", "scores")
def _(x, w_query, w_key, heads):
    dots, width = one_head_at_a_time(x, w_query, w_key, heads)
    return dots * width**-0.5


# 2.3

@again("2.3", "own-scale")
def _(query, key, scale):
    root = len(query) ** -0.5
    a = np.array(shares(key @ query * root))
    return [root * a[j] * (key[j] - sum(a[i] * key[i] for i in range(len(a))))
            for j in range(len(a))]


@again("2.3", "others-only")
def _(query, key, scale):
    a = np.array(shares(scale * key @ query))
    mean = sum(share * k for share, k in zip(a, key))
    return [-scale * share * mean for share in a]


@again("2.3", "plus")
def _(query, key, scale):
    a = np.array(shares(scale * key @ query))
    mean = sum(share * k for share, k in zip(a, key))
    return [scale * share * (k + mean) for share, k in zip(a, key)]


# 2.4

def length(x):
    """Vectors of length 1; zeros stay zeros."""
    long = np.sqrt(np.einsum("...d,...d->...", x, x))
    return x / np.where(long > 0, long, 1)[..., np.newaxis]


def meeting(query, key):
    return np.einsum("...id,...jd->...ij", query, key)


again("2.4", "none")(lambda query, key, g: attnlib.softmax(meeting(g * query, key)))
again("2.4", "not-the-key")(lambda query, key, g: attnlib.softmax(g * meeting(length(query), key)))
again("2.4", "over-queries")(
    lambda query, key, g: attnlib.softmax(g * meeting(length(query), length(key)), axis=-2))
again("2.4", "scores")(lambda query, key, g: meeting(g * length(query), length(key)))
again("2.4", "reversed-axes")(
    lambda query, key, g: attnlib.softmax(g * (length(query) @ length(key).transpose())))


@again("2.4", "one-length")
def _(query, key, g):
    def common(x):
        long = np.sqrt(np.einsum("...nd,...nd->...", x, x))[..., None, None]
        return np.divide(x, long, out=np.zeros_like(x), where=long > 0)
    return attnlib.softmax(g * meeting(common(query), common(key)))


@again("2.4", "standardised")
def _(query, key, g):
    def standard(x):
        centred = x - x.mean(-1)[..., None]
        spread = np.sqrt((centred**2).mean(-1))[..., None]
        return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
    return attnlib.softmax(g * meeting(standard(query), standard(key)))


@again("2.4", "zero-query")
def _(query, key, g):
    long = np.sqrt((query**2).sum(-1, keepdims=True))
    return attnlib.softmax(meeting(g * query / long, length(key)))


@again("2.4", "overflow")
def _(query, key, g):
    parts = np.exp(meeting(length(query), g * length(key)))
    return parts / np.einsum("...ij->...i", parts)[..., None]


# 2.5

SHARPER = {"a": "same", "b": "flatter", "c": "sharper", "d": "same", "e": "flatter", "f": "sharper"}

again("2.5", "a: flatter")(lambda: {**SHARPER, "a": "Flatter."})
again("2.5", "b: sharper")(lambda: {**SHARPER, "b": "SHARPER"})
again("2.5", "d: flatter")(lambda: {**SHARPER, "d": " flatter "})


# 2.6

@again("2.6", "no-sum")
def _():
    return {"weight": "1", "g": math.log(0.9 * 9) / 2}


# 2.7

def median_sizes(runs):
    return {(run["keys"], run["d_k"], run["scaled"]): float(np.median(run["sizes"]))
            for run in runs}


def without_and_with(runs, typical=np.median):
    """``[keys, d_k, ratio]`` of runs that differ in the scale alone, in rising order."""
    sizes = {(run["keys"], run["d_k"], run["scaled"]): typical(run["sizes"]) for run in runs}
    return [[keys, d_k, float(size / sizes[keys, d_k, True])]
            for (keys, d_k, scaled), size in sorted(sizes.items())
            if not scaled and (keys, d_k, True) in sizes]


again("2.7", "smallest")(lambda runs: without_and_with(runs, min))
again("2.7", "vanishing-alone")(lambda runs: [x for x in without_and_with(runs) if x[2] < 1])


@again("2.7", "widest-alone")
def _(runs):
    widest = {}
    for keys, d_k, ratio in without_and_with(runs):  # rising: the last one stays
        widest[keys] = [keys, d_k, ratio]
    return list(widest.values())


@again("2.7", "narrowest")
def _(runs):
    sizes, pairs = median_sizes(runs), []
    for keys in sorted({k for k, _, _ in sizes}):
        widths = sorted(d for k, d, scaled in sizes if k == keys and not scaled)
        pairs += [[keys, d, sizes[keys, d, False] / sizes[keys, widths[0], False]]
                  for d in widths[1:]]
    return pairs


@again("2.7", "any-width")
def _(runs):
    sizes = median_sizes(runs)
    return sorted([keys, d, u / s] for (keys, d, scaled), u in sizes.items() if not scaled
                  for (others, _, scaled_too), s in sizes.items()
                  if scaled_too and others == keys)


@again("2.7", "any-keys")
def _(runs):
    sizes = median_sizes(runs)
    return sorted([keys, d, u / s] for (keys, d, scaled), u in sizes.items() if not scaled
                  for (_, width, scaled_too), s in sizes.items() if scaled_too and width == d)


# 2.8

@again("2.8", "query-alone")
def _(w_query, w_key, rate, optimiser):
    root = math.sqrt(w_query.shape[-1])
    return w_query / root, w_key, {"adam": rate / math.sqrt(root), "sgd": rate / root}[optimiser]


@again("2.8", "start-kept")
def _(w_query, w_key, rate, optimiser):
    root = math.sqrt(w_query.shape[-1])
    return w_query, w_key, {"adam": rate / math.sqrt(root), "sgd": rate / root}[optimiser]


@again("2.8", "sgd-turned")
def _(w_query, w_key, rate, optimiser):
    small = math.sqrt(1 / math.sqrt(w_query.shape[-1]))
    rates = {"adam": rate * small, "sgd": rate / small}
    return small * w_query, small * w_key, rates[optimiser]


# 3.1

ON_PAPER = {"weights": ["1/6", "1/3", "1/2"], "cold": ["1/14", "2/7", "9/14"],
            "four": ["1/12", "1/6", "1/4", "1/2"], "group": "1/2"}

again("3.1", "joined-late")(lambda: {**ON_PAPER, "four": ["1/6", "1/3", "1/2", "1/2"]})
again("3.1", "counted")(lambda: {**ON_PAPER, "group": "3/4"})


# 3.2

def along(axis_shares):
    """A softmax that takes one row after another."""
    return lambda scores, axis: np.apply_along_axis(
        lambda row: np.array(axis_shares(row)), axis, scores)


def row_by_row(parts_of, divided=lambda parts: parts / parts.sum()):
    """Rows without anything allowed aside: the exponentials, divided by their sum."""
    def one(row):
        return divided(parts_of(row)) if np.isfinite(row).any() else np.zeros(len(row))
    return along(one)


def less(row, number):
    """Shares of one row after a number was subtracted, if it is one."""
    parts = np.exp(row - number if math.isfinite(number) else row)
    return parts / (parts.sum() or 1)


again("3.2", "underflow")(row_by_row(np.exp))
again("3.2", "overflow")(along(lambda row: np.exp(row) / (sum(map(np.exp, row)) or 1)))
again("3.2", "smallest")(row_by_row(lambda row: np.exp(row - min(row[np.isfinite(row)]))))
again("3.2", "mean")(row_by_row(lambda row: np.exp(row - np.mean(row[np.isfinite(row)]))))
again("3.2", "smallest")(along(lambda row: less(row, min(row))))
again("3.2", "mean")(along(lambda row: less(row, sum(row) / len(row))))
again("3.2", "base-two")(row_by_row(lambda row: np.exp2(row - max(row))))
again("3.2", "largest-divides")(row_by_row(
    lambda row: np.exp(row - max(row)), lambda parts: parts / max(parts)))
again("3.2", "epsilon")(row_by_row(
    lambda row: np.exp(row - max(row)), lambda parts: parts / (sum(parts) + 0.01)))
again("3.2", "logarithm")(row_by_row(
    lambda row: row - max(row), lambda below: below - np.log(np.exp(below).sum())))


@again("3.2", "first-axis")
def _(scores, axis):
    return np.stack([shares(row) for row in scores.reshape(len(scores), -1).T], -1).reshape(
        scores.shape)


@again("3.2", "over-everything")
def _(scores, axis):
    top = scores.max(axis, keepdims=True)
    parts = np.exp(np.subtract(scores, top, out=np.full_like(scores, -np.inf), where=top > -np.inf))
    return parts / (sum(parts.ravel()) or 1)


@again("3.2", "no-keepdims")
def _(scores, axis):
    top = np.amax(scores, axis)
    parts = np.exp(np.subtract(scores, np.where(np.isneginf(top), 0, top)))
    total = np.add.reduce(parts, axis)
    return parts / np.where(total == 0, 1, total)


# 3.3

def query_by_query(two):
    """A merge that takes one query after another: ``two(lse, other, output, other output)``."""
    def merge(output_a, lse_a, output_b, lse_b):
        outputs, lses = [], []
        for a, b, left, right in zip(lse_a, lse_b, output_a, output_b):
            output, lse = two(a, b, left, right)
            outputs.append(np.asarray(output, float))
            lses.append(lse)
        return np.array(outputs), np.array(lses)
    return merge


def together(a, b, left, right):
    """The right one, for a single query."""
    lse = np.logaddexp(a, b)
    if lse == -math.inf:
        return 0 * left, lse
    return math.exp(a - lse) * left + math.exp(b - lse) * right, lse


@again("3.3", "sum")
@query_by_query
def _(a, b, left, right):
    return [x + y for x, y in zip(left, right)], np.logaddexp(a, b)


@again("3.3", "lse-weights")
@query_by_query
def _(a, b, left, right):
    return np.average([left, right], axis=0, weights=[a, b]), np.logaddexp(a, b)


@again("3.3", "own-tops")
@query_by_query
def _(a, b, left, right):
    lse = together(a, b, left, right)[1]
    parts = [float(np.isfinite(x)) for x in (a, b)]
    return (parts[0] * left + parts[1] * right) / (sum(parts) or 1), lse


@again("3.3", "larger-takes-all")
@query_by_query
def _(a, b, left, right):
    return (left if a > b else right), together(a, b, left, right)[1]


@again("3.3", "overflow")
@query_by_query
def _(a, b, left, right):
    parts = np.exp([a, b])
    total = parts[0] + parts[1]
    return parts @ [left, right] / (total if total > 0 else 1), np.log(total)


@again("3.3", "top-of-a")
@query_by_query
def _(a, b, left, right):
    top = a if np.isfinite(a) else 0.0
    one, other = np.exp(a - top), np.exp(b - top)
    whole = one + other
    return (one * left + other * right) / (whole if whole > 0 else 1), top + np.log(whole)


@again("3.3", "top-shared")
def _(output_a, lse_a, output_b, lse_b):
    top = max(*lse_a, *lse_b)
    top = top if np.isfinite(top) else 0.0
    parts = np.exp(np.stack([lse_a, lse_b]) - top)
    total = parts[0] + parts[1]
    mixed = np.einsum("pq,pqd->qd", parts, np.stack([output_a, output_b]))
    return mixed / np.where(total > 0, total, 1)[:, None], top + np.log(total)


@again("3.3", "output-nan")
@query_by_query
def _(a, b, left, right):
    lse = np.logaddexp(a, b)
    return np.exp(a - lse) * left + np.exp(b - lse) * right, lse


@again("3.3", "no-new-axis")
def _(output_a, lse_a, output_b, lse_b):
    lse = np.logaddexp(lse_a, lse_b)
    below = np.maximum(lse, -1e300)
    return np.exp(lse_a - below) * output_a + np.exp(lse_b - below) * output_b, lse


@again("3.3", "no-log")
@query_by_query
def _(a, b, left, right):
    output, lse = together(a, b, left, right)
    return output, math.e**lse


# 3.4

@again("3.4", "mean-of-product")
def _(weights, gradient):
    return weights * gradient - weights * np.mean(weights * gradient, axis=-1)[..., None]


@again("3.4", "added")
def _(weights, gradient):
    return weights * gradient + weights * np.einsum("...n,...n->...", weights, gradient)[..., None]


@again("3.4", "mean-unweighted")
def _(weights, gradient):
    return weights * gradient - np.einsum("...n,...n->...", weights, gradient)[..., None]


@again("3.4", "in-place")
def _(weights, gradient):
    np.subtract(gradient, np.vecdot(weights, gradient)[..., None], out=gradient)
    return np.multiply(weights, gradient)


# 3.5

def one_query_at_a_time(follow):
    """A stream that follows one query after another: ``follow(row, value, chunk)``."""
    return lambda scores, value, chunk: np.array(
        [follow(row, value, chunk) for row in scores]).reshape(len(scores), value.shape[1])


def gathered(row, value, chunk, top=-math.inf, old=True, twice=False, falls=False, first=False,
             total_kept=True):
    """One query's keys in chunks, with what goes wrong switched on."""
    total, output = 0.0, np.zeros(value.shape[1])
    for start in range(0, len(row), chunk):
        part, values = row[start:start + chunk], value[start:start + chunk]
        new = max(part) if falls else max(top, *part)
        if first and start:
            new = top
        if new == -math.inf:
            top = 0.0 if first else new
            continue
        parts = [float(np.exp(s - new)) for s in part]
        shrink = float(np.exp(top - new)) if old else 1.0
        total = total * (shrink if total_kept else 1.0) + sum(parts)
        output = output * shrink + sum(p * v for p, v in zip(parts, values))
        if twice and total:
            output = output / total
        top = new
    return output / total if total else output


again("3.5", "total-kept")(one_query_at_a_time(
    lambda row, value, chunk: gathered(row, value, chunk, total_kept=False)))
again("3.5", "top-of-chunk")(one_query_at_a_time(
    lambda row, value, chunk: gathered(row, value, chunk, falls=True)))
again("3.5", "top-of-first")(one_query_at_a_time(
    lambda row, value, chunk: gathered(row, value, chunk, first=True)))
again("3.5", "divided-twice")(one_query_at_a_time(
    lambda row, value, chunk: gathered(row, value, chunk, twice=True)))
again("3.5", "nothing-shrinks")(one_query_at_a_time(
    lambda row, value, chunk: gathered(row, value, chunk, old=False)))


@again("3.5", "top-kept")
@one_query_at_a_time
def _(row, value, chunk):
    first, total, output = -math.inf, 0.0, np.zeros(value.shape[1])
    for i in range(0, len(row), chunk):
        top = max(first, *row[i:i + chunk])
        if i == 0:
            first = top
        if top > -math.inf:
            parts = np.exp(row[i:i + chunk] - top)
            shrink = np.exp((first if i else -math.inf) - top)
            total = total * shrink + sum(parts)
            output = output * shrink + parts @ value[i:i + chunk]
    return output / (total or 1)


@again("3.5", "as-given")
@one_query_at_a_time
def _(row, value, chunk):
    top, total, output = 0.0, 0.0, np.zeros(value.shape[1])
    while len(row):
        now, row = row[:chunk], row[chunk:]
        before, value = value[:chunk], value[chunk:]
        higher = max(top, *now)
        total *= math.exp(top - higher)
        for s, v in zip(now, before):
            total += math.exp(s - higher)
            output = output + math.exp(s - higher) * v
        top = higher
    return np.divide(output, total)


@again("3.5", "top-shared")
def _(scores, value, chunk):
    top, total, output = -math.inf, 0.0, 0.0
    for start in range(0, scores.shape[1], chunk):
        part = scores[:, start:start + chunk]
        new = max(top, *part.ravel())
        parts = np.exp(part - new) if new > -math.inf else np.zeros(part.shape)
        shrink = math.exp(top - new) if top > -math.inf else 0.0
        total = total * shrink + parts.sum(1)
        output = output * shrink + parts @ value[start:start + chunk]
        top = new
    return output / np.where(total > 0, total, 1)[:, None]


# 3.6

@again("3.6", "d-fewer")
def _():
    return {"a": "same", "b": "fewer", "c": "more", "d": "Fewer", "e": "more", "f": "fewer"}


# 3.7

def search(spread, wanted, low=1e-6, high=1e6):
    """The temperature at which what rises with it is what was wanted, by halving."""
    for _ in range(45):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if spread(middle) < wanted else (low, middle)
    return middle


def entropies(scores):
    weights = attnlib.softmax(scores)
    logs = np.log(weights, out=np.zeros_like(weights), where=weights > 0)
    return -(weights * logs).sum(-1)


again("3.7", "spread")(lambda scores, keys: math.sqrt(np.var(scores)))
again("3.7", "asked-for")(lambda scores, keys: float(keys))
again("3.7", "logarithm")(lambda scores, keys: math.log(keys))
again("3.7", "largest-weight")(lambda scores, keys: search(
    lambda T: -attnlib.softmax(scores / T).max(-1).mean(), -1 / keys))
again("3.7", "as-entropy")(lambda scores, keys: search(
    lambda T: entropies(scores / T).mean(), keys))
again("3.7", "bits")(lambda scores, keys: search(
    lambda T: np.exp(entropies(scores / T) / math.log(2)).mean(), keys))
again("3.7", "mean-row")(lambda scores, keys: search(
    lambda T: math.exp(entropies(scores.mean(0) / T)), keys))
again("3.7", "narrow")(lambda scores, keys: search(
    lambda T: attnlib.effective_keys(attnlib.softmax(scores / T)).mean(), keys, 0.1, 10))


# 3.8

def quiet(one):
    """Shares of one row after another, in which only what is finite counts."""
    return lambda scores: np.apply_along_axis(
        lambda row: np.array(one(row, max(0.0, *row))), -1, scores)


again("3.8", "two")(quiet(lambda row, top: np.exp(row - top) / (
    math.exp(1 - top) + sum(np.exp(row - top)))))
again("3.8", "extra-column")(lambda scores: np.apply_along_axis(
    lambda row: np.array(shares([0.0, *row])), -1, scores))
again("3.8", "one-not-shrunk")(lambda scores: np.apply_along_axis(
    lambda row: np.exp(row - max(row)) / (1 + sum(np.exp(row - max(row))))
    if max(row) > -math.inf else np.zeros(len(row)), -1, scores))
again("3.8", "ordinary")(lambda scores: np.apply_along_axis(
    lambda row: np.array(shares(row)), -1, scores))


@again("3.8", "first-axis")
def _(scores):
    top = np.maximum(scores.max(0), 0)
    parts = np.exp(scores - top)
    return parts / (np.exp(-top) + parts.sum(0))


# 3.9

def compared(fair):
    """What the larger start adds, over the pairs of runs that somebody calls fair."""
    def referee(runs):
        means = [(run["start"], run["step"], run["steps"], sum(run["right"]) / len(run["right"]))
                 for run in runs]
        return sorted([one[2], one[1], 100 * (one[3] - other[3])]
                      for one in means for other in means if fair(*one[:3], *other[:3]))
    return referee


again("3.9", "both-vary")(compared(lambda start, step, steps, other, move, budget: (
    start > other and step > move and steps == budget)))
again("3.9", "any-step")(compared(lambda start, step, steps, other, move, budget: (
    start > other and steps == budget)))
again("3.9", "any-budget")(compared(lambda start, step, steps, other, move, budget: (
    start > other and step == move)))
again("3.9", "step-alone")(compared(lambda start, step, steps, other, move, budget: (
    start == other and step > move and steps == budget)))


@again("3.9", "spread")
def _(runs):
    low = min(run["start"] for run in runs)
    both = {(run["steps"], run["step"]) for run in runs if run["start"] == low}
    return [[run["steps"], run["step"], 100 * float(np.std(run["right"]))]
            for run in sorted(runs, key=lambda run: (run["steps"], run["step"]))
            if run["start"] > low and (run["steps"], run["step"]) in both]


# 3.10: three that follow outvote the best when it is warm

@again("3.10", "turned")
def _():
    return {"scores": [5.0, 3.0, 3.0, 3.0], "helps": [1, 0, 0, 0], "harms": [0, 1, 1, 1]}


@again("3.10", "harms-never-turns")
def _():
    return {"scores": np.array([3.0, 1, 1, 1, 1]), "helps": (0, 1, 1, 1, 1),
            "harms": (1, 1, 1, 1, 0)}
