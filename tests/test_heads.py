"""Heads against loops, and grouped attention against repeated heads."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import laid_out
from torch.autograd import gradcheck

from attnlib import attention, merge_heads, repeat_heads, split_heads

leadings = st.sampled_from([(), (2,), (3, 2), (0,)])
counts = st.integers(1, 4)
lengths = st.integers(0, 4)


@given(leading=leadings, n=lengths, heads=counts, width=st.integers(0, 3), data=st.data())
def test_splitting_equals_loops_and_merging_undoes_it(kind, leading, n, heads, width, data):
    x = np.arange(np.prod((*leading, n, heads * width), dtype=int), dtype=float)
    x = x.reshape(*leading, n, heads * width)
    split = kind.read(split_heads(kind.array(laid_out(data.draw, x)), heads))
    assert split.shape == (*leading, heads, n, width)
    for *where, h, i, c in np.ndindex(split.shape):
        assert split[(*where, h, i, c)] == x[(*where, i, h * width + c)]
    merged = kind.read(merge_heads(kind.array(laid_out(data.draw, split))))
    np.testing.assert_array_equal(merged, x, strict=True)


@given(leading=leadings, kv_heads=counts, times=counts, n=lengths)
def test_repeated_heads_stand_next_to_each_other(kind, leading, kv_heads, times, n):
    shape = (*leading, kv_heads, n, 2)
    x = np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape)
    repeated = kind.read(repeat_heads(kind.array(x), times))
    assert repeated.shape == (*leading, kv_heads * times, n, 2)
    for h in range(kv_heads * times):
        np.testing.assert_array_equal(repeated[..., h, :, :], x[..., h // times, :, :])


def test_grouped_heads_are_repeated_heads():
    """As torch groups them."""
    rng = np.random.default_rng(0)
    query, key, value = (torch.from_numpy(rng.standard_normal((2, heads, 5, 4)))
                         for heads in (6, 2, 2))
    grouped = torch.nn.functional.scaled_dot_product_attention(query, key, value, enable_gqa=True)
    torch.testing.assert_close(attention(query, repeat_heads(key, 3), repeat_heads(value, 3)),
                               grouped)


@pytest.mark.parametrize("dtype", ["bool", "int64", "float16", "complex128"])
def test_any_dtype_is_moved_as_it_is(kind, dtype):
    x = kind.cast(kind.array(np.arange(8).reshape(2, 4) % 2), dtype)
    split = split_heads(x, 2)
    for result in (split, merge_heads(split), repeat_heads(split, 2)):
        assert result.dtype == x.dtype


def test_inputs_stay_as_they_are(kind):
    x = kind.array(np.arange(24.0).reshape(2, 3, 4))
    before = kind.read(x).copy()
    split_heads(x, 2)
    merge_heads(x)
    repeat_heads(x, 2)
    np.testing.assert_array_equal(kind.read(x), before)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("function", [lambda x: split_heads(x, 2), merge_heads,
                                      lambda x: repeat_heads(x, 3)])
def test_vmap_follows(function, gradients):
    x = torch.arange(120.0).reshape(5, 2, 3, 4)
    with torch.set_grad_enabled(gradients):
        torch.testing.assert_close(torch.vmap(function)(x), function(x))


@pytest.mark.parametrize("function", [lambda x: split_heads(x, 2), merge_heads,
                                      lambda x: repeat_heads(x, 3)])
def test_gradients_are_the_derivatives(function):
    assert gradcheck(function, torch.ones(2, 3, 4, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize("run, error, message", [
    (lambda: split_heads(np.ones((2, 3, 8)), 3), ValueError,
     "heads must divide the width d of x, got heads 3 and x (2, 3, 8)"),
    (lambda: split_heads(np.ones((3, 8)), 0), ValueError, "heads must be at least 1, got 0"),
    (lambda: split_heads(np.ones((3, 8)), 2.0), TypeError,
     "heads must be a whole number, got 2.0"),
    (lambda: split_heads(np.ones(8), 2), ValueError, "x must be (..., n, d), got x (8,)"),
    (lambda: split_heads([[1.0]], 1), TypeError,
     "x must be an array (numpy or torch), got list"),
    (lambda: merge_heads(np.ones((3, 8))), ValueError,
     "x must be (..., heads, n, d), got x (3, 8)"),
    (lambda: merge_heads(None), TypeError,
     "x must be an array (numpy or torch), got NoneType"),
    (lambda: repeat_heads(np.ones((3, 8)), 2), ValueError,
     "x must be (..., kv_heads, n, d), got x (3, 8)"),
    (lambda: repeat_heads(np.ones((2, 3, 8)), 0), ValueError, "times must be at least 1, got 0"),
    (lambda: repeat_heads(np.ones((2, 3, 8)), 1.5), TypeError,
     "times must be a whole number, got 1.5"),
    (lambda: repeat_heads(7, 1), TypeError, "x must be an array (numpy or torch), got int"),
])
def test_bad_input_is_named(raises, run, error, message):
    with raises(error, message):
        run()
