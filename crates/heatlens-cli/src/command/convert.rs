//! `heatlens convert`: any model that opens as an ONNX file, with its explanation inside if wanted.

use std::path::Path;

use heatlens::data::write_atomically;
use heatlens::explain::Target;
use heatlens::export::{EXPLANATION, Explanation, with_explanation};
use heatlens::method::{self, MapKind};
use heatlens::model::Model;

use crate::arguments::{Convert, SizeName};
use crate::command::explain::placing;
use crate::command::open;
use crate::failure::Failure;
use crate::output;

/// Names of other kinds of model files.
const OTHERS: [&str; 13] = [
    "h5",
    "hdf5",
    "keras",
    "pb",
    "tflite",
    "pt",
    "pth",
    "ckpt",
    "safetensors",
    "mlmodel",
    "mlpackage",
    "engine",
    "npz",
];

pub(crate) fn run(options: &Convert) -> Result<(), Failure> {
    let out = options.out.as_ref().or(options.out_flag.as_ref());
    let out = out.ok_or_else(|| Failure::usage("name the ONNX file to write"))?;
    check_target(out, options.force)?;
    let model = open::model(&options.model, &options.ports, &options.pixels)?;
    let explanation = options.with_explanation.as_ref();
    let explanation = explanation.map(|id| choice(options, &model, id)).transpose()?;
    let file = match &explanation {
        Some(explanation) => with_explanation(&model, explanation)?,
        None => model.to_onnx()?,
    };
    write_atomically(out, &file).map_err(|e| Failure::new(format!("cannot write {}: {e}", out.display())))?;
    let graph = &model.graph;
    let mut outputs: Vec<&str> = graph.outputs().iter().map(|&o| graph.value(o).name.as_str()).collect();
    outputs.extend(explanation.is_some().then_some(EXPLANATION));
    output::line(format!(
        "{}: input {}, outputs {}",
        out.display(),
        graph.value(model.image).name,
        outputs.join(", ")
    ));
    Ok(())
}

fn check_target(out: &Path, force: bool) -> Result<(), Failure> {
    if out.is_dir() {
        return Err(Failure::usage(format!("{} is a folder, expected a name for the file", out.display())));
    }
    let end = out.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default();
    if OTHERS.contains(&end.as_str()) {
        let onnx = out.with_extension("onnx");
        return Err(Failure::usage(format!(
            "{}: what is written is an ONNX file, which nothing opens under the name of another kind; call it {}",
            out.display(),
            onnx.display()
        )));
    }
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(Failure::new(format!(
            "cannot write {}: there is no folder {}; make it first",
            out.display(),
            folder.display()
        )));
    }
    if out.exists() && !force {
        let hint = "choose another name, or add --force to replace it";
        return Err(Failure::new(format!("{} exists already; {hint}", out.display())));
    }
    Ok(())
}

fn choice(options: &Convert, model: &Model, id: &str) -> Result<Explanation, Failure> {
    let method = method::find(id).map_err(|e| Failure::usage(e.to_string()))?;
    let usage = |e: heatlens::model::ModelError| Failure::usage(e.to_string());
    let layer = options.layer.as_ref().map(|name| model.layer(name)).transpose().map_err(usage)?;
    if layer.is_some() && !method.uses_layer {
        output::note(format!("--layer makes no difference to {id}"));
    }
    let target = Target::parse(&options.class, model).map_err(usage)?;
    if target == Target::All {
        return Err(Failure::usage(
            "--class all: a file holds the map of one class, or of the predicted one",
        ));
    }
    let image_size = options.explanation_size == SizeName::Image;
    if image_size && method.kind == MapKind::Input {
        output::note(format!("--explanation-size makes no difference to {id}: its map has the image's size"));
    }
    let placing = placing(&options.placement)?;
    Ok(Explanation {
        layer,
        target,
        score: options.score.into(),
        placing,
        image_size,
        ..Explanation::new(method)
    })
}
