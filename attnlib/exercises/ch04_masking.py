"""Chapter 4, "Masking": what its exercises ask, and what people answer."""

import functools
import math

import numpy as np

from ..attention import attention, softmax
from ..masks import window_mask
from .core import (
    READY_MADE,
    Case,
    Exercise,
    Mistake,
    Result,
    another_form,
    broken_law,
    switched,
    with_numbers,
)


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
    if "ahead" in faults:
        allowed = np.tri(4, dtype=bool).T & (np.arange(4) < 3)
    if "reversed" in faults:
        allowed = ~allowed
    if "silent-padding" in faults:
        allowed = allowed & (np.arange(4) < 3)[:, None]
    parts = np.where(allowed, exponentials, 1.0 if "zero-scores" in faults else 0.0)
    below = exponentials if "not-renormalised" in faults else parts
    weights = parts / np.maximum(below.sum(0 if "columns" in faults else 1, keepdims=True), 1e-9)
    if "columns" in faults:
        weights = parts / np.maximum(below.sum(0), 1e-9)
    if "scores-shown" in faults:
        weights = np.log(np.where(allowed, exponentials, 1.0))
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
        "ahead": "Your queries look ahead, not back. Row i is the query: which keys lie before it?",
        "scores-shown": "Your rows are the scores that are left. Where is the softmax?",
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
        fill = (-1e9 if {"filled", "billion-fill"} & faults else -1e4 if "small-fill" in faults
                else -np.inf)
        seen = np.where(mask, scores, fill)
    if "hidden-top" in faults:
        seen = seen - scores.max(axis=-1, keepdims=True)
    weights = _shares(seen, -2 if "over-queries" in faults else -1,
                      overflow=bool({"overflow", "hidden-top"} & faults),
                      empty_is_nan="nan-rows" in faults)
    if "small-fill" in faults:
        weights = weights * mask.any(axis=-1, keepdims=True)
    return weights * mask if {"after", "billion-fill", "crossed-out"} & faults else weights


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
    alike = rng.normal(0, 2, (3, 3, 3, 3))
    alike[0, 0, 0] *= 1e-3
    return [Case((alike, some(3, 3, 3)), hard="all lengths alike"),
            Case((rng.normal(size=(1, 1, 1, 1)), np.ones((1, 1, 1), bool)), hard="all lengths 1"),
            plain, batch, Case((rng.normal(0, 2, (2, 3, 5, 4)), some(3, 1, 4))),
            Case((rng.normal(0, 2, (2, 4, 7)), some(1, 7))),
            Case((rng.normal(0, 2, (4, 3)), np.ones(3, bool)), hard="nothing hidden"),
            Case((large, mask), hard="hidden scores far above the others"),
            Case((deep, some(5, 3)), hard="scores of -100,000"),
            Case((np.where(seen := some(5, 3), 1e5 * deep, 3e9), seen),
                 hard="scores of minus ten billion"),
            Case((rng.normal(0, 2, (5, 7)), empty), hard="empty rows"),
            Case((rng.normal(size=(3, 1)), np.array([[True], [False], [True]])),
                 hard="a single key")]


_MASKED = Exercise(
    id="4.2", kind="write", points=4, minutes=12, version=2,
    hints=(
        "What score must a hidden key have so that its exponential is exactly 0, whatever the "
        "other scores are? `np.where(mask, scores, ...)` puts it in.",
        "Subtract the largest *visible* score of each row before `np.exp`. In an empty row the "
        "largest is minus infinity; subtract 0 there instead.",
        "An empty row has the total 0. Divide it by 1 instead: `np.where(total == 0, 1, total)`.",
    ),
    cases=_masked_cases,
    spared={"empty": "where there are no scores there is nothing to share out"},
    reference=_masked_reference,
    mistakes=switched(_masked, {
        "polarity": "Your weights lie on the hidden keys. In this book True means \"may attend\".",
        "after": "You took the softmax over all keys and set the hidden weights to 0 afterwards. "
                 "What do your rows sum to?",
        "multiplied": "You multiplied the scores with the mask. A hidden score becomes 0, and the "
                      "exponential of 0 is not 0.",
        "added": "You added the mask to the scores. True counts as 1 there: visible keys gain a "
                 "little, and nothing is hidden.",
        "filled": "In an empty row your hidden keys share everything evenly. That happens where "
                  "all scores of a row are one number, whatever that number is.",
        "small-fill": "Your hidden keys take the weight in rows whose visible scores are very "
                      "low. Which number is lower than every score?",
        "billion-fill": "Your big negative number is not low enough: there are scores below it, "
                        "and "
                        "then the hidden keys take their weight.",
        "added-big": "In an empty row your weights are those without any mask: a softmax does "
                     "not notice what is added to a whole row.",
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
              ("multiplied", "overflow"), ("added", "overflow"), ("after", "polarity")],
       also=[("small-fill", "crossed-out")]),
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
    if "twice" in faults:
        oldest += window
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
    if "suffix" in faults:  # the window's far end as if the first query stood at the first key
        allowed = (back >= newest) & (back - offset <= oldest)
    if "blocks" in faults:
        allowed = (back + np.arange(n_k)) // window == np.arange(n_k) // window
    if "same-keys" in faults:
        allowed = np.broadcast_to(np.arange(n_k) >= n_k - window, back.shape)
    if "newest-keys" in faults:
        allowed = (back >= newest) & (np.arange(n_k) >= n_k - window)
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
    spared={"zeros": "a window of 0 keys is none, and without queries or keys there is no mask"},
    reference=_recent_reference,
    mistakes=switched(_recent, {
        "top-left": "Your first query stands at the first key. With a cache there are earlier "
                    "keys: the *last* query stands at the *last* key.",
        "too-wide": "Your queries see one key too many. This is the most common mistake with "
                    "windows: count the keys of one row.",
        "too-narrow": "Your queries see one key too few. Their own counts as one of the window.",
        "twice": "Your queries see twice as many keys as the window has.",
        "suffix": "Your window's far end is counted from the first new query, as if no key stood "
                  "before it: keys from the cache that are too old stay visible.",
        "newest-keys": "All your queries share one window, the newest keys. Each has a window "
                       "that ends at its own place.",
        "blocks": "Your queries see the block that they stand in. A window slides along: each "
                  "query has its own.",
        "same-keys": "All your queries see the same keys, the last ones, later ones among them. "
                     "Each has a window that ends at its own place.",
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
              ("polarity", "no-window"), ("bias", "too-wide"), ("suffix", "too-wide")]),
    forbidden=("attnlib.window_mask", "attnlib.causal_mask"),
    variants=(_recent_loops, _recent_bands, _recent_torch),
)


