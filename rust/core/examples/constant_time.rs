//! Measures whether the time of an operation tells which of two kinds of input it had.
//!
//! `cargo run --release --example constant_time [MEASUREMENTS]`, best on one core (`taskset -c 1`). The method is
//! dudect's (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?", DATE 2017): the two kinds in random
//! order, Welch's t over the times, and again without the slowest, which interrupts made. Values below 10 show no
//! difference. The last row compares byte by byte until a difference, and must exceed 10: it shows that the measurement
//! can see one.

use base64_simd::STANDARD;
use nomyo_core::arena;
use nomyo_core::buffer::SecureBuffer;
use nomyo_core::crypto::aead::{Decryptor, Encryptor, KEY_BYTES, Key, NONCE_BYTES, TAG_BYTES};
use nomyo_core::crypto::random;
use nomyo_core::crypto::rsa::PrivateKey;
use nomyo_core::package;
use nomyo_core::pem::private_from_pem;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

#[global_allocator]
static ARENA: arena::Arena = arena::Arena;

/// From here on, times differ (dudect's threshold for a certain leak).
const MOST_T: f64 = 10.0;
/// Shares of the measurements that are kept, the fastest first.
const KEPT: [f64; 5] = [0.5, 0.75, 0.9, 0.99, 1.0];
/// Inputs of each kind, so that none is special.
const INPUTS: usize = 64;
const COMPARED_BYTES: usize = 4096;

type Outcome<T> = nomyo_core::Result<T>;

fn main() -> Outcome<ExitCode> {
    nomyo_core::init();
    let measurements = std::env::args().nth(1);
    let measurements = measurements.map_or(1_000_000, |text| text.parse().expect("a number"));
    let key = private_from_pem(include_bytes!("../tests/fixtures/private.pem"), None)?;
    println!("{measurements} measurements of each pair");
    let mut constant = true;
    let row = |what: &str, t: f64| {
        println!("{what:68} |t| = {t:.1}");
        t < MOST_T
    };
    constant &= row(
        "unwrap: well padded, or random",
        unwrap(&key, random_wrapped, measurements)?,
    );
    constant &= row(
        "unwrap: a key of 32 bytes, or of 33",
        unwrap(&key, too_long, measurements)?,
    );
    constant &= row(
        "tag: wrong in its first byte, or in its last",
        tag(measurements)?,
    );
    constant &= row(
        "SecureBuffer ==: different in the first byte, or in the last",
        buffers(measurements)?,
    );
    let control = compare(measurements, |one, other| {
        one.iter().zip(other).all(|(a, b)| black_box(a) == b)
    })?;
    let caught = !row(
        "control, which leaks: byte by byte until a difference",
        control,
    );
    Ok(ExitCode::from(u8::from(!(constant && caught))))
}

/// Unwraps keys that were wrapped well, or that `bad` made.
fn unwrap(
    key: &PrivateKey,
    bad: fn(&PrivateKey) -> Outcome<Vec<u8>>,
    measurements: usize,
) -> Outcome<f64> {
    let kinds = [inputs(|| wrapped(key))?, inputs(|| bad(key))?];
    measure(measurements, |kind, which| {
        let input = &kinds[kind][which];
        timed(|| key.unwrap(input))
    })
}

fn inputs(mut make: impl FnMut() -> Outcome<Vec<u8>>) -> Outcome<Vec<Vec<u8>>> {
    (0..INPUTS).map(|_| make()).collect()
}

fn wrapped(key: &PrivateKey) -> Outcome<Vec<u8>> {
    let mut aes_key = [0; KEY_BYTES];
    random::fill(&mut aes_key)?;
    let mut out = vec![0; key.public_key().modulus_len()];
    key.public_key().wrap(&aes_key, &mut out)?;
    Ok(out)
}

/// What decrypts to anything at all: mostly not even to a leading zero (Manger, CRYPTO 2001).
fn random_wrapped(key: &PrivateKey) -> Outcome<Vec<u8>> {
    let mut out = vec![0; key.public_key().modulus_len()];
    random::fill(&mut out[1..])?;
    Ok(out)
}

