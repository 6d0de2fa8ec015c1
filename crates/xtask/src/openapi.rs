//! Generates the files in `openapi/` from the output of `bowline openapi`.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::tidy;

const DOCUMENTS: [&str; 3] = ["flinks", "fdx", "admin"];

pub(crate) fn write_documents() -> Result<()> {
    let folder = tidy::root().join("openapi");
    std::fs::create_dir_all(&folder)?;
    for name in DOCUMENTS {
        let printed = Command::new("cargo")
            .args(["run", "--quiet", "-p", "bowline", "--", "openapi", name])
            .stderr(std::process::Stdio::inherit())
            .output()?;
        ensure!(printed.status.success(), "bowline openapi {name} failed");
        let file = folder.join(format!("{name}.json"));
        std::fs::write(&file, printed.stdout).with_context(|| file.display().to_string())?;
    }
    Ok(())
}
