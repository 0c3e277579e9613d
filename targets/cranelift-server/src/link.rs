//! Relocations as the process protocol has them.
//!
//! The executor knows no global offset table, so one is made here, behind the code: a word for each symbol whose address
//! is looked up there, which is a symbol of its own, and a relocation that fills it.

use crate::compile::Module;
use cranelift_codegen::binemit::Reloc;
use std::collections::BTreeMap;

const WORD: usize = 8;

pub struct Relocation {
    pub offset: usize,
    pub kind: String,
    pub symbol: String,
    pub addend: i64,
}

#[derive(Default)]
pub struct Linker {
    relocs: Vec<Relocation>,
    /// Symbols that are looked up, and the names of their words.
    words: BTreeMap<String, String>,
}

impl Linker {
    pub fn add(&mut self, offset: usize, kind: Reloc, symbol: String, addend: i64) {
        let (kind, looked_up) = name_of(kind);
        let symbol = if looked_up {
            let word = format!("got.{symbol}");
            self.words.entry(symbol).or_insert(word).clone()
        } else {
            symbol
        };
        self.relocs.push(Relocation { offset, kind, symbol, addend });
    }

    pub fn finish(self, module: &mut Module) {
        module.relocs = self.relocs;
        for (symbol, word) in self.words {
            let offset = module.code.len().next_multiple_of(WORD);
            module.code.resize(offset + WORD, 0);
            module.symbols.push((word, offset));
            module.relocs.push(Relocation { offset, kind: "abs64".into(), symbol, addend: 0 });
        }
    }
}

/// The executor's name of a relocation, Cranelift's own where it has none; and is it to the symbol's word in the table?
fn name_of(kind: Reloc) -> (String, bool) {
    let (name, looked_up) = match kind {
        Reloc::Abs8 => ("abs64", false),
        Reloc::X86PCRel4 | Reloc::X86CallPCRel4 | Reloc::X86CallPLTRel4 => ("pc_rel32", false),
        Reloc::X86GOTPCRel4 => ("pc_rel32", true),
        Reloc::Arm64Call => ("call26", false),
        Reloc::Aarch64AdrPrelPgHi21 => ("adr_page21", false),
        Reloc::Aarch64AddAbsLo12Nc => ("add_lo12", false),
        Reloc::Aarch64AdrGotPage21 => ("adr_page21", true),
        Reloc::Aarch64Ld64GotLo12Nc => ("ld64_lo12", true),
        Reloc::RiscvCallPlt => ("riscv_call", false),
        Reloc::RiscvPCRelHi20 => ("pcrel_hi20", false),
        Reloc::RiscvGotHi20 => ("pcrel_hi20", true),
        Reloc::RiscvPCRelLo12I => ("pcrel_lo12_i", false),
        Reloc::S390xPCRel32Dbl | Reloc::S390xPLTRel32Dbl => ("pc_rel32_dbl", false),
        other => return (other.to_string(), false),
    };
    (name.into(), looked_up)
}
