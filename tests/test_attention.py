"""The equations of attention against loops, against torch, and against their laws."""

import math

import numpy as np
import pytest
import torch
from array_api_compat import array_namespace
from hypothesis import assume, given
from hypothesis import strategies as st
from oracle import brute_force, may_attend, problems
from torch.autograd import gradcheck

from attnlib import (
    additive_scores,
    attention,
    attention_scores,
    attention_weights,
    causal_mask,
    merge_partials,
    partial_attention,
    softmax,
    window_mask,
)
from attnlib.attention import _beside, _cast

seeds = st.integers(0, 2**32 - 1)
positive = st.integers(1, 5)
small = problems(magnitudes=(1.0,), layouts=False)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def close(actual, expected, atol=1e-12):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def made(kind, arrays, keywords, dtype="float64"):
    """Arguments of one kind: masks and biases too."""
    arrays = [kind.cast(kind.array(x), dtype) for x in arrays]
    masks = {name: kind.array(keywords[name]) for name in ("mask", "bias") if name in keywords}
    return arrays, {**keywords, **masks}


def empty_rows(arrays, keywords):
    """Where a query may see nothing, by the loops."""
    return np.isneginf(brute_force(*arrays, **keywords)[2])


# Against loops.


@given(problem=problems())
def test_everything_equals_the_loops(kind, problem):
    arrays, keywords = problem
    output, weights, lse = brute_force(*arrays, **keywords)
    given_arrays, given_keywords = made(kind, arrays, keywords)
    before = [kind.read(x).copy() for x in given_arrays]
    # one score is off by about 1e-16 of its size, and a weight by as much as its score
    size = max(1, *(np.abs(s).max(initial=0) for s in (arrays[0], given_keywords["scale"] or 1)))
    atol = 1e-13 * size

    close(kind.read(attention(*given_arrays, **given_keywords)), output, atol)
    close(kind.read(attention_weights(*given_arrays[:2], **given_keywords)),
          brute_force(*arrays[:2], arrays[1], **keywords)[1], atol)
    part, part_lse = partial_attention(*given_arrays, **given_keywords)
    close(kind.read(part), output, atol)
    close(kind.read(part_lse), lse, atol)
    for x, copy in zip(given_arrays, before):
        np.testing.assert_array_equal(kind.read(x), copy)


@pytest.mark.parametrize("keywords", [
    {}, {"causal": True}, {"window": 2}, {"causal": True, "window": 2}, {"scale": 3.0},
    {"mask": np.array([True, False, True, True])}, {"bias": np.arange(4.0)},
    {"mask": np.array([[True, False, True, True]] * 3), "bias": np.arange(12.0).reshape(3, 4),
     "causal": True, "window": 3, "scale": -0.5},
], ids=lambda keywords: "+".join(keywords) or "none")
def test_each_keyword_does_what_the_loops_do(kind, keywords):
    arrays = normal(0, 2, 3, 5), normal(1, 2, 4, 5), normal(2, 2, 4, 6)
    output, weights, lse = brute_force(*arrays, **keywords)
    arrays, keywords = made(kind, arrays, keywords)
    close(kind.read(attention(*arrays, **keywords)), output)
    close(kind.read(attention_weights(*arrays[:2], **keywords)), weights)
    for part, expected in zip(partial_attention(*arrays, **keywords), (output, lse)):
        close(kind.read(part), expected)


@given(problem=small)
def test_scores_are_scaled_products(kind, problem):
    (query, key, _), keywords = problem
    scale = keywords["scale"]
    factor = float(scale) if scale is not None else 1 / math.sqrt(max(key.shape[-1], 1))
    scores = kind.read(attention_scores(kind.array(query), kind.array(key), scale=scale))
    close(scores, np.einsum("...id,...jd->...ij", query, key) * factor)


@given(problem=problems(layouts=False))
def test_masks_from_numpy_are_welcome_beside_any_kind(kind, problem):
    arrays, keywords = problem
    same_kind = attention(*(made(kind, arrays, keywords)[0]), **made(kind, arrays, keywords)[1])
    beside = attention(*(made(kind, arrays, keywords)[0]), **keywords)
    np.testing.assert_array_equal(kind.read(beside), kind.read(same_kind))


