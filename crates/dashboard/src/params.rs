//! The fields that routes take.

/// A field of a query or of a body.
#[derive(Clone, Debug)]
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) need: Need,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    Required,
    Optional,
    /// A list, which may be left out.
    Many,
}

const fn required(name: &'static str, what: &'static str) -> Param {
    Param { name, what, need: Need::Required }
}

const fn optional(name: &'static str, what: &'static str) -> Param {
    Param { name, what, need: Need::Optional }
}

const fn many(name: &'static str, what: &'static str) -> Param {
    Param { name, what, need: Need::Many }
}

pub(crate) const QUEUE: Param = required("queue", "The name of the queue.");
pub(crate) const IN_QUEUE: Param = optional("queue", "The name of a queue.");
pub(crate) const PLACE: Param = optional("place", "`ready` (unless said), `delayed`, `leased` or `dead`.");
pub(crate) const REMOVABLE: Param = required("place", "`ready`, `delayed` or `dead`.");
pub(crate) const RATE: Param = optional(
    "rate",
    "`10/s`, `100/m`, `5000/h`, each with `burst 20` where wanted; nothing, or `off`: no limit.",
);
pub(crate) const CONFIRM: Param = required("confirm", "The name of the queue once more.");
pub(crate) const CONFIRM_ALL: Param = optional("confirm", "With `all`: the name of the queue once more.");
pub(crate) const JOB: Param = required("id", "The id of the job.");
pub(crate) const ID: Param = required("id", "The id of the task.");
pub(crate) const IDS: Param = many("ids", "The ids of tasks.");
pub(crate) const ARGUMENTS: Param =
    optional("arguments", "Other arguments, as JSON text: a list (by position) or an object (by name).");
pub(crate) const TASK: Param = optional("task", "The name of a task, whole.");
pub(crate) const TASK_NAME: Param = required("name", "The name of the task, whole.");
pub(crate) const STATE: Param = many("state", "States, such as `failure`; any unless said.");
pub(crate) const WORKER_NAME: Param = optional("worker", "The name of a worker, whole.");
pub(crate) const ERROR: Param = optional(
    "error",
    "Text within the error or its causes, within 1,000 characters; ASCII letters in either case.",
);
pub(crate) const ARGUMENTS_EXACTLY: Param =
    optional("arguments", "The arguments as JSON text, exactly, but for white space between them.");
pub(crate) const SINCE: Param = optional("since", "Ended at or after: an instant, or how long ago (`2h`).");
pub(crate) const UNTIL: Param = optional("until", "Ended before: an instant, or how long ago (`10m`).");
pub(crate) const WHO: Param = optional("who", "The name of a person or a program, whole.");
pub(crate) const WHAT: Param = optional("what", "What was done, such as `queues/pause`, whole.");
pub(crate) const DONE_SINCE: Param =
    optional("since", "Done at or after: an instant, or how long ago (`2h`).");
pub(crate) const DONE_UNTIL: Param = optional("until", "Done before: an instant, or how long ago (`10m`).");
pub(crate) const FROM: Param =
    optional("from", "Slots at or after: an instant, or how long ago (`2h`); a day ago unless said.");
pub(crate) const TO: Param = optional("to", "Slots before: an instant, or how long ago; now unless said.");
pub(crate) const ALL: Param = optional("all", "`yes`: all that match.");
pub(crate) const REASON: Param = optional(
    "reason",
    "With `all`: only those given up as `exhausted`, `permanent`, `poisoned`, `undeliverable` or `unreadable`.",
);
pub(crate) const WORKER: Param = required("worker", "The id of the worker.");
pub(crate) const SLOTS: Param = required("slots", "Async tasks at once: 1 to 100,000.");
pub(crate) const WEIGHT: Param = optional("weight", "How many turns the queue gets: 1 (unless said) to 100.");
pub(crate) const NAME: Param = required("name", "The name of the entry.");
pub(crate) const NAMES: Param = many("name", "The names of the entries.");
pub(crate) const PREFIX: Param = optional("prefix", "How the name begins.");
pub(crate) const ENABLED: Param = optional("enabled", "`true` or `false`.");
pub(crate) const AFTER: Param = optional("after", "`next` of the part before.");
pub(crate) const LIMIT: Param = optional("limit", "Rows: 1 to 1,000, 50 unless said.");

pub(crate) const RANGE: Param =
    optional("range", "How far back charts and counts go: `5m`, `1h` (unless said), `6h`, `1d` or `7d`.");

/// What finished tasks are searched by.
pub(crate) const SEARCH: [Param; 8] =
    [TASK, STATE, IN_QUEUE, WORKER_NAME, ERROR, ARGUMENTS_EXACTLY, SINCE, UNTIL];

/// Where all finished tasks that match are deleted.
pub(crate) const CONFIRM_DELETE: Param = optional("confirm", "With `all`: the word `delete`.");

/// A task that is sent once more, and what is to be different.
pub(crate) const AGAIN: &[Param] = &[ID, ARGUMENTS, IN_QUEUE];

/// All fields of an entry of the schedule.
pub(crate) const ENTRY: &[Param] = &[
    NAME,
    optional("revision", "The revision that is edited; a new entry has none."),
    required("task", "The name of the task."),
    required(
        "schedule",
        "As JSON, or as JSON text: `{\"kind\":\"crontab\",\"expression\":\"30 7 * * mon\",\"zone\":\"Europe/Berlin\"}`.",
    ),
    optional("args", "Arguments by position: a JSON list, or its text."),
    optional("kwargs", "Arguments by name: a JSON object, or its text."),
    IN_QUEUE,
    optional("priority", "0 to 9, 9 first."),
    optional("headers", "A JSON object of texts, or its text."),
    optional("expires", "A duration after the slot, or an instant."),
    optional("start_time", "There is no slot before it."),
    optional("end_time", "There is no slot after it."),
    optional("one_off", "`true`: it is disabled once it has run."),
    optional("enabled", "`false`: it does not fire."),
    optional("description", "For people."),
    optional("misfire", "Slots that were missed: `skip`, `once` or `all(N)`."),
    optional("overlap", "While the last one still runs: `allow` or `skip`."),
    optional("jitter", "It fires up to this much later."),
];
