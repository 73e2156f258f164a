import numpy as np
import pandas as pd
import pyarrow.dataset
import pytest
import torch
from _streams import INPUTS, make_frame, write_parquet
from joblib import Parallel, delayed
from torch.utils.data import IterableDataset, TensorDataset

from skjointprune import (
    InputFeatureSelector,
    JointPruneClassifier,
    JointPruneCV,
    JointPruneRegressor,
    joint_prune_path,
    knockoff_selection,
    p_values,
    stability_selection,
)
from skjointprune._data import open_table
from skjointprune._data.open_table import (
    is_map,
    rows_to_predict,
    targets_to_score,
)
from skjointprune._data.open_table import open_table as opened
from skjointprune._data.sources import Source


@pytest.fixture
def frame():
    return make_frame(60)


@pytest.fixture
def dataset(frame, tmp_path):
    return write_parquet(frame, tmp_path / "table.parquet", 25)


@pytest.fixture
def mapped(tmp_path):
    np.save(tmp_path / "X.npy", np.arange(60.0).reshape(20, 3))
    return np.load(tmp_path / "X.npy", mmap_mode="r")


@pytest.mark.parametrize("name", ["y", "sample_weight"])
def test_what_is_masked_or_has_no_order_is_refused(name):
    X, given = np.zeros((3, 2)), dict.fromkeys(("y", "sample_weight"), np.ones(3))
    wrong = {
        r"masks 1 of 3; leave these": np.ma.masked_array(np.ones(3), [0, 1, 0]),
        r"type set; pass an array": {1, 2, 3},
        r"type dict; pass an array": {0: 1},
        r"_iterator; pass an array": iter([1, 2, 3]),
    }
    for says, values in wrong.items():
        with pytest.raises(ValueError, match=f"`{name}` must hold a value.*{says}"):
            opened(X, **given | {name: values})


def test_a_large_table_becomes_a_source_and_a_small_one_is_read(
    dataset, mapped, monkeypatch
):
    rows = TensorDataset(torch.zeros(20, 3), torch.zeros(20))
    given = [(dataset, "y"), (mapped, np.zeros(20)), (rows, None)]
    for X, y in given:
        whole, targets, _ = opened(X, y, None)
        assert isinstance(whole, pd.DataFrame | np.ndarray) and len(targets) == len(
            whole
        )
    monkeypatch.setattr(open_table, "NUMBERS_IN_MEMORY", 0)
    for X, y in given:
        source, *rest = opened(X, y, None)
        assert isinstance(source, Source) and rest == [None, None]
        whole, targets, _ = opened(X, y, None, in_memory=True)
        assert source.n_rows == len(whole) == len(targets)
        assert source.n_columns == whole.shape[1]


def test_what_is_in_memory_stays_as_it_is(frame, mapped):
    images = np.zeros((4, 1, 3, 3))
    y = np.zeros(4)
    for X in (frame, frame.to_numpy(), frame.to_numpy().tolist(), images):
        assert all(a is b for a, b in zip(opened(X, y, y), (X, y, y), strict=True))
    pictures = TensorDataset(torch.zeros(4, 1, 3, 3), torch.zeros(4))
    assert opened(pictures, None, None)[0] is pictures
    assert opened(mapped[0], 0, None)[0].ndim == 1


def test_what_joblib_maps_stays_in_memory(mapped):
    X = np.zeros((1000, 200))
    found = Parallel(n_jobs=2, max_nbytes="1M")(delayed(_is_user_map)(X) for _ in "ab")
    assert found == [(True, False)] * 2
    assert is_map(mapped)


def _is_user_map(X):
    return isinstance(X, np.memmap), is_map(X)


def test_rows_to_predict_are_all_rows_in_order(frame, dataset, mapped, monkeypatch):
    monkeypatch.setattr(open_table, "NUMBERS_IN_MEMORY", 12)
    support = np.isin(INPUTS, ["b", "level"])
    parts = list(rows_to_predict(dataset, np.array(INPUTS), support))
    assert len(parts) > 1
    pd.testing.assert_frame_equal(
        pd.concat(parts, ignore_index=True), frame[["b", "level"]], check_dtype=False
    )
    parts = list(rows_to_predict(mapped, None, np.ones(3, dtype=bool)))
    assert max(map(len, parts)) == 4
    np.testing.assert_array_equal(np.concatenate(parts), mapped)
    assert rows_to_predict(frame, None, support) is None


