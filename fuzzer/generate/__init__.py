"""Drawing cases: valid by construction, nothing rejected, shapes that shrink well.

One generator (:mod:`fuzzer.generate.function`), two sources of choices
(:mod:`fuzzer.generate.source`): Hypothesis's engine for ``@given`` and for shrinking, and a recording
pseudo-random source, twenty times faster, for campaigns. What one recorded the other replays.
"""
