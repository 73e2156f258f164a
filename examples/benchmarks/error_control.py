"""How many of the inputs selected at a stated rate are false, and how many are found.

The tables are those of `skjointprune.datasets.make_planted`, planted in inputs that
hang together in five ways:

- independent: standard normal;
- ar_0.5, ar_0.8: neighbours have this correlation, and others its powers;
- block: blocks of ten inputs, with correlations of 0.5 within;
- heavy: independent, of Student's distribution with 3 degrees of freedom.

For "friedman1", whose inputs are uniform, they are mapped to [0, 1) by their ranks. The
kind "permuted" is friedman1 with y in another order, so that all inputs are false.

The methods are:

- network: knockoffs with a small network, as `InputFeatureSelector(fdr=…)` has it;
- lasso, forest: `knockoff_selection` with `LassoCV` (of classes as 0 and 1), or with a
  random forest, in place of the network;
- p_values: `p_values` of the same small network, which keeps 20 inputs, by Benjamini
  and Hochberg's method;
- knockpy: lasso knockoffs of that package, one knockoff of each input;
- ipss: the q-values of that package, by gradient boosting;
- cfi: `CFICV` of hidimstat, around a random forest.

The last three run if their packages are installed. All of ours draw by ranks, unless
--knockoffs says otherwise. For each cell the table has the mean share of false inputs
among those selected, its standard error over draws, and the mean share of true inputs
that are selected ("power"), at rates of 0.1 and 0.2.

Runs go through all cells before the next draw, are kept in a file, and are not
repeated; --minutes ends them in time.

    python error_control.py --results error_control.jsonl --minutes 25
    python error_control.py --results error_control.jsonl --print
    python error_control.py --quick
"""

import importlib.util
import json
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from _common import make_parser, print_header
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LassoCV
from tabulate import tabulate

from skjointprune import (
    JointPruneClassifier,
    JointPruneRegressor,
    knockoff_selection,
    p_values,
)
from skjointprune.datasets import make_planted

RATES = (0.1, 0.2)
KINDS = ("xor", "ring", "products", "friedman1", "sine", "linear", "permuted")
DESIGNS = ("independent", "ar_0.5", "ar_0.8", "block", "heavy")
# As `InputFeatureSelector` has it; the benchmark says how many repeats.
NETWORK = {
    "hidden_layer_sizes": (64,),
    "prune": "inputs",
    "input_noise": 0.5,
    "max_epochs": 100,
    "retrain_epochs": 20,
    "validation_fraction": 0.2,
}


