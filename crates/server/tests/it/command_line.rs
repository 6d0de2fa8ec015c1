//! Fixes the names of all commands and flags: scripts depend on them.

use bowline::cli::Cli;
use clap::{Arg, Command, CommandFactory as _};

/// Renders a flag or argument as `--name <VALUE>`, in square brackets if it is optional.
fn render_argument(argument: &Arg) -> String {
    let takes_value = argument.get_action().takes_values();
    let value = argument
        .get_value_names()
        .filter(|_| takes_value)
        .map(|names| names.iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join(" "));
    let flag = argument.get_long().map(|long| match argument.get_short() {
        Some(short) => format!("-{short}|--{long}"),
        None => format!("--{long}"),
    });
    let text = flag.into_iter().chain(value).collect::<Vec<_>>().join(" ");
    let repeated = if argument.get_num_args().is_some_and(|number| number.max_values() > 1)
        || matches!(argument.get_action(), clap::ArgAction::Append)
    {
        "..."
    } else {
        ""
    };
    if argument.is_required_set() { format!("{text}{repeated}") } else { format!("[{text}]{repeated}") }
}

/// Renders a command and its subcommands, one a line, without help texts and flags that every command has.
fn render_command(command: &Command, parent: &str, lines: &mut Vec<String>) {
    let name = format!("{parent}{}", command.get_name());
    let arguments = command
        .get_arguments()
        .filter(|argument| parent.is_empty() || !argument.is_global_set())
        .filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version"));
    let line: Vec<_> = std::iter::once(name.clone()).chain(arguments.map(render_argument)).collect();
    lines.push(line.join(" "));
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        render_command(subcommand, &format!("{name} "), lines);
    }
}

#[test]
fn command_names_and_flags_are_unchanged() {
    let mut command = Cli::command();
    command.build();

    let mut lines = Vec::new();
    render_command(&command, "", &mut lines);

    insta::assert_snapshot!(lines.join("\n"), @"");
}
