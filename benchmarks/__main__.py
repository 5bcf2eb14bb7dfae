"""Measure everything, and write results.json, results.md and results.png beside this file.

On this machine as it is, and as it plays older instruction sets, each in a process of its own.
What is stored already, of the same code, machine and versions and undisturbed, is not measured
again: run it once more for what is missing. ``--fresh`` measures all.
"""

import datetime
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch

from proofs import processors, sources
from proofs.tables import Table

from . import report, ring
from .contenders import CONTENDERS, cache, check, held
from .measure import LIMIT, QUIET, ROUNDS, extra_memory, others_cpu, race
from .races import CACHE, MEMORY, OURS, PLAYED, races


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
        "ring_attention: two processes of one thread each, which pass keys through gloo; the time "
        "until both are done. A cache: the bytes of the tensors that it keeps alive.",
    ]


def now():
    """What each contender's numbers are bound to: how it is called, and the equation it runs."""
    files = {name: OURS.get(name.partition(",")[0]) for name in (*CONTENDERS, *CACHE, *ring.NAMES)}
    measuring = {name: "benchmarks/ring.py" if name in ring.NAMES else "benchmarks/contenders.py"
                 for name in files}
    return {name: sources.of_files(measuring[name],
                                   *(f"attnlib/{file}.py" for file in filter(None, [files[name]])))
            for name in files}


def main():
    from tqdm import tqdm  # a requirement of this command alone
    if "--as" not in sys.argv:
        for name in ("native", *(name for name in PLAYED if name in processors.playable())):
            with tempfile.TemporaryDirectory() as kernels:  # torch would take another's for its own
                env = processors.environment(name, os.cpu_count())
                subprocess.run([sys.executable, "-m", "benchmarks", *sys.argv[1:], "--as", name],
                               env=env | {"TORCHINDUCTOR_CACHE_DIR": kernels}, check=True)
        print(TABLE.printed())
        return
    label = sys.argv[-1]
    run = races(label)
    check({name for _, names in run for name in names})
    results = begun(label, "--fresh" in sys.argv)
    with tqdm([(n, names) for n, names in run if not known(results, n, names)], label) as missing:
        for n, names in missing:
            missing.set_postfix_str(f"n = {n}: " + ", ".join(names))
            functions = {name: CONTENDERS[name](n) for name in names}
            for function in functions.values():
                function()
            store(label, results, n, race(functions, missing.refresh))
    if label == "native":
        if not known(results, ring.LENGTH, ring.NAMES):
            store(label, results, ring.LENGTH, ring.race())
        memory = results["memory"]
        for name, lengths in tqdm(MEMORY.items(), "memory"):
            if not memory.get(name):
                memory[name] = extra_memory(name, lengths)
        for name, (window, lengths) in CACHE.items():
            memory[name] = {n: held(cache(n, window)) for n in lengths}
        store(label, results, None, {})
        report.picture(results, TABLE.page.with_suffix(".png"))
        TABLE.write(TABLE.read() | {"drawn": place(label)})


def begun(label, fresh):
    """What is stored of this machine, as this processor, with the code as it is; or nothing yet."""
    here = machine() + f", local-attention {version('local-attention')}"
    stored = TABLE.read().get("processors", {}).get(place(label))
    empty = dict(machine=here, times={}, memory={}, rows={})
    if fresh or not stored or stored["machine"] != here:
        return empty
    digests = now()
    same = {name for name, row in stored["rows"].items() if digests.get(name) == row["sources"]}
    stored = report.numbered(stored)
    return empty | {part: {name: row for name, row in stored[part].items() if name in same}
                    for part in ("times", "memory", "rows")}


def known(results, n, names):
    """Whether each of these has three undisturbed samples at this length."""
    return all(results["times"].get(name, {}).get(n, {}).get("clean", 0) >= 3 for name in names)


def store(label, results, n, measured):
    """Add what was measured at one length, and write all that there is."""
    for name, result in measured.items():
        results["times"].setdefault(name, {})[n] = result
    digests = now()
    results |= dict(date=datetime.date.today().isoformat(), method=method())
    results["rows"] = {name: {"sources": digests[name]} for name in digests
                       if name in results["times"] or name in results["memory"]}
    stored = TABLE.read()
    TABLE.write(stored | {"processors": stored.get("processors", {}) | {place(label): results}})


def place(label):
    """What a processor's table is called: its name, and what it plays."""
    name = machine().partition("(")[2].partition("), ")[0]
    return name if label == "native" else f"{name}, playing {label}"


def rows(stored):
    """Each contender of each processor, and what its numbers are bound to."""
    return {f"{name} on {where}": row for where, results in stored.get("processors", {}).items()
            for name, row in results["rows"].items()}


TABLE = Table(
    stored=Path(__file__).parent / "results.json", page=Path(__file__).parent / "results.md",
    rows=rows, text=report.page,
    now=lambda: {f"{name} on {where}": digest for name, digest in now().items()
                 for where, results in TABLE.read().get("processors", {}).items()
                 if name in results["rows"]})


if __name__ == "__main__":
    main()
