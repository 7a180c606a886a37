//! What summer time did to a slot, for people who look at the next ones.

use super::Crontab;
use super::zone::Wall;
use crate::Timestamp;

impl Crontab {
    /// In words; `None` for a slot to which nothing happened. What is no slot has no meaningful remark.
    pub(super) fn remark(&self, slot: Timestamp) -> Option<String> {
        let at = slot.as_micros().div_euclid(1_000_000);
        self.skipped(at).or_else(|| self.repeated(at))
    }

    /// Whether matching times were skipped by a gap, and this is the first slot after it.
    fn skipped(&self, at: i64) -> Option<String> {
        let turn = self.zone().turn_before(at)?;
        let gap = turn + self.zone().offset(turn - 1)..turn + self.zone().offset(turn);
        let exists = |wall: &i64| self.zone().first_instant(*wall).is_some();
        let mut walls = std::iter::successors(self.next_wall(gap.start - 1), |wall| self.next_wall(*wall))
            .take_while(|wall| gap.contains(wall))
            .filter(exists);
        let first = walls.next()?;
        let last = walls.last();
        let before = Timestamp::from_micros((turn - 1).saturating_mul(1_000_000));
        if self.next_after(before)?.as_micros() != at.checked_mul(1_000_000)? {
            return None;
        }
        let (times, do_not) = match last {
            Some(last) => (format!("{} to {}", Wall(first).time(), Wall(last).time()), "do not exist"),
            None => (Wall(first).time(), "does not exist"),
        };
        let date = Wall(first).date();
        Some(if self.is_open() {
            format!("{times} {do_not} on {date} and {} skipped", if last.is_some() { "are" } else { "is" })
        } else {
            let once = if last.is_some() { "fire once" } else { "fires" };
            format!("{times} {do_not} on {date}, {once} at {}", Wall(gap.end).time())
        })
    }

    /// Whether the clocks show the slot's time twice.
    fn repeated(&self, at: i64) -> Option<String> {
        let wall = at + self.zone().offset(at);
        let first = self.zone().first_instant(wall)?;
        let time = Wall(wall).time();
        if first < at {
            return Some(format!("second of two {time}"));
        }
        let (turn, offset_then) = self.zone().turns_after(at).next()?;
        let again = wall - offset_then >= turn;
        let once = if self.is_open() { "" } else { ", fires once" };
        again.then(|| format!("first of two {time}{once}"))
    }
}
