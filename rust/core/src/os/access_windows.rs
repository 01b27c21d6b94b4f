//! Access control lists on Windows: makes files that only this user can use, and finds out who else can use one.
//!
//! An access control list has no owner, group and others. What it allows is told in these words: `0o044` if anybody
//! else may read, and `0o022` if anybody else may change the file, its list or its owner. Nobody else are this user,
//! the system and the administrators, whom no list keeps out.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::ptr::null_mut;

/// What [`access`] finds.
#[derive(Clone, Copy)]
pub(super) struct Access {
    /// Permission bits of a private file, and those that stand for others.
    pub mode: u32,
    /// Whether this user, the system or the administrators own it.
    pub is_trusted: bool,
}

/// What a list that gives this user everything is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file.
    File,
    /// A directory: what is made in it inherits the list.
    Directory,
}

/// The right to exchange a file's list, which its handle needs for [`keep_private`] (winnt.h).
pub(super) const WRITE_DAC: u32 = 0x0004_0000;
/// The right to read a file's list and owner, which its handle needs for [`access`].
pub(super) const READ_CONTROL: u32 = 0x0002_0000;

const ERROR_INVALID_FUNCTION: i32 = 1;
const ERROR_NOT_SUPPORTED: i32 = 50;

const SE_FILE_OBJECT: u32 = 1;
const OWNER_SECURITY_INFORMATION: u32 = 1;
const DACL_SECURITY_INFORMATION: u32 = 4;
const SDDL_REVISION_1: u32 = 1;
const TOKEN_QUERY: u32 = 8;
const TOKEN_USER: u32 = 1;
/// The most bytes of a `TOKEN_USER` (`TOKEN_USER_MAX_SIZE`): a pointer, attributes, and a SID of at most 68 bytes.
const TOKEN_USER_BYTES: usize = 16 + 68;

const ACCESS_ALLOWED: u8 = 0;
const ACCESS_ALLOWED_CALLBACK: u8 = 9;
const INHERIT_ONLY: u8 = 8;
/// `FILE_READ_DATA`, `GENERIC_READ` and `GENERIC_ALL`.
const READS: u32 = 0x1 | 0x8000_0000 | 0x1000_0000;
/// `FILE_WRITE_DATA`, `FILE_APPEND_DATA`, `FILE_DELETE_CHILD`, `DELETE`, `WRITE_DAC`, `WRITE_OWNER`, `GENERIC_WRITE` and
/// `GENERIC_ALL`.
const WRITES: u32 = 0x2 | 0x4 | 0x40 | 0x1_0000 | 0x4_0000 | 0x8_0000 | 0x4000_0000 | 0x1000_0000;

const OWN: u32 = 0o600;
const OTHERS_READ: u32 = 0o044;
const OTHERS_WRITE: u32 = 0o022;

/// The start of an access control list, and of an entry that allows something; a SID follows (winnt.h).
#[repr(C)]
struct List {
    revision: u8,
    padding: u8,
    size: u16,
    count: u16,
    padding_2: u16,
}

#[repr(C)]
struct Allowed {
    kind: u8,
    flags: u8,
    size: u16,
    mask: u32,
    sid: u32,
}

// SAFETY: the signatures are those of the manual (aclapi.h, sddl.h, securitybaseapi.h, processthreadsapi.h, winbase.h).
#[link(name = "advapi32")]
unsafe extern "system" {
    fn ConvertSidToStringSidW(sid: *const c_void, text: *mut *mut u16) -> i32;
    fn ConvertStringSecurityDescriptorToSecurityDescriptorW(
        text: *const u16,
        revision: u32,
        descriptor: *mut *mut c_void,
        size: *mut u32,
    ) -> i32;
    fn GetAce(list: *const List, index: u32, entry: *mut *mut Allowed) -> i32;
    fn GetSecurityInfo(
        handle: *mut c_void,
        kind: u32,
        wanted: u32,
        owner: *mut *mut c_void,
        group: *mut *mut c_void,
        list: *mut *mut List,
        audit: *mut *mut List,
        descriptor: *mut *mut c_void,
    ) -> u32;
    fn GetTokenInformation(
        token: *mut c_void,
        class: u32,
        answer: *mut c_void,
        len: u32,
        used: *mut u32,
    ) -> i32;
    fn OpenProcessToken(process: *mut c_void, access: u32, token: *mut *mut c_void) -> i32;
    fn SetKernelObjectSecurity(handle: *mut c_void, given: u32, descriptor: *const c_void) -> i32;
}

// SAFETY: as above.
#[link(name = "kernel32")]
unsafe extern "system" {
    fn CloseHandle(handle: *mut c_void) -> i32;
    fn GetCurrentProcess() -> *mut c_void;
    fn LocalFree(memory: *mut c_void) -> *mut c_void;
}

/// Memory that the system allocated with `LocalAlloc`.
struct Local(*mut c_void);

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: the system allocated it for this process, and nothing else frees it.
        unsafe { LocalFree(self.0) };
    }
}

