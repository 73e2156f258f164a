"""Which planted inputs are found: F1 of the selection, ours beside others.

The tables are those of `skjointprune.datasets.make_planted`, whose true inputs are
known. F1 is the harmonic mean of the share of the selected inputs that are true and
the share of the true ones that are selected. Of the methods, some are told how many
inputs are true:

- defaults: `n_features_to_select=k` and nothing else;
- ours: `n_features_to_select=k`, no retraining, and one setting for all kinds;
- forest: the k largest impurity importances of a default random forest;
- mutual_info: the k largest estimates of mutual information with the target;
- lassonet: its default path until it has at most k, filled up with the last to go;

and some choose the number themselves:

- nothing_said: `JointPruneClassifier()` or `JointPruneRegressor()`;
- ours_cv: `JointPruneCV`, `rule="one_se"`, with the setting;
- boruta: BorutaPy with its defaults, around the forest of its documentation.

Ours has one setting for all kinds, `OURS`, found on the seeds 10 to 16, which are not
among those shown; only the product of three signs has one of its own, `THREE_SIGNS`.
By folds it has more noise, and fewer passes, as it fits many times: `FOLDS` and
`CHOSEN_BY_FOLDS`.
A table for each number of rows and inputs has the mean F1 over seeds for each kind, and
the mean over kinds.
LassoNet takes minutes to hours, and runs only if it is among the --methods.

    python planted.py
    python planted.py --kinds xor ring --rows 500 --inputs 100 --methods ours forest
"""

import importlib.util
import json
import time
import warnings

import numpy as np
from _choosers import choose_lassonet
from _common import make_parser, print_header, run_in_child
from _data import Split
from scipy.stats import kurtosis
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression
from sklearn.metrics import f1_score
from tabulate import tabulate

from skjointprune import (
    JointPruneClassifier,
    JointPruneCV,
    JointPruneRegressor,
)
from skjointprune.datasets import PLANTED_KINDS, make_planted

OURS = {
    "input_noise": 0.5,
    "module__dropout": 0.0,
    "max_epochs": 500,
    "prune": "inputs",
    "validation_fraction": None,
}
# More noise, as less is memorised then, and what says nothing has less saliency; and so
# many points that the path over 100 inputs stops at every number up to 10.
FOLDS = {"rule": "one_se", "cv": 3, "n_alphas": 36}
CHOSEN_BY_FOLDS = {
    "input_noise": 1.5,
    "max_epochs": 100,
    "retrain_epochs": 60,
}
# One batch of all rows and a weight decay: at rest the mean derivative by each gate is
# not 0 but in balance with the decay, and so shows what the weights of an input do
# together, where the derivatives of single batches show what each row costs.
THREE_SIGNS = {
    "hidden_layer_sizes": (512,),
    "module__activation": "tanh",  # unlike relu it has a third-order part at 0
    "module__norm": None,
    "optimizer__weight_decay": 1e-3,
    "batch_size": 2000,
    "max_epochs": 2000,
    "input_noise": 0.0,
}


def setting(table, kind):
    """Return the parameters of ours: one setting for all kinds but one.

    Targets with heavier tails than a normal distribution have Huber's loss, as whoever
    looks at them might choose.
    """
    params = OURS | (THREE_SIGNS if kind == "three_signs" else {})
    if table.task == "regression" and kurtosis(table.target) > 0:
        params["loss"] = "huber"
    return params


def k_largest(scores, k):
    """Return the mask of the k largest scores."""
    mask = np.zeros(len(scores), dtype=bool)
    mask[np.argsort(scores, kind="stable")[-k:]] = True
    return mask


# A method is given a table, its kind and a seed, and returns the mask of what it
# selects.


def estimator_for(table):
    """Return the class of estimator that learns the target."""
    regression = table.task == "regression"
    return JointPruneRegressor if regression else JointPruneClassifier


def select_with_defaults(table, kind, seed):
    """Prune to as many inputs as are true, with defaults."""
    k = int(table.support.sum())
    fitted = estimator_for(table)(n_features_to_select=k, random_state=seed)
    return fitted.fit(table.data, table.target).get_support()


def select_with_nothing_said(table, kind, seed):
    """Let a default fit find how many."""
    fitted = estimator_for(table)(random_state=seed)
    return fitted.fit(table.data, table.target).get_support()


def select_ours(table, kind, seed):
    """Prune to as many inputs as are true."""
    fitted = estimator_for(table)(
        n_features_to_select=int(table.support.sum()),
        retrain_epochs=0,
        random_state=seed,
        **setting(table, kind),
    ).fit(table.data, table.target)
    return fitted.get_support()


def select_ours_cv(table, kind, seed):
    """Let folds choose how many."""
    params = setting(table, kind) | CHOSEN_BY_FOLDS
    cv = JointPruneCV(estimator_for(table)(random_state=seed, **params), **FOLDS)
    return cv.fit(table.data, table.target).get_support()


def select_forest(table, kind, seed):
    """Rank by impurity importances."""
    regression = table.task == "regression"
    forest = RandomForestRegressor if regression else RandomForestClassifier
    fitted = forest(random_state=seed).fit(table.data, table.target)
    return k_largest(fitted.feature_importances_, table.support.sum())


def select_mutual_info(table, kind, seed):
    """Rank one input at a time."""
    regression = table.task == "regression"
    estimate = mutual_info_regression if regression else mutual_info_classif
    scores = estimate(table.data, table.target, random_state=seed)
    return k_largest(scores, table.support.sum())


