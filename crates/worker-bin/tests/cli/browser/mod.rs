//! What a person does in the dashboard, in a real Chromium: eleven jobs by what is on the screen, a look at every page,
//! and what an update of an open page leaves alone.
//!
//! `cargo xtask test` installs Chromium and its driver.

mod driver;
mod jobs;
mod live;
mod look;
