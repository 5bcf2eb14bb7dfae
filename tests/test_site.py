"""The site, built strictly: what stands in its pages, and what they do in a browser.

Every page at every width and scheme is `make test-site` (tests/whole_site.py).
"""

import base64
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import numpy as np
import pytest
from browsing import PATIENCE, axe_faults, opened
from bs4 import BeautifulSoup
from docutils.nodes import make_id
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from playwright.sync_api import expect

from press import address as home
from press import reference
from press.chapters import ROOT, chapter_paths, tags, toc_files
from press.site import fonts, ledger, svg, weights
from press.site.elements import ICONS, folded_code
from press.site.highlight import plain, python
from press.site.mathml import display, mathml
from press.site.page import Page
from press.site.shelf import shelf
from press.site.writer import below

PAGES = toc_files()
CHAPTERS = [f"book/{path.stem}" for path in chapter_paths()]
expect.set_options(timeout=PATIENCE)
EVERY_CHAPTER = pytest.mark.parametrize("name", CHAPTERS)


@pytest.fixture(scope="module")
def read(site):
    """read(name) -> the page, parsed."""
    pages = {}

    def read_(name):
        if name not in pages:
            text = (site / f"{name}.html").read_text(encoding="utf-8")
            pages[name] = BeautifulSoup(text, "html.parser")
        return pages[name]
    return read_


# The build


def bare(folder, url=None):
    """A book in a folder, but for its pages `book/page` and `book/01_tiny`; `url` is its own."""
    (folder / "book").mkdir()
    (folder / "proofs").mkdir()
    shutil.copytree(ROOT / "press", folder / "press",
                    ignore=shutil.ignore_patterns("__pycache__"))
    config = (ROOT / "_config.yml").read_text(encoding="utf-8")
    own = home.settings()["repository"]["url"]
    (folder / "_config.yml").write_text(config.replace(own, url or own), encoding="utf-8")
    (folder / "proofs" / "unsettled.txt").write_text("")
    (folder / "book" / "claims.yml").write_text("[]")
    (folder / "_toc.yml").write_text("format: jb-book\nroot: book/page\nparts:\n- caption: All\n"
                                     "  chapters:\n  - file: book/01_tiny\n")
    return folder


def jupyter_book(book):
    """Build a book that stands in a folder of its own; the finished process."""
    command = [Path(sys.executable).with_name("jupyter-book"), "build", str(book), "--quiet"]
    return subprocess.run(command, capture_output=True, text=True, cwd=book)


def faulty(folder):
    """A book of two pages and each kind of fault, ready to be built."""
    cell, text, out = (nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell,
                       nbformat.v4.new_output)
    picture = {"image/png": base64.b64encode(
        (ROOT / "press" / "site" / "static" / "card.png").read_bytes()).decode()}
    said = {"mystnb": {"image": {"alt": "Noise. It says nothing at all to anybody."}}}
    rng = np.random.default_rng(0)
    drawings = [{"image/svg+xml": f'<svg xmlns="{svg.SVG[1:-1]}" viewBox="0 0 9 9"><text>'
                 f"{rng.bytes(27_000).hex()}</text></svg>", **picture} for _ in range(3)]
    notebook = nbformat.v4.new_notebook(cells=[
        text("# Tiny\n\n**The question of this chapter: what fails?**\n\n> **Claim Z8.** None.\n"),
        cell("draw()", execution_count=1, outputs=[out("display_data", picture)],
             metadata={"tags": ["figure"]}),
        text("It is $\\nosuchcommand$.\n\n$$\\frac{a}$$\n"),
        cell("measure()", execution_count=2, metadata={"tags": ["claim"]}, outputs=[
            out("stream", name="stdout", text="Claim Z9 · holds · it is so\n")]),
        text("[No page](no_such_page.md), [no place](page.md#nothing), [neither](#here).\n"),
        *(cell("heavy()", execution_count=3, outputs=[out("display_data", drawing)],
               metadata={"tags": ["figure"], **said}) for drawing in drawings),
        text("> **Predict.** Which?\n>\n> - $\\frac{a}{b}$\n> - none\n"),
        cell("print(1)", execution_count=1, outputs=[out("stream", text="1\n")])])
    bare(folder)
    nbformat.write(notebook, folder / "book" / "01_tiny.ipynb")
    (folder / "book" / "page.md").write_text("# Title\n\n[Nowhere](no_such_page.md), $a_{b$.\n")
    return folder


TOLD = [r"01_tiny.ipynb, cell 2 \('draw\(\)'\): a figure needs alt text .*: put it in",
        r"01_tiny.ipynb, cell 3: the formula .*nosuchcommand.*: write it",
        r"01_tiny.ipynb, cell 3: the formula .*frac.*: mend it",
        r"01_tiny.ipynb, cell 4 \('measure\(\)'\): claim Z9 has no statement: add it to book",
        r"01_tiny.ipynb, cell 1 .*: claim Z8 has no statement: add it to book/claims.yml",
        r"01_tiny.ipynb, cell 5 .*: a link leads to .*no_such_page.md, which is not there: mend it",
        r"01_tiny.ipynb, cell 5 .*: a link leads to page.html#nothing, which is not there: mend it",
        r"01_tiny.ipynb, cell 5 .*: a link leads to #here, which is not there: mend it",
        r"01_tiny.ipynb, cell 9 .*: the formula .*frac.* of a choice is kept as text.*: write it",
        r"book/page.md: a link leads to .*no_such_page.md, which is not there: mend it",
        r"page.md: the formula .*: mend it",
        r"book/01_tiny: [\d,]+ bytes as the next page, more than 75,000: its heaviest figure is "
        r"fig-1-\d .*: draw it with fewer",
        "book/01_tiny: fig-1-1 has [\\d,]+ bytes before it is packed, more than 30,000: draw it"]


def test_each_fault_is_told_with_file_cell_and_remedy_and_fails_the_build(tmp_path):
    book = faulty(tmp_path)
    for _ in range(2):  # and again, though nothing has changed
        run = jupyter_book(book)
        said = run.stdout + run.stderr
        assert run.returncode != 0
        assert [line for line in TOLD if not re.search(line, said)] == [], said
    assert not (book / "_build" / "html" / "book" / "01_tiny.html").exists()


