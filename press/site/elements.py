"""HTML elements as nodes of a page, and the small pieces that several pages share."""

import html
import re

from docutils import nodes

from .highlight import plain, python

VERDICTS = {"holds": "yes", "holds in part": "part", "does not hold": "no",
            "undecided here": "open"}
ICONS = {  # told apart by their form, not by colour alone
    "yes": '<circle cx="10" cy="10" r="8"/><path class="cut" d="m6 10.3 2.8 2.8L14.2 7.3"/>',
    "part": '<circle class="ring" cx="10" cy="10" r="7.2"/>'
            '<path d="M10 2.8a7.2 7.2 0 0 0 0 14.4z"/>',
    "no": '<circle class="ring" cx="10" cy="10" r="7.2"/>'
          '<path class="line" d="m6.8 6.8 6.4 6.4m0-6.4-6.4 6.4"/>',
    "open": '<circle class="ring dots" cx="10" cy="10" r="7.2"/>',
}
NUMBER = re.compile(r"(?<![\w.])[+-]?\d+(?:[.,]\d+)*(?:e-?\d+)?(?:[ \u00a0]?%)?")
COLUMNS = re.compile(r"\n.*\S {2,}\S|\S {2,}\S.*\n|^[ \[].*\n|\n[ \[]")  # lines that stand in line
SENTENCE = re.compile(r"^(?!attnlib)(?:[a-z](?=[a-z])|a(?= ))")  # begins a label, and is no name
WIDE = 79  # columns of code in the text's own width
LONG = 100  # columns of a line that keeps to none
PHONE = 42  # signs in a line of a table, on a phone; of what was printed, two fewer


class element(nodes.Element):
    """An HTML element; its children are nodes. It writes itself (`open_element`)."""


def el(tag, *children, **attributes):
    """The element `<tag>` with these children; strings are escaped text, `class_` is `class`.

    An attribute that is None is left out, one that is True stands without a value.
    """
    node = element("", tag=tag, html={name.rstrip("_").replace("_", "-"): value
                                      for name, value in attributes.items() if value is not None})
    node += [nodes.Text(child) if type(child) is str else child for child in children]
    return node


def raw(markup):
    """HTML as it stands, as a node."""
    return nodes.raw("", markup, format="html")


def start_tag(tag, attributes):
    """`<tag name="value">`."""
    said = "".join(f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'
                   for name, value in attributes.items())
    return f"<{tag}{said}>"


def open_element(writer, node):
    """Writes an element's start."""
    writer.body.append(start_tag(node["tag"], node["html"]))


def close_element(writer, node):
    """Writes an element's end."""
    writer.body.append(f'</{node["tag"]}>')


def escape(text):
    """Text as HTML."""
    return html.escape(text, quote=False)


def curly(text):
    """Text as HTML, with a book's quotation marks; an order such as O(k n) stays in its line."""
    text = re.sub(r'"([^"]*)"', "\u201c\\1\u201d", text.strip()).replace("'", "\u2019")
    return escape(re.sub(r"O\([^)]*\)", lambda order: order[0].replace(" ", "\u00a0"), text))


def numbers(text):
    """Text as HTML, its numbers set apart."""
    return NUMBER.sub(r"<b>\g<0></b>", escape(text).replace(" %", "\u00a0%"))


def icon(kind):
    """The mark of a verdict; its word stands beside it."""
    return f'<svg class="v" viewBox="0 0 20 20" aria-hidden="true">{ICONS[kind]}</svg>'


def label_of(kind):
    """The word of a verdict."""
    return next(words for words, known in VERDICTS.items() if known == kind).capitalize()


def bets(name):
    """The four verdicts as radio buttons."""
    return "".join(f'<label><input type="radio" name="{name}" value="{label_of(kind)}">'
                   f"{icon(kind)}{label_of(kind)}</label>" for kind in ICONS)


def pre(source, language="python"):
    """A block of code."""
    columns = max(map(len, source.splitlines()), default=0)
    wide = " wide" if columns > WIDE else ""
    inside = python(source) if language == "python" else plain(source)
    return f'<pre class="src{wide}" tabindex="0"><code>{inside}</code></pre>'


def change(lines):
    """Lines of code that fail, each begun by "- ", and those that mend them, by "+ "."""
    tags = {"-": ("del", "no"), "+": ("ins", "yes")}
    said = "".join(f'<{tag} class="{kind}">{icon(kind)}<span>{python(line[2:])}</span></{tag}>'
                   for line in lines.splitlines() for tag, kind in [tags[line[0]]])
    return f'<pre class="src change" tabindex="0"><code>{said}</code></pre>'


def output(text):
    """What a cell printed."""
    text = text.rstrip("\n")
    columns = max(map(len, text.splitlines()), default=1)
    prose = columns > LONG or not COLUMNS.search(text)
    kind = " prose" * prose + " wide" * (columns > WIDE - 2)
    inside = escape(text)
    if prose and columns > PHONE - 2:
        inside = "".join(f"<l->{line}</l->" for line in inside.splitlines(True))
    return (f'<pre class="out{kind}" style="--cols:{columns}" tabindex="0"><samp>{inside}'
            "</samp></pre>")


def results(table):
    """A table of results; where its rows are long, a phone puts a row's name above its cells."""
    rows = [[html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
            for row in re.findall(r"<tr>(.*?)</tr>", table)]
    head, *body = zip(*rows)
    narrowest = [max(max(map(len, heading.split()), default=0), *map(len, cells))
                 for heading, *cells in body]
    signs = max(map(len, head[1:])) + sum(narrowest) + len(narrowest)
    kind = "results stacked" if signs > PHONE else "results"
    return re.sub(r'class="results"[^>]*', f'class="{kind}"', table, count=1)  # has its own style


def fold(label, inside, note="", class_="fold"):
    """Something behind one line."""
    note = f" <small>{note}</small>" if note else ""
    return f'<details class="{class_}"><summary>{label}{note}</summary>{inside}</details>'


def folded_code(source, label):
    """Code behind one line that says how long it is."""
    lines = sum(bool(line.strip()) for line in source.splitlines())
    label = SENTENCE.sub(lambda first: first[0].upper(), label)
    return fold(label, pre(source), f"{lines} line{'s' * (lines != 1)}")
