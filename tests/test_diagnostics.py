"""Diagnostics against loops, against torch, and on weights whose answer is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import may_attend
from torch.autograd import gradcheck

from attnlib import (
    attention,
    attention_weights,
    causal_mask,
    effective_keys,
    entropy,
    head_similarity,
    mean_distance,
    rank_one_residual,
    reachable,
    receptive_field,
    rollout,
    top_mass,
    window_mask,
)

seeds = st.integers(0, 2**32 - 1)
lengths = st.integers(0, 5)
leadings = st.sampled_from([(), (2,), (3, 2), (0,)])


def close(actual, expected, atol=1e-12):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def weights_of(seed, *shape):
    """Rows that sum to one, some of them empty, some entries 0."""
    rng = np.random.default_rng(seed)
    scores = 3 * rng.standard_normal(shape)
    scores[rng.random(shape) < 0.3] = -np.inf
    return torch.softmax(torch.from_numpy(scores), -1).nan_to_num(0).numpy()


def by_rows(weights, function):
    return np.array([function(row) for row in weights.reshape(-1, weights.shape[-1])]
                    if weights.size else np.zeros(weights.shape[:-1])).reshape(weights.shape[:-1])


@given(seed=seeds, leading=leadings, n_q=lengths, n_k=lengths, k=st.integers(1, 7))
def test_rows_equal_loops(kind, seed, leading, n_q, n_k, k):
    weights = weights_of(seed, *leading, n_q, n_k)
    made = kind.array(weights)

    def row_entropy(row):
        return -math.fsum(w * math.log(w) for w in row if w > 0)

    close(kind.read(entropy(made)), by_rows(weights, row_entropy))
    close(kind.read(effective_keys(made)),
          by_rows(weights, lambda row: math.exp(row_entropy(row)) if row.any() else 0))
    close(kind.read(top_mass(made, k)),
          by_rows(weights, lambda row: sum(sorted(row, reverse=True)[:k])))
    distances = np.zeros((*leading, n_q))
    for *where, i, j in np.ndindex(weights.shape):
        distances[(*where, i)] += weights[(*where, i, j)] * abs(i + n_k - n_q - j)
    close(kind.read(mean_distance(made)), distances)


@given(n=st.integers(1, 9))
def test_even_and_single_weights(kind, n):
    even, single = kind.array(np.full((1, n), 1 / n)), kind.array(np.eye(n))
    close(kind.read(entropy(even)), math.log(n))
    close(kind.read(entropy(single)), 0)
    close(kind.read(effective_keys(even)), n)
    close(kind.read(effective_keys(single)), 1)
    close(kind.read(top_mass(single, 1)), 1)
    close(kind.read(mean_distance(single)), 0)


@given(seed=seeds, leading=leadings, heads=st.integers(0, 4), n_q=lengths, n_k=lengths)
def test_similarity_equals_loops(kind, seed, leading, heads, n_q, n_k):
    weights = weights_of(seed, *leading, heads, n_q, n_k)
    similarity = kind.read(head_similarity(kind.array(weights)))
    assert similarity.shape == (*leading, heads, heads)
    for *where, a, b in np.ndindex(similarity.shape):
        one, other = weights[(*where, a)], weights[(*where, b)]
        rows = max(one.any(-1).sum(), other.any(-1).sum())
        shared = (one + other - np.abs(one - other)).sum() / 2
        close(similarity[(*where, a, b)], shared / rows if rows else 0)


def test_similarity_of_the_same_and_of_strangers(kind):
    same = np.array([[1.0, 0.0], [0.0, 1.0]])
    close(kind.read(head_similarity(kind.array(np.stack([same, same, same[::-1]])))),
          [[1, 1, 0], [1, 1, 0], [0, 0, 1]])


@given(seed=seeds, leading=leadings, layers=st.integers(1, 4), heads=st.integers(1, 3), n=lengths)
def test_rollout_equals_loops(kind, seed, leading, layers, heads, n):
    weights = [weights_of(seed + layer, *leading, heads, n, n) for layer in range(layers)]
    rolled = kind.read(rollout([kind.array(layer) for layer in weights]))
    assert rolled.shape == (*leading, n, n)
    for where in np.ndindex(leading):
        expected = np.eye(n)
        for layer in weights:
            step = 0.5 * sum(layer[where]) / heads + 0.5 * np.eye(n)
            expected = (step / step.sum(-1, keepdims=True)) @ expected
        close(rolled[where], expected)
    close(rolled.sum(-1), 1)


def test_rollout_multiplies_later_layers_from_the_left(kind):
    """Layer 1 copies position 0 to 1, layer 2 copies 1 to 2: half a half arrives."""
    first, second = np.eye(3), np.eye(3)
    first[1], second[2] = [1, 0, 0], [0, 1, 0]
    rolled = kind.read(rollout([kind.array(first[None]), kind.array(second[None])]))
    close(rolled[2], [0.25, 0.25, 0.5])


@given(n=st.integers(1, 7), window=st.integers(1, 4), causal=st.booleans(),
       layers=st.integers(1, 4))
def test_windows_reach_further_with_each_layer(kind, n, window, causal, layers):
    mask = kind.array(window_mask(n, window=window, causal=causal))
    reached = kind.read(reachable([mask] * layers))
    further = layers * (window - 1) + 1
    assert reached.dtype == bool
    assert reached.tolist() == [[may_attend(i, j, n, n, causal, further) for j in range(n)]
                                for i in range(n)]


def test_what_is_reachable_goes_through_the_layers_in_order(kind):
    first, second = np.zeros((3, 3), dtype=bool), np.zeros((3, 3), dtype=bool)
    first[1, 0], second[2, 1] = True, True
    assert kind.read(reachable([kind.array(first), kind.array(second)]))[2, 0]
    assert not kind.read(reachable([kind.array(second), kind.array(first)]))[2, 0]


@given(seed=seeds, n=st.integers(1, 6), window=st.integers(1, 3), layers=st.integers(1, 3))
def test_gradient_and_graph_agree(seed, n, window, layers):
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal((n, 3)))

    def network(x):
        for _ in range(layers):
            x = x + attention(x, x, x, causal=True, window=window)
        return x

    graph = reachable([torch.from_numpy(window_mask(n, window=window, causal=True))] * layers)
    assert torch.equal(receptive_field(network, x) > 0, graph)


def test_receptive_field_is_the_norm_of_the_jacobian():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 2)))
    across = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, -3.0]], dtype=torch.float64)
    widths = torch.tensor([[3.0, 0.0, 4.0], [0.0, 12.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(receptive_field(lambda x: across @ x @ widths, x),
                               13 * across.abs())


def test_receptive_field_leaves_no_trace():
    x = torch.ones(2, 2, requires_grad=True)
    field = receptive_field(lambda x: x.cumsum(0), x)
    assert not field.requires_grad and x.grad is None


@given(seed=seeds, leading=leadings, n=lengths, d=st.integers(0, 4))
def test_residual_equals_the_best_single_row(kind, seed, leading, n, d):
    x = np.random.default_rng(seed).standard_normal((*leading, n, d))
    residual = kind.read(rank_one_residual(kind.array(x)))
    assert residual.shape == leading
    for where in np.ndindex(leading):
        if n and d:
            rows = np.linalg.lstsq(np.ones((n, 1)), x[where], rcond=None)[0]
            close(residual[where],
                  np.linalg.norm(x[where] - rows) / np.linalg.norm(x[where]), 1e-10)
        else:
            assert residual[where] == 0


def test_residual_of_known_matrices(kind):
    close(kind.read(rank_one_residual(kind.array(np.zeros((2, 3))))), 0)
    close(kind.read(rank_one_residual(kind.array(np.full((2, 3), -7.0)))), 0)
    close(kind.read(rank_one_residual(kind.array(np.array([[1.0], [-1.0]])))), 1)
    close(kind.read(rank_one_residual(kind.array(np.array([[3.0, 4.0], [0.0, 0.0]])))), 0.5**0.5)


@pytest.mark.parametrize("function", [
    entropy, effective_keys, lambda w: top_mass(w, 2), mean_distance,
    lambda w: rollout([w[None]]), lambda w: head_similarity(w[None]), rank_one_residual])
def test_half_precision_is_widened(kind_and_dtype, function):
    kind, dtype = kind_and_dtype
    weights = np.asarray(attention_weights(*[np.random.default_rng(0).standard_normal((4, 3))] * 2))
    made = kind.cast(kind.array(weights), dtype)
    result = function(made)
    assert str(result.dtype).endswith("float64" if dtype == "float64" else "float32")
    close(kind.read(result), function(np.asarray(kind.read(made), dtype="float64")),
          1e-15 if dtype == "float64" else 1e-6)


@pytest.mark.parametrize("function, shape", [
    (entropy, (2, 3, 3)), (effective_keys, (2, 3, 3)), (lambda w: top_mass(w, 2), (2, 3, 3)),
    (mean_distance, (2, 3, 3)), (head_similarity, (2, 3, 3)),
    (lambda w: rollout([w, w]), (2, 3, 3)), (rank_one_residual, (2, 3, 3)),
])
def test_gradients_are_the_derivatives(function, shape):
    weights = torch.from_numpy(np.random.default_rng(0).random(shape)).softmax(-1)
    assert gradcheck(function, weights.requires_grad_())


@pytest.mark.parametrize("function", [entropy, effective_keys, mean_distance])
def test_gradients_of_empty_rows_and_of_weights_of_zero_are_finite(function):
    weights = torch.tensor([[1.0, 0.0], [0.0, 0.0]], requires_grad=True)
    function(weights).sum().backward()
    assert torch.isfinite(weights.grad).all()


def test_positions_and_identities_are_built_on_the_weights_device():
    weights = torch.full((1, 2, 2), 0.5)
    expected = mean_distance(weights), rollout([weights]), reachable([weights > 0])
    with torch.device("meta"):
        actual = mean_distance(weights), rollout([weights]), reachable([weights > 0])
    assert all(map(torch.equal, actual, expected))


def test_a_stack_of_layers_is_as_good_as_a_list(kind):
    stack = kind.array(np.stack([weights_of(layer, 2, 3, 3) for layer in range(2)]))
    np.testing.assert_array_equal(kind.read(rollout(stack)), kind.read(rollout(list(stack))))


W = np.full((2, 2, 2), 0.5)
M = np.ones((2, 2), dtype=bool)


@pytest.mark.parametrize("run, error, message", [
    (lambda: entropy([0.5]), TypeError, "weights must be an array (numpy or torch), got list"),
    (lambda: entropy(np.ones((2, 2), dtype=int)), TypeError,
     "weights must be real floating, got int64"),
    (lambda: entropy(np.ones(2)), ValueError,
     "weights must be (..., n_q, n_k), got weights (2,)"),
    (lambda: effective_keys(np.ones(2)), ValueError,
     "weights must be (..., n_q, n_k), got weights (2,)"),
    (lambda: mean_distance(np.ones(2)), ValueError,
     "weights must be (..., n_q, n_k), got weights (2,)"),
    (lambda: top_mass(W, 0), ValueError, "k must be at least 1, got 0"),
    (lambda: top_mass(W, 1.0), TypeError, "k must be a whole number, got 1.0"),
    (lambda: head_similarity(W[0]), ValueError,
     "weights must be (..., heads, n_q, n_k), got weights (2, 2)"),
    (lambda: rollout([]), ValueError,
     "list_of_weights must hold one array (..., heads, n, n) per layer, got none"),
    (lambda: rollout([W, W[0]]), ValueError,
     "list_of_weights must be of one shape (..., heads, n, n), "
     "got list_of_weights[0] (2, 2, 2), list_of_weights[1] (2, 2)"),
    (lambda: rollout([W[0]]), ValueError,
     "list_of_weights must be of one shape (..., heads, n, n), got list_of_weights[0] (2, 2)"),
    (lambda: rollout([W[:, :1]]), ValueError,
     "list_of_weights must be of one shape (..., heads, n, n), got list_of_weights[0] (2, 1, 2)"),
    (lambda: rollout([W > 0]), TypeError, "list_of_weights[0] must be real floating, got bool"),
    (lambda: reachable([]), ValueError,
     "masks must hold one array (..., n, n) per layer, got none"),
    (lambda: reachable([M, W[0]]), TypeError,
     "masks[1] must be boolean (True = may attend), got float64"),
    (lambda: reachable([M, M[:, :1]]), ValueError,
     "masks must be of one shape (..., n, n), got masks[0] (2, 2), masks[1] (2, 1)"),
    (lambda: reachable([causal_mask(2, 3)]), ValueError,
     "masks must be of one shape (..., n, n), got masks[0] (2, 3)"),
    (lambda: receptive_field(lambda x: x, np.ones((2, 2))), TypeError,
     "x must be a torch tensor, got ndarray"),
    (lambda: receptive_field(lambda x: x, torch.ones(2)), ValueError,
     "receptive_field needs x (n_in, d_in) and function(x) (n_out, d_out), "
     "got x (2,) and function(x) (2,)"),
    (lambda: receptive_field(lambda x: x.sum(0), torch.ones(2, 3)), ValueError,
     "receptive_field needs x (n_in, d_in) and function(x) (n_out, d_out), "
     "got x (2, 3) and function(x) (3,)"),
    (lambda: rollout(None), TypeError,
     "list_of_weights must be a list of arrays (..., heads, n, n), one per layer, got None"),
    (lambda: reachable(3), TypeError,
     "masks must be a list of arrays (..., n, n), one per layer, got 3"),
    (lambda: rank_one_residual(np.ones(3)), ValueError, "x must be (..., n, d), got x (3,)"),
])
def test_bad_input_is_named(raises, run, error, message):
    with raises(error, message):
        run()
