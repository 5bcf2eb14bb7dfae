"""What attention weights tell: how spread, how far, how alike, and what reaches what.

Weights are ``(..., n_q, n_k)`` as `attention_weights` gives them: rows sum to one, or are all 0
where a query sees nothing. All but `receptive_field` (torch) take numpy arrays or torch tensors
and return the same kind, in float32 or wider. Entropies are in nats.
"""

from array_api_compat import device

from .attention import _cast, _check_floating, _check_kind, _product, _shapes, _wide_dtype
from .masks import Array, steps_back, whole_number


def entropy(weights) -> Array:
    r"""How undecided each query is: :math:`-\sum_j w_{ij} \ln w_{ij}`.

    Args:
        weights: ``(..., n_q, n_k)``.

    Returns:
        ``(..., n_q)``, in nats: 0 for a single key, :math:`\ln n_k` for even weights. 0 for an
        empty row and where ``n_k`` is 0. Its gradient is finite at a weight of 0.

    Raises:
        TypeError: if ``weights`` is not a floating array.
        ValueError: if it has fewer than two axes.

    Source: Shannon 1948, section 6; of attention weights, Clark et al. 2019, section 3.3.

    >>> import numpy as np
    >>> entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).round(3)
    array([0.693, 0.   ])
    """
    xp, weights = _check_weights(weights)
    logs = xp.log(xp.where(weights > 0, weights, 1.0))  # 0 ln 0 = 0
    return xp.sum(weights * -logs, axis=-1)


def effective_keys(weights) -> Array:
    r"""How many keys a query spreads over: :math:`e^H`, H its `entropy`.

    Args:
        weights: ``(..., n_q, n_k)``.

    Returns:
        ``(..., n_q)``, in keys: 1 for a single key, n for n equally weighted ones. 0 for an
        empty row and where ``n_k`` is 0.

    Raises:
        TypeError, ValueError: as `entropy`.

    Source: Hill 1973 (the effective number of order 1).

    >>> import numpy as np
    >>> effective_keys(np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])).round(3)
    array([2., 0.])
    """
    xp, weights = _check_weights(weights)
    return xp.where(xp.any(weights > 0, axis=-1), xp.exp(entropy(weights)), 0.0)


def top_mass(weights, k) -> Array:
    """What share of a query's weight its k largest weights hold.

    Args:
        weights: ``(..., n_q, n_k)``.
        k: how many keys to count; all of them where ``n_k`` is smaller.

    Returns:
        ``(..., n_q)``, between 0 and 1; 0 for an empty row, and where ``n_k`` is 0.

    Raises:
        TypeError: if ``weights`` is not a floating array or ``k`` not a whole number.
        ValueError: if ``weights`` has fewer than two axes or ``k`` is below 1.

    Source: Hall and Tideman 1967 (the concentration ratio).

    >>> import numpy as np
    >>> top_mass(np.array([[0.5, 0.125, 0.375]]), 2)
    array([0.875])
    """
    xp, weights = _check_weights(weights)
    whole_number("k", k, 1)
    largest = xp.sort(weights, axis=-1, descending=True)[..., :k]  # (..., n_q, min(k, n_k))
    return xp.sum(largest, axis=-1)


def mean_distance(weights) -> Array:
    r"""How far a query looks: :math:`\sum_j w_{ij}\,|p_i - j|`, with :math:`p_i = n_k - n_q + i`.

    Args:
        weights: ``(..., n_q, n_k)``.

    Returns:
        ``(..., n_q)``, in positions. 0 for an empty row and where ``n_k`` is 0.

    Raises:
        TypeError, ValueError: as `entropy`.

    Source: Dosovitskiy et al. 2021, section 4.5 (attention distance).

    >>> import numpy as np
    >>> mean_distance(np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]]))
    array([0. , 0.5, 1. ])
    """
    xp, weights = _check_weights(weights)
    behind = steps_back(*weights.shape[-2:], xp=xp, device=device(weights))  # (n_q, n_k)
    return xp.sum(weights * xp.astype(xp.abs(behind), weights.dtype), axis=-1)