@given(seed=seeds, shape=st.sampled_from([(4,), (3, 4), (2, 3, 4), (0, 3), (3, 0)]), data=st.data())
def test_softmax_along_any_axis(kind, seed, shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    scores = normal(seed, *shape) * data.draw(st.sampled_from([1, 1e4]))
    scores[np.random.default_rng(seed).random(shape) < 0.3] = -np.inf
    shares = kind.read(softmax(kind.array(scores), axis=axis))
    expected = torch.softmax(torch.from_numpy(scores), axis).nan_to_num(0).numpy()
    close(shares, expected, 1e-15)
    assert shares.shape == shape


def test_softmax_of_the_last_axis_is_the_default(kind):
    close(kind.read(softmax(kind.array(np.zeros((2, 4))))), np.full((2, 4), 0.25))


@given(seed=seeds, leading=st.sampled_from([(), (2,), (2, 3)]), n_q=positive, n_k=positive)
def test_additive_scores_equal_loops(kind, seed, leading, n_q, n_k):
    query, key = normal(seed, *leading, n_q, 2), normal(seed + 1, *leading, n_k, 3)
    w_query, w_key, v = normal(seed + 2, 2, 4), normal(seed + 3, 3, 4), normal(seed + 4, 4)
    scores = kind.read(additive_scores(*map(kind.array, (query, key, w_query, w_key, v))))
    assert scores.shape == (*leading, n_q, n_k)
    for *where, i, j in np.ndindex(scores.shape):
        hidden = [math.tanh(query[(*where, i)] @ w_query[:, a]
                            + key[(*where, j)] @ w_key[:, a])
                  for a in range(4)]
        close(scores[(*where, i, j)], np.dot(v, hidden))


# Against torch.


@given(problem=problems(sizes=st.integers(1, 5), layouts=False))
def test_output_equals_torch(problem):
    arrays, keywords = problem
    (query, key, value), _ = made_torch = made(TORCH, arrays, keywords)
    assume(query.shape[-1] > 0)
    allowed = np.array([[may_attend(i, j, query.shape[-2], key.shape[-2], keywords["causal"],
                                    keywords["window"]) for j in range(key.shape[-2])]
                        for i in range(query.shape[-2])])
    if "mask" in keywords:
        allowed = allowed & keywords["mask"]
    added = np.where(allowed, keywords.get("bias", 0.0), -np.inf)
    assume(np.isfinite(added).any(axis=-1).all())
    leading = np.broadcast_shapes(*(x.shape[:-2] for x in (query, key, value)))
    expected = torch.nn.functional.scaled_dot_product_attention(
        *(x.expand(*leading, *x.shape[-2:]) for x in (query, key, value)),
        attn_mask=torch.from_numpy(np.array(np.broadcast_to(added, (*leading, *added.shape[-2:])))),
        scale=None if keywords["scale"] is None else float(keywords["scale"]))
    close(attention(*made_torch[0], **made_torch[1]), expected, 1e-9)


class TORCH:
    """`made` for torch alone."""

    array = staticmethod(lambda x: torch.from_numpy(np.array(x)))
    cast = staticmethod(lambda x, dtype: x.to(getattr(torch, dtype)))


# Precision.


LARGEST_ERROR = {"float64": 1e-14, "float32": 2e-6, "float16": 2e-3, "bfloat16": 1e-2}


@pytest.mark.parametrize("n_q, n_k, width", [(5, 7, 3), (64, 96, 64), (256, 1024, 64)])
def test_error_on_unit_normal_inputs(kind_and_dtype, n_q, n_k, width):
    kind, dtype = kind_and_dtype
    atol = LARGEST_ERROR[dtype]
    arrays = [kind.cast(kind.array(normal(seed, 2, n, width)), dtype)
              for seed, n in enumerate((n_q, n_k, n_k))]
    exact = [np.asarray(kind.read(x), dtype="float64") for x in arrays]
    scores = np.einsum("...id,...jd->...ij", *exact[:2]) / math.sqrt(width)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    results = {
        "output": (attention(*arrays), weights @ exact[2]),
        "weights": (attention_weights(*arrays[:2]), weights),
        "softmax": (softmax(kind.cast(kind.array(scores), dtype)), weights),
    }
    for name, (actual, expected) in results.items():
        assert dtype in str(actual.dtype), name
        close(kind.read(actual), expected, atol)
    _, lse = partial_attention(*arrays)
    assert str(lse.dtype).endswith("float64" if dtype == "float64" else "float32")
    close(kind.read(lse), np.log(np.exp(scores).sum(-1)), 1e-5)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_low_precision_accumulates_in_float32(kind, dtype):
    """100,000 equal keys: a float16 sum stops at 2,048, a product of 300 and 300 overflows."""
    query = kind.cast(kind.array(np.full((1, 1), 300.0)), dtype)
    key = kind.cast(kind.array(np.full((100_000, 1), 300.0)), dtype)
    output, lse = partial_attention(query, key, key)
    close(kind.read(output), [[300.0]], 0.1)
    close(kind.read(lse), [90_000 + math.log(100_000)], 0.1)
    close(kind.read(softmax(key[:, 0])), np.full(100_000, 1e-5), 1e-7)


@given(problem=problems(magnitudes=(1.0,)))
def test_every_dtype_equals_the_loops(kind_and_dtype, problem):
    kind, dtype = kind_and_dtype
    arrays, keywords = problem
    keywords["scale"] = None  # unit-normal inputs and the scores they give
    arrays, made_keywords = made(kind, arrays, keywords, dtype)
    exact = [np.asarray(kind.read(x), dtype="float64") for x in arrays]
    output, weights, _ = brute_force(*exact, **keywords)
    close(kind.read(attention(*arrays, **made_keywords)), output, LARGEST_ERROR[dtype])
    exact[2] = exact[1]
    close(kind.read(attention_weights(*arrays[:2], **made_keywords)),
          brute_force(*exact, **keywords)[1], LARGEST_ERROR[dtype])


def test_every_dtype_comes_back(kind_and_dtype):
    kind, dtype = kind_and_dtype
    x = kind.cast(kind.array(normal(0, 3, 3)), dtype)
    v = x[0]
    output, lse = partial_attention(x, x, x)
    merged, merged_lse = merge_partials(output, lse, output, lse)
    for result in (attention_scores(x, x), softmax(x), attention_weights(x, x), attention(x, x, x),
                   output, merged, additive_scores(x, x, x, x, v)):
        assert result.dtype == x.dtype
    assert str(lse.dtype).endswith("float64" if dtype == "float64" else "float32")
    assert merged_lse.dtype == lse.dtype


@pytest.mark.parametrize("function, shapes", [
    (attention_scores, [(3, 4), (5, 4)]),
    (attention_weights, [(3, 4), (5, 4)]),
    (attention, [(3, 4), (5, 4), (5, 2)]),
    (partial_attention, [(3, 4), (5, 4), (5, 2)]),
    (additive_scores, [(3, 4), (5, 2), (4, 6), (2, 6), (6,)]),
])
@pytest.mark.parametrize("narrow, wide", [("float16", "float32"), ("float32", "float64")])
def test_mixed_dtypes_are_computed_in_the_widest(kind, function, shapes, narrow, wide):
    """Whichever argument is the wide one."""
    for which in range(len(shapes)):
        arrays = [kind.cast(kind.array(normal(seed, *shape)), wide if seed == which else narrow)
                  for seed, shape in enumerate(shapes)]
        mixed, widened = function(*arrays), function(*(kind.cast(x, wide) for x in arrays))
        for a, b in zip(*(x if isinstance(x, tuple) else (x,) for x in (mixed, widened))):
            np.testing.assert_array_equal(kind.read(a), kind.read(b), strict=True)


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("narrow, wide", [("float16", "float32"), ("float32", "float64")])
def test_partial_results_of_mixed_dtypes(kind, which, narrow, wide):
    """Computed in the widest; the output comes back as the outputs came."""
    arrays = [kind.cast(kind.array(normal(seed, *shape)), wide if seed == which else narrow)
              for seed, shape in enumerate([(3, 4), (3,), (3, 4), (3,)])]
    output, lse = merge_partials(*arrays)
    exact, exact_lse = merge_partials(*(kind.cast(x, wide) for x in arrays))
    np.testing.assert_array_equal(kind.read(lse), kind.read(exact_lse), strict=True)
    expected = kind.cast(exact, wide if which in (0, 2) else narrow)
    np.testing.assert_array_equal(kind.read(output), kind.read(expected), strict=True)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_parts_in_half_precision_merge_in_float32(kind, dtype):
    """In float16 the lse of two parts would be off by a thousandth of itself."""
    one, lse = (kind.cast(kind.array(np.ones(shape)), dtype) for shape in ((1, 1), (1,)))
    _, merged = merge_partials(one, 1000 * lse, one, 1000 * lse)
    close(kind.read(merged), [1000 + math.log(2)], 1e-4)


@pytest.mark.parametrize("scale", [np.float64(0.5), 1, np.int64(1), np.float16(2), np.array(0.5)])
def test_a_scale_does_not_widen(kind, scale):
    x = kind.cast(kind.array(normal(0, 3, 3)), "float32")
    scores = attention_scores(x, x, scale=scale)
    assert scores.dtype == x.dtype
    close(kind.read(scores), kind.read(x) @ kind.read(x).T * float(scale), 1e-6)


@given(seed=seeds, n=positive)
def test_additive_scores_in_half_precision(kind, seed, n):
    exact = [normal(seed, n, 64), normal(seed + 1, n, 64), normal(seed + 2, 64, 256),
             normal(seed + 3, 64, 256), normal(seed + 4, 256)]
    half = [kind.cast(kind.array(x), "float16") for x in exact]
    exact = [kind.read(x).astype("float64") for x in half]
    hidden = np.tanh((exact[0] @ exact[2])[:, None] + (exact[1] @ exact[3])[None])
    scores = kind.read(additive_scores(*half)).astype("float64")
    np.testing.assert_allclose(scores, hidden @ exact[4], rtol=1e-3, atol=1e-3)


# Laws.


@given(problem=problems(layouts=False))
def test_rows_of_weights_sum_to_one_or_are_empty(kind, problem):
    arrays, keywords = problem
    arrays[2] = arrays[1]
    (query, key, _), made_keywords = made(kind, arrays, keywords)
    weights = kind.read(attention_weights(query, key, **made_keywords))
    assert (weights >= 0).all()
    close(weights.sum(-1), np.where(empty_rows(arrays, keywords), 0.0, 1.0))


@given(problem=problems(layouts=False))
def test_output_lies_in_the_convex_hull_of_the_visible_values(kind, problem):
    """Along any direction, between the least and the greatest visible value."""
    arrays, keywords = problem
    (query, key, value), made_keywords = made(kind, arrays, keywords)
    output = kind.read(attention(query, key, value, **made_keywords))
    direction = normal(1, value.shape[-1], 3)
    along, reached = arrays[2] @ direction, output @ direction  # (..., n_k, 3), (..., n_q, 3)
    visible = brute_force(*arrays[:2], along * 0, **{**keywords, "scale": 0})[1] > 0
    along = np.broadcast_to(along[..., None, :, :], (*visible.shape, 3))
    seen = visible.any(-1)
    for edge, sign in ((np.inf, 1), (-np.inf, -1)):
        limit = (sign * np.where(visible[..., None], along, edge)).min(-2, initial=np.inf)
        assert (sign * reached >= limit - 1e-12)[seen].all()
    assert (output[~seen] == 0).all()


@given(seed=seeds, n_q=st.integers(0, 6), n_k=positive, window=st.none() | st.integers(1, 4))
def test_causality_by_perturbation(kind, seed, n_q, n_k, window):
    """Changing key and value j changes exactly the queries that may see j."""
    query, key, value = normal(seed, n_q, 3), normal(seed + 1, n_k, 3), normal(seed + 2, n_k, 2)
    before = kind.read(attention(*map(kind.array, (query, key, value)), causal=True,
                                 window=window)).copy()
    for j in range(n_k):
        key_j, value_j = key.copy(), value.copy()
        key_j[j], value_j[j] = normal(seed + 3, 3), 50.0
        after = kind.read(attention(*map(kind.array, (query, key_j, value_j)), causal=True,
                                    window=window))
        changed = (before != after).any(-1)
        assert changed.tolist() == [may_attend(i, j, n_q, n_k, True, window) for i in range(n_q)]


@given(seed=seeds, n_q=st.integers(1, 5), n_k=positive, window=st.none() | st.integers(1, 4))
def test_causality_by_gradient(seed, n_q, n_k, window):
    query, key, value = (torch.from_numpy(normal(seed + k, n, 3)).requires_grad_()
                         for k, n in enumerate((n_q, n_k, n_k)))
    output = attention(query, key, value, causal=True, window=window)
    for i in range(n_q):
        grad_key, grad_value = torch.autograd.grad(output[i].square().sum(), (key, value),
                                                   retain_graph=True)
        visible = [may_attend(i, j, n_q, n_k, True, window) for j in range(n_k)]
        assert (grad_value != 0).any(-1).tolist() == visible
        if sum(visible) > 1:  # a single visible key always gets weight 1
            assert (grad_key != 0).any(-1).tolist() == visible
        else:
            assert (grad_key == 0).all()


@given(problem=problems(magnitudes=(1.0,), layouts=False), seed=seeds)
def test_keys_in_another_order_change_nothing(kind, problem, seed):
    (query, key, value), keywords = problem
    order = np.random.default_rng(seed).permutation(key.shape[-2])
    keywords.update(causal=False, window=None)
    arrays, made_keywords = made(kind, (query, key, value), keywords)
    permuted = {name: keywords[name][..., order] if keywords[name].shape[-1:] != (1,)
                and keywords[name].ndim else keywords[name]
                for name in ("mask", "bias") if name in keywords}
    shuffled, shuffled_keywords = made(kind, (query, key[..., order, :], value[..., order, :]),
                                       {**keywords, **permuted})
    close(kind.read(attention(*shuffled, **shuffled_keywords)),
          kind.read(attention(*arrays, **made_keywords)))


@given(seed=seeds, n=st.integers(0, 6))
def test_self_attention_is_permutation_equivariant(kind, seed, n):
    x = normal(seed, 2, n, 3)
    order = np.random.default_rng(seed).permutation(n)
    output = kind.read(attention(*[kind.array(x)] * 3))
    moved = kind.array(x[:, order].copy())
    close(kind.read(attention(moved, moved, moved)), output[:, order])


@given(problem=problems(magnitudes=(1.0,), layouts=False), seed=seeds)
def test_a_constant_added_to_a_row_of_scores_changes_nothing(kind, problem, seed):
    arrays, keywords = problem
    arrays, made_keywords = made(kind, arrays, keywords)
    before = kind.read(attention_weights(*arrays[:2], **made_keywords))
    shape = (*before.shape[:-1], 1)
    shifted = keywords.get("bias", 0.0) + 100 * normal(seed, *shape)
    shifted = np.array(np.broadcast_to(shifted, before.shape))
    made_keywords["bias"] = kind.array(shifted)
    close(kind.read(attention_weights(*arrays[:2], **made_keywords)), before, 1e-11)


@given(seed=seeds, shift=st.sampled_from([1.0, -300.0, 1e4]))
def test_softmax_ignores_a_constant(kind, seed, shift):
    scores = normal(seed, 3, 4)
    close(kind.read(softmax(kind.array(scores + shift))), kind.read(softmax(kind.array(scores))),
          1e-11)


GARBAGE = [math.nan, math.inf, -math.inf, 1e300]


@given(problem=problems(sizes=st.integers(1, 5), magnitudes=(1.0,), layouts=False),
       garbage=st.sampled_from(GARBAGE))
def test_what_no_query_may_see_never_matters(kind, problem, garbage):
    """Not in the output, weights or lse, and not in a gradient."""
    (query, key, value), keywords = problem
    hidden = key.shape[-2] // 2
    seen = np.arange(key.shape[-2]) != hidden
    keywords["mask"] = keywords.get("mask", True) & seen
    arrays, made_keywords = made(kind, (query, key, value), keywords)
    spoilt = [key.copy(), value.copy()]
    for x in spoilt:
        x[..., hidden, :] = garbage
    spoilt, _ = made(kind, (query, *spoilt), keywords)
    for clean, other in zip(partial_attention(*arrays, **made_keywords),
                            partial_attention(*spoilt, **made_keywords)):
        np.testing.assert_array_equal(kind.read(clean), kind.read(other))
    np.testing.assert_array_equal(
        kind.read(attention_weights(*arrays[:2], **made_keywords)),
        kind.read(attention_weights(*spoilt[:2], **made_keywords)))
    if kind.name == "torch":
        clean, other = (grads(inputs, made_keywords) for inputs in (arrays, spoilt))
        for a, b in zip(clean, other):
            np.testing.assert_array_equal(a, b)


def grads(arrays, keywords):
    arrays = [x.detach().requires_grad_() for x in arrays]
    output, lse = partial_attention(*arrays, **keywords)
    total = output.square().sum() + lse[torch.isfinite(lse)].sum()
    return torch.autograd.grad(total, arrays, allow_unused=True, materialize_grads=True)


@given(seed=seeds, n=st.integers(1, 6), garbage=st.sampled_from([math.nan, math.inf, -math.inf]),
       where=st.sampled_from(["key", "value"]))
def test_garbage_reaches_exactly_those_that_see_it(kind, seed, n, garbage, where):
    query, key, value = normal(seed, n, 3), normal(seed + 1, n, 3), normal(seed + 2, n, 2)
    j = seed % n
    (key if where == "key" else value)[j, 0] = garbage
    output = kind.read(attention(*map(kind.array, (query, key, value)), causal=True))
    reached = np.array([may_attend(i, j, n, n, True, None) for i in range(n)])
    assert np.isnan(output[reached]).all()
    assert np.isfinite(output[~reached]).all()


@given(problem=problems(sizes=st.integers(1, 5), magnitudes=(1.0,), layouts=False),
       which=st.integers(0, 2), garbage=st.sampled_from([math.nan, math.inf, -math.inf]))
def test_what_is_no_number_makes_nan_of_the_rows_that_meet_it(kind, problem, which, garbage):
    """Whole rows, and no others: in weights, output and lse; and in no gradient of the others."""
    arrays, keywords = problem
    leading = np.broadcast_shapes(*(x.shape[:-2] for x in arrays))
    arrays = [np.array(np.broadcast_to(x, leading + x.shape[-2:])) for x in arrays]
    assume(arrays[which].shape[-1] > 0)
    spoilt, place = [x.copy() for x in arrays], arrays[which].shape[-2] - 1
    spoilt[which][..., place, 0] = garbage

    seen = brute_force(*arrays, **{**keywords, "scale": 0})[1] > 0  # (..., n_q, n_k)
    met = seen[..., place] if which else seen.any(-1) & (np.arange(seen.shape[-2]) == place)
    scored = met & (which < 2)  # a value is in no score
    (clean, made_keywords), (spoilt, _) = (made(kind, x, keywords) for x in (arrays, spoilt))

    def look(arrays):
        return [attention_weights(*arrays[:2], **made_keywords),
                *partial_attention(*arrays, **made_keywords)]

    for broken, before, after in zip((scored, met, scored), look(clean), look(spoilt)):
        before = np.array(kind.read(before))
        before[broken] = math.nan
        close(kind.read(after), before)
    if kind.name == "torch":
        rows = torch.from_numpy(~met)

        def gradients(arrays):
            leaves = [x.detach().requires_grad_() for x in arrays]
            total = sum(x[rows & seen_any].sin().sum() for x in look(leaves))
            return torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)

        seen_any = torch.from_numpy(seen.any(-1))  # elsewhere lse is -inf
        for a, b in zip(gradients(clean), gradients(spoilt)):
            close(a, b)


