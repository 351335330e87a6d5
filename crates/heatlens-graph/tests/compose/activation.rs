use heatlens_graph::compose::activation as formula;
use heatlens_graph::{Builder, GraphError, Shape, ValueId};

use crate::common::{Array, check};

fn each_element(
    what: &str,
    build: impl Fn(&mut Builder<'_>, ValueId) -> Result<ValueId, GraphError>,
    value: impl Fn(f64) -> f64,
) {
    // Scaled inputs reach both sides of every kink.
    let wide = |b: &mut Builder<'_>, x: &[ValueId]| {
        let x = b.scale(x[0], 8.0).unwrap();
        build(b, x).unwrap()
    };
    check(what, &[Shape::batched(&[4, 5])], wide, |x| Array {
        shape: x[0].shape.clone(),
        values: x[0].values.iter().map(|v| value(8.0 * v)).collect(),
    });
}

#[test]
fn activations() {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    each_element("silu", formula::silu, |x| x * sigmoid(x));
    each_element("swish", |b, x| formula::swish(b, x, 0.5), |x| x * sigmoid(0.5 * x));
    each_element("swish of 1", |b, x| formula::swish(b, x, 1.0), |x| x * sigmoid(x));
    each_element("log_sigmoid", formula::log_sigmoid, |x| sigmoid(x).ln());
    each_element("hard_tanh", formula::hard_tanh, |x| x.clamp(-1.0, 1.0));
    each_element("relu6", formula::relu6, |x| x.clamp(0.0, 6.0));
    each_element("tanh_shrink", formula::tanh_shrink, |x| x - x.tanh());
    each_element("squareplus", |b, x| formula::squareplus(b, x, 4.0), |x| (x + (x * x + 4.0).sqrt()) / 2.0);
    let shrunk = |lambda: f64, bias: f64| {
        move |x: f64| match x {
            x if x < -lambda => x + bias,
            x if x > lambda => x - bias,
            _ => 0.0,
        }
    };
    each_element("hard shrink", |b, x| formula::shrink(b, x, 0.5, 0.0), shrunk(0.5, 0.0));
    each_element("soft shrink", |b, x| formula::shrink(b, x, 1.5, 1.5), shrunk(1.5, 1.5));
}
