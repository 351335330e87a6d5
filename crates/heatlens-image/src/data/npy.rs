//! NumPy's `.npy` format: one array with a short text header.
//!
//! The header is parsed here rather than by a library: it contains three fixed keys, every number in it must be checked
//! against the file before memory is allocated, and the available reader depends on a parser generator whose stack
//! guard is built by a C compiler. `npz` reads and writes archives of such arrays.
//!
//! Source: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::Path;

use super::numbers::Range as Values;
use super::{DataError, MAX_ARRAY_BYTES};

/// Maximum length of a header in bytes (NumPy's own limit is 10,000 characters).
const MAX_HEADER_BYTES: usize = 1 << 16;

/// Number of bytes decoded at a time; a multiple of every element size.
const CHUNK_BYTES: usize = 1 << 18;

/// Type of the elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    /// One byte, false if 0.
    Bool,
    /// Unsigned integer of 1, 2, 4 or 8 bytes.
    Unsigned(u8),
    /// Signed integer of 1, 2, 4 or 8 bytes.
    Signed(u8),
    /// IEEE 754 number of 2, 4 or 8 bytes.
    Float(u8),
}

impl ElementType {
    fn bytes(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Unsigned(bytes) | Self::Signed(bytes) | Self::Float(bytes) => bytes.into(),
        }
    }
}

/// Content of an array's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpyHeader {
    /// Type of the elements.
    pub element: ElementType,
    /// True if the elements are big-endian.
    pub big_endian: bool,
    /// True if the first axis varies fastest (Fortran order) rather than the last.
    pub fortran_order: bool,
    /// Shape of the array; empty for a single number.
    pub shape: Vec<usize>,
}

/// A validated header: its sizes do not overflow and do not exceed the file.
#[derive(Debug)]
pub(super) struct CheckedHeader {
    pub(super) header: NpyHeader,
    pub(super) rows: usize,
    pub(super) row_len: usize,
}

/// Reads the header of an array with `available` bytes, including the header. `path` names it in errors.
pub(super) fn read_header(
    reader: &mut dyn Read,
    available: u64,
    path: &Path,
) -> Result<CheckedHeader, DataError> {
    let (text, header_bytes) = header_text(reader, path)?;
    let header = parse_header(&text).map_err(|reason| DataError::malformed(path, reason))?;
    let element = header.element.bytes();
    let bytes = header.shape.iter().try_fold(element, |product, &size| product.checked_mul(size));
    let promised = bytes.and_then(|bytes| (bytes as u64).checked_add(header_bytes)).unwrap_or(u64::MAX);
    if promised > available {
        let reason = format!(
            "the array is cut short or its header is wrong: shape {:?} with {element} bytes each needs {promised} bytes, the file has {available}",
            header.shape
        );
        return Err(DataError::malformed(path, reason));
    }
    let rows = header.shape.first().copied().unwrap_or(1);
    // This cannot overflow if no axis is 0, since the full product did not; an axis of size 0 makes the array empty.
    let row_len = header
        .shape
        .iter()
        .skip(1)
        .try_fold(1_usize, |product, &size| product.checked_mul(size))
        .unwrap_or(0);
    Ok(CheckedHeader { header, rows, row_len })
}

/// Reads the shape and the elements (as f32, in C order) of the array in a file.
///
/// # Errors
/// If the file cannot be read or does not hold an array of numbers.
pub fn read_npy(path: impl AsRef<Path>) -> Result<(Vec<usize>, Vec<f32>), DataError> {
    let path = path.as_ref();
    let file = heatlens_graph::open_regular(path).map_err(DataError::io(path, "open"))?;
    let available = file.metadata().map_err(DataError::io(path, "read"))?.len();
    let mut reader = BufReader::new(file);
    let header = read_header(&mut reader, available, path)?;
    let values = header.read_rows(&mut reader, 0..header.rows, path)?;
    Ok((header.header.shape, values))
}

impl CheckedHeader {
    /// Reads the rows `picked` as f32, in C order. Numbers beyond the range of f32 become infinite, which is an error
    /// where pixels are used.
    pub(super) fn read_rows(
        &self,
        reader: &mut dyn Read,
        picked: Range<usize>,
        path: &Path,
    ) -> Result<Vec<f32>, DataError> {
        let fortran = self.header.fortran_order && self.header.shape.len() > 1;
        let held = if fortran { self.rows } else { picked.len() };
        let held_bytes = (held as u64).saturating_mul(self.row_len as u64).saturating_mul(4);
        if held_bytes > MAX_ARRAY_BYTES {
            let what = format!("{held} rows ({held_bytes} bytes as 32-bit numbers)");
            let limit = format!("{MAX_ARRAY_BYTES} bytes; pick fewer rows with --rows");
            return Err(DataError::TooLarge { path: path.to_path_buf(), what, limit });
        }
        let read = |error| DataError::io(path, "read")(error);
        if fortran {
            let all = self.decode(reader, self.rows * self.row_len).map_err(read)?;
            return Ok(self.rows_of_fortran(&all, picked));
        }
        let skip = picked.start as u64 * self.row_len as u64 * self.header.element.bytes() as u64;
        io::copy(&mut reader.take(skip), &mut io::sink()).map_err(read)?;
        self.decode(reader, picked.len() * self.row_len).map_err(read)
    }

