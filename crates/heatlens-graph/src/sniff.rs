//! Guesses the kind of a file that could not be opened, so that the error can name it and tell how to get a model that
//! opens.
//!
//! Shared by all formats. Called only after a format's own reader failed, so a model is never rejected because of its
//! first bytes.

const TORCH: &str = "it needs the Python code of its network; export it there:\n    \
                     model.eval()\n    \
                     torch.onnx.export(model, torch.zeros(1, 3, 224, 224), \"model.onnx\")";
const SAFETENSORS: &str = "it holds weights without a network; load them into the network in Python and export that:\n    \
                           model.load_state_dict(safetensors.torch.load_file(\"model.safetensors\")); model.eval()\n    \
                           torch.onnx.export(model, torch.zeros(1, 3, 224, 224), \"model.onnx\")";
const KERAS: &str = "it can be opened where Keras files can; otherwise convert it in Python:\n    \
                     import keras, numpy as np\n    \
                     model = keras.models.load_model(\"model.keras\")\n    \
                     model(np.zeros((1, 224, 224, 3), \"float32\"))  # the model's own size\n    \
                     model.export(\"model.onnx\", format=\"onnx\")";
const SAVED_MODEL: &str = "if you have the Keras model, save it as one file: model.save(\"model.keras\"); otherwise \
                           convert the folder:\n    \
                           pip install tf2onnx\n    \
                           python -m tf2onnx.convert --saved-model FOLDER --output model.onnx";
const FROZEN: &str = "convert it:\n    \
                      pip install tf2onnx\n    \
                      python -m tf2onnx.convert --graphdef model.pb --inputs input:0 --outputs output:0 --output model.onnx";
const TFLITE: &str = "convert it:\n    \
                      pip install tf2onnx\n    \
                      python -m tf2onnx.convert --tflite model.tflite --output model.onnx";
const EXTERNAL: &str = "weights that belong to an ONNX file: open the `.onnx` file beside it";
const CUT_OFF: &str = "it was cut off; fetch the file or save the model again";
const IMAGE: &str = "give the model first and the images after it";
const ARRAY: &str = "give the model first and the arrays after it";

/// Returns the kind of the file and advice for the user, or `None` if unknown. A few kilobytes of the file are enough.
#[must_use]
pub fn looks_like(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    if bytes.is_empty() {
        return Some(("an empty file", "export or fetch the model again"));
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return Some(archive(bytes));
    }
    if bytes.get(4..8) == Some(b"TFL3") {
        return Some(("a TensorFlow Lite model", TFLITE));
    }
    if bytes.get(8..10) == Some(b"{\"") {
        return Some(("a safetensors file", SAFETENSORS));
    }
    let known = MAGIC.iter().find(|(magic, ..)| bytes.starts_with(magic));
    known.map(|&(_, kind, advice)| (kind, advice)).or_else(|| tensorflow(bytes)).or_else(|| text(bytes))
}

/// Guesses by file name, for files without a signature: ONNX stores large weights in such files.
#[must_use]
pub fn looks_like_by_name(name: &str) -> Option<(&'static str, &'static str)> {
    let name = name.to_ascii_lowercase();
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    if ends(&[".onnx.data", ".onnx_data", ".onnx.weights"]) {
        return Some(("the weights of an ONNX model", EXTERNAL));
    }
    if name == "saved_model.pb" {
        return Some(("the graph of a TensorFlow SavedModel", SAVED_MODEL));
    }
    NAMES.iter().find(|(end, ..)| ends(&[end])).map(|&(_, kind, advice)| (kind, advice))
}

/// Extensions of model files, with kind and advice.
const NAMES: [(&str, &str, &str); 6] = [
    (".pt", "a PyTorch file", TORCH),
    (".pth", "a PyTorch file", TORCH),
    (".ckpt", "a checkpoint (perhaps of PyTorch)", TORCH),
    (".safetensors", "a safetensors file", SAFETENSORS),
    (".pb", "a frozen TensorFlow graph", FROZEN),
    (".tflite", "a TensorFlow Lite model", TFLITE),
];

