//! `heatlens convert`: writes any supported model as ONNX, optionally with its explanation.

use std::io::ErrorKind;

use heatlens::data::write_file;
use heatlens::explain::Target;
use heatlens::export::{EXPLANATION, ExplanationOutput, check_path, with_explanation};
use heatlens::method::{self, MapKind};
use heatlens::model::Model;

use crate::arguments::Convert;
use crate::command::open;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(options: &Convert) -> Result<(), Failure> {
    let out = options.out.as_ref().or(options.out_flag.as_ref());
    let out = out.ok_or_else(|| Failure::usage("name the ONNX file to write"))?;
    check_path(out, options.force).map_err(|e| match e.kind() {
        ErrorKind::InvalidFilename => Failure::usage(e),
        _ => Failure::new(e),
    })?;
    let model = open::model(&options.model, &options.pixels)?;
    let explanation = options.with_explanation.as_ref();
    let explanation = explanation.map(|id| choice(options, &model, id)).transpose()?;
    let file = match &explanation {
        Some(explanation) => with_explanation(&model, explanation)?,
        None => model.to_onnx()?,
    };
    write_file(out, &file)?;
    let name = |id| model.graph.value(id).name.as_str();
    let mut outputs: Vec<&str> = model.graph.outputs().iter().copied().map(name).collect();
    outputs.extend(explanation.is_some().then_some(EXPLANATION));
    output::line(format!("{}: input {}, outputs {}", out.display(), name(model.image), outputs.join(", ")));
    Ok(())
}

fn choice(options: &Convert, model: &Model, id: &str) -> Result<ExplanationOutput, Failure> {
    let method = method::find(id).map_err(Failure::usage)?;
    let layer = options.layer.as_ref().map(|name| model.layer(name)).transpose().map_err(Failure::usage)?;
    if layer.is_some() && !method.uses_layer {
        output::note(format!("--layer has no effect on {id}"));
    }
    let target = Target::parse(&options.class, model).map_err(Failure::usage)?;
    if target == Target::All {
        return Err(Failure::usage(
            "--class all: an exported model holds the map of one class, or of the predicted one",
        ));
    }
    let image_size = options.image_size;
    if image_size && method.kind == MapKind::Input {
        output::note(format!("--explanation-size has no effect on {id}: its map has the image's size"));
    }
    let (score, placing) = (options.score.parse()?, options.placement);
    Ok(ExplanationOutput { method, layer, target, score, placing, image_size })
}
