//! Limits, fork, core dumps.
