"""What a reader fetches: the bytes of each page as a server sends them, and their limits.

A build whose page is over its limit fails and names the heaviest thing on it. `python -m press
weights` prints the table of the site that is built.
"""

import gzip
import re
from pathlib import Path

FIRST, WHOLE, NEXT = 140_000, 170_000, 75_000  # a page: first visit, all opened, the next one
LANDING, SCRIPT = 85_000, 12_000
FIGURE = 30_000  # a picture, or what an SVG says in its page, before it is packed
DRAWN = re.compile(r'<(?:figure id|span class)="([\w-]+)">(<svg.*?</svg>)', re.DOTALL)
PLAY, FURTHER = 12_000, 4_000  # scripts of two kinds of figures to play with; each further kind
PACKED = {".html", ".css", ".js", ".svg", ".json", ".xml"}
REFERENCE = re.compile(r'<(?:img|script|link)[^>]*?\b(?:src|href)="([^"#?:]+)"')


def sent(path):
    """The bytes of a file on the wire."""
    data = Path(path).read_bytes()
    return len(gzip.compress(data, 9)) if Path(path).suffix in PACKED else len(data)


def parts(site, name):
    """{kind: bytes} of a page: itself, style and script, fonts, pictures, scripts to play with."""
    page = Path(site) / f"{name}.html"
    text = page.read_text(encoding="utf-8")
    found = {"page": sent(page), "style and script": 0, "fonts": 0, "figures": 0, "play": 0}
    for target in sorted(set(REFERENCE.findall(text))):
        file = (page.parent / target).resolve()
        kind = ("figures" if "_images" in target else "play" if "/play/" in target else
                "fonts" if "fonts" in target else "style and script")
        if file.is_file() and file.suffix != ".html":
            found[kind] += sent(file) if kind != "fonts" else 0
    found["fonts"] = sum(sent(file) for file in (Path(site) / "_static" / "fonts").glob("*.woff2"))
    return found


def sums(found):
    """(first visit at the most, everything opened, as the next page) of a page's parts."""
    shared = found["style and script"] + found["fonts"]
    return (found["page"] + shared, sum(found.values()),
            found["page"] + found["figures"] + found["play"])


def faults(site, names):
    """(page, what to do) for each page over its limit; the scripts are every page's."""
    for name in names:
        found = parts(site, name)
        first, whole, after = sums(found)
        limits = [(first, LANDING if name.endswith("/intro") else FIRST, "at first visit"),
                  (whole, WHOLE, "with all of it opened"), (after, NEXT, "as the next page")]
        for bytes_, limit, when in limits:
            if bytes_ > limit:
                yield name, (f"{name}: {bytes_:,} bytes {when}, more than {limit:,}: "
                             f"{heaviest(site, name)}")
        text = (Path(site) / f"{name}.html").read_text(encoding="utf-8")
        kinds = set(re.findall(r"_static/play/(\w+)", text)) - {"play"}
        limit = PLAY + FURTHER * max(0, len(kinds) - 2)
        if found["play"] > limit:
            yield name, (f"{name}: {found['play']:,} bytes of scripts to play with, more than "
                         f"{limit:,}: shorten attnlib/play, or show fewer kinds on one page")
        for bytes_, which in figures(site, name):
            if bytes_ > FIGURE:
                yield name, (f"{name}: {which} has {bytes_:,} bytes before it is packed, more "
                             f"than {FIGURE:,}: draw it with fewer points or paths")
    script = sent(Path(site) / "_static" / "book.js")
    if script > SCRIPT:
        yield "index", f"book.js: {script:,} bytes, more than {SCRIPT:,}: take something out"


def figures(site, name):
    """(bytes before packing, name) of each figure of a page."""
    page = Path(site) / f"{name}.html"
    text = page.read_text(encoding="utf-8")
    drawn = [(len(svg.encode()), id) for id, svg in DRAWN.findall(text)]
    return drawn + [((page.parent / target).resolve().stat().st_size, target)
                    for target in sorted(set(REFERENCE.findall(text))) if "_images" in target]


def heaviest(site, name):
    """What weighs most on a page, and what to do about it."""
    page = Path(site) / f"{name}.html"
    text = page.read_text(encoding="utf-8")
    pictures = [(sent((page.parent / target).resolve()), target)
                for target in REFERENCE.findall(text) if "_images" in target]
    drawn = [(len(gzip.compress(svg.encode())), id) for id, svg in DRAWN.findall(text)]
    if not pictures + drawn:
        return "shorten it, or cut it in two"
    bytes_, which = max(pictures + drawn)
    number = re.search(rf'id="(fig-[\d-]+)"><img src="{re.escape(which)}"', text)
    which = number[1] if number else which
    return f"its heaviest figure is {which} with {bytes_:,}: draw it with fewer points or colours"


def row(site, name):
    """[the page itself, first visit, all opened, as the next page]: bytes."""
    found = parts(site, name)
    return [found["page"], *sums(found)]
