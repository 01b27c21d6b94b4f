//! Examines quotes of a TPM.

use crate::errors::OrRaise;
use nomyo_core::attestation::{self, Bank, Outcome, Statement};
use nomyo_core::crypto::certificates;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

type Finding = (Option<bool>, &'static str);

/// Examine a TPM's quote.
///
/// Args: TPMS_ATTEST, TPMT_SIGNATURE and TPM2B_PUBLIC as bytes; what the quote must contain as qualifying data; the
/// PCRs that are given as (bank, index, value), for the banks "sha256", "sha384" and "sha512".
///
/// Returns (findings, fingerprint). The findings are a dict of (True, False or None, reason) for the checks
/// "signature", "quote", "fresh", "key_attributes", "selection" and "digest", in this order; the reason is empty for
/// True. The fingerprint is that of the key's SPKI DER, or None if there is no key. Raises ValueError for an unknown bank.
#[pyfunction]
pub fn examine_quote<'py>(
    py: Python<'py>,
    quote: &[u8],
    signature: &[u8],
    public: &[u8],
    qualifying_data: &[u8],
    pcrs: Vec<(String, u8, Bound<'py, PyBytes>)>,
) -> PyResult<(Bound<'py, PyDict>, Option<String>)> {
    let mut given = Vec::with_capacity(pcrs.len());
    for (bank, index, value) in &pcrs {
        let bank = Bank::named(bank).ok_or_else(|| PyValueError::new_err("unknown bank"))?;
        given.push((bank, *index, value.as_bytes()));
    }
    let statement = Statement {
        quote,
        signature,
        public,
        qualifying_data,
        pcrs: &given,
    };
    let found = attestation::examine(&statement).or_raise(py)?;
    let findings = PyDict::new(py);
    for (name, outcome) in [
        ("signature", found.signature),
        ("quote", found.quote),
        ("fresh", found.fresh),
        ("key_attributes", found.key_attributes),
        ("selection", found.selection),
        ("digest", found.digest),
    ] {
        findings.set_item(name, finding(outcome))?;
    }
    Ok((findings, found.fingerprint))
}

/// Check whether certificates lead from a key to a root that somebody trusts.
///
/// Args: TPM2B_PUBLIC; the certificates in DER, the key's own first; the roots in DER; the time in Unix seconds.
/// Returns (True, False or None, reason).
#[pyfunction]
pub fn examine_endorsement(
    py: Python<'_>,
    public: &[u8],
    chain: Vec<Bound<'_, PyBytes>>,
    roots: Vec<Bound<'_, PyBytes>>,
    now_s: i64,
) -> PyResult<Finding> {
    let chain: Vec<_> = chain.iter().map(|der| der.as_bytes()).collect();
    let roots: Vec<_> = roots.iter().map(|der| der.as_bytes()).collect();
    let outcome = attestation::endorsement(public, &chain, &roots, now_s).or_raise(py)?;
    Ok(finding(outcome))
}

/// Return whether bytes are one certificate in DER.
#[pyfunction]
pub fn is_certificate(der: &[u8]) -> bool {
    certificates::check_certificate(der).is_ok()
}

fn finding(outcome: Outcome) -> Finding {
    match outcome {
        Outcome::Passed => (Some(true), ""),
        Outcome::Failed(reason) => (Some(false), reason),
        Outcome::Unknown(reason) => (None, reason),
    }
}
