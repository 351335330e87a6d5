//! Tests that the library and the command line give the same images and messages.

use std::fs;
use std::path::Path;

use heatlens::data::Resize;
use heatlens::model::Preparation;
use heatlens::train::arch;
use heatlens::{Drawing, Explainer, Image, Method, Model, Preset};

use crate::common::{explain, heatlens};

/// Writes a network of three classes for colour images, without preprocessing metadata.
fn model(folder: &Path) -> std::path::PathBuf {
    let network = arch::find("gap-cnn").unwrap().build([3, 32, 32], 3, 0).unwrap();
    let path = folder.join("model.onnx");
    fs::write(&path, Model::from_graph(network).unwrap().to_onnx().unwrap()).unwrap();
    path
}

/// Writes an image of another size.
fn image(folder: &Path) -> std::path::PathBuf {
    let bytes: Vec<u8> = (0..40 * 60 * 3).map(|i| (i * 7919 % 256) as u8).collect();
    let path = folder.join("image.png");
    Image::from_bytes([40, 60, 3], &bytes).unwrap().to_picture(0.0, 1.0).save(&path).unwrap();
    path
}

#[test]
fn pictures_are_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (model, image) = (model(folder.path()), image(folder.path()));
    let out = folder.path().join("out");
    let flags = "--preset imagenet --resize crop --picture-size original --picture-format png --no-color-bar \
                 --method grad_cam,gradient,deep_feature_factorization";
    explain(&model, &image, &out, flags).ends(0);

    let mut model = Model::open(&model).unwrap().with_preset(Preset::Imagenet).unwrap();
    model.prepare(&Preparation { resize: Some(Resize::Crop), ..Preparation::default() }).unwrap();
    let methods = [Method::GRAD_CAM, Method::GRADIENT, Method::DEEP_FEATURE_FACTORIZATION];
    let explainer = Explainer::builder(&model).methods(methods).build().unwrap();
    let explanation = explainer.explain_image(&image).unwrap();
    let mine = folder.path().join("mine.png");
    let same = |drawing: Drawing, name: &str| {
        drawing.save(&mine).unwrap();
        let theirs = fs::read(out.join("image_0").join(name)).unwrap();
        assert!(fs::read(&mine).unwrap() == theirs, "{name}");
    };
    let [cam, gradient, factors] = methods.map(|method| explanation.heatmap(method).unwrap());
    same(cam.overlay(), "overlay_grad_cam.png");
    same(cam.picture(), "heatmap_grad_cam.png");
    same(cam.signed(), "signed_grad_cam.png");
    same(gradient.picture(), "gradient.png");
    same(factors.overlay(), "deep_feature_factorization.png");
}

#[test]
fn who_forgets_the_preset_is_told_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (model, image) = (model(folder.path()), image(folder.path()));
    let said = heatlens("predict", &[&model, &image]).stderr;
    let explainer = Explainer::builder(&Model::open(&model).unwrap()).build().unwrap();
    let explanation = explainer.explain_image(&image).unwrap();
    let notes: String = explanation.notes().map(|note| format!("note: {note}\n")).collect();
    assert_eq!(notes, said);
    assert!(notes.contains("does not say how images are prepared"), "{notes}");
}
