"""What holds for every test and every notebook, from whichever folder they are run."""

import re
from pathlib import Path

import pytest

CHAPTER = re.compile(r"[\[-](\d+)\.\d+[\]-]")  # in a test's name: the exercise it is about


def pytest_configure(config):
    """nbval compares outputs without what `tests/nbval.cfg` takes out of both sides."""
    if hasattr(config.option, "nbval_sanitize_with"):
        config.option.nbval_sanitize_with = str(Path(__file__).parent / "tests" / "nbval.cfg")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file's tests stay in one worker, whose fixtures are made once, and a notebook has one
    kernel; but the exercises' tests are many, and go by chapter."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByChapter(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file, _, name = nodeid.partition("::")
            chapter = CHAPTER.search(name) if file.endswith("test_exercises.py") else None
            return f"{file}, chapter {chapter[1]}" if chapter else file

    return ByChapter(config, log)


def pytest_collectstart(collector):
    """nbval compares no picture: PNG it leaves out by itself, SVG differs between processors."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("image/svg+xml",)
