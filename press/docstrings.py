"""The Sphinx extension that reads attnlib's docstrings for the page about it.

napoleon takes the first word of "Returns:" for a type. Where several things are returned, each
named in a line of its own, they are made a list first.
"""

import re

NAMED = re.compile(r" {4}(\w+): (.*)")


def setup(app):
    """Connect to autodoc, ahead of napoleon (whose priority is the usual 500)."""
    app.connect("autodoc-process-docstring", list_what_is_returned, priority=400)
    return {"parallel_read_safe": True}


def list_what_is_returned(app, what, name, obj, options, lines):
    """Changes, in place, a "Returns:" that names several things into a list of them."""
    if "Returns:" not in lines:
        return
    start = lines.index("Returns:") + 1
    end = next((i for i in range(start, len(lines)) if not lines[i]), len(lines))
    named = [NAMED.fullmatch(line) for line in lines[start:end]]
    if sum(map(bool, named)) > 1:
        lines[start:end] = ["    A tuple of", "", *(
            f"    - **{match[1]}**: {match[2]}" if match else f"      {line.strip()}"
            for line, match in zip(lines[start:end], named))]
