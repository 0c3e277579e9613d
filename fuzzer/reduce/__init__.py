"""Making a finding small: first Hypothesis on the draws, capped by calls, then passes over the IR.

The predicate is always *the same rule broken in the same way*, never just *it fails*: reduction
would otherwise slip from one bug to another (Zeller & Hildebrandt call it the failure's identity).
"""
