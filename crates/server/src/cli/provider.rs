//! `bowline provider`

use clap::Subcommand;

use super::Failure;
use super::given::{Paging, Provider, filtered};
use super::reach::Desk;

/// Looks at data providers, holds and releases them.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// List the providers, and whether each takes part.
    #[command(after_help = "Example:\n  bowline provider list")]
    List(Paging),
    /// Show a provider and its settings, without its secret.
    #[command(after_help = "Example:\n  bowline provider show 1000")]
    Show(Provider),
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

pub(super) async fn run(desk: &Desk, command: Command) -> Result<(), Failure> {
    match command {
        Command::List(page) => {
            let list = filtered("/providers", &[("limit", &page.limit), ("after", &page.after)]);
            desk.show_page(&desk.get(&list).await?, &["id", "state", "name", "country", "source"]);
        }
        Command::Show(of) => desk.show_all(&desk.get(&format!("/providers/{}", of.id)).await?),
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
