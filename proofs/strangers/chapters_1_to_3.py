"""Chapters 1 to 3: answers written from the statements alone."""

import math

import numpy as np

import attnlib
from attnlib import softmax

from . import R, T, W, r, sm, w

# 1.1: scores 0, 2ln3/2=ln3, 2ln4/2=ln4 -> weights 1/8,3/8,4/8; output 1+0+2=3, 6+2=8
w(
    "1.1",
    "forgets the scale",
    lambda: {"weights": [1 / 26, 9 / 26, 16 / 26], "output": [(8 + 64) / 26, (9 * 16 + 64) / 26]},
)
w(
    "1.1",
    "only weights right, output unweighted sum",
    lambda: {"weights": [1 / 8, 3 / 8, 1 / 2], "output": [12, 20]},
)
w(
    "1.1",
    "scores instead of weights",
    lambda: {
        "weights": [0, math.log(3), math.log(4)],
        "output": [4 * math.log(4), 16 * math.log(3) + 4 * math.log(4)],
    },
)
w("1.1", "mean of the values", lambda: {"weights": [1 / 8, 3 / 8, 1 / 2], "output": [4, 20 / 3]})
w("1.1", "best key's value only", lambda: {"weights": [1 / 8, 3 / 8, 1 / 2], "output": [4, 4]})
w(
    "1.1",
    "divides by d_k = 4",
    lambda: (
        lambda a: {"weights": list(a), "output": list(a @ np.array([[8, 0], [0, 16], [4, 4.0]]))}
    )(sm(np.array([0, 2 * math.log(3), 2 * math.log(4)]) / 4)),
)
w(
    "1.1",
    "divides by root of three keys",
    lambda: (
        lambda a: {"weights": list(a), "output": list(a @ np.array([[8, 0], [0, 16], [4, 4.0]]))}
    )(sm(np.array([0, 2 * math.log(3), 2 * math.log(4)]) / 3**0.5)),
)
w(
    "1.1",
    "exponentials not divided by their sum",
    lambda: {"weights": [1, 3, 4], "output": [24, 64]},
)
w(
    "1.1",
    "second number of output forgotten a term",
    lambda: {"weights": [1 / 8, 3 / 8, 1 / 2], "output": [3, 6]},
)
w("1.1", "weights in percent", lambda: {"weights": [12.5, 37.5, 50], "output": [3, 8]})
r("1.1", "fractions", lambda: {"weights": ["1/8", "3/8", "1/2"], "output": [3, 8]})
r("1.1", "arrays", lambda: {"weights": np.array([1, 3, 4]) / 8, "output": np.array([[3, 8]])[0]})

# 1.2
w(
    "1.2",
    "only the sum's axis mended",
    lambda q, k, v: (lambda p: p / p.sum(-1, keepdims=True) @ v)(
        np.exp(q @ T(k) / np.sqrt(k.shape[1]))
    ),
)
w(
    "1.2",
    "only the scale mended",
    lambda q, k, v: (lambda p: p / p.sum(axis=1, keepdims=True) @ v)(
        np.exp(q @ T(k) / np.sqrt(k.shape[-1]))
    ),
)
w("1.2", "scale of the values' width", lambda q, k, v: sm(q @ T(k) / np.sqrt(v.shape[-1])) @ v)
w("1.2", "softmax over queries", lambda q, k, v: sm(q @ T(k) / np.sqrt(k.shape[-1]), axis=-2) @ v)
w("1.2", "scale removed", lambda q, k, v: sm(q @ T(k)) @ v)
w(
    "1.2",
    "axis=2 for batches (breaks for one sentence)",
    lambda q, k, v: (lambda p: p / p.sum(axis=2, keepdims=True) @ v)(
        np.exp(q @ T(k) / np.sqrt(k.shape[2]))
    ),
)
w(
    "1.2",
    "sum without keepdims",
    lambda q, k, v: (lambda p: p / p.sum(-1) @ v)(np.exp(q @ T(k) / np.sqrt(k.shape[-1]))),
)
w(
    "1.2",
    "sum over all",
    lambda q, k, v: (lambda p: p / p.sum() @ v)(np.exp(q @ T(k) / np.sqrt(k.shape[-1]))),
)
w(
    "1.2",
    "reshapes batch away",
    lambda q, k, v: (
        sm(q.reshape(-1, q.shape[-1]) @ k.reshape(-1, k.shape[-1]).T / np.sqrt(k.shape[-1]))
        @ v.reshape(-1, v.shape[-1])
    ),
)
w(
    "1.2",
    "one loop over the batch, heads forgotten",
    lambda q, k, v: (
        sm(q @ T(k) / np.sqrt(k.shape[-1])) @ v
        if q.ndim < 4
        else np.stack([sm(a @ T(b) / np.sqrt(b.shape[1])) @ c for a, b, c in zip(q, k, v)])
    ),
)
r(
    "1.2",
    "einsum",
    lambda q, k, v: np.einsum(
        "...ij,...jd->...id", sm(np.einsum("...id,...jd->...ij", q, k) / k.shape[-1] ** 0.5), v
    ),
)
r("1.2", "softmax of attnlib", lambda q, k, v: softmax(q @ T(k) / k.shape[-1] ** 0.5) @ v)


# 1.3
def sa(f):
    return lambda x, wq, wk, wv: f(x @ wq, x @ wk, x @ wv)


w("1.3", "scale sqrt(d_v)", sa(lambda q, k, v: sm(q @ T(k) / v.shape[-1] ** 0.5) @ v))
w("1.3", "scale sqrt(8)", sa(lambda q, k, v: sm(q @ T(k) / 8**0.5) @ v))
w(
    "1.3",
    "mean of V",
    sa(lambda q, k, v: np.broadcast_to(v.mean(-2, keepdims=True), v.shape) + 0 * q[..., :1]),
)
r(
    "1.3",
    "float16",
    sa(
        lambda q, k, v: (
            sm((q @ T(k) / k.shape[-1] ** 0.5).astype(np.float16)) @ v.astype(np.float16)
        )
    ),
)
w(
    "1.3",
    "scale sqrt(d) of x",
    lambda x, wq, wk, wv: sm(x @ wq @ T(x @ wk) / x.shape[-1] ** 0.5) @ (x @ wv),
)
w("1.3", "scale sqrt(n)", sa(lambda q, k, v: sm(q @ T(k) / k.shape[-2] ** 0.5) @ v))
w(
    "1.3",
    "naive exp",
    sa(
        lambda q, k, v: (lambda p: p / p.sum(-1, keepdims=True) @ v)(
            np.exp(q @ T(k) / k.shape[-1] ** 0.5)
        )
    ),
)
w(
    "1.3",
    "top of everything subtracted",
    sa(
        lambda q, k, v: (
            lambda s: (lambda p: p / p.sum(-1, keepdims=True) @ v)(np.exp(s - s.max()))
        )(q @ T(k) / k.shape[-1] ** 0.5)
    ),
)
w("1.3", "adds x (residual)", sa(lambda q, k, v: sm(q @ T(k) / k.shape[-1] ** 0.5) @ v + v))
w("1.3", "exchanges q and k", sa(lambda q, k, v: sm(k @ T(q) / k.shape[-1] ** 0.5) @ v))
w(
    "1.3",
    "values not projected",
    lambda x, wq, wk, wv: sm(x @ wq @ T(x @ wk) / wk.shape[-1] ** 0.5) @ x,
)
w("1.3", ".T on a batch", sa(lambda q, k, v: sm(q @ k.T / k.shape[-1] ** 0.5) @ v))
w(
    "1.3",
    "rectified scores",
    sa(lambda q, k, v: sm(np.maximum(q @ T(k), 0) / k.shape[-1] ** 0.5) @ v),
)
w(
    "1.3",
    "clips scores at 50",
    sa(
        lambda q, k, v: (lambda p: p / p.sum(-1, keepdims=True) @ v)(
            np.exp(np.clip(q @ T(k) / k.shape[-1] ** 0.5, -50, 50))
        )
    ),
)
w("1.3", "softmax of the output too", sa(lambda q, k, v: sm(sm(q @ T(k) / k.shape[-1] ** 0.5) @ v)))
w(
    "1.3",
    "causal",
    sa(
        lambda q, k, v: (
            sm(np.where(np.tri(q.shape[-2], dtype=bool), q @ T(k) / k.shape[-1] ** 0.5, -np.inf))
            @ v
        )
    ),
)
r(
    "1.3",
    "one matrix wq wk^T",
    lambda x, wq, wk, wv: softmax(x @ (wq @ wk.T) @ T(x) / wq.shape[-1] ** 0.5) @ x @ wv,
)


