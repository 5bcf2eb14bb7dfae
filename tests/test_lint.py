"""ruff finds nothing, here and in the chapters; the list of wide chapters only shrinks."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LISTED = tomllib.loads((ROOT / "book" / "ruff.toml").read_text(encoding="utf-8"))
WIDE = sorted(name for name, rules in LISTED["lint"]["per-file-ignores"].items()
              if "E501" in rules)
FIRST_WIDE = 8  # chapters, when the rule came; lower it with the list


def ruff(*words):
    return subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache",
                           "--output-format=concise", *words],
                          cwd=ROOT, text=True, capture_output=True)


def test_ruff_finds_nothing():
    done = ruff(".")
    assert done.returncode == 0, done.stdout + done.stderr


def test_types_fit():
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_function_says_what_it_returns():
    """But for what returns whatever it was given, or yields it."""
    silent = []
    for path in [*ROOT.glob("attnlib/*.py"), *ROOT.glob("attnlib/running/*.py"),
                 *ROOT.glob("attnlib/exercises/[!c]*.py"), *ROOT.glob("attnlib/exercises/co*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef)
                   and node.name[0] != "_" and path.parent.name == "attnlib"]
        silent += [f"{path.stem}.{node.name}" for part in [tree, *classes] for node in part.body
                   if isinstance(node, ast.FunctionDef) and node.name[0] != "_"
                   and node.returns is None]
    assert sorted(silent) == ["comparing.leaves", "plain.import_torch", "plain.of_kind",
                              "plain.plain", "shrinking.smallest_failure", "watching.streams_to"]


@pytest.mark.parametrize("chapter", WIDE)
def test_a_chapter_on_the_list_of_wide_ones_is_wide(chapter):
    done = ruff("--isolated", "--select=E501", "--line-length=79", f"book/{chapter}")
    assert "E501" in done.stdout, f"{chapter} is narrow now: take it off the list in book/ruff.toml"


def test_the_list_of_wide_chapters_only_shrinks():
    assert len(WIDE) <= FIRST_WIDE


@pytest.mark.parametrize("planted, rule", [
    ("import os\n", "F401"), ("def f(x=[]):\n    return x\n", "B006"),
    ("import sys\nimport os\n\nprint(os, sys)\n", "I001"), (f"x = '{'a' * 100}'\n", "E501"),
    ("from typing import List\n\nx: List = []\n", "UP035"),
])
def test_what_is_planted_is_found(tmp_path, planted, rule):
    (tmp_path / "planted.py").write_text(planted)
    done = ruff(f"--config={ROOT / 'pyproject.toml'}", str(tmp_path))
    assert rule in done.stdout
