//! The `heatlens` program: explains the predictions of image classifiers and checks whether the explanations can be
//! trusted.

mod arguments;
mod command;
mod failure;
mod output;
mod progress;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use failure::Failure;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.process.quiet {
        output::be_quiet();
    }
    if arguments.command.keeps_what_is_finished() {
        progress::watch_for_interrupt();
    }
    output::survive_file_size_limit();
    if let Some(memory) = arguments.process.memory {
        heatlens::data::set_memory_budget(memory);
    }
    let prepared = pin(arguments.process.isa).and_then(|()| progress::set_threads(arguments.process.threads));
    let outcome = prepared.and_then(|()| match arguments.command {
        Command::Demo(options) => command::demo::run(&options),
        Command::Train(options) => command::train::run(&options),
        Command::Predict(options) => command::predict::run(&options),
        Command::Explain(options) => command::explain::run(&options),
        Command::Audit(options) => command::audit::run(&options),
        Command::Merge(options) => command::merge::run(&options),
        Command::Inspect(options) => command::inspect::run(&options),
        Command::Convert(options) => command::convert::run(&options),
        Command::Methods(options) => command::methods::run(&options),
        Command::Bench(options) => command::bench::run(&options),
        Command::Completions(options) => command::completions::run(&options),
        Command::Man(options) => command::man::run(&options),
    });
    match outcome.and_then(|()| output::finish().map_err(Failure::new)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Pins the instruction set, if one is named.
fn pin(isa: Option<String>) -> Result<(), Failure> {
    match isa.or_else(|| std::env::var("HEATLENS_ISA").ok()) {
        Some(name) => heatlens::pin_instruction_set(&name).map_err(Failure::usage),
        None => Ok(()),
    }
}
