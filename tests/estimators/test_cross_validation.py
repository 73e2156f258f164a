import numpy as np
import pytest
import sklearn
from _helpers import RELEVANT, cross_validated
from joblib import parallel_config
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EarlyStopping

from skjointprune import JointPruneClassifier, JointPruneRegressor, joint_prune_path
from skjointprune._utils.seeds import draw_seed
from skjointprune.penalties import GroupL0

QUICK = {
    "hidden_layer_sizes": (16,),
    "max_epochs": 15,
    "retrain_epochs": 16,
    "lr": 1e-2,
    "batch_size": 64,
    "random_state": 0,
    "cv": 3,
    "n_alphas": 6,
}

SINGLE = set(JointPruneClassifier().get_params())  # the names that a fit has as well


@pytest.fixture(scope="module")
def fitted(planted):
    return cross_validated(JointPruneClassifier, **QUICK, rule="one_se").fit(*planted)


def test_the_planted_inputs_are_chosen(fitted, planted):
    X, y = planted
    assert fitted.support_[RELEVANT].all()
    assert fitted.support_.sum() < 12
    assert fitted.score(X, y) > 0.9


def test_results_are_those_of_folds_and_points(fitted):
    results, n = fitted.cv_results_, len(fitted.alphas_)
    assert fitted.n_splits_ == 3
    splits = [results[f"split{i}_test_score"] for i in range(3)]
    np.testing.assert_allclose(results["mean_test_score"], np.mean(splits, axis=0))
    np.testing.assert_allclose(results["std_test_score"], np.std(splits, axis=0))
    assert all(len(column) == n for column in results.values())
    assert (np.diff(fitted.alphas_) >= 0).all()
    assert (np.diff(results["mean_macs"]) < 0).all()
    assert fitted.alpha_ == fitted.alphas_[fitted.best_index_]


def test_what_is_fitted_is_the_point_of_the_path_over_all_rows(fitted, planted):
    X, y = planted
    shared = {name: value for name, value in QUICK.items() if name in SINGLE}
    single = JointPruneClassifier(**shared | {"random_state": draw_seed(0)})
    path = joint_prune_path(X, y, estimator=single, n_alphas=QUICK["n_alphas"])
    at = fitted.best_index_
    np.testing.assert_array_equal(path.alphas, fitted.alphas_)
    np.testing.assert_array_equal(path.supports[at], fitted.support_)
    assert path.sizes[at] == fitted.report_.pruned
    # but it is retrained for longer, as long as a fit is
    retraining = [row for row in fitted.history_ if row["phase"] == "retrain"]
    assert len(retraining) == QUICK["retrain_epochs"]
    embedding = fitted.module_.network.embedding
    assert fitted.get_support().sum() == embedding.n_features_in


def test_folds_are_compared_at_points_where_as_much_is_left(planted):
    clf = cross_validated(JointPruneClassifier, **QUICK, prune="inputs").fit(*planted)
    inputs = clf.cv_results_["mean_inputs"]
    np.testing.assert_array_equal(inputs, inputs.round())  # so they agree in number
    assert (np.diff(inputs) < 0).all() and inputs[-1] == 1


def test_a_penalty_that_shrinks_what_stays_is_no_exception(planted):
    X, y = planted
    clf = cross_validated(JointPruneClassifier, **QUICK, penalty="group_lasso").fit(
        X, y
    )
    assert clf.support_[RELEVANT].all() and not clf.support_.all()
    assert clf.score(X, y) > 0.9
    chosen = clf.cv_results_["mean_inputs"][clf.best_index_]
    assert clf.support_.sum() == pytest.approx(chosen, abs=3)


def test_the_overlap_of_folds_is_that_of_the_point_chosen(fitted):
    overlaps = fitted.cv_results_["jaccard"]
    assert ((overlaps >= 0) & (overlaps <= 1)).all()
    assert (overlaps < 1).any()
    assert fitted.jaccard_ == overlaps[fitted.best_index_] == fitted.report_.jaccard
    assert f"Jaccard overlap {fitted.jaccard_:.2f}" in repr(fitted.report_)


