//! Examines a TPM's quote of its PCRs: what of it holds, and why not.
//!
//! Rules:
//! - All of it comes from the one who is to be examined, and may be hostile: each structure is bounded, and read to its
//!   end, with nothing behind it.
//! - Each check has an outcome of its own. One that depends on another that failed is [`Outcome::Unknown`]; it never
//!   counts as passed.
//! - No policy lies here: which values, keys or roots are right, others decide.
//!
//! A quote that passes all of it shows this alone: whoever holds the key signed these values for this request. The key
//! itself is in no way known: anyone can make one that looks so.

mod reader;
mod structures;

use crate::crypto::certificates::check_chain;
use crate::crypto::signature::{Hash, Numbers, Signature, Signer};
use crate::{Error, Result, stack};
use reader::Fault;
use structures::{Attest, Public, Quote, Signed, is_canonical};

pub use structures::{Bank, PCRS};

/// The most bytes of each of the three structures.
pub const MAX_STRUCTURE_BYTES: usize = 2048;

/// A quote, and what it is said to be about.
#[derive(Debug)]
pub struct Statement<'a> {
    /// TPMS_ATTEST.
    pub quote: &'a [u8],
    /// TPMT_SIGNATURE.
    pub signature: &'a [u8],
    /// TPM2B_PUBLIC: the key that signed.
    pub public: &'a [u8],
    /// What the quote must contain, so that it can be no older than the request.
    pub qualifying_data: &'a [u8],
    /// The PCRs that are given: bank, index, value.
    pub pcrs: &'a [(Bank, u8, &'a [u8])],
}

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not hold, for this reason.
    Failed(&'static str),
    /// It could not be made, for this reason.
    Unknown(&'static str),
}

impl From<std::result::Result<(), Fault>> for Outcome {
    fn from(result: std::result::Result<(), Fault>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Passed)
    }
}

/// What an examination found.
#[derive(Debug)]
pub struct Findings {
    /// The key signed the quote.
    pub signature: Outcome,
    /// The TPM made it, and it is a quote.
    pub quote: Outcome,
    /// It has the qualifying data of this request.
    pub fresh: Outcome,
    /// The key is restricted, for signatures only, and fixed to its TPM.
    pub key_attributes: Outcome,
    /// It is about the PCRs that are given, no more and no less.
    pub selection: Outcome,
    /// Its digest is that of the values that are given.
    pub digest: Outcome,
    /// The key's fingerprint; `None` if it is none.
    pub fingerprint: Option<String>,
}

const NO_KEY: Outcome = Outcome::Unknown("the key cannot be read");
const NO_SIGNATURE: Outcome = Outcome::Unknown("the signature cannot be read");
const NO_QUOTE: Outcome = Outcome::Unknown("the quote cannot be read");

/// Examines a quote. An error is a lack of memory or of stack, and never a property of the quote.
pub fn examine(statement: &Statement<'_>) -> Result<Findings> {
    stack::check_room()?;
    let public = bounded(statement.public).and_then(Public::parse);
    let signed = bounded(statement.signature).and_then(Signed::parse);
    let attest = bounded(statement.quote).and_then(Attest::parse);
    let mut findings = Findings {
        signature: NO_KEY,
        quote: NO_QUOTE,
        fresh: NO_QUOTE,
        key_attributes: NO_KEY,
        selection: NO_QUOTE,
        digest: NO_QUOTE,
        fingerprint: None,
    };
    findings.judge_quote(&attest, statement);
    match &public {
        Ok(public) => findings.judge_key(public, &signed, statement.quote)?,
        Err(fault) => findings.key_attributes = Outcome::Failed(fault),
    }
    match (&attest, &signed) {
        (Ok(Attest { quote: Some(quote) }), Ok(signed)) => {
            findings.digest = digest(quote, signed.hash, statement.pcrs, findings.selection)?;
        }
        (Ok(_), Err(_)) => findings.digest = NO_SIGNATURE,
        _ => {}
    }
    Ok(findings)
}

/// Checks that certificates lead from a key to one of the roots at `now_s`, in Unix seconds.
///
/// `public` is the TPM2B_PUBLIC of the key; certificates and roots are in DER. An error is a lack of memory or of stack.
pub fn endorsement(public: &[u8], chain: &[&[u8]], roots: &[&[u8]], now_s: i64) -> Result<Outcome> {
    let Ok(public) = bounded(public).and_then(Public::parse) else {
        return Ok(NO_KEY);
    };
    let checked =
        Signer::new(public.numbers).and_then(|key| check_chain(chain, roots, &key, now_s));
    match checked {
        Ok(()) => Ok(Outcome::Passed),
        Err(Error::Key(fault)) => Ok(Outcome::Failed(fault)),
        Err(error) => Err(error),
    }
}

