"""Test accuracy with exactly k inputs, ours beside other ways to choose them.

Every way of choosing inputs is followed by the same network, `dense_network`, trained
from scratch on the chosen columns: only the choice differs. Two ways come with a
network of their own, and their row "own model" shows it: ours (the pruned, retrained
network) and LassoNet (its dense refit on at most k inputs). All choices are made on
training data. Each run has a fresh process, so that its peak memory is its own.

The table has mean and standard deviation of test accuracy over seeds, seconds of
choosing and fitting, and the peak memory with its rise over imports and data. The
"dense network" of ours and LassoNet counts the whole first fit as choosing.

    python at_k.py --data FOLDER
    python at_k.py --data FOLDER --only coil20 mice --methods ours random --rows 300
"""

import csv
import importlib.util
import json
import sys
import time
import warnings

import numpy as np
import sklearn
from _common import (
    make_parser,
    peak_memory_mb,
    print_header,
    print_table,
    run_in_child,
)
from _data import DATASETS, add_data_option, find, first_rows, load
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import l1_min_c

from skjointprune import JointPruneClassifier

# The one setting of JointPruneClassifier for all data, chosen among five on rows held
# out of the training data of ISOLET and MNIST (docs/benchmarks.md).
OURS = {
    "hidden_layer_sizes": (512, 256),
    "module__dropout": 0.4,
    "optimizer": "adamw",
    "optimizer__weight_decay": 0.1,
    "prune": "inputs",
    "validation_fraction": None,
}
# The L1 logistic regression sees at most so many rows, to end within minutes.
L1_ROWS = 5_000


def dense_network(split, columns, seed):
    """Return the test accuracy of our unpruned network on the given columns."""
    clf = JointPruneClassifier(**{**OURS, "prune": "none", "random_state": seed})
    clf.fit(split.X_train[:, columns], split.y_train)
    return clf.score(split.X_test[:, columns], split.y_test)


# A chooser returns the chosen columns and, if it has a model of its own, the test
# accuracy of that model and the number of inputs it reads.


def choose_ours(split, k, seed):
    """Fit our estimator."""
    clf = JointPruneClassifier(**OURS, n_features_to_select=k, random_state=seed)
    clf.fit(split.X_train, split.y_train)
    columns = clf.get_support(indices=True)
    return columns, (clf.score(split.X_test, split.y_test), len(columns))


def choose_all(split, k, seed):
    """Keep every input."""
    return np.arange(split.n_features), None


def choose_random(split, k, seed):
    """Draw k inputs."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(split.n_features, k, replace=False)), None


def choose_univariate(split, k, seed):
    """Take the k largest F statistics."""
    with warnings.catch_warnings(action="ignore"):  # of constant inputs: never chosen
        selector = SelectKBest(f_classif, k=k).fit(split.X_train, split.y_train)
    return selector.get_support(indices=True), None


def choose_forest(split, k, seed):
    """Take the k largest impurity importances of a default random forest."""
    forest = RandomForestClassifier(random_state=seed)
    forest.fit(split.X_train, split.y_train)
    return _largest(forest.feature_importances_, k), None


def choose_l1(split, k, seed):
    """Weaken an L1 penalty until it keeps k inputs; take the k largest coefficients."""
    split = first_rows(split, L1_ROWS, seed)
    X, y = StandardScaler().fit_transform(split.X_train), split.y_train
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
    size = np.zeros(split.n_features)
    while np.count_nonzero(size) < k:
        # each fit starts from the last: 100 passes are enough to rank inputs
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            model.set_params(C=2 * model.C).fit(X, y)
        size = np.abs(model.coef_).max(axis=0)
    return _largest(size, k), None


def choose_lassonet(split, k, seed):
    """Follow LassoNet's default path until at most k inputs are left."""
    from lassonet import LassoNetClassifier

    class EnoughError(Exception):
        pass

    norms = []  # of the skip connection, one step before last and last

    def stop_at_k(model, history):
        norms[:] = [*norms[-1:], model.model.skip.weight.detach().norm(dim=0).cpu()]
        if model.model.selected_count() <= k:
            raise EnoughError

    scaler = StandardScaler().fit(split.X_train)
    X_train, X_test = scaler.transform(split.X_train), scaler.transform(split.X_test)
    model = LassoNetClassifier(verbose=0, random_state=seed, torch_seed=seed)
    try:
        model.path(X_train, split.y_train, callback=stop_at_k)
    except EnoughError:
        before, kept = norms[0].numpy(), norms[-1].numpy() > 0
    # a step of the path can drop several: fill up with the last ones to go
    columns = _largest(np.where(kept, np.inf, before), k)
    model.fit(X_train[:, kept], split.y_train, dense_only=True)
    own = model.score(X_test[:, kept], split.y_test), int(kept.sum())
    return columns, own


def _largest(scores, k):
    return np.sort(np.argsort(scores, kind="stable")[-k:])


