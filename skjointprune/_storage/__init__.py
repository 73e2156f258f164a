"""How anything is written without code: JSON values, tensors, one file of both.

In go values, tensors and bytes; out come a file that is replaced at once, and the same
values back.
"""
