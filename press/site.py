"""The Sphinx extension: what the site adds to the notebooks at build time.

The notebook stays as it is; the box around an exercise, the collapsed hints and solutions, the
addresses of the buttons and the mathematics from the site's own folder are made here.
"""

import importlib.util
import re
import shutil
from pathlib import Path

from docutils import nodes

from .chapters import HEADING, ROOT, settings
from .editions import STUDENT

STATIC = Path(__file__).parent / "static"
MATHJAX = "mathjax/tex-chtml.js"
MATHJAX_PARTS = ("tex-chtml.js", "output/chtml/fonts", "a11y", "sre", "input/tex/extensions")
# What the theme puts on each page and no page needs: icons drawn by a script (the style sheet
# has them as a font) and Thebe, which the book does not use.
UNUSED = re.compile(
    r"""<script[^>]*fontawesome\.js[^>]*></script>\s*
      | <link[^>]*sphinx-thebe\.css[^>]*/>\s*
      | <script[^>]*sphinx-thebe\.js[^>]*></script>\s*
      | <script>const\ THEBE_JS_URL[^<]*</script>\s*
      | <script\ type="text/x-thebe-config">[^<]*</script>\s*
      | <script>kernelName\ =[^<]*</script>\s*""", re.VERBOSE)


def setup(app):
    """Connect press to Sphinx."""
    app.config.mathjax_path = MATHJAX
    app.connect("config-inited", own_style)
    app.add_css_file("book.css")
    app.connect("doctree-read", dress)
    app.connect("html-page-context", point_buttons, priority=900)
    app.connect("build-finished", finish)
    return {"env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}


def own_style(app, config):
    """The site's own style sheet, and one search field instead of two."""
    config.html_static_path.append(str(STATIC))
    config.html_theme_options["navbar_persistent"] = []


def dress(app, doctree):
    """Exercise boxes, anchors for claims, numbered equations."""
    for section in list(doctree.findall(nodes.section)):
        heading = HEADING.match("### " + section[0].astext())
        if heading:
            box(section, heading)
    for cell in doctree.findall(lambda node: "tag_claim" in node.get("classes", ())
                                if isinstance(node, nodes.Element) else False):
        claim = re.search(r"^Claim ([A-Z]\d+[a-z]?) ·", cell.astext(), re.MULTILINE)
        if claim:
            anchor = f"claim-{claim[1].lower()}"
            cell["ids"].append(anchor)
            slugs = app.env.metadata[app.env.docname].setdefault("myst_slugs", {})
            slugs[anchor] = (None, anchor, claim[0])
    for equation in doctree.findall(nodes.math_block):
        if r"\tag" in equation.astext():  # Sphinx would wrap it in `split`, which refuses a tag
            equation["nowrap"] = True
            equation[:] = [nodes.Text(rf"\[{equation.astext()}\]")]


def box(section, heading):
    """Make an exercise's section a box whose hints and solution are collapsed."""
    from attnlib.exercises import get

    id, stars = heading["id"], len(heading["stars"])
    exercise = get(id)
    section["classes"].append("exercise")
    check = next(i for i, node in enumerate(section) if "tag_check" in node.get("classes", ()))
    solution = section[check + 1:]
    del section[check + 1:]
    level = ("easy", "medium", "hard")[stars - 1]
    about = (f"{level} · about {exercise.minutes} minutes · "
             f"{exercise.points} point{'s' * (exercise.points != 1)}")
    section.insert(1, nodes.paragraph("", about, classes=["exercise-about"]))
    for number, hint in enumerate(exercise.hints, 1):
        words = [nodes.literal(text=part) if i % 2 else nodes.Text(part)
                 for i, part in enumerate(hint.split("`"))]
        section += collapsed(f"Hint {number} for exercise {id}", [nodes.paragraph("", "", *words)])
    if solution:  # an edition without solutions has none
        section += collapsed(f"Show the solution of exercise {id}", solution)


def collapsed(label, children):
    """Nodes that show only a label until the reader opens it."""
    return [nodes.raw("", f'<details class="answer"><summary>{label}</summary>', format="html"),
            *children, nodes.raw("", "</details>", format="html")]


def point_buttons(app, pagename, templatename, context, doctree):
    """Launch and download buttons give the student notebook; other pages have neither."""
    stem = Path(pagename).name
    has_student = (STUDENT / f"{stem}.ipynb").exists()
    buttons = []
    for button in context.get("header_buttons", []):
        label = button.get("label")
        if label == "launch-buttons":
            if not has_student:
                continue
            for launch in button["buttons"]:
                launch["url"] = launch["url"].replace(f"{pagename}.ipynb", f"student/{stem}.ipynb")
        if label == "download-buttons":
            for download in button["buttons"]:
                if download["label"] == "download-source-button":
                    root = context["pathto"]("", 1).rstrip("/")
                    download.update(url=f"{root}/_downloads/{stem}.ipynb",
                                    tooltip="Download the notebook, without solutions")
            if not has_student:
                button["buttons"] = [b for b in button["buttons"]
                                     if b["label"] != "download-source-button"]
        buttons.append(button)
    context["header_buttons"] = buttons


def finish(app, exception):
    """Put the student notebooks and MathJax beside the pages; take out what no page needs."""
    if exception or app.builder.format != "html":
        return
    out = Path(app.outdir)
    downloads = out / "_downloads"
    downloads.mkdir(exist_ok=True)
    for notebook in STUDENT.glob("*.ipynb"):
        shutil.copy(notebook, downloads)
    package = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent
    for part in MATHJAX_PARTS:
        source, target = package / "static" / "mathjax" / part, out / "_static" / "mathjax" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)
    for page in out.rglob("*.html"):
        words = page.read_text(encoding="utf-8")
        page.write_text(UNUSED.sub("", words), encoding="utf-8")
