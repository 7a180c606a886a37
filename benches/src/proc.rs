//! What Linux says a process costs.

use lovage_system::process;

use crate::Fallible;

/// A figure of `/proc/PID/status` by its name, such as `VmRSS:`; 0 where it does not say.
#[expect(clippy::cast_precision_loss, reason = "no process has so much memory")]
pub(crate) fn memory_mib(pid: u32, what: &str) -> f64 {
    process::memory(&pid.to_string(), what).unwrap_or(0) as f64 / 1_048_576.0
}

/// User and system time of a process in ticks of 10 ms.
pub(crate) fn cpu_ticks(pid: u32) -> Fallible<u64> {
    let time = process::processor_time(&pid.to_string());
    let time = time.ok_or_else(|| format!("Linux does not say what the process {pid} has used"))?;
    Ok(u64::try_from(time.as_millis() / 10)?)
}
