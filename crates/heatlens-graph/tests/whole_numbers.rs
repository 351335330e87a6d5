//! Tests of shape arithmetic: integers and booleans are computed exactly, as specified by ONNX.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may panic

use heatlens_graph::op::binary::{Binary, BinaryFunction};
use heatlens_graph::op::cast::Cast;
use heatlens_graph::op::clip::Clip;
use heatlens_graph::op::concat::Concat;
use heatlens_graph::op::expand::Expand;
use heatlens_graph::op::gather::Gather;
use heatlens_graph::op::identity::Identity;
use heatlens_graph::op::pad::Pad;
use heatlens_graph::op::reduce::{Reduce, ReduceFunction};
use heatlens_graph::op::reshape::Reshape;
use heatlens_graph::op::slice::Slice;
use heatlens_graph::op::transpose::Transpose;
use heatlens_graph::op::unary::{Unary, UnaryFunction};
use heatlens_graph::op::r#where::Where;
use heatlens_graph::{DType, Data, Fact, OpError, Operator, Shape, Tensor};

/// Beyond 2^53, a double cannot represent every integer.
const LARGE: i64 = (1 << 53) + 1;

fn ints(shape: &[usize], values: &[i64]) -> Tensor {
    Tensor::new(shape.to_vec(), Data::I64(values.into())).unwrap()
}

fn bools(shape: &[usize], values: &[bool]) -> Tensor {
    Tensor::new(shape.to_vec(), Data::Bool(values.into())).unwrap()
}

/// Evaluates an operator and checks that type and shape of the result are those inferred.
fn run(op: &dyn Operator, inputs: &[&Tensor]) -> Result<Tensor, OpError> {
    let facts: Vec<Fact> =
        inputs.iter().map(|t| Fact { dtype: t.dtype(), shape: Shape::fixed(t.shape()) }).collect();
    let facts: Vec<Option<&Fact>> = facts.iter().map(Some).collect();
    let inferred = op.infer(&facts)?.remove(0);
    let inputs: Vec<Option<&Tensor>> = inputs.iter().copied().map(Some).collect();
    let result = op.eval(&inputs, &[inferred.shape.at(1)])?.remove(0);
    assert_eq!((result.dtype(), result.shape()), (inferred.dtype, inferred.shape.at(1).as_slice()), "{op:?}");
    Ok(result)
}

#[test]
fn elements_are_moved_as_they_are() {
    let x = ints(&[2, 3], &[LARGE, 1, 2, 3, 4, -LARGE]);
    let m = bools(&[2, 3], &[true, false, false, true, true, false]);
    let shape = Shape::fixed(&[2, 2, 3]);
    let part = Slice { axis: 1, start: 0, len: 2, step: 2 };
    let pick = Gather { axis: 1, indices: [2, 0].into(), shape: vec![2] };
    let pad = |value: f32| Pad { begin: vec![0, 1], end: vec![0, 0], value };
    let moved = |op: &dyn Operator, inputs: &[&Tensor]| run(op, inputs).unwrap();
    for (op, expected) in [
        (&Transpose { perm: vec![1, 0] } as &dyn Operator, vec![LARGE, 3, 1, 4, 2, -LARGE]),
        (&part, vec![LARGE, 2, 3, -LARGE]),
        (&pick, vec![2, LARGE, -LARGE, 3]),
        (&pad(7.0), vec![7, LARGE, 1, 2, 7, 3, 4, -LARGE]),
        (&Expand { shape }, [LARGE, 1, 2, 3, 4, -LARGE].repeat(2)),
        (&Reshape { shape: Shape::fixed(&[6]) }, vec![LARGE, 1, 2, 3, 4, -LARGE]),
        (&Identity::Identity, vec![LARGE, 1, 2, 3, 4, -LARGE]),
    ] {
        assert_eq!(moved(op, &[&x]).as_i64().unwrap(), expected, "{op:?}");
    }
    let joined = moved(&Concat { axis: 1 }, &[&x, &ints(&[2, 1], &[8, 9])]);
    assert_eq!(joined.as_i64().unwrap(), [LARGE, 1, 2, 8, 3, 4, -LARGE, 9]);
    let chosen = moved(&Where, &[&m, &x, &ints(&[], &[0])]);
    assert_eq!(chosen.as_i64().unwrap(), [LARGE, 0, 0, 3, 4, 0]);
    // Booleans are moved in the same way.
    let turned = moved(&Transpose { perm: vec![1, 0] }, &[&m]);
    assert_eq!(turned.as_bool().unwrap(), [true, true, false, true, false, false]);
    assert_eq!(moved(&part, &[&m]).as_bool().unwrap(), [true, false, true, false]);
    assert_eq!(moved(&Where, &[&m, &m, &bools(&[], &[true])]).as_bool().unwrap(), [true; 6]);
    assert_eq!(moved(&Concat { axis: 0 }, &[&m, &m]).as_bool().unwrap().len(), 12);
    assert_eq!(moved(&pad(1.0), &[&m]).as_bool().unwrap()[..2], [true, true]);
    assert!(run(&pad(0.5), &[&x]).is_err(), "half an element");
}

