"""Test score with exactly k inputs, ours beside other ways to choose them.

Every way of choosing inputs is followed by the same network, `dense_network`, trained
from scratch on the chosen columns: only the choice differs. Two ways come with a
network of their own, and their row "own model" shows it: ours (the pruned, retrained
network) and LassoNet (its dense refit on at most k inputs). The score is accuracy, or
R2 where targets are numbers. All choices are made on training data: that of
`input_noise`, once for each data set and k, on a held-out quarter of the training
rows. Each run has a fresh process, so that its peak memory is its own.

The table has mean and standard deviation of the test score over seeds, seconds of
choosing and fitting, and the peak memory with its rise over imports and data. The
"dense network" of ours counts the whole first fit as choosing; the others rank inputs
once for all k, and LassoNet's seconds are those until its path reaches k.

    python at_k.py --data FOLDER
    python at_k.py --data FOLDER --only coil20 mice --methods ours random --rows 300
"""

import contextlib
import csv
import importlib.util
import json
import sys
import time
import warnings
from functools import partial

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
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import f_classif, f_regression
from sklearn.linear_model import LogisticRegression, lasso_path
from sklearn.model_selection import (
    GroupShuffleSplit,
    ShuffleSplit,
    StratifiedShuffleSplit,
)
from sklearn.preprocessing import StandardScaler
from sklearn.svm import l1_min_c

# The one setting for all data, chosen on rows held out of the training data of ISOLET
# and MNIST (docs/benchmarks.md), but for the noise, which is chosen for each.
OURS = {
    "hidden_layer_sizes": (512, 256),
    "module__dropout": 0.4,
    "optimizer": "adamw",
    "optimizer__weight_decay": 0.1,
    "prune": "inputs",
    "distillation": 0.9,
    "validation_fraction": None,
}
NOISES = (0.0, 0.5, 2.0)
# The L1 logistic regression sees at most so many rows, to end within minutes.
L1_ROWS = 5_000


def make_ours(split, **params):
    """Return our estimator for the kind of targets."""
    return split.estimator(**(OURS | params))


def dense_network(split, columns, seed):
    """Return the test score of our unpruned network on the given columns."""
    net = make_ours(split, prune="none", distillation=0.0, random_state=seed)
    net.fit(split.X_train[:, columns], split.y_train)
    return net.score(split.X_test[:, columns], split.y_test)


def choose_noise(args, data, k):
    """Return the noise whose network is best on a quarter of the training rows."""
    split = load(data, args.data, args.rows)
    X, y, groups = split.X_train, split.y_train, split.groups_train
    kind = ShuffleSplit if split.regression else StratifiedShuffleSplit
    if groups is not None:
        kind = GroupShuffleSplit
    folds = kind(n_splits=1, test_size=0.25, random_state=0)
    ((train, held_out),) = folds.split(X, y, groups)
    scores = {}
    for noise in NOISES:
        net = make_ours(split, n_features_to_select=k, input_noise=noise)
        scores[noise] = (
            net.set_params(random_state=0)
            .fit(X[train], y[train])
            .score(X[held_out], y[held_out])
        )
    print(f"{data}, k = {k}: held-out score by input noise: {scores}", flush=True)
    return max(NOISES, key=scores.get)


def find_noises(args, data):
    """Return the input noise of ours for each k: that of the option, or chosen."""
    if args.noise is not None:
        return dict.fromkeys(args.k, args.noise)
    n_features = load(data, args.data, args.rows).n_features
    return {
        k: run_in_child(choose_noise, args, data, k) for k in args.k if k < n_features
    }


# A chooser is given a split, the numbers of inputs and a seed. For each k it yields
# the chosen columns and, if it has a model of its own, the test score of that model
# and the number of inputs it reads.


def choose_ours(split, ks, seed, noises):
    """Fit our estimator, with the input noise of each k."""
    for k in ks:
        net = make_ours(
            split, n_features_to_select=k, input_noise=noises[k], random_state=seed
        ).fit(split.X_train, split.y_train)
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


def choose_lassonet(split, ks, seed):
    """Follow LassoNet's default path to each k, from the largest to the smallest."""
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
        refit_start = time.perf_counter()
        model.fit(X_train[:, kept], y, dense_only=True)
        own = model.score(X_test[:, kept], split.y_test), int(kept.sum())
        yield columns, own, seconds + time.perf_counter() - refit_start


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


