"""Calls an answer and turns what happened into plain data. Only this module runs a student's code.

It knows nothing of exercises, references or right and wrong: whatever it returns can be judged
in another process.
"""

import contextlib
import dis
import functools
import importlib
import inspect
import io
import json
import linecache
import numbers
import os
import re
import sys
import sysconfig
import threading
import time
import traceback
import types
import warnings
from _thread import interrupt_main
from dataclasses import asdict, replace
from decimal import Decimal

import numpy as np

from .core import Other, Outcome

SECONDS, GRACE = 10.0, 3.0
STUBBORN = ("Still running after {:.0f} seconds, and it cannot be stopped from here. Interrupt it "
            "yourself: Kernel > Interrupt (Colab: Runtime > Interrupt execution; a terminal: "
            "Ctrl-C); if that does not help, restart the kernel.\n")
LINES_SHOWN, CHARACTERS_SHOWN = 5, 400


def run(answer, cases, *, takes="numpy", forbidden=(), names=(), seconds=SECONDS):
    """Call an answer on every case, and once more with the other kind of array if it raised.

    Args:
        answer: what the student wrote; called with fresh copies of each case's inputs.
        cases: list of `Case`.
        takes: the kind of array to call with first, "numpy" or "torch".
        forbidden: dotted names of functions, classes or modules whose use is to be noticed.
        names: the arguments' names, for saying which of them was changed.
        seconds: time limit for all calls together; holds in the main thread only.

    Returns:
        List of `Outcome`, one per case.

    Raises:
        KeyboardInterrupt: if the user, not the time limit, interrupts.

    >>> from attnlib.exercises.core import Case
    >>> run(lambda x: x + 1, [Case(args=(1,))])[0].value
    2
    """
    if is_untouched(answer):
        return [Outcome(untouched=True)] * len(cases)
    if takes == "torch":
        _torch()
    replaced_functions()
    watch, limit, libraries = _Watch(forbidden), _Limit(seconds), _has_torch()
    streams, tries = (sys.stdout, sys.stderr), {}
    try:
        with limit:
            outcomes = _try_kinds(tries, cases, _kinds(takes), functools.partial(
                _call, answer, watch=watch, limit=limit, names=names))
    except KeyboardInterrupt:
        if not limit.fired:
            raise
        outcomes = _stopped(max(tries.values(), key=len), cases)
    finally:
        sys.stdout, sys.stderr = streams
    if _has_torch() and not libraries and not limit.fired:
        return run(answer, cases, takes=takes, forbidden=forbidden, names=names, seconds=seconds)
    replaced = replaced_functions()
    return [replace(outcome, replaced=replaced) for outcome in outcomes] if replaced else outcomes


def run_own(answer, cases, *, takes="numpy", names=()):
    """The same for one of our own functions: no time limit and nothing to watch for.

    Args:
        answer: a reference or a known mistake.
        cases, takes, names: as in `run`.

    Returns:
        List of `Outcome`, one per case.

    >>> from attnlib.exercises.core import Case
    >>> run_own(abs, [Case(args=(-1,))])[0].value
    1
    """
    call = functools.partial(_call, answer, watch=_Watch(()), limit=_Limit(0), names=names)
    return _try_kinds({}, cases, _kinds(takes), call)


def is_untouched(answer):
    """Whether a function's body is still a docstring and ``...``.

    >>> def stub(x):
    ...     '''What to do.'''
    ...     ...
    >>> is_untouched(stub), is_untouched(lambda x: x)
    (True, False)
    """
    code = getattr(inspect.unwrap(answer) if inspect.isfunction(answer) else None, "__code__", None)
    stub = _untouched.__code__
    return (code is not None and len(code.co_code) == len(stub.co_code)
            and _steps(code) == _steps(stub))


def replaced_functions():
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


def pack(outcomes):
    """Outcomes as JSON text and a list of arrays, to cross a process.

    Args:
        outcomes: list of `Outcome`.

    Returns:
        text, arrays: what `unpack` takes.

    >>> unpack(*pack([Outcome(value=(1, [2.5, None]))]))[0].value
    (1, [2.5, None])
    """
    arrays = []
    records = [asdict(replace(o, value=None, again=()))
               | {"value": _encode(o.value, arrays), "again": _encode(o.again, arrays)}
               for o in outcomes]
    return json.dumps(records), arrays


