//! What pages are made of. Everything that is put into them is escaped by `maud`.

use std::fmt::Display;
use std::time::Duration;

use axum::http::Method;
use lovage_core::{TaskState, Timestamp, format_duration};
use maud::{Markup, html};

use super::Url;
use crate::call::Call;
use crate::look::At;
use crate::look::charts::NOT_COUNTED;
use crate::look::workers::ProgressRow;

/// A table that becomes a list of cards on a narrow screen.
pub(super) struct Table {
    caption: &'static str,
    columns: Vec<Column>,
    rows: Vec<Row>,
    key: Option<String>,
    picks: Option<&'static str>,
}

struct Column {
    title: &'static str,
    is_number: bool,
}

struct Row {
    key: Option<String>,
    cells: Vec<Markup>,
}

impl Table {
    pub(super) fn new(caption: &'static str) -> Self {
        Self { caption, columns: Vec::new(), rows: Vec::new(), key: None, picks: None }
    }

    pub(super) fn text(mut self, title: &'static str) -> Self {
        self.columns.push(Column { title, is_number: false });
        self
    }

    pub(super) fn number(mut self, title: &'static str) -> Self {
        self.columns.push(Column { title, is_number: true });
        self
    }

    /// The first cell of each row is a box to check; so is the head of its column, for all of them.
    pub(super) fn picks(mut self, what: &'static str) -> Self {
        self.picks = Some(what);
        self
    }