def test_folds_that_retain_all_inputs_overlap_wholly(planted):
    small = QUICK | {"alphas": [1e-9], "cv": 2, "max_epochs": 3, "retrain_epochs": 1}
    clf = cross_validated(JointPruneClassifier, **small).fit(*planted)
    assert clf.cv_results_["mean_inputs"] == 12
    assert clf.jaccard_ == 1


def test_one_fold_has_no_overlap(planted):
    X, y = planted
    split = ShuffleSplit(1, test_size=0.3, random_state=0)
    small = QUICK | {"n_alphas": 2, "cv": split, "max_epochs": 3}
    clf = cross_validated(JointPruneClassifier, **small).fit(X, y)
    assert np.isnan(clf.jaccard_) and clf.report_.jaccard is None


def test_folds_in_parallel_give_the_same(fitted, planted):
    with parallel_config("loky", inner_max_num_threads=1):  # as here
        two = cross_validated(
            JointPruneClassifier, **QUICK, rule="one_se", n_jobs=2
        ).fit(*planted)
    np.testing.assert_array_equal(two.alphas_, fitted.alphas_)
    np.testing.assert_array_equal(
        two.cv_results_["mean_test_score"], fitted.cv_results_["mean_test_score"]
    )
    np.testing.assert_array_equal(two.support_, fitted.support_)


def test_one_se_is_no_larger_than_the_best(fitted, planted):
    best = cross_validated(JointPruneClassifier, **QUICK, rule="best").fit(*planted)
    assert best.alpha_ <= fitted.alpha_


def test_given_alphas_are_those_to_choose_from(planted):
    clf = cross_validated(JointPruneClassifier, **QUICK, alphas=[0.05, 0.01]).fit(
        *planted
    )
    assert clf.alphas_.tolist() == [0.01, 0.05]


def test_scoring_says_what_is_best(planted):
    X, y = planted
    small = {**QUICK, "alphas": [0.01, 0.05], "cv": 2}
    calls = []

    def score(estimator, X, y):
        calls.append(estimator.alpha)
        return estimator.alpha  # the largest is best

    clf = cross_validated(JointPruneClassifier, **small, scoring=score).fit(X, y)
    assert clf.alpha_ == max(calls) == 0.05 and len(calls) == 4
    named = cross_validated(JointPruneClassifier, **small, scoring="neg_log_loss").fit(
        X, y
    )
    assert (named.cv_results_["mean_test_score"] < 0).all()


def test_regressor_finds_the_inputs_of_friedman():
    X, y = make_friedman1(400, 10, random_state=0)
    reg = cross_validated(
        JointPruneRegressor,
        **{**QUICK, "max_epochs": 40, "n_alphas": 8},
        rule="one_se",
        prune="inputs",
    ).fit(X, y)
    assert reg.support_.nonzero()[0].tolist() == [0, 1, 2, 3, 4]
    assert reg.score(X, y) > 0.8


def test_groups_keep_rows_together(planted):
    X, y = planted
    small = {**QUICK, "n_alphas": 2, "cv": GroupKFold(2)}
    clf = cross_validated(JointPruneClassifier, **small)
    clf.fit(X, y, groups=np.arange(400) % 4)
    assert clf.n_splits_ == 2
    with pytest.raises(ValueError, match="groups"):
        clone(clf).fit(X, y)


def test_groups_and_weights_are_routed_where_routing_is_enabled(planted):
    X, y = planted
    small = {**QUICK, "n_alphas": 2}
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_scorer(f1_score).set_score_request(sample_weight=True)
        clf = cross_validated(
            JointPruneClassifier, **{**small, "cv": GroupKFold(2)}, scoring=scorer
        ).set_fit_request(sample_weight=True)
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=True), clf)
        weight = np.where(y == 1, 5.0, 1.0)
        pipe.fit(X, y, groups=np.arange(400) % 4, sample_weight=weight)
        assert pipe[-1].n_splits_ == 2


