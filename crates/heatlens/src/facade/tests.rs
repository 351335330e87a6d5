use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::RgbImage;

use super::*;
use crate::data::{ArrayDataset, DataError, ElementType, Layout, OpenOptions, Preset, Raster, Resize};
use crate::explain::{ExplainError, Explainer, Target};
use crate::method::{Method, MethodError};
use crate::model::{Model, Preparation};
use crate::train::arch;

const SIDE: usize = 32;

fn model(channels: usize) -> Model {
    let network = arch::find("gap-cnn").unwrap().build([channels, SIDE, SIDE], 3, 0).unwrap();
    let mut model = Model::from_graph(network).unwrap();
    model.class_names = ["cat", "dog", "hen"].map(str::to_owned).to_vec();
    model
}

/// Returns an image whose size differs from the model's input size.
fn image() -> Raster {
    let bytes: Vec<u8> = (0..40 * 60 * 3).map(|i| (i * 7919 % 256) as u8).collect();
    Raster::from_bytes([40, 60, 3], &bytes).unwrap()
}

#[test]
fn a_heat_map_tells_what_it_is() {
    let explainer =
        Explainer::builder(&model(3)).method(Method::GRAD_CAM).class(Target::All).build().unwrap();
    let explanation = explainer.explain_pixels(image()).unwrap();
    let names: Vec<&str> = explanation.heatmaps().map(|map| map.name()).collect();
    assert_eq!(names, ["grad_cam#cat", "grad_cam#dog", "grad_cam#hen"]);
    for (class, map) in explanation.heatmaps().enumerate() {
        assert_eq!((map.class(), map.raw().shape.as_slice()), (class, [6, 6].as_slice()));
        assert_eq!(map.max(), map.raw().values.iter().copied().fold(f32::MIN, f32::max));
        assert_eq!(map.why_empty().is_some(), map.max() <= 0.0);
        let heat = map.heat().map(|heat| (heat.height(), heat.width()));
        assert_eq!(heat, map.why_empty().is_none().then_some((40, 60)));
    }
    assert_eq!(explanation.predicted_name(), model(3).class_names[explanation.predicted()]);
    let missing = explanation.heatmap(Method::RISE).unwrap_err().to_string();
    assert!(missing.contains("no map of rise, only of grad_cam"), "{missing}");
}

#[test]
fn explanations_stop_between_groups_of_images() {
    let model = model(3);
    let values: Vec<f32> = (0..40 * 3 * SIDE * SIDE).map(|i| (i % 97) as f32 / 97.0).collect();
    let (shape, options) = ([40, 3, SIDE, SIDE], OpenOptions::default());
    let data = ArrayDataset::from_values("x", &shape, ElementType::Float(4), values, &options).unwrap();
    let explainer = Explainer::builder(&model).method(Method::GRAD_CAM).build().unwrap();
    let asked = AtomicUsize::new(0);
    let until = |last: usize| {
        let stop = || asked.fetch_add(1, Ordering::Relaxed) == last;
        explainer.explain_items_until(&data, 0..40, &stop)
    };
    let whole = until(usize::MAX).unwrap();
    let alone = explainer.explain_items(&data, [39]).unwrap();
    assert_eq!((whole.len(), asked.swap(0, Ordering::Relaxed)), (40, 3));
    assert_eq!(whole[39].numbers().logits, alone[0].numbers().logits);
    assert!(matches!(until(1).unwrap_err(), ExplainError::Method(MethodError::Stopped)));
}

#[test]
fn the_first_image_that_cannot_be_read_is_reported() {
    let mut values = vec![0.5; 16 * 3 * SIDE * SIDE];
    for item in [3, 4, 9, 15] {
        values[item * 3 * SIDE * SIDE] = f32::NAN;
    }
    let (shape, options) = ([16, 3, SIDE, SIDE], OpenOptions::default());
    let data = ArrayDataset::from_values("x", &shape, ElementType::Float(4), values, &options).unwrap();
    let explainer = Explainer::builder(&model(3)).method(Method::GRAD_CAM).build().unwrap();
    for _ in 0..20 {
        let message = explainer.explain_items(&data, 0..16).unwrap_err().to_string();
        assert!(message.contains("x[3] holds NaN"), "{message}");
    }
}

