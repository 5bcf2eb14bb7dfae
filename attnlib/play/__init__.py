"""Figures to play with: what is dragged in the browser computes what attnlib computes.

Each function returns a `Play` that a notebook shows by itself. It carries a small JSON: the state
to begin with, and *cases*, inputs with what attnlib says of them; the figure's own arithmetic is
compared with them each time it is shown, and the result stands under it.

- ``figures.py``: one function for each figure: its inputs, and its cases by attnlib's functions.
- ``showing.py``: `Play`: the element, its script, and the numbers in them.
- ``play.js``: the frame: controls, dragging, keys, the comparison.
- ``look.js``: how all of them look; ``maths.js``: the equations that several share.
- ``NAME.js``: what figure NAME computes and draws.
"""

from .figures import (
    chunks,
    compare,
    heads,
    lookup,
    masks,
    reach,
    rotary,
    scaling,
    selection,
    temperature,
    tiles,
)
from .showing import Play

__all__ = ["Play", "chunks", "compare", "heads", "lookup", "masks", "reach", "rotary", "scaling",
           "selection", "temperature", "tiles"]
