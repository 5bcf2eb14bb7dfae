"""Exercises that answer back: ``check("1.3", my_function)``, ``hint("1.3")``, ``case("1.3")``,
``progress()``, ``project("A", ...)``."""

from .notebook import case, check, hint
from .progress import progress
from .projects import passage, project
from .registry import exercises, get

__all__ = ["case", "check", "exercises", "get", "hint", "passage", "progress", "project"]
