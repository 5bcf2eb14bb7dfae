"""Chapters 7 to 9: answers written from the statements alone."""

import functools
import math
import re
from collections import Counter

import numpy as np

import attnlib

from . import W, r, sm, w

att = attnlib.attention
ij = lambda q, k: (np.arange(q)[:, None], np.arange(k)[None, :])

# 7.2
def norm(x, eps=1e-5, where="in", axis=-1, ddof=0):
    m = x.mean(axis, keepdims=True)
    v = x.var(axis, keepdims=True, ddof=ddof)
    return (x - m) / (
        np.sqrt(v + eps) if where == "in" else np.sqrt(v) + eps if where == "out" else np.sqrt(v)
    )


def blk(
    n=norm, both=lambda x, f, n, pre: x + f(n(x)) if pre else n(x + f(x)), order="af", scale=None
):
    def f(x, attend, widen, narrow, pre_norm):
        wq, wk, wv, wo = attend
        a = lambda y: att(y @ wq, y @ wk, y @ wv, scale=scale) @ wo
        g = lambda y: np.maximum(y @ widen, 0) @ narrow
        for step in (a, g) if order == "af" else (g, a):
            x = both(x, step, n, pre_norm)
        return x

    return f


r("7.2", "plain", blk())
w(
    "7.2",
    "pre and post exchanged",
    blk(both=lambda x, f, n, pre: n(x + f(x)) if pre else x + f(n(x))),
)
w("7.2", "x + norm(step(x))", blk(both=lambda x, f, n, pre: x + f(n(x)) if pre else x + n(f(x))))
w(
    "7.2",
    "x + norm(step(x)) for pre",
    blk(both=lambda x, f, n, pre: x + n(f(x)) if pre else n(x + f(x))),
)
w(
    "7.2",
    "norm(x) + step(norm(x))",
    blk(both=lambda x, f, n, pre: n(x) + f(n(x)) if pre else n(x + f(x))),
)
w("7.2", "no residual", blk(both=lambda x, f, n, pre: f(n(x)) if pre else n(f(x))))
w("7.2", "norm over the words", blk(n=lambda x: norm(x, axis=-2)))
w("7.2", "norm over everything", blk(n=lambda x: (x - x.mean()) / np.sqrt(x.var() + 1e-5)))
w("7.2", "ddof 1", blk(n=lambda x: norm(x, ddof=1)))
w("7.2", "epsilon outside", blk(n=lambda x: norm(x, where="out")))
w("7.2", "no epsilon", blk(n=lambda x: norm(x, where="no")))
w(
    "7.2",
    "divides by the variance",
    blk(n=lambda x: (x - x.mean(-1, keepdims=True)) / (x.var(-1, keepdims=True) + 1e-5)),
)
w("7.2", "rms norm", blk(n=lambda x: x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)))
w("7.2", "feed-forward first", blk(order="fa"))
w(
    "7.2",
    "w_out forgotten",
    lambda x, attend, widen, narrow, pre_norm: blk()(
        x, (*attend[:3], np.eye(attend[2].shape[1], x.shape[-1])), widen, narrow, pre_norm
    ),
)
w(
    "7.2",
    "no ReLU",
    lambda x, at_, wd, nr, pre: (lambda f, n: n(f))(0, lambda _: blk_norelu(x, at_, wd, nr, pre)),
)


def blk_norelu(x, attend, widen, narrow, pre):
    wq, wk, wv, wo = attend
    for f in (lambda y: att(y @ wq, y @ wk, y @ wv) @ wo, lambda y: y @ widen @ narrow):
        x = x + f(norm(x)) if pre else norm(x + f(x))
    return x


@W("7.2", "ReLU at the end")
def _(x, attend, widen, narrow, pre):
    wq, wk, wv, wo = attend
    for f in (
        lambda y: att(y @ wq, y @ wk, y @ wv) @ wo,
        lambda y: np.maximum(y @ widen @ narrow, 0),
    ):
        x = x + f(norm(x)) if pre else norm(x + f(x))
    return x


@W("7.2", "parallel: both steps read x")
def _(x, attend, widen, narrow, pre):
    wq, wk, wv, wo = attend
    a = lambda y: att(y @ wq, y @ wk, y @ wv) @ wo
    g = lambda y: np.maximum(y @ widen, 0) @ narrow
    return x + a(norm(x)) + g(norm(x)) if pre else norm(x + a(x) + g(x))


@W("7.2", "query not normed, keys and values are")
def _(x, attend, widen, narrow, pre):
    wq, wk, wv, wo = attend
    g = lambda y: np.maximum(y @ widen, 0) @ narrow
    if pre:
        x = x + att(x @ wq, norm(x) @ wk, norm(x) @ wv) @ wo
        return x + g(norm(x))
    x = norm(x + att(x @ wq, x @ wk, x @ wv) @ wo)
    return norm(x + g(x))


w(
    "7.2",
    "pre-norm with a norm at the end",
    lambda x, a, b, c, pre: norm(blk()(x, a, b, c, pre)) if pre else blk()(x, a, b, c, pre),
)
w("7.2", "in place", lambda x, a, b, c, pre: x.__iadd__(blk()(x, a, b, c, pre) - x))
w(
    "7.2",
    "only attention's step",
    lambda x, attend, b, c, pre: (lambda f: x + f(norm(x)) if pre else norm(x + f(x)))(
        lambda y: att(y @ attend[0], y @ attend[1], y @ attend[2]) @ attend[3]
    ),
)


# 7.3
def rc(step=lambda r_, m: (m | np.eye(len(m), dtype=bool)).astype(int) @ r_ > 0, order=1):
    def f(mask):
        r_ = np.eye(mask.shape[1], dtype=bool)
        for m in mask[::order]:
            r_ = step(r_.astype(int), m)
        return r_ > 0

    return f


