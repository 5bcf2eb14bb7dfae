"""Turns outcomes into a result. Pure: it sees plain data and never the student's code.

The order is the same for every exercise: what was never tried; what was forbidden; what is right;
then the known mistakes; and only then what can be said of any wrong answer.
"""

import functools
import math
import re
from dataclasses import replace

import numpy as np

from ..running.outcome import Case, Other, Outcome
from ..running.runner import run_own
from .comparing import BY_HAND, aligned, described, errors, leaves, lost, misfit, where
from .core import Result, argument_names, joined, ways
from .relating import by_hand, departure

TOLERANCE, TOLERANCE_HALF = 1e-4, 1e-2
ENTRIES_SHOWN = 24
DEPARTS = ("raised", "wrong_kind", "not_finite", "differs")
SHOWS_THE_SENTENCE = ("raised", "wrong_kind", "changed_input", "broken_law")


def judge(exercise, cases, outcomes, expected=None) -> Result:
    """What is to be said of an answer.

    Args:
        exercise: `Exercise`.
        cases: what the answer was called with, list of `Case`.
        outcomes: what happened, list of `Outcome`, one per case.
        expected: the reference's outcomes, from `expect`; made here if not given.

    Returns:
        `Result`.
    """
    if expected is None:
        expected = expect(exercise, cases)
    result = _unfit(outcomes)
    if result is None:
        result = _wrong(exercise, cases, outcomes, expected)
        if result is None:
            result = Result("passed", _tried(exercise, cases), credit=1.0)
        else:
            mistake, words = _known_mistake(exercise, cases, outcomes, expected)
            result = (_noticed(exercise, cases, outcomes, expected, result) if mistake is None
                      else _named(mistake, result, words))
    return replace(result, exercise=exercise.id)


def expect(exercise, cases) -> list[Outcome] | None:
    """The reference's outcomes on these cases, or None where the exercise has no reference.

    Args:
        exercise: `Exercise`.
        cases: list of `Case`.
    """
    return exercise.reference and behaviour(exercise, exercise.reference, cases)


def behaviour(exercise, answer, cases) -> list[Outcome]:
    """What one of our own functions does on these cases, a reference or a known mistake.

    Args:
        exercise: `Exercise`.
        answer: a function that can be trusted.
        cases: list of `Case`.

    Returns:
        List of `Outcome`.
    """
    with np.errstate(all="ignore"):
        return run_own(answer, cases, takes=exercise.takes, names=argument_names(exercise))


def same(exercise, outcomes, others, slack=1.0, changes=True) -> bool:
    """Whether two answers did the same on every case: exception, kind, shape, values, changes.

    Args:
        exercise: `Exercise`.
        outcomes, others: what the two did, lists of `Outcome` on the same cases.
        slack: how many tolerances apart still counts as the same.
        changes: whether what they changed of their inputs counts too.

    Returns:
        True or False.
    """
    return all(_same(exercise, outcome, other, slack, changes)
               for outcome, other in zip(outcomes, others, strict=True))


def _same(exercise, outcome, other, slack, changes):
    if changes and outcome.changed != other.changed:
        return False
    if outcome.raised or other.raised:
        return not _families(outcome.raised).isdisjoint(_families(other.raised))
    got, wanted = aligned(exercise, outcome, other)
    if misfit(got, wanted, exercise.kind in BY_HAND):
        return False
    return not any(errors(x, y, slack * _tolerance(outcome, other)).any()
                   for (_, x), (_, y) in zip(leaves(got), leaves(wanted)))


def _families(name):
    """torch raises RuntimeError where numpy raises ValueError; numpy's AxisError is two things."""
    return {"RuntimeError": {"ValueError"},
            "AxisError": {"ValueError", "IndexError"}}.get(name, {name})


def _tolerance(*outcomes):
    return TOLERANCE_HALF if any(outcome.half for outcome in outcomes) else TOLERANCE


