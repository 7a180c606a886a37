//! A crontab in words.

use super::fields::{DAY, Field, Fields, HOUR, MINUTE, MONTH, MONTHS, SECOND, WEEKDAY, WEEKDAYS, values};

/// Most times of day that are named one by one.
const MOST_TIMES: u32 = 4;

/// Such as `every Monday at 07:30` or `every 15 minutes on Sunday`.
pub(super) fn describe(fields: &Fields) -> String {
    match times_of_day(fields) {
        Some(times) => format!("{} at {times}", days(fields)),
        None if days_are_free(fields) => frequency(fields),
        None => format!("{}, {}", frequency(fields), days(fields)),
    }
}

/// `07:30 and 19:30`, when there are few.
fn times_of_day(fields: &Fields) -> Option<String> {
    let count = fields.hour.count_ones() * fields.minute.count_ones() * fields.second.count_ones();
    if count > MOST_TIMES {
        return None;
    }
    let mut times = Vec::new();
    for hour in values(fields.hour) {
        for minute in values(fields.minute) {
            for second in values(fields.second) {
                let seconds = if fields.second == 1 { String::new() } else { format!(":{second:02}") };
                times.push(format!("{hour:02}:{minute:02}{seconds}"));
            }
        }
    }
    Some(joined(&times))
}

/// `every 10 minutes of hours 3, 17 and 22`.
fn frequency(fields: &Fields) -> String {
    let hours = in_hours(fields);
    if fields.second == 1 {
        return format!("{}{hours}", every(&MINUTE, fields.minute));
    }
    let minutes = match even_step(&MINUTE, fields.minute) {
        Some(1) => String::new(),
        Some(step) => format!(" of every {} minute", nth(step)),
        None => format!(" of {}", numbered("minute", fields.minute)),
    };
    format!("{}{minutes}{hours}", every(&SECOND, fields.second))
}

/// `every minute`, `every 15 minutes`, `at minutes 0, 7 and 9`.
fn every(field: &Field, bits: u64) -> String {
    let name = field.name;
    match even_step(field, bits) {
        Some(1) => format!("every {name}"),
        Some(step) => format!("every {step} {name}s"),
        None => format!("at {}", numbered(name, bits)),
    }
}

fn in_hours(fields: &Fields) -> String {
    match even_step(&HOUR, fields.hour) {
        Some(1) if even_step(&MINUTE, fields.minute).is_some() => String::new(),
        Some(1) => " of every hour".to_owned(),
        Some(step) => format!(" of every {} hour", nth(step)),
        None => format!(" of {}", numbered("hour", fields.hour)),
    }
}

fn days_are_free(fields: &Fields) -> bool {
    fields.day == DAY.all() && fields.month == MONTH.all() && fields.weekday == WEEKDAY.all()
}

/// `every day`, `every Monday and Friday`, `Monday to Friday`, `day 2 of every month`,
/// `every Monday that is one of days 1 to 7 of every month`.
fn days(fields: &Fields) -> String {
    let weekdays = match weekdays(fields.weekday) {
        _ if fields.weekday == WEEKDAY.all() => "every day".to_owned(),
        range if range.contains(" to ") => range,
        names => format!("every {names}"),
    };
    let (all_days, all_months) = (fields.day == DAY.all(), fields.month == MONTH.all());
    let months = if all_months { "every month".to_owned() } else { months(fields) };
    let numbers = match step(&DAY, fields.day) {
        Some(step) => format!("every {} day from day 1 of {months}", nth(step)),
        None => format!("{} of {months}", numbered("day", fields.day)),
    };
    match (fields.weekday == WEEKDAY.all(), all_days) {
        (_, true) if all_months => weekdays,
        (_, true) => format!("{weekdays} in {months}"),
        (true, false) => numbers,
        (false, false) if numbers.starts_with("days") => format!("{weekdays} that is one of {numbers}"),
        (false, false) => format!("{weekdays} that is {numbers}"),
    }
}

