//! An option that does not exist.

extern crate lovage_client as lovage;

#[lovage::task(nme = "x")]
async fn a() {}

fn main() {}
