"""The proof that breaks the equations: what it copies is enough to run their tests."""

import os
import subprocess
import sys

from proofs import mutation


def test_the_tests_of_the_equations_run_where_they_are_copied_to(tmp_path):
    mutation.copied(tmp_path)
    (tmp_path / "pyproject.toml").write_text((mutation.ROOT / "pyproject.toml").read_text())
    tests = {f"tests/test_{test}.py" for _, tests, *_ in mutation.RUNS.values() for test in tests}
    here = {"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}  # and nothing of this checkout
    run = subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "-q", "-p",
                          "no:cacheprovider", *sorted(tests)], cwd=tmp_path, text=True,
                         capture_output=True, env=os.environ | here)
    assert run.returncode == 0, run.stdout + run.stderr
