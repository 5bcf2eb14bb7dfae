"""Where in a notebook an answer stands, from what was read of its cells inside the sandbox.

A notebook's check tries what it is given when it runs. So all that stands before the check is run
here too, and what the check was given counts: the last of those that were attempted.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """What is known of one cell.

    Args:
        source: its text.
        code: whether it is a code cell, and not a raw or a text one with an answer in it.
        markers: ``((exercise, variant or None), ...)``.
        defines: ``{name: whether it is more than a stub}``.
        checks: ids of the exercises that are checked in it.
    """

    source: str
    code: bool = True
    markers: tuple = ()
    defines: dict = None
    checks: tuple = ()

    @property
    def marked(self):
        """Ids of the exercises that it says it answers."""
        return tuple(id for id, _ in self.markers)


@dataclass(frozen=True)
class Answer:
    """Where an answer stands.

    Args:
        cell: index of the cell; None if it was not found.
        function: the name of the function.
        runs: indices of the cells to run, in order.
        variant: the number behind the marker's ``v``, or None.
        note: what the student should know of how it was found.
        asked_only: whether there is nothing but a check of it.
    """

    cell: int | None
    function: str
    runs: tuple[int, ...] = ()
    variant: int | None = None
    note: str = ""
    asked_only: bool = False


def find(cells, id, function):
    """The last attempted answer to an exercise.

    Args:
        cells: `Cell`s.
        id: the exercise.
        function: the name of the function that was asked for.

    Returns:
        `Answer`.
    """
    here = [i for i, cell in enumerate(cells) if cell.code
            and (id in cell.marked or function in cell.defines or id in cell.checks)]
    raw = [i for i, cell in enumerate(cells) if not cell.code and id in cell.marked]
    note = ""
    if raw and not any(_attempted(cells, i) for i in here):
        here, note = sorted([*here, *raw]), (f"The answer to {id} stands in a cell that is not "
                                             "code; it was run as code.")
    variant = next((v for i in reversed(here) for marked, v in cells[i].markers
                    if marked == id and v), None)
    marked = [i for i in here if id in cells[i].marked]
    named = [i for i in here if function in cells[i].defines]
    done = [i for i in named if cells[i].defines[function]]
    other = [i for i in marked if any(cells[i].defines.values())]
    checked = [i for i in here if id in cells[i].checks]
    place = next((places[-1] for places in (done, other, named, checked) if places), None)
    if place is None:
        return Answer(None, function, variant=variant, note=note)
    if place in other and place not in named:
        function = [name for name, more in cells[place].defines.items() if more][-1]
    if len(named) > 1 and place != named[-1]:
        note = note or f"The last answer to {id} that was attempted counts, not the empty one."
    end = _end(cells, id, place, checked)
    taken = {place} if note else set()
    runs = tuple(i for i in range(end) if cells[i].code or i in taken)
    return Answer(place, function, runs, variant, note, not (done or other or named))


def _attempted(cells, i):
    return any(cells[i].defines.values())


def _end(cells, id, place, checked):
    """Where what belongs to an answer ends: after its last check, else before another exercise."""
    later = [i for i in checked if i >= place]
    if later:
        return later[-1] + 1
    for i in range(place + 1, len(cells)):
        if {*cells[i].marked, *cells[i].checks} - {id}:
            return i
    return len(cells)
