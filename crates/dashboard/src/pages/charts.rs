//! Charts: drawn here, as SVG that takes its colours from the style sheet. Words and numbers stand around the drawing, so that
//! they stay readable at any width; a table tells the same to whoever does not see it.

use std::fmt::Write as _;
use std::time::Duration;

use lovage_core::{Timestamp, format_duration};
use maud::{Markup, html};

use super::Url;
use super::kit::{Table, count, empty, no_counts, precise, rounded};
use crate::call::Call;
use crate::look::At;
use crate::look::charts::{Charts, Ends, Quantiles, RANGES};
use crate::look::task_counts::Bucket;

/// Queues that have a line of their own.
const LINES: usize = 5;
/// The drawing's own units.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 200.0;

/// One line of a chart: what it is called, and its values by step.
struct Line {
    name: String,
    values: Vec<(At, f64)>,
}

pub(super) fn charts(call: &Call, charts: &Charts) -> Markup {
    html! {
        section.charts aria-label="Over time" {
            h2 { "Over time" }
            (ranges(&Url::new(&call.app.base, "/"), charts.range))
            @if let Some(why) = &charts.trouble {
                (no_counts(why))
            } @else {
                div.plots {
                    (ends(charts))
                    (times(charts, "Waiting time", "wait", |ends| ends.wait, "No task started for the first time"))
                    (times(charts, "Run time", "run", |ends| ends.run, "No task ran to an end"))
                    (depths(charts))
                }
            }
        }
    }
}

/// The ranges of a page.
pub(super) fn ranges(page: &Url, chosen: &str) -> Markup {
    html! {
        nav.acts aria-label="Range" {
            @for (name, _) in RANGES {
                a.button href=(page.clone().with("range", name)) data-key={ "range " (name) }
                    aria-current=[(name == chosen).then_some("true")] { (name) }
            }
        }
    }
}

/// Those of one task.
pub(super) fn task_charts(charts: &Charts) -> Markup {
    html! {
        (ends(charts))
        (times(charts, "Run time over time", "run", |ends| ends.run, "No task ran to an end"))
    }
}

/// How many attempts ran how long, by the logarithm of the time.
pub(super) fn histogram(buckets: &[Bucket], range: &str) -> Markup {
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(1);
    let total: u64 = buckets.iter().map(|bucket| bucket.count).sum();
    let place = |bucket: &Bucket| bucket.up_to.log10() * 10.0;
    // The first bucket begins a tenth of a decade before its bound, like the others.
    let begin = buckets.first().map_or(0.0, place) - 1.0;
    let places = (buckets.last().map_or(0.0, place) - begin).max(1.0);
    let mut table = Table::new("How long attempts ran").text("Up to").number("Attempts").number("Share");
    for bucket in buckets {
        let share = as_height(bucket.count) / as_height(total) * 100.0;
        table.row([
            html! { (seconds(bucket.up_to)) },
            html! { (count(bucket.count)) },
            html! { (format!("{share:.1} %")) },
        ]);
    }
    let bar = |bucket: &Bucket| {
        let height = as_height(bucket.count) / as_height(most) * (HEIGHT - 4.0);
        let (width, x) = (WIDTH / places, (place(bucket) - 1.0 - begin) / places * WIDTH);
        let (y, height) = (format!("{:.0}", HEIGHT - height.max(2.0)), format!("{:.0}", height.max(2.0)));
        html! { rect.l0 x=(format!("{:.1}", x + width * 0.05)) y=(y) width=(format!("{:.1}", width * 0.9)) height=(height) {} }
    };
    let ends = [buckets.first(), buckets.last()];
    let drawing = Drawing {
        legend: html! {},
        most: count(most),
        svg: html! { @for bucket in buckets { (bar(bucket)) } },
        axis: html! { @for end in ends.into_iter().flatten() { span { (seconds(end.up_to)) } } },
    };
    let why = format!("No attempt ran in the last {range}.");
    frame(
        "histogram",
        "How many attempts ran how long",
        (!buckets.is_empty()).then_some(drawing),
        &why,
        table,
    )
}

