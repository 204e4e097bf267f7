//! What was typed: the grammar of the command line, nothing interpreted yet.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  core-inspect core.1234 ./server                      the page
  core-inspect core.1234 ./server --format json        the same for scripts
  core-inspect chunks core.1234 --state used --size 1m.. --sort size:desc
  core-inspect leaks core.1234 --fail-if-leaked        exit code 1 when anything is lost
  zstd -dc core.zst | core-inspect -                   a core from standard input
  core-inspect ./info                                  a core whose name is a verb

Exit codes:
  0  done
  1  found what was asked to be absent (leaks --fail-if-leaked)
  2  could not: bad arguments, unreadable core, or an allocator that cannot be walked";

/// Say what holds the memory of a Linux process, from its core dump.
///
/// Without a verb: one page on what the process was, where its memory is, which types fill it, which list or container
/// holds it and from where, what is lost, and how sure all of that is. No symbols are needed; with symbols, names are
/// better.
#[derive(Parser, Debug)]
#[command(
    name = "core-inspect",
    version,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    subcommand_help_heading = "Verbs",
    subcommand_value_name = "VERB",
    override_usage = "core-inspect [OPTIONS] CORE [BINARY]\n       core-inspect VERB [OPTIONS] CORE [BINARY]",
    max_term_width = 100
)]
pub struct Cli {
    /// What to do instead of printing the page.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// Arguments of the page.
    #[command(flatten)]
    pub page: PageArgs,
}

/// The verbs, one file in `commands/` each.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// List each chunk: address, size, state, place, arena, reach, type
    ///
    /// One line a chunk in address order. Sort keys: address (default), size, type.
    Chunks(ChunksArgs),
    /// Count chunks by what they are
    ///
    /// Used chunks that pass the filters. Sort keys: bytes (default, descending), chunks, name, retained.
    Types(TypesArgs),
    /// Show what nothing refers to any more
    ///
    /// A row for each type of directly lost chunks, with what only they hold. Sort keys: bytes (default, descending, direct
    /// and indirect together), chunks, name.
    Leaks(LeaksArgs),
    /// Show long lists and big containers, and what holds them
    ///
    /// Sort keys: bytes (descending), elements; by default what grows and holds most comes first.
    Chains(ChainsArgs),
    /// List every container: elements, room, bytes, and the variable that it is in
    ///
    /// Collections that debug information leads to (vectors, lists, maps, hash tables, deques), walked by the rules of their
    /// library and checked against their own count. Sort keys: bytes (default, descending), elements, capacity, waste.
    Containers(ContainersArgs),
    /// Show chunks that hold the same: one string forty thousand times
    ///
    /// A row for each content that several used chunks have, texts compared up to their end, other chunks by all their
    /// bytes. What they hold is shown only with --contents. Sort keys: wasted (default, descending), copies, bytes, size.
    Duplicates(DuplicatesArgs),
    /// Show bytes that are held for nothing: zeros, empty tails, null pointers, pinned free memory
    ///
    /// A row for each kind, each chunk in one of them at most, and the chunks that waste most. These bytes hold nothing now;
    /// whether the program means to fill them, it alone knows.
    Waste(WasteArgs),
    /// Say which line may have allocated a type, a chunk or a size
    ///
    /// Reads the machine code of the program and its libraries for calls of malloc, operator new and the like that ask for
    /// the size of the blocks, and ranks first those that make an object of their class. They are candidates, not proof.
    Sites(SitesArgs),
    /// Show what the threads are doing, and what each call in progress keeps alive
    ///
    /// What only a thread's stack, registers and thread-local storage hold, the most first, and of that what only one of its
    /// calls holds. A table leaves out calls that hold nothing; CSV and JSON have all.
    Frames(FramesArgs),
    /// Show who alone keeps what alive: owners and chunks by what they retain
    ///
    /// What a row retains would be free without it: itself, and all that every way from the roots leads to through it.
    /// Chunks of one type that hang together (a list, a tree) are one row. What module data reaches counts for module data
    /// only, not for stacks and registers that point into it. With filters: the topmost chunks that pass.
    Dominators(DominatorsArgs),
    /// Show which variables, threads and other roots hold the memory
    ///
    /// Root words of one variable are one owner; what several variables hold together has a row of its own. Without a symbol,
    /// words beside each other are one owner.
    Owners(OwnersArgs),
    /// Say what is at an address: chunk, state, type, neighbours, who refers to it
    #[command(override_usage = "core-inspect chunk [OPTIONS] CORE [BINARY] ADDR")]
    Chunk(AddressArgs),
    /// List who refers to the chunk at an address
    #[command(override_usage = "core-inspect refs [OPTIONS] CORE [BINARY] ADDR")]
    Refs(RefsArgs),
    /// Show a path from a root to the chunk at an address
    #[command(override_usage = "core-inspect path [OPTIONS] CORE [BINARY] ADDR")]
    Path(AddressArgs),
    /// Show the core itself: threads, modules, mappings, missing files
    Info(InfoArgs),
    /// Print a shell completion script
    Completions(CompletionsArgs),
    /// Print the manual page (roff)
    Man,
}

