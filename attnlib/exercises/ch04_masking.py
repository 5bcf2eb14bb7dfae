"""Chapter 4, "Masking": what its exercises ask, and what people answer."""

import math

import numpy as np

from ..attention import attention, softmax
from ..masks import window_mask
from .core import READY_MADE, Case, Exercise, broken_law, switched, with_numbers


def _shares(scores, axis=-1, overflow=False, empty_is_nan=False):
    """A softmax with or without what keeps it finite: the shift, and a total above 0."""
    with np.errstate(all="ignore"):
        top = scores.max(axis=axis, keepdims=True)
        if overflow:
            top = np.zeros_like(top)
        if not empty_is_nan:
            top = np.where(top == -np.inf, 0.0, top)
        parts = np.exp(scores - top)
        total = parts.sum(axis=axis, keepdims=True)
        return parts / (total if empty_is_nan else np.where(total == 0, 1.0, total))


# 4.1  A mask on paper

_PAPER_PARTS = np.array([[2.0, 5, 1, 9], [1, 3, 6, 1], [2, 7, 1, 5], [1, 1, 2, 8]])


def _paper(*, exponentials=_PAPER_PARTS, faults=frozenset()):
    allowed = np.ones((4, 4), bool) if "future" in faults else np.tri(
        4, k=-1 if "strict" in faults else 0, dtype=bool)
    if "padding" not in faults:
        allowed = allowed & (np.arange(4) < 3)
    if "reversed" in faults:
        allowed = ~allowed
    if "silent-padding" in faults:
        allowed = allowed & (np.arange(4) < 3)[:, None]
    parts = np.where(allowed, exponentials, 1.0 if "zero-scores" in faults else 0.0)
    below = exponentials if "not-renormalised" in faults else parts
    weights = parts / np.maximum(below.sum(0 if "columns" in faults else 1, keepdims=True), 1e-9)
    if "columns" in faults:
        weights = parts / np.maximum(below.sum(0), 1e-9)
    return {"second": weights[1].tolist(), "third": weights[2].tolist(),
            "fourth": weights[3].tolist(), "pairs": int(allowed.sum())}


def _matrix_of_logs(exponentials):
    """Rows of numbers as the statement writes their logarithms."""
    return [" & ".join("0" if x == 1 else rf"\ln {x:.0f}" for x in row) for row in exponentials]


def _vary_paper(rng):
    """Other exponentials; no hidden one is 1, which would be the score 0."""
    exponentials = rng.integers(1, 10, size=(4, 4)).astype(float)
    exponentials[:, 3] = rng.permutation(np.arange(2.0, 10.0))[:4]
    exponentials[1, 2] = rng.integers(2, 10)
    words = dict(zip(_matrix_of_logs(_PAPER_PARTS), _matrix_of_logs(exponentials)))
    return with_numbers(_PAPER, dict(exponentials=exponentials), words)


_PAPER = Exercise(
    id="4.1", kind="by hand", points=2, minutes=8, version=1,
    hints=(
        "Cross out what is hidden, row by row: what lies to the right of the diagonal, and the "
        "whole last column.",
        "The exponentials of the scores are whole numbers. In each row, divide those that are left "
        "by their own sum.",
        "The last query is padding, but nothing was said about hiding queries: it still looks at "
        "the keys that are left to it.",
    ),
    cases=lambda seed: [Case()],
    reference=_paper,
    mistakes=switched(_paper, {
        "future": "Your queries see keys that come after them. Causal means: up to its own place.",
        "padding": "The last query sees the last key. That one is padding and hidden from "
                   "everybody.",
        "strict": "Your words do not see themselves. A causal mask leaves the diagonal open.",
        "reversed": "Your weights lie on the hidden keys. Here, True means that a query may look.",
        "silent-padding": "You took the last query's sight away. Padding is hidden as a key; "
                          "as a query it may still look.",
        "zero-scores": "You gave hidden keys the score 0. Its exponential is 1, so they still get "
                       "a share.",
        "not-renormalised": "Your rows do not sum to one: you divided by the sum over all four "
                            "keys and crossed out afterwards.",
        "columns": "You divided by the sums of the columns. Each query shares out one whole.",
    }, pairs=[("future", "padding"), ("future", "not-renormalised"),
              ("padding", "not-renormalised"), ("padding", "zero-scores"),
              ("strict", "not-renormalised"), ("future", "columns"),
              ("strict", "zero-scores"), ("strict", "silent-padding")]),
    variants=(
        lambda: {"second": (0.25, 0.75, 0, 0), "third": [0.2, 0.7, 0.1, 0],
                 "fourth": np.array([0.25, 0.25, 0.5, 0.0]), "pairs": 9.0},
    ),
    vary=_vary_paper,
)


# 4.2  A masked softmax

