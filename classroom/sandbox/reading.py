"""Inside: reads a file that should be a notebook, and says what its cells hold. It runs nothing.

All reading of a student's text is done here, where it has limits: outside, only what this says is
looked at.
"""

import ast
import io
import json
import re
import zipfile

from IPython.core.inputtransformer2 import TransformerManager

CELLS, CHARACTERS = 2000, 500_000  # of code that is read
LINE = 200  # characters of a line in which a marker is looked for
TRANSFORMED, MAGICS = 20_000, 40  # characters, and magics, of a cell: each reads all of it anew
MAGIC = re.compile(r"^[ \t]*[%!?/,;]|=[ \t]*[%!]|\?[ \t]*$", re.M)
NOTEBOOKS, DEPTH = 6, 2  # in an archive, and archives in archives
FILE = 64 * 2**20  # bytes of a notebook inside an archive
PYTHON_MAGICS = ("%%time", "%%timeit", "%%capture", "%%prun")
MARKER = re.compile(r"\s{0,40}#[#\s]{0,9}answer\s{1,9}(\d{1,4}\.\d{1,4})(?:\s{1,9}v(\d{1,5}))?"
                    r"\s*", re.I)
CHECK = re.compile(r"\bcheck\(\s{0,9}[\"'](\d{1,4}\.\d{1,4})")
DEFINED = re.compile(r"\s{0,40}(?:(?:async )?def (\w+)|class (\w+)|(\w+)(?::[^=]*)? ?=[^=])")
INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
IMAGES = {b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture", b"%PDF": "a PDF",
          b"\xd0\xcf\x11\xe0": "a document of an office program", b"Rar!": "a RAR archive",
          b"7z\xbc\xaf": "a 7z archive", b"\x1f\x8b": "a gzip archive"}
NOT_READ = (ValueError, KeyError, TypeError, RecursionError, MemoryError, AttributeError,
            NotImplementedError, zipfile.BadZipFile, RuntimeError, EOFError, OSError)


def read(data):
    """The notebooks in a file, whichever version they have and whatever is missing.

    Args:
        data: the file's bytes: a notebook, an archive of some, or a script with markers.

    Returns:
        ``{"notebooks": [{"name", "cells", "edition", "variant"}, ...], "problem": words}``; what
        a notebook says of itself is text or None, a cell is as `about` has it. The problem is
        empty, or says why there is no notebook.
    """
    found, problems = [], []
    for name, text in opened(data, DEPTH):
        try:
            notebook = parsed(text)
        except NOT_READ as error:
            known = error.args[:1] and str(error.args[0]) in TOLD
            problems.append(str(error.args[0]) if known else "not a notebook")
        else:
            found.append({"name": name[-80:], **notebook})
    return {"notebooks": found, "problem": "" if found else (problems or ["not a notebook"])[0]}


def opened(data, depth):
    """``(name, bytes)`` of what could be a notebook; nothing is written anywhere."""
    if data[:4] != b"PK\3\4":
        yield "", data
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist()[:CELLS] if not re.search(
                r"__MACOSX|\.ipynb_checkpoints|(^|/)\._", name)]
            wanted = ([name for name in names if ".ipynb" in name.lower()]
                      or [name for name in names if name.lower().endswith((".json", ".py"))]
                      + [name for name in names if depth > 1 and name.lower().endswith(".zip")])
            for name in wanted[:NOTEBOOKS]:
                with archive.open(name) as file:
                    inner = file.read(FILE)
                for within, text in opened(inner, depth - 1):
                    yield within or name, text
    except NOT_READ:
        yield "", b""


TOO_MUCH = "too much code for a notebook"
TOLD = {TOO_MUCH, "empty", "a script without a line like `# answer 1.1`", *IMAGES.values()}


def parsed(data):
    """The cells of a notebook or a script, and what it says of itself."""
    if not data.strip(b"\0 \r\n\t"):
        raise ValueError("empty")
    for beginning, words in IMAGES.items():
        if data.startswith(beginning):
            raise ValueError(words)
    text = decoded(data)
    try:
        notebook = json.loads(text)
    except ValueError:
        return script(text)
    sheets = notebook["worksheets"] if "worksheets" in notebook else [notebook]
    found = [(str(cell.get("cell_type")), source(cell)) for sheet in sheets
             for cell in sheet["cells"] if isinstance(cell, dict)]
    return {"cells": cells(found)} | {word: said(notebook, found, word)
                                      for word in ("edition", "variant")}


def decoded(data):
    """A file's text, in whichever letters an editor saved it."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def script(text):
    """A notebook that was saved as a script: a cell begins at each marker and each ``# %%``."""
    starts, lines = [], text[:CHARACTERS + 1].splitlines(keepends=True)
    for number, line in enumerate(lines):
        if MARKER.fullmatch(line[:LINE].translate(INVISIBLE)) or line.startswith(
                ("# %%", "# In[", "#%%")):
            starts.append(number)
    found = [("code", "".join(lines[a:b])) for a, b in zip([0, *starts], [*starts, len(lines)])]
    if not any(markers(cell) for _, cell in found):
        looks = not text.lstrip().startswith(("{", "[")) and ("def " in text or "import " in text)
        raise ValueError("a script without a line like `# answer 1.1`" if looks
                         else "not a notebook")
    head = re.search(r"· edition (\w{1,20})", text)
    variant = re.search(r"· variant (\w{1,20})", text)
    return {"cells": cells(found), "edition": head and head[1], "variant": variant and variant[1]}


