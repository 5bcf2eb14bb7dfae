"""python -m press: print what is made from the notebooks."""

import subprocess

import click

from . import address, claims_page, cover, reference, runs, without_solutions


@click.group()
def press():
    """Print what is made from the notebooks. The Makefile calls these."""


@press.command()
@click.argument("names", nargs=-1)
def notebooks(names):
    """Execute the chapters (all, or NAMES like 01_qkv), store their outputs, print the seconds."""
    runs.execute_all(names)


@press.command(name="edit")
@click.argument("name", default="")
def edit_as_text(name):
    """Write the chapter NAME as text, or what you have made of it back into its notebook."""
    from . import editing  # jupytext is there for whoever edits

    try:
        click.echo(editing.edit(name))
    except ValueError as error:
        raise click.ClickException(str(error)) from None


@press.command()
def student():
    """Print the student notebooks into student/."""
    changed = without_solutions.print_students()
    click.echo("\n".join(f"printed student/{path.name}" for path in changed)
               or "student/ is up to date")


@press.command(name="reference")
def reference_pages():
    """Print the pages about attnlib into book/reference/."""
    changed = reference.print_pages()
    click.echo("\n".join(f"printed {path.relative_to(reference.ROOT)}" for path in changed)
               or "book/reference/ is up to date")


@press.command(name="map")
def house_map():
    """Print the map of the modules into CONTRIBUTING.md."""
    from . import map as house

    text = house.print_map()
    changed = house.PAGE.read_text(encoding="utf-8") != text
    house.PAGE.write_text(text, encoding="utf-8")
    click.echo("printed CONTRIBUTING.md" if changed else "CONTRIBUTING.md is up to date")


@press.command()
def claims():
    """Print the claims page from the stored outputs."""
    claims_page.PAGE.write_text(claims_page.print_page(), encoding="utf-8")
    click.echo(f"printed book/{claims_page.PAGE.name}")


@press.command(name="address")
def address_of_this_copy():
    """Say what to change where the book does not know its address."""
    click.echo(address.advice(), nl=bool(address.advice()))


@press.command()
def course():
    """Build the site without solutions into _build/course/."""
    try:
        without_solutions.build_course()
    except subprocess.CalledProcessError as error:
        raise SystemExit(error.returncode) from None


@press.command()
@click.argument("site", default="_build/html", type=click.Path(exists=True))
def weights(site):
    """Store what a reader fetches of each page of the built SITE in benchmarks/site.md."""
    from pathlib import Path

    from .chapters import toc_files
    from .site import ledger
    from .site import weights as weigh

    ledger.store("bytes", {name: weigh.row(site, name) for name in toc_files()
                           if (Path(site) / f"{name}.html").exists()})
    click.echo(ledger.PAGE.read_text(encoding="utf-8"), nl=False)


@press.command()
@click.argument("names", nargs=-1)
@click.option("--site", default="_build/html", type=click.Path(exists=True))
@click.option("--runs", default=3, show_default=True, help="Visits of each page.")
def lighthouse(names, site, runs):
    """Store what Lighthouse says of pages of the built site: NAMES, or all not seen as they are.

    About a minute a page; each is stored as it comes, so stop when you like and go on later.
    """
    from .chapters import toc_files
    from .site import ledger
    from .site.lighthouse import KINDS, visits

    names = names or ledger.unvisited(site, toc_files())
    for at, (name, scores) in enumerate(visits(site, names, runs), 1):
        ledger.store("lighthouse", {name: scores}, visited=ledger.digest(site, name))
        click.echo(f"{at} of {len(names)}  "
                   f"{name:32}" + ", ".join(f"{kind} {score:.0f}"
                                            for kind, score in zip(KINDS, scores)))


@press.command(name="cover")
def cover_picture():
    """Draw the picture of the opening page, and the card that links show."""
    from .site import card

    cover.draw()
    card.draw()
    click.echo(f"drew book/{cover.PICTURE.name} and press/site/static/{card.CARD.name}")


if __name__ == "__main__":
    press(prog_name="python -m press")
