"""A newcomer in a real JupyterLab: a wrong answer, its message, a right one, the progress.

``python -m proofs.newcomer [folder for screenshots]`` starts JupyterLab on a temporary copy of
student/, takes two chapters in Chromium, and fails if anything that a newcomer should read is not
there.
It takes about two minutes.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import nbformat
from playwright.sync_api import expect, sync_playwright

from attnlib.exercises import exercises, get
from press.chapters import ROOT, Chapter, marker

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SETTINGS = {"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"}}
SECONDS = 1000  # in playwright's milliseconds
PATIENCE = 300 * SECONDS  # for one step of a busy machine; an idle one takes less than 20
expect.set_options(timeout=PATIENCE)


@dataclass(frozen=True)
class Lesson:
    """What a newcomer tries in one chapter: an exercise, a wrong answer, the mistake it makes."""

    chapter: str
    id: str
    wrong: str
    mistake: str


LESSONS = (
    Lesson("01_qkv", "1.3", """\
def self_attention(x, w_query, w_key, w_value):
    query, key, value = x @ w_query, x @ w_key, x @ w_value
    scores = query @ np.swapaxes(key, -1, -2) / np.sqrt(key.shape[-1])
    parts = np.exp(scores - scores.max(axis=-2, keepdims=True))
    return parts / parts.sum(axis=-2, keepdims=True) @ value
""", "over-queries"),
    Lesson("03_softmax", "3.2", """\
def my_softmax(scores, axis):
    parts = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return parts / parts.sum(axis=-1, keepdims=True)