def head_similarity(weights) -> Array:
    r"""How much of their weight each two heads put on the same keys.

    For heads a and b: :math:`\sum_{ij} \min(w^a_{ij}, w^b_{ij})`, divided by the larger number
    of queries that see something; that is one minus the mean total variation distance.

    Args:
        weights: ``(..., heads, n_q, n_k)``.

    Returns:
        ``(..., heads, heads)``, between 0 (no key in common) and 1 (the same weights). 0 where
        every row of both heads is empty, or ``n_q`` or ``n_k`` is 0.

    Raises:
        TypeError: if ``weights`` is not a floating array.
        ValueError: if it has fewer than three axes.

    Source: Levin and Peres 2017 (total variation).

    >>> import numpy as np
    >>> head_similarity(np.array([[[1.0, 0.0]], [[0.25, 0.75]]]))
    array([[1.  , 0.25],
           [0.25, 1.  ]])
    """
    xp, weights = _check_weights(weights, "(..., heads, n_q, n_k)")
    shared = xp.minimum(weights[..., :, None, :, :],
                        weights[..., None, :, :, :])  # (..., heads, heads, n_q, n_k)
    rows = xp.sum(_cast(xp, xp.any(weights > 0, axis=-1), weights.dtype), axis=-1)  # (..., heads)
    rows = xp.maximum(rows[..., :, None], rows[..., None, :])  # (..., heads, heads)
    return xp.sum(shared, axis=(-2, -1)) / xp.where(rows > 0, rows, 1.0)


def rollout(list_of_weights) -> Array:
    r"""How much of each input reaches each output, if weights of later layers multiply.

    With :math:`A_l = (W_l + I) / 2`, where W is the mean over heads and I stands for the residual
    connection: :math:`A_L \cdots A_1`. Each :math:`A_l` is divided by its rows' sums.

    Args:
        list_of_weights: one array ``(..., heads, n, n)`` per layer, first layer first.

    Returns:
        ``(..., n, n)``; rows (outputs) sum to one over columns (inputs). A query that sees nothing
        in a layer hands on its residual alone.

    Raises:
        TypeError: if it is not a list, an array is not floating, or the kinds differ.
        ValueError: if the list is empty or the shapes differ or do not fit.

    Source: Abnar and Zuidema 2020, section 3.

    >>> import numpy as np
    >>> uniform = np.full((1, 2, 2), 0.5)
    >>> rollout([uniform, uniform])
    array([[0.625, 0.375],
           [0.375, 0.625]])
    """
    xp, n = _check_layers("list_of_weights", list_of_weights, "(..., heads, n, n)")
    _check_floating(**_named("list_of_weights", list_of_weights))
    wide = _wide_dtype(xp, *list_of_weights)
    residual = xp.eye(n, dtype=wide, device=device(list_of_weights[0]))
    reached = residual
    for weights in list_of_weights:
        step = xp.mean(_cast(xp, weights, wide), axis=-3) + residual  # (..., n, n)
        reached = _product(step / xp.sum(step, axis=-1, keepdims=True), reached)
    return reached


def reachable(masks) -> Array:
    """What each output can depend on, by the graph of what may attend to what, layer after layer.

    A residual connection counts: every position reaches itself. Compare `receptive_field`, which
    asks the gradient.

    Args:
        masks: one boolean array ``(..., n, n)`` per layer, first layer first, True = may attend.

    Returns:
        Boolean ``(..., n, n)``: True where output i can depend on input j.

    Raises:
        TypeError: if ``masks`` is not a list, a mask is not boolean, or the kinds differ.
        ValueError: if there are no masks, or their shapes differ or do not fit.

    Source: Beltagy et al. 2020, section 3.1 (a window's receptive field grows with each layer).

    >>> from attnlib import window_mask
    >>> reachable([window_mask(4, window=2, causal=True)] * 2)[-1]
    array([False,  True,  True,  True])
    """
    xp, n = _check_layers("masks", masks, "(..., n, n)")
    for name, mask in _named("masks", masks).items():
        if not xp.isdtype(mask.dtype, "bool"):
            raise TypeError(f"{name} must be boolean (True = may attend), got {mask.dtype}")
    residual = xp.eye(n, dtype=xp.float32, device=device(masks[0]))
    reached = residual
    for mask in masks:
        paths = _product(xp.astype(mask, xp.float32) + residual, reached)  # (..., n, n)
        reached = xp.astype(paths > 0, xp.float32)
    return reached > 0


