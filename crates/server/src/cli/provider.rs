//! `bowline provider`

use anyhow::Context;
use clap::Subcommand;
use domain::Secret;
use domain::model::provider::SecretSource;
use serde::Deserialize;
use serde_json::{Value, json};
use toml::Table;

use super::admin_client::AdminClient;
use super::args::{PageArgs, ProviderIdArgs, build_filtered_path, read_secret_input, read_text_input};
use super::error::CliError;

/// Looks at data providers, adds, holds and releases them.
#[derive(Subcommand, Debug)]
pub(super) enum ProviderCommand {
    /// Add a provider, described as in the configuration.
    #[command(
        after_help = "Examples:\n  bowline provider add maple.toml --client-secret-file maple.secret\n  BOWLINE_CLIENT_SECRET=… bowline provider add - < maple.toml\n\nThe file is one [[provider]] as in config.example.toml."
    )]
    Add(AddProviderArgs),
    /// List the providers, and whether each takes part.
    #[command(after_help = "Example:\n  bowline provider list")]
    List(PageArgs),
    /// Show a provider and its settings, without its secret.
    #[command(after_help = "Example:\n  bowline provider show 1000")]
    Show(ProviderIdArgs),
    /// Try whether a provider can be spoken with. Changes nothing.
    #[command(after_help = "Example:\n  bowline provider test 1000")]
    Test(ProviderIdArgs),
    /// Hold a provider: tokens are issued, data answers 503, nothing is connected, nobody is ended.
    #[command(after_help = "Example:\n  bowline provider pause 1000")]
    Pause(ProviderIdArgs),
    /// Let a provider take part again: one that was paused or retired, or one that the hub has tripped because it
    /// answered `invalid_grant` to too many at once.
    #[command(after_help = "Example:\n  bowline provider release 1000")]
    Release(ProviderIdArgs),
    /// Have a provider leave: as paused, and nothing new is connected.
    #[command(after_help = "Example:\n  bowline provider retire 1000")]
    Retire(ProviderIdArgs),
}

/// What is to be known of a provider.
#[derive(clap::Args, Debug)]
pub(super) struct AddProviderArgs {
    /// A TOML file with one `[[provider]]`, or its keys alone; - is standard input.
    file: String,
    /// A file that holds the secret of the hub's client there; - is standard input. Without it the variable
    /// `BOWLINE_CLIENT_SECRET`, or what `client_secret` in the file names.
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<String>,
}

pub(super) async fn run(admin: &AdminClient, command: ProviderCommand) -> Result<(), CliError> {
    match command {
        ProviderCommand::Add(new) => {
            let added = admin.post_json("/providers", &build_provider_body(&new)?).await?;
            admin.output.print_fields(&added, &COLUMNS);
        }
        ProviderCommand::List(page) => {
            let list = build_filtered_path("/providers", &[("limit", &page.limit), ("after", &page.after)]);
            admin.output.print_page(&admin.get(&list).await?, &["id", "state", "name", "country", "source"]);
        }
        ProviderCommand::Show(provider) => {
            admin.output.print_object(&admin.get(&format!("/providers/{}", provider.id)).await?);
        }
        ProviderCommand::Test(provider) => {
            let tested = admin.post(&format!("/providers/{}/test", provider.id)).await?;
            admin.output.print_object(&tested);
            if tested["ok"] != true {
                return Err(CliError::Failed(format!(
                    "provider {} does not answer as it should",
                    provider.id
                )));
            }
        }
        ProviderCommand::Pause(provider) => set_provider_state(admin, &provider, "pause").await?,
        ProviderCommand::Release(provider) => set_provider_state(admin, &provider, "release").await?,
        ProviderCommand::Retire(provider) => set_provider_state(admin, &provider, "retire").await?,
    }
    Ok(())
}

const COLUMNS: [&str; 3] = ["id", "state", "name"];

async fn set_provider_state(
    admin: &AdminClient,
    provider: &ProviderIdArgs,
    action: &str,
) -> Result<(), CliError> {
    admin.output.print_fields(&admin.post(&format!("/providers/{}/{action}", provider.id)).await?, &COLUMNS);
    Ok(())
}

