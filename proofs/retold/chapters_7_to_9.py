"""Chapters 7 to 9: known mistakes, written again from their sentences."""

import functools
import itertools
import math

import numpy as np

from . import again


def normed(x, correction=0):
    """Each row with mean 0 and variance 1."""
    width = x.shape[-1]
    away = x - x @ np.full((width, 1), 1 / width)
    power = np.einsum("...i,...i->...", away, away)[..., None]
    return away / np.sqrt(power / (width - correction) + 1e-5)


def shares(scores):
    """Softmax over the last axis."""
    with np.errstate(all="ignore"):
        powers = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return np.nan_to_num(powers / np.sum(powers, axis=-1, keepdims=True))


def look_up(query, key, value, scale=None, hidden=None):
    """Plain attention, spelled out; `hidden` is True where nothing may be seen."""
    scores = np.einsum("...qd,...kd->...qk", query, key)
    scores = scores * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if hidden is not None:
        scores[np.broadcast_to(hidden, scores.shape)] = -np.inf
    return np.einsum("...qk,...kv->...qv", shares(scores), value)


# 7.1  Counting layers


def felt(layers, new, itself=1):
    """How many words are felt, one layer after the other."""
    words = itself
    for _ in range(layers):
        words += new
    return words


def enough(wanted, after):
    """The first number of layers after which there is as much as is wanted."""
    return next(layers for layers in itertools.count(1) if after(layers) >= wanted)


def counted(**wrong):
    return {"feels": 13, "layers": 25, "steps": 16, "layers_for_64": 6, "weights": 1200} | wrong


@again("7.1", "whole-window")
def _():
    return counted(feels=felt(3, 5), layers=enough(100, lambda layers: felt(layers, 5)))


@again("7.1", "not-itself")
def _():
    return counted(feels=felt(3, 4, itself=0),
                   layers=enough(100, lambda layers: felt(layers, 4, itself=0)))


@again("7.1", "multiplied")
def _():
    return counted(feels=5 * 5 * 5, layers=enough(100, lambda layers: 5 ** layers))


@again("7.1", "one-step-each")
def _():
    return counted(steps=len(range(4)), layers_for_64=float(enough(64, lambda layers: layers)))


@again("7.1", "one-more")
def _():
    return counted(steps=1 + sum([1] * 4), layers_for_64=enough(64, lambda layers: layers + 1))


@again("7.1", "two-each")
def _():
    return counted(steps=2 * 4, layers_for_64=enough(64, lambda layers: 2 * layers))


@again("7.1", "first-free")
def _():
    known, layers = 1, 1
    while known < 64:
        known, layers = known + known, layers + 1
    return counted(layers_for_64=layers)


@again("7.1", "once-wide")
def _():
    return counted(weights=sum(np.zeros((10, 10)).size for _ in range(6)))


@again("7.1", "no-output")
def _():
    shapes = [(10, 10)] * 3 + [(10, 40), (40, 10)]
    return counted(weights=sum(map(math.prod, shapes)))


# 7.2  One block, both ways


def block(wrap, look=look_up, out=True):
    """A block whose steps are wrapped by ``wrap(x, step, pre_norm)``."""
    def answer(x, attend, widen, narrow, pre_norm):
        to_query, to_key, to_value, to_out = attend

        def exchange(y):
            found = look(y @ to_query, y @ to_key, y @ to_value)
            return found @ to_out if out else found

        def work(y):
            inside = y @ widen
            inside[inside < 0] = 0
            return inside @ narrow

        after = wrap(x, exchange, pre_norm)
        return wrap(after, work, pre_norm)

    return answer


def wrapped(x, step, pre_norm):
    return x + step(normed(x)) if pre_norm else normed(x + step(x))


again("7.2", "always-pre")(block(lambda x, step, pre_norm: x + step(normed(x))))
again("7.2", "always-post")(block(lambda x, step, pre_norm: normed(x + step(x))))
again("7.2", "no-norm")(block(lambda x, step, pre_norm: x + step(x)))
again("7.2", "both-norms")(block(
    lambda x, step, pre_norm: normed(x + step(normed(x) if pre_norm else x))))
again("7.2", "no-scale")(block(
    wrapped, look=lambda query, key, value: shares(query @ np.swapaxes(key, -1, -2)) @ value))
again("7.2", "no-output")(block(wrapped, out=False))


@again("7.2", "sandwich")
@block
def _(x, step, pre_norm):
    if not pre_norm:
        return normed(step(x) + x)
    change = step(normed(x))
    return normed(change) + x


@again("7.2", "raw-step")
@block
def _(x, step, pre_norm):
    change = step(x)
    return normed(x) + change if pre_norm else normed(x + change)


@again("7.2", "old-normed")
@block
def _(x, step, pre_norm):
    y = normed(x)
    return x + step(y) if pre_norm else y + step(x)


# 7.3  What can reach what


@again("7.3", "same-mask")
def _(mask):
    n = mask.shape[1]
    step = mask[0].astype(int) | np.eye(n, dtype=int)
    reached = np.eye(n, dtype=int)
    for _ in mask:
        reached = np.minimum(reached @ step, 1)
    return reached == 1


@again("7.3", "one-too-few")
def _(mask):
    n = mask.shape[1]
    felt_by = [{i} for i in range(n)]
    for layer in range(len(mask) - 1):
        felt_by = [set().union(felt_by[i], *(felt_by[j] for j in range(n) if mask[layer, i, j]))
                   for i in range(n)]
    return np.array([[j in felt_by[i] for j in range(n)] for i in range(n)])


# 7.4  The stream that was lost


def stream(change):
    """A pre-norm stack whose layers are ``change(x, normed x, look)``, a norm behind them."""
    def answer(x, layers):
        for matrices in layers:
            x = change(x, normed(x), functools.partial(look_through, matrices))
        return normed(x)

    return answer


def look_through(matrices, query, key, value, **how):
    """Attention with its four matrices."""
    to_query, to_key, to_value, to_out = matrices
    return look_up(query @ to_query, key @ to_key, value @ to_value, **how) @ to_out


again("7.4", "query-raw")(stream(lambda x, y, look: x + look(x, y, y)))
again("7.4", "key-raw")(stream(lambda x, y, look: x + look(y, x, y)))
again("7.4", "value-raw")(stream(lambda x, y, look: x + look(y, y, x)))
again("7.4", "change-normed")(stream(lambda x, y, look: x + normed(look(y, y, y))))
again("7.4", "doubled")(stream(lambda x, y, look: y + look(y, y, y) + x))
again("7.4", "norm-every-end")(stream(lambda x, y, look: normed(x + look(y, y, y))))
again("7.4", "causal")(stream(lambda x, y, look: x + look(
    y, y, y, hidden=np.arange(x.shape[-2])[:, None] < np.arange(x.shape[-2]))))


# 7.5  Any number of steps


