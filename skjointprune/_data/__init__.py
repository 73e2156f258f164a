"""From X and y to rows that a network can be trained on.

In goes what a user passes to `fit`; out come checked tables or images on a device, with
encoded targets, rows that are held out, and what scaling was applied.
"""
