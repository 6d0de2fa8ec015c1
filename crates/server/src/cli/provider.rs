//! `bowline provider`

use clap::Subcommand;
use domain::Secret;
use domain::model::provider::SecretSource;
use serde::Deserialize;
use serde_json::{Value, json};
use toml::Table;

use super::Failure;
use super::given::{Paging, Provider, filtered, secret_of, text_of};
use super::reach::Desk;

/// Looks at data providers, adds, holds and releases them.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Add a provider, described as in the configuration.
    #[command(
        after_help = "Examples:\n  bowline provider add maple.toml --client-secret-file maple.secret\n  BOWLINE_CLIENT_SECRET=… bowline provider add - < maple.toml\n\nThe file is one [[provider]] as in config.example.toml."
    )]
    Add(Add),
    /// List the providers, and whether each takes part.
    #[command(after_help = "Example:\n  bowline provider list")]
    List(Paging),
    /// Show a provider and its settings, without its secret.
    #[command(after_help = "Example:\n  bowline provider show 1000")]
    Show(Provider),
    /// Try whether a provider can be spoken with. Changes nothing.
    #[command(after_help = "Example:\n  bowline provider test 1000")]
    Test(Provider),
    /// Hold a provider: tokens are issued, data answers 503, nothing is connected, nobody is ended.
    #[command(after_help = "Example:\n  bowline provider pause 1000")]
    Pause(Provider),
    /// Let a provider take part again: one that was paused or retired, or one that the hub has tripped because it
    /// answered `invalid_grant` to too many at once.
    #[command(after_help = "Example:\n  bowline provider release 1000")]
    Release(Provider),
    /// Have a provider leave: as paused, and nothing new is connected.
    #[command(after_help = "Example:\n  bowline provider retire 1000")]
    Retire(Provider),
}

/// What is to be known of a provider.
#[derive(clap::Args, Debug)]
pub(super) struct Add {
    /// A TOML file with one `[[provider]]`, or its keys alone; - is standard input.
    file: String,
    /// A file that holds the secret of the hub's client there; - is standard input. Without it the variable
    /// `BOWLINE_CLIENT_SECRET`, or what `client_secret` in the file names.
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<String>,
}

pub(super) async fn run(desk: &Desk, command: Command) -> Result<(), Failure> {
    match command {
        Command::Add(new) => {
            let added = desk.post_json("/providers", &described(&new)?).await?;
            desk.show_line(&added, &COLUMNS);
        }
        Command::List(page) => {
            let list = filtered("/providers", &[("limit", &page.limit), ("after", &page.after)]);
            desk.show_page(&desk.get(&list).await?, &["id", "state", "name", "country", "source"]);
        }
        Command::Show(of) => desk.show_all(&desk.get(&format!("/providers/{}", of.id)).await?),
        Command::Test(of) => {
            let tested = desk.post(&format!("/providers/{}/test", of.id)).await?;
            desk.show_all(&tested);
            if tested["ok"] != true {
                return Err(Failure::DoesNotHold(format!("provider {} does not answer as it should", of.id)));
            }
        }
        Command::Pause(of) => set(desk, &of, "pause").await?,
        Command::Release(of) => set(desk, &of, "release").await?,
        Command::Retire(of) => set(desk, &of, "retire").await?,
    }
    Ok(())
}

const COLUMNS: [&str; 3] = ["id", "state", "name"];

async fn set(desk: &Desk, of: &Provider, word: &str) -> Result<(), Failure> {
    desk.show_line(&desk.post(&format!("/providers/{}/{word}", of.id)).await?, &COLUMNS);
    Ok(())
}

/// A provider as the API takes it: the file's table, with the secret itself in the place of where it is.
fn described(new: &Add) -> Result<Value, Failure> {
    if new.file == "-" && new.client_secret_file.as_deref() == Some("-") {
        return Err(Failure::Usage("--client-secret-file: expected a file: - is the provider itself".into()));
    }
    let mut table = one_provider(&text_of(&new.file, "FILE")?)?;
    let kept = table.remove("client_secret").map(|secret| Kept::at("client_secret", secret)).transpose()?;
    let secret = match (&new.client_secret_file, std::env::var("BOWLINE_CLIENT_SECRET")) {
        (Some(file), _) => Some(secret_of(file, "--client-secret-file")?),
        (None, Ok(secret)) => Some(Secret::new(secret)),
        (None, Err(_)) => kept.map(|kept| kept.read()).transpose()?,
    };
    let token = table.get_mut("dynamic_registration").and_then(|there| there.get_mut("initial_access_token"));
    if let Some(token) = token {
        let kept = Kept::at("dynamic_registration.initial_access_token", token.clone())?;
        *token = toml::Value::String(kept.read()?.expose().clone());
    }
    let mut body = serde_json::to_value(table).map_err(|e| Failure::Fault(e.into()))?;
    if let Some(secret) = secret {
        body["client_secret"] = json!(secret.expose());
    }
    Ok(body)
}

/// The table of a file that has one provider. What is wrong is told by its line alone: a secret may stand there.
fn one_provider(text: &str) -> Result<Table, Failure> {
    let mut table: Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        Failure::Usage(format!("FILE: line {}: {}", before.matches('\n').count() + 1, error.message()))
    })?;
    match table.remove("provider") {
        None => Ok(table),
        Some(toml::Value::Array(mut many)) if many.len() == 1 && table.is_empty() => match many.pop() {
            Some(toml::Value::Table(one)) => Ok(one),
            _ => Err(Failure::Usage("FILE: provider: expected a table".into())),
        },
        Some(_) => Err(Failure::Usage("FILE: expected one [[provider]] and nothing else".into())),
    }
}

/// Where a field of the file says that its secret is.
struct Kept {
    field: &'static str,
    source: SecretSource,
}

impl Kept {
    fn at(field: &'static str, value: toml::Value) -> Result<Self, Failure> {
        // Without what is said of a wrong value: that would show it.
        let source = SecretSource::deserialize(value).map_err(|_| refused(field))?;
        Ok(Self { field, source })
    }

    fn read(&self) -> Result<Secret<String>, Failure> {
        match &self.source {
            SecretSource::Sealed => Err(refused(self.field)),
            SecretSource::File(path) => secret_of(path, self.field),
            SecretSource::Env(name) => std::env::var(name)
                .map(Secret::new)
                .map_err(|_| Failure::Usage(format!("{}: {name} is not in the environment", self.field))),
        }
    }
}

fn refused(field: &str) -> Failure {
    let expected = "expected { file = \"PATH\" } or { env = \"NAME\" }, never the secret itself";
    Failure::Usage(format!("{field}: {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_provider_in_either_shape() {
        for text in ["id = 7\nname = 'Maple'", "[[provider]]\nid = 7\nname = 'Maple'"] {
            assert_eq!(one_provider(text).unwrap()["id"].as_integer(), Some(7), "{text}");
        }
        let said = |text: &str| one_provider(text).unwrap_err().to_string();
        assert!(said("[[provider]]\nid = 1\n[[provider]]\nid = 2").contains("expected one [[provider]]"));
        assert!(said("[[provider]]\nid = 1\n[server]\nlisten = 'x'").contains("and nothing else"));
        let broken = said("id = 7\nclient_secret = 'hunter2");
        assert!(broken.contains("line 2") && !broken.contains("hunter2"), "{broken}");
    }

    #[test]
    fn a_secret_in_the_file_itself_is_refused_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("maple.toml");
        let given = |text: &str| {
            std::fs::write(&file, text).unwrap();
            described(&Add { file: file.display().to_string(), client_secret_file: None })
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
