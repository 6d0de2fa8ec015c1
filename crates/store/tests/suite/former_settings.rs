//! Tests of former settings of providers: they are kept while grants need them, bounded, and protected with their secrets.

use std::time::Duration;

use domain::id::ProviderId;
use domain::model::connection::EndCause;
use domain::model::job::AttemptOutcome;
use domain::model::provider::{Provider, ProviderMetadata, ProviderSource, RevokeMethod, SecretSource};
use store::StoreError;
use store::command::{
    AddProvider, DeleteFormerSettings, FormerSettingsDeletion, FormerSettingsPlan, FormerSettingsUpdate,
    MAX_FORMER_SETTINGS, ProviderChangeRejected, Purge, SealedProviderSecrets, StoreMetadataOutcome,
    StoreProviderMetadata, UpdateProvider, UpdateProviderOutcome, UpsertOutcome, UpsertProvider,
};
use store::query::{
    GetFormerSettings, GetProvider, GetProviderSecrets, ListFormerSettings, ListProviderFormerSettings,
};

use crate::job::{finish_job, lease_job};
use crate::support::{DAY, TestStore, build_provider, on_both, operator_actor};

on_both!(
    former_settings_are_deleted_after_last_grant,
    former_settings_stay_for_login_and_orphaned_grant,
    search_for_grants_continues_where_it_ended,
    endpoints_that_return_get_their_version_again,
    number_of_former_settings_is_limited,
    replaced_secrets_are_written_to_former_settings,
    secrets_of_other_endpoints_are_not_used,
    changed_former_settings_block_no_change_or_deletion,
    change_of_other_version_than_planned_is_outdated,
);

const MAPLE: ProviderId = ProviderId::new(1000);

/// Changes the token endpoint of the configured provider.
async fn move_to(kit: &TestStore, host: &str) -> UpsertOutcome {
    let mut provider = build_provider(1000);
    provider.settings.token_endpoint = Some(format!("https://{host}/token"));
    let (moment, actor) = (kit.next_moment(), operator_actor());
    kit.store.run(UpsertProvider { moment, provider, actor, plan: None }).await.unwrap()
}

async fn delete_former(kit: &TestStore, endpoints_version: i64, limit: u32) -> FormerSettingsDeletion {
    let moment = kit.next_moment();
    let delete = DeleteFormerSettings { moment, provider_id: MAPLE, endpoints_version, limit };
    kit.store.run(delete).await.unwrap()
}

async fn has_former(kit: &TestStore, endpoints_version: i64) -> bool {
    let get = GetFormerSettings { provider_id: MAPLE, endpoints_version };
    kit.store.query(&get).await.unwrap().is_some()
}

async fn purge_logins(kit: &TestStore) {
    kit.store.run(Purge { moment: kit.next_moment(), limit: 500 }).await.unwrap();
}

async fn former_settings_are_deleted_after_last_grant(mut kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    assert_eq!(move_to(&kit, "new.example").await, UpsertOutcome::Written);
    assert!(kit.get_provider().await.version.has_former_revocation);

    assert_eq!(delete_former(&kit, 1, 10).await, FormerSettingsDeletion::Needed, "operations may be running");
    kit.advance_clock(DAY);
    purge_logins(&kit).await;
    assert_eq!(delete_former(&kit, 1, 10).await, FormerSettingsDeletion::Needed, "a connection is live");
    kit.end_connection(&id, EndCause::Recipient, None).await;
    assert_eq!(delete_former(&kit, 1, 10).await, FormerSettingsDeletion::Examining);
    assert_eq!(delete_former(&kit, 1, 10).await, FormerSettingsDeletion::Needed, "a job is pending");
    let (job, lease) = lease_job(&kit).await.unwrap();
    finish_job(&kit, &job, lease, AttemptOutcome::Refused).await;
    assert_eq!(delete_former(&kit, 1, 10).await, FormerSettingsDeletion::Needed, "the job can be retried");
    assert!(has_former(&kit, 1).await);
    kit.advance_clock(DAY * 91);
    purge_logins(&kit).await;
    assert_eq!(delete_former(&kit, 1, 10).await, FormerSettingsDeletion::Deleted);

    assert!(!has_former(&kit, 1).await);
    assert!(!kit.get_provider().await.version.has_former_revocation);
    assert_eq!(delete_former(&kit, 1, 10).await, FormerSettingsDeletion::Gone);
}

