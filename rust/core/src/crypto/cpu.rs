//! The processor's instructions that decide which code AWS-LC runs.

/// Asks the standard library's macro `$detect` for each name.
macro_rules! detected {
    ($detect:ident: $($name:tt)*) => { vec![$(($name, std::arch::$detect!($name))),*] };
}

/// Returns the instructions by which AWS-LC chooses its code, and whether this processor has them.
///
/// It asks the processor, as AWS-LC does (`crypto/fipsmodule/cpucap`). Empty if it is neither x86-64 nor AArch64.
#[cfg(target_arch = "x86_64")]
pub fn features() -> Vec<(&'static str, bool)> {
    detected!(is_x86_feature_detected:
        "aes" "pclmulqdq" "vaes" "vpclmulqdq" "avx2" "avx512f" "avx512bw" "avx512dq" "avx512vl"
        "avx512ifma" "bmi1" "bmi2" "adx")
}

/// Returns the instructions by which AWS-LC chooses its code, and whether this processor has them.
#[cfg(target_arch = "aarch64")]
pub fn features() -> Vec<(&'static str, bool)> {
    detected!(is_aarch64_feature_detected: "aes" "pmull" "sha2" "sha3")
}

/// Returns the instructions by which AWS-LC chooses its code: none are known for this processor.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn features() -> Vec<(&'static str, bool)> {
    Vec::new()
}
