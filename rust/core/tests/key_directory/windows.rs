//! Access control lists and locks of Windows. The system itself writes lists as text (SDDL), and reads them from it.

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::os::windows::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;

const SE_FILE_OBJECT: u32 = 1;
const DACL_SECURITY_INFORMATION: u32 = 4;
const SDDL_REVISION_1: u32 = 1;

// SAFETY: the signatures are those of the manual (aclapi.h, sddl.h).
#[link(name = "advapi32")]
unsafe extern "system" {
    fn ConvertSecurityDescriptorToStringSecurityDescriptorW(
        descriptor: *const c_void,
        revision: u32,
        wanted: u32,
        text: *mut *mut u16,
        len: *mut u32,
    ) -> i32;
    fn ConvertStringSecurityDescriptorToSecurityDescriptorW(
        text: *const u16,
        revision: u32,
        descriptor: *mut *mut c_void,
        size: *mut u32,
    ) -> i32;
    fn GetFileSecurityW(
        path: *const u16,
        wanted: u32,
        descriptor: *mut c_void,
        len: u32,
        needed: *mut u32,
    ) -> i32;
    fn SetFileSecurityW(path: *const u16, given: u32, descriptor: *const c_void) -> i32;
}

/// The entries of a file's list, such as `A;;FA;;;S-1-5-21-0-0-0-1000`.
pub fn entries(path: &Path) -> Vec<String> {
    let (mut descriptor, mut needed) = ([0_u64; 512], 0);
    let (mut text, mut len) = (null_mut(), 0);
    // SAFETY: all pointers are valid for the calls; the text is as long as told, and never freed.
    let units = unsafe {
        let asked = GetFileSecurityW(
            wide(path).as_ptr(),
            DACL_SECURITY_INFORMATION,
            descriptor.as_mut_ptr().cast(),
            size_of_val(&descriptor) as u32,
            &raw mut needed,
        );
        assert!(asked != 0, "{}", std::io::Error::last_os_error());
        let written = ConvertSecurityDescriptorToStringSecurityDescriptorW(
            descriptor.as_ptr().cast(),
            SDDL_REVISION_1,
            DACL_SECURITY_INFORMATION,
            &raw mut text,
            &raw mut len,
        );
        assert!(written != 0, "{}", std::io::Error::last_os_error());
        std::slice::from_raw_parts(text, len as usize)
    };
    let text = String::from_utf16(units).expect("text");
    let entry = |rest: &str| rest.split(')').next().expect("an entry").to_owned();
    text.split('(').skip(1).map(entry).collect()
}

/// Gives a file a list, written as in SDDL.
pub fn set_list(path: &Path, list: &str) {
    let text: Vec<u16> = format!("{list}\0").encode_utf16().collect();
    let mut descriptor = null_mut();
    // SAFETY: all pointers are valid for the calls; the descriptor is never freed.
    unsafe {
        let read = ConvertStringSecurityDescriptorToSecurityDescriptorW(
            text.as_ptr(),
            SDDL_REVISION_1,
            &raw mut descriptor,
            null_mut(),
        );
        assert!(read != 0, "{}", std::io::Error::last_os_error());
        let given = DACL_SECURITY_INFORMATION;
        let set = SetFileSecurityW(wide(path).as_ptr(), given, descriptor);
        assert!(set != 0, "{}", std::io::Error::last_os_error());
    }
}

/// Tests that a list gives a single user everything, and nobody else anything, except the system (Wine always lists it).
/// Returns the user.
#[track_caller]
pub fn assert_private(path: &Path) -> String {
    let mut entries = entries(path);
    entries.retain(|entry| entry != "A;;FA;;;SY" && entry != "A;OICI;FA;;;SY");
    assert_eq!(entries.len(), 1, "{entries:?}");
    let fields: Vec<_> = entries[0].split(';').collect();
    assert_eq!((fields[0], fields[2]), ("A", "FA"), "{entries:?}");
    // A SID of this machine or domain: not one of the groups that every machine has.
    assert!(fields[5].starts_with("S-1-5-21-"), "{entries:?}");
    fields[5].to_owned()
}

/// Opens what a lock on a key directory is taken on.
pub fn lock_file(dir: &Path) -> File {
    let mut options = OpenOptions::new();
    let opened = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join(".lock"));
    opened.expect("the lock's file")
}

fn wide(path: &Path) -> Vec<u16> {
    path.as_os_str().encode_wide().chain([0]).collect()
}
