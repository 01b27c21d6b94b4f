//! The three structures of a quote: TPMS_ATTEST, TPMT_SIGNATURE and TPM2B_PUBLIC, for the kinds of keys that sign quotes.
//!
//! The numbers and sections are those of the TPM 2.0 Library, Part 2: Structures (revision 1.59).

use super::reader::{Fault, Reader};
use crate::crypto::signature::{Curve, Hash, Numbers, Signature};

// Section 6.3, TPM_ALG_ID.
const ALG_RSA: u16 = 0x0001;
const ALG_SHA256: u16 = 0x000B;
const ALG_SHA384: u16 = 0x000C;
const ALG_SHA512: u16 = 0x000D;
const ALG_NULL: u16 = 0x0010;
const ALG_RSASSA: u16 = 0x0014;
const ALG_RSAPSS: u16 = 0x0016;
const ALG_ECDSA: u16 = 0x0018;
const ALG_ECC: u16 = 0x0023;

// Section 6.4, TPM_ECC_CURVE.
const CURVE_P256: u16 = 0x0003;
const CURVE_P384: u16 = 0x0004;

/// Section 6.2, TPM_GENERATED_VALUE: in front of what a TPM itself made. A restricted key signs nothing else that
/// begins so.
const GENERATED: u32 = 0xFF54_4347;
/// Section 6.9, TPM_ST_ATTEST_QUOTE.
const ATTEST_QUOTE: u16 = 0x8018;

/// Section 8.3.2, TPMA_OBJECT: the bits that a key of an attestation has.
const ATTRIBUTES: [(u32, Fault); 5] = [
    (1 << 1, "it may leave its TPM (fixedTPM is clear)"),
    (
        1 << 4,
        "it may move to another parent (fixedParent is clear)",
    ),
    (
        1 << 5,
        "its secret came from outside the TPM (sensitiveDataOrigin is clear)",
    ),
    (
        1 << 16,
        "it signs what its owner likes (restricted is clear)",
    ),
    (1 << 18, "it is no key for signatures (sign is clear)"),
];
const DECRYPT: u32 = 1 << 17;

const UNKNOWN_ALGORITHM: Fault = "it names an algorithm that is not known here";
/// The longest TPM2B_DATA and TPM2B_NAME: a hash with its algorithm, and TPMT_HA at most (sections 10.4.3, 10.5.3).
const LONGEST_NAME_BYTES: usize = 66;
const LONGEST_DIGEST_BYTES: usize = 64;
const LONGEST_RSA_BYTES: usize = 512;
/// Banks of PCRs that one quote selects; TPMs have three or four.
const MOST_BANKS: u32 = 8;
/// Bytes of a bitmap of PCRs: 24 PCRs (PC Client Platform TPM Profile, section 4.6), and one byte to spare.
const LONGEST_BITMAP_BYTES: u8 = 4;

/// One past the highest PCR.
pub const PCRS: u8 = 24;

/// A bank of PCRs, by its hash. A bank of SHA-1 is none here: values with the same digest can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bank {
    /// The values are digests of SHA-256.
    Sha256,
    /// The values are digests of SHA-384.
    Sha384,
    /// The values are digests of SHA-512.
    Sha512,
}

impl Bank {
    /// Returns a bank by its name, as tpm2-tools write it.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "sha256" => Some(Self::Sha256),
            "sha384" => Some(Self::Sha384),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Bytes of a value.
    pub fn value_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn of_algorithm(algorithm: u16) -> Result<Self, Fault> {
        match algorithm {
            ALG_SHA256 => Ok(Self::Sha256),
            ALG_SHA384 => Ok(Self::Sha384),
            ALG_SHA512 => Ok(Self::Sha512),
            _ => Err("it selects a bank of PCRs that is not known here"),
        }
    }
}

/// What is read of a TPMS_ATTEST (section 10.12.12).
pub(super) struct Attest<'a> {
    /// Whether magic and type are those of a quote; if not, nothing of the rest was read.
    pub(super) quote: Option<Quote<'a>>,
}

/// What is read of a quote.
pub(super) struct Quote<'a> {
    pub(super) qualifying_data: &'a [u8],
    /// The banks in the quote's order, each with the set of its PCRs, bit by bit.
    pub(super) selections: Vec<(Bank, u32)>,
    pub(super) digest: &'a [u8],
}

impl<'a> Attest<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(bytes);
        if reader.u32()? != GENERATED || reader.u16()? != ATTEST_QUOTE {
            return Ok(Self { quote: None });
        }
        reader.sized(LONGEST_NAME_BYTES)?; // qualifiedSigner: of parents that nobody tells us
        let qualifying_data = reader.sized(LONGEST_NAME_BYTES)?;
        reader.bytes(8 + 4 + 4)?; // TPMS_CLOCK_INFO (section 10.11.1): clock, resetCount, restartCount
        if reader.u8()? > 1 {
            return Err("its clock is neither safe nor unsafe");
        }
        reader.bytes(8)?; // firmwareVersion
        let selections = selections(&mut reader)?;
        let digest = reader.sized(LONGEST_DIGEST_BYTES)?;
        reader.end()?;
        Ok(Self {
            quote: Some(Quote {
                qualifying_data,
                selections,
                digest,
            }),
        })
    }
}