# Before right and wrong.


def _unfit(outcomes):
    """What there is to say before an answer is compared with anything."""
    if all(outcome.untouched for outcome in outcomes):
        return Result("not_attempted", "Replace the `...` by your own lines, then run this again.")
    replaced = sorted({name for outcome in outcomes for name in outcome.replaced})
    if replaced:
        return spoilt(replaced)
    called = sorted({name for outcome in outcomes for name in outcome.forbidden})
    if called:
        return Result("forbidden_call", f"Your function calls {_listed(called, verb=False)}. "
                      "Here the point is to build it yourself: please do without.")
    finished = [o for o in outcomes if not o.raised and not o.timed_out]
    if len(finished) == len(outcomes) and all(o.value is None for o in finished):
        return Result("not_attempted", "Your function gives back None, whatever it is given. "
                      "Does it end in `return`?")
    return None


def spoilt(names) -> Result:
    """What is said when functions of the libraries were replaced.

    Args:
        names: their dotted names.

    Returns:
        `Result`.
    """
    return Result("forbidden_call", f"{_listed(names)} no longer the library's own: something here "
                  "replaced it, and no check can be trusted then. Take that out, restart the "
                  "kernel, and run the cells again.")


def _listed(names, verb=True):
    text = " and ".join(f"`{name}`" for name in names[:3])
    return text + ((" is" if len(names) == 1 else " are") if verb else "")


def _tried(exercise, cases):
    if len(cases) == 1 and not cases[0].args and not cases[0].kwargs:
        return ""
    hard = sum(bool(case.hard) for case in cases)
    inputs = f"{len(cases)} input{'s' * (len(cases) > 1)}"
    return f"{inputs}, {hard} hard one{'s' * (hard > 1)}" if hard else inputs


# The known mistakes.


def _known_mistake(exercise, cases, outcomes, expected):
    """What this answer did wrong, if it is known; and where it goes wrong in another way.

    A mistake that did the same everywhere comes first; then one that did not change its inputs as
    this answer does. Else what counts is where the answer is wrong: a mistake must have done the
    same on each ordinary input of these. The one comes first that explains most of the hard ones,
    and others beside it that explain what it leaves; where hard ones alone are wrong, more than
    half of them must be explained. By hand, each number or word is such a place.

    Returns:
        mistake: `Mistake` or None; several at once are `joined`.
        words: what there is to add to its sentence.
    """
    if any(outcome.timed_out for outcome in outcomes):
        return None, ""
    if exercise.kind == "predict" and _words(exercise, outcomes[0], expected[0]):
        return None, ""
    changes_inputs = any(outcome.changed for outcome in outcomes)
    names, alike = _places_of(exercise, cases, expected)
    right = alike(outcomes, expected) if expected else ()
    wrong = {i for i, same in enumerate(right) if not same}
    beside, near = None, []
    for mistake in _possible(exercise, cases, outcomes, wrong):
        others = behaviour(exercise, mistake.answer, cases)
        if all(other.raised for other in others) and not _says_the_same(outcomes, others):
            continue
        apart = {i for i, same in enumerate(alike(outcomes, others)) if not same}
        if not apart:
            return mistake, ""
        if (changes_inputs and beside is None and not any(other.changed for other in others)
                and same(exercise, outcomes, others, changes=False)):
            beside = mistake
        left = apart.intersection(wrong)
        if exercise.kind == "predict":  # whichever of the wrong words it is
            left &= {i for i, same in enumerate(alike(others, expected)) if same}
        agreed = [] if exercise.kind in BY_HAND else sorted(wrong - left)
        if agreed and all(outcomes[i].raised for i in agreed) and not _says_the_same(
                [outcomes[i] for i in agreed], [others[i] for i in agreed]):
            continue  # that both stop tells nothing
        unlike = [i for i in apart if not names[i]]
        two = "+" in mistake.name and (apart - wrong or exercise.kind in BY_HAND)
        # where only hard ones are wrong: it errs more often with the answer than without
        chance = exercise.kind not in BY_HAND and all(names[i] for i in wrong) and (
            len(apart - wrong) >= len(wrong - left))
        if wrong and left != wrong and all(names[i] for i in left) and not two and not chance:
            if len(unlike) <= len(wrong - left):
                near.append((len(left), len(unlike), len(apart), len(near), mistake, left))
    if beside or not near:
        return beside, ""
    near.sort()
    _, right, _, *first, left = near[0]
    found = [first]
    for *_, order, other, without in near:
        names_found = [mistake.name for _, mistake in found]
        new = "+" not in names_found[0] + other.name and other.name not in names_found
        if left and not right and new and len(without & left) < len(left) and (
                len(found) < (len(names) if exercise.kind == "predict" else 3)):
            found.append([order, other])
            left = left & without
    if 2 * len(left) >= len(wrong) and all(names[i] for i in wrong):
        return None, ""
    words = _where_else(exercise, cases, names, left, wrong if right else ())
    return joined(*(mistake for _, mistake in sorted(found))), words


