"""Run every chapter on every processor that this machine can play: the same outputs each time.

``python -m proofs.repeat`` runs the chapters that have changed since they were last run, with one
thread and with two, and stores each row as it comes: stop it and start it again as you like. It
prints proofs/repeat.md and fails if a run differs from the stored outputs. ``python -m
proofs.repeat 6 9`` runs chapters 6 and 9, changed or not. nbval does the comparing.

The page has beside them what `make test-versions` found.
"""

import datetime
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

from . import sources, tables, versions
from .processors import PROCESSORS, environment, playable

ROOT = Path(__file__).resolve().parent.parent
THREADS = (1, 2)
FARTHEST = "SSE 4.2"  # what `make test` plays: of all, it is the least like a processor of today


def main(numbers):
    """Run what is stale, or the chapters with these numbers."""
    stored = TABLE.read() or {"rows": {}}
    now = TABLE.now()
    chosen = [name for name in (TABLE.stale() if not numbers else now) if name in now
              and (not numbers or name[:2].lstrip("0") in numbers)
              and split(name)[1] in playable()]
    paths = {path.stem: path for path in chapter_paths()}
    said = []
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        jobs = {pool.submit(differences, paths[split(name)[0]], split(name)[1], threads):
                (name, threads) for name in chosen for threads in THREADS}
        found = {}
        for job in track(as_completed(jobs), total=len(jobs), description="running"):
            name, threads = jobs[job]
            messages, seconds = job.result()
            said += messages
            found.setdefault(name, {})[threads] = messages, seconds
            if len(found[name]) == len(THREADS):
                stored["rows"][name] = made() | {
                    "sources": now[name], "seconds": round(found[name][THREADS[0]][1]),
                    "differs": [line for threads in THREADS for line in found[name][threads][0]]}
                stored["rows"] = {key: stored["rows"][key] for key in now if key in stored["rows"]}
                TABLE.write(stored)
    print(TABLE.printed())
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


# What is stored.


def made():
    """When, where and with what a row is made."""
    return {"date": str(datetime.date.today()), "machine": machine(),
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("numpy", "torch")}}


def machine():
    """What the processor calls itself, and the best instructions that torch finds in it."""
    import torch

    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    best = torch.backends.cpu.get_cpu_capability()
    return f"{(names or [platform.processor() or platform.machine()])[0]} ({best})"


def split(name):
    """A row's name as chapter and column.

    >>> split("09_capstone, SSE 4.2")
    ['09_capstone', 'SSE 4.2']
    """
    return name.split(", ", 1)


def digests(columns):
    """``{name: digest}`` as the chapters are now."""
    return {f"{path.stem}, {column}": sources.of_chapter(path, left_out=())
            for path in chapter_paths() for column in columns}


# The page.

HEAD = """\
# The same on every machine

A processor sums in an order of its own, and the last digits of a result are a matter of that order.
What this book prints is not. Each chapter, exercises and their solutions included, runs from its
first cell to its last as each of these processors, with one thread and with two. `same`: every
output came out as it is stored, letter for letter, but for those that print a time. Seconds are
processor time on one thread, the start of Python included.
"""
PLAYED = """\
One machine plays several: it is told before Python starts which instructions to use, and in which
order a product of matrices is summed. `native` is the machine as it is.
"""
OTHERS = """\
The other columns are sets of versions, those of `make test-versions`: the chapter's student
notebook runs there.
"""


def page(stored, stale):
    rows = stored.get("rows", {})
    sets = versions.TABLE.read().get("sets", {})
    lines = [[f"[{path.stem}](../book/{path.name})",
              *(word(rows, stale, f"{path.stem}, {name}") for name in PROCESSORS),
              *(found.get("chapters", {}).get(path.stem, "not run") or "runs"
                for found in sets.values()),
              rows.get(f"{path.stem}, native", {}).get("seconds", "")] for path in chapter_paths()]
    head = ["chapter", *PROCESSORS, *sets, "seconds"]
    where = dict.fromkeys(
        f"- {row['machine']}, Python {row['python']}, numpy {row['numpy']}, torch {row['torch']}: "
        f"{tables.day(row['date'])}" for row in rows.values())
    notes = tables.notes({name for name in stale if name in rows})
    return "\n".join([HEAD, tables.markdown(head, lines, right=[len(head) - 1]), "", PLAYED,
                      *([OTHERS] if sets else []), *(["Made on:", ""] if where else []), *where,
                      *(["", *notes] if notes else []), ""])


def word(rows, stale, name):
    """What a row says in one word or two."""
    if name not in rows:
        return "not run"
    differ = len(rows[name]["differs"])
    return (f"{differ} differ" if differ else "same") + tables.STALE * (name in stale)


TABLE = tables.Table(
    stored=ROOT / "proofs" / "repeat.json", page=ROOT / "proofs" / "repeat.md", text=page,
    rows=lambda stored: stored["rows"], now=lambda: digests(PROCESSORS))

if __name__ == "__main__":
    main(sys.argv[1:])
