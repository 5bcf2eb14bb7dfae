"""A reader's progress: kept at once, carried, merged, mended; and never touched by tests."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from made_up import EXERCISE, OPEN, weights

from attnlib.exercises import notebook, registry

progress = sys.modules["attnlib.exercises.progress"]  # the name in the package is the function

AT = "2026-01-02T03:04:05+00:00"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A record of one's own, and two exercises in two chapters."""
    file = tmp_path / "data" / "progress.json"
    monkeypatch.setenv("ATTNLIB_PROGRESS", str(file))
    monkeypatch.setattr(progress, "_somebody_sits_here", lambda: True)
    by_id = {"9.1": EXERCISE, "10.3": OPEN}
    monkeypatch.setattr(registry, "exercises", lambda: (EXERCISE, OTHER))
    monkeypatch.setattr(registry, "get", by_id.__getitem__)
    return file


OTHER = type(OPEN)(**{**OPEN.__dict__, "id": "10.3"})


def test_a_pass_is_kept_at_once(mine, capsys):
    assert notebook.check("9.1", weights)
    record = progress.read(mine)
    assert list(record) == ["9.1"] and record["9.1"]["version"] == 1
    assert [path.name for path in mine.parent.iterdir()] == ["progress.json"]  # no draft is left
    assert "9.1 passed" in capsys.readouterr().out


def test_a_wrong_answer_is_not_kept(mine):
    assert not notebook.check("9.1", lambda q, k: q)
    assert not mine.exists()


def test_where_nobody_sits_nothing_is_kept(mine, monkeypatch, capsys):
    progress.write(mine, {"10.3": {"version": 1, "at": AT}})
    before = mine.read_bytes()
    monkeypatch.undo()
    monkeypatch.setenv("ATTNLIB_PROGRESS", str(mine))
    notebook.check("1.1", registry.get("1.1").reference)
    progress.progress()
    assert mine.read_bytes() == before
    assert "10.3" not in capsys.readouterr().out


def test_it_can_be_switched_off(mine, monkeypatch):
    monkeypatch.setenv("ATTNLIB_PROGRESS", "off")
    assert progress.my_file() is None


def test_it_lies_in_the_users_data_folder(mine, monkeypatch):
    monkeypatch.delenv("ATTNLIB_PROGRESS")
    assert progress.my_file().parts[-2:] == ("attnlib", "progress.json")


def test_what_is_shown(mine, capsys):
    progress.write(mine, {"9.1": {"version": 1, "at": AT}})
    progress.progress()
    assert capsys.readouterr().out == (
        "Progress: 1 of 2 exercises, 2 of 3 points, about 5 of 10 minutes.\n"
        "Chapter 9: 1 of 1 exercises, 2 of 2 points, about 5 of 5 minutes.\n    ✓ 9.1\n"
        "Chapter 10: 0 of 1 exercises, 0 of 1 points, about 0 of 5 minutes.\n    ○ 10.3\n")


def test_marks_stand_in_the_order_of_the_exercises():
    two = [type(EXERCISE)(**{**EXERCISE.__dict__, "id": id}) for id in ("9.1", "9.2", "9.10")]
    text = repr(progress.Overview(two, {"9.2": {"version": 1, "at": AT}}))
    assert text.splitlines()[-1] == "    ○ 9.1 ✓ 9.2 ○ 9.10"


def test_the_picture_has_words(mine):
    overview = progress.Overview((EXERCISE, OTHER), {"9.1": {"version": 1, "at": AT}}, ["<note>"])
    text = overview._repr_html_()
    assert text.count("<svg role=\"img\" aria-label=") == 3 and "1 of 2 passed: 9.1" in text
    assert ">✓ 9.1</text>" in text and ">10.3</text>" in text  # no colour as the only sign
    assert "&lt;note&gt;" in text and "9.1: passed" in text and "10.3: open" in text


def test_an_exercise_that_changed_is_open_again(mine):
    done = {"9.1": {"version": 1, "at": AT}}
    newer = type(EXERCISE)(**{**EXERCISE.__dict__, "version": 2})
    assert progress.count("", [EXERCISE], done).done == ("9.1",)
    assert progress.count("", [newer], done).left == ("9.1",)


