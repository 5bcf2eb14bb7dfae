"""What a child of the server does: it reads a notebook, or runs its cells and calls an answer.

Nothing here can be trusted once a cell has run.
"""

import __future__

import ast
import ctypes
import inspect
import io
import json
import re
import sys
import types
import zipfile

from IPython.core.inputtransformer2 import TransformerManager

from attnlib.running import plain, runner, watching
from attnlib.running.outcome import Case

CELLS, CHARACTERS = 2000, 500_000  # of code that is read
FILE = 64 * 2**20  # bytes of a notebook inside an archive
PYTHON_MAGICS = ("%%time", "%%timeit", "%%capture", "%%prun")


def answer(request, arrays, out, packed):
    """Do what is asked and write what came of it.

    Args:
        request: ``{"do": "read"}``, with the file as an array of bytes; or ``{"do": "answer",
            "cells", "name", "cases", "takes", "forbidden", "names", "seconds"}``.
        arrays: those of the cases, or of the file.
        out: file to write to: a dot for each cell begun, "!" before the answer is called, then
            the message.
        packed: makes bytes of a message and arrays, as `classroom.sandbox.server.packed`.
    """
    if request["do"] == "read":
        out.write(b"!" + packed(read(arrays[0].tobytes())))
        return
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads = lambda threads: None
    ban(request["forbidden"])
    (inputs,) = plain.unpack(request["cases"], arrays)
    scope = new_main()
    for source in request["cells"]:
        out.write(b".")
        out.flush()
        run_cell(source, scope)
    out.write(b"!")
    out.flush()
    function = scope.get(request["name"])
    if not callable(function):
        out.write(packed({"missing": request["name"]}))
        return
    cases = [Case(args=args, kwargs=kwargs) for args, kwargs in inputs.value]
    outcomes = runner.run(function, cases, takes=request["takes"], seconds=request["seconds"],
                          forbidden=request["forbidden"], names=request["names"])
    text, values = plain.pack(outcomes)
    out.write(packed({"outcomes": text}, values))


# A file that should be a notebook.


def read(data):
    """The code cells of a notebook, whichever version it has and whatever is missing.

    Args:
        data: the file's bytes; of an archive, its first notebook is read.

    Returns:
        ``{"cells": sources, "edition", "variant": what the notebook says of itself, or None}``, or
        ``{"problem": words}``.
    """
    try:
        if data[:4] == b"PK\3\4":
            data = unzipped(data)
        notebook = json.loads(data)
        sheets = notebook["worksheets"] if "worksheets" in notebook else [notebook]
        found = [(cell.get("cell_type"), source(cell)) for sheet in sheets
                 for cell in sheet["cells"] if isinstance(cell, dict)]
    except (ValueError, KeyError, TypeError, RecursionError, MemoryError, StopIteration,
            NotImplementedError, zipfile.BadZipFile, RuntimeError):
        return {"problem": "not a notebook"}
    cells = [text for kind, text in found if kind == "code"]
    if len(cells) > CELLS or sum(map(len, cells)) > CHARACTERS:
        return {"problem": "too much code for a notebook"}
    return {"cells": cells} | {word: said(notebook, found, word) for word in ("edition", "variant")}


def said(notebook, found, word):
    """What a notebook says of itself: under its title or, without that, in its metadata."""
    title = next((text for kind, text in found
                  if kind == "markdown" and text.startswith("# ")), "")
    if match := re.search(rf"· {word} (\w{{1,20}})", title):
        return match[1]
    metadata = notebook.get("metadata")
    belongs = metadata.get("assignment") if isinstance(metadata, dict) else None
    return str(belongs.get(word))[:20] if isinstance(belongs, dict) else None


def unzipped(data):
    """The first notebook in an archive; nothing is written anywhere."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        name = next(name for name in archive.namelist()
                    if name.endswith(".ipynb") and not re.search(r"__MACOSX|checkpoint", name))
        with archive.open(name) as file:
            return file.read(FILE)


def source(cell):
    """A cell's source; it is text or a list of lines, called ``input`` in old notebooks."""
    lines = cell.get("source", cell.get("input", ""))
    return "".join(map(str, lines)) if isinstance(lines, list) else str(lines)


# Cells.


def new_main():
    """The names of a new ``__main__``, as in a kernel that has just started."""
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    sys.stdin, sys.stdout, sys.stderr = (io.StringIO(), *(watching.FirstLines() for _ in "oe"))
    return vars(main)


def run_cell(text, scope):
    """Run a cell's statements, passing over those that raise."""
    try:
        tree = ast.parse(python(text))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return
    flags = 0
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            flags |= sum(getattr(__future__, alias.name).compiler_flag
                         for alias in statement.names if hasattr(__future__, alias.name))
        try:
            code = compile(ast.Module([statement], []), "<cell>", "exec", flags, True)
            exec(code, scope)
        except BaseException:  # whatever it is, a notebook would go on with the next cell
            continue


def python(text):
    """A cell as Python: magics and shell lines become calls that fail and are passed over.

    >>> python("%%time\\nx = 1")
    'x = 1\\n'
    """
    lines = text.lstrip().splitlines()
    while lines and lines[0].startswith(PYTHON_MAGICS):
        lines = lines[1:]
    return TransformerManager().transform_cell("\n".join(lines))


# Functions that an exercise does without.


def ban(names):
    """Make functions raise, wherever they were imported, before any cell runs.

    Args:
        names: dotted names, as in `Exercise.forbidden`.
    """
    for name in names:
        for function in watching.functions_named(name):
            inner = inspect.unwrap(function)
            for python_function in {function, inner}:
                if isinstance(python_function, types.FunctionType):
                    python_function.__code__ = refusal(python_function.__code__)
            if not isinstance(inner, types.FunctionType):
                replace(name, inner)
                ban_operators(inner)
    watching._originals.clear()  # from now on this is what the libraries' own functions are
    watching.replaced_functions()


def refuse(*args, **kwargs):
    raise PermissionError("The exercise does without this function.")


def refusal(code):
    """The code of `refuse`, for a function of another form."""
    return refuse.__code__.replace(co_freevars=code.co_freevars)


def replace(name, function):
    """Put a function that raises in the place of one that is not written in Python."""
    def banned(*args, **kwargs):
        raise PermissionError("The exercise does without this function.")

    top, short = name.partition(".")[0], function.__name__
    owners = [module for other, module in list(sys.modules.items())
              if other.partition(".")[0] == top]
    if top == "torch":
        owners += [sys.modules["torch"].Tensor, sys.modules["torch"]._C._VariableFunctions]
    for owner in owners:
        if getattr(owner, "__dict__", {}).get(short) is function or (
                isinstance(owner, type) and getattr(owner, short, None) is function):
            setattr(owner, short, banned)


def ban_operators(function):
    """The same one level below: torch's operators of this name, however they are reached."""
    if "torch" not in sys.modules:
        return
    c = sys.modules["torch"]._C
    stem = function.__name__.removesuffix("_attention")
    found = [name for name in c._dispatch_get_all_op_names()
             if re.match(rf"aten::_?{re.escape(stem)}(_|\.|$)", name)]
    for key in ("CPU", "CompositeImplicitAutograd"):
        library = c._dispatch_library("IMPL", "aten", key, "", 0)
        for name in found:
            library.impl(name.removeprefix("aten::"), key, refuse, False)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(library))  # stays, and nobody can find it
