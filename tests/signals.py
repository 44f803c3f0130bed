"""The stack on which a process handles its signals."""

import ctypes
from typing import Final

_SS_DISABLE: Final = 2
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class _Stack(ctypes.Structure):
    """stack_t of sigaltstack(2)."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def handle_on_the_ordinary_stack() -> None:
    """Have this thread handle its signals on the stack it runs on.

    OpenVINO 2026.4's CPU plugin gives the thread that loads it a stack for signals, and gives back what was there
    before when it ends. Of two plugins that end in the order of their making the second gives back the first's, which
    is unmapped by then: the next signal that a handler takes, and be it Python's, ends the process by SIGSEGV without
    a word.
    """
    if _LIBC.sigaltstack(ctypes.byref(_Stack(None, _SS_DISABLE, 0)), None):
        raise OSError(ctypes.get_errno(), "sigaltstack")
