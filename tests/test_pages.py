"""The pages around the chapters: every name that they name is there."""

import ast
import inspect
import math
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
    named = re.findall(r"\[(\d+\.\d+)\]\((\w+)\.ipynb\)\s*\(([^)]*)\)", bugs()[title])
    assert len(named) == len(re.findall(r"\[\d+\.\d+\]", bugs()[title])) > 0
    for id, stem, names in named:
        assert any(e.id == id for e in exercises()) and int(stem[:2]) == int(id.partition('.')[0])
        known = {mistake.name for mistake in get(id).mistakes}
        assert set(re.findall(r"`([^`]+)`", names)) <= known, f"{id} knows {sorted(known)}"


def names_of_bugs():
    """What the lines of the catalogue are about, and what a bug needs otherwise."""
    import torch
    from torch.nn import functional

    torch.manual_seed(0)
    n, dim, d_k, heads = 4, 6, 3, 2
    queries, keys, values = (torch.randn(n, d_k) for _ in range(3))
    scores, causal = torch.randn(n, n), torch.ones(n, n, dtype=torch.bool).tril()
    usual = dict(
        torch=torch, math=math, F=functional, attnlib=attnlib, n=n, dim=dim, d_k=d_k, heads=heads,
        n_q=n, n_k=n, i=1, window=2, group=2, x=torch.randn(n, dim), query=queries, key=keys,
        value=values, scores=scores, weights=torch.softmax(scores, -1), mask=causal,
        causal=causal, positions=torch.arange(n), output=torch.zeros(n, d_k),
        step=lambda x: 2 * x + 1, norm=lambda x: functional.layer_norm(x, x.shape[-1:]),
        answer=torch.ones(n), wanted=torch.zeros(n), beams=[torch.arange(3)])
    one = torch.ones(n, n, dtype=torch.bool)
    one[2] = False
    lengths = torch.arange(n) < torch.tensor([[4], [2]])
    return usual, {
        "A value longer than the keys": dict(value=torch.randn(n + 1, d_k)),
        "A query that may see nothing": dict(
            scores=scores.masked_fill(~one, -torch.inf), empty=~one.any(-1, keepdim=True)),
        "A sequence of length zero": dict(real=torch.zeros(1, n, dtype=torch.bool)),
        "Padded queries, and masks of the wrong rank": dict(
            scores=torch.randn(2, heads, n, n), real=lengths),
        "A mask beside a causal flag": dict(mask=lengths[1]),
        "The causal mask begins at the wrong corner": dict(n_q=1),
        "A NaN in the future": dict(value=values.index_fill(0, torch.tensor(3), torch.nan),
                                    weights=torch.softmax(scores.where(causal, -torch.inf), -1)),
        "The exponential overflows": dict(scores=1000 * scores),
        "A stream that starts with nothing": dict(old=torch.tensor([-torch.inf, 1.0]),
                                                  new=torch.tensor([-torch.inf, 2.0])),
        "Heads cut out by a reshape alone": dict(query=torch.randn(n, dim)),
        "A view of what was transposed": dict(found=torch.randn(heads, n, d_k)),
        "Heads that look at each other": dict(query=torch.randn(n, heads, d_k),
                                              key=torch.randn(n, heads, d_k)),
        "Shared key heads, dealt out in turn": dict(key=torch.randn(2, n, d_k)),
        "Rotated along the axis of the heads": dict(query=torch.randn(n, heads, 4)),
        "Angles that are kept for a length": dict(
            query=torch.randn(n, 4), positions=torch.arange(5, 5 + n), kept={n: torch.arange(n)}),
        "Every word of a sentence at one position": dict(
            x=torch.randn(2, n, dim), encoding=torch.randn(9, dim)),
        "Positions that start again after the cache": dict(
            query=torch.randn(1, 4), n_q=1),
    }


RIGHT = {  # what attnlib makes of the same
    "Divided by the root of the model's width": lambda of: attnlib.attention_scores(
        of["query"], of["key"]),
    "Not divided at all, or multiplied": lambda of: attnlib.attention_weights(
        of["query"], of["key"]),
    "A query that may see nothing": lambda of: attnlib.softmax(of["scores"]),
    "A sequence of length zero": lambda of: 0 * of["scores"],
    "A mask beside a causal flag": lambda of: attnlib.attention(
        of["query"], of["key"], of["value"], mask=of["mask"], causal=True),
    "The causal mask begins at the wrong corner": lambda of: attnlib.causal_mask(1, 4),
    "A window that is one key too wide": lambda of: attnlib.window_mask(4, window=2, causal=True),
    "The exponential overflows": lambda of: attnlib.softmax(of["scores"]),
    "Heads cut out by a reshape alone": lambda of: attnlib.split_heads(of["query"], 2),
}


