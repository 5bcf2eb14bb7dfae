"""python -m classroom: hand out exercises, grade what comes back, pass on the marks."""

import platform
import webbrowser
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .export import FORMATS
from .sandbox.limits import SECONDS, usual_total

EXISTING = click.Path(exists=True, file_okay=False, path_type=Path)
console = Console()


@click.group(epilog="The page \"For instructors\" of the book plays all of it through.")
def classroom():
    """Hand out exercises of the book, grade a class, pass on the marks.

    \b
    A whole assignment:
      python -m classroom assign 1.1 "2.*" --title "Week 1" -o week-1
      python -m classroom collect downloads/ --kit week-1
      python -m classroom grade downloads/ --kit week-1 --grades grades
      python -m classroom export --format canvas --grades grades -o marks.csv

    Run it from a checkout of the book. Each command's --help says more.
    """


@classroom.command(no_args_is_help=True)
@click.argument("exercises", nargs=-1, required=True)
@click.option("--title", required=True, help="What students read at the top.")
@click.option("-o", "--output", "folder", type=click.Path(path_type=Path), required=True,
              help="The folder to write the kit to; a new one.")
@click.option("--due", default="", help="When it is due, as students are to read it.")
@click.option("--points", multiple=True, metavar="ID=POINTS",
              help="What an exercise is worth, if not the book's own: 2.3=10. Can be repeated.")
@click.option("--variants", default=0, type=click.IntRange(min=0), metavar="N",
              help="Write N notebooks with different numbers, where an exercise can vary.")
@click.option("--roster", "roster_file", type=click.Path(exists=True, dir_okay=False),
              help="Deal the variants to these students: instructor/variants.csv says who has "
                   "which.")
@click.option("--slug", default="", help="A short name for the files; else from the title.")
def assign(exercises, title, folder, due, points, variants, roster_file, slug):
    """Choose EXERCISES and write a kit: "2.1" is one exercise, "4.*" all of chapter 4.

    \b
      python -m classroom assign 2.1 2.3 "4.*" --title "Week 3" --due "Friday" -o week-3

    Hand out what is in the kit's student/ folder. Keep instructor/ to yourself: it holds the key,
    the rubric and the secret seed of the grading inputs. nbgrader/ is the same assignment as an
    nbgrader course. Keep the whole kit: `grade` needs it.
    """
    from .kit import make_kit
    from .roster import read_roster

    with told():
        kit = make_kit(folder, exercises, title=title, due=due, variants=variants, slug=slug,
                       points=dict(map(worth, points)),
                       roster=read_roster(roster_file) if roster_file else ())
    table = Table("exercise", "title", "points", *["variants"] * bool(variants))
    for task in kit.tasks:
        varies = [str(len(set(task.draws)) or "the same for all")] * bool(variants)
        table.add_row(task.id, task.title, f"{task.points:g}", *varies)
    console.print(table)
    say(f"{sum(task.points for task in kit.tasks):g} points. Hand out {folder}/student/; keep "
        f"{folder}/instructor/ to yourself.")


KIT = click.option("--kit", "kit_folder", type=EXISTING, required=True,
                   help="The folder that `assign` wrote.")
ROSTER = click.option("--roster", "roster_file", type=click.Path(exists=True, dir_okay=False),
                      help="A CSV file of who is who: the columns student, name, upload, and if "
                           "you like group, variant, late.")
FIRST = click.option("--first", is_flag=True, help="Of several notebooks of one student, let the "
                                                   "first count, not the last.")
TRUST = click.option("--trust-submissions", "trust", is_flag=True,
                     help="Run students' code WITHOUT a sandbox. It can then read your files.")


@classroom.command(name="collect", no_args_is_help=True)
@click.argument("submissions", type=EXISTING)
@KIT
@ROSTER
@FIRST
@TRUST
def collect_(submissions, kit_folder, roster_file, first, trust):
    """Show who is who in SUBMISSIONS, a folder as it was downloaded; nothing is graded.

    \b
      python -m classroom collect downloads/ --kit week-3 --roster roster.csv

    Each student, the notebook that counts, its variant, how many answers are in it, and what is in
    doubt: names that match nobody, several uploads for one. A doubt is settled in the roster's
    column `upload`, or, where what you see is right, by --yes when you grade.
    """
    from .kit import read_kit
    from .roster import read_roster
    from .sandbox.outside import NoSandbox
    from .whois import lines

    with told(NoSandbox):
        kit = read_kit(kit_folder)
        roster = read_roster(roster_file) if roster_file else ()
        found, collected = lines(kit, submissions, roster, first, trust)
    table = Table("student", "name", "counts", *["variant"] * bool(kit.variants), "answers",
                  "notes")
    for line in found:
        cells = [line.student, line.name, *[*line.files, ""][:1],
                 *[line.variant] * bool(kit.variants), f"{line.answers} of {len(kit.tasks)}",
                 " ".join(line.notes)]
        table.add_row(*map(escape, cells))
    console.print(table)
    handed = sum(bool(line.files) for line in found)
    say(f"{len(found)} students, {handed} with a notebook.")
    if collected.left_out:
        say(f"Left out, as nobody's work: {', '.join(collected.left_out)}.")
    for doubt in collected.doubts:
        say(f"In doubt: {doubt}")
    if collected.doubts:
        raise click.ClickException("Settle the doubts in the roster's column `upload`; or, if the "
                                   "table is right, grade with --yes.")