@pytest.mark.parametrize("garbage", [math.nan, math.inf])
@pytest.mark.parametrize("which", range(4), ids=["output_a", "lse_a", "output_b", "lse_b"])
def test_a_part_that_is_no_number_breaks_its_own_row_of_the_merger(kind, which, garbage):
    clean = normal(0, 3, 2), normal(1, 3), normal(2, 3, 2), normal(3, 3)
    spoilt = [x.copy() for x in clean]
    spoilt[which][1, ...] = garbage
    found, expected = ([kind.read(x) for x in merge_partials(*map(kind.array, parts))]
                       for parts in (spoilt, clean))
    expected[0][1] = math.nan
    if which % 2:
        expected[1][1] = math.nan
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("garbage", [math.nan, math.inf])
@pytest.mark.parametrize("which", range(4), ids=["output_a", "lse_a", "output_b", "lse_b"])
def test_a_broken_part_has_no_gradient(which, garbage):
    """It would go on to the keys that other rows see."""
    parts = [leaf(0, 3, 2), leaf(1, 3), leaf(2, 3, 2), leaf(3, 3)]
    with torch.no_grad():
        parts[which][1] = garbage
    output, lse = merge_partials(*parts)
    total = output[[0, 2]].sum() + lse[[0, 2]].sum()
    for gradient in torch.autograd.grad(total, parts):
        assert gradient[[0, 2]].abs().min() > 0 and (gradient[1] == 0).all()