def unpack(text, arrays):
    """The outcomes that `pack` packed; nothing but plain data can come of it.

    Args:
        text, arrays: from `pack`; arrays may have been through ``np.savez`` without pickle.

    Returns:
        List of `Outcome`.

    Raises:
        ValueError, TypeError, KeyError, IndexError, AttributeError: if the text is not such a
            record; whoever trusts the sender least catches them.
    """
    outcomes = []
    for record in json.loads(text):
        record |= {"value": _decode(record["value"], arrays),
                   "again": _decode(record["again"], arrays),
                   "frames": tuple((str(f), int(n), str(line)) for f, n, line in record["frames"])}
        for name in ("changed", "forbidden", "replaced"):
            record[name] = tuple(str(item) for item in record[name])
        for name, field in Outcome.__dataclass_fields__.items():
            if field.type in (str, bool) and type(record[name]) is not field.type:
                raise TypeError(f"{name} must be of type {field.type.__name__}")
        outcomes.append(Outcome(**record))
    return outcomes


# One call.


def _try_kinds(tries, cases, kinds, call):
    """Outcomes with the first kind that never raises, else with the one that works best.

    ``tries`` is filled on the way, ``{kind: outcomes so far}``, and stays when time runs out.
    """
    for kind in kinds:
        outcomes = tries[kind] = []
        for case in cases:
            outcomes.append(call(case, kind))
            if outcomes[-1].raised:
                break
        else:
            return _called_again(outcomes, cases, kind, call)
    for kind, outcomes in tries.items():
        outcomes.extend(call(case, kind) for case in cases[len(outcomes):])
    return min(tries.values(), key=_trouble)


def _called_again(outcomes, cases, kind, call):
    """The outcomes, with a second call on the first and the last case."""
    for i in {0, len(cases) - 1}:
        again = call(cases[i], kind)
        value = Other(again.raised) if again.raised else again.value
        outcomes[i] = replace(outcomes[i], again=(value,))
    return outcomes


def _stopped(finished, cases):
    """The outcomes so far, then one that ran out of time for each case that is left."""
    finished = finished[:len(cases) - 1]  # at least one: time may run out in a second call
    return finished + [Outcome(timed_out=True)] * (len(cases) - len(finished))


def _call(answer, case, kind, watch, limit, names):
    args = tuple(_of_kind(x, kind) for x in case.args)
    kwargs = {name: _of_kind(x, kind) for name, x in case.kwargs.items()}
    before = plain((args, kwargs))
    printed, raised, notes = _FirstLines(), {}, _Notes()
    with warnings.catch_warnings(), watch, _streams(printed):
        warnings.simplefilter("ignore")
        try:
            value = plain(answer(*args, **kwargs), notes)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: nothing may leave the notebook
            value, raised = None, _describe(error)
    if limit.fired:  # and the answer swallowed the interrupt
        raise KeyboardInterrupt
    return Outcome(value=value, half=notes.half, kind=kind, forbidden=watch.seen(),
                   changed=_changed(before, plain((args, kwargs)), names),
                   printed=printed.text(), **raised)


def _kinds(takes):
    """The declared kind, then the other, if it is in use here."""
    yield takes
    if takes == "torch" or _has_torch():
        yield "numpy" if takes == "torch" else "torch"


def _trouble(outcomes):
    """How far a run is from having worked; wrong kinds of array are the worst sign."""
    raised = [outcome.raised for outcome in outcomes]
    return (sum(name in ("TypeError", "AttributeError") for name in raised),
            sum(map(bool, raised)))


def _of_kind(x, kind):
    """A copy of an input, its arrays of the given kind."""
    if isinstance(x, np.ndarray):
        return _torch().from_numpy(x.copy()) if kind == "torch" else x.copy()
    if isinstance(x, (list, tuple)):
        return type(x)(_of_kind(item, kind) for item in x)
    if isinstance(x, dict):
        return {name: _of_kind(item, kind) for name, item in x.items()}
    return x


def _changed(before, after, names):
    """Names of the arguments that differ from what they were."""
    (args, kwargs), (args_after, kwargs_after) = before, after
    labels = [*names, *(f"argument {i + 1}" for i in range(len(names), len(args)))]
    pairs = [*zip(labels, args, args_after),
             *((name, kwargs[name], kwargs_after.get(name)) for name in kwargs)]
    return tuple(name for name, x, y in pairs if not identical(x, y))


