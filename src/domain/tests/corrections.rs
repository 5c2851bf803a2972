//! What is taken back, corrected, or fought over: nothing that was wrong for a while stays in the way.
//!
//! **Invariant:** each test says what went wrong before, and what must hold once it is put right.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn settled(spec: &Value) -> Life {
    let mut life = Life::new(spec);
    life.run_for(MINUTE);
    assert_eq!((life.requests.len(), life.writes), (1, 1));
    life
}

fn held(life: &mut Life) -> &mut TargetMetadata {
    match &mut life.o.target {
        Known::Present(target) => target,
        Known::Absent | Known::Untold => panic!("there is a Secret"),
    }
}

/// The back-off of a key that was wrong must not outlast the return to the right one.
#[test]
fn a_reference_that_is_taken_back_is_compared_and_its_failure_forgotten() {
    let mut life = settled(&json!({}));
    let key = |key: Option<&str>| {
        let key = key.map(str::to_owned);
        move |credential: &mut OAuthClientCredential| {
            let reference = credential.spec.credentials_secret_ref.as_mut().unwrap();
            reference.client_secret_key = key;
        }
    };
    life.edit_spec(key(Some("next")));
    (life.secret, life.answer) = ("s2", Err(Reason::InvalidClient));
    life.run_for(MINUTE);
    assert!(life.is(status::REQUEST_SUCCEEDED, "False", Reason::InvalidClient));
    life.edit_spec(key(None));
    (life.secret, life.answer) = ("s1", Ok(Lifetime::Known(HOUR)));
    let asked = life.requests.len();
    life.run_for(Duration::from_secs(1));
    assert!(life.is(status::REQUEST_SUCCEEDED, "True", Reason::RequestSucceeded));
    assert_eq!(life.requests.len(), asked, "the token is good");
    life.run_for(3 * HOUR);
    assert!(!life.notices.contains(&"TokenExpired"));
}

/// Whoever removes every annotation of ours must not bring a grant each time.
#[test]
fn whoever_removes_all_annotations_is_met_as_any_other_fight() {
    let response = json!({"key": "url", "type": "Response", "response": {"pointer": "/u"}});
    for (entry, most) in [(response, 6), (json!({"key": "raw", "type": "Raw"}), 1)] {
        let mut life = settled(&json!({"target": {"additionalOutputFormats": [entry]}}));
        for _ in 0..200 {
            let target = held(&mut life);
            target.marks.retain(|name, _| name == crd::OWNER_UID);
            target.resource_version += 1;
            life.run_for(Duration::from_secs(2));
        }
        assert!(life.requests.len() <= most, "{} requests", life.requests.len());
        assert!(life.writes <= 100, "{} writes", life.writes);
        assert!(life.is(status::SECRET_SYNCED, "False", Reason::Contended), "{entry:?}");
    }
}

/// The old key is lost and a form lies under the new one: only a grant helps.
#[test]
fn a_token_that_was_altered_before_its_key_was_edited_is_asked_for() {
    let mut life = settled(&json!({"target": {
        "additionalOutputFormats": [{"key": "access-token", "type": "Raw"}]}}));
    held(&mut life).applied.as_mut().unwrap().data.remove("token");
    held(&mut life).resource_version += 1;
    life.edit_spec(|credential| {
        let target = json!({"tokenKey": "access-token"});
        credential.spec.target = Some(serde_json::from_value(target).unwrap());
    });
    life.run_for(MINUTE);
    assert_eq!(life.requests.last().unwrap().1, Trigger::SecretDrift);
    assert!(life.is(status::READY, "True", Reason::TokenValid));
}

