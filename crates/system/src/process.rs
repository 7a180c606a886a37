//! What Linux says a process costs. Elsewhere nobody says anything.

use std::fs;
use std::time::Duration;

/// Linux counts processor time for programs in hundredths of a second, whatever its own clock does.
const TICK: Duration = Duration::from_millis(10);

/// A figure of `/proc/PROCESS/status` by its name, such as `VmRSS:`, in bytes. The process is a number, or `self`.
#[must_use]
pub fn memory(process: &str, figure: &str) -> Option<u64> {
    figure_of(&fs::read_to_string(format!("/proc/{process}/status")).ok()?, figure)
}

/// Processor time of a process since its start, its own and the system's for it. The process is a number, or `self`.
#[must_use]
pub fn processor_time(process: &str) -> Option<Duration> {
    time_of(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// Whether this process ignores a signal, by its number, as it inherits that from its parent (`nohup`). Only Linux says.
#[must_use]
pub fn ignores_signal(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_signals(&status)
        .is_some_and(|mask| number > 0 && mask.checked_shr(number - 1).unwrap_or(0) & 1 == 1)
}

fn ignored_signals(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

fn figure_of(status: &str, figure: &str) -> Option<u64> {
    let said = status.lines().find_map(|line| line.strip_prefix(figure))?;
    let kibibytes: u64 = said.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1_024)
}

fn time_of(stat: &str) -> Option<Duration> {
    // The name comes first, and may have anything in it.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(TICK * user.saturating_add(system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_whatever_the_process_is_called() {
        let status = "Name:\ta VmRSS: 1 kB\nVmHWM:\t    4096 kB\nVmRSS:\t    2048 kB\n";
        assert_eq!(figure_of(status, "VmRSS:"), Some(2_048 * 1_024));
        assert_eq!(figure_of(status, "RssAnon:"), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 9 9 20 0 4 0 100 1 1";
        assert_eq!(time_of(stat), Some(Duration::from_secs(3)));
        assert_eq!(time_of("7 (a) S 1"), None);
    }

    #[test]
    fn ignored_signals_are_a_mask() {
        assert_eq!(ignored_signals("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"), Some(0x1001));
        assert_eq!(ignored_signals("Name: a\n"), None);
        assert!(!ignores_signal(0) && !ignores_signal(65));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_used_time() {
        assert!(memory("self", "VmRSS:").unwrap() > 100_000);
        let before = processor_time("self").unwrap();
        while processor_time("self").unwrap() == before {
            std::hint::spin_loop();
        }
        assert_eq!(memory("no process", "VmRSS:"), None);
    }
}
