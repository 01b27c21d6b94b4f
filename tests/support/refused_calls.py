"""Has the kernel refuse system calls to this process, as gVisor, old kernels and containers do (seccomp(2))."""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

# asm/unistd.h: the numbers on x86-64 and AArch64.
_NUMBERS = {
    "madvise": (28, 233),
    "mlock2": (325, 284),
    "getrandom": (318, 278),
    "mprotect": (10, 226),
    "clone3": (435, 435),
    "clone": (56, 220),
    "flock": (73, 32),
    "fsync": (74, 82),
    "prctl": (157, 167),
    "munlock": (150, 229),
    "memfd_secret": (447, 447),
    "prlimit64": (302, 261),  # by which C libraries set limits
}
MADV_DONTDUMP, MADV_WIPEONFORK = 16, 18
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 22, 38, 2
# linux/filter.h, linux/seccomp.h
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARGUMENTS_AT = 0, 16


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def refuse(call: str, error: int = errno.EINVAL, *, argument: tuple[int, int] | None = None) -> None:
    """Have a system call fail from now on.

    Args:
        call: Its name.
        error: What it answers.
        argument: Its place and value, if the call fails with this argument alone.
    """
    number = _NUMBERS[call][platform.machine() == "aarch64"]
    tests = [(_NUMBER_AT, number)]
    if argument is not None:
        tests.append((_ARGUMENTS_AT + 8 * argument[0], argument[1]))
    code = []
    for index, (offset, value) in enumerate(tests):
        otherwise = 2 * (len(tests) - index) - 1
        code += [(_LOAD, 0, 0, offset), (_EQUAL, 0, otherwise, value)]
    code += [(_RETURN, 0, 0, _ERRNO | error), (_RETURN, 0, 0, _ALLOW)]
    packed = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in code))
    program = _Program(len(code), ctypes.addressof(packed))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program)) == 0, ctypes.get_errno()
