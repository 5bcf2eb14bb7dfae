"""Long sequences: each way of reaching attention in pieces against its dense definition."""

import inspect
import itertools
import math
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import ring_ranks
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from oracle import laid_out, narrowed
from torch.autograd import gradcheck
from torch.utils._python_dispatch import TorchDispatchMode

import attnlib
from attnlib import (
    attention,
    chunked_attention,
    hierarchical_attention,
    local_attention,
    multilevel,
    ring_attention,
)

NAN = float("nan")
seeds = st.integers(0, 2**32 - 1)


def normal(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed),
                       dtype=torch.float64).to(dtype)


def self_attention_inputs(n, dtype=torch.float64, heads=2, width=4):
    return [normal(seed, heads, n, width, dtype=dtype) for seed in range(3)]


def close(actual, expected, atol=1e-12):
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


SIZES = st.integers(0, 14)


@st.composite
def triples(draw, sizes=SIZES):
    """Query, key and value of any broadcast, layout, width and length, and a tolerance."""
    rng = np.random.default_rng(draw(seeds))
    lead = draw(st.sampled_from([(), (2,), (2, 2), (3, 2), (0,)]))
    n_q, n_k, d_k, d_v = draw(sizes), draw(sizes), draw(st.integers(0, 3)), draw(st.integers(0, 3))
    magnitude = draw(st.sampled_from([1.0, 1.0, 1e4]))
    arrays = [laid_out(draw, factor * rng.standard_normal((*narrowed(draw, lead), n, width)))
              for n, width, factor in ((n_q, d_k, magnitude), (n_k, d_k, 1.0), (n_k, d_v, 1.0))]
    return [torch.from_numpy(np.require(x, requirements="W")) if min(x.strides) >= 0
            else torch.from_numpy(x.copy()) for x in arrays], 1e-12 * magnitude


def with_gradients(function, arrays, grad_output=None):
    """The output, and the gradient of each array."""
    leaves = [x.clone().requires_grad_() for x in arrays]
    output = function(*leaves)
    if grad_output is None:
        grad_output = normal(9, *output.shape, dtype=output.dtype)
    return output.detach(), *torch.autograd.grad(output, leaves, grad_output)


def assert_same(function, dense, arrays, atol=1e-12):
    """Same output, same gradients, inputs as before, gradients finite."""
    before = [x.clone() for x in arrays]
    close(function(*arrays), dense(*arrays), atol)
    for x, copy in zip(arrays, before):
        assert torch.equal(x, copy)
    for actual, expected in zip(with_gradients(function, arrays), with_gradients(dense, arrays)):
        assert actual.isfinite().all()
        close(actual, expected, 10 * atol)


def assert_causal(function, n, visible):
    """Output i depends on position j where `visible(i, j)`, and only there."""
    arrays = self_attention_inputs(n)
    output = function(*arrays)
    for j in range(n):
        changed = [x.clone() for x in arrays]
        for x in changed[1:]:
            x[:, j] += 1
        moved = (function(*changed) != output).any(-1).any(0)
        assert moved.tolist() == [visible(i, j) for i in range(n)], j
    key, value = arrays[1].requires_grad_(), arrays[2].requires_grad_()
    for i in range(n):
        seen = torch.tensor([visible(i, j) for j in range(n)])
        by_key, by_value = torch.autograd.grad(function(arrays[0], key, value)[:, i].sum(),
                                               (key, value))
        assert torch.equal((by_value != 0).any(-1).any(0), seen), i
        assert (by_key[:, ~seen] == 0).all(), i


