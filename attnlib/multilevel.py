"""Chapter 8: attention over long sequences: local, chunked, hierarchical, selected, ring.

`attention` compares every query with every key at once. Here the same definitions, or coarser ones
(`hierarchical_attention`, `selected_attention`), are reached in pieces: a band cut into blocks,
partial results merged as they come, distant chunks seen through their means or looked up by them,
keys that travel between processes. All of it is torch. Leading axes broadcast, low precision
accumulates in float32 (under ``torch.autocast`` too), and query i stands at position
``n_k - n_q + i``, as everywhere. What is no number reaches the rows that meet it, as in
`attention`, and no other row nor a gradient of one.
"""

import functools
import itertools
import math

import numpy as np
import torch
import torch.distributed as dist
from array_api_compat import is_torch_array
from array_api_compat import torch as xp
from torch.nn.functional import pad

from .attention import (
    _check_inputs,
    _check_mask,
    _exponentials,
    _wide_dtype,
    merge_partials,
    own_precision,
    partial_attention,
)
from .masks import true_or_false, visible, whole_number

BLOCK = 32  # queries that share one window of keys in `local_attention`, or one chosen chunk
EDGE = 256  # queries that share their keys where the ends of the sequence cut the windows
SCORES = 2**19  # scores computed at once: what stays near the cores, and few calls
ROWS = 2**14  # queries or keys, of all heads, made ready at once
LN2 = math.log(2)  # nats in a bit: in pieces scores are in bits, exp2 being faster than exp


def local_attention(query, key, value, *, window, causal=False) -> torch.Tensor:
    """Attention to the nearest keys alone: exactly the band of ``window``, at linear cost.

    Args:
        query: ``(..., n_q, d_k)``, a real floating tensor.
        key: ``(..., n_k, d_k)``.
        value: ``(..., n_k, d_v)``.
        window: causal: the number of keys seen, the query's own included.
            Otherwise: keys at a distance below ``window`` are seen, on both sides.
        causal: a query sees no key after its own position.

    Returns:
        Output ``(..., n_q, d_v)``, as `attention` with the same arguments, in time and memory
        proportional to ``n_q * window``.

    Raises:
        TypeError, ValueError: as `attention`; ValueError if ``window`` is below 1.
        RuntimeError: if differentiated twice.

    Source: Beltagy et al. 2020, section 3.1 (sliding window).

    >>> x = torch.tensor([[1.0], [2.0], [4.0]])
    >>> local_attention(torch.zeros(3, 1), x, x, window=2, causal=True).mT
    tensor([[1.0000, 1.5000, 3.0000]])
    """
    whole_number("window", window, 1)
    true_or_false("causal", causal)
    three, dtype = _widened(query, key, value)
    tiles = functools.partial(_band_tiles, window=window, causal=causal)
    output, _ = _Pieces.apply(*three, None, tiles, _scale(query))
    return output.to(dtype)


def chunked_attention(query, key, value, *, causal=False, mask=None, query_chunk=1024,
                      key_chunk=512) -> torch.Tensor:
    """Exact attention that never holds more than one block of scores, forward or backward.

    A block of queries merges what it finds in one block of keys after another (the online
    softmax). The backward pass computes the blocks again: memory stays linear in the length.

    Args:
        query: ``(..., n_q, d_k)``, a real floating tensor.
        key: ``(..., n_k, d_k)``.
        value: ``(..., n_k, d_v)``.
        causal: a query sees no key after its own position; blocks wholly hidden are skipped.
        mask: boolean, **True = may attend**, broadcastable to ``(..., n_q, n_k)``.
        query_chunk, key_chunk: queries and keys in a block. They change speed, not results.

    Returns:
        Output ``(..., n_q, d_v)``, as `attention` with the same arguments.

    Raises:
        TypeError, ValueError: as `attention`; ValueError if a chunk is below 1.
        RuntimeError: if differentiated twice.

    Source: Rabe and Staats 2021; backward: Dao 2023, section 3.1 and algorithm 2.

    >>> x = torch.tensor([[1.0], [2.0], [6.0]])
    >>> chunked_attention(torch.zeros(3, 1), x, x, query_chunk=2, key_chunk=1).mT
    tensor([[3., 3., 3.]])
    """
    whole_number("query_chunk", query_chunk, 1)
    whole_number("key_chunk", key_chunk, 1)
    true_or_false("causal", causal)
    three, dtype = _widened(query, key, value)
    if mask is not None:
        shape = (*three[0].shape[:-1], key.shape[-2])  # (..., n_q, n_k)
        mask = _check_mask(xp, query, mask, shape).expand(shape)  # a view: no memory
    tiles = functools.partial(_blocks, causal=causal, sizes=(query_chunk, key_chunk))
    output, _ = _Pieces.apply(*three, mask, tiles, _scale(query))
    return output.to(dtype)


