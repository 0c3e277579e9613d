"""Findings on disk: one readable, replayable Cranelift filetest each."""
