"""`TableInputs`: the columns of a table as inputs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy.sparse import csc_matrix, issparse
from torch import Tensor

from .._graph.groups import let_inputs_go
from .._graph.network import Network
from .._graph.probes import check_outputs
from .._pruning.gates import InputGates
from .._storage.digest import digest
from .._utils.input_names import labels_of_columns
from .._utils.sklearn import _check_feature_names_in, _safe_indexing
from ..modules._mlp import MLP, check_sizes, mlp_defaults
from .check_images import refuse_what_is_nearly_images
from .check_tables import (
    check_table,
    largest_of_columns,
    read_table,
    refuse_huge,
)
from .columns import Columns
from .feature_costs import check_costs
from .feature_groups import resolve_groups
from .inputs import Inputs, Traced, refuse_parameters
from .open_table import rows_to_predict
from .prepare import Data, Preparation, Split, scale_parts, scaling_of, split_rows
from .rows import ROWS_TO_CHECK
from .sparse_table import SparseTable
from .streamed_table import StreamedTable
from .tables import MOST_ROWS_AT_ONCE, Table, rows_at_once

MOST_SHADOWS = 1000  # of groups of columns: more would cost time and hardly tell more


@dataclass(frozen=True, eq=False)
class TableInputs(Inputs):
    """Columns of a table, which go exactly, each alone or in groups.

    `columns` says which numbers a network is given for each. `costs`, (columns,),
    multiply the threshold of each column; None is one each. The last `n_shadows`
    columns are shadows.
    """

    shape: tuple[int, ...]
    names: np.ndarray | None
    groups: list[np.ndarray]
    columns: Columns
    costs: np.ndarray | None = None
    n_shadows: int = 0

    batch_size_to_score: ClassVar[int] = MOST_ROWS_AT_ONCE
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
        """Check a table; resolve categories, groups and costs of columns."""
        refuse_what_is_nearly_images(X)
        labels = labels_of_columns(X)
        columns, X, y = check_table(estimator, X, y, y_numeric=y_numeric)
        shape = (columns.n,)
        refuse_parameters(estimator, "images", shape, {"images": None})
        names = getattr(estimator, "feature_names_in_", None)
        groups = resolve_groups(estimator.feature_groups, X, labels)
        costs = check_costs(estimator.feature_costs, columns.n, labels)
        return cls(shape, names, groups, columns, costs), X, y

    def digest(self, X: Any) -> str:
        """Return a digest of a table, its names and the levels of its categories."""
        return digest([super().digest(X), self.columns.levels])

    def prepare(
        self,
        X: Any,
        rows: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray,
        how: Preparation,
    ) -> tuple["TableInputs", Data]:
        """Return tables on the device, standardised by the rows to train on."""
        if len(rows) < X.shape[0]:
            X = X[rows]
        split = split_rows(y, sample_weight, how)
        if issparse(X):
            return self._prepare_sparse(X, split, how)
        columns, X = self.columns.learn(X, split.masks["train"], split.weight)
        if not columns.plain:
            encoder = columns.encoder()
            # torch warns of arrays that it may not write to, as pandas returns them
            X = encoder(torch.from_numpy(np.require(X, np.float64, "W"))).numpy()
        scaling, parts = scale_parts(X, split.masks, split.weight, how.standardize)

        def table(name: str) -> Table:
            part = torch.from_numpy(parts[name].astype(np.float32, copy=False))
            return Table(part.to(how.device), *split.targets[name])

        valid = table("valid") if "valid" in parts else None
        inputs = replace(self, columns=columns)
        gates = inputs.gates(how.device)
        data = Data(table("train"), valid, scaling, split.target_scaling, gates)
        return inputs, data

    def _prepare_sparse(
        self, X: Any, split: Split, how: Preparation
    ) -> tuple["TableInputs", Data]:
        """Return sparse tables, whose batches are standardised once they are dense."""
        parts = {name: X[mask] for name, mask in split.masks.items()}
        weight = split.weight[split.masks["train"]]
        known = scaling_of(csc_matrix(parts["train"]), weight)
        columns = replace(self.columns, means=known.mean.numpy())
        scaling = known if how.standardize else None

        def table(name: str) -> SparseTable:
            return SparseTable(parts[name], *split.targets[name], scaling)

        valid = table("valid") if "valid" in parts else None
        gates = self.gates(how.device)
        data = Data(table("train"), valid, scaling, split.target_scaling, gates)
        return replace(self, columns=columns), data

    def module(
        self, module: Any, hidden_layer_sizes: Any, *, regression: bool
    ) -> tuple[Any, dict[str, Any]]:
        """Return the MLP where there is no module, with what suits a table."""
        if module is None:
            sizes = check_sizes(hidden_layer_sizes)
            n_inputs = self.network_shape[0] - self.n_shadows
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
        return InputGates(("channel",), self.network_shape, device=device)

    @property
    def network_shape(self) -> tuple[int, ...]:
        """The numbers that a network is given for a row."""
        if self.columns.plain:
            return self.shape
        return (int(self.columns.widths.sum()),)

    @property
    def grouped(self) -> bool:
        """Whether any columns go together."""
        return len(self.groups) < self.shape[0]

    def group_numbers(self) -> Tensor | None:
        """Return the number of the group of each input, None if each is alone."""
        plain = self.columns.plain
        if plain and not self.grouped:
            return None
        numbers = torch.empty(self.shape[0], dtype=torch.long)
        for number, columns in enumerate(self.groups):
            numbers[columns] = number
        return numbers if plain else self.columns.spread(numbers)

    def costs_of_inputs(self) -> Tensor | None:
        """Return what multiplies the threshold of each input, None for one each.

        In a group all have its mean, so that columns count alike, however many numbers
        they are.
        """
        if self.costs is None:
            return None
        if self.columns.plain:
            return torch.from_numpy(self.costs)
        costs = self.costs.copy()
        for columns in self.groups:
            kept = (costs[columns] == 0).any()
            costs[columns] = 0 if kept else costs[columns].mean()
        return self.columns.spread(costs)

    @property
    def categories(self) -> dict[Any, list[Any]] | None:
        """The levels of each category that have a number of their own, by its name."""
        if not self.columns.levels:
            return None
        named = range(self.shape[0]) if self.names is None else self.names.tolist()
        return {named[i]: levels for i, levels in self.columns.levels.items()}

    @property
    def n_always_kept(self) -> int:
        """How many columns, or groups of them, cost nothing."""
        if self.costs is None:
            return 0
        return sum((self.costs[columns] == 0).any() for columns in self.groups)

    def count_selectable(self, asked: Any) -> tuple[int, str]:
        """Return how many columns, or groups of them, there are."""
        what = "groups of features" if self.grouped else "features"
        return len(self.groups), what

    def with_shadows(self, data: Data) -> tuple["TableInputs", Data]:
        """Return inputs and data with a shadow for each group, up to a number."""
        (n,) = self.network_shape
        groups, costs = self._groups_and_costs_of_inputs()
        may_go = torch.tensor([costs is None or costs[g[0]] > 0 for g in groups])
        able = may_go.nonzero().flatten()
        drawn = able[torch.randperm(len(able))[:MOST_SHADOWS]].tolist()
        shadowed = [groups[group] for group in drawn]
        copied = np.concatenate([np.empty(0, dtype=int), *shadowed])
        starts = n + np.cumsum([0, *map(len, shadowed)])
        shadows = [np.arange(*ends) for ends in pairwise(starts)]
        width = n + len(copied)
        inputs = replace(
            self,
            shape=(width,),
            names=None,
            groups=[*groups, *shadows],
            columns=Columns(width),
            costs=None if costs is None else np.concatenate([costs, costs[copied]]),
            n_shadows=len(copied),
        )
        train, valid = data.train, data.valid
        assert isinstance(train, Table | SparseTable | StreamedTable)
        train = train.with_shadows(shadowed)
        if isinstance(valid, Table | SparseTable):
            valid = valid.with_shadows(shadowed)
        gates = inputs.gates(train.y.device)
        return inputs, replace(data, train=train, valid=valid, gates=gates)

    def _groups_and_costs_of_inputs(self) -> tuple[list[np.ndarray], np.ndarray | None]:
        """Return groups, and costs, of the inputs of a network."""
        if self.columns.plain:
            return self.groups, self.costs
        numbers = self.columns.numbers_of_columns()
        groups = [np.concatenate([numbers[i] for i in group]) for group in self.groups]
        costs = self.costs_of_inputs()
        return groups, None if costs is None else costs.numpy()

    def free_inputs(self, network: Network, data: Data, *, may_go: bool) -> Network:
        """Return a network that can lose columns, whatever reads them."""
        rows, _ = data.train.sample[:ROWS_TO_CHECK]
        check_outputs(network.module, rows)
        if network.inputs.pinned and may_go:
            return let_inputs_go(network, rows)
        return network

    def trace_back(self, network: Network, kept: Tensor, data: Data) -> Traced:
        """Say which columns the network still reads."""
        support = np.zeros(self.shape, dtype=bool)
        if self.columns.plain:
            support[kept.numpy()] = True
            return Traced(support, kept)
        support[self.columns_of_inputs()[kept].numpy()] = True
        encoder = self.columns.encoder(np.flatnonzero(support))
        return Traced(support, kept, before=("columns", encoder))

    def columns_of_inputs(self) -> Tensor:
        """Return which column each of the network's inputs is of, (inputs,)."""
        return self.columns.spread(torch.arange(self.shape[0]))

    def read(
        self, estimator: Any, X: Any, support: np.ndarray, dtype: torch.dtype
    ) -> Iterator[Any]:
        """Check the retained columns as in `fit`; return them, some rows at a time."""
        tables = rows_to_predict(X, self.names, support)
        if tables is not None:
            for table in tables:
                yield from self.read(estimator, table, support, dtype)
            return
        X = read_table(estimator, X, self.columns, self.names, support)
        kind = np.float64 if dtype == torch.float64 else np.float32
        if X.dtype.itemsize > np.dtype(kind).itemsize:
            kept = np.flatnonzero(support)
            kept = kept if self.names is None else self.names[kept]
            refuse_huge(largest_of_columns(X), kept, float(np.finfo(kind).max))
        if not issparse(X):
            yield X.astype(kind, order="C")
            return
        size = rows_at_once(X.shape[1])
        for start in range(0, X.shape[0], size):
            yield X[start : start + size].toarray().astype(kind)

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
