"""Chapters 1 to 3: known mistakes, written again from their sentences."""

import numpy as np

from . import again

# 1.1: the scores are 0, ln 3 and ln 4

@again("1.1", "uniform")
def _():
    return {"weights": ["1/3", "1/3", "1/3"], "output": [12 / 3, 20 / 3]}


again("1.1", "shares-of-scores")(lambda: {
    "weights": (np.log([1, 3, 4]) / np.log(12)).tolist(),
    "output": [np.log(4) * 4 / np.log(12), (np.log(3) * 16 + np.log(4) * 4) / np.log(12)]})
