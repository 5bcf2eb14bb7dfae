"""The projects of chapter 9: their judges, from the floor to the goal; bad answers are told so."""

import re
from collections import Counter

import nbformat
import numpy as np
import pytest

from attnlib import tasks
from attnlib.exercises import passage, project
from attnlib.exercises.projects import LENGTH, SAMPLES, SCORED, Measure
from press.chapters import ROOT

ALPHABET = sorted(set(tasks.english()))
SAID = tasks.translation(np.random.default_rng(0), examples=1).target


def counted(longest, strength=30):
    """Shares by equation (9.2), for project A."""
    learned, before, after = passage()
    grams = Counter(learned[i:i + n] for n in range(1, longest + 1)
                    for i in range(len(learned) - n + 1))
    seen = Counter()
    for gram, times in grams.items():
        seen[gram[:-1]] += times
    text, found = before + after, []
    for place in range(len(before), len(text)):
        shares = np.full(len(ALPHABET), 1 / len(ALPHABET))
        for n in range(1, longest + 1):
            u = text[place - n + 1:place]
            hits = np.array([grams[u + character] for character in ALPHABET])
            shares = (hits + strength * shares) / (seen[u] + strength)
        found.append(shares)
    return np.array(found)


def wrong(numbers):
    """What somebody says who is wrong about these numbers, and right about all others."""
    said = SAID.copy()
    said[numbers, 1] = np.where(said[numbers, 1] == 4, 5, 4)
    return said


def test_more_context_spells_better_and_does_not_reach_the_goal_of_a_mixture(capsys):
    pairs, six = (counted(n) for n in (2, 6))
    assert not project("A", pairs) and not project("A", six)
    told = capsys.readouterr().out
    nats = [float(line.split(": ")[1].split(" (")[0])
            for line in told.splitlines() if "nats" in line]
    assert nats[0] > nats[1] + 0.5


def test_the_floors_are_what_the_chapter_has():
    notebook = nbformat.read(ROOT / "book" / "09_capstone.ipynb", as_version=4)
    told = " ".join(out.data["text/plain"] for cell in notebook.cells
                    for out in cell.get("outputs", []) if "project(" in cell.source)
    found = {name.strip(): (float(value), float(floor)) for name, value, floor in re.findall(
        r"\n([^\n:]+): ([\d.]+) \(floor ([\d.]+), goal", told)}
    assert len(found) == 5
    for name, (value, floor) in found.items():
        if not name.startswith(("repeats", "runs")):
            assert value == floor, name


def test_who_knows_the_text_reaches_the_goal():
    _, _, after = passage()
    shares = np.full((SCORED, len(ALPHABET)), 0.5 / len(ALPHABET))
    shares[np.arange(SCORED), [ALPHABET.index(character) for character in after]] += 0.5
    assert project("A", shares) and project("A", shares.tolist())


def test_texts_in_words_that_are_new_reach_the_goal():
    learned, _, _ = passage()
    rng = np.random.default_rng(0)
    words = sorted({word for word in learned.split() if word.isalpha() and len(word) > 2})
    texts = [" ".join(rng.choice(words, 60)) for _ in range(SAMPLES)]
    assert project("B", texts)
    assert not project("B", [text[::-1] for text in texts])  # no words
    assert not project("B", ["the sum of the " * 20] * SAMPLES)  # round in circles
    assert not project("B", [learned[i:i + LENGTH] for i in range(0, 9000, 900)])  # recited


def test_translations_are_judged_by_the_kind_that_is_worse():
    rng = np.random.default_rng(0)
    learned = rng.permutation(10000)[:300]
    assert project("C", learned, SAID)
    assert project("C", learned, wrong(np.arange(0, 1000, 8)))
    assert not project("C", learned, wrong(np.arange(0, 1000, 2)))
    assert not project("C", learned, wrong(np.arange(1000, 10000, 2)))
    assert project("C", np.arange(300), wrong(np.arange(300)))  # what was learned is not asked


@pytest.mark.parametrize("name, answer, told", [
    ("D", (), 'say "A", "B" or "C"'),
    ("A", (), "could not be read"),
    ("A", (np.ones((3, 3)),), f"an array ({SCORED}, {len(ALPHABET)})"),
    ("A", (np.ones((SCORED, len(ALPHABET))),), "do not sum to one"),
    ("A", (np.eye(len(ALPHABET))[np.zeros(SCORED, int)],), "an infinite surprise"),
    ("B", ("a text",), "A list of strings"),
    ("B", (["x" * LENGTH] * (SAMPLES - 1),), f"got {SAMPLES - 1}"),
    ("B", (["1 " * LENGTH] * SAMPLES,), "no word of three letters"),
    ("C", (np.arange(301), SAID), "got 301"),
    ("C", ([], SAID), "got 0"),
    ("C", ([1, 2], SAID[:5]), "an array (10000, 6)"),
    ("C", ([-1], SAID), "from 0 to 9999"),
])
def test_what_cannot_be_judged_is_told_so(name, answer, told, capsys):
    assert project(name, *answer).status == "broken_law"
    assert told in " ".join(capsys.readouterr().out.split())


def test_a_goal_below_the_floor_is_an_upper_limit():
    assert Measure("loss", 1.0, floor=2.0, goal=1.5).reached
    assert not Measure("loss", 1.6, floor=2.0, goal=1.5).reached
    assert Measure("right", 0.9, floor=0.2, goal=0.8).reached
    assert not Measure("right", 0.7, floor=0.2, goal=0.8).reached
