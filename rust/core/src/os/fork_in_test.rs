//! A fork, for tests of the modules above.

/// On which side of a fork this is.
pub enum Side {
    /// In the parent of this child.
    Parent(i32),
    /// In the child.
    Child,
}

/// Forks. A child that hangs is ended by SIGALRM. It must come to [`end_child`].
pub fn fork() -> Side {
    // SAFETY: takes no argument.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: as above.
            unsafe { libc::alarm(10) };
            Side::Child
        }
        child => Side::Parent(child),
    }
}

/// Ends the child, without its parent's handlers of exit.
pub fn end_child(passed: bool) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(i32::from(!passed)) }
}

/// Waits until a child has ended. Returns whether it passed.
pub fn has_passed(child: i32) -> bool {
    let mut status = -1;
    // SAFETY: the status is valid for the call.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    ended == child && status == 0
}