def hierarchical_attention(query, key, value, *, chunk, causal=False) -> torch.Tensor:
    r"""Near keys one by one, distant ones through their chunk's mean, under one softmax.

    Positions are cut into chunks. A query sees each key of its own chunk, and each other chunk as
    one key and one value, their means, whose score is raised by the log of the chunk's size c: it
    then counts as c keys do, :math:`e^{s + \ln c} = c\,e^s`. This is not `attention` but an
    approximation of it, exact where keys and values are constant inside each chunk.

    Args:
        query: ``(..., n_q, d_k)``, a real floating tensor.
        key: ``(..., n_k, d_k)``.
        value: ``(..., n_k, d_v)``.
        chunk: keys in a chunk; the last chunk holds what is left, and counts as that many.
        causal: a query sees no later key of its own chunk, and only wholly earlier chunks.

    Returns:
        Output ``(..., n_q, d_v)``; time and memory grow with
        ``n_q * n_k / chunk + n_q * chunk``, least where ``chunk`` is near ``sqrt(n_k)``. A NaN or
        an infinity is in the mean of its chunk: all who may see the chunk meet it.

    Raises:
        TypeError, ValueError: as `attention`; ValueError if ``chunk`` is below 1.

    Source: Zhu and Soricut 2021 (means of keys and sums of values, with the sum of the weights
    counting them); under one softmax with near keys as in Yang et al. 2021.

    >>> x = torch.tensor([[0.0], [0.0], [2.0], [4.0]])
    >>> hierarchical_attention(torch.zeros(4, 1), x, x, chunk=2, causal=True).mT
    tensor([[0.0000, 0.0000, 0.6667, 1.5000]])
    """
    whole_number("chunk", chunk, 1)
    true_or_false("causal", causal)
    three, finish = _prepare(query, key, value)
    near = _own_chunk(*three, chunk, causal)
    far = _other_chunks(*three, chunk, causal)
    return finish(*merge_partials(*near, *far))


def selected_attention(query, key, value, *, chunk, top, window, causal=True) -> torch.Tensor:
    """Near keys, and of the chunks further away the few whose mean key scores best, key by key.

    Positions are cut into chunks. A query sees its window, and every key of the ``top`` chunks
    whose mean key has the largest score: what a mean hides comes back once its chunk is chosen.
    It chooses among the chunks that do not lie wholly in its window and are not its own (only
    wholly earlier ones when causal); where there are fewer than ``top``, it sees them all. A key
    that is both near and chosen counts once. The choice itself has no gradient.

    Args:
        query: ``(..., n_q, d_k)``, a real floating tensor.
        key: ``(..., n_k, d_k)``.
        value: ``(..., n_k, d_v)``.
        chunk: keys in a chunk; the last chunk holds what is left.
        top: number of chunks that each query chooses.
        window: as in `local_attention`.
        causal: a query sees no key after its own position. True if not given.

    Returns:
        Output ``(..., n_q, d_v)``: `attention` over the keys seen. Time and memory grow with
        ``n_q * (n_k / chunk + window + top * chunk)``. A NaN or an infinity in a key makes its
        chunk the first choice of all who may choose it.

    Raises:
        TypeError, ValueError: as `attention`; ValueError if ``chunk``, ``top`` or ``window`` is
            below 1.
        RuntimeError: if differentiated twice.

    Source: Yuan et al. 2025 (Native Sparse Attention), section 3.3.2, with means for its learned
    summaries and a choice for each head by itself; Lu et al. 2025 (MoBA), section 2.2.

    >>> x = torch.tensor([[9.0], [0.0], [0.0], [0.0], [0.0]])
    >>> selected_attention(torch.ones(5, 1), x, x, chunk=1, top=1, window=1)[-1]
    tensor([8.9989])
    """
    for name, number in dict(chunk=chunk, top=top, window=window).items():
        whole_number(name, number, 1)
    true_or_false("causal", causal)
    three, finish = _prepare(query, key, value)
    tiles = functools.partial(_band_tiles, window=window, causal=causal)
    near = _Pieces.apply(*three, None, tiles, 1.0)
    far = _chosen_chunks(*three, chunk, top, window, causal)
    return finish(*functools.reduce(lambda a, b: merge_partials(*a, *b), far, near))


