"""Chapter 7, "Stacking": what its exercises ask, and what people answer."""

import functools
import math

import numpy as np

from ..attention import attention
from ..diagnostics import rank_one_residual, reachable
from .core import Case, Exercise, Result, another_form, broken_law, finite_array, switched


def _norm(x, axis=-1):
    middle = x - x.mean(axis, keepdims=True)
    return middle / ((middle ** 2).mean(axis, keepdims=True) + 1e-5) ** 0.5


# 7.1  Counting layers

def _counted(*, faults=frozenset()):
    per_layer = 5 if "whole-window" in faults else 4
    start = 0 if "not-itself" in faults else 1
    feels = 5 ** 3 if "multiplied" in faults else start + 3 * per_layer
    layers = (3 if "multiplied" in faults else 100 / per_layer if "not-itself" in faults
              else math.ceil(99 / per_layer))
    steps = (4 if "one-step-each" in faults else 5 if "one-more" in faults
             else 8 if "two-each" in faults else 2 ** 4)
    for_steps = (64 if "one-step-each" in faults else 63 if "one-more" in faults
                 else 32 if "two-each" in faults else 7 if "first-free" in faults else 6)
    square = 1 if "once-wide" in faults else 4
    weights = (3 if "no-output" in faults else 4) * 100 + 2 * square * 100
    return {"feels": feels, "layers": layers, "steps": steps, "layers_for_64": for_steps,
            "weights": weights}


_COUNTED = Exercise(
    id="7.1", kind="by hand", points=2, minutes=10, version=2,
    hints=(
        "For the window, equation (7.5). Write down which words the last one feels after one "
        "layer, then after two.",
        "For the pointers, remember what a token knows when it is looked up in the second layer.",
        "Round up where a number of layers does not come out whole. For 64 steps, go on with the "
        "table that was built by hand. For the weights, draw the matrices: four in the attention, "
        "two in the feed-forward step.",
    ),
    cases=lambda seed: [Case()],
    reference=_counted,
    mistakes=switched(_counted, {
        "whole-window": "You let each layer add the whole window. One of its words is the word "
                        "itself: how many are new?",
        "not-itself": "You left out the word itself when you counted what it feels.",
        "multiplied": "You multiplied the windows. Draw what two layers reach: does the second "
                      "add words everywhere, or at the edge?",
        "one-step-each": "You gave each layer one step. What does a token know, when it is looked "
                         "up in the second layer?",
        "one-more": "You counted one step per layer and one for the start. Look again at the table "
                    "that was built by hand.",
        "two-each": "You gave each layer two steps. Two layers follow four, and the third finds "
                    "tokens that know four each.",
        "first-free": "One layer too many for 64 steps. How many does a token know before any "
                      "layer, and how many after the first?",
        "once-wide": "Your feed-forward step is no wider than its input. How wide is it between "
                     "its two matrices?",
        "no-output": "You counted three matrices in the attention. There is one behind the heads.",
    }, pairs=[("whole-window", "one-step-each"), ("whole-window", "first-free"),
              ("whole-window", "no-output"), ("one-step-each", "no-output"),
              ("one-more", "no-output"), ("two-each", "no-output"),
              ("not-itself", "no-output"), ("multiplied", "one-step-each"),
              ("once-wide", "no-output"), ("one-step-each", "once-wide")]),
    variants=(
        lambda: {"feels": 13.0, "layers": 25.0, "steps": 16, "layers_for_64": np.int64(6),
                 "weights": 1200},
        lambda: dict(weights=12 * 10 ** 2, layers_for_64=6, steps=2 ** 4, layers=25, feels=13),
    ),
)


# 7.2  One block, both ways

def _block(x, attend, widen, narrow, pre_norm, *, faults=frozenset()):
    if "flag-turned" in faults:
        pre_norm = not pre_norm
    if "always-pre" in faults:
        pre_norm = True
    if "always-post" in faults:
        pre_norm = False

    def norm(x):
        if "first-axis" in faults:
            return _norm(x, axis=-2)
        if "whole" in faults:
            return (x - x.mean()) / np.sqrt(x.var() + 1e-5)
        if "no-mean" in faults:
            return x / np.sqrt((x ** 2).mean(-1, keepdims=True) + 1e-5)
        if "no-root" in faults:
            return (x - x.mean(-1, keepdims=True)) / (x.var(-1, keepdims=True) + 1e-5)
        if "root-first" in faults:
            return (x - x.mean(-1, keepdims=True)) / (x.var(-1, keepdims=True) ** 0.5 + 1e-5)
        if "one-less" in faults:
            return (x - x.mean(-1, keepdims=True)) / np.sqrt(
                x.var(-1, keepdims=True, ddof=1) + 1e-5)
        if "no-constant" in faults:
            return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
        return x if "no-norm" in faults else _norm(x)

    def add(x, change):
        return change if "no-residual" in faults else x + change

    stream = []  # what the steps are given, before any norm

    def step(x, f):
        stream.append(x)
        if "normed-stream" in faults and pre_norm:
            return add(norm(x), f(norm(x)))
        if "both-norms" in faults and pre_norm:
            return norm(add(x, f(norm(x))))
        if "raw-step" in faults and pre_norm:
            return add(norm(x), f(x))
        if "old-normed" in faults and not pre_norm:
            return add(norm(x), f(x))
        if "sandwich" in faults and pre_norm:
            return add(x, norm(f(norm(x))))
        if "output-norm" in faults and pre_norm or "norm-inside" in faults and not pre_norm:
            return add(x, norm(f(x)))
        return add(x, f(norm(x))) if pre_norm else norm(add(x, f(x)))

    def exchange(x):
        w_query, w_key, w_value, w_out = attend
        scale = 1 if "no-scale" in faults else None
        asks = stream[-1] if "query-raw" in faults else x
        found = attention(asks @ w_query, x @ w_key, x @ w_value, scale=scale)
        return found if "no-output" in faults else found @ w_out

    def work(x):
        if "relu-last" in faults:
            return np.maximum(x @ widen @ narrow, 0)
        inner = x @ widen
        return (inner if "no-relu" in faults else inner * (inner > 0)) @ narrow

    if "side-by-side" in faults:
        return x + exchange(norm(x)) + work(norm(x)) if pre_norm else norm(
            x + exchange(x) + work(x))
    if "work-first" in faults:
        return step(step(x, work), exchange)
    if "no-work" in faults:
        return step(x, exchange)
    found = step(step(x, exchange), work)
    return norm(found) if "norm-behind" in faults and pre_norm else found


