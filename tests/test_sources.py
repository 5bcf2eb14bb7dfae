"""What makes a stored row stale, and what does not."""

import ast
import json

import pytest

from attnlib.exercises import exercises, get
from proofs import sources

MODULE = '''\
"""A module."""
import math

SIZE, _OTHER = 3, 4

def half(x):
    """Half of it."""
    return x / 2  # of x

def quarter(x):
    return half(half(x))

def alone(x: int = SIZE):
    return x

_ASK = Exercise(id="9.9", hints=("One.",), points=2, minutes=3, reference=quarter)
'''


def module_digest(text):
    return sources.digest(sources.shape(ast.parse(text)))


@pytest.mark.parametrize("old, new", [
    ('"""A module."""', '"""Another."""'), ('    """Half of it."""\n', ""), ("  # of x", ""),
    ("x / 2", "(x / 2)"), ("\n\ndef", "\n\n\ndef"), ('"9.9"', "'9.9'"), ('"One."', '"Two."'),
    ("points=2", "points=7"), ("minutes=3, ", ""),
    ("x: int", "x: float"), ("half(x):", "half(x) -> float:"),
])
def test_words_and_layout_are_no_source(old, new):
    assert old in MODULE and module_digest(MODULE.replace(old, new)) == module_digest(MODULE)


@pytest.mark.parametrize("old, new", [
    ("x / 2", "x * 2"), ("x / 2", "x / 3"), ("x / 2", "x / 2.0"), ("half(half(x))", "half(x)"),
    ("    return half", "    return 1\n    return half"), ("reference", "judge"),
    ('"9.9"', '"9.8"'), ("x: int", "y: int"), (" = SIZE", ""),
    ("(x):\n    return half", "(x):\n  if x:\n    return half"),
])
def test_what_the_program_does_is(old, new):
    assert old in MODULE and module_digest(MODULE.replace(old, new)) != module_digest(MODULE)


def test_a_name_stands_for_all_that_it_leads_to(tmp_path):
    (tmp_path / "a.py").write_text(MODULE)
    found = [name for name, _ in sources.definitions(tmp_path / "a.py", "_ASK")]
    assert found == ["_ASK", "half", "quarter"]
    assert [name for name, _ in sources.definitions(tmp_path / "a.py", "alone")] == [
        "SIZE", "_OTHER", "alone"]  # defined together


CELLS = [
    {"cell_type": "markdown", "source": "# A chapter", "metadata": {}},
    {"cell_type": "code", "source": ["%matplotlib inline\n", "x = 2  # two"], "metadata": {},
     "outputs": [{"text": ["2", "\n"]}], "execution_count": 1},
    {"cell_type": "code", "source": "draw(x)", "metadata": {"tags": ["figure"]},
     "outputs": [{"data": {"text/plain": "<Figure>", "image/png": "abc"}}]},
    {"cell_type": "code", "source": "print(clock())",
     "metadata": {"tags": ["nbval-ignore-output"]}, "outputs": [{"text": "7 s"}]},
    {"cell_type": "code", "source": "# answer 1.3\nf = ...", "metadata": {"tags": ["stub"]},
     "outputs": []},
    {"cell_type": "code", "source": 'check("1.3", f)', "metadata": {"tags": ["check"]},
     "outputs": [{"text": "not attempted"}]},
]


def chapter_digest(folder, old="", new=""):
    text = json.dumps({"cells": CELLS})
    assert old in text
    path = folder / f"{sources.digest([old, new])}.ipynb"
    path.write_text(text.replace(old, new))
    return sources.of_chapter(path)


@pytest.mark.parametrize("old, new", [
    ("A chapter", "The chapter"), ("# two", "# 2"), ("inline", "widget"), ("abc", "abd"),
    ("7 s", "8 s"), ("f = ...", "f = 1"), ("not attempted", "passed"),
    ('"execution_count": 1', '"execution_count": 2'),
])
def test_words_pictures_timings_and_exercises_leave_a_chapter_as_it_is(tmp_path, old, new):
    assert chapter_digest(tmp_path, old, new) == chapter_digest(tmp_path)


def test_where_a_cell_ends_is_no_source(tmp_path):
    between = '"], "metadata": {}, "outputs": []}, {"cell_type": "code", "source": ["'
    parted = chapter_digest(tmp_path, r'inline\n", "x = 2', rf'inline\n{between}x = 2')
    assert parted == chapter_digest(tmp_path)


@pytest.mark.parametrize("old, new", [
    ("x = 2", "x = 3"), ('["2', '["3'), ("draw(x)", "draw(2 * x)"), ("clock()", "clock(1)"),
    ("<Figure>", "<Figures>"),
])
def test_code_and_what_it_printed_do_not(tmp_path, old, new):
    assert chapter_digest(tmp_path, old, new) != chapter_digest(tmp_path)


def test_each_exercise_is_bound_to_itself_and_to_the_engine(monkeypatch):
    every = {exercise.id: sources.of_exercise(exercise) for exercise in exercises()}
    assert len(set(every.values())) == len(every)
    chapter = sources.ROOT / "attnlib" / "exercises" / "ch01_qkv.py"
    text, parsed = chapter.read_text(encoding="utf-8"), sources.parsed

    def planted(old, new, path=chapter):
        changed = path.read_text(encoding="utf-8")
        assert changed.count(old) >= 1
        tree = ast.parse(changed.replace(old, new, 1))
        sources.of_files.cache_clear()
        monkeypatch.setattr(sources, "parsed", lambda p: tree if p == path else parsed(p))
        return {id for id in every if sources.of_exercise(get(id)) != every[id]}

    first = get("1.1").mistakes[0].sentence[:20]
    assert first in text and planted(first, first.upper()) == {"1.1"}
    engine = sources.ROOT / "attnlib" / "exercises" / "judging.py"
    assert planted("TOLERANCE, TOLERANCE_HALF = 1e-4", "TOLERANCE, TOLERANCE_HALF = 1e-3",
                   engine) == set(every)
    sources.of_files.cache_clear()


def test_rows_that_are_new_changed_or_gone_are_named():
    rows = {"kept": {"sources": "1"}, "unbound": {}, "old": {"sources": "1"}}
    now = {"kept": "1", "unbound": "1", "new": "1"}
    assert sources.stale(rows, now) == {"unbound": "changed", "new": "new", "old": "gone"}
    assert set(sources.OTHERWISE) == {"changed", "new", "gone"}
