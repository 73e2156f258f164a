"""Targets: how y becomes numbers to learn, and how outputs become predictions again."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d
from torch.utils.data import Dataset, IterableDataset

from .._utils.warn import warn_caller
from .frames import is_missing
from .readers import DATASETS

MANY_CLASSES = 10  # of so many, numbers may be meant,
FEW_ROWS_EACH = 3  # where there are fewer rows of each than this
LARGEST = 1e150  # its square is a number, too,
SMALLEST = 1 / LARGEST  # and that of this is more than 0
COMPARED_LABELS = 16  # items of a dataset, to see whether it returns what it lists


# Returns outputs for the rows of a fit, (rows, n_outputs), their codes and weights.
ReadRows = Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray]]


class Targets(ABC):
    """What the y of a fit was, so that outputs of the network can be read.

    Attributes
    ----------
    n_outputs : int
        How many outputs the network has.
    are_numbers : bool
        Whether y holds numbers to predict, which are standardised.
    network_defaults : dict
        Parameters of the default network of a table with hidden layers, in place of
        what suits its columns.
    flat : bool
        Whether outputs are one number a row, without a second dimension.
    """

    n_outputs: int
    are_numbers: ClassVar[bool] = False
    network_defaults: ClassVar[dict[str, Any]] = {}
    flat: bool

    @abstractmethod
    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Return predictions as y was, for outputs of shape (rows, n_outputs)."""

    def finished(self, read_rows: ReadRows) -> "Targets":
        """Return targets that know what a finished network gives for their rows."""
        return self


@dataclass(frozen=True, eq=False)
class Classes(Targets):
    """One class a row; outputs are probabilities."""

    labels: np.ndarray
    flat: ClassVar[bool] = False  # type: ignore[misc]

    @property
    def n_outputs(self) -> int:  # type: ignore[override]
        """How many classes there are."""
        return len(self.labels)

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Return the most probable label of each row."""
        return self.labels[outputs.argmax(axis=1)]


@dataclass(frozen=True)
class LabelSets(Targets):
    """Any number of labels a row, as an indicator matrix; outputs are probabilities."""

    n_outputs: int
    flat: ClassVar[bool] = False  # type: ignore[misc]

    @property
    def labels(self) -> list[np.ndarray]:
        """The classes of each label, as scikit-learn has them for several outputs."""
        return [np.array([0, 1]) for _ in range(self.n_outputs)]

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Return an indicator matrix of the probable labels."""
        return (outputs > 0.5).astype(np.int64)


