"""press: what a chapter must keep to, with every fault planted once; what it prints."""

import json

import nbformat
import pytest
from leaks import Secrets, disguised, normalised, shingles
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from attnlib.claims import claim
from attnlib.exercises import exercises
from press import claims_page, rules, runs, without_solutions
from press.chapters import ROOT, Chapter, chapter_paths, settings, tags
from press.site.shelf import ASIDE, FOLDED, reading_minutes

PATHS = pytest.mark.parametrize("path", chapter_paths(), ids=lambda path: path.stem)


def ids_of(path):
    """The registry's exercise ids of the chapter at this path."""
    number = str(int(path.stem.partition("_")[0]))
    return [e.id for e in exercises() if e.id.partition(".")[0] == number]


@PATHS
def test_a_chapter_keeps_the_rules(path):
    assert not rules.faults(Chapter(path), ids_of(path))


@PATHS
def test_the_cells_of_a_chapter_are_small(path):
    from statistics import median

    code = [cell.source for cell in Chapter(path).cells if cell.cell_type == "code"]
    assert median(len(source.splitlines()) for source in code) <= 8


SHOWN, LINES, MINUTES = 40, 12, 30  # at most: cells in sight, lines of one, minutes of reading
OUT_OF_SIGHT = ASIDE | FOLDED - {"claim"}


@PATHS
def test_no_chapter_is_a_wall_of_code(path):
    """Whoever reads meets few cells, short ones, and is through in half an hour."""
    chapter = Chapter(path)
    code = [(index, cell.source.strip().splitlines()) for index, cell in enumerate(chapter.cells)
            if cell.cell_type == "code" and not OUT_OF_SIGHT & set(tags(cell))]
    first, imports = code[0]
    code[0] = first, list(filter(None, imports))  # blank lines part what comes from where
    assert len(code) <= SHOWN
    assert {index: len(lines) for index, lines in code if len(lines) > LINES} == {}
    assert reading_minutes(chapter) <= MINUTES


def markdown(source, *tags):
    return new_markdown_cell(source, metadata={"tags": list(tags)})


def code(source, *tags, **metadata):
    return new_code_cell(source, execution_count=1, metadata={"tags": list(tags), **metadata})


def good_cells():
    return [
        markdown("# A chapter\n\nText with $x < y$, `<b>` and [a link](01_qkv.ipynb)."),
        code("draw()", "figure",
             mystnb={"image": {"alt": "A line that rises from one to four."}}),
        markdown("## Exercises"),
        markdown("### Exercise 7.1 ★★ · Add one\n\nWrite it.", "exercise"),
        code("# answer 7.1\ndef add_one(x):\n    ...", "stub"),
        code('check("7.1", add_one)', "check"),
        markdown("One more than $x$:", "solution"),
        code('def add_one(x):\n    return x + 1\ncheck("7.1", add_one)', "solution"),
        markdown("## Further reading"),
    ]


@pytest.fixture
def chapter(tmp_path):
    """chapter(cells) -> a Chapter in a temporary folder."""
    def write(cells, name="07_planted.ipynb"):
        path = tmp_path / name
        nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": {
            "name": "python3", "display_name": "Python 3", "language": "python"}}), path)
        return Chapter(path)
    return write


def test_a_good_chapter_has_no_faults(chapter):
    assert rules.faults(chapter(good_cells()), ["7.1"]) == []


def unexecuted(cells):
    cells[1].execution_count = None


def directive(cells):
    cells[0].source += "\n\n```{note}\nRaw in Colab.\n```"


def colon_directive(cells):
    cells[0].source += "\n\n:::{tip}\nRaw in Colab.\n:::"


def role(cells):
    cells[0].source += "\n\nSee {ref}`there`."


def raw_html(cells):
    cells[0].source += "\n\n<div>Raw.</div>"


def dead_link(cells):
    cells[0].source += "\n\nSee [later](99_never.ipynb#there)."


def no_alt(cells):
    del cells[1].metadata["mystnb"]


def untagged_picture(cells):
    cells[1] = code("draw()")
    cells[1].outputs = [nbformat.v4.new_output("display_data", {"image/png": "AAAA"})]


