"""Chapter 8, "Multi-level and chunked attention": its exercises, and what people answer."""

import math

import numpy as np

from ..attention import attention, softmax
from ..diagnostics import reachable
from ..masks import causal_mask
from .core import READY_MADE, Case, Exercise, broken_law, flipped, switched

# 8.1  The bill on paper

def _bill(*, faults=frozenset()):
    n, d, k, window = 1000, 100, 5, 100
    scores_and_mix = 1 if "no-mixing" in faults else 2
    recurrent = 1 if "no-input" in faults else 2
    seen = 0 if "n-over-k" in faults else 1  # a layer of k reaches k - 1 words back
    rounded = math.floor if "rounded-down" in faults else math.ceil
    attention_cost = scores_and_mix * n * n * d
    if "projections" in faults:
        attention_cost += 3 * n * d * d
    if "width-squared" in faults:
        attention_cost = 2 * n * n * d * d
    steps = n if "n-over-k" in faults else n - 1
    return {
        "attention": attention_cost,
        "recurrence": recurrent * n * (d if "width-once" in faults else d * d),
        "convolution": (1 if "no-kernel" in faults else k) * n * d * d,
        "equal": recurrent * d // scores_and_mix if scores_and_mix == 2 else recurrent * d,
        "layers": rounded(steps / (k - seen)),
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
        "n-over-k": "You divided the length by what a layer sees. How far *back* does it see?",
        "rounded-down": "With so few layers, the first word is just out of sight.",
    }, pairs=[("no-mixing", "no-input"), ("no-mixing", "n-over-k"), ("no-input", "n-over-k"),
              ("no-kernel", "n-over-k"), ("no-mixing", "no-kernel"), ("no-input", "no-kernel"),
              ("projections", "n-over-k"), ("no-mixing", "rounded-down"),
              ("no-input", "rounded-down"), ("width-squared", "n-over-k"),
              ("projections", "rounded-down")]),
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
    reference=_gaps_reference,
    mistakes=switched(_gaps, {
        "top-left": "With fewer queries than keys, your first query stands at place 0. Where "
                    "should the last one stand?",
        "both-sides": "Your queries see keys after their own place.",
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
    rows = []
    for q in query:
        top, total, output = -math.inf, 0.0, 0.0
        for k, v in zip(key, value):
            score = float(q @ k) / math.sqrt(len(q))
            new = max(top, score)
            shrink, part = math.exp(top - new), math.exp(score - new)
            total, output, top = shrink * total + part, shrink * output + part * v, new
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

    def case(n_q, n_k, chunk, size=1.5, order=None, below=False, hard="", room=0):
        query, key = rng.normal(size=(n_q, 6)) * size, rng.normal(size=(n_k, 6)) * size
        if below:  # every score far below 0
            query, key = np.abs(query) + size, -np.abs(key) - size
        if order:  # the best keys first, or last
            key = key[np.argsort(key @ query.mean(0))[::order]]
        return Case((query, key, rng.normal(size=(n_k, 3)), chunk), hard=hard, room=room)

    return [case(4, 12, 5), case(7, 15, 4, order=1), case(5, 16, 8, order=-1), case(2, 9, 1),
            case(4, 11, 5, size=40, hard="scores in the thousands"),
            case(5, 13, 4, size=40, order=-1, hard="scores in the thousands, falling"),
            case(5, 14, 4, size=30, below=True, hard="scores far below 0"),
            case(4, 7, 20, hard="a chunk longer than the text"),
            case(1, 10, 3, hard="a single query"),
            case(10, 1600, 40, room=10 * 1600 * 4, hard="a long text")]  # all, in float32


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
    fill = -1e9 if "big-number" in faults else -1e3 if "not-so-big" in faults else -math.inf
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
                scores = np.where(seen, scores, fill)
            new = np.maximum(top, scores.max(-1, keepdims=True))
            shrink, part = np.exp(top - new), np.exp(scores - new)
            if {"skips-hidden-chunks", "patched-at-the-end", "big-number", "not-so-big",
                    "unmasked", "as-it-was"}.isdisjoint(faults):
                shrink, part = np.nan_to_num(shrink), np.nan_to_num(part)
            total = shrink * total + part.sum(-1, keepdims=True)
            output = shrink * output + part @ value[part_of]
            top = new
        if "empty-is-nan" in faults or "as-it-was" in faults:
            return output / total
        if "plus-one" in faults:
            return output / (total + 1)
        result = output / total
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

    def case(n_q, n_k, chunk, hide, shift=0.0, hard=""):
        query, key = rng.normal(size=(n_q, 6)) * 1.5, rng.normal(size=(n_k, 6)) * 1.5
        if shift:  # every score about as far below 0
            query, key = np.abs(query) * shift, -np.abs(key) * shift
        mask = rng.random((n_q, n_k)) < 0.7
        mask[:, 0] = mask[:, chunk + 1] = mask[:, -1] = True
        hide(mask, chunk)
        return Case((query, key, rng.normal(size=(n_k, 3)), mask, chunk), hard=hard)

    def first_chunk(mask, chunk):
        mask[1::2, :chunk] = False

    def everything(mask, chunk):
        mask[1] = False

    def first_for_all(mask, chunk):
        mask[:, :chunk] = False

    def nothing(mask, chunk):
        pass

    return [case(5, 13, 4, nothing), case(7, 16, 5, nothing),
            case(5, 12, 4, first_chunk, hard="a first chunk that some queries may not see"),
            case(7, 15, 4, first_for_all, hard="a first chunk that nobody may see"),
            case(4, 14, 5, everything, hard="a query that may see nothing"),
            case(5, 11, 3, nothing, shift=30, hard="scores far below 0"),
            case(4, 10, 3, first_chunk, shift=30, hard="both")]


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
        "big-number": "A row that may see nothing averages what is hidden from it. A large "
                      "negative number is not minus infinity.",
        "not-so-big": "Your large negative number lies among real scores: hidden keys get in.",
        "top-from-zero": "The largest score so far begins at 0 now. What if all scores are far "
                         "below that?",
        "empty-is-nan": "Better. A query that may see nothing at all still divides 0 by 0.",
        "plus-one": "You added to the sum that you divide by. Now the weights of every row are "
                    "too small.",
        "unmasked": "The mask is gone: your queries see everything.",
    }, pairs=[("top-from-zero", "empty-is-nan"), ("skips-half-hidden", "empty-is-nan"),
              ("skips-hidden-chunks", "empty-is-nan"),
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

    def summary(x, piece):
        if "sums" in faults:
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
        if "past-only" in faults:
            others = [c for c in others if c <= own]
        near = slice(own * chunk, (own + 1) * chunk)
        if "window" in faults:
            near = slice(max(i - chunk + 1, 0), i + 1)
        if "near-past-only" in faults:
            near = slice(own * chunk, i + 1)
        near_scores, far_scores = key[near] @ q * scale, far_key[others] @ q * scale
        if "full-count" in faults:
            far_scores = far_scores + math.log(chunk)
        elif "multiplied" in faults:
            far_scores = far_scores * sizes[others]
        elif "not-counted" not in faults:
            far_scores = far_scores + np.log(sizes[others])
        if "near-only" in faults or not others:
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

    def case(n, chunk, size=1.5, hard=""):
        query, key = rng.normal(size=(2, n, 6)) * size
        return Case((query, key, rng.normal(size=(n, 4)), chunk), hard=hard)

    return [case(12, 3), case(15, 5), case(20, 4),
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
        "A mean of m keys counts m times, and its exponential is a product: what must be added to "
        "the score, so that `exp` multiplies by m?",
    ),
    cases=_near_far_cases,
    reference=_near_far_reference,
    mistakes=switched(_near_far, {
        "sums": "You summed the keys and values of a chunk. A chunk is seen through its mean.",
        "full-size": "Your mean of the last chunk divides by the size of a whole one.",
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
        "near-only": "Your queries see their own chunk alone. Where are the means?",
        "far-only": "Your queries see the means alone. Where is their own chunk?",
        "two-softmaxes": "You made two softmaxes and averaged. Near and far compete under one.",
        "tail-dropped": "You left out the last chunk where it is shorter.",
    }, pairs=[("sums", "no-scale"), ("full-size", "no-scale"), ("own-twice", "no-scale"),
              ("sums", "own-twice"), ("first-value", "no-scale"), ("two-softmaxes", "own-twice"),
              ("past-only", "no-scale"), ("past-only", "near-past-only"),
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
        (n, window), value = case.args, outcome.value
        gaps = value.tolist() if isinstance(value, np.ndarray) else value
        if not isinstance(gaps, (list, tuple)) or not all(
                isinstance(gap, (int, float)) and gap == gap // 1 and 0 < gap < 1e9
                for gap in gaps):
            return broken_law("Return a list of whole numbers of at least 1, one dilation for "
                              "each layer.")
        if len(gaps) > (fewest := _fewest(n, window)):
            return broken_law(f"With {n} words and {window} keys for each, {len(gaps)} layers are "
                              f"more than are needed: {fewest} will do.",
                              f"n {n}, window {window}\ndilations {list(gaps)}")
        masks = [_gaps(n, n, window, int(gap)) for gap in gaps]
        seen = reachable(masks) if masks else np.eye(n, dtype=bool)
        missed = np.argwhere(causal_mask(n) & ~seen)
        if len(missed):
            i, j = missed[-1]
            return broken_law(f"After your {len(gaps)} layers the word at {i} cannot know of the "
                              f"word at {j}.", f"n {n}, window {window}\ndilations {list(gaps)}\n"
                              f"pairs that are missed: {len(missed)}")
    return None


def _spread_by_division(n, window):
    gaps, gap = [], 1
    while gap < n:
        gaps.insert(0, gap)
        gap *= window
    return gaps


def _spread_cases(seed):
    rng = np.random.default_rng([seed, 87])
    return [Case((27, 3)), Case((int(rng.integers(65, 90)), 4)),
            Case((int(rng.integers(28, 60)), 3)), Case((int(rng.integers(26, 110)), 5)),
            Case((int(rng.integers(33, 60)), 2), hard="two keys for each"),
            Case((64, 4), hard="no word to spare"), Case((10, 12), hard="one layer is enough")]


_SPREAD = Exercise(
    id="8.7", kind="open-ended", points=5, minutes=20, version=1,
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
    }, pairs=[("reach-for-base", "one-more"), ("first-skipped", "one-more"),
              ("first-skipped", "base-too-large"), ("doubling", "one-more"),
              ("base-too-large", "one-less"), ("doubling", "first-skipped"),
              ("first-skipped", "one-less"), ("growing-by-one", "one-more")]),
    judge=_spread_judge,
    variants=(_spread, _spread_by_division),
)


EXERCISES = (_BILL, _GAPS, _PIECES, _HIDDEN, _NEAR_FAR, _FORESEEN, _SPREAD)
