"""Calls an answer and turns what happened into plain data. Only this module runs a student's code.

It knows nothing of exercises, references or right and wrong: whatever it returns can be judged
in another process.
"""

import contextlib
import dis
import functools
import inspect
import itertools
import linecache
import os
import re
import sys
import sysconfig
import traceback
import warnings
from dataclasses import replace

from .outcome import Outcome
from .plain import Notes, has_torch, identical, import_torch, of_kind, plain, type_name
from .watching import (
    CHARACTERS_SHOWN,
    LINES_SHOWN,
    FirstLines,
    Limit,
    Room,
    Watch,
    imported,
    replaced_functions,
    streams_to,
)

SECONDS = 10.0
LAZY = {"jacrev", "jacfwd", "hessian", "vmap", "func", "functorch", "jacobian"}


def run(answer, cases, *, takes="numpy", forbidden=(), names=(), seconds=SECONDS,
        after=False) -> list[Outcome]:
    """Call an answer on every case, and once more with the other kind of array if it raised.

    Args:
        answer: what the student wrote; called with fresh copies of each case's inputs.
        cases: list of `Case`.
        takes: the kind of array to call with first, "numpy" or "torch".
        forbidden: dotted names of functions, classes or modules whose use is to be noticed.
        names: the arguments' names, for saying which of them was changed.
        seconds: processor time for all calls together; holds in the main thread only.
        after: whether the outcomes hold the inputs as the calls left them.

    Returns:
        List of `Outcome`, one per case.

    Raises:
        KeyboardInterrupt: if the user, not the time limit, interrupts.

    >>> from attnlib.running.outcome import Case
    >>> run(lambda x: x + 1, [Case(args=(1,))])[0].value
    2
    """
    if is_untouched(answer):
        return [Outcome(untouched=True)] * len(cases)
    if takes == "torch":
        import_torch()
    _import_what_is_lazy(answer)
    before, limit = imported(), Limit(seconds)
    replaced_functions()  # knows from now on what is the libraries' own
    call = functools.partial(_call, answer, watch=Watch(forbidden), limit=limit, names=names,
                             after=after)
    outcomes = _within(limit, call, cases, takes)
    if imported() != before and not limit.fired:  # now their functions can be watched too
        return run(answer, cases, takes=takes, forbidden=forbidden, names=names, seconds=seconds,
                   after=after)
    replaced = replaced_functions()
    return [replace(outcome, replaced=replaced) for outcome in outcomes] if replaced else outcomes


def _import_what_is_lazy(answer):
    """Let what torch imports at a first use not count against the time limit."""
    code = getattr(inspect.unwrap(answer) if inspect.isfunction(answer) else None, "__code__", None)
    if code is not None and LAZY.intersection(_names(code)):
        torch = import_torch()
        torch.func.grad(torch.sin)(torch.tensor(1.0))


def _names(code):
    """Every name in a function's code, and in the functions inside it."""
    inner = (const for const in code.co_consts if inspect.iscode(const))
    return {*code.co_names, *itertools.chain.from_iterable(map(_names, inner))}


def run_own(answer, cases, *, takes="numpy", names=()) -> list[Outcome]:
    """The same for one of our own functions: no time limit and nothing to watch for.

    Args:
        answer: a reference or a known mistake.
        cases, takes, names: as in `run`.

    Returns:
        List of `Outcome`, one per case.

    >>> from attnlib.running.outcome import Case
    >>> run_own(abs, [Case(args=(-1,))])[0].value
    1
    """
    call = functools.partial(_call, answer, watch=Watch(()), limit=Limit(0), names=names)
    return _try_kinds({}, [replace(case, room=0) for case in cases], _kinds(takes), call)


def is_untouched(answer) -> bool:
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


# One call.


def _within(limit, call, cases, takes):
    """Outcomes, or as many as there were when the time ran out."""
    streams, tries = (sys.stdout, sys.stderr), {}
    try:
        with limit:
            return _try_kinds(tries, cases, _kinds(takes), call)
    except KeyboardInterrupt:
        if not limit.fired:
            raise
        return _stopped(max(tries.values(), key=len), cases)
    finally:
        sys.stdout, sys.stderr = streams


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
    for i in sorted({0, len(cases) - 1}):
        outcomes[i] = replace(outcomes[i], again=(call(cases[i], kind).value,))
    return outcomes


def _stopped(finished, cases):
    """The outcomes so far, then one that ran out of time for each case that is left."""
    finished = finished[:len(cases) - 1]  # at least one: time may run out in a second call
    return finished + [Outcome(timed_out=True)] * (len(cases) - len(finished))


def _call(answer, case, kind, watch, limit, names, after=False):
    args = tuple(of_kind(x, kind) for x in case.args)
    kwargs = {name: of_kind(x, kind) for name, x in case.kwargs.items()}
    before = plain((args, kwargs))
    printed, raised, notes = FirstLines(), {}, Notes()
    room = Room() if case.room else contextlib.nullcontext()
    with warnings.catch_warnings(), watch, streams_to(printed):
        warnings.simplefilter("ignore")
        try:
            with room:
                value = answer(*args, **kwargs)
            value = plain(value, notes)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: nothing may leave the notebook
            value, raised = None, _describe(error)
    if limit.fired:  # and the answer swallowed the interrupt
        raise KeyboardInterrupt
    left = plain((args, kwargs))
    return Outcome(value=value, half=notes.half, kind=kind, forbidden=watch.seen(),
                   changed=changed(before, left, names), after=left if after else None,
                   printed=printed.text(), used=getattr(room, "used", 0), **raised)


def _kinds(takes):
    """The declared kind, then the other, if it is in use here."""
    yield takes
    if takes == "torch" or has_torch():
        yield "numpy" if takes == "torch" else "torch"


def _trouble(outcomes):
    """How far a run is from having worked; wrong kinds of array are the worst sign."""
    raised = [outcome.raised for outcome in outcomes]
    return (sum(name in ("TypeError", "AttributeError") for name in raised),
            sum(map(bool, raised)))


def changed(before, after, names) -> tuple[str, ...]:
    """Names of the arguments that differ from what they were.

    Args:
        before, after: plain ``(args, kwargs)``.
        names: what the arguments are called.

    Raises:
        ValueError, TypeError, AttributeError: if ``after`` is no such pair.

    >>> changed(((1, 2), {}), ((1, 3), {}), ["a", "b"])
    ('b',)
    """
    (args, kwargs), (args_after, kwargs_after) = before, after
    labels = [*names, *(f"argument {i + 1}" for i in range(len(names), len(args)))]
    pairs = [*zip(labels[:len(args)], args, args_after, strict=True),
             *((name, kwargs[name], kwargs_after.get(name)) for name in kwargs)]
    return tuple(name for name, x, y in pairs if not identical(x, y))


# What was raised.


def _describe(error):
    """An exception's name and words, and the student's own lines on the way to it."""
    try:
        message = str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:
        message = ""
    message = re.sub(r"0x[0-9a-fA-F]+", "0x...", message)
    return dict(raised=type_name(type(error)), message=_cut(message), frames=_own_frames(error))


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


_OTHERS = ("<frozen", "<__array_function__", *{os.path.join(path, "") for path in (
    os.path.dirname(os.path.dirname(__file__)),
    *(path for name, path in sysconfig.get_paths().items() if name.endswith("lib")))})


# A stub, to compare with.


def _untouched():
    ...


def _steps(code):
    """What a function does, without what differs between versions of Python."""
    return [(step.opname, step.argval) for step in dis.get_instructions(code)]
