"""The table of Hubens et al. (arXiv 2303.10999): what pruning inputs as well adds.

Each row is a network on a data set, trained three times: dense, with units alone
pruned ("weights only"), and with inputs and units pruned ("joint"); all on the same
images, from the same seeds, with the same number of optimiser steps. With ``--prune
joint scratch`` the shape that joint pruning found is trained from new weights as well,
for as many steps. Accuracy is that of the final network on test images. A latency is
the median of repeats, of the final network on images that are cropped already. A row
without data in the folder is "not run".

    python table.py --data FOLDER                  # all rows, a check in minutes
    python table.py --data FOLDER --budget full    # all rows, on a GPU
    python table.py --data FOLDER --budget full --only vgg16_cifar10
"""

import ast
import os
import sys
import textwrap
import time
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from _data import load
from _picture import save_picture
from _rows import BUDGETS
from _scratch import scratch
from joblib import Parallel, delayed

from skjointprune import JointPruneClassifier

# what all benchmarks share; its neighbour _data is not this folder's
sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
from _common import make_parser, mean_and_std, print_header, print_table

UNPRUNED = ("none", "scratch")
NETWORKS = {
    "none": "dense",
    "weights": "weights only",
    "joint": "joint",
    "scratch": "scratch",
}
SIZES = ["inputs", "parameters", "MACs"]
SIZES += [f"share of {name}" for name in ("inputs", "parameters", "MACs")]


class Fitted(NamedTuple):
    """A final network, on the CPU; the inputs that it reads; and what was measured."""

    module: torch.nn.Module
    support: np.ndarray
    run: dict[str, Any]


def fit_once(split, row, settings, prune, seed, name, shape=None):
    """Fit one network; measure what the table says of it but for latencies.

    One that loses nothing is trained as the row says of these; with `shape`, the
    `Fitted` of joint pruning, it is one of this shape.
    """
    settings = row.settings | (row.unpruned if prune in UNPRUNED else {}) | settings
    if shape is not None:
        names = [name for name in settings if name.startswith("module")]
        settings = {k: v for k, v in settings.items() if k not in names}
        torch.manual_seed(seed)
        settings["module"] = scratch(shape.module, shape.support)
    what = "none" if prune in UNPRUNED else prune
    clf = JointPruneClassifier(prune=what, random_state=seed, **settings)
    start = time.perf_counter()
    clf.fit(split.X_train, split.y_train)
    seconds = time.perf_counter() - start
    history, report = clf.history_, clf.report_
    epochs = [r["dur"] for r in history if r["phase"] == "sparsify"]
    run = {
        "inputs": report.pruned.inputs,
        "parameters": report.pruned.parameters,
        "MACs": report.pruned.macs,
        "share of inputs": report.inputs_ratio,
        "share of parameters": report.parameters_ratio,
        "share of MACs": report.macs_ratio,
        "accuracy": clf.score(split.X_test, split.y_test),
        "seconds": seconds,
        "epoch": np.mean(epochs),
        "slowest epoch": max(epochs),
        "last epoch": epochs[-1],
        "steps": sum(history[:, "train_batch_count"]),
    }
    if shape is not None:
        run |= {name: value for name, value in shape.run.items() if name in SIZES}
    print(
        f"{name}, {NETWORKS[prune]}, seed {seed}: "
        f"{run['share of parameters']:.1%} of the parameters, "
        f"{run['share of MACs']:.1%} of the MACs, accuracy "
        f"{run['accuracy']:.4f}, {seconds:.0f} s",
        file=sys.stderr,
        flush=True,
    )
    return Fitted(clf.module_.cpu(), clf.support_, run)


def latencies(networks, X, repeats):
    """Return, for each network, milliseconds by what they are called in the table."""
    found = [{} for _ in networks]
    for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
        for size in (1, 128):
            rows = X[np.arange(size) % len(X)]
            calls = [call_of(network, rows, device) for network in networks]
            name = f"ms on {'GPU' if device == 'cuda' else 'CPU'}, batch of {size}"
            for of_one, ms in zip(found, medians(calls, repeats), strict=True):
                of_one[name] = ms
    return found


def call_of(network, X, device):
    """Return a function that runs the final network on cropped images and waits."""
    layout = torch.channels_last if device == "cuda" else torch.contiguous_format
    module = deepcopy(network.module).to(device, memory_format=layout).eval()
    X = retained(X, network.support).to(device)
    if X.ndim == 4:
        X = X.to(memory_format=layout)

    def call():
        with torch.inference_mode():
            module(X)
        if device == "cuda":
            torch.cuda.synchronize()

    return call


def retained(X, support):
    """Return what the final network reads of rows, or of images: these are cropped."""
    if X.ndim == 2:
        return torch.from_numpy(X[:, support]).float()
    for dim in range(3):
        others = tuple(other for other in range(3) if other != dim)
        X = X.compress(support.any(axis=others), axis=dim + 1)
    return torch.from_numpy(X).float()


def medians(calls, repeats):
    """Return the median milliseconds of each call.

    They take turns, so that what else the machine does falls on all alike; and each
    runs once untimed before it is timed, as the one before has taken the caches.
    """
    times = np.empty((repeats, len(calls)))
    for of_turn in times:
        for i, call in enumerate(calls):
            call()
            start = time.perf_counter()
            call()
            of_turn[i] = time.perf_counter() - start
    return 1000 * np.median(times, axis=0)


