"""Chapter 8: attention over long sequences: local, chunked, hierarchical, ring.

`attention` compares every query with every key at once. Here the same definitions, or for
`hierarchical_attention` a coarser one, are reached in pieces: a band cut into blocks, partial
results merged as they come, distant chunks seen through their means, keys that travel between
processes. All of it is torch. Leading axes broadcast, low precision accumulates in float32, and
query i stands at position ``n_k - n_q + i``, as everywhere.
"""

import itertools
import math

import torch
import torch.distributed as dist
from array_api_compat import is_torch_array
from array_api_compat import torch as xp
from torch.nn.functional import pad

from .attention import (
    _check_inputs,
    _check_mask,
    _weighted_sum,
    _wide_dtype,
    attention,
    merge_partials,
    partial_attention,
)
from .masks import visible, whole_number

BLOCK = 32  # queries that share one window of keys in `local_attention`, and ...
GROUP = 64  # ... blocks whose scores are computed at once: they should stay in the cache


def local_attention(query, key, value, *, window, causal=False):
    """Attention to the nearest keys alone: exactly the band of ``window``, at linear cost.

    Args:
        query: ``(..., n_q, d_k)``, a real floating tensor.
        key: ``(..., n_k, d_k)``.
        value: ``(..., n_k, d_v)``.
        window: causal: the number of keys seen, the query's own included.
            Otherwise: keys at a distance below ``window`` are seen, on both sides.
        causal: a query sees no key after its own position.

    Returns:
        Output ``(..., n_q, d_v)``, as `attention` with the same arguments (a NaN out of sight
        included), in time and memory proportional to ``n_q * window``.

    Raises:
        TypeError, ValueError: as `attention`; ValueError if ``window`` is below 1.
        RuntimeError: if differentiated twice.

    Source: Beltagy et al. 2020, section 3.1 (sliding window).

    >>> x = torch.tensor([[1.0], [2.0], [4.0]])
    >>> local_attention(torch.zeros(3, 1), x, x, window=2, causal=True).mT
    tensor([[1.0000, 1.5000, 3.0000]])
    """
    query, key, value, dtype = _prepare(query, key, value)
    whole_number("window", window, 1)
    band = dict(causal=causal, window=window)
    if (query.norm() * key.norm() + value.sum()).isfinite():  # no score is larger
        flat = (x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:]) for x in (query, key, value))
        output = _Band.apply(*flat, band).reshape(*query.shape[:-1], value.shape[-1])
    else:  # _Band's mask would let a hidden NaN or infinity through
        output = _local_rows(query, key, value, band)
    return output.to(dtype)


