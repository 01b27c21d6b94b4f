//! Runs a test in a process of its own, because it is meant to die, needs the arena to itself, or needs another limit.
//!
//! Such tests have `#[ignore]`, so that only these functions run them.
#![allow(dead_code)]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

/// A limit of locked memory in bytes, soft and hard.
pub struct Memlock(pub &'static str);

/// Runs the ignored test `name` of this test binary.
pub fn run(name: &str) -> Output {
    command(&[], name).output().expect("the test binary starts")
}

/// Runs it under this limit, without the privilege to lock more.
pub fn run_limited(memlock: &Memlock, name: &str) -> Output {
    let limit = format!("--memlock={}", memlock.0);
    let prefix = [
        "prlimit",
        &limit,
        "setpriv",
        "--bounding-set=-ipc_lock",
        "--inh-caps=-ipc_lock",
    ];
    // Only root has this capability, and can give it up.
    let prefix = if is_root() { &prefix[..] } else { &prefix[..2] };
    command(prefix, name)
        .output()
        .expect("prlimit and setpriv are installed")
}

/// Runs it and expects it to pass.
pub fn passes(name: &str) {
    assert_passed(&run(name));
}

/// Runs it under a limit and expects it to pass.
pub fn passes_limited(memlock: &Memlock, name: &str) {
    assert_passed(&run_limited(memlock, name));
}

/// Runs it and expects this signal to end it.
pub fn dies_by(signal: i32, name: &str) -> Output {
    let output = run(name);
    assert_eq!(
        output.status.signal(),
        Some(signal),
        "{name}: {}",
        text(&output)
    );
    output
}

/// Runs `f` in a forked child. Returns whether it returned true there.
///
/// The child never returns to the test harness, and is killed after a minute.
pub fn in_child(f: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs `f` and ends.
    unsafe {
        match libc::fork() {
            0 => {
                libc::alarm(60);
                let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
                libc::_exit(if passed.unwrap_or(false) { 0 } else { 1 })
            }
            child => {
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
                libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
            }
        }
    }
}

/// Returns both outputs of a process, for messages.
pub fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

fn assert_passed(output: &Output) {
    let text = text(output);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

fn command(prefix: &[&str], name: &str) -> Command {
    let binary = std::env::current_exe().expect("the test binary has a path");
    let mut command = match prefix {
        [] => Command::new(&binary),
        [program, rest @ ..] => {
            let mut command = Command::new(program);
            command.args(rest).arg(&binary);
            command
        }
    };
    command.args([
        "--exact",
        name,
        "--ignored",
        "--test-threads=1",
        "--nocapture",
    ]);
    command
}

fn is_root() -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::geteuid() == 0 }
}
