"""Chapter 9, the capstone: what its projects start from, and what people answer."""

import functools
import math
from collections import Counter

import numpy as np

from ..attention import attention, softmax
from ..masks import causal_mask
from ..positions import rotate
from ..tasks import number_words
from .core import Case, Exercise, Mistake, Result, another_form, broken_law, switched

# 9.1  One loss, three units

def _units(*, faults=frozenset()):
    chances = np.array([1 / 2, 1 / 4, 1 / 8, 1 / 8])
    bits = float(-np.log2(chances).mean())
    if "entropy" in faults:
        bits = float(-(chances * np.log2(chances)).sum())
    if "log-of-mean" in faults:
        bits = float(-np.log2(chances.mean()))
    if "summed" in faults:
        bits = 4 * bits
    nats = bits / math.log(2) if "nats-turned" in faults else bits * math.log(2)
    if "nats-ten" in faults:
        nats = bits * math.log10(2)
    perplexity = (math.exp(bits) if "e-to-bits" in faults
                  else 1 / chances.mean() if "mean-of-chances" in faults
                  else 1 / (nats if "of-nats" in faults else bits) if "inverse" in faults
                  else 2 ** nats if "two-to-nats" in faults
                  else bits if "bits-again" in faults else 2 ** bits)
    if "swapped" in faults:
        nats, bits = bits, nats
    kilo = (nats if "swapped" in faults else bits) * 1000 / (1 if "bits-for-bytes" in faults else 8)
    if "nats-for-bytes" in faults:
        kilo = nats * 1000 / 8
    return {"nats": nats, "bits": bits, "perplexity": float(perplexity), "bytes": kilo}


_UNITS = Exercise(
    id="9.1", kind="by hand", points=2, minutes=8, version=1,
    hints=(
        "The surprise at a character of probability 1/8 is 3 bits, because 1/8 is 1/2 three times "
        "over. Take the mean of the four surprises.",
        "A bit is a factor of 2 and a nat a factor of e. So how many nats is one bit, and what "
        "is the number whose surprise is the mean?",
        "A byte has 8 bits.",
    ),
    cases=lambda seed: [Case()],
    reference=_units,
    mistakes=switched(_units, {
        "log-of-mean": "You took the logarithm of the mean probability. Equation (9.1) takes the "
                       "mean of the logarithms, and rare characters weigh more in it.",
        "summed": "Your loss is the sum over the four characters. It is meant per character.",
        "swapped": "What you call nats are bits, and your bits are nats.",
        "nats-turned": "Bits and nats are the wrong way round: a nat is the larger unit, so "
                       "there are fewer of them.",
        "nats-ten": "Your nats come from logarithms to base 10. Which base has a nat?",
        "e-to-bits": "You raised e to a number of bits. Base of the logarithm and base of the "
                     "power must be one.",
        "entropy": "You weighted the surprises by the probabilities, as in an entropy. The four "
                   "characters came once each: their mean is plain.",
        "two-to-nats": "You raised 2 to a number of nats. Base of the logarithm and base of the "
                       "power must be one.",
        "bits-again": "Your perplexity is the number of bits. It is the number of equally likely "
                      "characters that would surprise as much.",
        "mean-of-chances": "Your perplexity is one over the mean probability. It belongs to the "
                           "mean surprise.",
        "inverse": "Your perplexity is one over the loss. It is the number of equally likely "
                   "characters that would surprise as much.",
        "bits-for-bytes": "You gave bits where bytes were asked.",
        "nats-for-bytes": "A file is measured in bits and bytes. You divided nats by 8.",
    }, pairs=[("log-of-mean", "nats-turned"), ("log-of-mean", "bits-for-bytes"),
              ("log-of-mean", "e-to-bits"), ("summed", "bits-for-bytes"), ("summed", "nats-turned"),
              ("swapped", "bits-for-bytes"), ("swapped", "log-of-mean"), ("swapped", "e-to-bits"),
              ("summed", "e-to-bits"), ("nats-turned", "e-to-bits"),
              ("nats-turned", "bits-for-bytes"), ("nats-ten", "bits-for-bytes"),
              ("e-to-bits", "bits-for-bytes"), ("e-to-bits", "nats-for-bytes"),
              ("mean-of-chances", "bits-for-bytes"), ("mean-of-chances", "nats-for-bytes"),
              ("nats-turned", "mean-of-chances"), ("nats-turned", "nats-for-bytes")],
    also=[("inverse", "of-nats")]),
    variants=(
        lambda: {"nats": np.log(512) / 4, "bits": 9 / 4, "perplexity": 512 ** 0.25,
                 "bytes": 2250 / 8},
    ),
)


# 9.2  The baseline

def _occurrences(text, gram):
    return sum(text.startswith(gram, i) for i in range(len(text)))


def _next_shares(text, context, alphabet, longest, strength, *, faults=frozenset()):
    shares = np.full(len(alphabet), 1 / len(alphabet))
    if "from-nothing" in faults:
        shares = 0 * shares
    longest += ("one-order-more" in faults) - ("one-order-less" in faults)
    of_orders = []
    if "text-alphabet" in faults:
        shares = np.array([(character in text) / len(set(text)) for character in alphabet])
    if "size-of-text" in faults:
        shares = np.full(len(alphabet), 1 / len(set(text)))
    uniform = shares
    count = str.count if "no-overlap" in faults else _occurrences
    orders = range(1, longest + 1)
    for n in reversed(orders) if "longest-first" in faults else orders:
        length = n if "too-long" in faults else n - 1
        h = context[len(context) - length:]
        if "whole-context" in faults and n > 1:
            h = context
        if "minus-zero" in faults and n == 1:
            h = context
        if "from-the-front" in faults:
            h = context[:length]
        hits = np.array([count(text, h + character) for character in alphabet], dtype=float)
        seen = hits.sum()
        if "no-overlap-above-and-below" in faults:
            hits = np.array([text.count(h + character) for character in alphabet], dtype=float)
            seen = text[:-1].count(h) if h else len(text)
        if "end-counted" in faults:
            seen = count(text, h)
        if "end-counted-always" in faults:
            seen = count(text, h) if h else len(text) + 1.0
        below = uniform if {"always-uniform", "orders-averaged"} & faults else shares
        if "hard-back-off" in faults:
            shares = hits / seen if seen else shares
        elif "not-divided" in faults:
            shares = hits + strength * below
        elif "strength-forgotten" in faults:
            shares = (hits + strength * below) / max(seen, 1)
        elif "one-each" in faults:
            shares = (hits + strength) / (seen + strength * len(alphabet))
        elif "strength-on-counts" in faults:
            shares = (strength * hits + below) / (strength * seen + 1)
        else:
            shares = (hits + strength * below) / (seen + strength)
        of_orders.append(shares)
    if "orders-averaged" in faults:
        shares = np.mean(of_orders, axis=0)
    return np.log(shares) if "logarithm" in faults else shares


def _next_recursive(text, context, alphabet, longest, strength):
    def share(n, character):
        if n == 0:
            return 1 / len(alphabet)
        h = context[len(context) - n + 1:]
        after = [text[i + n - 1] for i in range(len(text) - n + 1) if text[i:i + n - 1] == h]
        return ((after.count(character) + strength * share(n - 1, character))
                / (len(after) + strength))

    return [share(longest, character) for character in alphabet]


def _next_counter(text, context, alphabet, longest, strength):
    shares = {character: 1 / len(alphabet) for character in alphabet}
    for n in range(1, longest + 1):
        grams = Counter(text[i:i + n] for i in range(len(text) - n + 1))
        h = context[len(context) - n + 1:]
        seen = sum(times for gram, times in grams.items() if gram[:-1] == h)
        shares = {c: (grams[h + c] + strength * p) / (seen + strength) for c, p in shares.items()}
    return np.array(list(shares.values()))


