"""A corpus of hand-ins as people send them, each with the notebook as it was run at home.

The promise: an answer that passes in the notebook because it is right passes in the classroom too.
`tests/test_classroom_corpus.py` executes each of these both ways and compares.
"""

import copy
import io
import json
import zipfile
from dataclasses import dataclass

from . import whole_class
from .whole_class import code, is_answer

IDS = ("1.3", "4.3")  # what the assignment asks
WRONG = {"1.3": "no-scale", "4.3": "too-wide"}
FUNCTIONS = {"1.3": "self_attention", "4.3": "recent"}


@dataclass(frozen=True)
class HandIn:
    """One hand-in.

    Args:
        name: what is special about it.
        notebook: as it was run at home.
        files: ``{name: bytes}``, as they were sent; the later ones are the newer ones.
        alone: whether home has no say: the answer was never checked there, or not like that.
    """

    name: str
    notebook: dict
    files: dict
    alone: bool = False


def text(cell):
    return "".join(cell["source"])


def is_check(cell, id=""):
    return text(cell).startswith(f'check("{id}')


def replaced(notebook, found, edit):
    """A notebook in which ``edit(cell, id)`` gave the cells in the place of those ``found``."""
    cells = []
    for cell in notebook["cells"]:
        id = next((id for id in IDS if found(cell, id)), None)
        cells += [cell] if id is None else edit(cell, id)
    return notebook | {"cells": cells}


def changed(notebook, edit):
    """A notebook in which ``edit(cell, id)`` gave the cells in the place of each answer's cell."""
    return replaced(notebook, is_answer, edit)


def rewritten(notebook, how):
    """A notebook in which ``how(first line, rest, id)`` gave the text of each answer's cell."""
    def edit(cell, id):
        first, _, rest = text(cell).partition("\n")
        return [code(how(first, rest, id))]

    return changed(notebook, edit)


def around_checks(notebook, edit):
    """A notebook in which ``edit(cell, id)`` gave the cells in the place of each check."""
    return replaced(notebook, is_check, edit)


def indented(source):
    return "".join(f"    {line}\n" for line in source.splitlines())


def stub(id):
    return code(f"# answer {id}\ndef {whole_class.RIGHT[id].split('def ')[-1].splitlines()[0]}\n"
                '    """What to do."""\n    ...')


def front(notebook, *cells):
    """With more cells before all others."""
    return notebook | {"cells": [*map(code, cells), *notebook["cells"]]}


def other_answer(id, what):
    return code(f"# answer {id}\n{whole_class.answer(id, what)}")


# What people do to the cells. Each takes a notebook and gives another.

