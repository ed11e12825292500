"""What is asked of the kernel beyond the `os` module: mounts, namespaces, a descriptor for SIGCHLD, the exit codes of others."""

import contextlib
import ctypes
import fcntl
import os
import signal
import struct

from tiphys.launching.processes import read_text

MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE, MNT_DETACH, CLONE_NEWNS = 0x20, 0x1000, 0x4000, 1 << 18, 1 << 19, 2, 0x20000
SFD_NONBLOCK_CLOEXEC, SIGSET_BYTES = 0o2004000, 128
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, READ_ONLY_NOSUID_NODEV = 442, -100, 0x8000, 7
PR_SET_CHILD_SUBREAPER = 36
CLONE_FS = 0x200
PUNCH_HOLE_KEEP_SIZE = 3
PIDFD_INFO_SIZE, PIDFD_INFO_EXIT = 64, 1 << 3
PIDFD_GET_INFO = (3 << 30) | (PIDFD_INFO_SIZE << 16) | (0xFF << 8) | 11

libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]


def checked(result: int, what: str) -> None:
    """Raise the C library's error."""
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def adopt_orphans() -> None:
    """What a step leaves behind becomes our child."""
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def punch_front(fd: int, count: int) -> bool:
    """Give the first `count` bytes of a file back to the file system; offsets stay."""
    return bool(libc.fallocate(fd, PUNCH_HOLE_KEEP_SIZE, 0, count) == 0)


def show(path: str, target: str) -> None:
    """Bind a host path at `target`, read-only with all that is mounted below it; of /sys only itself (the rest are the host's cgroups)."""
    recursive = 0 if path == "/sys" else MS_REC
    checked(libc.mount(os.fsencode(path), os.fsencode(target), None, MS_BIND | recursive, None), f"bind {path}")
    attributes = struct.pack("QQQQ", READ_ONLY_NOSUID_NODEV, 0, MS_PRIVATE, 0)
    result = libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, os.fsencode(target), AT_RECURSIVE, attributes, len(attributes))
    checked(result, f"mount_setattr {path}")


def own_namespace() -> str:
    """Give this process a mount namespace of its own, which still sees the host's later mounts; returns why it cannot."""
    try:
        checked(libc.unshare(CLONE_NEWNS), "unshare")
        checked(libc.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None), "mount")
    except OSError as error:
        return str(error)
    return ""


def told_of_ends() -> int:
    """A descriptor that can be read when a child has ended: no signal handler has to run for each of them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    mask = ctypes.create_string_buffer(struct.pack("Q", 1 << (signal.SIGCHLD - 1)), SIGSET_BYTES)
    fd: int = libc.signalfd(-1, mask, SFD_NONBLOCK_CLOEXEC)
    checked(fd < 0, "signalfd")
    return fd


def exit_code_of(pid: int, born: tuple[int, int], pidfd: int) -> int | None:
    """The exit code of a process that has ended and is no child of ours: of its zombie, else what the kernel keeps for its pidfd."""
    buffer = bytearray(struct.pack("Q", PIDFD_INFO_EXIT).ljust(PIDFD_INFO_SIZE, b"\0"))
    fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    status: int | None = None
    if len(fields) > 49 and fields[0] == "Z" and born[0] <= int(fields[19]) <= born[1]:  # proc(5): state, starttime, exit_code
        status = int(fields[49])
    else:
        with contextlib.suppress(OSError):
            fcntl.ioctl(pidfd, PIDFD_GET_INFO, buffer)
            if struct.unpack_from("Q", buffer)[0] & PIDFD_INFO_EXIT:
                status = struct.unpack_from("i", buffer, 60)[0]
    if status is None:
        return None
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
