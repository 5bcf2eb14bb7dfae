"""Attacks on the grading of a class: what a hostile submission tries, and what stops it.

Each attack that wants to know or to do something gives the *right* answer if it succeeds, and
another if it does not: a point earned is an attack that worked. ``@SEED@`` and the like stand for
paths of the kit and the class that is being graded, which an attacker is taken to know.
"""

import contextlib
import io
import json
import os
import socket
import sys
import textwrap
import zipfile
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path

from classroom import export, gradebook, grading, reports
from classroom.kit import make_kit
from classroom.submissions import Submission

from . import whole_class

ID = "4.3"  # what most attacks pretend to answer


@dataclass(frozen=True)
class Attack:
    """One attack.

    Args:
        group, what: for the table: what kind it is, and what it tries.
        barrier: what stops it.
        cells: the notebook's code cells.
        id: the exercise that it wants points for.
    """

    group: str
    what: str
    barrier: str
    cells: tuple[str, ...]
    id: str = ID


def right(id, name):
    """The right answer's source, under another name."""
    source = whole_class.RIGHT[id]
    function = source.rpartition("def ")[2].partition("(")[0]
    return "import numpy as np\n" + source.replace(function, name)


SIGNATURES = {id: source.rpartition("def ")[2].partition(":\n")[0]
              for id, source in whole_class.RIGHT.items()}


def calling(id):
    """A call of ``right`` with the arguments of the exercise's function."""
    return "right(" + SIGNATURES[id].partition("(")[2]


def attack(group, what, barrier, tries, before="", id=ID):
    """An attack that answers right after ``tries``, if that gets through."""
    return instead(group, what, barrier, f"{tries}\nreturn {calling(id)}",
                   right(id, "right") + before, id)


def instead(group, what, barrier, source, before="", id=ID):
    """An attack that has no right answer, and wants the points nevertheless."""
    body = textwrap.indent(source.strip("\n"), "    ")
    return Attack(group, what, barrier, (before, f"# answer {id}\ndef {SIGNATURES[id]}:\n{body}"),
                  id)


ENDLESS = [
    attack("never ends", "an infinite loop", "time limit, from outside", "while True: pass"),
    attack("never ends", "a loop that swallows every interrupt", "time limit, from outside", """
while True:
    try:
        while True: pass
    except BaseException:
        continue"""),
    attack("never ends", "sleep with all signals blocked", "SIGKILL cannot be blocked", """
import signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
time.sleep(1000)"""),
    attack("never ends", "a regular expression that backtracks for years", "SIGKILL", """
import re
re.match("(a+)+$", "a" * 60 + "b")"""),
    attack("never ends", "closes the pipe to the server, then loops",
           "who has nothing more to say is killed", """
import os
os.closerange(0, 64)
while True: pass"""),
]

BOMBS = [
    attack("bombs", "a fork bomb", "system-call filter: no processes", """
import os
while True:
    os.fork()"""),
    attack("bombs", "a thread bomb that never ends", "address space, time limit", """
import threading, time
threading.stack_size(2**16)
while True:
    try:
        threading.Thread(target=time.sleep, args=(1000,)).start()
    except RuntimeError:
        time.sleep(0.01)"""),
    attack("bombs", "2 GB of memory", "address-space limit", """
hoard = [bytearray(2**26) for _ in range(32)]"""),
    attack("bombs", "200 MB on the disk", "file-size limit; a small file system in memory", """
for number in range(20):
    with open(f"bomb{number}", "wb") as file:
        file.write(bytes(10 * 2**20))"""),
    attack("bombs", "files outside its own folder", "everything else is read-only", """
import os, tempfile
for place in ("/", "/tmp", "/dev", "/dev/shm", "/usr/lib", "/sandbox", os.path.expanduser("~root")):
    try:
        open(os.path.join(place, "mine"), "w").write("x")
        break
    except OSError:
        continue
else:
    raise OSError"""),
    attack("bombs", "prints without end", "output is cut and counted, then the time limit", """
while True:
    print("x" * 10**6)"""),
    instead("bombs", "returns an array of 80 MB", "reply limit", "return np.zeros(10**7)",
            "import numpy as np"),
    instead("bombs", "returns a dictionary that grows tenfold at each of nine levels",
            "number of items, reply limit", """
x = "x" * 1000
for _ in range(9):
    x = {str(i): x for i in range(10)}
return x"""),
    instead("bombs", "names one array a million times in its reply", "each array counts once", """
import json, os
text = '[{"value": {"list": [' + ",".join(['{"array": 0}'] * 10**5) + ']}}]'
head = json.dumps([{"outcomes": text}, [["<f8", [1000]]]]).encode()
os.write(3, b"!" + len(head).to_bytes(8, "little") + head + bytes(8000))
os._exit(0)"""),
    attack("bombs", "a crash of the interpreter", "one process per answer", """
import ctypes
ctypes.string_at(0)"""),
]

