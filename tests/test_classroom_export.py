"""The marks as files: read back as a spreadsheet, as Canvas and as Moodle read them."""

import csv
import json
import re

import pytest

from classroom import export
from classroom.gradebook import Mark, Record, write_record

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
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture
def roster(tmp_path):
    path = tmp_path / "roster.csv"
    path.write_text("\ufeffstudent,name,upload,SIS Login ID,Email address\n"
                    "815,Anna Ärzte,a_*,anna7,anna@uni.example\n77,Bo Ek,b_*,,\n", encoding="utf-8")
    return path


def test_csv_has_every_mark(grades, tmp_path):
    head, *body = rows(grades, tmp_path / "marks.csv", "csv")
    assert head == ["student", "name", "points", "out of", "1.3", "2.1", "notes"]
    assert {row[0]: row[1:] for row in body} == {
        "815": ["Ärzte, Anna", "5", "8", "5", "0", "Two were handed in."],
        "77": ['Bo "B" Ek', "0.33", "8", "0.33", "0", "Two were handed in."],
        "carla": ["", "0", "8", "0", "0", "Two were handed in."]}


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


@pytest.mark.parametrize("format", export.FORMATS)
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
    with pytest.raises(ValueError, match="no format 'xls': use one of csv, canvas, moodle"):
        export.write(grades, tmp_path / "x.csv", "xls")
    assert not (tmp_path / "x.csv").exists()
