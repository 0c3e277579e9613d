"""Fuzzing for a while: budget, workers that may die, findings as they come."""
