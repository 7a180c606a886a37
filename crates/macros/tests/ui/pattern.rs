//! An argument without a name.

extern crate lovage_client as lovage;

#[lovage::task]
async fn a((x, y): (i64, i64)) {}

fn main() {}
