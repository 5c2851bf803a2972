//! Values of the response over the life of a credential: what asks for a token, and what does not.
//!
//! **Invariant:** a value is missing where its key is not as we wrote it, or is that of another pointer.

use super::*;

fn target(entries: &Value) -> Value {
    json!({"target": {"additionalOutputFormats": entries}})
}

fn url() -> Value {
    json!({"key": "url", "type": "Response", "response": {"pointer": "/instance_url"}})
}

/// A credential that has its token for a minute.
fn settled(spec: &Value) -> Life {
    let mut life = Life::new(spec);
    life.run_for(Duration::from_secs(60));
    assert_eq!((life.requests.len(), life.writes), (1, 1));
    life
}

fn edit_target(life: &mut Life, target: &Value) {
    let target = serde_json::from_value(target.clone()).unwrap();
    life.edit_spec(|credential| credential.spec.target = Some(target));
}

fn held(life: &mut Life) -> &mut TargetMetadata {
    match &mut life.o.target {
        Known::Present(target) => target,
        Known::Absent | Known::Untold => panic!("there is a Secret"),
    }
}

fn applied(life: &mut Life) -> &mut AppliedFields {
    held(life).applied.as_mut().unwrap()
}

const MINUTE: Duration = Duration::from_secs(60);
/// Less than half of the shortest back-off.
const SOON: Duration = Duration::from_secs(4);

