"""Grade a class of 100, and time nbgrader on the same assignment in the same run.

``python -m benchmarks.grading`` writes grading.json and grading.md beside this file. The
assignment has eight exercises; in three of them the answers are written with torch. nbgrader
grades the first of the same submissions, one after the other, which is how it works; what counts
is the rate. Both must award the same points.
"""

import csv
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from classroom import gradebook, grading
from classroom.kit import make_kit
from proofs import sources, tables
from proofs.students import whole_class

from .__main__ import machine
from .report import Goal

CLASS, PEERS, WORKERS = 100, 10, 2
FILES = ("classroom/answers.py", "classroom/grading.py", *(
    f"classroom/sandbox/{name}.py" for name in (
        "answer", "bans", "limits", "outside", "reading", "server",
        "system_calls")))


def main():
    """Run both, store what was measured, and print it."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        kit = make_kit(folder / "kit", whole_class.PATTERNS, title="Attention")
        ours, marks = grade_with_classroom(kit, folder)
        theirs, scores = grade_with_nbgrader(kit)
    differ = [name for name in scores if scores[name] != marks[name]]
    if differ:
        sys.exit(f"The two award different points to {', '.join(differ)}.")
    results = dict(date=datetime.date.today().isoformat(), machine=machine(),
                   nbgrader=version("nbgrader"), students=CLASS, seconds=ours, peers=PEERS,
                   peers_seconds=theirs, workers=WORKERS, exercises=len(kit.tasks),
                   load=round(load, 1), sources=sources.of_files(*FILES))
    TABLE.write(results)
    print(TABLE.printed())


def names(count):
    return [f"student{number:03}" for number in range(count)]


def grade_with_classroom(kit, folder):
    """Seconds for the whole class, and everybody's points."""
    (folder / "submissions").mkdir()
    for number, name in enumerate(names(CLASS)):
        notebook = whole_class.filled(kit, whole_class.plan(number))
        (folder / f"submissions/{name}.ipynb").write_text(json.dumps(notebook))
    start = time.perf_counter()
    done = grading.grade(kit, folder / "submissions", folder / "grades", workers=WORKERS)
    seconds = time.perf_counter() - start
    assert done == grading.Summary(graded=CLASS), done
    records = gradebook.records(folder / "grades")
    return seconds, {record.student: record.points for record in records}


def grade_with_nbgrader(kit):
    """Seconds for the first of the class, and their points."""
    course = kit.folder / "nbgrader"
    nbgrader(course, "generate_assignment", kit.slug)
    released = json.loads((course / f"release/{kit.slug}/{kit.slug}.ipynb").read_text())
    for number, name in enumerate(names(PEERS)):
        notebook = json.loads(json.dumps(released))
        for cell in notebook["cells"]:
            answer_into(cell, whole_class.plan(number))
        place = course / f"submitted/{name}/{kit.slug}"
        place.mkdir(parents=True)
        (place / f"{kit.slug}.ipynb").write_text(json.dumps(notebook))
    start = time.perf_counter()
    nbgrader(course, "autograde", kit.slug)
    seconds = time.perf_counter() - start
    nbgrader(course, "export", "--to", "scores.csv")
    with open(course / "scores.csv", newline="") as file:
        return seconds, {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}


def answer_into(cell, answers):
    """Write an answer into nbgrader's own cell for it."""
    text = "".join(cell["source"])
    for id, what in answers.items():
        if cell["cell_type"] == "code" and text.startswith(f"# answer {id}\n"):
            if what != "untouched":
                cell["source"] = f"# answer {id}\n" + whole_class.answer(id, what)


def nbgrader(course, *words):
    """Run one of nbgrader's commands in a course folder; it looks for others on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["nbgrader", *words], cwd=course, env=os.environ | {"PATH": path}, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def goals(results):
    """What must be reached."""
    rate = results["students"] / results["seconds"]
    return [
        Goal(f"a class of {results['students']}, {results['exercises']} exercises, on "
             f"{results['workers']} cores: seconds", 90, False, results["seconds"],
             f"the load average was {results['load']} before it began"),
        Goal("times nbgrader's rate", 5, True, rate * results["peers_seconds"] / results["peers"],
             "both run the same answers on about as many inputs"),
    ]


def markdown(results, stale=()):
    """The table, the machine, and how it was measured."""
    rows = [[tables.marked(OURS, stale), results["students"], f"{results['seconds']:.1f}",
             f"{60 * results['students'] / results['seconds']:.0f}"],
            [f"nbgrader {results['nbgrader']}, not isolated", results["peers"],
             f"{results['peers_seconds']:.1f}",
             f"{60 * results['peers'] / results['peers_seconds']:.0f}"]]
    return "\n\n".join([
        "# Grading a class",
        tables.markdown(["what", "goal", "measured", "result"],
                        [goal.row() for goal in goals(results)]),
        tables.markdown(["", "submissions", "seconds", "submissions per minute"], rows),
        *tables.notes(stale),
        f"An assignment of {results['exercises']} exercises, three of them answered with torch; "
        "right answers, known mistakes and open tasks mixed. Both gave the same points. nbgrader "
        f"graded the first {results['peers']} of the same submissions.",
        f"Measured on {tables.day(results['date'])}: {results['machine']}. The load average before "
        f"it began was {results['load']}; idle is 0.",
    ]) + "\n"


OURS = "attnlib's classroom, sandboxed"
TABLE = tables.Table(
    stored=Path(__file__).with_suffix(".json"), page=Path(__file__).with_suffix(".md"),
    rows=lambda stored: {OURS: stored}, now=lambda: {OURS: sources.of_files(*FILES)},
    text=markdown)


if __name__ == "__main__":
    main()
