"""Layers that can lose channels, and layers that stand around a network.

In goes a layer of torch that cannot shrink, or a network that needs a layer before or
after it; out comes a module that computes the same.
"""
