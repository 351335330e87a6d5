//! Default methods.

use crate::explain::{ExplainError, ExplainOptions, append_maps};
use crate::method::{DefaultMethods, Method, default_explain_methods};
use crate::model::Model;

impl ExplainOptions {
    /// Selects the methods that suit the model from those of [`default_explain_methods`], and returns one sentence per omitted
    /// method with the reason and the replacement.
    ///
    /// - The heat map is Grad-CAM. For scores at places (segmentation) it is HiRes-CAM, since the gradient averaged
    ///   over the image does not describe a place. If no layer has rows and columns, or nothing can be differentiated,
    ///   it is occlusion.
    /// - The fine-grained map is guided back-propagation with guided Grad-CAM if every activation is a rectifier, and
    ///   the gradient otherwise: the guided rule is only defined for rectifiers. The choice of the gradient over the
    ///   methods derived from it is explained in `docs/decisions/019-default-methods.md`.
    ///
    /// Methods that turn out not to apply later are omitted by [`Explainer::new`](crate::explain::Explainer::new) with
    /// a note. They were not requested by name, so this is not an error.
    pub fn take_default_methods(&mut self, model: &Model) -> Vec<String> {
        let first = default_explain_methods();
        let places = model.head.dense.is_some();
        let usual = DefaultMethods { heat: if places { first.heat_at_places } else { first.heat }, ..first };
        self.skip_inapplicable = true;
        let refusal = |method| self.refusal(model, method);
        let (mut methods, mut notes) = (Vec::new(), Vec::new());
        let mut left_out = |names: &str, reason: ExplainError, instead: Option<&'static Method>| {
            let instead = instead.map_or(String::new(), |m| format!("; {} takes their place", m.id));
            let instead = if names.contains(',') { instead } else { instead.replace("their", "its") };
            notes.push(format!("left out: {names} ({reason}){instead}"));
        };
        let heat = match refusal(usual.heat) {
            None => usual.heat,
            Some(reason) => {
                left_out(usual.heat.id, reason, Some(usual.heat_otherwise));
                usual.heat_otherwise
            }
        };
        methods.push(heat);
        // Guided Grad-CAM is weighted by Grad-CAM.
        let takes_both = heat.id == first.heat.id;
        match refusal(usual.fine) {
            None => {
                methods.push(usual.fine);
                // It needs the same layer and derivative as Grad-CAM, whose note already says why they are missing.
                methods.extend(std::iter::once(usual.both).filter(|_| takes_both));
            }
            Some(reason) => {
                let instead = Some(usual.fine_otherwise).filter(|method| refusal(method).is_none());
                let names = match takes_both {
                    true => format!("{}, {}", usual.fine.id, usual.both.id),
                    false => usual.fine.id.to_owned(),
                };
                left_out(&names, reason, instead);
                methods.extend(instead);
            }
        }
        self.methods = methods;
        notes
    }

    /// Returns the reason why a method cannot be appended to the model, if it cannot.
    fn refusal(&self, model: &Model, method: &'static Method) -> Option<ExplainError> {
        let alone = Self { methods: vec![method], skip_inapplicable: false, ..self.clone() };
        append_maps(model, &alone).err()
    }
}

#[cfg(test)]
mod tests {
    use heatlens_graph::op::binary::BinaryFunction;
    use heatlens_graph::op::clip::Clip;
    use heatlens_graph::op::conv::Conv;
    use heatlens_graph::op::unary::{Scalar, UnaryFunction};
    use heatlens_graph::op::r#where::Where;
    use heatlens_graph::op::window::Window;
    use heatlens_graph::{Builder, Dim, Fact, Graph, Shape, Tensor, ValueId};

    use super::*;
    use crate::explain::Explainer;

