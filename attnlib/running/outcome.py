"""What an answer is called with, and what comes back from running it: plain data, no more."""

from dataclasses import dataclass, field


@dataclass(frozen=True, eq=False)
class Case:
    """One set of inputs for an answer.

    Args:
        args, kwargs: what the answer is called with: numpy arrays, numbers, strings, None, and
            lists, tuples and dicts of them. The runner copies them and turns arrays into the
            exercise's kind.
        hard: why this is a hard one ("an empty row"); empty if it is not.
        room: how many bytes an answer may hold at once while it is called; 0 if nobody looks.

    >>> Case(args=(1, 2), hard="large numbers").hard
    'large numbers'
    """

    args: tuple = ()
    kwargs: dict = field(default_factory=dict)
    hard: str = ""
    room: int = 0


@dataclass(frozen=True)
class Other:
    """In an outcome's value, the place of something that is no array, number or text."""

    type_name: str


@dataclass(frozen=True)
class Outcome:
    """What one call of an answer did, in plain data: it can cross a process.

    Args:
        value: what came back: exact numpy arrays, int, float, bool, str, None, `Other`, and exact
            lists, tuples and dicts of them. torch tensors have become numpy arrays.
        again: what came back from a second call with the same inputs, as a tuple of one (None if
            it raised); empty where there was no second call.
        half: whether an array of half precision was among it (bfloat16 is stored as float32).
        kind: the kind of array it was called with, "numpy" or "torch".
        raised: the exception's type name, empty if there was none.
        message: the exception's own words.
        frames: ``(function, line number, source line)`` of the student's own code, outermost first.
        changed: names of the arguments that the call changed.
        after: ``(args, kwargs)`` as the call left them, for whoever does not believe ``changed``;
            None if nobody asked.
        forbidden: dotted names of the forbidden functions that it called.
        replaced: dotted names of library functions that had been replaced when it was over.
        untouched: whether the function's body is still ``...``; then it was not called.
        timed_out: whether it ran out of time.
        printed: the first lines of what it printed.
        used: how many bytes it held at once, where somebody looks (`Case.room`).
    """

    value: object = None
    again: tuple = ()
    half: bool = False
    kind: str = "numpy"
    raised: str = ""
    message: str = ""
    frames: tuple[tuple[str, int, str], ...] = ()
    changed: tuple[str, ...] = ()
    after: object = None
    forbidden: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    untouched: bool = False
    timed_out: bool = False
    printed: str = ""
    used: int = 0
