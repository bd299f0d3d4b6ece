//! Certificates as files, for programs that take nothing else.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::tls::Certificate;

/// A folder with what a client of the acquiring listener needs, readable by its user alone.
#[derive(Debug)]
pub struct ClientFiles {
    folder: PathBuf,
    /// Whether the folder goes with this value.
    temporary: bool,
}

impl ClientFiles {
    /// Writes them into a folder, which is made when it is not there. Older ones are replaced.
    pub(in crate::sandbox) fn write(
        folder: &Path,
        authority: &str,
        own: &Certificate,
    ) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let files = Self { folder: folder.to_owned(), temporary: false };
        write(&files.authority(), authority)?;
        write(&files.certificate(), &own.certificate_pem)?;
        write(&files.key(), &own.key_pem)?;
        Ok(files)
    }

    /// Writes them into a new folder, which is removed with this value.
    pub(in crate::sandbox) fn temporary(authority: &str, own: &Certificate) -> io::Result<Self> {
        let name = format!("qiwi-gateway-sandbox-{}", uuid::Uuid::new_v4().simple());
        let mut files = Self::write(&std::env::temp_dir().join(name), authority, own)?;
        files.temporary = true;
        Ok(files)
    }

    /// The authority of the listener's certificate.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The client's certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("client.pem")
    }

    /// The private key of the client's certificate.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.folder.join("client-key.pem")
    }
}

impl Drop for ClientFiles {
    fn drop(&mut self) {
        if self.temporary {
            // Whoever has removed it before has done no harm.
            let _best_effort = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_its_user_can_read_the_key_and_a_temporary_folder_goes() {
        let own = Certificate { certificate_pem: "one".into(), key_pem: "two".into() };
        let files = ClientFiles::temporary("three", &own).unwrap();
        let key = files.key();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&key), mode(key.parent().unwrap())), (0o600, 0o700));
        assert_eq!(std::fs::read_to_string(files.authority()).unwrap(), "three");
        drop(files);
        assert!(!key.exists());
    }
}
