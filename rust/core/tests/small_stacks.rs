//! On small stacks and those of coroutines, scrubbing stays within the stack, and an operation that does not fit is an
//! error.
#![cfg(target_os = "linux")]

mod painted_stack;

use nomyo_core::Error;
use nomyo_core::arena::Arena;
use nomyo_core::crypto::rsa::PrivateKey;
use nomyo_core::envelope::Sealed;
use nomyo_core::stack::{
    NEEDED_BYTES, ON_UNKNOWN_STACK_BYTES, SCRUB_BYTES, bytes_left, scrub, scrubbed,
};
use painted_stack::{PAINT, SMALL_STACKS, Stack, leave_deep};

#[global_allocator]
static ARENA: Arena = Arena;

#[test]
fn scrub_covers_a_small_stack_to_its_end_and_stays_within() {
    for len in SMALL_STACKS {
        let stack = Stack::of(len, scrub);
        let below = stack.entry - stack.base as usize;
        let covered = stack.depth();
        let least = SCRUB_BYTES.min(below - 1200);
        println!("{len}: {covered} of {below}");
        assert!(
            (least..=SCRUB_BYTES + 4096).contains(&covered),
            "{len}: {covered} of {below}"
        );
    }
}

#[test]
fn nothing_that_ran_below_is_left_on_a_small_stack() {
    let secret = *b"a secret of thirty-two bytes ...";
    let hidden: Vec<u8> = secret.iter().map(|byte| byte ^ 0xFF).collect();
    for len in SMALL_STACKS {
        assert!(
            Stack::of(len, || leave_deep(&hidden)).holds(&secret),
            "{len}"
        );
        assert!(
            !Stack::of(len, || scrubbed(|| leave_deep(&hidden))).holds(&secret),
            "{len}"
        );
    }
}

#[test]
fn operation_that_finds_too_little_stack_says_so() {
    nomyo_core::init();
    let key = PrivateKey::generate(2048).unwrap();
    let mut wrapped = vec![0; 256];
    key.public_key().wrap(&[7; 32], &mut wrapped).unwrap();
    let mut answers = Vec::new();
    // The smallest stack that Linux gives a thread. The C library takes a part of it.
    drop(Stack::of(16 << 10, || {
        assert!(bytes_left().unwrap() < NEEDED_BYTES);
        answers.push(PrivateKey::generate(2048).err());
        answers.push(key.unwrap(&wrapped).err());
        answers.push(key.pkcs8_der().err());
        answers.push(key.public_key().wrap(&[7; 32], &mut [0; 256]).err());
        answers.push(nomyo_core::crypto::random::fill(&mut [0; 8]).err());
        answers.push(Sealed::parse(b"{}").err());
    }));
    assert_eq!(answers.len(), 6);
    for answer in answers {
        assert!(matches!(answer, Some(Error::Stack)), "{answer:?}");
    }
}

#[test]
fn thread_knows_what_it_has_left() {
    let here = bytes_left().unwrap();
    assert!(here > NEEDED_BYTES && here < 64 << 20, "{here}");
    let below = Stack::of(64 << 10, || assert!(bytes_left().unwrap() < 64 << 10));
    drop(below);
}

#[test]
fn scrub_stays_within_the_stack_of_a_coroutine() {
    // The system does not know of such a stack.
    let mut room = vec![PAINT; 64 << 10];
    let known = on_another_stack(&mut room, || {
        scrub();
        bytes_left().is_some()
    });
    assert!(!known);
    let untouched = room.iter().position(|byte| *byte != PAINT).unwrap();
    let covered = room.len() - untouched;
    let expected = ON_UNKNOWN_STACK_BYTES..ON_UNKNOWN_STACK_BYTES + (12 << 10);
    assert!(expected.contains(&covered), "{covered}");
}

/// Runs `f` on this memory as its stack (makecontext(3)).
fn on_another_stack<T>(room: &mut [u8], mut f: impl FnMut() -> T) -> T {
    struct Coroutine<'a> {
        run: &'a mut dyn FnMut(),
    }
    extern "C" fn enter(low: u32, high: u32) {
        let address = (u64::from(high) << 32 | u64::from(low)) as usize;
        // SAFETY: this is the pointer that was cut in two below; it is valid until the switch back.
        let coroutine = unsafe { &mut *(address as *mut Coroutine) };
        (coroutine.run)();
    }
    let mut answer = None;
    let mut coroutine = Coroutine {
        run: &mut || answer = Some(f()),
    };
    let address = &raw mut coroutine as usize as u64;
    // SAFETY: both contexts are filled before they are used; `enter` returns to `back` by its link.
    unsafe {
        let (mut back, mut other) = (std::mem::zeroed(), std::mem::zeroed::<libc::ucontext_t>());
        assert_eq!(libc::getcontext(&raw mut other), 0);
        other.uc_stack.ss_sp = room.as_mut_ptr().cast();
        other.uc_stack.ss_size = room.len();
        other.uc_link = &raw mut back;
        let function = std::mem::transmute::<extern "C" fn(u32, u32), extern "C" fn()>(enter);
        libc::makecontext(
            &raw mut other,
            function,
            2,
            address as u32,
            (address >> 32) as u32,
        );
        assert_eq!(libc::swapcontext(&raw mut back, &raw const other), 0);
    }
    answer.unwrap()
}
