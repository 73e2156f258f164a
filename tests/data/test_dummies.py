import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import VarianceThreshold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skjointprune._data.dummies import labels_of_dummies, labels_of_encoder


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "city": rng.choice(["Rome", "Oslo", "Lima"], 80),
            "age": rng.normal(size=80),
            "job": rng.choice(["a", "b"], 80),
        }
    )


def sizes(labels):
    """Return how many columns each group has, in order."""
    _, counts = np.unique(labels, return_counts=True)
    return sorted(counts.tolist())


@pytest.mark.parametrize("separator", ["_", "=", " ", "::"])
@pytest.mark.parametrize("scaled", [False, True])
def test_dummies_are_found_whatever_their_separator_and_scale(table, separator, scaled):
    X = pd.get_dummies(table, prefix_sep=separator, dtype=float)
    values = StandardScaler().fit_transform(X) if scaled else X.to_numpy()
    assert sizes(labels_of_dummies(values, [*X.columns])) == [1, 2, 3]


def test_columns_that_are_both_high_in_a_row_are_no_category():
    X = np.array([[0.0, 1], [1, 1], [1, 0]])
    assert sizes(labels_of_dummies(X, ["has_car", "has_dog"])) == [1, 1]


@pytest.mark.parametrize("drop", [None, "first", "if_binary"])
def test_an_encoder_says_what_it_made(table, drop):
    encoder = OneHotEncoder(drop=drop).fit(table[["city", "job"]])
    n = encoder.transform(table[["city", "job"]]).shape[1]
    labels = labels_of_encoder(encoder, n)
    expected = {None: [3, 2], "first": [2, 1], "if_binary": [3, 1]}[drop]
    assert [labels.count(i) for i in range(2)] == expected


def test_rare_levels_of_an_encoder_are_one(table):
    table.loc[0, "city"], table.loc[1, "city"] = "Nice", "Bonn"
    encoder = OneHotEncoder(min_frequency=5).fit(table[["city"]])
    n = encoder.transform(table[["city"]]).shape[1]
    assert labels_of_encoder(encoder, n) == [0] * 4


def test_a_column_transformer_says_what_its_parts_made(table):
    encoder = make_column_transformer(
        (StandardScaler(), ["age"]),
        (make_pipeline(OneHotEncoder()), ["city"]),
        ("passthrough", ["age"]),
        (OneHotEncoder(), ["job"]),
    ).fit(table)
    assert labels_of_encoder(encoder, 7) == [0, 1, 1, 1, 2, 3, 3]


def test_what_scales_after_an_encoder_leaves_its_blocks(table):
    scaled = make_pipeline(OneHotEncoder(sparse_output=False), StandardScaler())
    encoder = make_column_transformer((scaled, ["city", "job"])).fit(table)
    assert labels_of_encoder(encoder, 5) == [0, 0, 0, 1, 1]


def test_encoders_of_other_columns_are_refused(table):
    encoder = OneHotEncoder().fit(table[["city"]])
    with pytest.raises(ValueError, match=r"of 5 columns. It makes 3 columns"):
        labels_of_encoder(encoder, 5)
    with pytest.raises(ValueError, match="no columns of categories"):
        labels_of_encoder(VarianceThreshold().fit(np.eye(3)), 3)
    with pytest.raises(NotFittedError):
        labels_of_encoder(OneHotEncoder(), 3)
