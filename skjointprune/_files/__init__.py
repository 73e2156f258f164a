"""Fitted estimators as files, and back.

In goes a fitted estimator; out comes a file without code (`save`, `load`), or one for
ONNX.
"""
