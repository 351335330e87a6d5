//! Description of a model, as text and JSON: the content of its file, and the layers that can be explained.

use std::fmt::Write as _;

use heatlens_graph::{Origin, ValueId};
use serde_json::{Value, json};

use super::placement::describe;
use super::stages::stages;
use super::{Activation, Cells, Dense, Layer, Model, PixelRange, SpatialLayout, Stage};

/// Maximum number of lines in the diagram of stages.
const STAGE_LINES: usize = 15;
/// Length of the longest bar.
const BAR: usize = 24;
/// Maximum number of class names listed.
const CLASSES: usize = 12;
/// Maximum number of other outputs listed.
const OUTPUTS: usize = 4;

/// Properties, stages and layers of a model.
///
/// ```
/// use heatlens::model::{Description, Model};
/// use heatlens::train::arch;
///
/// let network = arch::find("gap-cnn").ok_or("no such network")?.build([1, 32, 32], 2, 0)?;
/// let model = Model::from_graph(network)?;
/// let description = Description::of(&model);
/// assert!(description.text(false).contains("cam applies"));
/// assert_eq!(description.to_json()["gap_head"], true);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Description<'m> {
    model: &'m Model,
    layers: Vec<Layer>,
    default: Option<Layer>,
    about_default: Vec<String>,
    levels: Vec<Layer>,
    has_gap_head: bool,
}

impl<'m> Description<'m> {
    /// Finds the layers of `model`.
    #[must_use]
    pub fn of(model: &'m Model) -> Self {
        let layers = model.find_layers();
        let (default, about_default) = match model.choose_layer(&layers) {
            Ok(choice) => (Some(choice.layer), choice.notes),
            Err(_) => (None, Vec::new()),
        };
        let levels = model.level_layers(&layers).unwrap_or_default();
        let has_gap_head = model.gap_head_among(&layers.all).is_some();
        Self { model, layers: layers.all, default, about_default, levels, has_gap_head }
    }

    /// Returns the description as text. It lists the layers at which blocks and stages end or, with `every_layer`, all
    /// layers.
    #[must_use]
    pub fn text(&self, every_layer: bool) -> String {
        let mut lines = self.facts();
        lines.push("stages".to_owned());
        lines.extend(stage_lines(&stages(&self.layers)));
        lines.extend(self.layer_lines(every_layer));
        lines.join("\n")
    }

    fn name(&self, id: ValueId) -> &str {
        &self.model.graph.value(id).name
    }

    fn facts(&self) -> Vec<String> {
        let Model { graph, head, class_names: names, .. } = self.model;
        let [c, h, w] = self.model.shape();
        let batch = self.model.batch.map_or_else(|| "N".to_owned(), |batch| batch.to_string());
        let scores = match (&head.dense, head.outputs) {
            (Some(Dense { grid: Some([h, w]), .. }), scores) => format!("{scores} classes at {h}×{w} pixels"),
            (Some(dense), scores) => format!("{scores} classes of {} boxes", dense.places),
            (_, 1) if head.is_quantity() => "one quantity".to_owned(),
            (_, 1) => "one score for two classes".to_owned(),
            (_, scores) if head.is_quantity() => format!("{scores} quantities"),
            (_, scores) => format!("{scores} scores"),
        };
        let after = match head.activation {
            Activation::None if head.is_quantity() => String::new(),
            Activation::None => ", no activation: these are logits".to_owned(),
            Activation::LogOdds => ", probabilities already".to_owned(),
            activation => format!(" after {}", activation.name()),
        };
        let others = graph.outputs().iter().filter(|&&id| id != head.output);
        let mut others: Vec<String> =
            others.map(|&id| format!("{} ({})", self.name(id), graph.fact(id).shape)).collect();
        if others.len() > OUTPUTS + 1 {
            let more = others.len() - OUTPUTS;
            others.truncate(OUTPUTS);
            others.push(format!("… {more} more; --json lists all"));
        }
        let classes = names.iter().take(CLASSES).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more =
            if names.len() > CLASSES { format!(", … ({} in all)", names.len()) } else { String::new() };
        let mut lines = vec![
            format!("input    {} ({batch}×{c}×{h}×{w})", self.name(self.model.image)),
            format!("pixels   {}", pixels(self.model)),
            format!("output   {} ({scores}{after})", self.name(head.output)),
            format!("meaning  {}: {} (--head changes it)", head.kind.name(), head.kind.about()),
        ];
        if !others.is_empty() {
            lines.push(format!("others   {} (--output chooses)", others.join(", ")));
        }
        lines.push(format!("logits   {}", self.name(head.logits)));
        lines.push(format!("classes  {classes}{more}"));
        lines.push(format!("weights  {} numbers in {} nodes", weights(self.model), graph.nodes().len()));
        if self.levels.len() > 1 {
            let names: Vec<&str> = self.levels.iter().map(|layer| layer.name.as_str()).collect();
            lines.push(format!("levels   {}: each box is explained at its own", names.join(", ")));
        }
        lines.push(
            match self.has_gap_head {
                true => "head     global average pooling and one dense layer: cam applies",
                false => "head     no global average pooling with one dense layer: cam does not apply, grad_cam does",
            }
            .to_owned(),
        );
        lines
    }

