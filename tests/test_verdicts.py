"""The star: a fragile claim is caught, each fault is named in a line, and the list only shrinks."""

import functools
import json
import os
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from press import claims_page
from press.chapters import ROOT, Chapter, chapter_paths
from proofs import sources, verdicts
from proofs.verdicts import Point

SMALL = [Point(0, 1, "native"), Point(1, 1, "native"), Point(0, 3, "native")]


# The book.


@pytest.mark.parametrize("path", chapter_paths(), ids=lambda path: path.stem)
def test_a_chapter_is_unanimous_or_on_the_list(path):
    """Off the list: whole, fresh, of one voice. On it: not so, and never so before."""
    chapter = Chapter(path)
    found = verdicts.table(chapter)
    faults = verdicts.faults(chapter, found)
    if path.stem in claims_page.unsettled():
        assert not found["settled"], "\n".join([
            f"{path.stem} was unanimous on {found['settled']}: mend what fell, do not list it",
            *faults])
        assert faults, f"{path.stem} is unanimous: take it off proofs/unsettled.txt"
    else:
        assert found["settled"] and not faults, "\n".join(faults)


@pytest.mark.parametrize("path", chapter_paths(), ids=lambda path: path.stem)
def test_a_chapter_off_the_list_says_its_scale_and_speaks_in_four_words(path):
    if path.stem in claims_page.unsettled():
        return
    for id, line in claims_page.measured(Chapter(path)).items():
        assert line.scale, f"{path.stem}: claim {id} says no scale"
        assert line.verdict == "holds in part" or not line.when, f"{path.stem}: claim {id}"


def test_the_list_names_chapters():
    stems = [path.stem for path in chapter_paths()]
    listed = claims_page.unsettled()
    assert listed == [stem for stem in stems if stem in listed]


def test_the_page_is_what_the_tables_say():
    assert verdicts.PAGE.read_text(encoding="utf-8") == verdicts.page(), (
        "run `python -m proofs.verdicts` for any chapter")


def test_all_points_of_a_chapter_that_has_a_table_are_looked_for(plant):
    chapter = plant("1", said=printed(8))
    assert verdicts.stale() == {}  # no table, no row
    verdicts.store(chapter, {"settled": None, "rows": {
        str(SMALL[0]): {"sources": sources.of_chapter(chapter.path)},
        str(SMALL[1]): {"sources": "another"}}})
    assert verdicts.stale() == {f"07_planted, {SMALL[1]}": "changed",
                                      f"07_planted, {SMALL[2]}": "new"}


def test_no_table_is_of_a_chapter_that_is_gone():
    tables = {path.stem for path in verdicts.STORED.glob("*.json")}
    assert tables <= {path.stem for path in chapter_paths()}


# The star.


def test_the_star_is_what_the_design_says():
    points = verdicts.star()
    assert len(set(points)) == len(points) == 10 + 3 + 3 + 3
    assert {point.seed for point in points if point[1:] == (1, "native")} == set(range(10))
    for budget in (3, 10):
        assert {point[::2] for point in points if point.budget == budget} == {
            (seed, "native") for seed in range(3)}
    others = [point for point in points if point.processor != "native"]
    assert all(point[:2] == (0, 1) for point in others) and len(others) == 3


def test_a_part_of_it():
    few = verdicts.part(2, (1,))
    assert {point.budget for point in few} == {1} and {point.seed for point in few} == {0, 1}
    assert len(verdicts.part(10, (1, 3, 10))) <= len(verdicts.star())


# A planted chapter, run.


FRAGILE = """\
from attnlib import tasks
from attnlib.claims import claim

heads = int(tasks.repeatable(0).integers(2, size=8).sum())
steps = tasks.steps(100)"""
TOLD = """\
claim("Q9", "holds" if heads > {most} else "does not hold", f"{{heads}} of 8 heads")
claim("Q8", "holds", f"{{steps}} steps")
claim("Q7", "holds" if steps < 200 else "does not hold", f"{{steps}} steps")"""


@pytest.fixture
def plant(tmp_path, monkeypatch):
    """A function that plants a chapter of these code cells, as if it were the book's only one."""
    monkeypatch.setattr(verdicts, "star", lambda: SMALL)
    monkeypatch.setattr(verdicts, "STORED", tmp_path / "star")
    monkeypatch.setattr(verdicts, "PAGE", tmp_path / "verdicts.md")
    for module in (verdicts, claims_page):
        monkeypatch.setattr(module, "UNSETTLED", tmp_path / "unsettled.txt")
    (tmp_path / "unsettled.txt").write_text("07_planted\n08_other\n")
    listed = [{"id": id, "chapter": "07_planted", "text": "x"} for id in ("Q9", "Q8", "Q7")]
    monkeypatch.setattr(verdicts, "claims", lambda: listed)
    path = tmp_path / "07_planted.ipynb"
    monkeypatch.setattr(verdicts, "chapter_paths", lambda: [path])

    def planted(*codes, said=""):
        cells = [new_markdown_cell("# Planted"), *map(new_code_cell, codes)]
        cells[-1].metadata["tags"] = ["claim"]
        cells[-1].outputs = [new_output("stream", name="stdout", text=said)]
        nbformat.write(new_notebook(cells=cells), path)
        sources.cells.cache_clear()  # the notebook is another one
        return Chapter(path)

    return planted


