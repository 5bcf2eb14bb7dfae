"""What was handed in: which files, and whose they are, before anything is read or run.

Nothing here trusts a file: no link is followed, no archive unpacked. Whose an upload is can be in
doubt; then it is said, nobody's work is put under another's name, and nobody's is left out.
"""

import os
import re
import stat
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path

import yaml

from .roster import Index, alike

LARGEST = 64 * 2**20  # bytes of a file that is opened
TRIED = 5  # files of one upload that are looked into

MOODLE = re.compile(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_.*")
BLACKBOARD = re.compile(r".+_(?P<id>[^_]+)_attempt_(?P<number>\d{4}(?:-\d\d){5})(?:_.+|\.txt)?")
CANVAS = re.compile(r"(?P<name>[^_]+)_(?:(?P<late>LATE)_)?(?P<id>[1-9]\d*)_(?P<number>[1-9]\d*)_.+")
GRADESCOPE, SUBMITTERS = re.compile(r"submission_(?P<number>\d+)"), "submission_metadata.yml"
DATE = re.compile(r".*_(?:\d\d?_\d\d?_(?:\d\d)?\d\d|(?:19|20)\d\d_\d\d?_\d\d?)(?!\d).*")

COPY = re.compile(r"( ?\(\d+\)| - Copy( \(\d+\))?)$")
ENDING = re.compile(r"\.(ipynb|json|txt|zip|html?|py|pdf|docx?|bak)$", re.I)
KINDS = {  # how a file may end, and how soon it is looked into
    ".ipynb": 0, ".json": 1, ".zip": 1, ".py": 2, ".txt": 3, "": 3}
NOT_HANDED_IN = (".csv", ".tsv", ".xls", ".xlsx", ".ods", ".yml", ".yaml", ".log", ".ini", ".db")
RUBBISH = {"__MACOSX", ".ipynb_checkpoints", "__pycache__", "Thumbs.db", "desktop.ini",
           ".DS_Store", ".localized"}

NOTHING = "Nothing was handed in."


@dataclass(frozen=True)
class Submission:
    """What one student handed in.

    Args:
        student, name: who.
        files: what can be graded, relative to the folder, the one that counts first.
        notes: what the student should know, in sentences.
        upload: how it was called, and how it was found to be this student's.
        variant: which variant the roster says was handed out, or None.
    """

    student: str
    name: str = ""
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    upload: str = ""
    variant: int | None = None


@dataclass
class Collected:
    """Who handed in what.

    Args:
        submissions: list of `Submission`, in the order of the students' ids.
        doubts: sentences; while there are any, nothing is graded unless somebody says so.
        left_out: files that are nobody's work.
    """

    submissions: list = field(default_factory=list)
    doubts: list = field(default_factory=list)
    left_out: list = field(default_factory=list)


@dataclass(frozen=True)
class Upload:
    """A file or a folder as a platform names it: one hand-in.

    Args:
        path: relative to what was downloaded.
        system: whose naming it is; empty where it is nobody's.
        id, name, number, late: what the name says.
        people: ``((id, name), ...)`` of those who handed it in together, if it says so.
        folder: whether it is a folder.
    """

    path: Path
    system: str = ""
    id: str = ""
    name: str = ""
    number: str = ""
    late: bool = False
    people: tuple = ()
    folder: bool = False


class InDoubt(ValueError):
    """It is not plain whose some uploads are; the message says which."""


def collect(folder, roster=(), first=False, slug=""):
    """Who handed in what, and what is in doubt.

    Args:
        folder: of everything that was handed in, as it was downloaded.
        roster: `classroom.roster.Student`s, who come before what the names of files say, and who
            are listed even if they handed in nothing.
        first: whether the first of several notebooks counts, not the last.
        slug: how the notebook was called that was handed out: as a name it says nothing.

    Returns:
        `Collected`.
    """
    folder, index, result = Path(folder), Index(roster), Collected()
    places = containers(folder, index, result)
    found, owners = uploads(folder, places, result), defaultdict(list)
    for upload, people, doubt in owned(found, index, slug):
        for id, name in people:
            owners[id].append((upload, name, doubt, len(people)))
        if doubt:
            result.doubts.append(f"{upload.path}: {doubt}")
    known = {student.id: student for student in index.roster}
    names = {id: known[id].name if id in known else "" for id in [*known, *owners]}
    together = {alike(id): id for id in known}
    for id in sorted(owners.keys() - known.keys()):
        if owners[id][0][2]:
            continue  # in doubt already
        looks = alike(owners[id][0][0].id) if len(owners[id][0][0].people) < 2 else alike(id)
        if looks in together:
            result.doubts.append(f"{id!a} and {together[looks]!a} look alike: are they one "
                                 "person?")
        together.setdefault(looks, id)
    for id in sorted(names):
        hands, student = owners.get(id, []), known.get(id)
        name = names[id] or next((name for _, name, *_ in hands if name), "")
        result.submissions.append(_submission(folder, id, name, hands, student, first, result))
    return result


def _submission(folder, id, name, hands, student, first, result):
    """One student's submission, from the uploads that are theirs."""
    variant, late = (student.variant, student.late) if student else (None, "")
    if not hands:
        return Submission(id, name, (), (NOTHING,), variant=variant)
    notes = [f"Whose it is was in doubt: {doubt}" for _, _, doubt, _ in hands if doubt]
    if len({(upload.system, upload.name, upload.id, upload.folder)
            for upload, *_ in hands}) > 1:
        listed = ", ".join(str(upload.path) for upload, *_ in hands)
        notes.append(f"Several uploads are yours: {listed}.")
        if not (student and student.upload):
            result.doubts.append(f"{id}: several uploads for one: {listed}")
    if late or any(upload.late for upload, *_ in hands):
        notes.append("It was handed in late" + (f" ({late})." if late.casefold() not in (
            "", "yes", "true", "1", "late", "x") else "."))
    if any(people > 1 for *_, people in hands):
        notes.append("It was handed in together with others.")
    entries = [(upload, path) for upload, *_ in hands for path in files(folder, upload.path)]
    ranked = sorted(((kind(path), upload, path) for upload, path in entries
                     if kind(path) is not None and path.parts[0] not in RUBBISH),
                    key=lambda entry: _order(folder, *entry[1:]), reverse=not first)
    ranked.sort(key=lambda entry: entry[0])
    best = [path for rank, _, path in ranked if rank == ranked[0][0]]
    if len(best) > 1:
        notes.append(f"{len(best)} notebooks were handed in; the {'first' if first else 'last'} "
                     "counts.")
    if not ranked:
        listed = ", ".join(f"`{shown(path.name)}`" for _, path in entries[:3]) or "an empty folder"
        notes.append(f"Handed in was {listed}, which is no notebook: please hand in the `.ipynb` "
                     "file.")
    return Submission(id, name, tuple(str(path) for *_, path in ranked[:TRIED]), tuple(notes),
                      ", ".join(str(upload.path) for upload, *_ in hands), variant)


# Which files there are.


def containers(folder, index, result):
    """The folders that hold the uploads: the download, or what it was unzipped into."""
    inside = entries(folder)
    if inside and all(map(is_folder, inside)) and not any(map(said, inside)):
        if all(map(platform, inside)):
            return [place for one in inside for place in containers(one, index, result)]
        if len(inside) == 1:
            within = [one for one in entries(inside[0])
                      if is_folder(one) or kind(Path(one.name)) is not None]
            if len(within) > 1:
                people = [index.by_id(bare(one)) or index.by_name(bare(one)) for one in within]
                if not any(people):
                    result.doubts.append(f"{inside[0].name}: is this one student's folder, or does "
                                         "it hold everybody's? It was taken for everybody's.")
                return containers(inside[0], index, result)
    return [folder]


def platform(folder):
    """Whether all that is in a folder has the names that a platform gives."""
    inside = [one for one in entries(folder) if one.name != SUBMITTERS]
    return bool(inside) and all(map(said, inside))


def entries(folder, result=None):
    """What is in a folder and could be somebody's work."""
    found = []
    for path in sorted(Path(folder).iterdir()):
        hidden = path.name.startswith(".") and ".ipynb" not in path.name.lower()
        if path.name in RUBBISH or path.name.startswith("._") or hidden:
            if result is not None and path.name not in RUBBISH:
                result.left_out.append(path.name)
            continue
        found.append(path)
    return found


def is_folder(path):
    """Whether it is a folder, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def files(folder, upload):
    """Paths, relative to the folder, of an upload's files; links are not followed."""
    top = Path(folder, upload)
    if not is_folder(top):
        return [upload]
    paths = []
    for where, folders, names in os.walk(top):
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]
        folders[:] = [name for name in folders if name not in RUBBISH and name not in links
                      and not name.startswith(".")]
        paths += [Path(where, name).relative_to(folder) for name in [*names, *links]
                  if name not in RUBBISH and not name.startswith("._")]
    return sorted(paths)