/// Well padded, and one byte too long for a key.
fn too_long(_: &PrivateKey) -> Outcome<Vec<u8>> {
    let text = include_bytes!("../tests/fixtures/package_key_of_33_bytes.json");
    let fields = package::parse(text)?;
    Ok(STANDARD
        .decode_to_vec(&*fields.wrapped_key)
        .expect("base64"))
}

fn tag(measurements: usize) -> Outcome<f64> {
    let (key, nonce) = (Key::random()?, [7; NONCE_BYTES]);
    let right = Encryptor::new(&key, &nonce)?.finish()?;
    let wrong = [0, TAG_BYTES - 1].map(|place| {
        let mut tag = right;
        tag[place] ^= 1;
        tag
    });
    measure(measurements, |kind, _| {
        let decryptor = Decryptor::new(&key, &nonce).expect("memory");
        timed(|| decryptor.finish(&wrong[kind]))
    })
}

fn buffers(measurements: usize) -> Outcome<f64> {
    let mut held = SecureBuffer::new(COMPARED_BYTES)?;
    held.content_mut()?.fill(1);
    held.hold()?; // or each comparison would measure the opening and closing of its pages
    compare(measurements, |_, other| held.ct_eq(other))
}

/// Compares a text of ones with others that differ in the first byte, or in the last.
fn compare(measurements: usize, mut equal: impl FnMut(&[u8], &[u8]) -> bool) -> Outcome<f64> {
    let ones = vec![1; COMPARED_BYTES];
    let others = [0, COMPARED_BYTES - 1].map(|place| {
        let mut other = ones.clone();
        other[place] = 0;
        other
    });
    // Copied to one place, so that both kinds lie at the same address.
    let mut other = ones.clone();
    measure(measurements, |kind, _| {
        other.copy_from_slice(&others[kind]);
        timed(|| equal(black_box(&ones), black_box(&other)))
    })
}

fn timed<T>(run: impl FnOnce() -> T) -> f64 {
    let begin = Instant::now();
    let made = black_box(run());
    let took = begin.elapsed();
    drop(made);
    took.as_nanos() as f64
}

/// Measures both kinds in random order, and returns the largest |t|.
fn measure(measurements: usize, mut run: impl FnMut(usize, usize) -> f64) -> Outcome<f64> {
    let mut choices = vec![0; measurements];
    random::fill(&mut choices)?;
    let mut times = [
        Vec::with_capacity(measurements),
        Vec::with_capacity(measurements),
    ];
    for choice in choices {
        let (kind, which) = (usize::from(choice & 1), usize::from(choice >> 1) % INPUTS);
        times[kind].push(run(kind, which));
    }
    let mut all: Vec<f64> = times.iter().flatten().copied().collect();
    all.sort_unstable_by(f64::total_cmp);
    let kept = KEPT.map(|share| {
        let most = all[(share * (all.len() - 1) as f64) as usize];
        welch(&times.each_ref().map(|kind| Summary::of(kind, most)))
    });
    Ok(kept.into_iter().fold(0.0, f64::max))
}

struct Summary {
    count: f64,
    mean: f64,
    variance: f64,
}

impl Summary {
    fn of(times: &[f64], most: f64) -> Self {
        let kept = times.iter().copied().filter(|time| *time <= most);
        let count = kept.clone().count() as f64;
        let mean = kept.clone().sum::<f64>() / count;
        let variance = kept.map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Self {
            count,
            mean,
            variance,
        }
    }
}

/// Welch's t, without its sign; 0 if there are too few measurements, or none differs.
fn welch([one, other]: &[Summary; 2]) -> f64 {
    let error = (one.variance / one.count + other.variance / other.count).sqrt();
    if error > 0.0 {
        (one.mean - other.mean).abs() / error
    } else {
        0.0
    }
}
