//! The command `bowline provider`, which manages data providers through the admin API.

use anyhow::Context;
use clap::Subcommand;
use domain::Secret;
use domain::model::provider::{SecretSource, secret_members};
use domain::rule::provider::is_pem;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use toml::Table;

use super::admin_client::{AdminClient, WithHub};
use super::args::{
    PageArgs, ProviderIdArgs, build_filtered_path, build_object, read_secret_input, read_text_input,
};
use super::error::CliError;
use super::globals::GlobalArgs;
use super::output::Output;
use super::provider_template::build_from_issuer;
use super::provider_test::{self, TestProviderArgs};
use super::replay::{self, ReplayArgs};
use super::terminal::print_line;

/// The commands that manage data providers.
#[derive(Subcommand, Debug)]
pub(super) enum ProviderCommand {
    /// Add a provider from a TOML file; the hub stores its secrets encrypted
    #[command(
        after_help = "Examples:\n  bowline provider add maple.toml --client-secret-file maple.secret\n  BOWLINE_CLIENT_SECRET=… bowline provider add - < maple.toml\n  bowline provider add --from-issuer https://bank.example.org > bank.toml\n\nThe file contains one [[provider]] as in config.example.toml."
    )]
    Add(AddProviderArgs),
    /// Change the settings of a provider to those of a TOML file; secrets that it lacks stay as they are
    #[command(
        after_help = "Examples:\n  bowline provider update maple.toml --dry-run\n  bowline provider update maple.toml --client-secret-file maple.secret\n\nThe file contains one [[provider]] as for `provider add`. Grants that former endpoints issued are revoked there."
    )]
    Update(UpdateProviderArgs),
    /// Replace secrets of a provider: that of the hub's client, its keys, or its certificate
    #[command(after_help = "Example:\n  bowline provider secret 1000 --client-secret-file maple.secret")]
    Secret(ReplaceSecretArgs),
    /// List providers with their states, ordered by id
    #[command(after_help = "Example:\n  bowline provider list")]
    List(PageArgs),
    /// Show a provider and its settings, without secrets
    #[command(after_help = "Example:\n  bowline provider show 1000")]
    Show(ProviderIdArgs),
    /// Test the endpoints, the credentials and the settings of a provider, and show what to change; fails if a check fails
    #[command(
        after_help = "Examples:\n  bowline provider test 1000\n  bowline provider test 1000 --interactive\n\nA warning does not fail the command. Without --interactive, nothing is changed."
    )]
    Test(TestProviderArgs),
    /// Show how a saved response of a provider is read, and what is left out; needs no hub
    #[command(
        after_help = "Example:\n  bowline provider replay accounts.json --call accounts --fdx-version 6"
    )]
    Replay(ReplayArgs),
    /// Pause a provider: data requests get 503, new connections are rejected, tokens and connections stay valid
    #[command(after_help = "Example:\n  bowline provider pause 1000")]
    Pause(ProviderIdArgs),
    /// Release a provider that was paused, retired, or paused automatically after many `invalid_grant` responses, and let its
    /// connections end by expiry again
    #[command(after_help = "Example:\n  bowline provider release 1000")]
    Release(ProviderIdArgs),
    /// Retire a provider: the effects of `pause`, and new registrations are rejected too
    #[command(after_help = "Example:\n  bowline provider retire 1000")]
    Retire(ProviderIdArgs),
}

/// The arguments of `provider add`.
#[derive(clap::Args, Debug)]
pub(super) struct AddProviderArgs {
    /// TOML file with one `[[provider]]` section, or only with the keys of such a section; `-` for standard input
    #[arg(required_unless_present = "from_issuer")]
    file: Option<String>,
    /// Print a `[[provider]]` section from the metadata of an issuer, for review; adds nothing and needs no hub
    #[arg(long, value_name = "URL", conflicts_with_all = ["file", "client_secret_file"])]
    from_issuer: Option<String>,
    /// File with the secret of the hub's client at the provider, or `-` for standard input [default: the variable
    /// `BOWLINE_CLIENT_SECRET`, then the source that `client_secret` in the TOML file names]
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<String>,
}

/// The arguments of `provider update`.
#[derive(clap::Args, Debug)]
pub(super) struct UpdateProviderArgs {
    /// TOML file with one `[[provider]]` section, or only with the keys of such a section; `-` for standard input
    file: String,
    /// File with the secret of the hub's client at the provider, or `-` for standard input [default: the variable
    /// `BOWLINE_CLIENT_SECRET`, then the source that `client_secret` in the TOML file names, then the stored secret]
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<String>,
    /// Only show what would change, and how many connections the provider has
    #[arg(long)]
    dry_run: bool,
}

