//! `truth.csv` of a fixture → blocks sorted by address, cycles and notes (written by `fixtures/c/truth.h`).

use std::path::Path;

use crate::FixtureError;

/// What became of a block before its program died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// Reachable from a global variable, directly or through other blocks.
    Kept,
    /// Lost, and no other lost block points at it: the head of what is lost.
    Leaked,
    /// Lost, and only reachable through a leaked block or a cycle.
    Indirect,
    /// Member of a lost ring: a leak report names exactly one member of it as directly lost.
    Cycle,
}

/// One live allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    /// The user address, as malloc returned it.
    pub address: u64,
    /// What `malloc_usable_size` said.
    pub usable: u64,
    /// What became of it.
    pub fate: Fate,
}

/// A comment line `# kind,field,field`, such as `# chain,g_list,20,960`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The word after the `#`.
    pub kind: String,
    /// The comma-separated rest.
    pub fields: Vec<String>,
}

impl Note {
    /// The field as a number, decimal or `0x` hex.
    pub fn number(&self, field: usize) -> Option<u64> {
        number(self.fields.get(field)?)
    }
}

/// A container, as its program says of it: `# container,EXPRESSION,KIND,elements,capacity,bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Where it is, as a debugger's `print` takes it.
    pub expression: String,
    /// What it is, in the library's words: `vector`, `GList`, `hash_map`.
    pub kind: String,
    /// Its elements.
    pub elements: u64,
    /// How many it has room for, where that means something.
    pub capacity: Option<u64>,
    /// Usable bytes of all blocks that nothing but it holds.
    pub bytes: u64,
}

/// All that a fixture said about its heap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Truth {
    /// Live blocks, sorted by address.
    pub blocks: Vec<Block>,
    /// Addresses of the members of each lost ring.
    pub cycles: Vec<Vec<u64>>,
    /// The containers, in file order.
    pub containers: Vec<Container>,
    /// The other comment lines, in file order.
    pub notes: Vec<Note>,
}

impl Truth {
    /// Reads `truth.csv`.
    pub fn read(path: &Path) -> Result<Self, FixtureError> {
        let text = std::fs::read_to_string(path).map_err(|e| FixtureError::io("read", path, e))?;
        Self::parse(&text).map_err(|(line, text)| FixtureError::Truth { path: path.into(), line, text })
    }

    /// Parses the text; on a bad line gives its number (from 1) and content.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut truth = Self::default();
        for (at, line) in text.lines().enumerate() {
            let good = match line.strip_prefix('#') {
                Some(note) => truth.add_note(note.trim_start()),
                None => block(line).map(|block| truth.blocks.push(block)),
            };
            good.ok_or_else(|| (at + 1, line.to_owned()))?;
        }
        truth.blocks.sort_unstable();
        Ok(truth)
    }

    /// The block with this user address.
    pub fn block(&self, address: u64) -> Option<&Block> {
        let at = self.blocks.binary_search_by_key(&address, |block| block.address).ok()?;
        self.blocks.get(at)
    }

    /// The blocks of one fate, by address.
    pub fn with_fate(&self, fate: Fate) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(move |block| block.fate == fate)
    }

    /// The notes of one kind, in file order.
    pub fn notes<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Note> {
        self.notes.iter().filter(move |note| note.kind == kind)
    }

    /// `(elements, usable bytes)` of `# chain,<symbol>,…`.
    pub fn chain(&self, symbol: &str) -> Option<(u64, u64)> {
        let note = self.notes("chain").find(|note| note.fields.first().is_some_and(|name| name == symbol))?;
        Some((note.number(1)?, note.number(2)?))
    }

    /// The number of a note with one field, such as `# used,1000`.
    pub fn count(&self, kind: &str) -> Option<u64> {
        self.notes(kind).next()?.number(0)
    }

    fn add_note(&mut self, note: &str) -> Option<()> {
        let mut parts = note.split(',').map(str::to_owned);
        let kind = parts.next()?;
        if kind == "cycle" {
            self.cycles.push(parts.map(|member| number(&member)).collect::<Option<_>>()?);
        } else if kind == "container" {
            self.containers.push(container(&parts.collect::<Vec<_>>())?);
        } else {
            self.notes.push(Note { kind, fields: parts.collect() });
        }
        Some(())
    }
}

fn block(line: &str) -> Option<Block> {
    let mut fields = line.split(',');
    let (address, usable) = (number(fields.next()?)?, number(fields.next()?)?);
    let fate = match fields.next()? {
        "kept" => Fate::Kept,
        "leaked" => Fate::Leaked,
        "indirect" => Fate::Indirect,
        "cycle" => Fate::Cycle,
        _ => return None,
    };
    fields.next().is_none().then_some(Block { address, usable, fate })
}

fn container(fields: &[String]) -> Option<Container> {
    let [expression, kind, elements, capacity, bytes] = fields else { return None };
    Some(Container {
        expression: expression.clone(),
        kind: kind.clone(),
        elements: number(elements)?,
        capacity: if capacity == "-" { None } else { Some(number(capacity)?) },
        bytes: number(bytes)?,
    })
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_blocks_cycles_and_notes() {
        let truth = Truth::parse(
            "# address,usable_size,fate\n# chain,g_list,2,48\n# used,7\n0x30,24,leaked\n0x10,24,kept\n\
             0x50,40,cycle\n# cycle,0x50\n# container,g_server->names,vector,3,-,72\n",
        )
        .unwrap();
        assert_eq!(truth.blocks.iter().map(|block| block.address).collect::<Vec<_>>(), [0x10, 0x30, 0x50]);
        assert_eq!(truth.block(0x30).unwrap().fate, Fate::Leaked);
        assert_eq!(truth.chain("g_list"), Some((2, 48)));
        assert_eq!(truth.count("used"), Some(7));
        assert_eq!(truth.cycles, [[0x50]]);
        let container = Container {
            expression: "g_server->names".to_owned(),
            kind: "vector".to_owned(),
            elements: 3,
            capacity: None,
            bytes: 72,
        };
        assert_eq!(truth.containers, [container]);
    }

    #[test]
    fn names_the_bad_line() {
        assert_eq!(Truth::parse("0x10,24,kept\n0x20,24,lost\n"), Err((2, "0x20,24,lost".to_owned())));
        let short = "# container,g_list,list,3,72";
        assert_eq!(Truth::parse(short), Err((1, short.to_owned())));
    }
}
