//! The command line: what every flag is called and what it defaults to. One file for each group of commands; `shared` holds
//! the flags that several commands take, `values` reads their values.
//!
//! The first paragraph of a doc comment is what `-h` and `--help` print, the others are printed by `--help` alone. `-h` leaves
//! out flags marked with `hide_short_help`.

mod audit;
mod explain;
mod model;
mod page;
mod predict;
mod shared;
mod train;
mod values;

use clap::{ArgAction, Args, Parser, Subcommand};

pub(crate) use audit::{Audit, Merge};
pub(crate) use explain::Explain;
pub(crate) use model::{Bench, Convert, Inspect};
pub(crate) use page::{Completions, ManPage, Methods};
pub(crate) use predict::Predict;
pub(crate) use shared::{Input, ModelFile, Pixels, RunFolder};
pub(crate) use train::{Demo, Train};

const EXAMPLES: &str = "\
Examples:
  heatlens demo
  heatlens train photos/ --out run
  heatlens explain run/model.onnx photos/ --out pictures --report
  heatlens audit run/model.onnx test/ --out audit

`heatlens COMMAND -h` lists the common flags of a command, `--help` all of them.";

/// Shows where an image classifier looks, and whether the picture can be believed.
#[derive(Debug, Parser)]
#[command(name = "heatlens", version, arg_required_else_help = true, after_help = EXAMPLES)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) process: Process,
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print the version
    #[arg(id = "version", short = 'V', long = "version", action = ArgAction::Version, help_heading = "Run")]
    _version: Option<bool>,
}

/// Flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run", next_display_order = 900)]
pub(crate) struct Process {
    /// Number of threads [default: one per processor]
    ///
    /// The results are the same for any number.
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Memory for reading and drawing pictures, such as 4GiB or 500MiB [default: half of what is available]
    #[arg(long, global = true, value_name = "SIZE", value_parser = values::bytes, hide_short_help = true)]
    pub(crate) memory: Option<u64>,
    /// Instruction set to compute with [default: the best one of the processor]
    ///
    /// The environment variable HEATLENS_ISA sets it too. Results may differ in their last bits from one instruction set to
    /// another.
    #[arg(long, global = true, value_parser = values::one_of(ISAS), hide_short_help = true)]
    pub(crate) isa: Option<String>,
    /// Print only results and errors: no notes, no progress
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Print the common flags (-h) or all of them (--help)
    #[arg(id = "help", short = 'h', long = "help", action = ArgAction::Help, global = true)]
    _help: Option<bool>,
}

const ISAS: [(&str, &str, ()); 3] =
    [("avx512", "AVX-512", ()), ("avx2", "AVX2 and FMA", ()), ("portable", "Any processor", ())];

/// The command to run.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a small data set with a known answer, train a model on it and show where it looks
    Demo(Demo),
    /// Train a classifier on images in class folders or arrays
    Train(Box<Train>),
    /// Predict the class of each image
    Predict(Predict),
    /// Show where a model looks, for every image
    Explain(Box<Explain>),
    /// Measure whether a model is worth explaining, and which method is faithful to it
    Audit(Box<Audit>),
    /// Join the shards of a run; the result equals that of one run
    Merge(Merge),
    /// Describe a model file: inputs, outputs, layers
    Inspect(Inspect),
    /// Write a model as an ONNX file, optionally with its explanation as a second output
    Convert(Convert),
    /// List the explanation methods
    Methods(Methods),
    /// Measure how fast a model and its explanations run on this machine
    Bench(Bench),
    /// Print a script that completes commands and flags in a shell
    Completions(Completions),
    /// Print a manual page, or write all of them into a folder
    Man(ManPage),
}

impl Command {
    /// Returns true if Ctrl-C first lets the command save what is finished; the others leave nothing and end at once.
    pub(crate) fn keeps_what_is_finished(&self) -> bool {
        !matches!(
            self,
            Self::Inspect(_) | Self::Methods(_) | Self::Bench(_) | Self::Completions(_) | Self::Man(_)
        )
    }
}
