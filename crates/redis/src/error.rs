//! Errors of Redis, in the words of the caller's question: again, give up, repair?

use fred::error::{Error, ErrorKind};
use lovage_core::{BackendError, BackendErrorKind};

/// Turns an error of the driver into Lovage's, for an operation named by `context` ("publish to queue mail").
///
/// An error of the connection, or no answer in time, is marked `maybe_applied`: a command is never sent twice,
/// and Redis may have run it although its answer was lost.
pub fn redis_error(context: &str, err: Error) -> BackendError {
    let (kind, advice) = classify(&err);
    let system = system(&err);
    let said = system.clone().unwrap_or_else(|| err.to_string());
    let message = match advice {
        "" => format!("{context}: {said}"),
        advice => format!("{context}: {said}; {advice}"),
    };
    let unanswered =
        matches!(err.kind(), ErrorKind::IO | ErrorKind::Timeout | ErrorKind::Canceled | ErrorKind::Protocol)
            || err.details().contains(SENT_BEFORE);
    let error = BackendError::new(kind, message);
    // The driver's form of what the system said would only repeat it.
    let error = if system.is_some() { error } else { error.with_source(err) };
    if unanswered { error.maybe_applied() } else { error }
}

/// What the system said, which the driver shows as a structure.
fn system(err: &Error) -> Option<String> {
    if *err.kind() != ErrorKind::IO {
        return None;
    }
    ["message: \"", "error: \""].into_iter().find_map(|field| {
        let (_, rest) = err.details().split_once(field)?;
        rest.rsplit_once('"').map(|(words, _)| words.to_owned())
    })
}

/// What the driver says of a command that was under way when it gave up a connection.
const SENT_BEFORE: &str = "Too many failed write attempts";

/// Whether no server has run the command: it was not sent, or refused for a reason that passes within seconds.
pub(crate) fn is_not_run(err: &Error) -> bool {
    const PASSING: [&str; 7] = [
        "Too many redirections",
        "Failed to route command",
        "TRYAGAIN",
        "CLUSTERDOWN",
        "MASTERDOWN",
        "READONLY",
        "LOADING",
    ];
    PASSING.iter().any(|text| err.details().contains(text))
}

const TLS: &str = "check the option ca of the Redis URL, that the certificate names this host, and that this port speaks TLS";

fn classify(err: &Error) -> (BackendErrorKind, &'static str) {
    use BackendErrorKind::{Auth, Config, Corrupt, Refused, Unavailable, Unsupported};
    if let Some(known) = classify_reply(err.details()) {
        return known;
    }
    match err.kind() {
        ErrorKind::IO => (Unavailable, "is it running, and are host and port right?"),
        ErrorKind::Timeout
        | ErrorKind::Canceled
        | ErrorKind::Routing
        | ErrorKind::Cluster
        | ErrorKind::Sentinel
        | ErrorKind::Backpressure => (Unavailable, ""),
        ErrorKind::Tls => (Config, TLS),
        ErrorKind::Auth => (Auth, "check the user and password of the Redis URL"),
        ErrorKind::Config | ErrorKind::Url => (Config, ""),
        ErrorKind::InvalidCommand => (Unsupported, ""),
        ErrorKind::InvalidArgument => (Refused, ""),
        ErrorKind::Protocol | ErrorKind::Parse | ErrorKind::NotFound | ErrorKind::Unknown => (Corrupt, ""),
    }
}

