//! A redaction of an argument that does not exist.

extern crate lovage_client as lovage;

#[lovage::task(redact(card))]
async fn a(x: i64) {}

fn main() {}
