//! The version of AWS-LC that was compiled in.

/// Returns the name and version of the crypto library.
pub fn version() -> String {
    let version = aws_lc_sys::AWSLC_VERSION_NUMBER_STRING;
    format!(
        "AWS-LC {}",
        String::from_utf8_lossy(version).trim_end_matches('\0')
    )
}
