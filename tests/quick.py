"""What `make quick` runs: the linter, and what belongs to what has changed since the last push.

    python tests/quick.py        rules of changed chapters, tests and doctests of changed modules
    python tests/quick.py 3.2    one exercise
    python tests/quick.py all    the whole mathematics

What takes longer than quick may is named and left to `make test`.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
MATHEMATICS = ("attention", "diagnostics", "heads", "layers", "masks", "multilevel", "positions",
               "tasks", "traps", "training")
SLOW = {  # tests that start browsers, kernels, sandboxes or builds
    "classroom_attacks", "classroom_command", "classroom_grading", "classroom_kit",
    "classroom_nbgrader", "classroom_reports", "classroom_sandbox", "classroom_term",
    "classroom_variants", "course", "engine", "make", "pages", "play", "site",
}
TESTS = {  # file or folder: its tests, where they are not called as the file is
    "attnlib/exercises": ["engine", "exercises", "progress"],
    "attnlib/running": ["engine", "exercises"],
    "attnlib/play": ["play"],
    "book": ["pages"],
    "classroom/sandbox": ["classroom_sandbox", "classroom_submissions"],
    "press": ["claims", "press", "reference"],
    "press/site": ["site"],
    "proofs": ["tables"],
    "proofs/exercises.py": ["exercises_proof", "tables"],
    "proofs/students": ["exercises_proof"],
    "benchmarks": ["benchmarks"],
}


def main(what):
    """Run it; the exit code says whether all of it passed."""
    chosen, left = selected(what)
    if left:
        print(f"Left to `make test`: {', '.join(left)}.")
    done = [run("ruff", "check", "--quiet", ".")]
    if chosen:
        print(*(word.removeprefix("tests/") for word in chosen))
        done.append(run("pytest", "-q", "-n", "2", "--dist", "worksteal", "--doctest-modules",
                        "--no-header", *chosen))
    sys.exit(max(done))


def run(*words):
    return subprocess.run([sys.executable, "-m", *words], cwd=ROOT).returncode


def selected(what):
    """What pytest is to run, and the slow tests that are left out.

    Args:
        what: an exercise's id, "all", or "" for what has changed.

    Returns:
        Words for pytest, and names of tests.
    """
    if re.fullmatch(r"\d+\.\d+", what):
        return ["tests/test_exercises.py", "-k", f"[{what}] or -{what}]"], []
    if what == "all":
        modules = [f"attnlib/{name}.py" for name in MATHEMATICS]
        return [f"tests/test_{name}.py" for name in MATHEMATICS] + [
            module for module in modules if (ROOT / module).exists()], []
    names, words, chapters = set(), [], set()
    for path in map(Path, changed()):
        if path.suffix == ".py" and path.parts[0] != "tests" and (ROOT / path).exists():
            words.append(str(path))  # its doctests
        if path.suffix == ".ipynb" and path.parts[0] == "book":
            words.append(f"tests/test_press.py::test_a_chapter_keeps_the_rules[{path.stem}]")
        elif match := re.match(r"attnlib/exercises/ch(\d\d)_", str(path)):
            chapters.add(int(match[1]))
        else:
            names |= set(tests(path))
    words += [f"tests/test_{name}.py" for name in sorted(names - SLOW)]
    if chapters and "exercises" not in names:  # of their file only what is about these chapters
        asked = " or ".join(f"[{number}. or -{number}." for number in sorted(chapters))
        words += ["tests/test_exercises.py", "-k", f"not test_exercises.py or {asked}"]
    return list(dict.fromkeys(words)), sorted(names & SLOW)


def changed():
    """Paths of what differs from what was last pushed, or is not committed at all."""
    def git(*words):
        done = subprocess.run(["git", *words], cwd=ROOT, text=True, capture_output=True)
        return done.stdout.split("\n") if done.returncode == 0 else []

    base = next(filter(None, git("merge-base", "HEAD", "@{upstream}")), "HEAD")
    found = {*git("diff", "--name-only", base),
             *git("ls-files", "--others", "--exclude-standard")}
    return sorted(filter(None, found))


def tests(path):
    """Names of the tests of a file, as in ``tests/test_<name>.py``."""
    if path.parts[0] == "tests":
        found = [path.stem.removeprefix("test_")]
    else:
        places = [path, *path.parents][:-1]
        found = next((TESTS[str(place)] for place in places if str(place) in TESTS), [])
        found = [*found, path.stem, f"{path.parts[0]}_{path.stem}"]
    return [name for name in found if (ROOT / "tests" / f"test_{name}.py").exists()]


if __name__ == "__main__":
    main(*sys.argv[1:2] or [""])