def over_seeds(runs, key, digits, share=None):
    """Write a measure: its mean and spread, and the share that is left of the dense."""
    values = [run[key] for run in runs]
    if len(values) > 1:
        cell = mean_and_std(values, digits)
    else:
        cell = f"{values[0]:.{digits}f}"
    if digits == 0:
        cell = " ± ".join(f"{int(number):,}" for number in cell.split(" ± "))
    if share is None:
        return cell
    return f"{cell} ({np.mean([run[share] for run in runs]):.1%})"


def print_row(runs):
    """Print what was measured, a column for each network."""
    measures = [
        ("inputs kept", "inputs", 0, "share of inputs"),
        ("parameters", "parameters", 0, "share of parameters"),
        ("MACs", "MACs", 0, "share of MACs"),
        ("test accuracy", "accuracy", 4),
    ]
    first = next(iter(runs.values()))[0]
    measures += [(name, name, 2) for name in first if name.startswith("ms on ")]
    measures += [
        ("seconds of training", "seconds", 1),
        ("seconds an epoch, sparsifying", "epoch", 2),
        ("the slowest", "slowest epoch", 2),
        ("the last", "last epoch", 2),
        ("optimiser steps", "steps", 0),
    ]
    print_table(
        [
            {"": name}
            | {NETWORKS[p]: over_seeds(of_one, *how) for p, of_one in runs.items()}
            for name, *how in measures
        ]
    )


def run_row(name, row, args):
    """Fit and print one row, or say that it is not run."""
    print(f"\n{name}: {row.network} on {row.data}", flush=True)
    try:
        split = load(
            row.data,
            args.data,
            args.train_rows or row.train_rows,
            args.test_rows or row.test_rows,
        )
    except FileNotFoundError as missing:
        print(f"not run: no data ({missing})", flush=True)
        return
    split = split.smaller(row.shrink) if row.shrink > 1 else split
    settings = dict(args.set)
    shape = " x ".join(map(str, split.X_train.shape[1:]))
    print(
        f"{len(split.X_train):,} of {split.n_train:,} training images, "
        f"{len(split.X_test):,} of {split.n_test:,} test images, {shape}; "
        f"{args.seeds} {'seed' if args.seeds == 1 else 'seeds'}"
    )
    print_settings(row.settings | settings)
    if row.unpruned and set(args.prune) & set(UNPRUNED):
        print_settings(row.unpruned | settings, "dense and scratch: ")
    split = split.flat() if row.flat else split
    parallel = Parallel(n_jobs=args.jobs)
    fitted = {}
    for anew in (False, True):  # scratch has the shape that joint pruning found
        todo = [
            (prune, seed)
            for prune in args.prune
            for seed in range(args.seeds)
            if (prune == "scratch") == anew
        ]
        found = parallel(
            delayed(fit_once)(
                split,
                row,
                settings,
                prune,
                seed,
                name,
                shape=fitted["joint", seed] if anew else None,
            )
            for prune, seed in todo
        )
        fitted |= zip(todo, found, strict=True)
    runs = {prune: [] for prune in args.prune}
    for seed in range(args.seeds):
        networks = [fitted[prune, seed] for prune in args.prune]
        found = latencies(networks, split.X_test, args.repeats)
        for of_one, network, ms in zip(runs.values(), networks, found, strict=True):
            of_one.append(network.run | ms)
    print_row(runs)
    if args.pictures and "joint" in args.prune and split.X_test.ndim == 4:
        supports = [fitted["joint", seed].support for seed in range(args.seeds)]
        save_picture(args.pictures / f"{name}.png", split.X_test, supports)


def print_settings(settings, what=""):
    """Print parameters of the estimator."""
    said = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    print(textwrap.fill(" ".join(f"{what}{said}".split()), 88), flush=True)


def setting(text):
    """Read NAME=VALUE; a value that is no Python literal is a string."""
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def parse_args():
    """Read the options; those not given are the budget's."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--data",
        default=os.environ.get("SKJOINTPRUNE_DATA", "."),
        help="folder of the data files (default: $SKJOINTPRUNE_DATA or '.')",
    )
    parser.add_argument("--budget", choices=BUDGETS, default="smoke")
    names = list(dict.fromkeys(n for budget in BUDGETS.values() for n in budget.rows))
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="ROW", help=", ".join(names)
    )
    parser.add_argument("--prune", nargs="+", choices=NETWORKS, help="which networks")
    parser.add_argument("--seeds", type=int)
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="networks that are trained at a time; seconds are then of shared cores",
    )
    parser.add_argument("--repeats", type=int, help="of a latency")
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="FOLDER",
        help="for ROW.png, which pixels joint pruning retained",
    )
    parser.add_argument("--train-rows", type=int, help="at most so many, stratified")
    parser.add_argument("--test-rows", type=int, help="at most so many")
    parser.add_argument(
        "--set",
        nargs="+",
        type=setting,
        default=[],
        metavar="NAME=VALUE",
        help="parameters of JointPruneClassifier that are not those of _rows.py",
    )
    args = parser.parse_args()
    budget = BUDGETS[args.budget]
    args.only = args.only or list(budget.rows)
    if not set(args.only) <= set(budget.rows):
        parser.error(f"the budget {args.budget!r} has the rows {[*budget.rows]}")
    for name in ("seeds", "repeats", "prune"):
        if getattr(args, name) is None:
            setattr(args, name, getattr(budget, name))
    if "scratch" in args.prune and "joint" not in args.prune:
        parser.error("--prune scratch needs joint, whose shape it has")
    return args


def main():
    """Print the table, row by row."""
    args = parse_args()
    print_header()
    print(f"budget: {args.budget}; networks trained at a time: {args.jobs}")
    for name in args.only:
        run_row(name, BUDGETS[args.budget].rows[name], args)


if __name__ == "__main__":
    main()