def chunked_attention(query, key, value, *, causal=False, mask=None, query_chunk=512,
                      key_chunk=1024):
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

    Source: Rabe and Staats 2021, section 3; backward: Dao 2023, section 3.1 and algorithm 2.

    >>> x = torch.tensor([[1.0], [2.0], [6.0]])
    >>> chunked_attention(torch.zeros(3, 1), x, x, query_chunk=2, key_chunk=1).mT
    tensor([[3., 3., 3.]])
    """
    whole_number("query_chunk", query_chunk, 1)
    whole_number("key_chunk", key_chunk, 1)
    query, key, value, dtype = _prepare(query, key, value)
    if mask is not None:
        shape = (*query.shape[:-1], key.shape[-2])  # (..., n_q, n_k)
        mask = _check_mask(xp, query, mask, shape).expand(shape)  # a view: no memory
    output, _ = _Chunked.apply(query, key, value, mask, causal, query_chunk, key_chunk)
    return output.to(dtype)


def hierarchical_attention(query, key, value, *, chunk, causal=False):
    r"""Near keys one by one, distant ones through their chunk's mean, under one softmax.

    Positions are cut into chunks. A query sees each key of its own chunk, and each other chunk
    as one key and one value, their means. This is not `attention` but an approximation of it.

    Args:
        query: ``(..., n_q, d_k)``, a real floating tensor.
        key: ``(..., n_k, d_k)``.
        value: ``(..., n_k, d_v)``.
        chunk: keys in a chunk; the last chunk holds what is left.
        causal: a query sees no later key of its own chunk, and only wholly earlier chunks.

    Returns:
        Output ``(..., n_q, d_v)``; time and memory grow with
        ``n_q * n_k / chunk + n_q * chunk``, least where ``chunk`` is near ``sqrt(n_k)``.

    Raises:
        TypeError, ValueError: as `attention`; ValueError if ``chunk`` is below 1.

    Source: after Yang et al. 2021, section 3.2 (fine near keys and pooled far ones under one
    softmax), with means as in Zhu and Soricut 2021.

    >>> x = torch.tensor([[0.0], [0.0], [2.0], [4.0]])
    >>> hierarchical_attention(torch.zeros(4, 1), x, x, chunk=2, causal=True).mT
    tensor([[0., 0., 1., 2.]])
    """
    query, key, value, dtype = _prepare(query, key, value)
    whole_number("chunk", chunk, 1)
    near = _own_chunk(query, key, value, chunk, causal)
    far = _other_chunks(query, key, value, chunk, causal)
    output, _ = merge_partials(*near, *far)
    return output.to(dtype)


def ring_attention(query, key, value, *, group=None):
    """Exact attention over a sequence of which each process holds a slice.

    Keys and values travel: each process computes the partial result for the slice visiting it,
    merges it, and passes the slice on, until every slice has visited every rank. Every rank of
    the group must call it, and ``backward`` if one of them does: gradients travel the same way.

    Args:
        query: ``(..., n_q, d_k)``, this rank's queries, a real floating tensor.
        key: ``(..., n_k, d_k)``, this rank's keys. Lengths may differ from rank to rank;
            leading axes, widths and dtypes may not.
        value: ``(..., n_k, d_v)``, this rank's values.
        group: a process group of torch.distributed; all processes if not given.

    Returns:
        Output ``(..., n_q, d_v)``: this rank's rows of attention over all ranks' keys.

    Raises:
        TypeError, ValueError: as `attention`; ValueError if the ranks' slices do not fit
            together, or if torch.distributed has not been initialised.
        RuntimeError: if differentiated twice.

    Source: Liu et al. 2023, section 3 and algorithm 1 (sends after computing, not meanwhile).

    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    >>> ring_attention(torch.zeros(1, 2), torch.ones(4, 2), torch.ones(4, 1))
    tensor([[1.]])
    >>> dist.destroy_process_group()
    """
    if not dist.is_initialized():
        raise ValueError("ring_attention needs torch.distributed.init_process_group first; "
                         "torchrun starts the processes")
    query, key, value, dtype = _prepare(query, key, value)
    lengths = _lengths_by_rank(key, value, group)
    output, _ = _Ring.apply(query, key, value, lengths, group)
    return output.to(dtype)


# What the four share.


def _prepare(query, key, value):
    """Validate; return the three with all leading axes, wide enough to add up in, and the dtype."""
    _check_inputs(query=query, key=key, value=value)
    if not is_torch_array(query):
        raise TypeError("query, key and value must be torch tensors, "
                        f"got {type(query).__module__}.{type(query).__name__}")
    three = query, key, value
    lead = torch.broadcast_shapes(*(x.shape[:-2] for x in three))
    wide = _wide_dtype(xp, *three)
    return *(x.to(wide).expand(*lead, *x.shape[-2:]) for x in three), xp.result_type(*three)


def _cut(start, stop, first, last, device, **band):
    """What queries at the positions start..stop may see of the keys first..last >= stop."""
    seen = visible(last - start, last - first, xp=xp, device=device, **band)  # lines up the ends
    return seen[:stop - start]


# local_attention


class _Band(torch.autograd.Function):
    """Attention of each block of queries to its own window of keys, some blocks at once."""

    @staticmethod
    def forward(query, key, value, band):
        output = query.new_zeros(*query.shape[:-1], value.shape[-1])
        for (q, out), (k, v), bias in _tiles((query, output), (key, value), band):
            torch.bmm(_band_weights(q, k, bias), v, out=out)
        return output

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, ctx.band = inputs
        ctx.save_for_backward(*tensors, output)

    @staticmethod
    def backward(ctx, grad_output):
        _only_once("local_attention")
        query, key, value, output = ctx.saved_tensors
        grads = [torch.zeros_like(x) for x in (query, key, value)]
        tiles = _tiles((query, output, grad_output, grads[0]), (key, value, *grads[1:]), ctx.band,
                       apart=True)
        for (q, out, grad, grad_q), (k, v, grad_k, grad_v), bias in tiles:
            weights = _band_weights(q, k, bias)
            mean = (grad * out).sum(dim=-1, keepdim=True)  # of a row's weights' gradients
            grad_scores = (grad @ v.mT).sub_(mean).mul_(weights).mul_(_scale(q))
            grad_q += grad_scores @ k
            grad_k += grad_scores.mT @ q
            grad_v += weights.mT @ grad
        return *grads, None


def _tiles(queries, keys, band, apart=False):
    """What is computed at once: some blocks of queries, their windows of keys, and their bias.

    Args:
        queries, keys: tensors ``(heads, n_q, ...)`` and ``(heads, n_k, ...)``.
        band: causal and window.
        apart: whether no two windows of a tile may overlap, because something is added to them.

    Yields:
        Views ``(tile, block, ...)`` of queries, views ``(tile, reach, ...)`` of keys, and the bias
        ``(block, reach)``, -inf where a key is hidden. Every query that sees a key comes once.
    """
    (heads, n_q), n_k = queries[0].shape[:2], keys[0].shape[1]
    before, after = _reach(band)
    last = max(n_q - after, 0)  # later rows lack keys on the right
    blocks = (last - max(before - (n_k - n_q), 0)) // BLOCK  # earlier rows lack keys on the left
    first = last - max(blocks, 0) * BLOCK
    for edge in ((0, first), (last, n_q)):
        for rows, columns, seen in _row_blocks(*edge, n_q, n_k, band, keys[0].device):
            for tile in (slice(h, h + GROUP) for h in range(0, heads, GROUP)):
                yield ([x[tile, rows] for x in queries], [x[tile, columns] for x in keys],
                       _hiding(seen, keys[0]))
    if first == last:
        return
    start, reach = n_k - n_q + first - before, before + BLOCK + after
    queries = [x[:, first:last].unfold(1, BLOCK, BLOCK).mT for x in queries]
    keys = [x[:, start:].unfold(1, reach, BLOCK).mT for x in keys]  # a view, although they overlap
    bias = _hiding(_cut(before, before + BLOCK, 0, reach, keys[0].device, **band), keys[0])
    step = -(-reach // BLOCK) if apart else 1
    for head, phase in itertools.product(range(heads), range(step)):
        for i in range(phase, blocks, step * GROUP):
            tile = head, slice(i, i + step * GROUP, step)
            yield [x[tile] for x in queries], [x[tile] for x in keys], bias


def _local_rows(query, key, value, band):
    """All rows by `attention`, a block at a time."""
    n_q, n_k = query.shape[-2], key.shape[-2]
    found = [attention(query[..., rows, :], key[..., columns, :], value[..., columns, :], mask=seen)
             for rows, columns, seen in _row_blocks(0, n_q, n_q, n_k, band, query.device)]
    empty = n_q - sum(x.shape[-2] for x in found)
    return torch.cat([query.new_zeros(*query.shape[:-2], empty, value.shape[-1]), *found], dim=-2)


def _row_blocks(start, stop, n_q, n_k, band, device):
    """Blocks of the rows start..stop that see a key; for each the columns, and what is seen."""
    before, after = _reach(band)
    offset = n_k - n_q
    start = max(start, -offset - after)  # earlier rows see nothing
    for i in range(start, stop, BLOCK):
        rows = slice(i, min(i + BLOCK, stop))
        columns = slice(max(offset + i - before, 0), min(offset + rows.stop + after, n_k))
        yield rows, columns, _cut(offset + i, offset + rows.stop, columns.start, columns.stop,
                                  device, **band)


def _reach(band):
    """How many keys a row sees before its own position, and after."""
    return band["window"] - 1, 0 if band["causal"] else band["window"] - 1


def _hiding(seen, like):
    return torch.where(seen, 0.0, -math.inf).to(like)


def _band_weights(query, key, bias):
    return torch.softmax(torch.baddbmm(bias, query, key.mT, alpha=_scale(query)), dim=-1)


# chunked_attention


class _Chunked(torch.autograd.Function):
    """`_attend` with a backward pass that computes the blocks of scores again."""

    @staticmethod
    def forward(query, key, value, mask, causal, query_chunk, key_chunk):
        blocks = _blocks(query, key, mask, causal, query_chunk, key_chunk)
        return _attend(query, key, value, blocks)

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        query, key, value, mask, *ctx.how = inputs
        ctx.save_for_backward(query, key, value, mask, *outputs)

    @staticmethod
    def backward(ctx, grad_output, _grad_lse):
        _only_once("chunked_attention")
        query, key, value, mask, output, lse = ctx.saved_tensors
        blocks = _blocks(query, key, mask, *ctx.how)
        grads = _gradients(query, key, value, output, lse, grad_output, blocks)
        return *grads, None, None, None, None


def _blocks(query, key, mask, causal, query_chunk, key_chunk):
    """Every block of scores not wholly hidden: its head, rows, columns, and what is seen in it.

    One head at a time: the scores of a block then fit into the processor's cache.
    """
    n_q, n_k = query.shape[-2], key.shape[-2]
    offset = n_k - n_q
    for i in range(0, n_q, query_chunk):
        rows = slice(i, min(i + query_chunk, n_q))
        end = offset + rows.stop if causal else n_k
        for j in range(0, end, key_chunk):
            columns = slice(j, min(j + key_chunk, end))
            past = None  # everything is seen
            if causal and columns.stop > offset + i + 1:
                past = key.new_ones(rows.stop - i, columns.stop - j, dtype=torch.bool)
                past = past.tril(offset + i - j)  # position offset + row >= column
            for head in itertools.product(*map(range, query.shape[:-2])):
                seen = past if mask is None else mask[head][rows, columns]
                if mask is not None and past is not None:
                    seen = seen & past
                yield head, rows, columns, seen


def _attend(query, key, value, blocks):
    """Output and log-sum-exp, merged from the softmax of one block after another."""
    output = query.new_zeros(*query.shape[:-1], value.shape[-1])
    lse = query.new_full(query.shape[:-1], -math.inf)
    for head, rows, columns, seen in blocks:
        scores = _block_scores(query[head][rows], key[head][columns], seen)
        weights = torch.softmax(scores, dim=-1)
        top = scores.amax(dim=-1)
        part = _weighted(weights, value[head][columns], seen)
        part_lse = top - weights.amax(dim=-1).log()  # the largest weight is exp(top - lse)
        empty = top == -math.inf
        if empty.any():  # a query that sees nothing here: so far 0 / 0
            part[empty], part_lse[empty] = 0, -math.inf
        merged = torch.logaddexp(lse[head][rows], part_lse)
        share = torch.exp(part_lse - merged.clamp(min=torch.finfo(merged.dtype).min))
        output[head][rows].lerp_(part, share[:, None])
        lse[head][rows] = merged
    return output, lse


def _gradients(query, key, value, output, lse, grad_output, blocks):
    """Gradients of `_attend`'s output by query, key and value."""
    grad_query, grad_key, grad_value = map(torch.zeros_like, (query, key, value))
    lse = lse.masked_fill(lse == -math.inf, math.inf)  # an empty row: every weight exp(-inf)
    mean = (grad_output * output).sum(dim=-1, keepdim=True)  # of a row's weights' gradients
    scale = _scale(query)
    for head, rows, columns, seen in blocks:
        q, k, v = query[head][rows], key[head][columns], value[head][columns]
        grad = grad_output[head][rows]
        weights = torch.exp(_block_scores(q, k, seen) - lse[head][rows][:, None])
        grad_scores = grad @ v.mT - mean[head][rows]
        if seen is not None:
            grad_scores.masked_fill_(~seen, 0.0)
        grad_scores *= weights * scale
        grad_query[head][rows] += _weighted(grad_scores, k, seen)
        grad_key[head][columns].addmm_(grad_scores.mT, q)
        grad_value[head][columns].addmm_(weights.mT, grad)
    return grad_query, grad_key, grad_value


