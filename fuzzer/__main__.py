"""``python -m fuzzer`` is ``clifhanger``."""

from fuzzer.cli import main

main()
