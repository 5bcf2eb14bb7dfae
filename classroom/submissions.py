"""What was handed in: which files, whose they are, and where in a notebook the answers stand.

Nothing here trusts a file: no link is followed, no archive unpacked, and a notebook is read in the
sandbox (`classroom.sandbox.answer.read`).
"""

import csv
import os
import re
import stat
import unicodedata
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

LARGEST = 64 * 2**20  # bytes of a file that is opened
MOODLE = re.compile(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_")
CANVAS = re.compile(r"(?P<name>[^_]+)_(?:LATE_)?(?P<id>\d+)_(?P<number>\d+)_.+")
ENDING = re.compile(r"(\.(ipynb|json|txt|zip|html?|py|pdf|docx?))+$", re.I)
COPY = re.compile(r"( ?\(\d+\)| - Copy)+$")
LEFT_OUT = {"__MACOSX", ".ipynb_checkpoints", "Thumbs.db", "desktop.ini"}
MARKER = re.compile(r"^[ \t]*#[ \t]*answer[ \t]+(\d+\.\d+)(?:[ \t]+v(\d+))?[ \t]*$", re.M | re.I)
DEFINITION = re.compile(r"^(?:(?:async +)?def +(\w+)|class +(\w+)|(\w+)(?: *:[^=\n]+)? *=(?!=))",
                        re.M)


@dataclass(frozen=True)
class Submission:
    """What one student handed in.

    Args:
        student, name: who.
        file: what is graded, relative to the folder; empty if there is nothing.
        notes: what the student should know, in sentences.
    """

    student: str
    name: str = ""
    file: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """Where in a notebook an answer stands.

    Args:
        cell: index among the code cells; None if it was not found.
        function: the name of the function.
        variant: the number behind the marker's ``v``, or None.
    """

    cell: int | None
    function: str
    variant: int | None = None


@dataclass(frozen=True)
class Student:
    """A line of the roster.

    Args:
        id, name: who.
        upload: how the student's upload is called, ``*`` standing for anything.
        columns: ``{name in small letters: text}`` of the whole line.
    """

    id: str
    name: str
    upload: str
    columns: dict = field(default_factory=dict, compare=False)


def read_roster(path):
    """The students in a CSV file with the columns ``student``, ``name`` and ``upload``.

    ``upload`` is the name of a file or folder as it was downloaded, ``*`` standing for anything;
    where it is empty, the student is found by the id. Further columns are kept for `export`.

    Args:
        path: of the file.

    Returns:
        Tuple of `Student`.

    Raises:
        ValueError: if it has no column ``student``, or an id twice.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = [{name.strip().lower(): unicodedata.normalize("NFC", (text or "").strip())
                  for name, text in line.items() if name is not None}  # None: beyond the first line
                 for line in csv.DictReader(file)]
    if not lines or "student" not in lines[0]:
        raise ValueError(f"{path} needs a first line with the columns student, name, upload "
                         "(of which only student must be there), and a line for each student.")
    roster = [Student(line["student"], line.get("name", ""), line.get("upload", ""), line)
              for line in lines if line["student"]]
    ids = [student.id for student in roster]
    twice = sorted({id for id in ids if ids.count(id) > 1})
    if twice:
        raise ValueError(f"{path} has more than one line for {', '.join(twice)}.")
    return tuple(roster)


def submissions(folder, roster=(), first=False):
    """Who handed in what.

    A student is known by the upload's folder or prefix: Moodle's ``Name_123_assignsubmission_``,
    Canvas's ``name_123_456_``, else the outermost folder, else the file's own name.

    Args:
        folder: of everything that was handed in.
        roster: `Student`s, who come before what the names of files say, and who are listed even
            if they handed in nothing.
        first: whether the first of several notebooks counts, not the last.

    Returns:
        List of `Submission`, in the order of the students' ids.
    """
    found = {student.id: (student.name, []) for student in roster}
    for path in files(Path(folder)):
        id, name = owner(path, roster)
        found.setdefault(id, (name, []))[1].append(path)
    return [_chosen(Path(folder), id, *found[id], first) for id in sorted(found)]


def files(folder):
    """Paths, relative to the folder, of all that was handed in; links are not followed."""
    paths = []
    for where, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]
        folders[:] = [name for name in folders
                      if name not in LEFT_OUT and name not in links and not name.startswith(".")]
        paths += [Path(where, name).relative_to(folder) for name in [*names, *links]
                  if name not in LEFT_OUT and not name.startswith(".")]
    return sorted(paths)


def owner(path, roster=()):
    """Whose upload it is.

    Args:
        path: relative to the folder of submissions.
        roster: `Student`s.

    Returns:
        id, name: the name is empty where the upload does not say it.

    >>> owner(Path("Anna Lind_4711_assignsubmission_file_/hw.ipynb"))
    ('4711', 'Anna Lind')
    >>> owner(Path("lindanna_LATE_815_42_hw-1.ipynb")), owner(Path("anna/hw.ipynb"))
    (('815', 'lindanna'), ('anna', ''))
    """
    top = path.parts[0]
    stem = top if len(path.parts) > 1 else COPY.sub("", ENDING.sub("", top)) or top
    match = MOODLE.match(top) or CANVAS.fullmatch(top)
    id, name = (match["id"], match["name"]) if match else (stem, "")
    whole = unicodedata.normalize("NFC", top)
    for student in roster:
        if student.upload and (whole == student.upload or fnmatch(whole, student.upload)):
            return student.id, student.name
    id, name = _clean(id), _clean(name)
    return id, next((student.name for student in roster if student.id == id), name)


def _clean(text):
    """Without what no terminal and no page should be given, and not too long."""
    text = unicodedata.normalize("NFC", text)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)[:100]


def _chosen(folder, id, name, paths, first):
    """The one notebook that counts, and notes on the rest."""
    if not paths:
        return Submission(id, name, notes=("Nothing was handed in.",))
    notebooks = [path for path in paths if ".ipynb" in path.name.lower()]
    notebooks = notebooks or [path for path in paths if path.suffix.lower() == ".zip"] or paths
    notebooks.sort(key=lambda path: _order(folder, path))
    notes = ()
    if len(notebooks) > 1:
        notes = (f"{len(notebooks)} notebooks were handed in; the "
                 f"{'first' if first else 'last'} counts.",)
    return Submission(id, name, str(notebooks[0 if first else -1]), notes)


def _order(folder, path):
    """By Canvas's own number, else by time, else by name with its numbers read as numbers."""
    canvas = CANVAS.fullmatch(path.parts[0])
    words = [(int(word[:18]), "") if word.isdecimal() and word.isascii() else (0, word)
             for word in re.split(r"(\d+)", str(path))]
    return (int(canvas["number"]) if canvas else 0,
            int((folder / path).lstat().st_mtime) if not canvas else 0, words)


def content(folder, file):
    """A file's bytes.

    Args:
        folder: of the submissions.
        file: relative to it, as `files` gave it.

    Returns:
        data, problem: one of them is empty; the problem is a sentence.
    """
    try:
        opened = os.open(Path(folder, file), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b"", "What was handed in is a link or cannot be opened."
    status = os.fstat(opened)
    if not stat.S_ISREG(status.st_mode):
        os.close(opened)
        return b"", "What was handed in is not a file."
    with os.fdopen(opened, "rb") as stream:
        if status.st_size > LARGEST:
            return b"", (f"The file has {status.st_size / 2**20:.0f} MB, and more than "
                         f"{LARGEST // 2**20} MB are not opened. Clear its outputs and hand it in "
                         "again.")
        data = stream.read(LARGEST)
    return data, "" if data else "The file is empty."


# Answers in a notebook.


def find(cells, id, function):
    """Where the answer to an exercise stands: in a cell with its marker, else by its name.

    Args:
        cells: the sources of the code cells.
        id: the exercise.
        function: the name of the function that was asked for.

    Returns:
        `Answer`.
    """
    marked = [(i, variant) for i, cell in enumerate(cells) for variant in markers(cell).get(id, ())]
    named = [i for i, cell in enumerate(cells) if function in definitions(cell)]
    variant = next((variant for _, variant in reversed(marked) if variant), None)
    for i, _ in reversed(marked):
        if i in named and not (is_stub(cells[i], function) and named[-1] > i):
            return Answer(i, function, variant)
    if named:
        return Answer(named[-1], function, variant)
    for i, _ in reversed(marked):  # under another name
        if definitions(cells[i]):
            return Answer(i, definitions(cells[i])[-1], variant)
    return Answer(None, function, variant)


def markers(cell):
    """``{exercise: [variant or None, ...]}`` of the markers in a cell.

    >>> markers("# answer 2.3 v4")
    {'2.3': [4]}
    """
    found = {}
    for id, variant in MARKER.findall(cell):
        found.setdefault(id, []).append(int(variant) if variant and len(variant) < 6 else None)
    return found


def definitions(cell):
    """Names that a cell defines at its top level, in order.

    >>> definitions("x = 1\\ndef f(a):\\n    y = 2")
    ['x', 'f']
    """
    return [next(filter(None, names)) for names in DEFINITION.findall(cell)]


def is_stub(cell, function):
    """Whether the function's body in this cell is still a docstring and ``...``."""
    body = re.search(rf"^def +{re.escape(function)}\b.*(?:\n(?:[ \t].*)?)*", cell, re.M)
    return body is not None and body[0].rstrip().endswith("...")
