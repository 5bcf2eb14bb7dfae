"""Stored tables: rows in a JSON file, each bound to its sources, and the page printed from them.

A stale row fails `make test` where the table is strict; elsewhere it is marked on its page, and
fails `make proofs-fresh`. ``python -m proofs`` prints all pages again.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attnlib.exercises.files import write_whole
from press.dates import day as day  # who prints a table says when it was made

from . import sources

STALE = " †"
NOTE = ("† Made before its sources were what they are now; `make proofs` makes it again.",)


@dataclass(frozen=True)
class Table:
    """Where a table is stored, what its rows are bound to, and how its page is printed.

    Args:
        stored, page: the paths of its JSON and of its Markdown.
        rows: ``rows(stored)`` gives ``{name: row}``, each row with a digest under "sources".
        now: ``now()`` gives ``{name: digest}``, as the sources are now.
        text: ``text(stored, stale)`` gives the page; ``stale`` is what `sources.stale` gives.
        strict: whether a stale row fails `make test`.
    """

    stored: Path
    page: Path
    rows: Callable
    now: Callable
    text: Callable
    strict: bool = False

    def read(self):
        """What is stored; empty if nothing is."""
        if not self.stored.exists():
            return {}
        return json.loads(self.stored.read_text(encoding="utf-8"))

    def stale(self):
        """``{name: why}`` of the rows that are to be made again."""
        stored = self.read()
        return sources.stale(self.rows(stored) if stored else {}, self.now())

    def printed(self):
        """The page, its stale rows marked."""
        return self.text(self.read(), self.stale())

    def write(self, stored):
        """Store rows, and print their page; whoever is interrupted loses no row."""
        text = json.dumps(stored, indent=1, ensure_ascii=False) + "\n"
        write_whole(self.stored, text)
        write_whole(self.page, self.printed())


def markdown(head, rows, right=()):
    """A table in Markdown.

    Args:
        head: what the columns are called.
        rows: lists of cells.
        right: indices of the columns of numbers, which stand to the right.

    Returns:
        Lines of text.

    >>> print(markdown(["file", "lines"], [["a", 3]], right=[1]))
    | file | lines |
    |---|--:|
    | a | 3 |
    """
    ruler = "".join("|--:" if i in right else "|---" for i in range(len(head))) + "|"
    lines = ["| " + " | ".join(map(str, cells)) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], ruler, *lines[1:]])


def marked(name, stale):
    """A row's name on its page, with a sign if it is stale."""
    return name + STALE if name in stale else name


def notes(stale):
    """What the sign means, if it is used."""
    return NOTE if stale else ()
