"""Formulas become MathML when the site is built: no script, no wait, read by screen readers.

latex2mathml (pure Python) does the work. What it lacks is done here: the number of a tagged
equation stands outside the formula (MathML's `mlabeledtr` is drawn by no browser), functions keep
their distance from what they are applied to, and \\lVert and its like are fences.
"""

import functools
import html
import re
from xml.etree import ElementTree

from docutils import nodes
from latex2mathml.converter import convert

from . import faults

PARTS = {"mfrac": 2, "msub": 2, "msup": 2, "msubsup": 3, "mover": 2, "munder": 2, "munderover": 3,
         "mroot": 2}
LONG = 24  # signs of a formula that every phone has room for
OUT = re.compile(r"\[([^\]]+)\]\((https?://[^)\s]+)\)")
TAG = re.compile(r"\\tag\{([^}]*)\}")
MENDED = (  # what latex2mathml gives, and what browsers draw well
    (r"<mi>(ln|log|exp|sin|cos|tanh|max|min)</mi>(?=<m(?:i|n|sub|sup|frac|row|over))",
     r'<mi>\1</mi><mspace width=".17em"/>'),
    (r"<mo>(\w{2,})</mo>", r"<mi>\1</mi>"),
    (r"(</m(?:i|n|sub|sup)>)(?=<mi>(?:ln|log|exp|sin|cos|max)</mi>)", r'\1<mspace width=".17em"/>'),
    (r"(<msub><mi>max</mi>.*?</msub>)(?=<m)", r'\1<mspace width=".17em"/>'),
    (r"<mi>(&#x02308;|&#x0230A;)</mi>", r'<mo form="prefix" stretchy="false">\1</mo>'),
    (r"<mi>(&#x02309;|&#x0230B;)</mi>", r'<mo form="postfix" stretchy="false">\1</mo>'),
    (r"((?:<mo[^>]*>(?:&#x00028;|&#x0002C;|&#x0003D;|&#x02208;|&#x0005B;)</mo>)|<mtd[^>]*>)"
     r"<mo>&#x02212;</mo>",
     r'\1<mo form="prefix">&#x02212;</mo>'),
    (r'<mover>(<m.>.</m.>)<mo stretchy="true">&#x000AF;</mo></mover>',
     r'<mover accent="true">\1<mo stretchy="false">&#x000AF;</mo></mover>'),
    (r"<msqrt>(<mi>[a-z]</mi>)</msqrt>",  # the root of a low letter would sink below the line
     r'<msqrt><mpadded height=".7em">\1</mpadded></msqrt>'),
    (r"<msup>(<m[in]>[^<]*</m[in]>|<mtext>[^<]*</mtext>)<mi>&#x02032;</mi></msup>",
     r"<mrow>\1<mi>&#x02032;</mi></mrow>"),  # raised by the font itself
    (r'<mo stretchy="false">&#x0007C;</mo>(.*?)<mo stretchy="false">&#x0007C;</mo>',
     r'<mo form="prefix" stretchy="false">|</mo>\1<mo form="postfix" stretchy="false">|</mo>'),
    (r"<mo>&#x02202;</mo>", '<mi mathvariant="normal">&#x02202;</mi>'),
    (r'<mo fence="false" stretchy="false">&#x02016;</mo>', "<mo>&#x02016;</mo>"),
    (r"<mo>&#x02016;</mo>(.*?)<mo>&#x02016;</mo>",
     r'<mo form="prefix" stretchy="false">&#x02016;</mo>\1'
     r'<mo form="postfix" stretchy="false">&#x02016;</mo>'),
    (r"<mo>&#x0221E;</mo>", "<mi>&#x0221E;</mi>"),
    (r"<mi />", ""),
    (r' stretchy="true" fence="true"', ""),
    (r'<mstyle displaystyle="false" scriptlevel="0">(<mfrac>.*?</mfrac>)</mstyle>', r"\1"),
)


@functools.cache
def mathml(latex, display="inline"):
    """`latex` as a `<math>` element; `\\tag` must have been taken out.

    Raises:
        ValueError: if something of it cannot be converted.
    """
    try:
        found = convert(latex.strip().replace("{aligned}", "{split}"), display=display)
        complete(latex, ElementTree.fromstring(found))
    except Exception as error:  # latex2mathml raises many kinds
        raise ValueError(f"the formula {latex.strip()!r} cannot be converted "
                         f"({error or type(error).__name__}): mend it") from error
    if left := re.search(r"\\[a-zA-Z]+|merror", html.unescape(re.sub(r"<[^>]*>", " ", found))):
        raise ValueError(f"the formula {latex.strip()!r} uses {left[0]}, which cannot be "
                         "converted: write it with a command that can")
    found = found.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "").replace(
        ' display="inline"', "")
    for old, new in MENDED:
        found = re.sub(old, new, found)
    found = re.sub(r"&#x([0-9A-F]+);", lambda m: html.escape(chr(int(m[1], 16)), quote=False),
                   found)
    found = re.sub(r"<mrow>(<(m[ino])[^>]*>[^<]*</\2>)</mrow>", r"\1", found)
    # one <mrow> round everything says nothing
    found = re.sub(r"(<math[^>]*>)<mrow>(.*)</mrow></math>$",
                   lambda m: f"{m[1]}{m[2]}</math>" if balanced(m[2]) else m[0], found, flags=re.S)
    return found


