"""Who is who, before anything is graded: what `collect` shows."""

from dataclasses import dataclass

from . import grading
from .sandbox.outside import Sandbox
from .submissions import collect, content


@dataclass(frozen=True)
class Line:
    """What is known of one student's hand-in.

    Args:
        student, name: who.
        files: what would be graded, the one that counts first.
        variant: what the notebook says it is, or empty.
        answers: how many of the assignment's answers are in it.
        notes: what the student and the instructor should know.
    """

    student: str
    name: str
    files: tuple[str, ...]
    variant: str
    answers: int
    notes: tuple[str, ...]


def lines(kit, folder, roster=(), first=False, trust=False):
    """Everybody, and what is in doubt; notebooks are read in a sandbox, and nothing is run.

    Args:
        kit: `classroom.kit.Kit`.
        folder: of the submissions.
        roster, first, trust: as in `classroom.grading.grade`.

    Returns:
        lines, collected: list of `Line`, and `classroom.submissions.Collected`.
    """
    collected = collect(folder, grading.with_variants(kit, roster), first, kit.slug)
    found = []
    with Sandbox(trust) as sandbox:
        for one in collected.submissions:
            files = tuple((file, *content(folder, file)) for file in one.files)
            notes, job = [], grading.Job(kit, one, files=files)
            file, notebook = grading.handed_in(sandbox, job, notes)
            cells = notebook.get("cells", [])
            said = {str(v) for cell in cells for _, v in cell.markers if v} or {
                notebook.get("variant")} - {None, "None"}
            answers = sum(grading.find(cells, task.id, task.function).cell is not None
                          for task in kit.tasks)
            files = tuple(dict.fromkeys([file, *one.files])) if file else one.files
            found.append(Line(one.student, one.name, files, ", ".join(sorted(said)), answers,
                              (*one.notes, *notes)))
    return found, collected
