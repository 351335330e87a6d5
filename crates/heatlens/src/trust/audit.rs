//! What an audit found: is the model worth explaining, and which method is faithful to it.
//!
//! The numbers are made by the audit's run; this file holds them, and writes `audit.json`.

mod auditor;
mod conclude;
mod judge;
mod model_verdict;
mod record;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::trust::dependence::Kept;

pub use crate::stats::Estimate;
pub use auditor::{Auditor, Settings};
pub use conclude::{Findings, conclude};
pub use judge::{Judged, judge};
pub use model_verdict::{BetterThreshold, ModelVerdict, Purpose};
pub use record::Record;

/// What is to be thought of a method on this model and these images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodVerdict {
    /// It is more faithful than every control, and its maps change with the model's weights.
    Faithful,
    /// It depends on the model, but is not measurably more faithful than the controls.
    Weak,
    /// Its maps are much the same for a network with random weights.
    IgnoresModel,
}

impl MethodVerdict {
    /// The verdict in one word, for machines.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Faithful => "faithful",
            Self::Weak => "weak",
            Self::IgnoresModel => "ignores-model",
        }
    }

    /// The verdict in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Faithful => "faithful",
            Self::Weak => "weak evidence",
            Self::IgnoresModel => "ignores the model",
        }
    }

    /// The verdict in a sentence.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Faithful => "measurably more faithful to this model than the controls",
            Self::Weak => "not measurably better than the controls on these images: weak evidence",
            Self::IgnoresModel => {
                "shows much the same whatever the model's weights: do not use it as evidence"
            }
        }
    }
}

/// How much maps change when the network's weights are replaced by random ones; all numbers are similarities
/// from −1 or 0 (nothing in common) to 1 (the same).
#[derive(Clone, Debug, PartialEq)]
pub struct Randomisation {
    /// All layers randomised, against the model as it is: the mean of rank correlation and structural similarity.
    pub similarity: Estimate,
    /// The rank correlation of |map| alone.
    pub rank_correlation: f64,
    /// The structural similarity alone.
    pub structure: f64,
    /// Two networks with different random weights, against each other.
    pub floor: f64,
    /// What that is worth beside the method's own yardsticks: from the model to random networks, and from one of these
    /// to the next, if there are several. The verdict goes by these.
    pub kept: Vec<Kept>,
    /// The share of layers randomised, from the output down, and the similarity that is left.
    pub cascade: Vec<(f64, f64)>,
    /// A part of the layers randomised alone (from the share, to the share, counted from the output), and the similarity that is left.
    pub independent: Vec<(f64, f64, f64)>,
}

/// One method's row.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodAudit {
    /// The method.
    pub id: String,
    /// Its title for people.
    pub title: String,
    /// Whether it is a control, which looks at no model.
    pub control: bool,
    /// What is to be thought of it.
    pub verdict: MethodVerdict,
    /// What the ranking goes by: the share of the other methods that it beats, from 0 to 1, over images and the
    /// metrics of faithfulness.
    pub score: Estimate,
    /// Every metric by its id.
    pub metrics: BTreeMap<String, Estimate>,
    /// How its maps change with the weights; `None` if that was not measured.
    pub randomisation: Option<Randomisation>,
}

/// How far the methods' maps agree with each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agreement {
    /// The methods, in the order of rows and columns.
    pub ids: Vec<String>,
    /// The mean rank correlation of their maps over the images.
    pub correlation: Vec<Vec<f64>>,
}

/// What similarities under random weights are held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yardstick {
    /// A control that never changes: 1, or the comparison is broken.
    pub edges: f64,
    /// What two random networks have in common at least.
    pub floor: f64,
}

