//! The secrets of former settings of a provider: of those with endpoints that it has no longer, at which grants are still revoked.
//!
//! Two settings have the same client if its id is the same. Whether it has the same secret in both is seen from the secret.

use std::collections::BTreeMap;

use crate::Secret;
use crate::model::provider::{IdentityClient, ProviderSettings, SecretSource};

/// Settings of a provider with those of their secrets that are in the store, by the paths of their settings.
#[derive(Clone, Copy, Debug)]
pub struct StoredSecrets<'a> {
    /// The settings.
    pub settings: &'a ProviderSettings,
    /// The secrets.
    pub secrets: &'a BTreeMap<String, Secret<String>>,
}

/// The effect of a change of a provider on a secret of its former settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormerSecretChange {
    /// A secret of the same client was replaced: the former settings get the new one.
    Replaced,
    /// The client does not use the file or variable any longer: the secret is copied to the store.
    Copied(SecretSource),
    /// Another client uses the file or variable from now on. It may have the secret of that client already, so it must not be read
    /// any more.
    Lost,
}

/// Returns whether two settings have the same client, with any method of authentication: several methods use the same secret.
fn is_same_client(first: &ProviderSettings, second: &ProviderSettings) -> bool {
    first.client_id == second.client_id && first.upstream_client == second.upstream_client
}

/// Returns former settings with the locations at which their secrets are read.
///
/// A file or a variable may contain the secret of another client since the change. It is read only if the current settings of the
/// same client name it too. Otherwise, only the copy in the store is used.
pub fn detach_secrets(mut former: ProviderSettings, current: &ProviderSettings) -> ProviderSettings {
    let used = if is_same_client(&former, current) { current.secret_sources() } else { BTreeMap::new() };
    for (path, source) in former.secret_sources_mut() {
        if used.get(&path) != Some(&*source) {
            *source = SecretSource::Sealed;
        }
    }
    former
}

/// Returns the effects of a change from the settings `old` to `new` on the secrets of former settings, by the paths of the secrets.
///
/// Only a secret that is that of the old settings follows: a client that has the same id at two servers may have two secrets. With
/// `leaves_endpoints`, a new secret may be that of the new server, so it is not sent to a former one; and if the method of
/// authentication changes too, the files may get the secrets of the new server, so the old ones are copied.
pub fn follow_change(
    former: StoredSecrets<'_>,
    (old, new): (StoredSecrets<'_>, StoredSecrets<'_>),
    leaves_endpoints: bool,
) -> BTreeMap<String, FormerSecretChange> {
    if !is_same_client(former.settings, old.settings) {
        return BTreeMap::new();
    }
    let is_other_client = !is_same_client(old.settings, new.settings);
    let keeps_client = !is_other_client && (!leaves_endpoints || old.settings.auth == new.settings.auth);
    let (old_sources, new_sources) = (old.settings.secret_sources(), new.settings.secret_sources());
    let evaluate = |path: &str, source: SecretSource| {
        let known = former.secrets.get(path);
        let is_stored = source == SecretSource::Sealed;
        let is_shared = old_sources.get(path) == Some(&source)
            && (!is_stored || known.is_some() && known == old.secrets.get(path));
        let is_kept = keeps_client
            && new_sources.get(path) == Some(&source)
            && (!is_stored || known == new.secrets.get(path))
            && !is_companion_changed(path, old.settings, new.settings);
        if !is_shared || is_kept {
            return None;
        }
        if keeps_client && !leaves_endpoints && new_sources.contains_key(path) {
            return Some(FormerSecretChange::Replaced);
        }
        // The current settings of the same client name it for the same secret.
        let is_still_shared = keeps_client && new_sources.get(path) == Some(&source);
        if is_stored || is_still_shared {
            return None;
        }
        let is_lost = is_other_client
            && new_sources.iter().any(|(used_by, used)| *used == source && is_of_client([path, used_by]));
        Some(if is_lost { FormerSecretChange::Lost } else { FormerSecretChange::Copied(source) })
    };
    // No grant belongs to the identity client.
    let is_needed = |path: &str| !path.starts_with(IdentityClient::SETTING);
    let sources = former.settings.secret_sources().into_iter().filter(|(path, _)| is_needed(path));
    sources.filter_map(|(path, source)| Some((path.clone(), evaluate(&path, source)?))).collect()
}

