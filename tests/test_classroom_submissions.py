"""Files as people send them: whose they are, which one counts, and where the answers stand."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classroom import gradebook
from classroom.roster import Index, Student, read_roster
from classroom.submissions import LARGEST, collect, content, entries, owned, uploads

# Whose it is.


def owner(folder, path, roster=(), slug="week-3"):
    """Whose an upload is, and what is in doubt."""
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"x")
    result = collect(folder, (), slug=slug)
    found = uploads(folder, [folder], result)
    (_, people, doubt), = owned(found, Index(roster), slug)
    return *people[0], doubt


@pytest.mark.parametrize("path, id, name", [
    ("Anna Maria Lind_4711_assignsubmission_file_/any name.ipynb", "4711", "Anna Maria Lind"),
    ("Anna_Lind_4711_assignsubmission_onlinetext_/x.html", "4711", "Anna_Lind"),
    ("Anna Lind_4711_assignsubmission_file_hw.ipynb", "4711", "Anna Lind"),
    ("lindanna_815_42_hw.ipynb", "815", "lindanna"),
    ("lindanna_LATE_815_42_hw_2_final.ipynb", "815", "lindanna"),
    ("Week 3_alind_attempt_2026-10-05-12-00-01_hw.ipynb", "alind", ""),
    ("Week 3_alind_attempt_2026-10-05-12-00-01.txt", "alind", ""),
    ("anna/ps1/ps1.ipynb", "anna", ""),
    ("anna.ipynb", "anna", ""), ("anna (1).ipynb", "anna", ""), (".anna.ipynb", "anna", ""),
    ("anna - Copy (2).ipynb", "anna", ""), ("anna.ipynb.txt", "anna", ""),
    ("a.lind.ipynb", "a.lind", ""), ("hw1_anna.ipynb", "hw1_anna", ""),
    ("hedda_10_05_2026.ipynb", "hedda_10_05_2026", ""),
    ("hedda_2026_10_05_week3.ipynb", "hedda_2026_10_05_week3", ""),
    ("hedda_1_2_26.ipynb", "hedda_1_2_26", ""),
])
def test_a_student_is_known_by_folder_prefix_or_file_name(tmp_path, path, id, name):
    assert owner(tmp_path, path) == (id, name, "")


@pytest.mark.parametrize("path, people", [
    ("hw1_anna.ipynb", ("7", "Anna Lind")), ("bo_LATE_1_2_x.ipynb", ("8", "Bo")),
    ("eva/hw.ipynb", ("eva", "Eva Holm")), ("EVA.ipynb", ("eva", "Eva Holm")),
    ("Eva Holm_99_assignsubmission_file_/hw.ipynb", ("eva", "Eva Holm")),
    ("holmeva_99_100_hw.ipynb", ("eva", "Eva Holm")), ("eva (2).ipynb", ("eva", "Eva Holm")),
    ("W_eva@x.org_attempt_2026-10-05-12-00-01_a.ipynb", ("eva", "Eva Holm")),
])
def test_the_roster_comes_before_names(tmp_path, path, people):
    roster = (Student("7", "Anna Lind", "hw*_anna*"), Student("8", "Bo", "bo_LATE_1_2_x.ipynb"),
              Student("eva", "Eva Holm", columns={"email": "eva@x.org"}))
    assert owner(tmp_path, path, roster) == (*people, "")


def test_who_matches_nobody_is_in_doubt(tmp_path):
    roster = (Student("eva", "Eva Holm"),)
    assert owner(tmp_path, "evan/hw.ipynb", roster) == (
        "evan", "", "it matches nobody in the roster.")


def test_letters_are_the_same_however_a_system_writes_them(tmp_path):
    roster = tmp_path / "roster.csv"
    (tmp_path / "in").mkdir()
    roster.write_text("student,name,upload\nj,J,jos\N{LATIN SMALL LETTER E WITH ACUTE}.ipynb\n",
                      encoding="utf-8")
    assert owner(tmp_path / "in", "jose\N{COMBINING ACUTE ACCENT}.ipynb", read_roster(roster)) == (
        "j", "J", "")


def test_a_roster_from_a_spreadsheet_is_read(tmp_path):
    path = tmp_path / "roster.csv"
    text = "\ufeffStudent , Name,Section,upload\r\n 7 ,Anna,A,\r\n,,,\r\n8,Bo\r\n"
    path.write_bytes(text.encode())
    assert read_roster(path) == (Student("7", "Anna", ""), Student("8", "Bo", ""))


@pytest.mark.parametrize("data", [
    "Student ID;Nachname;Vorname;E-Mail\n4711.0;Müller;Jörg;j@x.org\n".encode("cp1252"),
    "Student ID\tFull name\tx\n4711\tJörg Müller\t1\n".encode("utf-16"),
    "sep=;\r\nusername;name\r\n4711;Jörg Müller\r\n".encode("utf-8-sig"),
    "ID number,Full name,Identifier\n4711,Jörg Müller,Participant 9\n".encode(),
    "Student,ID,SIS User ID,SIS Login ID,Section\n    Points Possible,,,,\n"
    "Jörg Müller,4711,,jm,A\n".encode(),
    "student|name\n\u200b4711 |Jörg\xa0Müller\n".encode("utf-16-le"),
])
def test_a_roster_is_read_as_spreadsheets_and_platforms_write_it(tmp_path, data):
    (tmp_path / "r.csv").write_bytes(data)
    student, = read_roster(tmp_path / "r.csv")
    assert (student.id, student.name) == ("4711", "Jörg Müller")


def test_a_roster_says_group_variant_and_lateness(tmp_path):
    (tmp_path / "r.csv").write_text("student,group,variant,late\n1,A,v3,no\n2,,,2 days\n")
    assert [(s.group, s.variant, s.late) for s in read_roster(tmp_path / "r.csv")] == [
        ("A", 3, ""), ("", None, "2 days")]


@pytest.mark.parametrize("text, words", [
    ("pre,upload\nAnna,x\n", "columns student, name, upload[^$]*Found in its first line: pre, up"),
    ("", "columns student[^$]*Found in its first line: nothing"),
    ("student\n7\n8\n7\n", "more than one line for 7"), ("student\nada\nAda\n", "Ada, ada"),
    ("student\n4.71E+10\n", "spreadsheet rounded"), ("PK\x03\x04", "is a spreadsheet: save it as"),
])
def test_a_roster_that_cannot_be_used_is_refused(tmp_path, text, words):
    (tmp_path / "roster.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        read_roster(tmp_path / "roster.csv")


# Which file counts.


def hand_in(folder, *names, day=1):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (day * 86400, day * 86400))


def counts(folder, *roster, **how):
    return {one.student: (one.files or ("",))[0]
            for one in collect(folder, roster, **how).submissions}


def test_the_last_notebook_counts_or_the_first(tmp_path):
    hand_in(tmp_path, "b_LATE_2_900_hw.ipynb", "anna/b.ipynb", day=1)
    hand_in(tmp_path, "b_2_100_hw-1.ipynb", "anna/a.ipynb", day=2)
    hand_in(tmp_path, "anna/notes.pdf", "c/x2.ipynb", "c/x10.ipynb", day=3)
    assert counts(tmp_path) == {
        "2": "b_LATE_2_900_hw.ipynb", "anna": "anna/a.ipynb", "c": "c/x10.ipynb"}
    assert counts(tmp_path, first=True) == {
        "2": "b_2_100_hw-1.ipynb", "anna": "anna/b.ipynb", "c": "c/x2.ipynb"}
    found = collect(tmp_path, first=True).submissions
    assert found[0].notes == ("It was handed in late.",
                              "2 notebooks were handed in; the first counts.")
    assert found[1].notes == ("2 notebooks were handed in; the first counts.",)


def test_what_systems_leave_is_left_out(tmp_path):
    hand_in(tmp_path, "anna/hw.ipynb", "anna/.ipynb_checkpoints/hw-checkpoint.ipynb", ".DS_Store",
            "__MACOSX/anna/._hw.ipynb", "Thumbs.db", ".git/config", "grades.csv", "._anna.ipynb")
    found = collect(tmp_path)
    one, = found.submissions
    assert (one.student, one.files, one.notes) == ("anna", ("anna/hw.ipynb",), ())
    assert sorted(found.left_out) == ["._anna.ipynb", ".git", "grades.csv"] and not found.doubts


@pytest.mark.parametrize("names, first", [
    (["a/x.zip", "a/x.ipynb"], "a/x.ipynb"), (["b/x.zip", "b/x.pdf"], "b/x.zip"),
    (["c/w.ipynb - Colab.pdf", "c/w.ipynb"], "c/w.ipynb"), (["d/w.ipynb.txt"], "d/w.ipynb.txt"),
    (["e/w.IPYNB", "e/w.py"], "e/w.IPYNB"), (["f/w.py", "f/w.html"], "f/w.py"),
    (["g/w.ipynb.json"], "g/w.ipynb.json"), (["h/w (1).ipynb.download"], "h/w (1).ipynb.download"),
    (["i/w.ipynb - Colab.pdf"], ""), (["j/essay.docx", "j/photo.HEIC"], ""),
])
def test_a_notebook_is_found_by_how_its_name_ends(tmp_path, names, first):
    hand_in(tmp_path, *names[:1], day=2)
    hand_in(tmp_path, *names[1:])
    found, = collect(tmp_path).submissions
    assert (found.files or ("",))[0] == first
    if not first:
        assert "which is no notebook: please hand in the `.ipynb` file." in found.notes[-1]


def test_who_is_on_the_roster_is_listed_though_nothing_came(tmp_path):
    hand_in(tmp_path, "anna.ipynb")
    roster = [Student("zoe", "Zoe"), Student("anna", "Anna", late="2 days")]
    assert [(s.student, s.name, s.files, s.notes) for s in collect(tmp_path, roster).submissions
            ] == [("anna", "Anna", ("anna.ipynb",), ("It was handed in late (2 days).",)),
                  ("zoe", "Zoe", (), ("Nothing was handed in.",))]


# Nobody is lost, and nobody's work is put under another's name.


@pytest.mark.parametrize("names, students, doubts", [
    (["submissions/ada_1_11_week-3.ipynb", "submissions/bela_2_12_week-3.ipynb"], ["1", "2"], 0),
    (["A/ada_1_11_w.ipynb", "B/bela_2_12_w.ipynb"], ["1", "2"], 0),
    (["all/Ada L_1_assignsubmission_file_/w.ipynb", "all/Bo M_2_assignsubmission_file_/w.ipynb"],
     ["1", "2"], 0),
    (["class/ada/w.ipynb", "class/bela/w.ipynb"], ["ada", "bela"], 1),
    (["ada/week-3.ipynb", "ada/notes.pdf"], ["ada"], 0),
    (["hedda_10_05_2026.ipynb", "ivo_10_05_2026.ipynb"],
     ["hedda_10_05_2026", "ivo_10_05_2026"], 0),
    (["hedda_10_11_hw.ipynb", "ivo_10_12_hw.ipynb"],
     ["hedda_10_11_hw.ipynb", "ivo_10_12_hw.ipynb"], 2),
    (["week-3.ipynb", "week-3 (1).ipynb", "week-3 (2).ipynb"],
     ["week-3", "week-3 (1)", "week-3 (2)"], 3),
    (["week-3-v2.ipynb"], ["week-3-v2"], 1),
    (["homework.ipynb", "homework (1).ipynb"], ["homework", "homework (1)"], 1),
    (["a" * 120 + "1.ipynb", "a" * 120 + "2.ipynb"], 2, 0),
    (["ada.ipynb", "ada\N{ZERO WIDTH SPACE}.ipynb"], 2, 1), (["Ada/w.ipynb", "ada.ipynb"], 2, 1),
    (["ada/w.ipynb", "ada.ipynb"], ["ada"], 1),
    (["W_ada_attempt_2026-10-05-12-00-01.txt", "W_ada_attempt_2026-10-05-12-00-01_w.ipynb",
      "W_bo_attempt_2026-10-06-12-00-01_w.ipynb"], ["ada", "bo"], 0),
    (["grades.csv", "ada.ipynb", "roster.xlsx", "log.yml"], ["ada"], 0),
])
def test_identities(tmp_path, names, students, doubts):
    hand_in(tmp_path, *names)
    found = collect(tmp_path, slug="week-3")
    if isinstance(students, int):
        assert len({one.student for one in found.submissions}) == students
    else:
        assert [one.student for one in found.submissions] == students
    assert len(found.doubts) == doubts, found.doubts
    handed = [file for one in found.submissions for file in one.files]
    assert {name for name in names if name.endswith(".ipynb")} <= set(handed)
    assert len(handed) == len(set(handed))


def test_the_roster_settles_doubts(tmp_path):
    hand_in(tmp_path, "all/week-3.ipynb", "all/week-3 (1).ipynb", "all/cem/w.ipynb",
            "all/homework.ipynb", "all/homework (1).ipynb")
    roster = [Student("a", "Ada", "week-3.ipynb"), Student("b", "Bela", "week-3 (1).ipynb"),
              Student("c", "Cem"), Student("d", "Dora", "homework*")]
    found = collect(tmp_path, roster, slug="week-3")
    assert not found.doubts
    assert {one.student: set(one.files) for one in found.submissions} == {
        "a": {"all/week-3.ipynb"}, "b": {"all/week-3 (1).ipynb"}, "c": {"all/cem/w.ipynb"},
        "d": {"all/homework.ipynb", "all/homework (1).ipynb"}}


def test_groups_share_a_hand_in(tmp_path):
    hand_in(tmp_path, "Team 1/w.ipynb", "Red_77_assignsubmission_file_/w.ipynb", "pair.ipynb")
    roster = [Student("a", "Ada", group="team 1"), Student("b", "Bo", group="Team 1"),
              Student("c", "Cy", group="Red"), Student("d", "Di", upload="pair.ipynb"),
              Student("e", "Ed", upload="pair.ipynb")]
    found = collect(tmp_path, roster)
    assert not found.doubts
    assert {one.student: one.files[0] for one in found.submissions} == {
        "a": "Team 1/w.ipynb", "b": "Team 1/w.ipynb", "c": "Red_77_assignsubmission_file_/w.ipynb",
        "d": "pair.ipynb", "e": "pair.ipynb"}
    assert found.submissions[0].notes == ("It was handed in together with others.",)


def test_gradescope_says_who_handed_in_what(tmp_path):
    export = "assignment_9_export"
    hand_in(tmp_path, *(f"{export}/submission_{number}/w.ipynb" for number in (11, 12, 13)))
    (tmp_path / export / "submission_metadata.yml").write_text("""\
