//! The text of a crontab expression, read into the sets of values that it allows.

use super::ScheduleError;

/// What each field allows, as bits: bit n is value n.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fields {
    pub(super) second: u64,
    pub(super) minute: u64,
    pub(super) hour: u64,
    pub(super) day: u64,
    pub(super) month: u64,
    /// 0 is Sunday.
    pub(super) weekday: u64,
    /// Whether the hour was written as `*` or `*/n`.
    pub(super) open_hour: bool,
}

/// One place of the expression.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) low: u32,
    pub(super) high: u32,
    names: &'static [&'static str],
}

pub(super) static SECOND: Field = Field { name: "second", low: 0, high: 59, names: &[] };
pub(super) static MINUTE: Field = Field { name: "minute", low: 0, high: 59, names: &[] };
pub(super) static HOUR: Field = Field { name: "hour", low: 0, high: 23, names: &[] };
pub(super) static DAY: Field = Field { name: "day of month", low: 1, high: 31, names: &[] };
pub(super) static MONTH: Field = Field { name: "month", low: 1, high: 12, names: &MONTHS };
pub(super) static WEEKDAY: Field = Field { name: "weekday", low: 0, high: 6, names: &WEEKDAYS };

pub(super) static MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) static WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const FORM: &str = "five fields (minute, hour, day of month, month, weekday), six with seconds in front, \
                    or @hourly, @daily, @weekly, @monthly or @yearly";

impl Fields {
    pub(super) fn parse(expression: &str) -> Result<Self, ScheduleError> {
        let text = spelled_out(expression)?;
        let parts: Vec<&str> = text.split_ascii_whitespace().collect();
        let (second, rest) = match parts.as_slice() {
            [second, rest @ ..] if rest.len() == 5 => (*second, rest),
            rest => ("0", rest),
        };
        let [minute, hour, day, month, weekday] = rest else {
            return Err(ScheduleError::new("crontab", expression, FORM));
        };
        Ok(Self {
            second: SECOND.parse(second)?,
            minute: MINUTE.parse(minute)?,
            hour: HOUR.parse(hour)?,
            day: DAY.parse(day)?,
            month: MONTH.parse(month)?,
            weekday: WEEKDAY.parse(weekday)?,
            open_hour: hour.starts_with('*') && !hour.contains(','),
        })
    }

    /// The same for the `cron` crate: seconds first, plain numbers only, Sunday is 1.
    pub(super) fn for_cron(&self) -> String {
        let list = |field: &Field, bits: u64, add: u32| {
            if bits == field.all() {
                return "*".to_owned();
            }
            values(bits).map(|value| (value + add).to_string()).collect::<Vec<_>>().join(",")
        };
        [
            list(&SECOND, self.second, 0),
            list(&MINUTE, self.minute, 0),
            list(&HOUR, self.hour, 0),
            list(&DAY, self.day, 0),
            list(&MONTH, self.month, 0),
            list(&WEEKDAY, self.weekday, 1),
        ]
        .join(" ")
    }
}

impl Field {
    /// Every value that the field can have.
    pub(super) fn all(&self) -> u64 {
        (self.low..=self.high).fold(0, |bits, value| bits | 1 << value)
    }

    fn parse(&self, text: &str) -> Result<u64, ScheduleError> {
        text.split(',').try_fold(0, |bits, part| Ok(bits | self.parse_part(part)?))
    }

    fn parse_part(&self, part: &str) -> Result<u64, ScheduleError> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(self.parse_step(part, step)?)),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (self.low, self.high),
            Some((from, to)) => (self.parse_value(part, from)?, self.parse_value(part, to)?),
            None if step.is_some() => return Err(self.start_with_step(part, range)),
            None => {
                let value = self.parse_value(part, range)?;
                (value, value)
            }
        };
        Ok(self.walk(from, to).step_by(step.unwrap_or(1)).fold(0, |bits, value| bits | 1 << value))
    }

    /// The values of a range in their order, around the end where it wraps.
    fn walk(&self, from: u32, to: u32) -> impl Iterator<Item = u32> + use<> {
        let (low, size) = (self.low, self.high - self.low + 1);
        // Weekday 7 is Sunday again, at either end.
        let (from, to) = if from > self.high {
            (from - size, if to > self.high { to - size } else { to })
        } else {
            (from, to)
        };
        let to = if to < from { to + size } else { to };
        (from..=to).map(move |value| low + (value - low) % size)
    }

    fn parse_value(&self, part: &str, text: &str) -> Result<u32, ScheduleError> {
        let number = text.parse::<u32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        let highest = if self.is_weekday() { 7 } else { self.high };
        number
            .or_else(|| self.named(text))
            .filter(|value| (self.low..=highest).contains(value))
            .ok_or_else(|| self.error(part))
    }

    /// A name in full or by its first three letters.
    fn named(&self, text: &str) -> Option<u32> {
        let is = |name: &&str| text.eq_ignore_ascii_case(name) || text.eq_ignore_ascii_case(&name[..3]);
        let index = self.names.iter().position(is)?;
        u32::try_from(index).ok().map(|index| index + self.low)
    }

    fn parse_step(&self, part: &str, text: &str) -> Result<usize, ScheduleError> {
        let size = (self.high - self.low + 1) as usize;
        let number = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        number.filter(|step| (1..=size).contains(step)).ok_or_else(|| {
            ScheduleError::new(self.name, part, format!("a step of 1 to {size} after the `/`, such as `*/2`"))
        })
    }

    fn start_with_step(&self, part: &str, start: &str) -> ScheduleError {
        match self.parse_value(part, start) {
            Ok(_) => ScheduleError::new(
                self.name,
                part,
                format!("a range before the `/`, such as `{start}-{}{}`", self.high, &part[start.len()..]),
            ),
            Err(error) => error,
        }
    }

    fn error(&self, part: &str) -> ScheduleError {
        let Field { low, high, .. } = *self;
        let names = match self.names {
            [] => String::new(),
            _ if self.is_weekday() => ", 7 for Sunday, a name such as `mon`".to_owned(),
            _ => ", a name such as `jan`".to_owned(),
        };
        let forms =
            format!("{low} to {high}{names}, `*`, a range `a-b`, a step `*/n` or `a-b/n`, or a list of them");
        ScheduleError::new(self.name, part, forms)
    }

    fn is_weekday(&self) -> bool {
        self.high == WEEKDAY.high
    }
}

/// The values whose bits are set, smallest first.
pub(super) fn values(bits: u64) -> impl Iterator<Item = u32> {
    (0..64).filter(move |value| bits >> value & 1 == 1)
}

fn spelled_out(expression: &str) -> Result<&str, ScheduleError> {
    match expression.trim() {
        "@yearly" | "@annually" => Ok("0 0 1 1 *"),
        "@monthly" => Ok("0 0 1 * *"),
        "@weekly" => Ok("0 0 * * 0"),
        "@daily" | "@midnight" => Ok("0 0 * * *"),
        "@hourly" => Ok("0 * * * *"),
        text if text.starts_with('@') => Err(ScheduleError::new("crontab", expression, FORM)),
        text => Ok(text),
    }
}
