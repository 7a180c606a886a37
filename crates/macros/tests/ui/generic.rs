//! A generic task.

extern crate lovage_client as lovage;

#[lovage::task]
async fn a<T>(value: T) {}

fn main() {}