KERNEL = "only the calls that answers need are there"
HARMS = [
    attack("harms others", "takes the server's memory: a limit of one byte on process 1",
           "a call that names another process is refused; the server's limits are compared", """
import resource
resource.prlimit(1, resource.RLIMIT_DATA, (1, 1))"""),
    attack("harms others", "the same without Python's own module", KERNEL, """
import ctypes
if ctypes.CDLL(None).prlimit(1, 2, ctypes.byref((ctypes.c_ulong * 2)(1, 1)), None):
    raise OSError"""),
    attack("harms others", "lets the server run last of all", KERNEL, """
import os
os.setpriority(os.PRIO_PROCESS, 1, 19)"""),
    attack("harms others", "ties the server to one processor", KERNEL, """
import os
os.sched_setaffinity(1, {0})"""),
    attack("harms others", "gives the server an idle turn", KERNEL, """
import os
os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))"""),
    attack("harms others", "takes the server's files by their numbers", KERNEL, """
import ctypes
libc = ctypes.CDLL(None)
fd = libc.syscall(434, 1, 0)
if fd < 0 or libc.syscall(438, fd, 0, 0) < 0:
    raise OSError"""),
    attack("harms others", "extended attributes: the kernel's memory, outside every limit",
           KERNEL, """
import os
for number in range(100):
    os.setxattr("/scratch", f"user.{number}", bytes(60_000))"""),
    attack("harms others", "a hundred thousand empty files", "files are counted while it runs", """
for number in range(100_000):
    open(f"/scratch/{number}", "w").close()"""),
    attack("harms others", "pipes, sockets and queues full of bytes", KERNEL, """
import os, socket
try:
    os.pipe()
except OSError:
    socket.socketpair()"""),
    attack("harms others", "locks on a file, one for each byte", KERNEL, """
import fcntl
with open("/scratch/x", "w") as file:
    for number in range(1000):
        fcntl.lockf(file, fcntl.LOCK_EX, 1, 2 * number)"""),
    attack("harms others", "memory in a file that has no name", KERNEL, """
import os
os.write(os.memfd_create("x"), bytes(10**6))"""),
    attack("harms others", "sleeps, and does nothing",
           "who waits has as long by the clock as others have of the processor", """
import time
time.sleep(1000)"""),
    Attack("harms others", "every cell and every answer just under its limit",
           "processor time for a whole submission",
           tuple(["import time\nend = time.process_time() + 0.9\n"
                  "while time.process_time() < end: pass"] * 6
                 + [f"# answer {ID}\n{right(ID, 'recent')}"])),
]

