//! `heatlens inspect`: what a model file holds and what one can look at.

use std::fmt::Write as _;

use heatlens::graph::{Origin, ValueId};
use heatlens::model::placement::describe;
use heatlens::model::stages::stages;
use heatlens::model::{Activation, Cells, Grid, Layer, Model, Stage};
use serde_json::{Value, json};

use crate::arguments::Inspect;
use crate::command::open;
use crate::failure::Failure;
use crate::output;

/// Lines of the picture of stages, at most.
const STAGE_LINES: usize = 15;
/// Length of the longest bar.
const BAR: usize = 24;
/// Class names that are listed, at most.
const CLASSES: usize = 12;

pub(crate) fn run(options: &Inspect) -> Result<(), Failure> {
    let model = open::ports(&options.model, &options.ports)?;
    let layers = model.layers();
    let default = model.default_layer().ok();
    if options.json {
        output::line(serde_json::to_string_pretty(&as_json(&model, &layers, default.as_ref()))?);
        return Ok(());
    }
    print_facts(&model);
    print_stages(&stages(&layers));
    print_layers(&model, &layers, default.as_ref(), options.all);
    model.notes.iter().for_each(output::note);
    Ok(())
}

fn print_facts(model: &Model) {
    let [c, h, w] = model.shape();
    let (graph, head) = (&model.graph, &model.head);
    let name = |id: ValueId| &graph.value(id).name;
    let batch = model.batch.map_or_else(|| "N".to_owned(), |batch| batch.to_string());
    output::line(format!("input    {} ({batch}×{c}×{h}×{w})", name(model.image)));
    output::line(format!("pixels   {}", pixels(model)));
    let scores = match head.outputs {
        1 if head.is_quantity() => "one quantity".to_owned(),
        1 => "one score for two classes".to_owned(),
        scores if head.is_quantity() => format!("{scores} quantities"),
        scores => format!("{scores} scores"),
    };
    let after = match head.activation {
        Activation::None if head.is_quantity() => String::new(),
        Activation::None => " after nothing: these are logits".to_owned(),
        Activation::LogOdds => ", probabilities already".to_owned(),
        activation => format!(" after {}", activation.name()),
    };
    output::line(format!("output   {} ({scores}{after})", name(head.output)));
    output::line(format!("meaning  {}: {} (--head changes it)", head.kind.name(), head.kind.about()));
    let others = graph.outputs().iter().filter(|&&id| id != head.output);
    let others: Vec<String> = others.map(|&id| format!("{} ({})", name(id), graph.fact(id).shape)).collect();
    if !others.is_empty() {
        output::line(format!("others   {} (--output chooses)", others.join(", ")));
    }
    output::line(format!("logits   {}", name(head.logits)));
    let names = &model.class_names;
    let classes = names.iter().take(CLASSES).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if names.len() > CLASSES { format!(", … ({} in all)", names.len()) } else { String::new() };
    output::line(format!("classes  {classes}{more}"));
    output::line(format!("weights  {} numbers in {} nodes", weights(model), graph.nodes().len()));
    output::line(match model.gap_head() {
        Some(_) => "head     global average pooling and one dense layer: cam applies",
        None => "head     no global average pooling with one dense layer: cam does not apply, grad_cam does",
    });
}

fn weights(model: &Model) -> usize {
    let count = |origin: &Origin| match origin {
        Origin::Constant(tensor) => tensor.as_f32().map_or(0, <[f32]>::len),
        _ => 0,
    };
    model.graph.values().iter().map(|v| count(&v.origin)).sum()
}

/// How image files are prepared, in words.
fn pixels(model: &Model) -> String {
    let settings = &model.preprocessing;
    let mut text = settings.in_words();
    let pairs = settings.to_pairs();
    let of = |key: &str| pairs.get(key).map_or("", String::as_str);
    let source = match (model.described, model.own_scaling) {
        (true, _) => "as the file says",
        (false, Some(_)) => "the model does the rest itself",
        (false, None) => "assumed: the file does not say; --preset changes it",
    };
    let _ = write!(text, ", {}, {} ({source})", of("channel_order"), of("resize"));
    text
}