def test_a_weight_of_zero_silences_a_value(kind):
    """The second key is allowed, but e^-1000 is 0 in floating point."""
    query, key = np.array([[1.0]]), np.array([[1000.0], [0.0]])
    for garbage in (math.nan, math.inf):
        output = attention(*map(kind.array, (query, key, np.array([[3.0], [garbage]]))), scale=1)
        close(kind.read(output), [[3.0]])


@given(problem=problems(layouts=False))
def test_window_and_causal_are_their_masks(kind, problem):
    arrays, keywords = problem
    window, causal = keywords.pop("window"), keywords.pop("causal")
    n_q, n_k = arrays[0].shape[-2], arrays[1].shape[-2]
    arrays, made_keywords = made(kind, arrays, keywords)
    mask = keywords.get("mask", True)
    if causal:
        mask = mask & causal_mask(n_q, n_k)
    if window is not None:
        mask = mask & window_mask(n_q, n_k, window=window)
        if causal:
            mask = mask & window_mask(n_q, n_k, window=window, causal=True)
    switched = attention(*arrays, **made_keywords, causal=causal, window=window)
    if mask is not True:
        made_keywords["mask"] = kind.array(mask)
    masked = attention(*arrays, **made_keywords)
    np.testing.assert_array_equal(kind.read(switched), kind.read(masked))


