"""`StabilitySelection`: how often inputs were selected, and what theory says of it."""

import math
from dataclasses import dataclass

import numpy as np

from .._utils.input_names import input_names
from .._utils.overlap import mean_jaccard


@dataclass(frozen=True, eq=False)
class StabilitySelection:
    """Which inputs are selected whatever the rows: what `stability_selection` returns.

    Attributes
    ----------
    supports : ndarray of shape (n_resamples, n_features), bool
        The inputs that each fit selected; of neighbours, where they are pairs.
    threshold : float
        The selection probability from which an input is stable.
    resampling : {"complementary_pairs", "subsamples"}
        How rows were drawn.
    sample_fraction : float
        Share of the rows that each fit saw.
    feature_names_in : ndarray of shape (n_features,), or None
        Names of the inputs, where X had names.
    """

    supports: np.ndarray
    threshold: float
    resampling: str
    sample_fraction: float
    feature_names_in: np.ndarray | None = None

    @property
    def selection_probabilities(self) -> np.ndarray:
        """Share of the fits that selected each input, (n_features,)."""
        return self.supports.mean(axis=0)

    @property
    def n_selected(self) -> float:
        """How many inputs a fit selected, on average: q in the bounds."""
        return float(self.supports.sum() / len(self.supports))

    @property
    def jaccard(self) -> float:
        """Mean Jaccard overlap of the inputs that two fits selected."""
        return mean_jaccard(self.supports)

    @property
    def low_probability(self) -> float:
        """What counts as a low selection probability in the bounds: q / n_features."""
        return self.n_selected / self.supports[0].size

    @property
    def error_bound(self) -> float:
        """Bound on the expected number of stable inputs that should not be.

        It is *q² / ((2 threshold - 1) n_features)*, and says of complementary pairs,
        whatever the estimator, if rows are drawn independently from one distribution
        (rows that are not, as those of one patient, need `groups`): at most so many of
        the stable inputs are expected to have a low selection probability, of at most
        `low_probability` in one fit to so many rows [1]_ (theorem 1). So it bounds
        false selections where no input of noise is selected more often than an input
        drawn at random would be. For subsamples it bounds the expected number of false
        selections if inputs of noise are selected exchangeably, and the estimator is
        no worse than guessing [2]_ (theorem 1). *q* is estimated by `n_selected`. NaN
        for subsamples of more than half of the rows, for which there is no theory.

        References
        ----------
        .. [1] Shah and Samworth, JRSS B 75 (2013).
        .. [2] Meinshausen and Buhlmann, JRSS B 72 (2010).
        """
        if self.sample_fraction > 0.5:
            return math.nan
        q, share = self.n_selected, self.low_probability
        return share * q / (2 * self._reached_threshold - 1)

    @property
    def unimodal_error_bound(self) -> float:
        """The same as `error_bound` under one more assumption, and tighter.

        It assumes that, for each input of low selection probability, the share of
        pairs of which both fits select the input has a unimodal distribution (Shah
        and Samworth, JRSS B 75 (2013), theorem 2). NaN where the theorem says
        nothing: for subsamples, if `low_probability` is above *1 / sqrt(3)*, or if
        `threshold` is too close to a half, closer than one over the number of pairs.
        """
        if self.resampling != "complementary_pairs":
            return math.nan
        n_pairs = len(self.supports) // 2
        low, reached = self.low_probability, self._reached_threshold
        lowest = 0.5 + min(low**2, 1 / (2 * n_pairs) + 0.75 * low**2)
        too_close = self._needed < n_pairs + 2 or reached <= lowest
        if low > 1 / math.sqrt(3) or too_close:
            return math.nan
        if reached <= 0.75:
            factor = 1 / (2 * (2 * reached - 1 - 1 / (2 * n_pairs)))
        else:
            factor = 4 * (1 - reached + 1 / (2 * n_pairs)) / (1 + 1 / n_pairs)
        return factor * low * self.n_selected

    @property
    def _needed(self) -> int:
        """How many fits must select a stable input."""
        # 0.6 * 50 must not be 31 by rounding
        return math.ceil(self.threshold * len(self.supports) - 1e-9)

    @property
    def _reached_threshold(self) -> float:
        """The threshold in steps of one fit, which gives the same stable inputs."""
        return self._needed / len(self.supports)

    def get_support(self, indices=False):
        """Get which inputs are stable.

        Parameters
        ----------
        indices : bool, default=False
            Whether to return positions instead of a mask.

        Returns
        -------
        ndarray of shape (n_features,), bool, or of shape (n_stable,), int
            The mask, or the positions.
        """
        mask = self.supports.sum(axis=0) >= self._needed
        return np.flatnonzero(mask) if indices else mask

    def get_feature_names_out(self) -> np.ndarray:
        """Get the names of the stable inputs: those of X, or x0, x1, ….

        Returns
        -------
        ndarray of str
            In the order of columns.
        """
        return self._names()[self.get_support(indices=True)]

    def _names(self) -> np.ndarray:
        return input_names(self.supports[0].shape, self.feature_names_in)

    def __repr__(self) -> str:
        stable = self.get_support(indices=True)
        probabilities = self.selection_probabilities.ravel()
        n = len(self.supports)
        lines = [
            f"{len(stable):,} of {self.supports[0].size:,} inputs are stable: selected "
            f"in at least {self._needed} of {n} fits"
        ]
        most = 20
        names = self._names()
        for i in stable[np.argsort(-probabilities[stable], kind="stable")][:most]:
            lines.append(f"  {names[i]!s:<20}{probabilities[i]:>8.2f}")
        if len(stable) > most:
            lines.append(f"  and {len(stable) - most:,} more")
        lines.append(
            f"a fit selected {self.n_selected:.1f}; overlap of two fits (Jaccard) "
            f"{self.jaccard:.2f}"
        )
        bounds = [("", self.error_bound), (", unimodal ", self.unimodal_error_bound)]
        known = [f"{name}{bound:.3g}" for name, bound in bounds if bound == bound]
        lines.append(
            "expected false selections, at most: " + ("".join(known) or "no bound")
        )
        return "\n".join(lines)
