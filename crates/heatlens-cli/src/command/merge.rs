//! `heatlens merge`: the shards of a large run, put together as if it had never been split.

use clap::Parser;

use crate::arguments::{Arguments, Command, Merge};
use crate::command::shards::Shards;
use crate::command::{audit, explain};
use crate::failure::Failure;

pub(crate) fn run(options: &Merge) -> Result<(), Failure> {
    let shards = Shards::read(&options.shards)?;
    match command(&shards, options)? {
        Command::Explain(whole) => {
            shards.check(&whole.model)?;
            explain::merge(&whole, &shards)
        }
        Command::Audit(whole) => {
            shards.check(&whole.model)?;
            audit::merge(&whole, &shards)
        }
        _ => Err(Failure::new("these are no shards of `explain` or `audit`: make them again")),
    }
}

/// The command that made the shards, with a folder for the whole.
fn command(shards: &Shards, options: &Merge) -> Result<Command, Failure> {
    let mut words = vec!["heatlens".to_owned()];
    words.extend(shards.words.first().cloned());
    words.extend(["--out".to_owned(), options.out.to_string_lossy().into_owned()]);
    words.extend(options.force.then(|| "--force".to_owned()));
    words.extend(shards.words.iter().skip(1).cloned());
    let parsed = Arguments::try_parse_from(words);
    Ok(parsed.map_err(|e| Failure::new(format!("the shards' command is not understood: {e}")))?.command)
}
