//! Examines quotes that a TPM (swtpm) made, by tpm2-tools, for the payload ID below; and mutations of them.
//!
//! NOMYO_FUZZ_S makes the mutations go on for so many seconds; a failure shows its seed. NOMYO_FUZZ_SEED is the one before
//! the first.

use nomyo_core::attestation::{Bank, Findings, MAX_STRUCTURE_BYTES, Outcome, Statement, examine};
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

#[global_allocator]
static ARENA: nomyo_core::arena::Arena = nomyo_core::arena::Arena;

/// The first 16 bytes of SHA-256 over "00000000-0000-4000-8000-000000000001".
const QUALIFYING_DATA: [u8; 16] = [
    0x11, 0xE5, 0x94, 0xF4, 0x81, 0x95, 0x8C, 0x10, 0xE3, 0x01, 0x5D, 0x0B, 0xF0, 0x44, 0x7A, 0x22,
];
const FIRMWARE: [u8; 32] = [
    0xC6, 0x6C, 0x37, 0xD3, 0x91, 0x6A, 0x78, 0x1E, 0x35, 0xD8, 0x69, 0xD2, 0xD6, 0x59, 0x6B, 0x9C,
    0x6E, 0x35, 0xB6, 0x8C, 0x3B, 0xC9, 0xB8, 0xF8, 0x8A, 0xB7, 0x27, 0x9D, 0xBD, 0xDB, 0x25, 0x29,
];
const BOOT: [u8; 32] = [
    0xD6, 0x50, 0x03, 0xDE, 0x52, 0xB1, 0x25, 0x28, 0xA1, 0xEC, 0xFE, 0xDC, 0x88, 0x54, 0xE8, 0x1F,
    0xC8, 0xDC, 0xF5, 0x2D, 0xB0, 0xD4, 0x98, 0x35, 0xD6, 0xAE, 0x99, 0xE2, 0x30, 0x4C, 0x7C, 0x83,
];
const BOOT_384: [u8; 48] = [
    0x2E, 0x3C, 0xFB, 0x21, 0x3F, 0x2A, 0x80, 0x88, 0xCD, 0xD8, 0xC7, 0x0B, 0x35, 0x6F, 0x02, 0x22,
    0xCF, 0x23, 0x75, 0x57, 0x54, 0xD9, 0x6B, 0x23, 0xD5, 0xF5, 0x63, 0x49, 0xF9, 0xB4, 0x5B, 0x38,
    0x13, 0x7E, 0xF0, 0xF6, 0x8D, 0x04, 0x5A, 0x63, 0xB1, 0x6F, 0x95, 0x39, 0x20, 0xDD, 0xFE, 0x92,
];
const ZERO_32: [u8; 32] = [0; 32];
const ZERO_48: [u8; 48] = [0; 48];

struct Fixture {
    name: &'static str,
    quote: &'static [u8],
    signature: &'static [u8],
    public: &'static [u8],
    pcrs: Vec<(Bank, u8, &'static [u8])>,
}

macro_rules! fixture {
    ($name:literal, $pcrs:expr) => {
        Fixture {
            name: $name,
            quote: include_bytes!(concat!("fixtures/quotes/", $name, ".msg")),
            signature: include_bytes!(concat!("fixtures/quotes/", $name, ".sig")),
            public: include_bytes!(concat!("fixtures/quotes/", $name, ".pub")),
            pcrs: $pcrs,
        }
    };
}

fn fixtures() -> Vec<Fixture> {
    let three: Vec<(Bank, u8, &[u8])> = vec![
        (Bank::Sha256, 0, &FIRMWARE),
        (Bank::Sha256, 7, &BOOT),
        (Bank::Sha256, 10, &ZERO_32),
    ];
    // The order in which values are given says nothing.
    let two_banks: Vec<(Bank, u8, &[u8])> = vec![
        (Bank::Sha384, 10, &ZERO_48),
        (Bank::Sha256, 7, &BOOT),
        (Bank::Sha384, 7, &BOOT_384),
        (Bank::Sha256, 0, &FIRMWARE),
    ];
    vec![
        fixture!("rsassa_sha256", three.clone()),
        fixture!("rsapss_sha384", two_banks),
        fixture!("ecdsa_p256_sha256", three),
        fixture!("ecdsa_p384_sha384", vec![(Bank::Sha256, 7, &BOOT)]),
    ]
}

impl Fixture {
    fn statement(&self) -> Statement<'_> {
        Statement {
            quote: self.quote,
            signature: self.signature,
            public: self.public,
            qualifying_data: &QUALIFYING_DATA,
            pcrs: &self.pcrs,
        }
    }
}

