//! What is held or removed while a customer stands on the hub's pages.

use bowline::cli::{Answer, Sent, hidden};
use domain::model::provider::ProviderState;
use http::Method;
use serde_json::{Value, json};

use crate::kit::{Kit, Recipient, SCOPE, on_both, parameter};

on_both!(
    who_is_held_after_the_request_gets_no_further_than_the_consent_page,
    who_is_held_while_the_customer_reads_is_not_approved,
    a_recipient_that_was_removed_gets_a_page_alone,
    a_place_that_is_no_more_registered_gets_a_page_alone,
    a_picked_provider_is_asked_for_anew,
    who_is_held_during_the_exchange_leaves_one_job,
);

/// What holds a recipient back at provider 1000, and the word that `authorize` says it with.
const HOLDS: [(&str, &str); 3] = [
    ("recipients/{id}/suspend", "unauthorized_client"),
    ("registrations/{id}/1000/suspend", "unauthorized_client"),
    ("providers/1000/pause", "temporarily_unavailable"),
];

impl Kit {
    async fn takes(&self, step: &str, recipient: &Recipient) {
        self.did(Method::POST, &format!("/{}", step.replace("{id}", &recipient.id)), None).await;
    }

    /// The consent page of a fresh request.
    async fn consent(&self, recipient: &Recipient) -> (String, Answer) {
        let answer = self.authorize(&Self::ask(recipient)).await;
        let (at, page) = self.follow(self.app().public_url(), answer).await;
        assert!(page.body.contains("value=\"approve\""), "{}", page.body);
        (at, page)
    }

    /// The customer says yes on a page that was shown before.
    async fn approved(&self, at: &str, page: &Answer) -> Answer {
        self.decided(at, page, "approve").await
    }

    async fn decided(&self, at: &str, page: &Answer, decision: &str) -> Answer {
        let token = hidden(&page.body, "form_token").unwrap();
        let form = [("form_token", token.as_str()), ("decision", decision)];
        self.send(Sent::new(Method::POST, at).form(&form)).await
    }

    /// Where a customer stands who has agreed at the bank: at the hub's callback.
    pub(crate) async fn agreed_at_the_bank(&self, recipient: &Recipient) -> String {
        let (at, page) = self.up_to_accounts(&Self::ask(recipient), "alice").await;
        let token = hidden(&page.body, "form_token").unwrap();
        let chosen = [("form_token", token.as_str()), ("accounts", "mt-alice-card"), ("decision", "approve")];
        self.send(Sent::new(Method::POST, &at).form(&chosen)).await.location.unwrap()
    }

    /// A page that says that it goes no further; where its link leads.
    fn stopped(answer: &Answer) -> Option<String> {
        assert_eq!((answer.status, &answer.location), (403, &None), "{}", answer.body);
        assert!(answer.body.contains("cannot be connected at present"), "{}", answer.body);
        assert!(!answer.body.contains("<form"), "{}", answer.body);
        let link = answer.body.split("href=\"").find(|part| part.starts_with("http"))?;
        Some(link.split('"').next().unwrap().replace("&#38;", "&"))
    }

    async fn nothing_came_of_it(&self) {
        for table in ["connections", "authorization_codes", "jobs"] {
            let rows = self.behind(&format!("SELECT count(*) FROM {table}")).await;
            assert_eq!(rows, ["0"], "{table}");
        }
        assert!(self.grants().await.is_empty(), "the bank has heard of nothing");
    }
}

/// A recipient with two providers, so that it may redirect whatever becomes of the first.
async fn recipient(kit: &Kit) -> Recipient {
    kit.recipient(&[1000, 2000], SCOPE, false).await
}

async fn who_is_held_after_the_request_gets_no_further_than_the_consent_page(kit: Kit) {
    for (hold, word) in HOLDS {
        let app = recipient(&kit).await;
        let (at, page) = kit.consent(&app).await;
        kit.takes(hold, &app).await;
        let again = kit.send(Sent::new(Method::GET, &at)).await;
        let back = Kit::stopped(&again).unwrap_or_else(|| panic!("{hold}: {}", again.body));
        assert!(back.starts_with(&app.redirect_uri), "{back}");
        assert_eq!(parameter(&back, "error").as_deref(), Some(word), "{hold}");
        assert_eq!(parameter(&back, "state").as_deref(), Some("a state/with=odd&chars"));
        // The same words as where it asks anew.
        let anew = kit.authorize(&Kit::ask(&app)).await.location.unwrap();
        assert_eq!(anew, back, "{hold}");
        if hold.starts_with("providers") {
            kit.hold_provider(1000, ProviderState::Active).await;
        } else {
            kit.takes(&hold.replace("suspend", "reinstate"), &app).await;
        }
        let (_, sent) = kit.submit(&at, &page, &[("decision", "approve")]).await;
        assert!(sent.body.contains("username"), "looking alone has ended nothing: {}", sent.body);
    }
    kit.nothing_came_of_it().await;
}