#[test]
fn an_array_is_an_image_of_the_models_size() {
    let model = model(3).with_preset(Preset::Imagenet).unwrap();
    let explainer = Explainer::builder(&model).method(Method::GRAD_CAM).build().unwrap();
    let image = image().resized(SIDE, SIDE, Resize::Squash).unwrap();
    let planes = image.values.clone();
    let pixels: Vec<f32> =
        (0..SIDE * SIDE).flat_map(|at| [0, 1, 2].map(|c| planes[c * SIDE * SIDE + at])).collect();
    let two = |values: &[f32]| values.repeat(2);
    let whole = explainer.explain_images([image.clone(), image]).unwrap();
    let array = |values: &[f32], shape: &[usize], layout| explainer.explain_array(values, shape, layout);
    for found in [
        array(&two(&planes), &[2, 3, SIDE, SIDE], Layout::Nchw).unwrap(),
        array(&two(&pixels), &[2, SIDE, SIDE, 3], Layout::Nhwc).unwrap(),
        array(&planes, &[3, SIDE, SIDE], Layout::Nchw).unwrap(),
    ] {
        for (found, whole) in found.iter().zip(&whole) {
            assert_eq!(found.numbers().logits, whole.numbers().logits);
            assert_eq!(
                found.heatmaps().next().unwrap().overlay(),
                whole.heatmaps().next().unwrap().overlay()
            );
        }
    }
    let refused = |values: &[f32], shape: &[usize]| match array(values, shape, Layout::Nchw) {
        Err(ExplainError::Data(DataError::Pixels { found, expected })) => format!("{found}: {expected}"),
        other => panic!("{other:?}"),
    };
    assert!(refused(&planes, &[2, 3, SIDE, SIDE]).contains("as [2, 3, 32, 32]"));
    assert!(refused(&planes, &[SIDE, SIDE, 3]).contains("n images of [3, 32, 32]"));
    assert!(refused(&vec![128.0; planes.len()], &[3, SIDE, SIDE]).contains("divide bytes by 255"));
    assert!(refused(&vec![f32::NAN; planes.len()], &[3, SIDE, SIDE]).contains("NaN"));
}

#[test]
fn who_forgets_the_preset_is_told_as_on_the_command_line() {
    let (plain, known) = (model(3), model(3).with_preset(Preset::Imagenet).unwrap());
    let told = |model: &Model| {
        let explainer = Explainer::builder(model).build().unwrap();
        let explanation = explainer.explain_pixels(image()).unwrap();
        let mut of_image: Vec<String> = explanation.notes().map(str::to_owned).collect();
        assert!(of_image.pop().unwrap().contains("squashed"));
        assert_eq!(of_image, explainer.notes());
        of_image.join("\n")
    };
    let mut prepared = model(3);
    prepared.prepare(&Preparation::default()).unwrap();
    let words = &prepared.notes.last().unwrap().clone();
    assert!(told(&plain).contains(words) && words.contains("does not say how images are prepared"));
    assert_eq!(told(&prepared).matches(words).count(), 1);
    assert_eq!(told(&known), "");
    assert!(
        !prepared.with_preset(Preset::Imagenet).unwrap().notes.iter().any(|note| note.contains("--preset"))
    );
    // An explainer made without the builder.
    let options = crate::explain::ExplainOptions::new(&[Method::GRAD_CAM]);
    let explanation = Explainer::new(&plain, &options).unwrap().explain_pixels(image()).unwrap();
    assert_eq!(explanation.notes().next(), Some(words.as_str()));
}

#[test]
fn classes_layers_and_settings_go_by_name() {
    let model = model(3);
    let class = |choice: ClassChoice| {
        let explainer = Explainer::builder(&model).method(Method::GRAD_CAM).class(choice).build()?;
        let explanation = explainer.explain_pixels(image())?;
        Ok::<_, ExplainError>(explanation.heatmap(Method::GRAD_CAM)?.class_name().to_owned())
    };
    assert_eq!(class("Hen".into()).unwrap(), "hen");
    assert_eq!(class(1.into()).unwrap(), "dog");
    assert_eq!(class(Target::Class(0).into()).unwrap(), "cat");
    assert!(class("cow".into()).is_err() && class(3.into()).is_err());
    let build = |builder: ExplainerBuilder<'_>| builder.method(Method::RISE).build();
    assert!(build(Explainer::builder(&model).layer("no such layer")).is_err());
    assert!(build(Explainer::builder(&model).set("rise.masks=0")).is_err());
    let passes =
        build(Explainer::builder(&model).set("rise.masks=7").seed(3).class("hen").against("dog")).unwrap();
    let map = |explainer: &Explainer| {
        explainer.explain_pixels(image()).unwrap().heatmap(Method::RISE).unwrap().raw().values.clone()
    };
    let other =
        build(Explainer::builder(&model).set("rise.masks=7").seed(4).class("hen").against("dog")).unwrap();
    assert!(map(&passes) != map(&other));
}

#[test]
fn pictures_are_saved_by_the_ending_of_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let drawing = Drawing { image: RgbImage::new(4, 4) };
    for (name, start) in [("a.png", b"\x89PNG".as_slice()), ("a.JPG", b"\xff\xd8"), ("b.jpeg", b"\xff\xd8")] {
        drawing.save(folder.path().join(name)).unwrap();
        assert!(std::fs::read(folder.path().join(name)).unwrap().starts_with(start), "{name}");
    }
    for name in ["a", "a.webp"] {
        let refused = drawing.save(folder.path().join(name)).unwrap_err().to_string();
        assert!(refused.contains(".png, .jpg or .jpeg"), "{refused}");
    }
}

/// Returns the visible code of an example, without the hidden lines needed only for the test.
fn code<'t>(text: &'t str, prefix: &str) -> Vec<&'t str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(prefix)).map(str::trim);
    let after =
        lines.skip_while(|line| !line.starts_with("use heatlens::{Explainer, Method, Model, Preset}"));
    after.take_while(|line| !line.starts_with("```") && !line.starts_with("# ")).collect()
}

#[test]
fn the_readme_has_the_tested_program() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let tested = code(include_str!("../lib.rs"), "//!");
    assert!(tested.len() >= 6);
    assert_eq!(code(&readme, ""), tested);
}
