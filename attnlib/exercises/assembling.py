"""Chapter 9: whose parts a Transformer is made of, and the first of them that departs.

`compare` holds each part against attnlib's on inputs of its own, then the models that were put
together from all of them against attnlib's models. A departure is named: by what it does, where
that is one of the slips that people make, else by its size and its place.
"""

import functools
import math
from types import SimpleNamespace

import numpy as np
import torch
from torch.nn.functional import layer_norm

from .. import parts
from ..attention import attention, softmax
from ..heads import merge_heads, split_heads
from ..positions import rotate
from .showing import PASSED, WRONG, Message, show

NAMES = {"attend": "attention", "causal": "mask", "turn": "rotary", "all_heads": "heads",
         "block": "block", "decoder_block": "decoder block"}
TOLERANCE = 1e-5


def compare(given, models) -> SimpleNamespace:
    """Say which parts are the reader's own, and whether what is made of them is attnlib's.

    Args:
        given: ``{name: function}``, the six functions of `parts` or the reader's own.
        models: ``{what it is: (assembled, logits)}``: ``assembled(own)`` computes the logits of
            the parts in the namespace ``own``; ``logits`` are attnlib's, a tensor.

    Returns:
        A namespace with the six parts to go on with: those given, with attnlib's in the place of
        each that departs.

    Raises:
        ValueError: if ``given`` names other parts than the six.

    >>> own = compare({name: getattr(parts, name) for name in NAMES}, {})
    ○ Every part is attnlib's. Paste one of your own over its cell, then run from there.
    >>> own.turn is parts.turn
    True
    """
    if sorted(given) != sorted(NAMES):
        raise ValueError(f"the parts are {', '.join(NAMES)}, got {', '.join(given)}")
    own = [name for name in NAMES if given[name] is not getattr(parts, name)]
    departs = {name: how for name in own for how in [departure(name, given[name])] if how}
    kept = SimpleNamespace(**{name: getattr(parts, name) if name in departs else given[name]
                              for name in NAMES})
    if not departs:
        for what, (assembled, wanted) in models.items():
            blamed = _blamed(kept, own, assembled, wanted)
            if blamed:
                name, how = blamed
                departs[name] = f"in the {what}, {how}"
                setattr(kept, name, getattr(parts, name))
    show(_message(own, departs, models))
    return kept


def departure(name, part) -> str:
    """How a part departs from attnlib's; empty if it does not.

    Args:
        name: of the part, one of `NAMES`.
        part: the function.

    Returns:
        One sentence without its beginning, such as "it is not scaled by the root of d_k".

    >>> departure("turn", lambda x, positions: x)
    'it turns nothing'
    """
    trials = TRIALS[name]()
    right = [_outcome(getattr(parts, name), trial) for trial in trials]
    got = [_outcome(part, trial) for trial in trials]
    apart = [_apart(*pair) for pair in zip(got, right, strict=True)]
    if not any(apart):
        return _unlearnable(name, part, trials[0])
    for sentence, slip in SLIPS[name]:
        did = [_outcome(slip, trial) for trial in trials]
        if not any(_apart(*pair) for pair in zip(got, did, strict=True)):
            return sentence
    return next(how for how in apart if how)


def _outcome(part, trial):
    """What a part returns, or the error that it raises."""
    try:
        with torch.no_grad():
            return part(*trial)
    except Exception as error:  # a reader's own line
        return error


def _apart(got, wanted):
    """How two outcomes differ, in words; empty if they do not."""
    if isinstance(got, Exception) or isinstance(wanted, Exception):
        alike = type(got) is type(wanted)
        return "" if alike else (f"it raises {type(got).__name__}: {got}"
                                 if isinstance(got, Exception) else "it raises nothing")
    if not isinstance(got, (torch.Tensor, np.ndarray)):
        return f"it returns {type(got).__name__}, not a tensor"
    got = torch.as_tensor(got)
    if got.shape != wanted.shape:
        return f"it returns the shape {tuple(got.shape)}, not {tuple(wanted.shape)}"
    if (got.dtype == torch.bool) != (wanted.dtype == torch.bool):
        return f"it returns {got.dtype}, not {wanted.dtype}"
    got, wanted = got.double(), wanted.double()
    wrong = ~torch.isclose(got, wanted, rtol=0, atol=TOLERANCE, equal_nan=True)
    if not wrong.any():
        return ""
    if not got.isfinite().all():
        return f"{int((~got.isfinite()).sum())} of its {got.numel()} numbers are not finite"
    place = tuple(int(i) for i in wrong.nonzero()[0])
    return (f"{int(wrong.sum())} of {got.numel()} numbers differ, the first at {list(place)}: "
            f"{got[place]:.4g}, not {wanted[place]:.4g}")


