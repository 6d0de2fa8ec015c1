//! A test that fixes the names of all commands and flags, on which scripts depend.

use std::os::unix::fs::PermissionsExt;

use bowline::cli::Cli;
use clap::{Arg, ArgAction, Command, CommandFactory as _};

use crate::server_process::decode_output;

/// Renders a flag as `--name <VALUE>` and a positional argument as `<VALUE>`, both in square brackets if optional.
/// `VALUE` replaces every value name, because those are compared with the help texts.
fn render_argument(argument: &Arg) -> String {
    let flag = argument.get_long().map(|long| match argument.get_short() {
        Some(short) => format!("-{short}|--{long}"),
        None => format!("--{long}"),
    });
    let value = argument.get_action().takes_values().then(|| "<VALUE>".to_owned());
    let text = flag.into_iter().chain(value).collect::<Vec<_>>().join(" ");
    let text = if argument.is_required_set() { text } else { format!("[{text}]") };
    if matches!(argument.get_action(), ArgAction::Append) { format!("{text}...") } else { text }
}

/// Renders a command and its subcommands, one per line. Flags that a command has from its parent are left out.
fn render_command(command: &Command, parent: Option<&Command>, path: &str, lines: &mut Vec<String>) {
    let name = format!("{path}{}", command.get_name());
    let is_inherited = |argument: &&Arg| {
        parent.is_some_and(|parent| parent.get_arguments().any(|own| own.get_id() == argument.get_id()))
    };
    let is_builtin = |argument: &&Arg| matches!(argument.get_id().as_str(), "help" | "version");
    let arguments =
        command.get_arguments().filter(|argument| !is_inherited(argument) && !is_builtin(argument));
    let words: Vec<_> = std::iter::once(name.clone()).chain(arguments.map(render_argument)).collect();
    lines.push(words.join(" "));
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        render_command(subcommand, Some(command), &format!("{name} "), lines);
    }
}

