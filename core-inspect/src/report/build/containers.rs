//! Containers in rows.

use super::Sources;
use crate::analysis::retained_by::Holders;
use crate::base::FastMap;
use crate::debuginfo::{DebugTypeId, shorten};
use crate::report::answers::{ContainerRow, ContainerTotal, ContainersAnswer};
use crate::report::model::{Hex, SCHEMA_VERSION};
use crate::types::containers::{Kind, Trouble, Walk};
use crate::types::propagate::{ContainerAt, RootOwner, TypedRoot, TypedView};

/// Containers that pass, not yet as rows: there may be millions.
#[derive(Debug)]
pub struct Listed<'a> {
    view: TypedView<'a>,
    types: FastMap<DebugTypeId, Words>,
    /// They, those with the most bytes first.
    pub found: Vec<&'a ContainerAt>,
}

/// A container type in words.
#[derive(Debug)]
struct Words {
    kind: Kind,
    name: String,
    elements: String,
    walk: Walk,
}

impl<'a> Listed<'a> {
    /// Those with at least so many elements and whose type, by name and kind, passes.
    pub fn new(view: TypedView<'a>, min_elements: u64, passes: impl Fn(&str, Kind) -> bool) -> Self {
        let instances = &view.typed.instances;
        let words = |&ty: &DebugTypeId| Some((ty, Words::of(&view, ty)?));
        let mut types: FastMap<_, _> = instances.tallies().keys().filter_map(words).collect();
        types.retain(|_, words| passes(&words.name, words.kind));
        let is_found = |container: &&ContainerAt| {
            container.instance.count >= min_elements && types.contains_key(&container.site.ty)
        };
        let mut found: Vec<_> = instances.all().iter().filter(is_found).collect();
        found.sort_by_key(|container| std::cmp::Reverse(container.instance.own_bytes));
        Self { view, types, found }
    }

    /// The answer with the first `limit` rows.
    pub fn answer(&self, sources: &Sources<'_>, limit: usize) -> ContainersAnswer {
        let mut total = ContainerTotal { left_out: self.view.typed.instances.left_out(), ..ContainerTotal::default() };
        for ContainerAt { instance, .. } in &self.found {
            total.containers += 1;
            total.empty += u64::from(instance.count == 0);
            total.elements = total.elements.saturating_add(instance.count);
            total.bytes = total.bytes.saturating_add(instance.own_bytes);
            total.waste_bytes = total.waste_bytes.saturating_add(instance.waste_bytes);
        }
        let holders = sources.retained.map(|retained| Holders::new(self.view, retained));
        let containers = self
            .found
            .iter()
            .take(limit)
            .filter_map(|container| self.row(sources, holders.as_ref(), container))
            .collect();
        ContainersAnswer { schema_version: SCHEMA_VERSION, total, containers }
    }

    fn row(
        &self,
        sources: &Sources<'_>,
        holders: Option<&Holders<'_>>,
        container: &ContainerAt,
    ) -> Option<ContainerRow> {
        let ContainerAt { site, instance } = container;
        let words = self.types.get(&site.ty)?;
        let owned = self.view.path_to_a(site.origin, Some(site.ty));
        let root = owned.root.and_then(|root| self.view.root(root));
        let function = root.and_then(|root| function(sources, root));
        let retained = holders.and_then(|holders| holders.retained(&sources.image.memory, site, &words.walk));
        Some(ContainerRow {
            kind: words.kind.as_str().to_owned(),
            type_name: words.name.clone(),
            element_type: words.elements.clone(),
            elements: instance.count,
            capacity: instance.capacity,
            bytes: instance.own_bytes,
            waste_bytes: instance.waste_bytes,
            retained_bytes: retained.map(|sum| sum.bytes),
            address: Hex(site.at),
            owner: function.map(|function| function + "::").unwrap_or_default() + &owned.text,
            declared: root.and_then(|root| root.declared.as_ref()).map(ToString::to_string),
            trouble: instance.trouble.map(trouble),
        })
    }
}

impl Words {
    fn of(view: &TypedView<'_>, ty: DebugTypeId) -> Option<Self> {
        let walk = view.walk(ty)?;
        let elements: Vec<_> = walk.elements().iter().map(|element| view.name(element.ty)).collect();
        Some(Self { kind: walk.kind(), name: view.name(ty), elements: elements.join(", "), walk })
    }
}

/// The function whose local the variable is, without its arguments.
fn function(sources: &Sources<'_>, root: &TypedRoot) -> Option<String> {
    let RootOwner::Frame(index) = root.owner else { return None };
    let name = sources.frames?.all().nth(index as usize)?.function.as_ref()?;
    let arguments = name.find('(').filter(|&at| at > 0);
    Some(shorten(&name[..arguments.unwrap_or(name.len())]).into_owned())
}

/// What is wrong, in words.
fn trouble(trouble: Trouble) -> String {
    match trouble {
        Trouble::NotOne => "its fields contradict each other".to_owned(),
        Trouble::Count { stated, found } => format!("it says {stated} elements, and has {found}"),
        Trouble::Broken(at) => format!("its links are damaged at {at}"),
        Trouble::Stopped => "the walk was stopped".to_owned(),
    }
}