def identical(x, y):
    """Whether two plain values are the same, bit for bit but for NaN equal to NaN.

    >>> identical([np.array([np.nan])], [np.array([np.nan])])
    True
    """
    if type(x) is not type(y):
        return False
    if isinstance(x, np.ndarray):
        return (x.shape == y.shape and x.dtype == y.dtype
                and np.array_equal(x, y, equal_nan=x.dtype.kind in "fc"))
    if isinstance(x, (list, tuple)):
        return len(x) == len(y) and all(map(identical, x, y))
    if isinstance(x, dict):
        return list(x) == list(y) and all(identical(x[name], y[name]) for name in x)
    return x == y or (x != x and y != y)


# What came back, made plain.


class _Notes:
    """What is noticed while a value is made plain, and how many items are left to look at."""

    def __init__(self):
        self.half, self.left = False, 100_000


def plain(x, notes=None, depth=0):
    """A value as exact arrays, numbers, text, None, `Other`, and lists, tuples and dicts of them.

    Nothing of the student's own lives on in it: no subclass, no method.

    Args:
        x: anything.
        notes: where it is noted whether an array of half precision was among it.
        depth: how deep it is nested.

    >>> plain((np.float64(1.5), {"a": print}))
    (array(1.5), {'a': Other(type_name='builtin_function_or_method')})
    """
    notes = notes or _Notes()
    notes.left -= 1
    kind = type(x)
    if x is None or kind in (bool, int, float, str):
        return x
    try:
        if issubclass(kind, (np.ndarray, np.generic)):
            return _plain_array(np.array(x, subok=False, copy=True), notes, depth)
        if _has_torch() and issubclass(kind, _torch().Tensor):
            return _plain_tensor(x, notes)
        if issubclass(kind, (list, tuple, dict)) and depth < 8 and notes.left > 0:
            return _plain_items(x, kind, notes, depth + 1)
        return _plain_number_or_text(x, kind)
    except Exception:  # a hostile object: what it is called is all that is wanted of it
        return Other(_type_name(kind))


def _plain_items(x, kind, notes, depth):
    if issubclass(kind, dict):
        return {plain(name): plain(item, notes, depth) for name, item in dict.items(x)
                if issubclass(type(name), (str, int))}
    base = list if issubclass(kind, list) else tuple
    return base(plain(item, notes, depth) for item in base.__iter__(x))


def _plain_number_or_text(x, kind):
    for base, exact in ((str, str.__str__), (int, int.__index__), (float, float.__float__)):
        if issubclass(kind, base):
            return exact(x)
    return float(x) if issubclass(kind, (numbers.Real, Decimal)) else Other(_type_name(kind))


def _plain_array(array, notes, depth):
    if array.dtype.kind == "O":
        return plain(array.tolist(), notes, depth + 1)
    if array.dtype.kind in "US":
        return array.astype(str).tolist()
    if array.dtype.kind not in "biufc":
        return Other(f"array of {array.dtype}")
    notes.half |= array.dtype == np.float16
    return array


def _plain_tensor(tensor, notes):
    torch = _torch()
    with torch._C.DisableTorchFunctionSubclass(), torch.no_grad():
        tensor = torch.Tensor.detach(tensor).cpu().resolve_conj().resolve_neg()
        notes.half |= tensor.dtype in (torch.float16, torch.bfloat16)
        if tensor.dtype == torch.bfloat16:
            tensor = tensor.float()
        return np.array(torch.Tensor.numpy(tensor), subok=False, copy=True)


def _has_torch():
    """Whether torch is in use; it is not imported to find out."""
    return sys.modules.get("torch") is not None


def _torch():
    import torch
    return torch


def _type_name(kind):
    """A class's own name, whatever its metaclass says."""
    return str(type.__dict__["__name__"].__get__(kind))


def _encode(x, arrays):
    if isinstance(x, np.ndarray):
        arrays.append(x)
        return {"array": len(arrays) - 1}
    if isinstance(x, (list, tuple)):
        return {type(x).__name__: [_encode(item, arrays) for item in x]}
    if isinstance(x, dict):
        return {"dict": [[name, _encode(item, arrays)] for name, item in x.items()]}
    return {"other": x.type_name} if isinstance(x, Other) else {"just": x}


