"""`TableInputs`: the columns of a table as inputs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.utils.validation import validate_data
from torch import Tensor

from .._graph.groups import let_inputs_go
from .._graph.network import Network
from .._graph.probes import check_outputs
from .._pruning.gates import InputGates
from .._utils.sklearn import _check_feature_names_in, _safe_indexing
from ..modules._mlp import MLP, mlp_defaults
from .check_images import refuse_what_is_nearly_images
from .feature_groups import resolve_groups
from .inputs import Inputs, Traced, refuse_parameters
from .prepare import Data, Preparation, scale_parts, split_rows
from .rows import ROWS_TO_CHECK
from .tables import Table

MOST_SHADOWS = 1000  # of groups of columns: more would cost time and hardly tell more


@dataclass(frozen=True, eq=False)
class TableInputs(Inputs):
    """Columns of a table, which go exactly, each alone or in groups.

    `costs`, (columns,), multiply the threshold of each column; None is one each.
    The last `n_shadows` columns are shadows.
    """

    shape: tuple[int, ...]
    names: np.ndarray | None
    groups: list[np.ndarray]
    costs: np.ndarray | None = None
    n_shadows: int = 0

    batch_size_to_score: ClassVar[int] = Table.batch_size_to_score
    pinned_remedy: ClassVar[str] = (
        "Let gradients of all of them reach through `module`, as of one-hot columns, "
        "and let it take zeros."
    )

    @staticmethod
    def takes(X: Any) -> bool:
        """Tell whether X is a table; what is nothing else is refused as one."""
        return True

    @staticmethod
    def take(X: Any, rows: np.ndarray) -> Any:
        """Return some rows of a table."""
        return _safe_indexing(X, rows)

    @classmethod
    def check(
        cls, estimator: Any, X: Any, y: Any, *, y_numeric: bool
    ) -> tuple[Self, Any, Any]:
        """Check a table as scikit-learn does; resolve groups and costs of columns."""
        refuse_what_is_nearly_images(X)
        small = isinstance(X, np.ndarray) and X.dtype.itemsize <= 2
        X, y = validate_data(
            estimator,
            X,
            y,
            dtype=np.float32 if small else [np.float64, np.float32],
            multi_output=True,
            y_numeric=y_numeric,
        )
        shape = (X.shape[1],)
        refuse_parameters(estimator, "images", shape, {"images": None})
        names = getattr(estimator, "feature_names_in_", None)
        groups = resolve_groups(estimator.feature_groups, X, names)
        costs = check_costs(estimator.feature_costs, X.shape[1])
        return cls(shape, names, groups, costs), X, y

    def prepare(
        self,
        X: Any,
        rows: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray,
        how: Preparation,
    ) -> Data:
        """Return tables on the device, standardised by the rows to train on."""
        if len(rows) < len(X):
            X = X[rows]
        split = split_rows(y, sample_weight, how)
        scaling, parts = scale_parts(X, split.masks, split.weight, how.standardize)

        def table(name: str) -> Table:
            part = torch.from_numpy(parts[name].astype(np.float32, copy=False))
            return Table(part.to(how.device), *split.targets[name])

        valid = table("valid") if "valid" in parts else None
        gates = self.gates(how.device)
        return Data(table("train"), valid, scaling, split.target_scaling, gates)

    def module(
        self, module: Any, hidden_layer_sizes: tuple, *, regression: bool
    ) -> tuple[Any, dict[str, Any]]:
        """Return the MLP where there is no module, with what suits a table."""
        if module is None:
            sizes = tuple(hidden_layer_sizes)
            n_inputs = self.shape[0] - self.n_shadows
            return MLP, mlp_defaults(n_inputs, sizes, regression=regression)
        if isinstance(module, str):
            raise ValueError(
                f"`module`={module!r} is a network for images. Got a table of "
                f"{self.shape[0]} columns; pass images, (n, channels, height, width), "
                "or leave `module` at None."
            )
        return module, {}

    def gates(self, device: torch.device) -> InputGates:
        """Return no gates: columns go exactly."""
        return InputGates(("channel",), self.shape, device=device)

    @property
    def grouped(self) -> bool:
        """Whether any columns go together."""
        return len(self.groups) < self.shape[0]

    def group_numbers(self) -> Tensor | None:
        """Return the number of the group of each column, None if each is alone."""
        if not self.grouped:
            return None
        numbers = torch.empty(self.shape[0], dtype=torch.long)
        for number, columns in enumerate(self.groups):
            numbers[columns] = number
        return numbers

    def costs_of_inputs(self) -> Tensor | None:
        """Return what multiplies the threshold of each column, None for one each."""
        return None if self.costs is None else torch.from_numpy(self.costs)

    def count_selectable(self, asked: Any) -> tuple[int, str]:
        """Return how many columns, or groups of them, there are."""
        what = "groups of features" if self.grouped else "features"
        return len(self.groups), what

    def with_shadows(self, data: Data) -> tuple["TableInputs", Data]:
        """Return columns and data with a shadow for each group, up to a number."""
        n = self.shape[0]
        drawn = torch.randperm(len(self.groups))[:MOST_SHADOWS].numpy()
        shadowed = [self.groups[group] for group in drawn]
        columns = np.concatenate(shadowed)
        starts = n + np.cumsum([0, *map(len, shadowed)])
        groups = [np.arange(*ends) for ends in pairwise(starts)]
        costs = self.costs
        inputs = replace(
            self,
            shape=(n + len(columns),),
            names=None,
            groups=[*self.groups, *groups],
            costs=None if costs is None else np.concatenate([costs, costs[columns]]),
            n_shadows=len(columns),
        )
        assert isinstance(data.train, Table)
        valid = data.valid
        return inputs, replace(
            data,
            train=data.train.with_shadows(shadowed),
            valid=valid.with_shadows(shadowed) if isinstance(valid, Table) else None,
            gates=inputs.gates(data.train.y.device),
        )

    def free_inputs(self, network: Network, data: Data, *, may_go: bool) -> Network:
        """Return a network that can lose columns, whatever reads them."""
        rows, _ = data.train[:ROWS_TO_CHECK]
        check_outputs(network.module, rows)
        if network.inputs.pinned and may_go:
            return let_inputs_go(network, rows)
        return network

    def trace_back(self, network: Network, kept: Tensor, data: Data) -> Traced:
        """Say which columns the network still reads."""
        support = np.zeros(self.shape, dtype=bool)
        support[kept.numpy()] = True
        return Traced(support, kept)

    def read(
        self, estimator: Any, X: Any, support: np.ndarray, dtype: torch.dtype
    ) -> Iterator[Any]:
        """Check a table as in `fit`; return its retained columns."""
        X = validate_data(estimator, X, dtype=[np.float64, np.float32], reset=False)
        double = dtype == torch.float64
        yield X[:, support].astype(np.float64 if double else np.float32)

    def positions_read(self, support: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the positions of the retained columns."""
        return (np.flatnonzero(support),)

    def names_of(
        self, estimator: Any, support: np.ndarray, input_features: Any
    ) -> np.ndarray:
        """Return the names of the retained columns, or x0, x1, …."""
        return _check_feature_names_in(estimator, input_features)[support]

    def group_support(self, support: np.ndarray) -> np.ndarray:
        """Return a mask over `groups`."""
        return support[[columns[0] for columns in self.groups]]


def check_costs(feature_costs: Any, n: int) -> np.ndarray | None:
    """Return the cost of each of n columns.

    Raises
    ------
    ValueError
        If they are not one finite number above 0 for each.
    """
    if feature_costs is None:
        return None
    costs = np.asarray(feature_costs)
    if (
        costs.shape != (n,)
        or costs.dtype.kind not in "iuf"
        or not (np.isfinite(costs) & (costs > 0)).all()
    ):
        raise ValueError(
            "`feature_costs` must hold one finite number above 0 for each of the "
            f"{n} columns of X. Got {feature_costs!r}; 1 is the usual cost."
        )
    return costs.astype(np.float32)
