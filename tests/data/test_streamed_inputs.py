import multiprocessing
import os
import sys
import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pytest
import torch
from _streams import INPUTS, in_order, make_frame, read_epoch, write_parquet
from sklearn.base import clone
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from skjointprune import (
    JointPruneClassifier,
    JointPruneRegressor,
    JointPruneSurvival,
    load,
    save,
)
from skjointprune._data import open_table, streamed_table
from skjointprune._data.arrow_source import ArrowSource
from skjointprune._data.streamed_table import StreamedTable
from skjointprune._data.tables import Table
from skjointprune._estimators.pose import pose

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def stream_any_size(monkeypatch):
    """Read the smallest table piece by piece, shuffled a few rows at a time."""
    monkeypatch.setattr(open_table, "NUMBERS_IN_MEMORY", 0)
    monkeypatch.setattr(streamed_table, "LEAST_TO_SHUFFLE", 100)
    monkeypatch.setattr(streamed_table, "MOST_TO_SHUFFLE", 200)


@pytest.fixture(scope="module")
def frame():
    return make_frame()


@pytest.fixture
def dataset(frame, tmp_path):
    return write_parquet(frame.drop(columns="label"), tmp_path / "table.parquet")


@pytest.fixture
def labelled(frame, tmp_path):
    return write_parquet(frame.drop(columns="y"), tmp_path / "labels.parquet")


@pytest.fixture
def datasets_of():
    """Return arrays, and datasets of torch of their rows, or of batches of these."""
    X = np.random.default_rng(0).normal(size=(600, 5)).astype("float32")
    y = X[:, 0] + 1
    pairs = [torch.from_numpy(a) for a in (X, y)]

    class Batches(Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, i):
            return [a[100 * i : 100 * i + 100] for a in pairs]

    class Each(IterableDataset):
        def __init__(self, dataset):
            self.dataset = dataset

        def __iter__(self):
            return (self.dataset[i] for i in range(len(self.dataset)))

    def make(in_batches):
        dataset = Batches() if in_batches else TensorDataset(*pairs)
        return X, y, [dataset, Each(dataset)]

    return make


def data_of(estimator, X, y, weight=None):
    return pose(estimator, X, y, weight, 0, CPU).data


def assert_same_training_rows(streamed, table):
    assert isinstance(streamed.train, StreamedTable) and isinstance(table.train, Table)
    assert len(streamed.train) == len(table.train)
    expected = table.train[:]
    whole = in_order(expected[0], *(t.numpy() for t in expected[1]))
    np.testing.assert_allclose(in_order(*read_epoch(streamed.train)), whole, atol=1e-4)


@pytest.mark.parametrize("standardize", [True, False])
def test_an_epoch_has_the_rows_of_a_frame_in_memory(frame, dataset, standardize):
    reg = JointPruneRegressor(validation_fraction=None, standardize=standardize)
    table = data_of(reg, frame[INPUTS], frame["y"], frame["w"])
    assert_same_training_rows(data_of(reg, dataset, "y", "w"), table)


@pytest.mark.parametrize("class_weight", [None, "balanced", {"yes": 3.0}])
def test_classes_and_their_weights_are_those_in_memory(frame, labelled, class_weight):
    clf = JointPruneClassifier(
        validation_fraction=None, class_weight=class_weight, standardize=False
    )
    in_memory = pose(clf, frame[INPUTS], frame["label"], frame["w"], 0, CPU)
    streamed = pose(clf, labelled, "label", "w", 0, CPU)
    assert streamed.targets.labels.tolist() == in_memory.targets.labels.tolist()
    assert_same_training_rows(streamed.data, in_memory.data)


@pytest.mark.parametrize("kind", ["csv", "arrow", "folders"])
def test_files_of_other_formats_hold_the_same_rows(frame, tmp_path, kind):
    frame = frame.drop(columns=["label"])
    frame["level"] = frame["level"].fillna("none")  # CSV does not tell it from ""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    if kind == "folders":
        parts = pa.dataset.partitioning(
            pa.schema([("level", pa.string())]), flavor="hive"
        )
        pa.dataset.write_dataset(table, tmp_path, format="parquet", partitioning=parts)
        dataset = pa.dataset.dataset(tmp_path, partitioning="hive")
    elif kind == "csv":
        pa.csv.write_csv(table, tmp_path / "table.csv")
        dataset = pa.dataset.dataset(tmp_path, format="csv")
    else:
        pa.dataset.write_dataset(table, tmp_path, format="arrow")
        dataset = pa.dataset.dataset(tmp_path, format="arrow")
    reg = JointPruneRegressor(validation_fraction=None)
    names = [name for name in dataset.schema.names if name in INPUTS]
    table = data_of(reg, frame[names], frame["y"], frame["w"])
    assert_same_training_rows(data_of(reg, dataset, "y", "w"), table)


