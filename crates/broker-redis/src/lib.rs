//! The Lovage broker on Redis.
//!
//! A queue is a handful of keys that share one hash tag, and each operation is one Lua script on them: see
//! `src/scripts`. Rust decides, the scripts carry it out in one step.
//!
//! | key `lv1:{queue}:…` | type | content |
//! |---|---|---|
//! | `m` | hash | id: priority (1 byte), when published (8 bytes), body |
//! | `r9` … `r0`, `s` | lists | ready ids by priority; suspects |
//! | `d` | sorted set | id: when it becomes ready |
//! | `l`, `lc` | sorted set, hash | token: when its lease ends; the channel of who holds it and, after a line break, the length of the lease |
//! | `b:<token>` | set | ids of that reservation that are not settled yet |
//! | `a` | hash | id: run, hand-outs, attempts, losses, refusal and notes, once there is anything to tell |
//! | `x`, `xr` | set, hash | ids to be revoked; who replaced those that were replaced |
//! | `u`, `ui` | hashes | unique key: holder and end of the claim; id: unique key |
//! | `us` | hash | id that holds its key only until its start: when it expires |
//! | `f` | hash | schedule: its newest slot |
//! | `n` | hash | id: channels of the processes that wait for its end |
//! | `w` | sorted set | channels of idle handles, since when |
//! | `k`, `kr` | sorted set, hash | dead letters: their order (about since when); since when and why |
//! | `i` | hash | mask of priorities in use, paused, last maintain, its guard, who keeps the time and until when; rate limit: as written, gap, burst, when all tokens are back, when the next one is where there was none |
//!
//! Besides there are `lv1:{#}:queues` (set), `lv1:{#}:workers` (sorted set: until when), `lv1:{#}:worker` (hash),
//! `lv1:{#}:told:<worker>` (lists) and `lv1:{#}:hidden` (hash: what tasks hide), and the pub/sub channels `lv1:c:<handle>`.
//! Ids and tokens are their 16 bytes, instants are microseconds.

mod answer;
mod args;
mod broker;
mod control;
mod inbox;
mod inspect;
mod keys;
mod leases;
mod record;
mod scripts;

pub use broker::RedisBroker;
