//! `heatlens completions`: a script with which a shell completes commands and flags.

use clap::CommandFactory;

use crate::arguments::{Arguments, Completions};
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(options: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "heatlens", &mut script);
    output::line(String::from_utf8(script)?.trim_end());
    Ok(())
}
