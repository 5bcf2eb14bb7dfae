"""Dates as people write them."""

import datetime


def day(date):
    """A stored date in words.

    >>> day("2026-11-02")
    '2 November 2026'
    """
    date = datetime.date.fromisoformat(date)
    return f"{date.day} {date:%B %Y}"
