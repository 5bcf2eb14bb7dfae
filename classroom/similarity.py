"""Which pairs of answers are more alike than chance would have it: a hint to look, no verdict.

An answer is read as runs of tokens. Names of variables count as one, so renaming hides nothing;
comments and strings do not count. Left out is what was handed out (the stub), and what many wrote:
two right answers may be the same, but few share their detours.
"""

import io
import keyword
import re
import tokenize
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import combinations

LENGTH = 6  # tokens in a run
COMMON = 0.25  # a run that more than this part of the class has is common property
LONGEST = 40_000  # characters of an answer that are read
SHARE, FEWEST = 0.5, 30  # of the shorter one's runs, and how many at least (an edit makes six)
SKIPPED = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENCODING, tokenize.ENDMARKER,
           tokenize.STRING}


@dataclass(frozen=True)
class Pair:
    """Two students whose answers share runs of tokens that few others have.

    Args:
        students: the two, by id, in order.
        share: of the runs of the one who has fewer, from 0 to 1.
        shared: how many runs that is.
        exercises: ids of those in which they are.
    """

    students: tuple[str, str]
    share: float
    shared: int
    exercises: tuple[str, ...]


def runs(source):
    """The runs of tokens in a piece of code; it need not be correct.

    Args:
        source: text.

    Returns:
        Set of tuples of strings.

    >>> runs("a = b + c * 2") == runs("x  =  y + z * 2  # mine")
    True
    """
    words = _words(source[:LONGEST])
    return {tuple(words[i:i + LENGTH]) for i in range(len(words) - LENGTH + 1)}


def similar(runs_of):
    """The pairs that share more than chance would have it, the most alike first.

    Args:
        runs_of: ``{student: {exercise: set of runs}}``, without the runs of the stubs.

    Returns:
        List of `Pair`.
    """
    owners = defaultdict(list)  # {(exercise, run): students}
    for student in sorted(runs_of):
        for exercise, found in runs_of[student].items():
            for run in found:
                owners[exercise, run].append(student)
    most = max(2, COMMON * len(runs_of))
    rare, shared, where = Counter(), Counter(), defaultdict(set)
    for (exercise, _), students in owners.items():
        if len(students) <= most:
            rare.update(students)
            for pair in combinations(students, 2):
                shared[pair] += 1
                where[pair].add(exercise)
    pairs = [Pair(pair, number / min(rare[pair[0]], rare[pair[1]]), number,
                  tuple(sorted(where[pair])))
             for pair, number in shared.items() if number >= FEWEST]
    return sorted((pair for pair in pairs if pair.share >= SHARE),
                  key=lambda pair: (-pair.share, -pair.shared, pair.students))


def _words(source):
    """The tokens that count; a name is "name" unless it belongs to a library (``.exp``)."""
    words = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type not in SKIPPED:
                words.append(token.string if token.type not in (tokenize.INDENT, tokenize.DEDENT)
                             else tokenize.tok_name[token.type])
    except (tokenize.TokenError, SyntaxError, ValueError):
        pass  # unfinished code: what was read so far, and the rest by its looks
    if not words:
        words = re.findall(r"\w+|[^\w\s]", source)
    return ["name" if word.isidentifier() and not keyword.iskeyword(word)
            and (i == 0 or words[i - 1] != ".") else word for i, word in enumerate(words)]
