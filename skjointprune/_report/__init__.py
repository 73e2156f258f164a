"""Sizes and scores of a network before and after pruning, as text, table and HTML.

In go networks and scores; out come `NetworkSize` and `PruningReport`.
"""
