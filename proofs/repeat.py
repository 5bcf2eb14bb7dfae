"""Run every chapter on every processor that this machine can play: the same outputs each time.

``python -m proofs.repeat`` runs the chapters that have changed since they were last run, with one
thread and with two, and stores each row as it comes: stop it and start it again as you like. It
prints proofs/machines.md and fails if a run differs from the stored outputs. ``python -m
proofs.repeat 6 9`` runs chapters 6 and 9, changed or not. nbval does the comparing.
"""

import importlib.metadata
import multiprocessing
import os
import platform
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from xml.etree import ElementTree

from rich.progress import track

from press.chapters import Chapter, chapter_paths

from . import machines
from .processors import environment, playable

ROOT = Path(__file__).resolve().parent.parent
THREADS = (1, 2)
FARTHEST = "SSE 4.2"  # what `make test` plays: of all, it is the least like a processor of today


def main(numbers):
    """Run what is stale, or the chapters with these numbers."""
    rows = [name for name in machines.digests() if machines.split(name)[1] in playable()]
    stale = machines.TABLE.stale()
    chosen = [name for name in rows
              if (name[:2].lstrip("0") in numbers if numbers else name in stale)]
    paths = {path.stem: path for path in chapter_paths()}
    said, found = [], {}
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        jobs = {pool.submit(differences, paths[machines.split(name)[0]], machines.split(name)[1],
                            threads): (name, threads) for name in chosen for threads in THREADS}
        for job in track(as_completed(jobs), total=len(jobs), description="running"):
            name, threads = jobs[job]
            found.setdefault(name, {})[threads] = job.result()
            if len(found[name]) == len(THREADS):
                messages = [line for threads in THREADS for line in found[name][threads][0]]
                said += messages
                machines.store(name, {
                    "versions": versions(), "seconds": round(found[name][THREADS[0]][1]),
                    "differs": messages})
    print(machines.TABLE.printed())
    sys.exit("\n\n".join(said) or None)


def differences(path, processor, threads):
    """Run a notebook against its stored outputs, in a process that plays a processor.

    Args:
        path: of the notebook.
        processor: a name of `processors.PROCESSORS`.
        threads: how many threads it starts with.

    Returns:
        A message for each cell that differs, with the cell, the processor and both outputs; and
        the seconds of processor time that the run took, kernel included.
    """
    before = children_seconds()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n0", "--nbval", "--color=no", "-p",
             "no:cacheprovider", f"--junitxml={report}", str(path)], cwd=ROOT,
            env=environment(processor, threads), capture_output=True, text=True)
        cases = ElementTree.parse(report).iter("testcase") if report.exists() else ()
        failed = [(case.get("name"), fault.text or fault.get("message")) for case in cases
                  for fault in case if fault.tag in ("failure", "error")]
    seconds = children_seconds() - before
    where = f"played as {processor!r} with {threads} thread{'s' * (threads > 1)}"
    if done.returncode and not failed:
        failed = [("", done.stdout + done.stderr)]
    return [f"{place(path, name)}, {where}:\n{text.strip()}" for name, text in failed], seconds


def place(path, name):
    """Words for a cell that nbval calls ``Cell 3``, where it counts the code cells from 0."""
    number = re.fullmatch(r"Cell (\d+)", name or "")
    if not number:
        return path.name
    chapter = Chapter(path)
    code = [i for i, cell in enumerate(chapter.cells) if cell.cell_type == "code"]
    return chapter.where(code[int(number[1])])


def children_seconds():
    """Processor time of all processes that this one has started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def versions():
    """What runs a chapter here, in a line."""
    named = [f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "torch")]
    return ", ".join([f"Python {platform.python_version()}", *named])


if __name__ == "__main__":
    main(sys.argv[1:])
