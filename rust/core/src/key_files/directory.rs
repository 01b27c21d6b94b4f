//! A key directory held open: what is in it, and how a pair is replaced.

use super::file;
use super::{DIFFERENT_KEY, because, read_private, refusal};
use crate::os::files::{self, Directory, DirectoryLock, Sharing};
use crate::rsa::{PrivateKey, PublicKey};
use crate::{Error, Result};
use std::ffi::CStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const PRIVATE: &CStr = c"private_key.pem";
const PUBLIC: &CStr = c"public_key.pem";
const STAGED_PRIVATE: &CStr = c".private_key.pem.new";
const STAGED_PUBLIC: &CStr = c".public_key.pem.new";

const PRIVATE_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;
/// Others who may write in the directory may exchange the files.
const WRITABLE_BY_OTHERS: u32 = 0o022;

pub(super) struct KeyDirectory {
    directory: Directory,
    path: PathBuf,
}

/// What a key directory holds.
pub(super) enum Found {
    /// A pair, or a private key from which the public one follows.
    Pair(PrivateKey),
    /// A pair whose replacement was interrupted between its two renames.
    Unfinished(PrivateKey),
    /// Neither half.
    Nothing,
}

impl KeyDirectory {
    pub(super) fn open_or_create(path: &Path) -> Result<Self> {
        let opened = match Directory::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Directory::create(path).and_then(|()| Directory::open(path))
            }
            other => other,
        };
        Self::checked(path, opened)
    }

    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::checked(path, Directory::open(path))
    }

    fn checked(path: &Path, opened: io::Result<Directory>) -> Result<Self> {
        let directory = opened.map_err(|error| file::failure(path, error))?;
        let directory = Self {
            directory,
            path: path.to_owned(),
        };
        directory.check()?;
        Ok(directory)
    }

    /// What to say where a pair should be, and is not.
    pub(super) fn without_pair(&self) -> Error {
        refusal(&self.path, "has no key pair in it")
    }

    /// Waits until nobody writes in the directory, or nobody reads there either.
    pub(super) fn lock(&self, sharing: Sharing) -> Result<DirectoryLock<'_>> {
        self.directory.lock(sharing).map_err(|error| {
            if files::is_busy(&error) {
                return refusal(&self.path, "is locked by another process, for minutes now");
            }
            file::failure(&self.path, error)
        })
    }

    /// The exclusive lock, where nobody has to be waited for.
    pub(super) fn try_lock(&self) -> Option<DirectoryLock<'_>> {
        self.directory.try_lock(Sharing::Exclusive).ok()
    }

    /// Looks at what is there, under either lock.
    pub(super) fn find(&self, password: Option<&[u8]>) -> Result<Found> {
        let private = self.read(PRIVATE)?;
        let public = self.read(PUBLIC)?;
        let Some(private) = private else {
            return match public {
                None => Ok(Found::Nothing),
                Some(_) => Err(refusal(&self.at(PUBLIC), "has no private key beside it")),
            };
        };
        let key = read_private(&self.at(PRIVATE), &private, password)?;
        let problem = match public {
            Some(public) => match belongs_to(&public, &key) {
                Ok(()) => return Ok(Found::Pair(key)),
                Err(error) => Some(because(&self.at(PUBLIC), error)),
            },
            None => None,
        };
        if self.staged_public().as_ref() == Some(key.public_key()) {
            return Ok(Found::Unfinished(key));
        }
        problem.map_or(Ok(Found::Pair(key)), Err)
    }

    /// Does the rename that was left undone. A directory that cannot be written to stays as it is:
    /// what it holds was found to be a pair.
    pub(super) fn finish_replacing(&self) -> Result<()> {
        let _ = self.directory.remove(STAGED_PRIVATE);
        match self.directory.rename(STAGED_PUBLIC, PUBLIC) {
            Err(error) if is_read_only(&error) => Ok(()),
            Err(error) => Err(file::failure(&self.at(PUBLIC), error)),
            Ok(()) => self.sync(),
        }
    }

    /// The same where the password, and so whose the staged public key is, may be unknown: staged
    /// after the private one and discarded before it, it is alone only when it waits for its rename.
    pub(super) fn finish_or_discard(&self) -> Result<()> {
        let is_alone = self.is_file(PRIVATE) && !self.is_file(STAGED_PRIVATE);
        if is_alone && self.staged_public().is_some() {
            return self.finish_replacing();
        }
        self.discard_staged();
        Ok(())
    }

    /// Whether a replacement left anything behind.
    pub(super) fn has_staged(&self) -> bool {
        [STAGED_PRIVATE, STAGED_PUBLIC].iter().any(|name| {
            let opened = self.directory.open_file(name);
            !matches!(opened, Err(error) if error.kind() == io::ErrorKind::NotFound)
        })
    }

    /// Removes what was staged, as far as the directory can be written to. Under the exclusive lock,
    /// and where no replacement waits for its second rename.
    pub(super) fn discard_staged(&self) {
        for name in [STAGED_PUBLIC, STAGED_PRIVATE] {
            let _ = self.directory.remove(name);
        }
    }

    /// Refuses to replace anything but regular files of this user.
    pub(super) fn check_replaceable(&self) -> Result<()> {
        for name in [PRIVATE, PUBLIC] {
            if let Some(file) = self.open_if_present(name)? {
                file::check(&file, &self.at(name))?;
            }
        }
        Ok(())
    }

    /// Writes a pair over the one that is there, if any. Under the exclusive lock.
    ///
    /// An error before the private key has its name leaves nothing staged; one after it leaves the
    /// public key, which is then needed.
    pub(super) fn replace(&self, key: &PrivateKey, private_pem: &[u8]) -> Result<()> {
        self.replace_private(key, private_pem)
            .inspect_err(|_| self.discard_staged())?;
        self.sync()?;
        self.rename(STAGED_PUBLIC, PUBLIC)?;
        self.sync()
    }

    /// The directory and the private key, where their modes let others in.
    pub(super) fn too_open(&self) -> Result<Vec<PathBuf>> {
        let mut too_open = Vec::new();
        let facts = self
            .directory
            .facts()
            .map_err(|error| file::failure(&self.path, error))?;
        if facts.mode & WRITABLE_BY_OTHERS != 0 {
            too_open.push(self.path.clone());
        }
        if let Some(file) = self.open_if_present(PRIVATE)?
            && file::is_too_open(file::check(&file, &self.at(PRIVATE))?)
        {
            too_open.push(self.at(PRIVATE));
        }
        Ok(too_open)
    }

    /// Stages both halves and gives the private one its name, which is the point of no return.
    fn replace_private(&self, key: &PrivateKey, private_pem: &[u8]) -> Result<()> {
        self.stage(STAGED_PRIVATE, private_pem, PRIVATE_MODE)?;
        self.stage(
            STAGED_PUBLIC,
            key.public_key().pem().as_bytes(),
            PUBLIC_MODE,
        )?;
        // Each step is durable before the next: a crash never shows them in another order.
        self.sync()?;
        self.rename(STAGED_PRIVATE, PRIVATE)
    }

    fn check(&self) -> Result<()> {
        let facts = self
            .directory
            .facts()
            .map_err(|error| file::failure(&self.path, error))?;
        if !facts.is_directory {
            return Err(refusal(&self.path, "is not a directory"));
        }
        if !facts.is_trusted {
            return Err(refusal(&self.path, "belongs to another user"));
        }
        Ok(())
    }

    fn staged_public(&self) -> Option<PublicKey> {
        let text = self.read(STAGED_PUBLIC).ok().flatten()?;
        PublicKey::from_pem(&text).ok()
    }

    fn is_file(&self, name: &CStr) -> bool {
        let file = self.open_if_present(name).ok().flatten();
        file.is_some_and(|file| file::check(&file, &self.at(name)).is_ok())
    }

    fn read(&self, name: &CStr) -> Result<Option<Vec<u8>>> {
        let file = self.open_if_present(name)?;
        file.map(|file| file::read_opened(&file, &self.at(name)))
            .transpose()
    }

    fn open_if_present(&self, name: &CStr) -> Result<Option<std::fs::File>> {
        match self.directory.open_file(name) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file::failure(&self.at(name), error)),
        }
    }

    /// Writes a file beside the pair, over what an earlier crash may have left there.
    fn stage(&self, name: &CStr, content: &[u8], mode: u32) -> Result<()> {
        let staged = self.directory.remove(name).and_then(|()| {
            let mut file = self.directory.create_file(name, mode)?;
            file.write_all(content)?;
            file.sync_all()
        });
        staged.map_err(|error| file::failure(&self.at(name), error))
    }

    fn rename(&self, from: &CStr, to: &CStr) -> Result<()> {
        let renamed = self.directory.rename(from, to);
        renamed.map_err(|error| file::failure(&self.at(to), error))
    }

    fn sync(&self) -> Result<()> {
        self.directory
            .sync()
            .map_err(|error| file::failure(&self.path, error))
    }

    fn at(&self, name: &CStr) -> PathBuf {
        self.path.join(name.to_string_lossy().as_ref())
    }
}

fn belongs_to(public: &[u8], key: &PrivateKey) -> Result<()> {
    if PublicKey::from_pem(public)? == *key.public_key() {
        Ok(())
    } else {
        Err(Error::Key(DIFFERENT_KEY))
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}
