"""Chapter 5, "Positional encoding": what its exercises ask, and what people answer."""

import functools
import math

import numpy as np

from ..attention import attention_scores, attention_weights
from ..positions import alibi_bias, rotate, sinusoidal_positions
from .core import Case, Exercise, broken_law, finite_array, flipped, switched, with_numbers


def _omega(dim, base=10000.0):
    """Radians per position of each pair: (dim / 2,)"""
    return base ** (-np.arange(0, dim, 2) / dim)


# 5.1  Two clock hands

def _hands(*, query=4, key=2, degrees=30, faults=frozenset()):
    degrees = -degrees if "clockwise" in faults else degrees

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
    far = 0.0 if "far-is-nothing" in faults else near
    if "even" in faults:
        after = near
    scale = 1 / math.sqrt(2) if "scaled" in faults else 1
    return {"q": turned_query.tolist(), "k": turned_key.tolist(),
            "near": scale * near, "far": scale * far, "after": scale * after}


def _vary_hands(rng):
    query, key = (int(x) for x in rng.integers(2, 10, size=2))
    degrees, far = int(rng.choice([30, 45])), 100 * int(rng.integers(1, 10))
    return with_numbers(_HANDS, dict(query=query, key=key, degrees=degrees), {
        "30 degrees": f"{degrees} degrees", "(4, 0)": f"({query}, 0)", "(0, 2)": f"(0, {key})",
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
    reference=alibi_bias,
    mistakes=switched(_alibi, {
        "from-zero": "Your first slope is 1. Look at the first exponent in the list of slopes.",
        "halving": "Your slopes fall by one factor from head to head, whatever the number of "
                   "heads. The last one should be the same, however many there are.",
        "no-eight": "Your last slope is too large. Look at where the list of slopes ends.",
        "inverted": "The number of the head stands below the fraction line in your exponent. "
                    "Are your slopes growing or shrinking?",
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
    angle = places[:, None] * omega  # (n, dim / 2)
    cos, sin = np.cos(angle), np.sin(angle)
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


def _turn_cases(seed):
    rng = np.random.default_rng([seed, 53])

    def case(*leading, n, dim, positions=None, hard=""):
        start = rng.integers(2, 9)
        positions = start + np.arange(n) if positions is None else positions
        return Case((rng.normal(size=(*leading, n, dim)), positions), hard=hard)

    return [case(n=5, dim=8), case(3, n=5, dim=6), case(2, 3, n=7, dim=4),
            case(n=4, dim=10, positions=rng.permutation(50)[:4], hard="places in any order"),
            case(2, n=1, dim=6, positions=rng.integers(300, 400, 1),
                 hard="a single vector, far from 0"),
            case(n=6, dim=2, hard="a single pair")]


_TURN = Exercise(
    id="5.3", kind="write", points=4, minutes=15, version=1,
    hints=(
        "Angles first: a row per place, a column per pair. Then take the features apart with "
        "`x[..., 0::2]` and `x[..., 1::2]`.",
        "A turn takes (a, b) to (a cos - b sin, a sin + b cos). Both need the *old* a and b.",
        "Put the results back where they came from: into every other feature of a new array.",
    ),
    cases=_turn_cases,
    reference=rotate,
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
    at = before + np.arange(new)
    if "one-place" in faults:
        at = np.full(new, before)
    if "last-place" in faults:
        at = np.full(new, before + new - 1)
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
    return attention_scores(query, keys, scale=1 if "no-scale" in faults else None)


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

    return [case(new=3, before=5, dim=4), case(4, new=3, before=7, dim=6),
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
    reference=_next_scores,
    mistakes=switched(_next, {
        "both-from-zero": "The new words still begin at place 0, however long the past is. "
                          "Look at which places `rotate` takes by itself.",
        "query-from-zero": "The keys are right now. The queries still begin at place 0.",
        "key-from-zero": "The queries are right now. The new keys still begin at place 0.",
        "off-by-one": "Your new words stand one place too far. Places are counted from 0: which "
                      "one follows the past? (Look at a key from the past.)",
        "axis-zero": "`len` counts the first axis, and with a batch that is not the past. "
                     "Count axes from the end.",
        "left-axes": "Right without a batch. With one, your axis 0 is the batch: "
                     "where do the words stand, counted from the end?",
        "width": "You took the width of the past for its length. Which axis holds the words?",
        "one-place": "Your new words all stand at one place, that of the first. There may be "
                     "several.",
        "last-place": "Your new words all stand at one place, that of the last. There may be "
                      "several.",
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
    return [*(Case((rng.normal(size=(dim, heads * width)), heads)) for dim, heads, width in sizes),
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
    for case, outcome in zip(cases, outcomes):
        (dim, steps), pair = case.args, outcome.value
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            return broken_law("Return two matrices: `return w_query, w_key`.")
        w_query, w_key = (finite_array(w) for w in pair)
        if w_query is None or w_key is None or w_query.shape != w_key.shape or not (
                w_query.ndim == 2 and w_query.shape[0] == dim and w_query.shape[1] > 0):
            return broken_law("Both matrices must hold finite numbers and have the shape "
                              f"(dim, d_k), here ({dim}, d_k), with one d_k for both.")
        for n in (20, 500):
            p = sinusoidal_positions(n, dim)
            weights = attention_weights(p @ w_query, p @ w_key, causal=True)
            found = np.diagonal(weights, -steps)
            if found.min() < 0.9:
                at = steps + int(found.argmin())
                return broken_law(
                    f"At n = {n} the query at place {at} gives {found.min():.3f} of its weight to "
                    f"the place {steps} back; 0.9 was asked for.",
                    f"dim {dim}, steps {steps}\nits best place is {int(weights[at].argmax())}, "
                    f"with {weights[at].max():.3f}")
    return None


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


EXERCISES = (_HANDS, _ALIBI, _TURN, _NEXT, _INTERLEAVED, _FORESEEN, _LOOK_BACK)
