//! Merging of the shards of a large run, with the same result as a run without shards.

use std::path::PathBuf;

use crate::run::audit::AuditPlan;
use crate::run::explain::ExplainPlan;
use crate::run::state::{Part, Shards};
use crate::run::{AuditOutcome, ExplainOutcome, Monitor, Request, RunError, RunOptions};

/// Result of a merge.
#[derive(Debug)]
pub enum Merged {
    /// Merged run of `explain`.
    Explain(Box<ExplainOutcome>),
    /// Merged audit.
    Audit(Box<AuditOutcome>),
}

/// Merges the shards in these folders into files identical to those of a single run, reading results instead of
/// computing them. The model and the images are read from the paths that the shards used.
///
/// # Errors
/// If the folders are not all the shards of one run, or if that run would give different results now.
pub fn merge(folders: &[PathBuf], options: &RunOptions, monitor: &dyn Monitor) -> Result<Merged, RunError> {
    let shards = Shards::read(folders)?;
    let options = RunOptions { command: shards.state.command.clone(), ..options.clone() };
    let (request, part) = (shards.state.request.clone(), Part::Merge(shards));
    match request {
        Request::Explain(request) => {
            let plan = ExplainPlan::of_part(&request, &options, part, monitor)?;
            Ok(Merged::Explain(Box::new(plan.execute(monitor)?)))
        }
        Request::Audit(request) => {
            let plan = AuditPlan::of_part(&request, &options, part, monitor)?;
            Ok(Merged::Audit(Box::new(plan.execute(monitor)?)))
        }
        Request::Train(_) => Err(RunError::Request("training has no shards: nothing to merge".to_owned())),
    }
}
