//! `Constant` in all its forms.

use super::Recipe;
use crate::error::OpError;
use crate::onnx::attributes::Attributes;
use crate::onnx::external::External;
use crate::onnx::scope::Slot;
use crate::onnx::tensor;
use crate::op::invalid;
use crate::tensor::{Data, Tensor};

pub(super) fn constant(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let mut forms: Vec<Tensor> = Vec::new();
    let (mut rounded, mut code) = (false, None);
    if let Some(proto) = attributes.tensor("value")? {
        let stored = tensor::read(proto, &mut External::default())?;
        rounded = stored.rounded;
        code = Some(proto.data_type());
        forms.push(stored.tensor);
    }
    if let Some(value) = attributes.float("value_float")? {
        forms.push(Tensor::scalar(value));
    }
    if let Some(values) = attributes.floats("value_floats")? {
        forms.push(Tensor::f32(&[values.len()], values.to_vec()));
    }
    if let Some(value) = attributes.int("value_int")? {
        forms.extend(Tensor::new(Vec::new(), Data::I64([value].into())));
    }
    if let Some(values) = attributes.ints("value_ints")? {
        forms.push(Tensor::i64(values));
    }
    let found = forms.len();
    match (forms.pop(), found) {
        (Some(tensor), 1) => Ok(Box::new(move |scope| {
            if rounded {
                scope.warn("double precision is rounded to single");
            }
            let name = scope.node.output.first().cloned();
            scope.reading.types.extend(name.zip(code));
            Ok(vec![Slot::Stored(tensor)])
        })),
        // Strings and sparse arrays are not read, so they are reported when the attributes are finished.
        (None, _) => Ok(Box::new(|_| Err(invalid("expected a value, found none").into()))),
        _ => Err(invalid(format!("expected one value, found {found}"))),
    }
}
