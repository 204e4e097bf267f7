//! Segments and notes → the bytes of a core file (System V gABI chapter 4 and 5, `linux/elfcore.h`, `linux/elf.h`;
//! `NT_FILE` as `fs/binfmt_elf.c`, `fill_files_note`).

/// 32- or 64-bit file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// `ELFCLASS32`.
    Elf32,
    /// `ELFCLASS64`.
    Elf64,
}

/// Byte order of the file's headers and notes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// `ELFDATA2LSB`.
    Little,
    /// `ELFDATA2MSB`.
    Big,
}

/// `EM_386`.
pub const EM_386: u16 = 3;
/// `EM_X86_64`.
pub const EM_X86_64: u16 = 62;
/// `EM_AARCH64`.
pub const EM_AARCH64: u16 = 183;
/// `PF_R`.
pub const READ: u32 = 4;
/// `PF_W`.
pub const WRITE: u32 = 2;
/// `PF_X`.
pub const EXECUTE: u32 = 1;

/// One `PT_LOAD`.
#[derive(Clone, Debug)]
pub struct Segment {
    /// `p_vaddr`.
    pub at: u64,
    /// What the file holds of it; may be shorter than `memsz`.
    pub bytes: Vec<u8>,
    /// `p_memsz`.
    pub memsz: u64,
    /// `p_flags`.
    pub flags: u32,
}

/// One note as it is written: name without NUL, type, descriptor.
#[derive(Clone, Debug)]
pub struct Note {
    /// Owner.
    pub name: &'static str,
    /// `n_type`.
    pub kind: u32,
    /// Descriptor.
    pub desc: Vec<u8>,
}

/// Where segments' bytes begin in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placement {
    /// At multiples of a page, as the kernel does.
    Paged,
    /// One behind the other at odd offsets, as gdb's `gcore` does.
    Packed,
}

/// A core file in the making.
#[derive(Clone, Debug)]
pub struct CoreFile {
    /// File class.
    pub class: Class,
    /// Byte order of headers.
    pub order: Order,
    /// `e_machine`.
    pub machine: u16,
    /// `e_type`; 4 is `ET_CORE`.
    pub kind: u16,
    /// Segments in the order of their headers.
    pub segments: Vec<Segment>,
    /// Notes in order.
    pub notes: Vec<Note>,
    /// Placement of bytes.
    pub placement: Placement,
}

impl CoreFile {
    /// An empty little-endian core of a machine.
    pub fn new(class: Class, machine: u16) -> Self {
        Self {
            class,
            order: Order::Little,
            machine,
            kind: 4,
            segments: Vec::new(),
            notes: Vec::new(),
            placement: Placement::Paged,
        }
    }

    /// Adds a segment whose bytes are all there.
    pub fn segment(&mut self, at: u64, bytes: Vec<u8>, flags: u32) {
        let memsz = bytes.len() as u64;
        self.segments.push(Segment { at, bytes, memsz, flags });
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut notes = Out::new(self.class, self.order);
        for note in &self.notes {
            note.write(&mut notes);
        }
        let (ehsize, phsize, shsize) = match self.class {
            Class::Elf32 => (52u64, 32u64, 40u64),
            Class::Elf64 => (64, 56, 64),
        };
        let headers = self.segments.len() as u64 + 1;
        let extended = headers >= 0xffff;
        let section = if extended { shsize } else { 0 };
        let notes_at = ehsize + headers * phsize + section;
        let mut at = notes_at + notes.bytes.len() as u64;

        let mut out = Out::new(self.class, self.order);
        self.file_header(&mut out, headers, extended.then_some(ehsize + headers * phsize));
        out.program_header(4, 0, notes_at, 0, notes.bytes.len() as u64, 0, 1);
        let mut places = Vec::new();
        for segment in &self.segments {
            at = match self.placement {
                Placement::Paged => at.next_multiple_of(0x1000),
                Placement::Packed => at | 1,
            };
            places.push(at);
            let align = if self.placement == Placement::Paged { 0x1000 } else { 1 };
            let filesz = segment.bytes.len() as u64;
            out.program_header(1, segment.flags, at, segment.at, filesz, segment.memsz, align);
            at += filesz;
        }
        if extended {
            out.section_zero(headers as u32);
        }
        out.bytes.extend_from_slice(&notes.bytes);
        for (segment, place) in self.segments.iter().zip(places) {
            if !segment.bytes.is_empty() {
                out.bytes.resize(place as usize, 0);
                out.bytes.extend_from_slice(&segment.bytes);
            }
        }
        out.bytes
    }

