"""One list: what a runner needs stands in pyproject.toml; Binder, the lock and the site follow."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from runner_needs import ROOT, allowed, loaded_by, needs, pins, strangers


def test_binder_installs_what_the_notebooks_need_at_the_versions_of_the_lock():
    lock = pins("requirements.txt")
    assert pins("binder/requirements.txt") == {name: lock[name] for name in needs()}, (
        "run `make lock`")


def test_the_lock_has_a_version_of_everything_that_is_listed_and_keeps_its_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    site = (ROOT / "press" / "requirements.txt").read_text(encoding="utf-8")
    listed = [*project["project"]["dependencies"], *project["dependency-groups"]["test"],
              *sum(project["project"]["optional-dependencies"].values(), []),
              *re.findall(r"^\w.*", site, re.M)]
    lock = pins("requirements.txt")
    for need in map(Requirement, listed):
        assert need.specifier.contains(lock[canonicalize_name(need.name)]), f"{need}: `make lock`"


def test_the_lock_names_no_torch_of_one_system_and_no_address():
    words = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert not re.search(r"nvidia|cuda|triton|\+cpu|--hash|://", words)


def test_what_builds_the_site_takes_its_versions_from_the_lock_and_no_torch():
    site = (ROOT / "press" / "requirements.txt").read_text(encoding="utf-8")
    assert "-c ../requirements.txt\n" in site and "torch" not in re.findall(r"^\w+$", site, re.M)


def test_a_package_that_binder_has_not_is_a_stranger():
    assert strangers([["NumPy"], ["matplotlib"], ["scikit-learn"], ["joblib"], ["attnlib"]]) == []
    assert strangers([["numpy"], ["nbgrader"], ["Distributed"]]) == ["distributed", "nbgrader"]


def test_one_part_of_a_namespace_that_binder_has_is_enough():
    assert strangers([["basemap", "matplotlib"]]) == []  # both have a part in mpl_toolkits
    assert strangers([["basemap", "nbgrader"]]) == ["basemap", "nbgrader"]


def test_what_the_test_runner_needs_is_not_allowed():
    assert not {"pytest", "hypothesis", "sphinx", "jupyter-book"} & allowed()


def test_a_kernel_tells_what_it_has_loaded():
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3")
    try:
        before = loaded_by(client)
        client.execute("import hypothesis")
        assert ["hypothesis"] in loaded_by(client) and ["hypothesis"] not in before
        assert strangers(before) == []
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_every_lower_bound_is_one_number():
    for need in needs().values():
        assert re.fullmatch(r">=[\d.]+", str(need.specifier)), need
