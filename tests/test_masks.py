"""Masks against loops over positions."""

from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import may_attend

from attnlib import causal_mask, padding_mask, window_mask
from attnlib.masks import compiling, steps_back, visible, whole_number

lengths = st.integers(0, 7)


def by_loops(n_q, n_k, causal, window):
    return np.array([may_attend(i, j, n_q, n_k, causal, window)
                     for i in range(n_q) for j in range(n_k)], dtype=bool).reshape(n_q, n_k)


@given(n_q=lengths, n_k=lengths, window=st.integers(1, 9), causal=st.booleans())
def test_masks_equal_loops(n_q, n_k, window, causal):
    same(causal_mask(n_q, n_k), by_loops(n_q, n_k, True, None))
    same(window_mask(n_q, n_k, window=window, causal=causal), by_loops(n_q, n_k, causal, window))
    same(window_mask(n_q, n_k, window=window), by_loops(n_q, n_k, False, window))


@given(n=lengths, window=st.integers(1, 9))
def test_one_length_means_as_many_keys(n, window):
    same(causal_mask(n), np.tril(np.ones((n, n), dtype=bool)))
    same(causal_mask(n), causal_mask(n, n))
    same(window_mask(n, window=window), window_mask(n, n, window=window))
    same(window_mask(n, window=window, causal=True),
         window_mask(n, n, window=window, causal=True))


def same(actual, expected):
    assert isinstance(actual, np.ndarray) and actual.dtype == bool
    np.testing.assert_array_equal(actual, expected, strict=True)


@given(n_q=lengths, n_k=lengths, window=st.integers(1, 9))
def test_a_window_is_a_band(n_q, n_k, window):
    """numpy's triangles count diagonals from the top left, ours from the bottom right."""
    ones, last = np.ones((n_q, n_k), dtype=bool), n_k - n_q
    same(window_mask(n_q, n_k, window=window),
         np.tril(ones, last + window - 1) & np.triu(ones, last - window + 1))
    same(window_mask(n_q, n_k, window=window, causal=True),
         np.tril(ones, last) & np.triu(ones, last - window + 1))


@given(n=st.integers(1, 9), window=st.integers(1, 12))
def test_a_causal_window_of_w_sees_w_keys(n, window):
    seen = window_mask(n, window=window, causal=True).sum(-1)
    assert seen.tolist() == [min(window, i + 1) for i in range(n)]


@given(cached=lengths, new=lengths, window=st.none() | st.integers(1, 9))
def test_new_queries_after_a_cache_see_what_they_would_have_seen(cached, new, window):
    whole = cached + new
    mask = causal_mask if window is None else (
        lambda *n: window_mask(*n, window=window, causal=True))
    same(mask(new, whole), mask(whole)[cached:])


@given(n=lengths, data=st.data(),
       shape=st.sampled_from([(), (1,), (3,), (2, 3), (0,), (2, 0)]))
def test_padding_equals_loops(n, data, shape):
    count = int(np.prod(shape, dtype=int))
    given_lengths = np.array(data.draw(st.lists(st.integers(0, n), min_size=count,
                                                max_size=count)), dtype=int).reshape(shape)
    mask = padding_mask(given_lengths, n)
    assert mask.shape == (*shape, 1, n)
    expected = np.zeros((*shape, 1, n), dtype=bool)
    for where in np.ndindex(shape):
        for j in range(n):
            expected[(*where, 0, j)] = j < given_lengths[where]
    same(mask, expected)


@pytest.mark.parametrize("given_lengths", [
    [2, 0], (2, 0), np.array([2, 0], dtype=np.uint8), torch.tensor([2, 0])])
def test_padding_takes_lists_arrays_and_tensors(given_lengths):
    same(padding_mask(given_lengths, 2), np.array([[[True, True]], [[False, False]]]))


def test_padding_of_one_sequence():
    same(padding_mask(1, 2), np.array([[True, False]]))


@given(n_q=lengths, n_k=lengths)
def test_steps_back_count_from_the_last_query_at_the_last_key(n_q, n_k):
    back = steps_back(n_q, n_k)
    assert back.shape == (n_q, n_k)
    for i in range(n_q):
        for j in range(n_k):
            assert back[i, j] == (i - (n_q - 1)) - (j - (n_k - 1))


def test_nothing_hidden_is_no_mask():
    assert visible(2, 3) is None


@pytest.mark.parametrize("keywords", [{"causal": True}, {"window": 2},
                                      {"causal": True, "window": 2}])
def test_masks_are_built_where_they_are_asked_for(keywords):
    mask = visible(2, 3, xp=torch, device=torch.device("meta"), **keywords)
    assert mask.device.type == "meta" and mask.shape == (2, 3)
    same(visible(2, 3, xp=torch, **keywords).numpy(), visible(2, 3, **keywords))


@pytest.mark.parametrize("run, error, message", [
    (lambda: causal_mask(-1), ValueError, "n_q must be at least 0, got -1"),
    (lambda: causal_mask(2, -1), ValueError, "n_k must be at least 0, got -1"),
    (lambda: causal_mask(2.0), TypeError, "n_q must be a whole number, got 2.0"),
    (lambda: causal_mask(2, "3"), TypeError, "n_k must be a whole number, got '3'"),
    (lambda: causal_mask(True), TypeError, "n_q must be a whole number, got True"),
    (lambda: causal_mask(np.bool_(True)), TypeError,
     "n_q must be a whole number, got np.True_"),
    (lambda: window_mask(2, window=0), ValueError, "window must be at least 1, got 0"),
    (lambda: window_mask(2, window=None), TypeError, "window must be a whole number, got None"),
    (lambda: window_mask(-2, window=1), ValueError, "n_q must be at least 0, got -2"),
    (lambda: visible(2, 2, window=-3), ValueError, "window must be at least 1, got -3"),
    (lambda: padding_mask([1.0], 2), TypeError, "lengths must be whole numbers, got float64"),
    (lambda: padding_mask([True], 2), TypeError, "lengths must be whole numbers, got bool"),
    (lambda: padding_mask([1, 3], 2), ValueError,
     "lengths must be between 0 and n = 2, got lengths [1, 3]"),
    (lambda: padding_mask([-1, 2], 2), ValueError,
     "lengths must be between 0 and n = 2, got lengths [-1, 2]"),
    (lambda: padding_mask([[1], [1, 2]], 2), ValueError,
     "lengths must be numbers of one shape, got lengths [[1], [1, 2]]"),
    (lambda: padding_mask([1], -1), ValueError, "n must be at least 0, got -1"),
    (lambda: padding_mask([1], 1.5), TypeError, "n must be a whole number, got 1.5"),
])
def test_bad_input_is_named(raises, run, error, message):
    with raises(error, message):
        run()


def test_a_whole_number_may_be_the_least():
    assert whole_number("n", 3, 3) is None
    assert whole_number("n", np.int64(4), 3) is None


@pytest.mark.parametrize("traces", [True, False])
def test_whether_there_are_values_is_what_torch_says(traces):
    with mock.patch("torch.compiler.is_compiling", return_value=traces):
        assert compiling() is traces
