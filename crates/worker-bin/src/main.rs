//! The stock `lovage` binary.
fn main() {}
