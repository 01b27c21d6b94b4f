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

/// Overwrites the vector registers with zeros, except the lower halves of v8 to v15, which belong to the caller (AAPCS64,
/// section 6.1.2).
#[cfg(target_arch = "aarch64")]
#[inline]
pub fn clear() {
    arm::clear();
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::naked_asm;

    macro_rules! clearing {
        (whole: $($whole:literal)*, upper: $($upper:literal)*) => {
            /// A function without a frame: `asm!` would save all of v8 to v15 on the stack first.
            #[unsafe(naked)]
            pub extern "C" fn clear() {
                naked_asm!(
                    $(concat!("movi v", $whole, ".2d, #0"),)*
                    $(concat!("mov v", $upper, ".d[1], xzr"),)*
                    "ret"
                )
            }
        };
    }
    clearing!(
        whole: 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31,
        upper: 8 9 10 11 12 13 14 15
    );
}

/// Not done on other processors.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn clear() {}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "aarch64")]
    #[test]
    fn all_is_cleared_but_what_belongs_to_the_caller() {
        const FILL: u64 = 0xA5A5_5A5A_1234_5678;
        macro_rules! registers_after_clearing {
            ($found:expr, $($first:literal $second:literal)*) => {
                // SAFETY: all that a function may overwrite is declared as such; the array has room for 32 registers.
                unsafe {
                    std::arch::asm!(
                        $(concat!("dup v", $first, ".2d, x22"), concat!("dup v", $second, ".2d, x22"),)*
                        "bl {clear}",
                        $(concat!("stp q", $first, ", q", $second, ", [x21], #32"),)*
                        clear = sym super::arm::clear,
                        inout("x21") $found.as_mut_ptr() => _,
                        in("x22") FILL,
                        clobber_abi("C"),
                    )
                }
            };
        }
        let mut found = [[1_u64; 2]; 32];
        registers_after_clearing!(found, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23
            24 25 26 27 28 29 30 31);
        for (number, halves) in found.iter().enumerate() {
            let lower = if (8..16).contains(&number) { FILL } else { 0 };
            assert_eq!(halves, &[lower, 0], "v{number}");
        }
    }
}
