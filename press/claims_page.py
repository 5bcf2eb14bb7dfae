"""The claims page, gathered from the lines that `claim()` left in the stored outputs."""

import json
import re
from collections import Counter
from typing import NamedTuple

import yaml

from attnlib.claims import VERDICTS

from .chapters import ROOT, Chapter, chapter_paths

PAGE = ROOT / "book" / "claims.md"
UNSETTLED = ROOT / "proofs" / "unsettled.txt"
STAR = ROOT / "proofs" / "star"
LINE = re.compile(r"^Claim (?P<id>[A-Z]\d+[a-z]?) · (?P<verdict>" + "|".join(
    sorted(VERDICTS, key=len, reverse=True)) + r")(?: when (?P<when>[^·\n]+?))? · "
    r"(?P<measured>[^·\n]+?)(?: · (?P<scale>[^·\n]+))?$", re.MULTILINE)


HEAD = """\
# The claims

What widely read introductions say about attention, and what came out when a chapter measured it.
Every verdict below is computed by a cell of the book. Follow the link to see the cell, change it,
and run it again.
"""
MARKS = {"holds": "●", "holds in part": "◐", "does not hold": "⊗", "undecided here": "◌"}


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


def star(id, stem, verdict, when):
    """On how much of the star a claim of a chapter had this verdict, under this condition.

    Returns:
        (points with that verdict, points run), or None where the chapter is not settled yet.
    """
    if stem in unsettled():
        return None
    rows = json.loads((STAR / f"{stem}.json").read_text(encoding="utf-8"))["rows"].values()
    return sum(row["claims"].get(id, ())[:2] == [verdict, when] for row in rows), len(rows)


def print_page():
    """The text of the claims page.

    Raises:
        ValueError: if a claim has no cell, or a cell settles a claim that is not listed.
    """
    listed = claims()
    chapters = {path.stem: Chapter(path) for path in chapter_paths()}
    results = {stem: measured(chapter) for stem, chapter in chapters.items()}
    for stem, found in results.items():
        stray = found.keys() - {claim["id"] for claim in listed if claim["chapter"] == stem}
        if stray:
            raise ValueError(f"{stem}.ipynb settles {sorted(stray)}, which book/claims.yml does "
                             "not list for this chapter: add the claim there")
    for claim in listed:
        id, stem = claim["id"], claim["chapter"]
        if id not in results.get(stem, {}) and stem not in unsettled():
            raise ValueError(f"claim {id} has no cell in book/{stem}.ipynb: add a cell "
                             "tagged `claim` that ends with claim(...), and run `make notebooks`")
    told = [claim for claim in listed if claim["id"] in results.get(claim["chapter"], {})]
    lines = [results[claim["chapter"]][claim["id"]] for claim in told]
    tally = Counter(line.verdict for line in lines)
    parts = [HEAD, "| verdict | claims |\n|---|--:|\n" + "".join(
        f"| {MARKS[verdict]} {verdict} | {tally[verdict]} |\n" for verdict in VERDICTS)
        + f"| together | {len(told)} |\n"]
    for claim, line in zip(told, lines):
        stem = claim["chapter"]
        if f"]({stem}.ipynb)\n" not in "".join(parts):
            title = chapters[stem].cells[0].source.partition("\n")[0].removeprefix("# ")
            parts.append(f"## [{title}]({stem}.ipynb)\n")
        parts.append(entry(claim, line, star(claim["id"], stem, line.verdict, line.when)))
    return "\n".join(parts)


def entry(claim, line, same):
    """One claim: what is said, its verdict, and what that rests on."""
    id, stem = claim["id"], claim["chapter"]
    when = f" when {line.when}" if line.when else ""
    facts = [f"Measured: {line.measured}."]
    if line.scale:
        facts.append(f"At: {line.scale}.")
    if "elsewhere" in claim:
        facts.append(f"Elsewhere: {claim['elsewhere'].strip()}")
    facts.append("Not yet run over seeds, budgets and processors." if same is None else
                 f"The same verdict at {same[0]} of {same[1]} points of seed, budget and "
                 "processor.")
    facts.append(f"[The cell that decides]({stem}.ipynb#claim-{id.lower()}).")
    return (f"### {id} {MARKS[line.verdict]} {line.verdict.capitalize()}{when}\n\n"
            f"{claim['text'].strip()}\n\n" + "".join(f"- {fact}\n" for fact in facts))
