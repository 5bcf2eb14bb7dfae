"""Break the equations on purpose, in every way mutmut knows, and see that the tests notice.

``python -m proofs.mutation`` breaks the files that have changed since they were broken last, stores
the table as proofs/mutation.json and proofs/mutation.md, and fails unless 95 % of the mutants of
each file are killed and proofs/survivors.md explains each that is not. Alone on two cores all of
it takes about an hour. mutmut's memory is kept in mutants/: a second run tries only what has
changed and what survived, and the ring, which is asked for by name. ``--fresh`` forgets it, and
breaks every file.
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

from . import sources, tables

ROOT = Path(__file__).parent.parent
WORK = ROOT / "mutants"
EXPLAINED = ROOT / "proofs" / "survivors.md"
IMPORTED = ["press"]  # what the tests of the equations import besides attnlib
GOAL = 0.95
# Each run: files to mutate, tests to run, pytest's -k, and which mutants. Tests that start
# processes are slow, so they run for the ring alone.
PROCESSES = "ring or slices_that"
COMPILED = "inductor or compile or export or traced"  # torch cannot compile mutmut's switch
RUNS = {
    "equations": (["attention", "masks", "positions", "heads"],
                  ["attention", "masks", "positions", "heads", "traps", "bad_calls", "transforms"],
                  f"not ({COMPILED})", []),
    "multilevel": (["multilevel"], ["multilevel", "traps", "bad_calls"], f"not ({PROCESSES})", []),
    "ring": (["multilevel"], ["multilevel"], PROCESSES,
             ["*ring*", "*_Ring*", "*_visit*", "*_halves*", "*_pass_on*", "*_lengths_by_rank*"]),
}
DEAD = ("killed", "timeout", "segfault")
NOT_RUN = 255  # mutmut calls it a timeout


def main():
    chosen = set(TABLE.stale())
    if "--fresh" in sys.argv:
        shutil.rmtree(WORK, ignore_errors=True)
        chosen = set(TABLE.now())
    results = {}  # file: {mutant: (status, run)}
    for run in RUNS:
        for file, name, status in outcomes(run, chosen):
            known = results.setdefault(file, {})
            if known.get(name, ("survived",))[0] not in DEAD:
                known[name] = status, run
    alive = {name: change(name, run) for statuses in results.values()
             for name, (status, run) in statuses.items() if status not in DEAD}
    now, rows = TABLE.now(), TABLE.read().get("rows", {})
    rows |= {file: row(statuses) | {"sources": now[file]} for file, statuses in results.items()}
    TABLE.write({"rows": {file: rows[file] for file in now if file in rows}})
    print(TABLE.printed())
    explained = EXPLAINED.read_text()
    faults = [f"{file}: {share(row):.1%} killed, {GOAL:.0%} wanted"
              for file, row in rows.items() if share(row) < GOAL]
    faults += [f"not explained in {EXPLAINED.name}: {name}\n{text}" for name, text in alive.items()
               if text not in explained]
    sys.exit("\n".join(faults) or None)


def outcomes(run, chosen):
    """Run mutmut on a copy of attnlib and its tests; yield file, mutant and what became of it.

    Args:
        run: one of `RUNS`.
        chosen: the files to break, as in the table.
    """
    from mutmut.stats import status_by_exit_code  # mutmut is here for `make proofs` alone
    files, tests, only, mutants = RUNS[run]
    files = [f"attnlib/{file}.py" for file in files if f"attnlib/{file}.py" in chosen]
    if not files:
        return
    folder = WORK / run
    copied(folder)
    settings = {
        "source_paths": ["attnlib"],
        "also_copy": IMPORTED,
        "only_mutate": files,
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
    memory = {file: folder / "mutants" / f"{file}.meta" for file in files}
    for stored in memory.values():
        forget_survivors(stored, status_by_exit_code)
    subprocess.run([sys.executable, "-m", "mutmut", "run", "--max-children", "2", *mutants],
                   cwd=folder, check=True)
    for file, stored in memory.items():
        for name, code in json.loads(stored.read_text())["exit_code_by_key"].items():
            if code == NOT_RUN:
                sys.exit(f"{name}: pytest did not find its tests, see mutmut's list of them")
            yield file, name, status_by_exit_code[code]


def copied(folder):
    """Copy what the tests of the equations need."""
    for part in ("attnlib", "tests", *IMPORTED):
        shutil.copytree(ROOT / part, folder / part, dirs_exist_ok=True)


def forget_survivors(stored, status_by_exit_code):
    """A new test may kill what survived: mutmut tries again what has no exit code."""
    if not stored.exists():
        return
    results = json.loads(stored.read_text())
    results["exit_code_by_key"] = {
        name: code if status_by_exit_code[code] in DEAD and code != NOT_RUN else None
        for name, code in results["exit_code_by_key"].items()}
    stored.write_text(json.dumps(results))


def row(statuses):
    """A file's row in the table."""
    count = Counter(status for status, _ in statuses.values())
    killed, timed_out = count["killed"] + count["segfault"], count["timeout"]
    return {"date": str(datetime.date.today()), "mutmut": importlib.metadata.version("mutmut"),
            "python": platform.python_version(), "mutants": len(statuses), "killed": killed,
            "timed out": timed_out}


def share(row):
    return (row["killed"] + row["timed out"]) / row["mutants"]


def change(name, run):
    """A mutant's changed lines, as a diff without its frame: how survivors.md quotes them."""
    shown = subprocess.run([sys.executable, "-m", "mutmut", "show", name], cwd=WORK / run,
                           check=True, text=True, capture_output=True).stdout
    return "\n".join(line for line in shown.splitlines()
                     if line[:1] in "+-" and line[:3] not in ("+++", "---"))


def page(stored, stale):
    """The table as Markdown."""
    rows = [[tables.marked(f"`{file}`", {f"`{name}`" for name in stale}), row["mutants"],
             row["killed"], row["timed out"], row["mutants"] - row["killed"] - row["timed out"],
             f"{100 * share(row):.1f}", tables.day(row["date"])]
            for file, row in stored["rows"].items()]
    made = {f"mutmut {row['mutmut']}, Python {row['python']}" for row in stored["rows"].values()}
    return "\n".join([
        "# Mutation testing of the equations", "",
        f"With {'; '.join(sorted(made))}. [{EXPLAINED.name}]({EXPLAINED.name}) explains each "
        "survivor.", "",
        tables.markdown(["file", "mutants", "killed", "timed out", "alive",
                         "killed or timed out, %", "made on"], rows, right=range(1, 6)),
        "", *tables.notes(stale)])


TABLE = tables.Table(
    stored=ROOT / "proofs" / "mutation.json", page=ROOT / "proofs" / "mutation.md", text=page,
    rows=lambda stored: stored["rows"],
    now=lambda: {file: sources.of_files(file) for file in dict.fromkeys(
        f"attnlib/{file}.py" for files, *_ in RUNS.values() for file in files)})


if __name__ == "__main__":
    main()