class Watch(TorchDispatchMode):
    """Records the largest storage that any operation returned, and counts the operations."""

    def __init__(self):
        super().__init__()
        self.largest, self.calls = 0, {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        returned = function(*args, **(kwargs or {}))
        self.calls[str(function)] = self.calls.get(str(function), 0) + 1
        for x in returned if isinstance(returned, (tuple, list)) else [returned]:
            if isinstance(x, torch.Tensor):
                self.largest = max(self.largest, x.untyped_storage().nbytes() // x.itemsize)
        return returned


def largest(function, n, heads=2, width=4):
    """Numbers in the largest tensor that forward and backward make, per head."""
    leaves = [x.requires_grad_() for x in self_attention_inputs(n, heads=heads, width=width)]
    with Watch() as watch:
        function(*leaves).sum().backward()
    return watch.largest / heads


# Local.


@given(problem=triples(), window=st.integers(1, 20), causal=st.booleans(), block=st.integers(1, 5),
       edge=st.integers(1, 9), at_once=st.integers(1, 200))
def test_local_is_attention_in_a_band(problem, window, causal, block, edge, at_once):
    arrays, atol = problem
    band = dict(window=window, causal=causal)
    with mock.patch.multiple("attnlib.multilevel", BLOCK=block, EDGE=edge, SCORES=at_once):
        assert_same(lambda *x: local_attention(*x, **band), lambda *x: attention(*x, **band),
                    arrays, atol)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("n_q, n_k, window", [
    (300, 300, 70), (300, 200, 40), (65, 300, 9), (64, 64, 1), (600, 600, 10**9), (90, 20, 300),
])
def test_local_in_blocks_of_the_usual_size(n_q, n_k, window, causal):
    arrays = normal(0, 2, n_q, 8), normal(1, 2, n_k, 8), normal(2, 2, n_k, 8)
    band = dict(window=window, causal=causal)
    assert_same(lambda *x: local_attention(*x, **band), lambda *x: attention(*x, **band), arrays)


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_local_in_blocks_with_any_leading_axes(lead):
    arrays = [normal(seed, *lead, 200, 4) for seed in range(3)]
    assert_same(lambda *x: local_attention(*x, window=9, causal=True),
                lambda *x: attention(*x, window=9, causal=True), arrays)
    arrays[1][..., 120, :] = NAN
    torch.testing.assert_close(local_attention(*arrays, window=9, causal=True),
                               attention(*arrays, window=9, causal=True), equal_nan=True)


@pytest.mark.parametrize("n", [3, 100])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_local_keeps_the_dtype_with_blocks_and_without(dtype, n):
    x = normal(0, n, 2, dtype=dtype)
    assert local_attention(x, x, x, window=2).dtype == dtype


def test_local_of_keys_without_numbers_is_the_mean_of_what_is_seen():
    nothing, value = normal(0, 3, 0), normal(1, 3, 2)
    close(local_attention(nothing, nothing, value, window=1), value)
    close(local_attention(nothing, nothing, value, window=3), value.mean(0).expand(3, 2))


@pytest.mark.parametrize("window, causal", [(1, True), (3, True), (3, False)])
def test_local_takes_every_block_once(window, causal):
    arrays, band = self_attention_inputs(50), dict(window=window, causal=causal)
    with mock.patch.multiple("attnlib.multilevel", BLOCK=2, EDGE=2, SCORES=20):
        assert_same(lambda *x: local_attention(*x, **band),
                    lambda *x: attention(*x, **band), arrays)


def tiles(n_q, n_k, window, causal, heads=1, block=64, **how):
    """The tiles of a band, as the numbers of the queries and of the keys in them."""
    queries, keys = (torch.arange(heads * n, dtype=torch.float64).reshape(heads, n, 1)
                     for n in (n_q, n_k))
    with mock.patch.multiple("attnlib.multilevel", BLOCK=block, EDGE=block):
        for (q,), (k,), limit in multilevel._band_tiles((queries,), (keys,), None, window=window,
                                                        causal=causal, **how):
            yield q[..., 0].long(), k[..., 0].long(), limit


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("window, causal", [(9, True), (5, False), (1, True), (40, False)])
@pytest.mark.parametrize("n_q, n_k", [(60, 60), (60, 50), (20, 60), (3, 3)])
def test_tiles_hold_every_pair_of_the_band_once(n_q, n_k, window, causal, apart):
    band = torch.zeros(2 * n_q, 2 * n_k, dtype=torch.int64)
    for q, k, limit in tiles(n_q, n_k, window, causal, heads=2, block=4, apart=apart):
        for rows, columns in zip(q, k):
            band[rows[:, None], columns[None]] += limit > 0
        assert limit.dtype == torch.float64  # the keys'
    wanted = torch.from_numpy(attnlib.window_mask(n_q, n_k, window=window, causal=causal)).long()
    assert torch.equal(band, torch.block_diag(wanted, wanted))


@pytest.mark.parametrize("window, causal, block", [(9, True, 4), (5, False, 8), (1, True, 3)])
def test_windows_whose_gradients_are_added_at_once_do_not_overlap(window, causal, block):
    """Where they did, threads would write to one place at the same time."""
    reach = window - 1 + block + (0 if causal else window - 1)
    together = 0
    for _, k, _ in tiles(60, 60, window, causal, heads=2, block=block, apart=True):
        assert len(k.flatten().unique()) == k.numel()
        if len(k) > 1 and k.shape[1] == reach:  # and no further apart than that needs
            together += 1
            assert k[1, 0] - k[0, 0] < reach + block
    assert together
    with mock.patch("attnlib.multilevel._band_tiles", side_effect=multilevel._band_tiles) as calls:
        with_gradients(lambda *x: local_attention(*x, window=window, causal=causal),
                       self_attention_inputs(60))
    assert [call.kwargs.get("apart") for call in calls.call_args_list] == [None, True]


@pytest.mark.parametrize("heads, together", [(3, [3]), (130, [64, 64, 2])])
def test_the_edges_of_many_heads_are_done_together(heads, together):
    with mock.patch("attnlib.multilevel.SCORES", 64 * 5 * 5):
        assert [len(q) for q, _, _ in tiles(5, 5, 3, True, heads=heads)] == together


def test_blocks_next_to_each_other_are_done_together_in_groups():
    with mock.patch("attnlib.multilevel.SCORES", 64 * 4 * 12):
        assert [len(q) for q, _, _ in tiles(8 + 130 * 4, 8 + 130 * 4, 9, True, block=4)] == [
            1, 1, 64, 64, 2]  # two blocks at the edge, then groups


@pytest.mark.parametrize("n_q, n_k, causal, rows, blocks", [
    (8 + 128, 136, True, 8, 128), (8 + 127, 135, True, 71, 64), (8 + 63, 71, True, 71, 0),
    (0, 0, True, 0, 0), (64, 80, True, 0, 64), (4 + 64, 72, True, 4, 64), (4, 0, True, 0, 0),
    (9, 4, True, 4, 0), (20, 4, False, 12, 0),
    (8 + 128 + 8, 144, False, 16, 128), (8 + 127 + 8, 143, False, 79, 64),
    (8 + 8, 16, False, 16, 0), (5, 5, False, 5, 0),
])
def test_only_what_lacks_a_whole_window_is_done_outside_the_blocks(n_q, n_k, causal, rows, blocks):
    """And what sees nothing is not done at all."""
    reach = 9 - 1 + 64 + (0 if causal else 9 - 1)
    sizes = [(q.numel(), k.shape[1]) for q, k, _ in tiles(n_q, n_k, 9, causal)]
    assert sum(size for size, width in sizes if width < reach) == rows
    assert sum(size for size, width in sizes if width == reach) == blocks


@pytest.mark.parametrize("causal, seen", [(True, 5), (False, 9)])
def test_the_window_has_exactly_as_many_keys_as_it_says(causal, seen):
    """One key more is the commonest mistake."""
    x = torch.zeros(1, 200, 1)
    weights = local_attention(x, x, torch.eye(200)[None], window=5, causal=causal)[0]
    assert ((weights > 0).sum(-1)[10:190] == seen).all()


@pytest.mark.parametrize("causal", [False, True])
def test_local_depends_on_its_window_alone(causal):
    reach = (lambda i, j: 0 <= i - j < 3) if causal else (lambda i, j: abs(i - j) < 3)
    with mock.patch("attnlib.multilevel.BLOCK", 2):
        assert_causal(lambda *x: local_attention(*x, window=3, causal=causal), 11, reach)


@pytest.mark.parametrize("broken", [1, 2])
@pytest.mark.parametrize("bad", [NAN, float("inf")])
@pytest.mark.parametrize("causal", [False, True])
def test_what_local_may_not_see_does_not_reach_it(causal, bad, broken):
    arrays = self_attention_inputs(150)
    clean = local_attention(*arrays, window=3, causal=causal)
    arrays[broken][:, 70] = bad
    output = local_attention(*arrays, window=3, causal=causal)
    hidden = torch.ones(150, dtype=torch.bool)
    hidden[70 if causal else 68:73] = False
    close(output[:, hidden], clean[:, hidden])
    assert output[:, ~hidden].isnan().all()


@pytest.mark.parametrize("causal, rows", [(True, range(70, 73)), (False, range(68, 73))])
def test_a_score_that_overflows_is_seen_by_its_own_rows_alone(causal, rows):
    """Neither all queries nor all keys are large: it takes one of each."""
    query, key, value = torch.full((100, 1), 1e25), torch.full((100, 1), 1e10), torch.ones(100, 1)
    key[70] = 1e15  # times 1e25 it is no longer a float32
    output = local_attention(query, key, value, window=3, causal=causal)
    assert output.isnan().any(dim=-1).nonzero().flatten().tolist() == list(rows)


@pytest.mark.parametrize("size, usual, far", [
    (1e20, 1.0, [1e20]), (1e25, 1e10, [1e15]), (1e20, 1.0, [1e20, -1e20])])
def test_a_score_out_of_sight_may_overflow(size, usual, far):
    """To infinity, or to infinity less infinity, although every key is a number."""
    query, key = (torch.full((100, len(far)), x) for x in (size, usual))
    key[70] = torch.tensor(far)
    value = normal(0, 100, 2).float()
    for function in (attention, local_attention):
        output = function(query, key, value, window=3, causal=True)
        assert output.isnan().any(-1).nonzero()[:, 0].tolist() == [70, 71, 72]
    for output in (attention(query, key, value, causal=True),
                   chunked_attention(query, key, value, causal=True, query_chunk=7, key_chunk=9)):
        assert output.isnan().any(-1).nonzero()[:, 0].tolist() == [*range(70, 100)]


@pytest.mark.parametrize("causal", [False, True])
def test_local_takes_memory_linear_in_the_length(causal):
    def function(query, key, value):
        return local_attention(query, key, value, window=8, causal=causal)

    assert largest(function, 2048) <= 2.1 * largest(function, 1024) < 1024**2 / 8


# Chunked.


@st.composite
def masked(draw):
    """A triple, and a mask in one of the ways it may broadcast."""
    arrays, atol = draw(triples(st.integers(0, 7)))
    lead = np.broadcast_shapes(*(tuple(x.shape[:-2]) for x in arrays[:2]))
    shape = narrowed(draw, (*lead, arrays[0].shape[-2], arrays[1].shape[-2]))
    rng = np.random.default_rng(draw(seeds))
    mask = np.asarray(rng.random(shape) < draw(st.sampled_from([0.0, 0.3, 0.8, 1.0])))
    as_tensor, none = draw(st.booleans()), draw(st.booleans())
    return arrays, None if none else torch.from_numpy(mask) if as_tensor else mask, atol


@given(problem=masked(), causal=st.booleans(), query_chunk=st.integers(1, 9),
       key_chunk=st.integers(1, 9))
def test_chunked_is_attention_whatever_the_chunks(problem, causal, query_chunk, key_chunk):
    arrays, mask, atol = problem
    assert_same(lambda *x: chunked_attention(*x, causal=causal, mask=mask, query_chunk=query_chunk,
                                             key_chunk=key_chunk),
                lambda *x: attention(*x, causal=causal, mask=mask), arrays, atol)


@pytest.mark.parametrize("shape", [
    (), (1,), (9,), (7, 1), (7, 9), (1, 9), (1, 7, 9), (3, 1, 1), (3, 7, 1), (2, 1, 1, 9),
    (2, 1, 7, 9), (1, 3, 7, 9), (2, 3, 7, 9),
])
def test_a_mask_broadcasts_in_every_way(shape):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.6
    arrays = normal(0, 2, 3, 7, 4), normal(1, 3, 9, 4), normal(2, 2, 1, 9, 5)
    assert_same(lambda *x: chunked_attention(*x, mask=mask, query_chunk=3, key_chunk=4),
                lambda *x: attention(*x, mask=mask), arrays)


@pytest.mark.parametrize("causal", [False, True])
def test_chunks_of_the_usual_size(causal):
    arrays = normal(0, 1100, 3), normal(1, 2100, 3), normal(2, 2100, 3)
    with Watch() as watch:
        output = chunked_attention(*arrays, causal=causal)
    close(output, attention(*arrays, causal=causal))
    assert watch.calls["aten.baddbmm_.default"] == (9 if causal else 10)
    assert watch.largest == 1024 * 512


def test_wholly_hidden_blocks_are_skipped():
    query, key, value = (normal(seed, 12, 3).requires_grad_() for seed in range(3))
    with Watch() as forward:
        output = chunked_attention(query, key, value, causal=True, query_chunk=3, key_chunk=3)
    assert forward.calls["aten.bmm.out"] == 1 + 2 + 3 + 4
    with Watch() as backward:
        output.sum().backward()
    assert backward.calls["aten.bmm.out"] == 2 * (1 + 2 + 3 + 4)


@pytest.mark.parametrize("causal, query_chunk, key_chunk, masked", [
    (False, 3, 3, 0), (True, 1, 1, 0), (True, 1, 4, 0), (True, 3, 3, 4), (True, 12, 12, 1),
])
def test_only_blocks_on_the_diagonal_are_masked(causal, query_chunk, key_chunk, masked):
    arrays = [normal(seed, 12, 3) for seed in range(3)]
    with Watch() as watch:
        chunked_attention(*arrays, causal=causal, query_chunk=query_chunk, key_chunk=key_chunk)
    assert watch.calls.get("aten.tril.default", 0) == masked


@pytest.mark.parametrize("mask", [None, torch.tensor([[True, False, True, False, True]])])
@pytest.mark.parametrize("causal", [False, True])
def test_chunked_passes_gradcheck(causal, mask):
    arrays = [normal(seed, 2, n, 3).requires_grad_() for seed, n in enumerate((7, 5, 5))]
    assert gradcheck(lambda *x: chunked_attention(*x, causal=causal, mask=mask, query_chunk=2,
                                                  key_chunk=3), arrays)


def test_only_the_gradients_that_are_asked_for():
    query, key, value = self_attention_inputs(5)
    value.requires_grad_()
    chunked_attention(query, key, value, query_chunk=2, key_chunk=2).sum().backward()
    assert query.grad is None and key.grad is None
    close(value.grad, torch.ones_like(value) * attnlib.attention_weights(query, key).sum(-2)[
        ..., None])


TWICE = ("attention in pieces can be differentiated once, not twice: local_, chunked_, selected_ "
         "and ring_attention have no second derivative")


@pytest.mark.parametrize("name, keywords", [
    ("chunked_attention", {}), ("local_attention", dict(window=3, causal=True)),
    ("selected_attention", dict(chunk=4, top=2, window=3))])
def test_differentiating_twice_raises(raises, name, keywords):
    """Where autograd itself would say nothing and leave out a part of the gradient."""
    query, key, value = (x.requires_grad_() for x in self_attention_inputs(80))
    output = getattr(attnlib, name)(query, key, value, **keywords)
    gradient, = torch.autograd.grad(output.sum(), query, create_graph=True)  # once, so far
    with raises(RuntimeError, TWICE):
        gradient.sum().backward()


@pytest.mark.parametrize("function", [
    lambda *x: local_attention(*x, window=3), lambda *x: chunked_attention(*x, causal=True),
    lambda query, key, value: local_attention(query, key, value.where(value < 1, NAN), window=3),
    lambda *x: hierarchical_attention(*x, chunk=3, causal=True),
    lambda *x: attnlib.selected_attention(*x, chunk=3, top=2, window=3)],
    ids=["local", "chunked", "local with NaNs", "hierarchical", "selected"])
def test_a_default_device_elsewhere_does_not_matter(function):
    """Everything is made on the inputs' device."""
    arrays = self_attention_inputs(100)
    expected = function(*arrays)
    with torch.device("meta"):
        actual = function(*arrays)
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)


def blocks(n_q, n_k, sizes, scores, causal, heads=5, mask=None):
    """The blocks of so many scores at once."""
    queries, keys = (torch.zeros(heads, n, 1, dtype=torch.float64) for n in (n_q, n_k))
    with mock.patch("attnlib.multilevel.SCORES", scores):
        yield from multilevel._blocks([queries], [keys], mask, causal=causal, sizes=sizes)


def test_as_many_heads_in_a_block_as_have_a_number_of_scores():
    sizes = [q.shape[:2] for (q,), _, _ in blocks(10, 10, (4, 10), 80, causal=False)]
    assert sizes == 2 * [(2, 4), (2, 4), (1, 4)] + [(4, 2), (1, 2)]
    assert [len(q) for (q,), _, _ in blocks(3, 3, (1, 8), 4, causal=True)] == [
        4, 1, 2, 2, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("mask", [None, torch.ones(5, 11, 13, dtype=torch.bool)])
def test_every_row_of_a_block_of_the_past_sees_a_key(mask):
    for (q,), (k,), limit in blocks(11, 13, (4, 3), 24, causal=True, mask=mask):
        if limit is not None:
            assert limit.dtype == k.dtype and limit.shape[-2:] == (q.shape[1], k.shape[1])
            assert (limit == math.inf).any(-1).all()


def test_what_is_hidden_is_written_where_the_scores_are():
    scores = normal(0, 2, 3, 4)
    limit = torch.tensor([math.inf, -math.inf, math.inf, -math.inf], dtype=torch.float64)
    expected = scores.where(limit > 0, -math.inf)
    assert multilevel._limited(scores, limit) is scores
    assert torch.equal(scores, expected)


def test_what_is_no_number_is_taken_for_0():
    x = torch.tensor([1.0, NAN, math.inf, -math.inf, -2.0])
    assert multilevel._numbers(x).tolist() == [1, 0, 0, 0, -2]


def test_room_is_for_the_largest_tile_or_for_none():
    x = torch.zeros(3, 9, 1)
    assert multilevel._room(x, [([x[:, :2]], [x[:, :5]], None), ([x], [x[:1, :1]], None)]
                            ).shape == (30,)
    assert multilevel._room(x, []).shape == (0,)


def test_what_is_sealed_scores_as_before():
    query, key, value = (normal(seed, 2, 5, 4).round() for seed in range(3))
    sealed_query, sealed_key, _ = multilevel._sealed(query, key, value)
    assert torch.equal(sealed_query @ sealed_key.mT, query @ key.mT / 2)


def test_chunked_sees_the_past_alone():
    assert_causal(lambda *x: chunked_attention(*x, causal=True, query_chunk=3, key_chunk=2), 8,
                  lambda i, j: j <= i)


@pytest.mark.parametrize("broken", [1, 2])
@pytest.mark.parametrize("bad", [NAN, float("inf"), -float("inf")])
@pytest.mark.parametrize("query_chunk, key_chunk", [(1, 1), (3, 4), (20, 20)])
def test_what_the_past_may_not_see_does_not_reach_it(query_chunk, key_chunk, bad, broken):
    arrays = self_attention_inputs(12)
    sizes = dict(query_chunk=query_chunk, key_chunk=key_chunk)
    clean = chunked_attention(*arrays, causal=True, **sizes)
    arrays[broken][:, 7] = bad
    output = chunked_attention(*arrays, causal=True, **sizes)
    close(output[:, :7], clean[:, :7])
    assert output[:, 7:].isnan().all()


@pytest.mark.parametrize("sizes", [{}, dict(query_chunk=2, key_chunk=3)])
def test_a_nan_that_no_query_may_see_reaches_nothing(sizes):
    """Neither the output nor any gradient."""
    arrays = self_attention_inputs(6)
    mask = torch.tensor([True, True, False, True, True, False])
    expected = with_gradients(lambda *x: chunked_attention(*x, mask=mask, **sizes), arrays)
    for x in arrays[1:]:
        x[:, ~mask] = NAN
    for actual, clean in zip(
            with_gradients(lambda *x: chunked_attention(*x, mask=mask, **sizes), arrays),
            expected):
        close(actual, clean)


@pytest.mark.parametrize("keywords", [
    {}, dict(causal=True), dict(mask=torch.ones(1, 6).bool()), dict(key_chunk=1),
    dict(query_chunk=1, key_chunk=2, causal=True)])
@pytest.mark.parametrize("score, met", [(-200.0, False), (-20.0, True)])
def test_a_value_whose_weight_is_0_is_silent_as_in_attention(keywords, score, met):
    """Whether its block is seen before the larger score or after; a small weight is not 0."""
    for place in (1, 4):
        query, key = torch.ones(6, 1), torch.zeros(6, 1)
        key[place], key[0] = score, -abs(score) * (place == 1)
        value = normal(0, 6, 2).float()
        value[place] = NAN
        hidden = {name: x for name, x in keywords.items() if not name.endswith("chunk")}
        expected = attention(query, key, value, **hidden)
        torch.testing.assert_close(chunked_attention(query, key, value, **keywords), expected,
                                   equal_nan=True)
        assert expected[-1].isnan().all() == met


def test_a_block_whose_scores_are_all_minus_infinity_counts_for_nothing():
    query, value = torch.full((3, 1), 1e30), normal(0, 4, 2).float()
    key = torch.tensor([[-1e30], [-1e30], [1e-30], [2e-30]])
    output = chunked_attention(query, key, value, key_chunk=2)
    close(output, attention(query, key, value), 1e-6)
    assert (output != 0).all()
    assert (chunked_attention(query, key[:2], value[:2]) == 0).all()


@pytest.mark.parametrize("keywords", [{}, dict(causal=True), dict(mask=torch.ones(1, 1).bool())])
def test_chunked_takes_memory_linear_in_the_length(keywords):
    def function(query, key, value):
        return chunked_attention(query, key, value, query_chunk=16, key_chunk=32, **keywords)

    with mock.patch("attnlib.multilevel.SCORES", 16 * 32):
        assert largest(function, 64) == 64 * 6  # no tile is larger than the output and its sum
        assert largest(function, 256) == 256 * 6


# Hierarchical.


def dense_hierarchical(query, key, value, chunk, causal):
    """One softmax over each query's own keys and the other chunks' means, spelled out."""
    n_q, n_k = query.shape[-2], key.shape[-2]
    chunks = range(0, n_k, chunk)
    rows = []
    for i in range(n_q):
        position = n_k - n_q + i
        own = position // chunk
        near = [j for j in range(n_k) if j // chunk == own and not (causal and j > position)]
        far = [slice(j, j + chunk) for c, j in enumerate(chunks)
               if (c < own if causal else c != own)]
        keys, values = (torch.cat([x[..., near, :], *(x[..., j, :].mean(-2, keepdim=True)
                                                      for j in far)], -2) for x in (key, value))
        counts = [1] * len(near) + [len(range(n_k)[j]) for j in far]
        rows.append(attention(query[..., i:i + 1, :], keys, values,
                              bias=torch.tensor(counts, dtype=query.dtype).log()[None]))
    lead = torch.broadcast_shapes(*(x.shape[:-2] for x in (query, key, value)))
    empty = query.new_zeros(*lead, 0, value.shape[-1])
    return torch.cat([empty, *rows], -2) + 0 * (query.sum() + key.sum() + value.sum())


@given(problem=triples(st.integers(0, 9)), chunk=st.integers(1, 11), causal=st.booleans())
def test_hierarchical_is_its_definition(problem, chunk, causal):
    arrays, atol = problem
    assert_same(lambda *x: hierarchical_attention(*x, chunk=chunk, causal=causal),
                lambda *x: dense_hierarchical(*x, chunk, causal), arrays, atol)


@pytest.mark.parametrize("chunk", [1, 20])
@pytest.mark.parametrize("causal", [False, True])
def test_chunks_of_one_and_one_chunk_are_attention(causal, chunk):
    arrays = self_attention_inputs(11)
    close(hierarchical_attention(*arrays, chunk=chunk, causal=causal),
          attention(*arrays, causal=causal))


@pytest.mark.parametrize("causal", [False, True])
def test_hierarchical_passes_gradcheck(causal):
    arrays = [normal(seed, n, 2).requires_grad_() for seed, n in enumerate((7, 5, 5))]
    assert gradcheck(lambda *x: hierarchical_attention(*x, chunk=2, causal=causal), arrays)


@pytest.mark.parametrize("chunk", [1, 3, 4, 20])
def test_hierarchical_does_not_leak_the_future(chunk):
    assert_causal(lambda *x: hierarchical_attention(*x, chunk=chunk, causal=True), 10,
                  lambda i, j: j <= i)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("n", [24, 22])
def test_where_chunks_are_constant_nothing_is_lost(causal, n):
    """A chunk counts as its keys do, a short last one too; far chunks are whole when causal."""
    key, value = (normal(seed, 2, 6, 3).repeat_interleave(4, dim=-2)[:, :n] for seed in range(2))
    query = normal(2, 2, n, 3)
    close(hierarchical_attention(query, key, value, chunk=4, causal=causal),
          attention(query, key, value, causal=causal))


def test_a_uniform_query_finds_the_mean_of_all():
    """Over 0 to 63 in chunks of 8: 31.5, wherever the query stands."""
    x = torch.arange(64.0, dtype=torch.float64)[:, None]
    close(hierarchical_attention(0 * x, x, x, chunk=8), torch.full_like(x, 31.5))


def test_hierarchical_without_causality_sees_everything():
    assert_causal(lambda *x: hierarchical_attention(*x, chunk=3), 7, lambda i, j: True)


@pytest.mark.parametrize("broken", [1, 2])
def test_a_nan_in_the_future_does_not_reach_hierarchical_attention(broken):
    arrays = self_attention_inputs(12)
    clean = hierarchical_attention(*arrays, chunk=4, causal=True)
    arrays[broken][:, 6] = NAN
    output = hierarchical_attention(*arrays, chunk=4, causal=True)
    close(output[:, :6], clean[:, :6])
    assert output[:, 6:].isnan().any(-1).all()


def test_hierarchical_takes_as_much_as_it_says():
    def function(query, key, value):
        return hierarchical_attention(query, key, value, chunk=32)

    assert largest(function, 1024) == 1024 * 32


# Selected.


def chosen_by_loops(query, key, chunk, top, window, causal):
    """Which keys each query sees, (..., n_q, n_k): its window, and the chunks that it chooses."""
    n_q, n_k = query.shape[-2], key.shape[-2]
    lead = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2])
    query, key = (x.expand(*lead, *x.shape[-2:]) for x in (query, key))
    seen = torch.zeros(*lead, n_q, n_k, dtype=torch.bool)
    for *where, i in np.ndindex(*lead, n_q):
        position = n_k - n_q + i
        near = [j for j in range(n_k) if (0 <= position - j if causal else True)
                and abs(position - j) < window]
        scores = {}
        for first in range(0, n_k, chunk):
            keys = range(first, min(first + chunk, n_k))
            own = first // chunk == position // chunk
            if own or set(keys) <= set(near) or causal and keys[0] > position:
                continue
            scores[first] = float(query[(*where, i)] @ key[(*where, slice(*(keys[0], keys[-1] + 1)))
                                                           ].mean(-2))
        best = sorted(scores, key=scores.get, reverse=True)[:top]
        far = [j for first in best for j in range(first, min(first + chunk, n_k))]
        seen[(*where, i, near)] = True
        seen[(*where, i, far)] = True
    return seen


@given(problem=triples(st.integers(0, 9)), chunk=st.integers(1, 4), top=st.integers(1, 3),
       window=st.integers(1, 5), causal=st.booleans(), block=st.integers(1, 4))
def test_selected_is_attention_over_what_the_loops_choose(problem, chunk, top, window, causal,
                                                          block):
    arrays, atol = problem
    if arrays[0].shape[-1] == 0:
        return  # all chunks score alike: whichever is chosen is right
    how = dict(chunk=chunk, top=top, window=window, causal=causal)
    mask = chosen_by_loops(*arrays[:2], chunk, top, window, causal)
    with mock.patch("attnlib.multilevel.BLOCK", block):
        assert_same(lambda *x: attnlib.selected_attention(*x, **how),
                    lambda *x: attention(*x, mask=mask), arrays, atol)


@given(seed=seeds, chunks=st.integers(1, 5), pairs=st.tuples(*3 * [st.integers(1, 6)]),
       block=st.integers(1, 4))
def test_those_who_choose_the_same_chunk_share_as_few_blocks_as_hold_them(seed, chunks, pairs,
                                                                          block):
    heads, n_q, choices = pairs
    chosen = torch.from_numpy(np.random.default_rng(seed).integers(0, chunks + 1, pairs))
    with mock.patch("attnlib.multilevel.BLOCK", block):
        slots, who, which = multilevel._grouped(chosen, chunks)
    assert which.shape == (heads, n_q * choices // block + chunks)
    for choice, slot, seats, rooms in zip(chosen.flatten(1), slots, who, which, strict=True):
        seats = [*seats.flatten().tolist(), None]
        for pair, place in enumerate(slot.tolist()):
            if choice[pair] == chunks:
                assert seats[place] is None
            else:
                assert seats[place] == pair // choices
                assert rooms[place // block] == choice[pair]
        placed = slot[choice < chunks]
        assert len({*placed.tolist()}) == len(placed) == len(seats) - 1 - seats.count(n_q)
        counts = torch.bincount(choice, minlength=chunks)[:chunks]
        assert len({*(placed // block).tolist()}) == -(-counts // block).sum()


@pytest.mark.parametrize("causal", [False, True])
def test_every_head_selects_for_itself(causal):
    arrays = [normal(seed, 2, 3, 20, 4) for seed in range(3)]
    how = dict(chunk=3, top=2, window=2, causal=causal)
    mask = chosen_by_loops(*arrays[:2], 3, 2, 2, causal)
    assert_same(lambda *x: attnlib.selected_attention(*x, **how),
                lambda *x: attention(*x, mask=mask), arrays)


def test_with_all_chunks_chosen_selected_is_attention():
    arrays = self_attention_inputs(50)
    close(attnlib.selected_attention(*arrays, chunk=4, top=99, window=4),
          attention(*arrays, causal=True))


@pytest.mark.parametrize("causal, loud, second, query", [
    (True, 4, 0, 7), (False, 4, 0, 7), (False, 6, 10, 4)])
def test_a_chunk_that_the_window_shows_whole_is_no_choice(causal, loud, second, query):
    """The loudest is in sight already; the choice goes to the next, earlier or later."""
    key = torch.zeros(12, 1)
    key[loud:loud + 2], key[second:second + 2] = 5, 3
    weights = attnlib.selected_attention(torch.ones(12, 1), key, torch.eye(12), chunk=2, top=1,
                                         window=5, causal=causal)[query]
    in_sight = range(query - 4, query + 1 if causal else query + 5)
    assert weights.nonzero().flatten().tolist() == sorted({*in_sight, second, second + 1}
                                                          & {*range(12)})


def test_selected_does_not_leak_the_future():
    """Not by the choice, either: a later key moves neither the output nor what is seen."""
    arrays = self_attention_inputs(40)
    before = attnlib.selected_attention(*arrays, chunk=4, top=2, window=3)
    for j in range(40):
        changed = [x.clone() for x in arrays]
        for x in changed[1:]:
            x[:, j] += 100
        after = attnlib.selected_attention(*changed, chunk=4, top=2, window=3)
        close(after[:, :j], before[:, :j])  # a row's last bit depends on its place in a block


def test_selected_passes_gradcheck():
    arrays = [normal(seed, n, 2).requires_grad_() for seed, n in enumerate((7, 9, 9))]
    assert gradcheck(lambda *x: attnlib.selected_attention(*x, chunk=2, top=1, window=2), arrays)


def test_selected_finds_what_a_mean_hides():
    """One loud key in a chunk far away, among keys that point elsewhere."""
    key, query = normal(0, 64, 16), normal(1, 64, 16)
    key[10] *= 4
    query[-1] = key[10]
    value = torch.eye(64, dtype=torch.float64)
    selected = attnlib.selected_attention(query, key, value, chunk=8, top=1, window=8)[-1]
    means = hierarchical_attention(query, key, value, chunk=8, causal=True)[-1]
    assert selected.argmax() == 10 and selected[10] > 0.9
    assert means[8:16].max() == means[8:16].min()  # which of the eight, it cannot tell


def test_selected_takes_memory_linear_in_the_length_apart_from_the_choice():
    def function(query, key, value):
        return attnlib.selected_attention(query, key, value, chunk=32, top=2, window=8)

    assert largest(function, 2048) <= 2.1 * largest(function, 1024) < 1024**2 / 4


# Ring.


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each of three processes returned, by case."""
    folder = tmp_path_factory.mktemp("ring")
    path = [str(Path(attnlib.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "3",
         "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1",
         ring_ranks.__file__, str(folder)],
        check=True, timeout=600, env={**os.environ, "PYTHONPATH": os.pathsep.join(path)})
    return [torch.load(folder / f"{rank}.pt") for rank in range(3)]


@pytest.fixture
def alone():
    """A group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1,
                            timeout=timedelta(seconds=10))  # a message nobody sends
    yield
    dist.destroy_process_group()


@pytest.fixture
def ring(alone, ranks):
    """What each of three processes returned, after the same work in this process alone.

    mutmut tries a mutant on those tests that call its function in their own process.
    """
    ring_ranks.on_this_rank(*joined("equal slices"))
    return ranks


def joined(name, ranks=(0, 1, 2)):
    """All slices of a case as one sequence: query, key, value, gradient."""
    return [torch.cat([slices[rank] for rank in ranks], -2) for slices in ring_ranks.inputs(name)]


def assert_attention_over_all(name, result):
    *arrays, grad_output = joined(name)
    half = arrays[0].dtype == torch.bfloat16
    expected = with_gradients(attention, [x.double() for x in arrays], grad_output.double())
    for actual, wanted in zip(result, expected):
        assert actual.dtype == arrays[0].dtype
        close(actual.double(), wanted, 3e-2 if half else 1e-12)


def test_ring_without_processes_says_what_is_missing(raises):
    with raises(ValueError, "ring_attention needs torch.distributed.init_process_group first; "
                            "torchrun starts the processes"):
        ring_attention(*self_attention_inputs(3))


@pytest.mark.parametrize("name", ring_ranks.CASES)
def test_a_ring_of_one_is_attention(alone, name):
    assert_attention_over_all(name, ring_ranks.on_this_rank(*joined(name)))


def test_a_ring_of_one_in_a_group_that_is_named(alone):
    arrays = self_attention_inputs(5)
    close(ring_attention(*arrays, group=dist.group.WORLD), attention(*arrays))


def test_a_ring_is_causal_or_is_not(alone, raises):
    with raises(TypeError, "causal must be True or False, got 'no'"):
        ring_attention(*self_attention_inputs(4), causal="no")


def test_autocast_does_not_round_a_ring(alone):
    arrays = [*self_attention_inputs(6, torch.float32), torch.ones(2, 6, 4)]
    expected = ring_ranks.on_this_rank(*arrays)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = ring_ranks.on_this_rank(*arrays)
    assert all(map(torch.equal, actual, expected))


def test_a_ring_takes_the_blocks_of_chunked_attention(alone):
    usual = inspect.signature(chunked_attention).parameters
    assert multilevel._visit(0, 1, False, None).keywords == dict(
        causal=False, sizes=(usual["query_chunk"].default, usual["key_chunk"].default))


def test_ring_differentiated_twice_raises(alone, raises):
    query, key, value = (x.requires_grad_() for x in self_attention_inputs(3))
    gradient, = torch.autograd.grad(ring_attention(query, key, value).sum(), query,
                                    create_graph=True)
    with raises(RuntimeError, TWICE):
        gradient.sum().backward()


@pytest.mark.parametrize("name", ring_ranks.CASES)
def test_ring_is_attention_over_all_slices(ring, name):
    assert_attention_over_all(
        name, [torch.cat(parts, -2) for parts in zip(*(rank[name] for rank in ring))])


def assert_causal_attention(name, results):
    """Results by rank, put back in order, are causal attention and its gradients."""
    *arrays, grad_output = ring_ranks.whole(name)
    places = attnlib.zigzag_positions(arrays[0].shape[-2], len(results)).flatten()
    expected = with_gradients(lambda *x: attention(*x, causal=True),
                              [x.double() for x in arrays], grad_output.double())
    half = arrays[0].dtype == torch.bfloat16
    for parts, wanted in zip(zip(*results), expected):
        actual = torch.empty_like(wanted)
        actual[..., places, :] = torch.cat(parts, -2).double()
        assert parts[0].dtype == arrays[0].dtype
        close(actual, wanted, 5e-2 if half else 1e-12)


@pytest.mark.parametrize("name", ring_ranks.CAUSAL)
def test_a_causal_ring_is_causal_attention(ring, name):
    ring_ranks.on_this_rank(*ring_ranks.dealt(name, 0, 1), causal=True)  # in this process, too
    assert_causal_attention(name, [rank[name] for rank in ring])


def test_a_causal_ring_of_some_of_the_processes(ring):
    assert_causal_attention("short pieces", [ring[rank]["causal pair"] for rank in ring_ranks.PAIR])


@pytest.mark.parametrize("name", ring_ranks.CAUSAL)
def test_a_causal_ring_of_one_is_causal_attention(alone, name):
    assert_causal_attention(name, [ring_ranks.on_this_rank(*ring_ranks.dealt(name, 0, 1),
                                                           causal=True)])


def test_a_causal_ring_needs_equal_slices(ring, alone, raises):
    said = ("a causal ring needs as many queries as keys, as many on every rank, and an even "
            "number of them, got (n_q, n_k) ")
    for rank in ring:
        assert rank["unequal"] == said + "(2, 2) on rank 0, (4, 4) on rank 1, (2, 2) on rank 2"
    with raises(ValueError, said + "(3, 3) on rank 0"):
        ring_attention(*self_attention_inputs(3), causal=True)
    with raises(ValueError, said + "(2, 4) on rank 0"):
        ring_attention(normal(0, 2, 3), normal(1, 4, 3), normal(2, 4, 3), causal=True)


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_zigzag_gives_every_rank_the_same_work_at_every_step(ranks):
    """Pairs of a query and a key that it sees: as many on each rank, whoever visits."""
    places = attnlib.zigzag_positions(4 * ranks, ranks)
    assert sorted(places.flatten()) == list(range(4 * ranks))
    for hops in range(ranks):
        work = [(places[rank][:, None] >= places[rank - hops]).sum() for rank in range(ranks)]
        assert len({*work}) == 1
        if ranks > 2 and hops:  # runs of neighbours: some ranks all, others none
            runs = np.arange(4 * ranks).reshape(ranks, 4)
            assert len({(runs[r][:, None] >= runs[r - hops]).sum() for r in range(ranks)}) == 2


def test_zigzag_deals_no_positions_if_there_are_none():
    assert attnlib.zigzag_positions(0, 2).shape == (2, 0)


def test_zigzag_needs_pieces_of_one_length(raises):
    with raises(TypeError, "n must be a whole number, got 8.0"):
        attnlib.zigzag_positions(8.0, 2)
    with raises(ValueError, "n must be a multiple of 2 * ranks, got n 10 and ranks 2"):
        attnlib.zigzag_positions(10, 2)
    with raises(ValueError, "ranks must be at least 1, got 0"):
        attnlib.zigzag_positions(10, 0)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_nan_in_a_ring_reaches_the_rows_that_see_it(alone, causal, broken):
    arrays = self_attention_inputs(6)
    arrays[broken][:, 4] = NAN
    actual = with_gradients(lambda *x: ring_attention(*x, causal=causal).nan_to_num(), arrays)
    expected = with_gradients(lambda *x: attention(*x, causal=causal).nan_to_num(), arrays)
    for a, b in zip(actual, expected):
        close(a, b)


def test_ring_in_a_group_of_some_ranks(ring):
    *arrays, grad_output = joined("unequal slices", ring_ranks.PAIR)
    for parts, wanted in zip(zip(*(ring[rank]["pair"] for rank in ring_ranks.PAIR)),
                             with_gradients(attention, arrays, grad_output)):
        close(torch.cat(parts, -2), wanted)


def test_slices_that_do_not_fit_are_refused_on_every_rank(ring):
    for rank in ring:
        assert rank["misfit"] == (
            "ring_attention needs the same leading axes, widths and dtype on every rank, got "
            "(leading axes, d_k, d_v, dtype) (torch.Size([5]), 3, 3, torch.float32) on rank 0, "
            "(torch.Size([5]), 4, 4, torch.float32) on rank 1, "
            "(torch.Size([5]), 3, 3, torch.float32) on rank 2")


# All of them.

LENGTHS = (0, 1, 2, 5, 7)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("n_q", LENGTHS)
def test_every_small_length_against_every_other(n_q, causal):
    for n_k in LENGTHS:
        arrays = normal(0, 2, n_q, 2), normal(1, 2, n_k, 2), normal(2, 2, n_k, 2)
        for size, block in itertools.product((1, 2, 3, 4, 8), (1, 2, 3)):
            with mock.patch.multiple("attnlib.multilevel", BLOCK=block, EDGE=block):
                close(local_attention(*arrays, window=size, causal=causal),
                      attention(*arrays, window=size, causal=causal))
            close(chunked_attention(*arrays, causal=causal, query_chunk=size, key_chunk=block),
                  attention(*arrays, causal=causal))
        for chunk in range(1, 6):
            close(hierarchical_attention(*arrays, chunk=chunk, causal=causal),
                  dense_hierarchical(*arrays, chunk, causal))

EVERY = {
    "local": (lambda *x, causal=False: local_attention(*x, window=3, causal=causal),
              lambda *x, causal=False: attention(*x, window=3, causal=causal)),
    "chunked": (chunked_attention, attention),
    "hierarchical": (lambda *x, causal=False: hierarchical_attention(*x, chunk=4, causal=causal),
                     lambda *x, causal=False: dense_hierarchical(*x, 4, causal)),
    "selected": (lambda *x, causal=False: attnlib.selected_attention(
                     *x, chunk=4, top=99, window=1, causal=causal),
                 lambda *x, causal=False: attention(*x, mask=own_chunk_apart(*x, causal))),
}


def own_chunk_apart(query, key, value, causal):
    """What is seen if all other chunks of 4 are chosen: them, and of one's own oneself."""
    position = np.arange(key.shape[-2] - query.shape[-2], key.shape[-2])[:, None]
    j = np.arange(key.shape[-2])
    earlier = j // 4 < position // 4
    return earlier | (j == position) | (False if causal else j // 4 > position // 4)


every = pytest.mark.parametrize("fast, dense", EVERY.values(), ids=EVERY)


@every
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype, atol", [
    (torch.float16, 1e-3), (torch.bfloat16, 1e-2), (torch.float32, 2e-6), (torch.float64, 1e-12),
])
def test_low_precision_is_close_to_float64_and_accumulates_in_float32(fast, dense, dtype, atol,
                                                                      causal):
    arrays = self_attention_inputs(200, dtype)
    output = fast(*arrays, causal=causal)
    assert output.dtype == dtype
    close(output.double(), dense(*(x.double() for x in arrays), causal=causal), atol)
    if dtype.itemsize == 2:
        assert torch.equal(output, fast(*(x.float() for x in arrays), causal=causal).to(dtype))


@every
def test_autocast_rounds_nothing(fast, dense):
    """Backward is called outside of it, as torch advises."""
    leaves = [x.requires_grad_() for x in self_attention_inputs(40, torch.float32)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = fast(*leaves)
    expected = fast(*leaves)
    assert torch.equal(output, expected)
    for actual, wanted in zip(torch.autograd.grad(output.sum(), leaves),
                              torch.autograd.grad(expected.sum(), leaves)):
        assert torch.equal(actual, wanted)


@every
def test_vmap_of_any_axes_is_a_loop_and_so_are_its_gradients(fast, dense):
    query, key, value = normal(0, 2, 9, 3, 4), normal(1, 3, 2, 9, 4), normal(2, 2, 9, 4)
    gradients = torch.func.grad(lambda *x: fast(*x, causal=True).square().sum(), (0, 1, 2))
    for function in (lambda *x: (fast(*x, causal=True),), gradients):
        mapped = torch.vmap(function, (2, 0, None))(query, key, value)
        looped = zip(*(function(query[:, :, i], key[i], value) for i in range(3)))
        for actual, expected in zip(mapped, looped, strict=True):
            close(actual, torch.stack(expected))


@pytest.mark.parametrize("name", ["local", "chunked"])
def test_autocast_does_not_round_what_pieces_do_backward(name):
    arrays, grad_output = self_attention_inputs(40, torch.float32), torch.ones(2, 40, 4)
    expected = with_gradients(EVERY[name][0], arrays, grad_output)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = with_gradients(EVERY[name][0], arrays, grad_output)
    assert all(map(torch.equal, actual, expected))


@every
def test_a_wide_default_dtype_widens_nothing(fast, dense):
    arrays = self_attention_inputs(40, torch.float32)
    arrays[2][0, 7] = NAN
    expected = fast(*arrays)
    torch.set_default_dtype(torch.float64)
    try:
        actual = fast(*arrays)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)


@every
def test_mixed_precision_gives_the_wider(fast, dense):
    query, key, value = self_attention_inputs(9)
    query, key = query.float(), key.half()
    close(fast(query, key, value), dense(query.double(), key.double(), value))
    assert fast(query.bfloat16(), key, value.half()).dtype == torch.float32


SEEING = {  # what a query of 12 may see of 12 keys, in each function
    "attention": (attention, np.tri(12, dtype=bool)),
    "chunked": (lambda *x, causal, mask: chunked_attention(
        *x, causal=causal, mask=mask, query_chunk=5, key_chunk=4), np.tri(12, dtype=bool)),
    "local": (lambda *x, causal, mask: local_attention(*x, causal=causal, window=3),
              attnlib.window_mask(12, window=3, causal=True)),
    "hierarchical": (lambda *x, causal, mask: hierarchical_attention(*x, causal=causal, chunk=4),
                     np.tri(12, dtype=bool)),
    "selected": (lambda *x, causal, mask: attnlib.selected_attention(*x, chunk=2, top=9, window=2),
                 np.tri(12, dtype=bool)),
}


@pytest.mark.parametrize("function, past", SEEING.values(), ids=SEEING)
@given(seed=seeds, share=st.floats(0, 1), bad=st.sampled_from([NAN, math.inf, -math.inf]),
       where=st.sets(st.sampled_from(["query", "key", "value"]), min_size=1))
def test_what_is_no_number_reaches_no_other_row_and_no_gradient_of_one(
        function, past, seed, share, bad, where):
    """Outputs, and gradients by everything, of the rows that do not see it."""
    rng = np.random.default_rng(seed)
    mask = rng.random((12, 12)) < share if function in (attention, SEEING["chunked"][0]) else None
    seen = past if mask is None else past & mask
    names = ("query", "key", "value")
    clean = dict(zip(names, self_attention_inputs(12)))
    spoilt = {name: x.clone() for name, x in clean.items()}
    place = int(rng.integers(12))
    for name in where:
        spoilt[name][:, place, rng.integers(4)] = bad
    met = np.zeros(12, dtype=bool)
    if where & {"key", "value"}:
        met |= seen[:, place]
    if "query" in where:
        met[place] |= seen[place].any()
    whole = torch.from_numpy(~met)

    def rows(*arrays):
        return function(*arrays, causal=True, mask=mask)[:, whole]

    if function is SEEING["hierarchical"][0]:
        met[place:] = True  # its means; which rows those are is tested by its definition
        whole = torch.from_numpy(~met)
    else:
        output = function(*spoilt.values(), causal=True, mask=mask)
        assert output[:, ~whole].isnan().all()
    actual = with_gradients(rows, spoilt.values())
    for a, b in zip(actual, with_gradients(rows, clean.values()), strict=True):
        close(a, b)


@every
@pytest.mark.parametrize("rounded", [False, True])
def test_a_row_of_large_numbers_is_one_of_numbers(fast, dense, rounded):
    """Their sum is no float32, but each of them is (and no bfloat16)."""
    x = torch.full((1, 1, 8), 3.4e38)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=rounded):
        close(fast(0 * x, 0 * x, x), x)
        close(fast(0 * x, x, 0 * x + 1), torch.ones(1, 1, 8))
        close(fast(x, 0 * x, 0 * x + 1), torch.ones(1, 1, 8))


@pytest.mark.parametrize("n_q, n_k, rows, together", [
    (5, 10, 20, [2, 2, 1]), (10, 5, 20, [2, 2, 1]), (10, 10, 9, [1] * 5), (0, 0, 3, [3, 2])])
def test_as_many_heads_at_once_as_have_a_number_of_rows(n_q, n_k, rows, together):
    with mock.patch("attnlib.multilevel.ROWS", rows):
        assert [len(q) for (q,), (k,), _ in multilevel._heads(
            [torch.zeros(5, n_q, 2)], [torch.zeros(5, n_k, 2)], None)] == together


def test_a_mask_that_all_heads_share_is_not_copied_for_each():
    arrays = [normal(seed, 2, 3, 256, 4) for seed in range(3)]
    mask = torch.ones(2, 1, 256, 256, dtype=torch.bool).tril()
    with Watch() as watch:
        chunked_attention(*arrays, mask=mask, query_chunk=64, key_chunk=64)
    assert watch.largest == mask.numel()


@every
def test_a_broken_query_that_sees_nothing_gets_0(fast, dense):
    query, key, value = normal(0, 2, 9, 4), normal(1, 2, 5, 4), normal(2, 2, 5, 4)
    query[:, :4] = NAN
    output = fast(query, key, value, causal=True)
    assert (output[:, :4] == 0).all() and output[:, 4:].isfinite().all()


def test_a_seen_score_may_be_minus_infinity():
    """Where a limit tells what is seen: it counts for nothing, as without one."""
    query, value = torch.full((3, 1), 1e30), normal(0, 3, 2).float()
    key = torch.tensor([[-1e30], [1e-30], [2e-30]])
    for function in (chunked_attention, lambda *x, **how: local_attention(*x, window=3, **how)):
        close(function(query, key, value, causal=True), attention(query, key, value, causal=True),
              1e-6)


@pytest.mark.parametrize("rows", [1, 5, 11])
def test_a_sequence_may_be_longer_than_what_is_made_ready_at_once(rows):
    with mock.patch("attnlib.multilevel.ROWS", rows):
        for function in (chunked_attention, lambda *x: local_attention(*x, window=9)):
            assert_same(function, attention, [normal(seed, 3, 5, 2) for seed in range(3)])


@every
def test_an_empty_row_is_zero_and_has_finite_gradients(fast, dense):
    arrays = normal(0, 2, 9, 4), normal(1, 2, 5, 4), normal(2, 2, 5, 4)
    output, *grads = with_gradients(lambda *x: fast(*x, causal=True), arrays)
    assert (output[:, :4] == 0).all() and (output[:, 4:] != 0).all()
    assert all(grad.isfinite().all() for grad in grads)
    assert (grads[0][:, :4] == 0).all()


@every
@pytest.mark.parametrize("wrong, error, message", [
    (lambda x: (x.numpy(),) * 3, TypeError,
     "query, key and value must be torch tensors, got numpy.ndarray"),
    (lambda x: (x, x, x.numpy()), TypeError,
     "all arrays must be of one kind, got query torch.Tensor, key torch.Tensor, "
     "value numpy.ndarray"),
    (lambda x: (x, x[:, :2], x), ValueError,
     "attention needs query (..., n_q, d_k), key (..., n_k, d_k), value (..., n_k, d_v), "
     "got query (5, 4), key (5, 2), value (5, 4)"),
    (lambda x: (x, x[:3], x), ValueError,
     "attention needs query (..., n_q, d_k), key (..., n_k, d_k), value (..., n_k, d_v), "
     "got query (5, 4), key (3, 4), value (5, 4)"),
    (lambda x: (x.long(), x, x), TypeError, "query must be real floating, got torch.int64"),
])
def test_wrong_inputs_are_named(fast, dense, wrong, error, message, raises):
    with raises(error, message):
        fast(*wrong(normal(0, 5, 4)))


@pytest.mark.parametrize("function, name, others", [
    (local_attention, "window", {}), (hierarchical_attention, "chunk", {}),
    (chunked_attention, "query_chunk", {}), (chunked_attention, "key_chunk", {}),
    *((attnlib.selected_attention, name, {x: 1 for x in ("chunk", "top", "window") if x != name})
      for name in ("chunk", "top", "window")),
])
def test_sizes_are_whole_numbers_of_at_least_one(function, name, others, raises):
    x = normal(0, 0, 4)
    with raises(ValueError, f"{name} must be at least 1, got 0"):
        function(x, x, x, **others, **{name: 0})
    with raises(TypeError, f"{name} must be a whole number, got 2.0"):
        function(x, x, x, **others, **{name: 2.0})
    with raises(TypeError, "causal must be True or False, got 'no'"):
        function(x, x, x, causal="no", **others, **{name: 1})
    assert function(x, x, x, **others, **{name: 1}).shape == (0, 4)


@pytest.mark.parametrize("mask, error, message", [
    (torch.ones(5, 6), TypeError, "mask must be boolean (True = may attend), got torch.float32; "
     "what is added to the scores is a bias"),
    (np.ones((4, 1), bool), ValueError,
     "mask must broadcast to (..., n_q, n_k) = (2, 5, 6), got mask (4, 1)"),
    ([True], TypeError, "mask must be an array, got list"),
])
def test_wrong_masks_are_named(mask, error, message, raises):
    with raises(error, message):
        chunked_attention(normal(0, 5, 4), normal(1, 2, 6, 4), normal(2, 6, 4), mask=mask)
