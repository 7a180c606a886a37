//! Arguments as fields of a form, one for each parameter of a task, or as JSON where that is not possible.

mod field;
mod json;

use std::collections::BTreeSet;

use lovage_core::{HIDDEN, Parameter, RedactedArg, TaskInfo, lay_out, nearest};
use serde_json::Value;

use crate::call::Input;
use crate::look::registered::Registered;

pub(crate) use field::{Field, Sight};
pub(crate) use json::Json;

/// Before the name of a parameter: the field of an argument.
pub(crate) const ARGUMENT: &str = "arg:";
/// The signature whose fields a form shows.
pub(crate) const SIGNATURE: &str = "signature";
/// The task whose signature it is.
pub(crate) const OF: &str = "signature_of";
/// There where the arguments were by name, and stay so.
pub(crate) const BY_NAME: &str = "by_name";
/// `json` for who prefers it.
pub(crate) const WRITE_AS: &str = "write_as";

/// What of arguments must not be seen: it never goes back into a page, also where somebody has just written it.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Unseen<'a> {
    pub(crate) marks: &'a [RedactedArg],
    /// Whether what was hidden is known, so that it may stay as it was.
    pub(crate) is_kept: bool,
}

/// What a form shows for arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Arguments {
    pub(crate) shape: Shape,
    /// Why it is so, or what was left out.
    pub(crate) note: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    Fields(Typed),
    Json {
        json: Json,
        /// Whether there could be fields.
        could_be_fields: bool,
    },
}

/// A field for each parameter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Typed {
    pub(crate) task: String,
    pub(crate) signature: String,
    pub(crate) by_name: bool,
    pub(crate) fields: Vec<Field>,
}

impl Unseen<'_> {
    /// Whether the argument of this place or this name is hidden: of two releases, either.
    pub(crate) fn has(self, index: usize, name: &str) -> bool {
        self.marks.iter().any(|mark| usize::from(mark.index) == index || mark.name == name)
    }

    fn sight(self, index: usize, name: &str) -> Sight {
        let is_hidden = self.has(index, name);
        match (is_hidden, self.is_kept) {
            (false, _) => Sight::Open,
            (true, true) => Sight::Kept,
            (true, false) => Sight::Lost,
        }
    }
}

impl Arguments {
    /// What belongs into a form with this input, by what live workers can run.
    pub(crate) fn of(input: &Input, tasks: &[Registered], hidden: Unseen<'_>) -> Self {
        let task = input.get("task");
        let sent = Typed::sent(input, hidden);
        let json = || sent.as_ref().map_or_else(|| Json::sent(input), Typed::shown);
        let as_json = |could_be_fields, note| {
            let unshown = sent.as_ref().and_then(Typed::unshown);
            let note = [note, unshown].into_iter().flatten().reduce(|one, other| format!("{one} {other}"));
            Self { shape: Shape::Json { json: json(), could_be_fields }, note }
        };
        let known = match known(task, tasks) {
            Ok(known) => known,
            // Its workers may have gone while somebody typed.
            Err(why) => match &sent {
                Some(sent) if Some(sent.task.as_str()) == task => {
                    return Self { shape: Shape::Fields(sent.clone()), note: Some(why) };
                }
                Some(_) | None => return as_json(false, Some(why)),
            },
        };
        if input.get(WRITE_AS) == Some("json") {
            return as_json(true, None);
        }
        match (&sent, known.laid_out(&json(), hidden)) {
            (Some(sent), _) => {
                let fields = known.with_texts(input, hidden);
                let note = sent.lost_in(&fields);
                Self { shape: Shape::Fields(fields), note }
            }
            (None, Ok(fields)) => Self { shape: Shape::Fields(fields), note: None },
            (None, Err(why)) => {
                as_json(true, Some(format!("These arguments do not fit the fields of the task: {why}.")))
            }
        }
    }

