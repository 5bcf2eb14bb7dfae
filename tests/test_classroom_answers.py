"""What is read of a notebook, and where in it the answers stand."""

import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classroom import similarity
from classroom.answers import Cell, find
from classroom.sandbox import reading
from proofs.students import whole_class

STUB = '# answer 4.3\ndef recent(n_q, n_k, window):\n    """Return it."""\n    ...'
DONE = "# answer 4.3\ndef recent(n_q, n_k, window):\n    return 1"
AGAIN = "def recent(a, b, c): return 2"
CHECK = 'check("4.3", recent)'


def about(text, code=True):
    """A cell as it is known outside."""
    said = reading.about(text, code)
    return Cell(text, code, tuple(map(tuple, said["markers"])), said["defines"],
                tuple(said["checks"]))


# Where the answers stand.


@pytest.mark.parametrize("cells, cell, function, runs", [
    ([STUB, "x = 1", DONE], 2, "recent", 3),  # both marked: the last that is done
    ([DONE, STUB], 0, "recent", 2),  # the last that was attempted
    ([DONE, CHECK, STUB, CHECK], 0, "recent", 4),
    ([DONE, "recent(1, 2, 3)", AGAIN], 2, "recent", 3),
    ([STUB, AGAIN, "x", CHECK, "y"], 1, "recent", 4),  # written below, a helper between
    (["# answer 4.3", AGAIN], 1, "recent", 2),  # split
    ([AGAIN, "x"], 0, "recent", 2),  # no marker
    (["x = 1", "recent = lambda a, b, c: 2"], 1, "recent", 2),
    (["if True:\n    " + AGAIN, "z"], 0, "recent", 2),
    (["try:\n    import x\nexcept Exception:\n    " + AGAIN], 0, "recent", 1),
    (["class recent:\n    pass"], 0, "recent", 1), (["recent: object = print"], 0, "recent", 1),
    (["from mine import f as recent"], 0, "recent", 1),
    (["#answer 4.3 \nhelp = 1\ndef newest(a):\n    return 2"], 0, "newest", 1),  # another name
    (["def newest(a): return 2", 'check("4.3", newest)'], 1, "recent", 2),
    (["# answer 4.30\ndef recent_(a): return 1", "recent == 3"], None, "recent", 0),
    (["recently = 1"], None, "recent", 0), ([], None, "recent", 0),
    ([DONE, "helper = 1", "# answer 5.2\ndef f(): pass"], 0, "recent", 2),  # no check: up to there
    ([DONE, CHECK, "x", "# answer 5.2", "# all of them\n" + CHECK], 0, "recent", 5),
])
def test_an_answer_is_found_and_all_up_to_its_check_is_run(cells, cell, function, runs):
    answer = find([about(text) for text in cells], "4.3", "recent")
    assert (answer.cell, answer.function, answer.runs) == (cell, function, tuple(range(runs)))


def test_an_answer_in_a_cell_that_is_no_code_is_run_all_the_same():
    cells = [about(DONE, False), about("x"), about(CHECK)]
    answer = find(cells, "4.3", "recent")
    assert (answer.cell, answer.runs) == (0, (0, 1, 2)) and "not code" in answer.note
    cells.insert(1, about(AGAIN))
    answer = find(cells, "4.3", "recent")
    assert (answer.cell, answer.runs, answer.note) == (1, (1, 2, 3), "")


def test_a_stub_below_an_answer_is_noted():
    assert "attempted counts" in find([about(DONE), about(STUB)], "4.3", "recent").note


@pytest.mark.parametrize("line, found", [
    ("# answer 4.3 v12", [["4.3", 12]]), ("#answer 4.3", [["4.3", None]]),
    ("#  ANSWER  4.3  V2", [["4.3", 2]]), ("# answer 1.1 v9999999", []),
    ("# answer 1.1 v0001", [["1.1", 1]]), ("# answer 4.3 is this", []), ("x # answer 4.3", []),
    ("#\N{NO-BREAK SPACE}answer\N{NO-BREAK SPACE}4.3", [["4.3", None]]),
    ("\N{ZERO WIDTH NO-BREAK SPACE}# answer 4.3\N{ZERO WIDTH SPACE} ", [["4.3", None]]),
    ("## answer 4.3", [["4.3", None]]),
])
def test_a_marker_is_read_with_what_editors_do_to_it(line, found):
    assert reading.markers(f"x = 1\r\n{line}\ny") == found


