import numpy as np
import pandas as pd
import pytest
import torch
from _helpers import RELEVANT
from joblib import parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.feature_selection import SelectFromModel, SelectKBest, VarianceThreshold
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import TensorDataset

from skjointprune import (
    ImageInput,
    InputFeatureSelector,
    JointPruneClassifier,
    stability_selection,
)


class Witness(ClassifierMixin, BaseEstimator):
    """Select as many columns as `k`, by chance; keep the rows of each fit."""

    seen: list = []  # noqa: RUF012

    def __init__(self, k=2, random_state=None):
        self.k = k
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        self.seen.append((np.asarray(X), np.asarray(y), sample_weight))
        rng = np.random.default_rng(self.random_state)
        self.support_ = np.zeros(X.shape[1], dtype=bool)
        self.support_[rng.choice(X.shape[1], self.k, replace=False)] = True
        return self

    def get_support(self, indices=False):
        return np.flatnonzero(self.support_) if indices else self.support_


@pytest.fixture
def seen():
    Witness.seen.clear()
    return Witness.seen


@pytest.fixture
def numbered():
    """Rows that are their own numbers, with classes of a fifth and four fifths."""
    X = np.arange(50.0)[:, None] * np.ones(4)
    return X, np.repeat([0, 1], [10, 40])


def rows_of(part):
    return part[0][:, 0].astype(int).tolist()


def test_planted_inputs_are_stable_and_no_others(quick, planted):
    selector = InputFeatureSelector(quick(retrain_epochs=0), n_features_to_select=3)
    stable = stability_selection(selector, *planted, n_resamples=6, random_state=0)
    assert stable.get_support(indices=True).tolist() == RELEVANT
    assert stable.selection_probabilities[RELEVANT].min() >= 5 / 6
    assert stable.n_selected == 3


def test_processes_do_not_change_the_result(quick, planted):
    clf = quick(retrain_epochs=0, n_features_to_select=2, max_epochs=3)
    params = {"n_resamples": 4, "random_state": 0}
    one = stability_selection(clf, *planted, **params, n_jobs=1)
    with parallel_config("loky", inner_max_num_threads=1):  # as here
        two = stability_selection(clf, *planted, **params, n_jobs=2)
    np.testing.assert_array_equal(one.supports, two.supports)
    assert one.supports.std(axis=0).max() > 0  # fits differ


def test_a_seed_repeats_and_another_does_not(planted):
    def supports(seed):
        return stability_selection(
            Witness(), *planted, n_resamples=6, random_state=seed
        ).supports

    np.testing.assert_array_equal(supports(0), supports(0))
    assert (supports(0) != supports(1)).any()


def test_each_fit_has_a_seed_of_its_own(planted):
    stable = stability_selection(
        Witness(random_state=0), *planted, n_resamples=20, random_state=0
    )
    assert len(np.unique(stable.supports, axis=0)) > 5


def test_the_estimator_stays_as_it_was(planted):
    pipe = make_pipeline(StandardScaler(), Witness(random_state=7))
    stability_selection(pipe, *planted, n_resamples=2, random_state=0)
    assert pipe[-1].random_state == 7 and not hasattr(pipe[-1], "support_")


def test_pairs_have_no_row_in_common_and_leave_none_out(seen, numbered):
    stability_selection(Witness(), *numbered, n_resamples=8, random_state=0)
    halves = [rows_of(part) for part in seen]
    assert len(halves) == 8
    for one, other in zip(halves[::2], halves[1::2], strict=True):
        assert sorted(one + other) == list(range(50))
    assert sorted(halves[0]) != sorted(halves[2])


def test_halves_have_the_classes_in_proportion(seen, numbered):
    stability_selection(Witness(), *numbered, n_resamples=8, random_state=0)
    assert all((y == 0).sum() == 5 for _, y, _ in seen)


def test_targets_and_classes_of_one_row_are_halved_without_regard_to_y(seen, numbered):
    X, y = numbered
    lonely = np.where(np.arange(50) == 3, 2, y)
    for target in (np.linspace(0, 1, 50), lonely):
        stability_selection(Witness(), X, target, n_resamples=2, random_state=0)
    assert [len(part[0]) for part in seen] == [25] * 4


@pytest.mark.parametrize("resampling", ["complementary_pairs", "subsamples"])
def test_groups_are_not_split(seen, numbered, resampling):
    X, y = numbered
    groups = np.arange(50) // 5
    stability_selection(
        Witness(),
        X,
        y,
        groups=groups,
        resampling=resampling,
        n_resamples=4,
        random_state=0,
    )
    for part in seen:
        taken = np.bincount(groups[rows_of(part)], minlength=10)
        assert set(taken) == {0, 5} and (taken == 5).sum() == 5


def test_subsamples_have_the_fraction_that_was_asked_for(seen, numbered):
    stability_selection(
        Witness(),
        *numbered,
        resampling="subsamples",
        sample_fraction=0.8,
        n_resamples=3,
        random_state=0,
    )
    assert [len(part[0]) for part in seen] == [40] * 3


