"""What people expect of a repository names commands and files that are there."""

import json
import re

import pytest
import yaml

from press.chapters import ROOT

MAKE = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*-*.yml"))


@pytest.mark.parametrize("name", [
    "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "TRANSLATING.md",
    ".github/PULL_REQUEST_TEMPLATE.md", ".devcontainer/devcontainer.json"])
def test_every_command_and_file_that_is_named_is_there(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert set(re.findall(r"[`\"]make ([a-z-]+)", text)) <= MAKE
    for link in re.findall(r"\]\(([^):]+)\)", text):
        assert (ROOT / link.partition("#")[0]).exists(), link


def test_what_a_translation_must_keep_is_read_where_it_says():
    kept = (ROOT / "TRANSLATING.md").read_text(encoding="utf-8").partition("read by the press")[2]
    for item in kept.partition("Names in code")[0].split("\n- ")[1:]:
        reader = (ROOT / re.search(r"\]\(([^)]+)\)", item)[1]).read_text(encoding="utf-8")
        words = [re.match(r"\W*(?:Exercise|[\w ]+?)(?= X?\d|\.|$)", word)[0]
                 for word in re.findall(r"`([^`]+)`[,:]", item)]
        assert words and all(word in reader for word in words), (words, item)


def test_the_table_of_commands_has_every_command():
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## What to run")[2]
    left_out = {"help", "ready", "book", "serve", "lock", "clean", "proofs-fresh"}
    assert set(re.findall(r"^\| `make ([a-z-]+)", table, re.M)) == MAKE - left_out


def test_the_forms_ask_for_what_is_needed():
    assert [form.stem for form in FORMS] == [
        "right-answer-refused", "wrong-answer-passed", "wrong-verdict"]
    for form in FORMS:
        fields = yaml.safe_load(form.read_text(encoding="utf-8"))["body"]
        ids = [field["id"] for field in fields]
        assert len(set(ids)) == len(ids)
        assert sum(field.get("validations", {}).get("required", False) for field in fields) >= 2


def test_the_container_and_the_hook_use_what_make_makes():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert container["postCreateCommand"].startswith("make ready")
    hook = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert hook["repos"][0]["hooks"][0]["entry"].startswith(".venv/bin/python -m ruff check")
