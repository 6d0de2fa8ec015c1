//! Tests that no value that the hub stores or sends changes: a renamed value would break existing stores, audit chains
//! and clients.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use schemars::JsonSchema;
use serde_json::Value;

use crate::error::OAuthCode;
use crate::id::{
    AccessTokenId, AuditEventId, AuthorizationRequestId, ClientId, ConnectionId, CustomerId, JobId, LeaseId,
    OperatorId,
};
use crate::model::audit_event::{ActorKind, AuditAction, SubjectKind};
use crate::model::authorization_request::RequestStatus;
use crate::model::client::{ClientKind, ClientState, Profile};
use crate::model::connection::{ConnectionStatus, EndCause, UpstreamRevocation};
use crate::model::job::{JobKind, JobState, OrphanedGrantStatus, TokenType};
use crate::model::operator::Role;
use crate::model::provider::{
    AccountType, ClientAuthentication, ConsentShownBy, CustomerIdentity, Dpop, DynamicRegistration,
    EndpointGroup, FdxEndpoint, FdxVersion, GrantScope, IdentityClient, ProviderSettings, ProviderSource,
    ProviderState, RevokeMethod, RevokeTokens, SecretSource, SigningAlgorithm, TermsSource, TlsSettings,
    UpstreamClientMode,
};
use crate::model::registration::{RegistrationState, RegistrationStep};
use crate::rule::expiry_brake::ExpiryState;
use crate::scope::{ClientScope, DataCluster};
use crate::str_enum::StrEnum;

/// Returns the values of an enum, in the order of its variants, and checks that each parses to its variant.
fn values<E: StrEnum + FromStr + Display + Debug + PartialEq>() -> Vec<&'static str> {
    for variant in E::VARIANTS {
        assert_eq!(variant.value_str().parse().ok(), Some(*variant));
        assert_eq!(variant.to_string(), variant.value_str());
        assert!(format!("{variant:?}").parse::<E>().is_err(), "{variant:?} is a name, not a value");
    }
    E::VARIANTS.iter().map(|variant| variant.value_str()).collect()
}

#[test]
fn stored_enum_values_are_unchanged() {
    assert_eq!(values::<ClientKind>(), ["recipient", "partner"]);
    assert_eq!(values::<Profile>(), ["flinks", "fapi2"]);
    assert_eq!(values::<ClientState>(), ["active", "suspended", "closed"]);
    assert_eq!(values::<ProviderState>(), ["active", "paused", "retired", "auto_paused"]);
    assert_eq!(values::<ProviderSource>(), ["config", "api"]);
    assert_eq!(
        values::<RegistrationState>(),
        ["pending_approval", "pending_activation", "active", "suspended", "rejected"]
    );
    assert_eq!(values::<RegistrationStep>(), ["approve", "activate", "reject", "suspend", "reinstate"]);
    assert_eq!(
        values::<RequestStatus>(),
        ["awaiting_consent", "at_provider", "exchanging", "connected", "failed"]
    );
    assert_eq!(values::<ConnectionStatus>(), ["pending", "active", "revoked", "expired", "abandoned"]);
    assert_eq!(
        values::<EndCause>(),
        [
            "recipient",
            "customer",
            "provider",
            "operator",
            "partner",
            "client_removed",
            "provider_removed",
            "replaced",
            "code_replayed",
            "consent_end",
            "idle",
            "access_token_ended",
            "never_redeemed",
        ]
    );
    assert_eq!(
        values::<UpstreamRevocation>(),
        ["pending", "accepted", "verified", "refused", "unknown", "unsupported", "not_needed", "failed"]
    );
    assert_eq!(
        values::<JobKind>(),
        [
            "revoke_at_provider",
            "revoke_orphaned_grant",
            "recover_authorization_code",
            "register_upstream_client",
            "delete_upstream_client",
            "confirm_invalid_grant",
        ]
    );
    assert_eq!(values::<TokenType>(), ["refresh_token", "access_token"]);
    assert_eq!(values::<JobState>(), ["pending", "done", "failed"]);
    assert_eq!(
        values::<EndpointGroup>(),
        ["token", "data", "revocation", "registration", "pushed_authorization", "client_credentials"]
    );
    assert_eq!(values::<OrphanedGrantStatus>(), ["revoked", "possibly_active"]);
    assert_eq!(values::<Role>(), ["viewer", "operator", "admin"]);
}

#[test]
fn audit_values_are_unchanged() {
    assert_eq!(values::<SubjectKind>(), ["connection", "client", "provider", "operator", "hub"]);
    assert_eq!(values::<ExpiryState>(), ["running", "braked", "released"]);
    assert_eq!(values::<ActorKind>(), ["recipient", "customer", "provider", "operator", "partner", "system"]);
    assert_eq!(
        values::<AuditAction>(),
        [
            "client.registered",
            "client.state_changed",
            "client.redirect_uris_replaced",
            "client.secret_regenerated",
            "client.removed",
            "client.call_failed",
            "client.access_denied",
            "provider.changed",
            "provider.metadata_changed",
            "provider.orphaned_grant_resolved",
            "provider.call_failed",
            "registration.changed",
            "connection.opened",
            "connection.activated",
            "connection.narrowed",
            "connection.end_moved",
            "connection.ended",
            "connection.code_rejected",
            "connection.provider_revocation_changed",
            "connection.call_failed",
            "job.retried",
            "job.closed",
            "operator.bootstrap_token_issued",
            "operator.added",
            "operator.removed",
            "operator.access_denied",
            "hub.access_denied",
        ]
    );
}