# 1.4
def look(f):
    return lambda queries, keys, values, width: f(queries[:, None] - keys[None, :], values, width)


w("1.4", "width not squared", look(lambda d, v, s: softmax(-(d**2) / (2 * s)) @ v))
w("1.4", "no factor 2", look(lambda d, v, s: softmax(-(d**2) / s**2) @ v))
w("1.4", "sign forgotten", look(lambda d, v, s: softmax(d**2 / (2 * s**2)) @ v))
w("1.4", "distance not squared", look(lambda d, v, s: softmax(-abs(d) / s) @ v))
w("1.4", "abs distance over 2 s^2", look(lambda d, v, s: softmax(-abs(d) / (2 * s**2)) @ v))
w(
    "1.4",
    "naive exp",
    look(lambda d, v, s: (lambda p: p @ v / p.sum(-1))(np.exp(-(d**2) / (2 * s**2)))),
)
w(
    "1.4",
    "naive exp with epsilon",
    look(lambda d, v, s: (lambda p: p @ v / (p.sum(-1) + 1e-12))(np.exp(-(d**2) / (2 * s**2)))),
)
w("1.4", "softmax over queries", look(lambda d, v, s: softmax(-(d**2) / (2 * s**2), axis=0) @ v))
w("1.4", "hard look-up", look(lambda d, v, s: v[abs(d).argmin(1)]))
w("1.4", "dot product scores", lambda q, k, v, s: softmax(q[:, None] * k / s) @ v)
w("1.4", "not normalised", look(lambda d, v, s: np.exp(-(d**2) / (2 * s**2)) @ v))
w(
    "1.4",
    "nan to zero",
    look(
        lambda d, v, s: np.nan_to_num((lambda p: p @ v / p.sum(-1))(np.exp(-(d**2) / (2 * s**2))))
    ),
)
r(
    "1.4",
    "logs",
    look(
        lambda d, v, s: np.array(
            [np.sum(np.exp(r_ - np.logaddexp.reduce(r_)) * v) for r_ in -(d**2) / (2 * s**2)]
        )
    ),
)

# 1.5
w("1.5", "no tanh", lambda q, k, wq, wk, v: ((q @ wq)[:, None] + (k @ wk)[None]) @ v)
w(
    "1.5",
    "weights instead of scores",
    lambda q, k, wq, wk, v: softmax(np.tanh((q @ wq)[:, None] + (k @ wk)[None]) @ v),
)
w(
    "1.5",
    "tanh of each",
    lambda q, k, wq, wk, v: (np.tanh(q @ wq)[:, None] + np.tanh(k @ wk)[None]) @ v,
)
w(
    "1.5",
    "product instead of sum",
    lambda q, k, wq, wk, v: np.tanh((q @ wq)[:, None] * (k @ wk)[None]) @ v,
)
w("1.5", "transposed", lambda q, k, wq, wk, v: (np.tanh((q @ wq)[:, None] + (k @ wk)[None]) @ v).T)
w(
    "1.5",
    "scaled by root d_a",
    lambda q, k, wq, wk, v: np.tanh((q @ wq)[:, None] + (k @ wk)[None]) @ v / len(v) ** 0.5,
)
w("1.5", "tanh after v", lambda q, k, wq, wk, v: np.tanh(((q @ wq)[:, None] + (k @ wk)[None]) @ v))
w("1.5", "relu", lambda q, k, wq, wk, v: np.maximum((q @ wq)[:, None] + (k @ wk)[None], 0) @ v)
w("1.5", "no v, sum", lambda q, k, wq, wk, v: np.tanh((q @ wq)[:, None] + (k @ wk)[None]).sum(-1))
w("1.5", "difference", lambda q, k, wq, wk, v: np.tanh((q @ wq)[:, None] - (k @ wk)[None]) @ v)
w("1.5", "no axes put in", lambda q, k, wq, wk, v: np.tanh(q @ wq + k @ wk) @ v)
w(
    "1.5",
    "v inside as elementwise",
    lambda q, k, wq, wk, v: np.tanh(((q @ wq)[:, None] + (k @ wk)[None]) * v).sum(-1),
)

# 1.6: a different, b same, c different, d same, e same, f same
right16 = dict(a="different", b="same", c="different", d="same", e="same", f="same")
for letters in ("a", "b", "c", "d", "e", "f", "bc", "ef", "abc"):
    w(
        "1.6",
        "flipped " + letters,
        (
            lambda L: (
                lambda: {
                    k: ({"same": "different", "different": "same"}[v] if k in L else v)
                    for k, v in right16.items()
                }
            )
        )(letters),
    )
w("1.6", "yes and no", lambda: {k: "yes" if v == "same" else "no" for k, v in right16.items()})
r("1.6", "with spaces and stop", lambda: {k: v.capitalize() + ". " for k, v in right16.items()})


# 1.7
@W("1.7", "log(share) instead of logit")
def _(keys, index, share):
    return (
        np.linalg.pinv(keys) @ (np.eye(len(keys))[index] * math.log(share)) * keys.shape[1] ** 0.5
    )


@W("1.7", "logit without the others' count")
def _(keys, index, share):
    return (
        np.linalg.pinv(keys)
        @ (np.eye(len(keys))[index] * math.log(share / (1 - share)))
        * keys.shape[1] ** 0.5
    )


@W("1.7", "abs of the log")
def _(keys, index, share):
    return (
        np.linalg.pinv(keys)
        @ (np.eye(len(keys))[index] * abs(math.log(share * (len(keys) - 1) / (1 - share))))
        * keys.shape[1] ** 0.5
    )


@W("1.7", "forgets the scale")
def _(keys, index, share):
    return np.linalg.pinv(keys) @ (
        np.eye(len(keys))[index] * math.log(share * (len(keys) - 1) / (1 - share))
    )


@W("1.7", "counts n instead of n-1")
def _(keys, index, share):
    return (
        np.linalg.pinv(keys)
        @ (np.eye(len(keys))[index] * math.log(share * len(keys) / (1 - share)))
        * keys.shape[1] ** 0.5
    )


@W("1.7", "along the key itself")
def _(keys, index, share):
    k = keys[index]
    return k / (k @ k) * math.log(share * (len(keys) - 1) / (1 - share)) * keys.shape[1] ** 0.5


@W("1.7", "divides by the root instead of times")
def _(keys, index, share):
    return (
        np.linalg.pinv(keys)
        @ (np.eye(len(keys))[index] * math.log(share * (len(keys) - 1) / (1 - share)))
        / keys.shape[1] ** 0.5
    )


@W("1.7", "the key times the share")
def _(keys, index, share):
    return keys[index] * share


@W("1.7", "index from 1")
def _(keys, index, share):
    return (
        np.linalg.pinv(keys)
        @ (np.eye(len(keys))[index - 1] * math.log(share * (len(keys) - 1) / (1 - share)))
        * keys.shape[1] ** 0.5
    )


