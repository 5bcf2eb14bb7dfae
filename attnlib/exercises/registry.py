"""Where exercises are found: one module per chapter, loaded when first asked for."""

import difflib
import functools
import importlib
import pkgutil
import re
from pathlib import Path


def exercises():
    """All exercises of the book, in the order of its chapters.

    Returns:
        Tuple of `Exercise`.
    """
    return tuple(exercise for chapter in _chapters() for exercise in _of_chapter(chapter))


def get(id):
    """The exercise with this id.

    Args:
        id: chapter and number, ``"1.3"``.

    Returns:
        `Exercise`.

    Raises:
        KeyError: if there is none; the message says which there are and suggests the nearest.
    """
    chapter = str(id).partition(".")[0]
    for exercise in _of_chapter(chapter) if chapter in _chapters() else ():
        if exercise.id == id:
            return exercise
    ids = [exercise.id for exercise in exercises()]
    nearest = difflib.get_close_matches(str(id), ids, n=1, cutoff=0.0)
    suggestion = f' Did you mean "{nearest[0]}"?' if nearest else ""
    raise KeyError(f"There is no exercise {id!r}.{suggestion} There are: {', '.join(ids)}.")


@functools.cache
def _chapters():
    """``{chapter number: module name}``, both text, in the book's order."""
    names = sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return {str(int(name[2:4])): name for name in names if re.match(r"ch\d\d_", name)}


def _of_chapter(chapter):
    return importlib.import_module(f".{_chapters()[chapter]}", __package__).EXERCISES
