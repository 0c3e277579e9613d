"""CLIF, Cranelift's intermediate representation: types, opcodes, functions, text.

Standard library only; nothing of the rest of the backend is imported here, so that the
reference interpreter can share the language and nothing else with the compiler it judges.
"""
