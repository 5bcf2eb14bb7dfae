"""Floors: what the blind score, by counting; that no blind network learns more; and no leak."""

import inspect

import numpy as np
import pytest
import torch
from torch.nn import functional

from attnlib import tasks


def one_of(tokens, vocabulary):
    return np.eye(vocabulary)[tokens]


# By counting, where that can be done with a pencil.


@pytest.mark.parametrize("task, sizes, expected", [
    (tasks.copy, dict(length=1, vocabulary=5), 1),
    (tasks.copy, dict(length=2, vocabulary=2), (3 / 4 + 1) / 2),  # aa is known, ab is even
    (tasks.copy, dict(length=2, vocabulary=5), (1 / 5 + 4 / 5 / 2 + 1) / 2),
    (tasks.induction, dict(n=4, vocabulary=6), 1),  # a b a: b
    (tasks.induction, dict(n=6, vocabulary=6), (4 * 1 + 3 * 2 / 3) / 7),
    (tasks.k_hop, dict(items=8, hops=1), 1),
    (tasks.k_hop, dict(items=8, hops=2), 1 / 8 + 7 / 8 / 7),  # the longer cycles are even
    (tasks.k_hop, dict(items=8, hops=3), 1 / 8 + 7 / 8 / 7),
    (tasks.k_hop, dict(items=8, hops=4), 1 / 8 + 7 / 8 * 2 / 7),
    (tasks.distractors, dict(items=1), 1),
    (tasks.distractors, dict(items=2, classes=2), 3 / 4),
    (tasks.distractors, dict(items=4, copies=4, wrong=1.0, classes=5), 1 / 5),
    (tasks.paragraphs, dict(sentences=1, questions=1), 1),
    (tasks.paragraphs, dict(sentences=2, questions=1), 1 / 16 + 15 / 16 / 2),
    (tasks.paragraphs, dict(sentences=2, questions=2), (1 / 16 + 15 / 16 / 2 + 1) / 2),
    (tasks.translation, {}, 1 / 10000),
])
def test_floors_with_a_pencil(task, sizes, expected):
    assert tasks.floor(task, **sizes) == pytest.approx(expected, abs=0.012)
    assert tasks.floor(task, **sizes) == tasks.floor(task, **sizes)


def test_every_task_has_a_floor():
    """A new task says its floor."""
    drawn = {name for name, task in vars(tasks).items()
             if inspect.isfunction(task) and name[0] != "_"
             and next(iter(inspect.signature(task).parameters), "") == "generator"}
    assert {task.__name__ for task in tasks._BLIND} == drawn and len(drawn) == 6


# What a network learns that sees what the blind see: (view, answer), a row for each answer asked.


def blind_copy(rng):
    inputs, _ = tasks.copy(rng, 64, 6, 5)
    held, rows, answers = one_of(inputs[:, :6], 5).sum(1), [], []
    for i in range(6):
        said = one_of(inputs[:, :i], 5).sum(1)
        rows.append(np.hstack((held, said)))
        answers.append(inputs[:, i])
    return np.concatenate(rows), np.concatenate(answers)


def blind_induction(rng):
    inputs, targets = tasks.induction(rng, 64, 10, 5)
    stood, last = one_of(inputs, 5).cumsum(1), one_of(inputs, 5)
    view = np.concatenate((stood, last, last * stood), -1)[:, 2:]  # asked from the third on
    return view.reshape(-1, 15), targets[:, 2:].reshape(-1)


def blind_k_hop(rng):
    pairs, targets = tasks.k_hop(rng, 64, 6, 3)
    same = (pairs[..., :1] == pairs[..., 1:]).astype(float)
    view = np.concatenate((*np.moveaxis(one_of(pairs, 6), 2, 0), same), -1)
    return view.reshape(-1, 13), targets[..., 2].reshape(-1)


def blind_distractors(rng):
    _, _, value, target = tasks.distractors(rng, 256, 8, 1, classes=4, copies=2, wrong=0.3)
    return one_of(value, 4).sum(1), target


def blind_paragraphs(rng):
    inputs, targets = tasks.paragraphs(rng, 256, 4, 1)
    first = 1 + len(tasks.NAMES)
    things = inputs[:, 1:12:3] - first
    return one_of(things, 16).sum(1), targets[:, 12] - first


def net(features, classes):
    return torch.nn.Sequential(torch.nn.Linear(features, 64), torch.nn.ReLU(),
                               torch.nn.Linear(64, classes))


def loss(model, view, answer):
    return functional.cross_entropy(model(view), answer, ignore_index=tasks.IGNORE)


@pytest.mark.parametrize("draw, floor", [
    (blind_copy, lambda: tasks.floor(tasks.copy, length=6, vocabulary=5)),
    (blind_induction, lambda: tasks.floor(tasks.induction, n=10, vocabulary=5)),
    (blind_k_hop, lambda: tasks.floor(tasks.k_hop, items=6, hops=3)),
    (blind_distractors, lambda: tasks.floor(tasks.distractors, items=8, classes=4, copies=2,
                                            wrong=0.3)),
    (blind_paragraphs, lambda: tasks.floor(tasks.paragraphs, sentences=4, questions=1)),
])
def test_the_blind_learn_the_floor_and_no_more(draw, floor):
    rng = np.random.default_rng(1)
    view, answer = draw(rng)
    trained = tasks.train(lambda: net(view.shape[1], answer.max() + 1), loss, draw, 400, runs=1,
                          lr=0.01)
    scores = []
    for _ in range(40):
        view, answer = draw(rng)
        best = trained.models[0](torch.tensor(view, dtype=torch.float32)).argmax(-1).numpy()
        scores.append((best == answer)[answer != tasks.IGNORE])
    score = np.concatenate(scores).mean()
    assert floor() - 0.04 < score < floor() + 0.02


# A leak: what a network learns that sees every key and value, and never the query.


def without_query(likeness):
    def draw(rng):
        _, key, value, target = tasks.distractors(rng, 64, 8, 8, likeness=likeness)
        return key, one_of(value, 8), target
    return draw


def marked(rng):
    """The relevant key is the query and noise on top, as many write it: it is the longest."""
    query, key, value, target = tasks.distractors(rng, 64, 8, 8)
    relevant = (key == query[:, None]).all(-1, keepdims=True)
    return key + 2 * relevant * rng.normal(size=key.shape), one_of(value, 8), target


def queryless(model, key, value, target):
    return functional.cross_entropy(answers(model, key, value), target)


def answers(model, key, value):
    score = model["look"](torch.cat((key, key.square()), -1))  # (batch, items, 1)
    return model["read"]((score.softmax(1) * value).sum(1) * 4)


def learned_without_query(draw):
    def make():
        return torch.nn.ModuleDict({"look": net(16, 1), "read": torch.nn.Linear(8, 8)})

    trained = tasks.train(make, queryless, draw, 300, runs=1, lr=0.01)
    hits = []
    for seed in range(40):
        key, value, target = draw(np.random.default_rng(seed))
        key, value = (torch.tensor(part, dtype=torch.float32) for part in (key, value))
        hits.append(trained.measure(answers, key, value)[0].argmax(-1) == target)
    return np.concatenate(hits).mean()


@pytest.mark.parametrize("likeness", [0.45, 0.9])
def test_distractors_tell_nothing_without_the_query(likeness):
    assert learned_without_query(without_query(likeness)) < tasks.floor(
        tasks.distractors, items=8) + 0.03


def test_a_leak_would_be_found():
    assert learned_without_query(marked) > tasks.floor(tasks.distractors, items=8) + 0.3
