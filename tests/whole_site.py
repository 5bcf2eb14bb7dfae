"""Every page of the site in a real browser, at every width and in both schemes: `make test-site`.

What is quick stands in test_site.py and belongs to `make test`; what is marked `whole` there and
elsewhere belongs to `make test-site` too.
"""

import pytest
from browsing import Visits, axe_faults, browser_path, opened
from firefox import Firefox, firefox_path
from playwright.sync_api import expect

from press.chapters import Chapter, chapter_paths, toc_files

pytestmark = pytest.mark.whole
PAGES = toc_files()
CHAPTERS = [f"book/{path.stem}" for path in chapter_paths()]
EVERY_PAGE = pytest.mark.parametrize("name", PAGES)
EVERY_CHAPTER = pytest.mark.parametrize("name", CHAPTERS)


@EVERY_PAGE
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_a_page_asks_nobody_and_is_accessible_when_all_of_it_is_open(visit, name, width, scheme):
    page, complaints = visit(name, width, scheme)
    opened(page)
    assert not complaints
    faults = axe_faults(page)
    assert not faults, "\n".join(faults)


WIDER = """width => document.documentElement.scrollWidth <= width ? [] :
    [...document.querySelectorAll('body *')]
        .filter(e => e.getBoundingClientRect().right > width + 1)
    .slice(-3).map(e => `${e.tagName}.${e.className}: ${e.textContent.slice(0, 60)}`)"""


@EVERY_PAGE
def test_no_page_scrolls_sideways_at_any_width(visit, name):
    page, _ = visit(name)
    opened(page)
    for width in (320, 390, 640, 768, 1024, 1100, 1280, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(WIDER, width) == [], width


@pytest.fixture(scope="module")
def large(chromium, address):
    """Pages in a browser whose reader asks for letters of twice the size."""
    browser = chromium.browser_type.launch(executable_path=browser_path(), args=[
        "--no-sandbox", "--disable-gpu", "--blink-settings=defaultFontSize=32"])
    visits = Visits(browser, address)
    yield visits
    visits.close()
    browser.close()


@EVERY_PAGE
def test_no_page_scrolls_sideways_with_letters_of_twice_the_size(large, name):
    page, _ = large(name)
    opened(page)
    for width in (320, 640, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(WIDER, width) == [], width
    large.close()


@EVERY_PAGE
@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_jumps(visit, name, width):
    page, _ = visit(name, width)
    page.wait_for_timeout(300)
    moved = page.evaluate("""new Promise(done => { let sum = 0;
        new PerformanceObserver(list => { for (const e of list.getEntries())
            if (!e.hadRecentInput) sum += e.value; })
            .observe({type: 'layout-shift', buffered: true});
        setTimeout(() => done(sum), 400); })""")
    assert moved < 0.01


@pytest.mark.parametrize("name", [name for name, path in zip(CHAPTERS, chapter_paths())
                                  if list(Chapter(path).tagged("play"))])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_every_figure_to_play_with_is_alive_equal_and_fits(visit, name, width, scheme):
    page, complaints = visit(name, width, scheme)
    opened(page)
    figures = page.locator("[data-play]")
    expect(figures.locator(".card header button")).to_have_count(figures.count())
    seen = page.evaluate("""[...document.querySelectorAll("[data-play]")].map((host) => {
        const box = host.getBoundingClientRect(), card = host.shadowRoot.querySelector(".card");
        const { checked } = host.play;
        const wider = [...card.querySelectorAll("*")].filter((node) =>
            !node.matches("svg *, .unseen") && node.getBoundingClientRect().right > box.right + 1);
        return { equal: checked.equal && checked.numbers >= 50, fits: wider.length === 0,
                 visible: box.width > 250 && box.height > 200,
                 says: card.querySelector("small").textContent,
                 dark: card.classList.contains("dark") }; })""")
    assert len(seen) >= 1 and not complaints
    for one in seen:
        assert one["equal"] and one["fits"] and one["visible"], one
        assert one["says"].startswith("✓") and one["dark"] == (scheme == "dark"), one


@EVERY_PAGE
@pytest.mark.parametrize("width", [390, 1400])
def test_paragraphs_stand_apart(visit, name, width):
    page, _ = visit(name, width)
    opened(page)
    touching = page.evaluate("""[...document.querySelectorAll('main section > p + p, '
            + 'main section > :is(p, ul, ol) + .note + p')].filter(p => {
        let before = p.previousElementSibling;
        if (before.matches('.note')) before = before.previousElementSibling;
        return p.getClientRects().length && !before.matches('.label') &&
            p.getBoundingClientRect().top - before.getBoundingClientRect().bottom < 8;
    }).map(p => p.textContent.slice(0, 60))""")
    assert touching == []


@EVERY_PAGE
def test_code_is_uncut_on_a_desk_and_wraps_on_a_phone(visit, name):
    page, _ = visit(name)
    opened(page)
    cut = """[...document.querySelectorAll('main pre.src')].filter(pre => {
        const longest = Math.max(...pre.textContent.split('\\n').map(line => line.length));
        return longest <= 90 && pre.scrollWidth > pre.clientWidth + 1;
    }).map(pre => pre.textContent.slice(0, 60))"""
    assert page.evaluate(cut) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate(cut.replace("longest <= 90 && ", "")) == []


@EVERY_PAGE
def test_every_stop_of_the_keyboard_shows_itself(visit, name):
    page, _ = visit(name)
    hidden = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen = page.evaluate("""() => { const e = document.activeElement;
            const host = e.matches('input[type=radio]') ? e.closest('label') ||
                document.querySelector(`label[for="${e.id}"]`) || e : e;
            const style = getComputedStyle(host), box = host.getBoundingClientRect();
            return [e.tagName + ' ' + e.textContent.trim().slice(0, 30), e === document.body ||
                style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0 &&
                box.width > 0 && box.bottom > 0 && box.top < innerHeight]; }""")
        if not seen[1]:
            hidden.append(seen[0])
    assert not hidden


@EVERY_CHAPTER
def test_a_screen_reader_hears_a_chapter_in_order(visit, name):
    page, _ = visit(name)
    tree = page.locator("body").aria_snapshot()
    lines = [line.strip("- ") for line in tree.splitlines()]
    where = [next(i for i, line in enumerate(lines) if line.startswith(words)) for words in (
        'link "Skip to the text"', "banner", "navigation", "main", "heading", "contentinfo")]
    assert where == sorted(where)
    levels = [int(line.partition("[level=")[2][0]) for line in lines if "[level=" in line]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))
    assert 'region "Predict' in tree and "math" in tree