@W("1.7", "transposed pinv, gives n_k numbers")
def _(keys, index, share):
    return np.linalg.pinv(keys).T @ np.eye(keys.shape[1])[0] * share


@W("1.7", "never below even share (max 0)")
def _(keys, index, share):
    return (
        np.linalg.pinv(keys)
        @ (np.eye(len(keys))[index] * max(0, math.log(share * (len(keys) - 1) / (1 - share))))
        * keys.shape[1] ** 0.5
    )


@W("1.7", "solves for logits share instead of log: scores = share")
def _(keys, index, share):
    return np.linalg.pinv(keys) @ (np.eye(len(keys))[index] * share) * keys.shape[1] ** 0.5


@R("1.7", "log shares, even rest")
def _(keys, index, share):
    s = np.full(len(keys), math.log((1 - share) / (len(keys) - 1)))
    s[index] = math.log(share)
    return np.linalg.lstsq(keys, s, rcond=None)[0] * keys.shape[1] ** 0.5


# 1.8
w("1.8", "all zeros", lambda: (np.zeros((2, 2), int), np.zeros((3, 2), int), np.zeros((3, 2), int)))
r(
    "1.8",
    "one query only (softmax over queries gives ones)",
    lambda: (
        np.array([[2, 1, 0, 1]]),
        np.array([[1, 0, 0, 1], [0, 1, 1, 0]]),
        np.array([[9, 0], [0, 9]]),
    ),
)
w(
    "1.8",
    "floats with halves",
    lambda: (
        np.array([[0.5, 1], [1, 0]]),
        np.array([[1, 0], [0, 1], [1, 1]]),
        np.array([[9, 0], [0, 9], [4, 4]]),
    ),
)
w(
    "1.8",
    "out of range",
    lambda: (
        np.array([[3, 1], [1, 0]]),
        np.array([[1, 0], [0, 1], [1, 1]]),
        np.array([[9, 0], [0, 9], [4, 4]]),
    ),
)
w(
    "1.8",
    "width 1: scales all alike",
    lambda: (np.array([[2], [1]]), np.array([[1], [-1], [0]]), np.array([[9, 0], [0, 9], [4, 4]])),
)
w(
    "1.8",
    "values all alike",
    lambda: (np.array([[2, 1], [1, 0]]), np.array([[1, 0], [0, 1], [1, 1]]), np.full((3, 2), 5)),
)
w(
    "1.8",
    "equal keys",
    lambda: (
        np.array([[2, 1], [1, 0]]),
        np.array([[1, 1], [1, 1], [1, 1]]),
        np.array([[9, 0], [0, 9], [4, 4]]),
    ),
)
w(
    "1.8",
    "large scores",
    lambda: (
        np.full((2, 16), 2),
        np.array([[2] * 16, [-2] * 16, [0] * 16]),
        np.array([[9, 0], [0, 9], [4, 4]]),
    ),
)
w(
    "1.8",
    "zero queries",
    lambda: (
        np.zeros((2, 4), int),
        np.array([[1, 0, 0, 1], [0, 1, 1, 0]]),
        np.array([[9, 0], [0, 9]]),
    ),
)
w(
    "1.8",
    "a single key",
    lambda: (np.array([[1, 0, 1, 0], [0, 1, 0, 0]]), np.array([[1, 0, 0, 1]]), np.array([[9, 0]])),
)
r(
    "1.8",
    "lists of lists",
    lambda: (
        [[1, 0, 1, 0], [0, 1, 0, 0]],
        [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]],
        [[9, 0], [0, 9], [0, 0]],
    ),
)

# 1.9
w(
    "1.9",
    "midpoint but index wrong",
    lambda: (np.array([[0.0, 0, 0, 0], [2, 0, 0, 0], [1, 0, 0, 0]]), 0, np.array([0.5, 0.5, 0])),
)
w(
    "1.9",
    "as many keys as features",
    lambda: (np.array([[0.0, 0, 0], [2, 0, 0], [1, 0, 0]]), 2, np.array([0.5, 0.5, 0])),
)
w(
    "1.9",
    "two keys alike",
    lambda: (np.array([[1.0, 0, 0, 0], [1, 0, 0, 0]]), 1, np.array([1.0, 0])),
)
w(
    "1.9",
    "negative certificate",
    lambda: (np.array([[0.0, 0, 0, 0], [2, 0, 0, 0], [4, 0, 0, 0]]), 2, np.array([-1, 2.0, 0])),
)
w(
    "1.9",
    "certificate includes itself",
    lambda: (np.array([[0.0, 0, 0, 0], [2, 0, 0, 0], [1, 0, 0, 0]]), 2, np.array([0, 0, 1.0])),
)
w(
    "1.9",
    "certificate sum not 1",
    lambda: (np.array([[0.0, 0, 0, 0], [2, 0, 0, 0], [1, 0, 0, 0]]), 2, np.array([1, 0.5, 0])),
)
w(
    "1.9",
    "does not mix to the key",
    lambda: (np.array([[0.0, 0, 0, 0], [2, 0, 0, 0], [1.5, 0, 0, 0]]), 2, np.array([0.5, 0.5, 0])),
)
w("1.9", "keys only", lambda: np.array([[0.0, 0, 0, 0], [2, 0, 0, 0], [1, 0, 0, 0]]))
w("1.9", "independent keys", lambda: (np.eye(3, 5), 0, np.array([0, 0.5, 0.5])))
w(
    "1.9",
    "a zero key, certificate of nothing",
    lambda: (np.array([[0.0, 0, 0], [1, 0, 0]]), 0, np.array([0, 0.0])),
)
r("1.9", "line of three", lambda: ([[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2]], 1, [0.5, 0, 0.5]))

# 2.1: var = 32*2*1/4 = 16, spread 4, scale 1/4
w("2.1", "no width", lambda: {"variance": 0.5, "spread": 0.5**0.5, "scale": 2**0.5})
w("2.1", "sum of variances", lambda: {"variance": 32 * 2.25, "spread": 72**0.5, "scale": 72**-0.5})
w("2.1", "scale 1/sqrt(d_k)", lambda: {"variance": 16, "spread": 4, "scale": 32**-0.5})
w("2.1", "scale = spread", lambda: {"variance": 16, "spread": 4, "scale": 4})
w("2.1", "scale 1/variance", lambda: {"variance": 16, "spread": 4, "scale": 1 / 16})
w("2.1", "spread = variance/2", lambda: {"variance": 16, "spread": 8, "scale": 1 / 8})
w(
    "2.1",
    "squares the variances",
    lambda: {"variance": 32 * 4 / 16, "spread": 8**0.5, "scale": 8**-0.5},
)
w(
    "2.1",
    "d_k = 32 squared: 32^2*...",
    lambda: {"variance": 512, "spread": 512**0.5, "scale": 512**-0.5},
)
w(
    "2.1",
    "roots: spreads multiplied by width",
    lambda: {
        "variance": (32 * (2**0.5) * 0.5) ** 2,
        "spread": 32 * 2**0.5 * 0.5,
        "scale": 1 / (32 * 2**0.5 * 0.5),
    },
)
r("2.1", "text fraction", lambda: {"variance": 16, "spread": "4", "scale": "1/4"})


# 2.2
def heads22(f, qk=lambda x, m, heads: (x @ m).reshape(len(x), heads, -1).swapaxes(0, 1)):
    return lambda x, wq, wk, heads: f(qk(x, wq, heads), qk(x, wk, heads), x, heads)


