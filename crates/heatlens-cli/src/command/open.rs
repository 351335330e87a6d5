//! From the words on the command line to data and models.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use heatlens::data::{ArrayNumbers, Dataset, Layout, OpenOptions, RowRange};
use heatlens::model::{HeadKind, Model, ModelOptions, Preparation};
use heatlens::predict::first_look;
use heatlens::reference;

use crate::arguments::{Input, LayoutName, Pixels, Ports};
use crate::failure::Failure;
use crate::output;

/// Opens a model with the chosen input, output and head, as far as the file says.
pub(crate) fn ports(path: &Path, ports: &Ports) -> Result<Model, Failure> {
    Ok(Model::open_with(path, &choices(ports)?)?)
}

/// What the flags say where a file leaves a choice.
fn choices(ports: &Ports) -> Result<ModelOptions, Failure> {
    let head: Option<HeadKind> = parsed("--head", ports.head.as_deref())?;
    let by_reference = ports.reference.as_ref().map(|_| HeadKind::Similarity);
    Ok(ModelOptions {
        input: ports.image.clone(),
        output: ports.scores.clone(),
        head: head.or(by_reference),
        input_size: ports.input_size.as_deref().map(|text| size("--input-size", text)).transpose()?,
        ..ModelOptions::default()
    })
}

/// Opens a model, takes over what the flags say of its input, its classes and its head, and repeats its notes.
pub(crate) fn model(path: &Path, ports: &Ports, pixels: &Pixels) -> Result<Model, Failure> {
    let options = ModelOptions { ask: true, named: pixels.labels.is_some(), ..choices(ports)? };
    let mut model = Model::open_with(path, &options)?;
    if let Some(file) = &pixels.labels {
        model.read_class_names(file)?;
    }
    model.prepare(&preparation(pixels)?).map_err(|e| Failure::usage(e.to_string()))?;
    model.notes.iter().for_each(output::note);
    with_reference(model, ports)
}

/// Holds an embedding against the reference.
fn with_reference(model: Model, ports: &Ports) -> Result<Model, Failure> {
    match (model.head.needs_reference(), &ports.reference) {
        (false, None) => Ok(model),
        (true, Some(reference)) => {
            let embedding = reference::embedding(&model, reference)?;
            Ok(model.with_reference(&embedding)?)
        }
        (false, Some(_)) => {
            Err(Failure::usage("--reference: only --head similarity holds images against another one"))
        }
        (true, None) => Err(Failure::usage(
            "--head similarity: similar to what? --reference IMAGE, or --reference FILE.npy with an embedding",
        )),
    }
}

fn preparation(pixels: &Pixels) -> Result<Preparation, Failure> {
    Ok(Preparation {
        resize: parsed("--resize", pixels.resize.as_deref())?,
        crop: pixels.crop.as_deref().map(|text| size("--crop", text)).transpose()?,
        preset: parsed("--preset", pixels.preset.as_deref())?,
        scale: parsed("--scale", pixels.scale.as_deref())?,
        mean: pixels.mean.clone(),
        std: pixels.std.clone(),
    })
}

fn parsed<T: FromStr<Err = String>>(flag: &str, word: Option<&str>) -> Result<Option<T>, Failure> {
    word.map(|word| word.parse().map_err(|e| Failure::usage(format!("{flag}: {e}")))).transpose()
}

/// Opens images for a model, and says what is done to them.
pub(crate) fn data(model: &mut Model, paths: &[PathBuf], input: &Input) -> Result<Box<dyn Dataset>, Failure> {
    let data = model.open_inputs(paths, &options(input)?)?;
    data.notes().iter().for_each(output::note);
    first_look(model, data.as_ref())?.iter().for_each(output::note);
    Ok(data)
}

/// Which arrays hold pixels to train on.
pub(crate) fn numbers(scale: Option<&str>) -> Result<ArrayNumbers, Failure> {
    match scale {
        None => Ok(ArrayNumbers::Pixels),
        Some("raw") => Ok(ArrayNumbers::Raw),
        Some(other) => Err(Failure::usage(format!("--scale: expected raw, found {other:?}"))),
    }
}

/// Height and width from one number or two.
pub(crate) fn size(flag: &str, text: &str) -> Result<[usize; 2], Failure> {
    let (h, w) = text.split_once('x').unwrap_or((text, text));
    let number = |t: &str| t.parse().ok().filter(|n| (1..=8192).contains(n));
    match (number(h), number(w)) {
        (Some(h), Some(w)) => Ok([h, w]),
        _ => Err(Failure::usage(format!(
            "{flag} {text}: expected a number such as 95, or height and width as 95x80"
        ))),
    }
}

/// Rows as Python writes them.
pub(crate) fn rows(flag: &str, text: Option<&str>) -> Result<Option<RowRange>, Failure> {
    text.map(|text| text.parse().map_err(|e| Failure::usage(format!("{flag}: {e}")))).transpose()
}

/// How to read data on their own.
pub(crate) fn options(input: &Input) -> Result<OpenOptions, Failure> {
    let layout = input.layout.map(|layout| match layout {
        LayoutName::Nhwc => Layout::Nhwc,
        LayoutName::Nchw => Layout::Nchw,
    });
    Ok(OpenOptions { rows: rows("--rows", input.rows.as_deref())?, layout, ..OpenOptions::default() })
}
