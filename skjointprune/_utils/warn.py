"""Warnings that point at the user's code, once for all fits of a search."""

import re
import sys
import warnings
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

# Of a search that is still there, what was said in its fits.
_SAID: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


def warn_caller(message: str) -> None:
    """Warn where the user's code called, outside this package and scikit-learn.

    Where several fits are made in one search, or one `joblib.Parallel`, a message comes
    with the first, though numbers in it differ.
    """
    frame, level = sys._getframe(), 1
    inside = ("skjointprune.", "sklearn.", "joblib.", "contextlib")
    search = None
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(inside):
        search = _search_of(frame) or search
        frame, level = frame.f_back, level + 1
    if search is not None:
        said = _SAID.setdefault(search, set())
        kind = re.sub(r"[0-9]+", "", message)
        if kind in said:
            return
        said.add(kind)
    warnings.warn(message, UserWarning, stacklevel=level)


def _search_of(frame: FrameType) -> Any:
    """Return what makes several fits, if a frame belongs to such."""
    module = frame.f_globals.get("__name__", "")
    if module.startswith(("sklearn.model_selection.", "joblib.parallel")):
        return frame.f_locals.get("self")
    return None
