"""Chapter 3, "Softmax": what its exercises ask, and what people answer."""

import math

import numpy as np

from ..attention import merge_partials, softmax
from ..diagnostics import effective_keys
from .core import READY_MADE, Case, Exercise, Mistake, broken_law, switched, with_numbers

_SOFTMAX = (
    *READY_MADE, "attnlib.softmax", "torch.softmax", "torch.Tensor.softmax", "torch.log_softmax",
    "torch.nn.functional.softmax", "torch.nn.functional.log_softmax",
)


def _quietly(function):
    """The function with numpy's warnings off: wrong versions divide by 0 and overflow."""
    def quiet(*args, **kwargs):
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)
    return quiet


# 3.1  Shares on paper

def _paper(*, exponentials=(1, 2, 3, 6), faults=frozenset()):
    more = np.array(exponentials, dtype=float)
    parts, whole, joined = more[:3], more[:3].sum(), more[3]
    cold = (np.sqrt(parts) if "hot" in faults else 2 * parts if "doubled" in faults
            else parts if "no-temperature" in faults else parts ** 2)
    four = more / (whole if "old-sum" in faults else whole + joined)
    group = (1 - joined / whole if "old-sum" in faults else 3 / 4 if "counted" in faults
             else whole / (whole + joined))
    weights = parts / whole
    if "scores-shared" in faults:
        logs = np.log(more)
        weights, four = logs[:3] / logs[:3].sum(), logs / logs.sum()
        cold, group = 2 * logs[:3], logs[:3].sum() / logs.sum()
    if "joined-late" in faults:
        four = np.append(parts, whole * joined / (whole + joined)) / whole
    if "not-normalised" in faults:
        return {"weights": parts.tolist(), "cold": cold.tolist(), "four": more.tolist(),
                "group": float(whole)}
    return {"weights": weights.tolist(), "cold": (cold / cold.sum()).tolist(),
            "four": four.tolist(), "group": float(group)}


def _vary_paper(rng):
    """Three scores that are not zero; the fourth key does not take just a quarter."""
    b, c, d = 2, 2, 2
    while len({b, c, d}) < 3 or abs(3 * d - 1 - b - c) < 2:
        b, c, d = (int(x) for x in rng.integers((2, 2, 3), 10))
    return with_numbers(_PAPER, dict(exponentials=(1, b, c, d)), {
        r"\ln 2": rf"\ln {b}", r"\ln 3": rf"\ln {c}", r"\ln 6": rf"\ln {d}"})


_PAPER = Exercise(
    id="3.1", kind="by hand", points=2, minutes=8, version=1,
    hints=(
        "The exponential of a logarithm is the number itself. "
        "Write down the exponentials of all scores before you divide.",
        "Temperature 1/2 doubles every score. What does that do to an exponential? "
        "And a new key changes the sum that every share is divided by.",
    ),
    cases=lambda seed: [Case()],
    reference=_paper,
    mistakes=switched(_paper, {
        "scores-shared": "You divided the scores by their sum. A softmax does something to every "
                         "score before it divides.",
        "hot": "Your cold shares are more even than the warm ones. Which way does a temperature "
               "below 1 push them?",
        "doubled": "Your cold shares come from doubled exponentials. It is the scores that "
                   "double, inside the exponential.",
        "no-temperature": "Your cold shares are those of temperature 1. "
                          "The scores are divided by the temperature first.",
        "old-sum": "Your four shares do not sum to one: they are still divided by the sum of "
                   "the first three.",
        "joined-late": "You put the new share beside the old ones. When a key joins, the others "
                       "must give something away.",
        "counted": "Your group is three keys of four. A group counts by its shares, not by its "
                   "number of keys.",
        "not-normalised": "These are the exponentials. One step is missing before they are shares.",
    }, pairs=[("hot", "old-sum"), ("hot", "joined-late"), ("hot", "counted"),
              ("doubled", "old-sum"), ("doubled", "joined-late"), ("joined-late", "counted"),
              ("no-temperature", "old-sum"), ("no-temperature", "counted")]),
    equivalent={
        frozenset({"doubled", "no-temperature"}): "doubled exponentials give the same shares",
        frozenset({"doubled+old-sum", "no-temperature+old-sum"}): "for the same reason",
    },
    variants=(
        lambda: {"weights": np.array([1, 2, 3]) / 6, "cold": (1 / 14, 2 / 7, 9 / 14),
                 "four": np.array([1, 2, 3, 6]) / 12, "group": 0.5},
    ),
    vary=_vary_paper,
)


# 3.2  A softmax for all weathers

@_quietly
def _softmax(scores, axis, *, faults=frozenset()):
    if "last-axis" in faults:
        axis = -1
    if "first-axis" in faults:
        axis = 0
    if "in-place" in faults:
        scores -= np.where(np.isfinite(scores), scores, -np.inf).max()
    top = scores.max(axis=axis, keepdims=True)
    if "global-top" in faults:
        top = np.broadcast_to(scores.max(), top.shape)
    if "mean" in faults:
        top = scores.mean(axis=axis, keepdims=True)
    if "absolute" in faults:
        top = np.abs(scores).max(axis=axis, keepdims=True)
    if "smallest" in faults:
        top = scores.min(axis=axis, keepdims=True)
    if "no-keepdims" in faults:
        top = scores.max(axis=axis)
    if "empty-nan" not in faults and "even-when-empty" not in faults:
        top = np.where(np.isneginf(top), 0.0, top)
    shifted = scores if "overflow" in faults else scores - top
    if "even-when-empty" in faults:
        shifted = np.maximum(scores, -1e300) - np.maximum(top, -1e300)
    parts = 2.0 ** shifted if "base-two" in faults else np.exp(shifted)
    total = parts.sum(axis=None if "over-everything" in faults else axis,
                      keepdims=True)
    if "no-keepdims" in faults:
        total = parts.sum(axis=axis)
    if "largest-divides" in faults:
        total = parts.max(axis=axis, keepdims=True)
    if "empty-nan" not in faults:
        total = np.where(total == 0, 1.0, total)
    if "epsilon" in faults:
        total = total + 0.1
    return np.log(parts / total) if "logarithm" in faults else parts / total


