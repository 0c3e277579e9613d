"""The optimiser: CLIF to better CLIF, what ``opt_level=speed`` does between verifying and lowering."""