/// Returns every enum value and member name of a type's JSON schema, sorted.
fn schema_names<T: JsonSchema>() -> Vec<String> {
    fn collect(schema: &Value, names: &mut Vec<String>) {
        let strings = |value: &Value| value.as_str().map(str::to_owned);
        names.extend(schema.get("const").and_then(strings));
        names.extend(schema["enum"].as_array().into_iter().flatten().filter_map(strings));
        for (name, _) in schema["properties"].as_object().into_iter().flatten() {
            names.push(name.clone());
        }
        for alternative in schema["oneOf"].as_array().into_iter().flatten() {
            collect(alternative, names);
        }
    }
    let mut names = Vec::new();
    collect(schemars::schema_for!(T).as_value(), &mut names);
    names.sort();
    names
}

#[test]
fn provider_setting_names_are_unchanged() {
    assert_eq!(
        schema_names::<ProviderSettings>(),
        [
            "account_types",
            "accounts_field",
            "auth",
            "auth_algorithm",
            "auth_key",
            "authorization_details",
            "authorization_endpoint",
            "authorize_parameters",
            "client_id",
            "client_secret",
            "computed_headers",
            "consent_endpoint",
            "consent_scope",
            "consent_shown_by",
            "country",
            "customer_identity",
            "dpop",
            "dynamic_registration",
            "extra_scopes",
            "fdx",
            "grant_field",
            "grant_management_endpoint",
            "grant_scope",
            "headers",
            "history",
            "identity_client",
            "introspection_endpoint",
            "issuer",
            "jwks_uri",
            "metadata_hosts",
            "name",
            "page_size",
            "par",
            "proxy",
            "pushed_authorization_request_endpoint",
            "request_object",
            "revocation_endpoint",
            "revoke",
            "revoke_tokens",
            "scopes",
            "secret_headers",
            "terms",
            "timeout",
            "tls",
            "token_endpoint",
            "upstream_client",
            "url",
        ]
    );
    assert_eq!(schema_names::<DynamicRegistration>(), ["endpoint", "initial_access_token"]);
    assert_eq!(
        schema_names::<IdentityClient>(),
        ["auth", "auth_algorithm", "auth_key", "client_id", "client_secret"]
    );
    assert_eq!(schema_names::<TlsSettings>(), ["allow_private", "ca", "certificate", "key"]);
    assert_eq!(schema_names::<FdxEndpoint>(), ["base_url", "date_parameters", "version"]);
}

#[test]
fn provider_setting_values_are_unchanged() {
    assert_eq!(
        schema_names::<ClientAuthentication>(),
        [
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
            "self_signed_tls_client_auth",
            "tls_client_auth",
        ]
    );
    assert_eq!(schema_names::<SigningAlgorithm>(), ["ES256", "EdDSA", "PS256"]);
    assert_eq!(schema_names::<ConsentShownBy>(), ["hub"]);
    assert_eq!(
        schema_names::<CustomerIdentity>(),
        ["fdx_customer", "id_token", "introspection", "none", "token_field"]
    );
    assert_eq!(schema_names::<Dpop>(), ["auto", "off", "required"]);
    assert_eq!(schema_names::<FdxVersion>(), ["5", "6"]);
    assert_eq!(schema_names::<GrantScope>(), ["per_client_customer", "per_token"]);
    assert_eq!(schema_names::<RevokeMethod>(), ["fdx_consent", "grant_management", "rfc7009"]);
    assert_eq!(schema_names::<RevokeTokens>(), ["access", "both", "refresh"]);
    assert_eq!(schema_names::<SecretSource>(), ["env", "file", "sealed"]);
    assert_eq!(schema_names::<TermsSource>(), ["fdx_consent", "introspection"]);
    assert_eq!(schema_names::<UpstreamClientMode>(), ["aggregator", "hub", "registration"]);
    assert_eq!(
        values::<AccountType>(),
        [
            "depositAccount",
            "locAccount",
            "loanAccount",
            "investmentAccount",
            "insuranceAccount",
            "annuityAccount",
            "commercialAccount",
        ]
    );
}

#[test]
fn scope_values_and_error_codes_are_unchanged() {
    assert_eq!(
        values::<DataCluster>(),
        [
            "ACCOUNT_BASIC",
            "ACCOUNT_DETAILED",
            "ACCOUNT_PAYMENTS",
            "INVESTMENTS",
            "TRANSACTIONS",
            "STATEMENTS",
            "CUSTOMER_CONTACT",
            "CUSTOMER_PERSONAL",
        ]
    );
    let mut clusters = values::<DataCluster>();
    clusters.sort_unstable();
    assert_eq!(schema_names::<DataCluster>(), clusters, "JSON must use the same values");
    assert_eq!(values::<ClientScope>(), ["providers:read", "client:admin"]);
    assert_eq!(
        values::<OAuthCode>(),
        [
            "access_denied",
            "invalid_request",
            "invalid_client",
            "invalid_grant",
            "invalid_scope",
            "unauthorized_client",
            "unsupported_grant_type",
            "unsupported_response_type",
            "server_error",
            "temporarily_unavailable",
        ]
    );
}

#[test]
fn id_prefixes_are_unchanged() {
    let prefixes = [
        ClientId::PREFIX,
        ConnectionId::PREFIX,
        CustomerId::PREFIX,
        AuthorizationRequestId::PREFIX,
        JobId::PREFIX,
        LeaseId::PREFIX,
        AuditEventId::PREFIX,
        OperatorId::PREFIX,
        AccessTokenId::PREFIX,
    ];
    assert_eq!(prefixes, ["dc-", "con_", "cus_", "arq_", "job_", "lea_", "aud_", "opr_", "at_"]);
}
