"""A process that compiles for another one which must not die of it: a test run, an editor.

A campaign forks its workers itself. A test run can't: pytest and xdist have threads, and what a fork of
such a process does is undefined; and a compiler that corrupts its memory, or closes its files, must not do
that to the process that reports. So the run keeps one *host* (:class:`fuzzer.host.client.Host`), a fresh Python
with nothing in it but the fuzzer. Invariants:

- The compiler under test never runs in the asking process.
- An entry is replayed in a child of the host, one each (:func:`fuzzer.campaign.isolated.run_isolated`). So is
  any case on a target that may take its process down.
- Other cases, of which a property test has hundreds a second, run in the host itself. If it dies all the
  same, a new host tries the case again in a child, and says how that died.
- The host ends when who asks ends, however that ends, and leaves no process behind.

:mod:`fuzzer.host.client` is the asking side, :mod:`fuzzer.host.server` the other.
"""
