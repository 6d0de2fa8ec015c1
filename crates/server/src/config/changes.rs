//! Compares two configurations, so that a reload can name the settings that need a restart.

use toml::{Table, Value};

use super::sections::Config;

impl Config {
    /// Returns the keys whose values differ from those of another configuration, except for providers.
    pub fn list_changed_keys(&self, other: &Self) -> Vec<String> {
        let (Ok(new), Ok(old)) = (Table::try_from(self), Table::try_from(other)) else { return Vec::new() };
        let mut changed = Vec::new();
        for (section, keys) in new.iter().filter(|(section, _)| *section != "provider") {
            let (Some(new), Some(old)) = (keys.as_table(), old.get(section).and_then(Value::as_table)) else {
                continue;
            };
            let names = new.keys().chain(old.keys().filter(|name| !new.contains_key(*name)));
            let differs = |name: &&String| new.get(*name) != old.get(*name);
            changed.extend(names.filter(differs).map(|name| format!("{section}.{name}")));
        }
        changed.sort_unstable();
        changed
    }
}
