"""Prove the exercises' checks: every mistake is named, right passes, tricks and mutants do not.

``python -m proofs.exercises`` tries every exercise that has changed since it was proved on 20
seeds, on every core, and stores what comes of each in proofs/exercises.json: stop it and start it
again as you like. It prints the page book/proof.md from that, and fails unless all of it holds.
``python -m proofs.exercises 2 4.3`` tries chapter 2 and exercise 4.3, changed or not, and keeps the
rest. A mutant that survives fails the run until somebody writes the reason beside its name in the
stored file, where it is kept from then on.
"""

import datetime
import functools
import importlib.metadata
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.progress import track

from attnlib.exercises import core, exercises, get
from attnlib.exercises.notebook import assess, assess_seed

from . import cases, sources, tables
from .students import answers, tricks

ROOT = Path(__file__).parent.parent
SEEDS = range(20)
MOST = {"right": 0.05, "wrong": 0.3}  # seconds, medians over the exercises
LEAST = 0.98  # of the mutants that change behaviour are refused
REPEATS = 5


def main(names):
    old, now = TABLE.read().get("exercises", {}), TABLE.now()
    named = [id for id in now if {id, id.partition(".")[0]} & set(names)]
    chosen = named or [id for id in sources.stale(old, now) if id in now]
    versions = {name: importlib.metadata.version(name) for name in ("mutmut", "numpy", "torch")}
    stored = {"seeds": len(SEEDS), "python": platform.python_version(), **versions}
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        jobs = {pool.submit(proved_anew, id, old.get(id, {})): id for id in chosen}
        for job in track(as_completed(jobs), total=len(jobs), description="proving"):
            id = jobs[job]
            old[id] = job.result() | {"sources": now[id]}
            TABLE.write(stored | {"exercises": {id: old[id] for id in now if id in old}})
            if old[id]["faults"]:
                print(*old[id]["faults"], sep="\n", flush=True)
    print(TABLE.printed())
    sys.exit("\n".join(faults(TABLE.read())) or None)


@functools.cache
def tried_again():
    """What the tests try again of all this: what has changed since, and one of each chapter."""
    stale = TABLE.stale()
    return [one for one in exercises() if one.id in stale or one.id.endswith(".3")]


def proved_anew(id, known):
    """`proved` for an id, in a process of its own."""
    os.environ["ATTNLIB_PROGRESS"] = "off"
    return proved(get(id), known)


# What is tried.

def proved(exercise, known):
    """The record of one exercise; ``known`` is its old one, with the reasons for survivors."""
    right, complaints = answers.answer(exercise, "solution"), {}
    record = {
        "version": exercise.version, "date": str(datetime.date.today()),
        "mistakes": mistakes(exercise, complaints),
        "right": right_answers(exercise, right, complaints),
        "tricks": tricky_answers(exercise, right, complaints),
        "mutants": mutants(exercise, known.get("mutants", {})),
        "seconds": {"right": seconds(exercise, right),
                    "wrong": seconds(exercise, wrong(exercise, right))},
        "left_out": cases.missing(exercise), "spared": exercise.spared,
    }
    complaints |= {f"{kind} of its inputs": ("some seed", core.Result("left out", what))
                   for kind, what in record["left_out"].items()}
    return record | {"faults": [f"{exercise.id}: {what} is {result} on {seed}: {result.sentence}"
                                for what, (seed, result) in complaints.items()]}


def mistakes(exercise, complaints):
    """How many known mistakes are refused, and how many with their own sentence, on all seeds."""
    passed, unnamed = set(), set()
    for seed in SEEDS:
        for mistake in (way for one in exercise.mistakes for way in core.ways(one)):
            result = answers.judged(exercise, mistake.answer, seed)
            own = answers.alike(exercise, mistake)
            if result:
                passed.add(mistake.name)
            if not (result.status == "known_mistake" and result.mistake in own
                    and result.sentence == own[result.mistake].sentence):
                unnamed.add(mistake.name)
                complaints[f"the mistake {mistake.name}"] = f"seed {seed}", result
    tried = len(exercise.mistakes)
    return {"tried": tried, "pairs": sum("+" in mistake.name for mistake in exercise.mistakes),
            "alike": len(exercise.equivalent), "caught": tried - len(passed),
            "named": tried - len(unnamed)}


