//! An argument that is borrowed.

extern crate lovage_client as lovage;

#[lovage::task]
async fn a(name: &str) {}

fn main() {}
