//! Differences between two versions of a page's HTML.

use std::collections::HashMap;

use serde_json::Value;

/// The difference from one text to another, as the script of the dashboard applies it: a flat JSON list of texts to insert and
/// of pairs of numbers, each the first part and the count of parts to copy from the old text. Parts are tags and the texts
/// between them.
///
/// `None`: the difference is no shorter than the new text.
pub(super) fn delta(old: &str, new: &str) -> Option<String> {
    let (old, new_parts) = (parts(old), parts(new));
    let mut places: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
    for (place, pair) in pairs(&old).enumerate() {
        places.entry(pair).or_default().push(place);
    }
    let mut operations = Operations::default();
    let mut expected = 0;
    for (place, part) in new_parts.iter().enumerate() {
        if old.get(expected) != Some(part) {
            let next = new_parts.get(place + 1).copied().unwrap_or_default();
            match places.get(&(*part, next)).and_then(|places| nearest(places, expected)) {
                Some(found) => expected = found,
                None => {
                    operations.insert(part);
                    expected += 1;
                    continue;
                }
            }
        }
        operations.copy(expected);
        expected += 1;
    }
    let json = Value::Array(operations.done()).to_string();
    (json.len() < new.len()).then_some(json)
}

/// The text in parts: each ends before a `<`, or after the `>` that follows it.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_first = rest.get(first.len_utf8()..).unwrap_or_default();
        let end = if first == '<' { after_first.find(['<', '>']) } else { after_first.find('<') };
        let end = end.map_or(rest.len(), |end| {
            let end = end + first.len_utf8();
            if rest.get(end..).is_some_and(|from| from.starts_with('>')) { end + 1 } else { end }
        });
        let (part, next) = rest.split_at(end);
        parts.push(part);
        rest = next;
    }
    parts
}

/// Each part with the next one: a part alone, such as `</td>`, is in many places.
fn pairs<'a>(parts: &'a [&'a str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    parts.iter().zip(parts.iter().skip(1).chain([&""])).map(|(part, next)| (*part, *next))
}

/// The place that is nearest to an expected one, in an ascending list.
fn nearest(places: &[usize], expected: usize) -> Option<usize> {
    let after = places.partition_point(|place| *place < expected);
    let candidates = [after.checked_sub(1).and_then(|before| places.get(before)), places.get(after)];
    candidates.into_iter().flatten().copied().min_by_key(|place| place.abs_diff(expected))
}

#[derive(Default)]
struct Operations {
    done: Vec<Value>,
    /// First part and count of a copy that goes on.
    copy: Option<(usize, usize)>,
    text: String,
}

impl Operations {
    fn insert(&mut self, text: &str) {
        self.end_copy();
        self.text.push_str(text);
    }

    fn copy(&mut self, place: usize) {
        if let Some((first, count)) = &mut self.copy
            && *first + *count == place
        {
            *count += 1;
            return;
        }
        self.end_copy();
        self.end_text();
        self.copy = Some((place, 1));
    }

    fn end_copy(&mut self) {
        if let Some((first, count)) = self.copy.take() {
            self.done.extend([Value::from(first), Value::from(count)]);
        }
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.done.push(Value::from(std::mem::take(&mut self.text)));
        }
    }

    fn done(mut self) -> Vec<Value> {
        self.end_copy();
        self.end_text();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the script of the dashboard does.
    fn apply(old: &str, delta: &str) -> String {
        let parts = parts(old);
        let Value::Array(operations) = serde_json::from_str(delta).unwrap() else { panic!("{delta}") };
        let mut operations = operations.into_iter();
        let mut text = String::new();
        while let Some(operation) = operations.next() {
            if let Value::String(inserted) = &operation {
                text.push_str(inserted);
                continue;
            }
            let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
            let (first, count) = (number(&operation), number(&operations.next().unwrap()));
            text.push_str(&parts[first..first + count].concat());
        }
        text
    }

    /// The script of the dashboard splits by the pattern `<[^<>]*>?|[^<]+`.
    #[test]
    fn parts_are_those_of_the_script() {
        assert!(parts("").is_empty());
        assert_eq!(parts("<p>x</p>"), ["<p>", "x", "</p>"]);
        assert_eq!(parts("é<"), ["é", "<"]);
        assert_eq!(parts("<<p>>y>z<b"), ["<", "<p>", ">y>z", "<b"]);
    }

    #[test]
    fn one_changed_cell_costs_a_few_bytes() {
        let table = |changed: usize| -> String {
            let row = |n: usize| format!("<tr><td>queue-{n}</td><td>{}</td></tr>", n * changed);
            (0..200).map(|n| if n == 100 { row(n) } else { row(n).replace("00", "0") }).collect()
        };
        let delta = delta(&table(1), &table(7)).unwrap();
        assert_eq!(apply(&table(1), &delta), table(7));
        let ages = |age: usize| -> String {
            (0..170).map(|n| format!("<tr><td>queue-{n}</td><td>{age} s</td></tr>")).collect()
        };
        let delta = super::delta(&ages(3), &ages(5)).unwrap();
        assert_eq!(apply(&ages(3), &delta), ages(5));
        assert!(delta.len() < 170 * 16, "{}", delta.len());
    }

    #[test]
    fn inserted_and_removed_rows_are_all_that_is_sent() {
        let rows = |names: std::ops::Range<usize>| -> String {
            names.map(|n| format!("<tr><td>queue-{n}</td><td class=\"num\">{n}</td></tr>")).collect()
        };
        for (old, new) in
            [(rows(1..900), rows(0..900)), (rows(0..900), rows(5..900)), (rows(0..900), rows(0..901))]
        {
            let delta = delta(&old, &new).unwrap();
            assert_eq!(apply(&old, &delta), new);
            assert!(delta.len() < 100, "{delta}");
        }
    }

    #[test]
    fn other_texts_are_sent_whole() {
        assert_eq!(delta("<p>old</p>", "<b>x"), None);
        assert_eq!(delta("", ""), None);
    }

    proptest! {
        #[test]
        fn a_delta_leads_from_the_old_text_to_the_new(
            old in proptest::collection::vec(0_usize..6, 0..60),
            new in proptest::collection::vec(0_usize..6, 0..60),
        ) {
            const PARTS: [&str; 6] = ["<td>", "</td>", "text", "<tr>\"\\é", "<", "</tr>\n"];
            let text = |parts: &[usize]| parts.iter().map(|part| PARTS[*part]).collect::<String>();
            let (old, new) = (text(&old), text(&new));
            if let Some(delta) = delta(&old, &new) {
                prop_assert_eq!(apply(&old, &delta), new);
            }
        }
    }
}
