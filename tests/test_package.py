"""The package: its names, what loads when, and what it says where torch is missing."""

import inspect
import subprocess
import sys

import pytest

import attnlib

EQUATIONS = {
    "attention_scores", "softmax", "attention_weights", "attention", "additive_scores",
    "partial_attention", "merge_partials", "causal_mask", "padding_mask", "window_mask",
    "sinusoidal_positions", "rotate", "alibi_bias", "split_heads", "merge_heads", "repeat_heads",
    "entropy", "effective_keys", "top_mass", "mean_distance", "rollout", "rank_one_residual",
    "receptive_field", "reachable", "head_similarity",
}
NEED_TORCH = {
    "LearnedPositions", "MultiHeadAttention", "KeyValueCache", "Block", "FeedForward", "Encoder",
    "Decoder", "LanguageModel", "local_attention", "chunked_attention", "hierarchical_attention",
    "ring_attention", "selected_attention", "zigzag_positions",
}
NO_TORCH = "import sys; sys.modules['torch'] = None; "  # what an import of torch then meets


def run(code):
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, text=True,
                          capture_output=True).stdout.strip()


def test_these_are_the_public_names():
    assert set(attnlib.__all__) == EQUATIONS | NEED_TORCH
    assert set(attnlib.__all__) <= set(dir(attnlib))


def documented():
    """Every public function, class and method, by its path."""
    for name in sorted(EQUATIONS | NEED_TORCH):
        thing = getattr(attnlib, name)
        yield name, thing
        for method, inner in vars(thing).items() if isinstance(thing, type) else ():
            if not method.startswith("_") and (callable(inner) or isinstance(inner, property)):
                yield f"{name}.{method}", inner


DOCUMENTED = dict(documented())


@pytest.mark.parametrize("path", DOCUMENTED)
def test_every_public_name_is_documented(path):
    """Shapes and errors of all; a source and an example of what stands by itself."""
    thing = DOCUMENTED[path]
    words = thing.__doc__ or ""
    function = getattr(thing, "fget", None) or (thing.__init__ if isinstance(thing, type)
                                                else thing)
    names = [name for name in inspect.signature(function).parameters if name != "self"]
    takes = [section for section, wanted in (
        ("Args:", names),
        ("Returns:", names and not isinstance(thing, type) and path not in CHANGES_ITS_OBJECT),
        ("Raises:", names and path not in RAISES_NOTHING),
        ("Source:", "." not in path), (">>>", not path.endswith(".forward"))) if wanted]
    missing = [section for section in takes if section not in words]
    assert not missing, missing
    if "Args:" in words:
        described = words[words.index("Args:"):]
        assert not [name for name in names if name not in described]


CHANGES_ITS_OBJECT = {"KeyValueCache.reorder", "KeyValueCache.crop"}
RAISES_NOTHING = {"FeedForward.forward"}


def test_equations_load_without_torch_and_modules_when_first_used():
    seen = run("import sys, attnlib; print([m in sys.modules for m in "
               "('torch', 'matplotlib', 'IPython', 'attnlib.layers', 'attnlib.multilevel')])")
    assert seen == str([False] * 5)
    seen = run("import sys, attnlib; attnlib.local_attention; print([m in sys.modules for m in "
               "('torch', 'attnlib.layers', 'attnlib.multilevel')], attnlib.layers.__name__)")
    assert seen == "[True, False, True] attnlib.layers"


def test_equations_work_where_torch_is_missing():
    assert run(NO_TORCH + "import numpy as np, attnlib; x = np.eye(2); "
               "print(attnlib.attention(attnlib.rotate(x), x, x, causal=True)[0])") == "[1. 0.]"


def test_what_needs_torch_says_so_where_it_is_missing():
    names = [*sorted(NEED_TORCH), "layers", "multilevel"]
    said = run(NO_TORCH + f"""
import attnlib
for name in {names}:
    try:
        getattr(attnlib, name)
    except ModuleNotFoundError as error:
        print(error.name, error)
""")
    assert said.splitlines() == [
        f"torch attnlib.{name} needs PyTorch: pip install torch" for name in names]


def test_an_unknown_name_is_named(raises):
    with raises(AttributeError, "module 'attnlib' has no attribute 'atention'"):
        _ = attnlib.atention


def test_an_error_inside_a_module_is_not_taken_for_missing_torch(monkeypatch):
    def broken(name, package):
        raise ModuleNotFoundError("No module named 'other'", name="other")

    monkeypatch.setattr(attnlib, "import_module", broken)
    monkeypatch.delitem(vars(attnlib), "layers", raising=False)
    with pytest.raises(ModuleNotFoundError, match="^No module named 'other'$"):
        _ = attnlib.layers


def test_from_import_of_every_name():
    assert run("from attnlib import *; print(LanguageModel.__name__, attention.__name__)") == (
        "LanguageModel attention")
