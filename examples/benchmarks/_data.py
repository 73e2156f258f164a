"""Readers of the benchmark data; nothing is scaled here, so nothing can leak.

A folder holds the files that `DATASETS` and `TABLES` name. Its path is the option
``--data`` of each benchmark, or the environment variable ``SKJOINTPRUNE_DATA``.
`BUNDLED` are tables of scikit-learn, which need no folder.
"""

import csv
import gzip
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.io import loadmat
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import StratifiedGroupKFold, train_test_split
from sklearn.preprocessing import OneHotEncoder

from skjointprune import JointPruneClassifier, JointPruneRegressor


class Split(NamedTuple):
    """Train and test parts: float32 inputs; labels coded from 0, or float targets."""

    X_train: np.ndarray  # (n_train, n_features)
    y_train: np.ndarray
    X_test: np.ndarray  # (n_test, n_features)
    y_test: np.ndarray
    groups_train: np.ndarray | None = None  # rows that must not be split

    @property
    def n_features(self):
        """Number of inputs."""
        return self.X_train.shape[1]

    @property
    def regression(self):
        """Whether the targets are numbers."""
        return self.y_train.dtype.kind == "f"

    @property
    def estimator(self):
        """Our estimator for the kind of targets."""
        return JointPruneRegressor if self.regression else JointPruneClassifier


def add_data_option(parser):
    """Give a benchmark the option ``--data``."""
    parser.add_argument(
        "--data",
        default=os.environ.get("SKJOINTPRUNE_DATA", "."),
        help="folder of the data files (default: $SKJOINTPRUNE_DATA or '.')",
    )


def load(name, folder, rows=None):
    """Load one data set, with at most `rows` training rows, stratified."""
    if name in BUNDLED:
        split = _stratified(*BUNDLED[name](return_X_y=True))
    else:
        path = find(name, folder)
        split = (DATASETS | TABLES)[name][1](path)
    return split if rows is None else first_rows(split, rows)


def find(name, folder):
    """Return the path of a data set's file, or say which file is missing."""
    known = DATASETS | TABLES
    if name not in known:
        raise ValueError(f"No data set is named {name!r}. Take one of {[*known]}.")
    file = known[name][0]
    path = Path(folder) / file
    if not path.is_file():
        raise FileNotFoundError(
            f"The data set {name!r} needs the file {file!r}, which is not in the "
            f"folder {str(folder)!r}. Pass the folder that holds it with --data, or "
            "set SKJOINTPRUNE_DATA."
        )
    return path


def first_rows(split, rows, seed=0):
    """Keep at most `rows` training rows, in the classes' proportions."""
    if rows >= len(split.y_train):
        return split
    # a class of one row cannot be stratified
    stratify = not split.regression and np.bincount(split.y_train).min() > 1
    kept, _ = train_test_split(
        np.arange(len(split.y_train)),
        train_size=rows,
        stratify=split.y_train if stratify else None,
        random_state=seed,
    )
    groups = None if split.groups_train is None else split.groups_train[kept]
    return split._replace(
        X_train=split.X_train[kept], y_train=split.y_train[kept], groups_train=groups
    )


def _flat(X):
    return X.reshape(len(X), -1).astype(np.float32)


def _load_given_split(path):
    with np.load(path) as part:
        return Split(
            _flat(part["x_train"]),
            part["y_train"].astype(np.int64),
            _flat(part["x_test"]),
            part["y_test"].astype(np.int64),
        )


