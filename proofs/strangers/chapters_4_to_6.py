"""Chapters 4 to 6: answers written from the statements alone."""

import math

import numpy as np

import attnlib
from attnlib import softmax

from . import T, r, sm, w

# 4.1: causal and last is padding. row2: ln? scores 0, ln3 -> 1/4,3/4,0,0. row3: 2,7,1 ->.2,.7,.1,0. row4: 1,1,2,(hidden) -> .25,.25,.5,0. pairs: 1+2+3+3=9
b41 = {
    "second": [0.25, 0.75, 0, 0],
    "third": [0.2, 0.7, 0.1, 0],
    "fourth": [0.25, 0.25, 0.5, 0],
    "pairs": 9,
}
r("4.1", "nine", lambda: b41)
w(
    "4.1",
    "padding not hidden",
    lambda: b41 | {"fourth": [1 / 12, 1 / 12, 2 / 12, 8 / 12], "pairs": 10},
)
w("4.1", "pairs of the causal mask", lambda: b41 | {"pairs": 10})
w("4.1", "padded query hidden too", lambda: b41 | {"fourth": [0, 0, 0, 0], "pairs": 6})
w("4.1", "pairs without the padded query", lambda: b41 | {"pairs": 6})
w(
    "4.1",
    "not causal",
    lambda: {
        "second": [0.1, 0.3, 0.6, 0],
        "third": [0.2, 0.7, 0.1, 0],
        "fourth": [0.25, 0.25, 0.5, 0],
        "pairs": 12,
    },
)
w(
    "4.1",
    "strictly causal",
    lambda: {
        "second": [1, 0, 0, 0],
        "third": [2 / 9, 7 / 9, 0, 0],
        "fourth": [0.25, 0.25, 0.5, 0],
        "pairs": 6,
    },
)
w(
    "4.1",
    "masked to score 0 rather than hidden",
    lambda: {
        "second": list(np.array([1, 3, 1, 1]) / 6),
        "third": list(np.array([2, 7, 1, 1]) / 11),
        "fourth": list(np.array([1, 1, 2, 1]) / 5),
        "pairs": 9,
    },
)
w(
    "4.1",
    "weights set to 0 afterwards",
    lambda: {
        "second": [1 / 11, 3 / 11, 0, 0],
        "third": [2 / 15, 7 / 15, 1 / 15, 0],
        "fourth": [1 / 12, 1 / 12, 2 / 12, 0],
        "pairs": 9,
    },
)
w(
    "4.1",
    "anti-causal",
    lambda: {
        "second": [0, 1 / 3, 2 / 3, 0],
        "third": [0, 0, 1, 0],
        "fourth": [0, 0, 0, 0],
        "pairs": 6,
    },
)
w(
    "4.1",
    "scores themselves",
    lambda: {
        "second": [0, math.log(3), 0, 0],
        "third": [math.log(2), math.log(7), 0, 0],
        "fourth": [0, 0, math.log(2), 0],
        "pairs": 9,
    },
)


# 4.2
def ms(fill=-np.inf, after=lambda a, m: a, invert=False):
    def f(scores, mask):
        m = ~mask if invert else mask
        s = np.where(m, scores, fill)
        return after(sm(s), m)

    return f


w("4.2", "-1e9, empty row even", ms(-1e9))
w("4.2", "-1e9 then zeros", ms(-1e9, lambda a, m: a * m))
w("4.2", "-1e4 then zeros", ms(-1e4, lambda a, m: a * m))
w("4.2", "-inf, NaN", ms())
r("4.2", "-inf, nan to num", lambda s, m: np.nan_to_num(sm(np.where(m, s, -np.inf))))
w("4.2", "added -1e9", lambda s, m: sm(s + np.where(m, 0, -1e9)) * m)
w("4.2", "added -1e9 without zeros", lambda s, m: sm(s + np.where(m, 0, -1e9)))
w("4.2", "multiplied before", lambda s, m: sm(s * m))
w("4.2", "zeroed after, not renormalised", lambda s, m: sm(s) * m)
w(
    "4.2",
    "zeroed after, renormalised",
    lambda s, m: (lambda a: a / np.maximum(a.sum(-1, keepdims=True), 1e-300))(sm(s) * m),
)
w("4.2", "inverted", lambda s, m: np.nan_to_num(sm(np.where(m, -np.inf, s))))
w(
    "4.2",
    "no top",
    lambda s, m: (lambda e: e / np.maximum(e.sum(-1, keepdims=True), 1e-300))(
        np.where(m, np.exp(s), 0)
    ),
)
w(
    "4.2",
    "top over hidden ones too",
    lambda s, m: (lambda e: e / np.maximum(e.sum(-1, keepdims=True), 1e-300))(
        np.exp(s - s.max(-1, keepdims=True)) * m
    ),
)
r("4.2", "float min", ms(np.finfo(float).min, lambda a, m: a * m))
w("4.2", "float min without zeros", ms(np.finfo(float).min))
w(
    "4.2",
    "in place",
    lambda s, m: (np.copyto(s, -np.inf, where=~np.broadcast_to(m, s.shape)), np.nan_to_num(sm(s)))[
        1
    ],
)
w(
    "4.2",
    "empty row if the first key hidden",
    lambda s, m: np.nan_to_num(sm(np.where(m, s, -np.inf))) * m[..., :1],
)
w(
    "4.2",
    "epsilon 1e-9 in sum without top",
    lambda s, m: (lambda e: e / (e.sum(-1, keepdims=True) + 1e-9))(np.where(m, np.exp(s), 0)),
)
r(
    "4.2",
    "guarded top",
    lambda s, m: (
        lambda h: (
            lambda t: (
                lambda e: e / np.where(e.sum(-1, keepdims=True) == 0, 1, e.sum(-1, keepdims=True))
            )(np.exp(h - np.where(np.isneginf(t), 0, t)))
        )(h.max(-1, keepdims=True))
    )(np.where(m, s, -np.inf)),
)

# 4.3
ij = lambda q, k: (np.arange(q)[:, None], np.arange(k)[None, :])


def rec(f, off=True):
    return lambda n_q, n_k, window: f(
        (lambda i, j: (i + (n_k - n_q if off else 0)) - j)(*ij(n_q, n_k)), window
    )