CELLS = {
    "as it is": lambda n: n,
    "a helper cell between answer and check": lambda n: changed(n, lambda cell, id: [
        code(text(cell).replace("axis=-1", "axis=LAST").replace(" >= 0", " >= LEAST")),
        code("LAST, LEAST = -1, 0")]),
    "if True: around the def": lambda n: rewritten(
        n, lambda first, rest, id: f"{first}\nif True:\n{indented(rest)}"),
    "try: around the def": lambda n: rewritten(
        n, lambda first, rest, id: f"{first}\ntry:\n{indented(rest)}except NameError:\n    pass"),
    "the answer checked above an untouched stub": lambda n: changed(
        n, lambda cell, id: [cell, code(f'check("{id}", {FUNCTIONS[id]})'), stub(id)]),
    "the answer below the stub, without a marker": lambda n: changed(
        n, lambda cell, id: [stub(id), code(text(cell).partition("\n")[2])]),
    "wrong at first, then again": lambda n: changed(
        n, lambda cell, id: [other_answer(id, WRONG[id]), cell]),
    "right at first, then again": lambda n: changed(
        n, lambda cell, id: [other_answer(id, "right"), cell]),
    "a non-breaking space in the marker": lambda n: rewritten(
        n, lambda first, rest, id: f"#\u00a0answer\u00a0{id}\n{rest}"),
    "an invisible sign before the marker": lambda n: rewritten(
        n, lambda first, rest, id: f"\ufeff# answer {id}\n{rest}".replace("\ufeff", "")),
    "the marker in capitals": lambda n: rewritten(
        n, lambda first, rest, id: f"# ANSWER {id}\n{rest}"),
    "lines above the marker": lambda n: rewritten(
        n, lambda first, rest, id: f"# my try\nimport math\n{first}\n{rest}"),
    "the marker below the def": lambda n: rewritten(
        n, lambda first, rest, id: f"{rest}\n{first}"),
    "no marker": lambda n: rewritten(n, lambda first, rest, id: rest),
    "marker and def in two cells": lambda n: changed(
        n, lambda cell, id: [code(text(cell).partition("\n")[0]),
                             code(text(cell).partition("\n")[2])]),
    "another name, and the check follows": lambda n: json.loads(
        json.dumps(n).replace("self_attention", "attend").replace("recent(", "newest(").replace(
            "recent)", "newest)")),
    "%%time": lambda n: rewritten(n, lambda first, rest, id: f"%%time\n{first}\n{rest}"),
    "a line of magic in the answer": lambda n: rewritten(
        n, lambda first, rest, id: f"{first}\n%precision 4\n{rest}"),
    "a shell line in the answer": lambda n: rewritten(
        n, lambda first, rest, id: f"{first}\n!true\n{rest}"),
    "tries it in the same cell": lambda n: rewritten(
        n, lambda first, rest, id: f"{first}\n{rest}\nprint({FUNCTIONS[id]})\nassert 1 == 2"),
    "a decorator": lambda n: rewritten(
        n, lambda first, rest, id: f"{first}\nimport functools\n\ndef noted(f):\n"
        "    @functools.wraps(f)\n    def g(*args):\n        return f(*args)\n    return g\n\n"
        f"@noted\n{rest}"),
    "made by a function": lambda n: rewritten(
        n, lambda first, rest, id: f"{first}\ndef make():\n{indented(rest)}    return "
        f"{FUNCTIONS[id]}\n\n{FUNCTIONS[id]} = make()"),
    "a class with __call__": lambda n: rewritten(
        n, lambda first, rest, id: f"{first}\nclass Answer:\n    def __call__(self, *args):\n"
        f"{indented(indented(rest))}        return {FUNCTIONS[id]}(*args)\n\n"
        f"{FUNCTIONS[id]} = Answer()"),
    "annotations of names that come later": lambda n: rewritten(
        n, lambda first, rest, id: f"from __future__ import annotations\n{first}\nx: Later = 1\n"
        f"{rest}"),
    "its own imports": lambda n: rewritten(
        n, lambda first, rest, id: f"{first}\nimport numpy as np\n{rest}"),
    "from numpy import *": lambda n: rewritten(
        n, lambda first, rest, id: f"{first}\nfrom numpy import *\nimport numpy as np\n{rest}"),
    "the docstring and the dots kept": lambda n: rewritten(
        n, lambda first, rest, id: f"{first}\n{rest}    ...\n"),
    "tabs": lambda n: rewritten(n, lambda first, rest, id: f"{first}\n"
                                + rest.replace("    ", "\t")),
    "Windows' line ends": lambda n: rewritten(
        n, lambda first, rest, id: f"{first}\n{rest}".replace("\n", "\r\n")),
    "names in other letters": lambda n: rewritten(
        n, lambda first, rest, id: f"{first}\n{rest}".replace("scores", "wörter").replace(
            "back", "zurück")),
    "trailing spaces and empty lines": lambda n: rewritten(
        n, lambda first, rest, id: f"\n\n{first}   \n\n{rest}\n\n   "),
    "all checks at the end": lambda n: n | {"cells": [
        *(cell for cell in n["cells"] if not is_check(cell)),
        *(cell for cell in n["cells"] if is_check(cell))]},
    "all checks once more at the end": lambda n: n | {"cells": [
        *n["cells"], *(cell for cell in n["cells"] if is_check(cell))]},
    "assert check(...)": lambda n: around_checks(
        n, lambda cell, id: [code(f"assert {text(cell)}")]),
    "result = check(...)": lambda n: around_checks(
        n, lambda cell, id: [code(f"result = {text(cell)}\nresult")]),
    "the check in the answer's cell": lambda n: around_checks(rewritten(
        n, lambda first, rest, id: f'{first}\n{rest}\ncheck("{id}", {FUNCTIONS[id]})'),
        lambda cell, id: []),
    "attnlib.exercises.check": lambda n: around_checks(
        n, lambda cell, id: [code("import attnlib.exercises\nattnlib.exercises." + text(cell))]),
    "checks a lambda": lambda n: around_checks(
        n, lambda cell, id: [code(f'check("{id}", lambda *args: {FUNCTIONS[id]}(*args))')]),
    "checks under another name": lambda n: around_checks(
        n, lambda cell, id: [code(f'mine = {FUNCTIONS[id]}\ncheck("{id}", mine)')]),
    "changed its mind after the check": lambda n: around_checks(
        n, lambda cell, id: [cell, code(f"{FUNCTIONS[id]} = None")]),
    "a helper redefined later": lambda n: n | {"cells": [
        *n["cells"], code("def helper():\n    return 1")]},
    "hints asked for": lambda n: around_checks(
        n, lambda cell, id: [code(f'hint("{id}")'), cell]),
    "cells that raise": lambda n: front(n, "1 / 0", "undefined", "def half(:"),
    "a cell that asks": lambda n: front(n, "name = input('name?')"),
    "prints a lot": lambda n: front(n, "for i in range(3000):\n    print(i)"),
    "a plot": lambda n: front(n, "import matplotlib\nmatplotlib.use('Agg')\n"
                                 "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.close()"),
    "a library that may be missing": lambda n: front(
        n, "try:\n    import einops\nexcept ImportError:\n    einops = None", "import seaborn"),
    "a file of its own": lambda n: front(
        n, "import numpy as np\nnp.save('/tmp/corpus.npy' if False else 'corpus.npy', "
           "np.arange(3))\nkept = np.load('corpus.npy')\nimport os\nos.remove('corpus.npy')"),
    "torch beside it": lambda n: front(
        n, "import torch\ntorch.manual_seed(0)\nlayer = torch.nn.Linear(3, 3)\n"
           "layer(torch.ones(2, 3)).sum().backward()"),
    "a thread": lambda n: front(n, "import threading\nt = threading.Thread(target=print)\n"
                                   "t.start()\nt.join()"),
    "the answers last to first": lambda n: n | {"cells": [
        *(c for c in n["cells"] if not is_answer(c) and not is_check(c)),
        *(c for c in n["cells"][::-1] if is_answer(c)), *(c for c in n["cells"] if is_check(c))]},
    "everything twice": lambda n: n | {"cells": [*n["cells"], *copy.deepcopy(n["cells"])]},
}

