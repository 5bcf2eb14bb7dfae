"""The roster: who is in the class, as spreadsheets and learning platforms write it."""

import csv
import io
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

COLUMNS = {  # what a column is for: what it may be called, letters and digits only, best first
    "student": ("student", "studentid", "studentnumber", "studentno", "sid", "matriculationnumber",
                "idnumber", "username", "userid", "id", "sisloginid", "sisuserid", "emailaddress",
                "email"),
    "name": ("name", "fullname", "studentname"),
    "first": ("firstname", "givenname", "vorname", "prenom"),
    "last": ("lastname", "surname", "familyname", "nachname", "nom"),
    "upload": ("upload", "file", "folder"),
    "group": ("group", "groupname", "team"),
    "variant": ("variant", "version"),
    "late": ("late",),
}
CANVAS_ROWS = ("points possible", "manual posting")  # in Canvas's own export, below the first row
DELIMITERS = ",;\t|"
INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))


@dataclass(frozen=True)
class Student:
    """A line of the roster.

    Args:
        id, name: who.
        upload: how the student's upload is called, ``*`` standing for anything.
        group: with whom the hand-in is shared, if with anybody.
        variant: which variant was handed out; None if the roster does not say.
        late: what the roster says of lateness; empty if nothing.
        columns: ``{name in small letters: text}`` of the whole line.
    """

    id: str
    name: str = ""
    upload: str = ""
    group: str = ""
    variant: int | None = None
    late: str = ""
    columns: dict = field(default_factory=dict, compare=False)


def read_roster(path):
    """The students in a CSV file, as Excel, Canvas or Moodle write it.

    ``upload`` is the name of a file or folder as it was downloaded, ``*`` standing for anything;
    where it is empty, the student is found by the id or the name. Further columns are kept for
    `classroom.export`.

    Args:
        path: of the file; UTF-8, UTF-16 or Windows letters, cells between ``,``, ``;``, tabs or
            ``|``.

    Returns:
        Tuple of `Student`.

    Raises:
        ValueError: if there is no column that tells students apart, or an id stands there twice.
    """
    rows = [[clean(cell) for cell in row] for row in rows_of(path)]
    head, rows = (rows[0], rows[1:]) if rows else ([], [])
    place = columns(head)
    if "student" not in place or not any(map(any, rows)):
        found = ", ".join(filter(None, head)) or "nothing"
        raise ValueError(f"{path} needs a first line with the columns student, name, upload (of "
                         "which only student must be there), and a line for each student. Found "
                         f"in its first line: {found}.")
    students = [student for row in rows if (student := _student(head, place, row))]
    _each_once(path, students)
    return tuple(students)


def rows_of(path):
    """The rows of a CSV file, in whichever letters and between whichever signs it was written.

    Raises:
        ValueError: if it is a spreadsheet, and no text.
    """
    text = decoded(path)
    first, _, rest = text.partition("\n")
    said = re.fullmatch(r"\W?sep=(.)\W*", first.strip("\r"))
    text = rest if said else text
    delimiter = said[1] if said else max(DELIMITERS, key=text.partition("\n")[0].count)
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def decoded(path):
    """A file's text, in whichever letters a spreadsheet wrote it.

    Raises:
        ValueError: if it is a spreadsheet, and no text.
    """
    data = Path(path).read_bytes()
    if data.startswith((b"PK\3\4", b"\xd0\xcf\x11\xe0")):
        raise ValueError(f"{path} is a spreadsheet: save it as CSV (UTF-8) and name that file.")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    if b"\0" in data:
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def clean(text):
    """A cell without what no eye can see; a whole number without the ``.0`` of a spreadsheet.

    >>> clean(" 4711.0"), clean("Ada\u00a0Lovelace")
    ('4711', 'Ada Lovelace')
    """
    text = " ".join(unicodedata.normalize("NFC", text).translate(INVISIBLE).split())
    return text[:-2] if re.fullmatch(r"\d+\.0", text) else text


def columns(head):
    """``{what a column is for: its index}``."""
    plain = [re.sub(r"[\W_]", "", name).casefold() for name in head]
    place = {use: plain.index(name) for use, names in COLUMNS.items()
             for name in reversed(names) if name in plain}
    if {"student", "id"} <= set(plain) and "name" not in place and any(
            name.startswith("sis") for name in plain):  # Canvas's: "Student" is the name there
        place |= {"student": plain.index("id"), "name": plain.index("student")}
    return place


def _student(head, place, row):
    """The student of a row; None where it is empty or none."""
    cells = dict(zip(range(len(head)), row + [""] * len(head)))
    said = {use: cells[at] for use, at in place.items()}
    name = said.get("name") or f"{said.get('first', '')} {said.get('last', '')}".strip()
    if not said["student"] or name.casefold().startswith(CANVAS_ROWS):
        return None
    if re.fullmatch(r"\d[.,]\d+E\+\d+", said["student"]):
        raise ValueError(f"The roster says {said['student']} for an id: the spreadsheet rounded "
                         "it. Format that column as text, and save it again.")
    digits = re.search(r"\d+", said.get("variant", ""))
    late = said.get("late", "")
    return Student(said["student"], name, said.get("upload", ""), said.get("group", ""),
                   int(digits[0][:4]) if digits else None,
                   "" if late.casefold() in ("no", "0", "false", "n", "-") else late,
                   {head[at].lower(): cell for at, cell in cells.items()})


def _each_once(path, students):
    seen = {}
    for student in students:
        seen.setdefault(alike(student.id), []).append(student.id)
    twice = sorted({id for ids in seen.values() if len(ids) > 1 for id in ids})
    if twice:
        raise ValueError(f"{path} has more than one line for {', '.join(twice)}.")


def alike(text):
    """What two names have in common that a person takes for the same.

    >>> alike("Ada\u200b  Lind") == alike("ada lind")
    True
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join("".join(c if c.isprintable() else " " * c.isspace() for c in text).split())


class Index:
    """Finds students of a roster by what platforms call them.

    Args:
        roster: `Student`s.
    """

    IDS = ("id", "sis user id", "sis login id", "identifier", "id number", "username",
           "email address", "email")

    def __init__(self, roster):
        self.roster, self.ids, self.names, self.groups = tuple(roster), {}, {}, {}
        for student in self.roster:
            ids = {student.id, *filter(None, map(student.columns.get, self.IDS))}
            ids |= {id.partition("@")[0] for id in ids}
            for id in ids:
                _add(self.ids, alike(id.removeprefix("Participant ")), student)
            for name in squeezed(student.name):
                _add(self.names, name, student)
            if student.group:
                _add(self.groups, alike(student.group), student)

    def by_id(self, text):
        """The one student with this id, login or address, or all members of this group."""
        found = self.ids.get(alike(text), []) if text else []
        own = [student for student in found if alike(student.id) == alike(text)]
        found = own or found
        return found if len(found) == 1 else [] if found else self.groups.get(alike(text), [])

    def by_name(self, text):
        """The one student with this name, its words in any turn, with or without spaces."""
        found = {id(student): student for name in squeezed(text)
                 for student in self.names.get(name, ())}
        return list(found.values()) if len(found) == 1 else []


def squeezed(name):
    """A name's letters without spaces, begun at each of its words.

    >>> sorted(squeezed("Anna Lind"))
    ['annalind', 'lindanna']
    """
    words = re.findall(r"\w+", alike(name).replace("_", " "))
    return {"".join(words[i:] + words[:i]) for i in range(len(words))}


def _add(index, key, student):
    index.setdefault(key, [])
    if student not in index[key]:
        index[key].append(student)
