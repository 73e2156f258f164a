"""Knockoffs: columns that hang together as those of X do, and say nothing of y.

Any input may change places with a knockoff of it, and the joint distribution of all
columns, as far as means and covariances go, is the same (Candes, Fan, Janson, Lv,
JRSS B 80, 2018). Several knockoffs of an input may all change places (Gimenez, Zou,
AISTATS 2019). With Sigma for the correlations of X and m knockoffs, each has the
correlations Sigma among its own inputs, and Sigma - S with those of X and of the other
knockoffs; (m + 1) Sigma - m S must be positive semidefinite.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy

import numpy as np

from .design import Design

MOST_SWEEPS, PRECISION = 30, 1e-4
MARGIN = 1e-6  # from what is singular


class KnockoffSampler:
    """Draws knockoffs of the rows of a design, again and again.

    Parameters
    ----------
    design : Design
    n_knockoffs : int
        How many of each input, which may all change places.
    groups : sequence of ndarray of int
        Columns that change places together. Their knockoffs need not be unlike the
        single columns, and so are more unlike the group.
    """

    def __init__(self, design: Design, n_knockoffs: int, groups: Sequence[np.ndarray]):
        scores, m = design.scores, n_knockoffs
        S = _distances(design.correlation, m, groups)
        known = np.linalg.solve(design.correlation, S)  # Sigma^-1 S
        self.design, self.n_knockoffs = design, n_knockoffs
        self._given_x = scores - scores @ known
        self._root_of_shared = _root((m + 1) / m * S - S @ known)
        self._root_of_own = _root(S)

    def draw(self, rng: np.random.RandomState) -> np.ndarray:
        """Return knockoffs, of shape (n_knockoffs, rows, columns)."""
        shared, own = self._noise(rng)
        shared, own = shared @ self._root_of_shared, own @ self._root_of_own
        return self.design.in_units_of_x(
            self._given_x + shared + own - own.mean(axis=0)
        )

    def states(
        self, rng: np.random.RandomState, n_draws: int
    ) -> Iterator[np.random.RandomState]:
        """Yield the state of `rng` before each draw of several, one after the other.

        So another process can make a draw, to which a state is sent, and no knockoffs.
        """
        for _ in range(n_draws):
            yield deepcopy(rng)
            self._noise(rng)

    def _noise(self, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
        shape = self._given_x.shape
        shared = rng.normal(size=shape)
        return shared, rng.normal(size=(self.n_knockoffs, *shape))


def _distances(
    correlation: np.ndarray, m: int, groups: Sequence[np.ndarray]
) -> np.ndarray:
    """Return S: how far knockoffs are from their inputs."""
    if len(groups) == len(correlation):
        return np.diag(minimum_reconstructability(correlation, m))
    return _equal_distances_of_groups(correlation, m, groups)


def minimum_reconstructability(correlation: np.ndarray, m: int = 1) -> np.ndarray:
    """Return the distances by which columns least tell one another.

    The trace of the inverse covariance of columns and knockoffs, *m sum(1 / s) +
    tr(((m + 1) Sigma - m S)^-1)*, is minimised, one distance after the other, each in
    closed form (Spector, Janson, Annals of Statistics 50, 2022: "MVR" knockoffs).

    Parameters
    ----------
    correlation : ndarray of shape (columns, columns)
    m : int, default=1
        Number of knockoffs of each column.

    Returns
    -------
    ndarray of shape (columns,)
    """
    n = len(correlation)
    s = np.full(n, 0.5 * _largest_equal_distance(correlation, m))
    for _ in range(MOST_SWEEPS):
        inverse = np.linalg.inv((m + 1) * correlation - m * np.diag(s))
        before = s.copy()
        for j in range(n):
            column = inverse[:, j].copy()
            length = np.linalg.norm(column)
            step = (1 - length * s[j]) / (m * column[j] + length)
            s[j] += step
            inverse += m * step / (1 - m * step * column[j]) * np.outer(column, column)
        if np.abs(s - before).max() < PRECISION:
            break
    return s


def _largest_equal_distance(correlation: np.ndarray, m: int) -> float:
    smallest = np.linalg.eigvalsh(correlation)[0]
    return float(min(1, (m + 1) / m * smallest)) * (1 - MARGIN)


def _equal_distances_of_groups(
    correlation: np.ndarray, m: int, groups: Sequence[np.ndarray]
) -> np.ndarray:
    """Return the same share of each group's own correlations (Dai, Barber, 2016)."""
    within, whitener = np.zeros_like(correlation), np.zeros_like(correlation)
    for group in groups:
        at = np.ix_(group, group)
        within[at] = correlation[at]
        values, vectors = np.linalg.eigh(correlation[at])
        whitener[at] = vectors / np.sqrt(values) @ vectors.T
    whitened = whitener @ correlation @ whitener
    return _largest_equal_distance(whitened, m) * within


def _root(matrix: np.ndarray) -> np.ndarray:
    """Return R of which R.T @ R is a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.sqrt(values.clip(min=0))[:, None] * vectors.T
