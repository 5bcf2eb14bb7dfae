"""The picture that a link to the book shows elsewhere: `python -m press cover`."""

from pathlib import Path

from .special_pages import arc, looks

CARD = Path(__file__).parent / "static" / "card.png"
PAPER, INK, BLUE = "#fbfaf6", "#1d1c1a", "#0b5c8c"


def draw(path=CARD):
    """Write the card, 1200 by 630: the title, and where "she" looks."""
    from matplotlib import pyplot
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Line

    words, weights = looks()
    row = words.index("she")
    with pyplot.rc_context({"font.family": "DejaVu Serif", "figure.constrained_layout.use": False}):
        figure = pyplot.figure(figsize=(12, 6.3), dpi=100, facecolor=PAPER)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 1200), ylim=(630, 0))
        axes.axis("off")
        axes.text(90, 190, "Attention by Experiment", size=50, color=INK)
        for j, weight in enumerate(weights[row]):
            if weight >= .02:
                numbers = [float(n) for n in arc(row, j).replace("M", "").replace("C", " ").split()]
                points = [(90 + x * 1.275, 285 + y * 1.3) for x, y in
                          zip(numbers[::2], numbers[1::2])]
                axes.add_patch(PathPatch(
                    Line(points, [Line.MOVETO, *[Line.CURVE4] * 3]), fill=False, edgecolor=BLUE,
                    linewidth=1 + 16 * weight, alpha=.25 + .6 * weight, capstyle="round"))
        for i, word in enumerate(words):
            axes.text(90 + (i + .5) * 127.5, 530, word, size=21, ha="center",
                      color=BLUE if i == row else INK)
        figure.savefig(path, facecolor=PAPER, metadata={"Software": None})
        pyplot.close(figure)