w("4.3", "one too wide", rec(lambda d, w_: (d >= 0) & (d <= w_)))
w("4.3", "one too narrow", rec(lambda d, w_: (d >= 0) & (d < w_ - 1)))
w("4.3", "2w (both sides)", rec(lambda d, w_: abs(d) < w_))
w("4.3", "2w back", rec(lambda d, w_: (d >= 0) & (d < 2 * w_)))
w("4.3", "top-left", rec(lambda d, w_: (d >= 0) & (d < w_), off=False))
w("4.3", "without itself", rec(lambda d, w_: (d > 0) & (d <= w_)))
w("4.3", "not causal below", rec(lambda d, w_: d < w_))
w("4.3", "only causal", rec(lambda d, w_: d >= 0))
w("4.3", "anti", rec(lambda d, w_: (d <= 0) & (d > -w_)))
w("4.3", "inverted", rec(lambda d, w_: ~((d >= 0) & (d < w_))))
w("4.3", "whole numbers", rec(lambda d, w_: ((d >= 0) & (d < w_)).astype(int)))
w(
    "4.3",
    "blocks",
    lambda n_q, n_k, window: (lambda i, j: (i + n_k - n_q) // window == j // window)(*ij(n_q, n_k)),
)
w(
    "4.3",
    "the same last keys for all",
    lambda n_q, n_k, window: np.broadcast_to(np.arange(n_k) >= n_k - window, (n_q, n_k)),
)
w(
    "4.3",
    "tri without k, minus tri",
    lambda n_q, n_k, window: np.tri(n_q, n_k, dtype=bool) & ~np.tri(n_q, n_k, -window, dtype=bool),
)
w(
    "4.3",
    "off by one offset",
    lambda n_q, n_k, window: (
        np.tri(n_q, n_k, n_k - n_q - 1, dtype=bool)
        & ~np.tri(n_q, n_k, n_k - n_q - 1 - window, dtype=bool)
    ),
)
r(
    "4.3",
    "tri",
    lambda n_q, n_k, window: (
        np.tri(n_q, n_k, n_k - n_q, dtype=bool) & ~np.tri(n_q, n_k, n_k - n_q - window, dtype=bool)
    ),
)


# 4.5
def ap(
    mask=lambda L, n: np.arange(n) < L[:, None, None, None],
    fill=-np.inf,
    end=np.nan_to_num,
    scale=lambda k, v: k.shape[-1] ** 0.5,
    axis=-1,
):
    def f(q, k, v, L):
        s = np.where(mask(L, k.shape[-2]), q @ T(k) / scale(k, v), fill)
        return end(sm(s, axis)) @ v

    return f


w("4.5", "lengths - 1", ap(lambda L, n: np.arange(n) < L[:, None, None, None] - 1))
w("4.5", "lengths + 1", ap(lambda L, n: np.arange(n) <= L[:, None, None, None]))
w("4.5", "only shape mended", ap(fill=-1e9, end=lambda a: a))
w("4.5", "mask's head axis last", ap(lambda L, n: np.arange(n) < L[:, None, None]))
w(
    "4.5",
    "repeat for heads, wrong order",
    lambda q, k, v, L: ap(
        lambda L, n: (
            np.arange(n) < np.tile(L, q.shape[1]).reshape(q.shape[0], q.shape[1])[:, :, None, None]
        )
    )(q, k, v, L),
)
w(
    "4.5",
    "padded queries zeroed too",
    lambda q, k, v, L: (
        ap()(q, k, v, L) * (np.arange(q.shape[-2])[:, None] < L[:, None, None, None])
    ),
)
w("4.5", "NaN for empty", ap(end=lambda a: a))
w(
    "4.5",
    "-100",
    lambda q, k, v, L: ap(fill=-100.0, end=lambda a: a)(q, k, v, L) * (L > 0)[:, None, None, None],
)
w(
    "4.5",
    "-1e4",
    lambda q, k, v, L: ap(fill=-1e4, end=lambda a: a)(q, k, v, L) * (L > 0)[:, None, None, None],
)
w(
    "4.5",
    "-1e9",
    lambda q, k, v, L: ap(fill=-1e9, end=lambda a: a)(q, k, v, L) * (L > 0)[:, None, None, None],
)
w(
    "4.5",
    "masks queries instead of keys",
    lambda q, k, v, L: (
        np.nan_to_num(
            sm(
                np.where(
                    np.arange(q.shape[-2])[:, None] < L[:, None, None, None],
                    q @ T(k) / k.shape[-1] ** 0.5,
                    -np.inf,
                )
            )
        )
        @ v
    ),
)
w("4.5", "scale by v", ap(scale=lambda k, v: v.shape[-1] ** 0.5))
w(
    "4.5",
    "multiplies weights by mask after",
    lambda q, k, v, L: (
        (sm(q @ T(k) / k.shape[-1] ** 0.5) * (np.arange(k.shape[-2]) < L[:, None, None, None])) @ v
    ),
)
w(
    "4.5",
    "zeros values instead",
    lambda q, k, v, L: (
        sm(q @ T(k) / k.shape[-1] ** 0.5)
        @ (v * (np.arange(k.shape[-2])[:, None] < L[:, None, None, None]))
    ),
)
w(
    "4.5",
    "empty gets the mean",
    lambda q, k, v, L: np.where(
        (L == 0)[:, None, None, None], v.mean(-2, keepdims=True), ap()(q, k, v, L)
    ),
)
w(
    "4.5",
    "also causal",
    lambda q, k, v, L: (
        np.nan_to_num(
            sm(
                np.where(
                    (np.arange(k.shape[-2]) < L[:, None, None, None])
                    & np.tri(q.shape[-2], dtype=bool),
                    q @ T(k) / k.shape[-1] ** 0.5,
                    -np.inf,
                )
            )
        )
        @ v
    ),
)
w(
    "4.5",
    "inverted",
    lambda q, k, v, L: (
        np.nan_to_num(
            sm(
                np.where(
                    np.arange(k.shape[-2]) < L[:, None, None, None],
                    -np.inf,
                    q @ T(k) / k.shape[-1] ** 0.5,
                )
            )
        )
        @ v
    ),
)
r(
    "4.5",
    "loop",
    lambda q, k, v, L: np.stack(
        [
            np.concatenate([np.zeros((q.shape[1], q.shape[2], v.shape[-1]))[None]], 0)[0]
            if l == 0
            else sm(a @ T(b[:, :l]) / b.shape[-1] ** 0.5) @ c[:, :l]
            for a, b, c, l in zip(q, k, v, L)
        ]
    ),
)

# 4.6 pairs 5050; windowed: 10*100-45=955; reach 37; cached: 21+..+25=115; uncached: 21^2+..25^2=2655
b46 = {"pairs": 5050, "windowed": 955, "reach": 37, "cached": 115, "uncached": 2655}
for k_, v_ in (
    ("pairs", 4950),
    ("pairs", 10000),
    ("windowed", 1000),
    ("windowed", 945),
    ("windowed", 1045),
    ("reach", 40),
    ("reach", 36),
    ("reach", 41),
    ("reach", 10000),
    ("cached", 110),
    ("cached", 125),
    ("cached", 100),
    ("uncached", 3125),
    ("uncached", 115),
    ("uncached", 1385),
    ("uncached", 625),
    ("cached", 5),
    ("reach", 28),
):
    w("4.6", f"{k_} {v_}", (lambda K, V: lambda: b46 | {K: V})(k_, v_))
r("4.6", "floats", lambda: {k: float(v) for k, v in b46.items()})


# 4.7
def rem(
    mask=lambda n, p: np.tri(n, n + p, p, dtype=bool),
    cat=lambda p, n: np.concatenate([p, n]),
    out=None,
):
    def f(q, k, v, pk_, pv):
        ks, vs = cat(pk_, k), cat(pv, v)
        s = np.where(mask(len(q), len(pk_)), q @ ks.T / q.shape[-1] ** 0.5, -np.inf)
        return sm(s) @ vs, ks, vs

    return f


r("4.7", "tri", rem())
w("4.7", "no mask", rem(lambda n, p: True))
w("4.7", "top-left", rem(lambda n, p: np.tri(n, n + p, dtype=bool)))
w("4.7", "new first", rem(cat=lambda p, n: np.concatenate([n, p])))
w(
    "4.7",
    "past ignored",
    lambda q, k, v, pk_, pv: (
        sm(np.where(np.tri(len(q), dtype=bool), q @ k.T / q.shape[-1] ** 0.5, -np.inf)) @ v,
        np.concatenate([pk_, k]),
        np.concatenate([pv, v]),
    ),
)
w("4.7", "returns only the new", lambda q, k, v, pk_, pv: (rem()(q, k, v, pk_, pv)[0], k, v))
w("4.7", "strictly causal among new", rem(lambda n, p: np.tri(n, n + p, p - 1, dtype=bool)))
w("4.7", "one too many", rem(lambda n, p: np.tri(n, n + p, p + 1, dtype=bool)))
w("4.7", "square mask", rem(lambda n, p: np.tri(n, dtype=bool)))
w(
    "4.7",
    "mask -100",
    lambda q, k, v, pk_, pv: (
        lambda ks, vs: (
            sm(
                np.where(
                    np.tri(len(q), len(ks), len(pk_), dtype=bool),
                    q @ ks.T / q.shape[-1] ** 0.5,
                    -100.0,
                )
            )
            @ vs,
            ks,
            vs,
        )
    )(np.concatenate([pk_, k]), np.concatenate([pv, v])),
)
w(
    "4.7",
    "mask -1e4",
    lambda q, k, v, pk_, pv: (
        lambda ks, vs: (
            sm(
                np.where(
                    np.tri(len(q), len(ks), len(pk_), dtype=bool),
                    q @ ks.T / q.shape[-1] ** 0.5,
                    -1e4,
                )
            )
            @ vs,
            ks,
            vs,
        )
    )(np.concatenate([pk_, k]), np.concatenate([pv, v])),
)
w(
    "4.7",
    "mask -1e9",
    lambda q, k, v, pk_, pv: (
        lambda ks, vs: (
            sm(
                np.where(
                    np.tri(len(q), len(ks), len(pk_), dtype=bool),
                    q @ ks.T / q.shape[-1] ** 0.5,
                    -1e9,
                )
            )
            @ vs,
            ks,
            vs,
        )
    )(np.concatenate([pk_, k]), np.concatenate([pv, v])),
)
w(
    "4.7",
    "output only for the last",
    lambda q, k, v, pk_, pv: (rem()(q, k, v, pk_, pv)[0][-1:], *rem()(q, k, v, pk_, pv)[1:]),
)
w(
    "4.7",
    "keys scaled before they are stored",
    lambda q, k, v, pk_, pv: (
        lambda ks, vs: (
            sm(np.where(np.tri(len(q), len(ks), len(pk_), dtype=bool), q @ ks.T, -np.inf)) @ vs,
            ks,
            vs,
        )
    )(np.concatenate([pk_, k / q.shape[-1] ** 0.5]), np.concatenate([pv, v])),
)
w(
    "4.7",
    "softmax per part, summed",
    lambda q, k, v, pk_, pv: (
        (sm(q @ pk_.T / q.shape[-1] ** 0.5) @ pv if len(pk_) else 0)
        + sm(np.where(np.tri(len(q), dtype=bool), q @ k.T / q.shape[-1] ** 0.5, -np.inf)) @ v,
        np.concatenate([pk_, k]),
        np.concatenate([pv, v]),
    ),
)
w(
    "4.7",
    "causal with the past's length - 1",
    rem(lambda n, p: np.arange(n + p)[None] <= np.arange(n)[:, None] + max(p - 1, 0)),
)
w(
    "4.7",
    "values' past exchanged with keys",
    lambda q, k, v, pk_, pv: (
        rem()(q, k, v, pk_, pv)[0],
        rem()(q, k, v, pk_, pv)[2],
        rem()(q, k, v, pk_, pv)[1],
    ),
)

# 4.8
sq = lambda n: math.isqrt(n - 1) + 1 if n > 0 else 0


def two(n, window=True, start=True, w_=None, causal=True):
    s = w_ or sq(n)
    i, j = ij(n, n)
    m = np.zeros((n, n), bool)
    if window:
        m |= (i - j < s) & (i - j >= 0)
    if start:
        m |= j % s == 0
    return m & (i >= j) if causal else m


w("4.8", "causal mask whole", lambda n: np.tri(n, dtype=bool))
w("4.8", "window only", lambda n: two(n, start=False))
w("4.8", "columns only", lambda n: two(n, window=False))
w("4.8", "not causal", lambda n: two(n, causal=False))
w(
    "4.8",
    "first token and window",
    lambda n: (lambda i, j: ((i - j < sq(n)) | (j == 0)) & (i >= j))(*ij(n, n)),
)
w(
    "4.8",
    "window of s-1, columns",
    lambda n: (lambda i, j: ((i - j < sq(n) - 1) | (j % sq(n) == 0)) & (i >= j))(*ij(n, n)),
)
w("4.8", "without the diagonal", lambda n: two(n) & ~np.eye(n, dtype=bool))
w(
    "4.8",
    "blocks without summary",
    lambda n: (lambda i, j: (i // sq(n) == j // sq(n)) & (i >= j))(*ij(n, n)),
)
w(
    "4.8",
    "dilated (every s-th before) alone",
    lambda n: (lambda i, j: ((i - j) % sq(n) == 0) & (i >= j))(*ij(n, n)),
)
r("4.8", "floor root", lambda n: two(n, w_=max(1, math.isqrt(n) - 1)))
w(
    "4.8",
    "ints",
    lambda n: (lambda i, j: (((i - j < sq(n)) | ((i - j) % sq(n) == 0)) & (i >= j)).astype(int))(
        *ij(n, n)
    ),
)
w("4.8", "only the diagonal and the first", lambda n: (lambda i, j: (i == j) | (j == 0))(*ij(n, n)))
w(
    "4.8",
    "powers of two back",
    lambda n: (lambda i, j: np.isin(i - j, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256]))(*ij(n, n)),
)
r(
    "4.8",
    "strided, list",
    lambda n: (lambda i, j: ((i - j < sq(n)) | ((i - j) % sq(n) == 0)) & (i >= j))(
        *ij(n, n)
    ).tolist(),
)

# 5.1 q turned by 90: (0,4); k at place 1 by 30: (0,2)->(-2 sin30, 2cos30)=(-1, sqrt3); near: 4*sqrt3; far(103-101=2): q·k relative: rotate by... q at m, k at n: q^T R(n-m) k ; n-m=-2: R(-60)(0,2) = (2 sin60, 2cos60)=(sqrt3,1) -> 4 sqrt3; after: n-m=+2 : R(60)(0,2) = (-sqrt3,1) -> -4sqrt3
s3 = 3**0.5
b51 = {"q": [0, 4], "k": [-1, s3], "near": 4 * s3, "far": 4 * s3, "after": -4 * s3}
r("5.1", "as worked", lambda: b51)
w(
    "5.1",
    "clockwise",
    lambda: {"q": [0, -4], "k": [1, s3], "near": -4 * s3, "far": -4 * s3, "after": 4 * s3},
)
w("5.1", "after is the same as near", lambda: b51 | {"after": 4 * s3})
w(
    "5.1",
    "degrees as radians",
    lambda: (
        lambda R_: {
            "q": list(R_(90) @ [4, 0]),
            "k": list(R_(30) @ [0, 2]),
            "near": float((R_(90) @ [4, 0]) @ (R_(30) @ [0, 2])),
            "far": float((R_(90) @ [4, 0]) @ (R_(30) @ [0, 2])),
            "after": float((R_(90) @ [4, 0]) @ (R_(150) @ [0, 2])),
        }
    )(lambda t: np.array([[math.cos(t), -math.sin(t)], [math.sin(t), math.cos(t)]])),
)
w(
    "5.1",
    "places from 0 (q by 60)",
    lambda: {"q": [2, 2 * s3], "k": [0, 2], "near": 4 * s3, "far": 4 * s3, "after": -4 * s3},
)
w("5.1", "far is smaller", lambda: b51 | {"far": 0})
w(
    "5.1",
    "scaled",
    lambda: b51 | {"near": 4 * s3 / 2**0.5, "far": 4 * s3 / 2**0.5, "after": -4 * s3 / 2**0.5},
)
w("5.1", "k not turned", lambda: b51 | {"k": [0, 2], "near": 8})
w("5.1", "cos and sin exchanged for k", lambda: b51 | {"k": [-s3, 1], "near": 4})
w("5.1", "k's sign", lambda: b51 | {"k": [1, s3]})
w(
    "5.1",
    "rounded",
    lambda: {"q": [0, 4], "k": [-1, 1.73], "near": 6.93, "far": 6.93, "after": -6.93},
)
w("5.1", "after 0", lambda: b51 | {"after": 0})


# 5.2
def al(slope=lambda h: 2.0 ** (-8 * np.arange(1, h + 1) / h), f=lambda d: -abs(d), off=True):
    return lambda heads, n_q, n_k: (
        slope(heads)[:, None, None]
        * f((np.arange(n_q)[:, None] + (n_k - n_q if off else 0)) - np.arange(n_k))
    )


r("5.2", "plain", al())
w("5.2", "slopes 1/h", al(lambda h: 1 / np.arange(1, h + 1)))
w("5.2", "slopes 2^-h", al(lambda h: 2.0 ** -np.arange(1, h + 1)))
w("5.2", "slopes from 2^0", al(lambda h: 2.0 ** (-8 * np.arange(h) / h)))
w("5.2", "top-left", al(off=False))
w("5.2", "positive", al(f=lambda d: abs(d)))
w("5.2", "signed", al(f=lambda d: -d))
w("5.2", "later keys 0", al(f=lambda d: -np.maximum(d, 0)))
w("5.2", "later keys -inf", al(f=lambda d: np.where(d >= 0, -d, -np.inf)))
w("5.2", "slopes reversed", al(lambda h: (2.0 ** (-8 * np.arange(1, h + 1) / h))[::-1]))
w("5.2", "squared distance", al(f=lambda d: -(d**2.0)))
w("5.2", "slopes linear 8/h", al(lambda h: 8 / h * np.arange(1, h + 1)))
w("5.2", "distance plus 1", al(f=lambda d: -abs(d) - 1.0))
w("5.2", "heads last", lambda heads, n_q, n_k: np.moveaxis(al()(heads, n_q, n_k), 0, -1))
w("5.2", "one slope 2^-8/h for all", al(lambda h: np.full(h, 2.0 ** (-8 / h))))
w("5.2", "natural exponent", al(lambda h: np.exp(-8 * np.arange(1, h + 1) / h)))
w("5.2", "log bias", al(f=lambda d: -np.log1p(abs(d))))


# 5.3
def tp(
    sign=1, theta=lambda d: 10000.0 ** (-np.arange(0, d, 2) / d), pos=lambda p: p, pairs="inter"
):
    def f(x, positions):
        d = x.shape[-1]
        a = pos(positions)[:, None] * theta(d)
        c, s = np.cos(a), sign * np.sin(a)
        if pairs == "inter":
            u, v = x[..., ::2], x[..., 1::2]
            out = np.empty(np.shape(x))
            out[..., ::2] = u * c - v * s
            out[..., 1::2] = u * s + v * c
            return out
        u, v = x[..., : d // 2], x[..., d // 2 :]
        return np.concatenate([u * c - v * s, u * s + v * c], -1)

    return f


r("5.3", "plain", tp())
r(
    "5.3",
    "complex",
    lambda x, p: (lambda z: np.stack([z.real, z.imag], -1).reshape(x.shape))(
        (x[..., ::2] + 1j * x[..., 1::2])
        * np.exp(1j * p[:, None] * 10000.0 ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1]))
    ),
)
w("5.3", "identity", lambda x, p: x)
w("5.3", "places from 1", tp(pos=lambda p: p + 1))
w("5.3", "places from 0 always", tp(pos=lambda p: np.arange(len(p))))
w("5.3", "places from the first", tp(pos=lambda p: p - p[0]))
w("5.3", "clockwise", tp(sign=-1))
w("5.3", "halves", tp(pairs="half"))
w("5.3", "i instead of 2i", tp(theta=lambda d: 10000.0 ** (-np.arange(d // 2) / d)))
w("5.3", "2i/(d/2)", tp(theta=lambda d: 10000.0 ** (-2 * np.arange(0, d, 2) / d)))
w("5.3", "base 1000", tp(theta=lambda d: 1000.0 ** (-np.arange(0, d, 2) / d)))
w("5.3", "theta upside down", tp(theta=lambda d: 10000.0 ** (np.arange(0, d, 2) / d)))
w("5.3", "all pairs by the same", tp(theta=lambda d: np.ones(d // 2)))
w(
    "5.3",
    "cos repeated, rotate half mix",
    lambda x, p: (
        lambda a: (
            x * np.cos(a)
            + np.concatenate([-x[..., x.shape[-1] // 2 :], x[..., : x.shape[-1] // 2]], -1)
            * np.sin(a)
        )
    )(np.repeat(p[:, None] * 10000.0 ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1]), 2, -1)),
)
w(
    "5.3",
    "concatenated instead of interleaved back",
    lambda x, p: (lambda y: np.concatenate([y[..., ::2], y[..., 1::2]], -1))(tp()(x, p)),
)
w(
    "5.3",
    "adds sinusoids",
    lambda x, p: (
        x
        + (lambda a: np.stack([np.sin(a), np.cos(a)], -1).reshape(len(p), -1))(
            p[:, None] * 10000.0 ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
        )
    ),
)
w(
    "5.3",
    "second overwritten before use",
    lambda x, p: (
        lambda a: (lambda u, v: np.stack([u, u * np.sin(a) + v * np.cos(a)], -1).reshape(x.shape))(
            x[..., ::2] * np.cos(a) - x[..., 1::2] * np.sin(a), x[..., 1::2]
        )
    )(p[:, None] * 10000.0 ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])),
)
w("5.3", "degrees", tp(pos=lambda p: np.deg2rad(p)))
w("5.3", "rotated twice", lambda x, p: tp()(tp()(x, p), p))

# 5.4
rot, sc = attnlib.rotate, attnlib.attention_scores
P = lambda past, n: np.arange(past.shape[-2], past.shape[-2] + n)
r(
    "5.4",
    "positions",
    lambda q, k, past: sc(
        rot(q, P(past, q.shape[-2])), np.concatenate([past, rot(k, P(past, k.shape[-2]))], -2)
    ),
)
w(
    "5.4",
    "only key",
    lambda q, k, past: sc(rot(q), np.concatenate([past, rot(k, P(past, k.shape[-2]))], -2)),
)
w(
    "5.4",
    "only query",
    lambda q, k, past: sc(rot(q, P(past, q.shape[-2])), np.concatenate([past, rot(k)], -2)),
)
w(
    "5.4",
    "all keys turned again",
    lambda q, k, past: sc(rot(q, P(past, q.shape[-2])), rot(np.concatenate([past, k], -2))),
)
w(
    "5.4",
    "all keys turned again, query at 0",
    lambda q, k, past: sc(rot(q), rot(np.concatenate([past, k], -2))),
)
w(
    "5.4",
    "off by one",
    lambda q, k, past: sc(
        rot(q, P(past, q.shape[-2]) + 1),
        np.concatenate([past, rot(k, P(past, k.shape[-2]) + 1)], -2),
    ),
)
w(
    "5.4",
    "off by minus one",
    lambda q, k, past: sc(
        rot(q, P(past, q.shape[-2]) - 1),
        np.concatenate([past, rot(k, P(past, k.shape[-2]) - 1)], -2),
    ),
)
w(
    "5.4",
    "all new words at one place",
    lambda q, k, past: sc(
        rot(q, np.full(q.shape[-2], past.shape[-2])),
        np.concatenate([past, rot(k, np.full(k.shape[-2], past.shape[-2]))], -2),
    ),
)
w(
    "5.4",
    "past first axis length",
    lambda q, k, past: sc(
        rot(q, len(past) + np.arange(q.shape[-2])),
        np.concatenate([past, rot(k, len(past) + np.arange(k.shape[-2]))], -2),
    ),
)
w(
    "5.4",
    "new first",
    lambda q, k, past: sc(
        rot(q, P(past, q.shape[-2])), np.concatenate([rot(k, P(past, k.shape[-2])), past], -2)
    ),
)
w(
    "5.4",
    "unscaled",
    lambda q, k, past: (
        rot(q, P(past, q.shape[-2])) @ T(np.concatenate([past, rot(k, P(past, k.shape[-2]))], -2))
    ),
)
w(
    "5.4",
    "past only scores of the new",
    lambda q, k, past: sc(rot(q, P(past, q.shape[-2])), rot(k, P(past, k.shape[-2]))),
)
w(
    "5.4",
    "offset twice",
    lambda q, k, past: sc(
        rot(q, P(past, q.shape[-2]) + past.shape[-2]),
        np.concatenate([past, rot(k, P(past, k.shape[-2]) + past.shape[-2])], -2),
    ),
)
w(
    "5.4",
    "weights",
    lambda q, k, past: softmax(
        sc(rot(q, P(past, q.shape[-2])), np.concatenate([past, rot(k, P(past, k.shape[-2]))], -2))
    ),
)
w(
    "5.4",
    "query at the very end only",
    lambda q, k, past: sc(
        rot(q, P(past, q.shape[-2])[-1:].repeat(q.shape[-2])),
        np.concatenate([past, rot(k, P(past, k.shape[-2]))], -2),
    ),
)


# 5.5
def il(f):
    return lambda w_, heads: (
        lambda d, width: f(w_.reshape(d, heads, width), heads, width).reshape(d, -1)
    )(w_.shape[0], w_.shape[1] // heads)


r("5.5", "reshape", il(lambda x, h, n: x.reshape(len(x), h, 2, n // 2).swapaxes(2, 3)))
w("5.5", "other way", il(lambda x, h, n: x.reshape(len(x), h, n // 2, 2).swapaxes(2, 3)))
w(
    "5.5",
    "across heads",
    lambda w_, heads: w_.reshape(len(w_), 2, -1).swapaxes(1, 2).reshape(len(w_), -1),
)
w("5.5", "identity", lambda w_, heads: w_)
w(
    "5.5",
    "halves exchanged",
    il(lambda x, h, n: np.concatenate([x[..., n // 2 :], x[..., : n // 2]], -1)),
)
w("5.5", "reverse", il(lambda x, h, n: x[..., ::-1]))
w(
    "5.5",
    "rows",
    lambda w_, heads: w_[np.arange(len(w_)).reshape(2, -1).T.ravel()] if len(w_) % 2 == 0 else w_,
)
w(
    "5.5",
    "sign of the second",
    il(lambda x, h, n: x.reshape(len(x), h, 2, n // 2).swapaxes(2, 3) * np.array([1, -1])),
)
w(
    "5.5",
    "heads as pairs",
    lambda w_, heads: w_.reshape(len(w_), heads, -1).swapaxes(1, 2).reshape(len(w_), -1),
)
r(
    "5.5",
    "heads first axis",
    lambda w_, heads: (
        w_.reshape(heads, -1, 2, w_.shape[1] // heads // 2).swapaxes(2, 3).reshape(w_.shape)
        if (w_.size % (heads * 2 * (w_.shape[1] // heads // 2))) == 0
        else w_
    ),
)
w(
    "5.5",
    "second half first in pairs",
    il(lambda x, h, n: x.reshape(len(x), h, 2, n // 2)[:, :, ::-1].swapaxes(2, 3)),
)
w(
    "5.5",
    "even then odd columns whole",
    lambda w_, heads: np.concatenate([w_[:, ::2], w_[:, 1::2]], 1),
)
w(
    "5.5",
    "writes into w",
    lambda w_, heads: (lambda y: (np.copyto(w_, y), w_)[1])(
        il(lambda x, h, n: x.reshape(len(x), h, 2, n // 2).swapaxes(2, 3))(w_, heads)
    ),
)
w(
    "5.5",
    "pairs i with width-1-i",
    il(lambda x, h, n: np.stack([x[..., : n // 2], x[..., n // 2 :][..., ::-1]], -1)),
)

# 5.6: a same, b different, c same, d different, e same (mean bag? with causal mask no positions last output: permutation invariant among keys -> same) f different
right56 = dict(a="same", b="different", c="same", d="different", e="same", f="different")
for letters in "abcdef":
    w(
        "5.6",
        "flipped " + letters,
        (
            lambda L: (
                lambda: {
                    k: ({"same": "different", "different": "same"}[v] if k in L else v)
                    for k, v in right56.items()
                }
            )
        )(letters),
    )
w("5.6", "b and e", lambda: right56 | dict(b="same", e="different"))
w("5.6", "True and False", lambda: {k: v == "same" for k, v in right56.items()})


# 5.7
def shift(dim, steps, sign=-1, gain=200.0, same=False, useall=True):
    th = 10000.0 ** (-np.arange(0, dim, 2) / dim)
    m = np.zeros((dim, dim))
    for i, t in enumerate(th):
        a = sign * steps * t
        c, s = math.cos(a), math.sin(a)
        # p=(sin, cos) pairs ; p(n+x) = p @ [[c,-s],[s,c]]
        m[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = [[c, -s], [s, c]]
    return m * gain, np.eye(dim)


w("5.7", "looks forward", lambda dim, steps: shift(dim, steps, 1))
w("5.7", "no gain", lambda dim, steps: shift(dim, steps, gain=1.0))
w("5.7", "looks at itself", lambda dim, steps: (200 * np.eye(dim), np.eye(dim)))
w("5.7", "one step less", lambda dim, steps: shift(dim, steps - 1))
w("5.7", "one step more", lambda dim, steps: shift(dim, steps + 1))
w(
    "5.7",
    "random",
    lambda dim, steps: (
        np.random.default_rng(0).normal(size=(dim, dim)),
        np.random.default_rng(1).normal(size=(dim, dim)),
    ),
)
w(
    "5.7",
    "turns the keys as well",
    lambda dim, steps: (shift(dim, steps)[0], shift(dim, steps, gain=1.0)[0]),
)
w("5.7", "enough at 20 only", lambda dim, steps: shift(dim, steps, gain=8.0))
w(
    "5.7",
    "half pairs first",
    lambda dim, steps: (lambda perm: (shift(dim, steps)[0][perm][:, perm], np.eye(dim)))(
        np.r_[0:dim:2, 1:dim:2]
    ),
)
w(
    "5.7",
    "angles i instead of 2i",
    lambda dim, steps: (lambda m: (m, np.eye(dim)))(
        200
        * sum(
            (
                lambda a: np.pad(
                    [[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]],
                    ((2 * i, dim - 2 * i - 2),) * 2,
                )
            )(steps * 10000.0 ** (-i / dim))
            for i in range(dim // 2)
        )
    ),
)
w(
    "5.7",
    "slowest pair only",
    lambda dim, steps: (shift(dim, steps)[0][:, -2:], np.eye(dim)[:, -2:]),
)
w(
    "5.7",
    "fastest pair only",
    lambda dim, steps: (shift(dim, steps)[0][:, :2] * 100, np.eye(dim)[:, :2]),
)
r("5.7", "firm", lambda dim, steps: shift(dim, steps, gain=4000.0))

# 6.1 width 8, weights: q 96*96, k 96*32, v 96*32, out 96*96 = 9216*2+3072*2=24576; cache 64; key head 3
b61 = {"width": 8, "weights": 24576, "cache": 64, "key_head": 3}
for k_, v_ in (
    ("weights", 36864),
    ("weights", 15360),
    ("weights", 21504),
    ("cache", 32),
    ("cache", 192),
    ("cache", 8),
    ("key_head", 1),
    ("key_head", 2),
    ("key_head", 9),
    ("key_head", 4),
    ("width", 24),
    ("width", 12),
    ("weights", 12288),
):
    w("6.1", f"{k_} {v_}", (lambda K, V: lambda: b61 | {K: V})(k_, v_))
w(
    "6.1",
    "width 24 throughout",
    lambda: {"width": 24, "weights": 2 * 96 * 288 + 2 * 96 * 96, "cache": 192, "key_head": 3},
)
r("6.1", "text", lambda: {"width": "8", "weights": 24576, "cache": "64", "key_head": 3})

# 6.2
att = attnlib.attention
spl = lambda x, h: x.reshape(*x.shape[:-1], h, -1).swapaxes(-2, -3)
mrg = lambda x: x.swapaxes(-2, -3).reshape(*x.shape[:-3], x.shape[-2], -1)


def ah(split=spl, merge=mrg, a=att, end=lambda y, wo: y @ wo):
    return lambda x, wq, wk, wv, wo, heads: end(
        merge(a(split(x @ wq, heads), split(x @ wk, heads), split(x @ wv, heads))), wo
    )


r("6.2", "split", ah())
r(
    "6.2",
    "loop over slices",
    lambda x, wq, wk, wv, wo, heads: (
        np.concatenate(
            [
                att(x @ a, x @ b, x @ c)
                for a, b, c in zip(*(np.split(m, heads, axis=1) for m in (wq, wk, wv)))
            ],
            -1,
        )
        @ wo
    ),
)
w(
    "6.2",
    "sqrt(d_model)",
    lambda x, wq, wk, wv, wo, heads: ah(a=lambda q, k, v: att(q, k, v, scale=x.shape[-1] ** -0.5))(
        x, wq, wk, wv, wo, heads
    ),
)
w(
    "6.2",
    "sqrt(whole width)",
    lambda x, wq, wk, wv, wo, heads: ah(a=lambda q, k, v: att(q, k, v, scale=wq.shape[1] ** -0.5))(
        x, wq, wk, wv, wo, heads
    ),
)
w(
    "6.2",
    "split by reshape alone",
    ah(split=lambda x, h: x.reshape(*x.shape[:-2], h, x.shape[-2], -1)),
)
w("6.2", "merge by reshape alone", ah(merge=lambda x: x.reshape(*x.shape[:-3], x.shape[-2], -1)))
w(
    "6.2",
    "both by reshape alone",
    ah(
        split=lambda x, h: x.reshape(*x.shape[:-2], h, x.shape[-2], -1),
        merge=lambda x: x.reshape(*x.shape[:-3], x.shape[-2], -1),
    ),
)
w(
    "6.2",
    "heads attend to heads",
    ah(
        split=lambda x, h: x.reshape(*x.shape[:-1], h, -1),
        merge=lambda x: x.reshape(*x.shape[:-2], -1),
    ),
)
w(
    "6.2",
    "no w_out",
    lambda x, wq, wk, wv, wo, heads: ah(end=lambda y, wo_: y)(x, wq, wk, wv, wo, heads),
)
w("6.2", "one head", lambda x, wq, wk, wv, wo, heads: att(x @ wq, x @ wk, x @ wv) @ wo)
w(
    "6.2",
    "interleaved heads",
    ah(split=lambda x, h: np.moveaxis(x.reshape(*x.shape[:-1], -1, h), -1, -3)),
)
w(
    "6.2",
    "interleaved heads out and in",
    ah(
        split=lambda x, h: np.moveaxis(x.reshape(*x.shape[:-1], -1, h), -1, -3),
        merge=lambda x: np.moveaxis(x, -3, -1).reshape(*x.shape[:-3], x.shape[-2], -1),
    ),
)
w(
    "6.2",
    "heads summed",
    lambda x, wq, wk, wv, wo, heads: (
        np.concatenate(
            [
                sum(
                    att(x @ a, x @ b, x @ c)
                    for a, b, c in zip(*(np.split(m, heads, axis=1) for m in (wq, wk, wv)))
                )
            ]
            * heads,
            -1,
        )
        @ wo
    ),
)
w("6.2", "causal", ah(a=lambda q, k, v: att(q, k, v, causal=True)))
w(
    "6.2",
    "transposed weights",
    lambda x, wq, wk, wv, wo, heads: ah()(x, wq.T, wk.T, wv.T, wo.T, heads),
)
w(
    "6.2",
    "residual",
    lambda x, wq, wk, wv, wo, heads: (lambda y: y + x[..., :1])(ah()(x, wq, wk, wv, wo, heads)),
)
w(
    "6.2",
    "heads in reverse",
    lambda x, wq, wk, wv, wo, heads: (
        np.concatenate(
            [
                att(x @ a, x @ b, x @ c)
                for a, b, c in zip(*(np.split(m, heads, axis=1) for m in (wq, wk, wv)))
            ][::-1],
            -1,
        )
        @ wo
    ),
)
w("6.2", "same q for k", lambda x, wq, wk, wv, wo, heads: ah()(x, wq, wq, wv, wo, heads))
w(
    "6.2",
    "loop for one sentence (wrong axis for batch)",
    lambda x, wq, wk, wv, wo, heads: (
        np.concatenate(
            [
                att(x @ a, x @ b, x @ c)
                for a, b, c in zip(*(np.split(m, heads, axis=1) for m in (wq, wk, wv)))
            ],
            1,
        )
        @ wo
    ),
)


# 6.3
def gr(kf, vf=None):
    return lambda q, k, v: (lambda t: att(q, kf(k, t), (vf or kf)(v, t)))(
        q.shape[-3] // k.shape[-3]
    )


r("6.3", "repeat", gr(lambda k, t: np.repeat(k, t, -3)))
w(
    "6.3",
    "values still tiled",
    gr(lambda k, t: np.repeat(k, t, -3), lambda v, t: np.concatenate([v] * t, -3)),
)
w(
    "6.3",
    "keys still tiled",
    gr(lambda k, t: np.concatenate([k] * t, -3), lambda v, t: np.repeat(v, t, -3)),
)
w("6.3", "repeat along n", gr(lambda k, t: np.repeat(k, t, -2)))
w("6.3", "repeat axis 0", gr(lambda k, t: np.repeat(k, t, 0)))
w(
    "6.3",
    "tile",
    gr(
        lambda k, t: (
            np.tile(k, (t, 1, 1)) if k.ndim == 3 else np.tile(k, (1,) * (k.ndim - 3) + (t, 1, 1))
        )
    ),
)
w("6.3", "first head for all", gr(lambda k, t: np.repeat(k[..., :1, :, :], t * k.shape[-3], -3)))
w(
    "6.3",
    "mean of key heads",
    gr(lambda k, t: np.repeat(k.mean(-3, keepdims=True), t * k.shape[-3], -3)),
)
w(
    "6.3",
    "repeat by the number of kv heads",
    lambda q, k, v: att(q, np.repeat(k, k.shape[-3], -3), np.repeat(v, k.shape[-3], -3)),
)
w(
    "6.3",
    "mean over query heads of the group",
    lambda q, k, v: att(q.reshape(*q.shape[:-3], k.shape[-3], -1, *q.shape[-2:]).mean(-3), k, v),
)
w(
    "6.3",
    "queries tiled order",
    lambda q, k, v: (
        lambda t: att(
            q.reshape(*q.shape[:-3], t, k.shape[-3], *q.shape[-2:]),
            k[..., None, :, :, :],
            v[..., None, :, :, :],
        ).reshape(*q.shape[:-1], v.shape[-1])
    )(q.shape[-3] // k.shape[-3]),
)
w("6.3", "reversed groups", gr(lambda k, t: np.repeat(k[..., ::-1, :, :], t, -3)))
w("6.3", "no repetition", lambda q, k, v: att(q, k, v))
w(
    "6.3",
    "value's scale",
    lambda q, k, v: (
        lambda t: att(q, np.repeat(k, t, -3), np.repeat(v, t, -3), scale=v.shape[-1] ** -0.5)
    )(q.shape[-3] // k.shape[-3]),
)
w(
    "6.3",
    "repeat one too many at a time",
    lambda q, k, v: (
        lambda t: att(
            q,
            np.repeat(k, t + 1, -3)[..., : q.shape[-3], :, :],
            np.repeat(v, t + 1, -3)[..., : q.shape[-3], :, :],
        )
    )(q.shape[-3] // k.shape[-3]),
)

# 6.4
r("6.4", "matmul", lambda f, wo: f @ wo.reshape(f.shape[-3], f.shape[-1], -1))
w(
    "6.4",
    "interleaved rows",
    lambda f, wo: f @ wo.reshape(f.shape[-1], f.shape[-3], -1).swapaxes(0, 1),
)
w(
    "6.4",
    "summed over the heads",
    lambda f, wo: (f @ wo.reshape(f.shape[-3], f.shape[-1], -1)).sum(-3),
)
w("6.4", "first rows for all", lambda f, wo: f @ wo[: f.shape[-1]])
w(
    "6.4",
    "divided by heads",
    lambda f, wo: f @ wo.reshape(f.shape[-3], f.shape[-1], -1) / f.shape[-3],
)
w("6.4", "rows reversed", lambda f, wo: f @ wo.reshape(f.shape[-3], f.shape[-1], -1)[::-1])
w("6.4", "whole output for each", lambda f, wo: np.stack([mrg(f) @ wo] * f.shape[-3], -3))
w(
    "6.4",
    "heads axis last",
    lambda f, wo: np.moveaxis(f @ wo.reshape(f.shape[-3], f.shape[-1], -1), -3, -2),
)
w(
    "6.4",
    "merged by reshape",
    lambda f, wo: np.stack(
        [
            (f * (np.arange(f.shape[-3]) == h)[:, None, None]).reshape(
                *f.shape[:-3], f.shape[-2], -1
            )
            @ wo
            for h in range(f.shape[-3])
        ],
        -3,
    ),
)
w(
    "6.4",
    "stacked in front",
    lambda f, wo: np.stack(
        [f[..., h, :, :] @ wo.reshape(f.shape[-3], f.shape[-1], -1)[h] for h in range(f.shape[-3])]
    ),
)
w(
    "6.4",
    "columns of w_out",
    lambda f, wo: np.stack(
        [
            f[..., h, :, :] @ wo[:, h * f.shape[-1] : (h + 1) * f.shape[-1]]
            for h in range(f.shape[-3])
        ],
        -3,
    ),
)
w(
    "6.4",
    "all the others (complement)",
    lambda f, wo: (lambda p: p.sum(-3, keepdims=True) - p)(
        f @ wo.reshape(f.shape[-3], f.shape[-1], -1)
    ),
)
w(
    "6.4",
    "n as heads",
    lambda f, wo: f.swapaxes(-2, -3) @ wo.reshape(f.shape[-3], f.shape[-1], -1)[0],
)

# 6.5: a same b more c fewer d same e fewer f same?  (kinds of message: W^V_m W^O_m with one value head: still W_O_m differs -> same 8?)
right65 = dict(a="same", b="more", c="fewer", d="same", e="fewer", f="same")
for letter, word in (
    ("a", "more"),
    ("b", "same"),
    ("c", "same"),
    ("c", "more"),
    ("d", "more"),
    ("d", "fewer"),
    ("e", "same"),
    ("f", "fewer"),
    ("a", "fewer"),
):
    w("6.5", f"{letter} {word}", (lambda L, V: lambda: right65 | {L: V})(letter, word))


# 6.6
def hh(keys, labels, gain=60.0, order=(0, 1), both=False, wo=True, vkeys=False, mean=False):
    wq = np.zeros((2 * keys, 2 * keys))
    wk = np.zeros((keys, 2 * keys))
    wv = np.zeros((labels, 2 * labels))
    wout = np.eye(2 * labels)
    for h in range(2):
        src = 0 if both else order[h]
        wq[src * keys : (src + 1) * keys, h * keys : (h + 1) * keys] = gain * np.eye(keys)
        wk[:, h * keys : (h + 1) * keys] = np.eye(keys)
        wv[:, h * labels : (h + 1) * labels] = np.eye(labels)
    return wq, wk, wv, wout


r("6.6", "firm", lambda k, l: hh(k, l, 200.0))
w("6.6", "too soft", lambda k, l: hh(k, l, 5.0))
w("6.6", "heads exchanged", lambda k, l: hh(k, l, 200.0, (1, 0)))
w("6.6", "both hear the first", lambda k, l: hh(k, l, 200.0, both=True))
w(
    "6.6",
    "both hear both",
    lambda k, l: (
        lambda m: (np.concatenate([np.concatenate([200 * np.eye(k)] * 2, 1)] * 2, 0), *m[1:])
    )(hh(k, l)),
)
w("6.6", "w_out halves", lambda k, l: (*hh(k, l, 200.0)[:3], np.eye(2 * l) / 2))
w("6.6", "w_out swapped", lambda k, l: (*hh(k, l, 200.0)[:3], np.roll(np.eye(2 * l), l, 1)))
w("6.6", "w_out mixes", lambda k, l: (*hh(k, l, 200.0)[:3], np.kron(np.ones((2, 2)), np.eye(l))))
w("6.6", "negative firmness", lambda k, l: hh(k, l, -200.0))
w("6.6", "keys zero (uniform)", lambda k, l: (hh(k, l)[0], np.zeros((k, 2 * k)), *hh(k, l)[2:]))
w("6.6", "three matrices", lambda k, l: hh(k, l, 200.0)[:3])
w("6.6", "w_query for one key", lambda k, l: (hh(k, l, 200.0)[0][:k], *hh(k, l, 200.0)[1:]))
w("6.6", "second head silent", lambda k, l: (*hh(k, l, 200.0)[:3], np.diag([1.0] * l + [0.0] * l)))
w("6.6", "gain in root forgotten: ln", lambda k, l: hh(k, l, math.log(100 * k)))
w(
    "6.6",
    "values doubled",
    lambda k, l: (hh(k, l, 200.0)[0], hh(k, l)[1], 2 * hh(k, l)[2], np.eye(2 * l)),
)


# 6.7
def to(found, other, wo, head, how, rep=None, merge=mrg):
    f = found.copy()
    f[:, head] = (
        {"zero": 0, "mean": found[:, head].mean(0), "patch": other[:, head]}[how]
        if rep is None
        else rep(found, other, head, how)
    )
    return merge(f) @ wo


r("6.7", "copy", to)
w(
    "6.7",
    "mean over words",
    lambda f, o, wo, h, how: to(
        f,
        o,
        wo,
        h,
        how,
        lambda f, o, h, how: {"zero": 0, "mean": f[:, h].mean(1, keepdims=True), "patch": o[:, h]}[
            how
        ],
    ),
)
w(
    "6.7",
    "mean over all",
    lambda f, o, wo, h, how: to(
        f,
        o,
        wo,
        h,
        how,
        lambda f, o, h, how: {"zero": 0, "mean": f[:, h].mean(), "patch": o[:, h]}[how],
    ),
)
w(
    "6.7",
    "mean over questions and words",
    lambda f, o, wo, h, how: to(
        f,
        o,
        wo,
        h,
        how,
        lambda f, o, h, how: {"zero": 0, "mean": f[:, h].mean((0, 1)), "patch": o[:, h]}[how],
    ),
)
w(
    "6.7",
    "mean of the other heads",
    lambda f, o, wo, h, how: to(
        f,
        o,
        wo,
        h,
        how,
        lambda f, o, h, how: {"zero": 0, "mean": np.delete(f, h, 1).mean(1), "patch": o[:, h]}[how],
    ),
)
w(
    "6.7",
    "mean of other",
    lambda f, o, wo, h, how: to(
        f,
        o,
        wo,
        h,
        how,
        lambda f, o, h, how: {"zero": 0, "mean": o[:, h].mean(0), "patch": o[:, h]}[how],
    ),
)
w(
    "6.7",
    "writes in found",
    lambda f, o, wo, h, how: (
        f.__setitem__(
            (slice(None), h), {"zero": 0, "mean": f[:, h].mean(0), "patch": o[:, h]}[how]
        ),
        mrg(f) @ wo,
    )[1],
)
w(
    "6.7",
    "replaces question number head",
    lambda f, o, wo, h, how: (
        lambda g: (
            g.__setitem__(
                min(h, len(g) - 1),
                {"zero": 0, "mean": f[min(h, len(f) - 1)].mean(0), "patch": o[min(h, len(f) - 1)]}[
                    how
                ],
            ),
            mrg(g) @ wo,
        )[1]
    )(f.copy()),
)
w("6.7", "head from 1", lambda f, o, wo, h, how: to(f, o, wo, h - 1, how))
w(
    "6.7",
    "patches all heads but this one",
    lambda f, o, wo, h, how: (lambda g: (g.__setitem__((slice(None), h), f[:, h]), mrg(g) @ wo)[1])(
        {
            "zero": np.zeros_like(f),
            "mean": np.broadcast_to(f.mean(0), f.shape).copy(),
            "patch": o.copy(),
        }[how]
    ),
)
w(
    "6.7",
    "keeps this head alone",
    lambda f, o, wo, h, how: (lambda g: (g.__setitem__((slice(None), h), f[:, h]), mrg(g) @ wo)[1])(
        np.zeros_like(f)
    ),
)
w("6.7", "difference of outputs", lambda f, o, wo, h, how: mrg(f) @ wo - to(f, o, wo, h, how))
w(
    "6.7",
    "patch from the first question only",
    lambda f, o, wo, h, how: to(
        f,
        o,
        wo,
        h,
        how,
        lambda f, o, h, how: {"zero": 0, "mean": f[:, h].mean(0), "patch": o[0, h]}[how],
    ),
)
w(
    "6.7",
    "merge by reshape",
    lambda f, o, wo, h, how: to(
        f, o, wo, h, how, merge=lambda x: x.reshape(*x.shape[:-3], x.shape[-2], -1)
    ),
)
w(
    "6.7",
    "patch everything of other",
    lambda f, o, wo, h, how: mrg(o) @ wo if how == "patch" else to(f, o, wo, h, how),
)
w("6.7", "zero always", lambda f, o, wo, h, how: to(f, o, wo, h, "zero"))


# 6.8
def wa(mask=lambda s: s[..., None, None, :], a=att, split=spl, merge=mrg):
    return lambda x, p, wq, wk, wv, wo, heads, seen: (
        merge(a(split(x @ wq, heads), split(p @ wk, heads), split(p @ wv, heads), mask=mask(seen)))
        @ wo
    )


r("6.8", "mask with two axes", wa())
w("6.8", "mask one axis", wa(lambda s: s[..., None, :]))
w("6.8", "mask as it is", wa(lambda s: s))
w("6.8", "inverted", wa(lambda s: ~s[..., None, None, :]))
w("6.8", "no mask", wa(lambda s: None))
w(
    "6.8",
    "values from words",
    lambda x, p, wq, wk, wv, wo, heads, seen: (
        mrg(
            att(
                spl(x @ wq, heads),
                spl(p @ wk, heads),
                spl(x @ wk, heads),
                mask=seen[..., None, None, :],
            )
        )
        @ wo
    ),
)
w(
    "6.8",
    "patches ask",
    lambda x, p, wq, wk, wv, wo, heads, seen: (
        mrg(att(spl(p @ wk, heads), spl(x @ wq, heads), spl(x @ wq, heads))) @ wo
    ),
)
w(
    "6.8",
    "zeros patches",
    lambda x, p, wq, wk, wv, wo, heads, seen: wa(lambda s: None)(
        x, p * seen[..., None], wq, wk, wv, wo, heads, seen
    ),
)
w(
    "6.8",
    "sqrt(d)",
    lambda x, p, wq, wk, wv, wo, heads, seen: wa(
        a=lambda q, k, v, mask: att(q, k, v, mask=mask, scale=x.shape[-1] ** -0.5)
    )(x, p, wq, wk, wv, wo, heads, seen),
)
w(
    "6.8",
    "sqrt(whole)",
    lambda x, p, wq, wk, wv, wo, heads, seen: wa(
        a=lambda q, k, v, mask: att(q, k, v, mask=mask, scale=wq.shape[1] ** -0.5)
    )(x, p, wq, wk, wv, wo, heads, seen),
)
w("6.8", "merge reshape", wa(merge=lambda x: x.reshape(*x.shape[:-3], x.shape[-2], -1)))
w("6.8", "split reshape", wa(split=lambda x, h: x.reshape(*x.shape[:-2], h, x.shape[-2], -1)))
w(
    "6.8",
    "one head",
    lambda x, p, wq, wk, wv, wo, heads, seen: (
        att(x @ wq, p @ wk, p @ wv, mask=seen[..., None, :]) @ wo
    ),
)
w(
    "6.8",
    "-1e9",
    lambda x, p, wq, wk, wv, wo, heads, seen: (
        mrg(
            sm(
                np.where(
                    seen[..., None, None, :],
                    spl(x @ wq, heads) @ T(spl(p @ wk, heads)) / (wq.shape[1] // heads) ** 0.5,
                    -1e9,
                )
            )
            @ spl(p @ wv, heads)
        )
        @ wo
    ),
)
w(
    "6.8",
    "NaN when none seen",
    lambda x, p, wq, wk, wv, wo, heads, seen: (
        mrg(
            sm(
                np.where(
                    seen[..., None, None, :],
                    spl(x @ wq, heads) @ T(spl(p @ wk, heads)) / (wq.shape[1] // heads) ** 0.5,
                    -np.inf,
                )
            )
            @ spl(p @ wv, heads)
        )
        @ wo
    ),
)
w("6.8", "patches seen by index of words", wa(lambda s: s[..., None, :, None]))
w("6.8", "causal", wa(a=lambda q, k, v, mask: att(q, k, v, mask=mask, causal=True)))
w("6.8", "interleaved", wa(split=lambda x, h: np.moveaxis(x.reshape(*x.shape[:-1], -1, h), -1, -3)))

# 6.9
w("6.9", "all the same pair", lambda: {k: ((1, 32), (4, 8)) for k in ("flip", "number", "width")})
w(
    "6.9",
    "number varies both",
    lambda: {"flip": ((1, 4), (4, 32)), "number": ((1, 32), (4, 8)), "width": ((1, 4), (1, 32))},
)
w(
    "6.9",
    "width varies heads",
    lambda: {"flip": ((1, 4), (4, 32)), "number": ((1, 8), (4, 8)), "width": ((1, 4), (4, 4))},
)
w(
    "6.9",
    "flip with fewer heads",
    lambda: {"flip": ((4, 32), (1, 4)), "number": ((1, 8), (4, 8)), "width": ((1, 4), (1, 32))},
)
w(
    "6.9",
    "not trained: 8 heads",
    lambda: {"flip": ((1, 4), (8, 32)), "number": ((1, 8), (4, 8)), "width": ((1, 4), (1, 32))},
)
w(
    "6.9",
    "width then heads",
    lambda: {"flip": ((4, 1), (32, 4)), "number": ((8, 1), (8, 4)), "width": ((4, 1), (32, 1))},
)
w(
    "6.9",
    "the chapter's pair as flip",
    lambda: {"flip": ((1, 32), (4, 8)), "number": ((1, 8), (4, 8)), "width": ((1, 4), (1, 32))},
)
w("6.9", "three numbers", lambda: {"flip": 1, "number": 2, "width": 3})
w(
    "6.9",
    "width hardly differs",
    lambda: {"flip": ((1, 4), (4, 32)), "number": ((1, 8), (4, 8)), "width": ((1, 16), (1, 32))},
)
r(
    "6.9",
    "4 against 32",
    lambda: {"flip": [[1, 4], [4, 32]], "number": [[1, 16], [2, 16]], "width": [[1, 4], [1, 32]]},
)
