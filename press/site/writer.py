"""From nodes to HTML: as little of it as says what there is to say.

No classes that no style reads, code in five colours, tables that scroll in a box of their own.
"""

import re
from pathlib import Path

from docutils import nodes
from sphinx.writers.html5 import HTML5Translator

from . import svg
from .elements import change, close_element, element, open_element, pre, start_tag
from .figures import image
from .highlight import OPTION

SHORT = 18  # signs of code that every line has room for
WORDS = 24  # signs of a table's cell that may not become a tower of words
JOINT = re.compile(r"(?<=\w\w)(?:_|::|/|\.)(?=\w\w)")
WHOLE = re.compile(rf"{OPTION.pattern}|//|-&gt;")  # of code: no line ends in any of these
LENGTHY = re.compile(r"\S{25,}")  # a name that a line of text has no room for
NUMBERED = re.compile(r"\b([Cc]hapter|[Ee]xercise|[Ff]igure|[Cc]laim) (?=[A-Z]?\d)")


class Writer(HTML5Translator):
    """Sphinx's writer with the book's own HTML for what the book uses."""

    in_table = False
    visit_element = open_element
    depart_element = close_element

    def visit_section(self, node):
        self.section_level += 1
        attributes = {name: value for name, value in
                      (("class", " ".join(c for c in node["classes"] if not c.endswith("_ignore"))),
                       ("id", (node["ids"] or [""])[0]), *node.get("html", {}).items()) if value}
        self.body.append(start_tag("section", attributes))
        self.body += [f'<span id="{id}"></span>' for id in node["ids"][1:]]

    def visit_title(self, node):
        if not isinstance(node.parent, nodes.section):
            return super().visit_title(node)
        level = min(self.section_level, 6)
        self.body.append(f"<h{level}>")
        ids = node.parent["ids"]
        link = f'<a class="headerlink" href="#{ids[0]}" aria-label="Link to this section">#</a>'
        self.context.append(f"{link if ids and level > 1 else ''}</h{level}>\n")

    def depart_title(self, node):
        if not isinstance(node.parent, nodes.section):
            return super().depart_title(node)
        self.body.append(self.context.pop())

    def visit_literal(self, node):
        """A short name stands in one line; a long one may end a line at its joints."""
        code = jointed(self.encode(node.astext()))
        self.body.append(f'<code class="nb">{code}</code>' if len(node.astext()) <= SHORT else
                         "<code>" + WHOLE.sub(r'<span class="nb">\g<0></span>', code) + "</code>")
        raise nodes.SkipNode

    def visit_Text(self, node):
        """A number stays with what it counts; a long name may end a line at its joints."""
        start = len(self.body)
        super().visit_Text(node)
        said = NUMBERED.sub("\\1\u00a0", "".join(self.body[start:]))
        self.body[start:] = [jointed(said) if self.in_table else
                             LENGTHY.sub(lambda name: jointed(name[0]), said)]

    def visit_literal_block(self, node):
        language = node.get("language", "")
        if language == "diff":
            self.body.append(change(node.astext()))
            raise nodes.SkipNode
        known = "python" if language in ("python", "ipython3", "pycon") else language
        self.body.append(pre(node.astext(), known))
        raise nodes.SkipNode

    def visit_doctest_block(self, node):
        self.visit_literal_block(node)

    def visit_reference(self, node):
        target = node.get("refuri", "")
        if not node.get("internal") and "://" in target:
            attributes = {"href": target, "rel": "noopener"}
        else:
            attributes = {"href": target if "refuri" in node else f'#{node["refid"]}'}
        if "ref" in node["classes"]:
            attributes["class"] = "ref"
        self.body.append(start_tag("a", attributes))

    def depart_reference(self, node):
        self.body.append("</a>")

    def visit_inline(self, node):
        if not self.named(node):
            super().visit_inline(node)

    def depart_inline(self, node):
        if not self.named(node):
            super().depart_inline(node)

    def named(self, node):
        """Whether a span only says what kind of reference it stands in."""
        return bool({"std", "doc", "std-doc", "std-ref", "xref", "myst"} & set(node["classes"]))

    def visit_bullet_list(self, node):
        self.body.append(self.starttag_with_id(node, "ul"))

    def depart_bullet_list(self, node):
        self.body.append("</ul>\n")

    def visit_enumerated_list(self, node):
        self.body.append(self.starttag_with_id(node, "ol"))

    def depart_enumerated_list(self, node):
        self.body.append("</ol>\n")

    def starttag_with_id(self, node, tag):
        return start_tag(tag, {"id": node["ids"][0]} if node["ids"] else {})

    def visit_block_quote(self, node):
        self.body.append("<blockquote>")

    def depart_block_quote(self, node):
        self.body.append("</blockquote>\n")

    def visit_table(self, node):
        columns = list(zip(*([cell.astext() for cell in row] for row in node.findall(nodes.row))))
        self.names_rows = not columns[0][0].strip()  # what has no name itself
        self.body.append('<div class="scroll" tabindex="0">' + start_tag("table", below(columns)))
        self.in_table = True

    def depart_table(self, node):
        self.in_table = False
        self.body.append("</table></div>\n")

    def visit_tgroup(self, node):
        node.stubs = []

    def depart_tgroup(self, node):
        pass

    def visit_colspec(self, node):
        raise nodes.SkipNode

    def visit_row(self, node):
        self.body.append("<tr>")

    def depart_row(self, node):
        self.body.append("</tr>\n")

    def visit_entry(self, node):
        head = isinstance(node.parent.parent, nodes.thead)
        kinds = [c for c in node["classes"] if c.startswith("text-") and c != "text-left"]
        kinds += ["words"] * (len(node.astext()) > WORDS)
        names = head or self.names_rows and node is node.parent[0]
        tag = "th" if names and node.astext().strip() else "td"
        attributes = {"scope": "col" if head else "row"} if tag == "th" else {}
        if kinds:
            attributes["class"] = " ".join(kinds)
        self.body.append(start_tag(tag, attributes))
        self.context.append(f"</{tag}>")

    def depart_entry(self, node):
        self.body.append(self.context.pop())

    def visit_image(self, node):
        source = Path(self.builder.srcdir) / node["uri"]
        if source.suffix != ".png" or not source.exists():
            return super().visit_image(node)
        drawn = source.with_suffix(".svg")
        if drawn.exists():
            shown = svg.inline(drawn.read_text(encoding="utf-8"), node.get("alt", ""), drawn.stem)
            self.body.append(f'<span class="drawn">{shown}</span>')
            raise nodes.SkipNode
        root = "../" * self.docnames[0].count("/")
        self.body.append(image(source.read_bytes(), node.get("alt", ""),
                               Path(self.builder.outdir) / "_images", root))
        raise nodes.SkipNode

    def visit_rubric(self, node):
        self.body.append('<p class="rubric">')

    def depart_rubric(self, node):
        self.body.append("</p>")


def jointed(text):
    """HTML in which long names may end a line at their joints."""
    return JOINT.sub(r"\g<0><wbr>", text)


def below(columns):
    """What a table's tag says if its last or its first column holds sentences.

    On a phone such a sentence has a line of its own, below or above the rest of its row.
    """
    widths = [len(text) for text in columns[-1][1:]]
    first = max(map(len, columns[0]))
    last = max(widths) > 2 * WORDS or sum(n > WORDS for n in widths) >= len(columns[-1]) / 2
    kinds = ["below"] * last + ["told"] * (first > 2 * WORDS)
    if len(columns) < 3 or not kinds:
        return {}
    return {"class": " ".join(kinds),
            "style": f"--n:{len(columns) - 1 - last};--first:{min(7.75, 0.6 * first + 1):g}rem"}


def connect(app):
    """Make this the writer of the site, also after other themes' extensions had their say."""
    app.add_node(element, html=(open_element, close_element))
    app.connect("builder-inited", lambda app: app.set_translator("html", Writer, override=True),
                priority=900)
