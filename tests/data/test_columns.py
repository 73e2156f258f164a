import numpy as np
import pandas as pd
import pytest
import torch

from skjointprune._data.columns import MOST_LEVELS, ROWS_OF_A_LEVEL, Columns

N = 60


@pytest.fixture
def table():
    """A number with a gap, a category, one with a rare level and a gap."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "number": rng.normal(5, 2, N),
            "city": rng.choice(["Oslo", "Rome"], N),
            "job": rng.choice(["a", "b", "c"], N),
        }
    )
    frame.loc[3, "number"] = np.nan
    frame.loc[4, "job"], frame.loc[5, "job"] = None, "rare"
    return frame


def learnt(frame, categories, train=None):
    columns = Columns.find(frame, categories)
    X = columns.read(frame, range(columns.n))
    train = np.ones(len(X), dtype=bool) if train is None else train
    return columns.learn(X, train, np.ones(len(X)))


def encoded(columns, X, kept=None):
    rows = torch.from_numpy(np.asarray(X, dtype=np.float64))
    return columns.encoder(kept)(rows).numpy()


def test_a_category_is_one_number_a_level_and_a_gap_one_more(table):
    columns, X = learnt(table, [1, 2])
    assert columns.levels == {1: ["Oslo", "Rome"], 2: ["a", "b", "c"]}
    assert columns.rare == (2,) and columns.gaps == (0, 2)
    assert columns.widths.tolist() == [2, 2, 5]
    E = encoded(columns, X)
    assert E.shape == (N, 9)
    np.testing.assert_array_equal(E[:, 2:4].argmax(1), table["city"] == "Rome")
    assert (E[:, 2:4].sum(axis=1) == 1).all() and (E[:, 4:].sum(axis=1) == 1).all()
    mean = table["number"].mean()
    np.testing.assert_allclose(E[3, :2], [mean, 1])
    assert E[4, 4:].tolist() == [0, 0, 0, 0, 1] and E[5, 4:].tolist() == [0, 0, 0, 1, 0]


def test_new_rows_are_read_as_those_of_the_fit(table):
    columns, X = learnt(table, [1, 2])
    np.testing.assert_array_equal(columns.read(table, range(3)), X)


def test_a_level_that_the_fit_has_not_seen_counts_as_rare_or_is_none(table):
    columns, _ = learnt(table, [1, 2])
    new = pd.DataFrame({"number": [1.0], "city": ["Bonn"], "job": ["new"]})
    E = encoded(columns, columns.read(new, range(3)))
    assert E[0, 2:4].tolist() == [0, 0]
    assert E[0, 4:].tolist() == [0, 0, 0, 1, 0]


def test_a_gap_that_the_fit_had_not_gets_the_mean(table):
    train = np.arange(N) > 5
    columns, X = learnt(table, [1, 2], train)
    assert columns.gaps == () and columns.plain is False
    mean = table["number"][train].mean()
    assert X[3, 0] == pytest.approx(mean)
    new = pd.DataFrame({"number": [None], "city": [None], "job": ["a"]})
    read = columns.read(new, range(3))
    assert read[0, 0] == pytest.approx(mean)
    assert encoded(columns, read)[0, 1:3].tolist() == [0, 0]


def test_numbers_without_gaps_stay_as_they_are():
    X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    weight = np.arange(20.0)
    columns, same = Columns(4).learn(X, np.arange(20) < 15, weight)
    assert columns.plain and same is X
    expected = np.average(X[:15], axis=0, weights=weight[:15])
    np.testing.assert_allclose(columns.means, expected, rtol=1e-5)


def test_means_count_weights_and_leave_gaps_out():
    X = np.array([[1.0, np.nan], [np.nan, np.nan], [4.0, np.nan], [9.0, 2.0]])
    columns, _ = Columns(2).learn(X, np.arange(4) < 3, np.array([2.0, 1, 1, 1]))
    assert columns.means.tolist() == [2.0, 0.0]  # nothing is known of the second


def test_levels_of_few_rows_are_rare_and_the_most_frequent_have_their_own():
    counts = [ROWS_OF_A_LEVEL - 1, ROWS_OF_A_LEVEL, 30]
    frame = pd.DataFrame({"c": np.repeat(["few", "some", "many"], counts)})
    columns, _ = learnt(frame, [0])
    assert columns.levels[0] == ["many", "some"] and columns.rare == (0,)
    many = np.repeat(np.arange(MOST_LEVELS + 20), ROWS_OF_A_LEVEL)
    columns, _ = learnt(pd.DataFrame({"c": many}), [0])
    assert columns.widths.tolist() == [MOST_LEVELS + 1]


def test_levels_may_be_of_several_types():
    frame = pd.DataFrame({"c": [1, "a", 2.5, True] * 10}, dtype=object)
    columns, _ = learnt(frame, [0])
    assert len(columns.levels[0]) == 3  # True is 1


def test_an_encoder_for_some_columns_makes_their_numbers(table):
    columns, X = learnt(table, [1, 2])
    kept = np.array([0, 2])
    E = encoded(columns, X[:, kept], kept)
    np.testing.assert_array_equal(E, encoded(columns, X)[:, [0, 1, 4, 5, 6, 7, 8]])


def test_what_belongs_to_columns_is_spread_over_their_numbers(table):
    columns, _ = learnt(table, [1, 2])
    spread = columns.spread(np.array([1.0, 2.0, 3.0]))
    assert spread.tolist() == [1, 1, 2, 2, 3, 3, 3, 3, 3]
    numbers = [of.tolist() for of in columns.numbers_of_columns()]
    assert numbers == [[0, 1], [2, 3], [4, 5, 6, 7, 8]]


def test_what_has_no_hash_is_no_level(table):
    table["job"] = [[1]] * N
    with pytest.raises(ValueError, match=r"column 'job' of X cannot be .* type 'list'"):
        Columns.find(table, [2])


@pytest.mark.parametrize(
    ("fitted", "new"), [(["1", "2"], [1, 2]), ([1, 2], ["1", "2"])]
)
def test_levels_of_another_type_than_in_the_fit_are_new_and_said_to_be(fitted, new):
    columns, _ = learnt(pd.DataFrame({"code": fitted * 30}), [0])
    with pytest.warns(UserWarning, match="'code' of X held .* all its levels are new"):
        read = columns.read(pd.DataFrame({"code": new}), [0], ["code"])
    assert (read == -1).all()


@pytest.mark.parametrize(
    ("fitted", "new"),
    [
        ([0.1, 0.2], np.array([0.1, 0.2], dtype=np.float32)),
        (pd.to_datetime(["2026", "2027"]), pd.to_datetime(["2026", "2027"], utc=True)),
    ],
)
def test_many_new_levels_and_no_other_are_said_to_be(fitted, new):
    columns, _ = learnt(pd.DataFrame({"code": [*fitted] * 30}), [0])
    with pytest.warns(UserWarning, match=r"All 20 values of the column 'code' of X"):
        read = columns.read(pd.DataFrame({"code": [*new] * 10}), [0], ["code"])
    assert (read == -1).all()
