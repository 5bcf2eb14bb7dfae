"""What `make proofs` stored of the exercises: whole, of these exercises, and printed as it is."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

from attnlib.exercises import exercises, get
from proofs import exercises as proof
from proofs import solutions

STORED = json.loads(proof.STORED.read_text(encoding="utf-8"))


def test_the_page_is_what_the_stored_record_prints():
    assert proof.PAGE.read_text(encoding="utf-8") == proof.page(STORED), (
        "book/proof.md is not what proofs/exercises.json says: run `make proofs`")


def test_every_exercise_was_proved_as_it_is_now():
    assert not proof.stale(STORED, exercises()), "\n".join(proof.stale(STORED, exercises()))


def test_all_of_it_holds():
    assert not proof.faults(STORED), "\n".join(proof.faults(STORED))


@pytest.mark.parametrize("change, words", [
    (dict(version=99), "it is in version 99 now: run `make proofs`"),
    (dict(mistakes=()), "it has 0 now: run `make proofs`"),
    (dict(id="1.99"), "1.99 is not in exercises.json: run `make proofs`"),
])
def test_a_stale_record_is_named(change, words):
    found = proof.stale(STORED, [replace(exercise, **change) if exercise.id == "1.3" else exercise
                                 for exercise in exercises()])
    assert words in "\n".join(found)


@pytest.mark.parametrize("path, value, words", [
    (("mistakes", "named"), 0, "not all 100 %"), (("right", "accepted"), 0, "not all 100 %"),
    (("tricks", "refused"), 0, "not all 100 %"), (("faults",), ["planted"], "planted"),
    (("mutants", "survivors"), {"a -> b": ""}, "survives without a reason"),
    (("mutants", "refused"), 0, "98% wanted"), (("mutants", "changed"), 0, "no mutant"),
])
def test_what_does_not_hold_is_named(path, value, words):
    planted = copy.deepcopy(STORED)
    record = planted["exercises"]["1.3"]
    for name in path[:-1]:
        record = record[name]
    record[path[-1]] = value
    assert words in "\n".join(proof.faults(planted))


@pytest.mark.parametrize("which, words", [("right", "ms when right"), ("wrong", "ms when wrong")])
def test_slow_checks_are_named(which, words):
    planted = copy.deepcopy(STORED)
    for record in planted["exercises"].values():
        record["seconds"][which]["clock"] = 1.0
    assert words in "\n".join(proof.faults(planted))


def test_a_check_that_lets_something_pass_is_found_out():
    exercise, complaints = get("1.1"), {}
    harmless = replace(exercise.mistakes[0], name="harmless", answer=exercise.reference)
    spoilt = replace(exercise, mistakes=(*exercise.mistakes, harmless))
    counted = proof.mistakes(spoilt, complaints)
    assert counted["tried"] == counted["caught"] + 1 == counted["named"] + 1
    assert "the mistake harmless" in complaints
    strict = replace(exercise, reference=lambda: {"weights": [1, 0, 0], "output": [3, 8]})
    counted = proof.right_answers(strict, exercise.reference, complaints := {})
    assert counted["accepted"] == 0 and "a lambda" in complaints
    lenient = replace(exercise, reference=None, judge=lambda *_: None)
    counted = proof.tricky_answers(lenient, exercise.reference, complaints := {})
    assert counted["refused"] < counted["tried"] and complaints


def test_the_comparison_sees_what_changes_and_nothing_else():
    exercise = get("1.3")
    right = exercise.variants[0]
    compare = solutions.Comparison(exercise, right)
    assert len(compare.inputs) == solutions.INPUTS
    assert not compare.changes(lambda *a: right(*a)) and not compare.changes(exercise.reference)
    for wrong in (lambda *a: right(*a) + 1e-6, lambda *a: right(*a).astype(np.float32),
                  lambda *a: list(right(*a)), lambda *a: 1 / 0, lambda x, *a: x.fill(0)):
        assert compare.changes(wrong)

