//! Decoding of stored arrays from ONNX's many encodings into three element types, and encoding.

use std::sync::Arc;

use half::{bf16, f16};
use prost::bytes::Bytes;

use super::external::External;
use super::proto::TensorProto;
use super::proto::tensor_proto::{DataLocation, DataType};
use crate::error::OpError;
use crate::fact::DType;
use crate::op::invalid;
use crate::tensor::{Data, Tensor};

/// A decoded array.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) tensor: Tensor,
    /// True if double precision was rounded to single.
    pub(super) rounded: bool,
}

/// Returns the graph's element type for the ONNX element type `code`.
pub(super) fn dtype(code: i32) -> Result<DType, OpError> {
    use DataType::{
        Bfloat16, Bool, Double, Float, Float16, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64,
    };
    match DataType::try_from(code) {
        Ok(Float | Float16 | Bfloat16 | Double) => Ok(DType::F32),
        Ok(Int8 | Int16 | Int32 | Int64 | Uint8 | Uint16 | Uint32 | Uint64) => Ok(DType::I64),
        Ok(Bool) => Ok(DType::Bool),
        Ok(other) => Err(OpError::Unsupported(format!("element type {}", other.as_str_name()))),
        Err(_) => Err(invalid(format!("unknown element type {code}"))),
    }
}

/// Returns the size of an element in bytes.
fn element_size(code: i32) -> u64 {
    use DataType::{Bfloat16, Bool, Double, Float16, Int8, Int16, Int64, Uint8, Uint16, Uint64};
    match DataType::try_from(code) {
        Ok(Int8 | Uint8 | Bool) => 1,
        Ok(Int16 | Uint16 | Float16 | Bfloat16) => 2,
        Ok(Int64 | Uint64 | Double) => 8,
        _ => 4,
    }
}

/// Returns the ONNX element type for an element type of the graph.
pub(super) fn data_type(dtype: DType) -> DataType {
    match dtype {
        DType::F32 => DataType::Float,
        DType::I64 => DataType::Int64,
        DType::Bool => DataType::Bool,
    }
}

/// Decodes an array. Allocates nothing before the data are known to exist.
///
/// # Errors
/// If the element type is not supported, the elements do not fill the shape, or they are stored in another file that
/// cannot be read.
pub(super) fn read(proto: &TensorProto, external: &mut External) -> Result<Stored, OpError> {
    if proto.segment.is_some() {
        return Err(OpError::Unsupported("an array in segments".to_owned()));
    }
    let shape: Option<Vec<usize>> = proto.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let shape = shape.ok_or_else(|| invalid(format!("negative size in {:?}", proto.dims)))?;
    let len = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let len = len.ok_or_else(|| invalid(format!("sizes {shape:?} overflow")))?;
    let dtype = dtype(proto.data_type())?;
    let fetched = match proto.data_location() {
        DataLocation::External => {
            let bytes = (len as u64).checked_mul(element_size(proto.data_type()));
            let bytes = bytes.ok_or_else(|| invalid(format!("sizes {shape:?} overflow")))?;
            Some(Bytes::from(external.read(proto, bytes)?))
        }
        DataLocation::Default => None,
    };
    let source = Source { proto, raw: fetched.as_ref().or(proto.raw_data.as_ref()), len };
    let data = match dtype {
        DType::F32 => Data::F32(source.floats()?),
        DType::I64 => Data::I64(source.ints()?),
        DType::Bool => Data::Bool(source.bools()?),
    };
    let tensor = Tensor::new(shape, data).ok_or_else(|| invalid("the elements do not fill the shape"))?;
    Ok(Stored { tensor, rounded: proto.data_type() == DataType::Double as i32 })
}

struct Source<'a> {
    proto: &'a TensorProto,
    /// The elements as little-endian bytes, if stored as such.
    raw: Option<&'a Bytes>,
    len: usize,
}