r("7.3", "product", rc())
w("7.3", "no residual", rc(lambda r_, m: m.astype(int) @ r_))
w("7.3", "order reversed", rc(order=-1))
w("7.3", "or of the masks", lambda mask: mask.any(0) | np.eye(mask.shape[1], dtype=bool))
w("7.3", "and of the masks", lambda mask: mask.all(0) | np.eye(mask.shape[1], dtype=bool))
w("7.3", "transposed", lambda mask: rc()(mask).T)
w(
    "7.3",
    "counts of ways",
    lambda mask: (lambda f: f)(
        np.linalg.multi_dot([m.astype(int) + np.eye(len(m), dtype=int) for m in mask[::-1]])
        if len(mask) > 1
        else mask[0].astype(int) + np.eye(mask.shape[1], dtype=int)
    ),
)
w(
    "7.3",
    "residual at the end only",
    lambda mask: rc(lambda r_, m: m.astype(int) @ r_)(mask) | np.eye(mask.shape[1], dtype=bool),
)
w(
    "7.3",
    "boolean closure (any number of layers)",
    lambda mask: (lambda a: np.linalg.matrix_power(a.astype(int), len(a)) > 0)(
        mask.any(0) | np.eye(mask.shape[1], dtype=bool)
    ),
)
w("7.3", "first layer only", lambda mask: mask[0] | np.eye(mask.shape[1], dtype=bool))
w("7.3", "last layer only", lambda mask: mask[-1] | np.eye(mask.shape[1], dtype=bool))
w(
    "7.3",
    "uint8 products overflow",
    lambda mask: (lambda r_: r_ > 0)(
        functools.reduce(
            lambda r_, m: (m | np.eye(len(m), dtype=bool)).astype(np.uint8) @ r_,
            mask,
            np.eye(mask.shape[1], dtype=np.uint8),
        )
    ),
)
w(
    "7.3",
    "residual in first layer only",
    lambda mask: (lambda r_: r_ > 0)(
        functools.reduce(
            lambda r_, m: m.astype(int) @ r_,
            mask[1:],
            (mask[0] | np.eye(mask.shape[1], dtype=bool)).astype(int),
        )
    ),
)
w("7.3", "causal assumed", lambda mask: rc()(mask & np.tri(mask.shape[1], dtype=bool)))
w(
    "7.3",
    "writes the diagonal into the mask",
    lambda mask: ([np.fill_diagonal(m, True) for m in mask], rc()(mask))[1],
)


# 7.4
def pst(n=norm, last=True, res=lambda x, a, n: x + a(n(x)), tie=False, rev=False):
    def f(x, layers):
        layers = [layers[0]] * len(layers) if tie and layers else layers
        for wq, wk, wv, wo in layers[::-1] if rev else layers:
            x = res(x, lambda y: att(y @ wq, y @ wk, y @ wv) @ wo, n)
        return n(x) if last else x

    return f


r("7.4", "plain", pst())
w("7.4", "as given", pst(res=lambda x, a, n: n(x) + a(n(x))))
w("7.4", "tied layers", pst(tie=True))
w("7.4", "layers reversed", pst(rev=True))
w("7.4", "no last norm", pst(last=False))
w("7.4", "post-norm", pst(res=lambda x, a, n: n(x + a(x))))
w("7.4", "no residual", pst(res=lambda x, a, n: a(n(x))))
w("7.4", "norm after the step", pst(res=lambda x, a, n: x + n(a(x))))
w("7.4", "epsilon outside the root", pst(n=lambda x: norm(x, where="out")))
w("7.4", "no epsilon", pst(n=lambda x: norm(x, where="no")))
w("7.4", "no norm inside", pst(res=lambda x, a, n: x + a(x)))
w("7.4", "over the words", pst(n=lambda x: norm(x, axis=-2)))
w("7.4", "ddof 1", pst(n=lambda x: norm(x, ddof=1)))
w("7.4", "rms", pst(n=lambda x: x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)))
w(
    "7.4",
    "adds the first x always",
    lambda x, layers: (lambda f: norm(f))(
        functools.reduce(
            lambda y, l: x + att(norm(y) @ l[0], norm(y) @ l[1], norm(y) @ l[2]) @ l[3], layers, x
        )
    ),
)
w(
    "7.4",
    "sum of layers on the first x",
    lambda x, layers: norm(
        x + sum(att(norm(x) @ l[0], norm(x) @ l[1], norm(x) @ l[2]) @ l[3] for l in layers)
    ),
)
w(
    "7.4",
    "norm of the query only",
    lambda x, layers: norm(
        functools.reduce(lambda y, l: y + att(norm(y) @ l[0], y @ l[1], y @ l[2]) @ l[3], layers, x)
    ),
)
w(
    "7.4",
    "returns in the loop",
    lambda x, layers: (
        norm(
            x
            + att(norm(x) @ layers[0][0], norm(x) @ layers[0][1], norm(x) @ layers[0][2])
            @ layers[0][3]
        )
        if layers
        else norm(x)
    ),
)
w("7.4", "last layer skipped", lambda x, layers: pst()(x, layers[:-1]))


# 7.6: a: 1+4*2=9 <12 no; b: 13>=12 yes; c yes; d no; e no? bare attention random weights 24 layers: all 8 words equal to 9 decimals: yes presumably; f yes
right76 = dict(a="no", b="yes", c="yes", d="no", e="yes", f="yes")
for L in ("a", "b", "c", "d", "e", "f", "cd", "ab"):
    w(
        "7.6",
        "flipped " + L,
        (
            lambda L: (
                lambda: {
                    k: ({"no": "yes", "yes": "no"}[v] if k in L else v) for k, v in right76.items()
                }
            )
        )(L),
    )
w("7.6", "booleans", lambda: {k: v == "no" for k, v in right76.items()})

# 7.7
w("7.7", "identity", lambda depth: (1.0, 0.0))
w("7.7", "plain residual", lambda depth: (1.0, 1.0))
w("7.7", "half and half", lambda depth: (0.5, 0.5))
w("7.7", "share 1/depth", lambda depth: (1.0, 1 / depth))
w("7.7", "attention alone", lambda depth: (0.0, 1.0))
w("7.7", "share 1/sqrt(2)", lambda depth: (0.5**0.5, 0.5**0.5))
w("7.7", "skip grows", lambda depth: (1.1, 0.1))
w("7.7", "exchanged", lambda depth: (1 / depth**0.5, 1.0))
w("7.7", "negative share", lambda depth: (-1.0, -0.01))
w("7.7", "1/depth^2", lambda depth: (1.0, 1 / depth**2))
w("7.7", "one number", lambda depth: 1.0)
w("7.7", "good at 24 only", lambda depth: (0.99, 0.2))
w("7.7", "convex 1-1/depth", lambda depth: (1 - 1 / depth, 1 / depth))
w("7.7", "a list per layer", lambda depth: ([1.0] * depth, [0.1] * depth))

# 8.1: attention 2 n^2 d = 2e8; recurrence 2 n d^2 = 2e7; conv 5 n d^2 = 5e7; equal: 2n^2d=2nd^2 -> n=100; layers: (999)/4 -> 250 ; windows 999/99 = 10.09 -> 11
b81 = {
    "attention": 2e8,
    "recurrence": 2e7,
    "convolution": 5e7,
    "equal": 100,
    "layers": 250,
    "windows": 11,
}
r("8.1", "as worked", lambda: b81)
for k_, v_ in (
    ("attention", 1e8),
    ("recurrence", 1e7),
    ("convolution", 1e7),
    ("convolution", 5e5),
    ("equal", 200),
    ("equal", 1000),
    ("equal", 50),
    ("layers", 200),
    ("layers", 249),
    ("layers", 500),
    ("layers", 2),
    ("windows", 10),
    ("windows", 1),
    ("attention", 4e8),
    ("windows", 9),
    ("recurrence", 2e5),
):
    w("8.1", f"{k_} {v_}", (lambda K, V: lambda: b81 | {K: V})(k_, v_))
