"""A class's submissions become records: inputs are made and outcomes judged here, run elsewhere.

Of what comes out of the sandbox only the values that an answer returned can earn anything, and
they are read as from an enemy.
"""

import builtins
import functools
import hashlib
import json
import re
import sys
import threading
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
from os import cpu_count

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import attnlib
from attnlib.exercises import judging
from attnlib.exercises.core import Exercise, Result
from attnlib.running import plain
from attnlib.running.outcome import Outcome
from attnlib.running.runner import SECONDS
from attnlib.running.watching import WATCHED
from press.chapters import marker

from .gradebook import Mark, Record, read_record, write_record
from .kit import Kit
from .sandbox import server
from .sandbox.outside import NoSandbox, Sandbox, file_array, probe
from .submissions import Submission, content, find, markers, submissions

PASSED_OVER = 3  # cells of one notebook that may end the child before the answer is reached
BAR = (TextColumn("grading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
       TextColumn("{task.description}", markup=False))
NUMBERS = 20_000  # that an answer may return beyond eight times what went in and was expected

NOT_FOUND = ("No answer was found: neither the line `{marker}` nor a function "
             "`{function}`.")
ENDED = {
    "time": Result("timed_out", "It was stopped after the time limit. Look for a loop that does "
                                "not end, or for work done again and again."),
    "size": Result("wrong_kind", "What came back is far larger than what the task asks for."),
    "done": Result("raised", "It ended the whole process in which it ran: by leaving it, by a "
                             "crash, or for want of memory."),
}
ENDED["lost"] = ENDED["time"]
OF_ANOTHER_KIND = Result("wrong_kind", "What came back is not of the form that the task asks for: "
                                       "look at its kind, its shape and its names.")


@dataclass(frozen=True)
class Job:
    """All that is needed to grade one submission, wherever it is done."""

    kit: Kit
    submission: Submission
    digest: str
    data: bytes
    problem: str
    only: tuple[str, ...]
    before: Record | None
    trust: bool
    seconds: float


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
    request = {"do": "answer", "cases": text, "takes": exercise.takes,
               "forbidden": exercise.forbidden, "names": judging.argument_names(exercise)}
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
    kit, submission, notes = job.kit, job.submission, list(job.submission.notes)
    notebook, problem = ({}, job.problem) if job.problem else read(sandbox, job.data)
    if problem:
        notes.append(problem)
    cells = notebook.get("cells", [])
    answers = {task.id: find(cells, task.id, task.function) for task in kit.tasks}
    _edition(kit, notebook, answers, notes)
    usual = _usual_variant(kit, notebook, notes)
    marks, passed_over = {}, set()
    for task in kit.tasks:
        if job.only and task.id not in job.only:
            marks[task.id] = job.before.marks[task.id]
            continue
        answer = answers[task.id]
        variant = answer.variant if answer.variant in range(1, len(task.draws) + 1) else usual
        result = (ENDED["time"] if len(passed_over) > PASSED_OVER else
                  answered(sandbox, prepared(kit, task.id, variant if task.draws else None), cells,
                           answer, passed_over, job.seconds))
        marks[task.id] = Mark(task.id, round(task.points * result.credit, 4), task.points,
                              result.status, result.mistake, result.sentence)
    sources = {id: cells[a.cell] for id, a in answers.items() if a.cell is not None}
    return Record(submission.student, submission.name, submission.file, job.digest,
                  tuple(notes), sources, marks)


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
    """The code cells of a notebook, and what it says of itself.

    Args:
        sandbox: `Sandbox`, in which it is read.
        data: the file.

    Returns:
        notebook, problem: ``{"cells", "edition", "variant"}``, all text, and why there is none.
    """
    state, body = sandbox.ask({"do": "read"}, [file_array(data)])
    try:
        message, _ = server.unpacked(body)
        if "problem" in message:
            return {}, f"What was handed in is {message['problem']}: it cannot be graded."
        return {"cells": [str(cell) for cell in message["cells"]],
                "edition": str(message["edition"]), "variant": str(message["variant"])}, ""
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}, "What was handed in cannot be read: it is damaged, or far too large."