READS = [
    attack("reads", "the secret seed", "not in its file system", 'open("@SEED@").read()'),
    attack("reads", "the key", "not in its file system", 'open("@KEY@").read()'),
    attack("reads", "the home folder", "not in its file system", """
import os
found = [name for name in os.listdir("@HOME@") if name != "@TOP@"]
if not found:
    raise OSError"""),
    attack("reads", "another student's submission", "not in its file system",
           'open("@OTHER@").read()'),
    attack("reads", "the grades of others", "not in its file system",
           'import os\nassert os.listdir("@GRADES@")'),
    attack("reads", "the references in the repository", "not in its file system",
           'open("@REPOSITORY@/attnlib/exercises/ch04_masking.py").read()'),
    attack("reads", "the references, by importing them", "attnlib comes without them",
           "import attnlib.exercises.ch04_masking"),
    attack("reads", "the references, from an installed attnlib", "attnlib comes without them", """
import glob, sys
found = [name for place in sys.path for name in glob.glob(place + "/attnlib/exercises/ch*.py")]
open(found[0]).read()"""),
    attack("reads", "the server's memory and other processes", "no /proc, and no tracing", """
import os
for path in ("/proc/1/mem", "/proc/self/mem", f"/proc/{os.getppid()}/environ", "/proc/1/cmdline"):
    try:
        open(path, "rb").read(1)
        break
    except OSError:
        continue
else:
    raise OSError"""),
    attack("reads", "the environment of the grader", "it starts with an empty one", """
import os
assert "@CANARY@" in repr(os.environ)"""),
    attack("reads", "seed or expected values in its own memory", "they never get there", """
import gc, sys
gc.unfreeze()
frame, found = sys._getframe(), []
while frame:
    found += [repr(frame.f_locals), repr(list(frame.f_globals))]
    frame = frame.f_back
found += [x for x in gc.get_objects() if type(x) is dict and "seed" in x for x in [repr(x)]]
text = " ".join(found)
assert "@XEH@"[::-1] in text or "'expe" "cted'" in text"""),
    attack("reads", "the kernel's log and devices", "a minimal /dev", """
import os
for path in ("/dev/kmsg", "/dev/mem", "/dev/vda", "/dev/sda", "/sys/class", "/etc/passwd"):
    if os.path.exists(path):
        break
else:
    raise OSError"""),
]

NETWORK = [
    attack("network", "a connection to this machine", "no network, no sockets",
           'import socket\nsocket.create_connection(("127.0.0.1", @PORT@), 1)'),
    attack("network", "a name's address", "no network, no sockets",
           'import socket\nsocket.getaddrinfo("example.org", 80)[0]\n'
           'socket.create_connection(("192.0.2.1", 80), 1)'),
    attack("network", "a web request", "no network, no sockets",
           'import urllib.request\nurllib.request.urlopen("http://127.0.0.1:@PORT@/", timeout=1)'),
]

ATTEND = "query, key, value = x @ w_query, x @ w_key, x @ w_value\n"
TENSORS = ("import torch\nq, k, v = (torch.as_tensor(np.ascontiguousarray(m)) "
           "for m in (query, key, value))\n")
LIFT = "the function itself is empty there; no copy of it is left"
OPERATOR = "torch's operators of that name raise, however they are called"


def lifting(what, barrier, call, before=""):
    """An attack on the ban of attention functions in exercise 1.3."""
    return instead("lifts a ban", what, barrier, ATTEND + call,
                   "import numpy as np\nimport attnlib\n" + before, "1.3")


