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
from classroom.sandbox import outside, server, system_calls
from classroom.sandbox.call_numbers import NUMBER
from classroom.sandbox.outside import NoSandbox, Sandbox, probe

linux = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")


@pytest.fixture(scope="module")
def box():
    with Sandbox() as found:
        yield found


def request(cells, forbidden=()):
    """To call the function ``f`` of some cells without arguments."""
    return {"do": "answer", "id": "", "cells": cells, "name": "f", "checked": False,
            "cases": outside.one_case(), "takes": "numpy", "forbidden": forbidden, "names": []}


def says(box, body, cells=(), seconds=10.0):
    """What a function with this body gives back inside."""
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    state, sent = box.ask(request([*cells, f"def f():\n{lines}"]), seconds=seconds)
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
    allowed = [str(path) for path in outside.needed()] + [
        "/scratch", "/dev", "/sandbox", *outside.site_folders()]
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
assert check("1.1", f) and hint("1.1") is None and progress() is None
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
        *(f"classroom.sandbox.{name}" for name in (
            "answer", "bans", "call_numbers", "limits", "reading", "system_calls"))}
    assert outside.sources()["attnlib.exercises"] == outside.CHECK
    assert outside.sources()["classroom"] == outside.sources()["classroom.sandbox"] == ""


@linux
def test_libraries_that_no_answer_needs_are_absent(box):
    for name in ("scipy", "pandas", "nbformat", "pytest", "jax", "distributed"):
        assert says(box, f"import {name}") == "ModuleNotFoundError"
    assert says(box, """
import sys, os, glob
return [place for start in ("/usr", "/usr/local", sys.base_prefix) for place in
        glob.glob(f"{start}/lib/python*/*-packages") if os.listdir(place) and place not in sys.path]
""") == []
    assert says(box, "import sys\nopen(sys.path[-1] + '/scipy.py', 'w')") == "OSError"  # read-only


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
    state, sent = box.ask(request([f"import torch\n{change}", "f = abs"]))
    message, arrays = server.unpacked(sent)
    assert plain.unpack(message["outcomes"], arrays)[0].replaced == (name,)


def test_an_installed_attnlib_is_covered(tmp_path, monkeypatch):
    (tmp_path / "attnlib/exercises").mkdir(parents=True)
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy/__init__.py").touch()
    spec = outside.importlib.util.spec_from_file_location("numpy", tmp_path / "numpy/__init__.py")
    monkeypatch.setattr(outside.importlib.util, "find_spec",
                        lambda name: spec if name == "numpy" else None)
    monkeypatch.setattr(outside, "distributions", lambda names: [])
    assert outside.packages.__wrapped__() == {str(tmp_path): ["numpy"]}


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
    assert state.pop("used") > 0.4 and state.pop("cells")[1] > 0.4
    assert state == {"ended": "time", "begun": 2, "called": False, "clean": True, "changed": []}


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


