"""Firefox over WebDriver BiDi: just what looking at a page needs.

Firefox speaks the protocol itself (https://w3c.github.io/webdriver-bidi/), on a web socket.
"""

import base64
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from websocket import create_connection

NAMES = ("firefox", "firefox-esr")


def firefox_path():
    """Where Firefox is; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Firefox:
    """A headless Firefox with one page; `with` closes it."""

    def __enter__(self):
        self.profile = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [firefox_path(), "--headless", "--no-remote", "--remote-debugging-port=0", "--profile",
             self.profile.name], stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", line):
                break
        self.socket = create_connection(f"{found[1]}/session", timeout=60, suppress_origin=True)
        self.number = 0
        self("session.new", capabilities={})
        self.page = self("browsingContext.getTree")["contexts"][0]["context"]
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.process.terminate()
        self.process.wait(30)
        self.process.stderr.close()
        self.profile.cleanup()

    def __call__(self, method, **parameters):
        """Send a command; what it answers."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.number:
                if answer["type"] == "error":
                    raise RuntimeError(f"{method}: {answer['message']}")
                return answer["result"]

    def open(self, address, width=1400, height=900):
        """Show a page at this size."""
        self("browsingContext.setViewport", context=self.page,
             viewport={"width": width, "height": height})
        self("browsingContext.navigate", context=self.page, url=address, wait="complete")

    def evaluate(self, expression):
        """The value of a JavaScript expression, as JSON can say it."""
        result = self("script.evaluate", expression=f"JSON.stringify({expression} ?? null)",
                      target={"context": self.page}, awaitPromise=True)
        if result["type"] == "exception":
            raise RuntimeError(result["exceptionDetails"]["text"])
        return json.loads(result["result"].get("value", "null"))

    def keys(self, text):
        """Type, on whatever has the focus."""
        pressed = [{"type": kind, "value": sign} for sign in text for kind in ("keyDown", "keyUp")]
        self("input.performActions", context=self.page,
             actions=[{"type": "key", "id": "keys", "actions": pressed}])

    def picture(self, path):
        """Write what is seen as a PNG."""
        data = self("browsingContext.captureScreenshot", context=self.page)["data"]
        Path(path).write_bytes(base64.b64decode(data))
