"""Telling people how it went."""
