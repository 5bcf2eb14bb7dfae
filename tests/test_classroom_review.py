"""Marks that a human sets: the file beside the grades, and the page on which they are typed."""

import http.client
import json
import threading
from dataclasses import replace

import pytest
from browsing import axe_faults
from playwright.sync_api import expect

from classroom import export, gradebook, overrides, reports, review
from classroom.gradebook import Mark, Record
from classroom.kit import Kit, Task
from classroom.overrides import Override

MARKUP = "<script>document.title = 'broken'</script>"


@pytest.fixture
def kit(tmp_path):
    tasks = (Task("1.3", 1, 5.0, "Self-attention, whole", "self_attention"),
             Task("4.3", 1, 3.0, "The last few", "recent"))
    return Kit(tmp_path / "kit", "hw", "Week 3", "Friday", tasks, 0, "0.1.0", "00" * 16)


@pytest.fixture
def grades(tmp_path):
    """Three students; one of them writes markup."""
    folder = tmp_path / "grades"
    for number, (student, name) in enumerate([("ada", "Ada Lind"), ("bo/1", MARKUP),
                                              ("cem", "Çem Ünal")]):
        marks = {
            "1.3": Mark("1.3", 5.0, 5.0, "passed", sentence="6 inputs"),
            "4.3": Mark("4.3", 0.0, 3.0, "differs", sentence=f"It is {MARKUP}, not `a < b`.",
                        witness=f"input:\n  n_q = {number}\nexpected: 1\ngot:      2")}
        gradebook.write_record(folder, Record(
            student, name, "w.ipynb", "", ("Late.",),
            {"4.3": f"# answer 4.3\ndef recent():\n    return '{MARKUP}'"}, marks, ("Alone.",)))
    return folder


def points(folder):
    return {record.student: record.points for record in gradebook.records(folder)}


# The file.


def test_what_is_set_comes_last_and_is_shown_as_such(kit, grades):
    overrides.set_one(grades, Override("ada", "4.3", 2.5, "Nearly; see §2"))
    overrides.set_one(grades, Override("cem", "1.3", None, "Beautiful"))
    assert points(grades) == {"ada": 7.5, "bo/1": 5.0, "cem": 5.0}
    reports.write(kit, grades)
    page = (grades / "reports/ada.html").read_text(encoding="utf-8")
    assert "set by hand" in page and "Nearly; see §2" in page and "expected" not in page
    page = (grades / "instructor/ada.html").read_text(encoding="utf-8")
    assert "the check gave 0" in page and "expected: 1" in page and "Alone." in page
    assert "2.5✎" in (grades / "class.html").read_text(encoding="utf-8")
    export.write(grades, grades / "m.csv", "csv")
    assert "Nearly" in (grades / "m.csv").read_text(encoding="utf-8-sig")
    overrides.set_one(grades, Override("ada", "4.3", None, ""))
    assert points(grades)["ada"] == 5.0


@pytest.mark.parametrize("data", [
    "student;exercise;points;comment\r\nada;4,3;2,5;schön\r\n".encode("cp1252"),
    "\ufeffStudent,Exercise,Points\nada,4.3,2.5\n".encode(),
    "student\texercise\tpoints\tcomment\nada\t4.3\t2.5\tx\n".encode("utf-16"),
])
def test_a_spreadsheet_may_have_written_it(grades, data):
    (grades / "overrides.csv").write_bytes(data)
    assert points(grades)["ada"] == 7.5


