//! The scripts, each with the shared parts that it needs in front.

use std::sync::LazyLock;

use lovage_redis::Script;

macro_rules! scripts {
    ($($constant:ident = $name:literal [$($part:literal),*];)*) => {$(
        pub(crate) static $constant: LazyLock<Script> = LazyLock::new(|| {
            Script::new($name, concat!(
                include_str!("scripts/lib/common.lua"),
                $(include_str!(concat!("scripts/lib/", $part, ".lua")),)*
                include_str!(concat!("scripts/", $name, ".lua")),
            ))
        });
    )*};
}

scripts! {
    PUBLISH = "publish" ["look", "release"];
    RESERVE = "reserve" ["history", "ready", "release", "kinds"];
    SETTLE = "settle" ["history", "ready", "release", "ending", "kinds"];
    EXTEND = "extend" [];
    MAINTAIN = "maintain" ["history", "ready"];
    WATCH = "watch" [];
    FIND = "find" ["look"];
    AHEAD = "ahead" ["look", "kinds"];
    PEEK = "peek" ["look", "kinds"];
    DEPTH = "depth" ["kinds"];
    CANCEL = "cancel" ["history", "ready", "look"];
    PROMOTE = "promote" ["history", "ready"];
    PURGE = "purge" ["release", "ending", "kinds"];
    PAUSE = "pause" [];
    RESUME = "resume" ["kinds"];
    LIMIT = "limit" [];
    REQUEUE_DEAD = "requeue_dead" ["history", "ready"];
    DELETE_DEAD = "delete_dead" ["release", "ending"];
    LEAVE = "leave" [];
    HEARTBEAT = "heartbeat" [];
    SPEAK_FOR = "speak_for" [];
    SIGN_OFF = "sign_off" [];
    WORKERS = "workers" [];
    HIDDEN = "hidden" [];
    TELL = "tell" [];
}