    /// Returns the range of the first `most` elements in file order, or of all if there are fewer.
    pub(super) fn range(
        &self,
        reader: &mut dyn Read,
        most: usize,
        path: &Path,
    ) -> Result<Option<Values>, DataError> {
        let mut left = self.rows.saturating_mul(self.row_len).min(most);
        let mut range: Option<Values> = None;
        while left > 0 {
            let count = left.min(CHUNK_BYTES / 8);
            let values = self.decode(reader, count).map_err(DataError::io(path, "read"))?;
            let found = Values::of(&values);
            range = range.into_iter().chain(found).reduce(Values::and);
            left -= count;
        }
        Ok(range)
    }

    /// Decodes the next `count` elements. Memory grows with the data actually present.
    fn decode(&self, reader: &mut dyn Read, count: usize) -> io::Result<Vec<f32>> {
        let element = self.header.element.bytes();
        let mut values = Vec::new();
        let mut chunk = vec![0; CHUNK_BYTES.min(count * element)];
        let mut left = count * element;
        while left > 0 {
            let size = left.min(CHUNK_BYTES);
            chunk.truncate(size);
            reader.read_exact(&mut chunk)?;
            decode_elements(self.header.element, self.header.big_endian, &chunk, &mut values);
            left -= size;
        }
        Ok(values)
    }

    fn rows_of_fortran(&self, all: &[f32], picked: Range<usize>) -> Vec<f32> {
        let sizes = &self.header.shape;
        let mut strides = vec![1; sizes.len()];
        for axis in 1..sizes.len() {
            strides[axis] = strides[axis - 1] * sizes[axis - 1];
        }
        let mut values = Vec::with_capacity(picked.len() * self.row_len);
        for row in picked {
            for element in 0..self.row_len {
                let (mut rest, mut position) = (element, row);
                for axis in (1..sizes.len()).rev() {
                    position += rest % sizes[axis] * strides[axis];
                    rest /= sizes[axis];
                }
                values.extend(all.get(position));
            }
        }
        values
    }
}

fn header_text(reader: &mut dyn Read, path: &Path) -> Result<(String, u64), DataError> {
    let read = |error| DataError::io(path, "read")(error);
    let mut start = [0; 8];
    reader.read_exact(&mut start).map_err(read)?;
    let [magic @ .., major, _minor] = start;
    if &magic != b"\x93NUMPY" {
        return Err(DataError::malformed(path, "not a NumPy array: it does not start with \\x93NUMPY"));
    }
    let (length, width) = if major == 1 {
        let mut length = [0; 2];
        reader.read_exact(&mut length).map_err(read)?;
        (usize::from(u16::from_le_bytes(length)), 2)
    } else {
        let mut length = [0; 4];
        reader.read_exact(&mut length).map_err(read)?;
        (u32::from_le_bytes(length) as usize, 4)
    };
    if length > MAX_HEADER_BYTES || !(1..=3).contains(&major) {
        let reason = format!(
            "an array header of version {major} and {length} bytes, expected version 1 to 3 and at most {MAX_HEADER_BYTES}"
        );
        return Err(DataError::malformed(path, reason));
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text).map_err(read)?;
    let text =
        String::from_utf8(text).map_err(|_| DataError::malformed(path, "the array header is not text"))?;
    Ok((text, (start.len() + width + length) as u64))
}

/// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
fn parse_header(text: &str) -> Result<NpyHeader, String> {
    let descr = value_of(text, "descr")?;
    let quoted = descr.strip_prefix(['\'', '"']).and_then(|rest| rest.split(['\'', '"']).next());
    let descr = quoted.ok_or("the array has named fields; save each field as an array of its own")?;
    let order = value_of(text, "fortran_order")?;
    let fortran_order = order.starts_with("True");
    if !fortran_order && !order.starts_with("False") {
        return Err("the array header's fortran_order is neither True nor False".to_owned());
    }
    let (element, big_endian) = parse_descr(descr)?;
    let shape = value_of(text, "shape")?;
    let shape = shape
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(')'))
        .ok_or("the array header has no shape")?
        .0;
    let sizes =
        shape.split(',').map(|size| size.trim().trim_end_matches('L')).filter(|size| !size.is_empty());
    let shape: Result<Vec<usize>, _> = sizes.map(str::parse).collect();
    let shape = shape.map_err(|_| "the array header's shape holds something other than sizes")?;
    if shape.len() > 32 {
        return Err(format!("the array has {} axes, more than NumPy allows", shape.len()));
    }
    Ok(NpyHeader { element, big_endian, fortran_order, shape })
}

