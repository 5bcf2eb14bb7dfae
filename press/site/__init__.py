"""The site: a Sphinx theme of the book's own, and what it adds to the notebooks at build time.

elements.py   HTML elements as nodes, and the small pieces that pages share
writer.py     from nodes to HTML
faults.py     what is wrong on a page, with its place and its remedy
weights.py    the bytes of each page and their limits; lighthouse.py what Lighthouse says;
              ledger.py stores both
mathml.py     formulas
highlight.py  Python in colour
figures.py    pictures; svg.py the drawn ones, in the page's letters and colours
shelf.py      what the pages know of each other
page.py       a page as the site sees it: its kind, its ways to pages, pictures, notebooks
chapter.py    the components of a chapter
links.py      what the text names is a link, and a link shows where it leads
search.py     the index of the search
special_pages.py   the opening page, the claims, the reader's predictions
card.py       the picture that a link to the book shows elsewhere
fonts.py      cuts the fonts; run by hand, its result is committed
theme/ static/
"""

import re
import shutil
from pathlib import Path
from urllib.parse import urlparse
from zlib import crc32

from docutils import nodes

import attnlib
from attnlib.play import showing

from .. import address
from ..chapters import settings, toc, toc_files
from ..without_solutions import STUDENT
from . import faults, links, search, svg, weights, writer
from .chapter import dress as dress_chapter
from .mathml import inline, together, visit_displaymath, visit_math
from .page import KINDS, Page
from .shelf import shelf
from .special_pages import claims_page, landing, predictions_page

HERE = Path(__file__).parent
PLAY = Path(attnlib.__file__).parent / "play"
UNSENT = re.compile(r"^\s*//[^\n]*\n| ?/\*.*?\*/|^\s+", re.MULTILINE | re.DOTALL)
KEPT = {"book.css", "book.js", "card.png", "mark.svg", "fonts", "play", "search.js"}  # of _static
MARK = ('<svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><path d="M5 24C5 4 27 4 27 24M5 '
        '24c0-9 10-9 11 0"/><circle cx="5" cy="25" r="3"/><circle cx="16" cy="25" r="2.2"/>'
        '<circle cx="27" cy="25" r="4"/></svg>')
PROMISE = ("An executable textbook on attention: every claim is a cell that runs, every exercise "
           "says what you did wrong.")


SEARCH = """<h1>Search</h1><p class="js-only"><button class="do" type="button" data-search>Search
the book</button></p><noscript><p>The search needs JavaScript. The contents do not; symbols and
terms are in the <a href="book/notation.html">notation</a>.</p></noscript>"""
LOST = """<h1>Not found</h1><p>There is no page at this address. Perhaps it has moved: look
for it in the contents, or search.</p>"""


def setup(app):
    """Connect press to Sphinx."""
    app.add_html_theme("press", str(HERE / "theme"))
    app.add_html_math_renderer("press", inline_renderers=(visit_math, None),
                               block_renderers=(visit_displaymath, None))
    writer.connect(app)
    app.connect("config-inited", own_house)
    app.connect("doctree-read", anchor)
    app.connect("doctree-read", search.gather)
    app.connect("builder-inited", own_search)
    app.connect("html-collect-pages", more_pages)
    app.connect("env-updated", gathered)
    app.connect("doctree-resolved", dress, priority=900)
    app.connect("html-page-context", furnish, priority=900)
    app.connect("build-finished", finish)
    return {"env_version": crc32(b"".join(path.read_bytes() for path in sorted(HERE.glob("*.py")))),
            "parallel_read_safe": False, "parallel_write_safe": True}


def own_house(app, config):
    """The book's own theme, and mathematics that is finished when the page is."""
    config.html_theme = "press"
    config.html_math_renderer = "press"
    config.html_static_path = [str(HERE / "static")]
    config.html_use_index = config.html_domain_indices = False


def own_search(app):
    """The book's own search instead of Sphinx's."""
    app.builder.search = False


def more_pages(app):
    """The pages that no file stands behind: the front, the search without a script, the lost."""
    yield "index", {"body": ""}, "front.html"
    yield "search", {"title": "Search", "body": SEARCH}, "layout.html"
    yield "404", {"title": "Not found", "body": LOST}, "layout.html"


def anchor(app, doctree):
    """Anchors for the verdicts, so that Markdown can link to them."""
    for cell in doctree.findall(nodes.container):
        if "tag_claim" in cell["classes"]:
            for id in re.findall(r"^Claim ([A-Z]\d+[a-z]?) ·", cell.astext(), re.MULTILINE):
                name = f"claim-{id.lower()}"
                slugs = app.env.metadata[app.env.docname].setdefault("myst_slugs", {})
                slugs[name] = (None, name, f"Claim {id}")


def gathered(app, env):
    """The pages made of all chapters: written anew whatever has changed."""
    return [name for name in KINDS if name in env.found_docs]