/// The arguments of `provider secret`.
#[derive(clap::Args, Debug)]
#[group(required = true, multiple = true)]
pub(super) struct SecretFiles {
    /// File with the secret of the hub's client, or `-` for standard input
    #[arg(long = "client-secret-file", value_name = "FILE")]
    client_secret: Option<String>,
    /// PEM file with the private keys with which the hub signs; the first one signs, and the public part of each is published
    #[arg(long = "auth-key-file", value_name = "FILE")]
    auth_key: Option<String>,
    /// File with the secret of the client of `identity_client`, or `-` for standard input
    #[arg(long = "identity-client-secret-file", value_name = "FILE")]
    identity_client_secret: Option<String>,
    /// PEM file with the private keys of the client of `identity_client`
    #[arg(long = "identity-client-key-file", value_name = "FILE")]
    identity_client_key: Option<String>,
    /// PEM file with the certificate of the hub
    #[arg(long = "tls-certificate-file", value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<String>,
    /// PEM file with the private key of the certificate
    #[arg(long = "tls-key-file", value_name = "FILE")]
    tls_key: Option<String>,
}

/// The arguments of `provider secret`: the provider and the files with its new secrets.
#[derive(clap::Args, Debug)]
pub(super) struct ReplaceSecretArgs {
    #[command(flatten)]
    provider: ProviderIdArgs,
    #[command(flatten)]
    files: SecretFiles,
}

pub(super) async fn run(globals: &GlobalArgs, args: WithHub<ProviderCommand>) -> Result<(), CliError> {
    if let ProviderCommand::Replay(args) = &args.command {
        return replay::run(&Output::new(globals), args);
    }
    if let ProviderCommand::Add(AddProviderArgs { from_issuer: Some(issuer), .. }) = &args.command {
        let config = globals.load_config(&[])?;
        print_line(build_from_issuer(&config.upstream, issuer).await?.trim_end());
        return Ok(());
    }
    let admin = &args.hub.connect(globals).await?;
    match args.command {
        // It was run above, without a hub.
        ProviderCommand::Replay(_) => {}
        ProviderCommand::Add(args) => {
            let file = args.file.as_deref().unwrap_or("-");
            let body = build_provider_body(file, args.client_secret_file.as_deref())?;
            let added = admin.post_json("/providers", &body).await?;
            admin.output.print_fields(&added, &STATE_FIELDS);
        }
        ProviderCommand::Update(args) => update_provider(admin, &args).await?,
        ProviderCommand::Secret(args) => replace_secrets(admin, &args).await?,
        ProviderCommand::List(page) => {
            let filters = [("limit", &page.limit), ("after", &page.after)];
            let page = admin.get(&build_filtered_path("/providers", &filters)).await?;
            admin.output.print_page(&page, &["id", "state", "expiry", "name", "country", "source"]);
        }
        ProviderCommand::Show(provider) => {
            admin.output.print_object(&admin.get(&format!("/providers/{}", provider.id)).await?);
        }
        ProviderCommand::Test(args) => {
            let public_url = args.find_public_url(globals)?;
            provider_test::run(admin, &args, public_url.as_deref()).await?;
        }
        ProviderCommand::Pause(provider) => change_provider_state(admin, &provider, "pause").await?,
        ProviderCommand::Release(provider) => change_provider_state(admin, &provider, "release").await?,
        ProviderCommand::Retire(provider) => change_provider_state(admin, &provider, "retire").await?,
    }
    Ok(())
}

const STATE_FIELDS: [&str; 3] = ["id", "state", "name"];

async fn change_provider_state(
    admin: &AdminClient,
    provider: &ProviderIdArgs,
    action: &str,
) -> Result<(), CliError> {
    let changed = admin.post(&format!("/providers/{}/{action}", provider.id)).await?;
    admin.output.print_fields(&changed, &STATE_FIELDS);
    Ok(())
}

async fn update_provider(admin: &AdminClient, args: &UpdateProviderArgs) -> Result<(), CliError> {
    let mut body = build_provider_body(&args.file, args.client_secret_file.as_deref())?;
    let id = body.as_object_mut().and_then(|members| members.remove("id"));
    let id = id.as_ref().and_then(Value::as_i64).filter(|id| *id > 0);
    let id = id.ok_or_else(|| CliError::Usage("FILE: id: expected the id of the provider".into()))?;
    let query = if args.dry_run { "?dry_run=true" } else { "" };
    let update = admin.call(Method::PUT, &format!("/providers/{id}{query}"), Some(&body)).await?;
    print_update(admin, update);
    Ok(())
}