def choose(args, data, method, seed, noises):
    """Return a run for each k: the columns, and what the method's own model scores."""
    split = load(data, args.data, args.rows)
    base, start, runs = peak_memory_mb(), time.perf_counter(), []
    ks = [k for k in args.k if k < split.n_features]
    chooser = CHOOSERS[method]
    if method == "ours":
        chooser = partial(chooser, noises=noises)
    for columns, own, *seconds in chooser(split, ks, seed):
        now = time.perf_counter()
        runs.append(
            {
                "data": data,
                "method": method,
                "seed": seed,
                "k": len(columns),
                "columns": columns.tolist(),
                "choosing": seconds[0] if seconds else now - start,
                "peak_mb": peak_memory_mb(),
                "rise_mb": peak_memory_mb() - base,
                "own": own,
            }
        )
        if method == "ours":  # fits anew for each k
            start = now
    return runs


def refit(args, run):
    """Fit the dense network on the columns of a run; return the run with its score."""
    split = load(run["data"], args.data, args.rows)
    base, start = peak_memory_mb(), time.perf_counter()
    score = dense_network(split, np.array(run["columns"]), run["seed"])
    return run | {
        "model": "dense network",
        "inputs": run["k"],
        "score": score,
        "seconds": run["choosing"] + time.perf_counter() - start,
        "peak_mb": max(run["peak_mb"], peak_memory_mb()),
        "rise_mb": max(run["rise_mb"], peak_memory_mb() - base),
    }


def seed_runs(args, data, method, seed, noises):
    """Return the runs of one seed: the own models, if any, and dense networks."""
    budget = args.lassonet_budget if method == "lassonet" else None
    runs = []
    for run in run_in_child(choose, args, data, method, seed, noises, budget=budget):
        if run["own"]:
            score, inputs = run["own"]
            own = {"model": "own model", "inputs": inputs, "score": score}
            runs.append(run | own | {"seconds": run["choosing"]})
        if not (run["own"] and args.own_only):
            runs.append(run_in_child(refit, args, run))
    return runs


def method_rows(args, data, method, noises):
    """Run all seeds of one method; return its rows of the table."""
    runs = []
    note = f"chosen on at most {L1_ROWS} rows" if method == "l1" else ""
    if method == "ours":
        note = f"input noise by k {noises}"
    for seed in range(args.seeds):
        try:
            new = seed_runs(args, data, method, seed, noises)
        except TimeoutError:
            note = f"seed {seed}: over {args.lassonet_budget:g} s"
            break  # the other seeds would take as long
        except RuntimeError:
            note = f"seed {seed}: failed, see the error above"
            break
        runs += new
        log(args.log, new)
    if not runs:
        return [row(data, method, "", "", [], note)]
    kinds = dict.fromkeys((run["k"], run["model"]) for run in runs)
    return [
        row(
            data,
            method,
            k,
            model,
            [run for run in runs if (run["k"], run["model"]) == (k, model)],
            note,
        )
        for k, model in kinds
    ]


def log(path, runs):
    """Append runs to a file of JSON lines, if there is one."""
    if path:
        with open(path, "a") as file:
            file.writelines(json.dumps(run) + "\n" for run in runs)


def row(data, method, k, model, runs, note):
    """Summarise the runs of one method and model over seeds."""

    def summary(key, summarise=np.mean, digits=1):
        values = [run[key] for run in runs]
        return f"{summarise(values):.{digits}f}" if values else ""

    return {
        "data": data,
        "k": k,
        "inputs chosen by": method,
        "score of": model,
        "inputs": ", ".join(map(str, sorted({run["inputs"] for run in runs}))),
        "mean": summary("score", digits=4),
        "std": summary("score", np.std, digits=4),
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
    parser.add_argument(
        "--k", type=int, nargs="+", default=[10, 25, 50, 100], help="inputs to choose"
    )
    parser.add_argument(
        "--noise", type=float, help="our input noise, instead of choosing it"
    )
    parser.add_argument(
        "--own-only",
        action="store_true",
        help="no dense network after methods with a model of their own",
    )
    parser.add_argument("--rows", type=int, help="at most so many training rows")
    parser.add_argument(
        "--lassonet-budget", type=float, default=1800, help="seconds for a fit of it"
    )
    args = parser.parse_args()
    args.k = sorted(args.k)
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
    print(f"k = {args.k}; setting of ours: {OURS}")
    table = []
    for data in args.only:
        rows, noises = [], {}
        if "ours" in methods:
            noises = find_noises(args, data)
        for method in methods:
            print(f"{data}: {method} ...", file=sys.stderr, flush=True)
            rows += method_rows(args, data, method, noises)
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