fn value_of<'a>(text: &'a str, key: &str) -> Result<&'a str, String> {
    let missing = || format!("the array header has no {key}");
    let found =
        [format!("'{key}'"), format!("\"{key}\"")].iter().find_map(|quoted| text.split_once(quoted.as_str()));
    let rest = found.ok_or_else(missing)?.1.trim_start();
    Ok(rest.strip_prefix(':').ok_or_else(missing)?.trim_start())
}

fn parse_descr(descr: &str) -> Result<(ElementType, bool), String> {
    let (big_endian, code) = match descr.split_at_checked(1) {
        Some(("<" | "|", code)) => (false, code),
        Some(("=", code)) => (cfg!(target_endian = "big"), code),
        Some((">", code)) => (true, code),
        _ => (false, descr),
    };
    let element = match code {
        "b1" => ElementType::Bool,
        "u1" => ElementType::Unsigned(1),
        "u2" => ElementType::Unsigned(2),
        "u4" => ElementType::Unsigned(4),
        "u8" => ElementType::Unsigned(8),
        "i1" => ElementType::Signed(1),
        "i2" => ElementType::Signed(2),
        "i4" => ElementType::Signed(4),
        "i8" => ElementType::Signed(8),
        "f2" => ElementType::Float(2),
        "f4" => ElementType::Float(4),
        "f8" => ElementType::Float(8),
        _ if code.starts_with('O') => {
            return Err(
                "the array holds Python objects; save it with a number type, e.g. X.astype('float32')"
                    .to_owned(),
            );
        }
        _ => {
            return Err(format!(
                "the array's element type is \"{descr}\", expected bool, int, uint or float of at most 64 bits; try X.astype('float32')"
            ));
        }
    };
    Ok((element, big_endian))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "f32 is what models compute in"
)]
fn decode_elements(element: ElementType, big_endian: bool, bytes: &[u8], values: &mut Vec<f32>) {
    macro_rules! numbers {
        ($from_le:path, $from_be:path, $convert:expr) => {{
            let (from_le, from_be, convert) = ($from_le, $from_be, $convert);
            let (groups, _) = bytes.as_chunks();
            if big_endian {
                values.extend(groups.iter().map(|&group| convert(from_be(group))));
            } else {
                values.extend(groups.iter().map(|&group| convert(from_le(group))));
            }
        }};
    }
    match element {
        ElementType::Bool => values.extend(bytes.iter().map(|&byte| f32::from(u8::from(byte != 0)))),
        ElementType::Unsigned(1) => values.extend(bytes.iter().map(|&byte| f32::from(byte))),
        ElementType::Unsigned(2) => numbers!(u16::from_le_bytes, u16::from_be_bytes, |v: u16| f32::from(v)),
        ElementType::Unsigned(4) => numbers!(u32::from_le_bytes, u32::from_be_bytes, |v: u32| v as f32),
        ElementType::Unsigned(_) => numbers!(u64::from_le_bytes, u64::from_be_bytes, |v: u64| v as f32),
        ElementType::Signed(1) => numbers!(i8::from_le_bytes, i8::from_be_bytes, |v: i8| f32::from(v)),
        ElementType::Signed(2) => numbers!(i16::from_le_bytes, i16::from_be_bytes, |v: i16| f32::from(v)),
        ElementType::Signed(4) => numbers!(i32::from_le_bytes, i32::from_be_bytes, |v: i32| v as f32),
        ElementType::Signed(_) => numbers!(i64::from_le_bytes, i64::from_be_bytes, |v: i64| v as f32),
        ElementType::Float(2) => {
            numbers!(half::f16::from_le_bytes, half::f16::from_be_bytes, |v: half::f16| v.to_f32());
        }
        ElementType::Float(4) => numbers!(f32::from_le_bytes, f32::from_be_bytes, |v: f32| v),
        ElementType::Float(_) => numbers!(f64::from_le_bytes, f64::from_be_bytes, |v: f64| v as f32),
    }
}