/// The core and where its files are.
#[derive(Args, Debug)]
pub struct CoreArgs {
    /// The core dump, also .gz .zst .xz .lz4; `-` for standard input
    #[arg(value_name = "CORE", required = true)]
    pub core: Option<PathBuf>,
    /// The program that made it, when it is not where the core says
    #[arg(value_name = "BINARY")]
    pub binary: Option<PathBuf>,
    /// Options of every verb.
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Options of every verb that reads a core.
#[derive(Args, Debug)]
#[command(next_help_heading = "Common options")]
pub struct CommonArgs {
    /// Look for the process's files under DIR instead of /
    #[arg(long, value_name = "DIR")]
    pub sysroot: Option<PathBuf>,
    /// Look for separate debug files under DIR (may be repeated)
    #[arg(long = "debug-dir", value_name = "DIR")]
    pub debug_dirs: Vec<PathBuf>,
    /// Walk containers by the rules of FILE too (may be repeated); docs/containers.md says how to write them
    #[arg(long, value_name = "FILE")]
    pub containers: Vec<PathBuf>,
    /// Use N threads; the answer does not depend on it
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// When to add colour
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = ColourArg::Auto)]
    pub color: ColourArg,
    /// No progress and no warnings on standard error
    #[arg(long, short)]
    pub quiet: bool,
    /// Each problem on standard error, and phases with times
    #[arg(long, short, conflicts_with = "quiet")]
    pub verbose: bool,
}

/// `--color`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ColourArg {
    /// On a terminal without `NO_COLOR`
    #[default]
    Auto,
    /// Also into a pipe
    Always,
    /// Not at all
    Never,
}

/// `--format` of verbs that list rows.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum FormatArg {
    /// Aligned text for people
    Table,
    /// One JSON object
    Json,
    /// Comma-separated, with a header line
    Csv,
}

/// `--format` of verbs whose answer is no list.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextFormatArg {
    /// Text for people
    Table,
    /// One JSON object
    Json,
}

/// Which chunks count.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Which chunks")]
pub struct FilterArgs {
    /// Those whose type matches REGEX
    #[arg(long = "type", value_name = "REGEX")]
    pub type_name: Option<String>,
    /// Those of this many usable bytes: 64, 1k..64k, 1m.., ..100
    #[arg(long, value_name = "MIN..MAX")]
    pub size: Option<String>,
    /// Those that the program has, or that the allocator holds
    #[arg(long, value_name = "used|free")]
    pub state: Option<String>,
    /// Those in arena, mmapped, tcache, fastbin, unsorted, smallbin, largebin, unlisted or top (glibc); slab, extent,
    /// slab-free, dirty, muzzy or retained (jemalloc); span, central, transfer, page-heap or returned (tcmalloc)
    #[arg(long, value_name = "PLACE")]
    pub place: Option<String>,
    /// Those of arena N, of the main arena, or with a mapping of their own
    #[arg(long, value_name = "N|main|mmapped")]
    pub arena: Option<String>,
    /// Those that are reachable, lost or indirectly-lost
    #[arg(long, value_name = "REACH")]
    pub reach: Option<String>,
}

/// How rows come out.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct RowsArgs {
    /// Print at most N rows
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Order by KEY; see above
    #[arg(long, value_name = "KEY[:asc|desc]")]
    pub sort: Option<String>,
    /// Form of the output
    #[arg(long, value_name = "FORM", value_enum, default_value_t = FormatArg::Table)]
    pub format: FormatArg,
}

/// Arguments of the page.
#[derive(Args, Debug)]
pub struct PageArgs {
    /// The core.
    #[command(flatten)]
    pub core: CoreArgs,
    /// Rows in each table of the page
    #[arg(long, value_name = "N", default_value_t = 15)]
    pub limit: usize,
    /// Show how some elements of suspects begin: cores keep secrets
    #[arg(long)]
    pub contents: bool,
    /// Form of the output
    #[arg(long, value_name = "FORM", value_enum, default_value_t = TextFormatArg::Table)]
    pub format: TextFormatArg,
}

/// Arguments of `chunks`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  core-inspect chunks core.1234 ./server --format csv
  core-inspect chunks core.1234 --state used --size 1m.. --sort size:desc --limit 20
  core-inspect chunks core.1234 --reach lost --type 'std::.*' --format json")]
