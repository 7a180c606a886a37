//! What of a message is kept in a row, and reading it back.

use std::time::Duration;

use lovage_core::{
    Delay, Fence, Message, Priority, QueueName, TaskId, Timestamp, UniqueClaim, UniquePolicy, limits,
};
use serde::{Deserialize, Serialize};

/// The form that this release writes. A relay sets aside rows of forms that it does not know.
const VERSION: u8 = 1;

/// A row that was taken.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) seq: i64,
    /// Or why it cannot be read.
    pub(crate) message: Result<Message, String>,
}

/// The columns of a row.
#[derive(Debug)]
pub(crate) struct Columns {
    pub(crate) id: Vec<u8>,
    pub(crate) queue: String,
    pub(crate) options: String,
    pub(crate) body: Vec<u8>,
    /// Microseconds since it was written.
    pub(crate) age: i64,
}

/// The column `options`: JSON, so that people can read and repair it. Times in microseconds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    version: u8,
    priority: Priority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delay: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unique: Option<Claim>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fence: Option<Slot>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    #[serde(default)]
    until_start: bool,
    #[serde(default)]
    replace: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slot {
    name: String,
    slot: Timestamp,
}

/// The column `options` of a message.
pub(crate) fn options(message: &Message) -> String {
    let (delay, due) = match message.delay {
        Delay::None => (None, None),
        Delay::For(delay) => (Some(micros(delay)), None),
        Delay::Until(at) => (None, Some(at)),
    };
    let unique = message.unique.as_ref().map(|claim| Claim {
        key: claim.key.clone(),
        ttl: claim.ttl.map(micros),
        until_start: claim.until_start,
        replace: claim.policy == UniquePolicy::Replace,
    });
    let fence = message.fence.as_ref().map(|fence| Slot { name: fence.name.clone(), slot: fence.slot });
    let options = Options { version: VERSION, priority: message.priority, delay, due, unique, fence };
    // Strings and numbers: there is nothing in it that JSON does not have.
    serde_json::to_string(&options).unwrap_or_default()
}

impl Columns {
    /// The message, its delay shortened by the time in the outbox.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(crate) fn message(self) -> Result<Message, String> {
        let id: [u8; 16] =
            self.id.try_into().map_err(|id: Vec<u8>| format!("its id has {} bytes, not 16", id.len()))?;
        let queue = QueueName::new(&self.queue).map_err(|error| error.to_string())?;
        let options = parse(&self.options)?;
        let age = Duration::from_micros(u64::try_from(self.age).unwrap_or(0));
        let delay = match (options.delay, options.due) {
            (None, None) => Delay::None,
            (None, Some(at)) => Delay::Until(at),
            (Some(delay), None) => match Duration::from_micros(delay).saturating_sub(age) {
                Duration::ZERO => Delay::None,
                left => Delay::For(left),
            },
            (Some(_), Some(_)) => return Err("its options have both delay and due: expected one".to_owned()),
        };
        let mut message = Message {
            id: TaskId::from_bytes(id),
            queue,
            priority: options.priority,
            delay,
            unique: options.unique.map(Claim::into_claim),
            fence: options.fence.map(|fence| Fence { name: fence.name, slot: fence.slot }),
            body: self.body,
        };
        // A relay that was killed after its publish leaves the row to the next one.
        message.mark_possible_duplicate();
        message.check_size(limits::MESSAGE_MAX).map_err(|error| error.to_string())?;
        Ok(message)
    }
}

impl Claim {
    fn into_claim(self) -> UniqueClaim {
        UniqueClaim {
            key: self.key,
            ttl: self.ttl.map(Duration::from_micros),
            until_start: self.until_start,
            policy: if self.replace { UniquePolicy::Replace } else { UniquePolicy::Reject },
        }
    }
}

fn parse(text: &str) -> Result<Options, String> {
    #[derive(Deserialize)]
    struct Version {
        version: u8,
    }
    let bad = |error: serde_json::Error| format!("its options cannot be read: {error}");
    let Version { version } = serde_json::from_str(text).map_err(bad)?;
    if version != VERSION {
        return Err(format!(
            "its options are of version {version} and this relay knows version {VERSION}: upgrade it, then put the row back"
        ));
    }
    serde_json::from_str(text).map_err(bad)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use lovage_testkit::message;

    use super::*;

    fn columns(message: &Message, age: i64) -> Columns {
        Columns {
            id: message.id.as_bytes().to_vec(),
            queue: message.queue.to_string(),
            options: options(message),
            body: message.body.clone(),
            age,
        }
    }

    #[test]
    fn every_option_survives() {
        let at = Timestamp::from_micros(1_763_900_000_123_456);
        let minute = Duration::from_secs(60);
        for message in [
            message("q").build(),
            message("q").priority(9).delay(minute).unique_for("k", minute).until_start().build(),
            message("q").until(at).unique("k").replace().build(),
            message("q").fence("daily", at).build(),
        ] {
            let mut marked = message.clone();
            marked.mark_possible_duplicate();
            assert_eq!(columns(&message, 0).message(), Ok(marked));
        }
    }

    #[test]
    fn the_form_stays() {
        let at = Timestamp::from_micros(7);
        let message =
            message("q").priority(3).delay(Duration::from_secs(1)).unique("k").fence("f", at).build();
        let expected = concat!(
            r#"{"version":1,"priority":3,"delay":1000000,"#,
            r#""unique":{"key":"k","until_start":false,"replace":false},"fence":{"name":"f","slot":7}}"#
        );
        assert_eq!(options(&message), expected);
    }

    #[test]
    fn the_time_in_the_outbox_counts() {
        let message = message("q").delay(Duration::from_secs(10)).build();
        let delay = |age| columns(&message, age).message().map(|message| message.delay);
        assert_eq!(delay(4_000_000), Ok(Delay::For(Duration::from_secs(6))));
        assert_eq!(delay(10_000_000), Ok(Delay::None));
        assert_eq!(delay(-5), Ok(Delay::For(Duration::from_secs(10))));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let good = message("q").build();
        type Damage = fn(&mut Columns);
        let damages: [(Damage, &str); 6] = [
            (|row| row.id.truncate(3), "3 bytes"),
            (|row| row.queue = "a b".to_owned(), "queue name"),
            (|row| row.options = "{".to_owned(), "cannot be read"),
            (|row| row.options = r#"{"version":2,"new":1}"#.to_owned(), "upgrade"),
            (|row| row.options = r#"{"version":1,"priority":10}"#.to_owned(), "0 to 9"),
            (|row| row.body = vec![0; limits::MESSAGE_MAX + 1], "bytes, the limit"),
        ];
        for (damage, says) in damages {
            let mut row = columns(&good, 0);
            damage(&mut row);
            let why = row.message().unwrap_err();
            assert!(why.contains(says), "{why}");
        }
    }
}
