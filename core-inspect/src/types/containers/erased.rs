//! Values whose type only code knows: `std::any`, `std::function`, `Box<dyn Trait>` → the name of the type, by the symbol
//! of the function or table that the value comes with.

use super::Walk;
use crate::base::Avma;

/// Addresses of functions or tables whose symbols name an erased value's type, the best first; unused ones are zero.
pub type Witness = [Avma; 2];

/// Where an erased value is stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stored {
    /// At the place itself.
    Inside,
    /// In a block that the word at the place points to.
    Behind,
    /// One or the other, by the type's size and what its constructors may throw.
    Either,
}

impl Walk {
    /// The type's name in the demangled symbol, or variable, at a witness, and where a value of it is stored.
    pub fn erased<'s>(&self, symbol: &'s str) -> Option<(&'s str, Stored)> {
        let found = self.symbol.as_ref()?.captures(symbol)?;
        let places = [("inside", Stored::Inside), ("behind", Stored::Behind), ("either", Stored::Either)];
        places.into_iter().find_map(|(group, stored)| Some((found.name(group)?.as_str(), stored)))
    }
}
