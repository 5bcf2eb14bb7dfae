"""Chapters 6 and 7, on torch: everything that learns, from one layer to a language model.

Each class is one idea and stands on those above it. The mathematics is in `attention`, `heads` and
`positions`; what is added here are the weights. Leading axes ``...`` (a batch) are free
everywhere; heads never show outside a layer, except in what `weights` returns.
"""

from __future__ import annotations

import functools
import math
import numbers

import torch
from array_api_compat import array_namespace
from torch import nn
from torch.nn.functional import pad

from .attention import _beside, attention, attention_weights
from .heads import merge_heads, repeat_heads, split_heads
from .masks import true_or_false, whole_number
from .positions import alibi_bias, rotate, sinusoidal_positions

POSITIONS = ("none", "sinusoidal", "learned", "rotary", "alibi")


class LearnedPositions(nn.Module):
    """One learned vector per position, to be added to the input.

    Args:
        n: number of positions that there are vectors for.
        dim: width of the vectors.

    Raises:
        TypeError, ValueError: if ``n`` or ``dim`` is not a whole number of at least 1.

    Source: Gehring et al. 2017, section 3.1; Vaswani et al. 2017, section 3.5.

    >>> LearnedPositions(16, 8)(3).shape
    torch.Size([3, 8])
    """

    def __init__(self, n, dim):
        super().__init__()
        whole_number("n", n, 1)
        whole_number("dim", dim, 1)
        self.table = nn.Parameter(torch.randn(n, dim))

    def forward(self, n) -> torch.Tensor:
        """The vectors of the first positions.

        Args:
            n: how many.

        Returns:
            Tensor ``(n, dim)``.

        Raises:
            TypeError, ValueError: if ``n`` is not a whole number from 0 to the table's length.
        """
        whole_number("n", n, 0)
        if n > len(self.table):
            raise ValueError(f"positions are learned for a length of {len(self.table)}, got {n}")
        return self.table[:n]


