"""Hostile submissions: none gains a point, reads a byte, or stops the others' grading.

What each one tries stands in `hostile`; here they are run, one after the other in one sandbox, an
honest submission after each of them.
"""

import sys
import time

import pytest

from proofs import attacks
from proofs.students import hostile

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    with hostile.scene(tmp_path_factory.mktemp("scene")) as found:
        yield found


@pytest.mark.parametrize("attack", hostile.SINGLE, ids=hostile.named)
def test_an_attack_earns_nothing_and_harms_nobody(attack, scene):
    start = time.monotonic()
    record = scene.graded(attack.cells, attack.id)
    assert record.marks[attack.id].status not in ("passed", "not_attempted"), record
    assert record.points == 0
    assert time.monotonic() - start < 60
    assert not scene.places["CANARYFILE"].exists()
    assert attack.group in ("reads", "network", "lifts a ban") or scene.well(attack.id)


@pytest.mark.parametrize("leave, find", hostile.LEFT_BEHIND,
                         ids=[first.what for first, _ in hostile.LEFT_BEHIND])
def test_nothing_is_left_behind_for_the_next_submission(leave, find, scene):
    assert scene.graded(leave.cells, leave.id, 5.0).points > 0  # it gets that far
    assert scene.graded(find.cells, find.id, 5.0).points == 0
    assert scene.well(find.id)


@pytest.fixture(scope="module")
def trapped(scene):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hostile.grading, "executor", hostile.in_this_process)
        return scene.files()


@pytest.mark.parametrize("number", range(len(hostile.FILES)),
                         ids=[what for what, _, _ in hostile.FILES])
def test_a_file_that_is_a_trap_earns_nothing(number, trapped):
    record = trapped[0][f"trap{number}"]
    assert record.points == 0 and not record.answers
    assert not hostile.Path(hostile.TRAVERSAL).exists()


@pytest.mark.parametrize("what, barrier, name, worked", hostile.WORDS,
                         ids=[what for what, *_ in hostile.WORDS])
def test_words_stay_words(what, barrier, name, worked, trapped):
    records, pages, cells = trapped
    assert records[name].student == name
    assert not worked(pages, cells)


def test_after_all_of_them_everybody_honest_is_graded(scene, trapped):
    assert trapped[0]["honest"].points == trapped[0]["honest"].out_of > 0
    assert scene.well("1.3", "3.2", "4.3")


# The stored table.

STORED = attacks.TABLE.read()


def test_every_attack_was_tried_as_it_is_now_and_none_worked():
    assert not attacks.faults(STORED), "\n".join(attacks.faults(STORED))
    assert len(STORED["attacks"]) >= 25


@pytest.mark.parametrize("change, words", [
    ({"earned": 1.0}, "it earned 1.0"), ({"earned": None}, "got what it wanted"),
    ({"what": "something else"}, "run `python -m proofs.attacks`"),
])
def test_a_stale_or_bad_table_is_named(change, words):
    planted = STORED | {"attacks": [STORED["attacks"][0] | change, *STORED["attacks"][1:]]}
    assert words in "\n".join(attacks.faults(planted))
