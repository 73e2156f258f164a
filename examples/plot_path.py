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
    JointPruneClassifierCV,
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
# Paths on three folds, and the one-standard-error rule.
clf = JointPruneClassifierCV(**short, n_alphas=12, cv=3, rule="one_se")
clf.fit(X_train, y_train)
print(clf.report_)
print(f"alpha {clf.alpha_:.3g}, test accuracy {clf.score(X_test, y_test):.4f}")

# %%
# Both, over the number of inputs and of parameters.
results = clf.cv_results_
fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
for ax, name, sizes in (
    (axes[0], "inputs", path.inputs),
    (axes[1], "parameters", path.parameters),
):
    ax.plot(sizes, path.scores, ".-", color="silver", label="path, held-out rows")
    ax.errorbar(
        results[f"mean_{name}"],
        results["mean_test_score"],
        results["std_test_score"],
        fmt="o-",
        markersize=4,
        capsize=2,
        label="mean of 3 folds",
    )
    ax.plot(
        results[f"mean_{name}"][clf.best_index_],
        results["mean_test_score"][clf.best_index_],
        "*",
        markersize=14,
        color="tab:orange",
        zorder=3,
        label="chosen",
    )
    ax.set_xscale("log")
    ax.set_xlabel(name)
axes[0].set_ylabel("accuracy")
axes[1].legend(loc="lower right")

# %%
# Run as a script, this saves the picture.
if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Show accuracy against size.")
    parser.add_argument("--out", default="path.png", help="where to save the picture")
    out = parser.parse_known_args()[0].out
    fig.savefig(out, dpi=150)
    print(f"picture saved as {out}")
