"""What a network costs and scores before and after pruning, as text and HTML.

In go networks and scores; out come `NetworkSize` and `PruningReport`.
"""