impl Source<'_> {
    /// Decodes raw bytes, `SIZE` per element, if the array is stored as such; elements are written once, to their place.
    fn raw<const SIZE: usize, T>(
        &self,
        decode: impl Fn([u8; SIZE]) -> T,
    ) -> Result<Option<Arc<[T]>>, OpError> {
        let Some(raw) = self.raw else { return Ok(None) };
        let (chunks, rest) = raw.as_chunks::<SIZE>();
        self.check(chunks.len() + usize::from(!rest.is_empty()))?;
        if !rest.is_empty() {
            return Err(invalid(format!("{} bytes of raw data for elements of {SIZE}", raw.len())));
        }
        Ok(Some(chunks.iter().map(|&chunk| decode(chunk)).collect()))
    }

    /// Decodes the elements of a typed list.
    fn list<S: Copy, T>(
        &self,
        list: &[S],
        decode: impl Fn(S) -> Result<T, OpError>,
    ) -> Result<Arc<[T]>, OpError> {
        self.check(list.len())?;
        list.iter().map(|&v| decode(v)).collect()
    }

    fn check(&self, found: usize) -> Result<(), OpError> {
        let (len, dims) = (self.len, &self.proto.dims);
        if found == len {
            Ok(())
        } else {
            Err(invalid(format!("{found} elements for sizes {dims:?}, expected {len}")))
        }
    }

    fn floats(&self) -> Result<Arc<[f32]>, OpError> {
        let proto = self.proto;
        #[allow(clippy::cast_possible_truncation)] // rounding to single precision is the purpose
        let single = |v: f64| v as f32;
        // Typed lists store 16-bit floats as bit patterns in 32-bit integers.
        let bits = |v: i32| u16::try_from(v).map_err(|_| invalid(format!("{v} is not a 16-bit pattern")));
        match proto.data_type() {
            c if c == DataType::Float16 as i32 => match self.raw(|b| f16::from_le_bytes(b).to_f32())? {
                Some(values) => Ok(values),
                None => self.list(&proto.int32_data, |v| Ok(f16::from_bits(bits(v)?).to_f32())),
            },
            c if c == DataType::Bfloat16 as i32 => match self.raw(|b| bf16::from_le_bytes(b).to_f32())? {
                Some(values) => Ok(values),
                None => self.list(&proto.int32_data, |v| Ok(bf16::from_bits(bits(v)?).to_f32())),
            },
            c if c == DataType::Double as i32 => match self.raw(|b| single(f64::from_le_bytes(b)))? {
                Some(values) => Ok(values),
                None => self.list(&proto.double_data, |v| Ok(single(v))),
            },
            _ => match self.raw(f32::from_le_bytes)? {
                Some(values) => Ok(values),
                None => self.list(&proto.float_data, Ok),
            },
        }
    }

    fn ints(&self) -> Result<Arc<[i64]>, OpError> {
        let large = |v: u64| i64::try_from(v).map_err(|_| invalid(format!("{v} is too large a number")));
        let (raw, wide) = match DataType::try_from(self.proto.data_type()) {
            Ok(DataType::Int8) => (self.raw(|b| i64::from(i8::from_le_bytes(b)))?, false),
            Ok(DataType::Uint8) => (self.raw(|b| i64::from(u8::from_le_bytes(b)))?, false),
            Ok(DataType::Int16) => (self.raw(|b| i64::from(i16::from_le_bytes(b)))?, false),
            Ok(DataType::Uint16) => (self.raw(|b| i64::from(u16::from_le_bytes(b)))?, false),
            Ok(DataType::Int32) => (self.raw(|b| i64::from(i32::from_le_bytes(b)))?, false),
            Ok(DataType::Uint32) => {
                return match self.raw(|b| i64::from(u32::from_le_bytes(b)))? {
                    Some(values) => Ok(values),
                    None => self.list(&self.proto.uint64_data, large),
                };
            }
            Ok(DataType::Uint64) => {
                return match self.raw(u64::from_le_bytes)? {
                    Some(values) => values.iter().copied().map(large).collect(),
                    None => self.list(&self.proto.uint64_data, large),
                };
            }
            _ => (self.raw(i64::from_le_bytes)?, true),
        };
        match raw {
            Some(values) => Ok(values),
            None if wide => self.list(&self.proto.int64_data, Ok),
            None => self.list(&self.proto.int32_data, |v| Ok(i64::from(v))),
        }
    }

    fn bools(&self) -> Result<Arc<[bool]>, OpError> {
        match self.raw(|[b]: [u8; 1]| b != 0)? {
            Some(values) => Ok(values),
            None => self.list(&self.proto.int32_data, |v| Ok(v != 0)),
        }
    }
}

