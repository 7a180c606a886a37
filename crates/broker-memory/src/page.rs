//! Pages by key: [`Page::after`](lovage_core::Page) is the key of the last item of the page before.

use std::str::FromStr;

use lovage_core::{BackendError, BackendErrorKind, Page, Paged};

/// The numbers of a key, joined by `_`: what a caller hands back to us.
pub(crate) fn write_key(parts: &[i64]) -> String {
    let parts: Vec<String> = parts.iter().map(i64::to_string).collect();
    parts.join("_")
}

/// Reads a key of `N` numbers; `None` when the page is the first.
pub(crate) fn read_key<const N: usize>(page: &Page) -> Result<Option<[i64; N]>, BackendError> {
    let Some(after) = &page.after else { return Ok(None) };
    let parts: Result<Vec<i64>, _> = after.split('_').map(i64::from_str).collect();
    let key = parts.ok().and_then(|parts| <[i64; N]>::try_from(parts).ok());
    key.map(Some).ok_or_else(|| bad_page(after))
}

pub(crate) fn bad_page(after: &str) -> BackendError {
    BackendError::new(
        BackendErrorKind::Config,
        format!(
            "`{after}` is not where a page ended: pass on `Paged::next` unchanged, or nothing to begin again"
        ),
    )
}

/// The first `limit` of the items, and the key of the last one when there are more.
pub(crate) fn paged<T>(mut items: impl Iterator<Item = (String, T)>, limit: usize) -> Paged<T> {
    let limit = limit.clamp(1, 1_000);
    let mut page = Paged { items: Vec::new(), next: None };
    let mut last = None;
    for (key, item) in items.by_ref().take(limit) {
        page.items.push(item);
        last = Some(key);
    }
    if items.next().is_some() {
        page.next = last;
    }
    page
}
