//! `heatlens inspect`: what a model file holds and what one can look at.

use heatlens::model::{Layer, Model};
use serde_json::{Value, json};

use crate::arguments::Inspect;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(options: &Inspect) -> Result<(), Failure> {
    let model = Model::open(&options.model)?;
    let default = model.default_layer().ok();
    if options.json {
        output::line(serde_json::to_string_pretty(&as_json(&model, default.as_ref()))?);
    } else {
        print(&model, default.as_ref());
    }
    Ok(())
}

fn print(model: &Model, default: Option<&Layer>) {
    let [c, h, w] = model.shape();
    let graph = &model.graph;
    output::line(format!("input    {} (N×{c}×{h}×{w})", graph.value(model.image).name));
    let head = &model.head;
    output::line(format!(
        "output   {} ({} after {})",
        graph.value(head.output).name,
        if head.is_binary() {
            "one score for two classes".to_owned()
        } else {
            format!("{} scores", head.outputs)
        },
        if head.activation.name() == "none" { "nothing: these are logits" } else { head.activation.name() },
    ));
    output::line(format!("logits   {}", graph.value(head.logits).name));
    output::line(format!("classes  {}", model.class_names.join(", ")));
    let weights: usize = graph
        .values()
        .iter()
        .filter_map(|v| match &v.origin {
            heatlens::graph::Origin::Constant(tensor) => tensor.as_f32().map(<[f32]>::len),
            _ => None,
        })
        .sum();
    output::line(format!("weights  {weights} numbers in {} nodes", graph.nodes().len()));
    match model.gap_head() {
        Some(_) => output::line("head     global average pooling and one dense layer: cam applies"),
        None => output::line(
            "head     no global average pooling with one dense layer: cam does not apply, grad_cam does",
        ),
    }
    output::line("layers one can look at (* is the default):");
    for layer in model.layers() {
        let mark = if default.is_some_and(|d| d.value == layer.value) { '*' } else { ' ' };
        let [c, h, w] = layer.shape;
        output::line(format!("  {mark} {:<32} {:<20} {c} channels of {h}×{w}", layer.name, layer.op));
    }
    for note in &model.notes {
        output::note(note);
    }
}

fn as_json(model: &Model, default: Option<&Layer>) -> Value {
    let head = &model.head;
    let layer = |l: &Layer| json!({"name": l.name, "op": l.op, "shape": l.shape});
    json!({
        "input": {"name": model.graph.value(model.image).name, "shape": model.shape()},
        "output": model.graph.value(head.output).name,
        "logits": model.graph.value(head.logits).name,
        "activation": head.activation.name(),
        "outputs": head.outputs,
        "classes": model.class_names,
        "gap_head": model.gap_head().is_some(),
        "layers": model.layers().iter().map(layer).collect::<Vec<_>>(),
        "default_layer": default.map(|l| &l.name),
        "preprocessing": model.preprocessing.to_pairs(),
        "notes": model.notes,
    })
}