OVERLAPS = """() => { const found = [];
    for (const svg of document.querySelectorAll(':is(figure, .drawn) > svg')) {
        const frame = svg.getBoundingClientRect();
        const texts = [...svg.querySelectorAll('text')].filter(t => t.textContent.trim());
        const corners = texts.map(t => { const b = t.getBBox(), m = t.getScreenCTM();
            return [[b.x, b.y], [b.x + b.width, b.y], [b.x + b.width, b.y + b.height],
                    [b.x, b.y + b.height]].map(([x, y]) => [m.a * x + m.c * y + m.e,
                                                            m.b * x + m.d * y + m.f]); });
        const tall = b => Math.hypot(b[3][0] - b[0][0], b[3][1] - b[0][1]);
        // above and below its ink a line of letters has room, to its left and right it has none
        const apart = (p, q) => [p, q].some(r => r.some((_, i) => {
            const [a, b] = [r[i], r[(i + 1) % 4]];
            const n = [b[1] - a[1], a[0] - b[0]];
            const on = s => s.map(([x, y]) => n[0] * x + n[1] * y);
            const slack = (i % 2 ? 0 : 0.15 * Math.min(tall(p), tall(q))) * Math.hypot(...n);
            const [s, t] = [on(p), on(q)];
            return Math.max(...s) - slack < Math.min(...t)
                || Math.max(...t) - slack < Math.min(...s);
        }));
        const name = svg.parentElement.id || svg.parentElement.className;
        corners.forEach((box, i) => {
            if (box.some(([x, y]) => x < frame.left - 3 || x > frame.right + 3 ||
                                     y < frame.top - 3 || y > frame.bottom + 3))
                found.push(`${name}: '${texts[i].textContent}' leaves the figure`);
            corners.slice(i + 1).forEach((other, j) => { if (!apart(box, other)) found.push(
                `${name}: '${texts[i].textContent}' lies on '${texts[i + 1 + j].textContent}'`); });
        });
    }
    return found; }"""


@EVERY_CHAPTER
@pytest.mark.parametrize("width", [390, 1400])
def test_no_two_labels_of_a_figure_overlap_and_none_leaves_it(visit, name, width):
    page, _ = visit(name, width)
    opened(page)
    assert page.evaluate(OVERLAPS) == []


CUT = """[...document.querySelectorAll('main :is(pre, .scroll, .eq, table, img, svg)')]
    .filter(e => e.checkVisibility() && (e.getBoundingClientRect().right > 721 ||
                 e.matches('pre, .scroll, .eq') && e.scrollWidth > e.clientWidth + 1))
    .map(e => `${e.tagName}.${e.className}: ${e.textContent.trim().slice(0, 60)}`)"""


@EVERY_PAGE
def test_print_shows_a_page_whole(visit, name):
    page, _ = visit(name)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 720, "height": 1000})
    assert page.locator("main details.reveal:not([open])").count() == 0
    assert page.evaluate(CUT) == []


# Firefox


@pytest.fixture(scope="module")
def firefox():
    if firefox_path() is None:
        pytest.skip("needs Firefox: on Debian, sudo apt install firefox-esr")
    with Firefox() as firefox:
        yield firefox


@EVERY_PAGE
@pytest.mark.parametrize("width", [500, 1400])  # 500 is as narrow as Firefox's window gets
def test_firefox_shows_what_chromium_shows(firefox, visit, address, name, width):
    firefox.open(f"{address}/{name}.html", width)
    page, _ = visit(name, width)
    heights = """[...document.querySelectorAll('main :is(h1, h2, math, figure)')]
        .filter(e => e.getClientRects().length).map(e => [e.tagName, e.getBoundingClientRect()])
        .map(([tag, box]) => [tag, box.height])"""
    shown, wanted = firefox.evaluate(heights), page.evaluate(heights)
    assert [tag for tag, *_ in shown] == [tag for tag, *_ in wanted]
    for (tag, height), (_, high) in zip(shown, wanted):
        assert 0.6 * high - 8 < height < 1.6 * high + 8, tag
    assert firefox.evaluate("[...document.fonts].some(f => f.family === 'Text' && "
                            "f.status === 'loaded')")
    assert firefox.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_firefox_takes_a_prediction_and_reveals(firefox, address):
    firefox.open(f"{address}/{CHAPTERS[2]}.html")
    assert firefox.evaluate("document.querySelectorAll('details.reveal[open]').length") == 0
    firefox.evaluate("document.querySelector('form.guess input[type=text]').focus()")
    firefox.keys("none\ue007")
    assert firefox.evaluate("document.querySelectorAll('details.reveal[open]').length") == 1
    assert "none" in firefox.evaluate("document.querySelector('.bet:not([hidden])').textContent")
