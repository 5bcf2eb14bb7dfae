"""Where the text names an equation, a figure, a claim, an exercise, a chapter, a link leads to it.

And what a link on another page's thing shows when it is pointed at: a `<template>` on this page.
"""

import re

from docutils import nodes

from .elements import curly
from .mathml import display, inline
from .shelf import shelf

NAMED = re.compile(r"(?<!\d\d\d\d, )(?:"  # not what stands in another book
                   r"(?P<eq>(?:[Ee]quation )?\((?P<eq_id>\d+\.\d+)\))|"
                   r"(?P<fig>[Ff]igure (?P<fig_id>\d+\.\d+))|"
                   r"(?P<claim>[Cc]laim (?P<claim_id>[A-Z]\d+[a-z]?))\b|"
                   r"(?P<ex>[Ee]xercise (?P<ex_id>\d+\.\d+))|"
                   r"(?P<chapter>[Cc]hapter (?P<chapter_id>\d+))\b)")
NOT_IN = (nodes.reference, nodes.title, nodes.literal, nodes.literal_block, nodes.raw, nodes.math,
          nodes.math_block)
TARGET = re.compile(r'href="(?P<href>[^"#]*#(?P<kind>eq|fig|claim|ex)-(?P<id>[\w-]+))"')
PAGE = re.compile(r'href="(?P<href>(?:[^"#]*/)?(?P<stem>[\w-]+)\.html)"')


def things():
    """{(kind, id): (chapter's stem, what a preview shows as HTML)} of the whole book."""
    found = {}
    for stem, here in shelf().items():
        found["chapter", str(here.number)] = stem, lambda here=here: (
            f"<p><b>{here.number} · {here.title}</b> {inline(here.question)}</p>")
        for id, tex in here.equations.items():
            found["eq", id] = stem, lambda tex=tex: display(tex)[0]
        for id, caption in here.figures.items():
            found["fig", id] = stem, lambda id=id, caption=caption: (
                f"<p><b>Figure {id}</b> {inline(caption)}</p>")
        for claim in here.claims:
            found["claim", claim.id.lower()] = stem, lambda claim=claim: (
                f"<p><b>Claim {claim.id}</b> {curly(claim.text)}</p>")
        for id, title in here.exercises.items():
            found["ex", id] = stem, lambda id=id, title=title: (
                f"<p><b>Exercise {id}</b> {inline(title)}</p>")
    return found


def link_mentions(doctree, page):
    """Make links, in place, of what the text names."""
    known = things()
    for text in list(doctree.findall(nodes.Text)):
        if not NAMED.search(text) or inside(text, NOT_IN):
            continue
        parts, at = [], 0
        for match in NAMED.finditer(text):
            kind = match.lastgroup.removesuffix("_id")
            if match[0][0] == "(" and not page.here:
                continue  # in a chapter an equation, in a table of proofs a number
            target = address(kind, match[f"{kind}_id"].lower(), known, page)
            if target:
                parts += [nodes.Text(text[at:match.start()]),
                          nodes.reference("", match[0], refuri=target, internal=True,
                                          classes=["ref"])]
                at = match.end()
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(text[at:])])
    for link in doctree.findall(nodes.reference):  # [4.3](04_masking.ipynb) is an exercise
        id = link.astext()
        if re.fullmatch(r"\d+\.\d+", id) and "#" not in link.get("refuri", "#"):
            target = address("ex", id, known, page)
            if target and target.partition("#")[0] in ("", link["refuri"]):
                link["refuri"] = target


def inside(node, kinds):
    """Whether a node stands in one of these."""
    while node is not None:
        if isinstance(node, kinds):
            return True
        node = node.parent
    return False


def address(kind, id, known, page):
    """The way to a thing; None if the book has none of this name."""
    if (kind, id) not in known:
        return None
    stem = known[kind, id][0]
    if kind == "chapter":
        return None if stem == page.stem else page.to(f"book/{stem}")
    place = f"#{kind}-{id.replace('.', '-')}"
    return place if stem == page.stem else page.to(f"book/{stem}") + place


def templates(body, known):
    """Previews of what a page's links to other pages lead to."""
    found = {}
    for match in TARGET.finditer(body):
        href, kind = match["href"], match["kind"]
        id = match["id"].replace("-", ".") if kind != "claim" else match["id"]
        if href[0] != "#" and (kind, id) in known and href not in found:
            found[href] = f'<template data-peek="{href}">{known[kind, id][1]()}</template>'
    chapters = {stem: shown for (kind, _), (stem, shown) in known.items() if kind == "chapter"}
    for match in PAGE.finditer(body):
        href, stem = match["href"], match["stem"]
        if stem in chapters:
            found[href] = f'<template data-peek="{href}">{chapters[stem]()}</template>'
    return "".join(found.values())