def _unlearnable(name, part, trial):
    """Whether a gradient gets through, and the same one; empty if it does, or there is none."""
    grads = []
    for one in (part, getattr(parts, name)):
        inputs = [x.clone().requires_grad_() if isinstance(x, torch.Tensor)
                  and x.is_floating_point() else x for x in trial]
        leaves = [x for x in inputs if isinstance(x, torch.Tensor) and x.requires_grad]
        if not leaves:
            return ""
        try:
            found = one(*inputs)
            grads.append(torch.autograd.grad(found.square().sum(), leaves))
        except Exception as error:  # numpy cannot be learned through
            said = f"{type(error).__name__}: {error}".partition("\n")[0]
            return ("its numbers are right, but no gradient gets through, so it cannot learn: "
                    f"write it in torch ({said})")
    same = all(torch.allclose(a, b, atol=TOLERANCE) for a, b in zip(*grads, strict=True))
    return "" if same else ("its numbers are right and its gradient is not: does it use "
                            "`detach`, `item` or numpy?")


def _blamed(own, names, assembled, wanted):
    """The part without which the models agree, and how they differ with it; None if they agree."""
    how = _apart(_outcome(assembled, (own,)), wanted)
    if not how:
        return None
    mended = SimpleNamespace(**vars(own))
    for name in names:
        setattr(mended, name, getattr(parts, name))
        if not _apart(_outcome(assembled, (mended,)), wanted):
            return name, how
    raise AssertionError(f"with all six parts attnlib's, {how}: put the cells that assemble "
                         "them back as they were")


def _message(own, departs, models):
    if not own:
        headline = "Every part is attnlib's."
    elif len(own) == len(NAMES):
        headline = "Every part is your own."
    else:
        headline = f"Your own: {_listed(own)}. The others are attnlib's."
    agree = ("The logits agree with attnlib's to 1e-5: " + ", ".join(models) + "."
             ) if models else ""
    if not departs:
        if own:
            return Message(PASSED, headline, agree)
        return Message("\N{WHITE CIRCLE}", headline, " ".join(filter(None, (
            agree, "Paste one of your own over its cell, then run from there."))))
    (first, how), *others = departs.items()
    sentence = (f"The first part that departs is part {[*NAMES].index(first) + 1}, {NAMES[first]} "
                f"(`{first}`): {how}.")
    if others:
        sentence += " After it: " + "; ".join(
            f"{NAMES[name]} (`{name}`): {how}" for name, how in others) + "."
    return Message(WRONG, headline, sentence + " From here on attnlib's stands in its place.")


def _listed(names):
    *most, last = [NAMES[name] for name in names]
    return f"{', '.join(most)} and {last}" if most else last


# What each part is tried on: the first trial is an ordinary one.


def _numbers(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)


def _attend_trials():
    draw = _numbers()
    see = torch.tensor([[True, False, True, True, False], [True] * 5, [False, True] * 2 + [False]])
    empty = see.clone()
    empty[1] = False
    large = 300 * draw(2, 4, 3, 6)
    return [(draw(2, 4, 3, 6), draw(2, 4, 5, 6), draw(2, 4, 5, 7), see),
            (draw(3, 2), draw(4, 2), draw(4, 3), see[:, 1:] | True),
            (large, draw(2, 4, 5, 6), draw(2, 4, 5, 7), see),
            (draw(3, 6), draw(5, 6), draw(5, 7), empty)]


def _causal_trials():
    return [(4, 4), (1, 1), (1, 5), (3, 7)]


def _turn_trials():
    draw = _numbers(1)
    return [(draw(2, 3, 5, 8), torch.arange(5)), (draw(4, 6), torch.arange(9, 13)),
            (draw(1, 2), torch.tensor([3]))]


def _heads_trials():
    draw = _numbers(2)

    def find(query, key, value):
        return torch.softmax(query @ key.mT, dim=-1) @ value

    def trial(*leading, n_q, n_k, d, heads):
        return (draw(*leading, n_q, d), draw(*leading, n_k, d),
                [draw(d, d) / math.sqrt(d) for _ in range(4)], heads, find)

    return [trial(3, n_q=4, n_k=5, d=8, heads=2), trial(n_q=5, n_k=3, d=12, heads=3),
            trial(2, n_q=1, n_k=4, d=6, heads=1)]


