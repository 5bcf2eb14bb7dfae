"""attnlib under other people's machinery: autocast, compilers, vmap, jax, ambient settings."""

import itertools
import shutil
import warnings

import jax
import numpy as np
import pytest
import torch
from torch import nn
from transforms import (
    COLUMNS,
    DIAGNOSTICS,
    EQUATIONS,
    FUNCTIONS,
    LAYERS,
    STORED,
    WANTING,
    applies,
    markdown,
)

import attnlib

CELLS = [(name, column) for name, column in itertools.product(FUNCTIONS, COLUMNS)
         if applies(name, column)]
pytestmark = [pytest.mark.filterwarnings(f"ignore:{warning}") for warning in (
    # array_api_compat caches what it knows of a type; Dynamo makes a Function of our own anew
    "Dynamo detected a call to a `functools.lru_cache`-wrapped function:UserWarning",
    "<class 'torch.autograd.function.Function'> should not be instantiated:DeprecationWarning")]


def inputs(name, dtype=torch.float32, batch=()):
    """Arguments for a function: shares for diagnostics, tokens for a language model."""
    generator = torch.Generator().manual_seed(0)
    if name == "LanguageModel":
        return [torch.randint(7, (*batch, 2, 5), generator=generator)]
    arrays = [torch.randn(*batch, *shape, generator=generator).to(dtype)
              for shape in FUNCTIONS[name][0]]
    return [x.softmax(-1) for x in arrays] if name in DIAGNOSTICS else arrays


def callable_of(name):
    """The function with its keywords bound, or the layer, as one thing to call with arrays."""
    keywords = FUNCTIONS[name][1]
    if name in LAYERS:
        torch.manual_seed(0)
        return getattr(attnlib, name)(**keywords)
    return lambda *arrays: getattr(attnlib, name)(*arrays, **keywords)