def _block_plain(x, attend, widen, narrow, pre_norm):
    return _block(x, attend, widen, narrow, pre_norm)


def _block_torch(x, attend, widen, narrow, pre_norm):
    import torch
    from torch.nn.functional import layer_norm, relu

    def norm(x):
        return layer_norm(x, x.shape[-1:])

    x, widen, narrow = (torch.as_tensor(part) for part in (x, widen, narrow))
    w_query, w_key, w_value, w_out = (torch.as_tensor(w) for w in attend)
    y = norm(x) if pre_norm else x
    weights = torch.softmax((y @ w_query) @ (y @ w_key).mT / w_query.shape[1] ** 0.5, -1)
    x = x + weights @ (y @ w_value) @ w_out
    x = x if pre_norm else norm(x)
    y = norm(x) if pre_norm else x
    x = x + relu(y @ widen) @ narrow
    return x if pre_norm else norm(x)


def _block_loops(x, attend, widen, narrow, pre_norm):
    if x.ndim > 2:
        return np.stack([_block_loops(one, attend, widen, narrow, pre_norm) for one in x])

    def norm(x):
        return np.array([(row - np.mean(row)) / math.sqrt(np.var(row) + 1e-5) for row in x])

    def exchange(x):
        w_query, w_key, w_value, w_out = attend
        found = []
        for row in x:
            scores = np.array([(row @ w_query) @ (other @ w_key) for other in x])
            shares = np.exp((scores - scores.max()) / math.sqrt(w_query.shape[1]))
            found.append(shares / shares.sum() @ x @ w_value @ w_out)
        return np.array(found)

    def work(x):
        return np.einsum("nh,hd->nd", np.clip(np.einsum("nd,dh->nh", x, widen), 0, None), narrow)

    for f in (exchange, work):
        x = x + f(norm(x)) if pre_norm else norm(x + f(x))
    return x


def _block_cases(seed):
    rng = np.random.default_rng([seed, 72])

    def case(*leading, n, d, d_k, d_v, hidden, pre_norm, size=1.0, hard=""):
        def w(rows, columns):
            return rng.normal(size=(rows, columns)) / math.sqrt(rows) * 1.5
        attend = (w(d, d_k), w(d, d_k), w(d, d_v), w(d_v, d))
        x = rng.normal(size=(*leading, n, d)) * size + rng.normal() * min(size, 1)
        return Case((x, attend, w(d, hidden), w(hidden, d), pre_norm), hard=hard)

    return [case(n=5, d=6, d_k=3, d_v=4, hidden=9, pre_norm=True),
            case(n=5, d=6, d_k=4, d_v=6, hidden=11, pre_norm=False),
            case(3, n=4, d=7, d_k=5, d_v=7, hidden=13, pre_norm=True),
            case(2, n=6, d=5, d_k=3, d_v=5, hidden=8, pre_norm=False),
            case(n=1, d=8, d_k=3, d_v=8, hidden=10, pre_norm=True, hard="a single word"),
            case(n=3, d=4, d_k=5, d_v=4, hidden=7, pre_norm=False, size=100.0,
                 hard="large inputs"),
            case(n=4, d=6, d_k=3, d_v=5, hidden=8, pre_norm=True, size=0.004,
                 hard="features that hardly differ"),
            case(4, n=4, d=4, d_k=4, d_v=4, hidden=4, pre_norm=False),
            case(1, n=3, d=1, d_k=2, d_v=1, hidden=1, pre_norm=True, hard="a single feature")]


