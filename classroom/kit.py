"""What `assign` writes and reads back: a folder with a student's part and an instructor's part.

    student/<slug>.ipynb        what is handed out (with variants: <slug>-v1.ipynb, ...)
    instructor/key.ipynb        the same with solutions and grading notes (key-v1.ipynb, ...)
    instructor/rubric.md        how to grade what is open-ended
    instructor/manifest.json    which exercises, which versions, which variants
    instructor/seed             what the grading inputs are drawn with: a secret
    instructor/variants.csv     who has which variant, if there was a roster
    nbgrader/                   the same assignment for nbgrader
"""

import csv
import difflib
import fnmatch
import io
import json
import re
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat

import attnlib
from attnlib.exercises import get
from attnlib.exercises.files import write_whole

from . import handout, nbgrader
from .roster import read_roster
from .variants import digits, draws

FORMAT, DEALT = 1, "instructor/variants.csv"


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

    @property
    def as_graded(self):
        """What a mark depends on; not what it is worth, nor how it is called."""
        return [self.id, self.version, self.function, self.draws]


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

    @property
    def edition(self):
        """Eight digits that tell this making of the assignment from an earlier one."""
        return digits(self.seed, "edition", *(task.as_graded for task in self.tasks))[:8]

    @property
    def mark(self):
        """Digits by which this kit's grades are known."""
        return digits(self.seed, "grades")[:16]

    def dealt(self):
        """``{student: variant}``, as ``assign`` dealt them; empty if it did not."""
        path = self.folder / DEALT
        return {student.id: student.variant for student in read_roster(path)
                } if path.exists() else {}

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


def make_kit(folder, patterns, *, title, due="", points=(), variants=0, slug="", roster=()):
    """Choose exercises and write a kit.

    Args:
        folder: where to; it must not hold anything yet.
        patterns: exercise ids, or patterns of them: ``["2.1", "4.*"]``.
        title, due: as students are to read them.
        points: ``{id: points}``, where not the book's own.
        variants: how many notebooks with different numbers to write; 0 for one for all.
        slug: a short name for files; made from the title if not given.
        roster: `classroom.roster.Student`s, to each of whom a variant is dealt.

    Returns:
        `Kit`.

    Raises:
        ValueError: if the folder is taken, or there is no such exercise.
    """
    folder, points = Path(folder), dict(points)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already. A kit's secret seed must not be lost: name "
                         "another folder, or take that one away first.")
    ids, seed = chosen(patterns), secrets.token_hex(16)
    for id in sorted(points.keys() - set(ids)):
        raise ValueError(f"Points were given for {id}, which is not in the assignment: "
                         f"{', '.join(ids)}.")
    tasks = []
    for id in ids:
        name, function = handout.heading(id)
        worth = float(points.get(id, get(id).points))
        tasks.append(Task(id, get(id).version, worth, name, function, draws(seed, id, variants)))
    slug = re.sub(r"[^a-z0-9]+", "-", (slug or title).lower()).strip("-") or "assignment"
    kit = Kit(folder, slug, title, due, tuple(tasks), variants, attnlib.__version__, seed)
    write_kit(kit)
    if roster and variants:
        deal(kit, roster)
    return kit


def deal(kit, roster):
    """Write who has which variant: each as often as the others, in an order nobody can guess."""
    turn = sorted(roster, key=lambda student: digits(kit.seed, "deal", student.id))
    numbers = {student.id: student.variant or i % kit.variants + 1
               for i, student in enumerate(turn)}
    text = io.StringIO()
    csv.writer(text).writerows([
        ["student", "name", "variant", "notebook"],
        *([student.id, student.name, numbers[student.id],
           f"{kit.slug}-v{numbers[student.id]}.ipynb"] for student in roster)])
    write_whole(kit.folder / DEALT, "\ufeff" + text.getvalue())


def chosen(patterns):
    """The exercise ids that match, each pattern's in the book's order.

    Args:
        patterns: ids or patterns, ``["2.1", "4.*"]``.

    Returns:
        List of ids, each once.

    Raises:
        ValueError: if a pattern matches none.

    >>> chosen(["2.1", "1.[12]", "1.*"])[:4]
    ['2.1', '1.1', '1.2', '1.3']
    """
    known, found = list(handout.in_book()), []
    for pattern in patterns:
        matching = [id for id in known if fnmatch.fnmatchcase(id, pattern)]
        if not matching:
            near = difflib.get_close_matches(pattern, known, n=3, cutoff=0.0)
            raise ValueError(f"No exercise is called {pattern}. Did you mean {', '.join(near)}? "
                             f"There are {known[0]} to {known[-1]}; `4.*` is all of chapter 4.")
        found += matching
    return list(dict.fromkeys(found))


def write_kit(kit):
    """Write all of a kit's files."""
    (kit.folder / "student").mkdir(parents=True, exist_ok=True)
    write_manifest(kit)
    for variant in range(1, kit.variants + 1) if kit.variants else [None]:
        ending = f"-v{variant}" if variant else ""
        student = handout.notebook(kit, variant)
        nbformat.write(student, kit.folder / f"student/{kit.slug}{ending}.ipynb")
        key = handout.notebook(kit, variant, key=True)
        nbformat.write(key, kit.folder / f"instructor/key{ending}.ipynb")
    (kit.folder / "instructor/rubric.md").write_text(handout.rubric(kit), encoding="utf-8")
    nbgrader.write_source(kit)


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
