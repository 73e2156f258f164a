"""Small tools that every wing may use; they know nothing of pruning.

In go modules, devices, seeds and estimators; out come small answers. scikit-learn's
private names are imported in `sklearn.py` alone.
"""
