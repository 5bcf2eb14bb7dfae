"""Files as people send them: whose they are, which one counts, and where the answers stand."""

import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classroom import gradebook
from classroom.sandbox import answer
from classroom.submissions import (
    LARGEST,
    Student,
    content,
    definitions,
    files,
    find,
    is_stub,
    markers,
    owner,
    read_roster,
    submissions,
)
from proofs.students import whole_class

STUB = '# answer 4.3\ndef recent(n_q, n_k, window):\n    """Return it."""\n    ...'
DONE = "# answer 4.3\ndef recent(n_q, n_k, window):\n    return 1"


# Whose it is.


@pytest.mark.parametrize("path, id, name", [
    ("Anna Maria Lind_4711_assignsubmission_file_/any name.ipynb", "4711", "Anna Maria Lind"),
    ("Anna_Lind_4711_assignsubmission_onlinetext_/x.html", "4711", "Anna_Lind"),
    ("Anna Lind_4711_assignsubmission_file_hw.ipynb", "4711", "Anna Lind"),
    ("lindanna_815_42_hw.ipynb", "815", "lindanna"),
    ("lindanna_LATE_815_42_hw_2_final.ipynb", "815", "lindanna"),
    ("anna/ps1/ps1.ipynb", "anna", ""),
    ("anna.ipynb", "anna", ""), ("anna (1).ipynb", "anna", ""),
    ("anna - Copy (2).ipynb", "anna", ""), ("anna.ipynb.txt", "anna", ""),
    ("a.lind.ipynb", "a.lind", ""), ("hw1_anna.ipynb", "hw1_anna", ""),
    ("(1).ipynb", "(1).ipynb", ""),
])
def test_a_student_is_known_by_folder_prefix_or_file_name(path, id, name):
    assert owner(Path(path)) == (id, name)


def test_the_roster_comes_before_names():
    roster = (Student("7", "Anna Lind", "hw*_anna*"), Student("8", "Bo", "bo_LATE_1_2_x.ipynb"),
              Student("eva", "Eva Holm", ""))
    assert owner(Path("hw1_anna.ipynb"), roster) == ("7", "Anna Lind")
    assert owner(Path("bo_LATE_1_2_x.ipynb"), roster) == ("8", "Bo")
    assert owner(Path("eva/hw.ipynb"), roster) == ("eva", "Eva Holm")
    assert owner(Path("evan/hw.ipynb"), roster) == ("evan", "")


def test_letters_are_the_same_however_a_system_writes_them(tmp_path):
    roster = tmp_path / "roster.csv"
    roster.write_text("student,name,upload\nj,J,jos\N{LATIN SMALL LETTER E WITH ACUTE}.ipynb\n",
                      encoding="utf-8")
    assert owner(Path("jose\N{COMBINING ACUTE ACCENT}.ipynb"), read_roster(roster)) == ("j", "J")


def test_a_roster_from_a_spreadsheet_is_read(tmp_path):
    path = tmp_path / "roster.csv"
    text = "\ufeffStudent , Name,Section,upload\r\n 7 ,Anna,A,\r\n,,,\r\n8,Bo\r\n"
    path.write_bytes(text.encode())
    assert read_roster(path) == (Student("7", "Anna", ""), Student("8", "Bo", ""))


@pytest.mark.parametrize("text, words", [
    ("name,upload\nAnna,x\n", "columns student, name, upload"), ("", "columns student"),
    ("student\n7\n8\n7\n", "more than one line for 7"),
])
def test_a_roster_that_cannot_be_used_is_refused(tmp_path, text, words):
    (tmp_path / "roster.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        read_roster(tmp_path / "roster.csv")


# Which file counts.


def hand_in(folder, *names, day=1):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (day * 86400, day * 86400))


def test_the_last_notebook_counts_or_the_first(tmp_path):
    hand_in(tmp_path, "b_LATE_2_900_hw.ipynb", "anna/b.ipynb", day=1)
    hand_in(tmp_path, "b_2_100_hw-1.ipynb", "anna/a.ipynb", day=2)
    hand_in(tmp_path, "anna/notes.pdf", "c/x2.ipynb", "c/x10.ipynb", day=3)
    assert {s.student: s.file for s in submissions(tmp_path)} == {
        "2": "b_LATE_2_900_hw.ipynb", "anna": "anna/a.ipynb", "c": "c/x10.ipynb"}
    assert {s.student: s.file for s in submissions(tmp_path, first=True)} == {
        "2": "b_2_100_hw-1.ipynb", "anna": "anna/b.ipynb", "c": "c/x2.ipynb"}
    assert [s.notes for s in submissions(tmp_path, first=True)][0] == (
        "2 notebooks were handed in; the first counts.",)


