"""Chapters 7 to 9: known mistakes, written again from their sentences."""

import numpy as np  # noqa: F401

from . import again  # noqa: F401
