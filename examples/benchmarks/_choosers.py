"""Ways to choose k inputs: ours, and those that it is compared with.

A chooser is given a split, the numbers of inputs and a seed. For each k it yields the
chosen columns and, if it has a model of its own, the test score of that model and the
number of inputs it reads.
"""

import contextlib
import time
import warnings
from functools import partial

import numpy as np
import sklearn
from _data import first_rows
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import (
    f_classif,
    f_regression,
    mutual_info_classif,
    mutual_info_regression,
)
from sklearn.linear_model import LogisticRegression, lasso_path
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.svm import l1_min_c

# The one setting for all data, chosen on rows held out of the training data of ISOLET
# and MNIST (docs/tried.md), but for the noise, which is chosen for each.
OURS = {
    "hidden_layer_sizes": (512, 256),
    "module__dropout": 0.4,
    "optimizer": "adamw",
    "optimizer__weight_decay": 0.1,
    "prune": "inputs",
    "distillation": 0.9,
    "validation_fraction": None,
}
# L1 and mutual information see at most so many rows, to end within minutes.
L1_ROWS = 5_000
# Boosting is judged on at most so many held-out rows, for the same reason.
PERMUTED_ROWS = 1_000


def make_ours(split, **params):
    """Return our estimator for the kind of targets."""
    return split.estimator(**(OURS | params))


def choose_ours(split, ks, seed, noises):
    """Fit our estimator, with the input noise of each k."""
    for k in ks:
        net = make_ours(
            split, n_features_to_select=k, input_noise=noises[k], random_state=seed
        ).fit(split.X_train, split.y_train)
        yield net.get_support(indices=True), (net.score(split.X_test, split.y_test), k)


def choose_by_defaults(split, ks, seed):
    """Fit our estimator, told k and nothing else."""
    for k in ks:
        net = split.estimator(n_features_to_select=k, random_state=seed)
        net.fit(split.X_train, split.y_train)
        yield net.get_support(indices=True), (net.score(split.X_test, split.y_test), k)


def choose_all(split, ks, seed):
    """Keep every input."""
    yield np.arange(split.n_features), None


def choose_random(split, ks, seed):
    """Draw k inputs."""
    order = np.random.default_rng(seed).permutation(split.n_features)
    for k in ks:
        yield np.sort(order[:k]), None


def choose_univariate(split, ks, seed):
    """Take the k largest F statistics."""
    score = f_regression if split.regression else f_classif
    with warnings.catch_warnings(action="ignore"):  # of constant inputs: never chosen
        statistics = np.nan_to_num(score(split.X_train, split.y_train)[0])
    for k in ks:
        yield _largest(statistics, k), None


def choose_forest(split, ks, seed):
    """Take the k largest impurity importances of a default random forest."""
    kind = RandomForestRegressor if split.regression else RandomForestClassifier
    forest = kind(random_state=seed).fit(split.X_train, split.y_train)
    for k in ks:
        yield _largest(forest.feature_importances_, k), None


def choose_l1(split, ks, seed):
    """Weaken an L1 penalty until it keeps k inputs; take the k largest coefficients."""
    split = first_rows(split, L1_ROWS, seed)
    X, y = StandardScaler().fit_transform(split.X_train), split.y_train
    sizes = _lasso_sizes(X, y) if split.regression else _logistic_sizes(X, y, seed)
    size = np.zeros(split.n_features)
    for k in ks:
        while np.count_nonzero(size) < k:
            size = next(sizes)
        yield _largest(size, k), None


def _lasso_sizes(X, y):
    yield from np.abs(lasso_path(X, y - y.mean(), eps=1e-5)[1]).T
    yield np.ones(X.shape[1])


def _logistic_sizes(X, y, seed):
    # scikit-learn 1.8 renamed the choice of the penalty
    new = tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 8)
    model = LogisticRegression(
        **({"l1_ratio": 1.0} if new else {"penalty": "l1"}),
        solver="saga",
        C=l1_min_c(X, y, loss="log"),
        tol=1e-3,
        warm_start=True,
        random_state=seed,
    )
    while True:
        # each fit starts from the last: 100 passes are enough to rank inputs
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            model.set_params(C=2 * model.C).fit(X, y)
        yield np.abs(model.coef_).max(axis=0)


