"""What the pages know of each other: the chapters with their questions, claims and numbers."""

import functools
import hashlib
import re
from dataclasses import dataclass, field

from ..chapters import HEADING, Chapter, chapter_paths, tags
from ..claims_page import claims, measured
from .elements import VERDICTS

QUESTION = re.compile(r"\*\*The question of [\w ]+:\s*(.*?)\*\*", re.DOTALL)
EQUATION = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
TAG = re.compile(r"\\tag\{([^}]*)\}")
PREDICT = re.compile(r"^> \*\*Predict\.\*\*((?:.*\n?)(?:^>.*\n?)*)", re.MULTILINE)
ASIDE = {"exercise", "stub", "check", "solution"}  # not in the minutes of reading
FOLDED = {"lab", "figure", "claim", "play"}
WORDS, LINES, GUESS = 230, 30, 0.7  # a minute's words, a minute's lines of code, a guess's minutes


@dataclass
class Verdict:
    """What became of a claim."""

    kind: str  # yes, part, no, open
    words: str
    when: str
    measured: str
    scale: str = ""


@dataclass
class Claim:
    """A claim of `book/claims.yml` and its verdict."""

    id: str
    text: str
    stem: str
    verdict: Verdict
    elsewhere: str = ""


@dataclass
class Shelved:
    """What other pages show of a chapter, and what its own page counts."""

    chapter: Chapter
    number: int
    title: str
    question: str
    minutes: int
    exercises: dict = field(default_factory=dict)  # id -> title
    exercise_minutes: int = 0
    claims: list = field(default_factory=list)
    equations: dict = field(default_factory=dict)  # "3.2" -> TeX, without its tag
    figures: dict = field(default_factory=dict)  # "3.1" -> caption
    predictions: list = field(default_factory=list)  # their keys

    @property
    def stem(self):
        """The notebook's name without suffix, which is the page's."""
        return self.chapter.path.stem


@functools.cache
def shelf():
    """The chapters by their stem, in their order."""
    found = {path.stem: shelved(number, Chapter(path))
             for number, path in enumerate(chapter_paths(), 1)}
    verdicts = {stem: measured(here.chapter) for stem, here in found.items()}
    for entry in claims():
        id, stem = entry["id"], entry["chapter"]
        if id in verdicts.get(stem, ()):  # what a chapter does not settle yet is on no page
            found[stem].claims.append(Claim(id, entry["text"].strip(), stem,
                                            read(verdicts[stem][id]),
                                            entry.get("elsewhere", "").strip()))
    return found


def shelved(number, chapter):
    """A chapter, read."""
    from attnlib.exercises import get

    first = chapter.cells[0].source
    question = " ".join(QUESTION.search(first)[1].split())
    markdown = [cell.source for cell in chapter.cells if cell.cell_type == "markdown"]
    ids = [exercise.id for exercise in chapter.exercises]
    titles = [HEADING.match(chapter.cells[e.start].source)["title"] for e in chapter.exercises]
    return Shelved(
        chapter, number, re.search(r"^# (.*)", first, re.MULTILINE)[1],
        question[:1].upper() + question[1:], reading_minutes(chapter), dict(zip(ids, titles)),
        sum(get(id).minutes for id in ids),
        equations={TAG.search(tex)[1]: TAG.sub("", tex).strip() for source in markdown
                   for tex in EQUATION.findall(source) if TAG.search(tex)},
        figures=dict(zip((f"{number}.{n}" for n in range(1, 99)), captions(chapter))),
        predictions=[prediction_key(asked) for source in markdown
                     for asked in PREDICT.findall(source)])


def reading_minutes(chapter):
    """How long a chapter takes to read, without its exercises, to five minutes."""
    minutes = 0.0
    for cell in chapter.cells:
        if ASIDE & set(tags(cell)):
            continue
        if cell.cell_type == "markdown":
            minutes += len(cell.source.split()) / WORDS + GUESS * cell.source.count("**Predict.**")
        elif not FOLDED & set(tags(cell)):
            minutes += sum(bool(line.strip()) for line in cell.source.splitlines()) / LINES
    return 5 * max(1, round(minutes / 5))


def caption_of(cell):
    """A figure's caption: the notebook's own, else the first sentence of its alt text."""
    about = cell.metadata.get("mystnb", {})
    own = about.get("figure", {}).get("caption", "")
    return own.strip() or about.get("image", {}).get("alt", "").partition(". ")[0].rstrip(".") + "."


def captions(chapter):
    """A caption for each picture, in order."""
    return [caption_of(cell) for cell in chapter.cells for output in cell.get("outputs", ())
            if "image/png" in output.get("data", {})]


def prediction_key(question):
    """A name for a prediction that stays while its words stay."""
    words = re.sub(r"\W+", " ", question).strip().casefold()
    return "p-" + hashlib.sha256(words.encode()).hexdigest()[:6]


def read(line):
    """What `claim()` printed, as the pages show it."""
    return Verdict(VERDICTS[line.verdict], line.verdict.capitalize(), line.when or "",
                   line.measured, line.scale or "")


def claim(id):
    """The claim of this id.

    Raises:
        KeyError: if `book/claims.yml` has no statement for it.
    """
    for here in shelf().values():
        for each in here.claims:
            if each.id == id:
                return each
    raise KeyError(f"claim {id} has no statement: add it to book/claims.yml")
