"""Every rule in an exercise's statement is paired with what tells that an answer breaks it."""

import json
import re
from pathlib import Path

import pytest
import yaml

from attnlib.exercises import exercises
from press.chapters import chapter_paths

RULE = re.compile(r"\b(never|not allowed|may|of any|any number|exactly|at most|perhaps|must|"
                  r"without ever)\b", re.IGNORECASE)
PAIRS = yaml.safe_load((Path(__file__).parent / "statements.yml").read_text(encoding="utf-8"))
EXERCISES = {exercise.id: exercise for exercise in exercises()}
SEEDS = range(3)


def statements(path):
    """``{id: sentences}`` of a chapter's exercises, without code, tables and projects."""
    found = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if "exercise" in cell["metadata"].get("tags", []):
            text = "".join(cell["source"])
            id = re.match(r"### Exercise (\d+\.\d+)", text)[1]
            text = re.sub(r"```.*?```|^\|.*?$|^#.*?$|\*\*The project\.\*\*.*", "", text,
                          flags=re.DOTALL | re.MULTILINE)
            found[id] = re.split(r"(?<=[.?!:;])\s+", " ".join(text.split()))
    return found


def rules(path=None):
    """``[(id, sentence)]`` of every sentence that sets a rule."""
    paths = [path] if path else chapter_paths()
    return [(id, sentence) for path in paths for id, sentences in statements(path).items()
            for sentence in sentences if RULE.search(sentence)]


@pytest.mark.parametrize("id, sentence", rules(), ids=lambda x: x if len(x) < 6 else "")
def test_a_rule_is_paired_with_what_tells(id, sentence):
    pairs = {part: what for part, what in PAIRS.get(id, {}).items() if part in sentence}
    assert pairs, (f"{id}: nothing tells an answer that breaks this: {sentence!r}. Name in "
                   "tests/statements.yml the mistake, the hard case or the watch that does, or "
                   "take the rule out of the statement")


@pytest.mark.parametrize("id", PAIRS)
def test_what_tells_is_there(id):
    said = {part for path in chapter_paths() for part in statements(path).get(id, ())}
    for part, what in PAIRS[id].items():
        assert any(part in sentence for sentence in said), f"{id}: no statement says {part!r}"
        kind, _, name = what.partition(": ")
        assert tells(EXERCISES[id], kind, name), f"{id}: {what!r} is not there"


def tells(exercise, kind, name):
    """Whether an exercise has this mistake, hard case, watch or law."""
    if kind == "mistake":
        return name in {mistake.name for mistake in exercise.mistakes}
    if kind == "case":
        return all(name in {case.hard for case in exercise.cases(seed)} for seed in SEEDS)
    if kind == "forbidden":
        return name in exercise.forbidden
    if kind == "room":
        return any(case.room for case in exercise.cases(0))
    return kind in ("law", "no rule") and (exercise.judge is not None or kind == "no rule")
