"""Small tools for every wing: devices, seeds, warnings, names, optional packages.

In go modules, seeds and estimators; out come small answers. Nothing here knows of
pruning, and only `sklearn.py` imports private names of scikit-learn.
"""
