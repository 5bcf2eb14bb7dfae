"""The pages around the chapters: every name that they name is there."""

import ast
import inspect
import re

import pytest

import attnlib
from attnlib.exercises import exercises, get
from press import cover
from press.chapters import ROOT, Chapter, chapter_paths

CITED = re.compile(r"([A-Z][\w-]+(?: et al\.| and [A-Z][\w-]+)?) (\d{4})")
ARXIV = re.compile(r"arxiv\.org/(?:abs|pdf)/([\d.]+\d)")


def page(name):
    """The text of a page of `book/`."""
    return (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")


# The bug catalogue.


def bugs():
    """{title: text} of the entries of the bug catalogue."""
    parts = re.split(r"^### (.+)\n", page("bugs"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def functions_of(file):
    """The names of the test functions of a file of `tests/`."""
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("title", bugs())
def test_a_bug_has_all_its_parts_and_its_tests_are_there(title):
    text = bugs()[title]
    for part in ("Symptom.", "Cause.", "Caught by"):
        assert f"- **{part}**" in text, part
    assert re.search(r"- \*\*Discussed\*\* in [^.]*\]\(|- \*\*Found\*\* in a ", text, re.DOTALL)
    caught = re.findall(r"`(test_\w+\.py)::(test_\w+)`", text)
    assert caught
    for file, name in caught:
        assert name in functions_of(file), f"{file} has no {name}"


@pytest.mark.parametrize("title", [
    title for title, text in bugs().items() if re.search(r"\bexercises?\s+\[", text)])
def test_the_exercises_of_a_bug_know_the_mistake(title):
    named = re.findall(r"\[(\d\.\d+)\]\((\w+)\.ipynb\)\s*\(([^)]*)\)", bugs()[title])
    assert len(named) == len(re.findall(r"\[\d\.\d+\]", bugs()[title])) > 0
    for id, stem, names in named:
        assert any(e.id == id for e in exercises()) and int(stem[:2]) == int(id[0])
        known = {mistake.name for mistake in get(id).mistakes}
        assert set(re.findall(r"`([^`]+)`", names)) <= known, f"{id} knows {sorted(known)}"


# The references.


def sources():
    """{(author, year): where} of everything that a docstring of attnlib gives as its source."""
    found = {}
    for path in sorted((ROOT / "attnlib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                words = ast.get_docstring(node) or ""
                source = " ".join(re.findall(r"Source: (.*?)(?:\n\n|\Z)", words, re.DOTALL))
                for cited in CITED.findall(source.replace("\n", " ")):
                    found[cited] = f"{path.name}: {node.name}"
    return found


def test_every_source_of_a_docstring_is_in_the_references():
    assert len(sources()) > 25
    missing = {where: cited for cited, where in sources().items()
               if f"- **{cited[0]} {cited[1]}.**" not in page("references")}
    assert not missing, "add them to book/references.md"


@pytest.mark.parametrize("path", chapter_paths(), ids=lambda path: path.stem)
def test_every_paper_that_a_chapter_links_is_in_the_references(path):
    linked = {id for cell in Chapter(path).cells if cell.cell_type == "markdown"
              for id in ARXIV.findall(cell.source)}
    assert linked
    assert not linked - set(ARXIV.findall(page("references"))), "add them to book/references.md"


def test_the_references_are_in_order_and_name_each_once():
    keys = re.findall(r"^- \*\*(.+?)\.\*\*", page("references"), re.MULTILINE)
    assert keys == sorted(set(keys)) and len(keys) == page("references").count("\n- ")
    links = re.findall(r"\]\((https://\S+)\)", page("references"))
    assert len(links) == len(set(links)) == len(keys)


# The opening page, the notation.


def test_the_opening_page_lists_the_chapters_with_their_exercises():
    rows = re.findall(r"^\| (\d) · \[.+?\]\((\w+)\.ipynb\) \| .+ \| (\d+), (\d+) minutes \|$",
                      page("intro"), re.MULTILINE)
    assert [stem for _, stem, _, _ in rows] == [path.stem for path in chapter_paths()]
    for number, _, count, minutes in rows:
        own = [e for e in exercises() if e.id.partition(".")[0] == number]
        assert (len(own), sum(e.minutes for e in own)) == (int(count), int(minutes)), number


def test_the_exercises_for_an_interview_take_as_long_as_is_said():
    ids, minutes = re.search(r"looking: ([\d.,\s]+) \((\d+) minutes\)", page("intro")).groups()
    assert sum(get(id).minutes for id in re.findall(r"\d\.\d", ids)) == int(minutes)


def test_the_cover_is_what_its_code_draws(tmp_path):
    from matplotlib import pyplot

    cover.draw(tmp_path / "cover.png")
    pyplot.close("all")
    drawn, stored = (pyplot.imread(path) for path in (tmp_path / "cover.png", cover.PICTURE))
    assert drawn.shape == stored.shape and abs(drawn - stored).mean() < 0.01, (
        "run python -m press cover")


def names_of(thing):
    """A function's parameters, and its own name."""
    return {thing.__name__, *inspect.signature(thing).parameters}


def test_every_name_in_the_notation_is_one_of_attnlib():
    columns = re.findall(r"^\|[^|]*\| (`[^|]+) \|[^|]*\|(?:[^|]*\|)?$", page("notation"),
                         re.MULTILINE)
    named = {name for column in columns for name in re.findall(r"`(\w+)", column)}
    things = [getattr(attnlib, name) for name in attnlib.__all__]
    known = set().union(*map(names_of, things))
    known |= set().union(*(names_of(method) for thing in things if inspect.isclass(thing)
                           for method in vars(thing).values() if inspect.isfunction(method)))
    known |= {"n_q", "n_k", "d_k", "d_v", "w_value", "out_proj", "output", "lse",
              "latent"}  # no parameters
    assert len(named) > 40
    assert not named - known