    /// The same for a page: what must not be seen does not go back into it, also where somebody has just written it.
    /// `before`: the arguments, as they may be seen, where none were sent.
    pub(crate) fn for_page(input: &Input, tasks: &[Registered], unseen: Unseen<'_>, before: &str) -> Self {
        let (json, is_changed) = match Self::are_sent(input) {
            true => Json::sent(input).shown(unseen, before),
            false => (Json::of(before), false),
        };
        let mut shown = Input::new(vec![("args".to_owned(), json.args), ("kwargs".to_owned(), json.kwargs)]);
        shown.join(input.clone());
        let mut arguments = Self::of(&shown, tasks, unseen);
        if is_changed {
            let why = "What was written is not shown again where an argument is hidden: write it again.";
            arguments.note = Some(arguments.note.map_or(why.to_owned(), |note| format!("{note} {why}")));
        }
        arguments
    }

    /// The arguments that were sent, to be saved.
    ///
    /// # Errors
    /// Why the form has to come back.
    pub(crate) fn settled(input: &Input, tasks: &[Registered], hidden: Unseen<'_>) -> Result<Json, String> {
        let Some(sent) = Typed::sent(input, hidden) else { return Ok(Json::sent(input)) };
        let task = input.get("task").unwrap_or_default();
        if sent.task != task {
            return Err(format!(
                "the arguments were written for `{}`: look at those of `{task}` first",
                sent.task
            ));
        }
        let params = || sent.fields.iter().map(|field| &field.param);
        if known(Some(task), tasks).is_ok_and(|known| known.params.iter().ne(params())) {
            return Err(format!("`{task}` takes other arguments meanwhile: look at them first"));
        }
        let wrong: Vec<String> = sent
            .fields
            .iter()
            .filter(|field| field.json().is_err())
            .map(|field| format!("`{}`", field.param.name))
            .collect();
        if wrong.is_empty() { Ok(sent.loosely()) } else { Err(format!("not valid is {}", wrong.join(", "))) }
    }

    /// Whether an input has arguments, written one by one or as JSON.
    pub(crate) fn are_sent(input: &Input) -> bool {
        input.fields().any(|(name, _)| [OF, "args", "kwargs"].contains(&name))
    }

    /// The parameters whose fields an input has, or else those that live workers agree on.
    pub(crate) fn parameters(input: &Input, task: &str, tasks: &[Registered]) -> Option<Vec<Parameter>> {
        let sent = Typed::sent(input, Unseen::default()).filter(|sent| sent.task == task);
        match sent {
            Some(sent) => Some(sent.fields.into_iter().map(|field| field.param).collect()),
            None => known(Some(task), tasks).ok().map(|known| known.params),
        }
    }
}

impl Typed {
    /// The fields that a form had.
    fn sent(input: &Input, hidden: Unseen<'_>) -> Option<Self> {
        let (task, signature) = (input.get(OF)?, input.get(SIGNATURE)?);
        Known::read(task, signature).map(|known| known.with_texts(input, hidden))
    }

    /// To be written on as JSON.
    fn shown(&self) -> Json {
        if self.fields.iter().all(Field::is_empty) {
            return Json::none();
        }
        let mut shown = self.clone();
        for field in shown.fields.iter_mut().filter(|field| field.is_unshown()) {
            HIDDEN.clone_into(&mut field.text);
        }
        shown.loosely()
    }

    /// That something written here does not come back.
    fn unshown(&self) -> Option<String> {
        let names = self.fields.iter().filter(|field| field.is_unshown());
        let names: Vec<String> = names.map(|field| format!("`{}`", field.param.name)).collect();
        (!names.is_empty())
            .then(|| format!("What was written for {} is hidden: write it again.", names.join(", ")))
    }

    /// As JSON. What is not valid stays as a text, so that nothing is lost.
    fn loosely(&self) -> Json {
        let value = |field: &Field| match field.json() {
            Ok(json) => json,
            Err(_) if field.is_empty() => None,
            Err(_) => Some(Value::from(field.text.as_str()).to_string()),
        };
        let values: Vec<Option<String>> = self.fields.iter().map(value).collect();
        let given = values.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        // By position nothing but a null can stand for what is left out.
        let has_gap = self
            .fields
            .iter()
            .zip(&values)
            .take(given)
            .any(|(field, value)| value.is_none() && !field.may_be_null());
        if self.by_name || has_gap {
            let named = self.fields.iter().zip(values).filter_map(|(field, value)| {
                Some(format!("{}: {}", Value::from(field.param.name.as_str()), value?))
            });
            return Json { kwargs: format!("{{{}}}", named.collect::<Vec<_>>().join(", ")), ..Json::none() };
        }
        let placed = values.into_iter().take(given).map(|value| value.unwrap_or_else(|| "null".to_owned()));
        Json { args: format!("[{}]", placed.collect::<Vec<_>>().join(", ")), ..Json::none() }
    }

