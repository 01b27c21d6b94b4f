//! Hands to the crate what it is built from and with (`src/build_info.rs`).
//!
//! A developer's build names no commit: each commit would compile the crate anew. Whoever builds for others says the
//! commit in `NOMYO_BUILD_COMMIT` (`tools/wheels` does), with `-dirty` behind it if files differ from it.

use std::env;
use std::process::Command;

const COMMIT: &str = "NOMYO_BUILD_COMMIT";
const DATE: &str = "SOURCE_DATE_EPOCH";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in [COMMIT, DATE] {
        println!("cargo::rerun-if-env-changed={name}");
        let value = env::var(name).unwrap_or_default();
        println!("cargo::rustc-env=BUILD_INFO_{name}={value}");
    }
    println!("cargo::rustc-env=BUILD_INFO_RUSTC={}", compiler());
    println!("cargo::rustc-env=BUILD_INFO_FLAGS={}", flags());
    for name in ["TARGET", "PROFILE", "OPT_LEVEL", "DEBUG"] {
        println!("cargo::rustc-env=BUILD_INFO_{name}={}", given(name));
    }
}

/// Returns a variable that Cargo gives to each build script.
fn given(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("Cargo gave no {name} to this build script"))
}

fn compiler() -> String {
    let output = Command::new(given("RUSTC")).arg("--version").output();
    let output = output.expect("the compiler that Cargo names did not run");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Returns the compiler's flags that change the code. Folders of the machine stand in some of the others, and would
/// make two builds of one source differ.
fn flags() -> String {
    let encoded = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let kept: Vec<&str> = encoded
        .split('\x1f')
        .filter(|flag| !flag.is_empty() && !flag.contains('/') && !flag.contains('\\'))
        .collect();
    kept.join(" ")
}
