"""Selection at a stated error rate: knockoffs, and p-values of single inputs.

In go a table, its targets and any estimator that tells how important inputs are, or
predicts; out come results that select at a rate of false discoveries. Nothing here
knows of networks.
"""
