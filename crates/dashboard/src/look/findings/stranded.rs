//! Tasks that no live worker of their queue can run.

use super::NAMED;
use crate::look::overview::{Finding, FindingKind, Level};
use crate::look::queues::QueueRow;
use crate::look::unrunnable::Stranded;
use crate::pages::{
    Url,
    kit::{count, counted},
};

/// What a queue holds that none of its live workers can run, those of one cause together.
pub(crate) fn stranded(row: &QueueRow) -> Vec<Finding> {
    let page = Url::new("", "/tasks").with("queue", &row.name).with("place", "delayed").to_string();
    let finding = |why| {
        Some(Finding {
            kind: FindingKind::Unroutable,
            level: Level::Bad,
            sentence: sentence(row, why)?,
            page: page.clone(),
        })
    };
    ["unregistered", "arguments", "format", "other"].into_iter().filter_map(finding).collect()
}

fn sentence(row: &QueueRow, why: &str) -> Option<String> {
    let kinds: Vec<&Stranded> = row.stranded.iter().filter(|kind| kind.why == why).collect();
    let first = kinds.first()?;
    let most = row.ready + row.delayed + row.leased;
    let tasks = kinds.iter().map(|kind| kind.tasks).sum::<u64>().min(most);
    let about = match () {
        () if kinds.iter().any(|kind| kind.is_at_least()) => "at least ",
        () if kinds.iter().any(|kind| kind.told_by > 1) => "about ",
        () => "",
    };
    let (them, are) =
        if tasks == 1 { ("it", "it is a dead letter") } else { ("them", "they are dead letters") };
    let held = format!("`{}` holds {about}{}", row.name, counted(tasks, "task"));
    let names = if kinds.len() == 1 { format!("`{}`", first.task) } else { names(&kinds) };
    Some(match why {
        "unregistered" => format!(
            "{held} that no live worker of it knows: {names}. Start a worker that has {them}, or cancel {them}; after an hour {are}."
        ),
        "arguments" => format!(
            "{held} that another release sent, with other arguments than its live workers take: {names}. Start a worker of that release, or cancel {them}; after an hour {are}."
        ),
        "format" => format!(
            "{held} that a later release of Lovage sent, and that no live worker of it can read. Start workers of that release, or cancel {them}; after an hour {are}."
        ),
        _ => format!(
            "{held} that no live worker of it can run: {names}. Their logs say why; after an hour {are}."
        ),
    })
}

/// The first of some names, with how many of each: `a` (9), `b` (2) and 3 other names.
fn names(kinds: &[&Stranded]) -> String {
    let shown = kinds.iter().take(NAMED).map(|kind| format!("`{}` ({})", kind.task, count(kind.tasks)));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match kinds.len().saturating_sub(NAMED) {
        0 => shown,
        1 => format!("{shown} and 1 other name"),
        more => format!("{shown} and {more} other names"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::findings::tests::row;

    fn said(kinds: &[(&str, &'static str, u64, usize)]) -> Vec<String> {
        let kind = |(task, why, tasks, told_by): &(&str, &'static str, u64, usize)| Stranded {
            task: (*task).to_owned(),
            why,
            tasks: *tasks,
            told_by: *told_by,
        };
        let stranded = kinds.iter().map(kind).collect();
        let row = QueueRow { ready: 0, delayed: 20_000, stranded, ..row() };
        super::stranded(&row).into_iter().map(|finding| finding.sentence).collect()
    }

    #[test]
    fn tasks_that_nobody_can_run_are_said_by_cause_with_what_to_do() {
        assert_eq!(said(&[]), [""; 0]);
        assert_eq!(
            said(&[("lost", "unregistered", 1, 1), ("add", "arguments", 3, 2), ("", "format", 2, 1)]),
            [
                "`math` holds 1 task that no live worker of it knows: `lost`. Start a worker that has it, or cancel it; after an hour it is a dead letter.",
                "`math` holds about 3 tasks that another release sent, with other arguments than its live workers take: `add`. Start a worker of that release, or cancel them; after an hour they are dead letters.",
                "`math` holds 2 tasks that a later release of Lovage sent, and that no live worker of it can read. Start workers of that release, or cancel them; after an hour they are dead letters.",
            ]
        );
    }

    #[test]
    fn many_names_are_not_all_said_and_a_bound_that_was_reached_is() {
        let kind = |task, tasks| (task, "unregistered", tasks, 1);
        let told = said(&[kind("a", 10_000), kind("b", 9), kind("c", 2), kind("d", 1), kind("e", 1)]);
        assert_eq!(
            told,
            [
                "`math` holds at least 10,013 tasks that no live worker of it knows: `a` (10,000), `b` (9), `c` (2) and 2 other names. Start a worker that has them, or cancel them; after an hour they are dead letters.",
            ]
        );
    }

    #[test]
    fn the_link_leads_to_the_tasks_that_are_due_later() {
        let stranded = vec![Stranded { task: "a".into(), why: "unregistered", tasks: 1, told_by: 1 }];
        let found = super::stranded(&QueueRow { delayed: 1, stranded, ..row() });
        assert_eq!(found[0].page, "/tasks?queue=math&place=delayed");
    }
}
