//! D-RISE: maps agree with xaitk-saliency's for the same masks, lie on the box's own object, and follow the target.
//! `tools/golden/make_d_rise.py` wrote the peer's maps.

use heatlens::explain::Compat;
use heatlens::graph::op::Kind;
use heatlens::method::MethodSettings;

use super::*;

fn options(target: Target, set: &[String]) -> ExplainOptions {
    let mut settings = MethodSettings::with_seed(7);
    set.iter().for_each(|assignment| settings.set(assignment).unwrap());
    ExplainOptions { target, settings, ..ExplainOptions::new(&[find("d_rise").unwrap()]) }
}

fn few(masks: usize) -> Vec<String> {
    vec![format!("masks={masks}"), "grid=9".to_owned()]
}

fn map(model: &Model, options: &ExplainOptions, image: usize) -> Vec<f32> {
    let pixels = &pixels()[image * SIDE * SIDE..(image + 1) * SIDE * SIDE];
    let explained = Explainer::new(model, options).unwrap().explain(pixels, 1).unwrap();
    explained[0].attributions[0].values.clone()
}

/// Returns the detector in a layout of `make_d_rise.py`.
fn in_layout(layout: &str) -> Model {
    let arrange = |b: &mut Builder<'_>, [boxes, classes]: [ValueId; 2]| match layout {
        "objectness" => {
            let across = b.apply(Slice { axis: 1, start: 0, len: 1, step: 1 }, &[boxes]).unwrap();
            let across = b.scale(across, 0.05).unwrap();
            let object = b.unary(UnaryFunction::Sigmoid, across).unwrap();
            let joined = b.apply(Concat { axis: 1 }, &[boxes, object, classes]).unwrap();
            vec![b.transpose(joined, &[0, 2, 1]).unwrap()]
        }
        "no_object" => {
            let before_sigmoid = |id: ValueId| {
                let node = b.graph().node(b.graph().producer(id)?);
                (node.op.kind() == Kind::Unary(UnaryFunction::Sigmoid)).then_some(node.inputs[0]?)
            };
            let logits = b.graph().value_ids().rev().find_map(before_sigmoid).unwrap();
            let zero = b.apply(Slice { axis: 1, start: 0, len: 1, step: 1 }, &[logits]).unwrap();
            let zero = b.scale(zero, 0.0).unwrap();
            let logits = b.apply(Concat { axis: 1 }, &[logits, zero]).unwrap();
            vec![b.apply(Softmax { axis: 1, log: false }, &[logits]).unwrap(), boxes]
        }
        _ => vec![b.apply(Concat { axis: 1 }, &[boxes, classes]).unwrap()],
    };
    rearranged(arrange).0
}

#[test]
fn maps_are_those_of_xaitk_for_the_same_masks() {
    let folder = golden("dense");
    let file: Value = serde_json::from_str(&fs::read_to_string(folder.join("d_rise.json")).unwrap()).unwrap();
    let mut set: Vec<String> = ["masks", "grid"].iter().map(|key| format!("{key}={}", file[key])).collect();
    set.push(format!("probability={}", file["probability"]));
    for entry in file["layouts"].as_array().unwrap() {
        let layout = entry["layout"].as_str().unwrap();
        let model = in_layout(layout);
        for (key, compat) in [("file", None), ("published", Some(Compat::Captum))] {
            let Some(name) = entry[key].as_str() else { continue };
            let (_, expected) = npy(&folder.join(name));
            for (class, expected) in expected.chunks(SIDE * SIDE).enumerate() {
                let options = ExplainOptions { compat, ..options(Target::Class(class), &set) };
                let found = map(&model, &options, number(&file["image"]));
                assert_close(&format!("{layout}, {key}, class {class}"), &found, expected, Tol::FRAMEWORK);
            }
        }
    }
}

#[test]
fn a_map_lies_on_its_own_object() {
    let (model, pixels) = (detector(), pixels());
    let found = Detector::new(&model).unwrap().detect(&pixels, 4).unwrap();
    let options = options(Target::Detections(2), &["masks=2000".to_owned()]);
    let explained = Explainer::new(&model, &options).unwrap().explain(&pixels, 4).unwrap();
    for (image, (explained, found)) in explained.iter().zip(&found).enumerate() {
        for rank in 0..2 {
            let [share, elsewhere, chance] = in_boxes(explained, rank, &found[rank], &found[1 - rank]);
            assert!(
                share >= 3.0 * chance && share >= 5.0 * elsewhere,
                "{image}: {share} {elsewhere} {chance}"
            );
        }
    }
}

#[test]
fn a_map_follows_its_target() {
    let model = detector();
    let goal = |target, against, counterfactual| {
        let options = options(target, &few(100));
        map(&model, &ExplainOptions { against, counterfactual, ..options }, 0)
    };
    let ring = goal(Target::Class(0), None, false);
    let lowered: Vec<f32> = goal(Target::Class(0), None, true).iter().map(|v| -v).collect();
    assert_close("what lowers the similarity", &lowered, &ring, Tol::EXACT);
    // At the place of the ring, "cross" is looked for as a class that the box does not have.
    let against = goal(Target::Class(0), Some(Target::Class(1)), false);
    let apart = ring.iter().zip(&against).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let largest = against.iter().map(|v| v.abs()).fold(0.0, f32::max);
    assert!(apart > 0.01 && largest > 0.01, "{apart} {largest}");
    let absent = Explainer::new(&model, &options(Target::Detection(9), &few(10))).unwrap();
    let absent = absent.explain(&pixels(), 4).unwrap();
    for map in absent.iter().map(|explained| &explained.attributions[0]) {
        assert!(map.zero == Some(ZeroMap::NoPlace) && map.values.iter().all(|&v| v == 0.0));
    }
}

#[test]
fn only_whole_boxes_are_explained() {
    let refused = |model: &Model| {
        let options = ExplainOptions::new(&[find("D-RISE").unwrap()]);
        Explainer::new(model, &options).map(|_| ()).unwrap_err().to_string()
    };
    for model in
        [unet(), Model::from_graph(arch::find("gap-cnn").unwrap().build([1, 32, 32], 2, 0).unwrap()).unwrap()]
    {
        let said = refused(&model);
        let head = format!("its head: {}", model.head.kind.name());
        assert!(
            said.contains("the boxes of a detector") && said.contains(&head) && said.contains("rise"),
            "{said}"
        );
    }
    let side = detector().with_region("left").unwrap();
    assert!(refused(&side).contains("leave out --region"), "{}", refused(&side));
}
