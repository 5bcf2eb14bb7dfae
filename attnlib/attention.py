"""Chapters 1 to 3: scores, softmax, weights, attention; partial results and their merge.

Read from top to bottom: each function is one equation of the book. Without its guards, against
overflow, empty rows and what is no number, `attention` is four lines:

>>> def four_lines(query, key, value, mask):
...     scores = query @ key.mT / np.sqrt(query.shape[-1])  # (..., n_q, n_k)
...     exponentials = np.exp(np.where(mask, scores, -np.inf))
...     weights = exponentials / exponentials.sum(axis=-1, keepdims=True)
...     return weights @ value  # (..., n_q, d_v)
>>> query, key, value = np.random.default_rng(0).standard_normal((3, 2, 4, 8))
>>> mask = np.array([True, True, False, True])
>>> np.allclose(attention(query, key, value, mask=mask), four_lines(query, key, value, mask))
True

All functions take numpy arrays or torch tensors (whatever ``array_api_compat`` knows) and return
the same kind. Shapes are written in the order (..., row, column); ``...`` are leading axes such as
batch and heads, which broadcast. float16 and bfloat16 are computed in float32 and returned as they
came; under ``torch.autocast`` too, products keep the precision of what goes in.
"""

import math
import numbers
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from array_api_compat import (
    array_namespace,
    device,
    is_array_api_obj,
    is_numpy_array,
    is_torch_array,
)

from .masks import Array, visible, whole_number


def attention_scores(query, key, *, scale=None) -> Array:
    r"""How well each query matches each key: :math:`s_{ij} = q_i \cdot k_j / \sqrt{d_k}`.

    Args:
        query: ``(..., n_q, d_k)``, real floating.
        key: ``(..., n_k, d_k)``, of the same kind.
        scale: what the dot products are multiplied with, a number (or a learned one: an array
            without axes); ``1 / sqrt(d_k)`` if not given.

    Returns:
        Scores ``(..., n_q, n_k)``, without a unit.

    Raises:
        TypeError: if an argument is not a floating array, or the kinds differ.
        ValueError: if the shapes do not fit; the message names every shape.

    Source: Vaswani et al. 2017, equation 1.

    >>> attention_scores(np.array([[3.0, 4.0]]), np.array([[1.0, 0.0], [1.0, 1.0]]), scale=1)
    array([[3., 7.]])
    """
    xp = _check_inputs(query=query, key=key)
    wide = _wide_dtype(xp, query, key)
    return _cast(xp, _scores(xp, wide, query, key, scale), xp.result_type(query, key))


def softmax(scores, axis=-1) -> Array:
    r"""Shares that sum to one: :math:`e^{s_j} / \sum_l e^{s_l}`, computed without overflow.

    Args:
        scores: floating array; ``-inf`` means "not allowed" and gets the share 0.
        axis: the axis whose shares sum to one.

    Returns:
        Array of the same shape, kind and dtype. Where a whole row is ``-inf``, it is all 0. A row
        with a NaN or ``inf`` is all NaN; other rows and their gradients do not notice.

    Raises:
        TypeError: if ``scores`` is not a floating array, or ``axis`` not a whole number.
        ValueError: if ``scores`` has no such axis.

    Source: Goodfellow et al. 2016, chapter 6 (the shift by the maximum).

    >>> softmax(np.array([0.0, 0.0, -np.inf]))
    array([0.5, 0.5, 0. ])
    """
    xp = _check_floating(scores=scores)
    whole_number("axis", axis, -scores.ndim)
    if axis >= scores.ndim:
        raise ValueError(f"axis must be one of scores {tuple(scores.shape)}, got {axis}")
    scores_wide = _cast(xp, scores, _wide_dtype(xp, scores))
    exponentials, total, _ = _exponentials(xp, scores_wide, axis)
    return _cast(xp, exponentials / total, scores.dtype)


