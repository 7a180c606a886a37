//! A priority out of range.

extern crate lovage_client as lovage;

#[lovage::task(priority = 12)]
async fn a() {}

fn main() {}
