//! A serde attribute that postcard cannot carry.

extern crate lovage_client as lovage;

#[derive(serde::Serialize, serde::Deserialize, lovage::Signature)]
struct Point {
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<f64>,
    y: f64,
}

fn main() {}