# 4.4  Packed, and filled up

def _packed(lengths, n, *, faults=frozenset()):
    lengths = np.asarray(lengths)
    total, ends = int(lengths.sum()), np.cumsum(lengths)
    at = np.arange(n)
    owner = np.searchsorted(ends, at, side="left" if "late" in faults else "right")
    if "equal-lengths" in faults:
        many = (n if "whole-row" in faults else total) / len(lengths)
        owner = at // max(math.ceil(many) if "upwards" in faults else int(many), 1)
    if {"by-length", "by-length-places"} & faults:  # np.repeat(lengths, lengths)
        owner = np.append(lengths, -1)[np.minimum(owner, len(lengths))]
    if "marks" in faults:
        marks = np.zeros(n, int)
        marks[ends[:-1]] += 1
        owner = np.cumsum(marks)
    apart = owner[:, None] - owner[None, :]
    allowed = apart == 0 if "across" not in faults else np.ones((n, n), bool)
    if "previous-too" in faults:
        allowed = (apart == 0) | (apart == 1)
    back = at[:, None] - at[None, :]
    if "both-ways" not in faults:
        allowed = allowed & (back > 0 if "strict" in faults else
                             back <= 0 if "ahead" in faults else back >= 0)
    real = at < total
    if "padding-owned" in faults:
        owner = np.where(real, owner, 0)
        allowed = np.equal.outer(owner, owner) & (back >= 0)
    elif "padding-seen" not in faults:
        allowed = allowed & real[:, None] & real[None, :]
    if "polarity" in faults:
        allowed = ~allowed
    starts = np.append(ends - lengths, total)
    places = np.where(real, at - starts[np.searchsorted(ends, at, side="right")], 0)
    if {"by-length-places", "places-of-mask"} & faults:
        places = np.maximum(allowed.sum(axis=1) - 1, 0)
    if "running" in faults:
        places = np.where(real, at, 0)
    if "running-padding" in faults:
        places = at
    if "from-one" in faults:
        places = np.where(real, places + 1, 0)
    if "padding-counted" in faults:
        places = np.where(real, places, at - (total - lengths[-1] if "last-goes-on" in faults
                                              else total))
    if "owners" in faults:
        places = np.where(real, owner, -1 if "nobody" in faults else owner)
    if "numbers" in faults:
        allowed = allowed.astype(float)
    return allowed if "mask-alone" in faults else (allowed, places)


def _packed_reference(lengths, n):
    return _packed(lengths, n)


def _packed_repeat(lengths, n):
    owner = np.repeat(np.arange(len(lengths)), lengths)
    owner = np.append(owner, np.full(n - len(owner), -1))  # padding belongs to nobody
    mask = np.equal.outer(owner, owner) & np.tri(n, dtype=bool) & (owner >= 0)
    return mask, np.where(owner >= 0, mask.sum(axis=1) - 1, 0)


def _packed_loops(lengths, n):
    mask, places, start = np.zeros((n, n), dtype=bool), np.zeros(n, dtype=int), 0
    for length in lengths:
        for i in range(int(length)):
            mask[start + i, start:start + i + 1] = True
            places[start + i] = i
        start += int(length)
    return mask, places


def _packed_torch(lengths, n):
    import torch
    total = int(lengths.sum())
    blocks = [torch.ones(int(length), int(length)).tril() for length in lengths]
    mask = torch.block_diag(*blocks, torch.zeros(n - total, n - total)).bool()
    return mask, (mask.sum(dim=1) - 1).clamp(min=0)


def _packed_cases(seed):
    rng = np.random.default_rng([seed, 44])

    def case(*lengths, spare=None, shuffled=True, hard=""):
        lengths = np.array(lengths)
        lengths = np.where(lengths > 0, lengths + rng.integers(0, 3), 0)
        lengths = rng.permutation(lengths) if shuffled else lengths
        spare = int(rng.integers(2, 6)) if spare is None else spare
        return Case((lengths, int(lengths.sum()) + spare), hard=hard)

    return [case(3, 5, 4), case(2, 6, 1, 3), case(4, 1, 7, 2, 3), case(3, 5, 3, shuffled=False),
            case(4, 2, 2, 3, shuffled=False, hard="neighbours of one length"),
            case(4, 0, 3, shuffled=False, hard="an empty document"),
            case(0, 2, 5, 3, shuffled=False, hard="the first document is empty"),
            case(3, 5, 0, shuffled=False, hard="the last document is empty"),
            case(2, 4, 3, spare=0, hard="no padding"), case(6, hard="a single document"),
            case(4, 2, 0, spare=0, shuffled=False, hard="no padding, the last document is empty"),
            case(0, 0, hard="nothing but padding")]


