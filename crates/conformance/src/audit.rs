//! The contract of stores that keep who did what.

use std::sync::Arc;
use std::time::Duration;

use lovage_core::audit::{Action, AuditFilter, AuditStore};
use lovage_core::{Page, Paged, ResultStore, Timestamp};

use crate::StoreBed;

/// Makes one test for each case of the contract of stores that keep actions. Takes what [`store_suite`](crate::store_suite)
/// takes.
#[macro_export]
macro_rules! audit_suite {
    ($bed:path) => {
        /// What the module below can name, wherever the caller's function is.
        async fn __audit_bed() -> ::std::boxed::Box<dyn $crate::StoreBed> {
            $bed().await
        }

        $crate::__audit_cases! {
            what_is_recorded_comes_back
            actions_that_are_alike_are_kept_each
            the_newest_are_first
            of_one_instant_the_last_recorded_is_first
            everything_is_read_in_pages
            reading_on_is_not_disturbed_by_new_actions
            names_are_compared_whole
            filters_apply_together
            the_begin_is_asked_for_and_the_end_is_not
            filtered_lists_are_read_in_pages
            nonsense_page_is_an_error
            odd_texts_are_only_texts
            long_texts_are_cut
            concurrent_records_are_all_kept
            what_is_old_is_trimmed
            trimming_takes_the_oldest_up_to_its_limit
            empty_batches_do_nothing
            full_batches_are_taken
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __audit_cases {
    ($($case:ident)*) => {
        mod audit {
            $(
                #[test]
                fn $case() {
                    $crate::run(async {
                        let bed = super::__audit_bed().await;
                        $crate::audit::$case(&*bed).await;
                    });
                }
            )*
        }
    };
}

/// An instant, this many seconds after some other one.
fn t(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_800_014_400_123_456).plus(Duration::from_secs(seconds))
}

fn action(seconds: u64, who: &str, what: &str) -> Action {
    Action {
        at: t(seconds),
        who: who.to_owned(),
        address: "10.0.0.1".to_owned(),
        what: what.to_owned(),
        to: format!("q{seconds}"),
        outcome: "It is done.".to_owned(),
    }
}

fn by(who: &str) -> AuditFilter {
    AuditFilter { who: Some(who.to_owned()), ..AuditFilter::default() }
}

/// What cases do with a store.
struct Desk(Arc<dyn ResultStore>);

impl Desk {
    async fn at(bed: &dyn StoreBed) -> Self {
        Self(bed.store().await)
    }

    fn audit(&self) -> &dyn AuditStore {
        self.0.audit().expect("this store keeps actions")
    }

    async fn record(&self, batch: &[Action]) {
        self.audit().record(batch).await.expect("the store records");
    }

    async fn page(&self, filter: &AuditFilter, after: Option<String>, limit: usize) -> Paged<Action> {
        self.audit().list(filter, Page { after, limit }).await.expect("the store lists")
    }

    async fn list(&self, filter: &AuditFilter) -> Vec<Action> {
        let page = self.page(filter, None, 1_000).await;
        assert_eq!(page.next, None);
        page.items
    }

    /// All pages, none of which is longer than it may be.
    async fn pages(&self, filter: &AuditFilter, limit: usize) -> Vec<Action> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.page(filter, after, limit).await;
            assert!(page.items.len() <= limit, "{} of {limit}", page.items.len());
            all.extend(page.items);
            let Some(next) = page.next else { return all };
            after = Some(next);
        }
    }

    async fn trim(&self, before: Timestamp, limit: usize) -> usize {
        self.audit().trim(before, limit).await.expect("the store trims")
    }
}

/// Which of them, in their order.
fn seconds(actions: &[Action]) -> Vec<u64> {
    actions.iter().map(|action| action.at.since(t(0)).as_secs()).collect()
}

/// Every field survives, the instant to the microsecond, and whoever opens the store anew sees it.
pub async fn what_is_recorded_comes_back(bed: &dyn StoreBed) {
    let action = action(0, "ann", "queues/pause");
    Desk::at(bed).await.record(std::slice::from_ref(&action)).await;
    assert_eq!(Desk::at(bed).await.list(&AuditFilter::default()).await, [action]);
}

/// Whoever presses twice did it twice.
pub async fn actions_that_are_alike_are_kept_each(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let action = action(0, "ann", "queues/pause");
    desk.record(&[action.clone(), action.clone()]).await;
    desk.record(std::slice::from_ref(&action)).await;
    assert_eq!(desk.list(&AuditFilter::default()).await, [action.clone(), action.clone(), action]);
}

/// By their time, in whatever order they come.
pub async fn the_newest_are_first(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    desk.record(&[action(20, "ann", "a"), action(40, "ann", "a")]).await;
    desk.record(&[action(30, "bob", "b"), action(10, "ann", "a")]).await;
    assert_eq!(seconds(&desk.list(&AuditFilter::default()).await), [40, 30, 20, 10]);
}