/// Returns the header of a C-order, little-endian array, padded so that the data starts at a multiple of 64 bytes.
pub(super) fn header_bytes(descr: &str, shape: &[usize]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let sizes = if shape.len() == 1 { sizes.trim_end() } else { sizes.trim_end_matches(", ") };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
    let unpadded = 10 + text.len() + 1;
    text.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(64) - unpadded));
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    // At most 32 axes of 20 digits: the length fits.
    bytes.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// Returns the content of an `.npy` file of f32 in C order.
pub fn npy_bytes(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let mut bytes = header_bytes("<f4", shape);
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(descr: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend_from_slice(&u16::try_from(text.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    fn read(bytes: &[u8], rows: Range<usize>) -> Result<Vec<f32>, DataError> {
        let path = Path::new("X.npy");
        let mut reader = bytes;
        let header = read_header(&mut reader, bytes.len() as u64, path)?;
        header.read_rows(&mut reader, rows, path)
    }

    #[test]
    fn every_element_type_and_byte_order() {
        let expect = |descr: &str, data: &[u8], value: f32| {
            assert_eq!(read(&file(descr, "False", "(1,)", data), 0..1).unwrap(), [value], "{descr}");
        };
        expect("|b1", &[7], 1.0);
        expect("|u1", &[255], 255.0);
        expect("|i1", &[255], -1.0);
        expect("<u2", &[1, 2], 513.0);
        expect(">u2", &[1, 2], 258.0);
        expect(">i2", &[255, 254], -2.0);
        expect("<u4", &70_000_u32.to_le_bytes(), 70_000.0);
        expect(">i4", &(-70_000_i32).to_be_bytes(), -70_000.0);
        expect("<i8", &(-3_i64).to_le_bytes(), -3.0);
        expect(">u8", &9_u64.to_be_bytes(), 9.0);
        expect("<f2", &[0, 0x3e], 1.5);
        expect(">f2", &[0x3e, 0], 1.5);
        expect("<f4", &0.1_f32.to_le_bytes(), 0.1);
        expect(">f8", &0.1_f64.to_be_bytes(), 0.1);
        expect("<f8", &1e300_f64.to_le_bytes(), f32::INFINITY);
    }

    #[test]
    fn fortran_order_gives_the_same_rows() {
        // numpy: np.arange(24).reshape(2, 3, 4) in both orders.
        let c: Vec<u8> = (0..24).collect();
        let mut f = vec![0; 24];
        for (i, &value) in c.iter().enumerate() {
            f[i / 12 + 2 * (i / 4 % 3) + 6 * (i % 4)] = value;
        }
        let c = file("|u1", "False", "(2, 3, 4)", &c);
        let f = file("|u1", "True", "(2, 3, 4)", &f);
        assert_eq!(read(&c, 1..2).unwrap(), (12_u8..24).map(f32::from).collect::<Vec<_>>());
        assert_eq!(read(&c, 0..2).unwrap(), read(&f, 0..2).unwrap());
        assert_eq!(read(&c, 1..2).unwrap(), read(&f, 1..2).unwrap());
    }

    #[test]
    fn a_header_that_lies_about_size_is_refused_before_allocating() {
        for shape in ["(3, 2)", "(4294967296, 4294967296)", "(18446744073709551615, 2)", "(1000000000000,)"] {
            let error = read(&file("<f4", "False", shape, &[0; 20]), 0..1).unwrap_err();
            assert!(error.to_string().contains("cut short"), "{error}");
        }
    }

    #[test]
    fn broken_headers_are_errors() {
        for (descr, order, shape) in [
            ("|O", "False", "(1,)"),
            ("<c8", "False", "(1,)"),
            ("<f16", "False", "(1,)"),
            ("<U3", "False", "(1,)"),
            ("", "False", "(1,)"),
            ("é4", "False", "(1,)"),
            ("<f4", "Maybe", "(1,)"),
            ("<f4", "False", "(-1,)"),
            ("<f4", "False", "1"),
        ] {
            assert!(read(&file(descr, order, shape, &[0; 64]), 0..1).is_err(), "{descr} {order} {shape}");
        }
        assert!(read(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", 0..1).is_err());
        assert!(read(b"\x93NUMPY\x01\x00", 0..1).is_err());
        assert!(read(b"hello hello", 0..1).is_err());
    }

    #[test]
    fn what_is_written_reads_back() {
        for shape in [&[][..], &[6], &[2, 3], &[1, 2, 3, 1]] {
            let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| i as f32 / 3.0).collect();
            let bytes = npy_bytes(shape, &values);
            assert_eq!((bytes.len() - 4 * values.len()) % 64, 0);
            let header = read_header(&mut bytes.as_slice(), bytes.len() as u64, Path::new("a")).unwrap();
            assert_eq!(header.header.shape, shape);
            assert_eq!(read(&bytes, 0..header.rows).unwrap(), values);
        }
    }
}
