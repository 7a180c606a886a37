//! A queue name with a character that is kept for partitions.

extern crate lovage_client as lovage;

#[lovage::task(queue = "a#1")]
async fn a() {}

fn main() {}
