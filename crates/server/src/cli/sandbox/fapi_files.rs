//! The keys and certificates with which the hub and the banks of the profile `fapi` authenticate to each other.

use std::path::{Path, PathBuf};

use anyhow::Context;
use sandbox::bank::{CertificateAuthority, TlsIdentity, generate_private_key};

use super::super::error::CliError;
use super::super::private_files::{create_private_dir, write_private_file};

/// The authority that issued the certificates of the banks and of the hub.
pub(super) const AUTHORITY: &str = "ca.pem";
pub(super) const HUB_CERTIFICATE: &str = "hub.pem";
pub(super) const HUB_KEY: &str = "hub.key";
/// The key that signs the client assertions of the hub.
pub(super) const SIGNING_KEY: &str = "hub-signing.pem";
const BANK_CERTIFICATE: &str = "bank.pem";
const BANK_KEY: &str = "bank.key";

/// The folder with the files, which are created at the first start with the profile.
pub(super) struct FapiFiles {
    folder: PathBuf,
    /// The certificate and the key of the banks' listeners.
    pub(super) bank: TlsIdentity,
    /// The certificate of the authority.
    pub(super) authority: String,
}

impl FapiFiles {
    /// Loads the files from the data folder, or creates them.
    pub(super) fn load_or_create(data: &Path) -> Result<Self, CliError> {
        let folder = data.join("fapi");
        // The signing key is written last, so that an interrupted first start is repeated.
        if !folder.join(SIGNING_KEY).exists() {
            create(&folder)?;
        }
        let read = |name: &str| {
            let file = folder.join(name);
            std::fs::read_to_string(&file).map_err(|error| CliError::for_path(&file, error))
        };
        let bank = TlsIdentity { certificate: read(BANK_CERTIFICATE)?, key: read(BANK_KEY)? };
        Ok(Self { bank, authority: read(AUTHORITY)?, folder })
    }

    /// Returns the path of a file.
    pub(super) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

fn create(folder: &Path) -> Result<(), CliError> {
    create_private_dir(folder).map_err(|error| CliError::for_path(folder, error))?;
    let context = "cannot create the certificates of the sandbox";
    let authority = CertificateAuthority::create("Bowline sandbox authority").context(context)?;
    let bank = authority.issue_for_server("127.0.0.1").context(context)?;
    let hub = authority.issue_for_client("hub.bowline.example").context(context)?;
    let signing_key = generate_private_key().context(context)?;
    for (name, content) in [
        (AUTHORITY, &authority.certificate()),
        (BANK_CERTIFICATE, &bank.certificate),
        (BANK_KEY, &bank.key),
        (HUB_CERTIFICATE, &hub.certificate),
        (HUB_KEY, &hub.key),
        (SIGNING_KEY, &signing_key),
    ] {
        write_private_file(&folder.join(name), content)?;
    }
    Ok(())
}
