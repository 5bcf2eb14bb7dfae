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
