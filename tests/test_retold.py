"""Each known mistake, written a second time (proofs/retold), gets the same name."""

import numpy as np
import pytest

from attnlib.exercises import get
from proofs import retold
from proofs.students import answers

CHAPTERS = sorted({id.partition(".")[0] for id, *_ in retold.AGAIN})


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.whole)])
@pytest.mark.parametrize("chapter", CHAPTERS)
@pytest.mark.filterwarnings("ignore")
def test_a_mistake_written_another_way_gets_its_name(chapter, seed):
    pytest.importorskip("torch")
    wrong = []
    for id, name, answer in retold.AGAIN:
        if id.partition(".")[0] == chapter:
            with np.errstate(all="ignore"):
                result = answers.judged(get(id), answer, seed)
            if result.mistake != name:
                wrong.append(f"{id}, {name}: {result.mistake or result.status!r}")
    assert not wrong, "\n".join(["the bank knows it in one way of writing only:", *wrong])


def test_each_known_mistake_is_written_twice():
    missing = [f"{id}  {mistake.name}" for id, mistake in retold.once_only()]
    assert not missing, "\n".join(["written once only (python -m proofs.retold):", *missing])