def right_answers(exercise, right, complaints):
    """How many right answers in other clothes are accepted, on all seeds."""
    wardrobe, refused = clothes(exercise, right), set()
    for what, (exercise, answer) in wardrobe.items():
        for seed in SEEDS:
            result, _ = assess_seed(exercise, answer, seed)
            if not result:
                refused.add(what)
                complaints[what] = f"seed {seed}", result
    return {"tried": len(wardrobe), "accepted": len(wardrobe) - len(refused)}


def clothes(exercise, right):
    """``{what it is: (exercise, answer)}``: right answers in every dress that suits them."""
    kinds = {"numpy", "torch"}
    found = {"the solution": right, "a lambda": lambda *a, **k: right(*a, **k),
             "an object with __call__": answers.Answering(right),
             "a partial function": functools.partial(right)}
    found |= {f"variant {i}": variant for i, variant in enumerate(exercise.variants, 1)}
    whole = list(found.items())
    if exercise.reference and _fits_lists(exercise, right):
        found["the solution, in lists"] = answers.in_lists(right)
    if exercise.kind in core.CODE_KINDS:
        found |= {f"{what}, in {dtype}": answers.in_dtype(answer, dtype) for what, answer in whole
                  for dtype in ("float32", "float64") if not answers.needs_torch(exercise, answer)}
    found = {what: (exercise, answer) for what, answer in found.items()}
    other, = kinds - {exercise.takes}
    return found | {f"{what}, called with {other}": (replace(exercise, takes=other), answer)
                    for what, answer in whole if exercise.kind in core.CODE_KINDS
                    and answers.works_with(exercise, answer, other)}


def _fits_lists(exercise, right):
    """Whether lists can say what the solution says: no length of 0 is lost in them."""
    values = [answers.plain.plain(right(*case.args, **case.kwargs))
              for case in exercise.cases(0)] if exercise.takes == "numpy" else [np.zeros(0)]
    return all(np.size(x) > 0 for value in values
               for x in (value if isinstance(value, (tuple, list)) else [value]))


def tricky_answers(exercise, right, complaints):
    """How many tricky answers are refused, whichever seed is the public one."""
    tried, passed = set(), set()
    for seed in SEEDS:
        wrong = {**tricks.tricks(exercise, right, seed), **tricks.forbidden(exercise, right),
                 **tricks.without_thought(exercise), **tricks.of_the_right_form(exercise, right)}
        tried |= set(wrong)
        for what, answer in wrong.items():
            with tricks.libraries_restored():
                result = answers.judged(exercise, answer, seed)
                if result:
                    result = answers.judged(exercise, answer, seed + 1)
            if result or (what.startswith(("calls", "replaces"))
                          and result.status != "forbidden_call"):
                passed.add(what)
                complaints[f"an answer that is or does this: {what},"] = f"seed {seed}", result
    return {"tried": len(tried), "refused": len(tried - passed)}


def mutants(exercise, known):
    """How many mutants of the solution were made, change what it does, and are refused."""
    if exercise.kind not in core.CODE_KINDS:
        return {}
    from proofs.broken_solutions import broken  # needs mutmut
    found, reasons = broken(exercise), known.get("survivors", {})
    return {"made": found["made"], "changed": found["changed"],
            "refused": found["changed"] - len(found["survivors"]),
            "survivors": {name: reasons.get(name, "") for name in found["survivors"]}}


# How long it takes.

def wrong(exercise, right):
    """An answer that is wrong in a way that no mistake knows, so that all of them are tried."""
    changes = lambda x: x + x + 0.37, lambda x: x * 0.0 + 0.37, lambda x: "word"
    found = [answers.changed_after(right, change) for change in changes]
    results = [answers.judged(exercise, answer, 0) for answer in found]
    return next(answer for answer, result in zip(found, results)
                if not result and result.status != "known_mistake")