def _softmax_reference(scores, axis):
    return softmax(scores, axis)


def _softmax_loops(scores, axis):
    rows = np.moveaxis(scores, axis, -1)
    shares = np.zeros(rows.shape)
    for place in np.ndindex(rows.shape[:-1]):
        top = max(rows[place])
        if top > -math.inf:
            parts = [math.exp(score - top) for score in rows[place]]
            shares[place] = [part / sum(parts) for part in parts]
    return np.moveaxis(shares, -1, axis)


def _softmax_torch(scores, axis):
    import torch
    lse = torch.logsumexp(scores, axis, keepdim=True)
    return torch.exp(scores - torch.where(lse == -math.inf, 0.0, lse))


def _softmax_cases(seed):
    rng = np.random.default_rng([seed, 32])

    def case(*shape, axis, size=1.5, shift=0.0, hidden=0.0, empty=False, hard=""):
        scores = size * rng.normal(size=shape) + shift
        scores[rng.random(shape) < hidden] = -np.inf
        if empty:
            np.moveaxis(scores, axis, -1)[(0,) * (len(shape) - 1)] = -np.inf
        return Case((scores, axis), hard=hard)

    far = rng.normal(size=(3, 5)) + 2000.0 * rng.permutation(3)[:, None]
    return [case(4, axis=0), case(3, 6, axis=1), case(5, 2, axis=0), case(2, 3, 5, axis=1),
            case(4, 3, 2, axis=-3), case(3, 4, axis=-1, size=800.0, hard="scores in the hundreds"),
            Case((far, 1), hard="rows that lie far from each other"),
            case(2, 6, axis=-1, shift=-900.0, hard="scores far below 0"),
            case(5, 7, axis=0, hidden=0.4, hard="scores of minus infinity"),
            case(4, 6, axis=1, empty=True, hard="a row that may not have anything"),
            case(3, 5, axis=0, empty=True, hard="a column that may not have anything"),
            case(1, 3, axis=0, hard="rows of one score")]


_STABLE = Exercise(
    id="3.2", kind="write", points=4, minutes=15, version=1,
    hints=(
        "Equation (3.3): the largest score is sought along the same axis as the sum. "
        "`keepdims=True` keeps the shapes fitting.",
        "In a row of minus infinities the largest is minus infinity too, and their difference is "
        "not a number. What could be subtracted there instead?",
        "In that row all exponentials are then 0, and so is their sum. "
        "`np.where` can put a harmless number in its place before you divide.",
    ),
    cases=_softmax_cases,
    reference=_softmax_reference,
    mistakes=switched(_softmax, {
        "overflow": "Right for small scores. For large ones `exp` overflows, and far below 0 "
                    "everything rounds to 0. See equation (3.3).",
        "last-axis": "You always share out along the last axis, whatever axis is asked for.",
        "first-axis": "You always share out along the first axis, whatever axis is asked for.",
        "over-everything": "You divide by the sum of the whole array. "
                           "Each row along the axis has its own.",
        "global-top": "You subtract the largest score of the whole array. A row that lies far "
                      "below it rounds to nothing.",
        "mean": "You subtract the mean. That keeps the shares, but the largest exponent is still "
                "above 0 and can overflow.",
        "smallest": "You subtract the smallest score. Now every exponent is above 0: "
                    "look at what that does to large ones.",
        "absolute": "You subtract the largest absolute value. In a row of scores far below 0 that "
                    "makes them lower still.",
        "empty-nan": "Right but for rows in which nothing is allowed: there minus infinity is "
                     "subtracted from itself.",
        "even-when-empty": "In a row in which nothing is allowed your shares are even. "
                           "Nothing should get anything there.",
        "no-keepdims": "Right along the first axis, an error along others: "
                       "the largest score and the sum must keep the axis they were taken over.",
        "base-two": "Your base is 2. Compare with the base in equation (3.1).",
        "largest-divides": "You divide by the largest exponential. Do your shares sum to one?",
        "epsilon": "You add something to the sum before dividing, so the shares do not sum to one. "
                   "With the largest subtracted, where could 0 come from?",
        "logarithm": "You returned the logarithms of the shares.",
        "in-place": "Right numbers, but you changed the caller's scores on the way: look "
                    "for an operator that writes into its left side.",
    }, pairs=[("overflow", "empty-nan"), ("global-top", "empty-nan"), ("no-keepdims", "empty-nan"),
              ("mean", "empty-nan"), ("absolute", "empty-nan"),
              ("last-axis", "overflow"), ("last-axis", "empty-nan"), ("first-axis", "overflow"),
              ("first-axis", "empty-nan"), ("over-everything", "empty-nan"),
              ("over-everything", "overflow"), ("global-top", "over-everything"),
              ("last-axis", "mean"), ("last-axis", "logarithm"), ("empty-nan", "logarithm"),
              ("last-axis", "global-top"), ("last-axis", "base-two")]),
    forbidden=_SOFTMAX,
    variants=(_softmax_loops, _softmax_torch),
)