def test_small_pairs_are_disjoint(seen, numbered):
    stability_selection(
        Witness(), *numbered, sample_fraction=0.2, n_resamples=2, random_state=0
    )
    one, other = map(rows_of, seen)
    assert len(one) == len(other) == 10 and not set(one) & set(other)


def test_weights_go_with_their_rows(seen, numbered):
    stability_selection(
        Witness(), *numbered, sample_weight=np.arange(50), n_resamples=2, random_state=0
    )
    for part in seen:
        assert part[2].tolist() == rows_of(part)


def test_names_of_columns_are_kept(frame):
    X, y = frame
    stable = stability_selection(SelectKBest(k=3), X, y, n_resamples=10, random_state=0)
    assert stable.get_feature_names_out().tolist() == ["col1", "col5", "col8"]
    assert "col5" in repr(stable) and "1.00" in repr(stable)


def test_positions_name_columns_that_have_no_names(planted):
    stable = stability_selection(
        SelectKBest(k=3), *planted, n_resamples=10, random_state=0
    )
    assert stable.get_feature_names_out().tolist() == ["x1", "x5", "x8"]


@pytest.mark.parametrize(
    "estimator",
    [
        SelectFromModel(ExtraTreesClassifier(10), max_features=3),
        make_pipeline(StandardScaler(), SelectKBest(k=3), LogisticRegression()),
        make_pipeline("passthrough", SelectKBest(k=6), SelectKBest(k=3)),
        make_pipeline(VarianceThreshold(), SelectKBest(k=3)),
    ],
    ids=["SelectFromModel", "scaled", "twice", "selected before"],
)
def test_selectors_and_pipelines_of_scikit_learn_will_do(estimator, planted):
    stable = stability_selection(estimator, *planted, n_resamples=6, random_state=0)
    assert stable.get_support(indices=True).tolist() == RELEVANT


@pytest.mark.parametrize(
    ("estimator", "named"),
    [
        (LinearRegression(), "LinearRegression; wrap it in"),
        (make_pipeline(StandardScaler(), LinearRegression()), "Pipeline"),
        (make_pipeline(PCA(), SelectKBest()), "step PCA"),
    ],
)
def test_what_does_not_select_columns_is_refused(estimator, named, planted):
    with pytest.raises(TypeError, match=named):
        stability_selection(estimator, *planted)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"n_resamples": 5}, "even `n_resamples`"),
        ({"sample_fraction": 0.6}, "at most 0.5"),
        ({"sample_fraction": 0.001}, "is none"),
        ({"threshold": 0.5}, "threshold"),
        ({"threshold": 1.1}, "threshold"),
        ({"resampling": "bootstrap"}, "resampling"),
    ],
)
def test_parameters_that_do_not_do_are_refused(params, named, planted):
    with pytest.raises(ValueError, match=named):
        stability_selection(SelectKBest(), *planted, **params)


def test_a_target_is_needed(planted):
    with pytest.raises(ValueError, match="y=None"):
        stability_selection(SelectKBest(), planted[0], None)


def test_the_bound_holds_for_chance_and_the_unimodal_one_is_tighter():
    n_features, n_fits, threshold = 30, 20, 0.6
    X, y = np.zeros((40, n_features)), np.repeat([0, 1], 20)
    found = [
        stability_selection(
            Witness(k=8),
            X,
            y,
            n_resamples=n_fits,
            threshold=threshold,
            random_state=seed,
        )
        for seed in range(30)
    ]
    false = np.mean([stable.get_support().sum() for stable in found])
    bounds = {(s.error_bound, s.unimodal_error_bound) for s in found}
    ((bound, unimodal),) = bounds  # as each fit selects 8
    assert 0 <= false <= unimodal < bound


def test_a_frame_of_numbers_for_names_has_no_names(planted):
    X, y = planted
    stable = stability_selection(
        SelectKBest(k=1), pd.DataFrame(X), y, n_resamples=2, random_state=0
    )
    assert stable.feature_names_in is None


def test_images_are_read_where_they_are_from_arrays_and_datasets():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 1, 4, 5)).astype(np.float32)
    y = rng.integers(0, 2, 60)
    X[y == 1, 0, :, 2] += 3
    clf = JointPruneClassifier(
        module=lambda n_outputs: nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, n_outputs),
        ),
        images=ImageInput(groups="column"),
        n_features_to_select=2,
        max_epochs=15,
        lr=1e-2,
        retrain_epochs=0,
        random_state=0,
    )
    stable = stability_selection(clf, X, y, n_resamples=4, random_state=0)
    assert stable.get_support().shape == (1, 4, 5)
    assert stable.get_support()[0, :, 2].all()
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    same = stability_selection(clf, dataset, None, n_resamples=4, random_state=0)
    np.testing.assert_array_equal(stable.supports, same.supports)