_BLOCK = Exercise(
    id="7.2", kind="write", points=4, minutes=20, version=1,
    hints=(
        "Write three small functions first: the norm of a row, the exchange (attention and the "
        "matrix behind it), the work (the two matrices with a ReLU between).",
        "Both steps are wrapped alike: look at the first two lines of (7.3). One function that "
        "takes a step as its argument serves for both.",
        "Keep the last axis in the norm's mean and variance (`keepdims=True`), so that each row "
        "is brought to mean 0 and variance 1 by itself.",
    ),
    cases=_block_cases,
    spared={"empty": "a text without words has nothing to exchange or to normalise"},
    reference=_block_plain,
    mistakes=switched(_block, {
        "flag-turned": "You did post-norm when pre-norm was asked for, and the reverse. "
                       "Which of the two has the norm in front of the step?",
        "always-pre": "Right with `pre_norm`. Without `pre_norm`, the norm belongs behind the sum.",
        "always-post": "Right without `pre_norm`. With `pre_norm`, the norm belongs in front of "
                       "the step.",
        "no-residual": "Your steps put their output in the place of their input. What is added "
                       "to what in (7.3)?",
        "normed-stream": "With `pre_norm` you added to the normalised input. The norm is for the "
                         "step's eyes alone.",
        "both-norms": "With `pre_norm` you normalise before the step, and the sum once more. One "
                      "is enough.",
        "sandwich": "With `pre_norm` you normalise before the step and what it gives. That is "
                    "sandwich norm; pre-norm adds the change as it comes.",
        "output-norm": "With `pre_norm` you normalise what the step gives. Pre-norm normalises "
                       "what it is given.",
        "norm-inside": "Without `pre_norm` you normalise what the step gives, before it is added. "
                       "Post-norm normalises the sum.",
        "no-norm": "You add, and nothing is normalised.",
        "raw-step": "With `pre_norm` your step sees the input as it is, and the normalised copy is "
                    "what it is added to. It is the other way round.",
        "old-normed": "Without `pre_norm` you normalise the input before the change is added. "
                      "Post-norm normalises the sum.",
        "norm-behind": "With `pre_norm` you put a norm behind the block. It stands behind a whole "
                       "stack, and this is one block.",
        "first-axis": "Your norm runs down the columns. Each word is normalised by itself, over "
                      "its features.",
        "whole": "Your norm takes one mean over everything. Each word has a mean of its own.",
        "no-mean": "Your norm divides, but does not take the mean away first.",
        "no-root": "Your norm divides by the variance. Which power of it is a length?",
        "root-first": "Your small constant is added to the root. Look at what stands under the "
                      "root in the task.",
        "one-less": "Your variance is divided by one less than the width. Which function of "
                    "yours does that by itself?",
        "no-constant": "The small constant under your root is missing, or another one. It matters "
                       "where features hardly differ.",
        "no-scale": "Your scores are not divided by the root of d_k.",
        "no-output": "Your attention ends with the values. There is a matrix behind it.",
        "no-relu": "Nothing happens between your two matrices of the feed-forward step. Then "
                   "they are one matrix.",
        "relu-last": "Your ReLU stands behind both matrices of the feed-forward step. It belongs "
                     "between them.",
        "no-work": "Your block ends after the attention. Where are `widen` and `narrow`?",
        "query-raw": "With `pre_norm` your queries see the input as it is, keys and values its "
                     "normalised copy. The whole step sees the copy.",
        "side-by-side": "Both of your steps start from the same input. The second one works on "
                        "what the first has made.",
        "work-first": "You did the feed-forward step before the attention. Which comes first "
                      "in the diagram?",
    }, pairs=[("flag-turned", "no-relu"), ("first-axis", "no-relu"), ("no-root", "no-relu"),
              ("no-residual", "no-relu"), ("normed-stream", "no-relu"), ("no-scale", "no-relu"),
              ("one-less", "normed-stream"), ("first-axis", "normed-stream"),
              ("one-less", "no-relu"), ("flag-turned", "work-first"),
              ("flag-turned", "one-less"), ("always-pre", "no-relu"),
              ("always-post", "no-relu"), ("both-norms", "no-relu"),
              ("output-norm", "norm-inside"), ("raw-step", "old-normed")]),
    variants=(_block_plain, _block_torch, _block_loops),
)


# 7.3  What can reach what

def _reach(mask, *, faults=frozenset()):
    n = mask.shape[-1]
    own = np.zeros((n, n), int) if "no-residual" in faults else np.eye(n, dtype=int)
    steps = [np.asarray(one, int) + own for one in mask]
    if "last-first" in faults:
        steps = steps[::-1]
    if "union" in faults:
        return np.any(mask, axis=0) | np.eye(n, dtype=bool)
    if "every" in faults:
        return np.all(mask, axis=0) | np.eye(n, dtype=bool)
    if "last-alone" in faults:
        return steps[-1] > 0
    if "first-alone" in faults:
        return steps[0] > 0
    if "same-mask" in faults:
        steps = [steps[0]] * len(steps)
    if "one-too-few" in faults:
        steps = steps[:-1]
    reached = np.eye(n, dtype=int)
    for step in steps:
        reached = ((step @ reached) > 0).astype(int)
    if "residual-once" in faults:
        reached = np.eye(n, dtype=int)
        for one in mask:
            reached = ((np.asarray(one, int) @ reached) > 0).astype(int)
        return (reached + np.eye(n, dtype=int)) > 0
    if "transposed" in faults:
        reached = reached.T
    return reached > 0


def _reach_reference(mask):
    return reachable(list(mask))


def _reach_sets(mask):
    felt = [{i} for i in range(mask.shape[-1])]
    for one in mask:
        felt = [set().union(felt[i], *(felt[j] for j in range(len(felt)) if one[i, j]))
                for i in range(len(felt))]
    return np.array([[j in own for j in range(len(felt))] for own in felt])


def _reach_einsum(mask):
    reached = np.eye(mask.shape[-1], dtype=bool)
    for one in mask:
        reached = reached | (np.einsum("ij,jk->ik", one.astype(float), reached) > 0)
    return reached


def _reach_torch(mask):
    import torch
    own = torch.eye(mask.shape[-1])
    reached = own
    for one in torch.as_tensor(mask):
        reached = (((one.float() + own) @ reached) > 0).float()
    return reached > 0


def _reach_cases(seed):
    rng = np.random.default_rng([seed, 73])

    def case(layers, n, density, hard=""):
        mask = rng.random((layers, n, n)) < density
        return Case((mask,), hard=hard)

    empty = rng.random((3, 8, 8)) < 0.25
    empty[1, rng.integers(8, size=4)] = False
    return [case(2, 7, 0.15), case(3, 9, 0.12), case(4, 11, 0.08), case(5, 13, 0.05),
            case(3, 12, 0.1), case(6, 6, 0.1), case(1, 6, 0.3, hard="a single layer"),
            case(2, 1, 0.5, hard="a single word"),
            Case((empty,), hard="rows that may attend to nothing"),
            Case((np.ones((5, 4, 4), dtype=bool),), hard="256 ways from each word to each"),
            Case((np.tril(rng.random((4, 10, 10)) < 0.25),), hard="causal masks")]