/// What is drawn, and what stands around it.
struct Drawing {
    legend: Markup,
    /// At the top.
    most: String,
    svg: Markup,
    axis: Markup,
}

fn ends(charts: &Charts) -> Markup {
    let every = |value: fn(&Ends) -> u64| {
        let steps = steps(charts).map(|at| {
            let found = charts.ends.iter().find(|ends| ends.at == at);
            (at, as_height(found.map_or(0, value)))
        });
        steps.collect()
    };
    let lines = [
        Line { name: "succeeded".into(), values: every(|ends| ends.succeeded) },
        Line { name: "failed".into(), values: every(|ends| ends.failed) },
        Line { name: "to be retried".into(), values: every(|ends| ends.retried) },
    ];
    let step = format_duration(Duration::from_secs(charts.step));
    let mut table = Table::new("Ended tasks")
        .text("From")
        .number("Succeeded")
        .number("Failed")
        .number("To be retried")
        .number("Cancelled")
        .number("Expired");
    for row in &charts.told {
        let numbers = [row.succeeded, row.failed, row.retried, row.cancelled, row.expired];
        let cells = std::iter::once(instant(row.at));
        table.row(cells.chain(numbers.map(|number| html! { (count(number)) })));
    }
    let why = "No task ended";
    figure(charts, "ends", &format!("Ended tasks per {step}"), &lines, why, table, |most| {
        count(rounded(most))
    })
}

fn times(
    charts: &Charts,
    title: &'static str,
    id: &str,
    of: fn(&Ends) -> Option<Quantiles>,
    why: &str,
) -> Markup {
    let line = |name: &str, value: fn(Quantiles) -> f64| Line {
        name: name.to_owned(),
        values: charts.ends.iter().filter_map(|ends| Some((ends.at, value(of(ends)?)))).collect(),
    };
    let lines = [line("p50", |q| q.p50), line("p95", |q| q.p95), line("p99", |q| q.p99)];
    let lines = if lines[0].values.is_empty() { &[] } else { &lines[..] };
    let mut table = Table::new(title).text("From").number("p50").number("p95").number("p99");
    for (at, q) in charts.told.iter().filter_map(|ends| Some((ends.at, of(ends)?))) {
        let cells = [q.p50, q.p95, q.p99].map(|time| html! { (seconds(time)) });
        table.row(std::iter::once(instant(at)).chain(cells));
    }
    figure(charts, id, title, lines, why, table, seconds)
}

fn depths(charts: &Charts) -> Markup {
    let shown = charts.queues.iter().take(LINES);
    let lines: Vec<Line> = shown
        .map(|queue| Line {
            name: queue.name.clone(),
            values: queue.points.iter().map(|seen| (seen.at, as_height(seen.ready))).collect(),
        })
        .collect();
    let mut table = Table::new("Tasks that waited, most in the range")
        .text("Queue")
        .number("Waiting")
        .number("Running")
        .number("Due later")
        .number("Dead letters")
        .number("Oldest waited");
    for queue in &charts.queues {
        let most = |value: fn(&crate::look::charts::Seen) -> u64| {
            let most = queue.points.iter().map(value).max().unwrap_or(0);
            html! { (count(most)) }
        };
        let oldest = queue.points.iter().map(|seen| seen.oldest).fold(0.0, f64::max);
        table.row([
            html! { (queue.name) },
            most(|seen| seen.ready),
            most(|seen| seen.leased),
            most(|seen| seen.delayed),
            most(|seen| seen.dead),
            html! { (if oldest > 0.0 { seconds(oldest) } else { "–".to_owned() }) },
        ]);
    }
    let more = charts.queues.len().saturating_sub(LINES);
    let title = match more {
        0 => "Tasks that wait".to_owned(),
        more => format!("Tasks that wait (the {LINES} longest queues; {more} more in the table)"),
    };
    let why = "Nobody looked at a queue (workers do while they work, and this page does)";
    figure(charts, "depths", &title, &lines, why, table, |most| count(rounded(most)))
}

