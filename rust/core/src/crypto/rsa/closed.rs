//! A private key whose numbers nobody can touch while it is not in use.
//!
//! It is loaded into pages of its own, see [`KeyPages`], with a first operation, which has AWS-LC make all that it keeps for
//! the key: numbers in Montgomery form, copies of fixed length, blinding. If there are no such pages, the key lies in the
//! heap of all keys, which is always open.

use super::pkey::Pkey;
use crate::arena::{self, KeyPages};
use crate::crypto::{gate, random};
use crate::{Error, Result};
use std::mem::ManuallyDrop;
use std::sync::Arc;

const NOT_OPENED: Error = Error::Memory(
    "a private key cannot be opened: the limit on writable memory is used up (RLIMIT_DATA, `ulimit -d`)",
);

pub(super) struct ClosedPkey {
    pkey: ManuallyDrop<Pkey>,
    pages: Option<Arc<KeyPages>>,
}

impl ClosedPkey {
    /// Loads a key by `read`, which also checks it.
    pub(super) fn load(read: impl FnOnce() -> Result<Pkey>) -> Result<Self> {
        // All of it, so that no child is forked while the pages are open.
        gate::within(|| Self::load_inside(read))
    }

    fn load_inside(read: impl FnOnce() -> Result<Pkey>) -> Result<Self> {
        let Some(pages) = KeyPages::new() else {
            return Ok(Self {
                pkey: ManuallyDrop::new(read()?),
                pages: None,
            });
        };
        let read_whole = || {
            let pkey = read()?;
            pkey.complete()?;
            Ok(pkey)
        };
        let loaded = prepare_thread().and_then(|()| pages.fill(read_whole));
        match loaded {
            Ok(pkey) => Ok(Self {
                pkey: ManuallyDrop::new(pkey),
                pages: Some(pages),
            }),
            Err(error) => {
                retire(pages, || {});
                Err(error)
            }
        }
    }

    /// Runs `work` on the key while it is open.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Pkey) -> Result<T>) -> Result<T> {
        let Some(pages) = &self.pages else {
            return work(&self.pkey);
        };
        gate::within(|| {
            if !pages.begin_use() {
                return Err(NOT_OPENED);
            }
            let _used = Used(pages);
            work(&self.pkey)
        })
    }
}

impl Drop for ClosedPkey {
    fn drop(&mut self) {
        // SAFETY: the key is not used again.
        let mut free = || unsafe { ManuallyDrop::drop(&mut self.pkey) };
        match self.pages.take() {
            Some(pages) => retire(pages, free),
            None => free(),
        }
    }
}

/// Has AWS-LC make what it keeps for this thread (random state, error queue), which must stay open and so must not lie with
/// a key.
fn prepare_thread() -> Result<()> {
    arena::without_keys(|| {
        Pkey::prepare_thread();
        random::warm_up()
    })
}

/// Frees a key, and closes its pages for good. If the system does not open them, they are left as they are: closed.
fn retire(pages: Arc<KeyPages>, free: impl FnOnce()) {
    gate::within(|| {
        if !pages.begin_use() {
            return pages.leave();
        }
        free();
        pages.retire();
    });
}

/// A use of pages that ends when this is dropped.
struct Used<'a>(&'a KeyPages);

impl Drop for Used<'_> {
    fn drop(&mut self) {
        self.0.end_use();
    }
}