def seconds(exercise, answer):
    """The shortest of a few checks, in seconds of the clock and of the processor.

    What passes inside the answer is not counted.
    """
    def timed(*args, **kwargs):
        begin = time.perf_counter(), time.process_time()
        try:
            return answer(*args, **kwargs)
        finally:
            own.append((time.perf_counter() - begin[0], time.process_time() - begin[1]))

    shortest = []
    for _ in range(REPEATS):
        own, begin = [], (time.perf_counter(), time.process_time())
        assess(exercise, timed)
        whole = time.perf_counter() - begin[0], time.process_time() - begin[1]
        shortest.append([whole[i] - sum(part[i] for part in own) for i in (0, 1)])
    clock, processor = map(min, zip(*shortest))
    return {"clock": round(clock, 4), "processor": round(processor, 4)}


# What came of it.

def faults(stored):
    """What does not hold, in sentences."""
    records = stored["exercises"]
    found = [fault for record in records.values() for fault in record["faults"]]
    for id, record in records.items():
        tally = record["mistakes"], record["right"], record["tricks"]
        full = all(count == part["tried"] for part in tally for what, count in part.items()
                   if what in ("caught", "named", "accepted", "refused"))
        if not full and not record["faults"]:
            found.append(f"{id}: the stored numbers are not all 100 %")
        found += [f"{id}: a mutant survives without a reason in exercises.json: {name}"
                  for name, reason in record["mutants"].get("survivors", {}).items() if not reason]
        if record["mutants"] and not record["mutants"]["changed"]:
            found.append(f"{id}: no mutant of the solution changes what it does")
    changed, refused = (_sum(records, "mutants", what) for what in ("changed", "refused"))
    if refused < LEAST * changed:
        found.append(f"{refused} of {changed} mutants are refused, {LEAST:.0%} wanted")
    for which, most in MOST.items():
        median = _median(records, which, "clock")
        if median > most:
            found.append(f"a check takes {1000 * median:.0f} ms when {which}, "
                         f"{1000 * most:.0f} ms allowed")
    return found


def _sum(records, part, what):
    return sum(record[part].get(what, 0) for record in records.values())


def _median(records, which, clock):
    return statistics.median(record["seconds"][which][clock] for record in records.values())


# The page.

TEXT = """\
# Proof that the checks work

An exercise's check is only as good as the wrong answers it refuses. So every exercise of this book
is tried with answers whose worth is known: {when}, with Python {python}, numpy {numpy} and
torch {torch}. `make proofs` does it again.

What was tried, on {seeds} different draws of each exercise's inputs:

- **Known mistakes.** {mistakes} wrong answers that people really give, {pairs} of them two mistakes
  made at once. The check must refuse each of them on every draw ("caught"), and say of it what it
  says of no other ("named").{alike}
- **Right answers in other clothes.** {right} of them: loops, einsum, the other kind of array,
  single and double precision, lists, a lambda, an object that can be called. Each must pass on
  every draw ("accepted").
- **Tricky answers.** {tricks} of them. One gives back what it got, knows the public inputs by
  heart, knows one shape, is right on easy inputs only or the first time only, is different on
  every call, changes its arguments, returns an array that equals everything, replaces functions
  of numpy or torch, or calls a function that the exercise forbids. The check must refuse each of
  them on every draw ("refused").
- **Broken solutions.** [mutmut](https://mutmut.readthedocs.io) {mutmut} breaks every solution that
  is a program, one small change at a time: a sign, an axis, an argument left out. A comparison
  that knows nothing of the check, on 1,000 random inputs in double precision, decides which of the
  {made} changes matter. {changed} do; the check refuses {refused} of these, {share:.1f} %.
- **Time.** A check takes {right_ms:.0f} ms when the answer is right, and {wrong_ms:.0f} ms when it
  is wrong in a way that no mistake explains, so that all of them are tried: medians over the
  exercises, the time inside the answer not counted. In brackets: the processor's own time.

{first}

{second}

{survivors}

## What the inputs leave out

A mistake passes where the one coincidence is missing that tells. So the inputs themselves are
looked at, on three draws: are two lengths, or two whole numbers of one array, once *alike* and once
*apart*, is each length once *1* and some length 0 (*empty*), is some row all *zeros*, some number
*large* (100 or more), some row *small* (0.01 or less), and do all comparisons and branches of the
right answers (solution, reference, variants) go both ways (*sides*)? A dash says that the exercise
gives a reason why not, at least for one of its lengths; without one nothing may be missing.

{inputs}
"""