#[test]
fn arithmetic_is_exact() {
    let (a, b) = (ints(&[4], &[7, -7, 7, -7]), ints(&[4], &[2, 2, -2, -2]));
    for (function, expected) in [
        (BinaryFunction::Div, [3, -3, -3, 3]),
        (BinaryFunction::Mod, [1, 1, -1, -1]),
        (BinaryFunction::Fmod, [1, -1, 1, -1]),
        (BinaryFunction::Mul, [14, -14, -14, 14]),
        (BinaryFunction::Max, [7, 2, 7, -2]),
    ] {
        assert_eq!(run(&Binary(function), &[&a, &b]).unwrap().as_i64().unwrap(), expected, "{function:?}");
    }
    let (x, y) = (ints(&[2], &[LARGE, LARGE]), ints(&[2], &[LARGE - 1, LARGE]));
    let holds = |function| run(&Binary(function), &[&x, &y]).unwrap().as_bool().unwrap().to_vec();
    assert_eq!(holds(BinaryFunction::Equal), [false, true]);
    assert_eq!(holds(BinaryFunction::Greater), [true, false]);
    assert_eq!(holds(BinaryFunction::LessOrEqual), [false, true]);
    let z = ints(&[3], &[-LARGE, 0, LARGE]);
    for (function, expected) in [
        (UnaryFunction::Abs, [LARGE, 0, LARGE]),
        (UnaryFunction::Neg, [LARGE, 0, -LARGE]),
        (UnaryFunction::Sign, [-1, 0, 1]),
    ] {
        assert_eq!(run(&Unary(function), &[&z]).unwrap().as_i64().unwrap(), expected, "{function:?}");
    }
    let clip = |min, max| run(&Clip { min, max }, &[&z]).unwrap();
    assert_eq!(clip(f32::MIN, f32::MAX), z, "no bounds");
    assert_eq!(clip(-1.5, 2.5).as_i64().unwrap(), [-1, 0, 2]);
    assert!(run(&Binary(BinaryFunction::Div), &[&a, &ints(&[], &[0])]).is_err());
    assert!(run(&Binary(BinaryFunction::Mod), &[&a, &ints(&[], &[0])]).is_err());
    assert!(run(&Unary(UnaryFunction::Abs), &[&ints(&[], &[i64::MIN])]).is_err());
    assert!(run(&Binary(BinaryFunction::Mod), &[&Tensor::scalar(1.0), &Tensor::scalar(1.0)]).is_err());
}

#[test]
fn reductions_are_exact() {
    let x = ints(&[2, 2], &[LARGE, 1, -3, 4]);
    let reduce = |function, axes: &[i64]| {
        let op = Reduce { function, axes: axes.to_vec(), keep_dims: false };
        run(&op, &[&x]).map(|t| t.as_i64().unwrap().to_vec())
    };
    assert_eq!(reduce(ReduceFunction::Sum, &[1]).unwrap(), [LARGE + 1, 1]);
    assert_eq!(reduce(ReduceFunction::Prod, &[-1]).unwrap(), [LARGE, -12]);
    assert_eq!(reduce(ReduceFunction::Max, &[0]).unwrap(), [LARGE, 4]);
    assert_eq!(reduce(ReduceFunction::Min, &[]).unwrap(), [-3]);
    assert!(reduce(ReduceFunction::Mean, &[0]).is_err());
    let square = ints(&[2], &[LARGE, LARGE]);
    let op = Reduce { function: ReduceFunction::Prod, axes: vec![], keep_dims: true };
    assert!(run(&op, &[&square]).unwrap_err().to_string().contains("overflow"));
}

#[test]
fn masks_and_casts() {
    let (a, b) = (bools(&[4], &[true, true, false, false]), bools(&[4], &[true, false, true, false]));
    for (function, expected) in [
        (BinaryFunction::And, [true, false, false, false]),
        (BinaryFunction::Or, [true, true, true, false]),
        (BinaryFunction::Xor, [false, true, true, false]),
        (BinaryFunction::Equal, [true, false, false, true]),
    ] {
        assert_eq!(run(&Binary(function), &[&a, &b]).unwrap().as_bool().unwrap(), expected, "{function:?}");
    }
    assert_eq!(run(&Unary(UnaryFunction::Not), &[&a]).unwrap(), bools(&[4], &[false, false, true, true]));
    assert!(run(&Binary(BinaryFunction::Add), &[&a, &b]).is_err());
    assert!(run(&Unary(UnaryFunction::Not), &[&Tensor::scalar(1.0)]).is_err());
    let cast = |to, x: &Tensor| run(&Cast { to }, &[x]).unwrap();
    assert_eq!(cast(DType::I64, &a).as_i64().unwrap(), [1, 1, 0, 0]);
    assert_eq!(cast(DType::Bool, &ints(&[2], &[LARGE, 0])).as_bool().unwrap(), [true, false]);
    assert_eq!(cast(DType::I64, &ints(&[1], &[LARGE])).as_i64().unwrap(), [LARGE]);
    let halves = Tensor::f32(&[3], vec![2.9, -2.9, f32::NAN]);
    assert_eq!(cast(DType::I64, &halves).as_i64().unwrap(), [2, -2, 0]);
    assert_eq!(cast(DType::F32, &a).to_f64(), [1.0, 1.0, 0.0, 0.0]);
}
