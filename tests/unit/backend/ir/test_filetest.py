"""Whole files: header, run lines, comments that survive."""

from __future__ import annotations

import pytest

from backend.errors import ParseError
from backend.ir.filetest import parse_file, print_file

FILE = """; a file about f
test interpret
test   run
set opt_level=speed  ; faster
target aarch64
set enable_x=1
target x86_64 has_avx
feature !"old"

; about f

;; really
function %f(i32) -> i32 { ; opened
; first block
block0(v0: i32): ; header
  ; above
  v1 = iadd_imm v0, 1 ; behind
  v2 -> v1 ; an alias
  v3 = iadd v2,
       ; in the middle
       v2 ; end
  return v3
  ; last
} ; closed
; run: %f(1) == 4
; just prose

; run: %anything(-1) != 1

; about g
function %g() -> i8, f32, i16x4 {
block0:
  v0 = iconst.i8 1 v1 = f32const 0x1.0 v2 = vconst.i16x4 [1 2 3 4]
  return v0, v1, v2
}
;; run: %g() == [1, 0x1.0, [1 2 3 4]]
; print: %g()
function %h() -> i64 {
block0:
  v0 = iconst.i64 1
  return v0
}
; run

; the end
"""


def test_run_lines_are_typed_by_the_signature() -> None:
    file = parse_file(FILE, "f.clif")
    f, g, h = file.functions
    assert [(r.args, r.compare, r.expected) for r in f.run_lines] == [
        ((1,), "==", (4,)),
        ((0xFFFF_FFFF,), "!=", (1,)),
    ]
    assert [r.kind for r in g.run_lines] == ["run", "print"]
    assert g.run_lines[0].expected == (1, 0x3F80_0000, 0x0004_0003_0002_0001)
    assert h.run_lines[0].compare == "nonzero"
    assert (f.run_lines[0].line, f.run_lines[0].column) == (25, 1)
    assert [c.words for c in file.commands("target")] == [
        ("target", "aarch64"),
        ("target", "x86_64", "has_avx"),
    ]


def test_holding() -> None:
    f, _, h = parse_file(FILE).functions
    assert f.run_lines[0].holds((4,))
    assert not f.run_lines[0].holds((5,))
    assert f.run_lines[1].holds((5,))
    assert not f.run_lines[1].holds((1,))
    assert h.run_lines[0].holds((8,))
    assert not h.run_lines[0].holds((0,))


def test_no_comment_is_lost_and_each_stays_where_it_belongs() -> None:
    text = print_file(parse_file(FILE))
    assert print_file(parse_file(text)) == text
    for comment in ("; faster", "; really", "; opened", "; first block", "; header", "; above",
                    "; behind", "; an alias", "; in the middle", "; end", "; last", "; closed",
                    "; just prose", "; about g", "; the end"):  # fmt: skip
        assert text.count(comment) == 1, comment
    assert "v1 = iadd_imm v0, 1 ; behind\n" in text
    assert "block0(v0: i32): ; header\n    ; above\n" in text
    assert "} ; closed\n; run: %f(1) == 4\n; just prose\n\n; run: %anything(-1) != 1\n" in text
    assert "\n\n; about g\nfunction %g" in text
    assert text.startswith(
        "; a file about f\ntest interpret\ntest run\nset opt_level=speed ; faster\n"
    )


def test_a_file_without_run_tests_has_no_run_lines() -> None:
    text = "test optimize\nfunction %f() {\nblock0:\n return\n}\n; run through all of this\n"
    assert parse_file(text).functions[0].run_lines == []
    with pytest.raises(ParseError):
        parse_file(text.replace("optimize", "run"))


def test_without_a_header_run_lines_count() -> None:
    text = "function %f() -> i8 {\nblock0:\n v0 = iconst.i8 1\n return v0\n}\n; run: %f() == 1\n"
    assert len(parse_file(text).functions[0].run_lines) == 1


def test_a_run_line_inside_the_body_belongs_to_the_function() -> None:
    text = "function %f() {\nblock0:\n return\n ; run: %f() == []\n}\n"
    (line,) = parse_file(text).functions[0].run_lines
    assert line.expected == ()
    assert line.holds(())


ONE = "test run\nfunction %f(i32) -> i32 {\nblock0(v0: i32):\n    return v0\n}\n"


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ("; run", 6, "a bare run needs"),
        ("; run %f(1) == 1", 7, "a bare run needs"),
        ("; run: f(1) == 1", 8, "the function's %name"),
        ("; run: u1:0(1) == 1", 8, "the function's %name"),
        ("; run: %f() == 1", 11, "expected an integer"),
        ("; run: %f(1, 2) == 1", 12, "expected ')' after 1 values"),
        ("; run: %f(1) == [1]", 17, "expected an integer"),
        ("; run: %f(1) < 1", 14, "expected '==' or '!='"),
        ("; run: %f(1) == 1 2", 19, "expected the end of the run line"),
        ("; run: %f(4294967296) == 1", 11, "does not fit in 32 bits"),
        ("; print %f(1)", 9, "expected ':'"),
        ("; run: %f(1) == 1.0", 17, "expected an integer"),
    ],
)
def test_a_broken_run_line_has_a_place(line: str, column: int, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_file(ONE + line + "\n", "x.clif")
    assert message in caught.value.message
    assert (caught.value.path, caught.value.line, caught.value.column) == ("x.clif", 6, column)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("test\n", 1),
        ("target\n", 1),
        ("test run\ntarget aarch64\nset x=1\n", 3),
        ("feature old\n", 1),
        ("hello\n", 1),
        ("test run\n\nfunctoin %f() {}\n", 3),
        ("function %f() {\nblock0:\n return\n}\ntest run\n", 5),
    ],
)
def test_a_broken_header_has_a_place(text: str, line: int) -> None:
    with pytest.raises(ParseError) as caught:
        parse_file(text, "x.clif")
    assert caught.value.line == line


@pytest.mark.parametrize("text", ["", "\n\n", "; only a comment\n", "test run\n", "; a\n\n; b\n"])
def test_files_without_functions(text: str) -> None:
    file = parse_file(text)
    assert file.functions == []
    assert print_file(parse_file(print_file(file))) == print_file(file)
    assert print_file(file).strip() == text.strip()


def test_windows_line_ends() -> None:
    file = parse_file(ONE.replace("\n", "\r\n") + "; run: %f(1) == 1\r\n")
    assert file.functions[0].run_lines[0].expected == (1,)
    assert "\r" not in print_file(file)
