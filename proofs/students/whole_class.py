"""A made-up class: 40 submissions with known mistakes, in the forms in which people send them.

    kit = make_kit(folder, PATTERNS, title="Attention")
    expected = write_class(kit, submissions)     # {student: Expected}
"""

import io
import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

PATTERNS = ["1.1", "1.3", "2.4", "3.2", "3.8", "4.2", "4.3", "5.2"]
OTHER_EDITION = "0123abcd"
NAMES = """ada bela carla dina emil fatima goran hedda ines jonas kaya lev mira nils olga pavel qi
rosa sven tara ugo vera wim xenia yara zoe amir bodil cem dora enzo freya gul hugo ilse jun kofi
lina maya noor""".split()

RIGHT = {
    "1.1": """\
def attention_on_paper():
    return {"weights": [1 / 8, 3 / 8, 4 / 8], "output": [3, 8]}
""",
    "1.3": """\
def self_attention(x, w_query, w_key, w_value):
    query, key, value = x @ w_query, x @ w_key, x @ w_value
    scores = query @ np.swapaxes(key, -1, -2) / np.sqrt(key.shape[-1])
    parts = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return parts / parts.sum(axis=-1, keepdims=True) @ value
""",
    "2.4": """\
def unit(x):
    length = np.sqrt((x ** 2).sum(axis=-1, keepdims=True))
    return x / np.where(length == 0, 1, length)

def normalised_weights(query, key, g):
    scores = g * unit(query) @ np.swapaxes(unit(key), -1, -2)
    parts = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return parts / parts.sum(axis=-1, keepdims=True)
""",
    "3.2": """\
def my_softmax(scores, axis):
    import torch
    scores = torch.as_tensor(scores)
    top = scores.amax(axis, keepdim=True)
    parts = torch.exp(scores - torch.where(torch.isinf(top), 0, top))
    total = parts.sum(axis, keepdim=True)
    return parts / torch.where(total == 0, 1, total)
""",
    "3.8": """\
def quiet_softmax(scores):
    import torch
    scores = torch.as_tensor(scores)
    top = torch.clamp(scores.amax(-1, keepdim=True), min=0)
    parts = torch.exp(scores - top)
    return parts / (torch.exp(-top) + parts.sum(-1, keepdim=True))
""",
    "4.2": """\
def masked_softmax(scores, mask):
    import torch
    scores = torch.where(torch.as_tensor(mask), torch.as_tensor(scores), -torch.inf)
    top = scores.amax(-1, keepdim=True)
    parts = torch.exp(scores - torch.where(torch.isinf(top), 0, top))
    total = parts.sum(-1, keepdim=True)
    return parts / torch.where(total == 0, 1, total)
""",
    "4.3": """\
def recent(n_q, n_k, window):
    query_position = np.arange(n_q)[:, None] + n_k - n_q
    back = query_position - np.arange(n_k)[None, :]
    return (back >= 0) & (back < window)
""",
    "5.2": """\
def linear_bias(heads, n_q, n_k):
    slopes = 2.0 ** (-8 / heads * np.arange(1, heads + 1))
    at = np.arange(n_q) + n_k - n_q
    steps = np.abs(at[:, None] - np.arange(n_k))
    return -slopes[:, None, None] * steps
""",
}

