//! What is done to a field: taken away, emptied, set to its least, to its most, to each of its words, to
//! what it can't be.
//!
//! In: a [`Place`], and an oracle that knows which spec the API server would take. Out: operations.
//!
//! **Invariant:** a value at a limit is one that the API server takes, so the limit is truly tried; a
//! value beyond it is expected to be refused.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use futures::future::try_join_all;
use serde_json::{Map, Value, json};

use super::bases::{Base, Credential};
use super::places::{Edit, Place, below, edited, member, places, samples, texts};
use crate::schema::examples::walk;

/// One change of a spec, after which it is changed back.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The field, as the schema has it.
    pub path: String,
    /// What is done to it.
    pub what: String,
    /// The change.
    pub edits: Vec<Edit>,
    /// What the API server must say.
    pub expected: Expected,
}

/// What the API server must say of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It is for the rules of the schema to say.
    Either,
    /// The schema takes it: this was asked.
    Accepted,
    /// The schema takes it in a new object and forbids the change.
    OnlyWhenNew,
    /// The schema forbids it.
    Refused,
    /// A field that the schema does not have, as kubectl sends it: refused.
    RefusedIfStrict,
    /// The same as an old client sends it: dropped, so nothing is changed.
    Dropped,
}

/// The operations of the whole schema, by the base that they are done to.
pub async fn operations(
    schema: &Value,
    credentials: &[Credential],
) -> anyhow::Result<Vec<(Base, Operation)>> {
    let chosen = every_place(schema, credentials).await?;
    let mut all = Vec::new();
    let made = chosen.values().map(async |(number, place)| {
        let credential = &credentials[*number];
        let made = Maker { credential, place }.operations().await;
        let made = made.with_context(|| place.path.clone())?;
        anyhow::Ok(made.into_iter().map(|operation| (credential.base, operation)))
    });
    all.extend(try_join_all(made).await?.into_iter().flatten());
    // What a base has, it may lose: each of them in its own way.
    for (number, credential) in credentials.iter().enumerate() {
        let top = schema.as_object().context("a schema")?;
        for place in places(top, &credential.spec) {
            let tried = chosen.get(&place.path).is_some_and(|(tried, _)| *tried == number);
            if place.value.is_some() && !tried {
                all.push((credential.base, removal(&place)));
            }
        }
    }
    ensure!(!all.is_empty(), "the schema gives no operation");
    Ok(all)
}

type Chosen = BTreeMap<String, (usize, Place)>;

/// One place for every field of the schema: where a base has it, else where one has its parent, else in
/// a context that is made for it.
async fn every_place(schema: &Value, credentials: &[Credential]) -> anyhow::Result<Chosen> {
    let top = schema.as_object().context("a schema")?;
    let mut chosen = Chosen::new();
    for (number, credential) in credentials.iter().enumerate() {
        add(&mut chosen, number, places(top, &credential.spec));
    }
    let mut wanted = Vec::new();
    walk(".spec", schema, &mut |path, _| wanted.push(path.to_owned()));
    let missing = |chosen: &Chosen| {
        let found = |path: &String| path == ".spec" || chosen.contains_key(path);
        wanted.iter().filter(|path| !found(path)).cloned().collect::<Vec<_>>()
    };
    loop {
        let left = missing(&chosen);
        let Some(first) = left.first() else { return Ok(chosen) };
        let above = |place: &Place| {
            let rest = first.strip_prefix(place.path.as_str());
            rest.is_some_and(|rest| rest.starts_with(['.', '[', '{']))
        };
        let parent = chosen
            .values()
            .filter(|(_, place)| place.value.is_none() && above(place))
            .max_by_key(|(_, place)| place.path.len());
        let Some(parent) = parent.cloned() else { bail!("no way to {left:?}") };
        let (number, made) = in_context(top, credentials, &parent).await?;
        add(&mut chosen, number, below(&made));
        ensure!(missing(&chosen).len() < left.len(), "no way to {left:?}");
    }
}

fn add(chosen: &mut Chosen, number: usize, places: Vec<Place>) {
    for place in places {
        let better = chosen
            .get(&place.path)
            .is_none_or(|(_, known)| known.value.is_none() && place.value.is_some());
        if better {
            chosen.insert(place.path.clone(), (number, place));
        }
    }
}

/// The same place with a value in it, on the first base that takes one: a small one, perhaps with another
/// word in an enumeration beside it.
async fn in_context(
    schema: &Map<String, Value>,
    credentials: &[Credential],
    wanted: &(usize, Place),
) -> anyhow::Result<(usize, Place)> {
    let elsewhere = credentials.iter().enumerate().flat_map(|(number, credential)| {
        let all = places(schema, &credential.spec).into_iter();
        all.filter(|place| place.path == wanted.1.path).map(move |place| (number, place))
    });
    for (number, place) in [wanted.clone()].into_iter().chain(elsewhere) {
        let credential = &credentials[number];
        for value in samples(&place.schema) {
            for edits in ways(&place, &value) {
                let context: Vec<_> = place.context.iter().cloned().chain(edits).collect();
                if credential.takes(&edited(&credential.spec, &context)).await? {
                    return Ok((number, Place { value: Some(value), context, ..place }));
                }
            }
        }
    }
    bail!("no base takes a value of {}", wanted.1.path)
}

