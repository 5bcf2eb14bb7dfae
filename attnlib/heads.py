"""Chapter 6: one wide vector as several narrow heads, and back.

Heads are a leading axis, just before the positions: ``(..., heads, n, d)``. These functions only
move numbers; they take numpy arrays or torch tensors of any dtype and return the same kind.
"""

from .attention import _check_kind
from .masks import Array, whole_number


def split_heads(x, heads) -> Array:
    """Each head takes its own run of neighbouring features.

    Args:
        x: ``(..., n, d)``.
        heads: number of heads; divides d.

    Returns:
        Array ``(..., heads, n, d / heads)``.

    Raises:
        TypeError: if ``x`` is not an array or ``heads`` not a whole number.
        ValueError: if ``x`` has fewer than two axes or ``heads`` does not divide d.

    Source: Vaswani et al. 2017, section 3.2.2.

    >>> import numpy as np
    >>> split_heads(np.array([[1, 2, 3, 4], [5, 6, 7, 8]]), 2)
    array([[[1, 2],
            [5, 6]],
           [[3, 4],
            [7, 8]]])
    """
    xp = _check_axes(x, "(..., n, d)")
    whole_number("heads", heads, 1)
    *leading, n, d = x.shape
    if d % heads:
        raise ValueError(f"heads must divide the width d of x, got heads {heads} "
                         f"and x {tuple(x.shape)}")
    x = xp.reshape(x, (*leading, n, heads, d // heads))  # (..., n, heads, d / heads)
    return _exchanged(xp, x)  # (..., heads, n, d / heads)


def merge_heads(x) -> Array:
    """What the heads found, side by side in one vector: `split_heads` undone.

    Args:
        x: ``(..., heads, n, d)``.

    Returns:
        Array ``(..., n, heads * d)``.

    Raises:
        TypeError: if ``x`` is not an array.
        ValueError: if ``x`` has fewer than three axes.

    Source: Vaswani et al. 2017, section 3.2.2 ("Concat").

    >>> import numpy as np
    >>> merge_heads(np.array([[[1, 2], [5, 6]], [[3, 4], [7, 8]]]))
    array([[1, 2, 3, 4],
           [5, 6, 7, 8]])
    """
    xp = _check_axes(x, "(..., heads, n, d)")
    *leading, heads, n, d = x.shape
    x = _exchanged(xp, x)  # (..., n, heads, d)
    return xp.reshape(x, (*leading, n, heads * d))  # (..., n, heads * d)


def repeat_heads(x, times) -> Array:
    """Grouped attention: each key or value head serves ``times`` query heads in a row.

    Query head h uses key and value head ``h // times``: copies stand next to each other
    (a a b b, not a b a b).

    Args:
        x: ``(..., kv_heads, n, d)``.
        times: number of query heads that share one key and value head.

    Returns:
        Array ``(..., kv_heads * times, n, d)``.

    Raises:
        TypeError: if ``x`` is not an array or ``times`` not a whole number.
        ValueError: if ``x`` has fewer than three axes or ``times`` is below 1.

    Source: Ainslie et al. 2023, section 2.2; with one key head, Shazeer 2019, section 3.

    >>> import numpy as np
    >>> repeat_heads(np.array([[[1]], [[2]]]), 2)[:, 0, 0]
    array([1, 1, 2, 2])
    """
    xp = _check_axes(x, "(..., kv_heads, n, d)")
    whole_number("times", times, 1)
    return xp.repeat(x, times, axis=-3)


def _check_axes(x, wanted):
    """Raise unless x is an array with enough axes; return its namespace."""
    xp = _check_kind(x=x)
    if x.ndim < wanted.count(","):
        raise ValueError(f"x must be {wanted}, got x {tuple(x.shape)}")
    return xp


def _exchanged(xp, x):
    """The heads and the positions change places. (torch.vmap has no rule for moveaxis.)"""
    return xp.permute_dims(x, (*range(x.ndim - 3), x.ndim - 2, x.ndim - 3, x.ndim - 1))
