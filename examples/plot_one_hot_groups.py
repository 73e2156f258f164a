"""
A category stays or goes whole
==============================

One-hot encoding makes many columns of one category. To keep two levels out of five
saves nothing, as the category has to be recorded all the same. With
``feature_groups="auto"`` the columns of a category stay or go together.
"""

# %%
# Six measurements of breast tumours as numbers, three as grades from 1 to 5, and a
# category that does not matter: the clinic, drawn at random.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skjointprune import JointPruneClassifier

measured, y = load_breast_cancer(return_X_y=True, as_frame=True)
properties = ["texture", "smoothness", "symmetry"]
numbers = [f"{when} {what}" for when in ("mean", "worst") for what in properties]
grades = ["worst area", "worst concave points", "worst fractal dimension"]
X = measured[numbers].copy()
for name in grades:
    X[name] = pd.qcut(measured[name], 5, labels=list("12345")).astype(str)
X["clinic"] = np.random.default_rng(0).choice(list("ABCDEFGH"), len(X))
categories = [*grades, "clinic"]
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.3, stratify=y, random_state=0
)

# %%
# A `ColumnTransformer` encodes the categories. As a frame, its columns have the names
# by which "auto" finds the groups. Noise on the inputs while sparsifying keeps the
# network from memorising patients by their clinic.
encode = ColumnTransformer(
    [("category", OneHotEncoder(sparse_output=False), categories)],
    remainder=StandardScaler(),
    verbose_feature_names_out=False,
).set_output(transform="pandas")


def fit(feature_groups, n_features_to_select):
    """Encode, then fit a network on so many columns, or groups of them."""
    network = JointPruneClassifier(
        hidden_layer_sizes=(32,),
        feature_groups=feature_groups,
        n_features_to_select=n_features_to_select,
        input_noise=1.0,
        alpha=0.1,
        batch_size=32,
        max_epochs=60,
        retrain_epochs=20,
        lr=2e-3,
        validation_fraction=None,
        random_state=0,
    )
    return Pipeline([("encode", encode), ("network", network)]).fit(X_train, y_train)


together = fit("auto", 3)
network = together["network"]
names = network.feature_names_in_
print(f"{len(names)} columns in {len(network.feature_groups_)} groups")
for columns, stays in zip(
    network.feature_groups_, network.get_group_support(), strict=True
):
    print("stays:" if stays else "goes: ", ", ".join(names[columns]))

# %%
# Column by column, with as many columns as those three groups have.
n_columns = int(network.get_support().sum())
alone = fit(None, n_columns)


def touched(pipe):
    """Return what has to be recorded for the columns that a pipeline reads."""
    kept = pipe["network"].get_feature_names_out()
    return sorted({name.partition("_")[0] for name in kept})


for pipe, how in ((together, "in groups"), (alone, "by column")):
    print(f"{how}: {n_columns} columns, test accuracy {pipe.score(X_test, y_test):.3f}")
    print("   to be recorded:", ", ".join(touched(pipe)))

# %%
# The cost of the next patient is what has to be recorded, not the number of columns.
# Often both ways record the same, at about the same accuracy. Groups make sure of it.
fig, axes = plt.subplots(1, 2, figsize=(9, 5.6), layout="constrained", sharey=True)
for ax, pipe, title in (
    (axes[0], together, f"in groups: {len(touched(together))} to record"),
    (axes[1], alone, f"by column: {len(touched(alone))} to record"),
):
    importances = pipe["network"].feature_importances_
    ax.barh(
        range(len(names)),
        importances,
        color=["tab:orange" if "_" in name else "tab:blue" for name in names],
    )
    ax.set_title(title)
    ax.set_xlabel("loss given up, nats (orange: one-hot)")
axes[0].set_yticks(range(len(names)), names, fontsize="small")
axes[0].invert_yaxis()
plt.show()
