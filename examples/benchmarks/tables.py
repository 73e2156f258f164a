"""Many tables, a few inputs of each: ours beside other ways to choose them.

Each way of choosing is at its defaults. "ours" is the final network of
`JointPruneClassifier(n_features_to_select=k)`, or of the regressor. All others choose
columns, on which our dense network, `prune="none"`, is then trained:

- forest: the largest impurity importances of a random forest;
- permutation: the largest permutation importances of histogram boosting, on a held-out
  quarter of the training rows, at most 1,000;
- l1: the largest coefficients of a lasso, or of an L1 logistic regression;
- univariate: the largest F statistics;
- mutual_info: the largest estimates of mutual information;
- mrmr: the package mrmr-selection, if it is installed;
- lassonet: its default path, if it is installed.

The last two have a limit of time; l1 and mutual_info see at most 5,000 rows. With all
inputs there are random_forest, boosting, sklearn_mlp (inputs, and numeric targets,
standardised) and dense, our dense network. Whatever is scaled is scaled by training
rows.

k is a quarter and a half of the inputs where there are up to 26, else 10, 25 and 50. A
fifth of the rows is held out, stratified by class, or the test part that comes with a
table; runs differ in their seed. Tables of under 500 rows have twice five folds
instead. With --extra each table is there once more with as many columns again: a third
is noise, a third columns with as much noise again, a third products of two columns
(Cherepanova et al., "A performance-driven benchmark for feature selection in tabular
deep learning", 2023). k does not count them.

It prints, for tables as they are and with extra columns: for each k accuracy or R2,
mean ± standard deviation over runs; for regression, classification and tables of few
rows the share of cells (a table at a k) where ours is at least equal within .005 to the
best other choice, and average ranks (equal scores share a rank, what was over the limit
is last; only cells where all methods have ended count); our dense network against
boosting; seconds of choosing and fitting.

Each finished run is a line of the file --results. What is there is not run again, so
that a run that was stopped goes on where it was, and several processes can share the
file if their tables differ. What was over the limit is there, too: take out its line to
try it again. Runs with other --rows or --epochs neither count nor show. --print prints
what is there so far.

    python tables.py --data FOLDER --results FILE
    python tables.py --data FOLDER --results FILE --only housing wine --extra
    python tables.py --results FILE --print
    python tables.py --quick
"""

import importlib.util
import json
import sys
import time
import traceback
from pathlib import Path

from _common import make_parser, print_header, run_in_child
from _data import BUNDLED, TABLES, add_data_option, find
from _ranks import print_all
from _tables import (
    ALL,
    CHOOSING,
    FOLDED_ROWS,
    LIMITED,
    MODELS,
    N_FOLDS,
    Job,
    fit_dense,
    fit_model,
    fit_ours,
    levels_of,
    rank_inputs,
    split_of,
    table_size,
)

QUICK = {
    "only": list(BUNDLED),
    "methods": ["ours", "forest", "univariate", *MODELS],
    "rows": 80,
    "epochs": 3,
    "seeds": 1,
    "folds": 2,
    "extra": True,
}


class Results:
    """Finished runs of one setting, in memory and in a file of JSON lines."""

    def __init__(self, path, **setting):
        self.path, self.setting, self.runs = path, setting, []
        if path and path.is_file():
            self.runs = [run for run in map(_parse, path.open()) if self._matches(run)]
        self._done = {self._key(run) for run in self.runs}

    def _matches(self, run):
        return run is not None and self.setting.items() <= run.items()

    @staticmethod
    def _key(run):
        return tuple(run[name] for name in ("table", "extra", "run", "method", "level"))

    def __contains__(self, run):
        return self._key(run) in self._done

    def over_limit(self, job, method):
        """Whether an earlier run was over the limit: the others would be, too."""
        return any(
            (run["table"], run["extra"], run["method"])
            == (job.table, job.extra, method)
            for run in self.runs
            if run["score"] is None
        )

    def add(self, run):
        """Keep a run; its line is written at once, as others may write as well."""
        run |= self.setting
        self.runs.append(run)
        self._done.add(self._key(run))
        if self.path:
            with self.path.open("a") as file:
                file.write(json.dumps(run) + "\n")


