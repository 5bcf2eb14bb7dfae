"""What is written into a kit: the student's notebook, the key and the rubric.

It all comes from the book's notebooks: the statements, stubs and checks as they stand there, with
the links made absolute; what these need of a chapter's imports and functions; the solutions in
the key alone.
"""

import ast
import functools
import pprint

import nbformat
import numpy as np
from nbformat.v4 import new_code_cell, new_markdown_cell

from attnlib.exercises.core import reworded
from attnlib.exercises.judging import BY_HAND
from attnlib.exercises.registry import drawn, get
from press.chapters import HEADING, Chapter, chapter_paths, tags
from press.set_up import set_up
from press.without_solutions import absolute_links

from .sandbox.limits import SECONDS

HONOUR = """\
**Honour line.** The answers below are my own work. Whatever help I had, from people, books or
programs, I name here:

*(nobody and nothing)*"""
RULES = f"""\
Write each answer into the cell that begins with `# answer`, in place of the `...`, and keep that
first line: your answer is found by it. The cell below it says at once whether you are right and,
if not, why; try as often as you like. Then save the notebook and hand in the `.ipynb` file. It is
run again from the top: {SECONDS:.0f} seconds of processor time for each cell, with numpy, torch,
matplotlib and attnlib."""


@functools.cache
def in_book():
    """``{id: (chapter, exercise)}`` of all exercises of the book, as press reads them."""
    chapters = map(Chapter, chapter_paths())
    return {exercise.id: (chapter, exercise) for chapter in chapters
            for exercise in chapter.exercises}


def heading(id):
    """The title of an exercise, and the name of the function that it asks for."""
    chapter, exercise = in_book()[id]
    stub = chapter.cells[exercise.stub].source
    function = next(node.name for node in ast.parse(stub).body
                    if isinstance(node, (ast.FunctionDef, ast.ClassDef)))
    return HEADING.match(chapter.cells[exercise.start].source)["title"], function


class Texts:
    """An exercise's cells as an assignment shows them, in the words of one variant."""

    def __init__(self, task, variant=None):
        self.task, self.variant = task, variant if task.draws else None
        self.chapter, self.cells = in_book()[task.id]
        self.exercise, self.words = get(task.id), {}
        if self.variant:
            self.exercise, self.words = drawn(self.exercise, task.draws[variant - 1])

    def statement(self):
        """The task, with what it is worth under its heading."""
        title, _, text = self._source(self.cells.start).partition("\n")
        stem = self.chapter.path.stem
        about = (f"*{points(self.task.points)} · about {self.exercise.minutes} minutes · from "
                 f"[chapter {int(stem[:2])}]({stem}.ipynb)*")
        return absolute_links(f"{title}\n\n{about}\n{text}")

    def stub(self):
        """The cell to answer in; its first line says which answer, and which variant."""
        marker, _, text = self._source(self.cells.stub).partition("\n")
        return f"{marker}{f' v{self.variant}' if self.variant else ''}\n{text}"

    def check(self):
        """The cell that tries the answer."""
        return self._with_id(self._source(self.cells.check))

    def solution(self):
        """The cells of a right answer: ``[(cell type, source)]``."""
        if self.variant and self.exercise.kind in BY_HAND:
            return [("code", self._answer())]
        cells = [self.chapter.cells[i] for i in self.cells.solution]
        return [(cell.cell_type, self._with_id(reworded(cell.source, self.words))
                 if cell.cell_type == "code" else absolute_links(cell.source)) for cell in cells]

    def notes(self):
        """For whoever grades: the mistakes that the check knows by name."""
        rows = [f"| {m.name} | {points(round(m.credit * self.task.points, 2))} | {m.sentence} |"
                for m in self.exercise.mistakes if "+" not in m.name]
        return "\n".join(["**Grading notes.** Mistakes that are known by name, what they earn, and "
                          "what the student is told:", "", "| mistake | earns | sentence |",
                          "|---|---|---|", *rows])

    def _source(self, index):
        return reworded(self.chapter.cells[index].source, self.words)

    def _with_id(self, source):
        return source.replace(f'check("{self.task.id}"', f'check("{self.exercise.id}"')

    def _answer(self):
        """The right numbers of a variant, as a function that returns them."""
        value = pprint.pformat(_numbers(self.exercise.reference()), width=80, sort_dicts=False)
        name = self.task.function
        return (f"def {name}():\n    return " + value.replace("\n", "\n" + " " * 11)
                + f'\n\n\ncheck("{self.exercise.id}", {name})')


def points(number):
    """A number of points in words.

    >>> points(1.0), points(2.5)
    ('1 point', '2.5 points')
    """
    return f"{number:g} point{'s' * (number != 1)}"


def _numbers(x):
    """Numbers as they are written: rounded, and no array among them."""
    if isinstance(x, dict):
        return {name: _numbers(item) for name, item in x.items()}
    if isinstance(x, (list, tuple)):
        return [_numbers(item) for item in x]
    return x if isinstance(x, (str, int)) else float(np.round(x, 9))


# The notebooks.


def notebook(kit, variant=None, key=False):
    """The student's notebook of a kit, or the key to it.

    Args:
        kit: `Kit`.
        variant: which variant, from 1; None for the book's own numbers.
        key: whether the solutions and grading notes are in it.

    Returns:
        A notebook without outputs.
    """
    texts = [Texts(task, variant) for task in kit.tasks]
    cells = [*front(kit, texts, variant, key)]
    for t in texts:
        id = t.task.id.replace(".", "-")
        cells += [cell("markdown", t.statement(), f"task-{id}", "exercise"),
                  cell("code", t.stub(), f"answer-{id}", "stub"),
                  cell("code", t.check(), f"check-{id}", "check")]
        if key:
            cells += [cell(kind, source, f"solution-{id}-{i}", "solution")
                      for i, (kind, source) in enumerate(t.solution())]
            cells += [cell("markdown", t.notes(), f"notes-{id}", "solution")]
    return finished(kit, cells, variant)


