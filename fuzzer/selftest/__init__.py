"""Proof that the fuzzer finds bugs: bugs planted in the builtin backend, each of which must be found.

A planted bug is one small patch over a table row or a function of ``backend``, kept here and never in
the backend itself (mutation testing of the tester; the classes come from bugs that real backends had).
"""
