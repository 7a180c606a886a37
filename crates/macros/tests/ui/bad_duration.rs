//! A duration without a unit.

extern crate lovage_client as lovage;

#[lovage::task(time_limit = "ten")]
async fn a() {}

fn main() {}