def outputs(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def assert_same(actual, expected, atol=1e-6):
    for a, b in zip(outputs(actual), outputs(expected), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=0, atol=atol)


class Wrapped(nn.Module):
    """A function as a module, which is what torch.export takes."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *arrays):
        return self.function(*arrays)


def under_autocast(function, name):
    arrays = inputs(name)
    expected = function(*arrays)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = function(*arrays)
    if name in LAYERS:  # their linear maps do round: that is what autocast is for
        for a, b in zip(outputs(actual), outputs(expected)):
            torch.testing.assert_close(a.float(), b, rtol=0, atol=0.1)
    else:
        assert_same(actual, expected, atol=0)


def compiled(function, name):
    torch._dynamo.reset()
    arrays = inputs(name)
    assert_same(torch.compile(function, fullgraph=True, backend="eager")(*arrays),
                function(*arrays))


def exported(function, name):
    arrays = inputs(name)
    module = function if name in LAYERS else Wrapped(function)
    program = torch.export.export(module, tuple(arrays))
    assert_same(program.module()(*arrays), function(*arrays))


def mapped(function, name):
    """Every argument has an axis more; then only the first has."""
    many, one = inputs(name, batch=(3,)), inputs(name)
    for arrays, dims in ((many, [0] * len(many)),
                         ([many[0], *one[1:]], [0, *[None] * len(one[1:])])):
        expected = [outputs(function(*(x[i] if dim == 0 else x for x, dim in zip(arrays, dims))))
                    for i in range(3)]
        actual = torch.func.vmap(function, in_dims=tuple(dims))(*arrays)
        assert_same(actual, [torch.stack(x) for x in zip(*expected)])


def jitted(function, name):
    arrays = [x.numpy() for x in inputs(name)]
    actual = jax.jit(function)(*map(jax.numpy.asarray, arrays))
    for a, b in zip(outputs(actual), outputs(function(*arrays))):
        np.testing.assert_allclose(np.asarray(a), b, rtol=0, atol=2e-6)


def differentiated(function, name):
    """`torch.func.grad`, and `jacrev`, which maps over `vjp`."""
    arrays = inputs(name, torch.float64)
    if name in LAYERS:
        function = function.double()

    def loss(*arrays):
        return sum(x.square().sum() for x in outputs(function(*arrays)))

    which = tuple(range(len(arrays)))
    leaves = [x.clone().requires_grad_() for x in arrays]
    expected = torch.autograd.grad(loss(*leaves), leaves)
    assert_same(torch.func.grad(loss, which)(*arrays), expected, 1e-12)
    first = torch.func.jacrev(lambda *x: outputs(function(*x))[0], which)(*arrays)
    again = torch.autograd.functional.jacobian(lambda *x: outputs(function(*x))[0], tuple(arrays))
    assert_same(first, again, 1e-12)


def without_numbers(function, name):
    expected = outputs(function(*inputs(name)))
    if name in LAYERS:
        function = function.to("meta")
    actual = outputs(function(*(x.to("meta") for x in inputs(name))))
    assert [(x.shape, x.dtype, x.device.type) for x in actual] == [
        (x.shape, x.dtype, "meta") for x in expected]


RUN = dict(zip(COLUMNS, (under_autocast, compiled, exported, mapped, jitted, differentiated,
                         without_numbers), strict=True))


@pytest.mark.parametrize("name, column", CELLS)
def test_a_cell_of_the_table(name, column):
    if (name, column) in WANTING:
        with pytest.raises(Exception):  # noqa: B017  whatever torch says: it does not work
            RUN[column](callable_of(name), name)
    else:
        RUN[column](callable_of(name), name)


def test_the_stored_table_is_this_one():
    assert STORED.read_text(encoding="utf-8") == markdown(), "run: python tests/transforms.py"
    assert set(WANTING) <= set(CELLS)


def test_every_function_of_arrays_is_in_the_table():
    elsewhere = {  # made from numbers; lists; a ring of processes; a function; a table; a cache
        "alibi_bias", "causal_mask", "padding_mask", "sinusoidal_positions", "window_mask",
        "zigzag_positions", "reachable", "rollout", "ring_attention", "receptive_field",
        "LearnedPositions", "KeyValueCache"}
    assert set(FUNCTIONS) | elsewhere == set(attnlib.__all__)
    assert not set(FUNCTIONS) & elsewhere


# Called inside what is traced: what is made from numbers, lists or lengths; numpy beside tensors.


def with_lengths(function):
    """A function of x (..., 5, 4) and, for each sequence, its length."""
    return lambda x, lengths: function(x, padding_mask(lengths, x.shape[-2]))


MASK, BIAS = np.tri(5, dtype=bool), np.arange(5, dtype="float32")
attention, padding_mask, split = attnlib.attention, attnlib.padding_mask, attnlib.split_heads
INSIDE = {
    "causal_mask": lambda x, _: attention(x, x, x, mask=attnlib.causal_mask(x.shape[-2])),
    "window_mask": lambda x, _: attention(
        x, x, x, mask=attnlib.window_mask(x.shape[-2], window=2, causal=True)),
    "masks together": lambda x, _: attention(
        x, x, x, mask=attnlib.causal_mask(5) & padding_mask(4, 5)),
    "padding_mask of a list": lambda x, _: attention(x, x, x, mask=padding_mask([4], 5)[0]),
    "padding_mask of lengths": with_lengths(lambda x, mask: attention(x, x, x, mask=mask)),
    "sinusoidal_positions": lambda x, _: attention(
        x, x, x, bias=attnlib.sinusoidal_positions(x.shape[-2], 4)[:, 0]),
    "alibi_bias": lambda x, _: attention(
        *[split(x, 2)] * 3, bias=attnlib.alibi_bias(2, x.shape[-2])),
    "a list of positions": lambda x, _: attnlib.rotate(x, [0, 2, 4, 6, 9]),
    "positions of numpy": lambda x, _: attnlib.rotate(x, 0.5 * BIAS),
    "a mask and a bias of numpy": lambda x, _: attention(x, x, x, mask=MASK, bias=BIAS),
}


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("tracer", ["compile", "export", "vmap", "jit", "meta"])
def test_masks_and_positions_may_be_made_while_others_trace(name, tracer):
    function, x, lengths = INSIDE[name], inputs("rotate")[0], torch.tensor([2, 5])
    expected = function(x, lengths)
    if tracer == "compile":
        torch._dynamo.reset()
        actual = torch.compile(function, fullgraph=True, backend="eager")(x, lengths)
    elif tracer == "export":
        actual = torch.export.export(Wrapped(function), (x, lengths)).module()(x, lengths)
    elif tracer == "vmap":
        actual = torch.func.vmap(function)(x, lengths)
    elif tracer == "jit":
        actual = torch.from_numpy(np.array(jax.jit(function)(x.numpy(), lengths.numpy())))
    else:
        actual = function(x.to("meta"), lengths.to("meta"))
        assert actual.shape == expected.shape and actual.is_meta
        return
    assert_same(actual, expected, 2e-6)


# What the table has no column for.


FLOATING = [name for name in FUNCTIONS if name != "LanguageModel"]


@pytest.mark.parametrize("name", FLOATING)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_keeps_what_low_precision_promises(name, dtype):
    """Float32 in, float32 out and exact; half in, what it gives without autocast."""
    function = callable_of(name)
    for given in (torch.float32, dtype):
        if name in LAYERS:
            function = function.to(torch.float32)
            arrays = inputs(name, given)
            with torch.autocast("cpu", dtype=dtype):
                actual = function(*arrays)
            expected = function(*(x.float() for x in arrays))
            torch.testing.assert_close(actual.float(), expected, rtol=0, atol=0.1)
            continue
        arrays = inputs(name, given)
        expected = function(*arrays)
        with torch.autocast("cpu", dtype=dtype):
            actual = function(*arrays)
        assert_same(actual, expected, atol=0)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("mode", [
    "no_grad", "inference_mode", "deterministic", "float64", "device"])
def test_ambient_settings_change_nothing(name, mode):
    function, arrays = callable_of(name), inputs(name)
    expected = function(*arrays)
    try:
        if mode == "deterministic":
            torch.use_deterministic_algorithms(True)
        if mode == "float64":
            torch.set_default_dtype(torch.float64)
        if mode == "device":
            torch.set_default_device("meta")
        if mode in ("no_grad", "inference_mode"):
            with getattr(torch, mode)():
                actual = function(*arrays)
        else:
            actual = function(*arrays)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert_same(actual, [x.detach() for x in outputs(expected)], atol=0)


@pytest.mark.parametrize("name", EQUATIONS | DIAGNOSTICS)
def test_the_strictest_array_api(name):
    """array-api-strict: nothing but what the standard has."""
    import array_api_strict

    arrays = [x.numpy() for x in inputs(name)]
    actual = callable_of(name)(*map(array_api_strict.asarray, arrays))
    for a, b in zip(outputs(actual), outputs(callable_of(name)(*arrays))):
        np.testing.assert_allclose(np.asarray(a), b, rtol=0, atol=2e-6)


@pytest.mark.parametrize("keywords", [
    dict(mask=np.tri(5, dtype=bool)), dict(bias=np.zeros((5, 5), np.float32)),
    dict(window=2), dict(scale=0.5)])
def test_every_keyword_of_attention_under_jit_and_compile(keywords):
    arrays = inputs("attention")

    def function(*arrays):
        return attnlib.attention(*arrays, **keywords)

    expected = function(*arrays)
    jitted = jax.jit(function)(*(jax.numpy.asarray(x.numpy()) for x in arrays))
    np.testing.assert_allclose(np.asarray(jitted), expected, rtol=0, atol=2e-6)
    keywords = {name: torch.from_numpy(x) if isinstance(x, np.ndarray) else x
                for name, x in keywords.items()}
    torch._dynamo.reset()
    assert_same(torch.compile(function, fullgraph=True, backend="eager")(*arrays), expected)


def test_jax_differentiates_attention():
    arrays = [jax.numpy.asarray(x.numpy()) for x in inputs("attention")]
    leaves = [x.requires_grad_() for x in inputs("attention")]

    def loss(*arrays):
        return (attnlib.attention(*arrays, causal=True) ** 2).sum()

    expected = torch.autograd.grad(loss(*leaves), leaves)
    for a, b in zip(jax.jit(jax.grad(loss, (0, 1, 2)))(*arrays), expected):
        np.testing.assert_allclose(np.asarray(a), b, rtol=0, atol=2e-5)


def test_positions_may_be_traced():
    """A tensor of positions turns as its numbers do, under vmap, compile and jit."""
    x, positions = torch.randn(2, 5, 4), torch.arange(10).reshape(2, 5) * 0.5
    expected = attnlib.rotate(x, positions.numpy())
    assert_same(attnlib.rotate(x, positions), expected)
    assert_same(torch.func.vmap(attnlib.rotate)(x, positions), expected)
    torch._dynamo.reset()
    assert_same(torch.compile(attnlib.rotate, fullgraph=True, backend="eager")(x, positions),
                expected)
    actual = jax.jit(attnlib.rotate)(*(jax.numpy.asarray(a.numpy()) for a in (x, positions)))
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=0, atol=1e-6)


def test_a_language_model_looks_at_its_tokens_in_eager_calls_alone():
    model, bad = callable_of("LanguageModel"), torch.tensor([[1, 7]])
    with pytest.raises(ValueError, match="0 to 6"):
        model(bad)
    assert model.to("meta")(bad.to("meta")).shape == (1, 2, 7)


@pytest.mark.parametrize("positions", attnlib.layers.POSITIONS)
def test_every_kind_of_language_model_compiles_whole_and_exports(positions):
    torch._dynamo.reset()
    model = attnlib.LanguageModel(7, 4, 2, 1, positions=positions, length=9, window=3)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    for n in (4, 5, 7):  # of another length: compiled again, for any
        tokens = torch.arange(n)[None] % 7
        assert_same(compiled(tokens), model(tokens))
    assert_same(torch.export.export(model, (tokens,)).module()(tokens), model(tokens))


@pytest.mark.skipif(not shutil.which("g++"), reason="inductor needs a C++ compiler")
@pytest.mark.parametrize("name", ["attention", "LanguageModel", pytest.param(
    "local_attention", marks=pytest.mark.whole)])
def test_inductor_computes_the_same(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # for this processor, and no other
    torch._dynamo.reset()
    arrays = inputs(name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="torch")
        actual = torch.compile(callable_of(name), fullgraph=True)(*arrays)
    assert_same(actual, callable_of(name)(*arrays), atol=1e-5)


def test_second_derivatives_of_attention_exist():
    arrays = [x[0].double().requires_grad_() for x in inputs("attention")]
    assert torch.autograd.gradgradcheck(lambda *x: attnlib.attention(*x, causal=True), arrays)