def ring_attention(query, key, value, *, causal=False, group=None) -> torch.Tensor:
    """Exact attention over a sequence of which each process holds a slice.

    Keys and values travel: each process looks at the slice visiting it, merges what it finds, and
    passes the slice on, until every slice has visited every rank. Every rank of the group must
    call it, and ``backward`` if one of them does: gradients travel the same way.

    Without ``causal`` it does not matter who holds what. With ``causal``, each rank must hold the
    positions that `zigzag_positions` deals to it, an early piece and a late one: then all ranks
    have the same work at every step. If each held a run of neighbours, the last would work on
    every slice while the first waits.

    Args:
        query: ``(..., n_q, d_k)``, this rank's queries, a real floating tensor.
        key: ``(..., n_k, d_k)``, this rank's keys. Lengths may differ from rank to rank, unless
            causal; leading axes, widths and dtypes may not.
        value: ``(..., n_k, d_v)``, this rank's values.
        causal: a query sees no key after its own position.
        group: a process group of torch.distributed; all processes if not given.

    Returns:
        Output ``(..., n_q, d_v)``: this rank's rows of attention over all ranks' keys.

    Raises:
        TypeError, ValueError: as `attention`; ValueError if the ranks' slices do not fit
            together, or if torch.distributed has not been initialised.
        RuntimeError: if differentiated twice.

    Source: Liu et al. 2023, algorithm 1 (sends after computing, not meanwhile).

    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    >>> ring_attention(torch.zeros(1, 2), torch.ones(4, 2), torch.ones(4, 1))
    tensor([[1.]])
    >>> dist.destroy_process_group()
    """
    if not dist.is_initialized():
        raise ValueError("ring_attention needs torch.distributed.init_process_group first; "
                         "torchrun starts the processes")
    true_or_false("causal", causal)
    three, dtype = _widened(query, key, value)
    lengths = _lengths_by_rank(*three, causal, group)
    output, _ = _Ring.apply(*three, lengths, causal, group)
    return output.to(dtype)


def zigzag_positions(n, ranks) -> np.ndarray:
    """Which positions each rank of a causal ring holds: an early piece and a late one.

    The sequence is cut into twice as many pieces as there are ranks; rank r holds the pieces r
    and ``2 * ranks - 1 - r``. A query at the end sees all the keys and one at the start hardly
    any: so dealt, each rank's queries see as many keys, at every step of the ring.

    Args:
        n: length of the whole sequence; a multiple of ``2 * ranks``.
        ranks: number of processes.

    Returns:
        Whole-number numpy array ``(ranks, n / ranks)``, in positions. Rank r gives its
        rows, ``x[..., zigzag_positions(n, ranks)[r], :]``, to `ring_attention`, and to `rotate`
        its positions.

    Raises:
        TypeError, ValueError: if a number is not a whole one of at least 0 (``ranks`` 1), or
            ``2 * ranks`` does not divide ``n``.

    Source: Grattafiori et al. 2024, section 3.3.2 (context parallelism).

    >>> zigzag_positions(8, 2)
    array([[0, 1, 6, 7],
           [2, 3, 4, 5]])
    """
    whole_number("n", n, 0)
    whole_number("ranks", ranks, 1)
    if n % (2 * ranks):
        raise ValueError(f"n must be a multiple of 2 * ranks, got n {n} and ranks {ranks}")
    pieces = np.arange(n).reshape(2 * ranks, -1)
    return np.concatenate((pieces[:ranks], pieces[:ranks - 1:-1]), axis=1)


# What they share.

BROKEN = 2.0**110  # what a key that is not all numbers scores: more than any other


def _prepare(query, key, value):
    """Validate, and give what is no number a form in which it harms nobody.

    Returns:
        three: as `_sealed` makes them, with all leading axes, in float32 or wider.
        finish: takes output ``(..., n_q, d_v + 1)`` and log-sum-exp ``(..., n_q)``; returns the
            output, in the dtype of the inputs, with NaN in the rows that met what is broken.
    """
    three, dtype = _widened(query, key, value)
    return _sealed(*three), functools.partial(_opened, three[0], dtype)


def _widened(query, key, value):
    """Validate; return the three with all leading axes, wide enough to add up in, and the dtype."""
    _check_inputs(query=query, key=key, value=value)
    if not is_torch_array(query):
        raise TypeError("query, key and value must be torch tensors, "
                        f"got {type(query).__module__}.{type(query).__name__}")
    three = query, key, value
    lead = torch.broadcast_shapes(*(x.shape[:-2] for x in three))
    wide = _wide_dtype(xp, *three)
    return [x.to(wide).expand(*lead, *x.shape[-2:]) for x in three], xp.result_type(*three)


def _scale(query):
    return 1 / math.sqrt(max(query.shape[-1], 1))


def _sealed(query, key, value):
    """All numbers, and one feature more: query (..., n_q, d_k + 1), key and value likewise.

    By it a broken key scores above all others, and a value tells whether it or its key is broken.
    The query is scaled.
    """
    no_key, no_value = (~_rows_of_numbers(x) for x in (key, value))
    one = query.new_ones(*query.shape[:-1], 1)
    columns = one, torch.where(no_key, BROKEN, 0.0), no_key | no_value
    return [torch.cat((_numbers(x), column.to(x)), dim=-1)
            for x, column in zip((query * _scale(query), key, value), columns, strict=True)]


def _opened(query, dtype, output, lse):
    """The output, NaN in the rows that gave weight to a broken value, or whose query is broken."""
    broken = (output[..., -1:] > 0) | (lse > -math.inf)[..., None] & ~_rows_of_numbers(query)
    return torch.where(broken, math.nan, output[..., :-1]).to(dtype)


