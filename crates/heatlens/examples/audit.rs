//! Audit of a model: tests whether the model learned anything, then compares each method with controls that ignore
//! the model.
//!
//! ```sh
//! cargo run --release --example audit -- resnet18.onnx photos
//! ```

#![allow(clippy::print_stdout)]

mod shared;

use std::error::Error;
use std::path::PathBuf;

use heatlens::data::OpenOptions;
use heatlens::method::MethodSettings;
use heatlens::predict::check_plausibility;
use heatlens::trust::audit::{
    AuditSettings, Auditor, ImageRecord, Judged, Measurements, Purpose, conclude, judge,
};
use heatlens::{Method, Model};

/// Number of images the methods are measured on.
const IMAGES: usize = 6;
/// Number of images the model is judged by.
const JUDGED: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let (model, images) = arguments()?;
    let mut model = Model::open(model)?;
    let data = model.open_inputs(&[images], &OpenOptions::default())?;
    model
        .notes()
        .iter()
        .chain(&check_plausibility(&model, data.as_ref())?)
        .for_each(|note| println!("note: {note}"));

    let methods = [Method::GRAD_CAM, Method::HIRES_CAM, Method::GUIDED_BACKPROP];
    let auditor = Auditor::new(&model, AuditSettings::quick(&methods, MethodSettings::default()))?;

    let (mut logits, mut labels) = (Vec::new(), Vec::new());
    for item in auditor.choose(data.len(), JUDGED) {
        logits.extend(auditor.logits(&data.load(item)?.pixels, 1)?);
        labels.push(data.label(item));
    }
    let purpose = Purpose::Given;
    let verdict = judge(Judged {
        model: &model,
        logits: &logits,
        labels: &labels,
        purpose,
        selected_among: 1,
        seed: 0,
    });
    println!("{}\n", verdict.judgement);

    let mut records = Vec::new();
    for item in auditor.choose(data.len(), IMAGES) {
        let pixels = data.load(item)?.pixels;
        let measured = auditor.measure(item, &pixels, None, &|_, _| true)?;
        let (source, label, pixels) = (data.source(item), data.label(item), String::new());
        records.push(ImageRecord { item, source, label, pixels, measured });
    }
    let audit = conclude(Measurements {
        model: verdict,
        methods: &auditor.methods(),
        records: &records,
        randomization: None,
        seed: 0,
        notes: auditor.notes().to_vec(),
    });
    for row in &audit.methods {
        println!("{:<24} {:3.0} %  {}", row.title, 100.0 * row.score.mean, row.verdict.sentence());
    }
    println!("on {} images; the command `heatlens audit` also compares with random networks", audit.images);
    Ok(())
}

/// Model and images from the command line, or generated ones.
fn arguments() -> Result<(PathBuf, PathBuf), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    match (words.next(), words.next()) {
        (Some(model), Some(images)) => Ok((model, images)),
        (None, _) => {
            let folder = shared::folder("audit")?;
            let images = shared::images(&folder)?;
            Ok((shared::model(&folder, &images)?, images))
        }
        _ => Err("expected MODEL IMAGES, or nothing".into()),
    }
}
