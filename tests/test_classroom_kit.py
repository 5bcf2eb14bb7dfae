"""assign: what is in a kit, what must not be in it, and how it is read back."""

import ast
import json
import re
import stat

import nbformat
import pytest
from leaks import Secrets
from nbclient import NotebookClient

from attnlib.exercises import exercises, get
from attnlib.exercises.notebook import assess_seed
from classroom import handout, kit
from classroom.sandbox import limits
from press import without_solutions
from press.chapters import ROOT, Chapter, chapter_paths

PATTERNS = ["1.1", "5.*", "1.3", "1.1", "3.7"]
IDS = ["1.1", *(f"5.{i}" for i in range(1, 13)), "1.3", "3.7"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A kit with three variants."""
    return kit.make_kit(tmp_path_factory.mktemp("kit") / "week", PATTERNS, title="Week 3: places",
                        due="Friday", points={"1.3": 7.5}, variants=3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A kit of every exercise of the book, with two variants."""
    return kit.make_kit(tmp_path_factory.mktemp("kit") / "all", ["*"], title="All", variants=2)


def read(path):
    return nbformat.read(path, as_version=4)


def tagged(notebook, tag):
    return [cell.source for cell in notebook.cells if tag in cell.metadata.get("tags", ())]


# What is in it.


def test_a_kit_has_these_files_and_no_others(made):
    files = {str(path.relative_to(made.folder)) for path in made.folder.rglob("*")
             if path.is_file()}
    assert files == {
        *(f"student/week-3-places-v{i}.ipynb" for i in (1, 2, 3)),
        *(f"instructor/key-v{i}.ipynb" for i in (1, 2, 3)),
        "instructor/rubric.md", "instructor/manifest.json", "instructor/seed",
        "nbgrader/nbgrader_config.py", "nbgrader/source/week-3-places/week-3-places.ipynb"}


def test_without_variants_there_is_one_notebook_and_one_key(tmp_path):
    kit.make_kit(tmp_path / "k", ["1.1"], title="Ä", slug="intro")
    assert [path.name for path in (tmp_path / "k/student").iterdir()] == ["intro.ipynb"]
    assert (tmp_path / "k/instructor/key.ipynb").exists()
    assert tagged(read(tmp_path / "k/student/intro.ipynb"), "stub")[0].startswith(
        "# answer 1.1\n")


def test_the_tasks_are_as_asked_for(made):
    assert [task.id for task in made.tasks] == IDS
    assert [task.points for task in made.tasks] == [
        7.5 if id == "1.3" else get(id).points for id in IDS]
    assert all(task.version == get(task.id).version for task in made.tasks)
    assert made.task("5.3").title == "Turn the pairs" and made.task("5.3").function == "turn_pairs"
    assert [task.id for task in made.tasks if task.draws] == ["1.1", "5.1", "5.2", "5.3"]
    assert (made.title, made.due, made.slug) == ("Week 3: places", "Friday", "week-3-places")


@pytest.mark.parametrize("variant", [1, 2, 3])
def test_a_students_notebook_has_all_that_it_needs_in_order(made, variant):
    notebook = read(made.folder / f"student/week-3-places-v{variant}.ipynb")
    nbformat.validate(notebook)
    set_up, title, honour, imports, *tasks = notebook.cells
    assert set_up.metadata["tags"] == ["set-up"] and "pip" in set_up.source
    assert "Week 3: places" in title.source and "due Friday" in title.source
    assert made.edition in title.source and f"variant {variant}" in title.source
    assert "Honour line" in honour.source
    assert "from attnlib.exercises import check, hint" in imports.source
    for task, (exercise, stub, check) in zip(made.tasks, zip(*[iter(tasks)] * 3), strict=True):
        assert exercise.source.startswith(f"### Exercise {task.id} ")
        assert f"{task.points:g} point" in exercise.source and task.title in exercise.source
        v = f" v{variant}" if task.draws else ""
        assert stub.source.startswith(f"# answer {task.id}{v}\n") and "    ..." in stub.source
        other = f"/{task.draws[variant - 1]}" if task.draws else ""
        assert check.source == f'check("{task.id}{other}", {task.function})'
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert notebook.metadata["assignment"] == {
        "slug": made.slug, "edition": made.edition, "variant": variant}


def test_the_pages_and_the_kit_say_how_long_an_answer_may_take():
    assert limits.SECONDS == 10  # "ten seconds" is typed on two pages
    for page in ("instructors", "running"):
        assert "ten seconds" in (ROOT / f"book/{page}.md").read_text(encoding="utf-8"), page
    assert f"{limits.SECONDS:.0f} seconds of processor time" in handout.RULES


def test_the_links_of_a_statement_and_a_solution_lead_to_the_site(tmp_path, monkeypatch):
    monkeypatch.setattr(without_solutions, "repository", lambda: "https://github.com/us/book")
    monkeypatch.setattr(without_solutions, "site", lambda: "https://us.github.io/book")
    linked = "See [there](02_scaling.ipynb#x) and [here](#y)."
    cells = [nbformat.v4.new_markdown_cell(f"### Exercise 1.1 ★ · T\n\n{linked}"),
             nbformat.v4.new_markdown_cell(linked)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "01_qkv.ipynb")
    texts = handout.Texts(kit.Task("1.1", 1, 1.0, "T"))
    texts.chapter = Chapter(tmp_path / "01_qkv.ipynb")
    texts.cells = type(texts.cells)("1.1", 0, 0, 0, (1,))
    wanted = "See [there](https://us.github.io/book/book/02_scaling.html#x) and [here](#y)."
    assert texts.statement().endswith(
        f"chapter 1](https://us.github.io/book/book/01_qkv.html)*\n\n{wanted}")
    assert texts.solution() == [("markdown", wanted)]


# What must not be in it.


def test_no_solution_is_in_what_is_handed_out(whole):
    secrets = Secrets([Chapter(path) for path in chapter_paths()])
    for path in (whole.folder / "student").iterdir():
        assert secrets.in_notebook(read(path)) == []
    planted = read(path)
    planted.cells += [cell for cell in read(whole.folder / "instructor/key-v1.ipynb").cells
                      if "solution-1-3-0" == cell.id]
    assert secrets.in_notebook(planted)


@pytest.mark.parametrize("variant", [1, 2])
def test_no_right_number_of_a_variant_is_in_what_is_handed_out(whole, variant):
    text = (whole.folder / f"student/all-v{variant}.ipynb").read_text()
    key = read(whole.folder / f"instructor/key-v{variant}.ipynb")
    returned = [cell.source for cell in key.cells if re.search(r"return \{['\"]", cell.source)
                and "solution" in cell.id]
    assert len(returned) >= 6
    for source in returned:
        assert re.search(r"return (\{.+?\})\n\n", source, re.S)[1] not in text


def test_the_seed_is_in_one_file_that_only_its_owner_reads(made):
    seed = made.folder / "instructor/seed"
    assert stat.S_IMODE(seed.stat().st_mode) == 0o600
    assert re.fullmatch("[0-9a-f]{32}", made.seed)
    holders = [path for path in made.folder.rglob("*") if path.is_file()
               and made.seed in path.read_text(encoding="utf-8")]
    assert holders == [seed]


def test_nothing_handed_out_depends_on_how_answers_will_be_tried(made, tmp_path):
    again = kit.make_kit(tmp_path / "k", PATTERNS, title="Week 3: places")
    assert again.seed != made.seed and again.edition != made.edition
    for task in made.tasks:
        assert made.case_seed(task.id) != again.case_seed(task.id)
        assert made.case_seed(task.id) not in (0, 1, 2)
    assert len({made.case_seed(id) for id in IDS}) == len(IDS)
    cells = [read(folder / f"student/{name}").cells for folder, name in (
        (again.folder, "week-3-places.ipynb"),
        (kit.make_kit(tmp_path / "l", PATTERNS, title="Week 3: places").folder,
         "week-3-places.ipynb"))]
    assert [a.id for a, b in zip(*cells, strict=True) if a.source != b.source] == ["title"]


# What it does.


def run(notebook, monkeypatch):
    """{id: result} of a notebook's checks, the last one of each id."""
    results = {}

    def check(id, answer):
        results[id] = assess_seed(get(id), answer, 7)[0]

    monkeypatch.setattr("attnlib.exercises.check", check)
    scope = {"__name__": "__main__"}
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.id != "set-up":
            exec(compile(cell.source, cell.id, "exec"), scope)
    return results


@pytest.mark.parametrize("variant", [1, pytest.param(2, marks=pytest.mark.whole)])
def test_a_key_passes_every_check_and_a_students_notebook_none(whole, variant, monkeypatch):
    ids = {f"{task.id}/{task.draws[variant - 1]}" if task.draws else task.id
           for task in whole.tasks}
    key = run(read(whole.folder / f"instructor/key-v{variant}.ipynb"), monkeypatch)
    assert key.keys() == ids and all(key.values()), [r for r in key.values() if not r]
    student = run(read(whole.folder / f"student/all-v{variant}.ipynb"), monkeypatch)
    assert student.keys() == ids
    assert {result.status for result in student.values()} == {"not_attempted"}


def test_a_students_notebook_runs_in_a_kernel(made, tmp_path):
    (tmp_path / "attnlib").symlink_to(ROOT / "attnlib")
    folder = tmp_path / "student"
    folder.mkdir()
    notebook = read(made.folder / "student/week-3-places-v2.ipynb")
    NotebookClient(notebook, timeout=1200,
                   resources={"metadata": {"path": str(folder)}}).execute()
    said = [str(cell.outputs) for cell in notebook.cells
            if "check" in cell.metadata.get("tags", ())]
    assert len(said) == len(IDS) and all("is not attempted yet" in words for words in said)


def test_the_key_has_grading_notes_and_the_rubric_a_scale(made):
    key = read(made.folder / "instructor/key-v1.ipynb")
    notes = {cell.id: cell.source for cell in key.cells if cell.id.startswith("notes-")}
    assert notes.keys() == {f"notes-{id.replace('.', '-')}" for id in IDS}
    assert all(m.sentence in notes["notes-1-3"] for m in get("1.3").mistakes if "+" not in m.name)
    rubric = (made.folder / "instructor/rubric.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\d+\.\d+)", rubric, re.M) == [
        id for id in IDS if get(id).kind == "open-ended"] == ["5.7", "5.10", "5.12", "3.7"]
    assert all(f"| {task.id} | {task.title} |" in rubric for task in made.tasks)
    assert "| 5 | the law holds" in rubric and "| 2.5 | the law holds on the ordinary" in rubric


def test_every_exercise_of_the_book_can_be_assigned(whole):
    chapters = {str(int(path.stem[:2])) for path in chapter_paths()}
    assert [task.id for task in whole.tasks] == [
        exercise.id for exercise in exercises() if exercise.id.partition(".")[0] in chapters]


@pytest.mark.parametrize("sources, words", [
    (["import math", "def half(x):\n    return math.pi * x", "unused = 1"],
     "import math\nimport numpy as np\nfrom attnlib.exercises import check, hint\nimport attnlib"
     "\n\n\ndef half(x):\n    return math.pi * x"),
])
def test_what_an_exercise_uses_of_its_chapter_comes_along(tmp_path, sources, words):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells += [nbformat.v4.new_code_cell(source, metadata={"tags": [tag]}) for tag, source in (
        ("stub", "# answer 1.1\ndef f(x):\n    ..."), ("check", 'check("1.1", f)'),
        ("solution", "def f(x):\n    return half(x)"))]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "01_qkv.ipynb")
    texts = handout.Texts(kit.Task("1.1", 1, 1.0, ""))
    texts.chapter = Chapter(tmp_path / "01_qkv.ipynb")
    texts.cells = type(texts.cells)("1.1", 2, 3, 4, (5,))
    assert handout.imports([texts]) == words
    ast.parse(words)


