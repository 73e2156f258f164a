"""`save` and `load`: a fitted estimator in one file that holds no code."""

import json
import os
from typing import Any

from sklearn.base import BaseEstimator

from .._storage.archive import (
    ESTIMATOR,
    TAIL_LENGTH,
    as_path,
    import_safetensors,
    is_archive,
    pack_archive,
    replace_file,
    unpack_archive,
    version_of,
)
from .._utils.warn import warn_caller
from .estimator_state import Description, dumps, restore
from .format_1 import upgrade

FORMAT = 2  # raised when older versions of this package cannot read a file


def save(estimator: BaseEstimator, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator into one file, without code.

    Parameters
    ----------
    estimator : estimator of this package
        Fitted. A pipeline or a search around one is for joblib or skops.
    path : str or path-like
        Where to; a file that is there is replaced, once the new one is complete and
        was read back. No ending is expected; the file is a zip.

    Raises
    ------
    NotFittedError
        Before `fit`.
    TypeError
        If the estimator is of another kind, a parameter or a label is of a type that
        the file cannot hold, or `path` is no path.
    ValueError
        If the network cannot be built again from the parameters, as when they were
        changed since `fit`.
    ImportError
        Without safetensors, which ``pip install "skjointprune[save]"`` installs.

    Warns
    -----
    UserWarning
        If a parameter of training alone is left out, and so has its default in what
        `load` returns: `callbacks`, `images__transform`, and, unless they are numbers,
        text or collections of these, `cv`, `scoring`, `random_state`, and an
        `optimizer` or `penalty` that is not torch's or this package's own.

    See Also
    --------
    load : Reads the file.

    Notes
    -----
    In the file are the weights, with safetensors, and in JSON the parameters, the
    attributes, the versions of the packages, and the sizes of the layers where pruning
    changed them. The dense network is built again by the code of this package, or by
    the `module` that `load` is given, and gets these sizes and weights. The history is
    without its batches, numbers of pandas come back as arrays, and metadata requests
    are not kept. The same estimator gives the same bytes.

    joblib, pickle and skops work as well, and keep everything. Use them for files of
    your own only: the first two run code of the file, and so can a skops file once
    its type `PruningNet` is trusted, as skorch's nets keep a pickle within.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from skjointprune import JointPruneClassifier, load, save
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = JointPruneClassifier(max_epochs=9, retrain_epochs=9).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(clf, f"{folder}/iris.zip")
    ...     loaded = load(f"{folder}/iris.zip")
    >>> bool((loaded.predict_proba(X) == clf.predict_proba(X)).all())
    True
    """
    path = as_path(path)
    safetensors = _safetensors()
    described = Description.of(estimator)
    data = _pack(dumps(described.model), safetensors.save(described.tensors))
    try:
        _read(data, described.module)
    except ValueError as error:
        raise ValueError(
            f"{type(estimator).__name__} cannot be saved so that it loads again: "
            f"{error} Parameters must be as they were in `fit`; fit again if they were "
            "changed."
        ) from error
    replace_file(data, path)
    if described.left_out:
        names = ", ".join(f"`{name}`" for name in sorted(set(described.left_out)))
        warn_caller(
            f"What is for training alone was left out of {str(path)!r}: {names}. "
            "The loaded estimator has the defaults; set them before you fit it again."
        )


def load(path: str | os.PathLike[str], *, module: Any = None) -> BaseEstimator:
    """Read an estimator that `save` wrote; no code of the file is run.

    Parameters
    ----------
    path : str or path-like
        The file.
    module : class, callable, nn.Module or None, default=None
        What was `module` in the fit, where it is the user's own: the file holds its
        weights, and never its code.

    Returns
    -------
    estimator
        Fitted. It is on the `device` of its parameters, or on the CPU where there is
        no such device.

    Raises
    ------
    TypeError
        If `path` is no path.
    ValueError
        If the file is not one that `save` wrote, was cut short or changed, or is of a
        newer version; if `module` is missing or does not fit.
    OSError
        If the file cannot be read.
    ImportError
        Without safetensors, which ``pip install "skjointprune[save]"`` installs.

    See Also
    --------
    save : Writes the file; its Notes say what is in there.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import make_friedman1
    >>> from torch import nn
    >>> from skjointprune import JointPruneRegressor, load, save
    >>> X, y = make_friedman1(200, random_state=0)
    >>> net = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> reg = JointPruneRegressor(module=net, max_epochs=5, retrain_epochs=5).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(reg, f"{folder}/model.zip")
    ...     loaded = load(f"{folder}/model.zip", module=net)
    >>> loaded.n_features_in_
    10
    """
    path = as_path(path)
    _safetensors()
    if path.is_dir():
        raise ValueError(
            f"`path` must be a file that `save` wrote. Got the folder {str(path)!r}; "
            "name a file in it."
        )
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_LENGTH))
        if not is_archive(file.read(), ESTIMATOR):  # not worth reading whole
            raise ValueError(
                f"{str(path)!r} is not a file that `save` wrote, or it was cut short "
                "or changed. Save the estimator again, or copy the file again."
            )
        file.seek(0)
        data = file.read()
    try:
        return _read(data, module)
    except ValueError as error:
        raise ValueError(f"{str(path)!r} cannot be loaded: {error}") from error


def _safetensors() -> Any:
    return import_safetensors("Saving and loading")


def _pack(model: bytes, weights: bytes) -> bytes:
    """Return the bytes of a file."""
    return pack_archive(ESTIMATOR, FORMAT, model, weights)


def _unpack(data: bytes) -> tuple[bytes, bytes]:
    """Return model and weights, if nothing in the file was changed."""
    return unpack_archive(data, ESTIMATOR, FORMAT)


def _read(data: bytes, module: Any) -> BaseEstimator:
    """Return the estimator that the bytes of a file hold."""
    model: Any = {}
    try:
        text, weights = _unpack(data)
        model, tensors = json.loads(text), _safetensors().load(weights)
        if version_of(data) == 1:
            model, tensors = upgrade(model, tensors)
        return restore(model, tensors, module)
    except ValueError:
        raise
    except Exception as error:  # of any type: the file may hold anything
        by = model.get("versions") if isinstance(model, dict) else None
        raise ValueError(
            f"what it holds makes no estimator ({type(error).__name__}: {error}). It "
            f"was written by {by}; use these versions, or save the estimator again."
        ) from error
