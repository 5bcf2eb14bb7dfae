"""An answer that passes in the notebook because it is right passes in the classroom too.

Each of a corpus of hand-ins, made as people send them, is executed both ways: as a notebook, with
the check that students have, and by `grade`.
"""

import json
import os
import subprocess
import sys

import pytest

from classroom import gradebook, grading
from classroom.kit import make_kit
from proofs.students import corpus

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")

HOME = """
import contextlib, io, json, os, sys
import attnlib.exercises as exercises
from IPython.core.interactiveshell import InteractiveShell

said, check = {}, exercises.check
def noted(id, answer=None):
    result = check(id, answer)
    if result.status != "not_attempted":
        said[id] = bool(result)
    return result
exercises.check = noted

os.chdir(sys.argv[1])
found = {}
shell = InteractiveShell.instance()
lines, sys.stdin = list(sys.stdin), io.StringIO()
for line in lines:
    name, cells = json.loads(line)
    shell.reset(new_session=False)
    said.clear()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for cell in cells:
            shell.run_cell(cell)
    found[name] = dict(said)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    return make_kit(tmp_path_factory.mktemp("corpus") / "kit", corpus.IDS, title="Week 3")


@pytest.fixture(scope="module")
def hand_ins(kit):
    return list(corpus.hand_ins(kit))


@pytest.fixture(scope="module")
def at_home(hand_ins, tmp_path_factory):
    """``{name: {exercise: whether the check passed}}``, each notebook run from top to bottom."""
    texts = {one.name: json.dumps([corpus.text(cell) for cell in one.notebook["cells"]
                                   if cell["cell_type"] == "code"]) for one in hand_ins}
    lines = [json.dumps([text, json.loads(text)]) for text in dict.fromkeys(texts.values())]
    folder = tmp_path_factory.mktemp("home")
    done = subprocess.run([sys.executable, "-c", HOME, str(folder)], input="\n".join(lines),
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: found[text] for name, text in texts.items()}


@pytest.fixture(scope="module")
def in_class(kit, hand_ins, tmp_path_factory):
    """``{name: record}``."""
    folder, grades = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    for number, one in enumerate(hand_ins):
        for day, (name, data) in enumerate(one.files.items(), 1):
            path = folder / f"student{number:03}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            os.utime(path, (day * 86400, day * 86400))
    done = grading.grade(kit, folder, grades, workers=1)
    assert done.graded == len(hand_ins) >= 100 and not done.failed
    return {one.name: gradebook.read_record(grades, f"student{number:03}")
            for number, one in enumerate(hand_ins)}


def test_each_hand_in_earns_in_class_what_it_passed_at_home(hand_ins, at_home, in_class):
    differ = []
    for one in hand_ins:
        marks = in_class[one.name].marks
        got = {id: mark.status == "passed" for id, mark in marks.items()}
        if got != at_home[one.name]:
            differ.append((one.name, at_home[one.name], {
                id: mark.sentence or mark.status for id, mark in marks.items()},
                in_class[one.name].notes))
        right = one.name.startswith("right")
        if not right:
            assert {mark.mistake for mark in marks.values()} <= {*corpus.WRONG.values(), ""}
    assert not differ, "\n".join(map(str, differ))


def test_right_ones_are_right_and_wrong_ones_have_their_mistake(hand_ins, in_class):
    for one in hand_ins:
        found = {mark.mistake or mark.status for mark in in_class[one.name].marks.values()}
        assert found == ({"passed"} if one.name.startswith("right")
                         else set(corpus.WRONG.values())), one.name


@pytest.mark.parametrize("name, words", [
    ("right: the answer above an untouched stub", "that was attempted counts"),
    ("right: the answer's cell turned raw", "stands in a cell that is not code"),
    ("right: sent as a damaged one, later", "`week-3-final.ipynb` does not count"),
    ("right: sent as scratch, later", "answers nothing of this assignment"),
])
def test_what_was_done_about_it_is_said(in_class, name, words):
    assert words in " ".join(in_class[name].notes)
