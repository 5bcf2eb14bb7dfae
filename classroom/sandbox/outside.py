"""A sandbox for students' code: bubblewrap around a Python that forks a child for each request."""

import importlib.util
import os
import platform
import select
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np

import attnlib
from attnlib.running.runner import SECONDS

from . import server

SCRATCH, SCRATCH_BYTES = "/scratch", 64 * 2**20
ENVIRONMENT = {
    "PYTHONHASHSEED": "0", "MPLBACKEND": "Agg", "LANG": "C.UTF-8", "PATH": "/nowhere",
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
}
NO_CHECK = "def check(*_, **__):\n    pass\n\n\nhint = progress = check\n"
START, SLACK = 120.0, 15.0  # seconds for it to start, and to answer after a child's time is over
SITE = ("numpy", "torch", "IPython", "array_api_compat", "matplotlib")

HOW_TO_GET_IT = """\
Students' code runs only inside bubblewrap, and bubblewrap does not work here: {why}
  Debian, Ubuntu:  sudo apt install bubblewrap    (Fedora: sudo dnf install bubblewrap)
  It needs user namespaces; `sysctl user.max_user_namespaces` must not say 0.
  Ubuntu 24.04 bars programs from these by AppArmor; a profile allows it (later ones have it):
    sudo apt install apparmor-profiles
    sudo ln -s /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/
    sudo systemctl reload apparmor
  Inside a container, grade on the host, or start the container so that it may make namespaces.
  macOS, Windows:  grade inside a Linux virtual machine (on Windows, WSL 2 is one).
If you trust every submission as you trust your own code, --trust-submissions runs them without."""


class NoSandbox(RuntimeError):
    """Bubblewrap does not work here; the message says how to get it."""


class Sandbox:
    """Runs requests in children, each shut in; starts anew whenever it is lost.

    Args:
        trust: whether to do without bubblewrap. The limits and the filter of system calls hold
            all the same, but the files of this user can be read.

    Raises:
        NoSandbox: from `ask`, if it cannot be started.
    """

    def __init__(self, trust=False):
        self.trust, self.process, self.folder = trust, None, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self, request, arrays=(), seconds=SECONDS):
        """Have one child do something.

        Args:
            request: what `classroom.sandbox.answer.answer` takes.
            arrays: those it needs.
            seconds: for its cells, and once more for its answer.

        Returns:
            state: ``{"ended": "done", "time", "size", or "lost" if the whole sandbox went twice;
                "begun": how many cells were begun; "called": whether it came to the answer}``.
            body: what the child sent, for `server.unpacked`: to be read as from an enemy.
        """
        body = server.packed(request | {"seconds": seconds}, arrays)
        for _ in range(2):
            if self.process is None:
                self._start()
            try:
                server.send(self.process.stdin, body)
                reply = self._receive(2 * seconds + SLACK)
                break
            except (OSError, EOFError):
                self.close()
        else:
            return {"ended": "lost", "begun": 0, "called": False}, b""
        end = 8 + int.from_bytes(reply[:8], "little")
        state, _ = server.unpacked(reply[:end])
        if not state["clean"]:
            self.close()
        return state, reply[end:]

    def close(self):
        """Kill everything in it."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.process = self.folder = None

    def _start(self):
        if self.trust:
            self.folder = tempfile.mkdtemp(prefix="classroom-")
        scratch = self.folder or SCRATCH
        environment = ENVIRONMENT | {"HOME": scratch, "TMPDIR": scratch, "MPLCONFIGDIR": scratch}
        command = [os.path.realpath(sys.executable), "-s", "-S", "-P", "-B"]
        command = (command + [server.__file__] if self.trust
                   else walls(environment) + command + ["/sandbox/server.py"])
        with tempfile.TemporaryFile() as complaints:
            try:
                self.process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints,
                    env=environment, cwd=self.folder or "/", start_new_session=True)
                server.send(self.process.stdin, server.packed(
                    {"sources": sources(), "path": site_folders(), "scratch": scratch}))
                self._receive(START)
            except (OSError, EOFError) as error:
                self.close()
                complaints.seek(0)
                said = complaints.read().decode(errors="replace").strip().splitlines()
                raise NoSandbox(HOW_TO_GET_IT.format(why=said[-1] if said else error)) from None

    def _receive(self, seconds):
        """One message from the server, which is given up if it takes too long."""
        deadline, pipe = time.monotonic() + seconds, self.process.stdout.fileno()

        def read(count):
            parts = bytearray()
            while len(parts) < count:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([pipe], [], [], left)[0]:
                    raise EOFError("it does not answer")
                part = os.read(pipe, min(count - len(parts), 2**16))
                if not part:
                    raise EOFError("it ended")
                parts += part
            return bytes(parts)

        return read(int.from_bytes(read(8), "little"))


def walls(environment):
    """The bubblewrap command: namespaces, and read-only what Python and its libraries need."""
    bwrap = shutil.which("bwrap")
    if sys.platform != "linux" or bwrap is None:
        raise NoSandbox(HOW_TO_GET_IT.format(
            why="there is no command `bwrap`." if sys.platform == "linux"
            else f"it is for Linux, and this is {platform.system()}."))
    words = [bwrap, "--unshare-all", "--as-pid-1", "--die-with-parent", "--new-session",
             "--cap-drop", "ALL", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox",
             "--clearenv", *(word for pair in environment.items() for word in ("--setenv", *pair)),
             "--size", str(SCRATCH_BYTES), "--tmpfs", SCRATCH]
    for path in needed():
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), str(path)]
        elif path.exists():
            words += ["--ro-bind", str(path), str(path)]
    for folder in site_folders():
        for inside in ("attnlib", "classroom", "press"):  # were it installed: with its exercises
            if os.path.lexists(os.path.join(folder, inside)):
                words += ["--tmpfs", os.path.join(folder, inside)]
    return [*words, "--ro-bind", server.__file__, "/sandbox/server.py", "--dev", "/dev",
            "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", SCRATCH, "--"]


def needed():
    """What Python, numpy and torch need of the host's files."""
    system = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
    python = (os.path.realpath(sys.executable), sysconfig.get_path("stdlib"),
              os.path.join(sys.base_prefix, "lib"), *site_folders())
    return list(dict.fromkeys(Path(path) for path in (*system, *python)))


