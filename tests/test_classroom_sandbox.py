"""The sandbox itself: what it shows, that it starts anew, and that it is refused where it fails."""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attnlib
from attnlib.running import plain
from classroom.sandbox import limits, outside, server
from classroom.sandbox.outside import NoSandbox, Sandbox, probe

linux = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")


@pytest.fixture(scope="module")
def box():
    with Sandbox() as found:
        yield found


def says(box, body, cells=(), seconds=10.0):
    """What a function with this body gives back inside."""
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    state, sent = box.ask({"do": "answer", "cells": [*cells, f"def f():\n{lines}"], "name": "f",
                           "cases": outside.one_case(), "takes": "numpy", "forbidden": [],
                           "names": []}, seconds=seconds)
    if not sent:
        return state
    message, arrays = server.unpacked(sent)
    outcome, = plain.unpack(message["outcomes"], arrays)
    return outcome if outcome.timed_out else outcome.raised or outcome.value


# What is inside.


@linux
def test_it_is_probed_by_running_it(box):
    probe(box)


@linux
def test_nothing_of_the_host_is_there(box):
    seen = says(box, "import os\nreturn [where for where, _, _ in os.walk('/')]")
    home, here = str(Path.home()), str(Path(attnlib.__file__).parents[1])
    allowed = [str(path) for path in outside.needed()] + ["/scratch", "/dev", "/sandbox"]
    for folder in seen:
        assert any(f"{place}/".startswith(f"{folder.rstrip('/')}/") or folder.startswith(place)
                   for place in allowed), folder
    assert "/proc" not in seen and "/sys" not in seen
    assert not any(folder.startswith(here) for folder in seen) or sys.prefix.startswith(here)
    assert says(box, f"import os\nreturn sorted(os.listdir({home!r}))") in (
        "FileNotFoundError", [*sandbox_names(home)])


def sandbox_names(home):
    """What of the home folder leads to Python itself."""
    return sorted({str(path)[len(home) + 1:].partition("/")[0] for path in outside.needed()
                   if str(path).startswith(home + "/")})


@linux
def test_attnlib_is_there_without_its_exercises(box):
    assert says(box, """
import attnlib, numpy as np, torch
from attnlib import plots, tasks
from attnlib.exercises import check, hint, progress
assert check("1.1", f) is None and hint("1.1") is None and progress() is None
return [attnlib.__version__, float(attnlib.softmax(np.zeros(2))[0]),
        attnlib.local_attention.__name__, tasks.sentence()[0][0]]
""") == [attnlib.__version__, 0.5, "local_attention", "anna"]
    assert says(box, "import attnlib.exercises.registry") == "ModuleNotFoundError"
    assert says(box, "import classroom.grading") == "ModuleNotFoundError"


def test_what_enters_is_this_and_nothing_else():
    mathematics = {path.stem for path in Path(attnlib.__file__).parent.glob("*.py")} - {"__init__"}
    assert set(outside.sources()) == {
        "attnlib", *(f"attnlib.{name}" for name in mathematics),
        "attnlib.running", *(f"attnlib.running.{name}" for name in (
            "outcome", "plain", "runner", "watching")),
        "attnlib.exercises", "classroom", "classroom.sandbox",
        "classroom.sandbox.answer", "classroom.sandbox.limits"}
    for name in ("attnlib.exercises", "classroom", "classroom.sandbox"):  # in their place
        assert len(outside.sources()[name]) < 100


@linux
@pytest.mark.parametrize("change, name", [
    ("torch.softmax = torch.log_softmax", "torch.softmax"),
    ("torch.nn.functional.relu = torch.nn.functional.silu", "torch.nn.functional.relu"),
    ("torch.Tensor.sum = torch.Tensor.mean", "torch.Tensor.sum"),
    ("import attnlib.multilevel as m; m.local_attention = m.chunked_attention",
     "attnlib.multilevel.local_attention"),
    ("import array_api_compat.torch as t; t.sum = t.prod", "array_api_compat.torch.sum"),
])
def test_what_a_cell_replaces_in_a_library_is_noticed(box, change, name):
    state, sent = box.ask({"do": "answer", "cells": [f"import torch\n{change}", "f = abs"],
                           "name": "f", "cases": outside.one_case(), "takes": "numpy",
                           "forbidden": [], "names": []})
    message, arrays = server.unpacked(sent)
    assert plain.unpack(message["outcomes"], arrays)[0].replaced == (name,)


