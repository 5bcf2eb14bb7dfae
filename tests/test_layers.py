"""The layers against torch's own, against loops, and against their laws."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from attnlib.layers import (
    POSITIONS,
    Block,
    Decoder,
    Encoder,
    FeedForward,
    KeyValueCache,
    LanguageModel,
    LearnedPositions,
    MultiHeadAttention,
)
from attnlib.masks import causal_mask, padding_mask, window_mask
from attnlib.positions import alibi_bias, rotate, sinusoidal_positions

seeds = st.integers(0, 2**31 - 1)


def normal(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def made(kind, *args, seed=0, **options):
    """A float64 module with seeded weights, biases and norms included."""
    module = kind(*args, **options).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator,
                                        dtype=torch.float64) * 0.4)
    return module


def close(a, b, atol=1e-10):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


@st.composite
def head_counts(draw):
    """heads, kv_heads and an even width that they fit."""
    kv_heads = draw(st.sampled_from([1, 2, 3]))
    heads = kv_heads * draw(st.sampled_from([1, 2, 3]))
    return heads, kv_heads, heads * draw(st.sampled_from([2, 4]))


# Multi-head attention: the definition.


def heads_by_loop(layer, query, key, value, mask, bias, causal, window):
    """One head after the other, one sequence after the other, in plain matrix products."""
    width = query.shape[-1] // layer.heads
    group = layer.heads // layer.kv_heads
    outputs, weights = [], []
    for b in range(len(query)):
        found, shares = [], []
        for h in range(layer.heads):
            rows = slice(h * width, (h + 1) * width)
            kv_rows = slice(h // group * width, (h // group + 1) * width)
            q = query[b] @ layer.q_proj.weight[rows].T
            k = key[b] @ layer.k_proj.weight[kv_rows].T
            v = value[b] @ layer.v_proj.weight[kv_rows].T
            n_q, n_k = len(q), len(k)
            if layer.rotary:
                q, k = rotate(q, np.arange(n_k - n_q, n_k)), rotate(k, np.arange(n_k))
            scores = q @ k.T / math.sqrt(width) + bias[h]
            seen = mask[b].clone()
            if causal:
                seen &= torch.from_numpy(causal_mask(n_q, n_k))
            if window is not None:
                seen &= torch.from_numpy(window_mask(n_q, n_k, window=window))
            share = torch.softmax(scores.masked_fill(~seen, -math.inf), -1).nan_to_num()
            found.append(share @ v)
            shares.append(share)
        outputs.append(torch.cat(found, -1) @ layer.out_proj.weight.T)
        weights.append(torch.stack(shares))
    return torch.stack(outputs), torch.stack(weights)


@given(head_counts(), st.integers(1, 3), st.integers(1, 5), st.integers(1, 6), st.booleans(),
       st.booleans(), st.none() | st.integers(1, 4), seeds)
def test_layer_is_its_heads_one_by_one(counts, batch, n_q, n_k, rotary, causal, window, seed):
    heads, kv_heads, dim = counts
    layer = made(MultiHeadAttention, dim, heads, kv_heads=kv_heads, rotary=rotary, seed=seed)
    query, key, value = (normal(seed + i, batch, n, dim) for i, n in enumerate((n_q, n_k, n_k)))
    mask = normal(seed + 3, batch, n_q, n_k) > -0.8
    bias = normal(seed + 4, heads, n_q, n_k)
    how = dict(mask=mask, bias=bias, causal=causal, window=window)
    output, weights = heads_by_loop(layer, query, key, value, **how)
    close(layer(query, key, value, **how), output)
    close(layer.weights(query, key, value, **how), weights)


def from_torch(theirs, dim, heads):
    """Our layer with the weights of an nn.MultiheadAttention."""
    ours = MultiHeadAttention(dim, heads, projection_bias=theirs.in_proj_bias is not None).double()
    parts = (ours.q_proj, ours.k_proj, ours.v_proj)
    with torch.no_grad():
        for linear, weight in zip(parts, theirs.in_proj_weight.chunk(3)):
            linear.weight.copy_(weight)
        ours.out_proj.weight.copy_(theirs.out_proj.weight)
        if theirs.in_proj_bias is not None:
            for linear, bias in zip(parts, theirs.in_proj_bias.chunk(3)):
                linear.bias.copy_(bias)
            ours.out_proj.bias.copy_(theirs.out_proj.bias)
    return ours


@given(st.sampled_from([1, 2, 4]), st.integers(1, 4), st.integers(1, 5), st.integers(1, 6),
       st.booleans(), seeds)
def test_layer_equals_torchs(heads, batch, n_q, n_k, projection_bias, seed):
    theirs = made(nn.MultiheadAttention, 8, heads, bias=projection_bias, batch_first=True,
                  seed=seed)
    ours = from_torch(theirs, 8, heads)
    query, key, value = (normal(seed + i, batch, n, 8) for i, n in enumerate((n_q, n_k, n_k)))
    drop = normal(seed + 3, n_q, n_k) > 0.5
    drop[:, 0] = False
    lengths = torch.randint(1, n_k + 1, (batch,), generator=torch.Generator().manual_seed(seed))
    padding = torch.arange(n_k) >= lengths[:, None]  # True = drop, as torch has it
    for arguments in ((query, query, query), (query, key, key), (query, key, value)):
        plain = len({id(x) for x in arguments}) == 1
        how = {} if plain else dict(attn_mask=drop, key_padding_mask=padding)
        mask = None if plain else ~drop & torch.from_numpy(padding_mask(lengths.numpy(), n_k))
        output, weights = theirs(*arguments, average_attn_weights=False, **how)
        close(ours(*arguments, mask=mask), output)
        close(ours.weights(*arguments, mask=mask), weights)
    close(ours(query), ours(query, query, query))
    close(ours(query, key), ours(query, key, key))


@given(seeds)
def test_gradients_equal_torchs(seed):
    theirs = made(nn.MultiheadAttention, 8, 2, batch_first=True, seed=seed)
    ours = from_torch(theirs, 8, 2)
    x, weight = normal(seed, 3, 5, 8), normal(seed + 1, 3, 5, 8)
    mask = torch.from_numpy(causal_mask(5))
    (theirs(x, x, x, attn_mask=~mask)[0] * weight).sum().backward()
    (ours(x, causal=True) * weight).sum().backward()
    joined = torch.cat([p.weight.grad for p in (ours.q_proj, ours.k_proj, ours.v_proj)])
    close(joined, theirs.in_proj_weight.grad)
    close(ours.out_proj.weight.grad, theirs.out_proj.weight.grad)


def test_gradcheck_on_a_tiny_layer():
    layer = made(MultiHeadAttention, 4, 2, kv_heads=1, rotary=True)
    x = normal(0, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(x, causal=True), x)
    block = made(Block, 4, 1, hidden=3, cross=True)
    memory = normal(1, 2, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, m: block(x, m, causal=True), (x, memory))


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 2e-6), (torch.bfloat16, 2e-2),
                                              (torch.float16, 2e-3)])
def test_dtypes_come_back_and_are_near_float64(dtype, tolerance):
    exact = made(MultiHeadAttention, 8, 2, rotary=True).to(dtype).double()  # the rounded weights
    x = normal(1, 3, 5, 8).to(dtype)
    output = copy.deepcopy(exact).to(dtype)(x, causal=True)
    assert output.dtype == dtype
    expected = exact(x.double(), causal=True)
    assert (output.double() - expected).abs().max() < tolerance * max(1, expected.abs().max())


# Masks, biases and broadcasting.


@given(st.integers(1, 4), st.integers(1, 4), seeds)
def test_a_mask_has_no_head_axis(batch, n, seed):
    heads = batch  # where a mask by sequence could be taken for one by head
    layer = made(MultiHeadAttention, 2 * heads, heads, seed=seed)
    x = normal(seed, batch, n, 2 * heads)
    mask = normal(seed + 1, batch, n, n) > 0
    output, weights = layer(x, mask=mask), layer.weights(x, mask=mask)
    for b in range(batch):
        close(output[b], layer(x[b], mask=mask[b]))
        assert not weights[b][:, ~mask[b]].any()
    close(layer(x, mask=mask.numpy()), output)
    close(layer(x, mask=mask[0]), layer(x, mask=mask[:1].expand(batch, n, n)))


@given(st.integers(2, 4), seeds)
def test_a_bias_has_a_head_axis(heads, seed):
    layer = made(MultiHeadAttention, 2 * heads, heads, seed=seed)
    x = normal(seed, heads, 5, 2 * heads)  # batch == heads
    bias = normal(seed + 1, heads, 5, 5)
    each = layer.weights(x, bias=bias)
    for h in range(heads):
        close(each[:, h], layer.weights(x, bias=bias[h])[:, h])
    by_sequence = layer.weights(x, bias=bias[:, None])
    for b in range(heads):
        close(by_sequence[b], layer.weights(x[b], bias=bias[b]))


def test_leading_axes_are_free_and_broadcast():
    layer = made(MultiHeadAttention, 4, 2)
    x, memory = normal(0, 2, 3, 5, 4), normal(1, 6, 4)
    assert layer(x).shape == (2, 3, 5, 4) and layer.weights(x).shape == (2, 3, 2, 5, 5)
    close(layer(x)[1, 2], layer(x[1, 2]))
    close(layer(x, memory)[1, 2], layer(x[1, 2], memory))
    close(layer(x, memory, mask=torch.eye(5, 6).bool()),
          torch.stack([torch.stack([layer(y, memory, mask=torch.eye(5, 6).bool()) for y in row])
                       for row in x]))


def test_lengths_zero_and_one():
    layer = made(MultiHeadAttention, 4, 2, rotary=True)
    assert layer(normal(0, 3, 0, 4)).shape == (3, 0, 4)
    close(layer(normal(0, 2, 4), normal(0, 0, 4)), torch.zeros(2, 4, dtype=torch.float64))
    close(layer.weights(normal(0, 1, 4)), torch.ones(2, 1, 1, dtype=torch.float64))


def test_an_empty_row_is_zero_with_finite_gradients():
    layer = made(MultiHeadAttention, 4, 2)
    x = normal(0, 3, 4).requires_grad_()
    mask = torch.tensor([[True, True, True], [False, False, False], [True, False, True]])
    output = layer(x, mask=mask)
    assert output.isfinite().all() and not output[1].any()
    output.sum().backward()
    assert x.grad.isfinite().all()


def test_a_nan_that_may_not_be_seen_reaches_nothing():
    layer = made(MultiHeadAttention, 4, 2)
    x = normal(0, 4, 4)
    x[3] = math.nan
    assert layer(x, causal=True)[:3].isfinite().all() and layer(x)[:3].isnan().all()


def test_inputs_are_not_changed():
    layer = made(MultiHeadAttention, 8, 2, rotary=True)
    x, mask, bias = normal(0, 2, 3, 8), normal(1, 2, 3, 3) > 0, normal(2, 2, 3, 3)
    before = x.clone(), mask.clone(), bias.clone()
    layer(x, mask=mask, bias=bias, causal=True)
    assert all(torch.equal(a, b) for a, b in zip(before, (x, mask, bias)))


# Grouped heads.


@given(head_counts(), st.booleans(), seeds)
def test_grouped_heads_are_repeated_heads(counts, rotary, seed):
    heads, kv_heads, dim = counts
    grouped = made(MultiHeadAttention, dim, heads, kv_heads=kv_heads, rotary=rotary, seed=seed)
    full = MultiHeadAttention(dim, heads, rotary=rotary).double()
    with torch.no_grad():
        full.q_proj.weight.copy_(grouped.q_proj.weight)
        full.out_proj.weight.copy_(grouped.out_proj.weight)
        for theirs, ours in ((full.k_proj, grouped.k_proj), (full.v_proj, grouped.v_proj)):
            by_head = ours.weight.unflatten(0, (kv_heads, -1))  # (kv_heads, width, dim)
            theirs.weight.copy_(torch.stack([by_head[h * kv_heads // heads]
                                             for h in range(heads)]).flatten(0, 1))
    x = normal(seed, 2, 5, dim)
    close(grouped(x, causal=True), full(x, causal=True))
    close(grouped.weights(x), full.weights(x))


def test_grouped_heads_have_fewer_weights_and_a_smaller_cache():
    layer, cache = MultiHeadAttention(12, 6, kv_heads=2), KeyValueCache()
    assert layer.k_proj.weight.shape == layer.v_proj.weight.shape == (4, 12)
    layer(torch.ones(5, 12), cache=cache)
    key, value = cache.held()
    assert key.shape == value.shape == (2, 5, 2) and cache.length == 5


# The cache.


@st.composite
def steps(draw, most=9):
    """Where a sequence is cut into steps: lengths, zeros among them."""
    return draw(st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(
        lambda x: 0 < sum(x) <= most))


@given(head_counts(), steps(), st.booleans(), st.booleans(), st.none() | st.integers(1, 5), seeds)
def test_cached_equals_uncached(counts, cuts, rotary, alibi, window, seed):
    heads, kv_heads, dim = counts
    layer = made(MultiHeadAttention, dim, heads, kv_heads=kv_heads, rotary=rotary, seed=seed)
    n, cache, start = sum(cuts), KeyValueCache(), 0
    x = normal(seed, 2, n, dim)
    mask = normal(seed + 1, 2, n, n) > -1
    whole = dict(mask=mask, bias=alibi_bias(heads, n) if alibi else None)
    output = layer(x, causal=True, window=window, **whole)
    weights = layer.weights(x, causal=True, window=window, **whole)
    for cut in cuts:
        end = start + cut
        how = dict(mask=mask[:, start:end, :end], causal=True, window=window, cache=cache,
                   bias=alibi_bias(heads, cut, end) if alibi else None)
        close(layer.weights(x[:, start:end], **how), weights[:, :, start:end, :end])
        assert cache.length == start
        close(layer(x[:, start:end], **how), output[:, start:end])
        assert cache.length == end
        start = end


def test_gradients_pass_through_a_cache():
    layer, cache = made(MultiHeadAttention, 4, 2, rotary=True), KeyValueCache()
    x = normal(0, 5, 4).requires_grad_()
    expected, = torch.autograd.grad(layer(x, causal=True)[4].sum(), x)
    layer(x[:3], causal=True, cache=cache)
    found, = torch.autograd.grad(layer(x[3:], causal=True, cache=cache)[1].sum(), x)
    close(found, expected)


def test_a_copied_cache_has_its_own_future():
    layer, cache = made(MultiHeadAttention, 4, 2), KeyValueCache()
    x = normal(0, 6, 4)
    layer(x[:4], causal=True, cache=cache)
    twin = cache.copy()
    close(layer(x[4:], causal=True, cache=twin), layer(x, causal=True)[4:])
    assert (cache.length, twin.length) == (4, 6)
    close(layer(x[4:], causal=True, cache=cache), layer(x, causal=True)[4:])


@pytest.mark.parametrize("copied", [
    copy.copy, copy.deepcopy, lambda cache: cache.copy(),
    lambda cache: pickle.loads(pickle.dumps(cache))], ids=["copy", "deepcopy", "own", "pickle"])
def test_every_copy_of_a_cache_has_its_own_future(copied):
    """It says what it holds, goes on where it was, and the original stays where it was."""
    model = model_of("rotary")
    tokens, cache = tokens_of(0, 2, 7), KeyValueCache()
    whole = model(tokens)
    with torch.no_grad():
        model(tokens[:, :4], cache=cache)
    twin = copied(cache)
    for each in (twin, cache):
        assert each.length == 4
        close(model(tokens[:, 4:], cache=each), whole[:, 4:])
        assert each.length == 7


def test_a_copied_model_goes_on_with_the_cache():
    model, cache, tokens = model_of("rotary"), KeyValueCache(), tokens_of(0, 6)
    model(tokens[:4], cache=cache)
    close(copy.deepcopy(model)(tokens[4:], cache=cache), model(tokens)[4:])


def test_tied_layers_each_have_their_place():
    encoder, x, cache = made(Encoder, 8, 2, 2, rotary=True), normal(0, 6, 8), KeyValueCache()
    encoder.blocks[1] = encoder.blocks[0]
    whole = encoder(x, causal=True)
    for start, end in ((0, 3), (3, 6)):
        close(encoder(x[start:end], causal=True, cache=cache), whole[start:end])
        assert cache.length == end


@pytest.mark.parametrize("window", [1, 2, 5])
def test_with_a_window_a_cache_holds_what_can_still_be_seen(window):
    """And not the memory of what it has let go."""
    encoder, x, cache = made(Encoder, 8, 2, 2, rotary=True), normal(0, 3, 40, 8), KeyValueCache()
    whole = encoder(x, causal=True, window=window)
    weights = encoder.weights(x, causal=True, window=window)
    for start, end in ((0, 20), *((i, i + 1) for i in range(20, 40))):
        how = dict(causal=True, window=window, cache=cache)
        for a, b in zip(encoder.weights(x[:, start:end], **how), weights):
            close(a, b[..., start:end, :end])
        close(encoder(x[:, start:end], **how), whole[:, start:end])
        for layer in range(2):
            for held in cache.held(layer):
                assert held.shape[-2] == window - 1
                assert held.untyped_storage().nbytes() == held.numel() * held.itemsize
    assert cache.length == 40


def test_a_cache_that_has_let_go_too_much_says_so():
    layer, x, cache = made(MultiHeadAttention, 4, 2), normal(0, 9, 4), KeyValueCache()
    layer(x, causal=True, window=3, cache=cache)
    close(layer(x[:1], causal=True, window=2, cache=cache.copy()).detach(),
          layer(torch.cat((x, x[:1])), causal=True, window=2)[-1:].detach())
    for window, first in ((4, 6), (None, 0)):
        with pytest.raises(ValueError, match=f"let go the positions before 7; with window {window}"
                                             f", the next query sees from {first} on"):
            layer(x[:1], causal=True, window=window, cache=cache)


def test_reordered_sequences_go_on_as_those_that_they_were():
    model, cache = model_of("rotary"), KeyValueCache()
    tokens, more = tokens_of(0, 3, 5), tokens_of(1, 4, 2)
    model(tokens, cache=cache)
    order = torch.tensor([2, 0, 0, 1])
    cache.reorder(order)
    close(model(more, cache=cache), model(torch.cat((tokens[order], more), -1))[:, 5:])


@pytest.mark.parametrize("length", [0, 1, 4, 5])
def test_cropped_positions_are_forgotten(length):
    model, cache, tokens = model_of("rotary"), KeyValueCache(), tokens_of(0, 2, 5)
    model(tokens, cache=cache)
    cache.crop(length)
    assert cache.length == length
    more = tokens_of(1, 2, 3)
    close(model(more, cache=cache), model(torch.cat((tokens[:, :length], more), -1))[:, length:])


def test_a_windowed_cache_is_cropped_as_far_as_it_goes():
    model, tokens = model_of("rotary", window=3), tokens_of(0, 2, 9)
    cache = KeyValueCache()
    model(tokens[:, :5], cache=cache)
    before = cache.copy()
    model(tokens[:, 5:], cache=cache)
    for length in (5, 8):  # what 8 sees, 6 and 7, is not all there
        with pytest.raises(ValueError, match=f"before 7, and cannot go back to {length}"):
            cache.crop(length)
    cache.crop(9)
    more = tokens_of(1, 2, 1)
    close(model(more, cache=cache), model(torch.cat((tokens, more), -1))[:, 9:])
    close(model(tokens[:, 5:], cache=before), model(tokens)[:, 5:])


def test_an_interrupted_step_leaves_the_cache_of_a_stack_as_it_was():
    encoder, x, cache = made(Encoder, 8, 2, 2), normal(0, 6, 8), KeyValueCache()
    encoder(x[:4], causal=True, cache=cache)
    handle = encoder.blocks[1].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        encoder(x[4:], causal=True, cache=cache)
    handle.remove()
    close(encoder(x[4:], causal=True, cache=cache), encoder(x, causal=True)[4:])


def begun(make, x, **how):
    cache = KeyValueCache()
    make()(x, cache=cache, **how)
    return cache


@pytest.mark.parametrize("call, error, message", [
    (lambda: LAYER(X, cache={}), TypeError, "cache must be a KeyValueCache, got dict"),
    (lambda: MODEL(torch.tensor([1]), cache=[]), TypeError, "KeyValueCache, got list"),
    (lambda: MODEL.weights(torch.tensor([1]), cache={}), TypeError, "KeyValueCache, got dict"),
    (lambda: Encoder(8, 2, 2)(X, cache={}), TypeError, "KeyValueCache, got dict"),
    (lambda: Block(8, 2, cross=True).cross_weights(X, X, cache={}), TypeError, "got dict"),
    (lambda: LAYER(X, cache=begun(lambda: Encoder(8, 2, 3), X)), ValueError,
     "begun by a stack of 3, and cannot serve a layer by itself"),
    (lambda: Encoder(8, 2, 2)(X, cache=begun(lambda: Encoder(8, 2, 3), X)), ValueError,
     "begun by 3 layers, and cannot serve a stack of 2"),
    (lambda: Encoder(8, 2, 1)(X, cache=begun(lambda: LAYER, X)), ValueError,
     "begun by a single layer, and cannot serve a stack of 1"),
    (lambda: MultiHeadAttention(8, 4)(X, cache=held()), ValueError, r"\(2, 2, 4\), got \(2, 4, 2"),
    (lambda: copy.deepcopy(LAYER).double()(X.double(), cache=held()), ValueError,
     "float32 on cpu, got torch.float64 on cpu"),
    (lambda: held().reorder([2]), ValueError, r"below 2, got \[2\]"),
    (lambda: held().reorder([[0]]), TypeError, "one axis of whole numbers"),
    (lambda: held().reorder([0.5]), TypeError, "one axis of whole numbers"),
    (lambda: begun(lambda: LAYER, X[0]).reorder([0]), ValueError, r"below 0, got \[0\]"),
    (lambda: held().crop(4), ValueError, "at most 3, which it is now, got 4"),
    (lambda: held().crop(-1), ValueError, "length must be at least 0"),
    (lambda: held().held(1), ValueError, "of 1 layers, got layer 1"),
    (lambda: KeyValueCache().held(), ValueError, "of 0 layers, got layer 0"),
])
def test_a_cache_in_the_wrong_place_says_so(call, error, message):
    with pytest.raises(error, match=message):
        call()


@given(st.integers(1, 6), st.sampled_from([math.nan, math.inf]), seeds)
def test_what_is_no_number_reaches_no_gradient_by_the_weights(n, bad, seed):
    """Padding of NaN, in a layer, a stack and a decoder; the loss looks at what does not see it."""
    mask = np.random.default_rng(seed).random((7, 7)) < 0.6
    mask[:n, n:] = False
    mask[n:, n:] |= np.eye(7 - n, dtype=bool)  # an empty row would give 0
    x, memory = normal(seed, 2, 7, 8), normal(seed + 1, 2, 5, 8)
    for pre_norm in (True, False):
        layer = made(MultiHeadAttention, 8, 2, rotary=True)
        encoder = made(Encoder, 8, 2, 2, pre_norm=pre_norm)
        decoder = made(Decoder, 8, 2, 1, pre_norm=pre_norm)
        for module, others in ((layer, ()), (encoder, ()), (decoder, (memory,))):
            found = []
            for padding in (0.0, bad):
                leaf = x.clone()
                leaf[:, n:] = padding
                leaf.requires_grad_()
                output = module(leaf, *others, mask=mask)
                found.append(torch.autograd.grad(output[:, :n].square().sum(),
                                                 [leaf, *module.parameters()],
                                                 allow_unused=True, materialize_grads=True))
                if padding == bad:
                    assert not output[:, n:].isfinite().any()
            for a, b in zip(*found):
                close(a, b)


def test_a_failed_call_leaves_the_cache_as_it_was():
    layer, cache = made(MultiHeadAttention, 4, 2), KeyValueCache()
    with pytest.raises(ValueError, match="mask"):
        layer(normal(0, 3, 4), mask=torch.ones(7, 7, dtype=torch.bool), cache=cache)
    assert cache.length == 0


# Blocks and stacks.


def torch_weights(ours, theirs):
    """Give torch's encoder or decoder layer the weights of our block."""
    pairs = [(ours.attention, theirs.self_attn)]
    if ours.cross is not None:
        pairs.append((ours.cross, theirs.multihead_attn))
    with torch.no_grad():
        for our, their in pairs:
            joined = torch.cat([our.q_proj.weight, our.k_proj.weight, our.v_proj.weight])
            their.in_proj_weight.copy_(joined)
            their.out_proj.weight.copy_(our.out_proj.weight)
            their.in_proj_bias.zero_()
            their.out_proj.bias.zero_()
    theirs.linear1.load_state_dict(ours.feed_forward.widen.state_dict())
    theirs.linear2.load_state_dict(ours.feed_forward.narrow.state_dict())
    norms = [ours.attention_norm, ours.feed_forward_norm]
    if ours.cross is not None:
        norms.insert(1, ours.cross_norm)
    for i, norm in enumerate(norms, 1):
        getattr(theirs, f"norm{i}").load_state_dict(norm.state_dict())


