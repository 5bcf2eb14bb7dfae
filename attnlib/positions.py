"""Chapter 5: what tells attention where things stand.

Three ways: numbers added to the input (sinusoids), queries and keys turned by an angle that grows
with the position (rotary), and a bias on the scores that grows with the distance (ALiBi).
"""

import math
import numbers

import numpy as np
from array_api_compat import (
    array_namespace,
    device,
    is_array_api_obj,
    is_numpy_array,
    is_torch_array,
)

from .attention import _cast, _check_floating, _wide_dtype
from .masks import Array, compiling, lengths_of, steps_back, whole_number


def sinusoidal_positions(n, dim) -> np.ndarray:
    r"""One vector per position: :math:`\sin(p\,\omega_i)` and :math:`\cos(p\,\omega_i)` in turn.

    Columns 2i and 2i+1 hold the sine and the cosine of one angular frequency,
    :math:`\omega_i = 10000^{-2i/dim}` radians per position.

    Args:
        n: number of positions, 0 to n - 1.
        dim: width of the vectors; even.

    Returns:
        Numpy array ``(n, dim)``, float64.

    Raises:
        TypeError: if ``n`` or ``dim`` is not a whole number.
        ValueError: if one is negative, or ``dim`` is odd.

    Source: Vaswani et al. 2017, section 3.5.

    >>> sinusoidal_positions(2, 4).round(2)
    array([[0.  , 1.  , 0.  , 1.  ],
           [0.84, 0.54, 0.01, 1.  ]])
    """
    whole_number("n", n, 0)
    whole_number("dim", dim, 0)
    if dim % 2:
        raise ValueError(f"dim must be even (sines and cosines come in pairs), got {dim}")
    angles = np.arange(n)[:, None] * _frequencies(dim, 10000.0)  # (n, dim / 2)
    return np.stack((np.sin(angles), np.cos(angles)), axis=-1).reshape(n, dim)


def rotate(x, positions=None, base=10000.0) -> Array:
    r"""Rotary positions: turn each pair of features by an angle that grows with the position.

    The pair of features 2i and 2i+1 at position p is turned by :math:`p\,base^{-2i/dim}` radians.
    Turn queries and keys, not values: their scores then depend on distances alone.

    Args:
        x: ``(..., n, dim)``, real floating; ``dim`` even.
        positions: where each vector stands, real numbers that broadcast to ``(..., n)`` (a numpy
            array or list is welcome beside any kind); 0 to n - 1 if not given. After a cache of
            c keys, ``c + np.arange(n)``.
        base: the slowest pair takes about ``2 * pi * base`` positions for a turn; above 0.

    Returns:
        Array of the shape, kind and dtype of ``x``.

    Raises:
        TypeError: if ``x`` is not a floating array, or a position or ``base`` not a real number.
        ValueError: if ``dim`` is odd, ``positions`` do not fit (both shapes are named), or
            ``base`` is not finite and above 0.

    Source: Su et al. 2021, sections 3.2.2 and 3.4.2.

    >>> quarter = np.pi / 2
    >>> rotate(np.array([[1.0, 0.0], [1.0, 0.0]]), positions=[0, quarter]).round(6)
    array([[1., 0.],
           [0., 1.]])
    """
    xp = _check_floating(x=x)
    if x.ndim < 2 or x.shape[-1] % 2:
        raise ValueError(f"x must be (..., n, dim) with an even dim, got x {tuple(x.shape)}")
    if not isinstance(base, numbers.Real) or isinstance(base, bool):
        raise TypeError(f"base must be a number, got {base!r}")
    if not 0 < base < math.inf:
        raise ValueError(f"base must be finite and above 0, got {base!r}")
    positions = _check_positions(xp, x, positions)
    own = array_namespace(positions)  # that of x, or numpy's
    angles = _angles(positions, x.shape[-1], base)  # (..., n, dim / 2)
    cos, sin = (xp.asarray(turned, dtype=_wide_dtype(xp, x), device=device(x))
                for turned in (own.cos(angles), own.sin(angles)))
    first, second = x[..., 0::2], x[..., 1::2]  # (..., n, dim / 2) each
    turned = xp.stack((first * cos - second * sin,
                       first * sin + second * cos), axis=-1)  # (..., n, dim / 2, 2)
    return _cast(xp, xp.reshape(turned, x.shape), x.dtype)