w("8.1", "layers and windows without minus one", lambda: b81 | {"layers": 200, "windows": 10})


# 8.2
def gw(f, off=True):
    return lambda n_q, n_k, window, dilation: f(
        (lambda i, j: i + (n_k - n_q if off else 0) - j)(*ij(n_q, n_k)), window, dilation
    )


r("8.2", "plain", gw(lambda d, w_, g: (d >= 0) & (d % g == 0) & (d < w_ * g)))
w("8.2", "one too many", gw(lambda d, w_, g: (d >= 0) & (d % g == 0) & (d <= w_ * g)))
w("8.2", "window in distance", gw(lambda d, w_, g: (d >= 0) & (d % g == 0) & (d < w_)))
w("8.2", "top-left", gw(lambda d, w_, g: (d >= 0) & (d % g == 0) & (d < w_ * g), off=False))
w(
    "8.2",
    "dilation+1 (gaps of dilation)",
    gw(lambda d, w_, g: (d >= 0) & (d % (g + 1) == 0) & (d < w_ * (g + 1))),
)
w("8.2", "both sides", gw(lambda d, w_, g: (d % g == 0) & (abs(d) < w_ * g)))
w("8.2", "no gaps", gw(lambda d, w_, g: (d >= 0) & (d < w_ * g)))
w("8.2", "without itself", gw(lambda d, w_, g: (d > 0) & (d % g == 0) & (d <= w_ * g)))
w(
    "8.2",
    "columns by j",
    lambda n_q, n_k, window, dilation: (
        lambda i, j: (lambda d: (d >= 0) & (j % dilation == 0) & (d < window * dilation))(
            i + n_k - n_q - j
        )
    )(*ij(n_q, n_k)),
)
w("8.2", "unlimited", gw(lambda d, w_, g: (d >= 0) & (d % g == 0)))
w("8.2", "one too few", gw(lambda d, w_, g: (d >= 0) & (d % g == 0) & (d < (w_ - 1) * g)))
w(
    "8.2",
    "negative modulo not guarded: n_q > n_k index wraps",
    lambda n_q, n_k, window, dilation: (
        lambda m: (
            [
                m.__setitem__((i, i + n_k - n_q - t * dilation), True)
                for i in range(n_q)
                for t in range(window)
            ],
            m,
        )[1]
    )(np.zeros((n_q, n_k), bool)),
)
w("8.2", "floats", gw(lambda d, w_, g: ((d >= 0) & (d % g == 0) & (d < w_ * g)).astype(float)))
w(
    "8.2",
    "offset max 0",
    lambda n_q, n_k, window, dilation: (
        lambda d: (d >= 0) & (d % dilation == 0) & (d < window * dilation)
    )((lambda i, j: i + max(n_k - n_q, 0) - j)(*ij(n_q, n_k))),
)
w(
    "8.2",
    "itself and then window more",
    gw(lambda d, w_, g: (d >= 0) & (d % g == 0) & (d <= w_ * g)),
)
w(
    "8.2",
    "dilation and window exchanged",
    gw(lambda d, g, w_: (d >= 0) & (d % g == 0) & (d < w_ * g)),
)


# 8.3
def pp(query, key, value, chunk, top0=-np.inf, shrink=True, scale=None, per=False):
    top, tot, out = (
        np.full((len(query), 1), top0),
        np.zeros((len(query), 1)),
        np.zeros((len(query), value.shape[1])),
    )
    for i in range(0, len(key), chunk):
        s = query @ key[i : i + chunk].T * (query.shape[1] ** -0.5 if scale is None else scale)
        new = np.maximum(top, s.max(1, keepdims=True))
        f = np.exp(top - new) if shrink else 1
        p = np.exp(s - new)
        tot = tot * f + p.sum(1, keepdims=True)
        out = out * f + p @ value[i : i + chunk]
        top = new
    return out / tot


