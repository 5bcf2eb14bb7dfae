"""What a chapter must keep to. Each fault names file, cell and remedy."""

import ast
import re

from .chapters import HEADING, TAGS, marker, tags, toc_files

DIRECTIVE = re.compile(r"^\s*(?:`{3,}|~{3,}|:{3,})\s*\{[\w:-]+\}|^\s*\(\S+\)=\s*$", re.MULTILINE)
ROLE = re.compile(r"\{[\w:-]+\}`")
RAW_HTML = re.compile(r"</?[a-zA-Z][^<>]*>|<!--")
CODE = re.compile(r"^(`{3,}|~{3,})(?!\{).*?^\1\s*$|(`+)[^`].*?\2", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([\w-]+)\.(?:ipynb|md)(?:#[\w-]*)?\)")
MARKUP_OF_OTHERS = {"nbval-ignore-output", "nbval-skip", "raises-exception"}


def faults(chapter, exercise_ids):
    """Every fault of a chapter, each one line of text: file, cell, what is wrong, what to do.

    Args:
        chapter: a `Chapter`.
        exercise_ids: the ids that attnlib's registry has for this chapter.
    """
    cellwise = (unexecuted, unknown_tags, markup, links, figure_without_alt)
    found = [f"{chapter.where(i)}: {fault}" for i, cell in enumerate(chapter.cells)
             for rule in cellwise for fault in rule(cell)]
    found += play_under_its_picture(chapter)
    order = list(cell_order(chapter))
    if order:
        return found + order
    return found + list(registered(chapter, exercise_ids)) + list(borrowed_names(chapter))


def unexecuted(cell):
    """A code cell without an execution count: nbval would compare nothing."""
    if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
        yield "not executed, so its output is not proved: run `make notebooks`"


def unknown_tags(cell):
    """A tag nobody reads, most often a typing error."""
    for tag in tags(cell):
        if tag not in TAGS and tag not in MARKUP_OF_OTHERS:
            yield f"unknown tag {tag!r}: use one of {', '.join(TAGS)}"


def markup(cell):
    """Markup that Colab, JupyterLab or GitHub would show raw."""
    if cell.cell_type != "markdown":
        return
    if DIRECTIVE.search(cell.source):
        yield "a directive or target shows as raw text in Colab: write plain Markdown"
    text = CODE.sub("", cell.source)
    if ROLE.search(cell.source):
        yield "a role shows as raw text in Colab: write an ordinary link or `code`"
    if RAW_HTML.search(re.sub(r"<https?://[^>]*>|\$[^$]*\$", "", text)):
        yield "raw HTML is stripped by GitHub: write plain Markdown"


def links(cell):
    """A link to a page that the book does not have."""
    if cell.cell_type == "markdown":
        for stem in LINK.findall(cell.source):
            if f"book/{stem}" not in toc_files():
                yield (f"links to {stem}, which _toc.yml does not list: list it, or take the link "
                       "out")


def figure_without_alt(cell):
    """A picture that a screen reader cannot read."""
    draws = any("image/png" in out.get("data", {}) for out in cell.get("outputs", []))
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
    if draws and "figure" not in tags(cell):
        yield "draws a picture: tag it `figure` and give it an alt text"
    if "figure" in tags(cell) and len(alt.split()) < 6:
        yield ("a figure needs alt text that says what it shows: put it in the cell's metadata, "
               '{"mystnb": {"image": {"alt": "..."}}}')


def play_under_its_picture(chapter):
    """A figure to play with needs a still one, for paper and for whoever runs no script."""
    for i, _ in chapter.tagged("play"):
        if i == 0 or "figure" not in tags(chapter.cells[i - 1]):
            yield (f"{chapter.where(i)}: a figure to play with stands directly under its picture: "
                   "put a `figure` cell on the same thing above it")


def cell_order(chapter):
    """exercise, stub, check, solution..., then the next heading."""
    cells = chapter.cells
    roles = [next((t for t in tags(c) if t in TAGS[:4]), None) for c in cells]
    inside = None
    for i, (cell, role) in enumerate(zip(cells, roles)):
        before = roles[i - 1] if i else None
        if role == "exercise":
            heading = HEADING.match(cell.source)
            if not heading:
                yield (f"{chapter.where(i)}: an exercise begins with a heading like "
                       "`### Exercise 2.3 ★★ · Title`")
            inside = heading and heading["id"]
            following = tuple(roles[i + 1:i + 4])
            if following != ("stub", "check", "solution"):
                yield (f"{chapter.where(i)}: an exercise is followed by cells tagged stub, check, "
                       f"solution, in this order; found {', '.join(map(str, following))}")
        elif role == "solution" and before not in ("check", "solution"):
            yield f"{chapter.where(i)}: a solution stands right after its check"
        elif role in ("stub", "check") and before != {"stub": "exercise", "check": "stub"}[role]:
            before = "exercise" if role == "stub" else "stub"
            yield f"{chapter.where(i)}: a {role} stands after its {before}"
        elif role is None and inside and before == "solution" and not cell.source.startswith("#"):
            yield (f"{chapter.where(i)}: no untagged cell stands between an exercise and the next "
                   "heading: tag it `solution` or move it")
        if role == "stub" and inside and not cell.source.startswith(f"{marker(inside)}\n"):
            yield f"{chapter.where(i)}: the first line of this stub is `{marker(inside)}`"
        if role == "check" and inside and not re.fullmatch(
                rf'check\("{inside}", \w+\)', cell.source.strip()):
            yield f'{chapter.where(i)}: a check is one line, `check("{inside}", your_function)`'
        last = i + 1 == len(cells) or roles[i + 1] != "solution"
        if role == "solution" and last and f'check("{inside}"' not in cell.source:
            yield f'{chapter.where(i)}: the last solution cell calls check("{inside}", ...) again'
        if (role == "solution" and cell.cell_type == "markdown"
                and re.search(r"^#{1,6} ", cell.source, re.M)):
            yield f"{chapter.where(i)}: a heading would end the solution's box: use bold words"
        if role is None and cell.source.startswith("#") and cell.cell_type == "markdown":
            inside = None


def registered(chapter, exercise_ids):
    """The notebook's exercises are the registry's."""
    here = [exercise.id for exercise in chapter.exercises]
    for twice in sorted({id for id in here if here.count(id) > 1}):
        yield f"{chapter.path.name}: exercise {twice} stands twice: give one of them a new id"
    for exercise in chapter.exercises:
        if exercise.id not in exercise_ids:
            yield (f"{chapter.where(exercise.start)}: exercise {exercise.id} is not in "
                   "attnlib.exercises: add it to the chapter's module there")
    for missing in sorted(set(exercise_ids) - set(here)):
        yield (f"{chapter.path.name}: exercise {missing} of attnlib.exercises has no cell here: "
               "add its exercise, stub, check and solution")


def borrowed_names(chapter):
    """No other cell uses a name that a stub or a solution defines."""
    within = {i for e in chapter.exercises for i in range(e.start, e.check + 1 + len(e.solution))}
    defined = {}
    for i in sorted(within):
        if chapter.cells[i].cell_type == "code":
            defined |= dict.fromkeys(_names(chapter.cells[i], ast.Store), i)
    for i, cell in enumerate(chapter.cells):
        if cell.cell_type == "code" and i not in within:
            for name in sorted(_names(cell, ast.Load) & defined.keys()):
                yield (f"{chapter.where(i)}: uses {name!r}, which the exercise in cell "
                       f"{defined[name] + 1} defines; student notebooks lack it: rename one")


def _names(cell, context):
    tree = ast.parse(cell.source)
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, context)}
    if context is ast.Store:
        top = ast.Module(tree.body, [])
        names = {n.id for stmt in top.body if not isinstance(stmt, (ast.FunctionDef, ast.ClassDef))
                 for n in ast.walk(stmt)
                 if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        names |= {s.name for s in tree.body if isinstance(s, (ast.FunctionDef, ast.ClassDef))}
    return names
