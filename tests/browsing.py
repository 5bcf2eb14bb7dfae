"""What the tests of the site share: a strict build, a server, a browser, what axe finds."""

import contextlib
import functools
import http.server
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from press.chapters import ROOT

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LEFT = "net::ERR_ABORTED"  # what was still on its way when the page was left
PATIENCE = 120_000  # milliseconds that a busy machine may take


def browser_path():
    """Where Chromium is; None if there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def build(source, out):
    """A strict build: warnings are errors. Returns the finished process."""
    command = [Path(sys.executable).with_name("jupyter-book"), "build", str(source),
               "--path-output", str(out), "-W", "--keep-going", "--quiet"]
    return subprocess.run(command, capture_output=True, text=True, timeout=1800)


def built(out):
    """The folder of the site, built from the checkout."""
    run = build(ROOT, out)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return out / "_build" / "html"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that does not talk."""

    def log_message(self, *_):
        """Say nothing."""


@contextlib.contextmanager
def served(folder):
    """The address at which a folder is served, on this machine alone."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Visits:
    """Opens pages of a site that stands at an address; keeps what the browser complains of."""

    def __init__(self, chromium, address):
        self.chromium, self.address, self.contexts = chromium, address, []

    def __call__(self, name, width=1400, scheme="light", **options):
        """(page, complaints) of a page; `name` may end in a `#place`."""
        context = self.chromium.new_context(viewport={"width": width, "height": 900},
                                            color_scheme=scheme, **options)
        context.set_default_timeout(PATIENCE)
        self.contexts.append(context)
        page, complaints = context.new_page(), []
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: complaints.append(f"asked for {r.url}")
                if not r.url.startswith((self.address, "data:", "blob:")) else None)
        page.on("requestfailed", lambda r: complaints.append(f"could not load {r.url}: {r.failure}")
                if r.failure != LEFT else None)
        name, _, place = name.partition("#")
        page.goto(f"{self.address}/{name}.html" + (f"#{place}" if place else ""),
                  wait_until="load")
        if options.get("java_script_enabled", True):
            page.add_style_tag(content="* {transition: none !important}")  # colours half-way there
        return page, complaints

    def close(self):
        """Close every page."""
        for context in self.contexts:
            context.close()
        self.contexts = []


def opened(page):
    """Open everything that is folded on a page."""
    page.evaluate("document.querySelectorAll('details:not(.menu)').forEach(d => { d.open = true })")


def axe_faults(page):
    """One line for each rule that a page breaks, by axe."""
    from axe_core_python.sync_playwright import Axe

    report = Axe().run(page, options={"resultTypes": ["violations"]})
    return [f"{fault['id']}: {fault['help']}: "
            + "; ".join(node["html"][:160] for node in fault["nodes"][:3])
            for fault in report["violations"]]
