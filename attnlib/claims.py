"""The line that settles a claim of ``book/claims.yml``."""

import re

VERDICTS = ("holds", "holds in part", "does not hold", "undecided here")


def claim(id, verdict, measured, *, when=None, scale=None) -> None:
    """Print what became of a claim, as the one line that the claims page is made from.

    Args:
        id: a letter and a number, and maybe a small letter, as in ``book/claims.yml``: ``"X2a"``.
        verdict: one of ``VERDICTS``.
        measured: what was measured: one line with at least one number and its unit.
        when: beside "holds in part" alone: the condition, one that can be checked beforehand.
        scale: at what width, length and number of steps it was measured: one line with at least
            one number and its unit.

    Raises:
        TypeError: if an argument is not a string.
        ValueError: if an argument is not of the form above.

    >>> claim("Q0", "holds in part", "12 of 12 rows sum to one", when="n > 1", scale="8 words")
    Claim Q0 · holds in part when n > 1 · 12 of 12 rows sum to one · 8 words
    """
    texts = dict(id=id, verdict=verdict, measured=measured)
    texts |= {name: text for name, text in dict(when=when, scale=scale).items() if text is not None}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise TypeError(f"{name} must be a string, got {text!r}")
        if "·" in text or len(text.splitlines()) != 1 or text != text.strip():
            raise ValueError(f'{name} must be one line, without "·" and without space around it, '
                             f"got {text!r}")
    if not re.fullmatch(r"[A-Z]\d+[a-z]?", id):
        raise ValueError('id must be a letter and a number such as "Q1", or with a small letter '
                         f'behind such as "X2a", got {id!r}')
    if verdict not in VERDICTS:
        words = ", ".join(f'"{word}"' for word in VERDICTS)
        raise ValueError(f"verdict must be one of {words}, got {verdict!r}")
    if when is not None and verdict != "holds in part":
        raise ValueError(f'when goes with "holds in part" alone, got {verdict!r} when {when!r}')
    for name in ("measured", "scale"):
        if name in texts and not re.search(r"\d ?[%°]|\d [^\W\d]", texts[name]):
            raise ValueError(f"{name} must hold a number and its unit, got {texts[name]!r}")
    if when is not None:
        verdict = f"{verdict} when {when}"
    print(" · ".join([f"Claim {id}", verdict, measured, *([scale] if scale else [])]))