pub struct ChunksArgs {
    /// The core.
    #[command(flatten)]
    pub core: CoreArgs,
    /// Which chunks.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Their form.
    #[command(flatten)]
    pub rows: RowsArgs,
}

/// Arguments of `types`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  core-inspect types core.1234 ./server
  core-inspect types core.1234 --sort chunks --limit 10 --format csv
  core-inspect types core.1234 ./server --retained --sort retained")]
pub struct TypesArgs {
    /// The core.
    #[command(flatten)]
    pub core: CoreArgs,
    /// Which chunks.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Their form.
    #[command(flatten)]
    pub rows: RowsArgs,
    /// Also what would be free without the chunks of a type (takes longer)
    #[arg(long)]
    pub retained: bool,
}

/// Arguments of `dominators`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  core-inspect dominators core.1234 ./server
  core-inspect dominators core.1234 ./server --depth 5 --min-share 0.1
  core-inspect dominators core.1234 ./server --type Session --format csv")]
pub struct DominatorsArgs {
    /// The core.
    #[command(flatten)]
    pub core: CoreArgs,
    /// Which chunks.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How much of the tree.
    #[command(flatten)]
    pub tree: TreeArgs,
}

/// Arguments of `owners`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  core-inspect owners core.1234 ./server
  core-inspect owners core.1234 ./server --depth 1 --limit 10 --format json")]
pub struct OwnersArgs {
    /// The core.
    #[command(flatten)]
    pub core: CoreArgs,
    /// How much of the tree.
    #[command(flatten)]
    pub tree: TreeArgs,
}

/// How much of a tree comes out, and how.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct TreeArgs {
    /// Show N levels
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub depth: u32,
    /// Print at most N rows of the first level
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Leave out what retains less than PERCENT of all
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    pub min_share: f64,
    /// Form of the output
    #[arg(long, value_name = "FORM", value_enum, default_value_t = FormatArg::Table)]
    pub format: FormatArg,
}

/// Arguments of `leaks`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  core-inspect leaks core.1234 ./server
  core-inspect leaks core.1234 --fail-if-leaked=64k

Exit codes: 0 done, 1 more is lost than --fail-if-leaked allows, 2 could not.")]
pub struct LeaksArgs {
    /// The core.
    #[command(flatten)]
    pub core: CoreArgs,
    /// Which chunks.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Their form.
    #[command(flatten)]
    pub rows: RowsArgs,
    /// Exit with 1 when more than BYTES are lost in the rows that pass the filter
    #[arg(long, value_name = "BYTES", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub fail_if_leaked: Option<String>,
}

/// Arguments of `chains`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  core-inspect chains core.1234 ./server
  core-inspect chains core.1234 --type 'list' --sort elements --format json")]
pub struct ChainsArgs {
    /// The core.
    #[command(flatten)]
    pub core: CoreArgs,
    /// Only those whose kind or element type matches REGEX
    #[arg(long = "type", value_name = "REGEX")]
    pub type_name: Option<String>,
    /// Show how some elements begin: cores keep secrets
    #[arg(long)]
    pub contents: bool,
    /// Their form.
    #[command(flatten)]
    pub rows: RowsArgs,
}

/// Arguments of `containers`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  core-inspect containers core.1234 ./server
  core-inspect containers core.1234 ./server --kind list --min-elements 100
  core-inspect containers core.1234 ./server --type 'std::vector' --sort waste --format csv

A table has 30 rows unless --limit says otherwise; CSV and JSON have all.")]
pub struct ContainersArgs {
    /// The core.
    #[command(flatten)]
    pub core: CoreArgs,
    /// Only those whose type matches REGEX
    #[arg(long = "type", value_name = "REGEX")]
    pub type_name: Option<String>,
    /// Only those of this kind: vector, deque, list, map, hash
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Only those with at least N elements
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub min_elements: u64,
    /// Their form.
    #[command(flatten)]
    pub rows: RowsArgs,
}

/// Arguments of `duplicates`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  core-inspect duplicates core.1234 ./server
  core-inspect duplicates core.1234 --type text --contents --min-copies 100
  core-inspect duplicates core.1234 --size 1k.. --format csv

A table has 30 rows unless --limit says otherwise; CSV and JSON have all.")]
pub struct DuplicatesArgs {
    /// The core.
    #[command(flatten)]
    pub core: CoreArgs,
    /// Which chunks.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Only contents that at least N chunks have
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..))]
    pub min_copies: u32,
    /// Show how the contents begin: cores keep secrets
    #[arg(long)]
    pub contents: bool,
    /// Their form.
    #[command(flatten)]
    pub rows: RowsArgs,
}

