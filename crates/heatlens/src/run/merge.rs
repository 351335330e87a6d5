//! The shards of a large run, put together as if it had never been split.

use std::path::PathBuf;

use crate::run::audit::AuditPlan;
use crate::run::explain::ExplainPlan;
use crate::run::state::Shards;
use crate::run::{AuditOutcome, ExplainOutcome, Monitor, Request, RunError, RunOptions};

/// What shards became.
#[derive(Debug)]
pub enum Merged {
    /// One run of `explain`.
    Explain(Box<ExplainOutcome>),
    /// One audit.
    Audit(Box<AuditOutcome>),
}

/// Puts the shards in these folders together, with the bytes of one run: what they found is read instead of computed. The
/// model and the images are read where the shards found them.
///
/// # Errors
/// If they are not all parts of one run, or that run would have other results now.
pub fn merge(folders: &[PathBuf], options: &RunOptions, monitor: &dyn Monitor) -> Result<Merged, RunError> {
    let shards = Shards::read(folders)?;
    match shards.state.request.clone() {
        Request::Explain(request) => {
            let plan = ExplainPlan::of_shards(&request, options, shards, monitor)?;
            Ok(Merged::Explain(Box::new(plan.execute(monitor)?)))
        }
        Request::Audit(request) => {
            let plan = AuditPlan::of_shards(&request, options, shards, monitor)?;
            Ok(Merged::Audit(Box::new(plan.execute(monitor)?)))
        }
        Request::Train(_) => Err(RunError::Request("training has no shards: nothing to merge".to_owned())),
    }
}
