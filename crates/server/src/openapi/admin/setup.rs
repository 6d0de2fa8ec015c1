//! What is set up: partners, recipients, registrations, providers.

use domain::id::{ClientId, ProviderId};
use domain::model::client::ClientState;
use domain::model::registration::{RegistrationState, RegistrationStep, WrongState};
use http::Method;
use serde_json::{Value, json};

use super::super::operation::{Body, Operation};
use super::running::{id, provider, with, word};
use super::{JSON, OfOperators, body, row};
use crate::admin::AdminError;
use crate::admin::provider::{ProviderBody, ProviderDetail, ProviderTest};
use crate::admin::setup::{
    PartnerBody, PartnerCreated, RecipientBody, RecipientCreated, RecipientRemoved, RegistrationBody,
    RegistrationsAsked, SecretIssued,
};
use crate::manage::Pair;

pub(super) fn operations() -> Vec<Operation> {
    let mut all = providers();
    all.extend(registrations());
    all.extend(steps());
    all.extend(recipients());
    all.extend(partners());
    all
}

fn one_provider() -> Value {
    json!({"id": 1000, "name": "Maple Trust", "country": "CA", "state": "active", "source": "api"})
}

fn settings() -> Value {
    json!({"name": "Maple Trust", "country": "CA", "authorization_endpoint": "https://maple.example.org/authorize",
        "token_endpoint": "https://maple.example.org/token",
        "revocation_endpoint": "https://maple.example.org/revoke", "client_id": "hub",
        "auth": "client_secret_basic", "fdx": {"base_url": "https://maple.example.org/fdx/v5", "version": "5"},
        "scopes": {"ACCOUNT_BASIC": "accounts", "TRANSACTIONS": "transactions"}, "recipient_shown_by": "hub",
        "bank_grant": "per_token", "customer_identity": "none", "revoke": ["rfc7009"]})
}

fn providers() -> Vec<Operation> {
    const ALL: &str = "/admin/v1/providers";
    let (one, test) = ("/admin/v1/providers/{provider_id}", "/admin/v1/providers/{provider_id}/test");
    let detail = with(one_provider(), json!({"settings": settings()}));
    let row = |method, path, id, summary| row("Providers", method, path, id, summary);
    let shown = |operation: Operation| {
        operation.gives::<ProviderDetail>(200, "The provider", detail.clone()).unknown("provider")
    };
    let checks =
        json!({"ok": true, "checks": [{"name": "token", "ok": true, "detail": "it knows the hub's client"}]});
    vec![
        row(Method::GET, ALL, "listProviders", "Look at the providers")
            .lists::<ProviderBody>([], &one_provider()),
        row(Method::POST, ALL, "addProvider", "Add a provider")
            .says(
                "As `[[provider]]` of the configuration, with the secret itself, which is sealed at once. What the \
                 configuration names is not changed here.",
            )
            .takes(
                "NewProvider",
                body::provider(),
                with(settings(), json!({"id": 1000, "client_secret": "the-hubs-secret-there"})),
            )
            .gives::<ProviderDetail>(201, "The provider", detail.clone())
            .refuses([AdminError::invalid("fdx.base_url", "expected an https URL")])
            .conflicts("A provider of this id is there already")
            .reads_a_body(JSON),
        shown(row(Method::GET, one, "getProvider", "Look at a provider")),
        row(Method::POST, test, "testProvider", "Test a provider")
            .says("Asks its endpoints for what a connection would need. Nothing is changed, here or there.")
            .gives::<ProviderTest>(200, "What was found", checks)
            .unknown("provider"),
        shown(row(Method::POST, "/admin/v1/providers/{provider_id}/pause", "pauseProvider", "Hold a provider"))
            .says("Nobody is ended, nothing is read, nothing new is connected."),
        shown(row(
            Method::POST,
            "/admin/v1/providers/{provider_id}/release",
            "releaseProvider",
            "Let a provider take part again",
        )),
        shown(row(Method::POST, "/admin/v1/providers/{provider_id}/retire", "retireProvider", "Retire a provider"))
            .says("As held, for good: nothing new is connected."),
    ]
}

fn registration() -> Value {
    json!({"client_id": "dc-…", "client_name": "Acme Budget", "provider_id": 1000, "provider_name": "Maple Trust",
        "partner": "dc-…", "state": "pending_approval", "reason": null, "requested_at": "2026-11-24T12:00:00.000Z"})
}

