//! JSON values with strict rules where `serde_json` silently decides: numbers with digits that a float cannot keep, and keys that occur
//! twice.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What becomes of what JSON allows and a [`Map`] or a float cannot hold.
pub trait Rules {
    /// A number that is no 64-bit integer.
    ///
    /// # Errors
    /// Why it is refused.
    fn number(value: f64) -> Result<Value, &'static str>;

    /// A member of an object, which may be there already.
    ///
    /// # Errors
    /// Why it is refused.
    fn member(members: &mut Map<String, Value>, key: String, value: Value) -> Result<(), &'static str>;
}

/// A value that was read under these rules.
pub struct Document<R>(pub Value, pub PhantomData<R>);

impl<'de, R: Rules> Deserialize<'de> for Document<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor(PhantomData::<R>)).map(|value| Self(value, PhantomData))
    }
}

struct ValueVisitor<R>(PhantomData<R>);

impl<'de, R: Rules> Visitor<'de> for ValueVisitor<R> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        R::number(value).map_err(E::custom)
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Document(item, _)) = seq.next_element::<Document<R>>()? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((key, Document(value, _))) = map.next_entry::<String, Document<R>>()? {
            R::member(&mut members, key, value).map_err(A::Error::custom)?;
        }
        Ok(members.into())
    }
}