submission_11:
  :submitters:
  - :name: Ada Lind
    :sid: '4711'
    :email: ada@x.org
  :created_at: 2026-10-05 12:00:01.000000000 Z
submission_12:
  :submitters:
  - :name: Bo Berg
    :email: bo@x.org
  - :name: Cy Coe
    :sid: '4713'
""")
    found = collect(tmp_path, [Student("4712", "Bo Berg", columns={"email": "bo@x.org"}),
                               Student("4711", "Ada Lind"), Student("4713", "Cy Coe")])
    assert {one.student: (one.name, one.files[0].split("/")[1]) for one in found.submissions} == {
        "4711": ("Ada Lind", "submission_11"), "4712": ("Bo Berg", "submission_12"),
        "4713": ("Cy Coe", "submission_12"), "submission_13": ("", "submission_13")}
    assert found.doubts == [f"{export}/submission_13: submission_metadata.yml does not say whose "
                            "it is."]


def test_a_student_cannot_hand_in_for_another(tmp_path):
    """A name inside of somebody's folder says nothing."""
    hand_in(tmp_path, "ada/bela_2_12_w.ipynb", "bela/w.ipynb")
    assert counts(tmp_path) == {"ada": "ada/bela_2_12_w.ipynb", "bela": "bela/w.ipynb"}


