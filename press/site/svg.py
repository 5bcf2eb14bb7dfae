"""A figure as a part of its page: matplotlib's SVG with the page's letters and colours.

The notebook's SVG stays as matplotlib wrote it. Here its text takes the page's face, each colour
gets its counterpart for the dark, and what no reader needs goes: metadata, names, far decimals.
"""

import html
import re
from xml.etree import ElementTree

from attnlib.plots import PALETTE

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
DROPPED = {f"{SVG}metadata", f"{SVG}style", f"{SVG}title"}
COLOUR = re.compile(r"#[0-9a-f]{6}")
DECIMALS = re.compile(r"-?\d+\.\d+")
DRAWN = re.compile(r"M(?:[MLQCz]|[\d.\s-])+")  # a path as matplotlib writes it
STEP = re.compile(r"([MLQCz])([^MLQCz]*)")
REFERRED = re.compile(r"url\(#([^)]+)\)")
TURNED_BY_NOTHING = re.compile(r"rotate\(-?0 [^)]*\)")
AT = re.compile(r"translate\([-\d.]+ ")
TICK = re.compile(r"M 0 0\s+L \S+ \S+\s*")
QUIET = {  # book.css says them
    "font-family", "stroke-linejoin", "stroke-linecap", "stroke-dashoffset", "white-space"}
INK, PAPER = "#000000", "#ffffff"
RULED = {PAPER, *map(str.lower, PALETTE.values())} - {INK}  # `rules` tells their counterparts


def inline(source, alt, name):
    """An `<svg>` for the page.

    Args:
        source: what matplotlib wrote.
        alt: what it shows, in words.
        name: a prefix that no other figure of the page has.

    Returns:
        HTML.
    """
    tree = ElementTree.fromstring(source)
    _, _, width, height = map(float, tree.get("viewBox").split())
    ticks = {path.get("id"): [float(step) for step in path.get("d").split()[4:]]
             for path in tree.iter(f"{SVG}path") if TICK.fullmatch(path.get("d", ""))}
    for group in list(tree.iter(f"{SVG}g")):
        if group.get("id", "").startswith("matplotlib.axis"):
            together(group, ticks)
        if group.get("id", "").startswith("text_"):
            centred(group)
        if group.get("id") == "figure_1" and group[0].get("id") == "patch_1":
            group.remove(group[0])  # the figure's own paper
    marked = [element.get(LINK, "#")[1:] for element in tree.iter()] + REFERRED.findall(
        " ".join(value for element in tree.iter() for value in element.attrib.values()))
    names = {id: f"{name}-{at}" for at, id in enumerate(dict.fromkeys(filter(None, marked)))}
    body = "".join(written(child, names) for child in tree)
    return (f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
            f'role="img" aria-label="{html.escape(alt)}">{body}</svg>')


def centred(group):
    """The lines of a text in a box keep to its middle: the page's letters are not matplotlib's.

    Args:
        group: of a text; it is changed where it holds a box.
    """
    box = group.find(f"{SVG}g/{SVG}path")
    if box is None:
        return
    across = [float(x) for x in re.findall(r"(-?[\d.]+) -?[\d.]+", box.get("d"))]
    middle = (min(across) + max(across)) / 2
    for line in group.findall(f"{SVG}text"):
        line.set("transform", AT.sub(f"translate({middle} ", line.get("transform", "")))
        line.set("style", line.get("style", "") + "; text-anchor: middle")


def together(axis, ticks):
    """The ticks of an axis become one path, for a fifth of the bytes.

    Args:
        axis: the group of an axis; it is changed.
        ticks: the step from end to end of each mark that is a tick, by the mark's name.
    """
    drawn = {}
    for group in list(axis.iter(f"{SVG}g")):
        for use in group.findall(f"{SVG}use"):
            if use.get(LINK)[1:] in ticks:
                x, y = float(use.get("x")), float(use.get("y"))
                right, down = ticks[use.get(LINK)[1:]]
                drawn[use.get("style")] = (drawn.get(use.get("style"), "")
                                           + f"M {x} {y} L {x + right} {y + down} ")
                group.remove(use)
    for style, steps in drawn.items():
        axis.insert(0, axis.makeelement(f"{SVG}path", {"d": steps, "style": style}))


