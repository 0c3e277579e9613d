"""Register allocation: :func:`~backend.regalloc.allocate.allocate`, and a checker that distrusts
it.
"""
