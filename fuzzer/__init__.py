"""Clifhanger: a property-based differential fuzzer for compiler backends.

The flow, from a draw to a corpus entry, reads on one page in :mod:`fuzzer.trial`.
"""
