"""Explaining a finding: where the machine first left the path of the reference, and which stage led it off."""
