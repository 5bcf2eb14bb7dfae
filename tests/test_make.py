"""make: on a machine that lacks something, one line says what to install."""

import os
import subprocess

import pytest

from press.chapters import ROOT


@pytest.fixture
def make(tmp_path):
    """make(target, python_script) runs the Makefile with a made-up python3."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())

    def run(target, python):
        fake = tmp_path / "python3"
        fake.write_text(f"#!/bin/sh\n{python}\n")
        fake.chmod(0o755)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
        return subprocess.run(["make", "--no-print-directory", target, f"PYTHON={fake}"], text=True,
                              cwd=tmp_path, capture_output=True, env=environment)
    return run


@pytest.mark.parametrize("target", ["book", "test"])
def test_an_old_python_is_told_in_one_line(make, target):
    done = make(target, 'case "$2" in *version_info*) exit 1;; esac')
    assert done.returncode and done.stdout.splitlines() == [
        f"Python 3.11 or newer is needed: install it, then run make PYTHON=python3.11 {target}"]


def test_a_missing_venv_is_told_in_one_line(make):
    done = make("book", 'case "$2" in *ensurepip*) exit 1;; esac')
    assert done.returncode and done.stdout.splitlines() == [
        "Python's venv is missing: on Debian or Ubuntu, sudo apt install python3-venv"]


def test_a_second_run_installs_nothing(make, tmp_path):
    log = tmp_path / "log"
    python = f'echo "$@" >> {log}; mkdir -p .venv/bin; cp "$0" .venv/bin/python 2>&1; true'
    assert make(".venv/ready", python).returncode == 0
    assert "pip install" in log.read_text()
    log.unlink()
    assert make(".venv/ready", python).returncode == 0
    assert not log.exists()


def test_torch_cpu_takes_the_cpu_index_and_the_plain_command_does_not(tmp_path):
    for extra, wanted in ((["TORCH=cpu"], True), ([], False)):
        plan = subprocess.run(["make", "-n", "-B", ".venv/ready", *extra], cwd=ROOT, text=True,
                              capture_output=True).stdout
        assert ("download.pytorch.org/whl/cpu" in plan) is wanted
        assert "-r requirements.txt" in plan
