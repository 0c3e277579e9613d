"""A machine that exists only to test register allocation: random programs, and two ways to run them.

An instruction's definitions are hashes of its name and of what it reads, and a branch goes where the hash of what it
reads says, so that one wrong value shows in all that follows. :func:`run_virtual` runs a program on its virtual
registers; :func:`run_allocated` runs it on the locations and edits of an allocation, as nastily as
the operand roles allow: early definitions are trashed before uses are read, clobbers and definitions before late uses.
Both give a trace: for each instruction its number and what it read.
"""

from __future__ import annotations

from random import Random
from zlib import crc32

from backend.machine.registers import MachineEnv
from backend.machine.vcode import (
    DEF,
    EARLY_DEF,
    LATE_USE,
    USE,
    Allocation,
    MInst,
    Operand,
    VBlock,
    VCode,
)

NAMES = tuple([f"x{i}" for i in range(32)] + [f"f{i}" for i in range(32)])
SCRATCH = (16, 48)
WORD = (1 << 64) - 1
Trace = list[tuple[int, tuple[int, ...]]]


class Row:
    """A row of the fake instruction table."""

    __slots__ = ("index", "is_move", "name", "operands")

    def __init__(
        self, name: str, operands: tuple[Operand, ...] = (), is_move: bool = False
    ) -> None:
        self.name = name
        self.index = 0
        self.operands = operands
        self.is_move = is_move


JUMP = Row("jump")
BRANCHES = tuple(Row("branch", (Operand(0, USE, cls),)) for cls in (0, 1))
MOVES = tuple(Row("move", (Operand(0, DEF, cls), Operand(1, USE, cls)), True) for cls in (0, 1))
PLAIN = {
    (cls, uses, defs): Row(
        f"op{uses}_{defs}",
        tuple([Operand(i, USE, cls) for i in range(uses)]
              + [Operand(uses + i, DEF, cls) for i in range(defs)]),
    )
    for cls in (0, 1) for uses in range(4) for defs in range(3)
}  # fmt: skip
ANY = Row("any")


def fake_env(ints: int, floats: int, rng: Random | None = None) -> MachineEnv:
    """An environment with so many allocatable registers, spread by ``rng`` or the first ones."""
    pool = list(range(16))
    x = rng.sample(pool, ints) if rng else pool[:ints]
    f = rng.sample(pool, floats) if rng else pool[:floats]
    return MachineEnv(
        allocatable=(tuple(x), tuple(32 + r for r in f)),
        scratch=SCRATCH,
        callee_saved=frozenset(range(8, 16)),
        slot_bytes=(8, 16),
        names=NAMES,
    )


KINDS = ("use", "fixed use", "late", "tied", "fixed tied", "def", "early", "fixed def")
DEFINES = ("def", "early", "fixed def")


class _Demand:
    """Which registers of a class one instruction asks for; ``usable`` are the allocatable ones."""

    def __init__(self, usable: set[int]) -> None:
        self.usable = usable
        self.clobbered: set[int] = set()
        #: fixed register -> who is read there, written there
        self.read: dict[int, int] = {}
        self.written: set[int] = set()
        #: virtual registers read anywhere; registers held over the whole instruction, or at its end
        self.anywhere: set[int] = set()
        self.whole = 0
        self.end = 0

    def copy(self) -> _Demand:
        other = _Demand(self.usable)
        for name, value in self.__dict__.items():
            other.__dict__[name] = value if isinstance(value, int) else value.copy()
        return other

    def add(self, kind: str, fixed: int, vreg: int) -> bool:
        """Ask for an operand; whether everything asked for still fits."""
        if kind in ("fixed use", "fixed tied") and self.read.setdefault(fixed, vreg) != vreg:
            return False
        if kind in ("fixed def", "fixed tied"):
            if fixed in self.written:
                return False
            self.written.add(fixed)
        if kind == "use":
            self.anywhere.add(vreg)
        self.whole += kind in ("late", "tied", "early")
        self.end += kind == "def"
        size = len(self.usable)
        early = self.usable & set(self.read)
        late = self.usable & (self.written | self.clobbered)
        return (
            len(early) + len(self.anywhere) + self.whole <= size
            and len(late) + self.end + self.whole <= size
            and len(early | late) + self.whole <= size
        )


