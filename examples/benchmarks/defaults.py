"""What a user gets who says nothing: which inputs, how fast, how good.

Each part prints a table:

- planted: mean F1 of the inputs kept, on the tables of `make_planted`, by number of
  rows (100 inputs);
- nothing: in how many of the runs where y is permuted at most one input is kept, with a
  warning;
- time: seconds of processor time of a fit, beside `MLPClassifier` or `MLPRegressor` of
  the same hidden layers, and test scores; the two alternate;
- wide: 60 rows by 50,000 columns, seconds and peak memory;
- long: 400,000 rows by 50 columns, seconds beside histogram boosting;
- folds: `JointPruneCV` over five folds, in --jobs processes that are there already,
  beside one fit in one: seconds by the clock, so run it alone, and inputs kept;
- checks: processor time of scikit-learn's checks of each estimator;
- tables: score beside that of our dense network, and the share of the inputs kept;
  needs --data.

    OMP_NUM_THREADS=1 python defaults.py --parts planted nothing time wide
    OMP_NUM_THREADS=1 python defaults.py --parts tables --data FOLDER
"""

import time
import warnings

import numpy as np
from _common import make_parser, peak_memory_mb, print_header, print_table, run_in_child
from _data import BUNDLED, TABLES, add_data_option, load
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_wine,
    make_classification,
)
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from skjointprune import (
    InputFeatureSelector,
    JointPruneClassifier,
    JointPruneCV,
    JointPruneRegressor,
)
from skjointprune.datasets import PLANTED_KINDS, make_planted

ROWS = 2000, 500
ROWS_OF_NOTHING = 100, 300, 1000, 2000
MOST_ROWS = 6000  # of the tables, for training


def estimator_for(y):
    """Return our estimator for a kind of targets."""
    return JointPruneRegressor if y.dtype.kind == "f" else JointPruneClassifier


def fit(X, y, seed, **params):
    """Return a fit with defaults, its processor time, and whether it warned."""
    start = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = estimator_for(y)(random_state=seed, **params).fit(X, y)
    warned = any("one input is kept" in str(w.message) for w in caught)
    return fitted, time.process_time() - start, warned


def planted(args):
    """Print the mean F1 of each kind, by number of rows."""
    rows = []
    for kind in PLANTED_KINDS:
        row = {"kind": kind}
        for n in ROWS:
            found = []
            for seed in range(args.seeds):
                table = make_planted(kind, n, 100, random_state=seed)
                fitted, *_ = fit(table.data, table.target, seed)
                found.append(f1_score(table.support, fitted.get_support()))
            row[f"{n} rows"] = np.mean(found)
        rows.append(row)
    mean = {f"{n} rows": np.mean([row[f"{n} rows"] for row in rows]) for n in ROWS}
    print_table(
        [
            {name: f"{v:.3f}" if name != "kind" else v for name, v in row.items()}
            for row in [*rows, {"kind": "mean"} | mean]
        ]
    )


def nothing(args):
    """Print in how many runs at most one input is kept, with a warning."""
    rows = []
    for n in ROWS_OF_NOTHING:
        right = []
        for seed in range(args.seeds):
            for kind in ("linear", "friedman1"):
                table = make_planted(kind, n, 50, random_state=seed)
                y = np.random.default_rng(seed).permutation(table.target)
                fitted, _, warned = fit(table.data, y, seed)
                right.append(fitted.get_support().sum() <= 1 and warned)
        rows.append({"rows": n, "right": f"{sum(right)} of {len(right)}"})
    print_table(rows)


def clock(args):
    """Print seconds and scores beside networks of scikit-learn."""
    rows = []
    for read in (load_breast_cancer, load_digits, load_wine, load_diabetes):
        X, y = read(return_X_y=True)
        regression = y.dtype.kind == "f"
        ours, theirs, scores, kept = [], [], [], []
        for seed in range(args.seeds):
            parts = train_test_split(
                X, y, random_state=seed, stratify=None if regression else y
            )
            X_train, X_test, y_train, y_test = parts
            kind = MLPRegressor if regression else MLPClassifier
            other = kind(hidden_layer_sizes=(256, 128), random_state=seed)
            model = make_pipeline(StandardScaler(), other)
            start = time.process_time()
            with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
                model.fit(X_train, y_train)
            theirs.append(time.process_time() - start)
            fitted, seconds, _ = fit(X_train, y_train, seed)
            ours.append(seconds)
            scores.append((fitted.score(X_test, y_test), model.score(X_test, y_test)))
            kept.append(fitted.get_support().sum())
        mean = np.mean(scores, axis=0)
        rows.append(
            {
                "table": read.__name__.removeprefix("load_"),
                "seconds": f"{np.median(ours):.1f}",
                "of scikit-learn's": f"{np.median(theirs):.2f}",
                "ratio": f"{np.median(np.divide(ours, theirs)):.1f}",
                "score": f"{mean[0]:.3f}",
                "of scikit-learn's ": f"{mean[1]:.3f}",
                "inputs": f"{np.mean(kept):.1f} of {X.shape[1]}",
            }
        )
    print_table(rows)


