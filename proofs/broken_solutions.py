"""Break the exercises' solutions in every way mutmut knows: does the check refuse what is wrong?

Which broken solutions are wrong is not for the check to say. Each is compared with the whole one
on 1,000 random inputs in float64: half are the exercise's own, over many seeds, half are those
perturbed. A difference above 1e-9, another exception or a changed argument is a change.
"""

import warnings

import numpy as np

from attnlib.running import plain, watching

from .students import answers

INPUTS, SECONDS = 1000, 5.0


def broken(exercise):
    """What became of an exercise's mutants: ``{"made", "changed", "refused", "survivors"}``."""
    compare = Comparison(exercise, answers.answer(exercise, "solution"))
    made = mutants(answers.cells(exercise, "solution"))
    changed = {name: answer for name, answer in (
        (name, defined(exercise, sources)) for name, sources in made.items())
        if compare.changes(answer)}
    survivors = [name for name, answer in changed.items() if not refused(exercise, answer)]
    return {"made": len(made), "changed": len(changed), "survivors": survivors}


def mutants(sources):
    """``{what was changed: cells}``, one for each mutation inside a function of the cells.

    >>> cell = "y = 1\\n\\ndef f(x):\\n    return x + 2  # (n,)\\n\\ncheck('1.1', f)\\n"
    >>> sorted(mutants([cell]))
    ['return x + 2 -> return x + 3', 'return x + 2 -> return x - 2']
    """
    import libcst  # mutmut and what it brings are here for `make proofs` alone
    from libcst.metadata import MetadataWrapper
    from mutmut.mutation.file_mutation import MutationVisitor, deep_replace
    from mutmut.mutation.mutators import mutation_operators
    from mutmut.mutation.pragma_handling import IgnoredCode

    found = {}
    for i, source in enumerate(sources):
        visitor = MutationVisitor(mutation_operators, IgnoredCode(set(), set(), set()))
        module = MetadataWrapper(libcst.parse_module(answers.python(source))).visit(visitor)
        for mutation in visitor.mutations:
            if mutation.contained_by_top_level_function:
                code = deep_replace(module, mutation.original_node, mutation.mutated_node).code
                name = _difference(module.code, code)
                while name in found and found[name][i] != code:
                    name += ", once more"
                found[name] = [*sources[:i], code, *sources[i + 1:]]
    return found


def _difference(old, new):
    """The lines that differ, in one line of text."""
    old, new = ([line.partition("  #")[0].strip() for line in text.splitlines()]
                for text in (old, new))
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return f"{' '.join(old)} -> {' '.join(new)}"


def defined(exercise, sources):
    """The function that these cells hand to ``check``; one that raises if they fail before."""
    path, limit = answers.chapter(exercise), watching.Limit(SECONDS)
    try:
        with limit, watching.streams_to(watching.FirstLines()):
            (_, answer), = answers.handed_over(sources, answers.scope(path), "mutant")
            return answer
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt) and not limit.fired:
            raise
        return lambda *args, **kwargs: 1 / 0


def refused(exercise, answer):
    """Whether the check refuses it, on the public seed or on another one."""
    return not all(answers.judged(exercise, answer, seed, seconds=SECONDS) for seed in (0, 1))


class Comparison:
    """A right answer on random inputs, to compare others with."""

    def __init__(self, exercise, right):
        kinds = {"numpy": ("numpy", "torch"), "torch": ("torch", "numpy")}[exercise.takes]
        self.kind = next(kind for kind in kinds if answers.works_with(exercise, right, kind))
        self.inputs, self.did = [], []
        for given, must in drawn(exercise):
            did = self.call(right, given)
            if must or not did["raised"] and _finite(did["value"]):
                self.inputs.append(given)
                self.did.append(did)
            if len(self.inputs) == INPUTS:
                break

    def changes(self, answer):
        """Whether this answer does something else on any of the inputs, or takes for ever."""
        limit = watching.Limit(12 * SECONDS)
        try:
            with limit:
                return any(not same(self.call(answer, given), did)
                           for given, did in zip(self.inputs, self.did))
        except KeyboardInterrupt:
            if not limit.fired:
                raise
            return True

    def call(self, answer, given):
        """What came back, what was raised, and what the arguments are afterwards."""
        args, kwargs = plain.of_kind(given, self.kind)
        value, raised = None, ""
        with (warnings.catch_warnings(), np.errstate(all="ignore"),
              watching.streams_to(watching.FirstLines())):
            warnings.simplefilter("ignore")
            try:
                value = plain.plain(answer(*args, **kwargs))
            except Exception as error:
                raised = type(error).__name__
        return {"value": value, "raised": raised, "after": plain.plain([args, kwargs])}


def drawn(exercise):
    """Without end: inputs of the exercise over many seeds, each followed by one perturbed.

    Yields:
        ``(args, kwargs)`` in float64, and whether it is the exercise's own.
    """
    rng = np.random.default_rng(6)
    for seed in range(1000, 10**6):
        for case in exercise.cases(seed):
            given = _each(_double, (case.args, case.kwargs))
            yield given, True
            yield _each(lambda x: _perturbed(x, rng), given), False


def same(one, other):
    """Whether two plain values are alike: the same form, numbers within 1e-9."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return set(one) == set(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (np.ndarray, bool, int, float)) and isinstance(other, (
            np.ndarray, bool, int, float)):
        one, other = np.asarray(one), np.asarray(other)
        return (one.shape == other.shape and (one.dtype == bool) == (other.dtype == bool)
                and np.allclose(one, other, rtol=1e-9, atol=1e-9, equal_nan=True))
    return type(one) is type(other) and one == other


def _finite(x):
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, (list, tuple)):
        return all(map(_finite, x))
    return not isinstance(x, (np.ndarray, float)) or not np.isnan(x).any()


def _each(change, x):
    if isinstance(x, dict):
        return {name: _each(change, item) for name, item in x.items()}
    return type(x)(_each(change, i) for i in x) if isinstance(x, (list, tuple)) else change(x)


def _double(x):
    return x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


def _perturbed(x, rng):
    """Scaled and shaken, if it is numbers; a few turned over, if it is True and False."""
    if isinstance(x, (bool, str)) or x is None:
        return x
    shape, kind = np.shape(x), np.asarray(x).dtype.kind
    if kind == "b":
        return x ^ (rng.random(shape) < 0.1)
    if kind in "iu":
        changed = np.where(np.greater(x, 0), np.maximum(1, x + rng.integers(-1, 2, shape)), x)
    else:
        changed = x * np.exp(0.5 * rng.normal()) + 0.1 * rng.normal(size=shape)
    return changed.astype(x.dtype) if isinstance(x, np.ndarray) else type(x)(changed)
