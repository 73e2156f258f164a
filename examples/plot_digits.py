"""
Which pixels does a network need to read digits?
================================================

A classifier of scikit-learn's bundled 8x8 digits is asked to read 20 pixels of the
64, and to drop the units that it does not need.
"""

# %%
# Train, prune and retrain, in one fit.
import argparse

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skjointprune import JointPruneClassifier, SupportDisplay

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    digits.data, digits.target, stratify=digits.target, random_state=0
)
clf = JointPruneClassifier(n_features_to_select=20, alpha=0.03, random_state=0)
clf.fit(X_train, y_train)

print(clf.report_)
print(f"test accuracy: {clf.score(X_test, y_test):.4f}")

# %%
# The retained pixels, and how important each is.
fig, (left, middle, right) = plt.subplots(1, 3, figsize=(9, 3.1), layout="constrained")
left.imshow(digits.images[0], cmap="gray_r")
left.set_title("a digit")
pixels = SupportDisplay.from_estimator(
    clf, image_shape=(8, 8), values=digits.images[0], cmap="gray_r", ax=middle
)
middle.set_title("what the network sees")
pixels.plot(right)
right.set_title("importance")
for ax in (left, middle, right):
    ax.set(xticks=[], yticks=[], xlabel="")

# %%
# Run as a script, this saves the picture.
if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Show the pixels a network keeps.")
    parser.add_argument("--out", default="digits.png", help="where to save the picture")
    out = parser.parse_known_args()[0].out
    fig.savefig(out, dpi=150)
    print(f"picture saved as {out}")
