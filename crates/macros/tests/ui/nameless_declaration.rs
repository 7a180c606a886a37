//! A declaration that does not say whose task it is.

extern crate lovage_client as lovage;

#[lovage::task]
async fn a(x: i64) -> Result<i64, lovage::TaskError>;

fn main() {}
