//! Opens several packages with the GIL released once, and makes Python objects of each text later.

use crate::detached::Detached;
use crate::errors::OrRaise;
use crate::keys::PrivateKey;
use crate::sealing::{OpenText, Opened, dict_type};
use nomyo_core::Error;
use nomyo_core::crypto::rsa;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};
use std::sync::{Arc, Mutex, PoisonError};

/// The text of a package that `open_together` has opened, in locked memory. It is wiped when it was read or is dropped.
#[pyclass(frozen, module = "nomyo._core")]
pub struct OpenedText {
    text: Mutex<Option<OpenText>>,
}

#[pymethods]
impl OpenedText {
    /// Make Python objects of the text and wipe it: return what `open_package` does, and raise what it does then.
    ///
    /// Raises DisposedError if that was done before.
    #[pyo3(signature = (object_type = None, judge = None))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        object_type: Option<&Bound<'py, PyType>>,
        judge: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Opened<'py>> {
        let object_type = dict_type(py, object_type)?;
        let text = self
            .text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        text.ok_or(Error::Wiped)
            .or_raise(py)?
            .into_objects(&object_type, judge)
    }
}

/// Open packages, one after the other, with the GIL released once for all of them.
///
/// Returns a list with an `OpenedText` for each, or the error that `open_package` would raise.
#[pyfunction]
pub fn open_together<'py>(
    py: Python<'py>,
    packages: Vec<(Bound<'py, PyBytes>, Bound<'py, PrivateKey>)>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let work: Vec<(&[u8], Option<Arc<rsa::PrivateKey>>)> = packages
        .iter()
        .map(|(package, key)| (package.as_bytes(), key.get().core_or_none()))
        .collect();
    let opened: Vec<_> = py.detach_counted(|| {
        work.into_iter()
            .map(|(package, key)| OpenText::open(package, &*key.ok_or(Error::Wiped)?))
            .collect()
    });
    opened
        .into_iter()
        .map(|text| match text.or_raise(py) {
            Ok(text) => Ok(Bound::new(py, OpenedText::of(text))?.into_any()),
            Err(error) => Ok(error.into_value(py).into_bound(py).into_any()),
        })
        .collect()
}

impl OpenedText {
    fn of(text: OpenText) -> Self {
        Self {
            text: Mutex::new(Some(text)),
        }
    }
}
