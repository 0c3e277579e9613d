"""Running machine code of any ISA under Unicorn, and seeing what it did to its surroundings.

The calling conventions here are the executor's own (:mod:`fuzzer.execute.conventions`): borrowing the
backend's would make a wrong ABI agree with itself.
"""
