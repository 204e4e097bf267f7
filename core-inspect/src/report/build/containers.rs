//! Containers in rows.

use crate::report::answers::{ContainerRow, ContainerTotal, ContainersAnswer};
use crate::report::model::{Hex, SCHEMA_VERSION};
use crate::types::containers::Trouble;
use crate::types::propagate::{ContainerAt, TypedView};

/// Containers that pass, not yet as rows: there may be millions.
#[derive(Debug)]
pub struct Listed<'a> {
    view: TypedView<'a>,
    /// They, those with the most bytes first.
    pub found: Vec<&'a ContainerAt>,
}

impl<'a> Listed<'a> {
    /// Those for which `passes` says yes.
    pub fn new(view: TypedView<'a>, passes: impl Fn(&ContainerAt) -> bool) -> Self {
        let mut found: Vec<_> = view.typed.instances.all().iter().filter(|container| passes(container)).collect();
        found.sort_by(|a, b| b.instance.own_bytes.cmp(&a.instance.own_bytes));
        Self { view, found }
    }

    /// The answer with the first `limit` rows.
    pub fn answer(&self, limit: usize) -> ContainersAnswer {
        let mut total = ContainerTotal { left_out: self.view.typed.instances.left_out(), ..ContainerTotal::default() };
        for ContainerAt { instance, .. } in &self.found {
            total.containers += 1;
            total.empty += u64::from(instance.count == 0);
            total.elements = total.elements.saturating_add(instance.count);
            total.bytes = total.bytes.saturating_add(instance.own_bytes);
            total.waste_bytes = total.waste_bytes.saturating_add(instance.waste_bytes);
        }
        let containers = self.found.iter().take(limit).map(|container| self.row(container)).collect();
        ContainersAnswer { schema_version: SCHEMA_VERSION, total, containers }
    }

    fn row(&self, container: &ContainerAt) -> ContainerRow {
        let ContainerAt { site, instance } = container;
        let walk = self.view.walk(site.ty);
        let owned = self.view.path_to(site.origin);
        let root = owned.root.and_then(|root| self.view.root(root));
        let elements = walk.iter().flat_map(|walk| walk.elements());
        ContainerRow {
            kind: walk.as_ref().map_or("", |walk| walk.kind().as_str()).to_owned(),
            type_name: self.view.name(site.ty),
            element_type: elements.map(|element| self.view.name(element.ty)).collect::<Vec<_>>().join(", "),
            elements: instance.count,
            capacity: instance.capacity,
            bytes: instance.own_bytes,
            waste_bytes: instance.waste_bytes,
            address: Hex(site.at),
            owner: owned.text,
            declared: root.and_then(|root| root.declared.as_ref()).map(ToString::to_string),
            trouble: instance.trouble.map(trouble),
        }
    }
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