@pytest.mark.parametrize("works", [True, False])
def test_there_is_a_cgroup_where_this_user_may_make_one(monkeypatch, tmp_path, works):
    path = tmp_path / "systemd-run"
    path.write_text(f"#!/bin/sh\nexit {int(not works)}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = outside.grouped.__wrapped__()
    assert found == (list(outside.CGROUP) if works else [])
    assert not works or "MemoryMax=4G" in found


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


# Its own standing, compared after each child.


@linux
@pytest.mark.parametrize("attack, error", [
    ("import resource\nresource.prlimit(1, resource.RLIMIT_DATA, (1, 1))", "PermissionError"),
    ("import os\nos.kill(1, 9)", "PermissionError"), ("import os\nos.kill(-1, 9)",
                                                    "PermissionError"),
    ("import os\nos.setpriority(os.PRIO_PROCESS, 1, 5)", "OSError"),
    ("import os\nos.sched_setaffinity(1, {0})", "OSError"),
    ("import os\nos.sched_setscheduler(1, os.SCHED_BATCH, os.sched_param(0))", "OSError"),
    ("import os\nos.setxattr('/scratch', 'user.x', bytes(1000))", "OSError"),
    ("import fcntl\nfcntl.lockf(open('x', 'w'), fcntl.LOCK_EX)", "PermissionError"),
    ("import socket\nsocket.socketpair()", "OSError"), ("import os\nos.pipe()", "OSError"),
    ("import os\nos.memfd_create('x')", "OSError"), ("import os\nos.symlink('a', 'b')", "OSError"),
])
def test_no_call_names_another_process_or_leaves_something(box, attack, error):
    assert says(box, attack) == error


@linux
def test_many_files_end_a_child(box):
    state = says(box, "for i in range(10**6):\n    open(str(i), 'w').close()")
    assert state["ended"] == "files" and state["used"] < 5 and state["clean"]


@pytest.fixture
def open_box(monkeypatch):
    """A sandbox whose filter lets everything through: only the comparison is left."""
    sources = outside.sources()
    sources["classroom.sandbox.limits"] += "\ndef filter_calls(refused=None):\n    pass\n"
    monkeypatch.setattr(outside, "sources", lambda: dict(sources))
    with Sandbox() as found:
        yield found


@linux
def test_a_child_that_changes_the_server_is_found_out_and_harms_nobody(open_box):
    assert says(open_box, "return 1") == 1
    first = open_box.process
    attack = "import resource\nresource.prlimit(1, resource.RLIMIT_DATA, (2**40, 2**40))\nreturn 7"
    assert says(open_box, attack)["ended"] == "changed" and open_box.process is None
    assert says(open_box, "return 2") == 2 and open_box.process is not first


@linux
@pytest.mark.parametrize("name, change", [
    ("RLIMIT_CPU", "resource.prlimit(os.getpid(), resource.RLIMIT_CPU, (999, 999))"),
    ("nice", "os.setpriority(os.PRIO_PROCESS, os.getpid(), 19)"),
    ("sched_getaffinity", "os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})"),
    ("sched_getscheduler", "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))"),
    ("open files", "os.dup(0)"),
])
def test_each_change_of_its_standing_is_seen(name, change):
    code = ("import os, resource\nfrom classroom.sandbox.server import standing\n"
            f"before = standing()\n{change}\nafter = standing()\n"
            "print([name for name in before if before[name] != after[name]])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == f"[{name!r}]", done.stderr


@linux
def test_comparing_after_each_child_takes_less_than_two_thousandths():
    server.standing()
    start = time.process_time()
    for _ in range(50):
        assert server.standing() == server.standing()
    assert (time.process_time() - start) / 50 < 0.002


# Bans.


BANNED = {
    "softmax": ("torch.softmax", [
        "torch.sparse.softmax(torch.eye(3).to_sparse(), 1).to_dense()", "x.softmax(-1)",
        "torch._masked_softmax(x, torch.zeros(3, 3, dtype=torch.bool), 1, 0)",
        "torch._softmax(x, 1, False)", "torch.special.softmax(x, 1)", "torch._safe_softmax(x, 1)",
        "torch.nn.Softmax(1)(x)", "torch.masked.softmax(x, 1)", "torch._refs.softmax(x, 1)",
        "torch.nn.functional.gumbel_softmax(x)", "torch.ops.aten._softmax(x, 1, False)",
        "torch._decomp.decompositions._softmax(x, 1, False)"]),
    "attention": ("torch.nn.functional.scaled_dot_product_attention", [
        "torch._native_multi_head_attention(x, x, x, 3, 1, w, b, x, b[:3])",
        "torch.ops.aten._scaled_dot_product_attention_math(x, x, x)",
        "torch.nn.attention.flex_attention.flex_attention(x[None, None], x[None, None], "
        "x[None, None])",
        "torch.nn.MultiheadAttention(3, 1)(x, x, x)[0]",
        "torch.nn.TransformerEncoderLayer(3, 1, 3).eval()(x)"]),
}
START = "import torch, torch.masked, torch.nn.attention.flex_attention\nx = torch.rand(3, 3)\n" \
        "w, b = torch.rand(9, 3), torch.rand(9)"


@linux
@pytest.mark.parametrize("family, call", [(family, call) for family, (_, calls) in BANNED.items()
                                          for call in calls])
def test_what_computes_the_same_under_another_name_is_banned_too(box, family, call):
    banned, _ = BANNED[family]
    state, sent = box.ask(request([START, f"def f():\n    return {call}"], [banned]))
    message, arrays = server.unpacked(sent)
    assert plain.unpack(message["outcomes"], arrays)[0].raised in (
        "PermissionError", "RuntimeError"), message


@linux
def test_what_is_not_banned_goes_on(box):
    state, sent = box.ask(request([START, "def f():\n    return torch.log_softmax(x, 1).exp()"],
                                  ["torch.softmax", "attnlib.softmax"]))
    message, arrays = server.unpacked(sent)
    assert plain.unpack(message["outcomes"], arrays)[0].raised == ""


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
    names = list(NUMBER) if platform.machine() == "x86_64" else list(system_calls.REFUSED)
    try:
        found = subprocess.run(["cc", "-E", "-P", "-"], text=True, capture_output=True, check=True,
                               input="#include <sys/syscall.h>\n"
                               + "\n".join(f"{n} SYS_{n}" for n in names)).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no C headers here")
    pairs = [line.split() for line in found.splitlines() if len(line.split()) == 2]
    return {name: int(number) for name, number in pairs if number.isdigit()}


@linux
def test_the_calls_have_the_numbers_that_the_kernel_gives_them():
    elsewhere = system_calls.REFUSED | system_calls.OWN
    ours = NUMBER if platform.machine() == "x86_64" else elsewhere
    found = numbers()
    assert len(found) > 30 and {name: ours[name] for name in found} == found


def verdict(program, machine, number, *arguments):
    """What a filter answers to a call, by walking through it as the kernel does."""
    lines = [program[i:i + 8] for i in range(0, len(program), 8)]
    words = {0: number, 4: machine} | {16 + 8 * i: x for i, x in enumerate([*arguments, 0, 0])}
    at, x = 0, None
    while True:
        code, if_true, if_false, k = (int.from_bytes(lines[at][:2], "little"), lines[at][2],
                                      lines[at][3], int.from_bytes(lines[at][4:], "little"))
        if code == system_calls.LOAD:
            x = words[k]
        elif code == system_calls.ANSWER:
            return k
        else:
            true = {0x15: x == k, 0x35: x >= k, 0x45: bool(x & k)}[code]
            at += if_true if true else if_false
        at += 1


ALLOW, REFUSE = system_calls.ALLOW, 0x50000 | system_calls.EPERM
UNKNOWN = 0x50000 | system_calls.ENOSYS
THREAD = system_calls.AS_THREAD | 0xF00


def test_on_x86_64_these_calls_are_allowed_and_no_others():
    program = system_calls.calls_filter("x86_64", 77)
    allowed = {NUMBER[name] for name in system_calls.ALLOWED}
    with_values = {NUMBER[name] for name in system_calls.WITH} | {system_calls.CLONE["x86_64"]}
    for number in set(range(600)) - with_values:
        assert verdict(program, system_calls.X86_64, number) == (
            ALLOW if number in allowed else UNKNOWN), number
    assert verdict(program, system_calls.X86_64, system_calls.X32 | 59) == REFUSE
    assert verdict(program, system_calls.AARCH64, 1) == REFUSE
    assert verdict(program, system_calls.X86_64, system_calls.CLONE["x86_64"], THREAD) == ALLOW
    assert verdict(program, system_calls.X86_64, system_calls.CLONE["x86_64"], 17) == REFUSE
    trap = system_calls.calls_filter("x86_64", 77, trap=True)
    assert verdict(trap, system_calls.X86_64, 59) == system_calls.TRAP
    assert not {"setxattr", "socket", "fork", "execve", "ptrace", "mount", "symlink", "flock",
                "memfd_create", "pipe2", "keyctl"} & {*system_calls.ALLOWED, *system_calls.WITH}


@pytest.mark.parametrize("name, arguments, answer", [
    ("prlimit64", (0,), ALLOW), ("prlimit64", (77,), ALLOW), ("prlimit64", (1,), REFUSE),
    ("kill", (77,), ALLOW), ("kill", (0,), REFUSE), ("kill", (2**32 - 1,), REFUSE),
    ("tgkill", (77, 78), ALLOW), ("tgkill", (1, 1), REFUSE), ("sched_getaffinity", (1,), REFUSE),
    ("fcntl", (3, 1), ALLOW), ("fcntl", (3, 6), REFUSE), ("fcntl", (3, 1031), REFUSE),
    ("ioctl", (3, 0x5401), ALLOW), ("ioctl", (3, 0x5412), REFUSE), ("prctl", (22,), REFUSE),
])
def test_calls_that_could_name_another_are_allowed_for_oneself(name, arguments, answer):
    program = system_calls.calls_filter("x86_64", 77)
    assert verdict(program, system_calls.X86_64, NUMBER[name], *arguments) == answer


def test_on_other_machines_these_are_refused():
    program = system_calls.calls_filter("aarch64", 77)
    refused = {*system_calls.REFUSED.values()}
    clones = {system_calls.CLONE3, system_calls.CLONE["aarch64"]}
    for number in set(range(600)) - {*system_calls.OWN.values()} - clones:
        assert verdict(program, system_calls.AARCH64, number) == (
            REFUSE if number in refused else ALLOW), number
    for name, number in system_calls.OWN.items():
        assert verdict(program, system_calls.AARCH64, number, 77) == ALLOW
        assert verdict(program, system_calls.AARCH64, number, 1) == REFUSE, name
    assert verdict(program, system_calls.AARCH64, system_calls.CLONE3) == UNKNOWN
    assert verdict(program, system_calls.AARCH64, system_calls.CLONE["aarch64"], 17) == REFUSE


@linux
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the list is for x86-64")
@pytest.mark.parametrize("call, library", [("openat", "numpy"), ("lseek", "numpy")])
def test_the_self_test_names_a_call_that_is_wanted_and_refused(monkeypatch, call, library):
    sources = outside.sources()
    sources["classroom.sandbox.system_calls"] += f"\nALLOWED.remove({call!r})\n"
    monkeypatch.setattr(outside, "sources", lambda: dict(sources))
    with Sandbox() as box, pytest.raises(NoSandbox) as told:
        probe(box)
    assert f"an answer with {library} needs" in str(told.value) and call in str(told.value)
    assert "no submission was run" in str(told.value)