def written(element, names):
    """An element and what is in it, as HTML; `names` are those of what is referred to."""
    if element.tag in DROPPED or not isinstance(element.tag, str):
        return ""
    tag = element.tag.removeprefix(SVG)
    attributes = {}
    for key, value in element.attrib.items():
        if key == "id":
            if value in names:
                attributes["id"] = names[value]
        elif key == LINK:
            attributes["href"] = f"#{names[value[1:]]}" if value[0] == "#" else value
        elif key == "style":
            attributes |= styled(value, names)
        elif key == "d" and DRAWN.fullmatch(value):
            attributes["d"] = path(value)
        else:
            value = TURNED_BY_NOTHING.sub("", REFERRED.sub(lambda m: f"url(#{names[m[1]]})", value))
            attributes |= {key: DECIMALS.sub(shorter, value)} if value else {}
    inside = html.escape((element.text or "").strip(), quote=False) + "".join(
        written(child, names) for child in element
        if element.tag != f"{SVG}defs" or child.get("id") in names)
    if tag == "g" and not attributes:
        return inside
    if tag in ("g", "defs") and not inside:
        return ""
    said = "".join(f' {key}="{html.escape(value)}"' for key, value in attributes.items())
    return f"<{tag}{said}>{inside}</{tag}>" if inside else f"<{tag}{said}/>"


def styled(style, names):
    """A style as attributes; colours in both schemes, where no rule of the page does it."""
    found, schemes = {}, []
    for key, value in re.findall(r"([\w-]+): ([^;]+)", style):
        if key in ("font", "font-size"):
            found["font-size"] = re.search(r"([\d.]+)px", value)[1]
        elif key in ("fill", "stroke") and COLOUR.fullmatch(value):
            found[key] = "currentColor" if value == INK else value
            if value not in RULED | {INK}:
                schemes.append(f"{key}:{both(value)}")
        elif key not in QUIET and (key, value) != ("text-anchor", "start"):
            value = REFERRED.sub(lambda m: f"url(#{names[m[1]]})", value)
            found[key] = DECIMALS.sub(shorter, value)
    if schemes:
        found["style"] = ";".join(schemes)
    return found


def rules():
    """What the style sheet says of a figure's usual colours, so that no element has to."""
    return "".join(f':is(figure,.drawn)>svg [{key}="{colour}"]{{{key}:{both(colour)}}}\n'
                   for colour in sorted(RULED) for key in ("fill", "stroke"))


def both(colour):
    """A colour by the page's scheme; paper is the page's own."""
    return "var(--paper)" if colour == PAPER else f"light-dark({colour},{turned(colour)})"


def turned(colour):
    """A colour's counterpart on dark paper: its lightness turned over, its hue kept.

    It is what the CSS filter `invert(1) hue-rotate(180deg)` makes.
    """
    r, g, b = (255 - int(colour[i:i + 2], 16) for i in (1, 3, 5))
    rotated = (-.574 * r + 1.43 * g + .144 * b, .426 * r + .43 * g + .144 * b,
               .426 * r + 1.43 * g - .856 * b)
    return "#" + "".join(f"{min(255, max(0, round(x))):02x}" for x in rotated)


def path(drawn):
    """A path's steps from point to point, in tenths: half as long as its places."""
    said, last, at, start = [], "", (0, 0), (0, 0)
    for command, numbers in STEP.findall(drawn):
        tenths = [round(10 * float(number)) for number in numbers.split()]
        steps = [to - at[i % 2] for i, to in enumerate(tenths)]
        at = tuple(tenths[-2:]) or start  # closed: back where it began
        start = at if command == "M" else start
        if command == "L" and 0 in steps:
            command, steps = ("H", steps[:1]) if steps[1] == 0 else ("V", steps[1:])
        same = command == last and command not in "MHVz"
        said.append(("" if same else command.lower()) + between(steps, same))
        last = command
    return "M" + "".join(said)[1:]


def between(tenths, lead):
    """Numbers as a path says them: no sign between two that no reader of it needs."""
    said = ""
    for number in tenths:
        text = f"{number / 10:g}".replace("0.", ".", 1) if abs(number) < 10 else f"{number / 10:g}"
        said += text if text[0] == "-" or not (said or lead) else f" {text}"
    return said


def shorter(number):
    """A number with one decimal."""
    return f"{float(number[0]):.1f}".removesuffix(".0").replace("-0.0", "0")