def places(start, aim):
    """Where each token's arrow leads: the place, not the item."""
    return (aim[..., :, None, :] * start[..., None, :, :]).sum(-1).argmax(-1)


def walked(after, steps):
    """The place after so many steps, by squaring the table of arrows."""
    here = np.broadcast_to(np.arange(after.shape[-1]), after.shape)
    while steps > 0:
        if steps % 2:
            here = np.take_along_axis(after, here, -1)
        after = np.take_along_axis(after, after, -1)
        steps //= 2
    return here


def rows(start, here):
    """The rows of `start` at these places."""
    return np.take_along_axis(start, here[..., None], -2)


def instead(number):
    """Right, but for another number of steps."""
    return lambda start, aim, steps: rows(start, walked(places(start, aim), number(steps)))


again("7.5", "rounded-down")(instead(lambda steps: 1 << (steps.bit_length() - 1) if steps else 0))
again("7.5", "rounded-up")(instead(lambda steps: 1 << max(steps - 1, 0).bit_length()))
again("7.5", "one-too-many")(instead(lambda steps: steps + 1))
again("7.5", "one-too-few")(instead(lambda steps: max(steps - 1, 0)))
again("7.5", "twice")(instead(lambda steps: steps + steps))
again("7.5", "stays")(instead(lambda steps: 0))
again("7.5", "single")(instead(lambda steps: 1))
again("7.5", "large-first")(instead(lambda steps: int(bin(steps)[:1:-1], 2)))
again("7.5", "jump-stays")(instead(lambda steps: bin(steps).count("1")))
again("7.5", "jump-by-one")(instead(lambda steps: sum(
    layer for layer, digit in enumerate(reversed(bin(steps)[2:]), 1) if digit == "1")))
again("7.5", "jump")(instead(lambda steps: 1 << steps.bit_length()))


@again("7.5", "exchanged")
def _(start, aim, steps):
    return rows(aim, walked(places(aim, start), steps))


@again("7.5", "backwards")
def _(start, aim, steps):
    into = np.swapaxes((aim[..., :, None, :] * start[..., None, :, :]).sum(-1), -1, -2)
    return rows(start, walked(into.argmax(-1), steps))


@again("7.5", "numbers")
def _(start, aim, steps):
    here = walked(places(start, aim), steps)
    return np.take_along_axis(start.argmax(-1), here, -1)


def by_jumps(look, keep=0):
    """By attention: a jump for each binary digit, looked up by ``look(query, key, value)``."""
    def answer(start, aim, steps):
        here, jump = start, aim
        while steps:
            steps, digit = divmod(steps, 2)
            if digit:
                here = keep * here + look(here, start, jump)
            jump = look(jump, start, jump)
        return here

    return answer


again("7.5", "soft")(by_jumps(look_up))
again("7.5", "added")(by_jumps(lambda *given: look_up(*given, scale=200), keep=1))
again("7.5", "causal")(by_jumps(lambda query, key, value: look_up(
    query, key, value, scale=200, hidden=~np.tri(key.shape[-2], dtype=bool))))


# 7.7  Keep the words apart


again("7.7", "fixed")(lambda depth: (1, 0.25))
again("7.7", "growing")(lambda depth: (1, depth / 10))
again("7.7", "fading")(lambda depth: (1 - 1 / depth, depth ** -0.5))


# 7.8  Make it flip


def sizes(post=(1, 0.15), pre=(0.08, 40)):
    return lambda: {"post": post, "pre": pre}


again("7.8", "as-drawn")(sizes([1, 1], np.ones(2)))
again("7.8", "exchanged")(sizes((0.08, 40), (1, 0.15)))
again("7.8", "turned")(sizes((0.15, 1), (40, 0.08)))
again("7.8", "look-alone")(sizes(post=(0.02, 1)))
again("7.8", "loud-post")(sizes(post=(2, 5)))
again("7.8", "idle")(sizes(post=(1, 0.01)))
again("7.8", "quiet-pre")(sizes(pre=(0.5, 4)))
again("7.8", "sharp-pre")(sizes(pre=(5, 25)))


# 8.1  The bill on paper


def bill(**wrong):
    return {"attention": 2e8, "recurrence": 2e7, "convolution": 5e7, "equal": 100,
            "layers": 250, "windows": 11} | wrong


@again("8.1", "projections")
def _():
    shapes = [(1000, 100, 1000), (1000, 1000, 100)] + 3 * [(1000, 100, 100)]
    return bill(attention=sum(map(math.prod, shapes)))


@again("8.1", "projections")
def _():
    return bill(attention=sum([1000 * 1000 * 100] * 2 + [1000 * 100 * 100] * 4))


@again("8.1", "width-squared")
def _():
    return bill(attention=2 * (1000 * 100) ** 2)


# 8.2  A window with gaps


def gaps(n_q, n_k, which):
    """The mask in which a query sees the keys ``which`` places before its own."""
    mask = np.zeros((n_q, n_k), dtype=bool)
    for row in range(n_q):
        for back in which:
            column = row + n_k - n_q - back
            if 0 <= column < n_k:
                mask[row, column] = True
    return mask


@again("8.2", "not-itself")
def _(n_q, n_k, window, dilation):
    return gaps(n_q, n_k, range(dilation, window * dilation, dilation))


@again("8.2", "drop")
def _(n_q, n_k, window, dilation):
    return gaps(n_q, n_k, range(0, window * dilation, dilation)) ^ True


@again("8.2", "transposed")
def _(n_q, n_k, window, dilation):
    mask = gaps(n_q, n_k, range(0, window * dilation, dilation))
    return np.array([[mask[row, column] for row in range(n_q)] for column in range(n_k)])


# 8.3 and 8.4  In pieces, and with a mask


def in_pieces(total_by=-1, output_by=-1, more=0, divided=True):
    """One query after the other; what there is shrinks by ``exp(by * rise of the top)``."""
    def one(query, key, value, chunk):
        top = total = output = None
        for start in range(0, len(key), chunk):
            piece = slice(start, start + chunk + more)
            scores = key[piece] @ query / math.sqrt(len(query))
            new = scores.max() if top is None else max(top, scores.max())
            powers = np.exp(scores - new)
            if top is None:
                total, output = powers.sum(), powers @ value[piece]
            else:
                total = total * np.exp(total_by * (new - top)) + powers.sum()
                output = output * np.exp(output_by * (new - top)) + powers @ value[piece]
            top = new
        return output / total if divided else output

    return lambda query, key, value, chunk: np.array([
        one(row, key, value, chunk) for row in query])


again("8.3", "overlap")(in_pieces(more=1))
again("8.3", "inverted")(in_pieces(total_by=1, output_by=1))
again("8.3", "output-not-shrunk")(in_pieces(output_by=0))
again("8.3", "total-not-shrunk")(in_pieces(total_by=0))
again("8.3", "undivided")(in_pieces(divided=False))


