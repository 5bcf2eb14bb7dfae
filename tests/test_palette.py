"""One palette: figures, the classroom's pages and the site take their colours from it.

The colours of what is played with are held to it in test_play.py.
"""

import colorsys
import re
from pathlib import Path

import pytest

from attnlib.plots import PALETTE
from press.chapters import ROOT
from press.site import card

STYLE = (ROOT / "press/site/static/book.css").read_text(encoding="utf-8")
ROLES = {  # what a colour of the site is a shade of
    "link": "blue", "tint": "blue", "m": "blue", "yes": "green", "yes-t": "green",
    "part": "yellow", "part-t": "yellow", "no": "orange", "no-t": "orange", "s": "orange",
    "k": "purple"}


def blocks(text):
    """The colours of each rule that has any: ``[{name: colour}]``."""
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in
             re.findall(r"\{([^{}]*)\}", text)]
    return [block for block in found if block]


def levels(colour):
    return [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]


def is_grey(colour):
    """Paper, ink, rules: so little colour that it means nothing."""
    return max(levels(colour)) - min(levels(colour)) < 0.1


def turned(a, b):
    """How far two colours are from each other on the wheel, in degrees."""
    hues = [360 * colorsys.rgb_to_hls(*levels(colour))[0] for colour in (a, b)]
    return abs((hues[0] - hues[1] + 180) % 360 - 180)


SHADES = [(name, colour) for block in blocks(STYLE) for name, colour in block.items()
          if not is_grey(colour)]


@pytest.mark.parametrize("name, colour", dict.fromkeys(SHADES))
def test_a_colour_of_the_site_is_a_shade_of_the_palettes(name, colour):
    """Lighter or darker, so that it can be read on its paper; of the same hue."""
    assert turned(colour, PALETTE[ROLES[name]]) <= 10


def test_a_colour_from_elsewhere_is_found():
    assert len(SHADES) > 20 and {name for name, _ in SHADES} <= set(ROLES)
    assert turned("#5b2d8c", PALETTE["purple"]) > 10 and turned("#ff0000", "#ff0010") < 5


def test_both_ways_into_the_dark_lead_to_the_same_colours():
    """By the system's setting without a script, by the reader's choice with one."""
    light, system, chosen = (block for block in blocks(STYLE) if "paper" in block)
    assert system == chosen != light and system.keys() == light.keys()


def test_what_is_no_style_sheet_has_the_site_s_colours():
    light, dark, _ = (block for block in blocks(STYLE) if "paper" in block)
    assert (card.PAPER, card.INK, card.BLUE) == (light["paper"], light["ink"], light["link"])
    layout = (ROOT / "press/site/theme/layout.html").read_text(encoding="utf-8")
    assert re.findall(r'"theme-color" content="(#\w+)"', layout) == [light["paper"], dark["paper"]]


def test_whatever_else_has_a_colour_takes_it_from_the_palette():
    files = [*ROOT.glob("attnlib/*.py"), *ROOT.glob("attnlib/exercises/*.py"),
             *ROOT.glob("classroom/**/*.py"), *ROOT.glob("classroom/templates/*.html")]
    ours = {colour.lower() for colour in PALETTE.values()}
    for path in map(Path, files):
        for colour in re.findall(r"#[0-9a-fA-F]{6}\b", path.read_text(encoding="utf-8")):
            assert (path.name == "plots.py" or is_grey(colour)
                    or colour.lower() in ours), (path.name, colour)
