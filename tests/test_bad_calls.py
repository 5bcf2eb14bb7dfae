"""Each argument of each public function, given what it must refuse: the error names it.

The tables of `test_attention` and its neighbours hold whole messages. Here every argument is
given everything of a wrong kind, so that none is forgotten.
"""

import inspect
import math

import numpy as np
import pytest
import torch

import attnlib

X = torch.arange(24.0).reshape(2, 3, 4)
W = torch.full((2, 3, 3), 1 / 3)
MASK = torch.ones(3, 3, dtype=torch.bool)
QKV = dict(query=X, key=X, value=X)

WHOLE = [None, "a", 2.5, math.nan, True, [2], -1]  # bad for whole numbers of at least 0
POSITIVE = [*WHOLE, 0]
OPTIONAL = [bad for bad in POSITIVE if bad is not None]
SWITCH = [None, "no", 0, 1, 2.5, np.array([True, False])]
ARRAY = [None, "a", 3, [[1.0]], X.long(), X > 0, X.to(torch.complex64), X[0, 0, 0],
         np.ma.masked_equal(np.ones((2, 3, 4)), 0)]
SEEN = ["a", True, [True], X[0], X[0, :, :3], MASK[:2], np.ma.masked_equal(np.ones(3, bool), 0)]
ADDED = ["a", 1.0, [1.0], MASK, MASK.long(), X[0]]
SCALE = ["a", True, [1.0], X, np.ones(3), 1j]

