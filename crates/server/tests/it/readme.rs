//! Tests that the commands of the README work: the first one runs, the second is that of CI, and the others exist.

use std::path::Path;
use std::process::Command;

use bowline::cli::Cli;
use bowline::router::all_routes;
use clap::CommandFactory as _;

fn read_file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
}

/// Returns the code blocks of a text that consist of one command.
fn find_commands(text: &str) -> Vec<&str> {
    let fences = text.split("```").skip(1).step_by(2);
    let bodies = fences.filter_map(|fence| Some(fence.split_once('\n')?.1.trim()));
    bodies.filter(|body| body.starts_with("cargo ") && !body.contains('\n')).collect()
}

#[test]
fn readme_commands_are_those_of_tour_and_ci() {
    let readme = read_file("README.md");
    let commands = find_commands(&readme);
    let [first, second, ..] = commands.as_slice() else {
        panic!("two commands, each in a fence: {commands:?}")
    };
    let arguments: Vec<&str> = first.strip_prefix("cargo run --release -- ").unwrap().split(' ').collect();
    let output = Command::new(env!("CARGO_BIN_EXE_bowline")).args(arguments).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        shown.contains("endpoints are closed: the connection has ended, at the hub and at the bank."),
        "{shown}"
    );
    let ci = read_file(".ci/run");
    assert_eq!(ci.lines().last(), Some(*second));
}

#[test]
fn readme_commands_and_calls_exist() {
    let readme = read_file("README.md");
    let commands = find_commands(&readme);
    let own_commands: Vec<_> =
        commands.iter().filter_map(|command| command.strip_prefix("cargo run --release -- ")).collect();
    let calls: Vec<_> = readme.lines().filter(|line| line.starts_with("curl ")).collect();

    assert_eq!((own_commands.len(), calls.len()), (2, 1), "{own_commands:?} {calls:?}");
    for command in own_commands {
        let arguments = std::iter::once("bowline").chain(command.split(' '));
        let parsed = Cli::command().try_get_matches_from(arguments);
        assert!(parsed.is_ok(), "{command}: {parsed:?}");
    }
    for call in calls {
        let exists = all_routes()
            .iter()
            .any(|route| call.contains(&format!("-X {} http://127.0.0.1:8400{} ", route.method, route.path)));
        assert!(exists, "there is no route for {call}");
    }
}

#[test]
fn readme_recording_matches_tour_output() {
    let readme = read_file("README.md");
    let tour =
        Command::new(env!("CARGO_BIN_EXE_bowline")).args(["tour", "--color", "never"]).output().unwrap();
    let printed = String::from_utf8(tour.stdout).unwrap();
    let recording = readme.split("```").find(|fence| fence.contains("Endpoints after the end")).unwrap();
    // Times and ids differ from run to run: the words of each line are what is compared.
    let words = |line: &str| -> Vec<String> {
        let steady = |word: &&str| !word.contains(['.', '_', '…']) && word.chars().any(char::is_alphabetic);
        line.split_whitespace().filter(steady).map(str::to_owned).collect()
    };
    let known: Vec<_> = printed.lines().map(words).collect();
    let recorded = recording.lines().skip(1).filter(|line| !line.starts_with('$') && !words(line).is_empty());
    let mut lines = 0;
    for line in recorded {
        assert!(known.contains(&words(line)), "the tour does not print: {line}");
        lines += 1;
    }
    assert!(lines >= 10, "the recording shows the story: {lines} lines");
}
