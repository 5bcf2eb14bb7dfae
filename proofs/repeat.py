"""Run every chapter ten times with one thread and ten times with two: the same outputs each time.

``python proofs/repeat.py`` stores what came of it as proofs/repeat.json, prints the table
proofs/repeat.md from that, and fails if any run differs from the stored outputs. nbval does the
comparing. ``python proofs/repeat.py 6 9`` runs chapters 6 and 9 alone and keeps the other rows.
"""

import datetime
import json
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
STORED = TABLE.with_suffix(".json")
TIMES, THREADS = 10, (1, 2)


def main(numbers):
    chapters = sorted((ROOT / "book").glob("[0-9]*.ipynb"))
    chosen = [c for c in chapters if not numbers or c.stem[:2].lstrip("0") in numbers]
    runs = [(chapter, threads) for _ in range(TIMES) for chapter in chosen for threads in THREADS]
    seconds = {run: [] for run in runs}
    failures = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = track(pool.map(nbval, *zip(*runs)), total=len(runs), description="running")
        for run, (took, fault) in zip(runs, results):
            seconds[run].append(took)
            failures += [(run, text) for text in fault]
    stored = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}
    for (chapter, threads), times in seconds.items():
        stored[f"{chapter.stem}, {threads}"] = {
            "runs": len(times), "same": len(times) - sum(run == (chapter, threads)
                                                         for run, _ in failures),
            "seconds": round(median(times)), "date": str(datetime.date.today()),
            "python": platform.python_version(), "cores": os.cpu_count()}
    kept = [f"{chapter.stem}, {threads}" for chapter in chapters for threads in THREADS]
    stored = {run: stored[run] for run in kept if run in stored}
    STORED.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    TABLE.write_text(table(stored), encoding="utf-8")
    print(TABLE.read_text(encoding="utf-8"))
    sys.exit("\n".join(text for _, text in failures) or None)


def nbval(chapter, threads):
    """Run a chapter against its stored outputs, in a process that starts with so many threads.

    Returns:
        seconds, and a list with what differed, if anything did.
    """
    environment = os.environ | {name: str(threads) for name in
                                ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "--nbval", "-p",
                           "no:cacheprovider", str(chapter)], cwd=ROOT, env=environment,
                          capture_output=True, text=True)
    fault = f"{chapter.stem}, {threads} thread(s):\n{done.stdout[-2000:]}"
    return time.perf_counter() - start, [fault] if done.returncode else []


def table(stored):
    runs, same = (sum(row[what] for row in stored.values()) for what in ("runs", "same"))
    lines = [f"{same} of {runs} runs gave exactly the stored outputs. A run on each core at once.",
             "", "| chapter, threads | runs | the same | median seconds | when, where |",
             "|---|--:|--:|--:|---|"]
    lines += [f"| {run} | {row['runs']} | {row['same']} | {row['seconds']} | {row['date']}, "
              f"Python {row['python']}, {row['cores']} cores |" for run, row in stored.items()]
    return "# The chapters, repeated\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
