"""Text tables, stored sparse and stored dense: the same inputs, score and time?

BASEHOCK and RELATHE, words by documents; k inputs are kept, all else is at its
defaults. Each fit runs in a process of its own, which is given the table in one of the
two forms. Memory is by how much the peak of the process grows in the fit, after a
fit to a small table: what torch imports for its first optimiser is not counted.

    OMP_NUM_THREADS=1 python sparse_text.py --data FOLDER
"""

import time

import numpy as np
from _common import (
    make_parser,
    mean_and_std,
    peak_memory_mb,
    print_header,
    print_table,
    run_in_child,
)
from _data import add_data_option, load
from scipy.sparse import csr_matrix, issparse

from skjointprune import JointPruneClassifier

TABLES = "BASEHOCK", "RELATHE"


def fit(X, y, X_test, y_test, k, seed):
    """Return support, score, seconds, and the growth of the process in MB."""
    few = np.random.default_rng(0).normal(size=(60, 4))
    JointPruneClassifier(n_features_to_select=2).fit(few, few[:, 0] > 0)
    before = peak_memory_mb()
    start = time.process_time()
    clf = JointPruneClassifier(n_features_to_select=k, random_state=seed).fit(X, y)
    seconds = time.process_time() - start
    more = peak_memory_mb() - before
    return clf.get_support(indices=True), clf.score(X_test, y_test), seconds, more


def megabytes(X):
    """Return the size of a table."""
    parts = (X.data, X.indices, X.indptr) if issparse(X) else (X,)
    return sum(part.nbytes for part in parts) / 2**20


def main():
    """Print both forms of each table."""
    parser = make_parser(__doc__)
    add_data_option(parser)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--k", type=int, default=50)
    args = parser.parse_args()
    print_header()
    rows = []
    for name in TABLES:
        split = load(name, args.data)
        found, sizes = {}, {}
        for stored, convert in (("sparse", csr_matrix), ("dense", np.asarray)):
            X, X_test = convert(split.X_train), convert(split.X_test)
            sizes[stored] = megabytes(X)
            found[stored] = [
                run_in_child(fit, X, split.y_train, X_test, split.y_test, args.k, seed)
                for seed in range(args.seeds)
            ]
        pairs = zip(found["sparse"], found["dense"], strict=True)
        shared = [len(np.intersect1d(a[0], b[0])) / args.k for a, b in pairs]
        for stored, runs in found.items():
            _, scores, seconds, more = zip(*runs, strict=True)
            rows.append(
                {
                    "table": name,
                    "stored": stored,
                    "score": mean_and_std(scores),
                    "seconds": f"{np.median(seconds):.1f}",
                    "MB of X": f"{sizes[stored]:.1f}",
                    "MB more in the fit": f"{np.median(more):.0f}",
                    "inputs shared": f"{np.mean(shared):.0%}",
                }
            )
    print_table(rows)


if __name__ == "__main__":
    main()