def _masked(scores, mask, *, faults=frozenset()):
    mask = np.broadcast_to(~mask if "polarity" in faults else mask, scores.shape)
    if "in-place" in faults:
        scores[~mask] = -np.inf
    if "multiplied" in faults:
        seen = scores * mask
    elif "added" in faults:
        seen = scores + mask
    elif "after" in faults:
        seen = scores
    elif "added-big" in faults:
        seen = scores + np.where(mask, 0.0, -1e9)
    else:
        fill = -1e9 if "filled" in faults else -1e4 if "small-fill" in faults else -np.inf
        seen = np.where(mask, scores, fill)
    if "hidden-top" in faults:
        seen = seen - scores.max(axis=-1, keepdims=True)
    weights = _shares(seen, -2 if "over-queries" in faults else -1,
                      overflow=bool({"overflow", "hidden-top"} & faults),
                      empty_is_nan="nan-rows" in faults)
    return weights * mask if "after" in faults else weights


def _masked_reference(scores, mask):
    return softmax(np.where(mask, scores, -np.inf))


def _masked_loops(scores, mask):
    weights = np.zeros(scores.shape)
    mask = np.broadcast_to(mask, scores.shape)
    for place in np.ndindex(scores.shape[:-1]):
        seen = np.flatnonzero(mask[place])
        if len(seen):
            parts = np.exp(scores[place][seen] - scores[place][seen].max())
            weights[place][seen] = parts / parts.sum()
    return weights


def _masked_torch(scores, mask):
    import torch
    weights = torch.softmax(scores.masked_fill(~mask, -math.inf), dim=-1)
    return torch.where(mask.any(dim=-1, keepdim=True), weights, 0)


def _masked_cases(seed):
    rng = np.random.default_rng([seed, 42])

    def some(*shape):
        mask = rng.random(shape) < 0.55
        mask[..., rng.integers(shape[-1])] = True
        mask[..., 0, :2] = True, False
        return mask

    plain = Case((rng.normal(0, 2, (4, 6)), some(4, 6)))
    batch = Case((rng.normal(0, 2, (3, 5, 4)), np.arange(4) < np.array([2, 4, 1])[:, None, None]))
    large, mask = np.round(rng.normal(0, 900, (6, 5))), some(6, 5)  # whole: exact in float32 too
    large = np.where(mask, large, large + 5000)
    deep = np.round(rng.normal(0, 2, (5, 3))) - 1e5
    empty = some(5, 7)
    empty[[1, 3]] = False
    return [plain, batch, Case((rng.normal(0, 2, (2, 3, 5, 4)), some(3, 1, 4))),
            Case((rng.normal(0, 2, (2, 4, 7)), some(1, 7))),
            Case((large, mask), hard="hidden scores far above the others"),
            Case((deep, some(5, 3)), hard="scores of -100,000"),
            Case((rng.normal(0, 2, (5, 7)), empty), hard="empty rows"),
            Case((rng.normal(size=(3, 1)), np.array([[True], [False], [True]])),
                 hard="a single key")]


_MASKED = Exercise(
    id="4.2", kind="write", points=4, minutes=12, version=1,
    hints=(
        "What score must a hidden key have so that its exponential is exactly 0, whatever the "
        "other scores are? `np.where(mask, scores, ...)` puts it in.",
        "Subtract the largest *visible* score of each row before `np.exp`. In an empty row the "
        "largest is minus infinity; subtract 0 there instead.",
        "An empty row has the total 0. Divide it by 1 instead: `np.where(total == 0, 1, total)`.",
    ),
    cases=_masked_cases,
    reference=_masked_reference,
    mistakes=switched(_masked, {
        "polarity": "Your weights lie on the hidden keys. In this book True means \"may attend\".",
        "after": "You took the softmax over all keys and set the hidden weights to 0 afterwards. "
                 "What do your rows sum to?",
        "multiplied": "You multiplied the scores with the mask. A hidden score becomes 0, and the "
                      "exponential of 0 is not 0.",
        "added": "You added the mask to the scores. True counts as 1 there: visible keys gain a "
                 "little, and nothing is hidden.",
        "filled": "Where nothing is visible, all scores are your big negative number, so the "
                  "hidden keys share everything evenly.",
        "small-fill": "Your fill is not low enough: look at the rows whose visible scores are "
                      "lower than it. Which number is lower than every score?",
        "added-big": "A big negative number is added to every score of an empty row, and a softmax "
                     "does not notice what is added to a whole row.",
        "nan-rows": "An empty row becomes NaN: 0/0, or minus infinity minus itself. It should be "
                    "0.",
        "overflow": "For large scores `exp` overflows; subtract something from each row first.",
        "hidden-top": "You subtract the largest of *all* scores. Where a hidden one is far above "
                      "the others, every visible exponential rounds to 0.",
        "over-queries": "Your weights sum to one down the columns. Each row is one query's whole.",
        "in-place": "You wrote into the caller's scores. Make a new array for what you change.",
    }, pairs=[("overflow", "nan-rows"), ("hidden-top", "nan-rows"), ("polarity", "nan-rows"),
              ("polarity", "filled"), ("polarity", "overflow"), ("after", "overflow"),
              ("over-queries", "nan-rows"), ("over-queries", "filled"), ("in-place", "nan-rows"),
              ("multiplied", "overflow"), ("added", "overflow"), ("after", "polarity")]),
    forbidden=(*READY_MADE, "attnlib.softmax"),
    variants=(_masked_loops, _masked_torch),
)


