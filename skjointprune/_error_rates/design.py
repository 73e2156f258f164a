"""How columns hang together: a Gaussian model of them, with shrinkage.

Columns are standardised, or turned into normal scores by their ranks, and have a
correlation matrix that is shrunk towards no correlation, so that it is regular whatever
the number of rows. `Design` goes there and back.

How much it is shrunk decides whether rates of errors hold. A rule that makes the matrix
least wrong as a whole, as Ledoit and Wolf's, shrinks much where most columns are
independent. Then of two that are nearly the same, the one no longer tells the other,
and a copy of an input that matters seems to matter too.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr, ndtri

from .._data.check_tables import largest_of_columns, refuse_huge
from .._data.targets import LARGEST

DESIGNS = {"gaussian", "ranks"}
# Shares of a correlation that are taken away: the least keeps the matrix regular, and
# is all that goes where rows are so many times as many as columns.
SHRINKAGES = (1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.7,
              0.9, 1.0)  # fmt: skip
MANY_ROWS = 8
FOLDS = 5
# Share of the variance of a column that others must leave open, or it is a copy.
LEAST_OPEN = 1e-4


@dataclass(frozen=True, eq=False)
class Design:
    """Rows in the units of a Gaussian model, and the way back.

    Attributes
    ----------
    scores : ndarray of shape (rows, columns)
        Of mean 0 and variance 1, but for columns that are constant.
    correlation : ndarray of shape (columns, columns)
        Of the scores, shrunk.
    mean, std : ndarray of shape (columns,)
        Of the columns of X.
    sorted_rows : ndarray of shape (rows, columns), or None
        Each column of X in ascending order, where scores are of ranks.
    """

    scores: np.ndarray
    correlation: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    sorted_rows: np.ndarray | None = None

    def in_units_of_x(self, scores: np.ndarray) -> np.ndarray:
        """Return rows of scores, (…, columns), as rows of X."""
        return self._columns_in_units_of_x(scores, slice(None))

    def drawn_anew(
        self, group: np.ndarray, rows: np.ndarray, n: int, rng: np.random.RandomState
    ) -> np.ndarray:
        """Draw some columns of some rows anew, given the other columns.

        That is what the others tell of these, plus the rest of another of the rows.

        Returns
        -------
        ndarray of shape (n, rows, columns of the group)
        """
        precision = self.precision[:, group]
        scores = self.scores[rows]
        rest = np.linalg.solve(precision[group].T, (scores @ precision).T).T
        told = scores[:, group] - rest
        others = np.array([rng.permutation(len(rows)) for _ in range(n)])
        return self._columns_in_units_of_x(told + rest[others], group)

    def is_told(self, group: np.ndarray) -> bool:
        """Tell whether other columns tell all of some, which then say nothing more."""
        left_open = np.linalg.inv(self.precision[np.ix_(group, group)])
        return bool(np.diag(left_open).max() < LEAST_OPEN)

    @cached_property
    def precision(self) -> np.ndarray:
        """The inverse of the correlation matrix."""
        return np.linalg.inv(self.correlation)

    def _columns_in_units_of_x(self, scores: np.ndarray, columns) -> np.ndarray:
        if self.sorted_rows is None:
            return self.mean[columns] + self.std[columns] * scores
        n = len(self.sorted_rows)
        at = np.minimum((ndtr(scores) * n).astype(int), n - 1)
        return np.take_along_axis(
            self.sorted_rows[:, columns], at.reshape(-1, at.shape[-1]), axis=0
        ).reshape(at.shape)


def model_design(X: np.ndarray, kind: str, rng: np.random.RandomState) -> Design:
    """Return the model of the rows of X.

    Parameters
    ----------
    X : ndarray of shape (rows, columns)
    kind : {"gaussian", "ranks"}
        Whether columns are as they come, or normal scores of their ranks.
    rng : RandomState
        Says which of equal numbers ranks first.
    """
    refuse_huge(largest_of_columns(X), None, LARGEST)
    mean, std = X.mean(axis=0), X.std(axis=0)
    sorted_rows = None
    if kind == "ranks":
        scores, sorted_rows = _normal_scores(X, rng), np.sort(X, axis=0)
        # a constant column is so whatever its scores, and tells nothing of others
        scores[:, std == 0] = 0
        scores /= np.where(std > 0, scores.std(axis=0), 1)
    else:
        scores = (X - mean) / np.where(std > 0, std, 1)
    return Design(scores, _shrunk_correlation(scores), mean, std, sorted_rows)


def _normal_scores(X: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Return normal quantiles of ranks; equal numbers are ranked by chance.

    So whole numbers have normal scores, too.
    """
    by_chance = rng.permutation(len(X))
    order = by_chance[np.argsort(X[by_chance], axis=0, kind="stable")]
    scores = np.empty(X.shape)
    quantiles = ndtri((np.arange(len(X)) + 0.5) / len(X))
    np.put_along_axis(scores, order, quantiles[:, None], axis=0)
    return scores


def _shrunk_correlation(scores: np.ndarray) -> np.ndarray:
    n, p = scores.shape
    shrinkage = SHRINKAGES[0] if n >= MANY_ROWS * p else _best_shrinkage(scores)
    covariance = scores.T @ scores / n
    std = np.sqrt(np.diag(covariance))
    std[std == 0] = 1  # constant columns
    correlation = (1 - shrinkage) * covariance / np.outer(std, std)
    np.fill_diagonal(correlation, 1)
    return correlation


def _best_shrinkage(scores: np.ndarray) -> float:
    """Return that under which rows that are left out are likeliest, fold by fold."""
    fold = np.arange(len(scores)) % FOLDS
    surprise = np.zeros(len(SHRINKAGES))
    for k in range(min(FOLDS, len(scores))):
        known, others = scores[fold != k], scores[fold == k]
        _, sizes, directions = np.linalg.svd(
            known / np.sqrt(len(known)), full_matrices=False
        )
        along = ((others @ directions.T) ** 2).sum(axis=0)
        beside = max((others**2).sum() - along.sum(), 0)
        n_beside = scores.shape[1] - len(sizes)
        for i, shrinkage in enumerate(SHRINKAGES):
            variances = (1 - shrinkage) * sizes**2 + shrinkage
            log_volume = np.log(variances).sum() + n_beside * np.log(shrinkage)
            surprise[i] += len(others) * log_volume
            surprise[i] += (along / variances).sum() + beside / shrinkage
    return SHRINKAGES[int(surprise.argmin())]
