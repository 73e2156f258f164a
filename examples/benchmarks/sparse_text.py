"""Text tables, stored sparse and stored dense: the same inputs, score and time?

BASEHOCK and RELATHE, words by documents; k inputs are kept, all else is at its
defaults. Each fit runs in a process of its own. Memory is the peak above what the
process held before it read the table; the table itself is read in the form that is
measured.

    OMP_NUM_THREADS=1 python sparse_text.py --data FOLDER
"""

import time

import numpy as np
from _common import make_parser, peak_memory_mb, print_header, print_table, run_in_child
from _data import add_data_option, load
from scipy.sparse import csr_matrix

from skjointprune import JointPruneClassifier

TABLES = "BASEHOCK", "RELATHE"


def fit(name, folder, k, seed, stored):
    """Return support, score, seconds and the bytes of the table."""
    split = load(name, folder)
    convert = csr_matrix if stored == "sparse" else np.asarray
    X, X_test = convert(split.X_train), convert(split.X_test)
    size = (
        X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
        if stored == "sparse"
        else X.nbytes
    )
    before = peak_memory_mb()
    start = time.process_time()
    clf = JointPruneClassifier(n_features_to_select=k, random_state=seed)
    clf.fit(X, split.y_train)
    seconds = time.process_time() - start
    score = clf.score(X_test, split.y_test)
    return (
        clf.get_support(indices=True),
        score,
        seconds,
        size,
        peak_memory_mb() - before,
    )


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
        found = {
            stored: [
                run_in_child(fit, name, args.data, args.k, seed, stored)
                for seed in range(args.seeds)
            ]
            for stored in ("sparse", "dense")
        }
        shared = [
            len(np.intersect1d(a[0], b[0])) / args.k
            for a, b in zip(found["sparse"], found["dense"], strict=True)
        ]
        for stored, runs in found.items():
            _, scores, seconds, sizes, peaks = zip(*runs, strict=True)
            rows.append(
                {
                    "table": name,
                    "stored": stored,
                    "score": f"{np.mean(scores):.4f} ± {np.std(scores):.4f}",
                    "seconds": f"{np.median(seconds):.1f}",
                    "MB of X": f"{np.mean(sizes) / 2**20:.1f}",
                    "peak MB more": f"{np.mean(peaks):.0f}",
                    "inputs shared": f"{np.mean(shared):.0%}",
                }
            )
    print_table(rows)


if __name__ == "__main__":
    main()