def test_no_page_links_to_a_file_or_a_place_that_is_not_there(site, read):
    broken = []
    ids = {}
    names = [str(path.relative_to(site).with_suffix("")) for path in site.rglob("*.html")]
    assert len(names) > len(PAGES)
    for name in names:
        ids[name] = {element["id"] for element in read(name).find_all(id=True)}
    for name in names:
        page = site / f"{name}.html"
        page_read = read(name)
        for element in (*page_read.find_all(href=True), *page_read.find_all(src=True)):
            target = element.get("href") or element.get("src") or ""
            path, _, place = target.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            file = (page.parent / path.partition("?")[0]).resolve() if path else page
            if not file.exists():
                broken.append(f"{name} -> {target}")
            elif place and file.suffix == ".html":
                other = str(file.relative_to(site.resolve()).with_suffix("")) if path else name
                if place not in ids.get(other, ()) and place != "guess":
                    broken.append(f"{name} -> {target}: no such place")
    assert not broken


def meta(page):
    """{what is told of a page: the words}, of its `<meta>` elements."""
    named = [(one.get("name") or one.get("property"), one["content"])
             for one in page.select("meta[content]:is([name], [property])")
             if one.get("name") != "theme-color"]
    assert len(named) == len(dict(named)), "said twice"
    return dict(named)


EXTRA = ["index", "404", "search"]  # no file of the book stands behind these


@pytest.mark.parametrize("name", [*PAGES, *EXTRA])
def test_a_page_tells_what_it_is(read, site, name):
    page, said = read(name), meta(read(name))
    assert [len(page.select(tag)) for tag in ("h1", "title")] == [1, 1]
    assert said["viewport"] == "width=device-width, initial-scale=1"
    assert said["og:title"] and page.title.get_text().startswith(said["og:title"])
    assert 50 < len(said["description"]) < 250 and said["description"] == said["og:description"]
    assert (said["twitter:card"], said["og:type"]) == (
        "summary_large_image", "book" if name in (PAGES[0], "index") else "article")
    (icon,) = page.select("link[rel=icon]")
    mark = (site / name).parent / icon["href"]
    assert mark.read_text(encoding="utf-8").startswith("<svg") and icon["type"] == "image/svg+xml"
    assert said.get("robots") == ("noindex" if name == "404" else None)


def test_no_two_pages_tell_the_same(read):
    told = [(meta(read(name))["og:title"], meta(read(name))["description"]) for name in PAGES]
    assert len(set(told)) == len(PAGES)


@pytest.fixture(scope="module")
def addressed(tmp_path_factory):
    """A book of three pages that knows its address, built."""
    book = bare(tmp_path_factory.mktemp("addressed"), "https://github.com/Us/book")
    (book / "book" / "page.md").write_text("# Title\n\nA page.\n")
    (book / "book" / "claims.md").write_text("# Claims\n\nWhat is said. And what came out.\n")
    with open(book / "_toc.yml", "a") as toc:
        toc.write("  - file: book/claims\n")
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(
        "# Tiny\n\n**The question of this chapter: is $d_k$ told?**\n")]),
        book / "book" / "01_tiny.ipynb")
    run = jupyter_book(book)
    assert run.returncode == 0, run.stdout + run.stderr
    return book / "_build" / "html"


SITE = "https://us.github.io/book"


@pytest.mark.parametrize("name, own", [("book/page", "book/page"), ("book/01_tiny", "book/01_tiny"),
                                       ("index", "book/page")])
