"""What Lighthouse says of the pages, on a phone: `python -m press lighthouse`.

Needs Chromium and npm, which fetches Lighthouse. The machine's load moves the numbers: they are
for a table, never for a test.
"""

import contextlib
import functools
import gzip
import http.server
import json
import os
import shutil
import statistics
import subprocess
import threading
from pathlib import Path

KINDS = ("performance", "accessibility", "best-practices", "seo")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Packed(http.server.SimpleHTTPRequestHandler):
    """A server that packs text, as a site's own does."""

    def do_GET(self):
        """Send a file."""
        path = Path(self.translate_path(self.path))
        if path.suffix not in (".html", ".css", ".js", ".svg") or not path.is_file():
            return super().do_GET()
        data = gzip.compress(path.read_bytes(), 9)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def copyfile(self, source, outputfile):
        """Send what a browser still wants: it may close the page before all has come."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            super().copyfile(source, outputfile)

    def log_message(self, *_):
        """Say nothing."""


def score(address, browser):
    """{kind: 0 to 100} of one visit."""
    command = ["npx", "--yes", "lighthouse", address, "--quiet", "--output=json",
               "--chrome-flags=--headless=new --no-sandbox --disable-gpu"]
    run = subprocess.run(command, env={**os.environ, "CHROME_PATH": browser}, check=True,
                         capture_output=True, text=True)
    found = json.loads(run.stdout)["categories"]
    return {kind: round(100 * found[kind]["score"]) for kind in KINDS}


def visits(site, names, runs=3):
    """Yields (page, [median score of each kind]), one page at a time.

    Raises:
        FileNotFoundError: if npm or Chromium is missing.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    for name, found in (("npm", shutil.which("npx")), ("Chromium", browser)):
        if not found:
            raise FileNotFoundError(f"Lighthouse needs {name}: install it")
    handler = functools.partial(Packed, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in names:
            address = f"http://127.0.0.1:{server.server_port}/{name}.html"
            scores = [score(address, browser) for _ in range(runs)]
            yield name, [statistics.median(run[kind] for run in scores) for kind in KINDS]
        server.shutdown()
