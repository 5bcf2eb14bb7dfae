"""The server inside the sandbox: it has numpy and torch loaded and forks a child for each request.

It is started as a script, with nothing of the classroom beside it: what else it needs arrives as
text with the first message. It is trusted, and runs nothing that a student wrote; its children do
(`classroom.sandbox.answer`), after `classroom.sandbox.limits` have closed around them.
"""

import contextlib
import gc
import importlib
import importlib.util
import json
import math
import os
import re
import select
import shutil
import signal
import sys
import time

REPLY, TEXT = 8 * 2**20, 2**20  # bytes that a child may send, and of them as text
GRACE = 1.0  # seconds that a child may go on after its time, to end by itself


# How two processes talk: a message in JSON, then the arrays' bytes, nothing to be unpickled.


def packed(message, arrays=()):
    """A message and arrays of numbers as bytes.

    >>> unpacked(packed({"do": "read"}))
    ({'do': 'read'}, [])
    """
    shapes = [[array.dtype.str, array.shape] for array in arrays]
    text = json.dumps([message, shapes]).encode()
    return b"".join([len(text).to_bytes(8, "little"), text, *(a.tobytes() for a in arrays)])


def unpacked(body):
    """The message and the arrays of `packed`; safe with bytes from anybody.

    Raises:
        ValueError, TypeError, RecursionError: if the bytes are anything else.
    """
    end = 8 + int.from_bytes(body[:8], "little")
    message, shapes = json.loads(body[8:end])
    arrays = []
    for kind, shape in shapes:
        if not re.fullmatch(r"[<>|][biufc](1|2|4|8|16)", kind):
            raise ValueError(f"{kind!r} is no kind of number")
        if not all(type(n) is int and 0 <= n < 2**40 for n in shape) or len(shape) > 32:
            raise ValueError("this is no shape")
        import numpy as np  # once it can be found
        start, end = end, end + math.prod(shape) * np.dtype(kind).itemsize
        if end > len(body):
            raise ValueError("the array is cut off")
        arrays.append(np.ndarray(shape, kind, buffer=bytes(body[start:end])))
    return message, arrays


def send(file, body):
    """Write one message, its length first."""
    file.write(len(body).to_bytes(8, "little") + body)
    file.flush()


def receive(file):
    """Read one message; empty at the end."""
    return file.read(int.from_bytes(file.read(8), "little"))


# Modules from text.


class Memory:
    """Imports modules from text, once: whoever imports again or reloads gets what is there.

    So no file of them exists in the sandbox, and what was taken out of them stays out.
    """

    def __init__(self, sources):
        self.sources, self.modules = sources, {}
        self.packages = {name.rpartition(".")[0] for name in sources}

    def find_spec(self, name, path=None, target=None):
        if name not in self.sources and name not in self.modules:
            return None
        return importlib.util.spec_from_loader(name, Loader(self),
                                               is_package=name in self.packages)


class Loader:
    """What `Memory` loads one module with."""

    def __init__(self, memory):
        self.memory = memory

    def create_module(self, spec):
        return self.memory.modules.get(spec.name)

    def exec_module(self, module):
        name = module.__name__
        if name not in self.memory.modules:
            self.memory.modules[name] = module
            module.__file__ = f"/sandbox/{name.replace('.', '/')}.py"
            source = self.memory.sources.pop(name)
            exec(compile(source, module.__file__, "exec"), vars(module))


def set_up(sources, path):
    """Make everything importable, and import it, so that every child has it."""
    sys.path += path
    sys.meta_path.insert(0, Memory(sources))
    load("numpy", "torch", *sorted(sources))
    from attnlib.running.watching import WATCHED
    load(*WATCHED)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    gc.collect()
    gc.freeze()  # children that collect garbage do not copy all this


def load(*names):
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:  # there are courses without torch
            if error.name != "torch":
                raise


# The server.


def main():
    """Serve requests from standard input until it ends."""
    for fatal in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(fatal, signal.SIG_DFL)  # what has no handler does not reach process 1
    requests, replies = (os.fdopen(os.dup(fd), mode) for fd, mode in ((0, "rb"), (1, "wb")))
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)
    message, _ = unpacked(receive(requests))
    set_up(message["sources"], message["path"])
    from classroom.sandbox import limits
    room = limits.room()
    wiped(message["scratch"])
    send(replies, packed({"ready": os.getpid()}))
    os.dup2(null, 2)
    while body := receive(requests):
        send(replies, serve(body, message["scratch"], room))


def serve(body, scratch, room):
    """One request: fork, watch, kill, wipe; what the child sent comes after what became of it."""
    request, _ = unpacked(body)
    seconds = request["seconds"]
    pipe, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        child(body, end, scratch, room, seconds)
    os.close(end)
    ended, data = watched(pipe, seconds)
    os.close(pipe)
    status = finish(pid)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
        ended = "time"
    clean = wiped(scratch)
    sent = data.lstrip(b".")
    state = {"ended": ended, "begun": len(data) - len(sent), "called": sent[:1] == b"!",
             "clean": clean}
    return packed(state) + sent[1:]


def child(body, end, scratch, room, seconds):
    """The forked process; it never returns."""
    try:
        os.setsid()
        os.dup2(end, 3)
        os.closerange(4, 1024)
        os.chdir(scratch)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from classroom.sandbox import answer, limits
        limits.enter(room, seconds)
        with os.fdopen(3, "wb") as out:
            answer.answer(*unpacked(body), out, packed)
    finally:
        os._exit(0)


def watched(pipe, seconds):
    """What a child sends until it ends, and how it ended: "done", "time" or "size".

    It has its seconds for the cells, a dot for each, and once more for the answer, after "!".
    """
    data, calling = bytearray(), False
    deadline = time.monotonic() + seconds
    while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
        chunk = os.read(pipe, 2**16)
        data += chunk
        if not chunk:
            return "done", bytes(data)
        if len(data) > REPLY:
            return "size", b""
        if not calling and b"!" in chunk:
            calling, deadline = True, time.monotonic() + seconds + GRACE
    return "time", bytes(data)


def finish(pid):
    """Kill the child and, as process 1 of a sandbox, everything else that is left."""
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.getpid() == 1:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
    return status


def wiped(scratch):
    """Empty the scratch folder, and say whether it could be done."""
    try:
        for entry in os.scandir(scratch):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
    except (OSError, RecursionError):
        return False
    return True


if __name__ == "__main__":
    main()
