"""Reports and similar pairs: what they say of made-up records, opened in a browser."""

import json
import random
import re

import pytest
from browsing import axe_faults

from attnlib.exercises import get
from classroom import handout, reports, similarity
from classroom.gradebook import Mark, Record, write_record
from classroom.kit import Kit, Task

SENTENCES = {m.name: m.sentence for m in get("1.3").mistakes}
MARKUP = "<script>document.title = 'broken'</script><img src=x onerror=alert(1)>"
RIGHT = """# answer 1.3
def self_attention(x, w_query, w_key, w_value):
    query, key, value = x @ w_query, x @ w_key, x @ w_value
    return softmax(query @ key.T / np.sqrt(key.shape[-1])) @ value
"""
ODD = """# answer 1.3
def self_attention(x, w_query, w_key, w_value):
    out, counter = [], 0
    while counter < len(x) and True:
        mine = [float(sum(a * b for a, b in zip(x[counter] @ w_query, row))) for row in x @ w_key]
        top = max(mine) - 0.0
        mine = [2.718281828459045 ** ((m - top) / len(w_key[0]) ** 0.5) for m in mine]
        out += [sum(m / sum(mine) * v for m, v in zip(mine, x @ w_value))]
        counter = counter + 1
    return np.asarray(out, dtype=float)
"""


def kit_in(folder):
    """A kit of three exercises, made without writing one."""
    tasks = tuple(Task(id, 1, points, *handout.heading(id))
                  for id, points in (("1.3", 5.0), ("2.1", 3.0), ("4.5", 2.0)))
    return Kit(folder, "hw", "Homework <b>1</b>", "2026-12-01", tasks, 0, "0.1.0", "00" * 16)


def mark(status, points, mistake="", sentence="said `so` & <i>so</i>"):
    return Mark("1.3", points, 5.0, status, mistake, sentence)


def renamed(source):
    """The same code by somebody who renamed and commented."""
    for old, new in {"counter": "i", "mine": "scores", "out": "results", "top": "m0"}.items():
        source = re.sub(rf"\b{old}\b", new, source)
    return source.replace("    return", "    # all done\n    return")


@pytest.fixture(scope="module")
def grades(tmp_path_factory):
    """Nine students: some right, three without the scale, two who wrote the same odd thing."""
    folder = tmp_path_factory.mktemp("grades")
    none = Mark("2.1", 0, 3, "not_attempted", "", "")
    lists = [("anna", "Anna Lind", RIGHT, mark("passed", 5.0)),
             ("bo", "Bo", RIGHT, mark("passed", 5.0)),
             ("cara", MARKUP, RIGHT.replace("/ np.sqrt(key.shape[-1])", "") + MARKUP,
              mark("known_mistake", 0.0, "no-scale", SENTENCES["no-scale"])),
             ("dan", "", RIGHT, mark("known_mistake", 0.0, "no-scale+swapped", "both")),
             ("eve", "", "", mark("known_mistake", 0.0, "no-scale", SENTENCES["no-scale"])),
             ("finn", "", ODD, mark("passed", 5.0)),
             ("gus", "", renamed(ODD), mark("passed", 5.0)),
             ("../hana", "", "def f(:\n '", mark("raised", 0.0)),
             ("ida", "", "", mark("not_attempted", 0.0))]
    for student, name, answer, got in lists:
        write_record(folder, Record(student, name, f"{student}.ipynb", "", ("A note on `x`.",),
                                    {"1.3": answer} if answer else {}, {"1.3": got, "2.1": none}))
    kit = kit_in(folder)
    (folder / "reports").mkdir()
    (folder / "reports" / "gone.html").write_text("of a student who left")
    reports.write(kit, folder)
    return folder


def test_a_page_for_each_student_and_no_other(grades):
    pages = {path.name for path in (grades / "reports").iterdir()}
    assert len(pages) == 9 and "gone.html" not in pages and "anna.html" in pages
    assert not list(grades.glob("*.part")) and not list((grades / "reports").glob("*.part"))


def test_what_a_student_is_told(grades, look):
    page = look(grades / "reports" / "cara.html")
    words = page.inner_text("main")
    assert "0 of 10 points" in words and "Homework <b>1</b>" in words
    assert "a known mistake: no-scale" in words and "due 2026-12-01" in words
    assert SENTENCES["no-scale"].replace("`", "") in words
    assert [heading.partition(" ")[0] for heading in page.locator("h3").all_inner_texts()] == [
        "✗", "○", "○"]
    assert page.locator("li code").inner_text() == "x"
    assert "✓ 1.3" in look(grades / "reports" / "anna.html").inner_text("main")


def test_markup_stays_text(grades, look):
    page = look(grades / "reports" / "cara.html")
    page.click("summary")
    assert MARKUP in page.inner_text("main") and MARKUP in page.inner_text("pre")
    assert page.locator("main script, main img, main i, main b").count() == 0
    assert "broken" not in page.title() or "<script>" in page.title()
    hana = look(grades / "reports" / f"{reports.file_stem('../hana')}.html")
    assert "said so & <i>so</i>" in hana.inner_text("main")
    page = look(grades / "class.html")
    assert MARKUP in page.inner_text("main") and page.locator("main script").count() == 0


