import pytest
from sklearn.datasets import load_iris

from skjointprune import JointPruneClassifier, joint_prune_path


@pytest.fixture(scope="session")
def path():
    clf = JointPruneClassifier((16,), max_epochs=20, retrain_epochs=8, random_state=0)
    return joint_prune_path(*load_iris(return_X_y=True), n_alphas=4, estimator=clf)
