"""How a figure to play with gets into a page: its element, its script, its numbers."""

import html
import json
import math
import re
from importlib.resources import files

import numpy as np

SHARED = ("look.js", "maths.js", "play.js")
COMMENT = re.compile(r"^ *//[^\n]*\n|^ */\*\*.*?\*/\n", re.MULTILINE | re.DOTALL)
DIGITS = 9  # after the point, of every number that is stored


class Play:
    """A figure to play with, which a notebook shows by itself.

    Args:
        name: which figure; ``name.js`` draws it.
        data: what it is given, as plain values and numpy arrays: ``title``, the ``state`` to
            begin with, and ``cases``, a list of ``{"input": ..., "expect": ...}``.

    Attributes:
        name: as given.
        data: as given, in plain lists and numbers of 9 decimals.

    Raises:
        ValueError: if a number is not a number (infinities are allowed: they hide a key).

    >>> Play("lookup", title="A look-up", state={"query": np.array([0.5, -np.inf])}, cases=[])
    Figure to play with: A look-up
    """

    def __init__(self, name, **data):
        self.name, self.data = name, plain(data)

    def __repr__(self):
        return f"Figure to play with: {self.data['title']}"

    def _repr_html_(self):
        return self.element() + f"<script>{script(self.name)}</script>"

    def element(self):
        """The element alone, as a page of the site has it.

        Its JSON is an attribute, not a script, since a front end may take scripts out of their
        place; the words in it show where no script runs.

        Returns:
            HTML, one ``div``.

        >>> Play("lookup", title="1 < 2", state={}, cases=[]).element().splitlines()[1][:21]
        '<em>1 &lt; 2</em> (to'
        """
        words = json.dumps(self.data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        for sign in "&<>'":  # none of them is part of JSON itself
            words = words.replace(sign, f"\\u{ord(sign):04x}")
        return (f"<div class='attn-play' data-play='{self.name}' data-given='{words}'>\n"
                f"<em>{html.escape(self.data['title'])}</em> (to play with it, run this cell; "
                "on the site, allow scripts)\n</div>\n")


def script(name):
    """All that a figure needs, as one script: what a notebook's output carries.

    Args:
        name: which figure.

    Returns:
        JavaScript.

    >>> script("lookup")[:41]
    '/* attn-play */ (() => {\\nconst attnPlay ='
    """
    return "/* attn-play */ (() => {\n" + shared() + own(name) + "})();"


def shared():
    """The shared files as one script, which defines ``attnPlay``.

    The files are modules; a page that is opened from a disk may load scripts, and no modules.

    Returns:
        JavaScript, without imports and exports.

    >>> shared()[:24], shared()[-24:]
    ('const attnPlay = (() => ', 'put, h, figure };\\n})();\\n')
    """
    modules = "\n".join(map(sent, SHARED))
    names = re.findall(r"^export (?:function|const) (\w+)", modules, re.MULTILINE)
    bare = re.sub(r"^import .*\n|^export (?=\w)", "", modules, flags=re.MULTILINE)
    return f"const attnPlay = (() => {{\n{bare}\nreturn {{ {', '.join(names)} }};\n}})();\n"


def own(name):
    """A figure's own file as a script, which needs ``attnPlay``.

    Args:
        name: which figure.

    Returns:
        JavaScript, without imports and exports.

    >>> own("lookup").splitlines()[2]
    'const { clamp, percent, softmax, spread } = attnPlay;'
    """
    imports = re.compile(r"^import (.*) from .*$", re.MULTILINE)
    return "(() => {\n" + imports.sub(r"const \1 = attnPlay;", sent(f"{name}.js")) + "})();\n"


def sent(file):
    """A file as it is sent to a reader: without the comments that stand in lines of their own.

    Args:
        file: its name.

    Returns:
        JavaScript.

    >>> sent("maths.js")[:24]
    '\\nexport function softmax'
    """
    return COMMENT.sub("", (files(__package__) / file).read_text(encoding="utf-8"))


def plain(x):
    """Plain lists and numbers of 9 decimals, so that what is stored repeats everywhere.

    Args:
        x: dicts, lists, arrays, numbers, text; an infinity becomes None.

    Returns:
        What JSON can hold.

    Raises:
        ValueError: if a number is NaN.

    >>> plain({"query": np.array([1 / 3, -0.0, np.inf])})
    {'query': [0.333333333, 0.0, None]}
    """
    if isinstance(x, dict):
        return {str(key): plain(value) for key, value in x.items()}
    if isinstance(x, np.ndarray | np.generic):
        x = x.tolist()
    if isinstance(x, list | tuple):
        return [plain(value) for value in x]
    if isinstance(x, float):
        if math.isnan(x):
            raise ValueError("a figure to play with cannot show NaN: look for it in what it is "
                             "given")
        return None if math.isinf(x) else round(x, DIGITS) + 0.0  # -0.0 is 0.0
    return x


def rows(mask):
    """A boolean matrix as text, a row each.

    Args:
        mask: ``(n, m)``, boolean.

    Returns:
        List of n strings of m signs, 0 or 1.

    >>> rows(np.eye(2, dtype=bool))
    ['10', '01']
    """
    return ["".join("01"[int(cell)] for cell in row) for row in np.asarray(mask)]