def misspelt_tag(cells):
    cells[1].metadata["tags"].append("figrue")


def play_without_picture(cells):
    cells.insert(1, code("play.heads()", "play"))


def check_before_stub(cells):
    cells[4], cells[5] = cells[5], cells[4]


def no_solution(cells):
    del cells[6:8]


def untagged_between(cells):
    cells.insert(8, markdown("A stray remark."))


def bad_heading(cells):
    cells[3].source = "### Exercise 7.1: Add one"


def no_marker(cells):
    cells[4].source = "def add_one(x):\n    ..."


def other_check(cells):
    cells[5].source = 'check("7.2", add_one)'


def unchecked_solution(cells):
    cells[7].source = "def add_one(x):\n    return x + 1"


def heading_in_solution(cells):
    cells[6].source = "## Because\n\nSo."


def twice(cells):
    cells[8:8] = good_cells()[3:8]


def borrowed(cells):
    cells.append(code("add_one(2)"))


FAULTS = [  # the planted fault, the cell that is named, words of the remedy
    (unexecuted, 2, "run `make notebooks`"),
    (directive, 1, "write plain Markdown"),
    (colon_directive, 1, "write plain Markdown"),
    (role, 1, "write an ordinary link"),
    (raw_html, 1, "write plain Markdown"),
    (dead_link, 1, "take the link out"),
    (no_alt, 2, '{"mystnb": {"image": {"alt": "..."}}}'),
    (untagged_picture, 2, "tag it `figure`"),
    (misspelt_tag, 2, "use one of exercise"),
    (play_without_picture, 2, "stands directly under its picture"),
    (check_before_stub, 4, "followed by cells tagged stub, check, solution"),
    (no_solution, 4, "followed by cells tagged stub, check, solution"),
    (untagged_between, 9, "tag it `solution` or move it"),
    (bad_heading, 4, "### Exercise 2.3 ★★ · Title"),
    (no_marker, 5, "# answer 7.1"),
    (other_check, 6, 'check("7.1", your_function)'),
    (unchecked_solution, 8, 'calls check("7.1", ...) again'),
    (heading_in_solution, 7, "use bold words"),
    (borrowed, 10, "rename one"),
]