def draw_inputs(design, n_rows, n_inputs, rng):
    """Return inputs of a design, (rows, inputs), of variance 1."""
    Z = rng.normal(size=(n_rows, n_inputs))
    if design.startswith("ar_"):
        rho = float(design.removeprefix("ar_"))
        for j in range(1, n_inputs):
            Z[:, j] = rho * Z[:, j - 1] + np.sqrt(1 - rho**2) * Z[:, j]
    elif design == "block":
        shared = rng.normal(size=(n_rows, -(-n_inputs // 10)))
        Z = np.sqrt(0.5) * (Z + np.repeat(shared, 10, axis=1)[:, :n_inputs])
    elif design == "heavy":
        Z = rng.standard_t(3, size=Z.shape) / np.sqrt(3)
    return Z


def draw_table(kind, design, n_rows, n_inputs, seed):
    """Return inputs, targets, the mask of true inputs, and whether y holds numbers."""
    rng = np.random.default_rng([seed, KINDS.index(kind), DESIGNS.index(design)])
    X = draw_inputs(design, n_rows, n_inputs, rng)
    rule = "friedman1" if kind == "permuted" else kind
    if rule == "friedman1":
        X = (rankdata(X, axis=0) - 0.5) / n_rows
    table = make_planted(rule, X=X, random_state=int(rng.integers(2**31)))
    y, true = table.target, table.support
    if kind == "permuted":
        y, true = rng.permutation(y), np.zeros_like(true)
    return table.data, y, true, table.task == "regression"


# A method is given inputs, targets, whether these are numbers, a seed and the options,
# and returns the mask of what it selects at each of the RATES.


def network(regression, seed, n_kept):
    """Make the small network."""
    kind = JointPruneRegressor if regression else JointPruneClassifier
    return kind(**NETWORK, n_features_to_select=n_kept, random_state=seed)


def by_knockoffs(estimator, X, y, seed, args):
    """Select by knockoffs, by an estimator."""
    selection = knockoff_selection(
        estimator,
        X,
        y,
        fdr=RATES[0],
        knockoffs=args.knockoffs,
        n_repeats=args.repeats,
        random_state=seed,
    )
    return [replace(selection, fdr=rate).support_ for rate in RATES]


def select_network(X, y, regression, seed, args):
    """Select by knockoffs and the small network."""
    n_kept = max(20, round(X.shape[1] / 3))
    return by_knockoffs(network(regression, seed, n_kept), X, y, seed, args)


def select_lasso(X, y, regression, seed, args):
    """Select by knockoffs and a lasso."""
    return by_knockoffs(LassoCV(alphas=30, cv=3), X, y.astype(float), seed, args)


def select_forest(X, y, regression, seed, args):
    """Select by knockoffs and a random forest."""
    forest = RandomForestRegressor if regression else RandomForestClassifier
    estimator = forest(100, max_features="sqrt", min_samples_leaf=5)
    return by_knockoffs(estimator, X, y, seed, args)


def select_p_values(X, y, regression, seed, args):
    """Select by p-values of the small network."""
    n_kept = min(20, X.shape[1])
    found = p_values(
        network(regression, seed, n_kept),
        X,
        y,
        conditional=args.knockoffs,
        random_state=seed,
    )
    return [found.fdr_selection(rate) for rate in RATES]


def select_knockpy(X, y, regression, seed, args):
    """Select by knockpy's lasso knockoffs."""
    from knockpy.knockoff_filter import KnockoffFilter

    np.random.seed(seed)  # noqa: NPY002
    filters = KnockoffFilter(ksampler="gaussian", fstat="lasso")
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    return [
        filters.forward(X=scaled, y=y.astype(float), fdr=rate).astype(bool)
        for rate in RATES
    ]


def select_ipss(X, y, regression, seed, args):
    """Select by ipss's q-values."""
    from ipss import ipss

    np.random.seed(seed)  # noqa: NPY002
    q_values = ipss(X, y, selector="gb", n_jobs=1)["q_values"]
    q_values = np.array([q_values[j] for j in range(X.shape[1])])
    return [q_values <= rate for rate in RATES]


def select_cfi(X, y, regression, seed, args):
    """Select by hidimstat's conditional feature importance of a forest."""
    from hidimstat import CFICV
    from sklearn.metrics import log_loss, mean_squared_error
    from sklearn.model_selection import KFold

    forest = RandomForestRegressor if regression else RandomForestClassifier
    cfi = CFICV(
        estimators=forest(100, min_samples_leaf=5, random_state=seed),
        cv=KFold(5, shuffle=True, random_state=seed),
        method="predict" if regression else "predict_proba",
        loss=mean_squared_error if regression else log_loss,
        n_permutations=20,
        random_state=seed,
    )
    cfi.fit_importance(X, y)
    return [cfi.fdr_selection(rate).astype(bool) for rate in RATES]


METHODS = {
    "network": select_network,
    "lasso": select_lasso,
    "forest": select_forest,
    "p_values": select_p_values,
    "knockpy": select_knockpy,
    "ipss": select_ipss,
    "cfi": select_cfi,
}
PACKAGES = {"knockpy": "knockpy", "ipss": "ipss", "cfi": "hidimstat"}


def those_installed(methods):
    """Return the methods whose packages are there, and say which are left out."""
    found = []
    for method in methods:
        if importlib.util.find_spec(PACKAGES.get(method, "skjointprune")):
            found.append(method)
        else:
            print(f"{PACKAGES[method]} is not installed: left out.")
    return found


def measure(cell, args):
    """Return what one method selects in one table."""
    method, kind, design, n_rows, n_inputs, seed = cell
    X, y, true, regression = draw_table(kind, design, n_rows, n_inputs, seed)
    start = time.perf_counter()
    with warnings.catch_warnings(action="ignore"):  # of a lasso that did not converge
        supports = METHODS[method](X, y, regression, seed, args)
    run = dict(zip(CELL, cell, strict=True))
    for rate, support in zip(RATES, supports, strict=True):
        run[f"found_{rate}"] = int((support & true).sum())
        run[f"false_{rate}"] = int((support & ~true).sum())
    return run | {"true": int(true.sum()), "seconds": time.perf_counter() - start}


CELL = ("method", "kind", "design", "rows", "inputs", "draw")


def read(path):
    """Return the runs of a file that are whole."""
    runs = []
    for line in Path(path).read_text().splitlines() if Path(path).exists() else []:
        try:
            runs.append(json.loads(line))
        except json.JSONDecodeError:
            continue  # of a run that was stopped while it wrote
    return runs


def print_runs(runs, by):
    """Print rates and power over the draws of each group of runs."""
    groups = {}
    for run in runs:
        groups.setdefault(tuple(run[name] for name in by), []).append(run)
    rows = []
    for key, members in groups.items():
        row = dict(zip(by, key, strict=True)) | {"draws": len(members)}
        for rate in RATES:
            false = np.array([run[f"false_{rate}"] for run in members])
            found = np.array([run[f"found_{rate}"] for run in members])
            shares = false / np.maximum(false + found, 1)
            row[f"FDR at {rate}"] = f"{shares.mean():.2f}"
            if len(shares) > 1:
                error = shares.std(ddof=1) / np.sqrt(len(shares))
                row[f"FDR at {rate}"] += f" ± {error:.2f}"
            true = np.array([run["true"] for run in members])
            if true.any():
                row[f"power at {rate}"] = f"{(found / true).mean():.2f}"
            else:
                row[f"power at {rate}"] = ""
        row["seconds"] = f"{np.median([run['seconds'] for run in members]):.1f}"
        rows.append(row)
    print(tabulate(rows, "keys", "github", disable_numparse=True), flush=True)


def parse_args():
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--designs", nargs="+", choices=DESIGNS, default=DESIGNS)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000])
    parser.add_argument("--inputs", type=int, nargs="+", default=[100])
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=10, help="of knockoffs")
    parser.add_argument(
        "--knockoffs", choices=["gaussian", "ranks"], default="ranks", help="of ours"
    )
    parser.add_argument("--minutes", type=float, default=np.inf)
    parser.add_argument("--results", default="error_control.jsonl")
    parser.add_argument("--print", action="store_true", help="what is there, no run")
    parser.add_argument("--quick", action="store_true", help="small tables, few epochs")
    args = parser.parse_args()
    if args.quick:
        args.rows, args.inputs, args.draws, args.repeats = [100], [12], 1, 2
        args.kinds, args.designs = ("linear", "permuted"), ("ar_0.5", "heavy")
        args.methods = ["network", "lasso", "p_values"]
        NETWORK.update(max_epochs=5, retrain_epochs=2)
    return args


def main():
    """Run what is not in the file yet, and print the table."""
    args = parse_args()
    runs, start = read(args.results), time.monotonic()
    if not args.print:
        print_header()
        print(f"{args.repeats} repeats, {args.knockoffs}; {NETWORK}")
        done = {tuple(run[name] for name in CELL) for run in runs}
        for cell in cells(args, those_installed(args.methods)):
            if cell in done:
                continue
            if time.monotonic() - start > 60 * args.minutes:
                break
            runs.append(measure(cell, args))
            with Path(args.results).open("a") as file:
                file.write(json.dumps(runs[-1]) + "\n")
    runs.sort(key=order)
    print("\n## Each cell")
    print_runs(runs, ("method", "kind", "design", "rows", "inputs"))
    print("\n## Each kind, over designs")
    print_runs(runs, ("method", "kind", "rows", "inputs"))
    print("\n## Each design, over kinds")
    planted = [run for run in runs if run["kind"] != "permuted"]
    print_runs(planted, ("method", "design", "rows", "inputs"))
    print("\n## All kinds and designs")
    print_runs(planted, ("method", "rows", "inputs"))


def cells(args, methods):
    """Yield what there is to run, draw by draw."""
    for draw in range(args.draws):
        for n_rows in args.rows:
            for n_inputs in args.inputs:
                for kind in args.kinds:
                    for design in args.designs:
                        for method in methods:
                            yield method, kind, design, n_rows, n_inputs, draw


def order(run):
    """Sort runs as the options are."""
    return (
        run["rows"],
        run["inputs"],
        list(METHODS).index(run["method"]),
        KINDS.index(run["kind"]),
        DESIGNS.index(run["design"]),
    )


if __name__ == "__main__":
    main()