WRONG = {  # {exercise: {mistake: (what stands in the right answer, what stands there instead)}}
    "1.1": {
        "uniform": ("[1 / 8, 3 / 8, 4 / 8], \"output\": [3, 8]",
                    "[1 / 3, 1 / 3, 1 / 3], \"output\": [4, 20 / 3]"),
        "plain-mean": ("[3, 8]", "[4, 20 / 3]"),
    },
    "1.3": {
        "no-scale": (" / np.sqrt(key.shape[-1])", ""),
        "by-d_k": ("np.sqrt(key.shape[-1])", "key.shape[-1]"),
        "over-queries": ("axis=-1", "axis=-2"),
        "overflow": (" - scores.max(axis=-1, keepdims=True)", ""),
        "weights": (" @ value", ""),
        "reversed-axes": ("np.swapaxes(key, -1, -2)", "key.T"),
    },
    "2.4": {
        "zeros": ("np.where(length == 0, 1, length)", "length"),
        "no-g": ("g * unit(query)", "unit(query)"),
        "and-root": ("    parts =", "    scores = scores / np.sqrt(query.shape[-1])\n    parts ="),
        "scores": ("return parts / parts.sum(axis=-1, keepdims=True)", "return scores"),
    },
    "3.2": {
        "last-axis": ("    import torch", "    import torch\n    axis = -1"),
        "empty-nan": ("torch.where(torch.isinf(top), 0, top)", "top"),
        "logarithm": ("parts / torch.where(total == 0, 1, total)",
                      "torch.log(parts / torch.where(total == 0, 1, total))"),
    },
    "3.8": {
        "ordinary": ("(torch.exp(-top) + parts.sum(-1, keepdim=True))",
                     "parts.sum(-1, keepdim=True)"),
        "one-not-shrunk": ("torch.exp(-top)", "1"),
    },
    "4.2": {
        "polarity": ("torch.as_tensor(mask)", "~torch.as_tensor(mask)"),
        "nan-rows": ("return parts / torch.where(total == 0, 1, total)", "return parts / total"),
    },
    "4.3": {
        "top-left": (" + n_k - n_q", ""),
        "too-wide": ("back < window", "back <= window"),
        "numbers": ("return (back >= 0) & (back < window)",
                    "return ((back >= 0) & (back < window)) * 1.0"),
    },
    "5.2": {
        "positive": ("return -slopes", "return slopes"),
        "reversed": ("np.arange(1, heads + 1)", "np.arange(heads, 0, -1)"),
    },
}
OTHER = {  # {status: first lines of the body, the same for every exercise}
    "raised": "    return answer_that_is_not_there\n",
    "timed_out": "    while True:\n        pass\n",
    "wrong_kind": "    return 'a word'\n",
}


@dataclass
class Expected:
    """What the class's grades must say of one student: statuses, mistakes and a note."""

    statuses: dict
    mistakes: dict = field(default_factory=dict)
    note: str = ""
    name: str = ""


def answer(id, what="right"):
    """The source of an answer: right, a known mistake by name, or one of `OTHER` by its status."""
    source = RIGHT[id]
    if what in OTHER:
        *helpers, last = source.split("def ")
        return "def ".join(helpers) + "def " + last.partition("\n")[0] + "\n" + OTHER[what]
    if what != "right":
        assert WRONG[id][what][0] in source, (id, what)
        source = source.replace(*WRONG[id][what])
    return source


def plan(number):
    """``{exercise: what is answered}`` for one student of the class; some leave tasks open."""
    chosen = {}
    for place, id in enumerate(PATTERNS):
        turn = (number * (place + 3) + place) % 7
        kinds = list(WRONG[id])
        chosen[id] = ("right" if turn < 4 else "untouched" if turn == 4
                      else kinds[(number + place) % len(kinds)])
    if number % 3 == 0:
        chosen["1.3"] = "no-scale"  # the most frequent one
    return chosen


def expected(answers, **more):
    """What the grades must say of such answers."""
    statuses = {id: {"right": "passed", "untouched": "not_attempted"}.get(
        what, what if what in OTHER else "known_mistake") for id, what in answers.items()}
    mistakes = {id: what for id, what in answers.items() if statuses[id] == "known_mistake"}
    return Expected(statuses, mistakes, **more)


def filled(kit, answers, marker=True):
    """The kit's notebook with these answers in it, as a dict (nbformat 4)."""
    path, = (kit.folder / "student").glob("*.ipynb")
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        for id, what in answers.items():
            if cell["cell_type"] == "code" and text.startswith(f"# answer {id}\n"):
                first = f"# answer {id}\n" if marker else ""
                cell["source"] = text if what == "untouched" else first + answer(id, what)
    return notebook


