"""
Compared with SelectFromModel
=============================

Scikit-learn selects columns by the coefficients or importances of a model. Here three
selectors choose pixels of the digits, and the same classifier reads what they choose.
"""

# %%
# Each selector is asked for the same number of pixels, on the same training rows, and a
# support vector machine is trained on those. The pruned network is a classifier of its
# own as well: its score is the last line.
import time

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skjointprune import InputFeatureSelector, JointPruneClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.5, stratify=y, random_state=0
)
numbers = [4, 8, 12, 20, 32]


def network(k):
    """Return a network for k inputs, of which no units go."""
    return JointPruneClassifier(
        hidden_layer_sizes=(64,),
        n_features_to_select=k,
        prune="inputs",
        batch_size=64,
        max_epochs=40,
        retrain_epochs=20,
        lr=2e-3,
        random_state=0,
    )


def selectors(k):
    """Return three selectors of k columns."""
    forest = RandomForestClassifier(200, random_state=0)
    l1 = LogisticRegression(
        l1_ratio=1, solver="saga", C=0.1, max_iter=300, tol=1e-2, random_state=0
    )
    exactly = {"max_features": k, "threshold": -float("inf")}
    return {
        "L1 logistic regression": SelectFromModel(l1, **exactly),
        "random forest": SelectFromModel(forest, **exactly),
        "pruned network": InputFeatureSelector(network(k).set_params(retrain_epochs=0)),
    }


scores, seconds, masks = {}, {}, {}
for k in numbers:
    for name, selector in selectors(k).items():
        start = time.perf_counter()
        pipe = make_pipeline(StandardScaler(), selector, SVC()).fit(X_train, y_train)
        seconds[name] = seconds.get(name, 0) + time.perf_counter() - start
        scores.setdefault(name, []).append(pipe.score(X_test, y_test))
        masks[name, k] = pipe[1].get_support().reshape(8, 8)
alone = [network(k).fit(X_train, y_train).score(X_test, y_test) for k in numbers]

print(f"{'pixels':24}", *(f"{k:6}" for k in numbers), " seconds")
for name, values in scores.items():
    print(f"{name:24}", *(f"{v:6.3f}" for v in values), f"{seconds[name]:8.1f}")
print(f"{'the network itself':24}", *(f"{v:6.3f}" for v in alone))

# %%
# The others rank pixels once and take the first k, so they take neighbours that are
# much alike. The network is trained while pixels go, so that the worth of a pixel
# depends on those that are left. That is an advantage where few may stay: of 32 pixels
# the forest's are as good here, and it takes less time.
fig, axes = plt.subplot_mosaic(
    [["line", "L1"], ["line", "forest"], ["line", "ours"]],
    figsize=(9, 4.8),
    width_ratios=[3, 1],
    layout="constrained",
)
for name, values in scores.items():
    own = name == "pruned network"
    axes["line"].plot(
        numbers, values, "o-" if own else ".-", label=name, zorder=3 if own else 2
    )
axes["line"].set_xlabel("pixels")
axes["line"].set_ylabel("test accuracy of the SVM")
axes["line"].legend(loc="lower right")
for ax, name in zip(("L1", "forest", "ours"), scores, strict=True):
    axes[ax].imshow(masks[name, 8], cmap="Blues", vmax=1.5)
    axes[ax].set_title(f"8 by {name}", fontsize="small")
    axes[ax].set_xticks([])
    axes[ax].set_yticks([])
plt.show()