@pytest.mark.parametrize("kind", ["float32", "float64", "int16", "fortran"])
def test_a_memory_map_gives_the_rows_of_the_array(tmp_path, kind):
    X = np.random.default_rng(0).normal(3, 9, size=(5000, 7))
    X = np.asfortranarray(X) if kind == "fortran" else X.astype(kind)
    y = np.arange(5000.0)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    reg = JointPruneRegressor(validation_fraction=None, categorical_features=[2])
    reg.set_params(categorical_features=[2] if kind == "int16" else None)
    table = data_of(reg, X, y, y % 3)
    assert_same_training_rows(data_of(reg, mapped, y, y % 3), table)


@pytest.mark.parametrize("in_batches", [False, True])
def test_a_torch_dataset_gives_the_rows_of_arrays(datasets_of, in_batches):
    X, y, kinds = datasets_of(in_batches)
    reg = JointPruneRegressor(validation_fraction=None)
    table = data_of(reg, X, y)
    for dataset in kinds:
        assert_same_training_rows(data_of(reg, dataset, None), table)


def test_rows_are_held_out_and_never_trained_on(frame, dataset):
    data = data_of(JointPruneRegressor(validation_fraction=0.25), dataset, "y", "w")
    assert 0.15 * len(frame) < len(data.valid) < 0.25 * len(frame)  # of weight above 0
    assert len(data.train) + len(data.valid) == (frame["w"] > 0).sum()
    trained = set(read_epoch(data.train)[0][:, 0].tolist())
    assert len(trained) > 0.9 * len(data.train)
    assert not trained & set(data.valid.X[:, 0].tolist())


def test_the_sample_is_of_rows_that_are_trained_on(dataset):
    data = data_of(JointPruneRegressor(), dataset, "y", "w")
    trained = set(read_epoch(data.train)[0][:, 0].tolist())
    assert set(data.train.sample.X[:, 0].tolist()) <= trained


def test_a_small_table_is_fitted_as_one_in_memory(frame, dataset, monkeypatch):
    monkeypatch.undo()
    reg = JointPruneRegressor(
        max_epochs=1, retrain_epochs=1, alpha=0.02, random_state=0
    )
    streamed = clone(reg).fit(dataset, "y", sample_weight="w")
    reg.fit(frame[INPUTS], frame["y"], sample_weight=frame["w"])
    of_both = (fitted.predict(frame[INPUTS]) for fitted in (streamed, reg))
    np.testing.assert_array_equal(*of_both)


@pytest.mark.parametrize("params", [{}, {"n_features_to_select": 2}, {"alpha": 0.05}])
def test_each_way_to_choose_finds_the_inputs_that_count(tmp_path, params):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 8)).astype("float32")
    y = 2 * X[:, 1] - 2 * X[:, 6]
    np.save(tmp_path / "X.npy", X)
    reg = JointPruneRegressor(
        (16,), max_epochs=12, retrain_epochs=4, random_state=0, **params
    )
    reg.fit(np.load(tmp_path / "X.npy", mmap_mode="r"), y)
    assert reg.get_support(indices=True).tolist() == [1, 6]
    assert reg.score(X, y) > 0.95
    assert np.isfinite(reg.feature_importances_se_[[1, 6]]).all()


def test_the_same_seed_gives_the_same_fit(labelled):
    clf = JointPruneClassifier((8,), max_epochs=3, retrain_epochs=1, random_state=0)
    first, second = (clone(clf).fit(labelled, "label") for _ in range(2))
    assert (first.get_support() == second.get_support()).all()
    np.testing.assert_array_equal(
        first.predict_proba(labelled), second.predict_proba(labelled)
    )


