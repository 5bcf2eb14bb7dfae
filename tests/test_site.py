"""The site, built strictly and looked at in a browser with the network cut off."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin

from press.chapters import ROOT, Chapter, chapter_paths, toc_files

PAGES = toc_files()
CHAPTERS = [f"book/{path.stem}" for path in chapter_paths()]


def build(source, out):
    """A strict build: warnings are errors. Returns the finished process."""
    command = [Path(sys.executable).with_name("jupyter-book"), "build", str(source),
               "--path-output", str(out), "-W", "--keep-going", "--quiet"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the built site."""
    out = tmp_path_factory.mktemp("site")
    run = build(ROOT, out)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return out / "_build" / "html"


@pytest.fixture
def open_page(chromium, site):
    """open_page(name, width, scheme) -> (page, complaints)."""
    contexts = []

    def open_(name, width=1400, scheme="light"):
        context = chromium.new_context(viewport={"width": width, "height": 900},
                                       color_scheme=scheme, offline=True)
        contexts.append(context)
        page, complaints = context.new_page(), []
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: complaints.append(f"asked for {r.url}")
                if not r.url.startswith(("file:", "data:", "blob:")) else None)
        page.on("requestfailed", lambda r: complaints.append(f"could not load {r.url}"))
        page.goto((site / f"{name}.html").as_uri(), wait_until="load")
        page.add_style_tag(content="* {transition: none !important}")  # colours half-way there
        page.wait_for_function("!window.MathJax || (MathJax.startup && MathJax.startup.promise)")
        page.evaluate("window.MathJax ? MathJax.startup.promise.then(() => null) : null")
        return page, complaints

    yield open_
    for context in contexts:
        context.close()


def test_a_build_with_a_warning_fails(tmp_path):
    book = tmp_path / "book"
    book.mkdir()
    for name in ("_config.yml", "press", "attnlib"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/intro\n")
    (book / "intro.md").write_text("# Title\n\n[nowhere](no_such_page.md)\n")
    run = build(tmp_path, tmp_path / "out")
    assert run.returncode != 0 and "no_such_page" in run.stdout + run.stderr


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_accessible_with_the_network_cut_off(open_page, name, width, scheme):
    page, complaints = open_page(name, width, scheme)
    assert not complaints
    assert page.locator("mjx-merror").count() == 0
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, f"{name} is {wide} px wide on a screen of {width} px"
    assert page.evaluate("""[...document.querySelectorAll('article img')]
        .filter(img => !img.complete || !img.naturalWidth || img.alt.split(' ').length < 6)
        .map(img => img.src)""") == []
    cut = page.evaluate("""[...document.querySelectorAll('article mjx-container')]
        .filter(m => m.getBoundingClientRect().left < 0).map(m => m.textContent.slice(0, 40))""")
    assert not cut, f"equations that begin left of the screen: {cut}"
    missing = page.evaluate("""[...document.querySelectorAll('[class*="fa-"]')]
        .filter(i => i.offsetParent && getComputedStyle(i, '::before').content === 'none')
        .map(i => i.className)""")
    assert not missing, f"icons without a picture: {missing}"
    serious = serious_faults(page)
    assert not serious, "\n".join(serious)


def serious_faults(page):
    """What axe finds on a page that keeps somebody from reading it."""
    from axe_core_python.sync_playwright import Axe

    report = Axe().run(page, options={"resultTypes": ["violations"]})
    return [f"{fault['id']}: {fault['help']}: " + "; ".join(n["html"][:160] for n in fault["nodes"][:3])
            for fault in report["violations"] if fault["impact"] in ("serious", "critical")]


def test_a_picture_without_words_is_a_serious_fault(chromium):
    page = chromium.new_page()
    page.set_content('<html lang="en"><title>x</title><main><h1>x</h1><img src="x.png"></main>')
    assert [fault.partition(":")[0] for fault in serious_faults(page)] == ["image-alt"]
    page.close()


@pytest.mark.parametrize("name", CHAPTERS)
def test_mathematics_and_figures_are_shown(open_page, name):
    page, _ = open_page(name)
    chapter = Chapter(ROOT / f"{name}.ipynb")
    equations = len(equations_of(chapter))
    assert equations and page.locator("article mjx-container").count() >= equations
    figures = sum("image/png" in output.get("data", {})
                  for _, cell in chapter.tagged("figure") for output in cell.outputs)
    assert figures and page.locator("article .tag_figure img").count() == figures


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("name", CHAPTERS)
def test_an_exercise_is_a_box_with_its_answers_closed(open_page, name, width):
    page, _ = open_page(name, width)
    exercises = Chapter(ROOT / f"{name}.ipynb").exercises
    assert page.locator("section.exercise").count() == len(exercises) > 0
    for exercise in exercises:
        heading = page.locator(f"h3:has-text('Exercise {exercise.id} ')")
        box = page.locator("section.exercise").filter(has=heading)
        assert box.locator(".tag_stub").is_visible() and box.locator(".tag_check").is_visible()
        hint = box.locator(f"summary:has-text('Hint 1 for exercise {exercise.id}')")
        show = box.locator(f"summary:has-text('Show the solution of exercise {exercise.id}')")
        solution = box.locator(".tag_solution").last
        assert hint.is_visible() and show.is_visible() and not solution.is_visible()
        show.click()
        assert solution.is_visible()


def test_what_a_check_says_is_readable_in_the_dark(open_page):
    page, _ = open_page(CHAPTERS[0], scheme="dark")
    grounds = page.evaluate("""[...document.querySelectorAll('.tag_check .text_html')]
        .map(said => getComputedStyle(said).backgroundColor)""")
    assert grounds and set(grounds) == {"rgba(0, 0, 0, 0)"}


@pytest.mark.parametrize("name", CHAPTERS)
def test_buttons_give_the_student_notebook(open_page, site, name):
    page, _ = open_page(name)
    stem = name.rpartition("/")[2]
    links = page.evaluate("[...document.querySelectorAll('.article-header-buttons a')].map(a => a.href)")
    colab = [link for link in links if "colab" in link]
    binder = [link for link in links if "mybinder" in link]
    download = [link for link in links if link.endswith(f"_downloads/{stem}.ipynb")]
    assert len(colab) == len(binder) == len(download) == 1
    assert colab[0].endswith(f"/blob/main/student/{stem}.ipynb")
    assert binder[0].endswith(f"student/{stem}.ipynb")
    given = (site / "_downloads" / f"{stem}.ipynb").read_bytes()
    assert given == (ROOT / "student" / f"{stem}.ipynb").read_bytes()


def test_no_page_links_to_a_file_that_is_not_there(site):
    broken = []
    pages = [*site.glob("*.html"), *site.glob("book/*.html")]
    assert len(pages) > len(PAGES)
    for page in pages:
        for target in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(site)} -> {target}")
    assert not broken