def select_boruta(table, kind, seed):
    """Keep what is more important than shuffled copies."""
    from boruta import BorutaPy

    regression = table.task == "regression"
    forest = RandomForestRegressor if regression else RandomForestClassifier
    weights = {} if regression else {"class_weight": "balanced"}
    selector = BorutaPy(
        forest(max_depth=5, **weights), n_estimators="auto", random_state=seed
    )
    with warnings.catch_warnings(action="ignore"):
        return selector.fit(table.data, table.target).support_


def select_lassonet(table, kind, seed):
    """Follow the path down to as many inputs as are true."""
    X = table.data.astype(np.float32)
    y = table.target
    y = y.astype(np.float32 if table.task == "regression" else np.int64)
    split = Split(X, y, X, y)
    columns, *_ = next(choose_lassonet(split, [int(table.support.sum())], seed))
    mask = np.zeros_like(table.support)
    mask[columns] = True
    return mask


METHODS = {
    "defaults": select_with_defaults,
    "nothing_said": select_with_nothing_said,
    "ours": select_ours,
    "ours_cv": select_ours_cv,
    "forest": select_forest,
    "mutual_info": select_mutual_info,
    "boruta": select_boruta,
    "lassonet": select_lassonet,
}
PACKAGES = {"boruta": "boruta", "lassonet": "lassonet"}


def measure(method, kind, n_rows, n_inputs, seed):
    """Return what one method finds in one table."""
    table = make_planted(kind, n_rows, n_inputs, random_state=seed)
    start = time.perf_counter()
    found = METHODS[method](table, kind, seed)
    return {
        "method": method,
        "kind": kind,
        "rows": n_rows,
        "inputs": n_inputs,
        "seed": seed,
        "f1": float(f1_score(table.support, found, zero_division=0)),
        "selected": int(found.sum()),
        "true": int(table.support.sum()),
        "seconds": round(time.perf_counter() - start, 1),
    }


def try_measure(args, *cell):
    """Measure; of LassoNet in a process of its own, which ends in time."""
    if cell[0] != "lassonet":
        return measure(*cell)
    try:
        return run_in_child(measure, *cell, budget=args.lassonet_budget)
    except TimeoutError:
        print(f"{cell}: over {args.lassonet_budget:g} s", flush=True)
        return None


def table_of(runs, methods):
    """Return a row for each kind, and one for their mean."""
    kinds = list(dict.fromkeys(run["kind"] for run in runs))
    means = {
        (kind, method): [
            run["f1"] for run in runs if (run["kind"], run["method"]) == (kind, method)
        ]
        for kind in kinds
        for method in methods
    }
    rows = []
    for kind in kinds:
        row = {"kind": kind}
        for method in methods:
            values = means[kind, method]
            row[method] = f"{np.mean(values):.2f}" if values else "not run"
        rows.append(row)
    last = {"kind": "mean"}
    for method in methods:
        values = [np.mean(means[kind, method]) for kind in kinds if means[kind, method]]
        whole = len(values) == len(kinds)
        last[method] = f"{np.mean(values):.3f}" if whole else ""
    return [*rows, last]


def parse_args():
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--kinds", nargs="+", choices=PLANTED_KINDS, default=PLANTED_KINDS
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[2000, 500])
    parser.add_argument("--inputs", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=METHODS,
        default=[method for method in METHODS if method != "lassonet"],
    )
    parser.add_argument(
        "--max-epochs",
        type=lambda text: text if text == "auto" else int(text),
        default=OURS["max_epochs"],
        help="passes of ours while pruning, with k known, or auto",
    )
    parser.add_argument(
        "--n-alphas",
        type=int,
        default=FOLDS["n_alphas"],
        help="points of the path of ours by folds",
    )
    parser.add_argument("--log", help="append each run to this file of JSON lines")
    parser.add_argument(
        "--lassonet-budget", type=float, default=1800, help="seconds for one path"
    )
    return parser.parse_args()


def main():
    """Print each run as it ends, and a table for each number of rows and inputs."""
    args = parse_args()
    OURS["max_epochs"] = args.max_epochs
    FOLDS["n_alphas"] = args.n_alphas
    methods = []
    for method in args.methods:
        if method in PACKAGES and not importlib.util.find_spec(PACKAGES[method]):
            print(f"{PACKAGES[method]} is not installed: left out.")
        else:
            methods.append(method)
    print_header()
    print(
        f"ours: {OURS}; by folds: {FOLDS | CHOSEN_BY_FOLDS}; three signs: {THREE_SIGNS}"
    )
    for n_rows in args.rows:
        for n_inputs in args.inputs:
            runs = []
            for method in methods:
                for kind in args.kinds:
                    for seed in args.seeds:
                        run = try_measure(args, method, kind, n_rows, n_inputs, seed)
                        if run is not None:
                            runs.append(run)
                            note(run, args.log)
            print(f"\n{n_rows} rows, {n_inputs} inputs, seeds {args.seeds}: mean F1")
            table = table_of(runs, methods)
            print(tabulate(table, "keys", "github", disable_numparse=True), flush=True)


def note(run, log):
    """Print a run on one line, and append it to the file, if there is one."""
    print(", ".join(f"{name} {value}" for name, value in run.items()), flush=True)
    if log:
        with open(log, "a") as file:
            file.write(json.dumps(run) + "\n")


if __name__ == "__main__":
    main()
