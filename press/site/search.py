"""The index of the search: what the book says, in sections, and the things it names.

An entry is [title, address, where, text, rank]. Code, outputs and solutions are not in it. The
browser fetches the file when the search is opened, as a script, so that it works offline.
"""

import html
import json
import re

from docutils import nodes
from sphinx.addnodes import pending_xref

from ..chapters import HEADING
from .mathml import mathml
from .shelf import shelf

RANK = {"section": 10, "page": 40, "name": 60, "term": 80, "thing": 90}
FURNITURE = (nodes.title, nodes.raw, nodes.literal_block, nodes.image, nodes.table)
OUTSIDE = ("proofs/", "benchmarks/")  # tables for those who check the book


def gather(app, doctree):
    """Keep, with the environment, the entries of a page; nothing of the site is in them yet."""
    docname = app.env.docname
    if not hasattr(app.env, "press_entries"):
        app.env.press_entries = {}
    app.env.press_entries[docname] = list(entries(doctree, docname))


def entries(doctree, docname):
    """The entries of a page: each section, each row of the notation."""
    if docname == "book/claims":  # its claims are things
        return
    here = shelf().get(docname.rpartition("/")[2])
    page = here.title if here else doctree[0][0].astext() if doctree.children else ""
    where = f"Chapter {here.number}" if here else page
    for section in doctree.findall(nodes.section):
        title, place = section[0].astext(), section["ids"][0]
        heading = HEADING.match(f"### {title}")
        if heading:
            id = heading["id"]
            address = f"{docname}.html#ex-{id.replace('.', '-')}"
            yield [f"Exercise {id}. {heading['title']}", address, where, words(task(section)),
                   RANK["thing"]]
        elif section is doctree[0]:
            yield [page, f"{docname}.html", where if here else "", words(section.children),
                   RANK["page"]]
        else:
            rank = RANK["name"] if docname.startswith("book/reference/") else RANK["section"]
            yield [title, f"{docname}.html#{place}", where, words(section.children),
                   rank if not docname.startswith(OUTSIDE) else 0]
    if docname == "book/notation":
        yield from terms(doctree, docname)


def task(section):
    """An exercise's nodes up to its check: what stands behind would tell."""
    for node in section.children:
        if "tag_check" in node.get("classes", ()):
            return
        yield node


def terms(doctree, docname):
    """The rows of the notation: a name leads to where it is explained."""
    for section in doctree[0].children:
        for row in section.findall(nodes.row):
            cells = [cell for cell in row if isinstance(cell, nodes.entry)]
            if isinstance(row.parent, nodes.thead) or len(cells) < 2:
                continue
            name = words(cells[0].children) or words(cells[1].children)
            link = next(iter(row.findall(pending_xref)), None)
            target = f"{link['reftarget']}.html" if link else (
                f"{docname}.html#{section['ids'][0]}")
            meaning = cells[1] if link else cells[-1]
            yield [". ".join(part.strip() for part in name.split(",")), target,
                   words(cells[-1].children) if link else "Notation", words(meaning.children),
                   RANK["term"]]


def words(children):
    """The text of nodes, without code, pictures and the sections below; formulas as signs."""
    found = []
    for child in children:
        if isinstance(child, (*FURNITURE, nodes.section, nodes.container)):
            continue
        if isinstance(child, (nodes.math, nodes.math_block)):
            found.append(signs(child.astext()))
        elif isinstance(child, nodes.Text):
            found.append(str(child))
        else:
            inside = words(child.children)
            block = not isinstance(child, nodes.Inline)
            found.append(f" {inside} " if block else inside)
    return " ".join("".join(found).split())


def signs(latex):
    """A formula as a line of signs."""
    latex = re.sub(r"\\tag\{[^}]*\}|^\\\[|\\\]$", "", latex)
    try:
        return html.unescape(re.sub(r"<[^>]*>", "", mathml(latex)))
    except ValueError:  # the page itself says what is wrong
        return ""


def things():
    """The claims, equations and figures of the book."""
    for stem, here in shelf().items():
        page, where = f"book/{stem}.html", f"Chapter {here.number}"
        for claim in here.claims:
            yield [f"Claim {claim.id}", f"{page}#claim-{claim.id.lower()}", where, claim.text,
                   RANK["thing"]]
        for id, tex in here.equations.items():
            yield [f"Equation {id}", f"{page}#eq-{id.replace('.', '-')}", where, signs(tex),
                   RANK["thing"]]
        for id, caption in here.figures.items():
            yield [f"Figure {id}", f"{page}#fig-{id.replace('.', '-')}", where,
                   re.sub(r"[$\\*`]", "", caption), RANK["section"]]


def placed(entry, listed):
    """A term that leads to a page leads to its section of that name, if it has one."""
    title, target, where, text, rank = entry
    if rank == RANK["term"] and "#" not in target:
        names = "|".join(map(re.escape, title.split(". ")))
        for head, place, _, _, of in listed:
            inside = of == RANK["section"] and place.startswith(f"{target}#")
            if inside and re.search(rf"\b(?:{names})\b", head):
                return [title, place, where, text, rank]
    return entry


def index(env):
    """The file's text."""
    listed = [entry for docname in sorted(env.found_docs) for entry in
              getattr(env, "press_entries", {}).get(docname, ())]
    listed = [placed(entry, listed) for entry in listed]
    told = json.dumps([*listed, *things()], ensure_ascii=False, separators=(",", ":"))
    return f"bookIndex({told})"