def _says_the_same(outcomes, others):
    """Whether errors are in the same words, numbers and names left out: all that can tell."""
    def words(outcome):
        return re.findall(r"[a-z]+", outcome.message.casefold())

    return all(words(outcome) == words(other) for outcome, other in zip(outcomes, others))


def _places_of(exercise, cases, expected):
    """Where an answer can be right and wrong: at each case; by hand, at each of its numbers.

    Returns:
        names: of the places, empty for an ordinary input.
        alike: ``alike(outcomes, others)`` gives a list of whether two did the same, by place.
    """
    wanted = expected and expected[0].value
    if exercise.kind not in BY_HAND or not isinstance(wanted, dict):
        return [case.hard for case in cases], lambda outcomes, others: [
            _same(exercise, *pair, 1.0, True) for pair in zip(outcomes, others, strict=True)]

    def alike(outcomes, others):
        (outcome,), (other,) = outcomes, others
        got = outcome.value
        if not isinstance(got, dict) or set(got) != set(wanted) or other.raised:
            return [_same(exercise, outcome, other, 1.0, True)] * len(wanted)
        return [_same(exercise, replace(outcome, value=got[name]),
                      replace(other, value=other.value[name]), 1.0, True) for name in wanted]

    return [f'"{name}"' for name in wanted], alike


def _possible(exercise, cases, outcomes, wrong):
    """The mistakes that did the same on one ordinary input, a wrong one; most end there."""
    ordinary = [not case.hard for case in cases]
    first = _smallest(cases, [plain and i in wrong for i, plain in enumerate(ordinary)])
    if first is None:
        first = _smallest(cases, ordinary)
    known = (way for mistake in exercise.mistakes for way in ways(mistake))
    if len(cases) == 1 or first is None or outcomes[first].raised:
        return known
    case, outcome = cases[first:first + 1], outcomes[first:first + 1]
    return (mistake for mistake in known if same(
        exercise, outcome, behaviour(exercise, mistake.answer, case), changes=False))


def _where_else(exercise, cases, names, left, wrong):
    """What is added to a mistake's sentence: where else something is wrong, or where nothing is."""
    words = ""
    if wrong:
        words = f" (On {len(wrong)} of {len(cases)} inputs; the others are right.)"
    if left:
        places = _listed_in_words([names[i] for i in sorted(left)])
        words += (f" (And something else is wrong in {places}.)" if exercise.kind in BY_HAND
                  else f" (And something else happens with {places}.)")
    return words


def _named(mistake, wrong, words):
    """A known mistake's own sentence, with the evidence that was found without knowing it."""
    tells = wrong.status in SHOWS_THE_SENTENCE
    witness = "\n".join(filter(None, [wrong.sentence * tells, wrong.witness]))
    return Result("known_mistake", mistake.sentence + words, witness, mistake=mistake.name,
                  credit=mistake.credit)