def test_what_systems_leave_is_left_out(tmp_path):
    hand_in(tmp_path, "anna/hw.ipynb", "anna/.ipynb_checkpoints/hw-checkpoint.ipynb", ".DS_Store",
            "__MACOSX/anna/._hw.ipynb", "Thumbs.db", ".git/config")
    found, = submissions(tmp_path)
    assert (found.student, found.file, found.notes) == ("anna", "anna/hw.ipynb", ())


def test_a_notebook_comes_before_an_archive_and_anything_before_nothing(tmp_path):
    hand_in(tmp_path, "a/x.zip", "a/x.ipynb", "b/x.zip", "b/x.pdf", "c/essay.docx")
    assert [s.file for s in submissions(tmp_path)] == ["a/x.ipynb", "b/x.zip", "c/essay.docx"]


def test_who_is_on_the_roster_is_listed_though_nothing_came(tmp_path):
    hand_in(tmp_path, "anna.ipynb")
    found = submissions(tmp_path, [Student("zoe", "Zoe", "")])
    assert [(s.student, s.name, s.file, s.notes) for s in found] == [
        ("anna", "", "anna.ipynb", ()), ("zoe", "Zoe", "", ("Nothing was handed in.",))]


# Files that are traps.


def test_links_are_not_followed(tmp_path):
    secret = tmp_path / "instructor"
    hand_in(secret, "seed.ipynb")
    folder = tmp_path / "submissions"
    hand_in(folder, "bo/hw.ipynb")
    (folder / "anna.ipynb").symlink_to(secret / "seed.ipynb")
    (folder / "eva").symlink_to(secret)
    assert [str(path) for path in files(folder)] == ["anna.ipynb", "bo/hw.ipynb", "eva"]
    for name in ("anna.ipynb", "eva"):
        assert content(folder, name) == (b"", "What was handed in is a link or cannot be opened.")


def test_a_pipe_a_folder_and_too_much_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "anna.ipynb")
    (tmp_path / "bo.ipynb").mkdir()
    with open(tmp_path / "eva.ipynb", "wb") as file:
        file.truncate(200 * 2**20)
    with open(tmp_path / "fay.ipynb", "wb") as file:
        file.truncate(LARGEST)
    (tmp_path / "gil.ipynb").touch()
    assert content(tmp_path, "anna.ipynb") == (b"", "What was handed in is not a file.")
    assert content(tmp_path, "bo.ipynb")[0] == b""
    assert content(tmp_path, "eva.ipynb")[1].startswith("The file has 200 MB")
    data, problem = content(tmp_path, "fay.ipynb")
    assert len(data) == LARGEST and problem == ""
    assert content(tmp_path, "gil.ipynb") == (b"", "The file is empty.")


NASTY = ["<script>alert(1)</script>", "=HYPERLINK(1)", "[/red]", "line\nbreak", "a\x1b[31m",
         "x..", "x" * 240, "\N{RIGHT-TO-LEFT OVERRIDE}fdp",
         b"\xff\xfe".decode("utf-8", "surrogateescape")]


@pytest.mark.parametrize("name", NASTY)
def test_strange_names_are_ids_that_can_be_shown_and_stored(tmp_path, name):
    hand_in(tmp_path / "in", f"{name}-x/hw.ipynb")
    found, = submissions(tmp_path / "in")
    assert found.student.isprintable() and 0 < len(found.student) <= 100
    record = gradebook.Record(found.student, file=found.file)
    gradebook.write_record(tmp_path / "out", record)
    path, = (tmp_path / "out").rglob("*.json")
    assert path.parent == tmp_path / "out/records" and len(path.name) < 60
    assert gradebook.read_record(tmp_path / "out", found.student) == record


@given(st.text(), st.text())
def test_two_students_never_share_a_file(one, other):
    assert (gradebook.file_stem(one) == gradebook.file_stem(other)) == (one == other)
    assert gradebook.file_stem(one).replace("-", "").replace("_", "").isalnum()


# Where the answers stand.


