"""Chapter 6, "Multi-head attention": what its exercises ask, and what people answer."""

import math

import numpy as np

from ..attention import attention, softmax
from ..heads import merge_heads, repeat_heads, split_heads
from ..masks import causal_mask
from .core import (
    Case,
    Exercise,
    Mistake,
    Result,
    another_form,
    broken_law,
    finite_array,
    switched,
)

# 6.1  A layer on paper

def _sizes(*, faults=frozenset()):
    dim, heads, kv_heads = 96, 12, 4
    width = dim // (kv_heads if "width-by-kv" in faults else heads)
    kv_dim = kv_heads * width
    value_dim = dim if "full-values" in faults else kv_dim
    key_dim = dim if "no-sharing" in faults else kv_dim
    value_dim = dim if "no-sharing" in faults else value_dim
    weights = dim * (2 * dim + key_dim + value_dim)
    if "no-output" in faults:
        weights -= dim * dim
    if "one-head" in faults:
        weights = 4 * dim * width
    if "one-narrow" in faults:
        weights = dim * (2 * dim + kv_dim)
    if "all-narrow" in faults:
        weights = 4 * dim * kv_dim
    cache = 2 * (heads if "query-heads" in faults else kv_heads) * width
    if "keys-only" in faults:
        cache //= 2
    if "queries-too" in faults:
        cache += heads * width
    if "one-vector" in faults:
        cache = width
    key_head = 9 % kv_heads if "tiled" in faults else 9 // (heads // kv_heads)
    if "by-kv" in faults:
        key_head = 9 // kv_heads
    if "own-number" in faults:
        key_head = 9
    if "from-one" in faults:
        key_head = 9 // (heads // kv_heads) + 1
    if "heads-for-width" in faults:
        width = heads
    return {"width": width, "weights": weights, "cache": cache, "key_head": key_head}


_SIZES = Exercise(
    id="6.1", kind="by hand", points=2, minutes=8, version=1,
    hints=(
        "A head is as wide as its share of `dim`, whether it is a query head or a key head.",
        "Write the shape of each of the four matrices. Two of them are narrower than the others.",
        "Twelve query heads on four key heads: how many neighbours share one?",
    ),
    cases=lambda seed: [Case()],
    reference=_sizes,
    mistakes=switched(_sizes, {
        "width-by-kv": "You divided the width by the number of key heads. "
                       "Which number of heads divides `dim`?",
        "full-values": "Your value projection is as wide as the query's. Values are shared like "
                       "keys.",
        "no-sharing": "You counted four square matrices. With four key heads for twelve query "
                      "heads, are all of them square?",
        "no-output": "You left out the output projection.",
        "one-head": "You counted the weights of a single head. How many are there?",
        "one-narrow": "You counted three matrices. Keys and values have one each.",
        "all-narrow": "All your matrices are narrow. Which of them belong to the key heads?",
        "one-vector": "Your cache holds one vector of one head. How many heads are kept, and what "
                      "of each?",
        "own-number": "You gave the query head's own number. There are only four key heads.",
        "from-one": "Your number of the key head is one too large. Heads are counted from 0.",
        "heads-for-width": "Your width is the number of heads. How many features has each?",
        "query-heads": "You counted the cache for all query heads. Which heads are kept?",
        "keys-only": "Your cache holds the keys alone. What else is needed of a word long past?",
        "queries-too": "Your cache holds queries as well. Who will ask an old query again?",
        "tiled": "Your key heads go round: a b c d a b c d. Copies stand next to each other here.",
        "by-kv": "You divided by the number of key heads. How many query heads share one?",
    }, pairs=[("full-values", "keys-only"), ("no-sharing", "query-heads"),
              ("no-sharing", "keys-only"), ("no-output", "keys-only"), ("tiled", "no-sharing"),
              ("tiled", "keys-only"), ("by-kv", "keys-only"), ("width-by-kv", "tiled"),
              ("full-values", "tiled"), ("no-output", "query-heads"), ("one-head", "keys-only"),
              ("no-sharing", "no-output")]),
    variants=(
        lambda: {"width": 8.0, "weights": 96 * 96 * 2 + 96 * 32 * 2, "cache": 64, "key_head": 3},
        lambda: dict(key_head=np.array(3), cache=np.array(64.0), weights=24576, width=96 / 12),
    ),
)


# 6.2  All heads at once