/// Returns whether one of the secrets at these paths belongs to the client and not to the connection to the provider.
fn is_of_client(paths: [&str; 2]) -> bool {
    paths.iter().any(|path| matches!(*path, "client_secret" | "auth_key"))
}

/// Returns whether a setting without which a secret is useless has changed.
fn is_companion_changed(path: &str, old: &ProviderSettings, new: &ProviderSettings) -> bool {
    match path {
        "auth_key" => old.auth_algorithm != new.auth_algorithm,
        "tls.key" => find_certificate(old) != find_certificate(new),
        _ => false,
    }
}

fn find_certificate(settings: &ProviderSettings) -> Option<&str> {
    settings.tls.as_ref()?.certificate.as_deref()
}

/// Returns former settings with the locations of their secrets after these changes: a replaced secret is where that of `new` is, with
/// the certificate or algorithm that belongs to it, and every other one is in the store.
pub fn replace_sources(
    mut former: ProviderSettings,
    new: &ProviderSettings,
    changes: &BTreeMap<String, FormerSecretChange>,
) -> ProviderSettings {
    let sources = new.secret_sources();
    for (path, source) in former.secret_sources_mut() {
        match (changes.get(&path), sources.get(&path)) {
            (Some(FormerSecretChange::Replaced), Some(new_source)) => source.clone_from(new_source),
            (Some(FormerSecretChange::Copied(_) | FormerSecretChange::Lost), _) => {
                *source = SecretSource::Sealed;
            }
            (Some(FormerSecretChange::Replaced), None) | (None, _) => {}
        }
    }
    let is_replaced = |path: &str| changes.get(path) == Some(&FormerSecretChange::Replaced);
    if is_replaced("auth_key") {
        former.auth_algorithm = new.auth_algorithm;
    }
    if let Some(tls) = former.tls.as_mut().filter(|_| is_replaced("tls.key")) {
        tls.certificate = find_certificate(new).map(str::to_owned);
    }
    former
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::provider::{SigningAlgorithm, UpstreamClientMode};

    fn settings(changes: &Value) -> ProviderSettings {
        let mut value = json!({
            "name": "Maple Trust", "country": "CA", "client_id": "first", "client_secret": "sealed",
            "fdx": {"base_url": "https://maple.example/fdx", "version": "6"}, "scopes": {},
        });
        value.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(value).unwrap()
    }

    fn file(name: &str) -> Value {
        json!({"client_secret": {"file": name}})
    }

    fn secrets(client_secret: &str) -> BTreeMap<String, Secret<String>> {
        BTreeMap::from([("client_secret".to_owned(), Secret::from(client_secret))])
    }

    /// Returns the effect on the client secret. Each argument is the settings, and the secret if it is in the store.
    fn follow(
        former: (&Value, &str),
        old: (&Value, &str),
        new: (&Value, &str),
        leaves_endpoints: bool,
    ) -> Option<FormerSecretChange> {
        let [former, old, new] =
            [former, old, new].map(|(changes, secret)| (settings(changes), secrets(secret)));
        let stored = |(settings, secrets)| StoredSecrets { settings, secrets };
        let [former, old, new] = [&former, &old, &new].map(|(settings, secrets)| stored((settings, secrets)));
        follow_change(former, (old, new), leaves_endpoints).remove("client_secret")
    }

    #[test]
    fn former_settings_get_replaced_secret_of_same_client() {
        let client = json!({});

        let replaced =
            |former: &str, leaves| follow((&client, former), (&client, "a"), (&client, "b"), leaves);

        assert_eq!(replaced("a", false), Some(FormerSecretChange::Replaced));
        assert_eq!(replaced("x", false), None, "the client has another secret at the former server");
        assert_eq!(replaced("a", true), None, "the new secret may be that of the new server");
        let kept = follow((&client, "a"), (&client, "a"), (&json!({"name": "Maple"}), "a"), false);
        assert_eq!(kept, None, "the secret is the same");
        let other = json!({"client_id": "second"});
        assert_eq!(follow((&client, "a"), (&client, "a"), (&other, "b"), false), None);
        assert_eq!(follow((&other, "a"), (&client, "a"), (&client, "b"), false), None);
        let moved = follow((&file("a"), ""), (&file("a"), ""), (&file("b"), ""), false);
        assert_eq!(moved, Some(FormerSecretChange::Replaced));
    }

    #[test]
    fn file_of_former_client_is_copied_unless_reused() {
        let other = |name: &str| json!({"client_id": "second", "client_secret": {"file": name}});
        let first = file("a");

        let copied = FormerSecretChange::Copied(SecretSource::File("a".into()));
        assert_eq!(follow((&first, ""), (&first, ""), (&other("b"), ""), true), Some(copied));
        let lost = follow((&first, ""), (&first, ""), (&other("a"), ""), true);
        assert_eq!(lost, Some(FormerSecretChange::Lost));
        let moved = follow((&first, ""), (&first, ""), (&file("b"), ""), true);
        assert_eq!(moved, Some(FormerSecretChange::Copied(SecretSource::File("a".into()))));
        assert_eq!(follow((&first, ""), (&first, ""), (&first, ""), true), None, "the same client reads it");
    }

    /// Returns settings of a client with all seven secrets, each in a file of its own.
    fn with_all_secrets(client_id: &str, auth: &str) -> ProviderSettings {
        settings(&json!({
            "client_id": client_id, "auth": auth,
            "client_secret": {"file": "client_secret"}, "auth_key": {"file": "auth_key"},
            "tls": {"certificate": "tls.pem", "key": {"file": "tls.key"}},
            "proxy": {"url": "http://proxy.example", "credentials": {"file": "proxy.credentials"}},
            "secret_headers": {
                "x-key": {"file": "secret_headers.x-key"}, "x-other": {"file": "secret_headers.x-other"},
            },
            "dynamic_registration": {
                "endpoint": "https://maple.example/register",
                "initial_access_token": {"file": "dynamic_registration.initial_access_token"},
            },
        }))
    }

    /// Returns the effects of a change to settings with the same files. Each former secret is in the file with the name of its path.
    fn follow_reuse(old: &ProviderSettings, new: &ProviderSettings) -> BTreeMap<String, FormerSecretChange> {
        let none = BTreeMap::new();
        let stored = |settings| StoredSecrets { settings, secrets: &none };
        follow_change(stored(old), (stored(old), stored(new)), true)
    }

    #[test]
    fn reused_file_is_lost_only_if_it_may_have_new_clients_secret() {
        let old = with_all_secrets("first", "client_secret_basic");
        let copied = |path: &str| FormerSecretChange::Copied(SecretSource::File(path.into()));
        let all: Vec<String> = old.secret_sources().into_keys().collect();
        assert_eq!(all.len(), 7);

        let of_method = follow_reuse(&old, &with_all_secrets("first", "client_secret_post"));
        let of_client = follow_reuse(&old, &with_all_secrets("second", "client_secret_basic"));
        let mut recipients = old.clone();
        recipients.upstream_client = UpstreamClientMode::PerRegistration;
        let of_scope = follow_reuse(&old, &recipients);

        let expected = |is_lost: fn(&str) -> bool| -> BTreeMap<_, _> {
            let change = |path| if is_lost(path) { FormerSecretChange::Lost } else { copied(path) };
            all.iter().map(|path| (path.clone(), change(path))).collect()
        };
        let is_of_client = |path: &str| ["client_secret", "auth_key"].contains(&path);
        assert_eq!(of_method, expected(|_| false), "the secrets are still those of the same client");
        assert_eq!(of_client, expected(is_of_client));
        assert_eq!(of_scope, expected(is_of_client));
    }

    #[test]
    fn file_that_gets_new_clients_secret_is_not_copied() {
        let old = with_all_secrets("first", "client_secret_basic");
        let mut new = with_all_secrets("second", "client_secret_basic");
        new.client_secret = Some(SecretSource::File("secret_headers.x-key".into()));

        let changes = follow_reuse(&old, &new);

        assert_eq!(changes["secret_headers.x-key"], FormerSecretChange::Lost);
        assert_eq!(
            changes["client_secret"],
            FormerSecretChange::Copied(SecretSource::File("client_secret".into()))
        );
    }

    #[test]
    fn file_is_read_for_former_settings_only_if_same_client_uses_it() {
        let read = |current: &Value| {
            let former = detach_secrets(settings(&file("a")), &settings(current));
            former.client_secret.unwrap()
        };

        assert_eq!(read(&file("a")), SecretSource::File("a".into()));
        assert_eq!(read(&file("b")), SecretSource::Sealed);
        assert_eq!(
            read(&json!({"client_id": "second", "client_secret": {"file": "a"}})),
            SecretSource::Sealed
        );
        let post = json!({"auth": "client_secret_post", "client_secret": {"file": "a"}});
        assert_eq!(read(&post), SecretSource::File("a".into()), "the secret is the same with another method");
    }

    #[test]
    fn secret_follows_client_after_change_of_its_method() {
        let (basic, post) = (json!({}), json!({"auth": "client_secret_post"}));
        let (basic_file, mut post_file) = (file("a"), file("a"));
        post_file["auth"] = json!("client_secret_post");
        let key = json!({"auth": "private_key_jwt", "client_secret": null});

        let replaced = follow((&basic, "a"), (&post, "a"), (&post, "b"), false);
        assert_eq!(replaced, Some(FormerSecretChange::Replaced), "a stolen secret must not stay in use");
        assert_eq!(follow((&basic, "x"), (&post, "a"), (&post, "b"), false), None, "it is another secret");
        let with_method = follow((&basic, "a"), (&basic, "a"), (&post, "b"), false);
        assert_eq!(with_method, Some(FormerSecretChange::Replaced));
        let of_method = follow((&basic_file, ""), (&basic_file, ""), (&post_file, ""), false);
        assert_eq!(of_method, None, "the file is still that of the client");
        let without_secret = follow((&basic_file, ""), (&basic_file, ""), (&key, ""), false);
        assert_eq!(without_secret, Some(FormerSecretChange::Copied(SecretSource::File("a".into()))));
    }

    #[test]
    fn copied_secret_is_read_from_the_store() {
        let old = with_all_secrets("first", "client_secret_basic");
        let new = with_all_secrets("first", "client_secret_post");

        let former = replace_sources(old.clone(), &new, &follow_reuse(&old, &new));

        // The file may get the secret of the new server, and the current settings name it.
        let read = detach_secrets(former, &new);
        assert!(read.secret_sources().into_values().all(|source| source == SecretSource::Sealed));
    }

    #[test]
    fn replaced_key_brings_its_certificate_and_algorithm() {
        let with = |name: &str, algorithm: &str| {
            settings(&json!({
                "auth": "private_key_jwt", "auth_key": {"file": name}, "auth_algorithm": algorithm,
                "tls": {"certificate": format!("{name}.pem"), "key": {"file": format!("{name}.key")}},
            }))
        };
        let (old, new) = (with("a", "ES256"), with("b", "PS256"));
        let none = BTreeMap::new();
        let stored = |settings| StoredSecrets { settings, secrets: &none };
        let renewed = {
            let mut renewed = old.clone();
            renewed.tls.as_mut().unwrap().certificate = Some("renewed.pem".into());
            renewed
        };

        let changes = follow_change(stored(&old), (stored(&old), stored(&new)), false);
        let replaced = replace_sources(old.clone(), &new, &changes);
        let of_renewal = follow_change(stored(&old), (stored(&old), stored(&renewed)), false);
        let other_algorithm =
            ProviderSettings { auth_algorithm: Some(SigningAlgorithm::Ps256), ..old.clone() };
        let of_algorithm = follow_change(stored(&old), (stored(&old), stored(&other_algorithm)), false);
        let of_move = follow_change(stored(&old), (stored(&old), stored(&renewed)), true);

        assert_eq!(replaced, new);
        let key = BTreeMap::from([("tls.key".to_owned(), FormerSecretChange::Replaced)]);
        assert_eq!(of_renewal, key, "a certificate can be renewed without its key");
        let key = BTreeMap::from([("auth_key".to_owned(), FormerSecretChange::Replaced)]);
        assert_eq!(of_algorithm, key, "the key is used with another algorithm");
        assert_eq!(of_move, BTreeMap::new(), "the same client reads the same files");
    }
}
