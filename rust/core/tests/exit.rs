//! Handlers of `atexit(3)` that were registered before the core's are called after it, when the core has stopped its
//! work. An application may end Python in such a handler, and a library may join its threads.
#![cfg(target_os = "linux")]

#[path = "own_process/mod.rs"]
mod own_process;

use nomyo_core::arena::Arena;
use nomyo_core::crypto::random;
use nomyo_core::crypto::rsa::PrivateKey;
use nomyo_core::exiting;
use own_process::{in_child, run, text};
use std::sync::Mutex;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

#[global_allocator]
static ARENA: Arena = Arena;

/// Runs a test that ends through [`end`], and expects that its handler returns soon.
fn handler_ends(name: &str) {
    let output = run(name);
    let text = text(&output);
    assert!(
        output.status.success() && text.contains("the handler ended"),
        "{text}"
    );
}

/// Ends the process through `exit(3)`, with a handler that was registered before the core's own. If that takes more
/// than a minute, SIGALRM ends the process: under an emulator, generating a key takes long.
fn end(handler: extern "C" fn(), work: impl FnOnce()) {
    // SAFETY: the handler is a function of this program.
    unsafe {
        libc::alarm(60);
        libc::atexit(handler);
    }
    work();
    // SAFETY: ends the process.
    unsafe { libc::exit(0) }
}

#[test]
fn handler_that_comes_later_works_with_the_core() {
    handler_ends("child_whose_handler_works");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_whose_handler_works() {
    extern "C" fn handler() {
        exiting::counted(|| {
            let key = PrivateKey::generate(2048).unwrap();
            key.public_key().wrap(&[7; 32], &mut [0; 256]).unwrap();
        });
        println!("the handler ended");
    }
    end(handler, || random::warm_up().unwrap());
}

#[test]
fn handler_that_comes_later_forks() {
    handler_ends("child_whose_handler_forks");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_whose_handler_forks() {
    extern "C" fn handler() {
        let in_new_thread = || thread::spawn(|| exiting::counted(random::warm_up)).join();
        assert!(in_child(|| in_new_thread().unwrap().is_ok()));
        random::warm_up().unwrap();
        println!("the handler ended");
    }
    end(handler, || random::warm_up().unwrap());
}

static JOINED: Mutex<Option<(Sender<()>, JoinHandle<()>)>> = Mutex::new(None);

#[test]
fn thread_that_worked_can_be_joined_at_exit() {
    handler_ends("child_that_joins_at_exit");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_joins_at_exit() {
    extern "C" fn handler() {
        let (stop, thread) = JOINED.lock().unwrap().take().unwrap();
        drop(stop);
        thread.join().unwrap();
        println!("the handler ended");
    }
    end(handler, || {
        let (drawn, wait_for_draw) = mpsc::channel();
        let (stop, wait_for_stop) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            random::warm_up().unwrap();
            drawn.send(()).unwrap();
            wait_for_stop.recv().unwrap_err();
        });
        wait_for_draw.recv().unwrap();
        *JOINED.lock().unwrap() = Some((stop, thread));
    });
}

/// How many threads generate a key now, and how many gave one up.
static GENERATING: AtomicUsize = AtomicUsize::new(0);
static GIVEN_UP: AtomicUsize = AtomicUsize::new(0);

#[test]
fn exit_does_not_wait_for_a_key_that_is_generated() {
    handler_ends("child_that_generates_at_exit");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_generates_at_exit() {
    extern "C" fn handler() {
        assert_eq!(GENERATING.load(SeqCst), 0, "exit lost its patience");
        assert!(GIVEN_UP.load(SeqCst) > 0, "exit waited for keys");
        println!("the handler ended");
    }
    // One of them may be through with its key, but for the last steps, when the process ends.
    const THREADS: usize = 4;
    end(handler, || {
        random::warm_up().unwrap();
        for _ in 0..THREADS {
            thread::spawn(|| {
                loop {
                    exiting::counted(generate);
                }
            });
        }
        while GENERATING.load(SeqCst) < THREADS {
            thread::yield_now();
        }
    });
}

fn generate() {
    GENERATING.fetch_add(1, SeqCst);
    if PrivateKey::generate(4096).is_err() {
        GIVEN_UP.fetch_add(1, SeqCst);
    }
    GENERATING.fetch_sub(1, SeqCst);
}

static EXIT_HAS_BEGUN: AtomicBool = AtomicBool::new(false);
static WORK_IS_DONE: AtomicBool = AtomicBool::new(false);

#[test]
fn work_that_began_before_exit_is_done() {
    handler_ends("child_that_works_at_exit");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_works_at_exit() {
    extern "C" fn handler() {
        assert!(WORK_IS_DONE.load(SeqCst));
        println!("the handler ended");
    }
    /// Registered after the core's handler, so it is called before it.
    extern "C" fn first_handler() {
        EXIT_HAS_BEGUN.store(true, SeqCst);
    }
    end(handler, || {
        random::warm_up().unwrap();
        // SAFETY: the handler is a function of this program.
        unsafe { libc::atexit(first_handler) };
        let (begun, wait_for_begin) = mpsc::channel();
        thread::spawn(move || {
            exiting::counted(|| {
                begun.send(()).unwrap();
                while !EXIT_HAS_BEGUN.load(SeqCst) {
                    thread::yield_now();
                }
                thread::sleep(Duration::from_millis(100));
                random::warm_up().unwrap();
                WORK_IS_DONE.store(true, SeqCst);
            });
        });
        wait_for_begin.recv().unwrap();
    });
}
