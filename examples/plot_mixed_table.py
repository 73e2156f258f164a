"""
A census as it comes: categories and gaps
=========================================

Which columns of a census tell whether somebody earns a lot? Most are text, and some
have gaps. The frame goes into ``fit`` as it is, without an encoder or an imputer, and
the support names columns of the census.
"""

# %%
# Where the environment variable ``SKJOINTPRUNE_DATA`` names a folder with the files of
# Adult, ``adult-train.csv`` and ``adult-test.csv``, these are read, at most 4,000 rows
# each. Else a small frame like it is drawn, whose truth is known: the income depends on
# age, education, occupation and hours, and on nothing else.
import os
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance

from skjointprune import JointPruneClassifier

N_ROWS = 4000


def read_adult(path):
    """Return Adult's columns and incomes; its question marks are gaps."""
    names = [
        *["age", "workclass", "fnlwgt", "education", "education_num"],
        *["marital_status", "occupation", "relationship", "race", "sex"],
        *["capital_gain", "capital_loss", "hours_per_week", "native_country"],
    ]
    frame = pd.read_csv(
        path,
        names=[*names, "income"],
        skipinitialspace=True,
        na_values="?",
        comment="|",
    ).dropna(subset="income")[:N_ROWS]
    y = frame.pop("income").str.rstrip(".") == ">50K"
    return frame, np.where(y, "high", "low")


def draw_census(n_rows, seed):
    """Return a frame like Adult, and incomes by a known rule."""
    rng = np.random.default_rng(seed)
    schools = {"school": 0.0, "college": 0.7, "bachelor": 1.4, "doctorate": 2.2}
    jobs = {"farm": -1.0, "service": -0.8, "craft": 0.0, "sales": 0.4, "manager": 1.5}
    X = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n_rows).astype(float),
            "workclass": rng.choice(["private", "state", "self"], n_rows),
            "education": rng.choice([*schools], n_rows, p=[0.4, 0.3, 0.2, 0.1]),
            "occupation": rng.choice([*jobs], n_rows),
            "sex": rng.choice(["female", "male"], n_rows),
            "hours": rng.normal(40, 10, n_rows).round(),
            "region": rng.choice(["north", "south", "east", "west"], n_rows),
            "weight": rng.lognormal(12, 0.5, n_rows).round(),
        }
    )
    logit = 2 * X["education"].map(schools) + 2 * X["occupation"].map(jobs)
    logit += 0.1 * (X["hours"] - 40) - ((X["age"] - 50) / 12) ** 2
    y = np.where(logit + rng.logistic(size=n_rows) > 1, "high", "low")
    for column in ("workclass", "occupation"):
        X.loc[rng.random(n_rows) < 0.06, column] = None
    return X, y


folder = Path(os.environ.get("SKJOINTPRUNE_DATA", "."))
if (folder / "adult-train.csv").is_file() and (folder / "adult-test.csv").is_file():
    X_train, y_train = read_adult(folder / "adult-train.csv")
    X_test, y_test = read_adult(folder / "adult-test.csv")
else:
    X_train, y_train = draw_census(N_ROWS, seed=0)
    X_test, y_test = draw_census(N_ROWS, seed=1)
print("gaps:", X_train.isna().sum()[lambda n: n > 0].to_dict())
X_train.head()

# %%
# Four columns are to stay. A category counts as one, however many levels it has: for
# the network it is a block of numbers, which stay or go together. A gap in a category
# is a level of its own.
clf = JointPruneClassifier(
    (64,), n_features_to_select=4, max_epochs=25, retrain_epochs=15, random_state=0
)
clf.fit(X_train, y_train)
names = clf.get_feature_names_out()
print("kept:", ", ".join(names))
for column, levels in clf.categories_.items():
    print(f"{column}: {len(levels)} levels")


# %%
# Histogram boosting is a strong classifier for such tables, and reads all columns. It
# gets positions of levels in place of text. A level that our fit found rare, or did not
# see, is missing there.
def as_numbers(X):
    """Return a frame with the position of each level, NaN where it is not known."""
    positions = {
        name: X[name].map({level: i for i, level in enumerate(levels)})
        for name, levels in clf.categories_.items()
        if name in X
    }
    return X.assign(**positions).astype(float)


def as_levels(numbers):
    """Return the frame of which `as_numbers` makes these numbers."""
    levels = {
        name: numbers[name].map(dict(enumerate(levels)))
        for name, levels in clf.categories_.items()
        if name in numbers
    }
    return numbers.assign(**levels)


boosting = HistGradientBoostingClassifier(
    categorical_features=list(clf.categories_), random_state=0
)
boosting.fit(as_numbers(X_train), y_train)
by_boosting = boosting.score(as_numbers(X_test), y_test)
print(f"boosting, {X_train.shape[1]} columns: test accuracy {by_boosting:.3f}")
print(f"ours, {len(names)} columns: test accuracy {clf.score(X_test, y_test):.3f}")

# %%
# From now on nobody has to record the other columns: a frame may lack them. A level
# that is new gets a defined prediction as well.
people = X_test[names].head(3)
assert (clf.predict(people) == clf.predict(X_test.head(3))).all()
category = next(name for name in names if name in clf.categories_)
for rows in (people, people.assign(**{category: "something new"})):
    high = clf.predict_proba(rows)[:, 0].round(2)
    print(rows.assign(probability=high).to_string(index=False))

# %%
# ``feature_importances_`` were measured in training. Beside them is shown how much the
# finished network makes of a column, by the permutation explainer of shap: the mean
# size of its values for the probability of a high income, of 100 people. It asks for
# predictions from the retained columns alone. As it takes numbers, it is given the
# positions of levels. Where shap is not installed, the loss of accuracy is shown that
# comes of permuting a column.
if find_spec("shap"):
    import shap

    def predict_high(numbers):
        """Return the probability of a high income."""
        rows = as_levels(pd.DataFrame(numbers, columns=names))
        return clf.predict_proba(rows)[:, 0]

    explainer = shap.PermutationExplainer(
        predict_high, as_numbers(X_train[names][:50]), seed=0
    )
    people = as_numbers(X_test[names][:100])
    values = explainer(people, max_evals=100, silent=True).values
    measure, measured = "mean size of shap's values", np.abs(values).mean(axis=0)
else:
    permuted = permutation_importance(
        clf, X_test[names], y_test, n_repeats=5, random_state=0
    )
    measure, measured = "loss of accuracy if permuted", permuted.importances_mean

# %%
# What went has no bar on either side.
in_training = pd.Series(clf.feature_importances_, X_train.columns)
finished = pd.Series(measured, names).reindex(X_train.columns, fill_value=0.0)
fig, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.6), layout="constrained", sharey=True
)
left.barh(in_training.index, in_training, color="tab:orange")
left.invert_yaxis()
left.set_title("feature_importances_")
left.set_xlabel("saliency in training")
right.barh(finished.index, finished)
right.set_title("of the finished network")
right.set_xlabel(measure)
plt.show()