def _only_once(name):
    """Refuse `create_graph`: differentiating the blocks again would miss part of the gradient."""
    if torch.is_grad_enabled():
        raise RuntimeError(f"{name} can be differentiated once, not twice: "
                           "call backward or grad without create_graph")


def _block_scores(query, key, seen):
    scores = query * _scale(query) @ key.mT
    return scores if seen is None else scores.masked_fill_(~seen, -math.inf)


def _weighted(weights, value, seen):
    """weights @ value; where something is hidden, its weight of 0 silences even a NaN."""
    if seen is None or value.sum().isfinite():
        return weights @ value
    return _weighted_sum(xp, weights, value)


def _scale(query):
    return 1 / math.sqrt(max(query.shape[-1], 1))


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
    output, lse = partial_attention(queries, keys, values, mask=~padding, causal=causal)
    rows = slice(offset - first, offset - first + n_q)
    return output.flatten(-3, -2)[..., rows, :], lse.flatten(-2)[..., rows]


def _other_chunks(query, key, value, chunk, causal):
    """Partial attention of each query over the means of the chunks that are not its own."""
    n_q, n_k = query.shape[-2], key.shape[-2]
    starts = torch.arange(0, n_k, chunk, device=query.device)
    sizes = (n_k - starts).clamp(max=chunk)[:, None]
    keys, values = (_chunks(x, 0, -n_k % chunk, chunk).sum(dim=-2) / sizes
                    for x in (key, value))  # (..., chunks, d)
    own = torch.arange(n_k - n_q, n_k, device=query.device)[:, None] // chunk
    others = torch.arange(len(starts), device=query.device)
    return partial_attention(query, keys, values, mask=others < own if causal else others != own)


