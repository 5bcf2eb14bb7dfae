"""The traps that others fell into: each one a test for us."""

import math
import warnings

import numpy as np
import pytest
import torch

from attnlib import (
    attention,
    attention_scores,
    attention_weights,
    causal_mask,
    hierarchical_attention,
    merge_partials,
    padding_mask,
    partial_attention,
    repeat_heads,
    rotate,
    selected_attention,
    softmax,
    window_mask,
)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def test_a_value_longer_than_the_keys_is_refused(kind):
    """A fused kernel took the number of keys from the values and read past the keys."""
    query, key, value = (kind.array(normal(n, n, 4)) for n in (8, 16, 20))
    with pytest.raises(ValueError, match=r"key \(16, 4\), value \(20, 4\)"):
        attention(query, key, value)


def test_a_mask_and_causal_combine(kind):
    """Silently combined on one path of a library and refused on another."""
    x = kind.array(normal(0, 4, 3))
    mask = np.array([True, False, True, True])
    both = kind.read(attention_weights(x, x, mask=kind.array(mask), causal=True))
    assert ((both > 0) == (causal_mask(4) & mask)).all()


def test_true_means_may_attend(kind):
    """In one API True drops, in the next it keeps."""
    x = kind.array(normal(0, 2, 3))
    mask = kind.array(np.array([[True, False], [False, True]]))
    np.testing.assert_array_equal(kind.read(attention_weights(x, x, mask=mask)), np.eye(2))


def test_an_empty_row_is_zero(kind):
    """Elsewhere NaN, or 0 by a flag, or the mean of the values, or the mean of the padding."""
    x = kind.array(normal(0, 3, 2))
    mask = kind.array(padding_mask(0, 3))
    assert (kind.read(attention(x, x, x, mask=mask)) == 0).all()
    assert (kind.read(attention_weights(x, x, mask=mask)) == 0).all()


@pytest.mark.parametrize("score", [7e6, 1e30, -1e30])
def test_no_score_is_large_enough_to_reach_the_future(kind, score):
    """Adding -1e6 or -1e9 leaks once scores are as large."""
    query = kind.array(np.array([[1.0], [1.0]]))
    key = kind.array(np.array([[0.0], [score]]))
    weights = kind.read(attention_weights(query, key, causal=True, scale=1))
    assert weights[0].tolist() == [1.0, 0.0]


def test_masks_fit_into_half_precision(kind):
    """-1e9 does not."""
    x = kind.cast(kind.array(normal(0, 3, 2)), "float16")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weights = kind.read(attention_weights(x, x, causal=True))
    assert (weights[~causal_mask(3)] == 0).all() and np.isfinite(weights).all()


def test_a_window_of_w_is_w_keys(kind):
    """A package's exact window attends to w + 1."""
    x = kind.array(normal(0, 9, 2))
    weights = kind.read(attention_weights(x, x, causal=True, window=4))
    assert (weights > 0).sum(-1).tolist() == [1, 2, 3, 4, 4, 4, 4, 4, 4]
    assert window_mask(9, window=4, causal=True).sum(-1).max() == 4


def test_a_length_of_zero_is_not_uniform_and_nothing_is_changed(kind):
    """A textbook's masked softmax changes its caller's scores, and is uniform at length 0."""
    x, value = kind.array(normal(0, 2, 3, 4)), kind.array(normal(1, 2, 3, 4))
    before = kind.read(x).copy(), kind.read(value).copy()
    mask = padding_mask([0, 2], 3)
    weights = kind.read(attention_weights(x, x, mask=mask))
    attention(x, x, value, mask=mask)
    softmax(x)
    assert (weights[0] == 0).all()
    np.testing.assert_allclose(weights[1].sum(-1), 1)
    assert mask.tolist() == [[[False] * 3], [[True, True, False]]]
    for now, then in zip((x, value), before):
        np.testing.assert_array_equal(kind.read(now), then)


def test_a_nan_in_the_future_stays_there(kind):
    """A boolean mask in a fused kernel lets it through."""
    x = normal(0, 4, 3)
    spoilt = x.copy()
    spoilt[2:] = math.nan
    whole = kind.read(attention(kind.array(x), kind.array(x), kind.array(x), causal=True))
    for key, value in ((spoilt, x), (x, spoilt), (spoilt, spoilt)):
        output = kind.read(attention(kind.array(x), kind.array(key), kind.array(value),
                                     causal=True))
        np.testing.assert_array_equal(output[:2], whole[:2])
        assert np.isnan(output[2:]).all()


