"""An assignment for twenty made-up students, graded, reported, exported, graded again; and a term
of three for forty, by the documented commands.
"""

import contextlib
import csv
import json
import shutil
import threading
import urllib.request
from collections import Counter
from dataclasses import replace

import pytest
from browsing import axe_faults
from click.testing import CliRunner

from attnlib.exercises import get
from classroom import export, grading, reports, review
from classroom.__main__ import classroom
from classroom.gradebook import read_record, records, write_record
from classroom.grading import grade
from classroom.kit import make_kit, read_kit
from classroom.sandbox.outside import NoSandbox, Sandbox, probe
from proofs.students import hostile
from proofs.students.whole_class import NAMES, PATTERNS, WRONG, filled, plan, write_class

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
    expected = write_class(kit, handed_in, 20)
    shutil.copytree(handed_in / "carla", handed_in / MARKUP.replace("/", "∕"))
    expected[MARKUP.replace("/", "∕")] = expected["carla"]
    grade(kit, handed_in, folder / "grades")
    reports.write(kit, folder / "grades")
    return kit, handed_in, folder / "grades", expected


def test_everybody_has_the_marks_that_are_due(term):
    kit, _, grades, expected = term
    found = {record.student: record for record in records(grades)}
    assert found.keys() == expected.keys() and len(found) == 21
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
            if mark.status != "not_attempted" or mark.exercise not in record.answers:
                said = reports.sentence(mark.sentence).striptags()
                assert said in " ".join(words.split())
        assert page.locator("section.mark").count() == len(kit.tasks)


def test_the_class_page_counts_what_was_made(term, look):
    kit, _, grades, expected = term
    words = look(grades / "class.html").inner_text("main")
    assert "21 students" in words
    for id in PATTERNS:
        made = Counter(want.mistakes[id] for want in expected.values() if id in want.mistakes)
        tried = sum(want.statuses[id] != "not_attempted" for want in expected.values())
        right = sum(want.statuses[id] == "passed" for want in expected.values())
        assert f"{right} right, {made.total()} with a known mistake" in words
        assert set(made) <= set(WRONG[id])
        for name, count in made.items():
            assert f"{count} of {tried} {name} · " in words
    name, count = Counter(want.mistakes.get("1.3") for want in expected.values()).most_common(2)[1]
    assert name == "no-scale" and count > 5  # "7 of 19 forgot to scale"


@pytest.mark.parametrize("width, scheme", [(390, "dark"), (1400, "light"), *(
    pytest.param(*look, marks=pytest.mark.whole) for look in [(390, "light"), (1400, "dark")])])
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


# Three assignments, by the commands that the instructors' page shows.


WEEKS = {  # title: exercises, and how an upload is called
    "Week 1": (("1.1", "1.3", "4.3"), "{login}_{late}{number}_{hand}_{slug}.ipynb"),
    "Week 2": (("2.4", "5.2"), "{name}_{hand}_assignsubmission_file/{slug}.ipynb"),
    "Week 3": (("3.2", "4.2", "5.2"), "{folder}/{slug} (1).ipynb"),
}
PEOPLE = [(f"u{100 + i}", f"{first.title()} Berg", 9000 + i) for i, first in enumerate(NAMES)]


def command(*words):
    """What a command prints; it must go well."""
    done = CliRunner().invoke(classroom, [str(word) for word in words])
    assert done.exit_code == 0, (words, done.output, done.exception)
    return done.output


def hand_in(kit, folder, form, week):
    """Everybody's upload, and what is due to whom: ``{student: {exercise: what}}``."""
    due = {}
    for i, (student, name, number) in enumerate(PEOPLE):
        if i % 13 == 12:
            due[student] = None  # hands in nothing
            continue
        ids = [task.id for task in kit.tasks]
        answers = {id: what for id, what in plan(i + 5 * week).items() if id in ids}
        together = week == 3 and i < 4  # two pairs; the first of each hands in
        if together and i % 2:
            due[student] = due[PEOPLE[i - 1][0]]
            continue
        path = folder / form.format(
            login=name.replace(" ", "").lower(), name=name, number=number, hand=70_000 + i,
            late="LATE_" * (i % 9 == 3), slug=kit.slug,
            folder=f"Pair {i // 2}" if together else student)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(filled(kit, answers)))
        due[student] = answers
    return due


