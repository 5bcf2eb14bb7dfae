"""The same assignment for nbgrader: a course folder with a ``source`` tree.

Each answer cell holds the solution between nbgrader's own marks, and each graded cell evaluates to
the points that were earned, as a float. The numbers are the book's own for everybody, the inputs
are drawn from public seeds, and nbgrader runs a submission without any isolation.
"""

import nbformat

from . import handout

CONFIG = '''\
# The course folder of "{title}", for nbgrader: run its commands here.
c = get_config()
c.CourseDirectory.course_id = "{slug}"
c.ClearSolutions.code_stub = {{"python": "# Write your answer above, in place of the `...`."}}
c.ExecutePreprocessor.timeout = 600
'''


def write_source(kit):
    """Write ``nbgrader/`` into a kit."""
    course = kit.folder / "nbgrader"
    folder = course / "source" / kit.slug
    folder.mkdir(parents=True, exist_ok=True)
    text = CONFIG.format(title=kit.title.replace("\n", " "), slug=kit.slug)
    (course / "nbgrader_config.py").write_text(text, encoding="utf-8")
    nbformat.write(source(kit), folder / f"{kit.slug}.ipynb")


def source(kit):
    """The notebook that instructors hold: solutions, graded cells, and what must not change."""
    texts = [handout.Texts(task) for task in kit.tasks]
    cells = list(handout.front(kit, texts))
    for cell in cells:
        if cell.id != "honour":
            marked(cell)
    for t in texts:
        id, task = t.task.id.replace(".", "-"), t.task
        cells += [marked(handout.cell("markdown", t.statement(), f"task-{id}")),
                  marked(handout.cell("code", answer(t), f"answer-{id}", "stub"), solution=True),
                  marked(handout.cell("code", graded(task), f"check-{id}", "check"),
                         points=task.points)]
    return handout.finished(kit, cells)


def answer(texts):
    """The stub, and after it the solution, which `nbgrader generate_assignment` takes out."""
    code = [text for kind, text in texts.solution() if kind == "code"]
    lines = "\n".join(code).splitlines()
    kept = [line for line in lines if not line.startswith("check(")]
    return "\n".join([texts.stub(), "### BEGIN SOLUTION", *kept, "### END SOLUTION"])


def graded(task):
    """A cell that evaluates to the points that were earned, as a float."""
    return (f"# This cell evaluates to the points earned, out of {task.points:g}.\n"
            "from attnlib.exercises.notebook import earned\n"
            f'earned("{task.id}", {task.function}, points={task.points})')


def marked(cell, *, solution=False, points=None):
    """The cell, with what nbgrader wants to know of it."""
    cell.metadata["nbgrader"] = {
        "schema_version": 3, "grade_id": cell.id, "solution": solution, "task": False,
        "grade": points is not None, "locked": not solution,
        **({} if points is None else {"points": points})}
    return cell