def _rows_of_numbers(x):
    """Which rows have neither a NaN nor an infinity, ``(..., n, 1)``: one product tells.

    Times 2^-100, no sum of numbers overflows.
    """
    with own_precision(x):
        return (x @ x.new_full((x.shape[-1], 1), 2.0**-100)).isfinite()


def _marked(x, times=1):
    """x times a number, and NaN all along a row that is not all numbers."""
    return torch.add(torch.where(_rows_of_numbers(x), 0.0, math.nan).to(x), x, alpha=times)


def _numbers(x):
    """x with 0 for each NaN and infinity."""
    return x.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


class _Pieces(torch.autograd.Function):
    """Attention a tile of scores at a time; the backward pass computes the tiles again.

    ``tiles(queries, keys, mask)`` takes some heads and yields what is computed at once: views
    ``(batch, rows, ...)`` of all tensors ``(heads, n_q, ...)`` in queries, views
    ``(batch, columns, ...)`` of those in keys, and the limit of the scores ``(rows, columns)``:
    inf where a key is seen, -inf where not, or None. Returns the output ``(..., n_q, d_v)`` and the
    log-sum-exp ``(..., n_q)``; in a row that met what is no number, NaN.
    """

    @staticmethod
    def forward(query, key, value, mask, tiles, scale):
        output = query.new_empty(*query.shape[:-1], value.shape[-1])
        lse = query.new_empty(query.shape[:-1])
        results = output, lse[..., None]
        with own_precision(query):
            for (q, *parts), (k, v), seen in _heads((query, *results), (key, value), mask):
                found = _nothing(q, v)
                _look(q, k, v, found, seen, tiles, scale)
                for part, result in zip(parts, _result(*found), strict=True):
                    part.copy_(result)
        return output, lse

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        *tensors, ctx.tiles, ctx.scale = inputs
        ctx.save_for_backward(*tensors, *outputs)

    @staticmethod
    def backward(ctx, *grads):
        how = ctx.tiles, ctx.scale
        return *_PiecesBackward.apply(*ctx.saved_tensors, *grads, *how), None, None, None

    @staticmethod
    def vmap(info, in_dims, *inputs):
        return _Pieces.apply(*_leading(info, in_dims, inputs)), (0, 0)


class _PiecesBackward(torch.autograd.Function):
    """The gradients of `_Pieces`. They cannot be differentiated: that would take another pass."""

    @staticmethod
    def forward(query, key, value, mask, output, lse, grad_output, grad_lse, tiles, scale):
        grads = [x.new_zeros(x.shape) for x in (query, key, value)]
        _add_gradients((query, key, value), grads, (output, lse, grad_output, grad_lse), mask,
                       tiles, scale)
        return tuple(grads)

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        pass

    @staticmethod
    def backward(ctx, *_):
        raise RuntimeError("attention in pieces can be differentiated once, not twice: local_, "
                           "chunked_, selected_ and ring_attention have no second derivative")

    @staticmethod
    def vmap(info, in_dims, *inputs):
        return _PiecesBackward.apply(*_leading(info, in_dims, inputs)), (0, 0, 0)


def _leading(info, in_dims, inputs):
    """For `torch.vmap`: its axis as the first of the leading axes, in every tensor."""
    for x, dim in zip(inputs, in_dims):
        if isinstance(x, torch.Tensor):
            x = x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
        yield x


