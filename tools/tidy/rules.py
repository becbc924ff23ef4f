"""The tables of the house: what may stand where. tidy.py holds the files against them.

A place is a prefix of a path from the root: "base/os/" is a folder, "proto/rpc_grpc" every file that begins so.
A rule is changed here, in a commit that says why.
"""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def read_floors():
    """The order of the floors, from the very file that Bazel enforces it with."""
    table = {}
    exec((ROOT / "tools/bazel/floors.bzl").read_text(encoding="utf-8"), table)  # Starlark, and Python too.
    return table["FLOORS"]


# folder: the folders it may include.
FLOORS = read_floors()

# Stand outside the floors and may include anything of ours.
FREE = ("tests/", "tools/")

# protoc-c's headers are included by their import path; they belong to proto/.
GENERATED_SUFFIX = ".pb-c.h"

# Where a library's headers may be included; the first row whose prefix fits counts. tests/ and tools/ may include
# any of them but cmocka.
FOREIGN = [
    ("lmdb.h", ("base/os/store_lmdb",)),
    ("sodium", ("security/",)),
    ("grpc/", ("proto/rpc_grpc",)),
    ("protobuf-c/", ("proto/", "clients/c/")),
    ("cmocka.h", ("tests/",)),
    ("isa-l", ("base/",)),
    ("xxhash.h", ("base/",)),
    ("xxh_x86dispatch.h", ("base/",)),
    ("zstd", ("base/", "log/batch", "clients/c/compress")),
    ("lz4", ("base/", "log/batch", "clients/c/compress")),
    ("jansson.h", ("clients/cli/",)),
    ("libsmartcols/", ("clients/cli/",)),
]
TESTS_ONLY = ("cmocka.h",)

# Files, sockets and clocks come in through the doors only.
DOORS = ("base/os/", "proto/rpc_grpc", "clients/cli/") + FREE
DOOR_HEADERS = (
    "arpa/", "dirent.h", "fcntl.h", "ifaddrs.h", "linux/", "net/", "netdb.h", "netinet/", "poll.h", "sched.h",
    "sys/epoll.h", "sys/eventfd.h", "sys/file.h", "sys/inotify.h", "sys/ioctl.h", "sys/mman.h", "sys/random.h", "sys/resource.h",
    "sys/select.h", "sys/socket.h", "sys/stat.h", "sys/statfs.h", "sys/statvfs.h", "sys/syscall.h", "sys/time.h",
    "sys/timerfd.h", "sys/uio.h", "sys/un.h", "sys/vfs.h", "sys/wait.h", "unistd.h",
)  # fmt: skip
DOOR_CALLS = {
    "a clock": "clock_gettime clock_getres clock_nanosleep gettimeofday nanosleep usleep timespec_get ftime",
    "chance": "getrandom getentropy arc4random arc4random_buf arc4random_uniform",
    "a file": (
        "open openat creat fopen freopen fdopen tmpfile mkstemp mkdtemp read pread preadv readv write pwrite pwritev writev close "
        "fsync fdatasync sync syncfs sync_file_range fallocate posix_fallocate posix_fadvise ftruncate truncate rename renameat "
        "link symlink unlink unlinkat remove mkdir mkdirat rmdir opendir readdir scandir stat fstat lstat fstatat statvfs fstatvfs "
        "mmap munmap mremap msync flock lockf fcntl ioctl dup dup2 pipe pipe2 lseek chmod chdir"
    ),
    "a socket": (
        "socket socketpair bind listen accept accept4 connect send sendto sendmsg recv recvfrom recvmsg shutdown setsockopt "
        "getsockopt getsockname getpeername getaddrinfo poll ppoll select pselect epoll_create1 epoll_ctl epoll_wait eventfd "
        "timerfd_create"
    ),
    "a process": "fork vfork execv execve execvp posix_spawn system popen syscall",
}

# Lanes, not locks: threads are the doors' too. Two more places are called on threads that are not ours to choose: the client library,
# and the one table that lanes set and the transport's threads ask.
THREAD_PLACES = DOORS + ("clients/c/", "proto/health")
THREAD_HEADERS = ("pthread.h", "threads.h", "semaphore.h")

# Nowhere, each with what to use instead.
BANNED = {
    "strcpy": "snprintf or memcpy with a size",
    "stpcpy": "snprintf or memcpy with a size",
    "strcat": "snprintf or struct buffer",
    "strncpy": "snprintf; strncpy may leave no end",
    "strncat": "snprintf or struct buffer",
    "sprintf": "snprintf",
    "vsprintf": "vsnprintf",
    "gets": "fgets",
    "strtok": "strchr, or strtok_r",
    "atoi": "strtol, which can say no",
    "atol": "strtol, which can say no",
    "atoll": "strtoll, which can say no",
    "atof": "strtod, which can say no",
    "rand": "base/entropy.h",
    "srand": "base/entropy.h",
    "random": "base/entropy.h",
    "drand48": "base/entropy.h",
    "time": "loop_now, or clock_gettime behind a door",
    "sleep": "loop_after, or nanosleep in a test",
    "alloca": "an arena",
}

# The heap is base/memory.h's.
HEAP = "malloc calloc realloc reallocarray free posix_memalign aligned_alloc memalign strdup strndup asprintf vasprintf".split()
HEAP_PLACES = ("base/", "clients/cli/") + FREE

# CHECK is always on, assert is not.
ASSERT_PLACES = ("tests/",)

# (file, what): why it may. `what` is a header or a call that the tables above would refuse there.
EXCEPTIONS = {
    ("base/check.c", "unistd.h"): "the last words of a process that stops",
    ("base/memory.c", "sys/mman.h"): "it asks for huge pages",
    ("base/trace.c", "unistd.h"): "log lines go to standard error, each in one write",
    ("base/trace.c", "write"): "log lines go to standard error, each in one write",
    ("base/trace.c", "clock_gettime"): "a log line says when; nothing decides by it",
    ("server/main.c", "unistd.h"): "main() asks how many processors there are; a second signal stops at once",
    ("server/main.c", "write"): "the last words, from a signal handler",
    ("server/routing.c", "pthread.h"): "the one lock: see docs/decisions/0003-lanes.md",
}

# Advice: over these, look for the missing noun.
FILE_LINES = 400
FUNCTION_LINES = 60
