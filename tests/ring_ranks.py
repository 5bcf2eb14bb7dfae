"""What each process of the ring does in `test_multilevel`; started by torchrun, one per rank."""

import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

CASES = {  # name: (leading axes, queries by rank, keys by rank, dtype)
    "equal slices": ((2,), (4, 4, 4), (4, 4, 4), torch.float64),
    "unequal slices": ((2, 3), (1, 5, 3), (6, 2, 4), torch.float64),
    "ranks without keys or queries": ((), (2, 0, 3), (0, 3, 0), torch.float64),
    "no keys at all": ((2,), (2, 1, 3), (0, 0, 0), torch.float64),
    "more than one block": ((), (3, 3, 3), (1030, 5, 2), torch.float64),
    "half precision": ((2,), (3, 4, 5), (5, 4, 3), torch.bfloat16),
}
CAUSAL = {  # name: (leading axes, length of the whole sequence, dtype), dealt zig-zag
    "short pieces": ((2,), 12, torch.float64),
    "pieces of more than one block": ((), 6 * 520, torch.float64),
    "causal in half precision": ((2,), 18, torch.bfloat16),
    "nothing at all": ((2,), 0, torch.float64),
}
PAIR = (0, 2)  # the ranks of a smaller group


def inputs(name):
    """Query, key, value, and the output's gradient: for each, a slice per rank."""
    lead, n_q, n_k, dtype = CASES[name]
    generator = torch.Generator().manual_seed(0)
    return [[torch.randn(*lead, n, width, generator=generator, dtype=torch.float64).to(dtype)
             for n in lengths] for lengths, width in ((n_q, 3), (n_k, 3), (n_k, 2), (n_q, 2))]


def whole(name):
    """Query, key, value and the output's gradient of a causal case, not yet dealt."""
    lead, n, dtype = CAUSAL[name]
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*lead, n, width, generator=generator, dtype=torch.float64).to(dtype)
            for width in (3, 3, 2, 2)]


def dealt(name, rank, ranks):
    """What one rank holds of a causal case."""
    from attnlib import zigzag_positions
    return [x[..., zigzag_positions(x.shape[-2], ranks)[rank], :] for x in whole(name)]


def on_this_rank(query, key, value, grad_output, group=None, causal=False):
    """The output of `ring_attention` and the three gradients."""
    from attnlib import ring_attention
    leaves = [x.clone().requires_grad_() for x in (query, key, value)]
    output = ring_attention(*leaves, group=group, causal=causal)
    return output.detach(), *torch.autograd.grad(output, leaves, grad_output)


def main(folder):
    dist.init_process_group("gloo", timeout=timedelta(seconds=120))  # a lost rank: not forever
    rank = dist.get_rank()
    results = {name: on_this_rank(*(slices[rank] for slices in inputs(name))) for name in CASES}
    results |= {name: on_this_rank(*dealt(name, rank, 3), causal=True) for name in CAUSAL}
    pair = dist.new_group(PAIR)
    if rank in PAIR:
        results["pair"] = on_this_rank(*(slices[rank] for slices in inputs("unequal slices")),
                                       group=pair)
        results["causal pair"] = on_this_rank(
            *dealt("short pieces", dist.get_rank(pair), len(PAIR)), group=pair, causal=True)
    try:
        on_this_rank(*(torch.zeros(5, 2, 4 if rank == 1 else 3) for _ in range(4)))
    except ValueError as error:
        results["misfit"] = str(error)
    try:
        on_this_rank(*(torch.zeros(4 if rank == 1 else 2, 3) for _ in range(4)), causal=True)
    except ValueError as error:
        results["unequal"] = str(error)
    torch.save(results, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1])
