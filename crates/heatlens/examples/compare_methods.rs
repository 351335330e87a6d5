//! Several methods on one image, each with the share of its heat in the hottest tenth of the image.
//!
//! ```sh
//! cargo run --release --example compare_methods -- resnet18.onnx cat.jpg pictures
//! ```

#![allow(clippy::print_stdout, clippy::cast_precision_loss)]

mod shared;

use std::error::Error;
use std::path::PathBuf;

use heatlens::{Explainer, Method, Model};

fn main() -> Result<(), Box<dyn Error>> {
    let (model, image, out) = arguments()?;
    let model = Model::open(model)?;
    let explainer = Explainer::builder(&model)
        .methods([Method::GRAD_CAM, Method::HIRES_CAM, Method::LAYER_CAM, Method::INPUT_X_GRADIENT])
        .method(Method::RISE)
        .set("rise.masks=200")
        .skip_inapplicable()
        .build()?;

    let explanation = explainer.explain_image(image)?;
    explanation.notes().for_each(|note| println!("note: {note}"));
    for heatmap in explanation.heatmaps() {
        heatmap.overlay().save(out.join(format!("{}.png", heatmap.name())))?;
        match heatmap.heat() {
            Some(heat) => println!("{:<20} {:3.0} %", heatmap.name(), 100.0 * hottest_tenth(heat.values())),
            None => println!("{:<20} nothing to see", heatmap.name()),
        }
    }
    println!("the overlays are in {}", out.display());
    Ok(())
}

/// Returns the share of the heat on the hottest tenth of the pixels.
fn hottest_tenth(heat: &[f32]) -> f32 {
    let mut sorted = heat.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted.iter().take(heat.len().div_ceil(10)).sum::<f32>() / heat.iter().sum::<f32>()
}

/// Model, image and folder from the command line, or generated ones.
fn arguments() -> Result<(PathBuf, PathBuf, PathBuf), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    match (words.next(), words.next(), words.next()) {
        (Some(model), Some(image), Some(out)) => {
            std::fs::create_dir_all(&out)?;
            Ok((model, image, out))
        }
        (None, ..) => {
            let folder = shared::folder("compare_methods")?;
            let images = shared::images(&folder)?;
            Ok((shared::model(&folder, &images)?, shared::image(&images), folder))
        }
        _ => Err("expected MODEL IMAGE FOLDER, or nothing".into()),
    }
}
