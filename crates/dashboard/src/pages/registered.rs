//! The tasks that the live workers can run.

use maud::html;

use super::kit::{Table, empty};
use super::{Nav, Page, Url};
use crate::call::Call;
use crate::look;
use crate::problem::Problem;

pub(crate) async fn page(call: Call) -> Result<Page, Problem> {
    let tasks = look::registered::data(call.clone()).await?;
    let base = &call.app.base;
    let mut table = Table::new("Registered tasks")
        .text("Task")
        .text("Arguments and result")
        .number("Running")
        .text("Workers")
        .text("Ended");
    for task in &tasks {
        let search = Url::new(base, "/finished").with("task", &task.name);
        table.row([
            html! { (task.name) },
            html! {
                @for signature in &task.signatures { div { code { (signature) } } }
                @if task.signatures.len() > 1 {
                    span.badge.warn.wrap { "the workers disagree: what was sent for one may not run on another" }
                }
            },
            html! { (task.running) },
            html! { (task.workers.join(", ")) },
            html! {
                a href=(search) { "all" } " " a href=(search.clone().with("state", "failure")) { "failed" }
            },
        ]);
    }
    let shown = if table.is_empty() {
        empty("No worker is alive that could run a task: start one with `lovage worker`.")
    } else {
        table.show()
    };
    Ok(Page::new(Nav::Registered, "Registered tasks").live(shown))
}