def _parse(line):
    """Read a line; None if it was cut off when its process was ended."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def run_table(args, results, table, extra):
    """Do all runs of one table that are not in the results."""
    n_rows, n_inputs = table_size(table, args.data)
    n_runs = args.folds if n_rows < FOLDED_ROWS else args.seeds
    about = {"table_rows": n_rows, "table_inputs": n_inputs}
    for seed in range(n_runs):
        job = Job(table, args.data, extra, seed, args.rows)
        split = None
        for method in args.methods:
            levels = {ALL: n_inputs * (1 + extra)}
            if method not in MODELS:
                levels = levels_of(n_inputs)
            runs = [
                {"table": table, "extra": extra, "run": seed, "method": method}
                | {"level": level, "k": k}
                for level, k in levels.items()
                if args.k is None or k in args.k or level == ALL
            ]
            runs = [run for run in runs if run not in results]
            if not runs or results.over_limit(job, method):
                continue
            print(f"{table} {'+ extra ' * extra}{seed}: {method}", file=sys.stderr)
            split = split or split_of(job)
            about["regression"] = split.regression
            try:
                for run in finish(args, job, split, method, runs):
                    results.add(run | about)
            except Exception:
                # one failure must not end a night of runs; it is tried again next time
                traceback.print_exc()


def finish(args, job, split, method, runs):
    """Yield the runs of one method with their scores."""
    epochs = {}
    if args.epochs is not None:
        epochs = {"max_epochs": args.epochs, "retrain_epochs": args.epochs}
    for run, choice in zip(runs, choices(args, job, method, runs), strict=True):
        if choice is None:
            yield run | {"score": None, "seconds": None}
            continue
        start = time.perf_counter()
        columns, choosing = choice
        if method in MODELS:
            score = fit_model(method, split, job.run, epochs)
        elif method == "ours":
            columns, score = fit_ours(split, run["k"], job.run, epochs)
        else:
            score = fit_dense(split, columns, job.run, epochs)
        yield run | {
            "score": float(score),
            "seconds": round(choosing + time.perf_counter() - start, 3),
            "choosing": round(choosing, 3),
            "columns": [int(column) for column in columns],
        }


def choices(args, job, method, runs):
    """Return columns and seconds of each run; None for what was over the limit."""
    if method in MODELS or method == "ours":
        return [([], 0.0)] * len(runs)
    ks = [run["k"] for run in runs]
    if method not in LIMITED:
        return rank_inputs(method, job, ks, job.run)
    try:
        return run_in_child(rank_inputs, method, job, ks, job.run, budget=args.limit)
    except TimeoutError:
        print(f"{job.table}: {method} is over {args.limit:g} s", flush=True)
        return [None] * len(runs)


def parse_args():
    """Read the command line."""
    parser = make_parser(__doc__)
    add_data_option(parser)
    methods = [*CHOOSING, *MODELS]
    parser.add_argument("--results", type=Path, help="file of JSON lines to go on with")
    parser.add_argument("--print", action="store_true", help="run nothing, only print")
    parser.add_argument("--quick", action="store_true", help="two tables, few epochs")
    parser.add_argument("--only", nargs="+", choices=[*TABLES, *BUNDLED])
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    parser.add_argument("--extra", action="store_true", help="with extra columns, too")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=N_FOLDS, help="of small tables")
    parser.add_argument("--k", type=int, nargs="+", help="out of those of a table")
    parser.add_argument("--rows", type=int, help="at most so many training rows")
    parser.add_argument("--epochs", type=int, help="max_epochs and retrain_epochs")
    parser.add_argument(
        "--limit", type=float, default=1800, help="seconds for one mrmr or lassonet"
    )
    args = parser.parse_args()
    if args.quick:
        vars(args).update(QUICK)
    if not 1 <= args.folds <= N_FOLDS:
        parser.error(f"--folds must be 1 to {N_FOLDS}. Got {args.folds}.")
    if args.print and not (args.results and args.results.is_file()):
        parser.error("--print needs results. Name a file that is there with --results.")
    for table in () if args.print else set(args.only or ()) - set(BUNDLED):
        try:
            find(table, args.data)
        except FileNotFoundError as error:
            parser.error(str(error))
    return args


def tables_there(args):
    """Return the tables to run: those of --only, or all that the folder has."""
    if args.only:
        return args.only
    there = []
    for table in TABLES:
        try:
            find(table, args.data)
            there.append(table)
        except FileNotFoundError as error:
            print(f"{error} Left out.")
    return there


def main():
    """Run what is missing, then print."""
    args = parse_args()
    results = Results(args.results, rows=args.rows, epochs=args.epochs)
    if not args.print:
        for method, package in LIMITED.items():
            if method in args.methods and not importlib.util.find_spec(package):
                print(f"The package of {method} is not installed: left out.")
                args.methods.remove(method)
        print_header()
        for table in tables_there(args):
            for extra in (False, True)[: 1 + args.extra]:
                run_table(args, results, table, extra)
    print_all(
        [
            run
            for run in results.runs
            if run["method"] in args.methods
            and (args.only is None or run["table"] in args.only)
            and (args.extra or not run["extra"] or args.print)
        ]
    )


if __name__ == "__main__":
    main()