@pytest.mark.parametrize("pre_norm", [True, False])
def test_block_equals_torchs_encoder_layer(pre_norm):
    ours = made(Block, 8, 2, hidden=12, pre_norm=pre_norm)
    theirs = nn.TransformerEncoderLayer(8, 2, 12, dropout=0, batch_first=True,
                                        norm_first=pre_norm).double()
    torch_weights(ours, theirs)
    x, drop = normal(1, 3, 5, 8), normal(2, 5, 5) > 1
    drop.fill_diagonal_(False)
    close(ours(x), theirs(x))
    close(ours(x, mask=~drop), theirs(x, src_mask=drop))
    close(ours(x, causal=True), theirs(x, src_mask=~torch.from_numpy(causal_mask(5))))


@pytest.mark.parametrize("pre_norm", [True, False])
def test_stacks_equal_torchs(pre_norm):
    encoder = made(Encoder, 8, 2, 3, hidden=12, pre_norm=pre_norm, seed=1)
    decoder = made(Decoder, 8, 2, 2, hidden=12, pre_norm=pre_norm, seed=2)
    sizes = dict(d_model=8, nhead=2, dim_feedforward=12, dropout=0, batch_first=True,
                 norm_first=pre_norm, dtype=torch.float64)
    for ours, layer, stack in ((encoder, nn.TransformerEncoderLayer, "encoder"),
                               (decoder, nn.TransformerDecoderLayer, "decoder")):
        theirs = nn.ModuleList(layer(**sizes) for _ in ours.blocks)
        for our, their in zip(ours.blocks, theirs):
            torch_weights(our, their)
        if stack == "encoder":
            x = memory = normal(3, 4, 6, 8)
            for their in theirs:
                memory = their(memory)
            memory = ours.norm(memory)
            close(encoder(x), memory)
        else:
            y = target = normal(4, 4, 5, 8)
            hidden = ~torch.from_numpy(causal_mask(5))
            padding = torch.arange(6) >= torch.tensor([6, 3, 1, 4])[:, None]
            for their in theirs:
                y = their(y, memory, tgt_mask=hidden, memory_key_padding_mask=padding)
            close(decoder(target, memory, memory_mask=~padding[:, None]), ours.norm(y))
    assert isinstance(encoder.norm, nn.LayerNorm if pre_norm else nn.Identity)


