import numpy as np
import pytest
from sklearn.datasets import load_iris
from torch import nn

from skjointprune import ImageInput, JointPruneClassifier, joint_prune_path


@pytest.fixture(scope="session")
def path():
    clf = JointPruneClassifier((16,), max_epochs=20, retrain_epochs=8, random_state=0)
    return joint_prune_path(*load_iris(return_X_y=True), n_alphas=4, estimator=clf)


@pytest.fixture(scope="session")
def of_images():
    """A classifier of images (2, 6, 7) whose class is in one row."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2, 6, 7)).astype(np.float32)
    y = rng.integers(0, 2, 200)
    X[y == 1, 1, 2] += 2
    clf = JointPruneClassifier(
        module=lambda n_outputs: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, n_outputs),
        ),
        images=ImageInput(groups="row"),
        n_features_to_select=2,
        max_epochs=8,
        retrain_epochs=1,
        lr=1e-2,
        random_state=0,
    )
    return clf.fit(X, y)