def _heads(queries, keys, mask):
    """All tensors as ``(heads, n, ...)``, of as many heads at once as have `ROWS` rows."""
    *lead, n_q, _ = queries[0].shape
    if mask is None or not lead:  # a mask may be a view, smaller than its shape: it stays one
        lead = [math.prod(lead)]
    queries, keys = ([x.reshape(*lead, *x.shape[-2:]) for x in tensors]
                     for tensors in (queries, keys))
    mask = None if mask is None else mask.reshape(*lead, *mask.shape[-2:])
    at_once = max(1, ROWS // max(1, n_q, keys[0].shape[-2]))
    for at in itertools.product(*map(range, lead[:-1]), _slices(lead[-1], at_once)):
        yield ([x[at] for x in queries], [x[at] for x in keys],
               None if mask is None else mask[at])


def _nothing(query, value):
    """What no key was seen by: what is added up, and the largest score (in bits)."""
    sums = query.new_zeros(*query.shape[:-1], value.shape[-1] + 2)  # (..., n_q, d_v + 2)
    return sums, query.new_full((*query.shape[:-1], 1), torch.finfo(query.dtype).min)


def _look(query, key, value, found, mask, tiles, scale):
    """Add to what was found what these keys tell: the online softmax, a tile at a time.

    A query or key that is not all numbers scores NaN. Such a value counts as 0; two features more
    tell how much weight such values have, and all values.
    """
    query, key = _marked(query, scale / LN2), _marked(key)
    broken = (~_rows_of_numbers(value)).to(value)  # (heads, n_k, 1)
    value = torch.cat((_numbers(value), broken, torch.ones_like(broken)), dim=-1)
    tiles = list(tiles((query, *found), (key, value), mask))
    room = _room(query, tiles)
    for (q, sums, top), (k, v), limit in tiles:
        scores = _limited(_product(q, k.mT, room), limit)  # (batch, rows, columns)
        higher = torch.maximum(top, scores.amax(dim=-1, keepdim=True))
        sums *= (top - higher).exp2_()
        top.copy_(higher)
        sums.baddbmm_(scores.sub_(higher).exp2_(), v)


def _result(sums, top):
    """Output and log-sum-exp ``(..., n_q, 1)`` from what was found."""
    broken, total = sums[..., -2:-1] > 0, sums[..., -1:]  # (..., n_q, 1)
    empty = total == 0
    output = sums[..., :-2] / torch.where(broken, math.nan, torch.where(empty, 1.0, total))
    return output, torch.where(empty, -math.inf, (top + total.log2()) * LN2)


def _add_gradients(three, grads, results, mask, tiles, scale):
    """Add to the gradients by query, key and value what comes of these keys."""
    query, key, value = three
    output, lse, grad_output, grad_lse = results
    by_query = query, output, grad_output, lse[..., None], grad_lse[..., None], grads[0]
    with own_precision(query):
        for queries, keys, seen in _heads(by_query, (key, value, *grads[1:]), mask):
            _add_gradients_of_heads(*queries, *keys, seen, tiles, scale)


def _add_gradients_of_heads(query, output, grad_output, lse, grad_lse, grad_query, key, value,
                            grad_key, grad_value, mask, tiles, scale):
    apart = output.isnan().any(dim=-1, keepdim=True) | ~lse.isfinite()  # NaN, or sees no key
    query, output, grad_output, grad_lse = (torch.where(apart, 0.0, x)
                                            for x in (query, output, grad_output, grad_lse))
    query *= scale / LN2
    lse = torch.where(apart, math.inf, lse / LN2)  # weights 0
    mean = (grad_output * output).sum(dim=-1, keepdim=True) - grad_lse
    tiles = list(tiles((query, lse, mean, grad_output, grad_query),
                       (_numbers(key), _numbers(value), grad_key, grad_value), mask, apart=True))
    rooms = _room(query, tiles), _room(query, tiles)
    for (q, log_sum, middle, grad, grad_q), (k, v, grad_k, grad_v), limit in tiles:
        weights = _limited(_product(q, k.mT, rooms[0]), limit).sub_(log_sum).exp2_()
        grad_scores = _product(grad, v.mT, rooms[1]).sub_(middle).mul_(weights)
        grad_q.add_(grad_scores @ k, alpha=scale)
        grad_k.add_(grad_scores.mT @ q, alpha=LN2)
        grad_v += weights.mT @ grad


def _room(like, tiles):
    """Memory for the scores of any of the tiles: new memory for each costs as much as a product."""
    sizes = [q[0].shape[0] * q[0].shape[1] * k[0].shape[1] for q, k, _ in tiles]
    return like.new_empty(max([0, *sizes]))


def _product(a, b, room):
    shape = *a.shape[:2], b.shape[2]
    return torch.bmm(a, b, out=room[:math.prod(shape)].view(shape))


def _limited(scores, limit):
    """Scores, -inf where the limit is; even where they are inf - inf, which is no number."""
    if limit is None:
        return scores
    scores.nan_to_num_(nan=math.inf, posinf=math.inf, neginf=-math.inf)
    return torch.minimum(scores, limit, out=scores)


def _limit(seen, like):
    """The most that a score may be: inf where the key is seen, -inf where it is not."""
    return torch.where(seen, math.inf, -math.inf).to(like)


def _at_once(rows, columns):
    """How many tiles of this size are computed at once."""
    return max(1, SCORES // (rows * columns))


# local_attention


def _band_tiles(queries, keys, mask, apart=False, *, window, causal):
    """Blocks of queries, each with its own window of keys, some blocks at once.

    Yields as `_Pieces` wants it; every query that sees a key comes once. ``mask`` is None. Apart,
    no two windows of a tile overlap, because something is added to them.
    """
    (heads, n_q), n_k = queries[0].shape[:2], keys[0].shape[1]
    offset, before, after = n_k - n_q, window - 1, 0 if causal else window - 1

    def limit(start, stop, first, last):
        """Of queries at the positions start..stop, keys first..last; last >= stop."""
        seen = visible(last - start, last - first, causal=causal, window=window, xp=xp,
                       device=keys[0].device)  # lines up the ends
        return _limit(seen[:stop - start], keys[0])

    last = max(n_q - after, 0)  # later rows lack keys on the right
    blocks = (last - max(before - offset, 0)) // BLOCK  # earlier rows lack keys on the left
    first = last - max(blocks, 0) * BLOCK
    for start, stop in ((0, first), (last, n_q)):
        start = max(start, -offset - after) if n_k else stop  # earlier rows see nothing
        for i in range(start, stop, EDGE):
            rows = slice(i, min(i + EDGE, stop))
            columns = slice(max(offset + i - before, 0), min(offset + rows.stop + after, n_k))
            edge = limit(offset + i, offset + rows.stop, columns.start, columns.stop)
            for tile in _slices(heads, _at_once(*edge.shape)):
                yield [x[tile, rows] for x in queries], [x[tile, columns] for x in keys], edge
    if first == last:
        return
    reach = before + BLOCK + after
    queries = [x[:, first:last].unfold(1, BLOCK, BLOCK).mT for x in queries]
    keys = [x[:, offset + first - before:].unfold(1, reach, BLOCK).mT for x in keys]  # overlapping
    inside = limit(before, before + BLOCK, 0, reach)
    step = -(-reach // BLOCK) if apart else 1
    for head, phase in itertools.product(range(heads), range(step)):
        for i in range(phase, blocks, step * _at_once(BLOCK, reach)):
            tile = head, slice(i, i + step * _at_once(BLOCK, reach), step)
            yield [x[tile] for x in queries], [x[tile] for x in keys], inside


def _slices(n, size):
    return (slice(i, i + size) for i in range(0, n, size))


# chunked_attention


def _blocks(queries, keys, mask, apart=False, *, causal, sizes):
    """Every block of scores that is not wholly hidden, of as many heads as fit into the cache."""
    (heads, n_q), n_k = queries[0].shape[:2], keys[0].shape[1]
    offset = n_k - n_q
    for rows in _slices(n_q, sizes[0]):
        stop = min(rows.stop, n_q)
        end = offset + stop if causal else n_k
        at_once = _at_once(stop - rows.start, min(sizes[1], max(end, 1)))
        for columns in _slices(end, sizes[1]):
            columns = slice(columns.start, min(columns.stop, end))
            rows = slice(max(rows.start, columns.start - offset) if causal else rows.start, stop)
            past = None  # everything is seen
            if causal and columns.stop > offset + rows.start + 1:
                past = torch.ones(stop - rows.start, columns.stop - columns.start,
                                  dtype=torch.bool, device=keys[0].device)
                past = past.tril(offset + rows.start - columns.start)
            limit = None if past is None else _limit(past, keys[0])
            for at in _slices(heads, at_once):
                if mask is not None:
                    seen = mask[at, rows, columns]
                    limit = _limit(seen if past is None else seen & past, keys[0])
                yield [x[at, rows] for x in queries], [x[at, columns] for x in keys], limit


# hierarchical_attention


def _own_chunk(query, key, value, chunk, causal):
    """Partial attention of each query over the keys of its own chunk."""
    n_q, n_k = query.shape[-2], key.shape[-2]
    offset = n_k - n_q
    first = offset // chunk * chunk  # the chunk of the first query begins here ...
    tail = -n_k % chunk  # ... and the last chunk lacks this much
    queries = _chunks(query, offset - first, tail, chunk)  # (..., chunks, chunk, d_k)
    keys, values = (_chunks(x, -first, tail, chunk) for x in (key, value))
    position = torch.arange(first, n_k + tail, device=query.device)
    padding = ((position < 0) | (position >= n_k)).unflatten(0, (-1, 1, chunk))
    output, lse = partial_attention(queries, keys, values, mask=~padding, causal=causal, scale=1)
    rows = slice(offset - first, offset - first + n_q)
    return output.flatten(-3, -2)[..., rows, :], lse.flatten(-2)[..., rows]


def _other_chunks(query, key, value, chunk, causal):
    """Partial attention of each query over the means of the chunks that are not its own."""
    n_q, n_k = query.shape[-2], key.shape[-2]
    sizes = _sizes(n_k, chunk, query)  # (chunks,)
    keys, values = (_means(x, chunk, sizes) for x in (key, value))  # (..., chunks, d)
    own = torch.arange(n_k - n_q, n_k, device=query.device)[:, None] // chunk
    others = torch.arange(len(sizes), device=query.device)
    return partial_attention(query, keys, values, mask=others < own if causal else others != own,
                             bias=sizes.log()[None], scale=1)


def _sizes(n_k, chunk, like):
    """How many keys each chunk holds, (chunks,): the last one what is left."""
    return (n_k - torch.arange(0, n_k, chunk, device=like.device)).clamp(max=chunk).to(like.dtype)


def _means(x, chunk, sizes):
    """The mean of each chunk, (..., chunks, d)."""
    return _chunks(x, 0, -x.shape[-2] % chunk, chunk).sum(dim=-2) / sizes[:, None]


def _chunks(x, before, after, chunk):
    """``(..., n, d)``, padded (or, below 0, cropped), as ``(..., chunks, chunk, d)``."""
    return pad(x, (0, 0, before, after)).unflatten(-2, (-1, chunk))

# selected_attention


def _chosen_chunks(query, key, value, chunk, top, window, causal):
    """Partial attention of each query over its first choice of chunks, its second, ...

    Queries that choose the same chunk are put side by side, in blocks. How many blocks there
    can be is known beforehand, and so is the work, whatever is chosen.

    Returns:
        For each choice, output ``(..., n_q, d_v)`` and log-sum-exp ``(..., n_q)``, over what the
        window does not show.
    """
    lead, (n_q, n_k) = query.shape[:-2], (query.shape[-2], key.shape[-2])
    query, key, value = (x.reshape(math.prod(lead), *x.shape[-2:]) for x in (query, key, value))
    chosen = _choices(query, key, chunk, top, window, causal)  # (heads, n_q, choices)
    choices = chosen.shape[-1]
    slot, who, which = _grouped(chosen, -(-n_k // chunk))

    keys, values = (_rows(_chunks(x, 0, -n_k % chunk, chunk), which) for x in (key, value))
    queries = _rows(pad(query, (0, 0, 0, 1)), who)  # (heads, blocks, BLOCK, d); nobody asks 0
    places = which[..., None] * chunk + torch.arange(chunk, device=key.device)
    away = (n_k - n_q + who[..., None] - places[..., None, :]).abs()  # of each key from each query
    seen = (away >= window) & (places < n_k)[..., None, :]
    with own_precision(query):  # all are numbers here, and need no second look
        scores = torch.where(seen, queries @ keys.mT, -math.inf)
        exponentials, total, best = _exponentials(xp, scores, -1)
        found = exponentials @ values / total, (best + total.log())[..., 0]

    found = (pad(x.flatten(1, 2), (*(x.ndim - 3) * (0, 0), 0, 1), value=nothing)
             for x, nothing in zip(found, (0.0, -math.inf)))  # (heads, slots + 1, ...)
    output, lse = (_rows(x, slot).reshape(*lead, n_q, choices, *x.shape[2:]) for x in found)
    return [(output[..., choice, :], lse[..., choice]) for choice in range(choices)]


def _choices(query, key, chunk, top, window, causal):
    """The numbers of the chunks that each query chooses; one too large where none is left."""
    n_q, n_k = query.shape[-2], key.shape[-2]
    sizes = _sizes(n_k, chunk, query)
    number = torch.arange(len(sizes), device=query.device)
    position = torch.arange(n_k - n_q, n_k, device=query.device)[:, None]
    first, last = number * chunk, number * chunk + sizes.long() - 1
    offered = (number < position // chunk) & (first <= position - window)
    if not causal:
        offered |= (number > position // chunk) & (last >= position + window)
    with own_precision(query):
        scores = query @ _means(key, chunk, sizes).mT  # (heads, n_q, chunks)
    best = torch.where(offered, scores, -math.inf).topk(min(top, len(sizes)))
    return torch.where(best.values > -math.inf, best.indices, len(sizes))


def _grouped(chosen, chunks):
    """Who sits where, if those who chose the same chunk fill blocks of BLOCK slots each.

    Returns:
        slot: ``(heads, n_q * choices)``, where each choice sits; the slot after the last if none.
        who: ``(heads, blocks, BLOCK)``, the query that sits in each slot; n_q for nobody.
        which: ``(heads, blocks)``, the chunk of each block.
    """
    heads, n_q, choices = chosen.shape
    chosen = chosen.flatten(1)  # (heads, pairs)
    pairs = torch.arange(chosen.shape[1], device=chosen.device)
    blocks = torch.arange(len(pairs) // BLOCK + chunks, device=chosen.device)  # as many as can be
    ordered, order = chosen.sort(dim=-1)
    counts = chosen.new_zeros(heads, chunks + 1).scatter_add(1, chosen, torch.ones_like(chosen))
    start = counts.cumsum(-1) - counts  # where each chunk begins in this order
    ends = ((counts + BLOCK - 1) // BLOCK).cumsum(-1)[:, :chunks]  # in blocks
    begin = pad(ends, (1, 0))  # (heads, chunks + 1)
    slot = begin.gather(1, ordered) * BLOCK + pairs - start.gather(1, ordered)
    slot = torch.where(ordered == chunks, len(blocks) * BLOCK, slot)
    who = chosen.new_full((heads, len(blocks) * BLOCK + 1), n_q).scatter(1, slot, order // choices)
    slot = torch.zeros_like(slot).scatter(1, order, slot)
    which = (ends[:, None] <= blocks[:, None]).sum(-1).clamp(max=chunks - 1)
    return slot, who[:, :-1].unflatten(1, (len(blocks), BLOCK)), which


def _rows(x, index):
    """Of each head ``(heads, n, ...)`` the rows ``(heads, ...)`` that the index names."""
    heads, n = x.shape[:2]
    shift = n * torch.arange(heads, device=x.device).reshape(-1, *(index.ndim - 1) * (1,))
    return x.flatten(0, 1)[index + shift]


# ring_attention


class _Ring(torch.autograd.Function):
    """`_Pieces`, slice by slice, while keys and values go once round the ring of processes."""

    @staticmethod
    def forward(query, key, value, lengths, causal, group):
        slices, widths = torch.cat([key, value], dim=-1), [key.shape[-1], value.shape[-1]]
        found = _nothing(query, value)
        for hops in range(len(lengths)):
            if hops > 0:
                slices = _pass_on(slices, lengths, hops, group)
            tiles = _visit(hops, len(lengths), causal, group)
            with own_precision(query):
                for (q, *parts), keys, _ in _heads((query, *found), slices.split(widths, -1), None):
                    _look(q, *keys, parts, None, tiles, _scale(query))
        output, lse = _result(*found)
        return output, lse[..., 0]

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        *tensors, ctx.lengths, ctx.causal, ctx.group = inputs
        ctx.save_for_backward(*tensors, *outputs)

    @staticmethod
    def backward(ctx, *grads):
        how = ctx.lengths, ctx.causal, ctx.group
        return *_RingBackward.apply(*ctx.saved_tensors, *grads, *how), None, None, None


class _RingBackward(torch.autograd.Function):
    """The gradients of `_Ring`: those of keys and values travel with them, and come home."""

    @staticmethod
    def forward(query, key, value, output, lse, grad_output, grad_lse, lengths, causal, group):
        widths = 2 * [key.shape[-1], value.shape[-1]]
        grad_query = query.new_zeros(query.shape)
        travelling = torch.cat([key, value, torch.zeros_like(key), torch.zeros_like(value)], dim=-1)
        for hops in range(len(lengths)):
            key, value, *grads = (x.contiguous() for x in travelling.split(widths, dim=-1))
            _add_gradients((query, key, value), (grad_query, *grads),
                           (output, lse, grad_output, grad_lse), None,
                           _visit(hops, len(lengths), causal, group), _scale(query))
            travelling = _pass_on(torch.cat([key, value, *grads], dim=-1), lengths, hops + 1, group)
        return grad_query, *travelling.split(widths, dim=-1)[2:]

    setup_context = _PiecesBackward.setup_context
    backward = _PiecesBackward.backward


def _visit(hops, ranks, causal, group):
    """The tiles of this rank's queries and the slice that visits after so many hops."""
    blocks = functools.partial(_blocks, sizes=(1024, 512))
    if not causal:
        return functools.partial(blocks, causal=False)
    rank = dist.get_rank(group)
    visitor = (rank - hops) % ranks

    def tiles(queries, keys, mask, apart=False):
        for mine, q in zip((rank, 2 * ranks - 1 - rank), _halves(queries)):
            for theirs, k in zip((visitor, 2 * ranks - 1 - visitor), _halves(keys)):
                if theirs <= mine:
                    yield from blocks(q, k, None, causal=theirs == mine)
    return tiles


def _halves(tensors):
    return zip(*(x.tensor_split(2, dim=-2) for x in tensors))


def _lengths_by_rank(query, key, value, causal, group):
    """How many keys each rank holds; raises, on every rank, unless the slices fit together."""
    mine = (key.shape[:-2], key.shape[-1], value.shape[-1], key.dtype)
    ranks = [None] * dist.get_world_size(group)
    dist.all_gather_object(ranks, (mine, query.shape[-2], key.shape[-2]), group=group)
    if any(theirs != mine for theirs, _, _ in ranks):
        raise ValueError("ring_attention needs the same leading axes, widths and dtype on every "
                         "rank, got (leading axes, d_k, d_v, dtype) "
                         + ", ".join(f"{theirs} on rank {rank}"
                                     for rank, (theirs, _, _) in enumerate(ranks)))
    lengths = {length for _, *both in ranks for length in both}
    if causal and (len(lengths) > 1 or lengths.pop() % 2):
        raise ValueError("a causal ring needs as many queries as keys, as many on every rank, and "
                         "an even number of them, got (n_q, n_k) "
                         + ", ".join(f"({n_q}, {n_k}) on rank {rank}"
                                     for rank, (_, n_q, n_k) in enumerate(ranks)))
    return [n_k for _, _, n_k in ranks]


def _pass_on(slices, lengths, hops, group):
    """Send what is visiting to the next rank; return what then has made ``hops`` hops."""
    rank, world = dist.get_rank(group), len(lengths)
    if world == 1:
        return slices
    length = lengths[(rank - hops) % world]
    arriving = slices.new_empty(*slices.shape[:-2], length, slices.shape[-1])
    transfers = [dist.P2POp(dist.isend, slices, group=group, group_peer=(rank + 1) % world),
                 dist.P2POp(dist.irecv, arriving, group=group, group_peer=(rank - 1) % world)]
    for transfer in dist.batch_isend_irecv(transfers):
        transfer.wait()
    return arriving
