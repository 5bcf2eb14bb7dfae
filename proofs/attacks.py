"""Attack the grading of a class in every way that the tests know, and print what came of it.

``python -m proofs.attacks``, if the attacks or what they are up against have changed, stores
proofs/attacks.json, prints proofs/attacks.md from that, and fails if one of them earned a point,
got what it wanted, or harmed an honest submission.
"""

import datetime
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from . import sources, tables
from .students import hostile

ROOT = Path(__file__).parent.parent

WALL = (  # what the attacks are up against, and they themselves
    *sorted(path.relative_to(ROOT).as_posix() for folder in ("classroom/sandbox", "attnlib/running")
            for path in (ROOT / folder).glob("*.py")),
    *(f"classroom/{name}.py" for name in (
        "answers", "export", "grading", "overrides", "reports", "roster", "submissions")),
    "proofs/students/hostile.py",
)


def main():
    """Try all of them, store, print."""
    if not TABLE.stale():
        return
    now = TABLE.now()
    with tempfile.TemporaryDirectory() as folder, hostile.scene(folder) as scene:
        found = []
        for group, what, barrier, earned in hostile.tried(scene):
            found.append(dict(group=group, what=what, barrier=barrier, earned=earned,
                              sources=now[what]))
            print(f"{group}: {what}: {earned}", flush=True)
    bwrap = subprocess.run(["bwrap", "--version"], capture_output=True, text=True).stdout.strip()
    stored = {"date": datetime.date.today().isoformat(), "python": platform.python_version(),
              "system": f"{platform.system()} {platform.release().split('-')[0]}",
              "bubblewrap": bwrap, "attacks": found}
    TABLE.write(stored)
    sys.exit("\n".join(faults(stored)) or None)


def known():
    """``(group, what, barrier)`` of all the attacks there are."""
    return [*((a.group, a.what, a.barrier) for a in hostile.SINGLE),
            *((find.group, find.what, find.barrier) for _, find in hostile.LEFT_BEHIND),
            *(("files", what, barrier) for what, barrier, _ in hostile.FILES),
            *(("words", what, barrier) for what, barrier, *_ in hostile.WORDS)]


def faults(stored):
    """Lines that say what is wrong with a stored record; none if nothing is."""
    lines = []
    for row in stored["attacks"]:
        if row["earned"] is None:
            lines.append(f"{row['group']}: {row['what']}: got what it wanted, or harmed others")
        elif row["earned"]:
            lines.append(f"{row['group']}: {row['what']}: it earned {row['earned']}")
    if [(row["group"], row["what"], row["barrier"]) for row in stored["attacks"]] != known():
        lines.append("the attacks are others now: run `python -m proofs.attacks`")
    return lines


def page(stored, stale):
    """The attacks as Markdown, with what stopped each."""
    rows = [[row["group"], tables.marked(row["what"], stale), row["barrier"],
             "**yes**" if row["earned"] is None else "no", f"{row['earned'] or 0:g}"]
            for row in stored["attacks"]]
    tried = [
        "# Attacks on the grading", "",
        f"{len(rows)} attacks, tried on {tables.day(stored['date'])} with {stored['bubblewrap']}, "
        f"Python {stored['python']} and {stored['system']}. After each, an honest submission was "
        "graded by the same sandbox and got all its points.", "",
        tables.markdown(["kind", "what it tries", "what stops it", "worked", "points"], rows,
                        right=[4]), "", *tables.notes(stale), NOT_TRIED]
    return "\n".join(tried)


NOT_TRIED = """
## What was not tried

- Faults of the kernel itself, of bubblewrap, of Python's parser and of torch's operators. The
  filter of system calls makes fewer of them reachable; it does not mend them.
- Telling something by time, by caches or by the processor's speculation. A submission may learn of
  the computer what can be measured in its seconds; it has nobody to tell it to but the report.
- What an exception's own words tell: a student reads them, without long numbers, and can so learn
  something of the hidden inputs after they were graded. Do not grade late hand-ins with a kit whose
  reports are out if that matters to you: make another.
- An answer that calls itself with copies of its inputs, or that compares itself with what it
  gave before. It does then what the exercise asks.
- Other machines than x86-64: there the filter refuses the calls that are known to do harm, and
  allows the others. It was tested line by line, and not run.
- A cgroup: it is used where `systemd-run --user --scope` works, which it did not here.
- `--trust-submissions`, dask's network, and whatever an instructor's own browser does with a report
  whose page has no script of the student's.
"""

TABLE = tables.Table(
    stored=ROOT / "proofs" / "attacks.json", page=ROOT / "proofs" / "attacks.md", text=page,
    rows=lambda stored: {row["what"]: row for row in stored["attacks"]},
    now=lambda: {what: sources.of_files(*WALL) for _, what, _ in known()})


if __name__ == "__main__":
    main()
