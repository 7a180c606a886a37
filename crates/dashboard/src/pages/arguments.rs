//! The arguments of a task within a form: a field for each, or JSON.

use lovage_core::ParameterKind;
use maud::{Markup, html};

use super::kit::prose;
use crate::typed::{ARGUMENT, Arguments, BY_NAME, Field, Json, OF, SIGNATURE, Shape, Sight, Typed, WRITE_AS};

/// Where the arguments stand in their form.
pub(super) const PLACE: &str = "arguments";
/// Where it says what is wrong with JSON, by position and by name.
const JSON_ERRORS: [&str; 2] = ["args-error", "kwargs-error"];

/// What the fields look like: the script changes them only where this changes.
pub(super) fn look(arguments: &Arguments) -> String {
    let note = arguments.note.as_deref().unwrap_or_default();
    match &arguments.shape {
        Shape::Fields(typed) => format!("{} {} {note}", typed.task, typed.signature),
        Shape::Json { could_be_fields, .. } => format!("json {could_be_fields} {note}"),
    }
}

/// The fields. `is_sent`: somebody wants to save them, so that what is missing is wrong, too. `why`: what is wrong with all
/// of them.
pub(super) fn fields(arguments: &Arguments, is_sent: bool, why: Option<&str>) -> Markup {
    html! {
        @if let Some(note) = &arguments.note { p.soft.wide { (prose(note)) } }
        @match &arguments.shape {
            Shape::Fields(typed) => (one_each(typed, is_sent)),
            Shape::Json { json, could_be_fields } => {
                (as_json(json, why))
                @if *could_be_fields { (choice(true)) }
            }
        }
    }
}

/// What is wrong with each field, by its place: for the script.
pub(super) fn errors(arguments: &Arguments) -> Vec<(String, String)> {
    match &arguments.shape {
        Shape::Fields(typed) => {
            let error = |field: &Field| wrong(field, false).unwrap_or_default();
            typed.fields.iter().enumerate().map(|(place, field)| (error_id(place), error(field))).collect()
        }
        Shape::Json { json, .. } => {
            let wrong = json.wrong().map(|why| why.unwrap_or_default().to_owned());
            JSON_ERRORS.map(str::to_owned).into_iter().zip(wrong).collect()
        }
    }
}

fn one_each(typed: &Typed, is_sent: bool) -> Markup {
    html! {
        input type="hidden" name=(OF) value=(typed.task);
        input type="hidden" name=(SIGNATURE) value=(typed.signature);
        @if typed.by_name { input type="hidden" name=(BY_NAME) value="yes"; }
        @if typed.fields.is_empty() { p.soft.wide { code { (typed.task) } " takes no arguments." } }
        @for (place, field) in typed.fields.iter().enumerate() { (one(place, field, is_sent)) }
        @if !typed.fields.is_empty() { (choice(false)) }
    }
}

fn one(place: usize, field: &Field, is_sent: bool) -> Markup {
    let id = format!("arg-{place}");
    let (hint_id, error_id) = (format!("{id}-hint"), error_id(place));
    let wrong = wrong(field, is_sent);
    html! {
        div.field.wide[is_long(field)] {
            label for=(id) { (field.param.name) }
            (entry(&id, field, wrong.is_some()))
            small id=(hint_id) { (hint(field)) }
            small.wrong id=(error_id) { (prose(wrong.as_deref().unwrap_or_default())) }
        }
    }
}

