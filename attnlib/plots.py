"""The primitives that every figure of the book is made of; one style, one palette.

Each function draws on ``axes``, or on a new figure if none are given, and returns the axes.
matplotlib is imported, and the style set, when the first figure is drawn. Figures keep a white
face, are at most 5.2 inches wide (legible on a phone), and never tell things by colour alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 5.2  # inches
PALETTE = {  # Okabe and Ito 2008: told apart with any kind of colour vision
    "blue": "#0072B2", "orange": "#D55E00", "green": "#009E73", "purple": "#CC79A7",
    "yellow": "#E69F00", "sky": "#56B4E9", "black": "#000000", "grey": "#6B6B6B",
}
STYLE = {
    "figure.dpi": 120, "figure.facecolor": "white", "savefig.facecolor": "white",
    "figure.constrained_layout.use": True, "font.family": "DejaVu Sans", "font.size": 10.5,
    "axes.titlesize": 11, "axes.labelsize": 10.5, "xtick.labelsize": 10, "ytick.labelsize": 10,
    "legend.fontsize": 10, "legend.frameon": False, "axes.spines.top": False,
    "svg.fonttype": "none", "svg.hashsalt": "attnlib",  # text as text; the same on every run
    "axes.spines.right": False, "axes.grid": False, "lines.linewidth": 1.8, "lines.markersize": 6,
}
_LOOKS = [  # colour, line and marker, always together
    (PALETTE["blue"], "-", "o"), (PALETTE["orange"], "--", "s"), (PALETTE["green"], "-.", "^"),
    (PALETTE["purple"], ":", "D"), (PALETTE["black"], (0, (5, 1, 1, 1)), "v"),
]


def figure(height=3.4, columns=1) -> Axes | list[Axes]:
    """An empty figure in the book's style.

    Args:
        height: inches.
        columns: how many axes stand side by side.

    Returns:
        The axes; a list of them if ``columns`` is more than 1.

    >>> figure(height=2.0).figure.get_size_inches()
    array([5.2, 2. ])
    """
    import matplotlib
    from matplotlib import pyplot
    matplotlib.rcParams.update(STYLE)
    _, axes = pyplot.subplots(1, columns, figsize=(WIDTH, height))
    return axes if columns == 1 else list(axes)


def heatmap(weights, *, rows, columns, row_name="query", column_name="key", title=None, top=None,
            axes=None) -> Axes:
    """A matrix as shades, with the number in each cell while there is room for it.

    A cell that is exactly 0 says "0"; one that is rounded to it says "0.00".

    Args:
        weights: ``(n_rows, n_columns)``. If some are negative, white is 0, blue is above and
            orange below; otherwise white is 0 and blue is the largest.
        rows, columns: a label per row and per column.
        row_name, column_name: what rows and columns are.
        title: what the numbers are.
        top: the number that is darkest. If not given, 1 where the numbers are shares (every row
            sums to 1, or is empty), so that two such matrices can be compared; else the largest.
        axes: where to draw; a new figure if not given.

    Returns:
        The axes.

    Raises:
        ValueError: if the labels do not fit the matrix; the message names all lengths.

    >>> heatmap([[0.9, 0.1]], rows=["she"], columns=["anna", "tea"]).get_xlabel()
    'key'
    """
    weights = np.asarray(weights, dtype=float)
    if weights.shape != (len(rows), len(columns)):
        raise ValueError(f"weights {weights.shape} need as many labels, got {len(rows)} rows "
                         f"and {len(columns)} columns")
    if axes is None:
        axes = figure(height=0.9 + 0.4 * len(rows))
    signed = weights.min(initial=0) < 0
    if top is None:
        top = 1 if _are_shares(weights) else max(np.abs(weights).max(initial=0), 1e-12)
    image = axes.imshow(weights, cmap=_shades(signed), vmin=-top if signed else 0, vmax=top,
                        aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel=column_name, ylabel=row_name)
    axes.set_title(title or "", loc="left")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if len(columns) <= 10 and len(rows) <= 12:
        _write_numbers(axes, image, weights)
    return axes


def vectors(ends, labels, *, starts=None, names=("", ""), axes=None) -> Axes:
    """Arrows in the plane, each with its label at the tip.

    Args:
        ends: ``(n, 2)``.
        labels: a label per arrow; ``""`` for none.
        starts: ``(n, 2)``; the origin if not given.
        names: what the two axes are.
        axes: where to draw; a new figure if not given.

    Returns:
        The axes, with one unit equally long on both.

    Raises:
        ValueError: if ``ends`` is not ``(n, 2)`` with a label each.

    >>> vectors([[1, 0], [1, 1]], ["anna", "she"], names=("person", "points")).get_xlabel()
    'person'
    """
    ends = _points("ends", ends, labels)
    starts = np.zeros_like(ends) if starts is None else _points("starts", starts, labels)
    axes = figure() if axes is None else axes
    for index, (start, end, label) in enumerate(zip(starts, ends, labels)):
        color = _LOOKS[index % len(_LOOKS)][0]
        axes.annotate("", end, start, arrowprops=dict(arrowstyle="-|>", color=color, lw=2,
                                                      shrinkA=0, shrinkB=0, mutation_scale=14))
        _label(axes, label, end, end - start)
    both = np.concatenate([starts, ends])
    axes.update_datalim(both)
    axes.autoscale_view()
    axes.margins(0.2)
    return _plane(axes, names)


def points(places, labels, *, hull=False, look=0, name=None, names=("", ""), axes=None) -> Axes:
    """Marked points in the plane, with labels, and the outline of their convex hull if asked.

    Args:
        places: ``(n, 2)``.
        labels: a label per point; ``""`` for none.
        hull: draw the smallest convex outline around the points.
        look: which of the five looks (colour, line and marker together).
        name: what the points are, for the legend.
        names: what the two axes are.
        axes: where to draw; a new figure if not given.

    Returns:
        The axes, with one unit equally long on both.

    Raises:
        ValueError: if ``places`` is not ``(n, 2)`` with a label each.

    >>> points([[0, 0], [1, 0], [0, 1]], ["a", "b", "c"], hull=True, name="values").get_title()
    ''
    """
    places = _points("places", places, labels)
    axes = figure() if axes is None else axes
    color, line, marker = _LOOKS[look]
    if hull:
        outline = np.array(_hull(places))
        axes.fill(*outline.T, facecolor=color, alpha=0.10)
        axes.fill(*outline.T, facecolor="none", edgecolor=color, linestyle=line)
    axes.plot(*places.T, linestyle="none", marker=marker, color=color, label=name)
    for place, label in zip(places, labels):
        _label(axes, label, place, place - places.mean(0) if hull else np.array([0.0, 1.0]))
    axes.margins(0.12)
    return _plane(axes, names)


def curves(x, lines, *, names=("", ""), marks=False, axes=None) -> Axes:
    """Lines, each with its own colour and dash; where there are several runs, their spread.

    Args:
        x: ``(n,)``.
        lines: name -> ``(n,)``, or ``(runs, n)``: the line is their mean, the band goes from
            the smallest to the largest.
        names: what the two axes are, with units.
        marks: put a marker on each point of the lines.
        axes: where to draw; a new figure if not given.

    Returns:
        The axes.

    Raises:
        ValueError: if a line does not have a number per ``x``, or there are too many lines.

    >>> curves([0, 1], {"soft": [1.0, 2.0]}, names=("minutes", "°C")).get_ylabel()
    '°C'
    """
    x = np.asarray(x, dtype=float)
    if len(lines) > len(_LOOKS):
        raise ValueError(f"at most {len(_LOOKS)} lines can be told apart, got {len(lines)}")
    axes = figure() if axes is None else axes
    for (color, dash, marker), (name, runs) in zip(_LOOKS, lines.items()):
        runs = np.atleast_2d(np.asarray(runs, dtype=float))  # (runs, n)
        if runs.ndim != 2 or runs.shape[-1] != x.size:
            raise ValueError(f"line {name!r} of shape {runs.shape} does not fit x {x.shape}")
        axes.plot(x, runs.mean(0), linestyle=dash, color=color, label=name,
                  marker=marker if marks else None)
        if len(runs) > 1:
            axes.fill_between(x, runs.min(0), runs.max(0), color=color, alpha=0.18, linewidth=0)
    axes.set(xlabel=names[0], ylabel=names[1])
    if len(lines) > 1:
        axes.legend()
    return axes


def masks(named, *, across=3) -> list[Axes]:
    """Boolean masks as small grids: a dark cell may attend, a light one may not.

    Args:
        named: title -> boolean ``(n_q, n_k)``, a row per query.
        across: how many grids stand in a row.

    Returns:
        List of the axes, one per mask.

    Raises:
        ValueError: if a mask is not boolean with two axes.

    >>> [axes.get_title(loc="left") for axes in masks({"self alone": np.eye(3, dtype=bool)})]
    ['self alone']
    """
    for name, mask in named.items():
        if np.ndim(mask) != 2 or np.asarray(mask).dtype != bool:
            raise ValueError(f"mask {name!r} must be boolean (n_q, n_k), got "
                             f"{np.asarray(mask).dtype} {np.shape(mask)}")
    rows = -(-len(named) // across)
    canvas = figure(height=0.3 + 1.9 * rows).figure
    canvas.clear()
    grid = canvas.subplots(rows, across, squeeze=False).ravel()
    for axes, (name, mask) in zip(grid, named.items()):
        _cells(axes, np.asarray(mask))
        axes.set(aspect="equal", xticks=[], yticks=[], xlabel="key", ylabel="query")
        axes.set_title(name, loc="left", fontsize=10)
    for axes in grid[len(named):]:
        axes.remove()
    return list(grid[:len(named)])


def schematic(boxes, arrows, *, new=(), height=None, axes=None) -> Axes:
    """Boxes and arrows: which array is made from which, and by what.

    A box is an array, with its shape under its name; the label of an arrow says what is done.
    What a chapter adds to the schematic of the chapter before is filled.

    Args:
        boxes: name -> ``(column, row, text)``: places on a grid, row 0 on top, fractions welcome;
            the text may have several lines. A box without text is a bare point to bend around.
        arrows: ``(from, to)`` or ``(from, to, label)``, the names of boxes. The label stands
            beside the middle of the arrow: on the right of one that goes down, else above it.
        new: names of the boxes to fill.
        height: inches; if not given, what the rows need.
        axes: where to draw; a new figure if not given.

    Returns:
        The axes.

    Raises:
        ValueError: if an arrow or ``new`` names a box that there is not; the message names it.

    >>> axes = schematic({"s": (0, 0, "scores"), "a": (0, 1, "shares")},
    ...                  [("s", "a", "softmax")], new=["a"])
    >>> [text.get_text() for text in axes.texts if text.get_text()]
    ['scores', 'shares', 'softmax']
    """
    missing = {*(name for arrow in arrows for name in arrow[:2]), *new} - boxes.keys()
    if missing:
        raise ValueError(f"there is no box {', '.join(sorted(map(repr, missing)))}; there are "
                         + ", ".join(map(repr, boxes)))
    rows = [row for _, row, _ in boxes.values()]
    columns = [column for column, _, _ in boxes.values()]
    if axes is None:
        axes = figure(height=height or 0.85 * (max(rows) - min(rows) + 1))
    drawn = {name: _box(axes, column, row, text, name in new)
             for name, (column, row, text) in boxes.items()}
    for start, end, *label in arrows:
        here, there = (np.array(boxes[name][:2], dtype=float) for name in (start, end))
        tip = "-|>" if boxes[end][2] else "-"
        axes.annotate("", there, here, arrowprops=dict(
            arrowstyle=tip, color=PALETTE["black"], lw=1.3, mutation_scale=13,
            shrinkA=0, shrinkB=0, patchA=drawn[start], patchB=drawn[end]))
        down = abs(there - here)[1] > abs(there - here)[0]
        axes.annotate("".join(label), (here + there) / 2, (6, 0) if down else (0, 4),
                      textcoords="offset points", ha="left" if down else "center",
                      va="center" if down else "bottom", color=PALETTE["blue"], fontsize=10)
    axes.set_xlim(min(columns) - 0.5, max(columns) + 0.5)
    axes.set_ylim(max(rows) + 0.5, min(rows) - 0.5)
    axes.set_axis_off()
    return axes


def patches(image, weights, *, title=None, axes=None) -> Axes:
    """A picture cut into patches, each framed as thickly as it is looked at.

    The number in a frame is the weight in percent; weights below 5 % have neither.

    Args:
        image: ``(height, width)``, in shades of grey, the largest number black.
        weights: ``(rows, columns)``, a weight from 0 to 1 per patch; patches are equally large.
        title: what was asked.
        axes: where to draw; a new figure if not given.

    Returns:
        The axes.

    Raises:
        ValueError: if the image cannot be cut so; the message names both shapes.

    >>> axes = patches(np.eye(4), np.array([[0.97, 0.01], [0.01, 0.01]]))
    >>> [number.get_text() for number in axes.texts]
    ['97']
    """
    image, weights = np.asarray(image, dtype=float), np.asarray(weights, dtype=float)
    if image.ndim != 2 or weights.ndim != 2 or any(
            many == 0 or size % many for size, many in zip(image.shape, weights.shape)):
        raise ValueError(f"image {image.shape} cannot be cut into patches for weights "
                         f"{weights.shape}")
    axes = figure() if axes is None else axes
    axes.imshow(image, cmap="Greys")
    height, width = (size // many for size, many in zip(image.shape, weights.shape))
    for (row, column), weight in np.ndenumerate(weights):
        if weight >= 0.05:
            left, top = column * width - 0.5, row * height - 0.5
            axes.add_patch(_frame(left, top, width, height, 6 * weight))
            axes.text(left + width / 2, top + height / 2, f"{100 * weight:.0f}", ha="center",
                      va="center", bbox=dict(facecolor="white", edgecolor="none", pad=1.5))
    axes.set_axis_off()
    axes.set_title(title or "", loc="left", fontsize=10)
    return axes


def _box(axes, column, row, text, filled):
    """Draw a box around its text; return its outline, None for a bare point."""
    if not text:
        return None
    box = dict(boxstyle="round,pad=0.35", linewidth=1.3, edgecolor=PALETTE["blue" if filled else
               "grey"], facecolor="#D6E6F2" if filled else "white")
    return axes.text(column, row, text, ha="center", va="center", linespacing=1.35,
                     bbox=box).get_bbox_patch()


def _cells(axes, mask):
    """Draw a mask as two paths, whatever its size: its dark cells, and the lines between cells."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path
    n_q, n_k = mask.shape
    runs = [(row, *run) for row, keys in enumerate(mask) for run in np.flatnonzero(
        np.diff(keys, prepend=False, append=False)).reshape(-1, 2)]  # dark from key a to key b
    dark = [Path([(a, row), (b, row), (b, row + 1), (a, row + 1), (a, row)], closed=True)
            for row, a, b in runs]
    lines = [Path([(0, row), (n_k, row)]) for row in range(n_q + 1)]
    lines += [Path([(key, 0), (key, n_q)]) for key in range(n_k + 1)]
    if dark:
        axes.add_patch(PathPatch(Path.make_compound_path(*dark), facecolor=PALETTE["blue"],
                                 linewidth=0))
    axes.add_patch(PathPatch(Path.make_compound_path(*lines), fill=False, edgecolor="#BBBBBB",
                             linewidth=0.5))
    axes.set(xlim=(0, n_k), ylim=(n_q, 0))  # the first query on top


