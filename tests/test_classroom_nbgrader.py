"""The nbgrader round trip, with nbgrader's own commands: it scores as `grade` does."""

import csv
import re
from dataclasses import replace

import nbformat
import pytest
from instructors import answered, blocks, shell, solutions

from attnlib.exercises import get, notebook
from classroom import grading, kit
from classroom.gradebook import records

WRONG = {
    "1.3": """\
def self_attention(x, w_query, w_key, w_value):
    scores = x @ w_query @ np.swapaxes(x @ w_key, -1, -2)
    parts = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return parts / parts.sum(axis=-1, keepdims=True) @ (x @ w_value)
""",
    "2.1": """\
def size_of_a_score():
    return {"variance": 16, "spread": 4, "scale": 1 / 4}
"""}
RAISING = {
    "1.3": "raise ValueError('this cell cannot run')\n",
    "2.1": "def size_of_a_score():\n    return 1 / 0\n"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A kit, and beside it the folder ``checkout`` in which commands run."""
    folder = tmp_path_factory.mktemp("course")
    (folder / "checkout").mkdir()
    return kit.make_kit(folder / "week-3", ["1.3", "2.1"], title="Week 3", points={"2.1": 2.5})


@pytest.fixture(scope="module")
def released(made):
    """The notebook that nbgrader makes for students."""
    first, _ = [block for block in blocks("bash") if "nbgrader" in block]
    shell(first, made.folder.parent / "checkout")
    path = made.folder.parent / "course/release/week-3/week-3.ipynb"
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def handed_in(made, released):
    """``{student: notebook}``"""
    key = nbformat.read(made.folder / "instructor/key.ipynb", as_version=4)
    answers = {"right": solutions(key), "wrong": WRONG, "untouched": {}, "raising": RAISING}
    return {student: answered(released, given) for student, given in answers.items()}


@pytest.fixture(scope="module")
def scores(made, handed_in):
    """``{student: points}`` as nbgrader exports them."""
    course = made.folder.parent / "course"
    for student, submission in handed_in.items():
        path = course / "submitted" / student / "week-3/week-3.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(submission, path)
    _, second = [block for block in blocks("bash") if "nbgrader" in block]
    shell(second, course)
    with open(course / "grades.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {(row["assignment"], float(row["max_score"])) for row in rows} == {("week-3", 7.5)}
    return {row["student_id"]: float(row["score"]) for row in rows}


def test_the_released_notebook_has_stubs_and_no_solutions(made, released):
    text = "\n".join(cell.source for cell in released.cells)
    assert "SOLUTION" not in text and "w_query, w_key, w_value):\n    \"\"\"" in text
    assert "NotImplementedError" not in text
    for task in made.tasks:
        stub, = (cell.source for cell in released.cells
                 if cell.source.startswith(f"# answer {task.id}\n"))
        assert "    ...\n# Write your answer above" in stub
        assert "return {" not in stub and "@ w_query" not in stub


def test_the_round_trip_scores_right_wrong_untouched_and_raising(scores):
    assert scores == {"right": 7.5, "wrong": 2.5, "untouched": 0.0, "raising": 0.0}


def test_grade_scores_the_same_notebooks_alike(made, handed_in, scores, tmp_path):
    for student, submission in handed_in.items():
        (tmp_path / "in" / student).mkdir(parents=True)
        nbformat.write(submission, tmp_path / "in" / student / "week-3.ipynb")
    grading.grade(made, tmp_path / "in", tmp_path / "grades", workers=1)
    marks = {record.student: sum(mark.points for mark in record.marks.values())
             for record in records(tmp_path / "grades")}
    assert marks == scores


def test_the_source_says_what_nbgrader_wants_to_know(made):
    path = made.folder / "nbgrader/source/week-3/week-3.ipynb"
    cells = {cell.id: cell for cell in nbformat.read(path, as_version=4).cells}
    about = {id: cell.metadata.get("nbgrader", {}) for id, cell in cells.items()}
    for task in made.tasks:
        id = task.id.replace(".", "-")
        assert about[f"answer-{id}"]["solution"] and not about[f"answer-{id}"]["grade"]
        assert about[f"check-{id}"]["grade"] and about[f"check-{id}"]["points"] == task.points
        assert about[f"check-{id}"]["locked"] and about[f"task-{id}"]["locked"]
        assert "### BEGIN SOLUTION" in cells[f"answer-{id}"].source
        assert not re.search(r"^check\(", cells[f"answer-{id}"].source, re.M)
    assert about["set-up"]["locked"] and not about["honour"]
    assert {name["grade_id"] for name in about.values() if name} == cells.keys() - {"honour"}


def test_the_names_of_a_course_may_hold_quotes(tmp_path):
    made = kit.make_kit(tmp_path / "k", ["1.1"], title='The "third"\nweek')
    seen = {}
    text = (made.folder / "nbgrader/nbgrader_config.py").read_text(encoding="utf-8")
    exec(text, {"get_config": lambda: seen.setdefault("c", _Any())})
    assert seen["c"].CourseDirectory.course_id == "the-third-week"
    assert seen["c"].ClearSolutions.code_stub.keys() == {"python"}


class _Any:
    """Takes any attribute, as nbgrader's configuration does."""

    def __getattr__(self, name):
        self.__dict__[name] = _Any()
        return self.__dict__[name]


# What a graded cell evaluates to.


def earned(answer, points=5.0):
    value = notebook.earned("1.3", answer, points)
    assert type(value) is float
    return value


def test_a_graded_cell_evaluates_to_the_points_as_a_float(capsys):
    assert earned(get("1.3").variants[0]) == 5.0
    assert "Exercise 1.3 passed" in capsys.readouterr().out
    assert earned(get("1.3").mistakes[0].answer) == 0.0
    assert get("1.3").mistakes[0].sentence[:30] in capsys.readouterr().out
    assert earned("no function") == 0.0
    assert earned(lambda *args: 1 / 0) == 0.0


def test_part_of_the_points_is_possible(monkeypatch):
    exercise = get("1.3")
    first = replace(exercise.mistakes[0], credit=0.4)
    monkeypatch.setattr(notebook.registry, "get", lambda id: replace(
        exercise, mistakes=(first, *exercise.mistakes[1:])))
    assert earned(first.answer) == 2.0


def test_the_worst_of_the_public_seeds_counts():
    exercise = get("1.3")
    known = {case.args[0].tobytes() for case in exercise.cases(0)}

    def learned(x, w_query, w_key, w_value):
        right = exercise.variants[0](x, w_query, w_key, w_value)
        return right if x.tobytes() in known else 2 * right

    assert notebook.assess_seed(exercise, learned, 0)[0] and earned(learned) == 0.0
