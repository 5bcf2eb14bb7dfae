"""Attack the grading of a class in every way that the tests know, and print what came of it.

``python -m proofs.attacks`` stores proofs/attacks.json, prints proofs/attacks.md from that, and
fails if one of them earned a point, got what it wanted, or harmed an honest submission.
"""

import datetime
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # as pytest does: its helpers import each other

import hostile  # noqa: E402

STORED = ROOT / "proofs" / "attacks.json"


def main():
    """Try all of them, store, print."""
    with tempfile.TemporaryDirectory() as folder, hostile.scene(folder) as scene:
        found = []
        for group, what, barrier, earned in hostile.tried(scene):
            found.append(dict(group=group, what=what, barrier=barrier, earned=earned))
            print(f"{group}: {what}: {earned}", flush=True)
    bwrap = subprocess.run(["bwrap", "--version"], capture_output=True, text=True).stdout.strip()
    stored = {"date": datetime.date.today().isoformat(), "python": platform.python_version(),
              "system": f"{platform.system()} {platform.release().split('-')[0]}",
              "bubblewrap": bwrap, "attacks": found}
    STORED.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    STORED.with_suffix(".md").write_text(table(stored), encoding="utf-8")
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


def table(stored):
    """The attacks as Markdown, with what stopped each."""
    date = datetime.date.fromisoformat(stored["date"])
    rows = [f"| {row['group']} | {row['what']} | {row['barrier']} | "
            f"{'**yes**' if row['earned'] is None else 'no'} | {row['earned'] or 0:g} |"
            for row in stored["attacks"]]
    return "\n".join([
        "# Attacks on the grading", "",
        f"{len(rows)} attacks, tried on {date.day} {date:%B %Y} with {stored['bubblewrap']}, "
        f"Python {stored['python']} and {stored['system']}. After each, an honest submission was "
        "graded by the same sandbox and got all its points.", "",
        "| kind | what it tries | what stops it | worked | points |",
        "|:--|:--|:--|:--|--:|", *rows, ""])


if __name__ == "__main__":
    main()