@pytest.mark.parametrize("plant, number, remedy", FAULTS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_planted_fault_is_named_with_file_cell_and_remedy(chapter, plant, number, remedy):
    cells = good_cells()
    plant(cells)
    found = rules.faults(chapter(cells), ["7.1"])
    assert any(f"07_planted.ipynb, cell {number} " in line and remedy in line
               for line in found), found


def test_an_exercise_that_stands_twice_is_named(chapter):
    cells = good_cells()
    twice(cells)
    (line,) = rules.faults(chapter(cells), ["7.1"])
    assert "07_planted.ipynb: exercise 7.1 stands twice" in line


def test_ids_that_differ_from_the_registry_are_named(chapter):
    unknown, missing = rules.faults(chapter(good_cells()), ["7.2"])
    assert "07_planted.ipynb, cell 4 " in unknown and "7.1 is not in attnlib.exercises" in unknown
    assert "07_planted.ipynb: exercise 7.2 of attnlib.exercises has no cell here" in missing


# Student notebooks.


def test_student_notebooks_are_what_press_prints():
    assert without_solutions.stale() == []


def test_a_stale_student_notebook_is_named(tmp_path):
    without_solutions.print_students(tmp_path)
    first = sorted(tmp_path.glob("*.ipynb"))[0]
    first.write_text(first.read_text(encoding="utf-8") + " ", encoding="utf-8")
    (tmp_path / "98_old.ipynb").write_text("{}")
    assert without_solutions.stale(tmp_path) == [
        f"student/{name} is stale: run `make student` and commit it"
        for name in (first.name, "98_old.ipynb")]
    without_solutions.print_students(tmp_path)
    assert without_solutions.stale(tmp_path) == []


@PATHS
def test_no_solution_leaks_into_a_student_notebook(path):
    edition = nbformat.read(without_solutions.STUDENT / path.name, as_version=4)
    assert Secrets([Chapter(path)]).in_notebook(edition) == []
    assert not any(cell.get("outputs") for cell in edition.cells)


@PATHS
def test_a_planted_leak_is_caught(path):
    chapter = Chapter(path)
    secrets = Secrets([chapter])
    for _, cell in chapter.tagged("solution"):
        secret = cell.cell_type == "code" and normalised(cell.source)
        if secret or len(shingles(cell.source)) > 3 and cell.cell_type == "markdown":
            planted = nbformat.from_dict(cell)
            if cell.cell_type == "code":
                planted.source = disguised(cell.source)
            edition = nbformat.v4.new_notebook(cells=[planted])
            assert secrets.in_notebook(edition), cell.source


LINKS = ("[a](01_qkv.ipynb#x) [b](claims.md) [c](https://arxiv.org/abs/1706.03762) [d](#here) "
         "![e](picture.png)")


def test_links_of_a_student_notebook_are_absolute(chapter, monkeypatch):
    monkeypatch.setattr(without_solutions, "repository", lambda: "https://github.com/us/book")
    monkeypatch.setattr(without_solutions, "site", lambda: "https://us.github.io/book")
    source = without_solutions.student_edition(chapter([markdown(LINKS)])).cells[1].source
    assert source == ("[a](https://us.github.io/book/book/01_qkv.html#x) "
                      "[b](https://us.github.io/book/book/claims.html) "
                      "[c](https://arxiv.org/abs/1706.03762) [d](#here) "
                      "![e](https://github.com/us/book/raw/main/book/picture.png)")


def test_without_an_address_links_stay_in_the_checkout_and_go_from_what_leaves_it(
        chapter, monkeypatch):
    monkeypatch.setattr(without_solutions, "repository", lambda: None)
    source = without_solutions.student_edition(chapter([markdown(LINKS)])).cells[1].source
    assert source == ("[a](01_qkv.ipynb#x) [b](../book/claims.md) "
                      "[c](https://arxiv.org/abs/1706.03762) [d](#here) ![e](../book/picture.png)")
    assert without_solutions.absolute_links(LINKS) == (
        "a b [c](https://arxiv.org/abs/1706.03762) [d](#here) e")


def test_the_address_stands_in_one_file():
    """Everything that needs the repository's address takes it from _config.yml."""
    address = settings()["repository"]["url"]
    owners = [path for path in ROOT.rglob("*")
              if path.suffix in {".py", ".md", ".yml", ".toml", ".cff"}
              and not {".venv", "_build"} & set(path.parts)
              and address in path.read_text(encoding="utf-8")]
    assert owners == [ROOT / "_config.yml"]


# The claims page.


def claim_cell(line):
    cell = code("claim(...)", "claim")
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=line + "\n")]
    return cell


def test_the_claims_page_is_what_press_prints():
    stored = claims_page.PAGE.read_text(encoding="utf-8")
    assert stored == claims_page.print_page(), "run `make student`"


def test_a_claim_is_read_from_the_stored_output(chapter):
    cells = [claim_cell("Claim Q9 · holds in part when d is small · 3.1 nats at d = 4")]
    assert claims_page.measured(chapter(cells)) == {
        "Q9": ("holds in part", "d is small", "3.1 nats at d = 4", None)}


@pytest.mark.parametrize("verdict, when", [
    ("holds", None), ("holds in part", None), ("holds in part", "d is small"),
    ("does not hold", None), ("undecided here", None)])
@pytest.mark.parametrize("scale", [None, "width 32, 200 steps"])
def test_what_claim_prints_is_what_press_reads(chapter, capsys, verdict, when, scale):
    claim("X2a", verdict, "3.1 nats at d = 4", when=when, scale=scale)
    cells = [claim_cell(capsys.readouterr().out)]
    assert claims_page.measured(chapter(cells)) == {
        "X2a": (verdict, when, "3.1 nats at d = 4", scale)}