@classroom.command(no_args_is_help=True)
@click.argument("submissions", type=EXISTING)
@KIT
@click.option("--grades", type=click.Path(file_okay=False, path_type=Path), required=True,
              help="The folder for records and reports; run again, it continues there.")
@ROSTER
@FIRST
@click.option("--yes", is_flag=True,
              help="Grade although it is in doubt whose some uploads are, as `collect` shows it.")
@click.option("--seconds", type=click.FloatRange(min=1), metavar="S",
              help=f"Processor time for a whole submission; else {usual_total(0):g}, and "
                   f"{SECONDS:g} more for each exercise.")
@click.option("--only", multiple=True, metavar="ID",
              help="Grade this exercise again and keep the other marks. Can be repeated.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; else one for each core.")
@click.option("--scheduler", metavar="ADDRESS",
              help="Use the workers of this dask scheduler: tcp://host:8786.")
@TRUST
def grade(submissions, kit_folder, grades, roster_file, first, yes, seconds, only, workers,
          scheduler, trust):
    """Grade all notebooks in SUBMISSIONS, a folder as it was downloaded.

    \b
      python -m classroom grade downloads/ --kit week-3 --grades grades

    Unpack the download of Canvas, Moodle or your own collection; names and folders do not matter.
    Students' code runs under bubblewrap, which Linux has (apt install bubblewrap): no network, no
    files of this computer, limits on time and memory. Open grades/class.html when it is done;
    grades/reports/ has a page for each student. Run again, it grades only what is new.
    """
    from . import grading, reports
    from .kit import read_kit
    from .roster import read_roster
    from .sandbox.outside import NoSandbox

    if trust:
        say("WITHOUT A SANDBOX: each submission is run as you, on this computer. It can read, "
            "change and send whatever you can. The results will say so.")
    elif platform.machine() != "x86_64":
        say(f"On {platform.machine()} the sandbox refuses the system calls that are known to do "
            "harm; on x86_64 it allows those alone that answers need.")
    with told(NoSandbox):
        kit = read_kit(kit_folder)
        roster = read_roster(roster_file) if roster_file else ()
        done = grading.grade(kit, submissions, grades, roster=roster, first=first, only=only,
                             workers=workers, scheduler=scheduler, trust=trust, yes=yes,
                             total=seconds)
        reports.write(kit, grades)
    say(f"{done.graded} graded, {done.kept} as before. Open {grades}/class.html; the students' "
        f"pages are in {grades}/reports/.")
    if done.failed:
        raise click.ClickException(f"Could not be graded: {', '.join(done.failed)}. Run the same "
                                   "command again; what is done is kept.")


@classroom.command(no_args_is_help=True)
@KIT
@click.option("--grades", type=EXISTING, required=True, help="The folder that `grade` wrote.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Else any that is free.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def review(kit_folder, grades, port, no_browser):
    """Look at answers one by one, and set points and comments by hand.

    \b
      python -m classroom review --kit week-3 --grades grades

    Opens a page on this computer, until you press Ctrl+C. What you type is saved at once in
    grades/overrides.csv (student, exercise, points, comment), which you can also edit in a
    spreadsheet, and which `grade` never changes.
    """
    from . import reports
    from . import review as reviewing
    from .kit import read_kit

    with told():
        kit = read_kit(kit_folder)
        with reviewing.server(kit, grades, port) as (server, address):
            say(f"Open {address} in a browser on this computer; press Ctrl+C when you are done.")
            if not no_browser:
                webbrowser.open(address)
            with suppress(KeyboardInterrupt):
                server.serve_forever()
        reports.write(kit, grades)
        say(f"The pages in {grades} show what you set.")


@classroom.command(no_args_is_help=True)
@click.option("--format", "form", type=click.Choice(FORMATS), required=True,
              help="Who is to read it; feedback is an archive of the students' pages, for Canvas "
                   "or Moodle to give to them.")
@click.option("--grades", type=EXISTING, required=True, help="The folder that `grade` wrote.")
@click.option("--roster", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A CSV file whose further columns (ID, Email address, ...) are copied, so that "
                   "Canvas or Moodle finds its students.")
@click.option("--not-handed-in", "nothing", type=click.Choice(["0", "blank"]), default="0",
              show_default=True, help="What stands there for who handed in nothing.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True,
              help="The file to write.")
def export(form, grades, roster, nothing, output):
    """Write the marks as a CSV file, or the students' pages as an archive.

    \b
      python -m classroom export --format moodle --grades grades --roster roster.csv -o marks.csv
    """
    from . import export as marks

    with told():
        left = marks.write(grades, output, form, roster, nothing == "blank")
    say(f"Wrote {output}.")
    if left:
        say(f"Not in it, as their uploads are not named as Canvas or Moodle do: "
            f"{', '.join(left)}.")


def worth(text):
    """``"2.3=10"`` as id and points."""
    id, _, number = text.partition("=")
    try:
        if float(number) > 0:
            return id, float(number)
    except ValueError:
        pass
    raise click.BadParameter(f"{text!r} is not of the form 2.3=10.", param_hint="--points")


@contextmanager
def told(*more):
    """What a user can mend is told in a sentence, not in a traceback."""
    try:
        yield
    except (ValueError, KeyError, OSError, *more) as error:
        raise click.ClickException(error.args[0] if isinstance(error, KeyError)
                                   else str(error)) from None


def say(words):
    """A line of plain words: no markup, no cut names."""
    console.print(words, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    classroom(prog_name="python -m classroom")
