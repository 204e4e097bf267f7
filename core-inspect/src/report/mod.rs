//! Floor 9: answers as values ([`model`], [`answers`]), and their forms: text for people, JSON, CSV. Nothing below
//! formats text for people; nothing here prints.

pub mod answers;
pub mod build;
pub mod csv;
#[cfg(feature = "cli")]
pub mod human;
pub mod json;
#[cfg(feature = "cli")]
pub mod look;
pub mod model;
pub mod prose;
#[cfg(feature = "cli")]
pub mod table;
pub mod units;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod schema;