async fn replace_secrets(admin: &AdminClient, args: &ReplaceSecretArgs) -> Result<(), CliError> {
    let SecretFiles {
        client_secret,
        auth_key,
        identity_client_secret,
        identity_client_key,
        tls_certificate,
        tls_key,
    } = &args.files;
    let read = |file: &Option<String>, flag: &str| {
        let secret = file.as_ref().map(|file| read_secret_input(file, flag)).transpose()?;
        Ok::<_, CliError>(json!(secret.as_ref().map(|secret| secret.expose().as_str())))
    };
    let tls = build_object([
        ("certificate", read(tls_certificate, "--tls-certificate-file")?),
        ("key", read(tls_key, "--tls-key-file")?),
    ]);
    let identity_client = build_object([
        ("client_secret", read(identity_client_secret, "--identity-client-secret-file")?),
        ("auth_key", read(identity_client_key, "--identity-client-key-file")?),
    ]);
    let has_identity_client = identity_client_secret.is_some() || identity_client_key.is_some();
    let body = build_object([
        ("client_secret", read(client_secret, "--client-secret-file")?),
        ("auth_key", read(auth_key, "--auth-key-file")?),
        ("identity_client", if has_identity_client { identity_client } else { Value::Null }),
        ("tls", if tls_key.is_some() { tls } else { Value::Null }),
    ]);
    let update = admin.post_json(&format!("/providers/{}/secret", args.provider.id), &body).await?;
    print_update(admin, update);
    Ok(())
}

/// Prints a change without the settings of the provider, which `provider show` prints.
fn print_update(admin: &AdminClient, mut update: Value) {
    if let Some(members) = update.as_object_mut()
        && let Some(provider) = members.remove("provider")
    {
        members.insert("id".into(), provider["id"].clone());
    }
    admin.output.print_object(&update);
}

/// Builds the request body from the TOML table of the file, and replaces each source of a secret by the secret.
///
/// A source names a file or variable of this machine, and the hub may run on another one.
fn build_provider_body(file: &str, client_secret_file: Option<&str>) -> Result<Value, CliError> {
    if file == "-" && client_secret_file == Some("-") {
        return Err(CliError::Usage(
            "--client-secret-file: expected a file, because standard input contains the provider".into(),
        ));
    }
    let mut table = parse_provider_table(&read_text_input(file, "FILE")?)?;
    // A secret of the command line or the environment replaces the one that the file names, which need not exist.
    let uses_secret =
        table.get("auth").and_then(toml::Value::as_str).is_none_or(|auth| auth.starts_with("client_secret"));
    let secret = match (client_secret_file, std::env::var("BOWLINE_CLIENT_SECRET")) {
        (Some(file), _) => Some(read_secret_input(file, "--client-secret-file")?),
        (None, Ok(secret)) if uses_secret => Some(Secret::new(secret)),
        (None, _) => None,
    };
    if secret.is_some() {
        table.remove("client_secret");
    }
    let body = serde_json::to_value(table).context("cannot convert the provider to JSON")?;
    let Value::Object(mut body) = body else {
        return Err(CliError::Usage("FILE: expected a table".into()));
    };
    for (field, value) in secret_members(&mut body) {
        *value = json!(SecretReference::from_json(&field, value)?.read()?.expose());
    }
    read_certificates(&mut body)?;
    if let Some(secret) = secret {
        body.insert("client_secret".into(), json!(secret.expose()));
    }
    Ok(Value::Object(body))
}

/// Replaces the path of each file with certificates by its content.
fn read_certificates(body: &mut Map<String, Value>) -> Result<(), CliError> {
    let Some(tls) = body.get_mut("tls").and_then(Value::as_object_mut) else { return Ok(()) };
    for name in ["ca", "certificate"] {
        if let Some(Value::String(text)) = tls.get_mut(name)
            && !is_pem(text)
        {
            let field = format!("tls.{name}");
            *text = read_text_input(text, &field)?;
        }
    }
    Ok(())
}

