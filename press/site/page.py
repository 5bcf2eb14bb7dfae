"""A page as the site sees it: its kind, its ways to other pages, pictures, and its notebook."""

import html
from pathlib import Path

from .. import address
from ..chapters import settings
from ..without_solutions import STUDENT
from . import faults
from .shelf import shelf

KINDS = {"book/intro": "landing", "book/claims": "claims", "book/predictions": "predictions"}


class Page:
    """What a page is, and how it reaches the rest of the site."""

    def __init__(self, app, docname):
        self.app, self.docname = app, docname
        self.stem = Path(docname).name
        self.here = shelf().get(self.stem)
        self.kind = "chapter" if self.here else KINDS.get(docname, "plain")
        self.root = "../" * docname.count("/")
        self.pictures = Path(app.outdir) / "_images"
        about = settings()
        self.address = address.repository()
        self.shows = about.get("html", {})
        self.launches = about.get("launch_buttons", {})

    def fault(self, words):
        """Say what is wrong on this page; the build will fail."""
        faults.tell(self.app, self.docname, words)

    def to(self, docname):
        """The way from this page to another."""
        return self.app.builder.get_relative_uri(self.docname, docname)

    @property
    def how(self):
        """The paragraph that says how this copy gets an address, while it has none."""
        docname, heading = address.HOW
        return f"{self.to(docname)}#{heading}"

    @property
    def repository(self):
        """The repository's address, where the edition links to it."""
        return (self.address or self.how) if self.shows.get("use_repository_button") else None

    @property
    def issues(self):
        """Where one tells of a fault."""
        if not self.shows.get("use_issues_button"):
            return None
        return f"{self.address}/issues/new" if self.address else self.how

    @property
    def run(self):
        """Where the notebook of this page runs; None on pages without one."""
        return self.runs(self.stem) if (STUDENT / f"{self.stem}.ipynb").exists() else None

    def runs(self, stem):
        """Where a chapter's student notebook runs."""
        name = (self.address or "").removeprefix("https://github.com/")
        found = {"download": f"{self.root}_downloads/{stem}.ipynb"}
        if "colab_url" in self.launches:
            found["colab"] = self.how if not name else (
                f"{self.launches['colab_url']}/github/{name}/blob/{address.branch()}/"
                f"student/{stem}.ipynb")
        if "binderhub_url" in self.launches:
            found["binder"] = self.how if not name else (
                f"{self.launches['binderhub_url']}/v2/gh/{name}/{address.branch()}"
                f"?urlpath=lab/tree/student/{stem}.ipynb")
        return found

    def colab(self, cell):
        """The button that opens this page's notebook in Colab at a cell."""
        colab = (self.run or {}).get("colab")
        if not colab:
            return ""
        place = f"{colab}#scrollTo={cell}" if self.address else colab
        return f'<a class="do" href="{html.escape(place)}">Try it in Colab</a>'
