"""Functions with a context are drawn, with global values that mean something whatever the function does."""

from __future__ import annotations

from fuzzer.case import DATA_BASE
from fuzzer.generate.cases import CaseGenerator
from fuzzer.generate.memory import _NEAR, _TABLE
from fuzzer.outcome import Returned, Trapped
from fuzzer.reference.evaluate import outcomes_of
from fuzzer.targets import target_named


def test_the_table_of_pointers_is_never_stored_to() -> None:
    generator = CaseGenerator(target_named("builtin"), "aarch64")
    kinds: set[str] = set()
    loaded = flags = 0
    for seed in range(700):
        case = generator.from_seed(seed)
        used = [f for f in case.functions if f.globals]
        if not used:
            continue
        for function in used:
            purposes = [param.purpose for param in function.signature.params]
            assert purposes.count("vmctx") == 1
            kinds |= {text.split(".")[0] for text in function.globals.values()}
            flags += any("readonly" in text for text in function.globals.values())
        table = case.memory[_TABLE : _TABLE + 16 * len(_NEAR)]
        assert int.from_bytes(table[:8], "little") == DATA_BASE + _NEAR[0]
        for outcome in outcomes_of(case):
            if isinstance(outcome, Returned | Trapped):
                assert outcome.memory[_TABLE : _TABLE + len(table)] == table
                loaded += 1
    assert kinds == {"vmctx", "iadd_imm", "load"}
    assert loaded > 100
    assert flags
