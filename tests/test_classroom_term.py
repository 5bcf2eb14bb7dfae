"""A term: an assignment for forty made-up students, graded, reported, exported, graded again."""

import csv
import shutil
from collections import Counter
from dataclasses import replace

import pytest
from browsing import axe_faults

from attnlib.exercises import get
from classroom import export, reports
from classroom.gradebook import read_record, records, write_record
from classroom.grading import grade
from classroom.kit import make_kit
from classroom.sandbox.outside import NoSandbox, Sandbox, probe
from proofs.students.whole_class import PATTERNS, WRONG, write_class

MARKUP = "<script>document.title = 'broken'</script>"


@pytest.fixture(scope="module")
def term(tmp_path_factory):
    """(kit, submissions, grades, what is expected) after grading."""
    try:
        with Sandbox() as sandbox:
            probe(sandbox)
    except NoSandbox as error:
        pytest.skip(f"grading needs bubblewrap: {error}")
    folder = tmp_path_factory.mktemp("term")
    kit = make_kit(folder / "kit", PATTERNS, title="Attention", due="2026-12-01")
    handed_in = folder / "submissions"
    handed_in.mkdir()
    expected = write_class(kit, handed_in)
    shutil.copytree(handed_in / "carla", handed_in / MARKUP.replace("/", "∕"))
    expected[MARKUP.replace("/", "∕")] = expected["carla"]
    grade(kit, handed_in, folder / "grades")
    reports.write(kit, folder / "grades")
    return kit, handed_in, folder / "grades", expected


def test_everybody_has_the_marks_that_are_due(term):
    kit, _, grades, expected = term
    found = {record.student: record for record in records(grades)}
    assert found.keys() == expected.keys() and len(found) == 41
    for student, want in expected.items():
        record = found[student]
        marks = record.marks
        assert {id: mark.status for id, mark in marks.items()} == want.statuses, student
        assert {id: mark.mistake for id, mark in marks.items() if mark.mistake} == want.mistakes
        assert want.note in " ".join(record.notes)
        for task in kit.tasks:
            passed = marks[task.id].status == "passed"
            credit = {m.name: m.credit for m in get(task.id).mistakes}
            share = 1 if passed else credit.get(marks[task.id].mistake, 0)
            assert marks[task.id].points == pytest.approx(share * task.points)


def test_every_page_says_what_its_record_says(term, look):
    kit, _, grades, expected = term
    pages = sorted((grades / "reports").glob("*.html"))
    assert len(pages) == len(expected)
    for record in list(records(grades))[::8]:
        page = look(grades / "reports" / f"{reports.file_stem(record.student)}.html")
        words = page.inner_text("main")
        assert f"{reports.number(record.points)} of " in words and record.student in words
        for mark in record.marks.values():
            assert reports.with_code(mark.sentence).striptags() in " ".join(words.split())
        assert page.locator("section.mark").count() == len(kit.tasks)


def test_the_class_page_counts_what_was_made(term, look):
    kit, _, grades, expected = term
    words = look(grades / "class.html").inner_text("main")
    assert "41 students" in words
    for id in PATTERNS:
        made = Counter(want.mistakes[id] for want in expected.values() if id in want.mistakes)
        tried = sum(want.statuses[id] != "not_attempted" for want in expected.values())
        right = sum(want.statuses[id] == "passed" for want in expected.values())
        assert f"{right} right, {made.total()} with a known mistake" in words
        assert set(made) <= set(WRONG[id])
        for name, count in made.items():
            assert f"{count} of {tried} {name} · " in words
    name, count = Counter(want.mistakes.get("1.3") for want in expected.values()).most_common(2)[1]
    assert name == "no-scale" and count > 8  # "13 of 34 forgot to scale"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_the_pages_are_readable_by_everybody(term, look, width, scheme):
    _, _, grades, _ = term
    hostile = reports.file_stem(MARKUP.replace("/", "∕"))
    for name in ("class", "reports/carla", f"reports/{hostile}"):
        page = look(grades / f"{name}.html", width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert not axe_faults(page)
        assert page.locator("main script").count() == 0 and not page.title().startswith("broken")
    assert "document.title" in page.inner_text("main")


def test_the_pages_show_nothing_of_the_hidden_inputs(term):
    kit, _, grades, _ = term
    for path in grades.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert kit.seed not in text and "expected" not in text.split("<details>")[0]


@pytest.mark.parametrize("format", export.TABLES)
def test_the_marks_come_back_from_the_exported_file(term, tmp_path, format):
    _, _, grades, expected = term
    export.write(grades, tmp_path / "marks.csv", format)
    with open(tmp_path / "marks.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    keys, points = {"csv": (("student",), "points"),
                    "canvas": (("ID", "SIS Login ID"), "Attention"),
                    "moodle": (("Identifier", "ID number"), "Grade")}[format]
    rows = [row for row in rows if "Points Possible" not in row.get("Student", "")]
    back = {"".join(row[key] for key in keys).removeprefix("Participant "): float(row[points])
            for row in rows}
    assert back == {record.student: pytest.approx(record.points, abs=0.005)
                    for record in records(grades)}
    assert back.keys() == expected.keys()


def test_one_exercise_is_graded_again_and_nothing_else(term, tmp_path):
    """Somebody's mark for 4.3 was spoilt, and one for 1.3 was set by hand."""
    kit, handed_in, grades, expected = term
    again = tmp_path / "grades"
    shutil.copytree(grades, again)
    student = next(s for s, want in sorted(expected.items()) if want.statuses["4.3"] == "passed")
    record = read_record(again, student)
    marks = record.marks | {"4.3": replace(record.marks["4.3"], points=0.0, status="differs"),
                            "1.3": replace(record.marks["1.3"], points=4.5)}
    write_record(again, replace(record, marks=marks))
    few = tmp_path / "few"  # this student's upload alone: the others' records stay as they are
    few.mkdir()
    top = record.file.split("/")[0]
    (shutil.copytree if (handed_in / top).is_dir() else shutil.copy2)(handed_in / top, few / top)
    grade(kit, few, again, only=("4.3",), workers=1)
    reports.write(kit, again)
    found = {r.student: r for r in records(again)}
    assert found[student].marks["4.3"] == record.marks["4.3"]
    assert found[student].marks["1.3"].points == 4.5
    before = {r.student: r for r in records(grades)}
    assert all(found[s] == before[s] for s in before if s != student)
    page = (again / "reports" / f"{reports.file_stem(student)}.html").read_text(encoding="utf-8")
    assert "4.5 of" in page
