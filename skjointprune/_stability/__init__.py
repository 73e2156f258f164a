"""Selection on many halves of the rows.

In goes any estimator that selects; out comes a `StabilitySelection`, with the share of
fits that select each input and bounds on false selections.
"""
