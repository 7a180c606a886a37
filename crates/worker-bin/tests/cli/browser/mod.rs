//! What a person does in the dashboard, in a real Chromium: eleven jobs by what is on the screen, and a look at every page.
//!
//! `cargo xtask test` installs Chromium and its driver.

mod driver;
mod jobs;
mod look;
