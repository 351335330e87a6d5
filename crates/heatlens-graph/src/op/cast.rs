//! Conversion of element types.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::OpError;
use crate::fact::{DType, Fact};
use crate::op::{Attribute, Kind, OnnxForm, Operator, first_shape, invalid, require};
use crate::tensor::{Data, Tensor};

/// Converts element types. Input: x. Output: x as `to`. Half and double precision count as `F32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    /// Target type.
    pub to: DType,
}

impl Operator for Cast {
    fn kind(&self) -> Kind<'_> {
        Kind::Cast(self.to)
    }

    fn onnx_form(&self) -> OnnxForm {
        // Values of ONNX's TensorProto.DataType.
        let code = match self.to {
            DType::F32 => 1,
            DType::I64 => 7,
            DType::Bool => 9,
        };
        OnnxForm::new("Cast").with("to", Attribute::Int(code))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        Ok(vec![Fact { dtype: self.to, shape: x.shape.clone() }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, shape) = (require(inputs, 0)?, first_shape(shapes)?);
        #[allow(clippy::cast_possible_truncation)] // rounds towards zero, as the standard requires
        let data = match (self.to, x.data()) {
            (DType::I64, Data::I64(v)) => Data::I64(v.clone()),
            (DType::Bool, Data::Bool(v)) => Data::Bool(v.clone()),
            (DType::F32, Data::F32(v)) => Data::F32(v.clone()),
            (DType::F32, _) => Data::F64(x.to_f64().into()),
            (DType::I64, _) => Data::I64(x.to_f64().into_iter().map(|v| v as i64).collect()),
            (DType::Bool, _) => Data::Bool(x.to_f64().into_iter().map(|v| v != 0.0).collect()),
        };
        let y = Tensor::new(shape.to_vec(), data);
        Ok(vec![y.ok_or_else(|| invalid("the result does not fill its shape"))?])
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let from = back.node.inputs.first().copied().flatten().map(|x| builder.fact(x).dtype);
        let smooth = self.to == DType::F32 && from == Some(DType::F32);
        Ok(vec![back.grad().filter(|_| smooth && back.wants(0))])
    }
}