@again("8.3", "added")
def _(query, key, value, chunk):
    ends = range(chunk, len(key), chunk)
    return sum(look_up(query, *piece) for piece in zip(np.split(key, ends), np.split(value, ends)))


@again("8.4", "unmasked")
def _(query, key, value, mask, chunk):
    return in_pieces()(query, key, value, chunk)


@again("8.4", "plus-one")
def _(query, key, value, mask, chunk):
    rows = []
    for row, sees in zip(query, mask):
        top, total, output = 0.0, 0.0, np.zeros(value.shape[1])
        for start in range(0, len(key), chunk):
            keys = [j for j in range(start, min(start + chunk, len(key))) if sees[j]]
            if keys:
                scores = key[keys] @ row / math.sqrt(len(row))
                new = max(top, scores.max()) if total else scores.max()
                shrink, powers = np.exp(top - new) if total else 0.0, np.exp(scores - new)
                total = total * shrink + powers.sum()
                output = output * shrink + powers @ value[keys]
                top = new
        rows.append(output / (1 + total))
    return np.array(rows)


@again("8.4", "skips-hidden-chunks")
def _(query, key, value, mask, chunk):
    starts = [start for start in range(0, len(key), chunk) if mask[:, start:start + chunk].any()]
    rows = []
    for row, sees in zip(query, mask):
        top, total, output = -np.inf, np.float64(0), np.zeros(value.shape[1])
        for start in starts:
            piece = slice(start, start + chunk)
            scores = key[piece] @ row / math.sqrt(len(row))
            scores[~sees[piece]] = -np.inf
            new = max(top, scores.max())
            powers = np.exp(scores - new)
            total = total * np.exp(top - new) + powers.sum()
            output = output * np.exp(top - new) + powers @ value[piece]
            top = new
        rows.append(output / total if total != 0 else output)
    return np.array(rows)


# 8.5  Near and far


