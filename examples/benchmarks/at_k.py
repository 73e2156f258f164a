"""Test score with exactly k inputs, ours beside other ways to choose them.

Every way of choosing inputs is followed by the same network, `dense_network`, trained
from scratch on the chosen columns: only the choice differs. Ours is there twice: as
"defaults", told k and nothing else, and as "ours", with a setting of its own. These,
and LassoNet, come with a network of their own, and their row "own model" shows it: the
pruned, retrained network, and LassoNet's dense refit on at most k inputs. The score is
accuracy, or R2 where targets are numbers. All choices are made on training data: that
of `input_noise`, once for each data set and k, on a held-out quarter of the training
rows. Each run has a fresh process, so that its peak memory is its own.

The table has mean and standard deviation of the test score over seeds, seconds of
choosing and fitting, and the peak memory with its rise over imports and data. The
"dense network" of ours counts the whole first fit as choosing; the others rank inputs
once for all k, and LassoNet's seconds are those until its path reaches k.

    python at_k.py --data FOLDER
    python at_k.py --data FOLDER --only coil20 mice --methods ours random --rows 300
"""

import csv
import importlib.util
import json
import sys
import time
from functools import partial

import numpy as np
from _choosers import CHOOSERS, L1_ROWS, OURS, make_ours
from _common import (
    make_parser,
    peak_memory_mb,
    print_header,
    print_table,
    run_in_child,
)
from _data import DATASETS, add_data_option, find, load
from sklearn.model_selection import (
    GroupShuffleSplit,
    ShuffleSplit,
    StratifiedShuffleSplit,
)

# Out of which ours is chosen for each data set and k.
NOISES = (0.0, 0.5, 2.0)


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
        if method in ("ours", "defaults"):  # they fit anew for each k
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