/// Everything that an audit found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audit {
    /// Whether the model is worth explaining.
    pub model: ModelVerdict,
    /// The methods, the best first.
    pub methods: Vec<MethodAudit>,
    /// The method to use; `None` if none is to be trusted, or the model knows nothing.
    pub recommended: Option<String>,
    /// How far the methods agree.
    pub agreement: Agreement,
    /// What similarities under random weights are held against; `None` if that was not measured.
    pub yardstick: Option<Yardstick>,
    /// Metrics that do not tell the methods apart on this model, by their ids: they count in no ranking and no verdict.
    pub uninformative: Vec<String>,
    /// Clusters of explanations that give a class away, as the data set's analysis writes them; empty if it was not
    /// made.
    pub shortcuts: Vec<Value>,
    /// Clusters whose heat lies at one place on which the class does not hang.
    pub always_looked_at: Vec<Value>,
    /// Images that the methods were measured on.
    pub images: usize,
    /// The seed of everything random.
    pub seed: u64,
    /// What a person should know: methods left out, metrics that could not be measured.
    pub notes: Vec<String>,
    /// Seconds by metric. Written to a file of its own, so that equal audits give equal bytes.
    pub seconds: BTreeMap<String, f64>,
}

impl Audit {
    /// The row of the recommended method.
    #[must_use]
    pub fn best(&self) -> Option<&MethodAudit> {
        let wanted = self.recommended.as_ref()?;
        self.methods.iter().find(|m| m.id == *wanted)
    }

    /// Everything but the times.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "model": self.model.to_json(),
            "methods": self.methods.iter().map(MethodAudit::to_json).collect::<Vec<_>>(),
            "recommended": self.recommended,
            "agreement": { "ids": self.agreement.ids, "correlation": self.agreement.correlation },
            "yardstick": self.yardstick.map(|y| json!({ "edges": y.edges, "floor": y.floor })),
            "uninformative_metrics": self.uninformative,
            "shortcuts": self.shortcuts,
            "always_looked_at": self.always_looked_at,
            "images": self.images,
            "seed": self.seed,
            "notes": self.notes,
        })
    }
}

impl MethodAudit {
    fn to_json(&self) -> Value {
        let metrics: BTreeMap<&String, Value> =
            self.metrics.iter().map(|(id, e)| (id, e.to_json())).collect();
        json!({
            "id": self.id,
            "title": self.title,
            "control": self.control,
            "verdict": self.verdict.id(),
            "sentence": self.verdict.sentence(),
            "score": self.score.to_json(),
            "metrics": metrics,
            "randomisation": self.randomisation.as_ref().map(Randomisation::to_json),
        })
    }
}

impl Randomisation {
    /// Whether too much of the maps is the same whatever the weights.
    #[must_use]
    pub fn ignores_model(&self) -> bool {
        self.kept.iter().any(Kept::too_much)
    }

    /// What remains of a map when the weights change, from 0 to 1: from the model to random networks, or from one of
    /// these to the next, whichever is more.
    #[must_use]
    pub fn share_kept(&self) -> f64 {
        self.kept.iter().map(Kept::share).fold(0.0, f64::max)
    }

    /// From [`to_json`](Self::to_json); `None` if it is nothing of the kind.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let number = |v: &Value, key: &str| v[key].as_f64();
        let cascade = value["cascade"].as_array()?.iter();
        let independent = value["independent"].as_array()?.iter();
        let alone = |v: &Value| Some((number(v, "from")?, number(v, "to")?, number(v, "similarity")?));
        Some(Self {
            similarity: Estimate::from_json(&value["similarity"])?,
            rank_correlation: number(value, "rank_correlation")?,
            structure: number(value, "structural_similarity")?,
            floor: number(value, "floor")?,
            kept: value["kept"].as_array()?.iter().map(Kept::from_json).collect::<Option<_>>()?,
            cascade: cascade
                .map(|v| Some((number(v, "layers")?, number(v, "similarity")?)))
                .collect::<Option<_>>()?,
            independent: independent.map(alone).collect::<Option<_>>()?,
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        let cascade: Vec<Value> =
            self.cascade.iter().map(|(share, s)| json!({ "layers": share, "similarity": s })).collect();
        let independent: Vec<Value> = self
            .independent
            .iter()
            .map(|(from, to, s)| json!({ "from": from, "to": to, "similarity": s }))
            .collect();
        json!({
            "similarity": self.similarity.to_json(),
            "rank_correlation": self.rank_correlation,
            "structural_similarity": self.structure,
            "floor": self.floor,
            "kept": self.kept.iter().map(|kept| kept.to_json()).collect::<Vec<_>>(),
            "ignores_model": self.ignores_model(),
            "cascade": cascade,
            "independent": independent,
        })
    }
}
