"""Chapter 8, "Multi-level and chunked attention": its exercises, and what people answer."""

import functools
import math

import numpy as np

from ..attention import attention, partial_attention, softmax
from ..diagnostics import reachable
from ..masks import causal_mask
from .core import (
    READY_MADE,
    Case,
    Exercise,
    Mistake,
    Result,
    another_form,
    broken_law,
    finite_array,
    flipped,
    switched,
)

# 8.1  The bill on paper

def _bill(*, faults=frozenset()):
    n, d, k, window = 1000, 100, 5, 100
    scores_and_mix = 1 if "no-mixing" in faults else 2
    recurrent = 1 if "no-input" in faults else 2
    seen = 0 if "n-over-k" in faults else 1  # a layer of k reaches k - 1 words back
    rounded = math.floor if "rounded-down" in faults else math.ceil
    attention_cost = scores_and_mix * n * n * d
    if "projections" in faults:
        attention_cost += (4 if "behind-the-heads" in faults else 3) * n * d * d
    if "width-squared" in faults:
        attention_cost = 2 * n * n * d * d
    steps = n if "n-over-k" in faults else n - 1
    return {
        "attention": attention_cost,
        "recurrence": recurrent * n * (d if "width-once" in faults else d * d),
        "convolution": (1 if "no-kernel" in faults else k) * n * d * (
            1 if "convolution-once" in faults else d),
        "equal": recurrent * d // scores_and_mix if scores_and_mix == 2 else recurrent * d,
        "layers": rounded(steps / ((k - 1) / 2 if "both-sides" in faults else k - seen)),
        "windows": rounded(steps / (window - seen)),
    }