# How it is chosen and read back.


def test_a_kit_is_read_back_as_it_was_written(made, whole):
    assert kit.read_kit(made.folder) == made
    assert kit.read_kit(str(whole.folder)) == whole


def test_the_exercise_is_that_of_the_variant(made):
    assert made.exercise("1.3") is get("1.3") and made.exercise("1.3", 2) is get("1.3")
    ids = [made.exercise("5.1", variant).id for variant in (1, 2, 3)]
    assert ids == [f"5.1/{draw}" for draw in made.task("5.1").draws] and len(set(ids)) == 3
    for variant in (None, 0, 4, -1):
        with pytest.raises(KeyError, match="variants 1 to 3"):
            made.exercise("5.1", variant)
    with pytest.raises(KeyError, match="has no exercise 4.4; it has 1.1, 5.1"):
        made.exercise("4.4")


@pytest.mark.parametrize("pattern, words", [
    ("77.7", r"No exercise is called 77.7. Did you mean .+ is all of chapter 4"),
    ("1", "No exercise is called 1[.]"), ("", "No exercise is called"),
])
def test_an_exercise_that_is_not_there_is_named(tmp_path, pattern, words):
    with pytest.raises(ValueError, match=words):
        kit.make_kit(tmp_path / "k", ["1.1", pattern], title="x")
    assert not (tmp_path / "k").exists()


