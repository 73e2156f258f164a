"""What `tables.py` runs: splits of a table, extra columns, and a fit with its score."""

import time
import warnings
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from _choosers import RANKINGS, make_boosting
from _data import Split, first_rows, load
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# Tables of fewer rows are split into folds: a fifth of them says too little.
FOLDED_ROWS = 500
N_FOLDS = 10
# Up to so many inputs k is a share of them.
FEW_INPUTS = 26
ALL = "all"
# Those that may take hours, or all memory: each has a process of its own, with a limit.
LIMITED = {"mrmr": "mrmr", "lassonet": "lassonet"}  # method: package


class Job(NamedTuple):
    """Which rows and columns a run has; its seed is its number."""

    table: str
    folder: str
    extra: bool  # columns as well
    run: int
    rows: int | None  # at most, for training


_load = lru_cache(maxsize=1)(load)


def table_size(table, folder):
    """Return the numbers of rows and of inputs of a table."""
    split = _load(table, folder)
    return len(split.y_train) + len(split.y_test), split.n_features


def split_of(job):
    """Return the rows of one run: a fold where rows are few, else always the same."""
    split = _load(job.table, job.folder)
    if len(split.y_train) + len(split.y_test) < FOLDED_ROWS:
        split = _fold(split, job.run)
    if job.rows is not None:
        split = first_rows(split, job.rows)
    return add_columns(split) if job.extra else split


def _fold(split, run):
    """Return one of twice five folds of all rows."""
    X = np.vstack([split.X_train, split.X_test])
    y = np.concatenate([split.y_train, split.y_test])
    kind = RepeatedKFold if split.regression else RepeatedStratifiedKFold
    folds = kind(n_splits=5, n_repeats=N_FOLDS // 5, random_state=0)
    with warnings.catch_warnings(action="ignore"):  # of classes under five rows
        train, test = list(folds.split(X, y))[run]
    return Split(X[train], y[train], X[test], y[test])


def add_columns(split, seed=0):
    """Add as many columns as there are, which tell nothing that the others do not.

    A third each is normal noise, a column with as much noise again, and the product of
    two standardised columns. Means and deviations are those of the training rows.
    """
    rng = np.random.default_rng(seed)
    d = split.n_features
    n_noise, n_corrupted, n_products = map(len, np.array_split(np.arange(d), 3))
    mean, std = split.X_train.mean(axis=0), split.X_train.std(axis=0)
    scale = np.where(std == 0, 1, std)
    corrupted = rng.choice(d, n_corrupted, replace=False)
    left = rng.integers(d, size=n_products)
    right = (left + rng.integers(1, d, size=n_products)) % d  # another column

    def widen(X):
        def normal(n):
            return rng.standard_normal((len(X), n), dtype=np.float32)

        def standardised(columns):
            return (X[:, columns] - mean[columns]) / scale[columns]

        return np.hstack(
            [
                X,
                normal(n_noise),
                X[:, corrupted] + std[corrupted] * normal(n_corrupted),
                standardised(left) * standardised(right),
            ],
            dtype=np.float32,
        )

    return split._replace(X_train=widen(split.X_train), X_test=widen(split.X_test))


def levels_of(n_inputs):
    """Return the k of each level, by the inputs that a table has without extra ones."""
    if n_inputs <= FEW_INPUTS:
        return {"1/4": max(1, n_inputs // 4), "1/2": n_inputs // 2}
    return {str(k): k for k in (10, 25, 50) if k < n_inputs}


def fit_ours(split, k, seed, epochs):
    """Return the inputs that ours retains, and the score of its final network."""
    net = split.estimator(n_features_to_select=k, random_state=seed, **epochs)
    net.fit(split.X_train, split.y_train)
    columns = net.get_support(indices=True)
    return columns, net.score(split.X_test, split.y_test)


def fit_dense(split, columns, seed, epochs):
    """Return the score of our dense network on the given columns."""
    net = split.estimator(prune="none", random_state=seed, **epochs)
    net.fit(split.X_train[:, columns], split.y_train)
    return net.score(split.X_test[:, columns], split.y_test)


def rank_inputs(method, job, ks, seed):
    """Return, for each k, the columns chosen and the seconds until they were."""
    split = split_of(job)
    start = time.perf_counter()
    return [
        (columns, seconds[0] if seconds else time.perf_counter() - start)
        for columns, _, *seconds in RANKINGS[method](split, ks, seed)
    ]


def make_forest(split, seed):
    """Return scikit-learn's random forest for the kind of targets."""
    kind = RandomForestRegressor if split.regression else RandomForestClassifier
    return kind(random_state=seed)


def make_sklearn_mlp(split, seed):
    """Return scikit-learn's network; inputs and numeric targets are standardised."""
    kind = MLPRegressor if split.regression else MLPClassifier
    model = make_pipeline(StandardScaler(), kind(random_state=seed))
    if split.regression:
        return TransformedTargetRegressor(model, transformer=StandardScaler())
    return model


# With all inputs; None is our dense network.
MODELS = {
    "random_forest": make_forest,
    "boosting": make_boosting,
    "sklearn_mlp": make_sklearn_mlp,
    "dense": None,
}
# The ways to choose inputs.
CHOOSING = ["ours", *RANKINGS]


def fit_model(method, split, seed, epochs):
    """Return the score of a model on all inputs."""
    if MODELS[method] is None:
        return fit_dense(split, np.arange(split.n_features), seed, epochs)
    model = MODELS[method](split, seed)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        model.fit(split.X_train, split.y_train)
    return float(model.score(split.X_test, split.y_test))
