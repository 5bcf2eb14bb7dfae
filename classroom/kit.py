"""What `assign` writes and reads back: a folder with a student's part and an instructor's part.

    student/<slug>.ipynb        what is handed out (with variants: <slug>-v1.ipynb, ...)
    instructor/key.ipynb        the same with solutions and grading notes (key-v1.ipynb, ...)
    instructor/rubric.md        how to grade what is open-ended
    instructor/manifest.json    which exercises, which versions, which variants
    instructor/seed             what the grading inputs are drawn with: a secret
    nbgrader/                   the same assignment for nbgrader
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from attnlib.exercises import get

from .variants import digits

FORMAT = 1


@dataclass(frozen=True)
class Task:
    """One exercise of an assignment.

    Args:
        id, version: which exercise, and which version of it was handed out.
        points: what it is worth here.
        title: from its heading in the book.
        function: the name of the function that is to be written.
        draws: what its variants are drawn with; empty if it is the same for everybody.
    """

    id: str
    version: int
    points: float
    title: str
    function: str = ""
    draws: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kit:
    """An assignment, as it stands in a folder.

    Args:
        folder: where it is.
        slug, title, due: its short name for files, its title, when it is due (as written).
        tasks: its exercises in order.
        variants: how many notebooks with different numbers there are; 0 if all are alike.
        attnlib: the version of attnlib that it was made with.
        seed: hexadecimal digits that students never see.
    """

    folder: Path
    slug: str
    title: str
    due: str
    tasks: tuple[Task, ...]
    variants: int
    attnlib: str
    seed: str

    def task(self, id):
        """The task with this exercise id.

        Raises:
            KeyError: if the assignment has none.
        """
        for task in self.tasks:
            if task.id == id:
                return task
        raise KeyError(f"{self.title} has no exercise {id}; it has "
                       f"{', '.join(task.id for task in self.tasks)}.")

    def exercise(self, id, variant=None):
        """The exercise as it was handed out.

        Args:
            id: the exercise.
            variant: the number behind the ``v`` of ``# answer 2.3 v4``; None for none.

        Returns:
            `attnlib.exercises.core.Exercise`; where it does not vary, the book's own.

        Raises:
            KeyError: if the assignment has no such exercise or variant.
        """
        task = self.task(id)
        if not task.draws:
            return get(id)
        if variant is None or not 1 <= variant <= len(task.draws):
            raise KeyError(f"Exercise {id} has the variants 1 to {len(task.draws)}, "
                           f"not {variant}.")
        return get(f"{id}/{task.draws[variant - 1]}")

    def case_seed(self, id):
        """What the inputs of an exercise are drawn with when it is graded; an int."""
        return int(digits(self.seed, "cases", id)[:12], 16)


def write_manifest(kit):
    """Write what `read_kit` reads; only the owner may read the seed."""
    folder = kit.folder / "instructor"
    folder.mkdir(parents=True, exist_ok=True)
    seed = folder / "seed"
    seed.touch(mode=0o600)
    seed.chmod(0o600)
    seed.write_text(kit.seed + "\n", encoding="utf-8")
    fields = asdict(kit)
    for name in ("folder", "seed"):
        del fields[name]
    text = json.dumps({"format": FORMAT, **fields}, indent=1, ensure_ascii=False) + "\n"
    (folder / "manifest.json").write_text(text, encoding="utf-8")


def read_kit(folder):
    """The kit in a folder.

    Args:
        folder: what ``assign`` wrote.

    Returns:
        `Kit`.

    Raises:
        ValueError: if it is no kit, is not whole, or was made for other versions of its exercises.
    """
    folder = Path(folder)
    try:
        fields = json.loads((folder / "instructor/manifest.json").read_text(encoding="utf-8"))
        seed = (folder / "instructor/seed").read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"{folder} is no kit: {error.filename} cannot be read. A kit is the whole "
                         "folder that `python -m classroom assign` wrote.") from None
    except ValueError:
        raise ValueError(f"{folder}/instructor/manifest.json is damaged.") from None
    try:
        if fields.pop("format") != FORMAT or not bytes.fromhex(seed):
            raise ValueError
        tasks = tuple(Task(**task | {"draws": tuple(task["draws"])})
                      for task in fields.pop("tasks"))
        kit = Kit(folder=folder, seed=seed, tasks=tasks, **fields)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(f"{folder}/instructor does not hold what this version of the classroom "
                         "writes: its manifest or its seed is damaged or of another "
                         "version.") from None
    for task in kit.tasks:
        _same_version(kit, task)
    return kit


def _same_version(kit, task):
    try:
        here = get(task.id).version
    except KeyError:
        here = None
    if here != task.version:
        raise ValueError(
            f"The kit was made with attnlib {kit.attnlib}, where exercise {task.id} has version "
            f"{task.version}; here it {f'has version {here}' if here else 'does not exist'}. "
            f"Grade it from a checkout of attnlib {kit.attnlib}.")
