"""Chapters 6 and 7, on torch: everything that learns, from one layer to a language model.

Each class is one idea and stands on those above it. The mathematics is in `attention`, `heads` and
`positions`; what is added here are the weights. Leading axes ``...`` (a batch) are free
everywhere; heads never show outside a layer, except in what `weights` returns.
"""

import numpy as np
import torch
from array_api_compat import array_namespace
from torch import nn

from .attention import _beside, attention, attention_weights
from .heads import merge_heads, repeat_heads, split_heads
from .masks import whole_number
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

    def forward(self, n):
        """The vectors of positions 0 to n - 1, ``(n, dim)``; ValueError beyond the table."""
        if n > len(self.table):
            raise ValueError(f"positions are learned for a length of {len(self.table)}, got {n}")
        return self.table[:n]


class KeyValueCache:
    """The keys and values of the positions seen so far, so that no step computes them again.

    Make an empty one and hand it to every call: ``layer(x, causal=True, cache=cache)``. It is the
    one argument that a layer changes. One cache serves a whole model, since each layer
    keeps its own keys and values in it. It holds ``kv_heads`` heads, keys already rotated.

    >>> layer, cache = MultiHeadAttention(8, 2), KeyValueCache()
    >>> first, second = torch.ones(3, 8), torch.zeros(1, 8)
    >>> _ = layer(first, causal=True, cache=cache), layer(second, causal=True, cache=cache)
    >>> cache.length
    4
    """

    def __init__(self):
        self._seen = {}  # layer: (key, value), both (..., kv_heads, n, width)

    @property
    def length(self):
        """The number of positions seen so far, which is the position of the next input."""
        return max((key.shape[-2] for key, _ in self._seen.values()), default=0)

    def length_in(self, layer):
        """The number of positions that one layer has seen: within a model's step, not yet all."""
        return self._seen[layer][0].shape[-2] if layer in self._seen else 0

    def joined(self, layer, key, value):
        """A layer's past keys and values with the new ones after them; nothing is kept yet.

        Args:
            layer: whose keys and values they are.
            key, value: ``(..., kv_heads, n_new, width)``.

        Returns:
            key and value, ``(..., kv_heads, n_k, width)``.

        Raises:
            ValueError: if their shape, apart from the length, is not that of those before.
        """
        if layer not in self._seen:
            return key, value
        before = self._seen[layer][0].shape
        if before[:-2] != key.shape[:-2]:
            raise ValueError("a cache goes on with the batch and the heads that it began with, "
                             f"{tuple(before[:-2])}, got {tuple(key.shape[:-2])}")
        return tuple(torch.cat(pair, dim=-2) for pair in zip(self._seen[layer], (key, value)))

    def keep(self, layer, key, value):
        """From now on, these are all the keys and values that a layer has seen."""
        self._seen[layer] = key, value  # (..., kv_heads, n_k, width)

    def copy(self):
        """A second cache with the same past: what one then sees, the other does not."""
        twin = KeyValueCache()
        twin._seen = dict(self._seen)
        return twin


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
                window=None, cache=None):
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
            cache: a `KeyValueCache`, for self-attention alone. The keys and values in it come
                before the new ones, and count in n_k. It is changed.

        Returns:
            Output ``(..., n_q, dim)``. A NaN in a position that may not be seen reaches nothing.

        Raises:
            TypeError: if an argument has the wrong kind or dtype.
            ValueError: if the shapes do not fit, or a cache meets cross-attention.
        """
        query, key, value = self._project(query, key, value, cache)
        found = attention(query, self._shared(key), self._shared(value),
                          mask=_for_all_heads(mask, query, key), bias=bias, causal=causal,
                          window=window)  # (..., heads, n_q, width)
        if cache is not None:
            cache.keep(self, key, value)
        return self.out_proj(merge_heads(found))  # (..., n_q, dim)

    def weights(self, query, key=None, value=None, *, mask=None, bias=None, causal=False,
                window=None, cache=None):
        """The weights by which `forward`, called with the same arguments, mixes the values.

        Returns:
            Weights ``(..., heads, n_q, n_k)``. The cache is read and not changed.
        """
        query, key, _ = self._project(query, key, value, cache)
        return attention_weights(query, self._shared(key), mask=_for_all_heads(mask, query, key),
                                 bias=bias, causal=causal, window=window)

    def _project(self, query, key, value, cache):
        """Queries (..., heads, n_q, width); keys and values (..., kv_heads, n_k, width)."""
        key = query if key is None else key
        value = key if value is None else value
        if cache is not None and not (key is query and value is query):
            raise ValueError("cache is for self-attention: give the query alone")
        self._check(query=query, key=key, value=value)
        n_q, n_k = query.shape[-2], key.shape[-2]
        query = split_heads(self.q_proj(query), self.heads)  # (..., heads, n_q, width)
        key = split_heads(self.k_proj(key), self.kv_heads)  # (..., kv_heads, n_k, width)
        value = split_heads(self.v_proj(value), self.kv_heads)  # (..., kv_heads, n_k, width)
        start = 0 if cache is None else cache.length_in(self)
        if self.rotary:
            query = rotate(query, start + n_k - n_q + np.arange(n_q))
            key = rotate(key, start + np.arange(n_k))
        if cache is not None:
            key, value = cache.joined(self, key, value)  # (..., kv_heads, start + n_k, width)
        return query, key, value

    def _shared(self, x):
        """Keys or values as the query heads see them: (..., heads, n_k, width)."""
        return x if self.kv_heads == self.heads else repeat_heads(x, self.heads // self.kv_heads)

    def _check(self, **inputs):
        dim, dtype = self.q_proj.in_features, self.q_proj.weight.dtype
        for name, x in inputs.items():
            if not isinstance(x, torch.Tensor) or x.dtype != dtype:
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
        hidden = 4 * dim if hidden is None else hidden
        whole_number("dim", dim, 1)
        whole_number("hidden", hidden, 1)
        self.widen = nn.Linear(dim, hidden)
        self.narrow = nn.Linear(hidden, dim)

    def forward(self, x):
        """Each position's vector, changed: ``(..., dim)``, as it came."""
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

    Source: Vaswani et al. 2017, section 3.1 (post-norm); Xiong et al. 2020, table 1 (pre-norm).

    >>> Block(8, 2)(torch.ones(3, 5, 8), causal=True).shape
    torch.Size([3, 5, 8])
    """

    def __init__(self, dim, heads, *, kv_heads=None, rotary=False, hidden=None, pre_norm=True,
                 cross=False):
        super().__init__()
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

    def forward(self, x, memory=None, *, memory_mask=None, **how):
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
        x = self._step(x, self.attention_norm, self.attention, **how)
        if self.cross is not None:
            x = self._step(x, self.cross_norm, self.cross, memory, mask=memory_mask)
        if self.feed_forward is not None:
            x = self._step(x, self.feed_forward_norm, self.feed_forward)
        return x

    def weights(self, x, memory=None, *, memory_mask=None, **how):
        """The weights of the self-attention, ``(..., heads, n, n_k)``."""
        return self.attention.weights(self.attention_norm(x) if self.pre_norm else x, **how)

    def cross_weights(self, x, memory, *, memory_mask=None, cache=None, **how):
        """The weights of the cross-attention, ``(..., heads, n, n_k)``."""
        x = self._step(x, self.attention_norm, self.attention, cache=cache and cache.copy(), **how)
        return self.cross.weights(self.cross_norm(x) if self.pre_norm else x, memory,
                                  mask=memory_mask)

    def _step(self, x, norm, layer, *inputs, **how):
        if self.pre_norm:
            return x + layer(norm(x), *inputs, **how)
        return norm(x + layer(x, *inputs, **how))


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

    def forward(self, x, **how):
        """Through all blocks.

        Args:
            x: ``(..., n, dim)``, with positions already added where they are added.
            how: mask, bias, causal, window, cache, as in `MultiHeadAttention`.

        Returns:
            Array ``(..., n, dim)``.
        """
        for block in self.blocks:
            x = block(x, **how)
        return self.norm(x)

    def weights(self, x, **how):
        """The weights of each layer: a list of ``(..., heads, n, n_k)``, the first layer first."""
        return self._gather(Block.weights, x, **how)

    def _gather(self, look, x, *, cache=None, **how):
        cache = cache and cache.copy()
        found = []
        for block in self.blocks:
            found.append(look(block, x, cache=cache, **how))
            x = block(x, cache=cache, **how)
        return found


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

    def forward(self, x, memory, *, memory_mask=None, **how):
        """Through all blocks.

        Args:
            x: ``(..., n, dim)``.
            memory: ``(..., n_k, dim)``.
            memory_mask: boolean, True = may attend, broadcastable to ``(..., n, n_k)``.
            how: mask, bias, window, cache of the self-attention, as in `MultiHeadAttention`.

        Returns:
            Array ``(..., n, dim)``.
        """
        return super().forward(x, memory=memory, memory_mask=memory_mask, causal=True, **how)

    def weights(self, x, memory, **how):
        """The self-attention's weights: a list of ``(..., heads, n, n)``, one per layer."""
        return self._gather(Block.weights, x, memory=memory, causal=True, **how)

    def cross_weights(self, x, memory, **how):
        """The weights on the memory: a list of ``(..., heads, n, n_k)``, one per layer."""
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
        if positions not in POSITIONS:
            raise ValueError(f"positions must be one of {POSITIONS}, got {positions!r}")
        if positions == "learned" and length is None:
            raise ValueError("learned positions need the length of the longest sequence")
        self.positions, self.window = positions, window
        self.embedding = nn.Embedding(vocabulary, dim)
        self.learned = LearnedPositions(length, dim) if positions == "learned" else None
        self.stack = Encoder(dim, heads, layers, rotary=positions == "rotary", **block)
        self.unembedding = nn.Linear(dim, vocabulary, bias=False)

    def forward(self, tokens, *, mask=None, cache=None):
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
            ValueError: if one is not in the vocabulary, or stands beyond the learned positions.
        """
        x, how = self._embed(tokens, cache)
        x = self.stack(x, mask=mask, cache=cache, **how)  # (..., n, dim)
        return self.unembedding(x)  # (..., n, vocabulary)

    def weights(self, tokens, *, mask=None, cache=None):
        """The weights of each layer: a list of ``(..., heads, n, n_k)``, the first layer first."""
        x, how = self._embed(tokens, cache)
        return self.stack.weights(x, mask=mask, cache=cache, **how)

    @torch.no_grad()
    def generate(self, prompt, n, *, temperature=0.0, generator=None):
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
        """
        whole_number("n", n, 0)
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
        start = 0 if cache is None else cache.length
        x, end = self.embedding(tokens), start + tokens.shape[-1]  # (..., n, dim)
        how = dict(causal=True, window=self.window)
        if self.positions == "sinusoidal":
            x = x + torch.tensor(sinusoidal_positions(end, x.shape[-1])[start:]).to(x)
        elif self.positions == "learned":
            x = x + self.learned(end)[start:]
        elif self.positions == "alibi":
            how["bias"] = alibi_bias(self.stack.blocks[0].attention.heads, end - start, end)
        return x, how

    def _check(self, tokens):
        if not isinstance(tokens, torch.Tensor) or tokens.dtype not in (torch.int64, torch.int32):
            got = tokens.dtype if isinstance(tokens, torch.Tensor) else type(tokens).__name__
            raise TypeError(f"tokens must be a tensor of whole numbers, got {got}")
        size = self.embedding.num_embeddings
        if tokens.numel() and not 0 <= tokens.min() <= tokens.max() < size:
            raise ValueError(f"tokens must be in the vocabulary, 0 to {size - 1}, "
                             f"got {tokens.min()} to {tokens.max()}")


def _for_all_heads(mask, query, key):
    """A mask (..., n_q, n_k) with an axis of length 1 for the heads put in, where it needs one."""
    if mask is None:
        return None
    leading = torch.broadcast_shapes(query.shape[:-3], key.shape[:-3])
    mask = _beside(array_namespace(query), query, "mask", mask,
                   (*leading, query.shape[-2], key.shape[-2]))
    return mask[..., None, :, :] if mask.ndim > 2 else mask
