"""The pages about attnlib, printed from its syntax tree, beside what Python says of it."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from operator import attrgetter

import pytest

import attnlib
from attnlib import play
from press import reference

NAMES = [name for module in reference.MODULES for name in reference.names(module)]
EACH = pytest.mark.parametrize("name", NAMES, ids=lambda name: f"{name.module}.{name.path}")


def thing(name):
    """What a name of the reference is in Python."""
    return attrgetter(name.path)(importlib.import_module(f"attnlib.{name.module}"))


def test_every_public_name_is_described():
    described = {(name.module, name.path) for name in NAMES if "." not in name.path}
    wanted = {(getattr(attnlib, name).__module__.removeprefix("attnlib."), name)
              for name in attnlib.__all__}
    for module in ("parts", "tasks", "training", "tables", "plots", "claims"):
        defined = vars(importlib.import_module(f"attnlib.{module}"))
        wanted |= {(module, name) for name, thing in defined.items() if name[0] != "_"
                   and getattr(thing, "__module__", "") == f"attnlib.{module}"}
    wanted |= {("exercises", name)
               for name in ("case", "check", "hint", "progress", "get", "exercises",
                             "passage", "project")}
    wanted |= {("play", name) for name in play.__all__}
    assert described == wanted and len(wanted) > 50


def test_no_module_of_the_mathematics_is_left_out():
    files = {path.stem for path in reference.PACKAGE.glob("*.py")}
    defining = {getattr(attnlib, name).__module__.removeprefix("attnlib.")
                for name in attnlib.__all__}
    assert defining <= reference.MODULES.keys() <= files | set(reference.PACKAGES)


@EACH
def test_a_signature_is_what_inspect_says(name):
    printed, found = reference.signature(name), thing(name)
    if isinstance(found, property):
        assert printed == name.path
        return
    arguments = printed.removeprefix(name.path).partition(" -> ")[0]
    scope = dict(vars(importlib.import_module(f"attnlib.{name.module}")))
    exec(f"def printed{arguments}: ...", scope)

    def plain(signature, skip=0):
        return [(p.name, p.kind, p.default) for p in signature.parameters.values()][skip:]

    own = "." in name.path and not isinstance(inspect.getattr_static(
        thing(reference.Name(name.path.partition(".")[0], name.module, None)),
        name.path.partition(".")[2]), staticmethod)
    assert plain(inspect.signature(scope["printed"])) == plain(inspect.signature(found), own)
    assert all(len(line) <= reference.WIDTH for line in printed.splitlines())


@EACH
def test_a_description_is_markdown_alone(name):
    words = "\n\n".join(reference.markdown(name.docstring, name.module, name.path))
    text = re.sub(r"```.*?```|`[^`]+`", "", words, flags=re.DOTALL)
    assert text.strip() and not re.search(r"``|:\w+:`|`|^(Args|Returns|Raises):", text, re.M)
    for section in ("Args", "Returns", "Raises"):
        told = reference.TITLES.get(section, section)
        assert (f"**{told}**" in words) == (f"\n{section}:\n" in name.docstring)


def test_every_link_of_the_reference_leads_to_a_heading():
    pages, broken = reference.printed(), []
    anchors = {path: {re.sub(r"[^\w-]", "", heading.lower())
                      for heading in re.findall("^#+ (.+)", words, re.M)}
               for path, words in pages.items()}
    links = 0
    for path, words in pages.items():
        for file, anchor in re.findall(r"\]\(([\w/]*(?:\.md)?)#?([\w-]*)\)", words):
            links += 1
            target = path.parent / file if file else path
            if target not in pages or anchor and anchor not in anchors[target]:
                broken.append(f"{path.name}: {file}#{anchor}")
    assert links > 100 and not broken


def test_the_reference_is_printed_as_the_library_is():
    assert not reference.stale()


def test_the_pages_hide_no_package_from_the_chapters():
    """A folder beside the notebooks with a package's name would be imported in its stead."""
    folders = {path.name for path in (reference.ROOT / "book").iterdir() if path.is_dir()}
    assert not folders & {"attnlib", "press", "classroom", "numpy", "torch", "matplotlib"}


def test_a_page_that_is_stale_missing_or_too_much_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    monkeypatch.setattr(reference, "INDEX", tmp_path / "attnlib.md")
    monkeypatch.setattr(reference, "PAGES", tmp_path / "reference")
    assert len(reference.print_pages()) == len(reference.MODULES) + 1 and not reference.stale()
    assert not reference.print_pages()
    (tmp_path / "reference" / "masks.md").unlink()
    (tmp_path / "reference" / "heads.md").write_text("old")
    (tmp_path / "reference" / "gone.md").write_text("of a module that is gone")
    assert [line.partition(" is stale")[0] for line in reference.stale()] == [
        "reference/gone.md", "reference/heads.md", "reference/masks.md"]
    reference.print_pages()
    assert not reference.stale()


def test_the_reference_needs_no_torch():
    code = ("import sys; sys.modules['torch'] = None; from press import reference; "
            "print(len(reference.printed()), 'attnlib.layers' in sys.modules)")
    said = subprocess.run([sys.executable, "-c", code], cwd=reference.ROOT, check=True, text=True,
                          capture_output=True).stdout
    assert said.split() == [str(len(reference.MODULES) + 1), "False"]


@pytest.mark.parametrize("source, printed", [
    ("def f(): ...", "f()"),
    ("def f(a, /, b, *c, d=(1, 2), **e) -> int: ...", "f(a, /, b, *c, d=(1, 2), **e) -> int"),
    ("def f(a: int = 2, *, b='x, y'): ...", "f(a: int = 2, *, b='x, y')"),
    ("class C:\n def __init__(self, a, *, b=1): ...", "C(a, *, b=1)"),
    ("class C:\n a: int\n b: str = 'x'", "C(a: int, b: str = 'x')"),
])
def test_signatures_of_every_form(source, printed):
    node = ast.parse(source).body[0]
    assert reference.signature(reference.Name(node.name, "tasks", node)) == printed


def test_what_is_returned_together_is_a_list_and_one_thing_is_not():
    several = "One.\n\nReturns:\n    output: a sum,\n        of all.\n    lse: its log."
    assert list(reference.markdown(several, "tasks", "f")) == [
        "One.", "**Returns**", "- `output`: a sum,\n  of all.\n- `lse`: its log."]
    single = "One.\n\nReturns:\n    output: one thing."
    assert list(reference.markdown(single, "tasks", "f")) == [
        "One.", "**Returns**", "output: one thing."]
