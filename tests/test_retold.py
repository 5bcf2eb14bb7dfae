"""Each known mistake, written a second time (proofs/retold), gets the same name."""

import numpy as np
import pytest

from attnlib.exercises import get
from proofs import retold
from proofs.exercises import tried_again
from proofs.students import answers

CHAPTERS = sorted({id.partition(".")[0] for id, *_ in retold.AGAIN})
SEEDS = (0, 1)
ANEW = {exercise.id for exercise in tried_again()}  # the others have the first seed's inputs alone


@pytest.mark.parametrize("chapter", CHAPTERS)
@pytest.mark.filterwarnings("ignore")
def test_a_mistake_written_another_way_gets_its_name(chapter):
    pytest.importorskip("torch")
    wrong = []
    for id, name, answer in retold.AGAIN:
        if id.partition(".")[0] == chapter:
            with np.errstate(all="ignore"):
                results = {seed: answers.judged(get(id), answer, seed)
                           for seed in (SEEDS if id in ANEW else SEEDS[:1])}
            wrong += [f"{id}, {name}, seed {seed}: {result.mistake or result.status!r}"
                      for seed, result in results.items() if result.mistake != name]
    assert not wrong, "\n".join(["the bank knows it in one way of writing only:", *wrong])


def test_each_known_mistake_is_written_twice():
    missing = [f"{id}  {mistake.name}" for id, mistake in retold.once_only()]
    assert not missing, "\n".join(["written once only (python -m proofs.retold):", *missing])
