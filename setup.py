"""What the page about the wheel says: README.md and addresses, all from the line in _config.yml.

The rest of what is known about the package stands in pyproject.toml. While the address is the
placeholder, the page has no links: none would lead anywhere.
"""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
ADDRESS = re.search(r"^  url: (\S+?)/?$", (HERE / "_config.yml").read_text("utf-8"), re.M)[1]
KNOWN = "OWNER" not in ADDRESS.split("/")
LINK = re.compile(r"!?\[([^\]]*)\]\((?!\w+:)([^)\s]+)\)")


def linked(match):
    """A link into the checkout, as one to the repository; its words alone without an address."""
    if not KNOWN:
        return "" if match[0].startswith("!") else match[1]
    kind = "raw" if match[0].startswith("!") else "blob"
    return match[0].replace(f"({match[2]})", f"({ADDRESS}/{kind}/main/{match[2]})")


def site():
    """Where the site is published."""
    owner, name = ADDRESS.split("/")[-2:]
    return f"https://{owner.lower()}.github.io/{name}"


setup(
    long_description=LINK.sub(linked, (HERE / "README.md").read_text("utf-8")),
    long_description_content_type="text/markdown",
    project_urls={"Book": site(), "Source": ADDRESS, "Issues": f"{ADDRESS}/issues",
                  "Changelog": f"{ADDRESS}/blob/main/CHANGELOG.md"} if KNOWN else {},
)