_PACKED = Exercise(
    id="4.4", kind="write", points=4, minutes=15, version=2,
    hints=(
        "First find out, for every position, which document it belongs to. `np.repeat` can write "
        "a document's number as often as it is long; give the padding a number of its own.",
        "Two rules for the mask, joined with `&`: the same document, and not later. Padding would "
        "see itself by these two: a third rule is needed.",
        "A place is how many tokens of its own document stand before it. Which rows or columns of "
        "your mask can tell that?",
    ),
    cases=_packed_cases,
    spared={"empty": "a row without documents is one of empty documents, which is there"},
    reference=_packed_reference,
    mistakes=switched(_packed, {
        "across": "Your mask is causal, but later documents see the earlier ones.",
        "both-ways": "Your documents do not see each other, but within one a position sees later "
                     "ones.",
        "strict": "Your positions do not see themselves. A causal mask leaves the diagonal open.",
        "ahead": "Your positions look at themselves and at what follows. Which side is the past?",
        "previous-too": "Each document of yours also sees the one before it.",
        "equal-lengths": "You cut the row into pieces of equal length. The lengths are given.",
        "by-length": "Your documents are told apart by their lengths: two of one length see each "
                     "other. What else is different for every document?",
        "by-length-places": "Your documents are told apart by their lengths: two of one length see "
                            "each other, and the places of the second go on where the first "
                            "ended.",
        "late": "Your documents begin one position late: the first position of each belongs to the "
                "one before. Look at what happens at a boundary.",
        "marks": "A border between your documents falls off the end of the row: where the last one "
                 "is empty and there is no padding, no position begins it.",
        "padding-seen": "Your padding looks at itself. It should neither see nor be seen.",
        "padding-owned": "Your padding belongs to the first document, whose number it has: give it "
                         "a number that no document has.",
        "polarity": "Your mask is True where a position may *not* look.",
        "numbers": "Your mask is made of numbers. Return a boolean array.",
        "running": "Your places are counted through the whole row. They start again with each "
                   "document.",
        "running-padding": "Your places are counted through the whole row, padding and all.",
        "from-one": "Your places are counted from 1.",
        "padding-counted": "Your places go on counting in the padding, where 0 was asked for.",
        "owners": "Your second array says which document a position belongs to. Asked for is its "
                  "place within the document.",
        "mask-alone": "You return the mask alone. Return two things: `return mask, places`.",
    }, pairs=[("both-ways", "late"), ("both-ways", "polarity"), ("both-ways", "numbers"),
              ("strict", "late"), ("strict", "across"), ("equal-lengths", "both-ways"),
              ("polarity", "across"), ("numbers", "across"), ("ahead", "across"),
              ("polarity", "numbers"), ("late", "numbers"), ("padding-seen", "running"),
              ("padding-seen", "from-one"), ("across", "running"), ("padding-seen", "numbers"),
              ("padding-seen", "padding-counted"), ("padding-seen", "mask-alone"),
              ("padding-seen", "both-ways"), ("padding-seen", "running-padding")],
       also=[*((fault, "places-of-mask") for fault in (
                 "both-ways", "strict", "previous-too", "late", "padding-owned", "equal-lengths")),
             ("equal-lengths", "upwards"), ("equal-lengths", "upwards", "places-of-mask"),
             ("equal-lengths", "whole-row"), ("equal-lengths", "whole-row", "places-of-mask"),
             ("padding-counted", "last-goes-on"), ("owners", "nobody")]),
    variants=(_packed_repeat, _packed_loops, _packed_torch),
)


# 4.5  Right when there is one head

_FILLS = {"zero-scores": 0.0, "tiny-fill": -100.0, "small-fill": -1e4, "average": -1e9}


def _low(rng, *shape, at=-30_000):
    """Query and key, whole numbers of width 4, whose scaled scores lie around `at`, exactly."""
    query, key = 2 * rng.integers(-2, 3, shape), rng.integers(-2, 3, shape)
    query[..., 0], key[..., 0] = 2 * at, 1
    return query.astype(float), key.astype(float)