    fn file_header(&self, out: &mut Out, headers: u64, shoff: Option<u64>) {
        let wide = self.class == Class::Elf64;
        out.bytes.extend_from_slice(b"\x7fELF");
        out.bytes.push(if wide { 2 } else { 1 });
        out.bytes.push(if self.order == Order::Little { 1 } else { 2 });
        out.bytes.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.half(self.kind);
        out.half(self.machine);
        out.int(1);
        out.word(0);
        out.word(if wide { 64 } else { 52 });
        out.word(shoff.unwrap_or(0));
        out.int(0);
        out.half(if wide { 64 } else { 52 });
        out.half(if wide { 56 } else { 32 });
        out.half(if shoff.is_some() { 0xffff } else { headers as u16 });
        out.half(if wide { 64 } else { 40 });
        out.half(u16::from(shoff.is_some()));
        out.half(0);
    }
}

/// Bytes with the file's class and order.
#[derive(Clone, Debug)]
pub struct Out {
    /// What was written.
    pub bytes: Vec<u8>,
    class: Class,
    order: Order,
}

impl Out {
    /// Nothing yet.
    pub fn new(class: Class, order: Order) -> Self {
        Self { bytes: Vec::new(), class, order }
    }

    /// Two bytes.
    pub fn half(&mut self, value: u16) {
        let bytes = if self.order == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() };
        self.bytes.extend_from_slice(&bytes);
    }

    /// Four bytes.
    pub fn int(&mut self, value: u32) {
        let bytes = if self.order == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() };
        self.bytes.extend_from_slice(&bytes);
    }

    /// Eight bytes.
    pub fn long(&mut self, value: u64) {
        let bytes = if self.order == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() };
        self.bytes.extend_from_slice(&bytes);
    }

    /// One word of the class.
    pub fn word(&mut self, value: u64) {
        match self.class {
            Class::Elf32 => self.int(value as u32),
            Class::Elf64 => self.long(value),
        }
    }

    /// Zero bytes up to `len`.
    pub fn pad_to(&mut self, len: usize) {
        self.bytes.resize(len, 0);
    }

    /// One program header.
    #[expect(clippy::too_many_arguments, reason = "the fields of Elf_Phdr")]
    pub fn program_header(&mut self, kind: u32, flags: u32, offset: u64, at: u64, filesz: u64, memsz: u64, align: u64) {
        self.int(kind);
        if self.class == Class::Elf64 {
            self.int(flags);
        }
        for value in [offset, at, at, filesz, memsz] {
            self.word(value);
        }
        if self.class == Class::Elf32 {
            self.int(flags);
        }
        self.word(align);
    }

    /// Section header 0 as `PN_XNUM` wants it: `sh_size` is the number of sections, `sh_info` the number of segments.
    fn section_zero(&mut self, segments: u32) {
        self.int(0);
        self.int(0);
        for value in [0, 0, 0, 1] {
            self.word(value);
        }
        self.int(0);
        self.int(segments);
        self.word(0);
        self.word(0);
    }
}

impl Note {
    fn write(&self, out: &mut Out) {
        out.int(self.name.len() as u32 + 1);
        out.int(self.desc.len() as u32);
        out.int(self.kind);
        out.bytes.extend_from_slice(self.name.as_bytes());
        out.bytes.push(0);
        out.pad_to(out.bytes.len().next_multiple_of(4));
        out.bytes.extend_from_slice(&self.desc);
        out.pad_to(out.bytes.len().next_multiple_of(4));
    }
}

/// The registers that matter of one thread.
#[derive(Clone, Copy, Default, Debug)]
pub struct ThreadState {
    /// Kernel id.
    pub tid: u32,
    /// `pr_cursig`.
    pub signal: u16,
    /// Program counter.
    pub pc: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Thread pointer.
    pub tp: u64,
    /// Value of every other general register.
    pub fill: u64,
}

impl CoreFile {
    fn out(&self) -> Out {
        Out::new(self.class, self.order)
    }

    fn note(&mut self, name: &'static str, kind: u32, desc: Vec<u8>) {
        self.notes.push(Note { name, kind, desc });
    }