def test_what_is_fitted_is_a_table_for_frames_files_and_files_of_its_own(
    frame, labelled, tmp_path
):
    clf = JointPruneClassifier((8,), max_epochs=3, retrain_epochs=1, random_state=0)
    clf.fit(labelled, "label", sample_weight="w")
    assert clf.feature_names_in_.tolist() == INPUTS
    assert clf.categories_["code"] == ["x", "y"]
    expected = clf.predict_proba(frame[INPUTS])
    np.testing.assert_allclose(clf.predict_proba(labelled), expected, atol=1e-6)
    again = load(save(clf, tmp_path / "clf.zip") or tmp_path / "clf.zip")
    np.testing.assert_allclose(again.predict_proba(labelled), expected, atol=1e-6)
    assert clf.score(labelled, "label") == clf.score(frame[INPUTS], frame["label"])


def test_a_network_that_writes_to_its_inputs_leaves_the_file_as_it_is(tmp_path):
    class Clips(torch.nn.Module):
        def __init__(self, n_features_in, n_outputs):
            super().__init__()
            self.layer = torch.nn.Linear(n_features_in, n_outputs)

        def forward(self, x):
            return self.layer(x.clamp_(-0.1, 0.1))

    X = np.random.default_rng(0).normal(size=(500, 4)).astype("float32")
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    reg = JointPruneRegressor(module=Clips, max_epochs=2, retrain_epochs=1)
    reg.fit(mapped, X[:, 0]).predict(mapped)
    np.testing.assert_array_equal(mapped, X)


def test_a_fit_starts_no_process_and_leaves_no_thread(dataset, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(multiprocessing.Process, "start", refuse)
    monkeypatch.setattr(os, "fork", refuse)
    before = threading.active_count()
    reg = JointPruneRegressor((8,), max_epochs=2, retrain_epochs=1)
    reg.fit(dataset, "y").predict(dataset)
    assert threading.active_count() == before


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_forked_process_can_fit_after_arrow_has_run(dataset):
    pa.parquet.read_table(dataset.files[0])  # with threads of its own
    reg = JointPruneRegressor((8,), max_epochs=1, retrain_epochs=1)
    child = multiprocessing.get_context("fork").Process(
        target=lambda: reg.fit(dataset, "y").predict(dataset), daemon=True
    )
    child.start()
    child.join(60)
    assert child.exitcode == 0


def test_columns_that_are_gone_are_not_read(dataset, monkeypatch):
    read = []
    batches = ArrowSource.batches

    def note(self, piece, names):
        read.append(set(names))
        return batches(self, piece, names)

    monkeypatch.setattr(ArrowSource, "batches", note)
    reg = JointPruneRegressor((8,), n_features_to_select=1, max_epochs=3)
    reg.set_params(retrain_epochs=1, prune="inputs").fit(dataset, "y")
    assert read[0] >= set(INPUTS)
    assert read[-1] == {*reg.get_feature_names_out(), "y"}


def test_a_file_that_changes_while_it_is_read_is_an_error(frame, tmp_path, monkeypatch):
    np.save(tmp_path / "X.npy", np.asarray(frame[["a", "whole"]]))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    weight = np.ones(len(frame))
    data = data_of(JointPruneRegressor(), mapped, frame["y"], weight)
    weight[:100] = 0
    with pytest.raises(ValueError, match="same rows each time"):
        read_epoch(data.train)


def test_a_dataset_that_shuffles_itself_is_an_error(datasets_of):
    *_, (dataset, _) = datasets_of(False)

    class Shuffled(IterableDataset):
        def __iter__(self):
            return (dataset[i] for i in torch.randperm(len(dataset)).tolist())

    data = data_of(JointPruneRegressor(), Shuffled(), None)
    with pytest.raises(ValueError, match="in the same order each time"):
        read_epoch(data.train)


def test_a_teacher_is_asked_for_whole_rows_though_inputs_are_gone(dataset):
    train = data_of(JointPruneRegressor(validation_fraction=None), dataset, "y").train
    train.learn_from(lambda X: X.sum(dim=1))
    train.keep_inputs(torch.tensor([0, 2]))
    for X, (_, _, taught) in train.shuffled([slice(0, len(train))], with_teacher=True):
        assert X.shape[1] == 2
        assert not torch.allclose(taught, X.sum(dim=1))


def test_shadows_hold_the_numbers_of_their_group_in_another_order(dataset):
    reg = JointPruneRegressor(validation_fraction=None)
    problem = pose(reg, dataset, "y", None, 0, CPU)
    n = problem.inputs.network_shape[0]
    train = problem.with_shadows().data.train
    X, _, _ = read_epoch(train, len(train))
    assert X.shape[1] == 2 * n
    copied = train.shadow_of[n:]
    np.testing.assert_allclose(np.sort(X[:, n:], axis=0), np.sort(X[:, copied], axis=0))
    assert not np.isclose(X[:, n:], X[:, copied]).all(axis=0).any()
    columns = problem.inputs.columns_of_inputs().numpy()
    for column in range(len(INPUTS)):
        of_column = np.flatnonzero(columns[copied] == column)
        real = np.round(X[:, copied[of_column]], 4).tolist()
        shadow = np.round(X[:, n + of_column], 4).tolist()
        assert set(map(tuple, shadow)) == set(map(tuple, real))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": np.inf}, "'a' of X holds infinity"),
        ({"a": 1e200}, "'a' of X holds numbers beyond"),
        ({"y": np.nan}, "y must hold finite numbers"),
        ({"y": 1e200}, "y holds numbers beyond"),
        ({"w": -1.0}, "`sample_weight` must hold finite numbers"),
        ({"w": 0.0}, "rows of positive weight"),
    ],
)
def test_what_cannot_be_learnt_from_is_named(frame, tmp_path, change, message):
    (name, value), *_ = change.items()
    frame = frame.drop(columns="label")
    frame.loc[slice(None) if value == 0 else slice(0, 5), name] = value
    dataset = write_parquet(frame, tmp_path / "table.parquet")
    with pytest.raises(ValueError, match=message):
        JointPruneRegressor().fit(dataset, "y", sample_weight="w")


