//! Placeholder: system calls for key files.
