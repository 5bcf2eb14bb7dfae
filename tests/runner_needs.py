"""What whoever runs a notebook needs, as pyproject.toml lists it, and what that brings along."""

import ast
import functools
import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOADED = """(lambda homes: json.dumps(
    [homes[name] for name in sorted({name.partition(".")[0] for name in sys.modules})
    if name in homes]))(metadata.packages_distributions())"""
SETTING = "import json, sys; from importlib import metadata"


def needs():
    """{name: requirement} of attnlib and of the notebooks, from pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [*project["dependencies"], *project["optional-dependencies"]["notebooks"]]
    return {canonicalize_name(need.name): need for need in map(Requirement, listed)}


def pins(file):
    """{name: version} of a file of exact versions, as they are for this Python."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if re.match(r"\w", line)]
    assert all(re.fullmatch(r"==[\w.]+", str(need.specifier)) for need in found)
    return {canonicalize_name(need.name): str(need.specifier)[2:] for need in found
            if need.marker is None or need.marker.evaluate()}


def closure(names):
    """The installed distributions that these bring along, themselves included."""
    found, left = set(), list(names)
    while left:
        name = canonicalize_name(left.pop())
        if name not in found:
            found.add(name)
            try:
                brought = map(Requirement, metadata.requires(name) or ())
            except metadata.PackageNotFoundError:  # for another system
                continue
            left += [need.name for need in brought
                     if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found


@functools.cache
def allowed():
    """The distributions that a chapter may import: what Binder has, and what that loads if it is
    there."""
    imports = ("import array_api_compat, ipykernel.kernelapp, matplotlib.pyplot, platformdirs\n"
               "import numpy, sklearn.datasets, torch\n")
    loaded = subprocess.run([sys.executable, "-c", f"{imports}{SETTING}\nprint({LOADED})"],
                            text=True, capture_output=True, check=True).stdout
    there = {canonicalize_name(home) for homes in json.loads(loaded) for home in homes}
    return closure(needs()) | there | {"attnlib"}


def strangers(loaded):
    """The distributions that a kernel loaded and that Binder has not.

    Args:
        loaded: for each package that it loaded, the distributions that have a part in it: several
            for a namespace, of which one suffices.
    """
    homes = [set(map(canonicalize_name, homes)) for homes in loaded]
    return sorted({name for names in homes if not names & allowed() for name in names})


def loaded_by(client):
    """For each package that a kernel has loaded, its distributions, from the client that talks to
    it."""
    expression = f"[exec({SETTING!r}), {LOADED}][1]".replace("\n", " ")
    asked = client.execute("", silent=True, store_history=False,
                           user_expressions={"loaded": expression})
    while (reply := client.get_shell_msg(timeout=60))["parent_header"].get("msg_id") != asked:
        pass
    answer = reply["content"]["user_expressions"]["loaded"]
    assert answer["status"] == "ok", answer
    return json.loads(ast.literal_eval(answer["data"]["text/plain"]))
