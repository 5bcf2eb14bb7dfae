"""What is wrong on a page: each fault is told with its place and its remedy, then the build fails.

The build goes on to find the rest. A page with a fault is not kept, so that the next build tells
of it again.
"""

import re
from pathlib import Path

from sphinx.util import logging

from ..chapters import ROOT, Chapter

LINK = re.compile(r'<(?:a|img|link|script|use)\b[^>]*?\s(?:href|src)="([^"]*)"')
ID = re.compile(r'\sid="([^"]+)"')
MARKDOWN = re.compile(r"\]\(<?([^)\s>]+)")
OURS = {"guess"}  # places that a script makes

log = logging.getLogger(__name__)


def tell(app, page, words):
    """Say what is wrong on a page; the build will fail.

    Args:
        app: Sphinx.
        page: the page's name.
        words: file, cell, what is wrong, what to do.
    """
    log.error(words)
    app.statuscode = 1
    app.faulty = {*getattr(app, "faulty", ()), page}


def finish(app):
    """Take away the pages with faults."""
    for page in getattr(app, "faulty", ()):
        (Path(app.outdir) / f"{page}.html").unlink(missing_ok=True)


def links(site, names):
    """(page, what to do) for each link to a file or a place that is not there.

    Args:
        site: the folder of the finished site.
        names: its pages.
    """
    site = Path(site).resolve()
    places = {}
    for name in names:
        page = site / f"{name}.html"
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            path, _, place = target.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            file = (page.parent / path.partition("?")[0]).resolve() if path else page
            if file not in places and file.suffix == ".html" and file.exists():
                places[file] = {*OURS, *ID.findall(file.read_text(encoding="utf-8"))}
            if not file.exists() or (place and file.suffix == ".html"
                                     and place not in places[file]):
                yield name, (f"{where(name, target)}: a link leads to {target}, which is not "
                             "there: mend it, or take it out")


def where(name, target):
    """The file that a page is made of, and the cell of a notebook that the link stands in."""
    notebook = ROOT / f"{name}.ipynb"
    if not notebook.exists():
        return f"{name}.md"
    chapter = Chapter(notebook)
    file, _, place = target.partition("#")
    said = {target, place, f"#{place}", file.replace(".html", ".ipynb"),
            file.replace(".html", ".md")}
    for index, cell in enumerate(chapter.cells):
        for written in MARKDOWN.findall(cell.source):
            known = written in said or (file and place and written.endswith(f"#{place}"))
            if cell.cell_type == "markdown" and known:
                return chapter.where(index)
    return notebook.name
