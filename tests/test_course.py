"""The site without solutions: nothing of them is in any of its files."""

import json
import shutil
import subprocess

import nbformat
import pytest
from leaks import Secrets, disguised

from press import without_solutions
from press.chapters import ROOT, Chapter, chapter_paths, settings


@pytest.fixture(scope="module")
def secrets():
    return Secrets([Chapter(path) for path in chapter_paths()])


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    out = tmp_path_factory.mktemp("course") / "site"
    out.mkdir()
    (out / "old.html").write_text("from a build with solutions")
    without_solutions.build_course(out)
    return out


@pytest.mark.whole
def test_no_solution_is_anywhere_in_the_site(course, secrets):
    assert secrets.in_folder(course) == []
    assert secrets.in_search_index(course) == []


@pytest.mark.whole
def test_the_site_is_whole_and_has_no_way_to_the_solutions(course):
    assert not (course / "old.html").exists()
    for path in chapter_paths():
        page = (course / f"book/{path.stem}.html").read_text(encoding="utf-8")
        chapter = Chapter(path)
        assert page.count('<section class="exercise"') == len(chapter.exercises) > 0
        assert page.count('<details class="fold hint">') > 0
        assert '<details class="fold solution">' not in page
        assert f'href="{settings()["repository"]["url"]}"' not in page
        assert (course / f"_downloads/{path.name}").exists()
    assert (course / "index.html").exists() and (course / "_static/fonts").is_dir()


def page(text):
    return f"<html><body><p>Some text.</p><div>{text}</div></body></html>"


def downloaded(source, kind):
    new = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}[kind]
    return nbformat.writes(nbformat.v4.new_notebook(cells=[new(source)]))


PLACES = {  # file name: how a leak is written there
    "book/01_qkv.html": lambda source, kind: page(
        f"<pre>{source}</pre>" if kind == "code" else source),
    "_downloads/01_qkv.ipynb": downloaded,
    "_sources/01_qkv.txt": lambda source, kind: source,
    "_static/data.js": lambda source, kind: "data = " + repr(source),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["code", "markdown"])
def test_a_planted_leak_is_caught(secrets, tmp_path, place, kind):
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text(PLACES[place]("Nothing of the kind.", kind))
    assert secrets.in_folder(tmp_path) == []
    for chapter in map(Chapter, chapter_paths()):
        sources = [cell.source for _, cell in chapter.tagged("solution") if cell.cell_type == kind
                   and len(cell.source) > 100]
        assert sources
        for source in sources:
            path.write_text(PLACES[place](source, kind))
            assert secrets.in_folder(tmp_path), source


@pytest.mark.parametrize("place", [place for place in PLACES if not place.endswith(".js")])
def test_a_planted_leak_under_other_names_is_caught(secrets, tmp_path, place):
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    chapter = Chapter(chapter_paths()[0])
    for _, cell in chapter.tagged("solution"):
        if "def " in cell.source and "return {" not in cell.source:
            path.write_text(PLACES[place](disguised(cell.source), "code"))
            assert any("code of a solution" in line for line in secrets.in_folder(tmp_path)), cell


def test_a_word_that_only_the_search_knows_is_caught(secrets, tmp_path):
    word = sorted(secrets.stems)[-1]
    (tmp_path / "_static").mkdir()
    for said, found in (("nothing", []), (word, [word])):
        entry = json.dumps([["Title", "book/x.html", "", said, 10]])
        (tmp_path / "_static" / "search.js").write_text(f"bookIndex({entry})")
        assert secrets.in_search_index(tmp_path) == found


def test_a_build_that_fails_leaves_no_site(tmp_path, monkeypatch):
    out = tmp_path / "site"
    out.mkdir()
    monkeypatch.setattr(without_solutions, "print_book_without_solutions",
                        lambda folder: shutil.copytree(ROOT / "book", folder))  # no _toc.yml
    with pytest.raises(subprocess.CalledProcessError):
        without_solutions.build_course(out)
    assert not out.exists()


@pytest.mark.parametrize("extra, wanted", [([], "jupyter-book build ."),
                                           (["SOLUTIONS=no"], "-m press course")])
def test_make_book_takes_the_edition_that_is_asked_for(extra, wanted):
    plan = subprocess.run(["make", "-n", "book", *extra], cwd=ROOT, text=True,
                          capture_output=True).stdout
    assert wanted in plan and ("press course" in plan) is bool(extra)