def _edition(kit, notebook, answers, notes):
    """Note what does not fit this assignment."""
    edition = notebook.get("edition", "")
    if re.fullmatch("[0-9a-f]{8}", edition) and edition != kit.edition:
        notes.append(f"It is another version of the assignment (edition {edition}; this is "
                     f"{kit.edition}).")
    others = {id for cell in notebook.get("cells", ()) for id in markers(cell)} - answers.keys()
    if others:
        listed = ", ".join(sorted(others)[:8])
        notes.append(f"It also answers what this assignment does not ask: {listed}.")


def _usual_variant(kit, notebook, notes):
    """The variant that a notebook is, going by most of its markers; noted if that is not plain."""
    if not kit.variants or not notebook:
        return 1
    known = [str(number) for number in range(1, kit.variants + 1)]
    counts = Counter(str(variant) for cell in notebook["cells"]
                     for variants in markers(cell).values() for variant in variants)
    counts = Counter({variant: counts[variant] for variant in known if counts[variant]})
    if len(counts) > 1:
        notes.append(f"Its answers are to different variants: {', '.join(counts)}.")
    if not counts and notebook["variant"] not in known:
        notes.append("It does not say which variant it is; it was graded as variant 1.")
    said = notebook["variant"] if notebook["variant"] in known else "1"
    return int(counts.most_common(1)[0][0] if counts else said)


def answered(sandbox, ready, cells, answer, passed_over, seconds):
    """What is to be said of one answer.

    Args:
        sandbox: `Sandbox`.
        ready: `Prepared`.
        cells: the notebook's code.
        answer: `Answer`, where it stands.
        passed_over: indices of cells that are not run, as they end the process or do not end
            themselves; more are added.
        seconds: for the cells, and once more for the answer.

    Returns:
        `Result`, which tells nothing of the inputs.
    """
    if answer.cell is None:
        id = ready.exercise.id.partition("/")[0]
        return Result("not_attempted", NOT_FOUND.format(marker=marker(id),
                                                        function=answer.function))
    while True:
        used = [i for i in range(answer.cell + 1) if i not in passed_over]
        request = ready.request | {"name": answer.function, "cells": [cells[i] for i in used]}
        state, body = sandbox.ask(request, ready.arrays, seconds)
        stuck = used[state["begun"] - 1] if 0 < state["begun"] <= len(used) else answer.cell
        if state["called"] or stuck == answer.cell or len(passed_over) >= PASSED_OVER:
            break
        passed_over.add(stuck)
    return told(judged(ready, body, answer) if body else ENDED[state["ended"]])


# What came out of the sandbox.


class Once:
    """Arrays that can be taken out once each: a bomb would name one of them a million times."""

    def __init__(self, arrays):
        self.left = dict(enumerate(arrays))

    def __getitem__(self, index):
        return self.left.pop(index)


def judged(ready, body, answer):
    """What is to be said of what an answer returned.

    Args:
        ready: `Prepared`.
        body: what the child sent.
        answer: `Answer`.

    Returns:
        `Result`.
    """
    try:
        message, arrays = server.unpacked(body)
        if "missing" in message:
            return Result("raised", f"Running its cell did not define `{answer.function}`: the "
                                    "cell stops before.")
        if sum(array.size for array in arrays) > ready.numbers:
            return ENDED["size"]
        outcomes = plain.unpack(message["outcomes"], Once(arrays))
        if len(message["outcomes"]) > server.TEXT or len(outcomes) != len(ready.cases):
            return ENDED["size"]
        names = {*ready.request["names"], *(f"argument {i}" for i in range(1, 20)),
                 *(name for case in ready.cases for name in case.kwargs)}
        outcomes = [cleaned(outcome, ready.exercise, names) for outcome in outcomes]
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return judging.judge(ready.exercise, ready.cases, outcomes, ready.expected)
    except (Exception, RecursionError):  # a forged outcome, or one of a form nobody thought of
        return OF_ANOTHER_KIND


EXCEPTIONS = {name for name, thing in vars(builtins).items()
              if isinstance(thing, type) and issubclass(thing, BaseException)}
EXCEPTIONS |= {"LinAlgError", "AxisError"}


