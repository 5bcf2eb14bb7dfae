"""The marks as a file: CSV for a spreadsheet, for Canvas's gradebook, for Moodle's.

A roster's further columns are copied where they are called as the system calls them ("SIS Login
ID", "Email address"): that is how the system finds its students.
"""

import csv
import io
import json
import re
from pathlib import Path

from attnlib.exercises.files import write_whole

from .gradebook import records
from .roster import read_roster

FORMATS = ("csv", "canvas", "moodle")
CANVAS = ("ID", "SIS User ID", "SIS Login ID", "Section")
MOODLE = ("Identifier", "ID number", "Email address", "Username")
FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")  # also in their full-width forms


def write(grades, path, format, roster=None):
    """Write everybody's marks to a file, in one step.

    Args:
        grades: folder that `grade` wrote.
        path: of the file.
        format: one of `FORMATS`.
        roster: path of the roster, if there is one.

    Raises:
        ValueError: if nothing was graded there, the format is unknown, or the roster cannot be
            used.
    """
    if format not in FORMATS:
        raise ValueError(f"There is no format {format!r}: use one of {', '.join(FORMATS)}.")
    try:
        assignment = json.loads((Path(grades) / "assignment.json").read_text(encoding="utf-8"))
    except OSError:
        raise ValueError(f"{grades} holds no grades: run `python -m classroom grade` "
                         "first.") from None
    rows = {"csv": _plain, "canvas": _canvas, "moodle": _moodle}[format](
        assignment, records(grades),
        {student.id: student.columns for student in read_roster(roster)} if roster else {})
    text = io.StringIO()
    csv.writer(text).writerows([_cell(cell) for cell in row] for row in rows)
    write_whole(path, text.getvalue())


def _plain(assignment, found, _):
    ids = [task["id"] for task in assignment["tasks"]]
    yield ["student", "name", "points", "out of", *ids, "notes"]
    for record in found:
        marks = [record.marks[id].points if id in record.marks else "" for id in ids]
        yield [record.student, record.name, record.points, assignment["out_of"], *marks,
               " ".join(record.notes)]


def _canvas(assignment, found, roster):
    """Canvas reads the first row by the words in it, and the second as the points possible."""
    yield ["Student", *CANVAS, assignment["title"]]
    yield ["    Points Possible", *[""] * len(CANVAS), assignment["out_of"]]
    for record in found:
        known = roster.get(record.student)
        if known is None:  # an id of digits is Canvas's own, from the name of the download
            own = "ID" if record.student.isdecimal() else "SIS Login ID"
            known = {own.lower(): record.student}
        elif not any(known.get(name.lower()) for name in CANVAS[:3]):
            known = {**known, "sis user id": record.student, "sis login id": record.student}
        name = known.get("name") or record.name or record.student
        yield [name, *(known.get(column.lower(), "") for column in CANVAS), record.points]


def _moodle(assignment, found, roster):
    """One file for both of Moodle's doors, the course's grade import and the grading worksheet."""
    yield [*MOODLE, "Full name", "Grade", "Maximum Grade", "Last modified (grade)",
           "Feedback comments"]
    for record in found:
        known = roster.get(record.student)
        if known is None:  # an id of digits is the participant, from the name of the download
            digits = record.student.isdecimal()
            known = {"identifier" if digits else "id number":
                     f"Participant {record.student}" if digits else record.student}
        elif not any(known.get(name.lower()) for name in MOODLE):
            known = {**known, "id number": record.student}
        told = [f"{id}: {_cell(mark.points)}/{_cell(mark.out_of)} {mark.sentence}"
                for id, mark in record.marks.items()]
        yield [*(known.get(column.lower(), "") for column in MOODLE), known.get("name")
               or record.name, record.points, assignment["out_of"], "-", " ".join(told)]


def _cell(value):
    """A cell that no spreadsheet takes for a formula, and no reader for two lines.

    >>> _cell("=HYPERLINK(1)"), _cell("Anna\\nLind"), _cell(2.5)
    ("'=HYPERLINK(1)", 'Anna Lind', '2.5')
    """
    if isinstance(value, (int, float)):
        return f"{round(value, 2):.10g}"
    text = "".join(c if c.isprintable() else " " for c in value)
    return f"'{text}" if FORMULA.match(text) else text