def test_targets_to_score_are_in_the_order_of_rows(frame, dataset):
    y, weight = targets_to_score(dataset, "label", "w")
    assert (y == frame["label"]).all() and (weight == frame["w"]).all()
    y, weight = targets_to_score(dataset, ["y", "a"], None)
    np.testing.assert_array_equal(y, frame[["y", "a"]])
    assert weight is None
    rows = TensorDataset(torch.zeros(4, 3), torch.arange(4), torch.ones(4))
    y, weight = targets_to_score(rows, None, None)
    assert y.tolist() == [0, 1, 2, 3] and weight.tolist() == [1] * 4


@pytest.mark.parametrize(
    ("y", "weight", "message"),
    [
        (None, None, r"`y` must be the name of a column. Got None; choose from \['a',"),
        ("z", None, "`y` must be the name of a column. Got 'z'"),
        (np.zeros(60), None, "`y` must be the name of a column. Got a ndarray"),
        ("y", np.ones(60), "`sample_weight` must be the name of a column. Got a nd"),
        ([], None, "`y` must be the name of a column. Got a list"),
    ],
)
def test_columns_of_a_dataset_go_by_name(dataset, y, weight, message):
    with pytest.raises(ValueError, match=message):
        JointPruneRegressor().fit(dataset, y, sample_weight=weight)


def test_a_dataset_of_targets_alone_is_refused(frame, tmp_path):
    dataset = write_parquet(frame[["y"]], tmp_path / "y.parquet")
    with pytest.raises(ValueError, match="must have a column beside those of y"):
        JointPruneRegressor().fit(dataset, "y")


def test_a_filtered_dataset_is_refused(dataset):
    some = dataset.filter(pyarrow.dataset.field("a") > 0)
    with pytest.raises(ValueError, match="Got one that is filtered"):
        JointPruneRegressor().fit(some, "y")


def test_rows_of_torch_need_targets():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([(torch.zeros(3), 0), (torch.ones(3), 1)])

    with pytest.raises(ValueError, match="has no targets, and y is None"):
        JointPruneRegressor().fit(TensorDataset(torch.zeros(4, 3)))
    with pytest.raises(ValueError, match="must come with the rows of an IterableDat"):
        JointPruneClassifier().fit(Stream(), [0, 1])


def test_what_takes_rows_by_position_refuses_datasets(dataset):
    reg = JointPruneRegressor()
    rows = TensorDataset(torch.zeros(4, 3), torch.zeros(4))
    for X, y in ((dataset, "y"), (rows, None)):
        for use in (JointPruneCV(reg).fit, _stability, _knockoffs, _p_values):
            with pytest.raises(ValueError, match="a table in memory, or a memory-map"):
                use(X, np.zeros(4) if y is None else y)


def _stability(X, y):
    stability_selection(JointPruneRegressor(), X, y)


def _knockoffs(X, y):
    knockoff_selection(JointPruneRegressor(), X, y)


def _p_values(X, y):
    p_values(JointPruneRegressor(), X, y)


def test_paths_and_selectors_take_datasets(frame, dataset):
    reg = JointPruneRegressor((8,), max_epochs=6, retrain_epochs=1, random_state=0)
    assert len(joint_prune_path(dataset, "y", estimator=reg, n_alphas=3)) == 3
    selector = InputFeatureSelector(reg, n_features_to_select=2).fit(dataset, "y")
    assert selector.transform(frame.drop(columns="y")).shape == (60, 2)
    with pytest.raises(ValueError, match="Selecting columns takes a table in memory"):
        selector.transform(dataset)
    for use in (joint_prune_path, InputFeatureSelector().fit):
        with pytest.raises(ValueError, match="Got the name 'y'; pass `estimator`="):
            use(dataset, "y")


def test_predicting_needs_the_retained_columns_alone(frame, tmp_path):
    reg = JointPruneRegressor((8,), alpha=0.02, max_epochs=6, retrain_epochs=1)
    reg.fit(frame[["a", "b", "far"]], frame["y"])
    retained = write_parquet(frame[reg.get_feature_names_out()], tmp_path / "some")
    expected = reg.predict(frame[["a", "b", "far"]])
    np.testing.assert_allclose(reg.predict(retained), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="Got a Dataset without"):
        reg.predict(write_parquet(frame[["whole"]], tmp_path / "other"))


def test_a_name_stands_for_a_column_of_a_dataset_alone(frame):
    with pytest.raises(ValueError, match=r"`y` can name .* Got 'y' with a DataFrame"):
        opened(frame, "y", None)
    with pytest.raises(ValueError, match=r"`sample_weight` can name .* Got 'w'"):
        opened(frame, frame["y"], "w")
    with pytest.raises(ValueError, match=r"with a list; open files by pyarrow"):
        opened(["a.parquet", "b.parquet"], "y", None)
