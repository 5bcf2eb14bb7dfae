"""The figures to play with in a real JupyterLab, as Binder starts it: by mouse, by keyboard alone.

``python -m proofs.play_in_lab [folder for screenshots]`` starts JupyterLab on a temporary copy of
student/, runs the cells of three chapters that lead to their figure, plays in Chromium, and fails
if a figure is dead, unequal to attnlib, or a key that it was given reaches JupyterLab. A notebook
that is not trusted must show the figure's words instead. It takes about two minutes.
"""

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nbformat
from playwright.sync_api import expect

from .newcomer import PATIENCE, SECONDS, browsing

WORDS = "to play with it, run this cell"


@dataclass(frozen=True)
class Figure:
    """A figure of a chapter, and the ids of the cells that must have run before it."""

    chapter: str
    name: str
    cell: str
    before: tuple


FIGURES = (
    Figure("03_softmax", "temperature", "03-c20", ("03-c02", "03-c04")),
    Figure("06_multihead", "heads", "06-play-heads", ("06-m001",)),
    Figure("08_multilevel", "chunks", "08-play-chunks", ("08-c02", "08-chunks-picture")),
)


def main(pictures=None):
    with tempfile.TemporaryDirectory() as home, browsing(Path(home)) as (address, new_page):
        for figure in FIGURES:
            with new_page(pictures, f"lab_{figure.name}.png") as page:
                play(page, address, Path(home) / "student", figure)
            print(f"{figure.chapter}: {figure.name} is sound", flush=True)


def play(page, address, folder, figure):
    """One figure: run, played with, saved, opened again trusted, and as a stranger's."""
    file = folder / f"{figure.chapter}.ipynb"
    number = {cell.id: i for i, cell in enumerate(nbformat.read(file, as_version=4).cells)}
    cells = opened(page, f"{address}/lab/tree/student/{file.name}?reset", len(number))
    here = cells.nth(number[figure.cell])
    first = next(i for i, cell in enumerate(nbformat.read(file, as_version=4).cells)
                 if cell.cell_type == "code")  # the set-up cell
    for index in [first, *(number[id] for id in figure.before), number[figure.cell]]:
        run(page, cells.nth(index))
    host = here.locator(f"[data-play={figure.name}]")
    alive(host)
    by_keys(page, cells, host)
    if host.locator(".handle").count():
        by_mouse(page, host)
    in_the_dark(page, host)

    page.keyboard.press("Escape")
    page.keyboard.press("ControlOrMeta+S")
    expect(page.locator(".jp-DirtyIndicator, .jp-mod-dirty")).to_have_count(0)
    soon(page, lambda: "attachShadow" in file.read_text(encoding="utf-8"), "what was run is saved")
    saved = json.loads(file.read_text(encoding="utf-8"))
    cells = opened(page, f"{address}/lab/tree/student/{file.name}?reset", len(number))
    here = cells.nth(number[figure.cell])
    here.scroll_into_view_if_needed()
    alive(here.locator(f"[data-play={figure.name}]"))  # JupyterLab trusts what was run in it

    saved["cells"][0]["source"] = ["Somebody else's."]  # no signature is of this
    (folder / "strange.ipynb").write_text(json.dumps(saved), encoding="utf-8")
    cells = opened(page, f"{address}/lab/tree/student/strange.ipynb?reset", len(number))
    here = cells.nth(number[figure.cell])
    here.scroll_into_view_if_needed()
    expect(here).to_contain_text(WORDS)
    assert here.locator("script").count() == 0 and here.locator(".card").count() == 0


def opened(page, address, count):
    """The cells of a notebook, all of them there."""
    page.goto(address)
    cells = page.locator(".jp-Notebook .jp-Notebook-cell")
    expect(cells).to_have_count(count)
    idle = page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']")
    expect(idle).to_be_visible()
    return cells


def run(page, cell):
    """Run one cell and wait for its number."""
    cell.scroll_into_view_if_needed()
    cell.locator(".jp-InputPrompt").click()
    page.keyboard.press("ControlOrMeta+Enter")
    prompt = cell.locator(".jp-InputPrompt")
    expect(prompt).to_contain_text("]:")
    expect(prompt).not_to_contain_text("*")
    expect(prompt).not_to_contain_text("[ ]")
    error = cell.locator("[data-mime-type='application/vnd.jupyter.error']")
    assert error.count() == 0, error.first.inner_text()


def alive(host):
    """It is drawn, and says that its numbers are attnlib's."""
    expect(host.locator(".card small")).to_contain_text("as attnlib computes them")
    assert host.evaluate("(host) => host.play.checked.equal")


def soon(page, holds, what):
    """Wait until something holds that playwright has no word for."""
    for _ in range(PATIENCE // 200):
        if holds():
            return
        page.wait_for_timeout(200)
    raise AssertionError(f"not so, after {PATIENCE // SECONDS} seconds: {what}")


def state(host):
    return host.evaluate("(host) => JSON.stringify(host.play.ui.state)")


def by_keys(page, cells, host):
    """The keys move what has the focus, and none of JupyterLab's shortcuts fires."""
    count, before = cells.count(), state(host)
    knob = host.locator(".handle, input[type=range]").first
    knob.focus()
    page.keyboard.press("ArrowRight")
    assert state(host) != before
    for key in ("a", "b", "x", "c", "v", "m", "y", "d", "d", "0", "0", "Enter", "Shift+Enter"):
        page.keyboard.press(key)  # insert, cut, copy, paste, turn, delete, restart, run
    page.wait_for_timeout(SECONDS)
    assert cells.count() == count and page.locator(".jp-Dialog").count() == 0
    assert host.evaluate("(host) => host.shadowRoot.activeElement !== null")
    alive(host)  # and was not run again
    assert state(host) != before
    focus = "(host) => host.shadowRoot.activeElement?.outerHTML ?? ''"
    at_first = host.evaluate(focus)
    page.keyboard.press("Tab")
    assert host.evaluate(focus) != at_first
    host.locator("header button").click()
    page.wait_for_function("([a, b]) => JSON.stringify(a.play.ui.state) === b",
                           arg=[host.element_handle(), before])


def by_mouse(page, host):
    """A knob follows the mouse."""
    knob, before = host.locator(".handle .knob").first, state(host)
    knob.scroll_into_view_if_needed()
    box = knob.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 20, steps=5)
    page.mouse.up()

    def there():
        after = knob.bounding_box()
        return state(host) != before and abs(after["y"] + after["height"] / 2 - y - 20) < 4
    soon(page, there, "the knob is where the mouse is")


def in_the_dark(page, host):
    """The figure follows JupyterLab's theme."""
    assert host.locator(".card.dark").count() == 0
    for name in ("JupyterLab Dark", "JupyterLab Light"):
        expect(page.locator("#jupyterlab-splash")).to_have_count(0)  # it closes menus
        page.get_by_role("menuitem", name="Settings", exact=True).click()
        for item in ("Theme", name):
            page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True).click()
        expect(host.locator(".card.dark")).to_have_count(int(name.endswith("Dark")))


if __name__ == "__main__":
    main(*sys.argv[1:])