    fn layer_lines(&self, every: bool) -> Vec<String> {
        let shown = match every {
            true => self.layers.iter().collect(),
            false => self.model.outline(&self.layers, self.default.as_ref()),
        };
        let hidden = match self.layers.len() - shown.len() {
            0 => String::new(),
            n => format!("; --all lists {n} more"),
        };
        let column = shown.iter().map(|l| l.name.chars().count()).max().unwrap_or(0).clamp(16, 60);
        let line = |layer: &Layer| {
            let mark = if self.default.as_ref().is_some_and(|d| d.value == layer.value) { '*' } else { ' ' };
            let ([c, h, w], extra) = (layer.shape, extra_tokens(layer.grid));
            let (name, op, place) = (&layer.name, layer.op, describe(&layer.cells));
            format!("  {mark} {name:<column$} {op:<20} {c} channels of {h}×{w}{extra}, {place}")
        };
        let title = format!("available layers (* is the default{hidden}):");
        let notes = self.about_default.iter().map(|note| format!("  * {note}"));
        std::iter::once(title).chain(shown.into_iter().map(line)).chain(notes).collect()
    }

    /// Returns the description as JSON, with every layer. Placements are given for rows first, then columns.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let Model { graph, head, .. } = self.model;
        let port = |&id: &ValueId| json!({"name": self.name(id), "shape": graph.fact(id).shape.to_string()});
        let stage = |s: &Stage| json!({"size": s.size, "channels": s.channels, "first": s.first, "last": s.last, "layers": s.layers});
        json!({
            "input": {
                "name": self.name(self.model.image), "shape": self.model.shape(), "batch": self.model.batch,
            },
            "output": self.name(head.output),
            "all_outputs": graph.outputs().iter().map(port).collect::<Vec<_>>(),
            "logits": self.name(head.logits),
            "activation": head.activation.name(),
            "head": head.kind.name(),
            "outputs": head.outputs,
            "classes": self.model.class_names,
            "gap_head": self.has_gap_head,
            "stages": stages(&self.layers).iter().map(stage).collect::<Vec<_>>(),
            "layers": self.layers.iter().map(layer_json).collect::<Vec<_>>(),
            "default_layer": self.default.as_ref().map(|l| &l.name),
            "about_default_layer": self.about_default,
            "preprocessing": self.model.preprocessing.to_pairs(),
            "preprocessing_known": self.model.described,
            "own_scaling": self.model.own_scaling.map(PixelRange::name),
            "notes": self.model.notes,
        })
    }
}

