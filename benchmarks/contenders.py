"""What is measured: attnlib's functions and their peers, on the same inputs.

A contender takes a length and returns a function without arguments that does the work once and
returns its output. What it needs to prepare (inputs, a compiled kernel, a table of blocks) is
prepared before: it counts neither as time nor as memory.
"""

import math

import torch
from torch.nn.functional import scaled_dot_product_attention

import attnlib

from .report import WINDOW

HEADS, WIDTH = 8, 64


def inputs(n):
    """Query, key, value: ``(1, HEADS, n, WIDTH)``, float32, unit normal."""
    generator = torch.Generator().manual_seed(n)
    return [torch.randn(1, HEADS, n, WIDTH, generator=generator) for _ in range(3)]


def forward(function):
    """A contender that runs ``function(query, key, value)`` without keeping gradients."""
    def prepare(n):
        tensors = inputs(n)

        def run():
            with torch.no_grad():
                return function(*tensors)
        return run
    return prepare


def backward(function):
    """A contender that runs ``function`` and takes its gradient by all three inputs."""
    def prepare(n):
        tensors = [x.requires_grad_() for x in inputs(n)]
        grad_output = inputs(n)[0]

        def run():
            return torch.autograd.grad(function(*tensors), tensors, grad_output)
        return run
    return prepare


def local(query, key, value):
    return attnlib.local_attention(query, key, value, window=WINDOW, causal=True)


def chunked(query, key, value):
    return attnlib.chunked_attention(query, key, value, causal=True)


def selected(query, key, value):
    return attnlib.selected_attention(query, key, value, chunk=64, top=4, window=WINDOW)


def masked_sdpa(n):
    """SDPA with a boolean mask, made before, that shows each query as many keys."""
    mask = torch.from_numpy(attnlib.window_mask(n, window=WINDOW + 4 * 64, causal=True))
    return forward(lambda *tensors: scaled_dot_product_attention(*tensors, attn_mask=mask))(n)


def sdpa(query, key, value):
    return scaled_dot_product_attention(query, key, value, is_causal=True)


def naive(query, key, value):
    """Causal attention as first written down: every score, then a mask, then a softmax."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return torch.softmax(scores.masked_fill(future, -math.inf), -1) @ value


def formula(query, key, value):
    return torch.softmax(query @ key.mT / math.sqrt(query.shape[-1]), -1) @ value


def package(query, key, value):
    """The local-attention package; its "exact" window of 256 sees 257 keys."""
    from local_attention import LocalAttention
    layer = LocalAttention(window_size=WINDOW, causal=True, exact_windowsize=True, autopad=True,
                           use_rotary_pos_emb=False)
    return layer(query, key, value)


def flex(n):
    """flex_attention, compiled for this length, with its table of blocks made before."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention
    blocks = create_block_mask(lambda b, h, i, j: (i >= j) & (i - j < WINDOW), None, None, n, n,
                               device="cpu")
    compiled = torch.compile(flex_attention, dynamic=False)
    return forward(lambda *tensors: compiled(*tensors, block_mask=blocks))(n)


def cache(n, window=WINDOW, dim=HEADS * WIDTH):
    """A cache that has read n positions, as many at once as the window has."""
    layer, held = attnlib.MultiHeadAttention(dim, HEADS), attnlib.KeyValueCache()
    with torch.no_grad():
        for start in range(0, n, WINDOW):
            layer(torch.ones(min(WINDOW, n - start), dim), causal=True, window=window, cache=held)
    return held


def held(cache):
    """MiB that a cache keeps alive, views or not."""
    storages = {x.untyped_storage().data_ptr(): x.untyped_storage() for x in cache.held()}
    return sum(storage.nbytes() for storage in storages.values()) / 2**20


CONTENDERS = {
    "local_attention": forward(local),
    "local-attention package": forward(package),
    "flex_attention": flex,
    "local_attention, with backward": backward(local),
    "local-attention package, with backward": backward(package),
    "chunked_attention": forward(chunked),
    "torch SDPA": forward(sdpa),
    "naive": forward(naive),
    "chunked_attention, with backward": backward(chunked),
    "selected_attention": forward(selected),
    "SDPA with a mask": masked_sdpa,
    "attention": forward(attnlib.attention),
    "the formula": forward(formula),
}


def check(names, n=512):
    """Raise unless each of these contenders computes what it is said to compute."""
    causal, window = dict(causal=True), dict(causal=True, window=WINDOW)
    expected = {
        "local_attention": window, "flex_attention": window,
        "local-attention package": dict(causal=True, window=WINDOW + 1),
        "chunked_attention": causal, "torch SDPA": causal, "naive": causal,
        "SDPA with a mask": dict(causal=True, window=WINDOW + 4 * 64),
        "selected_attention": causal,  # at this length every chunk is chosen or near
        "attention": {}, "the formula": {},
    }
    for name in expected.keys() & names:
        found, right = CONTENDERS[name](n)(), attnlib.attention(*inputs(n), **expected[name])
        torch.testing.assert_close(found, right, rtol=0, atol=1e-5,
                                   msg=lambda text: f"{name}: {text}")  # noqa: B023
