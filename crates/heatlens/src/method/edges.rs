//! Control that draws the edges of the image.

use crate::method::{Formula, MapKind, Method, MethodError, Work};
use heatlens_graph::op::conv::Conv;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::op::window::Window;
use heatlens_graph::{Shape, Tensor, ValueId};

/// Registry entry.
pub(super) static EDGES: Method = Method {
    id: "edges",
    title: "Edges (control)",
    summary: "how fast the image changes from pixel to pixel: what edge-like maps must be told apart from",
    formula: "√(gx² + gy²) of the channels' mean, gx and gy by the Sobel operator",
    paper: "a control, after Adebayo et al. 2018, Sanity Checks for Saliency Maps, NeurIPS",
    cost: "nothing",
    sanity: "a control: it fails every randomisation test by design",
    kind: MapKind::Layer,
    uses_layer: false,
    caution: Some("a control, not an explanation: it ignores the model"),
    parameters: &[],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let image = f.image;
    let mut b = f.builder(EDGES.id);
    let grey = b.mean(image, &[1], false)?;
    let shape = b.shape(grey);
    let &[_, height, width] = shape.at(1).as_slice() else {
        return Err(EDGES.not_applicable("the image has no rows and columns"));
    };
    let rows = b.constant(Tensor::f32(&[height + 2, height], repeat_border(height)));
    let columns = b.constant(Tensor::f32(&[width + 2, width], repeat_border(width)));
    let columns = b.transpose(columns, &[1, 0])?;
    let wide = b.matmul(grey, columns)?;
    let wide = b.matmul(rows, wide)?;
    let wide = b.reshape(wide, Shape(vec![shape.0[0], 1.into(), (height + 2).into(), (width + 2).into()]))?;
    let mut square_of = |kernel: [f32; 9]| {
        let kernel = b.constant(Tensor::f32(&[1, 1, 3, 3], kernel.to_vec()));
        let slope = b.apply(Conv { window: Window::new(&[3, 3]), group: 1 }, &[wide, kernel])?;
        b.mul(slope, slope)
    };
    let across = square_of([-1.0, 0.0, 1.0, -2.0, 0.0, 2.0, -1.0, 0.0, 1.0])?;
    let down = square_of([-1.0, -2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 1.0])?;
    let sum = b.add(across, down)?;
    let size = b.unary(UnaryFunction::Sqrt, sum)?;
    Ok(b.sum(size, &[1], false)?)
}

/// Returns the matrix that pads `len` values by repeating the first and the last.
fn repeat_border(len: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; (len + 2) * len];
    for (i, row) in matrix.chunks_mut(len.max(1)).enumerate() {
        row[i.saturating_sub(1).min(len - 1)] = 1.0;
    }
    matrix
}