class _Writer:
    """Grows one program; ``pressure`` is about how many values stay in use."""

    def __init__(self, rng: Random, env: MachineEnv, pressure: int, special: float) -> None:
        self.rng = rng
        self.env = env
        self.pressure = pressure
        self.special = special
        self.vcode = VCode("%fake")
        #: by class, what may be used at the present place, oldest first
        self.known: tuple[list[int], list[int]] = ([], [])
        #: (class, vreg) defined here and not to be used yet
        self.fresh: list[tuple[int, int]] = []

    def pick(self, cls: int) -> int:
        known = self.known[cls]
        if self.rng.random() < 0.5:
            known = known[-4:]
        else:
            known = known[-self.pressure :]
        return self.rng.choice(known)

    def instruction(self) -> MInst:
        rng = self.rng
        if rng.random() < self.special:
            return self.constrained()
        cls = int(rng.random() < 0.3)
        room = len(self.env.allocatable[cls])
        if self.known[cls] and rng.random() < 0.1:
            source = self.pick(cls)
            return MInst(MOVES[cls], [self.define(cls), source])
        uses = rng.randrange(0, min(room, 3) + 1) if self.known[cls] else 0
        defs = rng.randrange(0 if uses else 1, min(room, 2) + 1)
        ops = [self.pick(cls) for _ in range(uses)]
        ops += [self.define(cls) for _ in range(defs)]
        return MInst(PLAIN[cls, uses, defs], ops)

    def define(self, cls: int) -> int:
        vreg = self.vcode.new_vreg(cls)
        self.fresh.append((cls, vreg))
        return vreg

    def constrained(self) -> MInst:
        """An instruction with operands of every kind, which fits the registers there are."""
        ops: list[int] = []
        operands: list[Operand] = []
        clobbers = 0
        for cls in (0, 1):
            demand = _Demand(set(self.env.allocatable[cls]))
            if self.rng.random() < 0.3:
                several = self.rng.choice([1, 4, 8, 16])
                demand.clobbered.update(self.rng.sample(range(32 * cls, 32 * cls + 16), several))
                clobbers |= sum(1 << register for register in demand.clobbered)
            for _ in range(self.rng.randrange(0, 6)):
                demand = self.operand(cls, demand, ops, operands)
        return MInst(ANY, ops, tuple(operands), clobbers)

    def operand(
        self, cls: int, demand: _Demand, ops: list[int], operands: list[Operand]
    ) -> _Demand:
        """Add an operand, or a tied pair, of a random kind if it still fits; the new demand."""
        rng = self.rng
        kind = rng.choice(KINDS)
        fixed = rng.randrange(32 * cls, 32 * cls + 8)
        if kind not in DEFINES and not self.known[cls]:
            return demand
        vreg = self.pick(cls) if kind not in DEFINES else -1
        wish = demand.copy()
        if not wish.add(kind, fixed, vreg):
            return demand
        where = fixed if "fixed" in kind else -1
        if kind in ("tied", "fixed tied"):
            # Either operand of a pair may name the register, or both.
            side = rng.randrange(3)
            use = len(ops)
            operands.append(Operand(use, USE, cls, fixed=where if side != 0 else -1))
            operands.append(Operand(use + 1, DEF, cls, tied=use, fixed=where if side != 1 else -1))
            ops += [vreg, self.define(cls)]
        else:
            role = {"late": LATE_USE, "early": EARLY_DEF}.get(kind, DEF if kind in DEFINES else USE)
            operands.append(Operand(len(ops), role, cls, fixed=where))
            ops.append(self.define(cls) if kind in DEFINES else vreg)
        return wish


def random_vcode(
    rng: Random,
    env: MachineEnv,
    *,
    blocks: int = 6,
    length: int = 8,
    pressure: int = 12,
    special: float = 0.3,
    shuffle: bool = True,
) -> VCode:
    """A random program in SSA form with ``blocks`` blocks or more of up to ``length`` instructions each.

    Any graph may come out, irreducible loops and unreachable blocks included, and any layout if ``shuffle``.
    """
    succs = [
        sorted(rng.sample(range(1, blocks), rng.choice([0, 1, 1, 2, 2, 3]) % blocks))
        if blocks > 1
        else []
        for _ in range(blocks)
    ]
    for b in range(blocks - 1):
        if rng.random() < 0.8 and b + 1 not in succs[b]:
            succs[b].append(b + 1)
    # Split critical edges.
    incoming = [sum(b in s for s in succs) for b in range(blocks)]
    for b in range(blocks):
        if len(succs[b]) > 1:
            for n, succ in enumerate(succs[b]):
                if incoming[succ] > 1:
                    succs[b][n] = len(succs)
                    succs.append([succ])
    count = len(succs)
    preds = [[p for p in range(count) if b in succs[p]] for b in range(count)]
    dominators = _dominators(preds)
    order = list(range(1, count))
    if shuffle:
        rng.shuffle(order)
    order.insert(0, 0)
    place = {b: n for n, b in enumerate(order)}

    writer = _Writer(rng, env, pressure, special)
    vcode = writer.vcode
    made = [VBlock() for _ in range(count)]
    defined: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    params = [
        [int(rng.random() < 0.3) for _ in range(rng.randrange(0, 5))]
        if b and all(len(succs[p]) == 1 for p in preds[b])
        else []
        for b in range(count)
    ]
    # A block comes after all that dominate it.
    for b in sorted(range(count), key=lambda b: len(dominators[b])):
        block = made[b]
        for n in (0, 1):
            writer.known[n].clear()
        above = sorted(dominators[b] - {b}, key=lambda d: len(dominators[d]))
        for cls, vreg in [item for d in above for item in defined[d]]:
            writer.known[cls].append(vreg)
        writer.fresh = []
        for cls in params[b]:
            block.params.append(writer.define(cls))

        def settle(b: int = b) -> None:
            for cls, vreg in writer.fresh:
                writer.known[cls].append(vreg)
            defined[b] += writer.fresh
            writer.fresh = []

        settle()
        if b == 0:
            entry = [Operand(n, DEF, int(n >= 8), fixed=n if n < 8 else 24 + n) for n in range(12)]
            ops = [writer.define(o.cls) for o in entry]
            block.insts.append(MInst(ANY, ops, tuple(entry)))
            settle()
        for _ in range(rng.randrange(0, length + 1)):
            block.insts.append(writer.instruction())
            settle()
        if len(succs[b]) > 1:
            cls = int(rng.random() < 0.2)
            block.insts.append(MInst(BRANCHES[cls], [writer.pick(cls)]))
        elif succs[b]:
            block.insts.append(MInst(JUMP, []))
            block.args = [writer.pick(cls) for cls in params[succs[b][0]]]
        else:
            results = rng.randrange(0, 9)
            returned = tuple(Operand(n, USE, 0, fixed=n) for n in range(results))
            block.insts.append(MInst(ANY, [writer.pick(0) for _ in returned], returned))
    for b in order:
        block = made[b]
        block.succs = [place[s] for s in succs[b]]
        block.preds = [place[p] for p in preds[b]]
        vcode.blocks.append(block)
    return vcode


