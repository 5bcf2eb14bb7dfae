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
