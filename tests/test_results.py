"""Tables of results: the same numbers as text and as HTML; bad rows are named."""

import re

import numpy as np
import pytest
from bs4 import BeautifulSoup

from attnlib.tables import table
from press.chapters import Chapter, chapter_paths


def shown():
    return table({"a < b": [0.5, np.float64(0.123), True],
                  "c": [12.0, np.int64(3), np.bool_(False)]},
                 ["share", "error, nats", "learns"], name="model")


def test_html_and_text_say_the_same():
    page = BeautifulSoup(shown()._repr_html_(), "html.parser")
    rows = [[cell.get_text() for cell in row.select("th, td")] for row in page.select("tr")]
    assert rows == [["model", "share", "error, nats", "learns"],
                    ["a < b", "0.50", "0.12", "yes"], ["c", "12.00", "3", "no"]]
    assert [line.split("  ") for line in repr(shown()).splitlines()][0][0] == "model"
    for row, line in zip(rows, repr(shown()).splitlines()):
        assert line.split() == " ".join(row).split()


def test_numbers_stand_below_each_other():
    lines = repr(shown()).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert all(scope in shown()._repr_html_() for scope in ('scope="col"', 'scope="row"'))


@pytest.mark.parametrize("form, wanted", [(".3f", "0.500"), (".0%", "50%"), (".1e", "5.0e-01")])
def test_floats_are_written_as_asked(form, wanted):
    assert wanted in repr(table({"x": [0.5]}, ["y"], form=form))


def test_a_row_of_another_length_is_named():
    with pytest.raises(ValueError, match="row 'x' has 1 cells for 2 columns"):
        table({"x": [1]}, ["a", "b"])


def test_a_referee_s_table_has_the_numbers_that_the_chapter_printed():
    """Exercise 2.7 is about the chapter's own measurement: its statement repeats two tables."""
    chapter = Chapter(next(path for path in chapter_paths() if path.stem == "02_scaling"))
    printed = {}
    for cell in chapter.notebook.cells:
        for output in cell.get("outputs", ()):
            lines = output.get("data", {}).get("text/plain", "").splitlines()
            if lines and lines[0].split() == ["d_k", "scaled", "unscaled", "times", "as", "large"]:
                printed |= {("16", d): (scaled, one)
                            for d, scaled, one, _ in map(str.split, lines[1:])}
            for line in lines:
                if found := re.match(r"(\d+) keys, d_k (\d+) +(\S+) +(\S+)", line):
                    printed[found[1], found[2]] = found[3], found[4]
    statement, = (cell.source for cell in chapter.notebook.cells
                  if cell.source.startswith("### Exercise 2.7 "))
    told = re.findall(r"^\| (\d+) \| (\d+) \| (\S+) \| (\S+) \|$", statement, re.M)
    assert len(told) == 7 and {row[:2]: row[2:] for row in told}.items() <= printed.items()
    words = re.sub(r"\$(\S+) \\cdot 10\^\{(-\d)\}\$", r"\1e\2", statement.partition("|")[0])
    assert all(number.replace("e-0", "e-") in words for number in (
        printed["16", "2"][1], printed["16", "2048"][1]))
