"""Measure everything, and write results.json, results.md and results.png beside this file."""

import datetime
import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from proofs import sources
from proofs.tables import Table

from . import report
from .contenders import CONTENDERS, check
from .measure import LIMIT, QUIET, ROUNDS, extra_memory, others_cpu, race

LENGTHS = (1024, 2048, 4096, 8192, 16384)
BACKWARD = ("local_attention, with backward", "local-attention package, with backward")
RACES = [
    *((n, ("local_attention", "local-attention package", "flex_attention")) for n in LENGTHS),
    (8192, BACKWARD),
    *((n, ("chunked_attention", "torch SDPA", "naive")) for n in LENGTHS[:-1]),
    (16384, ("chunked_attention", "torch SDPA")),
    *((n, ("selected_attention", "SDPA with a mask")) for n in LENGTHS[:-1]),
    (2048, ("attention", "the formula")),
]
MEMORY = {
    "local_attention": LENGTHS, "local-attention package": LENGTHS, "flex_attention": LENGTHS,
    "chunked_attention": LENGTHS, "torch SDPA": LENGTHS, "naive": LENGTHS[:-1],
    "chunked_attention, with backward": LENGTHS[1:],
}
OURS = {"attention": "attention", "local_attention": "multilevel",
        "chunked_attention": "multilevel", "selected_attention": "multilevel"}


def machine():
    """Cores, processor, memory and versions; nothing that tells whose machine it is."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines()
                 if line.startswith("model name")]
        model = names[0] if names else model
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (f"{os.cpu_count()} cores ({model}), {gib:.0f} GiB of memory, {platform.system()}, "
            f"Python {platform.python_version()}, torch {torch.__version__} on "
            f"{torch.get_num_threads()} threads")


def method():
    """How it was measured, in sentences."""
    filtered = others_cpu() is not None
    return [
        f"Time: contenders run in turn in one process, until each has {ROUNDS} "
        + (f"samples during which others kept less than {QUIET:.0%} of one core busy "
           "(/proc/stat less our own time)" if filtered
           else "samples (/proc is missing: what others did meanwhile is not known)")
        + f", or {LIMIT} seconds have passed.",
        "Memory: the growth of the resident set at its peak (VmHWM, reset through "
        "/proc/self/clear_refs), in a process of its own, after one run that is not counted and "
        "after freed memory was handed back.",
        "flex_attention is compiled, and its table of blocks made, before its time begins. On a "
        "CPU it has no backward pass. The local-attention package sees 257 keys at a window of "
        "256.",
    ]


def now():
    """What each contender's numbers are bound to: `contenders.py`, and the equation it runs."""
    files = {name: OURS.get(name.partition(",")[0]) for name in CONTENDERS}
    return {name: sources.of_files("benchmarks/contenders.py",
                                   *(f"attnlib/{file}.py" for file in filter(None, [files[name]])))
            for name in files}


def main():
    from tqdm import tqdm  # a requirement of this command alone
    check()
    times = {}
    with tqdm(RACES, desc="time") as races:
        for n, names in races:
            races.set_postfix_str(f"n = {n}: " + ", ".join(names))
            functions = {name: CONTENDERS[name](n) for name in names}
            for function in functions.values():
                function()
            for name, result in race(functions, races.refresh).items():
                times.setdefault(name, {})[n] = result
    memory = {}
    with tqdm(MEMORY.items(), desc="memory") as contenders:
        for name, lengths in contenders:
            contenders.set_postfix_str(name)
            memory[name] = extra_memory(name, lengths)
    peers = f", local-attention {version('local-attention')}"
    results = dict(date=datetime.date.today().isoformat(), machine=machine() + peers,
                   method=method(), times=times, memory=memory, sources=now())
    TABLE.write(results)
    report.picture(results, TABLE.page.with_suffix(".png"))
    print(TABLE.printed())


TABLE = Table(
    stored=Path(__file__).parent / "results.json", page=Path(__file__).parent / "results.md",
    rows=lambda stored: {name: {"sources": digest} for name, digest in stored["sources"].items()},
    now=now, text=lambda stored, stale: report.markdown(report.numbered(stored), stale))


if __name__ == "__main__":
    main()
