//! An unknown codec.

extern crate lovage_client as lovage;

#[lovage::task(codec = "msgpack")]
async fn a() {}

fn main() {}