def test_an_installed_attnlib_is_covered(tmp_path, monkeypatch):
    (tmp_path / "attnlib/exercises").mkdir(parents=True)
    monkeypatch.setattr(outside, "site_folders", lambda: [str(tmp_path)])
    monkeypatch.setattr(outside.shutil, "which", lambda name: "/usr/bin/bwrap")
    monkeypatch.setattr(outside.sys, "platform", "linux")
    words = outside.walls({})
    place = words.index(str(tmp_path / "attnlib"))
    assert words[place - 1] == "--tmpfs" and place > words.index(str(tmp_path))


@linux
def test_each_answer_starts_afresh(box):
    assert says(box, "import numpy, os\nnumpy.kept = 1\nos.environ['KEPT'] = '1'\n"
                     "open('kept', 'w').close()\nreturn 1") == 1
    assert says(box, "import numpy, os\nreturn [hasattr(numpy, 'kept'), 'KEPT' in os.environ, "
                     "os.listdir('.')]") == [False, False, []]


@linux
def test_the_limits_hold(box):
    assert says(box, "bytearray(2 * 2**30)") == "MemoryError"
    assert says(box, "open('x', 'wb').write(bytes(40 * 2**20))") == "OSError"
    assert says(box, "return len([open('/dev/null') for _ in range(100)])") == "OSError"
    assert says(box, "import os\nos.fork()") == "PermissionError"
    assert says(box, "import threading\nx = []\nt = threading.Thread(target=x.append, args=(1,))\n"
                     "t.start()\nt.join()\nreturn x") == [1]  # threads are allowed
    start = time.monotonic()
    assert says(box, "while True: pass", seconds=0.5).timed_out
    assert time.monotonic() - start < 30


@linux
def test_a_cell_that_does_not_end_is_named(box):
    state = says(box, "return 1", ["x = 1", "while True:\n    pass", "y = 2"], seconds=0.5)
    assert state == {"ended": "time", "begun": 2, "called": False, "clean": True}


@linux
def test_cells_run_as_in_a_notebook(box):
    cells = ["import math\n%matplotlib inline\nx = 1", "raise ValueError\n", "x = 1/0\nz = 3",
             "%%time\ny = 2", "def broken(:", "%%bash\nls", "files = !ls", "import sys; sys.exit()",
             "from __future__ import annotations\nn: undefined = 4", "input()",
             "from dataclasses import dataclass\n@dataclass\nclass Point:\n    a: int",
             "get_ipython().system('ls')", "print('x' * 10**7)", "?math"]
    assert says(box, "return [x, y, z, n, Point(5).a, math.pi > 3]", cells) == [1, 2, 3, 4, 5, True]


# It is thrown away, and made anew.


@linux
def test_a_lost_sandbox_is_replaced_and_a_silent_one_given_up(monkeypatch):
    with Sandbox() as box:
        assert says(box, "return 1") == 1
        first = box.process
        first.kill()
        first.wait()
        assert says(box, "return 2") == 2
        second = box.process
        assert second is not first
        monkeypatch.setattr(outside, "SLACK", -30.0)
        state, body = box.ask({"do": "read"}, [outside.file_array(b"{}")], seconds=1)
        assert (state["ended"], body, box.process) == ("lost", b"", None)
    with pytest.raises(ProcessLookupError):
        os.kill(second.pid, 0)


# Where it does not work.


def fake_bwrap(folder, monkeypatch, script):
    path = folder / "bwrap"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@linux
def test_without_bubblewrap_it_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoSandbox, match="no command `bwrap`[^$]*sudo apt install bubblewrap"):
        probe(Sandbox())


@linux
def test_where_namespaces_are_forbidden_it_says_what_bubblewrap_said(monkeypatch, tmp_path):
    fake_bwrap(tmp_path, monkeypatch,
               'echo "bwrap: setting up uid map: Permission denied" >&2; exit 1')
    with pytest.raises(NoSandbox, match="setting up uid map: Permission denied[^$]*AppArmor"):
        probe(Sandbox())


