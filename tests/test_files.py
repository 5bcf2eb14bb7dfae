"""Files are written whole or not at all, and others may read them."""

import os

import pytest

from attnlib.exercises import files
from classroom import gradebook
from classroom.gradebook import Record


@pytest.fixture
def usual_mask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_new_file_has_the_usual_mode(tmp_path, usual_mask):
    files.write_whole(tmp_path / "a" / "b.txt", "one\r\ntwo")
    gradebook.write_record(tmp_path, Record("anna"))
    for path in (tmp_path / "a" / "b.txt", tmp_path / "records" / "anna.json"):
        assert path.stat().st_mode & 0o777 == 0o644  # a web server may read it
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"one\r\ntwo"


def test_what_utf8_cannot_say_is_no_error(tmp_path):
    files.write_whole(tmp_path / "a.txt", "a\udcffb")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "a?b"


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_an_interrupted_writer_leaves_the_old_file_alone(tmp_path, monkeypatch, step):
    (tmp_path / "a.txt").write_text("old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_whole(tmp_path / "a.txt", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_the_longest_name_of_a_file_is_long_enough(tmp_path):
    path = tmp_path / ("n" * 250)
    files.write_whole(path, "text")
    assert path.read_text() == "text"