def test_pre_norm_block_without_its_steps_is_the_identity():
    block = made(Block, 8, 2, hidden=0)
    nn.init.zeros_(block.attention.out_proj.weight)
    x = normal(0, 3, 8)
    assert block.feed_forward is None and torch.equal(block(x), x)


def test_feed_forward_is_equation_2():
    layer, x = made(FeedForward, 4, 6), normal(0, 2, 3, 4)
    hidden = x @ layer.widen.weight.T + layer.widen.bias
    hidden = torch.where(hidden > 0, hidden, 0.0)
    close(layer(x), hidden @ layer.narrow.weight.T + layer.narrow.bias)
    assert FeedForward(4).widen.out_features == 16


@pytest.mark.parametrize("pre_norm", [True, False])
def test_weights_of_stacks_are_those_that_their_layers_use(pre_norm):
    """Each layer's weights are caught where `forward` computes them."""
    encoder = made(Encoder, 8, 2, 3, pre_norm=pre_norm, rotary=True)
    decoder = made(Decoder, 8, 2, 2, pre_norm=pre_norm)
    x, memory, seen = normal(0, 3, 5, 8), normal(1, 3, 4, 8), torch.arange(4) < 3
    caught = []

    def catch(layer, arguments, options, output):
        caught.append(layer.weights(*arguments, **options))

    for stack in (encoder, decoder):
        for layer in stack.modules():
            if isinstance(layer, MultiHeadAttention):
                layer.register_forward_hook(catch, with_kwargs=True)
    encoder(x, causal=True, window=2)
    used = list(caught)
    caught.clear()
    decoder(x, memory, memory_mask=seen)
    own, cross = caught[::2], caught[1::2]
    for handle in list(encoder.modules()) + list(decoder.modules()):
        handle._forward_hooks.clear()
    for given_, expected in ((encoder.weights(x, causal=True, window=2), used),
                             (decoder.weights(x, memory, memory_mask=seen), own),
                             (decoder.cross_weights(x, memory, memory_mask=seen), cross)):
        assert len(given_) == len(expected) > 0
        for a, b in zip(given_, expected):
            assert a.shape == b.shape
            close(a, b)
    assert not cross[0][..., 3].any() and cross[0].shape == (3, 2, 5, 4)