/// Arguments of `waste`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  core-inspect waste core.1234 ./server
  core-inspect waste core.1234 --size 1m.. --format csv

A table has 5 chunks of each kind unless --limit says otherwise; CSV and JSON have all.")]
pub struct WasteArgs {
    /// The core.
    #[command(flatten)]
    pub core: CoreArgs,
    /// Which chunks.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Print at most N chunks of each kind
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Form of the output
    #[arg(long, value_name = "FORM", value_enum, default_value_t = FormatArg::Table)]
    pub format: FormatArg,
}

/// Arguments of `frames`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  core-inspect frames core.1234 ./server
  core-inspect frames core.1234 ./server --limit 3 --format json

A table has 20 threads unless --limit says otherwise; CSV and JSON have all.")]
pub struct FramesArgs {
    /// The core.
    #[command(flatten)]
    pub core: CoreArgs,
    /// Only the thread with this id
    #[arg(long, value_name = "TID")]
    pub thread: Option<u32>,
    /// Print at most N threads
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Form of the output
    #[arg(long, value_name = "FORM", value_enum, default_value_t = FormatArg::Table)]
    pub format: FormatArg,
}

/// Arguments of `sites`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  core-inspect sites core.1234 ./server --type Request
  core-inspect sites core.1234 ./server --chunk 0x5581f0c2a2b0
  core-inspect sites core.1234 ./server --size 88 --module server --format json

A table has 10 rows unless --limit says otherwise; CSV and JSON have all.")]
pub struct SitesArgs {
    /// The core.
    #[command(flatten)]
    pub core: CoreArgs,
    /// Blocks whose type matches REGEX
    #[arg(long = "type", value_name = "REGEX", conflicts_with_all = ["chunk", "size"], required_unless_present_any = ["chunk", "size"])]
    pub type_name: Option<String>,
    /// The block that holds this address
    #[arg(long, value_name = "ADDR", conflicts_with = "size")]
    pub chunk: Option<String>,
    /// Blocks of so many bytes, as asked for or as usable
    #[arg(long, value_name = "BYTES")]
    pub size: Option<String>,
    /// Only the code of modules whose file name matches REGEX; by default all but the C and C++ libraries
    #[arg(long, value_name = "REGEX")]
    pub module: Option<String>,
    /// List the calls of a size that does not show, too
    #[arg(long)]
    pub variable: bool,
    /// Print at most N candidates
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Form of the output
    #[arg(long, value_name = "FORM", value_enum, default_value_t = FormatArg::Table)]
    pub format: FormatArg,
}

/// CORE, BINARY and ADDR in any order: the address is the word that is a number and no file.
#[derive(Args, Debug)]
pub struct AddressedArgs {
    /// The core dump, also .gz .zst .xz .lz4; `-` for standard input
    #[arg(value_name = "CORE")]
    pub first: OsString,
    /// An address, 0x hex or decimal, also 0x1000+0x18; it may stand at any place among the three
    #[arg(value_name = "ADDR")]
    pub second: OsString,
    /// The program that made it, when it is not where the core says
    #[arg(value_name = "BINARY")]
    pub third: Option<OsString>,
    /// Options of every verb.
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Arguments of verbs that explain one address.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  core-inspect chunk core.1234 ./server 0x5581f0c2a2b0
  core-inspect path core.1234 0x5581f0c2a2b0 --format json

The address may point anywhere into a chunk, or anywhere else.")]
pub struct AddressArgs {
    /// Core and address.
    #[command(flatten)]
    pub core: AddressedArgs,
    /// Form of the output
    #[arg(long, value_name = "FORM", value_enum, default_value_t = TextFormatArg::Table)]
    pub format: TextFormatArg,
}

/// Arguments of `refs`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  core-inspect refs core.1234 ./server 0x5581f0c2a2b0 --limit 100")]
pub struct RefsArgs {
    /// Core and address.
    #[command(flatten)]
    pub core: AddressedArgs,
    /// Print at most N references
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
    /// Form of the output
    #[arg(long, value_name = "FORM", value_enum, default_value_t = FormatArg::Table)]
    pub format: FormatArg,
}

/// Arguments of `info`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  core-inspect info core.1234
  core-inspect info core.1234 --format json")]
pub struct InfoArgs {
    /// The core.
    #[command(flatten)]
    pub core: CoreArgs,
    /// Form of the output
    #[arg(long, value_name = "FORM", value_enum, default_value_t = TextFormatArg::Table)]
    pub format: TextFormatArg,
}

/// Arguments of `completions`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  core-inspect completions bash > /etc/bash_completion.d/core-inspect")]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: clap_complete::Shell,
}
