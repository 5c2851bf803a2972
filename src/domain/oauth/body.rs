//! Reads the body of an answer into the members that matter: JSON whatever the content type says,
//! else a form, else a proxy's page. JSON pointers (RFC 6901) say where token and lifetime lie.
//!
//! **Invariant:** a member that nobody asks for (a refresh token, an ID token) is never kept, and an
//! unreadable body leaves no text behind: serde's errors quote values, so they are dropped here.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::domain::{
    oauth::{Answer, MAX_BODY_BYTES},
    plan::ResponseShape,
};

/// What a body is.
pub(super) enum Body {
    /// A JSON object or a form.
    Members(Box<Members>),
    /// A page for people: a proxy or a login page answered.
    Page,
    /// Longer than [`MAX_BODY_BYTES`]; what is there may be half a token.
    TooLarge,
    /// Nothing that RFC 6749 knows, or nothing at all.
    Unreadable,
}

/// A value, as far as anything is read from it.
#[derive(Clone)]
pub(super) enum Leaf {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number; nothing that is read needs more than a float holds.
    Number(f64),
    /// A string, and every value of a form.
    Text(Zeroizing<String>),
    /// The strings of an array; `None` stands for what is no string.
    List(Vec<Option<Zeroizing<String>>>),
    /// An object; nobody reads more of it than whether it is empty.
    Nested {
        /// Whether it is.
        empty: bool,
    },
}

/// The members of an answer that matter; `null` is absent (Twilio).
#[derive(Default)]
pub(super) struct Members {
    /// At the pointer of the token.
    pub(super) token: Option<Leaf>,
    /// Whether the token, or what it lies in, stands there more than once.
    pub(super) repeated: bool,
    /// At the pointer of the lifetime.
    pub(super) expiry: Option<Leaf>,
    /// `token_type`, beside the token or at the top.
    pub(super) token_type: Option<Leaf>,
    /// `expires_on` (Entra v1).
    pub(super) expires_on: Option<Leaf>,
    /// `expires_at` (GitHub).
    pub(super) expires_at: Option<Leaf>,
    /// `refresh_in` (Entra), beside the token or at the top.
    pub(super) refresh_in: Option<Leaf>,
    /// `scope`, or `scopes` where there is no `scope`; beside the token or at the top.
    pub(super) scope: Option<Leaf>,
    /// `error`, where it says that there is one.
    pub(super) error: Option<Leaf>,
    /// At each pointer of a value that is asked for; a number or truth value as the text that it is.
    pub(super) values: BTreeMap<String, Leaf>,
}

/// Reads a body.
pub(super) fn read(answer: &Answer) -> Body {
    let bytes = answer.body.expose().as_slice();
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii();
    let media_type = answer.headers.media_type();
    if is_page(bytes, &media_type) {
        return Body::Page;
    }
    if answer.body.expose().len() > MAX_BODY_BYTES {
        return Body::TooLarge;
    }
    // A description in Latin-1 must not hide the code beside it. In a token the replacement
    // character is refused.
    let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
    let mut search = Search::new(&answer.shape);
    let found = if text.starts_with('{') {
        search.json(&text)
    } else if matches!(media_type.as_str(), "" | "text/plain" | "application/x-www-form-urlencoded")
    {
        search.form(&text)
    } else {
        None
    };
    found.map_or(Body::Unreadable, |()| Body::Members(Box::new(search.finish(&answer.shape))))
}

/// A page of HTML; a token sent as `text/html` is none, since its body starts with a brace.
fn is_page(bytes: &[u8], media_type: &str) -> bool {
    if bytes.is_empty() || bytes.starts_with(b"{") {
        return false;
    }
    let head = bytes.get(..bytes.len().min(16)).unwrap_or_default().to_ascii_lowercase();
    matches!(media_type, "text/html" | "application/xhtml+xml")
        || head.starts_with(b"<!doctype html")
        || head.starts_with(b"<html")
}

/// What is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    Token,
    Expiry,
    TokenType,
    ExpiresOn,
    ExpiresAt,
    RefreshIn,
    Scope,
    Error,
    Value,
}

/// One place where something is looked for.
struct Place {
    member: Member,
    path: Vec<String>,
    found: Option<Leaf>,
}

/// Every place of one answer, filled while the body is read once, front to back.
struct Search {
    places: Vec<Place>,
    repeated: bool,
}

