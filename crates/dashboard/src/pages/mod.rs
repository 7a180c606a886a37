//! The pages.

pub(crate) mod again;
mod arguments;
pub(crate) mod audit;
mod charts;
pub(crate) mod dead;
pub(crate) mod finished;
pub(crate) mod jobs;
pub(crate) mod kit;
pub(crate) mod layout;
pub(crate) mod overview;
pub(crate) mod queues;
pub(crate) mod registered;
pub(crate) mod schedule_form;
pub(crate) mod schedules;
pub(crate) mod sure;
pub(crate) mod task;
pub(crate) mod tasks;
mod url;
pub(crate) mod workers;

use std::time::Duration;

use axum::http::StatusCode;
use maud::{Markup, html};

pub(crate) use url::Url;

/// What a page shows within the frame that all pages have.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) nav: Nav,
    /// What stays while the page is open: filters, forms.
    pub(crate) head: Markup,
    /// What is kept up to date.
    pub(crate) live: Option<Markup>,
    /// What stays, below.
    pub(crate) foot: Markup,
    /// Time after which the browser loads the page again.
    pub(crate) refresh: Option<Duration>,
}

impl Page {
    pub(crate) fn new(nav: Nav, title: impl Into<String>) -> Self {
        Self { title: title.into(), nav, head: html! {}, live: None, foot: html! {}, refresh: None }
    }

    pub(crate) fn head(self, head: Markup) -> Self {
        Self { head, ..self }
    }

    pub(crate) fn live(self, live: Markup) -> Self {
        Self { live: Some(live), ..self }
    }

    pub(crate) fn foot(self, foot: Markup) -> Self {
        Self { foot, ..self }
    }
}

/// The parts of the dashboard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Nav {
    Overview,
    Queues,
    Tasks,
    Finished,
    Workers,
    Registered,
    Dead,
    Schedules,
    Jobs,
    Audit,
    /// In none of them.
    None,
}

impl Nav {
    const ALL: [Self; 10] = [
        Self::Overview,
        Self::Queues,
        Self::Tasks,
        Self::Finished,
        Self::Dead,
        Self::Workers,
        Self::Registered,
        Self::Schedules,
        Self::Jobs,
        Self::Audit,
    ];

    const fn path(self) -> &'static str {
        match self {
            Self::Overview | Self::None => "/",
            Self::Queues => "/queues",
            Self::Tasks => "/tasks",
            Self::Finished => "/finished",
            Self::Workers => "/workers",
            Self::Registered => "/registered",
            Self::Dead => "/dead",
            Self::Schedules => "/schedules",
            Self::Jobs => "/jobs",
            Self::Audit => "/audit",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Queues => "Queues",
            Self::Tasks => "Live tasks",
            Self::Finished => "Finished tasks",
            Self::Workers => "Workers",
            Self::Registered => "Registered tasks",
            Self::Dead => "Dead letters",
            Self::Schedules => "Schedules",
            Self::Jobs => "Jobs",
            Self::Audit => "Audit",
            Self::None => "",
        }
    }
}

/// Time after which a page that could not be shown is loaded again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// An error page. While a backend is away (502 to 504) the browser tries again by itself, so that a page that was left open on a
/// wall recovers; `is_get`: only where loading it again sends no form.
pub(crate) fn problem(status: StatusCode, sentence: &str, is_get: bool) -> Page {
    let title = status.canonical_reason().unwrap_or("That did not work");
    let is_outage = matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    );
    let refresh = (is_outage && is_get).then_some(RETRY_AFTER);
    let page = Page::new(Nav::None, title).head(html! {
        p.flash.bad role="alert" { (kit::prose(sentence)) }
        @if let Some(refresh) = refresh {
            p.soft { "This page is loaded again every " (refresh.as_secs()) " seconds." }
        }
    });
    Page { refresh, ..page }
}
