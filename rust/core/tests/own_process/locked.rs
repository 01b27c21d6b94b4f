//! Asks the kernel about this process's memory.
#![allow(dead_code)]

use std::fs::File;
use std::io::Read;
use std::ops::Range;

/// The mappings of this process. Not `/proc/self/smaps`: qemu, which runs ARM's programs, writes that file itself, without
/// what the kernel knows of locks and dumps.
const MAPPINGS: &str = "/proc/thread-self/smaps";

/// A mapping that [`MAPPINGS`] lists.
pub struct Mapping {
    pub addresses: Range<usize>,
    pub flags: String,
}

impl Mapping {
    pub fn has(&self, flag: &str) -> bool {
        self.flags.split_whitespace().any(|word| word == flag)
    }
}

/// Returns the locked bytes of this process, by `VmLck`. Allocates nothing, so that it does not change the answer.
pub fn vm_locked_bytes() -> usize {
    let mut text = [0_u8; 4096];
    let mut file = File::open("/proc/self/status").unwrap();
    let len = file.read(&mut text).unwrap();
    let text = std::str::from_utf8(&text[..len]).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("VmLck:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 1024
}

/// Returns all mappings of this process.
pub fn mappings() -> Vec<Mapping> {
    let text = std::fs::read_to_string(MAPPINGS).unwrap();
    let mut all: Vec<Mapping> = Vec::new();
    for line in text.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            all.last_mut().unwrap().flags = flags.to_owned();
        } else if let Some(addresses) = addresses_of(line) {
            all.push(Mapping {
                addresses,
                flags: String::new(),
            });
        }
    }
    all
}

/// Returns the mapping that an address lies in.
pub fn mapping_of(address: usize) -> Mapping {
    mappings()
        .into_iter()
        .find(|mapping| mapping.addresses.contains(&address))
        .unwrap()
}

fn addresses_of(line: &str) -> Option<Range<usize>> {
    let (start, end) = line.split_whitespace().next()?.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some(number(start)?..number(end)?)
}
