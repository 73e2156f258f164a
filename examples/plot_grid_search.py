"""
How many inputs for how much accuracy?
======================================

A grid search over `alpha` shows the trade-off, and picks the smallest network that
is within one standard error of the best.
"""

# %%
# The search is scikit-learn's own. Fewer epochs than the default keep it short.
import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skjointprune import JointPruneClassifier, PathDisplay

X, y = load_digits(return_X_y=True)
alphas = [0.005, 0.01, 0.02, 0.04, 0.06, 0.08]
clf = JointPruneClassifier(max_epochs=30, retrain_epochs=20, random_state=0)


def one_standard_error(results):
    """Pick the largest alpha whose score is within one standard error of the best."""
    scores = results["mean_test_score"]
    best = scores.argmax()
    error = results["std_test_score"][best] / np.sqrt(3)
    return np.flatnonzero(scores >= scores[best] - error).max()


search = GridSearchCV(
    clf, {"alpha": alphas}, cv=3, n_jobs=2, refit=one_standard_error
).fit(X, y)
best = search.best_estimator_
print(best.report_)
print(f"alpha={best.alpha:g}: accuracy {search.cv_results_['mean_test_score']}")

# %%
# Accuracy against inputs kept; each network is fitted again on all rows for its size.
sizes = [
    clf.set_params(alpha=alpha).fit(X, y).report_.pruned.inputs for alpha in alphas
]
display = PathDisplay(
    {"inputs": sizes},
    search.cv_results_["mean_test_score"],
    errors=search.cv_results_["std_test_score"] / np.sqrt(3),
    alphas=alphas,
    chosen=search.best_index_,
    score_name="accuracy",
)
fig = display.plot(x="inputs", label="mean of 3 folds ± standard error").figure_

# %%
# Run as a script, this saves the picture.
if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Accuracy against inputs kept.")
    parser.add_argument("--out", default="grid_search.png", help="where to save it")
    out = parser.parse_known_args()[0].out
    fig.savefig(out, dpi=150)
    print(f"picture saved as {out}")