def printed(heads, q9="holds"):
    return (f"Claim Q9 · {q9} · {heads} of 8 heads\nClaim Q8 · holds · 100 steps\n"
            "Claim Q7 · holds · 100 steps\n")


def on_the_star(chapter):
    found = {"settled": None, "rows": {str(point): verdicts.attempt(chapter.path, point)
                                       for point in verdicts.star()}}
    verdicts.store(chapter, found)
    return verdicts.table(chapter)


@functools.cache
def draws():
    """The number of heads that seed 0 and seed 1 of the planted chapter draw."""
    program = FRAGILE + "\nprint(heads)"
    return [int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                               env=os.environ | {"BOOK_SEED": str(seed)}).stdout)
            for seed in (0, 1)]


def test_a_fragile_claim_is_caught(plant):
    zero, one = draws()
    assert zero != one
    most = min(zero, one)  # one of the two seeds draws more
    mine, other = ("holds", "does not hold") if zero > one else ("does not hold", "holds")
    chapter = plant(FRAGILE, "assert heads == 9", TOLD.format(most=most), said=printed(zero, mine))
    found = on_the_star(chapter)
    assert list(found["rows"]) == [str(point) for point in SMALL]
    assert all(row["seconds"] > 0 for row in found["rows"].values())
    assert verdicts.faults(chapter, found) == [
        "07_planted, cell 3, at seed 0, budget 1, native; seed 1, budget 1, native; "
        "seed 0, budget 3, native: AssertionError: assert heads == 9",
        f"07_planted: claim Q9, printed as {mine!r}, reads {other!r} at seed 1, budget 1, native",
        "07_planted: claim Q7, printed as 'holds', reads 'does not hold' at seed 0, budget 3, "
        "native",
    ]
    page = verdicts.page()
    assert "| 3 of 3 | 3 | 2 |" in page and "cell 3, at seed 0" in page


def test_a_chapter_that_is_of_one_voice_leaves_the_list_for_good(plant, tmp_path, monkeypatch):
    monkeypatch.setattr(verdicts, "star", lambda: SMALL[2:])
    sound = TOLD.format(most=-1).replace("steps < 200", "steps < 2000")
    chapter = plant(FRAGILE, sound, said=printed(draws()[0]))
    found = on_the_star(chapter)
    assert verdicts.faults(chapter, found) == []
    row, = found["rows"].values()
    assert row["claims"]["Q8"] == ["holds", None, "300 steps"]
    verdicts.settle(chapter, found)
    assert (tmp_path / "unsettled.txt").read_text() == "08_other\n"
    assert verdicts.table(chapter)["settled"]
    verdicts.store(chapter, verdicts.table(chapter) | {"rows": {}})
    assert verdicts.table(chapter)["settled"]  # it keeps the day, and the test above its place


def test_a_kernel_that_dies_is_a_row_and_no_end(plant):
    chapter = plant("import os", "if os.environ['BOOK_SEED'] == '1':\n    os._exit(1)", "1")
    row = verdicts.attempt(chapter.path, SMALL[1])
    assert row["failed"][0][1].startswith("the kernel stopped: DeadKernelError")
    assert not verdicts.attempt(chapter.path, SMALL[0])["failed"]


# What makes a row stale, and what is said of a table.


def rows(**changes):
    row = {"sources": "", "failed": [], "seconds": 9.0,
           "claims": {"Q9": ["holds", None, "8 rows"], "Q8": ["holds", None, "8 rows"],
                      "Q7": ["holds", None, "8 rows"]}}
    return {str(point): row | changes for point in SMALL}


def table_of(chapter, **changes):
    return {"settled": None, "rows": rows(sources=sources.of_chapter(chapter.path), **changes)}


def test_a_row_is_made_from_the_chapter_as_it_stands(plant):
    chapter = plant("x = [1,2]", "1", said=printed(8))
    row = verdicts.attempt(chapter.path, SMALL[0])
    assert row["sources"] == sources.of_chapter(chapter.path)
    found = {"settled": None, "rows": {str(SMALL[0]): row}}
    assert verdicts.fresh(plant("x = [1, 2]  # two", "1", said=printed(8)), found)
    assert not verdicts.fresh(plant("x = [1, 3]", "1", said=printed(8)), found)
    assert not verdicts.fresh(plant("x = [1, 2]", "1", said=printed(7)), found)


