"""What came of every chapter, on every processor and in every set of versions: one record.

`repeat` makes the rows of the processors, `versions` those of the versions; both store each row as
it comes. A row's name is what ran and where: "06_multihead, SSE 4.2", "06_multihead, Colab",
"tests, Colab".
"""

import datetime
import platform
from pathlib import Path

from press.chapters import ROOT, chapter_paths
from press.without_solutions import STUDENT

from . import sources, tables
from .processors import PROCESSORS
from .sets import PYTHONS as SETS
from .sets import wanted

TESTS = ("attention", "masks", "heads", "positions", "diagnostics", "layers", "multilevel", "plots")


def store(name, row):
    """Store a row beside what is stored by now, and print the page.

    Args:
        name: what ran and where.
        row: what came of it; the digest of its sources, the date and the machine are put in.
    """
    stored = TABLE.read() or {"rows": {}}
    now = TABLE.now()
    stored["rows"][name] = {"date": str(datetime.date.today()), "machine": machine(),
                            "sources": now[name]} | row
    stored["rows"] = {key: stored["rows"][key] for key in now if key in stored["rows"]}
    TABLE.write(stored)


def machine():
    """What the processor calls itself, and the best instructions that torch finds in it."""
    import torch

    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    best = torch.backends.cpu.get_cpu_capability()
    return f"{(names or [platform.processor() or platform.machine()])[0]} ({best})"


def split(name):
    """A row's name as what ran and where.

    >>> split("09_capstone, SSE 4.2")
    ('09_capstone', 'SSE 4.2')
    """
    what, _, where = name.partition(", ")
    return what, where


def digests():
    """``{name: digest}`` of all rows, as the chapters, the tests and the sets are now."""
    found = {}
    for path in chapter_paths():
        here = sources.of_chapter(path, left_out=())
        there = sources.of_chapter(STUDENT / path.name, left_out=())
        found |= {f"{path.stem}, {name}": here for name in PROCESSORS}
        found |= {f"{path.stem}, {name}": sources.digest([there, wanted(name)]) for name in SETS}
    proved = sources.of_files(*(f"tests/test_{name}.py" for name in TESTS), *(
        str(path.relative_to(ROOT)) for path in sorted((ROOT / "attnlib").glob("*.py"))))
    return found | {f"tests, {name}": sources.digest([proved, wanted(name)]) for name in SETS}


# The page.

HEAD = """\
# The same on every machine

A processor sums in an order of its own, and the last digits of a result are a matter of that order.
What this book prints is not. Each chapter, exercises and their solutions included, runs from its
first cell to its last as each of these processors, with one thread and with two. `same`: every
output came out as it is stored, letter for letter, but for those that print a time. Seconds are
processor time on one thread, the start of Python included.
"""
PLAYED = """\
One machine plays several: it is told before Python starts which instructions to use, and in which
order a product of matrices is summed. `native` is the machine as it is.
"""
VERSIONS = """\
## In other versions

Each chapter's student notebook, in an environment of exactly what Binder installs, in versions of
its own. `runs`: all of its cells did, assertions included, and each check said that nothing was
attempted yet. Below them, the tests of the mathematics. `make test-versions` does it again.
"""
RESOLVED = """\
## Where the pinned versions can be installed

Resolved for each system and Python, from ready-made packages alone. Only Linux on x86-64 was run.
"""


def page(stored, stale):
    """Three tables: processors, versions, and where the pins can be had."""
    rows = stored.get("rows", {})
    chapters = [path.stem for path in chapter_paths()]
    links = [f"[{stem}](../book/{stem}.ipynb)" for stem in chapters]

    def cells(what, where, word):
        names = [f"{what}, {name}" for name in where]
        return [word(rows[name]) + tables.STALE * (name in stale) if name in rows else "not run"
                for name in names]

    played = [[link, *cells(stem, PROCESSORS, differ),
               rows.get(f"{stem}, native", {}).get("seconds", "")]
              for stem, link in zip(chapters, links)]
    ran = [[link, *cells(what, SETS, fails)]
           for what, link in zip([*chapters, "tests"], [*links, "tests of the mathematics"])]
    head = ["chapter", *PROCESSORS, "seconds"]
    return "\n".join([
        HEAD, tables.markdown(head, played, right=[len(head) - 1]), "", PLAYED,
        *made_on(rows, PROCESSORS), "", VERSIONS, tables.markdown(["chapter", *SETS], ran), "",
        *made_on(rows, SETS), "", *resolved(stored.get("resolved", {})),
        *tables.notes({name for name in stale if name in rows}), ""])


def made_on(rows, names):
    """Lines: in which versions and on which machines these rows were made, and when."""
    lines = dict.fromkeys(
        f"- {f'{where}: ' * (where in SETS)}{row['versions']}; {row['machine']}, "
        f"{tables.day(row['date'])}"
        for where in names for name, row in rows.items() if split(name)[1] == where)
    return ["Made with:", "", *lines] if lines else []


def resolved(found):
    """Lines: where the pins can be had."""
    if not found:
        return []
    pythons, systems = (dict.fromkeys(split(key)[i] for key in found) for i in (0, 1))
    grid = [[system, *(found[f"{python}, {system}"] for python in pythons)] for system in systems]
    return [RESOLVED, tables.markdown(["system", *pythons], grid), ""]


def differ(row):
    """What a row of a processor says in one word or two."""
    return f"{len(row['differs'])} differ" if row["differs"] else "same"


def fails(row):
    """What a row of a set of versions says: a chapter's, or the tests'."""
    return row["fails"] or row.get("passed", "runs")


TABLE = tables.Table(
    stored=ROOT / "proofs" / "machines.json", page=ROOT / "proofs" / "machines.md", text=page,
    rows=lambda stored: stored["rows"], now=digests)
