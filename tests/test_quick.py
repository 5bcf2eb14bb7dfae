"""`make quick` picks what belongs to a change, and names what it leaves out."""

import subprocess

import pytest
import quick


def picked(monkeypatch, *paths):
    monkeypatch.setattr(quick, "changed", lambda: list(paths))
    return quick.selected("")


@pytest.mark.parametrize("path, words, left", [
    ("attnlib/masks.py", ["attnlib/masks.py", "tests/test_masks.py"], []),
    ("tests/test_heads.py", ["tests/test_heads.py"], []),
    ("attnlib/running/plain.py", ["attnlib/running/plain.py", "tests/test_exercises.py"],
     ["engine"]),
    ("classroom/export.py", ["classroom/export.py", "tests/test_classroom_export.py"], []),
    ("classroom/sandbox/limits.py",
     ["classroom/sandbox/limits.py", "tests/test_classroom_submissions.py"],
     ["classroom_sandbox"]),
    ("book/03_softmax.ipynb", ["tests/test_press.py::test_a_chapter_keeps_the_rules[03_softmax]"],
     []),
    ("attnlib/exercises/ch03_softmax.py",
     ["attnlib/exercises/ch03_softmax.py", "tests/test_exercises.py", "-k",
      "not test_exercises.py or [3. or -3."], []),
    ("README.md", [], []),
])
def test_what_belongs_to_a_change(monkeypatch, path, words, left):
    assert picked(monkeypatch, path) == (words, left)


def test_nothing_changed_runs_nothing(monkeypatch):
    assert picked(monkeypatch) == ([], [])


def test_an_exercise_and_all_of_the_mathematics():
    assert quick.selected("3.2")[0][-1] == "[3.2] or -3.2]"
    words, left = quick.selected("all")
    assert {"tests/test_multilevel.py", "attnlib/multilevel.py"} <= set(words) and not left


def test_every_test_that_is_named_is_there():
    named = {*quick.MATHEMATICS, *quick.SLOW, *(name for t in quick.TESTS.values() for name in t)}
    assert not [name for name in named if not (quick.ROOT / f"tests/test_{name}.py").exists()]
    assert not [path for path in quick.TESTS if not (quick.ROOT / path).exists()]


def test_what_was_changed_is_found(monkeypatch, tmp_path):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path,
                       check=True, capture_output=True)

    monkeypatch.setattr(quick, "ROOT", tmp_path)
    for name in ("kept", "changed"):
        (tmp_path / f"{name}.py").write_text("x = 1")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    (tmp_path / "changed.py").write_text("x = 2")
    (tmp_path / "new.py").write_text("x = 3")
    assert quick.changed() == ["changed.py", "new.py"]
