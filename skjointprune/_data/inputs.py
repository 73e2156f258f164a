"""A kind of input: what a fit asks of X, whatever X is."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from .._graph.network import Network
from .._pruning.gates import InputGates
from .._storage.digest import digest
from .columns import Columns
from .prepare import Data, Preparation, check_weight
from .targets import Targets


@dataclass(frozen=True)
class Traced:
    """Which inputs a sparse network needs.

    `support` is a mask in the shape of a row of X. `kept` are the positions of the
    columns, or channels, that the network reads. `before` is a layer to put before it,
    with the name of its place, where it reads other numbers than are retained. `mask`,
    in the shape of what the network is given, is 1 for what it may read and 0 for the
    rest; None where it may read all.
    """

    support: np.ndarray
    kept: Tensor
    mask: Tensor | None = None
    before: tuple[str, nn.Module] | None = None


class Inputs(ABC):
    """A kind of input, and what is known of one X.

    An estimator chooses the kind by X, and asks it in this order: to check X, to
    prepare data, what may be pruned, and which inputs a sparse network needs. Once
    fitted, it asks the kind to read rows and to name inputs.
    docs/add-a-kind-of-input.md lists all questions in order, and adds a kind.

    Attributes
    ----------
    shape : tuple of int
        Of one row of X.
    names : ndarray of str or None
        Of the columns, where X has names.
    groups : list of ndarray of int, or None
        Which columns stay or go together; None where X has no columns.
    columns : Columns or None
        What is known of the columns; None where X has none.
    batch_size_to_score : int
        How many rows to run at once where nothing is trained.
    """

    shape: tuple[int, ...]
    names: np.ndarray | None
    groups: list[np.ndarray] | None
    columns: Columns | None
    batch_size_to_score: ClassVar[int]

    @property
    def network_shape(self) -> tuple[int, ...]:
        """The shape of what a network is given for a row; inputs come first."""
        return self.shape

    @property
    def n_numbers(self) -> int:
        """How many numbers a network is given for a row."""
        return math.prod(self.network_shape)

    @property
    def categories(self) -> dict[Any, list[Any]] | None:
        """The levels of each column that holds a category; None where none does."""
        return None

    @property
    def n_always_kept(self) -> int:
        """How many inputs, or groups of them, never go."""
        return 0

    @staticmethod
    @abstractmethod
    def takes(X: Any) -> bool:
        """Tell whether X is of this kind."""

    @staticmethod
    @abstractmethod
    def take(X: Any, rows: np.ndarray) -> Any:
        """Return some rows of X, which is not checked."""

    def digest(self, X: Any) -> str:
        """Return a digest of X, as `check` returned it: another one is of another X."""
        return digest([self.shape, self.names, X])

    # --- before a fit

    @classmethod
    @abstractmethod
    def check(
        cls, estimator: Any, X: Any, y: Any, *, y_numeric: bool
    ) -> tuple[Self, Any, Any]:
        """Check X, y and the parameters of an estimator that are about X.

        Sets nothing on the estimator, but for what scikit-learn's `validate_data` does.

        Returns
        -------
        inputs : Inputs
        X, y
            As `prepare` and the encoding of targets take them.

        Raises
        ------
        ValueError
            If X or y hold what cannot be learnt from, or a parameter does not fit.
        """

    def make_data(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        seed: int,
        device: torch.device,
    ) -> tuple["Inputs", Targets, Data]:
        """Return data of the rows that count, and what X and y are.

        X and y are as `check` returns them; the estimator encodes y.

        Raises
        ------
        ValueError
            If fewer than two rows count, or y holds what cannot be learnt from.
        """
        weight, rows = check_weight(sample_weight, X)
        encoded = estimator._encode(y[rows], weight[rows])
        how = Preparation(
            estimator.validation_fraction,
            estimator.standardize,
            encoded.targets.are_numbers,
            seed,
            device,
            encoded.strata,
        )
        inputs, data = self.prepare(X, rows, encoded.values, encoded.weight, how)
        return inputs, encoded.targets, data

    @abstractmethod
    def prepare(
        self,
        X: Any,
        rows: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray,
        how: Preparation,
    ) -> tuple["Inputs", Data]:
        """Return data of some `rows` of X, with their encoded y and weights.

        And inputs that know what was learnt of the rows to train on.
        """

    @abstractmethod
    def module(
        self, module: Any, hidden_layer_sizes: Any, *, regression: bool
    ) -> tuple[Any, dict[str, Any]]:
        """Return what makes the network, with default parameters for it.

        None stands for the network that this kind of input has by default, for numbers
        or classes as targets.

        Raises
        ------
        ValueError
            If `module` is for another kind of input.
        """

    def place(self, module: nn.Module, device: torch.device) -> nn.Module:
        """Put a module on a device."""
        return module.to(device)

    # --- what may be pruned

    def with_shadows(self, data: Data) -> tuple["Inputs", Data]:
        """Return inputs and data that have shadows after them, which say nothing of y.

        A shadow is an input, or a group, in another order of the rows. By default there
        are none.
        """
        return self, data

    @abstractmethod
    def gates(self, device: torch.device) -> InputGates:
        """Return the gates of what a network cannot simply lose, as rows of pixels."""

    @abstractmethod
    def count_selectable(self, asked: Any) -> tuple[int, str]:
        """Return how many inputs, or groups of them, there are to select, and a name.

        `asked` is how many the user wants; the name, in the plural, is for errors.

        Raises
        ------
        ValueError
            If it is not clear what is to be counted.
        """

    def group_numbers(self) -> Tensor | None:
        """Return the number of the group of each input, None if each is alone."""
        return None

    def costs_of_inputs(self) -> Tensor | None:
        """Return what multiplies the threshold of each input, None for one each."""
        return None

    def free_inputs(self, network: Network, data: Data, *, may_go: bool) -> Network:
        """Return a network that can lose inputs if they may go."""
        return network

    pinned_remedy: ClassVar[str]  # what to do where a network cannot lose inputs

    # --- after pruning

    @abstractmethod
    def trace_back(self, network: Network, kept: Tensor, data: Data) -> Traced:
        """Say which inputs a sparse network needs, and let it and data lose the rest.

        `kept` are the positions of the columns or channels that it still reads.
        """

    def columns_of_inputs(self) -> Tensor:
        """Return which column of X each of the network's inputs is of, (inputs,)."""
        return torch.arange(self.network_shape[0])

    # --- once fitted

    @abstractmethod
    def read(
        self, estimator: Any, X: Any, support: np.ndarray, dtype: torch.dtype
    ) -> Iterator[Any]:
        """Check rows as in `fit`; return what the network reads, part by part."""

    @abstractmethod
    def positions_read(self, support: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the positions along each dimension of a row that are read."""

    @abstractmethod
    def names_of(
        self, estimator: Any, support: np.ndarray, input_features: Any
    ) -> np.ndarray:
        """Return the names of the retained inputs."""

    @abstractmethod
    def group_support(self, support: np.ndarray) -> np.ndarray:
        """Return a mask of the groups that are retained.

        Raises
        ------
        ValueError
            If this kind has no list of groups.
        """


def refuse_parameters(
    estimator: Any, kind: str, shape: tuple[int, ...], neutral: dict[str, Any]
) -> None:
    """Raise ValueError for parameters of another kind of X, which have no effect."""
    for name, value in neutral.items():
        given = getattr(estimator, name)
        if given is not value and not (isinstance(given, str) and given == value):
            raise ValueError(
                f"`{name}` is for {kind}. Got {given!r} with X of rows of shape "
                f"{shape}; leave it at {value}."
            )