#[test]
fn command_names_and_flags_are_unchanged() {
    let mut command = Cli::command();
    command.build();

    let mut lines = Vec::new();
    render_command(&command, None, "", &mut lines);

    insta::assert_snapshot!(lines.join("\n"), @r"
    bowline [--config <VALUE>] [--json] [-q|--quiet] [--color <VALUE>]
    bowline tour
    bowline sandbox [--port <VALUE>] [--data <VALUE>] [--seed <VALUE>] [--store <VALUE>] [--redirect-uri <VALUE>]... [--bank-profile <VALUE>] [--hidden-bank]
    bowline serve [--listen <VALUE>] [--admin-listen <VALUE>] [--probe-listen <VALUE>] [--store <VALUE>]
    bowline migrate
    bowline bench [--store <VALUE>]... [--connections <VALUE>]... [--callers <VALUE>]... [--seconds <VALUE>] [--repetitions <VALUE>] [--only <VALUE>] [--data <VALUE>] [--markdown <VALUE>]
    bowline doctor
    bowline openapi <VALUE>
    bowline config
    bowline config check
    bowline config show
    bowline partner [--url <VALUE>] [--token <VALUE>] [--token-file <VALUE>] [--allow-plaintext]
    bowline partner add --name <VALUE>
    bowline partner list [--limit <VALUE>] [--after <VALUE>]
    bowline partner show <VALUE>
    bowline partner secret <VALUE>
    bowline partner suspend <VALUE>
    bowline partner reinstate <VALUE>
    bowline recipient [--url <VALUE>] [--token <VALUE>] [--token-file <VALUE>] [--allow-plaintext]
    bowline recipient add --name <VALUE> --purpose-en <VALUE> --purpose-fr <VALUE> --redirect-uri <VALUE>... --scope <VALUE> [--provider <VALUE>]... [--require-pkce] [--max-duration-days <VALUE>] [--partner <VALUE>] [--description <VALUE>] [--country <VALUE>] [--logo-uri <VALUE>] [--terms-uri <VALUE>] [--client-uri <VALUE>] [--contact <VALUE>]...
    bowline recipient list [--partner <VALUE>] [--state <VALUE>] [--limit <VALUE>] [--after <VALUE>]
    bowline recipient show <VALUE>
    bowline recipient update <VALUE> --redirect-uri <VALUE>...
    bowline recipient secret <VALUE>
    bowline recipient suspend <VALUE>
    bowline recipient reinstate <VALUE>
    bowline recipient remove <VALUE> [--dry-run]
    bowline provider [--url <VALUE>] [--token <VALUE>] [--token-file <VALUE>] [--allow-plaintext]
    bowline provider add [<VALUE>] [--from-issuer <VALUE>] [--client-secret-file <VALUE>]
    bowline provider update <VALUE> [--client-secret-file <VALUE>] [--dry-run]
    bowline provider secret <VALUE> [--client-secret-file <VALUE>] [--auth-key-file <VALUE>] [--identity-client-secret-file <VALUE>] [--identity-client-key-file <VALUE>] [--tls-certificate-file <VALUE>] [--tls-key-file <VALUE>]
    bowline provider list [--limit <VALUE>] [--after <VALUE>]
    bowline provider show <VALUE>
    bowline provider test <VALUE> [--interactive] [--public-url <VALUE>]
    bowline provider replay <VALUE> --call <VALUE> [--fdx-version <VALUE>]
    bowline provider pause <VALUE>
    bowline provider release <VALUE>
    bowline provider retire <VALUE>
    bowline registration [--url <VALUE>] [--token <VALUE>] [--token-file <VALUE>] [--allow-plaintext]
    bowline registration request --client <VALUE>... --provider <VALUE>...
    bowline registration list [--client <VALUE>] [--provider <VALUE>] [--partner <VALUE>] [--state <VALUE>] [--limit <VALUE>] [--after <VALUE>]
    bowline registration show <VALUE> <VALUE>
    bowline registration approve <VALUE> <VALUE>
    bowline registration activate <VALUE> <VALUE> [--upstream-client-id <VALUE>] [--upstream-client-secret-file <VALUE>]
    bowline registration reject <VALUE> <VALUE> --reason <VALUE>
    bowline registration suspend <VALUE> <VALUE> [--reason <VALUE>]
    bowline registration reinstate <VALUE> <VALUE>
    bowline connection [--url <VALUE>] [--token <VALUE>] [--token-file <VALUE>] [--allow-plaintext]
    bowline connection list [--client <VALUE>] [--provider <VALUE>] [--sub <VALUE>] [--state <VALUE>] [--limit <VALUE>] [--after <VALUE>]
    bowline connection show <VALUE>
    bowline connection end <VALUE> [--dry-run]
    bowline job [--url <VALUE>] [--token <VALUE>] [--token-file <VALUE>] [--allow-plaintext]
    bowline job list [--state <VALUE>] [--kind <VALUE>] [--provider <VALUE>] [--limit <VALUE>] [--after <VALUE>]
    bowline job retry [<VALUE>] [--provider <VALUE>] [--all] [--dry-run]
    bowline job close <VALUE>
    bowline audit [--url <VALUE>] [--token <VALUE>] [--token-file <VALUE>] [--allow-plaintext]
    bowline audit list [--subject-kind <VALUE>] [--subject-id <VALUE>] [--action <VALUE>] [--actor-kind <VALUE>] [--actor-id <VALUE>] [--from <VALUE>] [--before <VALUE>] [--limit <VALUE>] [--after <VALUE>]
    bowline operator [--url <VALUE>] [--token <VALUE>] [--token-file <VALUE>] [--allow-plaintext]
    bowline operator bootstrap
    bowline operator list [--limit <VALUE>] [--after <VALUE>]
    bowline operator add --name <VALUE> --role <VALUE> [--expires-at <VALUE>]
    bowline operator remove <VALUE>
    ");
}

/// Runs `provider replay` with the text of a response, without a hub.
fn replay(body: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("response.json"), body).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bowline"));
    command.args(["--json", "provider", "replay", "response.json"]).args(arguments);
    decode_output(&command.current_dir(folder.path()).output().unwrap())
}

#[test]
fn replay_shows_served_and_dropped_parts_of_response() {
    let body = r#"{"page":{"nextOffset":50},"accounts":[{"loanAccount":{"accountId":1,"loanTerm":"x"}}]}"#;

    let (code, output, error) = replay(body, &["--call", "accounts"]);

    assert_eq!((code, error.as_str()), (Some(0), ""));
    let shown: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(shown["served"], serde_json::json!([{"loanAccount": {"accountId": "1"}}]));
    assert_eq!(shown["next"], "offset=50");
    assert_eq!(shown["dropped"][0]["path"], "accounts[0].loanAccount.loanTerm");
}

#[test]
fn replay_of_unreadable_response_fails_with_reason() {
    let (code, _, error) = replay(r#"{"Accounts":[]}"#, &["--call", "accounts", "--fdx-version", "6"]);
    let (usage_code, _, usage) = replay("{}", &["--call", "pets"]);

    assert_eq!(code, Some(1));
    assert!(error.contains("missing_list"), "{error}");
    assert_eq!(usage_code, Some(2));
    assert!(usage.contains("payment-networks"), "{usage}");
}

#[test]
fn configuration_that_every_user_may_write_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bowline.toml");
    std::fs::write(&file, "").unwrap();
    let check = |mode| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bowline"));
        command.args(["config", "check"]).current_dir(folder.path());
        let (_, _, error) = decode_output(&command.output().unwrap());
        error
    };

    let (writable_by_group, writable_by_all) = (check(0o664), check(0o666));

    assert!(!writable_by_group.contains("may write"), "{writable_by_group}");
    assert!(writable_by_all.contains("every user may write to it"), "{writable_by_all}");
}
