"""Chapter 9, on torch: the six parts of a Transformer, each a function that a reader may replace.

A part is given what stands below it as an argument, so that any of them can be exchanged alone:
`all_heads` is told how to attend, `block` and `decoder_block` what their steps are.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.functional import layer_norm

from .attention import attention
from .heads import merge_heads, split_heads
from .masks import causal_mask
from .positions import rotate


def attend(query, key, value, mask) -> torch.Tensor:
    """Part 1, attention: what each query finds among what it may see.

    Args:
        query: ``(..., n_q, d_k)``.
        key: ``(..., n_k, d_k)``.
        value: ``(..., n_k, d_v)``.
        mask: boolean, to ``(..., n_q, n_k)``, **True = may attend**.

    Returns:
        Output ``(..., n_q, d_v)``; 0 for a query that may see nothing.

    Raises:
        TypeError, ValueError: as `attention`.

    Source: Vaswani et al. 2017, equation 1.

    >>> see = torch.tensor([[True, False, True]])
    >>> attend(torch.zeros(1, 2), torch.zeros(3, 2), torch.eye(3), see)
    tensor([[0.5000, 0.0000, 0.5000]])
    """
    return attention(query, key, value, mask=mask)


def causal(n_q, n_k) -> torch.Tensor:
    """Part 2, mask: the last ``n_q`` of ``n_k`` positions see themselves and what came before.

    Args:
        n_q: number of queries.
        n_k: number of keys; the last query stands at the last key.

    Returns:
        Boolean tensor ``(n_q, n_k)``, **True = may attend**.

    Raises:
        TypeError, ValueError: as `causal_mask`.

    Source: Vaswani et al. 2017, section 3.2.3.

    >>> causal(2, 3)
    tensor([[ True,  True, False],
            [ True,  True,  True]])
    """
    return torch.from_numpy(causal_mask(n_q, n_k))


def turn(x, positions) -> torch.Tensor:
    """Part 3, rotary: each pair of neighbouring features is turned by its position.

    Args:
        x: ``(..., n, d)``, d even.
        positions: ``(n,)``.

    Returns:
        Tensor ``(..., n, d)``; pair i is turned by ``positions`` times :math:`10000^{-2i/d}`.

    Raises:
        TypeError, ValueError: as `rotate`.

    Source: Su et al. 2021, equation 34.

    >>> turn(torch.tensor([[1.0, 0.0]]), torch.tensor([1]))
    tensor([[0.5403, 0.8415]])
    """
    return rotate(x, positions)


def all_heads(x, memory, weights, heads, find: Callable) -> torch.Tensor:
    """Part 4, heads: projected, cut into heads, looked up in each of them, and put together.

    Args:
        x: ``(..., n_q, d)``, who asks.
        memory: ``(..., n_k, d)``, who is asked; x itself in self-attention.
        weights: the matrices for query, key, value and output, each ``(d, d)``.
        heads: number of heads; divides d.
        find: called with query, key and value, each ``(..., heads, n, d / heads)``, once; returns
            what each head finds.

    Returns:
        Tensor ``(..., n_q, d)``.

    Raises:
        TypeError, ValueError: as `split_heads`.

    Source: Vaswani et al. 2017, section 3.2.2.

    >>> x, one = torch.tensor([[1.0, 2.0]]), torch.eye(2)
    >>> all_heads(x, x, (one, one, one, 2 * one), 2, lambda query, key, value: value)
    tensor([[2., 4.]])
    """
    w_query, w_key, w_value, w_out = weights
    query, key, value = (split_heads(y @ w, heads) for y, w in (
        (x, w_query), (memory, w_key), (memory, w_value)))  # (..., heads, n, d / heads)
    return merge_heads(find(query, key, value)) @ w_out  # (..., n_q, d)


def block(x, look: Callable, work: Callable) -> torch.Tensor:
    """Part 5, block: positions exchange what they know, then each works on it.

    Args:
        x: ``(..., n, d)``.
        look, work: the two steps, called with the normalised ``(..., n, d)`` (mean 0, variance 1
            in each row, the root taken of the variance plus 1e-5); what each returns is added.

    Returns:
        Tensor ``(..., n, d)``.

    Source: Xiong et al. 2020 (pre-norm).

    >>> block(torch.tensor([[5.0, 9.0]]), lambda x: 0 * x, lambda x: x).round()
    tensor([[ 4., 10.]])
    """
    x = x + look(_normed(x))
    return x + work(_normed(x))


def decoder_block(x, memory, look: Callable, ask: Callable, work: Callable) -> torch.Tensor:
    """Part 6, decoder block: between the two steps of a block, a look into a memory.

    Args:
        x: ``(..., n, d)``.
        memory: ``(..., n_k, d)``, taken as it is.
        look, work: as in `block`.
        ask: the step between them, called with the normalised x and the memory.

    Returns:
        Tensor ``(..., n, d)``.

    Source: Vaswani et al. 2017, section 3.1.

    >>> nothing = lambda x: 0 * x
    >>> decoder_block(torch.ones(2, 4), torch.ones(3, 4), nothing,
    ...               lambda x, memory: memory[:2], nothing).shape
    torch.Size([2, 4])
    """
    x = x + look(_normed(x))
    x = x + ask(_normed(x), memory)
    return x + work(_normed(x))


def _normed(x):
    return layer_norm(x, x.shape[-1:])