def _steps(draw, d, n_k):
    mix, widen, narrow, other = draw(d, d), draw(d, 9), draw(9, d), draw(d, d)

    def look(x):
        return torch.cumsum(x, dim=-2) @ mix

    def ask(x, memory):
        return torch.softmax(x @ other @ memory.mT, dim=-1) @ memory

    def work(x):
        return torch.relu(x @ widen) @ narrow

    return look, ask, work


def _block_trials():
    draw = _numbers(3)
    found = []
    for shape, size in (((2, 4, 6), 1.0), ((3, 5), 100.0), ((1, 4), 0.004)):
        look, _, work = _steps(draw, shape[-1], 1)
        found.append((size * draw(*shape) + 0.5 * size, look, work))
    return found


def _decoder_trials():
    draw = _numbers(4)
    found = []
    for shape, n_k, size in (((2, 4, 6), 5, 1.0), ((3, 5), 4, 100.0), ((1, 4), 3, 0.004)):
        look, ask, work = _steps(draw, shape[-1], n_k)
        memory = draw(*shape[:-2], n_k, shape[-1]) + 1
        found.append((size * draw(*shape) + 0.5 * size, memory, look, ask, work))
    return found


TRIALS = {"attend": _attend_trials, "causal": _causal_trials, "turn": _turn_trials,
          "all_heads": _heads_trials, "block": _block_trials, "decoder_block": _decoder_trials}


# The slips that people make, each a runnable wrong part and what it does.


def _scores(query, key):
    return query @ key.mT / math.sqrt(query.shape[-1])


def _halves(x, positions):
    half = x.shape[-1] // 2
    order = torch.arange(x.shape[-1]).reshape(2, half).mT.flatten()
    return rotate(x[..., order], positions)[..., torch.argsort(order)]


def _heads_with(x, memory, weights, heads, find, split=split_heads, merge=merge_heads, out=True):
    w_query, w_key, w_value, w_out = weights
    found = merge(find(*(split(y @ w, heads) for y, w in (
        (x, w_query), (memory, w_key), (memory, w_value)))))
    return found @ w_out if out else found


def _reshaped(x, heads):
    return x.reshape(*x.shape[:-2], heads, x.shape[-2], -1)


def _merged_as_it_lies(x):
    return x.reshape(*x.shape[:-3], x.shape[-2], -1)


def _norm(x):
    return layer_norm(x, x.shape[-1:])


def _norm_with(x, correction=0, root=True, mean=True):
    away = x - x.mean(-1, keepdim=True) if mean else x
    variance = x.var(-1, keepdim=True, correction=correction) + 1e-5
    return away / (variance.sqrt() if root else variance)


def _stepped(x, *steps, norm=_norm, stream=False, post=False, residual=True):
    for step in steps:
        if post:
            x = norm(x + step(x))
        else:
            x = (norm(x) if stream else x if residual else 0) + step(norm(x))
    return x


def _blocks(**how):
    return lambda x, look, work: _stepped(x, look, work, **how)


def _decoders(**how):
    return lambda x, memory, look, ask, work: _stepped(
        x, look, lambda y: ask(y, memory), work, **how)


def _asked_as_it_is(x, memory, look, ask, work):
    x = _stepped(x, look)
    return _stepped(x + ask(x, memory), work)


def _replaced(x, memory, look, ask, work):
    return _stepped(ask(_norm(_stepped(x, look)), memory), work)


_WRAPPED = (
    ("it is a post-norm block: the norm belongs in front of each step, not behind the sum",
     dict(post=True)),
    ("it puts what a step returns in the place of its input, and does not add it",
     dict(residual=False)),
    ("it adds each step to the normalised input; the norm is for the step's eyes alone",
     dict(stream=True)),
    ("its steps see the input as it is, not normalised", dict(norm=lambda x: x)),
    ("its norm divides the variance by one less than the width (as `var` of torch does by itself)",
     dict(norm=lambda x: _norm_with(x, correction=1))),
    ("its norm divides by the variance, not by the root of it",
     dict(norm=lambda x: _norm_with(x, root=False))),
    ("its norm does not take the mean away", dict(norm=lambda x: _norm_with(x, mean=False))),
)