_BILL = Exercise(
    id="8.1", kind="by hand", points=2, minutes=10, version=1,
    hints=(
        "A product of matrices of shapes (a, b) and (b, c) takes a times b times c "
        "multiplications. Write down the shapes of each product first.",
        "Attention makes two products, one for the scores and one for the outputs. A step of the "
        "recurrence makes two as well.",
        "For the layers, ask how many words further back one layer lets you see. The word itself "
        "is one of those it sees.",
    ),
    cases=lambda seed: [Case()],
    reference=_bill,
    mistakes=switched(_bill, {
        "no-mixing": "You counted the scores. The weights are then multiplied by the values.",
        "no-input": "You counted one product per step of the recurrence. The state and the word "
                    "have a matrix each.",
        "projections": "You counted the projections too. The exercise leaves them aside.",
        "width-squared": "Your attention has the width squared. What are the shapes of queries "
                         "and keys?",
        "width-once": "A state of 100 numbers meets a matrix in your recurrence. "
                      "How many numbers has the matrix?",
        "no-kernel": "Your convolution costs as much as one matrix. How many words does it "
                     "look at?",
        "convolution-once": "Your convolution multiplies by the width once. Each word it looks at "
                            "meets a matrix.",
        "both-sides": "Your `layers` let a layer see as far ahead as back. Here all words that it "
                      "sees lie behind, but for its own.",
        "n-over-k": "You divided the length by what a layer sees. How far *back* does it see?",
        "rounded-down": "With so few layers, the first word is just out of sight.",
    }, pairs=[("no-mixing", "no-input"), ("no-mixing", "n-over-k"), ("no-input", "n-over-k"),
              ("no-kernel", "n-over-k"), ("no-mixing", "no-kernel"), ("no-input", "no-kernel"),
              ("projections", "n-over-k"), ("no-mixing", "rounded-down"),
              ("no-input", "rounded-down"), ("width-squared", "n-over-k"),
              ("projections", "rounded-down")],
    also=[("projections", "behind-the-heads")]),
    variants=(
        lambda: {"attention": 2e8, "recurrence": 2e7, "convolution": 5e7, "equal": 100.0,
                 "layers": 250, "windows": 11},
        lambda: dict(windows=-(-999 // 99), layers=-(-999 // 4), equal=100,
                     convolution=5 * 1000 * 100 ** 2, recurrence=2 * 1000 * 100 ** 2,
                     attention=2 * 1000 ** 2 * 100),
    ),
)


# 8.2  A window with gaps

def _gaps(n_q, n_k, window, dilation, *, faults=frozenset()):
    start = 0 if "top-left" in faults else n_k - n_q
    steps = np.arange(n_q)[:, None] + start - np.arange(n_k)  # (n_q, n_k)
    if "both-sides" in faults:
        steps = np.abs(steps)
    if "gap-too-wide" in faults:
        dilation = dilation + 1
    if "exchanged" in faults:
        window, dilation = dilation, window
    reach = (window if "reach-for-count" in faults
             else window * dilation + 1 if "too-wide" in faults
             else (window - 1) * dilation if "too-narrow" in faults else window * dilation)
    on_grid = (np.arange(n_k) % dilation == 0 if "fixed-columns" in faults
               else steps % dilation == 0)
    if "no-gaps" in faults:
        on_grid = True
    seen = (steps >= (1 if "not-itself" in faults else 0)) & (steps < reach) & on_grid
    if "drop" in faults:
        seen = ~seen
    return seen.T if "transposed" in faults else seen


def _gaps_reference(n_q, n_k, window, dilation):
    return _gaps(n_q, n_k, window, dilation)


def _gaps_loops(n_q, n_k, window, dilation):
    seen = np.zeros((n_q, n_k), dtype=bool)
    for i in range(n_q):
        for step in range(window):
            j = n_k - n_q + i - step * dilation
            if 0 <= j < n_k:
                seen[i, j] = True
    return seen


def _gaps_torch(n_q, n_k, window, dilation):
    import torch
    steps = torch.arange(n_k - n_q, n_k)[:, None] - torch.arange(n_k)
    return torch.isin(steps, dilation * torch.arange(window))


def _gaps_cases(seed):
    rng = np.random.default_rng([seed, 82])
    few, some, many = (int(rng.integers(low, low + 5)) for low in (8, 16, 26))
    return [Case((some, many, 3, 2)), Case((many, many + 1, 4, 3)),
            Case((few, some, 2, int(rng.integers(4, 7)))), Case((some, some, 5, 2)),
            Case((1, many, 4, 3), hard="a single query, as with a cache"),
            Case((few, many, 3, 1), hard="no gaps"),
            Case((many, few, 3, 2), hard="more queries than keys")]


_GAPS = Exercise(
    id="8.2", kind="write", points=3, minutes=12, version=1,
    hints=(
        "Work with the distance from query to key, a matrix. Three things must be true of it: "
        "which?",
        "The last query stands at the last key. `%` gives the rest of a division.",
        "With window 3 and dilation 2 the distances seen are 0, 2 and 4. Which is the smallest "
        "that is too far?",
    ),
    cases=_gaps_cases,
    spared={"zeros": "a window of 0 keys is none, a dilation of 0 goes nowhere"},
    reference=_gaps_reference,
    mistakes=switched(_gaps, {
        "top-left": "With fewer queries than keys, your first query stands at place 0. Where "
                    "should the last one stand?",
        "both-sides": "Your queries see keys after their own place.",
        "exchanged": "Window and dilation have changed places.",
        "gap-too-wide": "Your keys stand too far apart. With dilation 1 there should be no gap.",
        "reach-for-count": "Your window counts places. It should count the keys that are seen.",
        "too-wide": "Your queries see one key too many. Which one is it?",
        "too-narrow": "Your queries see one key too few. Count those of the last query.",
        "fixed-columns": "Your queries all look at the same columns. The gaps are counted from "
                         "each query's own place.",
        "no-gaps": "Your window has no gaps. Where is the dilation in your mask?",
        "not-itself": "Your queries do not see their own place, the distance 0.",
        "drop": "True means may attend. Your mask says the opposite.",
        "transposed": "Rows and columns are exchanged: a row belongs to a query.",
    }, pairs=[("top-left", "too-wide"), ("top-left", "both-sides"), ("top-left", "too-narrow"),
              ("top-left", "fixed-columns"), ("top-left", "reach-for-count"),
              ("top-left", "gap-too-wide"), ("both-sides", "too-wide"),
              ("not-itself", "too-wide"), ("not-itself", "top-left"), ("drop", "top-left"),
              ("fixed-columns", "reach-for-count"), ("top-left", "no-gaps"),
              ("both-sides", "reach-for-count"), ("drop", "too-wide"),
              ("transposed", "top-left")]),
    variants=(_gaps_loops, _gaps_torch),
)


# 8.3  In pieces

def _pieces(query, key, value, chunk, *, faults=frozenset()):
    n, scale = len(key), 1 if "no-scale" in faults else 1 / math.sqrt(query.shape[-1])
    if "width-of-values" in faults:
        scale = 1 / math.sqrt(value.shape[-1])
    top = np.full((len(query), 1), 0.0 if "top-from-zero" in faults else -math.inf)
    total, output = np.zeros((len(query), 1)), np.zeros((len(query), value.shape[1]))
    starts = list(range(0, n // chunk * chunk if "tail-dropped" in faults else n, chunk))
    averaged = np.zeros_like(output)
    for start in starts:
        stop = start + chunk + (1 if "overlap" in faults else 0)
        scores = query @ key[start:stop].T * scale  # (n_q, chunk)
        here = scores.max(-1, keepdims=True)
        if "one-top-for-all" in faults:
            here = np.full_like(here, scores.max())
        new = np.maximum(top, here)
        if "no-top" in faults:
            new = np.zeros_like(top)
            top = new
        shrink, part = np.exp(top - new), np.exp(scores - new)
        if "inverted" in faults:
            shrink = np.where(np.isfinite(top), np.exp(np.where(np.isfinite(top), new - top, 0)), 0)
        averaged += part / part.sum(-1, keepdims=True) @ value[start:stop] / len(starts)
        kept_output = 1 if "output-not-shrunk" in faults else shrink
        kept_total = 1 if "total-not-shrunk" in faults else shrink
        output = kept_output * output + part @ value[start:stop]
        total = kept_total * total + part.sum(-1, keepdims=True)
        top = new
    if "added" in faults:
        return averaged * len(starts)
    if "averaged" in faults:
        return averaged
    return output if "undivided" in faults else output / total


def _pieces_loops(query, key, value, chunk):
    """Query by query, and in a chunk key by key."""
    query, key, value = map(np.asarray, (query, key, value))
    rows = []
    for q in query:
        top, total, output = -math.inf, 0.0, 0.0
        for start in range(0, len(key), chunk):
            scores = [float(score) / math.sqrt(len(q)) for score in key[start:start + chunk] @ q]
            new = max(top, *scores)
            parts = [math.exp(score - new) for score in scores]
            shrink, total = math.exp(top - new), math.exp(top - new) * total + sum(parts)
            output = shrink * output + sum(
                part * v for part, v in zip(parts, value[start:start + chunk]))
            top = new
        rows.append(output / total)
    return np.array(rows)


def _pieces_by_lse(query, key, value, chunk):
    """Each chunk's own softmax, then the parts weighed by their sums of exponentials."""
    parts, sums = [], []
    for start in range(0, len(key), chunk):
        scores = query @ key[start:start + chunk].T / math.sqrt(query.shape[-1])
        top = scores.max(-1, keepdims=True)
        sums.append(top + np.log(np.exp(scores - top).sum(-1, keepdims=True)))
        parts.append(softmax(scores) @ value[start:start + chunk])
    shares = softmax(np.concatenate(sums, axis=-1))  # (n_q, chunks)
    return np.einsum("qc,cqd->qd", shares, np.stack(parts))


def _pieces_torch(query, key, value, chunk):
    import torch
    parts, sums = [], []
    for k, v in zip(key.split(chunk), value.split(chunk)):
        scores = query @ k.mT / query.shape[-1] ** 0.5
        parts.append(torch.softmax(scores, dim=-1) @ v)
        sums.append(torch.logsumexp(scores, dim=-1))
    shares = torch.softmax(torch.stack(sums), dim=0)  # (chunks, n_q)
    return torch.einsum("cq,cqd->qd", shares, torch.stack(parts))


def _pieces_cases(seed):
    rng = np.random.default_rng([seed, 83])

    def case(n_q, n_k, chunk, size=1.5, order=None, below=False, d=6, d_v=3, hard="", room=0):
        query, key = rng.normal(size=(n_q, d)) * size, rng.normal(size=(n_k, d)) * size
        if below:  # every score far below 0
            query, key = np.abs(query) + size, -np.abs(key) - size
        if order:  # the best keys first, or last
            key = key[np.argsort(key @ query.mean(0))[::order]]
        return Case((query, key, rng.normal(size=(n_k, d_v)), chunk), hard=hard, room=room)

    alike = case(4, 4, 3, d=4, d_v=4, hard="all lengths alike")
    alike.args[0][0], alike.args[1][1] = 0, 1e-3 * rng.normal(size=4)
    return [alike, case(1, 1, 1, d=1, d_v=1, hard="all lengths 1"),
            case(4, 12, 5), case(7, 15, 4, order=1), case(5, 16, 8, order=-1), case(2, 9, 1),
            case(4, 11, 5, size=40, hard="scores in the thousands"),
            case(5, 13, 4, size=40, order=-1, hard="scores in the thousands, falling"),
            case(5, 14, 4, size=30, below=True, hard="scores far below 0"),
            case(4, 7, 20, hard="a chunk longer than the text"),
            case(1, 10, 3, hard="a single query"),
            case(60, 1000, 50, room=60 * 1000 * 4 - 1, hard="a long text")]  # all, in float32


_PIECES = Exercise(
    id="8.3", kind="write", points=4, minutes=20, version=1,
    hints=(
        "Keep three things per query while you go over the chunks: the largest score so far, the "
        "sum of exponentials, and the weighted sum of values.",
        "When a chunk brings a larger score, what you have was measured against the old one. "
        "By which factor is it too large now?",
        "Both the sum and the weighted values shrink by that factor. Divide once, at the end.",
    ),
    cases=_pieces_cases,
    spared={"empty": "what attention over nothing gives is the next exercise's question"},
    reference=_pieces,
    mistakes=switched(_pieces, {
        "no-scale": "Your scores are not scaled: see equation (1.6).",
        "width-of-values": "You scaled by the width of the values. Which vectors are multiplied?",
        "top-from-zero": "Your largest score so far begins at 0. What if all scores are far "
                         "below that?",
        "no-top": "Right for small scores. Look at what `exp` makes of 1000.",
        "tail-dropped": "You left out what remains when the chunk does not divide the length.",
        "overlap": "Your chunks overlap by one key, which then counts twice.",
        "one-top-for-all": "You took one largest score for all queries. In another row it may lie "
                           "far above everything.",
        "inverted": "What you have grows when a larger score arrives. It should shrink.",
        "output-not-shrunk": "The sum shrinks when a larger score arrives, the weighted values "
                             "do not.",
        "total-not-shrunk": "The weighted values shrink when a larger score arrives, the sum "
                            "does not.",
        "averaged": "You averaged the outputs of the chunks. A chunk with large scores should "
                    "count for more.",
        "added": "You added the outputs of the chunks. Then all the weights of a query sum to the "
                 "number of chunks.",
        "undivided": "Your weights do not sum to one: the last division is missing.",
    }, pairs=[("no-scale", "tail-dropped"), ("no-scale", "averaged"),
              ("no-scale", "output-not-shrunk"), ("no-scale", "total-not-shrunk"),
              ("tail-dropped", "averaged"),
              ("no-scale", "added"), ("tail-dropped", "added"), ("tail-dropped", "undivided"),
              ("tail-dropped", "output-not-shrunk"), ("tail-dropped", "total-not-shrunk"),
              ("no-scale", "undivided"), ("overlap", "averaged"),
              ("output-not-shrunk", "total-not-shrunk"), ("inverted", "tail-dropped"),
              ("overlap", "no-scale"), ("no-scale", "inverted")]),
    forbidden=READY_MADE,
    variants=(_pieces_loops, _pieces_by_lse, _pieces_torch),
)


# 8.4  Nothing to see in the first chunk

def _hidden(query, key, value, mask, chunk, *, faults=frozenset()):
    scale = 1 / math.sqrt(query.shape[-1])
    fill = (-1e9 if {"big-number", "big-number-cleared"} & faults else
            -1e3 if "not-so-big" in faults else -math.inf)
    top = np.full((len(query), 1), 0.0 if "top-from-zero" in faults else -math.inf)
    total, output = np.zeros((len(query), 1)), np.zeros((len(query), value.shape[1]))
    with np.errstate(invalid="ignore", divide="ignore"):
        for start in range(0, len(key), chunk):
            part_of = slice(start, start + chunk)
            seen = mask[:, part_of]
            if "skips-hidden-chunks" in faults and not seen.any():
                continue
            if "skips-half-hidden" in faults and not seen.any(-1).all():
                continue
            scores = query @ key[part_of].T * scale
            if "unmasked" not in faults:
                scores = np.where(~seen if "inverted" in faults else seen, scores, fill)
            new = np.maximum(top, scores.max(-1, keepdims=True))
            shrink, part = np.exp(top - new), np.exp(scores - new)
            if {"skips-hidden-chunks", "patched-at-the-end", "big-number", "not-so-big",
                    "big-number-cleared", "unmasked", "as-it-was"}.isdisjoint(faults):
                shrink, part = np.nan_to_num(shrink), np.nan_to_num(part)
            total = shrink * total + part.sum(-1, keepdims=True)
            output = shrink * output + part @ value[part_of]
            top = new
        if "empty-is-nan" in faults or "as-it-was" in faults:
            return output / total
        if "plus-one" in faults:
            return output / (total + 1)
        if "skips-hidden-chunks" in faults and "patched-at-the-end" not in faults:
            return output / np.where(total == 0, 1, total)
        result = output / total
    if "big-number-cleared" in faults:
        result = np.where(mask.any(-1, keepdims=True), result, 0.0)
    return np.nan_to_num(result)


def _hidden_reference(query, key, value, mask, chunk):
    return attention(query, key, value, mask=mask)


def _hidden_safe(query, key, value, mask, chunk):
    top = np.full((len(query), 1), -math.inf)
    total, output = np.zeros((len(query), 1)), np.zeros((len(query), value.shape[1]))
    for start in range(0, len(key), chunk):
        part_of = slice(start, start + chunk)
        scores = query @ key[part_of].T / math.sqrt(query.shape[-1])
        scores = np.where(mask[:, part_of], scores, -math.inf)
        new = np.maximum(top, scores.max(-1, keepdims=True))
        against = np.where(new == -math.inf, 0, new)
        shrink, part = np.exp(top - against), np.exp(scores - against)
        total = shrink * total + part.sum(-1, keepdims=True)
        output, top = shrink * output + part @ value[part_of], new
    return output / np.where(total == 0, 1, total)


def _hidden_loops(query, key, value, mask, chunk):
    output = np.zeros((len(query), value.shape[1]))
    for i, q in enumerate(query):
        scores = {j: float(q @ key[j]) / math.sqrt(len(q)) for j in np.flatnonzero(mask[i])}
        top = max(scores.values(), default=0)
        parts = {j: math.exp(score - top) for j, score in scores.items()}
        for j, part in parts.items():
            output[i] += part / sum(parts.values()) * value[j]
    return output


def _hidden_torch(query, key, value, mask, chunk):
    import torch
    scores = torch.where(mask, query @ key.mT / query.shape[-1] ** 0.5, -math.inf)
    top = scores.amax(-1, keepdim=True)
    parts = torch.exp(scores - torch.where(top == -math.inf, 0.0, top))
    return parts @ value / parts.sum(-1, keepdim=True).clamp(min=1e-30)


def _hidden_cases(seed):
    rng = np.random.default_rng([seed, 84])

    def case(n_q, n_k, chunk, hide, shift=0.0, d=6, d_v=3, hard=""):
        query, key = rng.normal(size=(n_q, d)) * 1.5, rng.normal(size=(n_k, d)) * 1.5
        if shift:  # every score about as far below 0
            query, key = np.abs(query) * shift, -np.abs(key) * shift
        mask = rng.random((n_q, n_k)) < 0.7
        mask[:, 0] = mask[:, chunk + 1:chunk + 2] = mask[:, -1] = True
        hide(mask, chunk)
        return Case((query, key, rng.normal(size=(n_k, d_v)), mask, chunk), hard=hard)

    def first_chunk(mask, chunk):
        mask[1::2, :chunk] = False

    def everything(mask, chunk):
        mask[1] = False

    def first_for_all(mask, chunk):
        mask[:, :chunk] = False

    def nothing(mask, chunk):
        pass

    alike = case(4, 4, 3, nothing, d=4, d_v=4, hard="all lengths alike")
    alike.args[0][0], alike.args[1][1] = 0, 1e-3 * rng.normal(size=4)
    return [alike, case(1, 1, 1, nothing, d=1, d_v=1, hard="all lengths 1"),
            case(5, 13, 4, nothing), case(7, 16, 5, nothing),
            case(5, 12, 4, first_chunk, hard="a first chunk that some queries may not see"),
            case(7, 15, 4, first_for_all, hard="a first chunk that nobody may see"),
            case(4, 14, 5, everything, hard="a query that may see nothing"),
            case(5, 11, 3, nothing, shift=30, hard="scores far below 0"),
            case(4, 10, 3, first_chunk, shift=30, hard="both"),
            case(6, 11, 4, first_chunk, shift=2.0 ** 17, hard="scores of minus billions")]


_HIDDEN = Exercise(
    id="8.4", kind="find the bug", points=4, minutes=15, version=1,
    hints=(
        "Take one query and a first chunk that it may not see at all. Follow `new`, `shrink` and "
        "`part` by hand.",
        "Minus infinity less minus infinity is not a number, and what it touches stays so. Which "
        "value would be right for `shrink` and for `part` there?",
        "Exponentials may be measured against any number. Where nothing has been seen yet, choose "
        "a finite one. Then look at what is divided by what at the end.",
    ),
    cases=_hidden_cases,
    spared={"empty": "a query that may see nothing is there"},
    reference=_hidden_reference,
    mistakes=switched(_hidden, {
        "as-it-was": "A query that may not see the first chunk still gets NaN. Follow such a row "
                     "through the first turn of the loop.",
        "patched-at-the-end": "You replaced NaN when all was over. Those rows lost what they saw "
                              "in later chunks.",
        "skips-hidden-chunks": "You skip a chunk that nobody may see. Often some queries may see "
                               "it and others not.",
        "skips-half-hidden": "You skip a chunk as soon as one query may not see it. The others "
                             "need it.",
        "big-number": "A row that may see nothing gets the mean of what is hidden from it, as it "
                      "does with any number in place of minus infinity. It should get 0.",
        "big-number-cleared": "Rows that may see nothing are right. But minus a billion is a "
                              "number too, and visible scores may lie below it.",
        "not-so-big": "Where visible scores are very low, hidden keys get in. What stands for a "
                      "hidden score in your version, and is it below all others?",
        "top-from-zero": "The largest score so far begins at 0 now. What if all scores are far "
                         "below that?",
        "empty-is-nan": "Better. A query that may see nothing at all still divides 0 by 0.",
        "plus-one": "You added to the sum that you divide by. Now the weights of every row are "
                    "too small.",
        "inverted": "Your mask is turned round: True means that a key may be looked at.",
        "unmasked": "The mask is gone: your queries see everything.",
    }, pairs=[("top-from-zero", "empty-is-nan"), ("skips-half-hidden", "empty-is-nan"),
              ("skips-hidden-chunks", "patched-at-the-end"),
              ("plus-one", "top-from-zero"),
              ("plus-one", "skips-half-hidden"), ("plus-one", "big-number")]),
    forbidden=READY_MADE,
    variants=(_hidden_safe, _hidden_loops, _hidden_torch),
)


# 8.5  Near and far

def _near_far(query, key, value, chunk, *, faults=frozenset()):
    n = len(key)
    if "tail-dropped" in faults:
        starts = range(0, n // chunk * chunk, chunk)
    else:
        starts = range(0, n, chunk)
    pieces = [slice(start, start + chunk) for start in starts]

    if "plain" in faults:
        return attention(query, key, value)

    def summary(x, piece):
        if "sums" in faults or ("keys-summed" in faults and x is key) or (
                "values-summed" in faults and x is value):
            return x[piece].sum(0)
        return x[piece].sum(0) / chunk if "full-size" in faults else x[piece].mean(0)

    far_key = np.stack([summary(key, piece) for piece in pieces])  # (chunks, d_k)
    far_value = np.stack([value[piece][0] if "first-value" in faults else summary(value, piece)
                          for piece in pieces])
    sizes = np.array([len(key[piece]) for piece in pieces])
    scale = 1 if "no-scale" in faults else 1 / math.sqrt(query.shape[-1])
    rows = []
    for i, q in enumerate(query):
        own = i // chunk
        others = [c for c in range(len(pieces)) if "own-twice" in faults or c != own]
        if "own-summarised" in faults:
            others = list(range(len(pieces)))
        if {"past-only", "causal"} & faults:
            others = [c for c in others if c <= own]
        near = slice(own * chunk, (own + 1) * chunk)
        if "window" in faults:
            near = slice(max(i - chunk + 1, 0), i + 1)
        if {"near-past-only", "causal"} & faults:
            near = slice(own * chunk, i + 1)
        near_scores, far_scores = key[near] @ q * scale, far_key[others] @ q * scale
        if "full-count" in faults:
            far_scores = far_scores + math.log(chunk)
        elif "multiplied" in faults:
            far_scores = far_scores * sizes[others]
        elif "size-added" in faults:
            far_scores = far_scores + sizes[others]
        elif "size-subtracted" in faults:
            far_scores = far_scores - np.log(sizes[others])
        elif "not-counted" not in faults:
            far_scores = far_scores + np.log(sizes[others])
        if "own-summarised" in faults:
            rows.append(softmax(far_scores) @ far_value)
        elif "near-only" in faults or not others:
            rows.append(softmax(near_scores) @ value[near])
        elif "far-only" in faults:
            rows.append(softmax(far_scores) @ far_value[others])
        elif "two-softmaxes" in faults:
            rows.append((softmax(near_scores) @ value[near]
                         + softmax(far_scores) @ far_value[others]) / 2)
        else:
            rows.append(softmax(np.concatenate((near_scores, far_scores)))
                        @ np.concatenate((value[near], far_value[others])))
    return np.stack(rows)


def _near_far_reference(query, key, value, chunk):
    return _near_far(query, key, value, chunk)


def _near_far_masked(query, key, value, chunk):
    """All keys and all means side by side, and a mask that picks."""
    of = np.arange(len(key)) // chunk
    member = of == np.arange(of[-1] + 1)[:, None]  # (chunks, n)
    size = member.sum(1)
    mean = member / size[:, None]
    mask = np.concatenate((of[:, None] == of, of[:, None] != np.arange(of[-1] + 1)), axis=1)
    return attention(query, np.concatenate((key, mean @ key)),
                     np.concatenate((value, mean @ value)), mask=mask,
                     bias=np.log(np.concatenate((np.ones(len(key)), size)))[None])


def _near_far_torch(query, key, value, chunk):
    import torch
    rows = []
    for i, q in enumerate(query):
        start = i // chunk * chunk
        pieces = [(k[None].mean(1), v[None].mean(1), torch.full((1,), float(len(k))))
                  if s != start else (k, v, torch.ones(len(k)))
                  for s, k, v in zip(range(0, len(key), chunk), key.split(chunk),
                                     value.split(chunk))]
        keys, values, counts = (torch.cat(x) for x in zip(*pieces))
        shares = torch.exp(keys @ q / len(q) ** 0.5) * counts
        rows.append(shares / shares.sum() @ values)
    return torch.stack(rows)


def _near_far_cases(seed):
    rng = np.random.default_rng([seed, 85])

    def case(n, chunk, size=1.5, d=6, d_v=4, hard=""):
        query, key = rng.normal(size=(2, n, d)) * size
        return Case((query, key, rng.normal(size=(n, d_v)), chunk), hard=hard)

    alike = case(4, 2, d=4, d_v=4, hard="all lengths alike")
    alike.args[0][0], alike.args[1][1] = 0, 1e-3 * rng.normal(size=4)
    alike.args[2][:] *= 200
    return [alike, case(1, 1, d=1, d_v=1, hard="all lengths 1"),
            case(12, 3), case(15, 5), case(20, 4),
            case(14, 4, hard="a last chunk that is shorter"),
            case(11, 5, hard="a last chunk of one"),
            case(7, 9, hard="a chunk longer than the text"),
            case(9, 1, hard="chunks of one")]


_NEAR_FAR = Exercise(
    id="8.5", kind="write", points=4, minutes=20, version=2,
    hints=(
        "Make a list of what one query sees: the keys of its own chunk, and a mean for each of "
        "the others. One softmax goes over the whole list.",
        "The query at place i belongs to chunk number `i // chunk`. Mind the last chunk: it may "
        "be shorter, and its mean is over fewer keys.",
        "A mean of five keys counts five times, and the exponential of a sum is a product: what "
        "must be added to the score, so that `exp` multiplies by five?",
    ),
    cases=_near_far_cases,
    spared={"empty": "a text without words has nothing to look at"},
    reference=_near_far_reference,
    mistakes=switched(_near_far, {
        "sums": "You summed the keys and values of a chunk. A chunk is seen through its mean.",
        "full-size": "Your mean of the last chunk divides by the size of a whole one.",
        "keys-summed": "You summed the keys of a chunk and took the mean of its values. A chunk is "
                       "seen through its mean, both times.",
        "values-summed": "You summed the values of a chunk and took the mean of its keys. A chunk "
                         "is seen through its mean, both times.",
        "own-summarised": "Your queries see their own chunk as a mean too. It is seen key by key.",
        "causal": "Your queries see nothing that comes after them. Nothing was said of a causal "
                  "mask.",
        "plain": "That is plain attention: every key by itself. Chunks other than the own are seen "
                 "through their means.",
        "size-subtracted": "Your means count less the more keys they stand for. Look at the sign "
                           "of the logarithm.",
        "first-value": "Your chunks have mean keys, but the value of their first key. "
                       "Which value should go with a mean?",
        "no-scale": "Your scores are not scaled: see equation (1.6).",
        "own-twice": "Your queries see their own chunk twice: key by key, and as a mean.",
        "past-only": "Your queries see no later chunk. Nothing was said of a causal mask.",
        "near-past-only": "In their own chunk your queries see no later key. Nothing was said of "
                          "a causal mask.",
        "window": "You gave each query the last few keys. Its own chunk is fixed: where does it "
                  "begin?",
        "not-counted": "Your means count as one key each. How many keys does a mean stand for, "
                       "and how does its score say so?",
        "full-count": "Your last chunk counts as a whole one, although it has fewer keys.",
        "multiplied": "You multiplied the score by the number of keys. It is the exponential of "
                      "the score that is to count so many times.",
        "size-added": "You added the number of keys to the score, so that its exponential counts "
                      "far more often than that. What has to be added, so that `exp` makes it the "
                      "number of keys?",
        "near-only": "Your queries see their own chunk alone. Where are the means?",
        "far-only": "Your queries see the means alone. Where is their own chunk?",
        "two-softmaxes": "You made two softmaxes and averaged. Near and far compete under one.",
        "tail-dropped": "You left out the last chunk where it is shorter.",
    }, pairs=[("sums", "no-scale"), ("full-size", "no-scale"), ("own-twice", "no-scale"),
              ("sums", "own-twice"), ("first-value", "no-scale"), ("two-softmaxes", "own-twice"),
              ("past-only", "no-scale"),
              ("sums", "two-softmaxes"), ("full-size", "own-twice"), ("not-counted", "no-scale"),
              ("not-counted", "own-twice"),
              ("full-count", "no-scale"),
              ("two-softmaxes", "no-scale"), ("past-only", "own-twice")]),
    forbidden=("attnlib.multilevel.hierarchical_attention",),
    variants=(_near_far_masked, _near_far_torch),
)


# 8.6  What changes?

_CHANGES = {"a": "same", "b": "different", "c": "same", "d": "different", "e": "same",
            "f": "different"}


def _foreseen(*, faults=frozenset()):
    return flipped(_CHANGES, faults)


_FORESEEN = Exercise(
    id="8.6", kind="predict", points=3, minutes=10, version=1,
    hints=(
        "For a and b, ask which of the two functions computes the same thing as `attention`.",
        "For c and d, ask what the query knows of a chunk that is not its own.",
        "For e and f, count how many words further back each layer can see. Its own word is one "
        "of the eight.",
    ),
    cases=lambda seed: [Case()],
    reference=_foreseen,
    mistakes=switched(_foreseen, {
        "a": "Case a: the chunks are merged by their log-sum-exp. Does it matter where they "
             "were cut?",
        "b": "Case b: a mean over four keys is something else than a mean over sixteen.",
        "c": "Case c: the query sees the mean of that chunk. Does a mean know an order?",
        "d": "Case d: the two chunks now hold other keys. What becomes of their means?",
        "e": "Case e: which words does the last one see through one such layer?",
        "f": "Case f: eight such layers reach 56 words back. And one more?",
    }, pairs=[("a", "b"), ("a", "c"), ("b", "c"), ("c", "d"), ("b", "d"), ("d", "e"), ("e", "f"),
              ("c", "f"), ("b", "f"), ("a", "f"), ("d", "f"), ("c", "e")]),
    variants=(lambda: dict(a="same", b="different", c="same", d="different", e="same",
                           f="different"),),
)


# 8.7  As few layers as can be

def _fewest(n, window):
    layers = 0
    while window ** layers < n:
        layers += 1
    return layers


def _spread(n, window, *, faults=frozenset()):
    layers = _fewest(n, window)
    if "log-rounded-up" in faults:
        layers = math.ceil(math.log(n) / math.log(window))
    if "log-and-one" in faults:
        layers = int(math.log(n) / math.log(window)) + 1
    if "one-more" in faults:
        layers += 1
    if "one-less" in faults:
        layers -= 1
    if "no-gaps" in faults:
        return [1] * -(-(n - 1) // (window - 1))
    if "same-gap" in faults:
        return [window] * layers
    if "growing-by-one" in faults:
        return list(range(1, layers + 1))
    base = (2 if "doubling" in faults else window - 1 if "reach-for-base" in faults
            else window + 1 if "base-too-large" in faults else window)
    first = 1 if "first-skipped" in faults else 0
    return [base ** (layer + first) for layer in range(layers)]


def _spread_judge(cases, outcomes):
    for case, outcome in zip(cases, outcomes):
        n, window = case.args
        gaps = finite_array(outcome.value)
        if gaps is None or gaps.ndim != 1 or not (
                (gaps % 1 == 0) & (0 < gaps) & (gaps < 1e9)).all():
            return another_form("Return a list of whole numbers of at least 1, one dilation for "
                                "each layer.")
        gaps = gaps.astype(int).tolist()
        if len(gaps) > (fewest := _fewest(n, window)):
            return broken_law(f"For {_counted(n, 'word')}, with {window} keys for each, "
                              f"{_counted(fewest, 'layer')} will do; you have {len(gaps)}.",
                              f"n {n}, window {window}\ndilations {gaps}", name="too many layers")
        masks = [_gaps(n, n, window, gap) for gap in gaps]
        seen = reachable(masks) if masks else np.eye(n, dtype=bool)
        missed = np.argwhere(causal_mask(n) & ~seen)
        if len(missed):
            i, j = missed[-1]
            name, words = _spread_fault(n, window, gaps, fewest)
            return broken_law(f"After your {_counted(len(gaps), 'layer')} the word at {i} cannot "
                              f"know of the word at {j}.{words}", f"n {n}, window {window}\n"
                              f"dilations {gaps}\npairs that are missed: {len(missed)}", name)
    return None


def _counted(number, what):
    return f"{number} {what}{'s' * (number != 1)}"


def _spread_fault(n, window, gaps, fewest):
    """Name and sentence of why some distance is never reached."""
    if len(gaps) < fewest:
        return "too few layers", (f" So few cannot do: with {window} keys for each, "
                                  f"{_counted(len(gaps), 'layer')} can tell at most "
                                  f"{window ** len(gaps)} distances apart.")
    if 1 not in gaps:
        return "no gap of 1", " None of your gaps is 1: how would a word see the one before it?"
    reached = {0}
    for gap in gaps:
        reached = {far + gap * step for far in reached for step in range(window)}
    if max(reached) < n - 1:
        return "too near", (f" The farthest that your layers reach is {max(reached)} back.")
    missing = min(set(range(n)) - reached)
    return "a distance missed", (f" A distance of {missing}, say, is no sum of your steps, though "
                                 "longer ones are.")


def _spread_by_division(n, window):
    gaps, gap = [], 1
    while gap < n:
        gaps.insert(0, gap)
        gap *= window
    return gaps


def _spread_numpy(n, window):
    """Powers by their logarithms, counted in whole numbers; numpy's own integers come back."""
    layers = np.arange(64)
    enough = np.array([window ** int(layer) >= n for layer in layers[:20]])
    return list(np.power(window, layers[:enough.argmax()]))


def _spread_cases(seed):
    rng = np.random.default_rng([seed, 87])
    return [Case((27, 3)), Case((int(rng.integers(65, 90)), 4)),
            Case((int(rng.integers(28, 60)), 3)), Case((int(rng.integers(26, 110)), 5)),
            Case((int(rng.integers(33, 60)), 2), hard="two keys for each"),
            Case((64, 4), hard="no word to spare"), Case((125, 5), hard="a power of 5"),
            Case((216, 6), hard="a power of 6"), Case((1, 3), hard="a single word"),
            Case((10, 12), hard="one layer is enough"),
            Case((17, 4), hard="one word more than two layers reach")]


_SPREAD = Exercise(
    id="8.7", kind="open-ended", points=5, minutes=20, version=2,
    hints=(
        "With window w, one layer tells w distances apart. How many can two layers tell apart at "
        "most, and how many can L?",
        "The distance from a word to an earlier one is a sum, with one term per layer. Let each "
        "be a different kind of step, as the digits of a number are.",
        "Units, tens, hundreds: in which base?",
    ),
    cases=_spread_cases,
    reference=None,
    mistakes=switched(_spread, {
        "no-gaps": "All your layers look at neighbours. That reaches everything, but slowly.",
        "same-gap": "All your layers have the same gap. What lies between is never reached.",
        "growing-by-one": "Your gaps grow by one from layer to layer. How fast does the reach "
                          "have to grow?",
        "doubling": "Your gaps double, whatever the window. A wider window can take longer "
                    "strides.",
        "reach-for-base": "Your gaps grow too slowly. How many different distances does one layer "
                          "tell apart, 0 included?",
        "base-too-large": "Your gaps grow too fast: some distance between two of them is never "
                          "reached.",
        "first-skipped": "Your smallest gap is not 1. How would a word see the one before it?",
        "one-more": "Your layers reach everything, but one of them is not needed.",
        "one-less": "Your layers are one too few for the first words.",
        "log-rounded-up": "Right but where n is a power of the window: `math.log` is rounded, and "
                          "log(125) / log(5) comes out a little above 3. Count in whole numbers.",
        "log-and-one": "One layer too many where n is a power of the window: then no word is left "
                       "over for another layer.",
    }, pairs=[("reach-for-base", "one-more"), ("first-skipped", "one-more"),
              ("first-skipped", "base-too-large"), ("doubling", "one-more"),
              ("base-too-large", "one-less"), ("doubling", "first-skipped"),
              ("first-skipped", "one-less"), ("growing-by-one", "one-more")]),
    judge=_spread_judge,
    variants=(_spread, _spread_by_division, _spread_numpy),
)


# 8.8  Back, without the weights

def _backward(query, key, value, output, lse, grad, chunk, *, faults=frozenset()):
    scale = 1 / math.sqrt(query.shape[-1])
    score_scale = 1 if "scores-unscaled" in faults else scale
    grad_scale = 1 if "gradients-unscaled" in faults else scale
    by_query, by_key, by_value = (np.zeros_like(x) for x in (query, key, value))
    n = len(key) // chunk * chunk if "tail-dropped" in faults else len(key)
    for start in range(0, n, chunk):
        piece = slice(start, start + chunk)
        scores = query @ key[piece].T * score_scale  # (n_q, chunk)
        if "own-softmax" in faults:
            weights = softmax(scores)
        elif "not-divided" in faults:
            weights = np.exp(scores)
        elif "minus-top" in faults:
            weights = np.exp(scores - scores.max(-1, keepdims=True))
        else:
            weights = np.exp(scores - lse[:, None])
        to_weights = grad @ value[piece].T
        mean = (grad * output).sum(-1, keepdims=True)
        if "mean-of-piece" in faults:
            mean = (weights * to_weights).sum(-1, keepdims=True)
        if "no-mean" in faults:
            mean = 0 * mean
        if "mean-added" in faults:
            mean = -mean
        to_scores = (to_weights - mean) * (1 if "softmax-skipped" in faults else weights)
        part = grad_scale * to_scores @ key[piece]
        by_query = part if "last-piece" in faults else by_query + part
        by_key[piece] = grad_scale * to_scores.T @ query
        by_value[piece] = weights.T @ (output if "output-for-gradient" in faults else grad)
    if "exchanged" in faults:
        by_query, by_key = (by_key, by_query) if len(key) == len(query) else (by_query, by_key)
    return by_query, by_key, by_value


def _backward_loops(query, key, value, output, lse, grad, chunk):
    """Query by query, key by key."""
    by_query, by_key, by_value = (np.zeros_like(x) for x in (query, key, value))
    for i, q in enumerate(query):
        for j, k in enumerate(key):
            weight = np.exp(q @ k / math.sqrt(len(q)) - lse[i])
            to_score = weight * (grad[i] @ (value[j] - output[i])) / math.sqrt(len(q))
            by_query[i] += to_score * k
            by_key[j] += to_score * q
            by_value[j] += weight * grad[i]
    return by_query, by_key, by_value


def _backward_torch(query, key, value, output, lse, grad, chunk):
    import torch
    scale, of_piece, by_query = query.shape[-1] ** -0.5, [], 0
    for k, v in zip(key.split(chunk), value.split(chunk)):
        weights = (scale * query @ k.mT - lse[:, None]).exp()
        mean = torch.einsum("qd,qd->q", grad, output)[:, None]
        to_scores = scale * weights * (grad @ v.mT - mean)
        by_query = by_query + to_scores @ k
        of_piece.append((to_scores.mT @ query, weights.mT @ grad))
    return by_query, *(torch.cat(parts) for parts in zip(*of_piece))


def _backward_cases(seed):
    rng = np.random.default_rng([seed, 88])

    def case(n_q, n_k, chunk, top=None, d=5, d_v=3, hard="", room=0):
        query, key = rng.normal(size=(n_q, d)), rng.normal(size=(n_k, d))
        if hard == "all lengths alike":
            query[0], key[1] = 0, 1e-3 * key[1]
        if top is not None:  # the largest score
            size = math.sqrt(top / (query @ key.T / math.sqrt(5)).max())
            query, key = query * size, key * size
        value, grad = rng.normal(size=(n_k, d_v)), rng.normal(size=(n_q, d_v))
        output, lse = partial_attention(query, key, value)
        return Case((query, key, value, output, lse, grad, chunk), hard=hard, room=room)

    return [case(4, 4, 3, d=4, d_v=4, hard="all lengths alike"),
            case(1, 1, 1, d=1, d_v=1, hard="all lengths 1"),
            case(4, 12, 6), case(6, 10, 5), case(3, 8, 2),
            case(4, 11, 5, hard="a last chunk that is shorter"),
            case(5, 7, 20, hard="a chunk longer than the text"),
            case(1, 9, 3, hard="a single query"),
            case(80, 450, 20, room=80 * 450 * 8, hard="a long text"),
            case(4, 10, 5, top=200, hard="scores in the hundreds")]


_BACKWARD = Exercise(
    id="8.8", kind="write", points=5, minutes=25, version=1,
    hints=(
        "Compute the scores of one chunk again. With the log-sum-exp of the whole row, (8.3) gives "
        "the weights at once: nothing has to be divided.",
        "What the forward pass did last comes first. The gradient by a value adds up, over the "
        "queries, what arrives there times the weight. What arrives at a weight is one product.",
        "From the gradient by the scores to those by query and key it is one product each, and "
        "each time the scale. A query meets all chunks, a key only its own.",
    ),
    cases=_backward_cases,
    spared={"empty": "without queries nothing comes back, without keys nothing went out"},
    reference=_backward,
    mistakes=switched(_backward, {
        "own-softmax": "Your weights are a softmax over the chunk alone. Which number tells what "
                       "the whole row sums to?",
        "not-divided": "Your weights are exponentials that nothing divides. What is `lse` for?",
        "minus-top": "You subtracted the largest score of the chunk. With `lse` subtracted, the "
                     "weights come out as they were.",
        "scores-unscaled": "The scores you compute again are not those of the forward pass: a "
                           "scale is missing.",
        "gradients-unscaled": "The scale that the scores went through is missing on the way back "
                              "to query and key.",
        "no-mean": "Your gradient by the scores lacks the second term of (8.3): raising a score "
                   "lowers all other weights.",
        "mean-of-piece": "Your second term sums over the chunk. In (8.3) it is that of the whole "
                         "row, and the output holds it ready.",
        "mean-added": "The second term of (8.3) has the wrong sign.",
        "softmax-skipped": "What arrives at the weights is not yet what arrives at the scores: "
                           "(8.3) multiplies by the weight.",
        "last-piece": "The gradient by the query is that of the last chunk alone. "
                      "It meets all chunks.",
        "output-for-gradient": "Your gradient by the values sums outputs. What arrives is `grad`.",
        "tail-dropped": "You left out what remains when the chunk does not divide the length.",
    }, pairs=[("own-softmax", "gradients-unscaled"), ("no-mean", "gradients-unscaled"),
              ("tail-dropped", "no-mean"), ("last-piece", "gradients-unscaled"),
              ("tail-dropped", "gradients-unscaled"), ("mean-of-piece", "gradients-unscaled"),
              ("last-piece", "no-mean"), ("scores-unscaled", "gradients-unscaled"),
              ("own-softmax", "no-mean"), ("softmax-skipped", "gradients-unscaled")]),
    forbidden=("torch.autograd.grad", "torch.Tensor.backward",
               "torch.autograd.functional.jacobian", "torch.autograd.functional.vjp"),
    variants=(_backward_loops, _backward_torch),
)


# 8.9  A schedule for the tiles

def _order(blocks, room, *, faults=frozenset()):
    held = room if "no-room-for-keys" in faults else 1 if "one-held" in faults else room - 1
    if "half-and-half" in faults:
        held = max(room // 2, 1)
    if "columns" in faults:
        return [(i, j) for j in range(blocks) for i in range(blocks)]
    if "diagonals" in faults:
        return [(i, (i + shift) % blocks) for shift in range(blocks) for i in range(blocks)]
    tiles = []
    for turn, start in enumerate(range(0, blocks, held)):
        keys = range(blocks)
        if turn % 2 and "same-way" not in faults:
            keys = reversed(keys)
        for j in keys:
            tiles += [(i, j) for i in range(start, min(start + held, blocks))]
    if "causal" in faults:
        tiles = [(i, j) for i, j in tiles if j <= i]
    if "twice" in faults:
        tiles = tiles + tiles[:1]
    return tiles


def _order_of_keys(blocks, room):
    """Keys stay and queries pass by: as many loads."""
    return [(i, j) for j, i in _order(blocks, room)]


def _order_recursive(blocks, room, done=0, forward=True):
    if done >= blocks:
        return []
    held = list(range(done, min(done + room - 1, blocks)))
    keys = range(blocks) if forward else range(blocks - 1, -1, -1)
    return [[i, j] for j in keys for i in held] + _order_recursive(
        blocks, room, done + room - 1, not forward)


def _loads(tiles, room):
    """Blocks of queries and of keys loaded for these tiles, if always the right one makes room."""
    needs = [(("query", i), ("key", j)) for i, j in tiles]
    later = {}  # block: when it is needed, the last time first
    for when in range(len(needs) - 1, -1, -1):
        for block in needs[when]:
            later.setdefault(block, []).append(when)
    inside, loads = set(), {"query": 0, "key": 0}
    for need in needs:
        for block in need:
            later[block].pop()
        for block in need:
            if block in inside:
                continue
            loads[block[0]] += 1
            if len(inside) == room:
                inside.remove(max(inside - {*need}, key=lambda old: (
                    later[old][-1] if later[old] else math.inf, old)))
            inside.add(block)
    return loads["query"], loads["key"]


def _done(tiles, blocks, room):
    """Which tiles an order computes; if these are all, how many blocks of either kind it loads."""
    whole = len(tiles) == len({*tiles}) == blocks ** 2
    return sorted(tiles), whole and _loads(tiles, room)


def _order_judge(cases, outcomes):
    broken, done = None, []
    for case, outcome in zip(cases, outcomes):
        blocks, room = case.args
        tiles = finite_array(outcome.value)
        if tiles is None or tiles.ndim != 2 or tiles.shape[1] != 2 or (tiles % 1 != 0).any():
            return another_form("Return a list of pairs of whole numbers, (block of queries, "
                                "block of keys).")
        tiles = [(int(i), int(j)) for i, j in tiles]
        done.append(_done(tiles, blocks, room))
        broken = _order_law(tiles, blocks, room) if broken is None else broken
    ordinary = [i for i, case in enumerate(cases) if not case.hard]
    for mistake in _ORDER.mistakes if broken is not None and ordinary else ():
        if all(_done(mistake.answer(*cases[i].args), *cases[i].args) == done[i] for i in ordinary):
            return Result("known_mistake", mistake.sentence, f"{broken.sentence}\n{broken.witness}",
                          mistake=mistake.name)
    return broken


def _order_law(tiles, blocks, room):
    wanted = {(i, j) for i in range(blocks) for j in range(blocks)}
    told = f"blocks {blocks}, room {room}"
    if {*tiles} != wanted or len(tiles) != len(wanted):
        apart = sorted(wanted - {*tiles}) or sorted({*tiles} - wanted) or [
            tile for tile in tiles if tiles.count(tile) > 1]
        return broken_law("Every tile comes once and none is invented: look at the tile "
                          f"{apart[0]}.", f"{told}\ntiles {len(tiles)}, of {len(wanted)}",
                          name="not each tile once")
    loads, least = sum(_loads(tiles, room)), sum(_loads(_order(blocks, room), room))
    if loads > least:
        return broken_law("Your order computes every tile, and loads more than it has to.",
                          f"{told}\nloads {loads}; {least} are enough")
    return None


def _order_cases(seed):
    rng = np.random.default_rng([seed, 89])
    return [Case((int(rng.integers(7, 15)), 3)), Case((int(rng.integers(9, 19)), 4)),
            Case((int(rng.integers(10, 21)), 5)),
            Case((6, 2), hard="room for one of each alone"),
            Case((1, 2), hard="a single tile"), Case((5, 12), hard="room for all")]


_ORDER = Exercise(
    id="8.9", kind="open-ended", points=5, minutes=25, version=1,
    hints=(
        "One load of a block of keys is good for as many tiles as there are blocks of queries in "
        "the memory. So how should the room be shared out?",
        "All but one of the places hold blocks of queries, and through the last one all blocks of "
        "keys pass. How many tiles does each load pay for?",
        "When the next blocks of queries come in, one block of keys is still there. "
        "Which way should the keys pass now?",
    ),
    cases=_order_cases,
    reference=None,
    mistakes=switched(_order, {
        "one-held": "You keep one block of queries while all keys pass by. There is room for more "
                    "of them.",
        "no-room-for-keys": "You keep as many blocks of queries as there is room for. The keys "
                            "need a place too.",
        "half-and-half": "You share the room between queries and keys. A block of keys that passes "
                         "is good for all queries that are there, and need not stay.",
        "columns": "You take one block of keys after another, each with all queries: the queries "
                   "are loaded over and over.",
        "diagonals": "You go along diagonals: every tile needs two blocks that have just left.",
        "same-way": "Nearly. Your keys pass in the same direction each time. The last of them is "
                    "still there when the next queries come in.",
        "causal": "You left out the tiles above the diagonal. Nothing was said of a causal mask.",
        "twice": "Your first tile comes twice.",
    }, pairs=[("one-held", "same-way"), ("no-room-for-keys", "same-way"),
              ("half-and-half", "same-way")]),
    judge=_order_judge,
    equivalent={},
    variants=(_order, _order_of_keys, _order_recursive),
)


# 8.10  Selected

def _chosen(query, key, value, chunk, top, *, faults=frozenset()):
    n = len(key)
    starts = range(0, n // chunk * chunk if "tail-dropped" in faults else n, chunk)
    pieces = [slice(start, start + chunk) for start in starts]
    if "sums" in faults:
        summaries = np.stack([key[piece].sum(0) for piece in pieces])
    elif "first-keys" in faults:
        summaries = np.stack([key[piece][0] for piece in pieces])
    else:
        summaries = np.stack([key[piece].mean(0) for piece in pieces])
    scores = query @ summaries.T  # (n_q, chunks)
    if "best-key" in faults:
        scores = np.stack([(query @ key[piece].T).max(-1) for piece in pieces], axis=-1)
    if "one-choice" in faults:
        scores = np.broadcast_to(scores.mean(0), scores.shape)
    if "worst" in faults:
        scores = -scores
    if "absolute" in faults:
        scores = np.abs(scores)
    if "counted" in faults:
        scores = scores / math.sqrt(query.shape[-1]) + np.log([len(key[p]) for p in pieces])
    taken = top - 1 if "one-fewer" in faults else top
    rows = []
    for i, q in enumerate(query):
        best = np.argsort(-scores[i], kind="stable")[:taken]
        scale = 1 if "no-scale" in faults else 1 / math.sqrt(len(q))
        if "means-alone" in faults:
            values = np.stack([value[piece].mean(0) for piece in pieces])
            rows.append(softmax(summaries[best] @ q * scale) @ values[best])
            continue
        seen = np.zeros(n, dtype=bool)
        for number in best:
            seen[pieces[number]] = True
        all_scores = key @ q * scale
        if "zero-scores" in faults:
            weights = softmax(np.where(seen, all_scores, 0.0))
        elif "cut-after" in faults:
            weights = softmax(all_scores) * seen
        elif "each-alone" in faults:
            weights = sum(np.bincount(np.arange(n)[pieces[number]], softmax(all_scores[
                pieces[number]]), n) for number in best) / len(best)
        else:
            weights = softmax(np.where(seen, all_scores, -np.inf))
        rows.append(weights @ value)
    return np.stack(rows)


def _chosen_reference(query, key, value, chunk, top):
    return _chosen(query, key, value, chunk, top)


def _chosen_masked(query, key, value, chunk, top):
    """One mask for all queries."""
    of = np.arange(len(key)) // chunk
    member = of == np.arange(of[-1] + 1)[:, None]  # (chunks, n)
    scores = query @ (member / member.sum(1, keepdims=True) @ key).T
    rank = np.argsort(np.argsort(-scores, axis=-1), axis=-1)  # (n_q, chunks)
    return attention(query, key, value, mask=(rank < top)[:, of])


def _chosen_torch(query, key, value, chunk, top):
    import torch
    scores = query @ torch.stack([piece.mean(0) for piece in key.split(chunk)]).mT
    best = scores.topk(min(top, scores.shape[-1])).indices
    number = torch.arange(len(key)) // chunk
    seen = (number == best[..., None]).any(-2)  # (n_q, n)
    scores = torch.where(seen, query @ key.mT / query.shape[-1] ** 0.5, -math.inf)
    return scores.softmax(-1) @ value


def _chosen_cases(seed):
    rng = np.random.default_rng([seed, 90])

    def case(n_q, n_k, chunk, top, size=1.5, short=0, d=6, d_v=4, hard=""):
        query, key = rng.normal(size=(n_q, d)) * size, rng.normal(size=(n_k, d)) * size
        if short:  # its mean fits best, its sum does not
            query, key = short * (query / 5 + 1), key / 15
            key[:chunk] += 0.8
            key[n_k // chunk * chunk:] += 1
        return Case((query, key, rng.normal(size=(n_k, d_v)), chunk, top), hard=hard)

    alike = case(4, 4, 2, 1, d=4, d_v=4, hard="all lengths alike")
    alike.args[1][3] *= 1e-3
    alike.args[2][0] = 0
    alike.args[2][:] *= 200
    return [alike, case(1, 1, 1, 1, d=1, d_v=1, hard="all lengths 1"),
            case(9, 20, 4, 2), case(7, 15, 3, 2), case(8, 24, 6, 3), case(11, 21, 3, 1),
            case(10, 14, 4, 1, short=4, hard="a last chunk that is shorter"),
            case(12, 13, 3, 1, short=1, hard="a last chunk of one"),
            case(5, 11, 1, 3, hard="chunks of one"),
            case(4, 10, 3, 9, hard="fewer chunks than are taken"),
            case(6, 16, 4, 2, size=30, hard="scores in the thousands")]


_CHOSEN = Exercise(
    id="8.10", kind="write", points=4, minutes=20, version=1,
    hints=(
        "Two stages. First a score for each chunk, from its mean key; then one softmax over the "
        "keys of the chunks that were taken.",
        "The places of the best scores of a row come from `np.argsort`. Every query has its own.",
        "Make a boolean mask with a row per query and a column per key. What is not seen has to be "
        "gone before the softmax, not after it.",
    ),
    cases=_chosen_cases,
    spared={"empty": "without keys there is no chunk to choose"},
    reference=_chosen_reference,
    mistakes=switched(_chosen, {
        "means-alone": "You used the means of the chosen chunks. They only choose; then their keys "
                       "are looked at one by one.",
        "best-key": "You chose the chunks by their best key. To find it, every key has to be "
                    "looked at. Asked for is the mean.",
        "sums": "You chose by sums of keys, or divided the last one by the size of a whole chunk. "
                "Then a short chunk is taken too seldom.",
        "first-keys": "You chose the chunks by their first key. Which key stands for a chunk?",
        "one-choice": "All your queries take the same chunks. Each has its own choice.",
        "worst": "You took the chunks that fit worst. Look at the order of `argsort`.",
        "absolute": "You chose by the size of the score, whatever its sign. A chunk far below 0 is "
                    "the last to take.",
        "counted": "You raised the scores by the log of the chunk's size. That is for means that "
                   "take part in the softmax; here they only choose.",
        "one-fewer": "You take one chunk too few.",
        "no-scale": "Your scores are not scaled: see equation (1.6).",
        "zero-scores": "Keys that were not chosen have the score 0 and still get weight. Which "
                       "score gets none?",
        "cut-after": "You cut after the softmax: the weights of what is left do not sum to one.",
        "each-alone": "Every chosen chunk has a softmax of its own, and you averaged. One softmax "
                      "goes over all their keys.",
        "tail-dropped": "You left out the last chunk where it is shorter.",
    }, pairs=[("best-key", "no-scale"), ("one-choice", "no-scale"), ("worst", "no-scale"),
              ("first-keys", "no-scale"), ("sums", "no-scale"), ("cut-after", "no-scale"),
              ("one-choice", "zero-scores"), ("best-key", "cut-after"),
              ("each-alone", "no-scale"), ("means-alone", "no-scale"),
              ("one-fewer", "no-scale"), ("zero-scores", "no-scale")]),
    forbidden=("attnlib.multilevel.selected_attention",),
    variants=(_chosen_masked, _chosen_torch),
)


# 8.11  Both ways at once

def _both(query, key, value, state, total, chunk, *, faults=frozenset()):
    n = len(query) // chunk * chunk if "tail-dropped" in faults else len(query)
    rows = []
    if "from-nothing" in faults:
        state, total = 0 * state, 0 * total
    for start in range(0, n, chunk):
        q, k, v = (x[start:start + chunk] for x in (query, key, value))
        if "state-first" in faults:
            state, total = state + k.T @ v, total + k.sum(0)
        weights = q @ k.T
        if "sees-ahead" not in faults:
            weights = np.tril(weights, -1 if "not-itself" in faults else 0)
        if "softmax" in faults:
            weights = softmax(np.where(np.tri(*weights.shape, dtype=bool), q @ k.T, -np.inf))
        past, sum_past = q @ state, q @ total
        if "past-alone" in faults:
            weights = 0 * weights
        if "chunk-alone" in faults:
            past, sum_past = 0 * past, 0 * sum_past
        share = sum_past if "past-divides" in faults else (
            weights.sum(-1) if "chunk-divides" in faults else sum_past + weights.sum(-1))
        if "undivided" in faults:
            share = 1 + 0 * share
        if "two-averages" in faults:
            rows.append((weights @ v / weights.sum(-1)[:, None] + past / sum_past[:, None]) / 2)
        else:
            rows.append((weights @ v + past) / share[:, None])
        if "state-first" not in faults:
            forget = 0 if "last-chunk" in faults else 1
            state, total = forget * state + k.T @ v, forget * total + k.sum(0)
    if "mean-state" in faults:
        state, total = state / len(query), total / len(query)
    return np.concatenate(rows) if rows else np.zeros((0, value.shape[1])), state, total


def _both_reference(query, key, value, state, total, chunk):
    """All at once."""
    weights = np.tril(query @ key.T)
    output = (weights @ value + query @ state) / (weights.sum(-1) + query @ total)[:, None]
    return output, state + key.T @ value, total + key.sum(0)


def _both_recurrent(query, key, value, state, total, chunk):
    rows = []
    for q, k, v in zip(query, key, value):
        state, total = state + np.outer(k, v), total + k
        rows.append(q @ state / (q @ total))
    return np.array(rows), state, total


def _both_torch(query, key, value, state, total, chunk):
    import torch
    with_ones = torch.cat([value, torch.ones_like(value[:, :1])], -1)
    state, rows = torch.cat([state, total[:, None]], -1), []
    for q, k, v in zip(query.split(chunk), key.split(chunk), with_ones.split(chunk)):
        row = q @ state + (q @ k.mT).tril() @ v
        rows.append(row[:, :-1] / row[:, -1:])
        state = state + k.mT @ v
    return torch.cat(rows), state[:, :-1], state[:, -1]


def _both_cases(seed):
    rng = np.random.default_rng([seed, 91])

    def case(n, chunk, d_k=5, d_v=3, empty=False, hard=""):
        query, key = rng.uniform(0.1, 2, size=(2, n, d_k))
        told = rng.uniform(0.1, 2, size=(7, d_k))
        state, total = told.T @ rng.normal(size=(7, d_v)), told.sum(0)
        value = rng.normal(size=(n, d_v))
        return Case((query, key, value, state * (not empty), total * (not empty), chunk), hard=hard)

    alike = case(4, 3, d_k=4, d_v=4, hard="all lengths alike")
    alike.args[1][1] *= 1e-3
    alike.args[2][:] *= 200
    return [alike, case(1, 1, d_k=1, d_v=1, hard="all lengths 1"),
            case(12, 4), case(15, 5, d_k=4, d_v=6), case(8, 2),
            case(11, 4, hard="a last chunk that is shorter"),
            case(6, 9, hard="a chunk longer than the text"),
            case(7, 1, hard="chunks of one"),
            case(10, 4, empty=True, hard="nothing told before")]


_BOTH = Exercise(
    id="8.11", kind="write", points=4, minutes=20, version=1,
    hints=(
        "A query sees two things: what was said before its chunk, which is in the state, and its "
        "own chunk up to itself. Both add up above the fraction line, and both below it.",
        "Inside the chunk it is the left side of (8.5): a lower triangle of weights. For what came "
        "before it is the right side: one product with the state.",
        "The state takes in the whole chunk at once, after the chunk has been read.",
    ),
    cases=_both_cases,
    spared={"empty": "a text without words leaves the state as it was"},
    reference=_both_reference,
    mistakes=switched(_both, {
        "sees-ahead": "Inside its chunk a query sees words that come after it.",
        "not-itself": "A query does not see its own word.",
        "state-first": "Your state takes in a chunk before its queries are answered: they see it "
                       "twice, and what lies ahead as well.",
        "past-alone": "Your queries are answered by the state alone. Where is their own chunk?",
        "chunk-alone": "Your queries see their own chunk alone. Where does the state come in?",
        "past-divides": "You divide by the weights of the past alone.",
        "chunk-divides": "You divide by the weights of the chunk alone.",
        "undivided": "You do not divide: below the line stands the sum of all weights.",
        "two-averages": "You averaged two answers. Past and chunk add up above the line and below "
                        "it, and are divided once.",
        "softmax": "Inside the chunk you took a softmax. The features are multiplied, and no more: "
                   "phi stands in its place.",
        "last-chunk": "Your state holds the last chunk alone: it forgets what it held before.",
        "from-nothing": "You begin with an empty state. Something was told before.",
        "mean-state": "You divided the state by the length. It is a sum.",
        "tail-dropped": "You left out what remains when the chunk does not divide the length.",
    }, pairs=[("sees-ahead", "undivided"), ("not-itself", "from-nothing"),
              ("sees-ahead", "from-nothing"), ("sees-ahead", "last-chunk"),
              ("undivided", "from-nothing"), ("tail-dropped", "sees-ahead"),
              ("chunk-divides", "sees-ahead"), ("tail-dropped", "undivided"),
              ("sees-ahead", "mean-state"), ("not-itself", "undivided")]),
    variants=(_both_recurrent, _both_torch),
)


# 8.12  Referee: two halves of two tables

def _joined(rows, model, other, *, faults=frozenset()):
    table = {}
    for row in rows:
        table.setdefault((row["model"], row["words"]), {})[row["what"]] = row["value"]
    found = []
    for (name, words), mine in table.items():
        theirs = table.get((other, words), {})
        if name != model:
            continue
        if "any-length" in faults:  # costs and accuracies from wherever they were measured
            mine, theirs = (_anywhere(table, who, words) for who in (model, other))
        if "cost-anywhere" in faults:
            longest = max((at for who, at in table if who == other and "cost" in table[who, at]
                           and "cost" in table.get((model, at), {})), default=None)
            if longest is not None:
                mine = mine | {"cost": table[model, longest]["cost"]}
                theirs = theirs | {"cost": table[other, longest]["cost"]}
        needed = ("cost", "near") if "far-left-out" in faults else ("cost", "near", "far")
        if any(what not in side for what in needed for side in (mine, theirs)):
            if "zeros" not in faults or "but-no-costs" in faults and any(
                    "cost" not in side for side in (mine, theirs)):
                continue
        ratio = mine.get("cost", 0) / theirs.get("cost", 0)
        if "inverted" in faults:
            ratio = 1 / ratio
        if "saved" in faults:
            ratio = 1 - ratio
        if "difference" in faults:
            ratio = mine["cost"] - theirs["cost"]
        points = [100 * (mine.get(what, 0) - theirs.get(what, 0)) for what in ("near", "far")]
        if "turned" in faults:
            points = [-point for point in points]
        if "shares" in faults:
            points = [point / 100 for point in points]
        if "far-first" in faults:
            points = points[::-1]
        found.append((words, ratio, *points))
    if "as-they-come" not in faults:
        found = sorted(found)
    return found[-1:] if "longest-alone" in faults else found


def _anywhere(table, who, words):
    """What a model has at the nearest length that has it."""
    found = {}
    for what in ("cost", "near", "far"):
        at = [length for name, length in table if name == who and what in table[name, length]]
        if at:
            nearest = min(at, key=lambda length: (abs(length - words), length))
            found[what] = table[who, nearest][what]
    return found


def _joined_reference(rows, model, other):
    return _joined(rows, model, other)


def _joined_by_length(rows, model, other):
    found = []
    for words in sorted({row["words"] for row in rows}):
        value = {(row["model"], row["what"]): row["value"] for row in rows
                 if row["words"] == words}
        wanted = [(name, what) for name in (model, other) for what in ("cost", "near", "far")]
        if all(key in value for key in wanted):
            cost, near, far, cost_2, near_2, far_2 = (value[key] for key in wanted)
            found.append([words, cost / cost_2, 100 * (near - near_2), 100 * (far - far_2)])
    return found


def _joined_arrays(rows, model, other):
    def column(name, what):
        return {r["words"]: r["value"] for r in rows if (r["model"], r["what"]) == (name, what)}

    columns = [column(name, what) for what in ("cost", "near", "far") for name in (model, other)]
    both = sorted(set.intersection(*map(set, columns)))
    a, b, c, d, e, f = (np.array([one[words] for words in both]) for one in columns)
    return [(int(words), *row) for words, *row in zip(
        both, (a / b).tolist(), (100 * (c - d)).tolist(), (100 * (e - f)).tolist())]


def _joined_judge(cases, outcomes):
    """Right rows in another order, whichever it is."""
    moved = False
    for case, outcome in zip(cases, outcomes):
        got, wanted = finite_array(outcome.value), np.array(_joined_reference(*case.args))
        if got is None or got.shape != wanted.shape:
            return None
        rising = np.argsort(got[:, 0]) if got.ndim == 2 else slice(None)
        if not np.allclose(got[rising], wanted, rtol=1e-4):
            return None
        moved |= not np.allclose(got, wanted, rtol=1e-4)
    return next((Result("known_mistake", mistake.sentence, mistake=mistake.name)
                 for mistake in _JOINED.mistakes if moved and mistake.name == "as-they-come"), None)


def _joined_cases(seed):
    rng = np.random.default_rng([seed, 92])

    def case(lengths, missing=(), hard=""):
        names = ["full", "two levels", "window"]
        rows = [dict(model=name, words=int(words), what=what, value=value)
                for words in lengths for name in names for what, value in (
                    ("cost", float(np.round(words * rng.uniform(20, 90), 1))),
                    ("near", float(np.round(rng.uniform(0.1, 1), 2))),
                    ("far", float(np.round(rng.uniform(0.1, 1), 2))))
                if (name, int(words), what) not in missing]
        rows = [rows[i] for i in rng.permutation(len(rows))]
        return Case((rows, "two levels", "full"), hard=hard)

    return [case((48, 192)), case((32, 64, 256)), case((100,)),
            case((48, 192, 2048), hard="costs alone at the greatest length",
                 missing={(name, 2048, what) for name in ("full", "two levels", "window")
                          for what in ("near", "far")}),
            case((48, 96, 1024), hard="no costs at the smallest length",
                 missing={(name, 48, "cost") for name in ("full", "two levels", "window")}),
            case((48, 2048), hard="nothing that can be joined",
                 missing={("full", 48, "cost"), ("two levels", 48, "cost"),
                          ("full", 2048, "near"), ("two levels", 2048, "near")}),
            case((40, 160), missing={("full", 160, "far")}, hard="one number is missing")]


_JOINED = Exercise(
    id="8.12", kind="write", points=4, minutes=20, version=1,
    hints=(
        "A cost and an accuracy belong together if one model had both at one length. Sort the rows "
        "by model and length first.",
        "Keep the lengths at which both models have all three numbers. What is missing must not be "
        "borrowed from another length.",
    ),
    cases=_joined_cases,
    reference=_joined_reference,
    mistakes=switched(_joined, {
        "any-length": "You borrowed what is missing from another length: the flaw of the "
                      "experiment itself.",
        "cost-anywhere": "Your costs come from the greatest length, your accuracies from another: "
                         "the flaw of the experiment itself.",
        "far-left-out": "You ask for cost and near alone. A model that is blind to what is far "
                        "would pass.",
        "zeros": "You took what is missing for 0. Leave such a length out.",
        "inverted": "Your ratio is turned: asked for is the cost of `model` as a multiple of that "
                    "of `other`.",
        "saved": "You gave the share that is saved. Asked for is the cost of `model` as a multiple "
                 "of that of `other`.",
        "difference": "You gave a difference of costs. At other lengths it would be another: ask "
                      "for the ratio.",
        "turned": "Your points are turned: asked for is what `model` has more than `other`.",
        "shares": "Your differences are shares. A point is one hundredth.",
        "far-first": "Right numbers, but far stands before near.",
        "as-they-come": "Right numbers, but they are not in rising order of the length.",
        "longest-alone": "You kept the greatest length alone. List every length that is fair.",
    }, pairs=[("inverted", "turned"), ("turned", "shares"), ("any-length", "inverted"),
              ("any-length", "shares"), ("cost-anywhere", "inverted"), ("inverted", "shares"),
              ("inverted", "as-they-come"), ("shares", "as-they-come")],
    also=[("zeros", "but-no-costs")]),
    judge=_joined_judge,
    variants=(_joined_by_length, _joined_arrays),
)


# 8.13  Make it flip: a matter of the budget

_CLEAR = 0.1  # by so much the worst run of one model is above the best of the other
_BUDGETS = (20, 40, 80, 160, 320)
_RUNS = {  # at 32 words, smallest and largest of three runs, at each budget
    "near": {"full": ((0.15, 0.17), (0.16, 0.50), (0.39, 0.88), (0.92, 1.0), (1.0, 1.0)),
             "mixture": ((1.0, 1.0),) * 5},
    "far": {"full": ((0.24, 0.25), (0.81, 0.94), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0)),
            "mixture": ((0.14, 0.18), (0.20, 0.62), (0.70, 1.0), (1.0, 1.0), (1.0, 1.0))},
    "after": {"full": ((0.12, 0.18), (0.13, 0.15), (0.11, 0.13), (0.09, 0.13), (0.10, 0.14)),
              "mixture": ((0.12, 0.16), (0.13, 0.19), (0.30, 0.68), (1.0, 1.0), (1.0, 1.0))},
}


def _ahead(first, second, question, steps):
    """By how much the worst run of one model is above the best of the other."""
    at = _BUDGETS.index(steps)
    return round(_RUNS[question][first][at][0] - _RUNS[question][second][at][1], 2)


def _budget_judge(cases, outcomes):
    answer = outcomes[0].value
    if not isinstance(answer, dict) or not {"lost", "behind", "kept"} <= answer.keys():
        return another_form('Return a dict with "lost", "behind" and "kept".')
    (lost, few, many), (behind, at), kept = (answer[name] for name in ("lost", "behind", "kept"))
    few, many, at = (int(steps) for steps in (few, many, at))
    lost, behind, kept = (str(question).strip().lower() for question in (lost, behind, kept))
    if not {lost, behind, kept} <= _RUNS.keys() or not {few, many, at} <= {*_BUDGETS}:
        return another_form("Questions are near, far and after; numbers of steps are those of "
                            "the table.", f"got {lost}, {few}, {many}; {behind}, {at}; {kept}")
    first, then = (_ahead("mixture", "full", lost, steps) for steps in (few, many))
    last = [_ahead("mixture", "full", kept, steps) for steps in _BUDGETS]
    other = _ahead("full", "mixture", behind, at)
    told = (f'"lost": the mixture is ahead by {first:+} at {few} steps, by {then:+} at {many}\n'
            f'"behind": full attention is ahead by {other:+} at {at} steps\n'
            f'"kept": the mixture is ahead by {", ".join(f"{lead:+}" for lead in last)}')
    faults = {"backwards": few >= many,
              "gained": lost == "after",
              "not-ahead": first < _CLEAR,
              "still-ahead": then >= _CLEAR,
              "runs-overlap": behind == "far" and other < _CLEAR,
              "not-behind": other < _CLEAR,
              "kept-near": kept == "near",
              "kept-far": kept == "far"}
    for mistake in _BUDGET.mistakes:
        if faults[mistake.name]:
            return Result("known_mistake", mistake.sentence, told, mistake=mistake.name)
    return None


def _budget(lost=("near", 40, 320), behind=("far", 40), kept="after"):
    return {"lost": lost, "behind": behind, "kept": kept}


def _budget_mistake(name, sentence, **changes):
    return Mistake(name, sentence, functools.partial(_budget, **changes))


_BUDGET = Exercise(
    id="8.13", kind="open-ended", points=3, minutes=15, version=1,
    hints=(
        "Clearly ahead compares the worst run of one with the best of the other. Take the "
        "differences of the columns that stand for them, row by row.",
        "For each question ask what happens to the lead as the steps grow: does it vanish, does it "
        "come, does it change sides?",
    ),
    cases=lambda seed: [Case()],
    reference=None,
    mistakes=(
        _budget_mistake("backwards", 'In "lost" the smaller number of steps comes first: more '
                        "training takes the lead away.", lost=("near", 320, 40)),
        _budget_mistake("gained", 'In "lost" you named a lead that comes with training. Which one '
                        "goes?", lost=("after", 40, 160)),
        _budget_mistake("not-ahead", 'In "lost" the mixture is not clearly ahead at the smaller '
                        "number of steps.", lost=("far", 40, 160)),
        _budget_mistake("still-ahead", 'In "lost" the mixture is still clearly ahead at the larger '
                        "number of steps.", lost=("near", 20, 80)),
        _budget_mistake("runs-overlap", 'In "behind" full attention leads in the mean. Its worst '
                        "run is not clearly above the mixture's best.", behind=("far", 80)),
        _budget_mistake("not-behind", 'In "behind" full attention is not ahead. What does the '
                        "mixture learn later than full attention alone?", behind=("near", 160)),
        _budget_mistake("kept-near", 'In "kept" you named what full attention learns as well, only '
                        "later.", kept="near"),
        _budget_mistake("kept-far", 'In "kept" you named what full attention learns first.',
                        kept="far"),
    ),
    judge=_budget_judge,
    variants=(_budget, lambda: dict(kept="After", behind=["far", 40.0], lost=["near", 80, 160])),
)


EXERCISES = (_BILL, _GAPS, _PIECES, _HIDDEN, _NEAR_FAR, _FORESEEN, _SPREAD, _BACKWARD, _ORDER,
             _CHOSEN, _BOTH, _JOINED, _BUDGET)