fn outcomes(found: &Findings) -> [Outcome; 6] {
    [
        found.signature,
        found.quote,
        found.fresh,
        found.key_attributes,
        found.selection,
        found.digest,
    ]
}

fn accepted(statement: &Statement<'_>) -> bool {
    let found = examine(statement).expect("memory");
    outcomes(&found) == [Outcome::Passed; 6]
}

#[test]
fn test_quotes_of_a_tpm_pass_every_check() {
    for fixture in fixtures() {
        let found = examine(&fixture.statement()).expect("memory");
        assert_eq!(outcomes(&found), [Outcome::Passed; 6], "{}", fixture.name);
        assert!(
            found
                .fingerprint
                .is_some_and(|text| text.starts_with("SHA256:"))
        );
    }
}

#[test]
fn test_no_flipped_bit_of_quote_or_signature_is_accepted() {
    for fixture in fixtures() {
        for bit in 0..8 * fixture.quote.len() {
            let mut quote = fixture.quote.to_vec();
            quote[bit / 8] ^= 1 << (bit % 8);
            let altered = Statement {
                quote: &quote,
                ..fixture.statement()
            };
            assert!(
                !accepted(&altered),
                "{}: bit {bit} of the quote",
                fixture.name
            );
        }
        for bit in 0..8 * fixture.signature.len() {
            let mut signature = fixture.signature.to_vec();
            signature[bit / 8] ^= 1 << (bit % 8);
            let altered = Statement {
                signature: &signature,
                ..fixture.statement()
            };
            assert!(
                !accepted(&altered),
                "{}: bit {bit} of the signature",
                fixture.name
            );
        }
    }
}

#[test]
fn test_every_shorter_and_every_longer_structure_is_refused() {
    for fixture in fixtures() {
        for part in [fixture.quote, fixture.signature, fixture.public] {
            let longer = [part, &[0]].concat();
            let too_long = vec![0xFF; MAX_STRUCTURE_BYTES + 1];
            let shorter = (0..part.len()).map(|len| part[..len].to_vec());
            for other in shorter.chain([longer, too_long]) {
                let mut altered = fixture.statement();
                for place in [
                    &mut altered.quote,
                    &mut altered.signature,
                    &mut altered.public,
                ] {
                    if *place == part {
                        *place = &other;
                    }
                }
                assert!(
                    !accepted(&altered),
                    "{}: {} bytes",
                    fixture.name,
                    other.len()
                );
            }
        }
    }
}

#[test]
fn test_key_that_lacks_an_attribute_is_refused() {
    let fixture = &fixtures()[0];
    for bit in [1, 4, 5, 16, 17, 18] {
        let mut public = fixture.public.to_vec();
        public[9 - bit / 8] ^= 1 << (bit % 8); // behind the length, type and nameAlg
        let altered = Statement {
            public: &public,
            ..fixture.statement()
        };
        let found = examine(&altered).expect("memory");
        assert!(
            matches!(found.key_attributes, Outcome::Failed(_)),
            "bit {bit}"
        );
    }
}

#[test]
fn test_other_pcrs_than_those_of_the_quote_are_refused() {
    let fixture = &fixtures()[0];
    let [zero, seven, ten] = [fixture.pcrs[0], fixture.pcrs[1], fixture.pcrs[2]];
    let eleven: (Bank, u8, &[u8]) = (Bank::Sha256, 11, &ZERO_32);
    let far: (Bank, u8, &[u8]) = (Bank::Sha256, 99, &ZERO_32);
    let other_bank: (Bank, u8, &[u8]) = (Bank::Sha384, 10, &ZERO_48);
    let short: (Bank, u8, &[u8]) = (Bank::Sha256, 10, &ZERO_32[1..]);
    for pcrs in [
        vec![],
        vec![zero, seven],
        vec![zero, seven, ten, eleven],
        vec![zero, seven, eleven],
        vec![zero, seven, far],
        vec![zero, seven, ten, ten],
        vec![zero, seven, other_bank],
        vec![zero, seven, short],
    ] {
        let altered = Statement {
            pcrs: &pcrs,
            ..fixture.statement()
        };
        let found = examine(&altered).expect("memory");
        assert!(matches!(found.selection, Outcome::Failed(_)), "{pcrs:?}");
        assert!(matches!(found.digest, Outcome::Unknown(_)), "{pcrs:?}");
    }
    let swapped = [(zero.0, 0, seven.2), (seven.0, 7, zero.2), ten];
    let found = examine(&Statement {
        pcrs: &swapped,
        ..fixture.statement()
    })
    .expect("memory");
    assert_eq!(found.selection, Outcome::Passed);
    assert!(matches!(found.digest, Outcome::Failed(_)));
}