/// Monday first, as people say it.
fn weekdays(bits: u64) -> String {
    let monday_first = (bits >> 1) | (bits & 1) << 6;
    listed(monday_first, |day| WEEKDAYS[(day as usize + 1) % 7].to_owned())
}

fn months(fields: &Fields) -> String {
    listed(fields.month, |month| MONTHS[month as usize - 1].to_owned())
}

/// `minute 5`, `days 1 to 7 and 15 to 21`.
fn numbered(name: &str, bits: u64) -> String {
    let plural = if bits.count_ones() == 1 { "" } else { "s" };
    format!("{name}{plural} {}", listed(bits, |value| value.to_string()))
}

/// Values with three or more in a row as `a to b`.
fn listed(bits: u64, show: impl Fn(u32) -> String) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for value in values(bits) {
        match runs.last_mut() {
            Some(run) if run.1 + 1 == value => run.1 = value,
            _ => runs.push((value, value)),
        }
    }
    let words = |(from, to): (u32, u32)| match to - from {
        0 => vec![show(from)],
        1 => vec![show(from), show(to)],
        _ => vec![format!("{} to {}", show(from), show(to))],
    };
    joined(&runs.into_iter().flat_map(words).collect::<Vec<_>>())
}

/// The n of a set that is what `*/n` says.
fn step(field: &Field, bits: u64) -> Option<u32> {
    let mut rest = values(bits).skip(1);
    let step = rest.next()?.checked_sub(field.low).filter(|step| *step > 1)?;
    let whole = (field.low..=field.high).step_by(step as usize).fold(0, |bits, value| bits | 1 << value);
    (bits == whole).then_some(step)
}

/// The n of a set that leaves the same time between any two of its values: 1 for all of them.
fn even_step(field: &Field, bits: u64) -> Option<u32> {
    if bits == field.all() {
        return Some(1);
    }
    step(field, bits).filter(|step| (field.high + 1).is_multiple_of(*step))
}

fn nth(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// `a`, `a and b`, `a, b and c`.
fn joined(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crontabs_read_like_a_sentence() {
        for (expression, words) in [
            ("30 7 * * 1", "every Monday at 07:30"),
            ("0 0 * * *", "every day at 00:00"),
            ("* * * * *", "every minute"),
            ("*/15 * * * *", "every 15 minutes"),
            ("*/25 * * * *", "at minutes 0, 25 and 50 of every hour"),
            ("30 * * * *", "at minute 30 of every hour"),
            ("0 */3 * * *", "at minute 0 of every 3rd hour"),
            ("* * * * sun", "every minute, every Sunday"),
            ("*/10 3,17,22 * * thu,fri", "every 10 minutes of hours 3, 17 and 22, every Thursday and Friday"),
            ("0 9,18 * * mon-fri", "Monday to Friday at 09:00 and 18:00"),
            ("0 8-17 * * *", "at minute 0 of hours 8 to 17"),
            ("0 */5 * * *", "at minute 0 of hours 0, 5, 10, 15 and 20"),
            ("0 0 2 * *", "day 2 of every month at 00:00"),
            ("0 0 1-7,15-21 * *", "days 1 to 7 and 15 to 21 of every month at 00:00"),
            ("0 0 */2 * *", "every 2nd day from day 1 of every month at 00:00"),
            ("0 0 11 5 *", "day 11 of May at 00:00"),
            ("0 0 * */3 *", "every day in January, April, July and October at 00:00"),
            ("0 12 1-7 * mon", "every Monday that is one of days 1 to 7 of every month at 12:00"),
            ("0 12 13 * fri", "every Friday that is day 13 of every month at 12:00"),
            ("* * * 5 *", "every minute, every day in May"),
            ("*/10 * * * * *", "every 10 seconds"),
            ("15 30 7 * * *", "every day at 07:30:15"),
            ("* 0 * * * *", "every second of minute 0 of every hour"),
            ("0 12 * * sat,sun", "every Saturday and Sunday at 12:00"),
        ] {
            assert_eq!(describe(&Fields::parse(expression).unwrap()), words, "{expression}");
        }
    }
}
