//! What this core was built from and with. `build.rs` collects it.

use nomyo_core::crypto;
use pyo3::prelude::*;
use pyo3::types::PyDict;

const DIRTY: &str = "-dirty";

/// Return what this core was built from and with, for whoever wants to compare it with a published build.
///
/// version: of the package. commit: of the repository, or None if the builder named none. dirty: whether files differed
/// from that commit, or None. built_at: SOURCE_DATE_EPOCH of the build in seconds since 1970, or None. rustc, target,
/// profile, opt_level, debug, flags: as rustc and Cargo name them. crypto: name and version of the crypto library.
#[pyfunction]
pub fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let (commit, dirty) = commit(env!("BUILD_INFO_NOMYO_BUILD_COMMIT"));
    let info = PyDict::new(py);
    info.set_item("version", env!("CARGO_PKG_VERSION"))?;
    info.set_item("commit", commit)?;
    info.set_item("dirty", dirty)?;
    let date = env!("BUILD_INFO_SOURCE_DATE_EPOCH").parse::<u64>().ok();
    info.set_item("built_at", date)?;
    info.set_item("rustc", env!("BUILD_INFO_RUSTC"))?;
    info.set_item("target", env!("BUILD_INFO_TARGET"))?;
    info.set_item("profile", env!("BUILD_INFO_PROFILE"))?;
    info.set_item("opt_level", env!("BUILD_INFO_OPT_LEVEL"))?;
    info.set_item("debug", env!("BUILD_INFO_DEBUG") == "true")?;
    info.set_item("flags", env!("BUILD_INFO_FLAGS"))?;
    info.set_item("crypto", crypto::version())?;
    Ok(info)
}

/// Splits what the builder said into the commit and whether files differed from it.
fn commit(said: &str) -> (Option<&str>, Option<bool>) {
    match said.strip_suffix(DIRTY) {
        _ if said.is_empty() => (None, None),
        Some(commit) => (Some(commit), Some(true)),
        None => (Some(said), Some(false)),
    }
}