@given(problem=problems(sizes=st.integers(1, 5), layouts=False))
def test_broadcasting_is_repeating(kind, problem):
    """Leading axes of length one or missing, batch == heads among them."""
    arrays, keywords = problem
    leading = np.broadcast_shapes(*(x.shape[:-2] for x in arrays))
    whole = [np.broadcast_to(x, leading + x.shape[-2:]) for x in arrays]
    narrow, made_keywords = made(kind, arrays, keywords)
    wide, _ = made(kind, whole, keywords)
    for a, b in zip(partial_attention(*narrow, **made_keywords),
                    partial_attention(*wide, **made_keywords)):
        a, b = kind.read(a), kind.read(b)
        close(np.broadcast_to(a, b.shape), b, 1e-8)


@given(problem=problems(magnitudes=(1.0, 1e3), layouts=False), seed=seeds,
       parts=st.integers(1, 4))
def test_any_split_and_any_order_of_merging_give_the_same(kind, problem, seed, parts):
    """Keys shared out at random, merged in a random tree, empty parts among them."""
    (query, key, value), keywords = problem
    keywords.update(causal=False, window=None)
    rng = np.random.default_rng(seed)
    leading = np.broadcast_shapes(*(x.shape[:-2] for x in (query, key, value)))
    query, key, value = (np.array(np.broadcast_to(x, leading + x.shape[-2:]))
                         for x in (query, key, value))
    n_k = key.shape[-2]
    owner = rng.integers(0, parts, n_k)
    full = (*leading, query.shape[-2], n_k)
    wide = {name: np.array(np.broadcast_to(keywords[name], full))
            for name in ("mask", "bias") if name in keywords}
    pool = []
    for part in range(parts):
        own = owner == part
        arrays, made_keywords = made(
            kind, (query, key[..., own, :], value[..., own, :]),
            {**keywords, **{name: x[..., own] for name, x in wide.items()}})
        pool.append(partial_attention(*arrays, **made_keywords))
    while len(pool) > 1:
        a, b = (pool.pop(rng.integers(len(pool))) for _ in range(2))
        pool.append(merge_partials(*a, *b))
    arrays, made_keywords = made(kind, (query, key, value), keywords)
    for merged, whole in zip(pool[0], partial_attention(*arrays, **made_keywords)):
        close(kind.read(merged), kind.read(whole), 1e-10)


