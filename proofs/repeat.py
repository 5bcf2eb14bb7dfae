"""Run every chapter ten times with one thread and ten times with two: the same outputs each time.

``python proofs/repeat.py`` stores the table as proofs/repeat.md and fails if any run differs
from the stored outputs. nbval does the comparing.
"""

import datetime
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from rich.progress import track

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "proofs" / "repeat.md"
TIMES, THREADS = 10, (1, 2)


def main():
    chapters = sorted((ROOT / "book").glob("[0-9]*.ipynb"))
    runs = [(chapter, threads) for _ in range(TIMES) for chapter in chapters for threads in THREADS]
    seconds = {(chapter, threads): [] for chapter in chapters for threads in THREADS}
    failures = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = track(pool.map(nbval, *zip(*runs)), total=len(runs), description="running")
        for (chapter, threads), (took, fault) in zip(runs, results):
            seconds[chapter, threads].append(took)
            failures += fault
    TABLE.write_text(table(chapters, seconds, len(failures)), encoding="utf-8")
    print(TABLE.read_text(encoding="utf-8"))
    sys.exit("\n".join(failures) or None)


def nbval(chapter, threads):
    """Run a chapter against its stored outputs, in a process that starts with so many threads.

    Returns:
        seconds, and a list with what differed, if anything did.
    """
    environment = os.environ | {name: str(threads) for name in
                                ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "--nbval", "-p", "no:cacheprovider",
                           str(chapter)], cwd=ROOT, env=environment, capture_output=True, text=True)
    fault = [f"{chapter.stem}, {threads} thread(s):\n{done.stdout[-2000:]}"] if done.returncode else []
    return time.perf_counter() - start, fault


def table(chapters, seconds, failed):
    runs = sum(map(len, seconds.values()))
    lines = [f"Run {runs} times on {datetime.date.today()}, Python {platform.python_version()}, "
             f"{os.cpu_count()} cores, a run on each at a time: {runs - failed} runs gave exactly the stored outputs.", "",
             "| chapter | threads | runs | median seconds |", "|---|---|---|---|"]
    lines += [f"| {chapter.stem} | {threads} | {len(times)} | {median(times):.0f} |"
              for (chapter, threads), times in seconds.items()]
    return "# The chapters, repeated\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
