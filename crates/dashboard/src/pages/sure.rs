//! A question before something is done that is destructive or big: what will happen, one button, and a way back.

use maud::{Markup, html};

use super::kit::{Table, prose};
use super::{Nav, Page, Url};
use crate::act::sure::{Confirm, Lines, Sure};
use crate::call::Call;
use crate::dispatch::is_local;

/// The question about what a form asked for. Its fields come back with the answer; only the token is that of this page.
pub(crate) fn page(call: &Call, path: &str, sure: Sure) -> Page {
    let Sure { title, words, lines, button, is_danger, confirm } = sure;
    let asked =
        call.input.fields().filter(|(name, text)| !["csrf", "confirm"].contains(name) && !text.is_empty());
    let back = call.input.get("back").filter(|back| is_local(back)).unwrap_or("/");
    Page::new(nav(path), title).head(html! {
        p.explanation { (prose(&words)) }
        (table(lines))
        form.below method="post" action=(Url::new(&call.app.base, path)) {
            input type="hidden" name="csrf" value=(call.csrf());
            @for (name, text) in asked { input type="hidden" name=(name) value=(text); }
            @match confirm {
                Confirm::Pressed => { input type="hidden" name="confirm" value="yes"; }
                Confirm::Typed(word) => {
                    div.field {
                        label for="confirm" { "To confirm, type: " (word) }
                        input id="confirm" name="confirm" type="text" required autocomplete="off" autocapitalize="off" spellcheck="false";
                    }
                }
            }
            div.acts {
                button.main[!is_danger].danger[is_danger] type="submit" { (button) }
                a.button href=(Url::new(&call.app.base, back)) { "No, go back" }
            }
        }
    })
}

fn table(lines: Lines) -> Markup {
    let [first, second, number] = lines.head;
    let table = Table::new("What this concerns").text(first).text(second);
    let mut table = if lines.are_counted { table.number(number) } else { table.text(number) };
    for row in lines.rows {
        table.row(row.map(|text| html! { (text) }));
    }
    if table.is_empty() {
        html! {}
    } else {
        table.show()
    }
}

fn nav(path: &str) -> Nav {
    match path.split('/').nth(1) {
        Some("finished") => Nav::Finished,
        Some("dead") => Nav::Dead,
        Some("queues") => Nav::Queues,
        Some("schedules") => Nav::Schedules,
        _ => Nav::None,
    }
}