def reached(function, x, position):
    """Which input positions the output at one position depends on."""
    x = x.clone().requires_grad_()
    function(x)[position].sum().backward()
    return x.grad.abs().sum(-1) > 0


@given(st.integers(2, 7), st.integers(1, 3), st.none() | st.integers(1, 3), st.data())
def test_causality_and_reach_by_gradient(n, layers, window, data):
    """With a window, each layer reaches window - 1 positions further back, and none ahead."""
    encoder = made(Encoder, 4, 2, layers, rotary=True)
    i = data.draw(st.integers(0, n - 1))
    nearest = 0 if window is None else max(0, i - layers * (window - 1))
    expected = (torch.arange(n) <= i) & (torch.arange(n) >= nearest)
    found = reached(lambda x: encoder(x, causal=True, window=window), normal(0, n, 4), i)
    assert found.tolist() == expected.tolist()


def test_the_decoder_is_causal_in_its_text_and_not_in_its_memory():
    decoder = made(Decoder, 4, 2, 2)
    x, memory = normal(0, 5, 4), normal(1, 6, 4)
    assert reached(lambda x: decoder(x, memory), x, 2).tolist() == [True] * 3 + [False] * 2
    assert reached(lambda m: decoder(x, m), memory, 0).all()


def test_stacks_with_a_cache():
    x, memory = normal(0, 2, 7, 8), normal(1, 2, 4, 8)
    encoder, decoder = made(Encoder, 8, 2, 3, rotary=True), made(Decoder, 8, 4, 2, kv_heads=2)
    for run, weights, cross in (
            (lambda x, **how: encoder(x, causal=True, window=3, **how),
             lambda x, **how: encoder.weights(x, causal=True, window=3, **how), None),
            (lambda x, **how: decoder(x, memory, **how),
             lambda x, **how: decoder.weights(x, memory, **how),
             lambda x, **how: decoder.cross_weights(x, memory, **how))):
        cache = KeyValueCache()
        for start, end in ((0, 4), (4, 5), (5, 7)):
            for a, b in zip(weights(x[:, start:end], cache=cache), weights(x), strict=True):
                close(a, b[..., start:end, :end])
            if cross:
                for a, b in zip(cross(x[:, start:end], cache=cache), cross(x), strict=True):
                    close(a, b[..., start:end, :])
            assert cache.length == start
            close(run(x[:, start:end], cache=cache), run(x)[:, start:end])