_REACH = Exercise(
    id="7.3", kind="write", points=3, minutes=15, version=1,
    hints=(
        "Begin with what each word feels before any layer: itself. Then ask what one layer makes "
        "of it.",
        "After a layer, a word feels all that the words felt which it may attend to, and what it "
        "felt before. In matrices, that is a product and a sum.",
        "The later layer stands on the left of the product. A number of paths above 0 means that "
        "there is one.",
    ),
    cases=_reach_cases,
    spared={"empty": "a text without words has nothing to exchange or to normalise"},
    reference=_reach_reference,
    mistakes=switched(_reach, {
        "no-residual": "You forgot the residual connection: a word keeps what it felt before, "
                       "even if it does not attend to itself.",
        "residual-once": "You added the residual connection at the very end. It stands around "
                         "every layer.",
        "last-first": "You went through the layers from the last to the first. Which product of "
                      "matrices takes the first layer first?",
        "union": "You asked whether some layer lets i see j. A path may go by way of other words.",
        "every": "You asked whether every layer lets i see j. A path may go by way of other words.",
        "last-alone": "You looked at the last layer alone. What did the words that it sees feel "
                      "already?",
        "first-alone": "You looked at the first layer alone.",
        "same-mask": "You used the first layer's mask for all layers. Each has its own.",
        "one-too-few": "Your last layer was not used.",
        "transposed": "Rows and columns are exchanged: row i says what output i feels.",
    }, pairs=[("last-first", "transposed"), ("no-residual", "last-first"),
              ("no-residual", "transposed"), ("no-residual", "same-mask"),
              ("same-mask", "transposed"), ("one-too-few", "transposed"),
              ("no-residual", "one-too-few"), ("one-too-few", "last-first"),
              ("no-residual", "last-alone")]),
    forbidden=("attnlib.reachable", "attnlib.diagnostics.reachable"),
    variants=(_reach_sets, _reach_einsum, _reach_torch),
)


# 7.4  The stream that was lost

def _stream(x, layers, *, faults=frozenset()):
    def norm(x):
        if "first-axis" in faults:
            return _norm(x, axis=-2)
        middle = x if "no-mean" in faults else x - x.mean(-1, keepdims=True)
        variance = (middle ** 2).mean(-1, keepdims=True)
        if "root-first" in faults:
            return middle / (variance ** 0.5 + 1e-5)
        if "no-constant" in faults:
            return middle / variance ** 0.5
        if "one-less" in faults:
            variance = variance * x.shape[-1] / (x.shape[-1] - 1)
        return middle / (variance + 1e-5) ** 0.5

    if "reversed" in faults:
        layers = layers[::-1]
    if "tied" in faults:
        layers = [layers[0]] * len(layers)
    if "last-skipped" in faults:
        layers = layers[:-1]
    first = x
    for w_query, w_key, w_value, w_out in layers:
        y = x if "no-norm" in faults else norm(first if "same-input" in faults else x)
        if "stream-normed" in faults:
            x = y
        query = (x if "query-raw" in faults else y) @ w_query
        key = (x if "key-raw" in faults else y) @ w_key
        value = (x if "value-raw" in faults else y) @ w_value
        change = attention(query, key, value, causal="causal" in faults) @ w_out
        if "output-norm" in faults:
            change = attention(x @ w_query, x @ w_key, x @ w_value) @ w_out
        if {"change-normed", "output-norm"} & faults:
            change = norm(change)
        if "no-residual" in faults:
            x = change
        elif "adds-to-first" in faults:
            x = first + change
        elif "post-norm" in faults:
            raw = attention(x @ w_query, x @ w_key, x @ w_value) @ w_out
            x = norm(x + raw)
        else:
            x = x + change
        if "doubled" in faults:
            x = x + y
        if "norm-every-end" in faults:
            x = norm(x)
        if "one-layer" in faults:
            break
    return x if "no-last" in faults else norm(x)


def _stream_reference(x, layers):
    return _stream(x, layers)


def _stream_recursive(x, layers):
    if len(layers) == 0:
        return _norm(x)
    w_query, w_key, w_value, w_out = layers[0]
    y = _norm(x)
    return _stream_recursive(x + attention(y @ w_query, y @ w_key, y @ w_value @ w_out), layers[1:])


def _stream_torch(x, layers):
    import torch
    from torch.nn.functional import layer_norm
    x = torch.as_tensor(x)
    for layer in layers:
        w_query, w_key, w_value, w_out = (torch.as_tensor(w) for w in layer)
        y = layer_norm(x, x.shape[-1:])
        x = torch.add(x, attention(y @ w_query, y @ w_key, y @ w_value) @ w_out)
    return layer_norm(x, x.shape[-1:])


def _stream_cases(seed):
    rng = np.random.default_rng([seed, 74])

    def case(*leading, layers, n, d, d_k, d_v, size=1.0, middle=1.0, empty=False, hard=""):
        stack = [tuple(rng.normal(size=shape) * 1.5 / math.sqrt(shape[0])
                       for shape in ((d, d_k), (d, d_k), (d, d_v), (d_v, d)))
                 for _ in range(layers)]
        x = size * rng.normal(size=(*leading, n, d)) + middle * rng.normal()
        x[..., 0, :] *= not empty
        return Case((x, stack), hard=hard)

    return [case(layers=2, n=4, d=6, d_k=3, d_v=5), case(3, layers=3, n=5, d=7, d_k=4, d_v=6),
            case(2, layers=4, n=6, d=5, d_k=3, d_v=8),
            case(layers=1, n=5, d=8, d_k=3, d_v=4, size=4.0, hard="a single layer"),
            case(layers=2, n=1, d=6, d_k=4, d_v=7, size=3.0, hard="a single word"),
            case(layers=2, n=4, d=6, d_k=3, d_v=5, size=0.002, middle=0,
                 hard="features that hardly differ"),
            case(4, layers=3, n=4, d=4, d_k=4, d_v=4),
            case(1, layers=2, n=3, d=1, d_k=2, d_v=3, hard="a single feature"),
            case(layers=2, n=3, d=7, d_k=2, d_v=5, size=300.0, empty=True,
                 hard="large features, and a word without any")]