#[test]
fn a_value_that_is_newly_asked_for_costs_one_grant_and_no_event() {
    let mut life = settled(&json!({}));
    let digest = life.o.request_digest();
    edit_target(&mut life, &json!({"additionalOutputFormats": [url()]}));
    assert_eq!(life.o.request_digest(), digest, "no token is granted for a value beside it");
    life.run_for(MINUTE);
    assert_eq!(life.requests.last().unwrap().1, Trigger::SecretDrift);
    assert_eq!((life.requests.len(), life.writes), (2, 2), "and no repair before it");
    assert!(applied(&mut life).data.contains("url"));
    let mark = held(&mut life).marks.get(crd::RESPONSE_VALUES).cloned();
    assert_eq!(mark.as_deref(), Some(r#"{"url":"/instance_url"}"#));
    // Of another pointer under the same key, and under another key.
    let id = json!({"key": "url", "type": "Response", "response": {"pointer": "/id"}});
    edit_target(&mut life, &json!({"additionalOutputFormats": [id]}));
    life.run_for(MINUTE);
    let renamed = json!({"key": "id", "type": "Response", "response": {"pointer": "/id"}});
    edit_target(&mut life, &json!({"additionalOutputFormats": [renamed]}));
    life.run_for(MINUTE);
    assert_eq!((life.requests.len(), life.writes), (4, 4));
    assert!(!applied(&mut life).data.contains("url"));
    // One that is removed, and other forms, are written from what is there.
    edit_target(&mut life, &json!({"additionalOutputFormats": [{"key": "raw", "type": "Raw"}]}));
    life.run_for(MINUTE);
    assert_eq!((life.requests.len(), life.writes), (4, 5));
    assert_eq!(held(&mut life).marks.get(crd::RESPONSE_VALUES), None);
    assert_eq!(life.notices, ["TokenIssued"]);
    assert!(life.is(status::READY, "True", Reason::TokenValid));
}

#[test]
fn a_value_that_is_gone_costs_one_grant_and_everything_else_none() {
    type Damage = fn(&mut TargetMetadata);
    let damages: [(&str, usize, Damage); 6] = [
        ("the value", 1, |t| {
            t.applied.as_mut().unwrap().data.remove("url");
        }),
        ("its annotation", 1, |t| drop(t.marks.remove(crd::RESPONSE_VALUES))),
        ("the annotation altered", 1, |t| {
            t.applied.as_mut().unwrap().marks.remove(crd::RESPONSE_VALUES);
        }),
        ("another form", 0, |t| {
            t.applied.as_mut().unwrap().data.remove("raw");
        }),
        ("a label", 0, |t| drop(t.marks.remove(crd::MANAGED_LABEL))),
        ("the version of the forms", 0, |t| drop(t.marks.remove(crd::OUTPUT_VERSION))),
    ];
    for (what, grants, damage) in damages {
        for restarted in [false, true] {
            let mut life = settled(&target(&json!([url(), {"key": "raw", "type": "Raw"}])));
            damage(held(&mut life));
            held(&mut life).resource_version += 1;
            if restarted {
                life.restart();
            }
            life.run_for(MINUTE);
            assert_eq!((life.requests.len(), life.writes), (1 + grants, 2), "{what}");
            assert!(!life.o.lacks_response_values(), "{what}");
            assert!(life.is(status::READY, "True", Reason::TokenValid), "{what}");
            let told = life.notices.last().copied();
            // Another process can't tell that from an edit of the spec.
            let drift = what != "the version of the forms" || !restarted;
            assert_eq!(told == Some("SecretDriftRepaired"), drift, "{what}: {told:?}");
        }
    }
}

#[test]
fn a_value_is_asked_for_until_it_comes_and_a_corrected_pointer_at_once() {
    let mut life = settled(&json!({}));
    life.answer = Err(Reason::MalformedResponse);
    edit_target(&mut life, &json!({"additionalOutputFormats": [url()]}));
    life.run_for(SOON);
    assert_eq!((life.requests.len(), life.writes), (2, 1));
    assert!(life.is(status::READY, "True", Reason::TokenValid), "the token lives");
    assert!(life.is(status::REQUEST_SUCCEEDED, "False", Reason::MalformedResponse));
    life.restart();
    life.run_for(SOON);
    assert_eq!(life.requests.len(), 2, "the back-off outlives the process");
    let status = life.o.credential.status.clone().unwrap();
    let next = status.next_attempt_time.unwrap().0;
    life.run_for(span(life.now, next));
    assert_eq!(life.requests.len(), 3, "it is asked again in time");
    // A failure for another pointer is none for this one.
    life.answer = Ok(Lifetime::Known(HOUR));
    let id = json!({"key": "url", "type": "Response", "response": {"pointer": "/id"}});
    edit_target(&mut life, &json!({"additionalOutputFormats": [id]}));
    life.run_for(SOON);
    assert_eq!((life.requests.len(), life.writes), (4, 2));
    assert!(life.is(status::REQUEST_SUCCEEDED, "True", Reason::RequestSucceeded));
}

#[test]
fn a_failure_for_a_pointer_that_was_edited_while_nobody_looked_is_forgotten() {
    let mut life = settled(&json!({}));
    life.answer = Err(Reason::MalformedResponse);
    edit_target(&mut life, &json!({"additionalOutputFormats": [url()]}));
    life.run_for(SOON);
    life.answer = Ok(Lifetime::Known(HOUR));
    let id = json!({"key": "url", "type": "Response", "response": {"pointer": "/id"}});
    edit_target(&mut life, &json!({"additionalOutputFormats": [id]}));
    life.restart();
    life.run_for(SOON);
    assert_eq!((life.requests.len(), life.writes), (3, 2));
}

#[test]
fn the_same_token_again_brings_the_value_once() {
    let mut life = settled(&json!({}));
    life.same_token = true;
    edit_target(&mut life, &json!({"additionalOutputFormats": [url()]}));
    life.run_for(MINUTE);
    assert_eq!((life.requests.len(), life.writes), (2, 2));
    assert_eq!(life.o.record().unwrap().revision, 1, "it is the same token");
    assert!(applied(&mut life).data.contains("url"));
}

/// A token that waits for its write came without what the spec has come to ask for.
#[test]
fn a_token_that_was_granted_before_the_value_was_asked_for_is_written_without_it() {
    let mut life = Life::new(&json!({}));
    life.refuses_writes = true;
    life.look();
    assert!(life.o.memory.granted.is_some());
    let all = json!([url(), {"key": "raw", "type": "Raw"}]);
    edit_target(&mut life, &json!({"additionalOutputFormats": all}));
    life.refuses_writes = false;
    let decision = decide(&life.o, after(life.now, MINUTE));
    assert_eq!(decision, Decision::Write);
    let outcome = conclude(&life.o, &decision, &Step::Nothing, after(life.now, MINUTE));
    life.apply(outcome);
    assert!(applied(&mut life).data.contains("raw") && !applied(&mut life).data.contains("url"));
    life.run_for(MINUTE + MINUTE);
    assert_eq!((life.requests.len(), life.writes), (2, 2));
    assert!(applied(&mut life).data.contains("url"));
    assert_eq!(life.notices, ["TokenIssued"]);
}
