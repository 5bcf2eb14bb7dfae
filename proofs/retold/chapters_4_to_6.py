"""Chapters 4 to 6: known mistakes, written again from their sentences."""

import itertools
import math

import numpy as np

from . import again

# 4.1: the exponentials of the scores, and who may look

LOOKS = np.array([[2, 5, 1, 9], [1, 3, 6, 1], [2, 7, 1, 5], [1, 1, 2, 8]])
OPEN = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0]])


@again("4.1", "reversed")
def _():
    return {"second": [0, 0, "6/7", "1/7"], "third": [0, 0, 0, 1], "fourth": [0, 0, 0, 1],
            "pairs": 9}


@again("4.1", "columns")
def _():
    seen = LOOKS * OPEN
    _, second, third, fourth = (seen / np.maximum(seen.sum(0), 1)).round(6).tolist()
    return {"second": second, "third": third, "fourth": fourth, "pairs": 9}


# 4.2

def exponentials(scores, axis=-1):
    """With the largest of the axis at 1."""
    return np.exp(scores - np.max(scores, axis, keepdims=True))


def over(parts, axis=-1):
    """Each over the sum of its axis; 0 where that is 0."""
    total = np.broadcast_to(parts.sum(axis, keepdims=True), parts.shape)
    return np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)


@again("4.2", "added")
def _(scores, mask):
    parts = exponentials(scores) * np.e ** mask.astype(float)
    return parts / parts.sum(-1, keepdims=True)


@again("4.2", "small-fill")
def _(scores, mask):
    filled = np.full(scores.shape, -3e4)
    np.copyto(filled, scores, where=mask)
    return over(exponentials(filled) * np.any(mask, -1, keepdims=True))


@again("4.2", "over-queries")
def _(scores, mask):
    turned = np.swapaxes(np.where(mask, scores, -np.inf), -1, -2)
    weights = np.zeros(turned.shape)
    for at in np.ndindex(turned.shape[:-1]):
        if np.isfinite(turned[at]).any():
            weights[at] = over(exponentials(turned[at]))
    return np.swapaxes(weights, -1, -2)


# 4.3

def windows(n_q, n_k, window, mask):
    """Fill in a mask, query by query; each stands at ``own``."""
    for i in range(n_q):
        own = n_k - n_q + i
        mask[i, max(own - window + 1, 0):max(own + 1, 0)] = 1
    return mask


@again("4.3", "suffix")
def _(n_q, n_k, window):
    mask = np.zeros((n_q, n_k), bool)
    for i in range(n_q):
        for j in range(n_k):
            mask[i, j] = i - window < j <= i + n_k - n_q
    return mask


@again("4.3", "newest-keys")
def _(n_q, n_k, window):
    newest = range(n_k)[-window:]
    return np.array([[j in newest and j - n_k <= i - n_q for j in range(n_k)]
                     for i in range(n_q)])


@again("4.3", "transposed")
def _(n_q, n_k, window):
    return np.array([[0 <= i + n_k - n_q - j < window for i in range(n_q)] for j in range(n_k)])


@again("4.3", "numbers")
def _(n_q, n_k, window):
    return windows(n_q, n_k, window, np.zeros((n_q, n_k)))


@again("4.3", "bias")
def _(n_q, n_k, window):
    return np.log(windows(n_q, n_k, window, np.zeros((n_q, n_k))))


# 4.4

def dealt(lengths, n):
    """The number of its document and its place there, for each position; None in the padding."""
    found = [(t, place) for t, length in enumerate(lengths) for place in range(length)]
    return found + [None] * (n - len(found))


def places_of(lengths, n):
    return np.array([0 if at is None else at[1] for at in dealt(lengths, n)], int)


def packing(may, places=places_of):
    """An answer whose mask asks ``may(i, j, one, other)`` of each pair; at None is the padding."""
    def packed(lengths, n):
        at = dealt(lengths, n)
        mask = [[bool(may(i, j, at[i], at[j])) for j in range(n)] for i in range(n)]
        return np.array(mask, bool).reshape(n, n), places(lengths, n)
    return packed


def allowed(i, j, one, other):
    """The mask that was asked for."""
    return j <= i and one is not None and other is not None and one[0] == other[0]


again("4.4", "across")(packing(lambda i, j, one, other: j <= i and one and other))
again("4.4", "both-ways")(packing(lambda i, j, one, other: one and other and one[0] == other[0]))
again("4.4", "strict")(packing(lambda i, j, one, other: i != j and allowed(i, j, one, other)))
again("4.4", "ahead")(packing(lambda i, j, one, other: allowed(j, i, other, one)))
again("4.4", "previous-too")(packing(
    lambda i, j, one, other: j <= i and one and other and one[0] - other[0] in (0, 1)))
again("4.4", "padding-seen")(packing(
    lambda i, j, one, other: j <= i and (one or [None])[0] == (other or [None])[0]))
again("4.4", "padding-owned")(packing(
    lambda i, j, one, other: j <= i and (one or [0])[0] == (other or [0])[0]))
again("4.4", "polarity")(packing(lambda *pair: not allowed(*pair)))