# 4.3  The last few

def _recent(n_q, n_k, window, *, faults=frozenset()):
    offset = 0 if "top-left" in faults else n_k - n_q
    back = np.arange(n_q)[:, None] + offset - np.arange(n_k)[None, :]
    newest, oldest = 0, window - 1  # how far back the nearest and the farthest visible key lie
    if "too-wide" in faults:
        oldest += 1
    if "too-narrow" in faults:
        oldest -= 1
    if "own-hidden" in faults:
        newest, oldest = 1, oldest + 1
    if "future" in faults:
        newest = -n_k - n_q
    if "two-sided" in faults:
        newest = -oldest
    if "no-window" in faults:
        oldest = n_k + n_q
    if "ahead" in faults:
        newest, oldest = -oldest, newest
    allowed = (back >= newest) & (back <= oldest)
    if "polarity" in faults:
        allowed = ~allowed
    if "transposed" in faults:
        allowed = allowed.T
    if "bias" in faults:
        return np.where(allowed, 0.0, -np.inf)
    return allowed.astype(float) if "numbers" in faults else allowed


def _recent_reference(n_q, n_k, window):
    return window_mask(n_q, n_k, window=window, causal=True)


def _recent_loops(n_q, n_k, window):
    allowed = np.zeros((n_q, n_k), dtype=bool)
    for i in range(n_q):
        own = n_k - n_q + i
        allowed[i, max(own - window + 1, 0):max(own + 1, 0)] = True
    return allowed


def _recent_bands(n_q, n_k, window):
    shift = n_k - n_q
    return np.tri(n_q, n_k, shift, dtype=bool) & ~np.tri(n_q, n_k, shift - window, dtype=bool)


def _recent_torch(n_q, n_k, window):
    import torch
    ones = torch.ones(n_q, n_k, dtype=torch.bool)
    return ones.tril(n_k - n_q).triu(n_k - n_q - window + 1)


def _recent_cases(seed):
    rng = np.random.default_rng([seed, 43])

    def case(past, n_q=None, window=None, hard=""):
        n_q = int(rng.integers(5, 9)) if n_q is None else n_q
        window = int(rng.integers(3, 5)) if window is None else window
        return Case((n_q, n_q + past, window), hard=hard)

    return [case(3), case(0), case(int(rng.integers(4, 7))),
            case(2, window=1, hard="a window of one"),
            case(5, n_q=1, hard="a single query"),
            case(-2, n_q=int(rng.integers(6, 9)), hard="more queries than keys"),
            case(2, window=30, hard="a window wider than everything")]


_RECENT = Exercise(
    id="4.3", kind="write", points=3, minutes=10, version=1,
    hints=(
        "Give every query and every key a position on one line, and compare positions. "
        "The last query stands where the last key stands.",
        "Query i has position `n_k - n_q + i`. How far does key j lie behind it, and which "
        "distances are allowed?",
        "Count on your fingers for a window of 3: distances 0, 1 and 2.",
    ),
    cases=_recent_cases,
    reference=_recent_reference,
    mistakes=switched(_recent, {
        "top-left": "Your first query stands at the first key. With a cache there are earlier "
                    "keys: the *last* query stands at the *last* key.",
        "too-wide": "Your queries see one key too many. This is the most common mistake with "
                    "windows: count the keys of one row.",
        "too-narrow": "Your queries see one key too few. Their own counts as one of the window.",
        "own-hidden": "Your queries see the right number of keys, but their own is not "
                      "among them.",
        "future": "Your mask ends the window in the past, but leaves the future open.",
        "two-sided": "Your window reaches to both sides. This one is causal.",
        "no-window": "Your mask is causal, but nothing is too old for it.",
        "ahead": "Your window lies on the wrong side: your queries look forwards.",
        "polarity": "Your mask is True where a query may *not* look.",
        "transposed": "Your rows are keys and your columns queries: look at the shape.",
        "numbers": "Your mask is made of numbers. Return a boolean array.",
        "bias": "You returned what is added to scores, 0 and minus infinity. "
                "A mask here is boolean.",
    }, pairs=[("top-left", "too-wide"), ("top-left", "own-hidden"), ("top-left", "no-window"),
              ("top-left", "too-narrow"), ("top-left", "two-sided"), ("top-left", "polarity"),
              ("polarity", "too-wide"), ("polarity", "numbers"), ("numbers", "too-wide"),
              ("numbers", "top-left"), ("two-sided", "too-wide"), ("bias", "top-left"),
              ("polarity", "no-window"), ("bias", "too-wide")]),
    forbidden=("attnlib.window_mask", "attnlib.causal_mask"),
    variants=(_recent_loops, _recent_bands, _recent_torch),
)