/// Reads TPML_PCR_SELECTION (section 10.9.7).
fn selections(reader: &mut Reader<'_>) -> Result<Vec<(Bank, u32)>, Fault> {
    let count = reader.u32()?;
    if count > MOST_BANKS {
        return Err("it selects more banks of PCRs than there are");
    }
    let mut selections: Vec<(Bank, u32)> = Vec::new();
    for _ in 0..count {
        let bank = Bank::of_algorithm(reader.u16()?)?;
        let len = reader.u8()?;
        if len > LONGEST_BITMAP_BYTES {
            return Err("it selects more PCRs than there are");
        }
        // The lowest PCRs are in the first byte (section 10.6.2).
        let bytes = reader.bytes(len.into())?.iter().rev();
        let set = bytes.fold(0, |set, byte| set << 8 | u32::from(*byte));
        if set >> PCRS != 0 {
            return Err("it selects a PCR that there is not");
        }
        if selections.iter().any(|(other, _)| *other == bank) {
            return Err("it selects a bank of PCRs twice");
        }
        selections.push((bank, set));
    }
    Ok(selections)
}

/// A scheme of signatures.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Rsassa,
    RsaPss,
    Ecdsa,
}

impl Scheme {
    fn of_algorithm(algorithm: u16) -> Result<Self, Fault> {
        match algorithm {
            ALG_RSASSA => Ok(Self::Rsassa),
            ALG_RSAPSS => Ok(Self::RsaPss),
            ALG_ECDSA => Ok(Self::Ecdsa),
            _ => Err(UNKNOWN_ALGORITHM),
        }
    }
}

fn hash_of(algorithm: u16) -> Result<Hash, Fault> {
    match algorithm {
        ALG_SHA256 => Ok(Hash::Sha256),
        ALG_SHA384 => Ok(Hash::Sha384),
        _ => Err(UNKNOWN_ALGORITHM),
    }
}

/// A TPMT_SIGNATURE (section 11.3.4).
pub(super) struct Signed<'a> {
    pub(super) scheme: Scheme,
    pub(super) hash: Hash,
    pub(super) signature: Signature<'a>,
}

impl<'a> Signed<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(bytes);
        let scheme = Scheme::of_algorithm(reader.u16()?)?;
        let hash = hash_of(reader.u16()?)?;
        let first = reader.sized(LONGEST_RSA_BYTES)?;
        let signature = match scheme {
            Scheme::Rsassa => Signature::Rsassa(first),
            Scheme::RsaPss => Signature::RsaPss(first),
            Scheme::Ecdsa => Signature::Ecdsa(first, reader.sized(LONGEST_RSA_BYTES)?),
        };
        reader.end()?;
        Ok(Self {
            scheme,
            hash,
            signature,
        })
    }
}

/// Whether a number of an ECDSA signature has one form alone: as long as the curve's field, or shorter without a zero in
/// front. A TPM writes it so, and nobody else may write the same signature in other bytes.
pub(super) fn is_canonical(number: &[u8], curve: Curve) -> bool {
    let longest = curve.field_bytes();
    number.len() == longest
        || number.len() < longest && number.first().is_some_and(|byte| *byte != 0)
}

/// What is read of a TPM2B_PUBLIC (section 12.2.5).
pub(super) struct Public<'a> {
    attributes: u32,
    pub(super) scheme: Scheme,
    pub(super) hash: Hash,
    pub(super) numbers: Numbers<'a>,
}

impl<'a> Public<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut outer = Reader::new(bytes);
        let len = outer.u16()?;
        let mut reader = Reader::new(outer.bytes(len.into())?);
        outer.end()?;
        let kind = reader.u16()?;
        hash_of(reader.u16()?)?; // nameAlg
        let attributes = reader.u32()?;
        reader.sized(LONGEST_DIGEST_BYTES)?; // authPolicy
        if reader.u16()? != ALG_NULL {
            return Err("it is a key for encryption"); // a signing key has no symmetric cipher (section 12.2.3.5)
        }
        let scheme = Scheme::of_algorithm(reader.u16()?)?;
        let hash = hash_of(reader.u16()?)?;
        let numbers = match (kind, scheme) {
            (ALG_RSA, Scheme::Rsassa | Scheme::RsaPss) => rsa(&mut reader)?,
            (ALG_ECC, Scheme::Ecdsa) => point(&mut reader)?,
            _ => return Err(UNKNOWN_ALGORITHM),
        };
        reader.end()?;
        Ok(Self {
            attributes,
            scheme,
            hash,
            numbers,
        })
    }

    /// Whether the TPM alone can use the key, and only for what the TPM itself made.
    pub(super) fn check_attributes(&self) -> Result<(), Fault> {
        for (bit, fault) in ATTRIBUTES {
            if self.attributes & bit == 0 {
                return Err(fault);
            }
        }
        if self.attributes & DECRYPT != 0 {
            return Err("it is a key for encryption, too (decrypt is set)");
        }
        Ok(())
    }
}

/// Reads keyBits, exponent (0 stands for 65537) and the modulus (sections 12.2.3.5 and 11.2.4.5).
fn rsa<'a>(reader: &mut Reader<'a>) -> Result<Numbers<'a>, Fault> {
    let bits = reader.u16()?;
    let exponent = match reader.u32()? {
        0 => 65_537,
        other => other,
    };
    let modulus = reader.sized(LONGEST_RSA_BYTES)?;
    if usize::from(bits) != 8 * modulus.len() {
        return Err("its modulus has another size than it says");
    }
    Ok(Numbers::Rsa(modulus, exponent))
}

/// Reads the curve, the key derivation (none), and the point (sections 12.2.3.6 and 11.2.5.2).
fn point<'a>(reader: &mut Reader<'a>) -> Result<Numbers<'a>, Fault> {
    let curve = match reader.u16()? {
        CURVE_P256 => Curve::P256,
        CURVE_P384 => Curve::P384,
        _ => return Err("its curve is not known here"),
    };
    if reader.u16()? != ALG_NULL {
        return Err("it is a key for key agreement");
    }
    let x = reader.sized(curve.field_bytes())?;
    let y = reader.sized(curve.field_bytes())?;
    Ok(Numbers::Point(curve, x, y))
}
