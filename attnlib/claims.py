"""The line that settles a claim of ``book/claims.yml``."""

import re


def claim(id, verdict, measured):
    """Print what became of a claim, as the one line that the claims page is made from.

    Args:
        id: a letter and a number, as in ``book/claims.yml``: ``"Q1"``.
        verdict: ``"holds"``, ``"does not hold"`` or ``"holds when ..."``.
        measured: what was measured: one line with at least one number and its unit.

    Raises:
        TypeError: if an argument is not a string.
        ValueError: if an argument is not of the form above.

    >>> claim("Q0", "holds when n > 1", "12 of 12 rows sum to one")
    Claim Q0 · holds when n > 1 · 12 of 12 rows sum to one
    """
    for name, text in dict(id=id, verdict=verdict, measured=measured).items():
        if not isinstance(text, str):
            raise TypeError(f"{name} must be a string, got {text!r}")
        if "·" in text or len(text.splitlines()) != 1 or text != text.strip():
            raise ValueError(f'{name} must be one line, without "·" and without space around it, '
                             f"got {text!r}")
    if not re.fullmatch(r"[A-Z]\d+", id):
        raise ValueError(f'id must be a letter and a number such as "Q1", got {id!r}')
    if not re.fullmatch(r"holds|does not hold|holds when \S.*", verdict):
        raise ValueError('verdict must be "holds", "does not hold" or "holds when ...", '
                         f"got {verdict!r}")
    if not re.search(r"\d ?[%°]|\d [^\W\d]", measured):
        raise ValueError(f"measured must hold a number and its unit, got {measured!r}")
    print(f"Claim {id} · {verdict} · {measured}")
