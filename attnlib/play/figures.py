"""One function for each figure to play with: what it is given, and what attnlib says of it.

Inputs are rounded before attnlib computes what is expected of them, so that the page, which has
the rounded numbers, can agree to the last digit. Hard cases are always among the cases: everything
hidden, an empty row, one key, ties, scores that underflow.
"""

import inspect

import numpy as np

from ..attention import (
    attention,
    attention_weights,
    merge_partials,
    partial_attention,
    softmax,
)
from ..diagnostics import effective_keys, entropy, reachable
from ..heads import merge_heads, split_heads
from ..masks import causal_mask, whole_number, window_mask
from ..positions import rotate
from .showing import DIGITS, Play, rows

MOST_WORDS = 24


def lookup(keys, values, names, query, *, axes, value_axes, scale=None, title="A soft look-up"):
    r"""Chapter 1: drag a query among keys in the plane, and see the mix of values that it gets.

    Args:
        keys: ``(n, 2)``, real.
        values: ``(n, 2)``, real.
        names: n words, one for each key.
        query: ``(2,)``, where it begins.
        axes, value_axes: two names each, of the features of keys and of values.
        scale: what dot products are multiplied by; :math:`1/\sqrt 2` if not given.
        title: the figure's heading.

    Returns:
        `Play`.

    Raises:
        ValueError: if a shape does not fit, a number is NaN or infinite, or n is 0 or above 24.

    >>> lookup(np.eye(2), np.eye(2), ["a", "b"], [1, 0], axes="xy", value_axes="uv")
    Figure to play with: A soft look-up
    """
    names = _names(names)
    keys, values = (_numbers(name, x, (len(names), 2)) for name, x in
                    dict(keys=keys, values=values).items())
    query, scale = _numbers("query", query, (2,)), 2 ** -0.5 if scale is None else scale
    scale = float(_numbers("scale", scale, ()))
    none = np.zeros(len(names), dtype=bool)
    first = np.arange(len(names)) == 0
    asked = [(query, none), (0 * query, none), (-query, none), (7 * query, none), (query, first),
             (query, ~first), (query, ~none)]

    def case(query, hidden):
        weights = attention_weights(query[None], keys, mask=~hidden[None], scale=scale)  # (1, n)
        return dict(input=dict(keys=keys, values=values, scale=scale, query=query, hidden=hidden),
                    expect=dict(weights=weights[0], output=(weights @ values)[0],
                                effective=effective_keys(weights)[0]))

    return Play("lookup", title=title, names=names, axes=list(axes), value_axes=list(value_axes),
                keys=keys, values=values, scale=scale, state=dict(query=query, hidden=none),
                cases=[case(*pair) for pair in asked])


