//! A default for an argument that does not exist.

extern crate lovage_client as lovage;

#[lovage::task(default(z = 1))]
async fn a(x: i64) {}

fn main() {}
