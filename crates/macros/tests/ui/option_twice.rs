//! An option given twice.

extern crate lovage_client as lovage;

#[lovage::task(queue = "a", queue = "b")]
async fn a() {}

fn main() {}
