//! Did you mean …?

/// The candidate that is nearest to what was written, where one is near enough to be a slip.
#[must_use]
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = (written.len() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| {
            let part =
                written.len() >= 4 && (candidate.starts_with(written) || written.starts_with(candidate));
            (if part { 1 } else { distance(written, candidate) }, candidate)
        })
        .filter(|(distance, _)| *distance <= near)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, removed or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_nothing_else() {
        let keys = ["broker", "results", "concurrency", "log_level"];
        assert_eq!(nearest("broker_url", keys), Some("broker"));
        assert_eq!(nearest("concurency", keys), Some("concurrency"));
        assert_eq!(nearest("loglevel", keys), Some("log_level"));
        assert_eq!(nearest("zebra", keys), None);
    }
}
