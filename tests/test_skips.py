"""In CI a skipped test fails the run, unless it is on the short, explained list."""

import os
import subprocess
import sys

import pytest

from press.chapters import ROOT

TEST = "import pytest\ndef test_fine():\n    pass\ndef test_a():\n    pytest.skip('no')\n"
MODULE = "import pytest\npytest.skip('no', allow_module_level=True)\n"
EXPLAIN = "from tests import skips\nskips.EXPLAINED['test_planted.py::test_a'] = 'planted'\n"
MAKE = ("-p", "xdist", "-n", "2", "--dist", "loadfile")  # as `make test` runs them


@pytest.mark.parametrize("options", [(), MAKE], ids=["one process", "two"])
@pytest.mark.parametrize("ci, planted, explained, fails", [
    ("", TEST, "", False), ("true", TEST, "", True), ("true", TEST, EXPLAIN, False),
    ("true", MODULE, "", True)])
def test_a_skip_in_ci_needs_a_reason(tmp_path, options, ci, planted, explained, fails):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_planted.py").write_text(planted)
    (tmp_path / "conftest.py").write_text(explained)
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "tests.skips", *options,
                           "."], cwd=tmp_path, capture_output=True, text=True,
                          env=os.environ | {"CI": ci, "PYTHONPATH": str(ROOT),
                                            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    assert (done.returncode != 0) == fails, done.stdout
    assert ("SKIPPED WITHOUT A REASON" in done.stdout) == fails