# Files that are traps.


def test_links_are_not_followed(tmp_path):
    secret = tmp_path / "instructor"
    hand_in(secret, "seed.ipynb")
    folder = tmp_path / "submissions"
    hand_in(folder, "bo/hw.ipynb")
    (folder / "anna.ipynb").symlink_to(secret / "seed.ipynb")
    (folder / "eva").symlink_to(secret)
    assert [path.name for path in entries(folder)] == ["anna.ipynb", "bo", "eva"]
    assert counts(folder) == {"anna": "anna.ipynb", "bo": "bo/hw.ipynb", "eva": "eva"}
    for name in ("anna.ipynb", "eva"):
        assert content(folder, name) == (b"", "What was handed in is a link or cannot be opened.")


def test_a_pipe_a_folder_and_too_much_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "anna.ipynb")
    (tmp_path / "bo.ipynb").mkdir()
    with open(tmp_path / "eva.ipynb", "wb") as file:
        file.truncate(200 * 2**20)
    with open(tmp_path / "fay.ipynb", "wb") as file:
        file.truncate(LARGEST)
    (tmp_path / "gil.ipynb").touch()
    assert content(tmp_path, "anna.ipynb") == (b"", "What was handed in is not a file.")
    assert content(tmp_path, "bo.ipynb")[0] == b""
    assert content(tmp_path, "eva.ipynb")[1].startswith("The file has 200 MB")
    data, problem = content(tmp_path, "fay.ipynb")
    assert len(data) == LARGEST and problem == ""
    assert content(tmp_path, "gil.ipynb") == (b"", "The file is empty.")


NASTY = ["<script>alert(1)</script>", "=HYPERLINK(1)", "[/red]", "line\nbreak", "a\x1b[31m",
         "x..", "x" * 240, "\N{RIGHT-TO-LEFT OVERRIDE}fdp",
         b"\xff\xfe".decode("utf-8", "surrogateescape")]


@pytest.mark.parametrize("name", NASTY)
def test_strange_names_are_ids_that_can_be_shown_and_stored(tmp_path, name):
    hand_in(tmp_path / "in", f"{name}-x/hw.ipynb")
    found, = collect(tmp_path / "in").submissions
    assert found.student.isprintable() and 0 < len(found.student) <= 100
    record = gradebook.Record(found.student, file=found.files[0])
    gradebook.write_record(tmp_path / "out", record)
    path, = (tmp_path / "out").rglob("*.json")
    assert path.parent == tmp_path / "out/records" and len(path.name) < 60
    assert gradebook.read_record(tmp_path / "out", found.student) == record


@given(st.text(), st.text())
def test_two_students_never_share_a_file(one, other):
    assert (gradebook.file_stem(one) == gradebook.file_stem(other)) == (one == other)
    assert gradebook.file_stem(one).replace("-", "").replace("_", "").isalnum()