def test_merging_large_and_tiny_sums_does_not_overflow(kind):
    one, two = kind.array(np.array([[1.0]])), kind.array(np.array([[3.0]]))
    for lse_one, lse_two, share in ((1e4, 1e4, 0.5), (-1e4, -1e4, 0.5), (1e4, -1e4, 1.0)):
        output, lse = merge_partials(one, kind.array(np.array([lse_one])),
                                     two, kind.array(np.array([lse_two])))
        close(kind.read(output), [[share * 1 + (1 - share) * 3]])
        close(kind.read(lse), [lse_one + (math.log(2) if share == 0.5 else 0)])


# Gradients.


def leaf(seed, *shape):
    return torch.from_numpy(normal(seed, *shape)).requires_grad_()


@pytest.mark.parametrize("keywords", [
    {}, {"causal": True}, {"causal": True, "window": 2}, {"window": 2}, {"scale": 0.3},
    {"mask": np.array([[True, False, True], [False] * 3, [True] * 3, [False, False, True]])},
])
@pytest.mark.parametrize("function", [attention, partial_attention])
def test_gradients_are_the_derivatives(function, keywords):
    query, key, value, bias = leaf(0, 2, 4, 3), leaf(1, 3, 3), leaf(2, 2, 3, 2), leaf(3, 4, 3)

    def run(query, key, value, bias):
        result = function(query, key, value, bias=bias, **keywords)
        if function is attention:
            return result
        return result[0], result[1][torch.isfinite(result[1])]

    assert gradcheck(run, (query, key, value, bias))


@pytest.mark.parametrize("function, shapes", [
    (attention_scores, [(2, 3), (4, 3)]),
    (attention_weights, [(2, 3), (4, 3)]),
    (softmax, [(3, 4)]),
    (lambda x: softmax(x, axis=0), [(3, 4)]),
    (merge_partials, [(2, 3), (2,), (2, 3), (2,)]),
    (additive_scores, [(2, 2), (3, 4), (2, 5), (4, 5), (5,)]),
])
def test_gradients_of_the_other_equations(function, shapes):
    assert gradcheck(function, [leaf(seed, *shape) for seed, shape in enumerate(shapes)])


def test_a_scale_can_be_learned():
    query, key, scale = leaf(0, 2, 3), leaf(1, 4, 3), torch.tensor(0.7, dtype=torch.float64)
    assert gradcheck(lambda s: attention_weights(query, key, scale=s), scale.requires_grad_())


@pytest.mark.parametrize("n_q, n_k, keywords", [
    (3, 2, {"causal": True}),
    (2, 0, {}),
    (0, 2, {}),
    (2, 3, {"mask": np.zeros((2, 3), dtype=bool)}),
    (2, 3, {"mask": np.array([[True, True, False], [False] * 3])}),
    (2, 3, {"bias": np.full((2, 3), -np.inf)}),
])
def test_gradients_of_empty_rows_are_finite(n_q, n_k, keywords):
    arrays = [leaf(0, n_q, 3), leaf(1, n_k, 3), leaf(2, n_k, 2)]
    output, lse = partial_attention(*arrays, **keywords)
    weights = attention_weights(*arrays[:2], **keywords)
    again, both = merge_partials(output, lse, output, lse)
    total = sum(x[torch.isfinite(x)].sum() for x in (output, lse, weights, again, both))
    for gradient in torch.autograd.grad(total, arrays, allow_unused=True, materialize_grads=True):
        assert torch.isfinite(gradient).all()


def test_softmax_of_an_empty_row_has_a_gradient_of_zero():
    scores = torch.full((2, 3), -math.inf, requires_grad=True)
    softmax(scores).sum().backward()
    assert (scores.grad == 0).all()


# Edges.


@pytest.mark.parametrize("n_q, n_k, d_k, d_v", [(0, 3, 2, 2), (3, 0, 2, 2), (0, 0, 2, 2),
                                                (1, 1, 1, 1), (3, 2, 0, 2), (3, 2, 2, 0)])
def test_lengths_and_widths_of_zero_and_one(kind, n_q, n_k, d_k, d_v):
    arrays = normal(0, 2, n_q, d_k), normal(1, 2, n_k, d_k), normal(2, 2, n_k, d_v)
    expected, weights, lse = brute_force(*arrays)
    query, key, value = map(kind.array, arrays)
    output, actual_lse = partial_attention(query, key, value)
    np.testing.assert_allclose(kind.read(output), expected, atol=1e-12)
    np.testing.assert_allclose(kind.read(actual_lse), lse, atol=1e-12)
    np.testing.assert_allclose(kind.read(attention_weights(query, key)), weights, atol=1e-12)


def test_scores_of_ten_thousand(kind):
    query, key = np.array([[1e4]]), np.array([[1.0], [1.0], [0.999], [-1.0]])
    weights = attention_weights(kind.array(query), kind.array(key), scale=1)
    share = 1 / (2 + math.exp(-10))
    close(kind.read(weights), [[share, share, math.exp(-10) * share, 0]], 1e-9)


def test_a_bias_of_minus_infinity_empties_a_row(kind):
    x = kind.array(normal(0, 2, 3))
    bias = kind.array(np.array([[0.0, -np.inf], [-np.inf, -np.inf]]))
    output, lse = partial_attention(x, x, x, bias=bias)
    close(kind.read(output), [kind.read(x)[0], np.zeros(3)])
    assert kind.read(lse)[1] == -np.inf


def test_a_bias_of_minus_infinity_hides_what_is_no_number(kind):
    x = normal(0, 3, 2)
    spoilt, bias = x.copy(), np.array([0.0, -np.inf, 0.0])
    spoilt[1] = math.nan
    query, clean, spoilt, bias = map(kind.array, (x, x, spoilt, bias))
    for a, b in zip(partial_attention(query, clean, clean, bias=bias),
                    partial_attention(query, spoilt, spoilt, bias=bias)):
        np.testing.assert_array_equal(kind.read(a), kind.read(b))


