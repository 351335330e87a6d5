//! `heatlens merge`: combines the shards of a large run; the result is identical to an unsplit run.

use heatlens::run::{self, Merged, RunOptions};

use crate::arguments::Merge;
use crate::command::{audit, explain};
use crate::failure::Failure;
use crate::progress::Terminal;

pub(crate) fn run(options: &Merge) -> Result<(), Failure> {
    let places = RunOptions { out: options.out.clone(), force: options.force, ..RunOptions::default() };
    match run::merge(&options.shards, &places, &Terminal::default())? {
        Merged::Explain(outcome) => explain::tell(&outcome),
        Merged::Audit(outcome) => audit::tell(&outcome, false),
    }
}