# What home does not say: there the answer was not checked, or not in this form.

UNCHECKED = {
    "the answer above an untouched stub": lambda n: changed(
        n, lambda cell, id: [cell, stub(id)]),
    "no check cells": lambda n: around_checks(n, lambda cell, id: []),
    "the answer's cell turned raw": lambda n: changed(n, lambda cell, id: [
        {"cell_type": "raw", "source": text(cell), "metadata": {}}]),
    "the answer's cell turned into text": lambda n: changed(n, lambda cell, id: [
        {"cell_type": "markdown", "source": text(cell), "metadata": {}}]),
}

# How it is saved and sent. Each takes the notebook's text and gives files.


def zipped(**members):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name.replace("__", "."), data)
    return archive.getvalue()


def script(notebook, colab=True):
    """As Colab's *Download .py* writes it, or an editor with ``# %%``."""
    parts = ["# -*- coding: utf-8 -*-\n" + '"""week-3.ipynb\n\nAutomatically generated."""'
             if colab else "# %% [markdown]\n# week 3"]
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            parts.append(text(cell) if colab else "# %%\n" + text(cell))
        elif colab:
            parts.append('"""' + text(cell).replace('"""', "'''").replace("\\", "\\\\") + '"""')
        else:
            parts.append("# %% [markdown]\n" + "".join(
                f"# {line}\n" for line in text(cell).splitlines()))
    return "\n\n".join(parts).encode()


def empty_of(notebook):
    return json.dumps(notebook | {"cells": [code("print('scratch')")]}).encode()


