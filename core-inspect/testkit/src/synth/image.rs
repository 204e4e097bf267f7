//! A target's memory while it is written: regions of bytes at addresses, words in the target's size, little-endian.

use super::core_file::{CoreFile, Segment};

/// Pointer size of the target in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// Four bytes.
    W4,
    /// Eight bytes.
    W8,
}

impl Word {
    /// 4 or 8.
    pub fn bytes(self) -> u64 {
        match self {
            Self::W4 => 4,
            Self::W8 => 8,
        }
    }
}

/// One mapping.
#[derive(Clone, Debug)]
pub struct Region {
    /// First address.
    pub at: u64,
    /// What the core will hold.
    pub bytes: Vec<u8>,
    /// Size in memory.
    pub memsz: u64,
    /// `PF_*` bits.
    pub flags: u32,
    /// For people reading a failed test.
    pub name: String,
}

/// All of a target's memory.
#[derive(Clone, Debug)]
pub struct Image {
    word: Word,
    regions: Vec<Region>,
}

impl Image {
    /// Nothing mapped.
    pub fn new(word: Word) -> Self {
        Self { word, regions: Vec::new() }
    }

    /// Pointer size.
    pub fn word(&self) -> Word {
        self.word
    }

    /// Maps `len` zero bytes.
    pub fn map(&mut self, name: &str, at: u64, len: u64, flags: u32) {
        let bytes = vec![0; len as usize];
        self.regions.push(Region { at, bytes, memsz: len, flags, name: name.to_owned() });
    }

    /// Maps `len` bytes that the core will not hold.
    pub fn map_absent(&mut self, name: &str, at: u64, len: u64, flags: u32) {
        self.regions.push(Region { at, bytes: Vec::new(), memsz: len, flags, name: name.to_owned() });
    }

    /// Reserves `len` bytes of address space without access.
    pub fn reserve(&mut self, name: &str, at: u64, len: u64) {
        if len > 0 {
            self.map_absent(name, at, len, 0);
        }
    }

    /// The regions by address.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// Writes bytes.
    ///
    /// # Panics
    /// When they are not mapped: the writer's own mistake.
    pub fn put(&mut self, at: u64, bytes: &[u8]) {
        let region = self
            .regions
            .iter_mut()
            .find(|region| region.at <= at && at + bytes.len() as u64 <= region.at + region.bytes.len() as u64)
            .unwrap_or_else(|| panic!("nothing mapped at {at:#x}"));
        let from = (at - region.at) as usize;
        region.bytes[from..from + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes a pointer-sized value.
    pub fn put_word(&mut self, at: u64, value: u64) {
        let bytes = value.to_le_bytes();
        self.put(at, &bytes[..self.word.bytes() as usize]);
    }

    /// Writes an `int`.
    pub fn put_int(&mut self, at: u64, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    /// Reads a pointer-sized value back.
    pub fn word_at(&self, at: u64) -> u64 {
        self.value_at(at, self.word.bytes() as usize)
    }

    /// Reads an `int` back.
    pub fn int_at(&self, at: u64) -> u32 {
        self.value_at(at, 4) as u32
    }

    fn value_at(&self, at: u64, len: usize) -> u64 {
        let region = self
            .regions
            .iter()
            .find(|region| region.at <= at && at + len as u64 <= region.at + region.bytes.len() as u64)
            .unwrap_or_else(|| panic!("nothing mapped at {at:#x}"));
        let from = (at - region.at) as usize;
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(&region.bytes[from..from + len]);
        u64::from_le_bytes(bytes)
    }

    /// Moves all regions, sorted by address, into a core.
    ///
    /// # Panics
    /// When two regions overlap: the writer's own mistake.
    pub fn into_core(mut self, core: &mut CoreFile) {
        self.regions.sort_by_key(|region| region.at);
        for pair in self.regions.windows(2) {
            assert!(pair[0].at + pair[0].memsz <= pair[1].at, "{} runs into {}", pair[0].name, pair[1].name);
        }
        core.segments.extend(self.regions.into_iter().map(|region| Segment {
            at: region.at,
            bytes: region.bytes,
            memsz: region.memsz,
            flags: region.flags,
        }));
    }
}
