"""press prints the book's other forms from its one source, the notebooks in `book/`.

chapters.py           reads a chapter: its cells, tags, exercises and claims
rules.py              what a chapter must keep to; every fault with file, cell and remedy
without_solutions.py  the student notebooks: links made absolute, a set-up cell first;
                      the site of a course
set_up.py             the set-up cell, which finds attnlib or installs it
address.py            where this copy of the book lives
dates.py              dates as people write them
environment.py        what make installs into .venv
runs.py               executes the chapters and stores their outputs
claims_page.py        the claims page, gathered from the stored outputs
reference.py          the pages about attnlib, from its syntax tree
site/                 the Sphinx extension: the theme, the components of a chapter, formulas,
                      figures
"""


def setup(app):
    """Load the Sphinx extension (`local_extensions: {press: "."}` in `_config.yml`)."""
    from .site import setup as setup_site

    return setup_site(app)
