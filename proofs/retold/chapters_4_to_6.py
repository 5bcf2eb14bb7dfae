"""Chapters 4 to 6: known mistakes, written again from their sentences."""

import numpy as np  # noqa: F401

from . import again  # noqa: F401