w("2.2", "dim / heads", heads22(lambda q, k, x, h: softmax(q @ T(k) / np.sqrt(x.shape[1] / h))))
w(
    "2.2",
    "sqrt(width)",
    lambda x, wq, wk, heads: (lambda q, k: softmax(q @ T(k) / np.sqrt(wq.shape[1])))(
        (x @ wq).reshape(len(x), heads, -1).swapaxes(0, 1),
        (x @ wk).reshape(len(x), heads, -1).swapaxes(0, 1),
    ),
)
w("2.2", "sqrt(heads)", heads22(lambda q, k, x, h: softmax(q @ T(k) / np.sqrt(h))))
w("2.2", "d_head unrooted", heads22(lambda q, k, x, h: softmax(q @ T(k) / q.shape[-1])))
w("2.2", "no scale", heads22(lambda q, k, x, h: softmax(q @ T(k))))
w(
    "2.2",
    "reshape to heads first",
    heads22(
        lambda q, k, x, h: softmax(q @ T(k) / q.shape[-1] ** 0.5),
        lambda x, m, heads: (x @ m).reshape(heads, len(x), -1),
    ),
)
w("2.2", "sqrt(n)", heads22(lambda q, k, x, h: softmax(q @ T(k) / np.sqrt(len(x)))))
w(
    "2.2",
    "interleaved heads",
    heads22(
        lambda q, k, x, h: softmax(q @ T(k) / q.shape[-1] ** 0.5),
        lambda x, m, heads: (x @ m).reshape(len(x), -1, heads).transpose(2, 0, 1),
    ),
)
w(
    "2.2",
    "over the wrong axis",
    heads22(lambda q, k, x, h: softmax(q @ T(k) / q.shape[-1] ** 0.5, axis=-2)),
)
w(
    "2.2",
    "averaged over heads",
    heads22(lambda q, k, x, h: softmax(q @ T(k) / q.shape[-1] ** 0.5).mean(0)),
)
w("2.2", "scale times instead", heads22(lambda q, k, x, h: softmax(q @ T(k) * q.shape[-1] ** 0.5)))


# 2.3
def j23(f):
    return lambda query, key, scale: f(softmax(key @ query * scale), key, scale, query)


w("2.3", "no scale", j23(lambda a, k, s, q: (np.diag(a) - np.outer(a, a)) @ k))
w("2.3", "diagonal only", j23(lambda a, k, s, q: s * np.diag(a * (1 - a)) @ k))
w("2.3", "no outer product", j23(lambda a, k, s, q: s * np.diag(a) @ k))
w("2.3", "transposed", j23(lambda a, k, s, q: (s * (np.diag(a) - np.outer(a, a)) @ k).T))
w("2.3", "the Jacobian by the scores", j23(lambda a, k, s, q: np.diag(a) - np.outer(a, a)))
w("2.3", "sign", j23(lambda a, k, s, q: s * (np.outer(a, a) - np.diag(a)) @ k))
w(
    "2.3",
    "by the key (query instead of key)",
    j23(lambda a, k, s, q: s * (np.diag(a) - np.outer(a, a)) @ np.tile(q, (len(k), 1))),
)
w(
    "2.3",
    "softmax without scale, then scale",
    lambda q, k, s: (lambda a: s * (np.diag(a) - np.outer(a, a)) @ k)(softmax(k @ q)),
)
w("2.3", "divides by scale", j23(lambda a, k, s, q: (np.diag(a) - np.outer(a, a)) @ k / s))
w(
    "2.3",
    "mean of keys instead of weighted",
    j23(lambda a, k, s, q: s * a[:, None] * (k - k.mean(0))),
)
w(
    "2.3",
    "naive exp",
    lambda q, k, s: (lambda e: (lambda a: s * (np.diag(a) - np.outer(a, a)) @ k)(e / e.sum()))(
        np.exp(k @ q * s)
    ),
)
w("2.3", "scale twice", j23(lambda a, k, s, q: s * s * (np.diag(a) - np.outer(a, a)) @ k))
w(
    "2.3",
    "numeric difference with 1e-2",
    lambda q, k, s: np.stack(
        [(softmax(k @ (q + 0.01 * e) * s) - softmax(k @ q * s)) / 0.01 for e in np.eye(len(q))], 1
    ),
)
r("2.3", "centred", j23(lambda a, k, s, q: s * a[:, None] * (k - a @ k)))


# 2.4
def n24(n):
    return lambda q, k, g: softmax(g * n(q) @ T(n(k)))


nrm = lambda x: np.linalg.norm(x, axis=-1, keepdims=True)
w("2.4", "unguarded", n24(lambda x: x / nrm(x)))
w("2.4", "norm of all", n24(lambda x: x / max(np.linalg.norm(x), 1e-12)))
w("2.4", "epsilon 1e-2 added", n24(lambda x: x / (nrm(x) + 1e-2)))
w("2.4", "rms", n24(lambda x: x / np.sqrt(np.maximum((x**2).mean(-1, keepdims=True), 1e-24))))
w("2.4", "squared norm", n24(lambda x: x / np.maximum((x**2).sum(-1, keepdims=True), 1e-12)))
w("2.4", "L1", n24(lambda x: x / np.maximum(abs(x).sum(-1, keepdims=True), 1e-12)))
w(
    "2.4",
    "g divides",
    lambda q, k, g: (lambda n: softmax(n(q) @ T(n(k)) / g))(
        lambda x: x / np.maximum(nrm(x), 1e-12)
    ),
)
w(
    "2.4",
    "also sqrt(d_k)",
    lambda q, k, g: (lambda n: softmax(g * n(q) @ T(n(k)) / q.shape[-1] ** 0.5))(
        lambda x: x / np.maximum(nrm(x), 1e-12)
    ),
)
w(
    "2.4",
    "g twice",
    lambda q, k, g: (lambda n: softmax(g * g * n(q) @ T(n(k))))(
        lambda x: x / np.maximum(nrm(x), 1e-12)
    ),
)
w(
    "2.4",
    "only the keys",
    lambda q, k, g: (lambda n: softmax(g * q @ T(n(k))))(lambda x: x / np.maximum(nrm(x), 1e-12)),
)
w(
    "2.4",
    "over the sequence",
    n24(lambda x: x / np.maximum(np.linalg.norm(x, axis=-2, keepdims=True), 1e-12)),
)
w(
    "2.4",
    "mean taken away first",
    n24(lambda x: (lambda y: y / np.maximum(nrm(y), 1e-12))(x - x.mean(-1, keepdims=True))),
)
w(
    "2.4",
    "no g",
    lambda q, k, g: (lambda n: softmax(n(q) @ T(n(k))))(lambda x: x / np.maximum(nrm(x), 1e-12)),
)
w(
    "2.4",
    "zero vectors become a first unit vector",
    n24(
        lambda x: np.where(nrm(x) > 0, x / np.where(nrm(x) > 0, nrm(x), 1), np.eye(x.shape[-1])[0])
    ),
)
w(
    "2.4",
    "guards queries only",
    lambda q, k, g: softmax(g * (q / np.maximum(nrm(q), 1e-12)) @ T(k / nrm(k))),
)

# 2.5: a same, b ?, c sharper,...  b: zeros added and scale by root of width 256 -> flatter; c: dot doubles, /sqrt(128) -> sharper by sqrt2; d same; e flatter; f sharper
right25 = dict(a="same", b="flatter", c="sharper", d="same", e="flatter", f="sharper")
for letter, word in (
    ("a", "sharper"),
    ("b", "same"),
    ("c", "same"),
    ("d", "sharper"),
    ("e", "same"),
    ("e", "sharper"),
    ("f", "same"),
    ("f", "flatter"),
    ("c", "flatter"),
):
    w("2.5", letter + " " + word, (lambda L, V: lambda: right25 | {L: V})(letter, word))
w("2.5", "b and c same", lambda: right25 | dict(b="same", c="same"))
r("2.5", "capitals", lambda: {k: v.upper() for k, v in right25.items()})

