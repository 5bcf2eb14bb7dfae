"""make: what it installs, and the one line it says where it cannot."""

import functools
import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading
import types
import zipfile
from pathlib import Path

import pytest

from press import environment
from press.chapters import ROOT


@pytest.fixture
def make(tmp_path):
    """make(target, script) runs the Makefile with a made-up python3; without one, with none."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml", "press/requirements.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())

    def run(target, script=None):
        fake = tmp_path / "python3"
        if script is not None:
            fake.write_text(f"#!/bin/sh\n{script}\n")
            fake.chmod(0o755)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "TORCH"))}
        return subprocess.run(["make", "--no-print-directory", target, f"PYTHON={fake}"], text=True,
                              cwd=tmp_path, capture_output=True, env=kept)
    return run


@pytest.mark.parametrize("target", ["book", "test"])
def test_a_missing_python_is_told_in_one_line(make, tmp_path, target):
    done = make(target)
    assert done.returncode and done.stdout.splitlines() == [
        f"There is no {tmp_path}/python3: install Python 3.11 or newer from python.org or your "
        f"system's packages, then run make {target}"]


def test_the_site_installs_its_part_and_the_tests_everything_once(make, tmp_path):
    log = tmp_path / "log"
    python = f'echo "$@" >> {log}; mkdir -p .venv/bin; cp "$0" .venv/bin/python'
    for target, part, stamps in ((".venv/site", "site", {"site"}),
                                 (".venv/ready", "all", {"site", "ready"})):
        assert make(target, python).returncode == 0
        assert log.read_text() == f"press/environment.py {part} make {target}\n"
        assert stamps <= set(os.listdir(tmp_path / ".venv"))
        log.unlink()
        assert make(target, python).returncode == 0
        assert not log.exists()


def test_a_target_whose_installing_failed_is_tried_again(make, tmp_path):
    assert make(".venv/site", "echo no room; exit 1").returncode
    assert not (tmp_path / ".venv" / "site").exists()


@pytest.mark.parametrize("target, ready", [
    ("book", "site"), ("serve", "site"), ("student", "site"), ("test", "ready"),
    ("notebooks", "ready")])
def test_what_reads_needs_no_torch_and_what_runs_needs_everything(target, ready):
    plan = subprocess.run(["make", "-n", "-B", target], cwd=ROOT, text=True,
                          capture_output=True).stdout
    parts = re.findall(r"press/environment\.py (\w+) ", plan)
    assert parts == [{"site": "site", "ready": "all"}[ready]]
    assert environment.PARTS["site"][0] == [["-r", "press/requirements.txt"]]


# What press/environment.py says.


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The environment in a folder whose name has a space and letters that are not English."""
    folder = tmp_path / "Büchlein für ö"
    folder.mkdir()
    monkeypatch.setattr(environment, "ROOT", folder)
    for name in ("VENV", "PYTHON", "LOG", "UNFINISHED"):
        path = folder / getattr(environment, name).relative_to(ROOT)
        monkeypatch.setattr(environment, name, path)
    monkeypatch.setattr(environment, "PARTS", {"site": ([["planted"]], "1 MB")})
    return folder


@pytest.fixture
def left(elsewhere):
    """left() runs it and gives the line with which it left; empty if it did not."""
    def run():
        with pytest.raises(SystemExit) as leaving:
            environment.main("site", "make book")
            sys.exit("")
        return leaving.value.code.strip()
    return run