class KeyValueCache:
    """The keys and values of the positions seen so far, so that no step computes them again.

    Make an empty one and hand it to every call: ``layer(x, causal=True, cache=cache)``. It is the
    one argument that a layer changes. One cache serves a whole stack, each layer by its place in
    it; a second text needs a second cache. It holds ``kv_heads`` heads, keys already rotated.
    Called with a ``window``, a layer keeps only those that a later query can still see.

    Copies, by `copy` or by Python's ``copy`` and ``pickle``, go their own ways. A call that fails
    leaves the cache as it was.

    Raises:
        ValueError: when a layer or stack is given a cache that another kind of layer or stack
            began (another number of layers, other heads, batch, dtype or device), or one that no
            longer holds what its window shows.

    Source: Shazeer 2019, section 2.4 (incremental attention).

    >>> layer, cache = MultiHeadAttention(8, 2), KeyValueCache()
    >>> first, second = torch.ones(3, 8), torch.zeros(1, 8)
    >>> _ = layer(first, causal=True, cache=cache), layer(second, causal=True, cache=cache)
    >>> cache.length
    4
    """

    def __init__(self):
        self._length, self._held, self._layers, self._window = 0, None, [], None

    @property
    def length(self) -> int:
        """The number of positions seen so far, which is the position of the next input.

        >>> KeyValueCache().length
        0
        """
        return self._layers[0].length if self._layers else self._length

    def held(self, layer=0) -> tuple[torch.Tensor, torch.Tensor]:
        """The keys and values that one layer still holds.

        Args:
            layer: its place in the stack; 0 is the first, or a layer by itself.

        Returns:
            key and value, ``(..., kv_heads, n, width)`` each.

        Raises:
            TypeError, ValueError: if ``layer`` is not a whole number, or no such layer was called.

        >>> cache = KeyValueCache()
        >>> _ = MultiHeadAttention(8, 2)(torch.ones(3, 8), cache=cache)
        >>> [x.shape for x in cache.held()]
        [torch.Size([2, 3, 4]), torch.Size([2, 3, 4])]
        """
        whole_number("layer", layer, 0)
        if layer >= len(self._each()):
            raise ValueError(f"the cache holds keys of {len(self._each())} layers, got layer "
                             f"{layer}")
        return self._each()[layer]._held

    def copy(self) -> KeyValueCache:
        """A second cache with the same past: what one then sees, the other does not.

        >>> cache = KeyValueCache()
        >>> _ = MultiHeadAttention(8, 2)(torch.ones(3, 8), cache=cache.copy())
        >>> cache.length
        0
        """
        twin = KeyValueCache()
        twin._length, twin._window = self._length, self._window
        twin._held = self._held  # nobody writes into these tensors
        twin._layers = [layer.copy() for layer in self._layers]
        return twin

    __copy__ = copy

    def __deepcopy__(self, memo):
        return self.copy()

    def reorder(self, order) -> None:
        """Go on with these sequences of the batch, in this order: what a beam search keeps.

        Args:
            order: whole numbers ``(new batch,)``, a tensor or list; a sequence may come twice. The
                batch is the first leading axis.

        Raises:
            TypeError: if ``order`` is not one axis of whole numbers.
            ValueError: if it names a sequence that is not there, or there is no batch.

        >>> layer, cache = MultiHeadAttention(8, 2), KeyValueCache()
        >>> _ = layer(torch.ones(2, 3, 8), cache=cache)
        >>> cache.reorder([1, 1, 0])
        >>> layer(torch.ones(3, 1, 8), cache=cache).shape
        torch.Size([3, 1, 8])
        """
        order = torch.as_tensor(order)
        if order.ndim != 1 or order.dtype not in (torch.int64, torch.int32):
            raise TypeError(f"order must be one axis of whole numbers, got {order!r}")
        for layer in self._each():
            key, value = layer._held
            batch = key.shape[0] if key.ndim > 3 else 0
            if order.numel() and not 0 <= order.min() <= order.max() < batch:
                raise ValueError(f"order must name sequences of the batch, below {batch}, "
                                 f"got {order.tolist()}")
        for layer in self._each():
            layer._held = tuple(x[order.to(x.device)] for x in layer._held)

    def crop(self, length) -> None:
        """Forget all positions from this one on: drafted tokens that were rejected.

        What a window has let go does not come back: where that may be needed, draft on a `copy`.

        Args:
            length: the number of positions to keep.

        Raises:
            TypeError, ValueError: if it is not a whole number from 0 to the present length, or the
                window has let go what the next query would see.

        >>> layer, cache = MultiHeadAttention(8, 2), KeyValueCache()
        >>> _ = layer(torch.ones(5, 8), causal=True, cache=cache)
        >>> cache.crop(3)
        >>> cache.length
        3
        """
        whole_number("length", length, 0)
        if length > self.length:
            raise ValueError(f"length must be at most {self.length}, which it is now, got {length}")
        for layer in self._each():
            if layer._oldest(length, layer._window) < min(layer._dropped, length):
                raise ValueError(f"the window has let go the positions before {layer._dropped}, "
                                 f"and cannot go back to {length}")
        for layer in self._each():
            kept = max(length - layer._dropped, 0)
            layer._held = tuple(x[..., :kept, :] for x in layer._held)
            layer._length = length

    @property
    def _dropped(self):
        """How many positions were seen and are no longer held."""
        return self._length - (0 if self._held is None else self._held[0].shape[-2])

    @staticmethod
    def _oldest(length, window):
        """The first position that the next query sees."""
        return 0 if window is None else max(length - window + 1, 0)

    def _each(self):
        return [layer for layer in self._layers or [self] if layer._held is not None]

    def _by_layer(self, n):
        """A cache for each of n layers, by their place in the stack."""
        if not self._layers and self._held is None:
            self._layers = [KeyValueCache() for _ in range(n)]
        if len(self._layers) != n:
            raise ValueError(f"this cache was begun by {len(self._layers) or 'a single'} layer"
                             f"{'s' * (len(self._layers) > 1)}, and cannot serve a stack of {n}")
        return self._layers

    def _joined(self, key, value, window):
        """Past keys and values with the new ones after them; nothing is kept yet."""
        if self._layers:
            raise ValueError(f"this cache was begun by a stack of {len(self._layers)}, and cannot "
                             "serve a layer by itself")
        if self._held is None:
            return key, value
        for before, now in zip(self._held, (key, value)):
            if (before.shape[:-2], before.shape[-1]) != (now.shape[:-2], now.shape[-1]):
                raise ValueError("a cache goes on with the batch, the heads and the width that it "
                                 f"began with, {(*before.shape[:-2], before.shape[-1])}, "
                                 f"got {(*now.shape[:-2], now.shape[-1])}")
            if (before.dtype, before.device) != (now.dtype, now.device):
                raise ValueError("a cache goes on with the dtype and device that it began with, "
                                 f"{before.dtype} on {before.device}, "
                                 f"got {now.dtype} on {now.device}")
        oldest = self._oldest(self._length, window)
        if oldest < self._dropped:
            raise ValueError(f"a smaller window has let go the positions before {self._dropped}; "
                             f"with window {window}, the next query sees from {oldest} on")
        return tuple(torch.cat(pair, dim=-2) for pair in zip(self._held, (key, value)))

    def _keep(self, key, value, new, window):
        """From now on, these are the keys and values seen, ``new`` of them for the first time."""
        if window is not None:
            start = max(key.shape[-2] - window + 1, 0)
            key, value = (x[..., start:, :].clone() for x in (key, value))  # not a view of all
        self._held, self._length, self._window = (key, value), self._length + new, window