# 3.3  Two halves make a whole

@_quietly
def _merge(output_a, lse_a, output_b, lse_b, *, faults=frozenset()):
    top = np.maximum(lse_a, lse_b)
    if "empty-nan" not in faults:
        top = np.where(np.isneginf(top), 0.0, top)
    if "overflow" in faults:
        top = np.zeros(top.shape)
    part_a, part_b = np.exp(lse_a - top), np.exp(lse_b - top)
    if "own-tops" in faults:
        part_a, part_b = np.exp(lse_a - lse_a), np.exp(lse_b - lse_b)
        part_a, part_b = np.nan_to_num(part_a), np.nan_to_num(part_b)
    if "lse-weights" in faults:
        part_a, part_b = lse_a, lse_b
    if "swapped" in faults:
        part_a, part_b = part_b, part_a
    total = part_a + part_b
    bare = faults & {"empty-nan", "output-nan"}
    whole = total if bare else np.where(total == 0, 1.0, total)
    if "no-new-axis" in faults:
        output = (part_a * output_a + part_b * output_b) / whole
    elif "plain-mean" in faults:
        output = (output_a + output_b) / 2
    elif "sum" in faults:
        output = output_a + output_b
    elif "not-divided" in faults:
        output = part_a[:, None] * output_a + part_b[:, None] * output_b
    elif "larger-takes-all" in faults:
        output = np.where((lse_a > lse_b)[:, None], output_a, output_b)
    else:
        output = (part_a / whole)[:, None] * output_a + (part_b / whole)[:, None] * output_b
    lse = np.where(total == 0, -np.inf, top + np.log(whole))
    true_total = np.exp(lse_a - top) + np.exp(lse_b - top)
    if faults & {"own-tops", "lse-weights", "swapped"}:
        lse = np.where(true_total == 0, -np.inf,
                       top + np.log(np.where(true_total == 0, 1.0, true_total)))
    if "lse-added" in faults:
        lse = lse_a + lse_b
    if "lse-largest" in faults:
        lse = np.maximum(lse_a, lse_b)
    if "top-forgotten" in faults:
        lse = lse - top
    if "no-log" in faults:
        lse = np.exp(lse)
    return output if "output-alone" in faults else (output, lse)


def _merge_loops(output_a, lse_a, output_b, lse_b):
    output, lse = np.zeros(output_a.shape), np.full(lse_a.shape, -math.inf)
    for i, (a, b) in enumerate(zip(lse_a, lse_b)):
        top = max(a, b)
        if top > -math.inf:
            part_a, part_b = math.exp(a - top), math.exp(b - top)
            output[i] = (part_a * output_a[i] + part_b * output_b[i]) / (part_a + part_b)
            lse[i] = top + math.log(part_a + part_b)
    return output, lse


def _merge_logaddexp(output_a, lse_a, output_b, lse_b):
    lse = np.logaddexp(lse_a, lse_b)
    safe = np.where(lse == -np.inf, 0.0, lse)
    shares = np.exp(np.stack([lse_a, lse_b]) - safe)
    return np.einsum("pi,pid->id", shares, np.stack([output_a, output_b])), lse


def _merge_torch(output_a, lse_a, output_b, lse_b):
    import torch
    lse = torch.logaddexp(lse_a, lse_b)
    safe = torch.where(lse == -math.inf, 0.0, lse)
    share_a, share_b = torch.exp(lse_a - safe), torch.exp(lse_b - safe)
    return share_a[:, None] * output_a + share_b[:, None] * output_b, lse


def _merge_cases(seed):
    rng = np.random.default_rng([seed, 33])

    def part(n_q, d_v, size, shift, empty):
        output, lse = rng.normal(size=(n_q, d_v)) + 1, size * rng.normal(size=n_q) + shift
        output[list(empty)], lse[list(empty)] = 0.0, -np.inf
        return output, lse

    def case(n_q, d_v, size=1.0, shift=1.0, empty_a=(), empty_b=(), hard=""):
        return Case((*part(n_q, d_v, size, shift, empty_a), *part(n_q, d_v, size, shift, empty_b)),
                    hard=hard)

    return [case(3, 2), case(4, 5), case(6, 3, size=2.0),
            case(3, 4, shift=1500.0, hard="sums too large for a number"),
            case(5, 2, shift=-1500.0, hard="sums too small for a number"),
            case(4, 3, empty_a=(0, 2), empty_b=(1,), hard="parts that saw nothing"),
            case(5, 3, empty_a=(1, 3), empty_b=(3,), hard="a query that saw nothing in either"),
            case(1, 2, hard="a single query")]