def _noticed(exercise, cases, outcomes, expected, result):
    """What is said of an answer that no known mistake explains, and how it departs, if it shows."""
    if expected is None or result.mistake or result.status not in DEPARTS:
        return result
    if exercise.kind in BY_HAND:
        other_words = _words(exercise, outcomes[0], expected[0])
        name, words = ("other words", "") if other_words else by_hand(
            exercise, outcomes[0], expected[0])
    else:
        _, alike = _places_of(exercise, cases, expected)
        wrong = {i for i, same in enumerate(alike(outcomes, expected)) if not same}
        name, words = departure(exercise, cases, outcomes, expected, wrong, _tolerance)
        words = "" if words in result.sentence else words  # a near miss has been told
    return replace(result, sentence=" ".join(filter(None, [result.sentence, words])), mistake=name)


# What can be said of any wrong answer, in this order.


def _wrong(exercise, cases, outcomes, expected):
    for look in (_raised, _timed_out, _changed, _wrong_kind, _not_finite, _broken_law,
                 _not_repeatable, _differs, _too_large):
        result = look(exercise, cases, outcomes, expected)
        if result is not None:
            return result
    return None


def _raised(exercise, cases, outcomes, expected):
    bad = _smallest(cases, [bool(outcome.raised) for outcome in outcomes])
    if bad is None:
        return None
    outcome, how_many = outcomes[bad], sum(bool(outcome.raised) for outcome in outcomes)
    words = f"{outcome.raised}: {outcome.message}" if outcome.message else outcome.raised
    calls = ""
    if outcome.raised == "TypeError" and not outcome.frames:
        names = ", ".join(name for name, _ in _named_inputs(exercise, cases[bad]))
        calls = f" It is called with ({names})."
    lines = [f"line {number}, in {name}: {source}" for name, number, source in outcome.frames]
    return Result("raised", f"On {how_many} of {len(cases)} inputs it stopped with {words}.{calls}"
                  if len(cases) > 1 else f"It stopped with {words}.{calls}",
                  "\n".join(lines + _inputs(exercise, cases[bad])))


def _timed_out(exercise, cases, outcomes, expected):
    finished = sum(not outcome.timed_out for outcome in outcomes)
    if finished == len(outcomes):
        return None
    return Result("timed_out", f"It was stopped after the time limit, at input {finished + 1} of "
                  f"{len(cases)}. Look for a loop that does not end, or for work done again and "
                  "again.")


def _changed(exercise, cases, outcomes, expected):
    names = sorted({name for outcome in outcomes for name in outcome.changed})
    if not names:
        return None
    return Result("changed_input", f"Your function changes what it is given: {_listed(names)} not "
                  "the same after the call. Make something new instead (look for `+=`, `x[...] =` "
                  "and methods that work in place).")


def _wrong_kind(exercise, cases, outcomes, expected):
    if expected is None:
        strange = [o.value for o in outcomes if o.value is None or isinstance(o.value, Other)]
        return Result("wrong_kind", f"What came back is {described(strange[0])}."
                      ) if strange else None
    misfits = [misfit(*aligned(exercise, got, want), exercise.kind in BY_HAND)
               for got, want in zip(outcomes, expected)]
    bad = _smallest(cases, [*map(bool, misfits)])
    if bad is None:
        return None
    words = _words(exercise, outcomes[bad], expected[bad])
    return Result("wrong_kind", misfits[bad] + words, "\n".join(_inputs(exercise, cases[bad])))


def _not_finite(exercise, cases, outcomes, expected):
    if expected is None:
        return None
    strange = [where(exercise, got, want, lost) for got, want in zip(outcomes, expected)]
    bad = _smallest(cases, [any(mask.any() for mask in masks) for masks in strange])
    if bad is None:
        return None
    count = sum(int(mask.sum()) for mask in strange[bad])
    return Result("not_finite", f"{count} {'entries are' if count > 1 else 'entry is'} NaN or "
                  "infinite where there should be an ordinary number.",
                  _witness(exercise, cases[bad], outcomes[bad], expected[bad], strange[bad]))