_STREAM = Exercise(
    id="7.4", kind="find the bug", points=3, minutes=12, version=2,
    hints=(
        "Follow one word through the loop, and write down what is called `x` after each line.",
        "Which of the lines of (7.3) should this be, and what is added to what there?",
        "The step may see a normalised copy. Give the copy a name of its own.",
    ),
    cases=_stream_cases,
    spared={"empty": "a text without words has nothing to exchange or to normalise"},
    reference=_stream_reference,
    mistakes=switched(_stream, {
        "stream-normed": "The word's own vector is still normalised in every layer. After the "
                         "loop, can you find the original input anywhere in the sum?",
        "no-norm": "Now nothing is normalised in front of the steps.",
        "post-norm": "That is post-norm. The task is to mend pre-norm.",
        "no-residual": "Your layers put their output in the place of their input.",
        "query-raw": "Your queries see the stream as it is. The whole step sees the copy.",
        "key-raw": "Your keys see the stream as it is. The whole step sees the copy.",
        "value-raw": "Your values are taken from the stream as it is. The whole step sees the "
                     "copy.",
        "change-normed": "You normalise what the step gives. In pre-norm it is added as it comes.",
        "doubled": "You added the normalised copy to the stream as well.",
        "norm-every-end": "You normalise the sum at the end of every layer. In pre-norm that "
                          "happens once, behind the last.",
        "no-last": "The norm behind the last layer is gone. It was not the bug.",
        "one-layer": "You return after the first layer. Look at how far `return` is indented.",
        "tied": "You use the first layer's matrices in every layer. Each has its own.",
        "reversed": "You go through the layers from the last to the first.",
        "last-skipped": "Your last layer is not used.",
        "adds-to-first": "Every layer of yours adds to the first input, so that what the layers "
                         "before have added is lost.",
        "same-input": "Every layer of yours reads the first input. It should read the stream as it "
                      "finds it.",
        "output-norm": "You normalise what the step gives instead of what it is given.",
        "causal": "You used a causal mask. Nothing in the task hides later words.",
        "first-axis": "Your norm runs down the columns. Each word is normalised by itself, over "
                      "its features.",
        "root-first": "Your small constant is added to the root. It stands under it.",
        "no-constant": "The small constant under your root is missing, or another one. It matters "
                       "where features hardly differ.",
        "one-less": "Your variance is divided by one less than the width. Which function of "
                    "yours does that by itself?",
        "no-mean": "Your norm divides, but does not take the mean away first: that is RMSNorm.",
    }, pairs=[("stream-normed", "no-last"), ("no-norm", "no-last"), ("no-residual", "no-last"),
              ("value-raw", "no-last"), ("query-raw", "key-raw"), ("doubled", "no-last"),
              ("change-normed", "no-last"), ("one-layer", "no-last"), ("query-raw", "no-last"),
              ("key-raw", "no-last"), ("stream-normed", "one-layer"), ("key-raw", "value-raw"),
              ("post-norm", "one-layer")]),
    variants=(_stream_reference, _stream_recursive, _stream_torch),
)


# 7.5  Any number of steps

def _follow(start, aim, steps, *, faults=frozenset()):
    if "exchanged" in faults:
        start, aim = aim, start
    if "backwards" in faults:
        aim = attention(100 * start, aim, start, scale=1)
    if "stays" in faults:
        return start
    if "single" in faults:
        return aim
    if "twice" in faults:
        steps = 2 * steps
    here, jump = start, aim
    if "one-too-few" in faults:
        steps = max(steps - 1, 0)
    sharp = 1.0 if "soft" in faults else 100.0
    if "rounded-down" in faults and steps:
        steps = 2 ** (steps.bit_length() - 1)
    if "rounded-up" in faults and steps:
        steps = 2 ** (steps - 1).bit_length()
    if "one-too-many" in faults:
        here = aim
    bits = f"{steps:b}"
    for bit in bits if "large-first" in faults else bits[::-1]:
        if bit == "1":
            found = _look_up(here, start, jump, sharp, faults)
            here = here + found if "added" in faults else found
        if "jump-stays" not in faults:
            after = aim if "jump-by-one" in faults else jump
            jump = _look_up(jump, start, after, sharp, faults)
    if "jump" in faults:
        return jump
    return here.argmax(-1) if "numbers" in faults else here


def _look_up(query, key, value, sharp, faults):
    return attention(sharp * query, key, value, scale=1, causal="causal" in faults)


def _follow_reference(start, aim, steps):
    return _follow(start, aim, steps)


def _follow_judge(cases, outcomes):
    """What shows at any sharpness: blurred rows, and rows that know only of those above them."""
    blurred = above = True
    for case, outcome in zip(cases, outcomes):
        start, aim, _ = case.args
        rows = finite_array(outcome.value)
        if rows is None or rows.shape != aim.shape or abs(rows.sum(-1) - 1).max() > 1e-3:
            return None
        if not case.hard:
            blurred &= rows.max(-1).max() < 0.95
            above &= abs(rows[start + np.cumsum(aim, -2) == 0]).max() < 1e-3
    name = "soft" if blurred else "causal" if above else ""
    return next((Result("known_mistake", mistake.sentence, mistake=name)
                 for mistake in _FOLLOW.mistakes if mistake.name == name), None)


def _follow_indices(start, aim, steps):
    """Without any attention: the same, with whole numbers."""
    if start.ndim > 2:
        return np.stack([_follow_indices(*one, steps) for one in zip(start, aim)])
    after = dict(zip(start.argmax(1).tolist(), aim.argmax(1).tolist()))
    result = np.zeros(aim.shape)
    for row, name in enumerate(start.argmax(1).tolist()):
        road = [name]
        while after[road[-1]] != name:
            road.append(after[road[-1]])
        result[row, road[steps % len(road)]] = 1
    return result


