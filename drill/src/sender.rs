//! A sender as a careful user writes one: its own ids, sent again with the same id until the broker has answered.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use lovage::{Call, Client, ClientError, ClientErrorKind, TaskId};
use lovage_core::Clock as _;
use lovage_system::{SystemClock, SystemEntropy};

use crate::judge::Sent;
use crate::tasks::{flaky, nap, plain, quick};

/// Sent in one round trip.
const BATCH: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Writes down what becomes of each task before it goes on.
#[derive(Debug)]
pub struct Ledger {
    file: File,
}

impl Ledger {
    /// Opens a new ledger.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: OpenOptions::new().create(true).append(true).open(path)? })
    }

    /// Reads a ledger: the tasks, in the order of their first line.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> io::Result<Vec<(TaskId, Sent)>> {
        let bad =
            |line: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: `{line}`", path.display()));
        let mut tasks: std::collections::HashMap<TaskId, Sent> = std::collections::HashMap::new();
        for line in std::fs::read_to_string(path)?.lines() {
            let mut words = line.split(' ');
            let (kind, id, number) = (words.next(), words.next(), words.next());
            let id: TaskId = id.and_then(|id| id.parse().ok()).ok_or_else(|| bad(line))?;
            let number = number.and_then(|number| number.parse().ok()).ok_or_else(|| bad(line))?;
            let task = tasks.entry(id).or_insert(Sent { number, accepted: false, again: false });
            match kind {
                Some("unclear") => task.again = true,
                Some("accepted") => task.accepted = true,
                _ => return Err(bad(line)),
            }
        }
        Ok(tasks.into_iter().collect())
    }

    fn write(&mut self, kind: &str, batch: &[(TaskId, u64)]) -> io::Result<()> {
        let lines: String = batch.iter().map(|(id, number)| format!("{kind} {id} {number}\n")).collect();
        self.file.write_all(lines.as_bytes())
    }
}

/// A call of any task of the drill.
pub type AnyCall = Call<u64>;

/// Sends calls until the broker has answered for each; their ids are in the order of the calls.
///
/// # Errors
/// When the broker refuses for good.
pub async fn send_surely(
    client: &Client,
    ledger: &mut Ledger,
    numbers: &[u64],
    call: impl Fn(u64) -> AnyCall,
) -> Result<Vec<TaskId>, Box<dyn std::error::Error>> {
    let clock = SystemClock::new();
    let batch: Vec<(TaskId, u64)> =
        numbers.iter().map(|number| (TaskId::new(clock.now(), &SystemEntropy), *number)).collect();
    let mut again = false;
    loop {
        let calls = batch.iter().map(|(id, number)| call(*number).id(*id)).collect();
        match client.send_all(calls).await {
            Ok(answers) => {
                for (answer, (id, _)) in answers.into_iter().zip(&batch) {
                    accepted(answer.map(drop), *id, again)?;
                }
                ledger.write("accepted", &batch)?;
                return Ok(batch.into_iter().map(|(id, _)| id).collect());
            }
            Err(error) => {
                let ClientErrorKind::Unavailable { maybe_accepted } = error.kind() else {
                    return Err(error.into());
                };
                if *maybe_accepted && !std::mem::replace(&mut again, true) {
                    ledger.write("unclear", &batch)?;
                }
                clock.sleep(PAUSE).await;
            }
        }
    }
}

/// A duplicate counts as accepted where it can only be our own first try.
fn accepted(answer: Result<(), ClientError>, id: TaskId, again: bool) -> Result<(), ClientError> {
    match answer {
        Err(error) if again && *error.kind() == (ClientErrorKind::Duplicate { holder: id }) => Ok(()),
        answer => answer,
    }
}

/// Sends tasks numbered from `first`, mixed, spread over `time`; after an outage it catches up.
///
/// # Errors
/// When the broker refuses for good.
pub async fn send_paced(
    client: &Client,
    ledger: &mut Ledger,
    first: u64,
    count: u64,
    time: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let clock = SystemClock::new();
    let start = clock.monotonic();
    let numbers: Vec<u64> = (first..first + count).collect();
    for (at, batch) in numbers.chunks(BATCH).enumerate() {
        let share = u32::try_from(at * BATCH)? as f32 / u32::try_from(count)? as f32;
        clock.sleep_until(start + time.mul_f32(share)).await;
        send_surely(client, ledger, batch, mixed).await?;
    }
    Ok(())
}

/// Mostly quick ones, and some of each other kind.
fn mixed(number: u64) -> AnyCall {
    match number % 100 {
        0 => flaky::call(number),
        1..=8 => nap::call(number, 20 + number % 180),
        9..=12 => plain::call(number),
        _ => quick::call(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_tells_what_was_unclear_and_what_was_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let ids: Vec<TaskId> = (1..=2).map(|byte| TaskId::from_bytes([byte; 16])).collect();
        let mut ledger = Ledger::open(&path).unwrap();
        ledger.write("unclear", &[(ids[0], 7)]).unwrap();
        ledger.write("accepted", &[(ids[0], 7), (ids[1], 8)]).unwrap();
        let tasks: std::collections::HashMap<_, _> = Ledger::read(&path).unwrap().into_iter().collect();
        assert_eq!(tasks[&ids[0]], Sent { number: 7, accepted: true, again: true });
        assert_eq!(tasks[&ids[1]], Sent { number: 8, accepted: true, again: false });
    }
}