@pytest.mark.parametrize("text, stub", [
    ('def f(x):\n    """Do."""\n    ...', True), ("def f(x): ...", True),
    ("def f(x):\n    # later\n    ...", True), ("def f(x):\n    return x\n    ...", False),
    ("def f(x):\n    pass", False), ("f = ...", False)])
def test_a_stub_is_told_from_an_answer(text, stub):
    assert reading.about(text)["defines"] == {"f": not stub}


@given(st.lists(st.text(alphabet="#answer 4.3v\ndef rcn():=", max_size=60), max_size=4))
def test_whatever_stands_in_cells_something_is_said(cells):
    cells = [about(text) for text in cells]
    answer = find(cells, "4.3", "recent")
    assert answer.cell is None or answer.asked_only or answer.function in cells[
        answer.cell].defines


def seconds(function, text):
    """Processor time, the least of three."""
    times = []
    for _ in range(3):
        start = time.process_time()
        function(text)
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize("text", [
    "x:" + " " * 40_000, "#" + " " * 40_000, "# answer 1.1 " * 3_000, "(" * 40_000, "'" * 39_999,
    "\\" * 39_999, 'check("' * 6_000, "x = %y\n" * 6_000, "\t" * 40_000 + "x", "a:" * 20_000,
    "?" * 40_000, "def " * 10_000, "x = %y\n" * 1_500, "/f x\n" * 3_000])
def test_reading_takes_as_long_as_the_text_is(text):
    """Four times the text takes four times as long, not sixteen times; a tenth of a second is no
    matter."""
    for function in (reading.about, similarity.runs):
        short, long = seconds(function, text[:len(text) // 4]), seconds(function, text)
        assert long < 8 * short or long < 0.1, (function, short, long)


# Notebooks, whole and otherwise. (In a class they are read inside the sandbox.)


def read(data):
    """The first notebook in some bytes, its cells as texts; or what the problem is."""
    found = reading.read(data)
    if not found["notebooks"]:
        return {"problem": found["problem"]}
    one = found["notebooks"][0]
    return {"cells": [cell["source"] for cell in one["cells"]], "edition": one["edition"],
            "variant": one["variant"]}


@pytest.fixture
def a_notebook():
    return {"cells": [{"cell_type": "markdown", "source": "# T\n\n*1 point · edition 0a1b2c3d*"},
                      whole_class.code(["x = 1\n", "y = 2"])],
            "metadata": {"assignment": {"edition": "ffffffff", "variant": 3}}, "nbformat": 4}


def test_a_notebook_says_what_it_is(a_notebook):
    written = whole_class.as_it_is(a_notebook, None).encode()
    assert read(written) == {"cells": ["x = 1\ny = 2"], "edition": "0a1b2c3d", "variant": "3"}


@pytest.mark.parametrize("form", [
    whole_class.metadata_lost, whole_class.windows, whole_class.in_a_zip,
    whole_class.old_format, whole_class.from_colab, whole_class.huge_outputs])
def test_the_code_is_read_in_every_form(a_notebook, form):
    written = form(a_notebook, None)
    found = read(written if isinstance(written, bytes) else written.encode())
    assert [cell.replace("\r", "") for cell in found["cells"]] == ["x = 1\ny = 2"]


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
    found = read(data)
    assert found.get("problem") in (
        "not a notebook", "a picture", "empty") or found["cells"] == []


def test_an_archive_cannot_write_or_blow_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reading, "FILE", 2**20)
    assert read(bomb()) == {"problem": "empty"}  # as far as it was read
    with zipfile.ZipFile("up.zip", "w") as archive:
        archive.writestr("../../evil.ipynb", '{"cells": []}')
        archive.writestr("/etc/evil.ipynb", '{"cells": [7]}')
    assert read(Path("up.zip").read_bytes())["cells"] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bomb.zip", "up.zip"]
    assert not list(tmp_path.parent.glob("*.ipynb"))


def test_more_code_than_anybody_writes_is_refused(a_notebook):
    a_notebook["cells"] = [whole_class.code("x")] * (reading.CELLS + 1)
    text = whole_class.as_it_is(a_notebook, None)
    assert read(text.encode()) == {"problem": "too much code for a notebook"}
    a_notebook["cells"] = [whole_class.code("x" * (reading.CHARACTERS + 1))]
    text = whole_class.as_it_is(a_notebook, None)
    assert read(text.encode()) == {"problem": "too much code for a notebook"}
