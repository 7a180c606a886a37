//! A method.

extern crate lovage_client as lovage;

struct S;
impl S {
    #[lovage::task]
    async fn a(&self) {}
}

fn main() {}
