//! Values of the response that the managed Secret is to hold beside the token.
//!
//! **Invariant:** what an answer lacks is told in words that name the field, never the value.

use std::collections::BTreeSet;

use super::*;

fn read(content_type: &str, pointers: &[&str], body: &str) -> Result<Grant, RequestError> {
    let values = pointers.iter().map(|pointer| (*pointer).to_owned()).collect();
    let shape = ResponseShape { values, ..ResponseShape::default() };
    let headers = [("content-type", content_type)];
    read_answer(&Answer { shape, ..answer(200, &headers, body.as_bytes()) }, now())
}

fn found(content_type: &str, pointer: &str, body: &str) -> String {
    let grant = read(content_type, &[pointer], body);
    let grant = grant.unwrap_or_else(|error| panic!("{body}: {error:?}"));
    assert_eq!(grant.token.expose(), "t0k3n", "{body}");
    assert!(grant.values.keys().eq([pointer]), "{body}");
    grant.values[pointer].expose().clone()
}

/// A body with the token and this beside it.
fn beside(member: &str) -> String {
    format!(r#"{{"access_token":"t0k3n",{member}}}"#)
}

#[test]
fn a_value_is_the_text_that_stands_there() {
    for (written, expected) in [
        (r#""https://a.example.com""#, "https://a.example.com"),
        (r#""\u0061\/b \"é\"""#, "a/b \"é\""),
        (r#""""#, ""),
        ("true", "true"),
        ("false", "false"),
        ("0", "0"),
        ("-0", "-0"),
        ("1.10", "1.10"),
        ("1E+2", "1E+2"),
        ("9007199254740993", "9007199254740993"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("-12", "-12"),
    ] {
        assert_eq!(found(JSON, "/a", &beside(&format!(r#""a":{written}"#))), expected);
        let padded = beside(&format!("\"a\" : \n {written} \n"));
        assert_eq!(found(JSON, "/a", &padded), expected);
        let deep = beside(&format!(r#""x":[{{}},{{"a/b":[1,{written}]}}]"#));
        assert_eq!(found(JSON, "/x/1/a~1b/1", &deep), expected);
    }
    // As in most parsers the last one wins.
    assert_eq!(found(JSON, "/a", &beside(r#""a":"one","a":"two""#)), "two");
    let longest = "a".repeat(MAX_VALUE_BYTES);
    assert_eq!(found(JSON, "/a", &beside(&format!(r#""a":"{longest}""#))), longest);
}

#[test]
fn a_form_holds_values_too() {
    let form = "access_token=t0k3n&instance_url=https%3A%2F%2Fa.example.com&n=1.10";
    assert_eq!(found(FORM, "/instance_url", form), "https://a.example.com");
    assert_eq!(found(FORM, "/n", form), "1.10");
    for (pointer, body) in [("/n", "access_token=t0k3n&n="), ("/a/b", "access_token=t0k3n&a=b")] {
        assert!(read(FORM, &[pointer], body).is_err(), "{body}");
    }
}

/// What is read for the grant itself is not lost to a value at the same place, above or below it.
#[test]
fn values_lie_where_anything_else_lies() {
    let body = r#"{"access_token":"t0k3n","expires_in":3600.0,"scope":"a b","id_token":"j"}"#;
    let pointers = ["/access_token", "/expires_in", "/id_token", "/scope"];
    let grant = read(JSON, &pointers, body).unwrap();
    let values: Vec<_> = grant.values.values().map(|value| value.expose().as_str()).collect();
    assert_eq!(values, ["t0k3n", "3600.0", "j", "a b"]);
    assert_eq!(grant.token.expose(), "t0k3n");
    assert_eq!(grant.lifetime, Lifetime::Known(Duration::from_secs(3600)));
    assert_eq!(grant.scopes, Some(vec!["a".to_owned(), "b".to_owned()]));

    let nested = |pointer: &str| {
        let values = BTreeSet::from([pointer.to_owned()]);
        let token_pointer = "/data/token".to_owned();
        let shape = ResponseShape { token_pointer, values, ..ResponseShape::default() };
        let body = br#"{"data":{"token":"t0k3n","url":"u"}}"#;
        read_answer(&Answer { shape, ..answer(200, &[], body) }, now())
    };
    assert_eq!(nested("/data/url").unwrap().values["/data/url"].expose(), "u");
    assert_eq!(nested("/data/token").unwrap().values["/data/token"].expose(), "t0k3n");
    let above = nested("/data").unwrap_err();
    assert!(above.detail.unwrap().contains("an object or a list"), "{above:?}");
}

#[test]
fn an_answer_without_a_value_is_refused_in_words_that_name_the_field() {
    let absent = "has nothing where response.pointer";
    let no_text = "is an object or a list";
    let unprintable = "has control characters or is not UTF-8";
    let long = format!(r#""a":"{}""#, "c4n4ry".repeat(MAX_VALUE_BYTES / 6 + 1));
    let long_number = format!(r#""a":1.{}"#, "1".repeat(MAX_VALUE_BYTES));
    for (member, detail) in [
        (r#""b":"c4n4ry""#, absent),
        (r#""a":null"#, absent),
        (r#""a":"c4n4ry","a":null"#, absent),
        (r#""a":{}"#, no_text),
        (r#""a":{"c4n4ry":"c4n4ry"}"#, no_text),
        (r#""a":[]"#, no_text),
        (r#""a":["c4n4ry"]"#, no_text),
        (r#""a":"c4n4ry\n""#, unprintable),
        (r#""a":"c4n4ry\u0000""#, unprintable),
        (r#""a":"c4n4ry\u007f""#, unprintable),
        (r#""a":"c4n4ry\u0085""#, unprintable),
        (r#""a":"c4n4ry\ufffd""#, unprintable),
        (&long, "is longer than 16 KiB"),
        (&long_number, "is longer than 16 KiB"),
    ] {
        // One that is there does not help.
        let body = beside(&format!(r#""z":"c4n4ry",{member}"#));
        let error = read(JSON, &["/a", "/z"], &body).unwrap_err();
        assert_eq!((error.reason, error.status), (Reason::MalformedResponse, Some(200)), "{body}");
        assert_eq!(error.reason.class(), Class::Contract);
        let message = error.message("idp.example.com");
        assert!(message.contains(detail), "{message}");
        assert!(message.contains("spec.target.additionalOutputFormats"), "{message}");
        assert!(message.contains("response.pointer"), "{message}");
        assert!(!format!("{message} {error:?}").contains("c4n4ry"), "{message}");
    }
    let latin = b"{\"access_token\":\"t0k3n\",\"a\":\"caf\xe9\"}";
    let values = BTreeSet::from(["/a".to_owned()]);
    let shape = ResponseShape { values, ..ResponseShape::default() };
    assert!(read_answer(&Answer { shape, ..answer(200, &[], latin) }, now()).is_err());
    // What is wrong with the token, or with the request, is told first.
    let error = read(JSON, &["/a"], r#"{"error":"invalid_client"}"#).unwrap_err();
    assert_eq!(error.code, Some("invalid_client"));
}

#[test]
fn nothing_is_kept_that_nobody_asks_for() {
    let body = beside(r#""refresh_token":"c4n4ry","id_token":"c4n4ry""#);
    assert!(read(JSON, &[], &body).unwrap().values.is_empty());
    let grant = read(JSON, &["/id_token"], &body).unwrap();
    assert!(!format!("{grant:?}").contains("c4n4ry"));
}