def cells(found):
    """What is said of each cell that is code, or has an answer's marker all the same."""
    kept = [(kind, text) for kind, text in found if kind == "code" or markers(text)]
    if len(kept) > CELLS or sum(len(text) for _, text in kept) > CHARACTERS:
        raise ValueError(TOO_MUCH)
    return [about(text, kind == "code") for kind, text in kept]


def said(notebook, found, word):
    """What a notebook says of itself: under its title or, without that, in its metadata."""
    title = next((text[:2000] for kind, text in found
                  if kind == "markdown" and text.startswith("# ")), "")
    if match := re.search(rf"· {word} (\w{{1,20}})", title):
        return match[1]
    metadata = notebook.get("metadata")
    belongs = metadata.get("assignment") if isinstance(metadata, dict) else None
    return str(belongs.get(word))[:20] if isinstance(belongs, dict) else None


def source(cell):
    """A cell's source; it is text or a list of lines, called ``input`` in old notebooks."""
    lines = cell.get("source", cell.get("input", ""))
    return "".join(map(str, lines)) if isinstance(lines, list) else str(lines)


# What a cell holds.


def about(text, code=True):
    """A cell's source, whether it is code, and what stands in it.

    Returns:
        ``{"source", "code", "markers": [[exercise, variant or None], ...], "defines": {name:
        whether it is more than a stub}, "checks": [exercise, ...]}``.

    >>> about("# answer 2.3 v4\\nif True:\\n    def f(x): ...")["defines"]
    {'f': False}
    """
    try:
        tree = ast.parse(python(text))
    except (SyntaxError, ValueError, MemoryError, RuntimeError):  # RecursionError among these
        defines, checks = by_lines(text)
    else:
        defines, checks = {}, []
        for node in statements(tree.body):
            defines |= names(node)
        for node in ast.walk(tree):
            if (isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute))
                    and getattr(node.func, "id", getattr(node.func, "attr", "")) == "check"
                    and node.args and isinstance(node.args[0], ast.Constant)
                    and isinstance(node.args[0].value, str)):
                checks.append(node.args[0].value.partition("/")[0][:20])
    return {"source": text, "code": code, "markers": markers(text), "defines": defines,
            "checks": checks}


def markers(text):
    """``[exercise, variant or None]`` of each marker in a cell.

    >>> markers("#\u00a0Answer  2.3 v4")
    [['2.3', 4]]
    """
    lines = (line[:LINE].translate(INVISIBLE) for line in text.splitlines())
    return [[match[1], int(match[2]) if match[2] and int(match[2]) else None]
            for match in map(MARKER.fullmatch, lines) if match]


def by_lines(text):
    """The same of a cell that is no Python: names, all attempted, and checks."""
    defines, checks = {}, []
    for line in text.splitlines():
        if match := DEFINED.match(line[:LINE]):
            defines[next(filter(None, match.groups()))] = True
        checks += CHECK.findall(line[:LINE])
    return defines, checks


def statements(body):
    """The statements of a cell, those under ``if``, ``for``, ``with`` and ``try`` included."""
    todo = list(reversed(body))
    while todo:
        node = todo.pop()
        yield node
        for block in ("finalbody", "handlers", "orelse", "body"):
            inner = getattr(node, block, None)
            if isinstance(inner, list) and not isinstance(
                    node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                todo += reversed(inner)


def names(node):
    """``{name: whether it is more than a stub}`` that a statement defines."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return {node.name: not is_stub(node)}
    if isinstance(node, ast.ClassDef):
        return {node.name: True}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {alias.asname: True for alias in node.names if alias.asname}
    targets = node.targets if isinstance(node, ast.Assign) else [
        node.target] if isinstance(node, ast.AnnAssign) and node.value else []
    return {target.id: True for target in targets if isinstance(target, ast.Name)}


def is_stub(node):
    """Whether a function's body is still a docstring and ``...``."""
    body = node.body[ast.get_docstring(node, clean=False) is not None:]
    return all(isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
               and line.value.value is ... for line in body)


def python(text):
    """A cell as Python: magics and shell lines become calls that fail and are passed over.

    >>> python("%%time\\nx = 1")
    'x = 1\\n'
    """
    lines = text.lstrip().splitlines()
    while lines and lines[0].startswith(PYTHON_MAGICS):
        lines = lines[1:]
    text = "\n".join([*lines, ""])
    try:
        ast.parse(text)
    except SyntaxError:
        if len(text) < TRANSFORMED and len(MAGIC.findall(text)) <= MAGICS:
            return TransformerManager().transform_cell(text)
    return text  # and most cells are
