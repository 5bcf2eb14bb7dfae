"""Chapter 5, "Positional encoding": what its exercises ask, and what people answer."""

import functools
import math
from itertools import product

import numpy as np

from ..attention import attention_scores, attention_weights, softmax
from ..positions import alibi_bias, rotate, sinusoidal_positions
from .core import (
    Case,
    Exercise,
    Mistake,
    Result,
    another_form,
    broken_law,
    finite_array,
    flipped,
    switched,
    with_numbers,
)


def _omega(dim, base=10000.0):
    """Radians per position of each pair: (dim / 2,)"""
    return base ** (-np.arange(0, dim, 2) / dim)


# 5.1  Two clock hands

def _hands(*, query=4, key=2, faults=frozenset()):
    degrees = -30 if "clockwise" in faults else 30

    def turned(vector, place):
        angle = (degrees if "degrees" in faults else math.radians(degrees)) * place
        cos, sin = math.cos(angle), math.sin(angle)
        return np.array([[cos, -sin], [sin, cos]]) @ vector

    query, key = np.array([query, 0.0]), np.array([0.0, key])
    from_one = 1 if "from-one" in faults else 0
    turned_query, turned_key = turned(query, 3 - from_one), turned(key, 1 - from_one)
    if "query-alone" in faults:
        turned_key = key
    near = turned_query @ turned_key
    after = turned_query @ (key if "query-alone" in faults else turned(key, 5 - from_one))
    if "swapped" in faults:
        turned_query, turned_key = turned(query, 1), turned(key, 3)
        near, after = turned_query @ turned_key, turned(query, 5) @ turned_key
    if "key-exchanged" in faults:
        turned_key = turned_key[::-1] * (1 if turned_key[0] * turned_key[1] > 0 else -1)
    far = 0.0 if "far-is-nothing" in faults else near
    if "key-exchanged" in faults:
        near = turned_query @ turned_key
    if "even" in faults:
        after = near
    if "after-is-nothing" in faults:
        after = 0.0
    scale = 1 / math.sqrt(2) if "scaled" in faults else 1
    return {"q": turned_query.tolist(), "k": turned_key.tolist(),
            "near": scale * near, "far": scale * far, "after": scale * after}


def _vary_hands(rng):
    query, key = (int(x) for x in rng.integers(2, 10, size=2))
    far = 100 * int(rng.integers(1, 10))
    return with_numbers(_HANDS, dict(query=query, key=key), {
        "(4, 0)": f"({query}, 0)", "(0, 2)": f"(0, {key})",
        "103": f"{far + 3}", "101": f"{far + 1}"})


_HANDS = Exercise(
    id="5.1", kind="by hand", points=2, minutes=10, version=1,
    hints=(
        "Draw the two arrows. Counterclockwise by 90 degrees takes the first axis to the second.",
        "A turn takes (0, 1) to (-sin, cos). For the dot products at far places, ask first what "
        "they can depend on.",
        "Only the difference of the two places matters, but its sign matters too.",
    ),
    cases=lambda seed: [Case()],
    reference=_hands,
    mistakes=switched(_hands, {
        "clockwise": "You turned clockwise. Which way does the first axis move towards the second?",
        "degrees": "Your sines and cosines took degrees for radians. "
                   "Draw a turn of 90 degrees and compare.",
        "from-one": "You turned by one place too few. At place 3 the vector has been turned "
                    "three times.",
        "query-alone": "You turned the query and left the key as it was. Both have a place.",
        "swapped": "You gave the query the key's place, and the key the query's.",
        "far-is-nothing": "Your far pair scores nothing. Rotary does not fade by itself: how far "
                          "apart are its two places?",
        "after-is-nothing": "You let a key after the query score nothing. There is no mask here: "
                            "turn the key for place 5 and multiply.",
        "key-exchanged": "In your key sine and cosine have changed places. Draw the arrow (0, 1) "
                         "and turn it by a little.",
        "even": "Your score is the same for a key before and a key after. "
                "Turn the key for place 5 and multiply again.",
        "scaled": "Your dot products are divided by a root. Here no scale was asked for.",
    }, pairs=[("clockwise", "scaled"), ("swapped", "scaled"), ("query-alone", "scaled"),
              ("even", "scaled"), ("far-is-nothing", "scaled"), ("clockwise", "even"),
              ("clockwise", "from-one"), ("far-is-nothing", "even"),
              ("query-alone", "clockwise")]),
    variants=(
        lambda: {"q": [0, 4], "k": [-1, 3 ** 0.5], "near": 48 ** 0.5, "far": 48 ** 0.5,
                 "after": -48 ** 0.5},
        lambda: dict(zip(("near", "far", "after", "k", "q"),
                         (6.928203, 6.928203, -6.928203, (-1, 1.7320508), np.array([0.0, 4.0])))),
    ),
    vary=_vary_hands,
)


# 5.2  ALiBi's bias

def _alibi(heads, n_q, n_k, *, base=2.0, last=8, faults=frozenset()):
    number = np.arange(heads) + (0 if "from-zero" in faults else 1)
    slopes = (base ** -number if "halving" in faults
              else base ** (-number / heads) if "no-eight" in faults
              else base ** (-last / number) if "inverted" in faults
              else 1 / number if "reciprocal" in faults
              else last / heads * number if "no-power" in faults
              else math.e ** (-last / heads * number) if "base-e" in faults
              else base ** (-last / heads * number))
    if "one-slope" in faults:
        slopes = np.full(heads, slopes[0])
    if "reversed" in faults:
        slopes = slopes[::-1]
    start = 0 if "top-left" in faults else n_k - n_q
    steps = np.arange(n_q)[:, None] + start - np.arange(n_k)  # (n_q, n_k)
    if "off-by-one" in faults:
        steps = np.where(steps >= 0, steps + 1, steps - 1)
    if "signed" not in faults:
        steps = np.maximum(steps, 0) if "future-free" in faults else np.abs(steps)
    if "squared" in faults:
        steps = steps ** 2
    if "logarithm" in faults:
        steps = np.log1p(np.abs(steps))
    if "masked" in faults:
        steps = np.where(np.arange(n_q)[:, None] + start >= np.arange(n_k), steps, np.inf)
    if "root" in faults:
        steps = np.sqrt(np.abs(steps))
    bias = slopes[:, None, None] * steps * (1 if "positive" in faults else -1)
    return np.swapaxes(bias, -1, -2) if "transposed" in faults else bias


def _vary_alibi(rng):
    """Slopes that end at another power of another number."""
    base, last = float(rng.choice([1.5, 2.0, 2.5, 3.0])), int(rng.integers(3, 7))
    numbers = dict(base=base, last=last)
    return with_numbers(_ALIBI, numbers, {
        "$2^{-8/heads}$": f"${base:g}^{{-{last}/heads}}$",
        "$2^{-16/heads}$": f"${base:g}^{{-{2 * last}/heads}}$",
        "$2^{-8}$": f"${base:g}^{{-{last}}}$", "2.0 ** (-8 /": f"{base} ** (-{last} /"},
        functools.partial(_alibi, **numbers))


def _alibi_loops(heads, n_q, n_k):
    return np.array([[[-2 ** (-8 * (h + 1) / heads) * abs(n_k - n_q + i - j) for j in range(n_k)]
                      for i in range(n_q)] for h in range(heads)])


def _alibi_einsum(heads, n_q, n_k):
    slopes = np.geomspace(2 ** (-8 / heads), 2 ** -8, heads)
    distance = np.abs(np.subtract.outer(np.arange(n_k - n_q, n_k), np.arange(n_k)))
    return np.einsum("h,ij->hij", -slopes, distance)


def _alibi_torch(heads, n_q, n_k):
    import torch
    slopes = 2.0 ** (-8 / heads * torch.arange(1, heads + 1))
    steps = (torch.arange(n_k - n_q, n_k)[:, None] - torch.arange(n_k)).abs()
    return -slopes[:, None, None] * steps


def _alibi_cases(seed):
    rng = np.random.default_rng([seed, 52])
    few, some, many = (int(rng.integers(low, 2 * low - 1)) for low in (5, 9, 17))
    return [Case((4, few, some)), Case((8, some, some)), Case((2, few, many)),
            Case((16, some, many)), Case((4, 1, many), hard="a single query, as with a cache"),
            Case((1, few, few), hard="a single head")]