def test_columns_of_no_numbers_are_named(frame, tmp_path):
    frame = frame.drop(columns="label").assign(day=pd.Timestamp("2020-01-01"))
    dataset = write_parquet(frame, tmp_path / "table.parquet")
    with pytest.raises(ValueError, match="'day' holds no numbers"):
        JointPruneRegressor().fit(dataset, "y")


def test_text_is_no_number_to_predict(labelled, tmp_path):
    with pytest.raises(ValueError, match="make numbers of it, or use a JointPruneCl"):
        JointPruneRegressor().fit(labelled, "label")
    np.save(tmp_path / "X.npy", np.zeros((4, 2)))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    with pytest.raises(ValueError, match="y must hold numbers"):
        JointPruneRegressor().fit(mapped, np.array(list("abca")))


def test_labels_of_too_many_values_are_numbers(dataset):
    with pytest.raises(ValueError, match="continuous"):
        JointPruneClassifier().fit(dataset, "y")


def test_one_class_is_refused(frame, tmp_path):
    frame = frame.drop(columns="y").assign(label="yes")
    with pytest.raises(ValueError, match="at least 2 classes"):
        JointPruneClassifier().fit(write_parquet(frame, tmp_path / "t"), "label")


def test_several_labels_a_row_are_columns(frame, tmp_path):
    frame = frame[["a", "b"]].assign(up=frame["a"] > 0, down=(frame["a"] < 0) * 1)
    dataset = write_parquet(frame, tmp_path / "table.parquet")
    clf = JointPruneClassifier((8,), max_epochs=2, retrain_epochs=1)
    assert clf.fit(dataset, ["up", "down"]).predict(dataset).shape == (len(frame), 2)
    with pytest.raises(ValueError, match="`class_weight` is for one class a row"):
        clf.set_params(class_weight="balanced").fit(dataset, ["up", "down"])
    with pytest.raises(ValueError, match="each must be 0 or 1"):
        JointPruneClassifier().fit(dataset, ["up", "a"])


def test_survival_reads_the_whole_table(frame, tmp_path):
    frame = frame[["a", "whole"]].assign(time=np.exp(frame["a"]), event=frame["flag"])
    dataset = write_parquet(frame, tmp_path / "table.parquet")
    surv = JointPruneSurvival((8,), max_epochs=2, retrain_epochs=1)
    assert surv.fit(dataset, ["event", "time"]).predict(dataset).shape == (len(frame),)
