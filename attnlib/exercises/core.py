"""What an exercise is made of, and what is said of an answer.

A chapter's module needs nothing else: it lists its `Exercise`s in ``EXERCISES``.
"""

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ..running.outcome import Case

STATUSES = (
    "not_attempted", "known_mistake", "raised", "timed_out", "forbidden_call", "changed_input",
    "wrong_kind", "not_finite", "broken_law", "not_repeatable", "differs", "passed",
)
KINDS = ("by hand", "write", "find the bug", "predict", "open-ended")
CODE_KINDS = ("write", "find the bug")
READY_MADE = (  # attention, for ``forbidden``
    "attnlib.attention", "attnlib.attention_weights", "attnlib.partial_attention",
    "attnlib.multilevel.chunked_attention", "attnlib.multilevel.hierarchical_attention",
    "attnlib.multilevel.local_attention", "attnlib.layers.MultiHeadAttention",
    "torch.nn.functional.scaled_dot_product_attention", "torch.nn.MultiheadAttention",
)


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people really write, recognised by what it does.

    Args:
        name: short and unique in its exercise, such as ``no-scale``.
        sentence: one or two lines: what was done and what to look at, not the answer.
        answer: the wrong version itself, called as the student's function is.
        credit: fraction of the points that it earns all the same.
        also: other ways of making it that do something else, and are told the same.
    """

    name: str
    sentence: str
    answer: Callable
    credit: float = 0.0
    also: tuple[Callable, ...] = ()


def ways(mistake) -> tuple[Mistake, ...]:
    """A mistake in each of the ways in which it is made, its own first.

    Args:
        mistake: `Mistake`.

    >>> [way.answer(-4.2) for way in ways(Mistake("whole", "It is whole.", round, also=(int, abs)))]
    [-4, -4, 4.2]
    """
    return (mistake, *(replace(mistake, answer=answer, also=()) for answer in mistake.also))


def switched(faulty, sentences, pairs=(), also=()) -> tuple[Mistake, ...]:
    """Known mistakes made by switching named faults on in one function.

    Args:
        faulty: the reference with faults: takes what the answer takes and
            ``faults=frozenset()``; with no faults it equals the reference.
        sentences: ``{fault: sentence}``, in the order in which they are tried.
        pairs: ``(fault, fault)`` that one person could make together; such a pair is the mistake
            ``a+b``, with both sentences (see `joined`).
        also: ``(fault, switch, ...)``, another way of making this fault: with all of these on.

    Returns:
        Tuple of `Mistake`: the single faults, then the pairs.

    >>> def faulty(x, *, faults=frozenset()):
    ...     return x + (0 if "nothing" in faults else 1)
    >>> nothing, = switched(faulty, {"nothing": "Nothing was added."})
    >>> nothing.name, nothing.answer(3)
    ('nothing', 3)
    """
    def answer(*faults):
        return functools.partial(faulty, faults=frozenset(faults))

    single = {fault: Mistake(fault, sentence, answer(fault), also=tuple(
                  answer(*switches) for switches in also if switches[0] == fault))
              for fault, sentence in sentences.items()}
    both = [replace(joined(single[a], single[b]), answer=answer(a, b)) for a, b in pairs]
    return (*single.values(), *both)


def joined(*mistakes) -> Mistake:
    """Mistakes made at once: what is said of each, but for what it calls right in the rest.

    Args:
        mistakes: one to six `Mistake`.

    >>> def mistake(name, sentence):
    ...     return Mistake(name, sentence, abs)
    >>> both = joined(mistake("a", "The scale is gone. It was right."),
    ...               mistake("b", "Right, but for an empty row: 0/0 is not a number."))
    >>> both.name, both.sentence
    ('a+b', 'Two things: (1) The scale is gone. (2) For an empty row: 0/0 is not a number.')
    """
    if len(mistakes) == 1:
        return mistakes[0]
    listed = " ".join(f"({i}) {_beside_another(mistake.sentence)}"
                      for i, mistake in enumerate(mistakes, 1))
    many = ("Two", "Three", "Four", "Five", "Six")[min(len(mistakes), 6) - 2]
    return Mistake(name="+".join(mistake.name for mistake in mistakes),
                   sentence=f"{many} things: {listed}",
                   answer=mistakes[0].answer, credit=min(mistake.credit for mistake in mistakes))


def _beside_another(sentence):
    """A sentence without what it calls right, which it is not where something else is wrong too."""
    parts = re.split(r"(?<=[.?!]) ", sentence)
    parts = [re.sub(r"^[^:]*\b[Rr]ight\b[^:]*?,? but ", "", part) for part in parts]
    parts = [re.sub(r"^Right unless (.*?): then ", r"Where \1, ", part) for part in parts]
    parts = [re.sub(r"^Right [^:]*: ", "", part) for part in parts]
    kept = [part for part, after in zip(parts, [*parts[1:], ""])
            if not re.match(r"Right\b|.* (is|are|was) right\b", part)
            and not (re.search(r"\bright\b", part) and after.startswith("But "))]
    kept = [part.removeprefix("But ") for part in kept]
    return " ".join(part[0].upper() + part[1:] for part in kept)


def flipped(words, faults) -> dict[str, str]:
    """A right prediction with some of its letters turned round.

    Args:
        words: ``{letter: "same" or "different"}``.
        faults: the letters to turn round.

    >>> flipped({"a": "same", "b": "same"}, {"b"})
    {'a': 'same', 'b': 'different'}
    """
    other = {"same": "different", "different": "same"}
    return {letter: other[word] if letter in faults else word for letter, word in words.items()}


@dataclass(frozen=True, eq=False)
class Exercise:
    """Everything that a check, a hint and a grade need to know of one exercise.

    Args:
        id: chapter and number, ``"1.3"``.
        kind: one of `KINDS`.
        points, minutes, version: what it is worth, how long it takes, and a number that goes up
            whenever an answer that was right could become wrong.
        hints: two or three, each giving a little more; plain text, code in backticks.
        cases: ``cases(seed)`` gives the list of `Case`, the same for the same seed. An exercise
            done by hand has one ``Case()``.
        reference: a right answer, attnlib's own function where there is one; None where only
            ``judge`` decides.
        mistakes: the known mistakes, in the order in which they are tried.
        judge: ``judge(cases, outcomes)`` gives a `Result` (see `broken_law`) or None for
            "nothing to object". The outcomes neither raised nor ran out of time, but may hold
            any plain value. ``Result("known_mistake", sentence, mistake=name)`` names a mistake
            that is known by a property rather than by its numbers.
        takes: the kind of array that the answer is called with first, "numpy" or "torch".
        forbidden: dotted names of functions, classes or modules that the answer must not call.
        variants: other right answers (loops, einsum, the other kind), which tests hold the check
            to accept.
        equivalent: ``{frozenset({"a", "b"}): why these two mistakes cannot be told apart}``.
        spared: ``{kind: why}``, for what the lint over cases (proofs/cases.py) would miss, of its
            kinds, and what cannot be.
        vary: ``vary(rng)``, where the same question can be asked with other numbers, shapes or
            names: gives the `Exercise` drawn from a numpy Generator and ``{text: other text}``,
            what to replace in the statement, the stub and a solution in code.
    """

    id: str
    kind: str
    points: int
    minutes: int
    version: int
    hints: tuple[str, ...]
    cases: Callable[[int], list[Case]]
    reference: Callable | None
    mistakes: tuple[Mistake, ...] = ()
    judge: Callable | None = None
    takes: str = "numpy"
    forbidden: tuple[str, ...] = ()
    variants: tuple[Callable, ...] = ()
    equivalent: dict = field(default_factory=dict)
    spared: dict = field(default_factory=dict)
    vary: Callable | None = None


def with_numbers(exercise, numbers, words, reference=None) -> tuple[Exercise, dict[str, str]]:
    """What an exercise's ``vary`` returns: the same question, asked with other numbers.

    Args:
        exercise: `Exercise` whose mistakes (and reference) take the numbers by name.
        numbers: ``{name: other number}``.
        words: ``{text: other text}``, for the statement, the stub, the solution and the hints.
        reference: a right answer with these numbers, if the exercise's own does not take them.

    Returns:
        exercise: `Exercise`.
        words: as given.

    >>> one = Exercise("9.9", "by hand", 1, 1, 1, ("Two and two.",), lambda seed: [Case()],
    ...                reference=lambda a=2: a + a)
    >>> other, _ = with_numbers(one, {"a": 3}, {"Two": "Three", "two": "three"})
    >>> other.hints, other.reference()
    (('Three and three.',), 6)
    """
    def given(function):
        return functools.partial(function, **numbers)

    mistakes = tuple(replace(m, answer=given(m.answer), also=tuple(map(given, m.also)))
                     for m in exercise.mistakes)
    hints = tuple(reworded(hint, words) for hint in exercise.hints)
    return replace(exercise, hints=hints, mistakes=mistakes, variants=(),
                   reference=reference or given(exercise.reference)), words


def reworded(text, words) -> str:
    """A text with all of the words replaced at once, the longest first.

    Args:
        text: any text.
        words: ``{text: other text}``.

    >>> reworded("1 and 2", {"1": "2", "2": "3"})
    '2 and 3'
    """
    longest = sorted(words, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest)) or "(?!)", lambda m: words[m[0]], text)


@dataclass(frozen=True, repr=False)
class Result:
    """What is said of an answer; true if it passed. Showing it is `check`'s business.

    Args:
        status: one of `STATUSES`.
        sentence: what is wrong, in one or two lines; what was tried, if nothing is.
        witness: the evidence, as lines of plain text: inputs, expected, got, where.
        exercise: the exercise's id.
        mistake: the known mistake's name; where none was recognised, a few words on how the
            answer departs (relating.py) or which law it breaks, if that can be said.
        credit: the fraction of the points that is earned.

    >>> result = Result("passed", "12 inputs, 3 hard ones", exercise="1.3")
    >>> bool(result), result
    (True, <1.3: passed>)
    """

    status: str
    sentence: str
    witness: str = ""
    exercise: str = ""
    mistake: str = ""
    credit: float = 0.0

    def __bool__(self):
        return self.status == "passed"

    def __repr__(self):
        return f"<{self.exercise or 'no exercise'}: {self.status}>"

    def _ipython_display_(self):
        """Nothing: the message was shown when the check ran."""


def finite_array(value) -> np.ndarray | None:
    """What an answer gave back, as an array of finite numbers, for a ``judge`` that reads it.

    Args:
        value: any plain value.

    Returns:
        float64 array, or None if it is no such thing.

    >>> finite_array([1, 2]), finite_array([1, float("nan")]), finite_array("one")
    (array([1., 2.]), None, None)
    """
    try:
        array = np.asarray(value)
    except ValueError:  # lists of several lengths
        return None
    fine = array.dtype.kind in "iuf" and np.isfinite(array).all()
    return array.astype(float) if fine else None


def broken_law(sentence, witness="", name="") -> Result:
    """What an exercise's ``judge`` returns when an answer breaks a law.

    Args:
        sentence: which law, in one or two lines.
        witness: plain text that shows where it breaks.
        name: a few words, for a law that says what was done wrong, not only that something was.

    Returns:
        `Result` with status ``broken_law``.

    >>> broken_law("The rows do not sum to one.").status
    'broken_law'
    """
    return Result("broken_law", sentence, witness, mistake=name)


def another_form(sentence, witness="") -> Result:
    """The broken law of an answer that is not of the form that was asked for.

    Args:
        sentence: which form it should have.
        witness: plain text that shows what came.

    Returns:
        `Result` with status ``broken_law``.

    >>> another_form("Return two numbers.").mistake
    'another form'
    """
    return broken_law(sentence, witness, name="another form")


@functools.cache
def _parameters(function):
    parameters = inspect.signature(function).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)


def argument_names(exercise) -> tuple[str, ...]:
    """What the arguments of an exercise's answer are called.

    Args:
        exercise: `Exercise`.
    """
    functions = [exercise.reference, *exercise.variants, *(m.answer for m in exercise.mistakes)]
    return next((_parameters(function) for function in functions if function), ())