_MERGE = Exercise(
    id="3.3", kind="write", points=4, minutes=15, version=1,
    hints=(
        "Each part counts by its own sum of exponentials, which is the exponential of its lse. "
        "`[:, None]` lets a number per query meet an output per query.",
        "The two sums are a softmax in the making: subtract the larger lse from both before "
        "taking exponentials, and add it again to the merged lse.",
        "If both are minus infinity, subtract 0 instead. Then the total is 0, and a 1 in its place "
        "keeps the division harmless.",
    ),
    cases=_merge_cases,
    reference=merge_partials,
    mistakes=switched(_merge, {
        "plain-mean": "Your output is the plain mean of the two. A part with many good keys should "
                      "count for more: look at the weights in equation (3.6).",
        "sum": "You added the two outputs. Each is already a mean: what is the mean of means?",
        "swapped": "Each output has the other part's weight. Which sum belongs to which output?",
        "lse-weights": "You weighted the outputs with the lse themselves. "
                       "They are logarithms of the weights in equation (3.6).",
        "own-tops": "You subtracted from each lse its own value, so both parts count alike. "
                    "Both must lose the same number.",
        "not-divided": "Your parts are not divided by their total.",
        "larger-takes-all": "You took the output of the part with the larger lse. "
                            "The other one has a share too.",
        "overflow": "Right for small sums. Look at the exponential of an lse of 1500, "
                    "and at that of -1500.",
        "empty-nan": "Right, except for a query that saw nothing in either part: there you "
                     "subtract infinities, or divide 0 by 0.",
        "output-nan": "Your lse is right. But a query that saw nothing in either part gets an "
                      "output that is not a number: what do you divide there?",
        "no-new-axis": "An error unless there is a single query: a number per query must meet a "
                       "row per query. Compare the shapes.",
        "lse-added": "Your lse is the sum of the two. Adding logarithms multiplies what is inside.",
        "lse-largest": "Your lse is the larger of the two. The smaller sum is missing from it.",
        "top-forgotten": "Your lse lacks the number that you subtracted before the exponential.",
        "no-log": "Your lse is the sum itself. Look for the logarithm in equation (3.6).",
        "output-alone": "You returned the output alone. Merging goes on, so the lse is needed too.",
    }, pairs=[("overflow", "empty-nan"), ("plain-mean", "lse-added"),
              ("plain-mean", "lse-largest"), ("swapped", "lse-largest"),
              ("overflow", "lse-largest"), ("sum", "lse-added"),
              ("swapped", "lse-added"), ("overflow", "lse-added"), ("empty-nan", "lse-largest"),
              ("empty-nan", "top-forgotten"), ("larger-takes-all", "lse-largest"),
              ("not-divided", "top-forgotten"), ("overflow", "output-alone")]),
    forbidden=("attnlib.merge_partials",),
    variants=(_merge_loops, _merge_logaddexp, _merge_torch),
)


# 3.4  Back through the softmax

def _back(weights, gradient, *, faults=frozenset()):
    product = weights * gradient
    if "diagonal" in faults:
        return product * (1 - weights)
    if "one-row" in faults:
        return (np.diag(weights) - np.outer(weights, weights)) @ gradient
    if "direct" in faults:
        return product
    mean = product.sum(-1, keepdims=True)
    if "plain-mean" in faults:
        mean = gradient.mean(-1, keepdims=True)
    if "plain-sum" in faults:
        mean = gradient.sum(-1, keepdims=True)
    if "mean-of-product" in faults:
        mean = product.mean(-1, keepdims=True)
    if "first-axis" in faults:
        mean = product.sum(0, keepdims=True)
    if "over-everything" in faults:
        mean = product.sum()
    if "added" in faults:
        mean = -mean
    if "not-weighted" in faults:
        return gradient - mean
    if "mean-unweighted" in faults:
        return product - mean
    if "in-place" in faults:
        gradient -= mean
        return weights * gradient
    result = weights * (gradient - mean)
    return -result if "sign" in faults else result


def _back_reference(weights, gradient):
    return weights * (gradient - (weights * gradient).sum(-1)[..., None])


def _back_matrix(weights, gradient):
    eye = np.eye(weights.shape[-1])
    matrix = weights[..., None] * (eye - weights[..., None, :])
    return np.einsum("...ij,...i->...j", matrix, gradient)


def _back_loops(weights, gradient):
    result = np.zeros(weights.shape)
    for place in np.ndindex(weights.shape[:-1]):
        a, g = weights[place], gradient[place]
        for j in range(len(a)):
            result[place][j] = sum(g[i] * a[i] * ((i == j) - a[j]) for i in range(len(a)))
    return result


def _back_torch(weights, gradient):
    return weights * (gradient - (weights * gradient).sum(dim=-1, keepdim=True))


def _back_cases(seed):
    rng = np.random.default_rng([seed, 34])

    def case(*shape, size=1.5, empty=False, hard=""):
        weights = softmax(size * rng.normal(size=shape))
        if empty:
            weights[0] = 0.0
        return Case((weights, 2 * rng.normal(size=shape) + 1), hard=hard)

    return [case(4), case(3, 5), case(6, 2), case(2, 3, 4), case(5, 3, 6),
            case(2, 4, size=60.0, hard="shares of 0 and 1"),
            case(3, 4, empty=True, hard="a row that gets nothing"),
            case(4, 1, hard="rows of one key")]


