//! What a request asks, and the text of the reply.
//!
//! A request is a line with what is asked, lines `isa NAME` and `option NAME VALUE`, an empty line, and CLIF. A reply
//! begins with a line `ok`, or with `unsupported`, `error` or `bad` and what there is to say.

use crate::compile::{self, Failure, Module};
use std::fmt::Write;

/// The request's lines before the empty one, taken apart.
pub struct Request<'a> {
    pub isa: &'a str,
    pub options: Vec<(&'a str, &'a str)>,
    pub clif: &'a str,
}

pub fn answer(text: &str) -> String {
    let (head, clif) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    match lines.next() {
        Some("describe") => describe(),
        Some("compile") => {
            let mut request = Request { isa: "", options: Vec::new(), clif };
            for line in lines {
                match line.split(' ').collect::<Vec<_>>()[..] {
                    ["isa", name] => request.isa = name,
                    ["option", name, value] => request.options.push((name, value)),
                    _ => return format!("bad\nthe line {line:?} is none of a request\n"),
                }
            }
            match compile::compile(&request) {
                Ok(module) => ok(&module),
                Err(Failure::Bad(message)) => format!("bad\n{message}\n"),
                Err(Failure::Unsupported(message)) => format!("unsupported\n{message}\n"),
                Err(Failure::Error(message)) => format!("error\n{message}\n"),
            }
        }
        other => format!("bad\n{other:?} is nothing that can be asked\n"),
    }
}

fn describe() -> String {
    format!("ok\nversion Cranelift {}\n", cranelift_codegen::VERSION)
}

fn ok(module: &Module) -> String {
    let mut reply = String::from("ok\ncode ");
    for byte in &module.code {
        write!(reply, "{byte:02x}").unwrap();
    }
    reply.push('\n');
    for (name, offset) in &module.symbols {
        writeln!(reply, "symbol {name} {offset}").unwrap();
    }
    for reloc in &module.relocs {
        writeln!(reply, "reloc {} {} {} {}", reloc.offset, reloc.kind, reloc.symbol, reloc.addend).unwrap();
    }
    for (offset, code) in &module.traps {
        writeln!(reply, "trap {offset} {code}").unwrap();
    }
    reply
}
