"""What is known of each student's work: one JSON file per student, written whole or not at all."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

from attnlib.exercises.files import write_whole

from . import overrides


@dataclass(frozen=True)
class Mark:
    """What one answer earned.

    Args:
        exercise: its id.
        points, out_of: what was earned, and what could be.
        status: one of `attnlib.exercises.core.STATUSES`.
        mistake: the known mistake's name.
        sentence: what the student is told; it shows nothing of the secret inputs.
        witness: the evidence, for the instructor alone: inputs, expected, got, where.
        by_hand: whether somebody set the points; then the comment is theirs too.
        comment: what the student is told beside.
        checked: the points that the check gave, where somebody set others.
    """

    exercise: str
    points: float
    out_of: float
    status: str
    mistake: str = ""
    sentence: str = ""
    witness: str = ""
    by_hand: bool = False
    comment: str = ""
    checked: float | None = None


@dataclass(frozen=True)
class Record:
    """One student's work and marks.

    Args:
        student: the id, from the upload's folder or prefix, or from the roster.
        name: the student's name, as far as it is known.
        file: what was graded, relative to the submissions' folder; empty if nothing was.
        digest: of all that the marks depend on; while it is the same, so are they.
        notes: what the student and the instructor should know, in sentences.
        answers: ``{exercise: source text}`` of the cells in which the answers were found.
        marks: ``{exercise: Mark}``, in the order of the assignment.
        private: what the instructor alone should know, in sentences.
    """

    student: str
    name: str = ""
    file: str = ""
    digest: str = ""
    notes: tuple[str, ...] = ()
    answers: dict[str, str] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)
    private: tuple[str, ...] = ()

    @property
    def points(self):
        """What was earned in all."""
        return sum(mark.points for mark in self.marks.values())

    @property
    def out_of(self):
        """What could be earned in all."""
        return sum(mark.out_of for mark in self.marks.values())


def file_stem(student):
    """A student's id as the name of a file, whatever stands in it.

    >>> file_stem("anna-7")
    'anna-7'
    >>> file_stem("../../Anna")
    'Anna-58730932'
    """
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,59}", student):
        return student
    letters = re.sub(r"[^A-Za-z0-9]+", "-", student).strip("-")[:40]
    return f"{letters}-{hashlib.sha256(student.encode(errors='surrogatepass')).hexdigest()[:8]}"


def write_record(folder, record):
    """Write a record, in one step: an interrupted run leaves the old one or the new one.

    Args:
        folder: of the grades.
        record: `Record`.
    """
    write_whole(_path(folder, record.student), json.dumps(asdict(record), indent=1))


def read_record(folder, student):
    """A student's record.

    Args:
        folder: of the grades.
        student: the id.

    Returns:
        `Record`, or None if there is none that can be read.
    """
    return _read(_path(folder, student))


def records(folder):
    """All records, one at a time, in the order of their files' names, with what was set by hand.

    Args:
        folder: of the grades.

    Returns:
        Iterator of `Record`.

    Raises:
        ValueError: if what was set by hand cannot be read.
    """
    byhand = overrides.read(folder)
    found = filter(None, map(_read, sorted((Path(folder) / "records").glob("*.json"))))
    return (overrides.applied(record, byhand) for record in found)


def same_kit(kit, folder):
    """See that a folder holds this kit's grades, or none.

    Raises:
        ValueError: if it holds another kit's.
    """
    try:
        other = json.loads((Path(folder) / "kit.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if other.get("kit") != kit.mark:
        raise ValueError(f"{folder} holds the grades of another kit ({other.get('title')}). Name "
                         "another folder: they would be written over.")


def claim(kit, folder):
    """Make a folder this kit's, and take away what a lost run left in it.

    Raises:
        ValueError: if it holds another kit's grades.
    """
    same_kit(kit, folder)
    for draft in Path(folder).rglob("*.part"):
        draft.unlink(missing_ok=True)
    write_whole(Path(folder) / "kit.json", json.dumps({"kit": kit.mark, "title": kit.title}))


def _path(folder, student):
    return Path(folder) / "records" / f"{file_stem(student)}.json"


def _read(path):
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        marks = {id: Mark(**mark) for id, mark in fields.pop("marks").items()}
        return Record(**fields | {
            "marks": marks, "notes": tuple(fields["notes"]), "private": tuple(fields["private"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # not there, or damaged: it is graded again