    type Activation = fn(&mut Builder<'_>, ValueId) -> ValueId;

    fn numbers(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 % 101) as f32 - 50.0) / 101.0).collect()
    }

    /// Returns a model of a convolution, an activation, and a dense layer on the channel means; without a convolution,
    /// the dense layer reads all values.
    fn network(activation: Activation, spatial: bool) -> Model {
        let mut graph = Graph::new("net");
        let image = graph.add_input("image", Fact::f32(Shape::batched(&[2, 12, 12])));
        let mut b = Builder::new(&mut graph, "net");
        let features = if spatial {
            let weights = b.constant(Tensor::f32(&[4, 2, 3, 3], numbers(72)));
            let seen = b.apply(Conv { window: Window::new(&[3, 3]), group: 1 }, &[image, weights]).unwrap();
            let active = activation(&mut b, seen);
            b.mean(active, &[2, 3], false).unwrap()
        } else {
            let flat = b.reshape(image, Shape(vec![Dim::Batch(1), Dim::Fixed(288)])).unwrap();
            let weights = b.constant(Tensor::f32(&[288, 4], numbers(1152)));
            let seen = b.matmul(flat, weights).unwrap();
            activation(&mut b, seen)
        };
        let weights = b.constant(Tensor::f32(&[4, 3], numbers(12)));
        let scores = b.matmul(features, weights).unwrap();
        graph.set_outputs(&[scores]);
        Model::from_graph(graph).unwrap()
    }

    /// Returns the ids of the selected methods, after explaining an image with them, and the notes.
    fn taken(model: &Model) -> (Vec<&'static str>, String) {
        let mut options = ExplainOptions::new(&[]);
        let mut notes = options.take_default_methods(model);
        let explainer = Explainer::new(model, &options).unwrap();
        notes.extend_from_slice(explainer.notes());
        let explained = explainer.explain(&numbers(288), 1).unwrap();
        let values = explained[0].attributions.iter().flat_map(|map| &map.values);
        assert!(values.clone().all(|v| v.is_finite()));
        assert!(values.clone().any(|v| *v != 0.0));
        (explained[0].attributions.iter().map(|map| map.method.id).collect(), notes.join("\n"))
    }

    const GUIDED: [&str; 3] = ["grad_cam", "guided_backprop", "guided_grad_cam"];

    #[test]
    fn rectifiers_of_every_kind_have_the_guided_pictures() {
        let rectifiers: [Activation; 4] = [
            |b, x| b.relu(x).unwrap(),
            |b, x| b.apply(Clip { min: 0.0, max: 6.0 }, &[x]).unwrap(),
            |b, x| b.unary(UnaryFunction::LeakyRelu(Scalar::new(0.1)), x).unwrap(),
            |b, x| {
                let slope = b.constant(Tensor::f32(&[1], vec![0.25]));
                b.binary(BinaryFunction::PRelu, x, slope).unwrap()
            },
        ];
        for rectifier in rectifiers {
            assert_eq!(taken(&network(rectifier, true)), (GUIDED.to_vec(), String::new()));
        }
    }

    #[test]
    fn smooth_activations_have_another_fine_picture() {
        let smooth: [Activation; 6] = [
            |b, x| {
                let gate = b.unary(UnaryFunction::Sigmoid, x).unwrap();
                b.mul(x, gate).unwrap()
            },
            |b, x| b.unary(UnaryFunction::HardSwish, x).unwrap(),
            |b, x| b.unary(UnaryFunction::Elu(Scalar::new(1.0)), x).unwrap(),
            |b, x| b.unary(UnaryFunction::Tanh, x).unwrap(),
            |b, x| b.unary(UnaryFunction::Softplus, x).unwrap(),
            |b, x| {
                let gate = b.unary(UnaryFunction::Softplus, x).unwrap();
                let gate = b.unary(UnaryFunction::Tanh, gate).unwrap();
                b.mul(x, gate).unwrap()
            },
        ];
        for activation in smooth {
            let (ids, notes) = taken(&network(activation, true));
            assert_eq!(ids, ["grad_cam", "gradient"]);
            assert!(notes.starts_with("left out: guided_backprop, guided_grad_cam ("), "{notes}");
            assert!(notes.ends_with("gradient takes their place"), "{notes}");
        }
    }

    #[test]
    fn without_rows_and_columns_or_derivatives_there_still_is_a_picture() {
        let (ids, notes) = taken(&network(|b, x| b.relu(x).unwrap(), false));
        assert_eq!(ids, ["occlusion", "guided_backprop"]);
        assert!(notes.contains("left out: grad_cam") && notes.contains("rows and columns"), "{notes}");
        let (ids, _) = taken(&network(|b, x| b.unary(UnaryFunction::Tanh, x).unwrap(), false));
        assert_eq!(ids, ["occlusion", "gradient"]);
        let step: Activation = |b, x| {
            let (mask, one, zero) = (b.is_positive(x).unwrap(), b.scalar(1.0), b.scalar(0.0));
            b.apply(Where, &[mask, one, zero]).unwrap()
        };
        // The layer after the step has a gradient, the image before it does not.
        let (ids, notes) = taken(&network(step, true));
        assert_eq!(ids, ["grad_cam"]);
        assert!(notes.starts_with("left out: guided_backprop, guided_grad_cam"), "{notes}");
        let (ids, notes) = taken(&network(step, false));
        assert_eq!(ids, ["occlusion"], "{notes}");
    }
}