@dataclass(frozen=True)
class Numbers(Targets):
    """One number a row or several; `flat` is whether y had one dimension."""

    n_outputs: int
    flat: bool
    are_numbers: ClassVar[bool] = True

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Return numbers in the shape that y had."""
        numbers = outputs.astype(np.float64)
        return numbers[:, 0] if self.flat else numbers


@dataclass(frozen=True)
class EncodedTargets:
    """y as a network learns it, for rows of positive weight.

    `values` are the codes of classes (integers), or numbers, (rows, n_outputs), or what
    else the loss takes, (rows, …). `strata` are codes: about the same share of the rows
    of each is held out. None are the codes of classes, where there are any.
    """

    targets: Targets
    values: np.ndarray
    weight: np.ndarray
    strata: np.ndarray | None = None


def encode_classes(y: Any, weight: np.ndarray, class_weight: Any) -> EncodedTargets:
    """Encode class labels, or an indicator matrix of several labels.

    Raises
    ------
    ValueError
        If y holds one class, or `class_weight` leaves no row that counts.
    """
    if issparse(y):
        y = y.toarray()
    check_classification_targets(y)
    targets: Targets
    if type_of_target(y) == "multilabel-indicator":
        targets, values = LabelSets(y.shape[1]), y.astype(np.float32)
        refuse_no_indicators(bool(np.isin(values, (0, 1)).all()))
    else:
        if y.ndim > 1 and y.shape[1] == 1:
            warn_caller(
                "A column-vector y was passed when a 1d array was expected. Please "
                "change the shape of y to (n_samples, ), for example using ravel().",
                DataConversionWarning,  # as of scikit-learn, but once in a search
            )
        y = column_or_1d(y)
        labels, values = np.unique(y, return_inverse=True)
        targets = _classes(labels, len(y))
    if class_weight is not None:
        _refuse_no_factors(class_weight)
        weight = weight * compute_sample_weight(class_weight, y)
    _check_class_weight(weight, class_weight)
    return EncodedTargets(targets, values, weight)


def encode_labels(
    labels: list[Any], counts: np.ndarray, class_weight: Any
) -> tuple[Classes, np.ndarray | None]:
    """Return classes, and what multiplies the weights of their rows.

    As `encode_classes` finds them, from the labels in order, and how many rows have
    each.
    """
    text = any(isinstance(label, str) for label in labels)
    known = np.array(labels, dtype=object if text else None)
    check_classification_targets(known)
    classes = _classes(known, int(counts.sum()))
    if class_weight is None:
        return classes, None
    if isinstance(class_weight, str):  # "balanced"
        factors = counts.sum() / (len(labels) * counts)
    else:
        factors = np.array([class_weight.get(label, 1) for label in labels], float)
    _check_class_weight(factors, class_weight)
    return classes, factors


def refuse_no_indicators(y_is_binary: bool) -> None:
    """Raise ValueError where several labels a row are given as other than 0 and 1."""
    if not y_is_binary:
        raise ValueError(
            "Where a row of y has several labels, each must be 0 or 1. Got other "
            "numbers; pass y > 0 if each column has two, or use a JointPruneRegressor, "
            "or one classifier for each column (MultiOutputClassifier)."
        )


def read_labels(y: Any) -> Any:
    """Return class labels; those of pandas' own types as numbers or booleans of numpy.

    Raises
    ------
    ValueError
        If a label is missing, or labels are objects other than text.
    """
    if y is None or issparse(y):
        return y
    if getattr(getattr(y, "dtype", None), "names", None):
        raise ValueError(
            "y must hold class labels. Got events and times, as a structured array; "
            "use a JointPruneSurvival."
        )
    plain = getattr(getattr(y, "dtype", None), "numpy_dtype", None)
    if plain is not None and plain.kind in "biu" and not y.isna().any():
        return y.to_numpy(dtype=plain)
    try:
        values = np.asarray(y)
    except ValueError as error:
        raise ValueError(
            "y must hold one label a row, or an indicator of each. Got lists of "
            "several lengths; sklearn's MultiLabelBinarizer makes indicators of these."
        ) from error
    if values.dtype == object and values.size == len(values):
        flat = values.ravel().tolist()
        missing = [i for i, value in enumerate(flat) if is_missing(value)]
        if missing:
            raise ValueError(
                f"y must hold a label for each row. Got {flat[missing[0]]!r} in row "
                f"{missing[0]}; leave such rows out."
            )
        other = [value for value in flat if not isinstance(value, str)]
        if other:
            raise ValueError(
                f"Unknown label type of y: objects. Got {other[0]!r} as an object; "
                "convert all to one type, as y.astype(int) or y.astype(str) does."
            )
    return y


def _classes(labels: np.ndarray, n_rows: int) -> Classes:
    if len(labels) < 2:
        raise ValueError(
            f"y must hold at least 2 classes. Got {len(labels)} class with rows of "
            "positive weight; add rows of another class."
        )
    if len(labels) > MANY_CLASSES and len(labels) * FEW_ROWS_EACH >= n_rows:
        warn_caller(
            f"y holds {len(labels)} classes in {n_rows} rows, too few of each to learn "
            "from. If these are numbers to predict, use a JointPruneRegressor."
        )
    return Classes(labels)


def _refuse_no_factors(class_weight: Any) -> None:
    """Raise ValueError where `class_weight` holds what does not multiply a weight."""
    several = class_weight if isinstance(class_weight, list) else [class_weight]
    for of_one in several:
        if not isinstance(of_one, dict):
            continue
        for label, factor in of_one.items():
            if not isinstance(factor, Real) or not math.isfinite(factor):
                raise ValueError(
                    f"`class_weight` must hold finite numbers. Got {factor!r} for the "
                    f"class {label!r}; use 1 to leave it as it is."
                )


def _check_class_weight(weight: np.ndarray, class_weight: Any) -> None:
    if (weight < 0).any() or not weight.any():
        raise ValueError(
            "`class_weight` must not be negative, nor 0 for all classes. Got "
            f"{class_weight}; use 0 to leave a class out of the loss."
        )


def encode_numbers(y: np.ndarray, weight: np.ndarray) -> EncodedTargets:
    """Encode one number a row or several."""
    values = y.astype(np.float64).reshape(len(y), -1)
    for largest in np.abs(values).max(axis=0):
        refuse_unscalable_targets(largest)
    return EncodedTargets(Numbers(values.shape[1], flat=y.ndim == 1), values, weight)


def refuse_unscalable_targets(largest: float) -> None:
    """Raise ValueError where the largest target is too large, or small, to scale."""
    if largest > LARGEST:
        raise ValueError(
            f"y holds numbers beyond {LARGEST:g}. Got {largest:g}; if that stands for "
            "a gap, leave its row out, else divide y."
        )
    if 0 < largest < SMALLEST:
        raise ValueError(
            f"y holds no number above {SMALLEST:g}. Got {largest:g} as the largest; "
            "multiply y."
        )


def refuse_no_numbers(y: Any) -> None:
    """Raise ValueError where targets are to be numbers in an array, and are not.

    Infinity is left to scikit-learn.
    """
    if issparse(y):
        raise ValueError("y must be dense. Got a sparse matrix; pass y.toarray().")
    values = np.asarray(y)
    if values.dtype.names:
        raise ValueError(
            "y must hold numbers. Got events and times, as a structured array; use a "
            "JointPruneSurvival."
        )
    if values.dtype.kind in "mM":
        raise ValueError(
            f"y must hold numbers. Got {values.dtype}; convert it, to days for example."
        )
    if values.dtype.kind == "f" and values.ndim:
        missing = np.flatnonzero(np.isnan(values.reshape(len(values), -1)).any(axis=1))
        if len(missing):
            raise ValueError(
                f"y must hold a number for each row. Got nan in row {missing[0]}; "
                "leave such rows out."
            )
    if values.dtype.kind not in "OUS":
        return
    text = next(
        (v for v in values.ravel().tolist() if isinstance(v, str | bytes)), None
    )
    if text is not None:
        raise ValueError(
            f"y must hold numbers. Got {text!r}; convert them, or use a "
            "JointPruneClassifier."
        )


def targets_of(X: Any, y: Any) -> Any:
    """Return y, or where it is None the labels of a dataset that has a length."""
    indexed = isinstance(X, DATASETS) and not isinstance(X, IterableDataset)
    return labels_of(X) if y is None and indexed else y


def labels_of(dataset: Dataset) -> np.ndarray:
    """Return the labels of a dataset; where it does not list them, all is read once.

    Raises
    ------
    ValueError
        If it has none.
    """
    n = len(dataset)  # type: ignore[arg-type]
    first = dataset[0]
    paired = isinstance(first, tuple | list) and len(first) > 1
    for name in ("targets", "labels"):
        listed = np.asarray(getattr(dataset, name, None))
        if listed.shape[:1] != (n,):  # of something else
            continue
        some = range(0, n, -(-n // COMPARED_LABELS))
        # a dataset may return others, as with a `target_transform`
        if not paired or all(np.array_equal(dataset[i][1], listed[i]) for i in some):
            return listed
    if not paired:
        raise ValueError(
            f"The dataset {type(dataset).__name__} has no labels, and y is None. "
            "Pass y, or let the dataset return tuples (image, label)."
        )
    return np.asarray([dataset[i][1] for i in range(n)])