def fit_wide(n_rows=60, n_columns=50_000):
    """Return the seconds and the peak memory of a fit on many columns."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_columns), dtype=np.float32)
    y = (X[:, :5].sum(axis=1) > 0).astype(int)
    fitted, seconds, _ = fit(X, y, 0)
    return seconds, peak_memory_mb(), int(fitted.get_support().sum())


def wide(args):
    """Print the seconds and the peak memory of a fit on 50,000 columns."""
    seconds, memory, kept = run_in_child(fit_wide)
    print_table(
        [{"seconds": f"{seconds:.0f}", "peak MB": f"{memory:.0f}", "inputs": kept}]
    )


def long(args):
    """Print the seconds of a fit on many rows, beside boosting."""
    X, y = make_classification(
        500_000, 50, n_informative=10, n_redundant=5, random_state=0
    )
    X = X.astype(np.float32)
    start = time.process_time()
    train, test = slice(400_000), slice(400_000, None)
    boosting = HistGradientBoostingClassifier(random_state=0).fit(X[train], y[train])
    theirs = time.process_time() - start
    fitted, ours, _ = fit(X[train], y[train], 0)
    print_table(
        [
            {
                "seconds": f"{ours:.0f}",
                "of boosting": f"{theirs:.0f}",
                "score": f"{fitted.score(X[test], y[test]):.4f}",
                "of boosting ": f"{boosting.score(X[test], y[test]):.4f}",
                "inputs": f"{fitted.get_support().sum()} of 50",
            }
        ]
    )


def folds(args):
    """Print what five folds take and keep, beside one fit."""
    rows = []
    for read in (load_breast_cancer, load_digits, load_wine, load_diabetes):
        X, y = read(return_X_y=True)
        times, kept = [], []
        for seed in range(args.seeds):
            start = time.perf_counter()
            one, *_ = fit(X, y, seed)
            seconds = time.perf_counter() - start
            inner = estimator_for(y)(random_state=seed)
            five = JointPruneCV(inner, cv=5, rule="one_se", n_jobs=args.jobs)
            if not (rows or seed):
                five.fit(X, y)  # starts the processes
            start = time.perf_counter()
            five.fit(X, y)
            times.append((seconds, time.perf_counter() - start))
            kept.append((one.get_support().sum(), five.get_support().sum()))
        one, five = np.median(times, axis=0)
        inputs = np.mean(kept, axis=0)
        rows.append(
            {
                "table": read.__name__.removeprefix("load_"),
                "seconds of a fit": f"{one:.1f}",
                "of five folds": f"{five:.1f}",
                "ratio": f"{five / one:.1f}",
                "inputs": f"{inputs[0]:.1f}",
                "of five folds ": f"{inputs[1]:.1f} of {X.shape[1]}",
            }
        )
    print_table(rows)


def checks(args):
    """Print the time of scikit-learn's checks, of estimators at their defaults."""
    rows = []
    for estimator in (
        JointPruneClassifier(),
        JointPruneRegressor(),
        JointPruneCV(JointPruneClassifier()),
        InputFeatureSelector(JointPruneClassifier()),
    ):
        start = time.process_time()
        with warnings.catch_warnings(action="ignore"):
            found = check_estimator(estimator, on_fail=None, on_skip=None)
        failed = [
            str(check["check_name"]) for check in found if check["status"] == "failed"
        ]
        rows.append(
            {
                "estimator": str(estimator),
                "seconds": f"{time.process_time() - start:.0f}",
                "checks": len(found),
                "failed": ", ".join(failed),
            }
        )
        print(rows[-1], flush=True)
    print_table(rows)


def tables(args):
    """Print scores beside the dense network's, and the inputs kept."""
    rows, differences = [], []
    for name in [*BUNDLED, *TABLES]:
        split = load(name, args.data, MOST_ROWS)
        scores, kept = [], []
        for seed in range(args.seeds):
            pair = []
            for params in ({}, {"prune": "none"}):
                fitted, *_ = fit(split.X_train, split.y_train, seed, **params)
                pair.append(fitted.score(split.X_test, split.y_test))
                kept.append(fitted.get_support().mean())
            scores.append(pair)
        ours, dense = np.mean(scores, axis=0)
        differences.append(ours - dense)
        rows.append(
            {
                "table": name,
                "score": f"{ours:.4f}",
                "dense": f"{dense:.4f}",
                "inputs kept": f"{np.mean(kept[::2]):.1%} of {split.n_features}",
            }
        )
        print(rows[-1], flush=True)
    print_table(rows)
    print(f"mean difference {np.mean(differences):+.4f}")


PARTS = {
    "planted": planted,
    "nothing": nothing,
    "time": clock,
    "wide": wide,
    "long": long,
    "folds": folds,
    "checks": checks,
    "tables": tables,
}


def main():
    """Print the parts that were asked for."""
    parser = make_parser(__doc__)
    add_data_option(parser)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["time"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="of folds")
    args = parser.parse_args()
    print_header()
    for part in args.parts:
        print(f"\n## {part}\n", flush=True)
        PARTS[part](args)


if __name__ == "__main__":
    main()
