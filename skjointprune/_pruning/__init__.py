"""Steps 1 and 2: what a channel is worth, what it costs, and when it goes.

In goes a `Network` that is being trained; out come masks of the channels that stay, and
the network without the others. No data and no skorch in here.
"""
