//! A state without a type.

extern crate lovage_client as lovage;

#[lovage::task]
async fn a(db: lovage::State) {}

fn main() {}
