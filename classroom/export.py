"""The marks as a file: CSV for a spreadsheet, for Canvas's gradebook, for Moodle's; and an archive
of the students' pages, named as Canvas and Moodle want feedback to be uploaded.

A roster's further columns are copied where they are called as the system calls them ("SIS Login
ID", "Email address"): that is how the system finds its students.
"""

import csv
import io
import json
import re
import zipfile
from pathlib import Path

from attnlib.exercises.files import write_whole

from .gradebook import file_stem, records
from .roster import read_roster
from .submissions import said

CANVAS = ("ID", "SIS User ID", "SIS Login ID", "Section")
MOODLE = ("Identifier", "ID number", "Email address", "Username")
FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20].")  # also in their full-width forms
WHEN = "Last modified (grade)"  # by which Moodle sees whether somebody graded meanwhile


def write(grades, path, format, roster=None, blank=False):
    """Write everybody's marks to a file, in one step.

    Args:
        grades: folder that `grade` wrote.
        path: of the file.
        format: one of `FORMATS`.
        roster: path of the roster, if there is one; Moodle's grading worksheet is one.
        blank: whether who handed in nothing gets no points, rather than 0.

    Returns:
        Ids of the students of whom there is no page in an archive of feedback, as their upload's
        name does not say where it should go.

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
    known = {student.id: student.columns for student in read_roster(roster)} if roster else {}
    if format == "feedback":
        return _feedback(grades, path)
    rows = TABLES[format](
        assignment, records(grades), known, blank)
    text = io.StringIO()
    csv.writer(text).writerows([_cell(cell) for cell in row] for row in rows)
    write_whole(path, "\ufeff" * (format == "csv") + text.getvalue())  # for a spreadsheet's eyes
    return ()


def _points(record, blank):
    """What is written as the points: nothing, where there was nothing and so it was asked."""
    return "" if blank and not record.file and not any(
        mark.by_hand for mark in record.marks.values()) else record.points


def _plain(assignment, found, _, blank):
    ids = [task["id"] for task in assignment["tasks"]]
    yield ["student", "name", "points", "out of", *ids, "notes", "set by hand", "comments"]
    for record in found:
        points = _points(record, blank)
        marks = [record.marks[id].points if id in record.marks and points != "" else ""
                 for id in ids]
        yield [record.student, record.name, points, assignment["out_of"], *marks,
               " ".join(record.notes),
               ", ".join(id for id, mark in record.marks.items() if mark.by_hand),
               " ".join(f"{id}: {mark.comment}" for id, mark in record.marks.items()
                        if mark.comment)]


def _canvas(assignment, found, roster, blank):
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
        yield [name, *(known.get(column.lower(), "") for column in CANVAS),
               _points(record, blank)]


def _moodle(assignment, found, roster, blank):
    """One file for both of Moodle's doors, the course's grade import and the grading worksheet."""
    yield [*MOODLE, "Full name", "Grade", "Maximum Grade", WHEN, "Feedback comments"]
    for record in found:
        known = roster.get(record.student)
        if known is None:  # an id of digits is the participant, from the name of the download
            digits = record.student.isdecimal()
            known = {"identifier" if digits else "id number":
                     f"Participant {record.student}" if digits else record.student}
        elif not any(known.get(name.lower()) for name in MOODLE):
            known = {**known, "id number": record.student}
        told = [f"{id}: {_cell(mark.points)}/{_cell(mark.out_of)} "
                + (f"{mark.comment} " if mark.comment else "") + mark.sentence * (not mark.by_hand)
                for id, mark in record.marks.items()]
        name = known.get("full name") or known.get("name") or record.name
        yield [*(known.get(column.lower(), "") for column in MOODLE), name,
               _points(record, blank), assignment["out_of"], known.get(WHEN.lower()) or "-",
               " ".join(told)]


TABLES = {"csv": _plain, "canvas": _canvas, "moodle": _moodle}
FORMATS = (*TABLES, "feedback")


def _feedback(grades, path):
    """The students' pages in an archive, each under the name of the upload that it is about."""
    found, left = {}, []
    for record in records(grades):
        upload = next(filter(None, (said(Path(part)) for part in Path(record.file).parts)), None)
        page = Path(grades, "reports", f"{file_stem(record.student)}.html")
        if upload is None or upload.system not in ("Canvas", "Moodle") or not page.exists():
            left.append(record.student)
        elif upload.system == "Moodle":
            name = (record.name or upload.name).replace("_", " ").replace("/", " ")
            found[f"{name}_{upload.id}_assignfeedback_file_/feedback.html"] = page
        else:
            late = "LATE_" * upload.late
            found[f"{upload.name}_{late}{upload.id}_{upload.number}_feedback.html"] = page
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, page in found.items():
            file.writestr(zipfile.ZipInfo(name), page.read_bytes(), zipfile.ZIP_DEFLATED)
    if not found:
        raise ValueError("No upload is named as Canvas and Moodle name them, so no archive can be "
                         "made for them; the pages are in the folder reports.")
    Path(path).write_bytes(archive.getvalue())
    return tuple(left)


def _cell(value):
    """A cell that no spreadsheet takes for a formula, and no reader for two lines.

    >>> _cell("=HYPERLINK(1)"), _cell("Anna\\nLind"), _cell(2.5)
    ("'=HYPERLINK(1)", 'Anna Lind', '2.5')
    >>> _cell("-")
    '-'
    """
    if isinstance(value, (int, float)):
        return f"{round(value, 2):.10g}"
    text = "".join(c if c.isprintable() else " " for c in value)
    return f"'{text}" if FORMULA.match(text) else text
