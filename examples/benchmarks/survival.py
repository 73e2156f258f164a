"""Concordance of ours at k inputs, beside Coxnet; at all inputs, beside a forest.

The sets are those that the wheel of scikit-survival holds. Five folds, stratified by
the event, twice; the test folds are seen by nothing else. Every model is given the
same columns: categories as 0 and 1, one column a level but the first, standardised by
the training rows for Coxnet. Coxnet has k inputs where its path first has as many, or
the most that it has below; its penalty there is not chosen by any score. Ours, with
its defaults, is told k (`n_features_to_select`); at all inputs it is `prune="none"`.
The forest has 100 trees of leaves of 6 rows or more.

A table shows the mean and standard deviation of Harrell's concordance over the folds,
how many inputs were used where these are not k, and seconds of a fit.

    python survival.py
    python survival.py --only veteran whas500 --repeats 1
    python survival.py --quick
"""

import importlib
import time
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from _common import make_parser, mean_and_std, print_header, print_table
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.preprocessing import StandardScaler

from skjointprune import JointPruneSurvival

SETS = {  # and what reads it, of sksurv.datasets
    "veteran": "load_veterans_lung_cancer",
    "whas500": "load_whas500",
    "breast_cancer": "load_breast_cancer",
    "GBSG2": "load_gbsg2",
    "actg320": "load_aids",
    "flchain": "load_flchain",
}
SIZES = {"breast_cancer": (3, 5, 10, 25, 50)}  # expression data
ALL = "all"


@dataclass
class Trial:
    """A fitted model's concordance on the test rows, and what it took."""

    score: float
    inputs: int
    seconds: float


def sksurv(module):
    """Return a module of scikit-survival, without which the options can be shown."""
    return importlib.import_module(f"sksurv.{module}")


def load(name, rows):
    """Return columns of numbers, and y; of some rows, if a number is given."""
    X, y = getattr(sksurv("datasets"), SETS[name])()
    if name == "flchain":  # the chapter of the cause of death says that there was one
        X = X.drop(columns="chapter")
        X["creatinine"] = X["creatinine"].fillna(X["creatinine"].median())
    X = pd.get_dummies(X, drop_first=True).astype(float)
    if rows is not None:
        X, y = X[:rows], y[:rows]
    return X, y


def fit_ours(X, y, k, seed, params):
    """Fit ours with k inputs, or all."""
    params = {"random_state": seed} | params
    if k == ALL:
        return JointPruneSurvival(prune="none", **params).fit(X, y)
    return JointPruneSurvival(n_features_to_select=k, **params).fit(X, y)


def run_ours(train, test, k, seed, params):
    """Return the trial of ours."""
    start = time.perf_counter()
    model = fit_ours(*train, k, seed, params)
    seconds = time.perf_counter() - start
    return Trial(model.score(*test), int(model.get_support().sum()), seconds)


def run_forest(train, test, seed):
    """Return the trial of a survival forest on all inputs."""
    start = time.perf_counter()
    model = sksurv("ensemble").RandomSurvivalForest(
        100, min_samples_leaf=6, random_state=seed
    )
    model.fit(*train)
    seconds = time.perf_counter() - start
    return Trial(model.score(*test), train[0].shape[1], seconds)


def run_coxnet(train, test, sizes):
    """Return the trial of Coxnet at each size, from one path."""
    (X, y), (X_test, y_test) = train, test
    scaler = StandardScaler().fit(X)
    start = time.perf_counter()
    path = sksurv("linear_model").CoxnetSurvivalAnalysis(
        l1_ratio=1.0, n_alphas=200, alpha_min_ratio=0.001
    )
    path.fit(scaler.transform(X), y)
    seconds = time.perf_counter() - start
    counts = (path.coef_ != 0).sum(axis=0)  # of each alpha, which falls
    trials = {}
    for k in sizes:
        most = counts[counts <= k].max()
        at = int(np.flatnonzero(counts == most)[0])
        risk = path.predict(scaler.transform(X_test), alpha=path.alphas_[at])
        event, observed = (y_test[name] for name in y.dtype.names)
        score, *_ = sksurv("metrics").concordance_index_censored(event, observed, risk)
        trials[k] = Trial(score, int(counts[at]), seconds)
    return trials


def run_set(name, args):
    """Return the rows of a table for one set."""
    X, y = load(name, args.rows)
    event = y[y.dtype.names[0]]
    sizes = [k for k in args.k or SIZES.get(name, (3, 5, 10)) if k < X.shape[1]]
    params = {"max_epochs": 2, "retrain_epochs": 2} if args.quick else {}
    folds = RepeatedStratifiedKFold(
        n_splits=args.folds, n_repeats=args.repeats, random_state=0
    )
    trials = {}
    for seed, (train, test) in enumerate(folds.split(X, event)):
        rows = [(X.iloc[part], y[part]) for part in (train, test)]
        for k, trial in run_coxnet(*rows, sizes).items():
            trials.setdefault((k, "Coxnet"), []).append(trial)
        for k in [*sizes, ALL]:
            trial = run_ours(*rows, k, seed, params)
            trials.setdefault((k, "ours"), []).append(trial)
        forest = run_forest(*rows, seed)
        trials.setdefault((ALL, "forest"), []).append(forest)
    print(f"\n{name}: {len(X)} rows, {X.shape[1]} columns, {event.mean():.0%} events")
    return [_row(k, model, trials[k, model]) for k, model in _in_order(trials)]


def _in_order(keys):
    return sorted(keys, key=lambda key: (key[0] == ALL, str(key[0]).zfill(9)))


def _row(k, model, trials):
    used = np.mean([trial.inputs for trial in trials])
    return {
        "k": k,
        "model": model,
        "concordance": mean_and_std([trial.score for trial in trials]),
        "inputs": f"{used:.1f}",
        "seconds": f"{np.mean([trial.seconds for trial in trials]):.1f}",
    }


def main():
    """Run the sets that are asked for, and print a table for each."""
    parser = make_parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--k", nargs="+", type=int, help="instead of the sizes above")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--rows", type=int, help="the first rows of each set alone")
    parser.add_argument("--quick", action="store_true", help="a run for a test")
    args = parser.parse_args()
    if args.quick:
        args.only, args.k, args.folds, args.repeats = ["veteran"], [2], 2, 1
    warnings.simplefilter("ignore")
    print_header()
    for name in args.only:
        print_table(run_set(name, args))


if __name__ == "__main__":
    main()