# 4.4  Packed documents

def _packed(lengths, *, faults=frozenset()):
    n, ends = int(lengths.sum()), np.cumsum(lengths)
    place = np.arange(n)
    if "equal-lengths" in faults:
        owner = place // max(n // len(lengths), 1)
    elif "late" in faults:
        owner = np.searchsorted(ends, place, side="left")
    elif "marks" in faults:
        marks = np.zeros(n, int)
        marks[ends[:-1]] += 1
        owner = np.cumsum(marks)
    else:
        owner = np.searchsorted(ends, place, side="right")
    apart = owner[:, None] - owner[None, :]
    allowed = (apart == 0 if "across" not in faults else np.ones((n, n), bool))
    if "previous-too" in faults:
        allowed = (apart == 0) | (apart == 1)
    back = place[:, None] - place[None, :]
    if "both-ways" not in faults:
        allowed = allowed & (back > 0 if "strict" in faults else
                             back <= 0 if "ahead" in faults else back >= 0)
    if "polarity" in faults:
        allowed = ~allowed
    return allowed.astype(float) if "numbers" in faults else allowed


def _packed_reference(lengths):
    return _packed(np.asarray(lengths))


def _packed_repeat(lengths):
    owner = np.repeat(np.arange(len(lengths)), lengths)
    return np.equal.outer(owner, owner) & np.tri(len(owner), dtype=bool)


def _packed_loops(lengths):
    n = int(sum(lengths))
    allowed, start = np.zeros((n, n), dtype=bool), 0
    for length in lengths:
        for i in range(start, start + int(length)):
            allowed[i, start:i + 1] = True
        start += int(length)
    return allowed


def _packed_torch(lengths):
    import torch
    blocks = [torch.ones(int(length), int(length)).tril() for length in lengths]
    return torch.block_diag(*blocks).bool()


def _packed_cases(seed):
    rng = np.random.default_rng([seed, 44])

    def case(*lengths, shuffled=True, hard=""):
        lengths = np.array(lengths) + rng.integers(0, 3)
        return Case((rng.permutation(lengths) if shuffled else lengths,), hard=hard)

    def gap(*lengths, hard):
        return Case((np.array(lengths) + rng.integers(1, 3) * (np.array(lengths) > 0),), hard=hard)

    return [case(3, 5, 4), case(2, 6, 1, 3), case(4, 1, 7, 2, 3),
            gap(4, 0, 3, hard="an empty document"),
            gap(0, 2, 5, 3, hard="the first document is empty"),
            gap(3, 5, 0, hard="the last document is empty"),
            case(6, hard="a single document")]


_PACKED = Exercise(
    id="4.4", kind="write", points=3, minutes=12, version=1,
    hints=(
        "First find out, for every position, which document it belongs to. "
        "`np.repeat` can write a document's number as often as it is long.",
        "Two rules, joined with `&`: the same document, and not later. Compare every position with "
        "every other by `[:, None]` and `[None, :]`.",
    ),
    cases=_packed_cases,
    reference=_packed_reference,
    mistakes=switched(_packed, {
        "across": "Your mask is causal, but later documents see the earlier ones.",
        "both-ways": "Your documents do not see each other, but within one a position sees later "
                     "ones.",
        "strict": "Your positions do not see themselves. A causal mask leaves the diagonal open.",
        "ahead": "Your positions look at themselves and at what follows. Which side is the past?",
        "previous-too": "Each document of yours also sees the one before it.",
        "equal-lengths": "You cut the row into pieces of equal length. The lengths are given.",
        "late": "Your documents begin one position late: the first position of each belongs to the "
                "one before. Look at what happens at a boundary.",
        "marks": "Right where every document has a position. Marks at the borders fall on one "
                 "another, or off the end, where a document is empty.",
        "polarity": "Your mask is True where a position may *not* look.",
        "numbers": "Your mask is made of numbers. Return a boolean array.",
    }, pairs=[("both-ways", "late"), ("both-ways", "polarity"), ("both-ways", "numbers"),
              ("strict", "late"), ("strict", "across"), ("equal-lengths", "both-ways"),
              ("polarity", "across"), ("numbers", "across"), ("ahead", "across"),
              ("polarity", "numbers"), ("late", "numbers")]),
    variants=(_packed_repeat, _packed_loops, _packed_torch),
)