/// The reference tokens of a JSON pointer (RFC 6901 §4). One that does not start with a slash leads
/// nowhere, as no member has an empty path.
fn segments(pointer: &str) -> Vec<String> {
    pointer
        .split('/')
        .skip(1)
        .map(|segment| segment.replace("~1", "/").replace("~0", "~"))
        .collect()
}

impl Search {
    /// Members beside the token come first and win; the rest of RFC 6749 §5.1 and §5.2 is at the top.
    fn new(shape: &ResponseShape) -> Self {
        let token = segments(&shape.token_pointer);
        let around = token.split_last().map_or_else(Vec::new, |(_, around)| around.to_vec());
        let mut places = Vec::new();
        let mut look = |member, path| places.push(Place { member, path, found: None });
        look(Member::Token, token);
        look(Member::Expiry, segments(&shape.expires_in_pointer));
        let levels = if around.is_empty() { vec![around] } else { vec![around, Vec::new()] };
        for level in levels {
            for (member, name) in [
                (Member::TokenType, "token_type"),
                (Member::RefreshIn, "refresh_in"),
                (Member::Scope, "scope"),
                (Member::Scope, "scopes"),
            ] {
                look(member, level.iter().cloned().chain([name.to_owned()]).collect());
            }
        }
        for (member, name) in [
            (Member::ExpiresOn, "expires_on"),
            (Member::ExpiresAt, "expires_at"),
            (Member::Error, "error"),
        ] {
            look(member, vec![name.to_owned()]);
        }
        for pointer in &shape.values {
            look(Member::Value, segments(pointer));
        }
        Self { places, repeated: false }
    }

    fn json(&mut self, text: &str) -> Option<()> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let all = (0..self.places.len()).filter(|place| !self.path(*place).is_empty()).collect();
        Walk { search: self, places: all, ends: Vec::new(), depth: 0 }
            .deserialize(&mut deserializer)
            .ok()?;
        deserializer.end().ok()
    }

    /// A form has no depth: only a pointer of one segment can name a parameter.
    fn form(&mut self, text: &str) -> Option<()> {
        let mut known = None;
        let mut tokens = 0;
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            for place in 0..self.places.len() {
                if let [only] = self.path(place)
                    && *only == name
                {
                    known = Some(());
                    tokens += usize::from(self.is_token(place));
                    let text = Leaf::Text(Zeroizing::new(value.clone().into_owned()));
                    self.put(place, if value.is_empty() { Leaf::Null } else { text });
                }
            }
        }
        self.repeated |= tokens > 1;
        known
    }

    fn path(&self, place: usize) -> &[String] {
        self.places.get(place).map_or(&[], |place| &place.path)
    }

    fn is_token(&self, place: usize) -> bool {
        self.places.get(place).is_some_and(|place| place.member == Member::Token)
    }

    fn is_value(&self, place: usize) -> bool {
        self.places.get(place).is_some_and(|place| place.member == Member::Value)
    }

    /// The last one wins, as in most parsers; but a second, empty `error` must not hide the first.
    fn put(&mut self, place: usize, leaf: Leaf) {
        let Some(place) = self.places.get_mut(place) else { return };
        let told = place.found.as_ref().is_some_and(|before| !says_nothing(before));
        if place.member != Member::Error || !told {
            place.found = Some(leaf);
        }
    }

    fn take(&mut self, member: Member) -> Option<Leaf> {
        let mut places = self.places.iter_mut().filter(|place| place.member == member);
        places.find_map(|place| place.found.take().filter(|leaf| !matches!(leaf, Leaf::Null)))
    }

    /// What was found at the pointers of values, in the order in which the shape has them.
    fn values(&mut self, shape: &ResponseShape) -> BTreeMap<String, Leaf> {
        let places = self.places.iter_mut().filter(|place| place.member == Member::Value);
        let all = shape.values.iter().zip(places);
        all.filter_map(|(pointer, place)| Some((pointer.clone(), place.found.take()?))).collect()
    }

    fn finish(mut self, shape: &ResponseShape) -> Members {
        Members {
            values: self.values(shape),
            token: self.take(Member::Token),
            repeated: self.repeated,
            expiry: self.take(Member::Expiry),
            token_type: self.take(Member::TokenType),
            expires_on: self.take(Member::ExpiresOn),
            expires_at: self.take(Member::ExpiresAt),
            refresh_in: self.take(Member::RefreshIn),
            scope: self.take(Member::Scope),
            error: self.take(Member::Error).filter(|error| !says_nothing(error)),
        }
    }
}

