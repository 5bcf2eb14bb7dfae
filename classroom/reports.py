"""Pages in HTML: one for each student, one for the instructor. They need nothing but a browser."""

import base64
import hashlib
import io
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

import matplotlib
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib import pyplot

from attnlib import plots
from attnlib.exercises.files import write_whole
from attnlib.exercises.showing import as_html

from . import handout, overrides, similarity
from .gradebook import file_stem, records

WORDS = {  # status: what a mark is called
    "passed": "right", "known_mistake": "a known mistake", "not_attempted": "not attempted",
    "raised": "raised an error", "timed_out": "ran out of time",
    "forbidden_call": "called what it may not", "changed_input": "changed its input",
    "wrong_kind": "gave back something else", "not_finite": "gave back NaN or infinity",
    "broken_law": "breaks a law", "not_repeatable": "different on every call",
    "differs": "a wrong answer",
}
LOOKS = {  # group of answers: colour and hatch, always together
    "right": (plots.PALETTE["blue"], ""), "known mistake": (plots.PALETTE["orange"], "///"),
    "otherwise wrong": (plots.PALETTE["yellow"], "..."), "not attempted": ("white", ""),
}
PAIRS = 25  # similar pairs that are listed at most
SHOWN = 20_000  # characters of an answer
CODE = ("write", "find the bug", "open-ended")


@dataclass
class Summary:
    """What the class did with one exercise.

    Args:
        task: `Task`.
        groups: ``{group of LOOKS: how many}``.
        mistakes: ``{name: how many}``; two made together count for both.
        sentences: ``{name: what students are told}``.
        points: what was earned in all.
    """

    task: object
    groups: Counter = field(default_factory=Counter)
    mistakes: Counter = field(default_factory=Counter)
    sentences: dict = field(default_factory=dict)
    points: float = 0.0

    @property
    def tried(self):
        """How many answers there were."""
        return sum(self.groups.values()) - self.groups["not attempted"]

    def add(self, mark, sentences):
        """Count a mark; None where nothing was handed in."""
        self.groups[group(mark)] += 1
        self.points += mark.points if mark else 0.0
        for name in filter(None, mark.mistake.split("+") if mark else ()):
            self.mistakes[name] += 1
            self.sentences.setdefault(name, sentences.get(name, mark.sentence))


def write(kit, folder):
    """Write everybody's page and the class's, from the records.

    Args:
        kit: `Kit`.
        folder: of the grades; written are ``reports/<student>.html`` for the students,
            ``instructor/<student>.html`` with the evidence, ``class.html`` and
            ``assignment.json``, which says what the marks are marks of.
    """
    folder = Path(folder)
    summaries = {task.id: Summary(task) for task in kit.tasks}
    sentences = {task.id: {m.name: m.sentence for m in kit.exercise(task.id, first_variant(task))
                           .mistakes} for task in kit.tasks}
    runs_of, students, pages, found = {}, [], set(), []
    given = handed_out(kit)
    in_code = {task.id for task in kit.tasks
               if kit.exercise(task.id, first_variant(task)).kind in CODE}
    for record in records(folder):
        name = f"{file_stem(record.student)}.html"
        pages.add(name)
        for place, private in (("reports", False), ("instructor", True)):
            write_whole(folder / place / name, page("student.html", kit=kit, record=record,
                                                    private=private, name=name))
        students.append((record.student, record.name, name, record.points,
                         [*record.notes, *record.private], record.marks))
        found.append(record)
        for task in kit.tasks:
            summaries[task.id].add(record.marks.get(task.id), sentences[task.id])
        runs_of[record.student] = {id: similarity.runs(record.answers[id]) - given
                                   for id in in_code & record.answers.keys()}
    for old in (*(folder / "reports").glob("*.html"), *(folder / "instructor").glob("*.html")):
        if old.name not in pages:
            old.unlink()
    out_of = sum(task.points for task in kit.tasks)
    write_whole(folder / "class.html", page(
        "class.html", kit=kit, summaries=list(summaries.values()), students=students,
        out_of=out_of, pairs=similarity.similar(runs_of)[:PAIRS],
        link={student: name for student, _, name, *_ in students},
        strangers=overrides.strangers(overrides.read(folder), found),
        pictures=pictures(students, out_of, list(summaries.values())) if students else ()))
    write_whole(folder / "assignment.json", json.dumps(
        {"title": kit.title, "due": kit.due, "out_of": out_of,
         "tasks": [{"id": t.id, "title": t.title, "points": t.points} for t in kit.tasks]},
        indent=1))


