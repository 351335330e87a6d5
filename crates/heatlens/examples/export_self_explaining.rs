//! Adds the map to a model file as an output, so that any ONNX runtime computes it along with the scores.
//!
//! ```sh
//! cargo run --release --example export_self_explaining -- resnet18.onnx explained.onnx
//! ```

#![allow(clippy::print_stdout)]

mod shared;

use std::error::Error;
use std::path::PathBuf;

use heatlens::export::{EXPLANATION, ExplanationOutput, with_explanation};
use heatlens::graph::onnx;
use heatlens::{Method, Model};

fn main() -> Result<(), Box<dyn Error>> {
    let (model, out) = arguments()?;
    let model = Model::open(model)?;
    // At the size of the image, so that the map needs no upsampling.
    let wanted = ExplanationOutput { image_size: true, ..ExplanationOutput::new(Method::GRAD_CAM) };
    let file = with_explanation(&model, &wanted)?;
    std::fs::write(&out, &file)?;

    let graph = onnx::read(file)?;
    for &output in graph.outputs() {
        println!("output {}: {}", graph.value(output).name, graph.fact(output).shape);
    }
    let map = graph.find(EXPLANATION).ok_or("the map is missing")?;
    println!("{} holds {} maps of {}", out.display(), graph.fact(map).shape, Method::GRAD_CAM.title);
    Ok(())
}

/// Model and output file from the command line, or generated ones.
fn arguments() -> Result<(PathBuf, PathBuf), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    match (words.next(), words.next()) {
        (Some(model), Some(out)) => Ok((model, out)),
        (None, _) => {
            let folder = shared::folder("export_self_explaining")?;
            let images = shared::images(&folder)?;
            Ok((shared::model(&folder, &images)?, folder.join("explained.onnx")))
        }
        _ => Err("expected MODEL FILE, or nothing".into()),
    }
}
