//! Creates files and folders that only their owner may read.

use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::CliError;

/// Creates a folder and its missing parents with mode 0700. An existing folder keeps its mode.
pub(super) fn create_private_dir(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Creates a temporary folder below `parent`, which only its owner may read. The caller removes it.
pub(super) fn create_temp_dir(parent: &Path, name: &str) -> Result<PathBuf, CliError> {
    let folder = parent.join(format!("bowline-{name}-{}", std::process::id()));
    // The call is not recursive, so that it fails if the folder exists: other users can write to a parent such as /tmp,
    // and the folder may be theirs.
    let created = DirBuilder::new().mode(0o700).create(&folder);
    created.map_err(|error| CliError::for_path(&folder, error))?;
    Ok(folder)
}

/// Writes a file and replaces its content. A new file gets mode 0600.
pub(super) fn write_private_file(file: &Path, text: &str) -> Result<(), CliError> {
    let opened = File::options().create(true).write(true).truncate(true).mode(0o600).open(file);
    let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()));
    written.map_err(|error| CliError::for_path(file, error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn temp_dir_is_private_and_existing_one_is_rejected() {
        let parent = tempfile::tempdir().unwrap();
        let folder = create_temp_dir(parent.path(), "test").unwrap();

        let repeated = create_temp_dir(parent.path(), "test").unwrap_err();

        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(repeated.to_string().contains(&folder.display().to_string()), "{repeated}");
    }
}