/// What somebody writes into.
fn entry(id: &str, field: &Field, is_wrong: bool) -> Markup {
    let name = format!("{ARGUMENT}{}", field.param.name);
    let text = if field.is_unshown() { "" } else { field.text.as_str() };
    let described = format!("{id}-hint {id}-error");
    let wrong = is_wrong.then_some("true");
    let may_be_empty = *field.kind() == ParameterKind::Text && field.sight == Sight::Open;
    let required = !field.param.optional && !may_be_empty;
    // A number field shows nothing but numbers, and what was typed is not to be lost.
    let kind = if text.is_empty() || text.trim().parse::<f64>().is_ok_and(f64::is_finite) {
        "number"
    } else {
        "text"
    };
    html! {
        @match field.kind() {
            ParameterKind::Integer { least, most } => {
                input id=(id) name=(name) type=(kind) inputmode="numeric" step="1" min=(least) max=(most) value=(text) required[required]
                    autocomplete="off" aria-invalid=[wrong] aria-describedby=(described);
            }
            ParameterKind::Float => {
                input id=(id) name=(name) type=(kind) inputmode="decimal" step="any" value=(text) required[required]
                    autocomplete="off" aria-invalid=[wrong] aria-describedby=(described);
            }
            ParameterKind::Bool => {
                select id=(id) name=(name) required[required] aria-invalid=[wrong] aria-describedby=(described) {
                    option value="" { (if required { "choose" } else { "nothing" }) }
                    @for value in ["true", "false"] { option value=(value) selected[text == value] { (value) } }
                    @if !matches!(text, "" | "true" | "false") { option value=(text) selected { (text) } }
                }
            }
            ParameterKind::Text | ParameterKind::Char if !is_long(field) => {
                input id=(id) name=(name) value=(text) required[required]
                    autocomplete="off" spellcheck="false" aria-invalid=[wrong] aria-describedby=(described);
            }
            ParameterKind::Text
            | ParameterKind::Char
            | ParameterKind::Long
            | ParameterKind::Unit
            | ParameterKind::Option(_)
            | ParameterKind::List(_)
            | ParameterKind::Map(_)
            | ParameterKind::Tuple(_)
            | ParameterKind::Other => {
                textarea id=(id) name=(name) rows="3" required[required] spellcheck="false" aria-invalid=[wrong] aria-describedby=(described) {
                    // A page drops the first line break.
                    "\n" (text)
                }
            }
        }
    }
}

fn is_long(field: &Field) -> bool {
    match field.kind() {
        ParameterKind::Integer { .. } | ParameterKind::Float | ParameterKind::Bool => false,
        ParameterKind::Text | ParameterKind::Char => field.text.contains('\n'),
        ParameterKind::Long
        | ParameterKind::Unit
        | ParameterKind::Option(_)
        | ParameterKind::List(_)
        | ParameterKind::Map(_)
        | ParameterKind::Tuple(_)
        | ParameterKind::Other => true,
    }
}

fn hint(field: &Field) -> Markup {
    let range = if let ParameterKind::Integer { least, most } = field.kind()
        && *most <= u32::MAX.into()
    {
        format!(", {least} to {most}")
    } else {
        String::new()
    };
    let json = if is_long(field) && *field.kind() != ParameterKind::Text { ", as JSON" } else { "" };
    html! {
        code { (field.param.type_name) } (range) (json)
        @match field.sight {
            Sight::Open => {}
            Sight::Kept => "; hidden, and stays as it was unless it is written anew"
            Sight::Lost => "; hidden"
        }
        @if field.param.optional { "; may be left empty" @if !field.may_be_null() { ", then the task's own default is taken" } }
    }
}

fn wrong(field: &Field, is_sent: bool) -> Option<String> {
    if field.is_empty() && !is_sent {
        return None;
    }
    let unshown = || "what was written is hidden and not shown again: write it again".to_owned();
    field.json().err().or_else(|| (is_sent && field.is_unshown()).then(unshown))
}

fn error_id(place: usize) -> String {
    format!("arg-{place}-error")
}

fn as_json(json: &Json, why: Option<&str>) -> Markup {
    let [mut args, mut kwargs] = json.wrong();
    if args.is_none() && kwargs.is_none() {
        *(if json.by_name() { &mut kwargs } else { &mut args }) = why;
    }
    let [args_error, kwargs_error] = JSON_ERRORS;
    html! {
        div.field {
            label for="args" { "Arguments by position" }
            textarea #args name="args" rows="2" spellcheck="false" placeholder="[16, 16]"
                aria-invalid=[args.map(|_| "true")] aria-describedby={ "args-hint " (args_error) } { (json.args) }
            small #args-hint { "A JSON list" }
            small.wrong #(args_error) { (prose(args.unwrap_or_default())) }
        }
        div.field {
            label for="kwargs" { "Arguments by name" }
            textarea #kwargs name="kwargs" rows="2" spellcheck="false" placeholder="{\"x\": 16}"
                aria-invalid=[kwargs.map(|_| "true")] aria-describedby={ "kwargs-hint " (kwargs_error) } { (json.kwargs) }
            small #kwargs-hint { "A JSON object, where none are given by position" }
            small.wrong #(kwargs_error) { (prose(kwargs.unwrap_or_default())) }
        }
    }
}

fn choice(as_json: bool) -> Markup {
    html! {
        div.field {
            label for=(WRITE_AS) { "Arguments are written" }
            select id=(WRITE_AS) name=(WRITE_AS) {
                option value="fields" selected[!as_json] { "one by one" }
                option value="json" selected[as_json] { "as JSON" }
            }
        }
    }
}
