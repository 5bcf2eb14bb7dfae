"""The commands and listings of the instructors' page, to run them as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat

from press.chapters import ROOT

PAGE = (ROOT / "book" / "instructors.md").read_text(encoding="utf-8")


def blocks(kind):
    """The page's fenced blocks of this kind, in order."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def shell(commands, folder):
    """Run a block in a folder, as a reader would with the book's environment; its output."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT), "HOME": str(folder.parent), "COLUMNS": "120",
        "JUPYTER_CONFIG_DIR": str(folder.parent), "JUPYTER_DATA_DIR": str(folder.parent)}
    done = subprocess.run(["bash", "-e", "-c", commands], cwd=folder, env=environment, text=True,
                          capture_output=True, timeout=1800)
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def answered(notebook, answers):
    """A notebook as somebody hands it in, with ``{id: source}`` in its answer cells."""
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        marker = re.match(r"# answer (\S+).*\n", cell.source)
        if marker and marker[1] in answers:
            cell.source = marker[0] + answers[marker[1]]
    return notebook


def solutions(key):
    """``{id: source}`` of a key's right answers."""
    found, id = {}, None
    for cell in key.cells:
        marker = re.match(r"# answer (\S+)", cell.source)
        id = marker[1] if marker else id
        if cell.cell_type == "code" and "solution" in cell.metadata.get("tags", ()):
            found[id] = found.get(id, "") + re.sub(r"^check\(.*\n?", "", cell.source, flags=re.M)
    return found