def _next_cases(seed):
    rng = np.random.default_rng([seed, 92])

    def text(letters, n, sticky=0.0):
        drawn = [letters[0]]
        for _ in range(n - 1):
            again = rng.random() < sticky
            drawn.append(drawn[-1] if again else letters[rng.integers(len(letters))])
        return "".join(drawn)

    def case(letters, extra, n, longest, strength, sticky=0.0, context=None, hard=""):
        learned = text(letters, n, sticky)
        if context is None:
            context = learned[n // 2:n // 2 + longest + 3]
        return Case((learned, context, letters + extra, longest, strength), hard=hard)

    ends = text("abc", 40)
    return [case("abcd", "", 60, 3, 2.0), case("abc", "d", 50, 2, 1.0),
            case("the ", "", 70, 4, rng.uniform(2, 6)), case("xyz", "", 45, 1, 3.0),
            case("ab", "cde", 30, 2, rng.uniform(15, 30)),
            case("abc", "d", 40, 2, 150.0, hard="a strength that drowns the counts"),
            case("abc", "d", 40, 2, 0.005, hard="a strength of next to nothing"),
            case("ab", "c", 60, 4, 1.5, sticky=0.8, context="babaaaa",
                 hard="a context that overlaps itself"),
            case("abc", "z", 40, 3, 2.0, context="bazz", hard="a context that was never seen"),
            Case((ends, ends[-5:], "abc", 4, 1.0), hard="a context that ends the text")]


_BASELINE = Exercise(
    id="9.2", kind="write", points=5, minutes=25, version=1,
    hints=(
        "Build it from below: begin with equal shares, then mix in the counts of one order after "
        "the other, from 1 to `longest`.",
        "For the order n, the context is the last n - 1 characters: none at all for n = 1. Mind "
        "that `context[-0:]` is the whole context.",
        "Count by trying every place of the text. `str.count` jumps over occurrences that "
        "overlap: try \"aaa\".count(\"aa\").",
    ),
    cases=_next_cases,
    spared={"zeros": "orders begin at 1, and with a strength of 0 a context that was never seen "
                     "would divide 0 by 0"},
    reference=_next_shares,
    mistakes=switched(_next_shares, {
        "no-overlap": "Right, but for a run like \"aaa\": `str.count` counts occurrences that do "
                      "not overlap, and your shares do not fit the text.",
        "no-overlap-above-and-below": "Your shares do not sum to one: `str.count` jumps over "
                                      "occurrences that overlap, above the fraction line and "
                                      "below it, and not as often in both.",
        "end-counted": "Your shares do not sum to one where the text ends with the context: there "
                       "the context stands, and nothing comes after it.",
        "end-counted-always": "Your shares do not sum to one: you count the end of the text among "
                              "the places of a context, of the empty one as well. Nothing comes "
                              "after it there.",
        "too-long": "Your contexts are one character too long. In an n-gram, how many characters "
                    "stand before the last?",
        "minus-zero": "Your 1-grams have a context. The last 0 characters are none, but "
                      "`context[-0:]` is everything.",
        "from-the-front": "You take the first characters of the context. "
                          "Which ones stand next to what is to come?",
        "always-uniform": "You mix the longest count with equal shares at once. "
                          "In (9.2) all the shorter contexts stand between.",
        "hard-back-off": "You let the longest context that was ever seen decide alone, even if it "
                         "was seen once. Where does the strength come in?",
        "strength-forgotten": "Your shares sum to more than one: what you added above the fraction "
                              "line must be added below it, too.",
        "not-divided": "These are counts, not shares. Divide each order before the next is mixed "
                       "in.",
        "one-each": "You add the same to every count. In (9.2) the likelier a character is to the "
                    "shorter context, the more it gets.",
        "from-nothing": "At the bottom you begin with 0. Below the shortest context all characters "
                        "are equally likely.",
        "one-order-less": "Your longest context is one too short: the orders go from 1 to "
                          "`longest`, and order n has n - 1 characters.",
        "one-order-more": "You mix in one order too many: they end with `longest`.",
        "whole-context": "Your context is the whole of it in every order above 1. Order n looks at "
                         "the last n - 1 characters.",
        "longest-first": "You mix the longest context in first and the shortest last, so that the "
                         "shortest decides most. It is the other way round.",
        "strength-on-counts": "Your strength multiplies the counts. It says how much the shorter "
                              "context weighs beside them.",
        "orders-averaged": "You took the mean over the orders. In (9.2) each order is mixed with "
                           "the one below it.",
        "text-alphabet": "At the bottom you share among the characters of the text. The alphabet "
                         "may hold more, and they can come as well.",
        "size-of-text": "At the bottom you divide by how many characters the text knows. The "
                        "alphabet may hold more: then your shares sum to more than one.",
        "logarithm": "You returned the logarithms of the shares.",
    }, pairs=[("no-overlap", "from-the-front"),
              ("minus-zero", "no-overlap"), ("minus-zero", "end-counted"),
              ("no-overlap", "hard-back-off"), ("no-overlap", "always-uniform"),
              ("no-overlap", "too-long"), ("too-long", "always-uniform"),
              ("from-the-front", "always-uniform"), ("from-the-front", "hard-back-off"),
              ("end-counted", "no-overlap"),
              ("strength-forgotten", "no-overlap"), ("text-alphabet", "always-uniform"),
              ("one-each", "no-overlap"), ("too-long", "hard-back-off"),
              ("from-the-front", "too-long")]),
    equivalent={
        frozenset({"end-counted", "end-counted-always"}): "they differ by one in the length of the "
        "text, at the lowest order alone",
    },
    variants=(_next_recursive, _next_counter),
)


# 9.3  A choosier draw

_SOFTMAX = (
    "attnlib.softmax", "torch.softmax", "torch.Tensor.softmax", "torch.log_softmax",
    "torch.nn.functional.softmax", "torch.nn.functional.log_softmax",
)


@np.errstate(all="ignore")
def _choosy(scores, temperature, k, *, faults=frozenset()):
    axis = 0 if "first-axis" in faults else -1
    ordered = np.sort(scores, axis=axis)
    many = scores.shape[axis]
    kept = k if "k-too-large" in faults and k > many else min(k, many)
    if "one-more" in faults:
        kept = min(k + 1, many)
    least = np.take(ordered, [-kept], axis=axis)
    if "one-for-all" in faults:
        least = np.sort(scores, axis=None)[-min(k, scores.size)]
    allowed = scores > least if "one-fewer" in faults and k < many else scores >= least
    if "first-tokens" in faults:
        allowed = np.arange(many) < k + 0 * scores
    if "smallest" in faults:
        allowed = scores <= np.take(ordered, [kept - 1], axis=axis)
    if "k-ignored" in faults:
        allowed = np.ones(scores.shape, dtype=bool)
    if temperature == 0 and "zero-nan" not in faults:
        top = (scores == scores.max(axis=axis, keepdims=True)) & allowed
        return top / top.sum(axis=axis, keepdims=True)
    warm = scores * temperature if "multiplied" in faults else scores / temperature
    if "no-temperature" in faults:
        warm = scores
    if "zero-scores" in faults:
        warm = np.where(allowed, warm, 0.0)
    top = 0.0 if "overflow" in faults else warm.max(axis=axis, keepdims=True)
    parts = np.exp(warm - top)
    if not faults & {"zero-scores", "not-renormalised"}:
        parts = np.where(allowed, parts, 0.0)
    shares = parts / parts.sum(axis=axis, keepdims=True)
    return np.where(allowed, shares, 0.0) if "not-renormalised" in faults else shares


def _choosy_loops(scores, temperature, k):
    rows = scores.reshape(-1, scores.shape[-1])
    shares = np.zeros(rows.shape)
    for row, out in zip(rows, shares):
        best = sorted(range(len(row)), key=lambda j: -row[j])[:k if temperature else 1]
        parts = {j: math.exp((row[j] - row[best[0]]) / (temperature or 1)) for j in best}
        for j in best:
            out[j] = parts[j] / sum(parts.values())
    return shares.reshape(scores.shape)


def _choosy_torch(scores, temperature, k):
    import torch
    best = torch.topk(scores, min(k, scores.shape[-1]) if temperature else 1, dim=-1)
    top = best.values[..., :1]
    parts = torch.exp((best.values - top) / (temperature or 1.0))
    shares = torch.zeros_like(scores)
    return shares.scatter(-1, best.indices, parts / parts.sum(-1, keepdim=True))


def _choosy_cases(seed):
    rng = np.random.default_rng([seed, 93])

    def case(*shape, temperature, k, size=1.5, shift=0.0, apart=0.0, hard=""):
        scores = size * rng.normal(size=shape) + shift
        scores = scores + apart * np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
        return Case((scores, temperature, k), hard=hard)

    tied = rng.normal(size=(4, 5))
    tied[np.arange(4), rng.permuted(np.tile(np.arange(5), (4, 1)), axis=1)[:, 0]] = 3.0
    tied[np.arange(4), (tied.argmax(1) + rng.integers(1, 5, size=4)) % 5] = 3.0 - 5e-4
    return [Case((tied, 0.0, 3), hard="temperature 0, and two scores that are nearly alike"),
            case(3, 3, 3, temperature=1.2, k=2, hard="all lengths alike"),
            case(1, 1, 1, temperature=1.2, k=1, hard="all lengths 1"),
            case(5, 7, temperature=1.0, k=3), case(4, 6, temperature=0.5, k=2),
            case(3, 8, temperature=2.5, k=5), case(2, 3, 7, temperature=0.8, k=4),
            case(9, temperature=1.5, k=4), case(4, 5, temperature=1.3, k=1),
            case(3, 6, temperature=0.7, k=11, hard="a k above the number of tokens"),
            case(4, 7, temperature=0.0, k=3, hard="temperature 0"),
            case(3, 5, temperature=0.01, k=4, size=30.0, hard="huge scores"),
            case(4, 6, temperature=1.0, k=3, apart=40.0, hard="rows far from each other")]


_CHOOSY = Exercise(
    id="9.3", kind="write", points=4, minutes=15, version=1,
    hints=(
        "First decide which k tokens of each row may be drawn, then take a softmax over these "
        "alone.",
        "The k-th largest score of a row is found by sorting it. Every row has its own, and a row "
        "may have fewer than k.",
        "At temperature 0 nothing may be divided by it. What do the shares go to when the "
        "temperature goes to 0?",
    ),
    cases=_choosy_cases,
    spared={"empty": "without tokens there is nothing to draw"},
    reference=_choosy,
    mistakes=switched(_choosy, {
        "k-ignored": "Every token of yours can still be drawn. Where does `k` come in?",
        "multiplied": "Your warm shares are sharper than the cold ones: scores are divided by the "
                      "temperature.",
        "no-temperature": "Your shares are those of temperature 1, whatever is asked for.",
        "not-renormalised": "You cut the small shares off and left it at that. "
                            "What do the rest sum to?",
        "zero-scores": "You put the scores of the rest to 0. What share does a score of 0 get?",
        "one-more": "You keep one token too many.",
        "first-tokens": "You keep the first k tokens of the list. Which k may be drawn?",
        "smallest": "You keep the k least likely tokens.",
        "one-fewer": "You keep one token too few: the k-th largest itself may be drawn.",
        "one-for-all": "The k-th largest is sought in the whole array. "
                       "Each row has its own k tokens.",
        "first-axis": "You share out along the first axis. The tokens lie along the last.",
        "zero-nan": "Right, but at temperature 0 you divide by 0.",
        "overflow": "Right for small scores. For large scores `exp` overflows: "
                    "see equation (3.3).",
        "k-too-large": "Right unless `k` is larger than the number of tokens: then the k-th "
                       "largest does not exist, and all of them may be drawn.",
    }, pairs=[("multiplied", "not-renormalised"), ("multiplied", "zero-nan"),
              ("multiplied", "one-fewer"), ("not-renormalised", "zero-nan"),
              ("not-renormalised", "overflow"), ("not-renormalised", "k-too-large"),
              ("zero-scores", "zero-nan"), ("zero-nan", "overflow"), ("zero-nan", "k-too-large"),
              ("overflow", "k-too-large"), ("k-ignored", "zero-nan"), ("k-ignored", "multiplied"),
              ("one-for-all", "zero-nan"), ("first-axis", "zero-nan"),
              ("no-temperature", "not-renormalised"), ("one-for-all", "not-renormalised")]),
    equivalent={},
    forbidden=_SOFTMAX,
    variants=(_choosy_loops, _choosy_torch),
)


# 9.4  All of it, or nothing

def _until(row, end, keep=True):
    row = np.asarray(row).tolist()
    return row[:row.index(end) + keep] if end in row else row


def _exact_match(said, target, end, *, faults=frozenset()):
    if "never" in faults:
        return 0.0
    if "tokens-of-rows" in faults:
        return float(np.mean([np.mean([x == y for x, y in zip(s, _until(t, end))])
                              for s, t in zip(said, target)]))
    shorter = min(said.shape[1], target.shape[1])
    a, b = said[:, :shorter], target[:, :shorter]
    if "by-token" in faults:
        real = np.cumsum(b == end, axis=1) - (b == end) == 0
        return float((a == b)[real].mean())
    if "padding-too" in faults:
        return float((a == b).all(axis=1).mean())
    if "first-token" in faults:
        return float((a[:, 0] == b[:, 0]).mean())
    if "lengths" in faults:
        return float(np.mean([len(_until(s, end)) == len(_until(t, end))
                              for s, t in zip(said, target)]))
    if "said-prefix" in faults:
        pairs = [(_until(s, end, False), _until(t, end, False)) for s, t in zip(said, target)]
        found = [t[:len(s)] == s for s, t in pairs]
    elif "zipped" in faults:
        found = [all(x == y for x, y in zip(s, _until(t, end))) for s, t in zip(said, target)]
    elif "end-cut-off" in faults:
        found = [_until(s, end, False) == _until(t, end, False) for s, t in zip(said, target)]
    elif "last-end" in faults:
        lengths = [len(t) - t[::-1].index(end) for t in target.tolist()]
        found = [s[:n] == t[:n] for s, t, n in zip(said.tolist(), target.tolist(), lengths)]
    elif "zero-padding" in faults:
        found = [s[:n] == t[:n] for s, t, n in zip(
            said.tolist(), target.tolist(), (target != 0).sum(axis=1).tolist())]
    elif "no-end-needed" in faults:
        pairs = [(s.tolist(), _until(t, end, False)) for s, t in zip(said, target)]
        found = [s[:len(t)] == t for s, t in pairs]
    elif "any-order" in faults:
        found = [sorted(_until(s, end)) == sorted(_until(t, end)) for s, t in zip(said, target)]
    else:
        found = [_until(s, end) == _until(t, end) for s, t in zip(said, target)]
    if "number" in faults:
        return float(sum(found))
    if "row-by-row" in faults:
        return np.array(found)
    if "every-row" in faults:
        return float(all(found))
    return 1 - float(np.mean(found)) if "errors" in faults else float(np.mean(found))


def _exact_array(said, target, end):
    n = max(said.shape[1], target.shape[1]) + 1
    a, b = (np.pad(np.asarray(x), ((0, 0), (0, n - x.shape[1])), constant_values=-1)
            for x in (said, target))
    over_a, over_b = (np.cumsum(x == end, axis=1) - (x == end) > 0 for x in (a, b))
    return float(np.where(over_a & over_b, True, (a == b) & (over_a == over_b)).all(1).mean())


def _exact_torch(said, target, end):
    import torch
    found = 0
    for s, t in zip(said, target):
        length = int((t == end).nonzero()[0]) + 1
        found += len(s) >= length and bool(torch.equal(s[:length], t[:length]))
    return found / len(said)


def _match_cases(seed):
    rng = np.random.default_rng([seed, 94])

    def case(batch, n_said, n_target, rates, end=1, padding=0, hard=""):
        said = rng.integers(2, 8, size=(batch, n_said))
        target = rng.integers(2, 8, size=(batch, n_target))
        kinds = np.repeat(np.arange(len(rates)), rates)
        for i, kind in enumerate(rng.permutation(np.resize(kinds, batch))):
            length = rng.integers(2, min(n_said, n_target) - 1)
            target[i, length] = end
            target[i, length + 1:] = padding
            said[i, :length + 1] = target[i, :length + 1]
            if kind == 1:    # one token is wrong
                said[i, rng.integers(length)] = 9
            elif kind == 2:  # it goes on where it should stop
                said[i, length] = rng.integers(2, 8)
            elif kind == 3:  # it stops too early
                said[i, length - 1] = end
            elif kind == 4:  # two tokens have changed places
                target[i, 0], target[i, 1] = 8, 9
                said[i, :2] = 9, 8
            elif kind == 5:  # said as it should be, padded like the target
                said[i, length + 1:] = padding
        return Case((said, target, end), hard=hard)

    def too_short(batch, n_said, n_target):
        """Half of what is said is the target's beginning, and has no place for its end."""
        said, target, _ = case(batch, n_target, n_target, (3, 2, 1, 1, 0, 1)).args
        for i in range(0, batch, 2):
            target[i, :n_said] = rng.integers(2, 8, size=n_said)
            target[i, n_said:] = (1, *np.zeros(n_target - n_said - 1, dtype=int))
            said[i] = target[i]
        return Case((said[:, :n_said].copy(), target, 1), hard="an answer too short for its end")

    def no_end(batch, n):
        """Half of what is said has another token in its last place, where the target ends."""
        target = rng.integers(2, 8, size=(batch, n + 1))
        target[:, n - 1:] = 1, 0
        said = target[:, :n].copy()
        said[::2, n - 1] = rng.integers(2, 8, size=len(said[::2]))
        return Case((said, target, 1), hard="another token where the answer should end")

    def late(batch, n_said, n_target):
        """Half of what is said begins with a token of its own, and goes on with the target."""
        said, target, _ = case(batch, n_said, n_target, (1,)).args
        said[::2] = np.roll(said[::2], 1, axis=1)
        said[::2, 0] = 9
        return Case((said, target, 1), hard="an answer that begins one place too late")

    return [case(40, 7, 6, (8, 3, 2, 3, 2, 5)), case(30, 5, 9, (5, 2, 4, 2, 4, 3)),
            case(50, 9, 6, (9, 5, 4, 1, 2, 3)), case(24, 8, 7, (4, 1, 1, 6, 1, 3)),
            no_end(22, 5), late(26, 9, 7),
            case(8, 8, 8, (2, 1, 2, 1, 1, 1), hard="all lengths alike"),
            Case((np.array([[1]]), np.array([[1]]), 1), hard="all lengths 1"),
            case(26, 6, 8, (3, 7, 3, 1, 1, 1), hard="many wrong tokens"),
            case(33, 7, 9, (2, 1, 9, 1, 1, 1), hard="texts that do not end in time"),
            case(36, 10, 8, (5, 1, 1, 1, 8, 2), hard="the right tokens in the wrong order"),
            too_short(28, 5, 9),
            case(32, 8, 10, (7, 2, 2, 2, 1, 3), end=0, padding=0,
                 hard="padding that looks like the end"),
            case(29, 7, 8, (6, 2, 2, 2, 1, 3), end=0, padding=1,
                 hard="an end that looks like padding")]


_MATCH = Exercise(
    id="9.4", kind="write", points=4, minutes=15, version=2,
    hints=(
        "What counts is each row up to its end sign, the sign included. Cut both rows there, then "
        "compare.",
        "What the model says after its end sign does not count, and the padding of the target "
        "neither. But an end sign in the wrong place, or none at all, is a fault.",
    ),
    cases=_match_cases,
    spared={"empty": "without rows there is no share, and a row holds at least its end"},
    reference=_exact_match,
    mistakes=switched(_exact_match, {
        "by-token": "You count tokens. A row with one wrong token of five is no match at all, not "
                    "four fifths of one.",
        "padding-too": "You compare what stands after the end sign as well. Nothing there was "
                       "asked for.",
        "no-end-needed": "A row that goes on where the target ends counts as right with you. "
                         "To stop is part of the answer.",
        "said-prefix": "A row that stops too early counts as right with you. "
                       "Look at the lengths of the two.",
        "first-token": "You compare only the first token of each row.",
        "lengths": "You compare how long the rows are, not what they say.",
        "any-order": "The right tokens in the wrong order count as right with you.",
        "zipped": "Right, but for a row too short to hold the end: you compare as far as both "
                  "rows go, and it never said that it was done.",
        "end-cut-off": "Right, but for a row without an end: you cut the end off both, so that "
                       "nobody sees whether it was said.",
        "last-end": "Right, but where padding looks like `end`: you look for the last one. "
                    "The first ends the row.",
        "zero-padding": "Right where padding is 0 and `end` is not. How long a row is, its first "
                        "`end` tells, not its zeros.",
        "never": "You find nothing right on any input, though some rows are. Do you compare rows "
                 "whole, with what stands behind their ends, or ask for all of them at once?",
        "tokens-of-rows": "You give each row the share of its tokens that are right. A row with "
                          "one wrong token is no match at all.",
        "row-by-row": "You return a verdict for each row. Asked for is the share that is right.",
        "every-row": "You return 1 where every row is right and 0 otherwise. Asked for is the "
                     "share of rows.",
        "number": "You return the number of right rows. Their share is asked for.",
        "errors": "You return the share of wrong rows.",
    }, pairs=[("no-end-needed", "errors"), ("no-end-needed", "number"), ("said-prefix", "number"),
              ("said-prefix", "errors"), ("any-order", "number"), ("any-order", "errors")]),
    variants=(_exact_array, _exact_torch),
)


# 9.5  Too good to be true

def _prepare_as_given(tokens, n, cut):
    starts = np.arange(0, len(tokens) - n, n)
    inputs = tokens[starts[:, None] + np.arange(n)]
    targets = np.roll(inputs, -1, axis=1)
    first = cut // n
    return inputs, targets, inputs[first:], targets[first:]


def _windows(tokens, n, faults):
    last = 1 if "one-lost" in faults else 0
    stride = 1 if "sliding" in faults else n + 1 if "gap" in faults else n
    starts = np.arange(0, len(tokens) - n - last, stride)
    inputs = tokens[starts[:, None] + np.arange(n)]
    targets = tokens[starts[:, None] + np.arange(1, n + 1)]
    if "wrapped" in faults:
        targets = np.roll(inputs, -1, axis=1)
    if "unshifted" in faults:
        targets = inputs.copy()
    if "backwards" in faults:
        inputs, targets = targets, inputs
    return inputs, targets


def _prepare(tokens, n, cut, *, faults=frozenset()):
    if "straddling" in faults:
        inputs, targets = _windows(tokens, n, faults)
        first = -(-cut // n)
        test = _windows(tokens[cut:], n, faults) if "test-cut" in faults else (
            inputs[first:], targets[first:])
        return inputs[:first], targets[:first], *test
    if faults & {"straddling-test", "off-the-cut"}:
        inputs, targets = _windows(tokens, n, faults)
        first = cut // n
        after = first if "straddling-test" in faults else -(-cut // n)
        return inputs[:first], targets[:first], inputs[after:], targets[after:]
    if "overlap-left" in faults:
        inputs, targets = _windows(tokens, n, faults)
        return inputs, targets, inputs[cut // n:], targets[cut // n:]
    if "cut-moved" in faults:
        cut = cut // n * n
    train, test = tokens[:cut], tokens[cut:]
    if "test-late" in faults:
        test = tokens[cut + 1:]
    if "target-beyond" in faults:
        train = tokens[:cut + 1]
    if "all-in-training" in faults:
        train = tokens
    if "tested-on-training" in faults:
        test = tokens[:cut]
    if "swapped" in faults:
        train, test = test, train
    return (*_windows(train, n, faults), *_windows(test, n, faults))


def _prepare_loops(tokens, n, cut):
    parts = []
    for part in (tokens[:cut], tokens[cut:]):
        starts = [i for i in range(0, len(part), n) if i + n < len(part)]
        parts.append(np.array([part[i:i + n] for i in starts]))
        parts.append(np.array([part[i + 1:i + n + 1] for i in starts]))
    return tuple(parts)


def _prepare_reshape(tokens, n, cut):
    def windows(part):
        whole = (len(part) - 1) // n * n
        return part[:whole].reshape(-1, n), part[1:whole + 1].reshape(-1, n)
    return [*windows(tokens[:cut]), *windows(tokens[cut:])]


def _prepare_cases(seed):
    rng = np.random.default_rng([seed, 95])

    def case(length, n, cut, hard=""):
        return Case((rng.permutation(10 * length)[:length], n, cut), hard=hard)

    return [case(60, 5, 42), case(83, 7, 59), case(95, 4, 70), case(70, 6, 41),
            Case((np.zeros(33, dtype=int), 4, 18), hard="a text of one token alone"),
            case(41, 4, 26, hard="a part that fits its windows to the last token"),
            case(64, 5, 40, hard="a last window that lacks its last target"),
            case(55, 9, 35, hard="a cut inside a window")]


_TOO_GOOD = Exercise(
    id="9.5", kind="find the bug", points=4, minutes=15, version=1,
    hints=(
        "Run it on the numbers 0 to 19 with n = 4 and cut = 12, and read what comes back. Which "
        "tokens of the test stand in the training part, too?",
        "Look at the last target of every window: which token should it be, and which one is it?",
        "Cut the tokens first, then make windows of each part. A window needs n + 1 tokens.",
    ),
    cases=_prepare_cases,
    reference=_prepare,
    mistakes=(Mistake("as-given", "This is the function as it was given. Look at the last target "
                      "of each window, and for test windows among the training ones.",
                      _prepare_as_given), *switched(_prepare, {
        "all-in-training": "The training windows still go over the whole text, so that what is "
                           "tested was learned.",
        "wrapped": "The last target of every window is its own first token, not the next one of "
                   "the text.",
        "straddling": "A window straddles the cut: tokens from behind it are trained on.",
        "straddling-test": "A test window straddles the cut: it begins with tokens that were "
                           "trained on. Where does the test part's first window begin?",
        "off-the-cut": "Your test windows do not begin at the cut, but at the next multiple of "
                       "n, so that tokens behind the cut are lost.",
        "overlap-left": "Your targets are right now. The training windows still go over the whole "
                        "text, and those of the test are among them.",
        "cut-moved": "You moved the cut to the end of a window. It stands where it stands: the "
                     "last window of a part is left out where it does not fit.",
        "test-late": "Your test part begins one token late: it begins at the cut.",
        "target-beyond": "Right, but for a training part that its windows fill: the last target "
                         "is then the first token of the test.",
        "unshifted": "Your targets are the inputs themselves. A model learns to repeat that at "
                     "once, and its loss is too good to be true.",
        "backwards": "Your targets are the tokens *before* the inputs. What is to be predicted?",
        "sliding": "Your windows overlap: nearly every token is a target n times.",
        "gap": "Between two windows a token is never a target.",
        "one-lost": "You leave out the last window where it just fits. "
                    "How many tokens does a window need?",
        "tested-on-training": "You test on the training part. It will do well.",
        "swapped": "Training and test part have changed places.",
    }, pairs=[("all-in-training", "unshifted"), ("all-in-training", "sliding"),
              ("all-in-training", "one-lost"), ("wrapped", "straddling"),
              ("wrapped", "straddling-test"),
              ("wrapped", "tested-on-training"), ("wrapped", "one-lost"),
              ("straddling", "unshifted"), ("unshifted", "tested-on-training"),
              ("wrapped", "swapped"), ("backwards", "straddling"), ("wrapped", "sliding"),
              ("all-in-training", "backwards"), ("sliding", "one-lost"), ("wrapped", "gap")],
    also=[("straddling", "test-cut")])),
    spared={"one": "a text of one token holds no window", "empty": "nor does a text of no tokens"},
    variants=(_prepare_loops, _prepare_reshape),
)


# 9.6  What would you see?

_SEEN = {"a": "better", "b": "better", "c": "better", "d": "same", "e": "same", "f": "worse"}
_GUESSES = {"a": "worse", "b": "worse", "c": "same", "d": "worse", "e": "worse", "f": "same"}


def _symptoms(*, faults=frozenset()):
    return {letter: _GUESSES[letter] if letter in faults else word
            for letter, word in _SEEN.items()}


_SYMPTOMS = Exercise(
    id="9.6", kind="predict", points=3, minutes=10, version=1,
    hints=(
        "Ask of each change: what does the model see when it predicts, and what is it asked for? "
        "A bug that tells it the answer makes the loss better.",
        "For c: how surprising is the second of two characters that are always alike? For d: does "
        "the model know what a character looks like? For e: is anything generated for a loss?",
    ),
    cases=lambda seed: [Case()],
    reference=_symptoms,
    mistakes=switched(_symptoms, {
        "a": "Case a: without the mask the next character can be looked at. "
             "What does that do to the loss?",
        "b": "Case b: how hard is it to say what one is looking at?",
        "c": "Case c: every other character is now no surprise at all. "
             "The loss is a mean over all of them.",
        "d": "Case d: to the model a character is a number in a list. Does it matter which?",
        "e": "Case e: is anything generated when a loss is computed?",
        "f": "Case f: what is left to learn when the order is random?",
    }, pairs=[("a", "b"), ("a", "c"), ("a", "d"), ("a", "e"), ("a", "f"), ("b", "c"), ("b", "d"),
              ("b", "e"), ("b", "f"), ("c", "d"), ("c", "e"), ("c", "f"), ("d", "e"), ("d", "f"),
              ("e", "f")]),
    variants=(lambda: {letter: word.title() for letter, word in _SEEN.items()},),
)


# 9.7  Pieces of words

def _merged(parts, pair):
    out = []
    for part in parts:
        if out and (out[-1], part) == pair:
            out[-1] += part
        else:
            out.append(part)
    return out


def _pieces(texts, size, *, faults=frozenset()):
    pieces = sorted(set("".join(texts)))
    free = size - len(pieces)
    if "characters" in faults:
        return pieces
    if "words" in faults:
        words = Counter(word for text in texts for word in text.split() if len(word) > 1)
        return pieces + [word for word, _ in words.most_common(free)]
    if "pairs-alone" in faults:
        pairs = Counter(text[i:i + 2] for text in texts for i in range(len(text) - 1))
        return pieces + [pair for pair, _ in pairs.most_common(free)]
    if "whole-texts" in faults:
        return pieces + sorted(set(texts), key=len)[-free:]
    found, parts = list(pieces), [list(text) for text in texts]
    while len(found) < size + ("one-too-many" in faults):
        pairs = Counter(pair for some in parts for pair in zip(some, some[1:]))
        pair = pairs.most_common()[-1 if "rarest" in faults else 0][0]
        if "".join(pair) in found:
            break
        found.append("".join(pair))
        parts = [_merged(some, pair) for some in parts]
    return found[len(pieces):] if "characters-lost" in faults else found


def _cut(text, pieces):
    """The text as pieces, always the longest that fits."""
    longest, known, parts, start = max(map(len, pieces)), set(pieces), [], 0
    while start < len(text):
        length = next(n for n in range(longest, 0, -1) if text[start:start + n] in known)
        parts.append(text[start:start + length])
        start += length
    return parts


def _count(texts, pieces):
    return sum(len(_cut(text, pieces)) for text in texts)


@functools.lru_cache(maxsize=64)
def _goal(texts, size):
    return _count(texts, _pieces(texts, size))


def _pieces_judge(cases, outcomes):
    """The broken law; or the mistake, where it shows in the pieces of every text."""
    broken = _pieces_law(cases, outcomes)
    if broken is None or broken.mistake == "another form":
        return broken
    name = next((name for name, shows in _PIECES_SHOW.items() if all(
        shows(*case.args, outcome.value) for case, outcome in zip(cases, outcomes))), None)
    return broken if name is None else next(
        Result("known_mistake", mistake.sentence, f"{broken.sentence}\n{broken.witness}",
               mistake=name) for mistake in _PIECES.mistakes if mistake.name == name)


def _longer(pieces):
    return [piece for piece in {*pieces} if len(piece) > 1]


_PIECES_SHOW = {
    "one-too-many": lambda texts, size, pieces: len({*pieces}) == size + 1,
    "characters-lost": lambda texts, size, pieces: len(_longer(pieces)) == len({*pieces}),
    "whole-texts": lambda texts, size, pieces: {*_longer(pieces)} <= {*texts},
    "rarest": lambda texts, size, pieces: any(len(piece) == 2 for piece in pieces) and all(
        sum(text.count(piece) for text in texts) <= 2 for piece in _longer(pieces)),
}


def _pieces_law(cases, outcomes):
    for case, outcome in zip(cases, outcomes):
        texts, size = case.args
        pieces = outcome.value
        if not isinstance(pieces, (list, tuple)) or not pieces or not all(
                isinstance(piece, str) and piece for piece in pieces):
            return another_form("The answer is a list of pieces: strings of one or more "
                                "characters.")
        if len(set(pieces)) > size:
            return broken_law(f"{len(set(pieces))} different pieces, and {size} were allowed.",
                              name="too many pieces")
        missing = sorted(set("".join(texts)) - set(pieces))
        if missing:
            return broken_law("A character of the texts is no piece of its own, so that some text "
                              "of the same characters could not be cut.", f"missing: {missing}",
                              name="a character lost")
        count, goal = _count(texts, pieces), _goal(tuple(texts), size)
        if count > 1.1 * goal:
            name, words = _pieces_fault(texts, size, pieces)
            return broken_law(
                f"Your pieces cut the texts into {count} parts. Ours need {goal}, and a tenth more "
                f"would do.{words}", f"{len(texts)} texts such as {texts[0]!r}, {size} pieces"
                + f" ({case.hard})" * bool(case.hard), name)
    return None


def _pieces_fault(texts, size, pieces):
    """Name and sentence of what keeps pieces from saving more."""
    left = size - len(set(pieces))
    if left:
        return "places left", f" {left} of {size} places are not used: with more pieces fewer do."
    used = Counter(part for text in texts for part in _cut(text, pieces))
    idle = [piece for piece in pieces if len(piece) > 1 and not used[piece]]
    if 4 * len(idle) >= sum(len(piece) > 1 for piece in pieces):
        return "idle pieces", (f" {len(idle)} of your pieces, such as {idle[0]!r}, are used nowhere"
                               " when the texts are cut: a longer one always takes their place, "
                               "or they never occur.")
    if max(map(len, pieces)) <= 2:
        return "short pieces", " None of your pieces is longer than 2: pieces can grow."
    rare = [piece for piece in pieces if len(piece) > 1 and used[piece] < 3]
    if 4 * len(rare) >= sum(len(piece) > 1 for piece in pieces):
        return "rare pieces", (f" {len(rare)} of your pieces, such as {rare[0]!r}, are used twice "
                               "at most. What occurs often saves more.")
    return "", ""


def _pieces_cases(seed):
    rng = np.random.default_rng([seed, 97])

    def numbers(count, below=10000):
        return [" ".join(number_words(int(i))) for i in rng.integers(below, size=count)]

    letters = rng.permutation(list("abcdefgh"))
    stems = ["".join(letters[rng.integers(8, size=4)]) for _ in range(6)]
    runs = ["".join(stems[i] for i in rng.integers(6, size=4)) for _ in range(36)]
    return [Case((numbers(40), 30)), Case((numbers(45, 1000), 32)),
            Case((runs, 18), hard="texts without spaces")]


def _pieces_by_saving(texts, size):
    """Cut by the pieces so far, and add the pair of parts that is most frequent."""
    pieces = sorted(set("".join(texts)))
    while len(pieces) < size:
        cut = [_cut(text, pieces) for text in texts]
        pairs = Counter(a + b for parts in cut for a, b in zip(parts, parts[1:]))
        pieces.append(next(pair for pair, _ in pairs.most_common() if pair not in pieces))
    return tuple(pieces)


_PIECES = Exercise(
    id="9.7", kind="open-ended", points=6, minutes=30, version=1,
    hints=(
        "Begin with the single characters: all of them, or some text cannot be cut. "
        "What pair of neighbours would save most if it were one piece?",
        "Glue that pair together in all texts, then count the neighbours again. "
        "Pieces grow out of pieces.",
    ),
    cases=_pieces_cases,
    reference=None,
    mistakes=switched(_pieces, {
        "characters": "These are the single characters. With the places that are left you can "
                      "save more than half of the parts.",
        "words": "You added the most common words. That helps where there are spaces, and longer "
                 "words and parts of words would still save more.",
        "pairs-alone": "You added the most common pairs, all counted in the texts as they were. "
                       "After a pair has become a piece, count again: pieces can grow.",
        "whole-texts": "You added whole texts. A piece is worth what it saves, and a long one "
                       "that occurs once saves little.",
        "rarest": "You glue the rarest pair. Which pair saves most?",
        "one-too-many": "There is one piece too many. The single characters count as well.",
        "characters-lost": "The single characters are not among your pieces. What happens to a "
                           "word that no longer piece fits?",
    }),
    judge=_pieces_judge,
    variants=(_pieces, _pieces_by_saving),
)


# 9.8  The decoder block

_LAYERS = ("attnlib.layers.Block", "attnlib.layers.Decoder", "attnlib.layers.Encoder",
           "attnlib.layers.LanguageModel", "attnlib.parts.block", "attnlib.parts.decoder_block")


def _norm(x, axis=-1):
    away = x - x.mean(axis, keepdims=True)
    return away / np.sqrt((away ** 2).mean(axis, keepdims=True) + 1e-5)


def _looked(x, memory, matrices, faults=frozenset(), **how):
    w_query, w_key, w_value, w_out = matrices
    scale = 1 if "no-scale" in faults else None
    found = attention(x @ w_query, memory @ w_key, memory @ w_value, scale=scale, **how)
    return found if "no-output" in faults else found @ w_out


def _worked(x, widen, narrow, faults=frozenset()):
    inner = x @ widen
    return (inner if "no-relu" in faults else inner * (inner > 0)) @ narrow


def _decode(x, memory, look, ask, widen, narrow, seen, *, faults=frozenset()):
    def norm(x):
        if "one-less" in faults and x.shape[-1] > 1:
            return (x - x.mean(-1, keepdims=True)) / np.sqrt(
                x.var(-1, keepdims=True, ddof=1) + 1e-5)
        if "root-first" in faults:
            return (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + 1e-5)
        if "no-epsilon" in faults:
            return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
        return _norm(x, -2 if "first-axis" in faults else -1)

    first = x
    if "normed-start" in faults:
        x = norm(x)

    def looks(y):
        key = first if "keys-unnormed" in faults else y
        return _looked(y, key, look, faults, causal="not-causal" not in faults)

    def asks(x):
        mask = None if "seen-ignored" in faults else ~seen if "seen-inverted" in faults else seen
        mask = mask if mask is None else mask[..., None, :]
        return _looked(x, norm(memory) if "memory-normed" in faults else memory, ask, faults,
                       mask=mask, causal="causal-memory" in faults)

    def works(x):
        return _worked(x, widen, narrow, faults)

    def step(x, f, start=None):
        seen = x if start is None else start
        if "post-norm" in faults:
            return norm(x + f(seen))
        if "normed-stream" in faults:
            return norm(x) + f(norm(seen))
        if "no-norm" in faults:
            return x + f(seen)
        return (0 if "no-residual" in faults else x) + f(norm(seen))

    if "side-by-side" in faults:
        return step(step(step(x, looks), asks, x), works, x)
    order = (looks, asks, works)
    if "ask-first" in faults:
        order = (asks, looks, works)
    if "ask-last" in faults:
        order = (looks, works, asks)
    if "never-asks" in faults:
        order = (looks, works)
    for f in order:
        unnormed = {looks: "look-unnormed", asks: "ask-unnormed", works: "work-unnormed"}[f]
        replaces = {looks: "look-replaces", asks: "ask-replaces", works: "work-replaces"}[f]
        if unnormed in faults or f is looks and "normed-start" in faults:
            x = x + f(x)
        elif replaces in faults:
            x = f(norm(x))
        elif f is asks and "ask-stale" in faults:
            x = x + asks(norm(first))
        else:
            x = step(x, f)
    return norm(x) if "last-norm" in faults else x


def _decode_plain(x, memory, look, ask, widen, narrow, seen):
    return _decode(x, memory, look, ask, widen, narrow, seen)


def _decode_torch(x, memory, look, ask, widen, narrow, seen):
    import torch
    from torch.nn.functional import layer_norm, relu

    x, memory, widen, narrow, seen = map(torch.as_tensor, (x, memory, widen, narrow, seen))

    def found(x, memory, matrices, mask):
        w_query, w_key, w_value, w_out = map(torch.as_tensor, matrices)
        scores = (x @ w_query) @ (memory @ w_key).mT / w_query.shape[1] ** 0.5
        shares = torch.softmax(scores.masked_fill(~mask, -torch.inf), -1).nan_to_num(0.0)
        return shares @ (memory @ w_value) @ w_out

    n, width = x.shape[-2:]
    y = layer_norm(x, (width,))
    x = x + found(y, y, look, torch.ones(n, n, dtype=torch.bool).tril())
    x = x + found(layer_norm(x, (width,)), memory, ask, seen[..., None, :])
    return x + relu(layer_norm(x, (width,)) @ widen) @ narrow


def _decode_loops(x, memory, look, ask, widen, narrow, seen):
    if x.ndim > 2:
        return np.stack([_decode_loops(*one[:2], look, ask, widen, narrow, one[2])
                         for one in zip(x, memory, seen)])

    def norm(row):
        return (row - row.mean()) / math.sqrt(row.var() + 1e-5)

    def found(row, others, matrices):
        w_query, w_key, w_value, w_out = matrices
        if not len(others):
            return np.zeros(w_out.shape[1])
        scores = np.array([row @ w_query @ (other @ w_key) for other in others])
        return softmax(scores / math.sqrt(w_query.shape[1])) @ others @ w_value @ w_out

    normed = np.array([norm(row) for row in x])
    output = []
    for i, row in enumerate(x):
        row = row + found(normed[i], normed[:i + 1], look)
        row = row + found(norm(row), memory[seen], ask)
        output.append(row + np.maximum(norm(row) @ widen, 0) @ narrow)
    return np.array(output)


def _decode_cases(seed):
    rng = np.random.default_rng([seed, 98])

    def case(*leading, n, n_k, d, d_memory, hidden, size=1.0, hard=""):
        def w(rows, columns):
            return rng.normal(size=(rows, columns)) * 1.5 / math.sqrt(rows)

        look = (w(d, 3), w(d, 3), w(d, 4), w(4, d))
        ask = (w(d, 5), w(d_memory, 5), w(d_memory, 2), w(2, d))
        seen = rng.random((*leading, n_k)) < 0.6
        seen[..., 1:2], seen[..., 0] = False, True
        if hard == "a memory of which nothing may be seen":
            seen[0] = False
        x = size * (rng.normal(size=(*leading, n, d)) + 0.5)
        memory = 1 + 1.5 * rng.normal(size=(*leading, n_k, d_memory))
        return Case((x, memory, look, ask, w(d, hidden), w(hidden, d), seen), hard=hard)

    alike = case(3, n=3, n_k=3, d=3, d_memory=3, hidden=3, hard="all lengths alike")
    alike.args[1][:] *= 100
    alike.args[1][0, 0] = 0
    return [alike, case(1, n=1, n_k=1, d=1, d_memory=1, hidden=1, hard="all lengths 1"),
            case(n=5, n_k=7, d=6, d_memory=8, hidden=9),
            case(n=8, n_k=6, d=7, d_memory=5, hidden=10),
            case(3, n=4, n_k=9, d=8, d_memory=6, hidden=11, hard="a batch"),
            case(2, n=6, n_k=4, d=5, d_memory=7, hidden=12,
                 hard="a memory of which nothing may be seen"),
            case(n=1, n_k=5, d=6, d_memory=4, hidden=8, hard="a single position"),
            case(n=4, n_k=6, d=5, d_memory=7, hidden=9, size=0.0003,
                 hard="features that hardly differ")]


_DECODER = Exercise(
    id="9.8", kind="write", points=5, minutes=25, version=1,
    hints=(
        "Write three small functions: the norm of a row, a look (four matrices, who asks, who is "
        "asked, a mask), the feed-forward step. Then the block is three lines.",
        "Each of the three lines adds to x what a step made of the normalised x. The memory is "
        "not x: it comes as it is.",
        "`seen` has no axis of queries. Where does it belong, counted from the end?",
    ),
    cases=_decode_cases,
    spared={"empty": "a memory of which nothing may be seen is there"},
    reference=_decode_plain,
    mistakes=switched(_decode, {
        "not-causal": "Your positions see later ones when they look at themselves. "
                      "In use there will be no later ones.",
        "causal-memory": "You hid later positions of the memory. The source is there as a whole.",
        "seen-ignored": "You did not use `seen`: padding in the memory is looked at.",
        "seen-inverted": "Your `seen` is turned round: True means that it may be looked at.",
        "memory-normed": "You normalised the memory. It is taken as it is.",
        "ask-first": "You asked the memory first. Which comes first in the task?",
        "ask-last": "You asked the memory after the feed-forward step. It comes before it.",
        "never-asks": "Your block never asks the memory.",
        "ask-unnormed": "Your x asks the memory as it is. Each of the three steps sees it "
                        "normalised.",
        "look-unnormed": "Your x looks at itself as it is. Each of the three steps sees it "
                         "normalised.",
        "work-unnormed": "Your feed-forward step sees x as it is. Each of the three steps sees it "
                         "normalised.",
        "look-replaces": "What your positions found in themselves takes the place of x. "
                         "It is added to it.",
        "work-replaces": "What your feed-forward step made takes the place of x. "
                         "It is added to it.",
        "ask-stale": "You ask the memory with the x that came in. Ask with what the first step "
                     "has made of it.",
        "keys-unnormed": "Your keys and values are made from x as it is, your queries from the "
                         "normalised x. A step sees the normalised x alone.",
        "normed-start": "You go on with the normalised x. The norm is for the steps' eyes; what "
                        "they add to is x itself.",
        "last-norm": "You normalise what comes out. A pre-norm block leaves that to the end of "
                     "the tower.",
        "one-less": "Your variance is divided by one less than the width.",
        "root-first": "Your small constant is added to the root. It stands under it.",
        "no-epsilon": "Right where features differ. Under the root there is a small constant as "
                      "well.",
        "ask-replaces": "What you found in the memory takes the place of x. It is added to it, "
                        "as in the other steps.",
        "no-residual": "Your steps put their output in the place of their input.",
        "no-norm": "Your steps see x as it is, without a norm.",
        "post-norm": "You normalise behind the sum. Here the norm stands in front of the step.",
        "normed-stream": "You add to the normalised x. The norm is for the step's eyes alone.",
        "side-by-side": "Your steps all start from the first x. Each works on what the one before "
                        "has made.",
        "first-axis": "Your norm runs down the columns. Each position is normalised by itself.",
        "no-relu": "Nothing happens between the two matrices of your feed-forward step.",
        "no-scale": "Your scores are not divided by the root of the width of a query.",
        "no-output": "Your looks end with the values. There is a matrix behind each.",
    }, pairs=[("not-causal", "seen-ignored"), ("not-causal", "no-relu"),
              ("memory-normed", "not-causal"), ("ask-first", "memory-normed"),
              ("seen-ignored", "no-relu"), ("post-norm", "not-causal"),
              ("post-norm", "memory-normed"), ("no-residual", "not-causal"),
              ("seen-inverted", "not-causal"), ("first-axis", "not-causal")]),
    forbidden=_LAYERS,
    variants=(_decode_torch, _decode_loops),
)


# 9.9  Put together

def _exchanged(x, block, faults):
    w_query, w_key, w_value, w_out, *_ = block
    if "weights-turned" in faults:
        w_query, w_key, w_value, w_out = (w.T for w in (w_query, w_key, w_value, w_out))
    query, key, value = x @ w_query, x @ w_key, x @ w_value
    if "not-turned" not in faults:
        query = rotate(query)
        key = key if "query-alone" in faults else rotate(key)
    if "value-turned" in faults:
        value = rotate(value)
    return attention(query, key, value, causal="not-causal" not in faults) @ w_out


def _assembled(tokens, embedding, blocks, unembedding, *, faults=frozenset()):
    start = x = embedding[tokens]
    if "normed-embedding" in faults:
        x = _norm(x)
    chosen = list(blocks)
    if "reversed" in faults:
        chosen = chosen[::-1]
    if "one-block" in faults:
        chosen = chosen[:1]
    if "same-block" in faults:
        chosen = chosen[:1] * len(chosen)
    for block in chosen:
        into = x
        steps = [functools.partial(_exchanged, block=block, faults=faults),
                 functools.partial(_worked, widen=block[4], narrow=block[5], faults=faults)]
        if "from-the-start" in faults:
            x = start
        if "no-work" in faults:
            steps = steps[:1]
        for f in steps[::-1] if "work-first" in faults else steps:
            work = f is not steps[0]
            if ("work-unnormed" if work else "look-unnormed") in faults:
                x = x + f(x)
            elif work and "work-stale" in faults:
                x = x + f(_norm(into))
            elif work and "work-to-normed" in faults:
                x = _norm(into) + f(_norm(x))
            elif "post-norm" in faults:
                x = _norm(x + f(x))
            else:
                x = (0 if "no-residual" in faults else x) + f(_norm(x))
        if "norm-each" in faults:
            x = _norm(x)
    if "no-last-norm" not in faults:
        x = _norm(x)
    scores = x @ (embedding.T if "tied" in faults else unembedding)
    if "likeliest" in faults:
        return scores.argmax(-1)
    if "last-alone" in faults:
        return scores[..., -1, :]
    return softmax(scores) if "shares" in faults else scores


def _assembled_plain(tokens, embedding, blocks, unembedding):
    return _assembled(tokens, embedding, blocks, unembedding)


def _assembled_torch(tokens, embedding, blocks, unembedding):
    import torch
    from torch.nn.functional import layer_norm, relu, scaled_dot_product_attention

    x = torch.as_tensor(embedding)[torch.as_tensor(tokens)]
    for block in blocks:
        w_query, w_key, w_value, w_out, widen, narrow = map(torch.as_tensor, block)
        y = layer_norm(x, x.shape[-1:])
        query, key = rotate(y @ w_query), rotate(y @ w_key)
        x = x + scaled_dot_product_attention(query, key, y @ w_value, is_causal=True) @ w_out
        x = x + relu(layer_norm(x, x.shape[-1:]) @ widen) @ narrow
    return layer_norm(x, x.shape[-1:]) @ torch.as_tensor(unembedding)


def _assembled_loops(tokens, embedding, blocks, unembedding):
    if tokens.ndim > 1:
        return np.stack([_assembled_loops(one, embedding, blocks, unembedding) for one in tokens])

    def norm(row):
        return (row - np.mean(row)) / math.sqrt(np.var(row) + 1e-5)

    x = [embedding[i] for i in tokens]
    for w_query, w_key, w_value, w_out, widen, narrow in blocks:
        y = np.array([norm(row) for row in x])
        query, key = rotate(y @ w_query), rotate(y @ w_key)
        for i in range(len(x)):
            scores = query[i] @ key[:i + 1].T / math.sqrt(query.shape[1])
            row = x[i] + softmax(scores) @ y[:i + 1] @ w_value @ w_out
            x[i] = row + np.clip(norm(row) @ widen, 0, None) @ narrow
    return np.array([norm(row) @ unembedding for row in x])


def _assembled_cases(seed):
    rng = np.random.default_rng([seed, 99])

    def case(*leading, n, vocabulary, d, d_k, d_v, hidden, layers, hard=""):
        def w(rows, columns):
            return rng.normal(size=(rows, columns)) * 1.5 / math.sqrt(rows)

        blocks = [(w(d, d_k), w(d, d_k), w(d, d_v), w(d_v, d), w(d, hidden), w(hidden, d))
                  for _ in range(layers)]
        embedding = rng.normal(size=(vocabulary, d)) + 0.3 * rng.normal(size=d)
        tokens = rng.integers(vocabulary, size=(*leading, n))
        return Case((tokens, embedding, blocks, w(d, vocabulary)), hard=hard)

    alike = case(4, n=4, vocabulary=4, d=4, d_k=4, d_v=4, hidden=4, layers=2,
                 hard="all lengths alike")
    alike.args[1][:] *= 200
    alike.args[1][0], alike.args[1][1] = 0, 1e-3 * rng.normal(size=4)
    return [alike, case(1, n=1, vocabulary=1, d=1, d_k=2, d_v=2, hidden=1, layers=1,
                        hard="nearly all lengths 1"),
            case(n=7, vocabulary=11, d=5, d_k=4, d_v=6, hidden=9, layers=2),
            case(n=9, vocabulary=8, d=6, d_k=4, d_v=2, hidden=10, layers=3),
            case(3, n=5, vocabulary=12, d=7, d_k=6, d_v=4, hidden=8, layers=2, hard="a batch"),
            case(n=8, vocabulary=10, d=5, d_k=2, d_v=4, hidden=7, layers=1, hard="a single block"),
            case(n=1, vocabulary=9, d=6, d_k=4, d_v=8, hidden=7, layers=2,
                 hard="a single token")]


_ASSEMBLY = Exercise(
    id="9.9", kind="write", points=5, minutes=25, version=1,
    hints=(
        "In order: a row of the table for each token; for each block the two pre-norm steps; "
        "the last norm; the matrix to the vocabulary.",
        "`attnlib.rotate` turns queries and keys, in every block anew, and never the values.",
        "Each block goes on with what the block before has made of x, and x is never normalised "
        "itself until the end.",
    ),
    cases=_assembled_cases,
    spared={"empty": "without tokens there is nothing to go on from"},
    reference=_assembled_plain,
    mistakes=switched(_assembled, {
        "no-last-norm": "The last norm is missing: a pre-norm stack ends with one of its own.",
        "not-causal": "Your positions see what comes after them. Each is asked for its next token.",
        "not-turned": "Your queries and keys do not know their places: turn them.",
        "query-alone": "You turn the queries alone. A score then hangs on the place, not on the "
                       "distance.",
        "value-turned": "You turn the values, too. Only who looks and who is found have a place.",
        "post-norm": "Your blocks normalise behind the sum. Here the norm stands in front.",
        "no-residual": "Your steps put their output in the place of their input.",
        "look-unnormed": "Your attention sees x as it is. Both steps of a block see it "
                         "normalised.",
        "work-unnormed": "Your feed-forward step sees x as it is. Both steps of a block see it "
                         "normalised.",
        "work-stale": "Your feed-forward step sees the x that came into the block. It works on "
                      "what the attention has made of it.",
        "work-to-normed": "You lose what the attention added: your feed-forward step is added to "
                          "the normalised input of the block.",
        "no-work": "Your blocks end after the attention. Where are `widen` and `narrow`?",
        "norm-each": "You normalise x after every block. In a pre-norm tower there is one norm "
                     "at the end.",
        "likeliest": "You return the likeliest tokens. Asked for are the scores of all.",
        "weights-turned": "You turned the matrices of the attention round: `x @ w.T`. A Linear of "
                          "torch keeps its weight that way; these are meant for `x @ w`.",
        "normed-embedding": "You normalise the embeddings before the first block. "
                            "Each step does that for itself.",
        "reversed": "Your blocks come in the reverse order.",
        "one-block": "You use the first block alone.",
        "same-block": "You use the first block's weights in every block.",
        "from-the-start": "Each of your blocks starts from the embeddings. It should go on with "
                          "what the one before has made.",
        "work-first": "In your blocks the feed-forward step comes first.",
        "no-relu": "Nothing happens between the two matrices of your feed-forward step.",
        "tied": "You used the table of embeddings to write as well. There is a matrix for that.",
        "last-alone": "You return the scores of the last position. Every position has a next "
                      "token.",
        "shares": "You return shares. Asked for are the scores, before the softmax.",
    }, pairs=[("no-last-norm", "not-causal"), ("no-last-norm", "not-turned"),
              ("not-causal", "not-turned"), ("value-turned", "not-causal"),
              ("post-norm", "no-last-norm"), ("no-last-norm", "last-alone"),
              ("not-causal", "shares"), ("no-last-norm", "no-relu"),
              ("not-turned", "last-alone"), ("value-turned", "no-last-norm")]),
    forbidden=_LAYERS,
    variants=(_assembled_torch, _assembled_loops),
    equivalent={frozenset({"post-norm", "post-norm+no-last-norm"}):
                "a block that ends with a norm leaves nothing for another one to do"},
)


# 9.10  The loop, with a cache

def _go_on(prompt, n, embedding, layers, unembedding, *, faults=frozenset()):
    kept = [(np.zeros((0, w_query.shape[1])), np.zeros((0, w_value.shape[1])))
            for w_query, _, w_value, _ in layers]
    tokens, new, said = list(prompt), list(prompt), []
    for _ in range(n + bool(faults & {"last-kept", "one-more"})):
        x, seen = embedding[np.array(new)], len(kept[0][0])
        at = seen + np.arange(len(new))
        if "but-counted" in faults:
            at = at + max(len(said) - 1, 0)
        if "from-zero" in faults:
            at = np.arange(len(new))
        if "one-too-far" in faults:
            at = at + (seen > 0)
        if "twice" in faults:
            at = at + seen
        if "from-one" in faults:
            at = at + 1
        for number, (w_query, w_key, w_value, w_out) in enumerate(layers):
            place = 0 if "one-cache" in faults else number
            if "places-of-all" in faults:
                at = len(kept[0][0]) + np.arange(len(new))
            query, key, value = x @ w_query, x @ w_key, x @ w_value
            query = query if faults & {"query-unturned", "unturned"} else rotate(query, at)
            key = key if faults & {"key-unturned", "unturned", "turned-late"} else rotate(key, at)
            value = rotate(value, at) if "value-turned" in faults else value
            past = kept[place]
            pairs = zip((key, value), past) if "past-last" in faults else zip(past, (key, value))
            now = tuple(np.concatenate(pair) for pair in pairs)
            mask = causal_mask(len(new), len(now[0]))
            if "top-left" in faults:
                mask = np.tri(len(new), len(now[0]), dtype=bool)
            if "prompt-open" in faults and not seen:
                mask = np.ones_like(mask)
            if "itself-missing" in faults and seen:
                mask = mask & (np.arange(len(now[0])) < seen)
            look = rotate(now[0]) if "turned-late" in faults else now[0]
            found = attention(query, look, now[1], mask=mask)
            if "not-kept" not in faults or not seen:
                kept[place] = now
            x = (0 if "no-residual" in faults else x) + found @ w_out
        scores = x @ unembedding
        row = 0 if "first-row" in faults else -1
        best = int(scores[row].argmin() if "least" in faults else scores[row].argmax())
        said.append(best)
        tokens.append(best)
        new = tokens if "all-again" in faults else [best]
    said = said if "one-more" in faults else said[:n]
    key, value = (np.stack(part) for part in zip(*kept)) if "one-cache" not in faults else (
        np.stack([part] * len(layers)) for part in kept[0])
    if "with-prompt" in faults:
        said = [*prompt, *said]
    return np.array(said), key, value


def _go_on_plain(prompt, n, embedding, layers, unembedding):
    return _go_on(prompt, n, embedding, layers, unembedding)


def _go_on_again(prompt, n, embedding, layers, unembedding):
    """Computed anew at each step: slower, and the same."""
    tokens = list(prompt)
    for _ in range(n):
        x, kept, n_now = embedding[np.array(tokens)], [], len(tokens)
        for w_query, w_key, w_value, w_out in layers:
            key, value = rotate(x @ w_key), x @ w_value
            kept.append((key, value))
            scores = rotate(x @ w_query) @ key.T / math.sqrt(key.shape[1])
            scores = np.where(np.tri(n_now, dtype=bool), scores, -np.inf)
            x = x + softmax(scores) @ value @ w_out
        tokens.append(int((x[-1] @ unembedding).argmax()))
    key, value = (np.array(part) for part in zip(*kept))
    return np.array(tokens[len(prompt):]), key, value


def _go_on_torch(prompt, n, embedding, layers, unembedding):
    import torch

    embedding, unembedding = torch.as_tensor(embedding), torch.as_tensor(unembedding)
    layers = [[torch.as_tensor(w) for w in layer] for layer in layers]
    keys, values, said = [[] for _ in layers], [[] for _ in layers], []
    waiting = [int(token) for token in prompt]
    while len(said) < n:
        place = len(keys[0])
        x = embedding[waiting.pop(0)]  # one token at a time, the prompt's too
        for number, (w_query, w_key, w_value, w_out) in enumerate(layers):
            query, key = (rotate((x @ w)[None], torch.tensor([place]))[0]
                          for w in (w_query, w_key))
            keys[number].append(key)
            values[number].append(x @ w_value)
            scores = torch.stack(keys[number]) @ query / query.shape[0] ** 0.5
            x = x + torch.softmax(scores, 0) @ torch.stack(values[number]) @ w_out
        if not waiting:
            said.append(int((x @ unembedding).argmax()))
            waiting.append(said[-1])
    return (torch.tensor(said), torch.stack([torch.stack(k) for k in keys]),
            torch.stack([torch.stack(v) for v in values]))


def _lead(prompt, n, embedding, layers, unembedding):
    """By how much the likeliest token leads, at the step where it leads least."""
    tokens, least = list(prompt), np.inf
    for _ in range(n):
        x = embedding[np.array(tokens)]
        for w_query, w_key, w_value, w_out in layers:
            x = x + attention(rotate(x @ w_query), rotate(x @ w_key), x @ w_value,
                              causal=True) @ w_out
        second, first = np.sort(x[-1] @ unembedding)[-2:]
        least = min(least, first - second)
        tokens.append(int((x[-1] @ unembedding).argmax()))
    return least, len({*tokens[len(prompt):]})


def _go_on_cases(seed):
    rng = np.random.default_rng([seed, 910])

    def case(n_prompt, n, vocabulary, d, d_k, d_v, layers, size=1.0, hard=""):
        while True:
            def w(rows, columns, size=1.3):
                return rng.normal(size=(rows, columns)) * size / math.sqrt(rows)

            embedding = size * rng.normal(size=(vocabulary, d))
            if size > 1:
                embedding[0], embedding[1] = 0, 1e-3 * rng.normal(size=d)
            args = (rng.integers(vocabulary, size=n_prompt), n, embedding,
                    [(w(d, d_k), w(d, d_k), w(d, d_v), w(d_v, d)) for _ in range(layers)],
                    w(d, vocabulary))
            lead, different = _lead(*args)
            if lead > 0.02 and different >= min(n, 3):  # no rounding decides
                return Case(args, hard=hard)

    return [case(4, 1, 4, 4, 4, 4, 2, size=200.0, hard="all lengths alike"),
            case(1, 1, 3, 1, 2, 1, 1, hard="lengths as small as can be"),
            case(4, 6, 9, 5, 4, 3, 2), case(3, 7, 11, 6, 2, 5, 2), case(5, 4, 8, 7, 6, 4, 3),
            case(1, 5, 10, 6, 4, 5, 2, hard="a prompt of one token"),
            case(6, 1, 7, 5, 4, 3, 2, hard="a single new token"),
            case(3, 5, 9, 7, 4, 6, 1, hard="a single layer")]


_LOOP = Exercise(
    id="9.10", kind="write", points=6, minutes=30, version=1,
    hints=(
        "Write one step first: some new tokens go through all layers, each layer appends its new "
        "keys and values to those that it kept, and the last row gives the next token.",
        "The first step's new tokens are the prompt. From then on the one new token is the one "
        "that was just said. What is its position?",
        "The last token said never goes in: nobody asks what comes after it. So how many keys are "
        "kept in the end?",
    ),
    cases=_go_on_cases,
    spared={"empty": "without a prompt there is nothing to go on from",
            "one: axis -2 of embedding is never of length 1": "one token leaves nothing to choose"},
    reference=_go_on_plain,
    mistakes=switched(_go_on, {
        "from-zero": "Each new token is turned as if it stood at place 0. As many stand before it "
                     "as keys are kept.",
        "one-too-far": "After the prompt your positions are one too large. The first one is 0, so "
                       "the next is the number of keys that are kept.",
        "twice": "Your new tokens stand too far on: you counted what is kept twice.",
        "from-one": "Your first position is 1. Scores do not change, and the keys that you keep "
                    "do: others could not go on with them.",
        "query-unturned": "Your queries are not turned, and your keys are.",
        "unturned": "Your queries and keys do not know their places: turn both.",
        "turned-late": "You keep keys as they are and turn all of them again at each step. "
                       "Asked for are turned keys, each turned once.",
        "value-turned": "You turn the values, too. Only who looks and who is found have a place.",
        "past-last": "You put what was kept behind what is new. The oldest comes first.",
        "no-residual": "What a layer finds takes the place of x. It is added to it.",
        "one-more": "You say one token too many, and keep its keys: the loop runs once too often.",
        "key-unturned": "You keep keys that are not turned. They are compared with turned queries.",
        "top-left": "Your mask is aligned at the top left: the single query of a step sees the "
                    "first key and nothing else.",
        "prompt-open": "In your prompt positions see later ones. In a deeper layer that changes "
                       "all keys.",
        "itself-missing": "After the prompt a new token does not see itself: append its key "
                          "first, then look.",
        "not-kept": "You keep the prompt's keys and lose those of the tokens that were said.",
        "all-again": "You put the whole text in at each step, and append it to what is kept. "
                     "Only the new token goes in.",
        "one-cache": "Your layers share one cache. Each has keys and values of its own.",
        "first-row": "You read the next token from the first row of the prompt. "
                     "Which row knows most?",
        "least": "You took the token with the lowest score.",
        "last-kept": "You keep a key for the last token as well. It was said, and never went in.",
        "with-prompt": "You return the prompt as well. Only the new tokens are asked for.",
    }, pairs=[("from-zero", "key-unturned"), ("from-zero", "with-prompt"),
              ("top-left", "with-prompt"), ("last-kept", "with-prompt"),
              ("prompt-open", "last-kept"), ("key-unturned", "with-prompt"),
              ("prompt-open", "from-zero"), ("one-too-far", "last-kept"),
              ("from-zero", "last-kept"), ("all-again", "with-prompt")],
    also=[("not-kept", "but-counted"), ("one-cache", "places-of-all")]),
    forbidden=("attnlib.layers.KeyValueCache", *_LAYERS),
    variants=(_go_on_again, _go_on_torch),
)

EXERCISES = (_UNITS, _BASELINE, _CHOOSY, _MATCH, _TOO_GOOD, _SYMPTOMS, _PIECES, _DECODER,
             _ASSEMBLY, _LOOP)