/// Within a batch and from batch to batch.
pub async fn of_one_instant_the_last_recorded_is_first(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let names = |actions: &[Action]| actions.iter().map(|action| action.what.clone()).collect::<Vec<_>>();
    desk.record(&["1", "2", "3"].map(|what| action(0, "ann", what))).await;
    desk.record(&["4", "5"].map(|what| action(0, "ann", what))).await;
    assert_eq!(names(&desk.list(&AuditFilter::default()).await), ["5", "4", "3", "2", "1"]);
    assert_eq!(names(&desk.pages(&AuditFilter::default(), 2).await), ["5", "4", "3", "2", "1"]);
}

/// Of any length, each action once.
pub async fn everything_is_read_in_pages(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let all: Vec<Action> = (0..25).map(|n| action(n / 2, "ann", &n.to_string())).collect();
    desk.record(&all).await;
    let newest: Vec<Action> = all.into_iter().rev().collect();
    for limit in [1, 2, 5, 24, 25, 26, 1_000] {
        assert_eq!(desk.pages(&AuditFilter::default(), limit).await, newest, "{limit} a page");
    }
}

/// They come in at the front.
pub async fn reading_on_is_not_disturbed_by_new_actions(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    desk.record(&(0..4).map(|n| action(n, "ann", "a")).collect::<Vec<_>>()).await;
    let first = desk.page(&AuditFilter::default(), None, 2).await;
    assert_eq!(seconds(&first.items), [3, 2]);
    desk.record(&[action(9, "bob", "b"), action(3, "bob", "b")]).await;
    let second = desk.page(&AuditFilter::default(), first.next, 2).await;
    assert_eq!((seconds(&second.items), second.next), (vec![1, 0], None));
}

/// Neither a part of them nor another case is meant.
pub async fn names_are_compared_whole(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    desk.record(&[
        action(1, "ann", "queues/pause"),
        action(2, "anna", "queues/pause/x"),
        action(3, "Ann", "queues"),
    ])
    .await;
    assert_eq!(seconds(&desk.list(&by("ann")).await), [1]);
    let what = |what: &str| AuditFilter { what: Some(what.to_owned()), ..AuditFilter::default() };
    assert_eq!(seconds(&desk.list(&what("queues/pause")).await), [1]);
    assert_eq!(desk.list(&by("%")).await, []);
    assert_eq!(desk.list(&what("")).await, []);
}

/// All that are given.
pub async fn filters_apply_together(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let mut all = Vec::new();
    for (n, who, what) in
        [(1, "ann", "a"), (2, "ann", "b"), (3, "bob", "a"), (4, "ann", "a"), (5, "ann", "a")]
    {
        all.push(action(n, who, what));
    }
    desk.record(&all).await;
    let both = AuditFilter { what: Some("a".to_owned()), ..by("ann") };
    assert_eq!(seconds(&desk.list(&both).await), [5, 4, 1]);
    let timely = AuditFilter { since: Some(t(2)), until: Some(t(5)), ..both };
    assert_eq!(seconds(&desk.list(&timely).await), [4]);
}

/// So that one day after another misses nothing and tells nothing twice.
pub async fn the_begin_is_asked_for_and_the_end_is_not(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    desk.record(&(0..5).map(|n| action(n, "ann", "a")).collect::<Vec<_>>()).await;
    for filter in [AuditFilter::default(), by("ann")] {
        let filter = AuditFilter { since: Some(t(1)), until: Some(t(3)), ..filter };
        assert_eq!(seconds(&desk.list(&filter).await), [2, 1]);
        let empty = AuditFilter { since: Some(t(3)), until: Some(t(3)), ..filter };
        assert_eq!(desk.list(&empty).await, []);
    }
}

/// Each kind of filter, by what the page before said.
pub async fn filtered_lists_are_read_in_pages(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let all: Vec<Action> = (0..40)
        .map(|n| action(n / 3, if n % 2 == 0 { "ann" } else { "bob" }, if n % 5 == 0 { "a" } else { "b" }))
        .collect();
    desk.record(&all).await;
    for who in [None, Some("ann".to_owned())] {
        for what in [None, Some("b".to_owned())] {
            for until in [None, Some(t(9))] {
                let filter = AuditFilter { who: who.clone(), what: what.clone(), since: Some(t(2)), until };
                let expected: Vec<Action> =
                    all.iter().rev().filter(|action| filter.matches(action)).cloned().collect();
                assert!(!expected.is_empty());
                assert_eq!(desk.pages(&filter, 3).await, expected, "{filter:?}");
            }
        }
    }
}

