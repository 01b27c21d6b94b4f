//! Prints how long the core's heavy operations take: `cargo run --release --example figures`.

use nomyo_core::arena;
use nomyo_core::crypto::random;
use nomyo_core::crypto::rsa::PrivateKey;
use nomyo_core::envelope::{Package, Sealed, Sealer};
use nomyo_core::pem::{private_from_pem, private_to_pem};
use std::hint::black_box;
use std::time::{Duration, Instant};

#[global_allocator]
static ARENA: arena::Arena = arena::Arena;

fn main() -> nomyo_core::Result<()> {
    let start = Instant::now();
    random::warm_up()?;
    println!("first random bytes  {:>12?}", start.elapsed());
    for bits in [2048, 4096] {
        keys(bits)?;
    }
    Ok(())
}

fn keys(bits: u32) -> nomyo_core::Result<()> {
    let key = PrivateKey::generate(bits)?;
    measure(&format!("generate {bits}"), || PrivateKey::generate(bits));
    let pem = private_to_pem(&key, None)?;
    measure(&format!("load {bits}"), || private_from_pem(&pem, None));
    let password = Some(&b"a good password"[..]);
    measure(&format!("write under password {bits}"), || {
        private_to_pem(&key, password)
    });
    for size in [200, 100_000, 8_500_000] {
        let plaintext = vec![b'x'; size];
        let package = seal(&plaintext, &key)?;
        measure(&format!("seal {size} B for {bits}"), || {
            seal(&plaintext, &key)
        });
        measure(&format!("open {size} B with {bits}"), || {
            Sealed::parse(&package)?.open(&key)
        });
    }
    Ok(())
}

fn seal(plaintext: &[u8], key: &PrivateKey) -> nomyo_core::Result<Package> {
    let mut sealer = Sealer::new(10 << 20)?;
    sealer.write(plaintext)?;
    sealer.finish(key.public_key(), None)
}

/// Prints the median of as many runs as fit into a second, and at least five.
fn measure<T>(what: &str, mut run: impl FnMut() -> nomyo_core::Result<T>) {
    let mut times: Vec<Duration> = Vec::with_capacity(20_000);
    let start = Instant::now();
    while times.len() < 5 || (start.elapsed() < Duration::from_secs(1) && times.len() < 20_000) {
        let begin = Instant::now();
        let made = black_box(run());
        times.push(begin.elapsed());
        assert!(made.is_ok(), "{what} failed");
    }
    times.sort();
    println!("{what:<28} {:>12?}", times[times.len() / 2]);
}