def attention_weights(query, key, *, mask=None, bias=None, causal=False, window=None,
                      scale=None) -> Array:
    r"""How much of each value a query takes: the softmax of its scores over the keys it may see.

    Args:
        query: ``(..., n_q, d_k)``, real floating.
        key: ``(..., n_k, d_k)``, of the same kind.
        mask: boolean, **True = may attend**, broadcastable to ``(..., n_q, n_k)``; a numpy mask
            is welcome beside any kind. Combines with ``causal`` and ``window`` by "and".
        bias: floating, broadcastable to ``(..., n_q, n_k)``, added to the scaled scores.
        causal: a query sees no key after its own position ``n_k - n_q + i``.
        window: keys seen, the query's own included, when causal; otherwise keys at a distance
            below ``window`` on both sides.
        scale: as in `attention_scores`.

    Returns:
        Weights ``(..., n_q, n_k)``. Rows sum to one; a row that may see nothing is all 0. If the
        query, or a key that it may see, holds a NaN or an infinity, its whole row is NaN; other
        rows and their gradients do not notice.

    Raises:
        TypeError: if an argument has the wrong kind or dtype (a mask that is not boolean).
        ValueError: if the shapes do not fit; the message names every shape.

    Source: Vaswani et al. 2017, equation 1 and section 3.2.3.

    >>> x = np.zeros((2, 3))
    >>> attention_weights(x, x, causal=True)
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    xp = _check_inputs(query=query, key=key)
    wide = _wide_dtype(xp, query, key)
    scores, broken = _visible_scores(xp, wide, query, key, mask, bias, causal, window, scale)
    exponentials, total, _ = _exponentials(xp, scores, -1)
    weights = xp.where(broken, math.nan, exponentials / total)
    return _cast(xp, weights, xp.result_type(query, key))


def attention(query, key, value, *, mask=None, bias=None, causal=False, window=None,
              scale=None) -> Array:
    r"""Each query's weighted mean of the values: :math:`\mathrm{softmax}(QK^T/\sqrt{d_k})\,V`.

    Args:
        query: ``(..., n_q, d_k)``, real floating.
        key: ``(..., n_k, d_k)``, of the same kind.
        value: ``(..., n_k, d_v)``, of the same kind.
        mask, bias, causal, window, scale: as in `attention_weights`.

    Returns:
        Output ``(..., n_q, d_v)``. A query that may see nothing gets 0. If a query, a key that it
        may see, or a value to which it gives weight holds a NaN or an infinity, its whole row is
        NaN. What is no number reaches no other row, and no gradient of one.

    Raises:
        TypeError: if an argument has the wrong kind or dtype.
        ValueError: if the shapes do not fit; the message names every shape.

    Source: Vaswani et al. 2017, equation 1.

    >>> query, key = np.array([[0.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> attention(query, key, np.array([[10.0], [20.0]]))
    array([[15.]])
    """
    output, _ = partial_attention(query, key, value, mask=mask, bias=bias, causal=causal,
                                  window=window, scale=scale)
    return output


def partial_attention(query, key, value, *, mask=None, bias=None, causal=False, window=None,
                      scale=None) -> tuple[Array, Array]:
    r"""Attention over some of the keys, with what it takes to merge it with the rest.

    Args:
        query, key, value, mask, bias, causal, window, scale: as in `attention`.

    Returns:
        output: ``(..., n_q, d_v)``, attention over these keys alone.
        lse: ``(..., n_q)``, the log of the sum of the exponentials of each query's scores (in
            nats; float32 or wider). ``-inf`` for a query that may see none of these keys, NaN for
            one that is not all numbers or may see a key that is not.

    Raises:
        TypeError, ValueError: as `attention`.

    Source: Milakov and Gimelshein 2018; Rabe and Staats 2021.

    >>> output, lse = partial_attention(np.zeros((1, 2)), np.zeros((4, 2)), np.ones((4, 3)))
    >>> output, np.exp(lse)
    (array([[1., 1., 1.]]), array([4.]))
    """
    xp = _check_inputs(query=query, key=key, value=value)
    wide = _wide_dtype(xp, query, key, value)
    scores, broken = _visible_scores(xp, wide, query, key, mask, bias, causal, window, scale)
    exponentials, total, top = _exponentials(xp, scores, -1)  # (..., n_q, n_k), two (..., n_q, 1)
    numbers, broken_value = _numbers(xp, _cast(xp, value, wide))
    output = _product(exponentials, numbers) / total
    output = xp.where(broken | _meets(xp, exponentials, broken_value), math.nan, output)
    lse = xp.where(broken, math.nan, top + xp.log(total))[..., 0]
    return (_cast(xp, output, xp.result_type(query, key, value)),
            xp.broadcast_to(lse, output.shape[:-1]))  # (..., n_q, d_v), (..., n_q)


def merge_partials(output_a, lse_a, output_b, lse_b) -> tuple[Array, Array]:
    r"""Two partial results over different keys, made into the result over all of them.

    Each part counts by its share of the sum of exponentials, so any order of merging gives the
    same result, and a part that saw nothing (``lse = -inf``) changes nothing.

    Args:
        output_a, output_b: ``(..., n_q, d_v)``, from `partial_attention`.
        lse_a, lse_b: ``(..., n_q)``, in nats.

    Returns:
        output ``(..., n_q, d_v)`` and lse ``(..., n_q)`` (float32 or wider), as if from one
        `partial_attention`: a row that is NaN in one part is NaN, and other rows and their
        gradients do not notice.

    Raises:
        TypeError: if an argument is not a floating array, or the kinds differ.
        ValueError: if the shapes do not fit; the message names every shape.

    Source: Milakov and Gimelshein 2018; Rabe and Staats 2021.

    >>> one, zero = np.ones((1, 2)), np.zeros(1)
    >>> output, lse = merge_partials(one, zero, 3 * one, zero)
    >>> output, np.exp(lse)
    (array([[2., 2.]]), array([2.]))
    """
    parts = dict(output_a=output_a, lse_a=lse_a, output_b=output_b, lse_b=lse_b)
    xp = _check_floating(**parts)
    if not (output_a.shape == output_b.shape
            and lse_a.shape == lse_b.shape == output_a.shape[:-1]):
        raise ValueError("two partial results need outputs of one shape (..., n_q, d_v) and lse of "
                         f"shape (..., n_q), got {_shapes(**parts)}")
    lse_a, lse_b = (_cast(xp, lse, _wide_dtype(xp, *parts.values())) for lse in (lse_a, lse_b))
    output_a, broken_a = _numbers(xp, output_a)
    output_b, broken_b = _numbers(xp, output_b)
    whole = (lse_a < math.inf) & (lse_b < math.inf)  # and no NaN
    lse_a, lse_b = (xp.where(whole, lse, 0.0) for lse in (lse_a, lse_b))
    top = xp.maximum(lse_a, lse_b)
    top = xp.where(top == -math.inf, 0.0, top)  # neither part saw a key
    share_a, share_b = xp.exp(lse_a - top), xp.exp(lse_b - top)
    total = share_a + share_b
    seen = total > 0
    total = xp.where(seen, total, 1.0)
    output = (share_a / total)[..., None] * output_a + (share_b / total)[..., None] * output_b
    output = xp.where((whole & ~broken_a & ~broken_b)[..., None], output, math.nan)
    lse = xp.where(whole, xp.where(seen, top + xp.log(total), -math.inf), math.nan)
    return _cast(xp, output, xp.result_type(parts["output_a"], parts["output_b"])), lse


def additive_scores(query, key, w_query, w_key, v) -> Array:
    r"""Scores from a small network: :math:`s_{ij} = v \cdot \tanh(q_i W_q + k_j W_k)`.

    Args:
        query: ``(..., n_q, d_q)``, real floating.
        key: ``(..., n_k, d_k)``; its width may differ from the query's.
        w_query: ``(d_q, d_a)``.
        w_key: ``(d_k, d_a)``.
        v: ``(d_a,)``.

    Returns:
        Scores ``(..., n_q, n_k)``. The `softmax` of them gives the weights.

    Raises:
        TypeError: if an argument is not a floating array, or the kinds differ.
        ValueError: if the shapes do not fit; the message names every shape.

    Source: Bahdanau et al. 2015, appendix A.1.2.

    >>> one = np.ones((1, 1))
    >>> additive_scores(one, 2 * one, one, one, np.ones(1)).round(3)
    array([[0.995]])
    """
    parts = dict(query=query, key=key, w_query=w_query, w_key=w_key, v=v)
    xp = _check_floating(**parts)
    if (min(query.ndim, key.ndim) < 2 or w_query.shape != (query.shape[-1], *v.shape)
            or w_key.shape != (key.shape[-1], *v.shape) or v.ndim != 1):
        raise ValueError("additive scores need query (..., n_q, d_q), key (..., n_k, d_k), "
                         f"w_query (d_q, d_a), w_key (d_k, d_a), v (d_a,), got {_shapes(**parts)}")
    _broadcast(query=query.shape[:-2], key=key.shape[:-2])
    wide = _wide_dtype(xp, *parts.values())
    query, key, w_query, w_key, v = (_cast(xp, x, wide) for x in parts.values())
    hidden = xp.tanh(_product(query, w_query)[..., :, None, :]
                     + _product(key, w_key)[..., None, :, :])  # (..., n_q, n_k, d_a)
    return _cast(xp, xp.sum(hidden * v, axis=-1), xp.result_type(*parts.values()))


# What the equations above share.


def _scores(xp, wide, query, key, scale):
    if scale is None:
        scale = 1 / math.sqrt(max(query.shape[-1], 1))
    elif (isinstance(scale, numbers.Real) and not isinstance(scale, bool)
            or is_numpy_array(scale) and scale.ndim == 0):
        scale = float(scale)  # a numpy number would widen the dtype
    elif is_array_api_obj(scale) and scale.ndim == 0:
        _check_kind(query=query, scale=scale)
    else:
        raise TypeError(f"scale must be a number, got {scale!r}")
    query = _cast(xp, query, wide) * scale  # smaller than the scores: fewer products
    return _product(query, xp.matrix_transpose(_cast(xp, key, wide)))  # (..., n_q, n_k)


def _visible_scores(xp, wide, query, key, mask, bias, causal, window, scale):
    """Scores plus bias, with -inf where the query may not look; and which rows are broken.

    Returns:
        scores: ``(..., n_q, n_k)``, with 0 for what is no number: as it is it would reach, times
            0, the gradients of queries that may not see it.
        broken: ``(..., n_q, 1)``, True where a query that is not all numbers sees something, or
            one sees a key that is not.
    """
    query, broken_query = _numbers(xp, query)
    key, broken_key = _numbers(xp, key)
    scores = _scores(xp, wide, query, key, scale)
    n_q, n_k = scores.shape[-2:]
    allowed = visible(n_q, n_k, causal=causal, window=window, xp=xp, device=device(query))
    if mask is not None:
        mask = _check_mask(xp, query, mask, scores.shape)
        allowed = mask if allowed is None else allowed & mask
    seen = xp.ones((1, n_k), dtype=xp.bool, device=device(query))
    if bias is not None:
        bias = _beside(xp, query, "bias", bias, scores.shape)
        if not xp.isdtype(bias.dtype, "real floating"):
            raise TypeError(f"bias must be floating (it is added to the scores), got {bias.dtype}; "
                            "what hides keys is a mask")
        scores = scores + _cast(xp, bias, wide)
        seen = seen & (bias != -math.inf)
    if allowed is not None:
        scores = xp.where(allowed, scores, -math.inf)
        seen = seen & allowed
    seen = _cast(xp, seen, wide)  # (..., n_q or 1, n_k)
    broken = _meets(xp, seen, broken_key) | (
        broken_query[..., None] & _meets(xp, seen, xp.ones_like(broken_key)))
    return scores, broken


def _exponentials(xp, scores, axis):
    """exp(scores - top), its sum (1 where the row is empty) and top, the row's maximum."""
    if scores.shape[axis] == 0:
        top = xp.sum(scores, axis=axis, keepdims=True) - math.inf
    else:
        top = xp.max(scores, axis=axis, keepdims=True)
    exponentials = xp.exp(scores - xp.where(top == -math.inf, 0.0, top))
    total = xp.sum(exponentials, axis=axis, keepdims=True)
    return exponentials, xp.where(total == 0, 1.0, total), top


def _numbers(xp, x):
    """x with 0 for each NaN and infinity; and which of its rows had one, ``(..., n)``."""
    finite = xp.isfinite(x)
    return xp.where(finite, x, 0.0), ~xp.all(finite, axis=-1)


def _meets(xp, weights, broken):
    """Which rows ``(..., n_q, 1)`` of the weights ``(..., n_q, n_k)`` are not 0 on a broken key."""
    return _product(weights, _cast(xp, broken, weights.dtype)[..., None]) > 0


def _product(a, b):
    """a @ b in the precision that they have."""
    with own_precision(a):
        return a @ b


def own_precision(x) -> AbstractContextManager:
    """A context in which ``torch.autocast`` does not round what goes into products, on x's device.

    >>> import torch
    >>> x = torch.ones(2, 2)
    >>> with torch.autocast("cpu", dtype=torch.bfloat16):
    ...     rounded = x @ x
    ...     with own_precision(x):
    ...         rounded.dtype, (x @ x).dtype
    (torch.bfloat16, torch.float32)
    """
    if not is_numpy_array(x) and is_torch_array(x):
        import torch
        kind = x.device.type
        if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
            return torch.autocast(kind, enabled=False)
    return nullcontext()


def _cast(xp, x, dtype):
    return xp.astype(x, dtype, copy=False)


def _wide_dtype(xp, *arrays):
    return xp.result_type(xp.float32, *arrays)


def _check_inputs(**arrays):
    """Validate query, key and, if given, value; return their namespace."""
    xp = _check_floating(**arrays)
    shapes = [x.shape for x in arrays.values()]
    wants = dict(query="(..., n_q, d_k)", key="(..., n_k, d_k)", value="(..., n_k, d_v)")
    if min(map(len, shapes)) < 2 or shapes[0][-1] != shapes[1][-1] or (
            len(shapes) == 3 and shapes[1][-2] != shapes[2][-2]):
        wanted = ", ".join(f"{name} {wants[name]}" for name in arrays)
        raise ValueError(f"attention needs {wanted}, got {_shapes(**arrays)}")
    _broadcast(**{name: x.shape[:-2] for name, x in arrays.items()})
    return xp


def _check_floating(**arrays):
    """Raise unless all are floating arrays of one kind; return their namespace."""
    xp = _check_kind(**arrays)
    for name, x in arrays.items():
        if not xp.isdtype(x.dtype, "real floating"):
            raise TypeError(f"{name} must be real floating, got {x.dtype}")
    return xp


def _check_kind(**arrays):
    """Raise unless all are arrays of one kind; return their namespace."""
    for name, x in arrays.items():
        if not is_array_api_obj(x):
            raise TypeError(f"{name} must be an array (numpy or torch), got {type(x).__name__}")
        _check_unmasked(name, x)
    try:
        xp = array_namespace(*arrays.values())
    except TypeError:
        kinds = ", ".join(f"{name} {type(x).__module__}.{type(x).__name__}"
                          for name, x in arrays.items())
        raise TypeError(f"all arrays must be of one kind, got {kinds}") from None
    places = {name: device(x) for name, x in arrays.items() if x.ndim}  # None while jax traces
    if len({*places.values()} - {None}) > 1:
        got = ", ".join(f"{name} on {place}" for name, place in places.items())
        raise ValueError(f"all arrays must be on one device, got {got}")
    return xp


def _check_unmasked(name, x):
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be ignored: "
                        f"give {name}.data, and a mask of your own")


def _check_mask(xp, query, mask, shape):
    """The mask, made of the query's kind; raises unless it is boolean and fits the scores."""
    mask = _beside(xp, query, "mask", mask, shape)
    if not xp.isdtype(mask.dtype, "bool"):
        raise TypeError(f"mask must be boolean (True = may attend), got {mask.dtype}; "
                        "what is added to the scores is a bias")
    return mask


def _beside(xp, query, name, array, shape):
    """A mask or bias, made of the query's kind; raises unless it broadcasts to ``shape``."""
    numpy = isinstance(array, (np.ndarray, np.generic))  # what torch.compile can follow
    if not numpy and not is_array_api_obj(array):
        raise TypeError(f"{name} must be an array, got {type(array).__name__}")
    if array.ndim > len(shape) or any(
            size not in (1, wanted) for size, wanted in zip(array.shape[::-1], shape[::-1])):
        hint = ""
        if name == "mask" and len(shape) > 2 and tuple(array.shape) == (shape[0], shape[-1]):
            hint = "; padding_mask(lengths, n) puts an axis in for the queries"
        raise ValueError(f"{name} must broadcast to (..., n_q, n_k) = {tuple(shape)}, "
                         f"got {name} {tuple(array.shape)}{hint}")
    if numpy and not is_numpy_array(query):
        _check_unmasked(name, array)
        return xp.asarray(np.array(array), device=device(query))
    if array_namespace(array) is not xp:
        raise TypeError(f"{name} must be of the query's kind or numpy, "
                        f"got {type(array).__module__}.{type(array).__name__}")
    _check_kind(query=query, **{name: array})
    return array


def _broadcast(**leading):
    """Raise unless the leading axes broadcast."""
    try:
        np.broadcast_shapes(*map(tuple, leading.values()))
    except ValueError:
        got = ", ".join(f"{name} {tuple(axes)}" for name, axes in leading.items())
        raise ValueError(f"leading axes must broadcast, got {got}") from None


def _shapes(**arrays):
    return ", ".join(f"{name} {tuple(x.shape)}" for name, x in arrays.items())
