//! Cranelift behind Clifhanger's process protocol (docs/process-protocol.md).
//!
//! One frame in, one frame out, until the input ends: a frame is its length in four bytes, little-endian, and so many
//! bytes of text. A panic ends the process, on purpose: the fuzzer sees the exit status and the message, blames the case
//! in flight and starts another server.

mod answer;
mod compile;
mod link;

use std::io::{self, Read, Write};
use std::panic;

fn main() -> io::Result<()> {
    panic::set_hook(Box::new(|panic| eprintln!("{}", last_words(panic))));
    let mut input = io::stdin().lock();
    let mut output = io::stdout().lock();
    let mut length = [0; 4];
    let mut request = Vec::new();
    loop {
        match input.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        request.resize(u32::from_le_bytes(length) as usize, 0);
        input.read_exact(&mut request)?;
        let reply = answer::answer(&String::from_utf8_lossy(&request));
        output.write_all(&(reply.len() as u32).to_le_bytes())?;
        output.write_all(reply.as_bytes())?;
        output.flush()?;
    }
}

/// What a panic says, in the standard form but for the folder that the crates' sources are in, and without a backtrace:
/// it is the same wherever the server was built.
fn last_words(panic: &panic::PanicHookInfo) -> String {
    let place = panic.location().map_or(String::new(), |at| {
        format!("{}:{}:{}", shortened(at.file()), at.line(), at.column())
    });
    let message = panic.payload_as_str().unwrap_or("a panic without a message");
    format!("thread 'main' panicked at {place}:\n{message}")
}

/// A file without the folders that depend on where the server was built: those of a registry, and of a build script.
fn shortened(file: &str) -> &str {
    let folder = ["/registry/src/", "/release/build/"]
        .iter()
        .find_map(|folder| file.rfind(folder).map(|start| start + folder.len()));
    match folder.and_then(|start| file[start..].split_once('/')) {
        Some((_, rest)) => rest,
        None => file,
    }
}
