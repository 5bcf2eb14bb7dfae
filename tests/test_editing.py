"""A chapter as text and back: outputs are kept, and nothing that somebody wrote is lost."""

import shutil

import nbformat
import pytest
from click.testing import CliRunner

from press import editing
from press.__main__ import press
from press.chapters import chapter_paths

NAME = "05_positions"


@pytest.fixture
def paths(tmp_path, monkeypatch):
    """A copy of the chapter, its text, and nothing else."""
    copy = tmp_path / "book" / f"{NAME}.ipynb"
    copy.parent.mkdir()
    shutil.copy(next(path for path in chapter_paths() if path.stem == NAME), copy)
    monkeypatch.setattr(editing, "ROOT", tmp_path)
    monkeypatch.setattr(editing, "FOLDER", tmp_path / "_edit")
    monkeypatch.setattr(editing, "chapter_paths", lambda: [copy])
    return copy, tmp_path / "_edit" / f"{NAME}.py"


def replace(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_text_that_was_not_edited_changes_no_byte(paths):
    notebook, text = paths
    before = notebook.read_bytes()
    assert editing.edit(NAME) == f"Edit _edit/{NAME}.py, then run `make edit NAME={NAME}` again."
    replace(text, "import numpy as np", "import numpy as np  # changed")
    editing.edit(NAME)
    assert notebook.read_bytes() != before
    replace(text, "import numpy as np  # changed", "import numpy as np")
    assert "Wrote" in editing.edit(NAME)
    assert [c.source for c in nbformat.read(notebook, 4).cells] == [
        c.source for c in nbformat.reads(before.decode(), 4).cells]


def test_outputs_tags_and_ids_of_what_was_not_touched_are_kept(paths):
    notebook, text = paths
    before = nbformat.read(notebook, as_version=4)
    editing.edit(NAME)
    first = before.cells[0].source.splitlines()[0]
    replace(text, f"# {first}", "# # Another title")
    editing.edit(NAME)
    after = nbformat.read(notebook, as_version=4)
    assert after.cells[0].source.startswith("# Another title")
    assert after.cells[1:] == before.cells[1:] and after.metadata == before.metadata
    assert text.read_text(encoding="utf-8").count("# # Another title") == 1


def test_when_only_the_notebook_has_changed_the_text_follows(paths):
    notebook, text = paths
    editing.edit(NAME)
    replace(notebook, "import numpy as np", "import numpy as numbers")
    assert "is new" in editing.edit(NAME)
    assert "import numpy as numbers" in text.read_text(encoding="utf-8")


def test_when_both_have_changed_neither_is_touched(paths):
    notebook, text = paths
    editing.edit(NAME)
    replace(notebook, "import numpy as np", "import numpy as numbers")
    replace(text, "import numpy as np", "import numpy as others")
    kept = notebook.read_bytes(), text.read_bytes()
    with pytest.raises(ValueError, match="both changed. Rename the text"):
        editing.edit(NAME)
    assert kept == (notebook.read_bytes(), text.read_bytes())


def test_a_text_whose_memory_is_lost_is_not_overwritten(paths):
    notebook, text = paths
    editing.edit(NAME)
    replace(text, "import numpy as np", "import numpy as numbers")
    text.with_suffix(".json").unlink()
    kept = notebook.read_bytes(), text.read_bytes()
    with pytest.raises(ValueError, match="both changed"):
        editing.edit(NAME)
    assert kept == (notebook.read_bytes(), text.read_bytes())


def test_a_chapter_that_is_not_there_is_named():
    rest = "`make edit NAME=01_qkv`, or one of 02_scaling, 03_softmax, "
    with pytest.raises(ValueError, match=f"^There is no chapter '5': {rest}"):
        editing.edit("5")


def test_make_edit_without_a_name_says_what_to_type():
    said = CliRunner().invoke(press, ["edit"])
    assert said.exit_code == 1
    assert said.output.startswith("Error: Say which chapter: `make edit NAME=01_qkv`, or one of ")
