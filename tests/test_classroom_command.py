"""python -m classroom: the instructors' page played through, and what is told when it fails."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
import zipfile

import nbformat
import pytest
from click.testing import CliRunner
from instructors import PAGE, answered, blocks, shell, solutions

from classroom import export, grading
from classroom.__main__ import classroom
from classroom.kit import read_kit
from classroom.sandbox.outside import NoSandbox
from press.chapters import ROOT

NO_SCALE = """\
def self_attention(x, w_query, w_key, w_value):
    scores = x @ w_query @ np.swapaxes(x @ w_key, -1, -2)
    parts = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return parts / parts.sum(axis=-1, keepdims=True) @ (x @ w_value)
"""
COMMANDS = [block for block in blocks("bash") if "python -m classroom" in block]


def hand_in(folder):
    """Fill in the notebooks of the kit that were dealt, under the names that the page shows."""
    names = [line.split("   ")[0].strip() for line in blocks("text")[1].splitlines()]
    dealt = list(read_kit(folder / "week-3").dealt().values())
    assert len(names) == 4 and len(dealt) == 5
    for i, (name, variant) in enumerate(zip(names, dealt)):
        student, key = (nbformat.read(folder / f"week-3/{path}-v{variant}.ipynb", as_version=4)
                        for path in ("student/week-3", "instructor/key"))
        answers = solutions(key) if i < 3 else {}
        if i == 1:
            answers["1.3"] = NO_SCALE
        if i == 2:  # the right answers to another variant
            other = variant % 4 + 1
            answers = solutions(nbformat.read(folder / f"week-3/instructor/key-v{other}.ipynb", 4))
        path = folder / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(answered(student, answers), path)


def reviewed(commands, folder):
    """Start the page, set what the book shows on it, and leave it by Ctrl+C; what it printed."""
    student, exercise, points, comment = blocks("text")[2].splitlines()[1].split(",")
    words = [sys.executable, *shlex.split(commands)[1:], "--no-browser"]
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True,
                               env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"})
    first = process.stdout.readline()
    address = re.search(r"http://\S+/", first)[0]
    request = urllib.request.Request(
        f"{address}mark/{student}/{exercise}", json.dumps(
            {"points": points, "comment": comment}).encode(), {"Content-Type": "application/json"})
    assert urllib.request.urlopen(request).status == 200
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=120)[0]
    assert process.returncode == 0
    return first + rest


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """The folder in which every command of the page has been run, and what they printed."""
    folder = tmp_path_factory.mktemp("played")
    (folder / "checkout").mkdir()
    (folder / "roster.csv").write_text(blocks("text")[0])
    printed = []
    for commands in COMMANDS:
        if "classroom collect" in commands:
            hand_in(folder)
        printed.append((reviewed if "classroom review" in commands else shell)(
            commands, folder / "checkout"))
    return folder, printed


def table(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file))


def test_the_page_shows_all_commands(played):
    text = "\n".join(COMMANDS)
    assert all(f"classroom {name}" in text for name in classroom.commands)
    assert len(played[1]) == len(COMMANDS) == 6


def test_the_kit_is_what_the_page_says(played):
    folder, printed = played
    for name in ("student/week-3-v1.ipynb", "student/week-3-v4.ipynb", "instructor/key-v1.ipynb",
                 "instructor/rubric.md", "instructor/manifest.json", "instructor/seed"):
        assert (folder / "week-3" / name).exists() and name.rpartition("/")[2] in PAGE
    rows = {cells[1].strip(): [cell.strip() for cell in cells[2:5]]
            for cells in (line.split("│") for line in printed[0].splitlines()) if len(cells) > 4}
    assert rows["1.3"] == ["Self-attention, whole", "8", "the same for all"]
    assert {id for id, row in rows.items() if row[2] == "4"} == {"1.1", "5.2", "5.3"}


def test_the_marks_are_right(played):
    folder, printed = played
    head, *rows = table(folder / "marks.csv")
    marks = {row[0]: dict(zip(head, row)) for row in rows}
    full = {"1.1": "2", "1.3": "8", "5.2": "3", "5.3": "4"}
    got = {student: {id: row[id] for id in full} for student, row in marks.items()}
    assert got == {
        "4711": full, "4712": full | {"1.3": "4"},
        "4713": {"1.1": "0", "1.3": "8", "5.2": "0", "5.3": "0"},
        "4714": dict.fromkeys(full, "0"), "4715": dict.fromkeys(full, "0")}
    assert marks["4711"]["name"] == "Anna Lind" and marks["4713"]["points"] == "8"
    assert [re.match(r"\d+ graded, \d+ as before", text)[0] for text in printed[2:4]] == [
        "5 graded, 0 as before", "5 graded, 0 as before"]


def test_the_reports_say_what_was_wrong(played):
    folder, _ = played
    page = (folder / "grades/class.html").read_text(encoding="utf-8")
    assert "Week 3" in page and "no-scale" in page
    reports = [path.read_text(encoding="utf-8")
               for path in (folder / "grades/reports").glob("*.html")]
    assert len(reports) == 5
    assert sum("The dot products go into the softmax as they are." in text
               for text in reports) == 1


def test_canvas_and_moodle_get_the_same_points(played):
    folder, _ = played
    canvas = table(folder / "canvas.csv")
    assert canvas[0][-1] == "Week 3" and {row[-1] for row in canvas[2:]} == {"17", "13", "8", "0"}
    head, *rows = table(folder / "moodle.csv")
    address, grade = head.index("Email address"), head.index("Grade")
    assert {row[address]: row[grade] for row in rows}["bela@example.org"] == "13"


def test_everybody_is_found_before_anything_is_graded(played):
    text = played[1][1]
    for line in ("Anna Lind", "Bela Kun", "Carla Nuur", "5 students, 4 with a notebook."):
        assert line in text
    assert "In doubt" not in text


def test_what_was_set_by_hand_and_whose_answer_it_was_is_told(played):
    folder, _ = played
    page = (folder / "grades/reports/4712.html").read_text(encoding="utf-8")
    assert "set by hand" in page and "The idea is right; the scale is missing." in page
    page = (folder / "grades/instructor/4713.html").read_text(encoding="utf-8")
    assert "is right for variant" in page
    assert "is right for variant" not in (folder / "grades/reports/4713.html").read_text("utf-8")
    with zipfile.ZipFile(folder / "feedback.zip") as archive:
        assert {name.split("_")[1] for name in archive.namelist()} == {"4711", "4712"}


# What is told when it cannot go on.


def run(*args):
    """What the command line says, and whether it went well."""
    done = CliRunner().invoke(classroom, list(args))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.fixture
def kit(tmp_path):
    assert run("assign", "1.1", "--title", "Week", "-o", str(tmp_path / "kit"))[0] == 0
    (tmp_path / "in").mkdir()
    return tmp_path / "kit"


def test_help_teaches_with_an_example_that_works(tmp_path):
    for command in ([], ["assign"], ["collect"], ["grade"], ["review"], ["export"]):
        code, text = run(*command, "--help")
        assert code == 0 and "python -m classroom" in text.partition("Options:")[0]
    example = re.search(r"python -m classroom (assign 2.*)", run("assign", "--help")[1])[1]
    code, text = run(*shlex.split(example.replace("week-3", str(tmp_path / "week-3"))))
    assert code == 0 and (tmp_path / "week-3/student/week-3.ipynb").exists(), text


@pytest.mark.parametrize("args, words", [
    (["77.7", "--title", "x"], "No exercise is called 77.7"),
    (["1.1", "--title", "x", "--points", "1.1"], "'1.1' is not of the form 2.3=10"),
    (["1.1", "--title", "x", "--points", "1.1=-2"], "not of the form"),
    (["1.1", "--title", "x", "--points", "2.1=2"], "2.1, which is not in the assignment: 1.1"),
    (["1.1"], "Missing option '--title'"),
    (["1.1", "--title", "x", "--variants", "-1"], "Invalid value for '--variants'"),
])
def test_what_assign_cannot_do_is_told_in_words(tmp_path, args, words):
    code, text = run("assign", *args, "-o", str(tmp_path / "kit"))
    assert code and words in text and not (tmp_path / "kit").exists()


def test_a_kit_is_not_written_over(kit):
    code, text = run("assign", "1.1", "--title", "Week", "-o", str(kit))
    assert code == 1 and "is there already" in text


def test_what_grade_cannot_do_is_told_in_words(kit, tmp_path):
    grades = ["--grades", str(tmp_path / "grades")]
    code, text = run("grade", str(tmp_path / "in"), "--kit", str(tmp_path), *grades)
    assert code == 1 and "is no kit" in text
    code, text = run("grade", str(tmp_path / "in"), "--kit", str(kit), *grades, "--only", "4.4")
    assert code == 1 and "Week has no exercise 4.4; it has 1.1." in text
    (tmp_path / "roster.csv").write_text("name\nanna\n")
    code, text = run("grade", str(tmp_path / "in"), "--kit", str(kit), *grades, "--roster",
                     str(tmp_path / "roster.csv"))
    assert code == 1 and "needs a first line with the columns student" in text


def test_no_sandbox_and_failures_are_told_in_words(kit, tmp_path, monkeypatch):
    args = ["grade", str(tmp_path / "in"), "--kit", str(kit), "--grades", str(tmp_path / "g")]

    def refuse(*_, **__):
        raise NoSandbox("get bubblewrap")

    monkeypatch.setattr(grading, "grade", refuse)
    assert run(*args) == (1, "Error: get bubblewrap\n")
    monkeypatch.setattr(grading, "grade", lambda *_, **__: grading.Summary(3, 1, ("anna",)))
    code, text = run(*args)
    assert code == 1 and "3 graded, 1 as before" in text and "Could not be graded: anna." in text


def test_every_option_of_grade_and_export_arrives(kit, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(grading, "grade", lambda *args, **kwargs: seen.update(
        kwargs, folder=args[1], grades=args[2]) or grading.Summary())
    (tmp_path / "r.csv").write_text("student,name\n7,Anna\n")
    code, text = run("grade", str(tmp_path / "in"), "--kit", str(kit), "--grades",
                     str(tmp_path / "g"), "--roster", str(tmp_path / "r.csv"), "--first", "--only",
                     "1.1", "--workers", "3", "--scheduler", "tcp://x:1", "--yes",
                     "--seconds", "50", "--trust-submissions")
    assert code == 0, text
    roster = seen.pop("roster")
    assert [(student.id, student.name) for student in roster] == [("7", "Anna")]
    assert seen == dict(folder=tmp_path / "in", grades=tmp_path / "g", first=True, only=("1.1",),
                        workers=3, scheduler="tcp://x:1", trust=True, yes=True, total=50.0)
    assert "WITHOUT A SANDBOX" in text
    monkeypatch.setattr(export, "write", lambda *args: seen.update(export=args))
    run("export", "--format", "moodle", "--grades", str(tmp_path / "g"), "--roster",
        str(tmp_path / "r.csv"), "--not-handed-in", "blank", "-o", str(tmp_path / "m.csv"))
    assert seen["export"] == (tmp_path / "g", tmp_path / "m.csv", "moodle", tmp_path / "r.csv",
                              True)


def test_export_without_grades_is_told_in_words(tmp_path):
    code, text = run("export", "--format", "csv", "--grades", str(tmp_path), "-o",
                     str(tmp_path / "m.csv"))
    assert code == 1 and "holds no grades" in text
