//! Self-registration of tasks, the counterpart of Celery's autodiscovery.

use crate::TaskDef;

/// A task that `#[task]` registered. A linker drops crates that nothing names, so naming tasks by `tasks![…]` is the
/// way that always works; this is the convenience.
#[derive(Debug)]
pub struct Registered(pub fn() -> TaskDef);

inventory::collect!(Registered);

/// Every task that registered itself in this program, by name.
#[must_use]
pub fn registered_tasks() -> Vec<TaskDef> {
    let mut tasks: Vec<TaskDef> = inventory::iter::<Registered>().map(|entry| (entry.0)()).collect();
    tasks.sort_by_key(|task| task.name);
    tasks
}
