//! Pages that only this process can read: memfd_secret(2), Linux 5.14.
//!
//! The kernel takes such pages out of its own map of memory. So it cannot read them for others: neither through
//! `/proc/PID/mem` nor for a debugger or a core dump, and while they exist it writes no hibernation image. They cannot
//! be swapped, count against RLIMIT_MEMLOCK when they are mapped, and are cleared when they are freed (mm/secretmem.c).
//!
//! They are shared memory, so a child of `fork` would write to its parent's pages. Each mapping is therefore left out
//! of children (`MADV_DONTFORK`); [`crate::hidden`] says what a child gets instead.
//!
//! Lengths must be multiples of the page size and addresses must lie on page borders.

#[cfg(target_os = "linux")]
pub use linux::{
    HiddenFile, close_hidden, hidden_elsewhere, move_over, open_hidden, others_can_read,
    why_not_hidden, zeros_over,
};
#[cfg(not(target_os = "linux"))]
pub use missing::{
    HiddenFile, close_hidden, hidden_elsewhere, move_over, open_hidden, others_can_read,
    why_not_hidden, zeros_over,
};

#[cfg(target_os = "linux")]
mod linux {
    use crate::os::wipe::wipe;
    use std::io;
    use std::ptr::null_mut;

    /// The same on all architectures that have the call; the others answer ENOSYS.
    const SYS_MEMFD_SECRET: libc::c_long = 447;
    const READ_WRITE: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;

    /// Hidden memory that is mapped nowhere yet. Its descriptor should live briefly: whoever gets hold of it can map
    /// the memory (pidfd_getfd(2)).
    pub struct HiddenFile(libc::c_int);

