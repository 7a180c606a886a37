//! Not a function.

extern crate lovage_client as lovage;

#[lovage::task]
struct A;

fn main() {}
