//! What a ready task costs in Redis.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use lovage_core::{Envelope, Payload, Place};

use crate::report::Report;
use crate::targets::REDIS_MEMORY;
use crate::throughput::message;
use crate::{Bed, Fallible, queue};

/// Bytes of a message with its arguments.
const MESSAGE: usize = 120;

/// The growth of `used_memory` by tasks of 120 bytes each.
pub(crate) async fn measure(bed: &Bed, report: &mut Report, tasks: usize) -> Fallible<()> {
    let to = queue("memory");
    let broker = bed.broker().await?;
    let empty = Envelope::new("bench.noop", Payload::Json("[\"\"]".into())).encode().len();
    let text = "x".repeat(MESSAGE.saturating_sub(empty));
    let body = Envelope::new("bench.noop", Payload::Json(format!("[\"{text}\"]"))).encode();
    let before = used(&bed.url)?;
    for _ in 0..tasks / 1_000 {
        let batch: Vec<_> =
            (0..1_000).map(|_| lovage_core::Message { body: body.clone(), ..message(bed, &to) }).collect();
        broker.publish(&batch, None).await?;
    }
    #[expect(clippy::cast_precision_loss, reason = "bytes far below 2^52")]
    let each = (used(&bed.url)? - before) as f64 / (tasks / 1_000 * 1_000) as f64;
    let what = format!("Redis memory per ready task of {} B, {tasks} of them", body.len());
    report.judge(what, each, "B", REDIS_MEMORY);
    while broker.purge(&to, Place::Ready, 1_000).await? > 0 {}
    Ok(())
}

fn used(url: &str) -> Fallible<u64> {
    let info = ask(url, "INFO memory")?;
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    Ok(line.ok_or("INFO says no used_memory")?.trim().parse()?)
}

fn ask(url: &str, command: &str) -> Fallible<String> {
    let mut reader = BufReader::new(connect(url)?);
    write!(reader.get_mut(), "{command}\r\n")?;
    let mut head = String::new();
    reader.read_line(&mut head)?;
    let length: usize = head.trim().trim_start_matches('$').parse()?;
    let mut text = vec![0; length];
    reader.read_exact(&mut text)?;
    Ok(String::from_utf8(text)?)
}

/// A plain connection to a Redis without a password.
pub(crate) fn connect(url: &str) -> Fallible<TcpStream> {
    let address = url.trim_start_matches("redis://").split('/').next().unwrap_or_default();
    Ok(TcpStream::connect(address)?)
}
