//! What Linux says a process costs.

use crate::Fallible;

/// A figure of `/proc/PID/status` by its name, such as `VmRSS:`.
pub(crate) fn memory_mib(pid: u32, what: &str) -> Fallible<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kib: f64 = line.and_then(|rest| rest.split_whitespace().next()).unwrap_or("0").parse()?;
    Ok(kib / 1_024.0)
}

/// User and system time of a process in ticks.
pub(crate) fn cpu_ticks(pid: u32) -> Fallible<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    Ok(after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum())
}
