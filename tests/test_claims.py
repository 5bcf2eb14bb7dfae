"""claim(): one line of fixed form, or an error that says why not. And every claim has a text."""

import contextlib
import io
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from attnlib.claims import VERDICTS, claim

BOOK = Path(__file__).parent.parent / "book"
LINE = re.compile(r"Claim ([A-Z]\d+[a-z]?) · (holds|holds in part|does not hold|undecided here|"
                  r"holds in part when [^·]+) · ([^·]+)( · [^·]+)?\n")


@pytest.mark.parametrize("verdict", VERDICTS)
def test_prints_exactly_one_line_and_returns_nothing(capsys, verdict):
    assert claim("K12", verdict, "3 of 8 rows") is None
    printed = capsys.readouterr()
    assert printed.out == f"Claim K12 · {verdict} · 3 of 8 rows\n"
    assert printed.err == ""


def test_prints_a_condition_and_a_scale(capsys):
    claim("X2a", "holds in part", "3 of 8 rows", when="d_v = d", scale="width 32, 200 steps")
    claim("X2b", "undecided here", "3 of 8 rows", scale="200 steps of 5 runs")
    assert capsys.readouterr().out == (
        "Claim X2a · holds in part when d_v = d · 3 of 8 rows · width 32, 200 steps\n"
        "Claim X2b · undecided here · 3 of 8 rows · 200 steps of 5 runs\n")


@pytest.mark.parametrize("verdict", [
    "holds", "does not hold", "undecided here"])
def test_a_condition_goes_with_a_part_alone(verdict):
    with pytest.raises(ValueError, match="^when goes with"):
        claim("Q1", verdict, "3 of 8 rows", when="n = 1")


@pytest.mark.parametrize("wrong", ["", " n = 1", "n = 1 · m = 2", "n = 1\nm = 2"])
def test_refuses_other_conditions_and_scales(wrong):
    with pytest.raises(ValueError, match="^when must be one line"):
        claim("Q1", "holds in part", "3 of 8 rows", when=wrong)
    with pytest.raises(ValueError, match="^scale must be one line"):
        claim("Q1", "holds", "3 of 8 rows", scale=wrong)


def test_refuses_a_scale_without_a_number():
    with pytest.raises(ValueError, match="^scale must hold a number"):
        claim("Q1", "holds", "3 of 8 rows", scale="small models")


@pytest.mark.parametrize("verdict", [
    "", "Holds", "holds.", "holds when", "holds when ", "it holds", "hold", "does not  hold",
    "does not hold when n = 1", "holds if d = 2", "holds when n = 1", "true", "holds when · n",
    "holds in part when n = 1", "undecided", "Undecided here", "does not hold here", "holds\n",
    " holds",
])
def test_refuses_other_verdicts(verdict):
    with pytest.raises(ValueError, match="^verdict must be"):
        claim("Q1", verdict, "3 of 8 rows")


@pytest.mark.parametrize("measured", [
    "", "much", "1234", "about 0.5", "·", "3 rows · 4 columns", "3 rows\n4 columns",
    "3 rows\n", "3 rows\u2028more", "a rate of 3",
])
def test_refuses_what_is_no_measurement(measured):
    with pytest.raises(ValueError, match="^measured must"):
        claim("Q1", "holds", measured)


@pytest.mark.parametrize("measured", ["39%", "39 %", "0.85 of the weight", "1.2e-3 nats", "20 °C",
                                      "the slope is 1.9 per doubling"])
def test_accepts_measurements(capsys, measured):
    claim("Q1", "holds", measured)
    assert capsys.readouterr().out.endswith(f" · {measured}\n")


@pytest.mark.parametrize("id", ["", "1", "Q", "q1", "Q1A", "Q1ab", "QQ1", "Q 1", "Q1 a", "Q1 ",
                                "Q1\n"])
def test_refuses_other_ids(id):
    with pytest.raises(ValueError, match="^id must be"):
        claim(id, "holds", "3 rows")


@pytest.mark.parametrize("position, name", [*enumerate(["id", "verdict", "measured"])])
@pytest.mark.parametrize("wrong", [None, True, 3, b"holds", ["holds"]])
def test_refuses_what_is_no_string(position, name, wrong):
    arguments = ["Q1", "holds", "3 rows"]
    arguments[position] = wrong
    with pytest.raises(TypeError, match=f"^{name} must be a string, got "):
        claim(*arguments)


@given(st.text(max_size=12), st.text(max_size=24), st.text(max_size=24))
def test_whatever_it_prints_has_the_fixed_form(id, verdict, measured):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(ValueError):
        claim(id, "holds in part", f"{measured} 3 rows", when=verdict, scale=f"3 rows {measured}")
    assert printed.getvalue() == "" or LINE.fullmatch(printed.getvalue())


def test_the_list_of_claims_is_sound():
    claims = yaml.safe_load((BOOK / "claims.yml").read_text(encoding="utf-8"))
    ids = [entry["id"] for entry in claims]
    assert len(set(ids)) == len(ids)
    for entry in claims:
        assert set(entry) == {"id", "text", "chapter", "elsewhere"}, entry
        assert re.fullmatch(r"[A-Z]\d+[a-z]?", entry["id"]), entry
        assert (BOOK / f"{entry['chapter']}.ipynb").exists(), entry
        assert entry["text"].endswith(".") and "·" not in entry["text"], entry


def test_every_claim_says_what_is_known_elsewhere():
    """A sentence and a paper, which stands in the references."""
    references = (BOOK / "references.md").read_text(encoding="utf-8")
    for entry in yaml.safe_load((BOOK / "claims.yml").read_text(encoding="utf-8")):
        said = re.fullmatch(r"[A-Z][^\[]+\. \[(.+? \d{4})\]\((https://\S+)\)\.",
                            entry["elsewhere"].strip())
        assert said, entry
        assert f"- **{said[1]}.**" in references and f"({said[2]})" in references, entry


@pytest.mark.parametrize("entry", yaml.safe_load((BOOK / "claims.yml").read_text(encoding="utf-8")),
                         ids=lambda entry: entry["id"])
def test_a_chapter_quotes_its_claim_word_for_word(entry):
    """The quote in the notebook and the text on the claims page are one; formulas have dollars."""
    from press.chapters import Chapter

    quotes = [words(quote) for cell in Chapter(BOOK / f"{entry['chapter']}.ipynb").cells
              if cell.cell_type == "markdown"
              for quote in re.findall(r"(?:^>.*\n?)+", cell.source, re.MULTILINE)]
    assert words(f"**Claim {entry['id']}.** {entry['text']}") in quotes


def words(text):
    """A text without marks of quotes, formulas and line breaks.

    >>> words("> so $d_k$\\n> grows")
    'so d_k grows'
    """
    return " ".join(re.sub(r"^> ?|\$|\\(?=[a-z])|[{}()]", "", text, flags=re.MULTILINE).split())