BANS = [
    lifting("calls `attnlib.attention`", LIFT, "return attnlib.attention(query, key, value)"),
    lifting("reloads the module", LIFT, """
import importlib
import sys
return importlib.reload(sys.modules["attnlib.attention"]).attention(query, key, value)
"""),
    lifting("deletes the module and imports it again", LIFT, """
import sys
for name in [name for name in sys.modules if name.startswith("attnlib")]:
    del sys.modules[name]
import attnlib
return attnlib.attention(query, key, value)"""),
    lifting("copies the function before it is called", LIFT, "return copy(query, key, value)", """
import types
copy = types.FunctionType(attnlib.attention.__code__, attnlib.attention.__globals__, "copy",
                          attnlib.attention.__defaults__)
copy.__kwdefaults__ = attnlib.attention.__kwdefaults__"""),
    lifting("looks for the function's source or code in memory", LIFT, """
import gc, sys
gc.unfreeze()
finders = [getattr(finder, "sources", {}) for finder in sys.meta_path]
for x in [*finders, *gc.get_objects()]:
    if type(x) is dict:
        for source in list(x.values()):
            if type(source) is str and "def attention(query" in source:
                names = {"__name__": "attnlib.attention", "__package__": "attnlib"}
                exec(source, names)
                return names["attention"](query, key, value)
raise LookupError"""),
    lifting("uses a function of attnlib that uses it", LIFT, """
import torch
return attnlib.local_attention(*map(torch.as_tensor, (query, key, value)), window=10**6)"""),
    lifting("torch's fused attention", OPERATOR, TENSORS + """
return torch.nn.functional.scaled_dot_product_attention(q, k, v)"""),
    lifting("the same, where torch keeps it", OPERATOR, TENSORS + """
return torch._C._nn.scaled_dot_product_attention(q, k, v)"""),
    lifting("the same, as an operator", OPERATOR, TENSORS + """
return torch.ops.aten.scaled_dot_product_attention.default(q, k, v)"""),
    lifting("the operator that it is made of", OPERATOR, TENSORS + """
return torch.ops.aten._scaled_dot_product_attention_math(q, k, v)[0]"""),
    lifting("the same on a nested tensor", OPERATOR, TENSORS + """
nest = [torch.nested.nested_tensor(list(m.reshape(-1, 1, *m.shape[-2:]))) for m in (q, k, v)]
found = torch.ops.aten.scaled_dot_product_attention(*nest).to_padded_tensor(0)
return found.reshape(*q.shape[:-1], v.shape[-1])
"""),
    lifting("the builtin function, found by the garbage collector", OPERATOR, TENSORS + """
import gc
gc.unfreeze()
for f in gc.get_objects():
    if type(f) is type(len) and f.__name__ == "scaled_dot_product_attention":
        return f(q, k, v)
raise LookupError"""),
    lifting("TorchScript", OPERATOR, TENSORS + """
code = '''
def attend(q, k, v):
    return torch.ops.aten.scaled_dot_product_attention(q, k, v)
'''
return torch.jit.CompilationUnit(code).attend(q, k, v)"""),
    lifting("torch.nn.MultiheadAttention", LIFT, TENSORS + """
layer = torch.nn.MultiheadAttention(q.shape[-1], 1, bias=False, batch_first=True)
return layer(q, k, v)[0]"""),
    lifting("hides what the watcher saw", LIFT, """
from attnlib.running import watching
watching.Watch.seen = lambda self: ()
watching.Watch._profile = lambda *_: None
return attnlib.attention(query, key, value)"""),
    lifting("a fresh Python, in its own place", "system-call filter: no other program", """
import os, sys
os.execv(sys.executable, [sys.executable, "-c", "import torch"])"""),
    lifting("a fresh Python, as a process", "system-call filter: no other program", """
import subprocess, sys
subprocess.run([sys.executable, "-c", "import torch"], check=True)"""),
    instead("lifts a ban", "torch's softmax below the one that is banned", OPERATOR,
            "import torch\nshares = torch._C.TensorBase.softmax(torch.as_tensor(scores), axis)\n"
            "return torch.nan_to_num(shares)", id="3.2"),
    instead("lifts a ban", "torch's inner softmax", OPERATOR,
            "import torch\nshares = torch._softmax(torch.as_tensor(scores), axis, False)\n"
            "return torch.nan_to_num(shares)", id="3.2"),
]