/// Encodes an array as raw little-endian bytes. Double precision, which only the reference evaluator produces, is
/// rounded to single.
pub(super) fn write(name: &str, tensor: &Tensor) -> TensorProto {
    #[allow(clippy::cast_possible_truncation)] // see above
    let raw: Vec<u8> = match tensor.data() {
        Data::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::F64(v) => v.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
        Data::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::Bool(v) => v.iter().map(|&b| u8::from(b)).collect(),
    };
    TensorProto {
        name: Some(name.to_owned()),
        dims: tensor.shape().iter().map(|&d| i64::try_from(d).unwrap_or(i64::MAX)).collect(),
        data_type: Some(data_type(tensor.dtype()).into()),
        raw_data: Some(Bytes::from(raw)),
        ..TensorProto::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proto(kind: DataType, dims: &[i64]) -> TensorProto {
        TensorProto { data_type: Some(kind.into()), dims: dims.to_vec(), ..TensorProto::default() }
    }

    fn raw(kind: DataType, dims: &[i64], bytes: &[u8]) -> TensorProto {
        TensorProto { raw_data: Some(Bytes::copy_from_slice(bytes)), ..proto(kind, dims) }
    }

    fn read_alone(proto: &TensorProto) -> Result<Stored, OpError> {
        read(proto, &mut External::default())
    }

    #[test]
    fn whole_numbers_of_every_width_are_read() {
        use DataType::{Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64};
        for (kind, bytes, expected) in [
            (Int8, vec![0x80], -128),
            (Uint8, vec![0x80], 128),
            (Int16, vec![0xff, 0xff], -1),
            (Uint16, vec![0xff, 0xff], 65_535),
            (Int32, vec![0xfe, 0xff, 0xff, 0xff], -2),
            (Uint32, vec![0xfe, 0xff, 0xff, 0xff], 4_294_967_294),
            (Int64, vec![0xff; 8], -1),
            (Uint64, vec![1, 0, 0, 0, 0, 0, 0, 0], 1),
        ] {
            let stored = read_alone(&raw(kind, &[1], &bytes)).unwrap();
            assert_eq!(stored.tensor.as_i64().unwrap(), [expected], "{kind:?}");
        }
        let typed = TensorProto { int32_data: vec![-3], ..proto(Int8, &[1]) };
        assert_eq!(read_alone(&typed).unwrap().tensor.as_i64().unwrap(), [-3]);
        assert!(read_alone(&raw(Uint64, &[1], &[0xff; 8])).is_err(), "beyond 64-bit signed numbers");
    }

    #[test]
    fn every_encoding_gives_the_same_numbers() {
        let half = TensorProto { int32_data: vec![0x3c00, 0xc100], ..proto(DataType::Float16, &[2]) };
        let brain = TensorProto { int32_data: vec![0x3f80, 0xc020], ..proto(DataType::Bfloat16, &[2]) };
        let double = TensorProto { double_data: vec![1.0, -2.5], ..proto(DataType::Double, &[2]) };
        let single = TensorProto { float_data: vec![1.0, -2.5], ..proto(DataType::Float, &[2]) };
        let packed = raw(DataType::Float16, &[2], &[0x00, 0x3c, 0x00, 0xc1]);
        for (proto, rounded) in
            [(half, false), (brain, false), (double, true), (single, false), (packed, false)]
        {
            let stored = read_alone(&proto).unwrap();
            assert_eq!(stored.tensor.as_f32().unwrap(), [1.0, -2.5]);
            assert_eq!(stored.rounded, rounded);
        }
        let int = TensorProto { int32_data: vec![-7], ..proto(DataType::Int32, &[]) };
        assert_eq!(read_alone(&int).unwrap().tensor.as_i64().unwrap(), [-7]);
        let flags = raw(DataType::Bool, &[2], &[0, 1]);
        assert_eq!(read_alone(&flags).unwrap().tensor.to_f64(), [0.0, 1.0]);
    }

    #[test]
    fn sizes_must_match_the_data() {
        for proto in [
            raw(DataType::Float, &[3], &[0; 8]),
            raw(DataType::Float, &[2], &[0; 9]),
            raw(DataType::Float, &[1 << 40, 1 << 40], &[0; 8]),
            raw(DataType::Float, &[1 << 40], &[0; 8]),
            raw(DataType::Float, &[-2], &[0; 8]),
            raw(DataType::Complex64, &[1], &[0; 8]),
            raw(DataType::Int8, &[2], &[0; 3]),
            raw(DataType::Undefined, &[2], &[0; 2]),
            TensorProto { int64_data: vec![1], ..proto(DataType::Int64, &[2]) },
            TensorProto { int32_data: vec![-1], ..proto(DataType::Float16, &[1]) },
            TensorProto { data_location: Some(1), ..proto(DataType::Float, &[1]) },
        ] {
            assert!(read_alone(&proto).is_err(), "{proto:?}");
        }
        let error = read_alone(&raw(DataType::Float, &[3], &[0; 8])).unwrap_err().to_string();
        assert_eq!(error, "2 elements for sizes [3], expected 3");
    }

    #[test]
    fn writing_and_reading_is_the_identity() {
        for tensor in [
            Tensor::f32(&[2, 2], vec![0.1, f32::MIN_POSITIVE, -0.0, f32::INFINITY]),
            Tensor::scalar(3.0),
            Tensor::i64(&[i64::MIN, 0]),
            Tensor::new(vec![3], Data::Bool([true, false, true].into())).unwrap(),
            Tensor::f32(&[0, 4], Vec::new()),
        ] {
            assert_eq!(read_alone(&write("t", &tensor)).unwrap().tensor, tensor);
        }
    }
}
