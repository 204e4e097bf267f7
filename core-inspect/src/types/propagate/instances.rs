//! Containers that were walked: each collection with its place and owner, and all others in sums by type.

use super::cells::Origin;
use crate::base::Avma;
use crate::debuginfo::DebugTypeId;
use crate::types::containers::{Instance, Kind, Walk};
use std::collections::BTreeMap;

/// Collections that are kept one by one; of more, the first ones are, which are those nearest to the variables.
const MOST: usize = 1 << 20;

/// Where a container is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Site {
    /// Its address.
    pub at: Avma,
    /// Its type, without aliases.
    pub ty: DebugTypeId,
    /// The variable or chunk that it lies in; `None` in memory that is neither.
    pub origin: Origin,
}

/// One container.
#[derive(Clone, PartialEq, Debug)]
pub struct ContainerAt {
    /// Where.
    pub site: Site,
    /// What is in it.
    pub instance: Instance,
}

/// Containers of one type in sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ContainerTally {
    /// How many.
    pub instances: u64,
    /// Those without elements.
    pub empty: u64,
    /// Elements of all.
    pub elements: u64,
    /// Bytes of their blocks.
    pub bytes: u64,
}

/// All containers.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Instances {
    all: Vec<ContainerAt>,
    tallies: BTreeMap<DebugTypeId, ContainerTally>,
    left_out: u64,
}

impl Instances {
    pub(super) fn add(&mut self, site: Site, walk: &Walk, instance: Instance) {
        let tally = self.tallies.entry(site.ty).or_default();
        tally.instances += 1;
        tally.empty += u64::from(instance.count == 0);
        tally.elements += instance.count;
        tally.bytes += instance.own_bytes;
        if !walk.kind().is_collection() || walk.kind() == Kind::String {
            return;
        }
        if self.all.len() < MOST {
            self.all.push(ContainerAt { site, instance });
        } else {
            self.left_out += 1;
        }
    }

    /// In address order.
    pub(super) fn finish(&mut self) {
        self.all.sort_by_key(|one| one.site);
        self.all.dedup_by_key(|one| (one.site.at, one.site.ty));
        self.all.shrink_to_fit();
    }

    /// Collections other than text, by address.
    pub fn all(&self) -> &[ContainerAt] {
        &self.all
    }

    /// How many collections are not among them, since there are too many.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Sums for each container type, smart pointers and text among them.
    pub fn tallies(&self) -> &BTreeMap<DebugTypeId, ContainerTally> {
        &self.tallies
    }
}
