"""Versions of what the numbers of a fit may depend on."""

import platform

import numpy as np
import sklearn
import skorch
import torch

from .._version import __version__


def versions() -> dict[str, str]:
    """Return the versions of this package, of what it is built on, and of Python."""
    return {
        "skjointprune": __version__,
        "torch": torch.__version__,
        "skorch": skorch.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