async fn former_settings_stay_for_login_and_orphaned_grant(mut kit: TestStore) {
    kit.create_exchanging_request("a", "dc-acme").await;
    move_to(&kit, "new.example").await;
    kit.advance_clock(DAY);
    purge_logins(&kit).await;

    assert_eq!(
        delete_former(&kit, 1, 10).await,
        FormerSettingsDeletion::Needed,
        "the exchange is not recovered"
    );
    kit.execute_sql("DELETE FROM authorization_requests").await;
    assert_eq!(delete_former(&kit, 1, 10).await, FormerSettingsDeletion::Examining);
    // A job that repeats an exchange queues another one for the tokens that it gets.
    kit.advance_clock(Duration::from_mins(1));
    let id = kit.create_active_connection("b", "dc-acme", Some("bob")).await;
    kit.end_connection(&id, EndCause::Recipient, None).await;
    kit.execute_sql("UPDATE jobs SET kind = 'revoke_orphaned_grant'").await;
    assert_eq!(delete_former(&kit, 1, 10).await, FormerSettingsDeletion::Needed);
    kit.execute_sql("UPDATE jobs SET kind = 'revoke_at_provider'").await;
    assert_eq!(delete_former(&kit, 1, 10).await, FormerSettingsDeletion::Deleted, "the job is newer");
}

async fn search_for_grants_continues_where_it_ended(mut kit: TestStore) {
    for (name, customer) in [("a", "alice"), ("b", "bob"), ("c", "chloe")] {
        let id = kit.create_active_connection(name, "dc-acme", Some(customer)).await;
        if name != "c" {
            kit.end_connection(&id, EndCause::Recipient, None).await;
        }
    }
    move_to(&kit, "new.example").await;
    kit.advance_clock(DAY);
    purge_logins(&kit).await;

    let first = [delete_former(&kit, 1, 1).await, delete_former(&kit, 1, 1).await];
    let third = delete_former(&kit, 1, 1).await;
    // The tokens were stored again at the new endpoints.
    kit.execute_sql(&format!("UPDATE upstream_credentials SET updated_at = {}", kit.now.millis())).await;
    let after_refresh = [delete_former(&kit, 1, 1).await, delete_former(&kit, 1, 1).await];

    assert_eq!(first, [FormerSettingsDeletion::Examining; 2]);
    assert_eq!(third, FormerSettingsDeletion::Needed);
    assert_eq!(after_refresh, [FormerSettingsDeletion::Examining; 2]);
    kit.execute_sql("UPDATE jobs SET state = 'done', token = NULL").await;
    assert_eq!(delete_former(&kit, 1, 1).await, FormerSettingsDeletion::Deleted);
}

/// Makes the provider discover its token endpoint.
async fn discover_token_endpoint(kit: &TestStore) {
    let mut provider = build_provider(1000);
    provider.settings.issuer = Some("https://b".into());
    provider.settings.token_endpoint = None;
    let (moment, actor) = (kit.next_moment(), operator_actor());
    kit.store.run(UpsertProvider { moment, provider, actor, plan: None }).await.unwrap();
}

async fn store_metadata(kit: &TestStore, path: &str) -> StoreMetadataOutcome {
    let metadata: ProviderMetadata = serde_json::from_value(serde_json::json!({
        "issuer": "https://b", "token_endpoint": format!("https://b/{path}"),
    }))
    .unwrap();
    let store = StoreProviderMetadata { moment: kit.next_moment(), provider_id: MAPLE, metadata };
    kit.store.run(store).await.unwrap()
}

