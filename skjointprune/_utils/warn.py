"""Warnings that point at the user's code, once for all fits of a search."""

import multiprocessing
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

# Of a search that is still there, what was said in its fits.
_SAID: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()

# What is said while another process, or a later moment, is to warn of it.
_COLLECTED: ContextVar[list[str] | None] = ContextVar("collected", default=None)

# Modules in whose frames a worker process runs the fits of a search.
_WORKERS = ("joblib._dask", "joblib.externals.loky.process_executor")


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn where the user's code called, outside this package and scikit-learn.

    Where several fits are made in one search, or one `joblib.Parallel`, a message comes
    with the first, though numbers in it differ. A worker process, which does not know
    the search, says it once.
    """
    collected = _COLLECTED.get()
    if collected is not None:
        collected.append(message)
        return
    frame, level = sys._getframe(), 1
    inside = ("skjointprune.", "sklearn.", "joblib.", "contextlib")
    search = None
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(inside):
        search = _search_of(frame) or search
        frame, level = frame.f_back, level + 1
    if search is not None:
        said = _SAID.setdefault(search, set())
        if _kind(message) in said:
            return
        said.add(_kind(message))
    warnings.warn(message, category, stacklevel=level)


@contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Collect the messages of `warn_caller` for a while, in place of warning.

    An error lets them out, as they may tell its reason.
    """
    messages: list[str] = []
    token = _COLLECTED.set(messages)
    try:
        yield messages
    except BaseException:
        _COLLECTED.reset(token)
        warn_once(messages)
        raise
    _COLLECTED.reset(token)


def warn_once(messages: Iterable[str]) -> None:
    """Warn of each kind of message once, though numbers in it differ."""
    first: dict[str, str] = {}
    for message in messages:
        first.setdefault(_kind(message), message)
    for message in first.values():
        warn_caller(message)


def _kind(message: str) -> str:
    return re.sub(r"[0-9]+", "", message)


def _search_of(frame: FrameType) -> Any:
    """Return what makes several fits, if a frame belongs to such."""
    module = frame.f_globals.get("__name__", "")
    if module in _WORKERS and multiprocessing.current_process().name != "MainProcess":
        return _search_of  # as long as the process lives
    if module.startswith(("sklearn.model_selection.", "joblib.parallel")):
        return frame.f_locals.get("self")
    return None
