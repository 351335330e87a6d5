//! Results of an audit: whether the model is worth explaining, and which method is faithful to it.
//!
//! The values come from the audit's run; this module holds them and writes `audit.json`.

mod auditor;
mod columns;
mod conclude;
mod judge;
mod model_verdict;
mod record;
mod text;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::trust::model_randomization::SimilarityRetained;

pub use crate::stats::MeanEstimate;
pub use auditor::{AuditSettings, Auditor};
pub use columns::Column;
pub use conclude::{Measurements, conclude};
pub use judge::{Judged, judge};
pub use model_verdict::{BetterThreshold, ModelVerdict, Purpose};
pub use record::ImageRecord;

/// Verdict on a method for this model and these images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodVerdict {
    /// More faithful than every control, with maps that change with the model's weights.
    Faithful,
    /// Dependent on the model, but not measurably more faithful than the controls.
    Weak,
    /// Similar maps for networks with random weights.
    IgnoresModel,
}

impl MethodVerdict {
    /// Returns the identifier used in JSON.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Faithful => "faithful",
            Self::Weak => "weak",
            Self::IgnoresModel => "ignores-model",
        }
    }

    /// Returns the verdict in a few words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Faithful => "faithful",
            Self::Weak => "weak evidence",
            Self::IgnoresModel => "ignores the model",
        }
    }

    /// Returns the verdict as a sentence.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Faithful => "measurably more faithful to this model than the controls",
            Self::Weak => "not measurably better than the controls on these images: weak evidence",
            Self::IgnoresModel => {
                "gives much the same maps whatever the model's weights: do not use it as evidence"
            }
        }
    }
}

/// Results of the model parameter randomization test. All values are similarities from −1 or 0 (nothing in common)
/// to 1 (identical).
#[derive(Clone, Debug, PartialEq)]
pub struct MethodRandomization {
    /// Similarity to the original maps with all layers randomized: mean of rank correlation and structural
    /// similarity.
    pub similarity: MeanEstimate,
    /// Rank correlation of |map| alone.
    pub rank_correlation: f64,
    /// Structural similarity alone.
    pub structure: f64,
    /// Similarity between two networks with different random weights.
    pub floor: f64,
    /// Similarity retained, relative to the method's own reference bounds: from the model to random networks, and
    /// between random networks if there are several. The verdict is based on these.
    pub kept: Vec<SimilarityRetained>,
    /// Cascading randomization: share of layers randomized, from the output down, and the remaining similarity.
    pub cascade: Vec<(f64, f64)>,
    /// Independent randomization of a part of the layers (from share, to share, counted from the output), and the
    /// remaining similarity.
    pub independent: Vec<(f64, f64, f64)>,
}

/// Results for one method.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodAudit {
    /// Id of the method.
    pub id: String,
    /// Title for display.
    pub title: String,
    /// True for controls, which ignore the model by design.
    pub control: bool,
    /// Verdict on the method.
    pub verdict: MethodVerdict,
    /// Score used for the ranking: share of the other methods that it beats, 0 to 1, over images and the metrics of
    /// faithfulness.
    pub score: MeanEstimate,
    /// Metrics by id.
    pub metrics: BTreeMap<String, MeanEstimate>,
    /// Model parameter randomization test; `None` if it was not run.
    pub randomisation: Option<MethodRandomization>,
}

/// Agreement between the maps of different methods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agreement {
    /// Method ids, in the order of rows and columns.
    pub ids: Vec<String>,
    /// Mean rank correlation of the maps over the images.
    pub correlation: Vec<Vec<f64>>,
}

/// Reference bounds of similarities under random weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReferenceBounds {
    /// Similarity of a control whose maps never change: must be 1, or the comparison is broken.
    pub edges: f64,
    /// Smallest similarity between random networks.
    pub floor: f64,
}

/// All results of an audit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audit {
    /// Verdict on the model.
    pub model: ModelVerdict,
    /// Methods, the best first.
    pub methods: Vec<MethodAudit>,
    /// Id of the recommended method; `None` if no method can be trusted or the model is at chance.
    pub recommended: Option<String>,
    /// Agreement between the methods.
    pub agreement: Agreement,
    /// Reference bounds of the randomization test; `None` if it was not run.
    pub reference_bounds: Option<ReferenceBounds>,
    /// Ids of metrics that do not separate the methods on this model; excluded from ranking and verdicts.
    pub uninformative: Vec<String>,
    /// Clusters with a suspected shortcut, in the JSON format of the data set analysis; empty if it was not run.
    pub shortcuts: Vec<Value>,
    /// Clusters whose heat lies in one region on which the prediction does not depend.
    pub always_looked_at: Vec<Value>,
    /// Number of images the methods were measured on.
    pub images: usize,
    /// Random seed.
    pub seed: u64,
    /// Notes for the user, such as omitted methods or metrics that could not be measured.
    pub notes: Vec<String>,
    /// Seconds by metric. Written to a separate file, so that equal audits give equal bytes.
    pub seconds: BTreeMap<String, f64>,
}

impl Audit {
    /// Returns the results of the recommended method.
    #[must_use]
    pub fn best(&self) -> Option<&MethodAudit> {
        let wanted = self.recommended.as_ref()?;
        self.methods.iter().find(|m| m.id == *wanted)
    }

    /// Returns everything except the times as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "model": self.model.to_json(),
            "methods": self.methods.iter().map(MethodAudit::to_json).collect::<Vec<_>>(),
            "recommended": self.recommended,
            "agreement": { "ids": self.agreement.ids, "correlation": self.agreement.correlation },
            "reference_bounds": self.reference_bounds.map(|y| json!({ "edges": y.edges, "floor": y.floor })),
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
            "randomisation": self.randomisation.as_ref().map(MethodRandomization::to_json),
        })
    }
}

impl MethodRandomization {
    /// Returns true if too much of the maps is independent of the weights.
    #[must_use]
    pub fn ignores_model(&self) -> bool {
        self.kept.iter().any(SimilarityRetained::too_much)
    }

    /// Returns the similarity retained when the weights change, 0 to 1: the larger of model to random networks and
    /// one random network to another.
    #[must_use]
    pub fn share_kept(&self) -> f64 {
        self.kept.iter().map(SimilarityRetained::share).fold(0.0, f64::max)
    }

    /// Parses the output of [`to_json`](Self::to_json); `None` if it is malformed.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let number = |v: &Value, key: &str| v[key].as_f64();
        let cascade = value["cascade"].as_array()?.iter();
        let independent = value["independent"].as_array()?.iter();
        let alone = |v: &Value| Some((number(v, "from")?, number(v, "to")?, number(v, "similarity")?));
        Some(Self {
            similarity: MeanEstimate::from_json(&value["similarity"])?,
            rank_correlation: number(value, "rank_correlation")?,
            structure: number(value, "structural_similarity")?,
            floor: number(value, "floor")?,
            kept: value["kept"]
                .as_array()?
                .iter()
                .map(SimilarityRetained::from_json)
                .collect::<Option<_>>()?,
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