#[test]
fn test_signature_in_other_bytes_is_refused() {
    let fixture = &fixtures()[2];
    for (place, length) in [(5, 4), (39, 38)] {
        let mut signature = fixture.signature.to_vec();
        signature[place] += 1; // the length of r, or of s
        signature.insert(place + 1, 0);
        let altered = Statement {
            signature: &signature,
            ..fixture.statement()
        };
        assert!(!accepted(&altered), "a zero in front, behind byte {length}");
    }
}

#[test]
fn test_quote_for_another_request_is_not_fresh() {
    for fixture in fixtures() {
        let altered = Statement {
            qualifying_data: &[7; 16],
            ..fixture.statement()
        };
        let found = examine(&altered).expect("memory");
        assert!(matches!(found.fresh, Outcome::Failed(_)));
        assert_eq!(found.signature, Outcome::Passed);
    }
}

#[test]
fn test_signature_of_another_key_is_refused() {
    let all = fixtures();
    for (fixture, other) in all.iter().zip(all.iter().cycle().skip(1)) {
        let altered = Statement {
            public: other.public,
            ..fixture.statement()
        };
        let found = examine(&altered).expect("memory");
        assert!(
            matches!(found.signature, Outcome::Failed(_)),
            "{}",
            fixture.name
        );
    }
}

/// Mutates what comes in, as a fuzzer would: flips, inserted and removed bytes, extreme numbers, exchanged parts.
#[test]
fn test_mutations_are_never_accepted_and_never_panic() {
    let seconds = std::env::var("NOMYO_FUZZ_S").ok();
    let seconds = seconds.map(|text| Duration::from_secs(text.parse().expect("seconds")));
    let start = Instant::now();
    let fixtures = fixtures();
    let first = std::env::var("NOMYO_FUZZ_SEED").ok();
    let first: u64 = first.map_or(0, |text| text.parse().expect("a seed"));
    let mut seed = first;
    while seconds.map_or(seed < first + 20_000, |seconds| start.elapsed() < seconds) {
        seed += 1;
        let outcome = catch_unwind(|| check_mutation(&fixtures, seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
    eprintln!("{} mutations, up to seed {seed}", seed - first);
}

fn check_mutation(fixtures: &[Fixture], seed: u64) {
    let mut random = Random(seed);
    let fixture = &fixtures[random.below(fixtures.len())];
    let mut parts = [
        fixture.quote.to_vec(),
        fixture.signature.to_vec(),
        fixture.public.to_vec(),
    ];
    let mutations = 1 + random.below(4);
    for _ in 0..mutations {
        let which = random.below(parts.len());
        let other = &fixtures[random.below(fixtures.len())];
        let theirs = [other.quote, other.signature, other.public][random.below(3)];
        mutate(&mut parts[which], theirs, &mut random);
    }
    let [quote, signature, public] = &parts;
    let statement = Statement {
        quote,
        signature,
        public,
        ..fixture.statement()
    };
    // The policy of the key, its name's algorithm and its other attributes are nothing that a quote depends on.
    let same = quote == fixture.quote && signature == fixture.signature;
    assert!(same || !accepted(&statement));
}

fn mutate(part: &mut Vec<u8>, theirs: &[u8], random: &mut Random) {
    let place = random.below(part.len() + 1);
    match random.below(7) {
        0 => part.insert(place, random.below(256) as u8),
        1 => part.truncate(place),
        2 => part.extend_from_slice(theirs),
        3 if place < part.len() => drop(part.remove(place)),
        4 if place < part.len() => part[place] ^= 1 << random.below(8),
        5 if place < part.len() => part[place] = [0, 1, 0x7F, 0x80, 0xFF][random.below(5)],
        _ => {
            let from = random.below(theirs.len());
            let len = random.below(theirs.len() - from).min(part.len() - place);
            part[place..place + len].copy_from_slice(&theirs[from..from + len]);
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): each seed gives other numbers, always the same.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}