@pytest.mark.parametrize("permute", [(0, 1, 2, 3), (1, 0, 2, 3)])
def test_torch_views_and_expanded_inputs(permute):
    base = torch.from_numpy(normal(0, 2, 5, 3, 4))
    view = base.transpose(1, 2).permute(*permute)  # (2, 3, 5, 4) without a copy
    expanded = base[:1, :1, 0].unsqueeze(-2).expand(*view.shape[:2], 5, 4)
    expected = brute_force(view.numpy(), expanded.numpy(), view.numpy(), causal=True)[0]
    close(attention(view, expanded, view, causal=True), expected)


def test_a_default_device_elsewhere_does_not_matter():
    """Everything is made on the inputs' device."""
    x = torch.from_numpy(normal(0, 3, 2))
    mask = np.array([True, True, False])
    expected = attention(x, x, x, causal=True, window=2, mask=mask)
    with torch.device("meta"):
        actual = attention(x, x, x, causal=True, window=2, mask=mask)
    assert actual.device.type == "cpu"
    assert torch.equal(actual, expected)


def test_a_cast_to_its_own_dtype_copies_nothing(kind):
    x = kind.array(normal(0, 3))
    assert np.shares_memory(kind.read(_cast(array_namespace(x), x, x.dtype)), kind.read(x))


def test_a_mask_of_the_same_kind_is_not_copied(kind):
    x, mask = kind.array(normal(0, 2, 3)), kind.array(np.ones((2, 2), dtype=bool))
    used = _beside(array_namespace(x), x, "mask", mask, (2, 2))
    assert np.shares_memory(kind.read(used), kind.read(mask))


# Bad input.


Q, K, V = np.ones((2, 3)), np.ones((4, 3)), np.ones((4, 5))
BAD = [
    ("key width", (Q, np.ones((4, 2)), V), {}, ValueError,
     "attention needs query (..., n_q, d_k), key (..., n_k, d_k), value (..., n_k, d_v), "
     "got query (2, 3), key (4, 2), value (4, 5)"),
    ("value length", (Q, K, np.ones((3, 5))), {}, ValueError,
     "attention needs query (..., n_q, d_k), key (..., n_k, d_k), value (..., n_k, d_v), "
     "got query (2, 3), key (4, 3), value (3, 5)"),
    ("one axis", (np.ones(3), K, V), {}, ValueError,
     "attention needs query (..., n_q, d_k), key (..., n_k, d_k), value (..., n_k, d_v), "
     "got query (3,), key (4, 3), value (4, 5)"),
    ("one axis of value", (Q, K, np.ones(4)), {}, ValueError,
     "attention needs query (..., n_q, d_k), key (..., n_k, d_k), value (..., n_k, d_v), "
     "got query (2, 3), key (4, 3), value (4,)"),
    ("leading axes", (np.ones((2, 2, 3)), np.ones((3, 4, 3)), V), {}, ValueError,
     "leading axes must broadcast, got query (2,), key (3,), value ()"),
    ("list", ([[1.0]], K, V), {}, TypeError,
     "query must be an array (numpy or torch), got list"),
    ("integers", (Q, K.astype(int), V), {}, TypeError, "key must be real floating, got int64"),
    ("complex", (Q, K, V * 1j), {}, TypeError, "value must be real floating, got complex128"),
    ("mask shape", (Q, K, V), {"mask": np.ones((2, 3), dtype=bool)}, ValueError,
     "mask must broadcast to (..., n_q, n_k) = (2, 4), got mask (2, 3)"),
    ("mask axes", (Q, K, V), {"mask": np.ones((3, 2, 4), dtype=bool)}, ValueError,
     "mask must broadcast to (..., n_q, n_k) = (2, 4), got mask (3, 2, 4)"),
    ("mask of numbers", (Q, K, V), {"mask": np.zeros((2, 4))}, TypeError,
     "mask must be boolean (True = may attend), got float64; what is added to the scores is a bias"
     ),
    ("mask list", (Q, K, V), {"mask": [True] * 4}, TypeError, "mask must be an array, got list"),
    ("bias shape", (Q, K, V), {"bias": np.zeros((3, 4))}, ValueError,
     "bias must broadcast to (..., n_q, n_k) = (2, 4), got bias (3, 4)"),
    ("boolean bias", (Q, K, V), {"bias": np.ones((2, 4), dtype=bool)}, TypeError,
     "bias must be floating (it is added to the scores), got bool; what hides keys is a mask"),
    ("window 0", (Q, K, V), {"window": 0}, ValueError, "window must be at least 1, got 0"),
    ("window 1.5", (Q, K, V), {"window": 1.5}, TypeError,
     "window must be a whole number, got 1.5"),
    ("causal", (Q, K, V), {"causal": "no"}, TypeError,
     "causal must be True or False, got 'no'"),
    ("causal 1", (Q, K, V), {"causal": 1}, TypeError, "causal must be True or False, got 1"),
    ("masked array", (Q, np.ma.masked_equal(K, 0), V), {}, TypeError,
     "key is a masked array, whose mask would be ignored: give key.data, and a mask of your own"),
    ("masked mask", (Q, K, V), {"mask": np.ma.masked_equal(np.ones(4, dtype=bool), 0)}, TypeError,
     "mask is a masked array, whose mask would be ignored: give mask.data, and a mask of your own"),
    ("padding", (np.ones((3, 2, 3)), np.ones((3, 4, 3)), np.ones((3, 4, 5))),
     {"mask": np.ones((3, 4), dtype=bool)}, ValueError,
     "mask must broadcast to (..., n_q, n_k) = (3, 2, 4), got mask (3, 4); "
     "padding_mask(lengths, n) puts an axis in for the queries"),
    ("bias like padding", (np.ones((3, 2, 3)), np.ones((3, 4, 3)), np.ones((3, 4, 5))),
     {"bias": np.ones((3, 4))}, ValueError,
     "bias must broadcast to (..., n_q, n_k) = (3, 2, 4), got bias (3, 4)"),
    ("masked mask beside tensors", tuple(map(torch.from_numpy, (Q, K, V))),
     {"mask": np.ma.masked_equal(np.ones(4, dtype=bool), 0)}, TypeError,
     "mask is a masked array, whose mask would be ignored: give mask.data, and a mask of your own"),
    ("true scale", (Q, K, V), {"scale": True}, TypeError, "scale must be a number, got True"),
    ("scale", (Q, K, V), {"scale": "8"}, TypeError, "scale must be a number, got '8'"),
    ("scales", (Q, K, V), {"scale": np.ones(2)}, TypeError,
     "scale must be a number, got array([1., 1.])"),
]


