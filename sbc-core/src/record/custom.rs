//! Values that the operator's transforms add to a record, under names of the operator's own (OPS-060).

use serde::{Serialize, Serializer};

/// At most 16 names with values, in the order of the transforms. Serialises to one JSON object.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Custom(pub Vec<CustomValue>);

/// One of them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CustomValue {
    /// Name.
    pub name: String,
    /// Value, bounded and printable.
    pub value: String,
    /// Whether digits of a number are in it.
    pub has_digits: bool,
}

impl Custom {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let own = self.0.iter().find(|own| own.name == name)?;
        Some(&own.value)
    }
}

impl Serialize for Custom {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|own| (&own.name, &own.value)))
    }
}