def test_exercises_are_left_out(plant):
    chapter = plant("1 / 0", "2", said=printed(1))
    chapter.cells[1].metadata["tags"] = ["stub"]
    nbformat.write(chapter.notebook, chapter.path)
    assert not verdicts.attempt(chapter.path, SMALL[0])["failed"]


def without(claims, id):
    return {name: verdict for name, verdict in claims.items() if name != id}


@pytest.mark.parametrize("change, lines", [
    (lambda found: None, []),
    (lambda found: found["rows"].pop(str(SMALL[1])),
     ["07_planted: 1 of 3 points of the star are not run yet: run `python -m proofs.verdicts "
      "07_planted`"]),
    (lambda found: found["rows"][str(SMALL[2])].update(sources="another"),
     ["07_planted: 1 of 3 points of the star are stale: the chapter has changed since: run "
      "`python -m proofs.verdicts 07_planted`"]),
    (lambda found: found["rows"].update(rows(sources="another")),
     ["07_planted: 3 of 3 points of the star are stale: the chapter has changed since: run "
      "`python -m proofs.verdicts 07_planted`"]),
    (lambda found: found["rows"][str(SMALL[1])].update(
        claims=without(found["rows"][str(SMALL[1])]["claims"], "Q8")),
     ["07_planted: claim Q8 has no verdict at seed 1, budget 1, native"]),
    (lambda found: found["rows"][str(SMALL[0])].update(seconds=46.0),
     ["07_planted: takes 46 s of processor time, more than 45"]),
    (lambda found: found["rows"][str(SMALL[0])]["claims"].update(
        Q8=["holds in part", "n > 1", "1"]),
     ["07_planted: claim Q8, printed as 'holds', reads 'holds in part when n > 1' at seed 0, "
      "budget 1, native"]),
])
def test_every_fault_is_a_line(plant, change, lines):
    chapter = plant("1", said=printed(8))
    found = json.loads(json.dumps(table_of(chapter)))
    change(found)
    assert verdicts.faults(chapter, found) == lines


def test_a_claim_without_a_cell_is_a_line(plant):
    chapter = plant("1", said=printed(8).partition("Claim Q7")[0])
    assert verdicts.faults(chapter, table_of(chapter)) == [
        "07_planted: claim Q7 has no cell: add one that ends with claim('Q7', ...)"]


@pytest.mark.parametrize("source, steps", [
    ("tasks.train(make, loss, draw, 200, lr=1)", [200]),
    ("tasks.train(make, loss, draw, tasks.steps(200), lr=1)", []),
    ("tasks.train(make, loss, draw, steps, lr=1)", []),
    ("train(data, steps=200)", [200]),
    ("dict(steps=200, lr=1)", [200]),
    ("def fit(model, steps=200, lr=1): pass", [200]),
    ("def fit(model, steps, lr=1): pass", []),
    ("def fit(model, *, steps=200): pass", [200]),
    ("STEPS = 200", [200]),
    ("STEPS = tasks.steps(200)", []),
    ("FEW_STEPS, n = 200, 3", [200]),
    ("a, b = f(steps)", []),
    ("for steps in (200, 1000): pass", [200, 1000]),
    ("runs = {steps: fit(steps) for steps in [200, 600]}", [200, 600]),
    ("items = 200; hops = 3", []),
])
def test_steps_that_do_not_follow_the_budget_are_found(source, steps):
    assert verdicts.literal_steps(source) == steps


@pytest.mark.parametrize("told, found", [
    ("in 200 steps", False), ("200 training steps", False), ("1200 steps", True),
    ("200 runs", True)])
def test_such_steps_stand_in_a_claim(plant, told, found):
    chapter = plant("steps = 200", "1", said=printed(8).replace("8 of 8 heads", f"8 heads {told}"))
    lines = verdicts.faults(chapter, table_of(chapter))
    assert lines == ["07_planted, cell 2: 200 steps are written as they are, and no claim speaks "
                     "of 200 steps: say it there, or write tasks.steps(200)"] * found


@pytest.mark.parametrize("arguments, message", [
    (["33"], f"there is no chapter '33': say 1 to {len(chapter_paths())}, or 01_qkv"),
    (["3", "--budget", "7"], "budget 7 is not on the star: it has 1, 3, 10"),
    (["3", "--seeds", "11"], "the star has 1 to 10 seeds, got 11"),
    (["3", "--seeds", "0"], "the star has 1 to 10 seeds, got 0"),
])
def test_bad_input_is_a_line(arguments, message):
    done = subprocess.run([sys.executable, "-m", "proofs.verdicts", *arguments], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == f"Error: {message}\n" and not done.stdout
