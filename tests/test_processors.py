"""The chapters print the same on every processor; what plays another processor really does."""

import json
import re
import subprocess
import sys

import nbformat
import pytest

from press.chapters import chapter_paths
from proofs import machines, repeat
from proofs.processors import PROCESSORS, environment, playable

PROBE = """
import json
import torch
from numpy._core._multiarray_umath import __cpu_features__
from threadpoolctl import threadpool_info

torch.ones(64, 64) @ torch.ones(64, 64)
torch.nn.functional.conv2d(torch.ones(2, 16, 32, 32), torch.ones(16, 16, 3, 3))
print(json.dumps({
    "numpy": [name for name, there in __cpu_features__.items() if there],
    "torch": torch.backends.cpu.get_cpu_capability(),
    "openblas": [found["architecture"] for found in threadpool_info()
                 if found["internal_api"] == "openblas"],
    "threads": torch.get_num_threads(),
}))
"""
OTHER_VENDOR = r"Intel\(R\) Architecture processors"  # there MKL knows CNR:COMPATIBLE alone
WANTED = {  # what must be off in numpy; what torch, OpenBLAS, MKL and oneDNN say they use
    "AVX2": ({"X86_V4", "AVX512_ICL", "AVX512_SPR"}, "AVX2", "Haswell",
             rf"\(Intel\(R\) AVX2\)|{OTHER_VENDOR}", "AVX2"),
    "SSE 4.2": ({"X86_V3", "X86_V4", "AVX512_ICL", "AVX512_SPR"}, "DEFAULT", "Nehalem",
                rf"\(Intel\(R\) SSE4.2\)|{OTHER_VENDOR}", "SSE4.1"),
    "another order of sums": (set(), "AVX2", None, "CNR:COMPATIBLE", None),
}
elsewhere = [name for name in playable() if name in WANTED]


def test_every_processor_is_looked_at():
    assert {"native", *WANTED} == set(PROCESSORS)


@pytest.mark.parametrize("name", elsewhere)
@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.whole)])
def test_a_feature_that_should_be_off_is_off(name, threads):
    settings = environment(name, threads) | {"MKL_VERBOSE": "1", "ONEDNN_VERBOSE": "1"}
    said = subprocess.run([sys.executable, "-c", PROBE], env=settings, text=True, check=True,
                          capture_output=True).stdout
    found = json.loads(said.splitlines()[-1])
    off, torch, openblas, mkl, onednn = WANTED[name]
    assert off.isdisjoint(found["numpy"]) and found["torch"] == torch, found
    assert openblas is None or set(found["openblas"]) <= {openblas}, found
    assert "MKL_VERBOSE" not in said or re.search(mkl, said), said
    assert onednn is None or "onednn_verbose" not in said or f"isa:Intel {onednn}" in said, said
    assert found["threads"] == threads


def test_a_processor_is_played_with_its_own_settings_alone(monkeypatch):
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    monkeypatch.setenv("HOME", "/somewhere")
    played = environment("AVX2", 2)
    assert "MKL_CBWR" not in played and played["HOME"] == "/somewhere"
    assert played["OMP_NUM_THREADS"] == "2" and played["OPENBLAS_CORETYPE"] == "Haswell"


@pytest.fixture
def notebook(tmp_path):
    """notebook(*cells) writes one, a code cell for each pair of source and stored output."""
    def write(*cells):
        made = nbformat.v4.new_notebook(cells=[
            cell for source, text in cells for cell in (
                nbformat.v4.new_markdown_cell("words"),
                nbformat.v4.new_code_cell(source, execution_count=1, outputs=[
                    nbformat.v4.new_output("stream", name="stdout", text=text)]))])
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        path = tmp_path / "04_planted.ipynb"
        nbformat.write(made, path)
        return path
    return write


@pytest.mark.parametrize("name", elsewhere[:1])
def test_a_chapter_that_differs_is_told_with_cell_processor_and_both_outputs(notebook, name):
    planted = 'import os\nprint(os.environ.get("ATEN_CPU_CAPABILITY"))'
    path = notebook(("print(1)", "1\n"), (planted, "stored\n"), ("1 / 0", "none\n"))
    (differs, raised), seconds = repeat.differences(path, name, 2)
    assert differs.startswith(f"04_planted.ipynb, cell 4 ('import os'), played as {name!r} with 2 "
                              "threads:\n")
    assert "stored" in differs and PROCESSORS[name]["ATEN_CPU_CAPABILITY"] in differs
    assert "cell 6 ('1 / 0')" in raised and "ZeroDivisionError" in raised and seconds > 0.5
    same = notebook((planted, PROCESSORS[name]["ATEN_CPU_CAPABILITY"] + "\n"))
    assert repeat.differences(same, name, 1)[0] == []


def test_a_run_that_never_starts_is_told(tmp_path):
    path = tmp_path / "broken.ipynb"
    path.write_text("{")
    (message,), _ = repeat.differences(path, "native", 1)
    assert message.startswith("broken.ipynb, played as 'native'")


@pytest.fixture(scope="module")
def fresh():
    """The stored runs of what has not changed since."""
    stale = machines.TABLE.stale()
    return {name: row for name, row in machines.TABLE.read()["rows"].items() if name not in stale}


@pytest.mark.parametrize("path", [path for path in chapter_paths() if repeat.FARTHEST in elsewhere],
                         ids=lambda path: path.stem)
def test_a_chapter_prints_the_same_on_another_processor(path, fresh):
    """One that has changed since it was last run elsewhere is run now."""
    name = f"{path.stem}, {repeat.FARTHEST}"
    if name in fresh:
        messages = fresh[name]["differs"]
    else:
        messages, _ = repeat.differences(path, repeat.FARTHEST, 1)
    assert not messages, "\n\n".join(messages)