async fn endpoints_that_return_get_their_version_again(kit: TestStore) {
    discover_token_endpoint(&kit).await;
    store_metadata(&kit, "first").await;
    let known = kit.get_provider().await.version.endpoints;
    let count = async || {
        let list = ListProviderFormerSettings { provider_id: MAPLE };
        kit.store.query(&list).await.unwrap().len()
    };
    let before = count().await;

    let mut versions = Vec::new();
    for _ in 0..4 {
        for path in ["second", "first"] {
            store_metadata(&kit, path).await;
            versions.push(kit.get_provider().await.version.endpoints);
        }
    }

    assert_eq!(versions[0], versions[2], "the same endpoints have the same version: {versions:?}");
    assert!(versions.iter().skip(1).step_by(2).all(|version| *version == known), "{versions:?}");
    assert_eq!(count().await, before + 1, "the documents alternate");
}

async fn number_of_former_settings_is_limited(kit: TestStore) {
    discover_token_endpoint(&kit).await;
    let mut outcomes = Vec::new();
    for n in 0..MAX_FORMER_SETTINGS + 3 {
        outcomes.push(store_metadata(&kit, &format!("token{n}")).await);
    }
    let kept = kit.get_provider().await;
    let events = kit.provider_audit_events().await.len();

    assert_eq!(outcomes.pop(), Some(StoreMetadataOutcome::TooManyFormerSettings));
    assert!(matches!(outcomes[MAX_FORMER_SETTINGS - 2], StoreMetadataOutcome::Stored(_)));
    assert_eq!(kit.store.query(&ListFormerSettings).await.unwrap().len(), MAX_FORMER_SETTINGS);
    let rejected = UpsertOutcome::Rejected(ProviderChangeRejected::TooManyFormerSettings);
    assert_eq!(move_to(&kit, "new.example").await, rejected);
    assert_eq!(kit.get_provider().await.version, kept.version, "nothing has changed");
    assert_eq!(kit.provider_audit_events().await.len(), events);
}

fn seal(byte: u8) -> SealedProviderSecrets {
    SealedProviderSecrets { data_key: vec![byte], secrets: vec![byte, byte] }
}

/// Adds a provider with secrets in the store.
async fn add_provider(kit: &TestStore) -> Provider {
    let mut provider = build_provider(3000);
    provider.source = ProviderSource::Api;
    provider.settings.client_secret = Some(SecretSource::Sealed);
    let (moment, added) = (kit.next_moment(), provider.clone());
    let add = AddProvider { moment, provider: added, secrets: seal(1), actor: operator_actor() };
    assert!(kit.store.run(add).await.unwrap());
    provider
}

async fn update(
    kit: &TestStore,
    provider: &Provider,
    (seen_version, secrets): (i64, u8),
    former: Vec<FormerSettingsUpdate>,
) {
    let update = UpdateProvider {
        moment: kit.next_moment(),
        provider_id: provider.id,
        seen_version,
        settings: provider.settings.clone(),
        secrets: seal(secrets),
        replaced_secrets: Vec::new(),
        former,
        actor: operator_actor(),
    };
    assert!(matches!(kit.store.run(update).await.unwrap(), UpdateProviderOutcome::Updated(_)));
}

async fn replaced_secrets_are_written_to_former_settings(kit: TestStore) {
    let mut provider = add_provider(&kit).await;
    let former = provider.settings.clone();
    provider.settings.token_endpoint = Some("https://new.example/token".into());
    let update_former =
        |settings, byte| FormerSettingsUpdate { endpoints_version: 1, settings, secrets: Some(seal(byte)) };

    update(&kit, &provider, (1, 2), vec![update_former(former.clone(), 7)]).await;
    let get = GetFormerSettings { provider_id: provider.id, endpoints_version: 1 };
    let kept = kit.store.query(&get).await.unwrap().unwrap();
    let mut without_revocation = former;
    without_revocation.revoke = Vec::<RevokeMethod>::new();
    update(&kit, &provider, (2, 3), vec![update_former(without_revocation.clone(), 8)]).await;
    let replaced = kit.store.query(&get).await.unwrap().unwrap();

    assert_eq!((kept.secrets, kept.version.number), (Some(seal(7)), 1), "the change left the endpoints");
    assert_eq!((replaced.secrets, replaced.settings), (Some(seal(8)), without_revocation));
    assert_eq!(replaced.version.number, 3, "HTTP clients are built again");
    let current = GetProviderSecrets { provider_id: provider.id, endpoints_version: 2 };
    assert_eq!(kit.store.query(&current).await.unwrap(), Some(seal(3)));
}

