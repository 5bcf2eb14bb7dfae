"""The map of the house in CONTRIBUTING.md: each module, by the first sentence of its docstring."""

import ast
import re

from .chapters import ROOT

PAGE = ROOT / "CONTRIBUTING.md"
FOLDERS = ("attnlib", "attnlib/exercises", "attnlib/running", "attnlib/play", "press",
           "press/site", "classroom", "classroom/sandbox", "proofs", "proofs/students",
           "proofs/strangers", "proofs/retold", "benchmarks")
PLACE = re.compile(r"(?<=<!-- map: printed by `make student` -->\n).*?(?=<!-- end of the map -->)",
                   re.DOTALL)


def print_map():
    """CONTRIBUTING.md with its map as the modules are now."""
    parts = []
    for folder in FOLDERS:
        modules = sorted((ROOT / folder).glob("*.py"))
        modules = [path for path in modules if not re.match(r"ch\d\d_|__main__", path.name)]
        lines = [f"- `{path.name}`: {sentence(path)}" for path in modules
                 if path.name != "__init__.py"]
        if folder == "attnlib/exercises":
            lines.append("- `chNN_*.py`: a chapter's exercises: what they ask, and what people "
                         "answer.")
        parts.append("\n".join([f"**`{folder}/`** {sentence(ROOT / folder / '__init__.py')}", "",
                                *lines, ""]))
    text = "\n".join(parts)
    return PLACE.sub(lambda _: f"\n{text}\n", PAGE.read_text(encoding="utf-8"))


def sentence(path):
    """The first sentence of a module's docstring."""
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    words = " ".join(said.partition("\n\n")[0].split()).replace("``", "`")
    return re.match(r".*?[.?](?= [A-Z`]|$)|.*", words)[0]
