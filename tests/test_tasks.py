"""The tasks, each solved by a program that reads the inputs alone and knows the rule in words."""

import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attnlib import tasks
from attnlib.tasks import IGNORE, PARAGRAPH_WORDS

seeds = st.integers(0, 2**31 - 1)
sizes = st.integers(1, 6)


def rng(seed):
    return np.random.default_rng(seed)


def asked(targets):
    return np.argwhere(targets != IGNORE).tolist()


def check_tokens(inputs, targets, shape, vocabulary):
    for tokens in (inputs, targets):
        assert tokens.shape == shape and tokens.dtype == np.int64
    known = targets[targets != IGNORE]
    for tokens in (inputs, known):
        assert np.all((0 <= tokens) & (tokens < vocabulary))
    return inputs.tolist(), targets.tolist()


# Solvers.


def after_it_last_stood(row, i):
    """What came after the last earlier place where the token at i stood; None if nowhere."""
    for j in reversed(range(i)):
        if row[j] == row[i]:
            return row[j + 1]
    return None


@given(sizes, sizes, sizes, seeds)
def test_copy(batch, length, vocabulary, seed):
    inputs, targets = check_tokens(*tasks.copy(rng(seed), batch, length, vocabulary),
                                   (batch, 2 * length), vocabulary + 1)
    for row, target in zip(inputs, targets):
        split = row.index(vocabulary)
        answer = row[:split]
        assert split == length and row[split + 1:] == answer[:-1]
        assert target == [IGNORE] * split + answer


