"""A sandbox for students' code: bubblewrap around a Python that forks a child for each request."""

import functools
import glob
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
from importlib import metadata
from pathlib import Path

import numpy as np
from packaging.requirements import Requirement

import attnlib
from attnlib.running import plain
from attnlib.running.outcome import Outcome

from . import call_numbers, server
from .limits import SECONDS

SCRATCH, SCRATCH_BYTES = "/scratch", 64 * 2**20
ENVIRONMENT = {
    "PYTHONHASHSEED": "0", "MPLBACKEND": "Agg", "LANG": "C.UTF-8", "PATH": "/nowhere",
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
}
CHECK = """\
checked = []


def check(id="", answer=None, *_, **__):
    checked.append((id, answer))
    return True


def hint(*_, **__):
    pass


progress = hint
"""  # in the place of attnlib's exercises: it notes what a check is given
START, SLACK = 120.0, 60.0  # seconds for it to start, and to answer after a child's time is over
INSIDE = ("answer", "bans", "call_numbers", "limits", "reading", "system_calls")  # and server.py
SITE = ("numpy", "torch", "IPython", "array_api_compat", "matplotlib")  # and what these need
PACKAGES = tuple(f"{place}/lib/python*/*-packages"  # other libraries of this computer
                 for place in ("/usr", "/usr/local", sys.base_prefix))
CGROUP = ("systemd-run", "--user", "--scope", "--quiet", "--collect", "-p", "MemoryMax=4G",
          "-p", "MemorySwapMax=0", "-p", "TasksMax=600", "--")

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

    def ask(self, request, arrays=(), seconds=SECONDS, total=None):
        """Have one child do something.

        A child that changed the process which makes the children is given one more try, in a new
        sandbox: then it is known that it was this one. Nobody comes after it in the old one.

        Args:
            request: what `classroom.sandbox.answer.answer` takes.
            arrays: those it needs.
            seconds: of processor time for each of its cells, and for its answer.
            total: the same for all of it; else three times as much.

        Returns:
            state: ``{"ended": "done", "time", "total", "size", "files", "changed", or "lost" if
                the whole sandbox went twice; "begun": how many cells were begun; "called":
                whether it came to the answer; "used", "cells": its time in all, and the processor
                time of each cell}``.
            body: what the child sent, for `server.unpacked`: to be read as from an enemy.
        """
        total = 3 * seconds if total is None else total
        body = server.packed(request | {"seconds": seconds, "total": total}, arrays)
        state = {"ended": "lost", "begun": 0, "called": False, "used": 0.0, "cells": []}
        for _ in range(2):
            if self.process is None:
                self._start()
            try:
                server.send(self.process.stdin, body)
                reply = self._receive(10 * total + SLACK)
            except (OSError, EOFError):
                self.close()
                continue
            end = 8 + int.from_bytes(reply[:8], "little")
            state, _ = server.unpacked(reply[:end])
            if state["changed"]:
                self.close()
                state["ended"] = "changed"
                continue
            if not state["clean"]:
                self.close()
            return state, reply[end:]
        return state, b""

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
                   else grouped() + walls(environment) + command + ["/sandbox/server.py"])
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
    for place in sorted({place for pattern in PACKAGES for place in glob.glob(pattern)}):
        words += ["--tmpfs", place, "--remount-ro", place]
    for folder, names in packages().items():
        words += ["--tmpfs", folder]
        for name in names:
            words += ["--ro-bind", f"{folder}/{name}", f"{folder}/{name}"]
        words += ["--remount-ro", folder]
    return [*words, "--ro-bind", server.__file__, "/sandbox/server.py", "--dev", "/dev",
            "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", SCRATCH, "--"]


