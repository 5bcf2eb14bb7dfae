"""Inside: the system calls that a child has; all others are refused.

The namespaces that bubblewrap makes hide the host; this keeps one submission from naming another
process, and from leaving anything for the next.
"""

import ctypes
import os
import platform
import struct

from .call_numbers import NUMBER

# On x86-64 a child has these calls and no others. It is what answers, plots and training were seen
# to use after this filter (strace), and what other C libraries use in their place.
ALLOWED = """
read write open openat close lseek pread64 pwrite64 readv writev getdents64 getcwd chdir
stat fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat
mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 ftruncate fsync utimensat dup dup2
mmap munmap mremap mprotect madvise brk futex sched_yield getcpu restart_syscall rseq
set_robust_list exit exit_group rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack alarm setitimer
getitimer select pselect6 poll ppoll nanosleep clock_nanosleep clock_gettime clock_getres
gettimeofday time times getrandom getpid getppid gettid getuid geteuid getgid getegid getrlimit
getrusage sysinfo uname
""".split()
PID = "the process's own id"
WITH = {  # with these values of an argument only: (which, values)
    "prlimit64": (0, (0, PID)), "sched_getaffinity": (0, (0, PID)), "kill": (0, (PID,)),
    "tgkill": (0, (PID,)), "prctl": (0, (15, 16)),  # a thread's name
    "fcntl": (1, (0, 1, 2, 3, 4, 1030)),  # copies and flags; no locks, no sizes of pipes
    "ioctl": (1, (0x5401, 0x5413, 0x5451)),  # is it a terminal, how wide; close on exec
}

# Elsewhere these are refused, and all others are there: aarch64's numbers.
REFUSED = {
    "execve": 221, "execveat": 281, "ptrace": 117, "process_vm_readv": 270,
    "process_vm_writev": 271, "pidfd_getfd": 438, "pidfd_open": 434, "io_uring_setup": 425,
    "userfaultfd": 282, "socket": 198, "socketpair": 199, "shmget": 194, "msgget": 186,
    "semget": 190, "mq_open": 180, "memfd_create": 279, "add_key": 217, "request_key": 218,
    "keyctl": 219, "unshare": 97, "setns": 268, "mount": 40, "umount2": 39, "pivot_root": 41,
    "chroot": 51, "bpf": 280, "perf_event_open": 241, "setxattr": 5, "lsetxattr": 6,
    "fsetxattr": 7, "setpriority": 140, "sched_setaffinity": 122, "sched_setscheduler": 119,
    "sched_setparam": 118, "sched_setattr": 274, "ioprio_set": 30,
}
OWN = {"prlimit64": 261, "kill": 129, "tgkill": 131}  # there too: of oneself only
AARCH64, CLONE, CLONE3, AS_THREAD = 0xC00000B7, {"x86_64": 56, "aarch64": 220}, 435, 0x10000
X86_64, X32 = 0xC000003E, 0x40000000
EPERM, ENOSYS, SIGSYS = 1, 38, 31
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 4, 38, 22


def filter_calls(refused=None):
    """No other program, process or socket, and nothing that outlives this process."""
    if refused is not None:
        tell(refused)
    program = calls_filter(platform.machine(), os.getpid(), refused is not None)
    lines = ctypes.create_string_buffer(program)
    header = struct.pack("HL", len(program) // 8, ctypes.addressof(lines))
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value, more in ((PR_SET_DUMPABLE, 0, None), (PR_SET_NO_NEW_PRIVS, 1, None),
                                (PR_SET_SECCOMP, 2, header)):
        if libc.prctl(option, ctypes.c_ulong(value), more, None, None):
            raise OSError(ctypes.get_errno(), "the kernel refused to filter system calls")


LOAD, EQUAL, AT_LEAST, HAS_BIT, ANSWER = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, TRAP = 0x7FFF0000, 0x30000
NR, ARCH = 0, 4  # where the kernel puts the call's number and the machine's


def line(code, k, if_true=0, if_false=0):
    """One line of the kernel's own small language for filters."""
    return struct.pack("HBBI", code, if_true, if_false, k)


def refusal(error):
    """The line that ends with this error."""
    return line(ANSWER, 0x50000 | error)


def calls_filter(machine, pid, trap=False):
    """The filter of system calls, in the kernel's own small language (seccomp, 8 bytes per line).

    Args:
        machine: "x86_64" or "aarch64".
        pid: of the process around which it closes.
        trap: whether what is not listed is told by a signal.

    Returns:
        Bytes.

    >>> len(calls_filter("x86_64", 7)) % 8
    0
    """
    audit = X86_64 if machine == "x86_64" else AARCH64
    lines = [line(LOAD, ARCH), line(EQUAL, audit, 1), refusal(EPERM), line(LOAD, NR)]
    if machine == "x86_64":
        lines += [line(AT_LEAST, X32, 0, 1), refusal(EPERM)]
        for name in ALLOWED:
            lines += [line(EQUAL, NUMBER[name], 0, 1), line(ANSWER, ALLOW)]
        for name, (which, values) in WITH.items():
            lines += only_with(NUMBER[name], which, values, pid)
        last = line(ANSWER, TRAP) if trap else refusal(ENOSYS)
    else:
        for number in REFUSED.values():
            lines += [line(EQUAL, number, 0, 1), refusal(EPERM)]
        for number in OWN.values():
            lines += only_with(number, 0, (0, PID) if number == OWN["prlimit64"] else (PID,), pid)
        last = line(ANSWER, ALLOW)
    lines += [line(EQUAL, CLONE3, 0, 1), refusal(ENOSYS)]  # then the C library asks for clone
    lines += [line(EQUAL, CLONE[machine], 0, 4), line(LOAD, argument(0)),  # its flags
              line(HAS_BIT, AS_THREAD, 0, 1), line(ANSWER, ALLOW), refusal(EPERM)]
    return b"".join([*lines, last])


def only_with(number, which, values, pid):
    """Lines that allow a call with these values of an argument, and else refuse it."""
    tests = [part for value in values
             for part in (line(EQUAL, pid if value == PID else value, 0, 1), line(ANSWER, ALLOW))]
    return [line(EQUAL, number, 0, len(tests) + 2), line(LOAD, argument(which)), *tests,
            refusal(EPERM)]


def argument(which):
    """Where the kernel puts the lower half of a call's argument."""
    return 16 + 8 * which


def tell(refused):
    """Have each call that is not listed noted by its number, and answered as if it were unknown.

    For x86-64: the places of the number and of the answer are the kernel's.
    """
    handler = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)

    @handler
    def note(signal, info, context):
        refused.add(ctypes.c_int.from_address(info + 24).value)
        ctypes.c_int64.from_address(context + 40 + 13 * 8).value = -ENOSYS

    action = struct.pack("P128xiP", ctypes.cast(note, ctypes.c_void_p).value, 0x40000004, 0)
    ctypes.CDLL(None).sigaction(SIGSYS, action, None)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(note))  # the kernel holds on to it