def _decode(x, arrays):
    (form, content), = x.items()
    if form == "array":
        return plain(arrays[int(content)])
    if form in ("list", "tuple"):
        return (list if form == "list" else tuple)(_decode(item, arrays) for item in content)
    if form == "dict":
        return {plain(name): _decode(item, arrays) for name, item in content}
    if form not in ("other", "just"):
        raise ValueError(f"an outcome holds no {form!r}")
    return Other(str(content)) if form == "other" else plain(content)


# What was raised.


def _describe(error):
    """An exception's name and words, and the student's own lines on the way to it."""
    try:
        message = str(error)
    except Exception:
        message = ""
    message = re.sub(r"0x[0-9a-fA-F]+", "0x...", message)
    return dict(raised=_type_name(type(error)), message=_cut(message), frames=_own_frames(error))


def _own_frames(error):
    """Up to three distinct lines of the student's own code, the last one where it happened."""
    places = {}
    for frame, number in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if not code.co_filename.startswith(_OTHERS):
            places.pop((code.co_filename, code.co_name, number), None)
            places[code.co_filename, code.co_name, number] = frame.f_globals
    return tuple((name, number, linecache.getline(file, number, scope).strip())
                 for (file, name, number), scope in list(places.items())[-3:])


def _cut(text):
    lines = text[:CHARACTERS_SHOWN].splitlines()[:LINES_SHOWN]
    whole = "\n".join(lines)
    return whole if len(whole) >= len(text.rstrip()) else whole + " ..."


_OTHERS = (os.path.dirname(os.path.dirname(__file__)), "<frozen", "<__array_function__",
           *{path for name, path in sysconfig.get_paths().items() if name.endswith("lib")})


# What was printed, and what was called.


@contextlib.contextmanager
def _streams(printed):
    streams = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = printed
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


class _FirstLines(io.TextIOBase):
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


class _Watch:
    """Notices calls of forbidden functions, however they were imported."""

    def __init__(self, names):
        self.codes, self.builtins, self.methods = {}, {}, {}
        self.called, self.previous = set(), None
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
            self.previous = sys.getprofile()
            threading.setprofile(self._profile)
            sys.setprofile(self._profile)

    def __exit__(self, *_):
        if self.codes or self.builtins or self.methods:
            self.builtins.pop(sys.setprofile)
            sys.setprofile(self.previous if callable(self.previous) else None)
            threading.setprofile(None)
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

    def seen(self):
        return tuple(sorted(self.called))


def functions_named(name):
    """The functions that a dotted name stands for.

    Args:
        name: of a function, or of a class or module, which stands for all of its own functions.

    Returns:
        List of functions; empty where the library is not imported.

    Raises:
        ImportError, AttributeError: if the library has nothing of this name.

    >>> functions_named("attnlib.softmax")[0].__name__
    'softmax'
    """
    owner, _, attribute = name.rpartition(".")
    if name.partition(".")[0] not in sys.modules:
        return []
    try:
        thing = getattr(importlib.import_module(owner), attribute)
    except ImportError:  # the owner is a class
        thing = getattr(_attribute_of(owner), attribute)
    if isinstance(thing, (types.ModuleType, type)):
        return [f for f in vars(thing).values() if isinstance(f, types.FunctionType)
                and f.__module__ == getattr(thing, "__module__", thing.__name__)]
    return [thing]


def _attribute_of(name):
    owner, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(owner), attribute)


# Functions that someone replaced.


def _watched_modules():
    names = ("numpy", "numpy.linalg", "torch", "torch.nn.functional", "attnlib.attention",
             "attnlib.masks", "attnlib.positions", "attnlib.heads", "attnlib.layers",
             "attnlib.multilevel", "attnlib.diagnostics")
    return [*(sys.modules[name] for name in names if sys.modules.get(name)),
            *([_torch().Tensor] if _has_torch() else [])]


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


_originals = {}
replaced_functions()


# Time.


class _Limit:
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
        if self._over.wait(self.seconds):
            return
        with self._lock:
            if self._over.is_set():
                return
            self.fired = True
            interrupt_main()
        if not self._over.wait(GRACE):
            self._screen.write(STUBBORN.format(self.seconds))


# A stub, to compare with.


def _untouched():
    ...


def _steps(code):
    """What a function does, without what differs between versions of Python."""
    return [(step.opname, step.argval) for step in dis.get_instructions(code)]
