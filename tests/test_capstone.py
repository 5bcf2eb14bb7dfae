"""Chapter 9 with the parts of a reader: none of them, all of them, and one that is subtly wrong.

What runs is the chapter's own cells, from its first to the one that compares; nothing is trained
but for a few steps.
"""

import contextlib
import io
import re

import nbformat
import numpy as np
import pytest
import torch

from attnlib import parts, tasks
from attnlib.exercises import assembling
from press.chapters import ROOT, tags

COMPARES = "own = assembling.compare"
OWN = {  # the six parts as a reader may write them, from nothing but torch
    "attend": """
def attend(query, key, value, mask):
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    scores = scores.masked_fill(~mask, float("-inf"))
    top = scores.amax(-1, keepdim=True)
    part = torch.exp(scores - torch.where(top.isfinite(), top, 0.0))
    total = part.sum(-1, keepdim=True)
    return part @ value / torch.where(total > 0, total, 1.0)
""",
    "causal": """
def causal(n_q, n_k):
    at = torch.arange(n_k - n_q, n_k)
    return torch.arange(n_k) <= at[:, None]
""",
    "turn": """
def turn(x, positions):
    pairs = torch.arange(x.shape[-1] // 2)
    angle = positions[:, None] / 10000 ** (2 * pairs / x.shape[-1])
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = (even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos())
    return torch.stack(turned, -1).flatten(-2)
""",
    "all_heads": """
def all_heads(x, memory, weights, heads, find):
    w_query, w_key, w_value, w_out = weights
    def apart(y):
        return y.unflatten(-1, (heads, -1)).transpose(-2, -3)
    found = find(apart(x @ w_query), apart(memory @ w_key), apart(memory @ w_value))
    return found.transpose(-2, -3).flatten(-2) @ w_out
""",
    "block": """
def block(x, look, work):
    for step in (look, work):
        away = x - x.mean(-1, keepdim=True)
        x = x + step(away / torch.sqrt((away ** 2).mean(-1, keepdim=True) + 1e-5))
    return x
""",
    "decoder_block": """
def decoder_block(x, memory, look, ask, work):
    def norm(x):
        away = x - x.mean(-1, keepdim=True)
        return away / torch.sqrt((away ** 2).mean(-1, keepdim=True) + 1e-5)
    x = x + look(norm(x))
    x = x + ask(norm(x), memory)
    return x + work(norm(x))
""",
}
SUBTLE = [  # (part, what is written instead, how it is named)
    ("attend", "query.shape[-1] ** 0.5", "query.shape[-1]", "it is scaled by d_k, not by its root"),
    ("attend", ".masked_fill(~mask, float(\"-inf\"))", " * mask", "gives hidden keys the score 0"),
    ("attend", "torch.where(total > 0, total, 1.0)", "total", "NaN, and should be 0"),
    ("causal", "torch.arange(n_k - n_q, n_k)", "torch.arange(n_q)", "aligned at the top left"),
    ("causal", "<=", "<", "hides each position from itself"),
    ("turn", "x[..., 0::2], x[..., 1::2]", "x.chunk(2, -1)", "numbers differ, the first at"),
    ("turn", "positions[:, None]", "(positions[:, None] + 1)", "counts positions from 1"),
    ("turn", "2 * pairs / x.shape[-1]", "pairs / x.shape[-1]", "fall with i/d, not with 2i/d"),
    ("turn", "positions[:, None]", "torch.arange(x.shape[-2])[:, None]", "does not use the pos"),
    ("all_heads", "y.unflatten(-1, (heads, -1)).transpose(-2, -3)",
     "y.reshape(*y.shape[:-2], heads, y.shape[-2], -1)", "splits by `reshape` alone"),
    ("all_heads", "found.transpose(-2, -3).flatten(-2)",
     "found.reshape(*found.shape[:-3], found.shape[-2], -1)", "merges by `reshape` alone"),
    ("all_heads", "apart(memory @ w_value)", "apart(x @ w_value)", "RuntimeError"),
    ("block", "x = x + step", "x = step", "puts what a step returns in the place"),
    ("block", "(away ** 2).mean(-1, keepdim=True)", "x.var(-1, keepdim=True)", "one less than"),
    ("block", "torch.sqrt((away ** 2).mean(-1, keepdim=True) + 1e-5)",
     "((away ** 2).mean(-1, keepdim=True).sqrt() + 1e-5)", "numbers differ, the first at"),
    ("decoder_block", "ask(norm(x), memory)", "ask(norm(x), norm(memory))", "normalises the mem"),
    ("decoder_block", "ask(norm(x), memory)", "ask(x, memory)", "does not normalise x before"),
    ("decoder_block", "x = x + ask", "x = ask", "takes the place of x, and is not added"),
]


def sources():
    """The code of the chapter, from its first cell to the one that compares, name by name."""
    notebook = nbformat.read(ROOT / "book" / "09_capstone.ipynb", as_version=4)
    cells = [cell.source for cell in notebook.cells
             if cell.cell_type == "code" and "figure" not in tags(cell)]
    last = next(i for i, source in enumerate(cells) if source.startswith(COMPARES))
    return cells[:last + 1]


