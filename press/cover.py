"""The picture on the opening page, drawn by code like every figure of the book."""

import numpy as np

from attnlib import attention_weights, plots, tasks

from .chapters import ROOT

PICTURE = ROOT / "book" / "cover.png"
ASKING = ("poured", "she", "cold")  # the words whose look-up is shown
# What a word asks for and what it offers, by its features: the matrices of chapter 1.
W_QUERY = np.array([[0, 0, 2], [0, 0, 2], [2, 2, 0], [2, 1, 0], [4, 0, 0], [-2, 2, 1]], dtype=float)
W_KEY = np.array([[2, 0, 0], [0, 2, 0], [0, 0, 2], [0, 0, 0], [-2, 0, 0], [0, 0, 0]], dtype=float)


def draw(path=PICTURE):
    """Draw which words three words of the running example look at, and write it as PNG."""
    words, x = tasks.sentence()
    rows = [words.index(word) for word in ASKING]
    weights = attention_weights(x[rows] @ W_QUERY, x @ W_KEY)  # (3, 8)
    axes = plots.heatmap(weights, rows=ASKING, columns=words, row_name="asks",
                         column_name="is looked at", axes=plots.figure(height=2.3))
    axes.figure.savefig(path, metadata={"Software": None})
