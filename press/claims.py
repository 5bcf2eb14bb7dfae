"""The claims page, gathered from the lines that `claim()` left in the stored outputs."""

import re

import yaml

from .chapters import ROOT, Chapter, chapter_paths

PAGE = ROOT / "book" / "claims.md"
LINE = re.compile(r"^Claim (?P<id>[A-Z]\d+[a-z]?) · (?P<verdict>[^·\n]+?) · (?P<measured>.+)$", re.MULTILINE)
HEAD = """\
# The claims

What widely read introductions say about attention, and what came out when a chapter measured it.
Every verdict below is computed by a cell of the book. Follow the link to see the cell, change it,
and run it again.

| | claim | verdict | what was measured | where |
|---|---|---|---|---|
"""


def claims():
    """The claims of `book/claims.yml`: id, text and chapter, in order."""
    return yaml.safe_load((ROOT / "book" / "claims.yml").read_text(encoding="utf-8"))


def measured(chapter):
    """What the chapter's claim cells printed: {id: (verdict, measured)}.

    Raises:
        ValueError: if a cell tagged `claim` printed no claim line, or an id stands twice.
    """
    found = {}
    for index, cell in chapter.tagged("claim"):
        text = "".join(out.get("text", "") for out in cell.get("outputs", []))
        lines = list(LINE.finditer(text))
        if not lines:
            raise ValueError(f"{chapter.where(index)}: a cell tagged `claim` ends with claim(...) "
                             "and stores the line it prints: run `make notebooks`")
        for line in lines:
            if line["id"] in found:
                raise ValueError(f"{chapter.where(index)}: claim {line['id']} is settled twice")
            found[line["id"]] = (line["verdict"], line["measured"])
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
            raise ValueError(f"{stem}.ipynb settles {sorted(stray)}, which book/claims.yml does not "
                             "list for this chapter: add the claim there")
    rows = []
    for claim in listed:
        stem = claim["chapter"]
        if claim["id"] not in results.get(stem, {}):
            raise ValueError(f"claim {claim['id']} has no cell in book/{stem}.ipynb: add a cell "
                             "tagged `claim` that ends with claim(...), and run `make notebooks`")
        verdict, number = results[stem][claim["id"]]
        text, number = (words.strip().replace("|", "\\|") for words in (claim["text"], number))
        link = f"[{stem}]({stem}.ipynb#claim-{claim['id'].lower()})"
        rows.append(f"| {claim['id']} | {text} | **{verdict}** | {number} | {link} |\n")
    return HEAD + "".join(rows)
