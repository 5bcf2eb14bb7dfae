"""A chapter as text, to be edited in any editor, and back with its outputs."""

import json

import nbformat

from .chapters import ROOT, chapter_paths
from .runs import tidy
from .without_solutions import text as notebook_text

FOLDER = ROOT / "_edit"  # git ignores it
FORM = "py:percent"


def edit(name):
    """Bring a chapter and its text to the same state, whichever of them has changed.

    The first call writes ``_edit/<name>.py``; once that is edited, the next call writes it back
    into the notebook, where a cell that has not changed keeps its outputs.

    Args:
        name: the chapter's stem, ``"05_positions"``.

    Returns:
        What was done, in a sentence.

    Raises:
        ValueError: if there is no such chapter, the text is no such text, or both have changed
            since they were the same; then neither is touched.
    """
    import jupytext
    from jupytext.combine import combine_inputs_with_outputs

    chapters = {path.stem: path for path in chapter_paths()}
    if name not in chapters:
        wrong = f"There is no chapter {name!r}" if name else "Say which chapter"
        raise ValueError(f"{wrong}: `make edit NAME={min(chapters)}`, or one of "
                         f"{', '.join(sorted(chapters)[1:])}.")
    path = chapters[name]
    FOLDER.mkdir(exist_ok=True)
    draft, memory = FOLDER / f"{name}.py", FOLDER / f"{name}.json"
    notebook = nbformat.read(path, as_version=4)
    as_text = jupytext.writes(notebook, fmt=FORM)
    last = json.loads(memory.read_text(encoding="utf-8")) if memory.exists() else None
    if not draft.exists() or draft.read_text(encoding="utf-8") == as_text:
        said = f"Edit {draft.relative_to(ROOT)}, then run `make edit NAME={name}` again."
    elif last == as_text:  # only the text has changed
        edited = jupytext.reads(draft.read_text(encoding="utf-8"), fmt=FORM)
        notebook = combine_inputs_with_outputs(edited, notebook, fmt=FORM)
        tidy(notebook, name)
        nbformat.validate(notebook)
        path.write_text(notebook_text(notebook), encoding="utf-8")
        as_text = jupytext.writes(nbformat.read(path, as_version=4), fmt=FORM)
        said = (f"Wrote {path.relative_to(ROOT)}. `make notebooks` runs the chapters and stores "
                "their outputs.")
    elif draft.read_text(encoding="utf-8") == last:  # only the notebook has
        said = f"The notebook has changed: {draft.relative_to(ROOT)} is new."
    else:
        raise ValueError(f"{draft.relative_to(ROOT)} and {path.relative_to(ROOT)} have both "
                         "changed. Rename the text, run this again, and bring over by hand what "
                         "you want to keep.")
    draft.write_text(as_text, encoding="utf-8")
    memory.write_text(json.dumps(as_text), encoding="utf-8")
    return said
