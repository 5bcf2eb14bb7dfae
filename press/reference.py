"""The reference of attnlib, a page for each module, printed from the syntax tree.

Nothing is imported, so that neither the site nor a reader's machine needs torch for it. What is
printed is plain Markdown: a heading, the signature, then the docstring, whose names are links.
"""

import ast
import functools
import inspect
import re
import textwrap
from dataclasses import dataclass

from .chapters import ROOT

PACKAGE = ROOT / "attnlib"
INDEX = ROOT / "book" / "attnlib.md"
PAGES = ROOT / "book" / "reference"
TRANSFORMS = ROOT / "tests" / "transforms.md"  # what runs under what, each cell a test
MODULES = {  # in the order of the book
    "attention": "Attention",
    "masks": "Masks",
    "positions": "Positions",
    "heads": "Heads",
    "layers": "Layers",
    "multilevel": "Multi-level attention",
    "parts": "Parts of a Transformer",
    "diagnostics": "Diagnostics",
    "tasks": "Tasks",
    "training": "Training",
    "tables": "Tables",
    "plots": "Figures",
    "claims": "Claims",
    "play": "Figures to play with",
    "exercises": "Exercises",
}
PACKAGES = ("play", "exercises")  # their names are those that the package imports
OPENING = """\
# attnlib

The library of the book, one function per equation. Each page below opens with what a module is
for; each name has its signature, what goes in, what comes out, what it raises, its source and an
example that runs.

What `attnlib` itself has is imported from there: `from attnlib import attention`. The rest stands
in its module: `from attnlib import tasks`. Layers and multi-level attention need PyTorch, and so
do `train` and `accuracy` of the tasks.
"""
WIDTH = 79  # columns of a signature, as in a chapter
INLINE = re.compile(r"``(?P<code>.+?)``|:math:`(?P<math>.+?)`|`(?P<name>[^`]+)`", re.DOTALL)
SECTION = re.compile(r"(Args|Returns|Yields|Raises):")
NAMED = re.compile(r"(?P<names>[\w*]+(?:, [\w*]+)*): (?P<text>.*)", re.DOTALL)
TITLES = {"Args": "Arguments"}


@dataclass(frozen=True)
class Name:
    """A public name: where it is described, and the node that defines it."""

    path: str  # as it is written after the module: `softmax`, `KeyValueCache.copy`
    module: str
    node: ast.FunctionDef | ast.ClassDef

    @property
    def anchor(self):
        """The name of its heading in an address, as GitHub and MyST make it."""
        return re.sub(r"[^\w-]", "", self.path.lower())

    @property
    def docstring(self):
        """What it says of itself; empty if nothing."""
        return ast.get_docstring(self.node) or ""

    @property
    def summary(self):
        """The first paragraph of its docstring, in one line."""
        return self.docstring.partition("\n\n")[0].replace("\n", " ")


def tree(module):
    """The syntax tree of a module of attnlib, or of a package's `__init__`."""
    path = PACKAGE / f"{module.replace('.', '/')}.py"
    path = path if path.exists() else path.with_suffix("") / "__init__.py"
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def names(module):
    """The public names of a module, in the order of its file, methods after their class."""
    found = []
    for node in tree(module).body:
        if isinstance(node, ast.ImportFrom) and module in PACKAGES:
            inside = {each.name: each for each in tree(f"{module}.{node.module}").body
                      if isinstance(each, (ast.FunctionDef, ast.ClassDef))}
            found += [Name(alias.name, module, inside[alias.name]) for alias in node.names]
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and public(node, module):
            found.append(Name(node.name, module, node))
            methods = node.body if isinstance(node, ast.ClassDef) else ()
            found += [Name(f"{node.name}.{method.name}", module, method) for method in methods
                      if isinstance(method, ast.FunctionDef) and method.name[0] != "_"
                      and ast.get_docstring(method)]
    return tuple(found)


def public(node, module):
    """Whether a function or class is for readers: the mathematics lists its own in attnlib."""
    import attnlib

    if node.name[0] == "_":
        return False
    whole = ("parts", "tasks", "training", "tables", "plots", "claims")
    return module in whole or node.name in attnlib.__all__


def page(module):
    """The page of a module, as Markdown."""
    opening = ast.get_docstring(tree(module))
    parts = [f"# {MODULES[module]}", f"`attnlib.{module}`", *markdown(opening, module)]
    for name in names(module):
        level = "###" if "." in name.path else "##"
        parts += [f"{level} `{name.path}`", fenced(signature(name), "python"),
                  *markdown(name.docstring, module, name.path)]
    return "\n\n".join(parts) + "\n"


def index():
    """The page that lists every name, as Markdown."""
    parts = [OPENING.rstrip("\n")]
    for module, title in MODULES.items():
        rows = [f"| {link(name)} | {cell(name)} |"
                for name in names(module) if "." not in name.path]
        parts += [f"## [{title}](reference/{module}.md)",
                  "\n".join(["| name | what it is |", "|---|---|", *rows])]
    return "\n\n".join([*parts, TRANSFORMS.read_text(encoding="utf-8")])


def cell(name):
    """What a name is, for a cell of a table, where a bar ends the cell."""
    return inline(name.summary, None, name.path).replace("|", r"\|")


def link(name, from_module=None):
    """A link to a name, from the page of a module or (without one) from the index."""
    folder = "" if from_module else "reference/"
    file = "" if name.module == from_module else f"{folder}{name.module}.md"
    return f"[`{name.path}`]({file}#{name.anchor})"


