"""Attention spelled out in loops over Python floats, and inputs to try it on.

Independent of attnlib: nothing here imports it.
"""

import math

import numpy as np
from hypothesis import strategies as st


def may_attend(i, j, n_q, n_k, causal, window):
    """Whether query i may see key j: the alignment that everything is held to."""
    distance = (i + n_k - n_q) - j
    if causal:
        return 0 <= distance < (math.inf if window is None else window)
    return window is None or abs(distance) < window


def brute_force(query, key, value, *, mask=None, bias=None, causal=False, window=None, scale=None):
    """Output, weights and lse in float64, one pair of positions at a time."""
    leading = np.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    (n_q, d_k), (n_k, d_v) = query.shape[-2:], value.shape[-2:]
    scale = d_k ** -0.5 if scale is None and d_k else 1.0 if scale is None else float(scale)
    query, key, value = (np.broadcast_to(x, leading + x.shape[-2:]) for x in (query, key, value))
    mask = np.broadcast_to(True if mask is None else mask, (*leading, n_q, n_k))
    bias = np.broadcast_to(0.0 if bias is None else bias, (*leading, n_q, n_k))
    output = np.zeros((*leading, n_q, d_v))
    weights = np.zeros((*leading, n_q, n_k))
    lse = np.full((*leading, n_q), -np.inf)
    for where in np.ndindex(leading):
        for i in range(n_q):
            scores = {
                j: scale * math.fsum(float(a) * float(b)
                                     for a, b in zip(query[where][i], key[where][j]))
                + float(bias[where][i, j])
                for j in range(n_k)
                if mask[where][i, j] and may_attend(i, j, n_q, n_k, causal, window)
            }
            top = max(scores.values(), default=-math.inf)
            if top == -math.inf:
                continue
            total = math.fsum(math.exp(s - top) for s in scores.values())
            lse[where][i] = top + math.log(total)
            for j, s in scores.items():
                weights[where][i, j] = math.exp(s - top) / total
            for c in range(d_v):
                output[where][i, c] = math.fsum(
                    weights[where][i, j] * float(value[where][j, c]) for j in scores)
    return output, weights, lse


# Inputs.


def narrowed(draw, shape):
    """A shape that broadcasts to this one: axes made 1, or dropped from the left."""
    kept = [size if draw(st.booleans()) else 1 for size in shape]
    return tuple(kept[draw(st.integers(0, len(kept))):])


def laid_out(draw, x):
    """The same numbers otherwise in memory: transposed, strided, reversed, read-only."""
    layout = draw(st.sampled_from(["plain", "fortran", "strided", "reversed", "read-only"]))
    if layout == "fortran":
        return np.asfortranarray(x)
    if layout == "strided":
        wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), 7, dtype=x.dtype)
        wide[..., ::2] = x
        return wide[..., ::2]
    if layout == "reversed":
        return x[::-1, ..., ::-1].copy()[::-1, ..., ::-1]
    if layout == "read-only":
        x = x.copy()
        x.flags.writeable = False
    return x


SIZES = st.sampled_from([4, 3, 5, 2, 1, 0])
widths = st.sampled_from([3, 2, 1, 4, 0])


@st.composite
def problems(draw, sizes=SIZES, magnitudes=(1.0, 30.0, 1e4), square=False, layouts=True):
    """Arguments of `attention`: (query, key, value) in float64, and keywords."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    leading = tuple(draw(st.sampled_from([(2,), (), (2, 2), (3, 2), (0,)])))
    n_q, d_k, d_v = draw(sizes), draw(widths), draw(widths)
    n_k = n_q if square else draw(sizes)
    magnitude = draw(st.sampled_from(magnitudes))
    arrays = []
    for rows, width, factor in ((n_q, d_k, magnitude), (n_k, d_k, 1.0), (n_k, d_v, 1.0)):
        x = factor * rng.standard_normal((*narrowed(draw, leading), rows, width))
        arrays.append(laid_out(draw, x) if layouts else x)
    shape = (*np.broadcast_shapes(*(x.shape[:-2] for x in arrays[:2])), n_q, n_k)
    keywords = {}
    if draw(st.booleans()):
        keywords["mask"] = rng.random(narrowed(draw, shape)) < draw(st.sampled_from([0.2, 0.7]))
    if draw(st.booleans()):
        bias = rng.standard_normal(narrowed(draw, shape))
        bias[rng.random(bias.shape) < draw(st.sampled_from([0.0, 0.3]))] = -np.inf
        keywords["bias"] = bias
    keywords["causal"] = draw(st.booleans())
    keywords["window"] = draw(st.none() | st.integers(1, 6))
    keywords["scale"] = draw(st.none() | st.sampled_from([1, 0.5, -2.0, np.float64(0.25)]))
    return arrays, keywords