def front(kit, texts, variant=None, key=False):
    """The cells before the first task: set-up, title, honour line, imports."""
    hidden = {"tags": ["set-up"], "cellView": "form", "jupyter": {"source_hidden": True}}
    yield new_code_cell(set_up(), id="set-up", metadata=hidden)
    about = [f"due {kit.due}"] * bool(kit.due) + [
        points(sum(task.points for task in kit.tasks)), f"edition {kit.edition}"]
    about += [f"variant {variant}"] * bool(variant)
    title = f"# {kit.title}{': key, not to be handed out' if key else ''}"
    yield cell("markdown", f"{title}\n\n*{' · '.join(about)}*\n\n{RULES}", "title")
    yield cell("markdown", HONOUR, "honour")
    yield cell("code", imports(texts), "imports")


def cell(kind, source, id, tag=None):
    """A cell with an id and, maybe, a tag."""
    new = new_code_cell if kind == "code" else new_markdown_cell
    return new(source.strip("\n"), id=id, metadata={"tags": [tag]} if tag else {})


def finished(kit, cells, variant=None):
    """A notebook that knows which assignment it belongs to."""
    belongs = {"slug": kit.slug, "edition": kit.edition} | ({"variant": variant} if variant else {})
    return nbformat.v4.new_notebook(cells=cells, metadata={
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"}, "assignment": belongs})


# What the exercises need of their chapters.


def imports(texts):
    """Source of the imports and functions of the chapters that these exercises use.

    Args:
        texts: list of `Texts`.

    Returns:
        Source text: imports first.

    Raises:
        ValueError: if two chapters define one name in different ways.
    """
    wanted = {"np": "import numpy as np", "attnlib": "import attnlib",
              "check": "from attnlib.exercises import check, hint"}
    functions = {}
    for t in texts:
        defined = definitions(t.chapter)
        names = set()
        for i in (t.cells.stub, t.cells.check, *t.cells.solution):
            if t.chapter.cells[i].cell_type == "code":
                names |= loaded(ast.parse(t.chapter.cells[i].source))
        for name in sorted(needed(names, defined)):
            node = defined[name]
            place = wanted if isinstance(node, (ast.Import, ast.ImportFrom)) else functions
            source = ast.unparse(node)
            if place.setdefault(name, source) != source and name not in ("check", "attnlib", "np"):
                raise ValueError(f"{t.chapter.path.name} and a chapter before it both define "
                                 f"{name!r}, differently: rename one.")
    lines = sorted(set(wanted.values()), key=lambda line: ("attnlib" in line, line))
    return "\n\n\n".join(["\n".join(lines), *dict.fromkeys(functions.values())])


def definitions(chapter):
    """``{name: import or definition}`` of a chapter's cells outside its exercises."""
    found = {}
    for c in chapter.cells:
        if c.cell_type != "code" or {"stub", "check", "solution"} & set(tags(c)):
            continue
        for node in ast.parse(c.source).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found[node.name] = node
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                for alias in node.names:
                    one = type(node)(**{**vars(node), "names": [alias]})
                    found[alias.asname or alias.name] = one
    return found


def needed(names, defined):
    """Those of the names, and of what they use in turn, that are defined."""
    found, todo = set(), set(names)
    while todo:
        name = todo.pop()
        if name in defined and name not in found:
            found.add(name)
            todo |= loaded(defined[name])
    return found


def loaded(tree):
    """Names that code reads."""
    return {node.id for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


# The rubric.


def rubric(kit):
    """How the assignment is graded, in Markdown; at length for what is open-ended."""
    rows = [f"| {task.id} | {task.title} | {get(task.id).kind} | {task.points:g} |"
            for task in kit.tasks]
    lines = [f"# {kit.title}: rubric", "", "| exercise | title | kind | points |",
             "|---|---|---|---|", *rows, "",
             "A check awards all points or none, but for the known mistakes that earn a part; "
             "the key lists those."]
    for task in kit.tasks:
        if get(task.id).kind == "open-ended":
            lines += ["", *_open_ended(Texts(task))]
    return "\n".join(lines) + "\n"


def _open_ended(texts):
    task, cases = texts.task, len(texts.exercise.cases(0))
    parts = [round(share * task.points, 2) for share in (1, 0.5, 0.25)]
    known = [f"- {m.sentence}" for m in texts.exercise.mistakes if "+" not in m.name]
    return [f"## {task.id} {task.title} ({points(task.points)})", "",
            "There are many right answers. The check decides by the law alone, on "
            f"{cases} input{'s' * (cases != 1)}. Where you read the answers as well, "
            "this scale has worked; enter the points in the gradebook's export.", "",
            "| points | for |", "|---|---|",
            f"| {parts[0]:g} | the law holds (the check passes) |",
            f"| {parts[1]:g} | the law holds on the ordinary inputs, and what fails is a hard "
            "one |",
            f"| {parts[2]:g} | the law fails, but a comment shows the step that it needs |",
            "| 0 | not attempted, or one of the known mistakes below |", "",
            "Known mistakes, as the student is told of them:", "", *known]
