"""A lock of a file: one fit at a time writes it, in this process or another."""

import os
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

_HELD: set[str] = set()  # by this process, which its own lock would let in again


class Lock:
    """Held from `acquire` to `release`, or until the process ends, however it does.

    It is a file beside the one that is locked, as that one is replaced.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.path.realpath(path)
        self._beside = Path(f"{self.path}.lock")
        self._file: IO[Any] | None = None

    def acquire(self) -> bool:
        """Take the lock, unless another has it."""
        if self.path in _HELD:
            return False
        while True:
            file = open(self._beside, "a+b")  # noqa: SIM115
            if not _lock(file):
                file.close()
                return False
            try:
                there = os.path.samestat(os.fstat(file.fileno()), self._beside.stat())
            except FileNotFoundError:
                there = False
            if there:
                break
            file.close()  # the one who had it has just removed it
        self._file = file
        _HELD.add(self.path)
        return True

    def release(self) -> None:
        """Let others have it."""
        if self._file is None:
            return
        if fcntl is not None:  # Windows removes no file that is open
            self._beside.unlink(missing_ok=True)
        self._file.close()
        self._file = None
        _HELD.discard(self.path)


def _lock(file: IO[Any]) -> bool:
    try:
        if fcntl is not None:
            # A lock that forked processes, as those that read images, do not share.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True