# 2.6: cos 1 for one, -1 for nine: e^g/(e^g+9e^-g) = 3/(3+3)=1/2 ; g for .9: e^{2g}=81 -> g = ln 9
w("2.6", "others at 0", lambda: {"weight": 3 / 12, "g": math.log(81)})
w("2.6", "ten others", lambda: {"weight": 3 / (3 + 10 / 3), "g": math.log(90) / 2})
w("2.6", "forgets half", lambda: {"weight": 0.5, "g": math.log(81)})
w("2.6", "e^g only", lambda: {"weight": 3 / 12, "g": math.log(9)})
w("2.6", "weight 1", lambda: {"weight": 1, "g": math.log(9)})
w("2.6", "sigmoid: one against one", lambda: {"weight": 0.9, "g": math.log(9) / 2})
w("2.6", "swapped numbers", lambda: {"weight": 0.5, "g": math.log(0.9 / 0.1) / 2})
w("2.6", "rounded", lambda: {"weight": 0.5, "g": 2.2})
w("2.6", "log10", lambda: {"weight": 0.5, "g": math.log10(9)})

# 2.7
from statistics import median


def fair(
    runs,
    mid=np.median,
    ratio=lambda u, s: u / s,
    key=lambda r_: (r_["keys"], r_["d_k"]),
    order=lambda k: list(k),
    srt=True,
):
    out = []
    d = {}
    for r_ in runs:
        d.setdefault(key(r_), {})[r_["scaled"]] = mid(r_["sizes"])
    for k, v in d.items():
        if True in v and False in v:
            out.append([*order(k), ratio(v[False], v[True])])
    return sorted(out) if srt else out