def test_a_page_of_a_book_with_an_address_has_a_canonical_one_and_a_card(addressed, name, own):
    page = BeautifulSoup((addressed / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
    said = meta(page)
    (canonical,) = page.select("link[rel=canonical]")
    assert canonical["href"] == said["og:url"] == f"{SITE}/{own}.html"
    assert (addressed / f"{own}.html").exists()
    card = addressed / said["og:image"].removeprefix(f"{SITE}/")
    with Image.open(card) as picture:
        assert (picture.format, picture.size) == ("PNG", (1200, 630))
    assert card.stat().st_size < 300_000 and len(said["og:image:alt"].split()) > 5
    if name == "book/01_tiny":
        assert said["description"].startswith("Is d_k told? Chapter 1 of ")


def test_robots_find_every_page_and_leave_out_what_is_not_found(addressed):
    robots = (addressed / "robots.txt").read_text(encoding="utf-8").splitlines()
    assert robots == ["User-agent: *", "Allow: /", f"Sitemap: {SITE}/sitemap.xml"]
    tree = ElementTree.parse(addressed / "sitemap.xml").getroot()
    found = [place.text for place in tree.iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")]
    assert found == [f"{SITE}/book/{name}.html" for name in ("page", "01_tiny", "claims")]
    assert all((addressed / place.removeprefix(f"{SITE}/")).exists() for place in found)
    lost = BeautifulSoup((addressed / "404.html").read_text(encoding="utf-8"), "html.parser")
    assert meta(lost)["robots"] == "noindex" and not lost.select("[rel=canonical]")
    assert lost.base["href"] == "/book/"  # it is shown at any depth
    assert lost.select('a[href="book/page.html"]') and lost.h1.get_text() == "Not found"


@pytest.mark.skipif(home.repository() is not None, reason="this copy has an address")
def test_without_an_address_nothing_is_told_of_one(site, read):
    assert not [name for name in ("sitemap.xml", "robots.txt") if (site / name).exists()]
    for name in [*PAGES, *EXTRA]:
        assert not read(name).select("[rel=canonical], base") and "og:url" not in meta(read(name))


def test_the_front_leads_to_the_opening_page(read):
    page = read("index")
    assert page.a["href"] == f"{PAGES[0]}.html"
    assert page.select_one("meta[http-equiv=refresh]")["content"] == f"0; url={PAGES[0]}.html"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_one_page(read, name):
    page = read(name)
    ids = [element["id"] for element in page.find_all(id=True)]
    assert len(ids) == len(set(ids)), sorted({id for id in ids if ids.count(id) > 1})
    assert not page.select("img:not([alt]), img[alt='']")
    assert "merror" not in str(page)
    raw = [text for text in page.select_one("main").find_all(string=re.compile(r"\]\(|\*\*|^#+ "))
           if not text.find_parent(["code", "samp", "script"])]
    assert not raw, "Markdown that was not read"
    hosts = [element for element in page.select("[src], link[href]")
             if "://" in (element.get("src") or element["href"])
             and "canonical" not in (element.get("rel") or ())]
    assert not hosts


# Formulas


@EVERY_CHAPTER
def test_every_formula_is_mathematics(read, name):
    page = read(name)
    here = shelf()[name.rpartition("/")[2]]
    numbered = {number.get_text().strip("()") for number in page.select(".eq .eqno")}
    assert numbered == set(here.equations)
    source = "".join(cell.source for cell in here.chapter.cells if cell.cell_type == "markdown")
    assert len(page.select("math")) >= source.count("$") // 4 > 0
    for math in page.select("math"):
        assert "\\" not in math.get_text(), math.get_text()
        touching = re.match("[,.;:!?)]", str(math.next_sibling))
        assert not touching or math.find_parent(class_="nb"), "a line may end before the mark"
    for text in page.select_one("main").find_all(string=re.compile(r"\$|\\[a-z]+")):
        assert text.find_parent(["code", "samp", "script"]), text


@pytest.mark.parametrize("latex", [r"a_{b", r"\nosuchcommand x", r"\frac{a}"])
def test_a_formula_that_cannot_be_converted_is_named(latex):
    with pytest.raises(ValueError, match="(?s)the formula .*: (mend|write) it"):
        mathml(latex)


@pytest.mark.parametrize("latex, drawn", [
    ("j'", "<mrow><mi>j</mi><mi>′</mi></mrow>"),  # not a power: the sign itself stands high
    (r"\text{base}'", "<mrow><mtext>base</mtext><mi>′</mi></mrow>"),
    (r"\sqrt n", '<msqrt><mpadded height=".7em"><mi>n</mi></mpadded></msqrt>'),
    ("|x|", '<mo form="prefix" stretchy="false">|</mo><mi>x</mi>'
            '<mo form="postfix" stretchy="false">|</mo>'),
    (r"\|x\|", '<mo form="prefix" stretchy="false">‖</mo><mi>x</mi>'
               '<mo form="postfix" stretchy="false">‖</mo>'),
])
def test_primes_roots_and_bars_are_drawn_as_in_print(latex, drawn):
    assert mathml(latex) == f"<math>{drawn}</math>"


def test_a_number_stands_outside_its_formula():
    body, number = display(r"a = b \tag{3.2}")
    assert number == "3.2" and "3.2" not in body and 'display="block"' in body


# Signs

# Drawn by the reader's own fonts: no cut of ours has them.
BORROWED = {"text": "ćčŁ†√≤≥", "text-bold": "ćč✓○✗", "text-italic": "→", "mono": "√␣★○"}


def face(text):
    """The font that draws a text of a page."""
    if text.find_parent("math"):
        return "math"
    if text.find_parent(["code", "samp", "pre"]) or text.find_parent(class_="label"):
        return "mono"
    if text.find_parent(["em", "i"]):
        return "text-italic"
    return "text-bold" if text.find_parent(["strong", "b", "h3"]) else "text"


@pytest.mark.parametrize("name", PAGES)
def test_every_sign_is_in_the_fonts(read, name):
    have = json.loads(fonts.SIGNS.read_text(encoding="utf-8"))
    missing = {}
    for text in read(name).select_one("main").find_all(string=True):
        if text.find_parent(["script", "noscript", "template"]) or text.find_parent(class_="play"):
            continue
        font = face(text)
        bare = text.parent.name == "mi" and not text.parent.attrs
        drawn = fonts.ITALIC.get(text, text) if bare else text
        for sign in set(drawn) - set(have[font] + BORROWED.get(font, "") + "\n\t\u200b"):
            missing.setdefault(font, set()).add(sign)
    assert not missing, f"{name} brings signs that no font has: cut them anew (press/site/fonts.py)"


def test_the_fonts_have_their_licences():
    licences = [path.read_text(encoding="utf-8") for path in fonts.OUT.glob("LICENSE-*.txt")]
    assert len(licences) == 3 and all("SIL OPEN FONT LICENSE" in text for text in licences)


# The components of a chapter


@EVERY_CHAPTER
def test_a_chapter_opens_with_its_question(read, name):
    page, here = read(name), shelf()[name.rpartition("/")[2]]
    opening = page.select_one("header.opening")
    assert opening.h1.get_text() == here.title
    assert opening.select_one(".question").get_text()
    facts = opening.select_one(".facts").get_text()
    assert f"{here.minutes} minutes" in facts and f"{len(here.exercises)} exercises" in facts
    assert page.main.get_text().count("The question of this chapter") == 0


@EVERY_CHAPTER
def test_tags_alone_decide_what_is_folded(read, name):
    page, chapter = read(name), shelf()[name.rpartition("/")[2]].chapter
    shown = [pre.get_text() for pre in page.select("main pre.src")
             if not pre.find_parent("details", class_="fold")]
    for cell in chapter.cells:
        if cell.cell_type != "code" or {"check", "solution"} & set(tags(cell)):
            continue
        first = cell.source.strip().splitlines()[0]
        folded = {"lab", "figure", "claim", "play"} & set(tags(cell))
        if not folded:
            assert any(first in text for text in shown), first


@EVERY_CHAPTER
def test_a_figure_has_number_caption_words_and_code(read, name):
    page, here = read(name), shelf()[name.rpartition("/")[2]]
    figures = page.select("figure")
    assert [figure["id"] for figure in figures] == [
        f"fig-{number.replace('.', '-')}" for number in here.figures]
    for figure in figures:
        assert figure.select_one("figcaption p b").get_text().startswith("Figure ")
        assert len(figure.figcaption.p.get_text().split()) > 4
        picture = figure.select_one("img, svg[role=img]")
        assert len((picture.get("alt") or picture.get("aria-label")).split()) > 5


@EVERY_CHAPTER
def test_a_note_in_the_margin_names_the_paper_of_its_authors(read, name):
    references = (ROOT / "book" / "references.md").read_text(encoding="utf-8")
    entries = re.findall(r"^- \*\*([\w-]+).*?\]\((\S+)\)", references, re.MULTILINE | re.DOTALL)
    authors = {address: author for author, address in entries}
    for note in read(name).select("aside.note"):
        assert note.get_text().startswith(f"{authors[note.a['href']]} and others, ")


@EVERY_CHAPTER
def test_words_about_a_figure_hold_in_the_dark_too(name):
    for cell in shelf()[name.rpartition("/")[2]].chapter.cells:
        about = cell.metadata.get("mystnb", {})
        words = f"{about.get('figure', {}).get('caption')} {about.get('image', {}).get('alt')}"
        turned = re.findall(r"(?i)\b(?:black|bright|dark|light|pale|white)(?:er|est)?\b", words)
        assert not turned, "the dark scheme turns it over"


@EVERY_CHAPTER
def test_a_prediction_hides_what_tells(read, name):
    page, here = read(name), shelf()[name.rpartition("/")[2]]
    boxes = page.select("section.predict")
    assert len(boxes) == len(here.predictions)
    stores = [form["data-store"] for form in page.select("form.guess")]
    assert stores == [f"{here.stem}/{key}" for key in here.predictions]
    for form in page.select("form.guess"):
        for choice in form.select("input[type=radio]"):  # as it is kept, and as it is read out
            assert choice["value"] and not set(choice["value"]) & set("\\${}")
            assert choice.get("aria-label", choice.parent.get_text()) == choice["value"]
        reveal = page.find(id=form["data-opens"])
        assert reveal.name == "details" and not reveal.has_attr("open")
        assert reveal.select("pre.out, figure, .said, section.claim, table")
        box = form.find_parent("section", class_="predict")
        between = box.find_next_sibling()
        while between is not reveal:  # what is not hidden is code alone
            assert "cell" in between["class"] and not between.select("pre.out, figure, .said")
            between = between.find_next_sibling()


@EVERY_CHAPTER
def test_a_claim_has_its_card_with_mark_and_word(read, name):
    page, here = read(name), shelf()[name.rpartition("/")[2]]
    cards = page.select("section.claim:not(.trial)")
    claims = {f"claim-{claim.id.lower()}": claim for claim in here.claims}
    assert sorted(card["id"] for card in cards) == sorted(claims)
    for card in cards:
        claim = claims[card["id"]]
        assert claim.verdict.kind in card["class"]
        assert card.select_one(".verdict strong").get_text() == claim.verdict.words
        assert card.select_one(".verdict svg") and card.select_one("details pre.src")


@EVERY_CHAPTER
def test_an_exercise_is_a_box_with_an_address_and_its_answers_closed(read, name):
    page, here = read(name), shelf()[name.rpartition("/")[2]]
    boxes = page.select("section.exercise")
    assert [box["id"] for box in boxes] == [f"ex-{id.replace('.', '-')}" for id in here.exercises]
    for box, id in zip(boxes, here.exercises):
        assert box.select_one(f'.label a[href="#{box["id"]}"]').get_text() == f"Exercise {id}"
        assert f'check("{id}"' in box.select_one(".stub pre").get_text()
        assert "not attempted" not in box.get_text()
        assert box.select("details.hint") and len(box.select("details.solution")) == 1
        assert not box.select("details[open]")
        assert box.select_one(".stars")["aria-label"]


@EVERY_CHAPTER
def test_run_gives_the_student_notebook(read, site, name):
    stem = name.rpartition("/")[2]
    links = [a["href"] for a in read(name).select(".menu.run a")]
    assert any(link.endswith(f"_downloads/{stem}.ipynb") for link in links)
    given = (site / "_downloads" / f"{stem}.ipynb").read_bytes()
    assert given == (ROOT / "student" / f"{stem}.ipynb").read_bytes()


def test_the_claims_page_lists_every_claim_with_its_cell(read):
    page = read("book/claims")
    claims = [claim for here in shelf().values() for claim in here.claims]
    items = page.select("li.claim")
    assert [item["id"] for item in items] == [claim.id.lower() for claim in claims]
    assert len(page.select(".filter input[type=radio]")) == 1 + len(ICONS)


def test_the_page_of_predictions_knows_every_one(read):
    known = json.loads(read("book/predictions").select_one("#asked").get_text())
    assert [(entry["stem"], entry["predictions"]) for entry in known] == [
        (here.stem, here.predictions) for here in shelf().values()]
    every = [f"{here.stem}/{key}" for here in shelf().values() for key in here.predictions]
    assert len(every) == len(set(every)) > 90


@pytest.mark.parametrize("module", reference.MODULES)
def test_every_public_name_of_attnlib_has_its_place(read, module):
    page = read(f"book/reference/{module}")
    for name in reference.names(module):
        place = page.find(id=make_id(name.path))
        assert place is not None and place.select_one("pre.src"), name.path


def test_what_a_session_printed_is_not_read_as_code():
    assert python(">>> f(3)\nwith 3 or 4") == "&gt;&gt;&gt; f(<m->3</m->)\nwith 3 or 4"
    assert python("with x: 3") == "<k->with</k-> x: <m->3</m->"


def test_a_long_line_ends_at_no_sign_and_in_no_option():
    long = "scores = scores.masked_fill(~real, -torch.inf) - x"
    whole = f"<l->{long.replace('-t', '<span class=nb>-t</span>')}\n</l->"
    assert python(long).replace("<wbr>", "") == whole
    long = "    run --not-handed-in blank " + "x" * 40
    nb = "<span class=nb>--not-handed-in</span>"
    assert plain(long) == f"<l- style=--i:4>{long.replace('--not-handed-in', nb)}\n</l->"


def test_a_long_name_breaks_at_its_joints_alone():
    long = "least = attnlib.effective_keys(weights[0]).mean() + 1.5"
    broken = "attnlib<wbr>.effective_keys(<wbr>weights[<wbr>0])<wbr>.mean() + 1.5"
    assert re.sub("</?m->", "", python(long)) == f"<l->least = {broken}\n</l->"
    short = "y = a.b(c) + a.b(c) + a.b(c) + a.b(c) + a.b(c)"
    assert "<wbr>" not in python(short)


def test_a_question_loads_its_letters_early(read):
    found = 0
    for name in PAGES:
        early = {Path(link["href"]).stem for link in read(name).select("link[rel=preload]")}
        question = read(name).select_one("[data-page=chapter] header.opening .question")
        formula = bool(question and question.select("math"))
        assert early == {"text", *["text-italic"] * bool(question), *["math"] * formula}, name
        found += formula
    assert found


def test_a_chapter_of_another_book_is_no_link(read):
    page = read("book/reference/attention")
    assert "2016, chapter\u00a06" in page.main.get_text() and not page.select("main a.ref")
    assert read("book/reference/play").select('main a.ref[href="../06_multihead.html"]')


def test_a_cell_of_a_table_has_a_name_above_or_before_it(read):
    found = 0
    for name in PAGES:
        for table in read(name).select("main .scroll > table"):
            above = [cell.name == "th" for cell in table.select("thead tr > *")]
            for row in table.select("tbody tr"):
                before = row.select_one("th[scope=row]")
                found += before is not None
                for cell, headed in zip(row.select("td"), above[len(above) - len(row("td")):]):
                    assert headed or before or not cell.get_text(), (name, cell)
    assert found > 100


def test_the_contents_tell_where_a_page_of_the_reference_stands(read):
    for name in (f"book/reference/{next(iter(reference.MODULES))}", "book/attnlib"):
        rail = read(name).select_one(".rail")
        assert len(rail.select("[aria-current]")) == 1
        listed = [a.get_text() for a in rail.select(".sections a")]
        assert listed == [*reference.MODULES.values()]


# In a browser


BUSY = CHAPTERS[2]  # the chapter that has every component


@pytest.mark.parametrize("width, scheme", [(1400, "light"), (390, "dark")])
@pytest.mark.parametrize("name", [PAGES[0], BUSY])  # make test-site: every page
def test_a_page_is_whole_and_accessible(visit, name, width, scheme):
    page, complaints = visit(name, width, scheme)
    opened(page)
    assert not complaints
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, f"{name} is {wide} px wide on a screen of {width} px"
    faults = axe_faults(page)
    assert not faults, "\n".join(faults)


def test_a_picture_without_words_is_a_fault(chromium):
    page = chromium.new_page()
    page.set_content('<html lang="en"><title>x</title><main><h1>x</h1><img src="x.png"></main>')
    assert [fault.partition(":")[0] for fault in axe_faults(page)] == ["image-alt"]
    page.close()


def test_a_guess_is_committed_by_keys_and_kept(visit):
    page, complaints = visit(BUSY)
    page.locator("form.guess input[type=text]").first.focus()
    page.keyboard.type("none of them")
    form = page.locator("form.guess:has(input[type=text])").first
    reveal = page.locator("#" + form.get_attribute("data-opens"))
    assert not reveal.evaluate("d => d.open")
    page.keyboard.press("Enter")
    expect(reveal).to_have_attribute("open", "")
    expect(reveal.locator(".bet").first).to_contain_text("none of them")
    expect(reveal.locator("> summary")).to_be_focused()
    page.reload()
    assert not reveal.evaluate("d => d.open")
    assert "none of them" in reveal.locator(".bet").first.text_content()
    assert not complaints


def test_without_javascript_everything_can_be_read(visit):
    page, _ = visit(BUSY, 390, java_script_enabled=False)
    assert page.locator("form.guess:visible").count() == 0
    summary = page.locator("details.reveal > summary").first
    summary.click()
    seen = page.locator("details.reveal").first.locator("pre.out, table, figure").first
    expect(seen).to_be_visible()
    assert page.locator("pre.src k-").count() > 20  # coloured


def test_opened_from_a_disk_without_a_server_a_chapter_is_whole(site, chromium):
    context = chromium.new_context(offline=True)
    page, complaints = context.new_page(), []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((site / f"{BUSY}.html").as_uri())
    opened(page)
    figures = page.locator("[data-play] small")
    assert figures.count() > 0
    for figure in figures.all():
        expect(figure).to_contain_text("as attnlib computes them")
    assert page.evaluate("document.fonts.check('1em Text')")
    assert page.evaluate("document.fonts.check('italic 1em Text')")
    page.locator("form.guess input[type=text]").first.fill("7")
    page.keyboard.press("Enter")
    page.reload()
    assert "7" in page.locator(".bet strong").first.text_content()
    page.locator("main").press("/")
    page.fill("#q", "RoPE")
    page.locator("#hits a").first.click()
    page.wait_for_url("file:**/05_positions.html*")
    early = "text.woff2", "text-italic.woff2", "math.woff2"  # not so from a disk: they come later
    hints = *early, "net::ERR_FAILED"
    assert not [one for one in complaints if not any(hint in one for hint in hints)]
    context.close()


@pytest.mark.parametrize("name, width", [
    *((BUSY, width) for width in (320, 390, 1400)), (PAGES[0], 390), (PAGES[0], 1400),
    *(pytest.param(BUSY, width, marks=pytest.mark.whole) for width in (700, 1024, 1279))])
def test_a_menu_stays_on_the_page(visit, name, width):
    page, _ = visit(name, width)
    for menu in page.locator(".tools .menu:visible").all():
        menu.locator("summary").click()
        box = menu.locator("> :not(summary)").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, (width, box)
        page.keyboard.press("Escape")


BLOCKED = "Object.defineProperty(window, 'localStorage', {get() { throw 1 }})"
FULL = "Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError'); }"


@pytest.mark.parametrize("storage", [BLOCKED, FULL], ids=["blocked", "full"])
def test_where_nothing_can_be_kept_the_page_works_until_it_is_closed(visit, address, storage):
    page, complaints = visit(PAGES[0])
    page.add_init_script(storage)
    page.goto(f"{address}/{BUSY}.html")
    page.locator("form.guess input[type=text]").first.fill("7")
    page.keyboard.press("Enter")
    reveal = page.locator("details.reveal[open]")
    expect(reveal).to_have_count(1)
    expect(reveal.locator(".bet").first).to_contain_text("7")
    reveal.locator(".judged input[value=right]").first.check(force=True)
    expect(page.locator(".tally [data-said]")).to_contain_text("1 right")
    page.locator("#scheme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert not complaints


@pytest.mark.parametrize("name, href, seen", [
    (BUSY, "#eq-3-5", "math"), (CHAPTERS[3], "03_softmax.html#eq-3-2", "math"),
    (CHAPTERS[7], "03_softmax.html#eq-3-7", "math"), (CHAPTERS[3], "05_positions.html", "p b")])
def test_a_link_shows_what_it_leads_to(visit, name, href, seen):
    page, complaints = visit(name)
    link = page.locator(f"main a:not(.eqno)[href='{href}']:visible").first
    link.scroll_into_view_if_needed()
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
    link.hover()  # when the page stands still: what is shown goes when it scrolls
    peek = page.locator("#peek")
    expect(peek).to_be_visible()
    expect(peek.locator(seen)).to_have_count(1)
    assert link.get_attribute("aria-describedby") == "peek"
    page.keyboard.press("Escape")
    expect(peek).to_be_hidden()
    page.mouse.move(0, 0)
    link.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    expect(peek).to_be_visible()
    assert not complaints


def test_a_link_to_another_chapter_shows_it_too(read):
    found = 0
    for name in CHAPTERS:
        page = read(name)
        shown = {template["data-peek"] for template in page.select("template")}
        far = {a["href"] for a in page.select("main a.ref") if not a["href"].startswith("#")}
        assert far <= shown
        found += sum("#" in href for href in far)
    assert found > 2


def test_the_text_leads_to_what_it_names(read):
    page = read("book/bugs")
    assert page.select('a[href="04_masking.html#ex-4-2"]')
    assert read(BUSY).select('main a.ref[href^="#eq-"]')
    assert not read("book/proof").select('a[href*="#eq-"]')  # milliseconds, no equations


SOUGHT = [("RoPE", "05_positions.html#turn-queries-and-keys-rope"), ("KV cache", "06_multihead"),
          ("logsumexp", "03_softmax"), ("GQA", "06_multihead"),
          ("FlashAttention", "08_multilevel.html#what-travels-flashattention"),
          ("exercise 4.3", "04_masking.html#ex-4-3"), ("claim X1", "03_softmax.html#claim-x1"),
          ("equation 3.5", "03_softmax.html#eq-3-5"), ("causal mask", "notation.html#terms")]


def test_the_search_knows_the_field(visit):
    page, complaints = visit(PAGES[0])
    page.keyboard.press("/")
    first = page.locator("#hits li:first-child a")
    before = None
    for words, place in SOUGHT:
        if words == "claim X1" and "X1" not in [c.id for c in shelf()["03_softmax"].claims]:
            continue
        page.fill("#q", words)
        page.wait_for_function("before => (document.querySelector('#hits a') || {}).href != before",
                               arg=before)
        before = first.evaluate("a => a.href")
        assert place in before, (words, before)
    page.fill("#q", "p·rope·r zzz")
    page.wait_for_function("!document.querySelector('#hits a')")
    expect(page.locator("#hits")).to_contain_text("Nothing found")
    assert not complaints


def test_a_search_whose_index_does_not_arrive_says_so_and_tries_again(visit):
    page, _ = visit(PAGES[0])
    page.route("**/search.js", lambda route: route.abort())
    page.keyboard.press("/")
    page.fill("#q", "Ro")
    expect(page.locator("#hits")).to_contain_text("did not arrive")
    page.unroute("**/search.js")
    page.fill("#q", "RoPE")
    expect(page.locator("#hits a").first).to_contain_text("RoPE")


def test_the_index_of_the_search_has_no_code_and_no_solutions(site):
    text = (site / "_static" / "search.js").read_text(encoding="utf-8")
    entries = json.loads(text.removeprefix("bookIndex(").removesuffix(")"))
    assert len(entries) > 400 and all(len(entry) == 5 for entry in entries)
    for title, address, _, words, _ in entries:
        assert (site / address.partition("#")[0]).exists(), address
        assert "import numpy as np" not in words and "\ndef " not in words, title


def test_predictions_are_marked_counted_exported_and_deleted(visit, tmp_path):
    page, complaints = visit(BUSY)
    page.locator("form.guess input[type=text]").first.fill("a third")
    page.keyboard.press("Enter")
    page.locator("details.reveal[open] .judged input[value=nearly]").first.check(force=True)
    bet = page.locator("section.trial input[value=Holds]")
    if bet.count():
        bet.first.check(force=True)
    tally = page.locator(".tally [data-said]")
    expect(tally).to_contain_text("1 of ")
    expect(tally).to_contain_text("1 nearly")
    page.goto(page.url.replace(BUSY, "book/predictions"))
    expect(page.locator("#kept")).to_contain_text("a third")
    expect(page.locator("#kept .lead")).to_contain_text("nearly, 0 wrong")
    with page.expect_download() as download:
        page.locator("#export").click()
    (one, *_) = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert one["guess"] == "a third" and one["mark"] == "nearly" and one["asked"]
    page.locator("#forget").click()
    expect(page.locator("#kept")).not_to_contain_text("a third")
    page.reload()
    expect(page.locator("#kept")).to_contain_text("Nothing yet")
    assert not complaints


def test_what_an_older_edition_kept_does_no_harm(visit):
    page, complaints = visit(BUSY)
    page.evaluate("""() => { for (const key of ['03_softmax/p1', '03_softmax/X1', 'x'])
        localStorage.setItem('abe/' + key, key === 'x' ? '{"guess": 3' : 'Holds when …'); }""")
    page.reload()
    page.goto(page.url.replace(BUSY, "book/predictions"))
    expect(page.locator("#kept .lead")).to_be_visible()
    assert not complaints


@pytest.mark.parametrize("chosen", ["text", "solutions"])
def test_print_opens_what_is_folded_and_solutions_as_chosen(visit, chosen):
    page, _ = visit(BUSY)
    page.evaluate("window.print = () => {}")
    page.locator(".menu.run summary").click()
    page.locator(f"[data-print={chosen}]").click()
    page.emulate_media(media="print")
    seen = """kind => [...document.querySelectorAll(`main ${kind} pre.src`)].map(
        pre => pre.checkVisibility())"""
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    for kind in ("details.fold:not(.solution, .hint)", "details.reveal"):
        assert all(page.evaluate(seen, kind)) and page.evaluate(seen, kind)
    assert set(page.evaluate(seen, "details.solution")) == {chosen == "solutions"}
    cut = page.evaluate("""[...document.querySelectorAll('main pre')].filter(
        pre => pre.checkVisibility() && pre.scrollWidth > pre.clientWidth + 1).length""")
    assert cut == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("main details.reveal[open]").count() == 0


# Weights


def test_no_page_is_over_its_weight(site):
    assert not list(weights.faults(site, PAGES))


def light(folder, name, body):
    """A site of one page."""
    for inside in ("_static/fonts", "_static/play", "book", "_images"):
        (folder / inside).mkdir(parents=True, exist_ok=True)
    (folder / "_static" / "book.js").write_text("")
    (folder / f"{name}.html").write_text(body)
    return folder


def test_a_page_over_its_weight_is_named_with_its_heaviest_figure(tmp_path):
    rng = np.random.default_rng(0)
    words = rng.bytes(70_000).hex()  # cannot be packed to less than half
    site = light(tmp_path, "book/x", f'<figure id="fig-1-1"><svg>{words}</svg></figure>')
    (_, after), (_, raw) = weights.faults(site, ["book/x"])
    assert after.startswith("book/x: ") and "as the next page, more than 75,000" in after
    assert "fig-1-1" in after and "fewer points" in after
    assert raw.startswith("book/x: fig-1-1 has 140,") and "more than 30,000" in raw
    (_, landing), *_ = weights.faults(light(tmp_path, "book/intro", words * 2), ["book/intro"])
    assert "at first visit, more than 85,000" in landing and "shorten it" in landing


def test_pictures_scripts_and_figures_to_play_with_have_their_limits(tmp_path):
    rng = np.random.default_rng(0)
    site = light(tmp_path, "book/x", '<img src="../_images/a.webp">'
                 '<script src="../_static/play/play.js"></script>'
                 '<script src="../_static/play/one.js"></script>')
    (site / "_images" / "a.webp").write_bytes(rng.bytes(30_001))
    for name in ("one", "play"):
        (site / "_static" / "play" / f"{name}.js").write_text(rng.bytes(7_000).hex())
    (site / "_static" / "book.js").write_text(rng.bytes(13_000).hex())
    play, picture, script = (fault for _, fault in weights.faults(site, ["book/x"]))
    assert "of scripts to play with, more than 12,000" in play
    assert picture.startswith("book/x: ../_images/a.webp has 30,001 bytes")
    assert script.startswith("book.js: ") and "more than 12,000" in script


def test_the_table_of_weights_is_what_its_rows_print():
    assert ledger.PAGE.read_text(encoding="utf-8") == ledger.printed(ledger.read())
    assert set(ledger.read()) <= set(PAGES)


def test_a_page_that_changed_is_to_be_visited_again(tmp_path, monkeypatch):
    site = light(tmp_path, "book/x", "words")
    light(tmp_path, "book/y", "words")
    (site / "_static" / "book.css").write_text("")
    monkeypatch.setattr(ledger, "STORED", tmp_path / "site.json")
    monkeypatch.setattr(ledger, "PAGE", tmp_path / "site.md")
    monkeypatch.setattr(ledger, "toc_files", lambda: ["book/x", "book/y"])
    both = ["book/x", "book/y"]
    assert ledger.unvisited(site, both) == both
    seen = ledger.digest(site, "book/x")
    ledger.store("lighthouse", {"book/x": [97, 100, 100, 100]}, visited=seen)
    assert ledger.unvisited(site, both) == ["book/y"]
    assert "| book/x | - | - | - | - | 97 | 100 | 100 | 100 |" in ledger.PAGE.read_text()
    (site / "_static" / "book.css").write_text("p { margin: 0 }")
    assert ledger.unvisited(site, both) == both


# Figures


DRAWN = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
 width="9pt" height="9pt" viewBox="0 0 9 9"><metadata>when</metadata><defs><style>*{x:1}</style>
 </defs><g id="text_1"><text
 style="font-size: 10.5px; font-family: 'DejaVu Sans'; text-anchor: middle" x="1.23456"
 >a &lt; b</text></g><path id="p" d="M 1.23456 2" style="fill: none; stroke: #0072b2"/>
 <use xlink:href="#p" style="stroke: #000000"/></svg>"""


def test_a_figure_takes_the_letters_and_colours_of_the_page():
    drawn = svg.inline(DRAWN, 'Says "so".', "fig-1-1")
    assert 'role="img"' in drawn and "Says &quot;so&quot;." in drawn
    assert "when" not in drawn and "{x:1}" not in drawn and "DejaVu" not in drawn
    assert "a &lt; b" in drawn and 'font-size="10.5"' in drawn and 'd="M1.2 2"' in drawn
    assert 'id="fig-1-1-0"' in drawn and 'href="#fig-1-1-0"' in drawn and "text_1" not in drawn
    assert 'stroke="#0072b2"' in drawn and 'stroke="currentColor"' in drawn
    assert "stroke:light-dark(#0072b2," in svg.rules() and "style" not in drawn


def test_the_lines_of_a_text_in_a_box_keep_to_its_middle():
    box = '<g id="patch_2"><path d="M 10 5 L 30 5 Q 34 5 34 9 z" style="fill: none"/></g>'
    lines = "".join(f'<text style="font-size: 9px" transform="translate({x} {y})">a</text>'
                    for x, y in ((12.5, 6), (17.5, 8)))
    frame = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20">{}</svg>'
    drawn = svg.inline(frame.format(f'<g id="text_1">{box}{lines}</g>'), "", "f")
    assert 'transform="translate(22 6)"' in drawn and 'transform="translate(22 8)"' in drawn
    assert drawn.count('text-anchor="middle"') == 2
    drawn = svg.inline(frame.format(f'<g id="text_1">{lines}</g>'), "", "f")
    assert 'transform="translate(12.5 6)"' in drawn and "middle" not in drawn


@pytest.mark.parametrize("columns, kind", [
    ([("a", "b"), ("c", "d"), ("e", "f" * 49)], "below"),
    ([("a", "b" * 49), ("c", "d"), ("e", "f" * 49)], "below told"),
    ([("a", "b", "c"), ("a", "b", "c"), ("e", "f" * 25, "g" * 25)], "below"),
    ([("a", "b", "c", "d"), ("a", "b", "c", "d"), ("e", "f" * 25, "g", "h")], None),
    ([("a", "b" * 49), ("c", "d"), ("e", "f")], "told"),
    ([("a", "b"), ("c", "d" * 99)], None),
])
def test_sentences_of_a_table_have_a_line_of_their_own_on_a_phone(columns, kind):
    assert below(columns).get("class") == kind


@pytest.mark.parametrize("label, shown", [
    ("the loss, by head", "The loss, by head"), ("a causal layer", "A causal layer"),
    ("n points on a circle", "n points on a circle"), ("attnlib's models", "attnlib's models")])
def test_a_label_begins_as_a_sentence_does(label, shown):
    assert f"<summary>{shown} <small>" in folded_code("x = 1", label)


PLACE = st.tuples(st.floats(-900, 900), st.floats(-900, 900))
LINES = st.lists(st.tuples(PLACE, st.lists(st.one_of(
    st.tuples(st.just("L"), st.tuples(PLACE)), st.tuples(st.just("Q"), st.tuples(PLACE, PLACE)),
    st.tuples(st.just("C"), st.tuples(PLACE, PLACE, PLACE))), max_size=5), st.booleans()),
    min_size=1, max_size=4)


@given(LINES)
def test_a_path_in_steps_goes_through_the_same_places(lines):
    said, wanted = "", []
    for start, steps, closed in lines:
        for command, places in [("M", (start,)), *steps]:
            said += command + "".join(f" {x:f} {y:f}" for x, y in places) + "\n"
            wanted += [(round(10 * float(f"{x:f}")), round(10 * float(f"{y:f}")))
                       for x, y in places]
        said += "z\n" if closed else ""
    assert svg.DRAWN.fullmatch(said)
    found, at, start = [], (0, 0), (0, 0)
    for command, numbers in re.findall(r"([MmhvlqcZz])([^MmhvlqcZz]*)", svg.path(said)):
        steps = [round(10 * float(n)) for n in re.findall(r"-?(?:\d*\.\d+|\d+)", numbers)]
        steps = [*steps, 0] if command == "h" else [0, *steps] if command == "v" else steps
        places = list(zip(steps[::2], steps[1::2]))
        each = {"q": 2, "c": 3}.get(command, 1)
        for i, (dx, dy) in enumerate(places):
            found.append((at[0] + dx, at[1] + dy))
            if (i + 1) % each == 0:
                at = found[-1]
        start = at if command in "mM" else start
        at = start if command == "z" else at
    assert found == wanted


AXIS = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
 viewBox="0 0 9 9"><g id="matplotlib.axis_1"><g><defs><path id="m1" d="M 0 0
L 0 3.5
" style="stroke: #000000"/></defs><g><use xlink:href="#m1" x="1" y="5"
 style="stroke: #000000"/></g><text transform="rotate(-0 1 2)">1</text></g></g>
 <g id="line2d_9"><defs><path id="m2" d="M 0 3 C 1 3 2 2 2 1 z"/></defs>
 <use xlink:href="#m2" x="3" y="4"/></g>
 <g id="matplotlib.axis_3"><g><use xlink:href="#m1" x="7.04" y="5" style="stroke: #000000"/>
 <use xlink:href="#m1" x="8" y="5" style="stroke: #000000"/></g></g></svg>"""


def test_the_ticks_of_an_axis_are_one_path_and_what_marks_data_stays():
    drawn = svg.inline(AXIS, "", "f")
    assert re.findall(r' d="([^"]*)"', drawn) == ["M1 5v3.5", "M0 3c1 0 2-1 2-2z",
                                                  "M7 5v3.5m1-3.5v3.5"]
    assert drawn.count('stroke="currentColor"') == 2 and "rotate" not in drawn
    assert re.findall(r'href="#(.*?)"|id="(.*?)"', drawn) == [("", "f-0"), ("f-0", "")]


def test_a_colour_turned_over_keeps_its_hue():
    import colorsys

    for colour in ("#0072b2", "#d55e00", "#009e73", "#cc79a7"):
        hues = [colorsys.rgb_to_hls(*(int(c[i:i + 2], 16) / 255 for i in (1, 3, 5)))
                for c in (colour, svg.turned(colour))]
        away = abs(hues[0][0] - hues[1][0])
        assert min(away, 1 - away) < 0.06, colour
    assert svg.turned("#000000") == "#ffffff"


# Where the book lives


@pytest.mark.skipif(home.repository() is not None, reason="this copy has an address")
def test_without_an_address_nothing_leads_to_one_and_the_ways_lead_to_what_tells(site, read):
    for page in site.rglob("*.html"):
        assert home.PLACEHOLDER not in page.read_text(encoding="utf-8"), page.name
    for notebook in (ROOT / "student").glob("*.ipynb"):
        assert home.PLACEHOLDER not in notebook.read_text(encoding="utf-8"), notebook.name
    telling, heading = home.HOW
    assert read(telling).find(id=heading)
    for name in CHAPTERS:
        ways = {a.get_text(): a["href"] for a in read(name).select("a[href]")}
        for way in ("Open in Colab", "Open in Binder", "Source", "Tell us of a fault on this page",
                    "Try it in Colab"):
            assert ways[way] == f"running.html#{heading}", way


def test_with_an_address_every_way_leads_there(monkeypatch):
    monkeypatch.setattr(home, "repository", lambda: "https://github.com/us/book")

    class Builder:
        def get_relative_uri(self, here, there):
            return "running.html"

    class App:
        builder, outdir = Builder(), "."

    page = Page(App, "book/01_qkv")
    colab = ("https://colab.research.google.com/github/us/book/blob/main/student/01_qkv.ipynb")
    assert page.run == {
        "colab": colab, "download": "../_downloads/01_qkv.ipynb",
        "binder": "https://mybinder.org/v2/gh/us/book/main"
                  "?urlpath=lab/tree/student/01_qkv.ipynb"}
    assert f'href="{colab}#scrollTo=stub-1-1"' in page.colab("stub-1-1")
    assert (page.repository, page.issues) == (
        "https://github.com/us/book", "https://github.com/us/book/issues/new")