@pytest.mark.parametrize("cells, cell, function", [
    ([STUB, "x = 1", DONE], 2, "recent"),  # both marked: the last that is done
    ([DONE, STUB], 1, "recent"),  # the last counts
    ([DONE, "recent(1, 2, 3)", "def recent(a, b, c): return 2"], 0, "recent"),  # the marker's
    ([STUB, "def recent(a, b, c): return 2"], 1, "recent"),  # written below
    (["# answer 4.3", "def recent(a, b, c): return 2"], 1, "recent"),  # split
    (["def recent(a, b, c): return 2", "x"], 0, "recent"),  # no marker
    (["x = 1", "recent = lambda a, b, c: 2"], 1, "recent"),
    (["class recent:\n    pass"], 0, "recent"),
    (["recent: object = print"], 0, "recent"),
    (["#answer 4.3 \nhelp = 1\ndef newest(a):\n    return 2"], 0, "newest"),  # another name
    (["# answer 4.30\ndef recent_(a): return 1", "recent == 3"], None, "recent"),
    (["    def recent(): pass", "recently = 1"], None, "recent"),
    ([], None, "recent"),
])
def test_an_answer_is_found_by_its_marker_else_by_its_name(cells, cell, function):
    answer = find(cells, "4.3", "recent")
    assert (answer.cell, answer.function) == (cell, function)


def test_the_variant_stands_in_the_marker():
    assert find(["# answer 4.3 v12\ndef recent(): pass"], "4.3", "recent").variant == 12
    assert find(["# answer 4.3\ndef recent(): pass"], "4.3", "recent").variant is None
    assert markers("#  ANSWER  4.3  V2\n# answer 1.1 v9999999\n# answer 1.1 v0001") == {
        "4.3": [2], "1.1": [None, 1]}


def test_a_stub_is_told_from_an_answer():
    assert is_stub(STUB, "recent") and not is_stub(DONE, "recent")
    assert not is_stub("x = ...", "recent")


@given(st.lists(st.text(alphabet="#answer 4.3v\ndef rcn():=", max_size=60), max_size=4))
def test_whatever_stands_in_cells_something_is_said(cells):
    answer = find(cells, "4.3", "recent")
    assert answer.cell is None or answer.function in definitions(cells[answer.cell])


# Notebooks, whole and otherwise. (In a class they are read inside the sandbox.)


@pytest.fixture
def a_notebook():
    return {"cells": [{"cell_type": "markdown", "source": "# T\n\n*1 point · edition 0a1b2c3d*"},
                      whole_class.code(["x = 1\n", "y = 2"])],
            "metadata": {"assignment": {"edition": "ffffffff", "variant": 3}}, "nbformat": 4}


def test_a_notebook_says_what_it_is(a_notebook):
    read = answer.read(whole_class.as_it_is(a_notebook, None).encode())
    assert read == {"cells": ["x = 1\ny = 2"], "edition": "0a1b2c3d", "variant": "3"}


@pytest.mark.parametrize("form", [
    whole_class.metadata_lost, whole_class.windows, whole_class.in_a_zip,
    whole_class.old_format, whole_class.from_colab, whole_class.huge_outputs])
def test_the_code_is_read_in_every_form(a_notebook, form):
    written = form(a_notebook, None)
    read = answer.read(written if isinstance(written, bytes) else written.encode())
    assert [cell.replace("\r", "") for cell in read["cells"]] == ["x = 1\ny = 2"]


def bomb():
    path = Path("bomb.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("x.ipynb", b" " * 2**27)
    return path.read_bytes()


@pytest.mark.parametrize("data", [
    b"\x89PNG", b"", b"null", b"[]", b"7", b'{"cells": 7}', b'{"cells": [7, null]}', b'{"a": {}}',
    b'{"worksheets": [{}]}', b"PK\3\4 and nothing", b"[" * 10**5, b'{"cells": [' + b"[" * 10**5,
    b"\xff\xfe\x00", "{\"cells\": []".encode("utf-16"), b'{"cells": [{"cell_type": "code"}],',
])
def test_what_is_no_notebook_is_said_to_be_none(data):
    read = answer.read(data)
    assert read == {"problem": "not a notebook"} or read["cells"] == []


def test_an_archive_cannot_write_or_blow_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(answer, "FILE", 2**20)
    assert answer.read(bomb()) == {"problem": "not a notebook"}
    with zipfile.ZipFile("up.zip", "w") as archive:
        archive.writestr("../../evil.ipynb", '{"cells": []}')
        archive.writestr("/etc/evil.ipynb", '{"cells": [7]}')
    assert answer.read(Path("up.zip").read_bytes())["cells"] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bomb.zip", "up.zip"]
    assert not list(tmp_path.parent.glob("*.ipynb"))


def test_more_code_than_anybody_writes_is_refused(a_notebook):
    a_notebook["cells"] = [whole_class.code("x")] * (answer.CELLS + 1)
    text = whole_class.as_it_is(a_notebook, None)
    assert answer.read(text.encode()) == {"problem": "too much code for a notebook"}
    a_notebook["cells"] = [whole_class.code("x" * (answer.CHARACTERS + 1))]
    text = whole_class.as_it_is(a_notebook, None)
    assert answer.read(text.encode()) == {"problem": "too much code for a notebook"}