w("2.7", "mean", lambda runs: fair(runs, np.mean))
w("2.7", "scaled over unscaled", lambda runs: fair(runs, ratio=lambda u, s: s / u))
w("2.7", "order d_k, keys", lambda runs: sorted([[b, a, c] for a, b, c in fair(runs)]))
w("2.7", "not sorted", lambda runs: fair(runs, srt=False))
w(
    "2.7",
    "ignores the number of keys",
    lambda runs: [
        [
            r_["keys"],
            r_["d_k"],
            np.median(r_["sizes"])
            / np.median(next(s for s in runs if s["scaled"] and s["d_k"] == r_["d_k"])["sizes"]),
        ]
        for r_ in sorted(runs, key=lambda r_: (r_["keys"], r_["d_k"]))
        if not r_["scaled"] and any(s["scaled"] and s["d_k"] == r_["d_k"] for s in runs)
    ],
)
w("2.7", "difference", lambda runs: fair(runs, ratio=lambda u, s: u - s))
w("2.7", "unsorted list's middle", lambda runs: fair(runs, mid=lambda x: x[len(x) // 2]))
w(
    "2.7",
    "median of ratios",
    lambda runs: sorted(
        [
            [u["keys"], u["d_k"], np.median(np.array(u["sizes"]) / np.array(s["sizes"]))]
            for u in runs
            for s in runs
            if not u["scaled"] and s["scaled"] and (u["keys"], u["d_k"]) == (s["keys"], s["d_k"])
        ]
    ),
)
w(
    "2.7",
    "fails on missing",
    lambda runs: sorted(
        [
            [
                k,
                d,
                np.median(
                    next(
                        r_["sizes"]
                        for r_ in runs
                        if r_["keys"] == k and r_["d_k"] == d and not r_["scaled"]
                    )
                )
                / np.median(
                    next(
                        r_["sizes"]
                        for r_ in runs
                        if r_["keys"] == k and r_["d_k"] == d and r_["scaled"]
                    )
                ),
            ]
            for k, d in {(r_["keys"], r_["d_k"]) for r_ in runs}
        ]
    ),
)
w(
    "2.7",
    "only the smallest width of each number of keys",
    lambda runs: [
        min(x for x in fair(runs) if x[0] == k) for k in sorted({x[0] for x in fair(runs)})
    ],
)
w("2.7", "sorted by ratio", lambda runs: sorted(fair(runs), key=lambda x: x[2]))
w("2.7", "max", lambda runs: fair(runs, max))
w("2.7", "dicts", lambda runs: [{"keys": a, "d_k": b, "ratio": c} for a, b, c in fair(runs)])
r("2.7", "tuples", lambda runs: [tuple(x) for x in fair(runs, median)])


# 2.8: factor c=d_k^{-1/4} each; sgd: W' = cW; grad' : dL/dW' = dL/dW / c ; step needed c*rate*dL/dW = c*rate*c*grad' -> rate*c^2; adam: rate*c
def c28(wq):
    return wq.shape[1] ** -0.25


w("2.8", "both rates as before", lambda a, b, rate, o: (a * c28(a), b * c28(a), rate))
w(
    "2.8",
    "all in the query",
    lambda a, b, rate, o: (
        a * c28(a) ** 2,
        b,
        rate * (c28(a) ** 2 if o == "adam" else c28(a) ** 4),
    ),
)
w(
    "2.8",
    "both by 1/sqrt(d_k)",
    lambda a, b, rate, o: (
        a * c28(a) ** 2,
        b * c28(a) ** 2,
        rate * (c28(a) ** 2 if o == "adam" else c28(a) ** 4),
    ),
)
w("2.8", "rate times c for both", lambda a, b, rate, o: (a * c28(a), b * c28(a), rate * c28(a)))
w(
    "2.8",
    "rate times c^2 for both",
    lambda a, b, rate, o: (a * c28(a), b * c28(a), rate * c28(a) ** 2),
)
w(
    "2.8",
    "adam and sgd exchanged",
    lambda a, b, rate, o: (a * c28(a), b * c28(a), rate * (c28(a) ** 2 if o == "adam" else c28(a))),
)
w(
    "2.8",
    "sgd divides",
    lambda a, b, rate, o: (
        a * c28(a),
        b * c28(a),
        rate * c28(a) if o == "adam" else rate / c28(a) ** 2,
    ),
)
w(
    "2.8",
    "multiplied up",
    lambda a, b, rate, o: (
        a / c28(a),
        b / c28(a),
        rate / c28(a) if o == "adam" else rate / c28(a) ** 2,
    ),
)
w(
    "2.8",
    "dim instead of d_k",
    lambda a, b, rate, o: (lambda c: (a * c, b * c, rate * (c if o == "adam" else c * c)))(
        a.shape[0] ** -0.25
    ),
)
w(
    "2.8",
    "adam rate unchanged",
    lambda a, b, rate, o: (a * c28(a), b * c28(a), rate if o == "adam" else rate * c28(a) ** 2),
)
w(
    "2.8",
    "in place",
    lambda a, b, rate, o: (
        a.__imul__(c28(a)),
        b.__imul__(c28(a)),
        rate * (c28(a) if o == "adam" else c28(a) ** 2),
    ),
)
w(
    "2.8",
    "sgd rate c^4",
    lambda a, b, rate, o: (a * c28(a), b * c28(a), rate * (c28(a) if o == "adam" else c28(a) ** 4)),
)

# 3.1: weights 1/6 2/6 3/6; cold 1,4,9 /14; four 1,2,3,6 /12; group 1/2
base31 = {
    "weights": [1 / 6, 1 / 3, 1 / 2],
    "cold": [1 / 14, 4 / 14, 9 / 14],
    "four": [1 / 12, 2 / 12, 3 / 12, 1 / 2],
    "group": 0.5,
}
w("3.1", "hot instead of cold", lambda: base31 | {"cold": list(sm(np.log([1, 2, 3.0]) / 2))})
w("3.1", "group without joining = 1", lambda: base31 | {"group": 1})
w("3.1", "four keeps the three and adds", lambda: base31 | {"four": [1 / 6, 1 / 3, 1 / 2, 1]})
w(
    "3.1",
    "linear shares of scores",
    lambda: base31 | {"weights": list(np.log([1, 2, 3]) / np.log(6))},
)
w("3.1", "group is the fourth/ratio 1/1", lambda: base31 | {"group": 1.0 * 6 / 6})
w("3.1", "cold of halved shares", lambda: base31 | {"cold": [1 / 12, 1 / 6, 1 / 4]})
w(
    "3.1",
    "rounded",
    lambda: {
        "weights": [0.17, 0.33, 0.5],
        "cold": [0.07, 0.29, 0.64],
        "four": [0.08, 0.17, 0.25, 0.5],
        "group": 0.5,
    },
)
w("3.1", "four at temperature 1/2", lambda: base31 | {"four": [1 / 50, 4 / 50, 9 / 50, 36 / 50]})
w("3.1", "cold unnormalised", lambda: base31 | {"cold": [1, 4, 9]})


# 3.2
def s32(f):
    return f


w("3.2", "naive", lambda s, axis: np.exp(s) / np.exp(s).sum(axis, keepdims=True))
w("3.2", "top unguarded", lambda s, axis: sm(s, axis))
w(
    "3.2",
    "nan_to_num on naive stable",
    lambda s, axis: (
        np.nan_to_num(sm(s, axis)) * 1.0
        if np.isfinite(s).all()
        else np.nan_to_num(np.exp(s) / np.exp(s).sum(axis, keepdims=True))
    ),
)
w(
    "3.2",
    "global top",
    lambda s, axis: (lambda e: np.nan_to_num(e / e.sum(axis, keepdims=True)))(np.exp(s - s.max())),
)
w(
    "3.2",
    "axis ignored",
    lambda s, axis: (
        lambda t: (
            lambda e: e / np.where(e.sum(-1, keepdims=True) == 0, 1, e.sum(-1, keepdims=True))
        )(np.exp(s - np.where(np.isinf(t), 0, t)))
    )(s.max(-1, keepdims=True)),
)
w(
    "3.2",
    "even shares for empty row",
    lambda s, axis: (
        lambda t: np.where(
            np.isneginf(t),
            1 / s.shape[axis],
            np.nan_to_num(
                np.exp(s - np.where(np.isinf(t), 0, t))
                / np.exp(s - np.where(np.isinf(t), 0, t)).sum(axis, keepdims=True)
            ),
        )
    )(s.max(axis, keepdims=True)),
)
w(
    "3.2",
    "epsilon in the sum",
    lambda s, axis: (
        lambda t: (lambda e: e / (e.sum(axis, keepdims=True) + 1e-3))(
            np.exp(s - np.where(np.isinf(t), 0, t))
        )
    )(s.max(axis, keepdims=True)),
)
w("3.2", "-inf replaced by -1e9", lambda s, axis: sm(np.maximum(s, -1e9), axis))
w(
    "3.2",
    "-inf replaced by -1e9 then zeroed",
    lambda s, axis: sm(np.maximum(s, -1e9), axis) * np.isfinite(s),
)
w(
    "3.2",
    "in place",
    lambda s, axis: (
        s.__isub__(s.max(axis, keepdims=True)) * 0
        + np.nan_to_num(np.exp(s) / np.exp(s).sum(axis, keepdims=True))
    ),
)
w(
    "3.2",
    "clip 700",
    lambda s, axis: (lambda e: np.nan_to_num(e / e.sum(axis, keepdims=True)))(
        np.exp(np.clip(s, -np.inf, 700))
    ),
)
w(
    "3.2",
    "min subtracted",
    lambda s, axis: (lambda e: np.nan_to_num(e / e.sum(axis, keepdims=True)))(
        np.exp(s - s.min(axis, keepdims=True))
    ),
)
w(
    "3.2",
    "logits: log-softmax returned",
    lambda s, axis: s - np.logaddexp.reduce(s, axis=axis, keepdims=True),
)
w(
    "3.2",
    "abs max subtracted",
    lambda s, axis: (
        lambda t: (lambda e: np.nan_to_num(e / e.sum(axis, keepdims=True)))(np.exp(s - t))
    )(np.where(np.isinf(s), 0, abs(s)).max(axis, keepdims=True)),
)
w(
    "3.2",
    "max with initial 0",
    lambda s, axis: (
        lambda t: (lambda e: np.nan_to_num(e / e.sum(axis, keepdims=True)))(np.exp(s - t))
    )(np.maximum(s.max(axis, keepdims=True), 0)),
)
w("3.2", "keepdims forgotten", lambda s, axis: (lambda e: e / e.sum(axis))(np.exp(s - s.max(axis))))
r(
    "3.2",
    "logsumexp route",
    lambda s, axis: (
        lambda l: np.where(np.isneginf(s), 0, np.exp(s - np.where(np.isneginf(l), 0, l)))
    )(np.logaddexp.reduce(s, axis=axis, keepdims=True)),
)


# 3.3
def m33(weight):
    def merge(oa, la, ob, lb):
        a, b, l = weight(la, lb)
        return a[:, None] * oa + b[:, None] * ob, l

    return merge


def good33(la, lb):
    l = np.logaddexp(la, lb)
    z = np.where(np.isneginf(l), 0, l)
    return np.exp(la - z), np.exp(lb - z), l


r("3.3", "logaddexp", m33(good33))
w(
    "3.3",
    "naive",
    m33(
        lambda la, lb: (
            np.exp(la) / (np.exp(la) + np.exp(lb)),
            np.exp(lb) / (np.exp(la) + np.exp(lb)),
            np.log(np.exp(la) + np.exp(lb)),
        )
    ),
)
w("3.3", "lse's as weights", m33(lambda la, lb: (la / (la + lb), lb / (la + lb), la + lb)))
w(
    "3.3",
    "mean of outputs",
    m33(lambda la, lb: (np.full(la.shape, 0.5), np.full(la.shape, 0.5), np.logaddexp(la, lb))),
)
w("3.3", "lse summed", m33(lambda la, lb: (*good33(la, lb)[:2], la + lb)))
w("3.3", "lse max", m33(lambda la, lb: (*good33(la, lb)[:2], np.maximum(la, lb))))
w(
    "3.3",
    "top = lse_a",
    m33(
        lambda la, lb: (lambda a, b: (a / (a + b), b / (a + b), la + np.log(a + b)))(
            np.exp(la - la), np.exp(lb - la)
        )
    ),
)
w(
    "3.3",
    "maximum over all queries",
    m33(
        lambda la, lb: (
            lambda t: (lambda a, b: (a / (a + b), b / (a + b), t + np.log(a + b)))(
                np.exp(la - t), np.exp(lb - t)
            )
        )(max(la.max(), lb.max()))
    ),
)
w(
    "3.3",
    "both empty -> nan",
    m33(
        lambda la, lb: (
            lambda t: (lambda a, b: (a / (a + b), b / (a + b), t + np.log(a + b)))(
                np.exp(la - t), np.exp(lb - t)
            )
        )(np.maximum(la, lb))
    ),
)
w(
    "3.3",
    "top forgotten in lse",
    m33(
        lambda la, lb: (
            *good33(la, lb)[:2],
            np.log(np.exp(la - np.maximum(la, lb)) + np.exp(lb - np.maximum(la, lb))),
        )
    ),
)
w(
    "3.3",
    "not divided",
    m33(
        lambda la, lb: (
            np.exp(la - np.maximum(la, lb)),
            np.exp(lb - np.maximum(la, lb)),
            np.logaddexp(la, lb),
        )
    ),
)
w("3.3", "weights exchanged", m33(lambda la, lb: (lambda g: (g[1], g[0], g[2]))(good33(la, lb))))
w(
    "3.3",
    "lse nan_to_num (both empty 0)",
    m33(
        lambda la, lb: (
            *good33(la, lb)[:2],
            np.where(np.isneginf(np.logaddexp(la, lb)), 0, np.logaddexp(la, lb)),
        )
    ),
)
w("3.3", "returns output only", lambda oa, la, ob, lb: m33(good33)(oa, la, ob, lb)[0])
w(
    "3.3",
    "lse clipped to -1e9",
    m33(lambda la, lb: good33(np.maximum(la, -1e9), np.maximum(lb, -1e9))),
)

# 3.4
w("3.4", "diagonal only", lambda a, g: a * (1 - a) * g)
w("3.4", "a*g", lambda a, g: a * g)
w("3.4", "no inner product per row (all)", lambda a, g: a * (g - (a * g).sum()))
w("3.4", "mean of g", lambda a, g: a * (g - g.mean(-1, keepdims=True)))
w("3.4", "sum of g", lambda a, g: a * (g - g.sum(-1, keepdims=True)))
w("3.4", "sign", lambda a, g: a * ((a * g).sum(-1, keepdims=True) - g))
w("3.4", "keepdims forgotten", lambda a, g: a * (g - (a * g).sum(-1)))
w("3.4", "g*(a - sum a g)", lambda a, g: g * (a - (a * g).sum(-1, keepdims=True)))
r(
    "3.4",
    "builds the matrix",
    lambda a, g: np.einsum(
        "...ij,...j->...i", a[..., None] * np.eye(a.shape[-1]) - a[..., None] * a[..., None, :], g
    ),
)
w(
    "3.4",
    "softmax taken again",
    lambda a, g: (lambda b: b * (g - (b * g).sum(-1, keepdims=True)))(softmax(a)),
)
w("3.4", "g - sum(ag) without a", lambda a, g: g - (a * g).sum(-1, keepdims=True))
w("3.4", "a g - sum over rows (axis 0)", lambda a, g: a * (g - (a * g).sum(0, keepdims=True)))
w("3.4", "np.diag for one row", lambda a, g: (np.diag(a) - np.outer(a, a)) @ g)


# 3.5
def st(top0=-np.inf, guard=True, scale_out=True, divide_end=True, zero=True, shift=lambda new: new):
    def stream(scores, value, chunk):
        top, total, output = (
            np.full((len(scores), 1), top0),
            np.zeros((len(scores), 1)),
            np.zeros((len(scores), value.shape[1])),
        )
        for start in range(0, scores.shape[1], chunk):
            part = scores[:, start : start + chunk]
            new = np.maximum(top, part.max(1, keepdims=True))
            safe = np.where(np.isneginf(new), 0, new) if guard else new
            p = np.exp(part - safe)
            f = np.exp(top - safe)
            total = total * f + p.sum(1, keepdims=True)
            output = (output * f if scale_out else output) + p @ value[start : start + chunk]
            top = new
        return output / (np.where(total == 0, 1, total) if zero else total)

    return stream


r("3.5", "guarded", st())
w("3.5", "top begins at 0", st(0.0))
w("3.5", "top begins at -1e3", st(-1e3))
w("3.5", "top begins at -1e4", st(-1e4))
w("3.5", "top begins at -1e9", st(-1e9))
r("3.5", "top begins at float min", st(np.finfo(float).min, guard=False))
w("3.5", "output not scaled", st(scale_out=False))
w("3.5", "no guard", st(guard=False))
w("3.5", "no guard at the end", st(zero=False))
r("3.5", "whole softmax nan_to_num", lambda s, v, c: np.nan_to_num(sm(s)) @ v)


@W("3.5", "divides at each step")
def _(s, v, c):
    top, tot, out = (
        np.full((len(s), 1), -np.inf),
        np.zeros((len(s), 1)),
        np.zeros((len(s), v.shape[1])),
    )
    for i in range(0, s.shape[1], c):
        p_ = s[:, i : i + c]
        new = np.maximum(top, p_.max(1, keepdims=True))
        safe = np.where(np.isneginf(new), 0, new)
        p = np.exp(p_ - safe)
        tot = tot * np.exp(top - safe) + p.sum(1, keepdims=True)
        out = (out * np.exp(top - safe) + p @ v[i : i + c]) / np.where(tot == 0, 1, tot)
        top = new
    return out


@W("3.5", "mean of the chunks' softmaxes")
def _(s, v, c):
    parts = [np.nan_to_num(sm(s[:, i : i + c])) @ v[i : i + c] for i in range(0, s.shape[1], c)]
    return np.mean(parts, axis=0)


@W("3.5", "factor upside down")
def _(s, v, c):
    top, tot, out = np.full((len(s), 1), -1e300), 0.0, 0.0
    for i in range(0, s.shape[1], c):
        p_ = s[:, i : i + c]
        new = np.maximum(top, p_.max(1, keepdims=True))
        f = np.exp(np.clip(new - top, -700, 700)) if i else 1
        p = np.exp(p_ - new)
        tot = tot * f + p.sum(1, keepdims=True)
        out = out * f + p @ v[i : i + c]
        top = new
    return out / np.where(tot == 0, 1, tot)


@W("3.5", "top of the first chunk for ever")
def _(s, v, c):
    t = s[:, :c].max(1, keepdims=True)
    t = np.where(np.isinf(t), 0, t)
    e = np.exp(s - t)
    z = e.sum(1, keepdims=True)
    return e @ v / np.where(z == 0, 1, z)


@W("3.5", "last chunk forgotten")
def _(s, v, c):
    m = s.shape[1] // c * c
    return st()(s[:, :m], v[:m], c)


# 3.6  scores 3,1,0,0: a same b fewer c more d same e more f fewer
right36 = dict(a="same", b="fewer", c="more", d="same", e="more", f="fewer")
for letter, word in (
    ("a", "fewer"),
    ("a", "more"),
    ("b", "more"),
    ("b", "same"),
    ("c", "fewer"),
    ("d", "more"),
    ("e", "same"),
    ("e", "fewer"),
    ("f", "more"),
    ("f", "same"),
):
    w("3.6", letter + " " + word, (lambda L, V: lambda: right36 | {L: V})(letter, word))
w("3.6", "b and c exchanged", lambda: right36 | dict(b="more", c="fewer"))


# 3.7
def bis(f, lo=1e-6, hi=1e6, n=200):
    def t(scores, keys):
        a, b = lo, hi
        for _ in range(n):
            m = (a * b) ** 0.5
            if f(scores, m) < keys:
                a = m
            else:
                b = m
        return m

    return t


neff = lambda s, t: attnlib.effective_keys(softmax(s / t)).mean()
w("3.7", "1/T", lambda s, k: 1 / bis(neff, 1e-9, 1e9)(s, k))
w("3.7", "range from 0.01 to 100", bis(neff, 1e-2, 1e2))
w(
    "3.7",
    "exp of mean entropy",
    bis(lambda s, t: np.exp(np.log(attnlib.effective_keys(softmax(s / t))).mean()), 1e-9, 1e9),
)
w("3.7", "few steps", bis(neff, 1e-6, 1e6, n=8))
w(
    "3.7",
    "participation ratio",
    bis(lambda s, t: (1 / (softmax(s / t) ** 2).sum(-1)).mean(), 1e-9, 1e9),
)
w("3.7", "first query only", bis(lambda s, t: neff(s[:1], t), 1e-9, 1e9))
w("3.7", "all scores as one row", bis(lambda s, t: neff(s.reshape(1, -1), t), 1e-9, 1e9))
w(
    "3.7",
    "entropy instead of exp",
    bis(lambda s, t: np.log(attnlib.effective_keys(softmax(s / t))).mean(), 1e-9, 1e9),
)
w("3.7", "multiplies by T", bis(lambda s, t: neff(s * t, 1.0), 1e-9, 1e9))
w("3.7", "std of the scores", lambda s, k: s.std() * k / s.shape[1])
w(
    "3.7",
    "median over queries",
    bis(lambda s, t: np.median(attnlib.effective_keys(softmax(s / t))), 1e-9, 1e9),
)
w(
    "3.7",
    "grid of temperatures",
    lambda s, k: (lambda g: g[np.argmin([abs(neff(s, t) - k) for t in g])])(
        np.geomspace(0.01, 100, 60)
    ),
)
r("3.7", "wide bisection", bis(neff, 1e-9, 1e12, 300))

# 3.8
w("3.8", "naive", lambda s: np.exp(s) / (1 + np.exp(s).sum(-1, keepdims=True)))
w(
    "3.8",
    "1 not shifted",
    lambda s: (
        lambda t: (lambda e: e / (1 + e.sum(-1, keepdims=True)))(
            np.exp(s - np.where(np.isinf(t), 0, t))
        )
    )(s.max(-1, keepdims=True)),
)
w("3.8", "ordinary softmax", lambda s: np.nan_to_num(sm(s)))
w(
    "3.8",
    "top = max without 0",
    lambda s: (lambda t: (lambda e: e / (np.exp(-t) + e.sum(-1, keepdims=True)))(np.exp(s - t)))(
        s.max(-1, keepdims=True)
    ),
)
w(
    "3.8",
    "sum over all rows",
    lambda s: (lambda t: (lambda e: e / (np.exp(-t) + e.sum()))(np.exp(s - t)))(
        np.maximum(s.max(-1, keepdims=True), 0)
    ),
)
w(
    "3.8",
    "adds n ones",
    lambda s: (
        lambda t: (lambda e: e / (s.shape[-1] * np.exp(-t) + e.sum(-1, keepdims=True)))(
            np.exp(s - t)
        )
    )(np.maximum(s.max(-1, keepdims=True), 0)),
)
w("3.8", "sink returned too", lambda s: sm(np.concatenate([s, np.zeros((*s.shape[:-1], 1))], -1)))
w(
    "3.8",
    "subtracts 1 instead",
    lambda s: (
        lambda t: (lambda e: e / (e.sum(-1, keepdims=True) - np.exp(-t) + 1e-300))(np.exp(s - t))
    )(np.maximum(s.max(-1, keepdims=True), 0)),
)
w(
    "3.8",
    "1 to the numerator",
    lambda s: (
        lambda t: (lambda e: (e + np.exp(-t)) / (np.exp(-t) + e.sum(-1, keepdims=True)))(
            np.exp(s - t)
        )
    )(np.maximum(s.max(-1, keepdims=True), 0)),
)
w(
    "3.8",
    "global top",
    lambda s: (lambda t: (lambda e: e / (np.exp(-t) + e.sum(-1, keepdims=True)))(np.exp(s - t)))(
        max(s.max(), 0)
    ),
)
w("3.8", "sigmoid", lambda s: 1 / (1 + np.exp(-np.clip(s, -700, 700))))
w(
    "3.8",
    "sink taken from front wrongly",
    lambda s: sm(np.concatenate([np.zeros((*s.shape[:-1], 1)), s], -1))[..., :-1],
)
w(
    "3.8",
    "clip",
    lambda s: (lambda e: e / (1 + e.sum(-1, keepdims=True)))(np.exp(np.clip(s, -700, 700))),
)
r(
    "3.8",
    "concatenated zero",
    lambda s: sm(np.concatenate([np.zeros((*s.shape[:-1], 1)), s], -1))[..., 1:],
)


# 3.9
def f39(
    runs,
    agg=np.mean,
    diff=lambda big, small: 100 * (big - small),
    key=lambda r_: (r_["steps"], r_["step"]),
    srt=True,
):
    starts = sorted({r_["start"] for r_ in runs})
    d = {}
    for r_ in runs:
        d.setdefault(key(r_), {})[r_["start"]] = agg(r_["right"])
    out = [[*k, diff(v[starts[1]], v[starts[0]])] for k, v in d.items() if len(v) == 2]
    return sorted(out) if srt else out


r("3.9", "dicts", lambda runs: f39(runs))
w("3.9", "small minus large", lambda runs: f39(runs, diff=lambda b, s: 100 * (s - b)))
w("3.9", "not in points", lambda runs: f39(runs, diff=lambda b, s: b - s))
w("3.9", "median", lambda runs: f39(runs, np.median))
w("3.9", "order step, steps", lambda runs: sorted([b, a, c] for a, b, c in f39(runs)))
w("3.9", "unsorted", lambda runs: f39(runs, srt=False))
w(
    "3.9",
    "starts 1 and 25 by heart",
    lambda runs: sorted(
        [a["steps"], a["step"], 100 * (np.mean(b["right"]) - np.mean(a["right"]))]
        for a in runs
        for b in runs
        if a["start"] == 1
        and b["start"] == 25
        and (a["steps"], a["step"]) == (b["steps"], b["step"])
    ),
)
w("3.9", "step ignored", lambda runs: f39(runs, key=lambda r_: (r_["steps"], 1)))
w(
    "3.9",
    "both changed together",
    lambda runs: sorted(
        [a["steps"], a["step"], 100 * (np.mean(b["right"]) - np.mean(a["right"]))]
        for a in runs
        for b in runs
        if a["start"] < b["start"] and a["steps"] == b["steps"] and a["step"] != b["step"]
    ),
)
w("3.9", "percent of the smaller", lambda runs: f39(runs, diff=lambda b, s: 100 * (b - s) / s))
w("3.9", "best run", lambda runs: f39(runs, max))
w(
    "3.9",
    "only the longest",
    lambda runs: [x for x in f39(runs) if x[0] == max(y[0] for y in f39(runs))],
)
w(
    "3.9",
    "compares steps sizes instead of starts",
    lambda runs: sorted(
        [a["steps"], a["start"], 100 * (np.mean(b["right"]) - np.mean(a["right"]))]
        for a in runs
        for b in runs
        if a["step"] < b["step"] and (a["steps"], a["start"]) == (b["steps"], b["start"])
    ),
)

# 3.10
w(
    "3.10",
    "helps and harms exchanged",
    lambda: {"scores": [2, 1, 1, 1, -5.0], "helps": [1, 0, 0, 0, 0], "harms": [0, 1, 1, 1, 1]},
)
w("3.10", "all labels 1", lambda: {"scores": [2, 1, 1], "helps": [1, 1, 1], "harms": [1, 1, 1]})
w("3.10", "too few", lambda: {"scores": [2, 1], "helps": [0, 1], "harms": [1, 0]})
w(
    "3.10",
    "even scores",
    lambda: {"scores": [0, 0, 0, 0], "helps": [0, 1, 1, 1], "harms": [1, 0, 0, 0]},
)
w(
    "3.10",
    "one huge score",
    lambda: {"scores": [100, 0, 0, 0], "helps": [0, 1, 1, 1], "harms": [1, 0, 0, 0]},
)
w(
    "3.10",
    "lengths differ",
    lambda: {"scores": [2, 1, 1, 1], "helps": [0, 1, 1], "harms": [1, 0, 0, 0]},
)
w(
    "3.10",
    "labels -1 and 1",
    lambda: {"scores": [3, 1, 1, 1, 1], "helps": [-1, 1, 1, 1, 1], "harms": [1, -1, -1, -1, -1]},
)
w(
    "3.10",
    "helps right, harms the same",
    lambda: {"scores": [3, 1, 1, 1, 1], "helps": [0, 1, 1, 1, 1], "harms": [0, 1, 1, 1, 1]},
)
w(
    "3.10",
    "scores are shares",
    lambda: {"scores": [0.6, 0.2, 0.2], "helps": [0, 1, 1], "harms": [1, 0, 0]},
)
w(
    "3.10",
    "fourteen scores",
    lambda: {"scores": [3] + [1] * 13, "helps": [0] + [1] * 13, "harms": [1] + [0] * 13},
)
r(
    "3.10",
    "one against five",
    lambda: {"scores": np.array([3.0] + [1] * 5), "helps": [0] + [1] * 5, "harms": [1] + [0] * 5},
)
