//! A writer of lines that never blocks its callers and never fails them.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use lovage_core::Clock as _;
use lovage_system::SystemClock;

/// Bytes that wait to be written. Lines beyond that are dropped.
const CAPACITY: usize = 1024 * 1024;
/// A buffer larger than this is not kept once it is written.
const KEPT_CAPACITY: usize = 64 * 1024;
/// Time between two attempts to write to a pipe that is full and does not block.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);
/// A write that takes longer than this is blocked: nobody reads the other end.
const STALLED_AFTER: Duration = Duration::from_millis(100);

/// Writes lines from a thread of its own. Up to 1 MiB waits for it; what does not fit, and what cannot be written, is dropped
/// and counted.
#[derive(Debug)]
pub(crate) struct LineWriter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    has_lines: Condvar,
    is_idle: Condvar,
    dropped: AtomicU64,
    clock: SystemClock,
    /// When the write under way began, in monotonic microseconds plus one; zero between writes.
    write_began: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    is_writing: bool,
    /// Dropped lines that no report has covered yet.
    unreported: u64,
}

impl LineWriter {
    /// Starts the thread, which writes to `out` and calls `report` with the number of dropped lines once it can write again.
    ///
    /// # Errors
    /// When the system has no thread.
    pub(crate) fn start(out: impl Write + Send + 'static, report: fn(u64)) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            has_lines: Condvar::new(),
            is_idle: Condvar::new(),
            dropped: AtomicU64::new(0),
            clock: SystemClock::new(),
            write_began: AtomicU64::new(0),
        });
        let writer = Arc::clone(&shared);
        thread::Builder::new().name("lovage-log".to_owned()).spawn(move || writer.run(out, report))?;
        Ok(Self { shared })
    }

    /// Hands over whole lines, or drops them when too much waits already.
    pub(crate) fn write(&self, lines: &[u8]) {
        let mut state = self.shared.lock();
        if state.bytes.len() + lines.len() > CAPACITY {
            self.shared.count_dropped(&mut state, lines);
            return;
        }
        state.bytes.extend_from_slice(lines);
        drop(state);
        self.shared.has_lines.notify_one();
    }

    /// Waits until everything is written, at most for `timeout`.
    pub(crate) fn flush(&self, timeout: Duration) {
        let state = self.shared.lock();
        let is_busy = |state: &mut State| state.is_writing || !state.bytes.is_empty();
        drop(self.shared.is_idle.wait_timeout_while(state, timeout, is_busy));
    }

    /// The number of lines dropped since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Whether a write is blocked because nobody reads.
    pub(crate) fn is_stalled(&self) -> bool {
        match self.shared.write_began.load(Ordering::Relaxed).checked_sub(1) {
            Some(began) => self.shared.now().saturating_sub(began) > micros(STALLED_AFTER),
            None => false,
        }
    }
}

impl Shared {
    fn run(&self, mut out: impl Write, report: fn(u64)) {
        let (mut batch, mut can_write) = (Vec::new(), true);
        loop {
            let mut state = self.lock();
            let is_done = |state: &mut State| state.bytes.is_empty() && !(can_write && state.unreported > 0);
            if is_done(&mut state) {
                state.is_writing = false;
                self.is_idle.notify_all();
                let waited = self.has_lines.wait_while(state, is_done);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut state.bytes, &mut batch);
            state.is_writing = true;
            let unreported = if can_write { std::mem::take(&mut state.unreported) } else { 0 };
            drop(state);
            // Now, while the buffer has room for the report.
            if unreported > 0 {
                report(unreported);
            }
            if batch.is_empty() {
                continue;
            }

            self.write_began.store(self.now() + 1, Ordering::Relaxed);
            let written = write_all(&mut out, &batch);
            self.write_began.store(0, Ordering::Relaxed);

            can_write = written == batch.len();
            if !can_write {
                self.count_dropped(&mut self.lock(), &batch[written..]);
            }
            batch.clear();
            if batch.capacity() > KEPT_CAPACITY {
                batch = Vec::new();
            }
        }
    }

    fn count_dropped(&self, state: &mut State, lines: &[u8]) {
        let ends = lines.iter().filter(|byte| **byte == b'\n').count();
        let count = u64::try_from(ends.max(1)).unwrap_or(u64::MAX);
        state.unreported = state.unreported.saturating_add(count);
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        micros(self.clock.monotonic())
    }

    /// A panic elsewhere leaves the state as it was between two operations: going on is safe.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Writes as much as can be written. Returns the number of bytes.
fn write_all(out: &mut impl Write, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(RETRY_INTERVAL),
            Err(_) => break,
        }
    }
    // A failed flush has lost nothing that was not counted: both standard outputs pass bytes on as they come.
    drop(out.flush());
    written
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Writes once it is allowed to: each write takes an answer from the test.
    struct Gate {
        answers: Receiver<io::Result<()>>,
        written: Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.answers.recv().unwrap_or(Ok(()))?;
            self.written.send(String::from_utf8_lossy(bytes).into_owned()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated(report: fn(u64)) -> (LineWriter, Sender<io::Result<()>>, Receiver<String>) {
        let (answer, answers) = channel();
        let (sender, written) = channel();
        (LineWriter::start(Gate { answers, written: sender }, report).unwrap(), answer, written)
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn full_buffer_drops_lines_and_reports_them_once() {
        static REPORTED: AtomicU64 = AtomicU64::new(0);
        let (writer, answer, written) = gated(|count| REPORTED.store(count, Ordering::SeqCst));
        writer.write(b"first\n");
        // The thread holds the first line and is blocked; nothing here waits for it.
        while !writer.is_stalled() {
            thread::yield_now();
        }
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        for _ in 0..CAPACITY / 1024 + 7 {
            writer.write(&line);
        }
        assert_eq!(writer.dropped(), 7);
        writer.flush(Duration::from_millis(1));
        answer.send(Ok(())).unwrap();
        assert_eq!(written.recv_timeout(PATIENCE).unwrap(), "first\n");
        answer.send(Ok(())).unwrap();
        assert_eq!(written.recv_timeout(PATIENCE).unwrap().len(), CAPACITY);
        writer.flush(PATIENCE);
        assert_eq!(REPORTED.load(Ordering::SeqCst), 7);
        assert!(!writer.is_stalled());
    }

    #[test]
    fn failed_write_drops_its_lines_and_goes_on() {
        static REPORTED: AtomicU64 = AtomicU64::new(0);
        let (writer, answer, written) = gated(|count| REPORTED.store(count, Ordering::SeqCst));
        answer.send(Err(io::Error::from(ErrorKind::StorageFull))).unwrap();
        writer.write(b"lost\nlost\n");
        writer.flush(PATIENCE);
        assert_eq!((writer.dropped(), REPORTED.load(Ordering::SeqCst)), (2, 0));
        answer.send(Err(io::Error::from(ErrorKind::WouldBlock))).unwrap();
        answer.send(Ok(())).unwrap();
        writer.write(b"kept\n");
        assert_eq!(written.recv_timeout(PATIENCE).unwrap(), "kept\n");
        writer.flush(PATIENCE);
        assert_eq!((writer.dropped(), REPORTED.load(Ordering::SeqCst)), (2, 2));
    }
}