def test_what_the_class_page_says(grades, look):
    page = look(grades / "class.html")
    words = page.inner_text("main")
    assert "9 students, 2.22 of 10 points in the mean, 0 in the middle" in words
    assert "3 of 8 no-scale · " + SENTENCES["no-scale"].replace("`", "") in words
    assert "1 of 8 swapped · " + SENTENCES["swapped"].replace("`", "") in words
    assert "4 right, 3 with a known mistake, 1 otherwise wrong, 1 not attempted" in words
    said = page.locator("main :is(li, h2, h3)").all_inner_texts()
    assert len(said) > 6 and len(set(said)) == len(said)  # nothing is said twice
    assert re.search(r"Nobody solved 2\.1 \(.+\), 4\.5 \(.+\)\.", words)
    first = page.locator("tbody").first
    assert first.locator("tr").count() == 1
    assert re.match(r"finn and gus\s+100 %\s+\d+\s+1\.3", first.inner_text())
    first.locator("a").first.click()
    assert page.url.endswith("/instructor/finn.html")


def test_pictures_have_words_and_hold_everything(grades, look):
    page = look(grades / "class.html")
    pictures = page.evaluate("[...document.images].map(i => [i.naturalWidth, i.alt, i.src])")
    assert len(pictures) == 2
    for width, _, source in pictures:
        assert width > 100 and source.startswith("data:image/svg+xml;base64,")
    assert pictures[0][1] == ("Number of students by their points: 5 with 0 to 10 %, "
                              "4 with 50 to 60 %.")
    assert "The numbers stand below" in pictures[1][1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("name", ["class.html", "reports/cara.html"])
def test_a_report_is_accessible_on_a_phone_and_in_the_dark(grades, look, name, width, scheme):
    page = look(grades / name, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark is (scheme == "dark")
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert not axe_faults(page)


def test_the_same_records_give_the_same_pages(grades):
    before = {path: path.read_bytes() for path in grades.rglob("*.html")}
    reports.write(kit_in(grades), grades)
    assert {path: path.read_bytes() for path in grades.rglob("*.html")} == before


def test_an_empty_class_has_a_page(tmp_path, look):
    reports.write(kit_in(tmp_path), tmp_path)
    assert "Nothing has been graded yet." in look(tmp_path / "class.html").inner_text("main")
    assert json.loads((tmp_path / "assignment.json").read_text())["out_of"] == 10


def test_hostile_answers_do_not_stop_the_reports(tmp_path):
    """Lone surrogates, null bytes, endless brackets, and an answer that is far too long."""
    for i, answer in enumerate(["\ud800 = 1", "a\0b", "(" * 5000, "x = 1\n" * 100_000, "'''", ""]):
        write_record(tmp_path, Record(f"s{i}", answers={"1.3": answer}, marks={}))
    reports.write(kit_in(tmp_path), tmp_path)
    sizes = [path.stat().st_size for path in (tmp_path / "reports").iterdir()]
    assert len(sizes) == 6 and max(sizes) < 100_000


# Similar answers.


def test_names_comments_and_layout_do_not_hide_a_copy():
    assert similarity.runs(ODD) == similarity.runs(renamed(ODD))
    assert similarity.runs(ODD) != similarity.runs(RIGHT)
    assert not similarity.runs("x.exp(a, b)") & similarity.runs("x.sin(a, b)")


def test_a_few_lines_in_common_are_no_sign():
    short = similarity.runs("a = b + c * 2 - d")
    others = {f"s{i}": {"1.3": similarity.runs(code(random.Random(i)))} for i in range(20)}
    assert 0 < len(short) < similarity.FEWEST
    assert not similarity.similar(others | {"x": {"1.3": short}, "y": {"1.3": short}})


def test_only_so_much_of_an_answer_is_read():
    padding = "a = 1\n" * similarity.LONGEST
    assert similarity.runs(padding + ODD) == similarity.runs(padding)


def code(rng, lines=12):
    """Made-up code of somebody's own."""
    return "\n".join(f"v{rng.randrange(9)} = {rng.choice('abcd')}{rng.choice('+-*/%@')}"
                     f"{rng.randrange(99)}{rng.choice('+-*/')}np.{rng.choice(['exp', 'log'])}(q)"
                     for _ in range(lines))


def classroom_of(copies, size=40):
    """{student: {exercise: runs}}: everybody has the stub's and the usual lines, and own ones."""
    rng, usual = random.Random(3), code(random.Random(1), 8)
    answers = {f"s{i:02}": code(rng) + "\n" + usual for i in range(size)}
    for thief, victim in copies.items():
        answers[thief] = answers[victim].replace("v1", "w")
    return {student: {"1.3": similarity.runs(answer)} for student, answer in answers.items()}


def test_copies_are_found_and_nobody_else():
    assert similarity.similar(classroom_of({})) == []
    found = similarity.similar(classroom_of({"s07": "s31", "s12": "s02"}))
    assert {pair.students for pair in found} == {("s07", "s31"), ("s02", "s12")}
    assert all(pair.share == 1 and pair.exercises == ("1.3",) for pair in found)


def test_what_many_wrote_is_no_sign():
    """Forty equal answers are what a short right answer looks like."""
    alike = {f"s{i}": {"1.3": similarity.runs(RIGHT)} for i in range(40)}
    assert similarity.similar(alike) == []


def test_what_was_handed_out_does_not_count(tmp_path):
    """Forty students mend one line each of the broken code that they were given."""
    kit = kit_in(tmp_path)
    given = reports.handed_out(kit)
    statement = handout.Texts(kit.task("4.5")).statement()
    broken = re.search(r"```python\n(.*?)```", statement, re.DOTALL)
    assert len(similarity.runs(broken[1])) > 50 and not similarity.runs(broken[1]) - given
    assert not similarity.runs(handout.Texts(kit.task("1.3")).stub()) - given
    assert similarity.runs(ODD) - given
