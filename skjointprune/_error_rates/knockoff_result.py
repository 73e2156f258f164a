"""`KnockoffSelection`: which inputs are worth more than their knockoffs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._report.html import inputs_html
from .._utils.input_names import input_names
from .rates import ROUNDING, e_bh_q_values, e_values, knockoff_q_values

SHARE_IN_REPEATS = 1 / 4  # of the rate
MOST_SHOWN = 20


@dataclass(frozen=True, eq=False)
class KnockoffSelection:
    """Inputs selected at a false discovery rate: what `knockoff_selection` returns.

    Attributes
    ----------
    statistics_by_repeat : ndarray of shape (n_repeats, n_groups)
        How much the best of an input and its knockoffs is worth more than the second
        best, in each repeat: positive where the best is the input, else negative. Of
        groups, where there are any, else of inputs.
    fdr : float
        The stated false discovery rate.
    n_knockoffs : int
        Knockoffs of each input.
    offset : {0, 1}
        What is added to the number of negative statistics.
    groups : tuple of ndarray of int
        The columns of each group; of one each where there are no groups.
    feature_names_in : ndarray of shape (n_features,), or None
        Names of the inputs, where X had names.
    """

    statistics_by_repeat: np.ndarray
    fdr: float
    n_knockoffs: int
    offset: int
    groups: tuple[np.ndarray, ...]
    feature_names_in: np.ndarray | None = None

    @property
    def statistics_(self) -> np.ndarray:
        """Mean statistic over repeats, (n_features,); that of its group."""
        return of_inputs(self.statistics_by_repeat.mean(axis=0), self.groups)

    @property
    def statistics_of_inputs(self) -> np.ndarray:
        """Statistic of each input in each repeat, (n_repeats, n_features)."""
        return of_inputs(self.statistics_by_repeat, self.groups)

    @property
    def n_features_in_(self) -> int:
        """Number of inputs."""
        return sum(map(len, self.groups))

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the inputs, (n_features,), where X had names."""
        if self.feature_names_in is None:
            raise AttributeError("X had no names; `names` has x0, x1, ….")
        return self.feature_names_in

    @property
    def names(self) -> np.ndarray:
        """Names of all inputs, (n_features,): those of X, or x0, x1, …."""
        return input_names((self.n_features_in_,), self.feature_names_in)

    @property
    def q_values_(self) -> np.ndarray:
        """The least rate at which each input is selected, (n_features,), 1 at most.

        Of several repeats it is that of e-values, whose thresholds belong to the
        stated rate. So it tells what is selected at that rate. For another, without
        new fits, there is ``dataclasses.replace(selection, fdr=…)``.
        """
        return of_inputs(self._q_values, self.groups)

    @property
    def e_values_(self) -> np.ndarray:
        """Mean e-value over repeats, (n_features,).

        Their sum over false inputs (or groups) is expected to be at most the number of
        inputs (or groups). Those of n inputs are selected if each is at least *n_inputs
        / (fdr n)*.
        """
        return of_inputs(self._e_values, self.groups)

    @property
    def support_(self) -> np.ndarray:
        """Mask of the selected inputs, (n_features,)."""
        return self.q_values_ <= self.fdr * ROUNDING

    @property
    def smallest_selection(self) -> int:
        """The fewest inputs (or groups) that can be selected at this rate, if any."""
        if self.offset == 0:
            return 1
        return math.ceil(1 / (self.n_knockoffs * self.fdr * ROUNDING))

    def get_support(self, indices=False):
        """Get which inputs are selected.

        Parameters
        ----------
        indices : bool, default=False
            Whether to return positions instead of a mask.

        Returns
        -------
        ndarray of shape (n_features,), bool, or of shape (n_selected,), int
            The mask, or the positions.
        """
        mask = self.support_
        return np.flatnonzero(mask) if indices else mask

    def get_feature_names_out(self) -> np.ndarray:
        """Get the names of the selected inputs: those of X, or x0, x1, ….

        Returns
        -------
        ndarray of str
            In the order of columns.
        """
        return self.names[self.get_support(indices=True)]

    @cached_property
    def _e_values(self) -> np.ndarray:
        # A lower rate in each repeat leaves room for inputs that some repeats miss; the
        # guarantee is that of the mean (docs/tried.md).
        n_repeats = len(self.statistics_by_repeat)
        rate = self.fdr if n_repeats == 1 else SHARE_IN_REPEATS * self.fdr
        of_repeats = [
            e_values(statistics, rate, n_knockoffs=self.n_knockoffs)
            for statistics in self.statistics_by_repeat
        ]
        return np.mean(of_repeats, axis=0)

    @cached_property
    def _q_values(self) -> np.ndarray:
        if len(self.statistics_by_repeat) > 1:
            return e_bh_q_values(self._e_values)
        return knockoff_q_values(
            self.statistics_by_repeat[0],
            n_knockoffs=self.n_knockoffs,
            offset=self.offset,
        )

    def _headline(self) -> str:
        return (
            f"{self.support_.sum():,} of {self.n_features_in_:,} inputs are selected "
            f"at a false discovery rate of {self.fdr:g}"
        )

    def _rows(self) -> list[tuple[str, float, float]]:
        """Return name, q-value and statistic of the selected inputs, surest first."""
        q_values, statistics, names = self.q_values_, self.statistics_, self.names
        order = np.lexsort((-statistics, q_values))[: self.support_.sum()]
        return [(str(names[i]), q_values[i], statistics[i]) for i in order]

    def _notes(self) -> str:
        n_repeats, m = len(self.statistics_by_repeat), self.n_knockoffs
        notes = (
            f"{n_repeats} repeat{'s' if n_repeats > 1 else ''}, {m} "
            f"knockoff{'s' if m > 1 else ''} of each input"
        )
        least = self.smallest_selection
        return notes if least == 1 else f"{notes}; fewer than {least} are not selected"

    def __repr__(self) -> str:
        rows = self._rows()
        lines = [self._headline()]
        if rows:
            lines.append(f"  {'':<20}{'q-value':>10}{'statistic':>12}")
        for name, q_value, statistic in rows[:MOST_SHOWN]:
            lines.append(f"  {name:<20}{q_value:>10.2g}{statistic:>12.3g}")
        if len(rows) > MOST_SHOWN:
            lines.append(f"  and {len(rows) - MOST_SHOWN:,} more")
        return "\n".join([*lines, self._notes()])

    def _repr_html_(self) -> str:
        body = [
            [name, f"{q_value:.2g}", f"{statistic:.3g}"]
            for name, q_value, statistic in self._rows()
        ]
        header = ["", "q-value", "statistic"]
        return inputs_html(self._headline(), header, body, MOST_SHOWN, self._notes())


def of_inputs(of_groups: np.ndarray, groups: Sequence[np.ndarray]) -> np.ndarray:
    """Return the value of its group for each input, along the last dimension."""
    group_of_input = np.empty(sum(map(len, groups)), dtype=int)
    for i, group in enumerate(groups):
        group_of_input[group] = i
    return of_groups[..., group_of_input]
