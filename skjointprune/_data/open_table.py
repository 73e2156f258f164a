"""Which X is read piece by piece: opened before a fit, and read to predict."""

import os
from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np

from .arrow_source import ArrowSource, is_arrow_dataset
from .check_images import as_array
from .readers import slices
from .sources import ArraySource, Source, rows_of_map
from .targets import targets_of
from .torch_source import TorchSource, is_dataset_of_rows

NUMBERS_IN_MEMORY = 2**22  # a table of no more is read whole
# joblib maps what is in memory, for its processes
JOBLIB_FOLDER = "joblib_memmapping_folder"


def is_map(X: Any) -> bool:
    """Tell whether X is a table in a file that the user has mapped to memory."""
    return (
        isinstance(X, np.memmap)
        and X.ndim == 2
        and X.dtype.kind in "fiub"
        and JOBLIB_FOLDER not in str(getattr(X, "filename", ""))
    )


def open_table(
    X: Any, y: Any, sample_weight: Any, *, in_memory: bool = False
) -> tuple[Any, Any, Any]:
    """Return a `Source` in place of a table in files, or in a dataset of rows.

    It holds the targets and weights as well, so that None stand for these. A small
    table is read whole, and any if `in_memory`. All else is returned as it is.
    """
    source: Source
    y, sample_weight = as_array(y), as_array(sample_weight)
    for name, given in {"y": y, "sample_weight": sample_weight}.items():
        _refuse_masked_or_unordered(given, name)
    if not is_arrow_dataset(X):
        for name, given in {"y": y, "sample_weight": sample_weight}.items():
            if isinstance(given, str):
                remedy = "pass the column itself, and X without it"
                if isinstance(X, str | os.PathLike | list | tuple):
                    remedy = "open files by pyarrow.dataset.dataset(X)"
                raise ValueError(
                    f"`{name}` can name a column only where X is a pyarrow Dataset. "
                    f"Got {given!r} with a {type(X).__name__}; {remedy}."
                )
    if is_map(X):
        if y is None:
            return X, y, sample_weight
        source = ArraySource(X, y, _as_weights(sample_weight))
    elif is_arrow_dataset(X):
        _refuse_no_name(X, y)
        source = ArrowSource(X, y, sample_weight)
    elif is_dataset_of_rows(X):
        source = TorchSource(X, y, _as_weights(sample_weight))
        if not source.has_targets:
            raise ValueError(
                f"The dataset {type(X).__name__} has no targets, and y is None. Let "
                "its items be tuples (X, y)."
            )
    else:
        return X, y, sample_weight
    if in_memory or source.n_rows * source.n_columns <= NUMBERS_IN_MEMORY:
        return source.whole()
    return source, None, None


def _refuse_no_name(X: Any, y: Any) -> None:
    """Raise ValueError where no column of a pyarrow Dataset is named as y."""
    if y is None:
        raise ValueError(
            "With a pyarrow Dataset, `y` must be the name of a column. Got None; "
            f"choose from {X.schema.names}."
        )


def _refuse_masked_or_unordered(given: Any, name: str) -> None:
    """Raise ValueError where targets or weights are masked, or are not in order."""
    if isinstance(given, Set | Mapping | Iterator):
        raise ValueError(
            f"`{name}` must hold a value for each row, in their order. Got one of the "
            f"type {type(given).__name__}; pass an array, or a list."
        )
    if np.ma.isMaskedArray(given) and np.ma.getmaskarray(given).any():
        raise ValueError(
            f"`{name}` must hold a value for each row. Got a masked array that masks "
            f"{int(np.ma.getmaskarray(given).sum())} of {given.size}; leave these rows "
            "out."
        )


def _as_weights(sample_weight: Any) -> np.ndarray | None:
    """Return an array; none where all rows weigh as much."""
    return None if np.ndim(sample_weight) == 0 else np.asarray(sample_weight)


def rows_to_predict(
    X: Any, names: np.ndarray | None, support: np.ndarray
) -> Iterator[Any] | None:
    """Return tables in memory, which hold the rows of X in order; None if X is one.

    Of a pyarrow Dataset only the retained columns are read, where the fit had names.
    """
    if is_map(X) and X.size > NUMBERS_IN_MEMORY:
        size = max(1, NUMBERS_IN_MEMORY // X.shape[1])
        return (rows_of_map(X, rows) for rows in slices(len(X), size))
    if is_arrow_dataset(X):
        source = ArrowSource(X, None, None)
        wanted = source.names if names is None else names[support].tolist()
        lacking = [name for name in wanted if name not in source.names]
        if lacking:
            raise ValueError(
                f"X must have the columns that the fit retained. Got a Dataset without "
                f"{lacking}; name its columns as in `fit`."
            )
        return source.frames(wanted)
    if is_dataset_of_rows(X):
        return TorchSource(X, None, None).rows()
    return None


def targets_to_score(X: Any, y: Any, sample_weight: Any) -> tuple[Any, Any]:
    """Return y and weights, in memory where they are those of a dataset.

    In the order of `rows_to_predict`.
    """
    if is_arrow_dataset(X):
        _refuse_no_name(X, y)
        source = ArrowSource(X, y, sample_weight)
        names = [*source.targets, *source.weights]
        frames = [frame.to_numpy() for frame in source.frames(names)]
        table = np.concatenate(frames)
        n = len(source.targets)
        targets = table[:, :n] if source.shape_of_y else table[:, 0]
        return targets, table[:, n] if source.weights else None
    if is_dataset_of_rows(X) and y is None:
        _, y, weight = TorchSource(X, None, None).whole()
        return y, weight if sample_weight is None else sample_weight
    y = targets_of(X, y)
    if y is None:
        raise ValueError("`score` needs y. Got None; pass the targets of these rows.")
    return y, sample_weight


def refuse_streams(X: Any, what: str) -> None:
    """Raise ValueError where a table must be in memory, or in a map, and is not."""
    if is_arrow_dataset(X) or is_dataset_of_rows(X):
        raise ValueError(
            f"{what} takes a table in memory, or a memory-mapped array. Got a "
            f"{type(X).__name__}; read it, or some of its rows, into memory."
        )
