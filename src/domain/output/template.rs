//! The templates of `spec.target.template.data` (design D8). In: texts, a token. Out: one text each, or
//! which of them is wrong, in which line and how.
//!
//! **Invariant:** a template sees six values and calls nothing: there are no functions, no tests, no
//! includes and no macros, and of filters only encoders. Work, template and output are limited, and
//! a message holds words of our own alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value, filters};
use zeroize::Zeroize;

use super::format::Values;
use super::{Fault, invalid};
use crate::domain::oauth::form_encoded;
use crate::domain::redacted::Redacted;
use crate::domain::secret::ManagedSecret;

/// Steps of the engine per template.
const FUEL: u64 = 10_000;
/// Longest template, as in the schema.
const MAX_TEMPLATE_BYTES: usize = 8 * 1024;
/// Longest text that one template may make.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// Renders every template.
pub(super) fn write(
    templates: &BTreeMap<String, String>,
    secret: &ManagedSecret,
    data: &mut BTreeMap<String, Redacted<String>>,
) -> Result<(), Fault> {
    let environment = environment();
    let values = Value::from(Serde(Values::of(secret)));
    for (key, text) in templates {
        let rendered = render(&environment, text, &values);
        let rendered =
            rendered.map_err(|what| invalid(format!("spec.target.template.data.{key}: {what}")))?;
        data.insert(key.clone(), rendered);
    }
    Ok(())
}

/// An engine that starts from nothing, so that a new version of it brings nothing in.
fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment.add_filter("b64encode", |text: String| STANDARD.encode(text));
    environment.add_filter("urlencode", |text: String| form_encoded(&text).to_string());
    environment.add_filter("tojson", filters::tojson);
    environment.add_filter("upper", |text: String| text.to_uppercase());
    environment.add_filter("lower", |text: String| text.to_lowercase());
    environment.add_filter("trim", |text: String| text.trim().to_owned());
    environment
}

fn render(
    environment: &Environment<'_>,
    text: &str,
    values: &Value,
) -> Result<Redacted<String>, String> {
    if text.len() > MAX_TEMPLATE_BYTES {
        return Err(format!("it is longer than {MAX_TEMPLATE_BYTES} bytes: shorten it"));
    }
    let mut output = Limited::default();
    let rendered = environment
        .template_from_str(text)
        .and_then(|template| template.render_captured_to(values, &mut output).map(drop));
    if output.over {
        return Err(format!("it makes more than {MAX_OUTPUT_BYTES} bytes: shorten it"));
    }
    rendered.map_err(|error| in_our_words(error.kind(), error.line()))?;
    let bytes = std::mem::take(&mut output.bytes);
    String::from_utf8(bytes).map(Redacted::new).map_err(|_| "it makes no text".to_owned())
}

/// Takes so many bytes and no more.
#[derive(Default)]
struct Limited {
    bytes: Vec<u8>,
    over: bool,
}

impl io::Write for Limited {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > MAX_OUTPUT_BYTES {
            self.over = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// The engine's own words may quote what a template was rendered with.
fn in_our_words(kind: ErrorKind, line: Option<usize>) -> String {
    let what = match kind {
        ErrorKind::SyntaxError | ErrorKind::BadEscape => "a syntax error",
        ErrorKind::UndefinedError => {
            "a value that there is not: there are token, tokenType, issuedAt, expiresAt, \
             expiresAtEpoch and revision"
        }
        ErrorKind::UnknownFilter => {
            "a filter that there is not: there are b64encode, urlencode, tojson, upper, lower and trim"
        }
        ErrorKind::UnknownFunction | ErrorKind::UnknownTest | ErrorKind::UnknownMethod => {
            "a function, method or test: templates have none"
        }
        ErrorKind::OutOfFuel => "too much work: make it shorter, or without loops",
        ErrorKind::NonPrimitive
        | ErrorKind::NonKey
        | ErrorKind::InvalidOperation
        | ErrorKind::TemplateNotFound
        | ErrorKind::TooManyArguments
        | ErrorKind::MissingArgument
        | ErrorKind::BadSerialization
        | ErrorKind::CannotDeserialize
        | ErrorKind::BadInclude
        | ErrorKind::EvalBlock
        | ErrorKind::CannotUnpack
        | ErrorKind::WriteFailure
        | ErrorKind::InvalidDelimiter
        | _ => "an operation that can't be done",
    };
    let mut text = what.to_owned();
    if let Some(line) = line {
        // Writing to a String can't fail.
        let _ = write!(text, " (line {line})");
    }
    text
}