/// A token of a spec that was dropped while its write was refused replaces no valid one.
#[test]
fn a_token_of_a_dropped_spec_is_not_written_over_a_valid_one() {
    let mut life = settled(&json!({}));
    life.refuses_writes = true;
    life.edit_spec(|credential| credential.spec.scopes = vec!["b".to_owned()]);
    life.run_for(Duration::from_secs(20));
    assert_eq!((life.requests.len(), life.writes), (2, 1));
    life.edit_spec(|credential| credential.spec.scopes.clear());
    life.refuses_writes = false;
    life.run_for(2 * MINUTE);
    assert_eq!(
        (life.requests.len(), life.writes),
        (2, 1),
        "the token in the Secret is of this spec"
    );
    assert!(life.is(status::READY, "True", Reason::TokenValid));
    assert!(life.is(status::SECRET_SYNCED, "True", Reason::SecretSynced));
}

/// What was refused for another spec is tried at once when that spec comes back.
#[test]
fn a_failure_of_a_spec_does_not_come_back_with_it() {
    let mut life = settled(&json!({}));
    let scopes = |scopes: &[&str]| {
        let scopes: Vec<_> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        move |credential: &mut OAuthClientCredential| credential.spec.scopes = scopes
    };
    life.edit_spec(scopes(&["b"]));
    life.answer = Err(Reason::InvalidScope);
    life.run_for(20 * MINUTE);
    let asked = life.requests.len();
    life.edit_spec(scopes(&[]));
    life.run_for(Duration::from_secs(1));
    life.answer = Ok(Lifetime::Known(HOUR));
    life.edit_spec(scopes(&["b"]));
    life.run_for(Duration::from_secs(1));
    assert_eq!(life.requests.len(), asked + 1);
    assert!(life.is(status::READY, "True", Reason::TokenValid));
}

/// A refused write whose cause was taken back is over with the edit.
#[test]
fn a_refused_write_is_forgotten_with_the_edit_that_it_was_for() {
    let mut life = settled(&json!({}));
    life.refuses_writes = true;
    let form = |forms: Value| {
        move |credential: &mut OAuthClientCredential| {
            let target = json!({"additionalOutputFormats": forms});
            credential.spec.target = Some(serde_json::from_value(target).unwrap());
        }
    };
    life.edit_spec(form(json!([{"key": "raw", "type": "Raw"}])));
    life.run_for(Duration::from_secs(5));
    assert!(life.is(status::SECRET_SYNCED, "False", Reason::SecretWriteFailed));
    life.edit_spec(form(json!([])));
    life.run_for(Duration::from_secs(1));
    assert!(life.is(status::SECRET_SYNCED, "True", Reason::SecretSynced));
    life.restart();
    life.run_for(Duration::from_secs(1));
    assert!(life.is(status::SECRET_SYNCED, "True", Reason::SecretSynced));
}

/// Two Secrets of renames whose tokens can't be read back do not take turns for ever.
#[test]
fn leftovers_that_can_t_be_read_back_are_tried_once_each() {
    let mut life = settled(&json!({}));
    let left = |name: &str, version| {
        let metadata = TargetMetadata {
            resource_version: version,
            ..life.o.target.present().unwrap().clone()
        };
        LeftBehind { name: name.into(), metadata }
    };
    life.o.left_behind = vec![left("a", 11), left("b", 12)];
    life.o.target = Known::Absent;
    for _ in 0..2 {
        let decision = decide(&life.o, life.now);
        assert_eq!(decision, Decision::Rename);
        let unread = conclude(&life.o, &decision, &Step::ReadBack(None), life.now);
        life.apply(unread);
    }
    assert_eq!(decide(&life.o, life.now), Decision::Request(Trigger::SecretMissing));
}

/// Its own Secret holds an expired token, so the living one beside it stays until there is a new one.
#[test]
fn no_living_token_is_deleted_for_one_that_has_expired() {
    let mut life = settled(&json!({}));
    let metadata =
        TargetMetadata { resource_version: 9, ..life.o.target.present().unwrap().clone() };
    life.o.left_behind = vec![LeftBehind { name: "newer".into(), metadata }];
    life.now = after(life.now, 2 * HOUR);
    let kept = conclude(&life.o, &Decision::Keep, &Step::Nothing, life.now);
    assert!(kept.remove.is_empty());
}
