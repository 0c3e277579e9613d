"""Calls on both ISAs against the reference: any signature, any pressure, values alive across the call."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.ir.filetest import parse_file
from backend.isa import ISA_NAMES
from fuzzer.case import Case, OptionValue
from fuzzer.outcome import Returned
from fuzzer.targets import target_named
from fuzzer.trial import run_trial

BUILTIN = target_named("builtin")
INTS = ("i8", "i16", "i32", "i64")
TYPES = (*INTS, "i128", "f32", "f64")
CONVENTIONS = {
    "aarch64": ("", "fast", "tail", "apple_aarch64"),
    "x86_64": ("", "fast", "tail", "windows_fastcall"),
}
BITS = {"i8": 8, "i16": 16, "i32": 32, "i64": 64, "i128": 128, "f32": 32, "f64": 64}
REGISTERS = (0, 3, 4, 6, 10)


def text_of(
    params: list[tuple[str, str]], order: list[int], returns: int, kind: str, conventions: list[str]
) -> str:
    """A caller that gives its arguments on, permuted, twice, and calls a function from outside in between.

    It returns what the first call gave, so that this has to survive the second one. ``conventions``: of the caller, its
    callee, the function from outside and the one that the callee calls.
    """
    mine, convention, outside, inside = (f" {name}" if name else "" for name in conventions)
    plain = ", ".join(type_ for type_, _ in params)
    taken = [params[n] for n in order]
    declared = ", ".join(f"{type_} {extension}".strip() for type_, extension in taken)
    results = [(i, taken[i][0]) for i in range(min(returns, len(taken)))]
    given_back = ", ".join(type_ for _, type_ in results)
    arrow = f" -> {given_back}" if results else ""
    arguments = ", ".join(f"v{n}" for n in order)
    first = ", ".join(f"v{100 + i}" for i, _ in results)
    second = ", ".join(f"v{200 + i}" for i, _ in results)
    own = ", ".join(f"v{n}: {type_}" for n, (type_, _) in enumerate(params))
    theirs = ", ".join(f"v{n}: {type_}" for n, (type_, _) in enumerate(taken))
    near = "colocated " if kind == "near" else ""
    called = (
        f"call fn0({arguments})" if kind == "direct" else f"call_indirect sig0, v300({arguments})"
    )
    address = "" if kind == "direct" else "    v300 = func_addr.i64 fn0\n"
    return (
        f"function %f({plain}){arrow}{mine} {{\n    sig0 = ({declared}){arrow}{convention}\n    fn0 = {near}%g sig0\n"
        f"    fn1 = %outside({declared}) -> i64{outside}\nblock0({own}):\n{address}"
        f"    {first + ' = ' if first else ''}{called}\n"
        f"    v400 = call fn1({arguments})\n    {second + ' = ' if second else ''}{called}\n"
        f"    return {first}\n}}\n"
        f"function %g({declared}){arrow}{convention} {{\n    fn0 = %inside(i64) -> i64{inside}\nblock0({theirs}):\n"
        f"    v500 = iconst.i64 77\n    v501 = call fn0(v500)\n"
        f"    return {', '.join(f'v{i}' for i, _ in results)}\n}}\n"
    )  # fmt: skip


@st.composite
def forwarding(draw: st.DrawFn) -> Case:
    isa = draw(st.sampled_from(ISA_NAMES))
    conventions = draw(st.lists(st.sampled_from(CONVENTIONS[isa]), min_size=4, max_size=4))
    narrow = "windows_fastcall" in conventions
    type_ = st.sampled_from([name for name in TYPES if name != "i128" or not narrow])
    params: list[tuple[str, str]] = []
    for name in draw(st.lists(type_, min_size=1, max_size=18)):
        extensions = ("", "uext", "sext") if name in INTS else ("",)
        params.append((name, draw(st.sampled_from(extensions))))
    order = draw(st.permutations(range(len(params))))
    returns = draw(st.sampled_from((0, 1, 2, 5, 18)))
    kind = draw(st.sampled_from(("direct", "far", "near")))
    return case_of(draw, isa, params, text_of(params, order, returns, kind, conventions))


def case_of(draw: st.DrawFn, isa: str, params: list[tuple[str, str]], text: str) -> Case:
    functions = [entry.function for entry in parse_file(text).functions]
    inputs = [
        tuple(draw(st.integers(0, (1 << BITS[name]) - 1)) for name, _ in params) for _ in range(2)
    ]
    options: dict[str, OptionValue] = {
        "registers": draw(st.sampled_from(REGISTERS)),
        "homes": draw(st.sampled_from(("int", "float", "mixed"))),
    }
    options = {name: value for name, value in options.items() if value not in (0, "int")}
    return Case(functions[0], inputs, isa=isa, options=options, others=functions[1:])


@st.composite
def tail_calling(draw: st.DrawFn) -> Case:
    """A function in tail position that is given any of its caller's arguments in any order, some twice.

    It is reached by the executor or by a function of another convention; its results may overflow; it may be outside.
    """
    isa = draw(st.sampled_from(ISA_NAMES))
    params = [
        (name, "") for name in draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=18))
    ]
    order = draw(st.lists(st.integers(0, len(params) - 1), max_size=24))
    returned = draw(st.lists(st.sampled_from(order), max_size=14)) if order else []
    first = draw(st.booleans())
    indirect = draw(st.booleans())
    outside = draw(st.integers(0, 3)) == 0
    own = ", ".join(f"v{n}: {type_}" for n, (type_, _) in enumerate(params))
    taken = ", ".join(params[n][0] for n in order)
    results = ", ".join(params[n][0] for n in returned)
    arrow = f" -> {results}" if results else ""
    arguments = ", ".join(f"v{n}" for n in order)
    plain = ", ".join(type_ for type_, _ in params)
    made = ", ".join(f"v{300 + i}" for i, _ in enumerate(returned))
    called = ", ".join(f"v{n}" for n in range(len(params)))
    call = (
        f"return_call_indirect sig0, v200({arguments})"
        if indirect
        else f"return_call fn0({arguments})"
    )
    theirs = ", ".join(f"v{i}: {params[n][0]}" for i, n in enumerate(order))
    # which of its own arguments gives a result: the first that came from the same
    given_back = ", ".join(f"v{order.index(n)}" for n in returned)
    text = (
        f"function %g({plain}){arrow} tail {{\n    sig0 = ({taken}){arrow} tail\n    fn0 = %h sig0\n"
        f"    fn1 = %inside(i64) -> i64\nblock0({own}):\n    v100 = iconst.i64 77\n    v101 = call fn1(v100)\n"
        f"{'    v200 = func_addr.i64 fn0' if indirect else ''}\n    {call}\n}}\n"
    )
    if first:
        text = (f"function %f({plain}){arrow} {{\n    fn0 = %g({plain}){arrow} tail\nblock0({own}):\n"
                f"    {made + ' = ' if made else ''}call fn0({called})\n    return {made}\n}}\n{text}")  # fmt: skip
    if not outside:
        text += f"function %h({taken}){arrow} tail {{\nblock0({theirs}):\n    return {given_back}\n}}\n".replace(
            "block0()", "block0")  # fmt: skip
    return case_of(draw, isa, params, text)


@settings(max_examples=150, deadline=None)
@given(forwarding())
def test_arguments_and_results_and_what_lives_across_calls(case: Case) -> None:
    trial, found = run_trial(case, BUILTIN, thorough=True)
    assert not trial.unsupported
    assert [v.detail for v in found] == []
    for outcome, run in zip(trial.outcomes, trial.runs, strict=True):
        assert isinstance(outcome, Returned)
        assert run is not None
        assert [name for name, _ in run.calls] == ["%inside", "%outside", "%inside"]


@settings(max_examples=150, deadline=None)
@given(tail_calling())
def test_tail_calls_with_more_and_with_fewer_arguments(case: Case) -> None:
    trial, found = run_trial(case, BUILTIN, thorough=True)
    assert not trial.unsupported
    assert [v.detail for v in found] == []
