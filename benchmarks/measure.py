"""How time and memory are measured, on a machine that others may be using too."""

import ctypes
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 9  # clean samples wanted from each contender
LIMIT = 25  # seconds after which a race ends with what it has
SAMPLE = 0.25  # seconds that a sample lasts at least, by repetition: /proc/stat counts hundredths
QUIET = 0.08  # a sample is clean if others kept less than this share of one core busy


def others_cpu():
    """CPU seconds that others have used so far (any origin), or None where /proc is missing."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields)
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return busy - sum(os.times()[:4])


def sample(function, repeats):
    """Seconds per call, and the share of a core that others kept busy meanwhile (or None)."""
    before, start = others_cpu(), time.perf_counter()
    for _ in range(repeats):
        function()
    seconds, after = time.perf_counter() - start, others_cpu()
    return seconds / repeats, None if before is None else (after - before) / seconds


def race(functions, progress=lambda: None):
    """Time several functions in turn, round after round.

    Args:
        functions: name -> function without arguments, already warm.
        progress: called after each round.

    Returns:
        name -> dict of ``milliseconds`` (median), ``clean`` and ``samples`` (how many).
    """
    repeats = {name: max(1, round(SAMPLE / sample(function, 1)[0]))
               for name, function in functions.items()}
    samples = {name: [] for name in functions}
    end = time.monotonic() + LIMIT
    while time.monotonic() < end and min(map(len, map(clean, samples.values()))) < ROUNDS:
        for name, function in functions.items():
            samples[name].append(sample(function, repeats[name]))
        progress()
    return {name: summary(taken) for name, taken in samples.items()}


def clean(samples):
    """The samples during which others used little CPU; all of them where that is not known."""
    return [(seconds, others) for seconds, others in samples if others is None or others < QUIET]


def summary(samples):
    """The median of the clean samples, of which a figure needs three; None where there is none."""
    undisturbed = [seconds for seconds, _ in clean(samples)]
    return dict(milliseconds=1000 * statistics.median(undisturbed) if undisturbed else None,
                clean=len(undisturbed), samples=len(samples))


def extra_memory(name, lengths):
    """MiB that a contender takes beyond its inputs, at its peak, by length.

    Measured in a process of its own, which runs the contender once before (so that what is
    made only once is not counted) and hands freed memory back; then the peak of the resident
    set (VmHWM) is reset through /proc/self/clear_refs and read after one more run.

    Returns:
        length -> MiB; empty where /proc cannot do this.
    """
    output = subprocess.run([sys.executable, "-m", "benchmarks.measure", name,
                             *map(str, lengths)], check=True, text=True, stdout=subprocess.PIPE,
                            cwd=Path(__file__).parents[1]).stdout
    return {int(n): mib for n, mib in json.loads(output.splitlines()[-1]).items()}


def peak_of(function):
    """MiB by which the resident set grows, at its peak, while the function runs."""
    function()
    ctypes.CDLL(None).malloc_trim(0)
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    kept = function()  # what is returned counts as well
    peak = status("VmHWM")
    del kept
    return (peak - before) / 1024


def status(field):
    """A field of /proc/self/status, in KiB."""
    line, = (line for line in Path("/proc/self/status").read_text().splitlines()
             if line.startswith(field + ":"))
    return int(line.split()[1])


if __name__ == "__main__":
    from .contenders import CONTENDERS
    contender, *requested = sys.argv[1:]
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        requested = []
    print(json.dumps({n: peak_of(CONTENDERS[contender](int(n))) for n in requested}))