/// A pair that is in the way.
fn in_the_way(sentence: &str) -> Vec<(Pair, String)> {
    let pair = |client_id| (Pair { client_id, provider_id: ProviderId::new(1000) }, sentence.to_owned());
    ClientId::parse("dc-acme").ok().map(pair).into_iter().collect()
}

fn registrations() -> Vec<Operation> {
    const ALL: &str = "/admin/v1/registrations";
    let one = "/admin/v1/registrations/{client_id}/{provider_id}";
    let row = |method, path, id, summary| row("Registrations", method, path, id, summary);
    vec![
        row(Method::GET, ALL, "listRegistrations", "Look for registrations").lists::<RegistrationBody>(
            [
                id("client_id", "Of this recipient."),
                provider(),
                id("partner", "Of the recipients of this partner."),
                word::<RegistrationState>("state", "In this state."),
            ],
            &registration(),
        ),
        row(Method::POST, ALL, "requestRegistrations", "Ask for registrations")
            .says("Of each recipient with each provider: all, or none.")
            .takes(
                "RegistrationRequest",
                body::registrations(),
                json!({"client_ids": ["dc-…"], "provider_ids": [1000]}),
            )
            .gives::<RegistrationsAsked>(200, "One for each pair", json!({"items": [registration()]}))
            .refuses([
                AdminError::invalid("provider_ids[0]", "must be a positive integer"),
                AdminError::Pairs { missing: true, pairs: in_the_way("There is no such recipient") },
                AdminError::Pairs {
                    missing: false,
                    pairs: in_the_way("This registration was asked for before and is active"),
                },
            ])
            .reads_a_body(JSON),
        row(Method::GET, one, "getRegistration", "Look at a registration")
            .gives::<RegistrationBody>(200, "The registration", registration())
            .unknown("registration"),
    ]
}

/// The steps of a registration that an operator takes.
fn steps() -> Vec<Operation> {
    let row = |step: RegistrationStep, path, id, summary| {
        row("Registrations", Method::POST, path, id, summary)
            .gives::<RegistrationBody>(200, "The registration", registration())
            .unknown("registration")
            .conflicts(WrongState { state: RegistrationState::Rejected, step }.to_string())
    };
    let takes = |operation: Operation, schema, required, example| {
        let (media, examples): (&[_], _) = (&["application/json"], vec![("example", example)]);
        operation
            .takes_body(Body { media, required, schema, examples })
            .refuses([AdminError::invalid("reason", "must be a string")])
            .reads_a_body(JSON)
    };
    let reason = || json!({"reason": "The contract has ended."});
    let approve = row(
        RegistrationStep::Approve,
        "/admin/v1/registrations/{client_id}/{provider_id}/approve",
        "approveRegistration",
        "Approve a registration",
    );
    let activate = row(
        RegistrationStep::Activate,
        "/admin/v1/registrations/{client_id}/{provider_id}/activate",
        "activateRegistration",
        "Activate a registration",
    );
    let reject = row(
        RegistrationStep::Reject,
        "/admin/v1/registrations/{client_id}/{provider_id}/reject",
        "rejectRegistration",
        "Turn a registration down",
    );
    let suspend = row(
        RegistrationStep::Suspend,
        "/admin/v1/registrations/{client_id}/{provider_id}/suspend",
        "suspendRegistration",
        "Hold a registration",
    );
    let reinstate = row(
        RegistrationStep::Reinstate,
        "/admin/v1/registrations/{client_id}/{provider_id}/reinstate",
        "reinstateRegistration",
        "Let a registration go on",
    );
    let there = json!({"upstream_client_id": "acme-at-maple", "upstream_client_secret": "its-secret-there"});
    vec![
        approve.says("It goes to the provider for activation."),
        takes(activate, ("Activation", body::activation()), false, there).says(
            "The provider has set the recipient up. Its own client there goes along where the provider wants one.",
        ),
        takes(reject, ("Rejection", body::reason(true)), true, reason()),
        takes(suspend, ("Suspension", body::reason(false)), false, reason())
            .says("Nothing is read and nothing connected meanwhile; no connection ends."),
        reinstate,
    ]
}

fn recipient() -> Value {
    with(
        body::RECIPIENT.clone(),
        json!({"client_id": "dc-…", "partner": null, "state": "active", "max_duration_days": null,
            "created_at": "2026-11-24T12:00:00.000Z"}),
    )
}

