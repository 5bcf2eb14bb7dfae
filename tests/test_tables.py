"""The stored tables: each page is what its rows print, and no row that must be fresh is stale."""

import copy
import json
from dataclasses import replace

import pytest

from proofs import sources, tables
from proofs.__main__ import TABLES, summary

named = pytest.mark.parametrize("table", TABLES, ids=[table.page.stem for table in TABLES])
STRICT = [table for table in TABLES if table.strict]


@named
def test_a_page_is_what_its_rows_print(table):
    assert table.page.read_text(encoding="utf-8") == table.printed(), (
        f"{table.page.name} is not what {table.stored.name} prints: run `python -m proofs`")


@pytest.mark.parametrize("table", STRICT, ids=[table.page.stem for table in STRICT])
def test_no_row_is_stale_that_must_be_fresh(table):
    stale = [f"{name} {sources.OTHERWISE[why]}" for name, why in table.stale().items()]
    assert not stale, "\n".join([*stale, "run `make proofs`, or at once "
                                 f"`.venv/bin/python -m proofs.{table.stored.stem}`"])


def test_what_is_proved_of_the_exercises_must_be_fresh():
    assert "exercises" in {table.stored.stem for table in STRICT}


@named
def test_a_changed_source_makes_a_row_stale_and_marks_it(table, tmp_path):
    stored = copy.deepcopy(table.read())
    rows, now = table.rows(stored), table.now()
    for name, row in rows.items():  # all fresh, whatever they are today
        row["sources"] = now.get(name)
    if "sources" in stored and isinstance(stored["sources"], dict):
        stored["sources"] = {name: now[name] for name in stored["sources"]}
    elif "sources" in stored:
        stored["sources"], = now.values()
    path = tmp_path / "stored.json"
    path.write_text(json.dumps(stored))
    made = {name: now[name] for name in rows if name in now}
    fresh = replace(table, stored=path, page=tmp_path / "page.md", now=lambda: made)
    assert not fresh.stale() and tables.STALE not in fresh.printed()
    first = next(iter(made))
    changed = replace(fresh, now=lambda: made | {first: "other"})
    assert changed.stale() == {first: "changed"}
    assert f"{tables.STALE} " in changed.printed() and tables.NOTE[0] in changed.printed()
    changed.write(stored)
    assert changed.page.read_text(encoding="utf-8") == changed.printed()
    assert changed.read() == stored


def test_a_table_that_is_not_there_yet_is_new_in_each_row(tmp_path):
    table = replace(TABLES[0], stored=tmp_path / "none.json", now=lambda: {"a": "1"})
    assert table.stale() == {"a": "new"}


def test_many_names_are_summed_up():
    assert summary(list("abcde")) == "a; b; c and 2 more:" and summary(["a"]) == "a:"
