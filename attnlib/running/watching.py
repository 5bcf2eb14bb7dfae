"""What is noticed while an answer runs: calls, printing, time, and functions that were replaced."""

import contextlib
import importlib.util
import inspect
import io
import signal
import sys
import threading
import time
import tracemalloc
import types
from _thread import interrupt_main
from collections.abc import Callable

import numpy as np

GRACE = 3.0
STUBBORN = ("Still running after {:.0f} seconds, and it cannot be stopped from here. Interrupt it "
            "yourself: Kernel > Interrupt (Colab: Runtime > Interrupt execution; a terminal: "
            "Ctrl-C); if that does not help, restart the kernel.\n")
LINES_SHOWN, CHARACTERS_SHOWN = 5, 400


class Watch:
    """Notices calls of forbidden functions, however they were imported."""

    def __init__(self, names):
        self.codes, self.builtins, self.methods = {}, {}, {}
        self.called, self.before = set(), (None, None)
        for name in names:
            for function in functions_named(name):
                self._add(name, function)
        if names:
            self._add("sys.setprofile", sys.setprofile)

    def _add(self, name, function):
        function = inspect.unwrap(function)
        if hasattr(function, "__code__"):
            self.codes[id(function.__code__)] = name
        elif isinstance(function, (types.MethodDescriptorType, types.WrapperDescriptorType)):
            self.methods[function.__name__] = (name, function.__objclass__)
        else:
            self.builtins[function] = name

    def __enter__(self):
        self.called.clear()
        if self.codes or self.builtins or self.methods:
            self.before = sys.getprofile(), threading.getprofile()
            threading.setprofile(self._profile)
            sys.setprofile(self._profile)

    def __exit__(self, *_):
        if self.codes or self.builtins or self.methods:
            self.builtins.pop(sys.setprofile)
            here, in_threads = self.before
            sys.setprofile(here if callable(here) else None)  # a profiler in C cannot be put back
            threading.setprofile(in_threads)
            self.builtins[sys.setprofile] = "sys.setprofile"

    def _profile(self, frame, event, arg):
        if event == "call":
            name = self.codes.get(id(frame.f_code))
        elif event == "c_call":
            name = self.builtins.get(arg)
            if name is None and self.methods:
                name, owner = self.methods.get(arg.__name__, (None, object))
                name = name if issubclass(type(arg.__self__), owner) else None
        else:
            return
        if name is not None:
            self.called.add(name)

    def seen(self) -> tuple[str, ...]:
        return tuple(sorted(self.called))


def functions_named(name) -> list[Callable]:
    """The functions that a dotted name stands for.

    Args:
        name: of a function, or of a class or module, which stands for all of its own functions.

    Returns:
        List of functions; empty where what it leads through is not imported.

    Raises:
        ImportError, AttributeError: if the library has nothing of this name.

    >>> functions_named("attnlib.softmax")[0].__name__
    'softmax'
    """
    owner, _, attribute = name.rpartition(".")
    if not _imported(name):
        return []
    try:
        thing = getattr(importlib.import_module(owner), attribute)
    except ImportError:  # the owner is a class
        thing = getattr(_attribute_of(owner), attribute)
    if isinstance(thing, (types.ModuleType, type)):
        return [f for f in vars(thing).values() if isinstance(f, types.FunctionType)
                and f.__module__ == getattr(thing, "__module__", thing.__name__)]
    return [thing]


def _imported(name):
    """Whether the modules that a dotted name leads through are imported."""
    top, *parts = name.split(".")
    if top not in sys.modules:
        return False
    for part in parts:
        top = f"{top}.{part}"
        if top not in sys.modules:
            try:
                return importlib.util.find_spec(top) is None  # if not a module, an attribute
            except ModuleNotFoundError:  # an attribute's attribute
                return True
    return True


def imported() -> frozenset[str]:
    """Names of the watched modules that are imported."""
    return frozenset(WATCHED) & sys.modules.keys()


def _attribute_of(name):
    owner, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(owner), attribute)


# Functions that someone replaced.


def replaced_functions() -> tuple[str, ...]:
    """Dotted names of functions of numpy, torch and attnlib that are no longer their own.

    A check cannot be trusted once they are: what it compares with is computed by them.

    >>> replaced_functions()
    ()
    """
    for module in _watched_modules():
        if module not in _originals:
            _originals[module] = _functions(module)
    return tuple(sorted(
        f"{'torch.Tensor' if isinstance(owner, type) else owner.__name__}.{name}"
        for owner, originals in _originals.items()
        for name, original in originals.items() if getattr(owner, name, None) is not original))


WATCHED = ("math", "numpy", "numpy.linalg", "torch", "torch.nn.functional",
           "array_api_compat.numpy", "array_api_compat.torch", "attnlib.attention",
           "attnlib.masks", "attnlib.positions", "attnlib.heads", "attnlib.layers",
           "attnlib.multilevel", "attnlib.diagnostics")


