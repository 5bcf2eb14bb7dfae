"""Does anything of the solutions stand where it should not?

Code is compared as syntax trees without names, comments and layout; text, and code once more, as
runs of eight words. What the rest of the book says as well is no secret.
"""

import ast
import json
import re
import textwrap

import nbformat
import snowballstemmer
from bs4 import BeautifulSoup

from attnlib.exercises import exercises

SIZE = 8  # words in a run
TEXT = {".js", ".json", ".txt", ".md", ".css", ".svg", ".xml", ".py", ".html", ".ipynb", ".inv"}


class Secrets:
    """What of some chapters' solutions stands nowhere else in them, nor in a hint."""

    def __init__(self, chapters):
        cells = [(cell, "solution" in cell.metadata.get("tags", []))
                 for chapter in chapters for cell in chapter.cells]
        self.trees, self.runs, self.stems = set(), set(), set()
        for cell, secret in sorted(cells, key=lambda pair: not pair[1]):  # the secrets first
            change = "update" if secret else "difference_update"
            getattr(self.runs, change)(shingles(cell.source))
            getattr(self.stems, change)(stems(cell.source))
            if cell.cell_type == "code":
                getattr(self.trees, change)(normalised(cell.source))
        for hint in (hint for exercise in exercises() for hint in exercise.hints):
            self.runs -= shingles(hint)
            self.stems -= stems(hint)

    def told_in(self, text):
        """Whether a text shares a run of words with a solution."""
        return not self.runs.isdisjoint(shingles(text))

    def coded_in(self, source):
        """Whether code defines a function as a solution does, whatever the names."""
        return bool(self.trees & set(normalised(source)))

    def in_notebook(self, notebook):
        """What leaks into the cells and outputs of a notebook: a list of words."""
        found = []
        for cell in notebook.cells:
            if cell.cell_type == "code" and self.coded_in(cell.source):
                found.append(f"code of a solution: {cell.source[:80]!r}")
            if self.told_in(cell.source):
                found.append(f"words of a solution: {cell.source[:80]!r}")
            if cell.get("outputs") and self.told_in(json.dumps(cell.outputs)):
                found.append(f"a solution in an output: {cell.source[:80]!r}")
        return found

    def in_folder(self, folder):
        """What leaks into the files of a folder, all of them: a list of words."""
        found = []
        for path in sorted(folder.rglob("*")):
            if not path.is_file() or path.suffix not in TEXT:
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
            pieces = [text.replace(r"\n", "\n")]
            if path.suffix == ".html":
                page = BeautifulSoup(text, "html.parser")
                pieces = [page.get_text(" "), *(pre.get_text() for pre in page.find_all("pre"))]
            elif path.suffix == ".ipynb":
                cells = nbformat.reads(text, as_version=4).cells
                pieces += [cell.source for cell in cells]
            if any(self.told_in(piece) for piece in pieces):
                found.append(f"words of a solution: {path.relative_to(folder)}")
            if any(self.coded_in(piece) for piece in pieces):
                found.append(f"code of a solution: {path.relative_to(folder)}")
        return found


    def in_search_index(self, folder):
        """Words that only solutions have, that the site finds, and that none of its pages shows."""
        text = (folder / "_static" / "search.js").read_text(encoding="utf-8")
        entries = json.loads(text.removeprefix("bookIndex(").removesuffix(")"))
        known = stems(" ".join(f"{entry[0]} {entry[3]}" for entry in entries))
        shown = set().union(*(stems(BeautifulSoup(path.read_text(), "html.parser").get_text(" "))
                              for path in folder.rglob("*.html")))
        return sorted(self.stems & known - shown)


def normalised(source):
    """The functions and classes of a source, without names, positions, comments or docstrings."""
    def plain(node):
        for child in ast.walk(node):
            for field in ("id", "arg", "name"):
                if isinstance(getattr(child, field, None), str):
                    setattr(child, field, "_")
            body = getattr(child, "body", None)
            if isinstance(child, ast.FunctionDef) and ast.get_docstring(child):
                child.body = body[1:] or [ast.Pass()]
        return ast.dump(node)

    if not re.search(r"^\s*(async def|def|class) ", source, re.MULTILINE):
        return []
    try:
        body = ast.parse(textwrap.dedent(source)).body
    except (SyntaxError, ValueError):
        return []
    return [plain(node) for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]


def words(text):
    """The words of a text, in order; the space that LaTeX and HTML put between them is no word."""
    return re.findall(r"\w+", text.lower())


def stems(text):
    """The words of a text as the site's search knows them."""
    return set(snowballstemmer.stemmer("porter").stemWords(words(text)))


def shingles(text):
    """All runs of eight words of a text."""
    found = words(text)
    return set(zip(*(found[i:] for i in range(SIZE))))


def disguised(source):
    """The same code with other names and another layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id += "_too"
        if isinstance(node, ast.arg):
            node.arg += "_too"
    return ast.unparse(tree)