def choose_permutation(split, ks, seed):
    """Take the k inputs whose permutation costs boosting most, on held-out rows."""
    X, y = split.X_train, split.y_train
    rare = not split.regression and np.bincount(y).min() < 2
    X, X_held, y, y_held = train_test_split(
        X,
        y,
        test_size=min(PERMUTED_ROWS, len(y) // 4),
        stratify=None if split.regression or rare else y,
        random_state=seed,
    )
    boosting = make_boosting(split, seed).fit(X, y)
    rng = np.random.default_rng(seed)
    score, costs = boosting.score(X_held, y_held), np.zeros(split.n_features)
    for column in _read_columns(boosting):
        permuted = X_held.copy()
        for _ in range(5):
            permuted[:, column] = rng.permutation(permuted[:, column])
            costs[column] += (score - boosting.score(permuted, y_held)) / 5
    for k in ks:
        yield _largest_fairly(costs, k, seed), None


def _read_columns(boosting):
    """Return the columns that any tree reads: permuting another costs nothing.

    `permutation_importance` would permute all, which takes minutes where most of
    thousands are unread.
    """
    trees = [tree.nodes for trees in boosting._predictors for tree in trees]
    return np.unique(
        np.concatenate([t["feature_idx"][t["is_leaf"] == 0] for t in trees])
    )


def make_boosting(split, seed):
    """Return scikit-learn's histogram boosting for the kind of targets."""
    kind = (
        HistGradientBoostingRegressor
        if split.regression
        else HistGradientBoostingClassifier
    )
    return kind(random_state=seed)


def choose_mutual_info(split, ks, seed):
    """Take the k largest estimates of mutual information with the targets."""
    split = first_rows(split, L1_ROWS, seed)
    estimate = mutual_info_regression if split.regression else mutual_info_classif
    scores = estimate(split.X_train, split.y_train, random_state=seed)
    for k in ks:
        yield _largest_fairly(scores, k, seed), None


def choose_mrmr(split, ks, seed):
    """Take the first k of the package mrmr-selection: relevant, yet not alike."""
    import pandas as pd
    from mrmr import mrmr_classif, mrmr_regression

    choose = mrmr_regression if split.regression else mrmr_classif
    order = choose(
        pd.DataFrame(split.X_train),
        pd.Series(split.y_train),
        K=max(ks),
        n_jobs=1,
        show_progress=False,
    )
    # it never returns constant inputs: they fill up, if anything has to
    order += [column for column in range(split.n_features) if column not in order]
    for k in ks:
        yield np.sort(order[:k]), None


def choose_lassonet(split, ks, seed, refit=True):
    """Follow LassoNet's default path to each k, from the largest to the smallest.

    Without `refit` there is no model of its own, nor the seconds of fitting it.
    """
    from lassonet import LassoNetClassifier, LassoNetRegressor

    class EnoughError(Exception):
        pass

    norms, reached = [], {}  # of the skip connection, one step before last and last
    start = time.perf_counter()

    def note(model, history):
        norms[:] = [*norms[-1:], model.model.skip.weight.detach().norm(dim=0).cpu()]
        for k in ks:
            if k not in reached and model.model.selected_count() <= k:
                before, kept = norms[0].numpy(), norms[-1].numpy() > 0
                reached[k] = before, kept, time.perf_counter() - start
        if len(reached) == len(ks):
            raise EnoughError

    scaler = StandardScaler().fit(split.X_train)
    X_train, X_test = scaler.transform(split.X_train), scaler.transform(split.X_test)
    kind = LassoNetRegressor if split.regression else LassoNetClassifier
    model = kind(verbose=0, random_state=seed, torch_seed=seed)
    y = split.y_train.astype(np.float32) if split.regression else split.y_train
    with contextlib.suppress(EnoughError):
        model.path(X_train, y, callback=note)
    for k in ks:
        before, kept, seconds = reached[k]
        # a step of the path can drop several: fill up with the last ones to go
        columns = _largest(np.where(kept, np.inf, before), k)
        if not refit:
            yield columns, None, seconds
            continue
        refit_start = time.perf_counter()
        model.fit(X_train[:, kept], y, dense_only=True)
        own = model.score(X_test[:, kept], split.y_test), int(kept.sum())
        yield columns, own, seconds + time.perf_counter() - refit_start


def _largest(scores, k):
    return np.sort(np.argsort(scores, kind="stable")[-k:])


def _largest_fairly(scores, k, seed):
    """Draw among equal scores: many are 0, and extra columns are the last."""
    order = np.random.default_rng(seed).permutation(len(scores))
    return np.sort(order[_largest(scores[order], k)])


CHOOSERS = {
    "ours": choose_ours,
    "defaults": choose_by_defaults,
    "all": choose_all,
    "random": choose_random,
    "univariate": choose_univariate,
    "forest": choose_forest,
    "l1": choose_l1,
    "lassonet": choose_lassonet,
}

# Those that say nothing of their own but columns: see `tables.py`.
RANKINGS = {
    "forest": choose_forest,
    "permutation": choose_permutation,
    "l1": choose_l1,
    "univariate": choose_univariate,
    "mutual_info": choose_mutual_info,
    "mrmr": choose_mrmr,
    "lassonet": partial(choose_lassonet, refit=False),
}