/// A drawing with its legend and axes, and the table beside it.
fn figure(
    charts: &Charts,
    id: &str,
    title: &str,
    lines: &[Line],
    why: &str,
    table: Table,
    label: impl Fn(f64) -> String,
) -> Markup {
    let values = || lines.iter().flat_map(|line| &line.values).map(|(_, value)| *value);
    let is_empty = table.is_empty() || lines.is_empty();
    // Room for at least one, so that a line of zeros lies at the bottom.
    let most = values().fold(0.0, f64::max);
    let scale = if most > 0.0 { most } else { 1.0 };
    let drawing = Drawing {
        legend: html! {
            @for (place, line) in lines.iter().enumerate() { span { i.{ "key l" (place) } {} (line.name) } }
        },
        most: label(most),
        svg: html! {
            @for (place, line) in lines.iter().enumerate().rev() { path.{ "l" (place) } d=(path(charts, line, scale)) {} }
        },
        axis: html! { (instant(charts.since)) (instant(charts.until)) },
    };
    let why = format!("{why} in the last {}. What happens is shown some 10 seconds later.", charts.range);
    frame(id, title, (!is_empty).then_some(drawing), &why, table)
}

/// A figure; without a drawing it says why there is none.
fn frame(id: &str, title: &str, drawing: Option<Drawing>, why: &str, table: Table) -> Markup {
    html! {
        figure.chart {
            figcaption { (title) }
            @if let Some(drawing) = drawing {
                p.legend aria-hidden="true" { (drawing.legend) }
                div.plot aria-hidden="true" {
                    span.most { (drawing.most) }
                    svg viewBox="0 0 1000 200" preserveAspectRatio="none" focusable="false" { (drawing.svg) }
                }
                p.axis aria-hidden="true" { (drawing.axis) }
                details id={ "told-" (id) } {
                    summary data-key={ "told " (id) } { "As a table" }
                    (table.show())
                }
            } @else {
                (empty(why))
            }
        }
    }
}

/// Each value as a level over its step; joined where one step follows the other.
fn path(charts: &Charts, line: &Line, scale: f64) -> String {
    let whole = charts.until.0.since(charts.since.0).as_secs_f64();
    let x = |at: Timestamp| at.since(charts.since.0).as_secs_f64() / whole * WIDTH;
    let step = Duration::from_secs(charts.step);
    let mut path = String::new();
    let mut end = None;
    for (at, value) in &line.values {
        let y = HEIGHT - value / scale * (HEIGHT - 4.0) - 2.0;
        let next = at.0.plus(step);
        // Writing to a String cannot fail.
        let _infallible = match end {
            Some(end) if end == at.0 => write!(path, "V{y:.0}H{:.0}", x(next)),
            _ => write!(path, "M{:.0} {y:.0}H{:.0}", x(at.0), x(next)),
        };
        end = Some(next);
    }
    path
}

fn steps(charts: &Charts) -> impl Iterator<Item = At> {
    let (until, step) = (charts.until.0, Duration::from_secs(charts.step.max(1)));
    let begins = std::iter::successors(Some(charts.since.0), move |at| Some(at.plus(step)));
    begins.take_while(move |at| *at < until).map(At)
}

fn instant(at: At) -> Markup {
    let text = at.0.to_string();
    // `2026-11-24T08:20`: of a minute, in UTC.
    let shown = text.get(5..16).unwrap_or(&text).replace('T', " ");
    html! { time datetime=(text) { (shown) " UTC" } }
}

pub(super) fn seconds(time: f64) -> String {
    precise(Duration::from_secs_f64(time))
}

/// For drawing only: what a float does not hold is not seen either.
#[expect(clippy::cast_precision_loss, reason = "a drawing has far fewer points")]
fn as_height(number: u64) -> f64 {
    number as f64
}
