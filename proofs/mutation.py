"""Break the equations on purpose, in every way mutmut knows, and see that the tests notice.

``python proofs/mutation.py`` stores the table as proofs/mutation.md, and fails unless 95 % of the
mutants of each file are killed and proofs/survivors.md explains each that is not. Alone on two
cores it takes about an hour. mutmut's memory is kept in mutants/: a second run tries only what
has changed and what survived. ``--fresh`` forgets it.
"""

import datetime
import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from mutmut.stats import status_by_exit_code

ROOT = Path(__file__).parent.parent
WORK = ROOT / "mutants"
TABLE = ROOT / "proofs" / "mutation.md"
EXPLAINED = ROOT / "proofs" / "survivors.md"
GOAL = 0.95
# Each run: files to mutate, tests to run, pytest's -k, and which mutants. Tests that start
# processes are slow, so they run for the ring alone.
PROCESSES = "ring or slices_that"
RUNS = {
    "equations": (["attention", "masks", "positions", "heads"],
                  ["attention", "masks", "positions", "heads", "traps"], "", []),
    "multilevel": (["multilevel"], ["multilevel"], f"not ({PROCESSES})", []),
    "ring": (["multilevel"], ["multilevel"], PROCESSES,
             ["*ring*", "*_Ring*", "*_pass_on*", "*_lengths_by_rank*"]),
}
DEAD = ("killed", "timeout", "segfault")


def main():
    if "--fresh" in sys.argv:
        shutil.rmtree(WORK, ignore_errors=True)
    results = {}  # file: {mutant: (status, run)}
    for run in RUNS:
        for file, name, status in outcomes(run):
            known = results.setdefault(file, {})
            if known.get(name, ("survived",))[0] not in DEAD:
                known[name] = status, run
    alive = {name: change(name, run) for statuses in results.values()
             for name, (status, run) in statuses.items() if status not in DEAD}
    TABLE.write_text(table(results))
    print(TABLE.read_text())
    explained = EXPLAINED.read_text()
    faults = [f"{file}: {share(statuses):.1%} killed, {GOAL:.0%} wanted"
              for file, statuses in results.items() if share(statuses) < GOAL]
    faults += [f"not explained in {EXPLAINED.name}: {name}\n{text}" for name, text in alive.items()
               if text not in explained]
    sys.exit("\n".join(faults) or None)


def outcomes(run):
    """Run mutmut on a copy of attnlib and its tests; yield file, mutant and what became of it."""
    files, tests, only, mutants = RUNS[run]
    folder = WORK / run
    for part in ("attnlib", "tests"):
        shutil.copytree(ROOT / part, folder / part, dirs_exist_ok=True)
    settings = {
        "source_paths": ["attnlib"],
        "only_mutate": [f"attnlib/{file}.py" for file in files],
        "pytest_add_cli_args": ["-x", "-p", "no:cacheprovider", "--hypothesis-profile=mutants",
                                "-k", only],
        "pytest_add_cli_args_test_selection": [f"tests/test_{test}.py" for test in tests],
        "process_isolation": "forkserver",  # torch's threads do not survive a fork
        "timeout_multiplier": 2.0,
        "timeout_constant": 60.0,  # leaves a slow or busy machine time to start three processes
    }
    (folder / "pyproject.toml").write_text(
        (ROOT / "pyproject.toml").read_text() + "\n[tool.mutmut]\n"
        + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
    memory = {file: folder / "mutants" / f"{file}.meta" for file in settings["only_mutate"]}
    for stored in memory.values():
        forget_survivors(stored)
    subprocess.run([sys.executable, "-m", "mutmut", "run", "--max-children", "2", *mutants],
                   cwd=folder, check=True)
    for file, stored in memory.items():
        for name, code in json.loads(stored.read_text())["exit_code_by_key"].items():
            yield file, name, status_by_exit_code[code]


def forget_survivors(stored):
    """A new test may kill what survived: mutmut tries again what has no exit code."""
    if not stored.exists():
        return
    results = json.loads(stored.read_text())
    results["exit_code_by_key"] = {
        name: code if status_by_exit_code[code] in DEAD else None
        for name, code in results["exit_code_by_key"].items()}
    stored.write_text(json.dumps(results))


def share(statuses):
    return sum(status in DEAD for status, _ in statuses.values()) / len(statuses)


def change(name, run):
    """A mutant's changed lines, as a diff without its frame: how survivors.md quotes them."""
    shown = subprocess.run([sys.executable, "-m", "mutmut", "show", name], cwd=WORK / run,
                           check=True, text=True, capture_output=True).stdout
    return "\n".join(line for line in shown.splitlines()
                     if line[:1] in "+-" and line[:3] not in ("+++", "---"))


def table(results):
    rows = ["| file | mutants | killed | timed out | alive | killed or timed out, % |",
            "|---|--:|--:|--:|--:|--:|"]
    for file, statuses in results.items():
        count = Counter(status for status, _ in statuses.values())
        killed, timed_out = count["killed"] + count["segfault"], count["timeout"]
        rows.append(f"| `{file}` | {len(statuses)} | {killed} | {timed_out} "
                    f"| {len(statuses) - killed - timed_out} | {100 * share(statuses):.1f} |")
    return (f"# Mutation testing of the equations\n\n{datetime.date.today():%d %B %Y}, "
            f"mutmut {importlib.metadata.version('mutmut')}, "
            f"Python {platform.python_version()}; made by `make proofs`. "
            f"[{EXPLAINED.name}]({EXPLAINED.name}) explains each survivor.\n\n"
            + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