_BACK = Exercise(
    id="3.4", kind="write", points=3, minutes=15, version=1,
    hints=(
        "Put equation (3.5) into the sum and pull out what does not depend on the index that is "
        "summed over.",
        "One term keeps a single number of the gradient. The other is a sum over the row, one "
        "number per row, which you need in the shape `(..., 1)`.",
    ),
    cases=_back_cases,
    reference=_back_reference,
    mistakes=switched(_back, {
        "diagonal": "You used the diagonal of the Jacobian alone. A share also moves when "
                    "another key's score moves.",
        "one-row": "Right for a single row, an error for more. The task asks for rows of any "
                   "number, and for no matrix at all.",
        "direct": "You multiplied by the shares and stopped. In equation (3.5) a second term is "
                  "subtracted.",
        "plain-mean": "You subtracted the plain mean of the gradient. In which proportions do the "
                      "keys count in it?",
        "plain-sum": "You subtracted the plain sum of the gradient. "
                     "Each of its numbers is multiplied by something first.",
        "mean-of-product": "You divided the sum over the row by its length. "
                           "Equation (3.5) has no such division.",
        "first-axis": "You summed along the first axis. A row of shares lies along the last.",
        "over-everything": "You summed over all rows together. Each row has its own sum.",
        "added": "You added the sum over the row. Look at the sign in equation (3.5).",
        "not-weighted": "Your last step lacks the factor that stands before the bracket in "
                        "equation (3.5).",
        "mean-unweighted": "The share multiplies only one of the two terms. "
                           "Look at the bracket in equation (3.5).",
        "sign": "All of your signs are turned round.",
        "in-place": "Right numbers, but you changed the caller's gradient on the way: look for "
                    "an operator that writes into its left side.",
    }, pairs=[("plain-mean", "not-weighted"), ("added", "first-axis"),
              ("first-axis", "not-weighted"), ("plain-mean", "added"),
              ("over-everything", "added"), ("plain-sum", "added"),
              ("over-everything", "not-weighted"), ("mean-of-product", "added"),
              ("first-axis", "mean-unweighted"), ("plain-mean", "sign")]),
    forbidden=("torch.autograd.grad", "torch.Tensor.backward",
               "torch.autograd.functional.jacobian", "torch.autograd.functional.vjp"),
    variants=(_back_matrix, _back_loops, _back_torch),
)


# 3.5  A stream with leaks

@_quietly
def _stream(scores, value, chunk, *, faults=frozenset()):
    top = 0.0 if "top-zero" in faults else -np.inf
    total, output, shares = 0.0, np.zeros((len(scores), value.shape[1])), []
    n_k = scores.shape[1]
    for start in range(0, n_k - n_k % chunk if "rest-lost" in faults else n_k, chunk):
        part = scores[:, start:start + chunk]
        new_top = np.maximum(top, part.max(axis=1, keepdims=True))
        if "top-of-chunk" in faults:
            new_top = part.max(axis=1, keepdims=True)
        if "top-shared" in faults:
            new_top = np.maximum(top, part.max())
        keeps_nan = "empty-nan" in faults
        finite = new_top if keeps_nan else np.where(np.isneginf(new_top), 0.0, new_top)
        parts, shrink = np.exp(part - finite), np.exp(top - finite)
        if "shrink-turned" in faults:
            shrink = np.where(np.isneginf(top), 0.0, np.exp(finite - top))
        total = (1.0 if "total-kept" in faults else shrink) * total
        output = (1.0 if "output-kept" in faults else shrink) * output
        total = total + parts.sum(axis=1, keepdims=True)
        output = output + parts @ value[start:start + chunk]
        if "mean-of-chunks" in faults:
            own = parts.sum(axis=1, keepdims=True)
            shares.append(parts @ value[start:start + chunk] / np.where(own == 0, 1.0, own))
        if "top-kept" not in faults or start == 0:
            top = new_top
    if "mean-of-chunks" in faults:
        return np.mean(shares, axis=0)
    if not faults & {"empty-nan", "rows-nan"}:
        total = np.where(total == 0, 1.0, total)
    return output / total


@_quietly
def _stream_as_given(scores, value, chunk):
    top, total, output = 0.0, 0.0, 0.0
    for start in range(0, scores.shape[1], chunk):
        part = scores[:, start:start + chunk]
        new_top = np.maximum(top, part.max(axis=1, keepdims=True))
        parts = np.exp(part - new_top)
        total = total * np.exp(top - new_top) + parts.sum(axis=1, keepdims=True)
        output = output + parts @ value[start:start + chunk]
        top = new_top
    return output / total


def _stream_reference(scores, value, chunk):
    return softmax(scores) @ value