def _attend(query, key, value, lengths, *, faults=frozenset()):
    n, d_k = key.shape[-2:]
    if "in-place" in faults:
        query /= math.sqrt(d_k)
    scores = query @ np.swapaxes(key, -1, -2)
    if "scale-of-values" in faults:
        scores = scores / math.sqrt(value.shape[-1])
    elif "in-place" not in faults and "no-scale" not in faults:
        scores = scores / math.sqrt(d_k)
    lengths = lengths[:1] if "first-length" in faults else lengths
    if "one-short" in faults:
        lengths = lengths - 1
    limit = lengths[:, None, None] if "rank" in faults else lengths[:, None, None, None]
    real = np.arange(n) <= limit if "inclusive" in faults else np.arange(n) < limit
    if "tiled" in faults:
        each = np.tile(lengths, query.shape[1]).reshape(query.shape[:2])
        real = np.arange(n) < each[..., None, None]
    if "causal" in faults:
        real = real & np.tri(n, dtype=bool)
    if "polarity" in faults:
        real = ~real
    turned = np.swapaxes(real, -1, -2)
    mask = turned if "queries" in faults else real & turned if "both-sides" in faults else real
    fill = next((fill for fault, fill in _FILLS.items() if fault in faults), -np.inf)
    hidden = np.where(mask, scores, -1e9 if "billion-fill" in faults else fill)
    if "hidden-top" in faults:
        hidden = np.where(mask, scores - scores.max(axis=-1, keepdims=True), -np.inf)
    seen = scores if "after" in faults else hidden
    weights = _shares(seen, overflow="hidden-top" in faults, empty_is_nan="nan-rows" in faults)
    if {"small-fill", "billion-fill"} & faults:
        weights = weights * (lengths > 0)[:, None, None, None]
    return (weights * mask if {"after", "crossed-out"} & faults else weights) @ value


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

    lower = _low(rng, 2, 3, 5, 4)
    alike = case([2, 2, 3], 3, 3, 3, 3, hard="all lengths alike")
    alike.args[0][..., 0, :], alike.args[1][..., 1, :] = 0, 1e-3 * rng.normal(size=3)
    return [alike, case([1], 1, 1, 1, 1, hard="all lengths 1"),
            case(rng.permutation([2, 6, 4]), 2, 7, 4, 5), case([5, 1], 3, 5, 6, 4),
            case(rng.permutation([2, 5, 0]), 3, 6, 2, 4, hard="as many heads as sentences"),
            case([0, 4, 2], 4, 5, 2, 6, hard="a sentence without words"),
            case([3, 2, 1, 4], 2, 5, 3, 6, size=900.0, hard="large scores"),
            case([2], 3, 4, 5, 6, hard="a single sentence"),
            Case((*_low(rng, 3, 2, 6, 4), rng.normal(size=(3, 2, 6, 5)) + 1, np.array([4, 2, 5])),
                 hard="scores of -30,000"),
            Case((2.0 ** 20 * lower[0], lower[1], rng.normal(size=(2, 3, 5, 6)) + 1,
                  np.array([3, 4])), hard="scores of minus billions")]


