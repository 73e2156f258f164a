"""Which genes are found at a stated rate, in tables of expression.

Which of them are true is not known, so the lists stand beside each other: of knockoffs
with a small network, of lasso knockoffs (`knockoff_selection` with `LassoCV`, and
knockpy's), and of ipss. The methods, and their packages, are those of
`error_control.py`. Tables have two classes, and tens of rows by thousands of genes. All
methods see the same ones: those of the largest variance of their logarithms or scores,
as the file has them, which y has no part in.

    python expression.py --data FOLDER
    python expression.py --quick
"""

import importlib.util
import time
import warnings

import numpy as np
from _common import make_parser, print_header
from _data import add_data_option, load
from error_control import METHODS, NETWORK, PACKAGES, RATES
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


def list_genes(name, X, y, genes, args):
    """Return a row of the table for each method."""
    rows = []
    for method in args.methods:
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
    for method in [*args.methods]:
        if not importlib.util.find_spec(PACKAGES.get(method, "skjointprune")):
            print(f"{PACKAGES[method]} is not installed: left out.")
            args.methods.remove(method)
    rows = []
    for name in args.only:
        X, y = all_rows(name, args.data)
        rows += list_genes(name, X, y, most_varied(X, args.genes), args)
    print(tabulate(rows, "keys", "github", disable_numparse=True), flush=True)


if __name__ == "__main__":
    main()