""", "last-axis"),
)


def main(pictures=None):
    with tempfile.TemporaryDirectory() as home:
        with browsing(Path(home)) as (address, new_page):
            for done, lesson in enumerate(LESSONS, 1):
                with new_page(pictures, f"newcomer_{lesson.chapter}.png") as page:
                    take(page, address, lesson, done)
        record = json.loads((Path(home) / "progress.json").read_text(encoding="utf-8"))
    assert set(record["passed"]) == {lesson.id for lesson in LESSONS}, record
    print(f"The record of progress holds {', '.join(record['passed'])}.")


@contextlib.contextmanager
def browsing(home):
    """JupyterLab in this folder with a copy of student/, and Chromium before it.

    Yields:
        Its address, and a function that opens a page, ``with new_page(folder, name) as page``,
        whose last sight is stored in the folder, if there is one.
    """
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        sys.exit("this needs chromium: on Debian or Ubuntu, sudo apt install chromium")
    shutil.copytree(ROOT / "student", home / "student")
    with lab(home) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path,
                                             args=["--no-sandbox", "--disable-gpu"])

        @contextlib.contextmanager
        def new_page(pictures, name):
            page = browser.new_context(viewport={"width": 1200, "height": 1000}).new_page()
            page.set_default_timeout(PATIENCE)
            try:
                yield page
            finally:
                if pictures:
                    page.screenshot(path=Path(pictures) / name)
            page.context.close()

        yield address, new_page
        browser.close()


@contextlib.contextmanager
def lab(home):
    """JupyterLab in this folder, which also holds its settings and the record of progress."""
    (home / "settings").mkdir()
    (home / "settings" / "overrides.json").write_text(json.dumps(SETTINGS))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {f"JUPYTER_{name}_DIR": str(home / name.lower())
               for name in ("CONFIG", "DATA", "RUNTIME")}
    env = {**os.environ, **folders, "ATTNLIB_PROGRESS": str(home / "progress.json")}
    with open(home / "lab.log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
             "--ServerApp.port_retries=0", "--ServerApp.token=", f"--notebook-dir={home}",
             f"--LabApp.app_settings_dir={home / 'settings'}", "--LabApp.news_url=None",
             "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"],
            env=env, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(address, server, home / "lab.log")
        yield address
    finally:
        server.terminate()
        server.wait(PATIENCE // SECONDS)


def _wait_for(address, server, log):
    for _ in range(240):
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{address}/api", timeout=5).close()
            return
        time.sleep(0.5)
    sys.exit(f"JupyterLab did not start:\n{log.read_text()}")


def take(page, address, lesson, done):
    """One chapter: run all, answer wrongly, read, answer rightly, look at the progress."""
    notebook = nbformat.read(ROOT / "student" / f"{lesson.chapter}.ipynb", as_version=4)
    stub = next(i for i, cell in enumerate(notebook.cells)
                if cell.source.startswith(f"{marker(lesson.id)}\n"))
    page.goto(f"{address}/lab/tree/student/{lesson.chapter}.ipynb?reset")
    cells = page.locator(".jp-Notebook .jp-Notebook-cell")
    expect(cells).to_have_count(len(notebook.cells), timeout=120 * SECONDS)
    run_all(page, cells, notebook)
    said = cells.nth(stub + 1).locator(".jp-Cell-outputArea")
    _read(said, lesson, f"Exercise {lesson.id} is not attempted yet.")

    answer(page, cells.nth(stub), lesson.wrong)
    mistake = next(m for m in get(lesson.id).mistakes if m.name == lesson.mistake)
    _read(said, lesson, f"Exercise {lesson.id} is not right yet.", mistake.sentence, "expected:",
          "got:", f'hint("{lesson.id}")')

    answer(page, cells.nth(stub), solution(lesson))
    _read(said, lesson, f"Exercise {lesson.id} passed:", "hard one")

    cells.nth(stub + 1).locator(".jp-InputPrompt").click()
    page.keyboard.press("b")  # a new cell below
    write(page, cells.nth(stub + 2), "from attnlib.exercises import progress\nprogress()")
    page.keyboard.press("Shift+Enter")
    number, shown = lesson.id.partition(".")[0], cells.nth(stub + 2).locator(".jp-Cell-outputArea")
    in_chapter = sum(exercise.id.startswith(f"{number}.") for exercise in exercises())
    _read(shown, lesson, f"Progress: {done} of {len(exercises())} exercises",
          f"Chapter {number}: 1 of {in_chapter} exercises")
    picture = f"svg[aria-label='1 of {in_chapter} passed: {lesson.id}']"
    expect(shown.locator(picture)).to_be_visible()


def run_all(page, cells, notebook):
    """Run the notebook from its menu, and wait until every code cell has its number."""
    idle = page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']")
    expect(idle).to_be_visible(timeout=120 * SECONDS)  # a kernel that is not there runs nothing
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    last = max(i for i, cell in enumerate(notebook.cells)
               if cell.cell_type == "code" and cell.source.strip())
    prompt = cells.nth(last).locator(".jp-InputPrompt")
    expect(prompt).to_contain_text("]:", timeout=300 * SECONDS)
    expect(prompt).not_to_contain_text("*", timeout=300 * SECONDS)
    expect(prompt).not_to_contain_text("[ ]", timeout=300 * SECONDS)
    errors = page.locator("[data-mime-type='application/vnd.jupyter.error']")
    assert errors.count() == 0, f"a cell fails: {errors.first.inner_text()}"


def answer(page, stub, code):
    """Type an answer, run it, and run the check below it."""
    write(page, stub, code)
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")


def write(page, cell, code):
    """Replace what stands in a cell."""
    cell.scroll_into_view_if_needed()
    cell.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.press("Delete")
    page.keyboard.insert_text(code)


def solution(lesson):
    """The solution of the book, without the check at its end."""
    chapter = Chapter(ROOT / "book" / f"{lesson.chapter}.ipynb")
    exercise = next(e for e in chapter.exercises if e.id == lesson.id)
    sources = [chapter.cells[i].source for i in exercise.solution
               if chapter.cells[i].cell_type == "code"]
    return "\n".join(sources).partition("\n\n\ncheck(")[0]


def _read(place, lesson, *words):
    """What must be readable there; said aloud once it is."""
    for text in words:
        expect(place).to_contain_text(text.replace("`", ""), timeout=60 * SECONDS)
    print(f"{lesson.chapter}: {' '.join(place.inner_text().split())[:400]}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
