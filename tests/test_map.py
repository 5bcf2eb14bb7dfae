"""The map in CONTRIBUTING.md shows every module, as its docstring says it."""

from pathlib import Path

from press import map as house
from press.chapters import ROOT


def test_the_map_is_what_press_prints():
    assert house.PAGE.read_text(encoding="utf-8") == house.print_map(), "run `make student`"


def test_every_folder_with_modules_is_on_it():
    left_out = {"tests", "student"}
    folders = {path.parent.relative_to(ROOT) for path in ROOT.glob("*/**/__init__.py")
               if not any(part[0] in "._" or part == "mutants"
                          for part in path.relative_to(ROOT).parts[:-1])}
    assert {str(folder) for folder in folders} - left_out == set(house.FOLDERS)


def test_every_module_says_what_it_is():
    said = {path: house.sentence(path) for folder in house.FOLDERS
            for path in (ROOT / folder).glob("*.py")}
    assert len(said) > 80 and not [path for path, words in said.items() if len(words) < 15]


def test_only_the_first_sentence_is_taken(tmp_path):
    path = Path(tmp_path, "a.py")
    path.write_text('"""It is `a.b`, so. And more.\n\nEven more."""\n')
    assert house.sentence(path) == "It is `a.b`, so."