def receptive_field(function, x) -> Array:
    r"""How strongly each input moves each output: :math:`\|\partial y_i / \partial x_j\|`.

    By gradient, at this one input: 0 means that a small change of :math:`x_j` leaves :math:`y_i`
    alone. What could be reached at some other input is `reachable`'s question.

    Args:
        function: takes ``x`` and returns a tensor ``(n_out, d_out)``.
        x: torch tensor ``(n_in, d_in)``, real floating.

    Returns:
        Torch tensor ``(n_out, n_in)``: the Frobenius norm of each block of the Jacobian, in units
        of y per unit of x. 0 where a width is 0.

    Raises:
        ModuleNotFoundError: where torch is missing.
        TypeError: if ``x`` is not a floating torch tensor.
        ValueError: if ``x`` or the function's result has not two axes.

    Source: Luo et al. 2016 (the effective receptive field).

    >>> import torch
    >>> receptive_field(lambda x: x.cumsum(0), torch.ones(3, 1))
    tensor([[1., 0., 0.],
            [1., 1., 0.],
            [1., 1., 1.]])
    """
    import torch

    _check_floating(x=x)
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"x must be a torch tensor, got {type(x).__name__}")
    if not callable(function):
        raise TypeError(f"function must be a function of x, got {function!r}")
    jacobian = torch.autograd.functional.jacobian(function, x)  # (n_out, d_out, n_in, d_in)
    if x.ndim != 2 or jacobian.ndim != 4:
        raise ValueError("receptive_field needs x (n_in, d_in) and function(x) (n_out, d_out), "
                         f"got x {tuple(x.shape)} and "
                         f"function(x) {tuple(jacobian.shape[:jacobian.ndim - x.ndim])}")
    return jacobian.square().sum(dim=(1, 3)).sqrt()  # (n_out, n_in)


def rank_one_residual(x) -> Array:
    r"""How far the rows are from being all the same: :math:`\|X - 1\bar x^T\| / \|X\|`.

    The mean row is the best single row in the Frobenius norm, which is used here (the paper's is
    the root of the 1-norm times the infinity-norm). Compute it after each layer to see the rank
    collapse; below about 1e-15 (float64) it is rounding.

    Args:
        x: ``(..., n, d)``, real floating.

    Returns:
        ``(...)``, between 0 (all rows the same) and 1; 0 where ``x`` is all 0 or has no entry.

    Raises:
        TypeError: if ``x`` is not a floating array.
        ValueError: if it has fewer than two axes.

    Source: Dong et al. 2021.

    >>> import numpy as np
    >>> float(rank_one_residual(np.array([[3.0, 4.0], [3.0, 4.0]])))
    0.0
    >>> float(rank_one_residual(np.array([[1.0], [-1.0]])))
    1.0
    """
    xp, x = _check_weights(x, "(..., n, d)", "x")
    mean = xp.sum(x, axis=-2, keepdims=True) / max(x.shape[-2], 1)  # (..., 1, d)
    residual, size = (xp.sqrt(xp.sum(part * part, axis=(-2, -1))) for part in (x - mean, x))
    return residual / xp.where(size > 0, size, 1.0)


# What the diagnostics above share.


def _check_weights(weights, wanted="(..., n_q, n_k)", name="weights"):
    """Raise unless floating with enough axes; return namespace and weights, widened."""
    xp = _check_floating(**{name: weights})
    if weights.ndim < wanted.count(","):
        raise ValueError(f"{name} must be {wanted}, got {name} {tuple(weights.shape)}")
    return xp, _cast(xp, weights, _wide_dtype(xp, weights))


def _check_layers(name, layers, wanted):
    """Raise unless there are layers, of one kind and one shape; return namespace and n."""
    if not hasattr(layers, "__len__"):
        raise TypeError(f"{name} must be a list of arrays {wanted}, one per layer, got {layers!r}")
    if len(layers) == 0:
        raise ValueError(f"{name} must hold one array {wanted} per layer, got none")
    xp = _check_kind(**_named(name, layers))
    shape, *others = {tuple(layer.shape) for layer in layers}
    if others or len(shape) < wanted.count(",") or shape[-1] != shape[-2]:
        raise ValueError(f"{name} must be of one shape {wanted}, "
                         f"got {_shapes(**_named(name, layers))}")
    return xp, shape[-1]


def _named(name, layers):
    return {f"{name}[{index}]": layer for index, layer in enumerate(layers)}
