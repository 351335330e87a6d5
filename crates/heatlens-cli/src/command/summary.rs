//! The last lines of a command that explained images.

use std::path::Path;

use heatlens::run::Summary;

use crate::failure::Failure;
use crate::output;

/// Prints the number of explained images. Fails after everything else if images could not be read. `quiet` reserves
/// standard output for JSON.
pub(crate) fn tell(summary: &Summary, total: usize, out: &Path, quiet: bool) -> Result<(), Failure> {
    for (what, count) in &summary.empty_maps {
        output::note(format!("{count} of {} maps of {what}", summary.done));
    }
    for (input, reason) in &summary.broken {
        output::broken(input, reason);
    }
    if !quiet {
        output::line(format!("{} of {total} images explained in {}", summary.done, out.display()));
        summary.sheet.iter().for_each(|sheet| output::line(format!("look at {}", sheet.display())));
    }
    if summary.stopped {
        return Err(Failure::interrupted("interrupted; the finished images are complete"));
    }
    match summary.broken.len() {
        0 => Ok(()),
        n => Err(Failure::new(format!("{n} of {total} images could not be read"))),
    }
}
