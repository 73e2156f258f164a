"""Graph of a module: its prunable channels, and their exact removal.

In goes a module with the shape of a row; out comes a `Network`, the module and its
channels, which `compact_` makes smaller without changing what it computes.
"""
