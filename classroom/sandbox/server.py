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
import resource
import select
import shutil
import signal
import sys
import time

REPLY, TEXT = 8 * 2**20, 2**20  # bytes that a child may send, and of them as text
GRACE = 1.0  # seconds that a child may go on after its time, to end by itself
TICK = 0.02  # seconds between two looks at a child that says nothing
INODES = 2000  # files and folders that a child may have at a time


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
    from classroom.sandbox import bans
    load(*WATCHED)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
        load(*bans.REFERENCES)
    bans.find()
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
    signal.pthread_sigmask(signal.SIG_UNBLOCK, range(1, signal.NSIG))
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
    serve(packed(WARM_UP), message["scratch"], room)  # what is made once, at the first fork
    send(replies, packed({"ready": os.getpid()}))
    os.dup2(null, 2)
    while body := receive(requests):
        send(replies, serve(body, message["scratch"], room))
    if os.getpid() != 1:  # without a sandbox the folder is a real one
        shutil.rmtree(message["scratch"], ignore_errors=True)


WARM_UP = {"do": "read", "seconds": 10.0, "total": 10.0}


def serve(body, scratch, room):
    """One request: fork, watch, kill, wipe, compare; first what became of it, then what it sent."""
    request, _ = unpacked(body)
    before, start = standing(), time.monotonic()
    pipe, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        child(body, end, scratch, room, request)
    os.close(end)
    ended, data, begun = watched(pipe, pid, request, scratch)
    os.close(pipe)
    status, used = finish(pid)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
        ended = "total"
    clean, after = wiped(scratch), standing()
    sent = data.lstrip(b".")
    wall = time.monotonic() - start
    cells = [round(end - start, 2) for start, end in zip(begun, [*begun[1:], used])]
    state = {"ended": ended, "begun": len(data) - len(sent), "called": sent[:1] == b"!",
             "clean": clean, "cells": cells,
             "used": round(used if used > wall / 20 else wall, 3),
             "changed": [name for name in before if before[name] != after[name]]}
    return packed(state) + sent[1:]


def standing():
    """What another process could change of this one: limits, turn, processors, open files."""
    found = {name: resource.getrlimit(getattr(resource, name))
             for name in dir(resource) if name.startswith("RLIMIT_")}
    found["nice"] = os.getpriority(os.PRIO_PROCESS, 0)
    for name in ("sched_getaffinity", "sched_getscheduler", "sched_getparam"):
        if hasattr(os, name):
            found[name] = getattr(os, name)(0)
    found["open files"] = [fd for fd in range(64) if is_open(fd)]
    return found


def is_open(fd):
    """Whether there is an open file of this number."""
    try:
        return bool(os.fstat(fd))
    except OSError:
        return False


def child(body, end, scratch, room, request):
    """The forked process; it never returns."""
    try:
        os.setsid()
        os.dup2(end, 3)
        os.closerange(4, 1024)
        os.chdir(scratch)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from classroom.sandbox import answer, limits
        refused = set() if request.get("trap") else None
        limits.enter(room, request["total"], refused)
        with os.fdopen(3, "wb") as out:
            answer.answer(*unpacked(body), out, packed, refused)
    finally:
        os._exit(0)


def watched(pipe, pid, request, scratch):
    """What a child sends until it ends, how it ended, and when its cells began.

    Each cell has its seconds of processor time, a dot for each, and so has the answer, after "!";
    all together have the total.

    Returns:
        ended: "done", "time", "total", "size" or "files".
        data: what it sent.
        begun: its processor time at each dot.
    """
    from attnlib.running.watching import is_over
    data, begun, called, used = bytearray(), [], False, 0.0
    first = start = time.monotonic()
    began = 0.0
    while True:
        if select.select([pipe], [], [], TICK)[0]:
            chunk = os.read(pipe, 2**16)
            if not chunk:
                return "done", bytes(data), begun
            used = processor_time(pid, used)
            if not called and (dots := chunk.partition(b"!")[0].count(b".")) + (b"!" in chunk):
                begun += [used] * min(dots, 10_000 - len(begun))
                start, began = time.monotonic(), used
            data += chunk
            called = called or b"!" in chunk
            if len(data) > REPLY:
                return "size", b"", begun
        used = processor_time(pid, used)
        seconds = request["seconds"] + GRACE * called
        if is_over(seconds, time.monotonic() - start, used - began):
            return "time", bytes(data), begun
        if is_over(request["total"], time.monotonic() - first, used):
            return "total", bytes(data), begun
        if os.getpid() == 1 and inodes(scratch) > INODES:
            return "files", bytes(data), begun


def processor_time(pid, last):
    """Seconds of processor time that another process has used; the last known if it is over."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # the clock of a process, as Linux numbers them
    except (OSError, OverflowError, AttributeError):
        return last


def inodes(folder):
    """How many files and folders there are on a file system."""
    about = os.statvfs(folder)
    return about.f_files - about.f_ffree


def finish(pid):
    """Kill the child and, as process 1 of a sandbox, everything else that is left.

    Returns:
        status, used: how it ended, and its processor time.
    """
    os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    if os.getpid() == 1:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
    return status, usage.ru_utime + usage.ru_stime


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
