//! What people read: progress, and the verdict as a table for the docs.

use lovage_drill::judge::Line;

/// A line for the person at the terminal.
#[expect(clippy::print_stderr, reason = "a command line tool")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// The table, and the cases of what is broken.
#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
pub(crate) fn print(title: &str, lines: &[Line]) {
    println!("{}", table(title, lines));
    for line in lines.iter().filter(|line| !line.kept) {
        println!("\nBROKEN: {} (promised: {})", line.what.trim_start_matches(['…', ' ']), line.promise);
        line.cases.iter().filter(|case| !case.is_empty()).for_each(|case| println!("  {case}"));
    }
    let broken = lines.iter().filter(|line| !line.kept).count();
    println!(
        "\n{}",
        if broken == 0 {
            "every promise is kept".to_owned()
        } else {
            format!("{broken} promises are broken")
        }
    );
}

fn table(title: &str, lines: &[Line]) -> String {
    let head = [title, "found", "promised"].map(str::to_owned);
    let row = |line: &Line| {
        let mark = match (line.promise.is_empty(), line.kept) {
            (true, _) => String::new(),
            (false, true) => line.promise.clone(),
            (false, false) => format!("BROKEN: {}", line.promise),
        };
        [line.what.clone(), line.found.clone(), mark]
    };
    let rows: Vec<[String; 3]> = std::iter::once(head).chain(lines.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let show = |row: &[String; 3]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("| {cell:width$} "));
        format!("{}|", cells.collect::<String>())
    };
    let rule: String = widths.iter().map(|width| format!("|{}", "-".repeat(width + 2))).collect();
    let mut shown: Vec<String> = rows.iter().map(show).collect();
    shown.insert(1, format!("{rule}|"));
    shown.join("\n")
}
