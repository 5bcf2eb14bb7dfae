"""Positions against the papers' formulas, and the laws that make them useful."""

import math
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import laid_out, narrowed
from torch.autograd import gradcheck

from attnlib import alibi_bias, attention_scores, positions, rotate, sinusoidal_positions
from attnlib.masks import steps_back

seeds = st.integers(0, 2**32 - 1)
widths = st.sampled_from([0, 2, 4, 10])


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def close(actual, expected, atol=1e-12):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


# Sinusoids.


@given(n=st.integers(0, 40), dim=widths)
def test_sinusoids_equal_the_formula(n, dim):
    table = sinusoidal_positions(n, dim)
    assert table.shape == (n, dim) and table.dtype == np.float64
    for p in range(n):
        for c in range(dim):
            angle = p / 10000 ** (2 * (c // 2) / dim)
            close(table[p, c], math.cos(angle) if c % 2 else math.sin(angle))


@given(dim=st.sampled_from([2, 6, 16]), step=st.integers(0, 9))
def test_a_step_is_one_linear_map_wherever_it_is_taken(dim, step):
    table = sinusoidal_positions(60 + step, dim)
    turns = table[:, 1::2] + 1j * table[:, 0::2]  # cosine + i sine
    close(turns[step:], turns[:60] * turns[step])


# Rotary.


@given(seed=seeds, leading=st.sampled_from([(), (2,), (2, 3), (0,)]), n=st.integers(0, 5),
       dim=widths, base=st.sampled_from([10000.0, 100, 2.5, 0.5]), data=st.data())
def test_rotation_is_a_product_of_complex_numbers(kind, seed, leading, n, dim, base, data):
    x = normal(seed, *leading, n, dim)
    positions = 50 * normal(seed + 1, *narrowed(data.draw, (*leading, n)))
    pairs = x[..., 0::2] + 1j * x[..., 1::2]
    turns = np.exp(1j * positions[..., None] * base ** (-2 * np.arange(dim // 2) / max(dim, 1)))
    expected = np.empty(x.shape)
    expected[..., 0::2], expected[..., 1::2] = (pairs * turns).real, (pairs * turns).imag
    given_x = kind.array(laid_out(data.draw, x))
    before = kind.read(given_x).copy()
    listed = [positions.tolist()] * (positions.size > 0)  # a list of no rows has lost their length
    for given_positions in (positions, *listed, kind.array(positions)):
        close(kind.read(rotate(given_x, given_positions, base)), expected)
    np.testing.assert_array_equal(kind.read(given_x), before)


def test_rotation_by_hand(kind):
    """dim 4: the first pair turns one radian a position, the second a hundredth."""
    x = np.array([[9.0, 9.0, 9.0, 9.0], [1.0, 0.0, 0.0, 1.0]])
    turned = kind.read(rotate(kind.array(x)))
    close(turned, [x[0], [math.cos(1), math.sin(1), -math.sin(0.01), math.cos(0.01)]])


def test_positions_count_from_zero_if_not_given(kind):
    x = kind.array(normal(0, 2, 5, 4))
    np.testing.assert_array_equal(kind.read(rotate(x)), kind.read(rotate(x, np.arange(5))))
    np.testing.assert_array_equal(kind.read(rotate(x)), kind.read(rotate(x, base=1e4)))


@given(seed=seeds, apart=st.integers(-9, 9), start=st.integers(0, 1000),
       moved=st.integers(0, 1000))
def test_scores_depend_on_distance_alone(kind, seed, apart, start, moved):
    query, key = kind.array(normal(seed, 1, 8)), kind.array(normal(seed + 1, 1, 8))

    def score(at):
        return kind.read(attention_scores(rotate(query, [at + apart]), rotate(key, [at])))

    close(score(start), score(moved), 1e-11)
    if apart and start != moved:  # and do depend on it
        assert (score(start) != kind.read(attention_scores(query, key))).any()


@given(seed=seeds, position=st.integers(-10**6, 10**6))
def test_rotation_keeps_norms(kind, seed, position):
    x = normal(seed, 3, 6)
    turned = kind.read(rotate(kind.array(x), [position] * 3))
    close(np.linalg.norm(turned, axis=-1), np.linalg.norm(x, axis=-1))


@given(seed=seeds, cached=st.integers(0, 6), new=st.integers(0, 6))
def test_positions_after_a_cache(kind, seed, cached, new):
    x = normal(seed, 2, cached + new, 4)
    whole = kind.read(rotate(kind.array(x)))
    later = kind.read(rotate(kind.array(x[:, cached:]), cached + np.arange(new)))
    np.testing.assert_array_equal(later, whole[:, cached:])


@pytest.mark.parametrize("position", [1, 4000, 10**6])
def test_low_precision_turns_in_float32_by_exact_angles(kind_and_dtype, position):
    kind, dtype = kind_and_dtype
    x = kind.cast(kind.array(normal(0, 50, 8)), dtype)
    turned = rotate(x, [position] * 50)
    assert turned.dtype == x.dtype
    exact = rotate(np.asarray(kind.read(x), dtype="float64"), [position] * 50)
    error = {"float16": 2e-3, "bfloat16": 1e-2, "float32": 1e-6, "float64": 1e-15}[dtype]
    close(kind.read(turned), exact, error)
    if dtype in ("float16", "bfloat16"):  # one rounding, of the result
        rounded = kind.read(kind.cast(kind.array(exact.astype("float32")), dtype))
        assert (kind.read(turned) == rounded).mean() > 0.99


def test_rotation_of_float32_is_computed_in_float32(kind):
    x = normal(0, 6, 4).astype("float32")
    angles = np.arange(6)[:, None] * 10000.0 ** np.array([0.0, -0.5])
    cos, sin = np.cos(angles).astype("float32"), np.sin(angles).astype("float32")
    expected = np.stack((x[:, 0::2] * cos - x[:, 1::2] * sin,
                         x[:, 0::2] * sin + x[:, 1::2] * cos), axis=-1).reshape(6, 4)
    np.testing.assert_array_equal(kind.read(rotate(kind.array(x))), expected, strict=True)


def test_numpys_positions_are_made_tensors_where_torch_has_no_values():
    x, places = torch.from_numpy(normal(0, 3, 4)), np.array([5, 0, 2])
    eager = rotate(x, places)
    with (mock.patch("torch.compiler.is_compiling", return_value=True), torch.device("meta"),
          mock.patch("attnlib.positions._angles", side_effect=positions._angles) as angles):
        assert torch.equal(rotate(x, places), eager)
    assert angles.call_args.args[0].device.type == "cpu"


def test_rotation_has_its_gradient():
    x = torch.from_numpy(normal(0, 2, 3, 4)).requires_grad_()
    assert gradcheck(lambda x: rotate(x, [5, 6, 7]), x)


def test_rotation_stays_on_its_device():
    with mock.patch("attnlib.positions._angles", side_effect=positions._angles) as angles:
        assert rotate(torch.ones(3, 4, device="meta")).device.type == "meta"
    assert angles.call_args.args[0].device.type == "cpu"  # where there is float64
    with torch.device("meta"):
        assert rotate(torch.ones(3, 4, device="cpu")).device.type == "cpu"


# ALiBi.


@pytest.mark.parametrize("heads, slopes", [
    (1, [2**-8]),
    (2, [2**-4, 2**-8]),
    (8, [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256]),
    (3, [2**-4, 2**-8, 2**-2]),
    (6, [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3]),
    (12, [2**-1, 2**-2, 2**-3, 2**-4, 2**-5, 2**-6, 2**-7, 2**-8,
          2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5]),
])
def test_slopes_are_the_papers(heads, slopes):
    close(alibi_bias(heads, 1, 2)[:, 0, 0], -np.array(slopes))


@given(heads=st.integers(1, 40), n_q=st.integers(0, 5), n_k=st.integers(0, 5))
def test_bias_falls_with_the_distance_on_both_sides(heads, n_q, n_k):
    bias = alibi_bias(heads, n_q, n_k)
    assert bias.shape == (heads, n_q, n_k) and bias.dtype == np.float64
    slopes = -alibi_bias(heads, 1, 2)[:, 0, 0]
    assert len(set(slopes)) == heads and (0 < slopes).all() and (slopes < 1).all()
    close(bias, -slopes[:, None, None] * np.abs(steps_back(n_q, n_k)))


def test_one_length_means_as_many_keys():
    np.testing.assert_array_equal(alibi_bias(np.int64(3), 4), alibi_bias(3, 4, 4))


def test_the_diagonal_is_zero_and_both_sides_fall():
    close(alibi_bias(1, 3)[0] * -256, [[0, 1, 2], [1, 0, 1], [2, 1, 0]])


# Bad input.


X = np.ones((2, 3, 4))


@pytest.mark.parametrize("run, error, message", [
    (lambda: sinusoidal_positions(-1, 2), ValueError, "n must be at least 0, got -1"),
    (lambda: sinusoidal_positions(2, -2), ValueError, "dim must be at least 0, got -2"),
    (lambda: sinusoidal_positions(2, 2.0), TypeError, "dim must be a whole number, got 2.0"),
    (lambda: sinusoidal_positions(2.0, 2), TypeError, "n must be a whole number, got 2.0"),
    (lambda: sinusoidal_positions(2, 3), ValueError,
     "dim must be even (sines and cosines come in pairs), got 3"),
    (lambda: rotate([[1.0, 2.0]]), TypeError, "x must be an array (numpy or torch), got list"),
    (lambda: rotate(np.ones((2, 2), dtype=int)), TypeError, "x must be real floating, got int64"),
    (lambda: rotate(np.ones((2, 3))), ValueError,
     "x must be (..., n, dim) with an even dim, got x (2, 3)"),
    (lambda: rotate(np.ones(4)), ValueError,
     "x must be (..., n, dim) with an even dim, got x (4,)"),
    (lambda: rotate(X, base=0), ValueError,
     "base must be finite and above 0, got 0"),
    (lambda: rotate(X, base=-2.0), ValueError,
     "base must be finite and above 0, got -2.0"),
    (lambda: rotate(X, base="a"), TypeError, "base must be a number, got 'a'"),
    (lambda: rotate(X, [[1, 2], [3]]), ValueError,
     "positions must have as many numbers in each row, got [[1, 2], [3]]"),
    (lambda: rotate(X, base=math.nan), ValueError,
     "base must be finite and above 0, got nan"),
    (lambda: rotate(X, np.arange(4)), ValueError,
     "positions must broadcast to the (..., n) of x, got positions (4,) and x (2, 3, 4)"),
    (lambda: rotate(X, np.ones((3, 3))), ValueError,
     "positions must broadcast to the (..., n) of x, got positions (3, 3) and x (2, 3, 4)"),
    (lambda: rotate(X, torch.arange(3)), TypeError,
     "positions must be of the kind of x, or numpy, got torch.Tensor"),
    (lambda: rotate(X, np.ones((5, 2, 3))), ValueError,
     "positions must broadcast to the (..., n) of x, got positions (5, 2, 3) and x (2, 3, 4)"),
    (lambda: rotate(X, [True, False, True]), TypeError,
     "positions must be real numbers, got bool"),
    (lambda: rotate(X, [1j, 0, 0]), TypeError, "positions must be real numbers, got complex128"),
    (lambda: alibi_bias(0, 2), ValueError, "heads must be at least 1, got 0"),
    (lambda: alibi_bias(2.0, 2), TypeError, "heads must be a whole number, got 2.0"),
    (lambda: alibi_bias(2, -1), ValueError, "n_q must be at least 0, got -1"),
    (lambda: alibi_bias(2, 1, 2.5), TypeError, "n_k must be a whole number, got 2.5"),
])
def test_bad_input_is_named(raises, run, error, message):
    with raises(error, message):
        run()