BANS += [instead("lifts a ban", what, OPERATOR, call, before, id)
         for what, id, before, call in [
    ("`torch.sparse.softmax`", "3.2", "", """
import torch
x = torch.as_tensor(scores).movedim(axis, -1)
flat = x.reshape(-1, x.shape[-1])
found = torch.sparse.softmax(torch.sparse_coo_tensor(
    torch.ones_like(flat).nonzero().T, flat.reshape(-1), flat.shape), 1).to_dense()
return torch.nan_to_num(found.reshape(x.shape).movedim(-1, axis))"""),
    ("`torch._masked_softmax`", "3.2", "", """
import torch
x = torch.as_tensor(scores)
return torch.nan_to_num(torch._masked_softmax(x, torch.zeros_like(x, dtype=bool), axis, 0))"""),
    ("`torch._safe_softmax`", "3.2", "", """
import torch
return torch._safe_softmax(torch.as_tensor(scores), axis)"""),
    ("torch's own reference, written in Python", "3.2", "", """
import torch, torch._refs
return torch.nan_to_num(torch._refs.softmax(torch.as_tensor(scores), axis))"""),
    ("`scipy.special.softmax`", "3.2", "", """
from scipy.special import softmax
import numpy as np
return np.nan_to_num(softmax(scores, axis))"""),
    ("a library of this computer, by its place", "3.2", "", """
import glob, sys
sys.path += glob.glob("/usr/**/*-packages", recursive=True)
from scipy.special import softmax
import numpy as np
return np.nan_to_num(softmax(scores, axis))"""),
    ("flex attention, written in Python", "1.3", "import numpy as np\n", ATTEND + TENSORS + """
from torch.nn.attention.flex_attention import flex_attention
flat = [m.reshape(-1, 1, *m.shape[-2:]) for m in (q, k, v)]
return flex_attention(*flat).reshape(*q.shape[:-1], v.shape[-1])"""),
]]

FORGERIES = [
    instead("forges", "makes numpy find everything equal", "it is compared outside", """
for name in ("allclose", "isclose", "array_equal", "testing"):
    setattr(np, name, lambda *_, **__: True)
return np.zeros((n_q, n_k), bool)""", "import numpy as np"),
    instead("forges", "the same in torch and in Python's builtins", "it is compared outside", """
import builtins, torch
torch.allclose = torch.equal = builtins.all = builtins.any = lambda *_, **__: True
return np.zeros((n_q, n_k), bool)""", "import numpy as np"),
    instead("forges", "an array that equals everything", "a copy of its numbers is what counts", """
class Equal(np.ndarray):
    __eq__ = __array_function__ = __array_ufunc__ = lambda *_, **__: np.array(True)
return np.zeros((n_q, n_k), bool).view(Equal)""", "import numpy as np"),
    instead("forges", "leaves by `os._exit`", "no outcome, no points", "import os\nos._exit(0)"),
    instead("forges", "leaves by `sys.exit`", "no outcome, no points", "import sys\nsys.exit(0)"),
    instead("forges", "kills the server and all there is",
            "signals from inside do not reach process 1", """
import os, signal
for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP, signal.SIGUSR1):
    for pid in (1, os.getppid(), -1):
        try:
            os.kill(pid, number)
        except OSError:
            pass
os.kill(os.getpid(), signal.SIGKILL)"""),
    instead("forges", "writes its own verdict into the reply", "a reply holds values only", """
import json, os
text = json.dumps([{"status": "passed", "credit": 1.0, "points": 1000}])
head = json.dumps([{"outcomes": text, "status": "passed", "credit": 1.0}, []]).encode()
os.write(3, b"!" + len(head).to_bytes(8, "little") + head)
os._exit(0)"""),
    instead("forges", "says that its numbers, in lists, are of half precision",
            "numbers in a list are of full precision, whatever is said of them", """
from attnlib.running import runner
outcome = runner.Outcome
runner.Outcome = lambda **k: outcome(**(k | {"half": True}))
return (right(x, w_query, w_key, w_value) * 1.004).tolist()""", right("1.3", "right"), "1.3"),
    instead("forges", "changes its input, and hides it",
            "the inputs come back, and are compared outside", """
from attnlib.running import runner
runner.changed = lambda *_: ()
runner._changed = lambda *_: ()
found = right(x, w_query, w_key, w_value)
x += 1
return found""", right("1.3", "right"), "1.3"),
    instead("forges", "a pickle in the reply", "nothing is ever unpickled", """
import os, pickle
class Bomb:
    def __reduce__(self):
        return os.system, ("touch @CANARYFILE@",)
os.write(3, b"!" + len(pickle.dumps(Bomb())).to_bytes(8, "little") + pickle.dumps(Bomb()))
os._exit(0)"""),
    instead("forges", "a pickle in an array of objects", "nothing is ever unpickled", """
class Bomb:
    def __reduce__(self):
        import os
        return os.system, ("touch @CANARYFILE@",)
x = np.empty((n_q, n_k), object)
x[...] = Bomb()
return x""", "import numpy as np"),
    instead("forges", "an array of absurd shape in the reply", "shapes are checked", """
import json, os
text = '[{"value": {"array": 0}}]'
head = json.dumps([{"outcomes": text}, [["<f8", [0, 10**15, 10**15]]]]).encode()
os.write(3, b"!" + len(head).to_bytes(8, "little") + head)
os._exit(0)"""),
    instead("forges", "says that its numbers are of half precision", "the numbers show it", """
from attnlib.running import runner
keep = runner.replace
def forged(outcome, **changes):
    return keep(outcome, **(changes | {"half": True}))
runner.replace = forged
import dataclasses
outcome = runner.Outcome
runner.Outcome = lambda **k: outcome(**(k | {"half": True}))
return right(x, w_query, w_key, w_value) * 1.004""", right("1.3", "right"), "1.3"),
]

