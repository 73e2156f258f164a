"""Warnings that point at the user's code."""

import sys
import warnings


def warn_caller(message: str) -> None:
    """Warn where the user's code called, outside this package and scikit-learn."""
    frame, level = sys._getframe(), 1
    inside = ("skjointprune.", "sklearn.", "joblib.", "contextlib")
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(inside):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
