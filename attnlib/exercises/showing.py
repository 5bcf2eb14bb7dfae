"""What a check, a hint and the progress look like, in a notebook, a terminal or a file."""

import html
import re
import sys
import textwrap

from ..plots import PALETTE

PASSED, WRONG, OPEN = "\N{CHECK MARK}", "\N{BALLOT X}", "\N{WHITE CIRCLE}"
COLOURS = {PASSED: PALETTE["green"], WRONG: PALETTE["orange"], OPEN: PALETTE["grey"]}


def as_html(text) -> str:
    """A sentence as HTML: what stands in backticks is code, what stands in asterisks is stressed.

    >>> as_html("The *last* of `a < b`, `x * y * z`")
    'The <em>last</em> of <code>a &lt; b</code>, <code>x * y * z</code>'
    """
    return re.sub(r"`([^`]+)`|(?<![\w*])\*(\w[^`*]*)\*(?![\w*])",
                  lambda found: f"<code>{found[1]}</code>" if found[1] else f"<em>{found[2]}</em>",
                  html.escape(text))


class Message:
    """What is shown: one object, as text and as HTML."""

    def __init__(self, sign, headline, sentence="", witness="", next_step=""):
        self.sign, self.headline, self.sentence = sign, headline, sentence
        self.witness, self.next_step = witness, next_step

    def __repr__(self):
        first = f"{self.sign} {self.headline} {self.sentence}".rstrip()
        lines = [textwrap.fill(line, 88, break_long_words=False) for line in first.splitlines()]
        if self.witness:
            lines.append(textwrap.indent(self.witness, "    "))
        if self.next_step:
            lines.append(f"Next: {self.next_step}")
        return "\n".join(lines)

    def _repr_html_(self):
        parts = [f"<div><strong>{self.sign} {html.escape(self.headline)}</strong> "
                 f"{as_html(self.sentence)}</div>".replace("\n", "<br>")]
        if self.witness:
            parts.append('<pre style="margin: 0.4em 0; background: transparent; color: inherit; '
                         f'white-space: pre-wrap;">{html.escape(self.witness)}</pre>')
        if self.next_step:
            parts.append(f"<div>Next: <code>{html.escape(self.next_step)}</code></div>")
        return (f'<div style="border-left: 4px solid {COLOURS[self.sign]}; '
                f'padding: 0.2em 0.8em; margin: 0.3em 0;">{"".join(parts)}</div>')


def show(shown) -> None:
    """Display once: richly under IPython, printed elsewhere.

    Args:
        shown: an object with a text and an HTML form.
    """
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        from IPython.display import display
        return display(shown)
    try:
        print(repr(shown))
    except UnicodeEncodeError:  # a terminal without these signs
        print(repr(shown).encode("ascii", "replace").decode())
