"""What closes around a child before it runs a student's code: limits, and a filter of system calls.

The namespaces that bubblewrap makes hide the host; this keeps one submission from outliving its
turn, or from leaving anything for the next.
"""

import contextlib
import ctypes
import mmap
import platform
import resource
import struct
import sys

MEMORY, FILE, FILES, THREADS = 2**30, 32 * 2**20, 64, 256

# Calls that are refused: (x86_64, aarch64), None where the machine has no such call.
REFUSED = {
    "execve": (59, 221), "execveat": (322, 281),  # another Python has no bans
    "fork": (57, None), "vfork": (58, None),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438), "io_uring_setup": (425, 425), "userfaultfd": (323, 282),
    "socket": (41, 198),
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    "memfd_create": (319, 279), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219),  # places that outlive a process
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "bpf": (321, 280),
    "perf_event_open": (298, 241),
}
CLONE, CLONE3, AS_THREAD = (56, 220), 435, 0x10000
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column, AUDIT_ARCH_...
EPERM, ENOSYS = 1, 38
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 4, 38, 22


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


def enter(used, seconds):
    """Close around this process, for good.

    Args:
        used: bytes of address space that are in use already, from `room`.
        seconds: twice this is what its cells and its answer may take.
    """
    cpu = int(2 * seconds) + 3
    for name, most in (("AS", used + MEMORY), ("CPU", cpu), ("FSIZE", FILE), ("CORE", 0),
                       ("NOFILE", FILES), ("NPROC", THREADS), ("MEMLOCK", 0), ("MSGQUEUE", 0)):
        with contextlib.suppress(AttributeError, ValueError, OSError):  # not on every system
            limit = getattr(resource, f"RLIMIT_{name}")
            resource.setrlimit(limit, (most, most + (name == "CPU")))
    if sys.platform == "linux":
        filter_calls()


def filter_calls():
    """No other program, process or socket, and nothing that outlives this process."""
    column, machine = MACHINES[platform.machine()]
    program = calls_filter(column, machine)
    lines = ctypes.create_string_buffer(program)
    header = struct.pack("HL", len(program) // 8, ctypes.addressof(lines))
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value, more in ((PR_SET_DUMPABLE, 0, None), (PR_SET_NO_NEW_PRIVS, 1, None),
                                (PR_SET_SECCOMP, 2, header)):
        if libc.prctl(option, ctypes.c_ulong(value), more, None, None):
            raise OSError(ctypes.get_errno(), "the kernel refused to filter system calls")


def calls_filter(column, machine):
    """The filter, as the kernel's own small language has it (seccomp, 8 bytes per line).

    >>> len(calls_filter(*MACHINES["x86_64"])) % 8
    0
    """
    load, equal, at_least, has_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06

    def line(code, k, if_true=0, if_false=0):
        return struct.pack("HBBI", code, if_true, if_false, k)

    def refusal(error):
        return line(answer, 0x50000 | error)

    lines = [line(load, 4), line(equal, machine, 1), refusal(EPERM), line(load, 0)]
    lines += [line(at_least, 0x40000000, 0, 1), refusal(EPERM)]  # the x32 calls
    for numbers in REFUSED.values():
        if numbers[column] is not None:
            lines += [line(equal, numbers[column], 0, 1), refusal(EPERM)]
    lines += [line(equal, CLONE3, 0, 1), refusal(ENOSYS)]  # then the C library asks for clone
    lines += [line(equal, CLONE[column], 0, 3), line(load, 16),  # its flags
              line(has_bit, AS_THREAD, 1), refusal(EPERM)]
    return b"".join([*lines, line(answer, 0x7FFF0000)])