    impl HiddenFile {
        /// Makes one of `len` bytes, all zero.
        pub fn new(len: usize) -> io::Result<Self> {
            // SAFETY: the call takes flags only.
            let fd = unsafe { libc::syscall(SYS_MEMFD_SECRET, libc::O_CLOEXEC) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            let file = Self(fd as libc::c_int);
            // SAFETY: the descriptor is ours. The size can be set once.
            match unsafe { libc::ftruncate(file.0, len as libc::off_t) } {
                0 => Ok(file),
                _ => Err(io::Error::last_os_error()),
            }
        }

        /// Maps a part over what is mapped at `at`, for this process alone. If this fails, what was there may be gone.
        ///
        /// # Safety
        /// The range must be the caller's, and nothing may rely on what is mapped there.
        pub unsafe fn map_over(&self, at: *mut u8, len: usize, offset: usize) -> io::Result<()> {
            // SAFETY: the caller's promise.
            unsafe { self.map(at, len, offset, libc::MAP_FIXED).map(drop) }
        }

        unsafe fn map(
            &self,
            at: *mut u8,
            len: usize,
            offset: usize,
            flags: libc::c_int,
        ) -> io::Result<*mut u8> {
            let flags = libc::MAP_SHARED | flags;
            // SAFETY: the caller's promise, if MAP_FIXED is among the flags; otherwise the kernel chooses a free place.
            let mapped = unsafe {
                libc::mmap(
                    at.cast(),
                    len,
                    READ_WRITE,
                    flags,
                    self.0,
                    offset as libc::off_t,
                )
            };
            if mapped == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the range was mapped above.
            match unsafe { libc::madvise(mapped, len, libc::MADV_DONTFORK) } {
                0 => Ok(mapped.cast()),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }

    impl Drop for HiddenFile {
        fn drop(&mut self) {
            // SAFETY: the descriptor is ours, and closed once. Its mappings stay.
            unsafe { libc::close(self.0) };
        }
    }

    /// Makes reserved pages hidden, readable and writable; they are zero.
    ///
    /// # Safety
    /// The range must lie within a reservation of the caller's.
    pub unsafe fn open_hidden(at: *mut u8, len: usize) -> io::Result<()> {
        let file = HiddenFile::new(len)?;
        // SAFETY: the caller's promise.
        let opened = unsafe { file.map_over(at, len, 0) };
        if opened.is_err() {
            // SAFETY: as above.
            unsafe { close_hidden(at, len) };
        }
        opened
    }

    /// Maps `len` hidden bytes wherever there is room.
    pub fn hidden_elsewhere(len: usize) -> io::Result<*mut u8> {
        // SAFETY: without MAP_FIXED, nothing that exists is touched.
        unsafe { HiddenFile::new(len)?.map(null_mut(), len, 0, 0) }
    }

    /// Moves hidden pages over what is mapped at `to`, which other threads see at once, and without a gap. Returns
    /// whether that worked.
    ///
    /// # Safety
    /// Both ranges must be the caller's, and nothing may rely on what was mapped at `to`.
    pub unsafe fn move_over(from: *mut u8, to: *mut u8, len: usize) -> bool {
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: the caller's promise.
        let moved =
            unsafe { libc::mremap(from.cast(), len, len, flags, to.cast::<libc::c_void>()) };
        moved != libc::MAP_FAILED
    }

    /// Returns hidden pages to the reserved state: they cannot be touched, and use no RAM.
    ///
    /// # Safety
    /// The range must be the caller's, and nothing may use it any more.
    pub unsafe fn close_hidden(at: *mut u8, len: usize) {
        // SAFETY: the caller's promise.
        unsafe { plain_over(at, len, libc::PROT_NONE) };
    }

    /// Maps ordinary pages of zeros, readable and writable. Returns whether that worked.
    ///
    /// # Safety
    /// The range must be the caller's.
    pub unsafe fn zeros_over(at: *mut u8, len: usize) -> bool {
        // SAFETY: the caller's promise.
        unsafe { plain_over(at, len, READ_WRITE) }
    }

    unsafe fn plain_over(at: *mut u8, len: usize, access: libc::c_int) -> bool {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED;
        // SAFETY: the caller's promise.
        unsafe {
            let mapped = libc::mmap(at.cast(), len, access, flags, -1, 0);
            mapped != libc::MAP_FAILED && libc::madvise(mapped, len, libc::MADV_DONTDUMP) == 0
        }
    }

    /// Says why the functions above failed, and what to do.
    pub fn why_not_hidden(error: &io::Error) -> &'static str {
        match error.raw_os_error() {
            Some(libc::ENOSYS) => {
                "the kernel has no hidden memory (memfd_secret, Linux 5.14), or it is switched off (secretmem.enable=0)"
            }
            Some(libc::EPERM | libc::EACCES) => {
                "a seccomp filter or a security module refuses hidden memory (memfd_secret)"
            }
            Some(libc::EAGAIN) => {
                "the limit on locked memory (RLIMIT_MEMLOCK) leaves no room for hidden memory: raise the limit"
            }
            Some(libc::EMFILE | libc::ENFILE) => {
                "no file descriptor is left for hidden memory (memfd_secret): close some, or raise RLIMIT_NOFILE"
            }
            _ => "the system refuses hidden memory (memfd_secret)",
        }
    }

    /// Whether the kernel reads this process's memory at an address for others, as `/proc/PID/mem` and debuggers let
    /// it; `None` if that cannot be tried. Nothing is copied to where others could see it.
    ///
    /// A process that is not dumpable, and not root's, cannot open its own `/proc/self/mem`. `process_vm_readv` takes
    /// the same way through the kernel, and a process may always ask for itself (kernel/ptrace.c, `__ptrace_may_access`).
    pub fn others_can_read(address: *const u8) -> Option<bool> {
        let control = 1_u8;
        let read = through_proc as fn(*const u8) -> bool;
        [read, through_call]
            .into_iter()
            .find(|read| read(&raw const control))
            .map(|read| read(address))
    }

    fn through_proc(address: *const u8) -> bool {
        let mut byte = 0_u8;
        // SAFETY: the path ends with a zero, the byte is valid for the call, and the descriptor is closed once.
        unsafe {
            let memory = libc::open(c"/proc/self/mem".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            if memory < 0 {
                return false;
            }
            let read = libc::pread(
                memory,
                (&raw mut byte).cast(),
                1,
                address.addr() as libc::off_t,
            );
            libc::close(memory);
            wipe(&raw mut byte, 1);
            read == 1
        }
    }

    fn through_call(address: *const u8) -> bool {
        let mut byte = 0_u8;
        let here = libc::iovec {
            iov_base: (&raw mut byte).cast(),
            iov_len: 1,
        };
        let there = libc::iovec {
            iov_base: address.cast_mut().cast(),
            iov_len: 1,
        };
        let flags = 0_usize;
        // SAFETY: the structs are valid for the call, which fails if the address is not mapped.
        unsafe {
            let read = libc::syscall(
                libc::SYS_process_vm_readv,
                libc::getpid(),
                &raw const here,
                1_usize,
                &raw const there,
                1_usize,
                flags,
            );
            wipe(&raw mut byte, 1);
            read == 1
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod missing {
    use std::io;

    /// Stands for hidden memory, which this platform does not have.
    pub struct HiddenFile;

    impl HiddenFile {
        /// Fails.
        pub fn new(_len: usize) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        /// Fails.
        ///
        /// # Safety
        /// None.
        pub unsafe fn map_over(&self, _at: *mut u8, _len: usize, _offset: usize) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    /// Fails.
    ///
    /// # Safety
    /// None.
    pub unsafe fn open_hidden(_at: *mut u8, _len: usize) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Fails.
    pub fn hidden_elsewhere(_len: usize) -> io::Result<*mut u8> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Fails.
    ///
    /// # Safety
    /// None.
    pub unsafe fn move_over(_from: *mut u8, _to: *mut u8, _len: usize) -> bool {
        false
    }

    /// Does nothing: there are no hidden pages.
    ///
    /// # Safety
    /// None.
    pub unsafe fn close_hidden(_at: *mut u8, _len: usize) {}

    /// Fails.
    ///
    /// # Safety
    /// None.
    pub unsafe fn zeros_over(_at: *mut u8, _len: usize) -> bool {
        false
    }

    /// Says why the functions above failed.
    pub fn why_not_hidden(_error: &io::Error) -> &'static str {
        "this platform has no hidden memory"
    }

    /// Returns `None`: it cannot be tried.
    pub fn others_can_read(_address: *const u8) -> Option<bool> {
        None
    }
}