def site_folders():
    """The folders in which the libraries are that students may import."""
    specs = filter(None, map(importlib.util.find_spec, SITE))
    return list(dict.fromkeys(str(Path(spec.origin).parents[1]) for spec in specs))


def sources():
    """``{module: source}`` of what is imported in the sandbox from text.

    It is attnlib's own modules, what runs an answer, and of this folder what stands inside; in
    the place of attnlib's exercises there is a ``check`` that does nothing.
    """
    book, here = Path(attnlib.__file__).parent, Path(__file__).parent
    files = {"attnlib." + path.stem: path for path in book.glob("*.py")}
    files |= {"attnlib.running." + path.stem: path for path in (book / "running").glob("*.py")}
    files |= {"classroom.sandbox." + name: here / f"{name}.py" for name in ("limits", "answer")}
    texts = {name.removesuffix(".__init__"): path.read_text(encoding="utf-8")
             for name, path in files.items()}
    return texts | {"classroom": "", "classroom.sandbox": "", "attnlib.exercises": NO_CHECK}


def probe(sandbox):
    """Run something in a sandbox and see that it is one.

    Args:
        sandbox: `Sandbox`.

    Raises:
        NoSandbox: if it cannot be started, or if what it runs can see out.
    """
    state, body = sandbox.ask({
        "do": "answer", "cells": [PROBE.format(home=str(Path.home()), file=__file__)],
        "name": "seen", "cases": one_case(), "takes": "numpy", "forbidden": [], "names": []})
    text = server.unpacked(body)[0].get("outcomes", "") if body else ""
    if '"value": {"just": "nothing"}' not in text:
        raise NoSandbox(HOW_TO_GET_IT.format(why=f"what it runs can see out ({state}: {text})."))


PROBE = """
import os, socket

def seen():
    for look in (lambda: os.listdir({home!r}) and open({file!r}), os.fork,
                 lambda: socket.create_connection(("127.0.0.1", 9), 1)):
        try:
            look()
            return "something"
        except OSError:
            pass
    return "nothing" if os.getppid() == 1 else "other processes"
"""


def one_case():
    """One case without inputs, packed."""
    from attnlib.running import plain
    from attnlib.running.outcome import Outcome
    return plain.pack([Outcome(value=[((), {})])])[0]


def file_array(data):
    """A file's bytes as an array, to be sent."""
    return np.frombuffer(data, np.uint8)
