//! Flags of the commands that describe heatlens itself: `heatlens methods`, `heatlens completions` and `heatlens man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  heatlens methods\n  heatlens methods gradcam integrated_gradients")]
pub(crate) struct Methods {
    /// Show only these methods
    #[arg(value_name = "METHOD", conflicts_with = "markdown")]
    pub(crate) methods: Vec<String>,
    /// Print one JSON array
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    /// Print a page in Markdown (docs/methods.md)
    #[arg(long, conflicts_with = "json", help_heading = "Output", hide_short_help = true)]
    pub(crate) markdown: bool,
    /// Folder with example pictures for that page, named after the methods
    #[arg(
        long,
        value_name = "FOLDER",
        requires = "markdown",
        help_heading = "Output",
        hide_short_help = true
    )]
    pub(crate) pictures: Option<PathBuf>,
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  heatlens completions bash > ~/.local/share/bash-completion/completions/heatlens
  heatlens completions zsh > ~/.zfunc/_heatlens
  heatlens completions fish > ~/.config/fish/completions/heatlens.fish
  heatlens completions powershell >> $PROFILE";

#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct Completions {
    /// Shell that reads the script
    pub(crate) shell: Shell,
}

const MAN_EXAMPLES: &str = "\
Examples:
  heatlens man explain | man -l -
  heatlens man --out ~/.local/share/man/man1";

#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct ManPage {
    /// Command to describe [default: heatlens itself]
    #[arg(value_name = "COMMAND")]
    pub(crate) name: Option<String>,
    /// Write the pages of heatlens and of all commands into this folder
    #[arg(short, long, value_name = "FOLDER", conflicts_with = "name", help_heading = "Output")]
    pub(crate) out: Option<PathBuf>,
}
