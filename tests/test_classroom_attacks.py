"""Hostile submissions: none gains a point, reads a byte, or stops the others' grading.

What each one tries stands in `hostile`; here they are run, one after the other in one sandbox, an
honest submission after each of them.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import classroom_class
import hostile
import nbformat
import pytest

from classroom import grading, sandbox
from classroom.kit import make_kit
from classroom.submissions import Submission, content, submissions

SECONDS = 1.0
ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    return make_kit(tmp_path_factory.mktemp("course") / "kit", ["1.3", "3.2", "4.3"], title="Three")


@pytest.fixture(scope="module")
def places(kit, tmp_path_factory):
    """What an attacker is taken to know, and a listening server."""
    folder = tmp_path_factory.mktemp("class")
    (folder / "grades").mkdir()
    (folder / "grades/marks").write_text("all of them")
    (folder / "other.ipynb").write_text(notebook(classroom_class.RIGHT["4.3"]))
    seed, = (kit.folder / "instructor").glob("seed")
    key, = (kit.folder / "instructor").glob("key*.ipynb")
    assert seed.read_text() and key.read_text()
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield {"SEED": seed, "KEY": key, "XEH": kit.seed[::-1], "OTHER": folder / "other.ipynb",
               "GRADES": folder / "grades", "HOME": Path.home(), "REPOSITORY": ROOT,
               "TOP": sys.base_prefix.removeprefix(f"{Path.home()}/").partition("/")[0],
               "PORT": server.getsockname()[1], "CANARY": "a-canary-sings",
               "CANARYFILE": folder / "unpickled"}


@pytest.fixture(scope="module", autouse=True)
def shut():
    """One sandbox for all, gone in the end."""
    os.environ["SECRET"] = "a-canary-sings"
    yield
    del os.environ["SECRET"]
    with contextlib.suppress(AttributeError):
        grading._own.sandbox.close()
        del grading._own.trust


def notebook(*cells):
    return nbformat.writes(nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells]))


HONEST = notebook("import numpy as np", *(f"# answer {id}\n{classroom_class.RIGHT[id]}"
                                          for id in ("1.3", "3.2", "4.3")))


def graded(kit, data, seconds=SECONDS, id=None):
    data = data if isinstance(data, bytes) else data.encode()
    kit = replace(kit, tasks=(kit.task(id),)) if id else kit
    return grading.graded(grading.Job(kit, Submission("x"), "", data, "", (), None, False, seconds))


def all_is_well(kit, id=None):
    """An honest submission still gets all its points."""
    record = graded(kit, HONEST, 10.0, id)
    assert record.points == record.out_of, record


def placed(cells, places):
    def one(cell):
        for name, place in places.items():
            cell = cell.replace(f"@{name}@", str(place))
        return cell

    return [one(cell) for cell in cells]


def named(attack):
    return f"{attack.group}: {attack.what}"


@pytest.mark.parametrize("attack", hostile.SINGLE, ids=named)
def test_an_attack_earns_nothing_and_harms_nobody(attack, kit, places):
    start = time.monotonic()
    record = graded(kit, notebook(*placed(attack.cells, places)))
    assert record.marks[attack.id].status not in ("passed", "not_attempted"), record
    assert record.points == 0
    assert time.monotonic() - start < 12
    assert not places["CANARYFILE"].exists()
    all_is_well(kit, attack.id)


@pytest.mark.parametrize("leave, find", hostile.LEFT_BEHIND,
                         ids=[first.what for first, _ in hostile.LEFT_BEHIND])
def test_nothing_is_left_behind_for_the_next_submission(leave, find, kit):
    assert graded(kit, notebook(*leave.cells), 5.0).points > 0  # it gets that far
    assert graded(kit, notebook(*find.cells), 5.0).points == 0
    all_is_well(kit, find.id)


def test_after_all_of_them_an_honest_submission_is_graded(kit):
    all_is_well(kit)