/// Parses a file with one provider.
fn parse_provider_table(text: &str) -> Result<Table, CliError> {
    let mut table: Table = text.parse().map_err(|error: toml::de::Error| {
        // `Display` of the error quotes the line, which may contain a secret.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        CliError::Usage(format!("FILE: line {}: {}", before.matches('\n').count() + 1, error.message()))
    })?;
    match table.remove("provider") {
        None => Ok(table),
        Some(toml::Value::Array(mut providers)) if providers.len() == 1 && table.is_empty() => {
            match providers.pop() {
                Some(toml::Value::Table(provider)) => Ok(provider),
                _ => Err(CliError::Usage("FILE: provider: expected a table".into())),
            }
        }
        Some(_) => Err(CliError::Usage("FILE: expected one [[provider]] and nothing else".into())),
    }
}

/// The source of a secret that a field of the file names.
struct SecretReference<'f> {
    field: &'f str,
    source: SecretSource,
}

impl<'f> SecretReference<'f> {
    fn from_json(field: &'f str, value: &Value) -> Result<Self, CliError> {
        // The error of serde is dropped, because it quotes the value, which may be the secret itself.
        let source = SecretSource::deserialize(value).map_err(|_| invalid_reference_error(field))?;
        Ok(Self { field, source })
    }

    fn read(&self) -> Result<Secret<String>, CliError> {
        match &self.source {
            SecretSource::Sealed => Err(invalid_reference_error(self.field)),
            SecretSource::File(path) => read_secret_input(path, self.field),
            SecretSource::Env(name) => std::env::var(name).map(Secret::new).map_err(|_| {
                CliError::Usage(format!("{}: the environment variable {name} is not set", self.field))
            }),
        }
    }
}

fn invalid_reference_error(field: &str) -> CliError {
    let expected = "expected { file = \"PATH\" } or { env = \"NAME\" }, never the secret itself";
    CliError::Usage(format!("{field}: {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_file_accepts_plain_table_or_single_entry() {
        for text in ["id = 7\nname = 'Maple'", "[[provider]]\nid = 7\nname = 'Maple'"] {
            assert_eq!(parse_provider_table(text).unwrap()["id"].as_integer(), Some(7), "{text}");
        }
    }

    #[test]
    fn provider_file_must_contain_one_provider_only() {
        let message = |text: &str| parse_provider_table(text).unwrap_err().to_string();

        let two_providers = message("[[provider]]\nid = 1\n[[provider]]\nid = 2");
        let other_section = message("[[provider]]\nid = 1\n[server]\nlisten = 'x'");
        let broken = message("id = 7\nclient_secret = 'hunter2");

        assert!(two_providers.contains("expected one [[provider]]"), "{two_providers}");
        assert!(other_section.contains("and nothing else"), "{other_section}");
        assert!(broken.contains("line 2") && !broken.contains("hunter2"), "{broken}");
    }

    /// Writes a provider file and builds the body of its request.
    fn build_body_of(folder: &tempfile::TempDir, text: &str) -> Result<Value, CliError> {
        let file = folder.path().join("maple.toml");
        std::fs::write(&file, text).unwrap();
        build_provider_body(&file.display().to_string(), None)
    }

    #[test]
    fn inline_secret_in_provider_file_is_rejected_and_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let registration = "[dynamic_registration]\nendpoint = 'e'\ninitial_access_token = 'hunter2'";

        let secret = build_body_of(&folder, "id = 7\nclient_secret = 'hunter2'").unwrap_err().to_string();
        let token = build_body_of(&folder, &format!("id = 7\n{registration}")).unwrap_err().to_string();

        assert!(secret.contains("never the secret itself") && !secret.contains("hunter2"), "{secret}");
        assert!(token.starts_with("dynamic_registration.initial_access_token: expected"), "{token}");
        assert!(!token.contains("hunter2"), "{token}");
    }

    #[test]
    fn secret_files_in_provider_file_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "hunter2\n").unwrap();
        let source = format!("{{ file = '{}' }}", file.display());

        let secret = build_body_of(&folder, &format!("id = 7\nclient_secret = {source}")).unwrap();
        let registration = format!("[dynamic_registration]\nendpoint = 'e'\ninitial_access_token = {source}");
        let token = build_body_of(&folder, &format!("id = 7\n{registration}")).unwrap();

        assert_eq!(secret, json!({"id": 7, "client_secret": "hunter2"}));
        let registration = json!({"endpoint": "e", "initial_access_token": "hunter2"});
        assert_eq!(token, json!({"id": 7, "dynamic_registration": registration}));
    }
}
