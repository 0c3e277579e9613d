//! CLIF text to the code of all its functions, in one piece.

use crate::answer::Request;
use crate::link::{Linker, Relocation};
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::{self, CallConv, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable, SetError};
use cranelift_codegen::{CodegenError, Context, FinalizedRelocTarget};
use cranelift_reader::ParseOptions;

/// Bytes to a multiple of which each function is aligned, at least.
const ALIGN: usize = 16;

#[derive(Default)]
pub struct Module {
    pub code: Vec<u8>,
    pub symbols: Vec<(String, usize)>,
    pub relocs: Vec<Relocation>,
    pub traps: Vec<(usize, String)>,
}

pub enum Failure {
    /// The request can't be read, or the verifier refuses the functions.
    Bad(String),
    /// Cranelift says that it has no way to do this.
    Unsupported(String),
    /// Cranelift failed.
    Error(String),
}

pub fn compile(request: &Request) -> Result<Module, Failure> {
    let isa = isa_of(request)?;
    let options = ParseOptions {
        default_calling_convention: CallConv::triple_default(isa.triple()),
        ..ParseOptions::default()
    };
    let parsed = cranelift_reader::parse_test(request.clif, options)
        .map_err(|error| Failure::Bad(error.to_string()))?;
    let mut module = Module::default();
    let mut linker = Linker::default();
    for (function, _) in parsed.functions {
        add(&mut module, &mut linker, &*isa, function)?;
    }
    linker.finish(&mut module);
    Ok(module)
}

/// Each option is a flag of all ISAs, or of this one.
fn isa_of(request: &Request) -> Result<OwnedTargetIsa, Failure> {
    let mut shared = settings::builder();
    let triple = format!("{}-unknown-linux-gnu", request.isa.replace("riscv64", "riscv64gc"));
    let mut builder =
        isa::lookup_by_name(&triple).map_err(|error| Failure::Unsupported(error.to_string()))?;
    for (name, value) in &request.options {
        let known = match shared.set(name, value) {
            Err(SetError::BadName(_)) => builder.set(name, value),
            other => other,
        };
        known.map_err(|error| Failure::Bad(format!("option {name}={value}: {error}")))?;
    }
    builder
        .finish(settings::Flags::new(shared))
        .map_err(|error| Failure::Unsupported(error.to_string()))
}

fn add(
    module: &mut Module,
    linker: &mut Linker,
    isa: &dyn TargetIsa,
    function: Function,
) -> Result<(), Failure> {
    let name = function.name.to_string();
    let params = function.params.clone();
    let mut context = Context::for_function(function);
    let compiled = match context.compile(isa, &mut ControlPlane::default()) {
        Ok(compiled) => compiled,
        Err(failed) => {
            let message = failed.inner.to_string();
            return Err(match failed.inner {
                CodegenError::Unsupported(_)
                | CodegenError::ImplLimitExceeded
                | CodegenError::CodeTooLarge => Failure::Unsupported(message),
                CodegenError::Verifier(errors) => Failure::Bad(errors.to_string()),
                CodegenError::Regalloc(errors) => Failure::Error(format!("register allocation: {errors:?}")),
                _ => Failure::Error(message),
            });
        }
    };
    let align = ALIGN.max(compiled.buffer.alignment as usize);
    let start = module.code.len().next_multiple_of(align);
    module.code.resize(start, 0);
    module.code.extend_from_slice(compiled.code_buffer());
    module.symbols.push((name.clone(), start));
    for trap in compiled.buffer.traps() {
        module.traps.push((start + trap.offset as usize, trap.code.to_string()));
    }
    for reloc in compiled.buffer.relocs() {
        let (symbol, within) = match &reloc.target {
            FinalizedRelocTarget::ExternalName(external) => {
                (external.display(Some(&params)).to_string(), 0)
            }
            FinalizedRelocTarget::Func(offset) => (name.clone(), i64::from(*offset)),
        };
        let at = start + reloc.offset as usize;
        linker.add(at, reloc.kind, symbol, reloc.addend + within);
    }
    Ok(())
}
