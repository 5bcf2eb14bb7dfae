"""The star: every chapter over seeds, budgets and processors; do its verdicts read the same?

``python -m proofs.verdicts 3 6`` runs chapters 3 and 6 at each point of the star that has no fresh
row yet, on every core it may use, and stores each row as it comes: stop it and start it again as
you like. ``--seeds 3 --budget 1`` runs the part of it with the first three seeds at budget 1.

A point is a seed, a budget and a processor. At each, a chapter runs as it stands, exercises left
out, in a kernel of its own. A row says which cells failed, what became of every claim, and how
many seconds of processor time the kernel took. It is bound to the chapter's code and stored
outputs: when these change, the row is stale. A chapter is unanimous when all points are there and
fresh, nothing failed, and every claim has one verdict. Its name then leaves unsettled.txt, and
the tests hold that it does not come back.
"""

import ast
import datetime
import json
import multiprocessing
import os
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import NamedTuple

import click
import nbformat
from nbclient import NotebookClient
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from attnlib.exercises.files import write_whole
from press.chapters import ROOT, Chapter, chapter_paths, tags
from press.claims_page import UNSETTLED, claims, lines_of, measured, unsettled
from proofs import processors, sources

STORED = ROOT / "proofs" / "star"  # a table for each chapter
PAGE = ROOT / "proofs" / "verdicts.md"
SEEDS = {1: range(10), 3: range(3), 10: range(3)}  # the seeds at each budget
SECONDS = {"09_capstone": 90}  # of processor time that a chapter may take; 45 for the others
LAST = "import time\nprint(time.process_time())"


class Point(NamedTuple):
    """Where a chapter runs."""

    seed: int
    budget: int
    processor: str

    def __str__(self):
        return f"seed {self.seed}, budget {self.budget}, {self.processor}"


def star():
    """The points, the cheap ones first."""
    elsewhere = [Point(0, 1, name) for name in processors.PROCESSORS if name != "native"]
    here = [Point(seed, budget, "native") for budget, seeds in SEEDS.items() for seed in seeds]
    return sorted(here + elsewhere, key=lambda point: point.budget)


def code_cells(chapter):
    """(index, cell) of the code that the star runs: all but the exercises."""
    return [(index, cell) for index, cell in enumerate(chapter.cells)
            if cell.cell_type == "code" and not sources.ANSWERS & set(tags(cell))]


def run(path, point):
    """The row of a chapter at a point.

    Args:
        path: the notebook; it is not changed.
        point: a `Point`.

    Returns:
        A dictionary: ``failed``, a list with the number of each failed cell, counted from 1, and
        its error in a line; ``claims``, {id: verdict, condition and what was measured}; ``seconds``
        of processor time.
    """
    chapter = Chapter(path)
    kept = code_cells(chapter)
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
        cells=[nbformat.v4.new_code_cell(cell.source) for _, cell in kept]
        + [nbformat.v4.new_code_cell(LAST)])
    environment = processors.environment(point.processor) | {
        "BOOK_SEED": str(point.seed), "BOOK_BUDGET": str(point.budget)}
    client = NotebookClient(notebook, timeout=None, allow_errors=True, coalesce_streams=True,
                            resources={"metadata": {"path": str(path.parent)}})
    client.execute(env=environment, stderr=subprocess.DEVNULL)
    failed, found = [], {}
    for (index, _), cell in zip(kept, notebook.cells):
        found |= {id: [line.verdict, line.when, line.measured] for id, line in lines_of(cell)}
        failed += [[index + 1, error_of(out)] for out in cell.outputs
                   if out.output_type == "error"]
    return {"failed": failed, "claims": found,
            "seconds": round(float(notebook.cells[-1].outputs[0].text), 1)}


def error_of(out):
    """An error in one line; an assertion without words shows the line that failed."""
    words = f"{out.ename}: {out.evalue}".strip(": ")
    if out.ename == "AssertionError" and not out.evalue:
        plain = [click.unstyle(line) for line in "\n".join(out.traceback).splitlines()]
        arrows = [line.partition(" ")[2] for line in plain if line.startswith("---->")]
        words += "".join(f": {line.lstrip('0123456789 ')}" for line in arrows[-1:])
    return " ".join(words.split())[:200]