@pytest.mark.parametrize("text, words", [
    ("a,b\n", "needs the columns student, exercise, points"),
    ("student,exercise,points\nada,4.3,many\n", "line 2: 'many' is no number"),
    ("student,exercise,points\nada,4.3,1\nada,4.3,2\n", "line 3: ada has points for 4.3"),
    ("student,exercise,points\nada,4.3,nan\n", "line 2: 'nan' is no number"),
])
def test_what_cannot_be_understood_is_told_and_never_written_over(grades, text, words):
    (grades / "overrides.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        points(grades)
    with pytest.raises(ValueError):
        overrides.set_one(grades, Override("ada", "1.3", 1.0))
    assert (grades / "overrides.csv").read_text() == text


def test_a_line_for_nobody_is_told(kit, grades):
    (grades / "overrides.csv").write_text("student,exercise,points\nAda,4.3,1\nada,9.9,1\n")
    reports.write(kit, grades)
    page = (grades / "class.html").read_text(encoding="utf-8")
    assert "nobody is called &#39;Ada&#39;; there is &#39;ada&#39;." in page
    assert "ada has no exercise &#39;9.9&#39;." in page


# The page.


@pytest.fixture
def desk(kit, grades):
    with review.server(kit, grades) as (server, address):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield address
        server.shutdown()


def asked(address, path="", method="GET", body=None, **headers):
    """The status and the text that the server gives."""
    _, _, host, token, _ = address.split("/")
    connection = http.client.HTTPConnection(host)
    connection.request(method, path.replace("TOKEN", token) or f"/{token}/", body,
                       {"Host": host, **headers})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("how, status", [
    (dict(path="/"), 403), (dict(path="/wrong/"), 403), (dict(path="/TOKEN/x"), 404),
    (dict(Host="evil.example"), 403), (dict(path="/TOKEN/mark/ada/9.9"), 404),
    (dict(path="/TOKEN/mark/../../etc"), 404), (dict(path="/TOKEN/mark/ada/4.3"), 200),
    (dict(path="/TOKEN/mark/bo%2F1/4.3"), 200),
    (dict(path="/TOKEN/mark/ada/4.3", method="POST", body="points=9"), 415),
    (dict(path="/TOKEN/mark/ada/4.3", method="POST", body="[]", **JSON), 400),
    (dict(path="/TOKEN/mark/ada/4.3", method="POST", body=" " * 200_000, **JSON), 413),
    (dict(path="/TOKEN/mark/eve/4.3", method="POST",
          body='{"points": "1", "comment": ""}', **JSON), 404),
    (dict(path="/TOKEN/mark/ada/4.3", method="POST",
          body='{"points": "many", "comment": ""}', **JSON), 400),
])
def test_nobody_gets_in_without_the_address(desk, grades, how, status):
    assert asked(desk, **how)[0] == status
    assert not (grades / "overrides.csv").exists()


def test_points_are_saved_at_once(desk, grades):
    code, text = asked(desk, "/TOKEN/mark/bo%2F1/4.3", "POST",
                       '{"points": " 1,5", "comment": "=ok"}', **JSON)
    assert code == 200 and json.loads(text)["sum"] == "6.5"
    assert overrides.read(grades)["bo/1", "4.3"] == Override("bo/1", "4.3", 1.5, "=ok")


def test_another_kits_grades_are_refused(kit, grades):
    gradebook.claim(kit, grades)
    with pytest.raises(ValueError, match="another kit"), review.server(
            replace(kit, seed="ff" * 16), grades):
        pass
    with pytest.raises(ValueError, match="holds no grades"), review.server(
            kit, grades.parent / "none"):
        pass


@pytest.fixture
def opened(chromium, desk):
    """opened(width, scheme) -> the page, in a browser that may ask this server alone."""
    contexts, complaints = [], []

    def open_(width=1400, scheme="light"):
        contexts.append(chromium.new_context(viewport={"width": width, "height": 900},
                                             color_scheme=scheme))
        page = contexts[-1].new_page()
        page.on("console", lambda m: complaints.append(m.text)
                if m.type == "error" and "status of 400" not in m.text else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(desk)
        expect(page.locator("#title")).to_contain_text("·")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not complaints


def test_a_class_is_marked_by_keyboard_alone(opened, grades):
    page = opened()
    assert "Ada Lind · 1.3" in page.inner_text("#title")
    page.keyboard.press("l")
    expect(page.locator("#title")).to_contain_text("4.3")
    assert "It is <script>" in page.inner_text("#said")
    assert page.inner_text("#said code") == "a < b"
    assert "expected: 1" in page.inner_text("#witness") and "Late. Alone." in page.inner_text(
        "#notes")
    page.keyboard.press("p")
    page.keyboard.type("2")
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    page.keyboard.type("Good try, jk")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.locator("#title")).to_contain_text("script")
    assert page.title().startswith("Review")
    page.keyboard.press("j")
    expect(page.locator("#title")).to_contain_text("Çem")
    page.keyboard.press("p")
    page.keyboard.type("1.5")
    expect(page.locator("#state")).to_have_text("saved")
    assert overrides.read(grades) == {
        ("ada", "4.3"): Override("ada", "4.3", 2.0, "Good try, jk"),
        ("cem", "4.3"): Override("cem", "4.3", 1.5, "")}
    assert page.inner_text("[data-sum=ada]") == "7"
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    page.keyboard.press("k")
    expect(page.locator("#points")).to_have_value("2")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_is_for_everybody(opened, width, scheme):
    page = opened(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not axe_faults(page)


def test_what_cannot_be_saved_is_said(opened, grades):
    page = opened()
    (grades / "overrides.csv").write_text("spoilt")
    page.fill("#comment", "hello")
    expect(page.locator("#state")).to_contain_text("not saved")
    assert (grades / "overrides.csv").read_text() == "spoilt"
