"""
Two inputs with the same information
====================================

If two inputs hold nearly the same information, one of them is enough, and the seed
decides which one stays. A selection is then not wrong, but it does not list all that
matters.
"""

# %%
# Ten inputs. The class depends on inputs 0 and 2; input 1 is input 0 with a little
# noise; the others do not matter. The data are made up, so that we know the truth.
import matplotlib.pyplot as plt
import numpy as np

from skjointprune import JointPruneClassifier

rng = np.random.default_rng(0)
X = rng.normal(size=(600, 10))
X[:, 1] = X[:, 0] + 0.1 * rng.normal(size=600)
y = (X[:, 0] + X[:, 2] + 0.5 * rng.normal(size=600) > 0).astype(int)
X_train, X_test, y_train, y_test = X[:400], X[400:], y[:400], y[400:]


def fit(seed, **params):
    """Return a classifier fitted in a second or so."""
    clf = JointPruneClassifier(
        hidden_layer_sizes=(16,),
        batch_size=40,
        max_epochs=40,
        retrain_epochs=10,
        lr=5e-3,
        random_state=seed,
        **params,
    )
    return clf.fit(X_train, y_train)


# %%
# Two inputs, six seeds. Input 2 always stays; of inputs 0 and 1 either does, and the
# test accuracy does not tell which.
pairs = [fit(seed, n_features_to_select=2) for seed in range(6)]
for seed, clf in enumerate(pairs):
    kept = clf.get_support(indices=True).tolist()
    print(f"seed {seed}: inputs {kept}, test accuracy {clf.score(X_test, y_test):.3f}")

# %%
# As one group the two stay or go together, and the selection is the same for all seeds.
grouped = [
    fit(seed, n_features_to_select=2, feature_groups=[[0, 1]]) for seed in range(3)
]
for seed, clf in enumerate(grouped):
    print(f"seed {seed}, grouped: inputs {clf.get_support(indices=True).tolist()}")

# %%
# Importance is shared: if both inputs stay, each has less than one that stays alone.
both = fit(0, n_features_to_select=3).feature_importances_
alone = np.max([clf.feature_importances_[:2].max() for clf in pairs])
print(f"both stay: {both[0]:.3f} and {both[1]:.3f}; one stays: up to {alone:.3f}")

fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
image = axes[0].imshow(
    [clf.feature_importances_ for clf in pairs], cmap="viridis", aspect="auto"
)
axes[0].set_xlabel("input")
axes[0].set_ylabel("seed")
axes[0].set_xticks(range(10))
axes[0].set_title("importance with two inputs")
fig.colorbar(image, ax=axes[0])
axes[1].bar(range(10), both)
axes[1].set_xticks(range(10))
axes[1].set_xlabel("input")
axes[1].set_ylabel("importance (nats)")
axes[1].set_title("with three inputs: the twins share")
plt.show()
