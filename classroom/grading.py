"""A class's submissions become records: inputs are made and outcomes judged here, run elsewhere.

Of what comes out of the sandbox only the values that an answer returned can earn anything, and
they are read as from an enemy.
"""

import builtins
import functools
import hashlib
import json
import os
import re
import signal
import sys
import threading
import time
import warnings
from collections import Counter
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import attnlib
from attnlib.exercises import core, judging
from attnlib.exercises.core import Exercise, Result
from attnlib.running import plain
from attnlib.running.outcome import Outcome
from attnlib.running.runner import changed
from attnlib.running.watching import CHARACTERS_SHOWN, WATCHED
from press.chapters import marker

from .answers import Cell, find
from .gradebook import Mark, Record, claim, read_record, write_record
from .kit import Kit
from .sandbox import server
from .sandbox.limits import SECONDS, usual_total
from .sandbox.outside import NoSandbox, Sandbox, file_array, probe
from .submissions import InDoubt, Submission, collect, content

PASSED_OVER = 3  # cells of one notebook that may end the child before the answer is reached
BAR = (TextColumn("grading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
       TextColumn("{task.description}", markup=False))
NUMBERS = 20_000  # that an answer may return beyond eight times what went in and was expected

LARGEST = 96 * 2**20  # bytes of all files of one submission that are looked into

NOT_FOUND = ("No answer was found: neither the line `{marker}` nor a function "
             "`{function}`.")
ENDED = {
    "time": Result("timed_out", "It was stopped after the time limit. Look for a loop that does "
                                "not end, or for work done again and again."),
    "size": Result("wrong_kind", "What came back is far larger than what the task asks for."),
    "files": Result("raised", "It was stopped: it made more files than any answer needs."),
    "done": Result("raised", "It ended the whole process in which it ran: by leaving it, by a "
                             "crash, or for want of memory."),
    "changed": Result("forbidden_call", "It changed the process that runs everybody's answers, "
                                        "which no answer needs to do."),
}
ENDED["lost"] = ENDED["time"]
OF_ANOTHER_KIND = Result("wrong_kind", "What came back is not of the form that the task asks for: "
                                       "look at its kind, its shape and its names.")
TRUSTED = "It was graded without a sandbox (--trust-submissions)."


@dataclass(frozen=True)
class Job:
    """All that is needed to grade one submission, wherever it is done.

    Args:
        kit, submission: what is graded.
        digest: of all that the marks depend on.
        files: ``((name, bytes, problem), ...)``, the one that counts first.
        only, before: ids of exercises to grade again, and the record that holds the others.
        trust: whether there is no sandbox.
        seconds: of processor time for each cell, and for an answer.
        total: the same for the whole submission.
    """

    kit: Kit
    submission: Submission
    digest: str = ""
    files: tuple = ()
    only: tuple[str, ...] = ()
    before: Record | None = None
    trust: bool = False
    seconds: float = SECONDS
    total: float = 120.0


@dataclass(frozen=True, eq=False)
class Prepared:
    """An exercise with its secret inputs, and what is right for them."""

    exercise: Exercise
    cases: list
    expected: list | None
    request: dict
    arrays: list

    @property
    def numbers(self):
        """How many numbers a right answer can hold, generously."""
        known = sum(array.size for array in self.arrays)
        for outcome in self.expected or ():
            known += sum(np.size(array) for array in plain.pack([outcome])[1])
        return NUMBERS + 8 * known


@functools.lru_cache(maxsize=512)
def prepared(kit, id, variant):
    """The inputs of an exercise of a kit, made once per process.

    Args:
        kit: `Kit`.
        id, variant: the exercise.

    Returns:
        `Prepared`.
    """
    exercise = kit.exercise(id, variant)
    cases = exercise.cases(kit.case_seed(id))
    inputs = [(case.args, case.kwargs) for case in cases]
    text, arrays = plain.pack([Outcome(value=inputs)])
    request = {"do": "answer", "cases": text, "rooms": [case.room for case in cases],
               "takes": exercise.takes, "forbidden": exercise.forbidden,
               "names": core.argument_names(exercise)}
    return Prepared(exercise, cases, judging.expect(exercise, cases), request, arrays)


# One submission.


def graded(job):
    """Grade one submission.

    Args:
        job: `Job`.

    Returns:
        `Record`.

    Raises:
        NoSandbox: if there is no sandbox to run it in.
    """
    sandbox = _sandbox(job.trust)
    kit, submission = job.kit, job.submission
    notes, private = list(submission.notes), [TRUSTED] * job.trust
    file, notebook = handed_in(sandbox, job, notes)
    cells = notebook.get("cells", [])
    answers = {task.id: find(cells, task.id, task.function) for task in kit.tasks}
    _edition(kit, notebook, answers, notes)
    usual = _usual_variant(kit, notebook, submission.variant, notes, private)
    marks, run = {}, Run(sandbox, cells, job.seconds, job.total)
    for task in kit.tasks:
        if job.only and task.id not in job.only:
            marks[task.id] = job.before.marks[task.id]
            continue
        answer = answers[task.id]
        notes += [answer.note] * bool(answer.note)
        variant = usual if task.draws else None
        if task.draws and submission.variant is None and answer.variant in range(
                1, len(task.draws) + 1):
            variant = answer.variant
        result = run.answered(prepared(kit, task.id, variant), task, answer)
        if variant and result.status not in ("passed", "not_attempted", "timed_out"):
            private += run.of_another(kit, task, answer, variant)
        shown = told(result)
        marks[task.id] = Mark(task.id, round(task.points * result.credit, 4), task.points,
                              result.status, result.mistake, shown.sentence, result.witness)
    notes += run.notes
    if job.only:  # what was said of the others holds still
        notes, private = ([*dict.fromkeys([*(note for note in before if not any(
            f"to {id} " in note for id in job.only)), *now])] for before, now in (
                (job.before.notes, notes), (job.before.private, private)))
    sources = {id: cells[a.cell].source for id, a in answers.items() if a.cell is not None}
    return Record(submission.student, submission.name, file, job.digest, tuple(notes), sources,
                  marks, tuple(private))


def handed_in(sandbox, job, notes):
    """The notebook that counts: the first that can be read and answers something.

    Args:
        sandbox: `Sandbox`, in which files are read.
        job: `Job`.
        notes: list, to which is added why others do not count.

    Returns:
        file, notebook: its name, and ``{"cells", "edition", "variant"}``; empty if there is none.
    """
    problems, spare = [], ()
    for name, data, problem in job.files:
        found, problem = ([], problem) if problem else read(sandbox, data)
        answering = [notebook for notebook in found if any(
            find(notebook["cells"], task.id, task.function).cell is not None
            for task in job.kit.tasks)]
        if answering:
            if problems:
                notes.append(f"`{job.files[0][0].rpartition('/')[2]}` does not count: "
                             f"{problems[0]}")
            if len(answering) > 1:
                notes.append(f"{len(answering)} notebooks are in the archive; the last counts.")
            return name, answering[-1]
        spare = spare or (name, found[-1]) if found else spare
        problems.append(problem or "It answers nothing of this assignment.")
    if spare:
        return spare
    notes += problems[:1]
    return (job.files[0][0] if job.files else ""), {}


_own = threading.local()


def _sandbox(trust):
    """This thread's sandbox, started and probed when first needed."""
    if getattr(_own, "trust", None) is not trust:
        sandbox = Sandbox(trust)
        if not trust:
            probe(sandbox)
        _own.sandbox, _own.trust = sandbox, trust
    return _own.sandbox


def read(sandbox, data):
    """The notebooks in a file, and what they say of themselves.

    Args:
        sandbox: `Sandbox`, in which it is read.
        data: the file.

    Returns:
        notebooks, problem: each ``{"cells": list of Cell, "edition", "variant"}``; why there is
        none.
    """
    state, body = sandbox.ask({"do": "read"}, [file_array(data)])
    try:
        message, _ = server.unpacked(body)
        found = [{"cells": list(map(_cell, notebook["cells"])), "edition": str(notebook["edition"]),
                  "variant": str(notebook["variant"])} for notebook in message["notebooks"]]
        return found, "" if found else (
            f"What was handed in is {message['problem']}: it cannot be graded.")
    except (ValueError, TypeError, KeyError, RecursionError):
        return [], "What was handed in cannot be read: it is damaged, or far too large."


def _cell(said):
    """What was said of a cell inside, as what it should be."""
    return Cell(str(said["source"]), bool(said["code"]),
                tuple((str(id), v if type(v) is int else None) for id, v in said["markers"]),
                {str(name): bool(more) for name, more in said["defines"].items()},
                tuple(map(str, said["checks"])))


def _edition(kit, notebook, answers, notes):
    """Note what does not fit this assignment."""
    edition = notebook.get("edition", "")
    if re.fullmatch("[0-9a-f]{8}", edition) and edition != kit.edition:
        notes.append(f"It is another version of the assignment (edition {edition}; this is "
                     f"{kit.edition}).")
    others = {id for cell in notebook.get("cells", ()) for id in cell.marked} - answers.keys()
    if others:
        listed = ", ".join(sorted(others)[:8])
        notes.append(f"It also answers what this assignment does not ask: {listed}.")


def _usual_variant(kit, notebook, dealt, notes, private):
    """The variant that a student has: as it was dealt, else as most markers say."""
    if not kit.variants or not notebook:
        return 1
    known = [str(number) for number in range(1, kit.variants + 1)]
    counts = Counter(str(variant) for cell in notebook["cells"] for _, variant in cell.markers)
    counts = Counter({variant: counts[variant] for variant in known if counts[variant]})
    if len(counts) > 1:
        notes.append(f"Its answers are to different variants: {', '.join(counts)}.")
    said = {*counts, *({notebook["variant"]} & set(known))}
    if dealt in range(1, kit.variants + 1):
        if said - {str(dealt)}:
            private.append(f"Variant {dealt} was handed out; the notebook says "
                           f"{', '.join(sorted(said - {str(dealt)}))}.")
        return dealt
    if not said:
        notes.append("It does not say which variant it is; it was graded as variant 1.")
        return 1
    if counts and notebook["variant"] in known and notebook["variant"] not in counts:
        private.append(f"The title says variant {notebook['variant']}, the answers "
                       f"{', '.join(counts)}.")
    return int(counts.most_common(1)[0][0] if counts else notebook["variant"])


class Run:
    """One notebook's answers, run one by one; what its cells took is kept.

    Args:
        sandbox: `Sandbox`.
        cells: the notebook's `Cell`s.
        seconds: of processor time for each cell, and for an answer.
        total: the same for all.
    """

    def __init__(self, sandbox, cells, seconds, total):
        self.sandbox, self.cells, self.seconds, self.total = sandbox, cells, seconds, total
        self.left, self.passed_over, self.spent, self.notes = total, set(), Counter(), []

    def answered(self, ready, task, answer):
        """What is to be said of one answer.

        Args:
            ready: `Prepared`.
            task: `classroom.kit.Task`.
            answer: `classroom.answers.Answer`, where it stands.

        Returns:
            `Result`, as the instructor may read it.
        """
        if answer.cell is None:
            return not_found(task.id, answer)
        if len(self.passed_over) > PASSED_OVER:
            return Result("timed_out", f"More than {PASSED_OVER} cells of the notebook had to be "
                          "stopped, so the answer was not run.")
        while True:
            if self.left <= 0:
                return self._used_up()
            runs = [i for i in answer.runs if i not in self.passed_over]
            request = ready.request | {
                "id": task.id, "name": answer.function,
                "cells": [self.cells[i].source for i in runs],
                "checked": bool(runs) and task.id in self.cells[runs[-1]].checks}
            state, body = self.sandbox.ask(request, ready.arrays, self.seconds, self.left)
            self.left -= state["used"]
            for i, seconds in zip(runs, state["cells"]):
                self.spent[i] += seconds
            stuck = runs[state["begun"] - 1] if 0 < state["begun"] <= len(runs) else answer.cell
            if state["ended"] == "total" and self.left > 0.5:
                state["ended"] = "time"
            if state["called"] or state["ended"] in ("total", "changed") or stuck == answer.cell:
                break
            self.passed_over.add(stuck)
            why = (f"ran for more than {self.seconds:g} seconds" if state["ended"] == "time"
                   else "ended the whole process")
            self.notes.append(f"{self._named(stuck)} {why} and was passed over.")
            if len(self.passed_over) > PASSED_OVER:
                break
        if not body:
            return self._used_up() if state["ended"] == "total" else ENDED[state["ended"]]
        if state["ended"] == "total":
            return self._used_up()
        return judged(ready, body, [self.cells[i].source for i in runs], answer)

    def of_another(self, kit, task, answer, variant):
        """What to tell the instructor of an answer that is right for another variant."""
        others = {draw: number for number, draw in enumerate(task.draws, 1)}
        others.pop(task.draws[variant - 1], None)
        for number in sorted(others.values()):
            if self.left > 0 and self.answered(prepared(kit, task.id, number), task, answer):
                return [f"The answer to {task.id} is right for variant {number}, which this "
                        f"student does not have (theirs is {variant})."]
        return []

    def _named(self, i):
        """A cell in words: its number among the code cells, and its first line."""
        first = next(filter(None, map(str.strip, self.cells[i].source.splitlines())), "")
        return f"Code cell {i + 1} (`{first[:60].replace('`', '')}`)"

    def _used_up(self):
        (cell, seconds), = self.spent.most_common(1) or [(0, 0.0)]
        blame = f" {self._named(cell)} took most of it." if seconds > self.total / 2 else ""
        return Result("timed_out", f"The notebook had used up the {self.total:g} seconds of "
                      f"processor time that it has.{blame}")


def not_found(id, answer):
    """What is said where there is no answer."""
    return Result("not_attempted", NOT_FOUND.format(marker=marker(id.partition("/")[0]),
                                                    function=answer.function))


# What came out of the sandbox.


class Once:
    """Arrays that can be taken out once each: a bomb would name one of them a million times."""

    def __init__(self, arrays):
        self.left = dict(enumerate(arrays))

    def __getitem__(self, index):
        return self.left.pop(index)


def judged(ready, body, sources, answer):
    """What is to be said of what an answer returned.

    Args:
        ready: `Prepared`.
        body: what the child sent.
        sources: the text of the cells that were run: lines of a traceback must stand there.
        answer: `classroom.answers.Answer`.

    Returns:
        `Result`, as the instructor may read it.
    """
    try:
        message, arrays = server.unpacked(body)
        if "missing" in message and answer.asked_only:
            return not_found(ready.exercise.id, answer)
        if "missing" in message:
            stops = message.get("stops")
            because = f" with {stops}" if stops in EXCEPTIONS else ""
            return with_lacks(message, sources, Result("raised", "Running its cell did not define "
                          f"`{answer.function}`: a cell stops before{because}."))
        if sum(array.size for array in arrays) > ready.numbers:
            return ENDED["size"]
        outcomes = plain.unpack(message["outcomes"], Once(arrays))
        if len(message["outcomes"]) > server.TEXT or len(outcomes) != len(ready.cases):
            return ENDED["size"]
        names = {*ready.request["names"], *(f"argument {i}" for i in range(1, 20)),
                 *(name for case in ready.cases for name in case.kwargs)}
        lines = {line.strip() for source in sources for line in source.splitlines()}
        outcomes = [cleaned(outcome, case, ready, names, lines)
                    for outcome, case in zip(outcomes, ready.cases)]
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            result = judging.judge(ready.exercise, ready.cases, outcomes, ready.expected)
        return with_lacks(message, sources, with_lines(result, outcomes))
    except (Exception, RecursionError):  # a forged outcome, or one of a form nobody thought of
        return OF_ANOTHER_KIND


EXCEPTIONS = {name for name, thing in vars(builtins).items()
              if isinstance(thing, type) and issubclass(thing, BaseException)}
EXCEPTIONS |= {"LinAlgError", "AxisError"}


def cleaned(outcome, case, ready, names, lines):
    """An outcome in which nothing is believed that can be seen from outside.

    Args:
        outcome: `Outcome`.
        case: `Case`, what it was called with.
        ready: `Prepared`.
        names: what its arguments are called.
        lines: the notebook's lines, without spaces around them.

    Returns:
        `Outcome`.
    """
    exercise = ready.exercise
    raised = outcome.raised if outcome.raised in EXCEPTIONS else "Exception"
    left = () if outcome.timed_out or outcome.untouched else changed(
        plain.plain((case.args, case.kwargs)), outcome.after, ready.request["names"])
    return replace(
        outcome, printed="", after=None, raised=raised if outcome.raised else "",
        message=outcome.message[:CHARACTERS_SHOWN] if outcome.raised else "",
        frames=tuple((name, number, line) for name, number, line in outcome.frames[:3]
                     if line in lines and name.strip("<>").isidentifier()),
        half=outcome.half and is_half(outcome.value),
        changed=tuple(name for name in dict.fromkeys((*outcome.changed, *left)) if name in names),
        forbidden=tuple(name for name in outcome.forbidden
                        if name in (*exercise.forbidden, "sys.setprofile")),
        replaced=tuple(name if _is_function(name) else "a library's function"
                       for name in outcome.replaced))


def is_half(value):
    """Whether a plain value holds numbers, and none that half precision could not.

    bfloat16 comes as float32. Numbers in a list are of full precision, whatever is said of them.
    """
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return bool(value) and all(map(is_half, value))
    if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind == "f":
        return value.dtype == np.float16 or (
            value.dtype == np.float32 and not (value.view(np.uint32) & 0xFFFF).any())
    return isinstance(value, np.ndarray) and value.dtype.kind in "biu"


def with_lacks(message, sources, result):
    """A result that also names the modules that were missing, if the notebook names them."""
    lacks = message.get("lacks", ())
    if result.status == "passed" or not lacks:
        return result
    words = {word for source in sources for word in re.findall(r"\w+", source)}
    found = sorted({name.partition(".")[0] for name in lacks} & words - {"attnlib"})
    listed = ", ".join(f"`{name}`" for name in found[:3])
    return replace(result, sentence=f"{result.sentence} (Grading has no module {listed}: it has "
                   "numpy, torch, matplotlib, attnlib and Python's own.)") if found else result


def with_lines(result, outcomes):
    """A result whose sentence shows the line of the student's own code at which it stopped."""
    if result.status != "raised":
        return result
    frames = next((outcome.frames for outcome in outcomes if outcome.raised), ())
    if not frames:
        return result
    name, number, line = frames[-1]
    return replace(result, sentence=f"{result.sentence} It happened in `{name}`, in the line "
                   f"`{line[:120].replace('`', '')}`.")


def _is_function(name):
    owner, _, attribute = name.rpartition(".")
    return owner in WATCHED and hasattr(sys.modules.get(owner), attribute)


def told(result):
    """A result as a student may read it: no witness, no form that an answer gave back.

    In an exception's own words, long numbers are left out: they can be the secret inputs.
    """
    sentence = result.sentence
    if result.status == "wrong_kind" and result not in ENDED.values():
        sentence = OF_ANOTHER_KIND.sentence
    if result.status == "raised":
        sentence = re.sub(r"-?\d*\.\d+(e[+-]?\d+)?|\d{4,}|\d+e[+-]?\d+", "…", sentence)
    return replace(result, sentence=sentence, witness="")


# A class.


@dataclass
class Summary:
    """How a run went: how many were graded, kept from before, and which could not be graded."""

    graded: int = 0
    kept: int = 0
    failed: tuple[str, ...] = ()


def grade(kit, folder, grades, *, roster=(), first=False, only=(), workers=None, scheduler=None,
          trust=False, yes=False, seconds=SECONDS, total=None):
    """Grade a class; what was graded before and has not changed is kept.

    Args:
        kit: `Kit`.
        folder: of the submissions.
        grades: folder for the records.
        roster: `classroom.roster.Student`s.
        first: whether the first of several notebooks of a student counts, not the last.
        only: ids of the exercises to grade again; the other marks are kept.
        workers, scheduler: how many processes, by default one per core; or the address of a dask
            scheduler, whose workers are used instead.
        trust: whether to run students' code without bubblewrap.
        yes: whether to grade although it is in doubt whose some uploads are.
        seconds: of processor time for each of a notebook's cells, and for an answer.
        total: the same for a whole submission; else `limits.usual_total`.

    Returns:
        `Summary`.

    Raises:
        NoSandbox: if there is no sandbox and ``trust`` is false.
        InDoubt: if it is in doubt whose some uploads are, and ``yes`` is false.
        KeyError: if ``only`` names an exercise that the kit does not have.
        ValueError: if the grades are another kit's.
    """
    for id in only:
        kit.task(id)
    collected, summary = collect(folder, with_variants(kit, roster), first, kit.slug), Summary()
    if collected.doubts and not yes:
        raise InDoubt("It is in doubt whose these are:\n  " + "\n  ".join(collected.doubts)
                      + "\nSettle it in the roster's column `upload`, or, if `collect` shows what "
                      "is right, grade with --yes. Nothing was graded.")
    claim(kit, grades)
    found = collected.submissions
    how = dict(only=tuple(only), trust=trust, seconds=seconds,
               total=usual_total(len(kit.tasks)) if total is None else total)
    jobs = (_job(kit, folder, grades, one, **how) for one in found)
    with Progress(*BAR, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=len(found))
        for job, record in mapped(filter(None, jobs), workers or os.cpu_count(), scheduler):
            summary.graded += 1
            if record is None:
                record = _failed(job)
                summary.failed += (record.student,)
            write_record(grades, record)
            bar.update(task, advance=1, description=record.student)
        bar.update(task, completed=len(found))
    summary.kept = len(found) - summary.graded
    return summary


def with_variants(kit, roster):
    """The roster, with the variants that `assign` dealt where the roster itself says none."""
    dealt = kit.dealt()
    return tuple(student if student.variant else replace(student, variant=dealt.get(student.id))
                 for student in roster)


def _job(kit, folder, grades, submission, only, **how):
    """What is to be done for a submission; None if its marks stand already."""
    files, left = [], LARGEST
    for file in submission.files:
        data, problem = content(folder, file)
        if len(data) <= left:
            files.append((file, data, problem))
            left -= len(data)
    about = [kit.seed, kit.variants, [task.as_graded for task in kit.tasks], attnlib.__version__,
             submission.files, submission.notes, submission.variant, how["trust"],
             [problem for *_, problem in files]]
    digest = hashlib.sha256(json.dumps(about).encode())
    for _, data, _ in files:
        digest.update(data)
    digest = digest.hexdigest()
    before = read_record(grades, submission.student)
    if before is None or before.digest != digest or any(
            task.id not in before.marks for task in kit.tasks):
        before, only = None, ()
    if before is not None:
        worth = worth_now(kit, replace(before, name=submission.name or before.name))
        if worth != before:
            write_record(grades, worth)
        before = worth
        if not only:
            return None
    return Job(kit, submission, digest, tuple(files), only, before, how["trust"], how["seconds"],
               how["total"])


def worth_now(kit, record):
    """A record with the points that the exercises are worth now: those can change at any time."""
    marks = {task.id: replace(mark, out_of=task.points,
                              points=round(mark.points / mark.out_of * task.points, 4))
             if (mark := record.marks[task.id]).out_of != task.points else mark
             for task in kit.tasks}
    return replace(record, marks=marks)


def _failed(job):
    """The record of a submission at which grading failed; it is tried again the next time."""
    sentence = "It could not be graded; this is not your mark. Your instructor knows of it."
    marks = {task.id: Mark(task.id, 0.0, task.points, "not_attempted", sentence=sentence)
             for task in job.kit.tasks}
    return Record(job.submission.student, job.submission.name, "".join(job.submission.files[:1]),
                  notes=(*job.submission.notes, sentence), marks=marks)


# Over many processes.


def mapped(jobs, workers, scheduler=None):
    """Grade jobs in parallel, few of them in memory at a time.

    Args:
        jobs: iterable of `Job`.
        workers: how many processes.
        scheduler: address of a dask scheduler; then its workers do it.

    Yields:
        `Job` and its `Record`, in the order in which they are done; the record is None where
        grading failed, or its process was lost twice.
    """
    waiting = iter(jobs)
    while True:
        lost = []
        with executor(workers, scheduler) as (pool, width):
            yield from _through(pool, width, waiting, lost)
        if not lost:
            return
        for job in lost:  # each alone, to see which of them it was
            with executor(1, scheduler) as (pool, _):
                again = []
                yield from _through(pool, 1, iter([job]), again)
                yield from ((job, None) for job in again)


def _through(pool, width, jobs, lost):
    """Jobs and their records; when the pool breaks, what it was doing is added to ``lost``."""
    running = {}
    while True:
        while not lost and len(running) < 2 * width and (job := next(jobs, None)) is not None:
            try:
                with interrupts_held():
                    running[pool.submit(graded, job)] = job
            except BrokenExecutor:
                lost.append(job)
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            job = running.pop(future)
            try:
                yield job, future.result()
            except NoSandbox:
                raise
            except BrokenExecutor:
                lost.append(job)
            except Exception:
                yield job, None


@contextmanager
def interrupts_held():
    """Ctrl+C waits: a process that is started meanwhile never gets it, and prints no traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_with(parent):
    """End this process, and with it its sandbox, when the one that started it is gone."""
    def watch():
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def executor(workers, scheduler=None):
    """An executor and how many jobs it does at a time; whoever interrupts it need not wait."""
    if scheduler is None:
        pool = ProcessPoolExecutor(workers, get_context("spawn"), leave_with, (os.getpid(),))
        try:
            yield pool, workers
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()
        return
    try:
        from distributed import Client
    except ImportError:
        raise NoSandbox("--scheduler needs dask: pip install distributed") from None
    with Client(scheduler) as client:
        threads = sum(client.nthreads().values())
        with client.get_executor() as pool:
            yield pool, max(1, threads)
