//! Where a container is, by debug information: the expression that leads to it, its type, where its variable is declared,
//! what to type in gdb, and others of its type.

use super::Sources;
use crate::analysis::shapes::{Anchor, Shape};
use crate::base::Avma;
use crate::debuginfo::SourceLine;
use crate::debuginfo::model::Language;
use crate::types::propagate::{ContainerAt, Origin, Parent, RootOwner, RootValue, TypedRoot, TypedView};

/// What debug information says about a container.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Owner {
    /// `g_server.pending_`.
    pub(super) expression: String,
    /// `std::list<Request *>`; empty when its type is not known.
    pub(super) type_name: String,
    /// Where its variable is declared.
    pub(super) declared: Option<SourceLine>,
    /// A command for gdb that shows it.
    pub(super) gdb: String,
    /// Its own count, where it could be walked.
    pub(super) count: Option<u64>,
    /// Others of the same type, the biggest first: expression and elements.
    pub(super) same_type: Vec<(String, u64)>,
}

/// Others that are named.
const MOST_NAMED: usize = 3;
/// Containers at or below an address that may hold it.
const NEAR: usize = 16;

/// The owner of what is anchored there; `None` where no variable with a type leads.
pub(super) fn of(sources: &Sources<'_>, anchor: &Anchor, shape: Shape) -> Option<Owner> {
    let view = sources.typed?;
    let container = container_at(&view, anchor.object);
    let origin = container.map(|container| container.site.origin).or_else(|| origin_of(&view, anchor))?;
    let owned = view.path_to_a(origin, container.map(|container| container.site.ty));
    let root = view.root(owned.root?)?;
    let (mut expression, mut typeable) = (owned.text, owned.typeable);
    if container.is_none() && shape == Shape::Ring {
        // The head is the structure with both links, not its first one.
        typeable.truncate(typeable.rfind('.').unwrap_or(typeable.len()));
        expression.truncate(expression.rfind('.').unwrap_or(expression.len()));
    }
    Some(Owner {
        gdb: in_language(&view, root, gdb(sources, root, &typeable)),
        expression,
        type_name: container.map(|container| view.name(container.site.ty)).unwrap_or_default(),
        declared: root.declared.clone(),
        count: container.map(|container| container.instance).filter(|one| one.trouble.is_none()).map(|one| one.count),
        same_type: container.map(|container| same_type(&view, container)).unwrap_or_default(),
    })
}

/// The container whose object holds `at`: the one that begins nearest to it.
fn container_at<'v>(view: &TypedView<'v>, at: Avma) -> Option<&'v ContainerAt> {
    let all = view.typed.instances.all();
    let end = all.partition_point(|container| container.site.at <= at);
    let holds = |container: &&ContainerAt| {
        let size = view.types.size(container.site.ty).unwrap_or(0);
        at.0.wrapping_sub(container.site.at.0) < size
    };
    // Of several at one address, such as a queue and its deque, the one that was found to have elements.
    let has_elements = |container: &&ContainerAt| container.instance.count > 0;
    all[..end]
        .iter()
        .rev()
        .take(NEAR)
        .filter(holds)
        .filter(has_elements)
        .max_by_key(|container| (container.site.at, container.instance.count))
}

fn origin_of(view: &TypedView<'_>, anchor: &Anchor) -> Option<Origin> {
    let (parent, start) = match anchor.chunk {
        Some(chunk) => (Parent::Chunk(chunk), view.chunks.get(chunk).user),
        None => {
            let (number, at, _) = root_at(view, anchor.object)?;
            (Parent::Root(number), at)
        }
    };
    let offset = u32::try_from(anchor.object.0.checked_sub(start.0)?).ok()?;
    Some(Origin { parent, offset, by_container: false })
}

/// The smallest variable that holds an address.
fn root_at(view: &TypedView<'_>, at: Avma) -> Option<(u32, Avma, u64)> {
    let place = |(number, root): (u32, &TypedRoot)| match root.value {
        RootValue::At(start) => Some((number, start, view.types.size(root.ty)?)),
        RootValue::Bytes(_) => None,
    };
    let holds = |&(_, start, size): &(u32, Avma, u64)| at.0.wrapping_sub(start.0) < size;
    (0u32..).zip(&view.typed.roots).filter_map(place).filter(holds).min_by_key(|&(number, _, size)| (size, number))
}

/// The program may have stopped in C, in which gdb does not take what it takes of Rust.
fn in_language(view: &TypedView<'_>, root: &TypedRoot, command: String) -> String {
    match view.types.get(view.types.bare(root.ty)).language {
        Language::Rust if !command.is_empty() => format!("with language rust -- {command}"),
        _ => command,
    }
}

fn gdb(sources: &Sources<'_>, root: &TypedRoot, typeable: &str) -> String {
    match root.owner {
        RootOwner::Module(_) => format!("print {typeable}"),
        RootOwner::Thread(thread) => format!("thread apply {} -q print {typeable}", thread + 1),
        RootOwner::Frame(index) => {
            let Some(frame) = sources.frames.and_then(|frames| frames.all().nth(index as usize)) else {
                return String::new();
            };
            let thread = frame.thread + 1;
            let is_plain = |name: &&String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
            match frame.function.as_ref().filter(is_plain) {
                Some(function) => format!("thread apply {thread} -q print {function}::{typeable}"),
                // In each frame that has such a variable.
                None => format!("thread apply {thread} -q frame apply all -q -s print {typeable}"),
            }
        }
    }
}

fn same_type(view: &TypedView<'_>, of: &ContainerAt) -> Vec<(String, u64)> {
    let is_alike = |other: &&ContainerAt| other.site.ty == of.site.ty && other.site.at != of.site.at;
    let mut alike: Vec<&ContainerAt> = view.typed.instances.all().iter().filter(is_alike).collect();
    alike.sort_by_key(|other| (std::cmp::Reverse(other.instance.count), other.site.at));
    let named = |other: &ContainerAt| {
        let owned = view.path_to(other.site.origin);
        owned.root.map(|_| (owned.text, other.instance.count))
    };
    alike.into_iter().filter_map(named).take(MOST_NAMED).collect()
}