def _chunks(x, before, after, chunk):
    """``(..., n, d)``, padded (or, below 0, cropped), as ``(..., chunks, chunk, d)``."""
    return pad(x, (0, 0, before, after)).unflatten(-2, (-1, chunk))


# ring_attention


class _Ring(torch.autograd.Function):
    """`_attend`, slice by slice, while keys and values go once round the ring of processes."""

    @staticmethod
    def forward(query, key, value, lengths, group):
        output = query.new_zeros(*query.shape[:-1], value.shape[-1])
        lse = query.new_full(query.shape[:-1], -math.inf)
        slices = torch.cat([key, value], dim=-1)
        for hops in range(len(lengths)):
            if hops > 0:
                slices = _pass_on(slices, lengths, hops, group)
            key, value = slices.split([key.shape[-1], value.shape[-1]], dim=-1)
            part = _attend(query, key, value, _blocks(query, key, None, False, 512, 1024))
            output, lse = merge_partials(output, lse, *part)
        return output, lse

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        *tensors, ctx.lengths, ctx.group = inputs
        ctx.save_for_backward(*tensors, *outputs)

    @staticmethod
    def backward(ctx, grad_output, _grad_lse):
        _only_once("ring_attention")
        query, key, value, output, lse = ctx.saved_tensors
        widths = 2 * [key.shape[-1], value.shape[-1]]
        grad_query = torch.zeros_like(query)
        travelling = torch.cat([key, value, torch.zeros_like(key), torch.zeros_like(value)], dim=-1)
        for hops in range(len(ctx.lengths)):  # a whole round: the gradients come home
            key, value, grad_key, grad_value = travelling.split(widths, dim=-1)
            here = _gradients(query, key, value, output, lse, grad_output,
                              _blocks(query, key, None, False, 512, 1024))
            grad_query = grad_query + here[0]
            travelling = torch.cat([key, value, grad_key + here[1], grad_value + here[2]], dim=-1)
            travelling = _pass_on(travelling, ctx.lengths, hops + 1, ctx.group)
        return grad_query, *travelling.split(widths, dim=-1)[2:], None, None


def _lengths_by_rank(key, value, group):
    """How many keys each rank holds; raises, on every rank, unless the slices fit together."""
    mine = (key.shape[:-2], key.shape[-1], value.shape[-1], key.dtype)
    ranks = [None] * dist.get_world_size(group)
    dist.all_gather_object(ranks, (mine, key.shape[-2]), group=group)
    if any(theirs != mine for theirs, _ in ranks):
        raise ValueError("ring_attention needs the same leading axes, widths and dtype on every "
                         "rank, got (leading axes, d_k, d_v, dtype) "
                         + ", ".join(f"{theirs} on rank {rank}"
                                     for rank, (theirs, _) in enumerate(ranks)))
    return [length for _, length in ranks]


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