@pytest.mark.parametrize("version", [(3, 10), (3, 15)])
def test_a_python_without_versions_is_told_in_one_line(left, elsewhere, monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", (*version, 2, "final", 0))
    said = f"Python 3.11 to 3.14 is needed, and this is 3.{version[1]}: install one, then run "
    assert left() == f"{said}`make book PYTHON=python3.11`"
    with pytest.raises(SystemExit, match=re.escape(f"{said}`py -3.11 press\\environment.py site`")):
        environment.main("site")
    assert not list(elsewhere.iterdir())


def test_a_missing_venv_is_told_in_one_line(left, monkeypatch):
    found = environment.importlib.util.find_spec
    monkeypatch.setattr(environment.importlib.util, "find_spec",
                        lambda name: None if name == "ensurepip" else found(name))
    assert left() == "Python's venv is missing: on Debian or Ubuntu, sudo apt install python3-venv"


@pytest.mark.parametrize("said, line", [
    ("OSError: [Errno 28] No space left on device",
     "The disk is full. {venv} needs 1 MB: make room. Then run `make book` again."),
    ("MaxRetryError(NameResolutionError: Temporary failure in name resolution",
     "The network failed: check your connection. What was downloaded is kept. Then run `make book` "
     "again."),
    ("ERROR: No matching distribution found for torch==2.13.0",
     "PyTorch has no build for this machine. The site needs none: `make book`. For the notebooks, "
     "use Colab or Binder. Then run `make book` again."),
    ("ERROR: something else",
     "pip could not install what the book needs; above, and in {log}, it says why. Then run "
     "`make book` again."),
])
def test_why_pip_failed_is_told_in_one_line(left, monkeypatch, said, line):
    def fails(command):
        if "pip" in command:
            environment.LOG.write_text(said)
            raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(environment, "run", fails)
    assert left() == line.format(venv=environment.VENV, log=environment.LOG)


def test_a_disk_that_is_full_before_pip_begins_is_told_too(left, monkeypatch):
    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(environment.Path, "touch", fails)
    assert left().startswith("The disk is full. ")


@pytest.mark.parametrize("free, line", [(10**7, "The disk is nearly full. "),
                                        (10**10, "pip could not install ")])
def test_a_disk_on_which_not_even_a_complaint_found_room_is_told_too(
        left, monkeypatch, capsys, free, line):
    def fails(command):
        raise subprocess.CalledProcessError(1, command, stderr="a wall\nof text")

    monkeypatch.setattr(environment, "run", fails)
    monkeypatch.setattr(environment.shutil, "disk_usage",
                        lambda _: types.SimpleNamespace(free=free))
    assert left().startswith(line)
    assert ("a wall" in capsys.readouterr().err) is (free > environment.LITTLE)


def test_a_complaint_is_read_where_the_log_has_no_room(left, monkeypatch):
    def fails(command):
        environment.subprocess.run([sys.executable, "-c", "import sys; sys.exit('[Errno 28] no')"],
                                   check=True, stderr=subprocess.PIPE, text=True)

    monkeypatch.setattr(environment, "run", fails)
    assert left().startswith("The disk is full. ")


def test_what_was_cut_short_is_installed_over(left, monkeypatch):
    commands, cut = [], KeyboardInterrupt

    def run(command):
        commands.append(command)
        if "pip" in command and cut:
            raise cut

    monkeypatch.setattr(environment, "run", run)
    assert left() == "Stopped. `make book` goes on; what was downloaded is kept."
    cut = None
    assert left() == left() == ""
    assert ["--ignore-installed" in c for c in commands if "pip" in c] == [False, True, False]


def test_torch_cpu_takes_the_cpu_build_on_linux_alone(left, monkeypatch):
    monkeypatch.setattr(environment, "PARTS", {"site": ([["-r", "x"], ["-e", "."]], "1 MB")})
    for platform, asked, wanted in (("linux", "cpu", [True, False]), ("linux", "", [False] * 2),
                                    ("darwin", "cpu", [False] * 2)):
        commands = []
        monkeypatch.setattr(environment, "PARTS", {"site": ([["-r", "x"], ["-e", "."]], "1 MB")})
        monkeypatch.setattr(environment, "run", commands.append)
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setenv("TORCH", asked)
        assert left() == ""
        assert [environment.CPU_TORCH in c for c in commands if "pip" in c] == wanted


# A real venv and a real pip, with packages from this machine.


def wheel(folder, name, filler):
    """A wheel with one module, made larger by so many bytes that do not compress."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "said = 'here'\n")
        archive.writestr(f"{name}.bin", os.urandom(filler))
        info = f"{name}-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: us\n"
                                          "Root-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "".join(
            f"{file},,\n" for file in [*archive.namelist(), f"{info}/RECORD"]))
    return path


class Index(http.server.SimpleHTTPRequestHandler):
    """A folder of wheels as an index; what is in `broken` breaks off in the middle."""

    broken = set()
    asked = []

    def do_GET(self):
        name = self.path.strip("/").replace("planted-", "planted_")
        self.asked.append(name)
        if name.endswith(".whl"):
            words = Path(self.directory, name).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(words)))
            self.end_headers()
            self.wfile.write(words[:len(words) // 2] if name in self.broken else words)
            self.close_connection = True
        else:
            file = f"{name}-1.0-py3-none-any.whl"
            digest = hashlib.sha256(Path(self.directory, file).read_bytes()).hexdigest()
            words = f'<a href="/{file}#sha256={digest}">{file}</a>'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(words)))
            self.end_headers()
            self.wfile.write(words)

    def log_message(self, *_):
        pass


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An index of two wheels on loopback, the only one that pip asks."""
    for name in ("planted_first", "planted_second"):
        wheel(tmp_path, name, 200_000)
    handler = type("Own", (Index,), {"broken": set(), "asked": []})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in {"CONFIG_FILE": os.devnull, "RETRIES": "0", "CACHE_DIR": str(tmp_path / "c"),
                        "INDEX_URL": f"http://127.0.0.1:{server.server_port}"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setattr(environment, "PARTS", {
        "site": ([["planted_first"], ["planted_second"]], "1 MB")})

    def stop():
        server.shutdown()
        server.server_close()

    yield handler, stop
    if server.socket.fileno() >= 0:
        stop()


def test_a_network_that_fails_in_the_middle_is_told_and_the_next_run_goes_on(
        left, elsewhere, index, monkeypatch):
    handler, stop = index
    second = "planted_second-1.0-py3-none-any.whl"
    handler.broken.add(second)
    assert left().startswith("The network failed: check your connection.")
    handler.broken.clear()
    assert left() == ""
    program = "import planted_first, planted_second as s; print(s.said)"
    said = subprocess.run([environment.PYTHON, "-c", program],
                          capture_output=True, text=True, check=True).stdout
    assert environment.VENV.parent == elsewhere and said == "here\n"
    assert not environment.UNFINISHED.exists()
    stop()
    monkeypatch.setattr(environment, "PARTS", {"site": ([["planted_third"]], "1 MB")})
    assert left().startswith("The network failed: check your connection.")
