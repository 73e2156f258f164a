"""Pictures of supports, paths and reports.

In goes something fitted; out comes a display whose `plot` draws with matplotlib, which
is imported on the first drawing.
"""
