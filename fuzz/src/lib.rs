//! Fuzzing of file readers: creation of hostile files, and the operations performed on them.
//!
//! [`targets`] performs the operations of the program on a file, [`mutate`] damages bytes, [`wire`] parses protobuf and
//! damages its structure, [`keras`] and [`json`] do the same for Keras files, [`corpus`] provides the valid files to
//! start from.

pub mod corpus;
pub mod json;
pub mod keras;
pub mod mutate;
pub mod png;
pub mod random;
pub mod targets;
pub mod wire;
pub mod zip;