@pytest.mark.parametrize("arrays, keywords, error, message", [case[1:] for case in BAD],
                         ids=[case[0] for case in BAD])
def test_bad_input_is_named(raises, arrays, keywords, error, message):
    for function in (attention, partial_attention):
        with raises(error, message):
            function(*arrays, **keywords)


def test_a_scale_without_axes_may_be_elsewhere():
    """As torch has it: one number beside tensors of any device."""
    x = torch.ones(2, 3, device="meta")
    assert attention_scores(x, x, scale=torch.tensor(0.5)).is_meta


def test_bad_input_of_weights_and_scores_is_named(raises):
    message = ("attention needs query (..., n_q, d_k), key (..., n_k, d_k), "
               "got query (2, 3), key (4, 2)")
    for function in (attention_scores, attention_weights):
        with raises(ValueError, message):
            function(Q, np.ones((4, 2)))
        with raises(ValueError, "leading axes must broadcast, got query (2,), key (3,)"):
            function(np.ones((2, 2, 3)), np.ones((3, 4, 3)))


def test_kinds_do_not_mix(raises):
    message = ("all arrays must be of one kind, got query numpy.ndarray, key torch.Tensor, "
               "value torch.Tensor")
    with raises(TypeError, message):
        attention(Q, torch.ones(4, 3), torch.ones(4, 5))
    with raises(TypeError, "mask must be of the query's kind or numpy, got torch.Tensor"):
        attention(Q, K, V, mask=torch.ones(2, 4, dtype=torch.bool))


def test_a_scale_of_another_kind_is_named(raises):
    with raises(TypeError, "all arrays must be of one kind, got query numpy.ndarray, "
                           "scale torch.Tensor"):
        attention(Q, K, V, scale=torch.tensor(0.5))


def test_two_devices_are_named(raises):
    x = torch.ones(2, 3)
    with raises(ValueError, "all arrays must be on one device, got query on cpu, key on meta, "
                            "value on cpu"):
        attention(x, x.to("meta"), x)
    with raises(ValueError, "all arrays must be on one device, got query on cpu, mask on meta"):
        attention(x, x, x, mask=torch.ones(2, 2, dtype=torch.bool, device="meta"))


@pytest.mark.parametrize("axis, error, message", [
    (2, ValueError, "axis must be one of scores (2, 3), got 2"),
    (-3, ValueError, "axis must be at least -2, got -3"),
    (None, TypeError, "axis must be a whole number, got None"),
    (1.0, TypeError, "axis must be a whole number, got 1.0"),
])
def test_an_axis_that_is_not_there_is_named(raises, axis, error, message):
    with raises(error, message):
        softmax(np.ones((2, 3)), axis=axis)


def test_bad_input_of_softmax_is_named(raises):
    with raises(TypeError, "scores must be an array (numpy or torch), got list"):
        softmax([1.0])
    with raises(TypeError, "scores must be real floating, got int64"):
        softmax(np.arange(3))


@pytest.mark.parametrize("change", [
    {"output_b": np.ones((2, 4))}, {"lse_a": np.ones(3)}, {"lse_b": np.ones((2, 1))},
    {"output_a": np.ones((3, 3)), "output_b": np.ones((3, 3))},
])
def test_bad_parts_are_named(raises, change):
    parts = {"output_a": np.ones((2, 3)), "lse_a": np.ones(2),
             "output_b": np.ones((2, 3)), "lse_b": np.ones(2), **change}
    got = ", ".join(f"{name} {x.shape}" for name, x in parts.items())
    with raises(ValueError, "two partial results need outputs of one shape (..., n_q, d_v) and "
                            f"lse of shape (..., n_q), got {got}"):
        merge_partials(**parts)


@pytest.mark.parametrize("change", [
    {"query": np.ones(2)}, {"key": np.ones(3)}, {"w_query": np.ones((3, 4))},
    {"w_query": np.ones((2, 5))}, {"w_key": np.ones((2, 4))}, {"w_key": np.ones((3, 1))},
    {"v": np.ones((4, 1))}, {"v": np.ones(())},
    {"v": np.ones((4, 1)), "w_query": np.ones((2, 4, 1)), "w_key": np.ones((3, 4, 1))},
])
def test_bad_additive_input_is_named(raises, change):
    parts = {"query": np.ones((2, 2)), "key": np.ones((5, 3)), "w_query": np.ones((2, 4)),
             "w_key": np.ones((3, 4)), "v": np.ones(4), **change}
    got = ", ".join(f"{name} {x.shape}" for name, x in parts.items())
    with raises(ValueError, "additive scores need query (..., n_q, d_q), key (..., n_k, d_k), "
                            f"w_query (d_q, d_a), w_key (d_k, d_a), v (d_a,), got {got}"):
        additive_scores(**parts)


def test_bad_leading_axes_of_additive_input_are_named(raises):
    with raises(ValueError, "leading axes must broadcast, got query (2,), key (3,)"):
        additive_scores(np.ones((2, 1, 1)), np.ones((3, 1, 1)), np.ones((1, 1)), np.ones((1, 1)),
                        np.ones(1))
