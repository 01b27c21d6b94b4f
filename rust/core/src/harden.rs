//! Core dumps, ptrace: what this platform really gives.
