//! What this processor offers to the crypto library.

/// Each name with whether the processor has it, by the standard library's macro for it.
macro_rules! detected {
    ($detect:ident: $($name:tt)*) => { vec![$(($name, std::arch::$detect!($name))),*] };
}

/// The instructions that AWS-LC picks its code by, and whether this processor has them.
///
/// Asked of the processor, as AWS-LC does (`crypto/fipsmodule/cpucap`); empty where it is neither
/// x86-64 nor AArch64.
#[cfg(target_arch = "x86_64")]
pub fn features() -> Vec<(&'static str, bool)> {
    detected!(is_x86_feature_detected:
        "aes" "pclmulqdq" "vaes" "vpclmulqdq" "avx2" "avx512f" "avx512bw" "avx512dq" "avx512vl"
        "avx512ifma" "bmi1" "bmi2" "adx")
}

/// The instructions that AWS-LC picks its code by, and whether this processor has them.
#[cfg(target_arch = "aarch64")]
pub fn features() -> Vec<(&'static str, bool)> {
    detected!(is_aarch64_feature_detected: "aes" "pmull" "sha2" "sha3")
}

/// The instructions that AWS-LC picks its code by: none are known for this processor.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn features() -> Vec<(&'static str, bool)> {
    Vec::new()
}
