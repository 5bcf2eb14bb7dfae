"""Executes the chapters and stores their outputs, the same on every run."""

import re
import time

import nbformat
from nbclient import NotebookClient
from rich.console import Console

from .chapters import ROOT, chapter_paths
from .without_solutions import text

PLAY = re.compile(r"<script>/\* attn-play \*/.*?</script>", re.DOTALL)
KEPT = ("tags", "mystnb")  # metadata of a cell that means something
FIGURES = (  # a kernel of press draws each figure twice: PNG for every front end, SVG for the site
    "--InlineBackend.figure_formats={'png', 'svg'}",
    "--InlineBackend.print_figure_kwargs={'bbox_inches': 'tight', 'metadata': {'Date': None}}")


def tidy(notebook, chapter):
    """Take what editors leave in a notebook out of it, in place.

    Metadata of a cell is its tags and what the site is told; the kernel is "Python 3", whoever
    ran it; a cell's id begins with its chapter, so that no id stands in two chapters. Of a figure
    to play with the numbers are stored, not its code, which is in attnlib.

    Args:
        notebook: a notebook, changed.
        chapter: the stem of its file, such as `03_softmax`.
    """
    begin = f"{chapter.partition('_')[0]}-"
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(
            {name: cell.metadata[name] for name in KEPT if name in cell.metadata})
        if not cell.id.startswith(begin):
            cell.id = begin + cell.id
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):
                output.data["text/html"] = PLAY.sub("<script>/* attn-play */</script>",
                                                    output.data["text/html"])
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"}})


def execute(path):
    """Run a notebook from top to bottom in its own folder and write its outputs into it.

    Args:
        path: the notebook. It is written only when every cell has run.

    Returns:
        Seconds taken, the start of the kernel included.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell raises; the file stays as it was.
    """
    start = time.perf_counter()
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=3000, record_timing=False, coalesce_streams=True,
                            extra_arguments=list(FIGURES),
                            resources={"metadata": {"path": str(path.parent)}})
    client.execute()
    tidy(notebook, path.stem)
    path.write_text(text(notebook), encoding="utf-8")
    return time.perf_counter() - start


def execute_all(names=()):
    """Execute the chapters (all, or those named by their stem), printing the seconds of each."""
    console = Console()
    total = 0.0
    for path in chapter_paths():
        if names and path.stem not in names:
            continue
        with console.status(f"running {path.relative_to(ROOT)}"):
            seconds = execute(path)
        total += seconds
        console.print(f"{path.stem:<20}{seconds:6.1f} s")
    console.print(f"{'together':<20}{total:6.1f} s")