@linux
def test_a_bubblewrap_that_shuts_nothing_is_found_out(monkeypatch, tmp_path):
    """It runs the command as it is: everything answers, and sees the host."""
    fake_bwrap(tmp_path, monkeypatch,
               'while [ "$1" != "--" ]; do shift; done; shift\n'
               f'for last; do :; done\nexec "$1" -s -S -P -B {server.__file__}')
    monkeypatch.setattr(outside, "SCRATCH", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    with Sandbox() as box, pytest.raises(NoSandbox, match="can see out"):
        probe(box)


def test_elsewhere_than_on_linux_it_says_so(monkeypatch):
    monkeypatch.setattr(outside.sys, "platform", "darwin")
    monkeypatch.setattr(outside.platform, "system", lambda: "Darwin")
    with pytest.raises(NoSandbox, match="it is for Linux, and this is Darwin"):
        probe(Sandbox())


def test_whoever_trusts_needs_no_bubblewrap(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with Sandbox(trust=True) as box:
        assert says(box, "import os\nopen('x', 'w').close()\nreturn os.listdir('.')") == ["x"]
        assert says(box, "import os\nreturn os.listdir('.')") == []
        if sys.platform == "linux":
            assert says(box, "import os\nos.fork()") == "PermissionError"
            assert says(box, "bytearray(2 * 2**30)") == "MemoryError"
        folder = Path(box.folder)
        assert folder.exists()
    assert not folder.exists()


# Messages.


@given(st.dictionaries(st.text(), st.integers() | st.text()), st.lists(
    st.sampled_from([np.zeros((2, 0, 3)), np.arange(6.0).reshape(2, 3), np.array(True),
                     np.array([1 + 2j]), np.arange(3, dtype=">i4"), np.float16([1, 2])])))
def test_what_is_packed_is_unpacked(message, arrays):
    found, others = server.unpacked(server.packed(message, arrays))
    assert found == message and plain.identical(arrays, others)


@pytest.mark.parametrize("shapes", [
    [["|O", [1]]], [["<f8", [10**9]]], [["<f8", [-1]]], [["<f8", [1.0]]], [["<f8", [True]]],
    [["<f8", [1] * 40]], [["<V8", [1]]], [["<f8,<f8", [1]]], [["<M8", [1]]], [[["a", "<f8"], [1]]],
    [["<f8", 1]], [["<f8"]], 7, [["<f8", [2**60, 2**60]]], [["<f8", [2]]],
])
def test_arrays_that_are_none_are_refused(shapes):
    head = json.dumps([{}, shapes]).encode()
    with pytest.raises((ValueError, TypeError)):
        server.unpacked(len(head).to_bytes(8, "little") + head + bytes(8))


@given(st.binary(max_size=60))
def test_bytes_from_anybody_are_a_message_or_refused(data):
    try:
        server.unpacked(data)
    except (ValueError, TypeError, RecursionError):
        pass
    else:
        assert json.loads(data[8:8 + int.from_bytes(data[:8], "little")])


# The filter of system calls.


def numbers():
    """``{name: number}`` of this machine's calls, as its C headers have them."""
    include = "#include <sys/syscall.h>\n"
    names = [*limits.REFUSED, "clone", "clone3"]
    try:
        found = subprocess.run(["cc", "-E", "-P", "-"], text=True, capture_output=True, check=True,
                               input=include + "\n".join(f"{n} SYS_{n}" for n in names)).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no C headers here")
    pairs = [line.split() for line in found.splitlines() if line.split()[:1] and
             line.split()[0] in names]
    return {name: int(number) if number.isdigit() else None for name, number in pairs}


@linux
def test_the_calls_have_the_numbers_that_the_kernel_gives_them():
    column, _ = limits.MACHINES[platform.machine()]
    wanted = {name: pair[column] for name, pair in limits.REFUSED.items()}
    wanted |= {"clone": limits.CLONE[column], "clone3": limits.CLONE3}
    assert numbers() == wanted


def verdict(program, machine, number, flags=0):
    """What a filter answers to a call, by walking through it as the kernel does."""
    lines = [program[i:i + 8] for i in range(0, len(program), 8)]
    words, at, x = {0: number, 4: machine, 16: flags}, 0, None
    while True:
        code, if_true, if_false, k = (int.from_bytes(lines[at][:2], "little"), lines[at][2],
                                      lines[at][3], int.from_bytes(lines[at][4:], "little"))
        if code == 0x20:
            x = words[k]
        elif code == 0x06:
            return k
        else:
            true = {0x15: x == k, 0x35: x >= k, 0x45: bool(x & k)}[code]
            at += if_true if true else if_false
        at += 1


@pytest.mark.parametrize("machine", limits.MACHINES)
def test_the_filter_refuses_these_calls_and_no_others(machine):
    column, audit = limits.MACHINES[machine]
    program = limits.calls_filter(column, audit)
    refused = {pair[column] for pair in limits.REFUSED.values()} - {None}
    allow, refuse = 0x7FFF0000, 0x50000 | limits.EPERM
    for number in set(range(600)) - {limits.CLONE[column], limits.CLONE3}:
        assert verdict(program, audit, number) == (refuse if number in refused else allow), number
    assert verdict(program, audit, limits.CLONE3) == 0x50000 | limits.ENOSYS
    assert verdict(program, audit, limits.CLONE[column], 17) == refuse
    assert verdict(program, audit, limits.CLONE[column], limits.AS_THREAD | 0xF00) == allow
    assert verdict(program, audit, 0x40000000 | 59) == refuse
    assert verdict(program, audit ^ 1, 1) == refuse