def page(stored, stale=()):
    """The page of the book that says what was proved."""
    records = stored["exercises"]
    part = {name: functools.partial(_sum, records, name)
            for name in ("mistakes", "right", "tricks", "mutants")}
    alike, changed = part["mistakes"]("alike"), part["mutants"]("changed")
    refused = part["mutants"]("refused")
    return TEXT.format(
        **{name: stored[name] for name in ("python", "numpy", "torch", "mutmut", "seeds")},
        when=_when(records), mistakes=part["mistakes"]("tried") - alike,
        pairs=part["mistakes"]("pairs"), right=part["right"]("tried"),
        alike=f" {alike} more cannot be told from another one." * bool(alike),
        tricks=part["tricks"]("tried"), made=part["mutants"]("made"), changed=changed,
        refused=refused, share=100 * refused / changed,
        right_ms=1000 * _median(records, "right", "clock"),
        wrong_ms=1000 * _median(records, "wrong", "clock"), first=_first(records, part, stale),
        second=_second(records, part), survivors=_survivors(records),
        inputs=_inputs(records))


def _when(records):
    days = [tables.day(date) for date in sorted({record["date"] for record in records.values()})]
    return f"on {days[0]}" if len(days) == 1 else f"between {days[0]} and {days[-1]}"


def _first(records, part, stale):
    columns = [("mistakes", "tried"), ("mistakes", "caught"), ("mistakes", "named"),
               ("right", "tried"), ("right", "accepted"),
               ("tricks", "tried"), ("tricks", "refused")]
    rows = [[tables.marked(id, stale), *(record[name][what] for name, what in columns)]
            for id, record in records.items()]
    head = ["exercise", "mistakes", "caught", "named", "right answers", "accepted",
            "tricky answers", "refused"]
    every = ["**all**", *(part[name](what) for name, what in columns)]
    return "\n\n".join([tables.markdown(head, [*rows, every], right=range(1, 8)),
                        *tables.notes(stale)])


def _second(records, part):
    counts = ("changed", "refused")
    rows = [[id, record["version"], *(record["mutants"].get(count, "") for count in counts),
             *(_milliseconds(**record["seconds"][which]) for which in MOST)]
            for id, record in records.items()]
    medians = [_milliseconds(*(_median(records, which, clock) for clock in ("clock", "processor")))
               for which in MOST]
    head = ["exercise", "version", "changes that matter", "refused", "right, ms", "wrong, ms"]
    return tables.markdown(head, [*rows, ["**all**", "", *map(part["mutants"], counts), *medians]],
                           right=range(1, 6))


def _inputs(records):
    """What is missing among the inputs of every exercise that is a program."""
    signs = {name: ["-" if any(kind == spared.partition(":")[0]
                               for spared in record.get("spared", ())) else
                    "missing" if kind in record["left_out"] else "yes"
                    for kind in cases.KINDS]
             for name, record in records.items() if record["mutants"] and "left_out" in record}
    return tables.markdown(["exercise", *cases.KINDS], [[id, *row] for id, row in signs.items()])


def _milliseconds(clock, processor):
    return f"{1000 * clock:.1f} ({1000 * processor:.1f})"


def _survivors(records):
    """Why they pass; without their lines, which are a solution's: those are in exercises.json."""
    counts = Counter((id, reason) for id, record in records.items()
                     for reason in record["mutants"].get("survivors", {}).values())
    lines = [f"- {id}, {count} of them: {reason}" for (id, reason), count in counts.items()]
    if not lines:
        return "No broken solution that does something else passes its check."
    return "The broken solutions that do something else and pass, and why:\n\n" + "\n".join(lines)


TABLE = tables.Table(
    stored=ROOT / "proofs" / "exercises.json", page=ROOT / "book" / "proof.md", text=page,
    rows=lambda stored: stored["exercises"], strict=True,
    now=lambda: {exercise.id: sources.of_exercise(exercise) for exercise in exercises()})


if __name__ == "__main__":
    main(sys.argv[1:])
