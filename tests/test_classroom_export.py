"""The marks as files: read back as a spreadsheet, as Canvas and as Moodle read them."""

import csv
import json
import re
import zipfile
from dataclasses import replace

import pytest

from classroom import export
from classroom.gradebook import Mark, Record, file_stem, read_record, records, write_record

TITLE = "Homework 1, attention"
ATTACKS = ['=HYPERLINK("http://x")', "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1",
           "\n@x"]


@pytest.fixture
def grades(tmp_path):
    """A folder of grades of three students, as two downloads and a file name gave them."""
    folder = tmp_path / "grades"
    folder.mkdir()
    (folder / "assignment.json").write_text(json.dumps({
        "title": TITLE, "due": "", "out_of": 8.0,
        "tasks": [{"id": "1.3", "title": "a", "points": 5},
                  {"id": "2.1", "title": "b", "points": 3}]}))
    for student, name, points in (("815", "Ärzte, Anna", 5.0), ("77", "Bo \"B\" Ek", 1 / 3),
                                  ("carla", "", 0.0)):
        marks = {"1.3": Mark("1.3", points, 5.0, "passed", "", "12 inputs, 3 hard ones"),
                 "2.1": Mark("2.1", 0.0, 3.0, "known_mistake", "roots", "You took the root.")}
        write_record(folder, Record(student, name, notes=("Two were handed in.",), marks=marks))
    return folder


def rows(grades, path, format, roster=None):
    """The rows of an exported file."""
    export.write(grades, path, format, roster)
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture
def roster(tmp_path):
    path = tmp_path / "roster.csv"
    path.write_text("\ufeffstudent,name,upload,SIS Login ID,Email address\n"
                    "815,Anna Ärzte,a_*,anna7,anna@uni.example\n77,Bo Ek,b_*,,\n", encoding="utf-8")
    return path


def test_csv_has_every_mark(grades, tmp_path):
    head, *body = rows(grades, tmp_path / "marks.csv", "csv")
    assert head == ["student", "name", "points", "out of", "1.3", "2.1", "notes", "set by hand",
                    "comments"]
    assert {row[0]: row[1:] for row in body} == {
        "815": ["Ärzte, Anna", "5", "8", "5", "0", "Two were handed in.", "", ""],
        "77": ['Bo "B" Ek', "0.33", "8", "0.33", "0", "Two were handed in.", "", ""],
        "carla": ["", "0", "8", "0", "0", "Two were handed in.", "", ""]}


def canvas(rows):
    """{key: points}, and the points possible, by the rules of Canvas's own importer.

    The first row has Student and ID first and Section last of what is the student's; with SIS User
    ID before SIS Login ID there are five of them. A student is found by ID, then by SIS User ID,
    then by SIS Login ID, then by name.
    """
    head, possible, *students = rows
    assert "Student" in head[0] and "ID" in head[1] and len(head) > 3
    assert re.search(r"SIS\s+User\s+ID", head[2]) and re.search(r"SIS\s+Login\s+ID", head[3])
    assert head[4] == "Section" and len(head) == 6
    assert "Points Possible" in possible[0] and {len(row) for row in rows} == {6}
    found = {}
    for row in students:
        key = next(((name, cell) for name, cell in zip(head[1:4], row[1:4]) if cell),
                   ("Student", row[0]))
        found[key] = float(row[5])
    return head[5], float(possible[5]), found


def test_canvas_reads_it_back(grades, tmp_path):
    title, possible, found = canvas(rows(grades, tmp_path / "c.csv", "canvas"))
    assert (title, possible) == (TITLE, 8)
    assert found == {("ID", "815"): 5, ("ID", "77"): 0.33, ("SIS Login ID", "carla"): 0}


def test_canvas_with_a_roster(grades, tmp_path, roster):
    """With a roster, an id is the instructor's own and never taken for Canvas's."""
    _, _, found = canvas(rows(grades, tmp_path / "c.csv", "canvas", roster))
    assert found == {("SIS Login ID", "anna7"): 5, ("SIS User ID", "77"): 0.33,
                     ("SIS Login ID", "carla"): 0}


def moodle(rows, key):
    """{what stands in a column: grade}, as either of Moodle's imports maps columns."""
    head, *students = rows
    assert {"Identifier", "Grade", "Last modified (grade)"} <= set(head)  # the grading worksheet
    lines = [dict(zip(head, row, strict=True)) for row in students]
    return {line[key]: float(line["Grade"]) for line in lines if line[key]}


def test_moodle_reads_it_back(grades, tmp_path, roster):
    exported = rows(grades, tmp_path / "m.csv", "moodle")
    assert moodle(exported, "Identifier") == {"Participant 815": 5, "Participant 77": 0.33}
    assert moodle(exported, "ID number") == {"carla": 0}
    told = dict(zip(exported[0], exported[1], strict=True))["Feedback comments"]
    assert "1.3: 0.33/5" in told and "2.1: 0/3 You took the root." in told
    exported = rows(grades, tmp_path / "m.csv", "moodle", roster)
    assert moodle(exported, "Email address") == {"anna@uni.example": 5}
    assert moodle(exported, "ID number") == {"77": 0.33, "carla": 0}


