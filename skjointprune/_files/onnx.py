"""`export_onnx`: a fitted estimator as one file that takes rows as `fit` took them."""

import builtins
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .._data.targets import Classes, LabelSets
from .._estimators.base import JointPruneEstimator
from .._estimators.cross_validation import JointPruneCV
from .._estimators.fitted import fit_of
from .._estimators.selector import InputFeatureSelector
from .._storage.archive import as_path, check_folder_of
from .._training.fit import Fit
from .._utils.optional import import_optional
from .._utils.replaced import replaced
from .._utils.seeds import seeded
from .._utils.torch import kind_of_rows
from .._version import __version__


class FullWidth(nn.Module):
    """The finished network before which inputs are selected, its outputs read.

    A copy on the CPU, from rows as `fit` took them to what `predict_proba` or
    `predict` returns for them.
    """

    outside: Tensor

    def __init__(self, fit: Fit):
        super().__init__()
        self.network = deepcopy(fit.network).cpu()
        self.read = fit.net.predict_nonlinearity
        self.flat = fit.targets.flat
        support = fit.support
        box = fit.inputs.positions_read(support)
        self.dims = []  # that lose something
        for dim, kept in enumerate(box, start=1):
            if len(kept) < support.shape[dim - 1]:
                self.dims.append(dim)
                self.register_buffer(f"kept{dim}", torch.from_numpy(kept))
        outside = ~support[np.ix_(*box)]
        self.zeroes = bool(outside.any())
        self.register_buffer("outside", torch.from_numpy(outside))
        self.codes = None
        if fit.inputs.columns is not None:
            dtype = kind_of_rows(self.network)["dtype"]
            self.codes = fit.inputs.columns.level_coder(box[0].tolist(), dtype)
        self.eval()

    def forward(self, X: Tensor) -> Tensor:
        """Return the predictions for rows."""
        for dim in self.dims:
            X = X.index_select(dim, self.get_buffer(f"kept{dim}"))
        if self.zeroes:
            X = X.masked_fill(self.outside, 0.0)
        if self.codes is not None:
            X = self.codes(X)
        outputs = self.read(self.network(X))
        return outputs.squeeze(1) if self.flat else outputs


def export_onnx(estimator, path):
    """Write a fitted estimator as one ONNX file, from raw inputs to predictions.

    The file selects, scales and predicts: it takes rows with all the inputs that
    `fit` took, in batches of any size, and needs neither torch nor this package to
    run.

    Parameters
    ----------
    estimator : an estimator of this package, or JointPruneCV
        A fitted one.
    path : str or path-like
        The file to write. One that is there is replaced once the new one is whole.

    Raises
    ------
    TypeError
        If `estimator` is none of the above, or `path` is no path.
    NotFittedError
        If it is not fitted.
    ValueError
        If the network holds what torch cannot export for batches of any size.
    ImportError
        If onnx or onnxscript is not installed.
    OSError
        If `path` cannot be written.

    See Also
    --------
    JointPruneClassifier.module_ : The network over the retained inputs.

    Notes
    -----
    The input is ``X``, (n_samples, n_features) or (n_samples, channels, height,
    width). A classifier's output is ``probabilities``, as of `predict_proba`; a
    regressor's, and risk scores, are ``predictions``, in the shape of `predict`. All
    are float32, or float64 where `module_` computes in it: convert float64 tables and
    uint8 images first, ``X.astype(np.float32)``, without scaling them. Values that are
    not finite are not refused.

    A category whose levels are numbers goes in as these numbers. For other levels, such
    as text, put in the position of the level in the list of `categories`.

    The metadata are JSON: `classes`, in the order of the probabilities; `input_shape`
    of a row; `n_features_in`; `feature_names_in`, where there are names; `support`,
    the retained inputs, positions in a row or in the ravel of an image; `estimator`,
    the name of its class; and `categories`, if levels go in as positions: the levels
    of each such column that is retained, by the position of the column. A null at the
    end of the list stands for all other levels; where there is none, put in -1 for
    them.

    Examples
    --------
    >>> import json, onnxruntime, tempfile
    >>> from sklearn.datasets import load_iris
    >>> from skjointprune import JointPruneClassifier, export_onnx
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = JointPruneClassifier(max_epochs=5, retrain_epochs=5).fit(X, y)
    >>> export_onnx(clf, path := tempfile.mkdtemp() + "/iris.onnx")
    >>> session = onnxruntime.InferenceSession(path)
    >>> session.run(None, {"X": X.astype("float32")})[0].shape
    (150, 3)
    """
    fit = fit_of(_find_exportable(estimator))
    install = '"skjointprune[onnx]"'
    onnx = import_optional("onnx", "`export_onnx`", install)
    import_optional("onnxscript", "`export_onnx`", install)  # torch converts with it
    path = as_path(path)
    check_folder_of(path)
    with TemporaryDirectory(prefix=".onnx", dir=path.parent) as folder:
        proto = _converted(fit)
        _strip(proto)
        proto.producer_name, proto.producer_version = "skjointprune", __version__
        facts = _metadata(estimator) | _levels_by_position(fit)
        metadata = {name: _json(v) for name, v in facts.items()}
        onnx.helper.set_model_props(proto, metadata)
        onnx.checker.check_model(proto)
        whole = Path(folder, path.name)
        whole.write_bytes(proto.SerializeToString())
        os.replace(whole, path)