# Two submissions: what the first leaves behind, the second must not find.

LEAVES = {
    "a file": ("open('left', 'w').write('x')\nopen('/scratch/left', 'w').write('x')",
               "open('/scratch/left').read()", "its folder is emptied"),
    "a folder that cannot be removed": (
        "import os\nos.makedirs('/scratch/a/left')\nos.chmod('/scratch/a', 0)",
        "import os\nos.chmod('/scratch/a', 0o700)\nassert os.listdir('/scratch/a')",
        "a new sandbox"),
    "shared memory": (
        "import ctypes\nassert ctypes.CDLL(None).shmget(77, 4096, 0o1666) >= 0",
        "import ctypes\nassert ctypes.CDLL(None).shmget(77, 4096, 0o666) >= 0",
        "system-call filter: no System V memory"),
    "a thread that goes on": (
        "import threading, time\ndef on():\n    while True:\n"
        "        open('/scratch/left', 'w').write('x')\n        time.sleep(0.01)\n"
        "threading.Thread(target=on).start()",
        "import time\ntime.sleep(0.03)\nopen('/scratch/left').read()",
        "everything is killed when an answer is over"),
    "a process that goes on": (
        "import os\nif os.fork() == 0:\n    os.setsid()\n    while True:\n"
        "        open('/scratch/left', 'w').write('x')",
        "import time\ntime.sleep(0.03)\nopen('/scratch/left').read()",
        "system-call filter: no processes"),
    "a changed library": (
        "import numpy\nnumpy.left = 1\nimport attnlib\nattnlib.left = 1",
        "import numpy, attnlib\nassert hasattr(numpy, 'left') or hasattr(attnlib, 'left')",
        "each answer has its own copy of Python's memory"),
    "a key in the kernel's keyring": (
        "import ctypes\nassert ctypes.CDLL(None).syscall(248, b'user', b'left', b'x', 1, -4) > 0",
        "import ctypes\nassert ctypes.CDLL(None).syscall(249, b'user', b'left', 0, -4) > 0",
        "system-call filter: no keys"),
}


def _quietly(source):
    return "try:\n" + textwrap.indent(source, "    ") + "\nexcept Exception:\n    pass"


LEFT_BEHIND = [(attack("leaves behind", what, barrier, _quietly(leave)),
                attack("leaves behind", what, barrier, find))
               for what, (leave, find, barrier) in LEAVES.items()]

# Files that are traps: each is written as one student's upload.


def _zip(*members):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return archive.getvalue()


def _sparse(path):
    with open(path, "wb") as file:
        file.truncate(200 * 2**20)