def literal_steps(source):
    """The numbers of training steps that a cell writes as they are, without ``tasks.steps``.

    They are what is given as ``steps`` in a call, a signature or a ``dict``, the fourth argument
    of ``train``, and what a name that ends in "steps" is set to, one by one.

    >>> literal_steps("tasks.train(make, loss, draw, 200, lr=0.1); f(steps=tasks.steps(300))")
    [200]
    """
    given = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            named = getattr(node.func, "attr", getattr(node.func, "id", ""))
            given += [keyword.value for keyword in node.keywords if about_steps(keyword.arg)]
            given += node.args[3:4] if named == "train" else []
        elif isinstance(node, ast.FunctionDef | ast.Lambda):
            named = node.args.posonlyargs + node.args.args
            defaults = node.args.defaults
            pairs = [*zip(named[len(named) - len(defaults):], defaults, strict=True),
                     *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)]
            given += [value for name, value in pairs if about_steps(name.arg)]
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.For | ast.comprehension):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else node.iter
            pairs = [(name, value) for name in targets]
            if isinstance(targets[0], ast.Tuple) and isinstance(value, ast.Tuple):
                pairs = zip(targets[0].elts, value.elts, strict=False)
            given += [value for name, value in pairs if about_steps(getattr(name, "id", ""))]
    parts = [part for value in given for part in getattr(value, "elts", [value])]
    return sorted({part.value for part in parts
                   if isinstance(part, ast.Constant) and type(part.value) is int})


def about_steps(name):
    """Whether a name is that of a number of steps."""
    return bool(name) and name.lower().endswith("steps")


# What is stored.


def table(chapter):
    """What is stored of a chapter: ``settled``, the day it became unanimous, and its ``rows``."""
    path = STORED / f"{chapter.path.stem}.json"
    if not path.exists():
        return {"settled": None, "rows": {}}
    return json.loads(path.read_text(encoding="utf-8"))


def store(chapter, found):
    """Write a chapter's table, a row in a line, its points in the star's order."""
    order = [str(point) for point in star()]
    rows = sorted(found["rows"].items(), key=lambda item: order.index(item[0]))
    lines = [f"  {json.dumps(point)}: {json.dumps(row, ensure_ascii=False)}" for point, row in rows]
    write_whole(
        STORED / f"{chapter.path.stem}.json",
        f'{{"settled": {json.dumps(found["settled"])}, "rows": {{\n' + ",\n".join(lines)
        + "\n}}\n")


def fresh(chapter, found):
    """The rows that belong to the chapter as it stands: {point: row}."""
    now = sources.of_chapter(chapter.path)
    return {point: row for point, row in found["rows"].items() if row["sources"] == now}


