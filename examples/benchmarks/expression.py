"""Which genes are found at a stated rate, in tables of expression.

Which genes are true is not known, so four lists stand side by side: of knockoffs with a
small network, of lasso knockoffs (`knockoff_selection` with `LassoCV`, and those of
knockpy), and of ipss. The methods and their packages are those of `error_control.py`.

The tables have two classes, and tens of rows by thousands of genes. All methods see the
same genes: those of most variance in the file. y has no part in that choice.

    python expression.py --data FOLDER
    python expression.py --quick
"""

import time
import warnings

import numpy as np
from _common import make_parser, print_header
from _data import add_data_option, load
from error_control import METHODS, NETWORK, RATES, those_installed
from tabulate import tabulate

TABLES = ("colon", "leukemia", "allaml")
LISTED = ("network", "lasso", "knockpy", "ipss")


def all_rows(table, folder):
    """Return all rows of a table, and labels coded from 0."""
    split = load(table, folder)
    X = np.vstack([split.X_train, split.X_test]).astype(float)
    return X, np.concatenate([split.y_train, split.y_test])


def most_varied(X, n_genes):
    """Return the positions of the columns of most variance, in their order."""
    return np.sort(np.argsort(-X.var(axis=0), kind="stable")[:n_genes])


def list_genes(name, X, y, genes, methods, args):
    """Return a row of the table for each method."""
    rows = []
    for method in methods:
        start = time.perf_counter()
        with warnings.catch_warnings(action="ignore"):  # of a lasso's convergence
            supports = METHODS[method](X[:, genes], y, False, args.seed, args)
        row = {"table": name, "rows": len(y), "genes": len(genes), "method": method}
        for rate, support in zip(RATES, supports, strict=True):
            found = ", ".join(map(str, genes[support]))
            row[f"columns found at {rate}"] = found or "none"
        rows.append(row | {"seconds": f"{time.perf_counter() - start:.0f}"})
    return rows


def parse_args():
    """Read the command line."""
    parser = make_parser(__doc__)
    add_data_option(parser)
    parser.add_argument("--only", nargs="+", default=list(TABLES), help="tables")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(LISTED))
    parser.add_argument("--genes", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=10, help="of knockoffs")
    parser.add_argument(
        "--knockoffs", choices=["gaussian", "ranks"], default="ranks", help="of ours"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="few genes and epochs")
    args = parser.parse_args()
    if args.quick:
        args.only, args.methods = ["breast_cancer"], ["network", "lasso"]
        args.genes, args.repeats = 8, 2
        NETWORK.update(max_epochs=5, retrain_epochs=2)
    return args


def main():
    """Print the genes that each method finds."""
    args = parse_args()
    print_header()
    print(f"{args.repeats} repeats, {args.knockoffs}; {NETWORK}\n")
    methods = those_installed(args.methods)
    rows = []
    for name in args.only:
        X, y = all_rows(name, args.data)
        rows += list_genes(name, X, y, most_varied(X, args.genes), methods, args)
    print(tabulate(rows, "keys", "github", disable_numparse=True), flush=True)


if __name__ == "__main__":
    main()