def test_weights_count_in_fits_and_in_the_default_score(planted):
    X, y = planted
    small = {**QUICK, "cv": KFold(2, shuffle=True, random_state=0), "n_alphas": 2}
    both = np.r_[X, X], np.r_[y, 1 - y]
    weight = np.r_[np.ones(400), np.full(400, 1e-3)]
    clf = cross_validated(JointPruneClassifier, **small).fit(
        *both, sample_weight=weight
    )
    assert clf.cv_results_["mean_test_score"].max() > 0.8
    assert clf.score(X, y) > 0.8


def test_unknown_metadata_is_refused(planted):
    with pytest.raises(TypeError, match="metadata routing"):
        cross_validated(JointPruneClassifier, **QUICK).fit(*planted, colour=1)


def test_second_fit_forgets_the_names_of_the_first(frame, planted):
    small = {**QUICK, "n_alphas": 2, "cv": 2}
    clf = cross_validated(JointPruneClassifier, **small).fit(*frame)
    assert hasattr(clf, "feature_names_in_")
    assert not hasattr(clf.fit(*planted), "feature_names_in_")


def test_early_stopping_watches_held_out_rows_of_folds(planted):
    small = {**QUICK, "n_alphas": 2, "cv": 2}
    clf = cross_validated(
        JointPruneClassifier, **small, callbacks=[EarlyStopping(patience=2)]
    )
    assert clf.fit(*planted).n_splits_ == 2


def test_default_score_takes_routed_weights(planted):
    X, y = planted
    small = {**QUICK, "n_alphas": 2, "cv": 2}
    with sklearn.config_context(enable_metadata_routing=True):
        clf = cross_validated(JointPruneClassifier, **small).set_fit_request(
            sample_weight=True
        )
        assert clf.fit(X, y, sample_weight=np.ones(400)).score(X, y) > 0.5


def test_few_inputs_are_enough(planted):
    X, y = planted
    small = {**QUICK, "cv": 2, "n_alphas": 8, "max_epochs": 30}
    clf = cross_validated(JointPruneClassifier, **small, prune="inputs").fit(
        X[:, [1, 5, 8]], y
    )
    assert (clf.alphas_ > 0).all()


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"penalty": GroupL0}, r"pass GroupL0\(\)"),
        ({"alphas": [0.0]}, "above 0"),
        ({"rule": "worst"}, "rule"),
        ({"rule": -0.1}, "rule"),
        ({"n_alphas": 0}, "n_alphas"),
        ({"prune": "none"}, "prune"),
        ({"lr": -1}, "lr"),
        ({"cv": []}, "at least one split"),
    ],
)
def test_bad_parameters_are_refused_and_lose_nothing(planted, params, match):
    clf = cross_validated(JointPruneClassifier, **{**QUICK, **params})
    with pytest.raises(ValueError, match=match):
        clf.fit(*planted)
    assert not [name for name in vars(clf) if name.endswith("_")]


def test_parameters_reach_the_estimators_of_folds_and_refit(planted):
    X, y = planted
    small = {**QUICK, "n_alphas": 2, "cv": 2}
    clf = cross_validated(JointPruneClassifier, **small, module__activation="tanh").fit(
        X, y
    )
    assert "Tanh" in repr(clf.module_)
    assert "estimator__module__activation" in clone(clf).get_params()
    assert "alpha" not in clf.get_params()


def test_a_cross_validated_estimator_is_cross_validated(planted):
    small = {**QUICK, "n_alphas": 3, "cv": 2}
    scores = cross_val_score(
        cross_validated(JointPruneClassifier, **small), *planted, cv=2
    )
    assert scores.min() > 0.8