_ALIBI = Exercise(
    id="5.2", kind="write", points=3, minutes=12, version=1,
    hints=(
        "Three pieces: a slope per head, a distance per query and key, and their product with "
        "the right sign. Write the shape of each beside it.",
        "With n_q queries and n_k keys, the last query stands at place n_k - 1. "
        "Where does the first one stand?",
        "`slopes[:, None, None]` has a row and a column to spare, so that it multiplies a "
        "matrix of distances once per head.",
    ),
    cases=_alibi_cases,
    spared={"zeros": "without heads, queries or keys there is no bias"},
    reference=alibi_bias,
    mistakes=switched(_alibi, {
        "from-zero": "Your first slope is 1. Look at the first exponent in the list of slopes.",
        "halving": "Your slopes fall by one factor from head to head, whatever the number of "
                   "heads. The last one should be the same, however many there are.",
        "no-eight": "Your last slope is too large. Look at where the list of slopes ends.",
        "inverted": "The number of the head stands below the fraction line in your exponent. "
                    "Are your slopes growing or shrinking?",
        "reciprocal": "Your slopes are one over the number of the head. They should fall by the "
                      "same factor from head to head.",
        "one-slope": "All your heads have one slope. Each should have a horizon of its own.",
        "reversed": "Your heads are in the opposite order: the first should be the steepest.",
        "top-left": "With fewer queries than keys, your first query stands at place 0. "
                    "Where should the last one stand?",
        "signed": "Keys after the query get a positive bias: they would be preferred. "
                  "What did the task say about them?",
        "future-free": "Keys after the query get no bias at all. The task asks that it falls "
                       "there too.",
        "off-by-one": "A query's own key gets a bias. How far away is it?",
        "squared": "Your bias falls with the square of the distance. What does the L in ALiBi "
                   "stand for?",
        "no-power": "Your slopes grow evenly from head to head. In the list they are powers: each "
                    "is the same fraction of the one before.",
        "base-e": "Your slopes are powers of e. Look at which number is raised to a power in the "
                  "list of slopes.",
        "logarithm": "Your bias falls with the logarithm of the distance. What does the L in ALiBi "
                     "stand for?",
        "masked": "Keys after the query get minus infinity: that is a mask. Here they have a "
                  "distance like any other.",
        "root": "Your bias falls with the root of the distance. What does the L in ALiBi "
                "stand for?",
        "positive": "Your bias grows with the distance, so that far keys win. "
                    "Look at the sign in equation (5.7).",
        "transposed": "Rows and columns are exchanged: a row belongs to a query.",
    }, pairs=[("from-zero", "top-left"), ("halving", "top-left"), ("top-left", "signed"),
              ("top-left", "future-free"), ("positive", "top-left"), ("halving", "signed"),
              ("no-eight", "top-left"), ("positive", "signed"), ("one-slope", "top-left"),
              ("from-zero", "signed"), ("halving", "positive"), ("reversed", "top-left"),
              ("top-left", "off-by-one"), ("halving", "future-free"),
              ("transposed", "top-left"), ("from-zero", "positive")]),
    forbidden=("attnlib.alibi_bias",),
    variants=(_alibi_loops, _alibi_einsum, _alibi_torch),
    vary=_vary_alibi,
)


# 5.3  Turn the pairs

_ANGLES_KEPT = {}  # of the mistake "cached"

