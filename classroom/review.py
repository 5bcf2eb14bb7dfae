"""A page on this computer for whoever marks: the grid, the answer, what was said, points, comment.

What is typed there is saved at once, as a line of ``overrides.csv`` beside the grades.
"""

import contextlib
import json
import math
import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from urllib.parse import unquote

from . import gradebook, overrides, reports

LARGEST = 100_000  # bytes of what the page sends


class Desk:
    """What is under review.

    Args:
        kit: `classroom.kit.Kit`.
        folder: of the grades.

    Raises:
        ValueError: if there are no grades, or they are another kit's.
    """

    def __init__(self, kit, folder):
        self.kit, self.folder, self.lock = kit, folder, Lock()
        gradebook.same_kit(kit, folder)
        if not self.records():
            raise ValueError(f"{folder} holds no grades: run `python -m classroom grade` first.")

    def records(self):
        """``{student: Record}``, with what was set by hand."""
        return {record.student: record for record in gradebook.records(self.folder)}

    def page(self, nonce):
        """The page, as text."""
        return reports.page("review.html", kit=self.kit, nonce=nonce, records=[
            *self.records().values()])

    def mark(self, student, exercise):
        """What is shown of one answer; its sentence and notes as HTML.

        Raises:
            KeyError: if there is no such student or exercise.
        """
        record = self.records()[student]
        mark = record.marks[exercise]
        return {
            "student": student, "name": record.name, "exercise": exercise,
            "title": self.kit.task(exercise).title, "points": mark.points, "out_of": mark.out_of,
            "checked": mark.points if mark.checked is None else mark.checked,
            "by_hand": mark.by_hand, "comment": mark.comment,
            "sentence": reports.sentence(mark.sentence),
            "said": reports.WORDS[mark.status] + (f": {mark.mistake}" if mark.mistake else ""),
            "witness": mark.witness, "answer": record.answers.get(exercise, ""),
            "notes": [reports.sentence(note) for note in (*record.notes, *record.private)],
            "sum": reports.number(record.points)}

    def set(self, student, exercise, points, comment):
        """Save points and a comment, and say what holds now.

        Args:
            student, exercise: whose answer to what.
            points: text, empty for what the check gave.
            comment: text.

        Raises:
            KeyError, ValueError: if there is no such answer, or that is no number of points.
        """
        with self.lock:
            self.mark(student, exercise)
            number = None
            if points.strip():
                number = float(points.strip().replace(",", "."))
                if not math.isfinite(number):
                    raise ValueError(points)
            overrides.set_one(self.folder, overrides.Override(student, exercise, number,
                                                              comment.strip()))
            return self.mark(student, exercise)


@contextlib.contextmanager
def server(kit, folder, port=0):
    """A server for one review, on this computer alone; nobody gets in without its address.

    Args:
        kit, folder: as for `Desk`.
        port: 0 for any that is free.

    Yields:
        server, address: `http.server.ThreadingHTTPServer`, and what to open in a browser.
    """
    desk, token = Desk(kit, folder), secrets.token_urlsafe(16)

    class Handler(BaseHTTPRequestHandler):
        """Answers what the page asks; everything else is refused."""

        def do_GET(self):
            self.answered(None)

        def do_POST(self):
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > LARGEST:
                return self.send_error(413)
            if self.headers.get("Content-Type") != "application/json":
                return self.send_error(415)  # which no other site can send without asking
            try:
                sent = json.loads(self.rfile.read(int(length)))
                self.answered((str(sent["points"]), str(sent["comment"])))
            except (ValueError, TypeError, KeyError):
                self.send_error(400)

        def answered(self, change):
            """The page, or one mark, changed or not."""
            own = f"127.0.0.1:{self.server.server_port}"
            parts = [unquote(part) for part in self.path.split("/")[1:]]
            if self.headers.get("Host") != own or not secrets.compare_digest(
                    parts[0].encode(), token.encode()):
                return self.send_error(403)
            try:
                if parts[1:] == [""] and change is None:
                    nonce = secrets.token_urlsafe(16)
                    return self.sent(desk.page(nonce), "text/html", nonce)
                if len(parts) != 4 or parts[1] != "mark":
                    return self.send_error(404)
                student, exercise = parts[2:]
                found = (desk.mark(student, exercise) if change is None
                         else desk.set(student, exercise, *change))
                self.sent(json.dumps(found), "application/json")
            except KeyError:
                self.send_error(404)
            except ValueError as error:
                self.sent(json.dumps({"error": f"not saved: {error}"}), "application/json",
                          status=400)
            except OSError as error:
                self.sent(json.dumps({"error": f"not saved: {error}"}), "application/json",
                          status=500)

        def sent(self, text, kind, nonce="", status=200):
            """Send text; a page may run its own script and ask this server, nothing else."""
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", "default-src 'none'; style-src "
                             f"'unsafe-inline'; connect-src 'self'; script-src 'nonce-{nonce}'; "
                             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
            for name, value in (("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer"),
                                ("X-Content-Type-Options", "nosniff")):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as found:
        yield found, f"http://127.0.0.1:{found.server_port}/{token}/"