async fn secrets_of_other_endpoints_are_not_used(kit: TestStore) {
    let mut provider = add_provider(&kit).await;
    provider.settings.token_endpoint = Some("https://new.example/token".into());
    update(&kit, &provider, (1, 2), Vec::new()).await;
    let get = async |endpoints_version| {
        kit.store.query(&GetProviderSecrets { provider_id: provider.id, endpoints_version }).await
    };
    assert_eq!((get(1).await.unwrap(), get(2).await.unwrap()), (Some(seal(1)), Some(seal(2))));

    for copy in [
        "UPDATE former_provider_settings SET (data_key, secrets) = (SELECT data_key, secrets FROM providers p WHERE p.id = 3000)",
        "UPDATE providers SET data_key = NULL WHERE id = 3000",
    ] {
        kit.execute_sql(copy).await;
    }

    let rejected = |found: Result<_, StoreError>, name| matches!(found, Err(StoreError::UnverifiedRow { table, .. }) if table == name);
    assert!(rejected(get(1).await, "former_provider_settings"));
    assert!(rejected(get(2).await, "providers"));
    let stored = kit.store.query(&GetProvider { id: provider.id }).await.unwrap().unwrap();
    assert_eq!(stored.version.endpoints, 2, "only the secrets are not used");
}

async fn changed_former_settings_block_no_change_or_deletion(mut kit: TestStore) {
    assert_eq!(move_to(&kit, "second.example").await, UpsertOutcome::Written);
    let second = kit.get_provider().await.version.endpoints;
    assert_eq!(move_to(&kit, "third.example").await, UpsertOutcome::Written);
    kit.execute_sql("UPDATE former_provider_settings SET version = 99 WHERE endpoints_version = 1").await;
    kit.advance_clock(DAY);
    purge_logins(&kit).await;

    let listed = kit.store.query(&ListProviderFormerSettings { provider_id: MAPLE }).await.unwrap();
    let mut deletions = Vec::new();
    for _ in 0..2 {
        deletions.push(delete_former(&kit, second, 10).await);
    }

    let versions: Vec<i64> = listed.iter().map(|former| former.version.endpoints).collect();
    assert_eq!(versions, [second], "the changed settings are left out");
    assert_eq!(deletions, [FormerSettingsDeletion::Examining, FormerSettingsDeletion::Deleted]);
    assert!(kit.get_provider().await.version.has_former_revocation, "the changed settings may have a method");
    for deletion in [FormerSettingsDeletion::Examining, FormerSettingsDeletion::Deleted] {
        assert_eq!(delete_former(&kit, 1, 10).await, deletion);
    }
    assert!(!kit.get_provider().await.version.has_former_revocation);
}

async fn change_of_other_version_than_planned_is_outdated(kit: TestStore) {
    let upsert = async |id, seen_version| {
        let mut provider = build_provider(id);
        provider.settings.token_endpoint = Some("https://new.example/token".into());
        let plan = Some(FormerSettingsPlan { seen_version, updates: Vec::new() });
        let (moment, actor) = (kit.next_moment(), operator_actor());
        kit.store.run(UpsertProvider { moment, provider, actor, plan }).await.unwrap()
    };
    let stored = kit.get_provider().await.version.number;

    let outcomes = [
        upsert(1000, None).await,
        upsert(1000, Some(stored + 1)).await,
        upsert(7000, Some(1)).await,
        upsert(1000, Some(stored)).await,
        upsert(7000, None).await,
    ];

    assert_eq!(outcomes[..3], [UpsertOutcome::Outdated; 3]);
    assert_eq!(outcomes[3..], [UpsertOutcome::Written; 2]);
}