def alibi_bias(heads, n_q, n_k=None) -> np.ndarray:
    r"""Attention with linear biases: :math:`-m_h\,|p_i - j|`, a slope :math:`m_h` for each head.

    With a power of two of heads the slopes are :math:`2^{-8/heads}, 2^{-16/heads}, \dots, 2^{-8}`.
    Otherwise those of the power of two below come first, then every other one of the power of two
    above. The paper hides the keys after the query; this bias is symmetric, so
    that it serves both ways: for the paper's model, add ``causal=True``.

    Args:
        heads: number of heads.
        n_q: number of queries.
        n_k: number of keys; ``n_q`` if not given. Query i stands at ``n_k - n_q + i``.

    Returns:
        Numpy array ``(heads, n_q, n_k)``, float64: a ``bias`` for `attention`.

    Raises:
        TypeError, ValueError: if ``heads`` is not a whole number of at least 1, or a length not
            one of at least 0.

    Source: Press et al. 2022, section 3; heads not a power of two and keys after the query as in
    the authors' code (github.com/ofirpress/attention_with_linear_biases, and issue 5 there).

    >>> alibi_bias(8, 1, 4)[:2]
    array([[[-1.5 , -1.  , -0.5 , -0.  ]],
           [[-0.75, -0.5 , -0.25, -0.  ]]])
    """
    whole_number("heads", heads, 1)
    below = 1 << (int(heads).bit_length() - 1)  # the power of two at or below heads
    halvings = np.concatenate((8 / below * np.arange(1, below + 1),
                               4 / below * np.arange(1, 2 * (heads - below), 2)))  # (heads,)
    distance = np.abs(steps_back(*lengths_of(n_q, n_k)))  # (n_q, n_k)
    return -np.exp2(-halvings)[:, None, None] * distance


def _check_positions(xp, x, positions):
    """The positions, of x's kind or numpy; raise unless they are numbers and fit x.

    Of torch they stay on the CPU: other devices may lack float64.
    """
    lead = tuple(x.shape[:-1])
    if positions is None:
        here = "cpu" if is_numpy_array(x) or is_torch_array(x) else device(x)
        return xp.arange(lead[-1], device=here)
    if isinstance(positions, (np.ndarray, np.generic)) or not is_array_api_obj(positions):
        try:
            positions = np.asarray(positions)
        except ValueError:
            raise ValueError("positions must have as many numbers in each row, "
                             f"got {positions!r}") from None
        if compiling() and is_torch_array(x):  # torch.compile cannot follow numpy's dtypes
            positions = xp.asarray(positions, device="cpu")
    own = np if isinstance(positions, (np.ndarray, np.generic)) else array_namespace(positions)
    if own not in (np, xp):
        raise TypeError(f"positions must be of the kind of x, or numpy, "
                        f"got {type(positions).__module__}.{type(positions).__name__}")
    if not own.isdtype(positions.dtype, ("integral", "real floating")):
        raise TypeError(f"positions must be real numbers, got {positions.dtype}")
    if positions.ndim > len(lead) or any(
            size not in (1, wanted) for size, wanted in zip(positions.shape[::-1], lead[::-1])):
        raise ValueError("positions must broadcast to the (..., n) of x, got positions "
                         f"{tuple(positions.shape)} and x {lead + (x.shape[-1],)}")
    return positions


def _angles(positions, dim, base):
    """Radians, float64 whatever they turn: far positions need the digits. (..., dim / 2)"""
    own = array_namespace(positions)
    frequencies = own.asarray(_frequencies(dim, base), device=device(positions))
    return own.astype(positions, frequencies.dtype)[..., None] * frequencies


def _frequencies(dim, base):
    """Radians per position, numpy float64 ``(dim / 2,)``."""
    return float(base) ** (-np.arange(0, dim, 2) / dim)
