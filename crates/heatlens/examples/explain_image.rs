//! Explains one image: saves the overlay and prints the values.
//!
//! ```sh
//! cargo run --release --example explain_image -- resnet18.onnx cat.jpg cat_grad_cam.png
//! ```

#![allow(clippy::print_stdout)]

mod shared;

use std::error::Error;
use std::path::PathBuf;

use heatlens::{Explainer, Method, Model};

fn main() -> Result<(), Box<dyn Error>> {
    let (model, image, out) = arguments()?;

    // If the file does not specify the preprocessing, add `.with_preset(Preset::Imagenet)?`.
    let model = Model::open(model)?;
    let explainer = Explainer::builder(&model).method(Method::GRAD_CAM).build()?;
    let explanation = explainer.explain_image(image)?;
    explanation.notes().for_each(|note| println!("note: {note}"));

    let heatmap = explanation.heatmap(Method::GRAD_CAM)?;
    heatmap.overlay().save(&out)?;
    println!(
        "{}: evidence from {} to {} over {:?} cells; the picture is {}",
        explanation.predicted_name(),
        heatmap.min(),
        heatmap.max(),
        heatmap.raw().shape,
        out.display()
    );
    if let Some(reason) = heatmap.why_empty() {
        println!("there is nothing to see: {reason}");
    }
    Ok(())
}

/// Model, image and output file from the command line, or generated ones.
fn arguments() -> Result<(PathBuf, PathBuf, PathBuf), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    match (words.next(), words.next(), words.next()) {
        (Some(model), Some(image), Some(out)) => Ok((model, image, out)),
        (None, ..) => {
            let folder = shared::folder("explain_image")?;
            let images = shared::images(&folder)?;
            Ok((shared::model(&folder, &images)?, shared::image(&images), folder.join("overlay.png")))
        }
        _ => Err("expected MODEL IMAGE PICTURE, or nothing".into()),
    }
}
