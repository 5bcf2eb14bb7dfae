"""What `make proofs` stored of the exercises holds, and its tools find what does not."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from attnlib.exercises import get
from proofs import broken_solutions
from proofs import exercises as proof

STORED = proof.TABLE.read()


def test_all_of_it_holds():
    assert not proof.faults(STORED), "\n".join(proof.faults(STORED))


@pytest.mark.parametrize("path, value, words", [
    (("mistakes", "named"), 0, "not all 100 %"), (("right", "accepted"), 0, "not all 100 %"),
    (("tricks", "refused"), 0, "not all 100 %"), (("faults",), ["planted"], "planted"),
    (("mutants", "survivors"), {"a -> b": ""}, "survives without a reason"),
    (("mutants", "refused"), 0, "98% wanted"), (("mutants", "changed"), 0, "no mutant"),
])
def test_what_does_not_hold_is_named(path, value, words):
    planted = copy.deepcopy(STORED)
    record = max(planted["exercises"].values(),
                 key=lambda record: record["mutants"].get("changed", 0))
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
    compare = broken_solutions.Comparison(exercise, right)
    assert len(compare.inputs) == broken_solutions.INPUTS
    assert not compare.changes(lambda *a: right(*a)) and not compare.changes(exercise.reference)
    for wrong in (lambda *a: right(*a) + 1e-6, lambda *a: right(*a).astype(np.float32),
                  lambda *a: list(right(*a)), lambda *a: 1 / 0, lambda x, *a: x.fill(0)):
        assert compare.changes(wrong)

