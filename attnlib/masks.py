"""Chapter 4: which key each query may look at.

One convention everywhere: a mask is boolean and **True means "may attend"**. Masks combine
with ``&``. What is made from numbers alone is a numpy array, welcome beside any other kind.
"""

import numpy as np


def visible(n_q, n_k, *, causal=False, window=None, xp=np, device=None):
    """Which of n_k keys each of n_q queries may see, or None where nothing is hidden.

    The one place where queries and keys are aligned: query i stands at position
    ``n_k - n_q + i``, so that the last query stands at the last key.

    Args:
        n_q, n_k: number of queries and of keys.
        causal: hide every key that stands after the query.
        window: causal: the number of keys seen, the query's own included.
            Otherwise: keys at a distance below ``window`` are seen, on both sides.
        xp: the array namespace to build with.
        device: where to build it.

    Returns:
        A boolean array ``(n_q, n_k)``, True where the query may attend; or None.

    Raises:
        TypeError, ValueError: if a length or ``window`` is not a whole number in range.

    >>> visible(2, 4, causal=True, window=2)
    array([[False,  True,  True, False],
           [False, False,  True,  True]])
    """
    whole_number("n_q", n_q, 0)
    whole_number("n_k", n_k, 0)
    if window is not None:
        whole_number("window", window, 1)
    if not causal and window is None:
        return None
    position = xp.arange(n_q, device=device)[:, None] + (n_k - n_q)
    distance = position - xp.arange(n_k, device=device)[None, :]  # (n_q, n_k)
    if not causal:
        return xp.abs(distance) < window
    if window is None:
        return distance >= 0
    return (distance >= 0) & (distance < window)


def causal_mask(n_q, n_k=None):
    """Each query sees the keys up to its own position.

    Args:
        n_q: number of queries.
        n_k: number of keys; ``n_q`` if not given. Query i stands at ``n_k - n_q + i``.

    Returns:
        Boolean numpy array ``(n_q, n_k)``, True = may attend.

    Raises:
        TypeError, ValueError: if a length is not a whole number of at least 0.

    Source: Vaswani et al. 2017, section 3.2.3.

    >>> causal_mask(2, 3)
    array([[ True,  True, False],
           [ True,  True,  True]])
    """
    return visible(n_q, n_q if n_k is None else n_k, causal=True)


def whole_number(name, number, least):
    """Raise unless ``number`` is a whole number of at least ``least``; the message names it.

    >>> whole_number("window", 0, 1)
    Traceback (most recent call last):
    ...
    ValueError: window must be at least 1, got 0
    """
    if isinstance(number, (bool, np.bool_)) or not isinstance(number, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number, got {number!r}")
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