/// It is told, not taken for the begin.
pub async fn nonsense_page_is_an_error(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    desk.record(&[action(0, "ann", "a")]).await;
    for after in ["", "x", "1", "1_", "_1", "1_2_3", "9999999999999999999_1"] {
        let page = Page { after: Some(after.to_owned()), limit: 10 };
        let answer = desk.audit().list(&AuditFilter::default(), page).await;
        assert!(answer.is_err(), "`{after}`: {answer:?}");
    }
}

/// Quotes, backslashes, other alphabets, nothing; control characters are replaced.
pub async fn odd_texts_are_only_texts(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let odd = Action {
        who: "a'b\"c\\d".to_owned(),
        address: String::new(),
        what: "größe/λ".to_owned(),
        to: "%_\\x".to_owned(),
        outcome: "<script>; DROP TABLE lovage_audit --".to_owned(),
        ..action(1, "", "")
    };
    let forged = Action { who: "ann\n\0bob".to_owned(), ..action(0, "", "") };
    desk.record(&[odd.clone(), forged.clone()]).await;
    assert_eq!(desk.list(&by("a'b\"c\\d")).await, std::slice::from_ref(&odd));
    assert_eq!(desk.list(&AuditFilter::default()).await, [odd, forged.fitted()]);
    // Whatever somebody writes into a filter finds what it is, or nothing.
    assert_eq!(desk.list(&by("ann\n\0bob")).await.len(), 1);
}

/// Rather than refused with everything else of their batch; and they are found as they were given.
pub async fn long_texts_are_cut(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let long = "ü".repeat(100_000);
    let action = Action {
        who: long.clone(),
        address: long.clone(),
        what: long.clone(),
        to: long.clone(),
        outcome: long.clone(),
        ..action(0, "", "")
    };
    desk.record(std::slice::from_ref(&action)).await;
    assert_eq!(desk.list(&AuditFilter::default()).await, [action.fitted()]);
    assert_eq!(desk.list(&by(&long)).await, [action.fitted()]);
}

/// Of several dashboards.
pub async fn concurrent_records_are_all_kept(bed: &dyn StoreBed) {
    let mut recording = Vec::new();
    for dashboard in 0..4 {
        let store = bed.store().await;
        recording.push(tokio::spawn(async move {
            for n in 0..10 {
                let audit = store.audit().expect("this store keeps actions");
                let batch = [action(n, &dashboard.to_string(), "a"), action(n, &dashboard.to_string(), "b")];
                audit.record(&batch).await.expect("the store records");
            }
        }));
    }
    for one in recording {
        one.await.expect("no panic");
    }
    let desk = Desk::at(bed).await;
    assert_eq!(desk.pages(&AuditFilter::default(), 7).await.len(), 80);
    for dashboard in 0..4 {
        assert_eq!(desk.list(&by(&dashboard.to_string())).await.len(), 20);
    }
}

/// What is younger stays.
pub async fn what_is_old_is_trimmed(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    desk.record(&(0..6).map(|n| action(n, "ann", "a")).collect::<Vec<_>>()).await;
    assert_eq!(desk.trim(t(0), 1_000).await, 0);
    assert_eq!(desk.trim(t(3), 1_000).await, 3);
    assert_eq!(desk.trim(t(3), 1_000).await, 0);
    assert_eq!(seconds(&desk.list(&AuditFilter::default()).await), [5, 4, 3]);
}

/// A store that nobody trimmed for long is trimmed in pieces.
pub async fn trimming_takes_the_oldest_up_to_its_limit(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let mut all: Vec<Action> = (0..10).map(|n| action(n, "ann", "a")).collect();
    all.reverse();
    desk.record(&all).await;
    assert_eq!(desk.trim(t(8), 3).await, 3);
    assert_eq!(seconds(&desk.list(&AuditFilter::default()).await), [9, 8, 7, 6, 5, 4, 3]);
    assert_eq!(desk.trim(t(8), 3).await, 3);
    assert_eq!(desk.trim(t(8), 3).await, 2);
    assert_eq!(desk.trim(t(8), 0).await, 0);
    assert_eq!(seconds(&desk.list(&AuditFilter::default()).await), [9, 8]);
}

/// Nothing is done for nothing.
pub async fn empty_batches_do_nothing(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    desk.record(&[]).await;
    assert_eq!(desk.list(&AuditFilter::default()).await, []);
    assert_eq!(desk.trim(t(0), 1_000).await, 0);
}

/// More than a page.
pub async fn full_batches_are_taken(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    desk.record(&(0..3_000).map(|n| action(n, "ann", "a")).collect::<Vec<_>>()).await;
    let first = desk.page(&AuditFilter::default(), None, 1_000).await;
    assert_eq!((first.items.len(), first.next.is_some()), (1_000, true));
    assert_eq!(desk.pages(&by("ann"), 1_000).await.len(), 3_000);
}
