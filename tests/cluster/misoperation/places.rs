//! Where a spec can be changed: the fields of the schema, found in a spec that has them.
//!
//! In: the schema of the spec, a spec. Out: one [`Place`] for each field that has a parent in that spec.
//!
//! **Invariant:** nothing here knows a field by its name; a field that the schema gains is found.

use serde_json::{Map, Value, json};

/// One change of a spec; without a value what is there is removed.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Names of members and numbers of entries, from the top.
    pub steps: Vec<String>,
    /// What is put there.
    pub value: Option<Value>,
}

/// A field in a spec.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its path in the schema: `[]` for an entry of a list, `{}` for a value of a map.
    pub path: String,
    /// Where it is in the spec.
    pub steps: Vec<String>,
    /// Its schema.
    pub schema: Map<String, Value>,
    /// What the spec has there.
    pub value: Option<Value>,
    /// The enumerations beside it, by name: what they say may decide whether it has a place.
    pub beside: Vec<(String, Vec<Value>)>,
    /// What has to be changed first, so that its parent is there.
    pub context: Vec<Edit>,
}

impl Edit {
    /// Puts a value in a place, or removes what is there.
    pub fn new(steps: &[String], value: Option<Value>) -> Self {
        Self { steps: steps.to_vec(), value }
    }

    /// Changes a spec; nothing happens where the parent is not there.
    pub fn apply(&self, spec: &mut Value) {
        let Some((last, parents)) = self.steps.split_last() else {
            *spec = self.value.clone().unwrap_or(Value::Null);
            return;
        };
        let parent = parents.iter().try_fold(spec, |at, step| match at {
            Value::Object(members) => members.get_mut(step),
            Value::Array(entries) => entries.get_mut(step.parse::<usize>().ok()?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        });
        match (parent, &self.value) {
            (Some(Value::Object(members)), Some(value)) => {
                members.insert(last.clone(), value.clone());
            }
            (Some(Value::Object(members)), None) => drop(members.remove(last)),
            (Some(Value::Array(entries)), value) => {
                let Ok(number) = last.parse::<usize>() else { return };
                match value {
                    Some(value) if number < entries.len() => entries[number] = value.clone(),
                    Some(value) => entries.push(value.clone()),
                    None if number < entries.len() => drop(entries.remove(number)),
                    None => {}
                }
            }
            _ => {}
        }
    }
}

/// A spec with changes.
pub fn edited(spec: &Value, edits: &[Edit]) -> Value {
    let mut spec = spec.clone();
    for edit in edits {
        edit.apply(&mut spec);
    }
    spec
}

/// A field of a schema.
pub fn member<'a>(schema: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
    schema.get(name).and_then(Value::as_object)
}

/// The places of a spec, each entry of a list and each value of a map included.
pub fn places(schema: &Map<String, Value>, spec: &Value) -> Vec<Place> {
    let top = Place {
        path: ".spec".to_owned(),
        steps: Vec::new(),
        schema: schema.clone(),
        value: Some(spec.clone()),
        beside: Vec::new(),
        context: Vec::new(),
    };
    below(&top)
}

/// The places below one, at any depth.
pub fn below(place: &Place) -> Vec<Place> {
    let children = children(place);
    let deeper = children.iter().filter(|child| child.value.is_some()).flat_map(below);
    let deeper: Vec<_> = deeper.collect();
    children.into_iter().chain(deeper).collect()
}

fn children(place: &Place) -> Vec<Place> {
    let Place { path, schema, value, .. } = place;
    let child = |path: String, step: &str, schema: &Map<String, Value>, value: Option<Value>| {
        let steps = place.steps.iter().cloned().chain([step.to_owned()]).collect();
        let (schema, context) = (schema.clone(), place.context.clone());
        Place { path, steps, schema, value, beside: Vec::new(), context }
    };
    let mut all = Vec::new();
    if let (Some(fields), Some(Value::Object(members))) = (member(schema, "properties"), value) {
        for (name, field) in fields {
            let Value::Object(field) = field else { continue };
            let mut place =
                child(format!("{path}.{name}"), name, field, members.get(name).cloned());
            place.beside = enumerations(fields, name);
            all.push(place);
        }
    }
    if let (Some(items), Some(Value::Array(entries))) = (member(schema, "items"), value) {
        let entries = entries.iter().enumerate();
        all.extend(entries.map(|(number, entry)| {
            child(format!("{path}[]"), &number.to_string(), items, Some(entry.clone()))
        }));
    }
    if let (Some(values), Some(Value::Object(members))) =
        (member(schema, "additionalProperties"), value)
    {
        all.extend(
            members.iter().map(|(name, value)| {
                child(format!("{path}{{}}"), name, values, Some(value.clone()))
            }),
        );
    }
    all
}

fn enumerations(fields: &Map<String, Value>, but: &str) -> Vec<(String, Vec<Value>)> {
    let others = fields.iter().filter(|(name, _)| *name != but);
    let words = others.filter_map(|(name, field)| Some((name, field.get("enum")?.as_array()?)));
    words.map(|(name, words)| (name.clone(), words.clone())).collect()
}

/// Texts that the patterns of a schema may accept, one of which is repeated to make it longer.
const SEEDS: [&str; 6] = ["a", "https://a", "/a", "a:b", "00002s", "A"];

/// Texts of exactly this many characters, of which a pattern may accept one.
pub fn texts(length: usize) -> Vec<String> {
    let made = |seed: &str, tail: &str| {
        let text: String = seed.chars().chain(tail.chars().cycle()).take(length).collect();
        (text.chars().count() == length).then_some(text)
    };
    let all = SEEDS.iter().flat_map(|seed| {
        let last = seed.get(seed.len() - 1..).unwrap_or_default();
        [made(seed, last), made(seed, seed)]
    });
    let mut all: Vec<_> = all.flatten().collect();
    all.dedup();
    all
}

/// Small values of a schema: each with what is required, and at most one member more.
pub fn samples(schema: &Map<String, Value>) -> Vec<Value> {
    let optional = member(schema, "properties").into_iter().flatten().map(|(name, _)| Some(name));
    let more: Vec<_> = [None].into_iter().chain(optional).collect();
    let mut all = Vec::new();
    for name in more {
        all.extend(SEEDS.iter().map(|seed| sample(schema, seed, name)));
    }
    all.dedup();
    all
}

fn sample(schema: &Map<String, Value>, seed: &str, more: Option<&String>) -> Value {
    if let Some(word) = schema.get("enum").and_then(|words| words.get(0)) {
        return word.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("boolean") => json!(true),
        Some("integer") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("array") => {
            let items = member(schema, "items").map(|items| sample(items, seed, None));
            Value::Array(items.into_iter().collect())
        }
        Some("object") => {
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            let names = required.filter_map(Value::as_str).chain(more.map(String::as_str));
            let fields = member(schema, "properties");
            let of = |name: &str| Some(sample(member(fields?, name)?, seed, None));
            names.filter_map(|name| Some((name.to_owned(), of(name)?))).collect()
        }
        _ => json!(seed),
    }
}
