"""The sets of versions that the book runs in: what each installs, and into which Python."""

import tomllib

from press.chapters import ROOT

PYTHONS = {"oldest": "3.11", "pinned": "3.11", "newest": "3.13", "Colab": "3.13"}
COLAB = {"numpy": "2.1.3", "torch": "2.11.0", "matplotlib": "3.10.0", "ipython": "7.34.0",
         "ipykernel": "6.17.1"}


def wanted(name):
    """What a set installs, as an installer's arguments.

    Args:
        name: of PYTHONS. Binder's is the pinned one.

    >>> wanted("oldest")[0]
    'array-api-compat==1.12'
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = [*project["dependencies"], *project["optional-dependencies"]["notebooks"]]
    if name == "oldest":
        return [need.replace(">=", "==") for need in bounds]
    if name == "pinned":
        lines = (ROOT / "binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
        return [line for line in lines if "==" in line]
    if name == "newest":
        return ["--upgrade", *(need.partition(">")[0] for need in bounds)]
    exact = [f"{package}=={version}" for package, version in COLAB.items()]
    return [*exact, *(need for need in bounds if need.partition(">")[0] not in COLAB), "setuptools"]