def faults(chapter, found):
    """What keeps a chapter from being unanimous, a line for each fault.

    Args:
        chapter: a `press.chapters.Chapter`.
        found: its table.

    Returns:
        A list of strings; empty when the star is whole, fresh and of one voice.
    """
    name = chapter.path.stem
    again = f"run `python -m proofs.verdicts {name}`"
    rows, points = fresh(chapter, found), [str(point) for point in star()]
    stale = [point for point in points if point in found["rows"] and point not in rows]
    absent = [point for point in points if point not in found["rows"]]
    lines = []
    for what, which in (("stale: the chapter has changed since", stale), ("not run yet", absent)):
        if which:
            lines.append(f"{name}: {len(which)} of {len(points)} points of the star are {what}: "
                         f"{again}")
    failed = {}
    for point, row in rows.items():
        for cell, error in row["failed"]:
            failed.setdefault((cell, error), []).append(point)
    lines += [f"{name}, cell {cell}, at {'; '.join(at)}: {error}"
              for (cell, error), at in sorted(failed.items())]
    printed = measured(chapter)
    for id in [claim["id"] for claim in claims() if claim["chapter"] == name]:
        if id not in printed:
            lines.append(f"{name}: claim {id} has no cell: add one that ends with "
                         f"claim({id!r}, ...)")
            continue
        silent = [point for point, row in rows.items() if id not in row["claims"]]
        if silent:
            lines.append(f"{name}: claim {id} has no verdict at {'; '.join(silent)}")
        other = {}
        for point, row in rows.items():
            if id in row["claims"] and said(row["claims"][id]) != said(printed[id]):
                other.setdefault(said(row["claims"][id]), []).append(point)
        lines += [f"{name}: claim {id}, printed as {said(printed[id])!r}, reads {verdict!r} at "
                  + "; ".join(at) for verdict, at in other.items()]
    told = " ".join([claim["text"] for claim in claims() if claim["chapter"] == name]
                    + [" ".join(filter(None, line)) for line in printed.values()])
    for index, cell in code_cells(chapter):
        lines += [f"{name}, cell {index + 1}: {steps} steps are written as they are, and no claim "
                  f"speaks of {steps} steps: say it there, or write tasks.steps({steps})"
                  for steps in literal_steps(cell.source)
                  if not re.search(rf"\b{steps}(?: \w+)? steps\b", told)]
    seconds, most = rows.get(str(star()[0]), {}).get("seconds") or 0, SECONDS.get(name, 45)
    if seconds > most:
        lines.append(f"{name}: takes {seconds:.0f} s of processor time, more than {most}")
    return lines


def said(verdict):
    """A verdict with its condition, as words."""
    word, when, *_ = verdict
    return f"{word} when {when}" if when else word


# The command.


@click.command()
@click.argument("names", nargs=-1, metavar="[CHAPTER]...")
@click.option("--seeds", type=int, default=10, help="The first so many seeds alone.")
@click.option("--budget", "budgets", type=int, multiple=True, help="These budgets alone.")
def main(names, seeds, budgets):
    """Run chapters, such as 3 or 03_softmax, over the star; all of them if none is named."""
    chapters = chosen(names)
    points = part(seeds, budgets or tuple(SEEDS))
    known = {chapter: table(chapter) for chapter in chapters}
    jobs = [(chapter, point) for point in points for chapter in chapters
            if str(point) not in fresh(chapter, known[chapter])]
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                  TimeElapsedColumn()) as progress, ProcessPoolExecutor(
                      cores(), mp_context=multiprocessing.get_context("spawn")) as pool:
        bar = progress.add_task("points of the star", total=len(jobs))
        under_way = {pool.submit(attempt, chapter.path, point): (chapter, point)
                     for chapter, point in jobs}
        for done in as_completed(under_way):
            chapter, point = under_way[done]
            row = done.result()
            known[chapter]["rows"][str(point)] = row
            store(chapter, known[chapter])
            progress.advance(bar)
            progress.console.print(f"{chapter.path.stem:<14} {point!s:<42} {row['seconds']:6.1f} s"
                                   f"{len(row['failed']):4} failed", markup=False, highlight=False)
    fallen = []
    for chapter in chapters:
        found = faults(chapter, known[chapter])
        if not found:
            settle(chapter, known[chapter])
        fallen += found
    PAGE.write_text(page(), encoding="utf-8")
    click.echo("\n".join(fallen) or "Unanimous: nothing failed, and every verdict reads the same.")
    sys.exit(bool(fallen))


def chosen(names):
    """The chapters of these names, by number or stem."""
    every = [Chapter(path) for path in chapter_paths()]
    known = {name: chapter for chapter in every for stem in [chapter.path.stem]
             for name in (stem, stem[:2], stem[:2].lstrip("0"))}
    for name in names:
        if name not in known:
            raise click.ClickException(f"there is no chapter {name!r}: say 1 to {len(every)}, "
                                       f"or {every[0].path.stem}")
    return list(dict.fromkeys(known[name] for name in names)) if names else every