def page(template, **values):
    """The text of a page; every value is escaped unless the template says otherwise."""
    return ENVIRONMENT.get_template(template).render(**values)


def first_variant(task):
    """A variant whose mistakes stand for all variants' of a task."""
    return 1 if task.draws else None


def handed_out(kit):
    """The runs of tokens in all code that students were given, stubs and broken code included."""
    found = set()
    for variant in range(1, kit.variants + 1) if kit.variants else [None]:
        for cell in handout.notebook(kit, variant).cells:
            blocks = re.findall(r"^```.*?\n(.*?)^```", cell.source, re.DOTALL | re.MULTILINE)
            for source in blocks if cell.cell_type == "markdown" else [cell.source]:
                found |= similarity.runs(source)
    return found


def group(mark):
    """Which group of `LOOKS` a mark belongs to."""
    status = mark.status if mark else "not_attempted"
    return {"passed": "right", "known_mistake": "known mistake",
            "not_attempted": "not attempted"}.get(status, "otherwise wrong")


# Pictures.


def pictures(students, out_of, summaries):
    """The class's pictures: ``[(address that holds the whole picture, words)]``."""
    shares = [points / out_of if out_of else 0 for _, _, _, points, *_ in students]
    return [scores(shares), answers(summaries)]


def scores(shares):
    """How many students have which share of the points, in tenths."""
    tenths = Counter(min(int(share * 10 + 1e-9), 9) for share in shares)
    axes = plots.figure(height=2.6)
    bars = axes.bar(range(10), [tenths[i] for i in range(10)], width=0.9,
                    color=plots.PALETTE["blue"])
    axes.bar_label(bars, [tenths[i] or "" for i in range(10)])
    axes.set_xticks([i - 0.5 for i in range(11)], [10 * i for i in range(11)])
    axes.set(xlabel="points, in % of what there was", ylabel="students")
    axes.yaxis.get_major_locator().set_params(integer=True)
    words = ", ".join(f"{tenths[i]} with {10 * i} to {10 * i + 10} %" for i in sorted(tenths))
    return drawing(axes), f"Number of students by their points: {words}."


def answers(summaries):
    """How many answers to each exercise were right, and what became of the others."""
    axes = plots.figure(height=1.2 + 0.34 * len(summaries))
    rows, left = range(len(summaries)), [0] * len(summaries)
    for name, (color, hatch) in LOOKS.items():
        wide = [summary.groups[name] for summary in summaries]
        axes.barh(rows, wide, left=left, color=color, hatch=hatch, edgecolor="black", linewidth=0.6,
                  label=name)
        left = [a + b for a, b in zip(left, wide)]
    axes.set_yticks(rows, [summary.task.id for summary in summaries])
    axes.invert_yaxis()
    axes.set(xlabel="students", ylabel="exercise")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return drawing(axes), ("A bar for each exercise: what became of its answers. The numbers stand "
                           "below.")


def drawing(axes):
    """A figure as an address that holds all of it; the same figure gives the same address."""
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "classroom"}):
        axes.figure.savefig(file, format="svg", metadata={"Date": None})
    pyplot.close(axes.figure)
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()


# What the templates use.


def sentence(text):
    """What a check says, as HTML.

    >>> sentence("Use `a < b`.")
    Markup('Use <code>a &lt; b</code>.')
    """
    return Markup(as_html(str(text)))


def number(x):
    """A number as it is written: at most two digits after the point.

    >>> number(3.0), number(2 / 3)
    ('3', '0.67')
    """
    return f"{round(x, 2):.10g}"


ENVIRONMENT = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"),
                          autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                          lstrip_blocks=True)
ENVIRONMENT.filters.update(sentence=sentence, number=number, mean=mean, median=median)


def script_hash(name):
    """By which a page's policy knows its own script, and no other."""
    source = ENVIRONMENT.get_template(name).render()
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


ENVIRONMENT.globals.update(script_hash=script_hash, words=WORDS, group=group, shown=SHOWN,
                           palette=plots.PALETTE)
