//! Orchestration of the tests, services and benchmarks of Lovage.
fn main() {}
