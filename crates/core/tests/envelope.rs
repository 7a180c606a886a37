//! The wire format: golden files that never change once released, and round trips of everything else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use lovage_core::{
    AckMode, Backoff, Envelope, EnvelopeError, Expires, Lineage, Payload, RedactedArg, RetryPolicy,
    ScheduledSlot, TaskId, Timestamp,
};
use proptest::prelude::*;

fn full() -> Envelope {
    let id = |n| TaskId::from_bytes([n; 16]);
    Envelope {
        expires: Some(Expires::After(Duration::from_secs(60))),
        retry: Some(RetryPolicy::times(7)),
        soft_time_limit: Some(Duration::from_millis(1_500)),
        time_limit: Some(Duration::from_secs(30)),
        store_result: Some(false),
        ack: Some(AckMode::Early),
        redacted: vec![RedactedArg { index: 1, name: "card".into() }],
        schedule: Some(ScheduledSlot {
            name: "nightly".into(),
            slot: Timestamp::from_micros(1_763_900_000_000_000),
        }),
        lineage: Some(Lineage { root: id(1), parent: Some(id(2)), group: Some(id(3)), index: 4 }),
        on_success: vec![vec![1, 2, 3]],
        on_error: vec![vec![]],
        headers: BTreeMap::from([(
            "traceparent".into(),
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        )]),
        ..Envelope::new(
            "movies.tasks.add",
            Payload::Postcard { fingerprint: 0x0102_0304_0506_0708, bytes: vec![2, 6] },
        )
    }
}

fn plain() -> Envelope {
    Envelope::new("movies.tasks.add", Payload::Json("[1,3]".into()))
}

#[test]
fn the_mark_of_a_possible_duplicate_is_one_bit() {
    let marked = Envelope { possible_duplicate: true, ..full() };
    let mut bytes = full().encode();
    assert!(!Envelope::is_possible_duplicate(&bytes));
    Envelope::mark_possible_duplicate(&mut bytes);
    assert_eq!(bytes, marked.encode());
    assert_eq!((bytes[0], &bytes[1..]), (0x81, &full().encode()[1..]));
    assert!(Envelope::is_possible_duplicate(&bytes));
    assert_eq!(Envelope::decode(&bytes).unwrap(), marked);
    let published_at = Timestamp::from_micros(5);
    assert_eq!(
        Envelope::expires_at(&bytes, published_at),
        Envelope::expires_at(&full().encode(), published_at)
    );
    for mut foreign in [vec![], vec![0xff, 1], b"{}".to_vec()] {
        let before = foreign.clone();
        Envelope::mark_possible_duplicate(&mut foreign);
        assert_eq!(foreign, before);
        assert!(!Envelope::is_possible_duplicate(&foreign));
    }
}

fn golden(name: &str, envelope: &Envelope) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name);
    let hex: String = envelope.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{hex}\n")).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        stored.trim(),
        hex,
        "the wire format of {name} changed: that needs a new version byte, not a new golden file"
    );
    let bytes: Vec<u8> = (0..stored.trim().len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&stored[at..at + 2], 16).unwrap())
        .collect();
    assert_eq!(&Envelope::decode(&bytes).unwrap(), envelope);
}

#[test]
fn version_1_stays_as_it_is() {
    golden("plain.hex", &plain());
    golden("full.hex", &full());
}

#[test]
fn what_cannot_be_read_says_why() {
    let bytes = plain().encode();
    let newer: Vec<u8> = std::iter::once(2).chain(bytes[1..].iter().copied()).collect();
    assert_eq!(Envelope::decode(&newer), Err(EnvelopeError::Newer { found: 2 }));
    for bad in [&b""[..], b"garbage", &bytes[..bytes.len() - 1], &[bytes.as_slice(), b"x"].concat()] {
        assert!(matches!(Envelope::decode(bad), Err(EnvelopeError::Unreadable(_))), "{bad:?}");
    }
}

#[test]
fn expiry_is_read_without_the_rest() {
    let published = Timestamp::from_micros(5_000_000);
    assert_eq!(Envelope::expires_at(&full().encode(), published), Some(Timestamp::from_micros(65_000_000)));
    assert_eq!(Envelope::expires_at(&plain().encode(), published), None);
    assert_eq!(Envelope::expires_at(b"garbage", published), None);
}

prop_compose! {
    fn envelopes()(
        task in "\\PC{0,40}", json in "\\PC{0,200}", postcard in any::<Option<(u64, Vec<u8>)>>(),
        expires in any::<Option<(bool, u32)>>(), retries in any::<Option<(u32, u32, u32, bool)>>(),
        limits in any::<(Option<Duration>, Option<Duration>)>(), store in any::<Option<bool>>(), early in any::<Option<bool>>(),
        headers in proptest::collection::btree_map("\\PC{0,12}", "\\PC{0,30}", 0..5),
        continuations in any::<(Vec<Vec<u8>>, Vec<Vec<u8>>)>(), lineage in any::<Option<([u8; 16], u32)>>(),
        slot in any::<Option<(String, i64)>>(),
    ) -> Envelope {
        let payload = postcard.map_or(Payload::Json(json), |(fingerprint, bytes)| Payload::Postcard { fingerprint, bytes });
        Envelope {
            expires: expires.map(|(at, s)| if at { Expires::At(Timestamp::from_micros(s.into())) } else { Expires::After(Duration::from_secs(s.into())) }),
            retry: retries.map(|(max_retries, base, cap, jitter)| RetryPolicy {
                max_retries, jitter, backoff: Backoff::Exponential { base: Duration::from_millis(base.into()), cap: Duration::from_millis(cap.into()) },
            }),
            soft_time_limit: limits.0, time_limit: limits.1, store_result: store,
            ack: early.map(|early| if early { AckMode::Early } else { AckMode::Late }),
            headers, on_success: continuations.0, on_error: continuations.1,
            lineage: lineage.map(|(id, index)| Lineage { root: TaskId::from_bytes(id), parent: None, group: Some(TaskId::from_bytes(id)), index }),
            schedule: slot.map(|(name, slot)| ScheduledSlot { name, slot: Timestamp::from_micros(slot) }),
            ..Envelope::new(task, payload)
        }
    }
}

proptest! {
    #[test]
    fn every_envelope_survives_a_round_trip(envelope in envelopes()) {
        prop_assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
    }

    #[test]
    fn decoding_never_panics(bytes: Vec<u8>) {
        let _either = Envelope::decode(&bytes);
        let mut versioned = vec![1];
        versioned.extend(bytes);
        let _either = Envelope::decode(&versioned);
    }
}
