"""``progress()``: what a reader has passed, kept between sessions.

The record is a small JSON file in the user's data folder. It is touched only where somebody sits:
in a notebook that could ask its reader for input, or at an interactive prompt. Tests, scripts and
whatever executes notebooks on its own (nbval, nbclient, `make notebooks`) cannot be asked, and so
neither read nor write it. The environment variable ``ATTNLIB_PROGRESS`` names another file, or
says ``off``.
"""

import html
import itertools
import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from . import registry
from .files import write_whole
from .showing import COLOURS, OPEN, PASSED, show


class DamagedRecord(ValueError):
    """A file that is no record of progress."""


def progress(save=None, restore=None) -> None:
    """Show what is done: exercises, points and time, by chapter.

    Args:
        save: a file to write the record to, to carry it elsewhere (Colab forgets).
        restore: such a file; what is in it is added to the record that is here.
    """
    notes: list[str] = []
    record: dict[str, dict] = {}
    try:
        record = _read_mine(notes)
        if restore is not None:
            record = merged(record, read(Path(restore)))
            notes.append(f"Restored from {restore}." if _write_mine(record) else
                         f"Read {restore}; it was not kept, since nobody sits here.")
        if my_file() is None:
            notes.append("Nothing is kept here: either nobody sits at this prompt (a script, a "
                         "notebook that runs by itself), or ATTNLIB_PROGRESS is off.")
        if save is not None:
            write(Path(save), record)
            notes.append(f"Saved to {save}.")
    except (OSError, ImportError, DamagedRecord) as error:
        notes.append(f"That did not work: {error}.")
    show(Overview(registry.exercises(), record, notes))


def remember(exercise) -> str:
    """Note at once that an exercise was passed, if somebody sits here.

    Args:
        exercise: `Exercise`.

    Returns:
        A sentence to show if something went wrong; usually empty.
    """
    notes: list[str] = []
    now = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        id = exercise.id.partition("/")[0]  # whatever its numbers
        passed = {id: {"version": exercise.version, "at": now}}
        _write_mine(merged(_read_mine(notes), passed))
    except (OSError, ImportError) as error:
        notes.append(f"Your progress could not be kept: {error}.")
    return " ".join(notes)


def my_file() -> Path | None:
    """The reader's own file, or None where nobody sits or none is wanted."""
    place = os.environ.get("ATTNLIB_PROGRESS", "")
    if place == "off" or not _somebody_sits_here():
        return None
    if place:
        return Path(place)
    import platformdirs
    return Path(platformdirs.user_data_path("attnlib")) / "progress.json"


