"""Where this copy of the book lives: the one line of _config.yml, and what follows from it.

While that line is the placeholder that the book is handed out with, nothing leads to it: what would
lead there leads to the paragraph that says which line to change.
"""

import re
import subprocess

from .chapters import ROOT, settings

PLACEHOLDER = "OWNER"
HOW = ("book/running", "the-address-of-this-copy")  # the page and the heading that tell


def repository():
    """The repository's address, or None while it is the placeholder."""
    address = settings()["repository"]["url"].rstrip("/")
    return None if PLACEHOLDER in address.split("/") else address


def branch():
    """The branch that notebooks and files are linked from."""
    return settings()["repository"].get("branch", "main")


def site():
    """Where the site is published, GitHub Pages of the repository; None without an address."""
    if repository() is None:
        return None
    owner, name = repository().split("/")[-2:]
    return f"https://{owner.lower()}.github.io/{name}"


def remote():
    """The address of the repository that this checkout was cloned from, if it has one."""
    asked = subprocess.run(["git", "remote", "get-url", "origin"], cwd=ROOT, text=True,
                           capture_output=True)
    found = re.fullmatch(r"(?:https://|ssh://git@|git@)([\w.-]+)[:/](.+?)(?:\.git)?/?",
                         asked.stdout.strip())
    return f"https://{found[1]}/{found[2]}" if found else None


def advice():
    """What to tell whoever builds a book that does not know its address; empty if it does."""
    if repository():
        return ""
    here = f" to {remote()}" if remote() else ""
    return ("This copy does not know its address: Colab, Binder and the repository are not linked. "
            f"Change `url` in _config.yml{here}, then run make student and make book.")
