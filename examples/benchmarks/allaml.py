"""ALLAML, 72 rows of 7,129 inputs: test accuracy with 25, in nested cross-validation.

The outer loop is 5 folds, in a new order for each seed. Everything is chosen within
the training rows of a fold: the inputs, by each method; and our `input_noise`, by an
inner loop of 3 folds. Every choice of inputs is followed by the same dense network.

    python allaml.py --data FOLDER
"""

import sys

import numpy as np
from _choosers import CHOOSERS
from _common import make_parser, mean_and_std, print_header, print_table
from _data import Split, add_data_option, load
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from skjointprune import JointPruneClassifier

# A step reads 16 of 58 rows, so that 4,000 steps a phase would be 1,000 epochs.
NETWORK = {"max_epochs": 300, "retrain_epochs": 300, "validation_fraction": None}
NOISES = (0.0, 1.0, 2.0)


def ours(split, k, seed):
    """Choose the noise in an inner loop; return the test accuracy of the refit."""
    clf = JointPruneClassifier(
        **NETWORK, prune="inputs", n_features_to_select=k, random_state=seed
    )
    inner = StratifiedKFold(3, shuffle=True, random_state=seed)
    search = GridSearchCV(clf, {"input_noise": NOISES}, cv=inner)
    search.fit(split.X_train, split.y_train)
    return search.score(split.X_test, split.y_test), search.best_params_


def other(method, split, k, seed):
    """Return the test accuracy of a dense network on the inputs of a method."""
    ((columns, *_),) = CHOOSERS[method](split, [k], seed)
    clf = JointPruneClassifier(**NETWORK, prune="none", random_state=seed)
    clf.fit(split.X_train[:, columns], split.y_train)
    return clf.score(split.X_test[:, columns], split.y_test), {}


def main():
    """Print a row for each method."""
    parser = make_parser(__doc__)
    add_data_option(parser)
    methods = ["ours", "lassonet", "l1", "forest", "univariate", "random"]
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--k", type=int, default=25)
    args = parser.parse_args()
    print_header()
    whole = load("allaml", args.data)
    X = np.concatenate([whole.X_train, whole.X_test])
    y = np.concatenate([whole.y_train, whole.y_test])
    rows = []
    for method in args.methods:
        accuracies = []
        for seed in range(args.seeds):
            outer = StratifiedKFold(5, shuffle=True, random_state=seed)
            right = 0
            for train, test in outer.split(X, y):
                split = Split(X[train], y[train], X[test], y[test])
                if method == "ours":
                    accuracy, chosen = ours(split, args.k, seed)
                else:
                    accuracy, chosen = other(method, split, args.k, seed)
                right += accuracy * len(test)
                print(method, seed, accuracy, chosen, file=sys.stderr, flush=True)
            accuracies.append(right / len(y))
        rows.append({"method": method, "accuracy": mean_and_std(accuracies)})
        print_table(rows[-1:])
    print_table(rows)


if __name__ == "__main__":
    main()