# Positions and the language model.


def test_learned_positions_are_rows_of_a_table():
    layer = LearnedPositions(5, 3)
    assert torch.equal(layer(2), layer.table[:2]) and layer(5).shape == (5, 3)
    layer(2).sum().backward()
    assert layer.table.grad.sum(-1).tolist() == [3, 3, 0, 0, 0]


def model_of(positions, *, seed=0, layers=2, **options):
    options = dict(hidden=6, length=12) | options
    return made(LanguageModel, 7, 8, 2, layers, positions=positions, seed=seed, **options)


def tokens_of(seed, *shape):
    return torch.randint(7, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("positions", POSITIONS)
def test_language_model_is_its_parts(positions):
    model, tokens = model_of(positions, window=3), tokens_of(0, 3, 5)
    x = model.embedding.weight[tokens]
    if positions == "sinusoidal":
        x = x + torch.from_numpy(sinusoidal_positions(5, 8))
    if positions == "learned":
        x = x + model.learned.table[:5]
    bias = alibi_bias(2, 5) if positions == "alibi" else None
    assert all(block.attention.rotary == (positions == "rotary") for block in model.stack.blocks)
    for block in model.stack.blocks:
        x = block(x, causal=True, bias=bias, window=3)
    close(model(tokens), model.stack.norm(x) @ model.unembedding.weight.T)


@pytest.mark.parametrize("positions", POSITIONS)
@given(cuts=steps(), window=st.none() | st.integers(1, 4), seed=seeds)
def test_language_model_cached_equals_uncached(positions, cuts, window, seed):
    model = model_of(positions, seed=seed, window=window)
    tokens, cache, start = tokens_of(seed, 2, sum(cuts)), KeyValueCache(), 0
    whole, weights = model(tokens), model.weights(tokens)
    for cut in cuts:
        end = start + cut
        for a, b in zip(model.weights(tokens[:, start:end], cache=cache), weights, strict=True):
            close(a, b[..., start:end, :end])
        close(model(tokens[:, start:end], cache=cache), whole[:, start:end])
        start = end
    assert cache.length == start


@pytest.mark.parametrize("positions", POSITIONS)
def test_positions_tell_order_apart_or_not(positions):
    """Without positions the last token's scores do not depend on the order of those before."""
    model, tokens = model_of(positions, layers=1), torch.tensor([1, 2, 3, 4, 5])
    change = (model(tokens)[-1] - model(torch.tensor([3, 1, 4, 2, 5]))[-1]).abs().max()
    assert change < 1e-12 if positions == "none" else change > 1e-4


@pytest.mark.parametrize("positions", POSITIONS)
def test_greedy_generation_equals_a_loop_without_a_cache(positions):
    model, prompt = model_of(positions, window=3), tokens_of(1, 2, 3, 4)
    tokens = prompt
    for _ in range(6):
        tokens = torch.cat((tokens, model(tokens)[..., -1:, :].argmax(-1)), -1)
    assert torch.equal(model.generate(prompt, 6), tokens)
    assert torch.equal(model.generate(prompt[0, 0], 6), tokens[0, 0])
    assert torch.equal(model.generate(prompt, 0), prompt)


def test_sampled_generation_has_the_models_probabilities_and_repeats():
    model, prompt = model_of("rotary"), torch.tensor([1, 2]).expand(20000, 2)

    def drawn(seed, temperature):
        generator = torch.Generator().manual_seed(seed)
        return model.generate(prompt, 2, temperature=temperature, generator=generator)

    first = drawn(0, 1.5)
    assert torch.equal(first, drawn(0, 1.5)) and not torch.equal(first, drawn(1, 1.5))
    expected = torch.softmax(model(prompt[0])[-1] / 1.5, -1)
    close(torch.bincount(first[:, 2], minlength=7) / 20000, expected.float(), atol=0.015)
    likeliest = first[first[:, 2] == expected.argmax()]
    expected = torch.softmax(model(likeliest[0, :3])[-1] / 1.5, -1)
    shares = torch.bincount(likeliest[:, 3], minlength=7) / len(likeliest)
    close(shares, expected.float(), atol=0.03)
    assert torch.equal(drawn(0, 1e-6)[:1], model.generate(prompt[:1], 2))


def test_generation_stops_where_learned_positions_end():
    model = model_of("learned", length=6)
    assert model.generate(tokens_of(0, 4), 3).shape == (7,)  # the last token is not read
    with pytest.raises(ValueError, match="length of 6, got 7"):
        model.generate(tokens_of(0, 4), 4)


def test_training_lowers_the_loss_of_every_kind_of_model():
    for positions in POSITIONS:
        torch.manual_seed(0)
        model = LanguageModel(7, 16, 2, 1, positions=positions, length=8)
        optimizer, tokens = torch.optim.Adam(model.parameters(), 1e-2), tokens_of(0, 4, 8)
        losses = []
        for _ in range(40):
            loss = nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1),
                                               tokens[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0] / 2
        assert all(p.grad is not None and p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("make", [
    lambda: MultiHeadAttention(8, 4, kv_heads=2, projection_bias=True, rotary=True),
    lambda: Decoder(8, 2, 2), lambda: LanguageModel(5, 8, 2, 2, positions="learned", length=9)])
def test_state_dict_round_trip(make):
    first, second = make(), make()
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters()))
    second.load_state_dict(first.state_dict())
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


