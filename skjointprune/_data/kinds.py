"""Which kind of input X is."""

from typing import Any

import numpy as np

from .image_inputs import ImageInputs
from .inputs import Inputs
from .streamed_inputs import StreamedInputs
from .table_inputs import TableInputs

# the first that takes X
KINDS: tuple[type[Inputs], ...] = (StreamedInputs, ImageInputs, TableInputs)


def kind_of(X: Any) -> type[Inputs]:
    """Return the kind of input that X is."""
    return next(kind for kind in KINDS if kind.takes(X))


def take(X: Any, rows: np.ndarray) -> Any:
    """Return some rows of X; those of images are not copied."""
    return kind_of(X).take(X, rows)
