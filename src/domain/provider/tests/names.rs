//! Names that are not in the catalogue.

use super::*;

#[test]
fn a_name_in_another_case_or_another_word_leads_to_the_row() {
    for (written, right) in [
        ("zoom", "Zoom"),
        ("ENTRAID", "EntraID"),
        ("AzureAD", "EntraID"),
        ("okta", "OktaCustom"),
        ("cognito", "AWSCognito"),
    ] {
        let message = refused(&spec(written, &[]));
        let expected =
            format!("spec.provider.name {written} is not in the catalogue: write {right}");
        assert_eq!(message, expected);
    }
}

#[test]
fn a_mistyped_name_leads_to_the_nearest_at_most_three() {
    for (written, right) in [
        ("Zom", "Zoom"),
        ("Keyclock", "Keycloak"),
        ("SalesForceMarketing", "SalesforceMarketingCloud"),
        ("Auth", "Auth0"),
        ("Databrick", "Databricks"),
        ("Servicenow2", "ServiceNow"),
        ("Entra1D", "EntraID"),
    ] {
        let offered = nearest::nearest(written);
        assert!(offered.first() == Some(&right), "{written}: {offered:?}");
        assert!(offered.len() <= 3, "{offered:?}");
        let message = refused(&spec(written, &[]));
        assert!(message.contains(&format!("did you mean {right}")), "{message}");
        assert!(message.ends_with("set spec.tokenURL"), "{message}");
    }
}

#[test]
fn a_name_like_no_other_leads_to_the_field() {
    for written in ["Qqqq", "", "日本"] {
        let message = refused(&spec(written, &[]));
        assert!(message.ends_with(": remove spec.provider and set spec.tokenURL"), "{message}");
    }
}

#[test]
fn a_service_that_is_left_out_is_answered_with_the_reason() {
    for entry in not_covered() {
        assert!(find(&entry.name).is_none());
        let message = refused(&spec(&entry.name.to_ascii_lowercase(), &[]));
        assert!(message.contains(&entry.why) && message.ends_with(&entry.instead), "{message}");
        assert!(!entry.why.is_empty() && !entry.instead.ends_with('.'), "{message}");
    }
}

#[test]
fn a_long_or_odd_name_is_shown_short_and_plain() {
    let message = refused(&spec(&"x".repeat(10_000), &[]));
    assert!(message.len() < 256, "{message}");
    let message = refused(&spec("Zo\u{1b}[31m\nom", &[]));
    assert!(message.starts_with("spec.provider.name Zo?[31m?om is"), "{message}");
}