SLOW = "all reading is inside the sandbox, and linear"
TRAVERSAL = "../../../../../../../../../../tmp/evil.ipynb"
FILES = [
    ("a link to the key, with all the right answers", "links are not followed",
     lambda path, scene: path.symlink_to(scene.places["KEY"])),
    ("a link to another student's submission", "links are not followed",
     lambda path, scene: path.symlink_to(scene.places["OTHER"])),
    ("a named pipe, for the grader to wait at", "only files are read, without waiting",
     lambda path, scene: os.mkfifo(path)),
    ("a notebook of 200 MB", "size limit, before it is opened",
     lambda path, scene: _sparse(path)),
    ("a notebook nested 100,000 deep", "it is read inside the sandbox",
     lambda path, scene: path.write_text('{"cells": ' + "[" * 10**5)),
    ("a million empty cells", "it is read inside the sandbox, up to a limit",
     lambda path, scene: path.write_text('{"cells": [' + ",".join(
         ['{"cell_type": "code", "source": ""}'] * 10**6) + "]}")),
    ("120,000 spaces in a line, for an expression that looks for names", SLOW,
     lambda path, scene: path.write_text(notebook("x:" + " " * 120_000, *[" " * 60_000] * 3))),
    ("half a megabyte of opening brackets, quotes and backslashes", SLOW,
     lambda path, scene: path.write_text(notebook(
         "(" * 100_000, "'" * 99_999, "\\" * 99_999, 'check("' * 20_000, "# answer 1.1 " * 9_000))),
    ("a list that unfolds without end (YAML)", "it is read only beside Gradescope's folders",
     lambda path, scene: (path.with_name("submission_metadata.yml").write_text(
         "a: &a [x, x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, "
                                    f"*{chr(97 + i)}]\n" for i in range(20))),
                          path.write_text(notebook("x = 1")))),
    ("an archive that wants to be unpacked elsewhere", "nothing is unpacked",
     lambda path, scene: path.write_bytes(_zip((TRAVERSAL, '{"cells": []}')))),
    ("an archive of 256 MB in one of 256 kB", "it is read inside the sandbox, up to a limit",
     lambda path, scene: path.write_bytes(_zip(("x.ipynb", b" " * 2**28)))),
]
WORDS = [
    ("markup in a name, to run in the reports", "escaped", "<img src=x onerror=alert(1)>",
     lambda pages, cells: any("<img src=x" in page for page in pages)),
    ("markup in an answer, to run in the reports", "escaped", "marked",
     lambda pages, cells: any("<script>alert(2)" in page for page in pages)),
    ("a formula in a name, to run in a spreadsheet", "an apostrophe before it", "=HYPERLINK(1)",
     lambda pages, cells: any(cell.strip('"').startswith("=") for cell in cells)),
]


SINGLE = [*ENDLESS, *BOMBS, *HARMS, *READS, *NETWORK, *BANS, *FORGERIES]


# The scene.


