"""Rules: what each kind of layer and function does to the labels of channels.

In go labels of a layer's or function's input; out come labels of its output, and what
the rule told its context of parameters on the way.
"""
