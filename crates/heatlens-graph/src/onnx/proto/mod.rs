//! The messages of an ONNX file, exactly as the format has them: every field is kept.
//!
//! `generated.rs` is made from `onnx.proto` and committed, so that building needs no protobuf
//! compiler. To make it anew, in a scratch crate with `protox` 0.10 and `prost-build` 0.14:
//! `prost_build::Config::new().bytes(["."]).compile_fds(protox::compile(["onnx.proto"], [dir])?)`.
//! With `bytes`, the weights of a decoded file are views of the file and not copies.

#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    reason = "generated; the specification documents the fields"
)]

include!("generated.rs");

/// The entries of a list of key-value pairs, sorted by key; of equal keys the last one counts.
pub(super) fn to_map(entries: &[StringStringEntryProto]) -> std::collections::BTreeMap<String, String> {
    entries.iter().map(|e| (e.key().to_owned(), e.value().to_owned())).collect()
}

/// A map as a list of key-value pairs, sorted by key.
pub(super) fn from_map(map: &std::collections::BTreeMap<String, String>) -> Vec<StringStringEntryProto> {
    map.iter().map(|(k, v)| StringStringEntryProto { key: Some(k.clone()), value: Some(v.clone()) }).collect()
}