def read(path) -> dict[str, dict]:
    """A record from a file.

    Args:
        path: `Path`.

    Returns:
        ``{exercise id: {"version": number, "at": time}}``.

    Raises:
        DamagedRecord: if the file holds something else.
        OSError: if it cannot be read.
    """
    try:
        data = json.loads(path.read_bytes())
        return {str(id): {"version": int(entry["version"]), "at": str(entry["at"])}
                for id, entry in data["passed"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedRecord(f"{path} is no record of progress") from error


def write(path, record) -> None:
    """Write a record so that the file is never half written.

    Args:
        path: `Path`; folders are made as needed.
        record: as from `read`.
    """
    write_whole(path, json.dumps({"format": 1, "passed": record}, indent=1))


def merged(one, other) -> dict[str, dict]:
    """Two records in one: everything passed in either, the newest version of each, the first time.

    >>> merged({"1.1": {"version": 1, "at": "b"}}, {"1.1": {"version": 1, "at": "a"}})
    {'1.1': {'version': 1, 'at': 'a'}}
    """
    both = dict(one)
    for id, entry in other.items():
        both[id] = min(entry, both.get(id, entry), key=lambda e: (-e["version"], e["at"]))
    return both


def _read_mine(notes):
    """The reader's record; a damaged file is put aside, and a note says so."""
    path = my_file()
    if path is None or not path.exists():
        return {}
    try:
        return read(path)
    except DamagedRecord:
        for number in itertools.count(1):
            aside = path.with_name(f"{path.stem}-damaged-{number}{path.suffix}")
            if not aside.exists():
                break
        os.replace(path, aside)
        notes.append(f"Your record of progress could not be read. It is kept as {aside}, and a "
                     "new one was begun.")
        return {}


def _write_mine(record):
    path = my_file()
    if path is not None:
        write(path, record)
    return path is not None


def _somebody_sits_here():
    """Whether this session could ask its reader for input."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    if not shell:
        return hasattr(sys, "ps1")
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return True  # IPython in a terminal
    request = kernel.get_parent() or {}
    return bool(request.get("content", {}).get("allow_stdin"))


@dataclass(frozen=True)
class Count:
    """How much of some exercises is done."""

    title: str
    done: tuple[str, ...]
    left: tuple[str, ...]
    points: tuple[int, int]
    minutes: tuple[int, int]

    def __str__(self):
        return (f"{self.title}: {len(self.done)} of {len(self.done) + len(self.left)} exercises, "
                f"{self.points[0]} of {self.points[1]} points, "
                f"about {self.minutes[0]} of {self.minutes[1]} minutes")


def count(title, exercises, record) -> Count:
    """How much of these exercises a record holds; one that has changed since counts as open.

    Args:
        title: what they are called together.
        exercises: `Exercise`s.
        record: as from `read`.

    Returns:
        `Count`.
    """
    done = [e for e in exercises if record.get(e.id, {"version": -1})["version"] >= e.version]
    left = [e for e in exercises if e not in done]
    return Count(title, tuple(e.id for e in done), tuple(e.id for e in left),
                 (sum(e.points for e in done), sum(e.points for e in exercises)),
                 (sum(e.minutes for e in done), sum(e.minutes for e in exercises)))


class Overview:
    """What ``progress()`` shows: one object, as text and as a picture."""

    def __init__(self, exercises, record, notes=()):
        chapters = itertools.groupby(exercises, key=lambda e: e.id.partition(".")[0])
        self.chapters = [count(f"Chapter {number}", list(group), record)
                         for number, group in chapters]
        self.total = count("Progress", exercises, record)
        self.notes = list(notes)

    def __repr__(self):
        marks = [" ".join(f"{PASSED if id in c.done else OPEN} {id}"
                          for id in sorted((*c.done, *c.left), key=_order)) for c in self.chapters]
        lines = [f"{c}.\n    {mark}" for c, mark in zip(self.chapters, marks)]
        return "\n".join([*self.notes, f"{self.total}.", *lines])

    def _repr_html_(self):
        notes = "".join(f"<div>{html.escape(note)}</div>" for note in self.notes)
        rows = "".join(f"<div>{html.escape(str(c))}</div>{_bar(c, named=c is not self.total)}"
                       for c in (self.total, *self.chapters))
        return f'<div style="margin: 0.3em 0; max-width: 40em;">{notes}{rows}</div>'


def _order(id):
    return [int(part) for part in id.split(".")]


def _bar(c, named):
    """A picture of one count: a mark per exercise, full or empty; if asked, with its number."""
    ids = sorted((*c.done, *c.left), key=_order)
    width, height = 100 / max(len(ids), 1), 20 if named else 12
    marks = "".join(_mark(id, id in c.done, i * width, width, height, named)
                    for i, id in enumerate(ids))
    words = f"{len(c.done)} of {len(ids)} passed" + f": {', '.join(c.done)}" * bool(c.done)
    return (f'<svg role="img" aria-label="{words}" width="100%" height="{height + 2}" '
            f'style="margin: 0.2em 0 0.5em;">{marks}</svg>')


def _mark(id, done, left, width, height, named):
    text = (f'<text x="{left + width / 2:.2f}%" y="{height - 5}" text-anchor="middle" '
            f'font-size="11" fill="{"black" if done else "currentColor"}">'
            f'{f"{PASSED} " * done}{id}</text>') * named
    green = COLOURS[PASSED]
    return (f'<g><title>{id}: {"passed" if done else "open"}</title>'
            f'<rect x="{left + 0.15:.2f}%" y="1" width="{width - 0.3:.2f}%" height="{height}" '
            f'rx="2" stroke="{green}" fill="{green if done else "none"}"></rect>{text}</g>')
