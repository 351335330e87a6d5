//! A custom method: a registry row and a formula that is appended to the network's graph.
//!
//! This one is Grad-CAM with the *positive* gradients only. It is compiled together with the network and the other
//! methods, so shared parts are computed once.
//!
//! ```sh
//! cargo run --release --example custom_method -- resnet18.onnx cat.jpg overlay.png
//! ```

#![allow(clippy::print_stdout)]

mod shared;

use std::error::Error;
use std::path::PathBuf;

use heatlens::graph::ValueId;
use heatlens::method::{Formula, MapKind, MethodError, Work};
use heatlens::{Explainer, Method, Model};

static POSITIVE_CAM: Method = Method {
    id: "positive_cam",
    title: "Positive CAM",
    summary: "where channels are active whose gradient is positive",
    formula: "Σₖ αₖ Aₖ, with αₖ = mean over the plane of max(0, ∂y/∂Aₖ)",
    paper: "this example",
    cost: "1 forward pass, 1 backward pass down to the layer",
    sanity: "not tested",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: Some("an example, not a published method"),
    parameters: &[],
    work: Work::Graph(positive_cam),
};

fn positive_cam(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let (gradient, activations) = (f.layer_gradient()?, f.activations()?);
    let mut b = f.builder(POSITIVE_CAM.id);
    let positive = b.relu(gradient)?;
    let weights = b.mean(positive, &[2, 3], true)?;
    let weighted = b.mul(activations, weights)?;
    Ok(f.sum_channels(weighted)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (model, image, out) = arguments()?;
    let model = Model::open(model)?;
    let explainer = Explainer::builder(&model).method(&POSITIVE_CAM).method(Method::GRAD_CAM).build()?;
    let explanation = explainer.explain_image(image)?;
    explanation.heatmap(&POSITIVE_CAM)?.overlay().save(&out)?;
    for heatmap in explanation.heatmaps() {
        println!("{}: from {} to {}", heatmap.method().title, heatmap.min(), heatmap.max());
    }
    println!("the overlay is {}", out.display());
    Ok(())
}

/// Model, image and output file from the command line, or generated ones.
fn arguments() -> Result<(PathBuf, PathBuf, PathBuf), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    match (words.next(), words.next(), words.next()) {
        (Some(model), Some(image), Some(out)) => Ok((model, image, out)),
        (None, ..) => {
            let folder = shared::folder("custom_method")?;
            let images = shared::images(&folder)?;
            Ok((shared::model(&folder, &images)?, shared::image(&images), folder.join("overlay.png")))
        }
        _ => Err("expected MODEL IMAGE PICTURE, or nothing".into()),
    }
}