def _apart(x, heads, *, reshape_alone, heads_last):
    *leading, n, d = x.shape
    if reshape_alone:
        return x.reshape(*leading, heads, n, d // heads)
    if heads_last:
        return np.moveaxis(x.reshape(*leading, n, d // heads, heads), -1, -3)
    return np.moveaxis(x.reshape(*leading, n, heads, d // heads), -2, -3)


def _together(x, *, reshape_alone, heads_last):
    *leading, heads, n, width = x.shape
    if not reshape_alone:
        x = np.moveaxis(x, -3, -1) if heads_last else np.moveaxis(x, -3, -2)
    return x.reshape(*leading, n, heads * width)


def _all_heads(x, w_query, w_key, w_value, w_out, heads, *, faults=frozenset()):
    if "weights-turned" in faults:
        w_query, w_key, w_value, w_out = (w.T for w in (w_query, w_key, w_value, w_out))
    if "value-from-key" in faults:
        w_value = w_key
    if "first-axes" in faults:
        parted = ((x @ w).reshape(len(x), heads, -1).transpose(1, 0, 2)
                  for w in (w_query, w_key, w_value))
        return attention(*parted).transpose(1, 0, 2).reshape(len(x), -1) @ w_out
    split = dict(reshape_alone="split-reshape" in faults, heads_last="split-heads-last" in faults)
    if {"split-before", "blocks"} <= faults:
        parts, width = np.split(x, heads, axis=-1), x.shape[-1] // heads
        query, key, value = (np.stack([
            part @ w[head * width:(head + 1) * width, head * w.shape[1] // heads:
                     (head + 1) * w.shape[1] // heads] for head, part in enumerate(parts)], -3)
            for w in (w_query, w_key, w_value))
    elif "split-before" in faults:
        tied = [w[:x.shape[-1] // heads, :w.shape[1] // heads] for w in (w_query, w_key, w_value)]
        query, key, value = (_apart(x, heads, **split) @ w for w in tied)
    else:
        asked = 1 if "one-head" in faults else heads
        query, key, value = (_apart(x @ w, asked, **split) for w in (w_query, w_key, w_value))
    if "key-from-query" in faults:
        key = query
    scale = 1 / math.sqrt(query.shape[-1])
    if "whole-width" in faults:
        scale = 1 / math.sqrt(w_query.shape[1])
    if "model-width" in faults:
        scale = 1 / math.sqrt(x.shape[-1])
    if "heads-attend" in faults:
        query, key, value = (np.swapaxes(part, -2, -3) for part in (query, key, value))
    if "no-scale" in faults:
        scale = 1.0
    scores = scale * query @ np.swapaxes(key, -1, -2)  # (..., heads, n, n)
    if "mean-scores" in faults:
        scores = np.broadcast_to(scores.mean(-3, keepdims=True), scores.shape)
    if "causal" in faults:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], dtype=bool)), scores, -np.inf)
    weights = softmax(scores, axis=-2 if "axis" in faults else -1)
    if "heads-compete" in faults:
        weights = softmax(scores, axis=-3)
    found = weights @ value
    if "heads-attend" in faults:
        found = np.swapaxes(found, -2, -3)
    if "first-head" in faults:
        found = np.broadcast_to(found[..., :1, :, :], found.shape)
    if "heads-reversed" in faults:
        found = found[..., ::-1, :, :]
    if "merge-crossed" in faults:
        found = np.swapaxes(found, -1, -3)
        return found.reshape(*found.shape[:-3], x.shape[-2], -1) @ w_out
    merged = _together(found, reshape_alone="merge-reshape" in faults,
                       heads_last="merge-heads-last" in faults)
    return merged if "no-output" in faults else merged @ w_out


def _all_heads_reference(x, w_query, w_key, w_value, w_out, heads):
    query, key, value = (split_heads(x @ w, heads) for w in (w_query, w_key, w_value))
    return merge_heads(attention(query, key, value)) @ w_out


def _all_heads_loops(x, w_query, w_key, w_value, w_out, heads):
    found = 0
    for m in range(heads):
        query, key, value, rows = (np.split(w, heads, axis=axis)[m] for w, axis in (
            (w_query, 1), (w_key, 1), (w_value, 1), (w_out, 0)))
        found = found + attention(x @ query, x @ key, x @ value) @ rows
    return found


def _all_heads_einsum(x, w_query, w_key, w_value, w_out, heads):
    query, key, value = (w.reshape(w.shape[0], heads, -1) for w in (w_query, w_key, w_value))
    scores = np.einsum("...id,dhw,...je,ehw->...hij", x, query, x, key, optimize=True)
    weights = softmax(scores / math.sqrt(query.shape[-1]))
    return np.einsum("...hij,...jd,dhw,hwo->...io", weights, x, value,
                     w_out.reshape(heads, -1, w_out.shape[1]), optimize=True)


def _all_heads_torch(x, w_query, w_key, w_value, w_out, heads):
    import torch
    query, key, value = ((x @ w).unflatten(-1, (heads, -1)).transpose(-2, -3)
                         for w in (w_query, w_key, w_value))
    weights = torch.softmax(query @ key.mT / query.shape[-1] ** 0.5, dim=-1)
    return (weights @ value).transpose(-2, -3).flatten(-2) @ w_out


def _all_heads_viewed(x, w_query, w_key, w_value, w_out, heads):
    query, key, value = ((x @ w).view(*x.shape[:-1], heads, -1).transpose(-2, -3)
                         for w in (w_query, w_key, w_value))
    found = attention(query, key, value).transpose(-2, -3)
    return found.view(*x.shape[:-1], -1) @ w_out


def _all_heads_cases(seed):
    rng = np.random.default_rng([seed, 62])

    def case(*leading, n, dim, heads, width, width_v, out, size=1.0, hard=""):
        x = rng.normal(size=(*leading, n, dim)) * size
        matrices = [rng.normal(size=shape) for shape in (
            (dim, heads * width), (dim, heads * width), (dim, heads * width_v),
            (heads * width_v, out))]
        return Case((x, *matrices, heads), hard=hard)

    alike = case(2, 2, n=2, dim=2, heads=2, width=1, width_v=1, out=2, hard="all lengths alike")
    x, _, _, w_value, *_ = alike.args
    x[..., 0, :], x[0, 0, 1] = 0, 1e-3 * rng.normal(size=2)
    w_value *= 200
    return [alike, case(1, 1, n=1, dim=1, heads=1, width=1, width_v=1, out=1,
                        hard="all lengths 1"),
            case(n=5, dim=6, heads=2, width=4, width_v=7, out=9, size=0.5),
            case(n=4, dim=9, heads=3, width=2, width_v=5, out=11, size=0.5),
            case(3, n=5, dim=8, heads=2, width=6, width_v=9, out=7, size=0.4, hard="a batch"),
            case(2, 3, n=7, dim=4, heads=4, width=2, width_v=3, out=5, size=0.5,
                 hard="two leading axes"),
            case(n=5, dim=4, heads=1, width=3, width_v=6, out=7, size=0.5, hard="a single head"),
            case(n=1, dim=6, heads=3, width=4, width_v=5, out=8, hard="a single word")]


_ALL_HEADS = Exercise(
    id="6.2", kind="write", points=4, minutes=20, version=1,
    hints=(
        "Project first, split afterwards. Write the shape of every array beside its line.",
        "Splitting takes two steps: take each row apart, then bring the heads in front of the "
        "words. Merging is the same two steps backwards.",
        "There may be axes before the words: count from the end, as in "
        "`np.swapaxes(x, -2, -3)`.",
    ),
    cases=_all_heads_cases,
    spared={"empty": "a text without words has nothing to look at"},
    reference=_all_heads_reference,
    mistakes=switched(_all_heads, {
        "split-reshape": "You split by `reshape` alone. Number the entries of a small array and "
                         "look at what head 1 gets.",
        "merge-reshape": "You merged by `reshape` alone: a row of the result mixes words. "
                         "Which axis should stand next to the width?",
        "split-heads-last": "Your heads take every h-th column. The columns of one head stand "
                            "next to each other here.",
        "merge-heads-last": "In your merged rows the heads alternate. Each head's numbers should "
                            "stay together, as `w_out` expects.",
        "merge-crossed": "You exchanged the heads with the width before merging. "
                         "Which two axes have changed places in the split?",
        "first-axes": "Right without a batch. With one, the words are not the first axis: count "
                      "axes from the end.",
        "one-head": "You attended once, over the whole width. Where do the heads come in?",
        "split-before": "You split `x` before projecting it. Every head sees all features of its "
                        "words.",
        "whole-width": "You scaled by the root of the whole width. How wide is the query that a "
                       "head sees?",
        "model-width": "You scaled by the root of the width of `x`. How wide is the query that a "
                       "head sees?",
        "no-scale": "Your scores are not scaled. See equation (1.6).",
        "heads-attend": "Your heads attend to each other, at each word by itself: the weights are "
                        "(heads, heads). Which axis should stand next to the width?",
        "key-from-query": "Your keys are projected by the queries' matrix.",
        "value-from-key": "Your values are projected by the keys' matrix.",
        "weights-turned": "You turned the matrices round: `x @ w.T`. A Linear of torch keeps its "
                          "weight that way; the matrices here are meant for `x @ w`.",
        "mean-scores": "Your heads all use one mean of scores. Each has weights of its own.",
        "causal": "You hid the later words. Nothing here asks for a mask.",
        "axis": "The columns of your weights sum to one. Who shares out, the query or the key?",
        "heads-compete": "Your softmax runs over the heads. It should run over the keys, in each "
                         "head by itself.",
        "heads-reversed": "Your merged heads stand in the reverse order. `w_out` expects the first "
                          "one first.",
        "first-head": "All your heads found what the first one found.",
        "no-output": "You did not use `w_out`.",
    }, pairs=[("split-reshape", "merge-reshape"), ("split-heads-last", "merge-heads-last"),
              ("split-reshape", "whole-width"), ("merge-reshape", "whole-width"),
              ("split-reshape", "no-output"), ("merge-reshape", "no-output"),
              ("no-scale", "merge-reshape"), ("no-scale", "split-reshape"),
              ("split-heads-last", "merge-reshape"), ("split-reshape", "merge-heads-last"),
              ("whole-width", "no-output"), ("axis", "whole-width"), ("axis", "merge-reshape"),
              ("key-from-query", "whole-width"), ("causal", "whole-width"),
              ("axis", "no-scale"), ("split-heads-last", "whole-width"),
              ("split-before", "merge-reshape"), ("model-width", "merge-reshape"),
              ("model-width", "split-reshape"), ("heads-attend", "whole-width"),
              ("heads-attend", "model-width")], also=[("split-before", "blocks")]) + (Mistake(
                  "view-after-transpose",
                  "You merged by `view` after a transpose. A view cannot put numbers in another "
                  "order in memory: `reshape` can.", _all_heads_viewed),),
    forbidden=("attnlib.split_heads", "attnlib.merge_heads"),
    variants=(_all_heads_loops, _all_heads_einsum, _all_heads_torch),
)


# 6.3  Grouped, in the wrong groups

def _grouped(query, key, value, *, faults=frozenset()):
    heads, kv_heads = query.shape[-3], key.shape[-3]
    times = heads // kv_heads
    if "not-repeated" in faults:
        return attention(query, key, value)
    if "by-kv-heads" in faults:
        return attention(query, *(np.repeat(x, kv_heads, axis=-3) for x in (key, value)))
    if "queries-averaged" in faults:
        grouped = query.reshape(*query.shape[:-3], kv_heads, times, *query.shape[-2:])
        return attention(grouped.mean(-3), key, value)
    if "axis-zero" in faults:
        return attention(query, np.repeat(key, times, axis=0), np.repeat(value, times, axis=0))

    def serve(x, which):
        if {"tiled", f"{which}-tiled"} & faults:
            return np.concatenate([x] * times, axis=-3)
        if "first-alone" in faults:
            return np.broadcast_to(x[..., :1, :, :], (*x.shape[:-3], heads, *x.shape[-2:]))
        if "mean-of-all" in faults:
            x = np.broadcast_to(x.mean(-3, keepdims=True), x.shape)
        x = np.repeat(x, times, axis=-3)
        if "reversed" in faults:
            x = x[..., ::-1, :, :]
        ahead = -1 if "ahead" in faults else 1
        return np.roll(x, ahead, axis=-3) if "shifted" in faults else x

    key, value = serve(key, "key"), serve(value, "value")
    if "one-query" in faults:
        query = np.repeat(query[..., ::times, :, :], times, axis=-3)
    if "divided" in faults:
        value = value / times
    scale = 1.0 if "no-scale" in faults else None
    if "scale-of-values" in faults:
        scale = 1 / math.sqrt(value.shape[-1])
    found = attention(query, key, value, scale=scale)
    if "group-mean" in faults:
        found = found.reshape(*found.shape[:-3], kv_heads, times, *found.shape[-2:]).mean(-3)
        found = np.repeat(found, times, axis=-3) if "for-each" in faults else found
    return found


def _grouped_reference(query, key, value):
    times = query.shape[-3] // key.shape[-3]
    return attention(query, repeat_heads(key, times), repeat_heads(value, times))


def _grouped_loops(query, key, value):
    times = query.shape[-3] // key.shape[-3]
    found = [attention(query[..., h, :, :],
                       *(x[..., h // times, :, :] for x in (key, value)))
             for h in range(query.shape[-3])]
    return np.stack(found, axis=-3)


def _grouped_einsum(query, key, value):
    *leading, heads, n_q, d = query.shape
    query = query.reshape(*leading, key.shape[-3], -1, n_q, d)  # (..., kv_heads, times, n_q, d)
    scores = np.einsum("...gtid,...gjd->...gtij", query, key) / math.sqrt(d)
    found = np.einsum("...gtij,...gjv->...gtiv", softmax(scores), value)
    return found.reshape(*leading, heads, n_q, -1)


def _grouped_torch(query, key, value):
    import torch
    times = query.shape[-3] // key.shape[-3]
    key, value = (x.repeat_interleave(times, dim=-3) for x in (key, value))
    return torch.softmax(query @ key.mT / query.shape[-1] ** 0.5, dim=-1) @ value


def _grouped_cases(seed):
    rng = np.random.default_rng([seed, 63])

    def case(*leading, heads, kv_heads, n_q, n_k, d, d_v, hard=""):
        return Case((rng.normal(size=(*leading, heads, n_q, d)),
                     rng.normal(size=(*leading, kv_heads, n_k, d)),
                     rng.normal(size=(*leading, kv_heads, n_k, d_v))), hard=hard)

    alike = case(2, 2, heads=2, kv_heads=2, n_q=2, n_k=2, d=2, d_v=2, hard="all lengths alike")
    alike.args[0][..., 0, :], alike.args[1][..., 1, :] = 0, 1e-3 * rng.normal(size=2)
    alike.args[2][:] *= 200
    return [alike, case(1, 1, heads=1, kv_heads=1, n_q=1, n_k=1, d=1, d_v=1,
                        hard="all lengths 1"),
            case(heads=6, kv_heads=3, n_q=4, n_k=5, d=7, d_v=8),
            case(heads=8, kv_heads=2, n_q=3, n_k=7, d=5, d_v=6),
            case(2, heads=6, kv_heads=3, n_q=4, n_k=7, d=5, d_v=9, hard="a batch"),
            case(2, 3, heads=8, kv_heads=4, n_q=5, n_k=6, d=7, d_v=9, hard="two leading axes"),
            case(heads=4, kv_heads=1, n_q=3, n_k=5, d=6, d_v=7, hard="one key head for all"),
            case(heads=3, kv_heads=3, n_q=4, n_k=5, d=6, d_v=7, hard="nothing to share")]


_GROUPED = Exercise(
    id="6.3", kind="find the bug", points=3, minutes=10, version=1,
    hints=(
        "Take six query heads and three key heads, a b c. Write down which copy each query head "
        "gets in the code as it is.",
        "The notebook's section on fewer keys says who shares: neighbours.",
        "a a b b c c, counted along the axis of the heads. Numpy has a function of its own for "
        "this, beside `np.tile`.",
    ),
    cases=_grouped_cases,
    spared={"empty": "what attention over nothing gives is not the bug"},
    reference=_grouped_reference,
    mistakes=switched(_grouped, {
        "tiled": "The key heads still go round: a b c a b c. Neighbouring query heads should share "
                 "one.",
        "key-tiled": "Values are right now. The keys still go round.",
        "value-tiled": "Keys are right now. The values still go round.",
        "axis-zero": "You repeated along the first axis. With a batch, that is not the heads: "
                     "count axes from the end.",
        "first-alone": "All query heads use the first key head. What about the others?",
        "mean-of-all": "You averaged the key heads, so that all query heads see the same.",
        "reversed": "Your groups are right, but the first query heads got the last key head.",
        "shifted": "Your groups are one head off: the first group begins with query head 0.",
        "one-query": "Within a group all your queries are the same. Only keys and values are "
                     "shared.",
        "group-mean": "You averaged what a group found. Every query head keeps its own result.",
        "divided": "Your values are divided among the heads that share them. Each gets them whole.",
        "no-scale": "The scale is gone. It was not the bug.",
        "scale-of-values": "You scaled by the width of the values. The scale was not the bug.",
        "not-repeated": "Your key heads are not repeated: right only where there is one for all, "
                        "or one for each.",
        "by-kv-heads": "You repeated each key head as often as there are key heads. How many query "
                       "heads share one?",
        "queries-averaged": "You averaged the queries of a group, so that a result is left for "
                            "each key head. Every query head asks for itself.",
    }, pairs=[("tiled", "no-scale"), ("key-tiled", "no-scale"), ("value-tiled", "no-scale"),
              ("key-tiled", "divided"), ("reversed", "no-scale"), ("one-query", "no-scale"),
              ("group-mean", "no-scale"), ("tiled", "one-query"), ("tiled", "divided"),
              ("shifted", "no-scale"), ("tiled", "group-mean")],
       also=[("shifted", "ahead"), ("group-mean", "for-each")]),
    forbidden=("attnlib.repeat_heads",),
    variants=(_grouped_loops, _grouped_einsum, _grouped_torch),
)


# 6.4  Who said what

def _parts(found, w_out, *, faults=frozenset()):
    heads, _, width = found.shape[-3:]
    blocks = w_out.reshape(heads, width, -1)  # (heads, width, dim)
    if "alternating" in faults:
        blocks = np.swapaxes(w_out.reshape(width, heads, -1), 0, 1)
    if "first-rows" in faults:
        blocks = np.broadcast_to(blocks[:1], blocks.shape)
    if "reversed" in faults:
        blocks = blocks[::-1]
    if {"head-axis-zero", "by-rows"} <= faults:
        return np.stack([part @ w_out[at * width:(at + 1) * width]
                         for at, part in enumerate(found)])
    if "head-axis-zero" in faults:
        order = np.swapaxes(found.reshape(-1, heads, *found.shape[-2:]), 0, 1)
        found = order.reshape(found.shape)
    parts = found @ blocks  # (..., heads, n, dim)
    if "divided" in faults:
        parts = parts / heads
    if "running" in faults:
        parts = np.cumsum(parts, axis=-3)
    if "without" in faults:
        parts = parts.sum(-3, keepdims=True) - parts
    if "shares" in faults:
        parts = parts / parts.sum(-3, keepdims=True)
    if "whole-each" in faults:
        parts = parts.sum(-3, keepdims=True) + 0 * parts
    if "sum" in faults:
        return parts.sum(-3)
    if "sizes" in faults:
        return np.sqrt((parts ** 2).sum(-1))
    if "absolute" in faults:
        parts = np.abs(parts)
    return np.swapaxes(parts, -3, -2) if "words-first" in faults else parts


def _parts_reference(found, w_out):
    return _parts(found, w_out)


def _parts_loops(found, w_out):
    heads, _, width = found.shape[-3:]
    return np.stack([found[..., m, :, :] @ w_out[m * width:(m + 1) * width] for m in range(heads)],
                    axis=-3)


def _parts_silenced(found, w_out):
    """Silence all heads but one, and merge."""
    every = []
    for m in range(found.shape[-3]):
        alone = np.zeros_like(found)
        alone[..., m, :, :] = found[..., m, :, :]
        every.append(merge_heads(alone) @ w_out)
    return np.stack(every, axis=-3)


def _parts_einsum(found, w_out):
    return np.einsum("...hnw,hwd->...hnd", found,
                     w_out.reshape(found.shape[-3], found.shape[-1], -1))


def _parts_torch(found, w_out):
    return found @ w_out.unflatten(0, (found.shape[-3], -1))


def _parts_cases(seed):
    rng = np.random.default_rng([seed, 64])

    def case(*leading, heads, n, width, dim, hard=""):
        return Case((rng.normal(size=(*leading, heads, n, width)),
                     rng.normal(size=(heads * width, dim))), hard=hard)

    alike = case(2, 2, heads=2, n=2, width=2, dim=2, hard="all lengths alike")
    alike.args[0][..., 0, :], alike.args[0][0, 0, 0, 1] = 0, 1e-3 * rng.normal(size=2)
    alike.args[1][:] *= 200
    return [alike, case(4, 4, heads=2, n=4, width=2, dim=4, hard="lengths of 2 and 4"),
            case(1, 1, heads=1, n=1, width=1, dim=1, hard="all lengths 1"),
            case(heads=2, n=4, width=3, dim=7), case(heads=3, n=5, width=4, dim=8),
            case(5, heads=3, n=4, width=2, dim=7, hard="a batch"),
            case(5, 2, heads=4, n=3, width=6, dim=7, hard="two leading axes"),
            case(heads=1, n=3, width=5, dim=4, hard="a single head"),
            case(heads=4, n=3, width=1, dim=5, hard="heads of width 1")]


_PARTS = Exercise(
    id="6.4", kind="write", points=3, minutes=12, version=1,
    hints=(
        "The merged vector times `w_out` is a sum of products. Which rows of `w_out` meet the "
        "numbers of the first head?",
        "Head m meets `width` rows in a run. Cut `w_out` into such runs, one for each head.",
        "If the runs stand in an array `(heads, width, dim)`, one `@` does all heads at once.",
    ),
    cases=_parts_cases,
    spared={"empty": "without words or heads there is nothing to say who said"},
    reference=_parts_reference,
    mistakes=switched(_parts, {
        "alternating": "You gave each head every h-th row of `w_out`. In a merged vector the "
                       "numbers of a head stand next to each other.",
        "first-rows": "All your heads use the first rows of `w_out`. Each has rows of its own.",
        "reversed": "Your heads use each other's rows: the first has the last ones.",
        "head-axis-zero": "Right without a batch. With one, the heads are not the first axis: "
                          "count axes from the end.",
        "divided": "Your parts are divided by the number of heads. Their sum should be the output.",
        "running": "Your parts pile up: each holds those before it. The last one is the whole.",
        "without": "You returned what is left *without* each head.",
        "shares": "You returned quotients. The task asks for vectors that sum to the output.",
        "sum": "You returned the output itself. Which part of it comes from which head?",
        "whole-each": "You returned the whole output for every head. Which part is its own?",
        "sizes": "You returned lengths. The task asks for the vectors themselves.",
        "absolute": "Your parts have lost their signs. Parts may work against each other.",
        "words-first": "Right numbers, but the words stand before the heads. Look at the shape "
                       "that is asked.",
    }, pairs=[("alternating", "sum"), ("alternating", "words-first"), ("first-rows", "words-first"),
              ("without", "words-first"), ("first-rows", "sum"), ("divided", "words-first"),
              ("alternating", "divided"), ("first-rows", "divided"), ("alternating", "without"),
              ("alternating", "absolute"), ("divided", "sum"), ("alternating", "sizes"),
              ("reversed", "words-first"), ("running", "words-first"), ("divided", "without")],
       also=[("head-axis-zero", "by-rows")]),
    variants=(_parts_loops, _parts_silenced, _parts_einsum, _parts_torch),
)


# 6.5  More, fewer, the same

_COUNTS = {"a": "same", "b": "more", "c": "fewer", "d": "same", "e": "fewer", "f": "same"}


def _counted(*, faults=frozenset()):
    given = {"same": "more", "more": "same", "fewer": "same"}
    return {letter: given[word] if letter in faults else word for letter, word in _COUNTS.items()}


_COUNTED = Exercise(
    id="6.5", kind="predict", points=3, minutes=10, version=1,
    hints=(
        "For a to d, write the shapes of the four projections, of all scores, and of all keys, "
        "once with 4 heads and once with 8.",
        "For e and f, ask which of the matrices the query heads share, and which stay their own.",
    ),
    cases=lambda seed: [Case()],
    reference=_counted,
    mistakes=switched(_counted, {
        "a": "Case a: twice as many heads, but how wide is each?",
        "b": "Case b: each head scores every pair of words. How many heads are there?",
        "c": "Case c: the rank is limited by the width of a head. What happens to the width?",
        "d": "Case d: twice as many key heads, but how wide is each?",
        "e": "Case e: look at equation (6.5). Which of its factors changed?",
        "f": "Case f: in equation (6.2) a message passes two matrices. "
             "Which of the two do the heads still have for themselves?",
    }, pairs=[("a", "d"), ("a", "b"), ("b", "c"), ("c", "f"), ("d", "e"), ("e", "f"), ("a", "c"),
              ("b", "d"), ("a", "f"), ("b", "f"), ("d", "f"), ("c", "d")]),
    variants=(lambda: dict(a="same", b="more", c="fewer", d="same", e="fewer", f="same"),),
)


# 6.6  Two heads by hand

def _by_hand(keys, labels, *, faults=frozenset()):
    firm = 1.0 if "too-even" in faults else 40.0 * math.sqrt(keys)
    if "avoids" in faults:
        firm = -firm
    one, none = np.eye(keys), np.zeros((keys, keys))
    first, second = np.vstack((one, none)), np.vstack((none, one))  # (2 * keys, keys)
    heads = (second, first) if "exchanged" in faults else (first, second)
    if "one-ear" in faults:
        heads = first, first
    if "other-ear" in faults:
        heads = second, second
    if "deaf" in faults:
        heads = 0 * first, 0 * second
    if "both-ears" in faults:
        heads = first + second, first + second
    w_query, w_key = firm * np.hstack(heads), np.hstack((one, one))
    w_value = np.hstack((np.eye(labels), np.eye(labels)))
    w_out = np.eye(2 * labels)
    if "mixed" in faults:
        w_out = np.tile(np.eye(labels), (2, 2))
    if "halved" in faults:
        w_out = w_out / 2
    if "doubled" in faults:
        w_out = 2 * w_out
    if "first-label" in faults:
        w_out[:, labels:] = 0
    if "second-label" in faults:
        w_out[:, :labels] = 0
    return w_query, w_key, w_value, w_out


def _by_hand_firm_keys(keys, labels):
    """The firmness in the keys, the order of the heads turned round, and undone by W^O."""
    w_query, w_key, w_value, _ = _by_hand(keys, labels, faults={"exchanged", "too-even"})
    return (w_query, 300.0 * math.sqrt(keys) * w_key, 2 * w_value,
            np.roll(np.eye(2 * labels), labels, axis=1) / 2)


def _by_hand_lists(keys, labels):
    return [(w if i else 2 * w).tolist() for i, w in enumerate(_by_hand(keys, labels))]


def _by_hand_judge(cases, outcomes):
    for case, outcome in zip(cases, outcomes):
        keys, labels = case.args
        given = outcome.value
        if not isinstance(given, (tuple, list)) or len(given) != 4:
            return another_form("Return four matrices: `return w_query, w_key, w_value, w_out`.")
        matrices = [finite_array(w) for w in given]
        if any(w is None or w.ndim != 2 for w in matrices):
            return another_form("All four must be matrices of finite numbers.")
        w_query, w_key, w_value, w_out = matrices
        wanted = ((2 * keys, w_key.shape[1]), (keys, w_query.shape[1]), (labels, len(w_out)),
                  (w_value.shape[1], 2 * labels))
        if any(w.shape != shape or not all(shape) for w, shape in zip(matrices, wanted)) or (
                w_key.shape[1] % 2 or w_value.shape[1] % 2):
            return another_form(
                f"With {keys} keys and {labels} labels the shapes should be ({2 * keys}, 2 w), "
                f"({keys}, 2 w), ({labels}, 2 v) and (2 v, {2 * labels}), for some w and v.",
                "got " + ", ".join(str(w.shape) for w in matrices))
        fault = _by_hand_fault(keys, labels, *matrices)
        if fault is not None:  # a result is true only if it is a pass
            return fault
    return None


def _by_hand_fault(keys, labels, w_query, w_key, w_value, w_out):
    """What is wrong with the answers to 20 questions, as a `Result`; None if nothing is."""
    rng, fallen, answers = np.random.default_rng(keys), [], []
    for _ in range(20):
        key = rng.permutation(keys)[:max(2, keys // 2)]
        label = rng.integers(labels, size=len(key))
        one, two = rng.permutation(len(key))[:2]
        asked = np.concatenate((np.eye(keys)[key[one]], np.eye(keys)[key[two]]))[None]
        parts = (asked @ w_query, np.eye(keys)[key] @ w_key, np.eye(labels)[label] @ w_value)
        query, *items = (split_heads(x, 2) for x in parts)
        found, firmly = ((merge_heads(attention(times * query, *items)) @ w_out)[0]
                         for times in (1, 1e6))
        expected = np.concatenate((np.eye(labels)[label[one]], np.eye(labels)[label[two]]))
        if np.abs(found - expected).max() > 0.01:
            fallen.append(f"items (key, label): "
                          f"{', '.join(f'({k}, {v})' for k, v in zip(key, label))}\n"
                          f"asked for keys {key[one]} and {key[two]}\n"
                          f"expected {expected.astype(int)}\ngot      {found.round(2)}")
            answers.append((found, firmly, {"": expected} | _by_hand_wrongs(
                label[one], label[two], label, labels)))
    if not fallen:
        return None
    name = _by_hand_name(answers)
    if name:
        return Result("known_mistake", " ".join(_BY_HAND_SENTENCES[part]
                                                for part in name.split("+")), mistake=name)
    return broken_law("The answer to a question is not the first label followed by the second, to "
                      "within 0.01.", fallen[0])


def _by_hand_name(answers):
    """The mistake that answers all of these questions so; None if none does.

    Args:
        answers: for each question what was answered, what would have been with scores a million
            times as large, and ``{mistake: what it answers}``, the right answer under "".
    """
    for firm in (0, 1):
        for name in answers[0][2]:
            if all(np.abs(answer[firm] - answer[2][name]).max() < 0.01 for answer in answers):
                return "+".join(filter(None, ("too-even" * firm, name)))
    return None


def _by_hand_wrongs(one, two, label, labels):
    """What each mistake answers where its heads look firmly; one, two: the labels asked for."""
    first, second, every = np.eye(labels)[one], np.eye(labels)[two], np.eye(labels)[label]
    halves = {"exchanged": (second, first), "one-ear": (first, first),
              "other-ear": (second, second), "deaf": (every.mean(0),) * 2,
              "both-ears": ((first + second) / 2,) * 2, "mixed": (first + second,) * 2,
              "halved": (first / 2, second / 2), "doubled": (2 * first, 2 * second),
              "first-label": (first, 0 * second), "second-label": (0 * first, second),
              "avoids": [(every.sum(0) - asked) / (len(every) - 1) for asked in (first, second)]}
    return {name: np.concatenate(pair) for name, pair in halves.items()}


def _by_hand_cases(seed):
    rng = np.random.default_rng([seed, 66])
    sizes = [(int(rng.integers(low, 2 * low)), int(rng.integers(3, 12))) for low in (4, 7, 13)]
    return [*(Case(pair) for pair in sizes), Case((2, 5), hard="two keys only"),
            Case((24, int(rng.integers(12, 20))), hard="more labels than usual")]


_BY_HAND_SENTENCES = {
    "too-even": "Your heads look at the right items, but they are not firm. What makes a softmax "
                "sharper?",
    "avoids": "Your heads look at all items but the right one. Look at a sign.",
    "exchanged": "The right two labels, in the wrong order.",
    "one-ear": "Both of your heads look for the first key.",
    "other-ear": "Both of your heads look for the second key.",
    "deaf": "Your heads look at all items alike. What does a head hear of the question?",
    "both-ears": "Both halves of your output are the same mixture of the two labels. Does each "
                 "head look for one key, and is what they find kept apart?",
    "mixed": "Your output adds what the two heads found. It should keep them apart.",
    "halved": "Right labels, but what you give is half as large as it should be.",
    "doubled": "Right labels, but twice as large as they should be.",
    "first-label": "Your output holds the first label alone.",
    "second-label": "Your output holds the second label alone.",
}

_BY_HAND = Exercise(
    id="6.6", kind="open-ended", points=5, minutes=25, version=1,
    hints=(
        "One head should hear the first half of the query, the other the second. Which rows of "
        "`w_query` may then be other than 0, in the columns of each?",
        "With blocks of ones on the diagonal (`np.eye`) a head's score is 1 for the key that it "
        "looks for and 0 for all others. Is that firm enough for a softmax?",
        "Both heads may carry the same labels. It is `w_out` that puts what head 1 found before "
        "what head 2 found.",
    ),
    cases=_by_hand_cases,
    reference=None,
    mistakes=switched(_by_hand, _BY_HAND_SENTENCES, pairs=[
              ("too-even", "exchanged"), ("too-even", "mixed"), ("too-even", "one-ear"),
              ("too-even", "both-ears"), ("one-ear", "mixed"), ("exchanged", "halved"),
              ("too-even", "halved"), ("exchanged", "first-label"), ("both-ears", "mixed"),
              ("too-even", "first-label"), ("mixed", "halved")]),
    judge=_by_hand_judge,
    variants=(_by_hand, _by_hand_firm_keys, _by_hand_lists),
)

# 6.7  Taken out, three ways

def _taken(found, other, w_out, head, how, *, faults=frozenset()):
    heads = found.shape[1]
    own = head - 1 if "from-one" in faults else head
    found = found.copy()
    mean, donor = found.mean(0), other
    if "mean-of-other" in faults:
        mean = other.mean(0)
    if "one-number" in faults:
        mean = np.broadcast_to(found.mean((0, 2), keepdims=True)[0], mean.shape)
    if "mean-of-heads" in faults:
        mean = np.broadcast_to(found.mean(1).mean(0), mean.shape)
    if "own-mean" in faults:
        mean = found.mean(1, keepdims=True) + 0 * found
    if "mean-of-words" in faults:
        mean = found.mean(2, keepdims=True) + 0 * found
    if "mean-of-everything" in faults:
        mean = found.mean((0, 2, 3), keepdims=True)[0] + 0 * mean
    if "mean-of-others" in faults and heads > 1:
        mean = np.delete(found, own % heads, axis=1).mean(1, keepdims=True) + 0 * found
    if "zero-always" in faults:
        how = "zero"
    if "patch-mean" in faults:
        donor = np.broadcast_to(other.mean(0), other.shape)
    if "own-for-patch" in faults:
        donor = mean + 0 * found
    if "first-patch" in faults:
        donor = np.broadcast_to(other[0], other.shape)
    if "added" in faults:
        donor = found + other
    if "half" in faults:
        donor = (found + other) / 2
    if "first-axis" in faults:
        found[head] = {"zero": 0, "mean": found[head].mean(0), "patch": other[head]}[how]
        return merge_heads(found) @ w_out
    instead = {"zero": 0 * found, "mean": mean + 0 * found, "patch": donor}[how]
    chosen = np.arange(heads)[:, None, None] == own % heads
    if "all-but" in faults:
        chosen = ~chosen
    if "everything" in faults or ("all-patched" in faults and how == "patch"):
        chosen = chosen | True
    if "alone" in faults:
        chosen, instead = ~chosen, 0 * found
    whole = merge_heads(found) @ w_out
    found = np.where(chosen, instead, found)
    output = merge_heads(found) @ w_out
    if "difference" in faults:
        output = whole - output
    if "merge-reshape" in faults:
        output = found.reshape(*output.shape[:-1], -1) @ w_out
    if "scaled" in faults and how == "zero" and heads > 1:
        output = output * heads / (heads - 1)
    if "alternating" in faults:
        output = np.moveaxis(found, 1, -1).reshape(*output.shape[:-1], -1) @ w_out
    if {"no-output", "merged"} <= faults:
        return merge_heads(found)
    return found if "no-output" in faults else output


def _taken_reference(found, other, w_out, head, how):
    return _taken(found, other, w_out, head, how)


def _taken_parts(found, other, w_out, head, how):
    """Take the head's part of the output away, and put another in its place."""
    blocks = w_out.reshape(found.shape[1], found.shape[-1], -1)
    parts = found @ blocks  # (questions, heads, n, dim)
    instead = {"zero": 0 * parts[:, head], "mean": parts[:, head].mean(0, keepdims=True),
               "patch": other[:, head] @ blocks[head]}[how]
    return parts.sum(1) - parts[:, head] + instead


def _taken_loops(found, other, w_out, head, how):
    outputs = []
    for i in range(len(found)):
        heads = [x for x in found[i]]
        if how == "zero":
            heads[head] = np.zeros_like(heads[head])
        elif how == "mean":
            heads[head] = sum(found[j, head] for j in range(len(found))) / len(found)
        else:
            heads[head] = other[i, head]
        outputs.append(np.concatenate(heads, axis=-1) @ w_out)
    return np.stack(outputs)


def _taken_torch(found, other, w_out, head, how):
    found = found.clone()
    found[:, head] = {"zero": 0.0, "mean": found[:, head].mean(0), "patch": other[:, head]}[how]
    return found.transpose(1, 2).flatten(2) @ w_out


def _taken_cases(seed):
    rng = np.random.default_rng([seed, 67])

    def case(questions, heads, n, width, dim, head, how, hard=""):
        found, other = rng.normal(size=(2, questions, heads, n, width)) + 1.5
        return Case((found, other, rng.normal(size=(heads * width, dim)), head, how), hard=hard)

    alike = case(2, 2, 2, 2, 2, 1, "mean", hard="all lengths alike")
    alike.args[0][0, 0, 0] = 1e-3 * rng.normal(size=2)
    alike.args[2][:] *= 200
    return [alike, case(4, 2, 4, 2, 4, 0, "patch", hard="lengths of 2 and 4"),
            case(1, 1, 1, 1, 1, 0, "patch", hard="all lengths 1"),
            case(5, 3, 4, 1, 6, 2, "zero", hard="heads of width 1"),
            *(case(5, 3, 4, 2, 7, head, how)
              for head, how in ((1, "zero"), (1, "mean"), (1, "patch"), (2, "mean"))),
            case(2, 4, 3, 6, 5, 0, "patch", hard="the first head"),
            case(6, 4, 1, 3, 5, 3, "mean", hard="a single word"),
            case(1, 2, 3, 4, 5, 1, "mean", hard="a single question: its own mean"),
            case(4, 1, 3, 2, 5, 0, "zero", hard="the only head")]


_TAKEN = Exercise(
    id="6.7", kind="write", points=3, minutes=12, version=1,
    hints=(
        "Make a copy first. Then one head's numbers, `[:, head]`, are replaced by others.",
        "Which axis holds the questions? The mean runs over this one, and keeps words and width.",
        "Merge as in the chapter: the heads of one word stand side by side before `w_out`.",
    ),
    cases=_taken_cases,
    spared={"empty": "without questions there is no mean, without words nothing is found"},
    reference=_taken_reference,
    mistakes=switched(_taken, {
        "all-but": "You replaced every head but the one that is meant.",
        "everything": "You replaced all heads. The others should stay as they are.",
        "from-one": "You took the head before: `head` is counted from 0.",
        "mean-of-other": "Your mean is that of `other`. Which questions does the head answer here?",
        "one-number": "Your mean runs over the words too. Each word has a mean of its own.",
        "mean-of-heads": "Your mean runs over the heads. A head is replaced by its own mean, over "
                         "other questions.",
        "own-mean": "Your mean runs over the heads of one question. It should run over questions.",
        "mean-of-everything": "Your mean is one number for all that the head found. Each word and "
                              "each feature has its own, over the questions.",
        "mean-of-others": "Your mean is that of the other heads. A head is replaced by its own "
                          "mean, over the questions.",
        "zero-always": "You put zeros in the head's place, whatever `how` says.",
        "alone": "You kept the head that is meant and took all others away. It is the other way "
                 "round.",
        "difference": "You returned what the head makes out: the output with it less the output "
                      "without it. Asked for is the output without it.",
        "mean-of-words": "Your mean runs over the words of one question. It should run over the "
                         "questions, and keep the words apart.",
        "patch-mean": "You patched in the mean of `other`. Question i gets what head found for "
                      "question i of `other`.",
        "own-for-patch": "You patched in the head's own mean. Where does `other` come in?",
        "first-patch": "You patched in what was found for the first question of `other`, for all "
                       "questions.",
        "all-patched": "You patched all heads. The others should stay as they are.",
        "half": "You patched in the mean of found and `other`. What `other` found stands in place "
                "of the head's own, whole.",
        "first-axis": "You replaced a question, not a head. Which axis holds the heads?",
        "added": "You added what `other` found. It should stand in place of the head's own.",
        "alternating": "Your merged heads alternate. The numbers of a head stand next to each "
                       "other.",
        "merge-reshape": "You merged by `reshape` alone: a row of the result mixes words.",
        "scaled": "You made the other heads louder for the one that is missing. They stay as they "
                  "are.",
        "no-output": "You did not use `w_out`.",
    }, pairs=[("all-but", "mean-of-other"), ("all-but", "patch-mean"), ("all-but", "alternating"),
              ("from-one", "patch-mean"), ("from-one", "mean-of-other"),
              ("from-one", "alternating"), ("one-number", "patch-mean"),
              ("mean-of-other", "patch-mean"), ("one-number", "alternating"),
              ("everything", "patch-mean")], also=[("no-output", "merged")]),
    forbidden=(),
    variants=(_taken_parts, _taken_loops, _taken_torch),
)


# 6.8  Words ask patches

def _asks(words, patches, w_query, w_key, w_value, w_out, heads, seen, *, faults=frozenset()):
    if "one-head" in faults:
        heads = 1
    if "zeroed" in faults:
        patches, seen = patches * seen[..., None], seen | True

    def apart(x):
        if "split-reshape" in faults:
            return x.reshape(*x.shape[:-2], heads, x.shape[-2], -1)
        if "split-heads-last" in faults:
            return np.moveaxis(x.reshape(*x.shape[:-1], -1, heads), -1, -3)
        return split_heads(x, heads)

    query, key, value = apart(words @ w_query), apart(patches @ w_key), apart(patches @ w_value)
    if "inverted" in faults:
        seen = ~seen
    if "first-picture" in faults:
        seen = np.broadcast_to(seen[(0,) * (seen.ndim - 1)], seen.shape)
    visible = np.broadcast_to(seen[..., None, None, :], (*query.shape[:-1], key.shape[-2]))
    if "causal" in faults:
        visible = visible & causal_mask(query.shape[-2], key.shape[-2])
    scale = 1 / math.sqrt(query.shape[-1])
    if "whole-width" in faults:
        scale = 1 / math.sqrt(w_query.shape[1])
    if "model-width" in faults:
        scale = 1 / math.sqrt(words.shape[-1])
    if "no-scale" in faults:
        scale = 1.0
    scores = scale * query @ np.swapaxes(key, -1, -2)  # (..., heads, n_q, n_k)
    if "times-mask" in faults:
        weights = softmax(scores * visible)
    elif "mask-after" in faults:
        weights = softmax(scores) * visible
    elif "ignored" in faults:
        weights = softmax(scores)
    elif "big-negative" in faults:
        weights = softmax(np.where(visible, scores, -1e9))
    else:
        weights = softmax(np.where(visible, scores, -np.inf), axis=-1)
    if "over-words" in faults:
        weights = softmax(np.where(visible, scores, -np.inf), axis=-2)
    if "mean-weights" in faults:
        weights = np.broadcast_to(weights.mean(-3, keepdims=True), weights.shape)
    if "nan-rows" in faults:
        weights = np.where(visible.any(-1, keepdims=True), weights, np.nan)
    found = weights @ value
    if "merge-reshape" in faults:
        found = found.reshape(*found.shape[:-3], found.shape[-2], -1)
    else:
        found = merge_heads(found)
    return found if "no-output" in faults else found @ w_out


def _asks_reference(words, patches, w_query, w_key, w_value, w_out, heads, seen):
    query, key, value = (split_heads(x @ w, heads) for x, w in (
        (words, w_query), (patches, w_key), (patches, w_value)))
    found = attention(query, key, value, mask=seen[..., None, None, :])
    return merge_heads(found) @ w_out


def _asks_loops(words, patches, w_query, w_key, w_value, w_out, heads, seen):
    output = 0
    for m in range(heads):
        query, key, value = (np.split(w, heads, axis=1)[m] for w in (w_query, w_key, w_value))
        found = attention(words @ query, patches @ key, patches @ value, mask=seen[..., None, :])
        output = output + found @ np.split(w_out, heads)[m]
    return output


def _asks_torch(words, patches, w_query, w_key, w_value, w_out, heads, seen):
    query, key, value = ((x @ w).unflatten(-1, (heads, -1)).transpose(-2, -3) for x, w in (
        (words, w_query), (patches, w_key), (patches, w_value)))
    scores = (query @ key.mT / query.shape[-1] ** 0.5).masked_fill(
        ~seen[..., None, None, :], float("-inf"))
    weights = scores.softmax(-1).nan_to_num(0.0)
    return (weights @ value).transpose(-2, -3).flatten(-2) @ w_out


def _asks_cases(seed):
    rng = np.random.default_rng([seed, 68])

    def case(*leading, n_q, n_k, d, d_image, heads, width, width_v, out, size=0.5, hard=""):
        seen = rng.random((*leading, n_k)) < 0.6
        seen[..., 1:2], seen[..., 0] = False, True
        if hard == "a picture of which nothing may be seen":
            seen[0] = False
        matrices = [rng.normal(size=shape) for shape in (
            (d, heads * width), (d_image, heads * width), (d_image, heads * width_v),
            (heads * width_v, out))]
        return Case((size * rng.normal(size=(*leading, n_q, d)),
                     size * rng.normal(size=(*leading, n_k, d_image)), *matrices, heads, seen),
                    hard=hard)

    alike = case(2, n_q=2, n_k=2, d=2, d_image=2, heads=2, width=1, width_v=1, out=2,
                 hard="all lengths alike")
    alike.args[0][0, 0] = 1e-3 * rng.normal(size=2)
    alike.args[4][:] *= 200
    return [alike, case(1, n_q=1, n_k=1, d=1, d_image=1, heads=1, width=1, width_v=1, out=1,
                        hard="all lengths 1"),
            case(n_q=3, n_k=5, d=6, d_image=7, heads=2, width=4, width_v=8, out=9),
            case(n_q=4, n_k=7, d=5, d_image=6, heads=3, width=2, width_v=8, out=10),
            case(2, n_q=4, n_k=6, d=5, d_image=7, heads=3, width=8, width_v=9, out=10,
                 hard="a batch"),
            case(3, n_q=2, n_k=7, d=6, d_image=5, heads=4, width=8, width_v=9, out=10,
                 hard="a picture of which nothing may be seen"),
            case(n_q=1, n_k=4, d=5, d_image=6, heads=2, width=3, width_v=7, out=8,
                 hard="a single word"),
            case(n_q=3, n_k=6, d=5, d_image=7, heads=1, width=4, width_v=8, out=9,
                 hard="a single head")]


_ASKS = Exercise(
    id="6.8", kind="write", points=4, minutes=15, version=1,
    hints=(
        "Who asks? The words are projected to queries. Keys and values both come from the patches.",
        "The mask has no axis of heads and none of words. Where do they belong, counted from the "
        "end?",
        "In attnlib's `mask`, True means that a key may be looked at, and a row without any gets "
        "an output of 0.",
    ),
    cases=_asks_cases,
    spared={"empty": "a picture of which nothing may be seen is there"},
    reference=_asks_reference,
    mistakes=switched(_asks, {
        "inverted": "Your mask is turned round: True means that a patch may be looked at.",
        "ignored": "You did not use `seen`.",
        "first-picture": "You used the first picture's mask for all pictures.",
        "mask-after": "You masked after the softmax: the weights no longer sum to one.",
        "times-mask": "You multiplied the scores by the mask. A score of 0 still gets a weight.",
        "big-negative": "Right as long as something may be seen. Where nothing may be seen, your "
                        "weights "
                        "are shared among what is hidden; the output should be 0.",
        "nan-rows": "Right as long as something may be seen. Where nothing may, you divide 0 by 0; "
                    "the output should be 0.",
        "zeroed": "You made hidden patches 0. A patch of zeros has a score, and takes a share.",
        "causal": "You hid patches from the earlier words. A picture has no future.",
        "over-words": "Your softmax runs over the words. Each word has one whole to share out.",
        "split-reshape": "You split by `reshape` alone. Take each row apart first, then bring the "
                         "heads to the front.",
        "split-heads-last": "Your heads take every h-th column. The columns of one head stand next "
                            "to each other.",
        "merge-reshape": "You merged by `reshape` alone: a row of the result mixes words.",
        "mean-weights": "Your heads all use the mean of their weights. Each has its own.",
        "whole-width": "You scaled by the root of the whole width. How wide is one head's query?",
        "model-width": "You scaled by the root of the width of the words. How wide is one head's "
                       "query?",
        "one-head": "You attended once, over the whole width. Where do the heads come in?",
        "no-scale": "Your scores are not scaled. See equation (1.6).",
        "no-output": "You did not use `w_out`.",
    }, pairs=[("ignored", "no-output"), ("inverted", "no-output"), ("whole-width", "no-output"),
              ("whole-width", "merge-reshape"), ("inverted", "merge-reshape"),
              ("whole-width", "inverted"), ("ignored", "whole-width"),
              ("ignored", "merge-reshape"), ("mask-after", "whole-width"),
              ("split-reshape", "merge-reshape"), ("big-negative", "whole-width"),
              ("big-negative", "merge-reshape")]),
    variants=(_asks_loops, _asks_torch),
)


# 6.9  Make it flip

_TRAINED = {  # (heads, width of each): effective keys of 12, mean of 5 trained models
    (1, 4): 3.27, (2, 4): 3.27, (4, 4): 3.06,
    (1, 8): 1.86, (2, 8): 1.94, (4, 8): 2.03,
    (1, 16): 1.26, (2, 16): 1.39, (4, 16): 1.69,
    (1, 32): 1.11, (2, 32): 1.29, (4, 32): 1.63,
}


def _flipping(*, faults=frozenset()):
    flip, number, width = ((1, 4), (4, 32)), ((1, 8), (4, 8)), ((2, 8), (2, 32))
    if "same-total" in faults:
        number = (1, 32), (4, 8)
    if "chapter" in faults:
        flip = (1, 32), (4, 8)
    if "fewer" in faults:
        flip = (4, 8), (1, 32)
    if "number-in-width" in faults:
        width = (1, 32), (4, 8)
    if "swapped" in faults:
        number, width = width, number
    if "strings" in faults:
        number = tuple(str(pair) for pair in number)
    return {"flip": flip, "number": number, "width": width}


def _flipping_others():
    return {"flip": [[2, 4], [4, 16]], "number": [[2, 8], [4, 8]], "width": [[1, 32], [1, 4]]}


def _flipping_arrays():
    return {"width": np.array([[4, 8], [4, 32]]), "number": np.array([[4, 8], [2, 8]]),
            "flip": np.array([[1, 8], [2, 32]])}


def _flipping_judge(cases, outcomes):
    sentences = {m.name: m.sentence for m in _FLIP.mistakes}
    given = outcomes[0].value
    names = ("flip", "number", "width")
    if not isinstance(given, dict) or sorted(given) != sorted(names):
        return another_form('Return a dict with the keys "flip", "number" and "width".')
    pairs = {}
    for name in names:
        pair = finite_array(given[name])
        if pair is None or pair.shape != (2, 2) or any(
                tuple(model) not in _TRAINED for model in pair):
            return another_form(f'"{name}" is two pairs (heads, width of each), with 1, 2 or 4 '
                                "heads and width 4, 8, 16 or 32.", f"got {given[name]!r}")
        pairs[name] = [tuple(map(int, model)) for model in pair]
    shown = "\n".join(
        f"{name:7}" + "   ".join(f"{h} head{'s' * (h > 1)} of width {w}: {_TRAINED[h, w]:.2f} "
                                 "effective keys" for h, w in pair)
        for name, pair in pairs.items())

    def known(name):
        return Result("known_mistake", sentences[name], shown, mistake=name)

    (one_h, one_w), (more_h, more_w) = pairs["flip"]
    if one_h >= more_h:
        return known("fewer")
    if one_h * one_w == more_h * more_w:
        return known("chapter")
    number, width = pairs["number"], pairs["width"]
    if number[0][0] == number[1][0] and width[0][1] == width[1][1]:
        return known("swapped")
    if number[0][1] != number[1][1] or number[0][0] == number[1][0]:
        return known("same-total")
    if width[0][0] != width[1][0] or width[0][1] == width[1][1]:
        return known("number-in-width")
    if _TRAINED[more_h, more_w] > _TRAINED[one_h, one_w] - 0.25:
        return broken_law('In your "flip" the model with more heads is not clearly less spread. '
                          "What makes a head sharp on look-alikes?", shown, name="no flip")
    far = {name: abs(_TRAINED[a] - _TRAINED[b]) for name, (a, b) in pairs.items()}
    if far["width"] < 2 * far["number"]:
        return broken_law('Your comparisons do not tell the effects apart: "width" differs at '
                          'least twice as much as "number" where they do.', shown,
                          name="effects not told apart")
    return None


_FLIP = Exercise(
    id="6.9", kind="open-ended", points=4, minutes=15, version=1,
    hints=(
        "The chapter compared models of the same total width. Which two things differ between 1 "
        "head of width 32 and 4 heads of width 8?",
        "A controlled comparison changes one thing. For the flip, give the many heads what the "
        "single one lacks.",
    ),
    cases=lambda seed: [Case()],
    reference=None,
    mistakes=switched(_flipping, {
        "same-total": 'In your "number" the width changes too, or the number does not. Change '
                      "the number of heads alone.",
        "chapter": 'Your "flip" keeps the total width, as the chapter did: the more heads, the '
                   "narrower. Nothing turns round.",
        "fewer": 'In your "flip" the second model should have more heads than the first.',
        "number-in-width": 'In your "width" the number of heads changes too, or the width does '
                           "not. Change the width of a head alone.",
        "swapped": '"number" and "width" have changed places: "number" is where the number '
                   "of heads differs.",
    }),
    judge=_flipping_judge,
    variants=(_flipping, _flipping_others, _flipping_arrays),
)


EXERCISES = (_SIZES, _ALL_HEADS, _GROUPED, _PARTS, _COUNTED, _BY_HAND, _TAKEN, _ASKS, _FLIP)
