"""The score of an estimator whose targets may be in a dataset."""

from .._data.open_table import targets_to_score


class ScoresDatasets:
    """The score of scikit-learn's mixin that comes next, also of datasets."""

    def score(self, X, y=None, sample_weight=None):
        """Return the accuracy of the predictions; of numbers, the R².

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), images or dataset
            Rows as in `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), str or None
            Labels or targets, or the column of a pyarrow Dataset that holds them. None
            takes those of a torch Dataset.
        sample_weight : array-like of shape (n_samples,), str or None, default=None
            Weights of rows, or the column that holds them.

        Returns
        -------
        float

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.
        """
        y, sample_weight = targets_to_score(X, y, sample_weight)
        return super().score(X, y, sample_weight)  # type: ignore[misc]
