//! Conversion between a [`Trainer`] and its checkpoint.

use std::path::Path;

use serde_json::{Value, json};

use super::Trainer;
use crate::train::checkpoint::Checkpoint;
use crate::train::history::History;
use crate::train::optimizer::{Optimizer, OptimizerState};
use crate::train::plateau::PlateauState;
use crate::train::schedule::SchedulerState;
use crate::train::step::Arrays;

const WEIGHTS: &str = "weights/";
const BEST: &str = "best/";
const MOMENTS: &str = "moments/";

impl Trainer<'_> {
    /// Returns all state that the next epoch depends on. Floats are stored as bits.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        let mut checkpoint = Checkpoint::default();
        checkpoint.insert(WEIGHTS, &self.arrays);
        checkpoint.insert(MOMENTS, &self.optimizer.state().arrays);
        if let Some((_, _, best)) = &self.best {
            checkpoint.insert(BEST, best);
        }
        let plateau = |p: PlateauState| json!({"best": p.best.map(f64::to_bits), "wait": p.wait});
        let scheduler = self.scheduler.state();
        checkpoint.state = json!({
            "data": self.fingerprint(),
            "optimizer_step": self.optimizer.state().step,
            "history": self.history.to_string(),
            "best": self.best.as_ref().map(|(score, epoch, _)| json!([score.to_bits(), epoch])),
            "rate": scheduler.rate.to_bits(),
            "rate_plateau": plateau(scheduler.plateau),
            "stopping": self.early_stopping.as_ref().map(|s| plateau(s.state())),
            "ended": self.ended,
        });
        checkpoint
    }

    /// Restores a checkpoint; `None` if it does not match.
    pub(super) fn restore(&mut self, checkpoint: &Checkpoint) -> Option<()> {
        let state = &checkpoint.state;
        let plateau = |v: &Value| {
            let best = v["best"].as_u64().map(f64::from_bits);
            Some(PlateauState { best, wait: v["wait"].as_u64()? })
        };
        let same_names = |arrays: &Arrays| {
            arrays.len() == self.arrays.len()
                && self.arrays.iter().all(|(name, v)| arrays.get(name).is_some_and(|a| a.len() == v.len()))
        };
        let arrays = checkpoint.group(WEIGHTS);
        if !same_names(&arrays) {
            return None;
        }
        self.arrays = arrays;
        let best = state["best"].as_array().map(|b| Some((b.first()?.as_u64()?, b.get(1)?.as_u64()?)));
        self.best = match best {
            Some(best) => {
                let (score, epoch) = best?;
                Some((f64::from_bits(score), epoch, checkpoint.group(BEST)))
            }
            None => None,
        };
        let optimizer =
            OptimizerState { step: state["optimizer_step"].as_u64()?, arrays: checkpoint.group(MOMENTS) };
        self.optimizer = Optimizer::restore(self.settings.algorithm, optimizer).ok()?;
        let rate = f32::from_bits(u32::try_from(state["rate"].as_u64()?).ok()?);
        self.scheduler.restore(SchedulerState { rate, plateau: plateau(&state["rate_plateau"])? });
        match (&mut self.early_stopping, &state["stopping"]) {
            (Some(stopping), saved) if !saved.is_null() => stopping.restore(plateau(saved)?),
            (None, Value::Null) => {}
            _ => return None,
        }
        self.history = History::parse(state["history"].as_str()?, Path::new("checkpoint")).ok()?;
        self.ended = state["ended"].as_bool()?;
        Some(())
    }
}
