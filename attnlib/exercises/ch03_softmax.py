"""Chapter 3, "Softmax": what its exercises ask, and what people answer."""

import functools
import math
from itertools import permutations

import numpy as np

from ..attention import merge_partials, softmax
from ..diagnostics import effective_keys
from ..running.outcome import Case
from .core import (
    READY_MADE,
    Exercise,
    Mistake,
    Result,
    another_form,
    broken_law,
    finite_array,
    switched,
    with_numbers,
)

_SOFTMAX = (
    *READY_MADE, "attnlib.softmax", "torch.softmax", "torch.Tensor.softmax", "torch.log_softmax",
    "torch.nn.functional.softmax", "torch.nn.functional.log_softmax",
)


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
    if "all-of-it" in faults:
        group = 1.0
    if "four-cold" in faults:
        four = more ** 2 / (more ** 2).sum()
    if "joined-late" in faults:
        four = np.append(parts, whole * joined / (whole + joined)) / whole
    if "not-normalised" in faults:
        return {"weights": parts.tolist(), "cold": cold.tolist(), "four": more.tolist(),
                "group": float(whole)}
    cold = weights / 2 if "halved" in faults else cold / cold.sum()
    return {"weights": weights.tolist(), "cold": cold.tolist(),
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
        "halved": "Your cold shares are half of the warm ones and do not sum to one. It is the "
                  "scores that a temperature divides.",
        "four-cold": "Your four shares are cold ones. The fourth key joins at temperature 1.",
        "all-of-it": "Your group has everything. The key that joined takes a share as well.",
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

@np.errstate(all="ignore")
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
        top = np.abs(np.where(np.isneginf(scores), 0.0, scores)).max(axis=axis, keepdims=True)
    if "smallest" in faults:
        top = scores.min(axis=axis, keepdims=True)
    if "of-allowed" in faults:
        allowed = np.ma.masked_invalid(scores)
        top = (allowed.mean(axis, keepdims=True) if "mean" in faults
               else allowed.min(axis, keepdims=True)).filled(-np.inf)
    if "no-keepdims" in faults:
        top = scores.max(axis=axis)
    if "empty-nan" not in faults and "even-when-empty" not in faults:
        top = np.where(np.isneginf(top), 0.0, top)
    shifted = scores if faults & {"overflow", "underflow"} else scores - top
    if "even-when-empty" in faults:
        shifted = np.maximum(scores, -1e300) - np.maximum(top, -1e300)
    parts = 2.0 ** shifted if "base-two" in faults else np.exp(shifted)
    total = parts.sum(axis=None if "over-everything" in faults else axis,
                      keepdims=True)
    if "no-keepdims" in faults:
        total = parts.sum(axis=axis)
    if "largest-divides" in faults:
        total = parts.max(axis=axis, keepdims=True)
    if "underflow" in faults:
        total = np.where(np.isfinite(scores).any(axis, keepdims=True), total, 1.0)
    elif "empty-nan" not in faults:
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

    alike = case(3, 3, 3, axis=1, hard="all lengths alike")
    alike.args[0][0, 0], alike.args[0][1, 1] = 0, 1e-3 * rng.normal(size=3)
    far = rng.normal(size=(3, 5)) + 2000.0 * rng.permutation(3)[:, None]
    apart = np.array([[0, 0, 0, 3000], [0, 900, 900, 900], [0, 600, 1200, 1800]])  # mean, smallest
    apart = rng.permuted(apart, axis=1) + rng.normal(size=(3, 4))
    return [case(4, axis=0), case(3, 6, axis=1), case(5, 2, axis=0), case(2, 3, 5, axis=1),
            case(4, 3, 2, axis=-3), Case((apart, -1), hard="scores hundreds apart"),
            Case((far, 1), hard="rows that lie far from each other"),
            case(2, 6, axis=-1, shift=-900.0, hard="scores far below 0"),
            case(5, 7, axis=0, hidden=0.4, hard="scores of minus infinity"),
            case(4, 6, axis=1, empty=True, hard="a row that may not have anything"),
            case(3, 5, axis=0, empty=True, hard="a column that may not have anything"),
            case(4, 7, axis=1, size=900.0, hidden=0.4, empty=True,
                 hard="large scores and minus infinity"),
            Case((np.array([[-4e9, -np.inf, -9e9], [-np.inf, -6e9, -np.inf]]), 1),
                 hard="scores of minus billions"),
            case(1, 3, axis=0, hard="rows of one score"), alike,
            case(1, 1, 1, axis=-2, hard="all lengths 1")]


def _softmax_judge(cases, outcomes):
    """One number added to each sum of exponentials, whatever its size."""
    added = []
    for case, outcome in zip(cases, outcomes):
        scores, axis = case.args
        shares, right = finite_array(outcome.value), softmax(scores, axis)
        if shares is None or shares.shape != right.shape:
            return None
        total, top = (how(axis=axis, keepdims=True) for how in (shares.sum, right.max))
        if not np.allclose(shares, right * total, rtol=1e-4, atol=1e-6):
            return None
        total, top = total[top > 0], top[top > 0]
        added += ((1 / np.maximum(total, 1e-9) - 1) / top).tolist()
    if min(added) > 1e-4 and np.ptp(added) < 1e-2 * min(added):
        epsilon = next(m for m in _STABLE.mistakes if m.name == "epsilon")
        return Result("known_mistake", epsilon.sentence, mistake=epsilon.name)
    return None


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
    spared={"empty": "where there are no scores there is nothing to share out"},
    reference=_softmax_reference,
    judge=_softmax_judge,
    mistakes=switched(_softmax, {
        "overflow": "With large scores your `exp` overflows, and far below 0 everything rounds to "
                    "0. See equation (3.3).",
        "underflow": "With large scores your `exp` overflows, and far below 0 a whole row rounds to"
                     " 0: then 0/0. See equation (3.3).",
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
        "absolute": "Some of your rows sum to 0, though something is allowed in them: what you "
                    "subtract (0, or the largest absolute value?) is not their largest score.",
        "empty-nan": "Where nothing is allowed in a row, you give NaN: minus infinity minus itself "
                     "and 0 / 0 are no numbers.",
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
              ("last-axis", "global-top"), ("last-axis", "base-two")],
       also=[("mean", "of-allowed"), ("smallest", "of-allowed")]),
    forbidden=_SOFTMAX,
    variants=(_softmax_loops, _softmax_torch),
)


