"""The first cell of every notebook that leaves the checkout: it finds attnlib, or installs it.

What attnlib needs is read from pyproject.toml, its address from _config.yml; a notebook holds both
as they were when it was printed. It goes on working after the book has moved on: it takes attnlib
of its own version or a newer one that is compatible (`0.2.3` for `0.2.0`), from the tag of its
version or, where there is none, from the branch.
"""

import re
import string
import tomllib

from .address import branch, repository
from .chapters import ROOT

GIVEN = ("numpy", "matplotlib")  # what a notebook never installs: changing it needs a restart
SET_UP = string.Template('''\
# @title Set-up: run this cell first
# It takes the attnlib that is here, else that of the checkout above this notebook, else installs
# it from its repository. numpy, matplotlib and torch stay as they are.
import importlib, importlib.metadata, pathlib, re, subprocess, sys

VERSION, REPOSITORY = "$version", "$repository"

def numbers(version):
    return [int(number) for number in re.findall(r"\\d+", version)[:3]]

def need(name, least, found, remedy):
    if numbers(found) < numbers(least):
        raise RuntimeError(f"{name} {least} or newer is needed, and here is {found}: {remedy}, "
                           "then run this cell again")

def installed(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"

def ready():
    importlib.invalidate_caches()
    try:
        found = numbers(getattr(importlib.import_module("attnlib"), "__version__", "0"))
    except ImportError:
        return False
    return found[:2] == numbers(VERSION)[:2] and found >= numbers(VERSION)

def forget():
    for name in [name for name in sys.modules if name.split(".")[0] == "attnlib"]:
        del sys.modules[name]

def install(*wanted):
    done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *wanted],
                          capture_output=True, text=True)
    return done.stdout + done.stderr

need("Python", "$python", sys.version.split()[0], "choose a newer kernel")
for name, least in $given:
    need(name, least, installed(name), f"%pip install --upgrade {name}, restart the kernel")
said = "this copy of the book does not say where its repository is."
if not ready():
    forget()
    sys.path.insert(0, str(pathlib.Path("..").resolve()))
    if not ready():
        sys.path.pop(0)
        for place in $places:
            forget()
            said = install(f"attnlib @ {REPOSITORY}/archive/{place}.zip", f"attnlib~={VERSION}",
                           $needs)
            if ready():
                break
if not ready():
    if re.search("ConnectionPool|timed out|Temporary failure", said):
        said += "Check your connection, then run this cell again."
    elif "ResolutionImpossible" in said:
        said += "The book has moved on since this notebook was printed: take the new notebook."
    raise RuntimeError(f"attnlib {VERSION} is missing, and could not be installed: {said}")
del forget, install, installed, need, numbers, ready''')


def set_up():
    """The source of the set-up cell, as of now."""
    import attnlib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = dict(re.fullmatch(r"([\w-]+)>=([\d.]+)", need).groups()
                  for need in project["dependencies"])
    address = repository()
    return SET_UP.substitute(
        version=attnlib.__version__,
        repository=address or "",
        python=project["requires-python"].removeprefix(">="),
        given=tuple((name, bounds[name]) for name in GIVEN),
        needs=", ".join(f'"{name}>={least}"' for name, least in bounds.items()
                        if name not in GIVEN),
        places=(f"refs/tags/v{attnlib.__version__}", branch()) if address else (),
    )