def run(given=()):
    """The chapter's names after the comparison, and what it said."""
    scope, told = {}, io.StringIO()
    before = torch.get_default_dtype()
    try:
        with contextlib.redirect_stdout(told):
            for source in sources():
                part = re.match(r"# part \d[^\n]*(?:\n#[^\n]*)*\n(\w+) = parts\.\1$", source)
                exec(dict(given).get(part[1], source) if part else source, scope)
    finally:
        torch.set_default_dtype(before)
    return scope, " ".join(told.getvalue().split())


def test_each_part_has_a_cell_of_its_own():
    named = [re.findall(r"^(\w+) = parts\.\1$", source, re.M) for source in sources()]
    assert [name for names in named for name in names] == [*assembling.NAMES] == [*OWN]
    assert all(len(names) <= 1 for names in named)
    assert [source[:8] for source, names in zip(sources(), named, strict=True) if names] == [
        f"# part {number}" for number in range(1, 7)]


def test_with_no_part_of_ones_own():
    scope, told = run()
    assert told.startswith("○ Every part is attnlib's. The logits agree with attnlib's to 1e-5: "
                           "language model, translator.")
    assert all(getattr(scope["own"], name) is getattr(parts, name) for name in OWN)


def test_with_all_parts_ones_own():
    scope, told = run(OWN)
    assert told == ("✓ Every part is your own. The logits agree with attnlib's to 1e-5: language "
                    "model, translator.")
    assert all(getattr(scope["own"], name) is scope[name] for name in OWN)


def test_some_are_ones_own():
    _, told = run({name: OWN[name] for name in ("attend", "turn", "block")})
    assert told.startswith("✓ Your own: attention, rotary and block. The others are attnlib's.")


@pytest.mark.parametrize("name, right, wrong, how", SUBTLE)
def test_one_that_is_subtly_wrong_is_named(name, right, wrong, how):
    assert right in OWN[name]
    scope, told = run(OWN | {name: OWN[name].replace(right, wrong)})
    number = [*OWN].index(name) + 1
    begins = (f"✗ Every part is your own. The first part that departs is part {number}, "
              f"{assembling.NAMES[name]} (`{name}`): ")
    assert told.startswith(begins) and how in told, told
    assert told.endswith("From here on attnlib's stands in its place.")
    assert getattr(scope["own"], name) is getattr(parts, name)
    assert all(getattr(scope["own"], other) is scope[other] for other in OWN if other != name)


def test_the_first_of_two_comes_first():
    wrong = {"turn": OWN["turn"].replace("+ odd * angle.cos()", "- odd * angle.cos()"),
             "decoder_block": OWN["decoder_block"].replace("x = x + ask", "x = ask")}
    _, told = run(OWN | wrong)
    assert "The first part that departs is part 3, rotary (`turn`)" in told
    assert "After it: decoder block (`decoder_block`): what it found in the memory takes" in told


def test_numpy_cannot_learn_and_is_told_so():
    in_numpy = """
def turn(x, positions):
    return torch.tensor(attnlib.rotate(np.asarray(x.detach()), np.asarray(positions)))
"""
    scope, told = run({"turn": in_numpy})
    assert "its numbers are right, but no gradient gets through" in told and "in torch" in told
    assert scope["own"].turn is parts.turn


def test_an_error_without_a_word_is_told_by_its_name():
    def turn(x, positions):
        if x.requires_grad:
            raise NotImplementedError
        return parts.turn(x, positions)

    assert assembling.departure("turn", turn).endswith("in torch (NotImplementedError: )")


def test_a_fault_that_only_the_whole_model_shows_is_blamed_on_its_part():
    """Right on every trial, which are float64: wrong where it was not tried."""
    sly = OWN["attend"].replace("    return", "    if query.shape[-1] == 16:\n        total = 2 * "
                                "total\n    return")
    _, told = run(OWN | {"attend": sly})
    assert "part 1, attention (`attend`): in the translator, " in told
    assert "numbers differ, the first at" in told


@pytest.mark.parametrize("name", OWN)
def test_each_slip_is_named_as_itself_and_attnlib_as_none(name):
    assert assembling.departure(name, getattr(parts, name)) == ""
    for sentence, slip in assembling.SLIPS[name]:
        assert assembling.departure(name, slip) == sentence


def test_the_same_parts_learn_the_same():
    """A few steps of training, several runs at once, by parts of attnlib and of a reader."""
    def losses(scope):
        def make():
            return dict(scope["Translator"](12, 11).state_dict())

        def loss(w, source, target):
            scores = scope["digit_scores"](scope["own"], w, source, target[:, :-1])
            return torch.nn.functional.cross_entropy(scores.flatten(0, 1), target[:, 1:].flatten())

        def draw(rng):
            return rng.integers(12, size=(4, 5)), rng.integers(11, size=(4, 6))

        return tasks.train(make, loss, draw, 5, runs=2, lr=0.01).losses

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        by_attnlib, by_reader = losses(run()[0]), losses(run(OWN)[0])
    finally:
        torch.set_default_dtype(before)
    assert by_attnlib[:, -1].mean() < by_attnlib[:, 0].mean()
    np.testing.assert_allclose(by_reader, by_attnlib, atol=1e-9)


def test_other_parts_than_the_six_are_refused():
    with pytest.raises(ValueError, match="the parts are attend, causal"):
        assembling.compare({"attend": parts.attend}, {})
    with pytest.raises(AssertionError, match="put the cells that assemble them back"):
        assembling.compare({name: getattr(parts, name) for name in OWN}, {
            "model": (lambda own: torch.zeros(2), torch.ones(2))})
