"""What is done when a signal ends the process, before it does."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

# Ctrl-C; what clusters and `kill` send; and a terminal that is closed
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class BeforeSignals:
    """Calls a function when such a signal comes, and then lets it do what it would.

    Python takes handlers in the main thread alone. Elsewhere, nothing is called. A
    signal that is ignored stays so.
    """

    def __init__(self, call: Callable[[], None]):
        self.call = call
        self._before: dict[int, Any] = {}
        self._waits = False
        self._came: tuple[int, Any] | None = None

    def __enter__(self) -> Self:
        self._pid = os.getpid()
        if threading.current_thread() is threading.main_thread():
            for name in NAMES:
                number = getattr(signal, name, None)
                before = signal.SIG_IGN if number is None else signal.getsignal(number)
                if number is not None and before not in (signal.SIG_IGN, None):
                    self._before[number] = before
                    signal.signal(number, self._handle)
        return self

    def __exit__(self, kind, error, traceback) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}

    @contextmanager
    def put_off(self) -> Iterator[None]:
        """Let signals wait while something is done that must not be cut short."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
            if self._came is not None:
                came, self._came = self._came, None
                self._pass_on(*came)

    def _handle(self, number: int, frame: Any) -> None:
        if self._waits:
            self._came = number, frame
            return
        try:
            if os.getpid() == self._pid:  # and not a process that was forked
                self.call()
        finally:
            self._pass_on(number, frame)

    def _pass_on(self, number: int, frame: Any) -> None:
        before = self._before[number]
        if callable(before):
            before(number, frame)
            return
        signal.signal(number, before)  # what the system does, which ends the process
        os.kill(os.getpid(), number)