@pytest.mark.parametrize("score", [1.2e3, -1.2e3, 1e30])
def test_the_softmax_neither_overflows_nor_underflows(kind, score):
    """e^1200 is infinite, and e^-1200 is 0: naively, NaN."""
    shares = kind.read(softmax(kind.array(np.array([score, score, -np.inf]))))
    assert shares.tolist() == [0.5, 0.5, 0.0]


def test_an_empty_first_part_does_not_divide_by_zero(kind):
    """An online softmax that starts with keys that none may see: 0 / 0."""
    query, key, value = (kind.array(normal(n, 4, 3)) for n in range(3))
    hidden = np.zeros((4, 4), dtype=bool)
    empty = partial_attention(query, key, value, mask=hidden)
    part = partial_attention(query, key, value)
    for first, second, expected in ((empty, part, part), (part, empty, part),
                                    (empty, empty, empty)):
        for actual, wanted in zip(merge_partials(*first, *second), expected):
            np.testing.assert_array_equal(kind.read(actual), kind.read(wanted))


def test_one_alignment_everywhere(kind):
    """Two functions of one library disagree about causal where n_q is not n_k."""
    query, key = kind.array(normal(0, 2, 3)), kind.array(normal(1, 5, 3))
    expected = [[True, True, True, True, False], [True] * 5]
    assert (kind.read(attention_weights(query, key, causal=True)) > 0).tolist() == expected
    assert causal_mask(2, 5).tolist() == expected
    assert (kind.read(attention_weights(key, query, causal=True)) > 0).tolist() == [
        [False, False]] * 3 + [[True, False], [True, True]]


def test_scores_are_scaled_by_the_root_of_the_width(kind):
    """A self-check accepts no scaling, sqrt(k) times, 1/k and argmax: its softmax saturates."""
    query, key = kind.array(np.full((1, 4), 0.5)), kind.array(np.array([[0.5] * 4, [0.0] * 4]))
    assert kind.read(attention_scores(query, key)).tolist() == [[0.5, 0.0]]
    share = math.exp(0.5) / (math.exp(0.5) + 1)
    np.testing.assert_allclose(kind.read(attention_weights(query, key)), [[share, 1 - share]])


def test_wrong_versions_that_a_judge_let_pass_are_told_apart(kind):
    """The identity as rotation, the values as causal output, copies in turn as groups."""
    x = kind.array(normal(0, 3, 4))
    assert (kind.read(rotate(x))[1:] != kind.read(x)[1:]).all()
    output = kind.read(attention(x, x, x, causal=True))
    assert (output[0] == kind.read(x)[0]).all() and (output[1:] != kind.read(x)[1:]).all()
    heads = kind.array(np.array([[[1.0]], [[2.0]]]))
    assert kind.read(repeat_heads(heads, 2)).ravel().tolist() == [1, 1, 2, 2]


def test_batch_and_heads_of_one_size_are_not_confused():
    """A mask per sequence must not turn into one per head; torch's own attention agrees."""
    query, key, value = (torch.from_numpy(normal(seed, 3, 3, 4, 2)) for seed in range(3))
    mask = torch.from_numpy(padding_mask([[4], [2], [1]], 4))  # (batch, 1, 1, n)
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    torch.testing.assert_close(attention(query, key, value, mask=mask), expected)
    assert (attention_weights(query, key, mask=mask)[1, :, :, 2:] == 0).all()


def test_a_broken_key_outscores_the_largest_numbers():
    """Else a chunk with a NaN is passed over, or its mean has no weight, and nobody is told."""
    query = key = torch.full((64, 4), 1e12)
    value, broken = torch.ones(64, 4), key.clone()
    broken[10] = math.nan
    selected = selected_attention(query, broken, value, chunk=8, top=1, window=8)
    assert selected[24:].isnan().all() and selected[:10].isfinite().all()
    hierarchical = hierarchical_attention(query, broken, value, chunk=8, causal=True)
    assert hierarchical[10:].isnan().all() and hierarchical[:10].isfinite().all()


def test_lengths_on_another_device_make_a_mask_there():
    """Read by numpy, they would be copied to this machine, or raise."""
    mask = padding_mask(torch.tensor([1, 3], device="meta"), 3)
    assert mask.device.type == "meta" and mask.shape == (2, 1, 3) and mask.dtype == torch.bool


def test_a_chunk_that_the_window_shows_whole_takes_no_choice():
    """Query 3 sees keys 0 to 7; the loud keys 4 to 7 must not be chosen before 8 to 11."""
    query, key, value = (torch.from_numpy(normal(seed, 12, 2)) for seed in range(3))
    key[4:8] = 3 * query[3]
    seen = selected_attention(query, key, value, chunk=4, top=1, window=5, causal=False)
    torch.testing.assert_close(seen[3], attention(query, key, value)[3])
