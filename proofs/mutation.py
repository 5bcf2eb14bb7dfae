"""Break the equations on purpose, in every way mutmut knows, and see that the tests notice.

``python proofs/mutation.py`` runs mutmut as pyproject.toml's ``[tool.mutmut]`` says (about
half an hour), stores the table as proofs/mutation.md, and fails unless 95 % of the mutants of
each file are killed and proofs/survivors.md explains each that is not. It keeps mutmut's memory in
``mutants/``: a second run tries only what has changed. ``--fresh`` forgets it.
"""

import datetime
import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

from mutmut.stats import status_by_exit_code

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "proofs" / "mutation.md"
EXPLAINED = ROOT / "proofs" / "survivors.md"
GOAL = 0.95


def main():
    if "--fresh" in sys.argv:
        shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    subprocess.run([sys.executable, "-m", "mutmut", "run", "--max-children", "2"], cwd=ROOT,
                   check=True)
    files = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]["only_mutate"]
    results = {file: outcomes(file) for file in files}
    alive = {name: change(name) for statuses in results.values()
             for name, status in statuses.items() if not dead(status)}
    TABLE.write_text(table(results, alive))
    print(TABLE.read_text())
    explained = EXPLAINED.read_text()
    faults = [f"{file}: {share(statuses):.1%} killed, {GOAL:.0%} wanted"
              for file, statuses in results.items() if share(statuses) < GOAL]
    faults += [f"{name}: not in {EXPLAINED.name}:\n{text}" for name, text in alive.items()
               if text not in explained]
    sys.exit("\n".join(faults))


def outcomes(file):
    """{mutant: what became of it} for one source file."""
    stored = json.loads((ROOT / "mutants" / f"{file}.meta").read_text())
    return {name: status_by_exit_code[code] for name, code in stored["exit_code_by_key"].items()}


def dead(status):
    return status in ("killed", "timeout", "segfault")


def share(statuses):
    return sum(map(dead, statuses.values())) / len(statuses)


def change(name):
    """A mutant's changed lines, as a diff without its frame: the key in survivors.md."""
    shown = subprocess.run([sys.executable, "-m", "mutmut", "show", name], cwd=ROOT, check=True,
                           text=True, capture_output=True).stdout
    return "\n".join(line for line in shown.splitlines()
                     if line[:1] in "+-" and line[:3] not in ("+++", "---"))


def table(results, alive):
    rows = ["| file | mutants | killed | timed out | survived | killed, % |", "|---|--:|--:|--:|--:|--:|"]
    for file, statuses in results.items():
        count = Counter(statuses.values())
        survived = len(statuses) - sum(map(dead, statuses.values()))
        rows.append(f"| `{file}` | {len(statuses)} | {count['killed'] + count['segfault']} "
                    f"| {count['timeout']} | {survived} | {100 * share(statuses):.1f} |")
    return (f"# Mutation testing of the equations\n\n{datetime.date.today():%d %B %Y}, "
            f"mutmut {importlib.metadata.version('mutmut')}, "
            f"Python {platform.python_version()}; made by `make proofs`. "
            "A mutant that makes a test run too long counts as killed. "
            f"[{EXPLAINED.name}]({EXPLAINED.name}) explains the {len(alive)} survivors.\n\n"
            + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