CHOOSERS = {
    "ours": choose_ours,
    "all": choose_all,
    "random": choose_random,
    "univariate": choose_univariate,
    "forest": choose_forest,
    "l1": choose_l1,
    "lassonet": choose_lassonet,
}


def one_run(args, data, method, seed, columns=None):
    """Choose columns, unless they are given, and fit; return what was measured."""
    split = load(data, args.data, args.rows)
    base, start, own = peak_memory_mb(), time.perf_counter(), None
    if columns is None:
        columns, own = CHOOSERS[method](split, args.k, seed)
    chosen = time.perf_counter()
    accuracy, inputs = own or (dense_network(split, columns, seed), len(columns))
    return {
        "data": data,
        "method": method,
        "model": "own model" if own else "dense network",
        "seed": seed,
        "inputs": inputs,
        "accuracy": accuracy,
        "seconds": time.perf_counter() - start,
        "choosing": chosen - start,
        "peak_mb": peak_memory_mb(),
        "rise_mb": peak_memory_mb() - base,
        "columns": columns.tolist(),
    }


def seed_runs(args, data, method, seed):
    """Return one run, or two if the method has a model of its own."""
    budget = args.lassonet_budget if method == "lassonet" else None
    run = run_in_child(one_run, args, data, method, seed, budget=budget)
    if run["model"] == "dense network":
        return [run]
    columns = np.array(run["columns"])
    refit = run_in_child(one_run, args, data, method, seed, columns)
    refit["seconds"] += run["seconds"]
    refit["choosing"] = run["seconds"]
    for key in ("peak_mb", "rise_mb"):
        refit[key] = max(refit[key], run[key])
    return [run, refit]


def method_rows(args, data, method):
    """Run all seeds of one method; return its rows of the table."""
    runs = []
    note = f"chosen on at most {L1_ROWS} rows" if method == "l1" else ""
    for seed in range(args.seeds):
        try:
            new = seed_runs(args, data, method, seed)
        except TimeoutError:
            note = f"seed {seed}: over {args.lassonet_budget:g} s"
            break  # the other seeds would take as long
        except RuntimeError:
            note = f"seed {seed}: failed, see the error above"
            break
        runs += new
        log(args.log, new)
    models = dict.fromkeys(run["model"] for run in runs) or [""]
    return [
        row(data, method, model, [run for run in runs if run["model"] == model], note)
        for model in models
    ]


def log(path, runs):
    """Append runs to a file of JSON lines, if there is one."""
    if path:
        with open(path, "a") as file:
            file.writelines(json.dumps(run) + "\n" for run in runs)


def row(data, method, model, runs, note):
    """Summarise the runs of one method and model over seeds."""

    def summary(key, summarise=np.mean, digits=1):
        values = [run[key] for run in runs]
        return f"{summarise(values):.{digits}f}" if values else ""

    return {
        "data": data,
        "inputs chosen by": method,
        "accuracy of": model,
        "inputs": ", ".join(map(str, sorted({run["inputs"] for run in runs}))),
        "mean": summary("accuracy", digits=4),
        "std": summary("accuracy", np.std, digits=4),
        "seeds": len(runs),
        "seconds": summary("seconds"),
        "of it choosing": summary("choosing"),
        "peak MB": summary("peak_mb", np.max),
        "rise MB": summary("rise_mb", np.max),
        "note": note,
    }


def parse_args():
    """Read the command line."""
    parser = make_parser(__doc__)
    add_data_option(parser)
    parser.add_argument("--out", default="at_k.csv", help="the table as CSV")
    parser.add_argument("--log", help="append each run to this file of JSON lines")
    parser.add_argument("--only", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--methods", nargs="+", choices=CHOOSERS, default=CHOOSERS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--k", type=int, default=50, help="inputs to choose")
    parser.add_argument("--rows", type=int, help="at most so many training rows")
    parser.add_argument(
        "--lassonet-budget", type=float, default=1800, help="seconds for a fit of it"
    )
    args = parser.parse_args()
    for data in args.only:
        try:
            find(data, args.data)
        except FileNotFoundError as error:
            parser.error(str(error))
    return args


def main():
    """Print one table for each data set, and write all of them as one CSV file."""
    args = parse_args()
    methods = list(args.methods)
    if "lassonet" in methods and not importlib.util.find_spec("lassonet"):
        print("lassonet is not installed: left out.")
        methods.remove("lassonet")
    print_header()
    print(f"k = {args.k}; setting of ours: {OURS or 'package defaults'}")
    table = []
    for data in args.only:
        rows = []
        for method in methods:
            print(f"{data}: {method} ...", file=sys.stderr, flush=True)
            rows += method_rows(args, data, method)
            # written after each method: an interrupt loses little
            write_csv(args.out, table + rows)
        print_table(rows)
        table += rows


def write_csv(path, rows):
    """Write a list of dicts that share their keys."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