fn weights(model: &Model) -> usize {
    let count = |origin: &Origin| match origin {
        Origin::Constant(tensor) => tensor.as_f32().map_or(0, <[f32]>::len),
        _ => 0,
    };
    model.graph.values().iter().map(|v| count(&v.origin)).sum()
}

/// Describes the preprocessing of image files.
fn pixels(model: &Model) -> String {
    let settings = &model.preprocessing;
    let mut text = settings.in_words();
    let pairs = settings.to_pairs();
    let of = |key: &str| pairs.get(key).map_or("", String::as_str);
    let source = match (model.described, model.own_scaling) {
        (true, _) => "as the file specifies",
        (false, Some(_)) => "the model does the rest itself",
        (false, None) => "assumed: the file does not say; --preset changes it",
    };
    let _ = write!(text, ", {}, {} ({source})", of("channel_order"), of("resize"));
    text
}

/// Draws the network as a diagram with one bar per size.
fn stage_lines(stages: &[Stage]) -> Vec<String> {
    let widest = stages.iter().map(|s| s.size[0].max(s.size[1])).max().unwrap_or(1);
    let size = |stage: &Stage| format!("{}×{}", stage.size[0], stage.size[1]);
    let column = stages.iter().map(|s| size(s).chars().count()).max().unwrap_or(0);
    let line = |stage: &Stage| {
        let bar = "▇".repeat((BAR * stage.size[0].max(stage.size[1])).div_ceil(widest).max(1));
        let names = match (stage.layers, stage.first == stage.last) {
            (1, _) | (_, true) => stage.last.clone(),
            (2, _) => format!("{}, {}", stage.first, stage.last),
            (n, _) => format!("{} … {} ({n} steps)", stage.first, stage.last),
        };
        let (size, extra) = (size(stage), extra_tokens(stage.grid));
        format!("  {size:>column$} {bar:<BAR$} {:>5} ch  {names}{extra}", stage.channels)
    };
    if stages.len() <= STAGE_LINES {
        return stages.iter().map(line).collect();
    }
    let (front, back) = (STAGE_LINES / 2, stages.len() - STAGE_LINES / 2);
    let mut lines: Vec<String> = stages[..front].iter().map(line).collect();
    lines.push(format!("  {:>column$} … {} more", "", back - front));
    lines.extend(stages[back..].iter().map(line));
    lines
}

/// Describes tokens in addition to those of the grid.
fn extra_tokens(grid: SpatialLayout) -> String {
    match grid {
        SpatialLayout::Tokens { before: 0, after: 0 } => ", tokens".to_owned(),
        SpatialLayout::Tokens { before, after } => format!(", tokens and {} more", before + after),
        SpatialLayout::Spatial | SpatialLayout::ChannelsLast => String::new(),
    }
}

fn layer_json(layer: &Layer) -> Value {
    let (grid, before, after) = match layer.grid {
        SpatialLayout::Spatial => ("spatial", 0, 0),
        SpatialLayout::ChannelsLast => ("channels last", 0, 0),
        SpatialLayout::Tokens { before, after } => ("tokens", before, after),
    };
    json!({
        "name": layer.name,
        "module": layer.module,
        "node": layer.node,
        "op": layer.op,
        "shape": layer.shape,
        "grid": grid,
        "tokens_before": before,
        "tokens_after": after,
        "view": layer.view,
        "placement": placement_json(&layer.cells),
    })
}

/// Returns the placement, or `null` if it is unknown.
fn placement_json(cells: &[Option<Cells>; 2]) -> Value {
    let [Some(rows), Some(columns)] = cells else { return Value::Null };
    let both = |number: fn(&Cells) -> f64| [number(rows), number(columns)];
    json!({
        "step": both(|c| c.step),
        "offset": both(|c| c.offset),
        "reach": both(Cells::reach),
        "apart": both(|c| c.apart),
        "mixed": rows.mixed || columns.mixed,
    })
}