def cleaned(outcome, exercise, names):
    """An outcome without words of the student's, which could tell the secret inputs.

    Args:
        outcome: `Outcome`.
        exercise: `Exercise`.
        names: what its arguments are called.

    Returns:
        `Outcome`.
    """
    raised = outcome.raised if outcome.raised in EXCEPTIONS else "Exception"
    arrays = plain.pack([outcome])[1]
    return replace(
        outcome, message="", frames=(), printed="", raised=raised if outcome.raised else "",
        half=outcome.half and all(map(_is_half, arrays)),
        changed=tuple(name for name in outcome.changed if name in names),
        forbidden=tuple(name for name in outcome.forbidden
                        if name in (*exercise.forbidden, "sys.setprofile")),
        replaced=tuple(name if _is_function(name) else "a library's function"
                       for name in outcome.replaced))


def _is_half(array):
    """Whether it holds nothing that half precision (bfloat16 comes as float32) could not."""
    return array.dtype.kind != "f" or array.dtype == np.float16 or (
        array.dtype == np.float32 and not (array.view(np.uint32) & 0xFFFF).any())


def _is_function(name):
    owner, _, attribute = name.rpartition(".")
    return owner in WATCHED and hasattr(sys.modules.get(owner), attribute)


def told(result):
    """A result as a student may read it: no witness, no form or number that an answer gave back."""
    sentence = result.sentence
    if result.status == "wrong_kind" and result not in ENDED.values():
        sentence = OF_ANOTHER_KIND.sentence
    if result.status == "broken_law":
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
          trust=False, seconds=SECONDS):
    """Grade a class; what was graded before and has not changed is kept.

    Args:
        kit: `Kit`.
        folder: of the submissions.
        grades: folder for the records.
        roster: `classroom.submissions.Student`s.
        first: whether the first of several notebooks of a student counts, not the last.
        only: ids of the exercises to grade again; the other marks are kept.
        workers, scheduler: how many processes, by default one per core; or the address of a dask
            scheduler, whose workers are used instead.
        trust: whether to run students' code without bubblewrap.
        seconds: for a notebook's cells, and once more for an answer.

    Returns:
        `Summary`.

    Raises:
        NoSandbox: if there is no sandbox and ``trust`` is false.
        KeyError: if ``only`` names an exercise that the kit does not have.
    """
    for id in only:
        kit.task(id)
    found, summary = submissions(folder, roster, first), Summary()
    jobs = (_job(kit, folder, grades, one, tuple(only), trust, seconds) for one in found)
    with Progress(*BAR, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=len(found))
        for job, record in mapped(filter(None, jobs), workers or cpu_count(), scheduler):
            summary.graded += 1
            if record is None:
                record = _failed(job)
                summary.failed += (record.student,)
            write_record(grades, record)
            bar.update(task, advance=1, description=record.student)
        bar.update(task, completed=len(found))
    summary.kept = len(found) - summary.graded
    return summary


def _job(kit, folder, grades, submission, only, trust, seconds):
    """What is to be done for a submission; None if its marks stand already."""
    data, problem = content(folder, submission.file) if submission.file else (b"", "")
    about = [kit.seed, kit.variants, [repr(task) for task in kit.tasks], attnlib.__version__,
             submission.file, submission.notes, problem]
    digest = hashlib.sha256(json.dumps(about).encode() + data).hexdigest()
    before = read_record(grades, submission.student)
    if before is None or before.digest != digest or any(
            task.id not in before.marks for task in kit.tasks):
        before, only = None, ()
    if before is not None and not only:
        return None
    if not submission.file:
        problem = "There is nothing to grade."
    return Job(kit, submission, digest, data, problem, only, before, trust, seconds)


def _failed(job):
    """The record of a submission at which grading failed; it is tried again the next time."""
    sentence = "It could not be graded; this is not your mark. Your instructor knows of it."
    marks = {task.id: Mark(task.id, 0.0, task.points, "not_attempted", sentence=sentence)
             for task in job.kit.tasks}
    return Record(job.submission.student, job.submission.name, job.submission.file,
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
def executor(workers, scheduler=None):
    """An executor and how many jobs it does at a time."""
    if scheduler is None:
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            yield pool, workers
        return
    try:
        from distributed import Client
    except ImportError:
        raise NoSandbox("--scheduler needs dask: pip install distributed") from None
    with Client(scheduler) as client:
        threads = sum(client.nthreads().values())
        with client.get_executor() as pool:
            yield pool, max(1, threads)