def kind(path):
    """How soon a file is looked into, by how it ends; None if it is no notebook for sure."""
    name = path.name.lower()
    ending = re.search(r"\.[a-z0-9]{1,8}$", COPY.sub("", name))
    if ".ipynb" in name and (not ending or ending[0] in (".ipynb", ".txt", ".json", ".bak",
                                                          ".download")):
        return 0
    return KINDS.get(ending[0] if ending else "")


def _order(folder, upload, path):
    """By the platform's own number, else by time, else by name with its numbers read as such."""
    words = [(int(word[:18]), "") if word.isdecimal() and word.isascii() else (0, word)
             for word in re.split(r"(\d+)", str(path))]
    number = upload.number.replace("-", "")
    return (int(number or 0), 0 if number else int((folder / path).lstat().st_mtime), words)


# Whose they are.


def said(path):
    """What the name of a file or folder says in the words of a platform; None if nothing."""
    name = path.name
    for system, form in (("Moodle", MOODLE), ("Blackboard", BLACKBOARD), ("Canvas", CANVAS)):
        match = form.fullmatch(name)
        if match and not (system == "Canvas" and DATE.fullmatch(name)):
            words = match.groupdict()
            return Upload(Path(name), system, words["id"], words.get("name") or "",
                          words.get("number") or "", bool(words.get("late")))
    match = GRADESCOPE.fullmatch(name) if is_folder(path) else None
    return match and Upload(Path(name), "Gradescope", name, "", match["number"])