/// Replies of the server. Older versions wrap the errors of commands inside scripts in text of their own, so
/// these are looked for anywhere.
fn classify_reply(reply: &str) -> Option<(BackendErrorKind, &'static str)> {
    use BackendErrorKind::{Auth, Config, Corrupt, Refused, Unavailable, Unsupported};
    const LOGIN: &str = "check the user and password of the Redis URL";
    const RIGHTS: &str = "give the user of the Redis URL the rights that docs/redis.md lists (ACL SETUSER)";
    const NOT_REDIS_6: &str = "Lovage needs Redis 6.2 or later and the commands that docs/redis.md lists, Lua scripts (EVAL) among them";
    let known = [
        ("OOM command not allowed", Refused, "Redis is out of memory: raise maxmemory or let workers drain"),
        ("WRONGPASS", Auth, LOGIN),
        ("NOAUTH", Auth, LOGIN),
        (
            "called without any password configured",
            Auth,
            "this Redis has no password: leave it out of the URL",
        ),
        ("invalid password", Auth, LOGIN),
        ("NOPERM", Auth, RIGHTS),
        ("can't run this command", Auth, RIGHTS),
        ("MISCONF", Refused, "Redis cannot save to its disk and takes no writes: look at its log"),
        ("DB index is out of range", Config, "use a database number that this Redis has (its `databases`)"),
        ("WRONGTYPE", Corrupt, "a key of Lovage holds something else: give Lovage a database of its own"),
        ("MOVED ", Config, "this is a node of a Redis Cluster: write redis-cluster://host"),
        ("cluster support disabled", Config, "this is no Redis Cluster: write redis://host"),
        (
            "Too many redirections",
            Unavailable,
            "the slot of this key is being moved in the cluster: try again",
        ),
        ("Failed to route command", Unavailable, "the connection is away"),
        ("TRYAGAIN", Unavailable, "the slot of this key is being moved in the cluster"),
        ("InvalidCertificate", Config, TLS),
        (
            "AlertReceived",
            Config,
            "the server refuses our certificate: check the options cert and key of the Redis URL",
        ),
        ("InvalidMessage", Config, "this port does not speak TLS: write redis:// instead of rediss://"),
        ("unknown command", Unsupported, NOT_REDIS_6),
        ("Unknown Redis command", Unsupported, NOT_REDIS_6),
        ("READONLY", Unavailable, "this is a read-only replica: name its primary in the Redis URL"),
        ("LOADING", Unavailable, "Redis is still reading its data: try again"),
        ("MASTERDOWN", Unavailable, "this replica has lost its primary"),
        ("CLUSTERDOWN", Unavailable, ""),
        ("NOREPLICAS", Unavailable, "Redis has fewer replicas than its min-replicas-to-write"),
        ("BUSY ", Unavailable, "somebody's script keeps Redis busy"),
        ("max number of clients reached", Unavailable, "raise maxclients of this Redis"),
        ("Too many failed write attempts", Unavailable, ""),
    ];
    known.into_iter().find(|(text, ..)| reply.contains(text)).map(|(_, kind, advice)| (kind, advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(kind: ErrorKind, details: &'static str) -> BackendErrorKind {
        redis_error("publish", Error::new(kind, details)).kind()
    }

    #[test]
    fn replies_and_failures_have_their_kinds() {
        use BackendErrorKind::{Auth, Config, Corrupt, Refused, Unavailable};
        for (driver, details, expected) in [
            (ErrorKind::IO, "connection reset", Unavailable),
            (ErrorKind::Timeout, "Request timed out.", Unavailable),
            (ErrorKind::Auth, "WRONGPASS invalid username-password pair", Auth),
            (ErrorKind::Auth, "NOAUTH Authentication required.", Auth),
            (ErrorKind::Unknown, "NOPERM this user has no permissions to run the 'evalsha' command", Auth),
            (ErrorKind::Unknown, "OOM command not allowed when used memory > 'maxmemory'.", Refused),
            (
                ErrorKind::Unknown,
                "ERR Error running script: @user_script:1: OOM command not allowed",
                Refused,
            ),
            (ErrorKind::Unknown, "ERR DB index is out of range", Config),
            (ErrorKind::Unknown, "ERR user_script:1: attempt to index a nil value", Corrupt),
            (ErrorKind::Unknown, "LOADING Redis is loading the dataset in memory", Unavailable),
            (ErrorKind::InvalidArgument, "WRONGTYPE Operation against a key", Corrupt),
        ] {
            assert_eq!(kind(driver, details), expected, "{details}");
        }
    }

    #[test]
    fn the_system_speaks_for_itself() {
        let refused = r#"Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }"#;
        let error = redis_error("connect", Error::new(ErrorKind::IO, refused));
        assert_eq!(
            error.to_string(),
            "connect: Connection refused; is it running, and are host and port right?"
        );
    }

    #[test]
    fn only_what_was_not_answered_may_have_been_applied() {
        let error = |kind, details: &'static str| redis_error("publish", Error::new(kind, details));
        assert!(error(ErrorKind::Timeout, "").is_maybe_applied());
        assert!(error(ErrorKind::Canceled, "").is_maybe_applied());
        assert!(!error(ErrorKind::Unknown, "OOM command not allowed").is_maybe_applied());
    }
}
