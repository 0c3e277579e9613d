"""A small compiler backend: CLIF in, machine code out.

It knows nothing of fuzzing. The pipeline reads on one page in :mod:`backend.compile`.
"""