# 4.5  Right when there is one head

def _attend(query, key, value, lengths, *, faults=frozenset()):
    n, d_k = key.shape[-2:]
    if "in-place" in faults:
        query /= math.sqrt(d_k)
    scores = query @ np.swapaxes(key, -1, -2)
    if "in-place" not in faults and "no-scale" not in faults:
        scores = scores / math.sqrt(d_k)
    lengths = lengths[:1] if "first-length" in faults else lengths
    limit = lengths[:, None, None] if "rank" in faults else lengths[:, None, None, None]
    real = np.arange(n) <= limit if "inclusive" in faults else np.arange(n) < limit
    if "polarity" in faults:
        real = ~real
    turned = np.swapaxes(real, -1, -2)
    mask = turned if "queries" in faults else real & turned if "both-sides" in faults else real
    fill = 0.0 if "zero-scores" in faults else -1e9 if "average" in faults else -np.inf
    hidden = np.where(mask, scores, fill)
    if "hidden-top" in faults:
        hidden = np.where(mask, scores - scores.max(axis=-1, keepdims=True), -np.inf)
    seen = scores if "after" in faults else hidden
    weights = _shares(seen, overflow="hidden-top" in faults, empty_is_nan="nan-rows" in faults)
    return (weights * mask if "after" in faults else weights) @ value


def _attend_reference(query, key, value, lengths):
    real = np.arange(key.shape[-2]) < lengths[:, None, None, None]
    return attention(query, key, value, mask=real)


def _attend_loops(query, key, value, lengths):
    output = np.zeros((*query.shape[:-1], value.shape[-1]))
    for b, length in enumerate(lengths):
        for h in range(query.shape[1]):
            if length:
                scores = query[b, h] @ key[b, h, :length].T / query.shape[-1] ** 0.5
                output[b, h] = _shares(scores) @ value[b, h, :length]
    return output


def _attend_torch(query, key, value, lengths):
    import torch
    real = (torch.arange(key.shape[2]) < lengths[:, None])[:, None, None, :]
    scores = torch.einsum("bhid,bhjd->bhij", query, key) / key.shape[-1] ** 0.5
    weights = torch.softmax(scores.masked_fill(~real, -torch.inf), dim=-1).nan_to_num(0.0)
    return weights @ value


def _attend_cases(seed):
    rng = np.random.default_rng([seed, 45])

    def case(lengths, heads, n, d_k, d_v, size=1.5, hard=""):
        shapes = (n, d_k), (n, d_k), (n, d_v)
        query, key, value = (rng.normal(size=(len(lengths), heads, *shape)) for shape in shapes)
        return Case((size * query, key, value + 1, np.array(lengths)), hard=hard)

    return [case(rng.permutation([2, 6, 4]), 2, 7, 4, 5), case([5, 1], 3, 5, 6, 4),
            case(rng.permutation([2, 5, 0]), 3, 6, 2, 4, hard="as many heads as sentences"),
            case([0, 4, 2], 4, 5, 2, 6, hard="a sentence without words"),
            case([3, 2, 1, 4], 2, 5, 3, 6, size=900.0, hard="large scores"),
            case([2], 3, 4, 5, 6, hard="a single sentence")]


_ATTEND = Exercise(
    id="4.5", kind="find the bug", points=5, minutes=15, version=1,
    hints=(
        "Write the shapes of `scores` and `mask` under each other, lined up from the right. "
        "Which axis of the scores does the mask's batch meet?",
        "The mask needs four axes: one for the batch, then three of which only the last is longer "
        "than 1.",
        "For the second bug look at a row in which everything is hidden: all its scores are the "
        "same number. What does a softmax make of that?",
    ),
    cases=_attend_cases,
    reference=_attend_reference,
    mistakes=switched(_attend, {
        "rank": "The mask lines up with the wrong axis: with as many heads as sentences, each "
                "*head* gets a sentence's length.",
        "average": "A sentence without words gets the mean of its padding. A big negative number "
                   "hides nothing where all scores are that number.",
        "nan-rows": "A sentence without words gives NaN. It should give zeros.",
        "queries": "Your mask hides rows: padded *queries* see nothing, while padded keys are "
                   "seen.",
        "both-sides": "You silenced the padded queries too. Only padded keys are hidden here; what "
                      "padded positions ask does no harm.",
        "first-length": "Every sentence gets the length of the first one.",
        "inclusive": "Your sentences see one key too many. Positions are counted from 0.",
        "polarity": "Your sentences see their padding and nothing else.",
        "zero-scores": "You gave hidden keys the score 0. Its exponential is 1, so they keep a "
                       "share.",
        "after": "You took the softmax over all keys and hid the weights afterwards: your rows no "
                 "longer sum to one.",
        "hidden-top": "You subtract the largest of *all* scores. Where a padded key has it, the "
                      "real ones round to 0.",
        "no-scale": "The scale is gone. It was not the bug.",
        "in-place": "The numbers are right, but you changed the caller's query on the way.",
    }, pairs=[("rank", "average"), ("rank", "nan-rows"), ("rank", "zero-scores"),
              ("nan-rows", "both-sides"), ("average", "both-sides"),
              ("nan-rows", "polarity"), ("average", "no-scale"), ("rank", "no-scale"),
              ("nan-rows", "queries"), ("average", "first-length"), ("average", "queries"),
              ("nan-rows", "first-length")]),
    forbidden=READY_MADE,
    variants=(_attend_loops, _attend_torch),
)


