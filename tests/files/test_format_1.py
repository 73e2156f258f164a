"""Files of format 1. Run as a script, this wrote the file in tests/data."""

from pathlib import Path

import numpy as np
import torch
from sklearn.base import clone

from skjointprune import JointPruneClassifier, load, save

DATA = Path(__file__).parents[1] / "data"


def test_file_of_version_0_1_gives_the_predictions_it_gave():
    loaded = load(DATA / "classifier_0_1.zip")
    np.testing.assert_array_equal(loaded.classes_, ["high", "low", "mid"])
    assert loaded.get_support(indices=True).tolist() == STORED_SUPPORT
    assert list(loaded.get_feature_names_out()) == [f"x{i}" for i in STORED_SUPPORT]
    proba = loaded.predict_proba(rows_of_old())
    np.testing.assert_allclose(proba, STORED_PROBA, atol=1e-5)
    assert loaded.report_.pruned.inputs == len(STORED_SUPPORT)
    clone(loaded)


def rows_of_old():
    return (np.arange(24).reshape(4, 6) * 0.6180339887 % 1 - 0.5) * 4


STORED_SUPPORT = [1, 4]


STORED_PROBA = [
    [0.6214625, 0.0013758, 0.3771617],
    [0.3821654, 0.0005617, 0.6172728],
    [0.0, 0.9902139, 0.0097861],
    [0.5797708, 0.0028775, 0.4173519],
]


def fit_old():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6))
    y = np.array(["low", "mid", "high"])[np.digitize(X[:, 1] - X[:, 4], [-0.7, 0.7])]
    return JointPruneClassifier(
        (8,),
        n_features_to_select=2,
        max_epochs=8,
        retrain_epochs=4,
        lr=1e-2,
        random_state=0,
    ).fit(X, y)


if __name__ == "__main__":
    torch.set_num_threads(1)
    old = fit_old()
    DATA.mkdir(exist_ok=True)
    save(old, DATA / "classifier_0_1.zip")
    print(old.get_support(indices=True).tolist())
    print(old.predict_proba(rows_of_old()).round(7).tolist())