def part(seeds, budgets):
    """The points with the first so many seeds and these budgets, on processors played here."""
    for budget in budgets:
        if budget not in SEEDS:
            raise click.ClickException(f"budget {budget} is not on the star: it has "
                                       f"{', '.join(map(str, SEEDS))}")
    if not 1 <= seeds <= len(SEEDS[1]):
        raise click.ClickException(f"the star has 1 to {len(SEEDS[1])} seeds, got {seeds}")
    played = processors.playable()
    return [point for point in star()
            if point.budget in budgets and point.seed < seeds and point.processor in played]


def cores():
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def attempt(path, point):
    """`run`, with what stops a kernel as a failure of the whole chapter."""
    now = sources.of_chapter(path)
    try:
        row = run(path, point)
    except Exception as error:  # a kernel that dies must not stop the other points
        row = {"failed": [[0, f"the kernel stopped: {type(error).__name__}: {error}"[:200]]],
               "claims": {}, "seconds": 0.0}
    return {"sources": now, "date": str(datetime.date.today())} | row


def settle(chapter, found):
    """Take a chapter that is unanimous off the list, for good."""
    if not found["settled"]:
        store(chapter, found | {"settled": str(datetime.date.today())})
    left = [name for name in unsettled() if name != chapter.path.stem]
    UNSETTLED.write_text("".join(f"{name}\n" for name in left), encoding="utf-8")


# The page.

HEAD = """\
# Verdicts over the star

A chapter is a function of its seed, its budget and the processor. At every point of a star it runs
from its first cell to its last, exercises left out: with {seeds} seeds at budget 1, with three
seeds trained three and ten times longer, and with the first seed on each processor that one machine
can play. All of its assertions must hold at all of these points, and every claim must get the same
verdict. Seconds are processor time of one run.

| chapter | points run | cells failed | claims whose verdict varies | seconds at budget 1, 3, 10 |
|---|--:|--:|--:|---|
"""


def page():
    """proofs/verdicts.md: what came of each chapter, printed from the stored tables."""
    lines, details = [], []
    for chapter in map(Chapter, chapter_paths()):
        name, found = chapter.path.stem, table(chapter)
        rows = fresh(chapter, found)
        failed = sum(len(row["failed"]) for row in rows.values())
        varied = [id for id, verdicts in verdicts_of(rows).items() if len(verdicts) > 1]
        seconds = " / ".join(spread([row["seconds"] for point, row in rows.items()
                                     if f"budget {budget}," in point]) for budget in SEEDS)
        lines.append(f"| [{name}](../book/{name}.ipynb) | {len(rows)} of {len(star())} | "
                     f"{failed} | {len(varied)} | {seconds} |\n")
        found = faults(chapter, found) if rows else []
        if found:
            details.append(f"\n## {name}\n\n" + "".join(f"- {plain(line)}\n" for line in found))
    return HEAD.format(seeds=len(SEEDS[1])) + "".join(lines + details)


def stale():
    """The points to be run again or at all, of chapters that have a table: as `sources.stale`."""
    rows, now = {}, {}
    for chapter in map(Chapter, chapter_paths()):
        stem, found = chapter.path.stem, table(chapter)
        if found["rows"]:
            rows |= {f"{stem}, {point}": row for point, row in found["rows"].items()}
            now |= {f"{stem}, {point}": sources.of_chapter(chapter.path) for point in star()}
    return sources.stale(rows, now)


def verdicts_of(rows):
    """What each claim got in these rows: {id: the set of its verdicts}."""
    verdicts = {}
    for row in rows.values():
        for id, verdict in row["claims"].items():
            verdicts.setdefault(id, set()).add(said(verdict))
    return verdicts


def spread(seconds):
    """The least and the most of some seconds, in whole ones."""
    return "-" if not seconds else " to ".join(
        dict.fromkeys(f"{some:.0f}" for some in (min(seconds), max(seconds))))


def plain(line):
    """Words that Markdown would take for its own, as they are."""
    return re.sub(r"([\\*<>|\[\]$])", r"\\\1", line)


if __name__ == "__main__":
    main()