r("8.3", "online", pp)
w("8.3", "plain attention", lambda q, k, v, c: sm(q @ k.T / q.shape[1] ** 0.5) @ v)
w("8.3", "attnlib.attention", lambda q, k, v, c: att(q, k, v))
w("8.3", "no shrink", lambda q, k, v, c: pp(q, k, v, c, shrink=False))
w("8.3", "top from 0", lambda q, k, v, c: pp(q, k, v, c, 0.0))
w("8.3", "top from -1e3", lambda q, k, v, c: pp(q, k, v, c, -1e3))
w("8.3", "no scale", lambda q, k, v, c: pp(q, k, v, c, scale=1.0))
w(
    "8.3",
    "no top",
    lambda q, k, v, c: (
        lambda P: sum(p @ v[i : i + c] for i, p in P) / sum(p.sum(1, keepdims=True) for _, p in P)
    )([(i, np.exp(q @ k[i : i + c].T / q.shape[1] ** 0.5)) for i in range(0, len(k), c)]),
)
w(
    "8.3",
    "mean of the chunks",
    lambda q, k, v, c: np.mean(
        [sm(q @ k[i : i + c].T / q.shape[1] ** 0.5) @ v[i : i + c] for i in range(0, len(k), c)], 0
    ),
)
w(
    "8.3",
    "last chunk left out",
    lambda q, k, v, c: pp(q, k[: max(len(k) // c * c, c)], v[: max(len(k) // c * c, c)], c),
)
w(
    "8.3",
    "queries in chunks, all keys",
    lambda q, k, v, c: np.concatenate(
        [sm(a @ k.T / q.shape[1] ** 0.5) @ v for a in np.array_split(q, max(1, -(-len(q) // c)))]
    ),
)
w(
    "8.3",
    "scores gathered in chunks, then one softmax",
    lambda q, k, v, c: (
        sm(np.concatenate([q @ k[i : i + c].T / q.shape[1] ** 0.5 for i in range(0, len(k), c)], 1))
        @ v
    ),
)
w("8.3", "one top for all queries", lambda q, k, v, c: pp_all(q, k, v, c))


def pp_all(q, k, v, c):
    top, tot, out = -np.inf, 0.0, 0.0
    for i in range(0, len(k), c):
        s = q @ k[i : i + c].T / q.shape[1] ** 0.5
        new = max(top, s.max())
        f = np.exp(top - new)
        p = np.exp(s - new)
        tot = tot * f + p.sum(1, keepdims=True)
        out = out * f + p @ v[i : i + c]
        top = new
    return out / tot


w("8.3", "scale by d_v", lambda q, k, v, c: pp(q, k, v, c, scale=v.shape[1] ** -0.5))
w(
    "8.3",
    "two passes: whole top first",
    lambda q, k, v, c: (
        lambda s: (
            lambda t: (
                sum(
                    np.exp(q @ k[i : i + c].T / q.shape[1] ** 0.5 - t) @ v[i : i + c]
                    for i in range(0, len(k), c)
                )
                / np.exp(s - t).sum(1, keepdims=True)
            )
        )(s.max(1, keepdims=True))
    )(q @ k.T / q.shape[1] ** 0.5),
)


# 8.4
def mp(query, key, value, mask, chunk, guard=True, end=True, fill=-np.inf, top0=-np.inf):
    top, tot, out = (
        np.full((len(query), 1), top0),
        np.zeros((len(query), 1)),
        np.zeros((len(query), value.shape[1])),
    )
    for i in range(0, len(key), chunk):
        s = np.where(
            mask[:, i : i + chunk], query @ key[i : i + chunk].T / query.shape[-1] ** 0.5, fill
        )
        new = np.maximum(top, s.max(1, keepdims=True))
        safe = np.where(np.isneginf(new), 0, new) if guard else new
        f, p = np.exp(top - safe), np.exp(s - safe)
        tot = tot * f + p.sum(1, keepdims=True)
        out = out * f + p @ value[i : i + chunk]
        top = new
    return out / (np.where(tot == 0, 1, tot) if end else tot)


r("8.4", "guarded", mp)
w("8.4", "end unguarded", lambda *a: mp(*a, end=False))
w("8.4", "nan_to_num of the output", lambda *a: np.nan_to_num(mp(*a, guard=False)))
w("8.4", "filled with -1e9", lambda *a: mp(*a, fill=-1e9))
w(
    "8.4",
    "filled with -1e9, empty zeroed",
    lambda q, k, v, m, c: mp(q, k, v, m, c, fill=-1e9) * m.any(1, keepdims=True),
)
w(
    "8.4",
    "filled with -1e4, empty zeroed",
    lambda q, k, v, m, c: mp(q, k, v, m, c, fill=-1e4) * m.any(1, keepdims=True),
)
w(
    "8.4",
    "filled with -100, empty zeroed",
    lambda q, k, v, m, c: mp(q, k, v, m, c, fill=-100.0) * m.any(1, keepdims=True),
)
w("8.4", "top from 0", lambda *a: mp(*a, top0=0.0))
w("8.4", "top from -1e9", lambda *a: mp(*a, top0=-1e9))
w("8.4", "as given", lambda *a: mp(*a, guard=False, end=False))
w(
    "8.4",
    "skips a chunk that any query may not see",
    lambda q, k, v, m, c: (lambda keep: mp(q, k[keep], v[keep], m[:, keep], c))(
        np.concatenate(
            [
                np.arange(i, min(i + c, len(k)))
                for i in range(0, len(k), c)
                if m[:, i : i + c].any(1).all()
            ]
            or [np.zeros(0, int)]
        )
    ),
)
w("8.4", "mask inverted", lambda q, k, v, m, c: mp(q, k, v, ~m, c))
w("8.4", "epsilon in the total", lambda q, k, v, m, c: mp_eps(q, k, v, m, c))


def mp_eps(query, key, value, mask, chunk):
    s = np.where(mask, query @ key.T / query.shape[-1] ** 0.5, -np.inf)
    e = np.where(
        np.isneginf(s),
        0,
        np.exp(s - np.where(np.isneginf(s.max(1, keepdims=True)), 0, s.max(1, keepdims=True))),
    )
    return e @ value / (e.sum(1, keepdims=True) + 1e-2)


w(
    "8.4",
    "top of hidden ones",
    lambda q, k, v, m, c: (
        lambda s: (
            lambda e: e @ v / np.where(e.sum(1, keepdims=True) == 0, 1, e.sum(1, keepdims=True))
        )(np.exp(s - s.max(1, keepdims=True)) * m)
    )(q @ k.T / q.shape[1] ** 0.5),
)
w(
    "8.4",
    "empty query gets mean of values",
    lambda q, k, v, m, c: np.where(m.any(1, keepdims=True), mp(q, k, v, m, c), v.mean(0)),
)


# 8.5
def tl(
    query,
    key,
    value,
    chunk,
    log=True,
    own=True,
    size=lambda m, c: m,
    other=True,
    scale=None,
    kmean=np.mean,
    vmean=np.mean,
):
    n = len(key)
    starts = range(0, n, chunk)
    out = []
    for i in range(n):
        ks, vs, b = [], [], []
        for s in starts:
            K, V = key[s : s + chunk], value[s : s + chunk]
            if s <= i < s + chunk and own:
                ks += list(K)
                vs += list(V)
                b += [0.0] * len(K)
            elif other:
                ks.append(kmean(K, axis=0))
                vs.append(vmean(V, axis=0))
                b.append(math.log(size(len(K), chunk)) if log else 0.0)
        a = sm(query[i] @ np.array(ks).T * (query.shape[1] ** -0.5 if scale is None else scale) + b)
        out.append(a @ np.array(vs))
    return np.array(out)


r("8.5", "loops", tl)
w("8.5", "no log", lambda q, k, v, c: tl(q, k, v, c, log=False))
w("8.5", "log of chunk for the last", lambda q, k, v, c: tl(q, k, v, c, size=lambda m, c: c))
w("8.5", "own chunk summarised too", lambda q, k, v, c: tl(q, k, v, c, own=False))
w("8.5", "own chunk only", lambda q, k, v, c: tl(q, k, v, c, other=False))
w("8.5", "sum of values", lambda q, k, v, c: tl(q, k, v, c, vmean=np.sum))
w("8.5", "sum of keys", lambda q, k, v, c: tl(q, k, v, c, kmean=np.sum))
w(
    "8.5",
    "log multiplied in score: size times",
    lambda q, k, v, c: tl(q, k, v, c, size=lambda m, c: math.exp(m)),
)
w("8.5", "no scale", lambda q, k, v, c: tl(q, k, v, c, scale=1.0))
w("8.5", "causal", lambda q, k, v, c: attnlib.hierarchical_attention(q, k, v, chunk=c, causal=True))
w("8.5", "own chunk also as summary", lambda q, k, v, c: tl_both(q, k, v, c))


def tl_both(q, k, v, c):
    cs = [slice(s, s + c) for s in range(0, len(k), c)]
    km = np.array([k[s].mean(0) for s in cs])
    vm = np.array([v[s].mean(0) for s in cs])
    b = np.log([len(k[s]) for s in cs])
    return np.array(
        [
            (lambda s, a: a)(
                0,
                sm(
                    np.concatenate([q[i] @ k[cs[i // c]].T, q[i] @ km.T]) / q.shape[1] ** 0.5
                    + np.concatenate([np.zeros(len(k[cs[i // c]])), b])
                )
                @ np.concatenate([v[cs[i // c]], vm]),
            )
            for i in range(len(q))
        ]
    )


w("8.5", "plain attention", lambda q, k, v, c: att(q, k, v))
w(
    "8.5",
    "two softmaxes averaged",
    lambda q, k, v, c: (tl(q, k, v, c, other=False) + tl(q, k, v, c, own=False)) / 2,
)
w(
    "8.5",
    "short chunk dropped",
    lambda q, k, v, c: (lambda m: np.concatenate([tl(q[:m], k[:m], v[:m], c), tl(q, k, v, c)[m:]]))(
        len(k) // c * c
    ),
)
w(
    "8.5",
    "padded with zeros",
    lambda q, k, v, c: (
        lambda p: tl(*(np.pad(x, ((0, p), (0, 0))) for x in (q, k, v)), c)[: len(q)]
    )(-len(k) % c),
)
w("8.5", "log2", lambda q, k, v, c: tl(q, k, v, c, size=lambda m, c: math.exp(math.log2(m))))
w("8.5", "divides by size", lambda q, k, v, c: tl(q, k, v, c, size=lambda m, c: 1 / m))

# 8.6: a same; b different; c same (mean; permutation invariant); d different; e same (window 8, 64 words); f: nine layers reach 9*7=63 -> 64th word feels first -> different
right86 = dict(a="same", b="different", c="same", d="different", e="same", f="different")
for L in ("a", "b", "c", "d", "e", "f", "ab", "ef"):
    w(
        "8.6",
        "flipped " + L,
        (
            lambda L: (
                lambda: {
                    k: ({"same": "different", "different": "same"}[v] if k in L else v)
                    for k, v in right86.items()
                }
            )
        )(L),
    )


# 8.7
def powers(n, w_, layers):
    return [w_**i for i in range(layers)]


def least(n, w_):
    l, reach = 0, 1
    while reach < n:
        reach *= w_
        l += 1
    return l


r("8.7", "numpy integers", lambda n, window: list(window ** np.arange(least(n, window))))
r(
    "8.7",
    "array",
    lambda n, window: np.array([window**i for i in range(least(n, window))], dtype=int),
)
w(
    "8.7",
    "log by log (float)",
    lambda n, window: powers(n, window, math.ceil(math.log(n) / math.log(window))),
)
w("8.7", "log2", lambda n, window: [2**i for i in range(math.ceil(math.log2(n)) if n > 1 else 0)])
w("8.7", "all ones", lambda n, window: [1] * math.ceil((n - 1) / (window - 1)))
w("8.7", "one layer too many", lambda n, window: powers(n, window, least(n, window) + 1))
w("8.7", "one too few", lambda n, window: powers(n, window, max(least(n, window) - 1, 0)))
w(
    "8.7",
    "floor",
    lambda n, window: powers(
        n, window, math.floor(math.log(n) / math.log(window)) + 1 if n > 1 else 0
    ),
)
w("8.7", "window-1 powers", lambda n, window: [(window - 1) ** i for i in range(least(n, window))])
w("8.7", "single huge dilation", lambda n, window: [max(1, (n - 1) // (window - 1))])
w(
    "8.7",
    "powers from window",
    lambda n, window: [window ** (i + 1) for i in range(least(n, window))],
)
r("8.7", "floats", lambda n, window: [float(window**i) for i in range(least(n, window))])
w("8.7", "doubling", lambda n, window: [2**i for i in range(least(n, window))])
w("8.7", "a number of layers", lambda n, window: least(n, window))
w("8.7", "at least one layer", lambda n, window: powers(n, window, max(1, least(n, window))))
w("8.7", "round instead of ceil", lambda n, window: powers(n, window, round(math.log(n, window))))
w(
    "8.7",
    "ceil(log(n, window))",
    lambda n, window: powers(n, window, math.ceil(math.log(n, window))),
)
w(
    "8.7",
    "log(n-1)",
    lambda n, window: powers(n, window, math.ceil(math.log(max(n - 1, 1), window))),
)
w("8.7", "multiples", lambda n, window: [window * i + 1 for i in range(least(n, window))])

# 9.1: bits (1+2+3+3)/4=2.25; nats 2.25 ln2; perplexity 2^2.25; bytes 1000*2.25/8=281.25
b91 = {"nats": 2.25 * math.log(2), "bits": 2.25, "perplexity": 2**2.25, "bytes": 281.25}
r("9.1", "exp", lambda: b91)
for k_, v_ in (
    ("bits", 2.25 * math.log(2) ** 2),
    ("bits", 1.75),
    ("bits", 2.0),
    ("bits", 9.0),
    ("nats", 9 * math.log(2)),
    ("nats", 2.25 / math.log(2)),
    ("perplexity", math.exp(2.25)),
    ("perplexity", 4.0),
    ("perplexity", 2.25),
    ("bytes", 2250),
    ("bytes", 281.25 * 8 / 7),
    ("bytes", 195),
    ("bytes", 1000 * 2.25 * math.log(2) / 8),
    ("perplexity", 2 ** (2.25 * math.log(2))),
    ("bytes", 282),
):
    w("9.1", f"{k_} {v_:.3f}", (lambda K, V: lambda: b91 | {K: V})(k_, v_))
w(
    "9.1",
    "mean probability",
    lambda: (lambda b: {"nats": b * math.log(2), "bits": b, "perplexity": 2**b, "bytes": 125 * b})(
        2.0
    ),
)
w(
    "9.1",
    "entropy",
    lambda: (lambda b: {"nats": b * math.log(2), "bits": b, "perplexity": 2**b, "bytes": 125 * b})(
        1.75
    ),
)
w(
    "9.1",
    "sums",
    lambda: (lambda b: {"nats": b * math.log(2), "bits": b, "perplexity": 2**b, "bytes": 125 * b})(
        9.0
    ),
)
w("9.1", "signs", lambda: b91 | {"nats": -2.25 * math.log(2), "bits": -2.25})


# 9.2
def ng(
    text,
    context,
    alphabet,
    longest,
    strength,
    ctx=lambda c, n: c[len(c) - (n - 1) :],
    count=None,
    total="after",
    base=None,
    uni=True,
    add=None,
):
    p = np.full(len(alphabet), 1 / len(alphabet)) if base is None else np.zeros(len(alphabet))
    overlap = lambda t, s: sum(t.startswith(s, i) for i in range(len(t) - len(s) + 1))
    count = count or overlap
    for n in range(1, longest + 1):
        h = ctx(context, n)
        c = np.array([count(text, h + a) for a in alphabet], float)
        t = c.sum() if total == "after" else count(text, h) if h or total == "plain" else len(text)
        p = (c + strength * p) / (t + strength)
    return p


r("9.2", "startswith", ng)
w("9.2", "context[-(n-1):]", lambda *a: ng(*a, ctx=lambda c, n: c[-(n - 1) :]))
w("9.2", "str.count", lambda *a: ng(*a, count=lambda t, s: t.count(s)))
w("9.2", "#(h) counts the end too", lambda *a: ng(*a, total="all"))
w("9.2", "starts from the unigram's zeros", lambda *a: ng(*a, base=0))
w(
    "9.2",
    "longest only",
    lambda text, context, alphabet, longest, strength: (
        lambda c: (c + strength / len(alphabet)) / (c.sum() + strength)
    )(
        np.array(
            [
                sum(
                    text.startswith(context[len(context) - longest + 1 :] + a, i)
                    for i in range(len(text))
                )
                for a in alphabet
            ],
            float,
        )
    ),
)
w("9.2", "one order too few", lambda t, c, a, n, s: ng(t, c, a, max(n - 1, 0), s))
w("9.2", "one order too many", lambda t, c, a, n, s: ng(t, c, a, n + 1, s))
w("9.2", "first characters of the context", lambda *a: ng(*a, ctx=lambda c, n: c[: n - 1]))
w("9.2", "whole context", lambda *a: ng(*a, ctx=lambda c, n: c if n > 1 else ""))
w(
    "9.2",
    "add-one",
    lambda t, c, al, n, s: (lambda k: (k + s) / (k.sum() + s * len(al)))(
        np.array(
            [sum(t.startswith(c[len(c) - n + 1 :] + a, i) for i in range(len(t))) for a in al],
            float,
        )
    ),
)
w(
    "9.2",
    "back-off, not mixed",
    lambda t, c, al, n, s: next(
        (
            k / k.sum()
            for m in range(n, 0, -1)
            for k in [
                np.array(
                    [
                        sum(t.startswith(c[len(c) - m + 1 :] + a, i) for i in range(len(t)))
                        for a in al
                    ],
                    float,
                )
            ]
            if k.sum()
        ),
        np.full(len(al), 1 / len(al)),
    ),
)
w(
    "9.2",
    "strength weighs the counts",
    lambda t, c, al, n, s: functools.reduce(
        lambda p, m: (lambda k: (s * k + p) / (s * k.sum() + 1))(
            np.array(
                [sum(t.startswith(c[len(c) - m + 1 :] + a, i) for i in range(len(t))) for a in al],
                float,
            )
        ),
        range(1, n + 1),
        np.full(len(al), 1 / len(al)),
    ),
)
w(
    "9.2",
    "mean of the orders",
    lambda t, c, al, n, s: np.mean(
        [
            (lambda k: (k + s / len(al)) / (k.sum() + s))(
                np.array(
                    [
                        sum(t.startswith(c[len(c) - m + 1 :] + a, i) for i in range(len(t)))
                        for a in al
                    ],
                    float,
                )
            )
            for m in range(1, n + 1)
        ],
        0,
    ),
)
w("9.2", "dict", lambda t, c, al, n, s: dict(zip(al, ng(t, c, al, n, s))))
w("9.2", "alphabet of the text", lambda t, c, al, n, s: ng(t, c, "".join(sorted(set(t))), n, s))
w(
    "9.2",
    "longest first",
    lambda t, c, al, n, s: functools.reduce(
        lambda p, m: (lambda k: (k + s * p) / (k.sum() + s))(
            np.array(
                [sum(t.startswith(c[len(c) - m + 1 :] + a, i) for i in range(len(t))) for a in al],
                float,
            )
        ),
        range(n, 0, -1),
        np.full(len(al), 1 / len(al)),
    ),
)
w(
    "9.2",
    "regex",
    lambda t, c, al, n, s: ng(t, c, al, n, s, count=lambda x, y: len(re.findall(y, x))),
)


# 9.3
def ch(
    scores, temperature, k, cut="before", temp=lambda s, t: s / t, ge=True, zero=True, order="top"
):
    if temperature == 0 and zero:
        return np.eye(scores.shape[-1])[scores.argmax(-1)]
    s = temp(scores, temperature)
    kth = np.sort(s, -1)[..., -min(k, s.shape[-1])][..., None]
    a = sm(np.where(s >= kth, s, -np.inf))
    return a


r("9.3", "kth", ch)
w(
    "9.3",
    "softmax over everything then cut",
    lambda s, t, k: (
        ch(s, t, k)
        if t == 0
        else sm(s / t) * (s >= np.sort(s, -1)[..., -min(k, s.shape[-1])][..., None])
    ),
)
w(
    "9.3",
    "softmax over everything then cut, temperature 1e-9 for 0",
    lambda s, t, k: (
        sm(s / max(t, 1e-9)) * (s >= np.sort(s, -1)[..., -min(k, s.shape[-1])][..., None])
    ),
)
w("9.3", "k + 1", lambda s, t, k: ch(s, t, k + 1))
w("9.3", "k - 1 (greater than the kth)", lambda s, t, k: ch(s, t, max(k - 1, 1)))
w(
    "9.3",
    "smallest k",
    lambda s, t, k: (
        lambda kth: (
            np.eye(s.shape[-1])[s.argmin(-1)] if t == 0 else sm(np.where(s <= kth, s / t, -np.inf))
        )
    )(np.sort(s, -1)[..., min(k, s.shape[-1]) - 1][..., None]),
)
w("9.3", "temperature multiplies", lambda s, t, k: ch(s, t, k, temp=lambda s, t: s * t))
w("9.3", "temperature 0 divides", lambda s, t, k: ch(s, t, k, zero=False))
w("9.3", "temperature ignored", lambda s, t, k: ch(s, 1 if t else 0, k))
w("9.3", "k ignored", lambda s, t, k: ch(s, t, s.shape[-1]))
w(
    "9.3",
    "topk over the whole array",
    lambda s, t, k: (
        ch(s, t, k)
        if t == 0
        else sm(np.where(s >= np.sort(s.ravel())[-min(k, s.size)], s / t, -np.inf))
    ),
)
w(
    "9.3",
    "others get score 0",
    lambda s, t, k: (
        ch(s, t, k)
        if t == 0
        else sm(np.where(s >= np.sort(s, -1)[..., -min(k, s.shape[-1])][..., None], s, 0) / t)
    ),
)
w(
    "9.3",
    "no top subtracted",
    lambda s, t, k: (
        ch(s, t, k)
        if t == 0
        else (lambda e: e / e.sum(-1, keepdims=True))(
            np.where(s >= np.sort(s, -1)[..., -min(k, s.shape[-1])][..., None], np.exp(s / t), 0)
        )
    ),
)
w(
    "9.3",
    "first k tokens",
    lambda s, t, k: (
        ch(s, t, k) if t == 0 else sm(np.where(np.arange(s.shape[-1]) < k, s / t, -np.inf))
    ),
)
w("9.3", "sorted shares", lambda s, t, k: np.sort(ch(s, t, k), -1)[..., ::-1])
w(
    "9.3",
    "temperature 0 gives even shares among k",
    lambda s, t, k: (
        ch(s, t, k)
        if t
        else (s >= np.sort(s, -1)[..., -min(k, s.shape[-1])][..., None]) / min(k, s.shape[-1])
    ),
)
w(
    "9.3",
    "returns the k shares only",
    lambda s, t, k: (lambda a: np.sort(a, -1)[..., -k:])(ch(s, t, k)),
)
w(
    "9.3",
    "temperature after softmax",
    lambda s, t, k: ch(s, t, k) if t == 0 else (lambda a: a / t)(ch(s, 1, k)),
)
w(
    "9.3",
    "k larger than tokens fails",
    lambda s, t, k: (
        ch(s, t, k)
        if t == 0
        else sm(np.where(s >= np.sort(s, -1)[..., -k][..., None], s / t, -np.inf))
    ),
)
w(
    "9.3",
    "temperature 0 of the first row only",
    lambda s, t, k: (
        np.eye(s.shape[-1])[s.argmax()] if t == 0 and s.ndim == 1 else ch(s, t or 1e-3, k)
    ),
)


# 9.4
def upto(row, end):
    row = [int(x) for x in row]
    return row[: row.index(end) + 1] if end in row else row


r(
    "9.4",
    "loops",
    lambda said, target, end: (
        np.mean([list(s[: len(t_)]) == t_ for s, t in zip(said, target) for t_ in [upto(t, end)]])
        if len(said)
        else 0.0
    ),
)
w(
    "9.4",
    "zip of rows",
    lambda said, target, end: np.mean(
        [all(a == b for a, b in zip(s, upto(t, end))) for s, t in zip(said, target)]
    ),
)
w(
    "9.4",
    "cut both at end",
    lambda said, target, end: np.mean(
        [upto(s, end)[:-1] == upto(t, end)[:-1] for s, t in zip(said, target)]
    ),
)
r(
    "9.4",
    "cut both at end, end kept",
    lambda said, target, end: np.mean([upto(s, end) == upto(t, end) for s, t in zip(said, target)]),
)
w(
    "9.4",
    "the last end",
    lambda said, target, end: np.mean(
        [
            (lambda m: list(s[:m]) == list(t[:m]))(max(i for i, x in enumerate(t) if x == end) + 1)
            for s, t in zip(said, target)
        ]
    ),
)
w(
    "9.4",
    "whole rows",
    lambda said, target, end: np.mean([list(s) == list(t) for s, t in zip(said, target)]),
)
w(
    "9.4",
    "share of tokens",
    lambda said, target, end: np.mean(
        [np.mean([a == b for a, b in zip(s, upto(t, end))]) for s, t in zip(said, target)]
    ),
)
w(
    "9.4",
    "array equal cut to the shorter",
    lambda said, target, end: (lambda m: (said[:, :m] == target[:, :m]).all(1).mean())(
        min(said.shape[1], target.shape[1])
    ),
)
w(
    "9.4",
    "end not counted",
    lambda said, target, end: np.mean(
        [(lambda u: list(s[: len(u)]) == u)(upto(t, end)[:-1]) for s, t in zip(said, target)]
    ),
)
w(
    "9.4",
    "count instead of share",
    lambda said, target, end: float(
        sum(list(s[: len(upto(t, end))]) == upto(t, end) for s, t in zip(said, target))
    ),
)
w(
    "9.4",
    "per token over all",
    lambda said, target, end: (lambda ok: sum(ok) / len(ok))(
        [a == b for s, t in zip(said, target) for a, b in zip(s, upto(t, end))]
    ),
)
w(
    "9.4",
    "sets of tokens",
    lambda said, target, end: np.mean(
        [set(map(int, s[: len(upto(t, end))])) == set(upto(t, end)) for s, t in zip(said, target)]
    ),
)
w(
    "9.4",
    "said cut at its end, target whole",
    lambda said, target, end: np.mean(
        [upto(s, end) == [int(x) for x in t] for s, t in zip(said, target)]
    ),
)
w("9.4", "first token only", lambda said, target, end: (said[:, 0] == target[:, 0]).mean())
w(
    "9.4",
    "any row wrong: 0 or 1",
    lambda said, target, end: float(
        all(list(s[: len(upto(t, end))]) == upto(t, end) for s, t in zip(said, target))
    ),
)
w(
    "9.4",
    "booleans per row",
    lambda said, target, end: np.array(
        [list(s[: len(upto(t, end))]) == upto(t, end) for s, t in zip(said, target)]
    ),
)
w(
    "9.4",
    "said padded with 0",
    lambda said, target, end: (
        lambda P: np.mean([list(s[: len(upto(t, end))]) == upto(t, end) for s, t in zip(P, target)])
    )(np.pad(said, ((0, 0), (0, max(0, target.shape[1] - said.shape[1]))), constant_values=end)),
)
w(
    "9.4",
    "starts with target's tokens anywhere",
    lambda said, target, end: np.mean(
        [" ".join(map(str, upto(t, end))) in " ".join(map(str, s)) for s, t in zip(said, target)]
    ),
)


# 9.5
def pre(tokens, n, cut, step=None, shift=1, gap=0, test=True):
    def win(part):
        s = np.arange(0, max(len(part) - n, 0), step or n)
        i = s[:, None] + np.arange(n)
        return part[i], part[i + shift]

    return (*win(tokens[:cut]), *win(tokens[cut + gap :]))


r("9.5", "parts", pre)
w(
    "9.5",
    "only the targets mended",
    lambda tk, n, cut: (
        lambda s: (lambda i, t: (i, t, i[cut // n :], t[cut // n :]))(
            tk[s[:, None] + np.arange(n)], tk[s[:, None] + np.arange(n) + 1]
        )
    )(np.arange(0, len(tk) - n, n)),
)
w(
    "9.5",
    "only the overlap mended",
    lambda tk, n, cut: (
        lambda s: (lambda i, t: (i[: cut // n], t[: cut // n], i[cut // n :], t[cut // n :]))(
            tk[s[:, None] + np.arange(n)], np.roll(tk[s[:, None] + np.arange(n)], -1, axis=1)
        )
    )(np.arange(0, len(tk) - n, n)),
)
w(
    "9.5",
    "windows that straddle the cut",
    lambda tk, n, cut: (
        lambda s: (lambda i, t: (i[: cut // n], t[: cut // n], i[cut // n :], t[cut // n :]))(
            tk[s[:, None] + np.arange(n)], tk[s[:, None] + np.arange(n) + 1]
        )
    )(np.arange(0, len(tk) - n, n)),
)
w(
    "9.5",
    "test windows on the whole grid",
    lambda tk, n, cut: (
        lambda s: (lambda i, t, a: (i[s + n < cut], t[s + n < cut], i[s >= cut], t[s >= cut]))(
            tk[s[:, None] + np.arange(n)], tk[s[:, None] + np.arange(n) + 1], 0
        )
    )(np.arange(0, len(tk) - n, n)),
)
w(
    "9.5",
    "the training target may be a test token",
    lambda tk, n, cut: (lambda a, b: (a[0], a[1], b[2], b[3]))(
        pre(tk, n, cut + 1), pre(tk, n, cut)
    ),
)
w("9.5", "test begins one later", lambda tk, n, cut: pre(tk, n, cut, gap=1))
w("9.5", "windows at every token", lambda tk, n, cut: pre(tk, n, cut, step=1))
w("9.5", "windows n+1 apart", lambda tk, n, cut: pre(tk, n, cut, step=n + 1))
w(
    "9.5",
    "shift the other way",
    lambda tk, n, cut: (lambda a: (a[1], a[0], a[3], a[2]))(pre(tk, n, cut)),
)
w(
    "9.5",
    "targets the inputs",
    lambda tk, n, cut: (lambda a: (a[0], a[0], a[2], a[2]))(pre(tk, n, cut)),
)
w("9.5", "one window too many left out", lambda tk, n, cut: tuple(x[:-1] for x in pre(tk, n, cut)))
w("9.5", "order changed", lambda tk, n, cut: (lambda a: (a[0], a[2], a[1], a[3]))(pre(tk, n, cut)))
w(
    "9.5",
    "roll the whole text",
    lambda tk, n, cut: (
        lambda r_: (lambda win: (*win(slice(0, cut)), *win(slice(cut, None))))(
            lambda p: (
                lambda x, y: (
                    x[: len(x) // n * n].reshape(-1, n),
                    y[: len(x) // n * n].reshape(-1, n),
                )
            )(tk[p], r_[p])
        )
    )(np.roll(tk, -1)),
)
w(
    "9.5",
    "windows shuffled",
    lambda tk, n, cut: (lambda a: (a[0][::-1], a[1][::-1], a[2], a[3]))(pre(tk, n, cut)),
)
w("9.5", "cut in windows", lambda tk, n, cut: pre(tk, n, cut // n * n))
w(
    "9.5",
    "roll within each part",
    lambda tk, n, cut: (lambda a: (a[0], np.roll(a[0], -1, 1), a[2], np.roll(a[2], -1, 1)))(
        pre(tk, n, cut)
    ),
)

# 9.6: a better, b better, c better?, d same, e same? (cache isn't used in the loss), f worse
right96 = dict(a="better", b="better", c="better", d="same", e="same", f="worse")
for letter, word in (
    ("a", "worse"),
    ("a", "same"),
    ("b", "worse"),
    ("c", "same"),
    ("c", "worse"),
    ("d", "worse"),
    ("d", "better"),
    ("e", "worse"),
    ("f", "same"),
    ("f", "better"),
    ("b", "same"),
):
    w("9.6", f"{letter} {word}", (lambda L, V: lambda: right96 | {L: V})(letter, word))


# 9.7
def cut_parts(text, pieces):
    n = 0
    L = max(map(len, pieces))
    while text:
        for m in range(min(L, len(text)), 0, -1):
            if text[:m] in pieces:
                text = text[m:]
                n += 1
                break
    return n


def bpe(texts, size, by_char=True, overlap=False):
    seqs = [list(t) for t in texts]
    pieces = sorted({c for t in texts for c in t})
    while len(pieces) < size:
        c = Counter((a, b) for s in seqs for a, b in zip(s, s[1:]))
        if not c:
            break
        (a, b), m = c.most_common(1)[0]
        if a + b not in pieces:
            pieces.append(a + b)
        for k, s in enumerate(seqs):
            o = []
            i = 0
            while i < len(s):
                if s[i : i + 2] == [a, b]:
                    o.append(a + b)
                    i += 2
                else:
                    o.append(s[i])
                    i += 1
            seqs[k] = o
    return pieces


w("9.7", "characters only", lambda texts, size: sorted({c for t in texts for c in t}))
w(
    "9.7",
    "commonest pairs once",
    lambda texts, size: (lambda ch_, C: ch_ + [p for p, _ in C.most_common(size - len(ch_))])(
        sorted({c for t in texts for c in t}),
        Counter(t[i : i + 2] for t in texts for i in range(len(t) - 1)),
    ),
)
w(
    "9.7",
    "commonest words",
    lambda texts, size: (
        lambda ch_, C: ch_ + [p for p, _ in C.most_common(size - len(ch_)) if p not in ch_]
    )(sorted({c for t in texts for c in t}), Counter(x for t in texts for x in t.split())),
)
w("9.7", "without all characters", lambda texts, size: bpe(texts, size)[1:])
w("9.7", "too many", lambda texts, size: bpe(texts, size + 5))
w(
    "9.7",
    "whole texts",
    lambda texts, size: (
        sorted({c for t in texts for c in t}) + texts[: size - len({c for t in texts for c in t})]
    ),
)
r("9.7", "pieces across texts", lambda texts, size: bpe(["".join(texts)], size))
w("9.7", "characters of the first text", lambda texts, size: bpe(texts[:1], size))
w(
    "9.7",
    "longest substrings",
    lambda texts, size: (
        lambda ch_, C: (
            ch_
            + [p for p, m in sorted(C.items(), key=lambda x: -len(x[0])) if m > 1 and len(p) > 1][
                : size - len(ch_)
            ]
        )
    )(
        sorted({c for t in texts for c in t}),
        Counter(t[i : i + m] for t in texts for m in range(2, 9) for i in range(len(t) - m + 1)),
    ),
)
w(
    "9.7",
    "commonest substrings by count",
    lambda texts, size: (
        lambda ch_, C: ch_ + [p for p, m in C.most_common() if len(p) > 1][: size - len(ch_)]
    )(
        sorted({c for t in texts for c in t}),
        Counter(t[i : i + m] for t in texts for m in range(1, 5) for i in range(len(t) - m + 1)),
    ),
)
r("9.7", "repeats a piece", lambda texts, size: (lambda p: p[:-1] + p[:1])(bpe(texts, size)))
w("9.7", "a dict of counts", lambda texts, size: dict.fromkeys(bpe(texts, size), 1))
w(
    "9.7",
    "half the size",
    lambda texts, size: bpe(texts, max(size // 2, len({c for t in texts for c in t}))),
)
w(
    "9.7",
    "rarest pairs",
    lambda texts, size: (
        lambda ch_, C: ch_ + [p for p, _ in C.most_common()[::-1][: size - len(ch_)]]
    )(
        sorted({c for t in texts for c in t}),
        Counter(t[i : i + 2] for t in texts for i in range(len(t) - 1)),
    ),
)
r("9.7", "bpe", bpe)
