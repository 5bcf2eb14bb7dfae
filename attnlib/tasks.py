"""The small tasks and the real data that the book's experiments learn from.

Every generator takes first the numpy ``Generator`` that it draws from (`repeatable` makes one)
and returns numpy arrays: tokens are int64, counted from 0. Where a task asks for tokens at some
positions alone, ``targets`` hold `IGNORE` at the others, which torch's ``cross_entropy`` skips.
Only `accuracy` and `train`, which stands in ``training.py``, need torch. Nothing is downloaded.
"""

import hashlib
import importlib.util
import os
import re
from importlib import resources
from typing import NamedTuple

import numpy as np

from .masks import whole_number

IGNORE = -100  # the target of a position where nothing is asked

FEATURES = ("person", "thing", "action", "quality", "points", "links")
_SENTENCE = {  # word: how much of each feature it has
    "anna":    (1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "poured":  (0.0, 0.0, 1.0, 0.0, 0.0, 0.0),
    "the":     (0.0, 0.0, 0.0, 0.0, 0.5, 1.0),
    "tea":     (0.0, 1.0, 0.0, 0.5, 0.0, 0.0),
    "because": (0.0, 0.0, 0.0, 0.0, 0.0, 1.5),
    "she":     (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "was":     (0.0, 0.0, 0.5, 0.0, 0.0, 0.5),
    "cold":    (0.0, 0.0, 0.0, 1.0, 0.0, 0.0),
}


def sentence() -> tuple[list[str], np.ndarray]:
    """The running example of the book, "anna poured the tea because she was cold".

    Its features are chosen by hand, so that they can be read: person, thing, action, quality,
    points (stands for something said elsewhere) and links (holds other words together).

    Returns:
        words: list of 8 strings.
        embeddings: float64 numpy array ``(8, 6)``, a row per word, a column per name in
            ``FEATURES``, without a unit.

    >>> words, embeddings = sentence()
    >>> words[5], embeddings[5]
    ('she', array([1., 0., 0., 0., 1., 0.]))
    """
    return list(_SENTENCE), np.array(list(_SENTENCE.values()))


# What a chapter depends on: its seed and its budget.


def _from_environment(name, default, least):
    text = os.environ.get(name, "").strip() or str(default)
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise ValueError(f"the environment variable {name} must be a whole number of at least "
                         f"{least}, got {text!r}: unset it to read the book as it is printed")
    return int(text)


BOOK_SEED = _from_environment("BOOK_SEED", 0, 0)
"""Which draw of all data and all starts; 0 is the printed book."""

BOOK_BUDGET = _from_environment("BOOK_BUDGET", 1, 1)
"""How many times longer everything is trained that `steps` counts; 1 is the printed book."""


def repeatable(seed=0) -> np.random.Generator:
    """Make what follows the same on every run: seed it, and let torch use one thread.

    Args:
        seed: whole number of at least 0; another seed gives another run.

    Returns:
        A ``numpy.random.Generator`` that starts from ``seed`` and `BOOK_SEED`, so that no two
        books share a stream. If torch is installed, its own generator is seeded too.

    Raises:
        TypeError, ValueError: if ``seed`` is not a whole number of at least 0.

    >>> float(repeatable(3).random()) == float(repeatable(3).random())
    True
    """
    whole_number("seed", seed, 0)
    if importlib.util.find_spec("torch") is not None:
        import torch
        torch.set_num_threads(1)
        start = np.random.SeedSequence([seed, BOOK_SEED]).generate_state(1)[0]
        torch.manual_seed(int(start) if BOOK_SEED else seed)
    return np.random.default_rng([seed, BOOK_SEED])


def steps(n) -> int:
    """How long to train what is trained until it no longer matters: n times `BOOK_BUDGET`.

    A number of steps that a claim is *about* is written as it is, without this function.

    Args:
        n: whole number of steps in the printed book, at least 1.

    Returns:
        A whole number of steps.

    Raises:
        TypeError, ValueError: if ``n`` is not a whole number of at least 1.

    >>> steps(200) // BOOK_BUDGET
    200
    """
    whole_number("n", n, 1)
    return n * BOOK_BUDGET


# Tasks on tokens.


def copy(generator, batch, length, vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Say again what was said: ``a b c | a b c``.

    Args:
        generator: numpy ``Generator`` to draw from.
        batch: number of sequences.
        length: number of tokens to copy.
        vocabulary: number of different tokens; the separator is one more, ``vocabulary``.

    Returns:
        inputs: ``(batch, 2 * length)``: the tokens, the separator, the tokens but the last.
        targets: ``(batch, 2 * length)``: from the separator on, the token to come.

    Raises:
        TypeError, ValueError: if ``generator`` is none, or a size not a whole number of at least 1.

    Source: Graves et al. 2014, section 4.1.

    >>> inputs, targets = copy(np.random.default_rng(0), batch=1, length=3, vocabulary=5)
    >>> inputs, targets
    (array([[4, 3, 2, 5, 4, 3]]), array([[-100, -100, -100,    4,    3,    2]]))
    """
    _check(generator, batch=batch, length=length, vocabulary=vocabulary)
    tokens = generator.integers(vocabulary, size=(batch, length))
    between, nothing = np.full((batch, 1), vocabulary), np.full((batch, length), IGNORE)
    inputs = np.concatenate((tokens, between, tokens[:, :-1]), axis=1)  # (batch, 2 * length)
    return inputs, np.concatenate((nothing, tokens), axis=1)


def induction(generator, batch, n, vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Go on with a random pattern that repeats with a random period: ``a b c a b c a``.

    The tokens of a pattern differ, so that the rule "find where this token stood before, and say
    what came after it" is always right.

    Args:
        generator: numpy ``Generator`` to draw from.
        batch: number of sequences.
        n: length of the sequences, at least 4. Periods are drawn from 2 to ``n // 2``.
        vocabulary: number of different tokens, at least ``n // 2``.

    Returns:
        inputs: ``(batch, n)``.
        targets: ``(batch, n)``: the next token, from the first repeated token on.

    Raises:
        TypeError, ValueError: if ``generator`` is none, or a size not a whole number or too small.

    Source: Olsson et al. 2022 (induction heads).

    >>> inputs, targets = induction(np.random.default_rng(1), batch=1, n=8, vocabulary=9)
    >>> inputs, targets
    (array([[7, 0, 1, 7, 0, 1, 7, 0]]), array([[-100, -100, -100,    0,    1,    7,    0,    1]]))
    """
    _check(generator, batch=batch, n=n, vocabulary=vocabulary)
    whole_number("n", n, 4)
    whole_number("vocabulary", vocabulary, n // 2)
    period = generator.integers(2, n // 2 + 1, size=(batch, 1))
    pattern = _different(generator, batch, n // 2, vocabulary)  # (batch, n // 2)
    tokens = np.take_along_axis(pattern, np.arange(n + 1) % period, axis=1)  # (batch, n + 1)
    return tokens[:, :-1], np.where(np.arange(n) >= period, tokens[:, 1:], IGNORE)


def k_hop(generator, batch, items, hops) -> tuple[np.ndarray, np.ndarray]:
    """Follow pointers: every item names another, and where do 1, 2, ... steps lead from each?

    Args:
        generator: numpy ``Generator`` to draw from.
        batch: number of sets, each a permutation f of its own.
        items: number of items.
        hops: largest number of steps.

    Returns:
        pairs: ``(batch, items, 2)``: a and f(a), in any order of the pairs.
        targets: ``(batch, items, hops)``: for each pair f(a), f(f(a)), ...

    Raises:
        TypeError, ValueError: if ``generator`` is none, or a size not a whole number of at least 1.

    Source: Sanford et al. 2024 (a form on sequences, and the depth it needs).

    >>> pairs, targets = k_hop(np.random.default_rng(2), batch=1, items=3, hops=2)
    >>> pairs[0].tolist(), targets[0].tolist()
    ([[2, 1], [1, 0], [0, 2]], [[1, 0], [0, 2], [2, 1]])
    """
    _check(generator, batch=batch, items=items, hops=hops)
    follow = _different(generator, batch, items, items)  # (batch, items): f
    here = start = _different(generator, batch, items, items)  # (batch, items): a
    steps = []
    for _ in range(hops):
        here = np.take_along_axis(follow, here, axis=1)
        steps.append(here)
    targets = np.stack(steps, axis=-1)  # (batch, items, hops)
    return np.stack((start, targets[..., 0]), axis=-1), targets


def distractors(
        generator, batch, items, dim, *, classes=8, copies=1, likeness=1.0, wrong=0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find by a likeness: some keys resemble the query, the others distract.

    Each key by itself, relevant or not, is drawn unit-normal: without the query nothing marks
    the one that is relevant, its length least of all. Several copies resemble each other.

    Args:
        generator: numpy ``Generator`` to draw from.
        batch: number of questions.
        items: number of items in each, distractors included.
        dim: width of query and keys, which are drawn unit-normal.
        classes: number of different values.
        copies: how many items are relevant: their keys resemble the query.
        likeness: the correlation of a relevant key with the query, 0 to 1, feature by feature.
        wrong: probability that a relevant item holds a random value and not the target.

    Returns:
        query: ``(batch, dim)``, float64.
        key: ``(batch, items, dim)``, float64.
        value: ``(batch, items)``, below ``classes``.
        target: ``(batch,)``: the value that the relevant items hold, but for wrong ones.

    Raises:
        TypeError, ValueError: if ``generator`` is none, a size not a whole number or too small,
            ``likeness`` not from 0 to 1 or ``wrong`` not a probability.

    >>> query, key, value, target = distractors(np.random.default_rng(0), 2, items=4, dim=16)
    >>> relevant = (key @ query[..., None])[..., 0].argmax(-1)
    >>> bool((value[[0, 1], relevant] == target).all())
    True
    """
    _check(generator, batch=batch, dim=dim, classes=classes, copies=copies)
    whole_number("items", items, copies)
    if not 0 <= likeness <= 1 or not 0 <= wrong <= 1:
        raise ValueError("likeness must be from 0 to 1 and wrong a probability, "
                         f"got likeness {likeness}, wrong {wrong}")
    query = generator.standard_normal((batch, dim))
    key = generator.standard_normal((batch, items, dim))
    value = generator.integers(classes, size=(batch, items))
    target = generator.integers(classes, size=batch)
    relevant = _different(generator, batch, items, items) < copies  # (batch, items)
    near = likeness * query[:, None] + np.sqrt(1 - likeness**2) * key  # (batch, items, dim)
    right = relevant & (generator.random((batch, items)) >= wrong)
    return (query, np.where(relevant[..., None], near, key),
            np.where(right, target[:, None], value), target)


# Tasks on words.

NAMES = ("anna ben carl dora emil fay gus hana igor jane kurt lena max nora otto pia "
         "quin rosa sam tara ulf vera walt xena yan zoe alma bert cleo dirk ella finn").split()
THINGS = ("tea milk juice bread rice soup cake plums nuts corn eggs ham jam figs pie salt").split()
PARAGRAPH_WORDS = (".", *NAMES, *THINGS)


def paragraphs(generator, batch, sentences, questions) -> tuple[np.ndarray, np.ndarray]:
    """Who has what: ``anna tea . ben milk . carl tea .`` and then ``ben`` what?

    A paragraph, then the same kind of sentence about people in it, whose things are asked.

    Args:
        generator: numpy ``Generator`` to draw from.
        batch: number of paragraphs.
        sentences: number of sentences, each about another person; at most 32.
        questions: number of sentences after it, about different people; at most ``sentences``.

    Returns:
        inputs: ``(batch, 3 * (sentences + questions))``, indices into ``PARAGRAPH_WORDS``.
        targets: of the same shape: the thing, at the name in each question.

    Raises:
        TypeError, ValueError: if ``generator`` is none, or a size not a whole number in range.

    >>> inputs, targets = paragraphs(np.random.default_rng(0), 1, sentences=2, questions=1)
    >>> " ".join(PARAGRAPH_WORDS[i] for i in inputs[0])
    'carl nuts . lena eggs . carl nuts .'
    >>> PARAGRAPH_WORDS[targets[0, 6]], (targets == IGNORE).sum().item()
    ('nuts', 8)
    """
    _check(generator, batch=batch, sentences=sentences, questions=questions)
    if not questions <= sentences <= len(NAMES):
        raise ValueError(f"questions may be at most sentences, and sentences {len(NAMES)}, "
                         f"got questions {questions}, sentences {sentences}")
    name = 1 + _different(generator, batch, sentences, len(NAMES))  # (batch, sentences)
    thing = 1 + len(NAMES) + generator.integers(len(THINGS), size=(batch, sentences))
    asked = _different(generator, batch, questions, sentences)  # (batch, questions)
    name, thing = (np.concatenate((x, np.take_along_axis(x, asked, axis=1)), axis=1)
                   for x in (name, thing))  # (batch, sentences + questions)
    inputs = np.stack((name, thing, np.zeros_like(name)), axis=-1).reshape(batch, -1)
    targets = np.full_like(inputs, IGNORE)
    targets[:, 3 * sentences::3] = thing[:, sentences:]
    return inputs, targets


_BELOW_TWENTY = ("zero one two three four five six seven eight nine ten eleven twelve thirteen "
                 "fourteen fifteen sixteen seventeen eighteen nineteen").split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def number_words(number) -> list[str]:
    """A number in English words, as people read it out.

    Args:
        number: whole number, 0 to 9999.

    Returns:
        A list of 1 to 6 words.

    Raises:
        TypeError, ValueError: if ``number`` is not a whole number in this range.

    >>> " ".join(number_words(4012))
    'four thousand twelve'
    """
    whole_number("number", number, 0)
    if number > 9999:
        raise ValueError(f"number must be at most 9999, got {number}")
    words = []
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            words += [_BELOW_TWENTY[number // size], name]
            number %= size
    if number >= 20:
        words.append(_TENS[number // 10 - 2])
        number %= 10
    if number or not words:
        words.append(_BELOW_TWENTY[number])
    return words


class Translation(NamedTuple):
    """All numbers from 0 to 9999 in words and in digits: row i is about the number i."""

    source: np.ndarray  # (10000, 6), indices into source_words, padded with 0
    target: np.ndarray  # (10000, 6), indices into target_words: start, digits, end, padding
    source_words: tuple
    target_words: tuple
    train: np.ndarray  # (examples,), the numbers to learn from
    held_out: np.ndarray  # (10000 - examples,), all others


def translation(generator, examples) -> Translation:
    """A small real translation: number words to digits, "four hundred two" to "402".

    Args:
        generator: numpy ``Generator`` that draws which numbers are learned from.
        examples: how many those are, at most 10000.

    Returns:
        A `Translation`: source and target tokens of all 10000 numbers, their vocabularies, and
        which numbers are to be learned from and which are held out.

    Raises:
        TypeError, ValueError: if ``generator`` is none, or ``examples`` not a whole number in
            range.

    >>> task = translation(np.random.default_rng(0), examples=300)
    >>> [task.source_words[i] for i in task.source[402]]
    ['four', 'hundred', 'two', '', '', '']
    """
    _check(generator, examples=examples)
    if examples > 10000:
        raise ValueError(f"examples must be at most 10000, got {examples}")
    source_words = ("", *_BELOW_TWENTY, *_TENS, "hundred", "thousand")
    target_words = ("", "<", ">", *"0123456789")
    order = generator.permutation(10000)
    return Translation(_padded([number_words(i) for i in range(10000)], source_words),
                       _padded([f"<{i}>" for i in range(10000)], target_words),
                       source_words, target_words, np.sort(order[:examples]),
                       np.sort(order[examples:]))


# What cannot be beaten without knowing.


def floor(task, **sizes) -> float:
    """The best score of a model that cannot know: what a figure draws as a grey line.

    "Better than guessing" is better than this. The blind know how a task is drawn, and of a
    question no more than this:

    - `copy`: which words there are and which were said again, but not their order;
    - `induction`: how often each word stood and which stands last, but not their order;
    - `k_hop`: the item and the one it names, but no other pair; ``hops`` is the one step asked;
    - `distractors`: all values, but no key and no query;
    - `paragraphs`: which things there are and which were told again, but not whose they are;
    - `translation`: nothing; the whole number is to be right.

    Args:
        task: one of these functions.
        sizes: the arguments of the task, without ``generator``, ``batch``, and what only the
            sighted see (``dim``, ``likeness``).

    Returns:
        The share of asked-for answers that are right, 0 to 1, on 20000 questions always the same:
        right to about 0.01.

    Raises:
        ValueError: if the task is none of these.

    >>> round(floor(k_hop, items=8, hops=3), 2), round(floor(distractors, items=16), 2)
    (0.25, 0.26)
    """
    if task not in _BLIND:
        raise ValueError("floor knows " + ", ".join(known.__name__ for known in _BLIND)
                         + f", got {getattr(task, '__name__', task)!r}")
    return float(_BLIND[task](np.random.default_rng(0), 20000, **sizes))


def _blind_copy(generator, batch, length, vocabulary):
    tokens, _ = copy(generator, batch, length, vocabulary)
    return _drawn_again(tokens[:, :length], length, vocabulary)


def _drawn_again(tokens, times, vocabulary):
    """How often the most frequent of the tokens that are left is the next of them."""
    counts = _counts(tokens, vocabulary)  # (batch, vocabulary)
    row, right = np.arange(len(tokens)), 0.0
    for token in tokens.T[:times]:
        right += (counts.argmax(1) == token).mean() / times
        counts[row, token] -= 1
    return right


def _blind_induction(generator, batch, n, vocabulary):
    inputs, targets = induction(generator, batch, n, vocabulary)
    counts, row, right = np.zeros((batch, vocabulary)), np.arange(batch), 0
    for token, target in zip(inputs.T, targets.T):
        counts[row, token] += 1
        others = np.where(counts == 0, np.inf, counts)  # the next has stood least often
        others[row, token] = np.inf
        right += (others.argmin(1) == target).sum()  # IGNORE is no token
    return right / (targets != IGNORE).sum()


def _blind_k_hop(generator, batch, items, hops):
    pairs, targets = k_hop(generator, batch, items, hops)
    return (pairs == targets[..., -1:]).mean((0, 1)).max()


def _blind_distractors(generator, batch, items, **sizes):
    _, _, value, target = distractors(generator, batch, items, 1, **sizes)
    return (_counts(value, sizes.get("classes", 8)).argmax(1) == target).mean()


def _blind_paragraphs(generator, batch, sentences, questions):
    inputs, _ = paragraphs(generator, batch, sentences, sentences)
    told = inputs[:, 3 * sentences + 1::3]  # (batch, sentences): all things, in the order asked
    return _drawn_again(told, questions, len(PARAGRAPH_WORDS))


def _counts(tokens, vocabulary):
    return (tokens[..., None] == np.arange(vocabulary)).sum(1)


_BLIND = {copy: _blind_copy, induction: _blind_induction, k_hop: _blind_k_hop,
          distractors: _blind_distractors, paragraphs: _blind_paragraphs,
          translation: lambda generator, batch: 1 / 10000}


# Real data.


def english() -> str:
    """Real English that is there wherever Python is: paragraphs of its own help texts.

    They are those that read the same in Python 3.11, 3.12, 3.13 and 3.14, so that what is
    learned from them is the same too. ``pydoc_paragraphs.sha256`` lists them in their order,
    each by the first 8 digits of its SHA-256; a paragraph that a later Python has lost is left out.

    Returns:
        One string of about 300 000 characters, paragraphs with an empty line between them.

    >>> len(english())
    298241
    >>> 'The "if" statement is used for conditional execution' in english()
    True
    """
    from pydoc_data.topics import topics

    paragraphs = (part.strip("\n") for topic in topics.values()
                  for part in re.split(r"\n\s*\n", topic))
    known = {hashlib.sha256(part.encode()).hexdigest()[:8]: part for part in paragraphs}
    listed = resources.files(__package__).joinpath("pydoc_paragraphs.sha256")
    return "\n\n".join(known[name] for name in listed.read_text("ascii").split()
                       if name in known)


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Real handwritten digits: the test set of scikit-learn's small images (UCI, 1998).

    Returns:
        images: float64 ``(1797, 8, 8)``, 0 for no ink to 1 for full.
        labels: int64 ``(1797,)``, the digit that was written.

    Raises:
        ModuleNotFoundError: if scikit-learn is not installed.

    >>> images, labels = digits()
    >>> images.shape, labels[:5]
    ((1797, 8, 8), array([0, 1, 2, 3, 4]))
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise ModuleNotFoundError("digits() reads the images that come with scikit-learn: "
                                  "pip install scikit-learn", name="sklearn") from None
    data = load_digits()
    return data.images / 16, data.target.astype(np.int64)


# Training, on torch.


def __getattr__(name):
    if name == "train":
        from .training import train

        return train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def accuracy(scores, targets) -> float:
    """The share of asked-for tokens whose score is the highest.

    Args:
        scores: tensor ``(..., n, vocabulary)``.
        targets: whole numbers ``(..., n)``, tensor or numpy; `IGNORE` where nothing is asked.

    Returns:
        A number from 0 to 1; NaN if nothing is asked.

    >>> import torch
    >>> accuracy(torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]), np.array([1, IGNORE, 1]))
    0.5
    """
    best, targets = scores.argmax(-1).numpy(), np.asarray(targets)
    asked = targets != IGNORE
    return float((best == targets)[asked].mean()) if asked.any() else float("nan")


# What the tasks share.


def _check(generator, **sizes):
    if not isinstance(generator, np.random.Generator):
        raise TypeError("generator must be a numpy Generator, such as repeatable() makes, "
                        f"got {type(generator).__name__}")
    for name, size in sizes.items():
        whole_number(name, size, 1)


def _different(generator, batch, many, among):
    """In each row, ``many`` different numbers below ``among``: (batch, many)."""
    return generator.permuted(np.tile(np.arange(among), (batch, 1)), axis=1)[:, :many]


def _padded(texts, words):
    """Texts as rows of indices into words, padded with 0 to the longest."""
    index = {word: i for i, word in enumerate(words)}
    rows = np.zeros((len(texts), max(map(len, texts))), dtype=np.int64)
    for row, text in zip(rows, texts):
        row[:len(text)] = [index[word] for word in text]
    return rows