# Bad input.


LAYER, MODEL, X = MultiHeadAttention(8, 2), LanguageModel(5, 8, 2, 1), torch.zeros(2, 3, 8)


def held():
    cache = KeyValueCache()
    LAYER(X, cache=cache)
    return cache


@pytest.mark.parametrize("call, error, message", [
    (lambda: MultiHeadAttention(8, 3), ValueError, "heads must divide dim.* dim 8, heads 3"),
    (lambda: MultiHeadAttention(8, 4, kv_heads=3), ValueError, "heads 4, kv_heads 3"),
    (lambda: MultiHeadAttention(8, 2, kv_heads=4), ValueError, "heads 2, kv_heads 4"),
    (lambda: MultiHeadAttention(8, 0), ValueError, "heads must be at least 1, got 0"),
    (lambda: MultiHeadAttention(8, 2.0), TypeError, "heads must be a whole number, got 2.0"),
    (lambda: MultiHeadAttention(6, 2, rotary=True), ValueError, "even dim / heads.* dim 6"),
    (lambda: LAYER(torch.zeros(3, 6)), ValueError, r"dim = 8, got query \(3, 6\)"),
    (lambda: LAYER(X, torch.zeros(2, 3, 6)), ValueError, r"query \(2, 3, 8\), key \(2, 3, 6\)"),
    (lambda: LAYER(torch.zeros(8)), ValueError, r"query \(8,\)"),
    (lambda: LAYER(X.numpy()), TypeError, "query must be a tensor of .*float32, got ndarray"),
    (lambda: LAYER(X, X.double()), TypeError, "key must be a tensor of .*float32, got .*float64"),
    (lambda: LAYER(X, X, torch.zeros(2, 4, 8)), ValueError, r"key \(2, 2, 3, 4\), value \(2, 2, 4"),
    (lambda: LAYER(X, torch.zeros(5, 3, 8)), ValueError, "broadcast|shape"),
    (lambda: LAYER(X, mask=torch.ones(2, 2, 3, 3).bool()), ValueError,
     r"\(..., n_q, n_k\) = \(2, 3, 3\), got mask \(2, 2, 3, 3\)"),
    (lambda: LAYER(X, mask=torch.ones(4, 4).bool()), ValueError, r"got mask \(4, 4\)"),
    (lambda: LAYER(X, mask=torch.ones(3, 3)), TypeError, "mask must be boolean"),
    (lambda: LAYER(X, mask=[[True]]), TypeError, "mask must be an array, got list"),
    (lambda: LAYER(X, bias=torch.ones(3, 3, 3)), ValueError, r"got bias \(3, 3, 3\)"),
    (lambda: LAYER(X, window=0), ValueError, "window must be at least 1"),
    (lambda: LAYER(X, X + 1, cache=KeyValueCache()), ValueError, "self-attention"),
    (lambda: LAYER(X, value=X + 1, cache=KeyValueCache()), ValueError, "self-attention"),
    (lambda: LAYER(torch.zeros(3, 3, 8), cache=held()), ValueError,
     r"\(2, 2, 4\), got \(3, 2, 4\)"),
    (lambda: LearnedPositions(4, 8)(5), ValueError, "length of 4, got 5"),
    (lambda: LearnedPositions(3, 4)(-1), ValueError, "n must be at least 0, got -1"),
    (lambda: LearnedPositions(3, 4)(1.0), TypeError, "n must be a whole number, got 1.0"),
    (lambda: LAYER(X, causal="no"), TypeError, "causal must be True or False, got 'no'"),
    (lambda: MultiHeadAttention(8, 2, rotary=1), TypeError, "rotary must be True or False, got 1"),
    (lambda: Block(8, 2, pre_norm="no"), TypeError, "pre_norm must be True or False"),
    (lambda: Block(8, 2, cross=1), TypeError, "cross must be True or False"),
    (lambda: Block(8, 2)(X, memory_mask=torch.ones(3, 3).bool()), ValueError, "there is none"),
    (lambda: Block(8, 2).cross_weights(X, X), ValueError, "made with cross=True"),
    (lambda: Encoder(8, 2, 1)(X, memory_mask=torch.ones(3, 3).bool()), ValueError, "there is none"),
    (lambda: LanguageModel(5, 8, 2, 1, window=0), ValueError, "window must be at least 1, got 0"),
    (lambda: LAYER(torch.zeros(5, 3, 8), mask=torch.ones(5, 3).bool()), ValueError,
     "padding_mask"),
    (lambda: MODEL.generate(torch.tensor([3]), 1, temperature="hot"), TypeError, "got 'hot'"),
    (lambda: LearnedPositions(0, 8), ValueError, "n must be at least 1, got 0"),
    (lambda: FeedForward(8, 0), ValueError, "hidden must be at least 1"),
    (lambda: Block(8, 2)(X, X), ValueError, "memory"),
    (lambda: Block(8, 2, cross=True)(X), ValueError, "memory"),
    (lambda: Encoder(8, 2, 0), ValueError, "layers must be at least 1"),
    (lambda: Encoder(8, 2, 1, depth=3), TypeError, "depth"),
    (lambda: LanguageModel(5, 8, 2, 1, positions="learned"), ValueError, "need the length"),
    (lambda: LanguageModel(5, 8, 2, 1, positions="rope"), ValueError, "got 'rope'"),
    (lambda: LanguageModel(0, 8, 2, 1), ValueError, "vocabulary must be at least 1"),
    (lambda: MODEL(torch.tensor([1, 5])), ValueError, "0 to 4, got 1 to 5"),
    (lambda: MODEL(torch.tensor([-1, 2])), ValueError, "0 to 4, got -1 to 2"),
    (lambda: MODEL(torch.tensor([1.0])), TypeError, "whole numbers, got torch.float32"),
    (lambda: MODEL(np.array([1])), TypeError, "got ndarray"),
    (lambda: MODEL(torch.tensor([True])), TypeError, "got torch.bool"),
    (lambda: MODEL.generate(torch.zeros(2, 0, dtype=torch.int64), 1), ValueError, r"\(2, 0\)"),
    (lambda: MODEL.generate(torch.tensor(3), 1), ValueError, "n_prompt"),
    (lambda: MODEL.generate(torch.tensor([3]), -1), ValueError, "n must be at least 0"),
    (lambda: MODEL.generate(torch.tensor([3]), 1, temperature=-1), ValueError, "got -1"),
    (lambda: MODEL.generate(torch.tensor([3]), 1, temperature=math.nan), ValueError, "got nan"),
])
def test_bad_input_says_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()
