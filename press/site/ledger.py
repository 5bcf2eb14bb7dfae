"""What each page weighs and what Lighthouse says of it, stored and printed: benchmarks/site.md.

`python -m press weights` weighs the site that is built, `python -m press lighthouse` visits it.
"""

import datetime
import json
from pathlib import Path
from zlib import crc32

from ..chapters import ROOT, toc_files
from ..dates import day
from . import weights

STORED = ROOT / "benchmarks" / "site.json"
PAGE = ROOT / "benchmarks" / "site.md"
HEAD = """\
# What a page weighs

Bytes on the wire (gzip): the page itself, and what a reader fetches at a first visit, with
everything opened, and when it is the next page. The build fails where a page exceeds
{first:,}, {whole:,} and {next:,} of them; the opening page {landing:,}. The last columns are
Lighthouse's, on its slow phone: the median of three visits, of 100 each (a dash: not yet visited).
The load of the machine moves the first of them.

| page | itself | first visit | all opened | as the next | performance | accessibility | \
best practices | SEO |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
"""


def read():
    """What is stored: {page: {"bytes": [...], "lighthouse": [...], "weighed": day, ...}}."""
    return json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}


def digest(site, name):
    """What a visit of a page depends on, in eight letters: the page itself, style and script."""
    below = Path(site)
    files = (below / f"{name}.html", below / "_static" / "book.css", below / "_static" / "book.js")
    return f"{crc32(b''.join(path.read_bytes() for path in files)):08x}"


def unvisited(site, names):
    """The pages that Lighthouse has not seen as they are."""
    rows = read()
    return [name for name in names if rows.get(name, {}).get("visited") != digest(site, name)]


def store(part, found, **about):
    """Keep what was found of some pages, and print the page anew.

    Args:
        part: "bytes" or "lighthouse".
        found: {page: list of numbers}.
        about: what else to keep of each.
    """
    rows, today = read(), datetime.date.today().isoformat()
    for name, numbers in found.items():
        rows[name] = rows.get(name, {}) | {part: numbers, f"{part} on": today} | about
    rows = {name: rows[name] for name in toc_files() if name in rows}
    STORED.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(printed(rows), encoding="utf-8")


def printed(rows):
    """The page's text."""
    head = HEAD.format(first=weights.FIRST, whole=weights.WHOLE, next=weights.NEXT,
                       landing=weights.LANDING)
    lines = []
    for name, row in rows.items():
        bytes_ = [f"{n:,}" for n in row["bytes"]] if "bytes" in row else ["-"] * 4
        scores = [f"{n:.0f}" for n in row["lighthouse"]] if "lighthouse" in row else ["-"] * 4
        lines.append(f"| {name} | " + " | ".join(bytes_ + scores) + " |")
    days = {part: sorted({row[f"{part} on"] for row in rows.values() if f"{part} on" in row})
            for part in ("bytes", "lighthouse")}
    said = [f"{words} " + " to ".join(dict.fromkeys(map(day, (days[part][0], days[part][-1]))))
            for part, words in (("bytes", "Weighed on"), ("lighthouse", "Visited on"))
            if days[part]]
    return head + "\n".join(lines) + "\n\n" + ". ".join(said) + ".\n"