def _frame(left, top, width, height, thickness):
    from matplotlib.patches import Rectangle
    return Rectangle((left, top), width, height, fill=False, edgecolor=PALETTE["orange"],
                     linewidth=thickness, clip_on=False)


def _write_numbers(axes, image, weights):
    """Each number in its cell, all with as many digits as one of them needs, at most 2."""
    digits = next(d for d in (0, 1, 2) if d == 2 or np.allclose(weights.round(d), weights))
    for (row, column), number in np.ndenumerate(weights):
        axes.text(column, row, f"{number:.{digits}f}" if number else "0", ha="center",
                  va="center", fontsize=10, color=_ink(image.to_rgba(number)))


def _are_shares(weights):
    sums = weights.sum(1)
    return (weights >= 0).all() and (np.isclose(sums, 1) | (sums == 0)).all() and sums.any()


def _shades(signed):
    from matplotlib.colors import LinearSegmentedColormap
    below = [PALETTE["orange"]] if signed else []
    return LinearSegmentedColormap.from_list("book", [*below, "white", PALETTE["blue"]],
                                             N=257)  # odd, so that 0 is white


def _ink(shade):
    """Black or white, whichever stands out more on an RGBA shade (contrast at least 4.5)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shade[:3]]
    return "black" if np.dot(linear, (0.2126, 0.7152, 0.0722)) > 0.179 else "white"


def _points(name, places, labels):
    places = np.asarray(places, dtype=float)
    if places.ndim != 2 or places.shape != (len(labels), 2):
        raise ValueError(f"{name} must be (n, 2) with n labels, got {places.shape} and "
                         f"{len(labels)} labels")
    return places


def _label(axes, label, place, outward):
    """Write a label beside a place, on the side that ``outward`` points to."""
    right, up = outward / max(np.hypot(*outward), 1e-12)
    axes.annotate(label, place, (7 * right, 7 * up), textcoords="offset points",
                  ha="left" if right > 0.4 else "right" if right < -0.4 else "center",
                  va="bottom" if up > 0.4 else "top" if up < -0.4 else "center")


def _plane(axes, names):
    axes.set(xlabel=names[0], ylabel=names[1])
    axes.set_aspect("equal", adjustable="datalim")
    return axes


def _hull(places):
    """The corners of the convex hull, counterclockwise (Andrew's monotone chain)."""
    corners = []
    ordered = sorted(map(tuple, places))
    for sweep in (ordered, ordered[::-1]):
        chain = []
        for point in sweep:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        corners += chain[:-1]
    return corners or ordered[:1]


def _turn(a, b, c):
    """Above 0 where the path a, b, c turns left."""
    return (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])