def test_records_merge():
    def entry(version, at):
        return {"version": version, "at": at}

    one = {"1.1": entry(1, "b"), "1.2": entry(2, "b"), "1.4": entry(1, "b")}
    other = {"1.1": entry(1, "a"), "1.2": entry(1, "a"), "1.3": entry(1, "a")}
    expected = {"1.1": entry(1, "a"), "1.2": entry(2, "b"), "1.3": entry(1, "a"),
                "1.4": entry(1, "b")}
    assert progress.merged(one, other) == expected == progress.merged(other, one)
    assert progress.merged(one, one) == one and progress.merged({}, one) == one


def test_save_and_restore_carry_it(mine, tmp_path, capsys):
    progress.write(mine, {"9.1": {"version": 1, "at": AT}})
    copy = tmp_path / "copy.json"
    progress.progress(save=copy)
    assert f"Saved to {copy}." in capsys.readouterr().out
    progress.write(mine, {"10.3": {"version": 1, "at": AT}})
    progress.progress(restore=copy)
    out = capsys.readouterr().out
    assert f"Restored from {copy}." in out and "2 of 2 exercises" in out
    assert sorted(progress.read(mine)) == ["10.3", "9.1"]


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"\xff\xfe", b'{"passed": 3}', b'{"passed": {"1.1": {}}}',
    b'{"passed": {"1.1": {"version": "x", "at": 1}}}', b"[" * 100_000,
])
def test_a_damaged_record_is_kept_aside(mine, capsys, content):
    mine.parent.mkdir()
    mine.write_bytes(content)
    (mine.parent / "progress-damaged-1.json").write_text("an older one")
    assert notebook.check("9.1", weights)
    out = " ".join(capsys.readouterr().out.split())
    assert "could not be read. It is kept as" in out and "9.1 passed" in out
    assert (mine.parent / "progress-damaged-2.json").read_bytes() == content
    assert (mine.parent / "progress-damaged-1.json").read_text() == "an older one"
    assert list(progress.read(mine)) == ["9.1"]


def test_a_damaged_copy_restores_nothing_and_stays(mine, tmp_path, capsys):
    progress.write(mine, {"9.1": {"version": 1, "at": AT}})
    copy = tmp_path / "copy.json"
    copy.write_text("{")
    for file in (copy, tmp_path / "missing.json"):
        progress.progress(restore=file)
        assert "That did not work" in capsys.readouterr().out
    assert copy.read_text() == "{" and list(progress.read(mine)) == ["9.1"]


def test_a_folder_that_cannot_be_written_does_not_break_the_check(mine, monkeypatch, capsys):
    mine.parent.write_text("a file where the folder should be")
    assert notebook.check("9.1", weights)
    assert "could not be kept" in " ".join(capsys.readouterr().out.split())


def test_a_write_that_fails_leaves_the_old_record(mine, monkeypatch):
    progress.write(mine, {"9.1": {"version": 1, "at": AT}})

    def fails(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError):
        progress.write(mine, {})
    assert list(progress.read(mine)) == ["9.1"] and len(list(mine.parent.iterdir())) == 1


def test_an_interactive_prompt_is_somebody_and_a_script_is_not(tmp_path):
    code = textwrap.dedent("""
        import sys
        from attnlib.exercises import check, get
        check("1.1", get("1.1").reference)
    """)
    root = os.path.dirname(os.path.dirname(progress.__file__))
    for interactive in (False, True):
        file = tmp_path / f"{interactive}.json"
        env = {**os.environ, "ATTNLIB_PROGRESS": str(file), "PYTHONUTF8": "1",
               "PYTHONPATH": os.path.dirname(root)}
        done = subprocess.run([sys.executable, *(["-i", "-q"] if interactive else ["-"])],
                              input=code.lstrip(), env=env, capture_output=True, text=True,
                              encoding="utf-8")
        assert "passed" in done.stdout, done.stderr
        assert file.exists() is interactive


@pytest.mark.parametrize("allow_stdin", [True, False])
def test_a_notebook_that_can_ask_is_somebody_and_nbval_is_not(tmp_path, allow_stdin):
    manager = pytest.importorskip("jupyter_client.manager")
    file = tmp_path / "progress.json"
    env = {**os.environ, "ATTNLIB_PROGRESS": str(file)}
    kernel, client = manager.start_new_kernel(kernel_name="python3", env=env)
    try:
        client.execute_interactive(
            'from attnlib.exercises import check, get, progress\n'
            'check("1.1", get("1.1").reference)', allow_stdin=allow_stdin, timeout=600,
            output_hook=lambda message: None)
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
    assert file.exists() is allow_stdin
    if allow_stdin:
        assert list(json.loads(file.read_text())["passed"]) == ["1.1"]
