"""Marks that a human sets: one CSV file beside the grades, which nothing here ever overwrites.

It is applied whenever records are read for reports and exports, after all that was graded. `grade`
never writes it; `review` adds and changes lines of it.
"""

import csv
import io
import math
from dataclasses import dataclass, replace
from pathlib import Path

from attnlib.exercises.files import write_whole

from .roster import alike, clean, rows_of

NAME, COLUMNS = "overrides.csv", ("student", "exercise", "points", "comment")


@dataclass(frozen=True)
class Override:
    """What somebody set.

    Args:
        student, exercise: whose answer to what.
        points: what it earns; None where there is a comment only.
        comment: what the student is told.
    """

    student: str
    exercise: str
    points: float | None
    comment: str = ""


def read(folder):
    """What was set by hand.

    Args:
        folder: of the grades.

    Returns:
        ``{(student, exercise): Override}``; empty where there is no file.

    Raises:
        ValueError: if a line of the file cannot be understood; it says which.
    """
    path = Path(folder) / NAME
    if not path.exists():
        return {}
    rows = rows_of(path)
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    if not set(COLUMNS[:3]) <= set(head):
        raise ValueError(f"{path} needs the columns {', '.join(COLUMNS)} in its first line; found: "
                         f"{', '.join(head) or 'nothing'}.")
    found = {}
    for number, row in enumerate(rows[1:], 2):
        cells = dict(zip(head, row))
        if not any(cell.strip() for cell in row):
            continue
        one = Override(clean(cells.get("student", "")), _id(cells.get("exercise", "")),
                       _points(path, number, cells.get("points", "")),
                       cells.get("comment", "").strip())
        if (one.student, one.exercise) in found:
            raise ValueError(f"{path}, line {number}: {one.student} has points for "
                             f"{one.exercise} in a line above already.")
        found[one.student, one.exercise] = one
    return found


def write(folder, found):
    """Write all of it, in one step, so that a spreadsheet opens it with its letters.

    Args:
        folder: of the grades.
        found: as `read` gives it.
    """
    text = io.StringIO()
    rows = [[o.student, o.exercise, "" if o.points is None else f"{o.points:.10g}", o.comment]
            for o in found.values()]
    csv.writer(text).writerows([COLUMNS, *rows])
    write_whole(Path(folder) / NAME, "\ufeff" + text.getvalue())


def set_one(folder, one):
    """Add or change a line; without points and comment, take it away.

    Args:
        folder: of the grades.
        one: `Override`.
    """
    found = read(folder)
    found.pop((one.student, one.exercise), None)
    if one.points is not None or one.comment:
        found[one.student, one.exercise] = one
    write(folder, found)


def applied(record, found):
    """A record with what was set by hand.

    Args:
        record: `classroom.gradebook.Record`.
        found: as `read` gives it.

    Returns:
        `Record`.
    """
    marks = dict(record.marks)
    for id, mark in record.marks.items():
        one = found.get((record.student, id))
        if one is not None:
            points = mark.points if one.points is None else one.points
            marks[id] = replace(mark, points=points, comment=one.comment, checked=mark.points,
                                by_hand=one.points is not None)
    return replace(record, marks=marks)


def strangers(found, records):
    """Sentences on lines that change nothing: nobody of that name, or no such exercise."""
    known = {record.student: record.marks.keys() for record in records}
    near = {alike(student): student for student in known}
    lines = []
    for student, exercise in found:
        if student not in known:
            other = near.get(alike(student))
            lines.append(f"{NAME}: nobody is called {student!r}"
                         + (f"; there is {other!r}." if other else "."))
        elif exercise not in known[student]:
            lines.append(f"{NAME}: {student} has no exercise {exercise!r}.")
    return lines


def _id(text):
    """An exercise's id; a spreadsheet may have written 1.1 as 1,1."""
    return clean(text).replace(",", ".")


def _points(path, number, text):
    text = text.strip().replace(",", ".")
    if not text:
        return None
    try:
        points = float(text)
    except ValueError:
        points = math.nan
    if not math.isfinite(points):
        raise ValueError(f"{path}, line {number}: {text!r} is no number of points.")
    return points