# Signatures.


def signature(name):
    """How a name is called, as it stands in the file: `softmax(scores, axis=-1)`."""
    node = name.node
    if isinstance(node, ast.ClassDef):
        constructor = next((child for child in node.body if isinstance(child, ast.FunctionDef)
                            and child.name == "__init__"), None)
        if constructor:
            return call(node.name, constructor.args, method=True)
        fields = [ast.unparse(child) for child in node.body if isinstance(child, ast.AnnAssign)]
        return laid_out(node.name, fields)
    if "property" in map(ast.unparse, node.decorator_list):
        return name.path
    static = "staticmethod" in map(ast.unparse, node.decorator_list)
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return call(name.path, node.args, "." in name.path and not static, returned)


def call(name, arguments, method=False, returned=""):
    """A name and its arguments; a method's `self` is not one that a caller gives."""
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + arguments.defaults
    parts = [given(*pair) for pair in zip(plain, defaults, strict=True)]
    if arguments.posonlyargs:
        parts.insert(len(arguments.posonlyargs), "/")
    if arguments.vararg:
        parts.append(f"*{given(arguments.vararg)}")
    elif arguments.kwonlyargs:
        parts.append("*")
    parts += map(given, arguments.kwonlyargs, arguments.kw_defaults)
    if arguments.kwarg:
        parts.append(f"**{given(arguments.kwarg)}")
    return laid_out(name, parts[1:] if method else parts, returned)


def given(argument, default=None):
    """One argument with what it is if it is not given: `axis=-1`, `layers: int = 2`."""
    equals = " = " if argument.annotation else "="
    return ast.unparse(argument) + (f"{equals}{ast.unparse(default)}" if default else "")


def laid_out(name, parts, returned=""):
    """`name(part, part) -> returned`, broken where a line gets too wide."""
    lines, indent = [f"{name}("], " " * (len(name) + 1)
    for number, part in enumerate(parts):
        part += "," if number + 1 < len(parts) else f"){returned}"
        if len(lines[-1]) + 1 + len(part) > WIDTH:
            lines.append(indent + part)
        else:
            lines[-1] += part if lines[-1].endswith("(") else f" {part}"
    return "\n".join(lines) if parts else f"{name}(){returned}"


# Docstrings.


def markdown(docstring, module, path=""):  # without a path, the module's own docstring
    """A docstring as blocks of Markdown: paragraphs, lists of arguments, examples."""
    for block in docstring.split("\n\n"):
        section = SECTION.match(block)
        if block.startswith(">>>"):
            yield fenced(block, "pycon")
        elif section:
            entries = re.split(r"\n(?! )", inspect.cleandoc(block[section.end():]))
            yield f"**{TITLES.get(section[1], section[1])}**"
            named = [NAMED.fullmatch(entry) for entry in entries]
            if section[1] in ("Args", "Raises") or len(entries) > 1 and all(named):
                yield "\n".join(listed(entry, module, path) for entry in named)
            else:
                yield inline("\n".join(entries), module, path)
        else:
            yield inline(block, module, path)


def listed(entry, module, path):
    """`names: text` as an entry of a list."""
    words = textwrap.indent(inline(inspect.cleandoc(entry["text"]), module, path), "  ")
    return f"- {', '.join(f'`{name}`' for name in entry['names'].split(', '))}: {words.strip()}"


def inline(text, module, path):
    """Text whose code, formulas and names are Markdown; a name that attnlib has is a link."""
    def replaced(match):
        if match["code"]:
            return f"`{match['code']}`"
        if match["math"]:
            return f"${match['math']}$"
        if not path and match["name"] in MODULES:
            return f"[`{match['name']}`]({match['name']}.md)"
        found = find(match["name"], module, path)
        return link(found, module) if found else f"`{match['name']}`"

    return INLINE.sub(replaced, text)


def find(name, module, path):
    """The name that a docstring means: one of its own class, its module, or any module."""
    own_class = path.partition(".")[0]
    order = [other for each in sorted(MODULES, key=lambda each: each != module)
             for other in names(each)]
    for wanted in (f"{own_class}.{name}", name):
        found = next((other for other in order if other.path == wanted), None)
        if found:
            return None if found.path == path and found.module == module else found
    return None


def fenced(code, language):
    """A block of code."""
    return f"```{language}\n{code}\n```"


# Printing.


def printed():
    """{path: text} of every page of the reference."""
    return {INDEX: index(), **{PAGES / f"{module}.md": page(module) for module in MODULES}}


def print_pages():
    """Write every page; return the paths whose text changed."""
    PAGES.mkdir(exist_ok=True)
    wanted = printed()
    changed = [path for path in PAGES.glob("*.md") if path not in wanted]
    for path in changed:
        path.unlink()
    for path, words in wanted.items():
        if not path.exists() or path.read_text(encoding="utf-8") != words:
            path.write_text(words, encoding="utf-8")
            changed.append(path)
    return changed


def stale():
    """One line for each page that is not what `make student` prints."""
    wanted = printed()
    return [f"{path.relative_to(ROOT)} is stale: run `make student` and commit it"
            for path in sorted({*wanted, *PAGES.glob("*.md")})
            if not path.exists() or wanted.get(path) != path.read_text(encoding="utf-8")]