def uploads(folder, places, result):
    """All uploads in these folders."""
    found = []
    for place in places:
        submitters = _submitters(place / SUBMITTERS)
        for path in entries(place, result):
            upload = said(path) or Upload(path, id=bare(path))
            upload = replace(upload, path=path.relative_to(folder),
                             people=submitters.get(path.name, ()), folder=is_folder(path))
            ending = "" if upload.folder else path.suffix.lower()
            if not upload.system and ending in NOT_HANDED_IN:
                result.left_out.append(str(upload.path))
            else:
                found.append(upload)
    return found


def _submitters(path):
    """``{folder: ((id, name), ...)}`` of Gradescope's own list; empty if there is none."""
    try:
        data = path.read_bytes()[:LARGEST]
        listed = yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return {str(folder): tuple(
            (str(one.get(":sid") or one.get(":email") or ""), str(one.get(":name") or ""))
            for one in about.get(":submitters") or ()) for folder, about in listed.items()}
    except (OSError, yaml.YAMLError, AttributeError, TypeError, ValueError):
        return {}


def bare(path):
    """A file's or folder's name without its endings and without dots before it."""
    name = path.name.lstrip(".") or path.name
    while not is_folder(path) and ENDING.search(name):
        name = ENDING.sub("", name)
    return name or path.name


def owned(found, index, slug):
    """Each upload, whose it is, and what is in doubt.

    Yields:
        upload, people, doubt: people as ``((id, name), ...)``, the doubt a sentence or empty.
    """
    numbered, claims = defaultdict(int), defaultdict(set)
    for upload in found:
        numbered[alike(COPY.sub("", upload.id))] += 1
        if upload.system:
            claims[upload.id].add(alike(upload.name))
    handed_out = re.compile(re.escape(alike(slug)) + r"(?:-v\d+)?") if slug else None
    for upload in found:
        whole = unicodedata.normalize("NFC", upload.path.name)
        ours = [student for student in index.roster if student.upload
                and (whole == student.upload or fnmatch(whole, student.upload))]
        if ours:
            yield upload, _people(ours), ""
            continue
        if upload.people and all(id for id, _ in upload.people):
            yield upload, _submitted(upload.people, index), ""
            continue
        stem = COPY.sub("", upload.id)
        students = (index.by_id(upload.id) or index.by_name(upload.name)
                    or index.groups.get(alike(upload.name), []))
        if not students and not upload.system:
            students = index.by_name(upload.id) or index.by_id(stem) or index.by_name(stem)
        if students:
            yield upload, _people(students), ""
            continue
        id, name, doubt = upload.id, upload.name, ""
        if upload.system and len(claims[upload.id]) > 1:
            id, doubt = upload.path.name, f"more than one person has the id {upload.id}."
        elif upload.system == "Gradescope":
            doubt = f"{SUBMITTERS} does not say whose it is."
        elif handed_out and handed_out.fullmatch(alike(stem)):
            doubt = "it has the name of the notebook that was handed out, and nobody's."
        elif not upload.system and not upload.folder and stem != upload.id:
            if numbered[alike(stem)] == 1:
                id = stem
            else:
                doubt = f"is it another of {stem}'s, or somebody else's?"
        if index.roster and not doubt:
            doubt = "it matches nobody in the roster."
        yield upload, ((shown(id), shown(name)),), doubt


def _people(students):
    return tuple((student.id, student.name) for student in students)


def _submitted(people, index):
    """Those whom a platform lists, by their ids in the roster."""
    found = [(index.by_id(id) or index.by_name(name), id, name) for id, name in people]
    return tuple(_people(students)[0] if len(students) == 1 else (shown(id), shown(name))
                 for students, id, name in found)


def shown(text):
    """Without what no terminal and no page should be given; different texts stay different.

    >>> shown("Anna"), shown("Anna\u200b")
    ('Anna', 'Anna\N{REPLACEMENT CHARACTER}~efd69594')
    """
    text = unicodedata.normalize("NFC", text)
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    if clean == text and len(text) <= 100:
        return text
    return f"{clean[:90]}~{sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]}"


def content(folder, file):
    """A file's bytes.

    Args:
        folder: of the submissions.
        file: relative to it.

    Returns:
        data, problem: one of them is empty; the problem is a sentence.
    """
    try:
        opened = os.open(Path(folder, file), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b"", "What was handed in is a link or cannot be opened."
    status = os.fstat(opened)
    if not stat.S_ISREG(status.st_mode):
        os.close(opened)
        return b"", "What was handed in is not a file."
    with os.fdopen(opened, "rb") as stream:
        if status.st_size > LARGEST:
            return b"", (f"The file has {status.st_size / 2**20:.0f} MB, and more than "
                         f"{LARGEST // 2**20} MB are not opened. Clear its outputs and hand it in "
                         "again.")
        data = stream.read(LARGEST)
    return data, "" if data else "The file is empty."