@pytest.fixture(scope="module")
def weeks(tmp_path_factory):
    """``{title: (kit, folder, due)}`` after the whole term."""
    folder = tmp_path_factory.mktemp("weeks")
    roster = folder / "roster.csv"
    rows = [f"{student};{name};{number};Participant {70_000 + i};"
            + (f"Pair {i // 2}" if i < 4 else "")
            for i, (student, name, number) in enumerate(PEOPLE)]
    roster.write_bytes("\r\n".join(["Student ID;Name;ID;Identifier;Group", *rows]).encode("cp1252"))
    played = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grading, "executor", hostile.in_this_process)
        for week, (title, (ids, form)) in enumerate(WEEKS.items(), 1):
            place = folder / f"w{week}"
            command("assign", *ids, "--title", title, "-o", place / "kit")
            kit = read_kit(place / "kit")
            due = hand_in(kit, place / "in", form, week)
            common = (place / "in", "--kit", place / "kit", "--roster", roster)
            said = command("collect", *common)
            assert "40 students" in said and "In doubt" not in said
            command("grade", *common, "--grades", place / "out")
            student, exercise = PEOPLE[5][0], ids[0]
            with review.server(kit, place / "out") as (server, address):
                threading.Thread(target=server.serve_forever, daemon=True).start()
                asked = urllib.request.Request(
                    f"{address}mark/{student}/{exercise}", b'{"points": "1.25", "comment": "So."}',
                    {"Content-Type": "application/json"})
                assert json.load(urllib.request.urlopen(asked))["points"] == 1.25
                server.shutdown()
            mine = next(path for path in (place / "in").rglob("*.ipynb")
                        if any(sign in str(path) for sign in (student, PEOPLE[5][1], "9005_")))
            mine.rename(mine.with_name(mine.name.replace(".ipynb", "-2.ipynb")))
            assert "1 graded, 39 as before" in command(
                "grade", *common, "--grades", place / "out")
            command("grade", *common, "--grades", place / "out", "--only", exercise)
            for form in ("csv", "canvas", "moodle"):
                command("export", "--format", form, "--grades", place / "out", "--roster", roster,
                        "--not-handed-in", "blank", "-o", place / f"{form}.csv")
            played[title] = kit, place, due
    yield played
    with contextlib.suppress(AttributeError):
        grading._own.sandbox.close()
        del grading._own.trust


def test_every_mark_of_a_term_is_the_one_that_is_due(weeks):
    seen = 0
    for kit, place, due in weeks.values():
        found = {record.student: record for record in records(place / "out")}
        assert found.keys() == due.keys()
        for student, answers in due.items():
            if answers is None:
                assert found[student].points == 0 and "Nothing was" in found[student].notes[0]
                continue
            for task in kit.tasks:
                mark, what = found[student].marks[task.id], answers[task.id]
                assert (mark.mistake or mark.status) == {
                    "right": "passed", "untouched": "not_attempted"}.get(what, what), (
                        kit.title, student, task.id, mark)
                seen += 1
        by_hand = [(student, id) for student, record in found.items()
                   for id, mark in record.marks.items() if mark.by_hand]
        assert by_hand == [(PEOPLE[5][0], kit.tasks[0].id)]
        late = [student for student, record in found.items() if "late" in " ".join(record.notes)]
        assert bool(late) == (kit.title == "Week 1")
    assert seen > 290


def test_the_terms_marks_come_back_by_the_platforms_own_rules(weeks):
    for kit, place, due in weeks.values():
        points = {record.student: record.points for record in records(place / "out")}
        with open(place / "canvas.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))[1:]
        numbers = {str(number): student for student, _, number in PEOPLE}
        assert {numbers[row["ID"]]: row[kit.title] for row in rows} == {
            student: "" if answers is None else reports.number(points[student])
            for student, answers in due.items()}
        with open(place / "moodle.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row["Identifier"] for row in rows} == {
            f"Participant {70_000 + i}" for i in range(len(PEOPLE))}