def _broken_law(exercise, cases, outcomes, expected):
    if exercise.judge is None:
        return None
    try:
        return exercise.judge(cases, outcomes)
    except Exception as error:  # an answer of a form that the law cannot read
        return Result("wrong_kind", f"What came back is {described(outcomes[0].value)}, which "
                      f"this exercise cannot read ({type(error).__name__}: {error}).")


def _not_repeatable(exercise, cases, outcomes, expected):
    for case, outcome in zip(cases, outcomes):
        for value in outcome.again:
            if not _same(exercise, Outcome(value, half=outcome.half), replace(outcome, changed=()),
                         1.0, False):
                return Result("not_repeatable", "Called twice with the same input, your function "
                              "gives two different answers. Look for randomness, or for "
                              "something that is kept between calls.",
                              "\n".join(_inputs(exercise, case)))
    return None


def _differs(exercise, cases, outcomes, expected):
    if expected is None:
        return None
    wrong = [where(exercise, got, want, functools.partial(errors, tolerance=_tolerance(got)))
             for got, want in zip(outcomes, expected)]
    bad = _smallest(cases, [any(mask.any() for mask in masks) for masks in wrong])
    if bad is None:
        return None
    amiss = [case for case, masks in zip(cases, wrong, strict=True)
             if any(mask.any() for mask in masks)]
    if exercise.kind in BY_HAND:
        sentence = "Not all of it is right." + _words(exercise, outcomes[bad], expected[bad])
    elif 2 * len(amiss) <= len(cases):
        hard = [case.hard for case in amiss]
        where_not = _listed_in_words(hard) if all(hard) else "the rest"
        sentence = (f"Right on {len(cases) - len(amiss)} of {len(cases)} inputs; wrong with "
                    f"{where_not}.")
    else:
        sentence = ("It runs, but the numbers are not right "
                    f"(on {len(amiss)} of {len(cases)} inputs).")
    return Result("differs", sentence, _witness(exercise, cases[bad], outcomes[bad], expected[bad],
                                                wrong[bad]))


def _words(exercise, got, wanted):
    """Which words a prediction is made of, if this one has others."""
    words = {x for _, x in leaves(aligned(exercise, wanted, wanted)[0]) if isinstance(x, str)}
    if exercise.kind != "predict" or not words:
        return ""
    for mistake in exercise.mistakes:
        words |= {x for _, x in leaves(aligned(exercise, *behaviour(
            exercise, mistake.answer, [Case()]) * 2)[0]) if isinstance(x, str)}
    said = [x for _, x in leaves(aligned(exercise, got, wanted)[0]) if x is not None]
    if all(isinstance(x, str) and x in words for x in said):
        return ""
    return " Each is one of these words: " + ", ".join(f'"{word}"' for word in sorted(words)) + "."


def _listed_in_words(names):
    """ "an empty row and large scores", each name once."""
    names = [*dict.fromkeys(names)]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _too_large(exercise, cases, outcomes, expected):
    """The watch over what an answer holds at once."""
    bad = _smallest(cases, [bool(case.room) and outcome.used > case.room
                            for case, outcome in zip(cases, outcomes)])
    if bad is None:
        return None
    return Result("broken_law", "Right numbers, but it takes too much room: on one input it held "
                  f"{outcomes[bad].used:,} bytes at once, and {cases[bad].room:,} are plenty. "
                  "Which array is made whole that should be made in pieces?",
                  "\n".join(_inputs(exercise, cases[bad])), mistake="too much room")


# The evidence.


def _smallest(cases, bad):
    """Index of the smallest case that is bad; None if none is."""
    sizes = [size(case) for case in cases]
    return min((i for i in range(len(cases)) if bad[i]), key=lambda i: sizes[i], default=None)


