"""What holds for every test and every notebook, from whichever folder they are run."""

from pathlib import Path


def pytest_configure(config):
    """nbval compares outputs without what `tests/nbval.cfg` takes out of both sides."""
    if hasattr(config.option, "nbval_sanitize_with"):
        config.option.nbval_sanitize_with = str(Path(__file__).parent / "tests" / "nbval.cfg")
