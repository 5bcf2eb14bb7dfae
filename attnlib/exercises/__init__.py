"""Exercises that answer back: ``check("1.3", my_function)`` and ``hint("1.3")``."""

from .notebook import check, hint
from .registry import exercises, get
