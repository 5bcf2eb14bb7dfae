"""What holds for every test and every notebook, from whichever folder they are run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
TESTS = ROOT / "tests"
INSTALLED = "import importlib.util as util, sys; sys.exit(not util.find_spec('attnlib'))"
CHAPTER = re.compile(r"[\[-](\d+)(\.\d+|_\w+)[\]-]")  # in a test's name: what it is about
SPREAD = ("test_exercises.py", "test_processors.py")  # long, and a chapter needs no other
LATE = ("test_transforms.py", "test_site.py", "test_verdicts.py")  # long, and last by the alphabet


def pytest_configure(config):
    """nbval compares outputs without what `tests/nbval.cfg` takes out of both sides. Where attnlib
    is not installed, as after `pip install -r requirements.txt`, kernels take the checkout's."""
    if hasattr(config.option, "nbval_sanitize_with"):
        config.option.nbval_sanitize_with = str(TESTS / "nbval.cfg")
    if subprocess.run([sys.executable, "-I", "-c", INSTALLED]).returncode:
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))


def pytest_collection_modifyitems(items):
    """What is long comes first, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.path.name not in LATE)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file's tests stay in one worker, whose fixtures are made once, and a notebook has one
    kernel; but where a file is long and its tests are about chapters, they go by chapter."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByChapter(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file, _, name = nodeid.partition("::")
            chapter = CHAPTER.search(name) if file.endswith(SPREAD) else None
            return f"{file}, chapter {int(chapter[1])}" if chapter else file

    return ByChapter(config, log)


def pytest_collectstart(collector):
    """nbval compares no picture: PNG it leaves out by itself, SVG differs between processors."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("image/svg+xml",)


def pytest_runtest_teardown(item, nextitem):
    """When a chapter has run, its kernel must have imported only what Binder installs."""
    last = nextitem is None or nextitem.parent is not item.parent
    chapter = type(item).__name__ == "IPyNbCell" and item.parent.path.parent == ROOT / "book"
    if last and chapter and getattr(item.parent, "kernel", None):
        sys.path.insert(0, str(TESTS))
        import runner_needs

        found = runner_needs.strangers(runner_needs.loaded_by(item.parent.kernel.kc))
        assert not found, (
            f"{item.parent.path.name} imports {', '.join(found)}, which Binder does not install: "
            "list it under `notebooks` in pyproject.toml and run `make lock`")
