//! A postcard argument without a signature.

extern crate lovage_client as lovage;

#[derive(serde::Serialize, serde::Deserialize)]
struct Point(f64);

#[lovage::task(codec = "postcard")]
async fn a(point: Point) {}

fn main() {}
