//! Where a value is in the input, and the members of an object, each of which is taken once: what is left was not understood.

use std::fmt;

use serde_json::{Map, Value};

/// One step on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Member(String),
    Item(usize),
}

/// The way to a value in one file, also through JSON in a string.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(Vec<Step>);

impl Place {
    /// A member of the object here.
    #[must_use]
    pub fn member(&self, name: &str) -> Self {
        self.with(Step::Member(name.to_owned()))
    }

    /// An element of the array here, from 0.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        self.with(Step::Item(index))
    }

    fn with(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    /// Whether `other` is this place or one below it.
    pub fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

/// `configuration["oauth.api.key"]`, `tags[0]`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the whole document");
        }
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Item(item) => write!(f, "[{item}]")?,
                Step::Member(name) if is_plain(name) => write!(f, "{}{name}", if index == 0 { "" } else { "." })?,
                Step::Member(name) => write!(f, "[{name:?}]")?,
            }
        }
        Ok(())
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// One member: its name as it is spelt, where it stands, and its value.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub name: String,
    pub place: Place,
    pub value: Value,
}

/// The members of an object that have not been taken yet, in the order of their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<Field>);

impl Fields {
    /// All members of an object.
    pub fn of(place: &Place, members: &Map<String, Value>) -> Self {
        let field =
            |(name, value): (&String, &Value)| Field { name: name.clone(), place: place.member(name), value: value.clone() };
        Self(members.iter().map(field).collect())
    }

    /// Adds a member that stands elsewhere.
    pub fn add(&mut self, field: Field) {
        self.0.push(field);
    }

    /// The member of this name; the exact spelling first, then one that differs in case (`datesconfiguration`).
    pub fn take(&mut self, name: &str) -> Option<Field> {
        let exact = self.0.iter().position(|field| field.name == name);
        let at = exact.or_else(|| self.0.iter().position(|field| field.name.eq_ignore_ascii_case(name)))?;
        Some(self.0.remove(at))
    }

    /// The first member that is meant.
    pub fn take_where(&mut self, is_meant: impl Fn(&Field) -> bool) -> Option<Field> {
        let at = self.0.iter().position(is_meant)?;
        Some(self.0.remove(at))
    }

    /// The member of this name, which stays.
    pub fn peek(&self, name: &str) -> Option<&Field> {
        self.0.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// Whether none are left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that are left.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.0.iter()
    }
}

impl IntoIterator for Fields {
    type Item = Field;
    type IntoIter = std::vec::IntoIter<Field>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_reads_as_people_write_it() {
        let root = Place::default();
        assert_eq!(root.to_string(), "the whole document");
        let key = root.item(2).member("configuration").member("oauth.api.key");
        assert_eq!(key.to_string(), "[2].configuration[\"oauth.api.key\"]");
        assert!(root.item(2).holds(&key) && !key.holds(&root.item(2)));
    }

    #[test]
    fn a_member_is_taken_once_and_the_exact_spelling_first() {
        let object = json!({"datesconfiguration": 1, "datesConfiguration": 2});
        let mut fields = Fields::of(&Place::default(), object.as_object().unwrap());
        assert_eq!(fields.take("datesConfiguration").map(|field| field.value), Some(json!(2)));
        assert_eq!(fields.take("datesConfiguration").map(|field| field.value), Some(json!(1)));
        assert!(fields.take("datesConfiguration").is_none() && fields.iter().next().is_none());
    }
}
