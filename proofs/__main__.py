"""Print the pages of all stored tables, their stale rows marked; ``--fresh`` fails if one is.

It takes seconds: what is slow is making the rows, which `make proofs` does.
"""

import sys

from benchmarks import __main__ as benchmarks
from benchmarks import grading

from . import attacks, exercises, machines, mutation, sources, verdicts

TABLES = (exercises.TABLE, machines.TABLE, mutation.TABLE, attacks.TABLE, benchmarks.TABLE,
          grading.TABLE)


def main():
    """Print all pages; with ``--fresh``, look for stale rows."""
    lines = []
    for page, printed, stale in [
            *((table.page, table.printed(), table.stale()) for table in TABLES),
            (verdicts.PAGE, verdicts.page(), verdicts.stale())]:
        page.write_text(printed, encoding="utf-8")
        lines += [f"{page.name}: {summary([name for name in stale if stale[name] == why])} "
                  f"{words}" for why, words in sources.OTHERWISE.items() if why in stale.values()]
    print("\n".join(lines) or "Every row is fresh.")
    if "--fresh" in sys.argv and lines:
        sys.exit("Run `make proofs`, `make test-versions`, and `make bench` for what is timed.")


def summary(names):
    more = len(names) - 3
    return "; ".join(names[:3]) + (f" and {more} more" if more > 0 else "") + ":"


if __name__ == "__main__":
    main()