impl Findings {
    fn judge_quote(
        &mut self,
        attest: &std::result::Result<Attest<'_>, Fault>,
        statement: &Statement<'_>,
    ) {
        let quote = match attest {
            Ok(Attest { quote: Some(quote) }) => quote,
            Ok(Attest { quote: None }) => {
                self.quote = Outcome::Failed("no TPM made it, or it is no quote");
                return;
            }
            Err(fault) => {
                self.quote = Outcome::Failed(fault);
                return;
            }
        };
        self.quote = Outcome::Passed;
        self.fresh = passed_if(
            quote.qualifying_data == statement.qualifying_data,
            "it was made for another request",
        );
        self.selection = selection(quote, statement.pcrs).into();
    }

    fn judge_key(
        &mut self,
        public: &Public<'_>,
        signed: &std::result::Result<Signed<'_>, Fault>,
        message: &[u8],
    ) -> Result<()> {
        self.key_attributes = public.check_attributes().into();
        let signer = match Signer::new(public.numbers) {
            Ok(signer) => signer,
            Err(Error::Key(fault)) => {
                self.key_attributes = Outcome::Failed(fault);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.fingerprint = Some(signer.fingerprint()?);
        self.signature = match signed {
            Err(fault) => Outcome::Failed(fault),
            Ok(signed) if (signed.scheme, signed.hash) != (public.scheme, public.hash) => {
                Outcome::Failed("it is of another kind than the key makes")
            }
            Ok(signed) if !has_canonical_numbers(public, signed) => {
                Outcome::Failed("its numbers have not the form that a TPM writes")
            }
            Ok(signed) => passed_if(
                signer.has_signed(message, signed.hash, signed.signature)?,
                "the key did not make it over this quote",
            ),
        };
        Ok(())
    }
}

fn has_canonical_numbers(public: &Public<'_>, signed: &Signed<'_>) -> bool {
    match (public.numbers, signed.signature) {
        (Numbers::Point(curve, ..), Signature::Ecdsa(r, s)) => {
            is_canonical(r, curve) && is_canonical(s, curve)
        }
        _ => true,
    }
}

fn bounded(bytes: &[u8]) -> std::result::Result<&[u8], Fault> {
    if bytes.len() > MAX_STRUCTURE_BYTES {
        return Err("it is longer than any TPM writes");
    }
    Ok(bytes)
}

fn passed_if(holds: bool, otherwise: Fault) -> Outcome {
    if holds {
        Outcome::Passed
    } else {
        Outcome::Failed(otherwise)
    }
}

/// Checks that the given PCRs are those that the quote selects, each once, with values of their bank's length.
fn selection(quote: &Quote<'_>, pcrs: &[(Bank, u8, &[u8])]) -> std::result::Result<(), Fault> {
    let selected = |bank, index| {
        let mut sets = quote.selections.iter();
        index < PCRS && sets.any(|(other, set)| *other == bank && set >> index & 1 == 1)
    };
    for (place, (bank, index, value)) in pcrs.iter().enumerate() {
        if value.len() != bank.value_bytes() {
            return Err("a value has not the length of its bank's hash");
        }
        if !selected(*bank, *index) {
            return Err("a PCR is given that the quote does not cover");
        }
        let before = &pcrs[..place];
        if before
            .iter()
            .any(|(other, i, _)| (other, i) == (bank, index))
        {
            return Err("a PCR is given twice");
        }
    }
    let count: u32 = quote
        .selections
        .iter()
        .map(|(_, set)| set.count_ones())
        .sum();
    if count as usize != pcrs.len() {
        return Err("the quote covers a PCR that is not given");
    }
    if count == 0 {
        return Err("the quote covers no PCR");
    }
    Ok(())
}

/// Checks the digest: over the selected values, bank by bank in the quote's order, each by its PCRs' numbers (TPM 2.0
/// Library, Part 3, section "TPM2_Quote"; Part 4, PCRComputeCurrentDigest).
fn digest(
    quote: &Quote<'_>,
    hash: Hash,
    pcrs: &[(Bank, u8, &[u8])],
    selection: Outcome,
) -> Result<Outcome> {
    if selection != Outcome::Passed {
        return Ok(Outcome::Unknown("other PCRs are given than are covered"));
    }
    let mut values = Vec::new();
    for (bank, _) in &quote.selections {
        let mut of_bank: Vec<_> = pcrs.iter().filter(|(other, ..)| other == bank).collect();
        of_bank.sort_by_key(|(_, index, _)| *index);
        for (_, _, value) in of_bank {
            values.extend_from_slice(value);
        }
    }
    let same = hash.digest(&values)? == quote.digest;
    Ok(passed_if(same, "the values are not those of the quote"))
}