/// Guesses the kind of a folder by the names of its files.
#[must_use]
pub fn folder(names: &[&str]) -> Option<(&'static str, &'static str)> {
    let has = |name: &str| names.contains(&name);
    if has("saved_model.pb") {
        return Some(("a TensorFlow SavedModel", SAVED_MODEL));
    }
    if has("config.json") && (has("model.weights.h5") || has("metadata.json")) {
        return Some((
            "an unpacked Keras model",
            "pack its files into a zip archive again, or save the model again",
        ));
    }
    let safetensors = names.iter().any(|name| name.ends_with(".safetensors"));
    safetensors.then_some(("a folder with safetensors files", SAFETENSORS))
}

/// Signatures (first bytes of a file), with kind and advice.
const MAGIC: [(&[u8], &str, &str); 17] = [
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (perhaps a Keras .h5 model)", KERAS),
    (b"\x89PNG", "a PNG image", IMAGE),
    (b"\xff\xd8\xff", "a JPEG image", IMAGE),
    (b"GIF8", "a GIF image", IMAGE),
    (b"II*\0", "a TIFF image", IMAGE),
    (b"MM\0*", "a TIFF image", IMAGE),
    (b"BM", "a BMP image", IMAGE),
    (b"RIFF", "a RIFF file (perhaps a WebP image)", IMAGE),
    (b"\x93NUMPY", "a NumPy array", ARRAY),
    (b"\x80\x02", "a Python pickle (perhaps an old PyTorch file)", TORCH),
    (b"\x80\x03", "a Python pickle (perhaps an old PyTorch file)", TORCH),
    (b"\x80\x04", "a Python pickle (perhaps an old PyTorch file)", TORCH),
    (b"\x80\x05", "a Python pickle (perhaps an old PyTorch file)", TORCH),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "run `git lfs pull`"),
    (b"<", "a web page or XML document", "the download may have gone wrong; fetch the file itself"),
    (b"{", "a JSON document", "a description without weights: save the whole model"),
];

/// Recognises TensorFlow's two protobuf messages: both begin with small messages that contain operator names.
fn tensorflow(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const WINDOW: usize = 1 << 12;
    let head = bytes.get(..WINDOW).unwrap_or(bytes);
    let has = |name: &[u8]| head.windows(name.len()).any(|w| w == name);
    // SavedModel { saved_model_schema_version: 1, meta_graphs: … }
    if head.starts_with(b"\x08\x01\x12")
        && (has(b"\x12\x05serve") || has(b"stripped_op_list") || has(b"\x0a"))
    {
        return Some(("the graph of a TensorFlow SavedModel", SAVED_MODEL));
    }
    // GraphDef { node { name: …, op: "Placeholder" … } … }
    let frozen = head.starts_with(b"\x0a") && (has(b"\x12\x0bPlaceholder") || has(b"\x12\x05Const"));
    frozen.then_some(("a frozen TensorFlow graph", FROZEN))
}

/// Guesses the kind of a zip archive by the names of its files.
fn archive(bytes: &[u8]) -> (&'static str, &'static str) {
    // File names are stored uncompressed before each file and again in the central directory at the end.
    const WINDOW: usize = 1 << 16;
    let head = bytes.get(..WINDOW).unwrap_or(bytes);
    let tail = bytes.get(bytes.len().saturating_sub(WINDOW)..).unwrap_or(bytes);
    let has = |name: &[u8]| [head, tail].iter().any(|part| part.windows(name.len()).any(|w| w == name));
    if has(b"model.weights.h5") {
        ("a Keras model (.keras)", KERAS)
    } else if has(b"/data.pkl") {
        ("a PyTorch file", TORCH)
    } else if has(b"saved_model.pb") {
        ("a zipped TensorFlow SavedModel", SAVED_MODEL)
    } else if has(b".npy") {
        ("a NumPy archive (.npz)", ARRAY)
    } else if has(b"metadata.json") && has(b"config.json") {
        ("a Keras model (.keras) without its end", CUT_OFF)
    } else if has(b"PK\x05\x06") {
        ("a zip archive", "unpack it first")
    } else {
        ("a zip archive without its end", CUT_OFF)
    }
}

