"""Seconds of one small grid search on scikit-learn's digits, in 1 and in 2 processes.

Start-up of the processes is part of the time.

    python grid_jobs.py
"""

import time

from _common import make_parser, print_header, print_table
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skjointprune import InputFeatureSelector, JointPruneClassifier

GRID = {"select__alpha": [0.01, 0.03, 0.1], "clf__alpha": [0.03, 0.1]}


def main():
    """Time the same search at each number of processes."""
    parser = make_parser(__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="of each phase of a fit")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    print_header()

    clf = JointPruneClassifier(
        max_epochs=args.epochs, retrain_epochs=args.epochs, random_state=0
    )
    pipe = Pipeline([("select", InputFeatureSelector(clf)), ("clf", clf)])
    X, y = load_digits(return_X_y=True)
    rows = []
    for n_jobs in args.jobs:
        search = GridSearchCV(pipe, GRID, cv=3, n_jobs=n_jobs)
        start = time.perf_counter()
        search.fit(X, y)
        taken = time.perf_counter() - start
        first = rows[0]["seconds"] if rows else taken
        rows.append(
            {
                "n_jobs": n_jobs,
                "seconds": taken,
                "times as fast": first / taken,
                "best score": search.best_score_,
                **search.best_params_,
            }
        )
    for row in rows:
        for key in ("seconds", "times as fast", "best score"):
            row[key] = f"{row[key]:.3f}"
    print_table(rows)


if __name__ == "__main__":
    main()
