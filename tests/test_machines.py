"""The record of what ran where: rows come one by one, and what is stale is run again."""

import json
import sys
from dataclasses import replace

import nbformat
import pytest

from press.chapters import chapter_paths
from proofs import machines, repeat, sets, versions

FRESH = {"versions": "some", "fails": "", "seconds": 1}


@pytest.fixture
def record(tmp_path, monkeypatch):
    """An empty record beside today's sources; its rows, as they are stored."""
    now = {row: row for row in machines.digests() if row.startswith(("01", "02", "tests"))}
    table = replace(machines.TABLE, stored=tmp_path / "record.json", page=tmp_path / "record.md",
                    now=lambda: now)
    monkeypatch.setattr(machines, "TABLE", table)
    return lambda: table.read().get("rows", {})


def test_a_row_is_stored_beside_the_others_with_its_sources_and_the_machine(record):
    machines.store("02_scaling, Colab", FRESH)
    machines.store("01_qkv, AVX2", {"versions": "some", "differs": ["one"], "seconds": 2})
    rows = record()
    assert list(rows) == ["01_qkv, AVX2", "02_scaling, Colab"]
    assert rows["02_scaling, Colab"]["sources"] == "02_scaling, Colab"
    assert rows["01_qkv, AVX2"]["machine"] and rows["01_qkv, AVX2"]["date"]
    page = machines.TABLE.page.read_text(encoding="utf-8")
    lines = [[cell.strip() for cell in line.split("|")[2:-1]] for line in page.splitlines()
             if line.startswith(("| [01_qkv]", "| [02_scaling]"))]
    assert lines == [["not run", "1 differ", "not run", "not run", ""], ["not run"] * 4 + [""],
                     ["not run"] * 4, ["not run"] * 3 + ["runs"]]


def test_every_set_and_every_processor_has_a_row_for_every_chapter():
    found = {}
    for what, where in map(machines.split, machines.digests()):
        found.setdefault(where, []).append(what)
    chapters = [path.stem for path in chapter_paths()]
    assert chapters and set(found) == {*machines.PROCESSORS, *sets.PYTHONS}
    assert all(found[name] == chapters for name in machines.PROCESSORS)
    assert all(found[name] == [*chapters, "tests"] for name in sets.PYTHONS)


@pytest.fixture
def ran(record, monkeypatch):
    """Runs that are made up: ran(*words) gives what `versions.main` ran, and what it said."""
    monkeypatch.setattr(versions, "made", lambda name: name if name != "newest" else None)
    monkeypatch.setattr(versions, "versions", lambda python: "some")
    monkeypatch.setattr(versions, "resolves", lambda *_: "everything")
    monkeypatch.setattr(machines, "digests", machines.TABLE.now)
    done = []

    def run(what, python):
        if len(done) == ran_.enough:
            raise KeyboardInterrupt
        done.append(f"{what}, {python}")
        return FRESH | {"fails": "ValueError: no" * (done[-1] == "02_scaling, Colab")}

    def ran_(*words, enough=None):
        ran_.enough = enough
        done.clear()
        with pytest.raises((SystemExit, KeyboardInterrupt)) as left:
            versions.main(list(words))
        return list(done), getattr(left.value, "code", "stopped")

    monkeypatch.setattr(versions, "run", run)
    return ran_


def test_a_run_that_was_stopped_goes_on_with_the_next_notebook(ran, record):
    all_of_them = [row for name in ("oldest", "pinned", "Colab") for row in machines.TABLE.now()
                   if machines.split(row)[1] == name]
    assert ran(enough=4) == (all_of_them[:4], "stopped")
    rest, said = ran()
    assert rest == all_of_them[4:] and list(record()) == [
        row for row in machines.TABLE.now() if row in all_of_them]
    assert said.splitlines() == ["newest: not run, since Python 3.13 is not on this machine",
                                 "02_scaling, Colab: ValueError: no"]
    assert ran() == ([], said)


def test_other_versions_or_other_sources_are_run_again_and_so_is_what_is_named(
        ran, record, monkeypatch):
    ran()
    assert ran("Colab", "01")[0] == ["01_qkv, Colab"]
    assert ran("Colab", "01", "tests")[0] == ["01_qkv, Colab", "tests, Colab"]
    assert len(ran("Colab")[0]) == 3
    stored = machines.TABLE.read()
    stored["rows"]["01_qkv, oldest"]["sources"] = "other"
    stored["rows"]["tests, oldest"]["versions"] = "older"
    machines.TABLE.stored.write_text(json.dumps(stored))
    assert ran()[0] == ["01_qkv, oldest", "tests, oldest"]


def test_a_notebook_is_run_in_the_python_it_is_given(tmp_path):
    path = tmp_path / "planted.ipynb"

    def said(*cells, tags=()):
        nbformat.write(nbformat.v4.new_notebook(cells=[
            nbformat.v4.new_code_cell(cell, metadata={"tags": list(tags)}) for cell in cells]),
            path)
        return versions.run_notebook(path, sys.executable)

    assert said(f"import sys; assert sys.executable == {sys.executable!r}") == ""
    assert said("1", "assert 1 == 2, 'not so'\nmore") == "AssertionError: not so"
    assert said("print('not attempted yet')", tags=["check"]) == ""
    assert said("print('passed')", tags=["check"]) == (
        "print('passed') does not say that it was not attempted")


def test_the_sets_are_within_the_bounds_and_the_oldest_is_the_bounds_themselves():
    oldest, pinned = sets.wanted("oldest"), sets.wanted("pinned")
    assert all("==" in need for need in oldest + pinned)
    names = {need.partition("==")[0].lower() for need in oldest}
    assert {need.partition("==")[0].lower() for need in pinned} == names
    assert names - {"ipykernel", "numpy", "torch", "matplotlib"} <= {
        need.partition(">")[0].lower() for need in sets.wanted("Colab")}
    assert set(sets.wanted("newest")[1:]) == {need.partition("==")[0] for need in oldest}


def test_what_ran_here_is_said_in_a_line():
    assert repeat.versions().startswith(f"Python {sys.version.split()[0]}, numpy ")