def words(latex):
    r"""A short formula as a line of text.

    >>> words(r"\sqrt{d_k} - \min(s)"), words("10^{-12}")
    ('√d_k - min(s)', '10^-12')

    Raises:
        ValueError: if it takes more than a line of text.
    """
    said = re.sub(r"\\sqrt\{(\w+)\}", r"√\1", latex)
    said = re.sub(r"\\(min|max|log|ln|exp)\b", r"\1", said).replace(r"\cdot", "·")
    said = re.sub(r"(?<=[_^])\{([\w+-]+)\}", r"\1", said)
    if left := re.search(r"\\\w*|[{}]", said):
        raise ValueError(f"the formula {latex!r} of a choice is kept as text, which has no "
                         f"{left[0]}: write it with less, or in words")
    return said


def complete(latex, tree):
    """Refuses what latex2mathml lets pass: an open brace, a fraction without its lower part.

    Raises:
        ValueError: says what is missing.
    """
    braces = re.sub(r"\\\\|\\[{}]", "", latex)
    if braces.count("{") != braces.count("}"):
        raise ValueError("its braces do not match")
    for element in tree.iter():
        name = element.tag.rpartition("}")[2]
        if len(element) != PARTS.get(name, len(element)):
            raise ValueError(f"a part of {name} is missing")


def balanced(inner):
    """Whether no `</mrow>` closes one that was opened outside."""
    depth = 0
    for close in re.findall(r"<(/?)mrow>", inner):
        depth += -1 if close else 1
        if depth < 0:
            return False
    return depth == 0


def inline(text):
    """A line of Markdown (`code`, $formulas$, *emphasis*, **bold**, [links](https://…)) as HTML."""
    parts = re.split(r"(`[^`]+`|\$[^$]+\$)", text)
    for at, part in enumerate(parts):
        if part.startswith("`"):
            parts[at] = f"<code>{html.escape(part[1:-1], quote=False)}</code>"
        elif part.startswith("$"):
            parts[at] = mathml(part[1:-1])
        else:
            part = html.escape(part, quote=False).replace("'", "\u2019")
            part = re.sub(r'"([^"]*)"', "\u201c\\1\u201d", part)
            part = OUT.sub(r'<a href="\2" rel="noopener">\1</a>', part)
            part = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", part)
            parts[at] = re.sub(r"\*([^*]+)\*", r"<em>\1</em>", part)
    return "".join(parts)


MATH = r"<math(?![^>]*block)[^>]*>.*?</math>"
TOUCHING = re.compile(rf'([(\[“‘]*)(<span class="long"[^>]*>{MATH}</span>|{MATH})'
                      r"((?:th\b)?[-,.;:!?)\]”’…]*)", re.DOTALL)


def together(body):
    """A page's HTML in which no line ends between a formula and the marks that touch it.

    >>> together("(of <math>x</math>), <math>y</math> too")
    '(of <span class="nb"><math>x</math>),</span> <math>y</math> too'
    """
    return TOUCHING.sub(lambda found: f'<span class="nb">{found[0]}</span>'
                        if found[1] or found[3] else found[0], body)


def display(latex):
    """A formula of its own: its MathML, and its number or None."""
    latex = re.sub(r"^\\\[|\\\]$", "", latex.strip())
    tag = TAG.search(latex)
    latex = TAG.sub("", latex).strip()
    star = re.match(r"\\begin\{(align|gather|equation)\*?\}(.*)\\end\{\1\*?\}$", latex, re.S)
    if star:
        inner = star[2].strip()
        latex = inner if star[1] == "equation" else rf"\begin{{aligned}}{inner}\end{{aligned}}"
    elif r"\\" in latex and r"\begin" not in latex:
        latex = rf"\begin{{aligned}}{latex}\end{{aligned}}"
    return mathml(latex, "block"), tag and tag[1]


def visit_math(writer, node):
    """Sphinx's hook for a formula in the line; a long one scrolls where a phone ends."""
    drawn = of_page(writer, node, mathml)
    long = len(re.sub(r"<[^>]*>", "", drawn)) > LONG
    writer.body.append(f'<span class="long" tabindex="0">{drawn}</span>' if long else drawn)
    raise nodes.SkipNode


def visit_displaymath(writer, node):
    """Sphinx's hook for a formula of its own, with its number beside it."""
    body, number = of_page(writer, node, display)
    anchor = f"eq-{number.replace('.', '-')}" if number else None
    name = f' id="{anchor}"' if number else ""
    link = f'<a class="eqno" href="#{anchor}">({html.escape(number)})</a>' if number else ""
    writer.body.append(f'<div class="eq"{name} tabindex="0">{body}{link}</div>\n')
    raise nodes.SkipNode


def of_page(writer, node, convert):
    """A node's formula, converted; of one that cannot be, file, cell and formula are told."""
    try:
        return convert(node.astext())
    except ValueError as error:
        place = str(writer.document["source"]).rpartition("/book/")[2]
        cell = f", cell {node.line // 10000}" if (node.line or 0) >= 10000 else ""
        faults.tell(writer.builder.app, writer.docnames[0], f"{place}{cell}: {error}")
        return convert("?")
