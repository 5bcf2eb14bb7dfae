"""A chapter: one notebook in `book/`, read with its tags."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parent.parent

TAGS = ("exercise", "stub", "check", "solution", "claim", "figure", "lab", "play")
HEADING = re.compile(r"### Exercise (?P<id>\d+\.\d+) (?P<stars>★{1,3}) · (?P<title>\S.*)")


def marker(id):
    """The first line of an exercise's stub, by which its answer is found again.

    >>> marker("2.3")
    '# answer 2.3'
    """
    return f"# answer {id}"


@dataclass(frozen=True)
class Exercise:
    """One exercise as it stands in a notebook: its id and its cells by their index."""

    id: str
    start: int
    stub: int
    check: int
    solution: tuple[int, ...]


class Chapter:
    """A notebook with the questions press asks of it."""

    def __init__(self, path):
        self.path = Path(path)
        self.notebook = nbformat.read(self.path, as_version=4)

    @property
    def cells(self):
        return self.notebook.cells

    def where(self, index):
        """Words that lead an author to a cell: file, number as counted from 1, first line."""
        first = self.cells[index].source.strip().partition("\n")[0][:60]
        return f"{self.path.name}, cell {index + 1} ({first!r})"

    def tagged(self, tag):
        """(index, cell) of every cell with this tag."""
        return [(i, cell) for i, cell in enumerate(self.cells) if tag in tags(cell)]

    @cached_property
    def exercises(self):
        """The exercises in order. The order of their cells is what `rules` has proved."""
        found = []
        for start, cell in self.tagged("exercise"):
            heading = HEADING.match(cell.source)
            solution = []
            for index in range(start + 3, len(self.cells)):
                if "solution" not in tags(self.cells[index]):
                    break
                solution.append(index)
            found.append(Exercise(heading["id"], start, start + 1, start + 2, tuple(solution)))
        return found


def tags(cell):
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def settings():
    """`_config.yml`, where the repository's address stands."""
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))


def toc():
    """`_toc.yml`, the contents."""
    return yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))


def toc_files():
    """The files `_toc.yml` lists, in order, as paths from the root without suffix."""
    entries = [entry for part in toc().get("parts", ()) for entry in part["chapters"]]
    return [toc()["root"], *(page["file"] for entry in entries
                             for page in (entry, *entry.get("sections", ())))]


def chapter_paths():
    """The notebooks of the book, in its order."""
    paths = [ROOT / f"{name}.ipynb" for name in toc_files()]
    return [path for path in paths if path.exists()]