def _follow_halves(start, aim, steps):
    """Half of the steps, twice."""
    if steps == 0:
        return start
    half = _follow_halves(start, aim, steps // 2)
    here = np.einsum("...in,...jn,...jm->...im", half, start, half)
    return np.einsum("...in,...jn,...jm->...im", here, start, aim) if steps % 2 else here


def _follow_torch(start, aim, steps):
    import torch
    start, jump = torch.as_tensor(start), torch.as_tensor(aim)
    here = start
    while steps:
        if steps % 2:
            here = torch.softmax(1000 * here @ start.mT, -1) @ jump
        jump = torch.softmax(1000 * jump @ start.mT, -1) @ jump
        steps //= 2
    return here


def _follow_cases(seed):
    rng = np.random.default_rng([seed, 75])

    def case(*leading, n, names, steps, hard=""):
        start, aim = np.zeros((2, *leading, n, names))
        for at in np.ndindex(*leading):
            items = rng.permutation(names)[:n]
            ring = np.roll(items, 1)  # one long cycle, so that all numbers of steps differ
            order = rng.permutation(n)
            start[at][np.arange(n), items[order]] = 1
            aim[at][np.arange(n), ring[order]] = 1
        return Case((start, aim, steps), hard=hard)

    return [case(n=7, names=9, steps=3), case(n=11, names=13, steps=6),
            case(3, n=29, names=31, steps=20), case(2, n=19, names=23, steps=11),
            case(n=17, names=19, steps=8), case(5, n=5, names=5, steps=3),
            case(n=6, names=10, steps=1, hard="one step"),
            case(1, n=1, names=1, steps=4, hard="an item that points to itself"),
            case(n=5, names=8, steps=0, hard="no step at all"),
            case(n=37, names=41, steps=10 ** 9 + 6, hard="a billion steps")]


_FOLLOW = Exercise(
    id="7.5", kind="write", points=4, minutes=20, version=2,
    hints=(
        "Every token keeps three things: its own name, the place that it has got to, and where a "
        "jump leads. Jumps double from layer to layer, as in the chapter.",
        "A number of steps is a sum of powers of two: 20 is 16 and 4. At which layers does a token "
        "jump, and at which does it stay where it is?",
        "The last binary digit of the number says whether to jump by one, the next by two, and so "
        "on. To jump, ask for the place you have got to; the keys are `start` in every layer, "
        "the values are the jumps.",
    ),
    cases=_follow_cases,
    spared={"empty": "without items nothing points anywhere",
            "large": "every row holds a single 1",
            "small": "every row holds a single 1"},
    reference=_follow_reference,
    mistakes=switched(_follow, {
        "rounded-down": "You stop at a power of two: the rest of the steps is never made.",
        "rounded-up": "You go on to a power of two, further than asked.",
        "one-too-many": "You make one step too many. Where is a token before its first step?",
        "one-too-few": "You make one step too few. Where is a token before its first step?",
        "twice": "You make twice as many steps as asked. How far does the first jump lead?",
        "exchanged": "You exchanged `start` and `aim`.",
        "stays": "Your tokens stay where they are.",
        "single": "Your tokens make one step, whatever `steps` is.",
        "large-first": "You read the binary digits from the wrong end. Which of them stands for a "
                       "jump by one?",
        "jump-stays": "Your jumps do not grow. After a layer, how far should one lead?",
        "jump-by-one": "Your jumps grow by one step a layer. What does a token know that is looked "
                       "up in the second layer?",
        "jump": "You returned where a jump leads. Asked is the place that was reached.",
        "soft": "Your rows are blurred over all tokens. What makes a softmax pick one?",
        "backwards": "You go against the arrows. By what are the other tokens found, and what do "
                     "they hand over?",
        "added": "You added what was found to what was there. A row should name one place.",
        "causal": "You used a causal mask. The order of the tokens means nothing here.",
        "numbers": "You return numbers. Asked are rows with a single 1, as in `aim`.",
    }, pairs=[("numbers", "rounded-down"), ("numbers", "one-too-many"),
              ("large-first", "one-too-many"), ("rounded-down", "one-too-many"),
              ("numbers", "large-first"), ("backwards", "one-too-many"),
              ("backwards", "large-first"), ("numbers", "backwards")]),
    judge=_follow_judge,
    variants=(_follow_reference, _follow_indices, _follow_halves, _follow_torch),
)


# 7.6  Yes or no?

_ANSWERS = {"a": "no", "b": "yes", "c": "yes", "d": "no", "e": "yes", "f": "yes"}


def _foreseen(*, faults=frozenset()):
    other = {"yes": "no", "no": "yes"}
    return {letter: other[word] if letter in faults else word for letter, word in _ANSWERS.items()}


_FORESEEN = Exercise(
    id="7.6", kind="predict", points=3, minutes=12, version=2,
    hints=(
        "For a and b, put the numbers into (7.5).",
        "For c and d, ask of each way in (7.3) whether something still stands behind the sum.",
        "For e, put 10 x for x into the line for pre-norm: what does the step see? For f, ask "
        "which words the *first* layer shows to the word in the middle.",
    ),
    cases=lambda seed: [Case()],
    reference=_foreseen,
    mistakes=switched(_foreseen, {
        "a": "Case a: how many words does each layer with a window of 3 add?",
        "b": "Case b: put six layers and a window of 3 into (7.5).",
        "c": "Case c: what is the last thing that a post-norm step does?",
        "d": "Case d: what is the last thing that a pre-norm step does?",
        "e": "Case e: what does the step see of an input, and what of ten times that input?",
        "f": "Case f: think of what the word in between has seen, and of what the last word sees "
             "of it.",
    }, pairs=[("a", "b"), ("c", "d"), ("a", "e"), ("a", "f"), ("b", "e"), ("b", "f"), ("c", "e"),
              ("d", "e"), ("d", "f"), ("e", "f"), ("a", "d"), ("b", "c")]),
    variants=(lambda: dict(f="yes", e="yes", d="no", c="yes", b="yes", a="no"),),
)


# 7.7  Keep the words apart

def _shares(depth, *, faults=frozenset()):
    skip, share = 1.0, depth ** -0.5
    if "bare" in faults:
        skip, share = 0.0, 1.0
    if "plain" in faults:
        share = 1.0
    if "half" in faults:
        skip = share = 0.5
    if "even" in faults:
        skip = share = 0.5 ** 0.5
    if "one-over-depth" in faults:
        share = 1 / depth
    if "fixed" in faults:
        share = 0.1
    if "nothing" in faults:
        share = 0.0
    if "growing" in faults:
        share = depth ** 0.5
    if "fading" in faults:
        skip = 1 - 1 / depth ** 0.5
    return skip, share


def _through(depth, skip, share):
    """What is left of the differences, the size, and the change, after so many layers."""
    rng = np.random.default_rng([depth, 77])
    start = x = rng.normal(size=(16, 32))
    for _ in range(depth):
        w_query, w_key, w_value, w_out = rng.normal(size=(4, 32, 32)) / math.sqrt(32)
        x = skip * x + share * attention(x @ w_query, x @ w_key, x @ w_value) @ w_out
    size = math.sqrt((x ** 2).sum() / (start ** 2).sum())
    alike = (x * start).sum() ** 2 / max((x ** 2).sum() * (start ** 2).sum(), 1e-300)
    return float(rank_one_residual(x)), size, 1 - alike


def _shares_law(cases, outcomes):
    for case, outcome in zip(cases, outcomes):
        depth, pair = case.args[0], outcome.value
        try:
            skip, share = (float(number) for number in pair)
        except (TypeError, ValueError):
            return another_form("Return two numbers: `return skip, share`.")
        if not (abs(skip) <= 100 and abs(share) <= 100):
            return another_form("Both numbers must be finite, and at most 100 in size.")
        left, size, change = _through(depth, skip, share)
        seen = f"{depth} layers, skip {skip:.3g}, share {share:.3g}"
        if left < 0.7:
            return broken_law(f"After {depth} layers {left:.2g} of the words' differences is "
                              "left; 0.7 was asked for.", seen, name="words alike")
        if not 0.5 <= size <= 1.5:
            return broken_law(f"After {depth} layers the vectors are {size:.2g} times as large as "
                              "at the start; 0.5 to 1.5 was asked for.", seen,
                              name="too large" if size > 1 else "too small")
        if change < 0.06:
            return broken_law(f"All {depth} layers together change {change:.3f} of the input; "
                              "0.06 was asked for. Such layers do nothing.", seen,
                              name="idle layers")
    return None


def _shares_judge(cases, outcomes):
    """The broken law; or the mistake, where it shows in how the numbers go with the depth."""
    broken = _shares_law(cases, outcomes)
    if broken is None or broken.mistake == "another form" or len(cases) < 2:
        return broken
    depth = np.array([case.args[0] for case in cases])
    skip, share = np.array([outcome.value for outcome in outcomes], float).T
    plain = (skip == 1).all()
    name = next((name for name, so in (
        ("fixed", plain and np.ptp(share) == 0),
        ("growing", plain and (np.diff(share) > 0).all()),
        ("one-over-depth", broken.mistake == "idle layers" and plain
         and (np.diff(share * depth ** 0.5) < 0).all()),
        ("fading", broken.mistake == "too small" and ((0 < skip) & (skip < 1)).all()),
    ) if so), None)
    sentences = {mistake.name: mistake.sentence for mistake in _SHARES.mistakes}
    return broken if name is None else Result(
        "known_mistake", sentences[name], f"{broken.sentence}\n{broken.witness}", mistake=name)


def _shares_cases(seed):
    rng = np.random.default_rng([seed, 7])
    shallow, middle, deep = (int(rng.integers(low, high))
                             for low, high in ((4, 8), (20, 40), (80, 150)))
    return [Case((shallow,)), Case((middle,)), Case((deep,), hard="very deep")]


_SHARES = Exercise(
    id="7.7", kind="open-ended", points=4, minutes=20, version=1,
    hints=(
        "Try (1, 1) at several depths, and look at the size. How must the share of each layer "
        "change when there are more of them?",
        "The changes of different layers point in unrelated directions. How does the size of a "
        "sum of unrelated vectors grow with their number? (Chapter 2 met the same question.)",
        "Like the root. If the skip is 1, what share makes the sum over all layers independent "
        "of the depth?",
    ),
    cases=_shares_cases,
    reference=None,
    mistakes=switched(_shares, {
        "bare": "You left the residual connection out, and all words become one.",
        "plain": "A plain residual connection. Deep down the vectors explode and the words "
                 "collapse: look at the residual stack in the chapter.",
        "half": "You took the mean of both. After many layers, how much is left of the first "
                "input?",
        "even": "Your two squares sum to one, so that the size is kept if the parts are unrelated. "
                "But how much is left of the first input after many layers?",
        "one-over-depth": "Your share shrinks too fast with the depth: all layers together hardly "
                          "change anything.",
        "fixed": "Your share is the same at every depth. It must do for few layers and for many.",
        "nothing": "Your layers add nothing. The words stay apart, but what are the layers for?",
        "growing": "Your share grows with the depth. Which way should it go?",
        "fading": "Your skip is below 1 in every layer. What becomes of the input after many?",
    }),
    judge=_shares_judge,
    variants=(_shares, lambda depth: [math.sqrt(1 - 1 / depth), math.sqrt(1 / depth)],
              lambda depth: np.array([1.0, 0.9 / depth ** 0.5])),
)


# 7.8  Make it flip: the size of the weights

_BLOCKS, _DRAWS = 24, 3
_KEPT, _CHANGED, _LOST = 0.5, 0.2, 0.1  # post-norm leaves and changes so much; pre-norm leaves


def _steps_of_a_block(rng, look, d=32):
    """Attention and feed-forward with new weights."""
    w_query, w_key, w_value, w_out = rng.normal(size=(4, d, d)) / math.sqrt(d)
    widen = rng.normal(size=(d, 4 * d)) / math.sqrt(d)
    narrow = rng.normal(size=(4 * d, d)) / math.sqrt(4 * d)
    return (
        lambda x: attention(look * x @ w_query, look * x @ w_key, x @ w_value) @ w_out,
        lambda x: np.maximum(x @ widen, 0) @ narrow,
    )


@functools.cache
def _sized(way, look, write):
    """What is left and what has changed after the blocks, medians over the draws."""
    found = []
    for draw in range(_DRAWS):
        rng = np.random.default_rng([draw, 78])
        start = x = rng.normal(size=(16, 32))
        for _ in range(_BLOCKS):
            for step in _steps_of_a_block(rng, look):
                if way == "pre":
                    x = x + write * step(_norm(x))
                else:
                    x = _norm(x + write * step(x))
        alike = (x * start).sum() ** 2 / ((x ** 2).sum() * (start ** 2).sum())
        found.append((float(rank_one_residual(x)), 1 - alike))
    return tuple(np.median(found, axis=0).tolist())


def _flips(post, pre):
    left, changed = _sized("post", *post)
    return left >= _KEPT and changed >= _CHANGED and _sized("pre", *pre)[0] <= _LOST


def _sizes(*, faults=frozenset()):
    post, pre = (1.0, 0.2), (0.1, 30.0)
    if "as-drawn" in faults:
        post = pre = (1.0, 1.0)
    if "look-alone" in faults:
        post = (0.1, 1.0)
    if "loud-post" in faults:
        post = (1.0, 3.0)
    if "idle" in faults:
        post = (1.0, 0.02)
    if "quiet-pre" in faults:
        pre = (0.1, 2.0)
    if "sharp-pre" in faults:
        pre = (10.0, 30.0)
    if "exchanged" in faults:
        post, pre = pre, post
    if "turned" in faults:
        post, pre = post[::-1], pre[::-1]
    return {"post": post, "pre": pre}


def _sizes_lists():
    return {"pre": [0.2, 50], "post": [2, 0.25]}


def _sizes_arrays():
    return {"post": np.array([0.5, 0.3]), "pre": np.array([0.05, 20.0])}


def _sizes_judge(cases, outcomes):
    given = outcomes[0].value
    if not isinstance(given, dict) or sorted(given) != ["post", "pre"]:
        return another_form('Return a dict with the keys "post" and "pre".')
    for name, pair in given.items():
        numbers = finite_array(pair)
        if numbers is None or numbers.shape != (2,) or not (
                (0.01 <= numbers) & (numbers <= 100)).all():
            return another_form(f'"{name}" is two numbers, look and write, from 0.01 to 100.',
                                f"got {pair!r}")
    post, pre = (tuple(finite_array(given[name]).tolist()) for name in ("post", "pre"))
    if _flips(post, pre):
        return None
    (left, changed), (lost, _) = _sized("post", *post), _sized("pre", *pre)
    shown = (f"post-norm, look {post[0]:g}, write {post[1]:g}: {left:.2g} is left, {changed:.2g} "
             f"has changed\npre-norm, look {pre[0]:g}, write {pre[1]:g}: {lost:.2g} is left")
    name = next(name for name, fault in (
        ("as-drawn", post == pre == (1, 1)),
        ("exchanged", _flips(pre, post)),
        ("turned", _flips(post[::-1], pre[::-1])),
        ("look-alone", left < _KEPT and post[1] == 1),
        ("loud-post", left < _KEPT),
        ("idle", changed < _CHANGED),
        ("quiet-pre", pre[1] < 10),
        ("sharp-pre", True),
    ) if fault)
    sentences = {mistake.name: mistake.sentence for mistake in _SIZES.mistakes}
    return Result("known_mistake", sentences[name], shown, mistake=name)


_SIZES = Exercise(
    id="7.8", kind="open-ended", points=4, minutes=20, version=1,
    hints=(
        "Post-norm divides the sum of the old and the new. How small must the new be, so that the "
        "old is still there after 24 blocks?",
        "Pre-norm never divides the stream. What must a step write, and how large, to drown the "
        "differences that were there? When does attention give all words nearly the same?",
    ),
    cases=lambda seed: [Case()],
    reference=None,
    mistakes=switched(_sizes, {
        "as-drawn": "These are the weights as the chapter drew them. Change their size.",
        "exchanged": 'Your two settings have changed places: "post" is the one for post-norm.',
        "turned": "Your pairs are turned round: `look` comes first, then `write`.",
        "look-alone": 'In your "post" what the steps write is as large as before. Where the '
                      "queries look hardly matters there; how loud is the new beside the old?",
        "loud-post": 'In your "post" the words are nearly alike at the end: the steps write too '
                     "much, and each norm behind the sum shrinks the old self.",
        "idle": 'In your "post" the words stay apart because the blocks hardly do anything.',
        "quiet-pre": 'In your "pre" the words are still apart: the steps write too little to '
                     "drown the differences.",
        "sharp-pre": 'In your "pre" the steps write much, but queries still tell keys apart, so '
                     "that what is written differs from word to word.",
    }),
    judge=_sizes_judge,
    variants=(_sizes, _sizes_lists, _sizes_arrays),
)


EXERCISES = (_COUNTED, _BLOCK, _REACH, _STREAM, _FOLLOW, _FORESEEN, _SHARES, _SIZES)