def dress(app, doctree, docname):
    """From plain nodes to the book's components."""
    if app.builder.format != "html":
        return
    for node in list(doctree.findall(nodes.raw)):
        if re.search("thebe-config|kernelName", node.astext()):
            node.parent.remove(node)  # of the stock theme's live code
    page = Page(app, docname)
    if page.here:
        dress_chapter(doctree, page.here, page)
    elif page.kind == "landing":
        landing(doctree, page)
    elif page.kind == "claims":
        claims_page(doctree, page)
    elif page.kind == "predictions":
        predictions_page(doctree, page)
    if page.kind in ("chapter", "plain"):
        links.link_mentions(doctree, page)


def early(page):
    """The fonts of a page's beginning: coming late, they move what stands below."""
    question = page.here.question if page.here else ""
    return ["text", *["text-italic"] * bool(question), *["math"] * ("$" in question)]


def furnish(app, pagename, templatename, context, doctree):
    """Gives the page frame what it shows."""
    front = pagename == "index"
    page = Page(app, app.config.root_doc if front else pagename)

    def entry(name):
        known = shelf().get(Path(name).name)
        title = known.title if known else app.env.titles[name].astext()
        return dict(url=page.to(name), number=known and known.number, title=title,
                    current=name == pagename,
                    question=known and together(inline(known.question)))

    parts = [dict(caption=part.get("caption", ""), numbered=bool(part.get("numbered")),
                  pages=[dict(entry(one["file"]),
                              pages=[entry(below["file"]) for below in one.get("sections", ())],
                              open=pagename in (one["file"], *(
                                  below["file"] for below in one.get("sections", ()))))
                         for one in part["chapters"]]) for part in toc().get("parts", ())]
    chapters = [f"book/{stem}" for stem in shelf()]
    at = chapters.index(pagename) if page.here else None
    title = page.here.title if page.here else plain(context.get("title") or app.config.html_title)
    description = (re.sub(r"[$\\]", "", page.here.question) + f" Chapter {page.here.number} of an "
                   "executable textbook on attention." if page.here else
                   PROMISE if page.kind in ("landing", "claims") else f"{title}. {PROMISE}")
    if page.kind in ("chapter", "plain"):
        context["body"] += links.templates(context.get("body", ""), links.things())
    context["body"] = together(context.get("body", ""))
    context["book"] = dict(
        kind=page.kind, heading=title, description=description, parts=parts,
        sections=sections(doctree) if doctree and page.kind in ("chapter", "plain") else [],
        run=page.run, repository=page.repository, issues=page.issues, mark=MARK,
        early=early(page),
        name=settings()["title"], author=settings()["author"],
        home=address.site(), page=f"{page.docname}.html", lost=pagename == "404",
        base=f"{urlparse(address.site() or '').path}/",
        prev=entry(chapters[at - 1]) if at else None,
        next=entry(chapters[at + 1]) if at is not None and at + 1 < len(chapters) else None)


def sections(doctree):
    """The sections right below the page's title."""
    return [dict(id=section["ids"][0], title=section[0].astext())
            for section in doctree[0].children if isinstance(section, nodes.section)]


def plain(title):
    """A title without markup and number."""
    return re.sub(r"^\d+\. ", "", re.sub(r"<[^>]+>", "", title))


def finish(app, exception):
    """Put the student notebooks beside the pages; take out what no page needs."""
    if exception or app.builder.format != "html":
        return
    out = Path(app.outdir)
    downloads = out / "_downloads"
    downloads.mkdir(exist_ok=True)
    for notebook in STUDENT.glob("*.ipynb"):
        shutil.copy(notebook, downloads)
    (out / "_static" / "search.js").write_text(search.index(app.env), encoding="utf-8")
    tell_robots(out)
    (out / "_static" / "play").mkdir(exist_ok=True)
    sent = {name: (HERE / "static" / name).read_text(encoding="utf-8")
            for name in ("book.css", "book.js")}
    sent |= {f"play/{path.name}": showing.own(path.stem) for path in PLAY.glob("*.js")
             if path.name not in showing.SHARED} | {"play/play.js": showing.shared()}
    sent["book.css"] += svg.rules()
    for name, text in sent.items():
        (out / "_static" / name).write_text(UNSENT.sub("", text), encoding="utf-8")
    for path in (out / "_images").glob("*.png"):
        path.unlink()  # the pages show what figures.py made of it
    for path in (out / "_static").iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    names = [name for name in toc_files() if (out / f"{name}.html").exists()]
    for name, fault in [*faults.links(out, names), *weights.faults(out, names)]:
        faults.tell(app, name, fault)
    faults.finish(app)


def tell_robots(out):
    """What search engines read; nothing, where the site does not know its address."""
    home = address.site()
    if home is None:
        return
    pages = "".join(f"<url><loc>{home}/{name}.html</loc></url>" for name in toc_files())
    (out / "sitemap.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/'
        f'sitemap/0.9">{pages}</urlset>\n', encoding="utf-8")
    (out / "robots.txt").write_text(f"User-agent: *\nAllow: /\nSitemap: {home}/sitemap.xml\n",
                                    encoding="utf-8")