/// `"error": ""`, `false` and `0` stand for success at servers that always send the member.
fn says_nothing(error: &Leaf) -> bool {
    match error {
        Leaf::Null => true,
        Leaf::Bool(error) => !error,
        Leaf::Number(error) => *error == 0.0,
        Leaf::Text(error) => error.is_empty(),
        Leaf::List(error) => error.is_empty(),
        Leaf::Nested { empty } => *empty,
    }
}

/// One value of the body, and the places that lie below it. Gives back what the value itself is.
struct Walk<'s> {
    search: &'s mut Search,
    places: Vec<usize>,
    /// The places of values that are asked for and are this one.
    ends: Vec<usize>,
    depth: usize,
}

impl Walk<'_> {
    /// The places at or below the member with this name; an array's members are named by number.
    fn named(&self, name: &str) -> Vec<usize> {
        let named = |place: &&usize| {
            self.search.path(**place).get(self.depth).is_some_and(|segment| segment == name)
        };
        self.places.iter().filter(named).copied().collect()
    }

    /// The member's own walk.
    fn below(&mut self, named: &[usize]) -> Walk<'_> {
        let depth = self.depth + 1;
        let deeper = |place: &usize| self.search.path(*place).len() > depth;
        let (places, ends): (Vec<_>, Vec<_>) = named.iter().copied().partition(deeper);
        let ends = ends.into_iter().filter(|place| self.search.is_value(*place)).collect();
        Walk { search: self.search, places, ends, depth }
    }

    fn keep(&mut self, named: &[usize], leaf: &Leaf) {
        for place in named {
            let ends = self.search.path(*place).len() == self.depth + 1;
            if ends && !self.search.is_value(*place) {
                self.search.put(*place, leaf.clone());
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Leaf;

    /// Where a value is asked for, its bytes are kept beside what they mean: a float would change the
    /// digits of a number.
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Leaf, D::Error> {
        if self.ends.is_empty() {
            return deserializer.deserialize_any(self);
        }
        let written = <&RawValue>::deserialize(deserializer)?.get();
        let Walk { search, places, ends, depth } = self;
        let walk = Walk { search: &mut *search, places, ends: Vec::new(), depth };
        let read = walk.deserialize(&mut serde_json::Deserializer::from_str(written));
        let leaf = read.map_err(|_| D::Error::custom("unreadable"))?;
        for place in ends {
            let plain = matches!(leaf, Leaf::Bool(_) | Leaf::Number(_));
            let text = plain.then(|| Leaf::Text(Zeroizing::new(written.to_owned())));
            search.put(place, text.unwrap_or_else(|| leaf.clone()));
        }
        Ok(leaf)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Leaf;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Leaf, E> {
        Ok(Leaf::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Leaf, E> {
        Ok(Leaf::Bool(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "times beyond 2^53 are clamped anyway")]
    fn visit_i64<E: Error>(self, value: i64) -> Result<Leaf, E> {
        Ok(Leaf::Number(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "times beyond 2^53 are clamped anyway")]
    fn visit_u64<E: Error>(self, value: u64) -> Result<Leaf, E> {
        Ok(Leaf::Number(value as f64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Leaf, E> {
        Ok(Leaf::Number(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Leaf, E> {
        Ok(Leaf::Text(Zeroizing::new(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Leaf, A::Error> {
        let mut list = Vec::new();
        loop {
            let named = self.named(&list.len().to_string());
            let Some(leaf) = items.next_element_seed(self.below(&named))? else {
                return Ok(Leaf::List(list));
            };
            self.keep(&named, &leaf);
            list.push(if let Leaf::Text(text) = leaf { Some(text) } else { None });
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Leaf, A::Error> {
        let mut empty = true;
        let mut token_seen = false;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            empty = false;
            let named = self.named(&name);
            if named.is_empty() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if named.iter().any(|place| self.search.is_token(*place)) {
                self.search.repeated |= token_seen;
                token_seen = true;
            }
            let leaf = map.next_value_seed(self.below(&named))?;
            self.keep(&named, &leaf);
        }
        Ok(Leaf::Nested { empty })
    }
}