_ATTEND = Exercise(
    id="4.5", kind="find the bug", points=5, minutes=15, version=2,
    hints=(
        "Write the shapes of `scores` and `mask` under each other, lined up from the right. "
        "Which axis of the scores does the mask's batch meet?",
        "The mask needs four axes: one for the batch, then three of which only the last is longer "
        "than 1.",
        "For the second bug look at a row in which everything is hidden: all its scores are the "
        "same number. What does a softmax make of that?",
    ),
    cases=_attend_cases,
    spared={"empty": "a sentence without words is there; without sentences nothing is asked"},
    reference=_attend_reference,
    mistakes=switched(_attend, {
        "rank": "The mask lines up with the wrong axis: with as many heads as sentences, each "
                "*head* gets a sentence's length.",
        "average": "A sentence without words gets the mean of its padding: where all scores are "
                   "one number, nothing is hidden.",
        "small-fill": "Where real scores are very low, your padding takes over: a hidden score "
                      "must be lower than every score that there is.",
        "tiny-fill": "Your padding comes back as soon as scores are large. Which number is lower "
                     "than every score?",
        "billion-fill": "Your big negative number is not low enough: there are scores below it, "
                        "and "
                        "then the padding takes over.",
        "nan-rows": "A sentence without words gives NaN. It should give zeros.",
        "queries": "Your mask hides rows: padded *queries* see nothing, while padded keys are "
                   "seen.",
        "both-sides": "You silenced the padded queries too. Only padded keys are hidden here; what "
                      "padded positions ask does no harm.",
        "first-length": "Every sentence gets the length of the first one.",
        "inclusive": "Your sentences see one key too many. Positions are counted from 0.",
        "one-short": "Your sentences see one key too few. Positions are counted from 0.",
        "polarity": "Your sentences see their padding and nothing else.",
        "zero-scores": "You gave hidden keys the score 0. Its exponential is 1, so they keep a "
                       "share.",
        "after": "You took the softmax over all keys and hid the weights afterwards: your rows no "
                 "longer sum to one.",
        "hidden-top": "You subtract the largest of *all* scores. Where a padded key has it, the "
                      "real ones round to 0.",
        "no-scale": "The scale is gone. It was not the bug.",
        "scale-of-values": "You divided by the root of the width of the values. The scale was not "
                           "the bug.",
        "tiled": "Your lengths go round: a b c a b c, over sentences and heads. All heads of a "
                 "sentence have its length.",
        "causal": "You hid later words as well. Only padding is to be hidden.",
        "in-place": "The numbers are right, but you changed the caller's query on the way.",
    }, pairs=[("rank", "average"), ("rank", "nan-rows"), ("rank", "zero-scores"),
              ("nan-rows", "both-sides"), ("average", "both-sides"),
              ("nan-rows", "polarity"), ("average", "no-scale"), ("rank", "no-scale"),
              ("nan-rows", "queries"), ("average", "first-length"), ("average", "queries"),
              ("nan-rows", "first-length")],
       also=[("small-fill", "crossed-out")]),
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
                     "eleven": n * (window + 1) - window * (window + 1) // 2,
                     "first-lost": n * window - window * (window + 1) // 2},
        "reach": {"": 1 + back, "own-again": layers * window, "own-left-out": back,
                  "one-layer": window, "all": n, "own-twice": 1 + layers * window,
                  "multiplied": window ** layers, "layer-short": 1 + back - (window - 1)},
        "cached": {"": sum(texts), "without-own": sum(texts) - steps,
                   "prompt-only": steps * prompt, "all-at-last": steps * (prompt + steps),
                   "queries-alone": steps},
        "uncached": {"": sum(t * t for t in texts), "half": sum(t * (t + 1) // 2 for t in texts),
                     "last-only": (prompt + steps) ** 2, "one-query": sum(texts),
                     "last-for-all": steps * (prompt + steps) ** 2},
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
    id="4.6", kind="by hand", points=3, minutes=12, version=1,
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
        "first-lost": "`windowed`: you took one key too many away at the beginning. The first "
                      "position sees itself.",
        "own-twice": "`reach`: you counted a whole window of new positions for every layer, and "
                     "the output's own besides.",
        "multiplied": "`reach`: you multiplied the windows. Each layer goes back a few positions "
                      "more; it adds up.",
        "layer-short": "`reach`: that is one layer fewer. How many go back?",
        "all-at-last": "`cached`: you let every step see as many keys as the last one sees.",
        "queries-alone": "`cached`: you counted the queries. Each of them meets every key so far.",
        "one-query": "`uncached`: you counted one query a step. Without a cache, all queries so "
                     "far are computed again.",
        "last-for-all": "`uncached`: you let every step be as long as the last one.",
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
    d_k, n_past, n_new = key.shape[1], len(past_key), len(key)
    order = slice(None, None, -1) if "new-first" in faults else slice(None)
    keys = np.concatenate([past_key, key][order])
    values = np.concatenate([past_value, value][order])
    kept = ((key.copy(), value.copy()) if "not-kept" in faults
            else (past_key.copy(), past_value.copy()) if "old-kept" in faults else (keys, values))
    if "new-only" in faults:
        keys, values, n_past = key, value, 0
    if "in-place" in faults:
        query /= math.sqrt(d_k)
    if "keys-scaled" in faults:
        keys = kept_keys = np.concatenate([past_key, key / math.sqrt(d_k)])
        kept = kept_keys, values
    scores = query @ keys.T
    if not {"in-place", "no-scale", "keys-scaled"} & faults:
        scores = scores / math.sqrt(d_k)
    moved = (0 if "top-left" in faults else n_past + 1 if "one-ahead" in faults
             else n_past - 1 if "strict" in faults else n_past)
    allowed = np.tri(len(query), len(keys), k=moved, dtype=bool)
    if "past-only" in faults:
        allowed = np.broadcast_to(np.arange(len(keys)) < n_past, scores.shape)
    if "square" in faults:
        allowed = np.tri(n_new, dtype=bool)
    if "square-keys" in faults:
        allowed = np.tri(len(keys), dtype=bool)
    if "no-mask" not in faults:
        fill = next((fill for fault, fill in _FILLS.items() if fault in faults), -np.inf)
        scores = np.where(allowed, scores, fill)
    weights = _shares(scores, 0 if "over-queries" in faults else 1,
                      overflow="overflow" in faults, empty_is_nan=True)
    if "two-softmaxes" in faults:
        weights = np.concatenate([_shares(part, 1) if part.size else part for part in (
            scores[:, :n_past], scores[:, n_past:])], axis=1)
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

    lower = _low(rng, 3, 4)
    alike = case(3, 3, 3, 3, hard="all lengths alike")
    alike.args[0][0], alike.args[1][1] = 0, 1e-3 * rng.normal(size=3)
    return [alike, case(1, 1, 1, 1, hard="all lengths 1"),
            case(3, 5, 4, 2), case(4, 2, 3, 5), case(5, 7, 6, 3), case(2, 6, 5, 4),
            case(4, 0, 5, 3, hard="nothing earlier"), case(1, 4, 3, 2, hard="a single new token"),
            case(6, 4, 3, 5, size=2000.0, hard="large scores"),
            Case((*_low(rng, 3, 4), rng.normal(size=(3, 5)), _low(rng, 6, 4)[1],
                  rng.normal(size=(6, 5))), hard="scores of -30,000"),
            Case((2.0 ** 20 * lower[0], lower[1], rng.normal(size=(3, 2)), _low(rng, 5, 4)[1],
                  rng.normal(size=(5, 2))), hard="scores of minus billions")]


_REMEMBER = Exercise(
    id="4.7", kind="write", points=5, minutes=20, version=2,
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
        "one-ahead": "Your new tokens see one key too many, the one after their own. Each sees "
                     "what is cached, what is new before it, and itself.",
        "keys-scaled": "You scale the keys before you store them. What was stored earlier is not "
                       "scaled, and the next step would take these for plain ones.",
        "two-softmaxes": "You made two softmaxes, of what is cached and of what is new, and added. "
                         "All keys compete under one.",
        "past-only": "Your new tokens see only what is earlier, not themselves and each other.",
        "new-only": "Your new tokens see each other, but nothing from the cache.",
        "square": "Your mask has a row and a column for each *new* token. There are more keys than "
                  "that as soon as something is cached.",
        "square-keys": "Your mask has a row for every key. There is a query for each new token "
                       "alone.",
        "small-fill": "Where scores are very low, your new tokens see the future: a hidden score "
                      "must be lower than every score that there is.",
        "zero-scores": "You gave hidden keys the score 0. Its exponential is 1, so they keep a "
                       "share.",
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


def _as_mask(value):
    """An answer as a boolean array, lists of True and False among them; None if it is none."""
    try:
        mask = np.asarray(value)
    except ValueError:  # lists of several lengths
        return None
    return mask if mask.dtype == bool else None


def _two_steps_judge(cases, outcomes):
    for case, outcome in zip(cases, outcomes):
        n, = case.args
        allowed = _as_mask(outcome.value)
        if np.shape(outcome.value) == (n, n) and allowed is None:
            return _two_steps_known("numbers", f"n = {n}: {np.asarray(outcome.value).dtype}")
        if allowed is None or allowed.shape != (n, n):
            return another_form(f"For n = {n} a mask is a boolean array of shape ({n}, {n}).")
        if np.triu(allowed, 1).any():
            i, j = np.argwhere(np.triu(allowed, 1))[0]
            return _two_steps_known("not-causal", f"n = {n}: position {i} may see {j}")
        most, limit = int(allowed.sum(1).max()), 2 * _side(n)
        if most > limit:
            return broken_law(f"A query of yours sees {most} keys; at most {limit} are allowed for "
                              f"n = {n}.", f"position {int(allowed.sum(1).argmax())} sees {most}",
                              name="too many keys")
        reached = allowed.astype(int) @ allowed.astype(int) > 0
        missing = np.argwhere(np.tri(n, dtype=bool) & ~reached)
        if len(missing):
            i, j = missing[0]
            ways = np.flatnonzero(allowed[i]).tolist()
            told = (f"position {i} does not reach {j}: it sees {ways},\n"
                    f"and {j} is seen by {np.flatnonzero(allowed[:, j]).tolist()}")
            name = _two_steps_pattern(allowed)
            if name:
                return _two_steps_known(name, f"n = {n}: {told}")
            name, words = _two_steps_fault(allowed)
            return broken_law(
                f"{len(missing)} pairs are not connected in two steps for n = {n}.{words}", told,
                name)
    return None


def _two_steps_known(name, witness):
    mistake, = (mistake for mistake in _TWO_STEPS.mistakes if mistake.name == name)
    return Result("known_mistake", mistake.sentence, witness, mistake=name)


def _two_steps_pattern(allowed):
    """The known mistake whose mask this is, its stretches being of any length; or nothing."""
    n = len(allowed)
    place = np.arange(n)
    back = place[:, None] - place
    for side in range(2, 2 * _side(n) + 1):
        same = place[:, None] // side == place // side
        marks = {mark: np.broadcast_to(place % side == mark, (n, n)) for mark in (0, side - 1)}
        for name, mask in [("window-only", back < side), ("stretch-only", same),
                           ("stride-only", back % side == 0), ("first", same | marks[0]),
                           *(("marks-only", mask) for mask in marks.values()),
                           *(("marks-only", mask | (back == 0)) for mask in marks.values())]:
            if (allowed == (mask & (back >= 0))).all():
                return name
    return ""


def _two_steps_fault(allowed):
    """Name and sentence of what a causal mask looks like that leaves pairs apart."""
    n = len(allowed)
    back = np.subtract.outer(np.arange(n), np.arange(n))
    if not allowed.diagonal().all():
        return "not itself", (" Some of your positions do not see themselves, so that what one "
                              "step reaches is lost in two.")
    width = next((w for w in range(1, n) if not allowed[back == w].all()), n)
    beyond = allowed & (back >= width)
    if all(len({*allowed[back == distance].tolist()}) == 1 for distance in range(n)):
        return "same distances", (" All your queries look at the same distances back. Two steps "
                                  "reach what is a sum of two of them, and nothing else.")
    columns = beyond.any(0)
    if (allowed == ((back >= 0) & (back < width) | columns & (back >= width))).all():
        return "same columns", (" Beyond the nearest, all your queries look at the same keys. What "
                                "is far, and what none of those keys sees, is not reached.")
    return "", ""


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
    variants=(_two_steps, _two_steps_strided, _two_steps_torch,
              lambda n: _two_steps(n).tolist()),
)


# 4.9  A mask as a rule

def _rule(query, key, starts, asked, *, faults=frozenset()):
    if "matrix" in faults:
        n = int(max(np.max(query), np.max(key))) + 1
        np.ones((n, n), dtype=bool)
    side = "left" if "late" in faults else "right"
    own, other = (np.searchsorted(starts, at, side=side) - 1 for at in (query, key))
    if "branch" in faults:
        if own != other:
            return False
        return bool(key <= query or key < starts[own] + asked[own])
    if "first-too" in faults:
        own, other = np.maximum(own, 0), np.maximum(other, 0)
    question = key < asked[other] + (0 if "from-the-row" in faults else starts[other])
    if "one-more" in faults:
        question = key <= starts[other] + asked[other]
    if "asking" in faults:
        question = query < starts[own] + asked[own]
    if "first-question" in faults:
        question = key < starts[other] + asked[0]
    back = np.asarray(query) - key
    past = back > 0 if "strict" in faults else back <= 0 if "ahead" in faults else back >= 0
    seen = past if "causal" in faults else past & question if "and" in faults else past | question
    if "question-alone" in faults:
        seen = question & (back == back)
    if "across" not in faults:
        seen = seen & (own == other)
    if "open-questions" in faults:
        seen = seen | question
    if "nowhere" in faults:  # where documents begin late, position 0 is in none
        seen = seen & (own >= 0)
    if "own-hidden" in faults:
        seen = seen & (back != 0)
    if "polarity" in faults:
        seen = ~seen
    return seen.astype(float) if "numbers" in faults else seen


def _rule_reference(query, key, starts, asked):
    return _rule(query, key, starts, asked)


def _rule_counting(query, key, starts, asked):
    """Documents counted by comparing with every start; ends of questions looked up."""
    query, key = np.asarray(query), np.asarray(key)
    own = (query[..., None] >= starts).sum(-1) - 1
    other = (key[..., None] >= starts).sum(-1) - 1
    return (own == other) & ((key <= query) | (key < (starts + asked)[other]))


def _rule_loops(query, key, starts, asked):
    def one(i, j):
        for start, end, many in zip(starts, [*starts[1:], np.inf], asked):
            if start <= i < end:
                return bool(start <= j < end and (j <= i or j < start + many))
        return False

    rows, columns = np.broadcast_arrays(query, key)
    return np.array([one(i, j) for i, j in zip(rows.ravel(), columns.ravel())],
                    dtype=bool).reshape(rows.shape)


def _rule_torch(query, key, starts, asked):
    import torch
    query, key, starts, asked = (torch.as_tensor(part) for part in (query, key, starts, asked))
    own, other = (torch.bucketize(at, starts, right=True) - 1 for at in (query, key))
    return (own == other) & ((key <= query) | (key - starts[other] < asked[other]))


def _rule_cases(seed):
    rng = np.random.default_rng([seed, 49])

    def documents(*lengths, far=1):
        lengths = far * (np.array(lengths) + rng.integers(0, 2))
        starts = np.cumsum(lengths) - lengths
        return starts, rng.integers(1, lengths), int(lengths.sum())

    def square(*lengths, hard=""):
        starts, asked, n = documents(*lengths)
        return Case((np.arange(n)[:, None], np.arange(n - 1), starts, asked), hard=hard)

    def some(*lengths, many=60, far=1, hard=""):
        starts, asked, n = documents(*lengths, far=far)
        near = np.clip(starts + asked + rng.integers(-2, 3, len(starts)), 0, n - 1)
        query, key = (np.append(rng.integers(n, size=many), near) for _ in "12")
        return Case((query, rng.permutation(key), starts, asked), hard=hard)

    whole = np.array([4, 0, 3])
    starts = np.array([0, 4, 9])
    grid = rng.integers(12, size=(3, 3))
    return [Case((grid, rng.integers(12, size=3), starts, np.array([1, 2, 1])),
                 hard="all lengths alike"),
            Case((np.array([[6]]), np.array([4]), np.array([0, 4, 9]), np.array([1, 2, 1])),
                 hard="all lengths 1"),
            square(5, 4, 7), square(3, 6, 2, 4), some(9, 12, 7), some(5, 8, 6, 11),
            Case((np.arange(12)[:, None], np.arange(11), np.array([0, 4, 9]), whole),
                 hard="a document that is all question, and one without any"),
            Case((7, 5, np.array([0, 4, 9]), np.array([1, 2, 1])), hard="one query and one key"),
            square(8, hard="a single document"),
            some(6, 9, 5, far=5_000_000, hard="positions of many millions")]


_RULE = Exercise(
    id="4.9", kind="write", points=4, minutes=15, version=1,
    hints=(
        "Which document does a position belong to? `np.searchsorted` says how many starts lie at "
        "or below it; mind on which side it puts a position that *is* a start.",
        "Three comparisons make the rule: two documents are the same; the key is not later; the "
        "key lies in the question of its own document.",
        "Two of the three are joined by `|`, since either is enough. The documents come with `&`.",
    ),
    cases=_rule_cases,
    spared={"empty": "then no pair is asked about",
            "alike: no two entries of starts are equal": "a document has at least one token"},
    reference=_rule_reference,
    mistakes=switched(_rule, {
        "across": "Your documents see each other.",
        "open-questions": "Your questions are seen from other documents too. Where does the "
                          "bracket around your `|` end?",
        "causal": "Your rule is causal and no more. The question is read in both directions.",
        "question-alone": "Your rule shows the questions alone. An answer also sees its own past.",
        "and": "Your keys must lie in the past *and* in the question. Either is enough.",
        "asking": "Your rule lets the queries in a question see everything of their document. It "
                  "is the *key* that must lie in the question.",
        "from-the-row": "Your questions are counted from the beginning of the row. Each begins "
                        "where its document does.",
        "first-question": "All your questions are as long as the first one.",
        "one-more": "Your questions are one token too long. Positions are counted from 0.",
        "late": "Your documents begin one position late: the first position of each belongs to the "
                "one before.",
        "strict": "Your positions do not see themselves.",
        "ahead": "Your positions look at what follows. Which side is the past?",
        "matrix": "You build the matrix of all pairs. With millions of positions it does not fit; "
                  "the rule must answer for the pairs that it is asked about.",
        "branch": "You ask `if`, `and` or `or` of whole arrays, each of which is one yes or no. A "
                  "rule that answers for many pairs at once has no branches: write `&` and `|`.",
        "polarity": "Your rule is True where a query may *not* look.",
        "numbers": "Your rule gives numbers. Return True and False.",
    }, pairs=[("across", "one-more"), ("across", "late"), ("causal", "late"), ("across", "strict"),
              ("across", "causal"), ("causal", "strict"), ("causal", "numbers"),
              ("polarity", "causal"), ("from-the-row", "strict"), ("asking", "strict"),
              ("across", "polarity"), ("causal", "matrix")],
       also=[("late", "first-too"), ("late", "nowhere"), ("strict", "own-hidden")]),
    variants=(_rule_counting, _rule_loops, _rule_torch),
)


# 4.10  None of them causal

def _roundabout(n, *, kind=""):
    """Masks of three layers: the first one first."""
    turned, causal = np.eye(n, dtype=bool)[::-1], np.tri(n, dtype=bool)
    rolled = np.roll(np.eye(n, dtype=bool), 1, axis=1)
    return {
        "": (turned, causal.T, turned),
        "rolled": (rolled, rolled @ causal @ rolled.T, rolled.T),
        "all-causal": (causal, causal, causal),
        "some-causal": (turned, turned, causal),
        "leaks": (causal.T, causal.T, causal.T),
        "misses": (turned, np.roll(np.eye(n, dtype=bool), 1, axis=0), turned),
        "exchanged": (rolled.T, rolled @ causal @ rolled.T, rolled),
        "numbers": (turned.astype(float), causal.T.astype(float), turned.astype(float)),
    }[kind]


def _roundabout_rolled(n):
    return _roundabout(n, kind="rolled")


def _roundabout_lists(n):
    return [mask.tolist() for mask in _roundabout(n)]


def _reached(first, middle, last):
    """Which inputs each output hears of, through three layers: (n, n)."""
    return last @ middle @ first  # booleans: "or" of "and"


def _roundabout_judge(cases, outcomes):
    found = []
    for case, outcome in zip(cases, outcomes):
        n, = case.args
        try:
            masks = [np.asarray(mask) for mask in outcome.value]
        except (TypeError, ValueError):
            masks = []
        if len(masks) != 3 or any(mask.shape != (n, n) for mask in masks):
            return another_form(f"For n = {n} return three masks of shape ({n}, {n}): "
                                "`return first, middle, last`.")
        found.append((n, masks))
    sentences = {mistake.name: mistake.sentence for mistake in _ROUNDABOUT.mistakes}

    def known(name, n, masks, told):
        drawn = "\n".join(f"{which}\n{mask.astype(int)}" for which, mask in zip(
            ("first", "middle", "last"), masks) if n < 7 and mask.dtype == bool)
        return Result("known_mistake", sentences[name], f"n = {n}: {told}\n{drawn}".strip(),
                      mistake=name)

    for n, masks in found:
        if any(mask.dtype != bool for mask in masks):
            return known("numbers", n, masks, ", ".join(str(mask.dtype) for mask in masks))
    causal = [sum(not np.triu(mask, 1).any() for mask in masks) for _, masks in found]
    for many, name in ((3, "all-causal"), (1, "some-causal")):
        for count, (n, masks) in zip(causal, found):
            if count >= many:
                return known(name, n, masks, f"{count} of 3 masks are causal")
    for n, masks in found:
        wanted, reached = np.tri(n, dtype=bool), _reached(*masks)
        if (reached == wanted).all():
            continue
        if all((_reached(*others[::-1]) == np.tri(m, dtype=bool)).all() for m, others in found):
            return known("exchanged", n, masks, "right in the other order")
        name = "leaks" if (reached & ~wanted).any() else "misses"
        i, j = np.argwhere(reached & ~wanted if name == "leaks" else wanted & ~reached)[0]
        return known(name, n, masks, f"output {i} {'hears' if name == 'leaks' else 'never hears'} "
                                     f"of word {j}")
    return None


def _roundabout_cases(seed):
    rng = np.random.default_rng([seed, 410])
    sizes = [3, 4, int(rng.integers(5, 9)), int(rng.integers(9, 20)), int(rng.integers(20, 40))]
    return [Case((n,)) for n in sizes] + [Case((2,), hard="two positions")]


_ROUNDABOUT = Exercise(
    id="4.10", kind="open-ended", points=4, minutes=20, version=1,
    hints=(
        "Nothing says that the rows between the layers must stand in the order of the words. A "
        "mask with one True in each row and column moves the words to other places.",
        "Move them in the first layer, and back in the last. What must the middle one look like, "
        "so that every word still hears of itself and of the words before it?",
        "Turn the whole text round: then the past lies on the other side of the diagonal.",
    ),
    cases=_roundabout_cases,
    reference=None,
    mistakes=tuple(Mistake(name, sentence, functools.partial(_roundabout, kind=name))
                   for name, sentence in {
        "numbers": "Your masks are made of numbers. Return boolean arrays.",
        "all-causal": "All your masks are causal. That such a stack is causal is what the proof "
                      "says; the question is whether it must be like that.",
        "some-causal": "One of your masks, or two, have nothing above the diagonal. None may be "
                       "causal.",
        "exchanged": "Your first and last mask have changed places: what the first layer moves, "
                     "the last must move back.",
        "leaks": "In your stack an output hears of a later word. Follow it from layer to layer.",
        "misses": "In your stack nothing leaks, but an output misses a word that it should hear "
                  "of.",
    }.items()),
    judge=_roundabout_judge,
    variants=(_roundabout, _roundabout_rolled, _roundabout_lists),
)

EXERCISES = (_PAPER, _MASKED, _RECENT, _PACKED, _ATTEND, _COUNT, _REMEMBER, _TWO_STEPS, _RULE,
             _ROUNDABOUT)