def test_a_claim_links_to_its_cell(site):
    page = (site / "book" / "claims.html").read_text(encoding="utf-8")
    links = re.findall(r'href="(\w+\.html)#(claim-\w+)"', page)
    assert links
    for file, anchor in links:
        assert f'id="{anchor}"' in (site / "book" / file).read_text(encoding="utf-8")


def equations_of(chapter):
    """(where, TeX, display) of every equation in a chapter's Markdown."""
    parser = MarkdownIt().use(dollarmath_plugin, double_inline=True).use(amsmath_plugin).enable("table")
    found = []
    for index, cell in enumerate(chapter.cells):
        if cell.cell_type == "markdown":
            tokens = [t for token in parser.parse(cell.source) for t in (token, *(token.children or []))]
            found += [(chapter.where(index), t.content, t.type != "math_inline")
                      for t in tokens if t.type.startswith("math_") or t.type == "amsmath"]
    return found


def refused(page, equations):
    """One line for each equation that MathJax refuses."""
    lines = []
    for where, tex, display in equations:
        error = page.evaluate("""([tex, display]) => { MathJax.texReset();
            const out = MathJax.tex2chtml(tex, {display});
            const error = out.querySelector('[data-mjx-error]');
            return error && error.getAttribute('data-mjx-error'); }""", [tex, display])
        if error:
            lines.append(f"{where}: MathJax refuses {tex.strip()!r} ({error}): mend the equation")
    return lines


@pytest.mark.parametrize("path", chapter_paths(), ids=lambda path: path.stem)
def test_mathjax_accepts_every_equation(open_page, path):
    page, _ = open_page(CHAPTERS[0])
    assert not refused(page, equations_of(Chapter(path)))


def test_an_equation_that_mathjax_refuses_is_named(open_page, tmp_path):
    import nbformat.v4 as v4

    path = tmp_path / "09_bad.ipynb"
    cells = [v4.new_markdown_cell("Fine: $a^2$."), v4.new_markdown_cell("Not fine:\n\n$$a_{b$$")]
    path.write_text(__import__("nbformat").writes(v4.new_notebook(cells=cells)))
    page, _ = open_page(CHAPTERS[0])
    (line,) = refused(page, equations_of(Chapter(path)))
    assert line.startswith("09_bad.ipynb, cell 2 ('Not fine:')") and "mend the equation" in line


def test_a_tagged_equation_keeps_its_tag(open_page):
    """Sphinx wraps an equation with a line break in `split`, where MathJax refuses a tag."""
    numbered = 0
    for name in CHAPTERS:
        page, _ = open_page(name)
        numbered += page.locator("article mjx-container mjx-mlabeledtr, article mjx-mtable [class*=mlabeled]").count()
    assert numbered