def size(case) -> int:
    """How many numbers an input holds.

    Args:
        case: `Case`.
    """
    def numbers(x):
        if isinstance(x, (list, tuple)):
            return sum(map(numbers, x))
        return sum(map(numbers, x.values())) if isinstance(x, dict) else int(np.size(x))

    return numbers(list(case.args)) + numbers(case.kwargs)


def _named_inputs(exercise, case):
    names = argument_names(exercise)
    names = [*names, *(f"argument {i + 1}" for i in range(len(names), len(case.args)))]
    return [*zip(names, case.args), *case.kwargs.items()]


def _inputs(exercise, case):
    """Lines that show a case's inputs, or what they are like if they are many numbers."""
    inputs = _named_inputs(exercise, case)
    if not inputs:
        return []
    why = f" ({case.hard})" if case.hard else ""
    if size(case) > ENTRIES_SHOWN:
        shown = ", ".join(f"{name} {np.shape(x)}" for name, x in inputs
                          if isinstance(x, np.ndarray))
        return [f"input{why}: {shown}"]
    return [f"input{why}:", *(_line(f"  {name} = ", x) for name, x in inputs)]


def _witness(exercise, case, outcome, expected, masks):
    """Inputs, expected, got and where; by hand, only where and what was given."""
    got, wanted = (list(leaves(x)) for x in aligned(exercise, outcome, expected))
    if exercise.kind in BY_HAND:
        return _places(got, masks)
    lines = _inputs(exercise, case)
    leaf = next(i for i, mask in enumerate(masks) if mask.any())
    (place, got), (_, wanted) = got[leaf], wanted[leaf]
    if not isinstance(wanted, np.ndarray):
        return "\n".join([*lines, _line("expected: ", wanted), _line("got:      ", got)])
    got = got.reshape(wanted.shape)
    at, error = _worst(got, wanted, masks[leaf])
    row = at[:-1] if wanted.size > ENTRIES_SHOWN / 2 else ()
    lines += [_line("expected: ", wanted[row], error), _line("got:      ", got[row], error)]
    if wanted.ndim:
        lines.append(f"where:    result{place}[{_index(at)}] of shape {wanted.shape}"
                     + ", its row shown" * bool(row))
    return "\n".join([*lines, *([f"largest error: {error:.3g}"] if math.isfinite(error) else [])])


def _places(parts, masks):
    """Lines that show which of the numbers and words are not right, and none that is."""
    lines = []
    for (place, got), mask in zip(parts, masks):
        shape = np.shape(got) if np.shape(got) == mask.shape else ()
        lines += [_line(f"not right: {place}{f'[{_index(at)}]' if shape else ''} = ",
                        got[tuple(at)] if shape else got) for at in np.argwhere(mask)]
    return "\n".join(lines[:8]).replace(":  = ", ": ")


def _worst(got, wanted, mask):
    """Where the largest error is among those in the mask, and how large."""
    with np.errstate(all="ignore"):
        error = np.abs(got.astype(complex) - wanted.astype(complex))
    error = np.where(mask, np.where(np.isfinite(error), error, np.inf), -1.0)
    at = np.unravel_index(np.argmax(error), error.shape)
    return at, float(error[at])


def _index(at):
    return ", ".join(str(int(i)) for i in at)


def _line(label, x, error=1.0):
    """A label and a value, rounded, further lines indented under the first."""
    if isinstance(x, (np.ndarray, np.generic)):
        x = np.asarray(x + 0 if x.dtype.kind == "f" else x)  # no minus zero
        text = np.array2string(x, precision=4 if error > 1e-3 else 7, suppress_small=True,
                               threshold=3 * ENTRIES_SHOWN, max_line_width=88)
    else:
        text = repr(x)
    return label + text.replace("\n", "\n" + " " * len(label))
