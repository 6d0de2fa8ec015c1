//! The filter of the log, which `log.level` contains.

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::sections::LogSection;

impl LogSection {
    /// Parses `level`. The error names the key.
    pub fn parse_filter(&self) -> Result<Targets, String> {
        parse_filter(&self.level).map_err(|error| format!("log.level: {error}"))
    }
}

/// Parses a filter of the log: levels, and pairs of a module and its level, separated by commas.
fn parse_filter(text: &str) -> Result<Targets, String> {
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if let Some(part) = parts.iter().find(|part| !is_filter_part(part)) {
        return Err(format!(
            "`{part}` is not a level: expected error, warn, info, debug, trace or off, or a list such as `info,hyper=warn`"
        ));
    }
    parts.join(",").parse::<Targets>().map_err(|error| error.to_string())
}

/// Returns whether a text is a level, or a module with its level.
fn is_filter_part(part: &str) -> bool {
    // The parser of the library accepts any other word as the name of a module, and an empty level as `error`: a misspelt
    // level would turn off the log.
    let (module, level) = part.split_once('=').unwrap_or(("bowline", part));
    !module.is_empty() && !module.contains('[') && !level.is_empty() && level.parse::<LevelFilter>().is_ok()
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn log_filter_applies_level_of_each_module() {
        let filter = parse_filter(" info, hyper=warn,h2=off,").unwrap();

        let is_logged = |module, level| filter.would_enable(module, &level);
        assert!(is_logged("bowline::http", Level::INFO) && !is_logged("bowline::http", Level::DEBUG));
        assert!(is_logged("hyper::client", Level::WARN) && !is_logged("hyper::client", Level::INFO));
        assert!(!is_logged("h2", Level::ERROR));
    }

    #[test]
    fn log_filter_without_level_is_rejected_and_named() {
        for invalid in
            ["warning", "hyper", "hyper=loud", "hyper=", "=info", "a=b=info", "bowline[request]=debug"]
        {
            let error = parse_filter(&format!("info,{invalid}")).unwrap_err();
            assert!(error.starts_with(&format!("`{invalid}` is not a level: expected error")), "{error}");
        }
    }
}
