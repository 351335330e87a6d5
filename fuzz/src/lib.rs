//! What is done to hostile files, and what makes files hostile.
//!
//! [`targets`] does with a file what the program would do, [`mutate`] damages bytes, [`wire`] takes
//! protobuf apart and damages its structure, [`keras`] and [`json`] do so with Keras files, [`corpus`] makes the valid
//! files that this starts from.

pub mod corpus;
pub mod json;
pub mod keras;
pub mod mutate;
pub mod random;
pub mod targets;
pub mod wire;
pub mod zip;
