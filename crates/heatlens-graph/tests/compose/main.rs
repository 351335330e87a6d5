//! Operators written in other operators: each against plain loops in double precision, and its gradient against a central difference, for
//! one sample and for three.

#![allow(clippy::unwrap_used, clippy::panic)] // a test may fail where it stands

mod activation;
mod attention;
mod blocks;
mod common;
mod einsum;
mod lstm;
mod norm;
mod normalization;
mod resize;