SLIPS = {
    "attend": (
        ("it is not scaled by the root of d_k",
         lambda q, k, v, mask: attention(q, k, v, mask=mask, scale=1)),
        ("it is scaled by d_k, not by its root",
         lambda q, k, v, mask: attention(q, k, v, mask=mask, scale=1 / q.shape[-1])),
        ("it does not use the mask", lambda q, k, v, mask: attention(q, k, v)),
        ("its mask is turned round: True means may attend",
         lambda q, k, v, mask: attention(q, k, v, mask=~mask)),
        ("it masks after the softmax, so that weights no longer sum to one",
         lambda q, k, v, mask: (softmax(_scores(q, k)) * mask) @ v),
        ("it gives hidden keys the score 0, and with it a weight",
         lambda q, k, v, mask: softmax(_scores(q, k) * mask) @ v),
        ("right, but for a query that may see nothing: there it is NaN, and should be 0",
         lambda q, k, v, mask: torch.softmax(
             _scores(q, k).masked_fill(~mask, -math.inf), -1) @ v),
        ("right, but for a query that may see nothing: it shares its weight among hidden keys",
         lambda q, k, v, mask: torch.softmax(
             _scores(q, k).masked_fill(~mask, -1e9), -1) @ v),
    ),
    "causal": (
        ("it is aligned at the top left: with fewer queries than keys, the *last* query stands "
         "at the last key", lambda n_q, n_k: torch.ones(n_q, n_k, dtype=bool).tril()),
        ("it is turned round: True means may attend", lambda n_q, n_k: ~parts.causal(n_q, n_k)),
        ("it hides each position from itself",
         lambda n_q, n_k: torch.ones(n_q, n_k, dtype=bool).tril(n_k - n_q - 1)),
        ("it shows each position the next one",
         lambda n_q, n_k: torch.ones(n_q, n_k, dtype=bool).tril(n_k - n_q + 1)),
        ("it hides nothing", lambda n_q, n_k: torch.ones(n_q, n_k, dtype=bool)),
        ("it shows what comes after, not what came before",
         lambda n_q, n_k: torch.ones(n_q, n_k, dtype=bool).triu(n_k - n_q)),
    ),
    "turn": (
        ("it turns nothing", lambda x, positions: x),
        ("it pairs feature i with feature i + d/2; here a pair is two neighbours", _halves),
        ("it turns the other way round", lambda x, positions: rotate(x, -positions)),
        ("it counts positions from 1", lambda x, positions: rotate(x, positions + 1)),
        ("it does not use the positions that it is given",
         lambda x, positions: rotate(x, torch.arange(x.shape[-2]))),
        ("its angles fall with i/d, not with 2i/d",
         lambda x, positions: rotate(x, positions, base=100.0)),
    ),
    "all_heads": (
        ("it splits by `reshape` alone: take each row apart first, then bring the heads to the "
         "front", functools.partial(_heads_with, split=_reshaped)),
        ("it merges by `reshape` alone, so that a row of the result mixes positions",
         functools.partial(_heads_with, merge=_merged_as_it_lies)),
        ("it splits and merges by `reshape` alone", functools.partial(
            _heads_with, split=_reshaped, merge=_merged_as_it_lies)),
        ("it does not use the output matrix", functools.partial(_heads_with, out=False)),
        ("it looks up in one head, over the whole width",
         lambda x, memory, weights, heads, find: _heads_with(x, memory, weights, 1, find)),
        ("it takes keys and values from x, not from the memory",
         lambda x, memory, *given: _heads_with(x, x, *given)),
    ),
    "block": (
        *((sentence, _blocks(**how)) for sentence, how in _WRAPPED),
        ("it works before it looks", lambda x, look, work: _stepped(x, work, look)),
        ("both of its steps start from the same input",
         lambda x, look, work: x + look(_norm(x)) + work(_norm(x))),
    ),
    "decoder_block": (
        *((sentence, _decoders(**how)) for sentence, how in _WRAPPED),
        ("it asks the memory before it looks at itself",
         lambda x, memory, look, ask, work: _stepped(x, lambda y: ask(y, memory), look, work)),
        ("it never asks the memory",
         lambda x, memory, look, ask, work: _stepped(x, look, work)),
        ("it normalises the memory, which is to be taken as it is",
         lambda x, memory, look, ask, work: _stepped(
             x, look, lambda y: ask(y, _norm(memory)), work)),
        ("it asks the memory after the work",
         lambda x, memory, look, ask, work: _stepped(x, look, work, lambda y: ask(y, memory))),
        ("it does not normalise x before it asks the memory", _asked_as_it_is),
        ("what it found in the memory takes the place of x, and is not added", _replaced),
    ),
}
