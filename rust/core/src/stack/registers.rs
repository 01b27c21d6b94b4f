//! Clears the vector registers, through which every copy of a text goes.
//!
//! `memcpy` leaves the last 32 or 64 bytes that it moved in them. The next event that saves all registers writes these
//! bytes to the stack, far above what was scrubbed: a signal, or the dynamic linker when a function is first called
//! (`_dl_runtime_resolve_xsavec`). `tests/memory/test_residue.py` measures it.

/// Overwrites the vector registers with zeros.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn clear() {
    if std::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512.
        unsafe { x86::clear_avx512() }
    } else if std::is_x86_feature_detected!("avx") {
        // SAFETY: the processor has AVX.
        unsafe { x86::clear_avx() }
    } else {
        x86::clear_sse();
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;

    /// `vzeroall` clears the lower sixteen registers, in their whole width; the others are cleared one by one.
    #[target_feature(enable = "avx512f")]
    pub fn clear_avx512() {
        macro_rules! clear {
            ($($upper:tt)*) => {
                // SAFETY: the registers are declared as overwritten.
                unsafe {
                    asm!(
                        "vzeroall",
                        $(concat!("vpxord ", $upper, ", ", $upper, ", ", $upper),)*
                        out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _,
                        out("zmm4") _, out("zmm5") _, out("zmm6") _, out("zmm7") _,
                        out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                        out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _,
                        $(out($upper) _,)*
                        options(nomem, nostack, preserves_flags)
                    )
                }
            };
        }
        clear!("zmm16" "zmm17" "zmm18" "zmm19" "zmm20" "zmm21" "zmm22" "zmm23"
               "zmm24" "zmm25" "zmm26" "zmm27" "zmm28" "zmm29" "zmm30" "zmm31");
    }

    #[target_feature(enable = "avx")]
    pub fn clear_avx() {
        // SAFETY: the registers are declared as overwritten.
        unsafe {
            asm!(
                "vzeroall",
                out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
                out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
                out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
                out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
                options(nomem, nostack, preserves_flags)
            )
        }
    }

    pub fn clear_sse() {
        macro_rules! clear {
            ($($register:tt)*) => {
                // SAFETY: the registers are declared as overwritten.
                unsafe {
                    asm!(
                        $(concat!("xorps ", $register, ", ", $register),)*
                        $(out($register) _,)*
                        options(nomem, nostack, preserves_flags)
                    )
                }
            };
        }
        clear!("xmm0" "xmm1" "xmm2" "xmm3" "xmm4" "xmm5" "xmm6" "xmm7"
               "xmm8" "xmm9" "xmm10" "xmm11" "xmm12" "xmm13" "xmm14" "xmm15");
    }
}

/// Overwrites the vector registers with zeros, except v8 to v15, which belong to the caller (AAPCS64, section 6.1.2).
#[cfg(target_arch = "aarch64")]
#[inline]
pub fn clear() {
    macro_rules! clear {
        ($($register:tt)*) => {
            // SAFETY: the registers are declared as overwritten.
            unsafe {
                std::arch::asm!(
                    $(concat!("movi ", $register, ".2d, #0"),)*
                    $(out($register) _,)*
                    options(nomem, nostack, preserves_flags)
                )
            }
        };
    }
    clear!("v0" "v1" "v2" "v3" "v4" "v5" "v6" "v7" "v16" "v17" "v18" "v19" "v20" "v21" "v22" "v23"
           "v24" "v25" "v26" "v27" "v28" "v29" "v30" "v31");
}

/// Not done on other processors.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn clear() {}
