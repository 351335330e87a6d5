//! Minimal protobuf encoding for adding initializers to a model: appending a message to another merges both.

/// Encodes a length-delimited field: a message or a string.
pub(crate) fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut len = content.len();
    while len >= 0x80 {
        field.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
        len >>= 7;
    }
    field.push(u8::try_from(len).unwrap());
    field.extend_from_slice(content);
    field
}

/// Returns a model with one array as constant and output.
pub(crate) fn array_model(tensor: &[u8], name: &str) -> Vec<u8> {
    let output = bytes(12, &bytes(1, name.as_bytes()));
    let graph = [bytes(5, tensor), output].concat();
    let opset = bytes(8, &[2 << 3, 20]); // version 20 of the standard operators
    [vec![1 << 3, 9], opset, bytes(7, &graph)].concat() // version 9 of the format
}

/// Returns the bytes that, appended to a model, store `tensor` as the input of the same name.
pub(crate) fn initializer(tensor: &[u8]) -> Vec<u8> {
    bytes(7, &bytes(5, tensor))
}

/// Returns field 2 (the element type) and field 8 (the name) of a `TensorProto`.
pub(crate) fn type_and_name(tensor: &[u8]) -> Option<(u64, String)> {
    let (mut rest, mut dtype, mut name) = (tensor, 0, String::new());
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        match key & 7 {
            0 => {
                let value = varint(&mut rest)?;
                if key >> 3 == 2 {
                    dtype = value;
                }
            }
            2 => {
                let len = usize::try_from(varint(&mut rest)?).ok()?;
                let content = rest.get(..len)?;
                rest = &rest[len..];
                if key >> 3 == 8 {
                    name = String::from_utf8(content.to_vec()).ok()?;
                }
            }
            5 => rest = rest.get(4..)?,
            1 => rest = rest.get(8..)?,
            _ => return None,
        }
    }
    Some((dtype, name))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