def _find_exportable(estimator: Any) -> JointPruneEstimator:
    """Return the estimator whose network is to be exported.

    Raises
    ------
    TypeError
        If there is none.
    """
    if isinstance(estimator, JointPruneCV):
        check_is_fitted(estimator)
        return estimator.estimator_
    if isinstance(estimator, JointPruneEstimator):
        return estimator
    remedy = "pass a fitted estimator"
    if isinstance(estimator, Pipeline):
        remedy = (
            "fit the estimator on raw inputs, or pass the last step, whose file takes "
            "what the steps before it return"
        )
    elif isinstance(estimator, InputFeatureSelector):
        remedy = "it predicts nothing: pass an estimator that does"
    elif hasattr(estimator, "best_estimator_"):
        remedy = "pass its `best_estimator_`"
    raise TypeError(
        "`estimator` must be a JointPruneClassifier, a JointPruneRegressor, a "
        "JointPruneSurvival or a JointPruneCV. Got a "
        f"{type(estimator).__name__}; {remedy}."
    )


def _converted(fit: Fit) -> Any:
    """Return the ONNX model, a message of protobuf, as torch makes it."""
    module = FullWidth(fit)
    dtype = kind_of_rows(module.network)["dtype"]
    rows = torch.zeros(2, *fit.inputs.shape, dtype=dtype)
    shapes = ({0: torch.export.Dim("n_samples")},)
    name = type(fit.network).__name__
    of_classes = isinstance(fit.targets, Classes | LabelSets)
    output = "probabilities" if of_classes else "predictions"
    # Tracing patches torch for all threads, so it takes its turn with fits.
    with (
        seeded(0, torch.device("cpu")),
        torch.no_grad(),
        warnings.catch_warnings(),
        _lengths_of_any_number(),
    ):
        # torch's own recurrent layers set these as they run; the file is right
        warnings.filterwarnings("ignore", r"The tensor attributes .*_flat_weights")
        try:
            exported = torch.export.export(
                module, (rows,), dynamic_shapes=shapes, strict=False
            )
        except Exception as error:  # of any kind: the network is the user's
            raise ValueError(
                f"torch.export cannot follow the network {name} for any number of "
                f"rows ({_root(error)}). Rewrite the layer that lets Python decide by "
                "values, or by the number of rows."
            ) from error
        try:
            program = torch.onnx.export(
                exported,
                input_names=["X"],
                output_names=[output],
                dynamic_shapes=shapes,  # for the name
                external_data=False,
                dynamo=True,
                verbose=False,
            )
        except Exception as error:
            raise ValueError(
                f"The network {name} holds what torch cannot say in ONNX "
                f"({_root(error)}). Replace that operation, or use a newer torch."
            ) from error
    assert program is not None
    return program.model_proto


@contextmanager
def _lengths_of_any_number() -> Iterator[None]:
    """Let `len(x)` be a size that may vary; torch itself makes one number of it."""
    count = builtins.len

    def length(x: Any, /) -> Any:
        return x.shape[0] if isinstance(x, Tensor) and x.ndim else count(x)

    with replaced(builtins, {"len": length}):
        yield


def _root(error: BaseException) -> str:
    """Return the first line of what an error began with."""
    while error.__cause__ is not None:
        error = error.__cause__
    line = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {line}"


def _strip(proto: Any) -> None:
    """Drop torch's notes, which hold paths of this machine, and outweigh the rest."""
    graph = proto.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.ClearField("metadata_props")
    bodies = [graph, *proto.functions]
    for body in bodies:
        body.ClearField("metadata_props")
        for node in body.node:
            node.ClearField("metadata_props")
            # of a loop or a branch; to ask for one that is not there would make it
            bodies += [a.g for a in node.attribute if a.HasField("g")]


def _metadata(estimator: Any) -> dict[str, Any]:
    found = {
        "estimator": type(estimator).__name__,
        "n_features_in": estimator.n_features_in_,
        "input_shape": estimator.input_shape_,
        "support": estimator.get_support(indices=True).tolist(),
    }
    if is_classifier(estimator):
        found["classes"] = [
            each.tolist() if isinstance(each, np.ndarray) else each
            for each in estimator.classes_
        ]
    if hasattr(estimator, "feature_names_in_"):
        found["feature_names_in"] = estimator.feature_names_in_.tolist()
    return found


def _levels_by_position(fit: Fit) -> dict[str, Any]:
    """Return the levels of retained categories that rows hold the positions of."""
    columns = fit.inputs.columns
    if columns is None:
        return {}
    found = {
        position: [*levels, None] if position in columns.rare else levels
        for position, levels in columns.levels.items()
        if fit.support[position] and not columns.holds_numbers(position)
    }
    return {"categories": found} if found else {}


def _json(value: Any) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    """Return what an array of objects held as Python has it: a number, or a text."""
    return value.item() if isinstance(value, np.generic) else str(value)
