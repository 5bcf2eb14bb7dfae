"""All limits of grading: the time of an answer and of a submission, memory, files, threads.

A child closes them around itself, with the filter of system calls, before it runs a student's code.
"""

import contextlib
import mmap
import resource
import sys

from attnlib.running import runner

from .system_calls import filter_calls

SECONDS = runner.SECONDS  # of processor time for an answer, and for each cell: as much as at home
MEMORY, FILE, FILES, THREADS = 2**30, 32 * 2**20, 64, 256


def usual_total(exercises):
    """Seconds of processor time for a submission: its cells are run once for each exercise."""
    return 30.0 + SECONDS * exercises


def room():
    """Bytes of address space in use; found by trying, since a sandbox has no /proc."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    low, high = 0, 2**47
    while high - low > 2**24:
        middle = (low + high) // 2
        resource.setrlimit(resource.RLIMIT_AS, (middle, hard))
        try:
            mmap.mmap(-1, mmap.PAGESIZE).close()
            high = middle
        except OSError:
            low = middle
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    return high


def enter(used, seconds, refused=None):
    """Close around this process, for good.

    Args:
        used: bytes of address space that are in use already, from `room`.
        seconds: processor time that is left for all it does.
        refused: set to which the numbers of refused calls are added, for a self-test.
    """
    cpu = int(seconds) + 3
    for name, most in (("AS", used + MEMORY), ("CPU", cpu), ("FSIZE", FILE), ("CORE", 0),
                       ("NOFILE", FILES), ("NPROC", THREADS), ("MEMLOCK", 0), ("MSGQUEUE", 0)):
        with contextlib.suppress(AttributeError, ValueError, OSError):  # not on every system
            limit = getattr(resource, f"RLIMIT_{name}")
            resource.setrlimit(limit, (most, most + (name == "CPU")))
    if sys.platform == "linux":
        filter_calls(refused)
