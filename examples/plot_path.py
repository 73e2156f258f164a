"""
How small can the network be?
=============================

One path shows the whole trade-off between accuracy and size; cross-validation along
paths picks a point: the smallest network within one standard error of the best.
"""

# %%
# One warm-started run, from dense to a single input.
import argparse

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skjointprune import (
    JointPruneClassifier,
    JointPruneCV,
    PathDisplay,
    joint_prune_path,
)

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, stratify=y, test_size=0.3, random_state=0
)
short = {"max_epochs": 60, "retrain_epochs": 60, "random_state": 0}
path = joint_prune_path(
    X_train,
    y_train,
    estimator=JointPruneClassifier(**short, validation_fraction=0.2),
)
print(path)

# %%
# Paths on five folds, and the one-standard-error rule.
clf = JointPruneCV(JointPruneClassifier(**short), n_alphas=12, rule="one_se")
clf.fit(X_train, y_train)
print(clf.report_)
print(f"alpha {clf.alpha_:.3g}, test accuracy {clf.score(X_test, y_test):.4f}")

# %%
# Both, over the number of inputs and of operations for one row (MACs).
fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
PathDisplay.from_path(path, rule=None, ax=axes, color="silver", label="path, held out")
PathDisplay.from_estimator(clf, ax=axes)
axes[0].set_ylabel("accuracy")

# %%
# Run as a script, this saves the picture.
if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Show accuracy against size.")
    parser.add_argument("--out", default="path.png", help="where to save the picture")
    out = parser.parse_known_args()[0].out
    fig.savefig(out, dpi=150)
    print(f"picture saved as {out}")
