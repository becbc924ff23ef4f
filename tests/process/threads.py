"""Single threads of a running process, stopped and let go on: what SIGSTOP cannot do, ptrace can. As root, on Linux."""

import contextlib
import ctypes
import os

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000  # __WALL: also threads that are no children

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, thread):
    if libc.ptrace(request, thread, None, None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, "ptrace of thread %d: %s" % (thread, os.strerror(number)))


def threads_of(pid, name):
    """The threads of a process by the name that they gave themselves."""
    found = []
    for thread in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/comm" % (pid, thread)) as comm:
            if comm.read().strip() == name:
                found.append(int(thread))
    return found


def state_of(pid, thread):
    with open("/proc/%d/task/%d/stat" % (pid, thread)) as stat:
        return stat.read().rpartition(")")[2].split()[0]


@contextlib.contextmanager
def stopped(pid, name):
    """Inside, the threads of that name stand still, and no others. To be left on the thread that entered."""
    threads = threads_of(pid, name)
    if not threads:
        raise RuntimeError("process %d has no thread %s" % (pid, name))
    seized = []
    try:
        for thread in threads:
            ptrace(PTRACE_SEIZE, thread)
            seized.append(thread)
            ptrace(PTRACE_INTERRUPT, thread)
            os.waitpid(thread, WALL)
            assert state_of(pid, thread) == "t"
        yield
    finally:
        for thread in seized:
            with contextlib.suppress(OSError):  # it may be gone
                ptrace(PTRACE_DETACH, thread)
