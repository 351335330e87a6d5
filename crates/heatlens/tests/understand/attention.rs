//! Compares maps of transformers' attention with plain loops in double precision.

use heatlens::explain::{ExplainOptions, Explainer, Target};
use heatlens::graph::op::softmax::Softmax;
use heatlens::graph::rewrite::cut;
use heatlens::graph::{Graph, Tensor, ValueId, reference};
use heatlens::method::find;
use heatlens::model::Model;

use super::nets::noise;
use super::tokens::{swin, vit};

/// Tokens of the small transformer with one class token, followed by 3 rows of 4 positions.
const TOKENS: usize = 13;
const CLASS: usize = 1;

fn map(model: &Model, id: &str, pixels: &[f32]) -> Vec<f32> {
    let options =
        ExplainOptions { target: Target::Class(CLASS), ..ExplainOptions::new(&[find(id).unwrap()]) };
    let explainer = Explainer::new(model, &options).unwrap();
    let two = [pixels, pixels].concat();
    let mut explained = explainer.explain(&two, 2).unwrap();
    assert_eq!(explained[0].attributions[0].values, explained[1].attributions[0].values);
    let found = explained.remove(0).attributions.remove(0);
    assert_eq!(found.shape, [3, 4]);
    found.values
}

fn values(graph: &Graph, feeds: &[Tensor], wanted: &[ValueId]) -> Vec<Tensor> {
    reference::run(graph, feeds, 1, wanted).unwrap()
}

fn image(pixels: &[f32]) -> Tensor {
    Tensor::f32(&[1, 3, 12, 16], pixels.to_vec())
}

/// Returns the probabilities of every attention.
fn attentions(model: &Model) -> Vec<ValueId> {
    let nodes = model.graph.nodes().iter().filter(|n| n.op.downcast_ref::<Softmax>().is_some());
    nodes.map(|n| n.outputs[0]).collect()
}

/// Returns the residual stream at the end of each block.
fn streams(model: &Model) -> Vec<ValueId> {
    let end = |block: &str| {
        let own = |n: &&heatlens::graph::Node| {
            n.name.starts_with(block)
                && n.name.contains("Add")
                && !n.name.contains("mlp")
                && !n.name.contains("attn")
                && !n.name.contains("norm")
        };
        model.graph.nodes().iter().rfind(own).unwrap().outputs[0]
    };
    vec![end("blocks.0"), end("blocks.1")]
}

fn close(found: &[f32], expected: &[f64], tolerance: f64) {
    let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    assert!(largest > 0.0);
    for (found, expected) in found.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() <= tolerance * largest, "{found} against {expected}");
    }
}

#[test]
fn attention_rollout() {
    let model = vit(1, 1, 0);
    let pixels = noise(3 * 12 * 16, 8);
    let probabilities = values(&model.graph, &[image(&pixels)], &attentions(&model));
    assert_eq!(probabilities.len(), 2);
    let mut rollout: Vec<Vec<f64>> = Vec::new();
    for layer in &probabilities {
        let all = layer.to_f64();
        let heads = all.len() / (TOKENS * TOKENS);
        let step = |i: usize, j: usize| {
            let mean = (0..heads).map(|h| all[(h * TOKENS + i) * TOKENS + j]).sum::<f64>() / heads as f64;
            0.5 * mean + if i == j { 0.5 } else { 0.0 }
        };
        rollout = (0..TOKENS)
            .map(|i| {
                let column = |j: usize| match rollout.as_slice() {
                    [] => step(i, j),
                    before => (0..TOKENS).map(|k| step(i, k) * before[k][j]).sum(),
                };
                (0..TOKENS).map(column).collect()
            })
            .collect();
    }
    close(&map(&model, "attention_rollout", &pixels), &rollout[0][1..], 1e-5);
}

/// sₗ is the output of the head for the tokens of layer l; its derivative with respect to each attention is
/// computed by central differences.
#[test]
fn le_grad() {
    let model = vit(1, 1, 0);
    let pixels = noise(3 * 12 * 16, 8);
    let streams = streams(&model);
    let head = cut(&model.graph, streams[1], &[model.head.logits]).unwrap();
    let mut expected = [0.0; TOKENS];
    for (attention, stream) in attentions(&model).into_iter().zip(&streams) {
        let block = cut(&model.graph, attention, &[*stream]).unwrap();
        let wanted: Vec<ValueId> = [attention].into_iter().chain(block.crossing.iter().copied()).collect();
        let mut feeds = values(&model.graph, &[image(&pixels)], &wanted);
        let start = feeds[0].to_f64();
        let shape = feeds[0].shape().to_vec();
        let mut score = |probabilities: Vec<f64>| {
            feeds[0] = Tensor::f64(&shape, probabilities);
            let tokens = values(&block.graph, &feeds, &block.outputs).remove(0);
            values(&head.graph, &[tokens], &head.outputs)[0].to_f64()[CLASS]
        };
        let queries = start.len() / TOKENS;
        for i in 0..start.len() {
            let mut moved = |by: f64| {
                let mut changed = start.clone();
                changed[i] += by;
                score(changed)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            expected[i % TOKENS] += slope.max(0.0) / queries as f64 / 2.0;
        }
    }
    close(&map(&model, "le_grad", &pixels), &expected[1..], 1e-3);
}

#[test]
fn attention_in_windows_is_refused() {
    let options = ExplainOptions::new(&[find("attention_rollout").unwrap()]);
    let error = Explainer::new(&swin(), &options).unwrap_err().to_string();
    assert!(error.contains("attention_rollout does not apply here"), "{error}");
}

/// Every layer method supports token layers.
#[test]
fn layer_maps_of_tokens() {
    let model = vit(1, 1, 0);
    let pixels = noise(3 * 12 * 16, 8);
    for id in
        ["hires_cam", "grad_cam_pp", "xgrad_cam", "layer_cam", "eigen_cam", "kpca_cam", "fem", "finer_cam"]
    {
        assert!(map(&model, id, &pixels).iter().any(|v| *v != 0.0), "{id}");
    }
    // Silencing all positions but one, or one channel, leaves the class token unchanged.
    for id in ["ablation_cam", "recipro_cam", "shapley_cam"] {
        assert!(map(&model, id, &pixels).iter().all(|v| v.is_finite()), "{id}");
    }
}