ATTENTION = dict(query=ARRAY, key=ARRAY, value=ARRAY)
HIDING = dict(mask=SEEN, bias=ADDED, causal=SWITCH, window=OPTIONAL, scale=SCALE)
FUNCTIONS = {  # name: (arguments that are right, bad values by argument)
    "attention_scores": (dict(query=X, key=X), dict(query=ARRAY, key=ARRAY, scale=SCALE)),
    "softmax": (dict(scores=X), dict(scores=[*ARRAY[:-2], ARRAY[-1]],
                                     axis=[None, "a", 1.0, True, 3, -4, [0]])),
    "attention_weights": (dict(query=X, key=X), dict(query=ARRAY, key=ARRAY, **HIDING)),
    "attention": (QKV, ATTENTION | HIDING),
    "partial_attention": (QKV, ATTENTION | HIDING),
    "merge_partials": (dict(output_a=X, lse_a=X[..., 0], output_b=X, lse_b=X[..., 0]),
                       dict(output_a=ARRAY, lse_a=ARRAY, output_b=ARRAY, lse_b=ARRAY)),
    "additive_scores": (dict(query=X, key=X, w_query=X[0].mT, w_key=X[0].mT, v=X[0, :, 0]),
                        dict(query=ARRAY, key=ARRAY, w_query=ARRAY, w_key=ARRAY, v=ARRAY)),
    "causal_mask": (dict(n_q=2), dict(n_q=WHOLE, n_k=WHOLE[1:])),
    "window_mask": (dict(n_q=2, window=1), dict(n_q=WHOLE, n_k=WHOLE[1:], window=POSITIVE,
                                                causal=SWITCH)),
    "padding_mask": (dict(lengths=[1, 2], n=3), dict(
        lengths=[None, "a", [1.0], [True], [4], [-1], [[1], [1, 2]], math.nan], n=WHOLE)),
    "sinusoidal_positions": (dict(n=2, dim=4), dict(n=WHOLE, dim=[*WHOLE, 3])),
    "rotate": (dict(x=X), dict(x=[*ARRAY, X[..., :3]], positions=[
        "a", [True] * 3, [1j, 0, 0], [[1], [1, 2]], np.arange(4), {}], base=[
        None, "a", 0, -1, math.nan, math.inf, True, [1.0], 1j])),
    "alibi_bias": (dict(heads=2, n_q=3), dict(heads=POSITIVE, n_q=WHOLE, n_k=WHOLE[1:])),
    "split_heads": (dict(x=X, heads=2), dict(x=[None, "a", 3, [[1.0]], X[0, 0]],
                                             heads=[*POSITIVE, 3])),
    "merge_heads": (dict(x=X), dict(x=[None, "a", 3, [[1.0]], X[0]])),
    "repeat_heads": (dict(x=X, times=2), dict(x=[None, "a", 3, [[1.0]], X[0]], times=POSITIVE)),
    "local_attention": (QKV | dict(window=2), ATTENTION | dict(window=POSITIVE, causal=SWITCH)),
    "chunked_attention": (QKV, ATTENTION | dict(
        mask=SEEN, causal=SWITCH, query_chunk=POSITIVE, key_chunk=POSITIVE)),
    "hierarchical_attention": (QKV | dict(chunk=2), ATTENTION | dict(
        chunk=POSITIVE, causal=SWITCH)),
    "selected_attention": (QKV | dict(chunk=2, top=1, window=1), ATTENTION | dict(
        chunk=POSITIVE, top=POSITIVE, window=POSITIVE, causal=SWITCH)),
    "zigzag_positions": (dict(n=8, ranks=2), dict(n=[*WHOLE, 6, 8.0, -8], ranks=POSITIVE)),
    "entropy": (dict(weights=W), dict(weights=ARRAY)),
    "effective_keys": (dict(weights=W), dict(weights=ARRAY)),
    "top_mass": (dict(weights=W, k=1), dict(weights=ARRAY, k=POSITIVE)),
    "mean_distance": (dict(weights=W), dict(weights=ARRAY)),
    "head_similarity": (dict(weights=W), dict(weights=[*ARRAY, W[0]])),
    "rollout": (dict(list_of_weights=[W]), dict(list_of_weights=[
        None, "a", 3, [], [None], [W > 0], [W[0]], [W, W[:, :2]]])),
    "reachable": (dict(masks=[MASK]), dict(masks=[None, "a", 3, [], [None], [W], [MASK[:2]]])),
    "receptive_field": (dict(function=lambda x: x, x=X[0]), dict(
        x=[None, "a", 3, [[1.0]], X, X[0].numpy(), X[0].long()], function=[None, 3])),
    "rank_one_residual": (dict(x=X), dict(x=ARRAY)),
    "LearnedPositions": (dict(n=3, dim=4), dict(n=POSITIVE, dim=POSITIVE)),
    "MultiHeadAttention": (dict(dim=4, heads=2), dict(
        dim=POSITIVE, heads=[*POSITIVE, 3], kv_heads=OPTIONAL, projection_bias=SWITCH,
        rotary=SWITCH)),
    "FeedForward": (dict(dim=4), dict(dim=POSITIVE, hidden=OPTIONAL)),
    "Block": (dict(dim=4, heads=2), dict(
        dim=POSITIVE, heads=POSITIVE, kv_heads=OPTIONAL, hidden=[*OPTIONAL[:-1], False, 0.0],
        rotary=SWITCH, pre_norm=SWITCH, cross=SWITCH)),
    "Encoder": (dict(dim=4, heads=2, layers=1), dict(dim=POSITIVE, heads=POSITIVE,
                                                     layers=POSITIVE)),
    "Decoder": (dict(dim=4, heads=2, layers=1), dict(dim=POSITIVE, heads=POSITIVE,
                                                     layers=POSITIVE)),
    "LanguageModel": (dict(vocabulary=5, dim=4, heads=2, layers=1), dict(
        vocabulary=POSITIVE, dim=POSITIVE, heads=POSITIVE, layers=POSITIVE, length=OPTIONAL,
        window=OPTIONAL, positions=[None, "rope", 3, ["none"]])),
}
CALLS = [(name, argument, bad) for name, (_, kinds) in FUNCTIONS.items()
         for argument, values in kinds.items() for bad in values]
OTHERS = {"KeyValueCache": "test_layers", "ring_attention": "test_multilevel"}


def test_every_public_function_that_takes_arguments_is_here():
    public = {name for name in attnlib.__all__ if callable(getattr(attnlib, name))}
    assert public - OTHERS.keys() == FUNCTIONS.keys()
    for name, (right, kinds) in FUNCTIONS.items():
        getattr(attnlib, name)(**right)
        takes = inspect.signature(getattr(attnlib, name)).parameters
        named = {x for x, p in takes.items() if p.kind is not p.VAR_KEYWORD}
        assert named == {*right, *kinds}, name


@pytest.mark.parametrize("name, argument, bad", CALLS, ids=lambda x: " ".join(str(x).split())[:20])
def test_a_bad_call_is_refused_by_name(name, argument, bad):
    right, _ = FUNCTIONS[name]
    with pytest.raises((TypeError, ValueError)) as caught:
        getattr(attnlib, name)(**right | {argument: bad})
    assert argument in str(caught.value), caught.value
