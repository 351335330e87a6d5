//! Messages of an ONNX file, exactly as in the format: every field is kept.
//!
//! `generated.rs` is generated from `onnx.proto` and committed, so that building needs no protobuf compiler. To
//! regenerate it, in a scratch crate with `protox` 0.10 and `prost-build` 0.14:
//! `prost_build::Config::new().bytes(["."]).compile_fds(protox::compile(["onnx.proto"], [dir])?)`. With `bytes`, the
//! weights of a decoded file are views of the file, not copies.

#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    reason = "generated; the specification documents the fields"
)]

include!("generated.rs");

/// Converts a list of key-value pairs to a map; for duplicate keys the last one wins.
pub(super) fn to_map(entries: &[StringStringEntryProto]) -> std::collections::BTreeMap<String, String> {
    entries.iter().map(|e| (e.key().to_owned(), e.value().to_owned())).collect()
}

/// Converts a map to a list of key-value pairs, sorted by key.
pub(super) fn from_map(map: &std::collections::BTreeMap<String, String>) -> Vec<StringStringEntryProto> {
    map.iter().map(|(k, v)| StringStringEntryProto { key: Some(k.clone()), value: Some(v.clone()) }).collect()
}
