"""Where exercises are found: one module per chapter, loaded when first asked for."""

import difflib
import functools
import importlib
import pkgutil
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from .core import Exercise


def exercises() -> tuple[Exercise, ...]:
    """All exercises of the book, in the order of its chapters.

    Returns:
        Tuple of `Exercise`.
    """
    return tuple(exercise for chapter in _chapters() for exercise in _of_chapter(chapter))


def get(id) -> Exercise:
    """The exercise with this id.

    Args:
        id: chapter and number, ``"1.3"``; with other numbers drawn, ``"1.3/9f3a2c"``.

    Returns:
        `Exercise`.

    Raises:
        KeyError: if there is none; the message suggests the nearest.
    """
    if re.fullmatch(r"\d+\.\d+/[0-9a-f]+", str(id)):
        base, _, draw = id.partition("/")
        if get(base).vary:
            return drawn(get(base), draw)[0]
    chapter = str(id).partition(".")[0]
    for exercise in _of_chapter(chapter) if chapter in _chapters() else ():
        if exercise.id == id:
            return exercise
    ids = [exercise.id for exercise in exercises()]
    nearest = difflib.get_close_matches(str(id), ids, n=1, cutoff=0.0)
    suggestion = f' Did you mean "{nearest[0]}"?' if nearest else ""
    raise KeyError(f"There is no exercise {id!r}.{suggestion}")


@functools.lru_cache(maxsize=1024)
def drawn(exercise, draw) -> tuple[Exercise, dict[str, str]]:
    """An exercise with other numbers, shapes or names.

    Args:
        exercise: `Exercise` that has ``vary``.
        draw: what they are drawn with, hexadecimal digits; the same gives the same.

    Returns:
        exercise: `Exercise`, its id ending in ``/`` and the draw.
        words: ``{text: what stands there instead}``, for its statement, stub and solution.
    """
    rng = np.random.default_rng([int(draw, 16), *map(int, exercise.id.split("."))])
    other, words = exercise.vary(rng)
    return replace(other, id=f"{exercise.id}/{draw}"), words


@functools.cache
def _chapters():
    """``{chapter number: module name}``, both text, in the book's order."""
    names = sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return {str(int(name[2:4])): name for name in names if re.match(r"ch\d\d_", name)}


def _of_chapter(chapter):
    return importlib.import_module(f".{_chapters()[chapter]}", __package__).EXERCISES