def scaling(widths=(1, 4, 16, 64, 128, 512, 2048), *, queries=32, keys=8, seed=0,
            title="Scores of wide vectors, and the slope that is left"):
    r"""Chapter 2: how steep the shares still are, query by query, as vectors get wider.

    Queries and keys are drawn with independent standard normal features. The slope by the scores
    is the Frobenius norm of the softmax's Jacobian, that by the query also counts what a step of
    the query does to the scores.

    Args:
        widths: the :math:`d_k` to choose from, ascending.
        queries, keys: how many are drawn for each width.
        seed: of the draw.
        title: the figure's heading.

    Returns:
        `Play`.

    Raises:
        TypeError: if a number is not whole.
        ValueError: if one is below 1, or fewer than two keys are asked for.

    >>> scaling((4, 64), queries=3)
    Figure to play with: Scores of wide vectors, and the slope that is left
    """
    for name, number, least in [*(("widths", d, 1) for d in widths), ("queries", queries, 1),
                                ("keys", keys, 2)]:
        whole_number(name, number, least)
    rng = np.random.default_rng(seed)
    drawn = []
    for d in widths:
        key, query = rng.normal(size=(keys, d)), rng.normal(size=(queries, d))
        dots, gram = ((x[:, None] * key).sum(-1).round(2) for x in (query, key))
        drawn.append(dict(d=d, dots=dots, gram=gram))  # (queries, keys), (keys, keys)

    def case(dots, gram, scale):
        weights = softmax(dots * scale)  # (queries, keys)
        others = (weights[:, None] * ~np.eye(dots.shape[-1], dtype=bool)).sum(-1)  # 1 - weights
        jacobian = -weights[:, :, None] * weights[:, None]
        at = np.arange(dots.shape[-1])
        jacobian[:, at, at] = weights * others
        by_query = np.einsum("qij,jk,qik->q", jacobian, gram, jacobian)  # |J K|²
        return dict(input=dict(dots=dots, gram=gram, scale=scale),
                    expect=dict(weights=weights, by_scores=np.sqrt((jacobian ** 2).sum((1, 2))),
                                by_query=scale * np.sqrt(np.maximum(by_query, 0))))

    powers = (0.0, 0.5, 1.0) * len(drawn)
    tried = [case(w["dots"][:2], w["gram"], round(w["d"] ** -power, DIGITS))
             for w, power in zip(drawn, powers, strict=False)]
    hard = np.array([[0, 0, 0.0], [9, 9, -9], [800, 0, -800]])  # a tie, a tie of two, underflow
    return Play("scaling", title=title, drawn=drawn, state=dict(at=len(widths) // 2, power=0.0,
                                                               by="scores", query=queries // 2),
                cases=[*tried, case(hard, np.eye(3), 1.0)])


def temperature(scores, names, *, title="Scores, temperature, shares"):
    """Chapter 3: what scores, a temperature, a shift and a factor do to the shares.

    Args:
        scores: ``(n,)``, real; where they begin, between -4 and 4.
        names: n words.
        title: the figure's heading.

    Returns:
        `Play`.

    Raises:
        ValueError: if a shape does not fit, a number is NaN or infinite, or n is 0 or above 24.

    >>> temperature([2.0, 0.0, -1.0], ["cat", "sat", "mat"])
    Figure to play with: Scores, temperature, shares
    """
    names = _names(names)
    scores = _numbers("scores", scores, (len(names),))
    hidden = np.where(np.arange(len(scores)) < 2, -np.inf, scores)
    tried = [(scores, 1.0, 0.0, 1.0), (scores, 0.05, 0.0, 1.0), (scores, 32.0, 0.0, 1.0),
             (scores, 1.0, 300.0, 1.0), (scores, 2.0, -7.0, 4.0), (0 * scores, 1.0, 0.0, 1.0),
             (hidden, 1.0, 0.0, 1.0), (np.full_like(scores, -np.inf), 1.0, 3.0, 1.0)]

    def case(scores, temperature, shift, scale):
        weights = softmax((scores * scale + shift) / temperature)
        return dict(input=dict(scores=scores, temperature=temperature, shift=shift, scale=scale),
                    expect=dict(weights=weights, entropy=entropy(weights[None])[0],
                                effective=effective_keys(weights[None])[0]))

    return Play("temperature", title=title, names=names,
                state=dict(scores=scores, temperature=1.0, shift=0.0, scale=1.0),
                cases=[case(*setting) for setting in tried])


def masks(presets, names, *, given=None, start=None, here=(0, 0), layers=3, title="Paint a mask"):
    """Chapter 4: paint who may attend to whom in each layer, and see what can arrive.

    Args:
        presets: ``{name: mask}``, each boolean ``(n, n)``, True = may attend.
        names: n words.
        given: ``{name: number}``, how many first words of a preset are a prefix that all may see;
            0 where it is not named.
        start: the preset to begin with; the first if not given.
        here: the cell to begin at, (query, key).
        layers: how many layers there are to paint in.
        title: the figure's heading.

    Returns:
        `Play`.

    Raises:
        TypeError: if a mask is not boolean.
        ValueError: if a shape does not fit, there is no preset, ``start`` is none of them, or n
            is 0 or above 24.

    >>> masks({"causal": causal_mask(3)}, ["the", "cat", "sat"])
    Figure to play with: Paint a mask
    """
    names, given = _names(names), given or {}
    n = len(names)
    for name, mask in presets.items():
        if np.asarray(mask).dtype != bool:
            raise TypeError(f"the mask {name!r} must be boolean (True = may attend), got "
                            f"{np.asarray(mask).dtype}")
        if np.shape(mask) != (n, n):
            raise ValueError(f"the mask {name!r} must be ({n}, {n}) for {n} names, got "
                             f"{np.shape(mask)}")
    if not presets:
        raise ValueError("presets must have at least one mask, got none")
    start = next(iter(presets)) if start is None else start
    if start not in presets:
        raise ValueError(f"start must be one of {', '.join(presets)}, got {start!r}")

    def case(stack):
        return dict(input=dict(layers=[rows(mask) for mask in stack]),
                    expect=dict(reach=rows(reachable(stack)),
                                pairs=[int(mask.sum()) for mask in stack],
                                empty=[int((~mask.any(1)).sum()) for mask in stack]))

    every = [np.asarray(mask) for mask in presets.values()]
    nothing = np.zeros((n, n), dtype=bool)
    stacks = [[mask] * deep for mask in every for deep in (1, 3)] + [every[:3], [nothing]]
    shown = {name: dict(rows=rows(mask), given=given.get(name, 0))
             for name, mask in presets.items()}
    return Play("masks", title=title, names=names, presets=shown,
                state=dict(layers=[shown[start]["rows"]] * layers, depth=1, paint="all",
                           judge=True, given=given.get(start, 0), preset=start, here=here),
                cases=[case(stack) for stack in stacks])


def rotary(query, key, *, trained=16, longest=128, base=10000.0,
           title="Rotary positions: clocks, and the angle between their hands"):
    r"""Chapter 5: a clock for each pair of features; its two hands are the query's and the key's.

    Moved together, both hands turn and the angle between them stays: the score depends on the
    distance alone. The arc in a clock holds the angles that distances below ``trained`` make.

    Args:
        query, key: ``(dim,)``, real; dim even, 4 to 16.
        trained: length of the sequences whose angles count as seen.
        longest: the last position that can be chosen.
        base: where the base begins, between 10 and 1e6.
        title: the figure's heading.

    Returns:
        `Play`.

    Raises:
        TypeError: if a length is not a whole number.
        ValueError: if a shape does not fit or a number is out of range.

    >>> rotary(np.ones(8), np.ones(8))
    Figure to play with: Rotary positions: clocks, and the angle between their hands
    """
    whole_number("trained", trained, 1)
    whole_number("longest", longest, 1)
    dim = np.size(query)
    if dim not in range(4, 17, 2):
        raise ValueError(f"query must have an even number of features from 4 to 16, got {dim}")
    if not 10 <= base <= 1e6:
        raise ValueError(f"base must lie between 10 and 1e6, got {base!r}")
    query, key = (_numbers(name, x, (dim,)) for name, x in dict(query=query, key=key).items())

    def case(m, n, base):
        turned = rotate(np.stack((query, key))[:, None], np.array([[m], [n]]), base)  # (2, 1, dim)
        (q,), (k,) = turned
        return dict(input=dict(query=query, key=key, m=m, n=n, base=base),
                    expect=dict(query=q, key=k, score=q @ k,
                                shares=(q * k).reshape(-1, 2).sum(1)))

    places = [(0, 0), (5, 2), (105, 102), (2, 5), (longest, 0), (0, longest), (7, 7)]
    return Play("rotary", title=title, query=query, key=key, trained=trained, longest=longest,
                state=dict(m=9, n=6, base=float(base), together=True),
                cases=[case(m, n, b) for b in (float(base), 10.0, 1e6) for m, n in places])


def heads(n=3, d=8, *, heads=2, title="Splitting and merging heads"):
    """Chapter 6: where each number goes when heads are split and merged, rightly and wrongly.

    Args:
        n: number of words, 1 to 6.
        d: width of a word's vector, a multiple of 4, at most 12.
        heads: how many heads to begin with: 1, 2 or 4.
        title: the figure's heading.

    Returns:
        `Play`.

    Raises:
        TypeError: if a number is not whole.
        ValueError: if one is out of range.

    >>> heads()
    Figure to play with: Splitting and merging heads
    """
    whole_number("n", n, 1)
    if n > 6 or d not in (4, 8, 12) or heads not in (1, 2, 4):
        raise ValueError("n is at most 6, d one of 4, 8, 12 and heads one of 1, 2, 4, got "
                         f"n {n}, d {d}, heads {heads}")

    def case(n, d, heads, path):
        x = np.arange(n * d).reshape(n, d)
        shape = (heads, n, d // heads)
        split = x.reshape(shape) if path == "split by reshape" else split_heads(x, heads)
        straight = path == "right"
        merged = merge_heads(split) if straight else split.reshape(n, d)
        return dict(input=dict(n=n, d=d, heads=heads, path=path),
                    expect=dict(split=split, merged=merged))

    return Play("heads", title=title, d=d,
                state=dict(n=n, heads=heads, path="right", step=0, here=0),
                cases=[case(words, d, h, path) for words in {1, n, 4} for h in (1, 2, 4)
                       for path in ("right", "split by reshape", "merge by reshape")])


def reach(n=32, *, long=8192, window=4, depth=3, globals=0, title="What can reach an output"):
    """Chapter 7: window, gap, global words and depth; what arrives, and what it costs.

    Args:
        n: number of words that are drawn, 8 to 48.
        long: a longer text, of which only the number of pairs is shown.
        window, depth: how many keys a query sees, and how many layers there are, to begin with.
        globals: how many first words all see and see all, to begin with.
        title: the figure's heading.

    Returns:
        `Play`.

    Raises:
        TypeError: if a number is not whole.
        ValueError: if ``n`` is out of range, or another number is too small.

    >>> reach()
    Figure to play with: What can reach an output
    """
    for name, number in dict(n=n, long=long, window=window, depth=depth).items():
        whole_number(name, number, 1)
    whole_number("globals", globals, 0)
    if not 8 <= n <= 48:
        raise ValueError(f"n must lie between 8 and 48, got {n}")

    def mask(causal, window, gap, globals):
        band = window_mask(n, window=(window - 1) * gap + 1, causal=causal)
        back = np.arange(n)[:, None] - np.arange(n)
        mask = band & (back % gap == 0)
        mask[:, :globals] = True
        if causal:
            return mask & causal_mask(n)
        mask[:globals] = True
        return mask

    def case(depth, grow=False, **kind):
        gaps = [2 ** layer if grow else kind["gap"] for layer in range(depth)]
        stack = [mask(**kind | dict(gap=gap)) for gap in gaps]
        return dict(input=dict(n=n, depth=depth, grow=grow, **kind),
                    expect=dict(reach=rows(reachable(stack)),
                                pairs=[int(mask.sum()) for mask in stack],
                                counted=int(sum(mask.sum() for mask in stack))))

    kinds = [dict(depth=3, causal=True, window=4, gap=1, globals=0),
             dict(depth=1, causal=True, window=1, gap=1, globals=0),
             dict(depth=2, causal=True, window=4, gap=4, globals=1),
             dict(depth=2, causal=False, window=3, gap=2, globals=2),
             dict(depth=3, causal=True, window=3, gap=1, globals=0, grow=True),
             dict(depth=8, causal=False, window=2, gap=8, globals=0)]
    return Play("reach", title=title, n=n, long=long,
                state=dict(causal=True, window=window, gap=1, globals=globals, depth=depth,
                           grow=False, output=n - 1),
                cases=[case(**kind) for kind in kinds])


def chunks(scores, values, *, cuts=(4, 8), title="Chunks, merged by their log-sum-exp"):
    """Chapters 3 and 8: keys in chunks, each with its own softmax, merged into the whole.

    Args:
        scores: ``(n,)``, real; where they begin, between -4 and 4.
        values: ``(n,)``, real, between -1 and 1: what each key has to give.
        cuts: where a new chunk begins; ascending, each from 0 to n (two alike: an empty chunk).
        title: the figure's heading.

    Returns:
        `Play`.

    Raises:
        ValueError: if a shape does not fit, a number is NaN or infinite, n is 0 or above 24, or
            the cuts do not ascend.

    >>> chunks([1.0, 0.0, -1.0], [0.5, -0.5, 1.0], cuts=(1, 2))
    Figure to play with: Chunks, merged by their log-sum-exp
    """
    n = _fitting(scores)
    scores, values = (_numbers(name, x, (n,)) for name, x in
                      dict(scores=scores, values=values).items())
    if list(cuts) != sorted(cuts) or not all(0 <= cut <= n for cut in cuts):
        raise ValueError(f"cuts must ascend from 0 to {n}, got {tuple(cuts)}")

    def case(scores, cuts):
        edges = [0, *cuts, n]
        query = np.ones((1, 1))
        parts = [partial_attention(query, scores[a:b, None], values[a:b, None], scale=1.0,
                                   mask=scores[a:b] > -np.inf)
                 for a, b in zip(edges, edges[1:], strict=False)]
        merged = parts[0]
        for part in parts[1:]:
            merged = merge_partials(*merged, *part)
        return dict(input=dict(scores=scores, values=values, cuts=cuts),
                    expect=dict(outputs=[output[0, 0] for output, _ in parts],
                                lses=[lse[0] for _, lse in parts],
                                output=merged[0][0, 0], lse=merged[1][0]))

    hidden = np.where(np.arange(n) < n // 2, -np.inf, scores)
    tried = [(scores, cuts), (scores + 300, cuts), (scores, [0] * len(cuts)),
             (scores, [n] * len(cuts)), (hidden, cuts), (np.full(n, -np.inf), cuts),
             (0 * scores, cuts)]
    return Play("chunks", title=title, state=dict(scores=scores, values=values, cuts=list(cuts),
                                                  shift=0, forget=False),
                cases=[case(np.asarray(s, dtype=float), list(c)) for s, c in tried])


def selection(scores, *, chunk=4, top=1, window=2,
              title="A mean says where to look, selection looks"):
    """Chapter 8: what a chunk's mean hides, and what comes back when its keys are looked at.

    The query stands at the last key. Its shares are those of full attention, of hierarchical and
    of selected attention, key by key.

    Args:
        scores: ``(n,)``, real; where they begin, between -4 and 4.
        chunk: keys in a chunk, to begin with.
        top: how many chunks the query chooses, to begin with.
        window: how many keys it sees in any case, its own included, to begin with.
        title: the figure's heading.

    Returns:
        `Play`.

    Raises:
        ModuleNotFoundError: without torch.
        TypeError: if a number is not whole.
        ValueError: if a shape does not fit, a number is NaN or infinite, n is 0 or above 24, or
            another number is below 1.

    >>> selection([0.0, 3.0, 0.5, 0.0, 0.0, 1.0], chunk=2)
    Figure to play with: A mean says where to look, selection looks
    """
    from .. import hierarchical_attention, selected_attention
    n = _fitting(scores)
    for name, number in dict(chunk=chunk, top=top, window=window).items():
        whole_number(name, number, 1)
    scores = _numbers("scores", scores, (n,))

    def case(scores, chunk, top, window):
        import torch
        query, key = torch.ones(1, 1, dtype=torch.float64), torch.tensor(scores)[:, None]
        value = torch.eye(n, dtype=torch.float64)  # so that the output is the weights
        return dict(input=dict(scores=scores, chunk=chunk, top=top, window=window), expect=dict(
            full=attention_weights(query.numpy(), key.numpy(), scale=1.0)[0],
            means=hierarchical_attention(query, key, value, chunk=chunk, causal=True)[0].numpy(),
            chosen=selected_attention(query, key, value, chunk=chunk, top=top,
                                      window=window)[0].numpy()))

    half = max(n // 2, 1)
    tried = [(scores, chunk, top, window), (scores, 1, 1, 1), (scores, half, 4, half),
             (scores, 5, 2, 1), (scores, n, 1, 1), (20 * scores, chunk, top, window),
             (-scores, 3, 4, 3), (0 * scores, chunk, n, n)]
    return Play("selection", title=title, state=dict(scores=scores, chunk=chunk, top=top,
                                                     window=window),
                cases=[case(*one) for one in tried])


def tiles(n=16, d=4, *, rows=4, columns=4, title="Attention in tiles, and what travels"):
    """Chapter 8: exact attention tile by tile, and the numbers that are loaded and stored.

    What is expected is counted while `partial_attention` and `merge_partials` run over the tiles.

    Args:
        n: number of queries, and of keys, 2 to 32.
        d: width of queries, keys and values.
        rows, columns: queries and keys in a tile, to begin with.
        title: the figure's heading.

    Returns:
        `Play`.

    Raises:
        TypeError: if a number is not whole.
        ValueError: if ``n`` is out of range, or another number is too small.

    >>> tiles()
    Figure to play with: Attention in tiles, and what travels
    """
    for name, number in dict(n=n, d=d, rows=rows, columns=columns).items():
        whole_number(name, number, 1)
    if not 2 <= n <= 32:
        raise ValueError(f"n must lie between 2 and 32, got {n}")
    tried = [(n, d, rows, columns), (n, d, n, n), (6, 3, 1, 1), (7, 2, 3, 2), (7, 2, 2, 5)]
    return Play("tiles", title=title, n=n, d=d,
                state=dict(rows=rows, columns=columns, stay="queries", step=0),
                cases=[dict(input=dict(n=m, d=e, rows=r, columns=c, stay=stay),
                            expect=_travelling(m, e, r, c, stay)[0])
                       for m, e, r, c in tried for stay in ("queries", "keys")])


def _travelling(n, d, rows, columns, stay):
    """Attention over random inputs, tile by tile, with every number counted that travels.

    Args:
        n, d: of the inputs, which are ``(n, d)``.
        rows, columns: queries and keys in a tile.
        stay: what stays in the fast memory while the other passes, "queries" or "keys".

    Returns:
        The counts, a dict: ``loads`` and ``stores`` up to each tile, ``held`` at most at once,
        ``plain``, the loads and stores of attention that keeps its scores. And how far the
        outputs are from those of attention at most.

    >>> _travelling(4, 2, 2, 4, "queries")[0]["loads"]
    [20, 40]
    """
    query, key, value = np.random.default_rng(8).normal(size=(3, n, d))
    output, lse = np.zeros((n, d)), np.full(n, -np.inf)
    loads, stores, loaded, stored, held = [], [], 0, 0, 0

    def load(*parts):
        nonlocal loaded
        loaded += sum(part.size for part in parts)
        return [part.copy() for part in parts]

    def store(*pairs):
        nonlocal stored
        for target, part in pairs:
            target[:] = part
            stored += part.size

    down, across = (([slice(i, min(i + size, n)) for i in range(0, n, size)])
                    for size in (rows, columns))
    for outer in down if stay == "queries" else across:
        if stay == "queries":
            q, = load(query[outer])
            so_far = np.zeros_like(q), np.full(len(q), -np.inf)
        else:
            k, v = load(key[outer], value[outer])
        for inner in across if stay == "queries" else down:
            r, c = (outer, inner) if stay == "queries" else (inner, outer)
            if stay == "queries":
                k, v = load(key[c], value[c])
            else:
                q, = load(query[r])
                so_far = load(output[r], lse[r]) if c.start else (np.zeros_like(q),
                                                                  np.full(len(q), -np.inf))
            so_far = merge_partials(*so_far, *partial_attention(q, k, v))
            held = max(held, q.size + k.size + v.size + len(q) * len(k)
                       + so_far[0].size + so_far[1].size)
            if stay == "keys" or c.stop == n:
                store((output[r], so_far[0]), (lse[r], so_far[1]))
            loads.append(loaded)
            stores.append(stored)
    plain = [3 * n * d + 2 * n * n, n * d + 2 * n * n]  # Q, K, scores, shares, V; scores, shares, O
    apart = float(np.abs(output - attention(query, key, value)).max())
    return dict(loads=loads, stores=stores, held=held, plain=plain), apart


def compare(function, *, title="Your softmax beside attnlib's"):
    """Your own softmax beside attnlib's, over a grid of three scores.

    It is computed here, in Python, for every place of the grid; the page only shows it.

    Args:
        function: takes scores ``(3,)``, a numpy array, and returns three shares; one that also
            needs an axis gets 0. Whatever it raises or returns is shown.
        title: the figure's heading.

    Returns:
        `Play`.

    Raises:
        TypeError: if ``function`` cannot be called.

    >>> compare(lambda scores: np.exp(scores) / np.exp(scores).sum())
    Figure to play with: Your softmax beside attnlib's
    """
    if not callable(function):
        raise TypeError(f"function must be a function of three scores, got {function!r}")
    steps = np.arange(-4.0, 5.0)
    shifts = (0.0, 100.0, 1000.0)
    more = (0,) if _needs_two(function) else ()

    def yours(scores):
        try:
            with np.errstate(all="ignore"):
                shares = function(scores.copy(), *more)
                if shares is None:
                    return "None: it returns nothing yet"
                shares = np.asarray(shares, dtype=float)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        if shares.shape != (3,):
            return f"shape {shares.shape} instead of (3,)"
        return ["NaN" if np.isnan(share) else share for share in shares.tolist()]

    grid = [[a + shift, b + shift, shift] for shift in shifts for a in steps for b in steps]
    grid = np.array(grid)
    return Play("compare", title=title, steps=steps, shifts=list(shifts),
                yours=[yours(scores) for scores in grid],
                state=dict(a=6, b=2, shift=0),
                cases=[dict(input=dict(scores=scores), expect=dict(weights=softmax(scores)))
                       for scores in grid[::7]])


def _needs_two(function):
    """Whether a function cannot be called with one argument."""
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return True
    except ValueError:  # some builtins do not say
        return False
    return False


def _names(names):
    """The words of a figure, as text."""
    names = [str(name) for name in names]
    if not 1 <= len(names) <= MOST_WORDS:
        raise ValueError(f"from 1 to {MOST_WORDS} words fit into the figure, got {len(names)}")
    return names


def _fitting(scores):
    """How many scores there are."""
    n = np.size(scores)
    if not 1 <= n <= MOST_WORDS:
        raise ValueError(f"from 1 to {MOST_WORDS} scores fit into the figure, got {n}")
    return n


def _numbers(name, x, shape):
    """Real finite numbers of the given shape, rounded as they will be stored."""
    x = np.asarray(x, dtype=float)
    if x.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, got {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite numbers, got {x[~np.isfinite(x)].flat[0]}")
    return x.round(DIGITS)