@pytest.mark.parametrize("format", export.TABLES)
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_formula_is_text(tmp_path, format, attack):
    mark = Mark("1.3", 1.0, 5.0, "differs", "", attack)
    write_record(tmp_path, Record(attack, attack, notes=(attack,), marks={"1.3": mark}))
    (tmp_path / "assignment.json").write_text(json.dumps({
        "title": attack, "due": "", "out_of": 5.0,
        "tasks": [{"id": "1.3", "title": "", "points": 5}]}))
    exported = rows(tmp_path, tmp_path / "out.csv", format)
    assert len(exported) == (3 if format == "canvas" else 2)
    for row in exported:
        for cell in row:
            assert not re.match(r"\s*[=+@＝＋＠-]", cell) or re.fullmatch(r"-|-?\d+(\.\d+)?", cell)
            assert cell.isprintable()


@pytest.mark.parametrize("text, words", [
    ("pre,name\n815,Anna\n", "columns student, name, upload"),
    ("student\n815\n815\n", "more than one line for 815"),
])
def test_a_roster_that_grade_refuses_export_refuses_too(grades, tmp_path, text, words):
    (tmp_path / "roster.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        export.write(grades, tmp_path / "x.csv", "canvas", tmp_path / "roster.csv")
    assert not (tmp_path / "x.csv").exists()


def test_what_is_not_there_is_said(tmp_path, grades):
    with pytest.raises(ValueError, match="holds no grades"):
        export.write(tmp_path, tmp_path / "x.csv", "csv")
    with pytest.raises(ValueError, match="no format 'xls': use one of csv, canvas, moodle, feed"):
        export.write(grades, tmp_path / "x.csv", "xls")
    assert not (tmp_path / "x.csv").exists()


def test_a_spreadsheet_reads_names_as_they_are(grades, tmp_path):
    """Excel takes a file for the computer's own letters unless it begins with this mark."""
    export.write(grades, tmp_path / "m.csv", "csv")
    assert (tmp_path / "m.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    export.write(grades, tmp_path / "c.csv", "canvas")
    assert (tmp_path / "c.csv").read_bytes().startswith(b"Student,ID,")


def test_who_handed_in_nothing_is_0_or_blank_as_asked(grades, tmp_path):
    for blank, points in ((False, "0"), (True, "")):
        export.write(grades, tmp_path / "m.csv", "canvas", blank=blank)
        with open(tmp_path / "m.csv", encoding="utf-8", newline="") as file:
            assert {row[0]: row[-1] for row in csv.reader(file)}["carla"] == points


def worksheet(rows):
    """``{participant: grade}`` by the rules of Moodle's import of a grading worksheet.

    What follows "Participant " is the number; a line is passed over if the grade was changed after
    the time in it, and a time that cannot be read is the beginning of all times.
    """
    head, *lines = rows
    place = {name: head.index(name) for name in ("Identifier", "Grade", "Last modified (grade)")}
    return {line[place["Identifier"]][len("Participant "):]: (
        float(line[place["Grade"]]), line[place["Last modified (grade)"]]) for line in lines}


def test_moodles_worksheet_goes_out_and_comes_back(grades, tmp_path):
    """The worksheet itself is the roster; its Identifier and its times come back unchanged."""
    (tmp_path / "w.csv").write_text(
        "\ufeffIdentifier,Full name,ID number,Email address,Status,Grade,Maximum Grade,"
        "Last modified (submission),Last modified (grade),Feedback comments\n"
        'Participant 41,Anna Ärzte,815,a@x.org,,,8.00,"Monday, 5 October 2026, 9:01 AM",'
        '"Tuesday, 6 October 2026, 9:01 AM",\n'
        "Participant 42,Bo Ek,77,b@x.org,,,8.00,-,-,\nParticipant 43,Carla,carla,,,,8.00,-,-,\n",
        encoding="utf-8")
    found = worksheet(rows(grades, tmp_path / "m.csv", "moodle", tmp_path / "w.csv"))
    assert found == {"41": (5, "Tuesday, 6 October 2026, 9:01 AM"), "42": (0.33, "-"),
                     "43": (0, "-")}


def moodle_user(name):
    """The participant of a file in an archive, by the rules of Moodle's import of feedback."""
    for part in name.split("/"):
        words = part.split("_", 4)
        if len(words) >= 4 and words[1].isdecimal() and words[2:4] == ["assignfeedback", "file"]:
            return words[1]
    return None


def canvas_user(name):
    """The user and the attachment, by the rules of Canvas's: the first two parts of digits."""
    found = [word for word in name.split("/")[-1].split("_") if word.isdecimal()]
    return tuple(found[:2]) if not name.split("_")[-1].startswith("link") else None


def test_an_archive_of_feedback_finds_its_students(grades, tmp_path):
    files = {"815": "x/annaaerzte_LATE_815_9001_hw.ipynb", "carla": "",
             "77": "Bo_x Ek_4712_assignsubmission_file/hw.ipynb"}
    (grades / "reports").mkdir()
    for record in list(records(grades)):
        write_record(grades, replace(record, file=files[record.student]))
        (grades / f"reports/{file_stem(record.student)}.html").write_text(record.student)
    assert export.write(grades, tmp_path / "f.zip", "feedback") == ("carla",)
    with zipfile.ZipFile(tmp_path / "f.zip") as archive:
        names = {archive.read(name).decode(): name for name in archive.namelist()}
    assert moodle_user(names["77"]) == "4712"
    assert canvas_user(names["815"]) == ("815", "9001")
    with pytest.raises(ValueError, match="named as Canvas and Moodle"):
        for student in ("815", "77"):
            write_record(grades, replace(read_record(grades, student), file="a.ipynb"))
        export.write(grades, tmp_path / "f.zip", "feedback")
