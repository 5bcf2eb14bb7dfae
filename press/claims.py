"""The claims page, gathered from the lines that `claim()` left in the stored outputs."""

import re
from typing import NamedTuple

import yaml

from attnlib.claims import VERDICTS

from .chapters import ROOT, Chapter, chapter_paths

PAGE = ROOT / "book" / "claims.md"
UNSETTLED = ROOT / "proofs" / "unsettled.txt"
LINE = re.compile(r"^Claim (?P<id>[A-Z]\d+[a-z]?) · (?P<verdict>" + "|".join(
    sorted(VERDICTS, key=len, reverse=True)) + r")(?: when (?P<when>[^·\n]+?))? · "
    r"(?P<measured>[^·\n]+?)(?: · (?P<scale>[^·\n]+))?$", re.MULTILINE)


HEAD = """\
# The claims

What widely read introductions say about attention, and what came out when a chapter measured it.
Every verdict below is computed by a cell of the book. Follow the link to see the cell, change it,
and run it again.

| | claim | verdict | what was measured | where |
|---|---|---|---|---|
"""



class Settled(NamedTuple):
    """What a cell printed about a claim."""

    verdict: str
    when: str | None
    measured: str
    scale: str | None


def claims():
    """The claims of `book/claims.yml`: id, text and chapter, in order."""
    return yaml.safe_load((ROOT / "book" / "claims.yml").read_text(encoding="utf-8"))


def unsettled():
    """The chapters whose verdicts are not yet the same over the whole star."""
    return UNSETTLED.read_text(encoding="utf-8").split()


def lines_of(cell):
    """The claims that a cell's outputs settle: [(id, Settled)]."""
    text = "".join(out.get("text", "") for out in cell.get("outputs", []))
    return [(line["id"], Settled(line["verdict"], line["when"], line["measured"], line["scale"]))
            for line in LINE.finditer(text)]


def measured(chapter):
    """What the chapter's claim cells printed: {id: Settled}.

    Raises:
        ValueError: if a cell tagged `claim` printed no claim line, or an id stands twice.
    """
    found = {}
    for index, cell in chapter.tagged("claim"):
        lines = lines_of(cell)
        if not lines:
            raise ValueError(f"{chapter.where(index)}: a cell tagged `claim` ends with claim(...) "
                             "and stores the line it prints: run `make notebooks`")
        for id, line in lines:
            if id in found:
                raise ValueError(f"{chapter.where(index)}: claim {id} is settled twice")
            found[id] = line
    return found


def print_page():
    """The text of the claims page.

    Raises:
        ValueError: if a claim has no cell, or a cell settles a claim that is not listed.
    """
    listed = claims()
    results = {path.stem: measured(Chapter(path)) for path in chapter_paths()}
    for stem, found in results.items():
        stray = found.keys() - {claim["id"] for claim in listed if claim["chapter"] == stem}
        if stray:
            raise ValueError(f"{stem}.ipynb settles {sorted(stray)}, which book/claims.yml does "
                             "not list for this chapter: add the claim there")
    rows = []
    for claim in listed:
        stem = claim["chapter"]
        if claim["id"] not in results.get(stem, {}):
            if stem in unsettled():
                continue
            raise ValueError(f"claim {claim['id']} has no cell in book/{stem}.ipynb: add a cell "
                             "tagged `claim` that ends with claim(...), and run `make notebooks`")
        verdict, when, number, _ = results[stem][claim["id"]]
        text, number = (words.strip().replace("|", "\\|") for words in (claim["text"], number))
        verdict = f"{verdict} when {when}" if when else verdict
        link = f"[{stem}]({stem}.ipynb#claim-{claim['id'].lower()})"
        rows.append(f"| {claim['id']} | {text} | **{verdict}** | {number} | {link} |\n")
    return HEAD + "".join(rows)