/// A value alone, or with each word of each enumeration beside it.
fn ways(place: &Place, value: &Value) -> Vec<Vec<Edit>> {
    let put = Edit::new(&place.steps, Some(value.clone()));
    let mut all = vec![vec![put.clone()]];
    for (name, words) in &place.beside {
        let mut steps = place.steps.clone();
        steps.pop();
        steps.push(name.clone());
        let word = |word: &Value| vec![Edit::new(&steps, Some(word.clone())), put.clone()];
        all.extend(words.iter().map(word));
    }
    all
}

fn removal(place: &Place) -> Operation {
    Operation {
        path: place.path.clone(),
        what: "removed".to_owned(),
        edits: vec![Edit::new(&place.steps, None)],
        expected: Expected::Either,
    }
}

/// Makes the operations of one place.
struct Maker<'a> {
    credential: &'a Credential,
    place: &'a Place,
}

impl Maker<'_> {
    async fn operations(&self) -> anyhow::Result<Vec<Operation>> {
        let schema = &self.place.schema;
        let mut all = Vec::new();
        if self.place.value.is_some() && self.place.context.is_empty() {
            all.push(removal(self.place));
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            all.extend(words.iter().map(|word| self.set(&word.to_string(), word.clone())));
            all.push(self.refused("an unknown word", json!("NoSuchWord")));
        } else {
            all.extend(self.of_type().await?);
        }
        all.push(self.refused("the wrong type", self.wrong_type()));
        // What changes nothing is no operation.
        let base = &self.credential.spec;
        all.retain(|o| o.expected == Expected::Dropped || edited(base, &o.edits) != *base);
        Ok(all)
    }

    async fn of_type(&self) -> anyhow::Result<Vec<Operation>> {
        let schema = &self.place.schema;
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => self.of_text().await,
            Some("boolean") => {
                Ok(vec![self.set("true", json!(true)), self.set("false", json!(false))])
            }
            Some("integer") => Ok(self.of_number()),
            Some("array") => self.of_list().await,
            Some("object") if schema.contains_key("additionalProperties") => self.of_map().await,
            Some("object") => Ok(self.of_object()),
            kind => bail!("no operation is known for a field of type {kind:?}"),
        }
    }

    fn limit(&self, keyword: &str) -> Option<usize> {
        usize::try_from(self.place.schema.get(keyword)?.as_u64()?).ok()
    }

    async fn of_text(&self) -> anyhow::Result<Vec<Operation>> {
        let most = self.limit("maxLength").context("a text without maxLength")?;
        let least = self.limit("minLength").unwrap_or(1).max(1);
        let as_values = |texts: Vec<String>| texts.into_iter().map(Value::String).collect();
        let mut short = Vec::new();
        for length in least..least + 12 {
            short.extend(texts(length));
        }
        let longest = self.first_taken("its most", as_values(texts(most))).await?;
        let over = format!("{}{}", longest.1.as_str().unwrap_or_default(), "a");
        let mut all = vec![
            self.set("empty", json!("")),
            self.first_taken("its least", as_values(short)).await?.0,
            longest.0,
            self.refused("one character too long", json!(over)),
        ];
        all.push(match self.place.schema.get("pattern") {
            Some(_) => self.refused("against its pattern", json!("\u{7}\n")),
            None => self.set("odd", json!("{{ \u{7}\n'\" %")),
        });
        Ok(all)
    }

    fn of_number(&self) -> Vec<Operation> {
        let bound = |keyword| self.place.schema.get(keyword).and_then(Value::as_i64);
        let (least, most) = (bound("minimum"), bound("maximum"));
        let mut all = vec![self.refused("a fraction", json!(1.5))];
        for (what, value) in [("its least", least), ("its most", most)] {
            all.extend(value.map(|value| self.set(what, json!(value))));
        }
        all.extend(least.map(|least| self.refused("below its least", json!(least - 1))));
        all.extend(most.map(|most| self.refused("above its most", json!(most + 1))));
        all
    }

    async fn of_list(&self) -> anyhow::Result<Vec<Operation>> {
        let most = self.limit("maxItems").context("a list without maxItems")?;
        let items = member(&self.place.schema, "items").context("a list of something")?;
        let full = |count| samples(items).iter().map(|item| many(items, item, count)).collect();
        let longest = self.first_taken("its most", full(most)).await?;
        let one = longest.1.get(0).cloned().unwrap_or_default();
        let mut over = longest.1.clone();
        over.as_array_mut().context("a list")?.push(one.clone());
        let mut all = vec![
            self.set("empty", json!([])),
            longest.0,
            self.refused("one entry too many", over),
            self.refused("an entry of the wrong type", json!([[]])),
        ];
        let kind = self.place.schema.get("x-kubernetes-list-type").and_then(Value::as_str);
        all.extend(match kind {
            Some("set" | "map") => Some(self.refused("an entry twice", json!([one, one]))),
            _ => None,
        });
        Ok(all)
    }

    async fn of_map(&self) -> anyhow::Result<Vec<Operation>> {
        let most = self.limit("maxProperties").context("a map without maxProperties")?;
        let values = member(&self.place.schema, "additionalProperties").context("values")?;
        let full = |count: usize, value: &Value| -> Value {
            (0..count).map(|number| (format!("k{number}"), value.clone())).collect()
        };
        let fullest = samples(values).iter().map(|value| full(most, value)).collect();
        let fullest = self.first_taken("its most", fullest).await?;
        let value = fullest.1.get("k0").cloned().unwrap_or_default();
        Ok(vec![
            self.set("empty", json!({})),
            fullest.0,
            self.refused("one value too many", full(most + 1, &value)),
            self.set("a value without a name", json!({"": value})),
            self.set("an odd name", json!({"a b\n/\u{e9}": value})),
            self.set("a long name", json!({"n".repeat(300): value})),
            self.refused("a value of the wrong type", json!({"k": []})),
        ])
    }

    fn of_object(&self) -> Vec<Operation> {
        let mut with_more = self.place.value.clone().unwrap_or_else(|| json!({}));
        if let Some(members) = with_more.as_object_mut() {
            members.insert("noSuchField".to_owned(), json!("x"));
        }
        let mut all = vec![self.set("empty", json!({}))];
        if self.place.value.is_some() && self.place.context.is_empty() {
            let mut strict = self.set("an unknown field", with_more.clone());
            strict.expected = Expected::RefusedIfStrict;
            let mut lenient = self.set("an unknown field of an old client", with_more);
            lenient.expected = Expected::Dropped;
            all.extend([strict, lenient]);
        }
        all
    }

    fn wrong_type(&self) -> Value {
        match self.place.schema.get("type").and_then(Value::as_str) {
            Some("string") => json!(7),
            _ => json!("text"),
        }
    }

    fn set(&self, what: &str, value: Value) -> Operation {
        let put = Edit::new(&self.place.steps, Some(value));
        Operation {
            path: self.place.path.clone(),
            what: what.to_owned(),
            edits: self.place.context.iter().cloned().chain([put]).collect(),
            expected: Expected::Either,
        }
    }

    fn refused(&self, what: &str, value: Value) -> Operation {
        Operation { expected: Expected::Refused, ..self.set(what, value) }
    }

    /// The first of these values that the API server takes, also where a word in an enumeration beside it
    /// has to change for that.
    async fn first_taken(
        &self,
        what: &str,
        values: Vec<Value>,
    ) -> anyhow::Result<(Operation, Value)> {
        let (base, context) = (&self.credential.spec, &self.place.context);
        let alone = values.iter().map(|value| (value, ways(self.place, value).swap_remove(0)));
        let with_words = values.iter().flat_map(|value| {
            let ways = ways(self.place, value).into_iter().skip(1);
            ways.map(move |way| (value, way))
        });
        let ways = alone
            .chain(with_words)
            .map(|(value, way)| (value, context.iter().cloned().chain(way).collect::<Vec<_>>()));
        let mut first = None;
        for (value, edits) in ways {
            let spec = edited(base, &edits);
            let taken = self.credential.takes(&spec).await?;
            let only_when_new =
                !taken && first.is_none() && self.credential.would_be(&spec).await?;
            let expected = if taken { Expected::Accepted } else { Expected::OnlyWhenNew };
            if taken || only_when_new {
                let operation = Operation { edits, expected, ..self.set(what, value.clone()) };
                first = Some((operation, value.clone()));
            }
            if taken {
                break;
            }
        }
        if let Some(first) = first {
            return Ok(first);
        }
        bail!("no value is taken as {what}: add a text to those that are tried")
    }
}

/// Entries that differ: texts in themselves, objects in each text that is free.
fn many(schema: &Map<String, Value>, item: &Value, count: usize) -> Value {
    let fields = member(schema, "properties");
    let is_free = |name: &str| {
        let field = fields.and_then(|fields| member(fields, name));
        field.is_some_and(|field| !field.contains_key("enum"))
    };
    let numbered = |number: usize| {
        let text = |value: &Value| value.as_str().map(|text| json!(format!("{text}{number}")));
        let Value::Object(members) = item else {
            return text(item).unwrap_or_else(|| item.clone());
        };
        let member = |(name, value): (&String, &Value)| {
            let other = text(value).filter(|_| is_free(name));
            (name.clone(), other.unwrap_or_else(|| value.clone()))
        };
        members.iter().map(member).collect()
    };
    (0..count).map(numbered).collect()
}