@pytest.mark.parametrize("cells, words", [
    ([claim_cell("nothing of the kind")], "stores the line it prints"),
    ([claim_cell("Claim Q9 · holds · 1 nat"), claim_cell("Claim Q9 · holds · 2 nats")],
     "Q9 is settled twice"),
])
def test_a_bad_claim_cell_is_named(chapter, cells, words):
    with pytest.raises(ValueError, match=words):
        claims_page.measured(chapter(cells))


def test_a_claim_without_a_cell_and_a_cell_without_a_claim_are_named(chapter, monkeypatch):
    planted = chapter([claim_cell("Claim Q9 · holds · 1 nat")])
    monkeypatch.setattr(claims_page, "chapter_paths", lambda: [planted.path])
    listed = [{"id": "Q8", "text": "x", "chapter": "07_planted"}]
    monkeypatch.setattr(claims_page, "claims", lambda: listed)
    with pytest.raises(ValueError, match="settles .'Q9'.*does not list"):
        claims_page.print_page()
    listed.append({"id": "Q9", "text": "y", "chapter": "07_planted"})
    with pytest.raises(ValueError, match="claim Q8 has no cell"):
        claims_page.print_page()
    del listed[0]
    listed[0]["elsewhere"] = "So it is there. [One 2020](https://example.org)"
    monkeypatch.setattr(claims_page, "unsettled", lambda: ["07_planted"])
    page = claims_page.print_page()
    assert "| ● holds | 1 |\n| ◐ holds in part | 0 |" in page and "| together | 1 |" in page
    assert page.endswith("""\
### Q9 ● Holds

y

- Measured: 1 nat.
- Elsewhere: So it is there. [One 2020](https://example.org)
- Not yet run over seeds, budgets and processors.
- [The cell that decides](07_planted.ipynb#claim-q9).
""")


def test_the_claims_page_says_on_how_much_of_the_star_a_verdict_was_the_same(
        chapter, monkeypatch, tmp_path):
    line = "Claim Q9 · holds in part when n > 1 · 1 nat · 8 words"
    planted = chapter([claim_cell(line)])
    verdicts = [["holds in part", "n > 1", "1 nat"], ["holds in part", "n > 1", "3 nats"],
                ["holds in part", "n > 2", "1 nat"], ["holds", None, "1 nat"]]
    rows = {str(i): {"claims": {"Q9": verdict}} for i, verdict in enumerate(verdicts)}
    (tmp_path / "07_planted.json").write_text(json.dumps({"rows": rows | {"4": {"claims": {}}}}))
    monkeypatch.setattr(claims_page, "STAR", tmp_path)
    monkeypatch.setattr(claims_page, "unsettled", lambda: [])
    monkeypatch.setattr(claims_page, "chapter_paths", lambda: [planted.path])
    monkeypatch.setattr(claims_page, "claims", lambda: [{"id": "Q9", "text": "y",
                                                    "chapter": "07_planted"}])
    page = claims_page.print_page()
    assert "### Q9 ◐ Holds in part when n > 1\n" in page and "- At: 8 words.\n" in page
    assert "The same verdict at 2 of 5 points of seed, budget and processor." in page


def test_what_an_editor_leaves_behind_is_taken_out_and_no_id_stands_in_two_chapters():
    notebooks = {}
    for name in ("01_one", "02_two"):
        notebook = new_notebook(cells=[markdown("# One"), code("1", "figure", mystnb={"a": 1})])
        notebook.cells[0].metadata.update(cell_marker='r"""', lines_to_next_cell=2)
        notebook.cells[0].id, notebook.cells[1].id = "c01", "02-c02"
        runs.tidy(notebook, name)
        runs.tidy(notebook, name)
        notebooks[name] = [(cell.id, dict(cell.metadata)) for cell in notebook.cells]
    figure = {"tags": ["figure"], "mystnb": {"a": 1}}
    assert notebooks == {"01_one": [("01-c01", {"tags": []}), ("01-02-c02", figure)],
                         "02_two": [("02-c01", {"tags": []}), ("02-c02", figure)]}


def test_no_cell_id_stands_twice_in_the_book():
    ids = [cell.id for path in chapter_paths() for cell in Chapter(path).cells]
    assert len(ids) == len(set(ids)) > 500, "run `make notebooks`"
