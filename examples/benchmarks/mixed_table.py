"""Adult as it comes: categories and gaps, no encoder, no imputer.

Our classifiers are given the frame with its types. What they are compared with needs
an encoder: a random forest whose importances are summed over the one-hot columns of
each category. Each choice of k columns is judged by our dense network on the frame of
these columns. Rows are those of the two files, training and test.

It prints the test accuracy of our dense network on the frame, and on the same table
with one-hot columns and imputed gaps; and at k columns that of our final network, and
of the dense network on the forest's columns.

    OMP_NUM_THREADS=1 python mixed_table.py --data FOLDER
"""

import time
from pathlib import Path

import numpy as np
import pandas as pd
from _common import make_parser, mean_and_std, print_header, print_table
from _data import add_data_option
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skjointprune import JointPruneClassifier

NAMES = [
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "native_country",
]
KS = 5, 8


def read(path):
    """Return Adult as a frame, with gaps where the file has question marks."""
    frame = pd.read_csv(
        path,
        names=[*NAMES, "income"],
        skipinitialspace=True,
        na_values="?",
        comment="|",
    ).dropna(subset="income")
    y = frame.pop("income").str.rstrip(".") == ">50K"
    return frame.astype({"age": float}), y.to_numpy()


def encoder():
    """Return what makes numbers of all columns."""
    text = make_column_selector(dtype_exclude="number")
    return make_column_transformer(
        (
            make_pipeline(
                SimpleImputer(strategy="constant", fill_value="missing"),
                OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            ),
            text,
        ),
        remainder="passthrough",
        verbose_feature_names_out=True,
    )


def forest_choice(X, y, seed):
    """Return the columns, by falling sums of a forest's importances."""
    encode = encoder().fit(X)
    forest = RandomForestClassifier(random_state=seed).fit(encode.transform(X), y)
    made = encode.get_feature_names_out()
    found = {}
    for column in X.columns:
        mine = [f"__{column}_" in name or name.endswith(f"__{column}") for name in made]
        found[column] = forest.feature_importances_[np.array(mine)].sum()
    return sorted(found, key=found.get, reverse=True)


def fit(X, y, seed, **params):
    """Return a fitted classifier and its seconds."""
    start = time.process_time()
    clf = JointPruneClassifier(random_state=seed, **params).fit(X, y)
    return clf, time.process_time() - start


def main():
    """Print accuracies."""
    parser = make_parser(__doc__)
    add_data_option(parser)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, help="at most so many training rows")
    args = parser.parse_args()
    print_header()
    folder = Path(args.data)
    X, y = read(folder / "adult-train.csv")
    X_test, y_test = read(folder / "adult-test.csv")
    X, y = X[: args.rows], y[: args.rows]
    rows = []

    def add(what, k, scores, seconds, note=""):
        rows.append(
            {
                "what": what,
                "columns": k,
                "accuracy": mean_and_std(scores),
                "seconds": f"{np.mean(seconds):.0f}",
                "chosen": note,
            }
        )
        print(rows[-1], flush=True)

    def scores_of(columns_of, **params):
        scores, seconds, kept = [], [], ""
        for seed in range(args.seeds):
            columns = columns_of(seed)
            clf, spent = fit(X[columns], y, seed, **params)
            scores.append(clf.score(X_test[columns], y_test))
            seconds.append(spent)
            kept = ", ".join(clf.get_feature_names_out())
        return scores, seconds, kept

    everything = [*X.columns]
    *dense, _ = scores_of(lambda seed: everything, prune="none")
    add("dense network, the frame", len(everything), *dense)
    encode = encoder().fit(X)
    scores, seconds = [], []
    for seed in range(args.seeds):
        clf, spent = fit(encode.transform(X), y, seed, prune="none")
        scores.append(clf.score(encode.transform(X_test), y_test))
        seconds.append(spent)
    add("dense network, encoded", len(everything), scores, seconds)
    start = time.process_time()
    boosting = HistGradientBoostingClassifier(
        categorical_features="from_dtype", random_state=0
    )
    levels = X.select_dtypes(exclude="number").columns
    types = {c: pd.CategoricalDtype(X[c].dropna().unique()) for c in levels}
    boosting.fit(X.astype(types), y)
    score = boosting.score(X_test.astype(types), y_test)
    add("boosting", len(everything), [score], [time.process_time() - start])
    *auto, kept = scores_of(lambda seed: everything)
    add("final network, nothing said", "auto", *auto, kept)
    for k in KS:
        add(
            "final network",
            k,
            *scores_of(lambda seed: everything, n_features_to_select=k),
        )
        chosen = {s: forest_choice(X, y, s)[:k] for s in range(args.seeds)}
        add(
            "dense network, a forest's columns",
            k,
            *scores_of(chosen.get, prune="none"),
        )
    print_table(rows)


if __name__ == "__main__":
    main()