# 3.3  Two halves make a whole

@np.errstate(all="ignore")
def _merge(output_a, lse_a, output_b, lse_b, *, faults=frozenset()):
    top = np.maximum(lse_a, lse_b)
    if "empty-nan" not in faults:
        top = np.where(np.isneginf(top), 0.0, top)
    if "overflow" in faults:
        top = np.zeros(top.shape)
    if "top-of-a" in faults:
        top = lse_a if "empty-nan" in faults else np.where(np.isneginf(lse_a), 0.0, lse_a)
    if "top-shared" in faults:
        top = np.full(top.shape, top.max())
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

    def case(n_q, d_v, size=1.0, shift=1.0, apart=0.0, empty_a=(), empty_b=(), hard=""):
        return Case((*part(n_q, d_v, size, shift, empty_a),
                     *part(n_q, d_v, size, shift + apart, empty_b)), hard=hard)

    far = [x + 0.0 for x in (*part(4, 2, 1.0, 0.0, ()), *part(4, 2, 1.0, 0.0, ()))]
    for lse in far[1::2]:  # the queries of either part lie apart, the parts do not
        lse += [-800.0, 0.0, 800.0, 400.0]

    alike = case(3, 3, hard="all lengths alike")
    alike.args[0][1] *= 1e-3

    return [case(3, 2), case(4, 5), case(6, 3, size=2.0), alike,
            case(1, 1, hard="all lengths 1"),
            case(3, 4, shift=1500.0, hard="sums too large for a number"),
            case(5, 2, shift=-1500.0, hard="sums too small for a number"),
            case(5, 4, apart=1500.0, hard="a second part far above the first"),
            case(3, 5, apart=-1500.0, hard="a second part far below the first"),
            Case(tuple(far), hard="queries that lie far from each other"),
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
    spared={"empty": "without queries there is nothing to merge, without features nothing to see"},
    reference=merge_partials,
    mistakes=switched(_merge, {
        "plain-mean": "Your output is the plain mean of the two. A part with many good keys should "
                      "count for more: look at the weights in equation (3.7).",
        "sum": "You added the two outputs. Each is already a mean: what is the mean of means?",
        "swapped": "Each output has the other part's weight. Which sum belongs to which output?",
        "lse-weights": "You weighted the outputs with the lse themselves. "
                       "They are logarithms of the weights in equation (3.7).",
        "own-tops": "You subtracted from each lse its own value, so both parts count alike. "
                    "Both must lose the same number.",
        "not-divided": "Your parts are not divided by their total.",
        "larger-takes-all": "You took the output of the part with the larger lse. "
                            "The other one has a share too.",
        "overflow": "With large sums your exponential overflows. Look at that of an lse of 1500, "
                    "and at that of -1500.",
        "top-of-a": "You subtract the first part's lse from both. Where the second lies far above "
                    "it, its exponential overflows.",
        "top-shared": "You subtract one number for all queries. A query that lies far below the "
                      "others rounds to nothing.",
        "empty-nan": "A query that saw nothing in either part gets NaN: there you subtract "
                     "infinities, or divide 0 by 0.",
        "output-nan": "Your lse is right. But a query that saw nothing in either part gets an "
                      "output that is not a number: what do you divide there?",
        "no-new-axis": "An error unless there is a single query: a number per query must meet a "
                       "row per query. Compare the shapes.",
        "lse-added": "Your lse is the sum of the two. Adding logarithms multiplies what is inside.",
        "lse-largest": "Your lse is the larger of the two. The smaller sum is missing from it.",
        "top-forgotten": "Your lse lacks the number that you subtracted before the exponential.",
        "no-log": "Your lse is the sum itself. Look for the logarithm in equation (3.7).",
        "output-alone": "You returned the output alone. Merging goes on, so the lse is needed too.",
    }, pairs=[("top-of-a", "empty-nan"), ("top-shared", "output-nan"),
              ("overflow", "empty-nan"), ("plain-mean", "lse-added"),
              ("plain-mean", "lse-largest"), ("swapped", "lse-largest"),
              ("overflow", "lse-largest"), ("sum", "lse-added"), ("lse-weights", "lse-added"),
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
    if {"one-row", "no-keepdims"} <= faults:
        return weights * (gradient - product.sum(-1))
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
    if "exchanged" in faults:
        return gradient * (weights - mean)
    if "softmax-again" in faults:
        parts = np.exp(weights)
        return _back(parts / parts.sum(-1, keepdims=True), gradient)
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

    alike = case(3, 3, 3, hard="all lengths alike")
    alike.args[1][:] *= 200
    alike.args[1][0, 0] *= 1e-6

    return [case(4), case(3, 5), case(6, 2), case(2, 3, 4), case(5, 3, 6), alike,
            case(1, 1, 1, hard="all lengths 1"),
            case(2, 4, size=60.0, hard="shares of 0 and 1"),
            case(3, 4, empty=True, hard="a row that gets nothing"),
            case(4, 1, hard="rows of one key")]


_BACK = Exercise(
    id="3.4", kind="write", points=3, minutes=15, version=1,
    hints=(
        "Put equation (3.6) into the sum and pull out what does not depend on the index that is "
        "summed over.",
        "One term keeps a single number of the gradient. The other is a sum over the row, one "
        "number per row, which you need in the shape `(..., 1)`.",
    ),
    cases=_back_cases,
    spared={"empty": "where there are no shares nothing comes back"},
    reference=_back_reference,
    mistakes=switched(_back, {
        "diagonal": "You used the diagonal of the Jacobian alone. A share also moves when "
                    "another key's score moves.",
        "one-row": "Right for a single row, an error for more. The task asks for rows of any "
                   "number, and for no matrix at all.",
        "direct": "You multiplied by the shares and stopped. In equation (3.6) a second term is "
                  "subtracted.",
        "plain-mean": "You subtracted the plain mean of the gradient. In which proportions do the "
                      "keys count in it?",
        "plain-sum": "You subtracted the plain sum of the gradient. "
                     "Each of its numbers is multiplied by something first.",
        "mean-of-product": "You divided the sum over the row by its length. "
                           "Equation (3.6) has no such division.",
        "first-axis": "You summed along the first axis. A row of shares lies along the last.",
        "over-everything": "You summed over all rows together. Each row has its own sum.",
        "added": "You added the sum over the row. Look at the sign in equation (3.6).",
        "not-weighted": "Your last step lacks the factor that stands before the bracket in "
                        "equation (3.6).",
        "mean-unweighted": "The share multiplies only one of the two terms. "
                           "Look at the bracket in equation (3.6).",
        "sign": "All of your signs are turned round.",
        "in-place": "Right numbers, but you changed the caller's gradient on the way: look for "
                    "an operator that writes into its left side.",
        "exchanged": "Weights and gradient are exchanged: which of the two is multiplied from "
                     "outside?",
        "softmax-again": "You took a softmax of the weights. They are shares already.",
    }, pairs=[("plain-mean", "not-weighted"), ("added", "first-axis"),
              ("first-axis", "not-weighted"), ("plain-mean", "added"),
              ("over-everything", "added"), ("plain-sum", "added"),
              ("over-everything", "not-weighted"), ("mean-of-product", "added"),
              ("first-axis", "mean-unweighted"), ("plain-mean", "sign")],
       also=[("one-row", "no-keepdims")]),
    forbidden=("torch.autograd.grad", "torch.Tensor.backward",
               "torch.autograd.functional.jacobian", "torch.autograd.functional.vjp"),
    variants=(_back_matrix, _back_loops, _back_torch),
)


# 3.5  A stream with leaks

@np.errstate(all="ignore")
def _stream(scores, value, chunk, *, faults=frozenset()):
    begin = {"top-zero": 0.0, "top-thousand": -1e3, "top-low": -1e4, "top-lower": -1e9}
    top = next((begin[fault] for fault in faults if fault in begin), -np.inf)
    total, output, shares = 0.0, np.zeros((len(scores), value.shape[1])), []
    n_k = scores.shape[1]
    for start in range(0, n_k - n_k % chunk if "rest-lost" in faults else n_k, chunk):
        part = scores[:, start:start + chunk]
        new_top = np.maximum(top, part.max(axis=1, keepdims=True))
        if "top-of-chunk" in faults:
            new_top = part.max(axis=1, keepdims=True)
        if "top-shared" in faults:
            new_top = np.maximum(top, part.max())
        if "top-of-first" in faults and start:
            new_top = top
        keeps_nan = "empty-nan" in faults
        finite = new_top if keeps_nan else np.where(np.isneginf(new_top), 0.0, new_top)
        parts, shrink = np.exp(part - finite), np.exp(top - finite)
        if "shrink-turned" in faults:
            shrink = np.where(np.isneginf(top), 0.0, np.exp(finite - top))
        total = (1.0 if "total-kept" in faults else shrink) * total
        output = (1.0 if "output-kept" in faults else shrink) * output
        total = total + parts.sum(axis=1, keepdims=True)
        output = output + parts @ value[start:start + chunk]
        if faults & {"divided-each-time", "divided-twice"}:
            output = output / np.where(total == 0, 1.0, total)
        if "mean-of-chunks" in faults:
            own = parts.sum(axis=1, keepdims=True)
            shares.append(parts @ value[start:start + chunk] / np.where(own == 0, 1.0, own))
        if not faults & {"top-kept", "top-of-first"} or start == 0:
            top = finite if "top-of-first" in faults else new_top
    if "mean-of-chunks" in faults:
        return np.mean(shares, axis=0)
    if "divided-each-time" in faults:
        return output
    if not faults & {"empty-nan", "rows-nan"}:
        total = np.where(total == 0, 1.0, total)
    return output / total


@np.errstate(all="ignore")
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
    low = np.full((2, 3), -3e37) * [[1.0], [2.0]]  # alike in a row, so that lse may round
    alike = case(3, 3, 3, 2, hard="all lengths alike")
    alike.args[0][0], alike.args[1][0] = 0, 1e-3 * rng.normal(size=3)
    return [alike, case(1, 1, 1, 1, hard="all lengths 1"),
            case(3, 8, 2, 4), case(4, 6, 5, 2), case(5, 7, 3, 3), case(2, 9, 4, 9),
            Case((np.array([[-2000.0, -2001.0]]), rng.normal(size=(2, 3)), 1),
                 hard="two scores near -2000"),
            Case((low, rng.normal(size=(3, 4)), 1), hard="scores of -3e37 and less"),
            Case((-rng.uniform(2e4, 9e4, size=(3, 5)), rng.normal(size=(5, 2)), 2),
                 hard="scores far below -10 000"),
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
    spared={"empty": "without keys no chunk comes, and a query that sees nothing is there"},
    reference=_stream_reference,
    mistakes=(Mistake("as-given", "This is the function as it was given. Try it on two keys, "
                      "the larger score second, and follow each of its three numbers by hand.",
                      _stream_as_given), *switched(_stream, {
        "output-kept": "When the top rises, the total shrinks and the output does not. "
                       "They must be measured with one and the same top.",
        "top-zero": "Your top begins at 0. For scores that all lie far below 0 every exponential "
                    "rounds to 0.",
        "top-low": "Your top begins at a large negative number. Scores may lie below any such "
                   "number: below which number do none lie?",
        "top-thousand": "Your top begins at -1000. Scores may lie below that, and below any other "
                        "number: below which do none lie?",
        "top-lower": "Your top begins at a very large negative number. Scores may lie lower still, "
                     "however large it is: where must a top begin?",
        "total-kept": "When the top rises, the output shrinks and the total does not.",
        "empty-nan": "Where a query sees nothing in the first chunk, minus infinity is subtracted "
                     "from itself.",
        "rows-nan": "Queries that see nothing at all get NaN. What do you divide there?",
        "top-of-chunk": "You take the top of each chunk alone. If it falls, what was gathered "
                        "grows, and overflows.",
        "top-shared": "One top for all queries: a query whose scores lie far below the others' "
                      "rounds to 0.",
        "top-kept": "Your old top stays that of the first chunk: what was gathered is shrunk again "
                    "and again.",
        "top-of-first": "You measure all chunks with the top of the first. A later score may be so "
                        "much larger that its exponential overflows.",
        "shrink-turned": "When a larger score arrives, what you have gathered grows. "
                         "Look at the order in the difference.",
        "rest-lost": "The last chunk is shorter than the others, and you leave it out.",
        "divided-each-time": "You divide by the total after each chunk. What is gathered is then "
                             "no longer a sum, to which the next chunk can be added.",
        "divided-twice": "You divide by the total after each chunk, and once more at the end. "
                         "Divide once, when all is gathered.",
        "mean-of-chunks": "You take the plain mean of the chunks' outputs. "
                          "A chunk counts by its sum of exponentials.",
    }, pairs=[("output-kept", "top-zero"), ("output-kept", "empty-nan"),
              ("output-kept", "rows-nan"), ("top-zero", "rows-nan"),
              ("total-kept", "empty-nan"),
              ("top-zero", "total-kept"), ("shrink-turned", "empty-nan"),
              ("top-shared", "empty-nan"), ("output-kept", "rest-lost"),
              ("mean-of-chunks", "rest-lost"), ("top-shared", "output-kept")]),
              Mistake("nothing-shrinks", "When the top rises, nothing shrinks of what you have "
                      "gathered. It was measured with the old top.",
                      functools.partial(_stream, faults={"output-kept", "total-kept"}))),
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
    words |= {letter: word for letter, word in (("a", "more"), ("e", "same"), ("f", "same"))
              if f"{letter}-{word}" in faults}
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
        "a-more": "Case a: adding the same to every score multiplies every exponential alike.",
        "e-same": "Case e: two best keys share what one had. Is that as concentrated as before?",
        "f-same": "Case f: the new key is far above the rest. Are the shares as even as before?",
    }, pairs=[("b", "c"), ("a", "b"), ("a", "c"), ("a", "d"), ("a", "e"), ("a", "f"), ("b", "e"),
              ("b", "f"), ("d", "e"), ("d", "f"), ("e", "f"), ("c", "f"), ("b-same", "f"),
              ("b-same", "e"), ("d-fewer", "e"), ("d-fewer", "f")]),
    variants=(
        lambda: {"a": "Same", "b": "fewer", "c": "more", "d": "same", "e": "more", "f": "fewer"},
    ),
)


# 3.7  The right temperature

def _spread_over(scores, temperature):
    return float(effective_keys(softmax(scores / temperature)).mean())


def _bisect(reached, target):
    """The temperature at which a rising measure reaches its target."""
    low, high = -30.0, 30.0  # powers of e
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if reached(math.exp(middle)) < target else (low, middle)
    return math.exp(high)


def _temperature(scores, keys, *, faults=frozenset()):
    if "spread" in faults:
        return float(scores.std())
    if "asked-for" in faults:
        return float(keys)
    if "logarithm" in faults:
        return math.log(keys)
    if "largest-weight" in faults:
        return _bisect(lambda t: -softmax(scores / t).max(1).mean(), -1 / keys)
    if "squares" in faults:
        return _bisect(lambda t: (1 / (softmax(scores / t) ** 2).sum(1)).mean(), keys)
    if "bits" in faults:
        return _bisect(lambda t: (effective_keys(softmax(scores / t)) ** (1 / math.log(2))).mean(),
                       keys)
    if "as-entropy" in faults:
        return _bisect(lambda t: np.log(effective_keys(softmax(scores / t))).mean(), keys)
    if "first-row" in faults:
        scores = scores[:1]
    if "mean-row" in faults:
        scores = scores.mean(0, keepdims=True)
    if "shared-softmax" in faults:
        scores = scores.reshape(1, -1)
    if "mean-entropy" in faults:
        return _bisect(lambda t: math.exp(np.log(effective_keys(softmax(scores / t))).mean()), keys)
    if "median" in faults:
        return _bisect(lambda t: np.median(effective_keys(softmax(scores / t))), keys)
    found = _bisect(lambda t: _spread_over(scores, t), keys)
    if "narrow" in faults:
        found = min(max(found, 0.1), 10.0)
    return 1 / found if "inverse" in faults else found


def _temperature_walk(scores, keys):
    temperature, step = 1e-8, 2.0
    while step > 1 + 1e-6:
        while _spread_over(scores, temperature * step) < keys:
            temperature *= step
        step = math.sqrt(step)
    return temperature


def _temperature_torch(scores, keys):
    import torch
    low, high = 1e-9, 1e9
    for _ in range(100):
        middle = (low * high) ** 0.5
        logs = torch.log_softmax(scores / middle, dim=-1)
        reached = (-(logs.exp() * logs).sum(-1)).exp().mean()
        low, high = (middle, high) if reached < keys else (low, middle)
    return low


def _temperature_cases(seed):
    rng = np.random.default_rng([seed, 37])

    def case(n_q, n_k, keys, size=1.0, hard=""):
        rows = rng.uniform(0.4, 1.6, size=(n_q, 1)) * rng.normal(size=(n_q, n_k))
        return Case((size * rows, keys), hard=hard)

    return [case(5, 8, 3.0), case(3, 12, 6.5), case(7, 5, 1.5),
            case(4, 9, 2.5, size=2000.0, hard="scores in the thousands"),
            case(6, 7, 4.0, size=0.003, hard="scores of a few thousandths"),
            case(1, 6, 2.0, hard="a single query")]


def _temperature_judge(cases, outcomes):
    given = []  # for each input: the temperature, what it reaches, and what was asked for
    for case, outcome in zip(cases, outcomes):
        scores, keys = case.args
        value = np.asarray(outcome.value if not isinstance(outcome.value, str) else "none")
        if value.size != 1 or value.dtype.kind not in "iuf":
            return another_form("A temperature is one number.")
        temperature = float(value.reshape(()))
        if not (math.isfinite(temperature) and temperature > 0):
            return another_form(f"A temperature is a number above 0; yours is {temperature}.")
        with np.errstate(over="ignore"):
            given.append((temperature, _spread_over(scores, temperature), keys))
    wrong = [i for i, (_, reached, keys) in enumerate(given)
             if not abs(reached - keys) <= 0.01 * keys]
    if not wrong:
        return None
    if all(_is_entropy(case.args[0], *one) for case, one in zip(cases, given)):
        entropy = next(m for m in _TEMPERATURE.mistakes if m.name == "as-entropy")
        return Result("known_mistake", entropy.sentence, mistake=entropy.name)
    case, (temperature, reached, keys) = cases[wrong[0]], given[wrong[0]]
    name, words = _temperature_fault(cases, given, wrong)
    return broken_law(
        f"At your temperature the queries spread over {reached:.3f} keys in the mean; asked for "
        f"were {keys}, to 1 %.{words}",
        f"scores {case.args[0].shape}{': ' + case.hard if case.hard else ''}\n"
        f"temperature {temperature:.6g}", name)


def _is_entropy(scores, temperature, reached, keys):
    """Whether the entropy is what was asked for, or as near to it as it comes."""
    entropy = float(np.log(effective_keys(softmax(scores / temperature))).mean())
    return abs(entropy - min(keys, math.log(scores.shape[1]))) <= 0.01 * keys


def _temperature_fault(cases, given, wrong):
    """Name and sentence of what all the wrong temperatures have in common."""
    temperatures = [temperature for temperature, _, _ in given]
    off = [given[i][1] / given[i][2] - 1 for i in wrong]
    if np.ptp(temperatures) <= 1e-6 * max(temperatures):
        return "one temperature", " You give one and the same temperature for every input."
    right = [i for i in range(len(given)) if i not in wrong]
    if len(right) > len(wrong):
        low, high = (how(temperatures[i] for i in right) for how in (min, max))
        due = [_temperature(*cases[i].args) for i in wrong]
        if all(t < low or t > high for t in due):
            return "stops short", (f" Your temperatures are right from {low:.3g} to {high:.3g}. "
                                   f"Here {due[0]:.3g} is needed.")
    if max(map(abs, off)) < 0.1:
        return "nearly right", (f" On every input you come within {100 * max(map(abs, off)):.2g} % "
                                "of what was asked for, and that is not close enough.")
    if min(off) > 0 or max(off) < 0:
        way = "high" if off[0] > 0 else "low"
        return f"too {way}", f" Wherever it is wrong, your temperature is too {way}."
    return "", ""


_TEMPERATURE = Exercise(
    id="3.7", kind="open-ended", points=4, minutes=20, version=2,
    hints=(
        "Write a function that says how many keys are reached at a temperature. "
        "Does it rise or fall when the temperature rises?",
        "A measure that only rises can be cornered: try a temperature, see on which side you are, "
        "halve what is left.",
        "Scores can be of any size, so a temperature can be too. "
        "Halve in powers: the middle of `a` and `b` is then the root of `a * b`.",
    ),
    cases=_temperature_cases,
    reference=None,
    mistakes=switched(_temperature, {
        "spread": "Your temperature is the spread of the scores. That brings scores to one size, "
                  "whatever number of keys was asked for.",
        "asked-for": "You returned the number of keys that was asked for. "
                     "The temperature has to be found.",
        "logarithm": "You returned the logarithm of the number of keys: an entropy. "
                     "Which temperature leads to it?",
        "largest-weight": "You made the largest weight one over the number of keys. That is the "
                          "largest share; what was asked for counts the smaller ones as well.",
        "as-entropy": "You brought the entropy itself to the number of keys. "
                      "The effective number is its exponential.",
        "squares": "You counted keys by one over the sum of squared shares. "
                   "That is another count; ours is in equation (3.5).",
        "bits": "You measured the entropy in bits, then raised e to it. "
                "Base of the logarithm and base of the power must be one.",
        "mean-entropy": "You raised e to the mean of the entropies. Asked for is the mean of what "
                        "each query reaches: raise first, then take the mean.",
        "median": "You brought the median query to the number of keys. Asked for is the mean.",
        "first-row": "Right for the first query. Asked for is the mean over all queries.",
        "mean-row": "You averaged the scores of all queries first. "
                    "Asked for is the mean of what each of them reaches.",
        "shared-softmax": "You shared one whole among all scores of all queries. "
                          "Each query has its own.",
        "narrow": "Right while the temperature lies between 0.1 and 10. "
                  "Scores of another size need another one.",
        "inverse": "You returned one over the temperature: a scale.",
    }, pairs=[("first-row", "inverse"), ("mean-row", "inverse"),
              ("first-row", "narrow"), ("shared-softmax", "inverse"), ("narrow", "inverse")]),
    judge=_temperature_judge,
    variants=(_temperature, _temperature_walk, _temperature_torch),
)


# 3.8  A softmax that may keep silent

@np.errstate(all="ignore")
def _quiet(scores, *, faults=frozenset()):
    top = scores.max(axis=0 if "first-axis" in faults else -1, keepdims=True)
    if "zero-not-seen" not in faults:
        seen = not faults & {"ordinary", "one-not-shrunk"}
        top = np.maximum(top, 0.0) if seen else np.where(np.isneginf(top), 0.0, top)
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
    if "over-everything" in faults:
        total = silent + parts.sum()
    if "minus-one" in faults:
        total = parts.sum(axis=-1, keepdims=True) - silent
    if "added-above" in faults:
        parts = parts + silent
    if "sigmoid" in faults:
        return 1 / (1 + np.exp(-scores))
    if "ordinary" in faults and "zero-not-seen" not in faults:
        total = np.where(total == 0, 1.0, total)
    shares = parts / total
    if "wrong-end" in faults:
        return np.concatenate([silent / total, shares[..., :-1]], axis=-1)
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
    alike = case(3, 3, 3, hard="all lengths alike")
    alike.args[0][0, 0], alike.args[0][1, 1] = 0, 1e-3 * rng.normal(size=3)
    return [case(4), case(3, 6), case(5, 2), case(2, 3, 4), case(4, 5, 3), alike,
            case(1, 1, 1, hard="all lengths 1"),
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
    spared={"empty": "where there are no scores there is nothing to share out"},
    reference=_quiet_reference,
    mistakes=switched(_quiet, {
        "one-not-shrunk": "You subtracted the largest score, but the 1 below the fraction line "
                          "stayed a 1. What was it before the subtraction?",
        "ordinary": "Your shares sum to one: that is the ordinary softmax. "
                    "Something is missing below the fraction line.",
        "overflow": "Right for small scores. For large scores `exp` overflows, "
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
        "over-everything": "You divide by the sum of the whole array. Each row has its own.",
        "minus-one": "You subtract the 1 below the fraction line. It is added.",
        "wrong-end": "Your silent share stands in front and your last key is cut off. Which of "
                     "the columns belongs to no key?",
        "extra-column": "You return the silent share as well. It is needed in the sum only.",
    }, pairs=[("one-not-shrunk", "zero-not-seen"), ("overflow", "first-axis"),
              ("ordinary", "zero-not-seen"), ("one-not-shrunk", "first-axis"),
              ("one-not-shrunk", "global-top"), ("ordinary", "first-axis"),
              ("one-each", "first-axis"), ("one-each", "zero-not-seen"),
              ("overflow", "one-each")]),
    forbidden=_SOFTMAX,
    variants=(_quiet_loops, _quiet_logaddexp, _quiet_torch),
)

# 3.9  Referee: two things at once

def _fair(runs, *, faults=frozenset()):
    found = []
    for low, high in permutations(runs, 2):
        fair = (low["start"] < high["start"],
                low["step"] == high["step"] or "any-step" in faults,
                low["steps"] == high["steps"] or "any-budget" in faults)
        if "both-vary" in faults:
            fair = (low["start"] < high["start"], low["step"] < high["step"],
                    low["steps"] == high["steps"])
        if "step-alone" in faults:
            fair = (low["start"] == high["start"], low["step"] < high["step"],
                    low["steps"] == high["steps"])
        if all(fair):
            best = max if "best-run" in faults else np.median if "median" in faults else np.mean
            points = 100 * float(best(high["right"]) - best(low["right"]))
            if "relative" in faults:
                points /= float(best(low["right"]))
            found.append([high["steps"], high["step"], points])
    found.sort()
    if "as-they-come" in faults:
        order = [(run["steps"], run["step"]) for run in runs]
        found.sort(key=lambda row: order.index((row[0], row[1])))
    if "longest-alone" in faults:
        longest = max(row[0] for row in found)
        found = [row for row in found if row[0] == longest]
    if "spread" in faults:
        spread = {(run["steps"], run["step"]): 100 * (max(run["right"]) - min(run["right"]))
                  for run in runs if run["start"] == max(other["start"] for other in runs)}
        found = [[steps, step, spread[steps, step]] for steps, step, _ in found]
    if "shares" in faults:
        found = [[steps, step, points / 100] for steps, step, points in found]
    if "turned" in faults:
        found = [[steps, step, -points] for steps, step, points in found]
    if "step-first" in faults:
        found = sorted([step, steps, points] for steps, step, points in found)
    return found


def _fair_by_key(runs):
    right = {(run["steps"], run["step"], run["start"]): sum(run["right"]) / len(run["right"])
             for run in runs}
    larger = max(start for _, _, start in right)
    return [(steps, step, 100 * (right[steps, step, larger] - right[steps, step, start]))
            for steps, step, start in sorted(right)
            if start < larger and (steps, step, larger) in right]


def _fair_arrays(runs):
    settings = np.array([[run["steps"], run["step"], run["start"]] for run in runs])
    means = np.array([np.mean(run["right"]) for run in runs])
    order = np.lexsort(settings.T[::-1])
    settings, means = settings[order], means[order]
    pairs = np.flatnonzero((settings[1:, :2] == settings[:-1, :2]).all(1))
    return [[*settings[i, :2].tolist(), 100 * float(means[i + 1] - means[i])] for i in pairs]


def _fair_cases(seed):
    rng = np.random.default_rng([seed, 39])

    def case(budgets, missing=(), hard=""):
        start, step = (int(x) for x in rng.choice(np.arange(2, 30), 2, replace=False))
        runs = [dict(start=a, step=b, steps=steps,
                     right=np.round(rng.uniform(0.1, 1, rng.integers(3, 7)), 3).tolist())
                for steps in budgets for a in (1, start) for b in (1, step)]
        runs = [run for i, run in enumerate(runs) if i not in missing]
        return Case(([runs[i] for i in rng.permutation(len(runs))],), hard=hard)

    return [case((200,)), case((1000, 200)), case((300, 90, 2000)),
            case((200, 1000), missing=(1,), hard="one run is missing"),
            case((150, 500), missing=(0, 7), hard="two runs are missing")]


def _fair_judge(cases, outcomes):
    """Points that say how far apart runs lie, measured in any way, of one start or the other."""
    def spreads(runs, rows):
        for which in (min, max):
            right = {(run["steps"], run["step"]): run["right"] for run in runs
                     if run["start"] == which(other["start"] for other in runs)}
            for how in (np.ptp, np.std, np.var, lambda x: np.std(x, ddof=1)):
                yield [100 * how(right[steps, step]) for steps, step, _ in rows]

    for case, outcome in zip(cases, outcomes):
        runs, rows = case.args[0], _fair(*case.args)
        got = finite_array(outcome.value)
        if got is None or got.shape != np.shape(rows) or not any(
                np.allclose(got[:, 2], points) for points in spreads(runs, rows)):
            return None
    spread = next(m for m in _FAIR.mistakes if m.name == "spread")
    return Result("known_mistake", spread.sentence, mistake=spread.name)


_FAIR = Exercise(
    id="3.9", kind="write", points=4, minutes=20, version=1,
    hints=(
        "A comparison is fair if the two runs differ in what the claim is about, and in nothing "
        "else. Which of the three settings is the claim about?",
        "Go through all pairs of runs. Keep those with the same `step` and the same `steps`, "
        "whose `start` is not the same.",
    ),
    cases=_fair_cases,
    reference=_fair,
    judge=_fair_judge,
    mistakes=switched(_fair, {
        "both-vary": "You compare runs that differ in start and in step. Then nobody can say which "
                     "of the two did it: the flaw of the experiment itself.",
        "any-step": "Some of your pairs differ in start and in step. One thing at a time.",
        "any-budget": "Some of your pairs were trained for different numbers of steps. "
                      "More training helps by itself.",
        "step-alone": "Your pairs differ in the step and share the start. "
                      "Which of the two is the claim about?",
        "turned": "Your signs are turned: asked for is what the larger start adds to the smaller.",
        "shares": "Your differences are shares. A point is one hundredth.",
        "relative": "You give the gain in percent of what the smaller start has. Asked for are "
                    "points: the difference itself.",
        "best-run": "You compare the best run of each. What of the others?",
        "median": "You compare the runs in the middle. Asked for is the difference of the means.",
        "longest-alone": "You keep the longest training alone. That hides whether the effect "
                         "lasts: list every fair comparison.",
        "as-they-come": "Right comparisons, but they are not in rising order of `steps`, then "
                        "`step`.",
        "step-first": "Your rows begin with the step. Asked is `[steps, step, points]`, in that "
                      "order.",
        "spread": "Your points say how far apart runs with one setting lie. Asked for is the "
                  "difference between the means of two settings.",
    }, pairs=[("turned", "shares"), ("any-step", "turned"), ("both-vary", "turned"),
              ("step-alone", "turned"), ("as-they-come", "turned")]),
    variants=(_fair_by_key, _fair_arrays),
)


# 3.10  One set of scores, both verdicts

_LEAST = 0.01  # by so much of the whole the winner of a vote leads


def _vote(scores, labels, temperature):
    """The label with the largest share, and its lead."""
    with np.errstate(over="ignore"):
        shares = softmax(scores / temperature)
    totals = {label: float(shares[labels == label].sum()) for label in np.unique(labels).tolist()}
    first, second = sorted(totals.values(), reverse=True)[:2]
    return max(totals, key=totals.get), first - second


def _flip_judge(cases, outcomes):
    answer = outcomes[0].value
    if not isinstance(answer, dict) or not {"scores", "helps", "harms"} <= answer.keys():
        return another_form('Return a dict with "scores", "helps" and "harms".')
    scores = np.asarray(answer["scores"], dtype=float)
    labels = {name: np.asarray(answer[name]) for name in ("helps", "harms")}
    if scores.ndim != 1 or not 3 <= len(scores) <= 12 or not np.isfinite(scores).all():
        return another_form("Scores are 3 to 12 ordinary numbers in one row.")
    for name, row in labels.items():
        if row.shape != scores.shape or not np.isin(row, (0, 1)).all() or np.ptp(row) == 0:
            return another_form(f'"{name}" needs a label 0 or 1 for each score, both among '
                                "them.")
    votes = {(name, t): _vote(scores, row, t) for name, row in labels.items() for t in (1, 4)}
    told = "\n".join(f"{name}, temperature {t}: label {label} wins by {lead:.3f}"
                     for (name, t), (label, lead) in votes.items())
    won = {key: label for key, (label, _) in votes.items()}
    for mistake in _FLIP.mistakes:
        if _flip_fault(mistake.name, scores, labels, won):
            return Result("known_mistake", mistake.sentence, told, mistake=mistake.name)
    if min(lead for _, lead in votes.values()) < _LEAST:
        return broken_law("One of your votes is a tie, or nearly: the winner must lead by a "
                          "hundredth of the whole.", told, name="a tie")
    return None


def _flip_fault(name, scores, labels, won):
    never = {at: won[at, 1] == won[at, 4] for at in ("helps", "harms")}
    if name == "even":
        return np.ptp(scores) == 0
    if name == "turned":
        return (not any(never.values()) and won["helps", 4] == 0 and won["harms", 4] == 1)
    if name == "one-labelling":
        return (labels["helps"] == labels["harms"]).all()
    return never[name.partition("-")[0]]


def _flip(scores=(5, 3, 3, 3), helps=(0, 1, 1, 1), harms=(1, 0, 0, 0)):
    return {"scores": list(scores), "helps": list(helps), "harms": list(harms)}


def _flip_arrays():
    scores = np.array([2.0, 0.9, 0.9])
    best = scores == scores.max()
    return {"scores": scores, "helps": 1 - best, "harms": best.astype(int)}


_FLIP = Exercise(
    id="3.10", kind="open-ended", points=3, minutes=15, version=1,
    hints=(
        "When it is cold the best score decides alone. When it is warm a majority of good ones "
        "can outvote it.",
        "So let one score lead a little, and several others follow. Which of them must hold the "
        "right label if warmth is to help?",
    ),
    cases=lambda seed: [Case()],
    reference=None,
    mistakes=(
        Mistake("even", "Your scores are all alike. Then shares are even at every temperature, "
                "and nothing can turn.", functools.partial(_flip, scores=(1, 1, 1, 1))),
        Mistake("turned", "Your two rows of labels are exchanged: 1 is the right label, and "
                "helping means that it wins when warm.",
                functools.partial(_flip, helps=(1, 0, 0, 0), harms=(0, 1, 1, 1))),
        Mistake("one-labelling", "Your two rows of labels are the same, so the same vote is taken "
                "twice.", functools.partial(_flip, harms=(0, 1, 1, 1))),
        Mistake("helps-never-turns", "With your labels for \"helps\" one label wins at both "
                "temperatures. Who must win when it is cold?",
                functools.partial(_flip, helps=(1, 1, 0, 0))),
        Mistake("harms-never-turns", "With your labels for \"harms\" one label wins at both "
                "temperatures. Who must win when it is warm?",
                functools.partial(_flip, harms=(1, 1, 0, 0))),
    ),
    judge=_flip_judge,
    variants=(_flip, _flip_arrays),
)

EXERCISES = (_PAPER, _STABLE, _MERGE, _BACK, _STREAM, _PREDICTION, _TEMPERATURE, _QUIET, _FAIR,
             _FLIP)