def _watched_modules():
    modules = [sys.modules[name] for name in WATCHED if sys.modules.get(name)]
    whole = [m for m in modules if not getattr(m.__spec__, "_initializing", False)]
    return [*whole, *([m.Tensor for m in whole if m.__name__ == "torch"])]


def _functions(owner):
    """The functions in a namespace that nothing has a good reason to replace."""
    if isinstance(owner, type):
        kinds, names = types.MethodDescriptorType, dir(owner)
    elif owner.__name__ == "torch":  # which replaces some of the functions it wraps itself
        kinds, names = types.BuiltinFunctionType, vars(owner)
    else:
        kinds, names = (types.BuiltinFunctionType, types.FunctionType, np.ufunc,
                        type(np.concatenate)), vars(owner)
    things = {name: getattr(owner, name, None) for name in names}
    return {name: thing for name, thing in things.items() if isinstance(thing, kinds)}


_originals: dict = {}  # {module or class: {name: function}}
replaced_functions()


# Time and printing.


def is_over(seconds, wall, processor) -> bool:
    """Whether something has used up its time: processor time, so that a busy machine fails nobody.

    What waits, and does nothing, has as long by the clock; what gets little of a busy machine has
    ten times as long.

    Args:
        seconds: what it has.
        wall, processor: what went by, and what it used of it, in seconds.

    >>> is_over(10, 30, 9), is_over(10, 11, 10.5), is_over(10, 11, 0.1)
    (False, True, True)
    """
    return (processor >= seconds or wall >= 10 * seconds
            or wall >= seconds and processor < wall / 20)


class Room:
    """Notices how many bytes numpy and Python hold at once, or the largest tensor torch makes.

    >>> with Room() as room:
    ...     _ = np.zeros(10_000)
    >>> 80_000 <= room.used < 90_000
    True
    """

    used = 0

    def __enter__(self):
        self.tensors = _largest_tensor() if "torch" in sys.modules else contextlib.nullcontext()
        self.tensors.__enter__()
        self.was_on = tracemalloc.is_tracing()
        if not self.was_on:
            tracemalloc.start()
        tracemalloc.reset_peak()
        self.before = tracemalloc.get_traced_memory()[0]
        return self

    def __exit__(self, *_):
        self.used = tracemalloc.get_traced_memory()[1] - self.before
        if not self.was_on:
            tracemalloc.stop()
        self.tensors.__exit__(None, None, None)
        self.used = max(self.used, getattr(self.tensors, "bytes", 0))


def _largest_tensor():
    from torch.overrides import TorchFunctionMode

    class Largest(TorchFunctionMode):
        bytes = 0

        def __torch_function__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            for tensor in made if isinstance(made, (list, tuple)) else [made]:
                if type(tensor).__module__ == "torch" and hasattr(tensor, "nbytes"):
                    self.bytes = max(self.bytes, tensor.nbytes)
            return made

    return Largest()


class Limit:
    """Interrupts the main thread when the time is up; ``fired`` tells it from the user's own."""

    def __init__(self, seconds):
        self.seconds, self.fired = seconds, False
        self._over, self._lock = threading.Event(), threading.Lock()
        self._screen = sys.stderr

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            with contextlib.suppress(RuntimeError):  # where there are no threads, no limit
                threading.Thread(target=self._watch, daemon=True).start()

    def __exit__(self, *_):
        with self._lock:
            self._over.set()
        time.sleep(0)  # an interrupt on its way arrives here

    def _watch(self):
        start, began = time.monotonic(), time.process_time()
        while not is_over(self.seconds, time.monotonic() - start, time.process_time() - began):
            if self._over.wait(min(self.seconds / 20, 0.1)):
                return
        with self._lock:
            if self._over.is_set():
                return
            self.fired = True
            _interrupt_main()
        if not self._over.wait(GRACE):
            self._screen.write(STUBBORN.format(self.seconds))


def _interrupt_main():
    """Raise KeyboardInterrupt in the main thread; where signals can be sent, in a sleep too."""
    if hasattr(signal, "pthread_kill") and callable(signal.getsignal(signal.SIGINT)):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    else:
        interrupt_main()


@contextlib.contextmanager
def streams_to(printed):
    """Send standard output and standard error there, and put both back whatever happens."""
    streams = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = printed
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


class FirstLines(io.TextIOBase):
    """Keeps the beginning of what is printed and counts the rest."""

    def __init__(self):
        self.kept, self.lines = "", 0

    def writable(self):
        return True

    def write(self, text):
        self.kept += text[:CHARACTERS_SHOWN - len(self.kept)]
        self.lines += text.count("\n")
        return len(text)

    def text(self):
        lines = self.kept.splitlines()[:LINES_SHOWN]
        more = self.lines - len(lines)
        return "\n".join(lines) + (f"\n... and {more} more lines" if more > 0 else "")