@pytest.mark.parametrize("title", [title for title, text in bugs().items() if "```" in text])
def test_the_line_of_a_bug_fails_and_its_mending_does_not(title):
    import torch

    usual, otherwise = names_of_bugs()
    wrong, right = re.search(r"```diff\n- (.+)\n\+ (.+)\n```", bugs()[title]).groups()

    def told(line):
        """What a line does: its error, what it makes, what it does to what was there."""
        given = {name: value.clone() if torch.is_tensor(value) else value
                 for name, value in (usual | otherwise.get(title, {})).items()}
        names = dict(given)
        try:
            exec(line, names)
        except (AssertionError, NameError, RuntimeError) as error:
            return type(error).__name__, None, None
        return None, names.get(line.partition(" ")[0].partition("[")[0]), given

    (failed, made, there), (raised, mended, kept) = told(wrong), told(right)
    if title == "A check that cannot fail":
        assert failed is None and raised == "AssertionError"
        return
    assert raised is None and not torch.as_tensor(mended).isnan().any()
    same = failed is None and torch.equal(torch.as_tensor(made), torch.as_tensor(mended))
    assert not same or not all(torch.equal(there[name], kept[name]) for name in there
                               if torch.is_tensor(there[name]))
    if title in RIGHT:
        wanted = torch.as_tensor(RIGHT[title](usual | otherwise.get(title, {})))
        torch.testing.assert_close(mended, wanted, check_dtype=False)


def test_every_bug_of_code_shows_its_line():
    assert [title for title, text in bugs().items() if "```" not in text] == [
        "A sentence that its own table contradicts"]


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
    assert keys == sorted(set(keys), key=str.casefold)
    assert len(keys) == page("references").count("\n- ")
    links = re.findall(r"\]\((https://\S+)\)", page("references"))
    assert len(links) == len(set(links)) == len(keys)


# Equations.


def markdown_of(path):
    """The text of a chapter."""
    return "\n".join(c.source for c in Chapter(path).cells if c.cell_type == "markdown")


@pytest.mark.parametrize("path", chapter_paths(), ids=lambda path: path.stem)
def test_every_equation_that_a_chapter_names_is_there(path):
    there = {tag for chapter in chapter_paths()
             for tag in re.findall(r"\\tag\{([\d.]+)\}", markdown_of(chapter))}
    named = set(re.findall(r"\(([1-9]\d*\.[1-9]\d*)\)", markdown_of(path)))
    assert not named - there


# The opening page, the notation.


def test_the_opening_page_lists_the_chapters_with_their_exercises():
    rows = re.findall(r"^\| (\d+) · \[.+?\]\((\w+)\.ipynb\) \| .+ \| (\d+), (\d+) minutes \|$",
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


def test_a_symbol_of_the_notation_has_one_meaning():
    text = page("notation").replace("\\mid", "")
    cells = re.findall(r"^\| (\$[^|]+\$) \|", text, re.MULTILINE)
    symbols = [symbol for cell in cells for symbol in cell.replace("$", "").split(", ")]
    assert len(symbols) > 45 and sorted(set(symbols)) == sorted(symbols)


def test_every_name_in_the_notation_is_one_of_attnlib():
    columns = re.findall(r"^\|[^|]*\| (`[^|]+) \|[^|]*\|(?:[^|]*\|)?$", page("notation"),
                         re.MULTILINE)
    named = {name for column in columns for name in re.findall(r"`(\w+)", column)}
    things = [getattr(attnlib, name) for name in attnlib.__all__]
    known = set().union(*map(names_of, things))
    known |= set().union(*(names_of(method) for thing in things if inspect.isclass(thing)
                           for method in vars(thing).values() if inspect.isfunction(method)))
    known |= {"n_q", "n_k", "d_k", "d_v", "w_value", "out_proj", "output", "lse",
              "latent", "width", "g", "gain_q", "gain_k"}  # no parameters
    assert len(named) > 40
    assert not named - known