/// The network as a picture: a bar for every size it goes through.
fn print_stages(stages: &[Stage]) {
    let widest = stages.iter().map(|s| s.size[0].max(s.size[1])).max().unwrap_or(1);
    let size = |stage: &Stage| format!("{}×{}", stage.size[0], stage.size[1]);
    let column = stages.iter().map(|s| size(s).chars().count()).max().unwrap_or(0);
    let (front, back) = match stages.len() {
        n if n <= STAGE_LINES => (n, n),
        n => (STAGE_LINES / 2, n - STAGE_LINES / 2),
    };
    output::line("stages");
    for (i, stage) in stages.iter().enumerate() {
        if i == front && front < back {
            output::line(format!("  {:>column$} … {} more", "", back - front));
        }
        if (front..back).contains(&i) {
            continue;
        }
        let length = (BAR * stage.size[0].max(stage.size[1])).div_ceil(widest).max(1);
        let names = match (stage.layers, stage.first == stage.last) {
            (1, _) | (_, true) => stage.last.clone(),
            (2, _) => format!("{}, {}", stage.first, stage.last),
            (n, _) => format!("{} … {} ({n} steps)", stage.first, stage.last),
        };
        let (bar, extra) = ("▇".repeat(length), extra_tokens(stage.grid));
        output::line(format!(
            "  {:>column$} {bar:<BAR$} {:>5} ch  {names}{extra}",
            size(stage),
            stage.channels
        ));
    }
}

/// Tokens beside those of the grid.
fn extra_tokens(grid: Grid) -> String {
    match grid {
        Grid::Tokens { before: 0, after: 0 } => ", tokens".to_owned(),
        Grid::Tokens { before, after } => format!(", tokens and {} more", before + after),
        Grid::Spatial | Grid::ChannelsLast => String::new(),
    }
}

fn print_layers(model: &Model, layers: &[Layer], default: Option<&Layer>, all: bool) {
    let shown = if all { layers.iter().collect() } else { model.outline(layers, default) };
    let hidden = match layers.len() - shown.len() {
        0 => String::new(),
        n => format!("; --all lists {n} more"),
    };
    output::line(format!("layers one can look at (* is the default{hidden}):"));
    let column = shown.iter().map(|l| l.name.chars().count()).max().unwrap_or(0).clamp(16, 60);
    for layer in shown {
        let mark = if default.is_some_and(|d| d.value == layer.value) { '*' } else { ' ' };
        let [c, h, w] = layer.shape;
        let extra = extra_tokens(layer.grid);
        output::line(format!(
            "  {mark} {:<column$} {:<20} {c} channels of {h}×{w}{extra}, {}",
            layer.name,
            layer.op,
            describe(&layer.cells)
        ));
    }
}

fn as_json(model: &Model, layers: &[Layer], default: Option<&Layer>) -> Value {
    let (graph, head) = (&model.graph, &model.head);
    let name = |id: ValueId| &graph.value(id).name;
    let port = |&id: &ValueId| json!({"name": name(id), "shape": graph.fact(id).shape.to_string()});
    let stage = |s: &Stage| json!({"size": s.size, "channels": s.channels, "first": s.first, "last": s.last, "layers": s.layers});
    json!({
        "input": {"name": name(model.image), "shape": model.shape(), "batch": model.batch},
        "output": name(head.output),
        "all_outputs": graph.outputs().iter().map(port).collect::<Vec<_>>(),
        "logits": name(head.logits),
        "activation": head.activation.name(),
        "head": head.kind.name(),
        "outputs": head.outputs,
        "classes": model.class_names,
        "gap_head": model.gap_head().is_some(),
        "stages": stages(layers).iter().map(stage).collect::<Vec<_>>(),
        "layers": layers.iter().map(layer_json).collect::<Vec<_>>(),
        "default_layer": default.map(|l| &l.name),
        "preprocessing": model.preprocessing.to_pairs(),
        "preprocessing_known": model.described,
        "own_scaling": model.own_scaling.map(heatlens::model::PixelRange::name),
        "notes": model.notes,
    })
}

fn layer_json(layer: &Layer) -> Value {
    let (grid, before, after) = match layer.grid {
        Grid::Spatial => ("spatial", 0, 0),
        Grid::ChannelsLast => ("channels last", 0, 0),
        Grid::Tokens { before, after } => ("tokens", before, after),
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

/// Rows first, then columns; `null` where they cannot be told.
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