class MultiHeadAttention(nn.Module):
    r"""Several attentions side by side: :math:`\mathrm{Concat}(head_1, \dots, head_h)\,W^O`.

    Each head sees the input through its own projections of width ``dim / heads``. With
    ``kv_heads`` below ``heads``, neighbouring heads share keys and values.

    Args:
        dim: width of the inputs and of the output.
        heads: number of query heads; divides ``dim``.
        kv_heads: number of key and value heads; divides ``heads``, which it is if not given.
            Fewer is grouped attention, 1 is multi-query attention.
        projection_bias: whether the four projections add a learned constant.
        rotary: turn queries and keys by their positions; needs an even ``dim / heads``.

    Raises:
        TypeError: if ``dim`` or a number of heads is not a whole number.
        ValueError: if ``heads`` does not divide ``dim``, ``kv_heads`` not ``heads``, or rotary
            finds an odd width.

    Source: Vaswani et al. 2017, section 3.2.2; Ainslie et al. 2023 (grouped); Shazeer 2019
    (multi-query); Su et al. 2021 (rotary).

    >>> layer = MultiHeadAttention(8, heads=2)
    >>> layer(torch.ones(3, 5, 8)).shape, layer.weights(torch.ones(3, 5, 8)).shape
    (torch.Size([3, 5, 8]), torch.Size([3, 2, 5, 5]))
    """

    def __init__(self, dim, heads, *, kv_heads=None, projection_bias=False, rotary=False):
        super().__init__()
        kv_heads = heads if kv_heads is None else kv_heads
        for name, number in dict(dim=dim, heads=heads, kv_heads=kv_heads).items():
            whole_number(name, number, 1)
        if dim % heads or heads % kv_heads:
            raise ValueError("heads must divide dim, and kv_heads heads, "
                             f"got dim {dim}, heads {heads}, kv_heads {kv_heads}")
        true_or_false("projection_bias", projection_bias)
        true_or_false("rotary", rotary)
        width = dim // heads
        if rotary and width % 2:
            raise ValueError("rotary turns pairs of features and needs an even dim / heads, "
                             f"got dim {dim}, heads {heads}")
        self.heads, self.kv_heads, self.rotary = heads, kv_heads, rotary
        self.q_proj = nn.Linear(dim, dim, bias=projection_bias)
        self.k_proj = nn.Linear(dim, kv_heads * width, bias=projection_bias)
        self.v_proj = nn.Linear(dim, kv_heads * width, bias=projection_bias)
        self.out_proj = nn.Linear(dim, dim, bias=projection_bias)

    def forward(self, query, key=None, value=None, *, mask=None, bias=None, causal=False,
                window=None, cache=None) -> torch.Tensor:
        """What each query finds, through all heads.

        Args:
            query: ``(..., n_q, dim)``.
            key: ``(..., n_k, dim)``; the query itself if not given (self-attention).
            value: ``(..., n_k, dim)``; the key if not given.
            mask: boolean, **True = may attend**, broadcastable to ``(..., n_q, n_k)``. It has no
                head axis: all heads get the same mask.
            bias: floating, broadcastable to ``(..., heads, n_q, n_k)``, added to the scores. It
                has a head axis (one per batch entry is ``(batch, 1, n_q, n_k)``).
            causal, window: as in `attention`.
            cache: a `KeyValueCache`, for self-attention alone. The positions in it come before
                the new ones, and count in n_k, even those that a window has let go. It is changed.

        Returns:
            Output ``(..., n_q, dim)``. A NaN or an infinity in a position makes NaN of the rows
            that see it, and reaches no other row and no gradient of one, those by the weights
            included.

        Raises:
            TypeError: if an argument has the wrong kind or dtype.
            ValueError: if the shapes do not fit, or a cache meets cross-attention.
        """
        new = query.shape[-2:-1]
        query, key, value, how = self._project(query, key, value, cache, mask, bias, window)
        found = attention(query, self._shared(key), self._shared(value), causal=causal,
                          window=window, **how)  # (..., heads, n_q, width)
        if cache is not None:
            cache._keep(key, value, *new, window)
        return _by_row(self.out_proj, merge_heads(found))  # (..., n_q, dim)

    def weights(self, query, key=None, value=None, *, mask=None, bias=None, causal=False,
                window=None, cache=None) -> torch.Tensor:
        """The weights by which `forward`, called with the same arguments, mixes the values.

        Args:
            query, key, value, mask, bias, causal, window, cache: as in `forward`. The cache is
                read and not changed.

        Returns:
            Weights ``(..., heads, n_q, n_k)``, 0 for positions that a cache has let go.

        Raises:
            TypeError, ValueError: as `forward`.

        >>> MultiHeadAttention(8, 2).weights(torch.ones(3, 8), causal=True)[0]
        tensor([[1.0000, 0.0000, 0.0000],
                [0.5000, 0.5000, 0.0000],
                [0.3333, 0.3333, 0.3333]], grad_fn=<SelectBackward0>)
        """
        query, key, _, how = self._project(query, key, value, cache, mask, bias, window)
        weights = attention_weights(query, self._shared(key), causal=causal, window=window, **how)
        return weights if cache is None else pad(weights, (cache._dropped, 0))

    def _project(self, query, key, value, cache, mask, bias, window):
        """Queries (..., heads, n_q, width); keys and values (..., kv_heads, n_k, width); masks."""
        key = query if key is None else key
        value = key if value is None else value
        _check_cache(cache)
        if cache is not None and not (key is query and value is query):
            raise ValueError("cache is for self-attention: give the query alone")
        self._check(query=query, key=key, value=value)
        n_q, n_k = query.shape[-2], key.shape[-2]
        query = split_heads(_by_row(self.q_proj, query), self.heads)  # (..., heads, n_q, width)
        key = split_heads(_by_row(self.k_proj, key), self.kv_heads)  # (..., kv_heads, n_k, width)
        value = split_heads(_by_row(self.v_proj, value), self.kv_heads)
        start, dropped = 0, 0
        if cache is not None:
            start, dropped = cache.length, cache._dropped
        if self.rotary:
            end = start + n_k
            query, key = (rotate(x, torch.arange(end - n, end, device="cpu"))
                          for x, n in ((query, n_q), (key, n_k)))
        if cache is not None:
            key, value = cache._joined(key, value, window)  # (..., kv_heads, n_k in all, width)
        how = dict(mask=_for_all_heads(mask, query, key, dropped), bias=_of_kept(bias, dropped))
        return query, key, value, how

    def _shared(self, x):
        """Keys or values as the query heads see them: (..., heads, n_k, width)."""
        return x if self.kv_heads == self.heads else repeat_heads(x, self.heads // self.kv_heads)

    def _check(self, **inputs):
        dim, dtype = self.q_proj.in_features, self.q_proj.weight.dtype
        for name, x in inputs.items():
            if not isinstance(x, torch.Tensor) or x.dtype != dtype and not _autocasts(x):
                got = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
                raise TypeError(f"{name} must be a tensor of the layer's {dtype}, got {got}")
        if any(x.ndim < 2 or x.shape[-1] != dim for x in inputs.values()):
            got = ", ".join(f"{name} {tuple(x.shape)}" for name, x in inputs.items())
            raise ValueError(f"this layer needs inputs (..., n, dim) with dim = {dim}, got {got}")


class FeedForward(nn.Module):
    r"""A small network for each position by itself: :math:`\max(0, xW_1 + b_1)\,W_2 + b_2`.

    Args:
        dim: width of input and output.
        hidden: width in between; ``4 * dim`` if not given.

    Raises:
        TypeError, ValueError: if a width is not a whole number of at least 1.

    Source: Vaswani et al. 2017, equation 2.

    >>> FeedForward(8)(torch.ones(3, 5, 8)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(self, dim, hidden=None):
        super().__init__()
        whole_number("dim", dim, 1)
        hidden = 4 * dim if hidden is None else hidden
        whole_number("hidden", hidden, 1)
        self.widen = nn.Linear(dim, hidden)
        self.narrow = nn.Linear(hidden, dim)

    def forward(self, x) -> torch.Tensor:
        """Each position's vector, worked on.

        Args:
            x: ``(..., dim)``.

        Returns:
            Tensor ``(..., dim)``.
        """
        return self.narrow(torch.relu(self.widen(x)))  # (..., hidden), then (..., dim)


class Block(nn.Module):
    """Positions exchange what they know, then each works on it: attention, feed-forward.

    Each step adds to its input (a residual connection). Pre-norm steps see a normalised input,
    ``x + step(norm(x))``; post-norm normalises the sum, ``norm(x + step(x))``.

    Args:
        dim, heads, kv_heads, rotary: as in `MultiHeadAttention`.
        hidden: as in `FeedForward`; 0 leaves the feed-forward step out.
        pre_norm: False is the post-norm of the original paper.
        cross: whether a step of cross-attention to a memory stands between the two.

    Raises:
        TypeError, ValueError: as `MultiHeadAttention` and `FeedForward`.

    Source: Vaswani et al. 2017, section 3.1 (post-norm); Xiong et al. 2020 (pre-norm).

    >>> Block(8, 2)(torch.ones(3, 5, 8), causal=True).shape
    torch.Size([3, 5, 8])
    """

    def __init__(self, dim, heads, *, kv_heads=None, rotary=False, hidden=None, pre_norm=True,
                 cross=False):
        super().__init__()
        true_or_false("pre_norm", pre_norm)
        true_or_false("cross", cross)
        if hidden is not None:
            whole_number("hidden", hidden, 0)
        self.pre_norm = pre_norm
        self.attention = MultiHeadAttention(dim, heads, kv_heads=kv_heads, rotary=rotary)
        self.attention_norm = nn.LayerNorm(dim)
        self.cross = self.feed_forward = None
        if cross:
            self.cross = MultiHeadAttention(dim, heads, kv_heads=kv_heads)
            self.cross_norm = nn.LayerNorm(dim)
        if hidden != 0:
            self.feed_forward = FeedForward(dim, hidden)
            self.feed_forward_norm = nn.LayerNorm(dim)

    def forward(self, x, memory=None, *, memory_mask=None, **how) -> torch.Tensor:
        """One round of exchange and of work.

        Args:
            x: ``(..., n, dim)``.
            memory: ``(..., n_k, dim)``, what the cross-attention looks into, if there is one.
            memory_mask: boolean, True = may attend, broadcastable to ``(..., n, n_k)``.
            how: mask, bias, causal, window, cache of the self-attention, as in
                `MultiHeadAttention`.

        Returns:
            Array ``(..., n, dim)``.

        Raises:
            TypeError, ValueError: as `MultiHeadAttention`, and if a memory is missing or unused.
        """
        if (memory is None) == (self.cross is not None):
            raise ValueError("a block takes a memory if, and only if, it was made with cross=True")
        if memory_mask is not None and memory is None:
            raise ValueError("memory_mask hides parts of a memory, and there is none")
        x = self._step(x, self.attention_norm, self.attention, **how)
        if self.cross is not None:
            x = self._step(x, self.cross_norm, self.cross, memory, mask=memory_mask)
        if self.feed_forward is not None:
            x = self._step(x, self.feed_forward_norm, self.feed_forward)
        return x

    def weights(self, x, memory=None, *, memory_mask=None, **how) -> torch.Tensor:
        """The weights of the self-attention.

        Args:
            x, memory, memory_mask, how: as in `forward`; the memory does not matter. The cache is
                read and not changed.

        Returns:
            Weights ``(..., heads, n, n_k)``.

        Raises:
            TypeError, ValueError: as `MultiHeadAttention`.

        >>> Block(8, 2).weights(torch.ones(3, 5, 8)).shape
        torch.Size([3, 2, 5, 5])
        """
        return self.attention.weights(self._normed(self.attention_norm, x), **how)

    def cross_weights(self, x, memory, *, memory_mask=None, cache=None, **how) -> torch.Tensor:
        """The weights of the cross-attention.

        Args:
            x, memory, memory_mask, cache, how: as in `forward`. The cache is read and not changed.

        Returns:
            Weights ``(..., heads, n, n_k)``.

        Raises:
            TypeError, ValueError: as `forward`; ValueError if the block has no cross-attention.

        >>> Block(8, 2, cross=True).cross_weights(torch.ones(5, 8), torch.ones(7, 8)).shape
        torch.Size([2, 5, 7])
        """
        if self.cross is None:
            raise ValueError("a block has cross-attention only if it was made with cross=True")
        _check_cache(cache)
        x = self._step(x, self.attention_norm, self.attention,
                       cache=None if cache is None else cache.copy(), **how)
        return self.cross.weights(self._normed(self.cross_norm, x), memory, mask=memory_mask)

    def _normed(self, norm, x):
        return _by_row(norm, x) if self.pre_norm else x

    def _step(self, x, norm, layer, *inputs, **how):
        if not isinstance(layer, MultiHeadAttention):
            layer = functools.partial(_by_row, layer)
        if self.pre_norm:
            return x + layer(_by_row(norm, x), *inputs, **how)
        return _by_row(norm, x + layer(x, *inputs, **how))


class Encoder(nn.Module):
    """A stack of blocks: what one layer found, the next can look up.

    Args:
        dim, heads: as in `MultiHeadAttention`.
        layers: number of blocks.
        block: kv_heads, rotary, hidden, pre_norm, as in `Block`. A pre-norm stack ends
            with a norm of its own.

    Raises:
        TypeError, ValueError: as `Block`, and if ``layers`` is not a whole number of at least 1.

    Source: Vaswani et al. 2017, section 3.1.

    >>> encoder = Encoder(8, 2, layers=3)
    >>> encoder(torch.ones(5, 8)).shape, len(encoder.weights(torch.ones(5, 8)))
    (torch.Size([5, 8]), 3)
    """

    def __init__(self, dim, heads, layers, **block):
        super().__init__()
        whole_number("layers", layers, 1)
        self.blocks = nn.ModuleList(Block(dim, heads, **block) for _ in range(layers))
        self.norm = nn.LayerNorm(dim) if self.blocks[0].pre_norm else nn.Identity()

    def forward(self, x, **how) -> torch.Tensor:
        """Through all blocks.

        Args:
            x: ``(..., n, dim)``, with positions already added where they are added.
            how: mask, bias, causal, window, cache, as in `MultiHeadAttention`.

        Returns:
            Array ``(..., n, dim)``.

        Raises:
            TypeError, ValueError: as `MultiHeadAttention`.
        """
        _, x = self._through(None, x, **how)
        return _by_row(self.norm, x)

    def weights(self, x, **how) -> list[torch.Tensor]:
        """The weights of each layer.

        Args:
            x, how: as in `forward`. The cache is read and not changed.

        Returns:
            A list of ``(..., heads, n, n_k)``, one per layer, the first layer first.

        Raises:
            TypeError, ValueError: as `forward`.

        >>> [weights.shape for weights in Encoder(8, 2, layers=1).weights(torch.ones(5, 8))]
        [torch.Size([2, 5, 5])]
        """
        return self._gather(Block.weights, x, **how)

    def _gather(self, look, x, *, cache=None, **how):
        _check_cache(cache)
        return self._through(look, x, cache=None if cache is None else cache.copy(), **how)[0]

    def _through(self, look, x, *, cache=None, **how):
        """What a look at each block tells, and what comes out of the last one."""
        _check_cache(cache)
        now = None if cache is None else cache.copy()  # a call may fail half way
        layers = [None] * len(self.blocks) if now is None else now._by_layer(len(self.blocks))
        found = []
        for block, layer in zip(self.blocks, layers, strict=True):
            if look is not None:
                found.append(look(block, x, cache=layer, **how))
            x = block(x, cache=layer, **how)
        if cache is not None:
            cache._layers = layers
        return found, x


class Decoder(Encoder):
    """A stack of blocks that also look into a memory, such as what an `Encoder` made of a text.

    Its self-attention is always causal: no position sees a later one.

    Args:
        dim, heads, layers, block: as in `Encoder`.

    Raises:
        TypeError, ValueError: as `Encoder`.

    Source: Vaswani et al. 2017, section 3.1.

    >>> decoder = Decoder(8, 2, layers=1)
    >>> decoder(torch.ones(5, 8), torch.ones(7, 8)).shape
    torch.Size([5, 8])
    """

    def __init__(self, dim, heads, layers, **block):
        super().__init__(dim, heads, layers, cross=True, **block)

    def forward(self, x, memory, *, memory_mask=None, **how) -> torch.Tensor:
        """Through all blocks.

        Args:
            x: ``(..., n, dim)``.
            memory: ``(..., n_k, dim)``.
            memory_mask: boolean, True = may attend, broadcastable to ``(..., n, n_k)``.
            how: mask, bias, window, cache of the self-attention, as in `MultiHeadAttention`.

        Returns:
            Array ``(..., n, dim)``.

        Raises:
            TypeError, ValueError: as `MultiHeadAttention`.
        """
        return super().forward(x, memory=memory, memory_mask=memory_mask, causal=True, **how)

    def weights(self, x, memory, **how) -> list[torch.Tensor]:
        """The weights of the self-attention.

        Args:
            x, memory, how: as in `forward`. The cache is read and not changed.

        Returns:
            A list of ``(..., heads, n, n_k)``, one per layer, the first layer first.

        Raises:
            TypeError, ValueError: as `forward`.

        >>> decoder = Decoder(8, 2, layers=1)
        >>> decoder.weights(torch.ones(5, 8), torch.ones(7, 8))[0].shape
        torch.Size([2, 5, 5])
        """
        return self._gather(Block.weights, x, memory=memory, causal=True, **how)

    def cross_weights(self, x, memory, **how) -> list[torch.Tensor]:
        """The weights on the memory.

        Args:
            x, memory, how: as in `forward`. The cache is read and not changed.

        Returns:
            A list of ``(..., heads, n, n_k)``, one per layer, the first layer first.

        Raises:
            TypeError, ValueError: as `forward`.

        >>> decoder = Decoder(8, 2, layers=1)
        >>> decoder.cross_weights(torch.ones(5, 8), torch.ones(7, 8))[0].shape
        torch.Size([2, 5, 7])
        """
        return self._gather(Block.cross_weights, x, memory=memory, causal=True, **how)


class LanguageModel(nn.Module):
    """Tokens in, scores of each next token out: a causal stack between two tables of vectors.

    The table that reads tokens and the one that writes them are not tied: each is learned.

    Args:
        vocabulary: number of different tokens, which are the whole numbers below it.
        dim, heads, layers: as in `Encoder`.
        positions: "none", "sinusoidal", "learned", "rotary" or "alibi".
        length: the longest sequence, for learned positions; the others need none.
        window: as in `attention`, for every layer; all earlier positions if not given.
        block: kv_heads, hidden, pre_norm, as in `Block`.

    Raises:
        TypeError, ValueError: as `Encoder`, and if ``positions`` is not one of the five, or learned
            without ``length``.

    Source: Radford et al. 2018, section 3.1 (there the two tables are tied).

    >>> model = LanguageModel(vocabulary=10, dim=8, heads=2, layers=1)
    >>> model(torch.tensor([3, 1, 4])).shape, model.generate(torch.tensor([3, 1, 4]), 2).shape
    (torch.Size([3, 10]), torch.Size([5]))
    """

    def __init__(self, vocabulary, dim, heads, layers, *, positions="rotary", length=None,
                 window=None, **block):
        super().__init__()
        whole_number("vocabulary", vocabulary, 1)
        whole_number("dim", dim, 1)
        if positions not in POSITIONS:
            raise ValueError(f"positions must be one of {POSITIONS}, got {positions!r}")
        if positions == "learned" and length is None:
            raise ValueError("learned positions need the length of the longest sequence")
        if length is not None:
            whole_number("length", length, 1)
        if window is not None:
            whole_number("window", window, 1)
        self.positions, self.window = positions, window
        self.embedding = nn.Embedding(vocabulary, dim)
        self.learned = LearnedPositions(length, dim) if positions == "learned" else None
        self.stack = Encoder(dim, heads, layers, rotary=positions == "rotary", **block)
        self.unembedding = nn.Linear(dim, vocabulary, bias=False)

    def forward(self, tokens, *, mask=None, cache=None) -> torch.Tensor:
        """How likely each token is to come next, after each position.

        Args:
            tokens: whole numbers ``(..., n)``.
            mask: as in `MultiHeadAttention`.
            cache: a `KeyValueCache` with what came before; it is changed.

        Returns:
            Scores ``(..., n, vocabulary)``, in nats up to a constant: their softmax is the
            probability of each token.

        Raises:
            TypeError: if the tokens are not a tensor of whole numbers.
            ValueError: if one is not in the vocabulary (looked for in eager calls alone, not while
                torch traces), or stands beyond the learned positions.
        """
        x, how = self._embed(tokens, cache)
        x = self.stack(x, mask=mask, cache=cache, **how)  # (..., n, dim)
        return self.unembedding(x)  # (..., n, vocabulary)

    def weights(self, tokens, *, mask=None, cache=None) -> list[torch.Tensor]:
        """The weights of each layer.

        Args:
            tokens, mask, cache: as in `forward`. The cache is read and not changed.

        Returns:
            A list of ``(..., heads, n, n_k)``, one per layer, the first layer first.

        Raises:
            TypeError, ValueError: as `forward`.

        >>> LanguageModel(10, 8, 2, 1).weights(torch.tensor([3, 1, 4]))[0].shape
        torch.Size([2, 3, 3])
        """
        x, how = self._embed(tokens, cache)
        return self.stack.weights(x, mask=mask, cache=cache, **how)

    @torch.no_grad()
    def generate(self, prompt, n, *, temperature=0.0, generator=None) -> torch.Tensor:
        """Continue a text, one token after the other.

        Args:
            prompt: whole numbers ``(..., n_prompt)``, at least one.
            n: number of tokens to add.
            temperature: 0 takes the likeliest token; above, tokens are drawn with probability
                softmax(scores / temperature).
            generator: a ``torch.Generator`` to draw with; torch's own if not given.

        Returns:
            Tokens ``(..., n_prompt + n)``, the prompt first.

        Raises:
            TypeError, ValueError: as `forward`, and if the prompt is empty or the temperature below
                0.

        >>> LanguageModel(10, 8, 2, 1, window=2).generate(torch.tensor([3, 1, 4]), 2).shape
        torch.Size([5])
        """
        whole_number("n", n, 0)
        if not isinstance(temperature, numbers.Real):
            raise TypeError(f"temperature must be a number, got {temperature!r}")
        if not temperature >= 0:
            raise ValueError(f"temperature must be at least 0, got {temperature}")
        self._check(prompt)
        if prompt.ndim == 0 or prompt.shape[-1] == 0:
            raise ValueError(f"prompt must be (..., n_prompt) with at least one token, "
                             f"got prompt {tuple(prompt.shape)}")
        tokens, new, cache = prompt, prompt, KeyValueCache()
        for _ in range(n):
            scores = self(new, cache=cache)[..., -1, :]  # (..., vocabulary)
            if temperature == 0:
                new = scores.argmax(-1, keepdim=True)  # (..., 1)
            else:
                shares = torch.softmax(scores / temperature, -1).reshape(-1, scores.shape[-1])
                drawn = torch.multinomial(shares, 1, generator=generator)  # (batch, 1)
                new = drawn.reshape(*scores.shape[:-1], 1)  # (..., 1)
            tokens = torch.cat((tokens, new), dim=-1)
        return tokens

    def _embed(self, tokens, cache):
        """The vectors that go into the stack, (..., n, dim), and what the stack is told."""
        self._check(tokens)
        _check_cache(cache)
        start = 0 if cache is None else cache.length
        x, end = self.embedding(tokens), start + tokens.shape[-1]  # (..., n, dim)
        how = dict(causal=True, window=self.window)
        if self.positions == "sinusoidal":
            x = x + torch.from_numpy(sinusoidal_positions(end, x.shape[-1])[start:]).to(x)
        elif self.positions == "learned":
            x = x + self.learned(end)[start:]
        elif self.positions == "alibi":
            heads = self.stack.blocks[0].attention.heads
            how["bias"] = torch.from_numpy(alibi_bias(heads, end - start, end)).to(x)
        return x, how

    def _check(self, tokens):
        if not isinstance(tokens, torch.Tensor) or tokens.dtype not in (torch.int64, torch.int32):
            got = tokens.dtype if isinstance(tokens, torch.Tensor) else type(tokens).__name__
            raise TypeError(f"tokens must be a tensor of whole numbers, got {got}")
        size = self.embedding.num_embeddings
        if torch.compiler.is_compiling() or tokens.is_meta or not tokens.numel():
            return
        try:
            fits = bool(((tokens >= 0) & (tokens < size)).all())
        except RuntimeError:  # no values to look at: torch.vmap, or fake tensors
            return
        if not fits:
            raise ValueError(f"tokens must be in the vocabulary, 0 to {size - 1}, "
                             f"got {tokens.min()} to {tokens.max()}")


def _by_row(layer, x):
    """A layer that works on each row ``(..., dim)`` by itself, with NaN out of broken rows.

    As they are, they would reach the gradients by the layer's weights, which are sums over rows: 0
    times NaN is NaN.
    """
    finite = x.isfinite()
    output = layer(torch.where(finite, x, 0.0))
    return torch.where(finite.all(dim=-1, keepdim=True), output, math.nan)


def _check_cache(cache):
    if cache is not None and not isinstance(cache, KeyValueCache):
        raise TypeError(f"cache must be a KeyValueCache, got {type(cache).__name__}")


def _autocasts(x):
    """Whether `torch.autocast` is on, under which layers take any floating dtype."""
    kind = x.device.type
    return (x.is_floating_point() and torch.amp.is_autocast_available(kind)
            and torch.is_autocast_enabled(kind))


def _of_kept(x, dropped):
    """A mask or bias (..., n_q, n_k) without the keys that a cache has let go."""
    if not dropped or not hasattr(x, "ndim") or x.ndim == 0 or x.shape[-1] == 1:
        return x
    return x[..., dropped:]


def _for_all_heads(mask, query, key, dropped):
    """A mask (..., n_q, n_k) with an axis of length 1 for the heads put in, where it needs one."""
    if mask is None:
        return None
    leading = torch.broadcast_shapes(query.shape[:-3], key.shape[:-3])
    mask = _beside(array_namespace(query), query, "mask", mask,
                   (*leading, query.shape[-2], dropped + key.shape[-2]))
    mask = _of_kept(mask, dropped)
    return mask[..., None, :, :] if mask.ndim > 2 else mask