def code(source):
    """A code cell."""
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": [],
            "execution_count": None}


def is_answer(cell, id=""):
    return "".join(cell["source"]).startswith(f"# answer {id}")


# The forms. Each changes the notebook, and what is expected, as it likes, and gives what is
# written: text or bytes.


def as_it_is(notebook, want):
    return json.dumps(notebook)


def reordered(notebook, want):
    """The answers last to first; every one stands on its own."""
    answers = [cell for cell in notebook["cells"] if is_answer(cell)]
    rest = [cell for cell in notebook["cells"] if not is_answer(cell)]
    return json.dumps(notebook | {"cells": rest + answers[::-1]})


def deleted(notebook, want):
    """One answer's cell and all that is not code are gone."""
    want.statuses["5.2"] = "not_attempted"
    want.mistakes.pop("5.2", None)
    kept = [cell for cell in notebook["cells"]
            if cell["cell_type"] == "code" and not is_answer(cell, "5.2")]
    return json.dumps(notebook | {"cells": kept})


def split(notebook, want):
    """The marker in one cell, the function in the next."""
    cells = []
    for cell in notebook["cells"]:
        if is_answer(cell):
            first, _, rest = "".join(cell["source"]).partition("\n")
            cells += [code(first), code(rest)]
        else:
            cells.append(cell)
    return json.dumps(notebook | {"cells": cells})


def added(notebook, want):
    """Cells that raise, print, ask for magic or a shell, or show things, between the others."""
    extra = ["1 / 0", "%matplotlib inline\n!pip install einops\nfor i in range(9): print(i)",
             "def half(:", "raise SystemExit", "%%bash\nls", "x = undefined\ny = 2",
             "import sys\nsys.exit(1)", "input('name?')", "files = !ls\nfiles[0]"]
    cells = []
    for i, cell in enumerate(notebook["cells"]):
        cells += [code(extra[i % len(extra)]), cell]
    return json.dumps(notebook | {"cells": cells})


def metadata_lost(notebook, want):
    """Nothing left but kinds and sources, these as plain text."""
    cells = [{"cell_type": cell["cell_type"], "source": "".join(cell["source"])}
             for cell in notebook["cells"]]
    return json.dumps({"cells": cells})


def huge_outputs(notebook, want):
    """Three megabytes of what was printed."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "9" * 150_000}]
    return json.dumps(notebook)


def from_colab(notebook, want):
    """As Colab saves it: its own metadata, sources in lines, a timed cell."""
    for number, cell in enumerate(notebook["cells"]):
        cell["metadata"] = {"id": f"x{number}", "colab": {"base_uri": "https://localhost:8080/"}}
        cell.pop("id", None)
        if is_answer(cell, "4.3"):
            cell["source"] = "%%time\n" + "".join(cell["source"])
        cell["source"] = "".join(cell["source"]).splitlines(keepends=True)
    return json.dumps(notebook | {"nbformat_minor": 0, "metadata": {
        "colab": {"provenance": []}, "kernelspec": {"name": "python3", "display_name": "x"}}})


def old_version(notebook, want):
    """An earlier edition of the assignment, in which 4.3 was not asked for, but 4.1 was."""
    want.note = OTHER_EDITION
    want.statuses["4.3"] = "not_attempted"
    want.mistakes.pop("4.3", None)
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if text.startswith("# ") and " · edition " in text:
            before, _, after = text.partition(" · edition ")
            cell["source"] = f"{before} · edition {OTHER_EDITION}{after[8:]}"
        if is_answer(cell, "4.3"):
            cell["source"] = "# answer 4.1\ndef counted():\n    return [1, 2]"
    notebook["metadata"].pop("assignment", None)
    return json.dumps(notebook)


def old_format(notebook, want):
    """nbformat 3, as IPython wrote notebooks ten years ago."""
    notebook["cells"] = [cell | {"id": f"c{i}"} for i, cell in enumerate(notebook["cells"])]
    old = nbformat.v3.downgrade(nbformat.v4.downgrade(nbformat.from_dict(notebook)))
    return json.dumps(old)


def markers_lost(notebook, want):
    """The answers' first lines are gone; the functions' names are left."""
    for cell in notebook["cells"]:
        if is_answer(cell):
            cell["source"] = "".join(cell["source"]).partition("\n")[2]
    return json.dumps(notebook)


def renamed(notebook, want):
    """One function has another name; its marker is there."""
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"]).replace("self_attention", "attend")
    return json.dumps(notebook)


def written_below(notebook, want):
    """The stub stands as it was; the answer was written into a new cell below."""
    cells = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        cells.append(cell)
        if is_answer(cell, "2.4") and not text.rstrip().endswith("..."):
            cells[-1] = code("# answer 2.4\ndef normalised_weights(query, key, g):\n    ...")
            cells.append(code(text.partition("\n")[2]))
    return json.dumps(notebook | {"cells": cells})


def windows(notebook, want):
    """A byte order mark, and lines that end as on Windows."""
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"]).replace("\n", "\r\n")
    return b"\xef\xbb\xbf" + json.dumps(notebook, indent=1).replace("\n", "\r\n").encode()


def in_a_zip(notebook, want):
    """The notebook in an archive."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("__MACOSX/._hw.ipynb", b"\0\1")
        file.writestr("homework/hw.ipynb", json.dumps(notebook))
    return archive.getvalue()