def _load_isolet(path):
    split = _load_given_split(path)
    # rows are in the order of the speakers, 52 each; the test part has other speakers
    return split._replace(groups_train=np.arange(len(split.y_train)) // 52)


def _load_coil20(path):
    with np.load(path) as whole:
        return _stratified(_flat(whole["x"]), whole["y"].astype(np.int64))


def _load_mice(path):
    X, y, _ = _read_mice(path)
    return _impute(_stratified(X, y))


def _load_mice_grouped(path):
    X, y, mouse = _read_mice(path)
    folds = StratifiedGroupKFold(n_splits=5, shuffle=True, random_state=0)
    train, test = next(folds.split(X, y, mouse))
    return _impute(Split(X[train], y[train], X[test], y[test], mouse[train]))


def _read_mice(path):
    """Read inputs (NaN where missing), labels, and the mouse of each row."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    # Genotype, Treatment and Behavior together spell the class: not inputs
    names = [name for name in rows[0] if name.endswith("_N")]
    X = np.array([[row[name] or "nan" for name in names] for row in rows], np.float32)
    y = np.unique([row["class"] for row in rows], return_inverse=True)[1]
    mouse = np.array([row["MouseID"].rpartition("_")[0] for row in rows])
    return X, y, mouse


def _load_mat(path):
    whole = loadmat(path)
    y = np.unique(whole["Y"].ravel(), return_inverse=True)[1]
    return _stratified(whole["X"].astype(np.float32), y)


def _load_regression(path):
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",")
    return _stratified(table[:, :-1].astype(np.float32), table[:, -1])


def _load_adult(path):
    """Read Adult, with a column for each level of each category."""
    parts = [_read_rows(p) for p in (path, path.with_name("adult-test.csv"))]
    y_train, y_test = (
        np.array([int(row[-1].startswith(">50K")) for row in rows]) for rows in parts
    )
    tables = [np.array([row[:-1] for row in rows], dtype=object) for rows in parts]
    numbers = [0, 2, 4, 10, 11, 12]
    categories = [i for i in range(tables[0].shape[1]) if i not in numbers]
    encoder = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
    encoder.fit(tables[0][:, categories])
    X_train, X_test = (
        np.hstack(
            [t[:, numbers].astype(np.float32), encoder.transform(t[:, categories])]
        ).astype(np.float32)
        for t in tables
    )
    return Split(X_train, y_train, X_test, y_test)


def _read_rows(path):
    with path.open(newline="") as file:
        return [row for row in csv.reader(file, skipinitialspace=True) if row]


def _stratified(X, y):
    """Hold out a fifth, in the classes' proportions if there are classes."""
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.2, stratify=y if y.dtype.kind == "i" else None, random_state=0
    )
    return Split(X_train, y_train, X_test, y_test)


def _impute(split):
    """Fill missing values with the medians of the training part."""
    median = np.nanmedian(split.X_train, axis=0)
    X_train, X_test = (
        np.where(np.isnan(X), median, X) for X in (split.X_train, split.X_test)
    )
    return split._replace(X_train=X_train, X_test=X_test)


# name: file and reader. ISOLET's test part is isolet5: the conventional split, other
# speakers. "mice_grouped" has no mouse in both parts, "mice" splits by row.
DATASETS = {
    "mnist": ("mnist.npz", _load_given_split),
    "isolet": ("isolet.npz", _load_isolet),
    "coil20": ("coil20.npz", _load_coil20),
    "mice": ("mice_protein.csv", _load_mice),
    "mice_grouped": ("mice_protein.csv", _load_mice_grouped),
    "madelon": ("madelon.mat", _load_mat),
    "allaml": ("ALLAML.mat", _load_mat),
    "adult": ("adult-train.csv", _load_adult),
    "pumadyn32nm": ("pumadyn32nm.csv.gz", _load_regression),
    "bike": ("bike.csv.gz", _load_regression),
}

# The further tables of `tables.py`, beside most of `DATASETS`.
_REGRESSIONS = [
    "airfoil",
    "autompg",
    "concrete",
    "energy",
    "gas",
    "housing",
    "kin40k",
    "protein",
    "skillcraft",
    "sml",
    "stock",
    "wine",
]
_CLASSES = [
    "BASEHOCK",  # words
    "RELATHE",
    "ORL",  # faces
    "Yale",
    "warpAR10P",
    "colon",  # gene expression
    "leukemia",
    "lung_small",
    "lymphoma",
]
TABLES = {
    **{name: (f"tables/{name}.csv.gz", _load_regression) for name in _REGRESSIONS},
    "pumadyn32nm": DATASETS["pumadyn32nm"],
    "bike": DATASETS["bike"],
    **{name: (f"tables/{name}.mat", _load_mat) for name in _CLASSES},
    **{
        name: DATASETS[name]
        for name in ("allaml", "mnist", "isolet", "coil20", "mice", "madelon", "adult")
    },
}
BUNDLED = {"diabetes": load_diabetes, "breast_cancer": load_breast_cancer}
