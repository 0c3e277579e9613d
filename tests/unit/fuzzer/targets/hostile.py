"""A compiler that is a program and means harm: a server of the process protocol, for tests.

::

    python hostile.py MODE [TRIGGER [MARK]]

It refuses every function until one holds TRIGGER (``imul``): then it does what MODE says. Only ``bits`` compiles, with
the builtin backend, which it finds above: of every TRIGGER answers one has a bit that is wrong. MARK is there to find
its processes by. It imports next to nothing before it has to, since tests start it thousands of times.
"""

import os
import signal
import sys
import time


def read(count):
    data = b""
    while len(data) < count:
        piece = os.read(0, count - len(data))
        if not piece:
            os._exit(0)
        data += piece
    return data


def write(data):
    while data:
        data = data[os.write(1, data) :]


def frame(text):
    data = text.encode()
    return len(data).to_bytes(4, "little") + data


DESCRIBE = "ok\nname hostile\nversion 1\nisa x86_64\nisa aarch64\n"
REFUSAL = "unsupported\nnothing to do\n"


def die(number):
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    time.sleep(60)


def segfault():
    die(signal.SIGSEGV)


def abort():
    os.write(2, b"hostile: lower.c:117: lower: Assertion `reg < 32' failed at 0x7ffe12345678.\n")
    die(signal.SIGABRT)


def exits():
    os.write(
        2,
        b"thread 'main' panicked at src/lower.rs:12:5:\nindex 7 out of bounds\nnote: RUST_BACKTRACE\n",
    )
    os._exit(101)


def silent():
    os._exit(0)


def loop():
    while True:
        time.sleep(1)


def deaf():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    loop()


def hoard():
    kept = [bytearray(8 << 20)]
    while True:
        kept.append(bytearray(2 * len(kept[-1])))


def orphans():
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(600)
        os._exit(0)
    os.wait()
    die(signal.SIGSEGV)


def garbage():
    write(frame("}\x00{ nonsense"))


def undecodable():
    write(b"\x04\x00\x00\x00\xff\xfe\xff\xfe")


def lies():
    write(frame("ok\ncode c3\ntrap 99999999999999999999 heap_oob\n"))


def late():
    time.sleep(3)
    write(frame(REFUSAL))


def twice():
    write(2 * frame(REFUSAL))


def twice_later():
    """The second answer comes when the next question is awaited or asked."""
    write(frame(REFUSAL))
    time.sleep(0.02)
    write(frame("ok\ncode c3\n"))


def huge():
    write(b"\xff\xff\xff\xff")


def half():
    write(frame("ok\ncode " + "90" * 100 + "\n")[:50])
    os._exit(0)


def closes():
    os.close(1)
    loop()


def dies_later():
    """After it has answered, and not at once."""
    write(frame(REFUSAL))
    time.sleep(0.005)
    die(signal.SIGABRT)


MISDEEDS = {
    f.__name__: f
    for f in (segfault, abort, exits, silent, loop, deaf, hoard, orphans, garbage, undecodable, lies, late, twice,
              twice_later, huge, half, closes, dies_later)
}  # fmt: skip


def compiled(question, wrong):
    sys.path.insert(0, os.path.abspath(__file__ + "/../../../../.."))
    import random

    from backend.compile import compile_module
    from backend.errors import Unsupported
    from backend.ir.filetest import parse_file

    head, _, text = question.partition("\n\n")
    isa = head.split("\n")[1].split(" ")[1]
    try:
        made = compile_module([item.function for item in parse_file(text).functions], isa)
    except Unsupported as reason:
        return f"unsupported\n{reason}\n"
    code = bytearray(made.code)
    if wrong:
        at = random.Random(len(text)).randrange(8 * len(code))
        code[at // 8] ^= 1 << at % 8
    lines = [f"code {code.hex()}"]
    lines += [f"symbol {name} {at}" for name, at in made.symbols.items()]
    lines += [f"reloc {r.offset} {r.kind} {r.symbol} {r.addend}" for r in made.relocs]
    lines += [f"trap {at} {trap}" for at, trap in made.traps]
    lines += [f"data {start} {end}" for start, end in made.data_ranges]
    return "\n".join(["ok", *lines, ""])


def main():
    mode = sys.argv[1]
    trigger = sys.argv[2] if len(sys.argv) > 2 else "imul"
    asked = 0
    while True:
        question = read(int.from_bytes(read(4), "little")).decode()
        if question.startswith("describe"):
            write(frame(DESCRIBE))
        elif mode == "bits":
            asked += 1
            write(frame(compiled(question, asked % int(trigger) == 0)))
        elif trigger in question:
            MISDEEDS[mode]()
        else:
            write(frame(REFUSAL))


if __name__ == "__main__":
    main()