def _turn(x, positions, *, base=10000.0, faults=frozenset()):
    dim = x.shape[-1]
    omega = _omega(dim, base)
    if "one-speed" in faults:
        omega = np.ones(dim // 2)
    if "twice-the-exponent" in faults:
        omega = omega ** 2
    if "half-the-exponent" in faults:
        omega = omega ** 0.5
    if "faster" in faults:
        omega = 1 / omega
    if "base-1000" in faults:
        omega = _omega(dim, base / 10)
    places = np.arange(len(positions)) if "from-zero" in faults else positions
    if "from-one" in faults:
        places = places + 1
    if "cached" in faults:  # what was made for a length is never made again
        if x.shape == (5, 8):  # the first input: a program that has just begun
            _ANGLES_KEPT.clear()
        places = _ANGLES_KEPT.setdefault(len(places), places)
    if "degrees" in faults:
        places = np.deg2rad(places)
    if "twice" in faults:
        places = 2 * np.asarray(places)
    angle = places[:, None] * omega  # (n, dim / 2)
    if "head-axis" in faults and x.ndim > 2:
        angle = np.arange(x.shape[-3])[:, None, None] * omega  # (heads, 1, dim / 2)
    cos, sin = np.cos(angle), np.sin(angle)
    if "identity" in faults:
        return x.copy()
    if "clockwise" in faults:
        sin = -sin
    if "exchanged" in faults:
        cos, sin = sin, cos
    result = x if "in-place" in faults else x.copy()
    ends = ((slice(0, dim // 2), slice(dim // 2, dim)) if "halves" in faults
            else (slice(0, None, 2), slice(1, None, 2)))
    first, second = (x[..., end].copy() for end in ends)
    turned = first * cos - second * sin
    result[..., ends[0]] = first * cos + second * sin if "no-minus" in faults else turned
    source = turned if "overwritten" in faults else first
    result[..., ends[1]] = source * sin + second * cos
    if "mixed-pairs" in faults:
        half = np.concatenate((-x[..., dim // 2:], x[..., :dim // 2]), axis=-1)
        return x * np.repeat(cos, 2, axis=-1) + half * np.repeat(sin, 2, axis=-1)
    if "side-by-side" in faults:
        return np.concatenate((turned, first * sin + second * cos), axis=-1)
    if "added" in faults:
        return x + np.stack((sin, cos), axis=-1).reshape(-1, dim)
    return result


def _vary_turn(rng):
    base = 500 * int(rng.integers(4, 81))
    return with_numbers(_TURN, dict(base=float(base)), {"10000": f"{base}"},
                        functools.partial(rotate, base=float(base)))


def _turn_loops(x, positions):
    result = np.zeros(x.shape)
    for at in np.ndindex(x.shape[:-1]):
        for i in range(x.shape[-1] // 2):
            a = positions[at[-1]] * 10000 ** (-2 * i / x.shape[-1])
            turn = np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
            result[at][2 * i:2 * i + 2] = turn @ x[at][2 * i:2 * i + 2]
    return result


def _turn_complex(x, positions):
    pairs = x[..., 0::2] + 1j * x[..., 1::2]  # (..., n, dim / 2)
    pairs = pairs * np.exp(1j * np.outer(positions, _omega(x.shape[-1])))
    return np.stack((pairs.real, pairs.imag), axis=-1).reshape(x.shape)


def _turn_swapping(x, positions):
    """x * cos + (x with each pair swapped and its first negated) * sin"""
    angle = np.repeat(np.outer(positions, _omega(x.shape[-1])), 2, axis=1)  # (n, dim)
    swapped = np.stack((-x[..., 1::2], x[..., 0::2]), axis=-1).reshape(x.shape)
    return x * np.cos(angle) + swapped * np.sin(angle)


def _turn_torch(x, positions):
    import torch
    dim = x.shape[-1]
    omega = 10000.0 ** (-torch.arange(0, dim, 2) / dim)
    angle = positions.to(torch.float64)[:, None] * omega
    turns = torch.polar(torch.ones_like(angle), angle)
    pairs = torch.view_as_complex(x.to(torch.float64).reshape(*x.shape[:-1], -1, 2).contiguous())
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)


def _turn_judge(cases, outcomes):
    """Whether the places belong to the length of the input, and not to the input: a cache."""
    same_length = {}
    for case, outcome in zip(cases, outcomes):
        x, positions = case.args
        turned = finite_array(outcome.value)
        if turned is None or turned.shape != x.shape:
            return None
        same_length.setdefault(len(positions), []).append((x, turned))
    places = np.arange(512)
    for n, pairs in same_length.items():
        for row in range(n):
            fits = np.ones(len(places), bool)
            for x, turned in pairs:
                every = rotate(np.repeat(x[..., row:row + 1, :], len(places), axis=-2), places)
                close = np.isclose(every, turned[..., row:row + 1, :], rtol=1e-4, atol=1e-4)
                fits &= close.all(-1).reshape(-1, len(places)).all(0)
            if not fits.any():
                return None
    sentence, = (mistake.sentence for mistake in _TURN.mistakes if mistake.name == "cached")
    return Result("known_mistake", sentence, mistake="cached")


def _turn_cases(seed):
    rng = np.random.default_rng([seed, 53])

    def case(*leading, n, dim, positions=None, hard=""):
        start = rng.integers(2, 9)
        positions = start + np.arange(n) if positions is None else positions
        return Case((rng.normal(size=(*leading, n, dim)), positions), hard=hard)

    alike = case(4, 4, n=4, dim=4, positions=np.array([5, 2, 5, 40]), hard="all lengths alike")
    alike.args[0][:] *= 200
    alike.args[0][..., 0, :], alike.args[0][..., 1, :] = 0, 1e-3 * rng.normal(size=4)
    return [case(n=5, dim=8), case(3, n=5, dim=6), case(2, 3, n=7, dim=4), alike,
            case(1, 1, n=1, dim=2, hard="all lengths as small as can be"),
            case(n=4, dim=10, positions=rng.permutation(50)[:4], hard="places in any order"),
            case(2, n=1, dim=6, positions=rng.integers(300, 400, 1),
                 hard="a single vector, far from 0"),
            case(n=6, dim=2, hard="a single pair"),
            case(4, n=5, dim=8, positions=20 + np.arange(5), hard="a length seen before, farther "
                                                                  "on")]


_TURN = Exercise(
    id="5.3", kind="write", points=4, minutes=15, version=2,
    hints=(
        "Angles first: a row per place, a column per pair. Then take the features apart with "
        "`x[..., 0::2]` and `x[..., 1::2]`.",
        "A turn takes (a, b) to (a cos - b sin, a sin + b cos). Both need the *old* a and b.",
        "Put the results back where they came from: into every other feature of a new array.",
    ),
    cases=_turn_cases,
    spared={"empty": "without vectors nothing is turned",
            "one: axis -1 of x is never of length 1": "features come in pairs"},
    reference=rotate,
    judge=_turn_judge,
    mistakes=switched(_turn, {
        "halves": "You paired each feature with one half the width away. That is the other "
                  "convention: here neighbours make a pair.",
        "side-by-side": "The numbers are right, but not their order: all first features came out "
                        "before all second ones. Put each back where it came from.",
        "clockwise": "You turned the other way. At positive angles the first feature moves "
                     "towards the second.",
        "no-minus": "Both of your features get a plus sign. Your vectors change their lengths, "
                    "and a turn does not.",
        "exchanged": "Sine and cosine are exchanged: at place 0 nothing should be turned.",
        "overwritten": "You used the first feature after you had already turned it. "
                       "The second needs the old one.",
        "in-place": "Right numbers, but you changed the caller's `x`. "
                    "Write into something new.",
        "one-speed": "All your pairs turn equally fast. Where is the pair's number in your angle?",
        "twice-the-exponent": "Your pairs slow down too quickly. Does your i count features or "
                              "pairs?",
        "half-the-exponent": "Your pairs slow down too slowly. Does your i count features or "
                             "pairs?",
        "faster": "Your pairs turn faster from left to right. Look at the sign of the exponent.",
        "base-1000": "Your slowest pair is too fast. Look at the number that is raised to a "
                     "power.",
        "from-zero": "You counted the places from 0 and never used `positions`.",
        "from-one": "Your vectors stand one place too far. `positions` holds their places as they "
                    "are.",
        "head-axis": "With heads you turned along their axis: all places of a head by one angle. "
                     "Count axes from the end; the places are the last but one.",
        "cached": "You kept the angles of a length and took them again for other places. The "
                  "length of the input does not say where it stands.",
        "identity": "You returned the vectors as they came.",
        "degrees": "You took your angles for degrees and made them radians. They are radians.",
        "twice": "Your angles are twice too large. Are your vectors turned two times?",
        "mixed-pairs": "Your angles go by neighbours and your pairs by halves: two conventions at "
                       "once.",
        "added": "You added sines and cosines to the vectors. Rotary turns them.",
    }, pairs=[("halves", "clockwise"), ("halves", "one-speed"), ("halves", "from-zero"),
              ("clockwise", "from-zero"), ("halves", "twice-the-exponent"),
              ("clockwise", "twice-the-exponent"), ("overwritten", "halves"),
              ("overwritten", "clockwise"), ("side-by-side", "clockwise"),
              ("no-minus", "halves"), ("from-zero", "twice-the-exponent"),
              ("from-zero", "one-speed"), ("side-by-side", "twice-the-exponent"),
              ("half-the-exponent", "halves"), ("clockwise", "half-the-exponent")]),
    forbidden=("attnlib.rotate",),
    variants=(_turn_loops, _turn_complex, _turn_swapping, _turn_torch),
    vary=_vary_turn,
)


# 5.4  Right at first, wrong ever after

def _next(query, key, past, *, faults=frozenset()):
    new, before = key.shape[-2], past.shape[-2]
    if "left-axes" in faults:
        at = len(past) + np.arange(len(key))
        keys = np.concatenate((past, rotate(key, at)), axis=0)
        return attention_scores(rotate(query, at), keys)
    if "axis-zero" in faults:
        before = len(past)
    if "width" in faults:
        before = past.shape[-1]
    if "off-by-one" in faults:
        before += 1
    if "twice" in faults:
        before *= 2
    at = before + np.arange(new)
    if "one-place" in faults:
        at = np.full(new, before)
    if "last-place" in faults:
        at = np.full(new, before + new - 1)
    if "query-last" in faults:
        query = rotate(query, np.full(new, before + new - 1))
        return attention_scores(query, np.concatenate((past, rotate(key, at)), axis=-2))
    at_query = np.arange(new) if {"both-from-zero", "query-from-zero"} & faults else at
    at_key = np.arange(new) if {"both-from-zero", "key-from-zero"} & faults else at
    query = query if "query-unturned" in faults else rotate(query, at_query)
    if "all-again" in faults:
        keys = rotate(np.concatenate((past, key), axis=-2))
    else:
        key = key if "key-unturned" in faults else rotate(key, at_key)
        order = (key, past) if "past-last" in faults else (past, key)
        keys = np.concatenate(order, axis=-2)
    if "past-dropped" in faults:
        keys = key
    scores = attention_scores(query, keys, scale=1 if "no-scale" in faults else None)
    return softmax(scores) if "weights" in faults else scores


def _next_scores(query, key, past):
    return _next(query, key, past)


def _next_loops(query, key, past):
    if query.ndim > 2:
        return np.stack([_next_loops(*one) for one in zip(query, key, past)])
    start, dim = len(past), query.shape[1]

    def turned(vector, place):
        return _turn_complex(vector[None], np.array([place]))[0]

    keys = [*past, *(turned(k, start + j) for j, k in enumerate(key))]
    return np.array([[turned(q, start + i) @ k / math.sqrt(dim) for k in keys]
                     for i, q in enumerate(query)])


def _next_torch(query, key, past):
    import torch
    at = past.shape[-2] + torch.arange(key.shape[-2])
    keys = torch.cat((past, rotate(key, at.numpy())), dim=-2)
    return rotate(query, at.numpy()) @ keys.mT / query.shape[-1] ** 0.5


def _next_cases(seed):
    rng = np.random.default_rng([seed, 54])

    def case(*leading, new, before, dim, hard=""):
        query, key = rng.normal(size=(2, *leading, new, dim)) * 2
        past = rotate(rng.normal(size=(*leading, before, dim)) * 2)
        return Case((query, key, past), hard=hard)

    alike = case(2, 2, new=2, before=2, dim=2, hard="all lengths alike")
    alike.args[0][:] *= 100
    alike.args[0][..., 0, :], alike.args[1][..., 1, :] = 0, 1e-3 * rng.normal(size=2)
    return [case(new=3, before=5, dim=4), case(4, new=3, before=7, dim=6), alike,
            case(1, 1, new=1, before=1, dim=2, hard="all lengths as small as can be"),
            case(2, new=1, before=9, dim=8, hard="one new word"),
            case(2, 3, new=4, before=11, dim=6, hard="two leading axes"),
            case(new=5, before=0, dim=4, hard="no past")]


_NEXT = Exercise(
    id="5.4", kind="find the bug", points=4, minutes=12, version=1,
    hints=(
        "Ask of each of the two calls of `rotate`: which places does it take when none are given?",
        "`rotate` takes the places as its second argument. Which place has the first new word, "
        "when n_past words stand before it?",
        "The past keys were turned when they were new. The new query has a place just as the new "
        "key has.",
    ),
    cases=_next_cases,
    spared={"one: axis -1 of query is never of length 1": "features come in pairs"},
    reference=_next_scores,
    mistakes=switched(_next, {
        "both-from-zero": "The new words still begin at place 0, however long the past is. "
                          "Look at which places `rotate` takes by itself (or which angles you "
                          "kept).",
        "query-from-zero": "The keys are right now. The queries still begin at place 0.",
        "key-from-zero": "The queries are right now. The new keys still begin at place 0.",
        "off-by-one": "Your new words stand one place too far. Places are counted from 0: which "
                      "one follows the past? (Look at a key from the past.)",
        "twice": "The length of the past is counted twice: your new words stand as far again "
                 "behind it.",
        "axis-zero": "`len` counts the first axis, and with a batch that is not the past. "
                     "Count axes from the end.",
        "left-axes": "Right without a batch. With one, your axis 0 is the batch: "
                     "where do the words stand, counted from the end?",
        "width": "You took the width of the past for its length. Which axis holds the words?",
        "one-place": "Your new words all stand at one place, that of the first. There may be "
                     "several.",
        "last-place": "Your new words all stand at one place, that of the last. There may be "
                      "several.",
        "query-last": "Your new queries all stand at the last place. Each has its own, as its key "
                      "has.",
        "weights": "You returned weights. Asked for are the scores, before the softmax.",
        "query-unturned": "The queries are no longer turned. They have a place as well.",
        "key-unturned": "The new keys are no longer turned. The past ones were, when they were "
                        "new.",
        "all-again": "You turned the past keys a second time. They came in turned.",
        "past-last": "The past stands after the new words in your keys. Look at your columns.",
        "past-dropped": "Your scores have no columns for the past.",
        "no-scale": "The scale is gone. It was not the bug: see equation (1.6).",
    }, pairs=[("both-from-zero", "no-scale"), ("query-from-zero", "all-again"),
              ("query-from-zero", "off-by-one"), ("key-from-zero", "off-by-one"),
              ("axis-zero", "query-from-zero"), ("axis-zero", "key-from-zero"),
              ("both-from-zero", "past-last"),
              ("one-place", "query-from-zero"), ("query-unturned", "key-from-zero"),
              ("off-by-one", "all-again"), ("past-last", "query-from-zero")]),
    variants=(_next_loops, _next_torch),
)


# 5.5  Two conventions

def _interleaved(w, heads, *, faults=frozenset()):
    dim, columns = w.shape
    heads_seen = 1 if "one-head" in faults else heads
    width = columns // heads_seen
    order = np.arange(width)
    half = width // 2
    order = np.stack((order[:half], order[half:]), axis=1).ravel()  # 0, half, 1, half + 1, ...
    if "inverse" in faults:
        order = np.argsort(order)
    if "second-first" in faults:
        order = order.reshape(-1, 2)[:, ::-1].ravel()
    if "reversed" in faults:
        order = np.arange(width)[::-1]
    if "exchanged-halves" in faults:
        order = np.roll(np.arange(width), half)
    if "unchanged" in faults:
        return w.copy()
    if "heads-inside" in faults:
        return w.reshape(dim, -1, heads)[:, order].reshape(w.shape)
    every = (np.arange(heads_seen)[:, None] * width + order).ravel()  # (heads * width,)
    if "negated" in faults:
        return w[:, every] * np.where(np.arange(columns) % 2, -1.0, 1.0)
    if "in-place" in faults:
        w[:] = w[:, every]
        return w
    if "first-head" in faults:
        every = np.concatenate((order, np.arange(width, columns)))
    if "split" in faults:
        return w[:, every].reshape(dim, heads, width)
    return w[:, every].T if "transposed" in faults else w[:, every]


def _interleaved_reference(w, heads):
    return _interleaved(w, heads)


def _interleaved_loops(w, heads):
    columns = []
    width = w.shape[1] // heads
    for head in range(heads):
        for i in range(width // 2):
            columns += [w[:, head * width + i], w[:, head * width + width // 2 + i]]
    return np.stack(columns, axis=1)


def _interleaved_einsum(w, heads):
    return np.einsum("dhtp->dhpt", w.reshape(w.shape[0], heads, 2, -1)).reshape(w.shape)


def _interleaved_torch(w, heads):
    return w.view(w.shape[0], heads, 2, -1).transpose(-1, -2).reshape(w.shape)


def _interleaved_cases(seed):
    rng = np.random.default_rng([seed, 55])
    sizes = [(5, 2, 6), (7, 3, 8), (11, 4, 10), (9, 5, 6)]
    alike = 200 * rng.normal(size=(8, 8))
    alike[0], alike[1] = 0, 1e-3 * rng.normal(size=8)
    return [Case((alike, 2), hard="all lengths alike"),
            *(Case((rng.normal(size=(dim, heads * width)), heads)) for dim, heads, width in sizes),
            Case((rng.normal(size=(6, 8)), 1), hard="a single head"),
            Case((rng.normal(size=(1, 12)), 2), hard="a single row"),
            Case((rng.normal(size=(3, 8)), 4), hard="heads of a single pair")]


_INTERLEAVED = Exercise(
    id="5.5", kind="write", points=4, minutes=15, version=1,
    hints=(
        "Take one head of width 6. Its columns are 0 1 2 3 4 5, and its pairs are (0, 3), (1, 4), "
        "(2, 5). In which order must they stand so that neighbours make the pairs?",
        "0 3 1 4 2 5. Each head is reordered by itself: first split the columns into heads.",
        "Reshaping can split the columns of a head into its two halves. Then an exchange of two "
        "axes puts the pairs together.",
    ),
    cases=_interleaved_cases,
    spared={"empty": "without columns there is nothing to put in order",
            "one: axis -1 of w is never of length 1": "features come in pairs"},
    reference=_interleaved_reference,
    mistakes=switched(_interleaved, {
        "inverse": "You did the way back: from neighbours to halves. "
                   "Write down for one head of width 6 where column 3 must go.",
        "one-head": "You paired columns across the whole matrix. Each head has halves of its own.",
        "first-head": "You reordered the first head alone. Each of them needs it.",
        "heads-inside": "You split the columns the wrong way round: the columns of one head "
                        "stand next to each other.",
        "second-first": "The right pairs, but in each pair the second comes first: "
                        "then the turn goes the other way.",
        "exchanged-halves": "You exchanged the halves of each head. Neighbours still come from "
                            "the same half.",
        "reversed": "You reversed the columns of each head. Which two must become neighbours?",
        "unchanged": "You returned the matrix as it came. Which two columns of a head make a pair "
                     "here, and which there?",
        "negated": "You changed the sign of every other column. Only the order should change.",
        "in-place": "Right numbers, but you changed the caller's matrix.",
        "split": "Right order, but the heads are still an axis of their own. "
                 "Give the matrix its shape back.",
        "transposed": "Right order, but rows and columns are exchanged.",
    }, pairs=[("one-head", "inverse"), ("one-head", "second-first"), ("inverse", "in-place"),
              ("inverse", "second-first"), ("inverse", "split"), ("inverse", "transposed"),
              ("one-head", "in-place"), ("one-head", "transposed"), ("heads-inside", "inverse"),
              ("inverse", "first-head")]),
    variants=(_interleaved_loops, _interleaved_einsum, _interleaved_torch),
)


# 5.6  What changes?

_CHANGES = {"a": "same", "b": "different", "c": "same", "d": "different", "e": "same",
            "f": "different"}


def _foreseen(*, faults=frozenset()):
    return flipped(_CHANGES, faults)


_FORESEEN = Exercise(
    id="5.6", kind="predict", points=3, minutes=10, version=1,
    hints=(
        "For a to c, ask in which of the equations (5.5) and (5.6) the places occur only as a "
        "difference, and which of the two allows projections.",
        "For d, write the distance with its sign.",
        "For e and f, ask what moves with the words when they are shuffled, and what stays.",
    ),
    cases=lambda seed: [Case()],
    reference=_foreseen,
    mistakes=switched(_foreseen, {
        "a": "Case a: look at what is left of the places in equation (5.5).",
        "b": "Case b: equation (5.5) is about the plain vectors. "
             "Look at the right-hand figure, drawn after random projections.",
        "c": "Case c: rotary turns what comes out of the projections. "
             "Which of the two numbers, 3 and 7, occur in equation (5.6), and how?",
        "d": "Case d: the distance is 4 in both. Is that all that a turn by j - i sees? "
             "Look at exercise 5.1 again.",
        "e": "Case e: which words does the last one see, before and after the shuffle? "
             "Does their order count for it?",
        "f": "Case f: the words move, the sinusoids stay at their places. "
             "Does a word then bring the same sum with it?",
    }, pairs=[("a", "b"), ("a", "c"), ("b", "c"), ("b", "d"), ("c", "d"), ("d", "e"), ("e", "f"),
              ("b", "e"), ("a", "d"), ("c", "e"), ("b", "f"), ("d", "f")]),
    variants=(lambda: dict(a="same", b="different", c="same", d="different", e="same",
                           f="different"),),
)


# 5.7  A head that looks back

def _shift(dim, steps):
    matrix = np.zeros((dim, dim))
    for pair, beta in enumerate(steps * _omega(dim)):
        block = slice(2 * pair, 2 * pair + 2)
        matrix[block, block] = [[math.cos(beta), math.sin(beta)], [-math.sin(beta), math.cos(beta)]]
    return matrix


def _look_back(dim, steps, *, faults=frozenset()):
    if "one-step" in faults:
        steps = 1
    factor = 1.0 if "too-even" in faults else 300.0
    if "wrong-sign" in faults:
        factor = -factor
    back = _shift(dim, steps if "forwards" in faults else -steps)
    if "no-shift" in faults:
        back = np.eye(dim)
    if "keys-too" in faults:
        return factor * back.T, back.T
    if "fastest-only" in faults:
        back[2:] = 0
    if "slowest-only" in faults:
        back[:-2] = 0
    return factor * back.T, np.eye(dim)


def _look_back_in_the_keys(dim, steps):
    return np.eye(dim), 250 * _shift(dim, steps).T


def _look_back_in_both(dim, steps):
    return 20 * _shift(dim, -steps / 2).T, 20 * _shift(dim, steps / 2).T


def _look_back_judge(cases, outcomes):
    found = []
    for case, outcome in zip(cases, outcomes):
        (dim, steps), pair = case.args, outcome.value
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            return another_form("Return two matrices: `return w_query, w_key`.")
        w_query, w_key = (finite_array(w) for w in pair)
        if w_query is None or w_key is None or w_query.shape != w_key.shape or not (
                w_query.ndim == 2 and w_query.shape[0] == dim and w_query.shape[1] > 0):
            return another_form("Both matrices must hold finite numbers and have the shape "
                                f"(dim, d_k), here ({dim}, d_k), with one d_k for both.")
        found.append((w_query, w_key, steps))
    for w_query, w_key, steps in found:
        for n in (20, 500):
            p = sinusoidal_positions(n, len(w_query))
            weights = attention_weights(p @ w_query, p @ w_key, causal=True)
            share = np.diagonal(weights, -steps)
            if share.min() < 0.9:
                at = steps + int(share.argmin())
                told = (f"At n = {n} the query at place {at} gives {share.min():.3f} of its "
                        f"weight to the place {steps} back; 0.9 was asked for.")
                best = (f"dim {len(w_query)}, steps {steps}\nits best place is "
                        f"{int(weights[at].argmax())}, with {weights[at].max():.3f}")
                for mistake in _LOOK_BACK.mistakes:
                    if mistake.name == _look_back_known(found):
                        return Result("known_mistake", mistake.sentence, f"{told}\n{best}",
                                      mistake=mistake.name)
                name, words = _look_back_fault(w_query, w_key, steps)
                return broken_law(told + words, best, name)
    return None


def _look_back_scores(w_query, w_key):
    """The scores of queries in the middle of a text, and how far back each has its largest."""
    p, inner = sinusoidal_positions(60, len(w_query)), np.arange(20, 40)
    scores = (p[inner] @ w_query) @ (p @ w_key).T
    return scores, np.unique(inner - scores.argmax(1))


def _look_back_known(found):
    """The known mistake that all of the heads show, whatever their matrices; or nothing."""
    def everywhere(holds):
        return all(holds(*head) for head in found)

    def uses(pair):
        def alone(w_query, w_key, steps):
            met = np.abs(w_query @ w_key.T)  # which feature of a query meets which one of a key
            rest = np.delete(np.arange(len(met)), np.r_[2 * pair:2 * pair + 2] % len(met))
            return max(met[rest].max(), met[:, rest].max()) <= 1e-9 * met.max()
        return alone

    def looks(distance):
        return lambda w_query, w_key, steps: (
            _look_back_scores(w_query, w_key)[1].tolist() == [distance(steps)])

    def unmoved(w_query, w_key, steps):
        return w_key.shape == w_query.T.shape and not (w_key - np.diag(w_key.diagonal())).any()

    def alike(w_query, w_key, steps):
        return np.allclose(w_query / np.linalg.norm(w_query), w_key / np.linalg.norm(w_key))

    own = everywhere(looks(lambda steps: 0))
    return next((name for name, so in {
        "fastest-only": everywhere(uses(0)),
        "slowest-only": everywhere(uses(-1)),
        "too-even": everywhere(looks(lambda steps: steps)),
        "forwards": everywhere(looks(lambda steps: -steps)),
        "one-step": everywhere(looks(lambda steps: 1)),
        "no-shift": own and everywhere(unmoved),
        "keys-too": own and everywhere(alike),
        "wrong-sign": everywhere(lambda w_query, w_key, steps: looks(lambda steps: steps)(
            -w_query, w_key, steps)),
    }.items() if so), "")


def _look_back_fault(w_query, w_key, steps):
    """Name and sentence of where a head looks in the middle of a text, mask or not."""
    scores, far = _look_back_scores(w_query, w_key)
    if np.ptp(scores) < 1e-9:
        return "all alike", " All of your scores are alike: your head looks nowhere."
    if len(far) == 1 and far[0] == steps:
        return "too even", (" In the middle of a text its best place is the right one, but the "
                            "others keep too much.")
    if len(far) == 1:
        where = ("at its own place" if far[0] == 0 else f"{far[0]} back" if far[0] > 0
                 else f"{-far[0]} ahead, where the mask hides it")
        return "another distance", f" In the middle of a text a query's best place is {where}."
    return "no fixed distance", (
        " Your queries do not agree how far back they look: their best places lie "
        f"{_from_to(far.min())} to {_from_to(far.max())}. What does a shift have to do with every "
        "pair of features?")


def _from_to(far):
    return f"{far} back" if far >= 0 else f"{-far} ahead"


def _look_back_cases(seed):
    rng = np.random.default_rng([seed, 57])
    near, farther = (int(rng.integers(low, 2 * low + 1)) for low in (2, 6))
    return [Case((32, 1)), Case((32, near)), Case((48, farther)),
            Case((64, int(rng.integers(13, 20))), hard="far back"),
            Case((40, 0), hard="no step at all")]


_LOOK_BACK = Exercise(
    id="5.7", kind="open-ended", points=5, minutes=20, version=1,
    hints=(
        "Let the keys be the encodings themselves. Which vector must a query be, so that its dot "
        "product with the keys is largest at the place so many steps back?",
        "That vector is the encoding of that place, and equation (5.4) makes it from the query's "
        "own. Mind that the encodings are rows here.",
        "If the top of your weights is at the right place but too low, remember what chapter 1 "
        "did with scores to make a soft look-up nearly hard.",
    ),
    cases=_look_back_cases,
    reference=None,
    mistakes=switched(_look_back, {
        "too-even": "Your head looks at the right place, but your weights are too even. What "
                    "makes a softmax sharper?",
        "forwards": "Your queries ask for a place after their own, and the mask hides it. "
                    "Look at the sign, and at rows against columns.",
        "no-shift": "Your queries ask for their own place. Which matrix moves an encoding?",
        "one-step": "Your head looks one step back, whatever `steps` says.",
        "keys-too": "You shifted queries and keys alike, so that the distance stayed as it was.",
        "wrong-sign": "Your head avoids the place it should look at. Look at the sign of your "
                      "scores.",
        "fastest-only": "Your head uses the fastest pair alone. It comes round again after "
                        "some places, and looks there too.",
        "slowest-only": "Your head uses the slowest pair alone. It cannot tell neighbours apart.",
    }, pairs=[("too-even", "forwards"), ("too-even", "one-step"), ("one-step", "forwards"),
              ("no-shift", "too-even"), ("too-even", "keys-too"), ("one-step", "keys-too"),
              ("too-even", "fastest-only"), ("too-even", "slowest-only")]),
    judge=_look_back_judge,
    variants=(_look_back, _look_back_in_the_keys, _look_back_in_both),
)


# 5.8  T5's buckets

def _t5(table, far, n_q, n_k, *, faults=frozenset()):
    buckets = len(table)
    half = buckets // 2
    start = 0 if "top-left" in faults else n_k - n_q
    back = np.arange(n_q)[:, None] + start - np.arange(n_k)  # (n_q, n_k)
    distance = np.abs(back) if "both-sides" in faults else np.maximum(back, 0)
    begin = 1 if "from-one" in faults else half
    grown = np.log(np.maximum(distance, begin) / begin) / math.log(far / begin)
    whole = np.round if "rounded" in faults else np.ceil if "ceiling" in faults else np.floor
    many = buckets if "all-buckets" in faults else buckets - half
    beyond = half + whole(grown * many).astype(int)
    if "no-cap" not in faults:
        beyond = np.minimum(beyond, buckets - 1)
    bucket = np.where(distance < half, distance, beyond)
    if "unclipped" in faults:
        bucket = np.where(back < half, back, beyond)
    if "exact-alone" in faults:
        bucket = np.minimum(distance, buckets - 1)
    if "one-for-all" in faults:
        bucket = np.minimum(distance, half)
    bias = np.asarray(table)[bucket]  # (n_q, n_k, heads)
    if "negative" in faults:
        bias = -bias
    if "heads-last" in faults:
        return bias
    return np.moveaxis(np.swapaxes(bias, 0, 1) if "transposed" in faults else bias, -1, 0)


def _t5_reference(table, far, n_q, n_k):
    return _t5(table, far, n_q, n_k)


def _t5_loops(table, far, n_q, n_k):
    buckets, heads = table.shape
    half, bias = buckets // 2, np.zeros((heads, n_q, n_k))
    for i, j in np.ndindex(n_q, n_k):
        bucket = max(i + n_k - n_q - j, 0)
        if bucket >= half:
            part = math.log(bucket / half) / math.log(far / half)
            bucket = min(half + int(part * (buckets - half)), buckets - 1)
        bias[:, i, j] = table[bucket]
    return bias


def _t5_edges(table, far, n_q, n_k):
    """The distances at which a bucket begins, and how many of them lie at or below a distance."""
    half = len(table) // 2
    rest = np.arange(len(table) - half) / (len(table) - half)
    edges = np.append(np.arange(1, half), half * (far / half) ** rest)
    distance = np.maximum(np.subtract.outer(np.arange(n_k - n_q, n_k), np.arange(n_k)), 0)
    return table.T[:, np.searchsorted(edges, distance, side="right")]


def _t5_torch(table, far, n_q, n_k):
    import torch
    half = len(table) // 2
    back = torch.arange(n_k - n_q, n_k)[:, None] - torch.arange(n_k)
    back = back.clamp(min=0)
    grown = (back.clamp(min=half) / half).log() / math.log(far / half)
    beyond = (half + (grown * (len(table) - half)).long()).clamp(max=len(table) - 1)
    return table[torch.where(back < half, back, beyond)].movedim(-1, 0)


def _t5_cases(seed):
    rng = np.random.default_rng([seed, 58])

    def case(buckets, far, heads, n_q, n_k, hard=""):
        return Case((rng.normal(size=(buckets, heads)), far, n_q, n_k), hard=hard)

    long = int(rng.integers(80, 90))
    alike = case(6, 20, 6, 6, 25, hard="as many heads as buckets")
    alike.args[0][:] *= 200
    alike.args[0][0], alike.args[0][1] = 0, 1e-3 * rng.normal(size=6)
    return [alike, case(8, 50, 3, 5, 40), case(12, 70, 4, 9, long), case(16, 100, 2, 13, long + 40),
            case(6, 20, 5, 17, 17), case(8, 50, 3, 1, 60, hard="a single query, as with a cache"),
            case(6, 20, 1, 4, 31, hard="a single head"),
            case(12, 70, 2, 3, 4, hard="no far key")]


_T5 = Exercise(
    id="5.8", kind="write", points=4, minutes=15, version=1,
    hints=(
        "Distances first, as in ALiBi: where does the first query stand? Keys after the query "
        "count as distance 0.",
        "Both halves can be computed for every distance; `np.where` takes the one that holds. Keep "
        "the logarithm from small distances, and the bucket from running over.",
        "A matrix of buckets as an index picks rows of the table: shape (n_q, n_k, heads). The "
        "heads come first in what is asked for.",
    ),
    cases=_t5_cases,
    spared={"empty": "without heads or buckets there is no bias",
            "one: axis -2 of table is never of length 1": "a single bucket tells nothing apart"},
    reference=_t5_reference,
    mistakes=switched(_t5, {
        "top-left": "With fewer queries than keys, your first query stands at place 0. "
                    "Where should the last one stand?",
        "both-sides": "Your keys after the query are sorted by distance as well. They take "
                      "bucket 0.",
        "unclipped": "Your keys after the query get negative buckets, which Python counts from the "
                     "end of the table. They take bucket 0.",
        "no-cap": "Your farthest keys get a bucket that there is not. The last one holds all that "
                  "is farther.",
        "exact-alone": "Every distance has a bucket of its own in your bias, up to the last one. "
                       "The second half of the buckets grows.",
        "one-for-all": "All far distances share one bucket in your bias. Half of the buckets are "
                       "there for them.",
        "from-one": "Your logarithm begins at distance 1. It begins where the exact buckets end.",
        "all-buckets": "You share out all buckets among the far distances. Half of them are taken "
                       "by the near ones.",
        "rounded": "Your far buckets are rounded to the nearest. The formula rounds down.",
        "ceiling": "Your far buckets are rounded up. The formula rounds down.",
        "negative": "Your bias has the wrong sign: the table holds what is *added*.",
        "heads-last": "Your heads are the last axis. They come first: one matrix for each head.",
        "transposed": "Rows and columns are exchanged: a row belongs to a query.",
    }, pairs=[("top-left", "exact-alone"), ("top-left", "one-for-all"), ("top-left", "heads-last"),
              ("from-one", "top-left"), ("exact-alone", "heads-last"),
              ("both-sides", "exact-alone"), ("negative", "top-left"),
              ("both-sides", "top-left")]),
    variants=(_t5_loops, _t5_edges, _t5_torch),
)


# 5.9  Further than it was trained

def _further(x, positions, trained, longest, how, *, faults=frozenset()):
    dim = x.shape[-1]
    if "by-rows" in faults:
        longest = x.shape[-2]
    s = longest // trained if "whole-factor" in faults else longest / trained
    if "no-floor" not in faults:
        s = max(s, 1.0)
    squeeze, raise_ = how == "interpolate", how == "base"
    if "both" in faults:
        squeeze = raise_ = True
    if "exchanged" in faults:
        squeeze, raise_ = raise_, squeeze
    if "interpolate-alone" in faults:
        squeeze, raise_ = True, False
    if "plain" in faults:
        squeeze = raise_ = False
    base, places = 10000.0, np.asarray(positions, dtype=float)
    if squeeze:
        places = places * s if "stretched" in faults else places / s
        if "whole" in faults:
            places = np.floor(places)
    if raise_:
        power = (1 if "base-by-s" in faults else (dim - 2) / dim if "turned-power" in faults
                 else dim / (dim - 1) if "one-less" in faults else dim / (dim - 2))
        base = base / s ** power if "lowered" in faults else base * s ** power
    return rotate(x, places, base)


def _further_reference(x, positions, trained, longest, how):
    return _further(x, positions, trained, longest, how)


def _further_angles(x, positions, trained, longest, how):
    """The angles by hand, and the turn by complex numbers."""
    dim, s = x.shape[-1], max(longest / trained, 1)
    speeds = 10000.0 ** (-np.arange(0, dim, 2) / dim)
    if how == "base":
        speeds = speeds * s ** (-np.arange(dim // 2) / (dim / 2 - 1))
    else:
        speeds = speeds / s
    pairs = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * np.outer(positions, speeds))
    return np.stack((pairs.real, pairs.imag), axis=-1).reshape(x.shape)


def _further_torch(x, positions, trained, longest, how):
    s, dim = max(longest / trained, 1), x.shape[-1]
    if how == "interpolate":
        return rotate(x, positions / s)
    return rotate(x, positions, 10000 * s ** (dim / (dim - 2)))


def _further_cases(seed):
    rng = np.random.default_rng([seed, 59])

    def case(how, *leading, n, dim, trained, longest, hard=""):
        positions = int(rng.integers(3, 30)) + 7 * np.arange(n)
        return Case((rng.normal(size=(*leading, n, dim)), positions, trained, longest, how),
                    hard=hard)

    far = int(rng.integers(100, 200))
    alike = case("base", 4, 4, n=4, dim=4, trained=16, longest=far, hard="all lengths alike")
    alike.args[0][:] *= 200
    alike.args[0][..., 0, :], alike.args[0][..., 1, :] = 0, 1e-3 * rng.normal(size=4)
    alike.args[1][2] = alike.args[1][3]
    return [alike, case("interpolate", 1, 1, n=1, dim=4, trained=16, longest=far,
                        hard="all lengths as small as can be"),
            case("interpolate", n=9, dim=8, trained=4, longest=far),
            case("base", n=7, dim=6, trained=5, longest=far),
            case("interpolate", 3, n=6, dim=10, trained=40, longest=far),
            case("base", 2, 3, n=5, dim=12, trained=24, longest=far + 30),
            case("interpolate", n=6, dim=4, trained=200, longest=90, hard="shorter than training"),
            case("base", n=4, dim=6, trained=150, longest=60, hard="shorter than training"),
            case("base", n=5, dim=4, trained=64, longest=64, hard="as long as in training"),
            case("base", n=1, dim=6, trained=16, longest=far, hard="a single vector")]


_FURTHER = Exercise(
    id="5.9", kind="write", points=3, minutes=12, version=1,
    hints=(
        "One number rules both remedies: the factor by which the text is longer than in training. "
        "What is it for a text that is shorter?",
        "`rotate` takes the places as its second argument, which need not be whole, and the base "
        "as its third.",
    ),
    cases=_further_cases,
    spared={"empty": "without vectors nothing is turned",
            "one: axis -1 of x is never of length 1": "features come in pairs"},
    reference=_further_reference,
    mistakes=switched(_further, {
        "stretched": "Your interpolated places are pulled apart. They should be squeezed into "
                     "those of training.",
        "whole": "Your squeezed places are whole numbers, so that neighbours share one. Places "
                 "need not be whole.",
        "no-floor": "You slow the hands down by less than 1 for texts shorter than in training. "
                    "There nothing should change.",
        "whole-factor": "Your factor is rounded down to a whole number. It need not be one.",
        "by-rows": "You took the number of vectors given for the length of the text. It is "
                   "`longest`.",
        "base-by-s": "Your base is raised by the factor itself. Look at the power in equation "
                     "(5.9).",
        "turned-power": "The power of your base is turned upside down: see equation (5.9).",
        "one-less": "Your power is d / (d - 1). The slowest of d / 2 hands has the exponent "
                    "(d - 2) / d.",
        "lowered": "Your base is lowered, so that slow hands turn faster.",
        "both": "You squeeze the places and raise the base. Each remedy goes alone.",
        "exchanged": "Your two remedies have changed places.",
        "interpolate-alone": "You interpolate whatever `how` says.",
        "plain": "Your vectors are turned as in training, whatever `how` says.",
    }, pairs=[("no-floor", "base-by-s"), ("no-floor", "stretched"), ("stretched", "base-by-s"),
              ("no-floor", "exchanged"), ("whole", "base-by-s"), ("no-floor", "whole"),
              ("turned-power", "no-floor"), ("no-floor", "interpolate-alone")]),
    variants=(_further_angles, _further_torch),
)


# 5.10  Into their program

def _into(w_query, w_key, turned, *, faults=frozenset()):
    width = w_query.shape[1]
    upto = width if "whole-width" in faults else turned
    order = np.r_[0:upto:2, 1:upto:2]
    if "odd-first" in faults:
        order = np.r_[1:upto:2, 0:upto:2]
    if "inverse" in faults:
        order = np.argsort(order)
    if "reversed" in faults:
        order = np.arange(upto)[::-1]
    order = np.append(order, np.arange(upto, width))
    if "rest-first" in faults:
        order = np.roll(order, width - turned)
    query = w_query if "key-alone" in faults or "unchanged" in faults else w_query[:, order]
    key = w_key if "query-alone" in faults or "unchanged" in faults else w_key[:, order]
    if "cut" in faults:
        query, key = query[:, :turned], key[:, :turned]
    return query.copy(), key.copy()


def _into_pair_by_pair(w_query, w_key, turned):
    columns = [c for half in (0, 1) for c in range(half, turned, 2)]
    columns += list(range(turned, w_query.shape[1]))
    return (np.stack([w_query[:, c] for c in columns], axis=1),
            np.stack([w_key[:, c] for c in columns], axis=1))


def _into_reshaped(w_query, w_key, turned):
    def moved(w):
        halves = w[:, :turned].reshape(len(w), -1, 2).swapaxes(1, 2).reshape(len(w), -1)
        return np.concatenate((halves, w[:, turned:]), axis=1)

    return [moved(w_query), moved(w_key)]


def _into_other_order(w_query, w_key, turned):
    """The features that are not turned in another order: no score can see it."""
    query, key = _into(w_query, w_key, turned)
    rest = np.append(np.arange(turned), np.arange(turned, w_query.shape[1])[::-1])
    return query[:, rest], key[:, rest]


def _turned_part(x, turned, halves):
    """A head's vectors, of whose features the first are turned: ours, or theirs by halves."""
    part = x[:, :turned]
    if halves:  # as ours, and back
        there = np.stack((part[:, :turned // 2], part[:, turned // 2:]), axis=-1)
        spun = rotate(there.reshape(len(x), -1)).reshape(len(x), -1, 2)
        part = np.concatenate((spun[..., 0], spun[..., 1]), axis=-1)
    else:
        part = rotate(part)
    return np.concatenate((part, x[:, turned:]), axis=-1)


def _into_judge(cases, outcomes):
    for number, (case, outcome) in enumerate(zip(cases, outcomes)):
        (w_query, w_key, turned), pair = case.args, outcome.value
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            return another_form("Return two matrices: `return w_query, w_key`.")
        theirs = [finite_array(w) for w in pair]
        if any(w is None or w.shape != w_query.shape for w in theirs):
            return another_form(f"Both matrices keep their shape, here {w_query.shape}.",
                                "got " + " and ".join(str(np.shape(w)) for w in pair))
        x = np.random.default_rng(number).normal(size=(9, len(w_query)))
        wanted, got = (
            attention_scores(*(_turned_part(x @ w, turned, halves) for w in both))
            for halves, both in ((False, (w_query, w_key)), (True, theirs)))
        off = np.abs(got - wanted)
        if off.max() > 1e-3 * max(1.0, np.abs(wanted).max()):
            i, j = np.unravel_index(off.argmax(), off.shape)
            return broken_law(
                "Their program gives other scores with your matrices than ours with the old ones.",
                f"width {w_query.shape[1]}, {turned} features turned\nquery at place {i}, key at "
                f"place {j}: ours {wanted[i, j]:.3f}, theirs {got[i, j]:.3f}")
    return None


def _into_cases(seed):
    rng = np.random.default_rng([seed, 510])

    def case(dim, width, turned, hard=""):
        return Case((*rng.normal(size=(2, dim, width)), turned), hard=hard)

    return [case(5, 8, 8), case(7, 12, 6), case(9, 10, 4), case(11, 16, 12),
            case(4, 6, 2, hard="a single pair is turned"), case(3, 6, 0, hard="nothing is turned")]


_INTO = Exercise(
    id="5.10", kind="open-ended", points=4, minutes=15, version=1,
    hints=(
        "Take six features, all of them turned. Our pairs are (0, 1), (2, 3), (4, 5); theirs are "
        "(0, 3), (1, 4), (2, 5). Which column of ours must stand where?",
        "The firsts of all pairs go into the first half, the seconds into the second. What is not "
        "turned has no partner: where may it stay?",
        "A dot product does not see the order of its terms, as long as queries and keys agree.",
    ),
    cases=_into_cases,
    reference=None,
    mistakes=switched(_into, {
        "inverse": "You did the way back: from their order to ours.",
        "whole-width": "You reordered all columns. Some of them are not turned, and the pairs lie "
                       "among those that are.",
        "odd-first": "The seconds of your pairs come first: then the turn goes the other way.",
        "reversed": "You reversed the columns. Which two must stand half the turned width apart?",
        "rest-first": "The features that are not turned came to the front. Their program turns the "
                      "first ones.",
        "query-alone": "You reordered the query's columns alone. In the dot product each feature "
                       "meets its own.",
        "key-alone": "You reordered the key's columns alone. In the dot product each feature meets "
                     "its own.",
        "unchanged": "You returned the matrices as they came.",
        "cut": "The features that are not turned are gone. They have a share in the score.",
    }, also=[("reversed", "whole-width")]),
    judge=_into_judge,
    variants=(_into, _into_pair_by_pair, _into_reshaped, _into_other_order),
)


# 5.11  Referee: where was it ever?

def _ruled(runs, *, faults=frozenset()):
    def told(run):
        how = (max if "best-run" in faults else np.median if "median" in faults else np.mean)
        return float(how(run["right"]))

    found = []
    for ours, other in product(runs, runs):
        alike = [ours["visited"] == other["visited"] or "any-places" in faults and (
                     "either-way" in faults or ours["visited"] > other["visited"]),
                 ours["steps"] == other["steps"] or "any-steps" in faults,
                 ours["read"] == other["read"]]
        labelled = ours if "ours" in faults else other  # where the two differ
        seen = labelled["visited"]
        new = (ours["read"] > seen if not {"visited-too", "visited-alone", "edge"} & faults
               else ours["read"] >= seen if "edge" in faults
               else ours["read"] <= seen if "visited-alone" in faults else True)
        if (ours["kind"], other["kind"]) == ("sinusoidal", "learned") and all(alike) and new:
            points = 100 * (told(ours) - told(other))
            found.append([seen, labelled["steps"], ours["read"], points])
    found.sort(key=lambda row: row[:3] if "by-three" in faults else row)
    if "as-they-come" in faults:
        order = [(run["visited"], run["steps"], run["read"]) for run in runs]
        found.sort(key=lambda row: order.index(tuple(row[:3])))
    if "shares" in faults:
        found = [[*row[:3], row[3] / 100] for row in found]
    if "turned" in faults:
        found = [[*row[:3], -row[3]] for row in found]
    if "points-alone" in faults:
        return [row[3] for row in found]
    return found


def _ruled_by_key(runs):
    right = {(run["kind"], run["visited"], run["steps"], run["read"]):
             sum(run["right"]) / len(run["right"]) for run in runs}
    rows = []
    for kind, *rest in sorted(right):
        visited, _, read = rest
        if kind == "sinusoidal" and read > visited and ("learned", *rest) in right:
            rows.append([*rest, 100 * (right[kind, *rest] - right["learned", *rest])])
    return rows


def _ruled_loops(runs):
    rows = []
    for one in runs:
        for two in runs:
            fair = all(one[name] == two[name] for name in ("visited", "steps", "read"))
            if (fair and one["read"] > one["visited"] and one["kind"] == "sinusoidal"
                    and two["kind"] == "learned"):
                rows.append((one["visited"], one["steps"], one["read"],
                             100 * (np.mean(one["right"]) - np.mean(two["right"]))))
    return sorted(rows)


def _ruled_cases(seed):
    rng = np.random.default_rng([seed, 511])

    def case(visited, budgets, reads, missing=0, untested=None, hard=""):
        runs = [dict(kind=kind, visited=seen, steps=steps, read=read,
                     right=np.round(rng.uniform(0.1, 1, rng.integers(3, 7)), 3).tolist())
                for kind in ("sinusoidal", "learned") for seen in visited
                for steps in budgets for read in reads
                if (kind, seen, read) != ("learned", *(untested or (0, 0)))]
        kept = rng.permutation(len(runs))[missing:]
        return Case(([runs[i] for i in kept],), hard=hard)

    return [case((16, 32), (300, 900), (16, 32, 64)), case((8, 24), (200, 500), (8, 24, 32, 48)),
            case((16, 64), (150, 600), (16, 64, 128)),
            case((16, 32), (100, 400), (16, 32, 64), missing=5, hard="some runs are missing"),
            case((16, 32), (250, 700), (16, 64), untested=(16, 64),
                 hard="a length at which one of the two was not tested"),
            case((32, 64), (300,), (16, 32, 64), hard="one budget")]


_REFEREE = Exercise(
    id="5.11", kind="write", points=4, minutes=20, version=1,
    hints=(
        "The claim compares two kinds of vectors for a place. Two runs are comparable if they "
        "differ in that and in nothing else: what else could they differ in?",
        "The claim is about places that training never visited. Which lengths of the test reach "
        "beyond them? A text of as many tokens as there were places visits no new one.",
    ),
    cases=_ruled_cases,
    reference=_ruled,
    mistakes=switched(_ruled, {
        "any-places": "Some of your pairs were trained at different places: the sinusoids had seen "
                      "what the table had not. That is the flaw of the experiment itself.",
        "any-steps": "Some of your pairs were trained for different numbers of steps.",
        "visited-too": "You list tests at places that training visited as well. The claim is about "
                       "the others.",
        "visited-alone": "You list the tests at places that training visited. The claim is about "
                         "the others.",
        "edge": "A text of as many tokens as there were places visited has no new place: they are "
                "counted from 0.",
        "turned": "Your signs are turned: asked for is what sinusoids add to the table.",
        "shares": "Your differences are shares. A point is one hundredth.",
        "best-run": "You compare the best run of each. What of the others?",
        "median": "You compare the runs in the middle. Asked for is the difference of the means.",
        "as-they-come": "Your comparisons are not in rising order of `visited`, `steps`, `read`.",
        "points-alone": "You return the points alone. Say of which comparison each of them is.",
    }, pairs=[("visited-too", "turned"), ("visited-too", "shares"), ("any-places", "turned"),
              ("any-places", "shares"), ("edge", "turned"), ("edge", "shares"),
              ("visited-alone", "turned"), ("any-steps", "turned"), ("visited-too", "as-they-come"),
              ("visited-too", "points-alone")],
       also=[("any-places", "ours"), ("any-places", "either-way"),
             ("any-places", "either-way", "ours"),
             ("any-places", "either-way", "ours", "by-three"), ("any-steps", "ours"),
             ("any-steps", "by-three"), ("any-steps", "ours", "by-three")]),
    variants=(_ruled_by_key, _ruled_loops),
)


# 5.12  Make it flip: which encoding wins?

_TRAINED = {  # (kind, heads, length read): share right, mean of 3 models trained at 16 tokens
    ("rotary", 1, 16): 1.00, ("rotary", 1, 32): 0.99, ("rotary", 1, 64): 0.91,
    ("rotary", 2, 16): 1.00, ("rotary", 2, 32): 0.96, ("rotary", 2, 64): 0.45,
    ("rotary", 4, 16): 1.00, ("rotary", 4, 32): 1.00, ("rotary", 4, 64): 0.31,
    ("rotary", 8, 16): 1.00, ("rotary", 8, 32): 0.99, ("rotary", 8, 64): 0.97,
    ("ALiBi", 1, 16): 0.30, ("ALiBi", 1, 32): 0.25, ("ALiBi", 1, 64): 0.21,
    ("ALiBi", 2, 16): 0.40, ("ALiBi", 2, 32): 0.36, ("ALiBi", 2, 64): 0.35,
    ("ALiBi", 4, 16): 0.81, ("ALiBi", 4, 32): 0.72, ("ALiBi", 4, 64): 0.69,
    ("ALiBi", 8, 16): 0.94, ("ALiBi", 8, 32): 0.91, ("ALiBi", 8, 64): 0.90,
}
_CLEAR = 5  # points by which the winner leads at least


def _winner(heads, read):
    """By how many points rotary is ahead of ALiBi; below 0 where ALiBi is."""
    return round(100 * (_TRAINED["rotary", heads, read] - _TRAINED["ALiBi", heads, read]))


def _wins(*, heads=((1, 64), (4, 64)), length=((4, 16), (4, 64))):
    return {"heads": list(heads), "length": list(length)}


def _wins_arrays():
    return {"length": np.array(((4, 16), (4, 64))), "heads": np.array(((1, 64), (4, 64)))}


def _wins_others():
    return _wins(heads=((2, 64), (4, 64)))


def _wins_judge(cases, outcomes):
    sentences = {mistake.name: mistake.sentence for mistake in _WINS.mistakes}
    given = outcomes[0].value
    if not isinstance(given, dict) or sorted(given) != ["heads", "length"]:
        return another_form('Return a dict with the keys "heads" and "length".')
    pairs = {}
    for name, pair in given.items():
        pair = finite_array(pair)
        if pair is None or pair.shape != (2, 2) or any(
                ("rotary", *setting) not in _TRAINED for setting in pair):
            return another_form(f'"{name}" is two settings (heads, length read) of the table.',
                                f"got {given[name]!r}")
        pairs[name] = [tuple(int(number) for number in setting) for setting in pair]
    shown = "\n".join(
        f"{name:7}" + "   ".join(f"{heads} heads at {read}: {_winner(heads, read):+} points"
                                 for heads, read in pair)
        for name, pair in sorted(pairs.items())) + "\n(rotary before ALiBi)"

    def known(name):
        return Result("known_mistake", sentences[name], shown, mistake=name)

    varies = {name: [a != b for a, b in zip(*pair)] for name, pair in pairs.items()}
    if varies == {"heads": [False, True], "length": [True, False]}:
        return known("exchanged")
    for name, alone in (("heads", [True, False]), ("length", [False, True])):
        if varies[name] == [True, True]:
            return known(f"{name}-both")
        if varies[name] != alone:
            return broken_law(f'In your "{name}" the two settings should differ in one thing, '
                              f'{"the number of heads" if name == "heads" else "the length"}.',
                              shown)
    ahead = {name: [_winner(*setting) for setting in pair] for name, pair in pairs.items()}
    if all(first <= -_CLEAR and second >= _CLEAR for first, second in ahead.values()):
        return known("turned")
    for name, (first, second) in ahead.items():
        if first * second > 0 and min(abs(first), abs(second)) >= _CLEAR:
            return known(f"{name}-stays")
    for name, (first, second) in ahead.items():
        if first < _CLEAR or second > -_CLEAR:
            return broken_law(f'In your "{name}" rotary should be ahead in the first setting and '
                              f"ALiBi in the second, by {_CLEAR} points at least.", shown)
    return None


_WINS = Exercise(
    id="5.12", kind="open-ended", points=3, minutes=15, version=1,
    hints=(
        "Read the table by its rows: what do more heads do for ALiBi, and what for rotary? More "
        "heads are steeper slopes for the one, and narrower heads for both.",
        "Rotary is ahead where the test is as long as training. Keep the heads, and read further.",
    ),
    cases=lambda seed: [Case()],
    reference=None,
    mistakes=tuple(Mistake(name, sentence, functools.partial(_wins, **change))
                   for name, sentence, change in (
        ("exchanged", '"heads" and "length" have changed places: "heads" is where the number of '
                      "heads differs.", dict(heads=((4, 16), (4, 64)), length=((1, 64), (4, 64)))),
        ("heads-both", 'In your "heads" the length differs too. Change the number of heads alone.',
         dict(heads=((1, 16), (4, 64)))),
        ("length-both", 'In your "length" the number of heads differs too. Change the length '
                        "alone.", dict(length=((1, 16), (4, 64)))),
        ("turned", "Your settings are in the opposite order: first the one in which rotary is "
                   "ahead.", dict(heads=((1, 64), (4, 64))[::-1], length=((4, 16), (4, 64))[::-1])),
        ("heads-stays", 'In your "heads" one encoding is ahead in both settings: nothing turns '
                        "round.", dict(heads=((1, 16), (4, 16)))),
        ("length-stays", 'In your "length" one encoding is ahead in both settings: nothing turns '
                         "round.", dict(length=((1, 16), (1, 64)))),
    )),
    judge=_wins_judge,
    variants=(_wins, _wins_arrays, _wins_others),
)


EXERCISES = (_HANDS, _ALIBI, _TURN, _NEXT, _INTERLEAVED, _FORESEEN, _LOOK_BACK, _T5, _FURTHER,
             _INTO, _REFEREE, _WINS)
