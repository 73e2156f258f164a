"""Pictures of supports, paths and reports, in the manner of scikit-learn's displays.

In goes a fitted estimator, a path or a report; out comes a display whose `plot` draws
with matplotlib, which is imported on the first drawing.
"""