class Scene:
    """A kit with its secrets, a class beside it, a listening server; and one sandbox for all."""

    def __init__(self, folder, server):
        self.folder = folder
        self.kit = make_kit(folder / "kit", ["1.3", "3.2", "4.3"], title="Three")
        (folder / "class/grades").mkdir(parents=True)
        (folder / "class/grades/marks").write_text("all of them")
        other = folder / "class/other.ipynb"
        other.write_text(notebook("import numpy as np", whole_class.RIGHT[ID]))
        home = str(Path.home())
        self.places = {
            "SEED": self.kit.folder / "instructor/seed",
            "KEY": self.kit.folder / "instructor/key.ipynb",
            "XEH": self.kit.seed[::-1], "OTHER": other, "GRADES": folder / "class/grades",
            "HOME": home, "TOP": sys.base_prefix.removeprefix(f"{home}/").partition("/")[0],
            "REPOSITORY": Path(__file__).parent.parent, "PORT": server.getsockname()[1],
            "CANARY": "a-canary-sings", "CANARYFILE": folder / "unpickled"}
        for name in ("SEED", "KEY", "OTHER"):
            assert self.places[name].read_text()

    def graded(self, cells, id, seconds=1.0):
        """The record of a submission with these cells, in which one exercise counts."""
        for name, place in self.places.items():
            cells = [cell.replace(f"@{name}@", str(place)) for cell in cells]
        kit = replace(self.kit, tasks=(self.kit.task(id),))
        return grading.graded(grading.Job(
            kit, Submission("x"), files=(("x.ipynb", notebook(*cells).encode(), ""),),
            seconds=seconds, total=4 * seconds))

    def well(self, *ids):
        """Whether an honest submission still gets all its points."""
        cells = ["import numpy as np", *map(whole_class.answer, ids)]
        return all(self.graded(cells, id, 10.0).points > 0 for id in ids)

    def files(self):
        """A class of traps, graded and reported: records by student, pages, cells of the export."""
        folder, grades = self.folder / "traps", self.folder / "grades"
        folder.mkdir()
        for number, (_, _, write) in enumerate(FILES):
            write(folder / f"trap{number}.ipynb", self)
        cells = ["import numpy as np", *(f"# answer {id}\n{source}" for id, source in
                                         whole_class.RIGHT.items())]
        for name in ("honest", *(name for _, _, name, _ in WORDS)):
            more = ["# answer 1.3\n'<script>alert(2)</script>'"] * (name == "marked")
            (folder / name).mkdir()
            (folder / name / "x.ipynb").write_text(notebook(*cells, *more))
        grading.grade(self.kit, folder, grades, workers=1)
        reports.write(self.kit, grades)
        pages = [path.read_text(encoding="utf-8") for path in grades.rglob("*.html")]
        cells = []
        for form in export.TABLES:
            export.write(grades, grades / "marks.csv", form)
            text = (grades / "marks.csv").read_text(encoding="utf-8")
            cells += text.replace("\n", ",").split(",")
        return {record.student: record for record in gradebook.records(grades)}, pages, cells


def notebook(*cells):
    """A notebook's text."""
    return json.dumps({"cells": [whole_class.code(cell) for cell in cells]})


@contextlib.contextmanager
def scene(folder):
    """A `Scene` in this folder; its sandbox is gone in the end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        os.environ["SECRET"] = "a-canary-sings"
        try:
            yield Scene(Path(folder), server)
        finally:
            del os.environ["SECRET"]
            if hasattr(grading._own, "trust"):
                grading._own.sandbox.close()
                del grading._own.trust


@contextlib.contextmanager
def in_this_process(workers, scheduler=None):
    """An executor that does each job when it is submitted, here."""
    class Direct(Executor):
        def submit(self, function, *args):
            future = Future()
            future.set_result(function(*args))
            return future

    yield Direct(), 1


def named(attack):
    """An attack in a few words."""
    return f"{attack.group}: {attack.what}"


# What came of it, for the table.


def tried(scene):
    """Try every attack.

    Yields:
        group, what, barrier, earned: points that were earned, None where the attack harmed others
        or got what it wanted.
    """
    for attack in SINGLE:
        points = scene.graded(attack.cells, attack.id).points
        fine = scene.well(attack.id) and not scene.places["CANARYFILE"].exists()
        yield attack.group, attack.what, attack.barrier, points if fine else None
    for leave, find in LEFT_BEHIND:
        began = scene.graded(leave.cells, ID, 5.0).points > 0
        points = scene.graded(find.cells, ID, 5.0).points
        yield find.group, find.what, find.barrier, points if began and scene.well(ID) else None
    records, pages, cells = scene.files()
    honest = records["honest"].points == records["honest"].out_of
    for number, (what, barrier, _) in enumerate(FILES):
        points = records[f"trap{number}"].points
        yield "files", what, barrier, points if honest and not Path(TRAVERSAL).exists() else None
    for what, barrier, name, worked in WORDS:
        yield "words", what, barrier, None if worked(pages, cells) or name not in records else 0.0