    /// A cell for each column; with [`picks`](Self::picks) a box before them.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Markup>) {
        self.rows.push(Row { key: self.key.take(), cells: cells.into_iter().collect() });
    }

    /// Names the next row, so that an open page finds it again when rows come and go.
    pub(super) fn key(&mut self, key: impl Display) -> &mut Self {
        self.key = Some(key.to_string());
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The roles are said, because a table that is shown as cards is none any more to a screen reader.
    pub(super) fn show(self) -> Markup {
        let skip = usize::from(self.picks.is_some());
        html! {
            div.scroll {
                table role="table" {
                    caption { (self.caption) }
                    thead role="rowgroup" { tr role="row" {
                        @if let Some(what) = self.picks {
                            th scope="col" role="columnheader" { label { input type="checkbox" data-all; span.away { (what) } } }
                        }
                        @for column in &self.columns {
                            th.num[column.is_number] scope="col" role="columnheader" { (column.title) }
                        }
                    } }
                    tbody role="rowgroup" {
                        @for Row { key, cells } in &self.rows {
                            tr role="row" data-key=[key.as_ref()] {
                                @for cell in cells.iter().take(skip) { td role="cell" { (cell) } }
                                @for (column, cell) in self.columns.iter().zip(cells.iter().skip(skip)) {
                                    td.num[column.is_number].none[cell.0.is_empty()] role="cell" data-label=(column.title) { div { (cell) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A button that does something; nothing for people who may not.
pub(super) fn button(call: &Call, path: &str, label: &str, fields: &[(&str, &str)]) -> Markup {
    if !call.is_operator() {
        return html! {};
    }
    let target = fields.first().map_or("", |(_, value)| value);
    html! {
        form.inline method="post" action=(Url::new(&call.app.base, path)) {
            (hidden(call))
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            button type="submit" data-key={ (path) " " (target) } aria-label={ (label) " " (target) } { (label) }
        }
    }
}

/// What every form carries. A form that came back leads to where it came from first.
pub(super) fn hidden(call: &Call) -> Markup {
    let is_shown = call.parts.method == Method::GET;
    let back = if is_shown { call.at.as_str() } else { call.input.get("back").unwrap_or("/") };
    html! {
        input type="hidden" name="csrf" value=(call.csrf());
        input type="hidden" name="back" value=(back);
    }
}

/// Where the script says that a form could not be looked at while somebody types.
pub(super) fn trouble() -> Markup {
    html! { p.flash.warn data-trouble role="status" hidden {} }
}

/// A sentence in which names and commands stand between backticks.
pub(super) fn prose(sentence: &str) -> Markup {
    html! {
        @for (place, part) in sentence.split('`').enumerate() {
            @if place % 2 == 0 { (part) } @else { code { (part) } }
        }
    }
}

/// Why there is nothing.
pub(super) fn empty(sentence: &str) -> Markup {
    html! { p.empty { (prose(sentence)) } }
}

/// Why counts are not shown: results in Redis have none, or they cannot be read at the moment.
pub(super) fn no_counts(why: &str) -> Markup {
    html! { p.empty data-outage[why != NOT_COUNTED] { (prose(why)) } }
}

/// `2m ago`, and the instant for whoever wants to know.
pub(super) fn ago(call: &Call, at: impl Into<Timestamp>) -> Markup {
    let at = at.into();
    let text = if at > call.now { until(call, at) } else { format!("{} ago", rough(call.now.since(at))) };
    html! { time datetime=(at) title=(at) { (text) } }
}

/// `in 2m`, `2m ago`.
pub(super) fn when(call: &Call, at: Option<At>) -> Markup {
    match at {
        Some(at) => ago(call, at),
        None => html! {},
    }
}

fn until(call: &Call, at: Timestamp) -> String {
    format!("in {}", rough(at.since(call.now)))
}

/// How far a task is, in its own words.
pub(super) fn progress(progress: &ProgressRow) -> Markup {
    let ProgressRow { done, total, message } = progress;
    let known = (*total > 0).then_some(*total);
    html! {
        div.progress {
            progress aria-label="Progress" max=[known] value=[known.map(|total| (*done).min(total))] {}
            span { (count(*done)) @if let Some(total) = known { " of " (count(total)) } }
            @if !message.is_empty() { span.soft { (message) } }
        }
    }
}

/// `48.2 MiB`.
pub(super) fn mebibytes(bytes: u64) -> String {
    let tenths = bytes / 1024 * 10 / 1024;
    format!("{}.{} MiB", count(tenths / 10), tenths % 10)
}

/// Text of a program, such as arguments.
pub(super) fn code(text: &str) -> Markup {
    html! { @if !text.is_empty() { code.cut { (text) } } }
}

/// JSON on several lines; as it came where it is none.
pub(super) fn pretty(json: &str) -> String {
    let value = serde_json::from_str::<serde_json::Value>(json).ok();
    value.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or_else(|| json.to_owned())
}

/// A field to filter by, with what was asked for.
pub(super) fn field(call: &Call, name: &str, label: &str, example: &str) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            input id=(name) name=(name) value=(call.input.get(name).unwrap_or_default()) placeholder=(example) autocomplete="off" spellcheck="false";
        }
    }
}

/// Straight to a task.
pub(super) fn id_search(call: &Call) -> Markup {
    html! {
        form.filter method="get" action=(Url::new(&call.app.base, "/task")) role="search" aria-label="One task" {
            div.field.long {
                label for="id" { "Id of a task" }
                input #id name="id" required autocomplete="off" spellcheck="false" placeholder="0193a5c2-7b1e-7cc0-8000-0123456789ab";
            }
            button type="submit" { "Open" }
        }
    }
}

/// The way to the rest of a list.
pub(super) fn next_page(call: &Call, next: Option<&str>) -> Markup {
    next_part(call, next, "Next page")
}

/// The same with other words.
pub(super) fn next_part(call: &Call, next: Option<&str>, words: &str) -> Markup {
    let path = call.at.split('?').next().unwrap_or_default();
    let fields = || call.input.fields().filter(|(name, text)| *name != "after" && !text.is_empty());
    let url = |after: Option<&str>| {
        fields()
            .fold(Url::new(&call.app.base, path), |url, (name, text)| url.with(name, text))
            .with_some("after", after)
    };
    html! {
        @if next.is_some() || call.input.get("after").is_some() {
            nav.pager aria-label="Pages" {
                @if call.input.get("after").is_some() { a.button href=(url(None)) { "First page" } }
                @if next.is_some() { a.button href=(url(next)) { (words) } }
            }
        }
    }
}

/// A duration to the millisecond while it is short: `203ms`, `1.203s`, `2m3s`.
pub(super) fn precise(time: Duration) -> String {
    match time.as_secs() {
        0 if time < Duration::from_millis(1) => "under 1ms".to_owned(),
        0 => format_duration(time),
        1..60 => format!("{:.3}s", time.as_secs_f64()),
        _ => rough(time),
    }
}

/// A duration in its two largest units.
pub(crate) fn rough(time: Duration) -> String {
    let seconds = time.as_secs();
    let unit = match seconds {
        0..3_600 => 1,
        3_600..86_400 => 60,
        _ => 3_600,
    };
    format_duration(Duration::from_secs(seconds - seconds % unit))
}

/// A number with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate: `0`, `0.4`, `12`, `1,234`.
pub(crate) fn per_minute(rate: f64) -> String {
    match rate {
        0.0..0.05 => if rate > 0.0 { "under 0.1" } else { "0" }.to_owned(),
        0.05..9.95 => format!("{rate:.1}").trim_end_matches(".0").to_owned(),
        _ => count(rounded(rate)),
    }
}

/// A number without its digits behind the point.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates and heights of counts")]
pub(super) fn rounded(number: f64) -> u64 {
    number.round() as u64
}

/// `1 task`, `2 tasks`.
pub(crate) fn counted(number: u64, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {what}{ending}", count(number))
}

/// A state in its colour.
pub(super) fn state(state: TaskState) -> Markup {
    let class = match state {
        TaskState::Success => "badge good",
        TaskState::Failure => "badge bad",
        TaskState::Retry | TaskState::Expired => "badge warn",
        TaskState::Started => "badge info",
        TaskState::Pending | TaskState::Scheduled | TaskState::Revoked | TaskState::Discarded => {
            "badge plain"
        }
    };
    html! { span class=(class) { (state) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_easy_to_read() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        let rates = [0.0, 0.04, 0.42, 4.0, 9.94, 9.96, 1_234.5].map(per_minute);
        assert_eq!(rates, ["0", "under 0.1", "0.4", "4", "9.9", "10", "1,235"]);
        assert_eq!(counted(1, "task"), "1 task");
        assert_eq!(counted(2_000, "task"), "2,000 tasks");
        assert_eq!(mebibytes(50_541_363), "48.1 MiB");
        assert_eq!(rough(Duration::from_millis(59_900)), "59s");
        assert_eq!(rough(Duration::from_secs(3_725)), "1h2m");
        assert_eq!(rough(Duration::from_secs(90_061)), "1d1h");
        assert_eq!(precise(Duration::from_millis(203)), "203ms");
        assert_eq!(precise(Duration::from_millis(1_203)), "1.203s");
        assert_eq!(precise(Duration::from_secs(123)), "2m3s");
    }
}
