"""What a page needs of the site: ways to other pages, to pictures, and to its notebook."""

import html
from pathlib import Path

from ..chapters import settings
from ..editions import STUDENT
from .shelf import shelf

KINDS = {"book/intro": "landing", "book/claims": "claims", "book/predictions": "predictions"}


class House:
    """The site as one page sees it."""

    def __init__(self, app, docname):
        self.app, self.docname = app, docname
        self.stem = Path(docname).name
        self.here = shelf().get(self.stem)
        self.kind = "chapter" if self.here else KINDS.get(docname, "plain")
        self.root = "../" * docname.count("/")
        self.pictures = Path(app.outdir) / "_images"
        about = settings()
        self.address = about["repository"]["url"].rstrip("/")
        self.branch = about["repository"].get("branch", "main")
        self.shows = about.get("html", {})
        self.launches = about.get("launch_buttons", {})

    def to(self, docname):
        """The way from this page to another."""
        return self.app.builder.get_relative_uri(self.docname, docname)

    @property
    def repository(self):
        """The repository's address, where the edition links to it."""
        return self.address if self.shows.get("use_repository_button") else None

    @property
    def issues(self):
        """Where one tells of a fault."""
        return f"{self.address}/issues/new" if self.shows.get("use_issues_button") else None

    @property
    def run(self):
        """Where the notebook of this page runs; None on pages without one."""
        return self.runs(self.stem) if (STUDENT / f"{self.stem}.ipynb").exists() else None

    def runs(self, stem):
        """Where a chapter's student notebook runs."""
        name = self.address.removeprefix("https://github.com/")
        found = {"download": f"{self.root}_downloads/{stem}.ipynb"}
        if "colab_url" in self.launches:
            found["colab"] = (f"{self.launches['colab_url']}/github/{name}/blob/{self.branch}/"
                              f"student/{stem}.ipynb")
        if "binderhub_url" in self.launches:
            found["binder"] = (f"{self.launches['binderhub_url']}/v2/gh/{name}/{self.branch}"
                               f"?urlpath=lab/tree/student/{stem}.ipynb")
        return found

    def colab(self, cell):
        """The button that opens this page's notebook in Colab at a cell."""
        address = (self.run or {}).get("colab")
        return (f'<a class="do" href="{html.escape(address)}#scrollTo={cell}">Try it in Colab</a>'
                if address else "")