def _dominators(preds: list[list[int]]) -> list[set[int]]:
    """The dominators of each block; of an unreachable one, itself and the entry."""
    everything = set(range(len(preds)))
    found = [everything.copy() for _ in preds]
    found[0] = {0}
    changed = True
    while changed:
        changed = False
        for b in range(1, len(preds)):
            above = set.intersection(*[found[p] for p in preds[b]]) if preds[b] else {0}
            new = above | {b}
            if new != found[b]:
                found[b] = new
                changed = True
    for b, dominators in enumerate(found):
        if len(dominators) == len(preds) and not _reached(preds, b):
            found[b] = {0, b}
    return found


def _reached(preds: list[list[int]], b: int) -> bool:
    seen, stack = {b}, [b]
    while stack:
        at = stack.pop()
        if at == 0:
            return True
        for pred in preds[at]:
            if pred not in seen:
                seen.add(pred)
                stack.append(pred)
    return False


def _mix(name: str, n: int, values: tuple[int, ...]) -> int:
    # Hashes of ints, unlike those of strings, are the same in every process.
    return hash((crc32(name.encode()), n, values)) & WORD


def run_virtual(vcode: VCode, steps: int = 400) -> Trace:
    """The trace of at most ``steps`` instructions on virtual registers."""
    firsts = _firsts(vcode)
    values: dict[int, int] = {}
    trace: Trace = []
    b = 0
    while True:
        block = vcode.blocks[b]
        for i, inst in enumerate(block.insts, firsts[b]):
            read = tuple(
                values[inst.ops[o.index]] for o in inst.operands if o.role in (USE, LATE_USE)
            )
            trace.append((i, read))
            if len(trace) >= steps:
                return trace
            for n, o in enumerate(inst.operands):
                if o.role in (DEF, EARLY_DEF):
                    values[inst.ops[o.index]] = _mix(inst.row.name, n, read)
        if not block.succs:
            return trace
        succ = block.succs[_mix("to", 0, read) % len(block.succs)]
        arguments = [values[arg] for arg in block.args]
        values.update(zip(vcode.blocks[succ].params, arguments, strict=False))
        b = succ


def run_allocated(vcode: VCode, allocation: Allocation, steps: int = 400) -> Trace:
    """The trace of at most ``steps`` instructions on the locations of ``allocation``."""
    firsts = _firsts(vcode)
    trash = iter(range(1 << 70, 1 << 71))
    values: dict[int, int] = {}
    trace: Trace = []
    b = 0
    while True:
        block = vcode.blocks[b]
        for i, inst in enumerate(block.insts, firsts[b]):
            for to, source in allocation.edits.get(i, ()):
                values[to] = values[source] if source in values else next(trash)
            places = allocation.locations[i]
            pairs = list(zip(inst.operands, places, strict=True))
            for o, place in pairs:
                if o.role == EARLY_DEF:
                    values[place] = next(trash)
            early = {o.index: values.get(place, -1) for o, place in pairs if o.role == USE}
            for register in range(64):
                if inst.clobbers >> register & 1:
                    values[register] = next(trash)
            for o, place in pairs:
                if o.role == DEF:
                    values[place] = next(trash)
            late = {o.index: values.get(place, -1) for o, place in pairs if o.role == LATE_USE}
            early.update(late)
            read = tuple(early[o.index] for o in inst.operands if o.role in (USE, LATE_USE))
            trace.append((i, read))
            if len(trace) >= steps:
                return trace
            for n, (o, place) in enumerate(pairs):
                if o.role in (DEF, EARLY_DEF):
                    values[place] = _mix(inst.row.name, n, read)
        if not block.succs:
            return trace
        b = block.succs[_mix("to", 0, read) % len(block.succs)]


def _firsts(vcode: VCode) -> list[int]:
    firsts, count = [], 0
    for block in vcode.blocks:
        firsts.append(count)
        count += len(block.insts)
    return firsts