# 4.6  How many, how far

def _count(*, n=100, window=10, layers=4, prompt=20, steps=5, faults=frozenset()):
    texts = range(prompt + 1, prompt + steps + 1)  # how long it is at each step
    back = layers * (window - 1)
    counts = {
        "pairs": {"": n * (n + 1) // 2, "diagonal": n * (n - 1) // 2, "everything": n * n},
        "windowed": {"": n * window - window * (window - 1) // 2, "start": n * window,
                     "eleven": n * (window + 1) - window * (window + 1) // 2},
        "reach": {"": 1 + back, "own-again": layers * window, "own-left-out": back,
                  "one-layer": window, "all": n},
        "cached": {"": sum(texts), "without-own": sum(texts) - steps,
                   "prompt-only": steps * prompt},
        "uncached": {"": sum(t * t for t in texts), "half": sum(t * (t + 1) // 2 for t in texts),
                     "last-only": (prompt + steps) ** 2},
    }
    return {name: next((number for fault, number in answers.items() if fault in faults),
                       answers[""]) for name, answers in counts.items()}


def _vary_count(rng):
    n, window, prompt = 10 * rng.integers(8, 16), rng.integers(6, 11), rng.integers(12, 41)
    layers, steps = rng.integers(3, 6), rng.integers(3, 8)
    numbers = dict(n=n, window=window, layers=layers, prompt=prompt, steps=steps)
    words = {
        "100 positions": f"{n} positions", "output 100": f"output {n}",
        "10 keys": f"{window} keys",
        "Four layers": f"{('Three', 'Four', 'Five')[layers - 3]} layers",
        "back 9": f"back {window - 1}", "20 tokens": f"{prompt} tokens", "5 more": f"{steps} more",
        "5 steps": f"{steps} steps"}
    return with_numbers(_COUNT, {name: int(x) for name, x in numbers.items()}, words)


_COUNT = Exercise(
    id="4.6", kind="predict", points=3, minutes=12, version=1,
    hints=(
        "Draw the mask for 5 positions and a window of 2, and count. Then find the rule.",
        "Reach: one layer goes back 9 positions from where it stands. The next layer starts there.",
        "A cached step makes one query meet every key so far, its own among them. An uncached step "
        "makes every query so far meet every key so far.",
    ),
    cases=lambda seed: [Case()],
    reference=_count,
    mistakes=switched(_count, {
        "diagonal": "`pairs`: you left the diagonal out. A position may look at itself.",
        "everything": "`pairs`: you counted all pairs. A causal mask hides nearly half of them.",
        "start": "`windowed`: the first positions have fewer keys to look at.",
        "eleven": "`windowed`: you let each query see a whole window of keys besides its own. "
                  "Its own is one of the window.",
        "own-again": "`reach`: you counted a whole window of new positions for every layer. The "
                     "position from which a layer looks back was counted already.",
        "own-left-out": "`reach`: you left out the output's own position.",
        "one-layer": "`reach`: that is what one layer sees. What did the keys of the last layer "
                     "see?",
        "all": "`reach`: you let the reach multiply from layer to layer. It adds up.",
        "without-own": "`cached`: a new token also looks at itself.",
        "prompt-only": "`cached`: each new token sees the prompt, and the new ones before it as "
                       "well.",
        "half": "`uncached`: you counted visible pairs. Hidden scores are computed too, then "
                "hidden.",
        "last-only": "`uncached`: that is the last step alone. Each of the steps does it all.",
    }, pairs=[("diagonal", "without-own"), ("diagonal", "start"), ("diagonal", "own-left-out"),
              ("start", "own-again"), ("everything", "start"), ("own-again", "half"),
              ("without-own", "half"), ("start", "half"), ("diagonal", "half"),
              ("start", "one-layer"), ("own-left-out", "without-own"), ("own-again", "last-only"),
              ("eleven", "own-again"), ("prompt-only", "half"), ("start", "last-only")]),
    variants=(
        lambda: dict(pairs=100 * 101 / 2, windowed=np.int64(955), reach=1 + 4 * 9,
                     cached=sum(range(21, 26)), uncached=float(sum(t * t for t in range(21, 26)))),
    ),
    vary=_vary_count,
)


# 4.7  Attention that remembers

def _remember(query, key, value, past_key, past_value, *, faults=frozenset()):
    d_k, n_past = key.shape[1], len(past_key)
    order = slice(None, None, -1) if "new-first" in faults else slice(None)
    keys = np.concatenate([past_key, key][order])
    values = np.concatenate([past_value, value][order])
    kept = ((key.copy(), value.copy()) if "not-kept" in faults
            else (past_key.copy(), past_value.copy()) if "old-kept" in faults else (keys, values))
    if "new-only" in faults:
        keys, values, n_past = key, value, 0
    if "in-place" in faults:
        query /= math.sqrt(d_k)
    scores = query @ keys.T
    if "in-place" not in faults and "no-scale" not in faults:
        scores = scores / math.sqrt(d_k)
    allowed = np.tri(len(query), len(keys), k=0 if "top-left" in faults else
                     n_past - 1 if "strict" in faults else n_past, dtype=bool)
    if "past-only" in faults:
        allowed = np.broadcast_to(np.arange(len(keys)) < n_past, scores.shape)
    if "no-mask" not in faults:
        scores = np.where(allowed, scores, -np.inf)
    weights = _shares(scores, 0 if "over-queries" in faults else 1,
                      overflow="overflow" in faults, empty_is_nan=True)
    return weights @ values, *kept


def _remember_reference(query, key, value, past_key, past_value):
    keys, values = np.concatenate([past_key, key]), np.concatenate([past_value, value])
    return attention(query, keys, values, causal=True), keys, values


def _remember_loops(query, key, value, past_key, past_value):
    keys, values, rows = list(past_key), list(past_value), []
    for q, k, v in zip(query, key, value):
        keys.append(k)
        values.append(v)
        rows.append(_shares(np.array(keys) @ q / math.sqrt(len(q))) @ np.array(values))
    return np.array(rows), np.array(keys), np.array(values)


def _remember_torch(query, key, value, past_key, past_value):
    import torch
    keys, values = torch.cat([past_key, key]), torch.cat([past_value, value])
    hidden = torch.ones(len(query), len(keys)).triu(len(past_key) + 1).bool()
    scores = (query @ keys.T / key.shape[1] ** 0.5).masked_fill(hidden, -torch.inf)
    return torch.softmax(scores, dim=1) @ values, keys, values


def _remember_cases(seed):
    rng = np.random.default_rng([seed, 47])

    def case(n_new, n_past, d_k, d_v, size=1.5, hard=""):
        shapes = (n_new, d_k), (n_new, d_k), (n_new, d_v), (n_past, d_k), (n_past, d_v)
        query, *rest = (rng.normal(size=shape) for shape in shapes)
        return Case((size * query, *rest), hard=hard)

    return [case(3, 5, 4, 2), case(4, 2, 3, 5), case(5, 7, 6, 3), case(2, 6, 5, 4),
            case(4, 0, 5, 3, hard="nothing earlier"), case(1, 4, 3, 2, hard="a single new token"),
            case(6, 4, 3, 5, size=2000.0, hard="large scores")]


_REMEMBER = Exercise(
    id="4.7", kind="write", points=5, minutes=20, version=1,
    hints=(
        "Join past and new first, past before new. Everything else is causal attention in which "
        "there are more keys than queries.",
        "New token i stands at position `len(past_key) + i`. It sees that many keys, and one more: "
        "its own.",
        "`np.tri` takes a third number that moves the diagonal to the right.",
    ),
    cases=_remember_cases,
    reference=_remember_reference,
    mistakes=switched(_remember, {
        "top-left": "Your mask begins at the first key: the first new token sees only the oldest "
                    "key. Where does it stand?",
        "no-mask": "Your new tokens see each other's future. With one new token at a time it does "
                   "not show.",
        "strict": "Your new tokens do not see themselves.",
        "past-only": "Your new tokens see only what is earlier, not themselves and each other.",
        "new-only": "Your new tokens see each other, but nothing from the cache.",
        "new-first": "You put the new keys before the old ones. A cache grows at its end.",
        "not-kept": "You return only the new keys and values. The next step would have forgotten "
                    "everything earlier.",
        "old-kept": "You return only the old keys and values. The next step would not know these "
                    "tokens.",
        "no-scale": "The dot products go into the softmax as they are.",
        "over-queries": "Your weights sum to one over the queries.",
        "overflow": "For large scores `exp` overflows.",
        "in-place": "The numbers are right, but you changed the caller's query on the way.",
    }, pairs=[("no-mask", "no-scale"), ("top-left", "no-scale"), ("no-mask", "not-kept"),
              ("top-left", "not-kept"), ("new-only", "not-kept"), ("no-mask", "new-first"),
              ("no-scale", "not-kept"), ("no-mask", "old-kept"), ("no-mask", "over-queries"),
              ("no-mask", "overflow"), ("top-left", "overflow"), ("past-only", "old-kept")]),
    forbidden=READY_MADE,
    variants=(_remember_loops, _remember_torch),
)


# 4.8  Everything in two steps

def _side(n):
    return math.isqrt(n - 1) + 1


def _two_steps(n, *, faults=frozenset()):
    side, place = _side(n), np.arange(n)
    back = place[:, None] - place[None, :]
    same = place[:, None] // side == place[None, :] // side
    mark = 0 if "first" in faults else side - 1
    last = np.broadcast_to(place % side == mark, (n, n))
    allowed = same | last
    if "everything" in faults:
        allowed = np.ones((n, n), bool)
    if "stretch-only" in faults:
        allowed = same
    if "marks-only" in faults:
        allowed = last
    if "window-only" in faults:
        allowed = back < 2 * side
    if "stride-only" in faults:
        allowed = back % side == 0
    if "not-causal" not in faults:
        allowed = allowed & (back >= 0)
    return allowed.astype(float) if "numbers" in faults else allowed


def _two_steps_judge(cases, outcomes):
    for case, outcome in zip(cases, outcomes):
        n, = case.args
        allowed = outcome.value
        if not isinstance(allowed, np.ndarray) or allowed.dtype != bool or allowed.shape != (n, n):
            return broken_law(f"For n = {n} a mask is a boolean array of shape ({n}, {n}).")
        if np.triu(allowed, 1).any():
            i, j = np.argwhere(np.triu(allowed, 1))[0]
            return broken_law("Your mask is not causal.", f"n = {n}: position {i} may see {j}")
        most, limit = int(allowed.sum(1).max()), 2 * _side(n)
        if most > limit:
            return broken_law(f"A query of yours sees {most} keys; at most {limit} are allowed for "
                              f"n = {n}.", f"position {int(allowed.sum(1).argmax())} sees {most}")
        reached = allowed.astype(int) @ allowed.astype(int) > 0
        missing = np.argwhere(np.tri(n, dtype=bool) & ~reached)
        if len(missing):
            i, j = missing[0]
            ways = np.flatnonzero(allowed[i]).tolist()
            return broken_law(
                f"{len(missing)} pairs are not connected in two steps for n = {n}.",
                f"position {i} does not reach {j}: it sees {ways},\n"
                f"and {j} is seen by {np.flatnonzero(allowed[:, j]).tolist()}")
    return None


def _two_steps_strided(n):
    back = np.subtract.outer(np.arange(n), np.arange(n))
    return (back >= 0) & ((back < _side(n)) | (back % _side(n) == 0))


def _two_steps_torch(n):
    import torch
    place = torch.arange(n)
    last = place % _side(n) == _side(n) - 1
    back = place[:, None] - place
    return (back >= 0) & ((back < _side(n)) | last)


def _two_steps_cases(seed):
    rng = np.random.default_rng([seed, 48])
    sizes = [9, 12, 16, 25, int(rng.integers(30, 36)), int(rng.integers(37, 49)),
             int(rng.integers(50, 99))]
    return [Case((n,)) for n in sizes] + [Case((1,), hard="a single position")]


_TWO_STEPS = Exercise(
    id="4.8", kind="open-ended", points=5, minutes=25, version=1,
    hints=(
        "You have two kinds of looks to spend, about the root of n of each: near ones and far "
        "ones. One step can be near, the other far.",
        "Cut the row into stretches of about the root of n. Which single position of an earlier "
        "stretch knows all of that stretch?",
        "Its last one: it may see its whole stretch. So let every query see its own stretch, and "
        "something in each earlier one.",
    ),
    cases=_two_steps_cases,
    reference=None,
    mistakes=switched(_two_steps, {
        "everything": "Your mask allows every earlier key. That connects everything, in one step, "
                      "and costs what it costs.",
        "window-only": "Your queries see their nearest keys. Two steps reach twice as far, "
                       "and no farther.",
        "stretch-only": "Your stretches are islands: nothing leads from one to an earlier one.",
        "marks-only": "Your queries see one position of each stretch, and those see only each "
                      "other. Who looks at the rest?",
        "stride-only": "Your queries jump in equal steps, and so do the keys they see: "
                       "most positions are never met.",
        "first": "You look at the *first* position of each earlier stretch. In a causal mask, what "
                 "has that one seen of its stretch?",
        "not-causal": "Your mask looks into the future: the one rule that no saving may break.",
        "numbers": "Your mask is made of numbers. Return a boolean array.",
    }),
    judge=_two_steps_judge,
    variants=(_two_steps, _two_steps_strided, _two_steps_torch),
)

EXERCISES = (_PAPER, _MASKED, _RECENT, _PACKED, _ATTEND, _COUNT, _REMEMBER, _TWO_STEPS)
