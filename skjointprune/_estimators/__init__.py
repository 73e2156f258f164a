"""The estimators: parameters, `fit`, predictions, paths and cross-validation.

In go parameters, X and y; out come fitted estimators of scikit-learn's kind.
"""
