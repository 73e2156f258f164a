"""What each kind of layer and function does to the labels of channels.

In go labels of what a layer or function is given; out come labels of what it returns,
and what it said of its parameters on the way.
"""
