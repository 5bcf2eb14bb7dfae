"""``check`` and ``hint``."""

import secrets
import sys
import textwrap
from dataclasses import replace

from ..running.plain import import_torch, of_kind
from ..running.runner import run
from ..running.watching import replaced_functions
from . import registry
from .core import Result, argument_names
from .judging import SHOWS_THE_SENTENCE, expect, judge, spoilt
from .progress import remember
from .showing import OPEN, PASSED, WRONG, Message, show
from .shrinking import smallest_failure

PUBLIC_SEED = 0
GRADING_SEEDS = (0, 1, 2)  # as public as the other

_hints_shown: dict[str, int] = {}
_failed: dict = {}  # {exercise id: `Failure`}, the last one


def check(id, answer=...) -> Result:
    """Try an answer on the exercise's inputs, say once what is right or wrong, and return it.

    What fails is shown on the smallest input that was found, which `case` gives as Python objects.

    Args:
        id: the exercise, ``"1.3"``.
        answer: the function itself, not what it returns.

    Returns:
        `Result`: true if the answer passed; it shows nothing by itself.
    """
    exercise, complaint = _find(id, answer)
    if complaint:
        result = Result("not_attempted", complaint)
        show(Message(OPEN, "Nothing was checked.", complaint))
        return result
    result, printed = assess(exercise, answer)
    result = shrunk(exercise, answer, result)
    shown = message(exercise, result, printed)
    if result:
        shown.sentence = remember(exercise)
    show(shown)
    return result


def case(id) -> tuple:
    """The input on which the last check of an exercise failed, to run your function on it.

    Args:
        id: the exercise, ``"9.4"``.

    Returns:
        The arguments, a tuple: ``your_function(*case("9.4"))``. Empty where nothing has failed,
        which is said.
    """
    failed = _failed.get(id)
    if failed is None:
        show(Message(OPEN, "No input.", f'No check of exercise {id} has failed here on an input '
                     f'that can be given: run check("{id}", your_function) first.'))
        return ()
    return tuple(of_kind(x, failed.kind) for x in failed.case.args)


def hint(id) -> None:
    """Show the next hint for an exercise; after the last one, all of them again.

    Args:
        id: the exercise, ``"1.3"``.
    """
    if not isinstance(id, str):
        return show(Message(OPEN, "No hint.", f'The exercise is named in quotes: hint("{id}").'))
    try:
        exercise = registry.get(id)
    except KeyError as error:
        return show(Message(OPEN, "No hint.", error.args[0]))
    shown, hints = _hints_shown.get(id, 0), exercise.hints
    if shown == len(hints):
        text = "".join(f"\n{i}. {text}" for i, text in enumerate(hints, 1))
        return show(Message(OPEN, f"All {len(hints)} hints for exercise {id}, once more:", text))
    _hints_shown[id] = shown + 1
    more = "" if shown + 1 == len(hints) else f'hint("{id}")'
    show(Message(OPEN, f"Hint {shown + 1} of {len(hints)} for exercise {id}.", hints[shown],
                  next_step=more))


def earned(id, answer, points) -> float:
    """Try an answer on inputs that anybody can draw, and say what it earns.

    For graders that run the whole notebook, such as nbgrader: the same answer always earns the
    same. A student can read these inputs, and change this function.

    Args:
        id: the exercise, ``"1.3"``.
        answer: the function itself.
        points: what a right answer earns.

    Returns:
        The points earned, a float.
    """
    exercise, complaint = _find(id, answer)
    if complaint:
        show(Message(OPEN, "Nothing was checked.", complaint))
        return 0.0
    results = (assess_seed(exercise, answer, seed)[0] for seed in GRADING_SEEDS)
    result = min(results, key=lambda result: result.credit)
    show(message(exercise, result))
    return float(points) * result.credit


def shrunk(exercise, answer, result) -> Result:
    """The same result, its witness on the smallest input that was found.

    Args:
        exercise: `Exercise`.
        answer: what the student wrote.
        result: `Result` of `assess`.
    """
    _failed.pop(exercise.id, None)
    if result or result.status in ("not_attempted", "forbidden_call", "timed_out"):
        return result
    failure = smallest_failure(exercise, answer, exercise.cases(PUBLIC_SEED))
    if failure is None:
        return result
    _failed[exercise.id] = failure
    witness = failure.result.witness
    if result.status == "known_mistake" and failure.result.status in SHOWS_THE_SENTENCE:
        witness = f"{failure.result.sentence}\n{witness}"
    return replace(result, witness=witness) if witness else result