@functools.cache
def grouped():
    """What puts a command into a cgroup of its own, where this user may make one."""
    if shutil.which(CGROUP[0]) is None:
        return []
    try:
        tried = subprocess.run([*CGROUP, "true"], capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [] if tried.returncode else list(CGROUP)


def needed():
    """What Python itself needs of the host's files."""
    system = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
    python = (os.path.realpath(sys.executable), sysconfig.get_path("stdlib"),
              os.path.join(sys.base_prefix, "lib"))
    return list(dict.fromkeys(Path(path) for path in (*system, *python)))


def site_folders():
    """The folders in which the libraries are that students may import."""
    return list(packages())


@functools.cache
def packages():
    """``{folder: what of it is there in the sandbox}``: `SITE`, and what it needs."""
    found = {}
    for name in SITE:
        spec = importlib.util.find_spec(name)
        if spec is not None:
            path = Path(spec.origin)
            top = path.parent if path.name == "__init__.py" else path
            found.setdefault(str(top.parent), set()).add(top.name)
    for distribution in distributions(SITE):
        for file in distribution.files or ():
            if file.parts[0] != ".." and file.parts[0] not in ("__pycache__", "bin"):
                folder = str(distribution.locate_file(""))
                found.setdefault(os.path.normpath(folder), set()).add(file.parts[0])
    return {folder: sorted(name for name in names if os.path.lexists(f"{folder}/{name}")
                           and name not in ("attnlib", "classroom", "press")
                           and not name.endswith(".pth"))
            for folder, names in found.items()}


def distributions(names):
    """The installed distributions of these names, and all that they need."""
    found, todo = {}, [name.lower().replace("_", "-") for name in names]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        for text in found[name].requires or ():
            needs = Requirement(text)
            if needs.marker is None or needs.marker.evaluate({"extra": ""}):
                todo.append(needs.name.lower().replace("_", "-"))
    return list(found.values())


def sources():
    """``{module: source}`` of what is imported in the sandbox from text.

    It is attnlib's own modules, what runs an answer, and of this folder what stands inside; in
    the place of attnlib's exercises there is a ``check`` that notes what it is given.
    """
    book, here = Path(attnlib.__file__).parent, Path(__file__).parent
    files = {"attnlib." + path.stem: path for path in book.glob("*.py")}
    files |= {"attnlib.running." + path.stem: path for path in (book / "running").glob("*.py")}
    files |= {"classroom.sandbox." + name: here / f"{name}.py" for name in INSIDE}
    texts = {name.removesuffix(".__init__"): path.read_text(encoding="utf-8")
             for name, path in files.items()}
    return texts | {"classroom": "", "classroom.sandbox": "", "attnlib.exercises": CHECK}


def probe(sandbox):
    """Run something in a sandbox and see that it is one; then two answers, to see that they can.

    Args:
        sandbox: `Sandbox`.

    Raises:
        NoSandbox: if it cannot be started, if what it runs can see out, or if an answer that
            should run is refused something; the message names it.
    """
    if not sandbox.trust:
        said = says(sandbox, PROBE.format(home=str(Path.home()), file=__file__))
        if said != "nothing":
            raise NoSandbox(HOW_TO_GET_IT.format(why=f"what it runs can see out ({said})."))
    for library, answer in SELF_TEST.items():
        if importlib.util.find_spec(library) and says(sandbox, answer) != "right":
            raise NoSandbox(CANNOT_RUN.format(library=library, why=refused(sandbox, answer)))


def says(sandbox, cell):
    """What the function ``seen`` of a cell gives back; else how it ended."""
    state, message, value = _seen(sandbox, cell, {})
    return value if value is not None else f"{state['ended']}: {message}"


def refused(sandbox, cell):
    """Which system calls a cell was refused, in words."""
    if platform.machine() != "x86_64":
        return "it ended otherwise."
    state, message, _ = _seen(sandbox, cell, {"trap": True})
    names = {number: name for name, number in call_numbers.NUMBER.items()}
    listed = [names.get(number, f"number {number}") for number in message.get("refused", ())]
    return f"refused were the system calls {', '.join(listed)}." if listed else (
        f"it ended otherwise ({state['ended']}: {message}).")


def _seen(sandbox, cell, more):
    request = {"do": "answer", "id": "", "cells": [cell], "name": "seen", "checked": False,
               "cases": one_case(), "takes": "numpy", "forbidden": [], "names": []}
    state, body = sandbox.ask(request | more)
    try:
        message = server.unpacked(body)[0]
        return state, message, plain.unpack(message["outcomes"], [])[0].value
    except (ValueError, KeyError, TypeError, IndexError):
        return state, {}, None


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
SELF_TEST = {
    "numpy": """
import os, tempfile, threading, time
import numpy as np

def seen():
    x = np.random.default_rng().normal(size=(300, 300))
    with tempfile.TemporaryFile() as file:
        np.save(file, x)
        file.seek(0)
        same = (np.load(file) == x).all()
    thread = threading.Thread(target=time.sleep, args=(0.001,))
    thread.start()
    thread.join()
    return "right" if same and np.allclose(np.linalg.inv(x) @ x, np.eye(300)) else "wrong"
""",
    "torch": """
import torch

def seen():
    layer = torch.nn.Linear(200, 200)
    torch.softmax(layer(torch.randn(300, 200)), -1).sum().backward()
    each = torch.func.vmap(torch.func.grad(lambda x: (x ** 2).sum()))(torch.ones(3, 2))
    return "right" if (each == 2).all() and layer.weight.grad is not None else "wrong"
"""}
CANNOT_RUN = """\
The sandbox refuses what an answer with {library} needs on this computer; no submission was run:
{why}
Please report this with your system's name and Python's version; until it is mended, grade on
another Linux machine."""


def one_case():
    """One case without inputs, packed."""
    return plain.pack([Outcome(value=[((), {})])])[0]


def file_array(data):
    """A file's bytes as an array, to be sent."""
    return np.frombuffer(data, np.uint8)