def levels(near=lambda i, j: True, far=lambda own, other: True, weigh=None, size=None,
           total=lambda x: x.mean(0), value_of=None, within=None):
    """Query by query: keys of its own chunk, and one entry for each other chunk."""
    weigh = weigh or (lambda score, count: score + math.log(count))
    within = within or (lambda i, j, chunk: i // chunk == j // chunk)

    def answer(query, key, value, chunk):
        pieces = [slice(start, start + chunk) for start in range(0, len(key), chunk)]
        rows = []
        for i, row in enumerate(query):
            own = [j for j in range(len(key)) if within(i, j, chunk) and near(i, j)]
            others = [p for c, p in enumerate(pieces) if c != i // chunk and far(i // chunk, c)]
            keys = [*key[own], *(total(key[p]) for p in others)]
            values = [*value[own], *((value_of or total)(value[p]) for p in others)]
            counts = [1] * len(own) + [len(key[p]) for p in others]
            scores = [weigh(row @ k / math.sqrt(len(row)), n) for k, n in zip(keys, counts)]
            rows.append(shares(np.array(scores)) @ np.array(values))
        return np.array(rows)

    return answer


again("8.5", "sums")(levels(total=lambda x: x.sum(0)))
again("8.5", "causal")(levels(near=lambda i, j: j <= i, far=lambda own, other: other < own))
again("8.5", "past-only")(levels(far=lambda own, other: other < own))
again("8.5", "near-past-only")(levels(near=lambda i, j: j <= i))
again("8.5", "first-value")(levels(value_of=lambda x: x[0]))
again("8.5", "multiplied")(levels(weigh=lambda score, count: score * count))
again("8.5", "window")(levels(within=lambda i, j, chunk: i - chunk < j <= i))
again("8.5", "far-only")(levels(near=lambda i, j: False))


@again("8.5", "full-size")
def _(query, key, value, chunk):
    return levels(total=lambda x: x.sum(0) / chunk)(query, key, value, chunk)


@again("8.5", "two-softmaxes")
def _(query, key, value, chunk):
    near = levels(far=lambda own, other: False)(query, key, value, chunk)
    far = levels(near=lambda i, j: False)(query, key, value, chunk)
    return (near + far) / 2


# 8.7  As few layers as can be


def layers_for(n, window):
    """How many layers it takes, without a logarithm."""
    return next(layers for layers in itertools.count() if window ** layers >= n)


again("8.7", "same-gap")(lambda n, window: [window] * layers_for(n, window))
again("8.7", "growing-by-one")(lambda n, window: list(range(1, layers_for(n, window) + 1)))
again("8.7", "base-too-large")(lambda n, window: [
    (window + 1) ** layer for layer in range(layers_for(n, window))])
again("8.7", "log-and-one")(lambda n, window: [
    window ** layer for layer in range(math.floor(math.log(n, window) + 1e-9) + 1)])


# 8.8  Back, without the weights


def back(weigh=lambda scores, lse: np.exp(scores - lse),
         slope=lambda weights, arrives, mean: weights * (arrives - mean),
         scale=1, slope_scale=1, to_value=lambda weights, grad, output: weights.T @ grad,
         last_alone=False, whole_alone=False):
    """The backward pass in pieces; scales are multiples of the right ones."""
    def answer(query, key, value, output, lse, grad, chunk):
        root = query.shape[1] ** 0.5
        mean = np.einsum("iv,iv->i", grad, output)[:, None]
        by_query, by_key, by_value = (np.zeros(x.shape) for x in (query, key, value))
        for start in range(0, len(key), chunk):
            piece = slice(start, start + chunk)
            if whole_alone and start + chunk > len(key):
                continue
            scores = np.einsum("id,jd->ij", query, key[piece]) / (root if scale else 1)
            weights = weigh(scores, lse[:, None])
            arrives = np.einsum("iv,jv->ij", grad, value[piece])
            slopes = slope(weights, arrives, mean) / (root if slope_scale else 1)
            by_query = slopes @ key[piece] + (0 if last_alone else by_query)
            by_key[piece] = slopes.T @ query
            by_value[piece] = to_value(weights, grad, output)
        return by_query, by_key, by_value

    return answer


again("8.8", "own-softmax")(back(weigh=lambda scores, lse: shares(scores)))
again("8.8", "not-divided")(back(weigh=lambda scores, lse: np.exp(scores)))
again("8.8", "minus-top")(back(
    weigh=lambda scores, lse: np.exp(scores - np.sort(scores, axis=1)[:, -1:])))
again("8.8", "scores-unscaled")(back(scale=0))
again("8.8", "gradients-unscaled")(back(slope_scale=0))
again("8.8", "no-mean")(back(slope=lambda weights, arrives, mean: arrives * weights))
again("8.8", "mean-of-piece")(back(slope=lambda weights, arrives, mean: weights * arrives
                                   - weights * np.einsum("ij,ij->i", weights, arrives)[:, None]))
again("8.8", "mean-added")(back(slope=lambda weights, arrives, mean: weights * (mean + arrives)))
again("8.8", "softmax-skipped")(back(slope=lambda weights, arrives, mean: arrives - mean))
again("8.8", "last-piece")(back(last_alone=True))
again("8.8", "output-for-gradient")(back(
    to_value=lambda weights, grad, output: np.einsum("ij,iv->jv", weights, output)))
again("8.8", "tail-dropped")(back(whole_alone=True))


# 8.9  A schedule for the tiles


def groups(many, size):
    return [range(start, min(start + size, many)) for start in range(0, many, size)]


def boxes(rows, columns):
    """All tiles of each pair of a group of rows and a group of columns, box by box."""
    return [tile for some in rows for others in columns for tile in itertools.product(some, others)]


def to_and_fro(blocks, held, passing=1):
    """Groups of queries, each with all groups of keys, from the last to the first and back."""
    turns = itertools.cycle([-1, 1])
    return [tile for some in groups(blocks, held)
            for tile in boxes([some], groups(blocks, passing)[::next(turns)])]


again("8.9", "one-held")(lambda blocks, room: to_and_fro(blocks, 1))
again("8.9", "no-room-for-keys")(lambda blocks, room: to_and_fro(blocks, room))
again("8.9", "half-and-half")(lambda blocks, room: to_and_fro(
    blocks, room // 2, room - room // 2))
again("8.9", "columns")(lambda blocks, room: boxes(groups(blocks, blocks), groups(blocks, 1)))
again("8.9", "diagonals")(lambda blocks, room: [
    (i, (i + step) % blocks) for step in range(blocks) for i in range(blocks)])
again("8.9", "same-way")(lambda blocks, room: boxes(groups(blocks, room - 1), groups(blocks, 1)))


again("8.9", "causal")(lambda blocks, room: [
    (i, j) for i, j in to_and_fro(blocks, room - 1) if not j > i])
again("8.9", "twice")(lambda blocks, room: [(0, 0), *sorted(to_and_fro(blocks, room - 1))])


# 8.10  Selected


def selected(worth=lambda row, keys: row @ keys.mean(0), fewer=0, scale=None, found=None,
             alike=False, tail=True):
    """Query by query: the chunks worth most, and then their keys."""
    def answer(query, key, value, chunk, top):
        pieces = [np.arange(len(key))[start:start + chunk] for start in range(0, len(key), chunk)]
        pieces = [piece for piece in pieces if tail or len(piece) == chunk]
        rows = []
        for row in query:
            asks = query.mean(0) if alike else row
            ranked = sorted(pieces, key=lambda piece: worth(asks, key[piece]), reverse=True)
            chosen = ranked[:top - fewer]
            if found:
                rows.append(found(row, key, value, chosen))
            else:
                seen = sorted(j for piece in chosen for j in piece)
                rows.append(look_up(row[None], key[seen], value[seen], scale=scale)[0]
                            if seen else np.zeros(value.shape[1]))
        return np.array(rows)

    return answer


def of_means(row, key, value, chosen):
    keys, values = (np.array([x[piece].mean(0) for piece in chosen]) for x in (key, value))
    return look_up(row[None], keys, values)[0]


def with_zeros(row, key, value, chosen):
    scores = np.zeros(len(key))
    seen = np.concatenate(chosen)
    scores[seen] = key[seen] @ row / math.sqrt(len(row))
    return shares(scores) @ value


def cut_late(row, key, value, chosen):
    weights = shares(key @ row / math.sqrt(len(row)))
    return sum(weights[j] * value[j] for piece in chosen for j in piece)


def averaged(row, key, value, chosen):
    return np.mean([look_up(row[None], key[piece], value[piece])[0] for piece in chosen], axis=0)


again("8.10", "means-alone")(selected(found=of_means))
again("8.10", "best-key")(selected(worth=lambda row, keys: (keys @ row).max()))
again("8.10", "sums")(selected(worth=lambda row, keys: (keys @ row).sum()))
again("8.10", "first-keys")(selected(worth=lambda row, keys: keys[0] @ row))
again("8.10", "one-choice")(selected(alike=True))
again("8.10", "worst")(selected(worth=lambda row, keys: -(keys @ row).mean()))
again("8.10", "absolute")(selected(worth=lambda row, keys: abs((keys @ row).mean())))
again("8.10", "counted")(selected(
    worth=lambda row, keys: (keys @ row).mean() / math.sqrt(len(row)) + math.log(len(keys))))
again("8.10", "one-fewer")(selected(fewer=1))
again("8.10", "no-scale")(selected(scale=1.0))
again("8.10", "zero-scores")(selected(found=with_zeros))
again("8.10", "cut-after")(selected(found=cut_late))
again("8.10", "each-alone")(selected(found=averaged))
again("8.10", "tail-dropped")(selected(tail=False))


# 8.11  Both ways at once


def word_by_word(sees=lambda i, j: j <= i, weigh=lambda row, keys: keys @ row, early=False,
                 result=lambda near, far: (near[0] + far[0]) / (near[1] + far[1]), forget=False,
                 empty=False, end=lambda state, n: state, tail=True):
    """Each word from its chunk (``near``: sum above the line and below) and the state (``far``)."""
    def answer(query, key, value, state, total, chunk):
        if empty:
            state, total = 0 * state, 0 * total
        rows = []
        last = len(key) if tail else len(key) // chunk * chunk
        for start in range(0, last, chunk):
            words = range(start, min(start + chunk, last))
            told = sum(np.outer(key[j], value[j]) for j in words), key[list(words)].sum(0)
            new = told if forget else (state + told[0], total + told[1])
            if early:
                state, total = new
            for i in words:
                seen = [j for j in words if sees(i, j)]
                weights = weigh(query[i], key[seen]) if seen else np.zeros(0)
                near = weights @ value[seen], weights.sum()
                rows.append(result(near, (query[i] @ state, query[i] @ total)))
            state, total = new
        return np.array(rows), end(state, len(key)), end(total, len(key))

    return answer


again("8.11", "sees-ahead")(word_by_word(sees=lambda i, j: True))
again("8.11", "not-itself")(word_by_word(sees=lambda i, j: j < i))
again("8.11", "state-first")(word_by_word(early=True))
again("8.11", "past-alone")(word_by_word(result=lambda near, far: far[0] / far[1]))
again("8.11", "chunk-alone")(word_by_word(result=lambda near, far: near[0] / near[1]))
again("8.11", "past-divides")(word_by_word(result=lambda near, far: (near[0] + far[0]) / far[1]))
again("8.11", "chunk-divides")(word_by_word(result=lambda near, far: (near[0] + far[0]) / near[1]))
again("8.11", "undivided")(word_by_word(result=lambda near, far: near[0] + far[0]))
again("8.11", "two-averages")(word_by_word(
    result=lambda near, far: 0.5 * near[0] / near[1] + 0.5 * far[0] / far[1]))
again("8.11", "softmax")(word_by_word(weigh=lambda row, keys: shares(keys @ row)))
again("8.11", "last-chunk")(word_by_word(forget=True))
again("8.11", "from-nothing")(word_by_word(empty=True))
again("8.11", "mean-state")(word_by_word(end=lambda state, n: state / n))
again("8.11", "tail-dropped")(word_by_word(tail=False))


# 8.12  Referee: two halves of two tables


def table(rows):
    """``{(model, words, what): value}``."""
    return {(row["model"], row["words"], row["what"]): row["value"] for row in rows}


def lengths(rows):
    return sorted({row["words"] for row in rows})


def referee(ratio=lambda model, other: model / other, points=lambda model, other: model - other,
            hundred=100, needed=("cost", "near", "far"), order=("near", "far"), missing=None,
            when=lengths):
    """A row of numbers for each length at which nothing that is needed is missing."""
    def answer(rows, model, other):
        value = table(rows)

        def pair(words, what):
            return [missing(value, name, words, what) if missing else value.get((name, words, what))
                    for name in (model, other)]

        return [(words, ratio(*pair(words, "cost")),
                 *(hundred * points(*pair(words, what)) for what in order))
                for words in when(rows) if None not in sum(
                    (pair(words, what) for what in needed), [])]

    return answer


def as_they_come(rows):
    return list(dict.fromkeys(row["words"] for row in rows))


def borrowed(value, name, words, what):
    """From this length; else from the nearest at which it was measured."""
    measured = [w for who, w, which in value if (who, which) == (name, what)]
    return value[name, min(measured, key=lambda w: abs(w - words)), what] if measured else None


def dearest(value, name, words, what):
    """Costs from the greatest length."""
    if what == "cost":
        words = max(w for who, w, which in value if (who, which) == (name, what))
    return value.get((name, words, what))


again("8.12", "inverted")(referee(ratio=lambda model, other: other / model))
again("8.12", "saved")(referee(ratio=lambda model, other: (other - model) / other))
again("8.12", "difference")(referee(ratio=lambda model, other: model - other))
again("8.12", "turned")(referee(points=lambda model, other: other - model))
again("8.12", "shares")(referee(hundred=1))
again("8.12", "far-first")(referee(order=("far", "near")))
again("8.12", "as-they-come")(referee(when=as_they_come))
again("8.12", "longest-alone")(lambda *given: sorted(referee()(*given))[-1:])
again("8.12", "zeros")(referee(missing=lambda value, *what: value.get(what, 0)))
again("8.12", "zeros")(referee(
    missing=lambda value, name, words, what: value.get((name, words, what), None if what == "cost"
                                                       else 0.0)))
again("8.12", "any-length")(referee(missing=borrowed))
again("8.12", "cost-anywhere")(referee(missing=dearest))


@again("8.12", "far-left-out")
def _(rows, model, other):
    value = table(rows)
    return [(words, value[model, words, "cost"] / value[other, words, "cost"],
             100 * (value[model, words, "near"] - value[other, words, "near"]),
             100 * (value.get((model, words, "far"), 0) - value.get((other, words, "far"), 0)))
            for words in lengths(rows)
            if {(name, words, what) for name in (model, other) for what in ("cost", "near")}
            <= value.keys()]


# 8.13  Make it flip: a matter of the budget


def budget(lost=("near", 20, 320), behind=("far", 40), kept="after"):
    return lambda: {"lost": lost, "behind": behind, "kept": kept}


again("8.13", "backwards")(budget(lost=("near", 320, 40)))
again("8.13", "gained")(budget(lost=("after", 40, 160)))
again("8.13", "not-ahead")(budget(lost=("far", 40, 320)))
again("8.13", "still-ahead")(budget(lost=["near", 20, 40]))
again("8.13", "runs-overlap")(budget(behind=("far", 80)))
again("8.13", "not-behind")(budget(behind=("after", 20)))
again("8.13", "kept-near")(budget(kept="Near"))
again("8.13", "kept-far")(budget(kept="far "))


# 9.1  One loss, three units


SURPRISES = [math.log(2), math.log(4), math.log(8), math.log(8)]


def units(**wrong):
    nats = sum(SURPRISES) / 4
    return {"nats": nats, "bits": 2.25, "perplexity": math.exp(nats), "bytes": 281.25} | wrong


again("9.1", "swapped")(lambda: units(nats="9/4", bits=1.5596))
again("9.1", "nats-ten")(lambda: units(nats=-sum(map(math.log10, (1/2, 1/4, 1/8, 1/8))) / 4))
again("9.1", "inverse")(lambda: units(perplexity="4/9"))
again("9.1", "inverse")(lambda: units(perplexity=4 / sum(SURPRISES)))


# 9.2  The baseline


def after_each(text):
    """``(before, next)`` at every place of the text."""
    return [(text[:place], text[place]) for place in range(len(text))]


def orders(above, below, length=lambda n: n - 1, bottom=None, divide=lambda top, low: top / low,
           more=True):
    """From the shortest context up; ``above`` and ``below`` count."""
    def answer(text, context, alphabet, longest, strength):
        found = (bottom or (lambda text, alphabet: [1 / len(alphabet)] * len(alphabet)))(
            text, alphabet)
        for n in range(1, longest + 1):
            last = context[len(context) - length(n):]
            low = below(text, last) + (strength if more else 0)
            found = [divide(above(text, last, letter) + strength * share, low)
                     for letter, share in zip(alphabet, found)]
        return np.array(found)

    return answer


def hits(text, last, letter):
    return sum(before.endswith(last) and then == letter for before, then in after_each(text))


def followed(text, last):
    return sum(before.endswith(last) for before, _ in after_each(text))


again("9.2", "no-overlap-above-and-below")(orders(
    lambda text, last, letter: len(text.split(last + letter)) - 1,
    lambda text, last: len(text[:-1].split(last)) - 1 if last else len(text)))
again("9.2", "end-counted")(orders(
    hits, lambda text, last: sum(text[:end].endswith(last) for end in range(len(text) + 1))
    if last else len(text)))
again("9.2", "end-counted-always")(orders(
    hits, lambda text, last: sum(text[:end].endswith(last) for end in range(len(text) + 1))))
again("9.2", "too-long")(orders(hits, followed, length=lambda n: n))
again("9.2", "strength-forgotten")(orders(
    hits, followed, more=False, divide=lambda top, low: np.divide(top, low)))
again("9.2", "not-divided")(orders(hits, followed, divide=lambda top, low: float(top)))
again("9.2", "text-alphabet")(orders(hits, followed, bottom=lambda text, alphabet: [
    (letter in text) / len({*text}) for letter in alphabet]))
again("9.2", "size-of-text")(orders(hits, followed, bottom=lambda text, alphabet: [
    1 / len(dict.fromkeys(text)) for _ in alphabet]))
again("9.2", "logarithm")(lambda *given: np.array([
    math.log(share) for share in orders(hits, followed)(*given)]))


# 9.3  A choosier draw


@again("9.3", "first-axis")
def _(scores, temperature, k):
    columns = scores.reshape(len(scores), -1).T
    found = np.zeros(columns.shape)
    for row, column in zip(found, columns):
        best = sorted(range(len(column)), key=lambda i: -column[i])[:k if temperature else 1]
        row[best] = shares(column[best] / (temperature or 1))
    return found.T.reshape(scores.shape)


# 9.4  All of it, or nothing


def rows_right(right):
    """The share of rows for which ``right(said, target, end)``, lists of whole numbers."""
    def answer(said, target, end):
        pairs = list(zip(said.tolist(), target.tolist()))
        return sum(bool(right(*pair, end)) for pair in pairs) / len(pairs)

    return answer


def ended(row, end):
    """A row up to its first end, and with it."""
    return list(itertools.takewhile(lambda token: token != end, row)) + [end] * (end in row)


again("9.4", "lengths")(rows_right(
    lambda said, target, end: len(ended(said, end)) == len(ended(target, end))))
again("9.4", "any-order")(rows_right(
    lambda said, target, end: sorted(said[:target.index(end) + 1]) == sorted(ended(target, end))))
again("9.4", "zero-padding")(rows_right(
    lambda said, target, end: said[:len(target) - target.count(0)]
    == target[:len(target) - target.count(0)]))
again("9.4", "errors")(rows_right(
    lambda said, target, end: said[:target.index(end) + 1] != ended(target, end)))
again("9.4", "never")(rows_right(lambda said, target, end: (*said, end) == target))


@again("9.4", "said-prefix")
@rows_right
def _(said, target, end):
    says, wanted = ended(said, end), ended(target, end)
    says = says[:-1] if says[-1:] == [end] else says
    return wanted[:len(says)] == says[:len(wanted)]


# 9.5  Referee: too good to be true


def windows(tokens, n, starts):
    """Inputs and targets, window by window."""
    starts = list(starts)
    return tuple(np.array([tokens[start + shift:start + shift + n] for start in starts],
                          dtype=tokens.dtype).reshape(-1, n) for shift in (0, 1))


def whole_windows(tokens, n):
    return windows(tokens, n, (start for start in range(0, len(tokens), n)
                               if start + n + 1 <= len(tokens)))


@again("9.5", "as-given")
def _(tokens, n, cut):
    many = (len(tokens) - 1) // n
    inputs = tokens[:many * n].reshape(many, n)
    targets = np.hstack([inputs[:, 1:], inputs[:, :1]])
    return inputs, targets, inputs[cut // n:], targets[cut // n:]


@again("9.5", "all-in-training")
def _(tokens, n, cut):
    return *whole_windows(tokens, n), *whole_windows(tokens[cut:], n)


@again("9.5", "straddling")
def _(tokens, n, cut):
    starts = [start for start in range(0, len(tokens), n) if start + n < len(tokens)]
    return *windows(tokens, n, (start for start in starts if start < cut)), *windows(
        tokens, n, (start for start in starts if not start < cut))


@again("9.5", "straddling")
def _(tokens, n, cut):
    starts = [start for start in range(0, cut, n) if start + n < len(tokens)]
    return *windows(tokens, n, starts), *whole_windows(tokens[cut:], n)


@again("9.5", "one-lost")
def _(tokens, n, cut):
    return tuple(x for part in np.split(tokens, [cut]) for x in windows(
        part, n, (start for start in range(0, len(part), n) if len(part) - start > n + 1)))


@again("9.5", "tested-on-training")
def _(tokens, n, cut):
    return 2 * whole_windows(tokens[:cut], n)


@again("9.5", "swapped")
def _(tokens, n, cut):
    return *whole_windows(tokens[cut:], n), *whole_windows(tokens[:cut], n)


# 9.7  Pieces of words


def glued(texts, size, common=True):
    """Characters, then pairs glued until there are so many pieces."""
    pieces = sorted({letter for text in texts for letter in text})
    parts = [list(text) for text in texts]
    while len(pieces) < size:
        counts = {}
        for text in parts:
            for pair in itertools.pairwise(text):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        first, second = (max if common else min)(counts, key=counts.get)
        pieces.append(first + second)
        for number, text in enumerate(parts):
            new = []
            for part in text:
                if new and (new[-1], part) == (first, second):
                    new[-1] += part
                else:
                    new.append(part)
            parts[number] = new
    return pieces


again("9.7", "rarest")(lambda texts, size: glued(texts, size, common=False))
again("9.7", "one-too-many")(lambda texts, size: glued(texts, size + 1)[::-1])
again("9.7", "characters-lost")(lambda texts, size: [
    piece for piece in glued(texts, size) if len(piece) > 1])


@again("9.7", "whole-texts")
def _(texts, size):
    letters = sorted({letter for text in texts for letter in text})
    longest = sorted({*texts} - {*letters}, key=len, reverse=True)
    return letters + longest[:size - len(letters)]


# 9.8  The decoder block


def decoder(run, norm=normed, scale=None, causal=True, memory_hidden=None, out=True, relu=True):
    """A decoder block: ``run(x, memory, look, ask, work, norm)`` puts its steps together."""
    def answer(x, memory, look, ask, widen, narrow, seen):
        n, n_k = x.shape[-2], memory.shape[-2]

        def through(matrices, query, key, value, hidden):
            to_query, to_key, to_value, to_out = matrices
            found = look_up(query @ to_query, key @ to_key, value @ to_value, scale, hidden)
            return found @ to_out if out else found

        def looking(query, key=None):
            key = query if key is None else key
            later = np.arange(n)[:, None] < np.arange(n) if causal else None
            return through(look, query, key, key, later)

        def asking(query, key):
            hidden = (memory_hidden or (lambda seen, n, n_k: ~seen[..., None, :]))(seen, n, n_k)
            return through(ask, query, key, key, hidden)

        def working(y):
            inside = np.einsum("...nd,dh->...nh", y, widen)
            return (np.clip(inside, 0, None) if relu else inside) @ narrow

        return run(x, memory, looking, asking, working, norm)

    return answer


def three_steps(x, memory, look, ask, work, norm):
    x = x + look(norm(x))
    x = x + ask(norm(x), memory)
    return x + work(norm(x))


def width_deviation(x, constant=1e-5, outside=0.0):
    """Each row less its mean, by its deviation."""
    away = x - np.mean(x, axis=-1, keepdims=True)
    return away / (np.sqrt(np.mean(away * away, axis=-1, keepdims=True) + constant) + outside)


again("9.8", "not-causal")(decoder(three_steps, causal=False))
again("9.8", "causal-memory")(decoder(three_steps, memory_hidden=lambda seen, n, n_k: (
    ~seen[..., None, :] | ~np.tri(n, n_k, n_k - n, dtype=bool))))
again("9.8", "seen-ignored")(decoder(
    three_steps, memory_hidden=lambda seen, n, n_k: np.zeros((n, n_k), dtype=bool)))
again("9.8", "seen-inverted")(decoder(
    three_steps, memory_hidden=lambda seen, n, n_k: np.repeat(seen[..., None, :], n, axis=-2)))
again("9.8", "one-less")(decoder(three_steps, norm=lambda x: normed(x, correction=1)))
again("9.8", "root-first")(decoder(
    three_steps, norm=lambda x: width_deviation(x, constant=0, outside=1e-5)))
again("9.8", "no-epsilon")(decoder(three_steps, norm=lambda x: width_deviation(x, constant=0)))
again("9.8", "no-norm")(decoder(three_steps, norm=lambda x: x))
again("9.8", "first-axis")(decoder(
    three_steps, norm=lambda x: np.swapaxes(normed(np.swapaxes(x, -1, -2)), -1, -2)))
again("9.8", "no-relu")(decoder(three_steps, relu=False))
again("9.8", "no-scale")(decoder(three_steps, scale=1))
again("9.8", "no-output")(decoder(three_steps, out=False))


def decoded(name):
    """The function below puts the three steps together."""
    return lambda run: again("9.8", name)(decoder(run))


@decoded("memory-normed")
def _(x, memory, look, ask, work, norm):
    return three_steps(x, norm(memory), look, ask, work, norm)


@decoded("ask-first")
def _(x, memory, look, ask, work, norm):
    for step in (lambda y: ask(y, memory), look, work):
        x = x + step(norm(x))
    return x


@decoded("ask-last")
def _(x, memory, look, ask, work, norm):
    for step in (look, work, lambda y: ask(y, memory)):
        x = step(norm(x)) + x
    return x


@decoded("never-asks")
def _(x, memory, look, ask, work, norm):
    return three_steps(x, memory, look, lambda y, memory: 0, work, norm)


@decoded("ask-unnormed")
def _(x, memory, look, ask, work, norm):
    x = x + look(norm(x))
    x = x + ask(x, memory)
    return x + work(norm(x))


@decoded("look-unnormed")
def _(x, memory, look, ask, work, norm):
    x = x + look(x)
    return three_steps(x, memory, lambda y: 0, ask, work, norm)


@decoded("work-unnormed")
def _(x, memory, look, ask, work, norm):
    x = three_steps(x, memory, look, ask, lambda y: 0, norm)
    return x + work(x)


@decoded("look-replaces")
def _(x, memory, look, ask, work, norm):
    return three_steps(look(norm(x)), memory, lambda y: 0, ask, work, norm)


@decoded("ask-replaces")
def _(x, memory, look, ask, work, norm):
    x = ask(norm(look(norm(x)) + x), memory)
    return work(norm(x)) + x


@decoded("work-replaces")
def _(x, memory, look, ask, work, norm):
    return work(norm(three_steps(x, memory, look, ask, lambda y: 0, norm)))


@decoded("ask-stale")
def _(x, memory, look, ask, work, norm):
    after = x + look(norm(x)) + ask(norm(x), memory)
    return after + work(norm(after))


@decoded("keys-unnormed")
def _(x, memory, look, ask, work, norm):
    x = x + look(norm(x), x)
    return three_steps(x, memory, lambda y: 0, ask, work, norm)


@decoded("normed-start")
def _(x, memory, look, ask, work, norm):
    x = norm(x)
    x = x + look(x)
    return three_steps(x, memory, lambda y: 0, ask, work, norm)


@decoded("last-norm")
def _(*given):
    return normed(three_steps(*given))


@decoded("no-residual")
def _(x, memory, look, ask, work, norm):
    return work(norm(ask(norm(look(norm(x))), memory)))


@decoded("post-norm")
def _(x, memory, look, ask, work, norm):
    x = norm(x + look(x))
    x = norm(x + ask(x, memory))
    return norm(x + work(x))


@decoded("normed-stream")
def _(x, memory, look, ask, work, norm):
    for step in (look, lambda y: ask(y, memory), work):
        y = norm(x)
        x = y + step(y)
    return x


@decoded("side-by-side")
def _(x, memory, look, ask, work, norm):
    y = norm(x)
    return sum([look(y), ask(y, memory), work(y)], x)


# 9.9  Put together


def turned(x, places=None):
    """Pairs of neighbours turned, as complex numbers, by their places."""
    n, width = x.shape[-2:]
    places = np.arange(n) if places is None else np.asarray(places)
    angles = places[:, None] * 10000.0 ** (-np.arange(0, width, 2) / width)
    pairs = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)
    return np.stack([pairs.real, pairs.imag], axis=-1).reshape(x.shape)


def same(x):
    return x


def tower(block=None, turns=(turned, turned, same), causal=True, relu=True, start=same, last=normed,
          which=same, end=None):
    """A tower: ``block(x, look, work)`` is each of its blocks."""
    block = block or (lambda x, look, work: work_on(x + look(normed(x)), work))

    def answer(tokens, embedding, blocks, unembedding):
        x = start(np.take(embedding, tokens, axis=0))
        n = x.shape[-2]

        def look(matrices, query, key=None):
            found = (turn(y @ w) for turn, y, w in zip(
                turns, (query, *2 * [query if key is None else key]), matrices))
            hidden = np.arange(n)[:, None] < np.arange(n) if causal else None
            return look_up(*found, hidden=hidden) @ matrices[3]

        def work(matrices, y):
            inside = y @ matrices[4]
            return (inside * (inside > 0) if relu else inside) @ matrices[5]

        for matrices in which(list(blocks)):
            x = block(x, functools.partial(look, matrices), functools.partial(work, matrices))
        scores = last(x) @ unembedding
        return end(scores, last(x), embedding) if end else scores

    return answer


def work_on(x, work):
    return x + work(normed(x))


def towered(name, **how):
    """The function below is each block of a tower."""
    return lambda block: again("9.9", name)(tower(block, **how))


again("9.9", "no-last-norm")(tower(last=same))
again("9.9", "not-causal")(tower(causal=False))
again("9.9", "not-turned")(tower(turns=(same, same, same)))
again("9.9", "query-alone")(tower(turns=(turned, same, same)))
again("9.9", "value-turned")(tower(turns=(turned, turned, turned)))
again("9.9", "likeliest")(tower(end=lambda scores, x, embedding: scores.argmax(-1)))
again("9.9", "normed-embedding")(tower(start=normed))
again("9.9", "reversed")(tower(which=lambda blocks: blocks[::-1]))
again("9.9", "one-block")(tower(which=lambda blocks: blocks[:1]))
again("9.9", "weights-turned")(tower(which=lambda blocks: [
    [*(w.T for w in block[:4]), *block[4:]] for block in blocks]))
again("9.9", "same-block")(tower(which=lambda blocks: blocks[:1] * len(blocks)))
again("9.9", "from-the-start")(tower(which=lambda blocks: blocks[-1:]))
again("9.9", "no-relu")(tower(relu=False))
again("9.9", "tied")(tower(end=lambda scores, x, embedding: np.einsum(
    "...d,vd->...v", x, embedding)))
again("9.9", "last-alone")(tower(end=lambda scores, x, embedding: scores[..., -1, :]))
again("9.9", "shares")(tower(end=lambda scores, x, embedding: shares(scores)))


@towered("no-residual")
def _(x, look, work):
    return work(normed(look(normed(x))))


@towered("look-unnormed")
def _(x, look, work):
    return work_on(x + look(x), work)


@towered("work-unnormed")
def _(x, look, work):
    after = x + look(normed(x))
    return after + work(after)


@towered("work-stale")
def _(x, look, work):
    y = normed(x)
    return x + (look(y) + work(y))


@towered("work-to-normed")
def _(x, look, work):
    y = normed(x)
    return y + work(normed(x + look(y)))


@towered("no-work")
def _(x, look, work):
    return x + look(normed(x))


@towered("norm-each")
def _(x, look, work):
    return normed(work_on(x + look(normed(x)), work))


@towered("work-first")
def _(x, look, work):
    after = work_on(x, work)
    return after + look(normed(after))


# 9.10  The loop, with a cache


def plain_places(n, n_prompt):
    return np.arange(n)


def before_or_itself(i, j, n_prompt):
    return j <= i


def said_anew(turns=(True, True, False), places=plain_places, sees=before_or_itself, residual=True,
              keep=lambda part, n_prompt: part, pick=np.argmax, more=0, first=-1, result=None):
    """Without a cache: the whole text again for each token, where the past stays as it was.

    ``sees(i, j, n_prompt)`` and ``places(n, n_prompt)`` say what differs behind the prompt.
    """
    def through(text, n_prompt, embedding, layers):
        x, kept = embedding[text], []
        at = places(len(text), n_prompt)
        hidden = np.array([[not sees(i, j, n_prompt) for j in range(len(text))]
                           for i in range(len(text))])
        for matrices in layers:
            query, key, value = (turned(x @ w, at) if turn else x @ w
                                 for turn, w in zip(turns, matrices))
            found = look_up(query, key, value, hidden=hidden) @ matrices[3]
            x = x + found if residual else found
            kept.append((key, value))
        return x, [np.array(part) for part in zip(*kept)]

    def answer(prompt, n, embedding, layers, unembedding):
        text, n_prompt = [int(token) for token in prompt], len(prompt)
        for step in range(n + more):
            x, kept = through(text, n_prompt, embedding, layers)
            text.append(int(pick(x[first if step == 0 else -1] @ unembedding)))
        keys, values = (keep(part, n_prompt) for part in kept)
        if result:
            return result(text, n_prompt, keys, values, lambda: through(
                text, n_prompt, embedding, layers)[1])
        return np.array(text[n_prompt:]), keys, values

    return answer


again("9.10", "from-zero")(said_anew(
    places=lambda n, n_prompt: np.where(np.arange(n) < n_prompt, np.arange(n), 0)))
again("9.10", "one-too-far")(said_anew(
    places=lambda n, n_prompt: np.arange(n) + (np.arange(n) >= n_prompt)))
again("9.10", "twice")(said_anew(
    places=lambda n, n_prompt: np.arange(n) * np.where(np.arange(n) < n_prompt, 1, 2)))
again("9.10", "from-one")(said_anew(places=lambda n, n_prompt: np.arange(1, n + 1)))
again("9.10", "query-unturned")(said_anew(turns=(False, True, False)))
again("9.10", "key-unturned")(said_anew(turns=(True, False, False)))
again("9.10", "unturned")(said_anew(turns=(False, False, False)))
again("9.10", "value-turned")(said_anew(turns=(True, True, True)))
again("9.10", "past-last")(said_anew(keep=lambda part, n_prompt: np.concatenate(
    [part[:, n_prompt:][:, ::-1], part[:, :n_prompt]], axis=1)))
again("9.10", "no-residual")(said_anew(residual=False))
again("9.10", "one-more")(said_anew(more=1))
again("9.10", "top-left")(said_anew(
    sees=lambda i, j, n_prompt: j == 0 if i >= n_prompt else j <= i))
again("9.10", "prompt-open")(said_anew(sees=lambda i, j, n_prompt: j <= max(i, n_prompt - 1)))
again("9.10", "itself-missing")(said_anew(
    sees=lambda i, j, n_prompt: j < i if i >= n_prompt else j <= i))
again("9.10", "not-kept")(said_anew(
    places=lambda n, n_prompt: np.minimum(np.arange(n), n_prompt),
    sees=lambda i, j, n_prompt: j <= i and (j < n_prompt or j == i),
    keep=lambda part, n_prompt: part[:, :n_prompt]))
again("9.10", "not-kept")(said_anew(
    sees=lambda i, j, n_prompt: j <= i and (j < n_prompt or j == i),
    keep=lambda part, n_prompt: part[:, :n_prompt]))
again("9.10", "first-row")(said_anew(first=0))
again("9.10", "least")(said_anew(pick=np.argmin))
again("9.10", "last-kept")(said_anew(
    result=lambda text, n_prompt, keys, values, again: (np.array(text[n_prompt:]), *again())))
again("9.10", "with-prompt")(said_anew(
    result=lambda text, n_prompt, keys, values, again: (np.array(text), keys, values)))


@again("9.10", "turned-late")
def _(prompt, n, embedding, layers, unembedding):
    said, keys, values = said_anew()(prompt, n, embedding, layers, unembedding)
    back = [turned(key, -np.arange(keys.shape[1])) for key in keys]
    return said, np.array(back), values


def with_cache(caches, feed, once=False):
    """With a cache for each layer, which of them ``caches`` says; ``feed(text)`` goes in next.

    Places count what the layer's cache holds; or, once, what the first one held before.
    """
    def answer(prompt, n, embedding, layers, unembedding):
        which = caches(len(layers))
        keys, values = ([[] for _ in layers] for _ in range(2))
        text, new = list(map(int, prompt)), list(map(int, prompt))
        for _ in range(n):
            x, before = embedding[new], len(keys[0])
            for layer, matrices in enumerate(layers):
                key, value = keys[which[layer]], values[which[layer]]
                at = (before if once else len(key)) + np.arange(len(new))
                key.extend(turned(x @ matrices[1], at))
                value.extend(x @ matrices[2])
                last = len(key) - len(new) + np.arange(len(new))
                x = x + look_up(turned(x @ matrices[0], at), np.array(key), np.array(value),
                                hidden=last[:, None] < np.arange(len(key))) @ matrices[3]
            text.append(int((x[-1] @ unembedding).argmax()))
            new = feed(text)
        return np.array(text[len(prompt):]), *(
            np.array([part[i] for i in which]) for part in (keys, values))

    return answer


again("9.10", "all-again")(with_cache(range, list))
again("9.10", "one-cache")(with_cache(
    lambda many: [0] * many, lambda text: text[-1:], once=True))
again("9.10", "one-cache")(with_cache(lambda many: [0] * many, lambda text: text[-1:]))