/// Lets this user alone use an open file, whose handle must have [`WRITE_DAC`].
///
/// A file system without lists (FAT) lets everybody in. Callers see that in the file's facts.
pub(super) fn keep_private(file: &File, kind: Kind) -> io::Result<()> {
    let inherited = if kind == Kind::Directory { "OICI" } else { "" };
    // P: protected from what the directory above gives. FA: all rights to a file.
    let text: Vec<u16> = format!("D:P(A;{inherited};FA;;;{})\0", own_sid()?)
        .encode_utf16()
        .collect();
    let mut descriptor = null_mut();
    // SAFETY: the text ends with a zero, the pointer is valid for the call, and a size is not asked for.
    check(unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(
            text.as_ptr(),
            SDDL_REVISION_1,
            &raw mut descriptor,
            null_mut(),
        )
    })?;
    let descriptor = Local(descriptor);
    // Not SetSecurityInfo: Wine's adds the rights that the directory above gives, even to a protected list.
    // SAFETY: the handle is open, and the descriptor valid.
    let answer = check(unsafe {
        SetKernelObjectSecurity(
            file.as_raw_handle(),
            DACL_SECURITY_INFORMATION,
            descriptor.0,
        )
    });
    match answer {
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(ERROR_INVALID_FUNCTION | ERROR_NOT_SUPPORTED)
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Finds out who can use an open file, whose handle must have [`READ_CONTROL`].
pub(super) fn access(file: &File) -> io::Result<Access> {
    let (mut owner, mut list, mut descriptor) = (null_mut(), null_mut(), null_mut());
    // SAFETY: the handle is open, and the pointers are valid for the call or null.
    let answer = unsafe {
        GetSecurityInfo(
            file.as_raw_handle(),
            SE_FILE_OBJECT,
            OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
            &raw mut owner,
            null_mut(),
            &raw mut list,
            null_mut(),
            &raw mut descriptor,
        )
    };
    if answer != 0 {
        return Err(io::Error::from_raw_os_error(answer as i32));
    }
    // Owner and list lie in it.
    let _descriptor = Local(descriptor);
    let own = own_sid()?;
    // SAFETY: the system gave both, and they are valid as long as the descriptor.
    unsafe {
        Ok(Access {
            mode: OWN | others_rights(list, &own)?,
            is_trusted: !owner.is_null() && is_no_other(&sid_text(owner)?, &own),
        })
    }
}

/// Returns what a list allows to others; without a list everybody may do everything.
///
/// # Safety
/// `list` must be null, or a valid list.
unsafe fn others_rights(list: *const List, own: &str) -> io::Result<u32> {
    if list.is_null() {
        return Ok(OTHERS_READ | OTHERS_WRITE);
    }
    let mut rights = 0;
    // SAFETY: the list is valid.
    for index in 0..u32::from(unsafe { (*list).count }) {
        let mut entry = null_mut();
        // SAFETY: the list has an entry of that number, whose first four bytes every kind of entry has.
        let (kind, flags) = unsafe {
            check(GetAce(list, index, &raw mut entry))?;
            ((*entry).kind, (*entry).flags)
        };
        if !matches!(kind, ACCESS_ALLOWED | ACCESS_ALLOWED_CALLBACK) || flags & INHERIT_ONLY != 0 {
            continue;
        }
        // SAFETY: entries of these kinds have a mask and a SID.
        let (mask, sid) = unsafe { ((*entry).mask, sid_text((&raw const (*entry).sid).cast())?) };
        if is_no_other(&sid, own) {
            continue;
        }
        rights |= if mask & READS != 0 { OTHERS_READ } else { 0 };
        rights |= if mask & WRITES != 0 { OTHERS_WRITE } else { 0 };
    }
    Ok(rights)
}

/// Whether a SID is this user's, or of one whom no list keeps out (well-known SIDs of the manual): the system,
/// administrators; or stands for the owner.
fn is_no_other(sid: &str, own: &str) -> bool {
    sid == own || matches!(sid, "S-1-5-18" | "S-1-5-32-544" | "S-1-3-0" | "S-1-3-4")
}

/// Returns the SID of this process's user as text.
fn own_sid() -> io::Result<String> {
    let mut token = null_mut();
    // SAFETY: the pointer is valid for the call.
    check(unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) })?;
    let mut answer = [0_usize; TOKEN_USER_BYTES.div_ceil(size_of::<usize>())];
    let mut used = 0;
    // SAFETY: the buffer is valid for the call, and as long as told; the token was opened above and is closed once.
    let asked = unsafe {
        let asked = check(GetTokenInformation(
            token,
            TOKEN_USER,
            answer.as_mut_ptr().cast(),
            size_of_val(&answer) as u32,
            &raw mut used,
        ));
        CloseHandle(token);
        asked
    };
    asked?;
    // SAFETY: a `TOKEN_USER` begins with the address of the SID, which follows in the same buffer.
    unsafe { sid_text(*answer.as_ptr().cast::<*const c_void>()) }
}

/// # Safety
/// `sid` must be a valid SID.
unsafe fn sid_text(sid: *const c_void) -> io::Result<String> {
    let mut text = null_mut();
    // SAFETY: the caller's promise, and the pointer is valid for the call.
    check(unsafe { ConvertSidToStringSidW(sid, &raw mut text) })?;
    let _text = Local(text.cast());
    // SAFETY: the system ends the text with a zero.
    let units = unsafe {
        let len = (0..).take_while(|index| *text.add(*index) != 0).count();
        std::slice::from_raw_parts(text, len)
    };
    Ok(String::from_utf16_lossy(units))
}

fn check(answer: i32) -> io::Result<()> {
    match answer {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