/// A secret of a kind of client.
fn secret(operation: Operation, what: &'static str) -> Operation {
    operation
        .says("The former secret and the client's own tokens are void once this is answered; connections live on.")
        .gives::<SecretIssued>(200, "The secret, shown this once", json!({"client_id": "dc-…", "client_secret": "…"}))
        .unknown(what)
}

fn recipients() -> Vec<Operation> {
    const ALL: &str = "/admin/v1/recipients";
    const ONE: &str = "/admin/v1/recipients/{client_id}";
    let row = |method, path, id, summary| row("Recipients", method, path, id, summary);
    let shown = |operation: Operation| {
        operation.gives::<RecipientBody>(200, "The recipient", recipient()).unknown("recipient")
    };
    let uris = json!({"redirect_uris": ["https://acme.example.org/back"]});
    vec![
        row(Method::GET, ALL, "listRecipients", "Look for recipients").lists::<RecipientBody>(
            [id("partner", "Of this partner."), word::<ClientState>("state", "In this state.")],
            &recipient(),
        ),
        row(Method::POST, ALL, "createRecipient", "Make a recipient")
            .says("Of a partner, or of nobody. It is registered with no provider yet.")
            .takes("NewRecipient", body::recipient(), body::RECIPIENT.clone())
            .gives::<RecipientCreated>(
                201,
                "The recipient, with its secret",
                json!({"recipient": recipient(), "client_secret": "…"}),
            )
            .refuses([AdminError::invalid("scope", "must include ACCOUNT_BASIC")])
            .reads_a_body(JSON),
        shown(row(Method::GET, ONE, "getRecipient", "Look at a recipient")),
        shown(row(Method::PUT, ONE, "updateRecipient", "Replace the redirect URIs of a recipient"))
            .takes("RedirectUris", body::redirect_uris(), uris)
            .refuses([AdminError::invalid("redirect_uris", "is missing")])
            .reads_a_body(JSON),
        row(Method::DELETE, ONE, "removeRecipient", "Remove a recipient")
            .says("From now on it can do nothing, and all its connections end, each with its provider told.")
            .can_be_tried()
            .gives::<RecipientRemoved>(
                200,
                "What came of it",
                json!({"connections": 2, "outcome": "removed"}),
            )
            .unknown("recipient"),
        secret(
            row(
                Method::POST,
                "/admin/v1/recipients/{client_id}/secret",
                "regenerateRecipientSecret",
                "Give a recipient another secret",
            ),
            "recipient",
        ),
        shown(row(
            Method::POST,
            "/admin/v1/recipients/{client_id}/suspend",
            "suspendRecipient",
            "Hold a recipient",
        ))
        .says("Tokens and data are refused, nothing is destroyed."),
        shown(row(
            Method::POST,
            "/admin/v1/recipients/{client_id}/reinstate",
            "reinstateRecipient",
            "Let a recipient go on",
        )),
    ]
}

fn partners() -> Vec<Operation> {
    const ALL: &str = "/admin/v1/partners";
    let row = |method, path, id, summary| row("Partners", method, path, id, summary);
    let partner = || json!({"client_id": "dc-…", "name": "Flinks Fake", "state": "active", "created_at": "2026-11-24T12:00:00.000Z"});
    let shown = |operation: Operation| {
        operation.gives::<PartnerBody>(200, "The partner", partner()).unknown("partner")
    };
    vec![
        row(Method::GET, ALL, "listPartners", "Look at the partners").lists::<PartnerBody>([], &partner()),
        row(Method::POST, ALL, "createPartner", "Make a partner")
            .takes("NewPartner", body::partner(), json!({"name": "Flinks Fake"}))
            .gives::<PartnerCreated>(
                201,
                "The partner, with its secret",
                json!({"partner": partner(), "client_secret": "…"}),
            )
            .refuses([AdminError::invalid("name", "is missing")])
            .reads_a_body(JSON),
        shown(row(Method::GET, "/admin/v1/partners/{client_id}", "getPartner", "Look at a partner")),
        secret(
            row(
                Method::POST,
                "/admin/v1/partners/{client_id}/secret",
                "regeneratePartnerSecret",
                "Give a partner another secret",
            ),
            "partner",
        ),
        shown(row(
            Method::POST,
            "/admin/v1/partners/{client_id}/suspend",
            "suspendPartner",
            "Hold a partner",
        ))
        .says("Its recipients and their connections are not touched."),
        shown(row(
            Method::POST,
            "/admin/v1/partners/{client_id}/reinstate",
            "reinstatePartner",
            "Let a partner go on",
        )),
    ]
}
