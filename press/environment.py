"""Makes .venv and installs into it: what building the site needs, or everything.

``python press/environment.py site`` (or ``all``) is called by the Makefile, or typed where there is
no make, with any Python 3: it uses the standard library alone. Where it cannot go on it says in one
line what to do. A run that was cut short is done again over what is there, since half a package
looks like a whole one to pip.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
LOG = VENV / "pip.log"
UNFINISHED = VENV / "unfinished"
OLDEST, NEWEST = (3, 11), (3, 14)  # for which requirements.txt has versions
PARTS = {  # what is asked for: what to install, and about how much room it takes
    "site": ([["-r", "press/requirements.txt"]], "350 MB"),
    "all": ([["-r", "requirements.txt"],
             ["--no-deps", "--no-build-isolation", "--editable", "."]],
            "2 GB (6 GB where torch brings CUDA)"),
}
CPU_TORCH = "https://download.pytorch.org/whl/cpu"
LITTLE = 200 * 2**20  # bytes
NO_ROOM = ("No space left on device", "Errno 28", "Disk quota exceeded", "not enough space")
NO_NETWORK = ("NewConnectionError", "NameResolutionError", "Read timed out", "ConnectTimeout",
              "ProxyError", "ConnectionReset", "Connection aborted", "IncompleteRead",
              "IncompleteDownload", "Temporary failure in name resolution", "SSLError",
              "Network is unreachable", "getaddrinfo failed",
              "DO NOT MATCH THE HASHES")  # what an older pip makes of half a file


def main(part, again=None):
    """Make the environment, install, or leave with one line that says what to do.

    Args:
        part: a key of PARTS.
        again: the command that the reader typed; this one if not given.
    """
    again = again or f"py press\\environment.py {part}"
    check_python(again)
    installs, size = PARTS[part]
    if sys.platform == "linux" and os.environ.get("TORCH") == "cpu":
        installs[0] += ["--extra-index-url", CPU_TORCH]
    unfinished = UNFINISHED.exists()
    try:
        VENV.mkdir(exist_ok=True)
        UNFINISHED.touch()
        LOG.unlink(missing_ok=True)
        if unfinished or not PYTHON.exists():
            run([sys.executable, "-m", "venv", str(VENV)])
        for arguments in installs:
            pip(*(["--ignore-installed"] if unfinished else []), *arguments)
        UNFINISHED.unlink()
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"\n{reason(error, size)} Then run `{again}` again.")
    except KeyboardInterrupt:
        sys.exit(f"\nStopped. `{again}` goes on; what was downloaded is kept.")


def check_python(again):
    """Leave, with what to install, where this Python cannot make the environment."""
    here = sys.version_info[:2]
    if not OLDEST <= here <= NEWEST:
        then = f"py -3.11 {again[3:]}" if again.startswith("py ") else (
            f"{again} PYTHON=python3.11")
        sys.exit("Python {}.{} to {}.{} is needed, and this is {}.{}: install one, then run `{}`"
                 .format(*OLDEST, *NEWEST, *here, then))
    if not all(map(importlib.util.find_spec, ("venv", "ensurepip"))):
        sys.exit("Python's venv is missing: on Debian or Ubuntu, sudo apt install python3-venv")


def run(command):
    """Run a command whose progress the reader sees, and whose complaints `reason` sees first."""
    subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.PIPE, text=True,
                   encoding="utf-8", errors="replace")


def pip(*arguments):
    """Install; the log keeps what pip does not show. Nothing is compiled that is not imported."""
    run([str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-compile",
         "--log", str(LOG), *arguments])


def reason(error, size):
    """Why it could not go on, and what to do about it, in a sentence or two."""
    complaint = getattr(error, "stderr", None) or ""
    log = LOG.read_text(encoding="utf-8", errors="replace") if LOG.exists() else ""
    said = str(error) + complaint + log
    if any(sign in said for sign in NO_ROOM):
        return f"The disk is full. {VENV} needs {size}: make room."
    if any(sign in said for sign in NO_NETWORK):
        return "The network failed: check your connection. What was downloaded is kept."
    if "No matching distribution found for torch" in said:  # such as an Intel Mac
        return ("PyTorch has no build for this machine. The site needs none: `make book`. "
                "For the notebooks, use Colab or Binder.")
    if shutil.disk_usage(ROOT).free < LITTLE:  # where not even a complaint could be written
        return f"The disk is nearly full. {VENV} needs {size}: make room."
    print(complaint, file=sys.stderr)
    return f"pip could not install what the book needs; above, and in {LOG}, it says why."


if __name__ == "__main__":
    main(*sys.argv[1:])