/// A provider as the API takes it: the file's table, with the secret itself in the place of where it is.
fn build_provider_body(new: &AddProviderArgs) -> Result<Value, CliError> {
    if new.file == "-" && new.client_secret_file.as_deref() == Some("-") {
        return Err(CliError::Usage(
            "--client-secret-file: expected a file: - is the provider itself".into(),
        ));
    }
    let mut table = parse_provider_table(&read_text_input(&new.file, "FILE")?)?;
    let reference = table
        .remove("client_secret")
        .map(|secret| SecretReference::from_toml("client_secret", secret))
        .transpose()?;
    let secret = match (&new.client_secret_file, std::env::var("BOWLINE_CLIENT_SECRET")) {
        (Some(file), _) => Some(read_secret_input(file, "--client-secret-file")?),
        (None, Ok(secret)) => Some(Secret::new(secret)),
        (None, Err(_)) => reference.map(|kept| kept.read()).transpose()?,
    };
    let token = table.get_mut("dynamic_registration").and_then(|there| there.get_mut("initial_access_token"));
    if let Some(token) = token {
        let reference =
            SecretReference::from_toml("dynamic_registration.initial_access_token", token.clone())?;
        *token = toml::Value::String(reference.read()?.expose().clone());
    }
    let mut body = serde_json::to_value(table).context("cannot convert the provider to JSON")?;
    if let Some(secret) = secret {
        body["client_secret"] = json!(secret.expose());
    }
    Ok(body)
}

/// The table of a file that has one provider. What is wrong is told by its line alone: a secret may stand there.
fn parse_provider_table(text: &str) -> Result<Table, CliError> {
    let mut table: Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        CliError::Usage(format!("FILE: line {}: {}", before.matches('\n').count() + 1, error.message()))
    })?;
    match table.remove("provider") {
        None => Ok(table),
        Some(toml::Value::Array(mut many)) if many.len() == 1 && table.is_empty() => match many.pop() {
            Some(toml::Value::Table(one)) => Ok(one),
            _ => Err(CliError::Usage("FILE: provider: expected a table".into())),
        },
        Some(_) => Err(CliError::Usage("FILE: expected one [[provider]] and nothing else".into())),
    }
}

/// Where a field of the file says that its secret is.
struct SecretReference {
    field: &'static str,
    source: SecretSource,
}

impl SecretReference {
    fn from_toml(field: &'static str, value: toml::Value) -> Result<Self, CliError> {
        // Without what is said of a wrong value: that would show it.
        let source = SecretSource::deserialize(value).map_err(|_| invalid_reference_error(field))?;
        Ok(Self { field, source })
    }

    fn read(&self) -> Result<Secret<String>, CliError> {
        match &self.source {
            SecretSource::Sealed => Err(invalid_reference_error(self.field)),
            SecretSource::File(path) => read_secret_input(path, self.field),
            SecretSource::Env(name) => std::env::var(name)
                .map(Secret::new)
                .map_err(|_| CliError::Usage(format!("{}: {name} is not in the environment", self.field))),
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
        let error_text = |text: &str| parse_provider_table(text).unwrap_err().to_string();
        assert!(
            error_text("[[provider]]\nid = 1\n[[provider]]\nid = 2").contains("expected one [[provider]]")
        );
        assert!(error_text("[[provider]]\nid = 1\n[server]\nlisten = 'x'").contains("and nothing else"));
        let broken = error_text("id = 7\nclient_secret = 'hunter2");
        assert!(broken.contains("line 2") && !broken.contains("hunter2"), "{broken}");
    }

    #[test]
    fn inline_secret_in_provider_file_is_rejected_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("maple.toml");
        let given = |text: &str| {
            std::fs::write(&file, text).unwrap();
            build_provider_body(&AddProviderArgs {
                file: file.display().to_string(),
                client_secret_file: None,
            })
        };
        let refused = given("id = 7\nclient_secret = 'hunter2'").unwrap_err().to_string();
        assert!(refused.contains("never the secret itself") && !refused.contains("hunter2"), "{refused}");
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "hunter2\n").unwrap();
        let body = given(&format!("id = 7\nclient_secret = {{ file = '{}' }}", secret.display())).unwrap();
        assert_eq!(body, json!({"id": 7, "client_secret": "hunter2"}));
        let there = |token: &str| {
            given(&format!("id = 7\n[dynamic_registration]\nendpoint = 'e'\ninitial_access_token = {token}"))
        };
        let refused = there("'hunter2'").unwrap_err().to_string();
        assert!(refused.starts_with("dynamic_registration.initial_access_token: expected"), "{refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
        let body = there(&format!("{{ file = '{}' }}", secret.display())).unwrap();
        let registers = json!({"endpoint": "e", "initial_access_token": "hunter2"});
        assert_eq!(body, json!({"id": 7, "dynamic_registration": registers}));
    }
}
