"""LLVM through llvmlite, as a program of its own: objects for IR text (the asking side is fuzzer/targets/llvm.py).

It is run in virtual environments of its own, too, with any llvmlite from 0.40 on, so it imports nothing but that and
the standard library. Questions and answers are frames as of docs/process-protocol.md: a length in four bytes,
little-endian, and so many bytes of UTF-8 text. A question is a word, ``describe`` or ``compile``, lines of a name and a
value, an empty line and LLVM IR; ``_FIELDS`` has the names. The answer begins with ``ok``, ``error PHASE`` or
``died STATUS BYTES``.

Some of LLVM's options are its process's and can't be taken back (``flags``), and many of its failures end the process.
So who reads the questions never compiles: it has LLVM loaded and forks a *compiler* for each set of flags, which sets
them and answers. A compiler that dies over a question is reaped and the question's answer is how: ``died``, with the
status as of subprocess and the most memory that it had. What it said is on the standard error that both share.

A question with ``fresh yes`` gets a compiler that knows of no other case. A start of LLVM takes 90 ms, and a fork does
not make it warm: its first function uses 1,900 pages that a forked child has to fetch or copy one by one. So where a
second such question follows a first of the same kind, it goes to a *nursery*, which has compiled one function of our
own and forks compilers that wait. It forks while who asks does something else, and a child has 850 to fetch.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import struct
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

os.environ.setdefault("LLVMLITE_ENABLE_OPAQUE_POINTERS", "1")  # what llvmlite 0.44 needs to be told

import llvmlite
from llvmlite import binding

_FIELDS: Final = {
    "flags": "",  # LLVM's command-line options, parted by spaces
    "fresh": "no",
    "triple": "",
    "cpu": "",
    "features": "",  # parted by commas, each with + or -
    "abi": "",
    "reloc": "default",
    "code_model": "small",
    "level": "2",  # of the code generator, and of the mid-end
    "midend": "no",
    "want": "object",  # or text: the IR that the code generator is given
}
"""What a question may say, and what is taken if it does not."""

_WARMING: Final = """
define i64 @f(i64 %a, i64 %b) {
  %c = add i64 %a, %b
  %d = icmp ult i64 %c, %b
  br i1 %d, label %x, label %y
x:
  %e = mul i64 %c, %c
  ret i64 %e
y:
  call void @llvm.ubsantrap(i8 7)
  unreachable
}
declare void @llvm.ubsantrap(i8)
"""
"""What a nursery compiles to have fetched what is needed; of any version, and with no fault that is known."""
_SPARES: Final = 2
"""Compilers that wait in a nursery."""
_NURSERIES: Final = 2

_PR_SET_PDEATHSIG: Final = 1
_TYPED_POINTERS: Final = 14
"""The last LLVM whose pointers have types unless it is told otherwise."""


def main() -> None:
    _initialize()
    server = _Server()
    while True:
        frame = _read_frame(0)
        if frame is None:
            break
        verb, _, rest = frame.partition(b"\n")
        if verb == b"describe":
            _write_frame(1, _description().encode())
        else:
            server.answer(frame, _fields(rest))
    server.end()
    # Nothing is left to be flushed, and LLVM's destructors may be slow.
    os._exit(0)


class _Server:
    """Who reads the questions: a compiler for each set of flags, nurseries by all that is asked for but the IR."""

    def __init__(self) -> None:
        self._compilers: dict[str, _Process] = {}
        self._nurseries: dict[bytes, _Process] = {}
        #: heads of questions whose nursery died
        self._barren: set[bytes] = set()

    def answer(self, frame: bytes, fields: dict[str, str]) -> None:
        """Write the answer to the question in ``frame``."""
        if fields["fresh"] != "yes":
            _write_frame(1, self._usual(frame, fields["flags"]))
            return
        head = frame.partition(b"\n\n")[0]
        nursery = self._nurseries.get(head)
        answer = nursery.ask(frame) if nursery is not None else None
        if answer is not None:
            _write_frame(1, answer)
            return
        if nursery is not None:
            self._nurseries.pop(head).death()
            self._barren.add(head)
        if (before := self._compilers.get(fields["flags"])) is not None and before.asked:
            self._compilers.pop(fields["flags"]).end()
        _write_frame(1, self._usual(frame, fields["flags"]))
        if head not in self._barren:
            while len(self._nurseries) >= _NURSERIES:
                self._nurseries.pop(next(iter(self._nurseries))).end()
            self._nurseries[head] = self._new(partial(_breed, fields["flags"], head))

    def _usual(self, frame: bytes, flags: str) -> bytes:
        compiler = self._compilers.get(flags)
        if compiler is None:
            compiler = self._compilers[flags] = self._new(partial(_compile_all, flags))
        answer = compiler.ask(frame)
        return self._compilers.pop(flags).death() if answer is None else answer

    def _all(self) -> list[_Process]:
        return [*self._compilers.values(), *self._nurseries.values()]

    def _new(self, work: _Work) -> _Process:
        return _Process(work, self._all())

    def end(self) -> None:
        for process in self._all():
            process.end()


def _initialize() -> None:
    with contextlib.suppress(RuntimeError):  # later ones need no telling
        binding.initialize()
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()


def _description() -> str:
    version = ".".join(map(str, binding.llvm_version_info))
    return f"ok\nversion LLVM {version} (llvmlite {llvmlite.__version__})"


_Work = Callable[[int, int], None]
"""What a forked process does with the handles of its questions and of its answers."""


class _Process:
    """A forked process that answers questions. ``asked``: has it had one?"""

    def __init__(self, work: _Work, others: Iterable[_Process]) -> None:
        self.asked = False
        question, self.questions = os.pipe()
        self.answers, answer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            for each in (self.questions, self.answers, *(h for o in others for h in o.handles())):
                os.close(each)
            _work(work, question, answer)
        os.close(question)
        os.close(answer)

    def handles(self) -> tuple[int, int]:
        return self.questions, self.answers

    def ask(self, frame: bytes) -> bytes | None:
        """The answer; None if it died."""
        self.asked = True
        try:
            _write_frame(self.questions, frame)
        except BrokenPipeError:
            return None
        return _read_frame(self.answers)

    def death(self) -> bytes:
        """How it ended, as an answer. Of its memory not counted is what LLVM takes when it is loaded."""
        _, status, usage = os.wait4(self.pid, 0)
        self._close()
        loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        return b"died %d %d" % (code, max(usage.ru_maxrss - loaded, 0) << 10)

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._close()

    def _close(self) -> None:
        for handle in self.handles():
            os.close(handle)


def _work(work: _Work, question: int, answer: int) -> NoReturn:
    """Answer until nobody asks any more."""
    status = 70
    try:
        with contextlib.suppress(
            OSError, AttributeError
        ):  # it ends with its parent (prctl(2), Linux)
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)  # what LLVM prints is no answer
        work(question, answer)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _compile_all(flags: str, question: int, answer: int) -> None:
    _set(flags)
    _answer_all({}, question, answer)


def _set(flags: str) -> None:
    for flag in flags.split():
        binding.set_option("", flag)
    if binding.llvm_version_info[0] <= _TYPED_POINTERS:
        binding.set_option("", "-opaque-pointers")


def _answer_all(machines: _Machines, question: int, answer: int) -> None:
    while True:
        frame = _read_frame(question)
        if frame is None:
            return
        _write_frame(answer, _compiled(frame, machines).encode())


def _breed(flags: str, head: bytes, question: int, answer: int) -> None:
    """Answer each question by a compiler of its own that was forked before."""
    _set(flags)
    machines: _Machines = {}
    _keep_page_tables()
    _warm_up(head, machines)
    spares: list[_Process] = []
    while True:
        while len(spares) < _SPARES:
            spares.append(_Process(partial(_answer_alone, machines, (question, answer)), spares))
        frame = _read_frame(question)
        if frame is None:
            return
        spare = spares.pop(0)
        said = spare.ask(frame)
        _write_frame(answer, spare.death() if said is None else said)
        if said is not None:
            spare.end()


def _keep_page_tables() -> None:
    """Have forks copy the page tables of LLVM's code, too.

    Linux leaves out those of a file unless a page of the mapping is the process's own (vma_needs_copy in mm/memory.c),
    and the child fetches what it needs piece by piece. So the first byte of each mapping is written as it is.
    """
    with (
        contextlib.suppress(OSError),
        Path("/proc/self/maps").open() as maps,
        Path("/proc/self/mem").open("r+b", buffering=0) as memory,
    ):
        for line in maps:
            if "libllvmlite" in line and " r" in line:
                start = int(line.partition("-")[0], 16)
                memory.seek(start)
                byte = memory.read(1)
                memory.seek(start)
                memory.write(byte)


def _answer_alone(
    machines: _Machines, of_nursery: tuple[int, int], question: int, answer: int
) -> None:
    for each in of_nursery:
        os.close(each)
    _answer_all(machines, question, answer)


def _warm_up(head: bytes, machines: _Machines) -> None:
    """Compile something, in silence: what is said belongs to whatever question is being answered."""
    said = os.dup(2)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    try:
        _compiled(head + b"\n\n" + _WARMING.encode(), machines)
    finally:
        os.dup2(said, 2)
        os.close(said)
        os.close(silence)


_Machines = dict[tuple[str, ...], Any]


def _compiled(frame: bytes, machines: _Machines) -> str:
    """The answer to a question."""
    _, _, rest = frame.partition(b"\n")
    fields = _fields(rest)
    text = rest.partition(b"\n\n")[2].decode()
    level = int(fields["level"])
    machine = _machine(fields, machines)
    try:
        module = binding.parse_assembly(text)
        module.triple = machine.triple
        module.data_layout = str(machine.target_data)
        module.verify()
    except RuntimeError as error:
        return f"error parse\n{error}"
    if fields["midend"] == "yes":
        _optimise(module, machine, level)
    if fields["want"] == "text":
        return f"ok\n{module}"
    try:
        return f"ok\n{machine.emit_object(module).hex()}"
    except RuntimeError as error:
        return f"error emit\n{error}"


def _machine(fields: dict[str, str], machines: _Machines) -> Any:
    names = ("triple", "cpu", "features", "abi", "reloc", "code_model", "level")
    key = tuple(fields[name] for name in names)
    found = machines.get(key)
    if found is None:
        target = binding.Target.from_triple(fields["triple"])
        found = machines[key] = target.create_target_machine(
            cpu=fields["cpu"],
            features=fields["features"],
            opt=int(fields["level"]),
            reloc=fields["reloc"],
            codemodel=fields["code_model"],
            abiname=fields["abi"],
        )
    return found


def _optimise(module: Any, machine: Any, level: int) -> None:
    """Run the pipeline of ``level``: by the new pass manager, or by the old one where the binding has no other."""
    if hasattr(binding, "create_pass_builder"):
        tuning = binding.create_pipeline_tuning_options(speed_level=level)
        builder = binding.create_pass_builder(machine, tuning)
        builder.getModulePassManager().run(module, builder)
        return
    builder = binding.create_pass_manager_builder()
    builder.opt_level = level
    builder.inlining_threshold = 225
    passes = binding.create_module_pass_manager()
    machine.add_analysis_passes(passes)
    builder.populate(passes)
    passes.run(module)


def _fields(rest: bytes) -> dict[str, str]:
    found = dict(_FIELDS)
    for line in rest.partition(b"\n\n")[0].decode().splitlines():
        name, _, value = line.partition(" ")
        found[name] = value
    return found


def _read_frame(handle: int) -> bytes | None:
    """The next frame; None at the end."""
    head = _read(handle, 4)
    return None if head is None else _read(handle, struct.unpack("<I", head)[0])


def _read(handle: int, count: int) -> bytes | None:
    pieces = []
    while count:
        piece = os.read(handle, min(count, 1 << 20))
        if not piece:
            return None
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _write_frame(handle: int, data: bytes) -> None:
    rest = memoryview(struct.pack("<I", len(data)) + data)
    while rest:
        rest = rest[os.write(handle, rest) :]


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
