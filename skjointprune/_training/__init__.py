"""The phases of a fit: train, prune while training, retrain.

In go data, a network and settings; out comes the finished network with the history of
its training. All training by skorch is in here.
"""