def _stream_two_passes(scores, value, chunk):
    top = scores.max(axis=1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    total, output = np.zeros(top.shape), np.zeros((len(scores), value.shape[1]))
    for start in range(0, scores.shape[1], chunk):
        parts = np.exp(scores[:, start:start + chunk] - top)
        total += parts.sum(axis=1, keepdims=True)
        output += np.einsum("ij,jd->id", parts, value[start:start + chunk])
    return np.divide(output, total, out=np.zeros_like(output), where=total > 0)


def _stream_loops(scores, value, chunk):
    output = np.zeros((len(scores), value.shape[1]))
    for i, row in enumerate(scores):
        top, total = -math.inf, 0.0
        for score, one in zip(row, value):
            if score == -math.inf:
                continue
            new_top = max(top, score)
            shrink, part = math.exp(top - new_top), math.exp(score - new_top)
            total = shrink * total + part
            output[i] = shrink * output[i] + part * one
            top = new_top
        output[i] /= total or 1.0
    return output


def _stream_torch(scores, value, chunk):
    import torch
    lses, outputs = [], []
    for part, rows in zip(scores.split(chunk, dim=1), value.split(chunk)):
        lse = part.logsumexp(1, keepdim=True)
        parts = torch.exp(part - torch.where(lse == -math.inf, 0.0, lse))
        lses.append(lse)
        outputs.append(parts @ rows)
    lse = torch.stack(lses)  # (chunks, n_q, 1)
    top = lse.max(0).values
    parts = torch.exp(lse - torch.where(top == -math.inf, 0.0, top))
    total = parts.sum(0)
    return (parts * torch.stack(outputs)).sum(0) / torch.where(total == 0, 1.0, total)


def _stream_cases(seed):
    rng = np.random.default_rng([seed, 35])

    def case(n_q, n_k, d_v, chunk, size=2.0, shift=0.0, first=0, empty=(), hard=""):
        scores = size * rng.normal(size=(n_q, n_k)) + shift
        scores[:2, :first] = -np.inf
        scores[list(empty)] = -np.inf
        return Case((scores, 3 * rng.normal(size=(n_k, d_v)), chunk), hard=hard)

    apart = rng.normal(size=(3, 8)) + 1000.0 * rng.permutation(3)[:, None]
    falling = rng.normal(size=(4, 7)) - 500.0 * np.arange(7)
    return [case(3, 8, 2, 4), case(4, 6, 5, 2), case(5, 7, 3, 3), case(2, 9, 4, 9),
            case(3, 6, 2, 2, size=300.0, hard="scores in the hundreds"),
            case(2, 8, 3, 3, shift=-900.0, hard="scores far below 0"),
            Case((apart, rng.normal(size=(8, 4)), 3), hard="rows that lie far from each other"),
            Case((falling, rng.normal(size=(7, 3)), 2), hard="scores that fall and fall"),
            case(4, 7, 2, 2, first=3, hard="a first chunk that may not be seen"),
            case(5, 6, 3, 2, empty=(1, 4), hard="queries that may see nothing"),
            case(1, 5, 2, 2, hard="a single query")]


_STREAM = Exercise(
    id="3.5", kind="find the bug", points=5, minutes=25, version=1,
    hints=(
        "Compare with `online` in the chapter, line by line. What happens there to what has been "
        "gathered when a larger score arrives?",
        "Give it scores that all lie near -900. Which top does it use, and what is left of the "
        "exponentials?",
        "A top of minus infinity is the right one to begin with. But look at what is subtracted "
        "while it is still minus infinity, and at what the last line divides by.",
    ),
    cases=_stream_cases,
    reference=_stream_reference,
    mistakes=(Mistake("as-given", "This is the function as it was given. Try it on two keys, "
                      "the larger score second, and follow each of its three numbers by hand.",
                      _stream_as_given), *switched(_stream, {
        "output-kept": "When the top rises, the total shrinks and the output does not. "
                       "They must be measured with one and the same top.",
        "top-zero": "Your top begins at 0. For scores that all lie far below 0 every exponential "
                    "rounds to 0.",
        "total-kept": "When the top rises, the output shrinks and the total does not.",
        "empty-nan": "Right until a query sees nothing in the first chunk: then minus infinity is "
                     "subtracted from itself.",
        "rows-nan": "Right but for queries that see nothing at all. What do you divide there?",
        "top-of-chunk": "You take the top of each chunk alone. If it falls, what was gathered "
                        "grows, and overflows.",
        "top-shared": "One top for all queries: a query whose scores lie far below the others' "
                      "rounds to 0.",
        "top-kept": "Your top is that of the first chunk. A later, larger score overflows, or what "
                    "was gathered is shrunk again and again.",
        "shrink-turned": "When a larger score arrives, what you have gathered grows. "
                         "Look at the order in the difference.",
        "rest-lost": "The last chunk is shorter than the others, and you leave it out.",
        "mean-of-chunks": "You take the plain mean of the chunks' outputs. "
                          "A chunk counts by its sum of exponentials.",
    }, pairs=[("output-kept", "top-zero"), ("output-kept", "empty-nan"),
              ("output-kept", "rows-nan"), ("top-zero", "rows-nan"),
              ("total-kept", "output-kept"), ("total-kept", "empty-nan"),
              ("top-zero", "total-kept"), ("shrink-turned", "empty-nan"),
              ("top-shared", "empty-nan"), ("output-kept", "rest-lost"),
              ("mean-of-chunks", "rest-lost"), ("top-shared", "output-kept")])),
    forbidden=_SOFTMAX,
    variants=(_stream_two_passes, _stream_loops, _stream_torch),
)


# 3.6  More keys or fewer?

_CHANGES = {"a": "same", "b": "fewer", "c": "more", "d": "same", "e": "more", "f": "fewer"}
_GUESSES = {"a": "fewer", "b": "more", "c": "fewer", "d": "more", "e": "fewer", "f": "more"}


def _prediction(*, faults=frozenset()):
    words = {letter: _GUESSES[letter] if letter in faults else word
             for letter, word in _CHANGES.items()}
    if "b-same" in faults:
        words["b"] = "same"
    if "d-fewer" in faults:
        words["d"] = "fewer"
    return words


_PREDICTION = Exercise(
    id="3.6", kind="predict", points=3, minutes=8, version=1,
    hints=(
        "Equation (3.2): what happens to the differences between the scores?",
        "For d to f ask what the new key takes from the others, and how even the shares are then.",
    ),
    cases=lambda seed: [Case()],
    reference=_prediction,
    mistakes=switched(_prediction, {
        "a": "Case a: by how much do the differences between the scores change?",
        "b": "Case b: the differences double. Does that make the shares more even?",
        "b-same": "Case b: doubling is not adding. The ratio of two exponentials does change.",
        "c": "Case c: divide the scores by 2 and look at their differences.",
        "d": "Case d: how large is the new key's share, and what does it take from the others?",
        "d-fewer": "Case d: what does the new key get, and what does it take away?",
        "e": "Case e: the best key had most of the weight. Now two keys are equally good.",
        "f": "Case f: how much is left for the four old keys?",
    }, pairs=[("b", "c"), ("a", "b"), ("a", "c"), ("a", "d"), ("a", "e"), ("a", "f"), ("b", "e"),
              ("b", "f"), ("d", "e"), ("d", "f"), ("e", "f"), ("c", "f"), ("b-same", "f"),
              ("b-same", "e"), ("d-fewer", "e"), ("d-fewer", "f")]),
    variants=(
        lambda: {"a": "Same", "b": "fewer", "c": "more", "d": "same", "e": "more", "f": "fewer"},
    ),
)


# 3.7  A thermostat

def _keys_at(scores, temperature):
    return float(effective_keys(softmax(scores / temperature)[None])[0])


def _bisect(count, scores, wanted):
    """The temperature at which ``count``, which rises with it, reaches ``wanted``."""
    low, high = (math.log(np.ptp(scores)) + width for width in (-15, 15))
    for _ in range(60):
        middle = (low + high) / 2
        if count(softmax(scores / math.exp(middle))) < wanted:
            low = middle
        else:
            high = middle
    return math.exp(low)


def _entropy(weights, base=math.e):
    seen = weights[weights > 0]
    return float(-(seen * np.log(seen)).sum() / math.log(base))


@_quietly
def _thermostat(scores, keys, *, faults=frozenset()):
    if "keys" in faults:
        return float(keys)
    if "spread" in faults:
        return float(np.std(scores))
    if "squares" in faults:
        return _bisect(lambda weights: 1 / float((weights ** 2).sum()), scores, keys)
    if "bits" in faults:
        return _bisect(lambda weights: math.exp(_entropy(weights, 2)), scores, keys)
    if "largest" in faults:
        return _bisect(lambda weights: 1 / float(weights.max()), scores, keys)
    if "entropy" in faults:
        return _bisect(_entropy, scores, keys)
    temperature = _bisect(lambda weights: math.exp(_entropy(weights)), scores, keys)
    if "fixed-range" in faults:
        return float(np.clip(temperature, 1e-2, 1e2))
    return 1 / temperature if "inverse" in faults else temperature


def _thermostat_judge(cases, outcomes):
    for case, outcome in zip(cases, outcomes):
        scores, keys = case.args
        found = np.asarray(outcome.value, dtype=float)
        if found.size != 1:
            return broken_law("A temperature is one number.")
        temperature = float(found.reshape(()))
        if not (math.isfinite(temperature) and temperature > 0):
            return broken_law(f"A temperature is a number above 0, not {temperature:g}.")
        with np.errstate(all="ignore"):
            got = _keys_at(scores, temperature)
        if not abs(got - keys) <= 0.01:
            return broken_law(
                f"At your temperature there are {got:.2f} effective keys, not {keys:.2f}.",
                f"scores {np.array2string(scores, precision=4)} {case.hard and f'({case.hard})'}\n"
                f"wanted {keys:.2f} effective keys, your temperature {temperature:.6g}")
    return None


def _thermostat_cases(seed):
    rng = np.random.default_rng([seed, 37])

    def case(n, keys, size=2.0, shift=0.0, hard=""):
        scores = size * (rng.permutation(n) + rng.uniform(-0.4, 0.4, n)) + shift
        return Case((scores, keys), hard=hard)

    return [case(4, rng.uniform(1.5, 3.5)), case(6, rng.uniform(2, 5)),
            case(9, rng.uniform(3, 8)), case(5, 1.1, hard="nearly an argmax"),
            case(7, 6.9, hard="nearly the mean"),
            case(5, 2.5, size=1e-4, hard="scores that are nearly alike"),
            case(6, 3.2, size=3e4, shift=1e6, hard="huge scores")]


def _thermostat_newton(scores, keys):
    """Halve and double until it is bracketed, then regula falsi in the logarithm."""
    low = high = float(np.std(scores))
    while _keys_at(scores, low) > keys:
        low /= 2
    while _keys_at(scores, high) < keys:
        high *= 2
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _keys_at(scores, middle) < keys else (low, middle)
    return np.float32(low)


_THERMOSTAT = Exercise(
    id="3.7", kind="open-ended", points=5, minutes=20, version=1,
    hints=(
        "No formula gives it. But the number of effective keys rises with the temperature, and "
        "you can compute it for any temperature that you try.",
        "Halve an interval: try its middle, and keep the half in which the answer lies. "
        "How should the middle be chosen, if the temperature may be 0.0001 or 10000?",
        "`np.ptp(scores)` tells of what size the temperature will be.",
    ),
    cases=_thermostat_cases,
    reference=None,
    mistakes=switched(_thermostat, {
        "keys": "You returned the number of keys as a temperature. They are not measured alike: "
                "multiply all scores by 10 and think what should happen.",
        "spread": "You returned the spread of the scores. It has the right size, but it does not "
                  "depend on the number of keys that is wanted.",
        "squares": "You counted keys by one over the sum of squared shares. "
                   "That is another count; ours is in equation (3.4).",
        "bits": "You measured the entropy in bits, then raised e to it. "
                "Base of the logarithm and base of the power must be one.",
        "largest": "You counted keys by one over the largest share. "
                   "Ours, in equation (3.4), listens to all shares.",
        "entropy": "You made the entropy equal to the number of keys. "
                   "One step lies between the two in equation (3.4).",
        "fixed-range": "Right for ordinary scores. For tiny or huge ones the answer lies outside "
                       "of the range that you search.",
        "inverse": "You returned one over the temperature.",
    }),
    judge=_thermostat_judge,
    variants=(_thermostat_newton, _thermostat),
)


# 3.8  A softmax that may keep silent

@_quietly
def _quiet(scores, *, faults=frozenset()):
    top = scores.max(axis=-1, keepdims=True)
    if "zero-not-seen" not in faults:
        top = np.maximum(top, 0.0)
    if "overflow" in faults:
        top = 0.0 * np.where(np.isneginf(top), 0.0, top)
    if "global-top" in faults:
        top = np.broadcast_to(np.maximum(scores.max(), 0.0), top.shape)
    parts = np.exp(scores - top)
    silent = np.exp(-top)
    if "one-not-shrunk" in faults:
        silent = 1.0
    if "ordinary" in faults:
        silent = 0.0
    if "one-each" in faults:
        silent = scores.shape[-1] * silent
    if "two" in faults:
        silent = math.e * silent
    total = silent + parts.sum(axis=0 if "first-axis" in faults else -1,
                               keepdims=True)
    if "added-above" in faults:
        parts = parts + silent
    if "sigmoid" in faults:
        return 1 / (1 + np.exp(-scores))
    shares = parts / total
    return np.concatenate([silent / total, shares], axis=-1) if "extra-column" in faults else shares


def _quiet_reference(scores):
    zero = np.zeros((*scores.shape[:-1], 1))
    return softmax(np.concatenate([scores, zero], axis=-1))[..., :-1]


def _quiet_loops(scores):
    shares = np.zeros(scores.shape)
    for place in np.ndindex(scores.shape[:-1]):
        top = max(0.0, *scores[place])
        parts = [math.exp(score - top) for score in scores[place]]
        shares[place] = [part / (math.exp(-top) + sum(parts)) for part in parts]
    return shares


def _quiet_logaddexp(scores):
    total = np.logaddexp(0.0, np.logaddexp.reduce(scores, axis=-1, keepdims=True))
    return np.exp(scores - total)


def _quiet_torch(scores):
    import torch
    padded = torch.nn.functional.pad(scores, (0, 1))
    return torch.exp(scores - torch.logsumexp(padded, dim=-1, keepdim=True))


def _quiet_cases(seed):
    rng = np.random.default_rng([seed, 38])

    def case(*shape, size=1.5, shift=0.0, hidden=0.0, hard=""):
        scores = size * rng.normal(size=shape) + shift
        scores[rng.random(shape) < hidden] = -np.inf
        return Case((scores,), hard=hard)

    apart = rng.normal(size=(3, 5)) + 2000.0 * np.array([[-1.0], [1.0], [0.0]])
    return [case(4), case(3, 6), case(5, 2), case(2, 3, 4), case(4, 5, 3),
            case(3, 5, size=600.0, hard="scores in the hundreds"),
            case(2, 4, shift=900.0, hard="scores far above 0"),
            case(4, 3, shift=-900.0, hard="scores far below 0"),
            Case((apart,), hard="rows that lie far from each other"),
            case(5, 4, hidden=0.4, hard="scores of minus infinity"),
            Case((np.full((2, 3), -np.inf),), hard="nothing is allowed"),
            case(6, 1, hard="a single key")]


_QUIET = Exercise(
    id="3.8", kind="write", points=5, minutes=20, version=1,
    hints=(
        "Read the 1 as the exponential of a score. Which score, and what happens to it when a "
        "number is subtracted from all scores?",
        "Divide above and below by the exponential of the top. The 1 changes too. "
        "And the hidden score takes part when the largest is sought.",
    ),
    cases=_quiet_cases,
    reference=_quiet_reference,
    mistakes=switched(_quiet, {
        "one-not-shrunk": "You subtracted the largest score, but the 1 below the fraction line "
                          "stayed a 1. What was it before the subtraction?",
        "ordinary": "Your shares sum to one: that is the ordinary softmax. "
                    "Something is missing below the fraction line.",
        "overflow": "Right for small scores. For large ones `exp` overflows, "
                    "and infinity over infinity is not a number.",
        "zero-not-seen": "Right unless all scores of a row are minus infinity: then your top is "
                         "too. What else could be the largest in that row?",
        "global-top": "You subtract the largest score of the whole array. "
                      "A row that lies far below it rounds to nothing.",
        "one-each": "You added a 1 for every key. There is a single one in each sum.",
        "two": "You added the exponential of 1. The 1 is an exponential already.",
        "first-axis": "You summed along the first axis. A row of shares lies along the last.",
        "added-above": "You added the 1 above the fraction line as well.",
        "sigmoid": "Each of your shares looks at its own score only. "
                   "The keys must compete: the sum goes over all of them.",
        "extra-column": "You return the silent share as well. It is needed in the sum only.",
    }, pairs=[("one-not-shrunk", "zero-not-seen"), ("overflow", "first-axis"),
              ("ordinary", "zero-not-seen"), ("one-not-shrunk", "first-axis"),
              ("one-not-shrunk", "global-top"), ("ordinary", "first-axis"),
              ("one-each", "first-axis"), ("one-each", "zero-not-seen"),
              ("global-top", "first-axis"), ("overflow", "one-each")]),
    forbidden=_SOFTMAX,
    variants=(_quiet_loops, _quiet_logaddexp, _quiet_torch),
)

EXERCISES = (_PAPER, _STABLE, _MERGE, _BACK, _STREAM, _PREDICTION, _THERMOSTAT, _QUIET)
