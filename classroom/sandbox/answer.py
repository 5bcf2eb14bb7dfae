"""What a child of the server does: it reads a notebook, or runs its cells and calls an answer.

Nothing here can be trusted once a cell has run.
"""

import __future__

import ast
import io
import linecache
import sys
import types

from attnlib.running import plain, runner, watching
from attnlib.running.outcome import Case

from . import bans, reading


def answer(request, arrays, out, packed, refused=None):
    """Do what is asked and write what came of it.

    Args:
        request: ``{"do": "read"}``, with the file as an array of bytes; or ``{"do": "answer",
            "id", "cells", "name", "checked", "cases", "takes", "forbidden", "names", "seconds"}``:
            whether the last cell's check says what the answer is, or the name does.
        arrays: those of the cases, or of the file.
        out: file to write to: a dot for each cell begun, "!" before the answer is called, then
            the message.
        packed: makes bytes of a message and arrays, as `classroom.sandbox.server.packed`.
        refused: numbers of the system calls that were refused, in a self-test.
    """
    if request["do"] == "read":
        out.write(b"!" + packed(reading.read(arrays[0].tobytes())))
        return
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads = lambda threads: None
    bans.ban(request["forbidden"])
    (inputs,) = plain.unpack(request["cases"], arrays)
    checked = sys.modules["attnlib.exercises"].checked
    scope, stops, lacks, kept = new_main(), None, [], None
    for number, source in enumerate(request["cells"]):
        out.write(b".")
        out.flush()
        stops = run_cell(source, scope, f"<cell {number}>", lacks) or stops
        kept = attempted(scope, request["name"], kept)
    out.write(b"!")
    out.flush()
    function = given(request, scope, checked)
    told = {"stops": stops, "lacks": lacks[:20]}
    if not callable(function):
        out.write(packed({"missing": request["name"], **told}))
        return
    rooms = request.get("rooms") or [0] * len(inputs.value)
    cases = [Case(args=args, kwargs=kwargs, room=room)
             for (args, kwargs), room in zip(inputs.value, rooms, strict=True)]
    outcomes = runner.run(function, cases, takes=request["takes"], seconds=request["seconds"],
                          forbidden=request["forbidden"], names=request["names"], after=True)
    text, values = plain.pack(outcomes)
    out.write(packed({"outcomes": text, "refused": sorted(refused or ()), **told}, values))


def attempted(scope, name, kept):
    """The last attempted answer of this name, which an empty stub below it does not replace."""
    here = scope.get(name)
    if not runner.is_untouched(here):
        return here if callable(here) else kept
    if kept is not None:
        scope[name] = kept
    return kept


def given(request, scope, checked):
    """The answer: what the check was given, the last that was attempted; else by its name."""
    tried = [function for id, function in checked
             if str(id).partition("/")[0] == request["id"] and callable(function)]
    done = [function for function in tried if not runner.is_untouched(function)]
    if request["checked"] and done:
        return done[-1]
    named = scope.get(request["name"])
    if callable(named) and not runner.is_untouched(named):
        return named
    return (done or [named] * callable(named) or tried or [None])[-1]


# Cells.


def new_main():
    """The names of a new ``__main__``, as in a kernel that has just started."""
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    sys.stdin, sys.stdout, sys.stderr = (io.StringIO(), *(watching.FirstLines() for _ in "oe"))
    return vars(main)


def run_cell(text, scope, name="<cell>", lacks=None):
    """Run a cell's statements, passing over those that raise.

    Args:
        text: the cell.
        scope: names, as `new_main` gives them.
        name: what it is called in a traceback.
        lacks: list to which the names of modules are added that are not there.

    Returns:
        The name of the first exception, None if there was none.
    """
    try:
        text = reading.python(text)
        tree = ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RuntimeError) as error:
        return type(error).__name__
    linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name
    flags, first = 0, None
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            flags |= sum(getattr(__future__, alias.name).compiler_flag
                         for alias in statement.names if hasattr(__future__, alias.name))
        try:
            code = compile(ast.Module([statement], []), name, "exec", flags, True)
            exec(code, scope)
        except BaseException as error:  # whatever it is, a notebook would go on with the next cell
            first = first or plain.type_name(type(error))
            if lacks is not None and isinstance(error, ModuleNotFoundError):
                lacks.append(str(error.name)[:40])
    return first