async fn who_is_held_while_the_customer_reads_is_not_approved(kit: Kit) {
    let app = recipient(&kit).await;
    let (at, page) = kit.consent(&app).await;
    kit.takes("registrations/{id}/1000/suspend", &app).await;
    let denied = kit.decided(&at, &page, "deny").await;
    let back = denied.location.unwrap();
    assert!(denied.status == 303 && back.starts_with(&app.redirect_uri), "it has another provider: {back}");
    assert_eq!(parameter(&back, "error").as_deref(), Some("access_denied"));
    for (hold, word) in HOLDS {
        let app = recipient(&kit).await;
        let (at, page) = kit.consent(&app).await;
        kit.takes(hold, &app).await;
        let refused = kit.approved(&at, &page).await;
        let back = Kit::stopped(&refused).unwrap_or_else(|| panic!("{hold}: {}", refused.body));
        assert_eq!(parameter(&back, "error").as_deref(), Some(word), "{hold}");
        assert_eq!(parameter(&back, "code"), None);
    }
    kit.nothing_came_of_it().await;
}

async fn a_recipient_that_was_removed_gets_a_page_alone(kit: Kit) {
    let app = recipient(&kit).await;
    let only = kit.recipient(&[1000], SCOPE, false).await;
    let (seen, approved, unregistered) =
        (kit.consent(&app).await, kit.consent(&app).await, kit.consent(&only).await);
    let denied = [kit.consent(&app).await, kit.consent(&only).await];
    kit.did(Method::DELETE, &format!("/recipients/{}", app.id), None).await;
    kit.takes("registrations/{id}/1000/suspend", &only).await;
    assert_eq!(Kit::stopped(&kit.send(Sent::new(Method::GET, &seen.0)).await), None);
    assert_eq!(Kit::stopped(&kit.approved(&approved.0, &approved.1).await), None);
    let refused = kit.approved(&unregistered.0, &unregistered.1).await;
    assert_eq!(Kit::stopped(&refused), None, "without any active registration nobody is sent anywhere");
    for (at, page) in denied {
        assert_eq!(Kit::stopped(&kit.decided(&at, &page, "deny").await), None, "a no sends nobody either");
    }
    let over = kit.behind("SELECT count(*) FROM authorization_requests WHERE status = 'failed'").await;
    assert_eq!(over, ["4"], "and it was a no");
    kit.nothing_came_of_it().await;
}

async fn a_place_that_is_no_more_registered_gets_a_page_alone(kit: Kit) {
    let app = recipient(&kit).await;
    let ((at, page), denied) = (kit.consent(&app).await, kit.consent(&app).await);
    let callback = kit.agreed_at_the_bank(&app).await;
    let uris: Value = json!({"redirect_uris": ["https://other.example.org/elsewhere"]});
    kit.did(Method::PUT, &format!("/recipients/{}", app.id), Some(uris)).await;
    assert_eq!(Kit::stopped(&kit.send(Sent::new(Method::GET, &at)).await), None);
    assert_eq!(Kit::stopped(&kit.approved(&at, &page).await), None);
    assert_eq!(Kit::stopped(&kit.decided(&denied.0, &denied.1, "deny").await), None);
    let answer = kit.send(Sent::new(Method::GET, &callback)).await;
    assert_eq!((answer.status, &answer.location), (400, &None), "{}", answer.body);
    assert_eq!(
        kit.behind("SELECT count(*) FROM connections").await,
        ["0"],
        "and nothing was exchanged for it"
    );
}

async fn a_picked_provider_is_asked_for_anew(kit: Kit) {
    let app = recipient(&kit).await;
    let mut asked = Kit::ask(&app);
    asked.retain(|(name, _)| *name != "provider_id");
    let page = kit.authorize(&asked).await;
    assert!(page.body.contains(r#"value="1000""#), "{}", page.body);
    kit.takes("registrations/{id}/1000/suspend", &app).await;
    let without = kit.authorize(&asked).await;
    assert!(!without.body.contains(r#"value="1000""#) && without.body.contains(r#"value="2000""#));
    asked.push(("provider_id", "1000".into()));
    let back = kit.authorize(&asked).await.location.unwrap();
    assert_eq!(parameter(&back, "error").as_deref(), Some("unauthorized_client"), "{back}");
    kit.takes("recipients/{id}/suspend", &app).await;
    asked.pop();
    let back = kit.authorize(&asked).await.location.unwrap();
    assert_eq!(parameter(&back, "error").as_deref(), Some("unauthorized_client"), "{back}");
}

async fn who_is_held_during_the_exchange_leaves_one_job(kit: Kit) {
    let app = recipient(&kit).await;
    let callback = kit.agreed_at_the_bank(&app).await;
    kit.levers(json!({"latency_ms": 400})).await;
    let (answer, ()) = tokio::join!(kit.send(Sent::new(Method::GET, &callback)), async {
        let exchanging = "SELECT id FROM authorization_requests WHERE status = 'exchanging'";
        kit.until("the bank is asked", async || !kit.behind(exchanging).await.is_empty()).await;
        kit.takes("recipients/{id}/suspend", &app).await;
    });
    let back = answer.location.unwrap();
    assert_eq!(parameter(&back, "error").as_deref(), Some("unauthorized_client"), "{back}");
    kit.until("the bank is told", async || kit.grants().await == ["ended"]).await;
    let jobs = "SELECT kind, state FROM jobs";
    kit.until("it is done", async || kit.behind(jobs).await.contains(&"revoke_orphan|done".into())).await;
    assert_eq!(kit.behind(jobs).await, ["revoke_orphan|done"]);
}
