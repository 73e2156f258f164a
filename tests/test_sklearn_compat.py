from sklearn.utils.estimator_checks import parametrize_with_checks

from skjointprune import (
    InputFeatureSelector,
    JointPruneClassifier,
    JointPruneClassifierCV,
    JointPruneRegressor,
    JointPruneRegressorCV,
)

QUICK = {
    "hidden_layer_sizes": (16,),
    "max_epochs": 18,
    "retrain_epochs": 8,
    "lr": 1e-2,
    "batch_size": 16,
    "random_state": 0,
}


PATH = {**QUICK, "n_alphas": 4, "cv": 2}


def expected_failures(estimator):
    return {
        "check_sample_weight_equivalence_on_dense_data": (
            "trained in batches: a row given twice is not a row of weight two"
        )
    }


@parametrize_with_checks(
    [
        JointPruneClassifier(**QUICK),
        JointPruneRegressor(**QUICK),
        JointPruneClassifierCV(**PATH),
        JointPruneRegressorCV(**PATH),
        InputFeatureSelector(JointPruneClassifier(**QUICK)),
        InputFeatureSelector(JointPruneRegressor(**QUICK)),
    ],
    expected_failed_checks=expected_failures,  # strict by the xfail_strict of pytest
)
def test_estimator_passes_the_checks_of_sklearn(estimator, check):
    check(estimator)
