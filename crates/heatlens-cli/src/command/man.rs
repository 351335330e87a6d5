//! `heatlens man`: manual pages, made from the same description of the flags as `--help`.

use std::fs;

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use heatlens::data::write_file;

use crate::arguments::{Arguments, ManPage};
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(options: &ManPage) -> Result<(), Failure> {
    let mut program = Arguments::command().disable_help_subcommand(true);
    program.build();
    if let Some(folder) = &options.out {
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        for command in std::iter::once(&program).chain(program.get_subcommands()) {
            let name = Man::new(command.clone()).get_filename();
            write_file(&folder.join(name), &page(command)?)?;
        }
        output::line(format!("the manual pages are in {}", folder.display()));
        return Ok(());
    }
    let command = match &options.name {
        None => &program,
        Some(name) => program.find_subcommand(name).ok_or_else(|| {
            let names: Vec<_> = program.get_subcommands().map(clap::Command::get_name).collect();
            Failure::usage(format!("no command {name:?}; expected one of {}", names.join(", ")))
        })?,
    };
    output::line(String::from_utf8(page(command)?)?.trim_end());
    Ok(())
}

/// The page of a command, its examples line by line.
fn page(command: &clap::Command) -> Result<Vec<u8>, Failure> {
    // A page shows all flags; one that the short help leaves out would have no text in it.
    let man = Man::new(command.clone().mut_args(|flag| flag.hide_short_help(false)));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut section = Roff::new();
    section.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in examples.lines().skip(1) {
        section.text([roman(line.trim_start())]);
    }
    section.control("fi", []).to_writer(&mut page)?;
    Ok(page)
}
