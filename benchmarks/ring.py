"""A causal ring, dealt zig-zag, beside the same ring in which every query sees every key.

Causality halves the work. Dealt zig-zag it halves it for every process at every step, and so the
time; dealt in runs of neighbours, the last process would still work on every slice.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

import attnlib

from . import measure
from .contenders import inputs

RANKS, LENGTH = 2, 8192
NAMES = ("ring_attention, causal", "ring_attention, all keys")


def race():
    """As `measure.race`, of two processes that start here and end here."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ring.json"
        subprocess.run([sys.executable, "-m", "torch.distributed.run", "--nproc-per-node",
                        str(RANKS), "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0",
                        "--local-addr", "127.0.0.1", "-m", "benchmarks.ring", str(path)],
                       check=True, cwd=Path(__file__).parents[1],
                       env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
        return json.loads(path.read_text())


def others_cpu():
    """CPU seconds that others than these processes have used, or None."""
    mine, shares = sum(os.times()[:4]), [None] * RANKS
    dist.all_gather_object(shares, mine)
    busy = measure.others_cpu()
    return None if busy is None else busy + mine - sum(shares)


def main(path):
    dist.init_process_group("gloo", timeout=timedelta(seconds=120))
    rank = dist.get_rank()
    rows = torch.from_numpy(attnlib.zigzag_positions(LENGTH, RANKS)[rank])
    tensors = [x[..., rows, :] for x in inputs(LENGTH)]
    samples = {name: [] for name in NAMES}
    with torch.no_grad():
        for _ in range(1 + measure.ROUNDS):
            for name, causal in zip(NAMES, (True, False), strict=True):
                before, start = others_cpu(), time.perf_counter()
                attnlib.ring_attention(*tensors, causal=causal)
                after = others_cpu()  # waits for every rank
                seconds = time.perf_counter() - start
                samples[name].append(
                    (seconds, None if before is None else (after - before) / seconds))
    if rank == 0:
        Path(path).write_text(json.dumps(  # the first of each only warms up
            {name: measure.summary(taken[1:]) for name, taken in samples.items()}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