def test_points_for_what_is_not_asked_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Points were given for 2.2, which is not in"):
        kit.make_kit(tmp_path / "k", ["1.1"], title="x", points={"2.2": 3})


def test_a_kit_is_never_written_over(made):
    before = (made.folder / "instructor/seed").read_text()
    with pytest.raises(ValueError, match="is there already"):
        kit.make_kit(made.folder, ["1.1"], title="x")
    assert (made.folder / "instructor/seed").read_text() == before


def damage_json(folder):
    (folder / "instructor/manifest.json").write_text("{")


def no_seed(folder):
    (folder / "instructor/seed").unlink()


def empty_seed(folder):
    (folder / "instructor/seed").write_text("\n")


def change(**fields):
    def changed(folder):
        path = folder / "instructor/manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return changed


TASK = {"id": "1.3", "version": 99, "points": 1.0, "title": "x", "function": "f", "draws": []}


@pytest.mark.parametrize("damage, words", [
    (damage_json, "manifest.json is damaged"), (no_seed, r"is no kit: .*seed cannot be read"),
    (empty_seed, "its manifest or its seed is damaged"),
    (change(format=99), "of another version"), (change(tasks=3), "damaged or of another version"),
    (change(surprise=1), "damaged or of another version"),
    (change(tasks=[TASK]), "exercise 1.3 has version 99; here it has version"),
    (change(tasks=[TASK | {"id": "77.1"}]), "exercise 77.1 has version 99; here it does not exist"),
])
def test_a_damaged_kit_is_named(tmp_path, damage, words):
    kit.make_kit(tmp_path / "k", ["1.3"], title="x")
    damage(tmp_path / "k")
    with pytest.raises(ValueError, match=words):
        kit.read_kit(tmp_path / "k")


def test_a_folder_that_is_no_kit_is_named(tmp_path):
    with pytest.raises(ValueError, match="is no kit: .* A kit is the whole folder"):
        kit.read_kit(tmp_path)