@again("4.4", "equal-lengths")
def _(lengths, n):
    long = max(1, math.ceil(sum(lengths) / max(1, len(lengths))))
    mask, places = np.zeros((n, n), bool), np.zeros(n, int)
    for i in range(sum(lengths)):
        mask[i, i // long * long:i + 1] = True
        places[i] = i % long
    return mask, places


@again("4.4", "by-length")
def _(lengths, n):
    at = dealt(lengths, n)
    return packing(lambda i, j, one, other: j <= i and one and other
                   and lengths[at[i][0]] == lengths[at[j][0]])(lengths, n)


@again("4.4", "by-length-places")
def _(lengths, n):
    long = [0 if at is None else lengths[at[0]] for at in dealt(lengths, n)]
    mask = np.array([[j <= i and 0 < long[i] == long[j] for j in range(n)] for i in range(n)])
    before = [sum(mask[i]) - 1 for i in range(n)]
    return mask, np.maximum(before, 0)


@again("4.4", "late")
def _(lengths, n):
    mask, places, begin = np.zeros((n, n), bool), np.zeros(n, int), 0
    for length in lengths:
        for i in range(begin + (begin > 0), begin + length + 1):
            if i < sum(lengths):
                mask[i, begin + (begin > 0):i + 1] = True
                places[i] = i - begin - (begin > 0)
        begin += length
    return mask, places


@again("4.4", "marks")
def _(lengths, n):
    marks, begin = [0] * n, 0
    for length in lengths:
        marks[begin] += 1
        begin += length
    if begin < n:
        marks[begin] += 1
    owner = list(itertools.accumulate(marks))
    mask = [[j <= i < begin and owner[i] == owner[j] for j in range(n)] for i in range(n)]
    return np.array(mask), places_of(lengths, n)


@again("4.4", "numbers")
def _(lengths, n):
    mask, begin = np.zeros((n, n)), 0
    for length in lengths:
        mask[begin:begin + length, begin:begin + length] = np.tri(length)
        begin += length
    return mask, places_of(lengths, n)


@again("4.4", "running")
def _(lengths, n):
    mask, _ = packing(allowed)(lengths, n)
    return mask, np.where(mask.any(1), np.arange(n), 0)


again("4.4", "running-padding")(packing(allowed, lambda lengths, n: np.arange(n)))
again("4.4", "from-one")(packing(allowed, lambda lengths, n: np.array(
    [0 if at is None else at[1] + 1 for at in dealt(lengths, n)])))
again("4.4", "owners")(packing(allowed, lambda lengths, n: np.array(
    [-1 if at is None else at[0] for at in dealt(lengths, n)])))


@again("4.4", "padding-counted")
def _(lengths, n):
    mask, places = packing(allowed)(lengths, n)
    for i in range(sum(lengths), n):
        places[i] = places[i - 1] + 1 if i else 0
    return mask, places


@again("4.4", "mask-alone")
def _(lengths, n):
    return packing(allowed)(lengths, n)[0]


# 4.5

def sentences(query, key, value, lengths, weigh):
    """One sentence and one head at a time; ``weigh(scores, hidden)`` gives the parts."""
    found = np.zeros((*query.shape[:-1], value.shape[-1]))
    for b, h in np.ndindex(query.shape[:2]):
        scores = query[b, h] @ key[b, h].T / math.sqrt(key.shape[-1])
        parts = weigh(scores, np.arange(key.shape[-2]) >= lengths[b])
        found[b, h] = over(parts) @ value[b, h]
    return found


def hide(scores, hidden, fill=-np.inf):
    """The parts of what may be seen; none where nothing may."""
    if hidden.all():
        return np.zeros(scores.shape)
    return exponentials(np.where(hidden, fill, scores))


@again("4.5", "small-fill")
def _(query, key, value, lengths):
    return sentences(query, key, value, lengths, lambda scores, hidden: hide(scores, hidden, -999))


@again("4.5", "first-length")
def _(query, key, value, lengths):
    return sentences(query, key, value, [lengths[0]] * len(lengths), hide)


@again("4.5", "zero-scores")
def _(query, key, value, lengths):
    return sentences(query, key, value, lengths, lambda scores, hidden: hide(scores, hidden, 0))


@again("4.5", "hidden-top")
def _(query, key, value, lengths):
    return sentences(query, key, value, lengths,
                     lambda scores, hidden: exponentials(scores) * ~hidden)


@again("4.5", "no-scale")
def _(query, key, value, lengths):
    return sentences(query * math.sqrt(key.shape[-1]), key, value, lengths, hide)


@again("4.5", "in-place")
def _(query, key, value, lengths):
    query *= key.shape[-1] ** -0.5
    return sentences(query, key * math.sqrt(key.shape[-1]), value, lengths, hide)


# 4.6

COUNTED = {"pairs": 5050, "windowed": 955, "reach": 37, "cached": 115, "uncached": 2655}
again("4.6", "one-layer")(lambda: COUNTED | {"reach": 100 - 91 + 1})
again("4.6", "all")(lambda: COUNTED | {"reach": min(10 ** 4, 100)})


# 4.7

def remembering(weigh, old=False):
    """An answer; ``weigh(scores, own)`` gives what each key weighs, ``own`` the query's place."""
    def remember(query, key, value, past_key, past_value):
        keys, values = np.vstack([past_key, key]), np.vstack([past_value, value])
        scores = query @ keys.T / math.sqrt(query.shape[-1])
        rows = [np.asarray(weigh(row, len(past_key) + i)) @ values
                for i, row in enumerate(scores)]
        return np.array(rows), *((past_key, past_value) if old else (keys, values))
    return remember


def up_to(row, end):
    """The weights of the first keys; of none, if it is none."""
    weights = np.zeros(len(row))
    if end:
        weights[:end] = over(exponentials(row[:end]))
    return weights


again("4.7", "old-kept")(remembering(lambda row, own: up_to(row, own + 1), old=True))


@again("4.7", "past-only")
def _(query, key, value, past_key, past_value):
    return remembering(lambda row, own: up_to(row, len(past_key)))(
        query, key, value, past_key, past_value)


@again("4.7", "square-keys")
def _(query, key, value, past_key, past_value):
    keys, values = np.vstack([past_key, key]), np.vstack([past_value, value])
    bias = np.triu(np.full((len(keys), len(keys)), -np.inf), 1)
    return over(exponentials(query @ keys.T / math.sqrt(key.shape[-1]) + bias)) @ values, keys, \
        values


@again("4.7", "zero-scores")
def _(query, key, value, past_key, past_value):
    return remembering(lambda row, own: over(exponentials(row * (np.arange(len(row)) <= own))))(
        query, key, value, past_key, past_value)


@again("4.7", "no-scale")
def _(query, key, value, past_key, past_value):
    return remembering(lambda row, own: up_to(row * math.sqrt(query.shape[-1]), own + 1))(
        query, key, value, past_key, past_value)


@again("4.7", "over-queries")
def _(query, key, value, past_key, past_value):
    keys, values = np.vstack([past_key, key]), np.vstack([past_value, value])
    scores = (keys / math.sqrt(key.shape[-1])) @ query.T
    for j, i in np.ndindex(scores.shape):
        if j > i + len(past_key):
            scores[j, i] = -np.inf
    return over(exponentials(scores)).T @ values, keys, values


@again("4.7", "overflow")
def _(query, key, value, past_key, past_value):
    def weigh(row, own):
        parts = [math.inf if x > 709 else math.exp(x) for x in row[:own + 1]]
        return np.array(parts + [0] * (len(row) - own - 1)) / sum(parts)
    return remembering(weigh)(query, key, value, past_key, past_value)


@again("4.7", "in-place")
def _(query, key, value, past_key, past_value):
    query[:] = query / math.sqrt(key.shape[-1])
    return remembering(lambda row, own: up_to(row * math.sqrt(key.shape[-1]), own + 1))(
        query, key, value, past_key, past_value)


# 4.8: stretches of the root's length, each of which has one position that all others see

def stretched(may):
    """The mask of ``may(i, j, long)``."""
    def two_step_mask(n):
        long = math.isqrt(n - 1) + 1
        return np.array([[bool(may(i, j, long)) for j in range(n)] for i in range(n)])
    return two_step_mask


def in_two(i, j, long):
    """A right one: what stands in the stretch, and the last of each earlier one."""
    return j <= i and (i // long == j // long or j % long == long - 1)


again("4.8", "window-only")(stretched(lambda i, j, long: 0 <= i - j < 2 * long))
again("4.8", "marks-only")(stretched(
    lambda i, j, long: j <= i and (i == j or j % long == long - 1)))
again("4.8", "first")(stretched(
    lambda i, j, long: j <= i and (i // long == j // long or j % long == 0)))
again("4.8", "not-causal")(stretched(
    lambda i, j, long: i // long == j // long or in_two(i, j, long)))


@again("4.8", "numbers")
def _(n):
    return stretched(in_two)(n).astype(int)


# 4.9

def ruled(rule):
    """An answer whose rule sees, pair by pair, the positions and their documents.

    ``rule(query, key, t, u, place)``: t and u are the documents' numbers, place(key) where it
    stands in its own.
    """
    def may_look(query, key, starts, asked):
        starts, asked = [int(x) for x in starts], [int(x) for x in asked]

        def one(query, key):
            t, u = (sum(start <= at for start in starts) - 1 for at in (query, key))
            return bool(rule(int(query), int(key), t, u, starts, asked))
        return np.vectorize(one, otypes=[bool])(query, key)
    return may_look


def question(key, u, starts, asked):
    """Whether the key is in the question of its document."""
    return starts[u] <= key < starts[u] + asked[u]


@again("4.9", "across")
@ruled
def _(query, key, t, u, starts, asked):
    return key <= query or question(key, u, starts, asked)


@again("4.9", "open-questions")
@ruled
def _(query, key, t, u, starts, asked):
    return t == u and key <= query or question(key, u, starts, asked)


@again("4.9", "causal")
@ruled
def _(query, key, t, u, starts, asked):
    return starts[t] <= key <= query


@again("4.9", "question-alone")
@ruled
def _(query, key, t, u, starts, asked):
    return t == u and question(key, u, starts, asked)


@again("4.9", "and")
@ruled
def _(query, key, t, u, starts, asked):
    return t == u and key <= min(query, starts[t] + asked[t] - 1)


@again("4.9", "asking")
@ruled
def _(query, key, t, u, starts, asked):
    return t == u and (key <= query or question(query, t, starts, asked))


@again("4.9", "from-the-row")
@ruled
def _(query, key, t, u, starts, asked):
    return t == u and (key <= query or key in range(asked[t]))


@again("4.9", "first-question")
@ruled
def _(query, key, t, u, starts, asked):
    return t == u and key < max(query + 1, starts[t] + asked[0])


@again("4.9", "one-more")
@ruled
def _(query, key, t, u, starts, asked):
    return t == u and key <= max(query, starts[t] + asked[t])


@again("4.9", "late")
@ruled
def _(query, key, t, u, starts, asked):
    t, u = (max(0, sum(start < at for start in starts) - 1) for at in (query, key))
    return t == u and (key <= query or question(key, u, starts, asked))


@again("4.9", "strict")
@ruled
def _(query, key, t, u, starts, asked):
    return t == u and key != query and (key < query or question(key, u, starts, asked))


@again("4.9", "ahead")
@ruled
def _(query, key, t, u, starts, asked):
    return t == u and (query <= key or question(key, u, starts, asked))


@again("4.9", "polarity")
@ruled
def _(query, key, t, u, starts, asked):
    return t != u or key > query and not question(key, u, starts, asked)


@ruled
def may_look(query, key, t, u, starts, asked):
    return t == u and (key <= query or question(key, u, starts, asked))


@again("4.9", "numbers")
def _(query, key, starts, asked):
    return np.multiply(may_look(query, key, starts, asked), 1.0)


@again("4.9", "branch")
def _(query, key, starts, asked):
    t = max(t for t, start in enumerate(starts) if query >= start)
    end = starts[t + 1] if t + 1 < len(starts) else math.inf
    return starts[t] <= key < end and (key <= query or key - starts[t] < asked[t])


@again("4.9", "matrix")
def _(query, key, starts, asked):
    n = int(max(np.max(query), np.max(key))) + 1
    every = np.zeros((n, n), bool)
    at = np.arange(n)
    for t, start in enumerate(starts):
        inside = (at >= start) & (at < (list(starts) + [n])[t + 1])
        seen = (at <= at[:, None]) | (at < start + asked[t])
        every |= inside & inside[:, None] & seen
    return every[query, key]


# 4.10: turn the row round, look at what follows, and turn it back

def turned_round(n):
    return np.eye(n, dtype=bool)[::-1]


again("4.10", "numbers")(lambda n: [np.eye(n)[::-1], np.tri(n).T, np.eye(n)[::-1]])
again("4.10", "all-causal")(lambda n: [np.eye(n) > 0, np.eye(n) > 0, np.tri(n) > 0])
again("4.10", "some-causal")(
    lambda n: [turned_round(n), np.tri(n)[:, ::-1] > 0, np.eye(n) > 0])
again("4.10", "leaks")(lambda n: [turned_round(n), np.ones((n, n), bool), turned_round(n)])
again("4.10", "misses")(
    lambda n: [turned_round(n), np.eye(n, k=1) > 0, turned_round(n)])


@again("4.10", "exchanged")
def _(n):
    forth = np.roll(np.eye(n, dtype=bool), 1, axis=1)
    back = np.roll(np.eye(n, dtype=bool), 1, axis=0)
    middle = [[(j + 1) % n <= (i + 1) % n for j in range(n)] for i in range(n)]
    return [back, np.array(middle), forth]


# 5.1: 30 degrees a place

@again("5.1", "swapped")
def _():
    query, key = 4 * np.exp(1j * math.pi / 6), 2j * np.exp(3j * math.pi / 6)
    return {"q": [query.real, query.imag], "k": [key.real, key.imag],
            "near": (query * key.conjugate()).real, "far": -4 * 3 ** 0.5, "after": 4 * 3 ** 0.5}


# 5.2

def falling(slopes, n_q, n_k, fall=abs):
    """The bias, entry by entry."""
    return np.array([[[-slope * fall(i + n_k - n_q - j) for j in range(n_k)]
                      for i in range(n_q)] for slope in slopes]).reshape(len(slopes), n_q, n_k)


def halving(heads):
    """The slopes that were asked for."""
    return [0.5 ** (8 * (head + 1) / heads) for head in range(heads)]


@again("5.2", "no-eight")
def _(heads, n_q, n_k):
    return falling([0.5 ** ((head + 1) / heads) for head in range(heads)], n_q, n_k)


@again("5.2", "inverted")
def _(heads, n_q, n_k):
    return falling([0.5 ** (8 / (head + 1)) for head in range(heads)], n_q, n_k)


@again("5.2", "root")
def _(heads, n_q, n_k):
    return falling(halving(heads), n_q, n_k, lambda back: math.sqrt(abs(back)))


@again("5.2", "transposed")
def _(heads, n_q, n_k):
    return np.array([[[-slope * abs(n_k - n_q + i - j) for i in range(n_q)]
                      for j in range(n_k)] for slope in halving(heads)])


# 5.3: two features as a complex number

def turned(x, places, base=1e4, turn=lambda pair, angle: pair * np.exp(1j * angle)):
    """The pairs of features at their places, turned."""
    width = x.shape[-1]
    pairs = x.reshape(*x.shape[:-1], width // 2, 2)
    pair = pairs[..., 0] + 1j * pairs[..., 1]
    angle = np.multiply.outer(np.asarray(places), base ** (-2 * np.arange(width // 2) / width))
    pair = turn(pair, angle)
    return np.stack([pair.real, pair.imag], -1).reshape(x.shape)


@again("5.3", "no-minus")
def _(x, positions):
    out = np.empty(x.shape)
    for i in range(0, x.shape[-1], 2):
        sine, cosine = (f(positions * 1e4 ** (-i / x.shape[-1])) for f in (np.sin, np.cos))
        out[..., i] = x[..., i] * cosine + x[..., i + 1] * sine
        out[..., i + 1] = x[..., i] * sine + x[..., i + 1] * cosine
    return out


@again("5.3", "exchanged")
def _(x, positions):
    return turned(x, positions, turn=lambda pair, angle: pair * 1j * np.exp(-1j * angle))


@again("5.3", "in-place")
def _(x, positions):
    result = turned(x, positions)
    for i in range(x.shape[-1]):
        x[..., i] = result[..., i]
    return x


@again("5.3", "head-axis")
def _(x, positions):
    if x.ndim == 2:
        return turned(x, positions)
    heads_last = np.swapaxes(x, -2, -3)
    return np.swapaxes(turned(heads_last, np.arange(x.shape[-3])), -2, -3)


def keeping():
    kept = {}

    def turn_pairs(x, positions):
        n = len(positions)
        if n not in kept:
            kept[n] = [int(place) for place in positions]
        return turned(x, kept[n])
    return turn_pairs


again("5.3", "cached")(keeping())


# 5.4

def next_places(new, past):
    return np.arange(new.shape[-2]) + past.shape[-2]


def met(query, key, past):
    """The scores of what is turned already."""
    keys = np.concatenate([past, key], -2)
    return np.einsum("...id,...jd->...ij", query, keys) * query.shape[-1] ** -0.5


@again("5.4", "both-from-zero")
def _(query, key, past):
    places = list(range(key.shape[-2]))
    return met(turned(query, places), turned(key, places), past)


@again("5.4", "left-axes")
def _(query, key, past):
    places = range(len(past), len(past) + len(query))
    keys = np.vstack([past, turned(key, places)])
    return turned(query, places) @ np.swapaxes(keys, -1, -2) / math.sqrt(keys.shape[-1])


@again("5.4", "last-place")
def _(query, key, past):
    places = np.full(key.shape[-2], past.shape[-2] + key.shape[-2] - 1)
    return met(turned(query, places), turned(key, places), past)


@again("5.4", "query-unturned")
def _(query, key, past):
    return met(query, turned(key, next_places(key, past)), past)


@again("5.4", "key-unturned")
def _(query, key, past):
    return met(turned(query, next_places(query, past)), key, past)


# 5.5

def pairing(width):
    """For each column of a head of ours, the one of theirs."""
    return [half for i in range(width // 2) for half in (i, i + width // 2)]


@again("5.5", "first-head")
def _(w, heads):
    width = w.shape[1] // heads
    return w[:, pairing(width) + list(range(width, w.shape[1]))]


@again("5.5", "heads-inside")
def _(w, heads):
    width = w.shape[1] // heads
    return np.stack([w[:, from_ * heads + head] for from_ in pairing(width)
                     for head in range(heads)], 1)


@again("5.5", "split")
def _(w, heads):
    return np.stack([part[:, pairing(part.shape[1])] for part in np.hsplit(w, heads)], 1)


@again("5.5", "transposed")
def _(w, heads):
    return np.vstack([part[:, pairing(part.shape[1])].T for part in np.hsplit(w, heads)])


# 5.7: a query asks for an encoding, turned back; the scores are large enough for one key

def shift(dim, steps):
    """The matrix that takes the encoding of a place to that of the place so many steps before."""
    matrix = np.zeros((dim, dim))
    for i in range(0, dim, 2):
        angle = steps * 1e4 ** (-i / dim)
        matrix[i:i + 2, i:i + 2] = [[math.cos(angle), math.sin(angle)],
                                    [-math.sin(angle), math.cos(angle)]]
    return matrix


LOUD = 3e4
again("5.7", "forwards")(lambda dim, steps: (LOUD * shift(dim, -steps), np.eye(dim)))
again("5.7", "no-shift")(lambda dim, steps: (LOUD * np.eye(dim), np.eye(dim)))
again("5.7", "one-step")(lambda dim, steps: (np.eye(dim), LOUD * shift(dim, -1)))
again("5.7", "keys-too")(lambda dim, steps: (LOUD * shift(dim, steps), shift(dim, steps)))
again("5.7", "wrong-sign")(lambda dim, steps: (shift(dim, steps), -LOUD * np.eye(dim)))


@again("5.7", "fastest-only")
def _(dim, steps):
    return LOUD * shift(dim, steps)[:, :2], np.eye(dim)[:, :2]


@again("5.7", "slowest-only")
def _(dim, steps):
    return shift(dim, steps)[:, -2:], LOUD * np.eye(dim)[:, -2:]


# 5.8

def bucketed(bucket):
    """An answer that looks up ``bucket(back, half, far)``, key by key."""
    def bucket_bias(table, far, n_q, n_k):
        bias = np.zeros((table.shape[1], n_q, n_k))
        for i in range(n_q):
            for j in range(n_k):
                bias[:, i, j] = table[bucket(i + n_k - n_q - j, len(table) // 2, far)]
        return bias
    return bucket_bias


def logarithmic(back, half, far):
    """The part of the second half that lies before this distance."""
    return half * math.log(back / half) / math.log(far / half)


def right_bucket(back, half, far, whole=math.floor):
    if back < half:
        return max(back, 0)
    return min(2 * half - 1, half + whole(logarithmic(back, half, far)))


@again("5.8", "top-left")
def _(table, far, n_q, n_k):
    return np.array([[[table[right_bucket(i - j, len(table) // 2, far), head]
                       for j in range(n_k)] for i in range(n_q)] for head in range(len(table[0]))])


again("5.8", "both-sides")(bucketed(lambda back, half, far: right_bucket(abs(back), half, far)))
again("5.8", "unclipped")(bucketed(
    lambda back, half, far: back if back < 0 else right_bucket(back, half, far)))
again("5.8", "no-cap")(bucketed(
    lambda back, half, far: max(back, 0) if back < half
    else half + int(logarithmic(back, half, far))))
again("5.8", "exact-alone")(bucketed(lambda back, half, far: sorted([0, back, 2 * half - 1])[1]))
again("5.8", "one-for-all")(bucketed(lambda back, half, far: min(max(back, 0), half)))
again("5.8", "from-one")(bucketed(
    lambda back, half, far: max(back, 0) if back < half else min(
        2 * half - 1, int(half + half * math.log(back) / math.log(far)))))
again("5.8", "all-buckets")(bucketed(
    lambda back, half, far: max(back, 0) if back < half else min(
        2 * half - 1, int(half + 2 * logarithmic(back, half, far)))))
again("5.8", "rounded")(bucketed(
    lambda back, half, far: right_bucket(back, half, far, lambda x: int(x + 0.5))))
again("5.8", "ceiling")(bucketed(
    lambda back, half, far: right_bucket(back, half, far, lambda x: -int(-x // 1))))
again("5.8", "negative")(lambda table, far, n_q, n_k: bucketed(right_bucket)(
    0 - table, far, n_q, n_k))
again("5.8", "heads-last")(lambda table, far, n_q, n_k: np.stack(
    list(bucketed(right_bucket)(table, far, n_q, n_k)), -1))
again("5.8", "transposed")(lambda table, far, n_q, n_k: np.array(
    [bias.T for bias in bucketed(right_bucket)(table, far, n_q, n_k)]))


# 5.9

def further(places, base):
    """An answer from ``places(positions, s, how)`` and ``base(s, d, how)``, s being at least 1."""
    def read_further(x, positions, trained, longest, how):
        s = max(1, longest / trained)
        return turned(x, places(positions, s, how), base(s, x.shape[-1], how))
    return read_further


def squeezed(positions, s, how):
    return np.asarray(positions) / s if how == "interpolate" else positions


def raised(s, d, how):
    return 1e4 * math.exp(math.log(s) * d / (d - 2)) if how == "base" else 1e4


again("5.9", "stretched")(further(
    lambda positions, s, how: positions * s if how == "interpolate" else positions, raised))
again("5.9", "whole")(further(
    lambda positions, s, how: np.trunc(squeezed(positions, s, how)), raised))
again("5.9", "base-by-s")(further(squeezed, lambda s, d, how: 1e4 * s if how == "base" else 1e4))
again("5.9", "turned-power")(further(
    squeezed, lambda s, d, how: 1e4 * s ** (1 - 2 / d) if how == "base" else 1e4))
again("5.9", "one-less")(further(
    squeezed, lambda s, d, how: 1e4 * s * s ** (1 / (d - 1)) if how == "base" else 1e4))
again("5.9", "lowered")(further(
    squeezed, lambda s, d, how: 1e8 / raised(s, d, how)))
again("5.9", "both")(further(lambda positions, s, how: positions / s,
                            lambda s, d, how: raised(s, d, "base")))
again("5.9", "exchanged")(further(
    lambda positions, s, how: squeezed(positions, s, "interpolate" * (how == "base")),
    lambda s, d, how: raised(s, d, "base" * (how == "interpolate"))))
again("5.9", "interpolate-alone")(further(lambda positions, s, how: positions / s,
                                         lambda s, d, how: 1e4))
again("5.9", "plain")(lambda x, positions, *rest: turned(x, positions))


@again("5.9", "no-floor")
def _(x, positions, trained, longest, how):
    if how == "interpolate":
        return turned(x, [place * trained / longest for place in positions])
    return turned(x, positions, raised(longest / trained, x.shape[-1], how))


@again("5.9", "whole-factor")
def _(x, positions, trained, longest, how):
    return further(squeezed, raised)(x, positions, 1, max(1, longest // trained), how)


@again("5.9", "by-rows")
def _(x, positions, trained, longest, how):
    return further(squeezed, raised)(x, positions, trained, x.shape[-2], how)


# 5.10: neighbours to halves

def apart(turned_width, width):
    """For each column of theirs, the one of ours."""
    return [*range(0, turned_width, 2), *range(1, turned_width, 2), *range(turned_width, width)]


def reordered(order):
    """An answer that takes the columns of both in the order ``order(turned, width)``."""
    def into_theirs(w_query, w_key, turned):
        columns = order(turned, w_key.shape[1])
        return tuple(w.T[np.array(columns, int)].T for w in (w_query, w_key))
    return into_theirs


again("5.10", "inverse")(reordered(lambda turned, width: np.argsort(apart(turned, width))))
again("5.10", "whole-width")(reordered(lambda turned, width: apart(width, width)))
again("5.10", "odd-first")(reordered(lambda turned, width: [
    *range(1, turned, 2), *range(0, turned, 2), *range(turned, width)]))
again("5.10", "reversed")(reordered(lambda turned, width: range(width)[::-1]))
again("5.10", "rest-first")(reordered(lambda turned, width: [
    *range(turned, width), *apart(turned, turned)]))


@again("5.10", "query-alone")
def _(w_query, w_key, turned):
    return w_query[:, apart(turned, w_query.shape[1])], 1 * w_key


@again("5.10", "key-alone")
def _(w_query, w_key, turned):
    return 1 * w_query, w_key[:, apart(turned, w_key.shape[1])]


again("5.10", "unchanged")(lambda w_query, w_key, turned: [np.array(w_query), np.array(w_key)])
again("5.10", "cut")(reordered(lambda turned, width: apart(turned, turned)))


# 5.11

def paired(fits, points=lambda ours, theirs: 100 * (np.mean(ours) - np.mean(theirs))):
    """An answer that compares all runs that ``fits(ours, theirs)`` puts side by side."""
    def fair_pairs(runs):
        found = [[ours["visited"], ours["steps"], ours["read"],
                  float(points(ours["right"], theirs["right"]))]
                 for ours in runs if ours["kind"] == "sinusoidal"
                 for theirs in runs if theirs["kind"] == "learned" and fits(ours, theirs)]
        return sorted(found, key=lambda row: row[:3])  # alike in these: as they come
    return fair_pairs


def agree(ours, theirs, *names):
    return all(ours[name] == theirs[name] for name in names)


def fair(ours, theirs):
    return agree(ours, theirs, "visited", "steps", "read") and ours["read"] > ours["visited"]


again("5.11", "any-places")(paired(
    lambda ours, theirs: agree(ours, theirs, "steps", "read") and ours["read"] > ours["visited"]))
again("5.11", "any-steps")(paired(
    lambda ours, theirs: agree(ours, theirs, "visited", "read") and ours["read"] > ours["visited"]))
again("5.11", "visited-too")(paired(
    lambda ours, theirs: agree(ours, theirs, "visited", "steps", "read")))
again("5.11", "visited-alone")(paired(
    lambda ours, theirs: agree(ours, theirs, "visited", "steps", "read")
    and ours["read"] <= ours["visited"]))
again("5.11", "edge")(paired(
    lambda ours, theirs: agree(ours, theirs, "visited", "steps", "read")
    and not ours["read"] < ours["visited"]))
again("5.11", "turned")(paired(
    fair, lambda ours, theirs: (sum(theirs) / len(theirs) - sum(ours) / len(ours)) * 100))
again("5.11", "shares")(paired(
    fair, lambda ours, theirs: sum(ours) / len(ours) - sum(theirs) / len(theirs)))
again("5.11", "best-run")(paired(fair, lambda ours, theirs: 100 * (max(ours) - max(theirs))))
again("5.11", "median")(paired(
    fair, lambda ours, theirs: 100 * (np.percentile(ours, 50) - np.percentile(theirs, 50))))


@again("5.11", "as-they-come")
def _(runs):
    found = {}
    for run in runs:
        found.setdefault((run["visited"], run["steps"], run["read"]), {})[run["kind"]] = run
    return [[*setting, 100 * float(np.mean(both["sinusoidal"]["right"])
                                   - np.mean(both["learned"]["right"]))]
            for setting, both in found.items() if len(both) == 2 and setting[2] > setting[0]]


@again("5.11", "points-alone")
def _(runs):
    return [row.pop() for row in paired(fair)(runs)]


# 5.12: the verdict turns from (2, 64) to (4, 64), and from (4, 16) to (4, 64)

again("5.12", "exchanged")(lambda: {"heads": [(4, 16), (4, 64)], "length": [(2, 64), (4, 64)]})
again("5.12", "heads-both")(lambda: {"heads": [(1, 16), (4, 64)], "length": [(4, 32), (4, 64)]})
again("5.12", "length-both")(lambda: {"heads": [(1, 64), (4, 64)], "length": [(8, 16), (4, 64)]})
again("5.12", "turned")(lambda: {"heads": [(4, 64), (2, 64)], "length": [(4, 64), (4, 32)]})
again("5.12", "heads-stays")(lambda: {"heads": [(1, 16), (2, 16)], "length": [(4, 16), (4, 64)]})
again("5.12", "length-stays")(lambda: {"heads": [(8, 64), (4, 64)], "length": [(1, 16), (1, 64)]})


# 6.1

LAYER = {"width": 8, "weights": 24576, "cache": 64, "key_head": 3}
again("6.1", "full-values")(lambda: LAYER | {"weights": 3 * 96 ** 2 + 96 * 32})
again("6.1", "one-head")(lambda: LAYER | {"weights": 4 * 96 * 8})
again("6.1", "queries-too")(lambda: LAYER | {"cache": 8 * (12 + 4 + 4)})


# 6.2: head by head, by its columns

def columns(w, head, heads):
    width = w.shape[-1] // heads
    return w[:, head * width:(head + 1) * width]


def beside(found):
    """What the heads found, one after the other in each row."""
    return np.concatenate(found, -1)


def headed(share=exponentials, merge=beside, loud=1.0):
    """An answer; ``share(scores)`` gives the parts of each head, ``merge(list)`` joins them."""
    def all_heads(x, w_query, w_key, w_value, w_out, heads):
        found = []
        for head in range(heads):
            query, key, value = (x @ columns(w, head, heads) for w in (w_query, w_key, w_value))
            scores = np.einsum("...id,...jd->...ij", query, key) / math.sqrt(key.shape[-1])
            found.append(over(share(scores * loud)) @ value)
        return merge(found) @ w_out
    return all_heads


again("6.2", "merge-heads-last")(headed(merge=lambda found: np.stack(
    [part[..., i] for i in range(found[0].shape[-1]) for part in found], -1)))
again("6.2", "merge-crossed")(headed(merge=lambda found: np.stack(found, -1).transpose(
    *range(found[0].ndim - 2), -2, -3, -1).reshape(*found[0].shape[:-1], -1)))
again("6.2", "first-head")(headed(merge=lambda found: beside([found[0]] * len(found))))


@again("6.2", "split-before")
def _(x, w_query, w_key, w_value, w_out, heads):
    part, found = x.shape[-1] // heads, []
    for head in range(heads):
        rows = slice(head * part, (head + 1) * part)
        query, key, value = (x[..., rows] @ columns(w, head, heads)[rows]
                             for w in (w_query, w_key, w_value))
        scores = query @ np.swapaxes(key, -1, -2) / math.sqrt(key.shape[-1])
        found.append(over(exponentials(scores)) @ value)
    return beside(found) @ w_out


@again("6.2", "no-scale")
def _(x, w_query, w_key, w_value, w_out, heads):
    return headed(loud=math.sqrt(w_key.shape[-1] / heads))(
        x, w_query, w_key, w_value, w_out, heads)


@again("6.2", "mean-scores")
def _(x, w_query, w_key, w_value, w_out, heads):
    together = (x @ w_query) @ np.swapaxes(x @ w_key, -1, -2)
    width = w_key.shape[-1] / heads
    weights = over(exponentials(together / heads / math.sqrt(width)))
    return weights @ (x @ w_value) @ w_out


@again("6.2", "view-after-transpose")
def _(x, w_query, w_key, w_value, w_out, heads):
    import torch
    query, key, value = (torch.stack((x @ w).chunk(heads, -1), -3)
                         for w in (w_query, w_key, w_value))
    scores = torch.einsum("...id,...jd->...ij", query, key) / math.sqrt(key.shape[-1])
    found = scores.softmax(-1) @ value
    return found.transpose(-2, -3).view(*x.shape[:-1], -1) @ w_out


@again("6.2", "weights-turned")
def _(x, w_query, w_key, w_value, w_out, heads):
    query, key, value = (np.einsum("...i,oi->...o", x, w) for w in (w_query, w_key, w_value))
    width, found = len(w_key) // heads, []
    for at in range(0, heads * width, width):
        scores = query[..., at:at + width] @ np.swapaxes(key[..., at:at + width], -1, -2)
        found.append(over(exponentials(scores / math.sqrt(width))))
    wide = len(w_value) // heads
    return np.einsum("...i,oi->...o", beside([
        weights @ value[..., head * wide:(head + 1) * wide]
        for head, weights in enumerate(found)]), w_out)


@again("6.2", "value-from-key")
def _(x, w_query, w_key, w_value, w_out, heads):
    return headed()(x, w_query, w_key, 1 * w_key, w_out, heads)


@again("6.2", "axis")
def _(x, w_query, w_key, w_value, w_out, heads):
    found = []
    for head in range(heads):
        query, key = x @ columns(w_query, head, heads), x @ columns(w_key, head, heads)
        turned_round = key @ np.swapaxes(query, -1, -2) / math.sqrt(key.shape[-1])
        weights = np.swapaxes(over(exponentials(turned_round)), -1, -2)
        found.append(weights @ x @ columns(w_value, head, heads))
    return beside(found) @ w_out


@again("6.2", "heads-compete")
def _(x, w_query, w_key, w_value, w_out, heads):
    parts = []
    for head in range(heads):
        query, key = x @ columns(w_query, head, heads), x @ columns(w_key, head, heads)
        parts.append(np.exp(query @ np.swapaxes(key, -1, -2) / math.sqrt(key.shape[-1])))
    return beside([part / sum(parts) @ x @ columns(w_value, head, heads)
                   for head, part in enumerate(parts)]) @ w_out


# 6.3: query head by query head

def sharing(key_head=lambda head, times, kv_heads: head // times, loud=1.0, less=False):
    """An answer in which each query head asks the key head with this number."""
    def grouped(query, key, value):
        kv_heads = key.shape[-3]
        times = query.shape[-3] // kv_heads
        found = []
        for head in range(query.shape[-3]):
            at = key_head(head, times, kv_heads)
            scores = query[..., head, :, :] @ np.swapaxes(key[..., at, :, :], -1, -2)
            scores = scores * loud * key.shape[-1] ** -0.5
            found.append(over(exponentials(scores)) @ value[..., at, :, :] / (times ** less))
        return np.stack(found, -3)
    return grouped


again("6.3", "shifted")(sharing(lambda head, times, kv_heads: (head + 1) // times % kv_heads))
again("6.3", "divided")(sharing(less=True))


@again("6.3", "one-query")
def _(query, key, value):
    times = query.shape[-3] // key.shape[-3]
    first = [head - head % times for head in range(query.shape[-3])]
    return sharing()(query[..., first, :, :], key, value)


@again("6.3", "group-mean")
def _(query, key, value):
    found, times = sharing()(query, key, value), query.shape[-3] // key.shape[-3]
    for begin in range(0, query.shape[-3], times):
        group = found[..., begin:begin + times, :, :]
        group[:] = sum(group[..., i, :, :] for i in range(times))[..., None, :, :] / times
    return found


@again("6.3", "no-scale")
def _(query, key, value):
    return sharing(loud=math.sqrt(key.shape[-1]))(query, key, value)


# 6.4

def shared_out(found, w_out):
    width = found.shape[-1]
    return np.stack([found[..., head, :, :] @ w_out[head * width:][:width]
                     for head in range(found.shape[-3])], -3)


@again("6.4", "head-axis-zero")
def _(found, w_out):
    width, parts = found.shape[-1], []
    for head in range(len(found)):
        parts.append(found[head] @ w_out[head * width:][:width])
    return np.array(parts)


@again("6.4", "running")
def _(found, w_out):
    parts = shared_out(found, w_out)
    for head in range(1, found.shape[-3]):
        parts[..., head, :, :] += parts[..., head - 1, :, :]
    return parts


@again("6.4", "shares")
def _(found, w_out):
    parts = shared_out(found, w_out)
    return parts / sum(parts[..., [head], :, :] for head in range(found.shape[-3]))


@again("6.4", "sizes")
def _(found, w_out):
    return np.linalg.norm(shared_out(found, w_out), axis=-1)


@again("6.4", "absolute")
def _(found, w_out):
    parts = shared_out(found, w_out)
    return np.where(parts < 0, -parts, parts)


# 6.6: each head asks for one key, and gives its label to one half of the output

def two_ears(first, second, keep=(1, 1)):
    """``first`` and ``second``: which half of the query each head hears."""
    def two_heads(keys, labels):
        w_query = np.zeros((2 * keys, 2 * keys))
        for head, ear in enumerate((first, second)):
            w_query[ear * keys:(ear + 1) * keys, head * keys:(head + 1) * keys] = np.eye(keys)
        halves = np.repeat(np.array(keep, float), labels)
        return (300 * w_query, np.hstack([np.eye(keys)] * 2), np.hstack([np.eye(labels)] * 2),
                np.diag(halves))
    return two_heads


again("6.6", "other-ear")(two_ears(1, 1))
again("6.6", "second-label")(two_ears(0, 1, keep=(0, 1)))


# 6.7

def without(replaced, every=False):
    """An answer in which ``replaced(found, other, head, how)`` stands in the place of a head."""
    def taken_out(found, other, w_out, head, how):
        heads = found.shape[1]
        parts = [replaced(found, other, one, how) + np.zeros_like(found[:, one])
                 if every or one == head else found[:, one] for one in range(heads)]
        return np.concatenate(parts, -1) @ w_out
    return taken_out


def instead(found, other, head, how):
    """What was asked for."""
    return {"zero": 0, "mean": sum(found[:, head]) / len(found), "patch": other[:, head]}[how]


def in_place_of(how, other_way):
    """The same, but for one of the three ways."""
    def replaced(found, other, head, asked):
        return (other_way(found, other, head) if asked == how
                else instead(found, other, head, asked))
    return replaced


again("6.7", "everything")(without(instead, every=True))
again("6.7", "mean-of-heads")(without(in_place_of(
    "mean", lambda found, other, head: found.mean((0, 1)))))
again("6.7", "own-mean")(without(in_place_of(
    "mean", lambda found, other, head: sum(found[:, one] for one in range(found.shape[1]))
    / found.shape[1])))
again("6.7", "patch-mean")(without(in_place_of(
    "patch", lambda found, other, head: sum(other[:, head]) / len(other))))
again("6.7", "own-for-patch")(without(in_place_of(
    "patch", lambda found, other, head: sum(found[:, head]) / len(found))))
again("6.7", "half")(without(in_place_of(
    "patch", lambda found, other, head: 0.5 * found[:, head] + 0.5 * other[:, head])))
again("6.7", "added")(without(in_place_of(
    "patch", lambda found, other, head: other[:, head] + found[:, head])))


@again("6.7", "alternating")
def _(found, other, w_out, head, how):
    changed = found.copy()
    changed[:, head] = instead(found, other, head, how)
    return np.stack([changed[:, one, :, i] for i in range(found.shape[-1])
                     for one in range(found.shape[1])], -1) @ w_out


@again("6.7", "scaled")
def _(found, other, w_out, head, how):
    heads = found.shape[1]
    louder = found * (heads / (heads - 1) if how == "zero" and heads > 1 else 1)
    louder[:, head] = instead(found, other, head, how)
    return np.concatenate([louder[:, one] for one in range(heads)], -1) @ w_out


@again("6.7", "no-output")
def _(found, other, w_out, head, how):
    return without(instead)(found, other, np.eye(len(w_out)), head, how)


# 6.8

def asking(weigh, loud=1.0):
    """An answer; ``weigh(scores, seen)`` gives a head's weights, ``seen`` with an axis of words."""
    def words_ask(words, patches, w_query, w_key, w_value, w_out, heads, seen):
        found = []
        for head in range(heads):
            query = words @ columns(w_query, head, heads)
            key = patches @ columns(w_key, head, heads)
            scores = np.einsum("...id,...jd->...ij", query, key) / math.sqrt(key.shape[-1])
            weights = weigh(scores * loud, np.asarray(seen)[..., None, :])
            found.append(weights @ (patches @ columns(w_value, head, heads)))
        return beside(found) @ w_out
    return words_ask


def seen_alone(scores, seen):
    hidden = np.broadcast_to(~seen, scores.shape)
    top = np.where(hidden, -1e300, scores).max(-1, keepdims=True)
    return over(np.where(hidden, 0, np.exp(np.minimum(scores - top, 0))))


again("6.8", "mask-after")(asking(lambda scores, seen: over(exponentials(scores)) * seen))
again("6.8", "times-mask")(asking(lambda scores, seen: over(exponentials(scores * seen))))


@again("6.8", "first-picture")
def _(words, patches, *rest):
    *rest, seen = rest
    first = np.asarray(seen).reshape(-1, patches.shape[-2])[0]
    return asking(seen_alone)(words, patches, *rest, first)


@again("6.8", "over-words")
@asking
def _(scores, seen):
    return over(np.exp(scores) * seen, -2)


@again("6.8", "mean-weights")
def _(words, patches, w_query, w_key, w_value, w_out, heads, seen):
    weights = 0
    for head in range(heads):
        query = words @ columns(w_query, head, heads)
        key = patches @ columns(w_key, head, heads)
        scores = query @ np.swapaxes(key, -1, -2) / math.sqrt(key.shape[-1])
        weights = weights + seen_alone(scores, np.asarray(seen)[..., None, :]) / heads
    return weights @ patches @ w_value @ w_out


@again("6.8", "no-scale")
def _(words, patches, w_query, w_key, *rest):
    return asking(seen_alone, math.sqrt(w_key.shape[-1] / rest[2]))(
        words, patches, w_query, w_key, *rest)


@again("6.8", "no-output")
def _(words, patches, w_query, w_key, w_value, w_out, heads, seen):
    return asking(seen_alone)(words, patches, w_query, w_key, w_value, np.eye(len(w_out)), heads,
                              seen)


# 6.9

again("6.9", "swapped")(lambda: {"flip": ((1, 4), (4, 32)), "number": ((1, 4), (1, 32)),
                                 "width": ((1, 8), (4, 8))})