def assess(exercise, answer) -> tuple[Result, str]:
    """Run and judge an answer on the public seed and, if it is right there, on a fresh one.

    Args:
        exercise: `Exercise`.
        answer: what the student wrote.

    Returns:
        result: `Result`.
        printed: the first lines of what the answer printed at its first call.
    """
    result, printed = assess_seed(exercise, answer, PUBLIC_SEED)
    if result:
        again, _ = assess_seed(exercise, answer, 1 + secrets.randbelow(2**31))
        if not again:
            fresh = "Right on the usual inputs, but not on fresh ones. " + again.sentence
            known = again.status == "known_mistake"
            result = again if known else replace(again, sentence=fresh)
    return result, printed


def assess_seed(exercise, answer, seed) -> tuple[Result, str]:
    """Run and judge an answer on the inputs of one seed.

    Args:
        exercise: `Exercise`.
        answer: what the student wrote.
        seed: what the inputs are drawn with.

    Returns:
        result: `Result`.
        printed: the first lines of what the answer printed at its first call.
    """
    replaced = replaced_functions()
    if replaced:  # then the reference cannot be trusted either
        return replace(spoilt(replaced), exercise=exercise.id), ""
    cases = exercise.cases(seed)
    expected = expect(exercise, cases)  # before the answer runs
    outcomes = run(answer, cases, takes=exercise.takes, forbidden=exercise.forbidden,
                   names=argument_names(exercise))
    return judge(exercise, cases, outcomes, expected), outcomes[0].printed


def _find(id, answer):
    """The exercise, and what is wrong with the call of ``check``, if anything is."""
    if isinstance(answer, str) and not isinstance(id, str):
        return None, f'The exercise comes first: check("{answer}", your_function).'
    if not isinstance(id, str):
        return None, f'The exercise is named in quotes: check("{id}", your_function).'
    try:
        exercise = registry.get(id)
    except KeyError as error:
        return None, error.args[0]
    if exercise.takes == "torch":
        try:
            import_torch()
        except ImportError:
            return None, f"Exercise {id} needs torch, which is not installed here."
    if answer is ...:
        return None, f'Which function? Write check("{id}", your_function): its name alone.'
    if answer is check or answer is hint:
        return None, ("Your function has the name of one that the book needs. Give it another "
                      "one, and import `check` and `hint` again.")
    if not callable(answer):
        return None, (f'`check` needs the function itself, got {type(answer).__name__}. Write '
                      f'check("{id}", your_function): its name alone, without parentheses.')
    return exercise, ""


def message(exercise, result, printed="") -> Message:
    """How a result is told.

    Args:
        exercise: `Exercise`.
        result: `Result`.
        printed: the first lines of what the answer printed.

    Returns:
        `Message`.
    """
    if result:
        tried = f": {result.sentence}." if result.sentence else "."
        return Message(PASSED, f"Exercise {exercise.id} passed{tried}")
    witness = result.witness
    if printed:
        said = textwrap.indent(printed, "  ")
        witness = "\n".join(filter(None, [witness, "your function printed:", said]))
    left = _hints_shown.get(exercise.id, 0) < len(exercise.hints)
    sign, state = ((OPEN, "is not attempted yet") if result.status == "not_attempted"
                   else (WRONG, "is not right yet"))
    return Message(sign, f"Exercise {exercise.id} {state}.", result.sentence, witness,
                   f'hint("{exercise.id}")' if left else "")


def _keep_names():
    """In a notebook, put ``check`` and ``hint`` back when a cell gives their names away."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    if not shell:
        return
    ours, seen = {"check": check, "hint": hint}, set()

    def look(*_):
        for name, function in ours.items():
            if shell.user_ns.get(name) is function:
                seen.add(name)
            elif name in seen and name in shell.user_ns:
                shell.user_ns[name] = function
                show(Message(OPEN, f"`{name}` was redefined.", f"The book needs that name: "
                              f"`{name}` is the book's own again. Call yours something else."))

    shell.events.register("post_run_cell", look)
    if not hasattr(shell, "kernel"):  # a terminal writes "Out[1]: " before what shows nothing
        trap, echo = shell.display_trap, shell.display_trap.hook
        trap.hook = lambda value: None if isinstance(value, Result) else echo(value)


_keep_names()
