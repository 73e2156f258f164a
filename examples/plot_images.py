"""
Which rows and columns of an image are read?
============================================

Images as inputs of a convolutional network: whole rows and columns may go, the images
are cropped, and the feature maps that are not needed go as well.
"""

# %%
# Scikit-learn's digits, pasted at one place of a larger canvas of noise. A camera whose
# view is too wide makes such images.
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from skjointprune import ImageInput, JointPruneClassifier

digits = load_digits()
rng = np.random.default_rng(0)
X = rng.uniform(0, 4, (len(digits.images), 1, 14, 24)).astype(np.float32)
X[:, 0, 3:11, 12:20] += digits.images
X_train, X_test, y_train, y_test = train_test_split(
    X, digits.target, stratify=digits.target, random_state=0
)


def convnet(n_features_in, n_outputs):
    """Two convolutions and a linear layer; the pooling takes images of any size."""
    return nn.Sequential(
        nn.Conv2d(n_features_in, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(4),
        nn.Flatten(),
        nn.Linear(16 * 16, n_outputs),
    )


# %%
# The same training with pruning, and without.
fits = {}
for prune in ("joint", "none"):
    fits[prune] = JointPruneClassifier(
        module=convnet,
        prune=prune,
        images=ImageInput(groups=("row", "column")),
        alpha=0.15,
        max_epochs=16,
        retrain_epochs=6,
        lr=5e-3,
        random_state=0,
    ).fit(X_train, y_train)
clf = fits["joint"]
print(clf.report_)
for prune, fitted in fits.items():
    print(f"prune={prune!r}: test accuracy {fitted.score(X_test, y_test):.4f}")

# %%
# The mask has the shape of an image. What it leaves is cropped before the network,
# which does its work on fewer pixels.
support = clf.get_support()[0]
rows, columns = support.any(axis=1), support.any(axis=0)
print("rows kept:   ", np.flatnonzero(rows))
print("columns kept:", np.flatnonzero(columns))

fig, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
axes[0].imshow(X_test[0, 0], cmap="gray_r")
axes[0].add_patch(
    Rectangle((11.5, 2.5), 8, 8, fill=False, edgecolor="tab:orange", linewidth=2)
)
axes[0].set_title("an image; the frame holds the digit")
axes[1].imshow(np.where(support, X_test[0, 0], np.nan), cmap="gray_r")
axes[1].set_facecolor("lightsteelblue")
axes[1].set_title(f"{rows.sum()} rows of 14, {columns.sum()} columns of 24 are read")
for ax in axes:
    ax.set_xticks([])
    ax.set_yticks([])
plt.show()