def _nothing_to_grade(want, note):
    want.statuses = dict.fromkeys(want.statuses, "not_attempted")
    want.mistakes, want.note = {}, note


def a_picture(notebook, want):
    _nothing_to_grade(want, "a picture")
    return b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


def cut_off(notebook, want):
    _nothing_to_grade(want, "not a notebook")
    return json.dumps(notebook)[:-200]


def empty(notebook, want):
    _nothing_to_grade(want, "empty")
    return b""


FORMS = [as_it_is, reordered, deleted, split, added, metadata_lost, huge_outputs, from_colab,
         old_version, old_format, markers_lost, renamed, written_below, windows, in_a_zip,
         a_picture, cut_off, empty]


def write_class(kit, folder, size=40):
    """Write a class's submissions, as a Canvas or Moodle download or plain files.

    Args:
        kit: made with `PATTERNS`.
        folder: where to.
        size: how many students; the first ones hand in every form once.

    Returns:
        ``{student's id: Expected}``.
    """
    folder = Path(folder)
    wanted = {}
    for number, name in enumerate(NAMES[:size]):
        answers = plan(number)
        if number == 7:
            answers |= {"4.3": "raised", "5.2": "timed_out", "3.2": "wrong_kind"}
        want = expected(answers, name=name)
        form = FORMS[number % len(FORMS)]
        written = form(filled(kit, answers), want)
        ending = "zip" if form is in_a_zip else "ipynb"
        id, path = _place(number, name, ending)
        if number in (2, 13):  # handed in twice: first an empty one
            _, earlier = _place(number, name, "ipynb", first=True)
            _write(folder / earlier, json.dumps(filled(kit, {})), 1)
            want.note = "2 notebooks were handed in"
        _write(folder / path, written, 2)
        wanted[id] = want
    (folder / ".DS_Store").write_bytes(b"\0")
    return wanted


def _place(number, name, ending, first=False):
    """A student's id and the upload's path: Canvas, Moodle, a folder, or the file's own name."""
    other = "" if first else "-1"
    return [
        (f"{900 + number}", f"{name}_{900 + number}_{5000 + number + 100 * (not first)}_hw{other}"
                            f".{ending}"),
        (f"{700 + number}", f"{name.title()} Berg_{700 + number}_assignsubmission_file_/"
                            f"homework{other}.{ending}"),
        (name, f"{name}/deep/er/hw{other}.{ending}"),
        (name, f"{name}.{ending}" if first else f"{name} (1).{ending}"),
    ][number % 4]


def _write(path, content, day):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.utime(path, (day * 86400, day * 86400))
