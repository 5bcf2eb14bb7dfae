"""Chapter 4: which key each query may look at.

One convention everywhere: a mask is boolean and **True means "may attend"**. Masks combine
with ``&``. What is made from numbers alone is a numpy array, welcome beside any other kind.
"""

import sys
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from array_api_compat import device as device_of

Array = Any  # of numpy, torch or another kind that array_api_compat knows: what came in


def visible(n_q, n_k, *, causal=False, window=None, xp=np, device=None) -> Array:
    """Which of n_k keys each of n_q queries may see, or None where nothing is hidden.

    Args:
        n_q, n_k: number of queries and of keys; query i stands at position ``n_k - n_q + i``.
        causal: hide every key that stands after the query.
        window: causal: the number of keys seen, the query's own included.
            Otherwise: keys at a distance below ``window`` are seen, on both sides.
        xp: the array namespace to build with.
        device: where to build it.

    Returns:
        A boolean array ``(n_q, n_k)``, True where the query may attend; or None.

    Raises:
        TypeError, ValueError: if ``causal`` is not True or False, or ``window`` not a whole number
            of at least 1.

    >>> visible(2, 4, causal=True, window=2)
    array([[False,  True,  True, False],
           [False, False,  True,  True]])
    """
    true_or_false("causal", causal)
    if window is not None:
        whole_number("window", window, 1)
    elif not causal:
        return None
    behind = steps_back(n_q, n_k, xp=xp, device=device)
    if not causal:
        return xp.abs(behind) < window
    return behind >= 0 if window is None else (behind >= 0) & (behind < window)


def steps_back(n_q, n_k, *, xp=np, device=None) -> Array:
    """How many positions each key stands before each query; negative where it stands after.

    The one place where queries and keys are aligned: query i stands at position
    ``n_k - n_q + i``, so that the last query stands at the last key.

    Args:
        n_q, n_k: number of queries and of keys.
        xp: the array namespace to build with.
        device: where to build it.

    Returns:
        A whole-number array ``(n_q, n_k)``, in positions.

    >>> steps_back(2, 3)
    array([[ 1,  0, -1],
           [ 2,  1,  0]])
    """
    query_position = _counted(xp, n_q, device)[:, None] + (n_k - n_q)  # (n_q, 1)
    return query_position - _counted(xp, n_k, device)[None, :]  # (n_q, n_k)


def causal_mask(n_q, n_k=None) -> np.ndarray:
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
    return visible(*lengths_of(n_q, n_k), causal=True)


def window_mask(n_q, n_k=None, *, window, causal=False) -> np.ndarray:
    """Each query sees the keys near its own position: a band.

    Args:
        n_q: number of queries.
        n_k: number of keys; ``n_q`` if not given. Query i stands at ``n_k - n_q + i``.
        window: causal: exactly this many keys, the query's own included (fewer at the start).
            Otherwise: the keys at a distance below ``window``, on both sides.
        causal: hide every key that stands after the query.

    Returns:
        Boolean numpy array ``(n_q, n_k)``, True = may attend.

    Raises:
        TypeError, ValueError: if a length is not a whole number of at least 0, ``window`` not one
            of at least 1, or ``causal`` not True or False.

    Source: Beltagy et al. 2020, section 3.1 (their window of w is ``window = w / 2 + 1`` here).

    >>> window_mask(3, window=2, causal=True)
    array([[ True, False, False],
           [ True,  True, False],
           [False,  True,  True]])
    """
    whole_number("window", window, 1)
    return visible(*lengths_of(n_q, n_k), causal=causal, window=window)


def padding_mask(lengths, n) -> np.ndarray:
    """In a batch of sequences padded to one length, every query sees its own sequence alone.

    Args:
        lengths: whole numbers of any shape (array, list or number): how many of the n positions
            of each sequence are real. The real ones come first.
        n: length that the sequences are padded to.

    Returns:
        Boolean numpy array ``(*lengths.shape, 1, n)``, True = may attend. The axis of length 1
        is the queries'; for scores ``(batch, heads, n_q, n)`` give lengths of shape (batch, 1).
        Of lengths that numpy cannot read, on a GPU or traced (``torch.vmap``, ``torch.export``,
        ``jax.jit``), it is of their kind.

    Raises:
        TypeError: if ``n`` or a length is not a whole number.
        ValueError: if ``n`` is below 0, or a length is not between 0 and ``n`` (looked for where
            numpy can read them).

    Source: Vaswani et al. 2017, section 3.2.3 (illegal connections are set to minus infinity).

    >>> padding_mask([1, 3], 3)
    array([[[ True, False, False]],
           [[ True,  True,  True]]])
    """
    whole_number("n", n, 0)
    xp, device = np, None
    try:
        lengths = np.asarray(lengths)
    except ValueError:  # not of one shape
        raise ValueError("lengths must be numbers of one shape, "
                         f"got lengths {lengths!r}") from None
    except (RuntimeError, TypeError):  # on a GPU, or traced
        xp, device = array_namespace(lengths), device_of(lengths)
    if not compiling():
        if not xp.isdtype(lengths.dtype, "integral"):
            raise TypeError(f"lengths must be whole numbers, got {lengths.dtype}")
        if xp is np and not np.all((0 <= lengths) & (lengths <= n)):
            raise ValueError(f"lengths must be between 0 and n = {n}, "
                             f"got lengths {lengths.tolist()}")
    return _counted(xp, n, device) < lengths[..., None, None]  # (*lengths.shape, 1, n)


def lengths_of(n_q, n_k) -> tuple[int, int]:
    """The number of queries and of keys, as many if not given; raise unless they are lengths.

    >>> lengths_of(2, None)
    (2, 2)
    """
    n_k = n_q if n_k is None else n_k
    whole_number("n_q", n_q, 0)
    whole_number("n_k", n_k, 0)
    return n_q, n_k


def true_or_false(name, value) -> None:
    """Raise unless ``value`` is True or False; the message names it.

    >>> true_or_false("causal", "no")
    Traceback (most recent call last):
    ...
    TypeError: causal must be True or False, got 'no'
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")


def whole_number(name, number, least) -> None:
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


def compiling() -> bool:
    """Whether ``torch.compile`` or ``torch.export`` traces: there are no values to look at.

    >>> compiling()
    False
    """
    torch = sys.modules.get("torch")
    return torch is not None and torch.compiler.is_compiling()


def _counted(xp, n, device):
    """0 to n - 1. (The numpy of ``torch.compile`` has no devices.)"""
    return xp.arange(n) if device is None else xp.arange(n, device=device)