@given(sizes, st.integers(4, 20), st.integers(0, 5), seeds)
def test_induction(batch, n, more, seed):
    inputs, targets = check_tokens(*tasks.induction(rng(seed), batch, n, n // 2 + more),
                                   (batch, n), n // 2 + more)
    for row, target in zip(inputs, targets):
        found = [after_it_last_stood(row, i) for i in range(n)]
        assert target == [IGNORE if token is None else token for token in found]
        period = next(i for i in range(n) if row[i] in row[:i])
        assert 2 <= period <= n // 2


def test_induction_draws_every_period():
    _, targets = tasks.induction(rng(0), 500, 10, 5)
    assert set((targets == IGNORE).sum(1).tolist()) == {2, 3, 4, 5}


@given(sizes, sizes, sizes, seeds)
def test_k_hop(batch, items, hops, seed):
    pairs, targets = tasks.k_hop(rng(seed), batch, items, hops)
    assert pairs.shape == (batch, items, 2) and targets.shape == (batch, items, hops)
    for set_of_pairs, answers in zip(pairs.tolist(), targets.tolist()):
        follow = dict(map(tuple, set_of_pairs))
        assert sorted(follow) == sorted(follow.values()) == list(range(items))
        for (start, _), steps in zip(set_of_pairs, answers):
            for step in steps:
                start = follow[start]
                assert step == start


def nearest_agree(query, key, value, copies):
    """The value that most of the nearest keys hold."""
    answers = []
    for q, ks, vs in zip(query, key, value):
        near = np.argsort(((ks - q)**2).sum(-1))[:copies]
        answers.append(np.bincount(vs[near]).argmax())
    return np.array(answers)


@given(st.integers(1, 8), st.integers(1, 3), st.integers(0, 6), st.sampled_from([1.0, 0.98]), seeds)
def test_distractors(batch, copies, more, likeness, seed):
    query, key, value, target = tasks.distractors(rng(seed), batch, copies + more, 64, classes=5,
                                                  copies=copies, likeness=likeness)
    assert query.shape == (batch, 64) and key.shape == (batch, copies + more, 64)
    assert value.shape == (batch, copies + more) and target.shape == (batch,)
    assert query.dtype == key.dtype == np.float64 and value.max() < 5
    assert (nearest_agree(query, key, value, copies) == target).all()
    distance = np.sort(np.sqrt(((key - query[:, None])**2).mean(-1)), axis=1)
    most = 2 * math.sqrt(2 * (1 - likeness))
    assert np.all(distance[:, :copies] <= most) and np.all(distance[:, copies:] > 0.7)


def test_distractors_likeness_and_wrong_are_what_they_say():
    query, key, value, target = tasks.distractors(rng(0), 4000, 6, 64, copies=2, likeness=0.8,
                                                  wrong=0.4)
    likeness = (key * query[:, None]).mean(-1)  # (questions, items)
    near = np.argsort(-likeness, axis=1)[:, :2]
    relevant = np.take_along_axis(key, near[..., None], axis=1)
    assert abs((relevant * query[:, None]).mean() - 0.8) < 0.03
    rest = relevant - 0.8 * query[:, None]
    assert np.all(abs(rest.mean((0, 1))) < 0.03) and abs(rest.std() - 0.6) < 0.01
    held = np.take_along_axis(value, near, axis=1) == target[:, None]
    assert abs(held.mean() - (0.6 + 0.4 / 8)) < 0.015
    assert np.all(np.bincount(near.ravel()) > 1000)  # they stand anywhere
    assert abs(np.corrcoef(held[:, 0], held[:, 1])[0, 1]) < 0.05


@pytest.mark.parametrize("likeness", [0.0, 0.45, 0.9, 1.0])
def test_no_key_is_marked_by_its_length(likeness):
    query, key, value, target = tasks.distractors(rng(0), 8000, 6, 4, classes=50, likeness=likeness)
    assert abs(key.std() - 1) < 0.01
    longest = (key**2).sum(-1).argmax(1)
    found = np.take_along_axis(value, longest[:, None], axis=1)[:, 0] == target
    assert abs(found.mean() - (1 / 6 + 5 / 6 / 50)) < 0.015


@given(sizes, st.integers(1, 32), st.data(), seeds)
def test_paragraphs(batch, sentences, data, seed):
    questions = data.draw(st.integers(1, sentences))
    inputs, targets = check_tokens(
        *tasks.paragraphs(rng(seed), batch, sentences, questions),
        (batch, 3 * (sentences + questions)), len(PARAGRAPH_WORDS))
    for row, target in zip(inputs, targets):
        words = [PARAGRAPH_WORDS[i] for i in row]
        told = " ".join(words).split(" . ")
        has = dict(sentence.split() for sentence in told[:sentences])
        assert len(has) == sentences and words[2::3] == ["."] * (sentences + questions)
        assert set(has) <= set(tasks.NAMES) and set(has.values()) <= set(tasks.THINGS)
        later = 3 * sentences
        assert [t for t in target if t != IGNORE] == target[later::3]
        assert [PARAGRAPH_WORDS[t] for t in target[later::3]] == [has[n] for n in words[later::3]]
        assert len(set(words[later::3])) == questions


def test_words_are_different():
    assert len(set(PARAGRAPH_WORDS)) == len(PARAGRAPH_WORDS) == 1 + 32 + 16


UNITS = {word: i for i, word in enumerate(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen".split())}
TENS = {word: 10 * i for i, word in enumerate(
    "twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)}


def read_out(words):
    """The number that English words say."""
    total = part = 0
    for word in words:
        if word == "thousand":
            total, part = total + 1000 * part, 0
        elif word == "hundred":
            part *= 100
        else:
            part += UNITS[word] if word in UNITS else TENS[word]
    return total + part


def test_translation():
    task = tasks.translation(rng(3), 300)
    assert task.source.shape == task.target.shape == (10000, 6)
    assert task.source.dtype == task.target.dtype == np.int64
    assert len(set(task.source_words)) == len(task.source_words) == 31
    assert len(set(task.target_words)) == len(task.target_words) == 13
    for number in range(10000):
        words = [task.source_words[i] for i in task.source[number]]
        length = words.index("") if "" in words else 6
        assert set(words[length:]) <= {""} and words[:length] == tasks.number_words(number)
        assert read_out(words[:length]) == number
        assert "".join(task.target_words[i] for i in task.target[number]) == f"<{number}>"
    assert len(task.train) == 300 and len(task.held_out) == 9700
    assert sorted([*task.train, *task.held_out]) == list(range(10000))
    assert (task.train > 5000).sum() > 100


def test_number_words_has_no_two_readings():
    said = [" ".join(tasks.number_words(i)) for i in range(10000)]
    assert len(set(said)) == 10000
    assert said[0] == "zero" and said[19] == "nineteen" and said[100] == "one hundred"
    assert said[7000] == "seven thousand" and said[9999] == (
        "nine thousand nine hundred ninety nine")


# What they share.


GENERATORS = [
    lambda g: tasks.copy(g, 4, 5, 6), lambda g: tasks.induction(g, 4, 12, 9),
    lambda g: tasks.k_hop(g, 4, 5, 3),
    lambda g: tasks.distractors(g, 4, 5, 6, likeness=0.9, wrong=0.5),
    lambda g: tasks.paragraphs(g, 4, 8, 3), lambda g: tasks.translation(g, 50),
]


@pytest.mark.parametrize("make", GENERATORS)
def test_the_generator_alone_decides(make):
    def same(a, b):
        return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))

    np.random.seed(0)  # a global seed is not what they draw from
    first = make(rng(1))
    np.random.seed(1)
    assert same(first, make(rng(1))) and not same(first, make(rng(2)))
    generator = rng(1)
    assert same(first, make(generator)) and not same(first, make(generator))


def test_repeatable_seeds_numpy_and_torch():
    torch.set_num_threads(2)

    def draw(seed):
        generator = tasks.repeatable(seed)
        return generator.random(), torch.rand(1).item()

    first = draw(4)
    assert draw(4) == first and torch.get_num_threads() == 1
    assert all(a != b for a, b in zip(first, draw(5)))


def test_the_first_book_draws_as_ever():
    assert tasks.BOOK_SEED == 0 and tasks.BOOK_BUDGET == 1, "run the tests without BOOK_..."
    assert tasks.repeatable(4).random() == np.random.default_rng(4).random()
    drawn = torch.rand(1)
    torch.manual_seed(4)
    assert drawn == torch.rand(1)


def test_no_two_books_share_a_stream(monkeypatch):
    """An offset added to the seeds would make book 0's seed 1 book 1's seed 0."""
    drawn = set()
    for book in range(10):
        monkeypatch.setattr(tasks, "BOOK_SEED", book)
        for seed in range(10):
            drawn |= {tasks.repeatable(seed).random(), torch.rand((), dtype=torch.float64).item()}
    assert len(drawn) == 200


def test_steps_follow_the_budget(monkeypatch):
    assert tasks.steps(200) == 200
    monkeypatch.setattr(tasks, "BOOK_BUDGET", 3)
    assert tasks.steps(200) == 600
    with pytest.raises(ValueError, match="n must be at least 1"):
        tasks.steps(0)


@pytest.mark.parametrize("name", ["BOOK_SEED", "BOOK_BUDGET"])
@pytest.mark.parametrize("wrong", ["-1", "x", "1.5", "1e3", "²", "0x1"])
def test_a_book_that_is_none_is_refused_in_one_line(name, wrong):
    result = subprocess.run([sys.executable, "-c", "import attnlib.tasks"], text=True,
                            capture_output=True, env=os.environ | {name: wrong})
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ValueError: the environment variable {name} must be a whole number")
    assert repr(wrong) in last


@pytest.mark.parametrize("given, found", [(dict(BOOK_SEED="3", BOOK_BUDGET=" 10 "), "3 10"),
                                          (dict(BOOK_SEED="", BOOK_BUDGET=""), "0 1")])
def test_seed_and_budget_come_from_the_environment(given, found):
    result = subprocess.run([sys.executable, "-c", "from attnlib.tasks import *\n"
                             "print(BOOK_SEED, BOOK_BUDGET)"], text=True,
                            capture_output=True, env=os.environ | given)
    assert result.stdout.strip() == found, result.stderr


def test_sentence():
    words, embeddings = tasks.sentence()
    assert " ".join(words) == "anna poured the tea because she was cold"
    assert embeddings.shape == (8, len(tasks.FEATURES)) and embeddings.dtype == np.float64
    words[0], embeddings[0] = "ben", 9
    assert tasks.sentence()[0][0] == "anna" and tasks.sentence()[1][0, 0] == 1


@pytest.mark.parametrize("call, error, message", [
    (lambda: tasks.copy(0, 4, 5, 6), TypeError, "generator must be a numpy Generator.* got int"),
    (lambda: tasks.copy(np.random.RandomState(0), 4, 5, 6), TypeError, "got RandomState"),
    (lambda: tasks.copy(rng(0), 0, 5, 6), ValueError, "batch must be at least 1, got 0"),
    (lambda: tasks.copy(rng(0), 4, 5.0, 6), TypeError, "length must be a whole number, got 5.0"),
    (lambda: tasks.induction(rng(0), 4, 3, 9), ValueError, "n must be at least 4, got 3"),
    (lambda: tasks.induction(rng(0), 4, 20, 9), ValueError, "vocabulary must be at least 10"),
    (lambda: tasks.k_hop(rng(0), 4, 5, 0), ValueError, "hops must be at least 1"),
    (lambda: tasks.distractors(rng(0), 4, 2, 8, copies=3), ValueError, "items must be at least 3"),
    (lambda: tasks.distractors(rng(0), 4, 2, 8, likeness=-1), ValueError, "got likeness -1, wrong"),
    (lambda: tasks.distractors(rng(0), 4, 2, 8, likeness=math.nan), ValueError, "likeness nan"),
    (lambda: tasks.floor(tasks.sentence), ValueError, "floor knows copy, .* got 'sentence'"),
    (lambda: tasks.floor("copy"), ValueError, "floor knows copy, .* got 'copy'"),
    (lambda: tasks.distractors(rng(0), 4, 2, 8, wrong=1.5), ValueError, "wrong 1.5"),
    (lambda: tasks.paragraphs(rng(0), 4, 33, 1), ValueError, "got questions 1, sentences 33"),
    (lambda: tasks.paragraphs(rng(0), 4, 3, 4), ValueError, "got questions 4, sentences 3"),
    (lambda: tasks.number_words(10000), ValueError, "at most 9999, got 10000"),
    (lambda: tasks.number_words(-1), ValueError, "at least 0, got -1"),
    (lambda: tasks.number_words("7"), TypeError, "whole number, got '7'"),
    (lambda: tasks.translation(rng(0), 10001), ValueError, "at most 10000, got 10001"),
])
def test_bad_input_says_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()


# Real data.


def test_english_is_text():
    text = tasks.english()
    assert isinstance(text, str) and 2e5 < len(text) < 1e6
    common = sum(text.count(f" {word} ") for word in ("the", "of", "is", "to", "and"))
    assert common > 0.02 * len(text) / 5


def test_english_is_the_same_in_every_python():
    """The text of Python 3.11 to 3.14; chapters store what was learned from it."""
    assert hashlib.sha256(tasks.english().encode()).hexdigest() == (
        "47613f97e5b7f43671070105f4c789cb548e66514d8ea05f6a130ea79a47edc6")


def test_digits_are_images_of_their_labels():
    pytest.importorskip("sklearn")
    images, labels = tasks.digits()
    assert images.shape == (1797, 8, 8) and images.dtype == np.float64
    assert images.min() == 0 and images.max() == 1
    assert labels.dtype == np.int64 and set(labels.tolist()) == set(range(10))
    means = np.stack([images[:1000][labels[:1000] == digit].mean(0) for digit in range(10)])
    distance = ((images[1000:, None] - means)**2).sum((-1, -2))
    assert (distance.argmin(1) == labels[1000:]).mean() > 0.85


def test_digits_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ModuleNotFoundError, match="pip install scikit-learn"):
        tasks.digits()


def test_tasks_work_without_torch():
    program = ("import sys; sys.modules['torch'] = None; import numpy as np\n"
               "from attnlib import tasks\n"
               "inputs, targets = tasks.copy(np.random.default_rng(0), 1, 2, 3)\n"
               "print(inputs.shape, len(tasks.english()) > 0)")
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.strip() == "(1, 4) True", result.stderr


# Scores.


def test_accuracy_counts_what_is_asked():
    scores = torch.tensor([[[0.0, 2, 1], [3, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0], [1, 0, 0]]])
    targets = np.array([[1, IGNORE, 0], [IGNORE, 1, 0]])
    assert tasks.accuracy(scores, targets) == tasks.accuracy(scores, torch.tensor(targets)) == 0.75
    assert math.isnan(tasks.accuracy(scores, np.full((2, 3), IGNORE)))