    /// `NT_PRSTATUS` (and the note that holds the thread pointer where the registers do not).
    pub fn prstatus(&mut self, thread: ThreadState) {
        let (count, pc, sp, tp) = match self.machine {
            EM_386 => (17, 12, 15, None),
            EM_AARCH64 => (34, 32, 31, None),
            _ => (27, 16, 19, Some(21)),
        };
        let mut registers = vec![thread.fill; count];
        registers[pc] = thread.pc;
        registers[sp] = thread.sp;
        if let Some(tp) = tp {
            registers[tp] = thread.tp;
        }
        if self.machine == EM_386 {
            registers[10] = 0x33; // gs: entry 6 of the GDT, user level
        }
        let mut out = self.out();
        out.int(u32::from(thread.signal));
        out.pad_to(12);
        out.half(thread.signal);
        out.pad_to(16);
        out.word(0);
        out.word(0);
        for id in [thread.tid, 1, thread.tid, thread.tid] {
            out.int(id);
        }
        for _ in 0..8 {
            out.word(0); // four struct timeval
        }
        for register in registers {
            out.word(register);
        }
        out.int(1);
        out.pad_to(out.bytes.len().next_multiple_of(if self.class == Class::Elf64 { 8 } else { 4 }));
        self.note("CORE", 1, out.bytes);
        match self.machine {
            EM_386 => {
                let mut tls = self.out();
                for value in [6, thread.tp as u32, 0xf_ffff, 0x51] {
                    tls.int(value);
                }
                self.note("LINUX", 0x200, tls.bytes);
            }
            EM_AARCH64 => self.note("LINUX", 0x401, thread.tp.to_le_bytes().to_vec()),
            _ => {}
        }
    }

    /// `NT_PRPSINFO`.
    pub fn prpsinfo(&mut self, pid: u32, name: &str, arguments: &str) {
        let mut out = self.out();
        out.bytes.extend_from_slice(&[0, b'R', 0, 0]);
        if self.class == Class::Elf64 {
            out.pad_to(8);
        }
        out.word(0);
        if self.class == Class::Elf64 || self.machine != EM_386 {
            out.int(1000);
            out.int(1000);
        } else {
            out.half(1000); // 16-bit uid_t of i386
            out.half(1000);
        }
        for id in [pid, 1, pid, pid] {
            out.int(id);
        }
        let mut text = |text: &str, len: usize| {
            let end = out.bytes.len() + len;
            out.bytes.extend_from_slice(&text.as_bytes()[..text.len().min(len - 1)]);
            out.pad_to(end);
        };
        text(name, 16);
        text(arguments, 80);
        self.note("CORE", 3, out.bytes);
    }

    /// `NT_SIGINFO` of a fault at `address`.
    pub fn siginfo(&mut self, signal: u32, code: u32, address: u64) {
        let mut out = self.out();
        for value in [signal, 0, code] {
            out.int(value);
        }
        if self.class == Class::Elf64 {
            out.pad_to(16);
        }
        out.word(address);
        out.pad_to(128);
        self.note("CORE", 0x5349_4749, out.bytes);
    }

    /// `NT_AUXV`; the closing pair is added.
    pub fn auxv(&mut self, pairs: &[(u64, u64)]) {
        let mut out = self.out();
        for &(kind, value) in pairs.iter().chain(&[(0, 0)]) {
            out.word(kind);
            out.word(value);
        }
        self.note("CORE", 6, out.bytes);
    }

    /// `NT_FILE` of `(start, end, offset in bytes, path)`.
    pub fn file_map(&mut self, files: &[(u64, u64, u64, &str)]) {
        let mut out = self.out();
        out.word(files.len() as u64);
        out.word(0x1000);
        for &(start, end, offset, _) in files {
            for value in [start, end, offset / 0x1000] {
                out.word(value);
            }
        }
        for (_, _, _, path) in files {
            out.bytes.extend_from_slice(path.as_bytes());
            out.bytes.push(0);
        }
        self.note("CORE", 0x4649_4c45, out.bytes);
    }

    /// A note that nobody knows.
    pub fn junk_note(&mut self, len: usize) {
        self.note("JUNK", 0x7777, vec![0xa5; len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_kernel() {
        for (class, machine, prstatus, prpsinfo) in [
            (Class::Elf64, EM_X86_64, 336, 136),
            (Class::Elf32, EM_386, 144, 124),
            (Class::Elf64, EM_AARCH64, 392, 136),
        ] {
            let mut core = CoreFile::new(class, machine);
            core.prpsinfo(1, "name", "arguments");
            core.prstatus(ThreadState::default());
            assert_eq!((core.notes[0].desc.len(), core.notes[1].desc.len()), (prpsinfo, prstatus));
        }
    }

    #[test]
    fn seventy_thousand_segments_go_through_section_zero() {
        let mut core = CoreFile::new(Class::Elf64, EM_X86_64);
        for index in 0..70_000u64 {
            core.segments.push(Segment { at: index << 16, bytes: Vec::new(), memsz: 0x1000, flags: READ });
        }
        let bytes = core.bytes();
        assert_eq!(bytes[56..58], [0xff, 0xff]);
        let shoff = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
        assert_eq!(u32::from_le_bytes(bytes[shoff + 44..shoff + 48].try_into().unwrap()), 70_001);
    }
}