SENT = {
    "week-3.IPYNB": lambda n, t: {"week-3.IPYNB": t},
    "week-3.ipynb.txt": lambda n, t: {"week-3.ipynb.txt": t},
    "week-3.ipynb.json": lambda n, t: {"week-3.ipynb.json": t},
    "week-3.json": lambda n, t: {"week-3.json": t},
    "week-3 (1).ipynb": lambda n, t: {"week-3 (1).ipynb": t},
    "Copy of week-3.ipynb": lambda n, t: {"Copy of week-3.ipynb": t},
    ".week-3.ipynb": lambda n, t: {".week-3.ipynb": t},
    "no ending": lambda n, t: {"week-3": t},
    "a PDF beside it, later": lambda n, t: {
        "week-3.ipynb": t, "week-3.ipynb - Colab.pdf": b"%PDF-1.7 x"},
    "a PDF beside it, before": lambda n, t: {
        "week-3.ipynb - Colab.pdf": b"%PDF-1.7 x", "week-3.ipynb": t},
    "a web page beside it": lambda n, t: {"week-3.ipynb": t, "week-3.html": b"<html>"},
    "a damaged one, later": lambda n, t: {"week-3.ipynb": t, "week-3-final.ipynb": t[:-90]},
    "an empty one, later": lambda n, t: {"week-3.ipynb": t, "week-3-final.ipynb": b""},
    "scratch, later": lambda n, t: {"week-3.ipynb": t, "Untitled.ipynb": empty_of(n)},
    "a zip": lambda n, t: {"week-3.zip": zipped(week__ipynb=t)},
    "a zip named .ipynb": lambda n, t: {"week-3.ipynb": zipped(week__ipynb=t)},
    "a zip with two": lambda n, t: {"week-3.zip": zipped(a__ipynb=empty_of(n), b__ipynb=t)},
    "a zip with two, the other way": lambda n, t: {
        "week-3.zip": zipped(a__ipynb=t, b__ipynb=empty_of(n))},
    "a zip in a zip": lambda n, t: {"week-3.zip": zipped(x__zip=zipped(week__ipynb=t))},
    "a byte order mark": lambda n, t: {"week-3.ipynb": b"\xef\xbb\xbf" + t},
    "UTF-16": lambda n, t: {"week-3.ipynb": t.decode().encode("utf-16")},
    "Windows' letters": lambda n, t: {"week-3.ipynb": json.dumps(
        n | {"cells": [*n["cells"], code("# caf\u00e9")]}, ensure_ascii=False).replace(
            "\u00b7", "-").encode("cp1252", "replace")},
    "in folders": lambda n, t: {"my work/week 3/week-3.ipynb": t},
    "without metadata": lambda n, t: {
        "week-3.ipynb": whole_class.metadata_lost(n, None).encode()},
    "with huge outputs": lambda n, t: {
        "week-3.ipynb": whole_class.huge_outputs(copy.deepcopy(n), None).encode()},
    "from Colab": lambda n, t: {
        "week-3.ipynb": whole_class.from_colab(copy.deepcopy(n), None).encode()},
    "in the format of ten years ago": lambda n, t: {
        "week-3.ipynb": whole_class.old_format(copy.deepcopy(n), None).encode()},
    "Colab's .py": lambda n, t: {"week-3.py": script(n)},
    "an editor's .py": lambda n, t: {"week-3.py": script(n, colab=False)},
    "Colab's .py beside the notebook": lambda n, t: {"week-3.ipynb": t, "week-3.py": script(n)},
}


def hand_ins(kit):
    """All of them, each once right and once with a known mistake.

    Args:
        kit: with the exercises `IDS`.

    Yields:
        `HandIn`.
    """
    for what in ("right", "wrong"):
        answers = {id: "right" if what == "right" else WRONG[id] for id in IDS}
        plain = whole_class.filled(kit, answers)
        for alone, forms in ((False, CELLS), (True, UNCHECKED)):
            for name, form in forms.items():
                notebook = form(copy.deepcopy(plain))
                files = {"week-3.ipynb": json.dumps(notebook).encode()}
                yield HandIn(f"{what}: {name}", notebook if not alone else plain, files, alone)
        for name, send in SENT.items() if what == "right" else ():
            data = json.dumps(plain).encode()
            yield HandIn(f"{what}: sent as {name}", plain, send(plain, data))