/// Recognises a text file by its beginning.
fn text(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let head = bytes.get(..256).unwrap_or(bytes);
    let printable = head.iter().all(|&b| b >= 0x20 && b != 0x7f || matches!(b, b'\t' | b'\n' | b'\r'));
    let valid = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(e) => e.error_len().is_none(),
    };
    (printable && valid).then_some(("a text file", "give the model file itself"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        let zip = |name: &str| [b"PK\x03\x04".as_slice(), &[0; 26], name.as_bytes(), &[0; 99]].concat();
        for (bytes, kind) in [
            (Vec::new(), "an empty file"),
            (zip("model.weights.h5"), "a Keras model (.keras)"),
            (zip("archive/data.pkl"), "a PyTorch file"),
            (zip("X.npy"), "a NumPy archive (.npz)"),
            (zip("metadata.json config.json"), "a Keras model (.keras) without its end"),
            (zip("a.txt PK\x05\x06"), "a zip archive"),
            (zip("a.txt"), "a zip archive without its end"),
            (b"\x1c\0\0\0TFL3".to_vec(), "a TensorFlow Lite model"),
            (b"\x20\0\0\0\0\0\0\0{\"__metadata__\"".to_vec(), "a safetensors file"),
            (b"\x89PNG\r\n\x1a\n".to_vec(), "a PNG image"),
            (b"\x80\x04\x95".to_vec(), "a Python pickle (perhaps an old PyTorch file)"),
            (b"\x08\x01\x12\xff\x0f\x0a\x07\x12\x05serve".to_vec(), "the graph of a TensorFlow SavedModel"),
            (b"\x0a\x20\x0a\x05input\x12\x0bPlaceholder".to_vec(), "a frozen TensorFlow graph"),
            ("Größe und mehr".as_bytes().to_vec(), "a text file"),
        ] {
            assert_eq!(looks_like(&bytes).unwrap().0, kind);
        }
        assert_eq!(looks_like(&[8, 7, 0x12, 3]), None);
    }

    #[test]
    fn names_and_folders_say_what_bytes_do_not() {
        assert_eq!(looks_like_by_name("big.ONNX.data").unwrap().0, "the weights of an ONNX model");
        assert_eq!(looks_like_by_name("model.onnx"), None);
        for (name, kind, advice) in [
            ("Model.safetensors", "a safetensors file", "load_state_dict"),
            ("saved_model.pb", "the graph of a TensorFlow SavedModel", "--saved-model"),
            ("frozen.pb", "a frozen TensorFlow graph", "--graphdef"),
            ("m.tflite", "a TensorFlow Lite model", "--tflite"),
        ] {
            let (found, told) = looks_like_by_name(name).unwrap();
            assert!(found == kind && told.contains(advice), "{name}: {found}: {told}");
        }
        assert_eq!(folder(&["variables", "saved_model.pb"]).unwrap().0, "a TensorFlow SavedModel");
        assert_eq!(folder(&["a", "b"]), None);
    }

    #[test]
    fn advice_names_the_export() {
        for (bytes, advice) in [
            (b"\x80\x02".as_slice(), "torch.onnx.export"),
            (b"\x08\x01\x12\x05\x0a\x07\x12\x05serve".as_slice(), "model.save(\"model.keras\")"),
            (b"\x1c\0\0\0TFL3".as_slice(), "tf2onnx.convert --tflite"),
            (b"\x20\0\0\0\0\0\0\0{\"a".as_slice(), "load_state_dict"),
        ] {
            assert!(looks_like(bytes).unwrap().1.contains(advice), "{advice}");
        }
    }
}