    /// What was written here and has no place in other fields.
    fn lost_in(&self, others: &Self) -> Option<String> {
        let kept: BTreeSet<&str> = others.fields.iter().map(|field| field.param.name.as_str()).collect();
        let lost =
            self.fields.iter().filter(|field| !field.is_empty() && !kept.contains(field.param.name.as_str()));
        let told = |field: &Field| {
            let was =
                if field.is_unshown() { String::new() } else { format!(", which was `{}`", field.text) };
            format!("`{}`{was}", field.param.name)
        };
        let lost: Vec<String> = lost.map(told).collect();
        (!lost.is_empty()).then(|| format!("{} does not take {}.", others.task, lost.join(" and ")))
    }
}

/// A task whose parameters are known.
struct Known {
    task: String,
    signature: String,
    params: Vec<Parameter>,
}

impl Known {
    fn read(task: &str, signature: &str) -> Option<Self> {
        let info =
            TaskInfo { name: task.to_owned(), signature: signature.to_owned(), redacted: None, queue: None };
        let params = info.parameters()?;
        Some(Self { task: info.name, signature: info.signature, params })
    }

    /// With what an input has for the parameters, by their names.
    fn with_texts(&self, input: &Input, hidden: Unseen<'_>) -> Typed {
        let text = |param: &Parameter| {
            input.raw(&format!("{ARGUMENT}{}", param.name)).unwrap_or_default().to_owned()
        };
        let field = |(index, param): (usize, &Parameter)| Field {
            text: text(param),
            sight: hidden.sight(index, &param.name),
            param: param.clone(),
        };
        let fields = self.params.iter().enumerate().map(field);
        self.typed(input.get(BY_NAME).is_some(), fields.collect())
    }

    /// With arguments of JSON.
    fn laid_out(&self, json: &Json, hidden: Unseen<'_>) -> Result<Typed, String> {
        let values = lay_out(&self.params, json.whole()?)?;
        let field = |(index, (param, value)): (usize, (&Parameter, Option<&str>))| {
            Field::of(param.clone(), value, hidden.sight(index, &param.name))
                .ok_or_else(|| format!("`{}` is not a valid {}", param.name, param.type_name))
        };
        let fields = self.params.iter().zip(values).enumerate().map(field);
        Ok(self.typed(json.by_name(), fields.collect::<Result<_, _>>()?))
    }

    fn typed(&self, by_name: bool, fields: Vec<Field>) -> Typed {
        Typed { task: self.task.clone(), signature: self.signature.clone(), by_name, fields }
    }
}

/// What a task takes, or why nobody knows.
fn known(task: Option<&str>, tasks: &[Registered]) -> Result<Known, String> {
    let Some(task) = task else {
        return Err(
            "With a task that live workers know, there is a field for each of its arguments.".to_owned()
        );
    };
    let Some(found) = tasks.iter().find(|found| found.name == task) else {
        return Err(unknown(task, tasks));
    };
    let mut known = found.signatures.iter().map(|signature| {
        Known::read(task, signature).ok_or_else(|| {
            format!("What `{task}` takes is told in a way that is not understood here: `{signature}`.")
        })
    });
    let first = known.next().unwrap_or_else(|| Err(unknown(task, tasks)))?;
    for other in known {
        if other?.params != first.params {
            return Err(format!(
                "The live workers disagree on what `{task}` takes: {}.",
                found
                    .signatures
                    .iter()
                    .map(|signature| format!("`{signature}`"))
                    .collect::<Vec<_>>()
                    .join(" or ")
            ));
        }
    }
    Ok(first)
}

fn unknown(task: &str, tasks: &[Registered]) -> String {
    match nearest(task, tasks.iter().map(|task| task.name.as_str())) {
        _ if tasks.is_empty() => "No worker is alive that could say which arguments a task takes.".to_owned(),
        Some(near) => format!("No live worker knows `{task}`: did you mean `{near}`?"),
        None => format!("No live worker knows `{task}`."),
    }
}

#[cfg(test)]
mod tests;
